// SPDX-License-Identifier: MIT
/*
 * The order of an invalidation and its reach, seen from the GPUs: shoot-downs are
 * started on all before any is awaited, who maps nothing is left alone, and who
 * waits in one part of the address space holds up no other. Shoot-downs are held
 * by the tests, so nothing here depends on time.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"

/* As drm_msvm's shards. */
#define WINDOW (512UL << 20)

struct taker {
	pthread_t thread;
	char *p;
	size_t len;
	int ret;
};

/* Takes the process's mmap_lock for reading at most, so faults can go on. */
static void *take(void *data)
{
	struct taker *t = data;

	t->ret = madvise(t->p, t->len, MADV_DONTNEED);
	return NULL;
}

static void taker_start(struct taker *t, char *p, size_t len)
{
	t->p = p;
	t->len = len;
	igt_assert(!pthread_create(&t->thread, NULL, take, t));
}

static void taker_join(struct taker *t)
{
	igt_assert(!pthread_join(t->thread, NULL));
	igt_assert_eq(t->ret, 0);
}

static void map_all(struct vsvm_set *set, char *p)
{
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 7);
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_run(set, i, &cmd, 1);
}

/*
 * Map on all, then take the page away, and hold the shoot-down of one GPU: on
 * return it is held. The kernel may have taken the page away by itself before, in
 * which case nobody has to be asked, and it is done once more.
 */
static void hold(struct vsvm_set *set, int slow, struct taker *t, char *p,
		 uint64_t *zaps)
{
	int64_t deadline = vsvm_deadline(15);
	int i;

	for (;;) {
		bool done = false;

		map_all(set, p);
		for (i = 0; zaps && i < set->n; i++)
			zaps[i] = gpu_counter(set->fd[i], "zaps");
		gpu_debugfs_write(set->fd[slow], "hold_flush", 1);
		taker_start(t, p, SZ_4K);
		while (!done && !gpu_counter(set->fd[slow], "held")) {
			igt_assert_f(vsvm_now() < deadline,
				     "no shoot-down is held\n");
			done = !pthread_tryjoin_np(t->thread, NULL);
		}
		if (!done)
			return;
		gpu_debugfs_write(set->fd[slow], "hold_flush", 0);
	}
}

/* While any one of them does not answer, all others have been asked. */
static void test_all_before_wait(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t zaps[VSVM_MAX_SET];
	struct taker t;
	int slow, i;

	for (slow = 0; slow < set->n; slow++) {
		hold(set, slow, &t, p, zaps);
		for (i = 0; i < set->n; i++)
			igt_assert_f(gpu_counter(set->fd[i], "zaps") > zaps[i],
				     "GPU %d was not asked while %d waits\n", i,
				     slow);
		gpu_debugfs_write(set->fd[slow], "hold_flush", 0);
		taker_join(&t);
		for (i = 0; i < set->n; i++)
			igt_assert_eq_u64(vsvm_gpu_load(set, i, p), 0);
	}
	munmap(p, SZ_2M);
}

/* GPUs that map nothing of it are not asked, and flush nothing. */
static void test_unmapped_costs_nothing(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M), *warm = anon_aligned(SZ_2M, SZ_2M);
	uint64_t zaps[VSVM_MAX_SET], flushes[VSVM_MAX_SET];
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);
	int user, i;

	/* Nobody but us takes pages away. */
	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	madvise(warm, SZ_2M, MADV_NOHUGEPAGE);
	map_all(set, warm);
	for (user = 0; user < set->n; user++) {
		vsvm_run(set, user, &cmd, 1);
		for (i = 0; i < set->n; i++) {
			zaps[i] = gpu_counter(set->fd[i], "zaps");
			flushes[i] = gpu_counter(set->fd[i], "flushes");
		}
		igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
		for (i = 0; i < set->n; i++) {
			igt_assert_eq_u64(gpu_counter(set->fd[i], "zaps") -
					  zaps[i], i == user);
			igt_assert_eq_u64(gpu_counter(set->fd[i], "flushes") -
					  flushes[i], i == user);
		}
	}
	munmap(p, SZ_2M);
	munmap(warm, SZ_2M);
}

/*
 * An invalidation of one window is held in its callback; meanwhile faults of
 * another window are served: counted, and the first is still held at the end.
 */
