/* SPDX-License-Identifier: MIT */
/* The greatest common divisor, for the policy engine in user space. */
#ifndef __POLICY_LINUX_GCD_H__
#define __POLICY_LINUX_GCD_H__

static inline unsigned long gcd(unsigned long a, unsigned long b)
{
	while (b) {
		unsigned long rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

#endif
