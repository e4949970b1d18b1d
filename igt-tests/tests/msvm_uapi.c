// SPDX-License-Identifier: MIT
/*
 * Every rule of validation in vsvm_drm.h: bad input gets one clear errno and
 * changes nothing.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#include "../lib/each.h"

static struct vsvm_set set;
static uint64_t *mem;

static int query(uint32_t param, uint32_t pad, uint64_t *value)
{
	struct drm_vsvm_query args = { .param = param, .pad = pad };
	int ret = vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_QUERY, &args);

	if (value)
		*value = args.value;
	return ret;
}

static void test_query(void)
{
	uint64_t value;
	uint32_t i;

	igt_assert_eq(query(DRM_VSVM_PARAM_NUM_ENGINES, 0, &value), 0);
	igt_assert(value >= 1 && value <= 16);
	igt_assert_eq(query(DRM_VSVM_PARAM_VA_BITS, 0, &value), 0);
	igt_assert(value >= 32 && value <= 47);
	for (i = 0; i <= DRM_VSVM_PARAM_MAX_VMS; i++) {
		igt_assert_eq(query(i, 0, NULL), 0);
		igt_assert_eq(query(i, 1, NULL), -EINVAL);
	}
	igt_assert_eq(query(DRM_VSVM_PARAM_MAX_VMS + 1, 0, NULL), -EINVAL);
	igt_assert_eq(query(~0U, 0, NULL), -EINVAL);
}

static int create(uint32_t layout, uint32_t flags, uint32_t pad)
{
	struct drm_vsvm_vm_create args = {
		.layout = layout, .flags = flags, .pad = pad,
	};

	return vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_VM_CREATE, &args);
}

static void test_vm_create(void)
{
	igt_assert_eq(create(2, 0, 0), -EINVAL);
	igt_assert_eq(create(~0U, 0, 0), -EINVAL);
	igt_assert_eq(create(0, 1, 0), -EINVAL);
	igt_assert_eq(create(0, 0x80000000, 0), -EINVAL);
	igt_assert_eq(create(0, 0, 1), -EINVAL);
}

static void test_vm_limit(void)
{
	struct drm_vsvm_vm_create args = {
		.layout = DRM_VSVM_VM_LAYOUT_1TO1,
	};
	uint64_t max;
	uint32_t i;

	igt_assert_eq(query(DRM_VSVM_PARAM_MAX_VMS, 0, &max), 0);
	/* One exists. */
	for (i = 1; i < max; i++)
		vsvm_vm_create(set.fd[0], DRM_VSVM_VM_LAYOUT_1TO1);
	igt_assert_eq(vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_VM_CREATE, &args),
		      -ENOSPC);
}

static void test_vm_destroy(void)
{
	struct drm_vsvm_vm_destroy args = { .vm_id = set.vm[0], .pad = 1 };

	igt_assert_eq(vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_VM_DESTROY, &args),
		      -EINVAL);
	igt_assert_eq(vsvm_vm_destroy(set.fd[0], 0), -ENOENT);
	igt_assert_eq(vsvm_vm_destroy(set.fd[0], 12345), -ENOENT);
	igt_assert_eq(vsvm_vm_destroy(set.fd[0], set.vm[0]), 0);
	igt_assert_eq(vsvm_vm_destroy(set.fd[0], set.vm[0]), -ENOENT);
}

static void test_vm_stats(void)
{
	struct drm_vsvm_vm_stats args = { .vm_id = set.vm[0], .pad = 1 };

	igt_assert_eq(vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_VM_STATS, &args),
		      -EINVAL);
	args = (struct drm_vsvm_vm_stats) { .vm_id = 999 };
	igt_assert_eq(vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_VM_STATS, &args),
		      -ENOENT);
}

static struct drm_vsvm_exec good_exec(const struct drm_vsvm_cmd *cmd)
{
	return (struct drm_vsvm_exec) {
		.vm_id = set.vm[0], .num_cmds = 1, .cmds = to_u64(cmd),
	};
}

static int exec(struct drm_vsvm_exec args)
{
	return vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_EXEC, &args);
}

