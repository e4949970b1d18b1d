// SPDX-License-Identifier: MIT
/*
 * Memory operations of the process with N GPUs mapping the memory: after each,
 * every GPU sees what the CPU sees, and nothing that is gone.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"

static void all_check(struct vsvm_set *set, const void *p, size_t len,
		      uint64_t seed)
{
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, len, seed);
}

/* Memory that all GPUs have mapped for writing. */
static char *mapped(struct vsvm_set *set, size_t len, uint64_t seed)
{
	char *p = anon_aligned(len, SZ_2M);
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, len, seed);
	all_check(set, p, len, seed);
	return p;
}

static void all_fault(struct vsvm_set *set, char *p, int status)
{
	uint64_t *result = anon(SZ_4K);
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_load(p + 8 * i, 8, result), status,
				  p + 8 * i, DRM_VSVM_ACCESS_READ);
	/* Nothing was read through a stale mapping. */
	igt_assert_eq_u64(*result, 0);
	munmap(result, SZ_4K);
}

static void test_munmap(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 1);

	munmap(p, SZ_64K);
	all_fault(set, p, -EFAULT);
}

static void test_munmap_mmap(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 1), *again;
	int round;

	for (round = 0; round < 20; round++) {
		munmap(p, SZ_64K);
		again = mmap(p, SZ_64K, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0);
		igt_assert(again == p);
		pattern_fill(p, SZ_64K, 100 + round);
		all_check(set, p, SZ_64K, 100 + round);
	}
	munmap(p, SZ_64K);
}

/* A hole in a 2 MiB range: the rest goes on. */
static void test_munmap_partial(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int i;

	pattern_fill(p, SZ_2M, 3);
	all_check(set, p, SZ_64K, 3);
	munmap(p + SZ_2M / 2, SZ_4K);
	all_fault(set, p + SZ_2M / 2, -EFAULT);
	all_check(set, p, SZ_64K, 3);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p + SZ_2M / 2 + SZ_4K, SZ_64K, 50 + i);
	pattern_check(p + SZ_2M / 2 + SZ_4K, SZ_64K, 50 + set->n - 1);
	munmap(p, SZ_2M);
}

static void test_mprotect(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 4);
	int i;

	igt_assert(!mprotect(p, SZ_64K, PROT_READ));
	all_check(set, p, SZ_64K, 4);
	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, vsvm_store(p, 8, 0), -EACCES, p,
				  DRM_VSVM_ACCESS_WRITE);
		vsvm_expect_fault(set, i, vsvm_add(p, 8, 1, NULL), -EACCES, p,
				  DRM_VSVM_ACCESS_ATOMIC);
	}
	igt_assert(!mprotect(p, SZ_64K, PROT_NONE));
	all_fault(set, p, -EACCES);
	igt_assert(!mprotect(p, SZ_64K, PROT_READ | PROT_WRITE));
	all_check(set, p, SZ_64K, 4);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, SZ_64K, 5);
	pattern_check(p, SZ_64K, 5);
	munmap(p, SZ_64K);
}

/* Protection of a part: neighbours in the same range stay writable. */
static void test_mprotect_partial(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int i;

	pattern_fill(p, SZ_2M, 6);
	all_check(set, p, SZ_64K, 6);
	igt_assert(!mprotect(p + SZ_4K, SZ_4K, PROT_READ));
	/* All map the whole for reading; a write needs a smaller range. */
	all_check(set, p, SZ_64K, 6);
	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, vsvm_store(p + SZ_4K, 8, 0), -EACCES,
				  p + SZ_4K, DRM_VSVM_ACCESS_WRITE);
		vsvm_gpu_write(set, i, p + 2 * SZ_4K, SZ_4K, 60 + i);
		vsvm_gpu_write(set, i, p, SZ_4K, 70 + i);
	}
	pattern_check(p + 2 * SZ_4K, SZ_4K, 60 + set->n - 1);
	munmap(p, SZ_2M);
}

static void test_mremap_move(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 7), *to = anon_aligned(SZ_64K, SZ_2M), *q;
	int i;

	q = mremap(p, SZ_64K, SZ_64K, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	igt_assert(q == to);
	all_check(set, q, SZ_64K, 7);
	all_fault(set, p, -EFAULT);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, q, SZ_64K, 8);
	pattern_check(q, SZ_64K, 8);
	munmap(q, SZ_64K);
}

static void test_mremap_grow(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 9), *q;
	int i;

	q = mremap(p, SZ_64K, 4 * SZ_64K, MREMAP_MAYMOVE);
	igt_assert(q != MAP_FAILED);
	all_check(set, q, SZ_64K, 9);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, q + SZ_64K, 3 * SZ_64K, 10 + i);
	pattern_check(q + SZ_64K, 3 * SZ_64K, 10 + set->n - 1);
	munmap(q, 4 * SZ_64K);
}

