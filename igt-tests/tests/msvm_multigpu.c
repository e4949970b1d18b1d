// SPDX-License-Identifier: MIT
/*
 * GPUs with memory of their own and the same data, with the names of IGT's
 * xe_multigpu_svm: each alone with what the others' faults make of it ("basic"), with
 * memory moved ahead of each use ("prefetch"), and with attributes that want it
 * elsewhere than where it is used ("conflicting").
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/policy.h"
#include "../lib/vram.h"

static const char * const attrs[] = { "vram_mib=8", "peer_group=1", NULL };

enum mode { BASIC, PREFETCH, CONFLICTING, MODES };

static const char * const mode_names[] = { "basic", "prefetch", "conflicting" };

/**
 * struct test - A test, in the modes that make sense.
 * @name: Its name.
 * @text: What it is about.
 * @fn: It.
 * @modes: Number of modes, from the first.
 */
struct test {
	const char *name;
	const char *text;
	void (*fn)(struct vsvm_set *set);
	int modes;
};

/* What is being run, in which mode. */
static const struct test *now;
static enum mode mode;

/* Before a GPU uses memory. */
static void before_use(struct vsvm_set *set, int gpu, void *p, size_t len)
{
	switch (mode) {
	case PREFETCH:
		vram_fetch(set, gpu, p, len);
		break;
	case CONFLICTING:
		/* In this order it is not mapped where it is, but faults. */
		attr_set(set, p, len, attr_accessed_by(set, gpu, true));
		attr_set(set, p, len, attr_preferred(set, PREFER_NONE));
		attr_set(set, p, len, attr_preferred(set, (gpu + 1) % set->n));
		break;
	default:
		break;
	}
}

static uint64_t start(struct vsvm_set *set, int gpu,
		      const struct drm_vsvm_cmd *cmds, int n)
{
	return vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds, n);
}

static void end(struct vsvm_set *set, int gpu, uint64_t job)
{
	igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu], job).status, 0);
}

/* What one GPU writes, the next one reads, and the other way round. */
static void xgpu_access(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	int gpu, next;

	for (gpu = 0; gpu < set->n; gpu++) {
		next = (gpu + 1) % set->n;
		memset(p, 0, SZ_64K);
		before_use(set, gpu, p, SZ_64K);
		vsvm_gpu_write(set, gpu, p, SZ_64K, 10 + gpu);
		before_use(set, next, p, SZ_64K);
		vsvm_gpu_check(set, next, p, SZ_64K, 10 + gpu);
		vsvm_gpu_write(set, next, p, SZ_64K, 20 + gpu);
		before_use(set, gpu, p, SZ_64K);
		vsvm_gpu_check(set, gpu, p, SZ_64K, 20 + gpu);
		pattern_check(p, SZ_64K, 20 + gpu);
	}
	munmap(p, SZ_64K);
}

#define ADDS	40

/* One GPU after the other, and all at the same time: nothing is lost. */
static void atomic_op(struct vsvm_set *set)
{
	uint64_t *count = anon_aligned(SZ_4K, SZ_2M), sum = 0;
	struct drm_vsvm_cmd cmds[ADDS];
	uint64_t jobs[VSVM_MAX_SET];
	int gpu, i;

	*count = 0;
	if (mode == CONFLICTING)
		attr_set(set, count, SZ_4K,
			 attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_DEVICE));
	for (gpu = 0; gpu < set->n; gpu++) {
		before_use(set, gpu, count, SZ_4K);
		cmds[0] = vsvm_add(count, 8, gpu + 1, NULL);
		vsvm_run(set, gpu, cmds, 1);
		/* Where the atomic was wanted, whatever is preferred. */
		if (mode != BASIC)
			vram_expect(set, count, SZ_4K, where_gpu(set, gpu));
		sum += gpu + 1;
	}
	igt_assert_eq_u64(*count, sum);

	for (i = 0; i < ADDS; i++)
		cmds[i] = vsvm_add(count, 8, 3, NULL);
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = start(set, gpu, cmds, ADDS);
	for (gpu = 0; gpu < set->n; gpu++)
		end(set, gpu, jobs[gpu]);
	igt_assert_eq_u64(*count, sum + 3ULL * ADDS * set->n);
	munmap(count, SZ_4K);
}

/* Rounds of one job. */
#define ROUNDS	8

/**
 * struct board - Pages of GPUs that keep in step.
 * @meet: Counts who came, a word for each time.
 * @data: What it is about, in a page of its own.
 * @mine: A page for each GPU.
 */
