// SPDX-License-Identifier: MIT
/*
 * Life and death of bindings: processes, GPUs and VMs that go while memory is bound
 * and jobs run in it, faults that sleep, GPUs that do not answer or are reset, and
 * allocations that fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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
#define INJECT "/sys/kernel/debug/drm_msvm/inject/alloc"
#define MAX_NTH 300
#define LEN SZ_2M

/* A job that would never end by itself. */
static uint64_t endless(struct vsvm_set *set, int gpu, char *p)
{
	struct drm_vsvm_cmd cmd = vsvm_wait_value(p, 8, 0x77);

	return vsvm_submit(set->fd[gpu], set->vm[gpu], 0, &cmd, 1);
}

/* A process ends, one way or another, while jobs wait in what it bound. */
static void exits(struct vsvm_set *set)
{
	struct {
		uint32_t vm[VSVM_MAX_SET];
		uint64_t job[VSVM_MAX_SET];
	} *shared;
	int round, gpu, status;
	pid_t pid;

	shared = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	igt_assert(shared != MAP_FAILED);
	for (round = 0; round < 3; round++) {
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid) {
			char *p = anon_aligned(LEN, SZ_2M);

			child_asserts_exit();
			for (gpu = 0; gpu < set->n; gpu++) {
				set->vm[gpu] = vsvm_vm_create
					(set->fd[gpu], DRM_VSVM_VM_LAYOUT_MSVM);
				shared->vm[gpu] = set->vm[gpu];
			}
			userptr_bind(set, p, LEN, round ? READ_ONLY : 0);
			for (gpu = 0; gpu < set->n; gpu++)
				shared->job[gpu] = endless(set, gpu, p);
			if (round == 2)
				munmap(p, LEN);
			if (round)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		status = wait_child(pid);
		igt_assert(round ? WIFSIGNALED(status) : !status);
		/* The files are ours as well, and so the VMs are still there. */
		for (gpu = 0; gpu < set->n; gpu++) {
			igt_assert_eq(vsvm_wait(set->fd[gpu], shared->vm[gpu],
						shared->job[gpu]).status,
				      -EFAULT);
			igt_assert(!vsvm_vm_destroy(set->fd[gpu],
						    shared->vm[gpu]));
		}
	}
	munmap(shared, SZ_4K);
}

/* It ends, and its files with it. */
static void exits_with_files(struct vsvm_set *set)
{
	int round, gpu, status;
	char path[64];
	pid_t pid;

	for (round = 0; round < vsvm_scale(4, 2); round++) {
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid) {
			char *p = anon_aligned(LEN, SZ_2M);

			child_asserts_exit();
			for (gpu = 0; gpu < set->n; gpu++) {
				snprintf(path, sizeof(path), "/proc/self/fd/%d",
					 set->fd[gpu]);
				set->fd[gpu] = open(path, O_RDWR | O_CLOEXEC);
				igt_assert(set->fd[gpu] >= 0);
				set->vm[gpu] = vsvm_vm_create
					(set->fd[gpu], DRM_VSVM_VM_LAYOUT_MSVM);
			}
			userptr_bind(set, p, LEN, 0);
			for (gpu = 0; gpu < set->n; gpu++)
				endless(set, gpu, p);
			_exit(0);
		}
		status = wait_child(pid);
		igt_assert_eq(status, 0);
	}
}

/* One of N is pulled out while jobs of all run in what all have bound. */
static void pull_out(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	int last = set->n - 1, gpu;
	uint64_t jobs[VSVM_MAX_SET];

	memset(p, 1, LEN);
	userptr_bind(set, p, LEN, 0);
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = endless(set, gpu, p);
	igt_assert(!gpu_pull(last));
	close(set->fd[last]);
	set->n--;
	/* The others' still run, and so does their memory's binding. */
	igt_assert(!madvise(p, LEN, MADV_DONTNEED));
	*(uint64_t *)p = 0x77;
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
	memset(p, 2, LEN);
	userptr_expect(set, p, LEN, results, 2);
	if (set->n)
		igt_assert_eq_u64(userptr_info(set, "userptrs"), 2);
	munmap(p, LEN);
}

/* One of N was pulled out, and its file is still open: nobody binds with it. */
static void pulled(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);

	memset(p, 1, LEN);
	igt_assert(!gpu_pull(set->n - 1));
	igt_assert_eq(userptr_try_bind_all(set, p, LEN, 0), -ENODEV);
	close(set->fd[--set->n]);
	/* Nothing is left of it: all of it is free for the others. */
	if (set->n) {
		igt_assert_eq(userptr_try_bind_all(set, p, LEN, 0), 0);
		userptr_expect(set, p, LEN, results, 1);
	}
	munmap(p, LEN);
}

/* VMs go while their jobs are preempted, and new ones bind the same. */
static void destroyed(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	int gpu, i;

	for (i = 0; i < 3; i++) {
		userptr_bind(set, p, LEN, 0);
		for (gpu = 0; gpu < set->n; gpu++)
			endless(set, gpu, p);
		igt_assert(!madvise(p, LEN, MADV_DONTNEED));
		for (gpu = 0; gpu < set->n; gpu++) {
			igt_assert(!vsvm_vm_destroy(set->fd[gpu],
						    set->vm[gpu]));
			set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
						      DRM_VSVM_VM_LAYOUT_MSVM);
		}
	}
	munmap(p, LEN);
}

