// SPDX-License-Identifier: MIT
/*
 * Faults in different ranges don't wait for each other: while a fault of one GPU
 * is stuck in userfaultfd, everything that does not need its page goes on. Each
 * step is made while the fault is known to be stuck, and must complete.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/uffd.h"

#define WINDOW (512UL << 20)
#define WINDOWS 3
#define STUCK_SEED 99

/**
 * struct stuck - A fault that nobody serves, and room around it.
 * @uffd: Serves @p, when told.
 * @room: WINDOWS windows of address space.
 * @p: SZ_64K of memory, in the first window.
 * @out: The job copies @p to here.
 * @job: Job of GPU 0, engine 0.
 * @id: Number of the address space.
 */
static struct stuck {
	int uffd;
	char *room;
	char *p;
	char *out;
	uint64_t job;
	uint32_t id;
} stuck = { .uffd = -1 };

/* Some memory of its own range: @k tells which, from 0 on. */
static char *piece(int window, int k)
{
	char *p = stuck.room + window * WINDOW + (8 + 2 * k) * (SZ_2M / 2);

	igt_assert(!mprotect(p, SZ_64K, PROT_READ | PROT_WRITE));
	return p;
}

static void stuck_start(struct vsvm_set *set)
{
	struct drm_vsvm_cmd cmd;

	/* A failed subtest left it. */
	if (stuck.uffd >= 0)
		close(stuck.uffd);
	stuck.room = anon_aligned(WINDOWS * WINDOW, WINDOW);
	igt_assert(!mprotect(stuck.room, WINDOWS * WINDOW, PROT_NONE));
	stuck.p = piece(0, 0);
	stuck.out = anon(SZ_64K);
	stuck.uffd = uffd_open();
	uffd_register(stuck.uffd, stuck.p, SZ_64K);
	stuck.id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	cmd = vsvm_copy(stuck.out, stuck.p, SZ_64K);
	stuck.job = vsvm_submit(set->fd[0], set->vm[0], 0, &cmd, 1);
	uffd_wait_fault(stuck.uffd);
}

/* It still is: otherwise the test showed nothing. */
static void stuck_check(struct vsvm_set *set)
{
	struct drm_vsvm_wait w = { .vm_id = set->vm[0], .job_id = stuck.job };

	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_WAIT, &w), -ETIME);
}

static void stuck_free(void)
{
	close(stuck.uffd);
	stuck.uffd = -1;
	munmap(stuck.room, WINDOWS * WINDOW);
	munmap(stuck.out, SZ_64K);
}

/* Serve the page: the job ends, with the right bytes. */
static void stuck_serve(struct vsvm_set *set)
{
	char *page = malloc(SZ_64K);

	stuck_check(set);
	igt_assert(page);
	pattern_fill(page, SZ_64K, STUCK_SEED);
	uffd_copy(stuck.uffd, stuck.p, page, SZ_64K);
	free(page);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], stuck.job).status, 0);
	pattern_check(stuck.out, SZ_64K, STUCK_SEED);
	stuck_free();
}

/* A job on any engine of any VM: store, load, compare. */
static void engine_works(int fd, uint32_t vm, int engine, char *p,
			 uint64_t value)
{
	uint64_t *at = (uint64_t *)p;
	struct drm_vsvm_cmd cmds[] = {
		vsvm_store(at, 8, value), vsvm_add(at, 8, 1, NULL),
		vsvm_load(at, 8, at + 1),
	};
	uint64_t job = vsvm_submit(fd, vm, engine, cmds, 3);

	igt_assert_eq(vsvm_wait(fd, vm, job).status, 0);
	igt_assert_eq_u64(at[0], value + 1);
	igt_assert_eq_u64(at[1], value + 1);
}

