// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Blocks: pieces of device memory that pages live in; made for a migration, freed
 * when the last page is gone. When there is no room for one, others are evicted.
 */
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pm_runtime.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_print.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/*
 * How much may be evicted for one allocation, in multiples of its size: memory
 * may be in pieces that do not fit together, and a smaller one will do as well.
 */
#define MSVM_EVICT_FACTOR	4

/* Evictions that may fail for one allocation. */
#define MSVM_EVICT_FAILURES	8

/*
 * Linux 7.3 (zap_huge_pmd_folio() in mm/huge_memory.c) asks whether a huge page is device
 * memory, not whether the entry it zaps is one of device memory. For the entry of such a
 * page under migration it drops a mapping and a reference that were never taken, and the
 * page is free before its migration ends. Any process can bring that about: a child that
 * exits after fork() while its parent's pages are evicted, or MADV_DONTNEED in one
 * thread while another touches the memory. Entries of small pages are not affected.
 */
static bool msvm_huge_moves;
module_param_named(huge_moves, msvm_huge_moves, bool, 0644);
MODULE_PARM_DESC(huge_moves, "Keep huge pages huge in devices' memory; not safe with Linux 7.3 (default false)");

/* How long to wait for memory that others are about to free. */
#define MSVM_EVICT_WAIT		(HZ / 20)

static void msvm_block_release(struct kref *ref)
{
	struct msvm_block *block = container_of(ref, struct msvm_block, ref);

	mmdrop(block->mm);
	kfree(block);
}

/* Drop a reference to the structure. Context: sleeps. */
void msvm_block_put(struct msvm_block *block)
{
	kref_put(&block->ref, msvm_block_release);
}

/* Take a block off the list it may be on. Context: lock of its memory held. */
void msvm_block_unlink(struct msvm_block *block)
{
	struct msvm_memory *memory = block->memory;

	lockdep_assert_held(&memory->lock);

	if (block->probation) {
		WRITE_ONCE(block->probation, false);
		memory->on_probation -= block->devmem.size;
	}
	list_del_init(&block->link);
}

/* Free the blocks whose pages are gone. Context: sleeps. */
void msvm_memory_reap(struct msvm_memory *memory)
{
	struct llist_node *list = llist_del_all(&memory->freed);
	struct msvm_block *block, *next;

	if (!list)
		return;
	llist_for_each_entry_safe(block, next, list, free_link) {
		xa_erase(&memory->by_page, block->offset >> PAGE_SHIFT);
		memory->ops->free(memory->dev, block->offset,
				  block->devmem.size);
		/* Once it is not counted any more the device may go. */
		pm_runtime_put(memory->drm->dev);
		spin_lock_irq(&memory->lock);
		msvm_block_unlink(block);
		block->freed = true;
		memory->used -= block->devmem.size;
		memory->nr_blocks--;
		spin_unlock_irq(&memory->lock);
		msvm_block_put(block);
	}
	wake_up_all(&memory->wq);
}

static bool msvm_memory_charge(struct msvm_memory *memory, size_t size)
{
	bool ok;

	spin_lock_irq(&memory->lock);
	ok = memory->used + size <= memory->limit;
	if (ok) {
		memory->used += size;
		memory->nr_blocks++;
	}
	spin_unlock_irq(&memory->lock);

	return ok;
}

static void msvm_memory_uncharge(struct msvm_memory *memory, size_t size)
{
	spin_lock_irq(&memory->lock);
	memory->used -= size;
	memory->nr_blocks--;
	spin_unlock_irq(&memory->lock);
	wake_up_all(&memory->wq);
}

/* Find room, by eviction if need be. */
static int msvm_memory_room(struct msvm_memory *memory, size_t size,
			    enum msvm_effort effort, u64 *offset)
{
	unsigned int failures = 0;
	size_t evicted = 0, victim;
	int err;

