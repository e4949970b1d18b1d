// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The GPU's MMU: a page table for each VM, a TLB in each engine, and the
 * shoot-down. An engine reaches memory through these and a DMA address only; it
 * holds no reference to a page, so that a shoot-down that is missing shows.
 *
 * Tables are added, never taken out, until the VM goes: mapping needs no
 * allocation then, and engines can walk without a lock.
 */
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_pagemap.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"
#include "vsvm_edu.h"

#define VSVM_PT_LEVELS	4
#define VSVM_PT_BITS	9
#define VSVM_PT_ENTRIES	BIT(VSVM_PT_BITS)

#define VSVM_PTE_VALID	BIT_ULL(0)
#define VSVM_PTE_WRITE	BIT_ULL(1)
/* Should not be there any more, says the oracle. */
#define VSVM_PTE_STALE	BIT_ULL(2)
/* The address is one in the GPU's own memory, or in another GPU's. */
#define VSVM_PTE_VRAM	BIT_ULL(3)
#define VSVM_PTE_PEER	BIT_ULL(4)
/* Atomic operations fault. */
#define VSVM_PTE_NO_ATOMICS	BIT_ULL(5)

/* Of shoot-downs that a test holds. */
#define VSVM_HOLD_TIMEOUT	(20 * HZ)

/**
 * struct vsvm_table - One table of any level.
 * @link: Entry in &vsvm_vm.tables.
 * @slots: In the lowest level.
 * @slots.pte: Page-table entries.
 * @slots.next: In the others: tables of the level below, or NULL.
 */
struct vsvm_table {
	struct list_head link;
	union {
		u64 pte[VSVM_PT_ENTRIES];
		struct vsvm_table *next[VSVM_PT_ENTRIES];
	} slots;
};

static unsigned int vsvm_pt_index(u64 addr, unsigned int level)
{
	return (addr >> (PAGE_SHIFT + level * VSVM_PT_BITS)) &
	       (VSVM_PT_ENTRIES - 1);
}

static struct vsvm_table *vsvm_table_alloc(void)
{
	return kvzalloc_obj(struct vsvm_table);
}

static void vsvm_table_add(struct vsvm_vm *vm, struct vsvm_table *table)
{
	spin_lock(&vm->tables_lock);
	list_add(&table->link, &vm->tables);
	spin_unlock(&vm->tables_lock);
}

int vsvm_pt_init(struct vsvm_vm *vm)
{
	INIT_LIST_HEAD(&vm->tables);
	spin_lock_init(&vm->tables_lock);
	spin_lock_init(&vm->flush_lock);
	vm->root = vsvm_table_alloc();
	if (!vm->root)
		return -ENOMEM;
	vsvm_table_add(vm, vm->root);
	return 0;
}

void vsvm_pt_fini(struct vsvm_vm *vm)
{
	struct vsvm_table *table, *next;

	list_for_each_entry_safe(table, next, &vm->tables, link)
		kvfree(table);
}

/* Table of the lowest level for @addr, or NULL. Any context. */
static struct vsvm_table *vsvm_pt_leaf(struct vsvm_vm *vm, u64 addr)
{
	/* Pairs with WRITE_ONCE() when the GPU is cut off. */
	struct vsvm_table *table = READ_ONCE(vm->root);
	unsigned int level;

	for (level = VSVM_PT_LEVELS - 1; table && level; level--) {
		/* Pairs with cmpxchg() in vsvm_pt_prepare(). */
		table = READ_ONCE(table->slots.next[vsvm_pt_index(addr, level)]);
	}
	return table;
}

/*
 * Have all tables for an interval. Context: sleeps. Return: 0; -EIO: the GPU
 * was cut off; -ENOMEM.
 */
