// SPDX-License-Identifier: MIT
/*
 * Every madvise() that changes what is behind an address, on memory that all
 * GPUs have mapped: what GPUs wrote is never lost, what the process gave up is
 * gone for all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define CGROUP_NAME "msvm-madvise"

/* Writing by each GPU to a part of its own. */
static void all_write_parts(struct vsvm_set *set, char *p, size_t len,
			    uint64_t seed)
{
	size_t part = len / set->n;
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p + i * part, part, seed + i);
}

static void check_parts(struct vsvm_set *set, char *p, size_t len,
			uint64_t seed)
{
	size_t part = len / set->n;
	int i, k;

	for (i = 0; i < set->n; i++)
		pattern_check(p + i * part, part, seed + i);
	for (i = 0; i < set->n; i++)
		for (k = 0; k < set->n; k++)
			vsvm_gpu_check(set, i, p + k * part, part, seed + k);
}

/* Only freed, and not written any more: proves that reclaim took place. */
static void check_reclaimed(struct vsvm_set *set, char *control, size_t len)
{
	igt_assert_eq_u64(mm_present(control, len), 0);
	mm_all_zero(set, control, len);
}

/*
 * MADV_FREE passes over pages that a CPU still has on its way to the lists of
 * reclaim, and puts the others on such a way itself: both are waited for, and
 * then the memory is really free for the taking.
 */
static void madv_free(char *p, size_t len)
{
	mm_drain();
	igt_assert(!madvise(p, len, MADV_FREE));
	mm_drain();
	igt_assert_eq(mm_smaps(p, "LazyFree"), len / 1024);
}

/*
 * A GPU leaves no trace in the CPU's page-table entry, which MADV_FREE made
 * clean: reclaim must not take the page for one that nobody needs.
 */
static void free_write_reclaim(struct vsvm_set *set, char *p, char *control,
			       size_t len)
{
	madv_free(p, len);
	madv_free(control, len);
	all_write_parts(set, p, len, 100);
	igt_assert(mm_pageout(control, len));
	igt_assert(!madvise(p, len, MADV_PAGEOUT));
	check_reclaimed(set, control, len);
	check_parts(set, p, len, 100);
	mm_all_zero(set, control, len);
	munmap(p, len);
	munmap(control, len);
}

static void test_free_cpu_first(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	char *control = anon_aligned(SZ_64K, SZ_2M);

	pattern_fill(p, SZ_64K, 1);
	pattern_fill(control, SZ_64K, 2);
	mm_all_check(set, p, SZ_64K, 1);
	mm_all_check(set, control, SZ_64K, 2);
	free_write_reclaim(set, p, control, SZ_64K);
}

static void test_free_gpu_first(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 1);
	char *control = mm_mapped(set, SZ_64K, 2);

	free_write_reclaim(set, p, control, SZ_64K);
}

static char *huge(size_t len)
{
	char *p = anon_aligned(len, SZ_2M);

	igt_require_f(!madvise(p, len, MADV_HUGEPAGE), "no huge pages\n");
	return p;
}

static void test_free_huge(struct vsvm_set *set)
{
	char *p = huge(SZ_2M), *control = huge(SZ_2M);

	pattern_fill(p, SZ_2M, 1);
	pattern_fill(control, SZ_2M, 2);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	mm_all_check(set, p, SZ_2M, 1);
	mm_all_check(set, control, SZ_64K, 2);
	free_write_reclaim(set, p, control, SZ_2M);
}

/* A GPU reads, which may map the memory for writing, and writes much later. */
static void test_free_read_write(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 1);
	char *control = mm_mapped(set, SZ_64K, 2);
	int round;

	for (round = 0; round < 3; round++) {
		madv_free(p, SZ_64K);
		madv_free(control, SZ_64K);
		mm_all_check(set, p, SZ_64K, 1);
		all_write_parts(set, p, SZ_64K, 200 + round);
		igt_assert(mm_pageout(control, SZ_64K));
		igt_assert(!madvise(p, SZ_64K, MADV_PAGEOUT));
		check_parts(set, p, SZ_64K, 200 + round);
		check_reclaimed(set, control, SZ_64K);
		pattern_fill(p, SZ_64K, 1);
		pattern_fill(control, SZ_64K, 2);
		mm_all_check(set, control, SZ_64K, 2);
	}
	munmap(p, SZ_64K);
	munmap(control, SZ_64K);
}

