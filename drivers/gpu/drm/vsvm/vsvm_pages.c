// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages and where they are: ioctls to move them, to ask where they are, and what
 * the GPU's memory is like; and the command that prefetches.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "vsvm_drv.h"
#include "vsvm_pages.h"

/* Pages that a residency ioctl may ask about. */
#define VSVM_RESIDENCY_MAX	SZ_1M

/* drm_msvm asks for no more at a time. */
#define VSVM_RESIDENCY_BATCH	512

/*
 * Move memory to a GPU's, or to system memory. The VM's layout is msvm and it does
 * not leave meanwhile. Context: a thread of ours. Return: what drm_msvm_migrate()
 * returns; -ENXIO: there is no such GPU, or it has no memory.
 */
static int vsvm_migrate(struct vsvm_vm *vm, u64 start, u64 len, u32 target)
{
	struct vsvm_user user;
	struct vsvm_gpu *gpu;
	int err = -ENXIO;

	if (!target)
		return drm_msvm_migrate(&vm->member, start, start + len, NULL);

	gpu = vsvm_vram_find(target - 1);
	if (!gpu)
		return -ENXIO;
	/* This may take long: if the GPU is pulled out we are interrupted. */
	if (vsvm_gpu_enter(gpu, &user, current)) {
		err = drm_msvm_migrate(&vm->member, start, start + len,
				       &gpu->msvm);
		if (err == -EINTR && READ_ONCE(gpu->users.closed))
			err = -ENODEV;
		vsvm_gpu_exit(gpu, &user);
	}
	drm_dev_put(&gpu->drm);

	return err;
}

/*
 * The command: a hint, so memory that can't be moved is no error of the job.
 * Context: the engine's thread. Return: 0; -EINTR: a signal, meant for this job or
 * one before it.
 */
int vsvm_prefetch(struct vsvm_vm *vm, u64 start, u64 len, u32 target)
{
	u64 first = PAGE_ALIGN_DOWN(start);
	u64 end = PAGE_ALIGN(start + len);

	if (vm->layout != DRM_VSVM_VM_LAYOUT_MSVM || first >= end)
		return 0;
	return vsvm_migrate(vm, first, end - first, target) == -EINTR ?
	       -EINTR : 0;
}

/*
 * Have memory that was moved mapped where it is; a VM without page faults has what it
 * keeps mapped. Context and return: as vsvm_prefetch().
 */
int vsvm_map_here(struct vsvm_vm *vm, u64 start, u64 len)
{
	u64 first = PAGE_ALIGN_DOWN(start);
	u64 end = min(PAGE_ALIGN(start + len), vsvm_gpu_va_end(vm->gpu));

	if (!vm->gpu->config.page_faults || first >= end)
		return 0;
	return drm_msvm_map(&vm->member, first, end) == -EINTR ? -EINTR : 0;
}

bool vsvm_interval_ok(u64 start, u64 len)
{
	u64 end;

	return len && PAGE_ALIGNED(start) && PAGE_ALIGNED(len) &&
	       !check_add_overflow(start, len, &end);
}

/* Call @fn for a VM of the caller's, of layout msvm, that is kept meanwhile. */
int vsvm_with_vm(struct drm_file *file, u32 vm_id,
		 int (*fn)(struct vsvm_vm *vm, void *data), void *data)
{
	struct vsvm_vm *vm = vsvm_vm_lookup(file, vm_id);
	int err;

	if (!vm)
		return -ENOENT;
	if (vm->layout != DRM_VSVM_VM_LAYOUT_MSVM) {
		err = -EOPNOTSUPP;
		goto out;
	}
	if (vm->mm != current->mm) {
		err = -EPERM;
		goto out;
	}
	err = mutex_lock_interruptible(&vm->kill_lock);
	if (err)
		goto out;
	err = vm->killed ? -ENODEV : fn(vm, data);
	mutex_unlock(&vm->kill_lock);
out:
	vsvm_vm_put(vm);
	return err;
}

static int vsvm_migrate_call(struct vsvm_vm *vm, void *data)
{
	struct drm_vsvm_migrate *args = data;

	return vsvm_migrate(vm, args->start, args->len, args->target);
}

static int vsvm_migrate_vm(struct vsvm_vm *vm, void *data)
{
	return vsvm_call(&vm, 1, vsvm_migrate_call, data);
}

int vsvm_migrate_ioctl(struct drm_device *drm, void *data,
		       struct drm_file *file)
{
	struct drm_vsvm_migrate *args = data;

	if (args->flags || args->pad ||
	    !vsvm_interval_ok(args->start, args->len))
		return -EINVAL;
	return vsvm_with_vm(file, args->vm_id, vsvm_migrate_vm, args);
}

