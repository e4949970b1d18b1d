// SPDX-License-Identifier: MIT
/*
 * Verbs of the tests of bindings, see userptr.h.
 */
#include <sys/mman.h>

#include "igt_compat.h"
#include "userptr.h"

int userptr_try_bind(struct vsvm_set *set, int gpu, const void *p, size_t len,
		     uint32_t flags)
{
	struct drm_vsvm_bind args = {
		.vm_id = set->vm[gpu], .flags = flags, .addr = to_u64(p),
		.length = len,
	};

	return vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_BIND, &args);
}

int userptr_try_unbind(struct vsvm_set *set, int gpu, const void *p, size_t len)
{
	struct drm_vsvm_unbind args = {
		.vm_id = set->vm[gpu], .addr = to_u64(p), .length = len,
	};

	return vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_UNBIND, &args);
}

/* On all GPUs, by one call. */
int userptr_try_bind_all(struct vsvm_set *set, const void *p, size_t len,
			 uint32_t flags)
{
	struct drm_vsvm_bind_other others[VSVM_MAX_SET];
	struct drm_vsvm_bind args = {
		.vm_id = set->vm[0], .flags = flags, .addr = to_u64(p),
		.length = len, .num_others = set->n - 1,
	};
	int gpu;

	for (gpu = 1; gpu < set->n; gpu++)
		others[gpu - 1] = (struct drm_vsvm_bind_other) {
			.fd = set->fd[gpu], .vm_id = set->vm[gpu],
		};
	if (set->n > 1)
		args.others = to_u64(others);
	return vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args);
}

/* On all GPUs. */
void userptr_bind(struct vsvm_set *set, const void *p, size_t len,
		  uint32_t flags)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(userptr_try_bind(set, gpu, p, len, flags), 0);
}

void userptr_unbind(struct vsvm_set *set, const void *p, size_t len)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(userptr_try_unbind(set, gpu, p, len), 0);
}

/* A page that all GPUs have bound, for what they compute. */
uint64_t *userptr_results(struct vsvm_set *set)
{
	uint64_t *results = anon(SZ_4K);

	results[0] = 0;
	userptr_bind(set, results, SZ_4K, 0);
	return results;
}

void userptr_free_results(struct vsvm_set *set, uint64_t *results)
{
	userptr_unbind(set, results, SZ_4K);
	munmap(results, SZ_4K);
}

/* Each byte, as each GPU sees it: it adds them up. */
void userptr_expect(struct vsvm_set *set, const char *p, size_t len,
		    uint64_t *results, int value)
{
	struct drm_vsvm_cmd cmd = vsvm_sum(results, p, len);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		*results = 0;
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(*results, len * value);
	}
}

/* No GPU can write at an address. */
void userptr_expect_fault(struct vsvm_set *set, void *p, int status)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_expect_fault(set, gpu, vsvm_store(p, 8, 1), status, p,
				  DRM_VSVM_ACCESS_WRITE);
}

static uint32_t context_id(struct vsvm_set *set)
{
	return vsvm_stats(set->fd[0], set->vm[0]).context_id;
}

uint64_t userptr_stat(struct vsvm_set *set, const char *name)
{
	return context_value(context_id(set), "stats", name);
}

uint64_t userptr_info(struct vsvm_set *set, const char *name)
{
	return context_value(context_id(set), "info", name);
}
