// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Layout "1to1": the VM has a drm_gpusvm of its own, used as drm_gpusvm's
 * documentation describes it. It is the baseline that drm_msvm is measured
 * against, so it takes no detour and has the same chunk and notifier sizes.
 */
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <drm/drm_gpusvm.h>
#include <drm/drm_pagemap.h>

#include "vsvm_drv.h"

/* Tries of a fault while the CPU side keeps changing. */
#define VSVM_GPUSVM_TRIES	256

/**
 * struct vsvm_gpusvm - SVM state of a VM.
 */
struct vsvm_gpusvm {
	/** @base: The kernel's part. */
	struct drm_gpusvm base;
	/** @vm: The VM. */
	struct vsvm_vm *vm;
	/** @lock: The "driver lock": ranges, and one fault at a time. */
	struct mutex lock;
	/** @gc_lock: Protects @gc. */
	spinlock_t gc_lock;
	/** @gc: Ranges whose memory was unmapped. */
	struct list_head gc;
	/** @gc_work: Removes them. */
	struct work_struct gc_work;
	/** @stats: Counters; @lock but for invalidations (notifier lock). */
	struct drm_vsvm_vm_stats stats;
};

/**
 * struct vsvm_range - A range of a VM.
 */
struct vsvm_range {
	/** @base: The kernel's part. */
	struct drm_gpusvm_range base;
	/** @pages: Its pages, mapped for the GPU. */
	struct drm_gpusvm_pages pages;
	/** @gc_link: Entry in &vsvm_gpusvm.gc. */
	struct list_head gc_link;
	/** @bound: The GPU may have entries; notifier lock. */
	bool bound;
	/** @writable: They may be writable; notifier lock. */
	bool writable;
};

static const unsigned long vsvm_chunk_sizes[] = DRM_MSVM_CHUNK_SIZES;

static struct vsvm_gpusvm *to_vsvm_gpusvm(struct drm_gpusvm *base)
{
	return container_of(base, struct vsvm_gpusvm, base);
}

static struct vsvm_range *to_vsvm_range(struct drm_gpusvm_range *base)
{
	return container_of(base, struct vsvm_range, base);
}

static unsigned long vsvm_range_npages(struct vsvm_range *range)
{
	return drm_gpusvm_range_size(&range->base) >> PAGE_SHIFT;
}

static struct drm_gpusvm_range *vsvm_range_alloc(struct drm_gpusvm *gpusvm)
{
	struct vsvm_gpusvm *svm = to_vsvm_gpusvm(gpusvm);
	struct vsvm_range *range;

	range = kzalloc_obj(*range);
	if (!range)
		return NULL;
	drm_gpusvm_init_pages(&range->pages, &svm->vm->gpu->drm);
	INIT_LIST_HEAD(&range->gc_link);
	return &range->base;
}

/* The range is out of the tree, so no notifier can queue it again. */
static void vsvm_range_free(struct drm_gpusvm_range *base)
{
	struct vsvm_gpusvm *svm = to_vsvm_gpusvm(base->gpusvm);
	struct vsvm_range *range = to_vsvm_range(base);

	spin_lock(&svm->gc_lock);
	list_del(&range->gc_link);
	spin_unlock(&svm->gc_lock);
	drm_gpusvm_free_pages(base->gpusvm, &range->pages,
			      vsvm_range_npages(range));
	kfree(range);
}

/* GPUs write without a trace in the CPU's page table. Notifier lock held. */
static void vsvm_range_mark_dirty(struct vsvm_range *range)
{
	struct vsvm_gpu *gpu = to_vsvm_gpu(range->pages.drm);
	struct drm_gpusvm_pages_flags flags;
	unsigned long i, j, done, pfn;
	phys_addr_t phys;

	/* Pairs with WRITE_ONCE() in drm_gpusvm. */
	flags.__flags = READ_ONCE(range->pages.flags.__flags);
	if (!range->writable || !flags.has_dma_mapping)
		return;

	for (i = 0, j = 0; i < vsvm_range_npages(range); j++) {
		struct drm_pagemap_addr *addr = &range->pages.dma_addr[j];

		if (!vsvm_dma_to_phys(gpu, addr->addr, true, &phys))
			return;
		pfn = PHYS_PFN(phys);
		for (done = 0; done < 1UL << addr->order;) {
			struct folio *folio = page_folio(pfn_to_page(pfn + done));

			folio_mark_dirty(folio);
			done = folio_pfn(folio) + folio_nr_pages(folio) - pfn;
		}
		i += 1UL << addr->order;
	}
}

