// SPDX-License-Identifier: MIT
/*
 * Memory that is bound explicitly ("userptr"), on GPUs with and without page faults:
 * one notifier and one walk for all that bind it, and right data whatever the
 * process does to it.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/userptr.h"

#define NO_FAULTS ATTR("page_faults=0")
#define LEN SZ_2M

/* Who does not can't say why it found nothing. */
static bool takes_faults(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);
	int status = vsvm_try(set, 0, &cmd, 1).status;

	munmap(p, SZ_4K);
	return !status;
}

/* Bound: all of it works. Not bound any more: as if it had never been. */
static void basic(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	struct drm_vsvm_cmd cmd;
	int gpu, i;

	for (i = 0; i < 2; i++) {
		userptr_bind(set, p, LEN, 0);
		for (gpu = 0; gpu < set->n; gpu++) {
			cmd = vsvm_fill(p, 3 + gpu, LEN);
			vsvm_run(set, gpu, &cmd, 1);
			userptr_expect(set, p + LEN - SZ_64K, SZ_64K, results,
				       3 + gpu);
		}
		memset(p, 1, LEN);
		userptr_expect(set, p, LEN, results, 1);
		userptr_unbind(set, p, LEN);
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(userptr_try_unbind(set, gpu, p, LEN),
				      -ENOENT);
	}
	userptr_free_results(set, results);
	munmap(p, 2 * LEN);
}

/* What is not bound can't be reached without page faults. */
static void not_bound(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);

	memset(p, 1, LEN);
	userptr_expect_fault(set, p, -EFAULT);
	userptr_bind(set, p + SZ_4K, SZ_4K, 0);
	userptr_expect_fault(set, p, -EFAULT);
	userptr_expect_fault(set, p + 2 * SZ_4K, -EFAULT);
	userptr_unbind(set, p + SZ_4K, SZ_4K);
	userptr_expect_fault(set, p + SZ_4K, -EFAULT);
	igt_assert_eq(*p, 1);
	munmap(p, LEN);
}

/* Sizes that are no power of two and larger than a range, at odd addresses. */
static void sizes(struct vsvm_set *set)
{
	static const size_t lens[] = {
		SZ_4K, 3 * SZ_4K, SZ_64K - SZ_4K, SZ_2M + SZ_4K,
		5 * SZ_2M - SZ_4K,
	};
	uint64_t *results = userptr_results(set);
	char *p = anon_aligned(6 * SZ_2M, SZ_2M) + SZ_4K;
	unsigned int i;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		memset(p, i + 1, lens[i]);
		userptr_bind(set, p, lens[i], 0);
		userptr_expect(set, p, lens[i], results, i + 1);
		igt_assert(!madvise(p + lens[i] - SZ_4K, SZ_4K, MADV_DONTNEED));
		userptr_expect(set, p + lens[i] - SZ_4K, SZ_4K, results, 0);
		userptr_unbind(set, p, lens[i]);
	}
	userptr_free_results(set, results);
	munmap(p - SZ_4K, 6 * SZ_2M);
}

