// SPDX-License-Identifier: MIT
/*
 * How system memory is mapped for GPUs that reach it alike: mappings that need no
 * unmapping are taken over from one another and passed by when memory is taken away,
 * unless the module parameters "lend" and "skip_unmap" are off; both ways are right, and
 * compared. And that behind an IOMMU of the machine each piece is linked into addresses of
 * its own, and undone wherever that fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"

#define PARAMETER "/sys/module/drm_msvm/parameters/"
#define INJECT_MAP "/sys/kernel/debug/drm_msvm/inject/map"
#define DIRECT ATTR("dma=direct")
#define ROUNDS	15

static void parameter(const char *name, bool on)
{
	char path[96];

	snprintf(path, sizeof(path), PARAMETER "%s", name);
	igt_assert(file_write(path, on ? "Y" : "N"));
}

/* A counter of the address space, by a VM that is in it. */
static uint64_t count_by(struct vsvm_set *set, int gpu, const char *name)
{
	return context_value(vsvm_stats(set->fd[gpu], set->vm[gpu]).context_id,
			     "stats", name);
}

static uint64_t count(struct vsvm_set *set, const char *name)
{
	return count_by(set, 0, name);
}

/* The DMA API then wants each mapping undone, as it has a record of it. */
static bool dma_debug(void)
{
	return !access("/sys/kernel/debug/dma-api", F_OK);
}

/* All GPUs use it, one after the other; how many took over a mapping? */
static uint64_t share(struct vsvm_set *set, char *p, size_t len, int seed)
{
	uint64_t maps = count(set, "maps"), lent = count(set, "maps_lent");
	int gpu;

	pattern_fill(p, len, seed);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_gpu_check(set, gpu, p, len, seed);
	igt_assert(count(set, "maps") >= maps + set->n);
	lent = count(set, "maps_lent") - lent;
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_gpu_write(set, gpu, p, len, seed + 1 + gpu);
		pattern_check(p, len, seed + 1 + gpu);
	}
	return lent;
}

/* One range of 64 KiB: VMA and alignment allow no other. */
static char *one_range(void)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	munmap(p + SZ_64K, SZ_2M - SZ_64K);
	scatter(p, SZ_64K);
	return p;
}

static void test_same(struct vsvm_set *set)
{
	char *p = one_range();

	igt_assert_eq_u64(share(set, p, SZ_64K, 1),
			  dma_debug() ? 0 : set->n - 1);
	/* Taken away from all at once, and lent anew. */
	igt_assert(!mprotect(p, SZ_64K, PROT_READ));
	igt_assert(!mprotect(p, SZ_64K, PROT_READ | PROT_WRITE));
	igt_assert_eq_u64(share(set, p, SZ_64K, 30),
			  dma_debug() ? 0 : set->n - 1);
	munmap(p, SZ_64K);
}

static void test_off(struct vsvm_set *set)
{
	char *p = one_range();
	uint64_t lent, kept;

	parameter("lend", false);
	lent = share(set, p, SZ_64K, 1);
	parameter("lend", true);
	parameter("skip_unmap", false);
	igt_assert(!mprotect(p, SZ_64K, PROT_READ));
	igt_assert(!mprotect(p, SZ_64K, PROT_READ | PROT_WRITE));
	kept = share(set, p, SZ_64K, 30);
	parameter("skip_unmap", true);
	/* What has to be unmapped by its owner is not lent. */
	igt_assert_eq_u64(lent, 0);
	igt_assert_eq_u64(kept, 0);
	munmap(p, SZ_64K);
}

/* GPUs from @first to @last write, and need no new mapping for it. */
static void keep_on(struct vsvm_set *set, uint64_t *p, int first, int last,
		    uint64_t value)
{
	uint64_t maps = count_by(set, first, "maps");
	int gpu;

	for (gpu = first; gpu <= last; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_store(p + gpu, 8, value + gpu);

		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(p[gpu], value + gpu);
	}
	igt_assert_eq_u64(count_by(set, first, "maps"), maps);
}

/* Who lent goes, by the ioctl and by being pulled; the others know nothing of it. */
static void test_lender_leaves(struct vsvm_set *set)
{
	char *p = one_range();
	int last = set->n - 1;

	igt_require_f(set->n > 1, "nobody to lend to\n");
	share(set, p, SZ_64K, 1);
	keep_on(set, (uint64_t *)p, 0, last, 100);
	igt_assert(!vsvm_vm_destroy(set->fd[0], set->vm[0]));
	keep_on(set, (uint64_t *)p, 1, last, 200);
	/* Now the lender is a borrower. */
	set->vm[0] = vsvm_vm_create(set->fd[0], set->layout);
	igt_assert_eq_u64(vsvm_gpu_load(set, 0, p + 8 * last), 200 + last);
	igt_assert_eq(gpu_pull(last), 0);
	keep_on(set, (uint64_t *)p, 0, last - 1, 300);
	munmap(p, SZ_64K);
}

/* GPUs that reach memory in different ways do not lend to each other. */
static void test_kinds(void)
{
	static const char * const kinds[][2] = {
		{ "dma=direct" }, { "dma=iommu" }, { "dma=none" },
	};
	static struct vsvm_set set;
	char *p;
	int i;

	vsvm_set_close(&set);
	gpus_remove();
	vsvm_placement("system");
	set.layout = DRM_VSVM_VM_LAYOUT_MSVM;
	for (i = 0; i < 3; i++) {
		set.fd[i] = gpu_make(kinds[i]);
		igt_assert(set.fd[i] >= 0);
		set.n = i + 1;
		set.vm[i] = vsvm_vm_create(set.fd[i], set.layout);
	}
	p = one_range();
	igt_assert_eq_u64(share(&set, p, SZ_64K, 1), 0);
	vsvm_set_check(&set);
	munmap(p, SZ_64K);
	vsvm_set_close(&set);
	gpus_remove();
}

