// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Struct pages for device memory, through drm_pagemap: made when the first
 * member of a device joins, kept while a page or a member uses them and for a while
 * after that. drm_pagemap's own cache does not survive it that the last user goes
 * after drm_dev_unplug(): it keeps a pointer to what is freed then.
 *
 * Pages of all devices have one owner. A walk then reports them all as they are
 * and moves none behind our back; whether a device can reach another's memory
 * is decided for each pair when it is about to map. drm_pagemap's owner lists
 * decide it for groups, once and for all, in the order of probing.
 */
#include <linux/ioport.h>
#include <linux/maple_tree.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/pm_runtime.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/* How long struct pages are kept that nobody uses: the next process may be near. */
#define MSVM_PAGEMAP_TIME	(10 * HZ)

/* Its address is the owner. */
const char msvm_page_owner;

/*
 * Lowest frame number that device memory was ever given: below it is nothing but
 * system memory, and most walks meet nothing else. Only ever lowered.
 */
unsigned long msvm_first_device_pfn = ULONG_MAX;

/* Pagemaps by frame number; looked up without a lock. */
static struct maple_tree msvm_pagemaps;

/* Frees blocks and destroys pagemaps whose last user was in no state to. */
struct workqueue_struct *msvm_memory_wq;

static struct drm_pagemap_addr
msvm_device_map(struct drm_pagemap *base, struct device *dev, struct page *page,
		unsigned int order, enum dma_data_direction dir)
{
	struct msvm_pagemap *pagemap = to_msvm_pagemap(base);
	struct msvm_memory *memory = pagemap->memory;
	u64 offset = PFN_PHYS(page_to_pfn(page) - pagemap->first_pfn);
	dma_addr_t addr = DMA_MAPPING_ERROR;
	u64 proto = DRM_MSVM_PROTO_VRAM;

	if (dev == base->drm->dev) {
		addr = offset;
	} else {
		proto = DRM_MSVM_PROTO_PEER;
		/* Also when pages are moved from that device to this one. */
		if (msvm_memory_reach(memory, dev))
			addr = memory->ops->peer_map(memory->dev, dev, offset,
						     PAGE_SIZE << order, dir);
	}
	return drm_pagemap_addr_encode(addr, proto, order, dir);
}

static void msvm_device_unmap(struct drm_pagemap *base, struct device *dev,
			      const struct drm_pagemap_addr *addr)
{
	struct msvm_memory *memory = to_msvm_pagemap(base)->memory;

	/* In a range with pages of both kinds come others' as well. */
	if (addr->proto == DRM_MSVM_PROTO_PEER && memory->ops->peer_unmap)
		memory->ops->peer_unmap(memory->dev, dev, addr->addr,
					PAGE_SIZE << addr->order, addr->dir);
}

/* For others than us; nobody is evicted under the mmap_lock they hold. */
static int msvm_populate_mm(struct drm_pagemap *base, unsigned long start,
			    unsigned long end, struct mm_struct *mm,
			    unsigned long timeslice_ms)
{
	const struct drm_pagemap_migrate_details details = {
		.timeslice_ms = timeslice_ms,
		.can_migrate_same_pagemap = true,
	};
	struct msvm_block *block;
	int idx, err;

	if (!drm_dev_enter(base->drm, &idx))
		return -ENODEV;
	block = msvm_block_alloc(base, mm, start, end - start,
				 MSVM_ROOM_ONLY);
	if (IS_ERR(block)) {
		err = PTR_ERR(block);
		goto out;
	}
	err = msvm_block_fill(block, &details);
	msvm_block_ready(block);
	msvm_block_put(block);
out:
	drm_dev_exit(idx);
	return err;
}

static void msvm_pagemap_destroy_now(struct msvm_pagemap *pagemap)
{
	if (pagemap->pagemap.nr_range) {
		mtree_erase(&msvm_pagemaps, pagemap->first_pfn);
		/* A lookup under RCU may still have it. */
		synchronize_rcu();
		memunmap_pages(&pagemap->pagemap);
	}
	if (pagemap->region)
		release_mem_region(pagemap->region->start,
				   resource_size(pagemap->region));
	msvm_memory_put(pagemap->memory);
	kfree(pagemap);
}

static void msvm_pagemap_destroy_work(struct work_struct *work)
{
	struct msvm_pagemap *pagemap =
		container_of(to_delayed_work(work), struct msvm_pagemap,
			     destroy_work);
	struct msvm_memory *memory = pagemap->memory;
	bool destroy;

	/* Its own reference goes with the pagemap. */
	kref_get(&memory->ref);
	mutex_lock(&memory->pagemap_lock);
	spin_lock_irq(&memory->lock);
	/* Somebody may have come and gone, which started this anew. */
	destroy = pagemap->idle && !delayed_work_pending(&pagemap->destroy_work);
	if (destroy && memory->pagemap == pagemap)
		memory->pagemap = NULL;
	spin_unlock_irq(&memory->lock);
	if (destroy)
		msvm_pagemap_destroy_now(pagemap);
	mutex_unlock(&memory->pagemap_lock);
	wake_up_all(&memory->wq);
	msvm_memory_put(memory);
}

