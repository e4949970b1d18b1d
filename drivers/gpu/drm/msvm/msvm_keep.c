// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory that is kept mapped, for devices that take no page faults: a driver names
 * intervals, or an attribute does; an invalidation of one stops the device's queues of
 * that member before anything is taken away, and a worker maps what there is again and
 * lets them go on.
 *
 * Stopping means to preempt. A job that is waited for may itself wait for what
 * the memory operation under way holds up.
 */
#include <linux/jiffies.h>
#include <linux/maple_tree.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "msvm_internal.h"
#include "msvm_keep.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/*
 * Time from an invalidation to the try to map again: amdkfd's restore work starts
 * after 1 ms. It doubles while invalidations follow each other, up to the maximum,
 * so that a process that changes its memory all the time is not slowed down further;
 * its jobs run in between.
 */
#define MSVM_KEEP_DELAY		msecs_to_jiffies(1)
#define MSVM_KEEP_MAX_DELAY	msecs_to_jiffies(100)
/* Invalidations follow each other if they come within so many delays. */
#define MSVM_KEEP_CALM		4
/* After so many rounds in vain the process is kept out, see msvm_keep_held.c. */
#define MSVM_KEEP_ROUNDS	3
/*
 * And for so long afterwards, so that its jobs get on: min_run_period_lr_ms of xe, which
 * waits for that in the notifier, with mmap_lock held as well.
 */
#define MSVM_KEEP_RUN		msecs_to_jiffies(5)

static void msvm_keep_work(struct work_struct *work);

/* A member's keep, made when it first needs one. */
struct msvm_keep *msvm_keep_get(struct drm_msvm_member *member)
{
	struct drm_msvm *msvm = member->msvm;
	struct msvm_keep *keep;

	guard(mutex)(&msvm->lock);

	if (member->keep)
		return member->keep;
	/* The workers may have to wait for the process: not at the cost of others. */
	if (!msvm->keep_wq)
		msvm->keep_wq = msvm_alloc(alloc_workqueue("drm_msvm_keep/%u",
							   WQ_UNBOUND, 0,
							   msvm->id));
	if (!msvm->keep_wq)
		return NULL;
	keep = msvm_alloc(kzalloc_obj(*keep));
	if (!keep)
		return NULL;
	keep->member = member;
	mutex_init(&keep->change_lock);
	mutex_init(&keep->lock);
	mt_init_flags(&keep->intervals, MT_FLAGS_USE_RCU);
	keep->delay = max(MSVM_KEEP_DELAY, 1UL);
	keep->resumed = jiffies;
	spin_lock_init(&keep->task_lock);
	INIT_LIST_HEAD(&keep->bindings);
	INIT_DELAYED_WORK(&keep->work, msvm_keep_work);
	/* Pairs with smp_load_acquire() in notifiers. */
	smp_store_release(&member->keep, keep);

	return keep;
}

/*
 * A member is to have memory by an attribute. Context: sleeps. Return: 0, also if that
 * keeps nothing mapped; -ENOMEM.
 */
int msvm_keep_prepare(struct drm_msvm_member *member)
{
	return !msvm_keep_by_attr(member) || msvm_keep_get(member) ? 0 :
								     -ENOMEM;
}

/* Does anything named overlap an interval? Any context. */
static bool msvm_keep_overlaps(struct msvm_keep *keep, unsigned long start,
			       unsigned long end)
{
	return mt_find(&keep->intervals, &start, end - 1);
}

/*
 * A bound range of a member is about to be taken away: stop its queues if they rely
 * on it. @own: see msvm_keep_quiesce(). Context: notifier lock held for writing, before
 * the zap.
 */
void msvm_keep_invalidate(struct drm_msvm_member *member, unsigned long start,
			  unsigned long end, bool own)
{
	/* Pairs with smp_store_release() when the first interval is kept. */
	struct msvm_keep *keep = smp_load_acquire(&member->keep);

	if (keep && (msvm_keep_overlaps(keep, start, end) ||
		     msvm_keep_attr_overlaps(member, start, end)))
		msvm_keep_quiesce(member, own);
}

/* The process took something away: how long to wait this time? Lock of @keep held. */
static void msvm_keep_pace(struct msvm_keep *keep)
{
	lockdep_assert_held(&keep->lock);

	if (time_before(jiffies, keep->resumed +
			MSVM_KEEP_CALM * keep->delay)) {
		keep->delay = min(2 * keep->delay, MSVM_KEEP_MAX_DELAY);
	} else {
		keep->delay = max(MSVM_KEEP_DELAY, 1UL);
		keep->rounds = 0;
	}
}

