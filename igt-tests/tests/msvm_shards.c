// SPDX-License-Identifier: MIT
/*
 * Memory spread over thousands of windows, each with a notifier of its own: what
 * it costs, that all GPUs see all of it, that it comes and goes as a whole.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/each.h"

#define WINDOW (512UL << 20)
#define BATCH 64

/* Where in each window: not at the same place. */
static char *page_of(char *room, int window)
{
	return room + window * WINDOW + (window * 37 % 1000) * SZ_64K;
}

/* A page in each window; one mapping for all of the room. */
static char *make_room(int windows)
{
	char *room = (char *)0x200000000000UL;
	int i;

	igt_assert(mmap(room, windows * WINDOW, PROT_NONE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			0) == room);
	for (i = 0; i < windows; i++)
		igt_assert(!mprotect(page_of(room, i), SZ_4K,
				     PROT_READ | PROT_WRITE));
	return room;
}

/* A failed subtest left it. */
static void clean_room(void)
{
	munmap((char *)0x200000000000UL, 4096 * WINDOW);
}

static int count(void)
{
	return vsvm_scale(2000, 200);
}

/* One GPU stores to its word in each window. */
static void write_all(int fd, uint32_t vm, char *room, int word)
{
	struct drm_vsvm_cmd cmds[BATCH];
	uint64_t jobs[4096 / BATCH + 1];
	int i, n = 0, nr = 0;

	for (i = 0; i < count(); i++) {
		cmds[n++] = vsvm_store((uint64_t *)page_of(room, i) + word, 8,
				       i * 100 + word);
		if (n < BATCH && i < count() - 1)
			continue;
		jobs[nr++] = vsvm_submit(fd, vm, 0, cmds, n);
		n = 0;
	}
	while (nr--)
		igt_assert_eq(vsvm_wait(fd, vm, jobs[nr]).status, 0);
}

/* It reads what another one wrote. */
static void read_all(int fd, uint32_t vm, char *room, int word,
		     uint64_t *results)
{
	struct drm_vsvm_cmd cmds[BATCH];
	uint64_t jobs[4096 / BATCH + 1];
	int i, n = 0, nr = 0;

	memset(results, 0xff, count() * 8);
	for (i = 0; i < count(); i++) {
		cmds[n++] = vsvm_load((uint64_t *)page_of(room, i) + word, 8,
				      results + i);
		if (n < BATCH && i < count() - 1)
			continue;
		jobs[nr++] = vsvm_submit(fd, vm, 0, cmds, n);
		n = 0;
	}
	while (nr--)
		igt_assert_eq(vsvm_wait(fd, vm, jobs[nr]).status, 0);
	for (i = 0; i < count(); i++)
		igt_assert_eq_u64(results[i], i * 100 + word);
}

/* Until the context is back to these figures. */
static void wait_gone(struct vsvm_set *set, struct drm_vsvm_vm_stats *before)
{
	int64_t deadline = vsvm_deadline(30);
	struct drm_vsvm_vm_stats now;

	for (;;) {
		now = vsvm_stats(set->fd[0], set->vm[0]);
		if (now.ranges == before->ranges &&
		    now.notifiers == before->notifiers)
			return;
		igt_assert_f(vsvm_now() < deadline,
			     "%llu ranges and %llu notifiers stay\n",
			     (unsigned long long)(now.ranges - before->ranges),
			     (unsigned long long)(now.notifiers -
						  before->notifiers));
	}
}

/* Memory for results, which all GPUs have mapped already. */
static uint64_t *results_for(struct vsvm_set *set)
{
	size_t size = (count() * 8 + SZ_4K - 1) & ~(SZ_4K - 1);
	uint64_t *results = anon(size);
	struct drm_vsvm_cmd cmd = vsvm_fill(results, 0, size);
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_run(set, i, &cmd, 1);
	return results;
}

static void free_results(uint64_t *results)
{
	munmap(results, (count() * 8 + SZ_4K - 1) & ~(SZ_4K - 1));
}

