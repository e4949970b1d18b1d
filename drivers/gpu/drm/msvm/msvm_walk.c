// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The walk of the CPU page table for a range, and its result: a compact list of
 * physically contiguous runs that serves every device until the next
 * invalidation.
 */
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/*
 * How long a walk in haste tries again because of invalidations. It has the range mutex
 * all the while: long enough to make the pages of 2 MiB once or twice.
 */
#define MSVM_WALK_HASTE		msecs_to_jiffies(20)

static bool msvm_coalesce = true;
module_param_named(coalesce, msvm_coalesce, bool, 0644);
MODULE_PARM_DESC(coalesce, "Map pages that follow each other in memory as one piece (default true)");

/*
 * memfd_secret() memory: a device would read what even the kernel must not. Pages
 * are never pinned for a device for this reason, but the walk is not told.
 * secretmem_mapping() needs a symbol that is not exported.
 */
static bool msvm_folio_secret(struct folio *folio)
{
	struct address_space *mapping;

	if (folio_test_anon(folio))
		return false;
	mapping = folio_mapping(folio);
	return mapping && mapping->host &&
	       mapping->host->i_sb->s_magic == SECRETMEM_MAGIC;
}

/* A run may have pages of several folios; a huge page is one step. */
static bool msvm_run_mappable(u64 run)
{
	unsigned long pfn = msvm_run_pfn(run);
	unsigned long end = pfn + BIT(msvm_run_order(run));

	while (pfn < end) {
		struct folio *folio = page_folio(pfn_to_page(pfn));

		if (folio_is_zone_device(folio) || msvm_folio_secret(folio))
			return false;
		pfn = folio_pfn(folio) + folio_nr_pages(folio);
	}
	return true;
}

/*
 * Can the runs be mapped, and which device's memory do they have? Memory of
 * drivers that are not with us, and FS-DAX, can't be mapped like system pages;
 * and what describes a mapping has room for one device's memory only. Only now,
 * with the result known to be current, may the struct pages be looked at.
 *
 * Return: 0, -EOPNOTSUPP, or -EXDEV: memory of several devices.
 */
static int msvm_runs_check(const u64 *runs, unsigned long nr,
			   struct drm_pagemap **dpagemap)
{
	struct msvm_pagemap *pagemap;
	unsigned long i;

