// SPDX-License-Identifier: MIT
/*
 * Accesses that must fail: the job ends with the reason and the address, it does
 * not hang, reads nothing and leaves the others alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "../lib/each.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"

/* After any error the VM goes on working. */
static void still_works(struct vsvm_set *set, int gpu)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 0x1234);

	vsvm_run(set, gpu, &cmd, 1);
	igt_assert_eq_u64(*p, 0x1234);
	munmap(p, SZ_4K);
}

static void expect(struct vsvm_set *set, struct drm_vsvm_cmd cmd, int status,
		   const void *addr, uint32_t access)
{
	int i;

	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, cmd, status, addr, access);
		still_works(set, i);
	}
}

static void test_unmapped(struct vsvm_set *set)
{
	uint64_t *result = anon(SZ_4K);
	char *p = anon(SZ_64K);

	munmap(p, SZ_64K);
	expect(set, vsvm_load(p + 24, 8, result), -EFAULT, p + 24,
	       DRM_VSVM_ACCESS_READ);
	expect(set, vsvm_store(p + 40, 4, 1), -EFAULT, p + 40,
	       DRM_VSVM_ACCESS_WRITE);
	expect(set, vsvm_add(p + 48, 8, 1, NULL), -EFAULT, p + 48,
	       DRM_VSVM_ACCESS_ATOMIC);
	expect(set, vsvm_load(NULL, 8, result), -EFAULT, NULL,
	       DRM_VSVM_ACCESS_READ);
	munmap(result, SZ_4K);
}

/* Addresses that no process has. */
static void test_beyond(struct vsvm_set *set)
{
	uint64_t *result = anon(SZ_4K);
	static const uint64_t addrs[] = {
		1ULL << 47, 0xffff888000000000ULL, ~0ULL - 7,
	};
	unsigned int i;

	for (i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
		expect(set, vsvm_load((void *)addrs[i], 8, result), -EFAULT,
		       (void *)addrs[i], DRM_VSVM_ACCESS_READ);
	munmap(result, SZ_4K);
}

/* A copy fails at the first byte that is not there, and did the ones before. */
static void test_crossing(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M), *out = anon(SZ_64K);

	pattern_fill(p, SZ_64K, 3);
	munmap(p + SZ_64K - SZ_4K, SZ_4K);
	expect(set, vsvm_copy(out, p + SZ_64K - 2 * SZ_4K + 100, SZ_4K), -EFAULT,
	       p + SZ_64K - SZ_4K, DRM_VSVM_ACCESS_READ);
	igt_assert(!memcmp(out, p + SZ_64K - 2 * SZ_4K + 100, SZ_4K - 100));
	expect(set, vsvm_fill(p + SZ_64K - SZ_4K - 8, 1, 16), -EFAULT,
	       p + SZ_64K - SZ_4K, DRM_VSVM_ACCESS_WRITE);
	munmap(p, SZ_64K);
	munmap(out, SZ_64K);
}

static void test_prot_none(struct vsvm_set *set)
{
	char *p = mmap(NULL, SZ_64K, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	uint64_t *result = anon(SZ_4K);

	igt_assert(p != MAP_FAILED);
	expect(set, vsvm_load(p, 8, result), -EACCES, p, DRM_VSVM_ACCESS_READ);
	expect(set, vsvm_store(p, 8, 1), -EACCES, p, DRM_VSVM_ACCESS_WRITE);
	munmap(p, SZ_64K);
	munmap(result, SZ_4K);
}

static void test_read_only_file(struct vsvm_set *set)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p = mmap(NULL, SZ_4K, PROT_READ, MAP_SHARED, fd, 0);
	int i;

	igt_assert(fd >= 0 && p != MAP_FAILED);
	expect(set, vsvm_store(p, 8, 1), -EACCES, p, DRM_VSVM_ACCESS_WRITE);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p), *(uint64_t *)p);
	munmap(p, SZ_4K);
	close(fd);
}

