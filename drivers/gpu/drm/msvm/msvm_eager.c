// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Eager mapping: what one member's fault had walked is mapped for others as well, which
 * costs each a DMA mapping and a bind, and saves it a fault. Nothing that goes wrong
 * here is an error of the fault: the other member will fault for itself.
 */
#include <linux/slab.h>

#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_memory.h"

/* Map a range for another member. Context: read section of &drm_msvm.srcu. */
static int msvm_map_eagerly_for(struct msvm_fault *fault,
				struct drm_msvm_range *range,
				struct drm_msvm_member *member)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	u64 start = drm_gpusvm_range_start(&range->base);
	u64 end = drm_gpusvm_range_end(&range->base);
	bool known;
	int idx, err;

	if (start < member->va_start || end > member->va_end)
		return -ERANGE;
	if (msvm_place_out_of_reach(range, member,
				    fault->policy->params.peer_access))
		return -ENXIO;
	if (member->dev->ops->prepare) {
		err = member->dev->ops->prepare(member, start, end);
		if (err)
			return err;
	}
	known = msvm_range_find_slot(range, member->slot) >= 0;
	idx = msvm_range_add_slot(range, member);
	if (idx < 0)
		return idx;
	/* It has not faulted. */
	if (!known)
		range->entries[idx].faults = 0;

	drm_gpusvm_notifier_lock(gpusvm);
	/* Mapped read-only is left so: it asks for more by a fault. */
	err = test_bit(member->slot, range->mapped) ? -EEXIST : 0;
	drm_gpusvm_notifier_unlock(gpusvm);
	if (!err)
		err = msvm_map_reserve(range, idx);
	if (err)
		return err;

	drm_gpusvm_notifier_lock(gpusvm);
	if (msvm_range_unmapped(range) || !range->runs_valid)
		err = -EAGAIN;
	else
		err = msvm_range_commit(range, member, idx, &fault->attrs,
					false);
	drm_gpusvm_notifier_unlock(gpusvm);

	return err;
}

/*
 * For whom to map, now that it is known where the memory is and in how many pieces.
 * Nothing is put into effect but that.
 */
static u64 msvm_map_eagerly_whom(struct msvm_fault *fault,
				 struct drm_msvm_range *range)
{
	struct drm_msvm *msvm = fault->member->msvm;
	struct msvm_decision decision = {};
	struct msvm_known *known;
	int idx;

	known = msvm_view_after(fault, range);
	if (known) {
		idx = srcu_read_lock(&msvm->srcu);
		msvm_decide(&fault->policy->params, &known->view, &decision);
		srcu_read_unlock(&msvm->srcu, idx);
	}
	kfree(known);

	return decision.map_for;
}

/*
 * Map for others what was just mapped for the member that faulted. Context: sleeps;
 * range mutex held, neither mmap_lock nor the notifier lock.
 */
void msvm_map_eagerly(struct msvm_fault *fault, struct drm_msvm_range *range)
{
	struct drm_msvm *msvm = fault->member->msvm;
	struct drm_msvm_member *member;
	unsigned int slot;
	u64 slots;
	int idx;

	lockdep_assert_held(&range->lock);

	if (fault->policy->params.map_mode == MSVM_MAP_LAZY &&
	    !fault->attrs.accessed_by)
		return;
	slots = msvm_map_eagerly_whom(fault, range) & ~fault->attrs.no_access;
	slots &= ~BIT_ULL(fault->member->slot);
	for (slot = 0; slots; slot++, slots >>= 1) {
		if (!(slots & 1))
			continue;
		/* One section each: who leaves waits for one bind at most. */
		idx = srcu_read_lock(&msvm->srcu);
		member = msvm_member_of(msvm, slot);
		if (member && !msvm_map_eagerly_for(fault, range, member))
			msvm_stat_inc(msvm, MSVM_STAT_EAGER_MAPS);
		srcu_read_unlock(&msvm->srcu, idx);
	}
}
