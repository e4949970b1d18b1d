// SPDX-License-Identifier: MIT
/*
 * Size: how many ranges, members and address spaces there can be, that all is right
 * then, and that all is given back. What it costs is printed, and compared with the
 * smallest size; nothing is asserted on time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"

#define CMDS 256
#define SAMPLES 512
#define SPACES 1000
#define MEMBERS 64

/* Costs of one operation in nanoseconds. */
struct cost {
	size_t ranges;
	double create, fault, lookup, invalidate, unmap, bytes;
};

static struct cost first;

static struct vsvm_set all;

/* Of the loads of one job. */
static uint64_t *results;

static double per(int64_t start, size_t n)
{
	return (double)(vsvm_now() - start) / n;
}

/* A file of 2 MiB, mapped again and again: a lot of address space, few pages. */
static char *map_again(size_t pages, int fd)
{
	size_t len = (pages * SZ_4K + SZ_2M - 1) / SZ_2M * SZ_2M, i;
	char *p, *start;

	/* Nobody checks whether there is memory for it. */
	p = mmap(NULL, len + 2 * SZ_2M, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	igt_assert(p != MAP_FAILED);
	start = (char *)((to_u64(p) + SZ_2M) & ~(SZ_2M - 1));
	munmap(p, start - p);
	munmap(start + len, p + 2 * SZ_2M - start);
	for (i = 0; i < len; i += SZ_2M)
		igt_assert(mmap(start + i, SZ_2M, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, fd, 0) == start + i);
	return start;
}

static int small_file(void)
{
	int fd = memfd_create("scale", MFD_CLOEXEC);
	uint64_t i;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_2M));
	for (i = 0; i < SZ_2M / SZ_4K; i++)
		igt_assert(pwrite(fd, &i, 8, i * SZ_4K) == 8);
	return fd;
}

/* One GPU loads from each of the pages, every @stride-th from @start on. */
static void touch(int gpu, const char *p, size_t start, size_t pages,
		  size_t stride)
{
	static struct drm_vsvm_cmd cmds[CMDS];
	size_t page = start, k, n;

	while (page < pages) {
		for (n = 0; n < CMDS && page + n * stride < pages; n++)
			cmds[n] = vsvm_load(p + (page + n * stride) * SZ_4K, 8,
					    results + n);
		vsvm_run(&all, gpu, cmds, n);
		for (k = 0; k < n; k++)
			igt_assert_eq_u64(results[k],
					  (page + k * stride) % 512);
		page += n * stride;
	}
}

/*
 * Make each page a range of its own: a range is no larger than its VMA, and none
 * is made where it would overlap with another. So the first page of each 64 KiB
 * is a VMA for a while, and the rest of them has no choice.
 */
static void split(char *p, size_t pages)
{
	/* Well below the limit of VMAs. */
	size_t step = 16384 * 16, from, page, end;

	for (from = 0; from < pages; from += step) {
		end = from + step < pages ? from + step : pages;
		for (page = from; page < end; page += 16)
			igt_assert(!mprotect(p + page * SZ_4K, SZ_4K,
					     PROT_READ));
		touch(0, p, from, end, 16);
		igt_assert(!mprotect(p + from * SZ_4K, (end - from) * SZ_4K,
				     PROT_READ | PROT_WRITE));
	}
}

/* Pages that are spread: the factors are primes. */
static size_t sample(size_t i, size_t pages)
{
	return i * 7919 * 127 % pages;
}

/* One GPU loads from the samples, or their neighbours. */
static void touch_samples(int gpu, const char *p, size_t pages, size_t off)
{
	static struct drm_vsvm_cmd cmds[CMDS];
	size_t from, k;

	for (from = 0; from < SAMPLES; from += CMDS) {
		for (k = 0; k < CMDS; k++)
			cmds[k] = vsvm_load(p + (sample(from + k, pages) + off) %
					    pages * SZ_4K, 8, results + k);
		vsvm_run(&all, gpu, cmds, CMDS);
		for (k = 0; k < CMDS; k++)
			igt_assert_eq_u64(results[k],
					  (sample(from + k, pages) + off) %
					  pages % 512);
	}
}

