// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The tree in /sys/kernel/config/drm_msvm/ by which administrators set policies.
 * This file has its root and what all its files do alike: they take one value, and
 * say in one line of the kernel log why they did not take one.
 */
#include <linux/kstrtox.h>
#include <linux/string.h>
#include <linux/string_helpers.h>

#include "msvm_configfs.h"
#include "msvm_internal.h"

/* So much of a bad value is repeated in the log. */
#define MSVM_REPEAT	40

/*
 * Length of the value in a write, without the newline that echo adds. Any context.
 * Return: that; -EINVAL: there is a NUL in it, or it is so long that configfs may
 * have cut it off.
 */
ssize_t msvm_configfs_length(const char *page, size_t count)
{
	if (count >= PAGE_SIZE - 1 || strnlen(page, count) != count)
		return -EINVAL;
	if (count && page[count - 1] == '\n')
		count--;
	return count;
}

/* Read a decimal number. Return: 0, or -EINVAL. */
int msvm_configfs_u32(const char *page, size_t count, u32 min, u32 max,
		      u32 *value)
{
	u32 number;

	/* kstrtou32() would take a sign. */
	if (msvm_configfs_length(page, count) < 0 || page[0] == '+' ||
	    kstrtou32(page, 10, &number) || number < min || number > max)
		return -EINVAL;
	*value = number;
	return 0;
}

/* Read 0 or 1. Return: 0, or -EINVAL. */
int msvm_configfs_bool(const char *page, size_t count, bool *value)
{
	u32 number;
	int err = msvm_configfs_u32(page, count, 0, 1, &number);

	if (!err)
		*value = number;
	return err;
}

/* Read one of some names, of which the last is NULL. Return: which, or -EINVAL. */
int msvm_configfs_name(const char *page, size_t count,
		       const char * const *names)
{
	if (msvm_configfs_length(page, count) < 0)
		return -EINVAL;
	return __sysfs_match_string(names, -1, page);
}

/* Length of the UTF-8 character at @text, 0: there is none. */
static size_t msvm_utf8_length(const u8 *text, size_t len)
{
	size_t need, i;

	if (text[0] < 0x80)
		return 1;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		need = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		need = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (len < need)
		return 0;
	for (i = 1; i < need; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* What a shorter form has, surrogates, and what is beyond Unicode. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) ||
	    (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) ||
	    (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return need;
}

/* Is it UTF-8 without control characters, fit to be shown in a line? */
bool msvm_configfs_text_ok(const char *text, size_t len)
{
	size_t step;

	for (; len; text += step, len -= step) {
		step = msvm_utf8_length((const u8 *)text, len);
		if (!step || (u8)*text < 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

static const struct config_item_type msvm_configfs_type = {
	.ct_owner = THIS_MODULE,
};

static struct configfs_subsystem msvm_configfs = {
	.su_group = {
		.cg_item = {
			.ci_namebuf = "drm_msvm",
			.ci_type = &msvm_configfs_type,
		},
	},
};

/*
 * May a directory below @dir have this name, of less than @max bytes? Context: any.
 * Return: 0; -ENAMETOOLONG or -EINVAL, and the log says why.
 */
int msvm_configfs_new_name(const char *dir, const char *name, size_t max)
{
	size_t len = strlen(name);

	if (len >= max) {
		pr_err("drm_msvm: %s: names have up to %zu bytes\n", dir,
		       max - 1);
		return -ENAMETOOLONG;
	}
	/* They are shown in lines, and devices' in a list with blanks. */
	if (!msvm_configfs_text_ok(name, len) || strchr(name, ' ')) {
		pr_err("drm_msvm: %s: names are UTF-8 without blanks and control characters\n",
		       dir);
		return -EINVAL;
	}
	return 0;
}

/*
 * Say which value of which file was not taken, and what would be. Context: any.
 * Return: -EINVAL.
 */
int msvm_configfs_refuse(struct config_item *item, const char *file,
			 const char *page, size_t count, const char *why, ...)
{
	/* The root has the name that is in front of every message anyhow. */
	bool below = item->ci_parent != &msvm_configfs.su_group.cg_item;
	char shown[4 * MSVM_REPEAT + 1];
	struct va_format vaf;
	size_t len;
	va_list args;

	if (count && page[count - 1] == '\n')
		count--;
	len = string_escape_mem(page, min_t(size_t, count, MSVM_REPEAT), shown,
				sizeof(shown) - 1, ESCAPE_SPACE |
				ESCAPE_SPECIAL | ESCAPE_HEX | ESCAPE_NAP, NULL);
	shown[len] = 0;
	va_start(args, why);
	vaf.fmt = why;
	vaf.va = &args;
	pr_err("drm_msvm: %s%s%s/%s: \"%s%s\": %pV\n",
	       below ? config_item_name(item->ci_parent) : "",
	       below ? "/" : "", config_item_name(item), file, shown,
	       count > MSVM_REPEAT ? "..." : "", &vaf);
	va_end(args);

	return -EINVAL;
}

/* As above: one of @names would be. */
int msvm_configfs_refuse_names(struct config_item *item, const char *file,
			       const char *page, size_t count,
			       const char * const *names)
{
	char all[160];
	size_t len = 0;
	int i;

	for (i = 0; names[i]; i++)
		len += scnprintf(all + len, sizeof(all) - len, "%s%s",
				 !i ? "" : names[i + 1] ? ", " : " or ",
				 names[i]);
	return msvm_configfs_refuse(item, file, page, count, "%s is needed",
				    all);
}

int msvm_configfs_init(void)
{
	int err;

	config_group_init(&msvm_configfs.su_group);
	mutex_init(&msvm_configfs.su_mutex);
	msvm_configfs_policy_init(&msvm_configfs.su_group);
	msvm_configfs_rule_init(&msvm_configfs.su_group);
	msvm_configfs_device_init(&msvm_configfs.su_group);
	err = configfs_register_subsystem(&msvm_configfs);
	if (err)
		mutex_destroy(&msvm_configfs.su_mutex);
	return err;
}

void msvm_configfs_exit(void)
{
	configfs_unregister_subsystem(&msvm_configfs);
	mutex_destroy(&msvm_configfs.su_mutex);
}
