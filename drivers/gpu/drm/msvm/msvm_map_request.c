// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mapping on request: a driver that had memory moved to where it will be used has it
 * mapped there as well, so that jobs need no fault. No policy is asked, as one that
 * wants it elsewhere would undo the move.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/* Errors after which nothing else will do. */
static bool msvm_map_over(int err)
{
	return err == -EINTR || err == -EIO || err == -ESRCH;
}

/*
 * Map what is at an address, where it is or where the member reaches it. Context and
 * return: as drm_msvm_handle_fault(), and in @end up to where that was.
 */
static int msvm_map_in_place(struct drm_msvm_member *member, u64 addr, u64 *end)
{
	struct msvm_fault fault = {
		.member = member,
		.stay = !msvm_mutated(MSVM_MUTATE_MAP_BY_POLICY),
	};
	int err;

	err = msvm_fault_serve_at(&fault, addr, DRM_MSVM_ACCESS_READ);
	if (!err)
		*end = fault.served_end;
	return err;
}

/* Map what is in [@start, @end) of one VMA. Return: 0, or the last error. */
static int msvm_map_part(struct drm_msvm_member *member, u64 start, u64 end)
{
	u64 next;
	int err = 0, one;

	while (start < end) {
		one = msvm_request_stopped(member);
		if (one)
			return one;
		next = start + PAGE_SIZE;
		one = msvm_map_in_place(member, start, &next);
		/* All of the VMA is of that kind. */
		if (one == -EOPNOTSUPP || msvm_map_over(one))
			return one;
		if (one)
			err = one;
		start = next;
		cond_resched();
	}
	return err;
}

/**
 * drm_msvm_map() - Map the memory of an interval for a member where it is.
 * @member: The member.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 *
 * What drm_msvm_migrate() brought to the member's device stays there, whatever policies
 * and attributes say, until a fault decides anew. Only what the member can't reach where
 * it is comes to system memory. It counts neither as a fault nor as an access (trace
 * events show it like a fault), and nothing is moved along with it. Memory without pages
 * yet gets them, as by a read. What can't be mapped is passed by.
 *
 * As after a fault, an invalidation may take a mapping away at any time.
 *
 * Context: As drm_msvm_handle_fault().
 *
 * Return: 0: all that is memory was mapped; or, after all that could be was, an error
 * that drm_msvm_handle_fault() would have returned; or, given up in between, -EINTR,
 * -EIO, -ESRCH; or, at once, -EINVAL: an interval that is empty or not page aligned;
 * -ERANGE: not all of it is in the member's window.
 */
int drm_msvm_map(struct drm_msvm_member *member, u64 start, u64 end)
{
	struct mm_struct *mm = member->msvm->mm;
	struct msvm_vma_part part;
	int err = 0, one;

	might_sleep();
	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end))
		return -EINVAL;
	if (start < member->va_start || end > member->va_end)
		return -ERANGE;
	if (!mmget_not_zero(mm))
		return -ESRCH;
	while (start < end && msvm_next_part(mm, start, end, &part)) {
		one = msvm_map_part(member, part.start, part.end);
		if (one)
			err = one;
		if (msvm_map_over(one))
			break;
		start = part.end;
	}
	/* The last reference may be ours, and this is no place to end an mm. */
	mmput_async(mm);

	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_map);