/* One range would cover both sides of the end of a file. */
static void test_past_eof(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC), i;
	uint64_t *result = anon(SZ_4K);
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_assert(fd >= 0 && !ftruncate(fd, 5 * SZ_4K));
	igt_assert(mmap(p, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			fd, 0) == p);
	pattern_fill(p, 5 * SZ_4K, 4);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, 5 * SZ_4K, 4);
	expect(set, vsvm_load(p + 5 * SZ_4K, 8, result), -EFAULT, p + 5 * SZ_4K,
	       DRM_VSVM_ACCESS_READ);
	expect(set, vsvm_store(p + SZ_2M - 8, 8, 1), -EFAULT, p + SZ_2M - 8,
	       DRM_VSVM_ACCESS_WRITE);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, 5 * SZ_4K, 4);

	/* Truncation takes it away from all. */
	igt_assert(!ftruncate(fd, SZ_4K));
	expect(set, vsvm_load(p + SZ_4K, 8, result), -EFAULT, p + SZ_4K,
	       DRM_VSVM_ACCESS_READ);
	munmap(p, SZ_2M);
	munmap(result, SZ_4K);
	close(fd);
}

/*
 * Faults of all GPUs wait for the first one, which is stuck, in a range that can't be
 * had as a whole, as it turns out then: a few tries later all have smaller ones.
 */
static void test_past_eof_together(struct vsvm_set *set)
{
	enum { PAGES = 5, ENGINES = 2, ROUNDS = 5, TRIES = 8 };
	static uint64_t jobs[VSVM_MAX_SET * ENGINES];
	uint32_t id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	int fd = memfd_create("msvm", MFD_CLOEXEC), n = set->n * ENGINES;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t retries, all = 0, faults;
	int64_t deadline;
	int round, k;

	igt_assert(fd >= 0);
	for (round = 1; round <= ROUNDS; round++) {
		int uffd = uffd_open();

		/* No page is there. */
		igt_assert(!ftruncate(fd, 0) && !ftruncate(fd, PAGES * SZ_4K));
		igt_assert(mmap(p, SZ_2M, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, fd, 0) == p);
		uffd_register(uffd, p, SZ_2M);
		retries = context_value(id, "stats", "retries");
		faults = context_value(id, "stats", "faults");
		for (k = 0; k < n; k++) {
			struct drm_vsvm_cmd cmd =
				vsvm_store(p + k % PAGES * SZ_4K + 8 * k, 8,
					   round + k);

			jobs[k] = vsvm_submit(set->fd[k / ENGINES],
					      set->vm[k / ENGINES], k % ENGINES,
					      &cmd, 1);
			if (!k)
				uffd_wait_fault(uffd);
		}
		deadline = vsvm_deadline(30);
		while (context_value(id, "stats", "faults") < faults + n)
			igt_assert(vsvm_now() < deadline);
		uffd_unregister(uffd, p, SZ_2M);
		for (k = 0; k < n; k++) {
			igt_assert_eq(vsvm_wait(set->fd[k / ENGINES],
						set->vm[k / ENGINES],
						jobs[k]).status, 0);
			igt_assert_eq_u64(*(uint64_t *)(p + k % PAGES * SZ_4K +
							8 * k), round + k);
		}
		all += context_value(id, "stats", "retries") - retries;
		close(uffd);
	}
	igt_info("%.1f retries a fault\n", (double)all / (ROUNDS * n));
	igt_assert(all <= (uint64_t)ROUNDS * n * TRIES);
	munmap(p, SZ_2M);
	close(fd);
}

#define INJECT_WALK "/sys/kernel/debug/drm_msvm/inject/walk"

/* Fails to walk it 20 times, then has it. Return: tries that held mmap_lock. */
static uint64_t walked_again(struct vsvm_set *set, int gpu, char *p)
{
	uint32_t id = vsvm_stats(set->fd[gpu], set->vm[gpu]).context_id;
	uint64_t held = context_value(id, "stats", "held");
	struct drm_vsvm_cmd cmd = vsvm_fill(p, gpu + 1, 8);

	igt_assert(file_write(INJECT_WALK, "20"));
	vsvm_run(set, gpu, &cmd, 1);
	igt_assert_eq(file_number(INJECT_WALK), 0);
	igt_assert_eq(p[7], gpu + 1);

	return context_value(id, "stats", "held") - held;
}

