// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of the intervals with attributes, against a model that has attributes
 * for each page: they say the same after every change, those that touch differ, and
 * no node is lost or won.
 */
#include <linux/prandom.h>
#include <linux/slab.h>

#include <kunit/test.h>

#include "../msvm_attr_tree.h"

/* Pages of the model, and more nodes than they can ever take. */
#define PAGES	96
#define NODES	(3 * PAGES)

struct model {
	struct msvm_attr_tree tree;
	struct list_head spares;
	struct msvm_attrs pages[PAGES];
	struct rnd_state random;
};

static void model_init(struct kunit *test, struct model *m)
{
	struct msvm_attr_node *nodes;
	unsigned int i;

	nodes = kunit_kcalloc(test, NODES, sizeof(*nodes), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, nodes);
	m->tree = (struct msvm_attr_tree) { .root = RB_ROOT };
	INIT_LIST_HEAD(&m->spares);
	for (i = 0; i < NODES; i++)
		list_add(&nodes[i].link, &m->spares);
	for (i = 0; i < PAGES; i++)
		m->pages[i] = msvm_attrs_none();
	prandom_seed_state(&m->random, 20260101);
}

static struct model *model_new(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	model_init(test, m);
	return m;
}

static unsigned int below(struct model *m, unsigned int n)
{
	return prandom_u32_state(&m->random) % n;
}

static unsigned long spares(struct model *m)
{
	return list_count_nodes(&m->spares);
}

/* All pages say what the model does, and intervals are as large as can be. */
static void model_check(struct kunit *test, struct model *m)
{
	unsigned long page, start, end, nr = 0, next = 0, first, last;
	struct msvm_attrs attrs, next_attrs;
	bool said;

	for (page = 0; page < PAGES; page++) {
		start = 0;
		end = PAGES;
		said = msvm_attr_tree_lookup(&m->tree, page, &start, &end, &attrs);
		KUNIT_ASSERT_EQ(test, said, msvm_attrs_say(&attrs));
		KUNIT_ASSERT_TRUE(test, msvm_attrs_equal(&attrs, &m->pages[page]));
		KUNIT_ASSERT_LE(test, start, page);
		KUNIT_ASSERT_GT(test, end, page);
		if (page < next)
			continue;
		KUNIT_ASSERT_EQ(test, start, page);
		if (page) {
			bool same = msvm_attrs_equal(&attrs, &m->pages[page - 1]);

			KUNIT_ASSERT_FALSE(test, same);
		}
		next = end;
		nr += said;
		if (!said)
			continue;
		/* One after the other, from wherever they are looked for. */
		first = nr == 1 ? 0 : start;
		KUNIT_ASSERT_TRUE(test, msvm_attr_tree_next(&m->tree, &first,
							    &last, &next_attrs));
		KUNIT_ASSERT_EQ(test, first, start);
		KUNIT_ASSERT_EQ(test, last, end);
		KUNIT_ASSERT_TRUE(test, msvm_attrs_equal(&attrs, &next_attrs));
		first = end - 1;
		KUNIT_ASSERT_TRUE(test, msvm_attr_tree_next(&m->tree, &first,
							    &last, &next_attrs));
		KUNIT_ASSERT_EQ(test, first, start);
	}
	KUNIT_ASSERT_EQ(test, m->tree.nr, nr);
	first = PAGES;
	KUNIT_ASSERT_FALSE(test, msvm_attr_tree_next(&m->tree, &first, &last,
						     &next_attrs));
	KUNIT_ASSERT_EQ(test, spares(m) + nr, NODES);
}

/* A few bits of each kind, so that equal neighbours are common. */
static int change_random(struct msvm_attrs *attrs, void *data)
{
	unsigned int what = *(unsigned int *)data;
	u64 bit = BIT_ULL(what >> 4 & 1 ? 63 : 0);

	switch (what & 7) {
	case 0:
		attrs->accessed_by |= bit;
		break;
	case 1:
		attrs->accessed_by &= ~bit;
		break;
	case 2:
		attrs->no_access ^= bit;
		break;
	case 3:
		attrs->preferred = what & 16 ? MSVM_ATTR_SYSTEM : MSVM_ATTR_NONE;
		break;
	case 4:
		attrs->read_mostly = what & 16;
		break;
	case 5:
		attrs->granularity = what & 16 ? 16 : 0;
		break;
	default:
		*attrs = msvm_attrs_none();
	}
	return 0;
}

static int refuse_preferred(struct msvm_attrs *attrs, void *data)
{
	return attrs->preferred == MSVM_ATTR_NONE ? 0 : -EBUSY;
}

