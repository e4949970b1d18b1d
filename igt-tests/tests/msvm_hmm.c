// SPDX-License-Identifier: MIT
/*
 * The cases of the kernel's tools/testing/selftests/mm/hmm-tests.c that no other test
 * here has, through vsvm's own interface and over N GPUs. (The original runs as it
 * is by `make test-hmm`.) The others are:
 *
 * open_close			msvm_basic@create-destroy
 * anon_read, anon_read_multiple  msvm_memory@malloc, untouched
 * anon_read_prot		msvm_errors@prot-none
 * anon_write, anon_write_prot	msvm_memory@read-then-write, read-only
 * anon_write_child		msvm_invalidate@fork-*; in a GPU's memory: below
 * anon_write_child_shared	below
 * anon_write_huge, -_hugetlbfs	msvm_memory@thp, hugetlb
 * anon_teardown		msvm_invalidate@munmap-race
 * file_read, file_write	msvm_memory@file-shared
 * mixedmap			msvm_never (memory of drivers is refused)
 * migrate, migrate_multiple	msvm_migrate@around-*
 * migrate_file_private, migrate_shared  msvm_migrate@not-moved
 * migrate_mixed		msvm_migrate@across
 * migrate_release		msvm_power@reset, limit
 * migrate_anon_huge_fault	msvm_migrate@huge
 * compound, snapshot		below, as far as residency is concerned
 * exclusive*			none: the library has no such access; atomics on
 *				shared memory are msvm_atomics
 * hmm_gup_test			below (and msvm_migrate@pinned)
 * hmm_cow_in_device		msvm_life@fork-copies
 * userfaultfd_read		msvm_userfaultfd@copy
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=16")

/* Parts of 2 MiB that are taken away, or distances that they move. */
static const size_t offsets[] = { 0, SZ_2M / 4, SZ_2M / 2 };

