// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Binding of userptrs: one walk for all members that need it, a DMA mapping for
 * each, one bounded retry loop; and the question at submission whether a binding is
 * still good.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_keep.h"
#include "msvm_memory.h"
#include "msvm_trace.h"
#include "msvm_userptr.h"

/* Tries of who has other means. */
#define MSVM_USERPTR_HASTE	4

/**
 * struct msvm_userptr_job - Bindings of one userptr to bind.
 * @userptr: The userptr.
 * @bindings: The bindings.
 * @nr: Number of @bindings.
 * @write: All that are not done; otherwise those that only read.
 * @hasty: Give up after a few tries.
 * @held: mmap_lock is held, and nothing can be done that takes it, or comes before it.
 * @done: Bindings that are over.
 * @err: First error of those.
 */
struct msvm_userptr_job {
	struct drm_msvm_userptr *userptr;
	struct drm_msvm_userptr_binding **bindings;
	unsigned int nr;
	bool write;
	bool hasty;
	bool held;
	DECLARE_BITMAP(done, DRM_MSVM_MAX_MEMBERS);
	int err;
};

static bool msvm_userptr_read_only(struct drm_msvm_userptr_binding *binding)
{
	return binding->flags & DRM_MSVM_USERPTR_READ_ONLY;
}

/* A binding is over, well or not. */
static void msvm_userptr_done(struct msvm_userptr_job *job, unsigned int i,
			      int err)
{
	struct drm_msvm_userptr_binding *binding = job->bindings[i];
	struct drm_msvm *msvm = binding->member->msvm;

	__set_bit(i, job->done);
	job->err = job->err ?: err;
	if (!err)
		msvm_stat_inc(msvm, MSVM_STAT_USERPTR_BINDS);
	trace_msvm_userptr_bind(msvm->id, binding->member->slot, binding->start,
				binding->end, !msvm_userptr_read_only(binding),
				err);
}

/* Is binding @i to be bound this time? */
static bool msvm_userptr_wanted(struct msvm_userptr_job *job, unsigned int i)
{
	return !test_bit(i, job->done) &&
	       (job->write || msvm_userptr_read_only(job->bindings[i]));
}

/* End those that can't be bound, and those that are. Return: how many are left. */
static unsigned int msvm_userptr_sort(struct msvm_userptr_job *job)
{
	struct drm_msvm_range *range = &job->userptr->range;
	unsigned int i, left = 0;

	lockdep_assert_held(&range->lock);

	for (i = 0; i < job->nr; i++) {
		struct drm_msvm_member *member = job->bindings[i]->member;

		if (!msvm_userptr_wanted(job, i))
			continue;
		/* Pairs with WRITE_ONCE() in msvm_zap_wait(). */
		if (READ_ONCE(member->wedged))
			msvm_userptr_done(job, i, -EIO);
		/* Set with the mutex held only; it may be cleared as we look. */
		else if (test_bit(member->slot, range->bound))
			__set_bit(i, job->done);
		else
			left++;
	}
	return left;
}

/*
 * What is wrong with an interval? It is the whole of it that counts. mmap_lock held.
 * Return: 0 if it is nothing.
 */
