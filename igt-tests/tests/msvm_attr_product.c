// SPDX-License-Identifier: MIT
/*
 * Each preferred location with each kind of atomics: what is refused, where memory is
 * after a GPU read it and after an atomic of a GPU, and that what all GPUs and a CPU
 * add up is right. The tables "What is refused" and "Which beats which" of
 * Documentation/gpu/drm-msvm-attributes.rst, row by row.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/policy.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=4")
#define PEERS	VRAM ATTR("peer_group=1")

/* No larger than what is moved at a time. */
#define LEN	SZ_64K

/**
 * struct pair - A combination.
 * @preferred: GPU, PREFER_SYSTEM or PREFER_NONE.
 * @atomics: DRM_VSVM_ATOMICS_*.
 * @peers: The GPUs were made to reach each other's memory.
 */
struct pair {
	int preferred;
	uint32_t atomics;
	bool peers;
};

static bool refused(const struct pair *pair)
{
	return pair->preferred >= 0 && pair->atomics == DRM_VSVM_ATOMICS_SYSTEM;
}

/* On PCI it is the topology that counts, not how GPUs were made. */
static bool reaches(const struct pair *pair, int gpu, int other)
{
	bool peers = gpus_on_pci() && !gpus_made() ? gpus_can_peer() :
						     pair->peers;

	return gpu == other || peers;
}

/* Where memory of the CPU's is after @gpu read it. */
static uint32_t after_read(struct vsvm_set *set, const struct pair *pair,
			   int gpu)
{
	if (pair->atomics == DRM_VSVM_ATOMICS_SYSTEM ||
	    pair->preferred == PREFER_SYSTEM)
		return WHERE_SYSTEM;
	/* The policy's: to the one that touches it first. */
	if (pair->preferred == PREFER_NONE)
		return where_gpu(set, gpu);
	return reaches(pair, gpu, pair->preferred) ?
	       where_gpu(set, pair->preferred) : WHERE_SYSTEM;
}

static uint32_t after_atomic(struct vsvm_set *set, const struct pair *pair,
			     int gpu)
{
	return pair->atomics == DRM_VSVM_ATOMICS_DEVICE ?
	       where_gpu(set, gpu) : after_read(set, pair, gpu);
}

/* What can't be is refused in either order, and changes nothing. */
static void expect_refused(struct vsvm_set *set, char *p,
			   const struct drm_vsvm_attr attrs[2])
{
	struct drm_vsvm_attr_interval got;

	attr_expect_none(set, p, LEN);
	attr_set(set, p, LEN, attrs[0]);
	igt_assert_eq(attr_try(set, p, LEN, attrs[1]), -EOPNOTSUPP);
	got = attr_at(set, p, LEN);
	igt_assert_eq(got.preferred_location, attrs[0].value);
	igt_assert_eq(got.atomics, DRM_VSVM_ATOMICS_DEFAULT);

	attr_set(set, p, LEN, attr_preferred(set, PREFER_NONE));
	attr_set(set, p, LEN, attrs[1]);
	igt_assert_eq(attr_try(set, p, LEN, attrs[0]), -EOPNOTSUPP);
	got = attr_at(set, p, LEN);
	igt_assert_eq(got.preferred_location, DRM_VSVM_WHERE_NONE);
	igt_assert_eq(got.atomics, attrs[1].value);
}

/* By one GPU, with memory that the CPU had before. */
static void use_alone(struct vsvm_set *set, const struct pair *pair, int gpu,
		      uint64_t *p)
{
	struct drm_vsvm_cmd add = vsvm_add(p, 8, 5, NULL), read = vsvm_touch(p);

	memset(p, 0, LEN);
	*p = 100 + gpu;
	vsvm_run(set, gpu, &read, 1);
	vram_expect(set, p, LEN, after_read(set, pair, gpu));
	if (pair->atomics == DRM_VSVM_ATOMICS_NONE) {
		vsvm_expect_fault(set, gpu, add, -EACCES, p,
				  DRM_VSVM_ACCESS_ATOMIC);
		vram_expect(set, p, LEN, after_read(set, pair, gpu));
		igt_assert_eq_u64(*p, 100 + gpu);
		return;
	}
	vsvm_run(set, gpu, &add, 1);
	vram_expect(set, p, LEN, after_atomic(set, pair, gpu));
	igt_assert_eq_u64(*p, 105 + gpu);

	/* Without having it mapped, after the CPU had all of it. */
	memset(p, 0, LEN);
	gpus_drop(set);
	vsvm_run(set, gpu, &add, 1);
	vram_expect(set, p, LEN, after_atomic(set, pair, gpu));
	igt_assert_eq_u64(*p, 5);
}

