// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Prefetching: windows that the policy engine wants to be moved along with what
 * faulted are moved by a work item of the address space, after the fault is over. It
 * goes piece by piece, each of at most 2 MiB, and from one to the next holds nothing:
 * neither lock nor pagemap nor member, so nobody who leaves or unmaps waits for more
 * than one piece.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>

#include "msvm_attr.h"
#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_memory.h"

/*
 * Times that a window is gone through: a page that somebody has a reference to for a
 * moment (compaction, a batch of another CPU) leaves its leaf behind. The kernel's
 * migrate_pages() tries 10 times, but pages that were asked for.
 */
#define MSVM_PREFETCH_PASSES	3

/* Take the first window, or none. */
static bool msvm_prefetch_next(struct msvm_prefetch *prefetch,
			       struct msvm_window *window)
{
	guard(spinlock)(&prefetch->lock);

	if (prefetch->stop || !prefetch->nr)
		return false;
	*window = prefetch->windows[prefetch->first];
	prefetch->first = (prefetch->first + 1) % MSVM_PREFETCH_DEPTH;
	prefetch->nr--;
	return true;
}

/* The pagemap of a window's device while it is still the slot's, or NULL. */
static struct drm_pagemap *msvm_prefetch_target(struct drm_msvm *msvm,
						const struct msvm_window *window)
{
	struct drm_pagemap *dpagemap = NULL;
	struct drm_msvm_member *member;
	int idx;

	idx = srcu_read_lock(&msvm->srcu);
	member = msvm_member_of(msvm, window->slot);
	if (member && member->dpagemap && member->dev->id == window->dev_id)
		dpagemap = drm_pagemap_get(member->dpagemap);
	srcu_read_unlock(&msvm->srcu, idx);

	return dpagemap;
}

/* Move one piece. Return: whether there is more. */
static bool msvm_prefetch_piece(struct drm_msvm *msvm,
				struct msvm_window *window,
				unsigned long *start)
{
	struct drm_pagemap *dpagemap;
	int err;

	/* Pairs with WRITE_ONCE() in msvm_prefetch_stop(). */
	if (READ_ONCE(msvm->prefetch.stop))
		return false;
	dpagemap = msvm_prefetch_target(msvm, window);
	if (!dpagemap)
		return false;
	if (!mmget_not_zero(msvm->mm)) {
		drm_pagemap_put(dpagemap);
		return false;
	}
	err = msvm_migrate_window(msvm, dpagemap, window, start);
	mmput_async(msvm->mm);
	drm_pagemap_put(dpagemap);

	return !err;
}

/*
 * Is some of at most a leaf to stay where it is: is it pinned, or mapped by other devices
 * than it would go to? It may be by the time of the return. Context: sleeps; no lock.
 */
bool msvm_prefetch_held(struct drm_msvm *msvm, const struct msvm_window *window,
			unsigned long start, unsigned long end)
{
	struct msvm_shard *shard = xa_load(&msvm->shards,
					   start / DRM_MSVM_NOTIFIER_SIZE);
	unsigned long index, last;
	bool held = false;

	if (!shard)
		return false;
	index = (start - shard->start) >> PAGE_SHIFT;
	last = (end - 1 - shard->start) >> PAGE_SHIFT;
	while (!held && index <= last) {
		struct drm_msvm_range *range = msvm_range_next(shard, &index,
							       last);
		u64 mapped;
		u8 at;

		if (!range)
			break;
		bitmap_to_arr64(&mapped, range->mapped, DRM_MSVM_MAX_MEMBERS);
		held = (mapped & ~window->own) ||
		       msvm_place_pinned_until(range, &at);
		msvm_range_put(range);
	}
	return held;
}

