// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Placement: what the policy engine decided about a fault is carried out here, before
 * the range is walked and mapped. That memory can't be moved is no error: it is mapped
 * where it is, or brought to system memory, which is in everybody's reach.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_device.h>

#include "msvm_control.h"
#include "msvm_engine.h"
#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

static_assert(MSVM_POLICY_SLOTS == DRM_MSVM_MAX_MEMBERS);
static_assert(MSVM_AT_SYSTEM >= DRM_MSVM_MAX_MEMBERS);

/*
 * Whatever a policy says: one nap takes no less and no more, and a fault naps for so
 * long in all. Then it is served where the memory is.
 */
#define MSVM_NAP_LEAST		(20ULL * NSEC_PER_USEC)
#define MSVM_NAP_MOST		(100ULL * NSEC_PER_MSEC)
#define MSVM_NAPS_TIME		(2ULL * NSEC_PER_SEC)

/* The second level of a range's history, if the decision asks for it: a hint. */
static void msvm_place_remember(struct drm_msvm_range *range)
{
	struct msvm_thrash *thrash;

	if (range->heat.thrash)
		return;
	thrash = msvm_alloc(kzalloc_obj(*thrash));
	if (!thrash)
		return;
	thrash->nap_party = 0xff;
	/* Pairs with smp_load_acquire() in msvm_place_pinned_until(). */
	smp_store_release(&range->heat.thrash, thrash);
	msvm_stat_bytes(msvm_range_context(range), sizeof(*thrash));
}

/*
 * For who looks without the range mutex: until when is a range pinned, and where?
 * Return: ns, ~0: for good, 0: it is not.
 */
u64 msvm_place_pinned_until(struct drm_msvm_range *range, u8 *at)
{
	/* Pairs with smp_store_release() in msvm_place_remember(). */
	struct msvm_thrash *thrash = smp_load_acquire(&range->heat.thrash);
	u64 until = thrash ? READ_ONCE(thrash->pin_until) : 0;

	if (until <= ktime_get_ns())
		return 0;
	*at = READ_ONCE(thrash->pinned_at);
	return until;
}

/* Is a range pinned, as far as its history says? */
static bool msvm_place_pinned(struct drm_msvm_range *range, u64 now)
{
	struct msvm_thrash *thrash = range->heat.thrash;

	return thrash && thrash->pin_until > now;
}

/* Make it visible when a range is pinned, and when somebody finds it no longer is. */
static void msvm_place_note_pin(struct drm_msvm_range *range,
				const struct msvm_view *view)
{
	struct drm_msvm *msvm = msvm_range_context(range);
	bool pinned = msvm_place_pinned(range, view->now);

	if (pinned == range->pinned)
		return;
	range->pinned = pinned;
	msvm_stat_inc(msvm, pinned ? MSVM_STAT_PINS : MSVM_STAT_UNPINS);
	if (pinned)
		trace_msvm_pin(msvm->id, view->start, view->end,
			       range->heat.thrash->pinned_at,
			       range->heat.thrash->pin_until);
	else
		trace_msvm_unpin(msvm->id, view->start, view->end);
}

/*
 * Remember in the member that it faulted, or, with no @view, that @bytes were moved to
 * a device for it, which took @cost ns. Context: any that is not atomic.
 */
static void msvm_place_burst(struct msvm_fault *fault,
			     const struct msvm_view *view, u64 cost, u64 bytes)
{
	const struct msvm_decision *decision = &fault->decision;
	struct drm_msvm_member *member = fault->member;
	struct msvm_burst burst;

	guard(spinlock)(&member->msvm->prefetch.lock);

	burst = (struct msvm_burst) {
		.last = member->burst_last,
		.bytes = member->burst_bytes,
		.pace = member->burst_pace,
	};
	if (view)
		msvm_burst_faulted(&burst, view);
	else
		msvm_burst_moved(&burst, ktime_get_ns(), cost, bytes,
				 decision->window_end - decision->window_start);
	member->burst_last = burst.last;
	member->burst_bytes = burst.bytes;
	member->burst_pace = burst.pace;
}

