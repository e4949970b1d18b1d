// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The fault verb: make one address accessible to one member, by one bounded
 * retry loop. Faults in different ranges run in parallel; in one range they
 * queue on its mutex, and the later ones use the earlier one's walk.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "msvm_attr.h"
#include "msvm_control.h"
#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/*
 * When a fault gives up because the CPU side keeps changing: after both so many
 * tries and so long. Tries alone would be over in no time when munmap() loops;
 * time alone would count sleep in userfaultfd, which is not a failure.
 */
#define MSVM_FAULT_MAX_TRIES	32
#define MSVM_FAULT_MAX_TIME	(5 * HZ)

/*
 * After so many tries every other one holds mmap_lock, which keeps others out. The
 * ones in between find what is wrong, should something be.
 */
#define MSVM_FAULT_HOLD_TRIES	4

/* Is the access already possible? */
static bool msvm_fault_spurious(struct msvm_fault *fault,
				struct drm_msvm_range *range)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	unsigned int slot = fault->member->slot;
	int idx = msvm_range_find_slot(range, slot);
	bool ok;

	if (idx < 0 || (fault->atomic && range->entries[idx].no_atomics))
		return false;

	drm_gpusvm_notifier_lock(gpusvm);
	ok = test_bit(slot, range->bound) &&
	     (!fault->write || test_bit(slot, range->writable));
	drm_gpusvm_notifier_unlock(gpusvm);

	return ok;
}

/*
 * Map and bind from a valid walk, for the member of entry @idx. Context: range
 * mutex held, and the notifier lock for reading; addresses reserved. @attrs: by which
 * it was decided, and @atomic: for an atomic, for msvm_attr_commit(). Return: 0, or the
 * error of the mapping, of the driver, or of msvm_attr_commit().
 */
int msvm_range_commit(struct drm_msvm_range *range,
		      struct drm_msvm_member *member, int idx,
		      const struct msvm_attrs *attrs, bool atomic)
{
	struct drm_msvm_mapping mapping = {
		.start = drm_gpusvm_range_start(&range->base),
		.end = drm_gpusvm_range_end(&range->base),
		.addrs = range->pages[idx].dma_addr,
		.nents = range->nr_runs,
		.writable = range->runs_writable &&
			    !range->entries[idx].read_only,
	};
	int err;

	lockdep_assert_held(&range->lock);
	lockdep_assert_held_read(&range->base.gpusvm->notifier_lock);

	err = msvm_attr_commit(range, member, attrs, atomic,
			       &mapping.no_atomics);
	if (err)
		return err;
	err = msvm_map(range, idx);
	if (err)
		return err;

	if (range->is_userptr)
		err = msvm_userptr_bind_pages(range, member->slot, &mapping);
	else
		err = member->dev->ops->bind(member, &mapping);
	if (err) {
		msvm_unmap_unbound(range, idx);
		return err;
	}

	/* Atomic: another slot's fault may hold the lock for reading as well. */
	set_bit(member->slot, range->mapped);
	set_bit(member->slot, range->bound);
	range->entries[idx].no_atomics = mapping.no_atomics;
	if (mapping.writable) {
		set_bit(member->slot, range->writable);
		range->written = true;
	}
	msvm_stat_inc(member->msvm, MSVM_STAT_BINDS);
	return 0;
}

/*
 * The memory is where this fault can't be served: in several devices', or in one's
 * that is out of reach or can't be mapped, or in pages of a device that have to be copied on write,
 * which the CPU's fault does. System memory is in everybody's reach.
 *
 * Return: -EAGAIN, or the fault's result.
 */
static int msvm_fault_to_system(struct msvm_fault *fault,
				struct drm_msvm_range *range)
{
	u64 began = ktime_get_ns();
	int err = msvm_range_to_system(range);

	if (!err) {
		msvm_place_moved(fault, range, began, MSVM_AT_SYSTEM);
		fault->stay = true;
	}
	if (!err || err == -EBUSY)
		return -EAGAIN;
	fault->walk_failed = err == -EFAULT;
	return err;
}

/*
 * Map and bind what was walked, for the member that faulted. Context: sleeps; range
 * mutex held, not the notifier lock. Return: 0; -EAGAIN: the memory has changed, or
 * with mmap_lock held it is where it can't be mapped; -ENOMEM, or the error of the
 * mapping, of the driver, or of msvm_attr_commit().
 */
