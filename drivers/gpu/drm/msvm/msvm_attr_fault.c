// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Attributes that faults obey whatever the policy: who may not access memory, where
 * atomics fail, and that a range has the same attributes all over.
 */
#include <linux/bits.h>
#include <linux/jiffies.h>

#include "msvm_attr.h"
#include "msvm_internal.h"
#include "msvm_memory.h"

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

/* Forget what is decided by that happened in a range. Context: range mutex held. */
static void msvm_attr_forget(struct drm_msvm_range *range)
{
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	int i;

	lockdep_assert_held(&range->lock);

	msvm_heat_forget(&range->heat);
	for (i = 0; i < range->nr_slots; i++) {
		range->entries[i].faults = 0;
		range->entries[i].since = jiffies;
	}
	WRITE_ONCE(range->taken, 0);
	msvm_prefetch_forget(msvm_range_context(range), start, end);
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
		msvm_attr_forget(range);
	}
	err = msvm_attr_range(range, member, &attrs);
	if (!err && atomic && attrs.atomics == MSVM_ATOMICS_NONE)
		err = -EACCES;
	return err;
}

/* Is all of a range in the device's own memory? Context: as msvm_attr_commit(). */
static bool msvm_attr_at_home(struct drm_msvm_range *range,
			      struct drm_msvm_member *member)
{
	struct msvm_pagemap *pagemap;
	unsigned long i;

	for (i = 0; i < range->nr_runs; i++) {
		pagemap = msvm_pagemap_of_pfn(msvm_run_pfn(range->runs[i]));
		if (!pagemap || pagemap->memory != member->dev->memory)
			return false;
	}
	return true;
}

/*
 * Are atomics to be with work of the same device only, and could the memory be brought
 * there? An atomic that faults has tried.
 */
static bool msvm_attr_atomics_elsewhere(struct drm_msvm_range *range,
					struct drm_msvm_member *member,
					const struct msvm_attrs *attrs)
{
	return attrs->atomics == MSVM_ATOMICS_DEVICE && member->dev->memory &&
	       !(member->dev->flags & DRM_MSVM_DEVICE_NO_FAULTS) &&
	       !msvm_attr_at_home(range, member) &&
	       !msvm_mutated(MSVM_MUTATE_ATOMICS_ANYWHERE);
}

/*
 * The last look before a range is mapped for a member, whether it faulted or others
 * had it mapped for it: does what was decided by hold, for all of the range? Then it
 * does until it is changed, and whoever changes it finds the range and takes the
 * mapping away, since that is done under the same lock. That something was said about
 * other memory meanwhile does not matter.
 *
 * Context: notifier lock held for reading, the walk valid. @decided: what was found
 * before, or NULL for what is bound explicitly, which is not a matter of attributes.
 * @atomic: it is mapped because an atomic faulted.
 *
 * Return: 0, and in @no_atomics whether atomics must fault; -EACCES: the member may
 * not access it; -EAGAIN: look again.
 */
int msvm_attr_commit(struct drm_msvm_range *range,
		     struct drm_msvm_member *member,
		     const struct msvm_attrs *decided, bool atomic,
		     bool *no_atomics)
{
	struct msvm_attrs attrs;
	int err;

	lockdep_assert_held_read(&range->base.gpusvm->notifier_lock);

	if (!decided)
		return 0;
	/* The range went into the index before: pairs with msvm_attr_apply(). */
	smp_mb();
	err = msvm_attr_range(range, member, &attrs);
	if (err == -EXDEV || (!err && !msvm_attrs_equal(&attrs, decided)))
		return -EAGAIN;
	*no_atomics = attrs.atomics == MSVM_ATOMICS_NONE ||
		      (!atomic &&
		       msvm_attr_atomics_elsewhere(range, member, &attrs));
	return err;
}
