/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fault queue: entries, which a device has a fixed number of, and the workers of
 * an address space, which serve the entries of all its devices.
 */
#ifndef __MSVM_QUEUE_H__
#define __MSVM_QUEUE_H__

#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <drm/drm_msvm.h>

struct drm_msvm;
struct msvm_fault_pool;
struct task_struct;

/*
 * Workers of one address space. Each can be held up by memory that the process
 * serves itself, so they and their workqueue are the process's own: it runs out of
 * workers for itself only.
 */
#define MSVM_FAULT_WORKERS	16

/**
 * struct msvm_fault_entry - A fault in a queue.
 */
struct msvm_fault_entry {
	/**
	 * @fault: The fault. Its link is in &drm_msvm_fault_queue.free, or in a
	 * worker's batch or current.
	 */
	struct drm_msvm_fault fault;
	/** @queue: Whose entry it is; constant. */
	struct drm_msvm_fault_queue *queue;
	union {
		/** @inbox: In &msvm_fault_pool.inbox. */
		struct llist_node inbox;
		/** @node: In &msvm_fault_pool.waiting; pool lock. */
		struct rb_node node;
	};
	/** @fifo: Entry in &msvm_fault_pool.fifo, as @node. */
	struct list_head fifo;
	/** @cancelled: To end with -ECANCELED; pool lock. */
	bool cancelled;
};

/**
 * struct msvm_fault_worker - Serves the faults of one range at a time.
 */
struct msvm_fault_worker {
	/** @work: Runs it. */
	struct work_struct work;
	/** @pool: The pool. */
	struct msvm_fault_pool *pool;
	/** @task: Who runs it while @current_faults are served; pool lock. */
	struct task_struct *task;
	/** @batch: Faults to serve; pool lock. */
	struct list_head batch;
	/** @current_faults: Faults being served, all one; pool lock. */
	struct list_head current_faults;
	/** @start: First address of the range it serves; pool lock. */
	u64 start;
	/** @end: Its end, 0 if it is not known yet; pool lock. */
	u64 end;
	/** @sorted: @batch is; pool lock. */
	bool sorted;
	/** @interrupted: A signal was sent to @task; pool lock. */
	bool interrupted;
};

/**
 * struct msvm_fault_pool - Faults of an address space and who serves them.
 */
struct msvm_fault_pool {
	/** @msvm: The address space. */
	struct drm_msvm *msvm;
	/** @wq: Runs the workers. */
	struct workqueue_struct *wq;
	/** @inbox: Faults just pushed, newest first. */
	struct llist_head inbox;
	/** @lock: The pool lock; innermost but for signals. Not for interrupts. */
	spinlock_t lock;
	/** @waiting: Faults that no worker has, by address; @lock. */
	struct rb_root waiting;
	/** @fifo: The same, oldest first; @lock. */
	struct list_head fifo;
	/** @active: Workers that run, or were told to. */
	DECLARE_BITMAP(active, MSVM_FAULT_WORKERS);
	/** @workers: The workers. */
	struct msvm_fault_worker workers[MSVM_FAULT_WORKERS];
};

/* msvm_queue.c */
void msvm_entry_end(struct msvm_fault_entry *entry, int err);

/* msvm_worker.c */
int msvm_pool_create(struct drm_msvm *msvm);
void msvm_pool_destroy(struct drm_msvm *msvm);
void msvm_pool_kick(struct msvm_fault_pool *pool);
void msvm_pool_cancel(struct msvm_fault_pool *pool,
		      struct drm_msvm_member *member, void *data);
bool msvm_worker_claim(struct msvm_fault_worker *worker, u64 start, u64 end);
void msvm_worker_yield(struct msvm_fault_worker *worker);

#endif /* __MSVM_QUEUE_H__ */
