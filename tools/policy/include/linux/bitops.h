/* SPDX-License-Identifier: MIT */
/* Counting bits, for the policy engine in user space. */
#ifndef __POLICY_LINUX_BITOPS_H__
#define __POLICY_LINUX_BITOPS_H__

#include <linux/bits.h>

#define hweight32(word)	((unsigned int)__builtin_popcount(word))

#endif
