// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The attributes of an address space: made with the first ones, looked up by faults,
 * dropped where memory is unmapped, and gone with the address space. Ranges come and
 * go meanwhile: they are no part of it.
 *
 * What is unmapped is told by a notifier of our own for the whole address space, as
 * there may be attributes where there is no range. It runs in the middle of munmap()
 * and mremap() and can't allocate what it needs to make a hole in an interval: one
 * node. So there are a few spare ones, and a worker that makes more as soon as one
 * was taken. Should all be gone before it got some, and no memory be had without waiting,
 * the notifier waits for it. That is possible since memory is only unmapped by a process
 * that holds mmap_lock and nothing that reclaim needs, so the worker's allocation does not
 * depend on it; and since that process may be the one that is killed to get memory, it
 * stops waiting then. Another process may share the memory (vfork()), so nothing is left
 * that is said about memory which comes to be in the hole: what is said about the memory
 * behind it goes as well.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "msvm_attr.h"
#include "msvm_internal.h"

/* So many holes can be made one after another before anybody has to wait. */
#define MSVM_ATTR_SPARES	8

/* When to try again if there was no memory for more, jiffies. */
#define MSVM_ATTR_RETRY		1

/*
 * Add @n nodes to a list. Context: what @gfp says. Return: 0 or -ENOMEM; what is in the
 * list then is the caller's all the same.
 */
int msvm_attr_nodes_alloc(struct drm_msvm *msvm, struct list_head *nodes,
			  unsigned long n, gfp_t gfp)
{
	struct msvm_attr_node *node;

	while (n--) {
		node = msvm_alloc(kmalloc_obj(*node, gfp));
		if (!node)
			return -ENOMEM;
		msvm_stat_bytes(msvm, sizeof(*node));
		list_add(&node->link, nodes);
	}
	return 0;
}

/* Free those of a list. Any context. */
void msvm_attr_nodes_free(struct drm_msvm *msvm, struct list_head *nodes)
{
	struct msvm_attr_node *node, *next;

	list_for_each_entry_safe(node, next, nodes, link) {
		msvm_stat_bytes(msvm, -(s64)sizeof(*node));
		kfree(node);
	}
	INIT_LIST_HEAD(nodes);
}

/*
 * Have as many spare nodes as there are to be. They are nobody's account: each hole splits
 * a VMA as well, so there can be no more than of these, and who unmaps must not wait for
 * a group that is at its limit.
 */
static void msvm_attr_refill_work(struct work_struct *work)
{
	struct msvm_attr_store *store =
		container_of(to_delayed_work(work), struct msvm_attr_store,
			     refill_work);
	unsigned int have = READ_ONCE(store->nr_spares);
	LIST_HEAD(nodes);
	LIST_HEAD(rest);
	int err = 0;

	if (have < MSVM_ATTR_SPARES)
		err = msvm_attr_nodes_alloc(store->msvm, &nodes,
					    MSVM_ATTR_SPARES - have, GFP_KERNEL);

	write_lock(&store->lock);
	while (store->nr_spares < MSVM_ATTR_SPARES && !list_empty(&nodes)) {
		list_move(nodes.next, &store->spares);
		WRITE_ONCE(store->nr_spares, store->nr_spares + 1);
	}
	/* Those of intervals that were dropped. */
	while (store->nr_spares > MSVM_ATTR_SPARES) {
		list_move(store->spares.next, &rest);
		WRITE_ONCE(store->nr_spares, store->nr_spares - 1);
	}
	write_unlock(&store->lock);

	wake_up_all(&store->wq);
	msvm_attr_nodes_free(store->msvm, &nodes);
	msvm_attr_nodes_free(store->msvm, &rest);
	if (err)
		queue_delayed_work(system_dfl_wq, &store->refill_work,
				   MSVM_ATTR_RETRY);
}

/*
 * Drop what is said about an interval. @tail: at the price of what is said about the
 * memory behind it, rather than with a spare node. Return: false: that is needed.
 */
static bool msvm_attr_store_drop(struct msvm_attr_store *store,
				 unsigned long start, unsigned long end,
				 bool tail)
{
	unsigned long before;
	bool ok = true;

	write_lock(&store->lock);
	before = store->tree.nr;
	if (tail)
		msvm_attr_tree_drop_tail(&store->tree, start, end,
					 &store->spares);
	else
		ok = msvm_attr_tree_drop(&store->tree, start, end,
					 &store->spares);
	/* None is lost or won. */
	WRITE_ONCE(store->nr_spares,
		   store->nr_spares + before - store->tree.nr);
	write_unlock(&store->lock);

	return ok;
}

