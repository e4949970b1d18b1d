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

/* The next VM of a pass over all there are, with a reference; or NULL. */
static struct vsvm_vm *vsvm_pass_next(struct vsvm_gpu *gpu, struct vsvm_vm *vm)
{
	lockdep_assert_held(&gpu->reset_lock);

	if (vm)
		vsvm_vm_put(vm);
	else
		gpu->pass++;
	guard(mutex)(&gpu->vms_lock);
	/* Those that were seen are at the end, and the ones made since, which can wait. */
	vm = list_first_entry_or_null(&gpu->vms, struct vsvm_vm, link);
	if (!vm || vm->pass == gpu->pass)
		return NULL;
	vm->pass = gpu->pass;
	list_move_tail(&vm->link, &gpu->vms);
	kref_get(&vm->ref);
	return vm;
}

static void vsvm_drop_mappings(struct vsvm_gpu *gpu)
{
	struct vsvm_vm *vm = NULL;

	while ((vm = vsvm_pass_next(gpu, vm))) {
		/* Who kills it waits for this; ioctls that sleep in it do not count. */
		mutex_lock(&vm->fini_lock);
		if (!vm->killed && vm->layout == DRM_VSVM_VM_LAYOUT_MSVM)
			drm_msvm_reset(&vm->member);
		mutex_unlock(&vm->fini_lock);
	}
}

/* Drop the mappings of all VMs that use drm_msvm. Context: sleeps. */
void vsvm_gpu_drop_mappings(struct vsvm_gpu *gpu)
{
	guard(mutex)(&gpu->reset_lock);

	vsvm_drop_mappings(gpu);
}

/*
 * Limit what pages may take of the memory. Context: sleeps. Return: as
 * drm_msvm_device_set_limit().
 */
int vsvm_gpu_set_limit(struct vsvm_gpu *gpu, u64 bytes)
{
	guard(mutex)(&gpu->reset_lock);

	gpu->vram_limit = bytes;
	return drm_msvm_device_set_limit(&gpu->msvm, bytes);
}

/* Jobs go on. */
static void vsvm_reset_over(struct vsvm_gpu *gpu)
{
	struct vsvm_vm *vm;

	/* Pairs with READ_ONCE() of who waits. */
	WRITE_ONCE(gpu->in_reset, false);
	guard(mutex)(&gpu->vms_lock);
	list_for_each_entry(vm, &gpu->vms, link)
		wake_up_all(&vm->jobs_wq);
}

/* All jobs are stopped, page tables and memory are gone, and the library is told. */
static void vsvm_reset_hardware(struct vsvm_gpu *gpu)
{
	struct vsvm_vm *vm = NULL;

	/* Pairs with READ_ONCE() under tlb_lock. */
	WRITE_ONCE(gpu->in_reset, true);
	vsvm_mmu_drain(gpu);
	while ((vm = vsvm_pass_next(gpu, vm)))
		vsvm_pt_forget(vm);
	vsvm_pm_lose_memory(gpu);
	/* What is mapped up to now the library takes for lost, rightly or not. */
	vsvm_drop_mappings(gpu);
	vsvm_reset_over(gpu);
}

/* Reset the GPU, which stays meanwhile. */
static int vsvm_reset(struct vsvm_gpu *gpu)
{
	int err;

	guard(mutex)(&gpu->reset_lock);

	err = vsvm_pm_get(gpu);
	if (err)
		return err;
	/* By the limit, so that no page comes in before the memory is gone. */
	if (gpu->vram.base)
		err = drm_msvm_device_set_limit(&gpu->msvm, 0);
	if (!err) {
		vsvm_reset_hardware(gpu);
		atomic_inc(&gpu->resets);
	}
	/* What can't be evicted now could not be when this limit was set. */
	if (gpu->vram.base)
		drm_msvm_device_set_limit(&gpu->msvm, gpu->vram_limit);
	vsvm_pm_put(gpu);
	return err;
}

/*
 * Reset the GPU: it forgets its page tables and TLBs, and loses its memory. Jobs
 * go on, by page faults. Context: sleeps. Return: 0; -ENODEV: it is gone; -EBUSY,
 * -EINTR: pages could not be brought back, and nothing was reset.
 */
int vsvm_gpu_reset(struct vsvm_gpu *gpu)
{
	struct vsvm_user user;
	int err;

	if (!vsvm_gpu_enter(gpu, &user, NULL))
		return -ENODEV;
	err = vsvm_reset(gpu);
	vsvm_gpu_exit(gpu, &user);

	return err;
}
