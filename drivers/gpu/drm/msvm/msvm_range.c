// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Ranges: memory, lookup by address, and the array of struct drm_gpusvm_pages
 * with one entry for each device slot that mapped the range.
 *
 * The array is contiguous because drm_gpusvm takes it as one, and packed
 * because a range costs memory only for the devices that use it: entries are
 * appended when a slot first maps and reused after a member left.
 */
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "msvm_internal.h"
#include "msvm_trace.h"

/* A cache of its own: sizes between the kmalloc ones, and a leak is named. */
static struct kmem_cache *msvm_range_cache;

int msvm_range_cache_init(void)
{
	msvm_range_cache = KMEM_CACHE(drm_msvm_range, 0);
	return msvm_range_cache ? 0 : -ENOMEM;
}

void msvm_range_cache_exit(void)
{
	kmem_cache_destroy(msvm_range_cache);
}

/* Of a range that is zeroed. */
void msvm_range_init(struct drm_msvm_range *range)
{
	mutex_init(&range->lock);
	INIT_LIST_HEAD(&range->collect_link);
	range->pages = range->inline_pages;
	range->entries = range->inline_entries;
	range->cap_slots = MSVM_INLINE_SLOTS;
	msvm_heat_forget(&range->heat);
}

/* drm_gpusvm_ops.range_alloc. Context: sleeps, shard lock held. */
struct drm_gpusvm_range *msvm_range_alloc(struct drm_gpusvm *gpusvm)
{
	struct drm_msvm_range *range;

	range = msvm_alloc(kmem_cache_zalloc(msvm_range_cache, GFP_KERNEL));
	if (!range)
		return NULL;

	msvm_range_init(range);
	msvm_stat_bytes(to_msvm_shard(gpusvm)->msvm, sizeof(*range));

	return &range->base;
}

static size_t msvm_slots_size(unsigned int cap)
{
	return cap * (sizeof(struct drm_gpusvm_pages) +
		      sizeof(struct msvm_slot_entry));
}

/*
 * Free the DMA address array of an entry that is not mapped. Its device may be gone:
 * one that leaves takes its entries out of the ranges that it finds in the index only.
 * So this is not drm_gpusvm_free_pages(), which looks at it whatever is mapped.
 */
static void msvm_range_free_entry(struct drm_msvm_range *range, int idx)
{
	struct msvm_slot_entry *entry = &range->entries[idx];
	struct drm_gpusvm_pages *pages = &range->pages[idx];
	struct drm_gpusvm_pages_flags flags = {
		.__flags = READ_ONCE(pages->flags.__flags),
	};

	if (WARN_ON_ONCE(flags.has_dma_mapping)) {
		drm_gpusvm_free_pages(range->base.gpusvm, pages,
				      msvm_range_npages(range));
	} else {
		kvfree(pages->dma_addr);
		pages->dma_addr = NULL;
	}
	msvm_stat_bytes(msvm_range_context(range),
			-(s64)(entry->cap * sizeof(struct drm_pagemap_addr)));
	entry->cap = 0;
}

/* Free what a range has. Context: sleeps, no notifier lock; nothing is mapped. */
void msvm_range_fini(struct drm_msvm_range *range)
{
	s64 bytes = range->cap_runs * sizeof(*range->runs);
	int i;

	for (i = 0; i < range->nr_slots; i++)
		msvm_range_free_entry(range, i);
	if (range->pages != range->inline_pages) {
		bytes += msvm_slots_size(range->cap_slots);
		kfree(range->pages);
	}
	kvfree(range->runs);
	/* Each pin has its end. */
	if (range->pinned) {
		msvm_stat_inc(msvm_range_context(range), MSVM_STAT_UNPINS);
		trace_msvm_unpin(msvm_range_context(range)->id,
				 drm_gpusvm_range_start(&range->base),
				 drm_gpusvm_range_end(&range->base));
	}
	if (range->heat.thrash)
		bytes += sizeof(*range->heat.thrash);
	kfree(range->heat.thrash);
	mutex_destroy(&range->lock);
	msvm_stat_bytes(msvm_range_context(range), -bytes);
}

/*
 * drm_gpusvm_ops.range_free: the last reference is gone. Context: sleeps, no
 * notifier lock.
 */
void msvm_range_free(struct drm_gpusvm_range *base)
{
	struct drm_msvm_range *range = to_msvm_range(base);

	msvm_range_fini(range);
	msvm_stat_bytes(msvm_range_context(range), -(s64)sizeof(*range));
	kfree_rcu(range, rcu);
}

/* Drop a reference. Context: sleeps, no notifier lock. */
void msvm_range_put(struct drm_msvm_range *range)
{
	drm_gpusvm_range_put(&range->base);
}

