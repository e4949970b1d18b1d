/* SPDX-License-Identifier: MIT */
/* Least and greatest, for the policy engine in user space. */
#ifndef __POLICY_LINUX_MINMAX_H__
#define __POLICY_LINUX_MINMAX_H__

#define min(a, b) ({				\
	__auto_type __a = (a);			\
	__auto_type __b = (b);			\
	__a < __b ? __a : __b;			\
})

#define max(a, b) ({				\
	__auto_type __a = (a);			\
	__auto_type __b = (b);			\
	__a > __b ? __a : __b;			\
})

#endif