/* A spare node, if it can be had without waiting. Any context. Return: whether. */
static bool msvm_attr_spare_now(struct msvm_attr_store *store)
{
	LIST_HEAD(nodes);

	if (msvm_attr_nodes_alloc(store->msvm, &nodes, 1, GFP_NOWAIT))
		return false;
	write_lock(&store->lock);
	list_splice(&nodes, &store->spares);
	WRITE_ONCE(store->nr_spares, store->nr_spares + 1);
	write_unlock(&store->lock);
	return true;
}

/*
 * Memory operations of the process: of all of them those count that take the VMA
 * away, or the memory out of it to another one (mremap). Whoever faults there now
 * finds no VMA; when there is one again this is over.
 */
static int msvm_attr_unmap(struct mmu_notifier *notifier,
			   const struct mmu_notifier_range *range)
{
	struct msvm_attr_store *store =
		container_of(notifier, struct msvm_attr_store, notifier);

	/* Nobody sets attributes where memory is being unmapped. */
	if (range->event != MMU_NOTIFY_UNMAP || !READ_ONCE(store->tree.nr))
		return 0;
	while (!msvm_attr_store_drop(store, range->start, range->end, false)) {
		if (msvm_attr_spare_now(store))
			continue;
		/* Not blockable: memory of a process that is dead already. */
		if (mmu_notifier_range_blockable(range)) {
			queue_delayed_work(system_dfl_wq, &store->refill_work, 0);
			if (!wait_event_killable(store->wq,
						 READ_ONCE(store->nr_spares)))
				continue;
		}
		msvm_attr_store_drop(store, range->start, range->end, true);
		break;
	}
	if (READ_ONCE(store->nr_spares) != MSVM_ATTR_SPARES)
		queue_delayed_work(system_dfl_wq, &store->refill_work, 0);
	return 0;
}

static const struct mmu_notifier_ops msvm_attr_notifier_ops = {
	.invalidate_range_start = msvm_attr_unmap,
};

static struct msvm_attr_store *msvm_attr_store_create(struct drm_msvm *msvm)
{
	struct msvm_attr_store *store;
	int err;

	lockdep_assert_held(&msvm->lock);

	store = msvm_alloc(kzalloc_obj(*store));
	if (!store)
		return ERR_PTR(-ENOMEM);
	store->msvm = msvm;
	store->notifier.ops = &msvm_attr_notifier_ops;
	store->tree.root = RB_ROOT;
	rwlock_init(&store->lock);
	INIT_LIST_HEAD(&store->spares);
	INIT_DELAYED_WORK(&store->refill_work, msvm_attr_refill_work);
	init_waitqueue_head(&store->wq);

	err = msvm_attr_nodes_alloc(msvm, &store->spares, MSVM_ATTR_SPARES,
				    GFP_KERNEL_ACCOUNT);
	if (err)
		goto err_free;
	store->nr_spares = MSVM_ATTR_SPARES;
	err = msvm_fail_alloc() ? -ENOMEM :
	      mmu_notifier_register(&store->notifier, msvm->mm);
	if (err)
		goto err_free;
	msvm_stat_bytes(msvm, sizeof(*store));
	/* Pairs with smp_load_acquire() in lookups. */
	smp_store_release(&msvm->attr_store, store);

	return store;

err_free:
	msvm_attr_nodes_free(msvm, &store->spares);
	kfree(store);
	return ERR_PTR(err);
}

/*
 * Find or make the store. Context: sleeps; takes the context lock and mmap_lock; the
 * caller holds a reference to the mm's users. Return: it; -ENOMEM; -EINTR.
 */
struct msvm_attr_store *msvm_attr_store_get(struct drm_msvm *msvm)
{
	/* Pairs with smp_store_release() when it is made. */
	struct msvm_attr_store *store = smp_load_acquire(&msvm->attr_store);

	if (store)
		return store;

	mutex_lock(&msvm->lock);
	store = msvm->attr_store ?: msvm_attr_store_create(msvm);
	mutex_unlock(&msvm->lock);

	return store;
}

/*
 * All members have left, so nobody looks anything up. The process may be gone or
 * just going: its notifier waits for us, or we for it. Context: sleeps. Cannot fail.
 */
