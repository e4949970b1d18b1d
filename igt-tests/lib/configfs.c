// SPDX-License-Identifier: MIT
/*
 * Files of configfs in tests, see configfs.h.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "configfs.h"

/* Bytes that configfs hands to a file at a time, and more than that. */
#define PAGE	4096
#define TOO_MUCH	6000

static int klog = -1;

const char *config_path(const char *format, ...)
{
	static char paths[8][320];
	static unsigned int next;
	char *path = paths[next++ % 8];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(paths[0]), format, args);
	va_end(args);
	return path;
}

/* Write some bytes at once. Return: 0, or the negative errno. */
int config_write(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, data, len) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int config_set(const char *path, const char *value)
{
	return config_write(path, value, strlen(value));
}

void config_put(const char *path, const char *value)
{
	int ret = config_set(path, value);

	igt_assert_f(!ret, "%s: \"%s\": %s\n", path, value, strerror(-ret));
}

void config_get(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	igt_assert_f(fd >= 0, "%s: %s\n", path, strerror(errno));
	n = read(fd, buf, size - 1);
	igt_assert_f(n >= 0, "%s: %s\n", path, strerror(errno));
	buf[n] = 0;
	close(fd);
}

/* The file has this value and a newline. */
void config_expect(const char *path, const char *value)
{
	char buf[PAGE], expect[PAGE];

	config_get(path, buf, sizeof(buf));
	snprintf(expect, sizeof(expect), "%s\n", value);
	igt_assert_f(!strcmp(buf, expect), "%s is \"%s\", not \"%s\"\n", path,
		     buf, expect);
}

/* From now on. */
void klog_start(void)
{
	if (klog < 0)
		klog = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	igt_assert(klog >= 0 && lseek(klog, 0, SEEK_END) >= 0);
}

/* Lines that begin so, and the last of them. */
unsigned int klog_lines(const char *prefix, char *last, size_t size)
{
	char record[8192], *text;
	unsigned int lines = 0;
	ssize_t n;

	while ((n = read(klog, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = 0;
		text = strchr(record, ';');
		if (!text || strncmp(text + 1, prefix, strlen(prefix)))
			continue;
		lines++;
		snprintf(last, size, "%.*s", (int)strcspn(text + 1, "\n"),
			 text + 1);
	}
	return lines;
}

static const char *base(const char *path)
{
	return strrchr(path, '/') + 1;
}

void config_refused(const char *path, const void *data, size_t len, int err,
		    const char *prefix)
{
	char before[PAGE], after[PAGE], line[1024] = "";
	unsigned int lines;
	int ret;

	config_get(path, before, sizeof(before));
	klog_start();
	ret = config_write(path, data, len);
	lines = klog_lines(prefix, line, sizeof(line));
	igt_assert_f(ret == err, "%s: %d, not %d, for \"%.40s\" of %zu bytes\n",
		     path, ret, err, (const char *)data, len);
	config_get(path, after, sizeof(after));
	igt_assert_f(!strcmp(before, after), "%s changed from %s to %s",
		     path, before, after);
	igt_assert_f(lines == 1, "%u lines about %s and \"%.40s\"\n", lines,
		     path, (const char *)data);
	igt_assert_f(strstr(line, base(path)) && strchr(line, '"'),
		     "what is wrong with %s is not in: %s\n", path, line);
}

static void refused(const char *path, const char *text, const char *prefix)
{
	config_refused(path, text, strlen(text), -EINVAL, prefix);
}

static void swap_case(char *text)
{
	for (; *text; text++)
		*text = isupper(*text) ? tolower(*text) : toupper(*text);
}

/* A write of no bytes at all: configfs itself refuses it, and says nothing. */
static void refused_nothing(const char *path)
{
	char before[PAGE], after[PAGE];

	config_get(path, before, sizeof(before));
	igt_assert_eq(config_write(path, "", 0), -EFAULT);
	config_get(path, after, sizeof(after));
	igt_assert(!strcmp(before, after));
}

/*
 * What no file takes: nothing, too much, signs, numbers that no type holds, unknown
 * names, NULs, what is not UTF-8, the wrong case, several values.
 */
void config_all_bad(const char *path, const struct config_file *file,
		    const char *prefix)
{
	const char *valid = file->valid[0];
	char buf[TOO_MUCH];
	size_t len = strlen(valid);
	int i;

	/* An empty write does not reach the file: the newline of echo does. */
	refused_nothing(path);
	if (!(file->takes & TAKES_EMPTY))
		refused(path, "\n", prefix);
	refused(path, "\n\n", prefix);
	memset(buf, '1', sizeof(buf));
	config_refused(path, buf, sizeof(buf), -EINVAL, prefix);
	config_refused(path, buf, PAGE, -EINVAL, prefix);
	config_refused(path, buf, PAGE - 1, -EINVAL, prefix);
	config_refused(path, buf, 300, -EINVAL, prefix);
	/* A value, and so many blanks that configfs cuts off what follows. */
	memset(buf, ' ', sizeof(buf));
	memcpy(buf, valid, len);
	config_refused(path, buf, sizeof(buf), -EINVAL, prefix);
	refused(path, "\xff\xfe", prefix);
	refused(path, "\xc0\xaf", prefix);
	refused(path, "\x1b[31m", prefix);
	refused(path, "\t", prefix);
	memcpy(buf, valid, len + 1);
	config_refused(path, buf, len + 1, -EINVAL, prefix);
	memcpy(buf + len + 1, valid, len + 1);
	config_refused(path, buf, 2 * len + 1, -EINVAL, prefix);
	config_refused(path, "\0", 1, -EINVAL, prefix);
	snprintf(buf, sizeof(buf), "%s\n%s", valid, valid);
	refused(path, buf, prefix);
	snprintf(buf, sizeof(buf), "%s\n\n", valid);
	refused(path, buf, prefix);
	for (i = 0; file->invalid[i]; i++)
		refused(path, file->invalid[i], prefix);
	if (file->takes & TAKES_TEXT)
		return;

	snprintf(buf, sizeof(buf), "%s %s", valid, valid);
	refused(path, buf, prefix);
	snprintf(buf, sizeof(buf), " %s", valid);
	refused(path, buf, prefix);
	snprintf(buf, sizeof(buf), "%s ", valid);
	refused(path, buf, prefix);
	if (file->takes & TAKES_WORDS)
		return;

	refused(path, "-1", prefix);
	refused(path, "+1", prefix);
	refused(path, "99999999999999999999999999", prefix);
	refused(path, "4294967296", prefix);
	refused(path, "18446744073709551616", prefix);
	refused(path, "0x1", prefix);
	refused(path, "1.5", prefix);
	refused(path, "1k", prefix);
	refused(path, "nonsense", prefix);
	refused(path, "1,1", prefix);
	snprintf(buf, sizeof(buf), "%s", valid);
	swap_case(buf);
	if (strcmp(buf, valid))
		refused(path, buf, prefix);
	snprintf(buf, sizeof(buf), "%sx", valid);
	refused(path, buf, prefix);
}

/* What is written is read, with and without a newline, and can be written back. */
void config_all_valid(const char *path, const struct config_file *file)
{
	char buf[PAGE];
	int i;

	for (i = 0; file->valid[i]; i++) {
		/* An empty write does not reach the file: the newline of echo does. */
		config_put(path, *file->valid[i] ? file->valid[i] : "\n");
		config_expect(path, file->valid[i]);
		config_get(path, buf, sizeof(buf));
		config_put(path, buf);
		config_expect(path, file->valid[i]);
	}
}

/* A directory has these entries and no other. */
void config_listing(const char *dir, const char * const *names, int nr)
{
	struct dirent *entry;
	int found = 0, i;
	DIR *d = opendir(dir);

	igt_assert_f(d, "%s: %s\n", dir, strerror(errno));
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		for (i = 0; i < nr && strcmp(entry->d_name, names[i]); i++)
			;
		igt_assert_f(i < nr, "%s/%s is unknown\n", dir, entry->d_name);
		found++;
	}
	closedir(d);
	igt_assert_eq(found, nr);
}

static bool ours(const char *name)
{
	return !strncmp(name, CFS_PREFIX, strlen(CFS_PREFIX));
}

/* Remove links in a rule. */
static void unlink_all(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d)))
		if (entry->d_type == DT_LNK)
			unlink(config_path("%s/%s", dir, entry->d_name));
	if (d)
		closedir(d);
}

