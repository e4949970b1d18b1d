/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests: sets of virtual GPUs with a VM each, commands that assert
 * their success, patterns, and what the kernel counts.
 */
#ifndef LIB_VSVM_H
#define LIB_VSVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drm/vsvm_drm.h>

#include "igt_compat.h"

#define VSVM_MAX_SET 8
/* IGT's own header has them as well. */
#ifndef SZ_4K
#define SZ_4K 4096UL
#define SZ_64K (64UL << 10)
#define SZ_2M (2UL << 20)
#endif

#define to_u64(ptr) ((uint64_t)(uintptr_t)(ptr))

/* GPUs that tests are run with. */
extern const int vsvm_counts[4];

/**
 * struct vsvm_set - Some GPUs, each opened, each with a VM of this process.
 * @n: Number of GPUs.
 * @layout: DRM_VSVM_VM_LAYOUT_* of the VMs.
 * @fd: Open render nodes.
 * @vm: Handles of the VMs.
 */
struct vsvm_set {
	int n;
	uint32_t layout;
	int fd[VSVM_MAX_SET];
	uint32_t vm[VSVM_MAX_SET];
};

bool vsvm_debug_kernel(void);
int vsvm_scale(int stock, int debug);

int vsvm_open(int index);
int vsvm_count(void);
int vsvm_ioctl(int fd, unsigned long request, void *arg);
uint32_t vsvm_vm_create(int fd, uint32_t layout);
int vsvm_vm_destroy(int fd, uint32_t vm);
struct drm_vsvm_vm_stats vsvm_stats(int fd, uint32_t vm);

void vsvm_set_open(struct vsvm_set *set, int n, uint32_t layout);
void vsvm_set_close(struct vsvm_set *set);
bool vsvm_placement(const char *name);
bool vsvm_huge_moves(bool on);
void vsvm_set_check(struct vsvm_set *set);

int64_t vsvm_now(void);
int64_t vsvm_deadline(int seconds);
uint64_t vsvm_submit(int fd, uint32_t vm, uint32_t engine,
		     const struct drm_vsvm_cmd *cmds, int n);
struct drm_vsvm_wait vsvm_wait(int fd, uint32_t vm, uint64_t job);
struct drm_vsvm_wait vsvm_try(struct vsvm_set *set, int gpu,
			      const struct drm_vsvm_cmd *cmds, int n);
void vsvm_run(struct vsvm_set *set, int gpu, const struct drm_vsvm_cmd *cmds,
	      int n);

struct drm_vsvm_cmd vsvm_copy(void *dst, const void *src, size_t len);
struct drm_vsvm_cmd vsvm_fill(void *dst, int value, size_t len);
struct drm_vsvm_cmd vsvm_load(const void *src, int width, uint64_t *result);
struct drm_vsvm_cmd vsvm_store(void *dst, int width, uint64_t value);
struct drm_vsvm_cmd vsvm_add(void *dst, int width, uint64_t value,
			     uint64_t *old);
struct drm_vsvm_cmd vsvm_cas(void *dst, int width, uint64_t expected,
			     uint64_t value, uint64_t *old);
struct drm_vsvm_cmd vsvm_xchg(void *dst, int width, uint64_t value,
			      uint64_t *old);
struct drm_vsvm_cmd vsvm_sum(uint64_t *dst, const void *src, size_t len);
struct drm_vsvm_cmd vsvm_histogram(uint64_t *dst, const void *src, size_t len);
struct drm_vsvm_cmd vsvm_chase(const void *src, uint64_t hops,
			       uint64_t *result);
struct drm_vsvm_cmd vsvm_wait_value(const void *src, int width, uint64_t value);
struct drm_vsvm_cmd vsvm_touch(const void *src);

uint64_t vsvm_gpu_load(struct vsvm_set *set, int gpu, const void *src);

void pattern_fill(void *buf, size_t len, uint64_t seed);
void pattern_check(const void *buf, size_t len, uint64_t seed);
void vsvm_gpu_check(struct vsvm_set *set, int gpu, const void *buf, size_t len,
		    uint64_t seed);
void vsvm_gpu_write(struct vsvm_set *set, int gpu, void *buf, size_t len,
		    uint64_t seed);
void vsvm_expect_fault(struct vsvm_set *set, int gpu, struct drm_vsvm_cmd cmd,
		       int status, const void *addr, uint32_t access);

void *anon(size_t len);
void *anon_aligned(size_t len, size_t align);
void scatter(void *p, size_t len);

bool debugfs_read(const char *path, char *buf, size_t size);
uint64_t debugfs_value(const char *path, const char *name);
bool context_has_range(uint32_t id, const void *p);
uint64_t context_value(uint32_t id, const char *file, const char *name);

void walks_start(void);
uint64_t walks_stop(void);

#endif /* LIB_VSVM_H */
