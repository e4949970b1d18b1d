// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Devices in configfs: a directory has the name of a device (a PCI address, or
 * whatever else the bus calls it) and says how much of its memory may be used. The
 * device may come later, or go and come back.
 */
#include <linux/kstrtox.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "msvm_configfs.h"
#include "msvm_internal.h"

/* As the names of devices in a policy. */
#define MSVM_DEVICE_NAME	40
#define MSVM_MAX_WEIGHT		1000

/**
 * struct msvm_device_item - A directory of a device.
 * @item: The directory.
 * @lock: One write at a time: each changes one value of several.
 * @config: What its files say.
 * @name: The name.
 */
struct msvm_device_item {
	struct config_item item;
	/* Outside of the lock of all devices, with no other of ours. */
	struct mutex lock;
	struct msvm_device_config config;
	char name[MSVM_DEVICE_NAME];
};

static struct msvm_device_item *to_msvm_device_item(struct config_item *cfg)
{
	return container_of(cfg, struct msvm_device_item, item);
}

static struct msvm_device_config msvm_device_item_get(struct config_item *cfg)
{
	struct msvm_device_state state;

	return msvm_device_config_get(&to_msvm_device_item(cfg)->config,
				      &state);
}

static ssize_t msvm_device_svm_limit_bytes_show(struct config_item *cfg,
						char *page)
{
	u64 limit = msvm_device_item_get(cfg).limit;

	return limit == U64_MAX ? sysfs_emit(page, "max\n") :
				  sysfs_emit(page, "%llu\n", limit);
}

static int msvm_device_parse_limit(const char *page, size_t count, u64 *limit)
{
	if (msvm_configfs_length(page, count) < 0)
		return -EINVAL;
	if (sysfs_streq(page, "max"))
		*limit = 0;
	/* kstrtou64() would take a sign. */
	else if (page[0] == '+' || kstrtou64(page, 10, limit))
		return -EINVAL;
	/* No limit. */
	if (!*limit)
		*limit = U64_MAX;
	return 0;
}

static ssize_t msvm_device_svm_limit_bytes_store(struct config_item *cfg,
						 const char *page, size_t count)
{
	struct msvm_device_item *item = to_msvm_device_item(cfg);
	struct msvm_device_config values;
	u64 limit;
	int err;

	if (msvm_device_parse_limit(page, count, &limit))
		return msvm_configfs_refuse(cfg, "svm_limit_bytes", page, count,
					    "a number of bytes, or max or 0 for no limit, is needed");
	guard(mutex)(&item->lock);
	values = msvm_device_item_get(cfg);
	values.limit = limit;
	err = msvm_device_config_set(&item->config, &values);

	return err ?: count;
}
CONFIGFS_ATTR(msvm_device_, svm_limit_bytes);

static ssize_t msvm_device_enabled_show(struct config_item *cfg, char *page)
{
	return sysfs_emit(page, "%d\n", msvm_device_item_get(cfg).enabled);
}

static ssize_t msvm_device_enabled_store(struct config_item *cfg,
					 const char *page, size_t count)
{
	struct msvm_device_item *item = to_msvm_device_item(cfg);
	struct msvm_device_config values;
	bool enabled;
	int err;

	if (msvm_configfs_bool(page, count, &enabled))
		return msvm_configfs_refuse(cfg, "enabled", page, count,
					    "0 or 1 is needed");
	guard(mutex)(&item->lock);
	values = msvm_device_item_get(cfg);
	values.enabled = enabled;
	err = msvm_device_config_set(&item->config, &values);

	return err ?: count;
}
CONFIGFS_ATTR(msvm_device_, enabled);

static ssize_t msvm_device_weight_show(struct config_item *cfg, char *page)
{
	return sysfs_emit(page, "%u\n", msvm_device_item_get(cfg).weight);
}