static void test_exec(void)
{
	struct drm_vsvm_cmd cmds[257] = {};
	struct drm_vsvm_exec args;

#define REFUSE(field, value, err) \
	do { \
		args = good_exec(cmds); \
		args.field = (value); \
		igt_assert_eq(exec(args), -(err)); \
	} while (0)

	REFUSE(vm_id, 0, ENOENT);
	REFUSE(vm_id, 999, ENOENT);
	REFUSE(engine, 2, EINVAL);
	REFUSE(engine, ~0U, EINVAL);
	REFUSE(num_cmds, 0, EINVAL);
	REFUSE(num_cmds, 257, EINVAL);
	REFUSE(num_cmds, ~0U, EINVAL);
	REFUSE(flags, 1, EINVAL);
	REFUSE(flags, 0x80000000, EINVAL);
	REFUSE(cmds, 0, EFAULT);
	REFUSE(cmds, 0xffff888000000000ULL, EFAULT);
	REFUSE(fence_addr, to_u64(mem) + 4, EINVAL);
	REFUSE(fence_value, 1, EINVAL);
	igt_assert_eq(exec(good_exec(cmds)), 0);
}

static int exec_cmd(struct drm_vsvm_cmd cmd)
{
	struct drm_vsvm_cmd cmds[2] = { vsvm_store(mem, 8, 0xbad), cmd };
	struct drm_vsvm_exec args = good_exec(cmds);

	args.num_cmds = 2;
	return exec(args);
}

static void test_cmd_op(void)
{
	igt_assert_eq(exec_cmd((struct drm_vsvm_cmd) {
			.op = DRM_VSVM_OP_PREFETCH + 1 }), -EINVAL);
	igt_assert_eq(exec_cmd((struct drm_vsvm_cmd) { .op = ~0U }), -EINVAL);
	/* The job is checked as a whole: its good command did not run. */
	igt_assert_eq_u64(*mem, 0);
}

static void test_cmd_width(void)
{
	static const uint32_t bad[] = { 0, 3, 5, 16, 0x80000008 };
	struct drm_vsvm_cmd cmd;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cmd = vsvm_store(mem + 8, bad[i], 1);
		igt_assert_eq(exec_cmd(cmd), -EINVAL);
		cmd = vsvm_load(mem + 8, bad[i], mem + 16);
		igt_assert_eq(exec_cmd(cmd), -EINVAL);
		cmd = vsvm_add(mem + 8, bad[i], 1, NULL);
		igt_assert_eq(exec_cmd(cmd), -EINVAL);
	}
	cmd = vsvm_add(mem + 8, 1, 1, NULL);
	igt_assert_eq(exec_cmd(cmd), -EINVAL);
	cmd = vsvm_copy(mem + 8, mem + 16, 8);
	cmd.width = 8;
	igt_assert_eq(exec_cmd(cmd), -EINVAL);
}

static void test_cmd_align(void)
{
	char *odd = (char *)mem + 60;

	igt_assert_eq(exec_cmd(vsvm_add(odd, 8, 1, NULL)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_cas(odd + 1, 4, 0, 1, NULL)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_xchg(odd, 8, 1, NULL)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_wait_value(odd, 8, 0)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_sum((void *)odd, mem, 8)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_histogram((void *)odd, mem, 8)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_chase(odd, 1, mem)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_load(mem, 8, (void *)odd)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_add(mem, 8, 1, (void *)odd)), -EINVAL);
}