static void test_other_ranges(struct vsvm_set *set)
{
	int window, i;

	stuck_start(set);
	for (window = 0; window < WINDOWS; window++) {
		/* The same GPU, on its other engine. */
		engine_works(set->fd[0], set->vm[0], 1, piece(window, 1), 10);
		for (i = 1; i < set->n; i++) {
			/* A range of its own; then one that others have. */
			engine_works(set->fd[i], set->vm[i], i % 2,
				     piece(window, 1 + i), 20 + i);
			engine_works(set->fd[i], set->vm[i], 0,
				     piece(window, 1), 40 + i);
		}
	}
	/* Next to the range, in the same 2 MiB. */
	igt_assert(!mprotect(stuck.p + SZ_64K, SZ_64K, PROT_READ | PROT_WRITE));
	for (i = 0; i < set->n; i++)
		engine_works(set->fd[i], set->vm[i], 1, stuck.p + SZ_64K, 60);
	stuck_serve(set);
}

static void test_join_leave(struct vsvm_set *set)
{
	uint32_t vm;
	int i, round;

	stuck_start(set);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < set->n; i++) {
			vm = vsvm_vm_create(set->fd[i], set->layout);
			engine_works(set->fd[i], vm, 1, piece(round, 1), 10 + i);
			igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm), 0);
			stuck_check(set);
		}
	}
	stuck_serve(set);
}

/* Members that were there before leave; others come in their place. */
static void test_leave_others(struct vsvm_set *set)
{
	uint32_t vm[VSVM_MAX_SET];
	int i;

	for (i = 0; i < set->n; i++)
		vm[i] = vsvm_vm_create(set->fd[i], set->layout);
	stuck_start(set);
	for (i = 0; i < set->n; i++) {
		engine_works(set->fd[i], vm[i], 1, piece(0, 1), i);
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm[i]), 0);
		igt_assert_eq_u64(context_value(stuck.id, "info", "members"),
				  2 * set->n - 1);
		vm[i] = vsvm_vm_create(set->fd[i], set->layout);
		engine_works(set->fd[i], vm[i], 1, piece(0, 1), i);
		stuck_check(set);
	}
	stuck_serve(set);
}

static void *unmap_room(void *data)
{
	int window, k;

	(void)data;
	for (window = 0; window < WINDOWS; window++)
		for (k = 1; k <= 16; k++)
			if (munmap(piece(window, k), SZ_64K))
				return (void *)1;
	return NULL;
}

/* Until no range is left whose memory is gone; the number of those that there are. */
static uint64_t count_ranges(void)
{
	static char buf[1 << 16];
	int64_t deadline = vsvm_deadline(30);
	char path[64];

	snprintf(path, sizeof(path), "%u/ranges", stuck.id);
	do {
		igt_assert(vsvm_now() < deadline);
		igt_assert(debugfs_read(path, buf, sizeof(buf)));
	} while (strstr(buf, "unmapped"));
	return context_value(stuck.id, "info", "ranges");
}

/* Until the context has so many ranges. */
static void wait_ranges(uint64_t ranges)
{
	int64_t deadline = vsvm_deadline(30);
	uint64_t now;

	while ((now = context_value(stuck.id, "info", "ranges")) != ranges)
		igt_assert_f(vsvm_now() < deadline,
			     "%llu ranges, expected %llu\n",
			     (unsigned long long)now,
			     (unsigned long long)ranges);
}

/* Another thread's munmap() returns, and the collector takes the ranges away. */
static void test_munmap_others(struct vsvm_set *set)
{
	uint64_t before, ranges;
	pthread_t thread;
	int window, k, i;

	stuck_start(set);
	before = count_ranges();
	for (window = 0; window < WINDOWS; window++)
		for (k = 1; k <= 16; k++) {
			i = k % set->n;
			engine_works(set->fd[i], set->vm[i], 1,
				     piece(window, k), k);
		}
	ranges = context_value(stuck.id, "info", "ranges");
	igt_assert_eq_u64(ranges, before + WINDOWS * 16);
	igt_assert(!pthread_create(&thread, NULL, unmap_room, NULL));
	join_thread(thread);
	wait_ranges(before);
	stuck_serve(set);
}

static void *unmap_stuck(void *data)
{
	(void)data;
	return munmap(stuck.p, SZ_64K) ? (void *)1 : NULL;
}

