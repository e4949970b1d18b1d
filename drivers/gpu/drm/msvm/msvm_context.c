// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Address spaces: found by mm, so that drivers which never heard of each other
 * share one, and kept while they have members.
 */
#include <linux/hashtable.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "msvm_internal.h"

/* Protects the two tables below, and that what is in them has members. */
DEFINE_MUTEX(msvm_contexts_lock);
static DEFINE_HASHTABLE(msvm_contexts_by_mm, 8);
static DEFINE_XARRAY_ALLOC1(msvm_contexts);

static struct drm_msvm *msvm_context_create(struct mm_struct *mm)
{
	struct drm_msvm *msvm;
	static u32 next_id;
	int err;

	lockdep_assert_held(&msvm_contexts_lock);

	msvm = msvm_alloc(kzalloc_obj(*msvm));
	if (!msvm)
		return ERR_PTR(-ENOMEM);
	msvm->stats = msvm_alloc(alloc_percpu(struct msvm_stats));
	if (!msvm->stats) {
		err = -ENOMEM;
		goto err_free;
	}

	err = msvm_fail_alloc() ? -ENOMEM : init_srcu_struct(&msvm->srcu);
	if (err)
		goto err_percpu;

	kref_init(&msvm->ref);
	mutex_init(&msvm->lock);
	msvm_prefetch_init(&msvm->prefetch);
	xa_init(&msvm->shards);
	msvm_claim_init(&msvm->claim);
	msvm->mm = mm;
	msvm->tgid = task_tgid_nr(current);
	get_task_comm(msvm->comm, current->group_leader);

	/* Cyclic, so that a number in a log does not soon mean another. */
	err = msvm_fail_alloc() ? -ENOMEM :
	      xa_alloc_cyclic(&msvm_contexts, &msvm->id, msvm, xa_limit_31b,
			      &next_id, GFP_KERNEL);
	if (err < 0)
		goto err_stats;

	/* The address of an mm must not be used again while it is our key. */
	mmgrab(mm);
	hash_add(msvm_contexts_by_mm, &msvm->hash, (unsigned long)mm);
	msvm_debugfs_add(msvm);
	msvm_stat_bytes(msvm, sizeof(*msvm));

	return msvm;

err_stats:
	mutex_destroy(&msvm->lock);
	cleanup_srcu_struct(&msvm->srcu);
err_percpu:
	free_percpu(msvm->stats);
err_free:
	kfree(msvm);
	return ERR_PTR(err);
}

/*
 * Find or create the address space of @mm and take a reference. Context:
 * sleeps. Return: the address space, or -ENOMEM, or -EBUSY (numbers ran out).
 */
struct drm_msvm *msvm_context_get(struct mm_struct *mm)
{
	struct drm_msvm *msvm;

	guard(mutex)(&msvm_contexts_lock);

	hash_for_each_possible(msvm_contexts_by_mm, msvm, hash,
			       (unsigned long)mm) {
		if (msvm->mm == mm) {
			kref_get(&msvm->ref);
			return msvm;
		}
	}
	return msvm_context_create(mm);
}

/* The last member left. Called with msvm_contexts_lock held, drops it. */
static void msvm_context_destroy(struct kref *ref)
	__releases(&msvm_contexts_lock)
{
	struct drm_msvm *msvm = container_of(ref, struct drm_msvm, ref);
	struct msvm_shard *shard;
	unsigned long index;

	hash_del(&msvm->hash);
	xa_erase(&msvm_contexts, msvm->id);
	mutex_unlock(&msvm_contexts_lock);

	/* Waits for readers, so it must come before what they look at goes. */
	msvm_debugfs_remove(msvm);

	msvm_prefetch_stop(&msvm->prefetch);
	msvm_pool_destroy(msvm);
	msvm_keep_destroy(msvm);
	xa_for_each(&msvm->shards, index, shard)
		msvm_shard_destroy(shard);
	xa_destroy(&msvm->shards);
	msvm_userptrs_destroy(msvm);
	msvm_attr_store_destroy(msvm);

	WARN_ON(msvm->nr_members);
	WARN_ON(atomic_long_read(&msvm->nr_ranges));
	WARN_ON(atomic_long_read(&msvm->nr_notifiers));
	msvm_stat_bytes(msvm, -(s64)sizeof(*msvm));
	WARN_ON(msvm_stat_read_bytes(msvm->stats));

	mmdrop(msvm->mm);
	mutex_destroy(&msvm->lock);
	cleanup_srcu_struct(&msvm->srcu);
	free_percpu(msvm->stats);
	kfree(msvm);
}

/* Drop a reference. Context: sleeps. */
void msvm_context_put(struct drm_msvm *msvm)
{
	kref_put_mutex(&msvm->ref, msvm_context_destroy, &msvm_contexts_lock);
}

/* Call @fn for each address space. Context: sleeps; @fn must not put one. */
void msvm_context_for_each(void (*fn)(struct drm_msvm *msvm, void *data),
			   void *data)
{
	struct drm_msvm *msvm;
	unsigned long index;

	guard(mutex)(&msvm_contexts_lock);

	xa_for_each(&msvm_contexts, index, msvm)
		fn(msvm, data);
}
