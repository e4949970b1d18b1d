// SPDX-License-Identifier: MIT
/*
 * Device memory: pages go to the GPU that uses them and come back, data and all,
 * in each size, and each kind of memory is where it can be.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define LEN	SZ_2M
#define VRAM	ATTR("vram_mib=16")
#define PEERS	VRAM ATTR("peer_group=1")

/* The first GPU that touches memory gets it, and the CPU gets it back. */
static void first_touch(struct vsvm_set *set)
{
	int gpu, last = set->n - 1;
	char *p = anon_aligned(LEN, SZ_2M);

	pattern_fill(p, LEN, 1);
	vsvm_gpu_check(set, last, p, LEN, 1);
	vram_expect(set, p, LEN, where_gpu(set, last));
	vsvm_gpu_write(set, last, p, LEN, 2);
	vram_expect(set, p, LEN, where_gpu(set, last));
	pattern_check(p, LEN, 2);
	vram_expect(set, p, LEN, WHERE_SYSTEM);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_gpu_check(set, gpu, p, LEN, 2);
	munmap(p, LEN);
	vram_expect_empty(set);
}

/* Memory that nobody has touched comes into being there, as zeroes. */
static void from_nothing(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t sum = 0;
	struct drm_vsvm_cmd cmd = vsvm_sum(&sum, p, LEN);

	vsvm_run(set, 0, &cmd, 1);
	igt_assert_eq_u64(sum, 0);
	vram_expect(set, p, LEN, where_gpu(set, 0));
	vsvm_gpu_write(set, 0, p, LEN, 3);
	mm_all_check(set, p, LEN, 3);
	pattern_check(p, LEN, 3);
	munmap(p, LEN);
	vram_expect_empty(set);
}

/* A huge page of hugetlbfs is not moved, and all use it where it is. */
static void hugetlb(struct vsvm_set *set)
{
	int gpu;
	char *p;

	file_write("/proc/sys/vm/nr_hugepages", "2");
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	igt_require_f(p != MAP_FAILED, "no huge page to be had\n");
	pattern_fill(p, LEN, 1);
	vsvm_gpu_check(set, 0, p, LEN, 1);
	vram_expect(set, p, LEN, WHERE_SYSTEM);
	igt_assert_eq(vram_try_migrate(set, 0, p, LEN, 0), -EOPNOTSUPP);
	igt_assert_eq(vram_try_migrate(set, 0, p, LEN, TO_SYSTEM), 0);
	vram_expect(set, p, LEN, WHERE_SYSTEM);
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_gpu_write(set, gpu, p, LEN, 2 + gpu);
		pattern_check(p, LEN, 2 + gpu);
	}
	mm_all_agree(set, p, LEN, 1 + set->n);
	vram_expect(set, p, LEN, WHERE_SYSTEM);
	vram_expect_empty(set);
	munmap(p, LEN);
	file_write("/proc/sys/vm/nr_hugepages", "0");
}

igt_main
{
	each_made("first-touch", "memory goes to the GPU that touches it first",
		  MSVM_ONLY, VRAM, first_touch);
	each_made("first-touch-peers", "likewise, the others reach it there",
		  MSVM_ONLY, PEERS, first_touch);
	each_made("from-nothing", "memory comes into being in a GPU",
		  MSVM_ONLY, VRAM, from_nothing);
	each_made("hugetlb", "hugetlb pages stay in system memory", MSVM_ONLY,
		  VRAM, hugetlb);
}
