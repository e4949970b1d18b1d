// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Batches of faults: sorted so that what is served together comes together, and
 * duplicates served once. The verb for drivers that collect faults themselves is
 * here; the fault queue uses the same order.
 */
#include <linux/list_sort.h>
#include <linux/mm.h>
#include <linux/sort.h>

#include <kunit/visibility.h>

#include "msvm_batch.h"
#include "msvm_internal.h"

static bool msvm_batch_writes(const struct drm_msvm_fault *fault)
{
	return fault->access != DRM_MSVM_ACCESS_READ;
}

/*
 * The order: by address space; by 2 MiB, which no range is larger than; those
 * that write first, since one walk for writing serves the readers as well; by
 * page; by member; the strongest access first.
 */
static int msvm_batch_cmp(void *unused, const struct list_head *a,
			  const struct list_head *b)
{
	const struct drm_msvm_fault *l =
		list_entry(a, struct drm_msvm_fault, link);
	const struct drm_msvm_fault *r =
		list_entry(b, struct drm_msvm_fault, link);

	if (l->member->msvm != r->member->msvm)
		return cmp_int((unsigned long)l->member->msvm,
			       (unsigned long)r->member->msvm);
	if (l->addr / SZ_2M != r->addr / SZ_2M)
		return cmp_int(l->addr, r->addr);
	if (msvm_batch_writes(l) != msvm_batch_writes(r))
		return msvm_batch_writes(l) ? -1 : 1;
	if (l->addr >> PAGE_SHIFT != r->addr >> PAGE_SHIFT)
		return cmp_int(l->addr, r->addr);
	if (l->member != r->member)
		return cmp_int(l->member->slot, r->member->slot);
	return cmp_int(r->access, l->access);
}

/* Sort faults. Those that are equal stay in their order. Context: any. */
void msvm_batch_sort(struct list_head *batch)
{
	list_sort(NULL, batch, msvm_batch_cmp);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_batch_sort);

/*
 * Is the result of @first also that of @fault, which follows it in the order?
 * A read does not merge with a write: it may succeed where the write fails.
 */
bool msvm_batch_merges(const struct drm_msvm_fault *first,
		       const struct drm_msvm_fault *fault)
{
	return first->member == fault->member &&
	       first->addr >> PAGE_SHIFT == fault->addr >> PAGE_SHIFT &&
	       msvm_batch_writes(first) == msvm_batch_writes(fault);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_batch_merges);

/*
 * Move the first fault of a sorted batch to @taken, and all that merge with it.
 * Context: any. Return: how many were moved.
 */
unsigned int msvm_batch_take(struct list_head *batch, struct list_head *taken)
{
	struct drm_msvm_fault *first, *fault, *next;
	unsigned int n = 0;

	first = list_first_entry(batch, struct drm_msvm_fault, link);
	list_for_each_entry_safe(fault, next, batch, link) {
		if (!msvm_batch_merges(first, fault))
			break;
		list_move_tail(&fault->link, taken);
		n++;
	}
	return n;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_batch_take);

/**
 * drm_msvm_handle_faults() - Serve faults that a driver collected.
 * @faults: The faults, of any members of any address spaces. On return each
 *	has its own result in &drm_msvm_fault.err. They stay where they are.
 * @n: How many.
 *
 * As drm_msvm_handle_fault() for each of them, but sorted, so that one walk
 * serves all devices, and with duplicates served once. A fault that fails does
 * not concern the others.
 *
 * A fault that sleeps (userfaultfd) holds up those after it. A driver that can't
 * have that uses a &struct drm_msvm_fault_queue.
 *
 * Context: As for drm_msvm_handle_fault(). A fatal signal to the calling task
 * ends with -EINTR what sleeps, and of the rest what would.
 */
void drm_msvm_handle_faults(struct drm_msvm_fault *faults, unsigned int n)
{
	struct drm_msvm_fault *first, *fault, *next;
	LIST_HEAD(batch);
	LIST_HEAD(taken);
	unsigned int i;
	int err;

	might_sleep();

	for (i = 0; i < n; i++) {
		msvm_fault_count(faults[i].member);
		list_add_tail(&faults[i].link, &batch);
	}
	msvm_batch_sort(&batch);

	while (!list_empty(&batch)) {
		i = msvm_batch_take(&batch, &taken);
		first = list_first_entry(&taken, struct drm_msvm_fault, link);
		msvm_stat_add(first->member->msvm, MSVM_STAT_QUEUE_MERGED,
			      i - 1);
		err = msvm_fault_serve_for(NULL, first->member, first->addr,
					   first->access);
		list_for_each_entry_safe(fault, next, &taken, link) {
			if (err)
				msvm_stat_error(fault->member->msvm, err);
			list_del_init(&fault->link);
			fault->err = err;
		}
	}
}
EXPORT_SYMBOL_GPL(drm_msvm_handle_faults);
