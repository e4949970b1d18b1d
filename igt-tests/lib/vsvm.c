// SPDX-License-Identifier: MIT
/*
 * Verbs of the tests, see vsvm.h. Helpers assert; what may fail in a test has a
 * name of its own (vsvm_try()).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

#include "failnth.h"
#include "hang.h"
#include "igt_compat.h"
#include "vsvm.h"

const int vsvm_counts[4] = { 1, 2, 4, 8 };

/* Emulated and instrumented: loops are shorter there. */
bool vsvm_debug_kernel(void)
{
	const char *kernel = getenv("MSVM_KERNEL");

	return kernel && !strcmp(kernel, "debug");
}

int vsvm_scale(int stock, int debug)
{
	return vsvm_debug_kernel() ? debug : stock;
}

static bool is_vsvm(int fd)
{
	drmVersionPtr version = drmGetVersion(fd);
	bool ret = version && !strcmp(version->name, "vsvm");

	drmFreeVersion(version);
	return ret;
}

/* Open the GPU number @index of those that are vsvm's, or return -1. */
int vsvm_open(int index)
{
	char path[64];
	int minor, fd;

	for (minor = 128; minor < 256; minor++) {
		snprintf(path, sizeof(path), "/dev/dri/renderD%d", minor);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (is_vsvm(fd) && !index--)
			return fd;
		close(fd);
	}
	return -1;
}

int vsvm_count(void)
{
	int n = 0, fd;

	while ((fd = vsvm_open(n)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

int vsvm_ioctl_once(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret && errno == EINTR);

	return ret ? -errno : 0;
}

int vsvm_ioctl(int fd, unsigned long request, void *arg)
{
	return failnth_active() ? failnth_ioctl(fd, request, arg) :
				  vsvm_ioctl_once(fd, request, arg);
}

uint32_t vsvm_vm_create(int fd, uint32_t layout)
{
	struct drm_vsvm_vm_create args = { .layout = layout };

	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_VM_CREATE, &args), 0);
	igt_assert(args.vm_id);
	return args.vm_id;
}

int vsvm_vm_destroy(int fd, uint32_t vm)
{
	struct drm_vsvm_vm_destroy args = { .vm_id = vm };

	return vsvm_ioctl(fd, DRM_IOCTL_VSVM_VM_DESTROY, &args);
}

struct drm_vsvm_vm_stats vsvm_stats(int fd, uint32_t vm)
{
	struct drm_vsvm_vm_stats args = { .vm_id = vm };

	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_VM_STATS, &args), 0);
	return args;
}

static bool set_param(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	close(fd);
	return ok;
}

/* Where memory goes that GPUs with memory of their own fault in. */
bool vsvm_placement(const char *name)
{
	return set_param("/sys/kernel/config/drm_msvm/default/placement", name);
}

/* Whether huge pages are huge in GPUs' memory. Not while others zap them. */
bool vsvm_huge_moves(bool on)
{
	return set_param("/sys/module/drm_msvm/parameters/huge_moves",
			 on ? "Y" : "N");
}

/* Open @n GPUs; what a failed subtest left open is closed first. */
void vsvm_set_open(struct vsvm_set *set, int n, uint32_t layout)
{
	int i;

	vsvm_set_close(set);
	/* What most tests are about. Those of device memory make it go there. */
	vsvm_placement("system");
	igt_require_f(vsvm_count() >= n, "%d virtual GPUs are needed\n", n);
	set->layout = layout;
	for (i = 0; i < n; i++) {
		set->fd[i] = vsvm_open(i);
		set->n = i + 1;
		set->vm[i] = vsvm_vm_create(set->fd[i], layout);
	}
}

void vsvm_set_close(struct vsvm_set *set)
{
	while (set->n)
		close(set->fd[--set->n]);
}

int64_t vsvm_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Generous: it is there so that a bug fails instead of hanging. */
int64_t vsvm_deadline(int seconds)
{
	return vsvm_now() + seconds * vsvm_scale(1, 4) * 1000000000LL;
}

