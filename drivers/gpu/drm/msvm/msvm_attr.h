/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Attributes by interval: what applications say about parts of an address space.
 */
#ifndef __MSVM_ATTR_H__
#define __MSVM_ATTR_H__

#include <linux/types.h>

#include "msvm_policy.h"

struct drm_msvm;

/*
 * What attributes say about the page at @addr, and in [@start, @end) how far the same
 * is said (at most as far as these were). Any context that is not atomic, takes no
 * sleeping lock. Return: whether something is said; @attrs is valid in any case.
 */
static inline bool msvm_attr_lookup(struct drm_msvm *msvm, unsigned long addr,
				    unsigned long *start, unsigned long *end,
				    struct msvm_attrs *attrs)
{
	*attrs = (struct msvm_attrs) { .preferred = MSVM_ATTR_NONE };
	return false;
}

#endif /* __MSVM_ATTR_H__ */
