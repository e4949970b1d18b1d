// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The default placement: by cost, pressure and history. As first-touch while there
 * is room and devices are within reach; then it asks what that costs. Pure logic,
 * see msvm_policy.h; Documentation/gpu/drm-msvm-policy.rst has the reasons and what
 * was measured.
 */
#include <linux/minmax.h>
#include <linux/types.h>

#include "msvm_engine.h"

/*
 * What a full memory may evict in about a second to let something new in: a part
 * of its size, so that a new working set displaces an old one within seconds, while
 * a stream larger than the memory does not. The least is below what anybody notices:
 * 32 moves of 2 MiB.
 */
#define MSVM_CHURN_SHIFT	4
#define MSVM_CHURN_LEAST	(64ULL << 20)

/* A device lends a part of its free memory only, 1/4 stays. */
#define MSVM_LEND_SHIFT		2

/* May the range be moved into the memory, at the cost of what is there? */
static bool msvm_may_enter(const struct msvm_view *view, u8 slot)
{
	const struct msvm_view_slot *s = &view->slots[slot];

	return msvm_has_room(view, slot) ||
	       s->evictions < max(s->size >> MSVM_CHURN_SHIFT,
				  MSVM_CHURN_LEAST);
}

/* The nearest device with room to lend, nearer than system memory; or nobody. */
static u8 msvm_lender(const struct msvm_policy_params *params,
		      const struct msvm_view *view)
{
	unsigned int slot, distance, best = 0;
	u8 lender = MSVM_NOBODY;

	for (slot = 0; slot < view->nr_slots; slot++) {
		const struct msvm_view_slot *s = &view->slots[slot];

		if (s->first != slot || slot == msvm_view_self(view) ||
		    !msvm_can_hold(view, slot) || s->evictions ||
		    !msvm_is_near(params, view, view->slot, slot) ||
		    s->free < msvm_view_size(view) + (s->size >> MSVM_LEND_SHIFT))
			continue;
		distance = view->distance(view, view->slot, slot);
		if (lender == MSVM_NOBODY || distance < best) {
			lender = slot;
			best = distance;
		}
	}
	return lender;
}

/* To the device that faulted, or where there is more room. */
static void msvm_take(const struct msvm_policy_params *params,
		      const struct msvm_view *view, enum msvm_reason reason,
		      struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view);

	u8 lender;

	msvm_wish_for(view, self, reason, wish);
	if (msvm_may_enter(view, self))
		return;
	lender = msvm_lender(params, view);
	if (lender != MSVM_NOBODY)
		msvm_wish_for(view, lender, MSVM_REASON_PRESSURE, wish);
	else
		msvm_wish_stay(view, MSVM_REASON_PRESSURE, wish);
}

/*
 * Would all that use the memory of a device together be nearer to it in system
 * memory? Distances stand for what an access costs.
 */
static bool msvm_costs_more(const struct msvm_policy_params *params,
			    const struct msvm_view *view, u8 at)
{
	u64 users = view->mapped | BIT_ULL(view->slot) | BIT_ULL(at);
	u64 here = 0, there = 0;
	unsigned int slot;

	for (slot = 0; slot < view->nr_slots; slot++) {
		if (!(users & BIT_ULL(slot)) || !view->slots[slot].joined)
			continue;
		there += view->distance(view, slot, MSVM_AT_SYSTEM);
		if (view->slots[slot].first == at)
			continue;
		if (!msvm_reaches(params, view, slot, at))
			return true;
		here += view->distance(view, slot, at);
	}
	return here > there;
}

/* Where memory should be that a device faulted in. */
void msvm_choose_adaptive(const struct msvm_policy_params *params,
			  const struct msvm_view *view, struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view);
	u8 at = view->at == MSVM_AT_MIXED ? view->part : view->at;
	u64 others = view->mapped & ~BIT_ULL(view->slot);

	if (msvm_view_all_at(view, self)) {
		msvm_wish_stay(view, MSVM_REASON_HERE, wish);
	} else if (at < MSVM_POLICY_SLOTS && at != self &&
		   msvm_reaches(params, view, view->slot, at) &&
		   msvm_costs_more(params, view, at)) {
		msvm_wish_for(view, MSVM_AT_SYSTEM, MSVM_REASON_COST, wish);
	} else if (others) {
		msvm_wish_stay(view, MSVM_REASON_SHARED, wish);
	} else if (at == self || at == MSVM_AT_SYSTEM) {
		msvm_take(params, view, MSVM_REASON_FIRST_TOUCH, wish);
	} else if (at == MSVM_AT_SEVERAL) {
		msvm_take(params, view, MSVM_REASON_SEVERAL, wish);
	} else if (msvm_reaches(params, view, view->slot, at)) {
		msvm_wish_stay(view, MSVM_REASON_PEER, wish);
	} else {
		msvm_take(params, view, MSVM_REASON_OUT_OF_REACH, wish);
	}
}
