// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Shards: windows of an address space, each a drm_gpusvm with locks of its own,
 * and the collector, which removes ranges whose memory was unmapped.
 *
 * A notifier can't remove a range (that needs the shard lock), so it queues it
 * here. Whoever finds such a range busy leaves it on the list; the one that
 * made it busy starts the collector again when done. Nobody waits.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "msvm_internal.h"
#include "msvm_trace.h"

/*
 * Ranges that the collector removes at a time: each waits for shoot-downs, and the last
 * of a notifier for invalidations, while new ranges of the shard have to wait.
 */
#define MSVM_COLLECT_BATCH	32

static const unsigned long msvm_chunk_sizes[] = DRM_MSVM_CHUNK_SIZES;

static const struct drm_gpusvm_ops msvm_gpusvm_ops = {
	.range_alloc = msvm_range_alloc,
	.range_free = msvm_range_free,
	.invalidate = msvm_invalidate,
};

static void msvm_collect_work(struct work_struct *work)
{
	msvm_shard_collect(container_of(work, struct msvm_shard, collect_work));
}

static struct msvm_shard *msvm_shard_create(struct drm_msvm *msvm,
					    unsigned long index)
{
	struct msvm_shard *shard;
	int err;

	lockdep_assert_held(&msvm->lock);

	shard = msvm_alloc(kzalloc_obj(*shard));
	if (!shard)
		return ERR_PTR(-ENOMEM);

	shard->msvm = msvm;
	shard->start = index * DRM_MSVM_NOTIFIER_SIZE;
	mutex_init(&shard->lock);
	xa_init(&shard->index);
	spin_lock_init(&shard->collect_lock);
	INIT_LIST_HEAD(&shard->collect);
	INIT_WORK(&shard->collect_work, msvm_collect_work);

	err = drm_gpusvm_init(&shard->gpusvm, "drm_msvm", msvm->mm,
			      shard->start, DRM_MSVM_NOTIFIER_SIZE,
			      DRM_MSVM_NOTIFIER_SIZE, &msvm_gpusvm_ops,
			      msvm_chunk_sizes, ARRAY_SIZE(msvm_chunk_sizes));
	if (err)
		goto err_free;
	drm_gpusvm_driver_set_lock(&shard->gpusvm, &shard->lock);

	/* Publishes the initialised shard to lookups without the lock. */
	err = msvm_fail_alloc() ? -ENOMEM :
	      xa_err(xa_store(&msvm->shards, index, shard, GFP_KERNEL));
	if (err)
		goto err_fini;
	msvm_stat_bytes(msvm, sizeof(*shard));

	return shard;

err_fini:
	mutex_lock(&shard->lock);
	drm_gpusvm_fini(&shard->gpusvm);
	mutex_unlock(&shard->lock);
err_free:
	mutex_destroy(&shard->lock);
	kfree(shard);
	return ERR_PTR(err);
}

/*
 * Find or create the shard of @addr. A shard is created only where the process
 * has memory: a GPU that runs wild must not fill the kernel with shards.
 *
 * Context: sleeps; may take the context lock and mmap_lock. The caller holds a
 * reference to the mm's users.
 *
 * Return: the shard; -EFAULT: no memory at @addr; -ENOMEM.
 */
struct msvm_shard *msvm_shard_get(struct drm_msvm *msvm, unsigned long addr)
{
	unsigned long index = addr / DRM_MSVM_NOTIFIER_SIZE;
	struct msvm_shard *shard;
	bool mapped;

	shard = xa_load(&msvm->shards, index);
	if (shard)
		return shard;

	mmap_read_lock(msvm->mm);
	mapped = vma_lookup(msvm->mm, addr);
	mmap_read_unlock(msvm->mm);
	if (!mapped)
		return ERR_PTR(-EFAULT);

	mutex_lock(&msvm->lock);
	shard = xa_load(&msvm->shards, index);
	if (!shard)
		shard = msvm_shard_create(msvm, index);
	mutex_unlock(&msvm->lock);

	return shard;
}

/*
 * Unmap a range from all devices and remove it. Context: sleeps, shard lock
 * held. The caller has a reference.
 *
 * Return: false if a fault is being served in the range; it starts the
 * collector when done.
 */
bool msvm_shard_try_remove(struct msvm_shard *shard,
			   struct drm_msvm_range *range)
{
	bool locked;

	lockdep_assert_held(&shard->lock);

	if (msvm_mutated(MSVM_MUTATE_COLLECT_WAITS)) {
		mutex_lock(&range->lock);
		locked = true;
	} else {
		locked = mutex_trylock(&range->lock);
	}
	/* Pairs with smp_store_release(): what the last fault did is seen, too. */
	if (!locked && !smp_load_acquire(&range->removed))
		return false;
	/* Pairs with smp_load_acquire() above. */
	smp_store_release(&range->removed, true);

