// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Where pages are: for the decision where to put them, and for whoever asks.
 * Nothing is faulted in, moved or locked, so the answer may be old when it comes.
 */
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/* Pages asked about at a time. */
#define MSVM_RESIDENCY_BATCH	SZ_512

/*
 * Read the CPU page table of an interval. Context: sleeps; no mmap_lock, no lock
 * that an MMU notifier takes. Return: 0; -EBUSY: it kept changing; -EFAULT: there
 * is no memory in some part of it.
 */
static int msvm_snapshot(struct mmu_interval_notifier *notifier,
			 unsigned long start, unsigned long npages,
			 unsigned long *pfns)
{
	struct hmm_range hmm = {
		.notifier = notifier,
		.start = start,
		.end = start + npages * PAGE_SIZE,
		.hmm_pfns = pfns,
		.dev_private_owner = msvm_owner(),
	};

	return hmm_range_fault_unlocked_timeout(&hmm, HZ);
}

static void msvm_census_add(struct msvm_census *census, unsigned long pfn)
{
	struct msvm_pagemap *pagemap;

	if (!(pfn & HMM_PFN_VALID)) {
		census->none++;
		return;
	}
	/* It may be gone by now: only compared, never looked into. */
	rcu_read_lock();
	pagemap = msvm_pagemap_of_pfn(pfn & ~HMM_PFN_FLAGS);
	if (!pagemap) {
		census->system++;
	} else {
		census->device++;
		if (census->memory && census->memory != pagemap->memory)
			census->several = true;
		census->memory = pagemap->memory;
	}
	rcu_read_unlock();
}

/*
 * Count where the pages of a range are; &msvm_census.memory is for comparison
 * only. Context: sleeps; range mutex held, so that the range keeps its notifier.
 *
 * Return: 0; -EBUSY, -ENOMEM, -EFAULT.
 */
int msvm_take_census(struct drm_msvm_range *range, struct msvm_census *census)
{
	unsigned long npages = msvm_range_npages(range), i;
	unsigned long *pfns;
	int err;

	lockdep_assert_held(&range->lock);

	*census = (struct msvm_census) {};
	pfns = msvm_alloc(kvcalloc(npages, sizeof(*pfns), GFP_KERNEL));
	if (!pfns)
		return -ENOMEM;
	err = msvm_snapshot(&range->base.notifier->notifier,
			    drm_gpusvm_range_start(&range->base), npages, pfns);
	for (i = 0; !err && i < npages; i++)
		msvm_census_add(census, pfns[i]);
	kvfree(pfns);

	return err;
}

/*
 * The same from the last walk, if it is still valid: no page table is read. Context:
 * range mutex held, not the notifier lock. Return: whether it is.
 */
bool msvm_census_of_runs(struct drm_msvm_range *range, struct msvm_census *census)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	bool valid;
	u32 i;

	lockdep_assert_held(&range->lock);

	*census = (struct msvm_census) {};
	/* A hint only, so that the lock is not taken for nothing. */
	if (!READ_ONCE(range->runs_valid))
		return false;
	drm_gpusvm_notifier_lock(gpusvm);
	valid = range->runs_valid;
	if (valid && !range->dpagemap) {
		census->system = msvm_range_npages(range);
	} else if (valid) {
		struct msvm_pagemap *pagemap = to_msvm_pagemap(range->dpagemap);

		/* Device memory of a range that was walked is all of one device. */
		census->memory = pagemap->memory;
		for (i = 0; i < range->nr_runs; i++) {
			u64 run = range->runs[i];

			if (msvm_pagemap_of_pfn(msvm_run_pfn(run)) == pagemap)
				census->device += BIT(msvm_run_order(run));
			else
				census->system += BIT(msvm_run_order(run));
		}
	}
	drm_gpusvm_notifier_unlock(gpusvm);

	return valid;
}

/* What a snapshot needs; that something changes meanwhile is none of our business. */
static bool msvm_residency_invalidate(struct mmu_interval_notifier *notifier,
				      const struct mmu_notifier_range *range,
				      unsigned long seq)
{
	mmu_interval_set_seq(notifier, seq);
	return true;
}

static const struct mmu_interval_notifier_ops msvm_residency_ops = {
	.invalidate = msvm_residency_invalidate,
};

/* As msvm_snapshot(), with a notifier of its own. @pfns is zeroed. */
static int msvm_snapshot_mm(struct mm_struct *mm, unsigned long start,
			    unsigned long npages, unsigned long *pfns)
{
	struct mmu_interval_notifier notifier;
	int err;

	err = msvm_fail_alloc() ? -ENOMEM :
	      mmu_interval_notifier_insert(&notifier, mm, start,
					   npages * PAGE_SIZE,
					   &msvm_residency_ops);
	if (err)
		return err;
	err = msvm_snapshot(&notifier, start, npages, pfns);
	mmu_interval_notifier_remove(&notifier);

	return err;
}