/*
 * Nobody serves the memory: who binds it again sleeps. It can be unbound all the
 * same, and its VM can go; other memory of the process is not affected.
 */
static void sleeping(struct vsvm_set *set)
{
	uint64_t jobs[VSVM_MAX_SET], *results;
	char *p = anon_aligned(SZ_64K, SZ_64K), *from = anon(SZ_64K);
	int uffd = uffd_open(), gpu, round;

	memset(from, 7, SZ_64K);
	memset(p, 7, SZ_64K);
	for (round = 0; round < 2; round++) {
		results = userptr_results(set);
		userptr_bind(set, p, SZ_64K, READ_ONLY);
		userptr_expect(set, p, SZ_64K, results, 7);
		uffd_register(uffd, p, SZ_64K);
		igt_assert(!madvise(p, SZ_64K, MADV_DONTNEED));
		for (gpu = 0; gpu < set->n; gpu++) {
			struct drm_vsvm_cmd cmd = vsvm_sum(results, p, SZ_64K);

			jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0,
						&cmd, 1);
		}
		uffd_wait_fault(uffd);
		if (round) {
			for (gpu = 0; gpu < set->n; gpu++) {
				igt_assert(!vsvm_vm_destroy(set->fd[gpu],
							    set->vm[gpu]));
				set->vm[gpu] = vsvm_vm_create
					(set->fd[gpu], DRM_VSVM_VM_LAYOUT_MSVM);
			}
			uffd_unregister(uffd, p, SZ_64K);
			munmap(results, SZ_4K);
			break;
		}
		userptr_unbind(set, p, SZ_64K);
		uffd_copy(uffd, p, from, SZ_64K);
		uffd_unregister(uffd, p, SZ_64K);
		/* By page faults it goes on; without it is no memory of its. */
		for (gpu = 0; gpu < set->n; gpu++) {
			int status = vsvm_wait(set->fd[gpu], set->vm[gpu],
					       jobs[gpu]).status;

			igt_assert(!status || status == -EFAULT);
		}
		userptr_free_results(set, results);
	}
	close(uffd);
	munmap(p, SZ_64K);
	munmap(from, SZ_64K);
}

/* A GPU that never answers is cut off, and the others go on. */
static void no_answer(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, results);
	int dead = set->n - 1;
	struct drm_vsvm_exec args = {
		.vm_id = set->vm[dead], .num_cmds = 1, .cmds = to_u64(&cmd),
	};

	memset(p, 1, LEN);
	userptr_bind(set, p, LEN, 0);
	gpu_debugfs_write(set->fd[dead], "fail_zap_wait", 1);
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	set->n--;
	userptr_expect(set, p, SZ_4K, results, 0);
	set->n++;
	igt_assert_eq(vsvm_ioctl(set->fd[dead], DRM_IOCTL_VSVM_EXEC, &args),
		      -EIO);
	igt_assert_eq(userptr_try_bind(set, dead, p + SZ_4K, SZ_4K, 0), -EEXIST);
	igt_assert_eq(userptr_try_unbind(set, dead, p, LEN), 0);
	igt_assert_eq(userptr_try_bind(set, dead, p, LEN, 0), -EIO);
	/* A VM of its own is a new start. */
	set->vm[dead] = vsvm_vm_create(set->fd[dead], set->layout);
	igt_assert_eq(userptr_try_bind(set, dead, p, LEN, 0), 0);
	igt_assert_eq(userptr_try_bind(set, dead, results, SZ_4K, 0), 0);
	memset(p, 2, LEN);
	userptr_expect(set, p, LEN, results, 2);
	munmap(p, LEN);
}

/* A GPU loses its page tables: what is bound comes back. */
static void reset(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	int i, gpu;

	userptr_bind(set, p, LEN, 0);
	for (i = 1; i < 4; i++) {
		memset(p, i, LEN);
		for (gpu = 0; gpu < set->n; gpu++)
			gpu_debugfs_write(set->fd[gpu],
					  i & 1 ? "drop_mappings" : "reset", 1);
		userptr_expect(set, p, LEN, results, i);
	}
	userptr_unbind(set, p, LEN);
	userptr_free_results(set, results);
	munmap(p, LEN);
}

/*
 * Bind on all, use it, change it, use it again, unbind. Return: 0 or the first
 * errno; then the rest is left out, and the VMs go with what they have.
 */