int msvm_fault_bind(struct msvm_fault *fault, struct drm_msvm_range *range)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	int idx, err;

	lockdep_assert_held(&range->lock);

	idx = msvm_range_add_slot(range, fault->member);
	if (idx < 0)
		return idx;
	err = msvm_map_reserve(range, idx);
	if (err)
		return err;

	drm_gpusvm_notifier_lock(gpusvm);
	if (msvm_range_unmapped(range) || !range->runs_valid ||
	    (fault->write && !range->runs_writable))
		err = -EAGAIN;
	else
		err = msvm_range_commit(range, fault->member, idx,
					&fault->attrs, fault->atomic);
	drm_gpusvm_notifier_unlock(gpusvm);

	if (err == -EREMOTE && fault->hold)
		err = -EAGAIN;
	if (err && err != -EAGAIN && msvm_mutated(MSVM_MUTATE_FAIL_ALL_SLOTS)) {
		down_write(&gpusvm->notifier_lock);
		msvm_range_drop_all(range);
		up_write(&gpusvm->notifier_lock);
	}
	return err;
}

/* Walk where the memory is, if that is not known, and map it. Range mutex held. */
static int msvm_fault_walk_and_bind(struct msvm_fault *fault,
				    struct drm_msvm_range *range)
{
	struct drm_msvm_member *member = fault->member;
	bool walked = false;
	int err;

	/* A hint only: checked again under the notifier lock. */
	if (!READ_ONCE(range->runs_valid) ||
	    (fault->write && !range->runs_writable) ||
	    msvm_mutated(MSVM_MUTATE_ALWAYS_WALK)) {
		err = msvm_walk(range, fault->write, fault->hasty ?
				MSVM_WALK_HASTY : MSVM_WALK);
		if (err == -EXDEV)
			return msvm_fault_to_system(fault, range);
		if (err) {
			fault->walk_failed = err == -EFAULT || err == -EPERM ||
					     err == -EOPNOTSUPP;
			return err;
		}
		walked = true;
		/* Walks report device pages as they are, writable or not. */
		if (fault->write && !READ_ONCE(range->runs_writable) &&
		    READ_ONCE(range->dpagemap))
			return msvm_fault_to_system(fault, range);
	}
	if (msvm_place_out_of_reach(range, member,
				    fault->policy->params.peer_access))
		return msvm_fault_to_system(fault, range);

	err = msvm_fault_bind(fault, range);
	/* In reach, but not this time. */
	if (err == -EREMOTE && READ_ONCE(range->dpagemap))
		return msvm_fault_to_system(fault, range);
	if (!err && !walked)
		msvm_stat_inc(member->msvm, MSVM_STAT_WALKS_SAVED);
	return err;
}

/* Serve a fault in a range that is in the tree. Range mutex held. */
static int msvm_fault_serve(struct msvm_fault *fault,
			    struct drm_msvm_range *range)
{
	struct drm_msvm_member *member = fault->member;
	int err;

	lockdep_assert_held(&range->lock);

	err = msvm_attr_admit(range, member, fault->atomic);
	/* Not all of it has the same attributes: a smaller range has. */
	fault->walk_failed = err == -EXDEV;
	if (err)
		return err;

	if (msvm_fault_spurious(fault, range)) {
		msvm_stat_inc(member->msvm, MSVM_STAT_SPURIOUS);
		return 0;
	}

	if (member->dev->ops->prepare) {
		err = member->dev->ops->prepare(member,
				drm_gpusvm_range_start(&range->base),
				drm_gpusvm_range_end(&range->base));
		if (err)
			return err;
	}

	/* Mapped, so not for writing or for atomics, and must become so. */
	if (test_bit(member->slot, range->mapped)) {
		msvm_range_drop_own(range, member->slot);
		msvm_stat_inc(member->msvm, MSVM_STAT_UPGRADES);
	}

	err = msvm_place(fault, range);
	if (err)
		return err;

	err = fault->hold ? msvm_fault_serve_held(fault, range) :
			    msvm_fault_walk_and_bind(fault, range);
	if (!err)
		msvm_map_eagerly(fault, range);
	return err;
}

/*
 * Why did a walk fail: is it the faulting address that may not be accessed, or
 * something else in the range? Return: 0 in the latter case.
 */
static int msvm_fault_reason(struct msvm_fault *fault)
{
	struct mm_struct *mm = fault->member->msvm->mm;
	struct vm_area_struct *vma;
	int err = 0;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, fault->addr);
	if (!vma)
		err = -EFAULT;
	else if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		err = -EOPNOTSUPP;
	else if (!(vma->vm_flags & (fault->write ? VM_WRITE : VM_READ)))
		err = -EACCES;
	mmap_read_unlock(mm);

	return err;
}

