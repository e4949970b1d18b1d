/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests of attributes: say something about memory, and ask what was
 * said, by GPU of the set.
 */
#ifndef LIB_ATTR_H
#define LIB_ATTR_H

#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

/* For attr_preferred(): none, or system memory (as TO_SYSTEM of vram.h). */
#define PREFER_NONE	(-2)
#define PREFER_SYSTEM	(-1)

struct drm_vsvm_attr attr_of(uint32_t type, uint32_t value);
struct drm_vsvm_attr attr_preferred(struct vsvm_set *set, int to);
struct drm_vsvm_attr attr_member(struct vsvm_set *set, uint32_t type, int gpu,
				 bool on);
struct drm_vsvm_attr attr_accessed_by(struct vsvm_set *set, int gpu, bool on);
struct drm_vsvm_attr attr_no_access(struct vsvm_set *set, int gpu, bool on);

int attr_try_set(struct vsvm_set *set, int gpu, const void *p, size_t len,
		 const struct drm_vsvm_attr *attrs, unsigned int n);
int attr_try(struct vsvm_set *set, const void *p, size_t len,
	     struct drm_vsvm_attr attr);
void attr_set(struct vsvm_set *set, const void *p, size_t len,
	      struct drm_vsvm_attr attr);

unsigned int attr_get(struct vsvm_set *set, const void *p, size_t len,
		      struct drm_vsvm_attr_interval *intervals, unsigned int max);
struct drm_vsvm_attr_interval attr_at(struct vsvm_set *set, const void *p,
				      size_t len);
bool attr_none(const struct drm_vsvm_attr_interval *interval);
void attr_expect_none(struct vsvm_set *set, const void *p, size_t len);
bool attr_equal(const struct drm_vsvm_attr_interval *a,
		const struct drm_vsvm_attr_interval *b);

uint64_t attr_faults(struct vsvm_set *set, int gpu);

#endif /* LIB_ATTR_H */