int vsvm_pt_prepare(struct vsvm_vm *vm, u64 start, u64 end)
{
	u64 step = PAGE_SIZE << VSVM_PT_BITS;
	struct vsvm_table *table, *new;
	unsigned int level, index;
	u64 addr;

	for (addr = ALIGN_DOWN(start, step); addr < end; addr += step) {
		table = READ_ONCE(vm->root);
		if (!table)
			return -EIO;
		for (level = VSVM_PT_LEVELS - 1; level; level--) {
			struct vsvm_table **slot;

			index = vsvm_pt_index(addr, level);
			slot = &table->slots.next[index];
			if (!READ_ONCE(*slot)) {
				new = vsvm_table_alloc();
				if (!new)
					return -ENOMEM;
				/* Another range's fault may be faster. */
				if (cmpxchg(slot, NULL, new))
					kvfree(new);
				else
					vsvm_table_add(vm, new);
			}
			table = READ_ONCE(*slot);
		}
	}
	return 0;
}

static u64 vsvm_pte_kind(const struct drm_pagemap_addr *addr)
{
	switch (addr->proto) {
	case DRM_MSVM_PROTO_VRAM:
		return VSVM_PTE_VRAM;
	case DRM_MSVM_PROTO_PEER:
		return VSVM_PTE_PEER;
	default:
		return 0;
	}
}

/*
 * Write page-table entries. Context: notifier lock held, so that no
 * invalidation of these pages runs; tables prepared.
 */
void vsvm_pt_map(struct vsvm_vm *vm, u64 start,
		 const struct drm_pagemap_addr *addrs, u64 end, bool writable,
		 bool atomics)
{
	u64 rights = VSVM_PTE_VALID | (writable ? VSVM_PTE_WRITE : 0) |
		     (atomics ? 0 : VSVM_PTE_NO_ATOMICS);
	struct vsvm_table *table = NULL;
	u64 addr = start, page, n, flags;

	while (addr < end) {
		n = 1ULL << addrs->order;
		flags = rights | vsvm_pte_kind(addrs);
		for (page = 0; page < n; page++, addr += PAGE_SIZE) {
			unsigned int index = vsvm_pt_index(addr, 0);

			if (!table || !index)
				table = vsvm_pt_leaf(vm, addr);
			if (!table)
				return;
			WRITE_ONCE(table->slots.pte[index],
				   (addrs->addr + page * PAGE_SIZE) | flags);
		}
		addrs++;
	}
}

/*
 * Clear page-table entries and start a shoot-down. Context: notifier lock held
 * for writing. Return: the ticket to wait for.
 */
u64 vsvm_pt_zap(struct vsvm_vm *vm, u64 start, u64 end)
{
	ktime_t done = ktime_add_us(ktime_get(), vm->gpu->config.tlb_flush_us);
	u64 span = PAGE_SIZE << VSVM_PT_BITS;
	struct vsvm_table *table;
	u64 addr, stop, ticket;

	for (addr = start; addr < end; addr = stop) {
		stop = min(ALIGN_DOWN(addr, span) + span, end);
		table = vsvm_pt_leaf(vm, addr);
		if (!table)
			continue;
		for (; addr < stop; addr += PAGE_SIZE)
			WRITE_ONCE(table->slots.pte[vsvm_pt_index(addr, 0)], 0);
	}

	atomic64_inc(&vm->gpu->zaps);
	spin_lock(&vm->flush_lock);
	ticket = atomic64_inc_return(&vm->ticket);
	/* Another shard's may have started later and been quicker to get here. */
	if (ktime_after(done, vm->flush_end))
		vm->flush_end = done;
	spin_unlock(&vm->flush_lock);

	return ticket;
}

/* Mark those in one half of the page table. */
static bool vsvm_pt_mark_half(struct vsvm_vm *vm, u64 start, u64 end, u64 *addr)
{
	u64 a = ALIGN_DOWN(start, PAGE_SIZE), span;
	struct vsvm_table *table;
	unsigned int level;
	bool found = false;
	u64 *pte, old;

	while (a < end) {
		table = READ_ONCE(vm->root);
		for (level = VSVM_PT_LEVELS - 1; table && level; level--)
			table = READ_ONCE(table->slots.next[vsvm_pt_index(a, level)]);
		if (!table) {
			/* @level is that of the table which is missing. */
			span = PAGE_SIZE << ((level + 1) * VSVM_PT_BITS);
			a = ALIGN_DOWN(a, span) + span;
			continue;
		}
		do {
			pte = &table->slots.pte[vsvm_pt_index(a, 0)];
			old = READ_ONCE(*pte);
			if (old) {
				/* It may be on its way out after all. */
				cmpxchg64(pte, old, old | VSVM_PTE_STALE);
				*addr = a;
				found = true;
			}
			a += PAGE_SIZE;
		} while (a < end && vsvm_pt_index(a, 0));
	}
	return found;
}

