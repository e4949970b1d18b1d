// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Fault workers: those of an address space share the faults that its devices
 * pushed. A worker that has found the range of a fault claims it, takes all faults
 * in that range, of all devices, and gets those that come while it serves them.
 * So a range that is stuck (userfaultfd) costs one worker, however many fault
 * in it, and one walk serves them all.
 *
 * Workers are work items of a workqueue, which is the address space's own: the limit
 * of a workqueue would be one for all processes together. A fault may sleep for as
 * long as the process wants, and the process may wait for us to give up: therefore a
 * worker can be interrupted, as a thread of a driver's own would be, by SIGKILL, which
 * it takes from the kernel only and only while it serves faults.
 *
 * A claim only avoids waiting; what makes it correct is the range mutex.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "msvm_batch.h"
#include "msvm_internal.h"
#include "msvm_trace.h"

static struct msvm_fault_entry *to_entry(struct drm_msvm_fault *fault)
{
	return container_of(fault, struct msvm_fault_entry, fault);
}

/* Which worker has claimed the range at @addr? Pool lock held. */
static struct msvm_fault_worker *msvm_pool_owner(struct msvm_fault_pool *pool,
						 u64 addr)
{
	int i;

	lockdep_assert_held(&pool->lock);

	for (i = 0; i < MSVM_FAULT_WORKERS; i++) {
		struct msvm_fault_worker *worker = &pool->workers[i];

		if (addr >= worker->start && addr < worker->end)
			return worker;
	}
	return NULL;
}

static bool msvm_entry_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct msvm_fault_entry, node)->fault.addr <
	       rb_entry(b, struct msvm_fault_entry, node)->fault.addr;
}

/* Give a fault to the worker that serves its range, or let it wait for one. */
static void msvm_pool_add(struct msvm_fault_pool *pool,
			  struct msvm_fault_entry *entry)
{
	struct msvm_fault_worker *owner;

	lockdep_assert_held(&pool->lock);

	owner = msvm_pool_owner(pool, entry->fault.addr);
	if (owner) {
		list_add_tail(&entry->fault.link, &owner->batch);
		owner->sorted = false;
		return;
	}
	rb_add(&entry->node, &pool->waiting, msvm_entry_less);
	list_add_tail(&entry->fifo, &pool->fifo);
}

static void msvm_pool_del(struct msvm_fault_pool *pool,
			  struct msvm_fault_entry *entry)
{
	lockdep_assert_held(&pool->lock);

	rb_erase(&entry->node, &pool->waiting);
	list_del(&entry->fifo);
}

/* Look at what was pushed. Pool lock held. */
static void msvm_pool_drain(struct msvm_fault_pool *pool)
{
	struct msvm_fault_entry *entry, *next;
	struct llist_node *inbox;

	lockdep_assert_held(&pool->lock);

	inbox = llist_reverse_order(llist_del_all(&pool->inbox));
	llist_for_each_entry_safe(entry, next, inbox, inbox)
		msvm_pool_add(pool, entry);
}