	for (;;) {
		if (READ_ONCE(memory->dead))
			return -ENODEV;
		if (size > READ_ONCE(memory->limit))
			return -ENOSPC;
		if (msvm_memory_charge(memory, size)) {
			err = msvm_fail_alloc() ? -ENOMEM :
			      memory->ops->alloc(memory->dev, size, offset);
			if (!err)
				return 0;
			msvm_memory_uncharge(memory, size);
			if (err != -ENOSPC)
				return err;
		}
		if (effort == MSVM_ROOM_ONLY ||
		    evicted >= MSVM_EVICT_FACTOR * size ||
		    failures >= MSVM_EVICT_FAILURES)
			return -ENOSPC;
		if (fatal_signal_pending(current))
			return -EINTR;

		err = msvm_memory_evict_one(memory, &victim);
		if (!err) {
			evicted += victim;
			continue;
		}
		failures++;
		if (err != -ENOENT)
			continue;
		if (effort != MSVM_ROOM_WAIT)
			return -ENOSPC;
		/* All of it is being moved by others: wait for them a little. */
		if (wait_event_killable_timeout(memory->wq,
						!llist_empty(&memory->freed) ||
						!list_empty_careful(&memory->blocks) ||
						!list_empty_careful(&memory->probation),
						MSVM_EVICT_WAIT) < 0)
			return -EINTR;
	}
}

/* Let the block be found by its pages: one entry, as it is aligned to its size. */
static int msvm_block_index(struct msvm_block *block, size_t size)
{
	XA_STATE_ORDER(xas, &block->memory->by_page,
		       block->offset >> PAGE_SHIFT,
		       ilog2(size >> PAGE_SHIFT));

	if (msvm_fail_alloc())
		return -ENOMEM;
	do {
		xas_lock(&xas);
		xas_store(&xas, block);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));

	return xas_error(&xas);
}

/*
 * Make a block for [@start, @start + @size) of a process. It has two references:
 * drm_pagemap_migrate_to_devmem() takes one, the other is the caller's. Context:
 * sleeps; no mmap_lock held, other than for %MSVM_ROOM_ONLY.
 *
 * Return: the block; -ENOSPC: no room could be made; -ENODEV: the device is
 * going; -EINTR, -ENOMEM, or the error of resuming the device.
 */
struct msvm_block *msvm_block_alloc(struct drm_pagemap *dpagemap,
				    struct mm_struct *mm, unsigned long start,
				    size_t size, enum msvm_effort effort)
{
	struct msvm_memory *memory = to_msvm_pagemap(dpagemap)->memory;
	struct device *dev = memory->drm->dev;
	struct msvm_block *block;
	int err;

	block = msvm_alloc(kzalloc_obj(*block));
	if (!block)
		return ERR_PTR(-ENOMEM);
	kref_init(&block->ref);
	atomic_set(&block->pieces, 1);
	INIT_LIST_HEAD(&block->link);
	block->memory = memory;
	block->start = start;

	/* Held while there are pages; without runtime PM it only counts. */
	err = pm_runtime_get_sync(dev);
	if (err < 0 && err != -EACCES)
		goto err_pm;
	err = msvm_memory_room(memory, size, effort, &block->offset);
	if (err)
		goto err_pm;

	err = msvm_block_index(block, size);
	if (err)
		goto err_room;

	block->mm = mm;
	mmgrab(mm);
	drm_pagemap_devmem_init(&block->devmem, memory->dma_dev, mm,
				&msvm_devmem_ops, dpagemap, size, NULL);
	/* The second reference. */
	kref_get(&block->ref);
	if (effort != MSVM_ROOM_ONLY)
		msvm_memory_probe(memory, size);
	return block;

err_room:
	memory->ops->free(memory->dev, block->offset, size);
	msvm_memory_uncharge(memory, size);
err_pm:
	pm_runtime_put(dev);
	kfree(block);
	return ERR_PTR(err);
}

/*
 * Move the pages of the block's interval into it. What a huge page is or could be goes
 * in halves, so that it is split, unless it may stay huge. mmap_lock is held all the
 * while, so nobody makes it one again in between. The block has the first half's pages
 * if only the second fails. Context: mmap_lock held for reading; sleeps.
 *
 * Return: as drm_pagemap_migrate_to_devmem(), which ends one of the references.
 */