static void test_cmd_unused(void)
{
	struct drm_vsvm_cmd cmd;

#define UNUSED(good, field) \
	do { \
		cmd = (good); \
		cmd.field = 8; \
		igt_assert_eq(exec_cmd(cmd), -EINVAL); \
	} while (0)

	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, dst);
	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, src);
	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, len);
	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, arg0);
	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, arg1);
	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, result);
	UNUSED((struct drm_vsvm_cmd) { .op = DRM_VSVM_OP_NOP }, timeout_ns);
	UNUSED(vsvm_copy(mem, mem + 8, 8), arg0);
	UNUSED(vsvm_fill(mem, 1, 8), src);
	UNUSED(vsvm_load(mem, 8, mem + 8), dst);
	UNUSED(vsvm_store(mem, 8, 1), result);
	UNUSED(vsvm_add(mem, 8, 1, NULL), arg1);
	UNUSED(vsvm_sum(mem, mem + 8, 8), arg0);
	UNUSED(vsvm_chase(mem, 1, mem + 8), len);
	UNUSED(vsvm_wait_value(mem, 8, 1), dst);
	/* A load without a place for its result makes no sense. */
	igt_assert_eq(exec_cmd(vsvm_load(mem, 8, NULL)), -EINVAL);
}

static void test_cmd_wrap(void)
{
	char *end = (char *)~0UL;

	igt_assert_eq(exec_cmd(vsvm_copy(mem, end - 6, 8)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_copy(end - 6, mem, 8)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_fill(mem, 1, ~0UL)), -EINVAL);
	igt_assert_eq(exec_cmd(vsvm_sum(mem, mem, ~0UL - 7)), -EINVAL);
}

static int wait_job(struct drm_vsvm_wait args)
{
	return vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_WAIT, &args);
}

static void test_wait(void)
{
	struct drm_vsvm_cmd nop = { .op = DRM_VSVM_OP_NOP };
	struct drm_vsvm_wait args = {
		.vm_id = set.vm[0], .timeout_ns = vsvm_deadline(10),
	};

	args.job_id = vsvm_submit(set.fd[0], set.vm[0], 0, &nop, 1);
	args.flags = 1;
	igt_assert_eq(wait_job(args), -EINVAL);
	args.flags = 0;
	args.pad = 1;
	igt_assert_eq(wait_job(args), -EINVAL);
	args.pad = 0;
	args.vm_id = 999;
	igt_assert_eq(wait_job(args), -ENOENT);
	args.vm_id = set.vm[0];
	args.job_id += 1000;
	igt_assert_eq(wait_job(args), -ENOENT);
	args.job_id -= 1000;
	igt_assert_eq(wait_job(args), 0);
	/* Told once. */
	igt_assert_eq(wait_job(args), -ENOENT);
	/* All jobs, of which there are none. */
	args.job_id = 0;
	igt_assert_eq(wait_job(args), 0);
}

static void test_wait_timeout(void)
{
	struct drm_vsvm_cmd cmd = vsvm_wait_value(mem, 8, 1);
	struct drm_vsvm_wait args = { .vm_id = set.vm[0] };
	int64_t begin;

	args.job_id = vsvm_submit(set.fd[0], set.vm[0], 0, &cmd, 1);
	igt_assert_eq(wait_job(args), -ETIME);
	args.timeout_ns = -1;
	igt_assert_eq(wait_job(args), -ETIME);
	args.timeout_ns = 1;
	igt_assert_eq(wait_job(args), -ETIME);
	begin = vsvm_now();
	args.timeout_ns = begin + 50000000;
	igt_assert_eq(wait_job(args), -ETIME);
	/* Absolute: not before. */
	igt_assert(vsvm_now() >= begin + 50000000);

	__atomic_store_n(mem, 1, __ATOMIC_SEQ_CST);
	args.timeout_ns = vsvm_deadline(10);
	igt_assert_eq(wait_job(args), 0);
}

/* All jobs: the first that failed is told. */
static void test_wait_all(void)
{
	struct drm_vsvm_cmd good = vsvm_add(mem, 8, 1, NULL);
	struct drm_vsvm_cmd bad = vsvm_store(NULL, 8, 1);
	struct drm_vsvm_wait w;
	int i;

	for (i = 0; i < 10; i++)
		vsvm_submit(set.fd[0], set.vm[0], i % 2,
			    i == 5 ? &bad : &good, 1);
	w = vsvm_wait(set.fd[0], set.vm[0], 0);
	igt_assert_eq(w.status, -EFAULT);
	igt_assert_eq_u64(*mem, 9);
	igt_assert_eq(vsvm_wait(set.fd[0], set.vm[0], 0).status, 0);
}