uint64_t vsvm_submit(int fd, uint32_t vm, uint32_t engine,
		     const struct drm_vsvm_cmd *cmds, int n)
{
	struct drm_vsvm_exec args = {
		.vm_id = vm, .engine = engine, .num_cmds = n,
		.cmds = to_u64(cmds),
	};

	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_EXEC, &args), 0);
	igt_assert(args.job_id);
	return args.job_id;
}

struct drm_vsvm_wait vsvm_wait(int fd, uint32_t vm, uint64_t job)
{
	struct drm_vsvm_wait args = {
		.vm_id = vm, .job_id = job, .timeout_ns = vsvm_deadline(30),
	};
	int ret = vsvm_ioctl(fd, DRM_IOCTL_VSVM_WAIT, &args);

	if (ret == -ETIME)
		hang_report();
	igt_assert_eq(ret, 0);
	return args;
}

/* Execute commands on the first engine of a GPU and tell how it ended. */
struct drm_vsvm_wait vsvm_try(struct vsvm_set *set, int gpu,
			      const struct drm_vsvm_cmd *cmds, int n)
{
	uint64_t job = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds, n);

	return vsvm_wait(set->fd[gpu], set->vm[gpu], job);
}

void vsvm_run(struct vsvm_set *set, int gpu, const struct drm_vsvm_cmd *cmds,
	      int n)
{
	struct drm_vsvm_wait w = vsvm_try(set, gpu, cmds, n);

	igt_assert_f(!w.status, "GPU %d: command %u ended with %s at %#llx\n",
		     gpu, w.cmd_index, strerror(-w.status),
		     (unsigned long long)w.fault_addr);
}

struct drm_vsvm_cmd vsvm_copy(void *dst, const void *src, size_t len)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_COPY, .dst = to_u64(dst), .src = to_u64(src),
		.len = len,
	};
}

struct drm_vsvm_cmd vsvm_fill(void *dst, int value, size_t len)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_FILL, .dst = to_u64(dst), .arg0 = value,
		.len = len,
	};
}

struct drm_vsvm_cmd vsvm_load(const void *src, int width, uint64_t *result)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_LOAD, .src = to_u64(src), .width = width,
		.result = to_u64(result),
	};
}

struct drm_vsvm_cmd vsvm_store(void *dst, int width, uint64_t value)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_STORE, .dst = to_u64(dst), .width = width,
		.arg0 = value,
	};
}

struct drm_vsvm_cmd vsvm_add(void *dst, int width, uint64_t value,
			     uint64_t *old)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_ADD, .dst = to_u64(dst), .width = width,
		.arg0 = value, .result = to_u64(old),
	};
}

struct drm_vsvm_cmd vsvm_cas(void *dst, int width, uint64_t expected,
			     uint64_t value, uint64_t *old)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_CAS, .dst = to_u64(dst), .width = width,
		.arg0 = expected, .arg1 = value, .result = to_u64(old),
	};
}

struct drm_vsvm_cmd vsvm_xchg(void *dst, int width, uint64_t value,
			      uint64_t *old)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_XCHG, .dst = to_u64(dst), .width = width,
		.arg0 = value, .result = to_u64(old),
	};
}

struct drm_vsvm_cmd vsvm_sum(uint64_t *dst, const void *src, size_t len)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_SUM, .dst = to_u64(dst), .src = to_u64(src),
		.len = len,
	};
}

struct drm_vsvm_cmd vsvm_histogram(uint64_t *dst, const void *src, size_t len)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_HISTOGRAM, .dst = to_u64(dst),
		.src = to_u64(src), .len = len,
	};
}

struct drm_vsvm_cmd vsvm_chase(const void *src, uint64_t hops, uint64_t *result)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_CHASE, .src = to_u64(src), .arg0 = hops,
		.result = to_u64(result),
	};
}

/* With a limit, so that a bug fails instead of hanging. */
struct drm_vsvm_cmd vsvm_wait_value(const void *src, int width, uint64_t value)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_WAIT_VALUE, .src = to_u64(src),
		.width = width, .arg0 = value, .arg1 = ~0ULL,
		.timeout_ns = vsvm_scale(20, 80) * 1000000000ULL,
	};
}

