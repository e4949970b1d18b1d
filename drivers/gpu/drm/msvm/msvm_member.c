// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Members: a device's VM joins the address space of a process and leaves it, at
 * any time, while other members fault. A join touches no range; a leave takes
 * the leaving device's mappings out of each.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/*
 * Ranges that a leaving member is taken out of at a time: enough that waiting for
 * shoot-downs is no matter, few enough that nobody waits for the notifier lock.
 */
#define MSVM_LEAVE_BATCH	32

/**
 * drm_msvm_join() - Make a VM a member of the caller's address space.
 * @member: The member, embedded in the driver's VM; contents are overwritten.
 * @dev: The VM's device, registered.
 * @va_start: First address the VM can map, page aligned.
 * @va_end: End of the addresses it can map, exclusive, page aligned.
 *
 * The address space is that of the calling task (current->mm) from now on,
 * whoever calls later and from where: a driver must refuse work from tasks with
 * another mm itself if the memory it gives access to is to stay the caller's.
 * An exec by the process leaves the member with the old, dying mm.
 *
 * Context: Sleeps. Process context with an mm. The caller holds no lock that
 * any of the device's operations takes.
 *
 * Return: 0; -EINVAL: the window is empty or not page aligned, or the task has
 * no mm; -ENOSPC: the address space has DRM_MSVM_MAX_MEMBERS already; -EBUSY:
 * there are too many address spaces; -EINTR: a signal; -ERANGE: no physical
 * addresses are free for the device's memory; -ENOMEM.
 */
int drm_msvm_join(struct drm_msvm_member *member, struct drm_msvm_device *dev,
		  u64 va_start, u64 va_end)
{
	struct drm_pagemap *dpagemap = NULL;
	struct drm_msvm *msvm;
	unsigned int slot;
	int err;

	if (!current->mm || va_start >= va_end ||
	    !PAGE_ALIGNED(va_start) || !PAGE_ALIGNED(va_end))
		return -EINVAL;

	/* Held by each member, so that a fault finds it. */
	if (dev->memory) {
		dpagemap = msvm_pagemap_get(dev->memory);
		if (IS_ERR(dpagemap))
			return PTR_ERR(dpagemap);
	}
	msvm = msvm_context_get(current->mm);
	if (IS_ERR(msvm)) {
		drm_pagemap_put(dpagemap);
		return PTR_ERR(msvm);
	}

	memset(member, 0, sizeof(*member));
	member->msvm = msvm;
	member->dev = dev;
	member->dpagemap = dpagemap;
	member->va_start = va_start;
	member->va_end = va_end;

	mutex_lock(&msvm->lock);
	slot = find_first_zero_bit(msvm->slots, DRM_MSVM_MAX_MEMBERS);
	err = slot == DRM_MSVM_MAX_MEMBERS ? -ENOSPC : 0;
	if (!err && dev->queue && !msvm->pool)
		err = msvm_pool_create(msvm);
	if (err) {
		mutex_unlock(&msvm->lock);
		msvm_context_put(msvm);
		drm_pagemap_put(dpagemap);
		return err;
	}
	member->slot = slot;
	__set_bit(slot, msvm->slots);
	msvm->members[slot] = member;
	/* Faults of other members may map for it from now on. */
	rcu_assign_pointer(msvm->others[slot], member);
	msvm->nr_members++;
	mutex_unlock(&msvm->lock);

	atomic_inc(&dev->members);
	trace_msvm_join(msvm->id, slot);
	return 0;
}
EXPORT_SYMBOL_GPL(drm_msvm_join);

/*
 * The member of a slot, for somebody who is not it: valid to the end of the read
 * section. Context: read section of &drm_msvm.srcu. Return: NULL if there is none, or
 * it is leaving or was cut off.
 */
struct drm_msvm_member *msvm_member_of(struct drm_msvm *msvm, unsigned int slot)
{
	struct drm_msvm_member *member =
		srcu_dereference(msvm->others[slot], &msvm->srcu);

