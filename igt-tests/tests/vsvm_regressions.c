// SPDX-License-Identifier: MIT
/*
 * Bugs that were there once: teardown against munmap(), waiting for faults that
 * are never served, memory replaced under stores, tables that wrap around, and
 * what fdinfo tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/uffd.h"

#define GPU_DIR "/sys/kernel/config/vsvm/igt_regress"
#define REGIONS 32

static int gpu_uffd = -1;

static int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* What a failed subtest left behind goes; nobody waits in it any more. */
static void gpu_clean(void)
{
	if (gpu_uffd >= 0)
		close(gpu_uffd);
	gpu_uffd = -1;
	if (access(GPU_DIR, F_OK))
		return;
	file_write(GPU_DIR "/live", "0");
	rmdir(GPU_DIR);
}

/* A GPU of our own, with shoot-downs that take so long. */
static int gpu_make(const char *flush_us)
{
	char name[64] = "", node[80];
	int fd;

	gpu_clean();
	igt_assert(!mkdir(GPU_DIR, 0755));
	igt_assert_eq(file_write(GPU_DIR "/tlb_flush_us", flush_us), 0);
	igt_assert_eq(file_write(GPU_DIR "/live", "1"), 0);
	fd = open(GPU_DIR "/dev_name", O_RDONLY);
	igt_assert(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0);
	close(fd);
	name[strcspn(name, "\n")] = 0;
	snprintf(node, sizeof(node), "/dev/dri/%s", name);
	fd = open(node, O_RDWR | O_CLOEXEC);
	igt_assert_f(fd >= 0, "%s: %s\n", node, strerror(errno));
	return fd;
}

/* Regions of memory that go one by one, once told. */
static struct regions {
	char *base;
	pthread_barrier_t go;
} regions;

static char *region(int i)
{
	return regions.base + i * SZ_2M;
}

static void *unmap_regions(void *data)
{
	int i;

	(void)data;
	pthread_barrier_wait(&regions.go);
	for (i = 0; i < REGIONS; i++)
		if (munmap(region(i), SZ_64K))
			return (void *)1;
	return NULL;
}

static void test_munmap_destroy(struct vsvm_set *set)
{
	struct drm_vsvm_cmd cmds[REGIONS];
	pthread_t thread;
	int round, i;

	igt_assert(!pthread_barrier_init(&regions.go, NULL, 2));
	for (round = 0; round < vsvm_scale(10, 3); round++) {
		regions.base = anon_aligned(REGIONS * SZ_2M, SZ_2M);
		igt_assert(!mprotect(regions.base, REGIONS * SZ_2M, PROT_NONE));
		for (i = 0; i < REGIONS; i++) {
			igt_assert(!mprotect(region(i), SZ_64K,
					     PROT_READ | PROT_WRITE));
			cmds[i] = vsvm_store(region(i) + 8 * round, 8, i);
		}
		for (i = 0; i < set->n; i++)
			vsvm_run(set, i, cmds, REGIONS);
		igt_assert(!pthread_create(&thread, NULL, unmap_regions, NULL));
		pthread_barrier_wait(&regions.go);
		/* Sooner or later within the unmapping. */
		for (i = 0; i < set->n; i++) {
			igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]),
				      0);
			if (round % 2)
				set->vm[i] = vsvm_vm_create(set->fd[i],
							    set->layout);
		}
		join_thread(thread);
		for (i = 0; i < set->n; i++) {
			if (!(round % 2))
				set->vm[i] = vsvm_vm_create(set->fd[i],
							    set->layout);
			vsvm_expect_fault(set, i, cmds[0], -EFAULT,
					  (void *)(uintptr_t)cmds[0].dst,
					  DRM_VSVM_ACCESS_WRITE);
		}
		munmap(regions.base, REGIONS * SZ_2M);
	}
	pthread_barrier_destroy(&regions.go);
}

/* The same with shoot-downs that take long, so that both go on at a time. */
static void test_slow_destroy(uint32_t layout)
{
	static struct vsvm_set slow;

	vsvm_set_close(&slow);
	slow.fd[0] = gpu_make("2000");
	slow.n = 1;
	slow.layout = layout;
	slow.vm[0] = vsvm_vm_create(slow.fd[0], layout);
	test_munmap_destroy(&slow);
	vsvm_set_close(&slow);
	gpu_clean();
}

