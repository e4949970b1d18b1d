// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Eviction: takes blocks out of a device's memory, to make room or to empty it.
 *
 * Who goes first: blocks are on a list, the oldest first. A device leaves no trace of
 * what it uses as long as it has it mapped. So when the memory is full the oldest blocks
 * are put on probation: they are taken away from all devices, and stay where they are.
 * One that a device maps again is in use and goes to the end of the list; one that none
 * does is evicted (the clock algorithm, whose hand goes ahead). Eviction works on
 * physical pages and takes neither mmap_lock nor a lock of any address space, so
 * no process waits for another's. Only on the way to another device's memory,
 * which is tried first if the policy said so when the block was made, mmap_lock is
 * needed, and not waited for.
 */
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/* How long a device without members keeps pages: the next process may be near. */
#define MSVM_IDLE_TIME		(HZ / 10)

/* How often to look whether the memory of an evicted block is free, a jiffy each. */
#define MSVM_FREE_TRIES		10

/* So much of the memory is on probation when it is full. */
#define MSVM_PROBATION_SHARE	4

/* Blocks put on probation for one that is made: the time until they are next counts. */
#define MSVM_PROBATION_BATCH	2

/* How many blocks to pass over with interrupts off. */
#define MSVM_CLOCK_BATCH	64

/* Pressure halves in so long: what counts is about the last second. */
#define MSVM_PRESSURE_TIME	(HZ / 2)

/* Let time pass for the pressure on a memory. Lock of the memory held. */
static void msvm_memory_decay(struct msvm_memory *memory)
{
	unsigned long halves = (jiffies - memory->pressure_at) /
			       MSVM_PRESSURE_TIME;

	lockdep_assert_held(&memory->lock);

	memory->pressure >>= min(halves, 63UL);
	memory->pressure_at += halves * MSVM_PRESSURE_TIME;
}

/* Bytes evicted from a memory in about the last second. Any context. */
u64 msvm_memory_pressure(struct msvm_memory *memory)
{
	unsigned long flags;
	u64 pressure;

	/* A hint, so that who has never evicted does not take the lock. */
	if (!READ_ONCE(memory->pressure))
		return 0;
	spin_lock_irqsave(&memory->lock, flags);
	msvm_memory_decay(memory);
	pressure = memory->pressure;
	spin_unlock_irqrestore(&memory->lock, flags);

	return pressure;
}

/* Does somebody use the device of a memory? If not, what is in it is taken out. */
static bool msvm_memory_in_use(struct msvm_memory *memory)
{
	return atomic_read(&memory->dev->members);
}

/* Is there so much room in a memory without evicting anybody? */
static bool msvm_memory_has_room(struct msvm_memory *memory, size_t size)
{
	bool room;

	spin_lock_irq(&memory->lock);
	room = !memory->dead && memory->used + size <= memory->limit;
	spin_unlock_irq(&memory->lock);

	return room;
}

/*
 * Are the pages at the addresses that a block was made for its own, all of them? The
 * process may have moved them elsewhere, or have other memory there by now. Context:
 * mmap_lock held for reading; sleeps.
 */
static bool msvm_block_in_place(struct msvm_block *block)
{
	struct msvm_pagemap *pagemap = to_msvm_pagemap(block->devmem.dpagemap);
	unsigned long pfn = pagemap->first_pfn + PHYS_PFN(block->offset);
	unsigned long npages = block->devmem.size >> PAGE_SHIFT, i;
	/*
	 * Only says which process. To insert it could take mmap_lock for writing, and
	 * an answer that is old when it comes will do.
	 */
	struct mmu_interval_notifier notifier = { .mm = block->mm };
	struct hmm_range hmm = {
		.notifier = &notifier,
		.start = block->start,
		.end = block->start + block->devmem.size,
		.dev_private_owner = msvm_owner(),
	};
	bool same;

	mmap_assert_locked(block->mm);

	hmm.hmm_pfns = msvm_alloc(kvcalloc(npages, sizeof(*hmm.hmm_pfns),
					   GFP_KERNEL));
	same = hmm.hmm_pfns && !hmm_range_fault(&hmm);
	for (i = 0; same && i < npages; i++)
		same = (hmm.hmm_pfns[i] & HMM_PFN_VALID) &&
		       (hmm.hmm_pfns[i] & ~HMM_PFN_FLAGS) == pfn + i;
	kvfree(hmm.hmm_pfns);

	return same;
}

