// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a change of attributes does to memory that is mapped already: it is taken away
 * from who may no longer have it at once, and from all if the next fault is to decide
 * anew. No memory is moved, and none mapped: msvm_attr_map.c does that.
 */
#include "msvm_attr.h"
#include "msvm_internal.h"

/* Ranges that are taken away at a time, with one wait; as when a member leaves. */
#define MSVM_ATTR_BATCH		32

/* Take the ranges of [start, end) in a shard away from some slots. */
static void msvm_attr_apply_shard(struct msvm_shard *shard,
				  unsigned long start, unsigned long end,
				  u64 slots)
{
	struct drm_msvm_range *ranges[MSVM_ATTR_BATCH];
	unsigned long index, last;
	unsigned int nr, i;

	index = start > shard->start ? (start - shard->start) >> PAGE_SHIFT : 0;
	last = ((min(end, shard->start + DRM_MSVM_NOTIFIER_SIZE) -
		 shard->start) >> PAGE_SHIFT) - 1;
	do {
		for (nr = 0; nr < MSVM_ATTR_BATCH && index <= last; nr++) {
			ranges[nr] = msvm_range_next(shard, &index, last);
			if (!ranges[nr])
				break;
			/* Its mutex may be held by a fault that sleeps. */
			WRITE_ONCE(ranges[nr]->forget, true);
		}
		if (nr && slots)
			msvm_ranges_drop_slots(ranges, nr, slots);
		for (i = 0; i < nr; i++)
			msvm_range_put(ranges[i]);
		cond_resched();
	} while (nr == MSVM_ATTR_BATCH);
}

/*
 * Do what a change says. By the time of the return no device can do what it may no
 * longer do, also none whose fault was under way. Context: sleeps; takes the context
 * lock, mmap_lock, notifier locks; the caller holds a reference to the mm's users.
 */
void msvm_attr_apply(struct drm_msvm *msvm, unsigned long start,
		     unsigned long end, const struct msvm_attr_effect *effect)
{
	u64 slots = effect->drop_slots;
	struct msvm_shard *shard;
	unsigned long index;

	if (effect->drop) {
		mutex_lock(&msvm->lock);
		bitmap_to_arr64(&slots, msvm->slots, DRM_MSVM_MAX_MEMBERS);
		mutex_unlock(&msvm->lock);
	}
	/*
	 * Who puts a range into the index from now on sees the change before it
	 * maps: pairs with msvm_attr_commit().
	 */
	smp_mb();
	if (effect->changed)
		xa_for_each_range(&msvm->shards, index, shard,
				  start / DRM_MSVM_NOTIFIER_SIZE,
				  (end - 1) / DRM_MSVM_NOTIFIER_SIZE)
			msvm_attr_apply_shard(shard, start, end, slots);
}
