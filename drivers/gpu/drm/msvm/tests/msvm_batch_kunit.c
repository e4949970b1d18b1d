// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of batches: the order that faults of several devices and address
 * spaces are served in, and which of them are served once.
 */
#include <linux/prandom.h>
#include <linux/sizes.h>

#include <kunit/test.h>

#include "../msvm_batch.h"

#define SPACES 2
#define SLOTS 3
#define FAULTS 200

/* Only their addresses matter. */
static char spaces[SPACES];
static struct drm_msvm_member members[SPACES][SLOTS];

static int batch_init(struct kunit *test)
{
	int space, slot;

	for (space = 0; space < SPACES; space++) {
		for (slot = 0; slot < SLOTS; slot++) {
			members[space][slot].msvm = (void *)&spaces[space];
			members[space][slot].slot = slot;
		}
	}
	return 0;
}

static void add(struct list_head *batch, struct drm_msvm_fault *fault,
		int space, int slot, u64 addr, enum drm_msvm_access access)
{
	*fault = (struct drm_msvm_fault) {
		.member = &members[space][slot],
		.addr = addr,
		.access = access,
	};
	list_add_tail(&fault->link, batch);
}

static void expect_order(struct kunit *test, struct list_head *batch,
			 struct drm_msvm_fault *faults, const int *order, int n)
{
	struct drm_msvm_fault *fault;
	int i = 0;

	msvm_batch_sort(batch);
	list_for_each_entry(fault, batch, link) {
		KUNIT_ASSERT_LT(test, i, n);
		KUNIT_EXPECT_EQ(test, fault - faults, order[i]);
		i++;
	}
	KUNIT_EXPECT_EQ(test, i, n);
}

/* Address spaces don't mix, and within one the addresses ascend. */
static void batch_order_spaces(struct kunit *test)
{
	static const int order[] = { 1, 3, 2, 0 };
	struct drm_msvm_fault faults[4];
	LIST_HEAD(batch);

	add(&batch, &faults[0], 1, 0, SZ_4M, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[1], 0, 0, 0, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[2], 1, 1, SZ_2M, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[3], 0, 2, SZ_4M, DRM_MSVM_ACCESS_READ);
	expect_order(test, &batch, faults, order, 4);
}

/* A write anywhere in 2 MiB comes before all reads there, and only there. */
static void batch_order_writes(struct kunit *test)
{
	static const int order[] = { 0, 2, 3, 4, 1, 5 };
	struct drm_msvm_fault faults[6];
	LIST_HEAD(batch);

	add(&batch, &faults[0], 0, 0, 0, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[1], 0, 0, SZ_2M, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[2], 0, 1, SZ_2M + SZ_64K, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[3], 0, 0, SZ_2M + SZ_1M, DRM_MSVM_ACCESS_ATOMIC);
	add(&batch, &faults[4], 0, 2, SZ_2M + SZ_1M, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[5], 0, 1, SZ_2M, DRM_MSVM_ACCESS_READ);
	expect_order(test, &batch, faults, order, 6);
}

/* What is equal stays in its order; the strongest of one page comes first. */
static void batch_order_stable(struct kunit *test)
{
	static const int order[] = { 1, 0, 3, 2, 4 };
	struct drm_msvm_fault faults[5];
	LIST_HEAD(batch);

	add(&batch, &faults[0], 0, 0, 8, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[1], 0, 0, 16, DRM_MSVM_ACCESS_ATOMIC);
	add(&batch, &faults[2], 0, 0, 64, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[3], 0, 0, 0, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[4], 0, 0, 32, DRM_MSVM_ACCESS_READ);
	expect_order(test, &batch, faults, order, 5);
}

static void batch_take(struct kunit *test)
{
	struct drm_msvm_fault faults[6], *first;
	LIST_HEAD(batch);
	LIST_HEAD(taken);

	add(&batch, &faults[0], 0, 0, 0, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[1], 0, 0, SZ_4K - 1, DRM_MSVM_ACCESS_WRITE);
	/* Another member, another page, a weaker access. */
	add(&batch, &faults[2], 0, 1, 0, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[3], 0, 0, SZ_4K, DRM_MSVM_ACCESS_WRITE);
	add(&batch, &faults[4], 0, 0, 0, DRM_MSVM_ACCESS_READ);
	add(&batch, &faults[5], 0, 0, 8, DRM_MSVM_ACCESS_ATOMIC);
	msvm_batch_sort(&batch);

	KUNIT_EXPECT_EQ(test, 3, msvm_batch_take(&batch, &taken));
	/* It is served with the access of the first. */
	first = list_first_entry(&taken, struct drm_msvm_fault, link);
	KUNIT_EXPECT_PTR_EQ(test, first, &faults[5]);
	INIT_LIST_HEAD(&taken);
	KUNIT_EXPECT_EQ(test, 1, msvm_batch_take(&batch, &taken));
	KUNIT_EXPECT_EQ(test, 1, msvm_batch_take(&batch, &taken));
	KUNIT_EXPECT_EQ(test, 1, msvm_batch_take(&batch, &taken));
	KUNIT_EXPECT_TRUE(test, list_empty(&batch));
}

/*
 * Whatever comes: each fault is taken once, the first of those taken is the
 * strongest, they are one member's and one page's, and nothing that merges with
 * them is left.
 */
static void batch_random(struct kunit *test)
{
	struct drm_msvm_fault *faults, *first, *fault, *next;
	struct rnd_state rnd;
	int i, round, total;

	faults = kunit_kcalloc(test, FAULTS, sizeof(*faults), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, faults);
	prandom_seed_state(&rnd, 1);

	for (round = 0; round < 100; round++) {
		LIST_HEAD(batch);

		for (i = 0; i < FAULTS; i++)
			add(&batch, &faults[i],
			    prandom_u32_state(&rnd) % SPACES,
			    prandom_u32_state(&rnd) % SLOTS,
			    (u64)(prandom_u32_state(&rnd) % 2048) * SZ_2K,
			    prandom_u32_state(&rnd) % 3);
		msvm_batch_sort(&batch);
		for (total = 0; !list_empty(&batch);) {
			LIST_HEAD(taken);

			total += msvm_batch_take(&batch, &taken);
			first = list_first_entry(&taken, struct drm_msvm_fault,
						 link);
			list_for_each_entry_safe(fault, next, &taken, link) {
				KUNIT_ASSERT_TRUE(test, msvm_batch_merges(first, fault));
				KUNIT_ASSERT_GE(test, first->access, fault->access);
			}
			list_for_each_entry(fault, &batch, link)
				KUNIT_ASSERT_FALSE(test, msvm_batch_merges(first, fault));
		}
		KUNIT_ASSERT_EQ(test, total, FAULTS);
	}
}

static struct kunit_case msvm_batch_cases[] = {
	KUNIT_CASE(batch_order_spaces),
	KUNIT_CASE(batch_order_writes),
	KUNIT_CASE(batch_order_stable),
	KUNIT_CASE(batch_take),
	KUNIT_CASE(batch_random),
	{}
};

static struct kunit_suite msvm_batch_suite = {
	.name = "drm_msvm_batch",
	.init = batch_init,
	.test_cases = msvm_batch_cases,
};

kunit_test_suite(msvm_batch_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's batches of faults");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
