/* SPDX-License-Identifier: MIT */
/* Bits, for the policy engine in user space. */
#ifndef __POLICY_LINUX_BITS_H__
#define __POLICY_LINUX_BITS_H__

#define BIT(nr)		(1UL << (nr))
#define BIT_ULL(nr)	(1ULL << (nr))

#endif
