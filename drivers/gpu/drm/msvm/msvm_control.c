// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Policies as objects, and which of them an address space has: for now, all have
 * the default.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "msvm_control.h"
#include "msvm_internal.h"

/* Never NULL while the module is loaded. */
static struct msvm_policy __rcu *msvm_policy_of_all;

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

/*
 * The policy of an address space, as it is now: it stays as it is for as long as
 * the caller has it. Any context. Return: it, with a reference.
 */
struct msvm_policy *msvm_claim_policy(struct drm_msvm *msvm)
{
	struct msvm_policy *policy;

	rcu_read_lock();
	do {
		policy = rcu_dereference(msvm_policy_of_all);
	} while (!kref_get_unless_zero(&policy->ref));
	rcu_read_unlock();

	return policy;
}

int msvm_control_init(void)
{
	struct msvm_policy *policy = msvm_policy_new("default",
						     &msvm_policy_default);

	rcu_assign_pointer(msvm_policy_of_all, policy);
	return policy ? 0 : -ENOMEM;
}

void msvm_control_exit(void)
{
	msvm_policy_put(rcu_replace_pointer(msvm_policy_of_all, NULL, true));
}
