// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copying for drm_pagemap: turns its arrays of pages and addresses into pieces,
 * as large as they are contiguous on both sides, for the driver to copy.
 */
#include <linux/dma-direct.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>

#include <drm/drm_device.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/* Pieces given to the driver at a time; they are on the stack. */
#define MSVM_COPY_BATCH		16

/**
 * struct msvm_copier - Pieces collected for one driver.
 * @memory: Memory that is one side of all of them.
 * @n: How many there are.
 * @copies: The pieces.
 */
struct msvm_copier {
	struct msvm_memory *memory;
	unsigned int n;
	struct drm_msvm_copy copies[MSVM_COPY_BATCH];
};

static int msvm_copier_flush(struct msvm_copier *copier)
{
	struct msvm_memory *memory = copier->memory;
	unsigned int i, n = copier->n;
	int err;

	if (!n)
		return 0;
	copier->n = 0;
	err = memory->ops->copy(memory->dev, copier->copies, n);
	if (err)
		return err;

	for (i = 0; i < n; i++) {
		const struct drm_msvm_copy *copy = &copier->copies[i];

		if (copy->op != DRM_MSVM_COPY_FROM_VRAM)
			atomic64_add(copy->size, &memory->moved_in);
		else if (copy->proto == DRM_MSVM_PROTO_PEER)
			atomic64_add(copy->size, &memory->moved_peer);
		else
			atomic64_add(copy->size, &memory->moved_out);
	}
	return 0;
}

/* Devices that take physical addresses had another device's mapped for them. */
static void msvm_copy_address(struct msvm_memory *memory,
			      struct drm_msvm_copy *copy)
{
	if (copy->op == DRM_MSVM_COPY_CLEAR ||
	    copy->proto != DRM_INTERCONNECT_SYSTEM ||
	    !(memory->dev->flags & DRM_MSVM_DEVICE_NO_DMA))
		return;
	copy->addr = dma_to_phys(memory->dma_dev, copy->addr);
	copy->proto = DRM_MSVM_PROTO_PHYS;
}

/* Append a piece, or make the last one longer. */
static int msvm_copier_add(struct msvm_copier *copier, struct msvm_memory *memory,
			   struct drm_msvm_copy *copy)
{
	struct drm_msvm_copy *last = copier->n ?
				     &copier->copies[copier->n - 1] : NULL;
	int err;

	msvm_copy_address(memory, copy);
	if (last && copier->memory == memory && last->op == copy->op &&
	    last->vram + last->size == copy->vram &&
	    (copy->op == DRM_MSVM_COPY_CLEAR ||
	     (last->proto == copy->proto &&
	      last->addr + last->size == copy->addr))) {
		last->size += copy->size;
		return 0;
	}
	if (copier->n == MSVM_COPY_BATCH || copier->memory != memory) {
		err = msvm_copier_flush(copier);
		if (err)
			return err;
	}
	copier->memory = memory;
	copier->copies[copier->n++] = *copy;
	return 0;
}

/*
 * Was a page that is to be copied out of a device's memory moved away already? Who
 * moves pages from device to device unlocks them before the last reference is
 * dropped. Eviction may get in between and take such a page for one in use;
 * drm_pagemap marks those that went to system memory, and only those. The copy would
 * belong to nobody, not even to a memory cgroup, and the kernel spins for ever on
 * such a page: what folio_lruvec_lock() takes is that of no cgroup. Taking over the
 * charge is what a move does last under the lock. With memory cgroups disabled there is
 * one such lock a node and no mark is needed: the copy is mapped nowhere, and is freed
 * when the mover drops the only reference to it.
 */
static bool msvm_copy_retired(struct page *page)
{
	struct folio *folio = page_folio(page);

	VM_WARN_ON_ONCE_FOLIO(!folio_test_locked(folio), folio);

	return !mem_cgroup_disabled() && !folio_memcg_charged(folio);
}

/*
 * The kernel takes along what MADV_FREE left at a page: reclaim may drop it unless
 * it is dirty. Nothing tells whether a device has written since, so the page comes
 * back as one that must be kept. Its lock keeps reclaim and migration away.
 */