/* Move a block's pages to another device's memory. */
static int msvm_block_move(struct msvm_block *block,
			   struct drm_pagemap *dpagemap)
{
	/* All pages of the interval, or it stays. */
	const struct drm_pagemap_migrate_details details = {};
	size_t size = block->devmem.size;
	struct mm_struct *mm = block->mm;
	struct msvm_block *to;
	int idx, err;

	if (!drm_dev_enter(dpagemap->drm, &idx))
		return -ENODEV;
	to = msvm_block_alloc(dpagemap, mm, block->start, size,
			      MSVM_ROOM_ONLY);
	if (IS_ERR(to)) {
		err = PTR_ERR(to);
		goto out;
	}
	to->to_peer = block->to_peer;
	/* Whoever has it for writing may be waiting for us. */
	if (!mmap_read_trylock(mm)) {
		to->devmem.ops->devmem_release(&to->devmem);
		err = -EBUSY;
		goto out_put;
	}
	if (msvm_block_in_place(block)) {
		err = msvm_block_fill(to, &details);
	} else {
		to->devmem.ops->devmem_release(&to->devmem);
		err = -EBUSY;
	}
	mmap_read_unlock(mm);
	msvm_block_ready(to);
out_put:
	msvm_block_put(to);
out:
	drm_dev_exit(idx);
	return err;
}

/*
 * Evict a block to the first device in reach that has room and is in use, unless its
 * own device's memory is being emptied. Return: whether that worked; the interval may
 * have other pages by now.
 */
static bool msvm_block_evict_to_peer(struct msvm_block *block)
{
	struct msvm_memory *memory = block->memory, *to;
	struct drm_pagemap *dpagemap;
	unsigned long index = 0;
	bool done = false;

	if (!READ_ONCE(block->to_peer) || msvm_memory_emptied(memory) ||
	    !msvm_memory_in_use(memory) || !mmget_not_zero(block->mm))
		return false;
	while (!done && (dpagemap = msvm_device_next_pagemap(&index))) {
		to = to_msvm_pagemap(dpagemap)->memory;
		/* This device copies, so it must reach the other's memory. */
		if (to != memory && msvm_memory_in_use(to) &&
		    msvm_memory_has_room(to, block->devmem.size) &&
		    msvm_memory_reach(to, memory->drm->dev))
			done = !msvm_block_move(block, dpagemap) &&
			       msvm_block_gone(block);
		drm_pagemap_put(dpagemap);
	}
	mmput_async(block->mm);

	return done;
}

/*
 * Does a process that is gone still have its mappings taken down? The kernel (7.3)
 * must not do that with a huge page's while the page is being migrated: it takes the
 * migration entry for the device page's own and drops a reference that is ours. When
 * it is done with all of them it says that there is nothing left for the OOM killer.
 */
static bool msvm_mm_unmapping(struct mm_struct *mm)
{
	return !mm_flags_test(MMF_OOM_SKIP, mm) ||
	       rwsem_is_locked(&mm->mmap_lock);
}

/* Evict one block's pages to system memory. Return: as the kernel's function. */
static int msvm_block_evict_to_ram(struct msvm_block *block)
{
	struct drm_pagemap_devmem *devmem = &block->devmem;
	struct mm_struct *mm = block->mm;
	struct task_struct *init;
	int err;

	err = drm_pagemap_evict_to_ram(devmem);
	if (err != -EFAULT || msvm_block_gone(block))
		return err;

	/*
	 * The process is gone, but one that it forked may have the pages. The
	 * function wants some process that is alive and makes no other use of
	 * it; the first one always is.
	 */
	if (msvm_mm_unmapping(mm))
		return -EBUSY;
	rcu_read_lock();
	init = get_pid_task(find_pid_ns(1, &init_pid_ns), PIDTYPE_PID);
	rcu_read_unlock();
	if (!init)
		return err;
	mm = get_task_mm(init);
	put_task_struct(init);
	if (!mm)
		return err;
	devmem->mm = mm;
	err = drm_pagemap_evict_to_ram(devmem);
	devmem->mm = block->mm;
	mmput(mm);

	return err;
}