/*
 * Find the live range at @addr and take a reference. Context: any that may
 * enter an RCU read section.
 */
struct drm_msvm_range *msvm_range_lookup(struct msvm_shard *shard,
					 unsigned long addr)
{
	struct drm_msvm_range *range;

	rcu_read_lock();
	range = xa_load(&shard->index, (addr - shard->start) >> PAGE_SHIFT);
	/* Zero: on its way out, and the caller inserts a new one. */
	if (range && !kref_get_unless_zero(&range->base.refcount))
		range = NULL;
	rcu_read_unlock();

	return range;
}

/*
 * Ranges are powers of two in size and aligned to it, as multi-index entries
 * must be. Unlike a maple tree's, their removal cannot fail.
 */
static int msvm_range_index(struct msvm_shard *shard,
			    struct drm_msvm_range *range)
{
	unsigned long first = (drm_gpusvm_range_start(&range->base) -
			       shard->start) >> PAGE_SHIFT;
	XA_STATE_ORDER(xas, &shard->index, first,
		       ilog2(msvm_range_npages(range)));

	lockdep_assert_held(&shard->lock);

	if (msvm_fail_alloc())
		return -ENOMEM;
	do {
		xas_lock(&xas);
		xas_store(&xas, range);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));
	if (xas_error(&xas))
		return xas_error(&xas);

	range->indexed = true;
	atomic_long_inc(&shard->msvm->nr_ranges);
	msvm_stat_inc(shard->msvm, MSVM_STAT_RANGES_CREATED);
	if (!shard->nr_ranges++) {
		atomic_long_inc(&shard->msvm->nr_notifiers);
		msvm_stat_bytes(shard->msvm,
				sizeof(struct drm_gpusvm_notifier));
	}
	return 0;
}

/* Take a range out of the index, before it is removed from the tree. */
void msvm_range_unindex(struct msvm_shard *shard, struct drm_msvm_range *range)
{
	lockdep_assert_held(&shard->lock);

	if (!range->indexed)
		return;

	xa_erase(&shard->index, (drm_gpusvm_range_start(&range->base) -
				 shard->start) >> PAGE_SHIFT);
	range->indexed = false;
	atomic_long_dec(&shard->msvm->nr_ranges);
	if (!--shard->nr_ranges) {
		atomic_long_dec(&shard->msvm->nr_notifiers);
		msvm_stat_bytes(shard->msvm,
				-(s64)sizeof(struct drm_gpusvm_notifier));
	}
}

/*
 * The next range of a shard from page *@index on, up to page @last, that is not on its
 * way out; *@index is then behind it. Context: any that is not atomic. Return: it, with
 * a reference, or NULL.
 */
struct drm_msvm_range *msvm_range_next(struct msvm_shard *shard,
				       unsigned long *index, unsigned long last)
{
	struct drm_msvm_range *range;

	rcu_read_lock();
	/* One on its way out was unmapped before. */
	while ((range = xa_find(&shard->index, index, last, XA_PRESENT)) &&
	       !kref_get_unless_zero(&range->base.refcount))
		++*index;
	rcu_read_unlock();
	if (range)
		*index = (drm_gpusvm_range_end(&range->base) - shard->start) >>
			 PAGE_SHIFT;
	return range;
}

/* Where the range at @addr ends, or the page if there is none (any more). */
unsigned long msvm_range_end_at(struct drm_msvm *msvm, unsigned long addr)
{
	struct msvm_shard *shard = xa_load(&msvm->shards,
					   addr / DRM_MSVM_NOTIFIER_SIZE);
	struct drm_msvm_range *range = shard ? msvm_range_lookup(shard, addr) :
					       NULL;
	unsigned long end = ALIGN_DOWN(addr, PAGE_SIZE) + PAGE_SIZE;

	if (range) {
		end = drm_gpusvm_range_end(&range->base);
		msvm_range_put(range);
	}
	return end;
}

/*
 * Find or insert the range at @addr, at most @chunk bytes large and within the
 * member's window if it is new. Access rights are left to the walk.
 *
 * Context: sleeps; takes the shard lock and mmap_lock. The caller holds a
 * reference to the mm's users.
 *
 * Return: the range with a reference; -EFAULT: no memory at @addr;
 * -EOPNOTSUPP: memory of a kind that can't be mapped (VM_IO, VM_PFNMAP);
 * -ENOMEM.
 */
