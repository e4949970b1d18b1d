// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The default placement: by cost, pressure and history. As first-touch while there
 * is room and devices are within reach; then it asks what that costs. Pure logic,
 * see msvm_policy.h; Documentation/gpu/drm-msvm-policy.rst has the reasons and what
 * was measured.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "msvm_engine.h"

/*
 * A move pays off only if it is not undone within so many times what it took: for a
 * range as for a whole memory.
 */
#define MSVM_PAY_OFF		8

/*
 * What comes back before one part in so many of its memory could have been filled is
 * hot. With 1/2 and 1/16 of the time below, the simulator's streams and hot sets both
 * come out best.
 */
#define MSVM_SOON		2

/* Making room for such may take one part in so many of the time. */
#define MSVM_CALM		16

/* What a move takes where nothing is known: 132 us per 2 MiB, as in xe. */
#define MSVM_NS_PER_KIB		64

/* A device lends a part of its free memory only, 1/4 stays. */
#define MSVM_LEND_SHIFT		2

/* What moving so many bytes takes, by what the last move took. */
static u64 msvm_move_time(const struct msvm_view *view, u64 bytes)
{
	u64 kib = max(msvm_view_size(view) >> 10, 1ULL), cost = 0;

	if (view->heat)
		cost = div64_u64(min(view->heat->cost, 100 * MSVM_NS_PER_MS), kib);
	return (bytes >> 10) * (cost ?: MSVM_NS_PER_KIB);
}

/* How a range without room in a memory compares with what is there. */
enum msvm_rank {
	MSVM_NEW,	/* it was not there lately */
	MSVM_HOT,	/* it was displaced, and is wanted at once */
	MSVM_COLD,	/* it was displaced, and is wanted again after a while */
};

/*
 * What is displaced and wanted again before the whole memory could have been filled a
 * few times is part of more than fits. The sooner, the more it is used.
 */
static enum msvm_rank msvm_rank(const struct msvm_view *view, u8 slot)
{
	const struct msvm_heat *heat = view->heat;
	u64 since, fill;

	if (!heat || !heat->last_move || view->at != MSVM_AT_SYSTEM ||
	    (heat->last_party != MSVM_AT_SYSTEM && heat->last_party != slot))
		return MSVM_NEW;
	since = msvm_since(view->now, heat->last_move);
	fill = msvm_move_time(view, view->slots[slot].size);
	if (since >= MSVM_PAY_OFF * fill)
		return MSVM_NEW;
	return since < fill / MSVM_SOON ? MSVM_HOT : MSVM_COLD;
}

/* Is little of the time, that of the last second or so, spent on making room? */
static bool msvm_is_calm(const struct msvm_view *view, u8 slot)
{
	/* Out and in. */
	u64 churn = 2 * msvm_move_time(view, view->slots[slot].evictions);

	return churn < 1000 * MSVM_NS_PER_MS / MSVM_CALM;
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

/*
 * To the device that faulted. If it is full, what is new displaces what is there:
 * an old working set gives way to the next one. What was displaced itself is lent
 * room elsewhere, or comes back if it is hot and that does not cost too much; so what
 * is used most ends up there, and a stream that is too long does not displace itself.
 */
static void msvm_take(const struct msvm_policy_params *params,
		      const struct msvm_view *view, enum msvm_reason reason,
		      struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view), lender;
	enum msvm_rank rank;

	msvm_wish_for(view, self, reason, wish);
	if (msvm_has_room(view, self))
		return;
	rank = msvm_rank(view, self);
	if (rank == MSVM_NEW || (rank == MSVM_HOT && msvm_is_calm(view, self)))
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
