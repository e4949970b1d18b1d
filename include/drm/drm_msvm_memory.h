/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * drm_msvm: memory of GPUs.  This file is responsible for the interface between
 * the library and a driver whose GPU has memory that pages of processes can
 * live in: what the driver provides, and the verbs that move pages.
 */
#ifndef __DRM_MSVM_MEMORY_H__
#define __DRM_MSVM_MEMORY_H__

#include <linux/dma-direction.h>
#include <linux/types.h>

#include <drm/drm_pagemap.h>

struct device;
struct drm_msvm_device;
struct drm_msvm_member;

/**
 * DRM_MSVM_PROTO_VRAM - Address within the device's own memory.
 *
 * In &drm_pagemap_addr.proto of what a driver is asked to bind or copy:
 * DRM_INTERCONNECT_SYSTEM is a DMA address of system memory, and there are
 * these four.
 */
#define DRM_MSVM_PROTO_VRAM	(DRM_INTERCONNECT_DRIVER + 0)

/**
 * DRM_MSVM_PROTO_PHYS - CPU physical address, for %DRM_MSVM_DEVICE_NO_DMA.
 */
#define DRM_MSVM_PROTO_PHYS	(DRM_INTERCONNECT_DRIVER + 1)

/**
 * DRM_MSVM_PROTO_PEER - Address that &drm_msvm_memory_ops.peer_map of another
 * device gave.
 */
#define DRM_MSVM_PROTO_PEER	(DRM_INTERCONNECT_DRIVER + 2)

/**
 * DRM_MSVM_PROTO_DMA - DMA address of system memory that needs no unmapping.
 *
 * For a driver the same as DRM_INTERCONNECT_SYSTEM, only asked to bind, not to
 * copy. What is different is how it came about and how it goes.
 */
#define DRM_MSVM_PROTO_DMA	(DRM_INTERCONNECT_DRIVER + 3)

/**
 * enum drm_msvm_copy_op - What to do with a piece of memory.
 * @DRM_MSVM_COPY_TO_VRAM: Copy into the device's memory.
 * @DRM_MSVM_COPY_FROM_VRAM: Copy out of the device's memory.
 * @DRM_MSVM_COPY_CLEAR: Fill the device's memory with zeroes.
 */
enum drm_msvm_copy_op {
	DRM_MSVM_COPY_TO_VRAM,
	DRM_MSVM_COPY_FROM_VRAM,
	DRM_MSVM_COPY_CLEAR,
};

/**
 * struct drm_msvm_copy - One piece of memory to copy.
 * @op: What to do.
 * @vram: Offset in the device's memory, in bytes.
 * @addr: Address of the other side; unused for %DRM_MSVM_COPY_CLEAR.
 * @proto: What kind of address: DRM_INTERCONNECT_SYSTEM or DRM_MSVM_PROTO_*.
 * @size: Size in bytes, a multiple of PAGE_SIZE.
 */
struct drm_msvm_copy {
	enum drm_msvm_copy_op op;
	u64 vram;
	dma_addr_t addr;
	u64 proto;
	size_t size;
};

/**
 * struct drm_msvm_memory_ops - What a driver provides for its GPU's memory.
 *
 * Calls come at the same time from several CPUs.
 */
struct drm_msvm_memory_ops {
	/**
	 * @alloc: Allocate device memory (required).
	 *
	 * @size is a power of two of pages, at most 2 MiB; the result must be
	 * contiguous and aligned to it.  The content does not matter.  The
	 * driver does not evict: that is what the library does, knowing which
	 * of all pages are used.
	 *
	 * Context: Sleeps, may allocate with GFP_KERNEL.  Locks of the library
	 * are held; neither mmap_lock nor a notifier lock is.
	 *
	 * Return: 0 and the offset in bytes in @offset; -ENOSPC: no such piece
	 * is free; -ENOMEM; -ENODEV: the device is gone.
	 */
	int (*alloc)(struct drm_msvm_device *dev, size_t size, u64 *offset);

	/**
	 * @free: Free device memory (required).
	 *
	 * Nothing uses it any more.
	 *
	 * Context: Sleeps.  Cannot fail.
	 */
	void (*free)(struct drm_msvm_device *dev, u64 offset, size_t size);