struct drm_msvm_range *msvm_range_create(struct msvm_shard *shard,
					 struct drm_msvm_member *member,
					 unsigned long addr,
					 unsigned long chunk)
{
	const struct drm_gpusvm_ctx ctx = {
		.read_only = true,
		/* If a device has any: the range learns what memory it is of. */
		.devmem_possible = true,
	};
	unsigned long lo = max3((unsigned long)member->va_start, shard->start,
				ALIGN_DOWN(addr, chunk));
	unsigned long hi = min3((unsigned long)member->va_end,
				shard->start + DRM_MSVM_NOTIFIER_SIZE,
				ALIGN_DOWN(addr, chunk) + chunk);
	struct drm_gpusvm_range *base;
	struct drm_msvm_range *range;
	int err;

	mutex_lock(&shard->lock);
	base = drm_gpusvm_range_find_or_insert(&shard->gpusvm, addr, lo, hi,
					       &ctx);
	if (IS_ERR(base)) {
		err = PTR_ERR(base);
		goto err_unlock;
	}
	range = to_msvm_range(base);
	if (!range->indexed) {
		err = msvm_range_index(shard, range);
		if (err) {
			/* A notifier may have given it to the collector. */
			mutex_lock(&range->lock);
			/* Pairs with smp_load_acquire() of the collector. */
			smp_store_release(&range->removed, true);
			mutex_unlock(&range->lock);
			drm_gpusvm_range_remove(&shard->gpusvm, base);
			goto err_unlock;
		}
	}
	drm_gpusvm_range_get(base);
	mutex_unlock(&shard->lock);

	return range;

err_unlock:
	mutex_unlock(&shard->lock);
	switch (err) {
	case -EIO:
		return ERR_PTR(-EOPNOTSUPP);
	case -ENOMEM:
	case -EINTR:
		return ERR_PTR(err);
	default:
		/* No VMA (-ENOENT), or none that holds a page (-EINVAL). */
		return ERR_PTR(-EFAULT);
	}
}

/* Index of a slot's entry, or -ENOENT. Range mutex or notifier lock held. */
int msvm_range_find_slot(struct drm_msvm_range *range, u8 slot)
{
	int i;

	lockdep_assert(lockdep_is_held(&range->lock) ||
		       lockdep_is_held(&range->base.gpusvm->notifier_lock));

	for (i = 0; i < range->nr_slots; i++)
		if (range->entries[i].slot == slot)
			return i;
	return -ENOENT;
}

/* Make room for more entries, moving them under both locks that readers hold. */
static int msvm_range_grow(struct drm_msvm_range *range)
{
	unsigned int cap = min(range->cap_slots * 2, DRM_MSVM_MAX_MEMBERS);
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	struct drm_gpusvm_pages *pages, *old = NULL;
	struct msvm_slot_entry *entries;

	lockdep_assert_held(&range->lock);

	pages = msvm_alloc(kzalloc(msvm_slots_size(cap), GFP_KERNEL));
	if (!pages)
		return -ENOMEM;
	entries = (struct msvm_slot_entry *)(pages + cap);

	msvm_stat_bytes(msvm_range_context(range), msvm_slots_size(cap));
	down_write(&gpusvm->notifier_lock);
	memcpy(pages, range->pages, range->nr_slots * sizeof(*pages));
	memcpy(entries, range->entries, range->nr_slots * sizeof(*entries));
	if (range->pages != range->inline_pages) {
		old = range->pages;
		msvm_stat_bytes(msvm_range_context(range),
				-(s64)msvm_slots_size(range->cap_slots));
	}
	range->pages = pages;
	range->entries = entries;
	range->cap_slots = cap;
	up_write(&gpusvm->notifier_lock);
	kfree(old);

	return 0;
}

/*
 * Find or add the entry of a member's slot. Context: sleeps, range mutex held.
 * Return: its index, or -ENOMEM.
 */
int msvm_range_add_slot(struct drm_msvm_range *range,
			struct drm_msvm_member *member)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	int idx, err;

	lockdep_assert_held(&range->lock);

	idx = msvm_range_find_slot(range, member->slot);
	if (idx >= 0)
		return idx;

	idx = msvm_range_find_slot(range, MSVM_SLOT_NONE);
	if (idx < 0 && range->nr_slots == range->cap_slots) {
		err = msvm_range_grow(range);
		if (err)
			return err;
	}

	/* For writing: a leaving member frees its entry without the mutex. */
	down_write(&gpusvm->notifier_lock);
	if (idx < 0)
		idx = range->nr_slots++;
	drm_gpusvm_init_pages(&range->pages[idx], member->dev->drm);
	range->entries[idx].slot = member->slot;
	range->entries[idx].read_only = false;
	range->entries[idx].cap = 0;
	/* The fault that it is made for. */
	range->entries[idx].faults = 1;
	range->entries[idx].since = jiffies;
	up_write(&gpusvm->notifier_lock);

	return idx;
}
