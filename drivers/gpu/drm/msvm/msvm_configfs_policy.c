// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The files of a policy in configfs, one a field of struct msvm_policy_params: names
 * rather than numbers, and what is read can be written back.
 *
 * Files of a policy that is not live may be written in any order. Going live, and
 * every write to a live policy from then on, checks the whole of it and replaces it
 * as a whole.
 */
#include <linux/log2.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "msvm_configfs.h"
#include "msvm_control.h"
#include "msvm_internal.h"

/**
 * struct msvm_policy_item - A directory with the files of a policy.
 * @group: The directory.
 * @params: What the files say; msvm_control_lock.
 * @target: Where the policy is found.
 */
struct msvm_policy_item {
	struct config_group group;
	struct msvm_policy_params params;
	struct msvm_target *target;
};

static struct msvm_policy_item *to_msvm_policy_item(struct config_item *cfg)
{
	return container_of(to_config_group(cfg), struct msvm_policy_item,
			    group);
}

/* What the files of a directory say now. Context: sleeps. */
static struct msvm_policy_params msvm_policy_item_read(struct config_item *cfg)
{
	guard(mutex)(&msvm_control_lock);

	return to_msvm_policy_item(cfg)->params;
}

static bool msvm_policy_item_live(struct msvm_policy_item *item)
{
	return rcu_access_pointer(item->target->policy);
}

/*
 * Take a write to @file, which made the files of @cfg @params, and let it count if
 * the policy is live. Context: sleeps; msvm_control_lock held. Return: @count;
 * -EINVAL: they do not go together; -ENOMEM; nothing has changed then.
 */
static ssize_t msvm_policy_item_commit(struct config_item *cfg,
				       const char *file, const char *page,
				       size_t count,
				       const struct msvm_policy_params *params)
{
	struct msvm_policy_item *item = to_msvm_policy_item(cfg);
	const char *why, *field;
	int err;

	lockdep_assert_held(&msvm_control_lock);

	if (msvm_policy_item_live(item)) {
		why = msvm_policy_check(params, &field);
		if (why)
			return msvm_configfs_refuse(cfg, file, page, count,
						    "%s: %s", field, why);
		err = msvm_target_set(item->target, params);
		if (err)
			return err;
	}
	item->params = *params;

	return count;
}

/* Take a write of one of @names, a field that is an enum. */
static ssize_t msvm_policy_item_store_name(struct config_item *cfg,
					   const char *file, size_t offset,
					   const char *page, size_t count,
					   const char * const *names)
{
	int value = msvm_configfs_name(page, count, names);
	struct msvm_policy_params params;

	if (value < 0)
		return msvm_configfs_refuse_names(cfg, file, page, count,
						  names);
	guard(mutex)(&msvm_control_lock);
	params = to_msvm_policy_item(cfg)->params;
	*(int *)((char *)&params + offset) = value;
	return msvm_policy_item_commit(cfg, file, page, count, &params);
}

/* Take a write of a number. */
static ssize_t msvm_policy_item_store_u32(struct config_item *cfg,
					  const char *file, size_t offset,
					  const char *page, size_t count,
					  u32 min, u32 max)
{
	struct msvm_policy_params params;
	u32 value;

	if (msvm_configfs_u32(page, count, min, max, &value))
		return msvm_configfs_refuse(cfg, file, page, count,
					    "a number from %u to %u is needed",
					    min, max);
	guard(mutex)(&msvm_control_lock);
	params = to_msvm_policy_item(cfg)->params;
	*(u32 *)((char *)&params + offset) = value;
	return msvm_policy_item_commit(cfg, file, page, count, &params);
}

#define MSVM_POLICY_NAMES(name_, names_) \
static_assert(sizeof_field(struct msvm_policy_params, name_) == sizeof(int)); \
static ssize_t msvm_policy_##name_##_show(struct config_item *cfg, char *page) \
{ \
	return sysfs_emit(page, "%s\n", \
			  names_[msvm_policy_item_read(cfg).name_]); \
} \
\
static ssize_t msvm_policy_##name_##_store(struct config_item *cfg, \
					   const char *page, size_t count) \
{ \
	return msvm_policy_item_store_name(cfg, #name_, \
			offsetof(struct msvm_policy_params, name_), page, \
			count, names_); \
} \
CONFIGFS_ATTR(msvm_policy_, name_)

