// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory that is moved back and forth: how that is noticed, and what is remembered.
 * Two levels: a few bytes in each range, and what is only made for a range that was
 * moved twice in a row. Pure logic, see msvm_policy.h.
 *
 * nvidia-uvm counts migrations and revocations between processors; here every move
 * counts, from one device to another, to and from system memory, evictions as well.
 */
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include <kunit/visibility.h>

#include "msvm_engine.h"

/*
 * What follows within so many times as long as the last move took is in a row with
 * it, and what is pinned stays for so many times as long: a move pays off only after
 * a while, and what it takes depends on the machine.
 */
#define MSVM_ROW_COST		8
#define MSVM_PIN_COST		24

/*
 * A move that took longer was not the move's fault: somebody slept. Checking kernels on
 * emulated CPUs take some 100 ms for 2 MiB.
 */
#define MSVM_MOST_COST		(1000 * MSVM_NS_PER_MS)

/* The clock of another CPU may be behind by so much. */
#define MSVM_SKEW		(1000 * MSVM_NS_PER_MS)

/* How long ago something was; what is far in the future is no time at all. */
u64 msvm_since(u64 now, u64 then)
{
	if (now >= then)
		return now - then;
	return then - now < MSVM_SKEW ? 0 : ~0ULL;
}

/* nvidia-uvm has constants, whatever moves take. */
static u64 msvm_cost(const struct msvm_policy_params *params,
		     const struct msvm_heat *heat)
{
	return msvm_is_uvm(params) ? 0 : min(heat->cost, MSVM_MOST_COST);
}

static u64 msvm_row_time(const struct msvm_policy_params *params,
			 const struct msvm_heat *heat)
{
	return max(params->thrash_window_us * MSVM_NS_PER_US,
		   MSVM_ROW_COST * msvm_cost(params, heat));
}

static u64 msvm_nap_time(const struct msvm_policy_params *params,
			 const struct msvm_heat *heat)
{
	return max(params->thrash_throttle_us * MSVM_NS_PER_US,
		   msvm_cost(params, heat));
}

static u64 msvm_pin_time(const struct msvm_policy_params *params,
			 const struct msvm_heat *heat)
{
	return max(params->thrash_pin_ms * MSVM_NS_PER_MS,
		   MSVM_PIN_COST * msvm_cost(params, heat));
}

/* Quiet time after which history is forgotten: no move of it is quiet time. */
static u64 msvm_reset_time(const struct msvm_policy_params *params,
			   const struct msvm_heat *heat)
{
	return max(params->thrash_reset_ms * MSVM_NS_PER_MS,
		   MSVM_ROW_COST * msvm_cost(params, heat));
}

/* Time left until @until; a value that @most can't have led to is none. */
static u64 msvm_left(u64 now, u64 until, u64 most)
{
	return until > now && until - now <= most ? until - now : 0;
}

static u64 msvm_nap_left(const struct msvm_policy_params *params,
			 const struct msvm_heat *heat, u64 now)
{
	return msvm_left(now, heat->thrash->nap_until,
			 max(params->thrash_throttle_us * MSVM_NS_PER_US,
			     MSVM_MOST_COST));
}

static bool msvm_pinned(const struct msvm_policy_params *params,
			const struct msvm_heat *heat, u64 now)
{
	const struct msvm_thrash *thrash = heat->thrash;

	if (!thrash)
		return false;
	if (thrash->pin_until == ~0ULL)
		return !params->thrash_pin_ms;
	return msvm_left(now, thrash->pin_until,
			 max(params->thrash_pin_ms * MSVM_NS_PER_MS,
			     MSVM_PIN_COST * MSVM_MOST_COST));
}

static bool msvm_restless(const struct msvm_policy_params *params,
			  const struct msvm_heat *heat)
{
	return params->thrash_threshold &&
	       heat->moves >= min(params->thrash_threshold, 255U);
}

