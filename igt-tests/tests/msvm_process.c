// SPDX-License-Identifier: MIT
/*
 * The life of processes: files passed on and inherited, memory that dies before
 * the file does, threads and processes that share memory, and ends of all kinds
 * with jobs under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define CGROUP_NAME "msvm-process"

/* One end is the child's, the other the parent's. */
static int chan[2];

static void channel_open(void)
{
	if (chan[0] > 0) {
		close(chan[0]);
		close(chan[1]);
	}
	igt_assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, chan));
}

static void say(int end)
{
	igt_assert(write(chan[end], "x", 1) == 1);
}

/* With a limit, so that a death on the other side fails instead of hanging. */
static void hear(int end)
{
	struct pollfd fd = { .fd = chan[end], .events = POLLIN };
	char c;

	igt_assert_eq(poll(&fd, 1, vsvm_scale(30, 120) * 1000), 1);
	igt_assert(read(chan[end], &c, 1) == 1);
}

static void fds_send(int sock, const int *fds, int n)
{
	static union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(sizeof(int) * VSVM_MAX_SET)];
	} control;
	struct iovec iov = { "f", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n),
	};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n);
	igt_assert(sendmsg(sock, &msg, 0) == 1);
}

static void fds_receive(int sock, int *fds, int n)
{
	static union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(sizeof(int) * VSVM_MAX_SET)];
	} control;
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	igt_assert(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) == 1);
	igt_assert_eq(control.head.cmsg_len, CMSG_LEN(sizeof(int) * n));
	memcpy(fds, CMSG_DATA(&control.head), sizeof(int) * n);
}

static int try_exec(int fd, uint32_t vm)
{
	struct drm_vsvm_cmd cmd = { .op = DRM_VSVM_OP_NOP };
	struct drm_vsvm_exec args = {
		.vm_id = vm, .num_cmds = 1, .cmds = to_u64(&cmd),
	};

	return vsvm_ioctl(fd, DRM_IOCTL_VSVM_EXEC, &args);
}

static int query(int fd)
{
	struct drm_vsvm_query args = { .param = DRM_VSVM_PARAM_NUM_ENGINES };

	return vsvm_ioctl(fd, DRM_IOCTL_VSVM_QUERY, &args);
}

/* What another process may do with a VM that is not of its memory. */
static void not_mine(int fd, uint32_t vm, uint64_t job)
{
	igt_assert_eq(try_exec(fd, vm), -EPERM);
	igt_assert_eq(query(fd), 0);
	igt_assert_eq(vsvm_stats(fd, vm).vm_id, vm);
	if (job)
		igt_assert_eq(vsvm_wait(fd, vm, job).status, 0);
}

/* The child makes everything; the parent gets the files of it. */
static void child_sends(struct vsvm_set *own, int n, uint32_t layout,
			uint64_t *shared)
{
	char *p;
	int i;

	vsvm_set_open(own, n, layout);
	p = mm_mapped(own, SZ_64K, 1);
	for (i = 0; i < n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1000 + i);

		shared[2 * i] = own->vm[i];
		shared[2 * i + 1] = vsvm_submit(own->fd[i], own->vm[i], 0, &cmd,
						1);
		/* How it ended is for the parent to ask. */
		while (*(volatile uint64_t *)p != 1000ULL + i)
			sched_yield();
	}
	fds_send(chan[1], own->fd, n);
}

static uint64_t *shared_page(void)
{
	uint64_t *p = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	igt_assert(p != MAP_FAILED);
	return p;
}

