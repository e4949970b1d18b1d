// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of runs: every page is described exactly once, in order and with
 * its own right to be written, whatever huge, contiguous and scattered pages
 * come together.
 */
#include <linux/hmm.h>
#include <linux/prandom.h>

#include <kunit/test.h>

#include "../msvm_runs.h"

#define MAX_PAGES 512

static unsigned long hmm_pfn(unsigned long pfn, unsigned int order, bool write)
{
	return pfn | (unsigned long)order << HMM_PFN_ORDER_SHIFT |
	       HMM_PFN_VALID | (write ? HMM_PFN_WRITE : 0);
}

static unsigned long *alloc_pfns(struct kunit *test)
{
	unsigned long *pfns;

	pfns = kunit_kcalloc(test, MAX_PAGES, sizeof(*pfns), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pfns);
	return pfns;
}

/* Compact @pfns and check the runs against them, page by page. */
static unsigned long check_compact(struct kunit *test,
				   const unsigned long *pfns,
				   unsigned long npages, bool *writable)
{
	unsigned long *words, nr, i, page = 0, k;

	words = kunit_kmalloc_array(test, npages, sizeof(*words), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, words);
	memcpy(words, pfns, npages * sizeof(*words));

	nr = msvm_runs_compact(words, npages, ULONG_MAX, writable);
	for (i = 0; i < nr; i++) {
		unsigned long pfn = msvm_run_pfn(words[i]);
		unsigned long n = 1UL << msvm_run_order(words[i]);

		KUNIT_ASSERT_LE(test, page + n, npages);
		for (k = 0; k < n; k++, page++) {
			KUNIT_ASSERT_EQ(test, pfn + k,
					pfns[page] & ~HMM_PFN_FLAGS);
			KUNIT_ASSERT_EQ(test, msvm_run_writable(words[i]),
					!!(pfns[page] & HMM_PFN_WRITE));
		}
	}
	KUNIT_EXPECT_EQ(test, page, npages);

	return nr;
}

static void runs_huge_page(struct kunit *test)
{
	unsigned long *pfns = alloc_pfns(test), i;
	bool writable;

	for (i = 0; i < MAX_PAGES; i++)
		pfns[i] = hmm_pfn(0x200 + i, 9, true);
	KUNIT_EXPECT_EQ(test, 1, check_compact(test, pfns, MAX_PAGES, &writable));
	KUNIT_EXPECT_TRUE(test, writable);
}

/* A range may begin and end within a huge page. */
static void runs_part_of_huge_page(struct kunit *test)
{
	unsigned long pfns[16], i;
	bool writable;

	for (i = 0; i < 16; i++)
		pfns[i] = hmm_pfn(0x200 + 500 - 16 + i, 9, true);
	KUNIT_EXPECT_EQ(test, 1, check_compact(test, pfns, 16, &writable));
	/* ... and cross its end into another one that does not follow. */
	for (i = 0; i < 16; i++)
		pfns[i] = i < 5 ? hmm_pfn(0x3fb + i, 9, true) :
				  hmm_pfn(0x800 + i - 5, 9, true);
	/* 5 = 4 + 1, 11 = 8 + 2 + 1 */
	KUNIT_EXPECT_EQ(test, 5, check_compact(test, pfns, 16, &writable));
}

static void runs_scattered(struct kunit *test)
{
	unsigned long *pfns = alloc_pfns(test), i;
	bool writable;

	for (i = 0; i < MAX_PAGES; i++)
		pfns[i] = hmm_pfn(0x1000 + 2 * (MAX_PAGES - i), 0, true);
	KUNIT_EXPECT_EQ(test, MAX_PAGES,
			check_compact(test, pfns, MAX_PAGES, &writable));
}

static void runs_contiguous_small_pages(struct kunit *test)
{
	unsigned long *pfns = alloc_pfns(test), i;
	bool writable;

	for (i = 0; i < MAX_PAGES; i++)
		pfns[i] = hmm_pfn(0x1001 + i, 0, true);
	KUNIT_EXPECT_EQ(test, 1, check_compact(test, pfns, MAX_PAGES, &writable));
}

/* One page that may not be written makes the whole not writable. */
static void runs_one_read_only_page(struct kunit *test)
{
	unsigned long *pfns = alloc_pfns(test), i, bad;
	bool writable;

	for (bad = 0; bad < MAX_PAGES; bad += 73) {
		for (i = 0; i < MAX_PAGES; i++)
			pfns[i] = hmm_pfn(0x1001 + i, 0, i != bad);
		check_compact(test, pfns, MAX_PAGES, &writable);
		KUNIT_EXPECT_FALSE(test, writable);
	}
}

