/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests of configfs: files that hold one value each, what must be
 * refused with one line in the kernel log, and the trees below drm_msvm.
 */
#ifndef LIB_CONFIGFS_H
#define LIB_CONFIGFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

#define CFS "/sys/kernel/config/drm_msvm"

/* Names of all that tests make in there begin so. */
#define CFS_PREFIX "igt-"

int config_write(const char *path, const void *data, size_t len);
int config_set(const char *path, const char *value);
void config_get(const char *path, char *buf, size_t size);
void config_expect(const char *path, const char *value);

/* printf() of a path, good until the 8th call after it. */
const char *config_path(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
void config_put(const char *path, const char *value);

/* What the kernel log says about a prefix since the last call. */
void klog_start(void);
unsigned int klog_lines(const char *prefix, char *last, size_t size);

/* A write that must change nothing and be explained in one line. */
void config_refused(const char *path, const void *data, size_t len, int err,
		    const char *prefix);

/* Kinds of values that a file may well take. */
#define TAKES_EMPTY	(1 << 0)
#define TAKES_TEXT	(1 << 1)	/* any short text, with blanks */
#define TAKES_WORDS	(1 << 2)	/* any words */

/**
 * struct config_file - A file and what it takes.
 * @name: Its name.
 * @value: Its default.
 * @valid: Values that can be written and are then read.
 * @invalid: Some that can't, beside what no file takes.
 * @takes: TAKES_*.
 */
struct config_file {
	const char *name;
	const char *value;
	const char *valid[8];
	const char *invalid[12];
	int takes;
};

void config_all_bad(const char *path, const struct config_file *file,
		    const char *prefix);
void config_all_valid(const char *path, const struct config_file *file);
void config_listing(const char *dir, const char * const *names, int nr);

/* drm_msvm's tree. */
void cfs_clean(void);
void cfs_mkdir(const char *kind, const char *name);
void cfs_rmdir(const char *kind, const char *name);
void cfs_link(const char *rule, const char *policy);
void cfs_unlink(const char *rule);

/* The policy of an address space in debugfs. */
void policy_read(uint32_t id, char *buf, size_t size);
void policy_field(const char *text, const char *name, char *buf, size_t size);
void policy_expect(uint32_t id, const char *name, const char *value);

#endif /* LIB_CONFIGFS_H */
