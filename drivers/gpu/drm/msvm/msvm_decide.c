// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The decision on a fault: who has a say, in which order, and that what comes out
 * can be served. Pure logic, see msvm_policy.h.
 *
 * Attributes say where memory must be or may not be; then what was moved just now
 * or goes back and forth is held; then the policy's placement is asked. nvidia-uvm's
 * placement has an order of its own for what is neither forbidden nor immovable.
 */
#include <linux/export.h>
#include <linux/types.h>

#include <kunit/visibility.h>

#include "msvm_engine.h"

/*
 * Where a fault maps for all: so few entries cost less than one fault's dispatch. More
 * cost more than the fault that is saved, unless it is likely to come: so then only for
 * those that faulted there.
 */
#define MSVM_AUTO_ENTRIES	16

/* Can pages be moved to the memory of a slot's device? */
bool msvm_can_hold(const struct msvm_view *view, u8 slot)
{
	const struct msvm_view_slot *s;

	if (slot >= view->nr_slots)
		return false;
	s = &view->slots[slot];
	return s->joined && s->has_memory && s->enabled && !s->on_request;
}

/* Is there room for the range without evicting anybody? */
bool msvm_has_room(const struct msvm_view *view, u8 slot)
{
	return view->slots[slot].free >= msvm_view_size(view);
}

/* May @slot map memory that is at @place? */
bool msvm_reaches(const struct msvm_policy_params *params,
		  const struct msvm_view *view, u8 slot, u8 place)
{
	unsigned int distance;

	if (place == MSVM_AT_MIXED)
		place = view->part;
	if (place == MSVM_AT_SYSTEM)
		return true;
	if (place >= view->nr_slots || !view->slots[place].joined)
		return false;
	if (view->slots[place].first == view->slots[slot].first)
		return true;
	if (params->peer_access == MSVM_PEER_OFF)
		return false;
	distance = view->distance(view, slot, place);
	if (distance >= MSVM_UNREACHABLE)
		return false;
	return params->peer_access == MSVM_PEER_ON ||
	       distance <= view->distance(view, slot, MSVM_AT_SYSTEM);
}

/* Does @slot reach @place, in a device's memory, faster than system memory? */
bool msvm_is_near(const struct msvm_policy_params *params,
		  const struct msvm_view *view, u8 slot, u8 place)
{
	if (place >= view->nr_slots || !msvm_reaches(params, view, slot, place))
		return false;
	return view->slots[place].first == view->slots[slot].first ||
	       view->distance(view, slot, place) <
	       view->distance(view, slot, MSVM_AT_SYSTEM);
}

/*
 * Where an attribute wants the memory: the lowest slot of a device that can have
 * it, %MSVM_AT_SYSTEM, or %MSVM_NOBODY.
 */
u8 msvm_attr_place(const struct msvm_view *view)
{
	unsigned int slot;

	if (!view->attrs || view->attrs->preferred == MSVM_ATTR_NONE)
		return MSVM_NOBODY;
	if (view->attrs->preferred == MSVM_ATTR_SYSTEM)
		return MSVM_AT_SYSTEM;
	for (slot = 0; slot < view->nr_slots; slot++)
		if (view->slots[slot].joined &&
		    view->slots[slot].device == view->attrs->preferred &&
		    msvm_can_hold(view, slot))
			return view->slots[slot].first;
	return MSVM_NOBODY;
}

static bool msvm_attr_bit(const struct msvm_view *view, u64 mask)
{
	return mask & BIT_ULL(view->slot);
}

/* Refuse what attributes forbid. */
static bool msvm_refused(const struct msvm_view *view,
			 enum msvm_reason *reason)
{
	const struct msvm_attrs *attrs = view->attrs;

	if (!attrs)
		return false;
	*reason = MSVM_REASON_ATTR_NO_ACCESS;
	if (msvm_attr_bit(view, attrs->no_access))
		return true;
	*reason = MSVM_REASON_ATTR_ATOMICS;
	return view->atomic && attrs->atomics == MSVM_ATOMICS_NONE;
}

/* Memory that nobody can move, or that this fault gives no reason to move. */
static bool msvm_immovable(const struct msvm_policy_params *params,
			   const struct msvm_view *view,
			   struct msvm_wish *wish)
{
	const struct msvm_view_slot *self = &view->slots[view->slot];
	const struct msvm_attrs *attrs = view->attrs;

