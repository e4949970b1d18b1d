// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Binding of intervals: ioctls, and what an engine finds there. The entries of
 * bindings are in the page table beside those of memory that is faulted in, in a
 * half of it that no address of a process leads to: neither can take the other's
 * away.
 */
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <drm/drm_file.h>

#include "vsvm_drv.h"

/**
 * struct vsvm_bind - A binding of a VM.
 */
struct vsvm_bind {
	/** @base: The library's part. */
	struct drm_msvm_userptr_binding base;
	/** @node: Entry in &vsvm_vm.binds; its binds_lock. */
	struct interval_tree_node node;
	/** @read_only: The engines may not write. */
	bool read_only;
	/** @users: Engines that use it; 0 once it is out of the tree. */
	atomic_t users;
};

static struct vsvm_vm *vsvm_bind_vm(struct drm_msvm_userptr_binding *base)
{
	return container_of(base->member, struct vsvm_vm, member);
}

static int vsvm_bind_prepare(struct drm_msvm_userptr_binding *base)
{
	return vsvm_pt_prepare(vsvm_bind_vm(base), base->start + VSVM_BIND_BASE,
			       base->end + VSVM_BIND_BASE);
}

static int vsvm_bind_pages(struct drm_msvm_userptr_binding *base,
			   const struct drm_msvm_mapping *mapping)
{
	vsvm_pt_map(vsvm_bind_vm(base), mapping->start + VSVM_BIND_BASE,
		    mapping->addrs, mapping->end + VSVM_BIND_BASE,
		    mapping->writable);
	return 0;
}

static u64 vsvm_bind_zap(struct drm_msvm_userptr_binding *base)
{
	return vsvm_pt_zap(vsvm_bind_vm(base), base->start + VSVM_BIND_BASE,
			   base->end + VSVM_BIND_BASE);
}

static const struct drm_msvm_userptr_ops vsvm_bind_ops = {
	.prepare = vsvm_bind_prepare,
	.bind = vsvm_bind_pages,
	.zap = vsvm_bind_zap,
};

/* The first binding that overlaps an interval, or NULL. binds_lock held. */
static struct vsvm_bind *vsvm_bind_first(struct vsvm_vm *vm, u64 start, u64 end)
{
	struct interval_tree_node *node;

	lockdep_assert_held(&vm->binds_lock);

	node = interval_tree_iter_first(&vm->binds, start, end - 1);
	return node ? container_of(node, struct vsvm_bind, node) : NULL;
}

/*
 * Where in the page table the entry of an address is. Context: any, TLB lock held so
 * that a binding that comes or goes finds what is cached from it.
 */
u64 vsvm_bind_lookup(struct vsvm_vm *vm, u64 addr)
{
	bool bound;

	/* Pairs with WRITE_ONCE() when one comes: then TLBs are flushed. */
	if (!READ_ONCE(vm->nr_binds))
		return addr;

	spin_lock(&vm->binds_lock);
	bound = vsvm_bind_first(vm, addr, addr + 1);
	spin_unlock(&vm->binds_lock);

	return bound ? addr + VSVM_BIND_BASE : addr;
}

/* Add to the bindings that engines see. Return: 0 or -EEXIST. */
static int vsvm_bind_add(struct vsvm_vm *vm, struct vsvm_bind *bind)
{
	int err = 0;

	bind->node.start = bind->base.start;
	bind->node.last = bind->base.end - 1;
	spin_lock(&vm->binds_lock);
	if (vsvm_bind_first(vm, bind->base.start, bind->base.end)) {
		err = -EEXIST;
	} else {
		interval_tree_insert(&bind->node, &vm->binds);
		/* Pairs with READ_ONCE() in lookups. */
		WRITE_ONCE(vm->nr_binds, vm->nr_binds + 1);
	}
	spin_unlock(&vm->binds_lock);
	/* What they have of it by page faults may allow more. */
	if (!err)
		vsvm_tlb_flush(vm);
	return err;
}

/* Take out of them, and wait for engines that are about to use it. Sleeps. */
static void vsvm_bind_remove(struct vsvm_vm *vm, struct vsvm_bind *bind)
{
	struct vsvm_gpu *gpu = vm->gpu;
	unsigned int i;

	spin_lock(&vm->binds_lock);
	interval_tree_remove(&bind->node, &vm->binds);
	WRITE_ONCE(vm->nr_binds, vm->nr_binds - 1);
	spin_unlock(&vm->binds_lock);

	/* They may be in a fault that sleeps for ever: they look again. */
	for (i = 0; i < gpu->config.engines && atomic_read(&bind->users); i++)
		vsvm_engine_interrupt(&gpu->engines[i], vm);
	wait_event(vm->jobs_wq, !atomic_read(&bind->users));
}

static void vsvm_bind_free(struct vsvm_bind *bind)
{
	drm_msvm_userptr_detach(&bind->base);
	kfree(bind);
}

/*
 * An engine found no entry at an address. Return: 0: try again; -ENOENT: it is not
 * bound; or why the access is not possible.
 */
