// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rules in configfs: whom a policy is for, how early it is asked, and a symbolic link
 * to the policy. A rule is never changed: each write makes another, see msvm_claim.c.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "msvm_claim.h"
#include "msvm_configfs.h"
#include "msvm_control.h"
#include "msvm_internal.h"

#define MSVM_MAX_PRIORITY	1000000

/**
 * struct msvm_rule_item - A directory of a rule.
 * @item: The directory.
 * @rule: What its files say; msvm_control_lock.
 */
struct msvm_rule_item {
	struct config_item item;
	struct msvm_rule *rule;
};

static struct msvm_rule_item *to_msvm_rule_item(struct config_item *cfg)
{
	return container_of(cfg, struct msvm_rule_item, item);
}

/* A rule with another's values and this path. Context: sleeps. Return: it or NULL. */
static struct msvm_rule *msvm_rule_copy(const struct msvm_rule *from,
					const char *cgroup, size_t len)
{
	struct msvm_rule *rule = msvm_alloc(kvzalloc_flex(*rule, cgroup,
							  len + 1));

	if (!rule)
		return NULL;
	if (from) {
		strscpy(rule->name, from->name);
		strscpy(rule->comm, from->comm);
		rule->priority = from->priority;
		rule->has_uid = from->has_uid;
		rule->uid = from->uid;
	}
	memcpy(rule->cgroup, cgroup, len);

	return rule;
}

/* As above, of the directory's rule, and with its path. */
static struct msvm_rule *msvm_rule_item_copy(struct config_item *cfg)
{
	struct msvm_rule *rule = to_msvm_rule_item(cfg)->rule;

	return msvm_rule_copy(rule, rule->cgroup, strlen(rule->cgroup));
}

/* Let a rule count instead of the directory's, or free it. Return: 0 or -ENOMEM. */
static int msvm_rule_item_commit(struct config_item *cfg,
				 struct msvm_rule *rule)
{
	struct msvm_rule_item *item = to_msvm_rule_item(cfg);
	int err;

	lockdep_assert_held(&msvm_control_lock);

	err = msvm_rules_replace(item->rule, rule);
	if (err)
		kvfree(rule);
	else
		item->rule = rule;
	return err;
}

static ssize_t msvm_rule_priority_show(struct config_item *cfg, char *page)
{
	guard(mutex)(&msvm_control_lock);

	return sysfs_emit(page, "%u\n", to_msvm_rule_item(cfg)->rule->priority);
}

static ssize_t msvm_rule_priority_store(struct config_item *cfg,
					const char *page, size_t count)
{
	struct msvm_rule *rule;
	u32 priority;

	if (msvm_configfs_u32(page, count, 0, MSVM_MAX_PRIORITY, &priority))
		return msvm_configfs_refuse(cfg, "priority", page, count,
					    "a number from 0 to %u is needed",
					    MSVM_MAX_PRIORITY);
	guard(mutex)(&msvm_control_lock);
	rule = msvm_rule_item_copy(cfg);
	if (!rule)
		return -ENOMEM;
	rule->priority = priority;
	return msvm_rule_item_commit(cfg, rule) ?: count;
}
CONFIGFS_ATTR(msvm_rule_, priority);

static ssize_t msvm_rule_match_comm_show(struct config_item *cfg, char *page)
{
	guard(mutex)(&msvm_control_lock);

	return sysfs_emit(page, "%s\n", to_msvm_rule_item(cfg)->rule->comm);
}

static ssize_t msvm_rule_match_comm_store(struct config_item *cfg,
					  const char *page, size_t count)
{
	ssize_t len = msvm_configfs_length(page, count);
	struct msvm_rule *rule;

	if (len < 0 || len >= MSVM_RULE_COMM ||
	    !msvm_configfs_text_ok(page, len))
		return msvm_configfs_refuse(cfg, "match_comm", page, count,
					    "a pattern of up to %u bytes of UTF-8 is needed, or nothing",
					    MSVM_RULE_COMM - 1);
	guard(mutex)(&msvm_control_lock);
	rule = msvm_rule_item_copy(cfg);
	if (!rule)
		return -ENOMEM;
	memset(rule->comm, 0, sizeof(rule->comm));
	memcpy(rule->comm, page, len);
	return msvm_rule_item_commit(cfg, rule) ?: count;
}
CONFIGFS_ATTR(msvm_rule_, match_comm);

static ssize_t msvm_rule_match_uid_show(struct config_item *cfg, char *page)
{
	struct msvm_rule *rule;

	guard(mutex)(&msvm_control_lock);

	rule = to_msvm_rule_item(cfg)->rule;
	return rule->has_uid ? sysfs_emit(page, "%u\n", rule->uid) :
			       sysfs_emit(page, "\n");
}

static ssize_t msvm_rule_match_uid_store(struct config_item *cfg,
					 const char *page, size_t count)
{
	bool has_uid = msvm_configfs_length(page, count);
	struct msvm_rule *rule;
	u32 uid = 0;

	if (has_uid && msvm_configfs_u32(page, count, 0, U32_MAX - 1, &uid))
		return msvm_configfs_refuse(cfg, "match_uid", page, count,
					    "a number from 0 to %u is needed, or nothing",
					    U32_MAX - 1);
	guard(mutex)(&msvm_control_lock);
	rule = msvm_rule_item_copy(cfg);
	if (!rule)
		return -ENOMEM;
	rule->has_uid = has_uid;
	rule->uid = uid;
	return msvm_rule_item_commit(cfg, rule) ?: count;
}
CONFIGFS_ATTR(msvm_rule_, match_uid);