struct board {
	uint64_t *meet;
	uint64_t *data;
	uint64_t *mine[VSVM_MAX_SET];
};

static void board_make(struct vsvm_set *set, struct board *board)
{
	int gpu;

	board->meet = anon(SZ_4K);
	board->data = anon_aligned(SZ_4K, SZ_2M);
	*board->data = 0;
	for (gpu = 0; gpu < set->n; gpu++)
		board->mine[gpu] = anon(SZ_4K);
}

static void board_free(struct vsvm_set *set, struct board *board)
{
	int gpu;

	munmap(board->meet, SZ_4K);
	munmap(board->data, SZ_4K);
	for (gpu = 0; gpu < set->n; gpu++)
		munmap(board->mine[gpu], SZ_4K);
}

/* All go on when the last has come. Return: how many commands. */
static int meet(struct vsvm_set *set, const struct board *board, int time,
		struct drm_vsvm_cmd *cmds)
{
	cmds[0] = vsvm_add(board->meet + time, 8, 1, NULL);
	cmds[1] = vsvm_wait_value(board->meet + time, 8, set->n);
	return 2;
}

static uint64_t said(int writer, int round)
{
	return 0x5a1d000000000000ULL + (writer << 16) + round;
}

/* A job of @gpu: in each round @writer writes, then all others read. */
static uint64_t listen(struct vsvm_set *set, const struct board *board, int gpu,
		       int writer)
{
	struct drm_vsvm_cmd cmds[ROUNDS * 6];
	int round, n = 0;

	for (round = 0; round < ROUNDS; round++) {
		if (gpu == writer)
			cmds[n++] = vsvm_store(board->data, 8,
					       said(writer, round));
		n += meet(set, board, 2 * round, cmds + n);
		cmds[n++] = vsvm_load(board->data, 8, board->mine[gpu] + round);
		n += meet(set, board, 2 * round + 1, cmds + n);
	}
	return start(set, gpu, cmds, n);
}

/* What one GPU wrote last, all others see as soon as they know of it. */
static void coherency(struct vsvm_set *set)
{
	uint64_t jobs[VSVM_MAX_SET];
	struct board board;
	int writer, gpu, round;

	board_make(set, &board);
	for (writer = 0; writer < set->n; writer++) {
		memset(board.meet, 0, SZ_4K);
		before_use(set, writer, board.data, SZ_4K);
		for (gpu = 0; gpu < set->n; gpu++)
			jobs[gpu] = listen(set, &board, gpu, writer);
		for (gpu = 0; gpu < set->n; gpu++)
			end(set, gpu, jobs[gpu]);
		for (gpu = 0; gpu < set->n; gpu++)
			for (round = 0; round < ROUNDS; round++)
				igt_assert_eq_u64(board.mine[gpu][round],
						  said(writer, round));
		igt_assert_eq_u64(*board.data, said(writer, ROUNDS - 1));
	}
	board_free(set, &board);
}

/* A job that counts in each round: with an atomic, or by reading and writing. */
static uint64_t count_on(struct vsvm_set *set, const struct board *board,
			 int gpu, bool atomic)
{
	uint64_t *mine = board->mine[gpu];
	struct drm_vsvm_cmd cmds[ROUNDS * 7];
	int round, n = 0;

	for (round = 0; round < ROUNDS; round++) {
		n += meet(set, board, 2 * round, cmds + n);
		if (atomic)
			cmds[n++] = vsvm_add(board->data, 8, 1, NULL);
		else
			cmds[n++] = vsvm_load(board->data, 8, mine);
		/* All have read before the first writes. */
		n += meet(set, board, 2 * round + 1, cmds + n);
		if (atomic)
			continue;
		cmds[n++] = vsvm_add(mine, 8, 1, NULL);
		cmds[n++] = vsvm_copy(board->data, mine, 8);
	}
	return start(set, gpu, cmds, n);
}

static uint64_t count_all(struct vsvm_set *set, bool atomic)
{
	uint64_t jobs[VSVM_MAX_SET], count;
	struct board board;
	int gpu;

	board_make(set, &board);
	before_use(set, 0, board.data, SZ_4K);
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = count_on(set, &board, gpu, atomic);
	for (gpu = 0; gpu < set->n; gpu++)
		end(set, gpu, jobs[gpu]);
	count = *board.data;
	board_free(set, &board);
	return count;
}

/*
 * Writers that are not atomic lose updates, all but one in each round, as all see the
 * same value there; the same with atomics loses none. So "atomic-op" proves something.
 */