/* Lock of @keep held, in a notifier. */
static void msvm_keep_stop_queues(struct msvm_keep *keep)
{
	struct drm_msvm_member *member = keep->member;

	lockdep_assert_held(&keep->lock);

	/* Pairs with READ_ONCE() in msvm_keep_let_run(). */
	WRITE_ONCE(keep->quiesced, true);
	member->dev->ops->quiesce(member);
	msvm_stat_inc(member->msvm, MSVM_STAT_QUIESCES);
	/* It looks for waiters without a lock. */
	smp_mb();
	wake_up_var(&keep->quiesced);
}

/*
 * Stop the queues of a member that has something kept, until all of it is mapped
 * again or can't be. @own: a fault of the member maps it in another way, which takes a
 * moment: the process has changed nothing. Would the queues then wait for as long as
 * after a change, the process could take away what was mapped before it was used, and
 * the fault come again, for ever. Context: as for &drm_msvm_ops.quiesce.
 */
void msvm_keep_quiesce(struct drm_msvm_member *member, bool own)
{
	/* Pairs with smp_store_release() when the first interval is kept. */
	struct msvm_keep *keep = smp_load_acquire(&member->keep);

	/* Leaving: its jobs are over. */
	if (!keep || READ_ONCE(keep->closing) ||
	    msvm_mutated(MSVM_MUTATE_SKIP_QUIESCE))
		return;

	guard(mutex)(&keep->lock);

	keep->seq++;
	if (!keep->quiesced) {
		if (!own)
			msvm_keep_pace(keep);
		msvm_keep_stop_queues(keep);
		if (own) {
			mod_delayed_work(member->msvm->keep_wq, &keep->work, 0);
			return;
		}
	}
	queue_delayed_work(member->msvm->keep_wq, &keep->work, keep->delay);
}

/* Stop them to try again what could not be mapped. Context: as above. */
void msvm_keep_recheck(struct drm_msvm_member *member)
{
	/* Pairs with smp_store_release() when the first interval is kept. */
	struct msvm_keep *keep = smp_load_acquire(&member->keep);

	if (!keep || READ_ONCE(keep->closing))
		return;

	mutex_lock(&keep->lock);
	keep->seq++;
	if (!keep->quiesced)
		msvm_keep_stop_queues(keep);
	queue_delayed_work(member->msvm->keep_wq, &keep->work, 0);
	mutex_unlock(&keep->lock);
}

/*
 * Do something for all intervals that were named to be written, or only read. Return: as
 * msvm_keep_each().
 */
static int msvm_keep_each_interval(struct msvm_keep *keep, msvm_keep_fn fn,
				   bool write)
{
	MA_STATE(mas, &keep->intervals, 0, 0);
	unsigned long start, end;
	void *entry;
	int err;

	for (;;) {
		rcu_read_lock();
		entry = mas_find(&mas, ULONG_MAX);
		start = mas.index;
		end = mas.last + 1;
		/* It is not kept while we sleep. */
		mas_pause(&mas);
		rcu_read_unlock();
		if (!entry)
			return 0;
		if ((xa_to_value(entry) != DRM_MSVM_ACCESS_READ) != write)
			continue;
		err = fn(keep->member, start, end, xa_to_value(entry));
		if (err)
			return err;
	}
}

/*
 * Do something for all intervals that are kept, those that are written first: a range that
 * has some of both kinds is then not taken away again to be mapped for writing. Return: 0,
 * or the error of the one that ended it.
 */
static int msvm_keep_each(struct msvm_keep *keep, msvm_keep_fn fn)
{
	return msvm_keep_each_interval(keep, fn, true) ?:
	       msvm_keep_attr_each(keep->member, fn) ?:
	       msvm_keep_each_interval(keep, fn, false);
}

/* May the worker go on? It can be interrupted from now on. */
static bool msvm_keep_enter(struct msvm_keep *keep)
{
	bool ok;

	spin_lock(&keep->task_lock);
	ok = !keep->closing;
	if (ok)
		keep->task = current;
	spin_unlock(&keep->task_lock);

	return ok;
}

static void msvm_keep_exit(struct msvm_keep *keep)
{
	spin_lock(&keep->task_lock);
	keep->task = NULL;
	spin_unlock(&keep->task_lock);
}