/* Has it been quiet for so long that its history is forgotten? */
static bool msvm_expired(const struct msvm_policy_params *params,
			 const struct msvm_heat *heat, u64 now)
{
	const struct msvm_thrash *thrash = heat->thrash;

	return thrash->epoch && !msvm_pinned(params, heat, now) &&
	       msvm_since(now, thrash->epoch) >=
	       msvm_reset_time(params, heat) &&
	       (!params->thrash_max_resets ||
		thrash->resets < min(params->thrash_max_resets, 255U));
}

/* Do all that moved it, and who faulted, reach a place? Nearer than system? */
static bool msvm_all_reach(const struct msvm_policy_params *params,
			   const struct msvm_view *view, u8 place, bool near)
{
	const struct msvm_thrash *thrash = view->heat->thrash;
	u64 parties = thrash->parties | BIT_ULL(msvm_view_self(view));
	u8 last = view->heat->last_party;
	unsigned int slot;

	if (place == MSVM_AT_SYSTEM)
		return !near;
	/* To where nvidia-uvm pinned it nobody moved it. */
	if (msvm_is_uvm(params) && msvm_pinned(params, view->heat, view->now) &&
	    last == thrash->pinned_at)
		last = MSVM_NOBODY;
	/* CPUs reach no device's memory, and evictions empty it. */
	if (thrash->system || last == MSVM_AT_SYSTEM)
		return false;
	if (last < MSVM_POLICY_SLOTS)
		parties |= BIT_ULL(last);
	for (slot = 0; slot < view->nr_slots; slot++) {
		if (!(parties & BIT_ULL(slot)) || !view->slots[slot].joined)
			continue;
		if (near ? !msvm_is_near(params, view, slot, place) :
			   !msvm_reaches(params, view, slot, place))
			return false;
	}
	return true;
}

/* Fill in that the range is pinned at @place; always true. */
static bool msvm_pin(const struct msvm_policy_params *params,
		     const struct msvm_view *view, u8 place,
		     struct msvm_decision *decision)
{
	u64 until;

	if ((place != view->at && !msvm_can_hold(view, place)) ||
	    !msvm_reaches(params, view, view->slot, place))
		place = MSVM_AT_SYSTEM;
	decision->action = place == view->at ? MSVM_STAY : MSVM_MOVE;
	decision->reason = MSVM_REASON_PINNED;
	decision->to = place;
	decision->pin = true;
	if (msvm_pinned(params, view->heat, view->now))
		until = view->heat->thrash->pin_until;
	else if (!params->thrash_pin_ms)
		until = ~0ULL;
	else
		until = view->now + msvm_pin_time(params, view->heat);
	decision->pin_until = until;
	return true;
}

static bool msvm_throttle(const struct msvm_policy_params *params,
			  const struct msvm_view *view,
			  struct msvm_decision *decision)
{
	u64 left = msvm_nap_left(params, view->heat, view->now);

	decision->action = MSVM_THROTTLE;
	decision->reason = MSVM_REASON_THROTTLED;
	decision->to = view->at;
	decision->delay = left ?: msvm_nap_time(params, view->heat);
	return true;
}

/* The second level could not be made: left alone, as the first level knows. */
static bool msvm_hold(const struct msvm_policy_params *params,
		      const struct msvm_view *view,
		      struct msvm_decision *decision)
{
	if (msvm_since(view->now, view->heat->last_move) >=
	    msvm_pin_time(params, view->heat))
		return false;
	decision->reason = MSVM_REASON_PINNED;
	decision->to = view->at;
	decision->action = MSVM_STAY;
	if (!msvm_reaches(params, view, view->slot, view->at)) {
		decision->to = MSVM_AT_SYSTEM;
		decision->action = MSVM_MOVE;
	}
	return true;
}

/* Was it moved to a place, or is who faulted there? */
static bool msvm_is_party(const struct msvm_view *view, u8 place)
{
	return place < MSVM_POLICY_SLOTS &&
	       (view->heat->thrash->parties & BIT_ULL(place) ||
		view->heat->last_party == place ||
		msvm_view_self(view) == place);
}

/*
 * nvidia-uvm: the place nearest to who faulted that all that moved it reach. Any
 * device's memory comes before system memory.
 */
