// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Intervals with attributes: looking up, splitting, merging, dropping. Pure: no
 * lock, no allocation. Nodes come from a list of spare ones and go back there, so
 * whoever has enough of them can't fail; dropping needs one at most.
 */
#include <linux/bug.h>
#include <linux/minmax.h>

#include <kunit/visibility.h>

#include "msvm_attr_tree.h"

bool msvm_attrs_equal(const struct msvm_attrs *a, const struct msvm_attrs *b)
{
	return a->accessed_by == b->accessed_by &&
	       a->no_access == b->no_access && a->preferred == b->preferred &&
	       a->read_mostly == b->read_mostly && a->prefetch == b->prefetch &&
	       a->granularity == b->granularity && a->atomics == b->atomics;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attrs_equal);

/* Do they say anything? */
bool msvm_attrs_say(const struct msvm_attrs *attrs)
{
	const struct msvm_attrs none = msvm_attrs_none();

	return !msvm_attrs_equal(attrs, &none);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attrs_say);

static struct msvm_attr_node *msvm_attr_node_of(struct rb_node *rb)
{
	return rb ? rb_entry(rb, struct msvm_attr_node, rb) : NULL;
}

static struct msvm_attr_node *msvm_attr_next(struct msvm_attr_node *node)
{
	return msvm_attr_node_of(rb_next(&node->rb));
}

/* The first that ends above @addr: it contains @addr or comes after. */
static struct msvm_attr_node *
msvm_attr_tree_first(const struct msvm_attr_tree *tree, unsigned long addr)
{
	struct rb_node *rb = tree->root.rb_node;
	struct msvm_attr_node *found = NULL;

	while (rb) {
		struct msvm_attr_node *node = msvm_attr_node_of(rb);

		if (node->end > addr) {
			found = node;
			rb = rb->rb_left;
		} else {
			rb = rb->rb_right;
		}
	}
	return found;
}

static void msvm_attr_insert(struct msvm_attr_tree *tree,
			     struct msvm_attr_node *node)
{
	struct rb_node **link = &tree->root.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		if (node->start < msvm_attr_node_of(parent)->start)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&node->rb, parent, link);
	rb_insert_color(&node->rb, &tree->root);
	tree->nr++;
}

static void msvm_attr_erase(struct msvm_attr_tree *tree,
			    struct msvm_attr_node *node,
			    struct list_head *spares)
{
	rb_erase(&node->rb, &tree->root);
	tree->nr--;
	list_add(&node->link, spares);
}

/* Put an interval in, of a spare node; there is one. */
static void msvm_attr_add(struct msvm_attr_tree *tree, unsigned long start,
			  unsigned long end, const struct msvm_attrs *attrs,
			  struct list_head *spares)
{
	struct msvm_attr_node *node =
		list_first_entry_or_null(spares, struct msvm_attr_node, link);

	if (WARN_ON_ONCE(!node))
		return;
	list_del(&node->link);
	node->start = start;
	node->end = end;
	node->attrs = *attrs;
	msvm_attr_insert(tree, node);
}

/*
 * What is said about @addr, and how far around it, within what [@start, @end) is
 * before. Return: whether anything is; @attrs is valid in any case.
 */
bool msvm_attr_tree_lookup(const struct msvm_attr_tree *tree,
			   unsigned long addr, unsigned long *start,
			   unsigned long *end, struct msvm_attrs *attrs)
{
	struct msvm_attr_node *node = msvm_attr_tree_first(tree, addr), *prev;
	struct rb_node *rb;

	if (node && node->start <= addr) {
		*attrs = node->attrs;
		*start = max(*start, node->start);
		*end = min(*end, node->end);
		return true;
	}

	*attrs = msvm_attrs_none();
	rb = node ? rb_prev(&node->rb) : rb_last(&tree->root);
	prev = msvm_attr_node_of(rb);
	if (prev)
		*start = max(*start, prev->end);
	if (node)
		*end = min(*end, node->start);
	return false;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_lookup);

/*
 * The first interval that ends behind *@start, which may begin before it. Return: whether
 * there is one; *@start, *@end and @attrs are then its.
 */
bool msvm_attr_tree_next(const struct msvm_attr_tree *tree,
			 unsigned long *start, unsigned long *end,
			 struct msvm_attrs *attrs)
{
	struct msvm_attr_node *node = msvm_attr_tree_first(tree, *start);

	if (!node)
		return false;
	*start = node->start;
	*end = node->end;
	*attrs = node->attrs;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_next);

/* Most spare nodes that a change of an interval takes. */
unsigned long msvm_attr_tree_need(const struct msvm_attr_tree *tree,
				  unsigned long start, unsigned long end)
{
	struct msvm_attr_node *node = msvm_attr_tree_first(tree, start);
	/* One for each gap, and two for those that cross a border. */
	unsigned long need = 3;

	for (; node && node->start < end; node = msvm_attr_next(node))
		need++;
	return need;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_need);