static u64 msvm_keep_seq(struct msvm_keep *keep)
{
	u64 seq;

	mutex_lock(&keep->lock);
	seq = keep->seq;
	mutex_unlock(&keep->lock);

	return seq;
}

/*
 * All that can be is mapped, or not (@err): start the queues, unless more was taken
 * away since @seq. Also if some can never be mapped: jobs fail instead of waiting.
 */
static void msvm_keep_done(struct msvm_keep *keep, u64 seq, int err)
{
	struct drm_msvm_member *member = keep->member;

	/* Its jobs are over. */
	if (READ_ONCE(keep->closing))
		return;

	mutex_lock(&keep->lock);
	if (keep->quiesced && (seq != keep->seq || err)) {
		/* -EBUSY: it was faster each time, in one place. */
		keep->rounds = err == -EBUSY ? MSVM_KEEP_ROUNDS :
					       keep->rounds + 1;
		keep->delay = min(2 * keep->delay, MSVM_KEEP_MAX_DELAY);
		queue_delayed_work(member->msvm->keep_wq, &keep->work, keep->delay);
	} else if (keep->quiesced) {
		WRITE_ONCE(keep->quiesced, false);
		keep->resumed = jiffies;
		member->dev->ops->resume(member);
		msvm_stat_inc(member->msvm, MSVM_STAT_RESUMES);
	}
	mutex_unlock(&keep->lock);
}

/*
 * The queues were started while the process is kept out: give them time to do something,
 * unless somebody else stops them before. Once the locks are free, whoever waits for them
 * to take the memory away may be faster than a job is at its next command.
 */
static void msvm_keep_let_run(struct msvm_keep *keep)
{
	wait_var_event_timeout(&keep->quiesced,
			       READ_ONCE(keep->quiesced) ||
			       READ_ONCE(keep->closing), MSVM_KEEP_RUN);
}

/*
 * Map what is kept and start the queues while the process is kept out; once more if others
 * are at one of the ranges, since whoever queues for it does so with the process let in.
 * Return: 0; -EAGAIN: that is not possible; -EINTR: the member leaves, or that; -ESRCH.
 */
static int msvm_keep_round_held(struct msvm_keep *keep)
{
	struct mm_struct *mm = keep->member->msvm->mm;
	u64 seq;
	int err;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	err = mmap_write_lock_killable(mm);
	if (err)
		goto out;
	/* Who changes something now is let out first, or it would count. */
	err = msvm_keep_each(keep, msvm_keep_lock) ?:
	      msvm_keep_bind_all(keep, msvm_userptr_lock_vmas);
	seq = msvm_keep_seq(keep);
	err = err ?: msvm_keep_each(keep, msvm_keep_held) ?:
	      msvm_keep_bind_all(keep, msvm_userptr_revalidate_held);
	if (!err) {
		msvm_keep_done(keep, seq, 0);
		msvm_keep_let_run(keep);
	} else if (err == -EBUSY) {
		msvm_keep_done(keep, seq, err);
		err = 0;
	}
	mmap_write_unlock(mm);
out:
	mmput_async(mm);
	return err;
}

/* Map what is kept, and start the queues unless the process was faster. */
static void msvm_keep_round(struct msvm_keep *keep, bool hasty)
{
	u64 seq = msvm_keep_seq(keep);
	int err;

	err = msvm_keep_each(keep, hasty ? msvm_keep_remap_hastily :
					   msvm_keep_remap);
	/* An interval that failed says nothing of the userptrs. */
	if (err != -EINTR)
		err = msvm_keep_bind_all(keep, hasty ?
					 msvm_userptr_revalidate_hastily :
					 msvm_userptr_revalidate) ?: err;
	msvm_keep_done(keep, seq, err);
}

static void msvm_keep_work(struct work_struct *work)
{
	struct msvm_keep *keep = container_of(to_delayed_work(work),
					      struct msvm_keep, work);
	bool hold;

	allow_kernel_signal(SIGKILL);
	if (msvm_keep_enter(keep)) {
		mutex_lock(&keep->lock);
		hold = keep->rounds >= MSVM_KEEP_ROUNDS;
		mutex_unlock(&keep->lock);
		if (!hold || msvm_keep_round_held(keep))
			msvm_keep_round(keep, !hold);
		msvm_keep_exit(keep);
	}
	disallow_signal(SIGKILL);
}

