// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Attributes of memory: what user space says about it, in numbers of GPUs and handles
 * of VMs, to what drm_msvm is told, and back.
 */
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_msvm_attr.h>

#include "vsvm_drv.h"
#include "vsvm_pages.h"

#define VSVM_ATTR_MAX		16
/* VMs of one call. Each is locked: lockdep knows no more of a kind. */
#define VSVM_ATTR_VMS		8
#define VSVM_ATTR_INTERVALS	256
/* As many are got at a time. */
#define VSVM_ATTR_BATCH		32

/**
 * struct vsvm_attr_vms - VMs of a call.
 * @vms: Each once, by address, with a reference.
 * @nr: How many.
 * @locked: How many of them are locked.
 */
struct vsvm_attr_vms {
	struct vsvm_vm *vms[VSVM_ATTR_VMS];
	unsigned int nr;
	unsigned int locked;
};

/* Add a VM. Return: it, without a reference of its own, or why it may not be. */
static struct vsvm_vm *vsvm_attr_add_vm(struct vsvm_attr_vms *set,
					struct drm_file *file, int fd,
					u32 vm_id)
{
	struct vsvm_vm *vm;
	unsigned int i;
	int err = 0;

	vm = fd == DRM_VSVM_ATTR_THIS_FILE ? vsvm_vm_lookup(file, vm_id) :
					     vsvm_vm_lookup_fd(fd, vm_id);
	if (IS_ERR_OR_NULL(vm))
		return vm ?: ERR_PTR(-ENOENT);

	for (i = 0; i < set->nr && set->vms[i] < vm; i++)
		;
	if (i < set->nr && set->vms[i] == vm) {
		vsvm_vm_put(vm);
		return vm;
	}
	if (vm->layout != DRM_VSVM_VM_LAYOUT_MSVM)
		err = -EOPNOTSUPP;
	else if (vm->mm != current->mm)
		err = -EPERM;
	else if (set->nr == VSVM_ATTR_VMS)
		err = -EINVAL;
	if (err) {
		vsvm_vm_put(vm);
		return ERR_PTR(err);
	}
	memmove(set->vms + i + 1, set->vms + i,
		(set->nr - i) * sizeof(*set->vms));
	set->vms[i] = vm;
	set->nr++;
	return vm;
}

/* None of them leaves from now on. Return: 0; -ENODEV: one has; or a signal. */
static int vsvm_attr_lock_vms(struct vsvm_attr_vms *set)
{
	struct vsvm_vm *vm;
	int err;

	while (set->locked < set->nr) {
		vm = set->vms[set->locked];
		err = mutex_lock_interruptible_nested(&vm->kill_lock,
						      set->locked);
		if (err)
			return err;
		set->locked++;
		if (vm->killed)
			return -ENODEV;
	}
	return 0;
}

static void vsvm_attr_unlock_vms(struct vsvm_attr_vms *set)
{
	while (set->locked)
		mutex_unlock(&set->vms[--set->locked]->kill_lock);
}

static void vsvm_attr_put_vms(struct vsvm_attr_vms *set)
{
	while (set->nr)
		vsvm_vm_put(set->vms[--set->nr]);
}

/**
 * struct vsvm_attr_set - Changes on their way.
 * @vms: VMs that are named.
 * @vm: The VM of the call.
 * @user: The changes as user space said.
 * @attrs: And as the library is told.
 * @gpu: GPU that is preferred, with a reference, or NULL.
 */
struct vsvm_attr_set {
	struct vsvm_attr_vms vms;
	struct vsvm_vm *vm;
	struct drm_vsvm_attr user[VSVM_ATTR_MAX];
	struct drm_msvm_attr attrs[VSVM_ATTR_MAX];
	struct vsvm_gpu *gpu;
};

static_assert(DRM_VSVM_ATOMICS_NONE == (int)DRM_MSVM_ATOMICS_NONE);
static_assert(DRM_VSVM_ATOMICS_DEVICE == (int)DRM_MSVM_ATOMICS_DEVICE);
static_assert(DRM_VSVM_ATOMICS_SYSTEM == (int)DRM_MSVM_ATOMICS_SYSTEM);
static_assert(DRM_VSVM_PREFETCH_NONE == (int)DRM_MSVM_PREFETCH_NONE);
static_assert(DRM_VSVM_PREFETCH_BLOCK == (int)DRM_MSVM_PREFETCH_BLOCK);
static_assert(DRM_VSVM_PREFETCH_TREE == (int)DRM_MSVM_PREFETCH_TREE);

static const enum drm_msvm_attr_type vsvm_attr_types[] = {
	[DRM_VSVM_ATTR_PREFERRED_LOCATION] = DRM_MSVM_ATTR_PREFERRED_LOCATION,
	[DRM_VSVM_ATTR_ACCESSED_BY] = DRM_MSVM_ATTR_ACCESSED_BY,
	[DRM_VSVM_ATTR_NO_ACCESS] = DRM_MSVM_ATTR_NO_ACCESS,
	[DRM_VSVM_ATTR_READ_MOSTLY] = DRM_MSVM_ATTR_READ_MOSTLY,
	[DRM_VSVM_ATTR_GRANULARITY] = DRM_MSVM_ATTR_GRANULARITY,
	[DRM_VSVM_ATTR_ATOMICS] = DRM_MSVM_ATTR_ATOMICS,
	[DRM_VSVM_ATTR_PREFETCH] = DRM_MSVM_ATTR_PREFETCH,
};

