// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DMA mapping of a walked range for one device. What is built here is what
 * drm_gpusvm_unmap_pages() and drm_gpusvm_free_pages() take down: packed
 * entries whose orders add up to the range, one direction for all of them.
 *
 * A mapping that fails half-way is undone here, by our own code and before the
 * notifier lock is dropped: the exported teardown wants the lock for writing,
 * and without the lock the pages may already be another's.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_pagemap.h>

#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/*
 * Have room for the addresses of a range's runs. Context: sleeps; range mutex
 * held, the entry not mapped. Return: 0 or -ENOMEM.
 */
int msvm_map_reserve(struct drm_msvm_range *range, int idx)
{
	struct msvm_slot_entry *entry = &range->entries[idx];
	struct drm_gpusvm_pages *pages = &range->pages[idx];
	u32 cap = range->nr_runs;

	lockdep_assert_held(&range->lock);

	if (entry->cap >= cap)
		return 0;

	kvfree(pages->dma_addr);
	msvm_stat_bytes(msvm_range_context(range),
			((s64)cap - entry->cap) * sizeof(*pages->dma_addr));
	entry->cap = cap;
	pages->dma_addr = msvm_alloc(kvmalloc_array(cap,
						    sizeof(*pages->dma_addr),
						    GFP_KERNEL));
	if (pages->dma_addr)
		return 0;

	msvm_stat_bytes(msvm_range_context(range),
			-(s64)cap * sizeof(*pages->dma_addr));
	entry->cap = 0;
	return -ENOMEM;
}

/* Undo the first @nr entries of a mapping that is not published. */
static void msvm_unmap_prefix(struct drm_gpusvm_pages *pages, unsigned long nr)
{
	struct drm_pagemap *dpagemap = pages->dpagemap;
	struct device *dev = pages->drm->dev;
	bool iova = dma_use_iova(&pages->state);
	unsigned long i;

	if (iova) {
		if (pages->state_offset)
			dma_iova_unlink(dev, &pages->state, 0,
					pages->state_offset,
					pages->dma_addr[0].dir, 0);
		dma_iova_free(dev, &pages->state);
	}
	for (i = 0; i < nr; i++) {
		struct drm_pagemap_addr *addr = &pages->dma_addr[i];

		if (addr->proto != DRM_INTERCONNECT_SYSTEM) {
			if (dpagemap)
				dpagemap->ops->device_unmap(dpagemap, dev,
							    addr);
		} else if (!iova) {
			dma_unmap_page(dev, addr->addr, PAGE_SIZE << addr->order,
				       msvm_mutated(MSVM_MUTATE_WRONG_DIRECTION) ?
				       DMA_FROM_DEVICE : addr->dir);
		}
	}
	drm_pagemap_put(dpagemap);
	pages->dpagemap = NULL;
	/* dma_iova_free() leaves the size set, as if the space were in use. */
	pages->state = (struct dma_iova_state){};
	pages->state_offset = 0;
}

/* Map one run at the current end of the mapping. */
static int msvm_map_run(struct drm_gpusvm_pages *pages, u64 run,
			enum dma_data_direction dir, dma_addr_t *addr)
{
	size_t size = PAGE_SIZE << msvm_run_order(run);
	struct device *dev = pages->drm->dev;
	unsigned long pfn = msvm_run_pfn(run);
	int err;

	if (msvm_fail_map())
		return -EFAULT;
	if (dma_use_iova(&pages->state)) {
		err = dma_iova_link(dev, &pages->state, PFN_PHYS(pfn),
				    pages->state_offset, size, dir, 0);
		if (err)
			return err;
		*addr = pages->state.addr + pages->state_offset;
		pages->state_offset += size;
		return 0;
	}

	/*
	 * Many devices map the same cache lines, which is the point of it all;
	 * DMA_API_DEBUG takes more than seven for a mistake.
	 */
	*addr = dma_map_page_attrs(dev, pfn_to_page(pfn), 0, size, dir,
				   DMA_ATTR_DEBUGGING_IGNORE_CACHELINES);
	return dma_mapping_error(dev, *addr) ? -EFAULT : 0;
}

/* Is a run in device memory? The range's walk is valid. */
static bool msvm_run_is_device(struct drm_msvm_range *range, u64 run)
{
	/* There is one pagemap in it at most, and in it all such pages. */
	return range->dpagemap &&
	       msvm_pagemap_of_pfn(msvm_run_pfn(run)) ==
	       to_msvm_pagemap(range->dpagemap);
}

