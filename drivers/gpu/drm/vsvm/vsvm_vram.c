// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A GPU's memory: what stands for it, who has which part, the engine that copies
 * to and from it, and how other GPUs reach it. Pages of processes come and go
 * through drm_msvm; a page that nobody was given must not be used.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/gpu_buddy.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_msvm_memory.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"

/*
 * Address of a byte of a GPU's memory on the bus that GPUs without hardware share:
 * the GPU's number, and the offset.
 */
#define VSVM_BUS_SHIFT		40

/* GPUs by number, for addresses on the bus; looked up under RCU. */
static DEFINE_XARRAY(vsvm_bus);

static struct vsvm_gpu *msvm_to_vsvm_gpu(struct drm_msvm_device *dev)
{
	return container_of(dev, struct vsvm_gpu, msvm);
}

static void vsvm_vram_mark(struct vsvm_vram *vram, u64 offset, size_t size,
			   bool used)
{
	unsigned long first = offset >> PAGE_SHIFT;
	unsigned long n = size >> PAGE_SHIFT;

	lockdep_assert_held(&vram->lock);

	if (used)
		bitmap_set(vram->used, first, n);
	else
		bitmap_clear(vram->used, first, n);
}

static int vsvm_vram_alloc(struct drm_msvm_device *dev, size_t size,
			   u64 *offset)
{
	struct vsvm_gpu *gpu = msvm_to_vsvm_gpu(dev);
	struct vsvm_vram *vram = &gpu->vram;
	struct gpu_buddy_block *block;
	LIST_HEAD(blocks);
	int err;

	/* Not for want of room: the library would make some and try again. */
	if (atomic_add_unless(&gpu->fail_alloc, -1, 0))
		return -ENOMEM;

	guard(mutex)(&vram->lock);

	err = gpu_buddy_alloc_blocks(&vram->buddy, 0, vram->size, size, size,
				     &blocks, 0);
	if (err)
		return err;
	block = list_first_entry(&blocks, struct gpu_buddy_block, link);
	*offset = gpu_buddy_block_offset(block);
	vsvm_vram_mark(vram, *offset, size, true);
	return 0;
}

static void vsvm_vram_free(struct drm_msvm_device *dev, u64 offset, size_t size)
{
	struct vsvm_gpu *gpu = msvm_to_vsvm_gpu(dev);
	struct vsvm_vram *vram = &gpu->vram;
	struct gpu_buddy_block *block;

	guard(mutex)(&vram->lock);

	block = gpu_buddy_allocated_addr_to_block(&vram->buddy, offset);
	if (drm_WARN_ON(&gpu->drm, !block ||
			gpu_buddy_block_size(&vram->buddy, block) != size))
		return;
	vsvm_vram_mark(vram, offset, size, false);
	/* So that a page that is not cleared or copied shows. */
	memset(vram->base + offset, VSVM_VRAM_POISON, size);
	gpu_buddy_free_block(&vram->buddy, block);
}

/* Where a piece of the other side of a copy is, and how much of it in one go. */
static void *vsvm_copy_side(struct vsvm_gpu *gpu,
			    const struct drm_msvm_copy *copy, size_t done,
			    size_t *size)
{
	u64 addr = copy->addr + done;
	phys_addr_t phys;

	*size = min(copy->size - done, PAGE_SIZE);
	switch (copy->proto) {
	case DRM_MSVM_PROTO_VRAM:
		return gpu->vram.base + addr;
	case DRM_MSVM_PROTO_PEER:
		return vsvm_bus_to_virt(gpu, addr);
	case DRM_MSVM_PROTO_PHYS:
		return phys_to_virt(addr);
	default:
		if (!vsvm_dma_to_phys(gpu, addr,
				      copy->op == DRM_MSVM_COPY_FROM_VRAM,
				      &phys)) {
			vsvm_stale(gpu, VSVM_STALE_DMA, addr);
			return NULL;
		}
		return phys_to_virt(phys);
	}
}

static int vsvm_vram_copy_one(struct vsvm_gpu *gpu,
			      const struct drm_msvm_copy *copy)
{
	void *vram = gpu->vram.base + copy->vram, *side;
	size_t done, size;

	if (copy->op == DRM_MSVM_COPY_CLEAR) {
		memset(vram, 0, copy->size);
		return 0;
	}
	for (done = 0; done < copy->size; done += size) {
		side = vsvm_copy_side(gpu, copy, done, &size);
		if (!side)
			return -EIO;
		if (copy->op == DRM_MSVM_COPY_TO_VRAM)
			memcpy(vram + done, side, size);
		else
			memcpy(side, vram + done, size);
	}
	return 0;
}

