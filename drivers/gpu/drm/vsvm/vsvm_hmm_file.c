// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages of private file mappings for hmm_dmirror, moved by migrate_vma_*() to memory
 * of our own.
 *
 * This is the one thing that does not go through the library: drm_pagemap moves
 * memory of anonymous VMAs only, though the kernel would also move the process's own
 * copies of a file's pages. What makes a page one of drm_pagemap's is private to it,
 * so these are pages of another owner. For the library they are a foreign device's:
 * its walks bring them back to system memory by the same fault as a CPU's.
 */
#include <linux/bitmap.h>
#include <linux/highmem.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "vsvm_drv.h"
#include "vsvm_hmm.h"

#define VSVM_HMM_STORE_SIZE	SZ_32M
#define VSVM_HMM_STORE_PAGES	(VSVM_HMM_STORE_SIZE >> PAGE_SHIFT)

/* Arrays of a move. */
struct vsvm_hmm_pfns {
	unsigned long src[VSVM_HMM_BATCH];
	unsigned long dst[VSVM_HMM_BATCH];
};

static unsigned long vsvm_hmm_store_first(struct vsvm_hmm_store *store)
{
	return PHYS_PFN(store->pagemap.range.start);
}

/* What stands for a page of the device. */
static struct page *vsvm_hmm_backing(struct page *page)
{
	return page->zone_device_data;
}

void *vsvm_hmm_store_to_virt(struct vsvm_hmm_store *store, struct page *page)
{
	return page_address(vsvm_hmm_backing(page));
}

/* Allocate a page, locked and with a reference, or NULL. */
static struct page *vsvm_hmm_store_alloc(struct vsvm_hmm_store *store)
{
	struct page *page, *backing;
	unsigned long i, flags;

	backing = alloc_page(GFP_KERNEL);
	if (!backing)
		return NULL;
	spin_lock_irqsave(&store->lock, flags);
	i = find_first_zero_bit(store->used, VSVM_HMM_STORE_PAGES);
	if (i < VSVM_HMM_STORE_PAGES)
		__set_bit(i, store->used);
	spin_unlock_irqrestore(&store->lock, flags);
	if (i == VSVM_HMM_STORE_PAGES) {
		__free_page(backing);
		return NULL;
	}
	/* The page may outlive the file and the process. */
	__module_get(THIS_MODULE);
	page = pfn_to_page(vsvm_hmm_store_first(store) + i);
	zone_device_page_init(page, &store->pagemap, 0);
	page->zone_device_data = backing;
	return page;
}

/* The last user of a page is gone. Any context. */
static void vsvm_hmm_folio_free(struct folio *folio)
{
	struct vsvm_hmm_store *store =
		container_of(folio->pgmap, struct vsvm_hmm_store, pagemap);
	unsigned long flags;

	__free_page(vsvm_hmm_backing(&folio->page));
	spin_lock_irqsave(&store->lock, flags);
	__clear_bit(folio_pfn(folio) - vsvm_hmm_store_first(store),
		    store->used);
	spin_unlock_irqrestore(&store->lock, flags);
	module_put(THIS_MODULE);
}

/* Move at most VSVM_HMM_BATCH pages of one VMA. mmap_lock held. */
static int vsvm_hmm_pages_to_device(struct vsvm_hmm *hmm,
				    struct vm_area_struct *vma,
				    unsigned long start, unsigned long end,
				    struct vsvm_hmm_pfns *pfns)
{
	struct vsvm_hmm_store *store = &hmm->dev->store;
	struct migrate_vma args = {
		.vma = vma,
		.src = pfns->src,
		.dst = pfns->dst,
		.start = start,
		.end = end,
		.pgmap_owner = store,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	struct page *from, *to;
	unsigned long i;
	int err;