/*
 * Mark all page-table entries in an interval, however large: tables that do not
 * exist are passed over as a whole. Any context. Return: there were some, one of
 * them at @addr.
 */
bool vsvm_pt_mark_stale(struct vsvm_vm *vm, u64 start, u64 end, u64 *addr)
{
	bool found;

	if (start >= VSVM_BIND_BASE)
		return false;
	end = min(end, VSVM_BIND_BASE);
	found = vsvm_pt_mark_half(vm, start, end, addr);
	return vsvm_pt_mark_half(vm, start + VSVM_BIND_BASE,
				 end + VSVM_BIND_BASE, addr) || found;
}

/* Mark all cached translations of an interval, likewise. Any context. */
bool vsvm_tlb_mark_stale(struct vsvm_vm *vm, u64 start, u64 end, u64 *addr)
{
	struct vsvm_gpu *gpu = vm->gpu;
	bool found = false;
	unsigned int i, k;

	for (i = 0; i < gpu->config.engines; i++) {
		struct vsvm_engine *engine = &gpu->engines[i];

		spin_lock(&engine->tlb_lock);
		for (k = 0; k < VSVM_TLB_ENTRIES; k++) {
			struct vsvm_tlb_entry *entry = &engine->tlb[k];
			u64 a = entry->vpn << PAGE_SHIFT;

			if (entry->vm != vm || a >= end ||
			    a + PAGE_SIZE <= start)
				continue;
			entry->pte |= VSVM_PTE_STALE;
			*addr = a;
			found = true;
		}
		spin_unlock(&engine->tlb_lock);
	}
	return found;
}

/* Find a cached translation to a device address. Any context. */
bool vsvm_tlb_find_dma(struct vsvm_gpu *gpu, u64 start, u64 end)
{
	bool found = false;
	unsigned int i, k;

	for (i = 0; i < gpu->config.engines && !found; i++) {
		struct vsvm_engine *engine = &gpu->engines[i];

		spin_lock(&engine->tlb_lock);
		for (k = 0; k < VSVM_TLB_ENTRIES && !found; k++) {
			u64 pte = engine->tlb[k].pte, to = pte & PAGE_MASK;

			found = engine->tlb[k].vm && to >= start && to < end &&
				!(pte & (VSVM_PTE_VRAM | VSVM_PTE_PEER));
		}
		spin_unlock(&engine->tlb_lock);
	}
	return found;
}

/*
 * Drop all cached translations of a VM. When it returns, no access made with an
 * older one is under way: translation and access are one critical section.
 */
void vsvm_tlb_flush(struct vsvm_vm *vm)
{
	struct vsvm_gpu *gpu = vm->gpu;
	unsigned int i, k;

	atomic64_inc(&gpu->flushes);
	for (i = 0; i < gpu->config.engines; i++) {
		struct vsvm_engine *engine = &gpu->engines[i];

		spin_lock(&engine->tlb_lock);
		for (k = 0; k < VSVM_TLB_ENTRIES; k++) {
			if (engine->tlb[k].vm == vm)
				engine->tlb[k].vm = NULL;
		}
		spin_unlock(&engine->tlb_lock);
	}
	/* What it started with the lock held goes on without it. */
	if (gpu->config.edu)
		vsvm_edu_drain(gpu->config.edu);
}

/* Should this shoot-down go unanswered, for a test? */
static bool vsvm_tlb_fails(struct vsvm_gpu *gpu)
{
	return atomic_add_unless(&gpu->fail_zap_wait, -1, 0);
}