	*dpagemap = NULL;
	for (i = 0; i < nr; i++) {
		pagemap = msvm_pagemap_of_pfn(msvm_run_pfn(runs[i]));
		if (pagemap) {
			if (*dpagemap && *dpagemap != &pagemap->base)
				return -EXDEV;
			*dpagemap = &pagemap->base;
		} else if (!msvm_run_mappable(runs[i])) {
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

/*
 * Make one run of device pages that follow each other, as far as their block goes: that is
 * one piece that the driver allocated, and this library maps and unmaps it, so it does
 * not matter that folios end in between. Context: notifier lock held and the walk valid,
 * so that blocks with such pages stay. Return: the number of runs then.
 */
static unsigned long msvm_runs_merge_device(struct msvm_pagemap *pagemap,
					    u64 *runs, unsigned long nr)
{
	struct msvm_memory *memory = pagemap->memory;
	unsigned long i = 0, out = 0, pfn;
	struct msvm_block *block;

	while (i < nr) {
		pfn = msvm_run_pfn(runs[i]);
		block = msvm_pagemap_of_pfn(pfn) != pagemap ? NULL :
			xa_load(&memory->by_page, pfn - pagemap->first_pfn);
		if (!block) {
			runs[out++] = runs[i++];
			continue;
		}
		i = msvm_runs_merge(runs, nr, i, pagemap->first_pfn +
				    PHYS_PFN(block->offset + block->devmem.size),
				    &out);
	}
	return out;
}

/* Publish a walk's result unless the memory changed since it began. */
static int msvm_publish(struct drm_msvm_range *range, const u64 *runs,
			unsigned long nr, bool writable, unsigned long seq)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	struct drm_pagemap *dpagemap;
	u64 *room = NULL;
	int err;

	lockdep_assert_held(&range->lock);

	if (nr > range->cap_runs) {
		room = msvm_alloc(kvmalloc_array(nr, sizeof(*room),
						 GFP_KERNEL));
		if (!room)
			return -ENOMEM;
	}

	down_read(&gpusvm->notifier_lock);
	if (msvm_range_unmapped(range) || range->seq != seq ||
	    msvm_fail_walk())
		err = -EAGAIN;
	else
		err = msvm_runs_check(runs, nr, &dpagemap);
	if (!err) {
		if (room) {
			swap(room, range->runs);
			msvm_stat_bytes(msvm, (nr - range->cap_runs) *
					(s64)sizeof(*room));
			range->cap_runs = nr;
		}
		memcpy(range->runs, runs, nr * sizeof(*runs));
		range->nr_runs = nr;
		range->dpagemap = dpagemap;
		if (dpagemap && READ_ONCE(msvm_coalesce))
			range->nr_runs = msvm_runs_merge_device
				(to_msvm_pagemap(dpagemap), range->runs, nr);
		range->runs_writable = writable;
		range->runs_valid = true;
	}
	up_read(&gpusvm->notifier_lock);
	kvfree(room);

	return err;
}

/*
 * Walk with mmap_lock held all the time, so that no other mapping takes the place of
 * what is walked. Faults that have to let go of it fail (userfaultfd).
 */
static int msvm_walk_held(struct hmm_range *hmm, unsigned long timeout)
{
	struct mm_struct *mm = hmm->notifier->mm;
	unsigned long deadline = jiffies + timeout;
	int err;

	mmap_assert_locked(mm);

	if (check_stable_address_space(mm))
		return -EFAULT;
	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		/* Invalidations that go on by now end without mmap_lock. */
		hmm->notifier_seq = mmu_interval_read_begin(hmm->notifier);
		err = hmm_range_fault(hmm);
	} while (err == -EBUSY && time_before(jiffies, deadline));

	return err;
}

/* Is each page of a walk there? Of those that are not nothing is known. */
static bool msvm_walk_complete(const struct hmm_range *hmm)
{
	unsigned long i, npages = PHYS_PFN(hmm->end - hmm->start);

	for (i = 0; i < npages; i++)
		if (!(hmm->hmm_pfns[i] & HMM_PFN_VALID))
			return false;
	return true;
}

/* As msvm_walk(). @flags: what HMM is to do about pages. */
static int msvm_walk_flags(struct drm_msvm_range *range, unsigned long flags,
			   enum msvm_walk_how how)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	unsigned long npages = msvm_range_npages(range);
	struct hmm_range hmm = {
		.notifier = &range->base.notifier->notifier,
		.start = drm_gpusvm_range_start(&range->base),
		.end = drm_gpusvm_range_end(&range->base),
		.default_flags = flags,
		.dev_private_owner = msvm_owner(),
	};
	unsigned long timeout = how == MSVM_WALK_HASTY ? MSVM_WALK_HASTE :
				msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT);
	bool write = flags & HMM_PFN_REQ_WRITE, writable;
	unsigned long seq, nr;
	int err;

	lockdep_assert_held(&range->lock);
	/* It may sleep for as long as the process likes. */
	if (!range->is_userptr)
		lockdep_assert_not_held(&msvm_range_shard(range)->lock);
	lockdep_assert_not_held(&msvm->lock);

	/* Zeroed: HMM takes some flags of an entry as input. */
	hmm.hmm_pfns = msvm_alloc(kvcalloc(npages, sizeof(*hmm.hmm_pfns),
					   GFP_KERNEL));
	if (!hmm.hmm_pfns)
		return -ENOMEM;

	trace_msvm_walk_start(msvm->id, hmm.start, hmm.end, write);
	seq = READ_ONCE(range->seq);
	err = how == MSVM_WALK_HELD ? msvm_walk_held(&hmm, timeout) :
		     hmm_range_fault_unlocked_timeout(&hmm, timeout);
	if (err == -EBUSY)
		err = -EAGAIN;
	if (!err && !flags && !msvm_walk_complete(&hmm))
		err = -ENODATA;
	nr = 0;
	if (!err) {
		msvm_stat_inc(msvm, MSVM_STAT_HMM_WALKS);
		msvm_stat_add(msvm, MSVM_STAT_WALK_PAGES, npages);
		/* From 0 on: all is kept apart as device memory is for now. */
		nr = msvm_runs_compact(hmm.hmm_pfns, npages,
				       READ_ONCE(msvm_coalesce) ?
				       READ_ONCE(msvm_first_device_pfn) : 0,
				       &writable);
		if (msvm_mutated(MSVM_MUTATE_FORGET_WRITE_BIT))
			writable = true;
		err = msvm_publish(range, (u64 *)hmm.hmm_pfns, nr, writable,
				   seq);
	}
	if (!err)
		nr = range->nr_runs;
	trace_msvm_walk_end(msvm->id, hmm.start, hmm.end, nr, err);
	kvfree(hmm.hmm_pfns);

	return err;
}

/*
 * Fault the memory of a range in and remember where it is.
 *
 * Context: sleeps, unless mmap_lock is held for as long as the process makes it (userfaultfd);
 * range mutex held and no lock above it but mmap_lock. The caller holds a reference to
 * the mm's users.
 *
 * Return: 0; -EAGAIN: the CPU side changed, try again; -EFAULT or -EPERM: some
 * page of the range can't be had for this access; -EOPNOTSUPP: some page is of
 * a kind that can't be mapped; -EXDEV: pages are in several devices' memory;
 * -ENOMEM; -EINTR: the task is being killed.
 */
int msvm_walk(struct drm_msvm_range *range, bool write, enum msvm_walk_how how)
{
	return msvm_walk_flags(range, HMM_PFN_REQ_FAULT |
			       (write ? HMM_PFN_REQ_WRITE : 0), how);
}

/*
 * The same, but no page is faulted in, so nobody is waited for. Context: as for
 * msvm_walk(), without mmap_lock. Return: as there; -ENODATA: not all pages are there.
 */
int msvm_walk_present(struct drm_msvm_range *range)
{
	return msvm_walk_flags(range, 0, MSVM_WALK);
}
