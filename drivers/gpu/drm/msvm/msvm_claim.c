// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which policy an address space has: that of the first rule which matches, or else
 * the default.
 *
 * Nobody tells when a process gets another name, user or cgroup, so all three are
 * compared at each fault, under RCU and without a lock, with those that were found
 * the last time. Only if one of them or the rules changed are the rules gone
 * through. All rules are one array that is replaced as a whole; what takes a rule out
 * of it must not fail and is done in place.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/glob.h>
#include <linux/kernfs.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "msvm_claim.h"
#include "msvm_control.h"
#include "msvm_internal.h"

/* Claims that the time of one is the mean of, and how often, in debugfs. */
#define MSVM_CLAIM_SAMPLES	64
#define MSVM_CLAIM_ROUNDS	16

/**
 * struct msvm_rules - All rules, in the order in which they are tried.
 * @rcu: Delays freeing.
 * @generation: Changes with each of them and is never used again.
 * @nr: Length of @rules; less if the last ones are removed.
 * @rules: The rules; NULL: it was removed.
 */
struct msvm_rules {
	struct rcu_head rcu;
	u64 generation;
	u32 nr;
	struct msvm_rule __rcu *rules[];
};

/* Written under msvm_control_lock; NULL: no rule was ever made. */
static struct msvm_rules __rcu *msvm_rules;
static u64 msvm_rules_generation;

static struct msvm_rules *msvm_rules_locked(void)
{
	return rcu_dereference_protected(msvm_rules,
					 lockdep_is_held(&msvm_control_lock));
}

/*
 * Something that rules lead to changed in place, whom they claim may be others now.
 * Context: any; msvm_control_lock held.
 */
void msvm_claims_changed(void)
{
	struct msvm_rules *rules = msvm_rules_locked();

	if (!rules)
		return;
	/* What has changed is seen by whoever sees this: msvm_claim_index(). */
	smp_store_release(&rules->generation, ++msvm_rules_generation);
}

/* Is @a tried before @b? */
static bool msvm_rule_before(const struct msvm_rule *a,
			     const struct msvm_rule *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return strcmp(a->name, b->name) < 0;
}

/*
 * Put @rule in, instead of @old unless that is NULL, whose target it takes over and
 * which is freed. Context: sleeps; msvm_control_lock held. Return: 0; -ENOMEM:
 * nothing has changed.
 */
