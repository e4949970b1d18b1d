// SPDX-License-Identifier: MIT
/*
 * GPUs and CPU work on the same words at the same time: atomics, messages,
 * reductions into one table, chains of pointers.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/each.h"

/* Queue the same commands on all GPUs, then wait for all. */
static void everywhere(struct vsvm_set *set, struct drm_vsvm_cmd *cmds, int n)
{
	uint64_t job[VSVM_MAX_SET];
	int i;

	for (i = 0; i < set->n; i++)
		job[i] = vsvm_submit(set->fd[i], set->vm[i], 0, cmds, n);
	for (i = 0; i < set->n; i++)
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], job[i]).status,
			      0);
}

#define ADDS 200

static void *cpu_adds(void *data)
{
	uint64_t *counter = data;
	int i;

	for (i = 0; i < ADDS * 10; i++)
		__atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void test_add(struct vsvm_set *set)
{
	struct drm_vsvm_cmd cmds[ADDS];
	uint64_t *counter = anon(SZ_4K);
	uint32_t *small = (uint32_t *)counter + 100;
	pthread_t thread;
	int i;

	for (i = 0; i < ADDS; i++)
		cmds[i] = i % 2 ? vsvm_add(counter, 8, 3, NULL) :
				  vsvm_add(small, 4, 0x80000001, NULL);
	igt_assert(!pthread_create(&thread, NULL, cpu_adds, counter));
	everywhere(set, cmds, ADDS);
	pthread_join(thread, NULL);
	igt_assert_eq_u64(*counter, 3 * (ADDS / 2) * set->n + ADDS * 10);
	/* 32 bits wrap, and their neighbour is left alone. */
	igt_assert_eq_u64(*small, (uint32_t)(0x80000001U * (ADDS / 2) * set->n));
	igt_assert_eq_u64(small[1], 0);
	munmap(counter, SZ_4K);
}

static void test_cas(struct vsvm_set *set)
{
	uint64_t *word = anon(SZ_4K), *old = word + 8;
	struct drm_vsvm_cmd cmd;
	int i;

	for (i = 0; i < set->n; i++) {
		cmd = vsvm_cas(word, 8, i, i + 1, old);
		vsvm_run(set, i, &cmd, 1);
		igt_assert_eq_u64(*old, i);
		igt_assert_eq_u64(*word, i + 1);
		/* Fails: leaves the word and tells its value. */
		cmd = vsvm_cas(word, 8, 99, 7, old);
		vsvm_run(set, i, &cmd, 1);
		igt_assert_eq_u64(*old, i + 1);
		igt_assert_eq_u64(*word, i + 1);
	}
	munmap(word, SZ_4K);
}

/* Every value put in comes out exactly once. */
static void test_xchg(struct vsvm_set *set)
{
	uint64_t *word = anon(SZ_4K), *old = word + 8, seen = 0, put = 0;
	struct drm_vsvm_cmd cmds[VSVM_MAX_SET];
	uint64_t job[VSVM_MAX_SET];
	int i;

	for (i = 0; i < set->n; i++) {
		put |= 1ULL << i;
		cmds[i] = vsvm_xchg(word, 8, 1ULL << i, old + i);
		job[i] = vsvm_submit(set->fd[i], set->vm[i], 0, &cmds[i], 1);
	}
	for (i = 0; i < set->n; i++)
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], job[i]).status,
			      0);
	for (i = 0; i < set->n; i++) {
		igt_assert(!(seen & old[i]));
		seen |= old[i];
	}
	igt_assert(!(seen & *word));
	igt_assert_eq_u64(seen | *word, put);
	munmap(word, SZ_4K);
}

static void test_histogram(struct vsvm_set *set)
{
	uint64_t *table = anon(SZ_4K), *sum = anon(SZ_4K), expect[256] = {}, total = 0;
	size_t len = SZ_64K + 77, i;
	uint8_t *p = anon(len);
	struct drm_vsvm_cmd cmds[2] = {
		vsvm_histogram(table, p, len), vsvm_sum(sum, p, len),
	};

	pattern_fill(p, len, 21);
	for (i = 0; i < len; i++) {
		expect[p[i]]++;
		total += p[i];
	}
	everywhere(set, cmds, 2);
	for (i = 0; i < 256; i++)
		igt_assert_eq_u64(table[i], expect[i] * set->n);
	igt_assert_eq_u64(*sum, total * set->n);
	munmap(table, SZ_4K);
	munmap(sum, SZ_4K);
	munmap(p, len);
}

/*
 * A token goes round all GPUs: each waits for it, adds to the data and passes it
 * on. Data and token lie on different pages, so the order of writes counts.
 */
