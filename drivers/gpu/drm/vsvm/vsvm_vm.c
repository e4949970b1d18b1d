// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * VMs: made and destroyed, their handles in a file, and their end when the GPU
 * is pulled out. A VM is killed first, which stops its jobs and takes down its
 * mappings, and freed when the last job and user let go of it.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "vsvm_drv.h"

static void vsvm_vm_release(struct kref *ref)
{
	struct vsvm_vm *vm = container_of(ref, struct vsvm_vm, ref);
	struct drm_device *drm = &vm->gpu->drm;

	vsvm_pt_fini(vm);
	kfree(vm->entities);
	mmdrop(vm->mm);
	mutex_destroy(&vm->fini_lock);
	mutex_destroy(&vm->kill_lock);
	mutex_destroy(&vm->exec_lock);
	kfree(vm);
	drm_dev_put(drm);
}

/* Drop a reference. Context: sleeps. */
void vsvm_vm_put(struct vsvm_vm *vm)
{
	kref_put(&vm->ref, vsvm_vm_release);
}

static void vsvm_vm_fini_entities(struct vsvm_vm *vm, unsigned int n)
{
	while (n--)
		drm_sched_entity_destroy(&vm->entities[n]);
}

static int vsvm_vm_init_entities(struct vsvm_vm *vm)
{
	struct vsvm_gpu *gpu = vm->gpu;
	struct drm_gpu_scheduler *sched;
	unsigned int i;
	int err;

	vm->entities = kzalloc_objs(*vm->entities, gpu->config.engines);
	if (!vm->entities)
		return -ENOMEM;
	for (i = 0; i < gpu->config.engines; i++) {
		sched = &gpu->engines[i].sched;
		err = drm_sched_entity_init(&vm->entities[i],
					    DRM_SCHED_PRIORITY_NORMAL, &sched,
					    1, NULL);
		if (err) {
			vsvm_vm_fini_entities(vm, i);
			return err;
		}
	}
	return 0;
}

/* Results nobody asked about. The VM is killed, so none is added. */
static void vsvm_vm_drop_results(struct vsvm_vm *vm)
{
	struct vsvm_job *job, *next;
	LIST_HEAD(ended);

	spin_lock(&vm->jobs_lock);
	list_splice_init(&vm->ended, &ended);
	vm->nr_ended = 0;
	spin_unlock(&vm->jobs_lock);

	list_for_each_entry_safe(job, next, &ended, vm_link) {
		list_del_init(&job->vm_link);
		vsvm_job_put(job);
	}
}

/*
 * Stop all jobs of a VM and take its mappings down; page faults under way are
 * interrupted, and ioctls in them. Context: sleeps. Can be called again. Cannot fail.
 */
void vsvm_vm_kill(struct vsvm_vm *vm)
{
	struct vsvm_gpu *gpu = vm->gpu;
	unsigned int i;

	/* After the exec lock was ours, every job that was let in is queued. */
	mutex_lock(&vm->exec_lock);
	spin_lock(&vm->jobs_lock);
	/* Pairs with READ_ONCE() in the engines. */
	WRITE_ONCE(vm->dying, true);
	vsvm_call_interrupt(vm);
	spin_unlock(&vm->jobs_lock);
	mutex_unlock(&vm->exec_lock);
	/* Those that were preempted notice it as well. */
	wake_up_all(&vm->jobs_wq);

	/* Who has the kill lock may wait for a fault that sleeps: end it. */
	for (i = 0; i < gpu->config.engines; i++)
		vsvm_engine_interrupt(&gpu->engines[i], vm);

	mutex_lock(&vm->kill_lock);
	if (vm->killed)
		goto out;

	/* What the scheduler still has is handed over or thrown out ... */
	vsvm_vm_fini_entities(vm, gpu->config.engines);
	/* ... and what the engines have ends. */
	for (i = 0; i < gpu->config.engines; i++)
		vsvm_engine_cancel(&gpu->engines[i], vm);
	/* The scheduler throws out behind our back: each job ends all the same. */
	wait_event(vm->jobs_wq, !READ_ONCE(vm->nr_pending));

	mutex_lock(&vm->fini_lock);
	vm->ops->fini(vm);
	vm->killed = true;
	mutex_unlock(&vm->fini_lock);
	vsvm_tlb_flush(vm);
	vsvm_oracle_leave(vm);
	vsvm_pm_put(gpu);

	mutex_lock(&gpu->vms_lock);
	list_del_init(&vm->link);
	mutex_unlock(&gpu->vms_lock);
out:
	mutex_unlock(&vm->kill_lock);
}

/*
 * Make a VM of the calling process. @file: NULL for one that never gets jobs. The
 * caller keeps the GPU. Context: sleeps. Return: the VM, to be killed and put;
 * -EINVAL: no process; -ENOMEM, or what drm_msvm_join() returns.
 */