static void test_spread(struct vsvm_set *set)
{
	uint64_t *results = results_for(set), bytes;
	struct drm_vsvm_vm_stats before, now;
	char *room;
	int i;

	clean_room();
	room = make_room(count());
	before = vsvm_stats(set->fd[0], set->vm[0]);
	for (i = 0; i < set->n; i++)
		write_all(set->fd[i], set->vm[i], room, i);
	now = vsvm_stats(set->fd[0], set->vm[0]);
	igt_assert_eq_u64(now.ranges, before.ranges + count());
	igt_assert_eq_u64(now.notifiers, before.notifiers + count());
	igt_assert_eq_u64(context_value(now.context_id, "info", "notifiers"),
			  now.notifiers);
	bytes = (now.bytes - before.bytes) / count();
	igt_info("%llu bytes a window for %d GPUs\n",
		 (unsigned long long)bytes, set->n);
	igt_assert(bytes < 2048);

	/* By the CPU, and by the next GPU. */
	for (i = 0; i < count() * set->n; i++)
		igt_assert_eq_u64(((uint64_t *)page_of(room, i / set->n))[i % set->n],
				  i / set->n * 100 + i % set->n);
	for (i = 0; i < set->n; i++)
		read_all(set->fd[i], set->vm[i], room, (i + 1) % set->n,
			 results);
	now = vsvm_stats(set->fd[0], set->vm[0]);
	igt_assert_eq_u64(now.ranges, before.ranges + count());
	igt_assert_eq_u64(now.notifiers, before.notifiers + count());

	igt_assert(!munmap(room, count() * WINDOW));
	wait_gone(set, &before);
	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_store(page_of(room, 7), 8, 1),
				  -EFAULT, page_of(room, 7),
				  DRM_VSVM_ACCESS_WRITE);
	free_results(results);
}

/* Members come and go with all of it there; who comes late sees all. */
static void test_join_leave(struct vsvm_set *set)
{
	uint64_t *results = results_for(set);
	struct drm_vsvm_vm_stats before, now;
	uint32_t vm;
	char *room;
	int i;

	clean_room();
	room = make_room(count());
	before = vsvm_stats(set->fd[0], set->vm[0]);
	write_all(set->fd[0], set->vm[0], room, 0);
	i = set->n - 1;
	vm = vsvm_vm_create(set->fd[i], set->layout);
	read_all(set->fd[i], vm, room, 0, results);
	write_all(set->fd[i], vm, room, 1);
	/* They leave with all of it mapped. */
	igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm), 0);
	now = vsvm_stats(set->fd[0], set->vm[0]);
	igt_assert_eq_u64(now.ranges, before.ranges + count());
	igt_assert_eq_u64(now.notifiers, before.notifiers + count());
	for (i = 0; i < count(); i++)
		igt_assert_eq_u64(((uint64_t *)page_of(room, i))[1],
				  i * 100 + 1);
	read_all(set->fd[0], set->vm[0], room, 1, results);
	igt_assert(!munmap(room, count() * WINDOW));
	wait_gone(set, &before);
	free_results(results);
}

/* The last member leaves: nothing stays. */
static void test_last_leaves(struct vsvm_set *set)
{
	char *room;
	int i;

	clean_room();
	room = make_room(count());
	for (i = 0; i < set->n; i++)
		write_all(set->fd[i], set->vm[i], room, i);
	vsvm_set_close(set);
	igt_assert_eq_u64(debugfs_value("stats", "bytes"), 0);
	igt_assert(!munmap(room, count() * WINDOW));
}

/* A buffer across the border of two windows. */
static void test_border(struct vsvm_set *set)
{
	char *room = anon_aligned(2 * WINDOW, WINDOW), *p;
	struct drm_vsvm_vm_stats before, now;
	char *buf = anon(2 * SZ_64K);
	int i;

	igt_assert(!mprotect(room, 2 * WINDOW, PROT_NONE));
	p = room + WINDOW - SZ_64K;
	igt_assert(!mprotect(p, 2 * SZ_64K, PROT_READ | PROT_WRITE));
	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmds[] = {
			vsvm_fill(buf, i, 2 * SZ_64K),
			vsvm_copy(p, buf, 2 * SZ_64K),
			/* Across, and not aligned. */
			vsvm_store(room + WINDOW - 3, 8, 0x8877665544332211),
		};

		vsvm_run(set, i, cmds, 1);
		if (!i)
			before = vsvm_stats(set->fd[0], set->vm[0]);
		pattern_fill(buf, 2 * SZ_64K, i + 1);
		vsvm_run(set, i, cmds + 1, 1);
		pattern_check(p, 2 * SZ_64K, i + 1);
		vsvm_run(set, i, cmds + 2, 1);
		igt_assert_eq_u64(*(uint64_t *)(room + WINDOW - 3),
				  0x8877665544332211);
	}
	now = vsvm_stats(set->fd[0], set->vm[0]);
	igt_assert_eq_u64(now.ranges, before.ranges + 2);
	igt_assert_eq_u64(now.notifiers, before.notifiers + 2);
	munmap(room, 2 * WINDOW);
	wait_gone(set, &before);
	munmap(buf, 2 * SZ_64K);
}

igt_main
{
	each("spread", "a page in each of thousands of windows", MSVM_ONLY,
	     test_spread);
	each("join-leave", "members join late and leave with all windows",
	     MSVM_ONLY, test_join_leave);
	each("last-leaves", "nothing stays of thousands of windows", MSVM_ONLY,
	     test_last_leaves);
	each("border", "a buffer across two windows", MSVM_ONLY, test_border);
	igt_fixture {
		clean_room();
	}
}