/* munmap() of the very memory returns as well; the job ends without it. */
static void test_munmap_itself(struct vsvm_set *set)
{
	struct drm_vsvm_wait w;
	uint64_t before;
	pthread_t thread;
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_gpu_load(set, i, anon(SZ_4K));
	stuck_start(set);
	before = count_ranges();
	engine_works(set->fd[0], set->vm[0], 1, piece(0, 1), 5);
	igt_assert(!pthread_create(&thread, NULL, unmap_stuck, NULL));
	join_thread(thread);
	/*
	 * A later one in the same window is collected: the collector went past
	 * the one that is stuck. And new ranges can be made there.
	 */
	igt_assert(!munmap(piece(0, 1), SZ_64K));
	wait_ranges(before);
	engine_works(set->fd[0], set->vm[0], 1, piece(0, 2), 6);
	igt_assert(!munmap(piece(0, 2), SZ_64K));
	wait_ranges(before);
	stuck_check(set);
	uffd_wake(stuck.uffd, stuck.p, SZ_64K);
	w = vsvm_wait(set->fd[0], set->vm[0], stuck.job);
	igt_assert_eq(w.status, -EFAULT);
	igt_assert_eq_u64(w.fault_addr, to_u64(stuck.p));
	igt_assert_eq(w.fault_access, DRM_VSVM_ACCESS_READ);
	/* Its range goes, too. */
	wait_ranges(before - 1);
	/* Other memory at the same place. */
	igt_assert(mmap(stuck.p, SZ_64K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		   stuck.p);
	for (i = 0; i < set->n; i++)
		engine_works(set->fd[i], set->vm[i], 0, stuck.p, 70 + i);
	stuck_free();
}

static void test_fork(struct vsvm_set *set)
{
	char *p;
	pid_t pid;
	int i;

	stuck_start(set);
	p = piece(0, 1);
	engine_works(set->fd[0], set->vm[0], 1, p, 5);
	for (i = 0; i < 3; i++) {
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid)
			_exit(*(uint64_t *)p != 6);
		igt_assert_eq(wait_child(pid), 0);
		engine_works(set->fd[0], set->vm[0], 1, p, 5);
	}
	stuck_serve(set);
}

static void test_debugfs(struct vsvm_set *set)
{
	static char buf[1 << 20];
	char path[300];
	struct dirent *entry;
	int files = 0;
	DIR *dir;

	stuck_start(set);
	snprintf(path, sizeof(path), "/sys/kernel/debug/drm_msvm/%u", stuck.id);
	dir = opendir(path);
	igt_require_f(dir, "no debugfs\n");
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%u/%s", stuck.id, entry->d_name);
		igt_assert(debugfs_read(path, buf, sizeof(buf)));
		igt_assert_f(buf[0], "%s is empty\n", path);
		files++;
	}
	closedir(dir);
	igt_assert(files >= 4);
	stuck_serve(set);
}

/* Nobody serves it, but it becomes memory like any other. */
static void test_unregister(struct vsvm_set *set)
{
	int i;

	stuck_start(set);
	engine_works(set->fd[0], set->vm[0], 1, piece(1, 1), 3);
	memset(stuck.out, 1, SZ_64K);
	stuck_check(set);
	uffd_unregister(stuck.uffd, stuck.p, SZ_64K);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], stuck.job).status, 0);
	for (i = 0; i < (int)SZ_64K; i++)
		igt_assert_eq(stuck.out[i], 0);
	stuck_free();
}

igt_main
{
	each("other-ranges", "faults in other ranges go on", MSVM_ONLY,
	     test_other_ranges);
	each("join-leave", "new members join, fault and leave", MSVM_ONLY,
	     test_join_leave);
	each("leave-others", "members leave", MSVM_ONLY, test_leave_others);
	each("munmap-others", "munmap() of other ranges, and their removal",
	     MSVM_ONLY, test_munmap_others);
	each("munmap-itself", "munmap() of the range of the fault", MSVM_ONLY,
	     test_munmap_itself);
	each("fork", "fork() goes on", MSVM_ONLY, test_fork);
	each("debugfs", "debugfs can be read", MSVM_ONLY, test_debugfs);
	each("unregister", "the fault ends when nobody serves it any more",
	     MSVM_ONLY, test_unregister);
}