struct vsvm_vm *vsvm_vm_create(struct vsvm_gpu *gpu, struct vsvm_file *file,
			       u32 layout)
{
	struct vsvm_vm *vm;
	int err;

	if (!current->mm)
		return ERR_PTR(-EINVAL);

	vm = kzalloc_obj(*vm);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	kref_init(&vm->ref);
	vm->gpu = gpu;
	vm->file = file;
	vm->layout = layout;
	vm->ops = layout == DRM_VSVM_VM_LAYOUT_MSVM ? &vsvm_msvm_ops :
						      &vsvm_gpusvm_ops;
	INIT_LIST_HEAD(&vm->link);
	INIT_LIST_HEAD(&vm->pending);
	INIT_LIST_HEAD(&vm->ended);
	mutex_init(&vm->exec_lock);
	mutex_init(&vm->kill_lock);
	mutex_init(&vm->fini_lock);
	spin_lock_init(&vm->jobs_lock);
	vsvm_binds_init(vm);
	init_waitqueue_head(&vm->jobs_wq);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	drm_dev_get(&gpu->drm);

	err = vsvm_pt_init(vm);
	if (err)
		goto err_put;
	err = vsvm_vm_init_entities(vm);
	if (err)
		goto err_put;
	err = vsvm_pm_get(gpu);
	if (err)
		goto err_entities;
	if (gpu->watched) {
		err = vsvm_oracle_join(vm);
		if (err)
			goto err_pm;
	}
	err = vm->ops->init(vm);
	if (err)
		goto err_oracle;

	mutex_lock(&gpu->vms_lock);
	list_add_tail(&vm->link, &gpu->vms);
	mutex_unlock(&gpu->vms_lock);
	return vm;

err_oracle:
	vsvm_oracle_leave(vm);
err_pm:
	vsvm_pm_put(gpu);
err_entities:
	vsvm_vm_fini_entities(vm, gpu->config.engines);
err_put:
	vsvm_vm_put(vm);
	return ERR_PTR(err);
}

/* Find a VM by its handle and take a reference, or NULL. */
struct vsvm_vm *vsvm_vm_lookup(struct drm_file *file, u32 vm_id)
{
	struct vsvm_file *priv = file->driver_priv;
	struct vsvm_vm *vm;

	xa_lock(&priv->vms);
	vm = xa_load(&priv->vms, vm_id);
	if (vm)
		kref_get(&vm->ref);
	xa_unlock(&priv->vms);

	return vm;
}

static int vsvm_vm_create_handle(struct drm_device *drm, struct drm_file *file,
				 struct drm_vsvm_vm_create *args)
{
	struct vsvm_file *priv = file->driver_priv;
	struct vsvm_vm *vm;
	int err;

	vm = vsvm_vm_create(to_vsvm_gpu(drm), priv, args->layout);
	if (IS_ERR(vm))
		return PTR_ERR(vm);

	/* The lowest free one, so at most VSVM_MAX_VMS of them. */
	err = xa_alloc(&priv->vms, &args->vm_id, vm,
		       XA_LIMIT(1, VSVM_MAX_VMS), GFP_KERNEL);
	if (err) {
		vsvm_vm_kill(vm);
		vsvm_vm_put(vm);
		return err == -EBUSY ? -ENOSPC : err;
	}
	return 0;
}

int vsvm_vm_create_ioctl(struct drm_device *drm, void *data,
			 struct drm_file *file)
{
	struct drm_vsvm_vm_create *args = data;
	int idx, err;

	if (args->layout > DRM_VSVM_VM_LAYOUT_1TO1 || args->flags || args->pad)
		return -EINVAL;
	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	err = vsvm_vm_create_handle(drm, file, args);
	drm_dev_exit(idx);

	return err;
}

int vsvm_vm_destroy_ioctl(struct drm_device *drm, void *data,
			  struct drm_file *file)
{
	struct drm_vsvm_vm_destroy *args = data;
	struct vsvm_file *priv = file->driver_priv;
	struct vsvm_vm *vm;

	if (args->pad)
		return -EINVAL;
	vm = xa_erase(&priv->vms, args->vm_id);
	if (!vm)
		return -ENOENT;

	vsvm_vm_kill(vm);
	vsvm_vm_drop_results(vm);
	vsvm_vm_put(vm);
	return 0;
}

int vsvm_vm_stats_ioctl(struct drm_device *drm, void *data,
			struct drm_file *file)
{
	struct drm_vsvm_vm_stats *args = data;
	struct drm_vsvm_vm_stats stats = { .vm_id = args->vm_id };
	struct vsvm_vm *vm;
	int err;

	if (args->pad)
		return -EINVAL;
	vm = vsvm_vm_lookup(file, args->vm_id);
	if (!vm)
		return -ENOENT;

	stats.layout = vm->layout;
	err = mutex_lock_interruptible(&vm->kill_lock);
	if (err)
		goto out;
	/* Killed by an unplug in between: there is no SVM state any more. */
	err = vm->killed ? -ENODEV : vm->ops->stats(vm, &stats);
	mutex_unlock(&vm->kill_lock);
	if (!err)
		*args = stats;
out:
	vsvm_vm_put(vm);
	return err;
}

int vsvm_file_open(struct drm_device *drm, struct drm_file *file)
{
	struct vsvm_file *priv = kzalloc_obj(*priv);

	if (!priv)
		return -ENOMEM;
	xa_init_flags(&priv->vms, XA_FLAGS_ALLOC1);
	file->driver_priv = priv;
	return 0;
}

/* Ioctls of the file are over. */
void vsvm_file_close(struct drm_device *drm, struct drm_file *file)
{
	struct vsvm_file *priv = file->driver_priv;
	struct vsvm_vm *vm;
	unsigned long id;

	xa_for_each(&priv->vms, id, vm) {
		vsvm_vm_kill(vm);
		vsvm_vm_drop_results(vm);
		vsvm_vm_put(vm);
	}
	xa_destroy(&priv->vms);
	kfree(priv);
}