static int vsvm_keep_call(struct vsvm_vm *vm, void *data)
{
	struct drm_vsvm_keep *args = data;

	return drm_msvm_keep(&vm->member, args->start, args->start + args->len,
			     args->access == DRM_VSVM_ACCESS_READ ?
			     DRM_MSVM_ACCESS_READ : DRM_MSVM_ACCESS_WRITE);
}

static int vsvm_keep_vm(struct vsvm_vm *vm, void *data)
{
	struct drm_vsvm_keep *args = data;

	if (args->flags & DRM_VSVM_KEEP_REMOVE)
		return drm_msvm_unkeep(&vm->member, args->start,
				       args->start + args->len);
	return vsvm_call(&vm, 1, vsvm_keep_call, args);
}

int vsvm_keep_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_vsvm_keep *args = data;
	bool remove = args->flags & DRM_VSVM_KEEP_REMOVE;

	if (args->flags & ~DRM_VSVM_KEEP_REMOVE || args->pad ||
	    !vsvm_interval_ok(args->start, args->len))
		return -EINVAL;
	if (remove ? args->access != DRM_VSVM_ACCESS_NONE :
		     args->access != DRM_VSVM_ACCESS_READ &&
		     args->access != DRM_VSVM_ACCESS_WRITE)
		return -EINVAL;
	return vsvm_with_vm(file, args->vm_id, vsvm_keep_vm, args);
}

/* Numbers of drm_msvm's devices to those of our GPUs. */
static void vsvm_where_to_gpu(u32 *where, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (where[i] >= DRM_MSVM_WHERE_DEVICE)
			where[i] = DRM_VSVM_WHERE_GPU +
				   vsvm_vram_index_of(where[i] -
						      DRM_MSVM_WHERE_DEVICE);
}

/**
 * struct vsvm_residency - Pages that are asked about at a time.
 * @start: Address of the first.
 * @n: How many.
 * @where: Where they are.
 */
struct vsvm_residency {
	u64 start;
	unsigned int n;
	u32 where[VSVM_RESIDENCY_BATCH];
};

static int vsvm_residency_vm(struct vsvm_vm *vm, void *data)
{
	struct vsvm_residency *batch = data;
	int err;

	err = drm_msvm_residency(&vm->member, batch->start, batch->n,
				 batch->where);
	if (!err)
		vsvm_where_to_gpu(batch->where, batch->n);
	return err;
}

/* User memory may take for ever: nothing is held while it is written. */
static int vsvm_residency(struct drm_file *file,
			  const struct drm_vsvm_residency *args,
			  struct vsvm_residency *batch)
{
	u32 __user *to = u64_to_user_ptr(args->where);
	u64 left = args->len >> PAGE_SHIFT;
	int err;

	for (batch->start = args->start; left; left -= batch->n) {
		batch->n = min(left, VSVM_RESIDENCY_BATCH);
		err = vsvm_with_vm(file, args->vm_id, vsvm_residency_vm, batch);
		if (err)
			return err;
		if (copy_to_user(to, batch->where, batch->n * sizeof(*to)))
			return -EFAULT;
		to += batch->n;
		batch->start += batch->n * PAGE_SIZE;
		if (left > batch->n && signal_pending(current))
			return -ERESTARTSYS;
	}
	return 0;
}

int vsvm_residency_ioctl(struct drm_device *drm, void *data,
			 struct drm_file *file)
{
	struct drm_vsvm_residency *args = data;
	struct vsvm_residency *batch;
	int err;

	if (args->flags || !vsvm_interval_ok(args->start, args->len) ||
	    args->len >> PAGE_SHIFT > VSVM_RESIDENCY_MAX)
		return -EINVAL;
	batch = kmalloc_obj(*batch);
	if (!batch)
		return -ENOMEM;
	err = vsvm_residency(file, args, batch);
	kfree(batch);

	return err;
}

int vsvm_memory_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file)
{
	struct vsvm_gpu *gpu = to_vsvm_gpu(drm);
	struct drm_vsvm_memory *args = data;
	struct drm_msvm_memory_info info;
	int idx, err;

	if (args->flags || args->pad || args->size || args->used)
		return -EINVAL;
	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	err = drm_msvm_device_memory_info(&gpu->msvm, &info);
	drm_dev_exit(idx);
	/* A GPU without memory has none of anything. */
	if (err)
		info = (struct drm_msvm_memory_info) {};
	args->size = info.size;
	args->limit = info.limit;
	args->used = info.used;
	args->moved_in = info.moved_in;
	args->moved_out = info.moved_out;
	args->moved_peer = info.moved_peer;
	args->evictions = info.evictions;
	args->second_chances = info.second_chances;
	return 0;
}
