// SPDX-License-Identifier: MIT
/*
 * Attributes on atomics: they fail where they are to, are atomic with CPUs in system
 * memory, and bring memory to the GPU that they are to be atomic with, however it was
 * mapped before and by whom.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define VRAM		ATTR("vram_mib=16")
#define PEERS		VRAM ATTR("peer_group=1")
#define NO_FAULTS	VRAM ATTR("page_faults=0")

static void atomics(struct vsvm_set *set, void *p, size_t len, uint32_t value)
{
	attr_set(set, p, len, attr_of(DRM_VSVM_ATTR_ATOMICS, value));
}

/* Memory that every GPU has read, and so mapped. */
static char *touched(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	pattern_fill(p, SZ_2M, 1);
	mm_all_check(set, p, SZ_2M, 1);
	return p;
}

/* Atomics fail, all else works, whoever had it mapped before. */
static void none(struct vsvm_set *set)
{
	char *p = touched(set);
	struct drm_vsvm_cmd cmd = vsvm_add(p, 8, 1, NULL);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	attr_set(set, p, SZ_64K,
		 attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_NONE));
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd store = vsvm_store(p, 8, gpu);

		/* Mapped for writing or not: it makes no difference. */
		vsvm_expect_fault(set, gpu, cmd, -EACCES, p,
				  DRM_VSVM_ACCESS_ATOMIC);
		vsvm_run(set, gpu, &store, 1);
		vsvm_expect_fault(set, gpu, cmd, -EACCES, p,
				  DRM_VSVM_ACCESS_ATOMIC);
		igt_assert_eq_u64(*(uint64_t *)p, gpu);
		vsvm_expect_fault(set, gpu, vsvm_cas(p, 8, gpu, 9, NULL),
				  -EACCES, p, DRM_VSVM_ACCESS_ATOMIC);
	}
	attr_set(set, p, SZ_64K,
		 attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_DEFAULT));
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	munmap(p, SZ_2M);
}

/* Atomic with CPUs: it stays where they are. With the device: it goes there. */
static void where(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_add(p, 8, 1, NULL);
	int gpu;

	pattern_fill(p, SZ_2M, 1);
	atomics(set, p, SZ_2M, DRM_VSVM_ATOMICS_SYSTEM);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	atomics(set, p, SZ_2M, DRM_VSVM_ATOMICS_DEVICE);
	for (gpu = 0; gpu < set->n; gpu++) {
		attr_set(set, p, SZ_2M, attr_of(DRM_VSVM_ATTR_PREFETCH,
						gpu & 1));
		vsvm_run(set, gpu, &cmd, 1);
		vram_expect(set, p, SZ_4K, where_gpu(set, gpu));
	}
	munmap(p, SZ_2M);
}

/*
 * Mapped for reading and writing where it is, in system memory or in another GPU: an
 * atomic brings it nevertheless, and after that no atomic of this GPU faults.
 */
static void mapped(struct vsvm_set *set)
{
	uint64_t *p = (uint64_t *)touched(set), faults;
	struct drm_vsvm_cmd add = vsvm_add(p, 8, 1, NULL);
	struct drm_vsvm_cmd store = vsvm_store(p + 1, 8, 7);
	int gpu, other, i;

	atomics(set, p, SZ_2M, DRM_VSVM_ATOMICS_DEVICE);
	for (gpu = 0; gpu < set->n; gpu++) {
		for (i = 0; i < 2; i++) {
			memset(p, 0, SZ_2M);
			for (other = 0; i && other < set->n; other++)
				vsvm_run(set, other, &add, 1);
			vsvm_run(set, gpu, &store, 1);
			vsvm_run(set, gpu, &add, 1);
			vram_expect(set, p, SZ_4K, where_gpu(set, gpu));
			faults = attr_faults(set, gpu);
			vsvm_run(set, gpu, &add, 1);
			vsvm_run(set, gpu, &store, 1);
			igt_assert_eq_u64(attr_faults(set, gpu), faults);
			igt_assert_eq_u64(p[0], 2 + i * set->n);
			igt_assert_eq_u64(p[1], 7);
		}
	}
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* A page that can't be moved: atomics work where it is, and fault once. */
static void pinned(struct vsvm_set *set)
{
	uint64_t *p = anon_aligned(SZ_64K, SZ_64K), faults;
	struct iovec iov = { p, SZ_4K };
	struct drm_vsvm_cmd add = vsvm_add(p, 8, 1, NULL);
	int gpu, pipes[2];

	memset(p, 0, SZ_64K);
	igt_assert(!pipe(pipes));
	igt_assert_eq(vmsplice(pipes[1], &iov, 1, 0), (ssize_t)SZ_4K);
	atomics(set, p, SZ_64K, DRM_VSVM_ATOMICS_DEVICE);
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_gpu_load(set, gpu, p);
		vsvm_run(set, gpu, &add, 1);
		vram_expect(set, p, SZ_4K, WHERE_SYSTEM);
		faults = attr_faults(set, gpu);
		vsvm_run(set, gpu, &add, 1);
		igt_assert_eq_u64(attr_faults(set, gpu), faults);
	}
	igt_assert_eq_u64(*p, 2 * set->n);
	close(pipes[0]);
	close(pipes[1]);
	munmap(p, SZ_64K);
	vram_expect_empty(set);
}

/* Who takes no faults could not ask for it: its atomics work where the memory is. */
static void kept(struct vsvm_set *set)
{
	uint64_t *p = anon_aligned(SZ_64K, SZ_64K);
	struct drm_vsvm_cmd add = vsvm_add(p, 8, 1, NULL);
	int gpu;

	memset(p, 0, SZ_64K);
	atomics(set, p, SZ_64K, DRM_VSVM_ATOMICS_DEVICE);
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_keep args = {
			.vm_id = set->vm[gpu],
			.start = to_u64(p),
			.len = SZ_64K,
			.access = DRM_VSVM_ACCESS_WRITE,
		};

		igt_assert(!vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_KEEP, &args));
	}
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &add, 1);
	igt_assert_eq_u64(*p, set->n);
	munmap(p, SZ_64K);
}

igt_main
{
	each("none", "Where atomics are to fail they do.", MSVM_ONLY, none);
	each_made("where", "Memory is where atomics are atomic.", MSVM_ONLY, PEERS,
		  where);
	each_made("mapped", "They bring what is mapped elsewhere.", MSVM_ONLY, VRAM,
		  mapped);
	each_made("mapped-peers", "Likewise, with peers.", MSVM_ONLY, PEERS, mapped);
	each_made("pinned", "They work where memory has to stay.", MSVM_ONLY, VRAM,
		  pinned);
	each_made("kept", "And without page faults.", MSVM_ONLY, NO_FAULTS, kept);

	igt_fixture {
		gpus_remove();
	}
}