static void test_windows_apart(struct vsvm_set *set)
{
	/* Three windows at least one of which lies within the area. */
	char *area = mmap(NULL, 3 * WINDOW, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *a = (char *)((to_u64(area) + WINDOW - 1) & ~(WINDOW - 1));
	char *b = a + WINDOW;
	struct drm_vsvm_vm_stats before, after;
	/* Behind it: its range must not be that of a fault under test. */
	char *warm = b + WINDOW / 2;
	/* All of them while the shoot-down is held, which has a limit. */
	const int faults = vsvm_scale(50, 8);
	struct taker t;
	int i, k;

	igt_assert(area != MAP_FAILED);
	madvise(area, 3 * WINDOW, MADV_NOHUGEPAGE);
	map_all(set, warm);
	hold(set, 0, &t, a, NULL);
	before = vsvm_stats(set->fd[0], set->vm[0]);

	for (k = 0; k < faults; k++) {
		for (i = 0; i < set->n; i++) {
			struct drm_vsvm_cmd cmd =
				vsvm_store(b + k * SZ_2M, 8, k);

			vsvm_run(set, i, &cmd, 1);
		}
		igt_assert_eq_u64(*(uint64_t *)(b + k * SZ_2M), k);
	}
	after = vsvm_stats(set->fd[0], set->vm[0]);
	/* They were faults indeed, and none of them was waited for. */
	igt_assert_eq_u64(after.faults - before.faults, faults);
	igt_assert_eq_u64(gpu_counter(set->fd[0], "held"), 1);

	gpu_debugfs_write(set->fd[0], "hold_flush", 0);
	taker_join(&t);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, a), 0);
	munmap(area, 3 * WINDOW);
}

struct loop {
	pthread_t thread;
	char *p;
	volatile bool stop;
	int rounds;
};

static void *loop(void *data)
{
	struct loop *l = data;

	while (!l->stop) {
		madvise(l->p, SZ_4K, MADV_DONTNEED);
		l->rounds++;
	}
	return NULL;
}

/* An invalidation in a loop makes no fault of another window start over. */
static void test_loop_apart(struct vsvm_set *set)
{
	char *area = mmap(NULL, 3 * WINDOW, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *a = (char *)((to_u64(area) + WINDOW - 1) & ~(WINDOW - 1));
	struct loop l = { .p = a };
	char *b = a + WINDOW;
	uint64_t retries;
	uint32_t id;
	int i, k;

	igt_assert(area != MAP_FAILED);
	madvise(area, 3 * WINDOW, MADV_NOHUGEPAGE);
	map_all(set, a);
	id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	retries = context_value(id, "stats", "retries");
	igt_assert(!pthread_create(&l.thread, NULL, loop, &l));
	for (k = 0; k < 50; k++) {
		for (i = 0; i < set->n; i++) {
			struct drm_vsvm_cmd cmd =
				vsvm_store(b + k * SZ_2M, 8, k);

			vsvm_run(set, i, &cmd, 1);
		}
	}
	l.stop = true;
	igt_assert(!pthread_join(l.thread, NULL));
	igt_info("%d invalidations\n", l.rounds);
	/* Other things may have taken pages away, but not as often. */
	retries = context_value(id, "stats", "retries") - retries;
	igt_info("%llu retries\n", (unsigned long long)retries);
	igt_assert(retries <= 2);
	munmap(area, 3 * WINDOW);
}

/* Who leaves is asked for each range it maps, and waited for once. */
static void test_leave_waits_once(struct vsvm_set *set)
{
	const unsigned int ranges = 24;
	char *p = anon_aligned(ranges * SZ_2M, SZ_2M);
	uint64_t zaps, flushes;
	unsigned int k;
	int i;

	madvise(p, ranges * SZ_2M, MADV_NOHUGEPAGE);
	for (k = 0; k < ranges; k++)
		map_all(set, p + k * SZ_2M);
	for (i = 0; i < set->n; i++) {
		zaps = gpu_counter(set->fd[i], "zaps");
		flushes = gpu_counter(set->fd[i], "flushes");
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]), 0);
		igt_assert_eq_u64(gpu_counter(set->fd[i], "zaps") - zaps, ranges);
		/*
		 * Once a window, the area may lie in two, and in the end once
		 * by the driver itself.
		 */
		flushes = gpu_counter(set->fd[i], "flushes") - flushes;
		igt_assert_f(flushes <= 3, "%llu flushes\n",
			     (unsigned long long)flushes);
		set->vm[i] = vsvm_vm_create(set->fd[i], set->layout);
	}
	munmap(p, ranges * SZ_2M);
}

