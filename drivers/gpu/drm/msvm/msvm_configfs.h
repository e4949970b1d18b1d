/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the directories below /sys/kernel/config/drm_msvm/ have in common: reading
 * values, and the one line that says why a value was not taken.
 */
#ifndef __MSVM_CONFIGFS_H__
#define __MSVM_CONFIGFS_H__

#include <linux/configfs.h>

struct msvm_target;

ssize_t msvm_configfs_length(const char *page, size_t count);
int msvm_configfs_u32(const char *page, size_t count, u32 min, u32 max,
		      u32 *value);
int msvm_configfs_name(const char *page, size_t count,
		       const char * const *names);
int msvm_configfs_bool(const char *page, size_t count, bool *value);
int msvm_configfs_new_name(const char *dir, const char *name, size_t max);
bool msvm_configfs_text_ok(const char *text, size_t len);

__printf(5, 6)
int msvm_configfs_refuse(struct config_item *item, const char *file,
			 const char *page, size_t count, const char *why, ...);
int msvm_configfs_refuse_names(struct config_item *item, const char *file,
			       const char *page, size_t count,
			       const char * const *names);

/* msvm_configfs_policy.c */
void msvm_configfs_policy_init(struct config_group *root);
struct msvm_target *msvm_configfs_target(struct config_item *cfg);

/* msvm_configfs_device.c */
void msvm_configfs_device_init(struct config_group *root);

/* msvm_configfs_rule.c */
void msvm_configfs_rule_init(struct config_group *root);

#endif /* __MSVM_CONFIGFS_H__ */
