// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What attributes say is kept mapped: what is accessed by a member whose device takes no
 * page faults. There is no copy of it, the attributes themselves are looked at each
 * time, so what is said about memory that is unmapped is gone here as well.
 */
#include "msvm_attr.h"
#include "msvm_internal.h"
#include "msvm_keep.h"

/* Does a member that gets memory by an attribute have to have it kept mapped? */
bool msvm_keep_by_attr(struct drm_msvm_member *member)
{
	return member->dev->flags & DRM_MSVM_DEVICE_NO_FAULTS &&
	       !msvm_mutated(MSVM_MUTATE_KEEP_NO_ATTR);
}

/*
 * The first interval behind *@start that is accessed by a member. Any context that is
 * not atomic. Return: whether there is one; *@start and *@end are then its.
 */
static bool msvm_keep_attr_next(struct drm_msvm_member *member,
				unsigned long *start, unsigned long *end)
{
	struct msvm_attrs attrs;

	while (msvm_attr_next(member->msvm, start, end, &attrs)) {
		if (attrs.accessed_by & BIT_ULL(member->slot))
			return true;
		*start = *end;
	}
	return false;
}

/* Does what is kept overlap an interval? Context: as above. */
bool msvm_keep_attr_overlaps(struct drm_msvm_member *member,
			     unsigned long start, unsigned long end)
{
	unsigned long from = start, to;

	return msvm_keep_by_attr(member) &&
	       msvm_keep_attr_next(member, &from, &to) && from < end;
}

/*
 * Do something for all that is kept, as far as the process allows it to be written.
 * Context: sleeps. Return: 0, or the error of the one that ended it.
 */
int msvm_keep_attr_each(struct drm_msvm_member *member, msvm_keep_fn fn)
{
	unsigned long start = member->va_start, end;
	int err = 0;

	if (!msvm_keep_by_attr(member))
		return 0;
	/* Only what is within the member's window is accessed by it. */
	while (!err && msvm_keep_attr_next(member, &start, &end)) {
		err = fn(member, start, end, DRM_MSVM_ACCESS_WRITE);
		start = end;
	}
	return err;
}
