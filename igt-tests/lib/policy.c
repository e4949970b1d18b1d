// SPDX-License-Identifier: MIT
/*
 * Policies in tests, see policy.h. What a test changes is put back as it was found.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gpus.h"
#include "policy.h"

#define DEFAULT	"/sys/kernel/config/drm_msvm/default/"
#define TRACING	"/sys/kernel/tracing/"

/* What of the event is read. */
#define PLACED	"serial=%llu policy=%*s placement=%23s action=%15s to=%*s " \
		"reason=%23s"

/* In an order in which the old values go together with what a test set. */
static const char * const files[] = {
	"placement", "map_mode", "peer_access", "prefetch", "evict_to",
	"chunk_sizes", "prefetch_percent", "migrate_threshold",
	"migrate_window_ms", "thrash_threshold", "thrash_window_us",
	"thrash_reset_ms", "thrash_throttle_us", "thrash_max_throttles",
	"thrash_pin_ms", "thrash_max_resets", "timeslice_ms", "interleave_kib",
	"preferred_devices",
};

#define NR_FILES	(sizeof(files) / sizeof(files[0]))

static char found[NR_FILES][512];
static bool saved;

static bool file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static void policy_save(void)
{
	char path[128];
	unsigned int i;
	ssize_t n;
	int fd;

	for (i = 0; i < NR_FILES; i++) {
		snprintf(path, sizeof(path), DEFAULT "%s", files[i]);
		fd = open(path, O_RDONLY);
		igt_assert_f(fd >= 0, "%s: %s\n", path, strerror(errno));
		n = read(fd, found[i], sizeof(found[i]) - 1);
		igt_assert(n >= 0);
		found[i][n] = 0;
		close(fd);
	}
	saved = true;
}

bool policy_try(const char *file, const char *value)
{
	char path[128];

	if (!saved)
		policy_save();
	snprintf(path, sizeof(path), DEFAULT "%s", file);
	return file_put(path, value);
}

void policy_set(const char *file, const char *value)
{
	igt_assert_f(policy_try(file, value), "%s: %s: %s\n", file, value,
		     strerror(errno));
}

void policy_number(const char *file, unsigned int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	policy_set(file, text);
}

/* As it was before the first change; also after a test that failed. */
void policy_restore(void)
{
	char path[128];
	unsigned int i;

	for (i = 0; saved && i < NR_FILES; i++) {
		snprintf(path, sizeof(path), DEFAULT "%s", files[i]);
		igt_assert_f(file_put(path, found[i]), "%s: %s\n", path,
			     found[i]);
	}
	saved = false;
}

void policy_restless(void)
{
	policy_set("thrash_threshold", "0");
}

/* One store: at most one fault. */
void gpu_touch(struct vsvm_set *set, int gpu, void *p)
{
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1 + gpu);

	vsvm_run(set, gpu, &cmd, 1);
}

uint64_t gpu_faults(struct vsvm_set *set, int gpu)
{
	return vsvm_stats(set->fd[gpu], set->vm[gpu]).faults;
}

/* A counter of the address space. */
uint64_t policy_count(struct vsvm_set *set, const char *name)
{
	return context_value(vsvm_stats(set->fd[0], set->vm[0]).context_id,
			     "stats", name);
}

/* Wait until a counter has reached a value. */
void policy_wait(struct vsvm_set *set, const char *name, uint64_t value)
{
	int64_t deadline = vsvm_deadline(20);

	while (policy_count(set, name) < value) {
		igt_assert_f(vsvm_now() < deadline, "%s: %llu, not %llu\n", name,
			     (unsigned long long)policy_count(set, name),
			     (unsigned long long)value);
		usleep(1000);
	}
}

/* Each has to fault again. */
void gpus_drop(struct vsvm_set *set)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		gpu_debugfs_write(set->fd[gpu], "drop_mappings", 1);
}

/* What a policy calls a GPU. */
void gpu_node(struct vsvm_set *set, int gpu, char *name, size_t size)
{
	snprintf(name, size, "renderD%d", gpu_minor(set->fd[gpu]));
}

/* Record decisions from now on. */
void placed_start(void)
{
	igt_require_f(file_put(TRACING "events/drm_msvm/msvm_place/enable", "0"),
		      "no trace events\n");
	file_put(TRACING "buffer_size_kb", "16384");
	file_put(TRACING "trace", "");
	igt_assert(file_put(TRACING "events/drm_msvm/msvm_place/enable", "1"));
}

/* Call @fn for each decision. Return: how many there were. */
unsigned int placed_stop(void (*fn)(const struct placed *placed))
{
	struct placed placed;
	unsigned int n = 0;
	char line[512], *p;
	FILE *f;

	igt_assert(file_put(TRACING "events/drm_msvm/msvm_place/enable", "0"));
	f = fopen(TRACING "trace", "r");
	igt_assert(f);
	while (fgets(line, sizeof(line), f)) {
		p = strstr(line, "msvm_place: ");
		if (!p)
			continue;
		p = strstr(p, "serial=");
		igt_assert_f(p && sscanf(p, PLACED, &placed.serial,
					 placed.placement, placed.action,
					 placed.reason) == 4,
			     "not understood: %s\n", line);
		n++;
		fn(&placed);
	}
	fclose(f);
	file_put(TRACING "trace", "");
	return n;
}

static void events_enable(const char * const *names, const char *value)
{
	char path[128];

	for (; *names; names++) {
		snprintf(path, sizeof(path), TRACING "events/drm_msvm/%s/enable",
			 *names);
		igt_require_f(file_put(path, value), "no trace events\n");
	}
}

/* Record events from now on; @names ends with NULL. */
void events_start(const char * const *names)
{
	events_enable(names, "0");
	file_put(TRACING "buffer_size_kb", "16384");
	file_put(TRACING "trace", "");
	events_enable(names, "1");
}

/* Return: how many there were of one kind so far, and in @text what they say. */
unsigned int events_read(const char *name, char (*text)[128])
{
	char line[512], kind[64], *p;
	unsigned int n = 0;
	FILE *f;

	snprintf(kind, sizeof(kind), " %s: ", name);
	f = fopen(TRACING "trace", "r");
	igt_assert(f);
	while (n < EVENTS_MOST && fgets(line, sizeof(line), f)) {
		p = strstr(line, kind);
		if (p)
			snprintf(text[n++], sizeof(*text), "%.127s",
				 p + strlen(kind));
	}
	fclose(f);
	return n;
}

/* No longer. Return: as events_read(). */
unsigned int events_stop(const char * const *names, const char *name,
			 char (*text)[128])
{
	events_enable(names, "0");
	return events_read(name, text);
}

/* Where the range at @p is pinned, and for how long yet, as debugfs shows it. */
void policy_pinned(struct vsvm_set *set, const void *p, char *at, char *ms)
{
	static char buf[1 << 16];
	unsigned long start, end;
	char path[64], *line;

	snprintf(path, sizeof(path), "%u/ranges",
		 vsvm_stats(set->fd[0], set->vm[0]).context_id);
	igt_assert(debugfs_read(path, buf, sizeof(buf)));
	for (line = strtok(buf, "\n"); line; line = strtok(NULL, "\n"))
		if (sscanf(line, "%lx-%lx %*u %*s %*s %*s %*u %*s %15s %15s",
			   &start, &end, at, ms) == 4 &&
		    start <= to_u64(p) && end > to_u64(p))
			return;
	igt_assert_f(false, "no range has %p\n", p);
}