/* A thread in an ioctl that may wait for a fault. */
static struct asker {
	int fd;
	uint32_t vm;
	volatile pid_t tid;
	volatile int done;
} askers[VSVM_MAX_SET];

static void *ask_stats(void *data)
{
	struct asker *a = data;
	struct drm_vsvm_vm_stats args = { .vm_id = a->vm };

	a->tid = syscall(SYS_gettid);
	vsvm_ioctl(a->fd, DRM_IOCTL_VSVM_VM_STATS, &args);
	a->done = 1;
	return NULL;
}

/* Until it has its answer, or sleeps in the kernel. */
static void wait_asked(struct asker *a)
{
	int64_t deadline = vsvm_deadline(30);
	char path[64], line[64];
	ssize_t n;
	int fd;

	while (!a->done) {
		igt_assert_f(vsvm_now() < deadline, "the thread hangs\n");
		if (!a->tid)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/syscall",
			 a->tid);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		n = read(fd, line, sizeof(line) - 1);
		close(fd);
		line[n > 0 ? n : 0] = 0;
		if (n > 0 && *line != 'r' && atoi(line) == SYS_ioctl)
			return;
	}
}

/* Jobs in faults that nobody serves, and threads that ask for counters. */
static void stuck_and_asked(struct vsvm_set *own)
{
	uint64_t *result = anon(SZ_4K);
	char *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, result);
	int uffd = uffd_open(), i;
	pthread_t thread;

	uffd_register(uffd, p, SZ_4K);
	for (i = 0; i < own->n; i++)
		vsvm_submit(own->fd[i], own->vm[i], 0, &cmd, 1);
	uffd_wait_fault(uffd);
	for (i = 0; i < own->n; i++) {
		askers[i] = (struct asker) { own->fd[i], own->vm[i], 0, 0 };
		igt_assert(!pthread_create(&thread, NULL, ask_stats,
					   &askers[i]));
		wait_asked(&askers[i]);
	}
}

static void works(struct vsvm_set *set, int gpu)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 0x1234);

	vsvm_run(set, gpu, &cmd, 1);
	igt_assert_eq_u64(*p, 0x1234);
	munmap(p, SZ_4K);
}

/* A process with such threads is killed. */
static void test_stats_kill(struct vsvm_set *set)
{
	static struct vsvm_set own;
	int ready[2], status, i;
	pid_t pid;
	char c = 0;

	igt_assert(!pipe(ready));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		vsvm_set_open(&own, set->n, set->layout);
		stuck_and_asked(&own);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	igt_assert(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	kill(pid, SIGKILL);
	status = wait_child(pid);
	igt_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	for (i = 0; i < set->n; i++)
		works(set, i);
}

/* Its VMs are destroyed. */
static void test_stats_destroy(struct vsvm_set *set)
{
	static struct vsvm_set own;
	int status, i;
	pid_t pid = fork();

	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		vsvm_set_open(&own, set->n, set->layout);
		stuck_and_asked(&own);
		for (i = 0; i < own.n; i++)
			if (vsvm_vm_destroy(own.fd[i], own.vm[i]))
				_exit(1);
		_exit(0);
	}
	status = wait_child(pid);
	igt_assert_eq(status, 0);
	for (i = 0; i < set->n; i++)
		works(set, i);
}

static struct exec {
	int fd;
	struct drm_vsvm_exec args;
	int ret;
} stuck_exec;

static void *exec_thread(void *data)
{
	struct exec *e = data;

	e->ret = vsvm_ioctl(e->fd, DRM_IOCTL_VSVM_EXEC, &e->args);
	return NULL;
}

static void *unplug_thread(void *data)
{
	(void)data;
	return file_write(GPU_DIR "/live", "0") ? (void *)1 : NULL;
}

