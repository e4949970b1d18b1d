/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Lists of faults: their order, and which of them are one. No locks, no devices:
 * this can be tested by itself.
 */
#ifndef __MSVM_BATCH_H__
#define __MSVM_BATCH_H__

#include <linux/list.h>

#include <drm/drm_msvm.h>

void msvm_batch_sort(struct list_head *batch);
bool msvm_batch_merges(const struct drm_msvm_fault *first,
		       const struct drm_msvm_fault *fault);
unsigned int msvm_batch_take(struct list_head *batch, struct list_head *taken);

#endif /* __MSVM_BATCH_H__ */
