// SPDX-License-Identifier: MIT
/*
 * Many members in one address space, more than there are GPUs: each sees the same
 * memory, loses it at the same time, and one too many is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define MAX_MEMBERS 64

/* VMs beyond those of the set, on its GPUs in turn. */
static struct {
	int n;
	int gpu[MAX_MEMBERS];
	uint32_t vm[MAX_MEMBERS];
} more;

/* @n members all together; the first ones are the set's own. */
static void members_open(struct vsvm_set *set, int n)
{
	more.n = 0;
	while (set->n + more.n < n) {
		more.gpu[more.n] = more.n % set->n;
		more.vm[more.n] = vsvm_vm_create(set->fd[more.gpu[more.n]],
						 set->layout);
		more.n++;
	}
}

/* Member @i as a set of one GPU. */
static struct vsvm_set member(struct vsvm_set *set, int i)
{
	struct vsvm_set one = { .n = 1, .layout = set->layout };

	one.fd[0] = set->fd[i < set->n ? i : more.gpu[i - set->n]];
	one.vm[0] = i < set->n ? set->vm[i] : more.vm[i - set->n];
	return one;
}

static void members_check(struct vsvm_set *set, int n, char *p, uint64_t seed)
{
	int i;

	for (i = 0; i < n; i++) {
		struct vsvm_set one = member(set, i);

		vsvm_gpu_check(&one, 0, p, SZ_4K, seed);
	}
}

/* All members have a buffer; each write is seen by all, and munmap() by all. */
static void share(struct vsvm_set *set, int n)
{
	uint64_t *sum = anon(SZ_4K), *result = anon(SZ_4K);
	char *p = anon_aligned(SZ_64K, SZ_2M);
	struct drm_vsvm_vm_stats stats;
	int i;

	members_open(set, n);
	stats = vsvm_stats(set->fd[0], set->vm[0]);
	igt_assert_eq_u64(context_value(stats.context_id, "info", "members"), n);
	pattern_fill(p, SZ_64K, 1);
	members_check(set, n, p, 1);
	for (i = 0; i < n; i++) {
		struct vsvm_set one = member(set, i);
		struct drm_vsvm_cmd cmd = vsvm_add(sum, 8, 1ULL << (i % 60),
						   NULL);

		vsvm_run(&one, 0, &cmd, 1);
		vsvm_gpu_write(&one, 0, p, SZ_4K, 2 + i);
		pattern_check(p, SZ_4K, 2 + i);
		/* The one before and the one after, and in the end all. */
		one = member(set, (i + 1) % n);
		vsvm_gpu_check(&one, 0, p, SZ_4K, 2 + i);
		one = member(set, (i + n - 1) % n);
		vsvm_gpu_check(&one, 0, p, SZ_4K, 2 + i);
	}
	members_check(set, n, p, 1 + n);
	for (i = 0; i < n; i++)
		*sum -= 1ULL << (i % 60);
	igt_assert_eq_u64(*sum, 0);

	munmap(p, SZ_64K);
	for (i = 0; i < n; i++) {
		struct vsvm_set one = member(set, i);

		vsvm_expect_fault(&one, 0, vsvm_load(p + 8 * i, 8, result),
				  -EFAULT, p + 8 * i, DRM_VSVM_ACCESS_READ);
	}
	igt_assert_eq_u64(*result, 0);
	munmap(sum, SZ_4K);
	munmap(result, SZ_4K);
}

/* On fewer GPUs than members where there are so many. */
static void test_3(struct vsvm_set *set)
{
	share(set, set->n < 3 ? 3 : set->n + 3);
}

static void test_33(struct vsvm_set *set)
{
	share(set, 33);
}

/* Members go in any order; those who stay have all their memory. */
static void test_leave(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	int i, last;

	members_open(set, 33);
	pattern_fill(p, SZ_64K, 3);
	members_check(set, 33, p, 3);
	for (i = 0; i < more.n; i += 2)
		igt_assert_eq(vsvm_vm_destroy(set->fd[more.gpu[i]], more.vm[i]),
			      0);
	for (i = 1; i < more.n; i += 2) {
		struct vsvm_set one = member(set, set->n + i);

		vsvm_gpu_check(&one, 0, p, SZ_64K, 3);
		vsvm_gpu_write(&one, 0, p, SZ_4K, 3);
	}
	last = (more.n - 1) | 1;
	for (i = 1; i < more.n && i < last; i += 2)
		igt_assert_eq(vsvm_vm_destroy(set->fd[more.gpu[i]], more.vm[i]),
			      0);
	mm_all_agree(set, p, SZ_64K, 3);
	/* New ones take the places of the old. */
	members_open(set, 20);
	members_check(set, 20, p, 3);
	munmap(p, SZ_64K);
}

static int try_create(struct vsvm_set *set, int gpu, uint32_t *vm)
{
	struct drm_vsvm_vm_create args = { .layout = set->layout };
	int err = vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_VM_CREATE, &args);

	*vm = args.vm_id;
	return err;
}

/* The 65th is refused, on every GPU and in every file, until one leaves. */
static void test_too_many(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	static struct vsvm_set own;
	uint32_t vm;
	int i, round;

	pattern_fill(p, SZ_64K, 4);
	members_open(set, MAX_MEMBERS);
	members_check(set, MAX_MEMBERS, p, 4);
	for (round = 0; round < 3; round++) {
		int victim = round * 7 % more.n;

		for (i = 0; i < set->n; i++)
			igt_assert_eq(try_create(set, i, &vm), -ENOSPC);
		/* Another address space has places of its own. */
		igt_fork(child, 1) {
			vsvm_set_open(&own, set->n, set->layout);
			vsvm_gpu_check(&own, 0, p, SZ_4K, 4);
			vsvm_set_close(&own);
		}
		igt_waitchildren();
		igt_assert_eq(vsvm_vm_destroy(set->fd[more.gpu[victim]],
					      more.vm[victim]), 0);
		igt_assert_eq(try_create(set, round % set->n, &vm), 0);
		more.gpu[victim] = round % set->n;
		more.vm[victim] = vm;
		members_check(set, MAX_MEMBERS, p, 4);
	}
	munmap(p, SZ_64K);
}

igt_main
{
	each("three", "some more members than GPUs", MSVM_ONLY, test_3);
	each("thirty-three", "33 members have one buffer", MSVM_ONLY, test_33);
	each("leave", "members leave, others stay, new ones come", MSVM_ONLY,
	     test_leave);
	each("too-many", "64 members, not 65", MSVM_ONLY, test_too_many);
}
