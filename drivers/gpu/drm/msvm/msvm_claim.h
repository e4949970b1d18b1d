/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Rules, which say whom a policy is for, and what is remembered of an address space
 * so that rules are gone through only when something changed.
 */
#ifndef __MSVM_CLAIM_H__
#define __MSVM_CLAIM_H__

#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>

struct drm_msvm;
struct msvm_target;
struct seq_file;

/* Longest name of a rule and longest pattern, with a NUL at the end. */
#define MSVM_RULE_NAME	40
#define MSVM_RULE_COMM	64

/**
 * struct msvm_rule - A rule. But for @target it is never changed: a change makes
 * another.
 * @rcu: Delays freeing.
 * @target: Policy for those who match, NULL: none is linked.
 * @name: Name of the directory.
 * @comm: Glob that the name of the process must match; "": any.
 * @priority: Rules with a higher one are tried first, then by @name.
 * @has_uid: The user must be @uid.
 * @uid: Of the first user namespace.
 * @cgroup: Path in the cgroup v2 hierarchy, in or below which the process must be;
 *	"": anywhere.
 */
struct msvm_rule {
	struct rcu_head rcu;
	struct msvm_target __rcu *target;
	char name[MSVM_RULE_NAME];
	char comm[MSVM_RULE_COMM];
	u32 priority;
	bool has_uid;
	u32 uid;
	char cgroup[];
};

/**
 * struct msvm_facts - What rules are compared with.
 * @comm: Name of the task that owns the address space.
 * @cgroup: Number of its cgroup, 0: it has none. Never used again for another.
 * @uid: Its real user.
 */
struct msvm_facts {
	char comm[TASK_COMM_LEN];
	u64 cgroup;
	u32 uid;
};

/**
 * struct msvm_claim - Which rule claimed an address space the last time.
 * @lock: One at a time writes; only ever tried.
 * @seq: Whoever reads while it is written does without.
 * @generation: State of the rules then.
 * @index: The rule, or %MSVM_UNCLAIMED.
 * @facts: What they were compared with.
 */
struct msvm_claim {
	raw_spinlock_t lock;
	seqcount_t seq;
	u64 generation;
	u32 index;
	struct msvm_facts facts;
};

#define MSVM_UNCLAIMED	U32_MAX

void msvm_claim_init(struct msvm_claim *claim);
int msvm_rules_replace(struct msvm_rule *old, struct msvm_rule *rule);
void msvm_rules_remove(struct msvm_rule *rule);
void msvm_rules_exit(void);
void msvm_claims_changed(void);
void msvm_claim_show(struct drm_msvm *msvm, struct seq_file *m);

#endif /* __MSVM_CLAIM_H__ */