/* Must this copy fail, for a test? */
static bool vsvm_copy_fails(struct vsvm_gpu *gpu)
{
	return atomic_add_unless(&gpu->fail_copy, -1, 0) &&
	       !atomic_read(&gpu->fail_copy);
}

/* The copy engine, as fast as its link. */
static int vsvm_vram_copy(struct drm_msvm_device *dev,
			  const struct drm_msvm_copy *copies, unsigned int n)
{
	struct vsvm_gpu *gpu = msvm_to_vsvm_gpu(dev);
	ktime_t start = ktime_get();
	u64 bytes = 0, ns;
	unsigned int i;
	s64 left;
	int err;

	if (vsvm_copy_fails(gpu))
		return -EIO;
	for (i = 0; i < n; i++) {
		err = vsvm_vram_copy_one(gpu, &copies[i]);
		if (err)
			return err;
		bytes += copies[i].size;
	}
	atomic64_inc(&gpu->copies);
	if (gpu->config.copy_mbps) {
		/* MB/s is bytes/us. */
		ns = div_u64(bytes * NSEC_PER_USEC, gpu->config.copy_mbps);
		left = ns - ktime_to_ns(ktime_sub(ktime_get(), start));
		if (left > 0)
			fsleep(div_u64(left, NSEC_PER_USEC));
	}
	return 0;
}

/* GPUs of one group reach each other's memory. */
static int vsvm_peer_distance(struct drm_msvm_device *dev,
			      struct drm_msvm_device *peer)
{
	struct vsvm_gpu *gpu = msvm_to_vsvm_gpu(dev), *other;

	/* Another driver's GPU has no place on our bus. */
	if (peer->ops != &vsvm_member_ops)
		return -ENXIO;
	other = msvm_to_vsvm_gpu(peer);
	if (gpu->bar.size)
		return vsvm_pci_peer_distance(gpu, other);
	if (other->bar.size || !gpu->config.peer_group ||
	    gpu->config.peer_group != other->config.peer_group)
		return -ENXIO;
	return 1;
}

static dma_addr_t vsvm_peer_map(struct drm_msvm_device *dev, struct device *peer,
				u64 offset, size_t size,
				enum dma_data_direction dir)
{
	struct vsvm_gpu *gpu = msvm_to_vsvm_gpu(dev);

	if (atomic_add_unless(&gpu->fail_peer_map, -1, 0))
		return DMA_MAPPING_ERROR;
	atomic64_inc(&gpu->peer_maps);
	if (gpu->bar.size)
		return vsvm_pci_peer_map(gpu, peer, offset, size, dir);
	return ((u64)(gpu->index + 1) << VSVM_BUS_SHIFT) + offset;
}

static void vsvm_peer_unmap(struct drm_msvm_device *dev, struct device *peer,
			    dma_addr_t addr, size_t size,
			    enum dma_data_direction dir)
{
	if (msvm_to_vsvm_gpu(dev)->bar.size)
		vsvm_pci_peer_unmap(peer, addr, size, dir);
}

const struct drm_msvm_memory_ops vsvm_memory_ops = {
	.alloc = vsvm_vram_alloc,
	.free = vsvm_vram_free,
	.copy = vsvm_vram_copy,
	.peer_distance = vsvm_peer_distance,
	.peer_map = vsvm_peer_map,
	.peer_unmap = vsvm_peer_unmap,
};

/* Is a page of a GPU's memory somebody's? */
static bool vsvm_vram_in_use(struct vsvm_vram *vram, u64 offset)
{
	return offset < vram->size && test_bit(offset >> PAGE_SHIFT, vram->used);
}

/*
 * Memory behind an address in the GPU's own memory. Any context. Return: it, or
 * NULL for a page that is nobody's: whoever has its address kept it for too long.
 */
void *vsvm_vram_to_virt(struct vsvm_gpu *gpu, u64 offset)
{
	return vsvm_vram_in_use(&gpu->vram, offset) ? gpu->vram.base + offset :
						      NULL;
}

/* Memory in the BAR of some GPU, by its physical address. RCU read section. */
static void *vsvm_bar_to_virt(phys_addr_t phys)
{
	struct vsvm_gpu *gpu;
	unsigned long index;

	xa_for_each(&vsvm_bus, index, gpu) {
		if (phys >= gpu->bar.phys && phys < gpu->bar.phys + gpu->bar.size)
			return vsvm_vram_to_virt(gpu, phys - gpu->bar.phys);
	}
	return NULL;
}