/*
 * Tries that hold mmap_lock can't wait for a process that serves its memory itself, so
 * none is made there, even where nothing is missing at the time.
 */
static void test_uffd_not_held(struct vsvm_set *set)
{
	char *from = anon(SZ_64K), *p;
	int uffd = uffd_open(), i;

	igt_require_f(!access(INJECT_WALK, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	for (i = 0; i < set->n; i++) {
		p = anon(SZ_64K);
		memset(p, 0, SZ_64K);
		igt_assert_eq_u64(walked_again(set, i, p), 1);
		munmap(p, SZ_64K);

		p = anon(SZ_64K);
		uffd_register(uffd, p, SZ_64K);
		uffd_copy(uffd, p, from, SZ_64K);
		igt_assert_eq_u64(walked_again(set, i, p), 0);
		munmap(p, SZ_64K);
	}
	munmap(from, SZ_64K);
	close(uffd);
}

/* The failing command is named; those before it ran, those after did not. */
static void test_command_index(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmds[] = {
		vsvm_store(p, 8, 1), vsvm_store(p + 1, 8, 2),
		vsvm_store(NULL, 8, 3), vsvm_store(p + 2, 8, 4),
	};
	struct drm_vsvm_exec args = {
		.num_cmds = 4, .cmds = to_u64(cmds),
		.fence_addr = to_u64(p + 3), .fence_value = 5,
	};
	struct drm_vsvm_wait w;
	int i;

	for (i = 0; i < set->n; i++) {
		memset(p, 0, SZ_4K);
		args.vm_id = set->vm[i];
		igt_assert_eq(vsvm_ioctl(set->fd[i], DRM_IOCTL_VSVM_EXEC, &args),
			      0);
		w = vsvm_wait(set->fd[i], set->vm[i], args.job_id);
		igt_assert_eq(w.status, -EFAULT);
		igt_assert_eq(w.cmd_index, 2);
		igt_assert_eq_u64(p[0], 1);
		igt_assert_eq_u64(p[1], 2);
		igt_assert_eq_u64(p[2], 0);
		/* No user fence for a job that failed. */
		igt_assert_eq_u64(p[3], 0);
	}
	munmap(p, SZ_4K);
}

static void test_wait_timeout(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_wait_value(p, 8, 1);
	int i;

	cmd.timeout_ns = 1000000;
	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_try(set, i, &cmd, 1).status, -ETIMEDOUT);
		still_works(set, i);
	}
	munmap(p, SZ_4K);
}

/* A VM goes although a job in it waits for ever. */
static void test_destroy_blocked(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_wait_value(p, 8, 1);
	uint32_t vm;
	int i, k;

	cmd.timeout_ns = 0;
	for (i = 0; i < set->n; i++) {
		vm = vsvm_vm_create(set->fd[i], set->layout);
		for (k = 0; k < 3; k++)
			vsvm_submit(set->fd[i], vm, k % 2, &cmd, 1);
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm), 0);
		still_works(set, i);
	}
	munmap(p, SZ_4K);
}

/* A process that goes with jobs that wait. */
static void test_exit_blocked(struct vsvm_set *set)
{
	pid_t pid = fork();
	int status, i;

	igt_assert(pid >= 0);
	if (!pid) {
		static struct vsvm_set own;
		uint64_t *p = anon(SZ_4K);
		struct drm_vsvm_cmd cmd = vsvm_wait_value(p, 8, 1);

		cmd.timeout_ns = 0;
		vsvm_set_open(&own, set->n, set->layout);
		for (i = 0; i < own.n; i++)
			vsvm_submit(own.fd[i], own.vm[i], 0, &cmd, 1);
		kill(getpid(), SIGKILL);
	}
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	for (i = 0; i < set->n; i++)
		still_works(set, i);
}