static void attr_random(struct kunit *test)
{
	struct model *m = model_new(test);
	unsigned long start, end, page, had, need;
	unsigned int i, what;
	bool refused;

	for (i = 0; i < 3000; i++) {
		start = below(m, PAGES);
		end = start + 1 + below(m, PAGES - start);
		what = below(m, 32);
		had = spares(m);

		if (below(m, 4)) {
			need = msvm_attr_tree_need(&m->tree, start, end);
			msvm_attr_tree_change(&m->tree, start, end,
					      change_random, &what, &m->spares);
			KUNIT_ASSERT_LE(test, had, spares(m) + need);
			for (page = start; page < end; page++)
				change_random(&m->pages[page], &what);
		} else {
			KUNIT_ASSERT_TRUE(test,
					  msvm_attr_tree_drop(&m->tree, start, end,
							      &m->spares));
			KUNIT_ASSERT_LE(test, had, spares(m) + 1);
			for (page = start; page < end; page++)
				m->pages[page] = msvm_attrs_none();
		}
		model_check(test, m);

		refused = false;
		for (page = start; page < end; page++)
			refused |= m->pages[page].preferred != MSVM_ATTR_NONE;
		KUNIT_ASSERT_EQ(test, refused ? -EBUSY : 0,
				msvm_attr_tree_check(&m->tree, start, end,
						     refuse_preferred, NULL));
	}
	msvm_attr_tree_clear(&m->tree, &m->spares);
	KUNIT_EXPECT_EQ(test, m->tree.nr, 0);
	KUNIT_EXPECT_EQ(test, spares(m), NODES);
}

static int set_read_mostly(struct msvm_attrs *attrs, void *data)
{
	attrs->read_mostly = data;
	return 0;
}

/* A hole in one interval takes a node; without one nothing is dropped. */
static void attr_hole(struct kunit *test)
{
	struct model *m = model_new(test);
	LIST_HEAD(none);

	msvm_attr_tree_change(&m->tree, 10, 20, set_read_mostly, m, &m->spares);
	KUNIT_EXPECT_FALSE(test, msvm_attr_tree_drop(&m->tree, 12, 15, &none));
	KUNIT_EXPECT_EQ(test, m->tree.nr, 1);
	/* The ends need none, and those that are freed serve the next hole. */
	KUNIT_EXPECT_TRUE(test, msvm_attr_tree_drop(&m->tree, 5, 11, &none));
	KUNIT_EXPECT_TRUE(test, msvm_attr_tree_drop(&m->tree, 19, 30, &none));
	KUNIT_EXPECT_TRUE(test, list_empty(&none));
	KUNIT_EXPECT_TRUE(test, msvm_attr_tree_drop(&m->tree, 12, 15, &m->spares));
	KUNIT_EXPECT_EQ(test, m->tree.nr, 2);
	KUNIT_EXPECT_TRUE(test, msvm_attr_tree_drop(&m->tree, 0, 12, &none));
	KUNIT_EXPECT_FALSE(test, list_empty(&none));
	KUNIT_EXPECT_TRUE(test, msvm_attr_tree_drop(&m->tree, 16, 17, &none));
	KUNIT_EXPECT_TRUE(test, list_empty(&none));
	KUNIT_EXPECT_EQ(test, m->tree.nr, 2);
	for (unsigned int i = 15; i < 19; i++)
		m->pages[i].read_mostly = i != 16;
	model_check(test, m);
}

/* Without a node what follows the hole goes with it, and nothing else. */
static void attr_tail(struct kunit *test)
{
	struct model *m = model_new(test);
	LIST_HEAD(none);

	msvm_attr_tree_change(&m->tree, 10, 20, set_read_mostly, m, &m->spares);
	msvm_attr_tree_change(&m->tree, 22, 24, set_read_mostly, m, &m->spares);
	msvm_attr_tree_drop_tail(&m->tree, 12, 15, &none);
	KUNIT_EXPECT_TRUE(test, list_empty(&none));
	KUNIT_EXPECT_EQ(test, m->tree.nr, 2);
	/* Where none is needed it is a drop like any other. */
	msvm_attr_tree_drop_tail(&m->tree, 11, 23, &none);
	KUNIT_EXPECT_TRUE(test, list_empty(&none));
	KUNIT_EXPECT_EQ(test, m->tree.nr, 2);
	m->pages[10].read_mostly = true;
	m->pages[23].read_mostly = true;
	model_check(test, m);
}

/* All addresses there are. */
static void attr_all(struct kunit *test)
{
	struct model *m = model_new(test);
	unsigned long start = 0, end = ULONG_MAX;
	struct msvm_attrs attrs;

	msvm_attr_tree_change(&m->tree, 0, ULONG_MAX, set_read_mostly, m,
			      &m->spares);
	KUNIT_EXPECT_TRUE(test, msvm_attr_tree_lookup(&m->tree, ULONG_MAX - 1,
						      &start, &end, &attrs));
	KUNIT_EXPECT_EQ(test, start, 0);
	KUNIT_EXPECT_EQ(test, end, ULONG_MAX);
	msvm_attr_tree_change(&m->tree, 0, ULONG_MAX, set_read_mostly, NULL,
			      &m->spares);
	KUNIT_EXPECT_EQ(test, m->tree.nr, 0);
	model_check(test, m);
}

static struct kunit_case attr_cases[] = {
	KUNIT_CASE(attr_random),
	KUNIT_CASE(attr_hole),
	KUNIT_CASE(attr_tail),
	KUNIT_CASE(attr_all),
	{}
};

static struct kunit_suite attr_suite = {
	.name = "drm_msvm_attr",
	.test_cases = attr_cases,
};

kunit_test_suite(attr_suite);

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_DESCRIPTION("KUnit tests of drm_msvm's intervals with attributes");
MODULE_LICENSE("Dual MIT/GPL");
