// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Power and reset. A GPU without VMs and without pages in its memory sleeps, and
 * its memory forgets. So does it when the system sleeps, and when the GPU is
 * reset; drm_msvm must have brought all pages back by then.
 */
#include <linux/bitmap.h>
#include <linux/pm_runtime.h>
#include <linux/string.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"

/* Time without use after which the GPU sleeps. */
#define VSVM_AUTOSUSPEND_MS	50

static struct vsvm_gpu *pm_to_vsvm_gpu(struct device *dev)
{
	return dev_get_drvdata(dev);
}

/* Power is gone, and with it the content of the memory. */
static int vsvm_pm_lose_memory(struct vsvm_gpu *gpu)
{
	struct vsvm_vram *vram = &gpu->vram;

	if (!vram->base)
		return 0;

	guard(mutex)(&vram->lock);
	if (drm_WARN_ON(&gpu->drm, !bitmap_empty(vram->used,
						 vram->size >> PAGE_SHIFT)))
		return -EBUSY;
	memset(vram->base, VSVM_VRAM_LOST, vram->size);
	return 0;
}

static int vsvm_runtime_suspend(struct device *dev)
{
	struct vsvm_gpu *gpu = pm_to_vsvm_gpu(dev);
	int err = vsvm_pm_lose_memory(gpu);

	if (!err)
		atomic_inc(&gpu->suspends);
	return err;
}

static int vsvm_runtime_resume(struct device *dev)
{
	atomic_inc(&pm_to_vsvm_gpu(dev)->resumes);
	return 0;
}

static int vsvm_suspend(struct device *dev)
{
	struct vsvm_gpu *gpu = pm_to_vsvm_gpu(dev);
	int err;

	/* It may sleep already. */
	err = pm_runtime_force_suspend(dev);
	if (!err)
		atomic_inc(&gpu->sleeps);
	return err;
}

static int vsvm_resume(struct device *dev)
{
	return pm_runtime_force_resume(dev);
}

const struct dev_pm_ops vsvm_pm_ops = {
	SYSTEM_SLEEP_PM_OPS(vsvm_suspend, vsvm_resume)
	RUNTIME_PM_OPS(vsvm_runtime_suspend, vsvm_runtime_resume, NULL)
};

/* Let a GPU's device sleep. Its bus has runtime power management on. */
void vsvm_pm_init(struct vsvm_gpu *gpu)
{
	struct device *dev = gpu->drm.dev;

	pm_runtime_set_autosuspend_delay(dev, VSVM_AUTOSUSPEND_MS);
	pm_runtime_use_autosuspend(dev);
}

void vsvm_pm_fini(struct vsvm_gpu *gpu)
{
	pm_runtime_dont_use_autosuspend(gpu->drm.dev);
}

/* A VM keeps the GPU awake. Context: sleeps. Return: 0 or a negative errno. */
int vsvm_pm_get(struct vsvm_gpu *gpu)
{
	return gpu->has_pm ? pm_runtime_resume_and_get(gpu->drm.dev) : 0;
}

void vsvm_pm_put(struct vsvm_gpu *gpu)
{
	if (gpu->has_pm)
		pm_runtime_put_autosuspend(gpu->drm.dev);
}

/* Drop the mappings of all VMs that use drm_msvm. Context: sleeps. */
void vsvm_gpu_drop_mappings(struct vsvm_gpu *gpu)
{
	struct vsvm_vm *vm;

	mutex_lock(&gpu->vms_lock);
	list_for_each_entry(vm, &gpu->vms, link) {
		/* One whose end is under way needs no mappings any more. */
		if (!mutex_trylock(&vm->kill_lock))
			continue;
		if (!vm->killed && vm->layout == DRM_VSVM_VM_LAYOUT_MSVM)
			drm_msvm_reset(&vm->member);
		mutex_unlock(&vm->kill_lock);
	}
	mutex_unlock(&gpu->vms_lock);
}

/*
 * Reset the GPU: it forgets its page tables and TLBs, and may lose its memory. Jobs
 * go on, by page faults. Context: sleeps. Return: 0; -ENODEV: it is gone; -EBUSY,
 * -EINTR: pages could not be brought back, and nothing was reset.
 */
int vsvm_gpu_reset(struct vsvm_gpu *gpu)
{
	int idx, err;

	if (!drm_dev_enter(&gpu->drm, &idx))
		return -ENODEV;
	err = drm_msvm_device_evict_all(&gpu->msvm);
	if (err)
		goto out;

	vsvm_gpu_drop_mappings(gpu);
	atomic_inc(&gpu->resets);
out:
	drm_dev_exit(idx);
	return err;
}
