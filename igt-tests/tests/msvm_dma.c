// SPDX-License-Identifier: MIT
/*
 * How GPUs reach memory: through an IOMMU each, without the DMA API, and side by
 * side; mappings that fail at any entry; GPUs that would not reach all memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"

/* Everybody writes, everybody reads. */
static void share(struct vsvm_set *set, void *p, size_t len)
{
	int writer, reader;

	pattern_fill(p, len, 1);
	for (reader = 0; reader < set->n; reader++)
		vsvm_gpu_check(set, reader, p, len, 1);
	for (writer = 0; writer < set->n; writer++) {
		vsvm_gpu_write(set, writer, p, len, 10 + writer);
		pattern_check(p, len, 10 + writer);
		for (reader = 0; reader < set->n; reader++)
			vsvm_gpu_check(set, reader, p, len, 10 + writer);
	}
}

/* Huge and small pages, and nothing stays mapped. */
static void test_share(struct vsvm_set *set)
{
	char *small = anon_aligned(SZ_2M, SZ_2M), *huge;
	int i;

	huge = anon_aligned(SZ_2M, SZ_2M);
	madvise(small, SZ_2M, MADV_NOHUGEPAGE);
	madvise(huge, SZ_2M, MADV_HUGEPAGE);
	memset(huge, 1, SZ_2M);
	share(set, small + 3, SZ_64K + 5);
	share(set, huge + SZ_2M - SZ_64K, SZ_64K);
	munmap(small, SZ_2M);
	munmap(huge, SZ_2M);
	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]), 0);
		igt_assert_eq_u64(gpu_counter(set->fd[i], "dma_maps"), 0);
	}
}

/* Reading a page that nobody may write, then writing where one may. */
static void test_read_only(struct vsvm_set *set)
{
	int fd = open("/proc/self/exe", O_RDONLY), i;
	char *ro = mmap(NULL, SZ_4K, PROT_READ, MAP_PRIVATE, fd, 0);
	char *rw = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	igt_assert(fd >= 0 && ro != MAP_FAILED && rw != MAP_FAILED);
	for (i = 0; i < set->n; i++) {
		igt_assert_eq_u64(vsvm_gpu_load(set, i, ro), *(uint64_t *)ro);
		vsvm_expect_fault(set, i, vsvm_store(ro, 8, 1), -EACCES, ro,
				  DRM_VSVM_ACCESS_WRITE);
		igt_assert_eq_u64(vsvm_gpu_load(set, i, rw), *(uint64_t *)rw);
	}
	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_store(rw, 8, 100 + i);

		vsvm_run(set, i, &cmd, 1);
		igt_assert_eq_u64(*(uint64_t *)rw, 100 + i);
		igt_assert(*(uint64_t *)ro != *(uint64_t *)rw);
	}
	munmap(ro, SZ_4K);
	munmap(rw, SZ_4K);
	close(fd);
}

/* GPUs of each kind in one address space. */
static void test_mixed(void)
{
	static const char * const kinds[][2] = {
		{ "dma=direct" }, { "dma=iommu" }, { "dma=none" },
	};
	static struct vsvm_set set;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int i;

	vsvm_set_close(&set);
	gpus_remove();
	for (i = 0; i < 6; i++) {
		set.fd[i] = gpu_make(kinds[i % 3]);
		igt_assert(set.fd[i] >= 0);
		set.n = i + 1;
		set.vm[i] = vsvm_vm_create(set.fd[i], DRM_VSVM_VM_LAYOUT_MSVM);
	}
	share(&set, p + 100, 2 * SZ_64K);
	munmap(p, SZ_2M);
	vsvm_set_close(&set);
	gpus_remove();
}

/* A fresh VM has no mapping at all. */
static void new_vm(struct vsvm_set *set, int gpu)
{
	igt_assert_eq(vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]), 0);
	set->vm[gpu] = vsvm_vm_create(set->fd[gpu], set->layout);
}

static uint64_t zaps_of_others(struct vsvm_set *set, int gpu)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < set->n; i++)
		if (i != gpu)
			sum += gpu_counter(set->fd[i], "zaps");
	return sum;
}

/*
 * The mapping of one GPU fails at its first, second, ... last entry: its job ends
 * with the reason, nothing of the mapping stays, the others keep theirs, and the
 * next try works.
 */
