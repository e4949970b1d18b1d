/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Policies as objects that are replaced as a whole, and which of them an address
 * space has.
 */
#ifndef __MSVM_CONTROL_H__
#define __MSVM_CONTROL_H__

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>

#include "msvm_policy.h"

struct drm_msvm;
struct seq_file;

/**
 * struct msvm_policy - A policy that is in use. Never changed: a change makes another.
 * @ref: Whoever decides by it holds a reference meanwhile.
 * @rcu: Delays freeing.
 * @serial: Number that no other has, for traces.
 * @name: Its name in configfs, "default" for that of all whom no rule claims.
 * @params: What it says.
 */
struct msvm_policy {
	struct kref ref;
	struct rcu_head rcu;
	u64 serial;
	char name[MSVM_POLICY_NAME];
	struct msvm_policy_params params;
};

/**
 * struct msvm_target - Where the policy of a name is found: what rules lead to. One
 * store replaces the policy for all of them.
 * @rcu: Delays freeing.
 * @policy: The policy, with a reference; NULL: it is not live. Written under
 *	msvm_control_lock.
 * @name: The name.
 */
struct msvm_target {
	struct rcu_head rcu;
	struct msvm_policy __rcu *policy;
	char name[MSVM_POLICY_NAME];
};

/* Protects what is written to configfs about policies and rules. */
extern struct mutex msvm_control_lock;

/* Of all whom no rule claims; live while the module is loaded. */
extern struct msvm_target msvm_target_default;

struct msvm_policy *msvm_policy_new(const char *name,
				    const struct msvm_policy_params *params);
void msvm_policy_put(struct msvm_policy *policy);

struct msvm_target *msvm_target_new(const char *name);
void msvm_target_free(struct msvm_target *target);
int msvm_target_set(struct msvm_target *target,
		    const struct msvm_policy_params *params);

/* msvm_claim.c */
struct msvm_policy *msvm_claim_policy(struct drm_msvm *msvm);

/* msvm_configfs_policy.c */
void msvm_policy_show(struct seq_file *m,
		      const struct msvm_policy_params *params);

#endif /* __MSVM_CONTROL_H__ */
