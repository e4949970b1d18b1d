// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Setting and getting attributes: what is possible, and what is an error. What can't
 * be done is refused, and nothing is changed then.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>

#include <drm/drm_device.h>
#include <drm/drm_msvm_attr.h>
#include <drm/drm_print.h>

#include "msvm_attr.h"
#include "msvm_internal.h"
#include "msvm_keep.h"
#include "msvm_memory.h"

static_assert(MSVM_ATTR_NONE == DRM_MSVM_PREFERRED_NONE);
static_assert(MSVM_ATTR_SYSTEM == DRM_MSVM_PREFERRED_SYSTEM);
static_assert((int)DRM_MSVM_ATOMICS_SYSTEM == (int)MSVM_ATOMICS_SYSTEM);
static_assert((int)DRM_MSVM_PREFETCH_TREE - 1 == (int)MSVM_PREFETCH_TREE);

/**
 * struct msvm_attr_change - Changes that are made, or not, together.
 * @start: First address.
 * @end: End, exclusive.
 * @attrs: The changes.
 * @n: How many.
 * @effect: What they do.
 * @movable: They are about moving memory.
 * @why: Why they can't be made.
 */
struct msvm_attr_change {
	u64 start;
	u64 end;
	const struct drm_msvm_attr *attrs;
	unsigned int n;
	struct msvm_attr_effect effect;
	bool movable;
	const char *why;
};

/* Is a device used in an address space? It may leave as soon as that is known. */
static bool msvm_attr_has_member(struct drm_msvm *msvm,
				 struct drm_msvm_device *dev)
{
	unsigned int slot;

	guard(mutex)(&msvm->lock);

	for_each_set_bit(slot, msvm->slots, DRM_MSVM_MAX_MEMBERS)
		if (msvm->members[slot]->dev == dev)
			return true;
	return false;
}

/*
 * Is a device's memory a place that can be preferred? Context: takes the context lock.
 * Return: 0, or why not.
 */
static int msvm_attr_check_device(struct drm_msvm *msvm,
				  struct drm_msvm_device *dev,
				  const char **why)
{
	/* The number of one that was taken out, or is yet to come, is nobody's. */
	if (!dev->drm || !dev->memory) {
		*why = "the preferred device has no memory that pages can live in";
		return -ENXIO;
	}
	if (!READ_ONCE(dev->enabled)) {
		*why = "the preferred device was disabled by an administrator";
		return -ENXIO;
	}
	if (dev->flags & DRM_MSVM_DEVICE_EXPLICIT) {
		*why = "faults move no memory to the preferred device";
		return -EOPNOTSUPP;
	}
	/* Faults move memory to those of members only. */
	if (!msvm_attr_has_member(msvm, dev)) {
		*why = "the preferred device is not used in this address space";
		return -ENOLINK;
	}
	return 0;
}

/* Is a change possible at all? Return: 0, or why not. */
static int msvm_attr_check_one(struct drm_msvm_member *member,
			       const struct drm_msvm_attr *attr,
			       struct msvm_attr_change *change)
{
	bool of_member = attr->type == DRM_MSVM_ATTR_ACCESSED_BY ||
			 attr->type == DRM_MSVM_ATTR_NO_ACCESS;
	bool of_device = attr->type == DRM_MSVM_ATTR_PREFERRED_LOCATION &&
			 attr->value == DRM_MSVM_PREFERRED_DEVICE;

	change->why = "unknown type or value";
	if (of_member != !!attr->member || of_device != !!attr->device)
		return -EINVAL;

