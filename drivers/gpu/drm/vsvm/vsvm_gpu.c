// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * GPUs: made and destroyed, the latter also while files are open and jobs run,
 * as when hardware is pulled out.
 */
#include <linux/device/faux.h>
#include <linux/idr.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_managed.h>

#include "vsvm_drv.h"

static DEFINE_IDA(vsvm_indices);

static void vsvm_gpu_release(struct drm_device *drm, void *unused)
{
	ida_free(&vsvm_indices, to_vsvm_gpu(drm)->index);
}

static void vsvm_gpu_wedged_work(struct work_struct *work)
{
	struct vsvm_gpu *gpu = container_of(work, struct vsvm_gpu, wedged_work);

	/* The way back is to make the GPU anew: live 0, live 1. */
	drm_dev_wedged_event(&gpu->drm, DRM_WEDGE_RECOVERY_REBIND, NULL);
}

static int vsvm_gpu_init_engines(struct vsvm_gpu *gpu)
{
	unsigned int i;
	int err;

	gpu->engines = drmm_kcalloc(&gpu->drm, gpu->config.engines,
				    sizeof(*gpu->engines), GFP_KERNEL);
	if (!gpu->engines)
		return -ENOMEM;

	for (i = 0; i < gpu->config.engines; i++) {
		err = vsvm_engine_init(gpu, i);
		if (err)
			goto err_engines;
	}
	return 0;

err_engines:
	while (i--)
		vsvm_engine_fini(&gpu->engines[i]);
	return err;
}

static void vsvm_gpu_fini_engines(struct vsvm_gpu *gpu)
{
	unsigned int i;

	for (i = 0; i < gpu->config.engines; i++)
		vsvm_engine_fini(&gpu->engines[i]);
}

static struct vsvm_gpu *vsvm_gpu_alloc(struct device *dev, int index,
				       const struct vsvm_config *config,
				       const struct vsvm_bar *bar)
{
	struct vsvm_gpu *gpu;
	int err;

	gpu = devm_drm_dev_alloc(dev, &vsvm_drm_driver, struct vsvm_gpu, drm);
	if (IS_ERR(gpu)) {
		ida_free(&vsvm_indices, index);
		return gpu;
	}
	dev_set_drvdata(dev, gpu);
	gpu->config = *config;
	if (bar) {
		gpu->bar = *bar;
		gpu->has_pm = true;
	}
	gpu->index = index;
	gpu->watched = vsvm_oracle;
	init_waitqueue_head(&gpu->hold_wq);
	vsvm_users_init(&gpu->users);
	gpu->vram_limit = U64_MAX;
	INIT_LIST_HEAD(&gpu->vms);
	INIT_WORK(&gpu->wedged_work, vsvm_gpu_wedged_work);
	/* The number is free again when the last open file is closed. */
	err = drmm_add_action_or_reset(&gpu->drm, vsvm_gpu_release, NULL);
	if (!err)
		err = drmm_mutex_init(&gpu->drm, &gpu->vms_lock);
	if (!err)
		err = drmm_mutex_init(&gpu->drm, &gpu->reset_lock);

	return err ? ERR_PTR(err) : gpu;
}

/* Let drm_msvm know the GPU and its memory. */
static int vsvm_gpu_register(struct vsvm_gpu *gpu)
{
	u32 flags = DRM_MSVM_DEVICE_PEERS;
	int err;

	if (gpu->config.dma == VSVM_DMA_NONE)
		flags |= DRM_MSVM_DEVICE_NO_DMA;
	if (gpu->config.explicit_moves)
		flags |= DRM_MSVM_DEVICE_EXPLICIT;
	if (!gpu->config.system_atomics)
		flags |= DRM_MSVM_DEVICE_NO_SYSTEM_ATOMICS;
	if (!gpu->config.page_faults)
		flags |= DRM_MSVM_DEVICE_NO_FAULTS;
	err = drm_msvm_device_register(&gpu->msvm, &gpu->drm, &vsvm_member_ops,
				       flags);
	if (err || !gpu->vram.size)
		return err;
	err = drm_msvm_device_add_memory(&gpu->msvm, &vsvm_memory_ops,
					 gpu->vram.size);
	if (err)
		drm_msvm_device_unregister(&gpu->msvm);
	return err;
}

/*
 * Make a GPU of a device, and its render node. Its memory is @bar, if there is
 * one. Context: sleeps; takes the number over. Return: the GPU; -EOPNOTSUPP: it
 * would not reach all memory; -ENODEV, -ENOMEM.
 */
