// SPDX-License-Identifier: MIT
/*
 * Memory that all GPUs have mapped leaves for swap space and comes back, by a
 * GPU's fault or by the CPU's: not a byte is lost, whoever wrote it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define CGROUP_NAME "msvm-swap"

static void need_swap(void)
{
	igt_require_f(swap_start(), "no swap on zram\n");
}

/* Out of memory, as pagemap and smaps tell, and as no GPU can keep. */
static void swap_out(char *p, size_t len)
{
	igt_assert(mm_pageout(p, len));
	igt_assert_eq_u64(mm_swapped(p, len), len / SZ_4K);
	igt_assert(mm_smaps(p, "Swap") >= (long)(len / 1024));
}

static void test_cpu_written(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);

	need_swap();
	pattern_fill(p, SZ_64K, 1);
	mm_all_check(set, p, SZ_64K, 1);
	swap_out(p, SZ_64K);
	/* The first GPU brings it in, the others find it. */
	mm_all_check(set, p, SZ_64K, 1);
	igt_assert_eq_u64(mm_swapped(p, SZ_64K), 0);
	mm_all_agree(set, p, SZ_64K, 1);
	munmap(p, SZ_64K);
}

static void test_gpu_written(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 2);
	int i;

	need_swap();
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_write(set, i, p, SZ_64K, 10 + i);
		swap_out(p, SZ_64K);
		if (i % 2)
			pattern_check(p, SZ_64K, 10 + i);
		mm_all_check(set, p, SZ_64K, 10 + i);
	}
	munmap(p, SZ_64K);
}

/*
 * Read back, it has a copy in swap space that is thought good as long as nobody
 * writes: a GPU's write must make it stale.
 */
static void test_swap_cache(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 3);
	int i;

	igt_require_f(swap_start_cached(), "no swap on a loop device\n");
	for (i = 0; i < set->n; i++) {
		swap_out(p, SZ_64K);
		mm_all_check(set, p, SZ_64K, 3 + i);
		/* Each CPU counts for itself for a while. */
		igt_assert(file_write("/proc/sys/vm/stat_refresh", "1"));
		igt_assert(file_value("/proc/meminfo", "SwapCached") >= 64);
		vsvm_gpu_write(set, i, p, SZ_64K, 4 + i);
		swap_out(p, SZ_64K);
		pattern_check(p, SZ_64K, 4 + i);
		mm_all_check(set, p, SZ_64K, 4 + i);
	}
	munmap(p, SZ_64K);
}

static void test_huge(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	need_swap();
	igt_require_f(!madvise(p, SZ_2M, MADV_HUGEPAGE), "no huge pages\n");
	pattern_fill(p, SZ_2M, 20);
	mm_all_check(set, p, SZ_64K, 20);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	swap_out(p, SZ_2M);
	vsvm_gpu_check(set, set->n - 1, p, SZ_2M, 20);
	pattern_fill(p + SZ_2M / 2, SZ_64K, 21);
	mm_all_agree(set, p + SZ_2M / 2, SZ_64K, 21);
	munmap(p, SZ_2M);
}

/* Pages of shmem leave the page tables first and the file second. */
static void test_shmem(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);
	int64_t deadline = vsvm_deadline(10);
	unsigned char vec[SZ_64K / SZ_4K];
	size_t in, i;
	char *p;

	need_swap();
	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	p = mm_shared(set, fd, SZ_64K, 22);
	do {
		mm_drain();
		igt_assert(!madvise(p, SZ_64K, MADV_PAGEOUT));
		igt_assert(!mincore(p, SZ_64K, vec));
		for (in = 0, i = 0; i < sizeof(vec); i++)
			in += vec[i] & 1;
		igt_assert(vsvm_now() < deadline);
	} while (in);
	igt_assert_eq_u64(mm_present(p, SZ_64K), 0);
	mm_all_check(set, p, SZ_64K, 22);
	mm_all_agree(set, p, SZ_64K, 22);
	munmap(p, SZ_64K);
	close(fd);
}

/* Parent and child share pages that are out; the GPUs get the parent's own. */
static void test_fork(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 23), c = 0, *copy = malloc(SZ_64K);
	int go[2], status, i;
	pid_t pid;

	need_swap();
	igt_assert(copy && !pipe(go));
	memcpy(copy, p, SZ_64K);
	swap_out(p, SZ_64K);
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid)
		_exit(read(go[0], &c, 1) != 1 || memcmp(p, copy, SZ_64K));
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, SZ_64K, 24 + i);
	igt_assert(write(go[1], &c, 1) == 1);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	mm_all_check(set, p, SZ_64K, 23 + set->n);
	close(go[0]);
	close(go[1]);
	free(copy);
	munmap(p, SZ_64K);
}

/* swapoff() writes to page tables that no fault touched. */
static void test_swapoff(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 25);

	need_swap();
	swap_out(p, SZ_64K);
	/* One page is back, and mapped by all. */
	mm_all_check(set, p, SZ_4K, 25);
	swap_stop();
	igt_assert_eq_u64(mm_swapped(p, SZ_64K), 0);
	mm_all_agree(set, p, SZ_64K, 25);
	munmap(p, SZ_64K);
}