static void coherency_fail(struct vsvm_set *set)
{
	igt_assert_eq_u64(count_all(set, false), ROUNDS);
	igt_assert_eq_u64(count_all(set, true), ROUNDS * set->n);
}

#define PAGES	32

static uint64_t *word(char *p, int page, int gpu)
{
	return (uint64_t *)(p + page * SZ_4K) + gpu;
}

/* A job that writes a word of the GPU's own in each page. */
static uint64_t write_words(struct vsvm_set *set, int gpu, char *p,
			    uint64_t value)
{
	struct drm_vsvm_cmd cmds[2 * PAGES];
	int i;

	for (i = 0; i < PAGES; i++) {
		cmds[2 * i] = vsvm_store(word(p, i, gpu), 8, value + i);
		cmds[2 * i + 1] = vsvm_add(word(p, i, gpu), 8, 1000, NULL);
	}
	return start(set, gpu, cmds, 2 * PAGES);
}

static void check_words(int gpu, char *p, uint64_t value)
{
	int i;

	for (i = 0; i < PAGES; i++)
		igt_assert_eq_u64(*word(p, i, gpu), value + i + 1000);
}

/* Where memory was moved ahead nobody faults, elsewhere they do; then all at once. */
static void pagefault(struct vsvm_set *set)
{
	size_t len = PAGES * SZ_4K;
	uint64_t jobs[VSVM_MAX_SET], faults;
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		char *p = anon_aligned(len, SZ_2M);

		memset(p, 0, len);
		before_use(set, gpu, p, len);
		faults = attr_faults(set, gpu);
		end(set, gpu, write_words(set, gpu, p, 100 * gpu));
		igt_assert_eq(attr_faults(set, gpu) > faults, mode != PREFETCH);
		check_words(gpu, p, 100 * gpu);
		munmap(p, len);
	}
	for (gpu = 0; gpu < set->n; gpu++) {
		char *p = anon_aligned(len, SZ_2M);
		int other;

		before_use(set, gpu, p, len);
		for (other = 0; other < set->n; other++)
			jobs[other] = write_words(set, other, p, 7 * other);
		for (other = 0; other < set->n; other++)
			end(set, other, jobs[other]);
		for (other = 0; other < set->n; other++)
			check_words(other, p, 7 * other);
		munmap(p, len);
	}
}

/* All write to the same pages at the same time, a word each, again and again. */
static void concurrent_access(struct vsvm_set *set)
{
	char *p = anon_aligned(PAGES * SZ_4K, SZ_2M);
	int rounds = vsvm_scale(8, 3), round, gpu;
	uint64_t jobs[VSVM_MAX_SET];

	for (round = 0; round < rounds; round++) {
		before_use(set, round % set->n, p, PAGES * SZ_4K);
		for (gpu = 0; gpu < set->n; gpu++)
			jobs[gpu] = write_words(set, gpu, p,
						10000 * round + 100 * gpu);
		for (gpu = 0; gpu < set->n; gpu++)
			end(set, gpu, jobs[gpu]);
		for (gpu = 0; gpu < set->n; gpu++)
			check_words(gpu, p, 10000 * round + 100 * gpu);
	}
	munmap(p, PAGES * SZ_4K);
}

/* From GPU to GPU, by its faults or ahead of them, with all that was written. */
static void migration(struct vsvm_set *set)
{
	size_t len = PAGES * SZ_4K;
	char *p = anon_aligned(len, SZ_2M), *copy = malloc(len);
	struct drm_vsvm_cmd cmds[PAGES];
	int gpu, turn, i;

	igt_assert(copy);
	policy_restless();
	policy_set("placement", mode == BASIC ? "follow-fault" : "first-touch");
	pattern_fill(p, len, 1);
	for (i = 0; i < PAGES; i++)
		*word(p, i, 0) = i;
	memcpy(copy, p, len);
	for (turn = 0; turn < 2 * set->n; turn++) {
		gpu = turn % set->n;
		before_use(set, gpu, p, len);
		for (i = 0; i < PAGES; i++)
			cmds[i] = vsvm_add(word(p, i, 0), 8, 1, NULL);
		vsvm_run(set, gpu, cmds, PAGES);
		vram_expect(set, p, len, where_gpu(set, gpu));
	}
	for (i = 0; i < PAGES; i++) {
		igt_assert_eq_u64(*word(p, i, 0), i + 2 * set->n);
		igt_assert(!memcmp(word(p, i, 1), word(copy, i, 1), SZ_4K - 8));
	}
	policy_restore();
	free(copy);
	munmap(p, len);
}

