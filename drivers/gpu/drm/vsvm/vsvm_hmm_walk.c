// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What memory of a process is, for hmm_dmirror: kinds of memory, snapshots of the
 * CPU's page table, and reading what is in the device's memory.
 *
 * drm_msvm_residency() says where pages are, but not the rights and the size of an
 * entry, which a snapshot is to show. So the walk is made here, in the same way.
 */
#include <linux/dax.h>
#include <linux/hmm.h>
#include <linux/hugetlb.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_pagemap.h>

#include "vsvm_drv.h"
#include "vsvm_hmm.h"

/* What kind of memory does a VMA have? mmap_lock held. */
enum vsvm_hmm_kind vsvm_hmm_vma_kind(struct vm_area_struct *vma)
{
	if (is_vm_hugetlb_page(vma) || vma->vm_flags & VM_SPECIAL ||
	    vma_is_dax(vma))
		return VSVM_HMM_SPECIAL;
	if (vma_is_anonymous(vma))
		return VSVM_HMM_ANON;
	return vma->vm_flags & VM_SHARED ? VSVM_HMM_SHARED : VSVM_HMM_FILE;
}

/* What is at @addr, and up to where? Context: sleeps. Return: 0; -EINTR. */
int vsvm_hmm_next_part(struct vsvm_hmm *hmm, unsigned long addr,
		       unsigned long end, struct vsvm_hmm_part *part)
{
	struct mm_struct *mm = vsvm_hmm_mm(hmm);
	struct vm_area_struct *vma;
	int err;

	err = mmap_read_lock_killable(mm);
	if (err)
		return err;
	*part = (struct vsvm_hmm_part) { .end = end };
	vma = find_vma_intersection(mm, addr, end);
	if (vma && vma->vm_start > addr) {
		part->end = vma->vm_start;
	} else if (vma) {
		part->end = min(end, vma->vm_end);
		part->kind = vsvm_hmm_vma_kind(vma);
		part->readable = vma->vm_flags & VM_READ;
	}
	mmap_read_unlock(mm);

	return 0;
}

/*
 * Read the CPU's page table: at most VSVM_HMM_BATCH pages of one kind. Nothing is
 * faulted in. Return: 0 with the lock held, until which is dropped the result stays
 * true; -EBUSY: the memory kept changing; -EINTR, -EFAULT.
 */
static int vsvm_hmm_walk(struct vsvm_hmm *hmm, enum vsvm_hmm_kind kind,
			 unsigned long start, unsigned long npages,
			 unsigned long *pfns)
{
	struct hmm_range range = {
		.notifier = &hmm->notifier,
		.start = start,
		.end = start + npages * PAGE_SIZE,
		.hmm_pfns = pfns,
		/* Others' pages count as none. */
		.dev_private_owner = kind == VSVM_HMM_FILE ?
				     (void *)&hmm->dev->store :
				     drm_msvm_page_owner(),
	};
	unsigned long deadline = jiffies + HZ;
	int err;

	do {
		memset(pfns, 0, npages * sizeof(*pfns));
		err = hmm_range_fault_unlocked_timeout(&range, HZ);
		if (err)
			return err;
		mutex_lock(&hmm->lock);
		if (!mmu_interval_read_retry(&hmm->notifier,
					     range.notifier_seq))
			return 0;
		mutex_unlock(&hmm->lock);
	} while (time_before(jiffies, deadline));

	return -EBUSY;
}

/* Where the device has a page in its own memory, or NULL. Walk's lock held. */
static void *vsvm_hmm_local(struct vsvm_hmm *hmm, unsigned long pfn)
{
	struct vsvm_gpu *gpu = hmm->dev->gpu;
	struct drm_pagemap *dpagemap;
	struct page *page;

	lockdep_assert_held(&hmm->lock);

	if (!(pfn & HMM_PFN_VALID))
		return NULL;
	page = hmm_pfn_to_page(pfn);
	if (!is_device_private_page(page))
		return NULL;
	if (page_pgmap(page) == &hmm->dev->store.pagemap)
		return vsvm_hmm_store_to_virt(&hmm->dev->store, page);
	dpagemap = drm_pagemap_page_to_dpagemap(page);
	if (dpagemap->drm != &gpu->drm)
		return NULL;
	return vsvm_vram_to_virt(gpu, PFN_PHYS(page_to_pfn(page)) -
				      page_pgmap(page)->range.start);
}

/*
 * Another device's page is none at all: that is what the original's walk sees, since
 * each of its devices is an owner of its own.
 */