/* N GPUs: one notifier, one walk, and one for all after each change. */
static void one_walk(struct vsvm_set *set)
{
	uint64_t *results = userptr_results(set), walks, notifiers, binds;
	char *p = anon_aligned(LEN, SZ_2M);
	int i;

	memset(p, 1, LEN);
	walks = userptr_stat(set, "hmm_walks");
	binds = userptr_stat(set, "userptr_binds");
	notifiers = userptr_info(set, "notifiers");
	igt_assert_eq_u64(userptr_info(set, "userptrs"), 1);
	userptr_bind(set, p, LEN, 0);
	igt_assert_eq_u64(userptr_stat(set, "hmm_walks"), walks + 1);
	igt_assert_eq_u64(userptr_stat(set, "userptr_binds"), binds + set->n);
	igt_assert_eq_u64(userptr_info(set, "notifiers"), notifiers + 1);
	igt_assert_eq_u64(userptr_info(set, "userptrs"), 2);
	for (i = 1; i < 5; i++) {
		/* One operation, one invalidation, nobody changes it meanwhile. */
		igt_assert(!madvise(p, LEN, MADV_DONTNEED));
		userptr_expect(set, p, LEN, results, 0);
		igt_assert_eq_u64(userptr_stat(set, "hmm_walks"), walks + 1 + i);
		igt_assert_eq_u64(userptr_stat(set, "userptr_binds"),
				  binds + (1 + i) * set->n);
		igt_assert_eq_u64(userptr_stat(set, "userptr_invalidations"), i);
	}
	/* Another end: another userptr. */
	igt_assert_eq(userptr_try_unbind(set, 0, p, LEN), 0);
	igt_assert_eq(userptr_try_bind(set, 0, p, LEN - SZ_4K, 0), 0);
	igt_assert_eq_u64(userptr_info(set, "userptrs"), set->n > 1 ? 3 : 2);
	igt_assert_eq(userptr_try_unbind(set, 0, p, LEN - SZ_4K), 0);
	igt_assert_eq(userptr_try_bind(set, 0, p, LEN, 0), 0);
	igt_assert_eq_u64(userptr_info(set, "userptrs"), 2);
	userptr_unbind(set, p, LEN);
	igt_assert_eq_u64(userptr_info(set, "userptrs"), 1);
	igt_assert_eq_u64(userptr_info(set, "notifiers"), notifiers);
	userptr_free_results(set, results);
	igt_assert_eq_u64(userptr_info(set, "userptrs"), 0);
	munmap(p, LEN);
}

/* One call for all: bound on all, or on none. */
static void together(struct vsvm_set *set)
{
	uint64_t *results = userptr_results(set), walks, binds;
	char *p = anon_aligned(LEN, SZ_2M);
	struct drm_vsvm_bind_other other = {
		.fd = set->fd[0], .vm_id = set->vm[0],
	};
	struct drm_vsvm_bind args = {
		.vm_id = set->vm[0], .addr = to_u64(p), .length = LEN,
		.others = to_u64(&other), .num_others = 1,
	};
	int last = set->n - 1, gpu;

	memset(p, 1, LEN);
	walks = userptr_stat(set, "hmm_walks");
	binds = userptr_stat(set, "userptr_binds");
	igt_assert_eq(userptr_try_bind_all(set, p, LEN, 0), 0);
	igt_assert_eq_u64(userptr_stat(set, "hmm_walks"), walks + 1);
	igt_assert_eq_u64(userptr_stat(set, "userptr_binds"), binds + set->n);
	userptr_expect(set, p, LEN, results, 1);
	memset(p, 2, LEN);
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	userptr_expect(set, p, SZ_4K, results, 0);
	userptr_unbind(set, p, LEN);
	/* One has something there already. */
	igt_assert_eq(userptr_try_bind(set, last, p + SZ_4K, SZ_4K, 0), 0);
	igt_assert_eq(userptr_try_bind_all(set, p, LEN, 0), -EEXIST);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(userptr_try_unbind(set, gpu, p, LEN), -ENOENT);
	igt_assert_eq(userptr_try_unbind(set, last, p + SZ_4K, SZ_4K), 0);
	/* One of them twice, none of ours, no such VM, no list. */
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -EINVAL);
	other.vm_id += 77;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -ENOENT);
	other.fd = 0;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -EBADF);
	args.others = SZ_4K;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -EFAULT);
	args.num_others = 8;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -EINVAL);
	args.num_others = 0;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -EINVAL);
	args.others = 0;
	args.pad = 1;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args),
		      -EINVAL);
	igt_assert_eq_u64(userptr_info(set, "userptrs"), 1);
	/* Nobody may write: none gets it. */
	igt_assert(!mprotect(p, LEN, PROT_READ));
	igt_assert_eq(userptr_try_bind_all(set, p, LEN, 0), -EACCES);
	igt_assert_eq(userptr_try_bind_all(set, p, LEN, READ_ONLY), 0);
	userptr_expect(set, p + SZ_4K, LEN - SZ_4K, results, 2);
	userptr_unbind(set, p, LEN);
	userptr_free_results(set, results);
	munmap(p, LEN);
}