/* A GPU is pulled out while exec waits for its array of commands. */
static void test_exec_unplug(uint32_t layout)
{
	int fd;
	pthread_t execs, unplugs;
	char *p;

	fd = gpu_make("0");
	gpu_uffd = uffd_open();
	p = anon(SZ_4K);
	uffd_register(gpu_uffd, p, SZ_4K);
	stuck_exec = (struct exec) {
		.fd = fd, .args = {
			.vm_id = vsvm_vm_create(fd, layout), .num_cmds = 1,
			.cmds = to_u64(p),
		},
	};
	igt_assert(!pthread_create(&execs, NULL, exec_thread, &stuck_exec));
	uffd_wait_fault(gpu_uffd);
	igt_assert(!pthread_create(&unplugs, NULL, unplug_thread, NULL));
	join_thread(unplugs);
	igt_assert_eq(pthread_tryjoin_np(execs, NULL), EBUSY);
	/* Zeroes are a valid command: it is the GPU that is not there. */
	uffd_unregister(gpu_uffd, p, SZ_4K);
	join_thread(execs);
	igt_assert_eq(stuck_exec.ret, -ENODEV);
	close(gpu_uffd);
	gpu_uffd = -1;
	close(fd);
	munmap(p, SZ_4K);
	igt_assert(!rmdir(GPU_DIR));
}

static struct replace {
	char *p;
	volatile bool stop;
	unsigned int rounds;
} replace;

static void *replacer(void *data)
{
	(void)data;
	while (!replace.stop) {
		if (mmap(replace.p, SZ_4K, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		    replace.p)
			return (void *)1;
		replace.rounds++;
	}
	return NULL;
}

/* One page is replaced by another all the time: there always is one. */
static void test_replaced(struct vsvm_set *set)
{
	int jobs = vsvm_scale(100, 10), i, k;
	struct drm_vsvm_cmd cmds[32];
	pthread_t thread;

	replace.p = anon_aligned(SZ_4K, SZ_2M);
	replace.stop = false;
	replace.rounds = 0;
	for (k = 0; k < 32; k++)
		cmds[k] = vsvm_store(replace.p + 8 * k, 8, k);
	igt_assert(!pthread_create(&thread, NULL, replacer, NULL));
	for (k = 0; k < jobs; k++) {
		for (i = 0; i < set->n; i++) {
			struct drm_vsvm_wait w = vsvm_try(set, i, cmds, 32);

			if (!w.status)
				continue;
			replace.stop = true;
			join_thread(thread);
			igt_assert_f(false, "GPU %d: job %d ended with %s\n", i,
				     k, strerror(-w.status));
		}
	}
	replace.stop = true;
	join_thread(thread);
	igt_info("%d jobs, %u replacements\n", jobs * set->n, replace.rounds);
	munmap(replace.p, SZ_4K);
}

static int histogram_at(struct vsvm_set *set, int gpu, uint64_t dst, void *src)
{
	struct drm_vsvm_cmd cmd = vsvm_histogram((void *)(uintptr_t)dst, src, 64);
	struct drm_vsvm_exec args = {
		.vm_id = set->vm[gpu], .num_cmds = 1, .cmds = to_u64(&cmd),
	};
	struct drm_vsvm_wait w;
	int ret = vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_EXEC, &args);

	if (ret)
		return ret;
	w = vsvm_wait(set->fd[gpu], set->vm[gpu], args.job_id);
	igt_assert_eq_u64(w.fault_addr, dst + 255 * 8);
	return w.status;
}

/* All counts are of 255: the last entry of a table of 2048 bytes. */
static void test_histogram_wraps(struct vsvm_set *set)
{
	void *src = anon(SZ_4K);
	int i;

	memset(src, 255, 64);
	for (i = 0; i < set->n; i++) {
		igt_assert_eq(histogram_at(set, i, -256ULL, src), -EINVAL);
		igt_assert_eq(histogram_at(set, i, -8ULL, src), -EINVAL);
		igt_assert_eq(histogram_at(set, i, -2040ULL, src), -EINVAL);
		/* That fits, but there is no memory. */
		igt_assert_eq(histogram_at(set, i, -2056ULL, src), -EFAULT);
	}
	munmap(src, SZ_4K);
}

/* The value of a key in the fdinfo of a file. */
static bool fdinfo(int fd, const char *key, char *value, size_t size)
{
	char path[64], line[256];
	size_t len = strlen(key);
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	igt_assert(f);
	while (!found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || line[len] != ':')
			continue;
		snprintf(value, size, "%s",
			 line + len + 1 + strspn(line + len + 1, " \t"));
		value[strcspn(value, "\n")] = 0;
		found = true;
	}
	fclose(f);
	return found;
}