static void msvm_copy_keep(struct page *page)
{
	struct folio *folio = page_folio(page);

	VM_WARN_ON_ONCE_FOLIO(!folio_test_locked(folio), folio);

	if (!folio_test_swapbacked(folio))
		folio_set_swapbacked(folio);
}

/* One entry of drm_pagemap's arrays. Return: pages it stands for, or an error. */
static long msvm_copy_entry(struct msvm_copier *copier, struct page *page,
			    const struct drm_pagemap_addr *addr, bool to_vram)
{
	bool absent = addr->proto == DRM_INTERCONNECT_SYSTEM && !addr->addr;
	struct msvm_pagemap *pagemap;
	struct drm_msvm_copy copy;
	long npages;
	int err;

	if (!page || (absent && !to_vram))
		return 1;
	/* It is gone at the next try. */
	if (!to_vram && msvm_copy_retired(page))
		return -EBUSY;
	if (!to_vram)
		msvm_copy_keep(page);

	/* There was nothing to copy: nobody must see what was here before. */
	npages = absent ? folio_nr_pages(page_folio(page)) : 1L << addr->order;
	pagemap = msvm_pagemap_of_pfn(page_to_pfn(page));
	copy = (struct drm_msvm_copy) {
		.op = !to_vram ? DRM_MSVM_COPY_FROM_VRAM :
		      absent ? DRM_MSVM_COPY_CLEAR : DRM_MSVM_COPY_TO_VRAM,
		.vram = PFN_PHYS(page_to_pfn(page) - pagemap->first_pfn),
		.addr = addr->addr,
		.proto = addr->proto,
		.size = npages * PAGE_SIZE,
	};
	if (absent && msvm_mutated(MSVM_MUTATE_SKIP_CLEAR))
		return npages;
	err = msvm_copier_add(copier, pagemap->memory, &copy);
	return err ?: npages;
}

static int msvm_copy(struct page **pages, const struct drm_pagemap_addr *addrs,
		     unsigned long npages, bool to_vram)
{
	struct msvm_copier copier = {};
	unsigned long i = 0;
	long n;

	while (i < npages) {
		n = msvm_copy_entry(&copier, pages[i], &addrs[i], to_vram);
		if (n < 0)
			return n;
		i += n;
	}
	return msvm_copier_flush(&copier);
}

static int msvm_copy_to_devmem(struct page **pages,
			       struct drm_pagemap_addr *addrs,
			       unsigned long npages,
			       struct dma_fence *pre_migrate_fence)
{
	return msvm_copy(pages, addrs, npages, true);
}

/* Also called to copy to another device's memory. */
static int msvm_copy_to_ram(struct page **pages, struct drm_pagemap_addr *addrs,
			    unsigned long npages,
			    struct dma_fence *pre_migrate_fence)
{
	return msvm_copy(pages, addrs, npages, false);
}

static int msvm_populate_pfn(struct drm_pagemap_devmem *devmem,
			     unsigned long npages, unsigned long *pfn)
{
	struct msvm_pagemap *pagemap = to_msvm_pagemap(devmem->dpagemap);
	struct msvm_block *block = to_msvm_block(devmem);
	unsigned long first = pagemap->first_pfn +
			      PHYS_PFN(block->offset + block->fill);
	unsigned long i;

	for (i = 0; i < npages; i++)
		pfn[i] = first + i;
	return 0;
}

/* The last page is gone. Any context, with any lock held. */
static void msvm_devmem_release(struct drm_pagemap_devmem *devmem)
{
	struct msvm_block *block = to_msvm_block(devmem);
	struct msvm_memory *memory = block->memory;

	if (!atomic_dec_and_test(&block->pieces))
		return;
	/* Once it is on the list the block may be gone. The work has one. */
	kref_get(&memory->ref);
	if (!llist_add(&block->free_link, &memory->freed) ||
	    !queue_work(msvm_memory_wq, &memory->free_work))
		msvm_memory_put(memory);
}

const struct drm_pagemap_devmem_ops msvm_devmem_ops = {
	.devmem_release = msvm_devmem_release,
	.populate_devmem_pfn = msvm_populate_pfn,
	.copy_to_devmem = msvm_copy_to_devmem,
	.copy_to_ram = msvm_copy_to_ram,
};
