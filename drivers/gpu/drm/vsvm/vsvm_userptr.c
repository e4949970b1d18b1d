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
#include <linux/uaccess.h>

#include <drm/drm_file.h>
#include <drm/drm_msvm_userptr.h>

#include "vsvm_drv.h"

/* VMs of one call: as many locks of a kind can be told apart by lockdep. */
#define VSVM_BIND_VMS	8

/**
 * struct vsvm_bind - A binding of a VM.
 */
struct vsvm_bind {
	/** @base: The library's part. */
	struct drm_msvm_userptr_binding base;
	/** @node: Entry in &vsvm_binds.tree; its lock. */
	struct interval_tree_node node;
	/** @read_only: The engines may not write. */
	bool read_only;
	/** @users: Engines that use it; 0 once it is out of the tree. */
	atomic_t users;
};

static struct vsvm_bind *to_vsvm_bind(struct drm_msvm_userptr_binding *base)
{
	return container_of(base, struct vsvm_bind, base);
}

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
		    mapping->writable, !mapping->no_atomics);
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

void vsvm_binds_init(struct vsvm_vm *vm)
{
	spin_lock_init(&vm->binds.lock);
	vm->binds.tree = RB_ROOT_CACHED;
}

/* The first binding that overlaps an interval, or NULL. lock of the bindings held. */
static struct vsvm_bind *vsvm_bind_first(struct vsvm_vm *vm, u64 start, u64 end)
{
	struct interval_tree_node *node;

	lockdep_assert_held(&vm->binds.lock);

	node = interval_tree_iter_first(&vm->binds.tree, start, end - 1);
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
	if (!READ_ONCE(vm->binds.nr))
		return addr;

	spin_lock(&vm->binds.lock);
	bound = vsvm_bind_first(vm, addr, addr + 1);
	spin_unlock(&vm->binds.lock);

	return bound ? addr + VSVM_BIND_BASE : addr;
}

/* Add to the bindings that engines see. Return: 0 or -EEXIST. */
static int vsvm_bind_add(struct vsvm_vm *vm, struct vsvm_bind *bind)
{
	int err = 0;

	bind->node.start = bind->base.start;
	bind->node.last = bind->base.end - 1;
	spin_lock(&vm->binds.lock);
	if (vsvm_bind_first(vm, bind->base.start, bind->base.end)) {
		err = -EEXIST;
	} else {
		interval_tree_insert(&bind->node, &vm->binds.tree);
		/* Pairs with READ_ONCE() in lookups. */
		WRITE_ONCE(vm->binds.nr, vm->binds.nr + 1);
	}
	spin_unlock(&vm->binds.lock);
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

	spin_lock(&vm->binds.lock);
	interval_tree_remove(&bind->node, &vm->binds.tree);
	WRITE_ONCE(vm->binds.nr, vm->binds.nr - 1);
	spin_unlock(&vm->binds.lock);

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

	if (!READ_ONCE(vm->binds.nr))
		return -ENOENT;

	spin_lock(&vm->binds.lock);
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
	spin_unlock(&vm->binds.lock);
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

	spin_lock(&vm->binds.lock);
	for (node = interval_tree_iter_first(&vm->binds.tree, 0, ULONG_MAX);
	     node && valid;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		struct vsvm_bind *bind =
			container_of(node, struct vsvm_bind, node);

		valid = drm_msvm_userptr_valid(&bind->base);
	}
	spin_unlock(&vm->binds.lock);

	return valid;
}

/*
 * A job of a GPU without page faults is about to be queued: it must find what is
 * bound, or queues that are stopped. Context: sleeps; exec_lock held, the VM not
 * dying.
 * Return: whether there are bindings; then nothing is taken away from them until
 * vsvm_binds_unlock().
 */
