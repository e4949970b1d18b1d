// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Policies as objects: made, replaced as a whole, and kept for as long as somebody
 * decides by them.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "msvm_claim.h"
#include "msvm_control.h"
#include "msvm_internal.h"

/*
 * Protects what configfs's files say, targets and rules. Taken with locks of configfs
 * held; whoever claims a policy takes neither.
 */
DEFINE_MUTEX(msvm_control_lock);

struct msvm_target msvm_target_default = { .name = "default" };

/* Make a policy. Context: sleeps. Return: it, with a reference; NULL: no memory. */
struct msvm_policy *msvm_policy_new(const char *name,
				    const struct msvm_policy_params *params)
{
	static atomic64_t serial;
	struct msvm_policy *policy = msvm_alloc(kzalloc_obj(*policy));

	if (!policy)
		return NULL;
	kref_init(&policy->ref);
	policy->serial = atomic64_inc_return(&serial);
	strscpy(policy->name, name, sizeof(policy->name));
	policy->params = *params;

	return policy;
}

static void msvm_policy_release(struct kref *ref)
{
	struct msvm_policy *policy = container_of(ref, struct msvm_policy, ref);

	kfree_rcu(policy, rcu);
}

/* Any context. */
void msvm_policy_put(struct msvm_policy *policy)
{
	kref_put(&policy->ref, msvm_policy_release);
}

/* Context: sleeps. Return: a target that is not live; NULL: no memory. */
struct msvm_target *msvm_target_new(const char *name)
{
	struct msvm_target *target = msvm_alloc(kzalloc_obj(*target));

	if (target)
		strscpy(target->name, name, sizeof(target->name));
	return target;
}

/* No rule leads to it any more, but whoever claims just now may look. */
void msvm_target_free(struct msvm_target *target)
{
	struct msvm_policy *policy = rcu_replace_pointer(target->policy, NULL, true);

	if (policy)
		msvm_policy_put(policy);
	kfree_rcu(target, rcu);
}

/*
 * Make a policy live or replace it; with NULL for @params, no longer have one, which
 * can't fail. Context: sleeps; msvm_control_lock held. Return: 0; -ENOMEM: it is as
 * it was.
 */
int msvm_target_set(struct msvm_target *target,
		    const struct msvm_policy_params *params)
{
	struct msvm_policy *policy = NULL, *old;

	lockdep_assert_held(&msvm_control_lock);

	if (params) {
		policy = msvm_policy_new(target->name, params);
		if (!policy)
			return -ENOMEM;
	}
	old = rcu_replace_pointer(target->policy, policy,
				  lockdep_is_held(&msvm_control_lock));
	/* Who is claimed changes when a policy comes or goes, not what it says. */
	if (!old != !policy)
		msvm_claims_changed();
	if (old)
		msvm_policy_put(old);
	return 0;
}

int msvm_control_init(void)
{
	guard(mutex)(&msvm_control_lock);

	return msvm_target_set(&msvm_target_default, &msvm_policy_default);
}

void msvm_control_exit(void)
{
	guard(mutex)(&msvm_control_lock);

	msvm_target_set(&msvm_target_default, NULL);
	msvm_rules_exit();
}
