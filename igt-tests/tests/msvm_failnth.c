// SPDX-License-Identifier: MIT
/*
 * Every allocation on the way of a fixed workload made to fail, one after the
 * other: the errno is ENOMEM, nothing is lost or left behind, and the same work
 * succeeds right after. "own" uses the library's injector, which works on any
 * kernel and fails the library's allocations only; "kernel" uses the kernel's
 * fault injection, which fails all that a thread allocates.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define INJECT "/sys/kernel/debug/drm_msvm/inject/alloc"
#define INJECT_WALK "/sys/kernel/debug/drm_msvm/inject/walk"
#define GPUS 3
/* Far more than there are: a loop that does not end is a bug. */
#define MAX_NTH 500

/* As drm_msvm's shards. */
#define WINDOW (512UL << 20)

static bool write_number(const char *path, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	return file_write(path, text);
}

static int read_number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);

	igt_assert_f(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0,
		     "cannot read %s\n", path);
	close(fd);
	return atoi(text);
}

static struct vsvm_set set;
static char *area, *small, *huge, *far;

/* Touched by the CPU, so that walks need no memory for pages. */
static void make_memory(void)
{
	area = mmap(NULL, 2 * WINDOW, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	igt_assert(area != MAP_FAILED);
	small = (char *)((to_u64(area) + SZ_2M - 1) & ~(SZ_2M - 1));
	huge = small + SZ_2M;
	far = small + WINDOW;
	madvise(small, SZ_2M, MADV_NOHUGEPAGE);
	madvise(huge, SZ_2M, MADV_HUGEPAGE);
	madvise(far, SZ_2M, MADV_NOHUGEPAGE);
	memset(small, 1, SZ_2M);
	memset(huge, 2, SZ_2M);
	memset(far, 3, SZ_64K);
}

static int run(int gpu, struct drm_vsvm_cmd cmd)
{
	struct drm_vsvm_wait w = vsvm_try(&set, gpu, &cmd, 1);

	return w.status;
}

/*
 * Join with all GPUs, map on all, invalidate, map again, leave. Return: 0, or
 * the first errno; then the rest is left out, but all that joined leave.
 */
static int workload(uint64_t value)
{
	struct drm_vsvm_vm_create args;
	int ret = 0, joined, i;

	for (joined = 0; joined < GPUS && !ret; joined++) {
		args = (struct drm_vsvm_vm_create) {};
		ret = vsvm_ioctl(set.fd[joined], DRM_IOCTL_VSVM_VM_CREATE,
				 &args);
		if (ret)
			break;
		set.vm[joined] = args.vm_id;
	}
	for (i = 0; i < GPUS && !ret; i++) {
		ret = run(i, vsvm_store(small + 8 * i, 8, value));
		if (!ret)
			ret = run(i, vsvm_store(huge + 8 * i, 8, value));
		if (!ret)
			ret = run(i, vsvm_store(far + 8 * i, 8, value));
	}
	if (!ret) {
		igt_assert(!mprotect(small, SZ_2M, PROT_READ));
		igt_assert(!mprotect(small, SZ_2M, PROT_READ | PROT_WRITE));
	}
	for (i = 0; i < GPUS && !ret; i++)
		ret = run(i, vsvm_copy(small + SZ_4K + 64 * i, far + 8 * i, 8));
	while (joined--)
		igt_assert_eq(vsvm_vm_destroy(set.fd[joined], set.vm[joined]),
			      0);
	return ret;
}

static void check_data(uint64_t value)
{
	int i;

	for (i = 0; i < GPUS; i++) {
		igt_assert_eq_u64(*(uint64_t *)(small + 8 * i), value);
		igt_assert_eq_u64(*(uint64_t *)(huge + 8 * i), value);
		igt_assert_eq_u64(*(uint64_t *)(far + 8 * i), value);
		igt_assert_eq_u64(*(uint64_t *)(small + SZ_4K + 64 * i), value);
	}
}

static void open_set(void)
{
	int i;

	vsvm_set_close(&set);
	igt_require_f(vsvm_count() >= GPUS, "%d GPUs are needed\n", GPUS);
	for (i = 0; i < GPUS; i++) {
		set.fd[i] = vsvm_open(i);
		set.n = i + 1;
	}
	make_memory();
}

/* What is left when nobody shares an address space. */
static void check_clean(void)
{
	igt_assert_eq_u64(debugfs_value("stats", "bytes"), 0);
}

static void test_own(void)
{
	int nth, ret, failed = 0, hints = 0;

	igt_require_f(!access(INJECT, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	open_set();
	igt_assert_eq(workload(1), 0);
	check_data(1);
	check_clean();
	for (nth = 1; nth < MAX_NTH; nth++) {
		igt_assert(write_number(INJECT, nth));
		ret = workload(2 * nth);
		/* Not that many. */
		if (read_number(INJECT))
			break;
		/* Without memory for a decision, memory is mapped where it is. */
		if (ret) {
			igt_assert_eq(ret, -ENOMEM);
			failed++;
		} else {
			check_data(2 * nth);
			hints++;
		}
		check_clean();
		igt_assert_eq(workload(2 * nth + 1), 0);
		check_data(2 * nth + 1);
		check_clean();
	}
	igt_assert(write_number(INJECT, 0));
	igt_info("%d allocations, and %d that can be done without\n", failed,
		 hints);
	/* A context, three shards or more, ranges, walks, arrays. */
	igt_assert(nth < MAX_NTH && failed >= 20);
}

/*
 * The memory changes during each walk: a fault tries again as long as that goes on,
 * but not for ever, and then the job ends with the reason.
 */
static void test_retry(void)
{
	uint64_t retries;
	uint32_t id;

	igt_require_f(!access(INJECT_WALK, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	open_set();
	set.vm[0] = vsvm_vm_create(set.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	id = vsvm_stats(set.fd[0], set.vm[0]).context_id;

	igt_assert(write_number(INJECT_WALK, 20));
	igt_assert_eq(run(0, vsvm_store(small, 8, 1)), 0);
	igt_assert_eq(read_number(INJECT_WALK), 0);
	igt_assert_eq_u64(*(uint64_t *)small, 1);
	retries = context_value(id, "stats", "retries");
	igt_assert(retries >= 20);
	igt_assert_eq_u64(context_value(id, "stats", "held"), 1);

	igt_assert(write_number(INJECT_WALK, 1 << 30));
	vsvm_expect_fault(&set, 0, vsvm_store(far, 8, 2), -EBUSY, far,
			  DRM_VSVM_ACCESS_WRITE);
	igt_assert(write_number(INJECT_WALK, 0));
	igt_assert_eq_u64(context_value(id, "stats", "errors_ebusy"), 1);
	igt_assert_eq(run(0, vsvm_store(far, 8, 3)), 0);
	igt_assert_eq_u64(*(uint64_t *)far, 3);
}

static uint64_t revived(void)
{
	return context_value(vsvm_stats(set.fd[0], set.vm[0]).context_id,
			     "stats", "ranges_revived");
}

/*
 * Memory is replaced while a fault tries again and again, until a try that holds
 * mmap_lock comes upon the range that was unmapped: the range is of the new memory
 * then, the job writes that, and the next munmap() takes it away for good.
 */
static void test_revive(void)
{
	int64_t deadline = vsvm_deadline(60);
	struct drm_vsvm_cmd cmd;
	struct drm_vsvm_wait w;
	unsigned int rounds = 0;
	uint64_t job;

	igt_require_f(!access(INJECT_WALK, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	open_set();
	set.vm[0] = vsvm_vm_create(set.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	cmd = vsvm_store(small, 8, 7);
	do {
		int64_t busy = vsvm_deadline(3);

		igt_assert(write_number(INJECT_WALK, 1 << 30));
		job = vsvm_submit(set.fd[0], set.vm[0], 0, &cmd, 1);
		/* Shorter than the fault takes to give up. */
		while (!revived() && vsvm_now() < busy) {
			igt_assert(mmap(small, SZ_2M, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
					-1, 0) == small);
			rounds++;
		}
		igt_assert(write_number(INJECT_WALK, 0));
		w = vsvm_wait(set.fd[0], set.vm[0], job);
		igt_assert_eq(w.status, 0);
		igt_assert_eq_u64(*(uint64_t *)small, 7);
	} while (!revived() && vsvm_now() < deadline);
	igt_info("%u times replaced, %llu revived\n", rounds,
		 (unsigned long long)revived());
	igt_assert(revived());

	igt_assert_eq(run(0, vsvm_store(small + SZ_4K, 8, 8)), 0);
	igt_assert_eq_u64(*(uint64_t *)(small + SZ_4K), 8);
	igt_assert(!munmap(small, SZ_2M));
	vsvm_expect_fault(&set, 0, vsvm_store(small, 8, 9), -EFAULT, small,
			  DRM_VSVM_ACCESS_WRITE);
	/* Nothing of it is left on any list: the address can be used again. */
	igt_assert(mmap(small, SZ_2M, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		   small);
	igt_assert_eq(run(0, vsvm_store(small, 8, 10)), 0);
	igt_assert_eq_u64(*(uint64_t *)small, 10);
}

static void wait_retries(uint32_t id, uint64_t more)
{
	uint64_t retries = context_value(id, "stats", "retries") + more;
	int64_t deadline = vsvm_deadline(3);

	while (context_value(id, "stats", "retries") < retries &&
	       vsvm_now() < deadline)
		;
}

/*
 * Half of a range's memory is unmapped while a fault tries again and again: the range
 * never becomes one of what is left, since it would have no memory up to its end.
 */
static void test_revive_half(void)
{
	const size_t half = SZ_2M / 2;
	struct drm_vsvm_cmd cmd;
	struct drm_vsvm_wait w;
	int round, served = 0;
	uint64_t job;
	uint32_t id;
	char *p;

	igt_require_f(!access(INJECT_WALK, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	open_set();
	set.vm[0] = vsvm_vm_create(set.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	id = vsvm_stats(set.fd[0], set.vm[0]).context_id;
	for (round = 0; round < 20; round++) {
		p = anon_aligned(SZ_2M, SZ_2M);
		memset(p, 1, SZ_2M);
		cmd = vsvm_store(p, 8, round);
		igt_assert(write_number(INJECT_WALK, 1 << 30));
		job = vsvm_submit(set.fd[0], set.vm[0], 0, &cmd, 1);
		/* Until every other try holds mmap_lock. */
		wait_retries(id, 8);
		igt_assert(!munmap(p + half, half));
		wait_retries(id, 4);
		igt_assert(write_number(INJECT_WALK, 0));
		w = vsvm_wait(set.fd[0], set.vm[0], job);
		/* On a slow machine it may have given up. */
		igt_assert(!w.status || w.status == -EBUSY);
		if (!w.status) {
			igt_assert_eq_u64(*(uint64_t *)p, round);
			served++;
		}
		munmap(p, half);
	}
	igt_assert(served);
	igt_assert_eq_u64(revived(), 0);
}

/* The thread of a GPU's engine 0, found by its name. */
static int engine_pid(int fd)
{
	struct drm_vsvm_query query = { .param = DRM_VSVM_PARAM_GPU_INDEX };
	char path[300], want[32], name[32];
	struct dirent *entry;
	int pid = 0, n;
	DIR *dir;
	FILE *f;

	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_QUERY, &query), 0);
	n = query.value;
	snprintf(want, sizeof(want), "vsvm%d-0", n);
	dir = opendir("/proc");
	igt_assert(dir);
	while (!pid && (entry = readdir(dir))) {
		if (!atoi(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) &&
		    !strncmp(name, want, strlen(want)) &&
		    name[strlen(want)] == '\n')
			pid = atoi(entry->d_name);
		fclose(f);
	}
	closedir(dir);
	igt_assert_f(pid, "no thread %s\n", want);
	return pid;
}

/* Allocations that may sleep fail too, without a word in the log. */
static void kernel_setup(void)
{
	static const char * const files[] = {
		"failslab/ignore-gfp-wait", "fail_page_alloc/ignore-gfp-wait",
		"failslab/verbose", "fail_page_alloc/verbose",
		"fail_page_alloc/min-order",
	};
	char path[96];
	unsigned int i;

	igt_require_f(!access("/proc/self/fail-nth", W_OK) &&
		      !access("/sys/kernel/debug/failslab", F_OK),
		      "the kernel has no fault injection\n");
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", files[i]);
		igt_assert_f(file_write(path, i < 2 ? "N" : "0"), "%s\n", path);
	}
}

static void reopen(int gpu)
{
	close(set.fd[gpu]);
	set.fd[gpu] = vsvm_open(gpu);
	igt_assert(set.fd[gpu] >= 0);
}

/*
 * The call is made by a thread that makes no other, since these would be made to
 * fail too: it is told by variables.
 */
static struct {
	pthread_t thread;
	volatile int tid, turn, done, ret;
	volatile bool stop;
	struct drm_vsvm_vm_create args;
} joiner;

static void *joiner_main(void *unused)
{
	joiner.tid = syscall(SYS_gettid);
	while (!joiner.stop) {
		if (joiner.turn == joiner.done) {
			sched_yield();
			continue;
		}
		joiner.args = (struct drm_vsvm_vm_create) {};
		joiner.ret = vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_VM_CREATE,
					&joiner.args);
		joiner.done = joiner.turn;
	}
	return unused;
}

/* Each allocation of a join. */
static void test_kernel_join(void)
{
	struct drm_vsvm_vm_create args;
	int nth, ret, left, failed = 0;
	char path[64];

	kernel_setup();
	open_set();
	joiner.stop = false;
	joiner.tid = 0;
	joiner.turn = 0;
	joiner.done = 0;
	igt_assert(!pthread_create(&joiner.thread, NULL, joiner_main, NULL));
	while (!joiner.tid)
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", joiner.tid);
	for (nth = 1; nth < MAX_NTH; nth++) {
		igt_assert(write_number(path, nth));
		joiner.turn = nth;
		while (joiner.done != nth)
			sched_yield();
		left = read_number(path);
		igt_assert(write_number(path, 0));
		args = joiner.args;
		ret = joiner.ret;
		/*
		 * Copies from and to the caller are made to fail as well. After
		 * the latter the VM exists, and only closing the file ends it.
		 */
		if (!ret)
			igt_assert_eq(vsvm_vm_destroy(set.fd[0], args.vm_id), 0);
		else if (ret == -EFAULT)
			reopen(0);
		else
			igt_assert_eq(ret, -ENOMEM);
		check_clean();
		igt_assert_eq(workload(nth), 0);
		check_data(nth);
		if (left)
			break;
		failed += !!ret;
	}
	joiner.stop = true;
	igt_assert(!pthread_join(joiner.thread, NULL));
	igt_info("%d of %d failed the call\n", failed, nth - 1);
	igt_assert(nth < MAX_NTH && failed >= 3);
}

/*
 * The job of a new VM of GPU 0, with its engine's @nth allocation failing, where
 * nobody maps anything yet (@first), or where GPU 1 maps all of it and must keep
 * it. Return: the job's status; @left: not that many allocations.
 */
static int fault_round(const char *path, int nth, bool first, uint64_t value,
		       bool *left)
{
	struct drm_vsvm_cmd cmds[] = {
		vsvm_store(small, 8, value), vsvm_store(huge, 8, value),
		vsvm_store(far, 8, value),
	};
	int i, ret;

	igt_assert_eq(vsvm_vm_destroy(set.fd[0], set.vm[0]), 0);
	set.vm[0] = vsvm_vm_create(set.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	for (i = 0; i < 3 && !first; i++)
		igt_assert_eq(run(1, cmds[i]), 0);

	igt_assert_f(write_number(path, nth), "%s\n", path);
	ret = vsvm_try(&set, 0, cmds, 3).status;
	*left = read_number(path);
	igt_assert(write_number(path, 0));

	igt_assert_eq(vsvm_try(&set, 0, cmds, 3).status, 0);
	for (i = 0; i < 3; i++)
		igt_assert_eq(run(1, cmds[i]), 0);
	igt_assert_eq_u64(*(uint64_t *)small, value);
	igt_assert_eq_u64(*(uint64_t *)huge, value);
	igt_assert_eq_u64(*(uint64_t *)far, value);
	return ret;
}

/* Each allocation of the faults of one job. */
static void test_kernel_fault(void)
{
	int nth, ret, failed = 0, first, i;
	bool left = false;
	char path[64];

	kernel_setup();
	open_set();
	for (i = 0; i < 2; i++)
		set.vm[i] = vsvm_vm_create(set.fd[i], DRM_VSVM_VM_LAYOUT_MSVM);
	snprintf(path, sizeof(path), "/proc/%d/fail-nth", engine_pid(set.fd[0]));
	for (first = 1; first >= 0; first--) {
		for (nth = 1, left = false; nth < MAX_NTH && !left; nth++) {
			if (first) {
				/* Other memory, so other ranges. */
				munmap(area, 2 * WINDOW);
				make_memory();
			}
			ret = fault_round(path, nth, first, nth, &left);
			if (!ret)
				continue;
			igt_assert_eq(ret, -ENOMEM);
			failed++;
		}
		igt_assert(left);
		igt_info("%d allocations, %d failed the job so far\n", nth - 2,
			 failed);
		/* All but the last round had one fail: 18 to 64 were seen. */
		igt_assert(nth - 2 >= 10);
	}
	/*
	 * How many depends on what the kernel has at hand: a move that fails leaves
	 * memory where it is, large allocations fall back on vmalloc(). The
	 * library's own are made to fail one by one in the first subtest.
	 */
	igt_assert(failed);
}

igt_main
{
	static const struct {
		const char *name, *text;
		void (*fn)(void);
	} tests[] = {
		{ "own", "each allocation of the library", test_own },
		{ "retry", "memory that changes all the time", test_retry },
		{ "revive", "memory that is replaced all the time",
		  test_revive },
		{ "revive-half", "memory that is unmapped in part meanwhile",
		  test_revive_half },
		{ "kernel-join", "each allocation of a join", test_kernel_join },
		{ "kernel-fault", "each allocation of faults",
		  test_kernel_fault },
	};
	/* A subtest that fails jumps back here. */
	volatile unsigned int i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		igt_describe(tests[i].text);
		igt_subtest(tests[i].name) {
			tests[i].fn();
			vsvm_set_close(&set);
			munmap(area, 2 * WINDOW);
		}
	}
}
