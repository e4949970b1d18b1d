// SPDX-License-Identifier: MIT
/*
 * The ways to have memory, see kinds.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attr.h"
#include "beside.h"
#include "igt_compat.h"
#include "kinds.h"
#include "mm.h"
#include "vram.h"

const char * const kind_gpus[] = { "vram_mib=32", "peer_group=1", NULL };

static void put_mmap(char *p, size_t len)
{
	igt_assert(!munmap(p, len));
}

static void *get_malloc(size_t len)
{
	char *p = aligned_alloc(64, len);

	igt_assert(p);
	memset(p, 0, len);
	return p;
}

static void put_malloc(char *p, size_t len)
{
	(void)len;
	free(p);
}

/* The whole pages of an interval. Return: where they start. */
static char *whole_pages(char *p, size_t *len)
{
	char *start = (char *)((to_u64(p) + SZ_4K - 1) & ~(SZ_4K - 1));
	char *end = (char *)(to_u64(p + *len) & ~(SZ_4K - 1));

	*len = end > start ? end - start : 0;
	return start;
}

/* Whole pages of it are touched by nobody yet. */
static char *next_dontneed(struct vsvm_set *set, char *p, size_t len)
{
	size_t inside = len;
	char *start = whole_pages(p, &inside);

	(void)set;
	memset(p, 0, start - p);
	memset(start + inside, 0, p + len - (start + inside));
	igt_assert(!madvise(start, inside, MADV_DONTNEED));
	return p;
}

static void *get_malloc_untouched(size_t len)
{
	char *p = aligned_alloc(64, len);

	igt_assert(p);
	return next_dontneed(NULL, p, len);
}

/*
 * For GPUs' memory: a range that is part here, part there, because of what else is in
 * it, can't be mapped as it is. So it is whole blocks, or nothing is next to it.
 */
static size_t blocks(size_t len)
{
	return (len + SZ_2M - 1) & ~(SZ_2M - 1);
}

static void *get_malloc_blocks(size_t len)
{
	char *p = aligned_alloc(SZ_2M, blocks(len));

	igt_assert(p);
	memset(p, 0, blocks(len));
	return p;
}

static void *get_apart(size_t len)
{
	return anon_aligned(len, SZ_2M);
}

static void *get_mlock(size_t len)
{
	char *p = anon(len);

	igt_assert(!mlock(p, len));
	return p;
}

static void *get_malloc_mlock(size_t len)
{
	char *p = get_malloc(len);

	igt_assert(!mlock(p, len));
	return p;
}

static void put_malloc_mlock(char *p, size_t len)
{
	igt_assert(!munlock(p, len));
	free(p);
}