/* Memory whose faults nobody serves, and a job that waits for one. */
static char *blocked_fault(struct vsvm_set *own)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	uint64_t *result = anon(SZ_4K);
	char *p = anon(SZ_64K);
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, result);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), i;
	struct pollfd poll_fd = { .fd = STDIN_FILENO, .events = POLLIN };

	igt_require_f(fd >= 0, "no userfaultfd\n");
	/* The lowest number: an exit lets go of it last. */
	igt_assert(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	close(fd);
	fd = STDIN_FILENO;
	reg.range.start = to_u64(p);
	reg.range.len = SZ_64K;
	igt_assert(!ioctl(fd, UFFDIO_API, &api));
	igt_assert(!ioctl(fd, UFFDIO_REGISTER, &reg));
	for (i = 0; i < own->n; i++)
		vsvm_submit(own->fd[i], own->vm[i], 0, &cmd, 1);
	/* One of them is in the fault; the others are, or wait for it. */
	igt_assert(poll(&poll_fd, 1, 30000) == 1);
	return p;
}

/* A process that goes in the middle of a fault that is never served. */
static void test_exit_in_fault(struct vsvm_set *set)
{
	int64_t deadline = vsvm_deadline(30);
	pid_t pid = fork();
	int status, i;

	igt_assert(pid >= 0);
	if (!pid) {
		static struct vsvm_set own;

		vsvm_set_open(&own, set->n, set->layout);
		blocked_fault(&own);
		kill(getpid(), SIGKILL);
	}
	while (!(i = waitpid(pid, &status, WNOHANG)))
		igt_assert_f(vsvm_now() < deadline, "the process hangs\n");
	igt_assert(i == pid);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	for (i = 0; i < set->n; i++)
		still_works(set, i);
}

/* VMs that go while each is in such a fault. */
static void test_destroy_in_fault(struct vsvm_set *set)
{
	char *p = blocked_fault(set);
	int i;

	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]), 0);
		set->vm[i] = vsvm_vm_create(set->fd[i], set->layout);
		still_works(set, i);
	}
	munmap(p, SZ_64K);
}

/* A child has the file, but the memory is the parent's. */
static void test_other_mm(struct vsvm_set *set)
{
	struct drm_vsvm_cmd cmd = { .op = DRM_VSVM_OP_NOP };
	struct drm_vsvm_exec args = {
		.vm_id = set->vm[0], .num_cmds = 1, .cmds = to_u64(&cmd),
	};
	pid_t pid = fork();
	int status;

	igt_assert(pid >= 0);
	if (!pid)
		_exit(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_EXEC, &args) !=
		      -EPERM);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	still_works(set, 0);
}

igt_main
{
	each("unmapped", "addresses without memory", MSVM_AND_1TO1,
	     test_unmapped);
	each("beyond", "addresses outside of every process", MSVM_ONLY,
	     test_beyond);
	each("crossing", "from memory into none", MSVM_AND_1TO1, test_crossing);
	each("prot-none", "memory without rights", MSVM_AND_1TO1,
	     test_prot_none);
	each("read-only-file", "writing to a read-only file", MSVM_ONLY,
	     test_read_only_file);
	each("past-eof", "beyond the end of a file, and truncation",
	     MSVM_AND_1TO1, test_past_eof);
	each("past-eof-together", "all wait for a range that crosses the end of a file",
	     MSVM_ONLY, test_past_eof_together);
	each("uffd-not-held", "memory that the process serves is not held",
	     MSVM_ONLY, test_uffd_not_held);
	each("command-index", "which command failed", MSVM_ONLY,
	     test_command_index);
	each("wait-timeout", "waiting for a value has a limit", MSVM_ONLY,
	     test_wait_timeout);
	each("destroy-blocked", "destroying a VM with jobs that wait",
	     MSVM_AND_1TO1, test_destroy_blocked);
	each("exit-blocked", "a process killed with jobs that wait", MSVM_ONLY,
	     test_exit_blocked);
	each("exit-in-fault", "a process killed in faults nobody serves",
	     MSVM_AND_1TO1, test_exit_in_fault);
	each("destroy-in-fault", "destroying VMs in faults nobody serves",
	     MSVM_AND_1TO1, test_destroy_in_fault);
	each("other-mm", "jobs from another address space are refused",
	     MSVM_AND_1TO1, test_other_mm);
}
