// SPDX-License-Identifier: MIT
/*
 * Many times the same from several threads: members join and leave under faults
 * of others, memory is unmapped under faults. No job is lost, none ends in a
 * way it may not, and nothing is left behind.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/each.h"

#define PAGES 64
#define ROOM ((2 * PAGES + 1) * SZ_4K)

/* Threads don't assert, they say what failed. */
struct worker {
	pthread_t thread;
	struct vsvm_set *set;
	int gpu;
	char *p;
	unsigned int count;
	unsigned int met;
	const char *failed;
};

static struct worker workers[VSVM_MAX_SET];
static atomic_bool storm_over;

/* Run a job. Return: its status, or 1000 if it could not even be tried. */
static int try_job(int fd, uint32_t vm, int engine,
		   const struct drm_vsvm_cmd *cmds, int n,
		   struct drm_vsvm_wait *w)
{
	struct drm_vsvm_exec e = {
		.vm_id = vm, .engine = engine, .num_cmds = n,
		.cmds = to_u64(cmds),
	};

	memset(w, 0, sizeof(*w));
	if (vsvm_ioctl(fd, DRM_IOCTL_VSVM_EXEC, &e))
		return 1000;
	w->vm_id = vm;
	w->job_id = e.job_id;
	w->timeout_ns = vsvm_deadline(30);
	if (vsvm_ioctl(fd, DRM_IOCTL_VSVM_WAIT, w))
		return 1000;
	return w->status;
}

static void workers_start(struct vsvm_set *set, int n, void *(*fn)(void *),
			  char *p)
{
	int i;

	atomic_store(&storm_over, false);
	for (i = 0; i < n; i++) {
		workers[i] = (struct worker) {
			.set = set, .gpu = i % set->n, .p = p,
		};
		igt_assert(!pthread_create(&workers[i].thread, NULL, fn,
					   &workers[i]));
	}
}

static unsigned int workers_end(int n)
{
	unsigned int count = 0;
	int i;

	for (i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		count += workers[i].count;
	}
	for (i = 0; i < n; i++)
		igt_assert_f(!workers[i].failed, "GPU %d: %s\n",
			     workers[i].gpu, workers[i].failed);
	return count;
}

/* Faults without end: the memory is taken away after each job. */
static void *fault_loop(void *data)
{
	struct worker *w = data;
	uint64_t *at = (uint64_t *)(w->p + SZ_4K * (1 + w->gpu));
	uint64_t value = 0;
	struct drm_vsvm_wait wait;

	while (!atomic_load(&storm_over) && !w->failed) {
		struct drm_vsvm_cmd cmds[] = {
			vsvm_store(at, 8, ++value),
			vsvm_load(at, 8, at + 1),
		};

		if (try_job(w->set->fd[w->gpu], w->set->vm[w->gpu], 1, cmds, 2,
			    &wait))
			w->failed = "a job failed";
		else if (at[0] != value || at[1] != value)
			w->failed = "wrong bytes";
		/* Nobody else's page, but everybody's range. */
		if (madvise(at, SZ_4K, MADV_DONTNEED))
			w->failed = "MADV_DONTNEED failed";
		w->count++;
	}
	return NULL;
}

/* Members of all GPUs in turn join, fault and leave under the others' faults. */
static void test_join_leave(struct vsvm_set *set)
{
	int rounds = vsvm_scale(1000, 100), i, err = 0;
	char *p = anon_aligned(SZ_64K, SZ_2M);
	int n = set->n < 3 ? set->n : 3;
	struct drm_vsvm_wait w;
	unsigned int jobs;

	memset(p, 1, SZ_4K);
	workers_start(set, n, fault_loop, p);
	for (i = 0; !err && i < rounds; i++) {
		struct drm_vsvm_vm_create c = { .layout = set->layout };
		struct drm_vsvm_vm_destroy d = {};
		struct drm_vsvm_cmd cmd = vsvm_add(p, 8, 1, NULL);
		int fd = set->fd[i % set->n];

		err = vsvm_ioctl(fd, DRM_IOCTL_VSVM_VM_CREATE, &c);
		if (err)
			break;
		err = try_job(fd, c.vm_id, 0, &cmd, 1, &w);
		d.vm_id = c.vm_id;
		if (vsvm_ioctl(fd, DRM_IOCTL_VSVM_VM_DESTROY, &d))
			err = 1001;
	}
	atomic_store(&storm_over, true);
	jobs = workers_end(n);
	igt_assert_eq(err, 0);
	igt_assert_eq_u64(*(uint64_t *)p, 0x0101010101010101ULL + rounds);
	igt_info("%d joins and leaves, %u jobs of others\n", rounds, jobs);
	munmap(p, SZ_64K);
}