#define MSVM_POLICY_U32(name_, min_, max_) \
static_assert(sizeof_field(struct msvm_policy_params, name_) == sizeof(u32)); \
static ssize_t msvm_policy_##name_##_show(struct config_item *cfg, char *page) \
{ \
	return sysfs_emit(page, "%u\n", msvm_policy_item_read(cfg).name_); \
} \
\
static ssize_t msvm_policy_##name_##_store(struct config_item *cfg, \
					   const char *page, size_t count) \
{ \
	return msvm_policy_item_store_u32(cfg, #name_, \
			offsetof(struct msvm_policy_params, name_), page, \
			count, min_, max_); \
} \
CONFIGFS_ATTR(msvm_policy_, name_)

MSVM_POLICY_NAMES(placement, msvm_placement_names);
MSVM_POLICY_NAMES(map_mode, msvm_map_mode_names);
MSVM_POLICY_NAMES(peer_access, msvm_peer_access_names);
MSVM_POLICY_NAMES(prefetch, msvm_prefetch_names);
MSVM_POLICY_NAMES(evict_to, msvm_evict_to_names);

/* Counters of a range's history are bytes, those of faults have 16 bits. */
MSVM_POLICY_U32(prefetch_percent, 1, 100);
MSVM_POLICY_U32(migrate_threshold, 1, U16_MAX);
MSVM_POLICY_U32(migrate_window_ms, 1, 3600000);
MSVM_POLICY_U32(thrash_threshold, 0, 255);
MSVM_POLICY_U32(thrash_window_us, 0, 60000000);
MSVM_POLICY_U32(thrash_throttle_us, 0, 1000000);
MSVM_POLICY_U32(thrash_max_throttles, 0, 255);
MSVM_POLICY_U32(thrash_pin_ms, 0, 3600000);
MSVM_POLICY_U32(thrash_reset_ms, 0, 3600000);
MSVM_POLICY_U32(thrash_max_resets, 0, 255);
MSVM_POLICY_U32(timeslice_ms, 0, 60000);

static ssize_t msvm_policy_interleave_kib_show(struct config_item *cfg,
					       char *page)
{
	return sysfs_emit(page, "%u\n", msvm_policy_item_read(cfg).interleave_kib);
}

static ssize_t msvm_policy_interleave_kib_store(struct config_item *cfg,
						const char *page, size_t count)
{
	struct msvm_policy_params params;
	u32 value;

	if (msvm_configfs_u32(page, count, 4, SZ_1G / SZ_1K, &value) ||
	    !is_power_of_2(value))
		return msvm_configfs_refuse(cfg, "interleave_kib", page, count,
					    "a power of two from 4 to %u is needed",
					    SZ_1G / SZ_1K);
	guard(mutex)(&msvm_control_lock);
	params = to_msvm_policy_item(cfg)->params;
	params.interleave_kib = value;
	return msvm_policy_item_commit(cfg, "interleave_kib", page, count,
				       &params);
}
CONFIGFS_ATTR(msvm_policy_, interleave_kib);

/*
 * The next of the words of a value that one blank separates. Return: its length, 0:
 * there is none; *@text is then at the end, or else at what is wrong.
 */
static size_t msvm_policy_word(const char **text, const char *end,
			       const char **word)
{
	const char *p = *text;

	*word = p;
	while (p < end && *p != ' ')
		p++;
	/* A blank is followed by another word. */
	*text = p + 1 < end ? p + 1 : p;
	return p - *word;
}

static const struct {
	const char *name;
	u32 chunk;
} msvm_chunks[] = {
	{ "2M", MSVM_CHUNK_2M },
	{ "64K", MSVM_CHUNK_64K },
	{ "4K", MSVM_CHUNK_4K },
};