static void test_fail_each_entry(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int victim = set->n - 1, i;
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);
	uint64_t entries, k, before, zaps;

	/* One range of 64 KiB: VMA and alignment allow no other. */
	munmap(p + SZ_64K, SZ_2M - SZ_64K);
	scatter(p, SZ_64K);
	for (i = 0; i < set->n; i++)
		vsvm_run(set, i, &cmd, 1);

	new_vm(set, victim);
	before = gpu_counter(set->fd[victim], "dma_maps");
	vsvm_run(set, victim, &cmd, 1);
	entries = gpu_counter(set->fd[victim], "dma_maps") - before;
	igt_info("%llu entries\n", (unsigned long long)entries);
	igt_assert(entries > 2);
	new_vm(set, victim);

	zaps = zaps_of_others(set, victim);
	for (k = 1; k <= entries; k++) {
		gpu_debugfs_write(set->fd[victim], "fail_dma_map", k);
		vsvm_expect_fault(set, victim, cmd, -EFAULT, p,
				  DRM_VSVM_ACCESS_WRITE);
		igt_assert_eq_u64(gpu_counter(set->fd[victim], "dma_maps"),
				  before);
	}
	vsvm_run(set, victim, &cmd, 1);
	igt_assert_eq_u64(gpu_counter(set->fd[victim], "dma_maps"),
			  before + entries);
	/* Nobody else lost anything. */
	igt_assert_eq_u64(zaps_of_others(set, victim), zaps);
	munmap(p, SZ_64K);
}

/*
 * A read-only mapping becomes a writable one, and that fails: what the others
 * have stays, and the GPU can still read.
 */
static void test_fail_upgrade(struct vsvm_set *set)
{
	int fd = open("/proc/self/exe", O_RDONLY), i, victim = set->n - 1;
	char *p = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	struct drm_vsvm_cmd store = vsvm_store(p, 8, 77);

	igt_assert(fd >= 0 && p != MAP_FAILED);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p), *(uint64_t *)p);
	gpu_debugfs_write(set->fd[victim], "fail_dma_map", 1);
	vsvm_expect_fault(set, victim, store, -EFAULT, p, DRM_VSVM_ACCESS_WRITE);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p), *(uint64_t *)p);
	vsvm_run(set, victim, &store, 1);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p), 77);
	munmap(p, SZ_4K);
	close(fd);
}

static void test_bounce_refused(void)
{
	static const char * const narrow[] = { "dma_bits=28", NULL };
	static const char * const iommu[] = { "dma=iommu", "dma_bits=40", NULL };
	static const char * const wide[] = { "dma_bits=64", NULL };
	int fd;

	igt_assert_eq(gpu_make(narrow), -EOPNOTSUPP);
	igt_assert_eq(gpu_make(iommu), -EOPNOTSUPP);
	fd = gpu_make(wide);
	igt_assert(fd >= 0);
	close(fd);
	gpus_remove();
}

/* The 1:1 layout has no form for a GPU without DMA. */
static void test_none_1to1(void)
{
	static const char * const none[] = { "dma=none", NULL };
	struct drm_vsvm_vm_create args = { .layout = DRM_VSVM_VM_LAYOUT_1TO1 };
	int fd = gpu_make(none);

	igt_assert(fd >= 0);
	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_VM_CREATE, &args),
		      -EOPNOTSUPP);
	close(fd);
	gpus_remove();
}

static void single(const char *name, const char *text, void (*fn)(void))
{
	igt_describe(text);
	igt_subtest(name) {
		gpus_remove();
		fn();
	}
}

igt_main
{
	each_made("iommu", "each GPU behind an IOMMU of its own", MSVM_AND_1TO1,
		  ATTR("dma=iommu"), test_share);
	each_made("none", "GPUs that take physical addresses", MSVM_ONLY,
		  ATTR("dma=none"), test_share);
	each_made("iommu-read-only", "the IOMMU learns what may be written",
		  MSVM_AND_1TO1, ATTR("dma=iommu"), test_read_only);
	single("mixed", "all kinds in one address space", test_mixed);
	each_made("fail-each-entry", "a mapping fails at each of its entries",
		  MSVM_ONLY, ATTR("dma=iommu"), test_fail_each_entry);
	each_made("fail-upgrade", "making a mapping writable fails", MSVM_ONLY,
		  ATTR("dma=iommu"), test_fail_upgrade);
	single("bounce-refused", "GPUs that do not reach all memory",
	       test_bounce_refused);
	single("none-1to1", "no 1:1 layout without DMA", test_none_1to1);
}