static unsigned int unmap_rounds(int n)
{
	return vsvm_scale(10000, 1000) / (PAGES * n) + 1;
}

/*
 * Small mappings, unmapped one by one under a job that stores to all of them.
 * Every other page, so that each is a mapping and a range of its own.
 */
static void *unmap_loop(void *data)
{
	struct worker *w = data;
	int fd = w->set->fd[w->gpu], i, status;
	unsigned int rounds = unmap_rounds(workers[0].set->n < 2 ? 2 : w->set->n);
	uint32_t vm = w->set->vm[w->gpu];
	struct drm_vsvm_cmd cmds[PAGES];
	struct drm_vsvm_exec e = {
		.vm_id = vm, .num_cmds = PAGES, .cmds = to_u64(cmds),
		/* One GPU's threads don't wait for each other. */
		.engine = (w - workers) % 2,
	};
	struct drm_vsvm_wait wait;

	while (!w->failed && rounds--) {
		/* Its first and last page stay, so that no hole is reused. */
		char *all = mmap(NULL, ROOM, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *p = all + SZ_4K;

		if (all == MAP_FAILED)
			w->failed = "no memory";
		for (i = 0; i < PAGES && !w->failed; i++) {
			if (mprotect(p + 2 * i * SZ_4K, SZ_4K,
				     PROT_READ | PROT_WRITE))
				w->failed = "mprotect failed";
			cmds[i] = vsvm_store(p + 2 * i * SZ_4K + 8, 8, i);
		}
		if (w->failed || vsvm_ioctl(fd, DRM_IOCTL_VSVM_EXEC, &e)) {
			w->failed = "exec failed";
			break;
		}
		/* From the end, so that the two meet. */
		for (i = PAGES; i--; w->count++)
			if (munmap(p + 2 * i * SZ_4K, SZ_4K))
				w->failed = "munmap failed";
		wait = (struct drm_vsvm_wait) {
			.vm_id = vm, .job_id = e.job_id,
			.timeout_ns = vsvm_deadline(30),
		};
		if (vsvm_ioctl(fd, DRM_IOCTL_VSVM_WAIT, &wait))
			w->failed = "wait failed";
		else if (wait.status && wait.status != -EFAULT)
			w->failed = strerror(-wait.status);
		else if (wait.status &&
			 wait.fault_addr != cmds[wait.cmd_index].dst)
			w->failed = "the fault is elsewhere";
		/* It found some of the memory, and some of it gone. */
		w->met += wait.status && wait.cmd_index;
		/* Whatever was mapped is not any more. */
		status = try_job(fd, vm, e.engine, &cmds[rounds % PAGES], 1,
				 &wait);
		if (!w->failed && status != -EFAULT)
			w->failed = "memory that is gone was written";
		munmap(all, ROOM);
	}
	return NULL;
}

static void test_munmap(struct vsvm_set *set)
{
	int n = set->n < 2 ? 2 : set->n;
	struct drm_vsvm_vm_stats before, now;
	int64_t deadline = vsvm_deadline(30);
	unsigned int unmaps, met = 0;
	int i;

	before = vsvm_stats(set->fd[0], set->vm[0]);
	workers_start(set, n, unmap_loop, NULL);
	unmaps = workers_end(n);
	for (i = 0; i < n; i++)
		met += workers[i].met;
	igt_info("%u munmaps by %d threads, in the middle of %u jobs\n", unmaps,
		 n, met);
	igt_assert(unmaps >= (unsigned int)vsvm_scale(10000, 1000));
	/* The ranges are collected, sooner or later. */
	do {
		now = vsvm_stats(set->fd[0], set->vm[0]);
		igt_assert_f(vsvm_now() < deadline, "%llu ranges stay\n",
			     (unsigned long long)(now.ranges - before.ranges));
	} while (now.ranges > before.ranges && set->layout ==
		 DRM_VSVM_VM_LAYOUT_MSVM);
}

igt_main
{
	each("join-leave", "1,000 joins and leaves under faults", MSVM_AND_1TO1,
	     test_join_leave);
	each("munmap", "10,000 times munmap() under faults", MSVM_AND_1TO1,
	     test_munmap);
}
