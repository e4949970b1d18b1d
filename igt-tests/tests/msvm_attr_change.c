// SPDX-License-Identifier: MIT
/*
 * What a change of attributes does to memory that GPUs have mapped, and what it leaves
 * alone: saying what was said already takes nothing away, saying something else does,
 * and saying something of a part splits what it belongs to and loses nothing. With
 * the names of IGT's xe_exec_system_allocator.
 */
#include <string.h>
#include <sys/mman.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/userptr.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8") ATTR("peer_group=1")

#define LEN	(4 * SZ_64K)

/**
 * struct saying - What is said of memory, and then something else.
 * @first: What is said.
 * @other: What is said then.
 * @users: GPUs that use it, from the first: so many can have it mapped.
 */
struct saying {
	struct drm_vsvm_attr first;
	struct drm_vsvm_attr other;
	int users;
};

#define SAYINGS	6

static struct saying saying_of(struct vsvm_set *set, int i)
{
	const struct saying sayings[SAYINGS] = {
		{ attr_preferred(set, PREFER_SYSTEM), attr_preferred(set, 0),
		  set->n },
		{ attr_preferred(set, 0), attr_preferred(set, PREFER_SYSTEM), 1 },
		{ attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1),
		  attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 0), set->n },
		{ attr_of(DRM_VSVM_ATTR_GRANULARITY, 16),
		  attr_of(DRM_VSVM_ATTR_GRANULARITY, 12), set->n },
		{ attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_SYSTEM),
		  attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_NONE),
		  set->n },
		{ attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_NONE),
		  attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_DEFAULT),
		  set->n },
	};

	return sayings[i];
}

/* Each page, by each of the first GPUs. */
static void touch_all(struct vsvm_set *set, int users, char *p, size_t len)
{
	struct drm_vsvm_cmd cmds[LEN / SZ_4K];
	int n = len / SZ_4K, gpu, i;

	for (i = 0; i < n; i++)
		cmds[i] = vsvm_touch(p + i * SZ_4K);
	for (gpu = 0; gpu < users; gpu++)
		vsvm_run(set, gpu, cmds, n);
}

/* What is counted of changes that reach GPUs. */
struct counts {
	uint64_t faults[VSVM_MAX_SET];
	uint64_t zaps[VSVM_MAX_SET];
	uint64_t invalidations;
};

static struct counts count(struct vsvm_set *set)
{
	struct counts counts = {};
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		counts.faults[gpu] = attr_faults(set, gpu);
		counts.zaps[gpu] = gpu_counter(set->fd[gpu], "zaps");
	}
	counts.invalidations = vsvm_stats(set->fd[0], set->vm[0]).invalidations;
	return counts;
}

/* Nothing was taken away, and nothing is missing. */
static void expect_left_alone(struct vsvm_set *set, const struct saying *saying,
			      char *p, const struct counts *before)
{
	struct counts after;

	touch_all(set, saying->users, p, LEN);
	after = count(set);
	igt_assert_f(!memcmp(&after, before, sizeof(after)),
		     "attribute %u was set to %u again, and mappings are gone\n",
		     saying->first.type, saying->first.value);
}

/* Memory about which something was said, and that GPUs have mapped. */
static char *said(struct vsvm_set *set, const struct saying *saying)
{
	char *p = anon_aligned(LEN, SZ_2M);

	madvise(p, LEN, MADV_NOHUGEPAGE);
	pattern_fill(p, LEN, 1);
	attr_set(set, p, LEN, saying->first);
	touch_all(set, saying->users, p, LEN);
	/* What one GPU's fault moved, another one's may have had mapped. */
	touch_all(set, saying->users, p, LEN);
	return p;
}