static u8 msvm_common_place(const struct msvm_policy_params *params,
			    const struct msvm_view *view)
{
	u8 self = msvm_view_self(view), best = MSVM_AT_SYSTEM;
	unsigned int slot;

	if (msvm_all_reach(params, view, self, false))
		return self;
	for (slot = 0; slot < view->nr_slots; slot++)
		if (view->slots[slot].first == slot &&
		    msvm_can_hold(view, slot) &&
		    msvm_all_reach(params, view, slot, false) &&
		    (best == MSVM_AT_SYSTEM ||
		     view->distance(view, view->slot, slot) <
		     view->distance(view, view->slot, best)))
			best = slot;
	return best;
}

/* The range is pinned, and a device wants it elsewhere. */
static bool msvm_hint_pinned(const struct msvm_policy_params *params,
			     const struct msvm_view *view, bool chosen,
			     struct msvm_decision *decision)
{
	u8 at = view->heat->thrash->pinned_at;
	bool uvm = msvm_is_uvm(params);

	/* nvidia-uvm moves pinned memory on to the one that is not to wait. */
	if (uvm && chosen)
		return msvm_pin(params, view, msvm_common_place(params, view),
				decision);
	if (at < view->nr_slots)
		at = view->slots[at].first;
	/*
	 * It may have been evicted, or touched by a CPU. nvidia-uvm takes it back;
	 * others leave it there, as a pin is to save moves.
	 */
	if (!uvm && view->at != at &&
	    msvm_reaches(params, view, view->slot, view->at))
		return msvm_pin(params, view, view->at, decision);
	if (msvm_reaches(params, view, view->slot, at))
		return msvm_pin(params, view, at, decision);
	if (uvm)
		return msvm_throttle(params, view, decision);
	return msvm_pin(params, view, MSVM_AT_SYSTEM, decision);
}

/*
 * One is let through per nap, and not the same one twice in a row; all where naps take
 * no time. Of nvidia-uvm's naps that are nobody's the first one that comes has the rest.
 */
static bool msvm_chosen(const struct msvm_policy_params *params,
			const struct msvm_view *view, bool nap)
{
	const struct msvm_thrash *thrash = view->heat->thrash;
	u8 self = msvm_view_self(view);

	if (!params->thrash_throttle_us)
		return true;
	if (!nap)
		return !thrash->nap_until || thrash->nap_party != self;
	if (msvm_is_uvm(params) && thrash->nap_party == MSVM_NOBODY)
		return !(thrash->waiting & BIT_ULL(self));
	return thrash->nap_party == self;
}

/* The same device is preferred by an attribute, and asks. For nvidia-uvm only. */
static bool msvm_hint_preferred(const struct msvm_policy_params *params,
				const struct msvm_view *view, bool pinned,
				bool chosen, bool enough,
				struct msvm_decision *decision)
{
	u8 self = msvm_view_self(view);

	if (pinned && view->heat->thrash->pinned_at == self)
		return msvm_pin(params, view, self, decision);
	if (!chosen)
		return msvm_throttle(params, view, decision);
	return (pinned || enough) && msvm_pin(params, view, self, decision);
}

/*
 * A range is to be moved (nvidia-uvm: or mapped): is it one that goes back and forth?
 * Then replace the decision and return true. The order is that of nvidia-uvm
 * 595.45.04, get_hint_for_migration_thrashing(), but for revocations, which there are
 * none of. Three things differ unless the placement is uvm-compat: memory is pinned
 * where all that moved it reach it, so nobody waits for the end of a pin; where it was
 * taken to while pinned it stays; and a nap is no shorter than the move, as all times
 * grow with what a move takes, and is for all.
 */
bool msvm_thrash_hint(const struct msvm_policy_params *params,
		      const struct msvm_view *view,
		      struct msvm_decision *decision)
{
	const struct msvm_heat *heat = view->heat;
	u8 self = msvm_view_self(view), place = msvm_attr_place(view);
	bool pinned, chosen, enough, waits, uvm = msvm_is_uvm(params);
	const struct msvm_thrash *thrash;
	u64 nap;