	/* Pairs with WRITE_ONCE() in msvm_zap_wait(). */
	return member && !READ_ONCE(member->wedged) ? member : NULL;
}

/*
 * Take a leaving member out of some ranges of a shard, and give its entries back.
 * The shoot-down is awaited once for all of them.
 */
void msvm_leave_ranges(struct drm_msvm_range **ranges, unsigned int nr,
		       struct drm_msvm_member *member)
{
	struct drm_gpusvm *gpusvm = ranges[0]->base.gpusvm;
	struct drm_pagemap_addr *dma_addr[MSVM_LEAVE_BATCH] = {};
	unsigned int i;
	int idx;

	msvm_ranges_drop_slot(ranges, nr, member->slot);

	down_write(&gpusvm->notifier_lock);
	for (i = 0; i < nr; i++) {
		struct drm_msvm_range *range = ranges[i];

		idx = msvm_range_find_slot(range, member->slot);
		if (idx < 0)
			continue;
		dma_addr[i] = range->pages[idx].dma_addr;
		msvm_stat_bytes(member->msvm, -(s64)(range->entries[idx].cap *
						     sizeof(**dma_addr)));
		/* No device: all of drm_gpusvm's teardown skips the entry. */
		memset(&range->pages[idx], 0, sizeof(range->pages[idx]));
		range->entries[idx].slot = MSVM_SLOT_NONE;
		range->entries[idx].cap = 0;
	}
	up_write(&gpusvm->notifier_lock);

	for (i = 0; i < nr; i++)
		kvfree(dma_addr[i]);
}

/* The next few of them. Return: how many. */
static unsigned int msvm_leave_batch(struct msvm_shard *shard,
				     unsigned long *index,
				     struct drm_msvm_range **ranges)
{
	unsigned int nr;

	for (nr = 0; nr < MSVM_LEAVE_BATCH; nr++) {
		ranges[nr] = msvm_range_next(shard, index, ULONG_MAX);
		if (!ranges[nr])
			break;
	}
	return nr;
}

/*
 * Ranges that come into being meanwhile can't get the slot, so one pass sees
 * all that matter. No lock is held from one batch to the next.
 */
static void msvm_leave_shard(struct msvm_shard *shard,
			     struct drm_msvm_member *member)
{
	struct drm_msvm_range *ranges[MSVM_LEAVE_BATCH];
	unsigned long index = 0;
	unsigned int nr, i;

	do {
		nr = msvm_leave_batch(shard, &index, ranges);
		if (nr)
			msvm_leave_ranges(ranges, nr, member);
		for (i = 0; i < nr; i++)
			msvm_range_put(ranges[i]);
		cond_resched();
	} while (nr == MSVM_LEAVE_BATCH);
}

/**
 * drm_msvm_leave() - Take a member out of its address space.
 * @member: The member.
 *
 * When it returns the device has no mapping through the member, none of the
 * member's operations is being called or will be, and the driver may free it.
 * The other members notice nothing.
 *
 * Faults of the member that are in a fault queue end with -ECANCELED, and it
 * waits until the driver was told.
 *
 * Context: Sleeps. The caller holds no lock that any of the member's
 * operations takes. Its userptrs were detached. No drm_msvm_handle_fault() or
 * drm_msvm_fault_push() of this member is under way or starts: the driver has
 * stopped its GPU's work in this VM before.
 */