int vsvm_bind_fault(struct vsvm_vm *vm, u64 addr, enum drm_msvm_access access)
{
	struct drm_msvm_userptr_binding *base;
	struct vsvm_bind *bind;
	int err = 0;

	if (!READ_ONCE(vm->nr_binds))
		return -ENOENT;

	spin_lock(&vm->binds_lock);
	bind = vsvm_bind_first(vm, addr, addr + 1);
	if (!bind)
		err = -ENOENT;
	else if (bind->read_only && access != DRM_MSVM_ACCESS_READ)
		err = -EACCES;
	/* It is kept bound, but it is no memory any more. */
	else if (!vm->gpu->config.page_faults)
		err = -EFAULT;
	else
		atomic_inc(&bind->users);
	spin_unlock(&vm->binds_lock);
	if (err)
		return err;

	base = &bind->base;
	err = drm_msvm_userptr_bind(&base, 1);
	/* From now on it may be gone. */
	atomic_dec(&bind->users);
	wake_up_all(&vm->jobs_wq);

	return err;
}

/* Is all that a job may rely on bound? Notifier lock of userptrs held. */
static bool vsvm_binds_valid(struct vsvm_vm *vm)
{
	struct interval_tree_node *node;
	bool valid = true;

	spin_lock(&vm->binds_lock);
	for (node = interval_tree_iter_first(&vm->binds, 0, ULONG_MAX);
	     node && valid;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		struct vsvm_bind *bind =
			container_of(node, struct vsvm_bind, node);

		valid = drm_msvm_userptr_valid(&bind->base);
	}
	spin_unlock(&vm->binds_lock);

	return valid;
}

/*
 * A job of a GPU without page faults is about to be queued: it must find what is
 * bound, or queues that are stopped. Context: sleeps; exec_lock held, not dying.
 * Return: whether there are bindings; then nothing is taken away from them until
 * vsvm_binds_unlock().
 */
bool vsvm_binds_lock(struct vsvm_vm *vm)
{
	bool checked = false;

	lockdep_assert_held(&vm->exec_lock);

	if (vm->gpu->config.page_faults || !READ_ONCE(vm->nr_binds))
		return false;
	for (;;) {
		drm_msvm_userptr_lock(&vm->member);
		/* What is still no memory fails the job if it touches that. */
		if (checked || vsvm_binds_valid(vm))
			return true;
		drm_msvm_userptr_unlock(&vm->member);
		drm_msvm_userptr_recheck(&vm->member);
		checked = true;
	}
}

void vsvm_binds_unlock(struct vsvm_vm *vm)
{
	drm_msvm_userptr_unlock(&vm->member);
}

static int vsvm_bind_vm_memory(struct vsvm_vm *vm, void *data)
{
	struct drm_vsvm_bind *args = data;
	struct drm_msvm_userptr_binding *base;
	struct vsvm_bind *bind;
	u32 flags = 0;
	int err;

	bind = kzalloc_obj(*bind);
	if (!bind)
		return -ENOMEM;
	bind->read_only = args->flags & DRM_VSVM_BIND_READ_ONLY;
	if (bind->read_only)
		flags |= DRM_MSVM_USERPTR_READ_ONLY;
	if (!vm->gpu->config.page_faults)
		flags |= DRM_MSVM_USERPTR_KEEP;
	base = &bind->base;
	err = drm_msvm_userptr_attach(base, &vm->member, args->addr,
				      args->addr + args->length, &vsvm_bind_ops,
				      flags);
	if (err)
		goto err_free;
	err = vsvm_bind_add(vm, bind);
	if (err)
		goto err_detach;
	err = drm_msvm_userptr_bind(&base, 1);
	if (err)
		goto err_remove;
	return 0;

err_remove:
	vsvm_bind_remove(vm, bind);
err_detach:
	drm_msvm_userptr_detach(base);
err_free:
	kfree(bind);
	return err == -ESRCH ? -EFAULT : err;
}

static int vsvm_unbind_vm_memory(struct vsvm_vm *vm, void *data)
{
	struct drm_vsvm_unbind *args = data;
	u64 end = args->addr + args->length;
	struct vsvm_bind *bind;

	spin_lock(&vm->binds_lock);
	bind = vsvm_bind_first(vm, args->addr, end);
	/* It stays there: who removes it has the VM's kill_lock, as we do. */
	if (bind && (bind->base.start != args->addr || bind->base.end != end))
		bind = NULL;
	spin_unlock(&vm->binds_lock);
	if (!bind)
		return -ENOENT;

	vsvm_bind_remove(vm, bind);
	vsvm_bind_free(bind);
	return 0;
}

/* The VM goes, and no job runs. Cannot fail. */
void vsvm_binds_fini(struct vsvm_vm *vm)
{
	struct vsvm_bind *bind;

	for (;;) {
		spin_lock(&vm->binds_lock);
		bind = vsvm_bind_first(vm, 0, U64_MAX);
		spin_unlock(&vm->binds_lock);
		if (!bind)
			return;
		vsvm_bind_remove(vm, bind);
		vsvm_bind_free(bind);
	}
}

int vsvm_bind_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_vsvm_bind *args = data;

	if (args->flags & ~DRM_VSVM_BIND_READ_ONLY ||
	    !vsvm_interval_ok(args->addr, args->length))
		return -EINVAL;
	return vsvm_with_vm(file, args->vm_id, vsvm_bind_vm_memory, args);
}

int vsvm_unbind_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file)
{
	struct drm_vsvm_unbind *args = data;

	if (args->pad || !vsvm_interval_ok(args->addr, args->length))
		return -EINVAL;
	return vsvm_with_vm(file, args->vm_id, vsvm_unbind_vm_memory, args);
}
