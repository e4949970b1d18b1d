// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Moving pages: into a device's memory, from one device's to another's, and back
 * to system memory.
 *
 * The kernel moves all pages of an interval or none, anonymous ones only, and in
 * pieces of one page, or of a huge page if so wanted. What can't be moved at once is
 * tried in smaller intervals, and then left where it is. No lock is held against the
 * CPU side: if that gets in between, the move fails and the pages stay valid.
 */
#include <linux/hmm.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>

#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/* Sizes tried, the same as those of ranges. */
static const unsigned long msvm_move_sizes[] = DRM_MSVM_CHUNK_SIZES;

/**
 * struct msvm_move - A move under way.
 * @msvm: The address space; the caller has a reference to the mm's users.
 * @dpagemap: Where to.
 * @focus: Single pages are tried around this address only; ULONG_MAX: everywhere.
 * @to_peer: See &msvm_block.to_peer.
 * @by_system: Nothing is copied from one device's memory to another's: what is in
 *	another's goes by system memory.
 * @hint: It is moved along with what is wanted: only where there is room.
 * @full: There was no room, in spite of waiting for some.
 * @moved: Bytes moved, or there already.
 * @left: Bytes that could not be moved.
 * @err: Why not, of the last of them.
 */
struct msvm_move {
	struct drm_msvm *msvm;
	struct drm_pagemap *dpagemap;
	unsigned long focus;
	bool to_peer;
	bool by_system;
	bool hint;
	bool full;
	unsigned long moved;
	unsigned long left;
	int err;
};

/* Move an interval as a whole. Room is made before mmap_lock is taken. */
static int msvm_move_once(struct msvm_move *move, unsigned long start,
			  unsigned long size)
{
	/* No time slice: the kernel would spin in walks until it is over. */
	const struct drm_pagemap_migrate_details details = {
		.can_migrate_same_pagemap = true,
	};
	struct drm_pagemap *dpagemap = move->dpagemap;
	struct mm_struct *mm = move->msvm->mm;
	struct msvm_block *block;
	int idx, err;

	if (!drm_dev_enter(dpagemap->drm, &idx))
		return -ENODEV;
	block = msvm_block_alloc(dpagemap, mm, start, size,
				 move->hint ? MSVM_ROOM_ONLY :
				 move->full ? MSVM_ROOM_EVICT : MSVM_ROOM_WAIT);
	if (IS_ERR(block)) {
		err = PTR_ERR(block);
		/* What was waited for once is not waited for again. */
		move->full |= err == -ENOSPC;
		goto out;
	}
	block->to_peer = move->to_peer;
	block->prefetched = move->hint;
	err = mmap_read_lock_killable(mm);
	if (err) {
		/* It has no pages, so the second reference is ours to end. */
		block->devmem.ops->devmem_release(&block->devmem);
		goto out_put;
	}
	err = msvm_block_fill(block, &details);
	mmap_read_unlock(mm);
	msvm_block_ready(block);
	/*
	 * The kernel counts a huge page that comes into being as one page moved
	 * of 512, and takes that for a race.
	 */
	if (err == -EBUSY && size == HPAGE_PMD_SIZE &&
	    msvm_all_in(mm, start, size >> PAGE_SHIFT, block->memory))
		err = 0;
out_put:
	msvm_block_put(block);
out:
	drm_dev_exit(idx);
	trace_msvm_move(move->msvm->id, start, start + size,
			to_msvm_pagemap(dpagemap)->memory->dev_id, err);
	return err;
}

static bool msvm_move_invalidate(struct mmu_interval_notifier *notifier,
				 const struct mmu_notifier_range *range,
				 unsigned long seq)
{
	mmu_interval_set_seq(notifier, seq);
	return true;
}

static const struct mmu_interval_notifier_ops msvm_move_ops = {
	.invalidate = msvm_move_invalidate,
};

/*
 * Bring the device pages among at most 512 pages back, other than those of @keep, by
 * the same fault that the CPU would take, and touch no other page.
 */
