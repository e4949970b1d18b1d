// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mapping of what is kept for a device without page faults: all of an interval when it
 * is named, and later what there is of it. What is no memory any more is passed over
 * by whole VMAs, and what is good behind it is mapped: only what touches the rest fails.
 */
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "msvm_internal.h"
#include "msvm_keep.h"

/*
 * The first part of [@start, @end) that has memory which devices can have. mmap_lock
 * held. Return: false: there is none.
 */
bool msvm_keep_find_part(struct mm_struct *mm, unsigned long start,
			 unsigned long end, enum drm_msvm_access access,
			 struct msvm_keep_part *part)
{
	struct vm_area_struct *vma;

	for (; start < end; start = vma->vm_end) {
		vma = find_vma_intersection(mm, start, end);
		if (!vma)
			return false;
		/* What walks refuse whatever the access. */
		if (vma->vm_flags & (VM_IO | VM_PFNMAP) ||
		    !(vma->vm_flags & VM_READ))
			continue;
		part->start = max(start, vma->vm_start);
		part->end = min(end, vma->vm_end);
		part->access = vma->vm_flags & VM_WRITE ? access :
							  DRM_MSVM_ACCESS_READ;
		return true;
	}
	return false;
}

/* Likewise. Context: sleeps. Return: 0; -ENODATA: there is none; -EINTR, -ESRCH. */
static int msvm_keep_next_part(struct mm_struct *mm, unsigned long start,
			       unsigned long end, enum drm_msvm_access access,
			       struct msvm_keep_part *part)
{
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (!mmget_not_zero(mm))
		return -ESRCH;
	err = mmap_read_lock_killable(mm);
	if (!err) {
		err = msvm_keep_find_part(mm, start, end, access, part) ?
		      0 : -ENODATA;
		mmap_read_unlock(mm);
	}
	mmput_async(mm);

	return err;
}

/* May it be another time? Other errors will be the same until the process does something. */
static bool msvm_keep_transient(int err)
{
	return err == -EBUSY || err == -ENOMEM || err == -EINTR;
}

/*
 * Map all of an interval. Context: sleeps, as a fault. Return: 0, or the error that
 * ended it.
 */
int msvm_keep_map(struct drm_msvm_member *member, unsigned long start,
		  unsigned long end, enum drm_msvm_access access)
{
	unsigned long addr = start;
	int err;

	while (addr < end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = drm_msvm_handle_fault(member, addr, access);
		if (err)
			return err;
		addr = msvm_range_end_at(member->msvm, addr);
		cond_resched();
	}
	return 0;
}

/* How a page is mapped: drm_msvm_handle_fault(), or msvm_fault_hastily(). */
typedef int (*msvm_keep_fault_fn)(struct drm_msvm_member *member, u64 addr,
				  enum drm_msvm_access access);

/* Map one part from its start on, as far as one range goes. Return: as a fault. */
static int msvm_keep_map_part(struct drm_msvm_member *member,
			      const struct msvm_keep_part *part,
			      enum drm_msvm_access access,
			      msvm_keep_fault_fn fault)
{
	struct mm_struct *mm = member->msvm->mm;
	unsigned long addr = part->start;
	struct msvm_keep_part now;
	int err;

	err = fault(member, addr, part->access);
	if (err == -EACCES && part->access != DRM_MSVM_ACCESS_READ) {
		err = fault(member, addr, DRM_MSVM_ACCESS_READ);
		/* An attribute refuses both, so the process just changed it. */
		if (!err && access == DRM_MSVM_ACCESS_WRITE)
			err = -EBUSY;
	} else if (!err && part->access != access) {
		/*
		 * Less is mapped than there was to be, because less was allowed.
		 * If that changed before it was mapped nobody was told.
		 */
		err = msvm_keep_next_part(mm, addr, part->end, access, &now);
		err = err == -EINTR ? err :
		      !err && now.start == addr && now.access == access ?
		      -EBUSY : 0;
	}
	return err;
}

static int msvm_keep_remap_by(struct drm_msvm_member *member,
			      unsigned long start, unsigned long end,
			      enum drm_msvm_access access,
			      msvm_keep_fault_fn fault)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_keep_part part;
	unsigned long addr = start;
	int err;

	for (;;) {
		err = msvm_keep_next_part(msvm->mm, addr, end, access, &part);
		if (!err)
			err = msvm_keep_map_part(member, &part, access,
						 fault);
		else if (err != -EINTR)
			return 0;
		if (msvm_keep_transient(err))
			return err;
		/* Its jobs fail, whatever is mapped. */
		if (READ_ONCE(member->wedged))
			return 0;
		/* A range may be in several VMAs, which allow different things. */
		addr = umin(msvm_range_end_at(msvm, part.start), part.end);
		cond_resched();
	}
}

/*
 * Map what there is of an interval, read-only where the process itself may do no more.
 * Parts that can't be mapped are passed over. Context: sleeps, as a fault. Return: 0,
 * or the error after which it must be tried again.
 */
int msvm_keep_remap(struct drm_msvm_member *member, unsigned long start,
		    unsigned long end, enum drm_msvm_access access)
{
	return msvm_keep_remap_by(member, start, end, access,
				  drm_msvm_handle_fault);
}

/* Likewise, if it is soon done. */
int msvm_keep_remap_hastily(struct drm_msvm_member *member, unsigned long start,
			    unsigned long end, enum drm_msvm_access access)
{
	return msvm_keep_remap_by(member, start, end, access,
				  msvm_fault_hastily);
}