static struct vsvm_gpu *vsvm_gpu_make(struct device *dev, int index,
				      const struct vsvm_config *config,
				      const struct vsvm_bar *bar)
{
	struct vsvm_gpu *gpu;
	int err;

	gpu = vsvm_gpu_alloc(dev, index, config, bar);
	if (IS_ERR(gpu))
		return gpu;
	err = vsvm_dma_init(gpu, dev);
	if (err)
		return ERR_PTR(err);
	err = vsvm_gpu_init_engines(gpu);
	if (err)
		return ERR_PTR(err);
	err = vsvm_vram_init(gpu);
	if (err)
		goto err_engines;
	err = vsvm_gpu_register(gpu);
	if (err)
		goto err_vram;
	err = vsvm_fault_init(gpu);
	if (err)
		goto err_msvm;
	err = drm_dev_register(&gpu->drm, 0);
	if (err)
		goto err_fault;

	return gpu;

err_fault:
	drm_msvm_device_unregister(&gpu->msvm);
	vsvm_fault_fini(gpu);
	goto err_vram;
err_msvm:
	drm_msvm_device_unregister(&gpu->msvm);
err_vram:
	vsvm_vram_fini(gpu);
err_engines:
	vsvm_gpu_fini_engines(gpu);
	return ERR_PTR(err);
}

static int vsvm_gpu_new_index(void)
{
	return ida_alloc_max(&vsvm_indices, VSVM_MAX_GPUS - 1, GFP_KERNEL);
}

/*
 * Make a GPU of a hardware device with a memory BAR. As vsvm_gpu_create(); it goes
 * by vsvm_gpu_remove().
 */
struct vsvm_gpu *vsvm_gpu_probe(struct device *dev,
				const struct vsvm_config *config,
				const struct vsvm_bar *bar)
{
	int index = vsvm_gpu_new_index();

	return index < 0 ? ERR_PTR(index) :
			   vsvm_gpu_make(dev, index, config, bar);
}

/*
 * Make a GPU without hardware. Context: sleeps. Return: the GPU; -ENOSPC:
 * VSVM_MAX_GPUS exist; -EOPNOTSUPP: it would not reach all memory; -ENODEV,
 * -ENOMEM.
 */
struct vsvm_gpu *vsvm_gpu_create(const struct vsvm_config *config)
{
	struct faux_device *faux;
	struct vsvm_gpu *gpu;
	char name[16];
	int index;

	index = vsvm_gpu_new_index();
	if (index < 0)
		return ERR_PTR(index);

	snprintf(name, sizeof(name), "vsvm.%d", index);
	faux = faux_device_create(name, NULL, NULL);
	if (!faux) {
		ida_free(&vsvm_indices, index);
		return ERR_PTR(-ENODEV);
	}
	gpu = vsvm_gpu_make(&faux->dev, index, config, NULL);
	if (IS_ERR(gpu))
		faux_device_destroy(faux);
	else
		gpu->faux = faux;
	return gpu;
}

/*
 * Pull a GPU out. Jobs end with -ECANCELED, VMs lose their mappings, open files
 * stay and answer -ENODEV. Context: sleeps. Cannot fail.
 */
void vsvm_gpu_remove(struct vsvm_gpu *gpu)
{
	struct vsvm_vm *vm;

	/* From now on no VM and no job is added: those who do were waited for. */
	drm_dev_unplug(&gpu->drm);
	vsvm_users_end(&gpu->users);

	for (;;) {
		mutex_lock(&gpu->vms_lock);
		vm = list_first_entry_or_null(&gpu->vms, struct vsvm_vm, link);
		if (vm)
			kref_get(&vm->ref);
		mutex_unlock(&gpu->vms_lock);
		if (!vm)
			break;
		vsvm_vm_kill(vm);
		vsvm_vm_put(vm);
	}

	cancel_work_sync(&gpu->wedged_work);
	/* Brings back what is in its memory. */
	drm_msvm_device_unregister(&gpu->msvm);
	vsvm_fault_fini(gpu);
	vsvm_gpu_fini_engines(gpu);
	vsvm_vram_fini(gpu);
	vsvm_dma_fini(gpu);
}

/* Likewise, and with it the device that stands for hardware. */
void vsvm_gpu_destroy(struct vsvm_gpu *gpu)
{
	struct faux_device *faux = gpu->faux;

	drm_dev_get(&gpu->drm);
	vsvm_gpu_remove(gpu);
	faux_device_destroy(faux);
	drm_dev_put(&gpu->drm);
}

/* Where the addresses end that the GPU's VMs can map. */
u64 vsvm_gpu_va_end(struct vsvm_gpu *gpu)
{
	u64 end = BIT_ULL(gpu->config.va_bits);

	return gpu->config.va_limit_mib ?
	       min(end, (u64)gpu->config.va_limit_mib * SZ_1M) : end;
}