	if (view->kind != MSVM_KIND_ANON)
		msvm_wish_stay(view, MSVM_REASON_KIND, wish);
	/* Atomics must work, whoever asks; system memory needs no device's. */
	else if (attrs && attrs->atomics == MSVM_ATOMICS_SYSTEM)
		msvm_wish_for(view, MSVM_AT_SYSTEM, MSVM_REASON_ATTR_ATOMICS,
			      wish);
	else if (self->on_request)
		msvm_wish_stay(view, MSVM_REASON_EXPLICIT, wish);
	else if (!self->enabled)
		msvm_wish_stay(view, MSVM_REASON_DISABLED, wish);
	/* nvidia-uvm has system memory take the place of its memory. */
	else if (!self->has_memory && !msvm_is_uvm(params))
		msvm_wish_stay(view, MSVM_REASON_NO_MEMORY, wish);
	else
		return false;
	return true;
}

/* What attributes say that is stronger than any placement. */
static bool msvm_attributes(const struct msvm_policy_params *params,
			    const struct msvm_view *view,
			    struct msvm_wish *wish)
{
	const struct msvm_attrs *attrs = view->attrs;
	u8 place;

	if (!attrs)
		return false;
	if (view->atomic && attrs->atomics == MSVM_ATOMICS_DEVICE) {
		msvm_wish_for(view, msvm_view_self(view),
			      MSVM_REASON_ATTR_ATOMICS, wish);
		return true;
	}
	if (attrs->read_mostly) {
		msvm_wish_for(view, MSVM_AT_SYSTEM,
			      MSVM_REASON_ATTR_READ_MOSTLY, wish);
		return true;
	}
	/* nvidia-uvm asks the rest in an order of its own. */
	if (msvm_is_uvm(params))
		return false;
	place = msvm_attr_place(view);
	if (place != MSVM_NOBODY) {
		/* Where both get on; its own next fault moves it there. */
		if (!msvm_reaches(params, view, view->slot, place))
			place = MSVM_AT_SYSTEM;
		msvm_wish_for(view, place, MSVM_REASON_ATTR_PREFERRED, wish);
		return true;
	}
	if (msvm_attr_bit(view, attrs->accessed_by) &&
	    !msvm_view_nowhere(view) &&
	    msvm_reaches(params, view, view->slot, view->at)) {
		msvm_wish_stay(view, MSVM_REASON_ATTR_ACCESSED_BY, wish);
		return true;
	}
	return false;
}

/* What was moved just now stays; who can't reach it there has to wait. */
static bool msvm_timeslice(const struct msvm_policy_params *params,
			   const struct msvm_view *view,
			   struct msvm_decision *decision)
{
	u64 slice = params->timeslice_ms * MSVM_NS_PER_MS, since;

	if (!slice || !view->heat || !view->heat->last_move ||
	    msvm_view_nowhere(view))
		return false;
	since = msvm_since(view->now, view->heat->last_move);
	if (since >= slice)
		return false;
	/* Not in one place, so it has nowhere to stay. */
	if (view->at > MSVM_AT_MIXED)
		return false;
	decision->reason = MSVM_REASON_TIMESLICE;
	decision->to = view->at;
	decision->action = MSVM_STAY;
	decision->pin = false;
	decision->pin_until = 0;
	if (!msvm_reaches(params, view, view->slot, view->at)) {
		decision->action = MSVM_THROTTLE;
		decision->delay = slice - since;
	}
	return true;
}

/*
 * Make a wish something that can be served: a place where the faulting device
 * reaches the memory, or system memory, which all reach.
 */
static void msvm_make_servable(const struct msvm_policy_params *params,
			       const struct msvm_view *view,
			       struct msvm_wish *wish)
{
	if (!wish->stay && wish->to != MSVM_AT_SYSTEM &&
	    !msvm_can_hold(view, wish->to))
		msvm_wish_stay(view, MSVM_REASON_NO_MEMORY, wish);
	if (msvm_reaches(params, view, view->slot, wish->to))
		return;
	*wish = (struct msvm_wish) {
		.to = MSVM_AT_SYSTEM,
		.reason = wish->to == MSVM_AT_SEVERAL ?
			  MSVM_REASON_SEVERAL : MSVM_REASON_OUT_OF_REACH,
	};
}

/* Slots that faulted in this range lately. */
static u64 msvm_faulted(const struct msvm_view *view)
{
	unsigned int slot;
	u64 mask = 0;

	for (slot = 0; slot < view->nr_slots; slot++)
		if (view->slots[slot].faults)
			mask |= BIT_ULL(slot);
	return mask;
}