/* Read a word, whatever it is, without a result: nothing else can fault. */
struct drm_vsvm_cmd vsvm_touch(const void *src)
{
	struct drm_vsvm_cmd cmd = vsvm_wait_value(src, 4, 0);

	cmd.arg1 = 0;
	return cmd;
}

uint64_t vsvm_gpu_load(struct vsvm_set *set, int gpu, const void *src)
{
	uint64_t *result = anon(SZ_4K), value;
	struct drm_vsvm_cmd cmd = vsvm_load(src, 8, result);

	vsvm_run(set, gpu, &cmd, 1);
	value = *result;
	munmap(result, SZ_4K);
	return value;
}

/* xorshift64: a byte depends on the seed and on where it is. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void pattern_fill(void *buf, size_t len, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
	uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = next(&state) >> 32;
}

void pattern_check(const void *buf, size_t len, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
	const uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		uint8_t expected = next(&state) >> 32;

		igt_assert_f(p[i] == expected,
			     "byte %#zx is %#x, not %#x\n", i, p[i], expected);
	}
}

/* What a GPU sees at @buf is the pattern, byte by byte. */
void vsvm_gpu_check(struct vsvm_set *set, int gpu, const void *buf, size_t len,
		    uint64_t seed)
{
	void *out = anon(len);
	struct drm_vsvm_cmd cmd = vsvm_copy(out, buf, len);

	vsvm_run(set, gpu, &cmd, 1);
	pattern_check(out, len, seed);
	munmap(out, len);
}

/* A GPU writes the pattern to @buf. */
void vsvm_gpu_write(struct vsvm_set *set, int gpu, void *buf, size_t len,
		    uint64_t seed)
{
	void *in = anon(len);
	struct drm_vsvm_cmd cmd = vsvm_copy(buf, in, len);

	pattern_fill(in, len, seed);
	vsvm_run(set, gpu, &cmd, 1);
	munmap(in, len);
}

/* A command must fail in this way, at this address. */
void vsvm_expect_fault(struct vsvm_set *set, int gpu, struct drm_vsvm_cmd cmd,
		       int status, const void *addr, uint32_t access)
{
	struct drm_vsvm_wait w = vsvm_try(set, gpu, &cmd, 1);

	igt_assert_eq(w.status, status);
	igt_assert_eq_u64(w.fault_addr, to_u64(addr));
	igt_assert_eq(w.fault_access, access);
	igt_assert_eq(w.cmd_index, 0);
}

/*
 * A mapping that does not become one with the process's own memory beside it: GPUs would
 * fetch what is next to it as well, and it would stay in their memory. The advice has no
 * other effect on a test.
 */
static void keep_apart(void *p, size_t len)
{
	igt_assert(!madvise(p, len, MADV_DONTDUMP));
}

void *anon(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	igt_assert(p != MAP_FAILED);
	keep_apart(p, len);
	return p;
}

/* Aligned memory with a hole on either side. */
void *anon_aligned(size_t len, size_t align)
{
	char *p = mmap(NULL, len + 2 * align, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *start, *end;

	igt_assert(p != MAP_FAILED);
	start = (char *)((to_u64(p) + align) & ~(align - 1));
	end = p + len + 2 * align;
	munmap(p, start - p);
	munmap(start + len, end - (start + len));
	igt_assert(!mprotect(start, len, PROT_READ | PROT_WRITE));
	keep_apart(start, len);
	return start;
}

/*
 * Populate anonymous memory with pages that do not follow each other: whatever
 * comes in between is taken by somebody else.
 */
void scatter(void *p, size_t len)
{
	char *between = anon(len);
	size_t i;

	madvise(p, len, MADV_NOHUGEPAGE);
	madvise(between, len, MADV_NOHUGEPAGE);
	for (i = 0; i < len; i += SZ_4K) {
		((volatile char *)p)[i] = 1;
		((volatile char *)between)[i] = 1;
	}
	munmap(between, len);
}