static void print_cost(const struct cost *c)
{
	igt_info("%8s %10s %10s %10s %10s %10s %8s\n", "ranges", "create/ns",
		 "fault/ns", "again/ns", "inval/ns", "unmap/ns", "bytes");
	igt_info("%8zu %10.0f %10.0f %10.0f %10.0f %10.0f %8.0f\n", c->ranges,
		 c->create, c->fault, c->lookup, c->invalidate, c->unmap,
		 c->bytes);
	if (first.ranges)
		igt_info("%8.0f %9.2fx %9.2fx %9.2fx %9.2fx %9.2fx\n",
			 (double)c->ranges / first.ranges,
			 c->create / first.create, c->fault / first.fault,
			 c->lookup / first.lookup,
			 c->invalidate / first.invalidate,
			 c->unmap / first.unmap);
	else
		first = *c;
}

static struct drm_vsvm_vm_stats stats(void)
{
	return vsvm_stats(all.fd[0], all.vm[0]);
}

/* Until as many ranges are left as there were. */
static void wait_ranges(uint64_t ranges)
{
	int64_t deadline = vsvm_deadline(60);

	while (stats().ranges > ranges)
		igt_assert_f(vsvm_now() < deadline, "%llu ranges left\n",
			     (unsigned long long)stats().ranges);
	igt_assert_eq_u64(stats().ranges, ranges);
}

static void test_ranges(size_t pages)
{
	struct drm_vsvm_vm_stats before, full;
	struct cost c = { .ranges = pages };
	int fd = small_file();
	int64_t start;
	size_t i, k;
	char *p;

	vsvm_set_open(&all, 2, DRM_VSVM_VM_LAYOUT_MSVM);
	results = anon(CMDS * 8);
	/* What holds the results is a range as well. */
	p = map_again(512, fd);
	touch(0, p, 0, 1, 1);
	touch(1, p, 0, 1, 1);
	munmap(p, SZ_2M);
	wait_ranges(1);
	before = stats();

	p = map_again(pages, fd);
	start = vsvm_now();
	split(p, pages);
	touch(0, p, 0, pages, 1);
	c.create = per(start, pages);
	full = stats();
	igt_assert_eq_u64(full.ranges - before.ranges, pages);
	c.bytes = (double)(full.bytes - before.bytes) / pages;

	/* Its page tables are there, so that they don't count. */
	touch_samples(1, p, pages, 2);
	/* Another GPU finds the ranges, and they are walked already. */
	start = vsvm_now();
	touch_samples(1, p, pages, 0);
	c.fault = per(start, SAMPLES);
	/* The same without faults, for comparison. */
	start = vsvm_now();
	touch_samples(1, p, pages, 0);
	c.lookup = per(start, SAMPLES);
	igt_assert_eq_u64(stats().ranges, full.ranges);

	start = vsvm_now();
	for (i = 0; i < SAMPLES; i++)
		igt_assert(!madvise(p + sample(i, pages) * SZ_4K, SZ_4K,
				    MADV_DONTNEED));
	c.invalidate = per(start, SAMPLES);
	igt_assert(stats().invalidations > full.invalidations);
	igt_assert_eq_u64(stats().ranges, full.ranges);
	/* All of them are right after it, and those that were spared. */
	for (k = 0; k < 2; k++) {
		touch_samples(k, p, pages, 0);
		touch_samples(k, p, pages, 1);
	}

	start = vsvm_now();
	munmap(p, (pages * SZ_4K + SZ_2M - 1) / SZ_2M * SZ_2M);
	wait_ranges(before.ranges);
	c.unmap = per(start, pages);
	print_cost(&c);
	vsvm_set_check(&all);
	vsvm_set_close(&all);
	munmap(results, CMDS * 8);
	close(fd);
}