	switch (attr->type) {
	case DRM_MSVM_ATTR_PREFERRED_LOCATION:
		if (of_device) {
			change->movable = true;
			return msvm_attr_check_device(member->msvm,
						      attr->device,
						      &change->why);
		}
		return attr->value == DRM_MSVM_PREFERRED_NONE ||
		       attr->value == DRM_MSVM_PREFERRED_SYSTEM ? 0 : -EINVAL;
	case DRM_MSVM_ATTR_ACCESSED_BY:
	case DRM_MSVM_ATTR_NO_ACCESS:
		if (attr->member->msvm != member->msvm) {
			change->why = "a member of another address space";
			return -EINVAL;
		}
		if (attr->type == DRM_MSVM_ATTR_ACCESSED_BY && attr->value &&
		    (change->start < attr->member->va_start ||
		     change->end > attr->member->va_end)) {
			change->why = "outside of what the member can map";
			return -ERANGE;
		}
		return attr->value <= 1 ? 0 : -EINVAL;
	case DRM_MSVM_ATTR_READ_MOSTLY:
		return attr->value <= 1 ? 0 : -EINVAL;
	case DRM_MSVM_ATTR_GRANULARITY:
		change->movable |= attr->value;
		return !attr->value || attr->value == ilog2(SZ_4K) ||
		       attr->value == ilog2(SZ_64K) ||
		       attr->value == ilog2(SZ_2M) ? 0 : -EINVAL;
	case DRM_MSVM_ATTR_ATOMICS:
		change->movable |= attr->value == DRM_MSVM_ATOMICS_DEVICE;
		if (attr->value == DRM_MSVM_ATOMICS_SYSTEM &&
		    member->dev->flags & DRM_MSVM_DEVICE_NO_SYSTEM_ATOMICS) {
			change->why = "the device has no atomics with CPUs and others";
			return -EOPNOTSUPP;
		}
		return attr->value <= DRM_MSVM_ATOMICS_SYSTEM ? 0 : -EINVAL;
	case DRM_MSVM_ATTR_PREFETCH:
		change->movable |= attr->value > DRM_MSVM_PREFETCH_NONE;
		return attr->value <= DRM_MSVM_PREFETCH_TREE ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

/* Are the changes possible as such? */
static int msvm_attr_check(struct drm_msvm_member *member,
			   struct msvm_attr_change *change)
{
	u32 seen = 0;
	unsigned int i;
	int err;

	for (i = 0; i < change->n; i++) {
		const struct drm_msvm_attr *attr = &change->attrs[i];

		err = msvm_attr_check_one(member, attr, change);
		if (err)
			return err;
		if (attr->member)
			continue;
		if (seen & BIT(attr->type)) {
			change->why = "the same attribute twice";
			return -EINVAL;
		}
		seen |= BIT(attr->type);
	}
	return 0;
}

/* Can that be done which attributes say together? Return: 0, or why not. */
static int msvm_attr_check_all(const struct msvm_attrs *attrs, const char **why)
{
	bool device = attrs->preferred != MSVM_ATTR_NONE &&
		      attrs->preferred != MSVM_ATTR_SYSTEM;

	if (attrs->accessed_by & attrs->no_access) {
		*why = "a device that it is accessed by may not access it";
		return -EINVAL;
	}
	/* Each reader would have a copy: a page is in one place only. */
	if (attrs->read_mostly && device) {
		*why = "what is mostly read can't be at a preferred device";
		return -EOPNOTSUPP;
	}
	if (attrs->read_mostly && attrs->atomics == MSVM_ATOMICS_DEVICE) {
		*why = "what is mostly read can't be where atomics bring it";
		return -EOPNOTSUPP;
	}
	if (attrs->atomics == MSVM_ATOMICS_SYSTEM && device) {
		*why = "atomics with all need system memory, but a device is preferred";
		return -EOPNOTSUPP;
	}
	return 0;
}

static void msvm_attr_set_bit(u64 *mask, const struct drm_msvm_attr *attr)
{
	u64 bit = BIT_ULL(attr->member->slot);

	*mask = attr->value ? *mask | bit : *mask & ~bit;
}

static void msvm_attr_set_one(struct msvm_attrs *attrs,
			      const struct drm_msvm_attr *attr)
{
	switch (attr->type) {
	case DRM_MSVM_ATTR_PREFERRED_LOCATION:
		attrs->preferred = attr->device ? attr->device->id :
						  attr->value;
		break;
	case DRM_MSVM_ATTR_ACCESSED_BY:
		msvm_attr_set_bit(&attrs->accessed_by, attr);
		break;
	case DRM_MSVM_ATTR_NO_ACCESS:
		msvm_attr_set_bit(&attrs->no_access, attr);
		break;
	case DRM_MSVM_ATTR_READ_MOSTLY:
		attrs->read_mostly = attr->value;
		break;
	case DRM_MSVM_ATTR_GRANULARITY:
		attrs->granularity = attr->value;
		break;
	case DRM_MSVM_ATTR_ATOMICS:
		attrs->atomics = attr->value;
		break;
	case DRM_MSVM_ATTR_PREFETCH:
		attrs->prefetch = attr->value;
		break;
	default:
		break;
	}
}

/* Make the changes, and see what comes of it. Return: 0, or why it can't be. */
static int msvm_attr_change(struct msvm_attrs *attrs, void *data)
{
	struct msvm_attr_change *change = data;
	struct msvm_attr_effect *effect = &change->effect;
	struct msvm_attrs old = *attrs;
	unsigned int i;

	for (i = 0; i < change->n; i++)
		msvm_attr_set_one(attrs, &change->attrs[i]);
	if (msvm_attrs_equal(&old, attrs))
		return 0;

	effect->changed = true;
	effect->drop |= old.preferred != attrs->preferred ||
			old.read_mostly != attrs->read_mostly ||
			old.granularity != attrs->granularity ||
			old.atomics != attrs->atomics;
	effect->drop_slots |= attrs->no_access & ~old.no_access;
	return msvm_attr_check_all(attrs, &change->why);
}

/* Is there memory all over, and of the kind that is needed? mmap_lock held. */
static int msvm_attr_check_memory(struct mm_struct *mm, unsigned long start,
				  unsigned long end,
				  struct msvm_attr_change *change)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma;
	unsigned long addr = start;

	mmap_assert_locked(mm);

	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > addr)
			break;
		if (change->movable && !msvm_vma_movable(vma)) {
			change->why = "memory of this kind is not moved";
			return -EOPNOTSUPP;
		}
		addr = vma->vm_end;
	}
	change->why = "there is no memory in part of it";
	return addr < end ? -EFAULT : 0;
}