/* The same by the kernel's own reclaim, in a process with a cgroup. */
static void test_free_cgroup(struct vsvm_set *set)
{
	static struct vsvm_set own;

	igt_require_f(memcg_make(CGROUP_NAME), "no memory cgroups\n");
	igt_fork(child, 1) {
		char *p, *control;
		int64_t deadline;

		igt_assert(memcg_enter(CGROUP_NAME));
		vsvm_set_open(&own, set->n, set->layout);
		p = mm_mapped(&own, SZ_64K, 1);
		control = mm_mapped(&own, SZ_64K, 2);
		madv_free(p, SZ_64K);
		madv_free(control, SZ_64K);
		all_write_parts(&own, p, SZ_64K, 300);
		deadline = vsvm_deadline(20);
		/* EAGAIN when less than asked for could be had. */
		while (mm_present(control, SZ_64K)) {
			memcg_set(CGROUP_NAME, "memory.reclaim", "1M");
			igt_assert(vsvm_now() < deadline);
		}
		check_parts(&own, p, SZ_64K, 300);
		check_reclaimed(&own, control, SZ_64K);
		vsvm_set_close(&own);
	}
	igt_waitchildren();
	memcg_remove(CGROUP_NAME);
}

static void back_by_cpu(struct vsvm_set *set, char *p, size_t len)
{
	(void)set;
	pattern_check(p, len, 400);
}

static void back_by_request(struct vsvm_set *set, char *p, size_t len)
{
	vram_migrate(set, p, len, TO_SYSTEM);
}

static void back_by_other_gpu(struct vsvm_set *set, char *p, size_t len)
{
	vram_migrate(set, p, len, set->n - 1);
	vram_migrate(set, p, len, TO_SYSTEM);
}

/*
 * Memory that is free for the taking moves to a GPU, which writes it there, and
 * comes back: what says that it can be taken must not come with it.
 */
static void test_free_moved(struct vsvm_set *set)
{
	static void (*const ways[])(struct vsvm_set *set, char *p, size_t len) = {
		back_by_cpu, back_by_request, back_by_other_gpu,
	};
	size_t len = SZ_2M;
	unsigned int i;

	for (i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
		char *p = anon_aligned(len, SZ_2M);
		char *control = anon_aligned(len, SZ_2M);
		int advice = i % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

		igt_assert(!madvise(p, len, advice));
		igt_assert(!madvise(control, len, advice));
		pattern_fill(p, len, 1);
		pattern_fill(control, len, 2);
		madv_free(p, len);
		madv_free(control, len);
		vram_migrate(set, p, len, 0);
		vsvm_gpu_write(set, 0, p, len, 400);
		vram_expect(set, p, len, where_gpu(set, 0));
		ways[i / 2](set, p, len);
		igt_assert_eq(mm_present(p, len), len / SZ_4K);
		igt_assert(mm_pageout(control, len));
		igt_assert(!madvise(p, len, MADV_PAGEOUT));
		pattern_check(p, len, 400);
		vsvm_gpu_check(set, 0, p, len, 400);
		munmap(p, len);
		munmap(control, len);
	}
}

/* A hole in a file: the same for all who map it. */
static void test_remove(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);
	char *p;

	igt_assert(fd >= 0 && !ftruncate(fd, 3 * SZ_64K));
	p = mm_shared(set, fd, 3 * SZ_64K, 5);
	igt_assert(!madvise(p + SZ_64K, SZ_64K, MADV_REMOVE));
	mm_all_zero(set, p + SZ_64K, SZ_64K);
	mm_all_check(set, p, SZ_64K, 5);
	pattern_fill(p + SZ_64K, SZ_64K, 6);
	mm_all_agree(set, p + SZ_64K, SZ_64K, 6);
	munmap(p, 3 * SZ_64K);
	close(fd);
}

