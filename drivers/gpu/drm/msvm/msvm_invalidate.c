// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Invalidation: take memory away from every device before the CPU side changes
 * it. Shoot-downs are started on all devices, then awaited, then the pages are
 * unmapped; a device without a mapping costs nothing.
 *
 * All of this runs with the notifier lock held for writing, in the middle of
 * any memory operation of the process, reclaim included: no allocation, no
 * other lock of ours.
 */
#include <linux/mmu_notifier.h>
#include <linux/timekeeping.h>

#include <drm/drm_device.h>
#include <drm/drm_print.h>

#include "msvm_internal.h"
#include "msvm_trace.h"

/**
 * struct msvm_flush - Shoot-downs started and not yet awaited.
 * @ticket: Newest ticket of each slot in @slots.
 * @slots: Slots that were zapped.
 * @own: By a fault of the only slot, which maps it again.
 */
struct msvm_flush {
	u64 ticket[DRM_MSVM_MAX_MEMBERS];
	DECLARE_BITMAP(slots, DRM_MSVM_MAX_MEMBERS);
	bool own;
};

/* Start the shoot-down of a range for one slot. */
static void msvm_range_zap(struct drm_msvm_range *range, unsigned int slot,
			   struct msvm_flush *flush)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	struct drm_msvm_member *member = msvm->members[slot];

	lockdep_assert_held_write(&range->base.gpusvm->notifier_lock);

	/*
	 * It reaches nothing any more, and each wait would take its full time. Pairs
	 * with smp_store_release() in msvm_zap_wait().
	 */
	if (smp_load_acquire(&member->cut_off)) {
		clear_bit(slot, range->bound);
		return;
	}
	/* A device without page faults must not come upon what is cleared. */
	if (range->is_userptr)
		msvm_userptr_quiesce(range, slot);
	else
		msvm_keep_invalidate(member,
				     drm_gpusvm_range_start(&range->base),
				     drm_gpusvm_range_end(&range->base),
				     flush->own);
	clear_bit(slot, range->bound);
	if (msvm_mutated(MSVM_MUTATE_SKIP_ZAP) ||
	    (msvm_mutated(MSVM_MUTATE_FORGET_SLOT) && slot &&
	     slot == find_last_bit(range->mapped, DRM_MSVM_MAX_MEMBERS)))
		return;

	if (range->is_userptr)
		flush->ticket[slot] = msvm_userptr_zap(range, slot);
	else
		flush->ticket[slot] =
			member->dev->ops->zap(member,
				drm_gpusvm_range_start(&range->base),
				drm_gpusvm_range_end(&range->base));
	__set_bit(slot, flush->slots);
	msvm_stat_inc(msvm, MSVM_STAT_ZAPS);
	if (msvm_mutated(MSVM_MUTATE_WAIT_EARLY))
		msvm_zap_wait(member, flush->ticket[slot]);
}

/*
 * Wait for a member's shoot-downs. A device that does not answer is cut off:
 * nobody's munmap() may hang on it, and its mappings count as gone only once it
 * can't use them. Context: sleeps; notifier lock held for writing.
 */
void msvm_zap_wait(struct drm_msvm_member *member, u64 ticket)
{
	if (!member->dev->ops->zap_wait(member, ticket))
		return;

	if (!READ_ONCE(member->wedged)) {
		/* Pairs with READ_ONCE() in the fault path. */
		WRITE_ONCE(member->wedged, true);
		msvm_stat_inc(member->msvm, MSVM_STAT_WEDGED);
		drm_err(member->dev->drm,
			"msvm: shoot-down not answered, cut off from address space %u\n",
			member->msvm->id);
	}
	member->dev->ops->cut_off(member);
	/* Only now: who sees it unmaps without asking the device. */
	smp_store_release(&member->cut_off, true);
}

static void msvm_flush_wait(struct drm_msvm *msvm, struct msvm_flush *flush)
{
	unsigned int slot;

	if (msvm_mutated(MSVM_MUTATE_SKIP_WAIT))
		return;
	for_each_set_bit(slot, flush->slots, DRM_MSVM_MAX_MEMBERS)
		msvm_zap_wait(msvm->members[slot], flush->ticket[slot]);
}

/* Unmap one slot that no device can reach any more. */
static void msvm_range_unmap_slot(struct drm_msvm_range *range,
				  unsigned int slot)
{
	int idx = msvm_range_find_slot(range, slot);

	clear_bit(slot, range->mapped);
	clear_bit(slot, range->writable);
	if (idx >= 0)
		msvm_unmap(range, idx);
}

/* Unmap all slots and forget the walk: the second half of an invalidation. */
static void msvm_range_release(struct drm_msvm_range *range)
{
	unsigned int slot;

	lockdep_assert_held_write(&range->base.gpusvm->notifier_lock);

	/* For the next fault, which will look where it is then. */
	if (range->runs_valid && range->dpagemap)
		WRITE_ONCE(range->taken, ktime_get_mono_fast_ns());
	msvm_mark_dirty(range);
	for_each_set_bit(slot, range->mapped, DRM_MSVM_MAX_MEMBERS)
		msvm_range_unmap_slot(range, slot);
	if (!msvm_mutated(MSVM_MUTATE_REUSE_RUNS))
		range->runs_valid = false;
}