void drm_msvm_leave(struct drm_msvm_member *member)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_shard *shard;
	unsigned long index;

	drm_msvm_fault_cancel(member, NULL);
	wait_var_event(&member->queued, !atomic_read(&member->queued));
	msvm_keep_stop(member);

	/* The driver forgot to detach them. */
	WARN_ON_ONCE(atomic_read(&member->userptrs));
	WRITE_ONCE(member->leaving, true);
	/* After this nobody maps for it any more, so what is dropped stays so. */
	mutex_lock(&msvm->lock);
	RCU_INIT_POINTER(msvm->others[member->slot], NULL);
	mutex_unlock(&msvm->lock);
	synchronize_srcu_expedited(&msvm->srcu);
	trace_msvm_leave(msvm->id, member->slot);

	xa_for_each(&msvm->shards, index, shard)
		msvm_leave_shard(shard, member);
	msvm_keep_free(member);
	/* Before the next one gets the slot. */
	msvm_attr_forget_slot(msvm, member->slot);

	mutex_lock(&msvm->lock);
	msvm->members[member->slot] = NULL;
	__clear_bit(member->slot, msvm->slots);
	msvm->nr_members--;
	mutex_unlock(&msvm->lock);

	if (atomic_dec_and_test(&member->dev->members) && member->dev->memory)
		msvm_memory_idle(member->dev->memory);
	member->msvm = NULL;
	drm_pagemap_put(member->dpagemap);
	member->dpagemap = NULL;
	msvm_context_put(msvm);
}
EXPORT_SYMBOL_GPL(drm_msvm_leave);

/* As msvm_leave_shard(), but the entries of the member stay. */
static void msvm_reset_shard(struct msvm_shard *shard,
			     struct drm_msvm_member *member)
{
	struct drm_msvm_range *ranges[MSVM_LEAVE_BATCH];
	unsigned long index = 0;
	unsigned int nr, i;

	do {
		nr = msvm_leave_batch(shard, &index, ranges);
		if (nr)
			msvm_ranges_drop_slot(ranges, nr, member->slot);
		for (i = 0; i < nr; i++)
			msvm_range_put(ranges[i]);
		cond_resched();
	} while (nr == MSVM_LEAVE_BATCH);
}

/**
 * drm_msvm_reset() - Drop all mappings of a member.
 * @member: The member.
 *
 * For a GPU that lost its page tables, or whose driver wants to write them anew: all
 * that was bound before the call is zapped and unmapped, and comes back by faults.
 * Pages in the device's memory are another matter, see
 * drm_msvm_device_evict_all().
 *
 * Context: Sleeps. The caller holds no lock that any of the member's operations
 * takes. Faults of the member can be under way: what they bind meanwhile may be
 * dropped or not. The member does not leave.
 */
void drm_msvm_reset(struct drm_msvm_member *member)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_shard *shard;
	unsigned long index;

	might_sleep();
	xa_for_each(&msvm->shards, index, shard)
		msvm_reset_shard(shard, member);
	msvm_userptr_reset(member);
}
EXPORT_SYMBOL_GPL(drm_msvm_reset);

/**
 * drm_msvm_member_info() - Size and counters of a member's address space.
 * @member: The member.
 * @info: Filled in; a snapshot whose figures may be of slightly different times.
 *
 * Context: Any that is not atomic; the member has not left.
 */
void drm_msvm_member_info(struct drm_msvm_member *member,
			  struct drm_msvm_info *info)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_stats __percpu *stats = msvm->stats;

	*info = (struct drm_msvm_info) {
		.id = msvm->id,
		.members = READ_ONCE(msvm->nr_members),
		.faults = msvm_stat_read(stats, MSVM_STAT_FAULTS),
		.walks = msvm_stat_read(stats, MSVM_STAT_HMM_WALKS),
		.walks_saved = msvm_stat_read(stats, MSVM_STAT_WALKS_SAVED),
		.invalidations = msvm_stat_read(stats, MSVM_STAT_INVALIDATIONS),
		.ranges = atomic_long_read(&msvm->nr_ranges),
		.notifiers = atomic_long_read(&msvm->nr_notifiers),
		.bytes = msvm_stat_read_bytes(stats),
	};
}
EXPORT_SYMBOL_GPL(drm_msvm_member_info);