	if (!params->thrash_threshold || !heat)
		return false;
	thrash = heat->thrash;
	if (!thrash)
		return !uvm && msvm_restless(params, heat) &&
		       msvm_hold(params, view, decision);
	pinned = msvm_pinned(params, heat, view->now);
	if (!pinned && (msvm_expired(params, heat, view->now) ||
			!msvm_restless(params, heat)))
		return false;

	nap = msvm_nap_left(params, heat, view->now);
	chosen = msvm_chosen(params, view, nap);
	enough = !params->thrash_throttle_us ||
		 thrash->throttles >= min(params->thrash_max_throttles, 255U);
	waits = uvm ? thrash->waiting & BIT_ULL(self) : !pinned;

	if (nap && !chosen && waits)
		return msvm_throttle(params, view, decision);
	if (!pinned && (uvm || !nap) &&
	    msvm_since(view->now, heat->last_move) >=
	    msvm_row_time(params, heat))
		return false;
	if (place != MSVM_NOBODY && msvm_all_reach(params, view, place, false))
		return msvm_pin(params, view, place, decision);
	if (view->at < MSVM_POLICY_SLOTS &&
	    !(uvm && msvm_is_party(view, place)) &&
	    msvm_all_reach(params, view, view->at, true))
		return msvm_pin(params, view, view->at, decision);
	if (place == self)
		return msvm_hint_preferred(params, view, pinned, chosen,
					   enough, decision);
	if (pinned)
		return msvm_hint_pinned(params, view, chosen, decision);
	if (!chosen && (uvm || !enough))
		return msvm_throttle(params, view, decision);
	if (!enough)
		return false;
	if (uvm || msvm_all_reach(params, view, self, false))
		return msvm_pin(params, view, self, decision);
	return msvm_pin(params, view, MSVM_AT_SYSTEM, decision);
}

/* Start anew, but remember how often that was done. */
static void msvm_thrash_reset(struct msvm_heat *heat)
{
	u8 resets = heat->thrash->resets;

	heat->moves = 0;
	*heat->thrash = (struct msvm_thrash) {
		.nap_party = MSVM_NOBODY,
		.resets = resets,
	};
}

/* What time does to a range's history. */
static void msvm_heat_age(const struct msvm_policy_params *params,
			  struct msvm_heat *heat, u64 now)
{
	struct msvm_thrash *thrash = heat->thrash;

	if (!thrash)
		return;
	if (thrash->pin_until && !msvm_pinned(params, heat, now)) {
		/* As nvidia-uvm: after a pin it is as if nothing had been. */
		msvm_thrash_reset(heat);
	} else if (msvm_expired(params, heat, now)) {
		thrash->resets++;
		msvm_thrash_reset(heat);
	}
}

/*
 * A range was moved to @party, evicted included, which took @cost ns. Where it was
 * moved last already, nobody took it: the rest of it followed, or its pages were
 * dropped and it was filled anew. That is no going back and forth, and does not count.
 * Context: the caller has the range's lock.
 */
void msvm_heat_moved(const struct msvm_policy_params *params,
		     struct msvm_heat *heat, u64 now, u64 cost, u8 party)
{
	struct msvm_thrash *thrash = heat->thrash;
	bool again = heat->last_move && heat->last_party == party;

	msvm_heat_age(params, heat, now);
	heat->cost = cost;
	if (!heat->last_move || msvm_since(now, heat->last_move) >
	    msvm_row_time(params, heat))
		heat->moves = 0;
	if (heat->moves < 255 && !(again && heat->moves))
		heat->moves++;
	heat->last_move = now ?: 1;
	heat->last_party = party;
	if (!thrash || again)
		return;
	/* To nvidia-uvm a pin is no party's move, so it can't be in the way later. */
	if (msvm_is_uvm(params) && msvm_pinned(params, heat, now) &&
	    party == thrash->pinned_at)
		return;
	thrash->epoch = heat->last_move;
	if (party < MSVM_POLICY_SLOTS)
		thrash->parties |= BIT_ULL(party);
	else
		thrash->system = true;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_heat_moved);

