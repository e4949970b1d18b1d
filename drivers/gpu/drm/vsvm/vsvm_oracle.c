// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The oracle: finds a shoot-down that is missing, whoever was to start it. It
 * listens to the same memory operations through an MMU notifier of its own,
 * which the kernel calls after all interval notifiers. What these were to take
 * away must be gone then, from page tables and TLBs.
 *
 * It knows nothing of drm_msvm and drm_gpusvm, so it can't share their errors.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>

#include <drm/drm_print.h>

#include "vsvm_drv.h"

/**
 * struct vsvm_oracle - Who watches one process's memory.
 */
struct vsvm_oracle {
	/** @base: The notifier, counted by the kernel. */
	struct mmu_notifier base;
	/** @lock: Protects @vms; outside of TLB locks. */
	spinlock_t lock;
	/** @vms: VMs of the process, on all GPUs. */
	struct list_head vms;
};

static struct vsvm_oracle *to_vsvm_oracle(struct mmu_notifier *base)
{
	return container_of(base, struct vsvm_oracle, base);
}

/* Say it once a GPU and kind, count it always. */
void vsvm_stale(struct vsvm_gpu *gpu, enum vsvm_stale_kind kind, u64 addr)
{
	static const char * const what[] = {
		[VSVM_STALE_PTE] = "page-table entry left after its shoot-down",
		[VSVM_STALE_TLB] = "TLB entry left after its shoot-down",
		[VSVM_STALE_USE] = "access to memory that was taken away",
		[VSVM_STALE_DMA] = "access to a DMA address that is not mapped so",
		[VSVM_EARLY_UNMAP] = "DMA address unmapped while a TLB has it",
		[VSVM_WRONG_UNMAP] = "DMA address unmapped otherwise than mapped",
		[VSVM_LOST_DMA] = "DMA address never unmapped",
	};

	if (atomic_inc_return(&gpu->stale[kind]) == 1)
		drm_WARN(&gpu->drm, 1, "vsvm: %s (%#llx)\n", what[kind], addr);
}

/*
 * An engine uses a translation, TLB lock held. Memory of a process that is mapped
 * somewhere is not free, so a free page shows a shoot-down that is missing even
 * if nobody was told of the operation.
 */
void vsvm_oracle_use(struct vsvm_vm *vm, u64 addr, bool stale, phys_addr_t phys)
{
	if (!vm->oracle)
		return;
	if (stale || !folio_ref_count(page_folio(pfn_to_page(PHYS_PFN(phys)))))
		vsvm_stale(vm->gpu, VSVM_STALE_USE, addr);
}

/*
 * What is left is marked as well, so that its use is noticed. While the operation
 * goes on nothing can come back: walks of these addresses wait for its end.
 */
static void vsvm_oracle_check(struct vsvm_oracle *oracle, u64 start, u64 end)
{
	struct vsvm_vm *vm;
	u64 addr;

	spin_lock(&oracle->lock);
	list_for_each_entry(vm, &oracle->vms, oracle_link) {
		if (vsvm_pt_mark_stale(vm, start, end, &addr))
			vsvm_stale(vm->gpu, VSVM_STALE_PTE, addr);
		if (vsvm_tlb_mark_stale(vm, start, end, &addr))
			vsvm_stale(vm->gpu, VSVM_STALE_TLB, addr);
	}
	spin_unlock(&oracle->lock);
}

/* The interval notifiers are done with it. */
static int vsvm_oracle_start(struct mmu_notifier *base,
			     const struct mmu_notifier_range *range)
{
	vsvm_oracle_check(to_vsvm_oracle(base), range->start, range->end);
	return 0;
}

/* The process is gone, and with it all that could be mapped. */
static void vsvm_oracle_release(struct mmu_notifier *base, struct mm_struct *mm)
{
	vsvm_oracle_check(to_vsvm_oracle(base), 0, ULONG_MAX);
}

static struct mmu_notifier *vsvm_oracle_alloc(struct mm_struct *mm)
{
	struct vsvm_oracle *oracle = kzalloc_obj(*oracle);

	if (!oracle)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&oracle->lock);
	INIT_LIST_HEAD(&oracle->vms);
	return &oracle->base;
}

static void vsvm_oracle_free(struct mmu_notifier *base)
{
	kfree(to_vsvm_oracle(base));
}

static const struct mmu_notifier_ops vsvm_oracle_ops = {
	.release = vsvm_oracle_release,
	.invalidate_range_start = vsvm_oracle_start,
	.alloc_notifier = vsvm_oracle_alloc,
	.free_notifier = vsvm_oracle_free,
};

/*
 * Watch a VM. Context: the process; sleeps, takes mmap_lock for writing.
 * Return: 0, -ENOMEM or -EINTR.
 */
int vsvm_oracle_join(struct vsvm_vm *vm)
{
	struct mmu_notifier *base = mmu_notifier_get(&vsvm_oracle_ops, vm->mm);
	struct vsvm_oracle *oracle;

	if (IS_ERR(base))
		return PTR_ERR(base);

	oracle = to_vsvm_oracle(base);
	vm->oracle = oracle;
	spin_lock(&oracle->lock);
	list_add_tail(&vm->oracle_link, &oracle->vms);
	spin_unlock(&oracle->lock);
	return 0;
}

/* The VM's mappings are gone, and no engine uses it. Context: sleeps. */
void vsvm_oracle_leave(struct vsvm_vm *vm)
{
	struct vsvm_oracle *oracle = vm->oracle;

	if (!oracle)
		return;
	spin_lock(&oracle->lock);
	list_del(&vm->oracle_link);
	spin_unlock(&oracle->lock);
	vm->oracle = NULL;
	mmu_notifier_put(&oracle->base);
}

/* The module goes: wait for what mmu_notifier_put() left to be done. */
void vsvm_oracle_exit(void)
{
	mmu_notifier_synchronize();
}