	/* Faults that wait for the mutex find it gone when they have it. */
	if (range->indexed) {
		down_write(&shard->gpusvm.notifier_lock);
		if (!msvm_mutated(MSVM_MUTATE_REMOVE_MAPPED))
			msvm_range_drop_all(range);
		up_write(&shard->gpusvm.notifier_lock);
		msvm_range_unindex(shard, range);
		drm_gpusvm_range_remove(&shard->gpusvm, &range->base);
	}
	if (locked)
		mutex_unlock(&range->lock);

	return true;
}

/* Start the collector. Any context that is not atomic. */
void msvm_shard_queue_collect(struct msvm_shard *shard)
{
	queue_work(system_dfl_wq, &shard->collect_work);
}

/* Is there something to remove, or was it removed? Shard lock held. */
static bool msvm_shard_collect_one(struct msvm_shard *shard,
				   struct drm_msvm_range *range)
{
	bool done;

	/*
	 * Off the list first: whoever unmaps it once more after we looked puts it
	 * there again, see msvm_range_set_unmapped().
	 */
	spin_lock(&shard->collect_lock);
	list_del_init(&range->collect_link);
	spin_unlock(&shard->collect_lock);

	/* Revived, see msvm_hold.c. */
	done = !msvm_range_unmapped(range) && !READ_ONCE(range->removed);
	if (!done && msvm_shard_try_remove(shard, range)) {
		msvm_stat_inc(shard->msvm, MSVM_STAT_RANGES_COLLECTED);
		done = true;
	}
	if (done)
		return true;

	spin_lock(&shard->collect_lock);
	if (list_empty(&range->collect_link))
		list_add_tail(&range->collect_link, &shard->collect);
	else
		/* It came with a reference of its own. */
		done = true;
	spin_unlock(&shard->collect_lock);

	return done;
}

/* The next few of @todo, which is the caller's. */
static void msvm_shard_collect_some(struct msvm_shard *shard,
				    struct list_head *todo)
{
	struct drm_msvm_range *range, *next;
	unsigned int nr = 0;

	guard(mutex)(&shard->lock);

	list_for_each_entry_safe(range, next, todo, collect_link) {
		if (nr++ == MSVM_COLLECT_BATCH)
			break;
		if (msvm_shard_collect_one(shard, range))
			msvm_range_put(range);
	}
}

/*
 * Remove all ranges of a shard whose memory was unmapped, but those in which a
 * fault is being served. Whoever serves one calls this afterwards. If somebody else
 * does it at the same time, he has not tried that one yet, and will; or he has put it
 * back on the list before we have the shard lock. Context: sleeps; takes the shard lock.
 */
void msvm_shard_collect(struct msvm_shard *shard)
{
	LIST_HEAD(todo);

	mutex_lock(&shard->lock);
	spin_lock(&shard->collect_lock);
	list_splice_init(&shard->collect, &todo);
	spin_unlock(&shard->collect_lock);
	mutex_unlock(&shard->lock);

	while (!list_empty(&todo)) {
		msvm_shard_collect_some(shard, &todo);
		cond_resched();
	}
}

/*
 * Free a shard and its ranges. All members have left, so no device maps
 * anything and no fault is under way. Context: sleeps. Cannot fail.
 */
void msvm_shard_destroy(struct msvm_shard *shard)
{
	struct drm_msvm_range *range, *next;
	unsigned long index;

	cancel_work_sync(&shard->collect_work);

	mutex_lock(&shard->lock);
	xa_for_each(&shard->index, index, range) {
		/* For the collector, should a notifier start it again. */
		mutex_lock(&range->lock);
		/* Pairs with smp_load_acquire() in msvm_shard_try_remove(). */
		smp_store_release(&range->removed, true);
		mutex_unlock(&range->lock);
		down_write(&shard->gpusvm.notifier_lock);
		msvm_range_drop_all(range);
		up_write(&shard->gpusvm.notifier_lock);
		msvm_range_unindex(shard, range);
	}
	/* Removes the notifiers first: no invalidation comes after it. */
	drm_gpusvm_fini(&shard->gpusvm);
	mutex_unlock(&shard->lock);

	/* A notifier may have queued one until just now. */
	cancel_work_sync(&shard->collect_work);
	list_for_each_entry_safe(range, next, &shard->collect, collect_link) {
		list_del_init(&range->collect_link);
		msvm_range_put(range);
	}

	xa_destroy(&shard->index);
	mutex_destroy(&shard->lock);
	msvm_stat_bytes(shard->msvm, -(s64)sizeof(*shard));
	kfree(shard);
}