/* The first waiting fault at or after @addr. Pool lock held. */
static struct msvm_fault_entry *msvm_pool_first(struct msvm_fault_pool *pool,
						u64 addr)
{
	struct msvm_fault_entry *found = NULL, *entry;
	struct rb_node *node = pool->waiting.rb_node;

	lockdep_assert_held(&pool->lock);

	while (node) {
		entry = rb_entry(node, struct msvm_fault_entry, node);
		if (entry->fault.addr >= addr) {
			found = entry;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/* Let one more worker look for faults, if there is one. Any context. */
void msvm_pool_kick(struct msvm_fault_pool *pool)
{
	int i;

	for (i = 0; i < MSVM_FAULT_WORKERS; i++) {
		if (test_and_set_bit(i, pool->active))
			continue;
		queue_work(pool->wq, &pool->workers[i].work);
		return;
	}
}

/*
 * Choose what to serve next: the batch's next fault and those that are the same,
 * or the oldest that waits. Return: false if there is none.
 */
static bool msvm_worker_next(struct msvm_fault_worker *worker)
{
	struct msvm_fault_pool *pool = worker->pool;
	struct msvm_fault_entry *entry;
	unsigned int n;
	bool more;

	spin_lock(&pool->lock);
	msvm_pool_drain(pool);
	if (list_empty(&worker->batch)) {
		worker->start = 0;
		worker->end = 0;
		entry = list_first_entry_or_null(&pool->fifo,
						 struct msvm_fault_entry, fifo);
		if (!entry) {
			spin_unlock(&pool->lock);
			return false;
		}
		msvm_pool_del(pool, entry);
		list_add(&entry->fault.link, &worker->batch);
	}
	if (!worker->sorted) {
		msvm_batch_sort(&worker->batch);
		worker->sorted = true;
	}
	n = msvm_batch_take(&worker->batch, &worker->current_faults);
	worker->task = current;
	more = !list_empty(&pool->fifo);
	spin_unlock(&pool->lock);

	/* Each that finds work lets the next one look: many start fast enough. */
	if (more)
		msvm_pool_kick(pool);
	if (n > 1)
		msvm_stat_add(pool->msvm, MSVM_STAT_QUEUE_MERGED, n - 1);
	return true;
}

/* Give all faults of a worker to whom they belong now. Pool lock held. */
static void msvm_worker_give_back(struct msvm_fault_worker *worker)
{
	struct drm_msvm_fault *fault, *next;
	LIST_HEAD(faults);

	list_splice_init(&worker->batch, &faults);
	list_for_each_entry_safe(fault, next, &faults, link) {
		list_del(&fault->link);
		msvm_pool_add(worker->pool, to_entry(fault));
	}
}

/* Take the faults that wait in the worker's range. Pool lock held. */
static void msvm_worker_absorb(struct msvm_fault_worker *worker)
{
	struct msvm_fault_pool *pool = worker->pool;
	struct msvm_fault_entry *entry;

	while ((entry = msvm_pool_first(pool, worker->start)) &&
	       entry->fault.addr < worker->end) {
		msvm_pool_del(pool, entry);
		list_add_tail(&entry->fault.link, &worker->batch);
		worker->sorted = false;
	}
}

/* Does a fault of the batch write, while the one being served does not? */
static bool msvm_worker_stronger(struct msvm_fault_worker *worker)
{
	struct drm_msvm_fault *fault =
		list_first_entry(&worker->current_faults, struct drm_msvm_fault,
				 link);

	if (fault->access != DRM_MSVM_ACCESS_READ)
		return false;
	list_for_each_entry(fault, &worker->batch, link)
		if (fault->access != DRM_MSVM_ACCESS_READ)
			return true;
	return false;
}

static void msvm_worker_trace(struct msvm_fault_worker *worker)
{
	struct drm_msvm_fault *fault;
	unsigned int faults = 0;
	u64 slots = 0;

	msvm_stat_inc(worker->pool->msvm, MSVM_STAT_QUEUE_BATCHES);
	if (!trace_msvm_fault_batch_enabled())
		return;

	list_for_each_entry(fault, &worker->current_faults, link) {
		slots |= BIT_ULL(fault->member->slot);
		faults++;
	}
	list_for_each_entry(fault, &worker->batch, link) {
		slots |= BIT_ULL(fault->member->slot);
		faults++;
	}
	trace_msvm_fault_batch(worker->pool->msvm->id, worker->start,
			       worker->end, faults, slots);
}

/*
 * The range of the fault being served is known: take all that is to be done in it.
 *
 * Context: in the service of a fault, no lock of the library held.
 *
 * Return: false if the fault is not to be served now: it is another worker's, or
 * it comes after one that writes.
 */
bool msvm_worker_claim(struct msvm_fault_worker *worker, u64 start, u64 end)
{
	struct msvm_fault_pool *pool = worker->pool;
	struct msvm_fault_worker *owner;
	struct drm_msvm_fault *fault;

	guard(spinlock)(&pool->lock);

	if (worker->start == start && worker->end == end)
		return true;
	/* It is to end, and who interrupts looks for it here. */
	if (worker->interrupted || msvm_mutated(MSVM_MUTATE_SKIP_CLAIM))
		return true;

	/* No other claim may have what is ours until we say so. */
	worker->start = 0;
	worker->end = 0;
	fault = list_first_entry(&worker->current_faults, struct drm_msvm_fault,
				 link);
	owner = msvm_pool_owner(pool, fault->addr);
	if (owner) {
		list_splice_init(&worker->current_faults, &worker->batch);
		msvm_worker_give_back(worker);
		return false;
	}

	worker->start = start;
	worker->end = end;
	/* What was taken for a larger range, if this one is what is left of it. */
	msvm_worker_give_back(worker);
	msvm_worker_absorb(worker);
	msvm_worker_trace(worker);
	/* Given back, and we may be held up. */
	if (!list_empty(&pool->fifo))
		msvm_pool_kick(pool);

	return !msvm_worker_stronger(worker);
}

/*
 * The fault being served is to wait a little, and with it those of the same member:
 * faults of others in its range may not have to. Context: in the service of a fault, no
 * lock of the library held.
 */
void msvm_worker_yield(struct msvm_fault_worker *worker)
{
	struct msvm_fault_pool *pool = worker->pool;
	struct drm_msvm_fault *fault, *next;
	struct drm_msvm_member *member;

	guard(spinlock)(&pool->lock);

	member = list_first_entry(&worker->current_faults, struct drm_msvm_fault,
				  link)->member;
	worker->start = 0;
	worker->end = 0;
	list_for_each_entry_safe(fault, next, &worker->batch, link) {
		if (fault->member == member)
			continue;
		list_del(&fault->link);
		msvm_pool_add(pool, to_entry(fault));
	}
	if (!list_empty(&pool->fifo))
		msvm_pool_kick(pool);
}

/* What was served is over, or must be served again. */
static void msvm_worker_finish(struct msvm_fault_worker *worker, int err)
{
	struct msvm_fault_pool *pool = worker->pool;
	struct drm_msvm_fault *fault, *next;
	bool again = err == -ERESTART || err == -EINTR;
	LIST_HEAD(ended);

	spin_lock(&pool->lock);
	worker->task = NULL;
	if (worker->interrupted) {
		worker->interrupted = false;
		flush_signals(current);
	}
	list_for_each_entry_safe(fault, next, &worker->current_faults, link) {
		if (again && !to_entry(fault)->cancelled) {
			/* Interrupted for another that it was merged with. */
			list_move_tail(&fault->link, &worker->batch);
			worker->sorted = false;
			continue;
		}
		fault->err = again ? -ECANCELED : err;
		list_move_tail(&fault->link, &ended);
	}
	spin_unlock(&pool->lock);

	list_for_each_entry_safe(fault, next, &ended, link) {
		list_del(&fault->link);
		msvm_entry_end(to_entry(fault), fault->err);
	}
}

static void msvm_worker_run(struct work_struct *work)
{
	struct msvm_fault_worker *worker =
		container_of(work, struct msvm_fault_worker, work);
	struct msvm_fault_pool *pool = worker->pool;
	struct drm_msvm_fault *fault;
	int err;

	allow_kernel_signal(SIGKILL);
	while (msvm_worker_next(worker)) {
		/* Only we, and who serves for us, take it off this list. */
		fault = list_first_entry(&worker->current_faults,
					 struct drm_msvm_fault, link);
		err = msvm_fault_serve_for(worker, fault->member, fault->addr,
					   fault->access);
		msvm_worker_finish(worker, err);
		cond_resched();
	}
	disallow_signal(SIGKILL);

	clear_bit(worker - pool->workers, pool->active);
	/*
	 * Pairs with whoever adds a fault, pushed or given back, and then looks for
	 * a worker that is not active: either it finds us, or we find what it added.
	 */
	smp_mb__after_atomic();
	if (!llist_empty(&pool->inbox) || !list_empty(&pool->fifo))
		msvm_pool_kick(pool);
}

static bool msvm_fault_matches(struct drm_msvm_fault *fault,
			       struct drm_msvm_member *member, void *data)
{
	return fault->member == member && (!data || fault->data == data);
}

/* Cancel what a worker has; what it serves ends a little later. Pool lock held. */
static void msvm_worker_cancel(struct msvm_fault_worker *worker,
			       struct drm_msvm_member *member, void *data,
			       struct list_head *ended)
{
	struct drm_msvm_fault *fault, *next;
	bool hit = false;

	list_for_each_entry_safe(fault, next, &worker->batch, link)
		if (msvm_fault_matches(fault, member, data))
			list_move_tail(&fault->link, ended);
	list_for_each_entry(fault, &worker->current_faults, link) {
		if (!msvm_fault_matches(fault, member, data))
			continue;
		to_entry(fault)->cancelled = true;
		hit = true;
	}
	/* Under the lock, so that it can't be meant for another fault. */
	if (hit && worker->task && !worker->interrupted) {
		worker->interrupted = true;
		send_sig(SIGKILL, worker->task, 1);
	}
}

/* Cancel faults, see drm_msvm_fault_cancel(). */
void msvm_pool_cancel(struct msvm_fault_pool *pool,
		      struct drm_msvm_member *member, void *data)
{
	struct msvm_fault_entry *entry, *tmp;
	struct drm_msvm_fault *fault, *next;
	LIST_HEAD(ended);
	int i;

	spin_lock(&pool->lock);
	msvm_pool_drain(pool);
	list_for_each_entry_safe(entry, tmp, &pool->fifo, fifo) {
		if (!msvm_fault_matches(&entry->fault, member, data))
			continue;
		msvm_pool_del(pool, entry);
		list_add_tail(&entry->fault.link, &ended);
	}
	for (i = 0; i < MSVM_FAULT_WORKERS; i++)
		msvm_worker_cancel(&pool->workers[i], member, data, &ended);
	spin_unlock(&pool->lock);

	list_for_each_entry_safe(fault, next, &ended, link) {
		list_del(&fault->link);
		msvm_entry_end(to_entry(fault), -ECANCELED);
	}
	/* What was drained may be somebody else's. */
	msvm_pool_kick(pool);
}

/*
 * Make the workers of an address space. Context: sleeps, context lock held.
 * Return: 0 or -ENOMEM.
 */
int msvm_pool_create(struct drm_msvm *msvm)
{
	struct msvm_fault_pool *pool;
	int i;

	lockdep_assert_held(&msvm->lock);

	pool = msvm_alloc(kzalloc_obj(*pool));
	if (!pool)
		return -ENOMEM;
	/* A fault is what an application waits for, on any CPU. */
	pool->wq = msvm_alloc(alloc_workqueue("drm_msvm_fault/%u",
					      WQ_UNBOUND | WQ_HIGHPRI,
					      WQ_MAX_ACTIVE, msvm->id));
	if (!pool->wq) {
		kfree(pool);
		return -ENOMEM;
	}

	pool->msvm = msvm;
	init_llist_head(&pool->inbox);
	spin_lock_init(&pool->lock);
	pool->waiting = RB_ROOT;
	INIT_LIST_HEAD(&pool->fifo);
	for (i = 0; i < MSVM_FAULT_WORKERS; i++) {
		pool->workers[i].pool = pool;
		INIT_WORK(&pool->workers[i].work, msvm_worker_run);
		INIT_LIST_HEAD(&pool->workers[i].batch);
		INIT_LIST_HEAD(&pool->workers[i].current_faults);
	}
	msvm_stat_bytes(msvm, sizeof(*pool));
	msvm->pool = pool;

	return 0;
}

/* Free them: all members have left, so there is no fault. Context: sleeps. */
void msvm_pool_destroy(struct drm_msvm *msvm)
{
	struct msvm_fault_pool *pool = msvm->pool;
	int i;

	if (!pool)
		return;
	WARN_ON(!llist_empty(&pool->inbox) || !list_empty(&pool->fifo));
	for (i = 0; i < MSVM_FAULT_WORKERS; i++)
		cancel_work_sync(&pool->workers[i].work);
	destroy_workqueue(pool->wq);
	msvm_stat_bytes(msvm, -(s64)sizeof(*pool));
	msvm->pool = NULL;
	kfree(pool);
}