/* Does the machine's IOMMU translate for a GPU? */
static bool translated(struct vsvm_set *set)
{
	char path[128], name[64], type[32] = "";

	if (!gpus_on_pci())
		return false;
	gpu_pci_name(set->fd[0], name, sizeof(name));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/type",
		 name);
	return file_read(path, type, sizeof(type)) && !strncmp(type, "DMA", 3);
}

/* Behind the machine's IOMMU: addresses of its own for each GPU, none lent. */
static void test_iova(struct vsvm_set *set)
{
	char *p = one_range();
	uint64_t maps, linked;

	igt_require_f(translated(set), "no IOMMU translates for the GPUs\n");
	igt_assert_eq_u64(share(set, p, SZ_64K, 1), 0);
	maps = count(set, "maps");
	linked = count(set, "maps_iova");
	igt_assert_f(maps && maps == linked, "%llu of %llu mappings linked\n",
		     (unsigned long long)linked, (unsigned long long)maps);
	munmap(p, SZ_64K);
}

static bool fail_map(int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", nth);
	return file_write(INJECT_MAP, text);
}

/*
 * Each piece's mapping fails in turn: the job ends with the reason, the others keep
 * what they have, the addresses are free for the next try, which works.
 */
static void test_fail_each(struct vsvm_set *set)
{
	char *p = one_range(), left[32];
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);
	int gpu, victim = set->n - 1, nth;

	igt_require_f(fail_map(0), "modules without failures on request\n");
	/* A whole mapping, not one taken over. */
	parameter("lend", false);
	for (nth = 1; ; nth++) {
		igt_assert(!vsvm_vm_destroy(set->fd[victim], set->vm[victim]));
		set->vm[victim] = vsvm_vm_create(set->fd[victim], set->layout);
		for (gpu = 0; gpu < victim; gpu++)
			vsvm_run(set, gpu, &cmd, 1);
		igt_assert(fail_map(nth));
		if (!vsvm_try(set, victim, &cmd, 1).status)
			break;
		igt_assert(file_read(INJECT_MAP, left, sizeof(left)) &&
			   !atoi(left));
		vsvm_run(set, victim, &cmd, 1);
	}
	fail_map(0);
	parameter("lend", true);
	igt_info("failed at %d pieces\n", nth - 1);
	igt_assert(nth > 2);
	munmap(p, SZ_64K);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_times(const char *what, int gpus, int64_t times[2][ROUNDS])
{
	int on;

	for (on = 0; on < 2; on++)
		qsort(times[on], ROUNDS, sizeof(times[on][0]), by_value);
	igt_info("%s, %d GPUs: off %lld us (%lld to %lld), on %lld us (%lld to %lld): %.2f\n",
		 what, gpus, (long long)times[0][ROUNDS / 2] / 1000,
		 (long long)times[0][ROUNDS / 4] / 1000,
		 (long long)times[0][ROUNDS - 1 - ROUNDS / 4] / 1000,
		 (long long)times[1][ROUNDS / 2] / 1000,
		 (long long)times[1][ROUNDS / 4] / 1000,
		 (long long)times[1][ROUNDS - 1 - ROUNDS / 4] / 1000,
		 (double)times[0][ROUNDS / 2] / times[1][ROUNDS / 2]);
}

/* 512 pieces: from no mapping to all GPUs having one, and back; both ways in turn. */
static void test_compare(struct vsvm_set *set)
{
	static int64_t map[2][ROUNDS], unmap[2][ROUNDS];
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int round, on, gpu;

	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	parameter("coalesce", false);
	/* Who comes first walks, so what is measured is the others. */
	for (round = 0; round < ROUNDS; round++)
		for (on = 0; on < 2; on++) {
			int64_t start;

			parameter("lend", on);
			parameter("skip_unmap", on);
			vsvm_gpu_load(set, 0, p);
			start = vsvm_now();
			for (gpu = 1; gpu < set->n; gpu++)
				vsvm_gpu_load(set, gpu, p);
			map[on][round] = vsvm_now() - start;
			start = vsvm_now();
			igt_assert(!mprotect(p, SZ_2M, PROT_READ));
			unmap[on][round] = vsvm_now() - start;
			igt_assert(!mprotect(p, SZ_2M, PROT_READ | PROT_WRITE));
		}
	parameter("coalesce", true);
	parameter("lend", true);
	parameter("skip_unmap", true);
	print_times("map for all but the first", set->n, map);
	print_times("mprotect()", set->n, unmap);
	munmap(p, SZ_2M);
}

igt_main
{
	each_made("same", "GPUs that reach memory alike", MSVM_ONLY, DIRECT,
		  test_same);
	each_made("off", "likewise, told not to lend", MSVM_ONLY, DIRECT,
		  test_off);
	each_made("lender-leaves", "the lender goes, by ioctl and pulled out",
		  MSVM_ONLY, DIRECT, test_lender_leaves);
	igt_describe("GPUs that reach memory in different ways");
	igt_subtest("kinds") {
		test_kinds();
	}
	each("iova", "behind the machine's IOMMU", MSVM_ONLY, test_iova);
	each("fail-each", "a mapping fails at each of its pieces", MSVM_ONLY,
	     test_fail_each);
	each_made("compare", "times with and without", MSVM_ONLY, DIRECT,
		  test_compare);
}
