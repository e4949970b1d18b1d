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

static struct vsvm_gpu *vsvm_gpu_alloc(struct faux_device *faux, int index,
				       const struct vsvm_config *config)
{
	struct vsvm_gpu *gpu;
	int err;

	gpu = devm_drm_dev_alloc(&faux->dev, &vsvm_drm_driver, struct vsvm_gpu,
				 drm);
	if (IS_ERR(gpu)) {
		ida_free(&vsvm_indices, index);
		return gpu;
	}
	gpu->faux = faux;
	dev_set_drvdata(&faux->dev, gpu);
	gpu->config = *config;
	gpu->index = index;
	gpu->watched = vsvm_oracle;
	init_waitqueue_head(&gpu->hold_wq);
	INIT_LIST_HEAD(&gpu->vms);
	INIT_WORK(&gpu->wedged_work, vsvm_gpu_wedged_work);
	/* The number is free again when the last open file is closed. */
	err = drmm_add_action_or_reset(&gpu->drm, vsvm_gpu_release, NULL);
	if (!err)
		err = drmm_mutex_init(&gpu->drm, &gpu->vms_lock);

	return err ? ERR_PTR(err) : gpu;
}

/*
 * Make a GPU and its render node. Context: sleeps. Return: the GPU; -ENOSPC:
 * VSVM_MAX_GPUS exist; -EOPNOTSUPP: it would not reach all memory; -ENODEV,
 * -ENOMEM.
 */
struct vsvm_gpu *vsvm_gpu_create(const struct vsvm_config *config)
{
	struct faux_device *faux;
	struct vsvm_gpu *gpu;
	char name[16];
	int index, err;

	index = ida_alloc_max(&vsvm_indices, VSVM_MAX_GPUS - 1, GFP_KERNEL);
	if (index < 0)
		return ERR_PTR(index);

	snprintf(name, sizeof(name), "vsvm.%d", index);
	faux = faux_device_create(name, NULL, NULL);
	if (!faux) {
		ida_free(&vsvm_indices, index);
		return ERR_PTR(-ENODEV);
	}
	gpu = vsvm_gpu_alloc(faux, index, config);
	if (IS_ERR(gpu)) {
		err = PTR_ERR(gpu);
		goto err_faux;
	}
	err = vsvm_dma_init(gpu, &faux->dev);
	if (err)
		goto err_faux;
	err = vsvm_gpu_init_engines(gpu);
	if (err)
		goto err_faux;
	err = vsvm_vram_init(gpu);
	if (err)
		goto err_engines;
	err = drm_msvm_device_register(&gpu->msvm, &gpu->drm, &vsvm_member_ops,
				       DRM_MSVM_DEVICE_PEERS |
				       (config->dma == VSVM_DMA_NONE ?
					DRM_MSVM_DEVICE_NO_DMA : 0));
	if (err)
		goto err_vram;
	if (gpu->vram.size) {
		err = drm_msvm_device_add_memory(&gpu->msvm, &vsvm_memory_ops,
						 gpu->vram.size);
		if (err)
			goto err_msvm;
	}
	err = drm_dev_register(&gpu->drm, 0);
	if (err)
		goto err_pm;

	return gpu;

err_pm:
	vsvm_pm_fini(gpu);
err_msvm:
	drm_msvm_device_unregister(&gpu->msvm);
err_vram:
	vsvm_vram_fini(gpu);
err_engines:
	vsvm_gpu_fini_engines(gpu);
err_faux:
	faux_device_destroy(faux);
	return ERR_PTR(err);
}

/*
 * Pull a GPU out. Jobs end with -ECANCELED, VMs lose their mappings, open files
 * stay and answer -ENODEV. Context: sleeps. Cannot fail.
 */
void vsvm_gpu_destroy(struct vsvm_gpu *gpu)
{
	struct faux_device *faux = gpu->faux;
	struct vsvm_vm *vm;

	drm_dev_get(&gpu->drm);
	/* From now on no VM and no job is added: those who do were waited for. */
	drm_dev_unplug(&gpu->drm);

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
	vsvm_pm_fini(gpu);
	vsvm_gpu_fini_engines(gpu);
	vsvm_vram_fini(gpu);
	vsvm_dma_fini(gpu);
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