/* Values that are the same in both are the library's to check. */
static int vsvm_attr_from_user(struct vsvm_attr_set *set, struct drm_file *file,
			       const struct drm_vsvm_attr *user,
			       struct drm_msvm_attr *attr)
{
	struct vsvm_vm *vm;

	if (user->type >= ARRAY_SIZE(vsvm_attr_types))
		return -EINVAL;
	attr->type = vsvm_attr_types[user->type];
	attr->value = user->value;

	if (user->type == DRM_VSVM_ATTR_ACCESSED_BY ||
	    user->type == DRM_VSVM_ATTR_NO_ACCESS) {
		vm = vsvm_attr_add_vm(&set->vms, file, user->fd, user->vm_id);
		if (IS_ERR(vm))
			return PTR_ERR(vm);
		attr->member = &vm->member;
		return 0;
	}
	if (user->fd || user->vm_id)
		return -EINVAL;
	if (user->type != DRM_VSVM_ATTR_PREFERRED_LOCATION)
		return 0;

	switch (user->value) {
	case DRM_VSVM_WHERE_NONE:
		attr->value = DRM_MSVM_PREFERRED_NONE;
		return 0;
	case DRM_VSVM_WHERE_SYSTEM:
		attr->value = DRM_MSVM_PREFERRED_SYSTEM;
		return 0;
	}
	if (set->gpu)
		return -EINVAL;
	set->gpu = vsvm_vram_find(user->value - DRM_VSVM_WHERE_GPU);
	if (!set->gpu)
		return -ENXIO;
	attr->value = DRM_MSVM_PREFERRED_DEVICE;
	attr->device = &set->gpu->msvm;
	return 0;
}

static int vsvm_attr_do_set(struct vsvm_attr_set *set,
			    const struct drm_vsvm_set_attr *args)
{
	int idx = 0, err;

	if (set->gpu && !drm_dev_enter(&set->gpu->drm, &idx))
		return -ENXIO;
	err = drm_msvm_set_attr(&set->vm->member, args->start,
				args->start + args->len, set->attrs,
				args->num_attrs);
	if (set->gpu)
		drm_dev_exit(idx);
	/* The process is ending. */
	return err == -ESRCH ? -EFAULT : err;
}

/*
 * Map memory for a VM that is to have it. A hint, and there may be much of it: neither a
 * signal nor who takes the VM down or pulls a GPU out waits for more than a part.
 */
static void vsvm_attr_map(struct vsvm_vm *vm, u64 start, u64 end)
{
	/* Pairs with WRITE_ONCE() in vsvm_vm_kill(). */
	while (start < end && !signal_pending(current) && !READ_ONCE(vm->dying)) {
		if (mutex_lock_interruptible(&vm->kill_lock))
			return;
		start = vm->killed ? end : drm_msvm_map_accessed(&vm->member,
								 start, end);
		mutex_unlock(&vm->kill_lock);
		cond_resched();
	}
}

/* For all VMs that a call said are to have it. Nothing is locked. */
static void vsvm_attr_map_all(struct vsvm_attr_set *set,
			      const struct drm_vsvm_set_attr *args)
{
	unsigned int i;

	for (i = 0; i < args->num_attrs; i++) {
		const struct drm_msvm_attr *attr = &set->attrs[i];

		if (attr->type == DRM_MSVM_ATTR_ACCESSED_BY && attr->value)
			vsvm_attr_map(container_of(attr->member, struct vsvm_vm,
						   member),
				      args->start, args->start + args->len);
	}
}

int vsvm_set_attr_ioctl(struct drm_device *drm, void *data,
			struct drm_file *file)
{
	struct drm_vsvm_set_attr *args = data;
	struct vsvm_attr_set *set;
	unsigned int i;
	int err = 0;

	if (args->flags || args->pad || !args->num_attrs ||
	    args->num_attrs > VSVM_ATTR_MAX ||
	    !vsvm_interval_ok(args->start, args->len))
		return -EINVAL;
	set = kzalloc_obj(*set);
	if (!set)
		return -ENOMEM;
	if (copy_from_user(set->user, u64_to_user_ptr(args->attrs),
			   args->num_attrs * sizeof(*set->user))) {
		err = -EFAULT;
		goto out;
	}
	set->vm = vsvm_attr_add_vm(&set->vms, file, DRM_VSVM_ATTR_THIS_FILE,
				   args->vm_id);
	if (IS_ERR(set->vm)) {
		err = PTR_ERR(set->vm);
		goto out;
	}
	for (i = 0; i < args->num_attrs && !err; i++)
		err = vsvm_attr_from_user(set, file, &set->user[i],
					  &set->attrs[i]);
	if (!err)
		err = vsvm_attr_lock_vms(&set->vms);
	if (!err)
		err = vsvm_attr_do_set(set, args);
	vsvm_attr_unlock_vms(&set->vms);
	if (!err)
		vsvm_attr_map_all(set, args);
out:
	vsvm_attr_put_vms(&set->vms);
	if (set->gpu)
		drm_dev_put(&set->gpu->drm);
	kfree(set);
	return err;
}

