// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How a GPU reaches memory (configfs: "dma"): directly; with physical addresses
 * and without the DMA API; or through an IOMMU of its own, which is here. That
 * one never gives an address out twice in a row, so an address that is dead
 * stays dead, and it checks that every address is used, and unmapped, as it was
 * mapped. It can be told to fail.
 */
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>

#include "vsvm_drv.h"

/* An address is the number of its mapping, and the offset in it. */
#define VSVM_DMA_SHIFT	32

/**
 * struct vsvm_dma_map - A mapping.
 * @phys: Of this memory.
 * @size: Its size in bytes.
 * @dir: Which way it may go.
 * @rcu: Delays freeing for engines that translate.
 */
struct vsvm_dma_map {
	phys_addr_t phys;
	size_t size;
	enum dma_data_direction dir;
	struct rcu_head rcu;
};

#ifdef CONFIG_ARCH_HAS_DMA_OPS

static struct vsvm_gpu *dev_to_vsvm_gpu(struct device *dev)
{
	return dev_get_drvdata(dev);
}

/* Must this one fail, for a test? */
static bool vsvm_dma_fails(struct vsvm_gpu *gpu)
{
	return atomic_add_unless(&gpu->fail_dma_map, -1, 0) &&
	       !atomic_read(&gpu->fail_dma_map);
}

/* Called under locks that reclaim takes. */
static dma_addr_t vsvm_dma_map_phys(struct device *dev, phys_addr_t phys,
				    size_t size, enum dma_data_direction dir,
				    unsigned long attrs)
{
	struct vsvm_gpu *gpu = dev_to_vsvm_gpu(dev);
	struct vsvm_dma_map *map;
	u32 id;

	if (vsvm_dma_fails(gpu))
		return DMA_MAPPING_ERROR;

	map = kmalloc_obj(*map, GFP_ATOMIC);
	if (!map)
		return DMA_MAPPING_ERROR;
	map->phys = phys;
	map->size = size;
	map->dir = dir;
	if (xa_alloc_cyclic(&gpu->dma_maps, &id, map, xa_limit_31b,
			    &gpu->next_dma_map, GFP_ATOMIC) < 0) {
		kfree(map);
		return DMA_MAPPING_ERROR;
	}
	return (dma_addr_t)id << VSVM_DMA_SHIFT;
}

static void vsvm_dma_unmap_phys(struct device *dev, dma_addr_t addr,
				size_t size, enum dma_data_direction dir,
				unsigned long attrs)
{
	struct vsvm_gpu *gpu = dev_to_vsvm_gpu(dev);
	struct vsvm_dma_map *map;

	if (vsvm_tlb_find_dma(gpu, addr, addr + size))
		vsvm_stale(gpu, VSVM_EARLY_UNMAP, addr);

	map = xa_erase(&gpu->dma_maps, addr >> VSVM_DMA_SHIFT);
	if (!map || map->size != size || map->dir != dir ||
	    (addr & (BIT_ULL(VSVM_DMA_SHIFT) - 1)))
		vsvm_stale(gpu, VSVM_WRONG_UNMAP, addr);
	if (map)
		kfree_rcu(map, rcu);
}

static u64 vsvm_dma_required_mask(struct device *dev)
{
	return DMA_BIT_MASK(64);
}

static const struct dma_map_ops vsvm_dma_ops = {
	.map_phys = vsvm_dma_map_phys,
	.unmap_phys = vsvm_dma_unmap_phys,
	.get_required_mask = vsvm_dma_required_mask,
};

static void vsvm_dma_set_ops(struct device *dev)
{
	set_dma_ops(dev, &vsvm_dma_ops);
}

bool vsvm_dma_has_iommu(void)
{
	return true;
}

#else

static void vsvm_dma_set_ops(struct device *dev)
{
}

/* Can GPUs have an IOMMU of their own in this kernel? */
bool vsvm_dma_has_iommu(void)
{
	return false;
}

#endif

/*
 * Set the GPU's device up as configured, before anything is mapped for it.
 * Return: 0, or -EOPNOTSUPP for a mask that the kernel does not take.
 */
int vsvm_dma_init(struct vsvm_gpu *gpu, struct device *dev)
{
	xa_init_flags(&gpu->dma_maps, XA_FLAGS_ALLOC1);
	if (gpu->config.dma == VSVM_DMA_NONE)
		return 0;
	if (gpu->config.dma == VSVM_DMA_IOMMU)
		vsvm_dma_set_ops(dev);
	/* Some kernels refuse the mask, others would bounce: drm_msvm says no. */
	if (dma_coerce_mask_and_coherent(dev,
					 DMA_BIT_MASK(gpu->config.dma_bits)))
		return -EOPNOTSUPP;
	return 0;
}

/* No VM is left, so nothing may be mapped. Cannot fail. */
void vsvm_dma_fini(struct vsvm_gpu *gpu)
{
	struct vsvm_dma_map *map;
	unsigned long id;

	xa_for_each(&gpu->dma_maps, id, map) {
		vsvm_stale(gpu, VSVM_LOST_DMA, (u64)id << VSVM_DMA_SHIFT);
		xa_erase(&gpu->dma_maps, id);
		kfree_rcu(map, rcu);
	}
	xa_destroy(&gpu->dma_maps);
}

/*
 * Where a device address leads. Any context; the caller has the TLB lock.
 * Return: true, or false for an address that the IOMMU does not let through.
 */
bool vsvm_dma_to_phys(struct vsvm_gpu *gpu, u64 addr, bool write,
		      phys_addr_t *phys)
{
	u64 offset = addr & (BIT_ULL(VSVM_DMA_SHIFT) - 1);
	struct vsvm_dma_map *map;
	bool ok;

	switch (gpu->config.dma) {
	case VSVM_DMA_NONE:
		*phys = addr;
		return true;
	case VSVM_DMA_DIRECT:
		*phys = dma_to_phys(gpu->drm.dev, addr);
		return true;
	case VSVM_DMA_PCI:
		return vsvm_pci_to_phys(gpu, addr, phys);
	case VSVM_DMA_IOMMU:
		break;
	}

	rcu_read_lock();
	map = xa_load(&gpu->dma_maps, addr >> VSVM_DMA_SHIFT);
	ok = map && offset < map->size &&
	     map->dir != (write ? DMA_TO_DEVICE : DMA_FROM_DEVICE);
	if (ok)
		*phys = map->phys + offset;
	rcu_read_unlock();

	return ok;
}
