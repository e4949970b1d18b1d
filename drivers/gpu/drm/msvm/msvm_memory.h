/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Private objects of device memory: a memory is a device's, a pagemap gives its
 * pages struct pages while somebody uses them, a block is an allocation that
 * pages of a process live in.
 */
#ifndef __MSVM_MEMORY_H__
#define __MSVM_MEMORY_H__

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_msvm_memory.h>
#include <drm/drm_pagemap.h>

struct drm_msvm;
struct drm_msvm_device;
struct drm_msvm_range;
struct msvm_policy_params;

/**
 * struct msvm_memory - The memory of a device.
 */
struct msvm_memory {
	/** @ref: One of the device, one of each pagemap. */
	struct kref ref;
	/** @dev: The device; its DRM device is held by each pagemap. */
	struct drm_msvm_device *dev;
	/** @dev_id: Its number. */
	u32 dev_id;
	/** @drm: Its DRM device, for messages. */
	struct drm_device *drm;
	/** @ops: The driver's operations. */
	const struct drm_msvm_memory_ops *ops;
	/** @size: Bytes in all; constant. */
	u64 size;
	/** @dma_dev: Device that system memory is mapped for while copying. */
	struct device *dma_dev;
	/** @pagemap_lock: One at a time makes or destroys the pagemap. */
	struct mutex pagemap_lock;
	/** @pagemap: The pagemap, or NULL; changed under both locks. */
	struct msvm_pagemap *pagemap;
	/** @distances: Of the devices that reach it, xa_value, by struct device. */
	struct xarray distances;
	/** @by_page: Blocks by page number in the memory, multi-index. */
	struct xarray by_page;
	/** @lock: Protects what follows up to @dead; innermost. */
	spinlock_t lock;
	/** @blocks: Blocks that may be evicted, the oldest first. */
	struct list_head blocks;
	/** @probation: Those of them that go before, if nobody uses them. */
	struct list_head probation;
	/** @on_probation: Bytes of the blocks in @probation. */
	u64 on_probation;
	/** @used: Bytes charged. */
	u64 used;
	/** @limit: Most that may be charged, the least of what all others allow. */
	u64 limit;
	/** @driver_limit: Most that the driver allows. */
	u64 driver_limit;
	/** @closed: How many are emptying it now. */
	unsigned int closed;
	/** @nr_blocks: Blocks that exist. */
	u64 nr_blocks;
	/** @dead: No block is made any more. */
	bool dead;
	/** @freed: Blocks whose pages are gone; filled in any context. */
	struct llist_head freed;
	/** @free_work: Frees them. */
	struct work_struct free_work;
	/** @idle_work: Empties the memory of a device that nobody uses. */
	struct delayed_work idle_work;
	/** @wq: Woken when memory was freed. */
	wait_queue_head_t wq;
	/** @moved_in: See &drm_msvm_memory_info. */
	atomic64_t moved_in;
	/** @moved_out: Likewise. */
	atomic64_t moved_out;
	/** @moved_peer: Likewise. */
	atomic64_t moved_peer;
	/** @evictions: Likewise. */
	atomic64_t evictions;
	/** @second_chances: Likewise. */
	atomic64_t second_chances;
	/** @pressure: Bytes evicted lately, see msvm_memory_pressure(); @lock. */
	u64 pressure;
	/** @pressure_at: When that was last brought up to date, jiffies; @lock. */
	unsigned long pressure_at;
};

/**
 * struct msvm_pagemap - Struct pages for a device's memory.
 */
struct msvm_pagemap {
	/** @base: The kernel's. */
	struct drm_pagemap base;
	/** @pagemap: The memory management's view. */
	struct dev_pagemap pagemap;
	/** @memory: The memory, with a reference. */
	struct msvm_memory *memory;
	/** @region: Physical addresses that nothing else has. */
	struct resource *region;
	/** @first_pfn: Frame number of the first page. */
	unsigned long first_pfn;
	/** @idle: Nobody uses it; lock of the memory. */
	bool idle;
	/** @destroy_work: Destroys it when nobody has used it for a while. */
	struct delayed_work destroy_work;
};

/**
 * struct msvm_block - A contiguous piece of device memory that pages live in.
 */
struct msvm_block {
	/** @devmem: The kernel's. */
	struct drm_pagemap_devmem devmem;
	/** @ref: One while it has pages, one of each user of the structure. */
	struct kref ref;
	/** @memory: Where it is; lives until its last block was freed. */
	struct msvm_memory *memory;
	/** @mm: Process it was made for (mmgrab). */
	struct mm_struct *mm;
	/** @start: Address in it that it was made for. */
	unsigned long start;
	/** @offset: Offset in the memory, in bytes. */
	u64 offset;
	/** @pieces: Migrations into it whose pages are not all gone. */
	atomic_t pieces;
	/** @fill: Where the next migration's pages are in it, in bytes. */
	size_t fill;
	/** @link: Entry in &msvm_memory.blocks or .probation; its lock. */
	struct list_head link;
	/** @probation: Counts as on probation; as @link, a hint without the lock. */
	bool probation;
	/** @freed: Its memory was given back; as @link. */
	bool freed;
	/** @mapped: Some device mapped it. */
	bool mapped;
	/** @referenced: Mapped since it was put on probation. */
	bool referenced;
	/** @prefetched: Its pages were moved along with others. */
	bool prefetched;
	/** @to_peer: Evicted to another device's memory if one has room. */
	bool to_peer;
	/** @free_link: Entry in &msvm_memory.freed. */
	struct llist_node free_link;
};

static inline struct msvm_pagemap *to_msvm_pagemap(struct drm_pagemap *base)
{
	return container_of(base, struct msvm_pagemap, base);
}