/* All that a process may do to its memory, in a part of it. */
static void invalidations(struct vsvm_set *set)
{
	size_t len = SZ_2M / 4;
	char *p = anon_aligned(len, SZ_2M);
	int dead = takes_faults(set) ? -EACCES : -EFAULT;
	uint64_t *results = userptr_results(set);
	int status, i;
	pid_t pid;

	memset(p, 1, len);
	userptr_bind(set, p, len, 0);
	userptr_expect(set, p, len, results, 1);
	for (i = 0; i < 2; i++) {
		igt_assert(!madvise(p, len, MADV_DONTNEED));
		userptr_expect(set, p, len, results, 0);
		memset(p, 2, len);
		igt_assert(!madvise(p + SZ_64K, SZ_4K, MADV_DONTNEED));
		userptr_expect(set, p + SZ_64K, SZ_4K, results, 0);
		userptr_expect(set, p, SZ_64K, results, 2);
		memset(p, 2, len);
		userptr_expect(set, p, len, results, 2);
		/* A binding for writing is none of memory that may not be. */
		igt_assert(!mprotect(p, SZ_4K, PROT_READ));
		userptr_expect_fault(set, p + SZ_4K, dead);
		igt_assert(!mprotect(p, SZ_4K, PROT_READ | PROT_WRITE));
		memset(p, 3, len);
		userptr_expect(set, p, len, results, 3);
		/* Copy on write, of either side. */
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid) {
			memset(p, 9, len);
			_exit(0);
		}
		memset(p, 4, len);
		igt_assert(waitpid(pid, &status, 0) == pid);
		userptr_expect(set, p, len, results, 4);
	}
	userptr_unbind(set, p, len);
	userptr_free_results(set, results);
	munmap(p, len);
}

/* Gone in part: all of it fails, until there is memory again. */
static void unmapped(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M), *q;
	uint64_t *results = userptr_results(set);

	memset(p, 1, 2 * LEN);
	userptr_bind(set, p, LEN, 0);
	userptr_bind(set, p + LEN, LEN, 0);
	igt_assert(!munmap(p + SZ_64K, SZ_4K));
	userptr_expect_fault(set, p, -EFAULT);
	userptr_expect_fault(set, p + SZ_64K, -EFAULT);
	/* The neighbour is no part of it. */
	userptr_expect(set, p + LEN, LEN, results, 1);
	q = mmap(p + SZ_64K, SZ_4K, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	igt_assert(q == p + SZ_64K);
	memset(q, 1, SZ_4K);
	userptr_expect(set, p, LEN, results, 1);
	/* Moved away, with its pages. */
	q = anon_aligned(LEN, SZ_2M);
	igt_assert(mremap(p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	userptr_expect_fault(set, p, -EFAULT);
	igt_assert_eq(q[LEN - 1], 1);
	igt_assert(mremap(q, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	userptr_expect(set, p, LEN, results, 1);
	/* What is dead can be unbound. */
	igt_assert(!munmap(p, LEN));
	userptr_expect_fault(set, p, -EFAULT);
	userptr_unbind(set, p, LEN);
	userptr_unbind(set, p + LEN, LEN);
	userptr_free_results(set, results);
	munmap(p + LEN, LEN);
}

static int raw_bind(struct vsvm_set *set, uint32_t vm, uint32_t flags,
		    uint64_t addr, uint64_t length)
{
	struct drm_vsvm_bind args = {
		.vm_id = vm, .flags = flags, .addr = addr, .length = length,
	};

	return vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_BIND, &args);
}

/* What the ioctls refuse, and that nothing is left of it. */
static void bad_input(struct vsvm_set *set)
{
	char *p = anon_aligned(4 * SZ_64K, SZ_64K);
	uint64_t a = to_u64(p), top = 1ULL << 47;
	uint32_t vm = set->vm[0], other;
	struct drm_vsvm_unbind un = {
		.vm_id = vm, .pad = 1, .addr = a, .length = SZ_64K,
	};
	const struct {
		uint32_t vm, flags;
		uint64_t addr, length;
		int err;
	} bad[] = {
		{ vm, 2, a, SZ_64K, -EINVAL },
		{ vm, 1u << 31, a, SZ_64K, -EINVAL },
		{ vm, 0, a + 1, SZ_64K, -EINVAL },
		{ vm, 0, a + 8, SZ_64K - 8, -EINVAL },
		{ vm, 0, a, 0, -EINVAL },
		{ vm, 0, a, SZ_64K + 1, -EINVAL },
		{ vm, 0, a, -SZ_4K, -EINVAL },
		{ vm, 0, -SZ_4K, SZ_4K, -EINVAL },
		{ vm, 0, top, SZ_4K, -EINVAL },
		{ vm, 0, top - SZ_4K, 2 * SZ_4K, -EINVAL },
		{ vm + 77, 0, a, SZ_64K, -ENOENT },
		{ vm, 0, SZ_4K, SZ_4K, -EFAULT },
		{ vm, 0, a + 3 * SZ_64K, SZ_64K, -EFAULT },
		{ vm, 0, a, 4 * SZ_64K, -EACCES },
		{ vm, 0, a, 2 * SZ_64K, -EACCES },
		{ vm, READ_ONLY, a, 3 * SZ_64K, -EACCES },
	};
	unsigned int i;

	igt_assert(!mprotect(p + SZ_64K, SZ_64K, PROT_READ));
	igt_assert(!mprotect(p + 2 * SZ_64K, SZ_64K, PROT_NONE));
	igt_assert(!munmap(p + 3 * SZ_64K, SZ_64K));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int err = raw_bind(set, bad[i].vm, bad[i].flags, bad[i].addr,
				   bad[i].length);

		igt_assert_f(err == bad[i].err, "line %u: %d\n", i, err);
		igt_assert_eq_u64(userptr_info(set, "userptrs"), 0);
	}
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_UNBIND, &un),
		      -EINVAL);
	un.pad = 0;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_UNBIND, &un),
		      -ENOENT);
	un.addr++;
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_UNBIND, &un),
		      -EINVAL);
	other = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_1TO1);
	igt_assert_eq(raw_bind(set, other, 0, a, SZ_64K), -EOPNOTSUPP);
	igt_assert(!vsvm_vm_destroy(set->fd[0], other));
	munmap(p, 3 * SZ_64K);
}

