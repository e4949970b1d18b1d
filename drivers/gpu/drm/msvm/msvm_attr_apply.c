// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a change of attributes does to memory that is mapped already: it is taken away
 * from who may no longer have it at once, from all if the next fault is to decide
 * anew, and mapped for who is to have it. No memory is moved.
 */
#include <linux/slab.h>

#include <drm/drm_msvm_memory.h>

#include "msvm_attr.h"
#include "msvm_internal.h"

/* Ranges that are taken away at a time, with one wait; as when a member leaves. */
#define MSVM_ATTR_BATCH		32

/* Pages that drm_msvm_residency() is asked about at a time: a block of 2 MiB. */
#define MSVM_ATTR_PAGES		(SZ_2M / PAGE_SIZE)

/* Take the ranges of [start, end) in a shard away from some slots. */
static void msvm_attr_apply_shard(struct msvm_shard *shard,
				  unsigned long start, unsigned long end,
				  u64 slots)
{
	struct drm_msvm_range *ranges[MSVM_ATTR_BATCH];
	unsigned long index, last;
	unsigned int nr, i, slot;

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
		for (slot = 0; nr && slot < DRM_MSVM_MAX_MEMBERS; slot++)
			if (slots & BIT_ULL(slot))
				msvm_ranges_drop_slot(ranges, nr, slot);
		for (i = 0; i < nr; i++)
			msvm_range_put(ranges[i]);
		cond_resched();
	} while (nr == MSVM_ATTR_BATCH);
}

/* Map a block's pages, as far as there are any. Return: 0, or an error that lasts. */
static int msvm_attr_map_block(struct drm_msvm_member *member,
			       unsigned long start, unsigned long end,
			       u32 *where)
{
	unsigned long addr;
	int err;

	err = drm_msvm_residency(member, start, PHYS_PFN(end - start), where);
	if (err)
		return err == -EINTR || err == -ESRCH ? err : 0;

	for (addr = start; addr < end;) {
		/* Nothing is made only to be mapped. */
		if (where[PHYS_PFN(addr - start)] == DRM_MSVM_WHERE_NONE) {
			addr += PAGE_SIZE;
			continue;
		}
		err = msvm_fault_serve_for(NULL, member, addr,
					   DRM_MSVM_ACCESS_READ);
		if (err == -EINTR || err == -ESRCH || err == -EIO)
			return err;
		/* What can't be mapped now is when it is accessed. */
		if (err)
			return 0;
		addr = msvm_range_end_at(member->msvm, addr);
	}
	return 0;
}

/* Map an interval for a member that is to have it. A hint: it may fault as before. */
static void msvm_attr_map(struct drm_msvm_member *member, unsigned long start,
			  unsigned long end)
{
	unsigned long stop;
	u32 *where;

	where = msvm_alloc(kmalloc_array(MSVM_ATTR_PAGES, sizeof(*where),
					 GFP_KERNEL));
	if (!where)
		return;
	start = umax(start, member->va_start);
	end = umin(end, member->va_end);
	for (; start < end; start = stop) {
		stop = min(ALIGN(start + 1, SZ_2M), end);
		if (msvm_attr_map_block(member, start, stop, where))
			break;
		cond_resched();
	}
	kfree(where);
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
	unsigned int i;

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

	for (i = 0; i < effect->nr; i++)
		msvm_attr_map(effect->members[i], start, end);
}
