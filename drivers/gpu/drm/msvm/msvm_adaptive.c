// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The default placement: by cost, pressure and history. As first-touch while there
 * is room and devices are within reach; then it asks what that costs. Pure logic,
 * see msvm_policy.h; Documentation/gpu/drm-msvm-policy.rst has the reasons and what
 * was measured.
 */
#include <linux/export.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include <kunit/visibility.h>

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

/* A move that took longer was not the move's fault. */
#define MSVM_LONG_MOVE		(100 * MSVM_NS_PER_MS)

/* What moving a KiB takes, by what the last move took: of the range, or any. */
static u64 msvm_pace(const struct msvm_view *view)
{
	u64 kib = max(msvm_view_size(view) >> 10, 1ULL), pace = 0;

	if (view->heat)
		pace = div64_u64(min(view->heat->cost, MSVM_LONG_MOVE), kib);
	if (!pace && view->burst)
		pace = view->burst->pace;
	return pace ?: MSVM_NS_PER_KIB;
}

/* What moving so many bytes takes. */
static u64 msvm_move_time(const struct msvm_view *view, u64 bytes)
{
	return (bytes >> 10) * msvm_pace(view);
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

/*
 * What a member moved in since it paused, less what it may have back for the pause
 * that just ended. A device that runs for long without a fault uses what is there;
 * its memory is tens of times faster than the way there, so in one part in
 * %MSVM_PAY_OFF of the time that it takes to fill it, all was used some times.
 * Short pauses say nothing: something always goes by from one fault to the next.
 */
static u64 msvm_burst_bytes(const struct msvm_burst *burst,
			    const struct msvm_view *view)
{
	u64 size = view->slots[msvm_view_self(view)].size, pause, paid;

	if (!burst->last)
		return 0;
	pause = msvm_since(view->now, burst->last);
	if (pause < div64_u64(msvm_move_time(view, size), MSVM_CALM) ||
	    pause < MSVM_PAY_OFF * msvm_move_time(view, msvm_view_size(view)))
		return burst->bytes;
	paid = min(div64_u64(pause, msvm_pace(view)), burst->bytes >> 10);
	return burst->bytes - min(MSVM_PAY_OFF * paid << 10, burst->bytes);
}

/* A member faulted; @view is of before what was decided is done. */
void msvm_burst_faulted(struct msvm_burst *burst, const struct msvm_view *view)
{
	u8 self = msvm_view_self(view);
	u64 bytes = msvm_burst_bytes(burst, view);

	/* What comes back should not have been displaced. */
	if (!msvm_has_room(view, self) && msvm_rank(view, self) != MSVM_NEW)
		bytes += MSVM_PAY_OFF * msvm_view_size(view);
	burst->bytes = min(bytes, view->slots[self].size);
	burst->last = view->now ?: 1;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_burst_faulted);

/*
 * A member moved @bytes to a device's memory, which took @cost ns, and will move so
 * much along.
 */
void msvm_burst_moved(struct msvm_burst *burst, u64 now, u64 cost, u64 bytes,
		      u64 along)
{
	burst->last = now ?: 1;
	burst->bytes += bytes + along;
	burst->pace = div64_u64(min(cost, MSVM_LONG_MOVE), max(bytes >> 10, 1ULL));
}
EXPORT_SYMBOL_IF_KUNIT(msvm_burst_moved);

/*
 * May a range that is new displace what is in a full memory? If it is part of more
 * than fits, what would be displaced first may well be what is wanted next, as in a
 * stream: then the memory is filled once, and after that only what is there is used,
 * unless the device has paused since.
 */
static bool msvm_may_displace(const struct msvm_view *view, u8 slot)
{
	u64 size = view->slots[slot].size;

	return view->extent <= size || !view->burst ||
	       msvm_burst_bytes(view->burst, view) + msvm_view_size(view) <= size;
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
	if (rank == MSVM_NEW ? msvm_may_displace(view, self) :
	    rank == MSVM_HOT && msvm_is_calm(view, self))
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
