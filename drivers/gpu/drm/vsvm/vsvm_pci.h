/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * GPUs on PCI functions: what vsvm_pci.c has for the other files, and what stands for
 * it on a kernel without PCI. Included by vsvm_drv.h.
 */
#ifndef __VSVM_PCI_H__
#define __VSVM_PCI_H__

#include <linux/dma-mapping.h>

struct device;
struct vsvm_gpu;

#ifdef CONFIG_PCI
int vsvm_pci_init(void);
void vsvm_pci_exit(void);
int vsvm_pci_peer_distance(struct vsvm_gpu *gpu, struct vsvm_gpu *peer);
dma_addr_t vsvm_pci_peer_map(struct vsvm_gpu *gpu, struct device *peer,
			     u64 offset, size_t size,
			     enum dma_data_direction dir);
void vsvm_pci_peer_unmap(struct device *peer, dma_addr_t addr, size_t size,
			 enum dma_data_direction dir);
bool vsvm_pci_to_phys(struct vsvm_gpu *gpu, u64 addr, phys_addr_t *phys);
#else
static inline int vsvm_pci_init(void)
{
	return 0;
}

static inline void vsvm_pci_exit(void)
{
}

static inline int vsvm_pci_peer_distance(struct vsvm_gpu *gpu,
					 struct vsvm_gpu *peer)
{
	return -ENXIO;
}

static inline dma_addr_t vsvm_pci_peer_map(struct vsvm_gpu *gpu,
					   struct device *peer, u64 offset,
					   size_t size,
					   enum dma_data_direction dir)
{
	return DMA_MAPPING_ERROR;
}

static inline void vsvm_pci_peer_unmap(struct device *peer, dma_addr_t addr,
				       size_t size,
				       enum dma_data_direction dir)
{
}

static inline bool vsvm_pci_to_phys(struct vsvm_gpu *gpu, u64 addr,
				    phys_addr_t *phys)
{
	return false;
}
#endif

#endif /* __VSVM_PCI_H__ */
