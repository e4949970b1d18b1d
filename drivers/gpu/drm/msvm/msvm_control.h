/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Policies as objects that are replaced as a whole, and which of them an address
 * space has.
 */
#ifndef __MSVM_CONTROL_H__
#define __MSVM_CONTROL_H__

#include <linux/kref.h>
#include <linux/rcupdate.h>

#include "msvm_policy.h"

struct drm_msvm;

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

struct msvm_policy *msvm_policy_new(const char *name,
				    const struct msvm_policy_params *params);
void msvm_policy_put(struct msvm_policy *policy);

struct msvm_policy *msvm_claim_policy(struct drm_msvm *msvm);

#endif /* __MSVM_CONTROL_H__ */