/* Evict one block. The caller took it off the list. */
static int msvm_block_evict(struct msvm_block *block)
{
	struct drm_pagemap *dpagemap;
	int err = 0;

	/* Once its last page is gone nothing else keeps the struct pages. */
	dpagemap = msvm_pagemap_get_active(block->memory);
	if (!dpagemap)
		return 0;
	if (!msvm_block_gone(block) && !msvm_block_evict_to_peer(block)) {
		err = msvm_block_evict_to_ram(block);
		/* It may have looked at the pages of one migration only. */
		if (!err && !msvm_block_gone(block))
			err = -EBUSY;
	}
	drm_pagemap_put(dpagemap);

	return err;
}

/* The next block to put on probation, off its list and with a reference; or NULL. */
static struct msvm_block *msvm_probation_next(struct msvm_memory *memory,
					      size_t size)
{
	struct msvm_block *block = NULL;

	spin_lock_irq(&memory->lock);
	/* While there is room for one more nobody is disturbed. */
	if (memory->used + size > memory->limit &&
	    memory->on_probation < memory->limit / MSVM_PROBATION_SHARE)
		block = list_first_entry_or_null(&memory->blocks,
						 struct msvm_block, link);
	if (block) {
		list_del_init(&block->link);
		kref_get(&block->ref);
		WRITE_ONCE(block->referenced, false);
		WRITE_ONCE(block->probation, true);
		memory->on_probation += block->devmem.size;
	}
	spin_unlock_irq(&memory->lock);

	return block;
}

/*
 * There is a new block of this size: if the next one will have no room, find out who
 * could go for it. Context: as msvm_memory_evict_one(), with a reference to the pagemap.
 */
void msvm_memory_probe(struct msvm_memory *memory, size_t size)
{
	struct msvm_block *block;
	bool unmapped;
	int i;

	for (i = 0; i < MSVM_PROBATION_BATCH; i++) {
		block = msvm_probation_next(memory, size);
		if (!block)
			return;
		unmapped = msvm_block_unmap(block);
		spin_lock_irq(&memory->lock);
		if (!msvm_block_gone(block) && !block->freed) {
			/* Nobody can tell: it counts as one that is used. */
			if (!unmapped)
				msvm_block_unlink(block);
			list_add_tail(&block->link, unmapped ?
				      &memory->probation : &memory->blocks);
		}
		spin_unlock_irq(&memory->lock);
		wake_up_all(&memory->wq);
		msvm_block_put(block);
	}
}

/*
 * Go through part of the lists. Return: the block to evict, off its list and with a
 * reference; NULL: there is none; -EAGAIN: none so far.
 */
static struct msvm_block *msvm_clock_scan(struct msvm_memory *memory, u64 *passes)
{
	unsigned int batch = MSVM_CLOCK_BATCH;
	struct msvm_block *block;

	lockdep_assert_held(&memory->lock);

	while (batch--) {
		block = list_first_entry_or_null(&memory->probation,
						 struct msvm_block, link);
		/* All that are known are in use: the oldest one. */
		if (!block)
			block = list_first_entry_or_null(&memory->blocks,
							 struct msvm_block,
							 link);
		if (!block)
			return NULL;
		if (!*passes || !block->probation ||
		    !READ_ONCE(block->referenced) ||
		    msvm_mutated(MSVM_MUTATE_NO_SECOND_CHANCE)) {
			msvm_block_unlink(block);
			kref_get(&block->ref);
			return block;
		}
		--*passes;
		msvm_block_unlink(block);
		list_add_tail(&block->link, &memory->blocks);
		atomic64_inc(&memory->second_chances);
	}
	return ERR_PTR(-EAGAIN);
}

/* Next block to evict, off the list and with a reference; or NULL. */
static struct msvm_block *msvm_clock_next(struct msvm_memory *memory)
{
	/* Each is passed over once, however often it is used meanwhile. */
	u64 passes = READ_ONCE(memory->nr_blocks);
	struct msvm_block *block;