static volatile int alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
	/* The third ends the job that is waited for. */
	if (alarms == 3)
		__atomic_store_n(mem, 1, __ATOMIC_SEQ_CST);
}

/* A wait that signals interrupt can be repeated as it is. */
static void test_wait_signal(void)
{
	struct itimerval timer = {
		.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000,
	}, off = {};
	struct sigaction act = { .sa_handler = on_alarm }, old;
	struct drm_vsvm_cmd cmd = vsvm_wait_value(mem, 8, 1);
	struct drm_vsvm_wait args = {
		.vm_id = set.vm[0], .timeout_ns = vsvm_deadline(10),
	};
	int ret, eintr = 0;

	alarms = 0;
	args.job_id = vsvm_submit(set.fd[0], set.vm[0], 0, &cmd, 1);
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &timer, NULL);
	do {
		ret = ioctl(set.fd[0], DRM_IOCTL_VSVM_WAIT, &args);
		eintr += ret && errno == EINTR;
	} while (ret && errno == EINTR);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	igt_assert_eq(ret, 0);
	igt_assert_eq(args.status, 0);
	igt_assert(eintr >= 1);
}

/* Jobs of one engine run in their order. */
static void test_order(void)
{
	struct drm_vsvm_cmd cmd;
	uint64_t i;

	for (i = 0; i < 100; i++) {
		/* Succeeds only right after the one before it. */
		cmd = vsvm_cas(mem, 8, i, i + 1, NULL);
		vsvm_submit(set.fd[0], set.vm[0], 0, &cmd, 1);
	}
	igt_assert_eq(vsvm_wait(set.fd[0], set.vm[0], 0).status, 0);
	igt_assert_eq_u64(*mem, 100);
}

static void test_too_many_jobs(void)
{
	struct drm_vsvm_cmd cmd = vsvm_wait_value(mem, 8, 1);
	struct drm_vsvm_exec args = good_exec(&cmd);
	int ret, n = 0;

	while (!(ret = exec(args)))
		igt_assert(++n <= 1024);
	igt_assert_eq(ret, -EAGAIN);
	igt_assert_eq(n, 1024);
	__atomic_store_n(mem, 1, __ATOMIC_SEQ_CST);
	igt_assert_eq(vsvm_wait(set.fd[0], set.vm[0], 0).status, 0);
	igt_assert_eq(exec(args), 0);
}

static void uapi(const char *name, const char *text, void (*fn)(void))
{
	igt_describe(text);
	igt_subtest(name) {
		vsvm_set_open(&set, 1, DRM_VSVM_VM_LAYOUT_MSVM);
		mem = anon(SZ_4K);
		fn();
		vsvm_set_close(&set);
		munmap(mem, SZ_4K);
	}
}

igt_main
{
	uapi("query", "parameters and padding", test_query);
	uapi("vm-create", "layout, flags and padding", test_vm_create);
	uapi("vm-limit", "VMs of one file", test_vm_limit);
	uapi("vm-destroy", "handles and padding", test_vm_destroy);
	uapi("vm-stats", "handles and padding", test_vm_stats);
	uapi("exec", "fields of an exec", test_exec);
	uapi("cmd-op", "unknown operations", test_cmd_op);
	uapi("cmd-width", "operand widths", test_cmd_width);
	uapi("cmd-align", "alignment", test_cmd_align);
	uapi("cmd-unused", "fields that are not used", test_cmd_unused);
	uapi("cmd-wrap", "intervals that wrap", test_cmd_wrap);
	uapi("wait", "fields of a wait", test_wait);
	uapi("wait-timeout", "polling and absolute timeouts", test_wait_timeout);
	uapi("wait-all", "waiting for all jobs", test_wait_all);
	uapi("wait-signal", "a wait interrupted by signals", test_wait_signal);
	uapi("order", "jobs of one engine keep their order", test_order);
	uapi("too-many-jobs", "the number of jobs that wait is limited",
	     test_too_many_jobs);
}