static u8 vsvm_hmm_prot(struct vsvm_hmm *hmm, unsigned long pfn)
{
	unsigned int shift = hmm_pfn_to_map_order(pfn) + PAGE_SHIFT;
	u8 prot = HMM_DMIRROR_PROT_NONE;

	if (pfn & HMM_PFN_ERROR)
		return HMM_DMIRROR_PROT_ERROR;
	if (!(pfn & HMM_PFN_VALID))
		return HMM_DMIRROR_PROT_NONE;
	if (vsvm_hmm_local(hmm, pfn))
		prot = HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL;
	else if (is_device_private_page(hmm_pfn_to_page(pfn)))
		return HMM_DMIRROR_PROT_NONE;
	else if (is_zero_pfn(page_to_pfn(hmm_pfn_to_page(pfn))))
		prot = HMM_DMIRROR_PROT_ZERO;

	prot |= pfn & HMM_PFN_WRITE ? HMM_DMIRROR_PROT_WRITE :
				      HMM_DMIRROR_PROT_READ;
	if (shift == PMD_SHIFT)
		prot |= HMM_DMIRROR_PROT_PMD;
	else if (shift == PUD_SHIFT)
		prot |= HMM_DMIRROR_PROT_PUD;
	return prot;
}

/* Buffers of a walk. */
struct vsvm_hmm_batch {
	unsigned long pfns[VSVM_HMM_BATCH];
	u8 prot[VSVM_HMM_BATCH];
};

/* Walk the next few pages of an interval. Return: their number, or as the walk. */
static long vsvm_hmm_walk_next(struct vsvm_hmm *hmm, unsigned long addr,
			       unsigned long end, struct vsvm_hmm_batch *batch)
{
	struct vsvm_hmm_part part;
	unsigned long n;
	int err;

	err = vsvm_hmm_next_part(hmm, addr, end, &part);
	if (err)
		return err;
	n = min((part.end - addr) >> PAGE_SHIFT, VSVM_HMM_BATCH);
	err = vsvm_hmm_walk(hmm, part.kind, addr, n, batch->pfns);
	return err ?: n;
}

/* SNAPSHOT. Context: sleeps. Return: 0; -EFAULT, -EBUSY, -EINTR, -ENOMEM. */
int vsvm_hmm_snapshot(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	unsigned long end = cmd->addr + (cmd->npages << PAGE_SHIFT);
	u8 __user *to = u64_to_user_ptr(cmd->ptr);
	unsigned long addr = cmd->addr;
	struct vsvm_hmm_batch *batch;
	int err = 0;
	long n, i;

	batch = kmalloc_obj(*batch);
	if (!batch)
		return -ENOMEM;
	while (!err && addr < end) {
		n = vsvm_hmm_walk_next(hmm, addr, end, batch);
		if (n < 0) {
			err = n;
			break;
		}
		for (i = 0; i < n; i++)
			batch->prot[i] = vsvm_hmm_prot(hmm, batch->pfns[i]);
		mutex_unlock(&hmm->lock);
		if (copy_to_user(to + cmd->cpages, batch->prot, n))
			err = -EFAULT;
		cmd->cpages += n;
		addr += n * PAGE_SIZE;
	}
	kfree(batch);

	return err;
}

/*
 * Read what is in the device's memory, or what it has mapped. Unlike in the original
 * a move maps nothing: that would be a fault, which could have to bring back other
 * memory of the range. So this looks into the memory itself.
 *
 * Context: sleeps. Return: 0; -ENOENT: the device does not have all of it; -EBUSY,
 * -EINTR, -ENOMEM.
 */
int vsvm_hmm_read_back(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
		       void *buf)
{
	unsigned long end = cmd->addr + (cmd->npages << PAGE_SHIFT);
	unsigned long addr = cmd->addr;
	struct vsvm_hmm_batch *batch;
	int err = 0;
	long n, i;

	batch = kmalloc_obj(*batch);
	if (!batch)
		return -ENOMEM;
	while (!err && addr < end) {
		n = vsvm_hmm_walk_next(hmm, addr, end, batch);
		if (n < 0) {
			err = n;
			break;
		}
		for (i = 0; i < n; i++, addr += PAGE_SIZE, buf += PAGE_SIZE) {
			void *mem = vsvm_hmm_local(hmm, batch->pfns[i]);

			if (mem) {
				memcpy(buf, mem, PAGE_SIZE);
			} else if (!vsvm_hmm_access_page(hmm, addr, buf, false)) {
				err = -ENOENT;
				break;
			}
			cmd->cpages++;
		}
		mutex_unlock(&hmm->lock);
	}
	kfree(batch);

	return err;
}
