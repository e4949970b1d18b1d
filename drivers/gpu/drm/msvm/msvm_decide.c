// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The decision on a fault. Pure logic, see msvm_policy.h.
 */
#include <linux/types.h>

#include "msvm_policy.h"

/* Decide what to do about a fault. Cannot fail; @decision is filled in. */
void msvm_decide(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_decision *decision)
{
	*decision = (struct msvm_decision) {
		.action = MSVM_STAY,
		.reason = MSVM_REASON_POLICY,
	};
}