	/**
	 * @copy: Copy pieces of memory and wait until that is done (required).
	 *
	 * Context: Sleeps; mmap_lock and folio locks are held, possibly in the
	 * middle of reclaim: no allocation that may reclaim, no lock under
	 * which one is made, and bounded time.
	 *
	 * Return: 0; or a negative errno, then what was to move stays where it
	 * is.  If the CPU needs the data and it can't be copied out, the
	 * process gets SIGBUS.
	 */
	int (*copy)(struct drm_msvm_device *dev,
		    const struct drm_msvm_copy *copies, unsigned int n);

	/**
	 * @peer_distance: How far is another device from this one's memory
	 * (optional; none: no other device reaches it)?
	 *
	 * Asked once for each pair of devices.  Must not change while both
	 * exist.
	 *
	 * Context: Sleeps.
	 *
	 * Return: The distance: 0 is next to it, 10 as far as system memory is,
	 * so that access through a link of half that speed would be 20; or a
	 * negative number if @peer can't reach the memory. Placement compares
	 * distances of different drivers.
	 */
	int (*peer_distance)(struct drm_msvm_device *dev,
			     struct drm_msvm_device *peer);

	/**
	 * @peer_map: Make device memory accessible to another device (required
	 * with @peer_distance).
	 *
	 * Context: Notifier lock or folio locks held: no allocation that may
	 * sleep, no sleeping lock.
	 *
	 * Return: The address by which @peer reaches @size bytes at @offset, or
	 * DMA_MAPPING_ERROR.
	 */
	dma_addr_t (*peer_map)(struct drm_msvm_device *dev, struct device *peer,
			       u64 offset, size_t size,
			       enum dma_data_direction dir);

	/**
	 * @peer_unmap: Undo @peer_map (optional).
	 *
	 * Context: As for @peer_map.  Cannot fail.
	 */
	void (*peer_unmap)(struct drm_msvm_device *dev, struct device *peer,
			   dma_addr_t addr, size_t size,
			   enum dma_data_direction dir);
};

/**
 * struct drm_msvm_memory_info - State of a device's memory.
 * @size: Bytes in all.
 * @limit: Most bytes that pages may take.
 * @used: Bytes that they take now.
 * @blocks: Allocations now.
 * @moved_in: Bytes copied into it from system memory, or cleared.
 * @moved_out: Bytes copied to system memory.
 * @moved_peer: Bytes copied to another device's memory.
 * @evictions: Allocations evicted to make room.
 * @second_chances: Allocations that eviction passed over since they were used.
 */
struct drm_msvm_memory_info {
	u64 size;
	u64 limit;
	u64 used;
	u64 blocks;
	u64 moved_in;
	u64 moved_out;
	u64 moved_peer;
	u64 evictions;
	u64 second_chances;
};

int drm_msvm_device_add_memory(struct drm_msvm_device *dev,
			       const struct drm_msvm_memory_ops *ops, u64 size);
int drm_msvm_device_set_limit(struct drm_msvm_device *dev, u64 bytes);
int drm_msvm_device_memory_info(struct drm_msvm_device *dev,
				struct drm_msvm_memory_info *info);
int drm_msvm_device_evict_all(struct drm_msvm_device *dev);

int drm_msvm_migrate(struct drm_msvm_member *member, u64 start, u64 end,
		     struct drm_msvm_device *to);
int drm_msvm_map(struct drm_msvm_member *member, u64 start, u64 end);
int drm_msvm_residency(struct drm_msvm_member *member, u64 start,
		       unsigned int npages, u32 *where);

/**
 * DRM_MSVM_WHERE_NONE - drm_msvm_residency(): there is no page (yet).
 */
#define DRM_MSVM_WHERE_NONE	0
/**
 * DRM_MSVM_WHERE_SYSTEM - drm_msvm_residency(): in system memory.
 */
#define DRM_MSVM_WHERE_SYSTEM	1
/**
 * DRM_MSVM_WHERE_DEVICE - drm_msvm_residency(): this plus the number of the
 * device, see drm_msvm_device_id(), in whose memory it is.
 */
#define DRM_MSVM_WHERE_DEVICE	2

u32 drm_msvm_device_id(struct drm_msvm_device *dev);
void *drm_msvm_page_owner(void);

#endif /* __DRM_MSVM_MEMORY_H__ */