static void test_dontneed(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 11);
	int i;

	igt_assert(!madvise(p, SZ_64K, MADV_DONTNEED));
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p + 8 * i), 0);
	pattern_fill(p, SZ_64K, 12);
	all_check(set, p, SZ_64K, 12);
	munmap(p, SZ_64K);
}

/* The GPUs follow the parent, whoever of the two writes first. */
static void test_fork_child_writes(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 13);
	pid_t pid = fork();
	int status;

	igt_assert(pid >= 0);
	if (!pid) {
		pattern_fill(p, SZ_64K, 14);
		_exit(0);
	}
	igt_assert(waitpid(pid, &status, 0) == pid && !status);
	all_check(set, p, SZ_64K, 13);
	munmap(p, SZ_64K);
}

static void test_fork_parent_writes(struct vsvm_set *set)
{
	char *p = mapped(set, SZ_64K, 15);
	int go[2], i, status;
	char c = 0;
	pid_t pid;

	igt_assert(!pipe(go));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		uint64_t before = *(uint64_t *)p;
		char copy[64];

		/* What the parent and its GPUs write is not the child's. */
		memcpy(copy, p, sizeof(copy));
		if (read(go[0], &c, 1) != 1)
			_exit(2);
		_exit(*(uint64_t *)p != before ||
		      memcmp(p, copy, sizeof(copy)));
	}
	/* Breaks copy-on-write by GPU, then by CPU. */
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, SZ_4K, 16 + i);
	pattern_check(p, SZ_4K, 16 + set->n - 1);
	pattern_fill(p + SZ_4K, SZ_4K, 17);
	all_check(set, p + SZ_4K, SZ_4K, 17);
	igt_assert(write(go[1], &c, 1) == 1);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	close(go[0]);
	close(go[1]);
	munmap(p, SZ_64K);
}

struct churn {
	char *p;
	int rounds;
};

/* Memory comes and goes; each time it is full of one value. */
static void *churn(void *data)
{
	struct churn *c = data;
	int i;

	for (i = 0; i < c->rounds; i++) {
		if (munmap(c->p, SZ_64K) ||
		    mmap(c->p, SZ_64K, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != c->p)
			return (void *)1;
		memset(c->p, 1 + i % 100, SZ_64K);
	}
	return NULL;
}

/*
 * Jobs end in one of the two possible ways: with the fault, or with values that
 * the memory had. At least 300 rounds (debug kernel: 60).
 */
static void test_munmap_race(struct vsvm_set *set)
{
	struct churn c = {
		.p = anon_aligned(SZ_64K, SZ_2M),
		.rounds = vsvm_scale(300, 60),
	};
	char *out = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_copy(out, c.p + SZ_64K - SZ_4K, SZ_4K);
	int done = 0, i, k, jobs = 0;
	pthread_t thread;
	void *ret;

	memset(c.p, 1, SZ_64K);
	igt_assert(!pthread_create(&thread, NULL, churn, &c));
	while (!done) {
		done = pthread_tryjoin_np(thread, &ret) == 0;
		for (i = 0; i < set->n; i++) {
			struct drm_vsvm_wait w = vsvm_try(set, i, &cmd, 1);

			jobs++;
			if (w.status) {
				igt_assert_eq(w.status, -EFAULT);
				continue;
			}
			for (k = 0; k < (int)SZ_4K; k++)
				igt_assert_f((unsigned char)out[k] <= 100,
					     "byte %d is %d\n", k, out[k]);
		}
	}
	igt_assert(!ret);
	igt_info("%d rounds, %d jobs\n", c.rounds, jobs);
	memset(c.p, 101, SZ_64K);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, c.p),
				  0x6565656565656565ULL);
	munmap(c.p, SZ_64K);
	munmap(out, SZ_4K);
}

igt_main
{
	each("munmap", "memory that is gone cannot be accessed", MSVM_AND_1TO1,
	     test_munmap);
	each("munmap-mmap", "other memory at the same address", MSVM_AND_1TO1,
	     test_munmap_mmap);
	each("munmap-partial", "a hole in a range", MSVM_AND_1TO1,
	     test_munmap_partial);
	each("mprotect", "protections take effect and are lifted", MSVM_AND_1TO1,
	     test_mprotect);
	each("mprotect-partial", "protection of a part of a range", MSVM_AND_1TO1,
	     test_mprotect_partial);
	each("mremap-move", "memory moves to another address", MSVM_ONLY,
	     test_mremap_move);
	each("mremap-grow", "memory grows", MSVM_ONLY, test_mremap_grow);
	each("dontneed", "MADV_DONTNEED leaves zeroes", MSVM_AND_1TO1,
	     test_dontneed);
	each("fork-child-writes", "a child's writes are its own", MSVM_AND_1TO1,
	     test_fork_child_writes);
	each("fork-parent-writes", "GPU and CPU writes of a parent are its own",
	     MSVM_AND_1TO1, test_fork_parent_writes);
	each("munmap-race", "munmap() and mmap() against jobs", MSVM_AND_1TO1,
	     test_munmap_race);
}