/* How large ranges may be for a placement that goes by address. */
static unsigned long msvm_fault_piece(struct msvm_fault *fault)
{
	const struct msvm_policy_params *params = &fault->policy->params;

	if (params->placement != MSVM_PLACEMENT_INTERLEAVE)
		return SZ_2M;
	return clamp(params->interleave_kib * 1024UL, PAGE_SIZE, SZ_2M);
}

/* The largest size of a range that the policy allows, up to @limit. */
static unsigned long msvm_fault_chunk(struct msvm_fault *fault,
				      unsigned long limit)
{
	u32 sizes = fault->policy->params.chunk_sizes;

	if (limit >= SZ_2M && (sizes & MSVM_CHUNK_2M))
		return SZ_2M;
	if (limit >= SZ_64K && (sizes & MSVM_CHUNK_64K))
		return SZ_64K;
	return PAGE_SIZE;
}

/*
 * A range that can't be served as a whole (it crosses the end of a file, or
 * protections or attributes differ within it) is given up for a smaller one. That is
 * decided while its mutex is held: of all the faults that wait for the mutex none has
 * to find out once more. Range mutex held.
 *
 * Return: -EAGAIN to go on with the smaller size, or the reason why not.
 */
static int msvm_fault_shrink(struct msvm_fault *fault,
			     struct drm_msvm_range *range, int err)
{
	int reason = msvm_fault_reason(fault);

	lockdep_assert_held(&range->lock);

	if (reason)
		return reason;
	if (drm_gpusvm_range_size(&range->base) <= PAGE_SIZE)
		return err == -EPERM ? -EACCES : err;

	range->too_large = true;
	/* Pairs with smp_load_acquire() in msvm_shard_try_remove(). */
	smp_store_release(&range->removed, true);
	msvm_stat_inc(fault->member->msvm, MSVM_STAT_SPLITS);

	return -EAGAIN;
}

/*
 * A range that was given up: the next one is smaller. Whoever comes upon it takes it out
 * of the tree, which waits for one who does so at the moment, instead of finding it again
 * and again until somebody has done it. No lock held.
 */
static void msvm_fault_replace(struct msvm_fault *fault,
			       struct msvm_shard *shard,
			       struct drm_msvm_range *range)
{
	unsigned long size = drm_gpusvm_range_size(&range->base);

	fault->chunk = min(fault->chunk, msvm_fault_chunk(fault, size / 2));
	mutex_lock(&shard->lock);
	msvm_shard_try_remove(shard, range);
	mutex_unlock(&shard->lock);
}

/*
 * The range to serve, made if need be. All of a new one has the same attributes, and the
 * same place if that goes by address, or what is decided for one page would be done to
 * others; one that there is may be refused by msvm_attr_admit() for its attributes, and
 * smaller ones then take its place.
 */
struct drm_msvm_range *msvm_fault_range(struct msvm_fault *fault,
					struct msvm_shard *shard)
{
	unsigned long start = ALIGN_DOWN(fault->addr, SZ_2M);
	unsigned long end = start + SZ_2M;
	unsigned long chunk = min(fault->chunk, msvm_fault_piece(fault));
	struct drm_msvm_range *range;

	msvm_attr_lookup(shard->msvm, fault->addr, &start, &end, &fault->attrs);
	if (fault->attrs.granularity)
		chunk = min(chunk, BIT(fault->attrs.granularity));
	chunk = msvm_fault_chunk(fault, chunk);
	while (chunk > PAGE_SIZE &&
	       (ALIGN_DOWN(fault->addr, chunk) < start ||
		ALIGN_DOWN(fault->addr, chunk) + chunk > end))
		chunk = msvm_fault_chunk(fault, chunk / 2);

	range = msvm_range_lookup(shard, fault->addr);
	if (!range)
		range = msvm_range_create(shard, fault->member, fault->addr,
					  chunk);
	if (IS_ERR(range))
		return range;

	/* Another member with a larger window may have made it. */
	if (drm_gpusvm_range_start(&range->base) < fault->member->va_start ||
	    drm_gpusvm_range_end(&range->base) > fault->member->va_end) {
		msvm_range_put(range);
		return ERR_PTR(-ERANGE);
	}
	return range;
}