	err = migrate_vma_setup(&args);
	if (err)
		return err;
	for (i = 0; i < args.npages; i++) {
		if (!(pfns->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		/* What can't be had stays where it is. */
		to = hmm->fail_alloc ? NULL : vsvm_hmm_store_alloc(store);
		hmm->fail_alloc = false;
		if (!to)
			continue;
		from = migrate_pfn_to_page(pfns->src[i]);
		if (from)
			copy_highpage(vsvm_hmm_backing(to), from);
		else
			clear_highpage(vsvm_hmm_backing(to));
		pfns->dst[i] = migrate_pfn(page_to_pfn(to)) |
			       (pfns->src[i] & MIGRATE_PFN_WRITE);
	}
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	return 0;
}

/* A system page for the content of one of ours, or 0. */
static unsigned long vsvm_hmm_bring_back(unsigned long src,
					 struct folio *folio)
{
	if (!folio)
		return 0;
	folio_lock(folio);
	copy_highpage(folio_page(folio, 0),
		      vsvm_hmm_backing(migrate_pfn_to_page(src)));
	return migrate_pfn(folio_pfn(folio)) | (src & MIGRATE_PFN_WRITE);
}

/*
 * Move pages of one VMA back. @fault_page: the one that the CPU faulted on, or NULL.
 * mmap_lock held. Return: 0; -ENOMEM: not all of them; -EINVAL.
 */
static int vsvm_hmm_pages_to_system(struct vsvm_hmm_store *store,
				    struct vm_area_struct *vma,
				    unsigned long start, unsigned long end,
				    struct page *fault_page, unsigned long *src,
				    unsigned long *dst, u64 *moved)
{
	struct migrate_vma args = {
		.vma = vma,
		.src = src,
		.dst = dst,
		.start = start,
		.end = end,
		.pgmap_owner = store,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = fault_page,
	};
	unsigned long i;
	int err;

	err = migrate_vma_setup(&args);
	if (err)
		return err;
	for (i = 0; i < args.npages; i++) {
		if (!(src[i] & MIGRATE_PFN_MIGRATE) || !migrate_pfn_to_page(src[i]))
			continue;
		dst[i] = vsvm_hmm_bring_back(src[i],
					     vma_alloc_folio(GFP_HIGHUSER_MOVABLE, 0, vma,
							     start + i * PAGE_SIZE));
		if (!dst[i])
			err = -ENOMEM;
	}
	migrate_vma_pages(&args);
	for (i = 0; i < args.npages; i++)
		*moved += dst[i] && src[i] & MIGRATE_PFN_MIGRATE;
	migrate_vma_finalize(&args);
	return err;
}

/* The CPU needs a page. */
static vm_fault_t vsvm_hmm_migrate_to_ram(struct vm_fault *vmf)
{
	unsigned long addr = ALIGN_DOWN(vmf->address, PAGE_SIZE);
	unsigned long src = 0, dst = 0;
	u64 moved = 0;
	int err;

	err = vsvm_hmm_pages_to_system(container_of(page_pgmap(vmf->page),
						    struct vsvm_hmm_store,
						    pagemap),
				       vmf->vma, addr, addr + PAGE_SIZE,
				       vmf->page, &src, &dst, &moved);
	/* If it was not moved for another reason the CPU faults again. */
	return !err ? 0 : err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

static const struct dev_pagemap_ops vsvm_hmm_store_ops = {
	.folio_free = vsvm_hmm_folio_free,
	.migrate_to_ram = vsvm_hmm_migrate_to_ram,
};

/* Move an interval that was in one private file mapping, either way. */
static int vsvm_hmm_file_move(struct vsvm_hmm *hmm, unsigned long start,
			      unsigned long end, u64 *moved)
{
	struct mm_struct *mm = vsvm_hmm_mm(hmm);
	struct vm_area_struct *vma;
	struct vsvm_hmm_pfns *pfns;
	unsigned long stop;
	int err = 0;

	pfns = kmalloc_obj(*pfns);
	if (!pfns)
		return -ENOMEM;
	for (; !err && start < end; start = stop) {
		err = mmap_read_lock_killable(mm);
		if (err)
			break;
		vma = vma_lookup(mm, start);
		if (vma && vsvm_hmm_vma_kind(vma) == VSVM_HMM_FILE) {
			stop = min3(end, vma->vm_end,
				    start + VSVM_HMM_BATCH * PAGE_SIZE);
			err = moved ?
			      vsvm_hmm_pages_to_system(&hmm->dev->store, vma,
						       start, stop, NULL,
						       pfns->src, pfns->dst,
						       moved) :
			      vsvm_hmm_pages_to_device(hmm, vma, start, stop,
						       pfns);
		} else {
			/* It was replaced meanwhile. */
			err = -EINVAL;
		}
		mmap_read_unlock(mm);
		cond_resched();
	}
	kfree(pfns);

	return err;
}

/*
 * Move an interval of a private file mapping to the device, as far as the pages are
 * the process's own. Context: sleeps. Return: 0, also if some stay where they are;
 * -EINVAL: the mapping went; -EINTR, -ENOMEM.
 */
int vsvm_hmm_file_to_device(struct vsvm_hmm *hmm, unsigned long start,
			    unsigned long end)
{
	return vsvm_hmm_file_move(hmm, start, end, NULL);
}

/* Move it back, and count the pages in @moved. Likewise. */
int vsvm_hmm_file_to_system(struct vsvm_hmm *hmm, unsigned long start,
			    unsigned long end, u64 *moved)
{
	return vsvm_hmm_file_move(hmm, start, end, moved);
}

/*
 * Bring all pages of the process back; what is locked for the moment stays. By its
 * VMAs, not by the device's pages: while those of a process that is just going are
 * moved, the kernel may free what it would find their mappings by. Pages of processes
 * that it forked stay, too. Context: sleeps. Cannot fail.
 */
void vsvm_hmm_file_evict(struct vsvm_hmm *hmm)
{
	struct mm_struct *mm = vsvm_hmm_mm(hmm);
	struct vsvm_hmm_part part;
	unsigned long addr = 0;
	u64 moved = 0;

	if (bitmap_empty(hmm->dev->store.used, VSVM_HMM_STORE_PAGES) ||
	    !mmget_not_zero(mm))
		return;
	for (; addr < TASK_SIZE; addr = part.end) {
		if (vsvm_hmm_next_part(hmm, addr, TASK_SIZE, &part))
			break;
		if (part.kind == VSVM_HMM_FILE)
			vsvm_hmm_file_to_system(hmm, addr, part.end, &moved);
	}
	mmput_async(mm);
}

/*
 * Make a device's store. Context: sleeps. Return: 0; -ERANGE: no physical addresses
 * are free; -ENOMEM.
 */
int vsvm_hmm_store_init(struct vsvm_hmm_store *store)
{
	struct dev_pagemap *pagemap = &store->pagemap;
	void *addr;
	int err;

	spin_lock_init(&store->lock);
	store->used = bitmap_zalloc(VSVM_HMM_STORE_PAGES, GFP_KERNEL);
	if (!store->used)
		return -ENOMEM;
	store->region = request_free_mem_region(&iomem_resource,
						VSVM_HMM_STORE_SIZE, "vsvm_hmm");
	if (IS_ERR(store->region)) {
		err = PTR_ERR(store->region);
		goto err_used;
	}
	pagemap->type = MEMORY_DEVICE_PRIVATE;
	pagemap->range.start = store->region->start;
	pagemap->range.end = store->region->end;
	pagemap->nr_range = 1;
	pagemap->owner = store;
	pagemap->ops = &vsvm_hmm_store_ops;
	addr = memremap_pages(pagemap, numa_node_id());
	if (IS_ERR(addr)) {
		err = PTR_ERR(addr);
		goto err_region;
	}
	return 0;

err_region:
	release_mem_region(store->region->start, VSVM_HMM_STORE_SIZE);
err_used:
	bitmap_free(store->used);
	return err;
}

/* Pages in use hold the module, so there is none. Context: sleeps. */
void vsvm_hmm_store_fini(struct vsvm_hmm_store *store)
{
	memunmap_pages(&store->pagemap);
	release_mem_region(store->region->start, VSVM_HMM_STORE_SIZE);
	bitmap_free(store->used);
}