/* 2 MiB in @len, huge or not, with a pattern. */
static char *filled(size_t len, bool huge, uint64_t seed)
{
	char *p = anon_aligned(len, SZ_2M);

	igt_assert(!madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
	pattern_fill(p, SZ_2M, seed);
	return p;
}

/* migrate_fault: the CPU takes half of it back, then it goes again, as it is. */
static void fault_half(struct vsvm_set *set)
{
	size_t len = 2 * SZ_2M;
	char *p = anon(len);
	int gpu;

	pattern_fill(p, len, 1);
	for (gpu = 0; gpu < set->n; gpu += 3) {
		vram_migrate(set, p, len, gpu);
		pattern_check(p, len / 2, 1);
		vram_expect(set, p, len / 2, WHERE_SYSTEM);
		vram_migrate(set, p, len, gpu);
		vsvm_gpu_check(set, gpu, p, len, 1);
	}
	pattern_check(p, len, 1);
	munmap(p, len);
	vram_expect_empty(set);
}

/*
 * migrate_anon_huge_empty, migrate_anon_huge_zero: memory that can only be read, where
 * nothing is, or the huge page of zeroes.
 */
static void huge_nothing(struct vsvm_set *set, bool touch, bool fail)
{
	int last = set->n - 1;
	char *p = mmap(NULL, 2 * SZ_2M, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	char *q = (char *)((to_u64(p) + SZ_2M - 1) & ~(SZ_2M - 1));

	igt_assert(p != MAP_FAILED);
	igt_assert(!madvise(q, SZ_2M, MADV_HUGEPAGE));
	if (touch)
		igt_assert_eq(*(volatile char *)q, 0);
	gpu_debugfs_write(set->fd[last], "fail_alloc", fail);
	vram_migrate(set, q, SZ_2M, last);
	mm_all_zero(set, q, SZ_2M);
	vsvm_expect_fault(set, last, vsvm_store(q, 8, 1), -EACCES, q,
			  DRM_VSVM_ACCESS_WRITE);
	munmap(p, 2 * SZ_2M);
	vram_expect_empty(set);
}

static void huge_empty(struct vsvm_set *set)
{
	huge_nothing(set, false, false);
}

static void huge_zero(struct vsvm_set *set)
{
	huge_nothing(set, true, false);
}

/* migrate_anon_huge_zero_err: there is no piece as large as that. */
static void huge_zero_fail(struct vsvm_set *set)
{
	huge_nothing(set, false, true);
	huge_nothing(set, true, true);
}

/* migrate_anon_huge_err: likewise with a huge page, which is split for it. */
static void huge_fail(struct vsvm_set *set)
{
	char *p = filled(SZ_2M, true, 1);
	uint64_t copies = gpu_counter(set->fd[0], "copies");

	gpu_debugfs_write(set->fd[0], "fail_alloc", 1);
	vram_migrate(set, p, SZ_2M, 0);
	/* Two are what it takes without a failure. */
	igt_assert(gpu_counter(set->fd[0], "copies") > copies + 2);
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	vram_migrate(set, p, SZ_2M, set->n - 1);
	vsvm_gpu_check(set, set->n - 1, p, SZ_2M, 1);
	pattern_check(p, SZ_2M, 1);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/*
 * migrate_anon_huge_free: memory in a GPU is given up. It may stay as it is, page by
 * page, or be zero; and what is written afterwards stays.
 */
static void huge_free(struct vsvm_set *set)
{
	char *p = filled(SZ_2M, true, 1);

	vram_migrate(set, p, SZ_2M, 0);
	igt_assert(!madvise(p, SZ_2M, MADV_FREE));
	vsvm_gpu_write(set, set->n - 1, p, SZ_2M, 2);
	mm_all_check(set, p, SZ_2M, 2);
	pattern_check(p, SZ_2M, 2);
	vram_migrate(set, p, SZ_2M, 0);
	igt_assert(!madvise(p, SZ_2M, MADV_FREE));
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* All see the same from @from to @to as it was before. */
static void rest_check(struct vsvm_set *set, const char *p, const char *was,
		       size_t from, size_t to)
{
	char *copy;
	int gpu;

	if (from == to)
		return;
	copy = anon(SZ_2M);
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_copy(copy, p + from, to - from);

		vsvm_run(set, gpu, &cmd, 1);
		igt_assert(!memcmp(copy, was + from, to - from));
	}
	igt_assert(!memcmp(p + from, was + from, to - from));
	munmap(copy, SZ_2M);
}

/* migrate_partial_unmap_fault: half of it goes, the rest comes back as it was. */
static void partial_unmap(struct vsvm_set *set)
{
	size_t half = SZ_2M / 2;
	int huge, i;
	char *was = anon(SZ_2M);

	pattern_fill(was, SZ_2M, 1);
	for (huge = 0; huge < 2; huge++) {
		for (i = 0; i < 3; i++) {
			char *p = filled(SZ_2M, huge, 1);

			vram_migrate(set, p, SZ_2M, i % set->n);
			igt_assert(!munmap(p + offsets[i], half));
			rest_check(set, p, was, 0, offsets[i]);
			rest_check(set, p, was, offsets[i] + half, SZ_2M);
			munmap(p, SZ_2M);
		}
	}
	munmap(was, SZ_2M);
	vram_expect_empty(set);
}

/* migrate_remap_fault: it moves to other addresses, before or after it went. */
static void remap_one(struct vsvm_set *set, bool before, bool huge, int extra,
		      size_t offset)
{
	char *base = anon_aligned(5 * SZ_2M, SZ_2M), *p = base;
	int last = set->n - 1;

	igt_assert(!madvise(base, 5 * SZ_2M,
			    huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
	pattern_fill(p, SZ_2M, 1);
	if (!before)
		vram_migrate(set, p, SZ_2M, last);
	p = mremap(base, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED | extra,
		   base + 2 * SZ_2M + offset);
	igt_assert(p == base + 2 * SZ_2M + offset);
	if (before)
		vram_migrate(set, p, SZ_2M, last);
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	pattern_check(p, SZ_2M, 1);
	munmap(base, 5 * SZ_2M);
}

static void remap(struct vsvm_set *set)
{
	int i;

	for (i = 0; i < 8; i++)
		remap_one(set, i & 1, i & 2, i & 4 ? MREMAP_DONTUNMAP : 0,
			  offsets[i % 3]);
	vram_expect_empty(set);
}

/* A child with VMs of its own: each of its GPUs writes its part of @p. */
static void child_writes(struct vsvm_set *set, char *p, size_t len)
{
	size_t part = len / set->n;
	pid_t pid = fork();
	int gpu;

	igt_assert(pid >= 0);
	if (pid) {
		igt_assert_eq(wait_child(pid), 0);
		return;
	}
	child_asserts_exit();
	pattern_check(p, part / 2, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p + gpu * part, gpu, part);

		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq(p[gpu * part], gpu);
		igt_assert_eq(p[gpu * part + part - 1], gpu);
	}
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(!vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]));
	_exit(0);
}

/* anon_write_child: what a child's GPUs write to memory in a GPU is the child's. */
static void child_private(struct vsvm_set *set)
{
	int huge;

	for (huge = 0; huge < 2; huge++) {
		char *p = filled(SZ_2M, huge, 1);

		vram_migrate(set, p, SZ_2M, set->n - 1);
		child_writes(set, p, SZ_2M);
		vsvm_gpu_check(set, 0, p, SZ_2M, 1);
		pattern_check(p, SZ_2M, 1);
		munmap(p, SZ_2M);
	}
	vram_expect_empty(set);
}

/* anon_write_child_shared: in shared memory all see it. */
static void child_shared(struct vsvm_set *set)
{
	char *p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t part = SZ_64K / set->n;
	int gpu;

	igt_assert(p != MAP_FAILED);
	pattern_fill(p, SZ_64K, 1);
	mm_all_check(set, p, SZ_64K, 1);
	child_writes(set, p, SZ_64K);
	for (gpu = 0; gpu < set->n; gpu++) {
		igt_assert_eq_u64(vsvm_gpu_load(set, set->n - 1, p + gpu * part),
				  gpu * 0x0101010101010101ULL);
		igt_assert_eq(p[gpu * part + part - 1], gpu);
	}
	munmap(p, SZ_64K);
}

/* hmm_gup_test: whoever takes the pages themselves gets them in system memory. */
static void pin(struct vsvm_set *set)
{
	static char got[4 * SZ_4K];
	char *p = anon_aligned(SZ_64K, SZ_64K);
	struct iovec iov = { p, sizeof(got) };
	int pipes[2];

	pattern_fill(p, SZ_64K, 1);
	vram_migrate(set, p, SZ_64K, set->n - 1);
	igt_assert(!pipe(pipes));
	igt_assert_eq(vmsplice(pipes[1], &iov, 1, 0), (ssize_t)sizeof(got));
	vram_expect(set, p, sizeof(got), WHERE_SYSTEM);
	igt_assert_eq(read(pipes[0], got, sizeof(got)), (ssize_t)sizeof(got));
	igt_assert(!memcmp(got, p, sizeof(got)));
	close(pipes[0]);
	close(pipes[1]);
	mm_all_agree(set, p, SZ_64K, 1);
	munmap(p, SZ_64K);
	vram_expect_empty(set);
}

/* snapshot, double_map: pages of all kinds side by side, each where it should be. */
static void kinds(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = anon_aligned(SZ_64K, SZ_64K), *page[6];
	int i;

	for (i = 0; i < 6; i++)
		page[i] = p + i * SZ_4K;
	/* 0: none, 1: that of zeroes, 2: read-only, 3: system, 4 and 5: GPUs'. */
	igt_assert_eq(*(volatile char *)page[1], 0);
	for (i = 2; i < 6; i++)
		memset(page[i], i, SZ_4K);
	igt_assert(!mprotect(page[2], SZ_4K, PROT_READ));
	vram_migrate(set, page[4], SZ_4K, 0);
	vram_migrate(set, page[5], SZ_4K, last);
	vram_expect(set, page[0], SZ_4K, WHERE_NONE);
	vram_expect(set, page[1], 3 * SZ_4K, WHERE_SYSTEM);
	vram_expect(set, page[4], SZ_4K, where_gpu(set, 0));
	vram_expect(set, page[5], SZ_4K, where_gpu(set, last));
	for (i = 0; i < set->n; i++) {
		igt_assert_eq_u64(vsvm_gpu_load(set, i, page[2]),
				  0x0202020202020202);
		igt_assert_eq_u64(vsvm_gpu_load(set, i, page[1]), 0);
		igt_assert_eq_u64(vsvm_gpu_load(set, i, page[4]),
				  0x0404040404040404);
		igt_assert_eq_u64(vsvm_gpu_load(set, i, page[5]),
				  0x0505050505050505);
	}
	for (i = 3; i < 6; i++)
		igt_assert_eq(*page[i], i);
	munmap(p, SZ_64K);
	vram_expect_empty(set);
}

igt_main
{
	each_made("fault-half", "the CPU takes half of it back", MSVM_ONLY, VRAM,
		  fault_half);
	each_made("huge-empty", "nothing, as large as a huge page", MSVM_ONLY,
		  VRAM, huge_empty);
	each_made("huge-zero", "the huge page of zeroes", MSVM_ONLY, VRAM,
		  huge_zero);
	each_made("huge-zero-fail", "likewise, there is no piece as large",
		  MSVM_ONLY, VRAM, huge_zero_fail);
	each_made("huge-fail", "a huge page goes in pieces", MSVM_ONLY, VRAM,
		  huge_fail);
	each_made("huge-free", "MADV_FREE in a GPU's memory", MSVM_ONLY, VRAM,
		  huge_free);
	each_made("partial-unmap", "half of it is unmapped", MSVM_ONLY, VRAM,
		  partial_unmap);
	each_made("remap", "it moves to other addresses", MSVM_ONLY, VRAM, remap);
	each_made("child-private", "a child's GPUs write a copy", MSVM_ONLY, VRAM,
		  child_private);
	each_made("child-shared", "a child's GPUs write shared memory", MSVM_ONLY,
		  VRAM, child_shared);
	each_made("pin", "pages in a GPU are pinned", MSVM_ONLY, VRAM, pin);
	each_made("kinds", "pages of all kinds side by side", MSVM_ONLY, VRAM,
		  kinds);
}