/* Contiguous pages with different rights are different runs. */
static void runs_rights_differ(struct kunit *test)
{
	unsigned long pfns[16], i;
	bool writable;

	for (i = 0; i < 16; i++)
		pfns[i] = hmm_pfn(0x1000 + i, 0, i >= 8);
	KUNIT_EXPECT_EQ(test, 2, check_compact(test, pfns, 16, &writable));
	KUNIT_EXPECT_FALSE(test, writable);
	for (i = 0; i < 16; i++)
		pfns[i] = hmm_pfn(0x1000 + i, 0, i % 2);
	KUNIT_EXPECT_EQ(test, 16, check_compact(test, pfns, 16, &writable));
}

static void runs_random(struct kunit *test)
{
	static const unsigned int orders[] = { 0, 0, 0, 1, 2, 4, 9 };
	unsigned long *pfns = alloc_pfns(test);
	struct rnd_state rnd;
	const u64 seed = 20261120;
	int round;

	prandom_seed_state(&rnd, seed);
	kunit_info(test, "seed %llu", seed);

	for (round = 0; round < 2000; round++) {
		unsigned long npages = prandom_u32_state(&rnd) % MAX_PAGES + 1;
		unsigned long next = 0x10000, i = 0, k;
		bool writable, all = true;

		while (i < npages) {
			unsigned int order = orders[prandom_u32_state(&rnd) %
						    ARRAY_SIZE(orders)];
			unsigned long size = 1UL << order;
			bool write = prandom_u32_state(&rnd) % 64;
			unsigned long skip = i ? 0 : prandom_u32_state(&rnd) % size;

			/* Sometimes right behind the one before. */
			next = ALIGN(next, size);
			if (prandom_u32_state(&rnd) % 2)
				next += size;
			for (k = skip; k < size && i < npages; k++, i++) {
				pfns[i] = hmm_pfn(next + k, order, write);
				all &= write;
			}
			next += size;
		}
		check_compact(test, pfns, npages, &writable);
		KUNIT_ASSERT_EQ(test, all, writable);
	}
}

/* Pages of device memory, from frame 4096 on, in blocks of 64 pages. */
static void runs_merge(struct kunit *test)
{
	const unsigned long block = 64;
	struct rnd_state rnd;
	u64 *runs, *merged;
	unsigned int round;

	runs = kunit_kcalloc(test, MAX_PAGES, sizeof(*runs), GFP_KERNEL);
	merged = kunit_kcalloc(test, MAX_PAGES, sizeof(*runs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, runs);
	KUNIT_ASSERT_NOT_NULL(test, merged);
	prandom_seed_state(&rnd, 42);
	for (round = 0; round < 50; round++) {
		unsigned long pfn = 4096, i, out = 0, at = 0, page = 0;

		for (i = 0; i < MAX_PAGES; i++) {
			u32 what = prandom_u32_state(&rnd) % 64;

			/* Now and then a gap, or a page that may not be written. */
			pfn += 1 + (what == 1 && round);
			runs[i] = msvm_run_encode(pfn, 0, what != 2 || !round);
		}
		memcpy(merged, runs, MAX_PAGES * sizeof(*runs));
		for (i = 0; i < MAX_PAGES;)
			i = msvm_runs_merge(merged, MAX_PAGES, i,
					    round_down(msvm_run_pfn(merged[i]), block) + block,
					    &out);
		for (at = 0; at < out; at++) {
			unsigned long n = BIT(msvm_run_order(merged[at])), k;

			pfn = msvm_run_pfn(merged[at]);
			KUNIT_EXPECT_EQ(test, pfn / block, (pfn + n - 1) / block);
			for (k = 0; k < n; k++, page++)
				KUNIT_ASSERT_EQ(test, runs[page],
						msvm_run_encode(pfn + k, 0,
								msvm_run_writable(merged[at])));
		}
		KUNIT_EXPECT_EQ(test, page, MAX_PAGES);
		/* 4097 to 4608: whole blocks but for 63 pages first and 1 last. */
		if (!round)
			KUNIT_EXPECT_EQ(test, out, 6 + 7 + 1);
	}
}

static struct kunit_case msvm_runs_cases[] = {
	KUNIT_CASE(runs_huge_page),
	KUNIT_CASE(runs_part_of_huge_page),
	KUNIT_CASE(runs_scattered),
	KUNIT_CASE(runs_contiguous_small_pages),
	KUNIT_CASE(runs_one_read_only_page),
	KUNIT_CASE(runs_rights_differ),
	KUNIT_CASE(runs_random),
	KUNIT_CASE(runs_merge),
	{}
};

static struct kunit_suite msvm_runs_suite = {
	.name = "drm_msvm_runs",
	.test_cases = msvm_runs_cases,
};

kunit_test_suite(msvm_runs_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's runs");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