/* The last user is gone. Any context. */
static void msvm_pagemap_destroy(struct drm_pagemap *base,
				 bool is_atomic_or_reclaim)
{
	struct msvm_pagemap *pagemap = to_msvm_pagemap(base);
	struct msvm_memory *memory = pagemap->memory;
	unsigned long flags;

	kref_get(&memory->ref);
	spin_lock_irqsave(&memory->lock, flags);
	pagemap->idle = true;
	queue_delayed_work(msvm_memory_wq, &pagemap->destroy_work,
			   memory->dead || !memory->pagemap ? 0 :
			   MSVM_PAGEMAP_TIME);
	spin_unlock_irqrestore(&memory->lock, flags);
	wake_up_all(&memory->wq);
	msvm_memory_put(memory);
}

static const struct drm_pagemap_ops msvm_pagemap_ops = {
	.device_map = msvm_device_map,
	.device_unmap = msvm_device_unmap,
	.populate_mm = msvm_populate_mm,
	.destroy = msvm_pagemap_destroy,
};

/*
 * Give the pages addresses, struct pages and an entry in our table.
 *
 * Contiguous frames are taken for contiguous memory, so between two devices
 * there is a gap.
 */
static int msvm_pagemap_add_pages(struct msvm_pagemap *pagemap)
{
	struct dev_pagemap *pgmap = &pagemap->pagemap;
	unsigned long lowest;
	u64 size = pagemap->memory->size;
	void *addr;
	int err;

	if (msvm_fail_alloc())
		return -ENOMEM;
	pagemap->region = request_free_mem_region(&iomem_resource,
						  size + SZ_2M, "drm_msvm");
	if (IS_ERR(pagemap->region)) {
		err = PTR_ERR(pagemap->region);
		pagemap->region = NULL;
		return err;
	}
	pagemap->first_pfn = PHYS_PFN(pagemap->region->start);
	err = mtree_insert_range(&msvm_pagemaps, pagemap->first_pfn,
				 pagemap->first_pfn + PHYS_PFN(size) - 1,
				 pagemap, GFP_KERNEL);
	if (err)
		return err;

	pgmap->type = MEMORY_DEVICE_PRIVATE;
	pgmap->range.start = pagemap->region->start;
	pgmap->range.end = pagemap->region->start + size - 1;
	pgmap->nr_range = 1;
	pgmap->owner = msvm_owner();
	pgmap->ops = drm_pagemap_pagemap_ops_get();
	addr = msvm_fail_alloc() ? ERR_PTR(-ENOMEM) :
	       memremap_pages(pgmap, dev_to_node(pagemap->memory->drm->dev));
	if (IS_ERR(addr)) {
		pgmap->nr_range = 0;
		mtree_erase(&msvm_pagemaps, pagemap->first_pfn);
		return PTR_ERR(addr);
	}

	/* None of the pages is in use yet. Others may be added at the same time. */
	lowest = READ_ONCE(msvm_first_device_pfn);
	while (pagemap->first_pfn < lowest)
		if (try_cmpxchg(&msvm_first_device_pfn, &lowest,
				pagemap->first_pfn))
			break;
	return 0;
}

static struct drm_pagemap *msvm_pagemap_create(struct msvm_memory *memory)
{
	struct msvm_pagemap *pagemap;
	int err;

	pagemap = msvm_alloc(kzalloc_obj(*pagemap));
	if (!pagemap)
		return ERR_PTR(-ENOMEM);
	INIT_DELAYED_WORK(&pagemap->destroy_work, msvm_pagemap_destroy_work);
	kref_get(&memory->ref);
	pagemap->memory = memory;

	err = msvm_fail_alloc() ? -ENOMEM :
	      drm_pagemap_init(&pagemap->base, &pagemap->pagemap, memory->drm,
			       &msvm_pagemap_ops);
	if (err) {
		msvm_pagemap_destroy_now(pagemap);
		return ERR_PTR(err);
	}
	err = msvm_pagemap_add_pages(pagemap);
	if (err) {
		drm_err(memory->drm,
			"msvm: no struct pages for %llu MiB of memory: %pe\n",
			memory->size >> 20, ERR_PTR(err));
		/* Destroys it. */
		drm_pagemap_put(&pagemap->base);
		return ERR_PTR(err);
	}
	return &pagemap->base;
}

