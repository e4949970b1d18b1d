// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Attributes that faults obey whatever the policy: who may not access memory, where
 * atomics fail, and that a range has the same attributes all over.
 */
#include <linux/log2.h>

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
 * May a member access a range? Context: range mutex held.
 *
 * Return: 0; -EACCES: an attribute forbids it; -EXDEV: the range must be smaller, as
 * it has more than one set of attributes or is larger than one of them allows.
 */
int msvm_attr_admit(struct drm_msvm_range *range,
		    struct drm_msvm_member *member, bool atomic)
{
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	unsigned long from = start, to = end;
	struct msvm_attrs attrs;

	lockdep_assert_held(&range->lock);

	/* Pairs with WRITE_ONCE() in msvm_attr_apply(). */
	if (READ_ONCE(range->forget)) {
		WRITE_ONCE(range->forget, false);
		msvm_heat_forget(&range->heat);
	}
	msvm_attr_lookup(member->msvm, start, &from, &to, &attrs);
	if (to < end ||
	    (attrs.granularity && end - start > BIT(attrs.granularity)))
		return -EXDEV;
	if (attrs.no_access & BIT_ULL(member->slot))
		return -EACCES;
	if (attrs.atomics == MSVM_ATOMICS_NONE && atomic)
		return -EACCES;
	return 0;
}

/* Do devices' atomics fail in a range? Context: notifier lock held for reading. */
bool msvm_attr_no_atomics(struct drm_msvm_range *range)
{
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	struct msvm_attrs attrs;

	if (range->is_userptr)
		return false;
	msvm_attr_lookup(msvm_range_context(range), start, &start, &end,
			 &attrs);
	return attrs.atomics == MSVM_ATOMICS_NONE;
}