/* Bits of members to bits of the VMs that were asked about. */
static u64 vsvm_attr_mask(struct vsvm_vm **asked, unsigned int nr, u64 members)
{
	unsigned int i;
	u64 mask = 0;

	for (i = 0; i < nr; i++)
		if (members & drm_msvm_attr_member_bit(&asked[i]->member))
			mask |= BIT_ULL(i);
	return mask;
}

static u32 vsvm_attr_preferred(u32 preferred)
{
	switch (preferred) {
	case DRM_MSVM_PREFERRED_NONE:
		return DRM_VSVM_WHERE_NONE;
	case DRM_MSVM_PREFERRED_SYSTEM:
		return DRM_VSVM_WHERE_SYSTEM;
	default:
		return DRM_VSVM_WHERE_GPU + vsvm_vram_index_of(preferred);
	}
}

static void vsvm_attr_to_user(const struct drm_msvm_attr_interval *from,
			      struct vsvm_vm **asked, unsigned int nr,
			      struct drm_vsvm_attr_interval *to)
{
	*to = (struct drm_vsvm_attr_interval) {
		.start = from->start,
		.len = from->end - from->start,
		.accessed_by = vsvm_attr_mask(asked, nr, from->accessed_by),
		.no_access = vsvm_attr_mask(asked, nr, from->no_access),
		.preferred_location = vsvm_attr_preferred(from->preferred),
		.read_mostly = from->read_mostly,
		.granularity = from->granularity,
		.atomics = from->atomics,
		.prefetch = from->prefetch,
	};
}

static_assert(sizeof(struct drm_vsvm_attr_interval) == 56);

/**
 * struct vsvm_attr_get - What is got.
 * @intervals: From the library, as many as are got at a time.
 * @user: For user space, all of them: who copies may sleep for as long as the process
 *	likes, so no VM is locked by then.
 */
struct vsvm_attr_get {
	struct drm_msvm_attr_interval intervals[VSVM_ATTR_BATCH];
	struct drm_vsvm_attr_interval user[];
};

/* Return: how many intervals there are, or an error. */
static int vsvm_attr_do_get(struct vsvm_vm *vm,
			    const struct drm_vsvm_get_attr *args,
			    struct vsvm_vm **asked, unsigned int room,
			    struct vsvm_attr_get *get)
{
	u64 start = args->start, end = args->start + args->len;
	unsigned int done = 0;
	int n, i;

	while (done < room && start < end) {
		n = drm_msvm_get_attr(&vm->member, start, end, get->intervals,
				      min(room - done, VSVM_ATTR_BATCH));
		if (n < 0)
			return n;
		for (i = 0; i < n; i++)
			vsvm_attr_to_user(&get->intervals[i], asked,
					  args->num_vms, &get->user[done + i]);
		start = get->intervals[n - 1].end;
		done += n;
	}
	return done;
}

int vsvm_get_attr_ioctl(struct drm_device *drm, void *data,
			struct drm_file *file)
{
	struct drm_vsvm_bind_other others[VSVM_ATTR_VMS];
	struct vsvm_vm *asked[VSVM_ATTR_VMS], *vm;
	struct drm_vsvm_get_attr *args = data;
	struct vsvm_attr_vms vms = {};
	struct vsvm_attr_get *get;
	unsigned int room, i;
	int err;

	if (args->flags || args->num_vms > VSVM_ATTR_VMS ||
	    (!args->num_vms && args->vms) || !args->num_intervals ||
	    !vsvm_interval_ok(args->start, args->len))
		return -EINVAL;
	if (copy_from_user(others, u64_to_user_ptr(args->vms),
			   args->num_vms * sizeof(*others)))
		return -EFAULT;
	room = min(args->num_intervals, VSVM_ATTR_INTERVALS);
	get = kvmalloc_flex(*get, user, room);
	if (!get)
		return -ENOMEM;

	vm = vsvm_attr_add_vm(&vms, file, DRM_VSVM_ATTR_THIS_FILE, args->vm_id);
	err = PTR_ERR_OR_ZERO(vm);
	for (i = 0; i < args->num_vms && !err; i++) {
		asked[i] = vsvm_attr_add_vm(&vms, file, others[i].fd,
					    others[i].vm_id);
		err = PTR_ERR_OR_ZERO(asked[i]);
	}
	if (!err)
		err = vsvm_attr_lock_vms(&vms);
	if (!err)
		err = vsvm_attr_do_get(vm, args, asked, room, get);
	vsvm_attr_unlock_vms(&vms);
	vsvm_attr_put_vms(&vms);
	if (err >= 0) {
		args->num_intervals = err;
		err = copy_to_user(u64_to_user_ptr(args->intervals), get->user,
				   err * sizeof(*get->user)) ? -EFAULT : 0;
	}
	kvfree(get);
	return err;
}