#define SAMPLES	21

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void tell(const char *what, int64_t *ns)
{
	qsort(ns, SAMPLES, sizeof(*ns), compare);
	igt_info("%s (%s): median %lld ns, quartiles %lld and %lld ns\n", what,
		 mode_names[mode], (long long)ns[SAMPLES / 2],
		 (long long)ns[SAMPLES / 4], (long long)ns[SAMPLES * 3 / 4]);
}

/* A word in one page goes back and forth between the first and the last GPU. */
static void latency(struct vsvm_set *set)
{
	int last = set->n - 1, i, round;
	uint64_t *p = anon_aligned(SZ_4K, SZ_2M), jobs[2];
	struct drm_vsvm_cmd here[2 * ROUNDS], there[2 * ROUNDS];
	int64_t ns[SAMPLES];

	for (round = 0; round < ROUNDS; round++) {
		here[2 * round] = vsvm_wait_value(p, 8, 2 * round);
		here[2 * round + 1] = vsvm_store(p, 8, 2 * round + 1);
		there[2 * round] = vsvm_wait_value(p, 8, 2 * round + 1);
		there[2 * round + 1] = vsvm_store(p, 8, 2 * round + 2);
	}
	for (i = 0; i < SAMPLES; i++) {
		*p = 0;
		before_use(set, 0, p, SZ_4K);
		ns[i] = -vsvm_now();
		jobs[1] = start(set, last, there, 2 * ROUNDS);
		jobs[0] = start(set, 0, here, 2 * ROUNDS);
		end(set, 0, jobs[0]);
		end(set, last, jobs[1]);
		ns[i] = (ns[i] + vsvm_now()) / (2 * ROUNDS);
		igt_assert_eq_u64(*p, 2 * ROUNDS);
	}
	tell("GPU to GPU, a word", ns);
	munmap(p, SZ_4K);
}

/* One GPU writes a page, another one copies it. */
static void latency_copy(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_4K, SZ_2M), *q = anon_aligned(SZ_4K, SZ_2M);
	int last = set->n - 1, i;
	int64_t ns[SAMPLES];
	size_t k;

	for (i = 0; i < SAMPLES; i++) {
		struct drm_vsvm_cmd fill = vsvm_fill(p, i + 1, SZ_4K);
		struct drm_vsvm_cmd copy = vsvm_copy(q, p, SZ_4K);

		memset(p, 0, SZ_4K);
		memset(q, 0, SZ_4K);
		before_use(set, 0, p, SZ_4K);
		before_use(set, last, q, SZ_4K);
		ns[i] = -vsvm_now();
		vsvm_run(set, 0, &fill, 1);
		vsvm_run(set, last, &copy, 1);
		ns[i] += vsvm_now();
		for (k = 0; k < SZ_4K; k++)
			igt_assert_eq(q[k], i + 1);
	}
	tell("GPU to GPU, a page copied", ns);
	munmap(p, SZ_4K);
	munmap(q, SZ_4K);
}

static const struct test tests[] = {
	{ "xgpu-access", "one writes, another reads", xgpu_access, PREFETCH + 1 },
	{ "atomic-op", "all count", atomic_op, MODES },
	{ "coherency", "one writes, all others see it", coherency, MODES },
	{ "coherency-fail", "who is not atomic loses updates", coherency_fail,
	  MODES },
	{ "latency", "time of a message", latency, PREFETCH + 1 },
	{ "latency-copy", "time of a copy", latency_copy, PREFETCH + 1 },
	{ "pagefault", "who faults, and who need not", pagefault, MODES },
	{ "concurrent-access", "all write to the same pages", concurrent_access,
	  PREFETCH + 1 },
	{ "migration", "memory goes round", migration, PREFETCH + 1 },
};

static void run(struct vsvm_set *set)
{
	igt_require_f(set->n > 1, "two GPUs are needed\n");
	now->fn(set);
	vram_expect_empty(set);
}

igt_main
{
	static char name[64];
	/* A subtest that fails jumps back into what is called here. */
	volatile unsigned int i;
	volatile int m;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		for (m = 0; m < tests[i].modes; m++) {
			now = &tests[i];
			mode = m;
			snprintf(name, sizeof(name), "mgpu-%s-%s",
				 tests[i].name, mode_names[m]);
			each_made_run(name, tests[i].text, MSVM_ONLY, attrs, run);
		}

	igt_fixture {
		policy_restore();
		gpus_remove();
	}
}