struct pageout {
	char *p;
	int rounds;
	int stop;
};

static void *pageout(void *data)
{
	struct pageout *out = data;

	while (!__atomic_load_n(&out->stop, __ATOMIC_RELAXED)) {
		if (madvise(out->p, SZ_64K, MADV_PAGEOUT))
			return (void *)1;
		__atomic_add_fetch(&out->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Every GPU counts in memory that is taken away all the time. */
static void test_race(struct vsvm_set *set)
{
	static struct pageout out;
	int rounds = vsvm_scale(100, 20), i, k;
	uint64_t *p = (uint64_t *)mm_mapped(set, SZ_64K, 26);
	int64_t deadline = vsvm_deadline(30);
	pthread_t thread;
	void *ret;

	need_swap();
	memset(p, 0, SZ_64K);
	out = (struct pageout){ .p = (char *)p };
	igt_assert(!pthread_create(&thread, NULL, pageout, &out));
	for (k = 0; k < rounds || __atomic_load_n(&out.rounds,
						  __ATOMIC_RELAXED) < rounds;
	     k++) {
		struct drm_vsvm_cmd cmds[] = {
			vsvm_add(p, 8, 1, NULL),
			vsvm_add(p + SZ_4K / 8 * (k % 16), 8, 1, NULL),
		};

		for (i = 0; i < set->n; i++)
			vsvm_run(set, i, cmds, 2);
		igt_assert(vsvm_now() < deadline);
	}
	__atomic_store_n(&out.stop, 1, __ATOMIC_RELAXED);
	igt_assert(!pthread_join(thread, &ret));
	igt_assert(!ret);
	/* k additions to the first word, and k spread over 16 pages. */
	igt_assert_eq_u64(p[0], (uint64_t)(k + (k + 15) / 16) * set->n);
	for (i = 1; i < 16; i++)
		igt_assert_eq_u64(p[SZ_4K / 8 * i],
				  (uint64_t)((k - i + 15) / 16) * set->n);
	munmap(p, SZ_64K);
}

/*
 * More memory than its cgroup may have, all of it through the GPUs: what does
 * not fit is in swap space, and comes back right.
 */
static void test_memcg(struct vsvm_set *set)
{
	static struct vsvm_set own;
	const size_t len = 12 << 20;

	need_swap();
	igt_require_f(memcg_make(CGROUP_NAME), "no memory cgroups\n");
	igt_assert(memcg_set(CGROUP_NAME, "memory.max", "8M"));
	igt_fork(child, 1) {
		char *p;
		int i;

		igt_assert(memcg_enter(CGROUP_NAME));
		vsvm_set_open(&own, set->n, set->layout);
		p = anon_aligned(len, SZ_2M);
		madvise(p, len, MADV_NOHUGEPAGE);
		for (i = 0; i < (int)(len / SZ_2M); i++) {
			struct drm_vsvm_cmd cmd = vsvm_fill(p + i * SZ_2M, 1 + i,
							    SZ_2M);

			vsvm_run(&own, i % own.n, &cmd, 1);
		}
		igt_assert(memcg_get(CGROUP_NAME, "memory.swap.current", NULL) >=
			   (4 << 20));
		for (i = 0; i < (int)(len / SZ_2M); i++) {
			uint64_t *sum = anon(SZ_4K);
			struct drm_vsvm_cmd cmd = vsvm_sum(sum, p + i * SZ_2M,
							   SZ_2M);

			vsvm_run(&own, (i + 1) % own.n, &cmd, 1);
			igt_assert_eq_u64(*sum, (1 + i) * SZ_2M);
			igt_assert_eq(p[i * SZ_2M + 5000], 1 + i);
			munmap(sum, SZ_4K);
		}
		igt_assert_eq(memcg_get(CGROUP_NAME, "memory.events",
					"oom_kill"), 0);
		vsvm_set_close(&own);
	}
	igt_waitchildren();
	memcg_remove(CGROUP_NAME);
}

igt_main
{
	each("cpu-written", "out, and in by GPUs", MSVM_AND_1TO1,
	     test_cpu_written);
	each("gpu-written", "what a GPU wrote survives", MSVM_AND_1TO1,
	     test_gpu_written);
	each("swap-cache", "a GPU's write after swap-in survives", MSVM_AND_1TO1,
	     test_swap_cache);
	each("huge", "a huge page", MSVM_ONLY, test_huge);
	each("shmem", "pages of a file in memory", MSVM_ONLY, test_shmem);
	each("fork", "pages shared with a child", MSVM_ONLY, test_fork);
	each("swapoff", "everything comes back in", MSVM_ONLY, test_swapoff);
	each("race", "jobs against reclaim", MSVM_AND_1TO1, test_race);
	each("memcg", "more than a memory cgroup holds", MSVM_ONLY, test_memcg);

	igt_fixture {
		swap_stop();
	}
}