/*
 * Make the changes in the store if they can be made. As long as mmap_lock is held and
 * there is memory, none of the interval is being unmapped. Return: 0; -EAGAIN: more
 * than *@have spare nodes are needed, *@need; or why not.
 */
static int msvm_attr_make(struct msvm_attr_store *store, unsigned long start,
			  unsigned long end, struct msvm_attr_change *change,
			  struct list_head *nodes, unsigned long have,
			  unsigned long *need)
{
	struct drm_msvm *msvm = store->msvm;
	int err;

	if (mmap_read_lock_killable(msvm->mm))
		return -EINTR;
	err = msvm_attr_check_memory(msvm->mm, start, end, change);
	if (err)
		goto out_mmap;

	write_lock(&store->lock);
	err = msvm_attr_tree_check(&store->tree, start, end, msvm_attr_change,
				   change);
	if (err)
		goto out;
	*need = msvm_attr_tree_need(&store->tree, start, end);
	if (*need > have) {
		err = -EAGAIN;
		goto out;
	}
	msvm_attr_tree_change(&store->tree, start, end, msvm_attr_change,
			      change, nodes);
out:
	write_unlock(&store->lock);
out_mmap:
	mmap_read_unlock(msvm->mm);
	return err;
}

/* Is a member to have the memory from now on? */
static bool msvm_attr_accesses(const struct drm_msvm_attr *attr)
{
	return attr->type == DRM_MSVM_ATTR_ACCESSED_BY && attr->value;
}

/* Whoever takes no page faults will have it kept mapped. Return: 0 or -ENOMEM. */
static int msvm_attr_keep_prepare(const struct msvm_attr_change *change)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < change->n && !err; i++)
		if (msvm_attr_accesses(&change->attrs[i]))
			err = msvm_keep_prepare(change->attrs[i].member);
	return err;
}

/*
 * Who takes no page faults and is to have memory, or may access again what is kept mapped
 * for it, did not get it mapped so far. Its work waits until it is.
 */
static void msvm_attr_keep(const struct msvm_attr_change *change)
{
	unsigned int i;

	for (i = 0; i < change->n; i++) {
		const struct drm_msvm_attr *attr = &change->attrs[i];

		if ((msvm_attr_accesses(attr) &&
		     msvm_keep_by_attr(attr->member)) ||
		    (attr->type == DRM_MSVM_ATTR_NO_ACCESS && !attr->value))
			msvm_keep_recheck(attr->member);
	}
}

static int msvm_attr_set(struct drm_msvm *msvm, unsigned long start,
			 unsigned long end, struct msvm_attr_change *change)
{
	struct msvm_attr_store *store = msvm_attr_store_get(msvm);
	unsigned long have = 0, need = 0;
	LIST_HEAD(nodes);
	int err;

	change->why = "no memory to remember it";
	if (IS_ERR(store))
		return PTR_ERR(store);
	err = msvm_attr_keep_prepare(change);
	if (err)
		return err;
	for (;;) {
		err = msvm_attr_make(store, start, end, change, &nodes, have,
				     &need);
		if (err != -EAGAIN)
			break;
		change->why = "no memory to remember it";
		/* As many as the process likes: it pays for them. */
		err = msvm_attr_nodes_alloc(msvm, &nodes, need - have,
					    GFP_KERNEL_ACCOUNT);
		if (err)
			break;
		have = need;
	}
	msvm_attr_nodes_free(msvm, &nodes);
	if (err)
		return err;
	msvm_attr_apply(msvm, start, end, &change->effect);
	if (change->effect.changed)
		msvm_attr_keep(change);
	return 0;
}