static inline struct msvm_block *
to_msvm_block(struct drm_pagemap_devmem *devmem)
{
	return container_of(devmem, struct msvm_block, devmem);
}

/*
 * Are all its pages gone? The kernel's "detached" says so when those of the first
 * migration into it are.
 */
static inline bool msvm_block_gone(struct msvm_block *block)
{
	return !atomic_read(&block->pieces);
}

/* Pages of all devices have one owner, see msvm_pagemap.c. */
extern const char msvm_page_owner;

static inline void *msvm_owner(void)
{
	return (void *)&msvm_page_owner;
}

/* msvm_pagemap.c */
extern unsigned long msvm_first_device_pfn;
extern struct workqueue_struct *msvm_memory_wq;
int msvm_pagemap_init(void);
void msvm_pagemap_exit(void);
struct drm_pagemap *msvm_pagemap_get(struct msvm_memory *memory);
struct drm_pagemap *msvm_pagemap_get_active(struct msvm_memory *memory);
void msvm_pagemap_remove(struct msvm_memory *memory);
struct msvm_pagemap *msvm_pagemap_of_pfn(unsigned long pfn);

/* msvm_memory.c */
void msvm_memory_put(struct msvm_memory *memory);
void msvm_memory_remove(struct drm_msvm_device *dev);
void msvm_memory_update_limit(struct msvm_memory *memory);
bool msvm_memory_emptied(struct msvm_memory *memory);
int msvm_memory_shrink(struct msvm_memory *memory);
int msvm_memory_introduce(struct msvm_memory *memory,
			  struct drm_msvm_device *dev);
void msvm_memory_forget(struct msvm_memory *memory, struct drm_msvm_device *dev);
bool msvm_memory_reach(struct msvm_memory *memory, struct device *dev);
unsigned int msvm_memory_distance(struct msvm_memory *memory, struct device *dev);
struct device *msvm_nodma_device(void);
int msvm_memory_module_init(void);
void msvm_memory_module_exit(void);

/* msvm_block.c */

/**
 * enum msvm_effort - What to do for an allocation when there is no room.
 * @MSVM_ROOM_ONLY: Nothing.
 * @MSVM_ROOM_EVICT: Evict others.
 * @MSVM_ROOM_WAIT: And wait a little for memory that is being freed.
 */
enum msvm_effort {
	MSVM_ROOM_ONLY,
	MSVM_ROOM_EVICT,
	MSVM_ROOM_WAIT,
};

struct msvm_block *msvm_block_alloc(struct drm_pagemap *dpagemap,
				    struct mm_struct *mm, unsigned long start,
				    size_t size, enum msvm_effort effort);
int msvm_block_fill(struct msvm_block *block,
		    const struct drm_pagemap_migrate_details *details);
void msvm_block_ready(struct msvm_block *block);
void msvm_block_unlink(struct msvm_block *block);
bool msvm_block_unmap(struct msvm_block *block);
void msvm_block_put(struct msvm_block *block);
unsigned long msvm_block_touch(struct msvm_memory *memory, u64 offset, bool first);
void msvm_memory_reap(struct msvm_memory *memory);

/* msvm_evict.c */
void msvm_memory_probe(struct msvm_memory *memory, size_t size);
int msvm_memory_evict_one(struct msvm_memory *memory, size_t *size);
void msvm_memory_drain(struct msvm_memory *memory);
void msvm_memory_idle_work(struct work_struct *work);
void msvm_memory_idle(struct msvm_memory *memory);
u64 msvm_memory_pressure(struct msvm_memory *memory);

/* msvm_copy.c */
extern const struct drm_pagemap_devmem_ops msvm_devmem_ops;

/* msvm_migrate.c */
struct msvm_census;
int msvm_migrate_range(struct drm_msvm_range *range,
		       struct drm_pagemap *dpagemap, unsigned long focus,
		       const struct msvm_policy_params *params);
int msvm_range_to_system(struct drm_msvm_range *range);

/* Part of an interval in one VMA. */
struct msvm_vma_part {
	unsigned long start;
	unsigned long end;
	bool movable;
};

bool msvm_next_part(struct mm_struct *mm, unsigned long start,
		    unsigned long end, struct msvm_vma_part *part);
struct msvm_window;
int msvm_request_stopped(struct drm_msvm_member *member);
int msvm_migrate_window(struct drm_msvm *msvm, struct drm_pagemap *dpagemap,
			struct msvm_window *window, unsigned long *start);

/* msvm_residency.c */

/**
 * struct msvm_census - Where the pages of an interval are.
 * @none: Pages that do not exist.
 * @system: Pages in system memory.
 * @device: Pages in device memory.
 * @memory: Some memory that has pages, or NULL.
 * @several: There are pages in more than one memory.
 */
struct msvm_census {
	unsigned long none;
	unsigned long system;
	unsigned long device;
	struct msvm_memory *memory;
	bool several;
};

bool msvm_all_in(struct mm_struct *mm, unsigned long start,
		 unsigned long npages, struct msvm_memory *memory);
int msvm_take_census(struct drm_msvm_range *range, struct msvm_census *census);
bool msvm_census_of_runs(struct drm_msvm_range *range, struct msvm_census *census);
int msvm_census_leaves(struct mm_struct *mm, unsigned long start,
		       unsigned long npages, struct msvm_memory *memory,
		       u32 *leaves);
bool msvm_vma_movable(const struct vm_area_struct *vma);
bool msvm_vma_limits(struct mm_struct *mm, unsigned long addr,
		     unsigned long *start, unsigned long *end);

#endif /* __MSVM_MEMORY_H__ */