static void same_attr(struct vsvm_set *set)
{
	int i;

	vsvm_placement("system");
	for (i = 0; i < SAYINGS; i++) {
		struct saying saying = saying_of(set, i);
		char *p = said(set, &saying);
		struct counts before = count(set);

		attr_set(set, p, LEN, saying.first);
		expect_left_alone(set, &saying, p, &before);
		/* Of a part, and of each page. */
		attr_set(set, p + SZ_64K, SZ_64K, saying.first);
		expect_left_alone(set, &saying, p, &before);
		attr_set(set, p + SZ_4K, SZ_4K, saying.first);
		attr_set(set, p + LEN - SZ_4K, SZ_4K, saying.first);
		expect_left_alone(set, &saying, p, &before);
		pattern_check(p, LEN, 1);
		munmap(p, LEN);
	}
}

static void change_attr(struct vsvm_set *set)
{
	int i, gpu;

	vsvm_placement("system");
	for (i = 0; i < SAYINGS; i++) {
		struct saying saying = saying_of(set, i);
		char *p = said(set, &saying);
		struct counts before = count(set), after;

		attr_set(set, p, LEN, saying.other);
		after = count(set);
		for (gpu = 0; gpu < saying.users; gpu++)
			igt_assert_f(after.zaps[gpu] > before.zaps[gpu],
				     "attribute %u was set to %u, and GPU %d keeps its mapping\n",
				     saying.other.type, saying.other.value, gpu);
		for (gpu = 0; gpu < saying.users; gpu++) {
			struct drm_vsvm_cmd cmd = vsvm_touch(p + SZ_4K);

			vsvm_run(set, gpu, &cmd, 1);
			igt_assert(attr_faults(set, gpu) > before.faults[gpu]);
		}
		pattern_check(p, LEN, 1);
		munmap(p, LEN);
	}
}

/* To a GPU, back, and to the next: what was written there comes along. */
static void range_device_host(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	int gpu;

	pattern_fill(p, LEN, 0);
	for (gpu = 0; gpu < set->n; gpu++) {
		attr_set(set, p, LEN, attr_preferred(set, gpu));
		vsvm_gpu_check(set, gpu, p, LEN, 3 * gpu);
		vram_expect(set, p, LEN, where_gpu(set, gpu));
		vsvm_gpu_write(set, gpu, p, LEN, 3 * gpu + 1);
		vram_expect(set, p, LEN, where_gpu(set, gpu));

		/* Not before it is used. */
		attr_set(set, p, LEN, attr_preferred(set, PREFER_SYSTEM));
		vram_expect(set, p, LEN, where_gpu(set, gpu));
		vsvm_gpu_check(set, gpu, p, LEN, 3 * gpu + 1);
		vram_expect(set, p, LEN, WHERE_SYSTEM);
		vsvm_gpu_write(set, gpu, p, LEN, 3 * gpu + 3);
		vram_expect(set, p, LEN, WHERE_SYSTEM);
	}
	pattern_check(p, LEN, 3 * set->n);
	munmap(p, LEN);
	vram_expect_empty(set);
}

/* The middle of it: where it starts, and how long it is. */
#define MID	SZ_64K
#define MID_LEN	(2 * SZ_64K)

static void expect_split(struct vsvm_set *set, const char *p, uint32_t outside,
			 uint32_t inside)
{
	struct drm_vsvm_attr_interval got[4];

	igt_assert_eq(attr_get(set, p, LEN, got, 4), 3);
	igt_assert_eq_u64(got[1].start, to_u64(p + MID));
	igt_assert_eq_u64(got[1].len, MID_LEN);
	igt_assert_eq(got[0].preferred_location, outside);
	igt_assert_eq(got[1].preferred_location, inside);
	igt_assert_eq(got[2].preferred_location, outside);
}

/*
 * The middle is said to be elsewhere, then it is another VMA as well, then all is one
 * again. Contents stay, memory is where it was said to be.
 */