static void *get_huge(size_t len)
{
	char *p = anon_aligned(len, SZ_2M);

	madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static void *get_shared(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	igt_assert(p != MAP_FAILED);
	return p;
}

static char *map_file(size_t len, int flags)
{
	char path[] = "/tmp/msvm-XXXXXX", *p;
	int fd = mkstemp(path);

	igt_assert(fd >= 0 && !unlink(path) && !ftruncate(fd, len));
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	igt_assert(p != MAP_FAILED);
	close(fd);
	return p;
}

static void *get_file(size_t len)
{
	return map_file(len, MAP_SHARED);
}

static void *get_file_private(size_t len)
{
	return map_file(len, MAP_PRIVATE);
}

static char *next_same(struct vsvm_set *set, char *p, size_t len)
{
	(void)set;
	(void)len;
	return p;
}

/* The pages at another address. */
static char *next_remap(struct vsvm_set *set, char *p, size_t len)
{
	char *to = anon(len);
	char *q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	(void)set;
	igt_assert(q == to);
	return q;
}

/* There, they may only be read for a while. */
static char *next_remap_ro(struct vsvm_set *set, char *p, size_t len)
{
	char *q = next_remap(set, p, len), *last = q + len - 8;
	uint64_t values[2] = { *(uint64_t *)q, *(uint64_t *)last };
	int gpu;

	igt_assert(!mprotect(q, len, PROT_READ));
	for (gpu = 0; gpu < set->n; gpu++) {
		igt_assert_eq_u64(vsvm_gpu_load(set, gpu, q), values[0]);
		igt_assert_eq_u64(vsvm_gpu_load(set, gpu, last), values[1]);
		vsvm_expect_fault(set, gpu, vsvm_store(q, 8, ~values[0]),
				  -EACCES, q, DRM_VSVM_ACCESS_WRITE);
		vsvm_expect_fault(set, gpu, vsvm_add(last, 8, 1, NULL), -EACCES,
				  last, DRM_VSVM_ACCESS_ATOMIC);
	}
	igt_assert_eq_u64(*(uint64_t *)q, values[0]);
	igt_assert_eq_u64(*(uint64_t *)last, values[1]);
	igt_assert(!mprotect(q, len, PROT_READ | PROT_WRITE));
	return q;
}

/* Its pages moved away, the mapping stayed, with other pages. */
static char *next_dontunmap(struct vsvm_set *set, char *p, size_t len)
{
	char *q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	(void)set;
	igt_assert(q != MAP_FAILED && q != p);
	igt_assert(!munmap(p, len));
	return q;
}

/* Other memory at the same address, without a moment in between. */
static char *next_new(struct vsvm_set *set, char *p, size_t len)
{
	(void)set;
	igt_assert(mmap(p, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	return p;
}

static char *next_new_huge(struct vsvm_set *set, char *p, size_t len)
{
	next_new(set, p, len);
	madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static char *next_free(struct vsvm_set *set, char *p, size_t len)
{
	(void)set;
	put_mmap(p, len);
	return anon(len);
}

static char *next_free_huge(struct vsvm_set *set, char *p, size_t len)
{
	(void)set;
	put_mmap(p, len);
	return get_huge(len);
}

/* The GPUs take turns. */
static int next_gpu(struct vsvm_set *set)
{
	static int turn;

	return turn++ % set->n;
}

/* A GPU has it in its memory before it is used, mapped. */
static void ready_prefetch(struct vsvm_set *set, char *p, size_t len)
{
	struct drm_vsvm_cmd cmds[2] = {
		vsvm_touch(p), vsvm_touch(p + len - 4),
	};
	int gpu = next_gpu(set);
	uint64_t faults;

	vram_fetch(set, gpu, p, len);
	faults = attr_faults(set, gpu);
	vsvm_run(set, gpu, cmds, 2);
	igt_assert_eq_u64(attr_faults(set, gpu), faults);
}

static void ready_prefetch_blocks(struct vsvm_set *set, char *p, size_t len)
{
	ready_prefetch(set, p, blocks(len));
}

/* All may access it in one GPU's memory. */
static void prefer(struct vsvm_set *set, char *p, size_t len, int gpu)
{
	int other;

	/* Who accesses it has it mapped at once: without a fault it stays. */
	for (other = 0; other < set->n; other++)
		attr_set(set, p, len, attr_accessed_by(set, other, true));
	attr_set(set, p, len, attr_preferred(set, PREFER_NONE));
	attr_set(set, p, len, attr_preferred(set, gpu));
}

/* Memory is where it was said to be as soon as a GPU used it. */
static void ready_madvise(struct vsvm_set *set, char *p, size_t len)
{
	uint64_t *sum = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_sum(sum, p, blocks(len));
	int gpu = next_gpu(set);

	prefer(set, p, blocks(len), gpu);
	vsvm_run(set, gpu, &cmd, 1);
	vram_expect(set, p, blocks(len), where_gpu(set, gpu));
	munmap(sum, SZ_4K);
}

/* A request beats what was said, until the next fault. */
static void ready_prefetch_madvise(struct vsvm_set *set, char *p, size_t len)
{
	int gpu = next_gpu(set);

	prefer(set, p, blocks(len), (gpu + 1) % set->n);
	vram_fetch(set, gpu, p, blocks(len));
}

const struct kind kinds[] = {
	{ "malloc", get_malloc, next_same, .put = put_malloc, .flags = KIND_EVICTED },
	{ "mlock", get_mlock, next_same, .put = put_mmap },
	{ "mmap", anon, next_same, .put = put_mmap, .flags = KIND_EVICTED },
	{ "mmap-huge", get_huge, next_same, .put = put_mmap, .flags = KIND_EVICTED },
	{ "mmap-shared", get_shared, next_same, .put = put_mmap },
	{ "mmap-shared-remap", get_shared, next_remap, .put = put_mmap },
	{ "mmap-shared-remap-dontunmap", get_shared, next_dontunmap,
	  .put = put_mmap },
	{ "mmap-shared-remap-ro", get_shared, next_remap_ro, .put = put_mmap },
	{ "mmap-shared-remap-eocheck", get_shared, next_remap, .put = put_mmap,
	  .flags = KIND_UNSEEN },
	{ "mmap-file", get_file, next_same, .put = put_mmap },
	{ "mmap-file-private", get_file_private, next_same, .put = put_mmap },
	{ "mmap-remap", anon, next_remap, .put = put_mmap },
	{ "mmap-remap-dontunmap", anon, next_dontunmap, .put = put_mmap },
	{ "mmap-remap-ro", anon, next_remap_ro, .put = put_mmap },
	{ "mmap-remap-eocheck", anon, next_remap, .put = put_mmap,
	  .flags = KIND_UNSEEN },
	{ "mmap-free", anon, next_free, .put = put_mmap },
	{ "mmap-free-huge", get_huge, next_free_huge, .put = put_mmap },
	{ "mmap-free-race", anon, next_free, .put = put_mmap,
	  .beside = race_start, .beside_end = race_end },
	{ "mmap-new", anon, next_new, .put = put_mmap },
	{ "mmap-new-huge", get_huge, next_new_huge, .put = put_mmap },
	{ "mmap-dontneed", anon, next_dontneed, .put = put_mmap },
	{ "mmap-race", anon, next_dontneed, .put = put_mmap,
	  .beside = race_start, .beside_end = race_end },
	{ "mmap-prefetch", get_apart, next_same, .put = put_mmap,
	  .ready = ready_prefetch, .flags = KIND_VRAM },
	{ "malloc-mlock", get_malloc_mlock, next_same, .put = put_malloc_mlock },
	{ "malloc-race", get_malloc_untouched, next_dontneed, .put = put_malloc,
	  .beside = race_start, .beside_end = race_end },
	{ "malloc-multi-fault", get_malloc_untouched, next_dontneed, .put = put_malloc,
	  .beside = faults_start, .beside_end = faults_end },
	{ "malloc-mix-bound", get_malloc, next_same, .put = put_malloc,
	  .flags = KIND_BOUND },
	{ "malloc-madvise", get_malloc_blocks, next_same, .put = put_malloc,
	  .ready = ready_madvise, .flags = KIND_VRAM },
	{ "malloc-prefetch", get_malloc_blocks, next_same, .put = put_malloc,
	  .ready = ready_prefetch_blocks, .flags = KIND_VRAM },
	{ "malloc-prefetch-madvise", get_malloc_blocks, next_same, .put = put_malloc,
	  .ready = ready_prefetch_madvise, .flags = KIND_VRAM },
	{ "new", anon, next_same, .put = put_mmap, .flags = KIND_EACH_JOB },
	{ "new-prefetch", get_apart, next_same, .put = put_mmap,
	  .ready = ready_prefetch, .flags = KIND_EACH_JOB | KIND_VRAM },
};

const unsigned int nr_kinds = sizeof(kinds) / sizeof(kinds[0]);