/*
 * Be as slow as a test asked for, but not for ever: hardware that does not
 * answer must be found out. Return: false if it was too long.
 */
static bool vsvm_tlb_held(struct vsvm_vm *vm)
{
	struct vsvm_gpu *gpu = vm->gpu;
	long left;

	if (!READ_ONCE(gpu->hold_flush))
		return true;
	atomic_inc(&gpu->held);
	/* Pairs with WRITE_ONCE() when it is cut off because of another one. */
	left = wait_event_timeout(gpu->hold_wq, !READ_ONCE(gpu->hold_flush) ||
				  READ_ONCE(vm->flushed) == U64_MAX,
				  VSVM_HOLD_TIMEOUT);
	atomic_dec(&gpu->held);
	return left;
}

/*
 * Wait for a shoot-down: as long as the modelled hardware takes, however many
 * wait. Context: sleeps; notifier lock held for writing.
 *
 * Return: 0, or -ETIMEDOUT if a test asked for it or held it for too long.
 */
int vsvm_tlb_wait(struct vsvm_vm *vm, u64 ticket)
{
	ktime_t end;
	bool done;

	if (vsvm_tlb_fails(vm->gpu))
		return -ETIMEDOUT;

	spin_lock(&vm->flush_lock);
	done = vm->flushed >= ticket;
	end = vm->flush_end;
	spin_unlock(&vm->flush_lock);
	if (done)
		return 0;
	if (!vsvm_tlb_held(vm))
		return -ETIMEDOUT;

	while (ktime_before(ktime_get(), end)) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_hrtimeout(&end, HRTIMER_MODE_ABS);
	}
	vsvm_tlb_flush(vm);

	spin_lock(&vm->flush_lock);
	WRITE_ONCE(vm->flushed, max(vm->flushed, ticket));
	spin_unlock(&vm->flush_lock);

	return 0;
}

static void vsvm_table_forget(struct vsvm_table *table, unsigned int level)
{
	struct vsvm_table *next;
	unsigned int i;

	for (i = 0; i < VSVM_PT_ENTRIES; i++) {
		if (!level) {
			WRITE_ONCE(table->slots.pte[i], 0);
			continue;
		}
		/* Pairs with cmpxchg() in vsvm_pt_prepare(). */
		next = READ_ONCE(table->slots.next[i]);
		if (next)
			vsvm_table_forget(next, level - 1);
	}
}

/*
 * The GPU loses a VM's page table and TLB entries behind the back of those who wrote
 * them: they are told by drm_msvm_reset(), afterwards. Context: sleeps.
 */
void vsvm_pt_forget(struct vsvm_vm *vm)
{
	/* Pairs with WRITE_ONCE() when the GPU is cut off. */
	struct vsvm_table *root = READ_ONCE(vm->root);

	if (root)
		vsvm_table_forget(root, VSVM_PT_LEVELS - 1);
	vsvm_tlb_flush(vm);
}

/* When it returns no access is under way that started before. Sleeps. */
void vsvm_mmu_drain(struct vsvm_gpu *gpu)
{
	unsigned int i;

	/* Each looks whether it may under this lock, which it keeps meanwhile. */
	for (i = 0; i < gpu->config.engines; i++) {
		spin_lock(&gpu->engines[i].tlb_lock);
		spin_unlock(&gpu->engines[i].tlb_lock);
	}
	if (gpu->config.edu)
		vsvm_edu_drain(gpu->config.edu);
}

/*
 * Preempt a VM's jobs: when it returns none accesses memory, and none will before
 * they are resumed. Context: notifier lock held.
 */
void vsvm_mmu_quiesce(struct vsvm_vm *vm)
{
	/* Pairs with READ_ONCE() under tlb_lock. */
	WRITE_ONCE(vm->quiesced, true);
	vsvm_mmu_drain(vm->gpu);
}