/* What was decided becomes history, and is made visible. Range mutex held. */
static void msvm_place_note(struct msvm_fault *fault,
			    struct drm_msvm_range *range,
			    const struct msvm_view *view)
{
	const struct msvm_decision *decision = &fault->decision;
	struct drm_msvm_member *member = fault->member;
	struct drm_msvm *msvm = member->msvm;

	trace_msvm_place(msvm->id, member->slot, fault->addr, fault->policy,
			 decision);
	msvm_stat_decided(msvm, decision->reason);
	/* A pin that is over, even if another one begins. */
	msvm_place_note_pin(range, view);
	if (decision->alloc_thrash)
		msvm_place_remember(range);
	msvm_heat_apply(&fault->policy->params, &range->heat, view->now,
			view->slots[view->slot].first, decision);
	msvm_place_burst(fault, view, 0, 0);
	msvm_place_note_pin(range, view);
	if (decision->action == MSVM_THROTTLE) {
		msvm_stat_inc(msvm, MSVM_STAT_THROTTLES);
		trace_msvm_throttle(msvm->id, member->slot, fault->addr,
				    decision->delay);
	}
}

/* Has a fault waited for long enough, as far as we are concerned? */
static bool msvm_place_napped(struct msvm_fault *fault, u64 now)
{
	return fault->napping && now - fault->nap_began > MSVM_NAPS_TIME;
}

/*
 * The pagemap of the device that memory is to go to, which may be another member's, and
 * that one may be leaving: it keeps the pagemap, not the member. Context: read section
 * of &drm_msvm.srcu. Return: with a reference, or NULL.
 */
static struct drm_pagemap *msvm_place_target(struct drm_msvm *msvm, u8 slot)
{
	struct drm_msvm_member *member;

	if (slot >= DRM_MSVM_MAX_MEMBERS)
		return NULL;
	member = msvm_member_of(msvm, slot);
	return member && member->dpagemap ? drm_pagemap_get(member->dpagemap) :
					    NULL;
}

/*
 * Remember that a range was moved. It is not once more in a row if its memory came into
 * being there, or if most of it was there already and only what had stayed behind was
 * tried again. @began: when. Range mutex held.
 */
void msvm_place_moved(struct msvm_fault *fault, struct drm_msvm_range *range,
		      u64 began, u8 party)
{
	struct msvm_heat *heat = &range->heat;
	bool again = party < DRM_MSVM_MAX_MEMBERS &&
		     (fault->nowhere || heat->last_party == party);
	u64 now = ktime_get_ns();
	u8 moves = heat->moves;

	lockdep_assert_held(&range->lock);

	msvm_heat_moved(&fault->policy->params, heat, now, now - began, party);
	if (again && moves)
		heat->moves = min(heat->moves, moves);
	/* The invalidations by which it was moved do not count. */
	WRITE_ONCE(range->taken, 0);
}

/* Move a range as decided. Return: 0 whatever came of it, or -EINTR. */
static int msvm_place_move(struct msvm_fault *fault, struct drm_msvm_range *range,
			   struct drm_pagemap *dpagemap)
{
	u8 to = fault->decision.to;
	u64 began = ktime_get_ns();
	int err;

	if (to == MSVM_AT_SYSTEM)
		err = msvm_range_to_system(range);
	else if (dpagemap)
		err = msvm_migrate_range(range, dpagemap, fault->addr,
					 &fault->policy->params);
	else
		return 0;
	if (!err) {
		msvm_place_moved(fault, range, began, to);
		if (to != MSVM_AT_SYSTEM)
			msvm_place_burst(fault, NULL, range->heat.cost,
					 drm_gpusvm_range_size(&range->base));
		msvm_prefetch_moved(fault, range);
	}
	return err == -EINTR ? err : 0;
}

static void msvm_place_decide_once(struct msvm_fault *fault,
				   struct msvm_known *known)
{
	struct drm_msvm *msvm = fault->member->msvm;
	int idx = srcu_read_lock(&msvm->srcu);

	msvm_decide(&fault->policy->params, &known->view, &fault->decision);
	srcu_read_unlock(&msvm->srcu, idx);
}

/*
 * What to do, and then what is to be moved along: what of that there is already depends
 * on where it goes. Context: as msvm_place().
 */
