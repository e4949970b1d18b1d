// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Fault queues: what a driver calls from its interrupt handler, and how it learns
 * the result. A device has a fixed number of entries. When they are used up a push
 * is refused, the fault stays in the hardware, and the driver is told when to
 * push it again, so that none is lost.
 */
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include <drm/drm_print.h>

#include "msvm_internal.h"

/**
 * drm_msvm_fault_queue_init() - Make a device's fault queue.
 * @queue: Embedded in the driver's device; contents are overwritten.
 * @dev: The device, registered, without members so far.
 * @depth: Faults that can be on their way at a time, at least 1. One that sleeps
 *	keeps its place, so this should be what the hardware can have pending.
 * @ops: The driver's operations.
 *
 * Context: Sleeps.
 *
 * Return: 0; -EINVAL: no depth, an operation that is required is missing;
 * -EBUSY: the device has a queue or members already; -ENOMEM. The kernel log
 * says why.
 */
int drm_msvm_fault_queue_init(struct drm_msvm_fault_queue *queue,
			      struct drm_msvm_device *dev, unsigned int depth,
			      const struct drm_msvm_fault_queue_ops *ops)
{
	unsigned int i;

	if (!depth || !ops->done || !ops->room) {
		drm_err(dev->drm, "msvm: a fault queue needs a depth, done and room\n");
		return -EINVAL;
	}
	if (dev->queue || atomic_read(&dev->members)) {
		drm_err(dev->drm, "msvm: one fault queue, before the first member joins\n");
		return -EBUSY;
	}

	memset(queue, 0, sizeof(*queue));
	queue->entries = msvm_alloc(kvzalloc_objs(*queue->entries, depth));
	if (!queue->entries)
		return -ENOMEM;
	queue->dev = dev;
	queue->ops = ops;
	queue->depth = depth;
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->free);
	for (i = 0; i < depth; i++) {
		queue->entries[i].queue = queue;
		list_add_tail(&queue->entries[i].fault.link, &queue->free);
	}
	/* Pairs with smp_load_acquire() in msvm_queues_show_one(). */
	smp_store_release(&dev->queue, queue);

	return 0;
}
EXPORT_SYMBOL_GPL(drm_msvm_fault_queue_init);

/**
 * drm_msvm_fault_queue_fini() - Free a device's fault queue.
 * @queue: The queue. Its device is unregistered, so all members have left.
 *
 * Context: Sleeps. Cannot fail.
 */
void drm_msvm_fault_queue_fini(struct drm_msvm_fault_queue *queue)
{
	WARN_ON(queue->fill || queue->dev->drm);
	queue->dev->queue = NULL;
	kvfree(queue->entries);
	queue->entries = NULL;
}
EXPORT_SYMBOL_GPL(drm_msvm_fault_queue_fini);

static struct msvm_fault_entry *
msvm_queue_get(struct drm_msvm_fault_queue *queue)
{
	struct drm_msvm_fault *fault;

	guard(spinlock_irqsave)(&queue->lock);

	fault = list_first_entry_or_null(&queue->free, struct drm_msvm_fault,
					 link);
	if (!fault) {
		queue->refused = true;
		queue->overflows++;
		return NULL;
	}
	list_del(&fault->link);
	queue->fill++;
	queue->highest = max(queue->highest, queue->fill);

	return container_of(fault, struct msvm_fault_entry, fault);
}

/* Give an entry back. Return: a push was refused and is to be made again. */
static bool msvm_queue_put(struct drm_msvm_fault_queue *queue,
			   struct msvm_fault_entry *entry)
{
	bool refused;

	guard(spinlock_irqsave)(&queue->lock);

	list_add(&entry->fault.link, &queue->free);
	queue->fill--;
	refused = queue->refused;
	queue->refused = false;

	return refused;
}

/* One fault less that the member's leave must wait for; it may be gone then. */
static void msvm_member_put_queued(struct drm_msvm_member *member)
{
	if (atomic_dec_and_test(&member->queued))
		wake_up_var(&member->queued);
}

/**
 * drm_msvm_fault_push() - Hand a fault over, to be served by a worker.
 * @queue: The queue of the device of @fault's member.
 * @fault: The fault; copied.
 *
 * Faults of all devices in one range are served together, those in different
 * ranges at the same time, as far as there are workers. The result comes through
 * &drm_msvm_fault_queue_ops.done, perhaps before this returned.
 *
 * Context: Any but NMI, a hard interrupt included. Does not allocate. None may
 * be under way or start once drm_msvm_leave() of the member was called.
 *
 * Return: 0, or -ENOSPC: the queue is full; the driver leaves the fault pending
 * and pushes again when &drm_msvm_fault_queue_ops.room says so.
 */
int drm_msvm_fault_push(struct drm_msvm_fault_queue *queue,
			const struct drm_msvm_fault *fault)
{
	struct drm_msvm_member *member = fault->member;
	struct msvm_fault_pool *pool = member->msvm->pool;
	struct msvm_fault_entry *entry;

	entry = msvm_queue_get(queue);
	if (!entry) {
		msvm_stat_inc(member->msvm, MSVM_STAT_QUEUE_OVERFLOWS);
		return -ENOSPC;
	}

	entry->fault = *fault;
	entry->cancelled = false;
	/* One for us: it may be served, and the member leave, at any time. */
	atomic_add(2, &member->queued);
	msvm_fault_count(member);
	msvm_stat_inc(member->msvm, MSVM_STAT_QUEUE_FAULTS);
	/* If it was not empty, somebody was told who did not look yet. */
	if (llist_add(&entry->inbox, &pool->inbox))
		msvm_pool_kick(pool);
	msvm_member_put_queued(member);

	return 0;
}
EXPORT_SYMBOL_GPL(drm_msvm_fault_push);

/* A fault is over. Context: sleeps, no lock of ours held. */
void msvm_entry_end(struct msvm_fault_entry *entry, int err)
{
	struct drm_msvm_fault_queue *queue = entry->queue;
	struct drm_msvm_fault fault = entry->fault;
	bool refused;

	fault.err = err;
	if (err == -ECANCELED)
		msvm_stat_inc(fault.member->msvm, MSVM_STAT_QUEUE_CANCELLED);
	else if (err)
		msvm_stat_error(fault.member->msvm, err);
	/* Before the driver is told, which may push again at once. */
	refused = msvm_queue_put(queue, entry);
	queue->ops->done(queue, &fault);
	if (refused && !msvm_mutated(MSVM_MUTATE_FORGET_REFUSED))
		queue->ops->room(queue);
	msvm_member_put_queued(fault.member);
}

/**
 * drm_msvm_fault_cancel() - Get rid of faults that are on their way.
 * @member: Faults of this member ...
 * @data: ... with this &drm_msvm_fault.data, or all if it is NULL.
 *
 * They end with -ECANCELED, unless they end with another result just now. So does
 * one that sleeps because the process does not serve its memory. It is for jobs
 * that end; drm_msvm_leave() cancels by itself.
 *
 * Context: Sleeps, not for long. Does not wait: &drm_msvm_fault_queue_ops.done
 * is called for each, before this returns or later.
 */
void drm_msvm_fault_cancel(struct drm_msvm_member *member, void *data)
{
	if (member->msvm->pool)
		msvm_pool_cancel(member->msvm->pool, member, data);
}
EXPORT_SYMBOL_GPL(drm_msvm_fault_cancel);
