// SPDX-License-Identifier: MIT
/*
 * Device memory in tests, see vram.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failnth.h"
#include "hang.h"
#include "vram.h"

/* Number of a GPU in the driver. */
uint32_t vram_index(struct vsvm_set *set, int gpu)
{
	struct drm_vsvm_query query = { .param = DRM_VSVM_PARAM_GPU_INDEX };

	igt_assert(!vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_QUERY, &query));
	return query.value;
}

uint32_t where_gpu(struct vsvm_set *set, int gpu)
{
	return DRM_VSVM_WHERE_GPU + vram_index(set, gpu);
}

static int vram_where(struct vsvm_set *set, const void *p, size_t len,
		      uint32_t *where)
{
	struct drm_vsvm_residency args = {
		.vm_id = set->vm[0],
		.start = to_u64(p),
		.len = len,
		.where = to_u64(where),
	};

	return vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_RESIDENCY, &args);
}

/* How many pages of an interval are somewhere. Return: them, or a negative errno. */
static ssize_t vram_try_count(struct vsvm_set *set, const void *p, size_t len,
			      uint32_t where)
{
	size_t npages = len / SZ_4K, i;
	uint32_t *pages = malloc(npages * sizeof(*pages));
	ssize_t n = 0;
	int ret;

	igt_assert(pages);
	ret = vram_where(set, p, len, pages);
	for (i = 0; !ret && i < npages; i++)
		n += pages[i] == where;
	free(pages);
	return ret ?: n;
}

size_t vram_count(struct vsvm_set *set, const void *p, size_t len,
		  uint32_t where)
{
	ssize_t n = vram_try_count(set, p, len, where);

	igt_assert_f(n >= 0, "residency: %s\n", strerror(-n));
	return n;
}

/* All pages of an interval are there. */
void vram_expect(struct vsvm_set *set, const void *p, size_t len,
		 uint32_t where)
{
	size_t n = vram_count(set, p, len, where);

	/* What lacked memory to be moved stays where it is. */
	if (failnth_fired())
		return;
	igt_assert_f(n == len / SZ_4K, "%zu of %zu pages are at %u\n", n,
		     len / SZ_4K, where);
}

/* Move memory, asking by the VM of a GPU. Return: 0 or a negative errno. */
int vram_try_migrate(struct vsvm_set *set, int gpu, const void *p, size_t len,
		     int to)
{
	struct drm_vsvm_migrate args = {
		.vm_id = set->vm[gpu],
		.start = to_u64(p),
		.len = len,
		.target = to == TO_SYSTEM ? 0 : vram_index(set, to) + 1,
	};

	return vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_MIGRATE, &args);
}

/* Move memory and see that all of it arrived. */
void vram_migrate(struct vsvm_set *set, const void *p, size_t len, int to)
{
	int tries, ret = -EBUSY;

	/* The kernel's own batches may hold a page for a moment. */
	for (tries = 0; tries < 100 && ret == -EBUSY; tries++)
		ret = vram_try_migrate(set, 0, p, len, to);
	igt_assert_f(!ret, "migrate: %s\n", strerror(-ret));
	if (to != TO_SYSTEM)
		vram_expect(set, p, len, where_gpu(set, to));
}

struct drm_vsvm_cmd vram_prefetch(struct vsvm_set *set, void *p, size_t len,
				  int to)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_PREFETCH,
		.dst = to_u64(p),
		.len = len,
		.arg0 = to == TO_SYSTEM ? 0 : vram_index(set, to) + 1,
	};
}

/* A job has a GPU's memory hold all of it, mapped for the GPU, before it is used. */
void vram_fetch(struct vsvm_set *set, int gpu, void *p, size_t len)
{
	struct drm_vsvm_cmd cmd = vram_prefetch(set, p, len, gpu);
	uint32_t where = where_gpu(set, gpu);
	int tries = 0;

	/* The kernel's own batches may hold a page for a moment. */
	do {
		vsvm_run(set, gpu, &cmd, 1);
	} while (++tries < 100 && vram_count(set, p, len, where) < len / SZ_4K);
	vram_expect(set, p, len, where);
}

struct drm_vsvm_memory vram_info(struct vsvm_set *set, int gpu)
{
	struct drm_vsvm_memory info = {};

	igt_assert(!vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_MEMORY, &info));
	return info;
}

/* Which of the process's mappings have pages in a GPU's memory. */
static void vram_show_left(struct vsvm_set *set, int gpu)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start, end, at;
		ssize_t n = 0, all = 0;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		for (at = start; at < end && n >= 0; at += SZ_2M, all += n)
			n = vram_try_count(set, (void *)at,
					   end - at < SZ_2M ? end - at : SZ_2M,
					   where_gpu(set, gpu));
		if (all > 0)
			igt_info("%zd pages there of %s", all, line);
	}
	if (maps)
		fclose(maps);
	hang_report();
}

/* Nothing is left in any GPU's memory; what was freed is gone a moment later. */
void vram_expect_empty(struct vsvm_set *set)
{
	int64_t deadline = vsvm_deadline(20);
	uint64_t used;
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		while ((used = vram_info(set, gpu).used)) {
			if (vsvm_now() >= deadline)
				vram_show_left(set, gpu);
			igt_assert_f(vsvm_now() < deadline,
				     "%llu bytes left in GPU %d\n",
				     (unsigned long long)used, gpu);
			usleep(1000);
		}
	}
}
