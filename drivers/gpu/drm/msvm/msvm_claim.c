// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which policy an address space has: for now, all have the default.
 */
#include "msvm_control.h"
#include "msvm_internal.h"

/* The policy of a target, with a reference; NULL: it is not live. Under RCU. */
static struct msvm_policy *msvm_target_policy(struct msvm_target *target)
{
	struct msvm_policy *policy;

	/* Without references it is no longer the target's. */
	do {
		policy = rcu_dereference(target->policy);
	} while (policy && !kref_get_unless_zero(&policy->ref));

	return policy;
}

/*
 * The policy of an address space, as it is now: it stays as it is for as long as
 * the caller has it. Any context. Return: it, with a reference.
 */
struct msvm_policy *msvm_claim_policy(struct drm_msvm *msvm)
{
	guard(rcu)();

	return msvm_target_policy(&msvm_target_default);
}

/* Whom rules claim may have changed. Context: msvm_control_lock held. */
void msvm_claims_changed(void)
{
}

/* What msvm_place.c goes by. Any context. */
enum msvm_where msvm_claim_where(struct drm_msvm *msvm)
{
	struct msvm_policy *policy = msvm_claim_policy(msvm);
	enum msvm_where where = MSVM_WHERE_FIRST_TOUCH;

	if (policy->params.placement == MSVM_PLACEMENT_FOLLOW_FAULT)
		where = MSVM_WHERE_FOLLOW_FAULT;
	else if (policy->params.placement == MSVM_PLACEMENT_SYSTEM)
		where = MSVM_WHERE_SYSTEM;
	msvm_policy_put(policy);

	return where;
}

/*
 * Is memory to be evicted to other devices? Eviction is about a device, not about an
 * address space, so the default policy says it. Any context.
 */
bool msvm_claim_evict_to_peer(void)
{
	guard(rcu)();

	return rcu_dereference(msvm_target_default.policy)->params.evict_to ==
	       MSVM_EVICT_TO_PEER;
}
