// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory that is moved back and forth: how that is noticed, and what is remembered.
 * Pure logic, see msvm_policy.h.
 */
#include <linux/types.h>

#include "msvm_policy.h"

/* A range was moved to @party, evicted included, which took @cost ns. */
void msvm_heat_moved(const struct msvm_policy_params *params,
		     struct msvm_heat *heat, u64 now, u64 cost, u8 party)
{
	heat->last_move = now;
	heat->cost = cost;
	heat->last_party = party;
}

/* What was decided on a fault of @party is being done. */
void msvm_heat_apply(const struct msvm_policy_params *params,
		     struct msvm_heat *heat, u64 now, u8 party,
		     const struct msvm_decision *decision)
{
}

/* What is remembered is of no use any more: an attribute of it was changed. */
void msvm_heat_forget(struct msvm_heat *heat)
{
	struct msvm_thrash *thrash = heat->thrash;

	*heat = (struct msvm_heat) { .first_touch = 0xff };
	if (thrash)
		*thrash = (struct msvm_thrash) {};
	heat->thrash = thrash;
}