	do {
		spin_lock_irq(&memory->lock);
		block = msvm_clock_scan(memory, &passes);
		spin_unlock_irq(&memory->lock);
	} while (IS_ERR(block));

	return block;
}

/*
 * All pages are gone, but whoever let go of the last one may not be done with it.
 * The caller wants the room, and would evict another block for it.
 */
static void msvm_block_wait_freed(struct msvm_block *block)
{
	struct msvm_memory *memory = block->memory;
	int tries;

	for (tries = 0; tries < MSVM_FREE_TRIES; tries++) {
		msvm_memory_reap(memory);
		if (READ_ONCE(block->freed))
			return;
		wait_event_timeout(memory->wq, READ_ONCE(block->freed) ||
				   !llist_empty(&memory->freed), 1);
	}
}

/*
 * Evict a block. Context: sleeps; takes folio locks and, through notifiers,
 * those of any address space; no lock is held that these come before.
 *
 * Return: 0 and its size; -ENOENT: there is none to evict; -EBUSY, -ENOMEM,
 * -EFAULT: the one tried could not be, and goes to the end of the list.
 */
int msvm_memory_evict_one(struct msvm_memory *memory, size_t *size)
{
	struct msvm_block *block;
	int err;

	msvm_memory_reap(memory);
	block = msvm_clock_next(memory);
	if (!block)
		return -ENOENT;

	*size = block->devmem.size;
	err = msvm_block_evict(block);
	trace_msvm_evict(memory->dev_id, block->offset, block->devmem.size, err);
	if (!err)
		atomic64_inc(&memory->evictions);
	/* Unless its last page is gone, whoever let go of it: it is being freed. */
	spin_lock_irq(&memory->lock);
	if (!err) {
		msvm_memory_decay(memory);
		memory->pressure += block->devmem.size;
	}
	if (!msvm_block_gone(block) && !block->freed &&
	    list_empty(&block->link))
		list_add_tail(&block->link, &memory->blocks);
	spin_unlock_irq(&memory->lock);
	if (err)
		msvm_memory_reap(memory);
	else
		msvm_block_wait_freed(block);
	msvm_block_put(block);

	return err;
}

/*
 * Evict all. The device goes, so this ends only when nothing is left; no block is
 * made any more. What can't be moved is locked by somebody for a moment, or
 * belongs to a process that is just going. Context: sleeps.
 */
void msvm_memory_drain(struct msvm_memory *memory)
{
	unsigned long warn = jiffies + 10 * HZ;
	size_t size;

	for (;;) {
		while (!msvm_memory_evict_one(memory, &size))
			cond_resched();
		msvm_memory_reap(memory);
		if (!READ_ONCE(memory->nr_blocks))
			return;
		wait_event_timeout(memory->wq, !READ_ONCE(memory->nr_blocks) ||
				   !llist_empty(&memory->freed), HZ / 50);
		if (time_after(jiffies, warn)) {
			drm_warn(memory->drm,
				 "msvm: still waiting for %llu blocks of device memory in use\n",
				 READ_ONCE(memory->nr_blocks));
			warn = jiffies + 10 * HZ;
		}
	}
}

/*
 * No member of the device is left: bring back what is still in its memory, so that
 * the device can go to sleep.
 */
void msvm_memory_idle_work(struct work_struct *work)
{
	struct msvm_memory *memory =
		container_of(work, struct msvm_memory, idle_work.work);
	size_t size;

	while (!msvm_memory_in_use(memory) &&
	       !msvm_memory_evict_one(memory, &size))
		cond_resched();
	/* What is busy now is tried again later. */
	if (READ_ONCE(memory->nr_blocks) && !READ_ONCE(memory->dead) &&
	    !msvm_memory_in_use(memory))
		queue_delayed_work(msvm_memory_wq, &memory->idle_work,
				   MSVM_IDLE_TIME);
}

/* A device lost its last member. Context: any that is not atomic. */
void msvm_memory_idle(struct msvm_memory *memory)
{
	queue_delayed_work(msvm_memory_wq, &memory->idle_work, MSVM_IDLE_TIME);
}