/* Let them go on. Any context that is not atomic. */
void vsvm_mmu_resume(struct vsvm_vm *vm)
{
	/* Pairs with READ_ONCE() of who waits. */
	WRITE_ONCE(vm->quiesced, false);
	wake_up_all(&vm->jobs_wq);
}

/* Take the GPU off a VM's memory for good. Context: notifier lock held. */
void vsvm_mmu_cut_off(struct vsvm_vm *vm)
{
	/* Pairs with READ_ONCE() in the engines' checks. */
	WRITE_ONCE(vm->cut_off, true);
	WRITE_ONCE(vm->root, NULL);
	vsvm_tlb_flush(vm);
	/* Nothing is left to shoot down: pairs with READ_ONCE() of who waits. */
	spin_lock(&vm->flush_lock);
	WRITE_ONCE(vm->flushed, U64_MAX);
	spin_unlock(&vm->flush_lock);
	wake_up_all(&vm->gpu->hold_wq);
	wake_up_all(&vm->jobs_wq);
	/* An event needs memory, and we may be called to free some. */
	queue_work(system_dfl_wq, &vm->gpu->wedged_work);
}

/* Memory of a GPU: this one's, or another's on the same bus. */
static void *vsvm_translate_vram(struct vsvm_vm *vm, u64 addr, u64 pte)
{
	u64 to = pte & PAGE_MASK;
	void *mem;

	rcu_read_lock();
	mem = pte & VSVM_PTE_VRAM ? vsvm_vram_to_virt(vm->gpu, to) :
				    vsvm_bus_to_virt(vm->gpu, to);
	rcu_read_unlock();
	/* Nobody's page, or one that the oracle saw taken away. */
	if (!mem || pte & VSVM_PTE_STALE)
		vsvm_stale(vm->gpu, VSVM_STALE_USE, addr);
	return mem ? mem + offset_in_page(addr) : NULL;
}

/*
 * Translate an address for one access of at most the rest of its page. Context:
 * TLB lock of the engine held until the access is over.
 *
 * Return: where the memory is, or NULL for a page fault.
 */
void *vsvm_translate(struct vsvm_engine *engine, struct vsvm_vm *vm, u64 addr,
		     enum drm_msvm_access access)
{
	bool write = access != DRM_MSVM_ACCESS_READ;
	u64 vpn = addr >> PAGE_SHIFT, pte;
	struct vsvm_tlb_entry *entry =
		&engine->tlb[hash_64(vpn, ilog2(VSVM_TLB_ENTRIES))];
	struct vsvm_table *table;
	phys_addr_t phys;

	lockdep_assert_held(&engine->tlb_lock);

	if (entry->vm == vm && entry->vpn == vpn) {
		pte = entry->pte;
	} else {
		table = vsvm_pt_leaf(vm, vsvm_bind_lookup(vm, addr));
		pte = table ? READ_ONCE(table->slots.pte[vsvm_pt_index(addr, 0)])
			    : 0;
		if (!(pte & VSVM_PTE_VALID))
			return NULL;
		*entry = (struct vsvm_tlb_entry) { vm, vpn, pte };
	}
	if (write && !(pte & VSVM_PTE_WRITE)) {
		/* The entry may become writable without a shoot-down. */
		entry->vm = NULL;
		return NULL;
	}
	if (access == DRM_MSVM_ACCESS_ATOMIC && pte & VSVM_PTE_NO_ATOMICS)
		return NULL;

	if (pte & (VSVM_PTE_VRAM | VSVM_PTE_PEER))
		return vsvm_translate_vram(vm, addr, pte);
	if (!vsvm_dma_to_phys(vm->gpu, pte & PAGE_MASK, write, &phys)) {
		/* As hardware behind an IOMMU: it is not let through. */
		vsvm_stale(vm->gpu, VSVM_STALE_DMA, pte & PAGE_MASK);
		return NULL;
	}
	vsvm_oracle_use(vm, addr, pte & VSVM_PTE_STALE, phys);
	engine->dma_addr = (pte & PAGE_MASK) + offset_in_page(addr);
	return page_address(pfn_to_page(PHYS_PFN(phys))) + offset_in_page(addr);
}
