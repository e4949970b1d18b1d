/* SPDX-License-Identifier: MIT */
/* Divisions, for the policy engine in user space. */
#ifndef __POLICY_LINUX_MATH64_H__
#define __POLICY_LINUX_MATH64_H__

#include <linux/types.h>

static inline u64 div_u64(u64 dividend, u32 divisor)
{
	return dividend / divisor;
}

static inline u64 div64_u64(u64 dividend, u64 divisor)
{
	return dividend / divisor;
}

#endif