/* All sizes with blanks in between. */
static void msvm_policy_print_chunks(char *buf, size_t size, u32 chunks)
{
	size_t len = 0;
	int i;

	buf[0] = 0;
	for (i = 0; i < ARRAY_SIZE(msvm_chunks); i++)
		if (chunks & msvm_chunks[i].chunk)
			len += scnprintf(buf + len, size - len, "%s%s",
					 len ? " " : "", msvm_chunks[i].name);
}

static ssize_t msvm_policy_chunk_sizes_show(struct config_item *cfg, char *page)
{
	char buf[16];

	msvm_policy_print_chunks(buf, sizeof(buf),
				 msvm_policy_item_read(cfg).chunk_sizes);
	return sysfs_emit(page, "%s\n", buf);
}

/* Read sizes, each once, in any order. Return: MSVM_CHUNK_*; 0: bad. */
static u32 msvm_policy_parse_chunks(const char *page, size_t count)
{
	ssize_t len = msvm_configfs_length(page, count);
	const char *end = page + len, *word;
	u32 chunks = 0, chunk;
	size_t size;
	int i;

	if (len < 0)
		return 0;
	while ((size = msvm_policy_word(&page, end, &word))) {
		for (chunk = 0, i = 0; i < ARRAY_SIZE(msvm_chunks); i++)
			if (strlen(msvm_chunks[i].name) == size &&
			    !memcmp(msvm_chunks[i].name, word, size))
				chunk = msvm_chunks[i].chunk;
		if (!chunk || chunks & chunk)
			return 0;
		chunks |= chunk;
	}
	return page == end ? chunks : 0;
}

static ssize_t msvm_policy_chunk_sizes_store(struct config_item *cfg,
					     const char *page, size_t count)
{
	u32 chunks = msvm_policy_parse_chunks(page, count);
	struct msvm_policy_params params;

	if (!chunks)
		return msvm_configfs_refuse(cfg, "chunk_sizes", page, count,
					    "some of 2M, 64K and 4K with blanks in between are needed");
	guard(mutex)(&msvm_control_lock);
	params = to_msvm_policy_item(cfg)->params;
	params.chunk_sizes = chunks;
	return msvm_policy_item_commit(cfg, "chunk_sizes", page, count,
				       &params);
}
CONFIGFS_ATTR(msvm_policy_, chunk_sizes);

static ssize_t msvm_policy_preferred_devices_show(struct config_item *cfg,
						  char *page)
{
	struct msvm_policy_params params = msvm_policy_item_read(cfg);
	ssize_t len = 0;
	int i;

	for (i = 0; i < params.nr_preferred; i++)
		len += sysfs_emit_at(page, len, "%s%s", len ? " " : "",
				     params.preferred[i]);
	return len + sysfs_emit_at(page, len, "\n");
}

/* Read names of devices, each once, or none. Return: whether they are good. */
static bool msvm_policy_parse_devices(const char *page, size_t count,
				      struct msvm_policy_params *params)
{
	ssize_t len = msvm_configfs_length(page, count);
	const char *end = page + len, *word;
	size_t size;
	u32 nr = 0;
	int i;

	if (len < 0)
		return false;
	memset(params->preferred, 0, sizeof(params->preferred));
	while ((size = msvm_policy_word(&page, end, &word))) {
		if (nr == MSVM_POLICY_DEVICES || size >= MSVM_POLICY_NAME ||
		    !msvm_configfs_text_ok(word, size))
			return false;
		memcpy(params->preferred[nr], word, size);
		for (i = 0; i < nr; i++)
			if (!strcmp(params->preferred[i],
				    params->preferred[nr]))
				return false;
		nr++;
	}
	params->nr_preferred = nr;
	return page == end;
}