/* Would a change be possible in all of an interval? Return: 0 or its first error. */
int msvm_attr_tree_check(const struct msvm_attr_tree *tree,
			 unsigned long start, unsigned long end,
			 msvm_attr_change_fn change, void *data)
{
	unsigned long from, to;
	struct msvm_attrs attrs;
	int err;

	for (; start < end; start = to) {
		from = start;
		to = end;
		msvm_attr_tree_lookup(tree, start, &from, &to, &attrs);
		err = change(&attrs, data);
		if (err)
			return err;
	}
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_check);

/* Let no interval cross @addr. */
static void msvm_attr_cut(struct msvm_attr_tree *tree, unsigned long addr,
			  struct list_head *spares)
{
	struct msvm_attr_node *node = msvm_attr_tree_first(tree, addr);
	unsigned long end;

	if (!node || node->start >= addr)
		return;
	end = node->end;
	node->end = addr;
	msvm_attr_add(tree, addr, end, &node->attrs, spares);
}

/* Make one of those in and next to [start, end) that say the same and touch. */
static void msvm_attr_merge(struct msvm_attr_tree *tree, unsigned long start,
			    unsigned long end, struct list_head *spares)
{
	struct msvm_attr_node *node, *next;

	node = msvm_attr_tree_first(tree, start ? start - 1 : 0);
	while (node && node->start < end) {
		next = msvm_attr_next(node);
		if (next && next->start == node->end &&
		    msvm_attrs_equal(&next->attrs, &node->attrs)) {
			node->end = next->end;
			msvm_attr_erase(tree, next, spares);
		} else {
			node = next;
		}
	}
}

/*
 * Change the attributes of an interval. There are as many @spares as
 * msvm_attr_tree_need() said, and msvm_attr_tree_check() said yes.
 */
void msvm_attr_tree_change(struct msvm_attr_tree *tree, unsigned long start,
			   unsigned long end, msvm_attr_change_fn change,
			   void *data, struct list_head *spares)
{
	struct msvm_attr_node *node, *next;
	unsigned long addr = start, stop;
	struct msvm_attrs attrs;

	msvm_attr_cut(tree, start, spares);
	msvm_attr_cut(tree, end, spares);

	for (node = msvm_attr_tree_first(tree, start); addr < end; node = next) {
		next = node;
		if (node && node->start == addr) {
			next = msvm_attr_next(node);
			addr = node->end;
			change(&node->attrs, data);
			if (!msvm_attrs_say(&node->attrs))
				msvm_attr_erase(tree, node, spares);
			continue;
		}
		stop = node ? min(node->start, end) : end;
		attrs = msvm_attrs_none();
		change(&attrs, data);
		if (msvm_attrs_say(&attrs))
			msvm_attr_add(tree, addr, stop, &attrs, spares);
		addr = stop;
	}
	msvm_attr_merge(tree, start, end, spares);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_change);

/*
 * Drop what is said about an interval. Only a hole in the middle of one that was
 * whole takes a spare node, since it leaves two. Return: false: that would be so and
 * there is none; nothing was changed.
 */
bool msvm_attr_tree_drop(struct msvm_attr_tree *tree, unsigned long start,
			 unsigned long end, struct list_head *spares)
{
	struct msvm_attr_node *node = msvm_attr_tree_first(tree, start), *next;

	if (node && node->start < start && node->end > end) {
		if (list_empty(spares))
			return false;
		msvm_attr_cut(tree, end, spares);
	}
	for (; node && node->start < end; node = next) {
		next = msvm_attr_next(node);
		if (node->start < start)
			node->end = start;
		else if (node->end > end)
			/* Its place among the others stays the same. */
			node->start = end;
		else
			msvm_attr_erase(tree, node, spares);
	}
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_drop);

/*
 * Drop what is said about an interval without a spare node: what follows a hole in the
 * middle of one that was whole is dropped with it.
 */
void msvm_attr_tree_drop_tail(struct msvm_attr_tree *tree, unsigned long start,
			      unsigned long end, struct list_head *spares)
{
	struct msvm_attr_node *node = msvm_attr_tree_first(tree, start);

	if (node && node->start < start && node->end > end)
		node->end = start;
	msvm_attr_tree_drop(tree, start, end, spares);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_drop_tail);

/* Drop all. */
void msvm_attr_tree_clear(struct msvm_attr_tree *tree,
			  struct list_head *spares)
{
	struct msvm_attr_node *node;

	while ((node = msvm_attr_tree_first(tree, 0)))
		msvm_attr_erase(tree, node, spares);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_attr_tree_clear);