bool vsvm_binds_lock(struct vsvm_vm *vm)
{
	bool checked = false;

	lockdep_assert_held(&vm->exec_lock);

	if (vm->gpu->config.page_faults || !READ_ONCE(vm->binds.nr))
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

/* Have a binding of a VM, without memory. Return: or an error. */
static struct vsvm_bind *vsvm_bind_make(struct vsvm_vm *vm,
					const struct drm_vsvm_bind *args)
{
	struct vsvm_bind *bind;
	u32 flags = 0;
	int err;

	bind = kzalloc_obj(*bind);
	if (!bind)
		return ERR_PTR(-ENOMEM);
	bind->read_only = args->flags & DRM_VSVM_BIND_READ_ONLY;
	if (bind->read_only)
		flags |= DRM_MSVM_USERPTR_READ_ONLY;
	if (!vm->gpu->config.page_faults)
		flags |= DRM_MSVM_USERPTR_KEEP;
	err = drm_msvm_userptr_attach(&bind->base, &vm->member, args->addr,
				      args->addr + args->length, &vsvm_bind_ops,
				      flags);
	if (err)
		goto err_free;
	err = vsvm_bind_add(vm, bind);
	if (err)
		goto err_detach;
	return bind;

err_detach:
	drm_msvm_userptr_detach(&bind->base);
err_free:
	kfree(bind);
	return ERR_PTR(err);
}

/**
 * struct vsvm_bind_call - Bindings of a call.
 * @bases: The bindings.
 * @nr: How many.
 */
struct vsvm_bind_call {
	struct drm_msvm_userptr_binding *bases[VSVM_BIND_VMS];
	unsigned int nr;
};

static int vsvm_bind_call(struct vsvm_vm *vm, void *data)
{
	struct vsvm_bind_call *call = data;

	return drm_msvm_userptr_bind(call->bases, call->nr);
}

/*
 * Bind for all VMs or none. Their kill_locks are held, and none is killed.
 */
static int vsvm_bind_all(struct vsvm_vm **vms, unsigned int nr,
			 const struct drm_vsvm_bind *args)
{
	struct vsvm_bind_call call = { .nr = nr };
	struct vsvm_bind *bind;
	unsigned int n;
	int err = 0;

	for (n = 0; n < nr; n++) {
		bind = vsvm_bind_make(vms[n], args);
		if (IS_ERR(bind)) {
			err = PTR_ERR(bind);
			break;
		}
		call.bases[n] = &bind->base;
	}
	if (!err)
		err = vsvm_call(vms, nr, vsvm_bind_call, &call);
	while (err && n--) {
		bind = to_vsvm_bind(call.bases[n]);
		vsvm_bind_remove(vms[n], bind);
		vsvm_bind_free(bind);
	}
	return err == -ESRCH ? -EFAULT : err;
}

/* Lock VMs that are in the order of their addresses, and bind. */
static int vsvm_bind_locked(struct vsvm_vm **vms, unsigned int nr,
			    const struct drm_vsvm_bind *args)
{
	unsigned int locked;
	int err = 0;

	for (locked = 0; locked < nr && !err;) {
		err = mutex_lock_interruptible_nested(&vms[locked]->kill_lock,
						      locked);
		if (!err && vms[locked++]->killed)
			err = -ENODEV;
	}
	if (!err)
		err = vsvm_bind_all(vms, nr, args);
	while (locked--)
		mutex_unlock(&vms[locked]->kill_lock);

	return err;
}

/* Insert a VM by its address, with a reference. Return: 0, or why it may not be. */
static int vsvm_bind_add_vm(struct vsvm_vm **vms, unsigned int nr,
			    struct vsvm_vm *vm)
{
	unsigned int i = nr;

	if (vm->layout != DRM_VSVM_VM_LAYOUT_MSVM)
		return -EOPNOTSUPP;
	if (vm->mm != current->mm)
		return -EPERM;
	while (i && vms[i - 1] >= vm) {
		if (vms[i - 1] == vm)
			return -EINVAL;
		i--;
	}
	memmove(vms + i + 1, vms + i, (nr - i) * sizeof(*vms));
	vms[i] = vm;
	return 0;
}

/* Find the VMs of a call. Return: how many, or an error. */
static int vsvm_bind_vms(struct drm_file *file,
			 const struct drm_vsvm_bind *args, struct vsvm_vm **vms)
{
	struct drm_vsvm_bind_other others[VSVM_BIND_VMS - 1];
	unsigned int nr, i;
	int err = 0;

	if (copy_from_user(others, u64_to_user_ptr(args->others),
			   args->num_others * sizeof(*others)))
		return -EFAULT;
	for (nr = 0; nr <= args->num_others; nr++) {
		struct vsvm_vm *vm;

		vm = nr ? vsvm_vm_lookup_fd(others[nr - 1].fd,
					    others[nr - 1].vm_id) :
			  vsvm_vm_lookup(file, args->vm_id);
		if (IS_ERR_OR_NULL(vm)) {
			err = vm ? PTR_ERR(vm) : -ENOENT;
			break;
		}
		err = vsvm_bind_add_vm(vms, nr, vm);
		if (err) {
			vsvm_vm_put(vm);
			break;
		}
	}
	for (i = 0; err && i < nr; i++)
		vsvm_vm_put(vms[i]);
	return err ?: nr;
}

static int vsvm_unbind_vm_memory(struct vsvm_vm *vm, void *data)
{
	struct drm_vsvm_unbind *args = data;
	u64 end = args->addr + args->length;
	struct vsvm_bind *bind;

	spin_lock(&vm->binds.lock);
	bind = vsvm_bind_first(vm, args->addr, end);
	/* It stays there: who removes it has the VM's kill_lock, as we do. */
	if (bind && (bind->base.start != args->addr || bind->base.end != end))
		bind = NULL;
	spin_unlock(&vm->binds.lock);
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
		spin_lock(&vm->binds.lock);
		bind = vsvm_bind_first(vm, 0, U64_MAX);
		spin_unlock(&vm->binds.lock);
		if (!bind)
			return;
		vsvm_bind_remove(vm, bind);
		vsvm_bind_free(bind);
	}
}

int vsvm_bind_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct vsvm_vm *vms[VSVM_BIND_VMS];
	struct drm_vsvm_bind *args = data;
	int nr, err;

	if (args->flags & ~DRM_VSVM_BIND_READ_ONLY || args->pad ||
	    args->num_others >= VSVM_BIND_VMS ||
	    (!args->num_others && args->others) ||
	    !vsvm_interval_ok(args->addr, args->length))
		return -EINVAL;
	nr = vsvm_bind_vms(file, args, vms);
	if (nr < 0)
		return nr;
	err = vsvm_bind_locked(vms, nr, args);
	while (nr--)
		vsvm_vm_put(vms[nr]);

	return err;
}

int vsvm_unbind_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file)
{
	struct drm_vsvm_unbind *args = data;

	if (args->pad || !vsvm_interval_ok(args->addr, args->length))
		return -EINVAL;
	return vsvm_with_vm(file, args->vm_id, vsvm_unbind_vm_memory, args);
}
