// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of prefetch: the tree over a block, against a slow count; windows by
 * each mode, within their limits; and streams. Built into a program in user space
 * as well: tools/policy.
 */
#include <linux/prandom.h>

#include <kunit/test.h>

#include "msvm_policy_fixture.h"

static void tree_small(struct kunit *test)
{
	static const struct {
		u32 present;
		unsigned int leaf, percent, first, count;
	} rows[] = {
		{ 0x0, 0, 51, 0, 1 },		/* half of two is not more than 51 % */
		{ 0x0, 0, 49, 0, 2 },
		{ 0x2, 0, 51, 0, 2 },
		{ 0x6, 0, 51, 0, 4 },		/* 3 of 4 */
		{ 0x6, 3, 51, 0, 4 },
		{ 0x00000f00, 12, 51, 8, 8 },	/* 5 of 8 */
		{ 0x0000ff00, 0, 51, 0, 16 },	/* the other half is there: 9 of 16 */
		{ 0xffff0000, 0, 51, 0, 32 },
		{ 0xffff0000, 0, 53, 0, 32 },
		{ 0xffff0000, 0, 54, 0, 1 },	/* 17 of 32 are 53.1 % */
		{ 0xffffffff, 7, 100, 7, 1 },	/* more than all is never */
		{ 0xffffffff, 7, 99, 0, 32 },
		{ 0x0, 31, 1, 0, 32 },
		{ 0x0, 31, 4, 16, 16 },		/* 1 of 32 is 3.1 % */
		{ 0x0, 31, 3, 0, 32 },
	};
	unsigned int i, first, count;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		msvm_tree_window(rows[i].present, rows[i].leaf, rows[i].percent,
				 &first, &count);
		KUNIT_EXPECT_EQ_MSG(test, first, rows[i].first, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, count, rows[i].count, "row %u", i);
	}
}

static void tree_random(struct kunit *test)
{
	unsigned int round, first, count, size, i, in;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 51);
	for (round = 0; round < 20000; round++) {
		u32 present = prandom_u32_state(&rnd) & prandom_u32_state(&rnd);
		unsigned int leaf = prandom_u32_state(&rnd) % 32;
		u32 percent = 1 + prandom_u32_state(&rnd) % 100;
		unsigned int best = 1;

		for (size = 2; size <= 32; size *= 2) {
			for (in = 0, i = leaf / size * size;
			     i < leaf / size * size + size; i++)
				in += i == leaf || present & BIT(i);
			if (in * 100 > percent * size)
				best = size;
		}
		msvm_tree_window(present, leaf, percent, &first, &count);
		KUNIT_ASSERT_EQ(test, count, best);
		KUNIT_ASSERT_EQ(test, first, leaf / best * best);
	}
}

struct window_row {
	const char *what;
	enum msvm_prefetch_mode mode;
	u8 attr;		/* mode + 1 */
	u8 granularity;
	u64 offset, size;	/* of the range, in KiB from BASE */
	u32 present;
	s64 stream;		/* KiB before (or behind) which the last move ended */
	s8 run;
	u64 limit_start, limit_end;	/* KiB from BASE - 8 MiB; 0: far */
	u64 free;		/* KiB; 0: much */
	u32 piece;		/* KiB, of placement interleave; 0: another one */
	u8 moves;
	s64 start, end;		/* expected, KiB from BASE; both 0: none */
};

#define NONE	.mode = MSVM_PREFETCH_NONE
#define BLOCK	.mode = MSVM_PREFETCH_BLOCK
#define TREE	.mode = MSVM_PREFETCH_TREE