/* One try. Return: -EAGAIN to try again, otherwise the fault's result. */
static int msvm_fault_try(struct msvm_fault *fault)
{
	struct drm_msvm *msvm = fault->member->msvm;
	struct drm_msvm_range *range;
	struct msvm_shard *shard;
	bool too_large;
	int err;

	fault->walk_failed = false;
	fault->decision = (struct msvm_decision) {};
	shard = msvm_shard_get(msvm, fault->addr);
	if (IS_ERR(shard))
		return PTR_ERR(shard);

	range = msvm_fault_range(fault, shard);
	if (IS_ERR(range))
		return PTR_ERR(range);

	/* Not to wait for a range that another worker has. */
	if (fault->worker &&
	    !msvm_worker_claim(fault->worker,
			       drm_gpusvm_range_start(&range->base),
			       drm_gpusvm_range_end(&range->base))) {
		msvm_range_put(range);
		return -ERESTART;
	}

	if (!mutex_trylock(&range->lock)) {
		msvm_stat_inc(msvm, MSVM_STAT_FAULTS_MERGED);
		err = mutex_lock_killable(&range->lock);
		if (err) {
			msvm_range_put(range);
			return err;
		}
	}
	if (range->removed) {
		err = -EAGAIN;
	} else if (msvm_range_unmapped(range) && !fault->hold) {
		/*
		 * The collector passes by a range whose mutex is held, and with enough
		 * faults coming and going one of them always holds it, to see just
		 * this. So whoever sees it first lets the collector do without the
		 * mutex: pairs with smp_load_acquire() in
		 * msvm_shard_try_remove().
		 */
		smp_store_release(&range->removed, true);
		err = -EAGAIN;
	} else {
		err = msvm_fault_serve(fault, range);
		/* A device that fails to map keeps what others have of the range. */
		if (fault->walk_failed)
			err = msvm_fault_shrink(fault, range, err);
	}
	if (!err)
		fault->served_end = drm_gpusvm_range_end(&range->base);
	too_large = range->too_large;
	mutex_unlock(&range->lock);

	if (too_large)
		msvm_fault_replace(fault, shard, range);
	/*
	 * The collector may have passed by while we held the mutex, and comes
	 * again only if told. It saw the flag before it failed to get the
	 * mutex; the barrier is for us not to look before we gave it back.
	 */
	smp_mb();
	if (msvm_range_unmapped(range))
		msvm_shard_collect(shard);
	msvm_range_put(range);

	return err;
}

/* What follows may be overtaken by the CPU side. Any context. */
void msvm_retry_begin(struct msvm_retry *retry)
{
	retry->deadline = jiffies + MSVM_FAULT_MAX_TIME;
	retry->tries = 0;
}

/*
 * It was: may it be tried again? Context: sleeps. Return: 0; -EBUSY: that was often
 * and long enough; -EINTR.
 */
int msvm_retry(struct drm_msvm *msvm, struct msvm_retry *retry)
{
	msvm_stat_inc(msvm, MSVM_STAT_RETRIES);
	if (++retry->tries >= MSVM_FAULT_MAX_TRIES &&
	    time_after(jiffies, retry->deadline))
		return -EBUSY;
	if (fatal_signal_pending(current))
		return -EINTR;
	cond_resched();
	return 0;
}

/*
 * Try until it is served. A nap is no try: nothing changed on the CPU side, and there
 * are only so many of them.
 */
static int msvm_fault_loop(struct msvm_fault *fault)
{
	struct drm_msvm_member *member = fault->member;
	struct msvm_retry retry;
	int err;

	msvm_retry_begin(&retry);
	for (;;) {
		/* Pairs with WRITE_ONCE() in msvm_zap_wait(). */
		if (READ_ONCE(member->wedged))
			return -EIO;
		err = msvm_fault_try(fault);
		if (err == -EBUSY && fault->decision.action == MSVM_THROTTLE)
			err = msvm_place_nap(fault);
		else if (err == -EAGAIN)
			err = msvm_retry(member->msvm, &retry);
		else
			return err;
		if (!err && fault->hasty &&
		    retry.tries >= MSVM_FAULT_HOLD_TRIES)
			err = -EBUSY;
		if (err)
			return err;
		fault->hold = retry.tries >= MSVM_FAULT_HOLD_TRIES &&
			      !(retry.tries & 1) &&
			      !msvm_mutated(MSVM_MUTATE_NEVER_HOLD);
	}
}

/*
 * Serve a fault of the member, by what is set in @fault already. Context: as
 * drm_msvm_handle_fault(). Return: as msvm_fault_serve_for().
 */
int msvm_fault_serve_at(struct msvm_fault *fault, u64 addr,
			enum drm_msvm_access access)
{
	struct drm_msvm_member *member = fault->member;
	struct drm_msvm *msvm = member->msvm;
	unsigned int slot = member->slot;
	int err;

	might_sleep();