/*
 * Map one run of device memory, by its pagemap. Return: 0; -EREMOTE: it can't be made
 * accessible to the device.
 */
static int msvm_map_device_run(struct drm_msvm_range *range,
			       struct drm_gpusvm_pages *pages, u64 run,
			       enum dma_data_direction dir,
			       struct drm_pagemap_addr *addr)
{
	struct msvm_pagemap *pagemap = to_msvm_pagemap(range->dpagemap);
	unsigned long pfn = msvm_run_pfn(run);
	struct device *dev = pages->drm->dev;
	bool first = !pages->dpagemap;
	unsigned long used;

	/* The teardown gives it back, ours and drm_gpusvm's. */
	if (first)
		pages->dpagemap = drm_pagemap_get(range->dpagemap);
	*addr = range->dpagemap->ops->device_map(range->dpagemap, dev,
						 pfn_to_page(pfn),
						 msvm_run_order(run), dir);
	if (addr->addr == DMA_MAPPING_ERROR)
		return -EREMOTE;
	used = msvm_block_touch(pagemap->memory,
				PFN_PHYS(pfn - pagemap->first_pfn), first);
	if (used)
		msvm_stat_add(msvm_range_context(range), MSVM_STAT_PREFETCH_USED,
			      used);
	return 0;
}

static int msvm_map_runs(struct drm_msvm_range *range, int idx,
			 enum dma_data_direction dir)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	struct drm_gpusvm_pages *pages = &range->pages[idx];
	struct device *dev = pages->drm->dev;
	u64 proto = msvm_dma_proto(dev);
	bool space = false;
	dma_addr_t addr;
	unsigned long i;
	int err;

	pages->state = (struct dma_iova_state){};
	pages->state_offset = 0;

	if (msvm_lend_map(range, idx, dir)) {
		msvm_stat_inc(msvm, MSVM_STAT_MAPS_LENT);
		return 0;
	}

	for (i = 0; i < range->nr_runs; i++) {
		u64 run = range->runs[i];

		if (msvm_run_is_device(range, run)) {
			err = msvm_map_device_run(range, pages, run, dir,
						  &pages->dma_addr[i]);
			if (err)
				goto err_unmap;
			continue;
		}
		if (!space)
			dma_iova_try_alloc(dev, &pages->state, 0,
					   drm_gpusvm_range_size(&range->base));
		space = true;
		err = msvm_map_run(pages, run, dir, &addr);
		if (err)
			goto err_unmap;
		pages->dma_addr[i] =
			drm_pagemap_addr_encode(addr, proto,
						msvm_run_order(run), dir);
	}

	if (dma_use_iova(&pages->state)) {
		err = dma_iova_sync(dev, &pages->state, 0,
				    pages->state_offset);
		if (err)
			goto err_unmap;
		msvm_stat_inc(msvm, MSVM_STAT_MAPS_IOVA);
	}
	msvm_dma_settle(pages, i, proto);
	return 0;

err_unmap:
	msvm_dma_settle(pages, i, proto);
	if (!msvm_mutated(MSVM_MUTATE_LEAK_PARTIAL_MAP))
		msvm_unmap_prefix(pages, i);
	return err;
}

/*
 * A device without DMA takes physical addresses of system memory: there is nothing
 * to map or unmap, and the teardown passes entries of this kind by.
 */
static int msvm_map_phys(struct drm_msvm_range *range,
			 struct drm_gpusvm_pages *pages,
			 enum dma_data_direction dir)
{
	unsigned long i;
	int err;

	for (i = 0; i < range->nr_runs; i++) {
		u64 run = range->runs[i];

		if (msvm_run_is_device(range, run)) {
			err = msvm_map_device_run(range, pages, run, dir,
						  &pages->dma_addr[i]);
			if (err) {
				msvm_unmap_prefix(pages, i);
				return err;
			}
			continue;
		}
		pages->dma_addr[i] = drm_pagemap_addr_encode
			(PFN_PHYS(msvm_run_pfn(run)), DRM_MSVM_PROTO_PHYS,
			 msvm_run_order(run), dir);
	}
	return 0;
}