/**
 * drm_msvm_set_attr() - Say something about an interval.
 * @member: A member of the address space; what it is not about its device is for all
 *	members.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 * @attrs: Changes, made in this order, all or none of them. An attribute that is not
 *	named stays as it is, where it differs within the interval as well.
 * @n: How many, at most %DRM_MSVM_ATTR_MAX; each attribute once, but those that
 *	name a member any number of times.
 *
 * What is set stays until it is changed or its memory is unmapped (munmap(), the old
 * place of mremap(), exec, exit); memory that goes and comes back in the same place
 * (madvise(MADV_DONTNEED), swap) keeps it. A child of fork() has none.
 *
 * When it returns, a member that may not access the memory can't any more. No memory
 * is moved: the next faults see to that. Nor is any mapped: for
 * %DRM_MSVM_ATTR_ACCESSED_BY, drm_msvm_map_accessed() is to be called then. If the
 * member's device takes no page faults (%DRM_MSVM_DEVICE_NO_FAULTS) it is kept mapped,
 * as by drm_msvm_keep(), as long as the attribute is set: its work that is queued after
 * the call starts when there was a try to map all of it. History that faults are
 * decided by is forgotten.
 *
 * Context: Sleeps, but not for the process, other than drm_msvm_handle_fault(), so the
 * caller may hold what keeps the device and the members. Takes mmap_lock and locks of
 * the library; the caller holds none that an MMU notifier, or any of the members'
 * operations, takes.
 *
 * Return: 0; or with nothing changed, and a line by drm_dbg() why:
 *
 * - -EINVAL: the interval is empty or not page aligned; no or too many changes; an
 *   unknown type or value; an attribute twice that names no member; a member of
 *   another address space; the same member in accessed by and no access;
 * - -ENXIO: the preferred device is not registered, has no memory, or was disabled by
 *   an administrator;
 * - -ENOLINK: the preferred device has no member in this address space;
 * - -ERANGE: accessed by a member whose window does not have all of the interval;
 * - -EOPNOTSUPP: read mostly together with a preferred device or with
 *   %DRM_MSVM_ATOMICS_DEVICE; a preferred device together with
 *   %DRM_MSVM_ATOMICS_SYSTEM; a preferred device that faults move nothing to;
 *   %DRM_MSVM_ATOMICS_SYSTEM where @member's device has no such atomics; a preferred
 *   device, %DRM_MSVM_ATOMICS_DEVICE, a granularity or a prefetch other than none for
 *   memory that can't be moved (files, shared memory, hugetlbfs, droppable);
 * - -EFAULT: there is no memory in part of the interval;
 * - -ESRCH: the process's memory is gone;
 * - -EINTR: the calling task is being killed, or, with the first attributes of an
 *   address space, has got a signal;
 * - -ENOMEM.
 */
int drm_msvm_set_attr(struct drm_msvm_member *member, u64 start, u64 end,
		      const struct drm_msvm_attr *attrs, unsigned int n)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_attr_change *change;
	int err;

	might_sleep();
	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) || !n ||
	    n > DRM_MSVM_ATTR_MAX)
		return -EINVAL;

	change = msvm_alloc(kzalloc_obj(*change));
	if (!change)
		return -ENOMEM;
	change->start = start;
	change->end = end;
	change->attrs = attrs;
	change->n = n;
	err = msvm_attr_check(member, change);
	if (!err) {
		change->why = "the process is gone";
		err = mmget_not_zero(msvm->mm) ? 0 : -ESRCH;
	}
	if (!err) {
		err = msvm_attr_set(msvm, start, end, change);
		/* The last reference may be ours: no place to end an mm. */
		mmput_async(msvm->mm);
	}
	if (err)
		drm_dbg(member->dev->drm,
			"msvm: attributes of %#llx-%#llx: %s (%pe)\n",
			start, end, change->why, ERR_PTR(err));
	kfree(change);

	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_set_attr);

/**
 * drm_msvm_get_attr() - Ask what was said about an interval.
 * @member: A member of the address space.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 * @intervals: Filled in with intervals that follow each other from @start on, each
 *	as large as possible.
 * @n: Room in @intervals, not 0.
 *
 * If the last one ends before @end there was no room for more: ask again from there.
 * Where there is no memory nothing is said. Others may change attributes meanwhile.
 *
 * Context: Any that is not atomic.
 *
 * Return: how many intervals; -EINVAL: the interval is empty or not page aligned, or
 * there is no room.
 */
int drm_msvm_get_attr(struct drm_msvm_member *member, u64 start, u64 end,
		      struct drm_msvm_attr_interval *intervals, unsigned int n)
{
	unsigned long from, to;
	struct msvm_attrs attrs;
	unsigned int i;

	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) || !n)
		return -EINVAL;

	for (i = 0; i < n && start < end; i++, start = to) {
		from = start;
		to = end;
		msvm_attr_lookup(member->msvm, start, &from, &to, &attrs);
		intervals[i] = (struct drm_msvm_attr_interval) {
			.start = from,
			.end = to,
			.accessed_by = attrs.accessed_by,
			.no_access = attrs.no_access,
			.preferred = attrs.preferred,
			.granularity = attrs.granularity,
			.read_mostly = attrs.read_mostly,
			.atomics = attrs.atomics,
			.prefetch = attrs.prefetch,
		};
	}
	return i;
}
EXPORT_SYMBOL_GPL(drm_msvm_get_attr);