static int msvm_piece_to_system(struct mmu_interval_notifier *notifier,
				const struct msvm_pagemap *keep,
				unsigned long start, unsigned long npages,
				unsigned long *pfns)
{
	struct hmm_range hmm = {
		.notifier = notifier,
		.start = start,
		.end = start + npages * PAGE_SIZE,
		.hmm_pfns = pfns,
		.dev_private_owner = msvm_owner(),
	};
	unsigned long i;
	bool any = false;
	int err;

	memset(pfns, 0, npages * sizeof(*pfns));
	err = hmm_range_fault_unlocked_timeout(&hmm, HZ);
	if (err)
		return err;
	for (i = 0; i < npages; i++) {
		const struct msvm_pagemap *in = NULL;

		if (pfns[i] & HMM_PFN_VALID)
			in = msvm_pagemap_of_pfn(pfns[i] & ~HMM_PFN_FLAGS);
		/* What to do now, for each page. */
		pfns[i] = in && in != keep ? HMM_PFN_REQ_FAULT : 0;
		any |= pfns[i];
	}
	if (!any)
		return 0;
	hmm.pfn_flags_mask = HMM_PFN_REQ_FAULT;
	hmm.dev_private_owner = NULL;
	return hmm_range_fault_unlocked_timeout(&hmm, HZ);
}

/*
 * The pages may be in the memory of a device that the destination does not reach, or is
 * not to: they go by system memory. Return: whether they are there now, or at the
 * destination.
 */
static bool msvm_move_by_system(struct msvm_move *move, unsigned long start,
				unsigned long size)
{
	struct mmu_interval_notifier notifier;
	unsigned long *pfns;
	int err;

	pfns = msvm_alloc(kvmalloc_array(size >> PAGE_SHIFT, sizeof(*pfns),
					 GFP_KERNEL));
	if (!pfns)
		return false;
	err = msvm_fail_alloc() ? -ENOMEM :
	      mmu_interval_notifier_insert(&notifier, move->msvm->mm, start,
					   size, &msvm_move_ops);
	if (!err) {
		err = msvm_piece_to_system(&notifier,
					   to_msvm_pagemap(move->dpagemap),
					   start, size >> PAGE_SHIFT, pfns);
		mmu_interval_notifier_remove(&notifier);
	}
	kvfree(pfns);

	return !err;
}

/* Move an interval as a whole, by system memory if need be. */
static int msvm_move_try(struct msvm_move *move, unsigned long start,
			 unsigned long size)
{
	int err;

	if (move->by_system && !msvm_mutated(MSVM_MUTATE_COPY_FROM_ANY))
		/* What somebody moves to another device meanwhile is copied from there. */
		return msvm_move_by_system(move, start, size) ?
		       msvm_move_once(move, start, size) : -EBUSY;
	err = msvm_move_once(move, start, size);
	if (err == -EFAULT && msvm_move_by_system(move, start, size))
		err = msvm_move_once(move, start, size);
	return err;
}

/* Errors after which nothing else will do. After others memory stays where it is. */
static bool msvm_move_over(int err)
{
	return err == -EINTR || err == -ENODEV;
}

/*
 * Move [@start, @end). Each interval is tried once in each size: at most 545 tries
 * for 2 MiB if nothing at all moves, 49 with a focus.
 *
 * Return: 0, with what happened in @move; -EINTR; -ENODEV.
 */
static int msvm_move(struct msvm_move *move, unsigned long start,
		     unsigned long end)
{
	/* Up to here each size was tried in vain. */
	unsigned long tried[ARRAY_SIZE(msvm_move_sizes)] = {};
	unsigned long addr = start, size;
	unsigned int i;
	int err;

	while (addr < end) {
		for (i = 0; i < ARRAY_SIZE(msvm_move_sizes) - 1; i++)
			if (addr >= tried[i] &&
			    IS_ALIGNED(addr, msvm_move_sizes[i]) &&
			    end - addr >= msvm_move_sizes[i])
				break;
		size = msvm_move_sizes[i];

		err = msvm_move_try(move, addr, size);
		if (!err) {
			move->moved += size;
			addr += size;
			continue;
		}
		if (msvm_move_over(err))
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		/* One more level down for [addr, addr + size), if it is worth it. */
		if (size > SZ_64K ||
		    (size > PAGE_SIZE &&
		     (move->focus == ULONG_MAX ||
		      (move->focus >= addr && move->focus < addr + size)))) {
			tried[i] = addr + size;
			continue;
		}
		move->left += size;
		move->err = err;
		addr += size;
		cond_resched();
	}
	return 0;
}