static uint64_t engine_ns(int fd, int engine)
{
	char key[32], value[64], *end;
	uint64_t ns;

	snprintf(key, sizeof(key), "drm-engine-engine%d", engine);
	igt_assert_f(fdinfo(fd, key, value, sizeof(value)), "no %s\n", key);
	ns = strtoull(value, &end, 10);
	igt_assert_f(!strcmp(end, " ns"), "%s is %s\n", key, value);
	return ns;
}

static void test_fdinfo(struct vsvm_set *set)
{
	struct drm_vsvm_query q = { .param = DRM_VSVM_PARAM_NUM_ENGINES };
	char *p = anon(SZ_64K), value[64];
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 7, SZ_64K);
	uint64_t before[16], job;
	int i, k, engines;
	uint32_t vm;

	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_ioctl(set->fd[i], DRM_IOCTL_VSVM_QUERY, &q),
			      0);
		engines = q.value;
		igt_assert(fdinfo(set->fd[i], "drm-driver", value,
				  sizeof(value)));
		igt_assert_f(!strcmp(value, "vsvm"), "driver %s\n", value);

		vm = vsvm_vm_create(set->fd[i], set->layout);
		igt_assert(fdinfo(set->fd[i], "vsvm-vms", value,
				  sizeof(value)));
		igt_assert_f(!strcmp(value, "2"), "%s VMs\n", value);
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm), 0);
		igt_assert(fdinfo(set->fd[i], "vsvm-vms", value,
				  sizeof(value)));
		igt_assert_f(!strcmp(value, "1"), "%s VMs\n", value);

		for (k = 0; k < engines; k++)
			before[k] = engine_ns(set->fd[i], k);
		for (k = 0; k < engines; k++) {
			job = vsvm_submit(set->fd[i], set->vm[i], k, &cmd, 1);
			igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i],
						job).status, 0);
			igt_assert(engine_ns(set->fd[i], k) > before[k]);
			/* Those that had no job yet did nothing. */
			if (k + 1 < engines)
				igt_assert_eq_u64(engine_ns(set->fd[i], k + 1),
						  0);
		}
		snprintf(value, sizeof(value), "drm-engine-engine%d", engines);
		igt_assert(!fdinfo(set->fd[i], value, value, sizeof(value)));
	}
	munmap(p, SZ_64K);
}

igt_main
{
	each("munmap-destroy", "munmap() while VMs are destroyed",
	     MSVM_AND_1TO1, test_munmap_destroy);
	igt_describe("munmap() while a VM with slow shoot-downs is destroyed");
	igt_subtest("munmap-destroy-slow")
		test_slow_destroy(DRM_VSVM_VM_LAYOUT_MSVM);
	igt_describe("munmap() while a VM with slow shoot-downs is destroyed");
	igt_subtest("munmap-destroy-slow-1to1")
		test_slow_destroy(DRM_VSVM_VM_LAYOUT_1TO1);

	each("stats-kill", "a process killed while it asks for counters in a fault",
	     MSVM_AND_1TO1, test_stats_kill);
	each("stats-destroy", "VMs destroyed while others ask for counters in a fault",
	     MSVM_AND_1TO1, test_stats_destroy);

	igt_describe("unplugging while exec waits for its commands");
	igt_subtest("exec-unplug")
		test_exec_unplug(DRM_VSVM_VM_LAYOUT_MSVM);
	igt_describe("unplugging while exec waits for its commands");
	igt_subtest("exec-unplug-1to1")
		test_exec_unplug(DRM_VSVM_VM_LAYOUT_1TO1);
	igt_fixture {
		gpu_clean();
	}

	each("replaced", "stores to a page that is replaced all the time",
	     MSVM_AND_1TO1, test_replaced);
	each("histogram-wraps", "a table that wraps around is refused",
	     MSVM_AND_1TO1, test_histogram_wraps);
	each("fdinfo", "what fdinfo tells of a client", MSVM_AND_1TO1,
	     test_fdinfo);
}