/*
 * Are all of at most 512 pages in a memory? Context: sleeps; the caller has a
 * reference to the mm's users. Return: false also if that can't be found out.
 */
bool msvm_all_in(struct mm_struct *mm, unsigned long start,
		 unsigned long npages, struct msvm_memory *memory)
{
	struct msvm_census census = {};
	unsigned long *pfns, i;

	pfns = msvm_alloc(kvcalloc(npages, sizeof(*pfns), GFP_KERNEL));
	if (!pfns)
		return false;
	if (!msvm_snapshot_mm(mm, start, npages, pfns))
		for (i = 0; i < npages; i++)
			msvm_census_add(&census, pfns[i]);
	kvfree(pfns);

	return census.device == npages && !census.several &&
	       census.memory == memory;
}

/*
 * Which of the leaves of at most a block have pages in a memory, or with NULL in any
 * device's? One bit a leaf, the first one that of @start, wherever in it that is.
 * Context: as msvm_all_in(). Return: 0, -ENOMEM, -EBUSY, -EFAULT.
 */
int msvm_census_leaves(struct mm_struct *mm, unsigned long start,
		       unsigned long npages, struct msvm_memory *memory,
		       u32 *leaves)
{
	const unsigned long leaf = MSVM_TREE_LEAF >> PAGE_SHIFT;
	const unsigned long first = (start >> PAGE_SHIFT) % leaf;
	struct msvm_pagemap *pagemap;
	unsigned long *pfns, i;
	int err;

	*leaves = 0;
	pfns = msvm_alloc(kvcalloc(npages, sizeof(*pfns), GFP_KERNEL));
	if (!pfns)
		return -ENOMEM;
	err = msvm_snapshot_mm(mm, start, npages, pfns);
	rcu_read_lock();
	for (i = 0; !err && i < npages; i++) {
		if (!(pfns[i] & HMM_PFN_VALID))
			continue;
		pagemap = msvm_pagemap_of_pfn(pfns[i] & ~HMM_PFN_FLAGS);
		if (pagemap && (!memory || pagemap->memory == memory))
			*leaves |= BIT((first + i) / leaf);
	}
	rcu_read_unlock();
	kvfree(pfns);

	return err;
}

static u32 msvm_where(unsigned long pfn)
{
	struct msvm_pagemap *pagemap;
	u32 where;

	if (!(pfn & HMM_PFN_VALID))
		return DRM_MSVM_WHERE_NONE;
	rcu_read_lock();
	pagemap = msvm_pagemap_of_pfn(pfn & ~HMM_PFN_FLAGS);
	where = pagemap ? DRM_MSVM_WHERE_DEVICE + pagemap->memory->dev_id :
			  DRM_MSVM_WHERE_SYSTEM;
	rcu_read_unlock();

	return where;
}

/**
 * drm_msvm_residency() - Ask where pages are.
 * @member: A member of the address space.
 * @start: First address, page aligned.
 * @npages: Number of pages, at most 512.
 * @where: For each page DRM_MSVM_WHERE_*. Pages in swap, and those that were
 *	never touched, count as none.
 *
 * Nothing is moved or brought in; by the time of the return a page may be
 * elsewhere.
 *
 * Context: Sleeps; takes mmap_lock. The caller holds no lock that an MMU notifier
 * takes.
 *
 * Return: 0; -EINVAL: not page aligned, no pages or too many; -EFAULT: there is
 * no memory in part of the interval; -EBUSY: the memory kept changing; -ESRCH:
 * the process's memory is gone; -EINTR, -ENOMEM.
 */
int drm_msvm_residency(struct drm_msvm_member *member, u64 start,
		       unsigned int npages, u32 *where)
{
	struct mm_struct *mm = member->msvm->mm;
	unsigned long *pfns;
	unsigned int i;
	int err;

	might_sleep();
	if (!PAGE_ALIGNED(start) || !npages || npages > MSVM_RESIDENCY_BATCH ||
	    start + (u64)npages * PAGE_SIZE < start)
		return -EINVAL;

	pfns = msvm_alloc(kvcalloc(npages, sizeof(*pfns), GFP_KERNEL));
	if (!pfns)
		return -ENOMEM;
	if (!mmget_not_zero(mm)) {
		err = -ESRCH;
		goto out_free;
	}
	err = msvm_snapshot_mm(mm, start, npages, pfns);
	for (i = 0; !err && i < npages; i++) {
		if (pfns[i] & HMM_PFN_ERROR)
			err = -EFAULT;
		where[i] = msvm_where(pfns[i]);
	}
	mmput_async(mm);
out_free:
	kvfree(pfns);
	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_residency);