static int msvm_userptr_check(struct drm_msvm_userptr *userptr, bool write)
{
	struct mm_struct *mm = msvm_range_context(&userptr->range)->mm;
	unsigned long addr = userptr_start(userptr);
	unsigned long end = userptr_end(userptr);
	struct vm_area_struct *vma;
	int err = 0;

	mmap_assert_locked(mm);

	while (!err && addr < end) {
		vma = find_vma_intersection(mm, addr, end);
		if (!vma || vma->vm_start > addr)
			err = -EFAULT;
		else if (vma->vm_flags & (VM_IO | VM_PFNMAP))
			err = -EOPNOTSUPP;
		else if (!(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
			err = -EACCES;
		else
			addr = vma->vm_end;
	}
	return err;
}

/* Why did a walk fail? Return: as above. */
static int msvm_userptr_reason(struct drm_msvm_userptr *userptr, bool write)
{
	struct mm_struct *mm = msvm_range_context(&userptr->range)->mm;
	int err;

	mmap_read_lock(mm);
	err = msvm_userptr_check(userptr, write);
	mmap_read_unlock(mm);

	return err;
}

/* The memory is where it can't be mapped for all. Return: -EAGAIN, or an error. */
static int msvm_userptr_to_system(struct msvm_userptr_job *job)
{
	struct drm_msvm_userptr *userptr = job->userptr;
	int err;

	if (job->held)
		return -EAGAIN;
	err = drm_msvm_migrate(job->bindings[0]->member,
			       userptr_start(userptr), userptr_end(userptr),
			       NULL);
	return !err || err == -EBUSY ? -EAGAIN : err;
}

/* Walk, unless what is known is good enough for all that are wanted. */
static int msvm_userptr_walk(struct msvm_userptr_job *job)
{
	struct drm_msvm_userptr *userptr = job->userptr;
	struct drm_msvm_range *range = &userptr->range;
	enum msvm_peer_access peers;
	struct msvm_policy *policy;
	bool write = false;
	unsigned int i;
	int err;

	lockdep_assert_held(&range->lock);

	for (i = 0; i < job->nr; i++)
		write |= msvm_userptr_wanted(job, i) &&
			 !msvm_userptr_read_only(job->bindings[i]);

	/* A hint only: checked again under the notifier lock. */
	if (READ_ONCE(range->runs_valid) &&
	    (!write || range->runs_writable) &&
	    !msvm_mutated(MSVM_MUTATE_ALWAYS_WALK)) {
		msvm_stat_inc(msvm_range_context(range),
			      MSVM_STAT_WALKS_SAVED);
	} else {
		err = msvm_walk(range, write, job->held ? MSVM_WALK_HELD :
				job->hasty ? MSVM_WALK_HASTY : MSVM_WALK);
		if (err && job->held)
			return -EAGAIN;
		if (err == -EXDEV)
			return msvm_userptr_to_system(job);
		if (err == -EFAULT || err == -EPERM)
			return msvm_userptr_reason(userptr, write) ?:
			       err == -EPERM ? -EACCES : err;
		if (err)
			return err;
		/* Walks report device pages as they are, writable or not. */
		if (write && !READ_ONCE(range->runs_writable) &&
		    READ_ONCE(range->dpagemap))
			return msvm_userptr_to_system(job);
	}
	policy = msvm_claim_policy(msvm_range_context(range));
	peers = policy->params.peer_access;
	msvm_policy_put(policy);
	for (i = 0; i < job->nr; i++)
		if (msvm_userptr_wanted(job, i) &&
		    msvm_place_out_of_reach(range, job->bindings[i]->member,
					    peers))
			return msvm_userptr_to_system(job);
	return 0;
}

/* Have all that binding @i needs, but no mapping. Return: index of its entry. */
static int msvm_userptr_reserve(struct msvm_userptr_job *job, unsigned int i)
{
	struct drm_msvm_userptr_binding *binding = job->bindings[i];
	struct drm_msvm_range *range = &job->userptr->range;
	int idx, err;

	/* It is prepared already if it has an entry. */
	if (job->held &&
	    msvm_range_find_slot(range, binding->member->slot) < 0)
		return -EAGAIN;
	if (binding->ops->prepare && !job->held) {
		err = binding->ops->prepare(binding);
		if (err)
			return err;
	}
	idx = msvm_range_add_slot(range, binding->member);
	if (idx < 0)
		return idx;
	range->entries[idx].read_only = msvm_userptr_read_only(binding);
	err = msvm_map_reserve(range, idx);

	return err ?: idx;
}

/*
 * Map and bind from a walk. One that fails takes nothing from the others. Return: 0;
 * -EAGAIN: the memory has changed; -EREMOTE: some can't map it where it is.
 */
static int msvm_userptr_commit(struct msvm_userptr_job *job)
{
	struct drm_msvm_range *range = &job->userptr->range;
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	bool remote = false;
	unsigned int i;
	int err = 0;

	for (i = 0; i < job->nr; i++) {
		if (!msvm_userptr_wanted(job, i))
			continue;
		err = msvm_userptr_reserve(job, i);
		if (err < 0)
			msvm_userptr_done(job, i, err);
	}

	drm_gpusvm_notifier_lock(gpusvm);
	for (i = 0, err = 0; i < job->nr && !err; i++) {
		struct drm_msvm_userptr_binding *binding = job->bindings[i];
		int ret;

		if (!msvm_userptr_wanted(job, i))
			continue;
		if (!range->runs_valid || (!msvm_userptr_read_only(binding) &&
					   !range->runs_writable)) {
			err = -EAGAIN;
			break;
		}
		ret = msvm_range_commit(range, binding->member,
					msvm_range_find_slot(range,
							     binding->member->slot),
					NULL, false);
		if (ret == -EREMOTE && range->dpagemap)
			remote = true;
		else
			msvm_userptr_done(job, i, ret);
	}
	drm_gpusvm_notifier_unlock(gpusvm);

	return err ?: remote ? -EREMOTE : 0;
}

/* One try. Return: 0: all that are wanted are done; -EAGAIN; or why none can be. */
static int msvm_userptr_try(struct msvm_userptr_job *job)
{
	struct drm_msvm_range *range = &job->userptr->range;
	int err;

	err = mutex_lock_killable(&range->lock);
	if (err)
		return err;
	if (msvm_userptr_sort(job)) {
		err = msvm_userptr_walk(job);
		if (!err)
			err = msvm_userptr_commit(job);
		if (err == -EREMOTE)
			err = msvm_userptr_to_system(job);
	}
	mutex_unlock(&range->lock);

	return err;
}

/* Bind those that are wanted; with an error all of them are over. */
static void msvm_userptr_loop(struct msvm_userptr_job *job, bool write)
{
	struct drm_msvm *msvm = job->bindings[0]->member->msvm;
	struct msvm_retry retry;
	unsigned int i;
	int err;

	job->write = write;
	msvm_retry_begin(&retry);
	do {
		err = msvm_userptr_try(job);
		if (err == -EAGAIN)
			err = msvm_retry(msvm, &retry) ?:
			      job->hasty && retry.tries >= MSVM_USERPTR_HASTE ?
			      -EBUSY : -EAGAIN;
	} while (err == -EAGAIN);
	if (!err)
		return;

	/* Who only reads may still, where nobody may write. */
	for (i = 0; i < job->nr; i++)
		if (msvm_userptr_wanted(job, i) &&
		    !(err == -EACCES && write &&
		      msvm_userptr_read_only(job->bindings[i])))
			msvm_userptr_done(job, i, err);
}

/* Bind those of a job. Context and return: as below. */
static int msvm_userptr_run(struct msvm_userptr_job *job)
{
	struct mm_struct *mm = job->bindings[0]->member->msvm->mm;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	msvm_userptr_loop(job, true);
	if (!bitmap_full(job->done, job->nr))
		msvm_userptr_loop(job, false);
	/* The last reference may be ours, and this is no place to end an mm. */
	mmput_async(mm);

	return job->err;
}

/**
 * drm_msvm_userptr_bind() - Bind a userptr for some of its members.
 * @bindings: Bindings of one userptr.
 * @nr: Number of @bindings, at least one.
 *
 * Those that are bound already stay so. For the others there is one walk, if no
 * earlier one is good enough, then a DMA mapping and a call of
 * &drm_msvm_userptr_ops.bind each. One that fails takes nothing from the others.
 *
 * By the time it returns an invalidation may have taken everything away again. A
 * driver that has no other way to notice looks under the notifier lock, which is
 * held until the device can be preempted by &drm_msvm_userptr_ops.zap:
 *
 * .. code-block:: c
 *
 *	again:
 *		err = drm_msvm_userptr_bind(bindings, nr);
 *		if (err)
 *			return err;
 *		drm_msvm_userptr_lock(member);
 *		for (i = 0; i < nr; i++) {
 *			if (!drm_msvm_userptr_valid(bindings[i])) {
 *				drm_msvm_userptr_unlock(member);
 *				if (signal_pending(current))
 *					return -ERESTARTSYS;
 *				goto again;
 *			}
 *		}
 *		my_ring_push(job);
 *		drm_msvm_userptr_unlock(member);
 *
 * The lock is one for all userptrs of an address space, so that a job that uses
 * many of them is submitted in one go.
 *
 * Memory that is in a device which some member does not reach, or in several, is
 * brought to system memory first.
 *
 * Context: Sleeps, as long as the process makes it if it uses userfaultfd. Takes
 * mmap_lock; the caller holds no lock that an MMU notifier, or any of the
 * bindings' operations, takes. Calls can run in parallel.
 *
 * Return: 0: all were bound; otherwise the first error:
 *
 * - -EINVAL: no bindings, too many, or not of one userptr;
 * - -EFAULT: part of the interval is no memory (now: after it was mapped anew the
 *   binding can be bound again), or a device mapping failed;
 * - -EACCES: the process itself may not write part of it, or read it for a
 *   read-only binding;
 * - -EOPNOTSUPP: memory of a kind that can't be shared with devices;
 * - -EBUSY: the CPU side kept changing the memory for several seconds;
 * - -EINTR: the calling task is being killed;
 * - -ESRCH: the process's memory is gone;
 * - -EIO: the member was cut off, see &drm_msvm_ops.zap_wait;
 * - -ENOMEM: out of memory;
 * - any other error of &drm_msvm_userptr_ops.prepare or of
 *   &drm_msvm_userptr_ops.bind.
 */
int drm_msvm_userptr_bind(struct drm_msvm_userptr_binding **bindings,
			  unsigned int nr)
{
	struct msvm_userptr_job job = { .bindings = bindings, .nr = nr };
	unsigned int i;

	might_sleep();
	if (!nr || nr > DRM_MSVM_MAX_MEMBERS)
		return -EINVAL;
	job.userptr = bindings[0]->userptr;
	for (i = 1; i < nr; i++)
		if (bindings[i]->userptr != job.userptr)
			return -EINVAL;

	return msvm_userptr_run(&job);
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_bind);

static int msvm_userptr_rebind(struct drm_msvm_userptr_binding *binding,
			       bool hasty)
{
	struct drm_msvm *msvm = binding->member->msvm;
	struct msvm_userptr_job job = {
		.userptr = binding->userptr,
		.bindings = &binding,
		.nr = 1,
		.hasty = hasty,
	};
	bool valid;
	int err;

	drm_msvm_userptr_lock(binding->member);
	valid = drm_msvm_userptr_valid(binding);
	drm_msvm_userptr_unlock(binding->member);
	if (valid)
		return 0;

	err = msvm_userptr_run(&job);
	if (!err)
		msvm_stat_inc(msvm, MSVM_STAT_USERPTR_REVALIDATIONS);
	trace_msvm_userptr_revalidate(msvm->id, binding->member->slot,
				      binding->start, binding->end,
				      !msvm_userptr_read_only(binding), err);
	return err;
}

/* For the worker that keeps it bound. Context and return: as above. */
int msvm_userptr_revalidate(struct drm_msvm_userptr_binding *binding)
{
	return msvm_userptr_rebind(binding, false);
}

/* Likewise, if it is soon done. */
int msvm_userptr_revalidate_hastily(struct drm_msvm_userptr_binding *binding)
{
	return msvm_userptr_rebind(binding, true);
}

/* Likewise if the worker keeps the process out: see msvm_keep_lock_vmas(). */
int msvm_userptr_lock_vmas(struct drm_msvm_userptr_binding *binding)
{
	return msvm_keep_lock_vmas(binding->member->msvm->mm, binding->start,
				   binding->end);
}

/*
 * And then bind it, if that is possible so; what is wrong with the memory stays wrong.
 * Context: sleeps; mmap_lock held for writing. Return: 0; -EAGAIN: it is not possible;
 * -EBUSY: it is in a moment; or why it can't be bound.
 */
int msvm_userptr_revalidate_held(struct drm_msvm_userptr_binding *binding)
{
	struct drm_msvm_userptr *userptr = binding->userptr;
	struct drm_msvm_range *range = &userptr->range;
	struct msvm_userptr_job job = {
		.userptr = userptr,
		.bindings = &binding,
		.nr = 1,
		.write = true,
		.held = true,
	};
	int err;

	err = msvm_userptr_check(userptr, !msvm_userptr_read_only(binding));
	if (err)
		return err;
	if (!mutex_trylock(&range->lock))
		return -EBUSY;
	if (msvm_userptr_sort(&job)) {
		err = msvm_userptr_walk(&job);
		if (!err)
			err = msvm_userptr_commit(&job);
		if (!err && !job.err)
			msvm_stat_inc(binding->member->msvm,
				      MSVM_STAT_USERPTR_REVALIDATIONS);
	}
	mutex_unlock(&range->lock);

	return err == -EREMOTE ? -EAGAIN : err ?: job.err;
}

/* The driver's part of a bind. Context: as for &drm_msvm_userptr_ops.bind. */
int msvm_userptr_bind_pages(struct drm_msvm_range *range, unsigned int slot,
			    const struct drm_msvm_mapping *mapping)
{
	struct drm_msvm_userptr_binding *binding =
		to_msvm_userptr(range)->bindings[slot];

	return binding->ops->bind(binding, mapping);
}

/* And of a shoot-down. Context: notifier lock held for writing. */
u64 msvm_userptr_zap(struct drm_msvm_range *range, unsigned int slot)
{
	struct drm_msvm_userptr_binding *binding =
		to_msvm_userptr(range)->bindings[slot];

	return binding->ops->zap(binding);
}

/* Stop who relies on it, before the shoot-down. Context: likewise. */
void msvm_userptr_quiesce(struct drm_msvm_range *range, unsigned int slot)
{
	struct drm_msvm_userptr_binding *binding =
		to_msvm_userptr(range)->bindings[slot];

	if (binding->flags & DRM_MSVM_USERPTR_KEEP && !binding->detaching)
		msvm_keep_quiesce(binding->member, false);
}

static struct rw_semaphore *msvm_userptr_rwsem(struct drm_msvm_member *member)
{
	struct msvm_userptrs *userptrs;

	/* Pairs with smp_store_release() when the first one is made. */
	userptrs = smp_load_acquire(&member->msvm->userptrs);
	return &userptrs->space.gpusvm.notifier_lock;
}

/**
 * drm_msvm_userptr_lock() - Keep userptrs as they are.
 * @member: A member that was attached to some userptr; the lock is one for the whole
 *	address space.
 *
 * Invalidations of userptrs wait until drm_msvm_userptr_unlock().
 *
 * Context: Sleeps. It is taken in reclaim: until it is released no allocation that
 * may reclaim, no dma_resv, no mmap_lock.
 */
void drm_msvm_userptr_lock(struct drm_msvm_member *member)
{
	down_read(msvm_userptr_rwsem(member));
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_lock);

/**
 * drm_msvm_userptr_unlock() - Undo drm_msvm_userptr_lock().
 * @member: The member.
 *
 * Context: Any that may sleep.
 */
void drm_msvm_userptr_unlock(struct drm_msvm_member *member)
{
	up_read(msvm_userptr_rwsem(member));
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_unlock);

/**
 * drm_msvm_userptr_valid() - Is a binding good?
 * @binding: The binding.
 *
 * Context: drm_msvm_userptr_lock() held, as long as the answer is to count.
 *
 * Return: true if it is bound, and nothing was taken away since.
 */
bool drm_msvm_userptr_valid(struct drm_msvm_userptr_binding *binding)
{
	struct drm_msvm_range *range = &binding->userptr->range;
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	int idx;

	lockdep_assert_held(&gpusvm->notifier_lock);

	idx = msvm_range_find_slot(range, binding->member->slot);
	return idx >= 0 && test_bit(binding->member->slot, range->bound) &&
	       drm_gpusvm_pages_valid(gpusvm, &range->pages[idx]);
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_valid);

/**
 * drm_msvm_userptr_recheck() - Bind again what could not be kept bound.
 * @member: A member that was attached with %DRM_MSVM_USERPTR_KEEP.
 *
 * For memory that went away and may have come back. The member's queues are stopped,
 * a worker tries all that is to be kept once, and starts them again: work that is
 * queued after the call runs after the try.
 *
 * Context: Sleeps. The caller holds no lock that an MMU notifier, or any of the
 * member's operations, takes.
 */
void drm_msvm_userptr_recheck(struct drm_msvm_member *member)
{
	might_sleep();
	down_write(msvm_userptr_rwsem(member));
	msvm_keep_recheck(member);
	up_write(msvm_userptr_rwsem(member));
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_recheck);
