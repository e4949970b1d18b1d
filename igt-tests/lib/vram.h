/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests of device memory: where pages are, moving them, and what the
 * GPUs' memories count.
 */
#ifndef LIB_VRAM_H
#define LIB_VRAM_H

#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

/* Where pages are: DRM_VSVM_WHERE_*, or one of these for all of an interval. */
#define WHERE_NONE	DRM_VSVM_WHERE_NONE
#define WHERE_SYSTEM	DRM_VSVM_WHERE_SYSTEM

uint32_t vram_index(struct vsvm_set *set, int gpu);
uint32_t where_gpu(struct vsvm_set *set, int gpu);
size_t vram_count(struct vsvm_set *set, const void *p, size_t len,
		  uint32_t where);
void vram_expect(struct vsvm_set *set, const void *p, size_t len,
		 uint32_t where);

int vram_try_migrate(struct vsvm_set *set, int gpu, const void *p, size_t len,
		     int to);
void vram_migrate(struct vsvm_set *set, const void *p, size_t len, int to);
struct drm_vsvm_cmd vram_prefetch(struct vsvm_set *set, void *p, size_t len,
				  int to);
void vram_fetch(struct vsvm_set *set, int gpu, void *p, size_t len);

struct drm_vsvm_memory vram_info(struct vsvm_set *set, int gpu);
void vram_expect_empty(struct vsvm_set *set);

/* For vram_migrate(): not to a GPU. */
#define TO_SYSTEM	(-1)

#endif /* LIB_VRAM_H */
