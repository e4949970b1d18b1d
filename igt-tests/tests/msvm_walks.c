// SPDX-License-Identifier: MIT
/*
 * One walk for N GPUs, counted from outside of the library by a kprobe, and
 * compared with what the library itself counts.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"

/* Expected walks for one range that N GPUs use. */
static uint64_t expected(struct vsvm_set *set)
{
	return set->layout == DRM_VSVM_VM_LAYOUT_MSVM ? 1 : set->n;
}

/* A range of its own, populated, and small pages only. */
static char *one_range(void)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	memset(p, 1, SZ_2M);
	return p;
}

/* Reads by GPUs [from, to) of values that are really there. */
static void touch(struct vsvm_set *set, char *p, uint64_t *result, int from,
		  int to)
{
	struct drm_vsvm_cmd cmd;
	int i;

	for (i = from; i < to; i++) {
		cmd = vsvm_load(p + i * SZ_64K, 8, result);
		vsvm_run(set, i, &cmd, 1);
		igt_assert_eq_u64(*result, 0x0101010101010101ULL);
	}
}

/* The result's own range is mapped before, so that it does not count. */
static uint64_t *warm_result(struct vsvm_set *set)
{
	uint64_t *result = anon_aligned(SZ_4K, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_store(result, 8, 1);
	int i;

	*result = 0;
	for (i = 0; i < set->n; i++)
		vsvm_run(set, i, &cmd, 1);
	return result;
}

static void test_one_walk(struct vsvm_set *set)
{
	uint64_t *result = warm_result(set);
	char *p = one_range();

	walks_start();
	touch(set, p, result, 0, set->n);
	igt_assert_eq_u64(walks_stop(), expected(set));
}

static void test_after_invalidation(struct vsvm_set *set)
{
	uint64_t *result = warm_result(set);
	char *p = one_range();
	int round;

	touch(set, p, result, 0, set->n);
	for (round = 0; round < 3; round++) {
		igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
		memset(p, 1, SZ_2M);
		walks_start();
		touch(set, p, result, 0, set->n);
		igt_assert_eq_u64(walks_stop(), expected(set));
	}
}

/* A GPU that joins when the others have mapped walks nothing; alone, it does. */
static void test_late_joiner(struct vsvm_set *set)
{
	uint64_t *result;
	char *p;

	igt_assert_eq(vsvm_vm_destroy(set->fd[set->n - 1],
				      set->vm[set->n - 1]), 0);
	set->n--;
	result = warm_result(set);
	p = one_range();
	touch(set, p, result, 0, set->n);

	set->vm[set->n] = vsvm_vm_create(set->fd[set->n], set->layout);
	set->n++;
	/* Of all GPUs the last is new: one warm-up for its own result. */
	vsvm_run(set, set->n - 1, &(struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_STORE, .width = 8, .dst = to_u64(result),
	}, 1);
	walks_start();
	touch(set, p, result, set->n - 1, set->n);
	igt_assert_eq_u64(walks_stop(),
			  set->layout == DRM_VSVM_VM_LAYOUT_MSVM &&
			  set->n > 1 ? 0 : 1);
}

/* What the library counts is what the probe counts. */
static void test_counters(struct vsvm_set *set)
{
	uint64_t *result = warm_result(set);
	struct drm_vsvm_vm_stats before, after;
	uint64_t walks, saved, faults;
	char *p = one_range();
	uint32_t id;

	before = vsvm_stats(set->fd[0], set->vm[0]);
	id = before.context_id;
	walks = context_value(id, "stats", "hmm_walks");
	saved = context_value(id, "stats", "walks_saved");
	faults = context_value(id, "stats", "faults");
	walks_start();
	touch(set, p, result, 0, set->n);
	igt_assert_eq_u64(walks_stop(), 1);
	after = vsvm_stats(set->fd[0], set->vm[0]);

	igt_assert_eq_u64(context_value(id, "stats", "hmm_walks") - walks, 1);
	igt_assert_eq_u64(context_value(id, "stats", "walks_saved") - saved,
			  set->n - 1);
	igt_assert_eq_u64(context_value(id, "stats", "faults") - faults, set->n);
	igt_assert_eq_u64(after.walks - before.walks, 1);
	igt_assert_eq_u64(after.faults - before.faults, 1);
	igt_assert_eq_u64(after.ranges - before.ranges, 1);
}

/* A huge page is one run: bookkeeping does not grow with its pages. */
static void test_huge_page_bytes(struct vsvm_set *set)
{
	uint64_t *result = warm_result(set);
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t before, grown;

	igt_require_f(!madvise(p, SZ_2M, MADV_HUGEPAGE), "no huge pages\n");
	memset(p, 1, SZ_2M);
	before = vsvm_stats(set->fd[0], set->vm[0]).bytes;
	touch(set, p, result, 0, set->n);
	grown = vsvm_stats(set->fd[0], set->vm[0]).bytes - before;
	igt_info("%llu bytes for 2 MiB on %d GPUs\n",
		 (unsigned long long)grown, set->n);
	/* 16 bytes a page and GPU would be 8 KiB times the GPUs. */
	igt_assert(grown < 2048 + 256 * (uint64_t)set->n);
}

igt_main
{
	each("one-walk", "N GPUs, one range, one walk", MSVM_AND_1TO1,
	     test_one_walk);
	each("after-invalidation", "one more walk after an invalidation",
	     MSVM_AND_1TO1, test_after_invalidation);
	each("late-joiner", "who comes late walks nothing", MSVM_AND_1TO1,
	     test_late_joiner);
	each("counters", "the library's counters agree with the probe",
	     MSVM_ONLY, test_counters);
	each("huge-page-bytes", "bookkeeping of a huge page stays small",
	     MSVM_ONLY, test_huge_page_bytes);
}
