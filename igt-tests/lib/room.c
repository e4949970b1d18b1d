// SPDX-License-Identifier: MIT
/*
 * Memory that nobody serves until told, and jobs in it, see room.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "igt_compat.h"
#include "room.h"
#include "uffd.h"

#define SEED 7

struct room room = { .uffd = -1 };

void room_make(struct vsvm_set *set, size_t len, size_t align, int prot)
{
	int i;

	/* A failed subtest left it. */
	if (room.uffd >= 0)
		close(room.uffd);
	room.len = len;
	room.p = anon_aligned(len, align);
	igt_assert(!mprotect(room.p, len, prot));
	room.served = anon(len);
	pattern_fill(room.served, len, SEED);
	room.results = anon(SZ_4K);
	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_store(room.results, 8, 0);

		vsvm_run(set, i, &cmd, 1);
	}
	room.uffd = uffd_open();
	uffd_register(room.uffd, room.p, len);
	room.id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
}

void room_free(void)
{
	close(room.uffd);
	room.uffd = -1;
	munmap(room.p, room.len);
	munmap(room.served, room.len);
	munmap(room.results, SZ_4K);
}

void room_serve(size_t offset, size_t len)
{
	uffd_copy(room.uffd, room.p + offset, room.served + offset, len);
}

uint64_t stat_of(const char *name)
{
	return context_value(room.id, "stats", name);
}

/* Until so many faults were pushed. */
void wait_stat(const char *name, uint64_t value)
{
	int64_t deadline = vsvm_deadline(30);
	uint64_t now;

	while ((now = stat_of(name)) < value)
		igt_assert_f(vsvm_now() < deadline, "%s is %llu, not %llu\n",
			     name, (unsigned long long)now,
			     (unsigned long long)value);
	igt_assert_eq_u64(now, value);
}

uint64_t submit(struct vsvm_set *set, int gpu, uint32_t vm, int engine,
		struct drm_vsvm_cmd cmd)
{
	return vsvm_submit(set->fd[gpu], vm, engine, &cmd, 1);
}

/* A load of the u64 at @offset; its result is number @k. */
struct drm_vsvm_cmd load(size_t offset, int k)
{
	return vsvm_load(room.p + offset, 8, room.results + k);
}

void expect_loaded(size_t offset, int k)
{
	igt_assert_eq_u64(room.results[k],
			  *(uint64_t *)(room.served + offset));
}

void expect_pending(struct vsvm_set *set, int gpu, uint32_t vm, uint64_t job)
{
	struct drm_vsvm_wait w = { .vm_id = vm, .job_id = job };

	igt_assert_eq(vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_WAIT, &w), -ETIME);
}

/*
 * VMs go while their faults are raised, refused, waiting, served and answered:
 * at what time is left to chance. Those that stay have the right data after it.
 */
void go_while_faulting(struct vsvm_set *set)
{
	int rounds = vsvm_scale(50, 10), round, gpu, engine;
	char *from = anon_aligned(4 * SZ_2M, SZ_2M);
	char *to = anon_aligned(4 * SZ_2M, SZ_2M);
	uint32_t vm[VSVM_MAX_SET];

	pattern_fill(from, 4 * SZ_2M, SEED);
	for (round = 0; round < rounds; round++) {
		for (gpu = 0; gpu < set->n; gpu++) {
			vm[gpu] = vsvm_vm_create(set->fd[gpu], set->layout);
			for (engine = 0; engine < ENGINES; engine++)
				submit(set, gpu, vm[gpu], engine,
				       vsvm_copy(to + engine * SZ_2M,
						 from + engine * SZ_2M, SZ_2M));
		}
		/* So that there is something to fault on the next time. */
		igt_assert(!munmap(to + round % 4 * SZ_2M, SZ_4K));
		igt_assert(mmap(to + round % 4 * SZ_2M, SZ_4K,
				PROT_READ | PROT_WRITE, MAP_PRIVATE |
				MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
			   MAP_FAILED);
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(vsvm_vm_destroy(set->fd[gpu], vm[gpu]), 0);
	}
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_copy(to, from, 4 * SZ_2M);

		memset(to, gpu, SZ_2M);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert(!memcmp(to, from, 4 * SZ_2M));
	}
	munmap(from, 4 * SZ_2M);
	munmap(to, 4 * SZ_2M);
}