static void split_vma(struct vsvm_set *set)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		char *p = anon_aligned(LEN, SZ_2M);

		attr_set(set, p, LEN, attr_preferred(set, gpu));
		vsvm_gpu_write(set, gpu, p, LEN, gpu);
		vram_expect(set, p, LEN, where_gpu(set, gpu));

		attr_set(set, p + MID, MID_LEN,
			 attr_preferred(set, PREFER_SYSTEM));
		expect_split(set, p, where_gpu(set, gpu), WHERE_SYSTEM);
		vsvm_gpu_check(set, gpu, p, LEN, gpu);
		vram_expect(set, p, MID, where_gpu(set, gpu));
		vram_expect(set, p + MID, MID_LEN, WHERE_SYSTEM);
		vram_expect(set, p + MID + MID_LEN, LEN - MID - MID_LEN,
			    where_gpu(set, gpu));

		/* Splits the VMA, and changes nothing else. */
		igt_assert(!madvise(p + MID, MID_LEN, MADV_DONTFORK));
		expect_split(set, p, where_gpu(set, gpu), WHERE_SYSTEM);
		vsvm_gpu_write(set, gpu, p, LEN, 100 + gpu);
		vram_expect(set, p + MID, MID_LEN, WHERE_SYSTEM);

		attr_set(set, p + MID, MID_LEN, attr_preferred(set, gpu));
		igt_assert_eq(attr_at(set, p, LEN).preferred_location,
			      where_gpu(set, gpu));
		vsvm_gpu_check(set, gpu, p, LEN, 100 + gpu);
		vram_expect(set, p, LEN, where_gpu(set, gpu));
		pattern_check(p, LEN, 100 + gpu);
		munmap(p, LEN);
	}
	vram_expect_empty(set);
}

/* The middle is bound explicitly: that is no matter of attributes. */
static void split_vma_with_mapping(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M), *bound = p + MID;
	uint64_t *results = userptr_results(set), gone;
	struct counts before, after;
	int gpu;

	vsvm_placement("system");
	memset(p, 3, LEN);
	userptr_bind(set, bound, MID_LEN, 0);
	userptr_expect(set, p, LEN, results, 3);

	gone = userptr_stat(set, "userptr_invalidations");
	before = count(set);
	/* It begins before the binding, and ends in it. */
	attr_set(set, p, MID + SZ_64K, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1));
	igt_assert_eq_u64(userptr_stat(set, "userptr_invalidations"), gone);
	userptr_expect(set, bound, MID_LEN, results, 3);
	after = count(set);
	igt_assert(!memcmp(after.faults, before.faults, sizeof(after.faults)));
	/* Beside it, it is as for any memory. */
	userptr_expect(set, p, LEN, results, 3);
	after = count(set);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(after.faults[gpu] > before.faults[gpu]);

	/* Also if what is beside it is to be elsewhere. */
	attr_set(set, p, MID + SZ_64K, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 0));
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p, 10 + gpu, LEN);

		attr_set(set, p, MID + SZ_64K, attr_preferred(set, gpu));
		vsvm_run(set, gpu, &cmd, 1);
		vram_expect(set, p, MID, where_gpu(set, gpu));
		userptr_expect(set, p, LEN, results, 10 + gpu);
		igt_assert_eq(p[0], 10 + gpu);
		igt_assert_eq(p[MID], 10 + gpu);
		igt_assert_eq(p[LEN - 1], 10 + gpu);
	}
	userptr_unbind(set, bound, MID_LEN);
	userptr_expect(set, p, LEN, results, 10 + set->n - 1);
	userptr_free_results(set, results);
	munmap(p, LEN);
}

igt_main
{
	each_made("no-range-invalidate-same-attr",
		  "Saying the same again takes nothing away.", MSVM_ONLY, VRAM,
		  same_attr);
	each_made("range-invalidate-change-attr",
		  "Saying something else lets the next faults decide.",
		  MSVM_ONLY, VRAM, change_attr);
	each_made("range-device-host", "To a GPU and back.", MSVM_ONLY, VRAM,
		  range_device_host);
	each_made("split-vma", "Something else is said of a part.", MSVM_ONLY,
		  VRAM, split_vma);
	each_made("split-vma-with-mapping", "Part of it is bound explicitly.",
		  MSVM_ONLY, VRAM, split_vma_with_mapping);

	igt_fixture {
		gpus_remove();
	}
}