/* For whom else to map. */
static u64 msvm_map_for(const struct msvm_policy_params *params,
			const struct msvm_view *view,
			const struct msvm_decision *decision)
{
	const struct msvm_attrs *attrs = view->attrs;
	bool move = decision->action == MSVM_MOVE;
	u64 wanted = attrs ? attrs->accessed_by : 0;
	u64 entries = view->entries, mask = 0;
	unsigned int slot;

	/* How many there will be is not known before: a page each at worst. */
	if (!entries || move)
		entries = msvm_view_size(view) >> 12;
	if (params->map_mode == MSVM_MAP_EAGER ||
	    (params->map_mode == MSVM_MAP_AUTO && entries <= MSVM_AUTO_ENTRIES))
		wanted = ~0ULL;
	else if (params->map_mode == MSVM_MAP_AUTO)
		wanted |= msvm_faulted(view);
	if (attrs)
		wanted &= ~attrs->no_access;

	for (slot = 0; slot < view->nr_slots; slot++)
		if (wanted & BIT_ULL(slot) && slot != view->slot &&
		    view->slots[slot].joined &&
		    msvm_reaches(params, view, slot, decision->to))
			mask |= BIT_ULL(slot);
	return mask;
}

/* Fill in a decision from a wish, unless history is against a move. */
static void msvm_decide_wish(const struct msvm_policy_params *params,
			     const struct msvm_view *view,
			     struct msvm_wish *wish, bool held,
			     struct msvm_decision *decision)
{
	msvm_make_servable(params, view, wish);
	decision->to = wish->to;
	decision->reason = wish->reason;
	decision->action = wish->stay || msvm_view_all_at(view, wish->to) ?
			   MSVM_STAY : MSVM_MOVE;
	if (!held || decision->action != MSVM_MOVE)
		return;
	if (!msvm_timeslice(params, view, decision) && !msvm_is_uvm(params))
		msvm_thrash_hint(params, view, decision);
}

/*
 * nvidia-uvm asks whether memory goes back and forth first, whatever would be done about
 * the fault; then where it goes.
 */
static void msvm_decide_uvm(const struct msvm_policy_params *params,
			    const struct msvm_view *view,
			    struct msvm_decision *decision)
{
	struct msvm_wish wish;

	if (!msvm_thrash_hint(params, view, decision)) {
		msvm_choose(params, view, &wish);
		msvm_decide_wish(params, view, &wish, true, decision);
	} else if (decision->action == MSVM_MOVE) {
		msvm_timeslice(params, view, decision);
	}
}

/*
 * Decide what to do about a fault. Cannot fail; @decision is filled in. Whatever is
 * decided can be served: an action %MSVM_STAY is for memory that the device reaches.
 */
void msvm_decide(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_decision *decision)
{
	struct msvm_wish wish = { .to = view->at };

	*decision = (struct msvm_decision) {
		.action = MSVM_REFUSE,
		.to = view->at,
	};
	if (msvm_refused(view, &decision->reason))
		return;

	if (msvm_immovable(params, view, &wish) ||
	    msvm_attributes(params, view, &wish)) {
		msvm_decide_wish(params, view, &wish, false, decision);
	} else if (msvm_is_uvm(params)) {
		msvm_decide_uvm(params, view, decision);
	} else {
		msvm_choose(params, view, &wish);
		msvm_decide_wish(params, view, &wish, true, decision);
	}
	decision->alloc_thrash = params->thrash_threshold && view->heat &&
				 !view->heat->thrash && view->heat->moves >= 2;
	if (decision->action == MSVM_THROTTLE)
		return;
	decision->map_for = msvm_map_for(params, view, decision);
	if (decision->action == MSVM_MOVE)
		msvm_window(params, view, decision);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_decide);

/*
 * The caller does not do what was decided, and maps the memory where it is. Nobody
 * waits then and nothing is pinned, as far as msvm_heat_apply() is concerned; the
 * reason is still that of the decision.
 */
void msvm_decision_stay(const struct msvm_view *view,
			struct msvm_decision *decision)
{
	*decision = (struct msvm_decision) {
		.action = MSVM_STAY,
		.reason = decision->reason,
		.to = view->at,
		.alloc_thrash = decision->alloc_thrash,
	};
}
EXPORT_SYMBOL_IF_KUNIT(msvm_decision_stay);