static ssize_t msvm_policy_preferred_devices_store(struct config_item *cfg,
						   const char *page,
						   size_t count)
{
	struct msvm_policy_params params;

	guard(mutex)(&msvm_control_lock);
	params = to_msvm_policy_item(cfg)->params;
	if (!msvm_policy_parse_devices(page, count, &params))
		return msvm_configfs_refuse(cfg, "preferred_devices", page,
					    count,
					    "up to %u different names of devices, of up to %u characters, with blanks in between are needed",
					    MSVM_POLICY_DEVICES,
					    MSVM_POLICY_NAME - 1);
	return msvm_policy_item_commit(cfg, "preferred_devices", page, count,
				       &params);
}
CONFIGFS_ATTR(msvm_policy_, preferred_devices);

#define MSVM_FIELD(name_, names_) \
	{ #name_, offsetof(struct msvm_policy_params, name_), names_ }

/* What fields are called, and the names of their values; NULL: numbers. */
static const struct {
	const char *name;
	size_t offset;
	const char * const *names;
} msvm_policy_fields[] = {
	MSVM_FIELD(placement, msvm_placement_names),
	MSVM_FIELD(map_mode, msvm_map_mode_names),
	MSVM_FIELD(peer_access, msvm_peer_access_names),
	MSVM_FIELD(prefetch, msvm_prefetch_names),
	MSVM_FIELD(evict_to, msvm_evict_to_names),
	MSVM_FIELD(prefetch_percent, NULL),
	MSVM_FIELD(migrate_threshold, NULL),
	MSVM_FIELD(migrate_window_ms, NULL),
	MSVM_FIELD(thrash_threshold, NULL),
	MSVM_FIELD(thrash_window_us, NULL),
	MSVM_FIELD(thrash_throttle_us, NULL),
	MSVM_FIELD(thrash_max_throttles, NULL),
	MSVM_FIELD(thrash_pin_ms, NULL),
	MSVM_FIELD(thrash_reset_ms, NULL),
	MSVM_FIELD(thrash_max_resets, NULL),
	MSVM_FIELD(timeslice_ms, NULL),
	MSVM_FIELD(interleave_kib, NULL),
};

/* Show all that a policy says, as its files do. Any context. */
void msvm_policy_show(struct seq_file *m,
		      const struct msvm_policy_params *params)
{
	char chunks[16];
	u32 value;
	int i;

	for (i = 0; i < ARRAY_SIZE(msvm_policy_fields); i++) {
		value = *(u32 *)((char *)params + msvm_policy_fields[i].offset);
		seq_printf(m, "%s: ", msvm_policy_fields[i].name);
		if (msvm_policy_fields[i].names)
			seq_printf(m, "%s\n", msvm_policy_fields[i].names[value]);
		else
			seq_printf(m, "%u\n", value);
	}
	msvm_policy_print_chunks(chunks, sizeof(chunks), params->chunk_sizes);
	seq_printf(m, "chunk_sizes: %s\n", chunks);
	seq_puts(m, "preferred_devices:");
	for (i = 0; i < params->nr_preferred; i++)
		seq_printf(m, " %s", params->preferred[i]);
	seq_puts(m, "\n");
}

static ssize_t msvm_policy_live_show(struct config_item *cfg, char *page)
{
	guard(mutex)(&msvm_control_lock);

	return sysfs_emit(page, "%d\n",
			  msvm_policy_item_live(to_msvm_policy_item(cfg)));
}

static ssize_t msvm_policy_live_store(struct config_item *cfg, const char *page,
				      size_t count)
{
	struct msvm_policy_item *item = to_msvm_policy_item(cfg);
	const char *why, *field;
	bool live;
	int err;

	if (msvm_configfs_bool(page, count, &live))
		return msvm_configfs_refuse(cfg, "live", page, count,
					    "0 or 1 is needed");
	guard(mutex)(&msvm_control_lock);
	if (live == msvm_policy_item_live(item))
		return count;
	why = live ? msvm_policy_check(&item->params, &field) : NULL;
	if (why)
		return msvm_configfs_refuse(cfg, "live", page, count,
					    "%s: %s", field, why);
	err = msvm_target_set(item->target, live ? &item->params : NULL);

	return err ?: count;
}
CONFIGFS_ATTR(msvm_policy_, live);

/* The default policy is always live and has all but the first. */
static struct configfs_attribute *msvm_policy_attrs[] = {
	&msvm_policy_attr_live,
	&msvm_policy_attr_placement,
	&msvm_policy_attr_map_mode,
	&msvm_policy_attr_peer_access,
	&msvm_policy_attr_prefetch,
	&msvm_policy_attr_evict_to,
	&msvm_policy_attr_chunk_sizes,
	&msvm_policy_attr_prefetch_percent,
	&msvm_policy_attr_migrate_threshold,
	&msvm_policy_attr_migrate_window_ms,
	&msvm_policy_attr_thrash_threshold,
	&msvm_policy_attr_thrash_window_us,
	&msvm_policy_attr_thrash_throttle_us,
	&msvm_policy_attr_thrash_max_throttles,
	&msvm_policy_attr_thrash_pin_ms,
	&msvm_policy_attr_thrash_reset_ms,
	&msvm_policy_attr_thrash_max_resets,
	&msvm_policy_attr_timeslice_ms,
	&msvm_policy_attr_interleave_kib,
	&msvm_policy_attr_preferred_devices,
	NULL
};

static const struct config_item_type msvm_policy_default_type = {
	.ct_attrs = msvm_policy_attrs + 1,
	.ct_owner = THIS_MODULE,
};

static struct msvm_policy_item msvm_policy_default_item = {
	.target = &msvm_target_default,
};

/* The directory is gone; a rule that leads to it would have kept it. */
static void msvm_policy_item_release(struct config_item *cfg)
{
	struct msvm_policy_item *item = to_msvm_policy_item(cfg);

	msvm_target_free(item->target);
	kfree(item);
}

static const struct configfs_item_operations msvm_policy_item_ops = {
	.release = msvm_policy_item_release,
};

static const struct config_item_type msvm_policy_type = {
	.ct_item_ops = &msvm_policy_item_ops,
	.ct_attrs = msvm_policy_attrs,
	.ct_owner = THIS_MODULE,
};

/* Where the policy of a directory is found; NULL: it is not in policies/. */
struct msvm_target *msvm_configfs_target(struct config_item *cfg)
{
	return cfg->ci_type == &msvm_policy_type ?
	       to_msvm_policy_item(cfg)->target : NULL;
}

static struct config_group *msvm_policy_make(struct config_group *parent,
					     const char *name)
{
	struct msvm_policy_item *item;
	int err;

	err = msvm_configfs_new_name("policies", name, MSVM_POLICY_NAME);
	if (err)
		return ERR_PTR(err);
	if (!strcmp(name, msvm_target_default.name)) {
		pr_err("drm_msvm: policies: \"%s\" is the one beside\n", name);
		return ERR_PTR(-EINVAL);
	}
	item = msvm_alloc(kzalloc_obj(*item));
	if (!item)
		return ERR_PTR(-ENOMEM);
	item->params = msvm_policy_default;
	item->target = msvm_target_new(name);
	if (!item->target)
		goto err_item;
	config_group_init_type_name(&item->group, name, &msvm_policy_type);
	if (!config_item_name(&item->group.cg_item))
		goto err_target;

	return &item->group;

err_target:
	msvm_target_free(item->target);
err_item:
	kfree(item);
	return ERR_PTR(-ENOMEM);
}

static const struct configfs_group_operations msvm_policies_ops = {
	.make_group = msvm_policy_make,
};

static const struct config_item_type msvm_policies_type = {
	.ct_group_ops = &msvm_policies_ops,
	.ct_owner = THIS_MODULE,
};

static struct config_group msvm_policies;

/* Add the directories of policies to the root. Before it can be seen. */
void msvm_configfs_policy_init(struct config_group *root)
{
	struct msvm_policy_item *item = &msvm_policy_default_item;

	item->params = msvm_policy_default;
	config_group_init_type_name(&item->group, msvm_target_default.name,
				    &msvm_policy_default_type);
	configfs_add_default_group(&item->group, root);
	config_group_init_type_name(&msvm_policies, "policies",
				    &msvm_policies_type);
	configfs_add_default_group(&msvm_policies, root);
}