static void msvm_prefetch_work(struct work_struct *work)
{
	struct msvm_prefetch *prefetch =
		container_of(work, struct msvm_prefetch, work);
	struct drm_msvm *msvm = container_of(prefetch, struct drm_msvm, prefetch);
	struct msvm_window window;
	unsigned long start;
	unsigned int pass;

	while (msvm_prefetch_next(prefetch, &window)) {
		for (pass = 0; pass < MSVM_PREFETCH_PASSES; pass++) {
			window.busy = false;
			start = window.start;
			while (msvm_prefetch_piece(msvm, &window, &start))
				cond_resched();
			if (!window.busy)
				break;
		}
	}
}

/*
 * Have the window of the last decision moved, after the fault. Context: any that is not
 * atomic.
 */
void msvm_prefetch_window(struct msvm_fault *fault)
{
	const struct msvm_decision *decision = &fault->decision;
	struct drm_msvm *msvm = fault->member->msvm;
	struct msvm_prefetch *prefetch = &msvm->prefetch;
	struct drm_msvm_member *member = NULL, *other;
	unsigned int slot;
	u32 dev_id = 0;
	u64 own = 0;
	int idx;

	if (decision->action != MSVM_MOVE ||
	    decision->to >= DRM_MSVM_MAX_MEMBERS ||
	    decision->window_start >= decision->window_end)
		return;
	idx = srcu_read_lock(&msvm->srcu);
	member = msvm_member_of(msvm, decision->to);
	if (member)
		dev_id = member->dev->id;
	for (slot = 0; member && slot < DRM_MSVM_MAX_MEMBERS; slot++) {
		other = msvm_member_of(msvm, slot);
		if (other && other->dev == member->dev)
			own |= BIT_ULL(slot);
	}
	srcu_read_unlock(&msvm->srcu, idx);
	if (!member)
		return;

	spin_lock(&prefetch->lock);
	if (!prefetch->stop && prefetch->nr < MSVM_PREFETCH_DEPTH)
		prefetch->windows[(prefetch->first + prefetch->nr++) %
				  MSVM_PREFETCH_DEPTH] = (struct msvm_window) {
			.start = PAGE_ALIGN_DOWN(decision->window_start),
			.end = PAGE_ALIGN(decision->window_end),
			.slot = decision->to,
			.dev_id = dev_id,
			.own = own,
			.to_peer = msvm_evicts_to_peer(&fault->policy->params),
		};
	spin_unlock(&prefetch->lock);
	queue_work(msvm_memory_wq, &prefetch->work);
}

/* Does the policy, or an attribute, want anything to be moved along? */
static bool msvm_prefetch_wanted(struct msvm_fault *fault)
{
	const struct msvm_attrs *attrs = &fault->attrs;

	if (attrs->granularity)
		return true;
	if (attrs->prefetch)
		return attrs->prefetch - 1 != MSVM_PREFETCH_NONE;
	return fault->policy->params.prefetch != MSVM_PREFETCH_NONE;
}

/* The memory of a slot's device, to compare with: it may be gone. */
static struct msvm_memory *msvm_prefetch_memory(struct drm_msvm *msvm, u8 slot)
{
	struct drm_msvm_member *member;
	struct msvm_memory *memory;
	int idx;

	idx = srcu_read_lock(&msvm->srcu);
	member = msvm_member_of(msvm, slot);
	memory = member ? member->dev->memory : NULL;
	srcu_read_unlock(&msvm->srcu, idx);

	return memory;
}

/*
 * It was decided to move a range to a device, before anything was known of what may be
 * moved along. Find that out for the view: as far as the VMA and the attributes are the
 * same; which leaves of the block the device has already; and whether the member goes
 * through memory in order. Context: sleeps; range mutex held; takes mmap_lock. Return:
 * whether there is anything new to decide by.
 */
bool msvm_prefetch_along(struct msvm_fault *fault, struct drm_msvm_range *range,
			 struct msvm_known *known)
{
	struct drm_msvm_member *member = fault->member;
	struct mm_struct *mm = member->msvm->mm;
	struct msvm_view *view = &known->view;
	unsigned long block = ALIGN_DOWN(view->start, MSVM_TREE_BLOCK);
	unsigned long start = 0, end = ULONG_MAX, from, to;
	struct msvm_memory *memory = NULL;
	struct msvm_attrs attrs;
	u32 leaves;

