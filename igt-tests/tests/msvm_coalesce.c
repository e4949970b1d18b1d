// SPDX-License-Identifier: MIT
/*
 * Pages that follow each other in memory are mapped as one piece, those of a GPU's
 * memory as far as the piece goes that its driver allocated; with the module parameter
 * "coalesce" off each is mapped for itself. Both are right, and compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")
#define IOMMU	PEERS ATTR("dma=iommu")
#define ROUNDS	15

static void coalesce(bool on)
{
	igt_assert(file_write("/sys/module/drm_msvm/parameters/coalesce",
			      on ? "Y" : "N"));
}

/* Runs of the range that has @p, from the library's own list of ranges. */
static int runs_of(struct vsvm_set *set, const void *p)
{
	static char buf[1 << 16];
	char path[64], *line;
	unsigned long start, end;
	int runs;

	snprintf(path, sizeof(path), "%u/ranges",
		 vsvm_stats(set->fd[0], set->vm[0]).context_id);
	igt_assert(debugfs_read(path, buf, sizeof(buf)));
	for (line = strtok(buf, "\n"); line; line = strtok(NULL, "\n"))
		if (sscanf(line, "%lx-%lx %*u valid %*s %*s %d", &start, &end,
			   &runs) == 3 &&
		    start <= to_u64(p) && end > to_u64(p))
			return runs;
	igt_assert_f(false, "no range has %p\n", p);
	return 0;
}

/* 2 MiB that are one piece, mapped by page tables of small pages. */
static char *one_piece(struct vsvm_set *set, bool vram)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	madvise(p, SZ_2M, MADV_HUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	igt_require_f(mm_smaps(p, "AnonHugePages") == 2048,
		      "no huge page was to be had\n");
	if (vram) {
		vram_migrate(set, p, SZ_2M, 0);
		return p;
	}
	vsvm_placement("system");
	igt_assert(!mprotect(p, SZ_4K, PROT_READ));
	igt_assert(!mprotect(p, SZ_4K, PROT_READ | PROT_WRITE));
	return p;
}

static void check(struct vsvm_set *set, bool vram, int gpus)
{
	int on, gpu;

	for (on = 1; on >= 0; on--) {
		char *p = one_piece(set, vram);

		coalesce(on);
		for (gpu = 0; gpu < gpus; gpu++)
			vsvm_gpu_check(set, gpu, p, SZ_2M, 1);
		igt_assert_eq(runs_of(set, p), on ? 1 : 512);
		for (gpu = 0; gpu < gpus; gpu++) {
			vsvm_gpu_write(set, gpu, p, SZ_2M, 2 + gpu);
			vsvm_gpu_check(set, 0, p, SZ_2M, 2 + gpu);
		}
		pattern_check(p, SZ_2M, 1 + gpus);
		munmap(p, SZ_2M);
		coalesce(true);
	}
	vram_expect_empty(set);
}

/* The others do not reach it. */
static void own(struct vsvm_set *set)
{
	check(set, true, 1);
}

static void peers(struct vsvm_set *set)
{
	check(set, true, set->n);
}

/* Out of reach it is moved to system memory, which need not be one piece. */
static void near_peers(struct vsvm_set *set)
{
	igt_require_f(gpus_can_peer(), "no GPU reaches another's memory\n");
	peers(set);
}

static void in_system(struct vsvm_set *set)
{
	check(set, false, set->n);
}

/*
 * Blocks that lie side by side in the GPU's memory are not one piece: a driver may
 * have allocated them anywhere.
 */
static void blocks(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	size_t i;

	pattern_fill(p, SZ_2M, 1);
	for (i = 0; i < SZ_2M; i += SZ_64K)
		vram_migrate(set, p + i, SZ_64K, 0);
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	igt_assert(runs_of(set, p) >= 32);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* From no mapping to all GPUs having one: the times of both ways, in turn. */
static void compare(struct vsvm_set *set, bool vram)
{
	static int64_t times[2][ROUNDS];
	char *p = one_piece(set, vram);
	int round, on, gpu;

	for (round = 0; round < ROUNDS; round++)
		for (on = 0; on < 2; on++) {
			int64_t start;

			coalesce(on);
			/* The walk is done anew after a change of rights. */
			igt_assert(!mprotect(p, SZ_2M, PROT_READ));
			igt_assert(!mprotect(p, SZ_2M, PROT_READ | PROT_WRITE));
			start = vsvm_now();
			for (gpu = 0; gpu < set->n; gpu++)
				vsvm_gpu_load(set, gpu, p);
			times[on][round] = vsvm_now() - start;
		}
	coalesce(true);
	for (on = 0; on < 2; on++)
		qsort(times[on], ROUNDS, sizeof(times[on][0]), by_value);
	igt_info("%s, %d GPUs: apart %lld us (%lld to %lld), as one %lld us (%lld to %lld): %.2f\n",
		 vram ? "GPU's memory" : "system memory", set->n,
		 (long long)times[0][ROUNDS / 2] / 1000,
		 (long long)times[0][ROUNDS / 4] / 1000,
		 (long long)times[0][ROUNDS - 1 - ROUNDS / 4] / 1000,
		 (long long)times[1][ROUNDS / 2] / 1000,
		 (long long)times[1][ROUNDS / 4] / 1000,
		 (long long)times[1][ROUNDS - 1 - ROUNDS / 4] / 1000,
		 (double)times[0][ROUNDS / 2] / times[1][ROUNDS / 2]);
	munmap(p, SZ_2M);
}

static void compare_vram(struct vsvm_set *set)
{
	compare(set, true);
}

static void compare_system(struct vsvm_set *set)
{
	compare(set, false);
}

igt_main
{
	each_made("vram", "a GPU's memory", MSVM_ONLY, VRAM, own);
	each_made("vram-peers", "likewise, its peers'", MSVM_ONLY, PEERS,
		  near_peers);
	each_made("vram-iommu", "likewise, behind an IOMMU", MSVM_ONLY, IOMMU,
		  peers);
	each_made("system", "system memory", MSVM_ONLY, VRAM, in_system);
	each_made("system-iommu", "likewise, behind an IOMMU", MSVM_ONLY, IOMMU,
		  in_system);
	each_made("blocks", "several pieces of a GPU's memory", MSVM_ONLY, VRAM,
		  blocks);
	each_made("compare-vram", "times of both, a GPU's memory", MSVM_ONLY,
		  PEERS, compare_vram);
	each_made("compare-system", "times of both, system memory", MSVM_ONLY,
		  VRAM, compare_system);
	each_made("compare-system-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  IOMMU, compare_system);
}