/* Naps and who waits, as nvidia-uvm has it. */
static void msvm_apply_uvm(const struct msvm_policy_params *params,
			   struct msvm_heat *heat, u64 now, u8 party,
			   const struct msvm_decision *decision)
{
	struct msvm_thrash *thrash = heat->thrash;
	bool nap = msvm_nap_left(params, heat, now);
	bool pinned = msvm_pinned(params, heat, now);
	bool waits = decision->action == MSVM_THROTTLE &&
		     decision->reason == MSVM_REASON_THROTTLED;
	u64 bit = party < MSVM_POLICY_SLOTS ? BIT_ULL(party) : 0;

	if (waits && nap && thrash->waiting & bit)
		return;
	if (!pinned && !decision->pin && !msvm_restless(params, heat))
		return;
	thrash->waiting &= ~bit;
	if (!nap) {
		thrash->nap_party = thrash->nap_until &&
				    thrash->nap_party == party ?
				    MSVM_NOBODY : party;
		thrash->nap_until = now + msvm_nap_time(params, heat);
	} else if (thrash->nap_party == MSVM_NOBODY) {
		thrash->nap_party = party;
	}
	if (waits) {
		thrash->waiting |= bit;
		if (!pinned && thrash->throttles < 255)
			thrash->throttles++;
	} else if (decision->pin) {
		if (thrash->waiting &&
		    (!pinned || decision->action == MSVM_MOVE)) {
			thrash->waiting = 0;
			thrash->nap_until = now;
		}
		if (!pinned)
			thrash->throttles = 0;
	}
}

/*
 * What was decided on a fault of @party is being done; if it is not, see
 * msvm_decision_stay(). Context: the caller has the range's lock.
 */
void msvm_heat_apply(const struct msvm_policy_params *params,
		     struct msvm_heat *heat, u64 now, u8 party,
		     const struct msvm_decision *decision)
{
	struct msvm_thrash *thrash = heat->thrash;

	msvm_heat_age(params, heat, now);
	if (heat->first_touch == MSVM_NOBODY && decision->action <= MSVM_MOVE)
		heat->first_touch = party;
	if (!thrash)
		return;
	if (msvm_is_uvm(params))
		msvm_apply_uvm(params, heat, now, party, decision);

	if (decision->pin) {
		thrash->pin_until = decision->pin_until;
		thrash->pinned_at = decision->to;
		thrash->epoch = now ?: 1;
		return;
	}
	if (decision->action == MSVM_THROTTLE &&
	    decision->reason == MSVM_REASON_THROTTLED) {
		if (party < MSVM_POLICY_SLOTS)
			thrash->parties |= BIT_ULL(party);
		thrash->epoch = now ?: 1;
		if (msvm_is_uvm(params))
			return;
		if (thrash->throttles < 255)
			thrash->throttles++;
		/* It had the last nap to itself: after this one anybody may. */
		if (!msvm_nap_left(params, heat, now)) {
			thrash->nap_party = MSVM_NOBODY;
			thrash->nap_until = now + decision->delay;
		}
	} else if (decision->action == MSVM_MOVE && !msvm_is_uvm(params) &&
		   msvm_restless(params, heat) &&
		   !msvm_nap_left(params, heat, now)) {
		thrash->nap_party = party;
		thrash->nap_until = now + msvm_nap_time(params, heat);
	}
}
EXPORT_SYMBOL_IF_KUNIT(msvm_heat_apply);

/* What is remembered is of no use any more: an attribute of it was changed. */
void msvm_heat_forget(struct msvm_heat *heat)
{
	struct msvm_thrash *thrash = heat->thrash;

	*heat = (struct msvm_heat) {
		.first_touch = MSVM_NOBODY,
		.last_party = MSVM_NOBODY,
	};
	if (thrash)
		*thrash = (struct msvm_thrash) { .nap_party = MSVM_NOBODY };
	heat->thrash = thrash;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_heat_forget);