/* It may be busy for a moment, with pages on their way to a list. */
static void collapse(char *p, size_t len)
{
	int64_t deadline = vsvm_deadline(10);

	while (madvise(p, len, MADV_COLLAPSE)) {
		igt_require_f(errno != EINVAL, "no MADV_COLLAPSE\n");
		igt_assert_f(errno == EAGAIN && vsvm_now() < deadline,
			     "MADV_COLLAPSE: %s\n", strerror(errno));
	}
}

static void test_collapse(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_assert(!madvise(p, SZ_2M, MADV_NOHUGEPAGE));
	pattern_fill(p, SZ_2M, 7);
	mm_all_check(set, p, SZ_64K, 7);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 0);
	igt_assert(!madvise(p, SZ_2M, MADV_HUGEPAGE));
	collapse(p, SZ_2M);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	vsvm_gpu_check(set, set->n - 1, p, SZ_2M, 7);
	pattern_fill(p + SZ_2M - SZ_64K, SZ_64K, 8);
	mm_all_agree(set, p + SZ_2M - SZ_64K, SZ_64K, 8);
	munmap(p, SZ_2M);
}

static void test_collapse_shmem(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);
	char *p;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_2M));
	p = mm_shared(set, fd, SZ_64K, 9);
	p = mremap(p, SZ_64K, SZ_2M, 0);
	igt_assert(p != MAP_FAILED);
	pattern_fill(p, SZ_2M, 10);
	mm_all_check(set, p, SZ_64K, 10);
	collapse(p, SZ_2M);
	igt_assert_eq(mm_smaps(p, "ShmemPmdMapped"), 2048);
	vsvm_gpu_check(set, 0, p, SZ_2M, 10);
	mm_all_check(set, p, SZ_64K, 10);
	pattern_fill(p + SZ_64K, SZ_64K, 11);
	mm_all_agree(set, p + SZ_64K, SZ_64K, 11);
	munmap(p, SZ_2M);
	close(fd);
}

/* A huge page that all have; then 4 KiB in its middle change. */
static char *huge_mapped(struct vsvm_set *set, uint64_t seed)
{
	char *p = huge(SZ_2M);

	memset(p, 1, SZ_2M);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	pattern_fill(p + SZ_2M / 2 - SZ_64K, SZ_64K, seed);
	pattern_fill(p + SZ_2M / 2, SZ_64K, seed);
	mm_all_agree(set, p + SZ_2M / 2, SZ_64K, seed);
	return p;
}

static void huge_check(struct vsvm_set *set, char *p, uint64_t seed)
{
	char *after = p + SZ_2M / 2 + SZ_4K;

	mm_all_check(set, p + SZ_2M / 2 - SZ_64K, SZ_64K, seed);
	pattern_fill(after, SZ_64K, seed + 1);
	mm_all_agree(set, after, SZ_64K, seed + 1);
	munmap(p, SZ_2M);
}

static void test_split_munmap(struct vsvm_set *set)
{
	char *p = huge_mapped(set, 12);

	igt_assert(!munmap(p + SZ_2M / 2, SZ_4K));
	mm_all_fault(set, p + SZ_2M / 2, -EFAULT);
	huge_check(set, p, 12);
}

static void test_split_mprotect(struct vsvm_set *set)
{
	char *p = huge_mapped(set, 13);
	int i;

	igt_assert(!mprotect(p + SZ_2M / 2, SZ_4K, PROT_READ));
	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_store(p + SZ_2M / 2, 8, 0),
				  -EACCES, p + SZ_2M / 2,
				  DRM_VSVM_ACCESS_WRITE);
	mm_all_check(set, p + SZ_2M / 2, SZ_4K, 13);
	huge_check(set, p, 13);
}

static void test_split_dontneed(struct vsvm_set *set)
{
	char *p = huge_mapped(set, 14);

	igt_assert(!madvise(p + SZ_2M / 2, SZ_4K, MADV_DONTNEED));
	mm_all_zero(set, p + SZ_2M / 2, SZ_4K);
	huge_check(set, p, 14);
}

