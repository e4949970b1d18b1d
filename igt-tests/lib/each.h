/* SPDX-License-Identifier: MIT */
/*
 * One test body, run as subtests over 1, 2, 4 and 8 GPUs, and where it makes
 * sense also with the 1:1 layout: NAME-Ngpu, NAME-1to1-Ngpu.
 */
#ifndef LIB_EACH_H
#define LIB_EACH_H

#include "igt_compat.h"
#include "vsvm.h"

/* Only with drm_msvm; or also with the baseline, on two GPUs. */
#define MSVM_ONLY	0
#define MSVM_AND_1TO1	1

static struct vsvm_set each_set;

static inline void each(const char *name, const char *text, int with,
			void (*fn)(struct vsvm_set *set))
{
	static char full[128];
	/* A subtest that fails jumps back into this function. */
	volatile unsigned int i;

	for (i = 0; i < sizeof(vsvm_counts) / sizeof(vsvm_counts[0]); i++) {
		snprintf(full, sizeof(full), "%s-%dgpu", name, vsvm_counts[i]);
		igt_describe(text);
		igt_subtest(full) {
			vsvm_set_open(&each_set, vsvm_counts[i],
				      DRM_VSVM_VM_LAYOUT_MSVM);
			fn(&each_set);
			vsvm_set_check(&each_set);
			vsvm_set_close(&each_set);
		}
	}
	if (with == MSVM_ONLY)
		return;
	snprintf(full, sizeof(full), "%s-1to1-2gpu", name);
	igt_describe(text);
	igt_subtest(full) {
		vsvm_set_open(&each_set, 2, DRM_VSVM_VM_LAYOUT_1TO1);
		fn(&each_set);
		vsvm_set_check(&each_set);
		vsvm_set_close(&each_set);
	}
}

#endif /* LIB_EACH_H */