/* The first half of an invalidation. Notifier lock held for writing. */
static u64 vsvm_range_zap(struct vsvm_gpusvm *svm, struct vsvm_range *range)
{
	if (!range->bound)
		return 0;
	return vsvm_pt_zap(svm->vm, drm_gpusvm_range_start(&range->base),
			   drm_gpusvm_range_end(&range->base));
}

/* The second half. Notifier lock held for writing. */
static void vsvm_range_unmap(struct vsvm_gpusvm *svm, struct vsvm_range *range)
{
	const struct drm_gpusvm_ctx ctx = { .in_notifier = true };

	vsvm_range_mark_dirty(range);
	drm_gpusvm_unmap_pages(&svm->base, &range->pages,
			       vsvm_range_npages(range), &ctx);
	range->bound = false;
	range->writable = false;
}

static void vsvm_gpusvm_wait(struct vsvm_gpusvm *svm, u64 ticket)
{
	if (ticket && vsvm_tlb_wait(svm->vm, ticket))
		vsvm_mmu_cut_off(svm->vm);
}

static void vsvm_gpusvm_invalidate(struct drm_gpusvm *gpusvm,
				   struct drm_gpusvm_notifier *notifier,
				   const struct mmu_notifier_range *mmu_range)
{
	unsigned long start = max(mmu_range->start,
				  drm_gpusvm_notifier_start(notifier));
	unsigned long end = min(mmu_range->end,
				drm_gpusvm_notifier_end(notifier));
	struct vsvm_gpusvm *svm = to_vsvm_gpusvm(gpusvm);
	struct drm_gpusvm_range *base = NULL;
	bool hit = false, unmap = mmu_range->event == MMU_NOTIFY_UNMAP;
	u64 ticket = 0;

	drm_gpusvm_for_each_range(base, notifier, start, end) {
		ticket = max(ticket, vsvm_range_zap(svm, to_vsvm_range(base)));
		hit = true;
	}
	if (!hit)
		return;
	svm->stats.invalidations++;
	vsvm_gpusvm_wait(svm, ticket);

	base = NULL;
	drm_gpusvm_for_each_range(base, notifier, start, end) {
		struct vsvm_range *range = to_vsvm_range(base);

		vsvm_range_unmap(svm, range);
		if (!unmap)
			continue;
		drm_gpusvm_range_set_unmapped(base, &range->pages, 1,
					      mmu_range);
		spin_lock(&svm->gc_lock);
		if (list_empty(&range->gc_link))
			list_add_tail(&range->gc_link, &svm->gc);
		spin_unlock(&svm->gc_lock);
	}
	if (unmap)
		queue_work(system_dfl_wq, &svm->gc_work);
}

static const struct drm_gpusvm_ops vsvm_gpusvm_kernel_ops = {
	.range_alloc = vsvm_range_alloc,
	.range_free = vsvm_range_free,
	.invalidate = vsvm_gpusvm_invalidate,
};

/* Take a range away from the GPU. Driver lock held. */
static void vsvm_range_drop(struct vsvm_gpusvm *svm, struct vsvm_range *range)
{
	lockdep_assert_held(&svm->lock);

	down_write(&svm->base.notifier_lock);
	vsvm_gpusvm_wait(svm, vsvm_range_zap(svm, range));
	vsvm_range_unmap(svm, range);
	up_write(&svm->base.notifier_lock);
}

/* Drop and remove a range. Driver lock held. */
static void vsvm_range_remove(struct vsvm_gpusvm *svm, struct vsvm_range *range)
{
	vsvm_range_drop(svm, range);
	drm_gpusvm_range_remove(&svm->base, &range->base);
}

static void vsvm_gpusvm_collect(struct vsvm_gpusvm *svm)
{
	struct vsvm_range *range;

	lockdep_assert_held(&svm->lock);

	for (;;) {
		spin_lock(&svm->gc_lock);
		range = list_first_entry_or_null(&svm->gc, struct vsvm_range,
						 gc_link);
		spin_unlock(&svm->gc_lock);
		if (!range)
			return;
		vsvm_range_remove(svm, range);
	}
}

static void vsvm_gpusvm_gc_work(struct work_struct *work)
{
	struct vsvm_gpusvm *svm =
		container_of(work, struct vsvm_gpusvm, gc_work);

	mutex_lock(&svm->lock);
	vsvm_gpusvm_collect(svm);
	mutex_unlock(&svm->lock);
}

