// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Attributes that faults obey whatever the policy: who may not access memory, where
 * atomics fail, and that a range has the same attributes all over.
 */
#include <linux/bits.h>

#include "msvm_attr.h"
#include "msvm_internal.h"

/*
 * Number of changes so far. What was looked up after this may be done if
 * msvm_attr_seq_changed() says no under the notifier lock. Any context.
 */
unsigned long msvm_attr_seq(struct drm_msvm *msvm)
{
	/* Before what is looked up next. */
	return smp_load_acquire(&msvm->attr_seq);
}

/*
 * Was anything changed since? If not, whoever changes something from now on finds the
 * range, and takes away again what is mapped now, since that is done under the same
 * lock. Context: notifier lock held for reading.
 */
bool msvm_attr_seq_changed(struct drm_msvm *msvm, unsigned long seq)
{
	/* The range went into the index before: pairs with msvm_attr_apply(). */
	smp_mb();
	return READ_ONCE(msvm->attr_seq) != seq;
}

/*
 * What is said about a range. Return: 0; -EACCES: a member may not access it; -EXDEV:
 * not the same all over, or the range is larger than is wanted.
 */
static int msvm_attr_range(struct drm_msvm_range *range,
			   struct drm_msvm_member *member,
			   struct msvm_attrs *attrs)
{
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	unsigned long from = start, to = end;

	msvm_attr_lookup(member->msvm, start, &from, &to, attrs);
	if (to < end ||
	    (attrs->granularity && end - start > BIT(attrs->granularity)))
		return -EXDEV;
	return attrs->no_access & BIT_ULL(member->slot) ? -EACCES : 0;
}

/*
 * May a member access a range? Context: range mutex held.
 *
 * Return: 0; -EACCES: an attribute forbids it; -EXDEV: the range must be smaller, as
 * it has more than one set of attributes or is larger than one of them allows.
 */
int msvm_attr_admit(struct drm_msvm_range *range,
		    struct drm_msvm_member *member, bool atomic)
{
	struct msvm_attrs attrs;
	int err;

	lockdep_assert_held(&range->lock);

	/* Pairs with WRITE_ONCE() in msvm_attr_apply_shard(). */
	if (READ_ONCE(range->forget)) {
		WRITE_ONCE(range->forget, false);
		msvm_heat_forget(&range->heat);
	}
	err = msvm_attr_range(range, member, &attrs);
	if (!err && atomic && attrs.atomics == MSVM_ATOMICS_NONE)
		err = -EACCES;
	return err;
}

/*
 * The last look before a range is mapped for a member, whether it faulted or others
 * had it mapped for it. What is found here holds until it is changed, and whoever
 * changes it takes the mapping away: see msvm_attr_seq_changed(). Context: notifier
 * lock held for reading.
 *
 * Return: 0, and in @no_atomics whether atomics must fault; -EACCES: the member may
 * not access it; -EAGAIN: the range must be smaller.
 */
int msvm_attr_commit(struct drm_msvm_range *range,
		     struct drm_msvm_member *member, bool *no_atomics)
{
	struct msvm_attrs attrs;
	int err;

	lockdep_assert_held_read(&range->base.gpusvm->notifier_lock);

	/* What is bound explicitly is not a matter of attributes. */
	if (range->is_userptr)
		return 0;
	/* The range went into the index before: pairs with msvm_attr_apply(). */
	smp_mb();
	err = msvm_attr_range(range, member, &attrs);
	*no_atomics = attrs.atomics == MSVM_ATOMICS_NONE;
	return err == -EXDEV ? -EAGAIN : err;
}