	lockdep_assert_held(&range->lock);

	if (fault->decision.action == MSVM_MOVE &&
	    fault->decision.to < DRM_MSVM_MAX_MEMBERS &&
	    msvm_prefetch_wanted(fault))
		memory = msvm_prefetch_memory(member->msvm, fault->decision.to);
	if (!memory || !msvm_vma_limits(mm, view->start, &start, &end))
		return false;
	msvm_attr_lookup(member->msvm, view->start, &start, &end, &attrs);
	view->limit_start = start;
	view->limit_end = end;

	spin_lock(&member->msvm->prefetch.lock);
	known->stream = (struct msvm_stream) {
		.start = member->stream_start,
		.end = member->stream_end,
		.run = member->stream_run,
	};
	spin_unlock(&member->msvm->prefetch.lock);
	view->stream = &known->stream;

	/* A range that is a block has no other leaves. */
	if (view->end - view->start >= MSVM_TREE_BLOCK)
		return true;
	from = max(block, start);
	to = min(block + MSVM_TREE_BLOCK, end);
	if (from < to && IS_ALIGNED(from, PAGE_SIZE) &&
	    !msvm_census_leaves(mm, from, PHYS_PFN(to - from), memory, &leaves))
		view->present = leaves << ((from - block) / MSVM_TREE_LEAF);
	return true;
}

/* The range was moved as decided, and what is along with it will be. Range mutex held. */
void msvm_prefetch_moved(struct msvm_fault *fault, struct drm_msvm_range *range)
{
	const struct msvm_decision *decision = &fault->decision;
	struct drm_msvm_member *member = fault->member;
	u64 start, end, from, to;
	struct msvm_stream stream;

	if (!msvm_prefetch_wanted(fault))
		return;
	start = drm_gpusvm_range_start(&range->base);
	end = drm_gpusvm_range_end(&range->base);
	from = start;
	to = end;
	if (decision->window_end) {
		from = min(start, decision->window_start);
		to = max(end, decision->window_end);
	}

	guard(spinlock)(&member->msvm->prefetch.lock);

	stream = (struct msvm_stream) {
		.start = member->stream_start,
		.end = member->stream_end,
		.run = member->stream_run,
	};
	msvm_stream_moved(&stream, start, end, from, to);
	member->stream_start = stream.start;
	member->stream_end = stream.end;
	member->stream_run = stream.run;
}

/*
 * Something was said about [@start, @end): a stream of a member that led there no longer
 * counts. Range mutex held.
 */
void msvm_prefetch_forget(struct drm_msvm *msvm, u64 start, u64 end)
{
	struct drm_msvm_member *member;
	unsigned int slot;
	int idx;

	idx = srcu_read_lock(&msvm->srcu);
	spin_lock(&msvm->prefetch.lock);
	for (slot = 0; slot < DRM_MSVM_MAX_MEMBERS; slot++) {
		member = msvm_member_of(msvm, slot);
		if (!member || member->stream_start > end ||
		    member->stream_end < start)
			continue;
		member->stream_start = 0;
		member->stream_end = 0;
		member->stream_run = 0;
	}
	spin_unlock(&msvm->prefetch.lock);
	srcu_read_unlock(&msvm->srcu, idx);
}

void msvm_prefetch_init(struct msvm_prefetch *prefetch)
{
	spin_lock_init(&prefetch->lock);
	INIT_WORK(&prefetch->work, msvm_prefetch_work);
}

/* The address space goes: all members have left. Context: sleeps. */
void msvm_prefetch_stop(struct msvm_prefetch *prefetch)
{
	spin_lock(&prefetch->lock);
	/* Pairs with READ_ONCE() between two pieces. */
	WRITE_ONCE(prefetch->stop, true);
	prefetch->nr = 0;
	spin_unlock(&prefetch->lock);
	cancel_work_sync(&prefetch->work);
}