	fault->addr = ALIGN_DOWN(addr, PAGE_SIZE);
	fault->write = access != DRM_MSVM_ACCESS_READ;
	fault->atomic = access == DRM_MSVM_ACCESS_ATOMIC;
	trace_msvm_fault_start(msvm->id, slot, addr, access);

	if (WARN_ON_ONCE(READ_ONCE(member->leaving))) {
		err = -EIO;
	} else if (addr < member->va_start || addr >= member->va_end) {
		err = -ERANGE;
	} else if (!mmget_not_zero(msvm->mm)) {
		err = -ESRCH;
	} else {
		/* One for all tries: no fault sees half of two policies. */
		fault->policy = msvm_claim_policy(msvm);
		fault->chunk = msvm_fault_chunk(fault, SZ_2M);
		err = msvm_fault_loop(fault);
		if (!err)
			msvm_prefetch_window(fault);
		msvm_policy_put(fault->policy);
		/*
		 * The last reference may be ours; tearing the whole address
		 * space down is not for a fault worker to do.
		 */
		mmput_async(msvm->mm);
	}

	/* After -ERESTART the fault is another worker's, and the member may be gone. */
	trace_msvm_fault_end(msvm->id, slot, addr, access, err);
	if (msvm_mutated(MSVM_MUTATE_SWALLOW_ERROR) && err != -ERESTART)
		return 0;
	return err;
}

/*
 * Serve a fault, for a worker or for the calling task (@worker NULL). Context: as
 * for drm_msvm_handle_fault(). Return: as there, or for a worker -ERESTART: it is
 * to choose anew, and the fault may be another's, which has perhaps ended it.
 */
int msvm_fault_serve_for(struct msvm_fault_worker *worker,
			 struct drm_msvm_member *member, u64 addr,
			 enum drm_msvm_access access)
{
	struct msvm_fault fault = { .member = member, .worker = worker };

	return msvm_fault_serve_at(&fault, addr, access);
}

/* Count a fault that was taken. Any context. */
void msvm_fault_count(struct drm_msvm_member *member)
{
	atomic64_inc(&member->faults);
	msvm_stat_inc(member->msvm, MSVM_STAT_FAULTS);
}

/*
 * As drm_msvm_handle_fault(), but -EBUSY comes after a few short tries already: the caller
 * has other means.
 */
int msvm_fault_hastily(struct drm_msvm_member *member, u64 addr,
		       enum drm_msvm_access access)
{
	struct msvm_fault fault = { .member = member, .hasty = true };
	int err;

	msvm_fault_count(member);
	err = msvm_fault_serve_at(&fault, addr, access);
	if (err)
		msvm_stat_error(member->msvm, err);
	return err;
}

/**
 * drm_msvm_handle_fault() - Make an address accessible to a member.
 * @member: The member whose GPU faulted.
 * @addr: Faulting address.
 * @access: What the GPU wanted to do.
 *
 * On success the member's driver has been asked to bind a mapping that covers
 * @addr and allows @access. By the time the GPU repeats the access an
 * invalidation may have taken it away again; then it faults again.
 *
 * A failure is final for the access at this time: the driver must report it to
 * the job and must not let the GPU repeat the access for ever.
 *
 * Context: Sleeps, as long as the process makes it if it uses userfaultfd.
 * Takes mmap_lock and locks of the library; the caller holds none that an MMU
 * notifier, or any of the member's operations, takes. Calls for one member can
 * run in parallel; none may be under way or start once drm_msvm_leave() was
 * called.
 *
 * Return: 0, or
 *
 * - -EFAULT: there is no memory at @addr (no VMA, beyond the end of a file,
 *   poisoned), or a device mapping failed;
 * - -EACCES: the process itself may not do @access there, or an attribute
 *   forbids it, see drm_msvm_set_attr();
 * - -EOPNOTSUPP: memory of a kind that can't be shared with devices;
 * - -ERANGE: outside of the member's window, or in a range of other members
 *   that crosses its border;
 * - -EBUSY: the CPU side kept changing the memory for several seconds;
 * - -EINTR: the calling task is being killed;
 * - -ESRCH: the process's memory is gone;
 * - -EIO: the member was cut off, see &drm_msvm_ops.zap_wait;
 * - -ENOMEM: out of memory;
 * - any other error of &drm_msvm_ops.prepare or &drm_msvm_ops.bind.
 */
int drm_msvm_handle_fault(struct drm_msvm_member *member, u64 addr,
			  enum drm_msvm_access access)
{
	int err;

	msvm_fault_count(member);
	err = msvm_fault_serve_for(NULL, member, addr, access);
	if (err)
		msvm_stat_error(member->msvm, err);
	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_handle_fault);
