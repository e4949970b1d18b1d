// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What is kept mapped while the process takes it away all the time. Each time the worker
 * has mapped the last of it, some is gone again, and the queues would never run. After
 * a few rounds it therefore keeps the process out, from the walks until the queues have
 * run a little: holding mmap_lock for writing, and the VMAs, since madvise() and page
 * faults make do with these. Whatever else invalidates (reclaim, truncation) does not wait for
 * that, and then it is tried again.
 *
 * That turns the order of the locks around, so range mutexes are only tried, and no
 * range is made. What is not possible here is left to the next ordinary round.
 */
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/sched/signal.h>
#include <linux/userfaultfd_k.h>

#include "msvm_attr.h"
#include "msvm_claim.h"
#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_keep.h"

/*
 * Lock the VMAs of an interval until mmap_lock is released. Return: 0; -EAGAIN: that is
 * no use; -EINTR.
 */
int msvm_keep_lock_vmas(struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	struct vm_area_struct *vma;
	int err = 0;

	mmap_assert_write_locked(mm);

	for (; start < end && !err; start = vma->vm_end) {
		vma = find_vma_intersection(mm, start, end);
		if (!vma)
			break;
		/* Its pages come from who may wait for mmap_lock. */
		err = userfaultfd_armed(vma) ? -EAGAIN :
					       vma_start_write_killable(vma);
	}
	return err;
}

/* Likewise. */
int msvm_keep_lock(struct drm_msvm_member *member, unsigned long start,
		   unsigned long end, enum drm_msvm_access access)
{
	return msvm_keep_lock_vmas(member->msvm->mm, start, end);
}

/* Is a range mapped for a member, and if so, for the access? Range mutex held. */
static bool msvm_keep_mapped(struct msvm_fault *fault,
			     struct drm_msvm_range *range, bool *enough)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	unsigned int slot = fault->member->slot;
	int idx = msvm_range_find_slot(range, slot);
	bool mapped;

	drm_gpusvm_notifier_lock(gpusvm);
	mapped = test_bit(slot, range->mapped);
	*enough = test_bit(slot, range->bound) && idx >= 0 &&
		  (!fault->write || test_bit(slot, range->writable)) &&
		  !(fault->atomic && range->entries[idx].no_atomics);
	drm_gpusvm_notifier_unlock(gpusvm);

	return mapped;
}

/* Map a range. Range mutex held. Return: 0, -EAGAIN, or an error that lasts. */
static int msvm_keep_held_range(struct msvm_fault *fault,
				struct drm_msvm_range *range)
{
	struct drm_msvm_member *member = fault->member;
	struct msvm_policy *policy;
	bool enough, reach;
	int err;

	lockdep_assert_held(&range->lock);

	if (range->removed || msvm_range_unmapped(range))
		return -EAGAIN;
	err = msvm_attr_admit(range, member, fault->atomic);
	if (err)
		return err == -EXDEV ? -EAGAIN : err;
	if (msvm_keep_mapped(fault, range, &enough))
		return enough ? 0 : -EAGAIN;
	/* It was asked to prepare for it, which it can't be now. */
	if (msvm_range_find_slot(range, member->slot) < 0)
		return -EAGAIN;

	/* Hints only: checked again under the notifier lock. */
	if (!READ_ONCE(range->runs_valid) ||
	    (fault->write && !range->runs_writable)) {
		err = msvm_walk(range, fault->write, MSVM_WALK_HELD);
		/* That not all of it may be accessed is for smaller ranges. */
		if (err)
			return -EAGAIN;
	}
	policy = msvm_claim_policy(member->msvm);
	reach = !msvm_place_out_of_reach(range, member,
					 policy->params.peer_access);
	msvm_policy_put(policy);
	if (!reach)
		return -EAGAIN;

	err = msvm_fault_bind(fault, range);
	return err == -ENOMEM ? -EAGAIN : err;
}

/*
 * Map from the start of a part on, as far as one range goes, and tell how far. Return:
 * as above; -EBUSY: somebody else is at the range.
 */
static int msvm_keep_held_part(struct drm_msvm_member *member,
			       const struct msvm_keep_part *part,
			       unsigned long *end)
{
	struct msvm_fault fault = {
		.member = member,
		.addr = part->start,
		.write = part->access != DRM_MSVM_ACCESS_READ,
		.atomic = part->access == DRM_MSVM_ACCESS_ATOMIC,
		.hold = true,
	};
	struct drm_msvm *msvm = member->msvm;
	struct drm_msvm_range *range;
	unsigned long from, to;
	struct msvm_shard *shard;
	int err = -EAGAIN;

	shard = xa_load(&msvm->shards, part->start / DRM_MSVM_NOTIFIER_SIZE);
	range = shard ? msvm_range_lookup(shard, part->start) : NULL;
	if (!range)
		return -EAGAIN;
	from = drm_gpusvm_range_start(&range->base);
	to = drm_gpusvm_range_end(&range->base);
	*end = umin(to, part->end);
	if (from < member->va_start || to > member->va_end)
		goto out;
	err = -EBUSY;
	if (mutex_trylock(&range->lock)) {
		msvm_attr_lookup(msvm, part->start, &from, &to, &fault.attrs);
		err = msvm_keep_held_range(&fault, range);
		mutex_unlock(&range->lock);
		/* The collector may have passed by, see msvm_fault_try(). */
		smp_mb();
		if (msvm_range_unmapped(range))
			msvm_shard_queue_collect(shard);
	}
out:
	msvm_range_put(range);

	return err;
}

/*
 * Map what there is of an interval, as msvm_keep_remap(). Context: sleeps; mmap_lock
 * held for writing, the VMAs locked, none of the library's locks.
 *
 * Return: 0: all that can be is mapped; -EAGAIN: that is not possible here; -EBUSY: it is
 * in a moment; -EINTR.
 */
int msvm_keep_held(struct drm_msvm_member *member, unsigned long start,
		   unsigned long end, enum drm_msvm_access access)
{
	struct mm_struct *mm = member->msvm->mm;
	struct msvm_keep_part part;
	int err;

	mmap_assert_write_locked(mm);

	while (msvm_keep_find_part(mm, start, end, access, &part)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = msvm_keep_held_part(member, &part, &start);
		if (err == -EAGAIN || err == -EBUSY)
			return err;
		cond_resched();
	}
	return 0;
}