static bool msvm_pagemap_is_idle(struct msvm_memory *memory,
				 struct msvm_pagemap *pagemap)
{
	bool idle;

	spin_lock_irq(&memory->lock);
	idle = pagemap->idle;
	spin_unlock_irq(&memory->lock);

	return idle;
}

/* Use a pagemap again whose last user went. */
static struct drm_pagemap *msvm_pagemap_revive(struct msvm_memory *memory,
					       struct msvm_pagemap *pagemap)
{
	int err;

	/* Who dropped the last reference is about to say so. */
	wait_event(memory->wq, msvm_pagemap_is_idle(memory, pagemap));
	err = msvm_fail_alloc() ? -ENOMEM : drm_pagemap_reinit(&pagemap->base);
	if (err)
		return ERR_PTR(err);
	spin_lock_irq(&memory->lock);
	pagemap->idle = false;
	spin_unlock_irq(&memory->lock);
	/* If it has started it waits for our lock, and then sees that. */
	cancel_delayed_work(&pagemap->destroy_work);

	return &pagemap->base;
}

/*
 * Get the pagemap of a device's memory, or make it. Context: sleeps. Return: the
 * pagemap with a reference; -EINTR: the calling task is being killed; -ENOMEM, or
 * -ERANGE: no physical addresses are free.
 */
struct drm_pagemap *msvm_pagemap_get(struct msvm_memory *memory)
{
	struct msvm_pagemap *pagemap;
	struct drm_pagemap *base;

	if (mutex_lock_killable(&memory->pagemap_lock))
		return ERR_PTR(-EINTR);
	pagemap = memory->pagemap;
	if (pagemap) {
		base = drm_pagemap_get_unless_zero(&pagemap->base);
		if (!base)
			base = msvm_pagemap_revive(memory, pagemap);
	} else {
		base = msvm_pagemap_create(memory);
		if (!IS_ERR(base)) {
			spin_lock_irq(&memory->lock);
			memory->pagemap = to_msvm_pagemap(base);
			spin_unlock_irq(&memory->lock);
		}
	}
	mutex_unlock(&memory->pagemap_lock);

	return base;
}

/* Get it if somebody uses it, or NULL. Any context that is not atomic. */
struct drm_pagemap *msvm_pagemap_get_active(struct msvm_memory *memory)
{
	struct drm_pagemap *base = NULL;

	/* It is freed only after it was taken out under this lock. */
	spin_lock_irq(&memory->lock);
	if (memory->pagemap)
		base = drm_pagemap_get_unless_zero(&memory->pagemap->base);
	spin_unlock_irq(&memory->lock);

	return base;
}

/* The memory goes, and no page of it is left. Context: sleeps. */
void msvm_pagemap_remove(struct msvm_memory *memory)
{
	struct msvm_pagemap *pagemap;

	mutex_lock(&memory->pagemap_lock);
	pagemap = memory->pagemap;
	if (pagemap) {
		wait_event(memory->wq, msvm_pagemap_is_idle(memory, pagemap));
		mod_delayed_work(msvm_memory_wq, &pagemap->destroy_work, 0);
	}
	mutex_unlock(&memory->pagemap_lock);
	/* With it goes the last mapping of the memory's addresses. */
	wait_event(memory->wq, !READ_ONCE(memory->pagemap));
}

/*
 * The pagemap that a frame belongs to, or NULL. Context: any; whoever uses the
 * result knows that the page exists, or is in an RCU read section.
 */
struct msvm_pagemap *msvm_pagemap_of_pfn(unsigned long pfn)
{
	/* Pairs with try_cmpxchg() when pages are added. */
	if (pfn < READ_ONCE(msvm_first_device_pfn))
		return NULL;
	return mtree_load(&msvm_pagemaps, pfn);
}

/**
 * drm_msvm_page_owner() - Owner of the struct pages of all devices' memory.
 *
 * For drivers that walk a process's page table themselves, to compare with
 * &dev_pagemap.owner.
 *
 * Context: Any.
 *
 * Return: The owner.
 */
void *drm_msvm_page_owner(void)
{
	return msvm_owner();
}
EXPORT_SYMBOL_GPL(drm_msvm_page_owner);

int msvm_pagemap_init(void)
{
	mt_init_flags(&msvm_pagemaps, MT_FLAGS_USE_RCU);
	msvm_memory_wq = alloc_workqueue("drm_msvm_memory", WQ_UNBOUND, 0);
	return msvm_memory_wq ? 0 : -ENOMEM;
}

/* Drivers link to us, so their devices and with them all pagemaps are gone. */
void msvm_pagemap_exit(void)
{
	destroy_workqueue(msvm_memory_wq);
	mtree_destroy(&msvm_pagemaps);
}
