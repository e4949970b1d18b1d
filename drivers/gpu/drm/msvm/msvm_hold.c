// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Faults in memory that is replaced all the time: mmap(MAP_FIXED) in a loop. Each time
 * a fault lets go of mmap_lock somebody waits to take it for writing, so what was made
 * a range is unmapped when it is walked, and what was walked when it is bound. After a
 * few tries a fault therefore holds mmap_lock from the walk to the commit, and takes a
 * range that it finds unmapped for one of the memory that is there now.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/shmem_fs.h>
#include <linux/userfaultfd_k.h>

#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_memory.h"

/*
 * Make an unmapped range one of the memory that took the place of its old one, unless
 * its end is elsewhere now. The old memory is gone from all devices. If it is unmapped
 * once more, that is told once more, and the collector looks again before it removes
 * anything. Context: range mutex held, mmap_lock held; takes the notifier lock for
 * writing. Return: whether that was possible.
 */
static bool msvm_range_revive(struct drm_msvm_range *range)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	struct drm_gpusvm_range_flags flags = {};
	struct vm_area_struct *vma;
	int i;

	lockdep_assert_held(&range->lock);
	mmap_assert_locked(gpusvm->mm);

	vma = vma_lookup(gpusvm->mm, start);
	if (!vma || vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	    (vma->vm_end < end && !msvm_mutated(MSVM_MUTATE_REVIVE_ANY)))
		return false;
	flags.migrate_devmem = msvm_vma_movable(vma);

	down_write(&gpusvm->notifier_lock);
	/* Pairs with READ_ONCE() in msvm_range_unmapped(). */
	WRITE_ONCE(range->base.flags.__flags, flags.__flags);
	for (i = 0; i < range->nr_slots; i++) {
		struct drm_gpusvm_pages_flags *pages = &range->pages[i].flags;
		struct drm_gpusvm_pages_flags mapped = {
			.__flags = READ_ONCE(pages->__flags),
		};

		mapped.unmapped = false;
		/* Pairs with READ_ONCE() of opportunistic checks. */
		WRITE_ONCE(pages->__flags, mapped.__flags);
	}
	up_write(&gpusvm->notifier_lock);

	/* What happened there was to other memory. */
	msvm_heat_forget(&range->heat);
	msvm_stat_inc(msvm_range_context(range), MSVM_STAT_RANGES_REVIVED);
	return true;
}

/*
 * May mmap_lock be held while the memory of a range is faulted in? The kernel's faults
 * then neither let go of it nor end when the task is killed. So not where they wait for
 * a process (userfaultfd), nor for a file system that is perhaps one, or a network's.
 * Context: mmap_lock held.
 */
static bool msvm_range_holdable(struct drm_msvm_range *range)
{
	VMA_ITERATOR(vmi, range->base.gpusvm->mm,
		     drm_gpusvm_range_start(&range->base));
	unsigned long end = drm_gpusvm_range_end(&range->base);
	struct vm_area_struct *vma;

	mmap_assert_locked(range->base.gpusvm->mm);

	if (msvm_mutated(MSVM_MUTATE_HOLD_ANY))
		return true;
	for_each_vma_range(vmi, vma, end)
		if (userfaultfd_armed(vma) ||
		    (vma->vm_file && !shmem_mapping(vma->vm_file->f_mapping)))
			return false;
	return true;
}

/*
 * Serve a fault where the memory is, and let nobody replace it meanwhile. Context:
 * sleeps; range mutex held, neither mmap_lock nor the notifier lock.
 *
 * Return: 0; -EAGAIN: that is not possible, or not yet; -EINTR, -ENOMEM, and the errors
 * of msvm_fault_bind(). Whatever else is wrong a try without mmap_lock finds.
 */
int msvm_fault_serve_held(struct msvm_fault *fault,
			  struct drm_msvm_range *range)
{
	struct drm_msvm_member *member = fault->member;
	struct mm_struct *mm = member->msvm->mm;
	int err;

	lockdep_assert_held(&range->lock);

	err = mmap_read_lock_killable(mm);
	if (err)
		return err;
	if (!msvm_range_holdable(range) ||
	    (msvm_range_unmapped(range) && !msvm_range_revive(range)))
		err = -EAGAIN;
	if (!err && (!READ_ONCE(range->runs_valid) ||
		     (fault->write && !range->runs_writable))) {
		err = msvm_walk(range, fault->write, MSVM_WALK_HELD);
		if (err && err != -EINTR && err != -ENOMEM)
			err = -EAGAIN;
	}
	if (!err && msvm_place_out_of_reach(range, member,
					    fault->policy->params.peer_access))
		err = -EAGAIN;
	if (!err)
		err = msvm_fault_bind(fault, range);
	mmap_read_unlock(mm);
	if (!err)
		msvm_stat_inc(member->msvm, MSVM_STAT_HELD);

	return err;
}
