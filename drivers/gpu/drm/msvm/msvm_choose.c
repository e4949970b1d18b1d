// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Placements: where each of them wants the memory of a range, whatever history
 * says. Pure logic, see msvm_policy.h; msvm_adaptive.c has the default.
 */
#include <linux/gcd.h>
#include <linux/math64.h>
#include <linux/types.h>

#include "msvm_engine.h"

/* Memory goes to who touches it first; later it is mapped where it is. */
static void msvm_choose_first_touch(const struct msvm_view *view,
				    struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view);
	u8 at = view->at == MSVM_AT_MIXED ? view->part : view->at;

	if (msvm_view_all_at(view, self))
		msvm_wish_stay(view, MSVM_REASON_HERE, wish);
	else if (view->mapped & ~BIT_ULL(view->slot))
		msvm_wish_stay(view, MSVM_REASON_SHARED, wish);
	else if (at == MSVM_AT_SEVERAL)
		/* It can't be mapped there, so it may as well be here. */
		msvm_wish_for(view, self, MSVM_REASON_SEVERAL, wish);
	else if (at != self && at != MSVM_AT_SYSTEM)
		msvm_wish_stay(view, MSVM_REASON_PEER, wish);
	else
		msvm_wish_for(view, self, MSVM_REASON_FIRST_TOUCH, wish);
}

/* No room, and whoever comes there displaces somebody. */
static bool msvm_is_full(const struct msvm_view *view, u8 slot)
{
	return view->at != slot && !msvm_has_room(view, slot) &&
	       view->slots[slot].evictions;
}

/* The first of the policy's devices that has it or has room for it. */
static void msvm_choose_preferred(const struct msvm_policy_params *params,
				  const struct msvm_view *view,
				  struct msvm_wish *wish)
{
	unsigned int slot, best = MSVM_NOBODY;
	bool full = false, far = false;

	for (slot = 0; slot < view->nr_slots; slot++) {
		const struct msvm_view_slot *s = &view->slots[slot];

		if (s->first != slot || s->rank == 0xff ||
		    !msvm_can_hold(view, slot))
			continue;
		if (!msvm_reaches(params, view, view->slot, slot))
			far = true;
		else if (msvm_is_full(view, slot))
			full = true;
		else if (best == MSVM_NOBODY ||
			 s->rank < view->slots[best].rank)
			best = slot;
	}
	if (best != MSVM_NOBODY) {
		msvm_wish_for(view, best, MSVM_REASON_PREFERRED, wish);
		return;
	}
	msvm_wish_stay(view, full ? MSVM_REASON_FULL :
		       far ? MSVM_REASON_OUT_OF_REACH : MSVM_REASON_POLICY,
		       wish);
}

static u32 msvm_weight(const struct msvm_view *view, unsigned int slot)
{
	if (view->slots[slot].first != slot || !msvm_can_hold(view, slot))
		return 0;
	return view->slots[slot].weight;
}

/* Pieces of the address space go round the devices, by weight. */
static void msvm_choose_interleave(const struct msvm_policy_params *params,
				   const struct msvm_view *view,
				   struct msvm_wish *wish)
{
	u64 total = 0, turn;
	unsigned int slot;
	u32 unit = 0;

	msvm_wish_stay(view, MSVM_REASON_POLICY, wish);
	for (slot = 0; slot < view->nr_slots; slot++) {
		unit = gcd(msvm_weight(view, slot), unit);
		total += msvm_weight(view, slot);
	}
	if (!total)
		return;
	/* Weights of 200 and 100 are those of 2 and 1. */
	total = div_u64(total, unit);
	turn = div64_u64(view->start >> 10, params->interleave_kib ?: 1);
	turn -= div64_u64(turn, total) * total;
	for (slot = 0; slot < view->nr_slots; slot++) {
		u32 weight = msvm_weight(view, slot) / unit;

		if (turn < weight)
			break;
		turn -= weight;
	}
	/* Out of reach, it ends up in system memory: msvm_make_servable(). */
	msvm_wish_for(view, slot, MSVM_REASON_INTERLEAVED, wish);
}

/* nvidia-uvm: to who faulted, or to system memory if that has none. */
static void msvm_wish_self(const struct msvm_view *view,
			   enum msvm_reason reason, struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view);

	if (msvm_can_hold(view, self))
		msvm_wish_for(view, self, reason, wish);
	else
		msvm_wish_for(view, MSVM_AT_SYSTEM, MSVM_REASON_NO_MEMORY,
			      wish);
}

/*
 * nvidia-uvm 595.45.04, block_select_processor_residency(), as far as there are
 * such things here. What can't be moved and the pinned have been decided on; what is
 * pinned is so at who faulted if that is the preferred location.
 */
static void msvm_choose_uvm(const struct msvm_policy_params *params,
			    const struct msvm_view *view,
			    struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view), place = msvm_attr_place(view);
	bool reach = place != MSVM_NOBODY &&
		     msvm_reaches(params, view, view->slot, place);

	if (place == self)
		msvm_wish_for(view, self, MSVM_REASON_ATTR_PREFERRED, wish);
	else if (msvm_view_nowhere(view) && reach)
		msvm_wish_for(view, place, MSVM_REASON_ATTR_PREFERRED, wish);
	else if (msvm_view_nowhere(view))
		msvm_wish_self(view, MSVM_REASON_FIRST_TOUCH, wish);
	else if (view->attrs &&
		 view->attrs->accessed_by & BIT_ULL(view->slot) &&
		 msvm_reaches(params, view, view->slot, view->at))
		msvm_wish_stay(view, MSVM_REASON_ATTR_ACCESSED_BY, wish);
	else if (!msvm_view_all_at(view, self) && reach)
		msvm_wish_for(view, place, MSVM_REASON_ATTR_PREFERRED, wish);
	else
		msvm_wish_self(view, MSVM_REASON_FOLLOW, wish);
}

static void msvm_choose_count(const struct msvm_policy_params *params,
			      const struct msvm_view *view,
			      struct msvm_wish *wish)
{
	u8 self = msvm_view_self(view);

	if (msvm_view_all_at(view, self))
		msvm_wish_stay(view, MSVM_REASON_HERE, wish);
	else if (view->slots[view->slot].faults >= params->migrate_threshold)
		msvm_wish_for(view, self, MSVM_REASON_COUNTED, wish);
	else
		msvm_wish_stay(view, MSVM_REASON_COUNTING, wish);
}

/* Where the policy's placement wants the memory. */
void msvm_choose(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_wish *wish)
{
	switch (params->placement) {
	case MSVM_PLACEMENT_UVM_COMPAT:
		msvm_choose_uvm(params, view, wish);
		break;
	case MSVM_PLACEMENT_FIRST_TOUCH:
		msvm_choose_first_touch(view, wish);
		break;
	case MSVM_PLACEMENT_FOLLOW_FAULT:
		msvm_wish_for(view, msvm_view_self(view), MSVM_REASON_FOLLOW,
			      wish);
		break;
	case MSVM_PLACEMENT_PREFERRED:
		msvm_choose_preferred(params, view, wish);
		break;
	case MSVM_PLACEMENT_INTERLEAVE:
		msvm_choose_interleave(params, view, wish);
		break;
	case MSVM_PLACEMENT_SYSTEM:
		msvm_wish_for(view, MSVM_AT_SYSTEM, MSVM_REASON_POLICY, wish);
		break;
	case MSVM_PLACEMENT_ACCESS_COUNT:
		msvm_choose_count(params, view, wish);
		break;
	default:
		msvm_choose_adaptive(params, view, wish);
	}
}
