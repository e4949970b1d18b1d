// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Placement: where the memory of a range should be when a device faults in it.
 *
 * Memory goes to the device that touches it first, and stays there; others map
 * it where it is if they reach it. Whatever the policy, a range that was moved
 * too often lately is left alone for a while, in system memory if need be: all
 * devices and CPUs reach that, so each of them gets on.
 */
#include <linux/jiffies.h>

#include <drm/drm_device.h>

#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_trace.h"

/*
 * Moves in a row that make a range restless, and for how long it is then left
 * alone: nvidia-uvm's uvm_perf_thrashing_threshold and the default of its pin
 * time. Moves are in a row if each follows within so long. nvidia-uvm counts
 * faults in 500 us; but a move takes longer than a fault, and how long depends on
 * the machine: it does not pay if memory is moved again after a few times as long
 * as the move itself took. It counts as well when the memory was taken away in
 * between to make room.
 */
#define MSVM_RESTLESS_MOVES	3
#define MSVM_RESTLESS_WINDOW	msecs_to_jiffies(50)
#define MSVM_RESTLESS_COST	8
#define MSVM_PIN_TIME		msecs_to_jiffies(150)
#define MSVM_PIN_COST		24

/* Is the range left alone for now? */
static bool msvm_place_pinned(struct drm_msvm_range *range)
{
	unsigned long pin = max(MSVM_PIN_TIME,
				MSVM_PIN_COST * range->move_cost);

	return range->moves >= MSVM_RESTLESS_MOVES &&
	       time_before(jiffies, range->last_move + pin);
}

/* Remember that a range was moved, which began at @began. Range mutex held. */
void msvm_place_moved(struct drm_msvm_range *range, unsigned long began)
{
	unsigned long window;

	lockdep_assert_held(&range->lock);

	range->move_cost = jiffies - began;
	window = max(MSVM_RESTLESS_WINDOW,
		     MSVM_RESTLESS_COST * range->move_cost);
	if (time_after(jiffies, range->last_move + window))
		range->moves = 0;
	if (range->moves < MSVM_RESTLESS_MOVES &&
	    ++range->moves == MSVM_RESTLESS_MOVES)
		msvm_stat_inc(msvm_range_context(range), MSVM_STAT_PINS);
	range->last_move = jiffies;
}

/* The decision for memory that is somewhere, and may be moved. */
static enum msvm_decision msvm_place_movable(struct drm_msvm_range *range,
					     struct drm_msvm_member *member,
					     enum msvm_where where,
					     enum msvm_reason *reason)
{
	struct msvm_census census;

	if (msvm_take_census(range, &census)) {
		/* The walk will find out what is wrong. */
		*reason = MSVM_REASON_KIND;
		return MSVM_STAY;
	}
	if (census.memory == member->dev->memory && !census.several &&
	    !census.system && !census.none) {
		*reason = MSVM_REASON_HERE;
		return MSVM_STAY;
	}
	if (where == MSVM_WHERE_FOLLOW_FAULT) {
		*reason = MSVM_REASON_FOLLOW;
		return MSVM_MOVE_HERE;
	}
	/* It can't be mapped in two devices' memory, so it may as well be here. */
	if (census.several) {
		*reason = MSVM_REASON_SEVERAL;
		return MSVM_MOVE_HERE;
	}
	if (census.memory && census.memory != member->dev->memory) {
		*reason = MSVM_REASON_PEER;
		return MSVM_STAY;
	}
	*reason = MSVM_REASON_FIRST_TOUCH;
	return MSVM_MOVE_HERE;
}

/*
 * Decide what to do with a range in which @member faulted. Context: sleeps; range
 * mutex held; nobody else changes what is decided on, but the CPU side may.
 */
enum msvm_decision msvm_place(struct drm_msvm_range *range,
			      struct drm_msvm_member *member,
			      enum msvm_reason *reason)
{
	struct drm_gpusvm_range_flags flags = {
		.__flags = READ_ONCE(range->base.flags.__flags),
	};
	enum msvm_where where = msvm_claim_where(msvm_range_context(range));
	enum msvm_decision decision = MSVM_STAY;

	lockdep_assert_held(&range->lock);

	if (!member->dev->memory)
		*reason = MSVM_REASON_NO_MEMORY;
	else if (!flags.migrate_devmem)
		*reason = MSVM_REASON_KIND;
	else if (where == MSVM_WHERE_SYSTEM ||
		 member->dev->flags & DRM_MSVM_DEVICE_EXPLICIT)
		*reason = MSVM_REASON_POLICY;
	else if (msvm_place_pinned(range))
		*reason = MSVM_REASON_PINNED;
	else if (!bitmap_empty(range->mapped, DRM_MSVM_MAX_MEMBERS) &&
		 where != MSVM_WHERE_FOLLOW_FAULT)
		*reason = MSVM_REASON_SHARED;
	else
		decision = msvm_place_movable(range, member, where, reason);

	return decision;
}

/*
 * Is the memory of a walked range in another device's memory that @member can't
 * reach? Context: sleeps; range mutex held.
 */
bool msvm_place_out_of_reach(struct drm_msvm_range *range,
			     struct drm_msvm_member *member)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	struct drm_pagemap *dpagemap = NULL;
	bool reach;

	lockdep_assert_held(&range->lock);

	drm_gpusvm_notifier_lock(gpusvm);
	if (range->runs_valid)
		dpagemap = drm_pagemap_get(range->dpagemap);
	drm_gpusvm_notifier_unlock(gpusvm);
	if (!dpagemap)
		return false;

	reach = msvm_memory_reach(to_msvm_pagemap(dpagemap)->memory,
				  member->dev->drm->dev);
	drm_pagemap_put(dpagemap);

	return !reach;
}