/* No two bindings of a VM overlap. Those of different VMs may. */
static void overlap(struct vsvm_set *set)
{
	char *p = anon_aligned(4 * SZ_64K, SZ_64K), *in = p + SZ_64K;
	uint64_t *results = userptr_results(set);
	int gpu;

	memset(p, 1, 4 * SZ_64K);
	for (gpu = 0; gpu < set->n; gpu++) {
		igt_assert_eq(userptr_try_bind(set, gpu, in, SZ_64K, 0), 0);
		igt_assert_eq(userptr_try_bind(set, gpu, in, SZ_64K, 0),
			      -EEXIST);
		igt_assert_eq(userptr_try_bind(set, gpu, p, 2 * SZ_64K, 0),
			      -EEXIST);
		igt_assert_eq(userptr_try_bind(set, gpu, p, 4 * SZ_64K, 0),
			      -EEXIST);
		igt_assert_eq(userptr_try_bind(set, gpu, in + SZ_4K, SZ_4K,
					       READ_ONLY), -EEXIST);
		igt_assert_eq(userptr_try_bind(set, gpu, in + SZ_64K - SZ_4K,
					       2 * SZ_4K, 0), -EEXIST);
		/* Right beside it is beside it. */
		igt_assert_eq(userptr_try_bind(set, gpu, p, SZ_64K, 0), 0);
		igt_assert_eq(userptr_try_bind(set, gpu, in + SZ_64K, SZ_64K,
					       0), 0);
		igt_assert_eq(userptr_try_unbind(set, gpu, p, 2 * SZ_64K),
			      -ENOENT);
		igt_assert_eq(userptr_try_unbind(set, gpu, in, SZ_4K), -ENOENT);
	}
	igt_assert_eq(userptr_try_unbind(set, 0, in, SZ_64K), 0);
	igt_assert_eq(userptr_try_unbind(set, 0, p, SZ_64K), 0);
	igt_assert_eq(userptr_try_bind(set, 0, p, 2 * SZ_64K, 0), 0);
	userptr_expect(set, p, 3 * SZ_64K, results, 1);
	memset(p, 2, 4 * SZ_64K);
	igt_assert(!madvise(in, SZ_64K, MADV_DONTNEED));
	userptr_expect(set, p, SZ_64K, results, 2);
	userptr_expect(set, in, SZ_64K, results, 0);
	/* What is left goes with the VMs. */
	munmap(p, 4 * SZ_64K);
}