static void test_ring(struct vsvm_set *set)
{
	uint64_t *token = anon(SZ_4K), *data = anon(SZ_4K), *copy = data + 8;
	uint64_t job[VSVM_MAX_SET];
	const int rounds = 8;
	int i, r;

	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmds[8 * 4];

		for (r = 0; r < rounds; r++) {
			uint64_t turn = r * set->n + i;

			cmds[4 * r] = vsvm_wait_value(token, 8, turn);
			/* Not atomic on purpose: the token makes it safe. */
			cmds[4 * r + 1] = vsvm_load(data, 8, copy + i);
			cmds[4 * r + 2] = vsvm_add(data, 8, 1, NULL);
			cmds[4 * r + 3] = vsvm_store(token, 8, turn + 1);
		}
		job[i] = vsvm_submit(set->fd[i], set->vm[i], 0, cmds,
				     4 * rounds);
	}
	for (i = 0; i < set->n; i++)
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], job[i]).status,
			      0);
	igt_assert_eq_u64(*token, rounds * set->n);
	igt_assert_eq_u64(*data, rounds * set->n);
	/* What each saw in its last turn was what was there before it. */
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(copy[i], (rounds - 1) * set->n + i);
	munmap(token, SZ_4K);
	munmap(data, SZ_4K);
}

/* CPU and GPU take turns. */
static void test_ping_pong(struct vsvm_set *set)
{
	volatile uint64_t *word = anon(SZ_4K);
	const int rounds = vsvm_scale(20, 8);
	int64_t deadline;
	int i, r;

	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmds[64];
		uint64_t job;

		*word = 0;
		for (r = 0; r < rounds; r++) {
			cmds[2 * r] = vsvm_wait_value((void *)word, 8, 2 * r + 1);
			cmds[2 * r + 1] = vsvm_store((void *)word, 8, 2 * r + 2);
		}
		job = vsvm_submit(set->fd[i], set->vm[i], 0, cmds, 2 * rounds);
		deadline = vsvm_deadline(30);
		for (r = 0; r < rounds; r++) {
			__atomic_store_n(word, 2 * r + 1, __ATOMIC_RELEASE);
			while (__atomic_load_n(word, __ATOMIC_ACQUIRE) !=
			       (uint64_t)(2 * r + 2))
				igt_assert_f(vsvm_now() < deadline,
					     "no answer in round %d\n", r);
		}
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], job).status, 0);
	}
	munmap((void *)word, SZ_4K);
}

static void test_chase(struct vsvm_set *set)
{
	enum { NODES = 512 };
	uint64_t **node = anon(NODES * SZ_4K), *result = anon(SZ_4K);
	unsigned int order[NODES], i, j, t;
	struct drm_vsvm_cmd cmd;
	unsigned int seed = 4711;
	int gpu;

	for (i = 0; i < NODES; i++)
		order[i] = i;
	for (i = NODES - 1; i > 0; i--) {
		j = rand_r(&seed) % (i + 1);
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	/* One pointer a page, in a circle through all. */
	for (i = 0; i < NODES; i++)
		node[order[i] * 512] =
			(uint64_t *)&node[order[(i + 1) % NODES] * 512];

	for (gpu = 0; gpu < set->n; gpu++) {
		cmd = vsvm_chase(&node[order[0] * 512], NODES - 1, result);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(*result,
				  to_u64(&node[order[NODES - 1] * 512]));
	}
	munmap(node, NODES * SZ_4K);
	munmap(result, SZ_4K);
}

/* The user fence is written after all else, by the GPU. */
static void test_user_fence(struct vsvm_set *set)
{
	volatile uint64_t *fence = anon(SZ_4K), *data = fence + 8;
	int64_t deadline = vsvm_deadline(30);
	int i;

	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_store((void *)(data + i), 8, 42);
		struct drm_vsvm_exec args = {
			.vm_id = set->vm[i], .num_cmds = 1, .cmds = to_u64(&cmd),
			.fence_addr = to_u64(fence + i), .fence_value = 7 + i,
		};

		igt_assert_eq(vsvm_ioctl(set->fd[i], DRM_IOCTL_VSVM_EXEC, &args),
			      0);
		while (__atomic_load_n(fence + i, __ATOMIC_ACQUIRE) !=
		       (uint64_t)(7 + i))
			igt_assert(vsvm_now() < deadline);
		igt_assert_eq_u64(data[i], 42);
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i],
					args.job_id).status, 0);
	}
	munmap((void *)fence, SZ_4K);
}

igt_main
{
	each("add", "atomic additions by all GPUs and the CPU", MSVM_AND_1TO1,
	     test_add);
	each("cas", "compare and exchange", MSVM_ONLY, test_cas);
	each("xchg", "exchange loses and doubles nothing", MSVM_ONLY, test_xchg);
	each("histogram", "histogram and sum into one table", MSVM_AND_1TO1,
	     test_histogram);
	each("ring", "messages from GPU to GPU", MSVM_AND_1TO1, test_ring);
	each("ping-pong", "messages between CPU and GPU", MSVM_ONLY,
	     test_ping_pong);
	each("chase", "a chain of pointers over 2 MiB", MSVM_AND_1TO1, test_chase);
	each("user-fence", "completion by a user fence", MSVM_ONLY,
	     test_user_fence);
}