static void test_fd_passing(struct vsvm_set *set)
{
	static struct vsvm_set own, theirs;
	uint64_t *shared = shared_page();
	int i;

	channel_open();
	igt_fork(child, 1) {
		child_sends(&own, set->n, set->layout, shared);
		hear(1);
		/* The other one destroyed all but the last. */
		for (i = 0; i < own.n - 1; i++)
			igt_assert_eq(try_exec(own.fd[i], own.vm[i]), -ENOENT);
		igt_assert_eq(try_exec(own.fd[i], own.vm[i]), 0);
		vsvm_set_close(&own);
	}
	fds_receive(chan[0], theirs.fd, set->n);
	for (i = 0; i < set->n; i++)
		not_mine(theirs.fd[i], shared[2 * i], shared[2 * i + 1]);
	/* Memory of one's own can be shared through a file from elsewhere. */
	for (i = 0; i < set->n; i++) {
		theirs.vm[i] = vsvm_vm_create(theirs.fd[i], set->layout);
		theirs.n = i + 1;
	}
	munmap(mm_mapped(&theirs, SZ_64K, 2), SZ_64K);
	for (i = 0; i < set->n - 1; i++)
		igt_assert_eq(vsvm_vm_destroy(theirs.fd[i], shared[2 * i]), 0);
	say(0);
	igt_waitchildren();
	/* The file lives on, and our VM in it. */
	munmap(mm_mapped(&theirs, SZ_64K, 3), SZ_64K);
	vsvm_set_close(&theirs);
	munmap(shared, SZ_4K);
}

/* The memory goes with its process; the files, here, do not. */
static void test_mm_dies_first(struct vsvm_set *set)
{
	static struct vsvm_set theirs;
	static struct vsvm_set own;
	uint64_t *shared = shared_page();
	int64_t deadline = vsvm_deadline(20);
	int status, i;
	pid_t pid;

	channel_open();
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		struct drm_vsvm_cmd cmd;
		uint64_t *p;

		child_sends(&own, set->n, set->layout, shared);
		/* Jobs that are still under way when we are gone. */
		p = anon(SZ_4K);
		cmd = vsvm_wait_value(p, 8, 1);
		cmd.timeout_ns = 0;
		for (i = 0; i < own.n; i++)
			shared[100 + i] = vsvm_submit(own.fd[i], own.vm[i], 0,
						      &cmd, 1);
		kill(getpid(), SIGKILL);
	}
	fds_receive(chan[0], theirs.fd, set->n);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_wait w;
		uint32_t vm = shared[2 * i];

		not_mine(theirs.fd[i], vm, shared[2 * i + 1]);
		/* It finds that there is no memory any more. */
		w = vsvm_wait(theirs.fd[i], vm, shared[100 + i]);
		igt_assert_f(w.status == -ESRCH || w.status == -EFAULT ||
			     w.status == -ECANCELED, "status %d\n", w.status);
		/* The collector has its own time. */
		while (vsvm_stats(theirs.fd[i], vm).ranges)
			igt_assert_f(vsvm_now() < deadline,
				     "ranges of dead memory stay\n");
		if (i % 2)
			igt_assert_eq(vsvm_vm_destroy(theirs.fd[i], vm), 0);
	}
	/* The GPUs are free for others. */
	munmap(mm_mapped(set, SZ_64K, 3), SZ_64K);
	for (i = 0; i < set->n; i++)
		igt_assert(!close(theirs.fd[i]));
	munmap(mm_mapped(set, SZ_64K, 4), SZ_64K);
	munmap(shared, SZ_4K);
}

/* Parent and child through one open file, each with a VM of its own. */
static void test_fork_own_vm(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 5);
	static struct vsvm_set own;

	channel_open();
	igt_fork(child, 1) {
		int i;

		own = *set;
		for (i = 0; i < own.n; i++) {
			igt_assert_eq(try_exec(set->fd[i], set->vm[i]), -EPERM);
			own.vm[i] = vsvm_vm_create(own.fd[i], own.layout);
		}
		/* The same address, memory that is each one's own. */
		mm_all_check(&own, p, SZ_64K, 5);
		pattern_fill(p, SZ_64K, 6);
		mm_all_agree(&own, p, SZ_64K, 6);
		say(1);
		hear(1);
		mm_all_check(&own, p, SZ_64K, 6);
		for (i = 0; i < own.n; i++)
			igt_assert_eq(vsvm_vm_destroy(own.fd[i], own.vm[i]), 0);
	}
	hear(0);
	mm_all_agree(set, p, SZ_64K, 5);
	say(0);
	igt_waitchildren();
	mm_all_agree(set, p, SZ_64K, 5);
	munmap(p, SZ_64K);
}