static void msvm_place_decide(struct msvm_fault *fault,
			      struct drm_msvm_range *range,
			      struct msvm_known *known)
{
	msvm_place_decide_once(fault, known);
	if (msvm_prefetch_along(fault, range, known))
		msvm_place_decide_once(fault, known);
}

/*
 * Decide on a fault, and put the memory where it is to be. Context: sleeps; range mutex
 * held, neither mmap_lock nor the notifier lock.
 *
 * Return: 0: serve the fault; -EACCES: it is refused; -EBUSY: it is to wait, see
 * msvm_place_nap(); -EINTR.
 */
int msvm_place(struct msvm_fault *fault, struct drm_msvm_range *range)
{
	struct msvm_decision *decision = &fault->decision;
	struct drm_msvm *msvm = fault->member->msvm;
	struct drm_pagemap *dpagemap = NULL;
	struct msvm_known *known;
	int idx, err = 0;

	lockdep_assert_held(&range->lock);

	if (fault->stay)
		return 0;
	known = msvm_view_take(fault, range);
	if (!known)
		/* No memory for a view: it is mapped where it is, or refused. */
		return fault->attrs.no_access & BIT_ULL(fault->member->slot) ?
		       -EACCES : 0;

	msvm_place_decide(fault, range, known);
	idx = srcu_read_lock(&msvm->srcu);
	if ((decision->action == MSVM_THROTTLE &&
	     msvm_place_napped(fault, known->view.now)) ||
	    /* What is replaced all the time is served first. */
	    (decision->action == MSVM_MOVE && fault->hold))
		msvm_decision_stay(&known->view, decision);
	if (decision->action == MSVM_MOVE)
		dpagemap = msvm_place_target(msvm, decision->to);
	srcu_read_unlock(&msvm->srcu, idx);

	fault->nowhere = msvm_view_nowhere(&known->view);
	msvm_place_note(fault, range, &known->view);
	kfree(known);

	switch (decision->action) {
	case MSVM_STAY:
		break;
	case MSVM_MOVE:
		err = msvm_place_move(fault, range, dpagemap);
		break;
	case MSVM_THROTTLE:
		err = -EBUSY;
		break;
	case MSVM_REFUSE:
		err = -EACCES;
		break;
	}
	drm_pagemap_put(dpagemap);
	return err;
}

/*
 * Wait as decided. Context: sleeps; no lock of the library held, and of a fault worker
 * no range either. The caller has a reference to the mm's users, so a process that
 * ends takes that much longer to give its memory back. Return: 0 or -EINTR.
 */
int msvm_place_nap(struct msvm_fault *fault)
{
	ktime_t delay = ns_to_ktime(clamp(fault->decision.delay, MSVM_NAP_LEAST,
					  MSVM_NAP_MOST));

	if (!fault->napping)
		fault->nap_began = ktime_get_ns();
	fault->napping = true;
	if (fault->worker)
		msvm_worker_yield(fault->worker);
	set_current_state(TASK_KILLABLE);
	if (!fatal_signal_pending(current))
		schedule_hrtimeout(&delay, HRTIMER_MODE_REL);
	__set_current_state(TASK_RUNNING);

	return fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * Is the memory of a walked range in another device's memory that @member can't
 * reach, or is not to? Context: sleeps; range mutex held.
 */
bool msvm_place_out_of_reach(struct drm_msvm_range *range,
			     struct drm_msvm_member *member,
			     enum msvm_peer_access peers)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	struct drm_pagemap *dpagemap = NULL;
	struct msvm_memory *memory;
	bool reach;

	lockdep_assert_held(&range->lock);

	/* A hint: whoever commits sees under the lock whether the walk is valid. */
	if (!READ_ONCE(range->dpagemap))
		return false;
	drm_gpusvm_notifier_lock(gpusvm);
	if (range->runs_valid)
		dpagemap = drm_pagemap_get(range->dpagemap);
	drm_gpusvm_notifier_unlock(gpusvm);
	if (!dpagemap)
		return false;

	memory = to_msvm_pagemap(dpagemap)->memory;
	reach = memory == member->dev->memory ||
		(peers != MSVM_PEER_OFF &&
		 msvm_memory_reach(memory, member->dev->drm->dev));
	drm_pagemap_put(dpagemap);

	return !reach;
}