/*
 * Map the runs of a range for the slot of entry @idx, writable if all of them
 * are and the entry may be. Context: range mutex held, notifier lock held for reading, runs valid,
 * addresses reserved.
 *
 * Return: 0; or -EREMOTE: another device's memory could not be mapped, as system memory
 * might be; or -EFAULT, -ENOMEM from the DMA API; and nothing is mapped.
 */
int msvm_map(struct drm_msvm_range *range, int idx)
{
	bool writable = range->runs_writable && !range->entries[idx].read_only;
	enum dma_data_direction dir = writable ? DMA_BIDIRECTIONAL :
						 DMA_TO_DEVICE;
	struct drm_msvm *msvm = msvm_range_context(range);
	struct drm_gpusvm_pages *pages = &range->pages[idx];
	unsigned int slot = range->entries[idx].slot;
	struct drm_gpusvm_pages_flags flags = {
		.__flags = READ_ONCE(pages->flags.__flags),
	};
	int err;

	lockdep_assert_held(&range->lock);
	lockdep_assert_held_read(&range->base.gpusvm->notifier_lock);

	if (msvm->members[slot]->dev->flags & DRM_MSVM_DEVICE_NO_DMA)
		err = msvm_map_phys(range, pages, dir);
	else
		err = msvm_map_runs(range, idx, dir);
	trace_msvm_map(msvm->id, slot, drm_gpusvm_range_start(&range->base),
		       drm_gpusvm_range_end(&range->base), range->nr_runs,
		       writable, err);
	if (err)
		return err;

	msvm_stat_inc(msvm, MSVM_STAT_MAPS);
	msvm_stat_add(msvm, MSVM_STAT_MAP_PAGES, msvm_range_npages(range));
	flags.has_dma_mapping = true;
	flags.has_devmem_pages = !!pages->dpagemap;
	/* Pairs with READ_ONCE() of opportunistic checks. */
	WRITE_ONCE(pages->flags.__flags, flags.__flags);
	return 0;
}

/*
 * Take back a mapping that msvm_map() made under the same hold of the locks and
 * that no device got to know. Context: as msvm_map().
 */
void msvm_unmap_unbound(struct drm_msvm_range *range, int idx)
{
	struct drm_gpusvm_pages *pages = &range->pages[idx];
	struct drm_gpusvm_pages_flags flags = {
		.__flags = READ_ONCE(pages->flags.__flags),
	};

	lockdep_assert_held(&range->lock);
	lockdep_assert_held_read(&range->base.gpusvm->notifier_lock);

	msvm_unmap_prefix(pages, range->nr_runs);
	flags.has_dma_mapping = false;
	flags.has_devmem_pages = false;
	/* Pairs with READ_ONCE() of opportunistic checks. */
	WRITE_ONCE(pages->flags.__flags, flags.__flags);
}

/*
 * Unmap what the device can no longer reach. Context: notifier lock held for
 * writing.
 */
void msvm_unmap(struct drm_msvm_range *range, int idx)
{
	const struct drm_gpusvm_ctx ctx = { .in_notifier = true };

	lockdep_assert_held_write(&range->base.gpusvm->notifier_lock);

	drm_gpusvm_unmap_pages(range->base.gpusvm, &range->pages[idx],
			       msvm_range_npages(range), &ctx);
}

/*
 * Tell the memory management that devices may have written: a device leaves no
 * trace in the CPU's page-table entries, and a clean page may be dropped. The
 * pages can't go away or lose their mapping to a file meanwhile, since the
 * invalidation that could do it has not returned (or not begun).
 *
 * Context: notifier lock held for writing.
 */
void msvm_mark_dirty(struct drm_msvm_range *range)
{
	unsigned long i;

	lockdep_assert_held_write(&range->base.gpusvm->notifier_lock);

	if (!range->runs_valid || !range->written ||
	    msvm_mutated(MSVM_MUTATE_FORGET_DIRTY))
		return;

	for (i = 0; i < range->nr_runs; i++) {
		unsigned long pfn = msvm_run_pfn(range->runs[i]);
		unsigned long end = pfn + BIT(msvm_run_order(range->runs[i]));

		/* Nothing reclaims that; for what comes back see msvm_copy_keep(). */
		if (msvm_run_is_device(range, range->runs[i]))
			continue;
		while (pfn < end) {
			struct folio *folio = page_folio(pfn_to_page(pfn));

			folio_mark_dirty(folio);
			pfn = folio_pfn(folio) + folio_nr_pages(folio);
		}
	}
	range->written = false;
}
