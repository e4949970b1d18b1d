// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A GPU's folder in debugfs, /sys/kernel/debug/dri/MINOR/: what it did, and how to
 * make it fail where hardware can. A driver for tests needs both.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>

#include "vsvm_drv.h"
#include "vsvm_edu.h"

static int vsvm_counters_show(struct seq_file *m, void *unused)
{
	static const char * const stale[] = {
		[VSVM_STALE_PTE] = "stale_pte",
		[VSVM_STALE_TLB] = "stale_tlb",
		[VSVM_STALE_USE] = "stale_use",
		[VSVM_STALE_DMA] = "stale_dma",
		[VSVM_EARLY_UNMAP] = "early_unmap",
		[VSVM_WRONG_UNMAP] = "wrong_unmap",
		[VSVM_LOST_DMA] = "lost_dma",
	};
	struct vsvm_gpu *gpu = m->private;
	unsigned long id, maps = 0;
	unsigned int raised = 0;
	void *map;
	int i;

	for (i = 0; i < gpu->config.engines; i++)
		if (READ_ONCE(gpu->engines[i].port.state) == VSVM_FAULT_RAISED)
			raised++;

	xa_for_each(&gpu->dma_maps, id, map)
		maps++;

	seq_printf(m, "zaps: %lld\n", atomic64_read(&gpu->zaps));
	seq_printf(m, "flushes: %lld\n", atomic64_read(&gpu->flushes));
	seq_printf(m, "copies: %lld\n", atomic64_read(&gpu->copies));
	seq_printf(m, "peer_maps: %lld\n", atomic64_read(&gpu->peer_maps));
	seq_printf(m, "has_pm: %d\n", gpu->has_pm);
	seq_printf(m, "suspends: %d\n", atomic_read(&gpu->suspends));
	seq_printf(m, "resumes: %d\n", atomic_read(&gpu->resumes));
	seq_printf(m, "sleeps: %d\n", atomic_read(&gpu->sleeps));
	seq_printf(m, "resets: %d\n", atomic_read(&gpu->resets));
	seq_printf(m, "held: %d\n", atomic_read(&gpu->held));
	seq_printf(m, "dma_maps: %lu\n", maps);
	seq_printf(m, "raised_faults: %u\n", raised);
	seq_printf(m, "irq_faults: %lld\n", atomic64_read(&gpu->irq_faults));
	seq_printf(m, "refused_faults: %lld\n",
		   atomic64_read(&gpu->refused_faults));
	seq_printf(m, "largest_batch: %u\n", READ_ONCE(gpu->largest_batch));
	seq_printf(m, "spaces_batched: %u\n", READ_ONCE(gpu->spaces_batched));
	for (i = 0; i < VSVM_STALE_KINDS; i++)
		seq_printf(m, "%s: %d\n", stale[i],
			   atomic_read(&gpu->stale[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vsvm_counters);

static int vsvm_hold_flush_get(void *data, u64 *value)
{
	struct vsvm_gpu *gpu = data;

	*value = READ_ONCE(gpu->hold_flush);
	return 0;
}

static int vsvm_hold_flush_set(void *data, u64 value)
{
	struct vsvm_gpu *gpu = data;

	if (value > 1)
		return -EINVAL;
	/* Pairs with READ_ONCE() in vsvm_tlb_held(). */
	WRITE_ONCE(gpu->hold_flush, value);
	wake_up_all(&gpu->hold_wq);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(vsvm_hold_flush_fops, vsvm_hold_flush_get,
			 vsvm_hold_flush_set, "%llu\n");

static int vsvm_last_dma_get(void *data, u64 *value)
{
	struct vsvm_gpu *gpu = data;
	struct vsvm_engine *engine = &gpu->engines[0];

	spin_lock(&engine->tlb_lock);
	*value = engine->dma_addr;
	spin_unlock(&engine->tlb_lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(vsvm_last_dma_fops, vsvm_last_dma_get, NULL,
			 "%#llx\n");

/* What an engine would do that kept an address for too long. */
static int vsvm_try_dma_set(void *data, u64 value)
{
	struct vsvm_gpu *gpu = data;
	struct vsvm_engine *engine = &gpu->engines[0];
	phys_addr_t phys;
	bool ok;

	spin_lock(&engine->tlb_lock);
	ok = vsvm_dma_to_phys(gpu, value, false, &phys);
	spin_unlock(&engine->tlb_lock);
	return ok ? 0 : -EFAULT;
}
DEFINE_DEBUGFS_ATTRIBUTE(vsvm_try_dma_fops, NULL, vsvm_try_dma_set, "%llu\n");

static int vsvm_reset_set(void *data, u64 value)
{
	return value == 1 ? vsvm_gpu_reset(data) : -EINVAL;
}
DEFINE_DEBUGFS_ATTRIBUTE(vsvm_reset_fops, NULL, vsvm_reset_set, "%llu\n");

static int vsvm_drop_mappings_set(void *data, u64 value)
{
	if (value != 1)
		return -EINVAL;
	vsvm_gpu_drop_mappings(data);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(vsvm_drop_mappings_fops, NULL, vsvm_drop_mappings_set,
			 "%llu\n");

static int vsvm_vram_limit_get(void *data, u64 *value)
{
	struct vsvm_gpu *gpu = data;
	struct drm_msvm_memory_info info;
	int err;

	err = drm_msvm_device_memory_info(&gpu->msvm, &info);
	*value = err ? 0 : info.limit / SZ_1M;
	return err;
}

/* 0: all there is. */
static int vsvm_vram_limit_set(void *data, u64 value)
{
	struct vsvm_gpu *gpu = data;

	if (value > VSVM_MAX_VRAM_MIB)
		return -EINVAL;
	return vsvm_gpu_set_limit(gpu, value ? value * SZ_1M : U64_MAX);
}
DEFINE_DEBUGFS_ATTRIBUTE(vsvm_vram_limit_fops, vsvm_vram_limit_get,
			 vsvm_vram_limit_set, "%llu\n");

/* drm_driver.debugfs_init */
void vsvm_gpu_debugfs_init(struct drm_minor *minor)
{
	struct vsvm_gpu *gpu = to_vsvm_gpu(minor->dev);
	struct dentry *dir = minor->debugfs_root;

	debugfs_create_file("counters", 0400, dir, gpu, &vsvm_counters_fops);
	debugfs_create_atomic_t("fail_zap_wait", 0600, dir,
				&gpu->fail_zap_wait);
	debugfs_create_atomic_t("fail_dma_map", 0600, dir, &gpu->fail_dma_map);
	debugfs_create_atomic_t("fail_alloc", 0600, dir, &gpu->fail_alloc);
	debugfs_create_atomic_t("fail_peer_map", 0600, dir,
				&gpu->fail_peer_map);
	debugfs_create_atomic_t("fail_copy", 0600, dir, &gpu->fail_copy);
	debugfs_create_file("vram_limit_mib", 0600, dir, gpu,
			    &vsvm_vram_limit_fops);
	debugfs_create_file("last_dma", 0400, dir, gpu, &vsvm_last_dma_fops);
	debugfs_create_file("try_dma", 0200, dir, gpu, &vsvm_try_dma_fops);
	debugfs_create_file("drop_mappings", 0200, dir, gpu,
			    &vsvm_drop_mappings_fops);
	debugfs_create_file("reset", 0200, dir, gpu, &vsvm_reset_fops);
	vsvm_edu_debugfs_init(gpu, dir);
	debugfs_create_file_unsafe("hold_flush", 0600, dir, gpu,
				   &vsvm_hold_flush_fops);
}
