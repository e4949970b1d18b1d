// SPDX-License-Identifier: MIT
/*
 * mremap() of memory that all GPUs have mapped: the pages are at the new address
 * for all, and at the old one for nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define HUGE_PAGES "/proc/sys/vm/nr_hugepages"

/* The old mapping stays, empty. */
static void test_dontunmap(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 1);
	char *q = mremap(p, SZ_64K, SZ_64K, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
			 NULL);

	igt_assert(q != MAP_FAILED && q != p);
	mm_all_zero(set, p, SZ_64K);
	mm_all_agree(set, q, SZ_64K, 1);
	/* Two mappings that have nothing in common. */
	pattern_fill(p, SZ_64K, 2);
	mm_all_agree(set, p, SZ_64K, 2);
	mm_all_check(set, q, SZ_64K, 1);
	munmap(p, SZ_64K);
	munmap(q, SZ_64K);
}

static void test_shrink(struct vsvm_set *set)
{
	char *p = mm_mapped(set, 4 * SZ_64K, 3);

	igt_assert(mremap(p, 4 * SZ_64K, SZ_64K + SZ_4K, 0) == p);
	mm_all_fault(set, p + SZ_64K + SZ_4K, -EFAULT);
	mm_all_fault(set, p + 3 * SZ_64K, -EFAULT);
	mm_all_check(set, p, SZ_64K + SZ_4K, 3);
	pattern_fill(p, SZ_64K, 4);
	mm_all_agree(set, p, SZ_64K, 4);
	munmap(p, SZ_64K + SZ_4K);
}

/* In place, in the 2 MiB where the GPUs had found the end of it before. */
static void test_grow_in_place(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 5);

	mm_all_fault(set, p + SZ_64K, -EFAULT);
	igt_assert(mremap(p, SZ_64K, 3 * SZ_64K, 0) == p);
	mm_all_check(set, p, SZ_64K, 5);
	mm_all_zero(set, p + SZ_64K, 2 * SZ_64K);
	pattern_fill(p + SZ_64K, SZ_64K, 6);
	mm_all_agree(set, p + SZ_64K, SZ_64K, 6);
	munmap(p, 3 * SZ_64K);
}

/* The middle moves, both ends stay. */
static void test_move_part(struct vsvm_set *set)
{
	char *p = mm_mapped(set, 3 * SZ_64K, 7), *to = anon_aligned(SZ_64K, SZ_2M);
	char *copy = malloc(3 * SZ_64K);
	int i;

	igt_assert(copy);
	memcpy(copy, p, 3 * SZ_64K);
	igt_assert(mremap(p + SZ_64K, SZ_64K, SZ_64K,
			  MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	mm_all_fault(set, p + SZ_64K, -EFAULT);
	mm_all_fault(set, p + 2 * SZ_64K - SZ_4K, -EFAULT);
	igt_assert(!memcmp(to, copy + SZ_64K, SZ_64K));
	mm_all_check(set, p, SZ_64K, 7);
	for (i = 0; i < set->n; i++) {
		char *out = anon(SZ_64K);
		struct drm_vsvm_cmd cmds[] = {
			vsvm_copy(out, to, SZ_64K),
		};

		vsvm_run(set, i, cmds, 1);
		igt_assert(!memcmp(out, copy + SZ_64K, SZ_64K));
		cmds[0] = vsvm_copy(out, p + 2 * SZ_64K, SZ_64K);
		vsvm_run(set, i, cmds, 1);
		igt_assert(!memcmp(out, copy + 2 * SZ_64K, SZ_64K));
		munmap(out, SZ_64K);
	}
	pattern_fill(to, SZ_64K, 8);
	mm_all_agree(set, to, SZ_64K, 8);
	free(copy);
	munmap(p, 3 * SZ_64K);
	munmap(to, SZ_64K);
}

/* A page table of 2 MiB moves at once when both addresses are aligned. */
static void test_move_table(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M), *to = anon_aligned(SZ_2M, SZ_2M);

	igt_assert(!madvise(p, SZ_2M, MADV_NOHUGEPAGE));
	pattern_fill(p, SZ_2M, 9);
	mm_all_check(set, p, SZ_64K, 9);
	igt_assert(mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		   to);
	mm_all_fault(set, p, -EFAULT);
	mm_all_fault(set, p + SZ_2M - SZ_4K, -EFAULT);
	vsvm_gpu_check(set, set->n - 1, to, SZ_2M, 9);
	pattern_fill(to, SZ_64K, 10);
	mm_all_agree(set, to, SZ_64K, 10);
	munmap(to, SZ_2M);
}

static void test_move_huge(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M), *to = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(!madvise(p, SZ_2M, MADV_HUGEPAGE), "no huge pages\n");
	pattern_fill(p, SZ_2M, 11);
	mm_all_check(set, p, SZ_64K, 11);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	igt_assert(mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		   to);
	igt_assert_eq(mm_smaps(to, "AnonHugePages"), 2048);
	mm_all_fault(set, p, -EFAULT);
	vsvm_gpu_check(set, 0, to, SZ_2M, 11);
	pattern_fill(to, SZ_64K, 12);
	mm_all_agree(set, to, SZ_64K, 12);
	munmap(to, SZ_2M);
}