/* The process takes away what is bound, every few milliseconds. */
static struct {
	char *p;
	volatile int stop;
	volatile uint64_t rounds;
} churn;

static void *churn_thread(void *unused)
{
	while (!churn.stop) {
		int64_t next = vsvm_now() + vsvm_scale(5, 100) * 1000000LL;

		madvise(churn.p + LEN, LEN, MADV_DONTNEED);
		mprotect(churn.p, SZ_4K, PROT_READ);
		mprotect(churn.p, SZ_4K, PROT_READ | PROT_WRITE);
		churn.p[LEN] = 1;
		churn.rounds++;
		while (vsvm_now() < next && !churn.stop)
			usleep(500);
	}
	return unused;
}

static void under_churn(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);
	uint64_t *counter = userptr_results(set);
	uint64_t expect = 0;
	int gpu;
	struct drm_vsvm_cmd cmds[2];
	pthread_t thread;

	memset(p, 1, 2 * LEN);
	userptr_bind(set, p, LEN, READ_ONLY);
	userptr_bind(set, p + LEN, LEN, 0);
	churn.p = p;
	churn.stop = 0;
	churn.rounds = 0;
	igt_assert(!pthread_create(&thread, NULL, churn_thread, NULL));
	cmds[0] = vsvm_copy(p + LEN + SZ_64K, p, SZ_64K);
	cmds[1] = vsvm_add(counter, 8, 1, NULL);
	/* Both get on. */
	while (churn.rounds < 3 || expect < 3u * set->n) {
		for (gpu = 0; gpu < set->n; gpu++)
			vsvm_run(set, gpu, cmds, 2);
		expect += set->n;
	}
	churn.stop = 1;
	join_thread(thread);
	igt_assert_eq_u64(*counter, expect);
	userptr_unbind(set, p, LEN);
	userptr_unbind(set, p + LEN, LEN);
	userptr_free_results(set, counter);
	munmap(p, 2 * LEN);
}

igt_main
{
	each_made("basic", "bound and not", MSVM_ONLY, NO_ATTRS, basic);
	each_made("basic-nofault", "without page faults", MSVM_ONLY, NO_FAULTS,
		  basic);
	each_made("basic-iommu", "behind an IOMMU", MSVM_ONLY,
		  NO_FAULTS ATTR("dma=iommu"), basic);
	each_made("basic-nodma", "by physical addresses", MSVM_ONLY,
		  NO_FAULTS ATTR("dma=none"), basic);
	each_made("not-bound", "what is not can't be reached", MSVM_ONLY,
		  NO_FAULTS, not_bound);
	each_made("sizes", "intervals of any size", MSVM_ONLY,
		  NO_FAULTS ATTR("dma=iommu"), sizes);
	each_made("one-walk", "one walk for all", MSVM_ONLY, NO_ATTRS, one_walk);
	each_made("one-walk-nofault", "one walk for all", MSVM_ONLY, NO_FAULTS,
		  one_walk);
	each_made("together", "bound by one call", MSVM_ONLY, NO_ATTRS,
		  together);
	each_made("together-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, together);
	each_made("invalidations", "the process changes its memory", MSVM_ONLY,
		  NO_ATTRS, invalidations);
	each_made("invalidations-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, invalidations);
	each_made("unmapped", "memory is gone, and comes back", MSVM_ONLY,
		  NO_ATTRS, unmapped);
	each_made("unmapped-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, unmapped);
	each_made("bad-input", "what the ioctls refuse", MSVM_ONLY, NO_FAULTS,
		  bad_input);
	each_made("overlap", "bindings that overlap", MSVM_ONLY, NO_FAULTS,
		  overlap);
	each_made("churn", "memory is taken away all the time", MSVM_ONLY,
		  NO_ATTRS, under_churn);
	each_made("churn-nofault", "without page faults", MSVM_ONLY, NO_FAULTS,
		  under_churn);
}