/* Get pages and write page-table entries. Driver lock held. */
static int vsvm_range_bind(struct vsvm_gpusvm *svm, struct vsvm_range *range,
			   bool write)
{
	const struct drm_gpusvm_ctx ctx = { .read_only = !write };
	u64 start = drm_gpusvm_range_start(&range->base);
	u64 end = drm_gpusvm_range_end(&range->base);
	struct drm_gpusvm_pages_flags flags;
	int err;

	err = vsvm_pt_prepare(svm->vm, start, end);
	if (err)
		return err;

	/* Valid pages are taken as they are, so read-only ones must go first. */
	if (write && !range->writable)
		vsvm_range_drop(svm, range);

	flags.__flags = READ_ONCE(range->pages.flags.__flags);
	if (!flags.has_dma_mapping) {
		err = drm_gpusvm_get_pages(&svm->base, &range->pages,
					   svm->base.mm,
					   &range->base.notifier->notifier,
					   start, end, &ctx);
		if (err)
			return err;
		svm->stats.walks++;
	}

	drm_gpusvm_notifier_lock(&svm->base);
	if (drm_gpusvm_pages_valid(&svm->base, &range->pages)) {
		vsvm_pt_map(svm->vm, start, range->pages.dma_addr, end,
			    range->pages.dma_addr[0].dir == DMA_BIDIRECTIONAL,
			    true);
		range->bound = true;
		if (range->pages.dma_addr[0].dir == DMA_BIDIRECTIONAL)
			range->writable = true;
	} else {
		err = -EAGAIN;
	}
	drm_gpusvm_notifier_unlock(&svm->base);

	return err;
}

