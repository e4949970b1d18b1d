// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DMA addresses that nobody has to give back, and devices that have the same ones.
 *
 * Where a device's DMA address is the physical address (no IOMMU that translates, no
 * bounce buffers) there is nothing to undo when memory is taken away, and the DMA API
 * says so: dma_need_unmap(). Such entries are marked, so that the teardown, with the
 * notifier lock held for writing, passes them by.
 *
 * Such an address depends on what the device reaches and on nothing else, so a device
 * that comes second can take over the first one's, if both reach the same: one copy
 * instead of a call of the DMA API for each entry. It holds whatever becomes of the
 * lender, since nothing is undone when that one leaves. Behind an IOMMU an address
 * belongs to a domain and to who mapped it, and is never lent.
 */
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/moduleparam.h>

#include <drm/drm_device.h>
#include <drm/drm_pagemap.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

static bool msvm_skip_unmap = true;
module_param_named(skip_unmap, msvm_skip_unmap, bool, 0644);
MODULE_PARM_DESC(skip_unmap, "Pass by mappings that need no unmapping (default true)");

static bool msvm_lend = true;
module_param_named(lend, msvm_lend, bool, 0644);
MODULE_PARM_DESC(lend, "Let devices take over others' mappings that need no unmapping (default true)");

/*
 * The kind of address that mappings of system memory for a device are, as far as can be
 * said before they are made. Any context.
 */
u64 msvm_dma_proto(struct device *dev)
{
	return READ_ONCE(msvm_skip_unmap) && !dma_need_unmap(dev) ?
	       DRM_MSVM_PROTO_DMA : DRM_INTERCONNECT_SYSTEM;
}

/*
 * The first @nr entries of @pages were mapped as @proto: does that still hold? Only now
 * is it known whether one of them went to a bounce buffer. Context: as msvm_map().
 */
void msvm_dma_settle(struct drm_gpusvm_pages *pages, unsigned long nr, u64 proto)
{
	unsigned long i;

	if (proto == DRM_INTERCONNECT_SYSTEM || !dma_need_unmap(pages->drm->dev))
		return;
	for (i = 0; i < nr; i++)
		if (pages->dma_addr[i].proto == proto)
			pages->dma_addr[i].proto = DRM_INTERCONNECT_SYSTEM;
}

/*
 * Is an address that needs no unmapping the same for both? Those registered are
 * coherent, reach all memory and do not bounce. What could still differ is an offset
 * of the bus, and memory that is added beyond what one of them reaches.
 */
static bool msvm_lend_equivalent(struct device *a, struct device *b)
{
	if (msvm_mutated(MSVM_MUTATE_LEND_TO_ANY))
		return true;
	return !a->dma_range_map && !b->dma_range_map &&
	       dma_get_mask(a) == dma_get_mask(b) &&
	       a->bus_dma_limit == b->bus_dma_limit;
}

/*
 * Take over a mapping if it is of the same runs. It may be older than the last walk,
 * which found other rights and so other pieces. As long as all pieces before are the
 * same, it has one more, as both add up to the range.
 */
static bool msvm_lend_copy(const struct drm_msvm_range *range,
			   const struct drm_pagemap_addr *from,
			   struct drm_pagemap_addr *to,
			   enum dma_data_direction dir)
{
	unsigned long i;

	for (i = 0; i < range->nr_runs; i++) {
		if (from[i].proto != DRM_MSVM_PROTO_DMA || from[i].dir != dir ||
		    from[i].order != msvm_run_order(range->runs[i]))
			return false;
		to[i] = from[i];
	}
	return true;
}

/*
 * Map a range for the slot of entry @idx by another's mapping of it, where that is the
 * same. Context: as msvm_map(). Return: whether it was.
 */
bool msvm_lend_map(struct drm_msvm_range *range, int idx,
		   enum dma_data_direction dir)
{
	struct drm_gpusvm_pages *pages = &range->pages[idx];
	struct device *dev = pages->drm->dev;
	int i;

	lockdep_assert_held(&range->lock);
	lockdep_assert_held_read(&range->base.gpusvm->notifier_lock);

	if (!READ_ONCE(msvm_lend) || range->dpagemap)
		return false;
	if (msvm_dma_proto(dev) != DRM_MSVM_PROTO_DMA &&
	    !msvm_mutated(MSVM_MUTATE_LEND_TO_ANY))
		return false;
	for (i = 0; i < range->nr_slots; i++) {
		u8 slot = range->entries[i].slot;

		if (i == idx || slot == MSVM_SLOT_NONE ||
		    !test_bit(slot, range->mapped) ||
		    !msvm_lend_equivalent(range->pages[i].drm->dev, dev))
			continue;
		if (msvm_lend_copy(range, range->pages[i].dma_addr,
				   pages->dma_addr, dir))
			return true;
	}
	return false;
}