/*
 * exec() with jobs in flight and the files inherited: the old memory is gone, the
 * new program can do nothing with it but clean up.
 */
static void test_exec(struct vsvm_set *set)
{
	static struct vsvm_set own, theirs;
	int status, i;
	pid_t pid;

	channel_open();
	theirs.n = 0;
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		static uint64_t forever;
		struct drm_vsvm_cmd cmd = vsvm_wait_value(&forever, 8, 1);

		cmd.timeout_ns = 0;
		vsvm_set_open(&own, set->n, set->layout);
		munmap(mm_mapped(&own, SZ_64K, 7), SZ_64K);
		for (i = 0; i < own.n; i++) {
			vsvm_submit(own.fd[i], own.vm[i], 0, &cmd, 1);
			fcntl(own.fd[i], F_SETFD, 0);
		}
		fds_send(chan[1], own.fd, own.n);
		dup2(chan[1], STDIN_FILENO);
		/* Waits for a byte, with the files open. */
		execlp("sh", "sh", "-c", "head -c 1 >/dev/null", NULL);
		_exit(9);
	}
	fds_receive(chan[0], theirs.fd, set->n);
	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_wait w;

		/* Job 1 of VM 1 and so on did their work; all end, in any way. */
		w = vsvm_wait(theirs.fd[i], 1, 0);
		igt_assert_f(w.status == -ESRCH || w.status == -EFAULT ||
			     w.status == -ECANCELED, "status %d\n", w.status);
		not_mine(theirs.fd[i], 1, 0);
	}
	munmap(mm_mapped(set, SZ_64K, 8), SZ_64K);
	say(0);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	for (i = 0; i < set->n; i++)
		igt_assert(!close(theirs.fd[i]));
	munmap(mm_mapped(set, SZ_64K, 9), SZ_64K);
}

/* The child runs in the parent's memory until it is gone: jobs are allowed. */
static void test_vfork(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 10);
	static volatile int err;
	int status;
	pid_t pid;

	err = 1;
	pid = vfork();
	if (!pid) {
		err = try_exec(set->fd[0], set->vm[0]);
		_exit(0);
	}
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	igt_assert_eq(err, 0);
	mm_all_agree(set, p, SZ_64K, 10);
	munmap(p, SZ_64K);
}

struct sharer {
	struct vsvm_set *set;
	uint64_t *p;
	int rounds;
	int err;
};

/* No asserts: not the thread that IGT's jump belongs to. */
static int sharer(void *data)
{
	struct sharer *s = data;
	struct drm_vsvm_cmd cmd = vsvm_add(s->p, 8, 1, NULL);
	int i, k;

	for (k = 0; k < s->rounds; k++)
		for (i = 0; i < s->set->n; i++) {
			struct drm_vsvm_exec args = {
				.vm_id = s->set->vm[i], .num_cmds = 1,
				.cmds = to_u64(&cmd),
			};
			struct drm_vsvm_wait wait = {
				.vm_id = s->set->vm[i],
				.timeout_ns = vsvm_deadline(30),
			};

			s->err = vsvm_ioctl(s->set->fd[i], DRM_IOCTL_VSVM_EXEC,
					    &args);
			if (s->err)
				return 1;
			wait.job_id = args.job_id;
			s->err = vsvm_ioctl(s->set->fd[i], DRM_IOCTL_VSVM_WAIT,
					    &wait);
			s->err = s->err ? s->err : wait.status;
			if (s->err)
				return 1;
		}
	return 0;
}

static void *sharer_thread(void *data)
{
	return (void *)(long)sharer(data);
}