static void msvm_drop_slots(struct drm_msvm_range **ranges, unsigned int nr,
			    u64 slots, bool own)
{
	struct drm_gpusvm *gpusvm = ranges[0]->base.gpusvm;
	struct msvm_flush flush = { .own = own };
	unsigned int i, slot;

	down_write(&gpusvm->notifier_lock);
	for (i = 0; i < nr; i++)
		for_each_set_bit(slot, ranges[i]->bound, DRM_MSVM_MAX_MEMBERS)
			if (slots & BIT_ULL(slot))
				msvm_range_zap(ranges[i], slot, &flush);
	msvm_flush_wait(msvm_range_context(ranges[0]), &flush);
	for (i = 0; i < nr; i++)
		for_each_set_bit(slot, ranges[i]->mapped, DRM_MSVM_MAX_MEMBERS)
			if (slots & BIT_ULL(slot))
				msvm_range_unmap_slot(ranges[i], slot);
	up_write(&gpusvm->notifier_lock);
}

/*
 * Take ranges of one shard away from some slots while the others keep them. What the
 * devices wrote stays remembered in &drm_msvm_range.written. However many they are,
 * shoot-downs are started on all devices, then awaited. Context: sleeps; takes the
 * notifier lock for writing.
 */
void msvm_ranges_drop_slots(struct drm_msvm_range **ranges, unsigned int nr,
			    u64 slots)
{
	msvm_drop_slots(ranges, nr, slots, false);
}

/* Likewise one range, from a slot whose own fault is to map it in another way. */
void msvm_range_drop_own(struct drm_msvm_range *range, unsigned int slot)
{
	msvm_drop_slots(&range, 1, BIT_ULL(slot), true);
}

/* Likewise, from one slot. */
void msvm_ranges_drop_slot(struct drm_msvm_range **ranges, unsigned int nr,
			   unsigned int slot)
{
	msvm_ranges_drop_slots(ranges, nr, BIT_ULL(slot));
}

/* Take a range away from all. Context: notifier lock held for writing. */
void msvm_range_drop_all(struct drm_msvm_range *range)
{
	struct msvm_flush flush = {};
	unsigned int slot;

	lockdep_assert_held_write(&range->base.gpusvm->notifier_lock);

	for_each_set_bit(slot, range->bound, DRM_MSVM_MAX_MEMBERS)
		msvm_range_zap(range, slot, &flush);
	msvm_flush_wait(msvm_range_context(range), &flush);
	msvm_range_release(range);
}

/* Mark a range unmapped and hand it to the collector. */
static void msvm_range_set_unmapped(struct drm_msvm_range *range,
				    const struct mmu_notifier_range *mmu_range)
{
	struct msvm_shard *shard = msvm_range_shard(range);

	drm_gpusvm_range_set_unmapped(&range->base, range->pages,
				      range->nr_slots, mmu_range);

	spin_lock(&shard->collect_lock);
	if (list_empty(&range->collect_link)) {
		drm_gpusvm_range_get(&range->base);
		list_add_tail(&range->collect_link, &shard->collect);
	}
	spin_unlock(&shard->collect_lock);
}

/* drm_gpusvm_ops.invalidate. Context: notifier lock held for writing. */
void msvm_invalidate(struct drm_gpusvm *gpusvm,
		     struct drm_gpusvm_notifier *notifier,
		     const struct mmu_notifier_range *mmu_range)
{
	unsigned long start = max(mmu_range->start,
				  drm_gpusvm_notifier_start(notifier));
	unsigned long end = min(mmu_range->end,
				drm_gpusvm_notifier_end(notifier));
	bool unmap = mmu_range->event == MMU_NOTIFY_UNMAP;
	struct msvm_shard *shard = to_msvm_shard(gpusvm);
	struct drm_msvm *msvm = shard->msvm;
	struct drm_gpusvm_range *base = NULL;
	struct msvm_flush flush = {};
	unsigned int slot, hit = 0;

	lockdep_assert_held_write(&gpusvm->notifier_lock);

	drm_gpusvm_for_each_range(base, notifier, start, end) {
		struct drm_msvm_range *range = to_msvm_range(base);

		if (!hit++)
			trace_msvm_invalidate_start(msvm->id, start, end,
						    mmu_range->event);
		/* Also with nothing mapped: a walk may be under way. */
		WRITE_ONCE(range->seq, range->seq + 1);
		for_each_set_bit(slot, range->bound, DRM_MSVM_MAX_MEMBERS)
			msvm_range_zap(range, slot, &flush);
		if (msvm_mutated(MSVM_MUTATE_UNMAP_BEFORE_WAIT))
			msvm_range_release(range);
	}
	if (!hit)
		return;

	msvm_stat_inc(msvm, MSVM_STAT_INVALIDATIONS);
	msvm_flush_wait(msvm, &flush);

	base = NULL;
	drm_gpusvm_for_each_range(base, notifier, start, end) {
		struct drm_msvm_range *range = to_msvm_range(base);

		msvm_range_release(range);
		if (unmap)
			msvm_range_set_unmapped(range, mmu_range);
	}
	if (unmap)
		msvm_shard_queue_collect(shard);

	trace_msvm_invalidate_end(msvm->id, start, end, hit,
				  bitmap_weight(flush.slots,
						DRM_MSVM_MAX_MEMBERS));
}