static int workload(struct vsvm_set *set, char *p, int value)
{
	struct drm_vsvm_vm_create args;
	int ret = 0, joined, gpu;

	for (joined = 0; joined < set->n && !ret; joined++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p, value, SZ_64K);

		args = (struct drm_vsvm_vm_create) {};
		ret = vsvm_ioctl(set->fd[joined], DRM_IOCTL_VSVM_VM_CREATE,
				 &args);
		if (ret)
			break;
		set->vm[joined] = args.vm_id;
		ret = userptr_try_bind(set, joined, p, SZ_64K, 0);
		if (!ret)
			ret = userptr_try_bind(set, joined, p + LEN, SZ_64K,
					       READ_ONLY);
		if (!ret)
			ret = vsvm_try(set, joined, &cmd, 1).status;
	}
	if (!ret)
		igt_assert(!madvise(p, SZ_64K, MADV_DONTNEED));
	for (gpu = 0; gpu < set->n && !ret; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_copy(p + 64 * gpu, p + LEN, 64);

		ret = vsvm_try(set, gpu, &cmd, 1).status;
		if (!ret && gpu & 1)
			ret = userptr_try_unbind(set, gpu, p, SZ_64K);
	}
	while (joined--)
		igt_assert_eq(vsvm_vm_destroy(set->fd[joined], set->vm[joined]),
			      0);
	return ret;
}

static void fail_each(struct vsvm_set *set, bool retried)
{
	char *p = anon_aligned(2 * LEN, SZ_2M), left[16];
	int nth, ret, gpu, failed = 0;

	igt_require_f(!access(INJECT, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(!vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]));
	madvise(p, 2 * LEN, MADV_NOHUGEPAGE);
	memset(p, 1, 2 * LEN);
	igt_assert_eq(workload(set, p, 1), 0);
	/* With many GPUs they only come again and again. */
	for (nth = 1; nth < MAX_NTH; nth += set->n > 2 ? set->n - 1 : 1) {
		snprintf(left, sizeof(left), "%d", nth);
		igt_assert(file_write(INJECT, left));
		ret = workload(set, p, 2);
		/* Not that many. */
		if (file_number(INJECT))
			break;
		/* What the worker was denied it tries again. */
		igt_assert(ret == -ENOMEM || (retried && !ret));
		failed += !!ret;
		igt_assert_eq_u64(debugfs_value("stats", "bytes"), 0);
		igt_assert_eq(workload(set, p, 3), 0);
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(p[64 * gpu + 63], 1);
		igt_assert_eq_u64(debugfs_value("stats", "bytes"), 0);
	}
	igt_assert(file_write(INJECT, "0"));
	igt_info("%d allocations, %d failures\n", nth - 1, failed);
	igt_assert(nth < MAX_NTH && failed >= 6);
	munmap(p, 2 * LEN);
	for (gpu = 0; gpu < set->n; gpu++)
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu], set->layout);
}

static void fail_alloc(struct vsvm_set *set)
{
	fail_each(set, false);
}

static void fail_alloc_retried(struct vsvm_set *set)
{
	fail_each(set, true);
}

/* A DMA mapping fails: that GPU's, and no other's. */
static void fail_dma(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	int last = set->n - 1;

	igt_assert(!madvise(p, LEN, MADV_NOHUGEPAGE));
	memset(p, 1, LEN);
	scatter(p, LEN);
	memset(p, 1, LEN);
	set->n--;
	userptr_bind(set, p, LEN, 0);
	set->n++;
	gpu_debugfs_write(set->fd[last], "fail_dma_map", 5);
	igt_assert_eq(userptr_try_bind(set, last, p, LEN, 0), -EFAULT);
	igt_assert_eq(userptr_try_bind(set, last, p, LEN, 0), 0);
	userptr_expect(set, p, LEN, results, 1);
	munmap(p, LEN);
}

igt_main
{
	each_made("exit", "the process ends", MSVM_ONLY, NO_ATTRS, exits);
	each_made("exit-nofault", "without page faults", MSVM_ONLY, NO_FAULTS,
		  exits);
	each_made("exit-files", "and its files with it", MSVM_ONLY, NO_FAULTS,
		  exits_with_files);
	each_made("pull-out", "a GPU is pulled out", MSVM_ONLY, NO_ATTRS,
		  pull_out);
	each_made("pull-out-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, pull_out);
	each_made("pulled", "a GPU was pulled out", MSVM_ONLY, NO_ATTRS, pulled);
	each_made("destroyed", "VMs go meanwhile", MSVM_ONLY, NO_ATTRS,
		  destroyed);
	each_made("destroyed-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, destroyed);
	each_made("sleeping", "nobody serves the memory", MSVM_ONLY, NO_ATTRS,
		  sleeping);
	each_made("sleeping-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, sleeping);
	each_made("no-answer", "a GPU does not answer", MSVM_ONLY, NO_FAULTS,
		  no_answer);
	each_made("reset", "a GPU is reset", MSVM_ONLY, NO_ATTRS, reset);
	each_made("reset-nofault", "without page faults", MSVM_ONLY, NO_FAULTS,
		  reset);
	each_made("fail-alloc", "each allocation fails", MSVM_ONLY, NO_ATTRS,
		  fail_alloc);
	each_made("fail-alloc-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, fail_alloc_retried);
	each_made("fail-dma", "a DMA mapping fails", MSVM_ONLY,
		  NO_FAULTS ATTR("dma=iommu"), fail_dma);
}