/* Threads, and a process that shares the memory only. */
static void test_clone_vm(struct vsvm_set *set)
{
	static struct sharer sharers[4];
	static char stack[SZ_64K] __attribute__((aligned(64)));
	uint64_t *p = anon(SZ_4K);
	pthread_t threads[3];
	int status, i;
	void *ret;
	pid_t pid;

	for (i = 0; i < 4; i++)
		sharers[i] = (struct sharer){
			.set = set, .p = p, .rounds = 4 + vsvm_scale(48, 8) / set->n,
		};
	pid = clone(sharer, stack + sizeof(stack), CLONE_VM | SIGCHLD,
		    &sharers[3]);
	igt_assert(pid > 0);
	for (i = 0; i < 3; i++)
		igt_assert(!pthread_create(&threads[i], NULL, sharer_thread,
					   &sharers[i]));
	for (i = 0; i < 3; i++) {
		igt_assert(!pthread_join(threads[i], &ret));
		igt_assert_eq(sharers[i].err, 0);
	}
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(sharers[3].err, 0);
	igt_assert_eq(status, 0);
	igt_assert_eq_u64(*p, 4ULL * sharers[0].rounds * set->n);
	munmap(p, SZ_4K);
}

/* Jobs that write all the time, on every engine there is, until death. */
static void busy_child(struct vsvm_set *set)
{
	static struct vsvm_set own;
	const size_t len = vsvm_scale(SZ_2M, SZ_64K);
	struct drm_vsvm_cmd cmds[2];
	char *p;
	int i;

	vsvm_set_open(&own, set->n, set->layout);
	p = anon_aligned(len, SZ_2M);
	for (;;)
		for (i = 0; i < own.n; i++) {
			struct drm_vsvm_exec args = {
				.vm_id = own.vm[i], .num_cmds = 2,
				.cmds = to_u64(cmds),
			};
			int err;

			cmds[0] = vsvm_fill(p, i, len);
			cmds[1] = vsvm_copy(p, p + len / 2, len / 2);
			err = vsvm_ioctl(own.fd[i], DRM_IOCTL_VSVM_EXEC, &args);
			if (err && err != -EAGAIN)
				_exit(1);
			if (write(chan[1], "x", 1) != 1)
				_exit(2);
		}
}

/* A process dies in the middle of it all; another one has its data. */
static void test_kill_busy(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 11);
	int round, status, i;
	pid_t pid;

	for (round = 0; round < 2; round++) {
		channel_open();
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid)
			busy_child(set);
		for (i = 0; i < 2 * set->n + round; i++)
			hear(0);
		vsvm_gpu_write(set, round % set->n, p, SZ_64K, 12 + round);
		igt_assert(!kill(pid, SIGKILL));
		mm_all_check(set, p, SZ_64K, 12 + round);
		igt_assert(waitpid(pid, &status, 0) == pid);
		igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		mm_all_agree(set, p, SZ_64K, 12 + round);
	}
	munmap(p, SZ_64K);
}

/* Its GPUs touch more than its cgroup has, and there is no swap. */
static void test_oom(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 14);
	static struct vsvm_set own;
	int64_t deadline;
	int status, i;
	pid_t pid;

	swap_stop();
	igt_require_f(memcg_make(CGROUP_NAME), "no memory cgroups\n");
	igt_assert(memcg_set(CGROUP_NAME, "memory.max", "16M"));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		const size_t len = 64 << 20;
		struct drm_vsvm_cmd cmd;
		char *big;

		if (!memcg_enter(CGROUP_NAME))
			_exit(1);
		vsvm_set_open(&own, set->n, set->layout);
		big = anon_aligned(len, SZ_2M);
		cmd = vsvm_fill(big, 1, len);
		for (i = 0; i < own.n; i++)
			vsvm_submit(own.fd[i], own.vm[i], 0, &cmd, 1);
		/* The job may fail, or we are killed. */
		for (i = 0; i < own.n; i++)
			if (vsvm_wait(own.fd[i], own.vm[i], 0).status != -ENOMEM)
				_exit(3);
		_exit(0);
	}
	mm_all_agree(set, p, SZ_64K, 14);
	deadline = vsvm_deadline(30);
	while (!(i = waitpid(pid, &status, WNOHANG)))
		igt_assert_f(vsvm_now() < deadline, "the process hangs\n");
	igt_assert(i == pid);
	igt_assert_f((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
		     !status, "status %#x\n", status);
	igt_info("%s, %ld kills\n", status ? "killed" : "jobs failed",
		 memcg_get(CGROUP_NAME, "memory.events", "oom_kill"));
	igt_assert(memcg_get(CGROUP_NAME, "memory.events", "oom") > 0);
	mm_all_agree(set, p, SZ_64K, 14);
	memcg_remove(CGROUP_NAME);
	munmap(p, SZ_64K);
}

