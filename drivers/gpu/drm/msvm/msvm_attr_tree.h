/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Intervals with attributes, by address: they do not overlap, those that touch
 * differ, and what is in none has no attributes.
 */
#ifndef __MSVM_ATTR_TREE_H__
#define __MSVM_ATTR_TREE_H__

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "msvm_policy.h"

/**
 * struct msvm_attr_node - An interval.
 * @rb: Entry in the tree.
 * @link: Entry in a list of spare nodes, of one that is in no tree.
 * @start: First address.
 * @end: End, exclusive.
 * @attrs: What is said about it; never nothing.
 */
struct msvm_attr_node {
	union {
		struct rb_node rb;
		struct list_head link;
	};
	unsigned long start;
	unsigned long end;
	struct msvm_attrs attrs;
};

/**
 * struct msvm_attr_tree - All of them. Its user has a lock.
 * @root: By address.
 * @nr: How many.
 */
struct msvm_attr_tree {
	struct rb_root root;
	unsigned long nr;
};

/* Change attributes. Return: 0, or why not. */
typedef int (*msvm_attr_change_fn)(struct msvm_attrs *attrs, void *data);

static inline struct msvm_attrs msvm_attrs_none(void)
{
	return (struct msvm_attrs) { .preferred = MSVM_ATTR_NONE };
}

bool msvm_attrs_equal(const struct msvm_attrs *a, const struct msvm_attrs *b);
bool msvm_attrs_say(const struct msvm_attrs *attrs);

bool msvm_attr_tree_lookup(const struct msvm_attr_tree *tree,
			   unsigned long addr, unsigned long *start,
			   unsigned long *end, struct msvm_attrs *attrs);
bool msvm_attr_tree_next(const struct msvm_attr_tree *tree,
			 unsigned long *start, unsigned long *end,
			 struct msvm_attrs *attrs);
unsigned long msvm_attr_tree_need(const struct msvm_attr_tree *tree,
				  unsigned long start, unsigned long end);
int msvm_attr_tree_check(const struct msvm_attr_tree *tree,
			 unsigned long start, unsigned long end,
			 msvm_attr_change_fn change, void *data);
void msvm_attr_tree_change(struct msvm_attr_tree *tree, unsigned long start,
			   unsigned long end, msvm_attr_change_fn change,
			   void *data, struct list_head *spares);
bool msvm_attr_tree_drop(struct msvm_attr_tree *tree, unsigned long start,
			 unsigned long end, struct list_head *spares);
void msvm_attr_tree_drop_tail(struct msvm_attr_tree *tree, unsigned long start,
			      unsigned long end, struct list_head *spares);
void msvm_attr_tree_clear(struct msvm_attr_tree *tree,
			  struct list_head *spares);

#endif /* __MSVM_ATTR_TREE_H__ */