#define ADDS	8

static void *cpu_adds(void *data)
{
	int i;

	for (i = 0; i < ADDS; i++)
		__atomic_fetch_add((uint64_t *)data, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* By all GPUs and a CPU at the same time. */
static void use_together(struct vsvm_set *set, uint64_t *p)
{
	struct drm_vsvm_cmd cmds[ADDS];
	uint64_t jobs[VSVM_MAX_SET];
	pthread_t thread;
	int gpu, i;

	*p = 0;
	for (i = 0; i < ADDS; i++)
		cmds[i] = vsvm_add(p, 8, 1, NULL);
	igt_assert(!pthread_create(&thread, NULL, cpu_adds, p));
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds,
					ADDS);
	join_thread(thread);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
	igt_assert_eq_u64(*p, ADDS * (set->n + 1));
}

static void combine(struct vsvm_set *set, const struct pair *pair)
{
	struct drm_vsvm_attr attrs[2] = {
		attr_preferred(set, pair->preferred),
		attr_of(DRM_VSVM_ATTR_ATOMICS, pair->atomics),
	};
	uint64_t *p = anon_aligned(LEN, SZ_2M);
	struct drm_vsvm_attr_interval got;
	int gpu, ret;

	*p = 0;
	ret = attr_try_set(set, 0, p, LEN, attrs, 2);
	if (refused(pair)) {
		igt_assert_eq(ret, -EOPNOTSUPP);
		expect_refused(set, (char *)p, attrs);
		munmap(p, LEN);
		return;
	}
	igt_assert_eq(ret, 0);
	got = attr_at(set, p, LEN);
	igt_assert_eq(got.preferred_location, attrs[0].value);
	igt_assert_eq(got.atomics, attrs[1].value);
	for (gpu = 0; gpu < set->n; gpu++)
		use_alone(set, pair, gpu, p);
	if (pair->atomics != DRM_VSVM_ATOMICS_NONE)
		use_together(set, p);
	munmap(p, LEN);
}

/* Each preferred location: none, system memory, each GPU. */
static void all_preferred(struct vsvm_set *set, uint32_t atomics, bool peers)
{
	struct pair pair = { .atomics = atomics, .peers = peers };

	/* What went back and forth stays movable. */
	policy_restless();
	for (pair.preferred = PREFER_NONE; pair.preferred < set->n;
	     pair.preferred++)
		combine(set, &pair);
	policy_restore();
	vram_expect_empty(set);
}

static void with_default(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_DEFAULT, false);
}

static void with_none(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_NONE, false);
}

static void with_device(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_DEVICE, false);
}

static void with_system(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_SYSTEM, false);
}

static void peers_default(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_DEFAULT, true);
}

static void peers_none(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_NONE, true);
}

static void peers_device(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_DEVICE, true);
}

static void peers_system(struct vsvm_set *set)
{
	all_preferred(set, DRM_VSVM_ATOMICS_SYSTEM, true);
}

igt_main
{
	each_made("preferred-atomics-default", "Nothing is said of atomics.",
		  MSVM_ONLY, VRAM, with_default);
	each_made("preferred-atomics-none", "Atomics fail.", MSVM_ONLY, VRAM,
		  with_none);
	each_made("preferred-atomics-device", "Atomics go to the GPU.",
		  MSVM_ONLY, VRAM, with_device);
	each_made("preferred-atomics-system", "Atomics go to system memory.",
		  MSVM_ONLY, VRAM, with_system);
	each_made("preferred-atomics-default-peers", "Likewise, with peers.",
		  MSVM_ONLY, PEERS, peers_default);
	each_made("preferred-atomics-none-peers", "Likewise, with peers.",
		  MSVM_ONLY, PEERS, peers_none);
	each_made("preferred-atomics-device-peers", "Likewise, with peers.",
		  MSVM_ONLY, PEERS, peers_device);
	each_made("preferred-atomics-system-peers", "Likewise, with peers.",
		  MSVM_ONLY, PEERS, peers_system);

	igt_fixture {
		policy_restore();
		gpus_remove();
	}
}
