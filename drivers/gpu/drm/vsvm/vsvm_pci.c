// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * GPUs on PCI functions: QEMU's ivshmem, whose memory BAR stands for the GPU's
 * memory. DMA goes through the machine's IOMMU, if it has one, and other GPUs
 * reach the BAR where the topology allows it. There are no engines in the
 * function: those that there are in software translate through the live IOMMU.
 *
 * The driver takes no function by itself: whoever wants one to be a GPU says so by
 * driver_override.
 */
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>

#include <drm/drm_device.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"

/* The BAR of ivshmem that has the memory. */
#define VSVM_PCI_BAR	2

static struct pci_dev *gpu_to_pci(struct vsvm_gpu *gpu)
{
	return gpu->bar.size ? to_pci_dev(gpu->drm.dev) : NULL;
}

/*
 * How far is another GPU's function from this one's BAR? Context: sleeps. Return:
 * the distance in PCI hops, or -ENXIO: transfers would not get there.
 */
int vsvm_pci_peer_distance(struct vsvm_gpu *gpu, struct vsvm_gpu *peer)
{
	struct pci_dev *from = gpu_to_pci(gpu);
	int distance;

	if (!from || !gpu_to_pci(peer))
		return -ENXIO;
	distance = pci_p2pdma_distance(from, peer->drm.dev, false);
	return distance < 0 ? -ENXIO : distance;
}

/* Make a piece of the BAR accessible to another function. Any context. */
dma_addr_t vsvm_pci_peer_map(struct vsvm_gpu *gpu, struct device *peer,
			     u64 offset, size_t size,
			     enum dma_data_direction dir)
{
	dma_addr_t addr = dma_map_resource(peer, gpu->bar.phys + offset, size,
					   dir, DMA_ATTR_SKIP_CPU_SYNC);

	return dma_mapping_error(peer, addr) ? DMA_MAPPING_ERROR : addr;
}

void vsvm_pci_peer_unmap(struct device *peer, dma_addr_t addr, size_t size,
			 enum dma_data_direction dir)
{
	dma_unmap_resource(peer, addr, size, dir, DMA_ATTR_SKIP_CPU_SYNC);
}

/*
 * Where a DMA address of a function leads through the live IOMMU. Context: any; the
 * caller has the TLB lock, which an unmap waits for: an address that is being
 * unmapped must not be looked up. Return: false for one that is not mapped.
 */
bool vsvm_pci_to_phys(struct vsvm_gpu *gpu, u64 addr, phys_addr_t *phys)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(gpu->drm.dev);

	if (!domain || !(domain->type & __IOMMU_DOMAIN_PAGING)) {
		*phys = dma_to_phys(gpu->drm.dev, addr);
		return true;
	}
	*phys = iommu_iova_to_phys(domain, addr);
	return *phys;
}

static int vsvm_pci_map_bar(struct pci_dev *pdev, struct vsvm_bar *bar)
{
	int err;

	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pcim_request_region(pdev, VSVM_PCI_BAR, "vsvm");
	if (err)
		return err;
	bar->phys = pci_resource_start(pdev, VSVM_PCI_BAR);
	bar->size = ALIGN_DOWN(pci_resource_len(pdev, VSVM_PCI_BAR), SZ_2M);
	if (!bar->size) {
		pci_err(pdev, "vsvm: BAR %d is no memory of 2 MiB or more\n",
			VSVM_PCI_BAR);
		return -ENODEV;
	}
	/* It is the memory of a process on the other side of a socket, or nobody's. */
	bar->base = devm_memremap(&pdev->dev, bar->phys, bar->size,
				  MEMREMAP_WB);
	return PTR_ERR_OR_ZERO(bar->base);
}

static int vsvm_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vsvm_config config = vsvm_default_config();
	struct vsvm_bar bar = {};
	struct vsvm_gpu *gpu;
	int err;

	err = vsvm_pci_map_bar(pdev, &bar);
	if (err)
		return err;
	pci_set_master(pdev);

	config.dma = VSVM_DMA_PCI;
	config.vram_mib = bar.size / SZ_1M;
	gpu = vsvm_gpu_probe(&pdev->dev, &config, &bar);
	if (IS_ERR(gpu))
		return PTR_ERR(gpu);

	/* The PCI core got one for us, and forbids sleep unless told. */
	vsvm_pm_init(gpu);
	pm_runtime_allow(&pdev->dev);
	pm_runtime_put_autosuspend(&pdev->dev);
	return 0;
}

static void vsvm_pci_remove(struct pci_dev *pdev)
{
	struct vsvm_gpu *gpu = dev_get_drvdata(&pdev->dev);

	pm_runtime_get_sync(&pdev->dev);
	pm_runtime_forbid(&pdev->dev);
	vsvm_gpu_remove(gpu);
	vsvm_pm_fini(gpu);
	pci_clear_master(pdev);
}

/* None but by driver_override. */
static const struct pci_device_id vsvm_pci_ids[] = {
	{ }
};

static struct pci_driver vsvm_pci_driver = {
	.name = "vsvm",
	.id_table = vsvm_pci_ids,
	.probe = vsvm_pci_probe,
	.remove = vsvm_pci_remove,
	.driver.pm = pm_ptr(&vsvm_pm_ops),
};

int vsvm_pci_init(void)
{
	return pci_register_driver(&vsvm_pci_driver);
}

void vsvm_pci_exit(void)
{
	pci_unregister_driver(&vsvm_pci_driver);
}