int msvm_rules_replace(struct msvm_rule *old, struct msvm_rule *rule)
{
	struct msvm_rules *was = msvm_rules_locked(), *rules;
	struct msvm_rule *other;
	u32 nr = was ? was->nr : 0, i;
	bool placed = false;

	lockdep_assert_held(&msvm_control_lock);

	rules = msvm_alloc(kvzalloc_flex(*rules, rules, nr + 1));
	if (!rules)
		return -ENOMEM;
	rules->nr = nr + 1;
	for (nr = 0, i = 0; was && i < was->nr; i++) {
		other = rcu_dereference_protected(was->rules[i], true);
		if (!other || other == old)
			continue;
		if (!placed && msvm_rule_before(rule, other)) {
			RCU_INIT_POINTER(rules->rules[nr++], rule);
			placed = true;
		}
		RCU_INIT_POINTER(rules->rules[nr++], other);
	}
	if (!placed)
		RCU_INIT_POINTER(rules->rules[nr++], rule);
	rules->nr = nr;
	rules->generation = ++msvm_rules_generation;
	if (old)
		RCU_INIT_POINTER(rule->target, rcu_dereference_protected(old->target, true));
	rcu_assign_pointer(msvm_rules, rules);
	if (was)
		kvfree_rcu(was, rcu);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

/* Take a rule out and free it. Cannot fail; msvm_control_lock held. */
void msvm_rules_remove(struct msvm_rule *rule)
{
	struct msvm_rules *rules = msvm_rules_locked();
	u32 i;

	lockdep_assert_held(&msvm_control_lock);

	for (i = 0; i < rules->nr; i++)
		if (rcu_access_pointer(rules->rules[i]) == rule)
			RCU_INIT_POINTER(rules->rules[i], NULL);
	/* Without rules nothing need be compared. */
	for (i = rules->nr; i && !rcu_access_pointer(rules->rules[i - 1]); i--)
		;
	WRITE_ONCE(rules->nr, i);
	msvm_claims_changed();
	kvfree_rcu(rule, rcu);
}

/* The module goes, and all rules were removed. */
void msvm_rules_exit(void)
{
	kvfree(rcu_replace_pointer(msvm_rules, NULL, true));
}

void msvm_claim_init(struct msvm_claim *claim)
{
	raw_spin_lock_init(&claim->lock);
	seqcount_init(&claim->seq);
}

/* The task whose name, cgroup and user count, or NULL. Under RCU. */
static struct task_struct *msvm_owner_task(struct drm_msvm *msvm)
{
#ifdef CONFIG_MEMCG
	return rcu_dereference(msvm->mm->owner);
#else
	struct task_struct *task;

	task = pid_task(find_pid_ns(msvm->tgid, &init_pid_ns), PIDTYPE_TGID);
	return task && READ_ONCE(task->mm) == msvm->mm ? task : NULL;
#endif
}

/* Look how things are now. Under RCU. Return: the cgroup, or NULL. */
static struct cgroup *msvm_facts_take(struct drm_msvm *msvm,
				      struct msvm_facts *facts)
{
	struct task_struct *task = msvm_owner_task(msvm);
	struct cgroup *cgroup = NULL;

	/* All of it, as it is compared as memory. */
	memset(facts, 0, sizeof(*facts));
	facts->uid = (uid_t)-1;
	if (!task)
		return NULL;
	/* While it is being renamed this may be some of both; the next fault sees. */
	strscpy(facts->comm, task->comm);
	facts->uid = from_kuid(&init_user_ns, task_uid(task));
#ifdef CONFIG_CGROUPS
	cgroup = task_dfl_cgroup(task);
	facts->cgroup = cgroup_id(cgroup);
#endif
	return cgroup;
}

/*
 * Is it the group of this path, or below? By name: a group of cgroup v2 keeps its name,
 * and one that is made again is meant as well. Under RCU.
 */
static bool msvm_in_cgroup(struct cgroup *cgroup, const char *path)
{
#ifdef CONFIG_CGROUPS
	struct cgroup *part;
	const char *name;
	int level = 0;
	size_t len;

	/* "/" has no parts. */
	for (; cgroup && path[0] && path[1]; path += 1 + len) {
		len = strcspn(path + 1, "/");
		part = cgroup_ancestor(cgroup, ++level);
		if (!part)
			return false;
		name = rcu_dereference(part->kn->name);
		if (strncmp(name, path + 1, len) || name[len])
			return false;
	}
#endif
	return cgroup;
}

/**
 * enum msvm_miss - Why a rule does not claim.
 * @MSVM_CLAIMS: It does.
 * @MSVM_MISS_NO_POLICY: No policy is linked.
 * @MSVM_MISS_NOT_LIVE: The policy is not live.
 * @MSVM_MISS_COMM: Another name.
 * @MSVM_MISS_CGROUP: Another cgroup.
 * @MSVM_MISS_UID: Another user.
 */
enum msvm_miss {
	MSVM_CLAIMS,
	MSVM_MISS_NO_POLICY,
	MSVM_MISS_NOT_LIVE,
	MSVM_MISS_COMM,
	MSVM_MISS_CGROUP,
	MSVM_MISS_UID,
};

static enum msvm_miss msvm_rule_try(const struct msvm_rule *rule,
				    const struct msvm_facts *facts,
				    struct cgroup *cgroup)
{
	struct msvm_target *target = rcu_dereference(rule->target);

	if (!target)
		return MSVM_MISS_NO_POLICY;
	if (!rcu_access_pointer(target->policy))
		return MSVM_MISS_NOT_LIVE;
	if (rule->comm[0] && !glob_match(rule->comm, facts->comm))
		return MSVM_MISS_COMM;
	if (rule->has_uid && rule->uid != facts->uid)
		return MSVM_MISS_UID;
	if (rule->cgroup[0] && !msvm_in_cgroup(cgroup, rule->cgroup))
		return MSVM_MISS_CGROUP;
	return MSVM_CLAIMS;
}

/* What was found the last time, if nothing has changed since. */
static bool msvm_claim_remembered(struct msvm_claim *claim, u64 generation,
				  const struct msvm_facts *facts, u32 *index)
{
	unsigned int seq = raw_read_seqcount(&claim->seq);

	if (seq & 1 || claim->generation != generation ||
	    memcmp(&claim->facts, facts, sizeof(*facts)))
		return false;
	*index = claim->index;
	return !read_seqcount_retry(&claim->seq, seq);
}

static void msvm_claim_remember(struct msvm_claim *claim, u64 generation,
				const struct msvm_facts *facts, u32 index)
{
	/* If somebody else does just now, so much the better. */
	if (!raw_spin_trylock(&claim->lock))
		return;
	raw_write_seqcount_begin(&claim->seq);
	claim->generation = generation;
	claim->facts = *facts;
	claim->index = index;
	raw_write_seqcount_end(&claim->seq);
	raw_spin_unlock(&claim->lock);
}

/* The first rule that claims the address space, or MSVM_UNCLAIMED. Under RCU. */
static u32 msvm_claim_index(struct drm_msvm *msvm, struct msvm_rules *rules,
			    bool again)
{
	/* Before anything is looked at, pairs with msvm_claims_changed(). */
	u64 generation = smp_load_acquire(&rules->generation);
	struct msvm_facts facts;
	struct cgroup *cgroup = msvm_facts_take(msvm, &facts);
	u32 nr = READ_ONCE(rules->nr), index;
	struct msvm_rule *rule;

	if (!again && msvm_claim_remembered(&msvm->claim, generation, &facts,
					    &index))
		return index;
	for (index = 0; index < nr; index++) {
		rule = rcu_dereference(rules->rules[index]);
		if (rule && msvm_rule_try(rule, &facts, cgroup) == MSVM_CLAIMS)
			break;
	}
	if (index == nr)
		index = MSVM_UNCLAIMED;
	msvm_claim_remember(&msvm->claim, generation, &facts, index);

	return index;
}

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

/* As msvm_claim_policy(), and the rule or NULL in @by. Under RCU. */
static struct msvm_policy *msvm_claim_find(struct drm_msvm *msvm,
					   struct msvm_rule **by)
{
	struct msvm_rules *rules;
	struct msvm_policy *policy;
	struct msvm_target *target;
	bool again = false;
	u32 index;

	/*
	 * A rule lost its policy since it was found: go through them once more. What
	 * is remembered may be as old until the generation changes.
	 */
	for (;; again = true) {
		rules = rcu_dereference(msvm_rules);
		index = rules && READ_ONCE(rules->nr) ?
			msvm_claim_index(msvm, rules, again) : MSVM_UNCLAIMED;
		*by = NULL;
		if (index == MSVM_UNCLAIMED)
			return msvm_target_policy(&msvm_target_default);
		/* What is remembered is of this state of this array, or NULL by now. */
		*by = rcu_dereference(rules->rules[index]);
		target = *by ? rcu_dereference((*by)->target) : NULL;
		policy = target ? msvm_target_policy(target) : NULL;
		if (policy)
			return policy;
	}
}

/*
 * The policy of an address space, as it is now: it stays as it is for as long as
 * the caller has it. Takes no lock and does not allocate. Any context. Return: it,
 * with a reference.
 */
struct msvm_policy *msvm_claim_policy(struct drm_msvm *msvm)
{
	struct msvm_rule *by;

	guard(rcu)();

	return msvm_claim_find(msvm, &by);
}

/* Show why one rule does not claim; @by does, or NULL. Under RCU. */
static void msvm_rule_show(struct seq_file *m, const struct msvm_rule *rule,
			   const struct msvm_rule *by,
			   const struct msvm_facts *facts,
			   struct cgroup *cgroup)
{
	struct msvm_target *target = rcu_dereference(rule->target);

	seq_printf(m, "rule %s: priority %u, policy %s: ", rule->name,
		   rule->priority, target ? target->name : "none");
	if (rule == by) {
		seq_puts(m, "claims\n");
		return;
	}
	switch (msvm_rule_try(rule, facts, cgroup)) {
	case MSVM_MISS_NO_POLICY:
		seq_puts(m, "no policy linked\n");
		break;
	case MSVM_MISS_NOT_LIVE:
		seq_puts(m, "policy not live\n");
		break;
	case MSVM_MISS_COMM:
		seq_printf(m, "comm '%s' does not match '%s'\n", rule->comm,
			   facts->comm);
		break;
	case MSVM_MISS_UID:
		seq_printf(m, "uid %u is not %u\n", rule->uid, facts->uid);
		break;
	case MSVM_MISS_CGROUP:
		seq_printf(m, "not in cgroup '%s'\n", rule->cgroup);
		break;
	case MSVM_CLAIMS:
		if (by && by->priority != rule->priority)
			seq_printf(m, "priority lower than %s\n", by->name);
		else if (by)
			seq_printf(m, "after %s by name\n", by->name);
		else
			seq_puts(m, "just changed\n");
		break;
	}
}

static void msvm_cgroup_show(struct seq_file *m, struct cgroup *cgroup)
{
	seq_puts(m, "cgroup: ");
#ifdef CONFIG_CGROUPS
	if (cgroup && !cgroup->level)
		seq_puts(m, "/");
	for (int level = 1; cgroup && level <= cgroup->level; level++)
		seq_printf(m, "/%s", rcu_dereference(cgroup_ancestor(cgroup, level)->kn->name));
#endif
	seq_puts(m, "\n");
}

/*
 * How long a claim takes, ns, if nothing has changed since the one before: of the
 * round that was disturbed least.
 */
static u64 msvm_claim_time(struct drm_msvm *msvm)
{
	u64 best = U64_MAX, begin;
	int round, i;

	for (round = 0; round < MSVM_CLAIM_ROUNDS; round++) {
		begin = local_clock();
		for (i = 0; i < MSVM_CLAIM_SAMPLES; i++)
			msvm_policy_put(msvm_claim_policy(msvm));
		best = min(best, local_clock() - begin);
	}
	return div_u64(best, MSVM_CLAIM_SAMPLES);
}

/* Which policy an address space has, what it says, and why not another. */
void msvm_claim_show(struct drm_msvm *msvm, struct seq_file *m)
{
	struct msvm_policy *policy;
	struct msvm_rules *rules;
	struct msvm_facts facts;
	struct msvm_rule *rule, *by;
	struct cgroup *cgroup;
	u32 i;

	seq_printf(m, "claim_ns: %llu\n", msvm_claim_time(msvm));

	guard(rcu)();

	cgroup = msvm_facts_take(msvm, &facts);
	policy = msvm_claim_find(msvm, &by);
	seq_printf(m, "policy: %s\n", policy->name);
	seq_printf(m, "serial: %llu\n", policy->serial);
	seq_printf(m, "rule: %s\n", by ? by->name : "none");
	seq_printf(m, "comm: %s\n", facts.comm);
	seq_printf(m, "uid: %u\n", facts.uid);
	msvm_cgroup_show(m, cgroup);
	msvm_policy_show(m, &policy->params);
	rules = rcu_dereference(msvm_rules);
	for (i = 0; rules && i < rules->nr; i++) {
		rule = rcu_dereference(rules->rules[i]);
		if (rule)
			msvm_rule_show(m, rule, by, &facts, cgroup);
	}
	msvm_policy_put(policy);
}
