// SPDX-License-Identifier: MIT
/*
 * Memory of one range of which some is kept for reading and some is written, while the
 * process forks all the time: each fork makes all of it read-only, so each write has to
 * have it mapped anew, and what is kept must not undo that before it was used.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/hang.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"

#define ROUNDS 10
/* After so many stops one comes soon enough after the other to be waited for longest. */
#define STOPS 30

static volatile bool stop;

/* Children that do nothing, with a pause which jobs have to get by with. */
static void *fork_thread(void *unused)
{
	while (!stop) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return (void *)1;
		usleep(5000);
	}
	return unused;
}

static void keep(struct vsvm_set *set, int gpu, const char *p, size_t len,
		 uint32_t access)
{
	struct drm_vsvm_keep args = {
		.vm_id = set->vm[gpu], .start = to_u64(p), .len = len,
		.access = access,
	};

	igt_assert_eq(vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_KEEP, &args), 0);
}

/* Jobs of all GPUs end, while a thread forks. */
static void run_forking(struct vsvm_set *set, struct drm_vsvm_cmd cmd)
{
	uint32_t id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	uint64_t stops = context_value(id, "stats", "quiesces") + STOPS;
	uint64_t upgrades;
	int64_t deadline = vsvm_deadline(60);
	struct drm_vsvm_wait w;
	pthread_t thread;
	int gpu, i, err;

	stop = false;
	igt_assert(!pthread_create(&thread, NULL, fork_thread, NULL));
	while (context_value(id, "stats", "quiesces") < stops) {
		igt_assert(vsvm_now() < deadline);
		usleep(1000);
	}
	upgrades = context_value(id, "stats", "upgrades");
	for (i = 0; i < ROUNDS; i++)
		for (gpu = 0; gpu < set->n; gpu++) {
			w = (struct drm_vsvm_wait) {
				.vm_id = set->vm[gpu],
				.job_id = vsvm_submit(set->fd[gpu],
						      set->vm[gpu], 0, &cmd, 1),
				.timeout_ns = vsvm_deadline(10),
			};
			err = vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_WAIT, &w);
			if (err)
				hang_report();
			igt_assert_eq(err, 0);
			igt_assert_eq(w.status, 0);
		}
	upgrades = context_value(id, "stats", "upgrades") - upgrades;
	igt_info("%d jobs, %llu upgrades\n", ROUNDS * set->n,
		 (unsigned long long)upgrades);
	stop = true;
	join_thread(thread);
}

static char *memory(void)
{
	char *p = anon_aligned(SZ_64K, SZ_64K);

	igt_assert(!madvise(p, SZ_64K, MADV_NOHUGEPAGE));
	memset(p, 1, SZ_64K);
	return p;
}

/* A GPU with page faults writes beside what it keeps for reading. */
static void written_beside(struct vsvm_set *set)
{
	char *p = memory();
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		keep(set, gpu, p + 12 * SZ_4K, 2 * SZ_4K, DRM_VSVM_ACCESS_READ);
	run_forking(set, vsvm_add(p + 6 * SZ_4K, 8, 1, NULL));
	igt_assert_eq_u64(*(uint64_t *)(p + 6 * SZ_4K),
			  0x0101010101010101 + ROUNDS * set->n);
	munmap(p, SZ_64K);
}

/* Kept for reading in front of what is kept for writing. */
static void both(struct vsvm_set *set)
{
	char *p = memory();
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		keep(set, gpu, p, 4 * SZ_4K, DRM_VSVM_ACCESS_READ);
		keep(set, gpu, p + 8 * SZ_4K, 4 * SZ_4K, DRM_VSVM_ACCESS_WRITE);
	}
	run_forking(set, vsvm_add(p + 8 * SZ_4K, 8, 1, NULL));
	igt_assert_eq_u64(*(uint64_t *)(p + 8 * SZ_4K),
			  0x0101010101010101 + ROUNDS * set->n);
	munmap(p, SZ_64K);
}

igt_main
{
	each_made("written-beside", "a GPU writes beside what it keeps to read",
		  MSVM_ONLY, NO_ATTRS, written_beside);
	each_made("both", "some is kept to be read, some to be written",
		  MSVM_ONLY, ATTR("page_faults=0"), both);
}