/*
 * Memory behind an address on the bus, likewise. Context: RCU read section, TLB
 * lock, or a copy under way: what keeps the other GPU. Those that are only looked at
 * on the way, to see whose the address is, are kept by RCU alone.
 */
void *vsvm_bus_to_virt(struct vsvm_gpu *gpu, u64 addr)
{
	u64 offset = addr & (BIT_ULL(VSVM_BUS_SHIFT) - 1);
	unsigned long index = addr >> VSVM_BUS_SHIFT;
	struct vsvm_gpu *other;
	phys_addr_t phys;

	guard(rcu)();

	if (gpu->bar.size) {
		if (vsvm_pci_to_phys(gpu, addr, &phys))
			return vsvm_bar_to_virt(phys);
		vsvm_stale(gpu, VSVM_STALE_DMA, addr);
		return NULL;
	}
	other = index ? xa_load(&vsvm_bus, index - 1) : NULL;
	/* There is no such GPU, or no way to it. */
	if (!other || !gpu->config.peer_group ||
	    gpu->config.peer_group != other->config.peer_group) {
		vsvm_stale(gpu, VSVM_STALE_DMA, addr);
		return NULL;
	}
	return vsvm_vram_to_virt(other, offset);
}

/*
 * Find a GPU that has memory. Context: sleeps. Return: the GPU with a reference to
 * its DRM device, or NULL.
 */
struct vsvm_gpu *vsvm_vram_find(u32 index)
{
	struct vsvm_gpu *gpu;

	/* While it is in the table the device has a reference of its own. */
	xa_lock(&vsvm_bus);
	gpu = xa_load(&vsvm_bus, index);
	if (gpu)
		drm_dev_get(&gpu->drm);
	xa_unlock(&vsvm_bus);

	return gpu;
}

/* Number of the GPU that drm_msvm knows by another; U32_MAX / 2 if it is gone. */
u32 vsvm_vram_index_of(u32 device_id)
{
	struct vsvm_gpu *gpu;
	unsigned long index;

	rcu_read_lock();
	xa_for_each(&vsvm_bus, index, gpu) {
		if (drm_msvm_device_id(&gpu->msvm) == device_id) {
			rcu_read_unlock();
			return index;
		}
	}
	rcu_read_unlock();

	return U32_MAX / 2;
}

static void vsvm_vram_free_base(struct vsvm_gpu *gpu)
{
	if (!gpu->bar.size)
		vfree(gpu->vram.base);
	gpu->vram.base = NULL;
}

/*
 * Give the GPU its memory, if it is to have any. Context: sleeps. Return: 0;
 * -ENOMEM.
 */
int vsvm_vram_init(struct vsvm_gpu *gpu)
{
	struct vsvm_vram *vram = &gpu->vram;
	int err;

	mutex_init(&vram->lock);
	vram->size = (u64)gpu->config.vram_mib * SZ_1M;
	if (!vram->size)
		return 0;

	vram->base = gpu->bar.size ? gpu->bar.base : vmalloc(vram->size);
	vram->used = bitmap_zalloc(vram->size >> PAGE_SHIFT, GFP_KERNEL);
	if (!vram->base || !vram->used) {
		err = -ENOMEM;
		goto err_free;
	}
	/* A BAR is not touched before it is used: all of it would be much. */
	if (!gpu->bar.size)
		memset(vram->base, VSVM_VRAM_POISON, vram->size);
	err = gpu_buddy_init(&vram->buddy, vram->size, PAGE_SIZE);
	if (err)
		goto err_free;
	gpu_buddy_driver_set_lock(&vram->buddy, &vram->lock);
	err = xa_err(xa_store(&vsvm_bus, gpu->index, gpu, GFP_KERNEL));
	if (err)
		goto err_buddy;
	return 0;

err_buddy:
	mutex_lock(&vram->lock);
	gpu_buddy_fini(&vram->buddy);
	mutex_unlock(&vram->lock);
err_free:
	bitmap_free(vram->used);
	vsvm_vram_free_base(gpu);
	return err;
}

/* No page is left in it, so no mapping of another GPU either. Cannot fail. */
void vsvm_vram_fini(struct vsvm_gpu *gpu)
{
	struct vsvm_vram *vram = &gpu->vram;

	if (vram->base) {
		xa_erase(&vsvm_bus, gpu->index);
		/* Engines of others that found it, by mistake or not. */
		synchronize_rcu();
		mutex_lock(&vram->lock);
		gpu_buddy_fini(&vram->buddy);
		mutex_unlock(&vram->lock);
		bitmap_free(vram->used);
		vsvm_vram_free_base(gpu);
	}
	mutex_destroy(&vram->lock);
}