void msvm_attr_store_destroy(struct drm_msvm *msvm)
{
	struct msvm_attr_store *store = msvm->attr_store;

	if (!store)
		return;
	/* Waits for a callback, which may wait for the worker. */
	mmu_notifier_unregister(&store->notifier, msvm->mm);
	cancel_delayed_work_sync(&store->refill_work);

	msvm_attr_tree_clear(&store->tree, &store->spares);
	msvm_attr_nodes_free(msvm, &store->spares);
	msvm_stat_bytes(msvm, -(s64)sizeof(*store));
	msvm->attr_store = NULL;
	kfree(store);
}

/*
 * What attributes say about the page at @addr, and in [@start, @end) how far the same
 * is said (at most as far as these were). Any context that is not atomic, takes no
 * sleeping lock. Return: whether something is said; @attrs is valid in any case.
 */
bool msvm_attr_lookup(struct drm_msvm *msvm, unsigned long addr,
		      unsigned long *start, unsigned long *end,
		      struct msvm_attrs *attrs)
{
	/* Pairs with smp_store_release() when it is made. */
	struct msvm_attr_store *store = smp_load_acquire(&msvm->attr_store);
	bool said;

	if (!store || !READ_ONCE(store->tree.nr)) {
		*attrs = msvm_attrs_none();
		return false;
	}
	read_lock(&store->lock);
	said = msvm_attr_tree_lookup(&store->tree, addr, start, end, attrs);
	read_unlock(&store->lock);

	return said;
}

/*
 * The first interval about which attributes say something that ends behind *@start. Any
 * context that is not atomic, takes no sleeping lock. Return: whether there is one;
 * *@start, *@end and @attrs are then its.
 */
bool msvm_attr_next(struct drm_msvm *msvm, unsigned long *start,
		    unsigned long *end, struct msvm_attrs *attrs)
{
	/* Pairs with smp_store_release() when it is made. */
	struct msvm_attr_store *store = smp_load_acquire(&msvm->attr_store);
	bool found;

	if (!store)
		return false;
	read_lock(&store->lock);
	found = msvm_attr_tree_next(&store->tree, start, end, attrs);
	read_unlock(&store->lock);

	return found;
}

/* Change all there is. What becomes superfluous becomes spare, or is given back. */
static void msvm_attr_change_all(struct msvm_attr_store *store,
				 msvm_attr_change_fn change, void *data)
{
	unsigned long before;
	bool rest;

	write_lock(&store->lock);
	before = store->tree.nr;
	/* Says nothing new of anything, so it takes no node. */
	msvm_attr_tree_change(&store->tree, 0, ULONG_MAX, change, data,
			      &store->spares);
	WRITE_ONCE(store->nr_spares,
		   store->nr_spares + before - store->tree.nr);
	rest = store->nr_spares > MSVM_ATTR_SPARES;
	write_unlock(&store->lock);
	if (rest)
		queue_delayed_work(system_dfl_wq, &store->refill_work, 0);
}

static int msvm_attr_without_slot(struct msvm_attrs *attrs, void *data)
{
	u64 mask = ~*(u64 *)data;

	attrs->accessed_by &= mask;
	attrs->no_access &= mask;
	return 0;
}

/*
 * A member leaves: the next one with its slot is another. Context: none of its faults
 * is under way.
 */
void msvm_attr_forget_slot(struct drm_msvm *msvm, u8 slot)
{
	/* Pairs with smp_store_release() when it is made. */
	struct msvm_attr_store *store = smp_load_acquire(&msvm->attr_store);
	u64 bit = BIT_ULL(slot);

	if (store)
		msvm_attr_change_all(store, msvm_attr_without_slot, &bit);
}

static int msvm_attr_without_device(struct msvm_attrs *attrs, void *data)
{
	if (attrs->preferred == *(u32 *)data)
		attrs->preferred = MSVM_ATTR_NONE;
	return 0;
}

static void msvm_attr_forget_device_in(struct drm_msvm *msvm, void *data)
{
	/* Pairs with smp_store_release() when it is made. */
	struct msvm_attr_store *store = smp_load_acquire(&msvm->attr_store);

	if (store)
		msvm_attr_change_all(store, msvm_attr_without_device, data);
}

/* A device goes: nobody can prefer it any more. Context: sleeps. */
void msvm_attr_forget_device(u32 dev_id)
{
	msvm_context_for_each(msvm_attr_forget_device_in, &dev_id);
}