static ssize_t msvm_device_weight_store(struct config_item *cfg,
					const char *page, size_t count)
{
	struct msvm_device_item *item = to_msvm_device_item(cfg);
	struct msvm_device_config values;
	u32 weight;

	if (msvm_configfs_u32(page, count, 1, MSVM_MAX_WEIGHT, &weight))
		return msvm_configfs_refuse(cfg, "weight", page, count,
					    "a number from 1 to %u is needed",
					    MSVM_MAX_WEIGHT);
	guard(mutex)(&item->lock);
	values = msvm_device_item_get(cfg);
	values.weight = weight;
	/* That pages above a limit are still there has nothing to do with it. */
	msvm_device_config_set(&item->config, &values);

	return count;
}
CONFIGFS_ATTR(msvm_device_, weight);

static ssize_t msvm_device_present_show(struct config_item *cfg, char *page)
{
	struct msvm_device_state state;

	msvm_device_config_get(&to_msvm_device_item(cfg)->config, &state);
	return sysfs_emit(page, "%d\n", state.present);
}
CONFIGFS_ATTR_RO(msvm_device_, present);

static ssize_t msvm_device_resident_bytes_show(struct config_item *cfg,
					       char *page)
{
	struct msvm_device_state state;

	msvm_device_config_get(&to_msvm_device_item(cfg)->config, &state);
	return sysfs_emit(page, "%llu\n", state.resident);
}
CONFIGFS_ATTR_RO(msvm_device_, resident_bytes);

static struct configfs_attribute *msvm_device_attrs[] = {
	&msvm_device_attr_svm_limit_bytes,
	&msvm_device_attr_enabled,
	&msvm_device_attr_weight,
	&msvm_device_attr_present,
	&msvm_device_attr_resident_bytes,
	NULL
};

static void msvm_device_item_release(struct config_item *cfg)
{
	struct msvm_device_item *item = to_msvm_device_item(cfg);

	mutex_destroy(&item->lock);
	kfree(item);
}

static const struct configfs_item_operations msvm_device_item_ops = {
	.release = msvm_device_item_release,
};

static const struct config_item_type msvm_device_type = {
	.ct_item_ops = &msvm_device_item_ops,
	.ct_attrs = msvm_device_attrs,
	.ct_owner = THIS_MODULE,
};

static struct config_item *msvm_device_make(struct config_group *parent,
					    const char *name)
{
	struct msvm_device_item *item;
	int err;

	err = msvm_configfs_new_name("devices", name, MSVM_DEVICE_NAME);
	if (err)
		return ERR_PTR(err);
	item = msvm_alloc(kzalloc_obj(*item));
	if (!item)
		return ERR_PTR(-ENOMEM);
	config_item_init_type_name(&item->item, name, &msvm_device_type);
	if (!config_item_name(&item->item)) {
		kfree(item);
		return ERR_PTR(-ENOMEM);
	}
	mutex_init(&item->lock);
	strscpy(item->name, name);
	item->config.name = item->name;
	msvm_device_config_add(&item->config);

	return &item->item;
}

/* rmdir: nothing is said about the device any more. */
static void msvm_device_drop(struct config_group *parent,
			     struct config_item *cfg)
{
	msvm_device_config_remove(&to_msvm_device_item(cfg)->config);
	config_item_put(cfg);
}

static const struct configfs_group_operations msvm_devices_ops = {
	.make_item = msvm_device_make,
	.drop_item = msvm_device_drop,
};

static const struct config_item_type msvm_devices_type = {
	.ct_group_ops = &msvm_devices_ops,
	.ct_owner = THIS_MODULE,
};

static struct config_group msvm_devices_group;

/* Add the directory of devices to the root. Before it can be seen. */
void msvm_configfs_device_init(struct config_group *root)
{
	config_group_init_type_name(&msvm_devices_group, "devices",
				    &msvm_devices_type);
	configfs_add_default_group(&msvm_devices_group, root);
}