/* Other memory takes the place of some that moved away, and of some that was. */
static void test_move_over(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 13), *to = mm_mapped(set, SZ_64K, 14);
	char *third = mm_mapped(set, SZ_64K, 15);

	igt_assert(mremap(p, SZ_64K, SZ_64K, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		   to);
	mm_all_check(set, to, SZ_64K, 13);
	igt_assert(mremap(third, SZ_64K, SZ_64K, MREMAP_MAYMOVE | MREMAP_FIXED,
			  p) == p);
	mm_all_check(set, p, SZ_64K, 15);
	mm_all_fault(set, third, -EFAULT);
	mm_all_agree(set, to, SZ_64K, 13);
	mm_all_agree(set, p, SZ_64K, 15);
	munmap(p, SZ_64K);
	munmap(to, SZ_64K);
}

static void test_hugetlb(struct vsvm_set *set)
{
	char *p, *to = anon_aligned(SZ_2M, SZ_2M);

	igt_assert(file_write(HUGE_PAGES, "2"));
	p = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	igt_require_f(p != MAP_FAILED, "no hugetlb pages\n");
	pattern_fill(p, SZ_2M, 16);
	mm_all_agree(set, p, SZ_64K, 16);
	igt_assert(mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		   to);
	mm_all_fault(set, p, -EFAULT);
	mm_all_fault(set, p + SZ_2M - SZ_4K, -EFAULT);
	pattern_check(to, SZ_2M, 16);
	mm_all_agree(set, to, SZ_64K, 16);
	munmap(to, SZ_2M);
	mm_all_fault(set, to, -EFAULT);
}

/* Two names of the same pages of a file: one goes, one stays. */
static void test_shared_duplicate(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC), i;
	char *p, *q;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	p = mm_shared(set, fd, SZ_64K, 17);
	/* A size of 0 makes a second mapping of shared memory. */
	q = mremap(p, 0, SZ_64K, MREMAP_MAYMOVE);
	igt_assert(q != MAP_FAILED && q != p);
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_write(set, i, q, SZ_64K, 20 + i);
		mm_all_check(set, p, SZ_64K, 20 + i);
	}
	munmap(p, SZ_64K);
	mm_all_fault(set, p, -EFAULT);
	pattern_fill(q, SZ_64K, 18);
	mm_all_agree(set, q, SZ_64K, 18);
	munmap(q, SZ_64K);
	close(fd);
}

igt_main
{
	static char huge_pages[32];

	igt_fixture {
		igt_assert(file_read(HUGE_PAGES, huge_pages,
				     sizeof(huge_pages)));
	}

	each("dontunmap", "the pages move, the mapping stays", MSVM_AND_1TO1,
	     test_dontunmap);
	each("shrink", "the end of a mapping goes", MSVM_ONLY, test_shrink);
	each("grow-in-place", "memory after the end of a mapping",
	     MSVM_AND_1TO1, test_grow_in_place);
	each("move-part", "the middle of a mapping moves", MSVM_AND_1TO1,
	     test_move_part);
	each("move-table", "a whole page table moves", MSVM_ONLY,
	     test_move_table);
	each("move-huge", "a huge page moves", MSVM_ONLY, test_move_huge);
	each("move-over", "memory takes the place of other memory", MSVM_ONLY,
	     test_move_over);
	each("hugetlb", "a hugetlb page moves", MSVM_ONLY, test_hugetlb);
	each("shared-duplicate", "a second mapping of the same pages",
	     MSVM_ONLY, test_shared_duplicate);

	igt_fixture {
		file_write(HUGE_PAGES, huge_pages);
	}
}