/*
 * Move a range to a device, as far as that works, single pages around @focus only, with
 * other devices as the policy allows. Context: sleeps; range mutex held, not the notifier
 * lock. The caller has references to the mm's users and to the pagemap.
 *
 * Return: 0: some of it is there now; -EBUSY: nothing could be moved; -ENOSPC: and
 * there is no room; -ENODEV, -EINTR, -ENOMEM.
 */
int msvm_migrate_range(struct drm_msvm_range *range,
		       struct drm_pagemap *dpagemap, unsigned long focus,
		       const struct msvm_policy_params *params)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	struct msvm_move move = {
		.msvm = msvm,
		.dpagemap = dpagemap,
		.focus = focus,
		.to_peer = msvm_evicts_to_peer(params),
		.by_system = params->peer_access == MSVM_PEER_OFF,
	};
	int err;

	lockdep_assert_held(&range->lock);
	lockdep_assert_not_held(&range->base.gpusvm->notifier_lock);

	err = msvm_move(&move, drm_gpusvm_range_start(&range->base),
			drm_gpusvm_range_end(&range->base));
	msvm_stat_inc(msvm, MSVM_STAT_MOVES);
	msvm_stat_add(msvm, MSVM_STAT_MOVED_PAGES, move.moved >> PAGE_SHIFT);
	msvm_stat_add(msvm, MSVM_STAT_UNMOVED_PAGES, move.left >> PAGE_SHIFT);
	if (err)
		return err;
	return move.moved ? 0 : move.err;
}

/*
 * Bring all pages of a range to system memory. Context: as msvm_migrate_range().
 * Return: 0; -EBUSY: the CPU side kept changing; -EFAULT: not all of the range is
 * memory; -EINTR, -ENOMEM.
 */
int msvm_range_to_system(struct drm_msvm_range *range)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	struct msvm_census census;
	int err;

	lockdep_assert_held(&range->lock);

	err = msvm_fail_alloc() ? -ENOMEM :
	      drm_gpusvm_range_evict(range->base.gpusvm, &range->base);
	/* HMM's second is over, but if the copies took that long all may be back. */
	if ((err == -EBUSY || err == -ETIME) &&
	    !msvm_take_census(range, &census) && !census.device)
		err = 0;
	if (!err)
		msvm_stat_inc(msvm, MSVM_STAT_MOVES_TO_SYSTEM);
	trace_msvm_move(msvm->id, drm_gpusvm_range_start(&range->base),
			drm_gpusvm_range_end(&range->base), 0, err);
	return err == -ETIME ? -EBUSY : err;
}

/*
 * Is memory of a VMA ever moved? What is droppable never goes to swap space, which a
 * page that was in a device's memory could, see msvm_copy_keep(). mmap_lock held.
 */
bool msvm_vma_movable(const struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) && !is_vm_hugetlb_page(vma) &&
	       !(vma->vm_flags & (VM_SPECIAL | VM_DROPPABLE));
}

/*
 * The next part of [@start, @end) that has memory. Context: sleeps; takes mmap_lock.
 * Return: false: none.
 */
bool msvm_next_part(struct mm_struct *mm, unsigned long start,
		    unsigned long end, struct msvm_vma_part *part)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma_intersection(mm, start, end);
	if (vma) {
		part->start = max(start, vma->vm_start);
		part->end = min(end, vma->vm_end);
		part->movable = msvm_vma_movable(vma);
	}
	mmap_read_unlock(mm);

	return vma;
}

/*
 * The part of [@start, @end) in the VMA of @addr. Context: sleeps; takes mmap_lock.
 * Return: false: there is no VMA, or nothing in it is moved.
 */
bool msvm_vma_limits(struct mm_struct *mm, unsigned long addr,
		     unsigned long *start, unsigned long *end)
{
	struct vm_area_struct *vma;
	bool movable;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	movable = vma && msvm_vma_movable(vma);
	if (movable) {
		*start = max(*start, vma->vm_start);
		*end = min(*end, vma->vm_end);
	}
	mmap_read_unlock(mm);

	return movable;
}

/*
 * The leaves of at most 2 MiB of a window that stay: those that are in some device's
 * memory already, and those that are held where they are. Return: as
 * msvm_census_leaves().
 */