/* Is it "/", or "/a/b" without anything that is no name of a group? */
static bool msvm_rule_path_ok(const char *path, size_t len)
{
	const char *end = path + len;
	size_t part;

	if (!msvm_configfs_text_ok(path, len) || path[0] != '/')
		return false;
	if (len == 1)
		return true;
	while (path < end) {
		path++;
		part = strcspn(path, "/\n");
		if (!part || part > NAME_MAX ||
		    (path[0] == '.' && part <= 2 && path[part - 1] == '.'))
			return false;
		path += part;
	}
	return true;
}

static ssize_t msvm_rule_match_cgroup_show(struct config_item *cfg, char *page)
{
	guard(mutex)(&msvm_control_lock);

	return sysfs_emit(page, "%s\n", to_msvm_rule_item(cfg)->rule->cgroup);
}

static ssize_t msvm_rule_match_cgroup_store(struct config_item *cfg,
					    const char *page, size_t count)
{
	ssize_t len = msvm_configfs_length(page, count);
	struct msvm_rule *rule;

	if (len && !IS_ENABLED(CONFIG_CGROUPS)) {
		msvm_configfs_refuse(cfg, "match_cgroup", page, count,
				     "a kernel with CGROUPS is needed");
		return -EOPNOTSUPP;
	}
	if (len < 0 || (len && !msvm_rule_path_ok(page, len)))
		return msvm_configfs_refuse(cfg, "match_cgroup", page, count,
					    "a path in cgroup v2 like /a/b is needed, or nothing");
	guard(mutex)(&msvm_control_lock);
	rule = msvm_rule_copy(to_msvm_rule_item(cfg)->rule, page, len);
	if (!rule)
		return -ENOMEM;
	return msvm_rule_item_commit(cfg, rule) ?: count;
}
CONFIGFS_ATTR(msvm_rule_, match_cgroup);

static struct configfs_attribute *msvm_rule_attrs[] = {
	&msvm_rule_attr_priority,
	&msvm_rule_attr_match_comm,
	&msvm_rule_attr_match_cgroup,
	&msvm_rule_attr_match_uid,
	NULL
};

/* A link of any name leads to the policy, so there can be one only. */
static int msvm_rule_allow_link(struct config_item *cfg,
				struct config_item *to)
{
	struct msvm_target *target = msvm_configfs_target(to);
	struct msvm_rule *rule;

	if (!target) {
		pr_err("drm_msvm: rules/%s: only a directory in policies can be linked, not \"%s\"\n",
		       config_item_name(cfg), config_item_name(to));
		return -EINVAL;
	}
	guard(mutex)(&msvm_control_lock);
	rule = to_msvm_rule_item(cfg)->rule;
	if (rcu_access_pointer(rule->target)) {
		pr_err("drm_msvm: rules/%s: a policy is linked already, remove that link first\n",
		       config_item_name(cfg));
		return -EEXIST;
	}
	rcu_assign_pointer(rule->target, target);
	msvm_claims_changed();
	return 0;
}

static void msvm_rule_drop_link(struct config_item *cfg, struct config_item *to)
{
	guard(mutex)(&msvm_control_lock);

	RCU_INIT_POINTER(to_msvm_rule_item(cfg)->rule->target, NULL);
	msvm_claims_changed();
}

/* The directory is gone, and the link before it. */
static void msvm_rule_item_release(struct config_item *cfg)
{
	kfree(to_msvm_rule_item(cfg));
}

static const struct configfs_item_operations msvm_rule_item_ops = {
	.release = msvm_rule_item_release,
	.allow_link = msvm_rule_allow_link,
	.drop_link = msvm_rule_drop_link,
};

static const struct config_item_type msvm_rule_type = {
	.ct_item_ops = &msvm_rule_item_ops,
	.ct_attrs = msvm_rule_attrs,
	.ct_owner = THIS_MODULE,
};

static struct config_item *msvm_rule_make(struct config_group *parent,
					  const char *name)
{
	struct msvm_rule_item *item;
	struct msvm_rule *rule;
	int err;

	err = msvm_configfs_new_name("rules", name, MSVM_RULE_NAME);
	if (err)
		return ERR_PTR(err);
	item = msvm_alloc(kzalloc_obj(*item));
	if (!item)
		return ERR_PTR(-ENOMEM);
	rule = msvm_rule_copy(NULL, "", 0);
	if (!rule)
		goto err_item;
	strscpy(rule->name, name);
	config_item_init_type_name(&item->item, name, &msvm_rule_type);
	if (!config_item_name(&item->item))
		goto err_rule;
	scoped_guard(mutex, &msvm_control_lock)
		err = msvm_rule_item_commit(&item->item, rule);
	/* The last reference frees the item. */
	if (err) {
		config_item_put(&item->item);
		return ERR_PTR(err);
	}
	return &item->item;

err_rule:
	kvfree(rule);
err_item:
	kfree(item);
	return ERR_PTR(-ENOMEM);
}

/* rmdir. */
static void msvm_rule_drop(struct config_group *parent, struct config_item *cfg)
{
	scoped_guard(mutex, &msvm_control_lock)
		msvm_rules_remove(to_msvm_rule_item(cfg)->rule);
	config_item_put(cfg);
}

static const struct configfs_group_operations msvm_rules_ops = {
	.make_item = msvm_rule_make,
	.drop_item = msvm_rule_drop,
};

static const struct config_item_type msvm_rules_type = {
	.ct_group_ops = &msvm_rules_ops,
	.ct_owner = THIS_MODULE,
};

static struct config_group msvm_rules_group;

/* Add the directory of rules to the root. Before it can be seen. */
void msvm_configfs_rule_init(struct config_group *root)
{
	config_group_init_type_name(&msvm_rules_group, "rules",
				    &msvm_rules_type);
	configfs_add_default_group(&msvm_rules_group, root);
}