/* A GPU that never answers is cut off, and the others go on. */
static void test_no_answer(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int dead = set->n / 2, i;
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, (uint64_t *)p + 8);
	struct drm_vsvm_exec args = {
		.vm_id = set->vm[dead], .num_cmds = 1, .cmds = to_u64(&cmd),
	};

	map_all(set, p);
	gpu_debugfs_write(set->fd[dead], "fail_zap_wait", 1);
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	for (i = 0; i < set->n; i++) {
		if (i != dead)
			igt_assert_eq_u64(vsvm_gpu_load(set, i, p), 0);
	}
	igt_assert_eq(vsvm_ioctl(set->fd[dead], DRM_IOCTL_VSVM_EXEC, &args),
		      -EIO);
	/* A VM of its own is a new start. */
	set->vm[dead] = vsvm_vm_create(set->fd[dead], set->layout);
	igt_assert_eq_u64(vsvm_gpu_load(set, dead, p), 0);
	munmap(p, SZ_2M);
}

static long unanswered(int fd)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%d/fail_zap_wait",
		 gpu_minor(fd));
	return file_number(path);
}

/* It is not asked again, and nobody waits for it again, whatever it had mapped. */
static void test_no_answer_once(struct vsvm_set *set)
{
	const int ranges = 40, tries = 1000;
	char *p = anon_aligned(ranges * SZ_2M, SZ_2M);
	int dead = set->n / 2, i, k;
	uint64_t zaps;

	madvise(p, ranges * SZ_2M, MADV_NOHUGEPAGE);
	for (k = 0; k < ranges; k++)
		map_all(set, p + k * SZ_2M);
	gpu_debugfs_write(set->fd[dead], "fail_zap_wait", tries);
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	igt_assert_eq(unanswered(set->fd[dead]), tries - 1);
	zaps = gpu_counter(set->fd[dead], "zaps");
	for (k = 1; k < ranges / 2; k++)
		igt_assert(!madvise(p + k * SZ_2M, SZ_4K, MADV_DONTNEED));
	for (i = 0; i < set->n; i++) {
		if (i != dead)
			igt_assert_eq_u64(vsvm_gpu_load(set, i, p + SZ_2M), 0);
	}
	/* What is left goes with the VM. */
	igt_assert_eq(vsvm_vm_destroy(set->fd[dead], set->vm[dead]), 0);
	igt_assert_eq_u64(gpu_counter(set->fd[dead], "zaps"), zaps);
	igt_assert_eq(unanswered(set->fd[dead]), tries - 1);
	gpu_debugfs_write(set->fd[dead], "fail_zap_wait", 0);
	set->vm[dead] = vsvm_vm_create(set->fd[dead], set->layout);
	igt_assert_eq_u64(vsvm_gpu_load(set, dead, p + SZ_2M), 0);
	munmap(p, ranges * SZ_2M);
}

/*
 * N shoot-downs of 20 ms each: printed, since time proves nothing; that they
 * run side by side is what all-before-wait proves.
 */
static void test_slow_flushes(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int64_t start;
	int i;

	map_all(set, p);
	start = vsvm_now();
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	igt_info("%d shoot-downs of 20 ms took %.1f ms\n", set->n,
		 (vsvm_now() - start) / 1e6);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p), 0);
	munmap(p, SZ_2M);
}

igt_main
{
	each_made("all-before-wait", "all shoot-downs start before any is awaited",
		  MSVM_ONLY, NO_ATTRS, test_all_before_wait);
	each_made("unmapped-costs-nothing", "who maps nothing is left alone",
		  MSVM_AND_1TO1, NO_ATTRS,
		  test_unmapped_costs_nothing);
	each_made("windows-apart", "a held invalidation and faults elsewhere",
		  MSVM_ONLY, NO_ATTRS, test_windows_apart);
	each_made("loop-apart", "invalidations in a loop and faults elsewhere",
		  MSVM_ONLY, NO_ATTRS, test_loop_apart);
	each_made("leave-waits-once", "leaving costs one wait", MSVM_ONLY,
		  NO_ATTRS, test_leave_waits_once);
	each_made("no-answer", "a GPU that does not answer", MSVM_AND_1TO1,
		  NO_ATTRS, test_no_answer);
	each_made("no-answer-once", "it is waited for once", MSVM_ONLY, NO_ATTRS,
		  test_no_answer_once);
	each_made("slow-flushes", "slow shoot-downs side by side", MSVM_AND_1TO1,
		  ATTR("tlb_flush_us=20000"), test_slow_flushes);
}