static int msvm_window_stays(struct drm_msvm *msvm,
			     const struct msvm_window *window,
			     unsigned long start, unsigned long stop, u32 *stays)
{
	unsigned long base = ALIGN_DOWN(start, MSVM_TREE_LEAF), from, to;
	int err = msvm_census_leaves(msvm->mm, start, PHYS_PFN(stop - start),
				     NULL, stays);

	for (from = start; !err && from < stop; from = to) {
		u32 leaf = BIT((from - base) / MSVM_TREE_LEAF);

		to = min(ALIGN(from + 1, MSVM_TREE_LEAF), stop);
		if (!(*stays & leaf) &&
		    msvm_prefetch_held(msvm, window, from, to))
			*stays |= leaf;
	}
	return err;
}

/*
 * Move the next piece of a window, of at most 2 MiB, as far as it has memory that can
 * be moved, is in no device's memory yet, is neither pinned nor mapped by others, and
 * finds room without eviction. Context: as drm_msvm_migrate(). The caller has
 * references to the mm's users and to the pagemap.
 *
 * Return: 0, the address to go on from in @start, and in @window whether some was
 * busy; -ENODATA: there is no more; -ENODEV, -EINTR.
 */
int msvm_migrate_window(struct drm_msvm *msvm, struct drm_pagemap *dpagemap,
			struct msvm_window *window, unsigned long *start)
{
	struct msvm_move move = {
		.msvm = msvm,
		.dpagemap = dpagemap,
		.to_peer = window->to_peer,
		.hint = true,
	};
	unsigned long stop, from, to, base;
	struct msvm_vma_part part;
	u32 stays;
	int err = 0;

	if (*start >= window->end ||
	    !msvm_next_part(msvm->mm, *start, window->end, &part))
		return -ENODATA;
	stop = min(ALIGN(part.start + 1, SZ_2M), part.end);
	*start = stop;
	if (!part.movable ||
	    msvm_window_stays(msvm, window, part.start, stop, &stays))
		return 0;

	/* As many leaves as follow each other at once. */
	base = ALIGN_DOWN(part.start, MSVM_TREE_LEAF);
	for (from = part.start; from < stop && !err; from = to) {
		bool skip = stays & BIT((from - base) / MSVM_TREE_LEAF);

		to = from;
		do {
			to = min(ALIGN(to + 1, MSVM_TREE_LEAF), stop);
		} while (to < stop &&
			 skip == !!(stays & BIT((to - base) / MSVM_TREE_LEAF)));
		if (!skip)
			err = msvm_move(&move, from, to);
	}
	if (move.left && move.err == -EBUSY)
		window->busy = true;
	msvm_stat_add(msvm, MSVM_STAT_PREFETCHED_PAGES,
		      move.moved >> PAGE_SHIFT);
	return err;
}

/* Must what was requested stop? Return: 0, -EIO, -EINTR. */
int msvm_request_stopped(struct drm_msvm_member *member)
{
	/* Pairs with WRITE_ONCE() in drm_msvm_leave_begin() and msvm_zap_wait(). */
	if (READ_ONCE(member->wedged))
		return -EIO;
	if (fatal_signal_pending(current))
		return -EINTR;
	return 0;
}

static int msvm_migrate_to_device(struct drm_msvm_member *member, u64 start,
				  u64 end, struct msvm_memory *memory)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_policy *policy = msvm_claim_policy(msvm);
	struct msvm_move move = {
		.msvm = msvm,
		.focus = ULONG_MAX,
		.to_peer = msvm_evicts_to_peer(&policy->params),
		.by_system = policy->params.peer_access == MSVM_PEER_OFF,
	};
	struct msvm_vma_part part;
	bool other = false, hole = false;
	unsigned long stop;
	int err = 0;

	msvm_policy_put(policy);
	move.dpagemap = msvm_pagemap_get(memory);
	if (IS_ERR(move.dpagemap))
		return PTR_ERR(move.dpagemap);

	while (start < end && msvm_next_part(msvm->mm, start, end, &part)) {
		hole |= part.start > start;
		if (!part.movable) {
			other = true;
			start = part.end;
			continue;
		}
		/* Memory that goes away in between is not asked for again. */
		stop = min(ALIGN(part.start + 1, SZ_2M), part.end);
		err = msvm_request_stopped(member) ?:
		      msvm_move(&move, part.start, stop);
		if (err)
			break;
		start = stop;
	}
	hole |= !err && start < end;
	drm_pagemap_put(move.dpagemap);
	msvm_stat_inc(msvm, MSVM_STAT_MOVES);
	msvm_stat_add(msvm, MSVM_STAT_MOVED_PAGES, move.moved >> PAGE_SHIFT);
	msvm_stat_add(msvm, MSVM_STAT_UNMOVED_PAGES, move.left >> PAGE_SHIFT);

	if (err)
		return err;
	if (hole)
		return -EFAULT;
	if (other)
		return -EOPNOTSUPP;
	return move.left ? (move.err == -ENOSPC ? -ENOSPC : -EBUSY) : 0;
}