static void clean_kind(const char *kind)
{
	bool rules = !strcmp(kind, "rules"), again = true;
	struct dirent *entry;
	const char *path;
	DIR *d;

	/* Removing may make readdir() skip entries. */
	while (again) {
		again = false;
		d = opendir(config_path(CFS "/%s", kind));
		while (d && (entry = readdir(d))) {
			/* Those of devices have the devices' names. */
			if (entry->d_name[0] == '.' ||
			    (strcmp(kind, "devices") && !ours(entry->d_name)))
				continue;
			path = config_path(CFS "/%s/%s", kind, entry->d_name);
			if (rules)
				unlink_all(path);
			again = !rmdir(path);
		}
		if (d)
			closedir(d);
	}
}

/* All that a test left, and the default policy as it is for tests. */
void cfs_clean(void)
{
	clean_kind("rules");
	clean_kind("policies");
	clean_kind("devices");
	vsvm_placement("first-touch");
}

void cfs_mkdir(const char *kind, const char *name)
{
	const char *path = config_path(CFS "/%s/%s", kind, name);

	igt_assert_f(!mkdir(path, 0755), "%s: %s\n", path, strerror(errno));
}

void cfs_rmdir(const char *kind, const char *name)
{
	const char *path = config_path(CFS "/%s/%s", kind, name);

	igt_assert_f(!rmdir(path), "%s: %s\n", path, strerror(errno));
}

void cfs_link(const char *rule, const char *policy)
{
	const char *to = config_path(CFS "/policies/%s", policy);
	const char *path = config_path(CFS "/rules/%s/policy", rule);

	igt_assert_f(!symlink(to, path), "%s: %s\n", path, strerror(errno));
}

void cfs_unlink(const char *rule)
{
	const char *path = config_path(CFS "/rules/%s/policy", rule);

	igt_assert_f(!unlink(path), "%s: %s\n", path, strerror(errno));
}

void policy_read(uint32_t id, char *buf, size_t size)
{
	char path[32];

	snprintf(path, sizeof(path), "%u/policy", id);
	igt_assert_f(debugfs_read(path, buf, size), "no %s\n", path);
}

/* What follows "name: " at the beginning of a line. */
void policy_field(const char *text, const char *name, char *buf, size_t size)
{
	size_t len = strlen(name);
	const char *line;

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ':') {
			line += len + 1;
			line += *line == ' ';
			snprintf(buf, size, "%.*s", (int)strcspn(line, "\n"),
				 line);
			return;
		}
	}
	igt_assert_f(false, "no \"%s\" in\n%s", name, text);
}

void policy_expect(uint32_t id, const char *name, const char *value)
{
	static char text[65536];
	char buf[256];

	policy_read(id, text, sizeof(text));
	policy_field(text, name, buf, sizeof(buf));
	igt_assert_f(!strcmp(buf, value), "%s is \"%s\", not \"%s\", in\n%s",
		     name, buf, value, text);
}