/* 64 members: eight VMs on each of eight GPUs, in one range. */
static void test_members(void)
{
	uint32_t vm[MEMBERS];
	struct drm_vsvm_vm_create args = { .layout = DRM_VSVM_VM_LAYOUT_MSVM };
	struct drm_vsvm_cmd cmd;
	uint64_t *p = anon_aligned(SZ_2M, SZ_2M), id, walks;
	int64_t start, took[MEMBERS];
	int i, round;

	vsvm_set_open(&all, 8, DRM_VSVM_VM_LAYOUT_MSVM);
	for (i = 0; i < 8; i++)
		vm[i] = all.vm[i];
	for (; i < MEMBERS; i++)
		vm[i] = vsvm_vm_create(all.fd[i % 8], all.layout);
	igt_assert_eq(vsvm_ioctl(all.fd[0], DRM_IOCTL_VSVM_VM_CREATE, &args),
		      -ENOSPC);
	id = stats().context_id;
	igt_assert_eq_u64(context_value(id, "info", "members"), MEMBERS);

	memset(p, 0, SZ_2M);
	walks = context_value(id, "stats", "hmm_walks");
	for (i = 0; i < MEMBERS; i++) {
		cmd = vsvm_add(p, 8, 1, NULL);
		start = vsvm_now();
		igt_assert_eq(vsvm_wait(all.fd[i % 8], vm[i],
					vsvm_submit(all.fd[i % 8], vm[i], i % 2,
						    &cmd, 1)).status, 0);
		took[i] = vsvm_now() - start;
	}
	igt_assert_eq_u64(*p, MEMBERS);
	igt_assert_eq_u64(context_value(id, "stats", "hmm_walks"), walks + 1);
	igt_info("fault of member 1 %lld us, 64 %lld us\n",
		 (long long)took[0] / 1000, (long long)took[63] / 1000);

	/* Taken from all and given to all again, a few times. */
	for (round = 0; round < 3; round++) {
		start = vsvm_now();
		igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
		igt_info("invalidation of 64 members %lld us\n",
			 (long long)(vsvm_now() - start) / 1000);
		for (i = 0; i < MEMBERS; i++) {
			cmd = vsvm_add(p, 8, 1, NULL);
			vsvm_submit(all.fd[i % 8], vm[i], i % 2, &cmd, 1);
		}
		for (i = 0; i < MEMBERS; i++)
			igt_assert_eq(vsvm_wait(all.fd[i % 8], vm[i],
						0).status, 0);
		igt_assert_eq_u64(*p, MEMBERS);
	}
	/* Every other one goes, and comes again: slots are used again. */
	for (i = 8; i < MEMBERS; i += 2) {
		igt_assert_eq(vsvm_vm_destroy(all.fd[i % 8], vm[i]), 0);
		vm[i] = vsvm_vm_create(all.fd[i % 8], all.layout);
		cmd = vsvm_add(p, 8, 1, NULL);
		igt_assert_eq(vsvm_wait(all.fd[i % 8], vm[i],
					vsvm_submit(all.fd[i % 8], vm[i], 0,
						    &cmd, 1)).status, 0);
	}
	igt_assert_eq_u64(*p, MEMBERS + (MEMBERS - 8) / 2);
	munmap(p, SZ_2M);
	vsvm_set_check(&all);
	vsvm_set_close(&all);
}

static size_t contexts(void)
{
	static char buf[1 << 18];
	size_t lines = 0;
	char *at;

	igt_assert(debugfs_read("contexts", buf, sizeof(buf)));
	for (at = buf; (at = strchr(at, '\n')); at++)
		lines++;
	/* The first is the header. */
	return lines - 1;
}

static void wait_contexts(size_t n)
{
	int64_t deadline = vsvm_deadline(60);

	while (contexts() != n)
		igt_assert_f(vsvm_now() < deadline, "%zu address spaces, not %zu\n",
			     contexts(), n);
}