static int msvm_migrate_to_system(struct drm_msvm_member *member, u64 start,
				  u64 end)
{
	struct mm_struct *mm = member->msvm->mm;
	struct mmu_interval_notifier notifier;
	struct msvm_vma_part part;
	unsigned long *pfns, stop;
	bool hole = false;
	int err, busy = 0;

	pfns = msvm_alloc(kvmalloc_array(SZ_512, sizeof(*pfns), GFP_KERNEL));
	if (!pfns)
		return -ENOMEM;
	err = mmu_interval_notifier_insert(&notifier, mm, start, end - start,
					   &msvm_move_ops);
	if (err)
		goto out;
	while (start < end && msvm_next_part(mm, start, end, &part)) {
		hole |= part.start > start;
		stop = min(ALIGN(part.start + 1, SZ_2M), part.end);
		err = msvm_request_stopped(member) ?:
		      msvm_piece_to_system(&notifier, NULL, part.start,
					   PHYS_PFN(stop - part.start), pfns);
		if (err == -EBUSY || err == -EFAULT)
			busy = -EBUSY;
		else if (err)
			break;
		err = 0;
		start = stop;
	}
	hole |= !err && start < end;
	mmu_interval_notifier_remove(&notifier);
	msvm_stat_inc(member->msvm, MSVM_STAT_MOVES_TO_SYSTEM);
out:
	kvfree(pfns);
	return err ?: hole ? -EFAULT : busy;
}

/**
 * drm_msvm_migrate() - Move the memory of an interval.
 * @member: A member of the address space.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 * @to: To this device's memory; NULL: to system memory. A device of another
 *	member must not go meanwhile.
 *
 * Across VMAs and ranges; what is there already stays, memory without pages yet
 * gets them there. What can't be moved stays where it is and works as before.
 * Nothing is mapped for any device by it.
 *
 * Context: Sleeps, as long as the process makes it if it uses userfaultfd. Takes
 * mmap_lock; the caller holds no lock that an MMU notifier, or any of the
 * operations for memory, takes. As for drm_msvm_handle_fault(), none may be under
 * way or start once drm_msvm_leave() was called.
 *
 * Return: 0: all of it is there; or, after all that could be moved was,
 *
 * - -EFAULT: there is no memory in part of the interval;
 * - -EOPNOTSUPP: memory of a kind that is not moved (files, shared memory,
 *   huge pages of hugetlbfs);
 * - -EBUSY: some pages could not be moved for now;
 * - -ENOSPC: there was no room for some;
 *
 * or, given up in between,
 *
 * - -EINTR: the calling task is being killed;
 * - -ENODEV: the device is gone;
 * - -EIO: the member was cut off;
 * - -ESRCH: the process's memory is gone;
 * - -ENOMEM: out of memory;
 *
 * or, at once, -EINVAL: an interval that is empty or not page aligned, or a device
 * without memory.
 */
int drm_msvm_migrate(struct drm_msvm_member *member, u64 start, u64 end,
		     struct drm_msvm_device *to)
{
	struct mm_struct *mm = member->msvm->mm;
	int err;

	might_sleep();
	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) ||
	    (to && !to->memory))
		return -EINVAL;
	if (!mmget_not_zero(mm))
		return -ESRCH;
	if (to) {
		/* Pairs with READ_ONCE() in msvm_view_left_alone(). */
		WRITE_ONCE(member->msvm->requested, true);
		err = msvm_migrate_to_device(member, start, end, to->memory);
	} else {
		err = msvm_migrate_to_system(member, start, end);
	}
	/* The last reference may be ours, and this is no place to end an mm. */
	mmput_async(mm);

	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_migrate);