/* Two address spaces, one file in memory: each writes what the other reads. */
static void test_two_processes(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC), round;
	static struct vsvm_set own;
	char *p;

	igt_assert(fd >= 0 && !ftruncate(fd, 2 * SZ_64K));
	channel_open();
	igt_fork(child, 1) {
		vsvm_set_open(&own, set->n, set->layout);
		p = mm_shared(&own, fd, SZ_4K, 1);
		p = mremap(p, SZ_4K, 2 * SZ_64K, 0);
		igt_assert(p != MAP_FAILED);
		say(1);
		for (round = 0; round < 4; round++) {
			hear(1);
			mm_all_check(&own, p, SZ_64K, 100 + round);
			vsvm_gpu_write(&own, round % own.n, p + SZ_64K, SZ_64K,
				       200 + round);
			say(1);
		}
		vsvm_set_close(&own);
	}
	hear(0);
	p = mm_shared(set, fd, 2 * SZ_64K, 15);
	for (round = 0; round < 4; round++) {
		vsvm_gpu_write(set, (round + 1) % set->n, p, SZ_64K, 100 + round);
		say(0);
		hear(0);
		pattern_check(p + SZ_64K, SZ_64K, 200 + round);
		mm_all_check(set, p + SZ_64K, SZ_64K, 200 + round);
		mm_all_check(set, p, SZ_64K, 100 + round);
	}
	igt_waitchildren();
	mm_all_agree(set, p + SZ_64K, SZ_64K, 203);
	munmap(p, 2 * SZ_64K);
	close(fd);
}

/* The modules stay as long as a file is open. */
static void test_rmmod(struct vsvm_set *set)
{
	static const char * const modules[] = { "vsvm", "drm_msvm" };
	char *p = mm_mapped(set, SZ_64K, 16);
	unsigned int i;

	for (i = 0; i < 2; i++)
		igt_assert(syscall(SYS_delete_module, modules[i], O_NONBLOCK) &&
			   (errno == EBUSY || errno == EAGAIN));
	mm_all_agree(set, p, SZ_64K, 16);
	munmap(p, SZ_64K);
}

igt_main
{
	each("fd-passing", "files passed to another process", MSVM_AND_1TO1,
	     test_fd_passing);
	each("mm-dies-first", "memory that goes before the file",
	     MSVM_AND_1TO1, test_mm_dies_first);
	each("fork-own-vm", "a child with a VM of its own in the same file",
	     MSVM_AND_1TO1, test_fork_own_vm);
	each("exec", "exec() with jobs in flight", MSVM_AND_1TO1, test_exec);
	each("vfork", "a job from a child in the same memory", MSVM_ONLY,
	     test_vfork);
	each("clone-vm", "jobs from all who share the memory", MSVM_AND_1TO1,
	     test_clone_vm);
	each("kill-busy", "a process killed with jobs everywhere",
	     MSVM_AND_1TO1, test_kill_busy);
	each("oom", "a process out of memory with jobs everywhere", MSVM_ONLY,
	     test_oom);
	each("two-processes", "two address spaces with one file", MSVM_AND_1TO1,
	     test_two_processes);
	each("rmmod", "modules in use", MSVM_ONLY, test_rmmod);
}