/* A process with a GPU: one job, and it ends when told. */
static void space_run(int number, int ready, int stop)
{
	struct vsvm_set own = { .layout = DRM_VSVM_VM_LAYOUT_MSVM };
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, number);
	char c;

	child_asserts_exit();
	own.fd[0] = vsvm_open(number % 8);
	own.vm[0] = vsvm_vm_create(own.fd[0], own.layout);
	own.n = 1;
	vsvm_run(&own, 0, &cmd, 1);
	igt_assert_eq_u64(*p, number);
	igt_assert(write(ready, "x", 1) == 1);
	/* The end of the pipe. */
	igt_assert(!read(stop, &c, 1));
	_exit(0);
}

static double job_cost(void)
{
	struct drm_vsvm_cmd cmd;
	int64_t ns = 0, start;
	uint64_t *p;
	int i;

	for (i = 0; i < 100; i++) {
		p = anon(SZ_4K);
		cmd = vsvm_store(p, 8, i);
		start = vsvm_now();
		vsvm_run(&all, i % all.n, &cmd, 1);
		ns += vsvm_now() - start;
		igt_assert_eq_u64(*p, i);
		munmap(p, SZ_4K);
	}
	return ns / 100.0;
}

static void test_spaces(void)
{
	int n = vsvm_scale(SPACES, SPACES / 25), ready[2], stop[2], i, status;
	size_t before = contexts();
	uint64_t bytes = debugfs_value("stats", "bytes");
	double alone, crowded;
	pid_t *pids = calloc(n, sizeof(*pids));
	char c;

	igt_assert(pids && !pipe(ready) && !pipe(stop));
	vsvm_set_open(&all, 8, DRM_VSVM_VM_LAYOUT_MSVM);
	alone = job_cost();
	for (i = 0; i < n; i++) {
		pids[i] = fork();
		igt_assert(pids[i] >= 0);
		if (!pids[i]) {
			/* Ours is to end with us. */
			close(stop[1]);
			vsvm_set_close(&all);
			space_run(i, ready[1], stop[0]);
		}
	}
	for (i = 0; i < n; i++)
		igt_assert(read(ready[0], &c, 1) == 1);
	igt_assert_eq_u64(contexts(), before + 1 + n);
	crowded = job_cost();
	igt_info("fault alone %.0f ns, among %d %.0f ns: %.2fx; %llu bytes each\n",
		 alone, n, crowded, crowded / alone, (unsigned long long)
		 ((debugfs_value("stats", "bytes") - bytes) / (n + 1)));
	close(stop[0]);
	close(stop[1]);
	for (i = 0; i < n; i++) {
		status = wait_child(pids[i]);
		igt_assert_eq(status, 0);
	}
	close(ready[0]);
	close(ready[1]);
	free(pids);
	vsvm_set_close(&all);
	wait_contexts(before);
	igt_assert_eq_u64(debugfs_value("stats", "bytes"), bytes);
}

igt_main
{
	static const size_t sizes[] = { 1000, 10000, 100000, 1000000 };
	static char name[32];
	volatile unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(name, sizeof(name), "ranges-%zu", sizes[i]);
		igt_describe("ranges of a page in one address space");
		igt_subtest(name) {
			igt_require_f(sizes[i] <= 10000 || !vsvm_debug_kernel(),
				      "not emulated\n");
			/* 1 KiB each, for the library, vsvm and the kernel. */
			igt_require_f(file_value("/proc/meminfo", "MemAvailable") >
				      (long)sizes[i] * 5 / 4,
				      "not enough memory\n");
			test_ranges(sizes[i]);
		}
	}
	igt_describe("64 members in one range");
	igt_subtest("members-64")
		test_members();
	igt_describe("a thousand processes that use GPUs");
	igt_subtest("spaces-1000")
		test_spaces();
}