/* May the process itself do it? */
static int vsvm_gpusvm_reason(struct mm_struct *mm, u64 addr, bool write)
{
	struct vm_area_struct *vma;
	int err = 0;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (!vma)
		err = -EFAULT;
	else if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		err = -EOPNOTSUPP;
	else if (vma->vm_file &&
		 file_inode(vma->vm_file)->i_sb->s_magic == SECRETMEM_MAGIC)
		err = -EOPNOTSUPP;
	else if (!(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
		err = -EACCES;
	mmap_read_unlock(mm);

	return err;
}

/* One try, with ranges of at most @chunk bytes. Driver lock held. */
static int vsvm_gpusvm_try(struct vsvm_gpusvm *svm, u64 addr, bool write,
			   unsigned long *chunk)
{
	const struct drm_gpusvm_ctx ctx = { .read_only = true };
	u64 lo = ALIGN_DOWN(addr, *chunk);
	struct drm_gpusvm_pages_flags flags;
	struct drm_gpusvm_range *base;
	struct vsvm_range *range;
	unsigned long size;
	int err, reason;

	/* The kernel's helper takes secret memory for any other. */
	if (vsvm_gpusvm_reason(svm->base.mm, addr, write) == -EOPNOTSUPP)
		return -EOPNOTSUPP;
	vsvm_gpusvm_collect(svm);
	base = drm_gpusvm_range_find_or_insert(&svm->base, addr, lo,
					       lo + *chunk, &ctx);
	if (IS_ERR(base)) {
		err = PTR_ERR(base);
		if (err == -ENOENT || err == -EINVAL)
			err = -EFAULT;
		else if (err == -EIO)
			err = -EOPNOTSUPP;
		return err;
	}

	range = to_vsvm_range(base);
	err = vsvm_range_bind(svm, range, write);
	if (err != -EFAULT && err != -EPERM && err != -EOPNOTSUPP)
		return err;

	/* Unmapped in between: the collector's, and other memory may be there. */
	flags.__flags = READ_ONCE(range->pages.flags.__flags);
	if (flags.unmapped)
		return -EAGAIN;

	/* As drm_msvm does: one bad page must not fail its neighbours. */
	reason = vsvm_gpusvm_reason(svm->base.mm, addr, write);
	if (reason)
		return reason;
	size = drm_gpusvm_range_size(base);
	if (size == PAGE_SIZE)
		return err == -EPERM ? -EACCES : err;
	*chunk = size > SZ_64K ? SZ_64K : SZ_4K;
	vsvm_range_remove(svm, range);
	return -EAGAIN;
}

static int vsvm_gpusvm_fault(struct vsvm_engine *engine,
			     struct vsvm_vm *vm, u64 addr,
			     enum drm_msvm_access access)
{
	bool write = access != DRM_MSVM_ACCESS_READ;
	struct vsvm_gpusvm *svm = vm->gpusvm;
	unsigned long chunk = SZ_2M;
	int err, tries = 0;

	addr = ALIGN_DOWN(addr, PAGE_SIZE);
	if (!mmget_not_zero(svm->base.mm))
		return -ESRCH;

	do {
		mutex_lock(&svm->lock);
		if (!tries)
			svm->stats.faults++;
		err = vsvm_gpusvm_try(svm, addr, write, &chunk);
		mutex_unlock(&svm->lock);
		cond_resched();
	} while ((err == -EAGAIN || err == -EBUSY) &&
		 ++tries < VSVM_GPUSVM_TRIES && !READ_ONCE(vm->dying));

	mmput_async(svm->base.mm);
	return err == -EAGAIN ? -EBUSY : err;
}

static int vsvm_gpusvm_init(struct vsvm_vm *vm)
{
	struct vsvm_gpusvm *svm;
	int err;

	/* drm_gpusvm_get_pages() has no form for it. */
	if (vm->gpu->config.dma == VSVM_DMA_NONE)
		return -EOPNOTSUPP;

	svm = kzalloc_obj(*svm);
	if (!svm)
		return -ENOMEM;
	svm->vm = vm;
	mutex_init(&svm->lock);
	spin_lock_init(&svm->gc_lock);
	INIT_LIST_HEAD(&svm->gc);
	INIT_WORK(&svm->gc_work, vsvm_gpusvm_gc_work);

	err = drm_gpusvm_init(&svm->base, "vsvm", vm->mm, 0,
			      vsvm_gpu_va_end(vm->gpu),
			      DRM_MSVM_NOTIFIER_SIZE, &vsvm_gpusvm_kernel_ops,
			      vsvm_chunk_sizes, ARRAY_SIZE(vsvm_chunk_sizes));
	if (err) {
		kfree(svm);
		return err;
	}
	drm_gpusvm_driver_set_lock(&svm->base, &svm->lock);
	vm->gpusvm = svm;
	return 0;
}

static void vsvm_gpusvm_fini(struct vsvm_vm *vm)
{
	struct drm_gpusvm_notifier *notifier, *next;
	struct vsvm_gpusvm *svm = vm->gpusvm;
	struct drm_gpusvm_range *base, *next_range;

	cancel_work_sync(&svm->gc_work);
	mutex_lock(&svm->lock);
	drm_gpusvm_for_each_notifier_safe(notifier, next, &svm->base, 0,
					  LONG_MAX) {
		drm_gpusvm_for_each_range_safe(base, next_range, notifier, 0,
					       LONG_MAX)
			vsvm_range_drop(svm, to_vsvm_range(base));
	}
	drm_gpusvm_fini(&svm->base);
	mutex_unlock(&svm->lock);
	/* An invalidation may have started it until just now. */
	cancel_work_sync(&svm->gc_work);
	mutex_destroy(&svm->lock);
	kfree(svm);
	vm->gpusvm = NULL;
}

/* Live state is counted by looking, so that it can't drift. */
static int vsvm_gpusvm_stats(struct vsvm_vm *vm,
			     struct drm_vsvm_vm_stats *stats)
{
	struct drm_gpusvm_notifier *notifier = NULL;
	struct vsvm_gpusvm *svm = vm->gpusvm;
	struct drm_gpusvm_range *base;

	/* A fault that sleeps (userfaultfd) holds it for as long. */
	if (mutex_lock_interruptible(&svm->lock))
		return -ERESTARTSYS;
	stats->faults = svm->stats.faults;
	stats->walks = svm->stats.walks;
	stats->invalidations = READ_ONCE(svm->stats.invalidations);
	stats->bytes = sizeof(*svm);
	drm_gpusvm_for_each_notifier(notifier, &svm->base, 0, LONG_MAX) {
		stats->notifiers++;
		stats->bytes += sizeof(*notifier);
		base = NULL;
		drm_gpusvm_for_each_range(base, notifier, 0, LONG_MAX) {
			struct vsvm_range *range = to_vsvm_range(base);

			stats->ranges++;
			stats->bytes += sizeof(*range);
			if (range->pages.dma_addr)
				stats->bytes += vsvm_range_npages(range) *
					sizeof(*range->pages.dma_addr);
		}
	}
	mutex_unlock(&svm->lock);

	return 0;
}

const struct vsvm_layout_ops vsvm_gpusvm_ops = {
	.init = vsvm_gpusvm_init,
	.fini = vsvm_gpusvm_fini,
	.fault = vsvm_gpusvm_fault,
	.stats = vsvm_gpusvm_stats,
};