static const struct window_row window_rows[] = {
	{ "none", NONE, .offset = 64, .size = 64 },
	{ "block", BLOCK, .offset = 64, .size = 64, .end = 2048 },
	{ "block, whole", BLOCK, .size = 2048 },
	{ "block, limits", BLOCK, .offset = 64, .size = 64, .limit_start = 8192 + 32,
	  .limit_end = 8192 + 1024, .start = 32, .end = 1024 },
	{ "block, no room", BLOCK, .offset = 64, .size = 64, .free = 1024 },
	{ "block, restless", BLOCK, .offset = 64, .size = 64, .moves = 3 },
	{ "block by attribute", NONE, .attr = MSVM_PREFETCH_BLOCK + 1, .size = 4,
	  .end = 2048 },
	{ "none by attribute", BLOCK, .attr = MSVM_PREFETCH_NONE + 1, .size = 4 },
	{ "granularity", NONE, .granularity = 20, .offset = 1024 + 4, .size = 4,
	  .start = 1024, .end = 2048 },
	{ "granularity beyond a block", NONE, .granularity = 22, .offset = 2048,
	  .size = 4, .end = 4096 },
	{ "granularity, limits", NONE, .granularity = 63, .size = 4,
	  .limit_start = 8192, .limit_end = 8192 + 16, .end = 16 },
	{ "tree, alone", TREE, .offset = 64, .size = 64 },
	{ "tree, part of a leaf", TREE, .offset = 68, .size = 4, .start = 64, .end = 128 },
	{ "tree, dense", TREE, .offset = 64, .size = 64, .present = 0xc, .end = 256 },
	{ "tree, most", TREE, .size = 64, .present = 0xffff0000, .end = 2048 },
	{ "tree, a range of half", TREE, .size = 1024, .present = 0x10000, .end = 2048 },
	{ "stream, up", BLOCK, .size = 2048, .run = 2, .end = 4096 },
	{ "stream, fast", BLOCK, .size = 2048, .run = 4, .end = 8192 },
	{ "stream, longest", TREE, .size = 2048, .run = 100, .end = 10240 },
	{ "stream, to the limit", BLOCK, .size = 2048, .run = 100,
	  .limit_end = 8192 + 3072, .end = 3072 },
	{ "stream, down", BLOCK, .size = 2048, .run = -2, .start = -2048, .end = 2048 },
	{ "stream, other way", BLOCK, .size = 2048, .run = 3, .stream = 4096 },
	{ "stream, not yet", BLOCK, .size = 2048, .run = 1 },
	{ "stream, interleaved", BLOCK, .size = 64, .run = 4, .piece = 4096,
	  .end = 4096 },
	{ "block, interleaved", BLOCK, .offset = 576, .size = 64, .piece = 512,
	  .start = 512, .end = 1024 },
	{ "tree, interleaved", TREE, .size = 64, .present = 0xffff0000, .piece = 128,
	  .end = 128 },
	{ "block, a piece", BLOCK, .offset = 64, .size = 64, .piece = 64 },
	{ "block, less than a piece", BLOCK, .size = 64, .piece = 4 },
	{ "stream, none", NONE, .size = 2048, .run = 10 },
};

static void tree_windows(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision d;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(window_rows); i++) {
		const struct window_row *row = &window_rows[i];
		u64 base = BASE - 8 * MB;

		fixture_reset(f);
		f->params.prefetch = row->mode;
		if (row->piece) {
			f->params.placement = MSVM_PLACEMENT_INTERLEAVE;
			f->params.interleave_kib = row->piece;
			/* All pieces are the same device's. */
			f->slots[1].weight = 0;
			f->slots[2].weight = 0;
		}
		f->attrs.prefetch = row->attr;
		f->attrs.granularity = row->granularity;
		f->view.attrs = &f->attrs;
		f->view.start = BASE + row->offset * 1024;
		f->view.end = f->view.start + row->size * 1024;
		f->view.present = row->present;
		f->view.limit_start = row->limit_start ? base + row->limit_start * 1024 :
							 BASE - GB;
		f->view.limit_end = row->limit_end ? base + row->limit_end * 1024 :
						     BASE + GB;
		f->slots[0].free = row->free ? row->free * 1024 : GB;
		f->heat.moves = row->moves;
		f->stream.run = row->run;
		f->stream.start = row->run < 0 ? f->view.end :
				  f->view.start - 2 * MB - row->stream * 1024;
		f->stream.end = f->stream.start + 2 * MB;
		f->view.stream = &f->stream;
		msvm_decide(&f->params, &f->view, &d);
		KUNIT_EXPECT_EQ_MSG(test, d.action, MSVM_MOVE, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, (s64)d.window_start,
				    row->end ? (s64)BASE + row->start * 1024 : 0,
				    "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, (s64)d.window_end,
				    row->end ? (s64)BASE + row->end * 1024 : 0,
				    "%s", row->what);
	}
}

/* Nothing was moved along. */
static void tree_moved(struct msvm_stream *stream, u64 start, u64 end)
{
	msvm_stream_moved(stream, start, end, start, end);
}

static void tree_stream(struct kunit *test)
{
	struct msvm_stream stream = {};
	int i;

	for (i = 0; i < 300; i++) {
		tree_moved(&stream, i * 2 * MB, (i + 1) * 2 * MB);
		KUNIT_EXPECT_EQ(test, stream.run, min(i, 100));
	}
	tree_moved(&stream, 298 * 2 * MB, 299 * 2 * MB);
	KUNIT_EXPECT_EQ(test, stream.run, -1);
	for (i = 297; i >= 0; i--)
		tree_moved(&stream, i * 2 * MB, (i + 1) * 2 * MB);
	KUNIT_EXPECT_EQ(test, stream.run, -100);
	tree_moved(&stream, 500 * MB, 502 * MB);
	KUNIT_EXPECT_EQ(test, stream.run, 0);

	/* Back to where a part of the tree begins, and within it; then on. */
	stream = (struct msvm_stream) { .start = 2 * MB, .end = 3 * MB, .run = 5 };
	msvm_stream_moved(&stream, 3 * MB, 3 * MB + 65536, 2 * MB, 4 * MB);
	KUNIT_EXPECT_EQ(test, stream.run, 5);
	tree_moved(&stream, 3 * MB + 65536, 3 * MB + 131072);
	KUNIT_EXPECT_EQ(test, stream.run, 5);
	KUNIT_EXPECT_EQ(test, stream.end, 4 * MB);
	tree_moved(&stream, 4 * MB, 4 * MB + 65536);
	KUNIT_EXPECT_EQ(test, stream.run, 6);
	/* Somewhere else. */
	tree_moved(&stream, 5 * MB, 5 * MB + 65536);
	KUNIT_EXPECT_EQ(test, stream.run, 0);
}