/* From the shared zero page, which all have, to pages of its own. */
static void test_populate(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);

	mm_all_zero(set, p, SZ_64K);
	igt_assert(!madvise(p, SZ_64K, MADV_POPULATE_READ));
	mm_all_zero(set, p, SZ_64K);
	igt_assert(!madvise(p, SZ_64K, MADV_POPULATE_WRITE));
	igt_assert_eq_u64(mm_present(p, SZ_64K), SZ_64K / SZ_4K);
	mm_all_zero(set, p, SZ_64K);
	pattern_fill(p, SZ_64K, 15);
	mm_all_agree(set, p, SZ_64K, 15);
	munmap(p, SZ_64K);
}

static void test_wipeonfork(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 16);
	int status;
	pid_t pid;

	igt_assert(!madvise(p, SZ_64K, MADV_WIPEONFORK));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		size_t i;

		for (i = 0; i < SZ_64K; i++)
			if (p[i])
				_exit(1);
		memset(p, 0xee, SZ_64K);
		_exit(0);
	}
	mm_all_agree(set, p, SZ_64K, 16);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	mm_all_agree(set, p, SZ_64K, 16);
	munmap(p, SZ_64K);
}

static void test_dontfork(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 17);
	int status;
	pid_t pid;

	igt_assert(!madvise(p, SZ_64K, MADV_DONTFORK));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		unsigned char vec[SZ_64K / SZ_4K];

		_exit(!(mincore(p, SZ_64K, vec) && errno == ENOMEM));
	}
	mm_all_agree(set, p, SZ_64K, 17);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	mm_all_agree(set, p, SZ_64K, 17);
	munmap(p, SZ_64K);
}

static void test_cold(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 18);

	igt_assert(!madvise(p, SZ_64K, MADV_COLD));
	mm_all_agree(set, p, SZ_64K, 18);
	/* Without swap there is nowhere to go. */
	igt_assert(!madvise(p, SZ_64K, MADV_PAGEOUT));
	mm_all_agree(set, p, SZ_64K, 18);
	munmap(p, SZ_64K);
}

igt_main
{
	/* With swap, memory would leave that is meant to stay. */
	igt_fixture {
		swap_stop();
	}

	each("free-cpu-first", "MADV_FREE, GPU write, reclaim: the data stays",
	     MSVM_AND_1TO1, test_free_cpu_first);
	each("free-gpu-first", "the same with memory only GPUs ever wrote",
	     MSVM_AND_1TO1, test_free_gpu_first);
	each("free-huge", "the same with a huge page", MSVM_ONLY,
	     test_free_huge);
	each("free-read-write", "the same with a GPU that had read before",
	     MSVM_ONLY, test_free_read_write);
	each("free-cgroup", "the same with reclaim of a memory cgroup",
	     MSVM_ONLY, test_free_cgroup);
	each_made("free-moved", "the same with memory that moved to a GPU and back",
		  MSVM_ONLY, ATTR("vram_mib=8"), test_free_moved);
	each("remove", "MADV_REMOVE makes a hole in a file", MSVM_ONLY,
	     test_remove);
	each("collapse", "small pages become a huge one", MSVM_ONLY,
	     test_collapse);
	each("collapse-shmem", "pages of a file become a huge one", MSVM_ONLY,
	     test_collapse_shmem);
	each("split-munmap", "a hole in a huge page", MSVM_ONLY,
	     test_split_munmap);
	each("split-mprotect", "a read-only page in a huge page", MSVM_ONLY,
	     test_split_mprotect);
	each("split-dontneed", "an empty page in a huge page", MSVM_ONLY,
	     test_split_dontneed);
	each("populate", "MADV_POPULATE_READ and _WRITE", MSVM_ONLY,
	     test_populate);
	each("wipeonfork", "a child's memory is empty, the parent's stays",
	     MSVM_ONLY, test_wipeonfork);
	each("dontfork", "memory that a child does not get", MSVM_ONLY,
	     test_dontfork);
	each("cold", "MADV_COLD and MADV_PAGEOUT change no data", MSVM_ONLY,
	     test_cold);
}