/* Stop the queues until the worker has mapped what is kept. Context: sleeps. */
static void msvm_keep_leave_to_work(struct drm_msvm_member *member, u64 start)
{
	/* There is one, since something was mapped there. */
	struct msvm_shard *shard = msvm_shard_get(member->msvm, start);

	if (WARN_ON_ONCE(IS_ERR(shard)))
		return;
	/* As for all that stops queues; the intervals are in many shards anyway. */
	down_write(&shard->gpusvm.notifier_lock);
	msvm_keep_recheck(member);
	up_write(&shard->gpusvm.notifier_lock);
}

/**
 * drm_msvm_keep() - Keep an interval mapped for a member.
 * @member: The member; its device has &drm_msvm_ops.quiesce and
 *	&drm_msvm_ops.resume.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 * @access: What the device will do there.
 *
 * When it returns the whole interval is mapped, and whenever it is not, the member's
 * queues are stopped, until drm_msvm_unkeep() or drm_msvm_leave(). Intervals may
 * overlap ones that are kept already; the newer access counts. Memory that the
 * process unmaps stays named: new memory at the same addresses is mapped at the next
 * occasion, and until then jobs that touch it fail.
 *
 * Context: Sleeps; as for drm_msvm_handle_fault().
 *
 * Return: 0; -EINVAL: the interval is empty, not page aligned or not within the
 * member's window; -EOPNOTSUPP: the device lacks the operations; -ENOMEM; or any
 * error of drm_msvm_handle_fault(): then nothing new is kept.
 */
int drm_msvm_keep(struct drm_msvm_member *member, u64 start, u64 end,
		  enum drm_msvm_access access)
{
	struct msvm_keep *keep;
	int err;

	might_sleep();
	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) ||
	    start < member->va_start || end > member->va_end)
		return -EINVAL;
	if (!member->dev->ops->quiesce || !member->dev->ops->resume)
		return -EOPNOTSUPP;
	keep = msvm_keep_get(member);
	if (!keep)
		return -ENOMEM;

	guard(mutex)(&keep->change_lock);

	err = msvm_keep_map(member, start, end, access);
	if (err)
		return err;
	err = msvm_fail_alloc() ? -ENOMEM :
	      mtree_store_range(&keep->intervals, start, end - 1,
				xa_mk_value(access), GFP_KERNEL);
	if (err)
		return err;
	/*
	 * What was taken away before it was named stopped no queue. What is taken
	 * away from now on does. What can't be mapped for now is left to the worker.
	 */
	if (msvm_keep_remap(member, start, end, access))
		msvm_keep_leave_to_work(member, start);
	return 0;
}
EXPORT_SYMBOL_GPL(drm_msvm_keep);

/**
 * drm_msvm_unkeep() - No longer keep an interval mapped.
 * @member: The member.
 * @start: First address, page aligned.
 * @end: End, exclusive, page aligned.
 *
 * Parts that are not kept are no error. Nothing is unmapped by it.
 *
 * Context: Sleeps.
 *
 * Return: 0; -EINVAL: the interval is empty or not page aligned; -ENOMEM: nothing
 * was changed.
 */
int drm_msvm_unkeep(struct drm_msvm_member *member, u64 start, u64 end)
{
	struct msvm_keep *keep = READ_ONCE(member->keep);

	might_sleep();
	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end))
		return -EINVAL;
	if (!keep)
		return 0;

	guard(mutex)(&keep->change_lock);

	return msvm_fail_alloc() ? -ENOMEM :
	       mtree_store_range(&keep->intervals, start, end - 1, NULL,
				 GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(drm_msvm_unkeep);

/* The member leaves: its worker ends, even out of a fault. Context: sleeps. */
void msvm_keep_stop(struct drm_msvm_member *member)
{
	struct msvm_keep *keep = member->keep;

	if (!keep)
		return;
	spin_lock(&keep->task_lock);
	WRITE_ONCE(keep->closing, true);
	if (keep->task)
		send_sig(SIGKILL, keep->task, 1);
	spin_unlock(&keep->task_lock);
	disable_delayed_work_sync(&keep->work);
}

/* It has no mapping any more, so no notifier comes. */
void msvm_keep_free(struct drm_msvm_member *member)
{
	struct msvm_keep *keep = member->keep;

	if (!keep)
		return;
	member->keep = NULL;
	mtree_destroy(&keep->intervals);
	mutex_destroy(&keep->lock);
	mutex_destroy(&keep->change_lock);
	kfree(keep);
}

/* All members left, so there is no worker any more. Context: sleeps. */
void msvm_keep_destroy(struct drm_msvm *msvm)
{
	if (msvm->keep_wq)
		destroy_workqueue(msvm->keep_wq);
}
