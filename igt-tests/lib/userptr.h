/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests of bindings: bind memory on GPUs, and see what they see.
 */
#ifndef LIB_USERPTR_H
#define LIB_USERPTR_H

#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

#define READ_ONLY DRM_VSVM_BIND_READ_ONLY

int userptr_try_bind(struct vsvm_set *set, int gpu, const void *p, size_t len,
		     uint32_t flags);
int userptr_try_unbind(struct vsvm_set *set, int gpu, const void *p,
		       size_t len);
void userptr_bind(struct vsvm_set *set, const void *p, size_t len,
		  uint32_t flags);
int userptr_try_bind_all(struct vsvm_set *set, const void *p, size_t len,
			 uint32_t flags);
void userptr_unbind(struct vsvm_set *set, const void *p, size_t len);

uint64_t *userptr_results(struct vsvm_set *set);
void userptr_free_results(struct vsvm_set *set, uint64_t *results);
void userptr_expect(struct vsvm_set *set, const char *p, size_t len,
		    uint64_t *results, int value);
void userptr_expect_fault(struct vsvm_set *set, void *p, int status);

uint64_t userptr_stat(struct vsvm_set *set, const char *name);
uint64_t userptr_info(struct vsvm_set *set, const char *name);

#endif /* LIB_USERPTR_H */