int msvm_block_fill(struct msvm_block *block,
		    const struct drm_pagemap_migrate_details *details)
{
	size_t size = block->devmem.size, piece = size;
	unsigned long start = block->start;
	struct vm_area_struct *vma;
	unsigned int left;
	int err = 0;

	mmap_assert_locked(block->mm);

	/* The kernel refuses all others, but would move what is droppable. */
	vma = vma_lookup(block->mm, start);
	if (vma && !msvm_vma_movable(vma))
		err = -EBUSY;

	/* What is shorter than a huge page has none as a whole, wherever it begins. */
	if (size >= PMD_SIZE && !READ_ONCE(msvm_huge_moves))
		piece = PMD_SIZE / 2;
	left = DIV_ROUND_UP(size, piece);
	atomic_set(&block->pieces, left);
	for (block->fill = 0; left && !err; left--, block->fill += piece)
		err = drm_pagemap_migrate_to_devmem(&block->devmem, block->mm,
						    start + block->fill,
						    start + min(size, block->fill + piece),
						    details);
	block->fill = 0;
	/* Those that were not tried. */
	while (left--)
		block->devmem.ops->devmem_release(&block->devmem);

	return err;
}

/*
 * It has pages now, and so can be evicted; some even if the migration failed, which
 * the kernel finds out when some have moved. Context: sleeps.
 */
void msvm_block_ready(struct msvm_block *block)
{
	struct msvm_memory *memory = block->memory;

	spin_lock_irq(&memory->lock);
	/* The pages may be gone again. */
	if (!block->freed && list_empty(&block->link))
		list_add_tail(&block->link, &memory->blocks);
	spin_unlock_irq(&memory->lock);
	wake_up_all(&memory->wq);
}

/*
 * Take the pages of a block away from all devices and leave them where they are: by the
 * first half of what a migration does, and the second for pages that found no place to
 * go. The pages know who has them, at whatever address and in whatever process, and
 * invalidations do the rest. Pages that are busy stay mapped. Context: as eviction, and
 * mmap_lock not held; the caller has a reference to the pagemap. Return: false: that was
 * not possible, and nothing was done.
 */
bool msvm_block_unmap(struct msvm_block *block)
{
	struct msvm_pagemap *pagemap = to_msvm_pagemap(block->devmem.dpagemap);
	unsigned long npages = block->devmem.size >> PAGE_SHIFT, *pfns;
	bool done = false;

	/* A process must not end meanwhile, see msvm_mm_unmapping(). */
	if (!mmget_not_zero(block->mm))
		return false;
	pfns = msvm_alloc(kvcalloc(npages, 2 * sizeof(*pfns), GFP_KERNEL));
	/*
	 * Nor unmap the memory: Linux 7.3 keeps no reference to its anon_vma here. This
	 * need not be done, so whoever has the lock is not waited for. mmap_lock.h cannot
	 * try it for writing; no VMA is changed, so there is nothing else to begin.
	 */
	if (pfns && down_write_trylock(&block->mm->mmap_lock)) {
		migrate_device_range(pfns, pagemap->first_pfn +
				     PHYS_PFN(block->offset), npages);
		migrate_device_finalize(pfns, pfns + npages, npages);
		up_write(&block->mm->mmap_lock);
		done = true;
	}
	kvfree(pfns);
	mmput_async(block->mm);

	return done;
}

/*
 * A device maps a page: a use that gives its block a second chance, if it is on
 * probation. @first: no page of the mapping comes before. Context: notifier lock
 * held, the page known valid, and so its block there.
 *
 * Return: pages of the block if it was moved along with others, and this is the first
 * time that anybody uses it.
 */
unsigned long msvm_block_touch(struct msvm_memory *memory, u64 offset, bool first)
{
	struct msvm_block *block = xa_load(&memory->by_page,
					   offset >> PAGE_SHIFT);

	/* Once for each mapping, however many pieces it has. */
	if (!block || (!first && offset != block->offset))
		return 0;
	/* Hints: eviction reads them under its lock. */
	if (READ_ONCE(block->probation))
		WRITE_ONCE(block->referenced, true);
	if (READ_ONCE(block->mapped))
		return 0;
	WRITE_ONCE(block->mapped, true);
	return READ_ONCE(block->prefetched) ? block->devmem.size >> PAGE_SHIFT : 0;
}
