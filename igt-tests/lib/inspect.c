// SPDX-License-Identifier: MIT
/*
 * What the kernel counts: the library's own figures in debugfs, and walks of the
 * CPU page table counted by a kprobe, from outside of the library.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "igt_compat.h"
#include "vsvm.h"

#define DEBUGFS "/sys/kernel/debug/drm_msvm/"
#define TRACING "/sys/kernel/tracing/"
#define EVENT "msvm_walks"

/* Read a small file, given below debugfs/drm_msvm. */
bool debugfs_read(const char *path, char *buf, size_t size)
{
	char full[256];
	size_t len = 0;
	ssize_t n;
	int fd;

	snprintf(full, sizeof(full), DEBUGFS "%s", path);
	fd = open(full, O_RDONLY);
	if (fd < 0)
		return false;
	while ((n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	buf[len] = 0;
	close(fd);
	return true;
}

/* The value of "name: value" in such a file. */
uint64_t debugfs_value(const char *path, const char *name)
{
	static char buf[65536];
	char *line, *save = NULL;
	size_t len = strlen(name);

	igt_assert_f(debugfs_read(path, buf, sizeof(buf)), "no %s\n", path);
	for (line = strtok_r(buf, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, name, len) && line[len] == ':')
			return strtoull(line + len + 1, NULL, 0);
	}
	igt_assert_f(false, "no %s in %s\n", name, path);
	return 0;
}

/* Is there a range that has an address? Small files only: the first 64 KiB count. */
bool context_has_range(uint32_t id, const void *p)
{
	static char buf[65536];
	unsigned long start, end;
	char path[64], *line, *save = NULL;

	snprintf(path, sizeof(path), "%u/ranges", id);
	igt_assert_f(debugfs_read(path, buf, sizeof(buf)), "no %s\n", path);
	for (line = strtok_r(buf, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 &&
		    start <= to_u64(p) && end > to_u64(p))
			return true;
	return false;
}

uint64_t context_value(uint32_t id, const char *file, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%u/%s", id, file);
	return debugfs_value(path, name);
}

static bool tracing_write(const char *file, const char *text, int flags)
{
	char path[128];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), TRACING "%s", file);
	fd = open(path, O_WRONLY | flags);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static void walks_remove(void)
{
	tracing_write("events/kprobes/" EVENT "/enable", "0", 0);
	tracing_write("kprobe_events", "-:kprobes/" EVENT, O_APPEND);
}

/*
 * Count calls of the walk. Its public form is inlined into its callers, so the
 * one that drivers call is probed: every walk for a fault passes through it,
 * the library's and drm_gpusvm's alike.
 */
void walks_start(void)
{
	walks_remove();
	igt_require_f(tracing_write("kprobe_events",
				    "p:kprobes/" EVENT " hmm_range_fault_unlocked_timeout",
				    O_APPEND),
		      "no kprobe events\n");
	igt_assert(tracing_write("events/kprobes/" EVENT "/enable", "1", 0));
}

uint64_t walks_stop(void)
{
	unsigned long long hits, missed;
	char line[256], name[128];
	bool found = false;
	FILE *f;

	f = fopen(TRACING "kprobe_profile", "r");
	igt_assert(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%127s %llu %llu", name, &hits, &missed) == 3 &&
		    !strcmp(name, EVENT)) {
			found = true;
			break;
		}
	}
	fclose(f);
	walks_remove();
	igt_assert(found);
	igt_assert_eq_u64(missed, 0);
	return hits;
}
