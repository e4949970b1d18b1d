// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mapping of what a member is to have mapped (accessed by), without a fault. Nothing is
 * brought into being or moved for it: a range is mapped if all of it is there, where it
 * is, and left alone otherwise. So nobody is waited for, neither a page fault of the
 * process (userfaultfd) nor one of another member that sleeps.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <drm/drm_msvm_attr.h>
#include <drm/drm_msvm_memory.h>

#include "msvm_attr.h"
#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_keep.h"

/* Pages that drm_msvm_residency() is asked about at a time: a block of 2 MiB. */
#define MSVM_ATTR_PAGES		(SZ_2M / PAGE_SIZE)

/* Blocks that are looked at before the caller is asked again, and for how long at most. */
#define MSVM_ATTR_BLOCKS	64
#define MSVM_ATTR_TIME		(HZ / 10)

/* The CPU side changed, or the range was too large: how often to look again. */
#define MSVM_ATTR_TRIES		4

/* Return: 0: it is mapped; -EAGAIN, -EXDEV: look again; or why not. */
static int msvm_attr_map_range(struct msvm_fault *fault,
			       struct drm_msvm_range *range)
{
	struct drm_msvm_member *member = fault->member;
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	bool known;
	int idx, err;

	lockdep_assert_held(&range->lock);

	if (range->removed || msvm_range_unmapped(range))
		return -EAGAIN;
	err = msvm_attr_admit(range, member, false);
	if (err)
		return err;
	if (test_bit(member->slot, range->mapped))
		return 0;
	if (member->dev->ops->prepare) {
		err = member->dev->ops->prepare(member, start, end);
		if (err)
			return err;
	}
	/* A hint only: checked again under the notifier lock. */
	if (!READ_ONCE(range->runs_valid) && msvm_walk_present(range))
		return -ENODATA;
	if (msvm_place_out_of_reach(range, member,
				    fault->policy->params.peer_access))
		return -ENXIO;
	known = msvm_range_find_slot(range, member->slot) >= 0;
	idx = msvm_range_add_slot(range, member);
	if (idx < 0)
		return idx;
	/* It has not faulted. */
	if (!known)
		range->entries[idx].faults = 0;
	return msvm_fault_bind(fault, range);
}

/* Map the range at the address of @fault. *@end: where to go on. */
static int msvm_attr_map_try(struct msvm_fault *fault, unsigned long *end)
{
	struct drm_msvm_member *member = fault->member;
	struct drm_msvm_range *range;
	struct msvm_shard *shard;
	int err = 0;

	*end = fault->addr + PAGE_SIZE;
	shard = msvm_shard_get(member->msvm, fault->addr);
	if (IS_ERR(shard))
		return PTR_ERR(shard);
	range = msvm_fault_range(fault, shard);
	if (IS_ERR(range))
		return PTR_ERR(range);
	*end = drm_gpusvm_range_end(&range->base);

	/* Who has it maps it for all that are to have it, or sleeps. */
	if (fault->attrs.accessed_by & BIT_ULL(member->slot) &&
	    mutex_trylock(&range->lock)) {
		err = msvm_attr_map_range(fault, range);
		mutex_unlock(&range->lock);
	}
	/* Not all of it has the same attributes: a smaller range has. */
	if (err == -EXDEV) {
		mutex_lock(&shard->lock);
		if (msvm_shard_try_remove(shard, range))
			msvm_stat_inc(shard->msvm, MSVM_STAT_SPLITS);
		mutex_unlock(&shard->lock);
	}
	/* The collector may have passed by, see msvm_fault_try(). */
	smp_mb();
	if (msvm_range_unmapped(range))
		msvm_shard_collect(shard);
	msvm_range_put(range);

	return err;
}

/* Map a block's pages, as far as there are any. */
static void msvm_attr_map_block(struct msvm_fault *fault, unsigned long start,
				unsigned long end, u32 *where)
{
	unsigned int tries;
	unsigned long next;
	int err;

	if (drm_msvm_residency(fault->member, start, PHYS_PFN(end - start),
			       where))
		return;

	for (fault->addr = start; fault->addr < end; fault->addr = next) {
		next = fault->addr + PAGE_SIZE;
		/* No range is made where there is nothing. */
		if (where[PHYS_PFN(fault->addr - start)] == DRM_MSVM_WHERE_NONE)
			continue;
		tries = MSVM_ATTR_TRIES;
		do {
			err = msvm_attr_map_try(fault, &next);
		} while ((err == -EAGAIN || err == -EXDEV) && --tries);
	}
}

/**
 * drm_msvm_map_accessed() - Map what a member is to have mapped.
 * @member: The member.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 *
 * For drm_msvm_set_attr() with %DRM_MSVM_ATTR_ACCESSED_BY, which maps nothing itself:
 * what of the interval has that attribute for @member is mapped for it, where it is, if
 * all of a range is there, the member reaches it, and nobody else is busy with it.
 * Nothing is faulted in or moved. A hint: the member may fault as before. For one
 * whose device takes no page faults there is nothing to do.
 *
 * So that whoever waits for the driver's locks, or for a signal to be noticed, need not
 * wait for long, it does a limited part of a large interval, and is to be called again
 * for the rest, unless the member is to leave or the task got a signal.
 *
 * Context: Sleeps, but not for the process, other than drm_msvm_handle_fault().
 * Takes mmap_lock and locks of the library; the caller holds none that an MMU notifier,
 * or any of the member's operations, takes. The member does not leave meanwhile.
 *
 * Return: Where to go on; @end: there is nothing left to do.
 */
u64 drm_msvm_map_accessed(struct drm_msvm_member *member, u64 start, u64 end)
{
	unsigned long from = umax(start, member->va_start);
	unsigned long to = umin(end, member->va_end);
	struct msvm_fault fault = { .member = member, .chunk = SZ_2M };
	unsigned long deadline = jiffies + MSVM_ATTR_TIME, first, next;
	unsigned int blocks = MSVM_ATTR_BLOCKS;
	struct drm_msvm *msvm = member->msvm;
	struct msvm_attrs attrs;
	u32 *where;

	might_sleep();
	/* What is kept mapped is mapped by who keeps it. */
	if (msvm_keep_by_attr(member))
		return end;
	/* Pairs with WRITE_ONCE() in msvm_zap_wait(). */
	if (from >= to || !PAGE_ALIGNED(from) || READ_ONCE(member->wedged))
		return end;
	where = msvm_alloc(kmalloc_array(MSVM_ATTR_PAGES, sizeof(*where),
					 GFP_KERNEL));
	if (!where)
		return end;
	if (!mmget_not_zero(msvm->mm)) {
		kfree(where);
		return end;
	}

	fault.policy = msvm_claim_policy(msvm);
	for (; from < to && blocks; from = next) {
		blocks = time_before(jiffies, deadline) ? blocks - 1 : 0;
		first = from;
		next = to;
		msvm_attr_lookup(msvm, from, &first, &next, &attrs);
		if (!(attrs.accessed_by & BIT_ULL(member->slot)))
			continue;
		next = min(ALIGN(from + 1, SZ_2M), next);
		msvm_attr_map_block(&fault, from, next, where);
		cond_resched();
	}
	msvm_policy_put(fault.policy);
	/* The last reference may be ours: no place to end an mm. */
	mmput_async(msvm->mm);
	kfree(where);

	return from < to ? from : end;
}
EXPORT_SYMBOL_GPL(drm_msvm_map_accessed);