#define PASS_BLOCKS	32

/*
 * One pass through many blocks in ranges of a size, up or down: what was decided is done,
 * but what is moved along only @lag faults later. Return: faults; @across: windows that
 * go beyond the block of their range.
 */
static unsigned int tree_pass(struct kunit *test, struct fixture *f,
			      enum msvm_prefetch_mode mode, u64 size, bool up,
			      unsigned int lag, unsigned int *across)
{
	const unsigned int leaves = PASS_BLOCKS * MSVM_TREE_LEAVES;
	const unsigned int step = size / MSVM_TREE_LEAF;
	struct { unsigned int from, to; } windows[8] = {};
	unsigned int faults = 0, i, k, leaf;
	struct msvm_decision d;
	bool *there;

	there = kunit_kzalloc(test, leaves * sizeof(*there), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, there);
	fixture_reset(f);
	f->params.prefetch = mode;
	f->view.stream = &f->stream;
	f->view.limit_start = BASE;
	f->view.limit_end = BASE + PASS_BLOCKS * MSVM_TREE_BLOCK;
	*across = 0;
	for (i = 0; i < leaves; i += step) {
		unsigned int first = up ? i : leaves - step - i;
		u64 from, to, block;

		if (there[first])
			continue;
		f->view.start = BASE + first * MSVM_TREE_LEAF;
		f->view.end = f->view.start + size;
		block = f->view.start & ~(MSVM_TREE_BLOCK - 1);
		f->view.present = 0;
		leaf = (block - BASE) / MSVM_TREE_LEAF;
		for (k = 0; k < MSVM_TREE_LEAVES; k++)
			f->view.present |= there[leaf + k] ? BIT(k) : 0;
		msvm_decide(&f->params, &f->view, &d);
		KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
		from = d.window_end ? d.window_start : f->view.start;
		to = d.window_end ?: f->view.end;
		*across += from < block || to > block + MSVM_TREE_BLOCK;
		msvm_stream_moved(&f->stream, f->view.start, f->view.end, from,
				  to);
		memset(there + first, true, step);
		windows[faults % 8].from = (from - BASE) / MSVM_TREE_LEAF;
		windows[faults % 8].to = (to - BASE) / MSVM_TREE_LEAF;
		if (faults >= lag) {
			k = (faults - lag) % 8;
			memset(there + windows[k].from, true,
			       windows[k].to - windows[k].from);
		}
		faults++;
	}
	return faults;
}

static void tree_passes(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	static const u64 sizes[] = { 64 << 10, 1 << 20 };
	unsigned int i, up, across, faults;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (up = 0; up < 2; up++) {
			faults = tree_pass(test, f, MSVM_PREFETCH_TREE, sizes[i],
					   up, 0, &across);
			KUNIT_EXPECT_LE(test, faults, 24);
			KUNIT_EXPECT_GE(test, across, 6);
			faults = tree_pass(test, f, MSVM_PREFETCH_BLOCK,
					   sizes[i], up, 0, &across);
			KUNIT_EXPECT_LE(test, faults, 12);
			KUNIT_EXPECT_GE(test, across, 6);
			/* The device is faster than what is moved along. */
			tree_pass(test, f, MSVM_PREFETCH_TREE, sizes[i], up, 3,
				  &across);
			KUNIT_EXPECT_GE(test, across, 6);
			tree_pass(test, f, MSVM_PREFETCH_BLOCK, sizes[i], up, 3,
				  &across);
			KUNIT_EXPECT_GE(test, across, 6);
		}
	}
}

static struct kunit_case msvm_tree_cases[] = {
	KUNIT_CASE(tree_small),
	KUNIT_CASE(tree_random),
	KUNIT_CASE(tree_windows),
	KUNIT_CASE(tree_stream),
	KUNIT_CASE(tree_passes),
	{}
};

static struct kunit_suite msvm_tree_suite = {
	.name = "drm_msvm_tree",
	.test_cases = msvm_tree_cases,
};

kunit_test_suite(msvm_tree_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's prefetch");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
