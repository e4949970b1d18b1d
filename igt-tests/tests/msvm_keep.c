// SPDX-License-Identifier: MIT
/*
 * GPUs without page faults: memory is kept mapped for them, whatever the process
 * does to it. Their jobs stop while it is not, and never see anything wrong.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"

#define NO_FAULTS ATTR("page_faults=0")
#define LEN SZ_2M
#define INJECT "/sys/kernel/debug/drm_msvm/inject/alloc"

static int try_keep(struct vsvm_set *set, int gpu, const void *p, size_t len,
		    uint32_t access, uint32_t flags)
{
	struct drm_vsvm_keep args = {
		.vm_id = set->vm[gpu], .flags = flags, .start = to_u64(p),
		.len = len, .access = access,
	};

	return vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_KEEP, &args);
}

/* Memory is kept mapped as attributes say that GPUs access it. */
static bool by_attr;

/* Keep memory mapped for all GPUs. */
static void keep(struct vsvm_set *set, const void *p, size_t len)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		if (by_attr)
			attr_set(set, p, len, attr_accessed_by(set, gpu, true));
		else
			igt_assert_eq(try_keep(set, gpu, p, len,
					       DRM_VSVM_ACCESS_WRITE, 0), 0);
}

/* Each byte, as each GPU sees it: it adds them up into @sum. */
static void expect_sum(struct vsvm_set *set, const char *p, size_t len,
		       uint64_t *sum, int value)
{
	struct drm_vsvm_cmd cmd = vsvm_sum(sum, p, len);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		*sum = 0;
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(*sum, len * value);
	}
}

static void *page(void)
{
	return anon(SZ_4K);
}

/* Without being kept nothing is mapped; with it all is. */
static void basic(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *sum = page();
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 3, LEN);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_expect_fault(set, gpu, vsvm_store(p, 8, 1), -EFAULT, p,
				  DRM_VSVM_ACCESS_WRITE);
	keep(set, p, LEN);
	keep(set, sum, SZ_4K);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	expect_sum(set, p, LEN, sum, 3);
	munmap(p, LEN);
	munmap(sum, SZ_4K);
}

/* All that a process may do to its memory, and the jobs go on after it. */
static void invalidations(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *sum = page();
	int status, i;
	pid_t pid;

	memset(p, 1, LEN);
	keep(set, p, LEN);
	keep(set, sum, SZ_4K);
	expect_sum(set, p, LEN, sum, 1);
	for (i = 0; i < 3; i++) {
		igt_assert(!madvise(p, LEN, MADV_DONTNEED));
		expect_sum(set, p, LEN, sum, 0);
		memset(p, 2, LEN);
		expect_sum(set, p, LEN, sum, 2);
		igt_assert(!mprotect(p, LEN, PROT_READ));
		expect_sum(set, p, LEN, sum, 2);
		igt_assert(!mprotect(p, LEN, PROT_READ | PROT_WRITE));
		memset(p, 3, LEN);
		expect_sum(set, p, LEN, sum, 3);
		/* Copy on write, of either side. */
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid) {
			memset(p, 9, LEN);
			_exit(0);
		}
		memset(p, 4, LEN);
		igt_assert(waitpid(pid, &status, 0) == pid);
		expect_sum(set, p, LEN, sum, 4);
	}
	munmap(p, LEN);
	munmap(sum, SZ_4K);
}

/* What is unmapped fails the job that touches it, and no other. */
static void unmapped(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);
	uint64_t *sum = page();
	int gpu;

	memset(p, 1, 2 * LEN);
	keep(set, p, 2 * LEN);
	keep(set, sum, SZ_4K);
	igt_assert(!munmap(p + LEN, LEN));
	expect_sum(set, p, LEN, sum, 1);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_expect_fault(set, gpu, vsvm_store(p + LEN, 8, 1), -EFAULT,
				  p + LEN, DRM_VSVM_ACCESS_WRITE);
	expect_sum(set, p, LEN, sum, 1);
	munmap(p, LEN);
	munmap(sum, SZ_4K);
}

/*
 * What can't be mapped at all takes the place of some that is kept: what is kept
 * behind it is mapped again all the same.
 */
static void refused(struct vsvm_set *set)
{
	char *p = anon_aligned(3 * LEN, SZ_2M), *q = p + 2 * LEN;
	uint64_t *sum = page();
	int gpu;

	memset(p, 1, 3 * LEN);
	keep(set, p, LEN);
	keep(set, q, LEN);
	keep(set, sum, SZ_4K);
	mm_registers(p + SZ_64K);
	expect_sum(set, q, LEN, sum, 1);
	igt_assert(!madvise(q, LEN, MADV_DONTNEED));
	expect_sum(set, q, LEN, sum, 0);
	expect_sum(set, p, SZ_64K, sum, 1);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_expect_fault(set, gpu, vsvm_store(p + SZ_64K, 8, 1),
				  -EFAULT, p + SZ_64K, DRM_VSVM_ACCESS_WRITE);
	igt_assert(!munmap(p + SZ_64K, SZ_4K));
	memset(q, 2, LEN);
	expect_sum(set, q, LEN, sum, 2);
	munmap(p, 3 * LEN);
	munmap(sum, SZ_4K);
}

/* A hole, and behind it memory that can't be mapped for now: that is tried again. */
static void hole(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);
	uint64_t *sum = page();
	int nth;

	igt_require_f(!access(INJECT, W_OK),
		      "drm_msvm was not built with CONFIG_DRM_MSVM_DEBUG\n");
	memset(p, 1, 2 * LEN);
	keep(set, p, 2 * LEN);
	keep(set, sum, SZ_4K);
	igt_assert(!munmap(p, LEN));
	for (nth = 1; nth <= 4; nth++) {
		char text[] = { '0' + nth, 0 };

		expect_sum(set, p + LEN, LEN, sum, nth & 1);
		igt_assert(file_write(INJECT, text));
		igt_assert(!madvise(p + LEN, LEN, MADV_DONTNEED));
		expect_sum(set, p + LEN, LEN, sum, 0);
		igt_assert(file_write(INJECT, "0"));
		memset(p + LEN, ~nth & 1, LEN);
	}
	munmap(p + LEN, LEN);
	munmap(sum, SZ_4K);
}

/* Part of what is kept for writing may only be read: no more, and no less. */
static void read_only(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M), *q = p + LEN;
	uint64_t *sum = page();
	struct drm_vsvm_cmd cmd = vsvm_fill(p + SZ_64K, 3, LEN - SZ_64K);
	int gpu;

	memset(p, 1, 2 * LEN);
	keep(set, p, 2 * LEN);
	keep(set, sum, SZ_4K);
	igt_assert(!mprotect(p, SZ_64K, PROT_READ));
	expect_sum(set, p, SZ_64K, sum, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_run(set, gpu, &cmd, 1);
		vsvm_expect_fault(set, gpu, vsvm_store(p, 8, 1), -EFAULT, p,
				  DRM_VSVM_ACCESS_WRITE);
	}
	/* Other memory comes and goes meanwhile. */
	igt_assert(!madvise(q, LEN, MADV_DONTNEED));
	expect_sum(set, q, LEN, sum, 0);
	igt_assert(!mprotect(p, SZ_64K, PROT_READ | PROT_WRITE));
	cmd = vsvm_fill(p, 4, LEN);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	expect_sum(set, p, LEN, sum, 4);
	munmap(p, 2 * LEN);
	munmap(sum, SZ_4K);
}

/* Nothing is asked about each page of a large hole, and VMs go without it. */
static void large_hole(struct vsvm_set *set)
{
	size_t len = vsvm_scale(256, 64) * LEN;
	char *p = anon_aligned(len, SZ_2M);
	uint64_t *sum = page(), before[VSVM_MAX_SET];
	int gpu;

	igt_assert(!madvise(p, len, MADV_HUGEPAGE));
	keep(set, sum, SZ_4K);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(try_keep(set, gpu, p, len, DRM_VSVM_ACCESS_READ,
				       0), 0);
	for (gpu = 0; gpu < set->n; gpu++)
		before[gpu] = vsvm_stats(set->fd[gpu], set->vm[gpu]).faults;
	igt_assert(!munmap(p, len));
	/* After that it was looked at. */
	expect_sum(set, (char *)sum, 8, sum, 0);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(vsvm_stats(set->fd[gpu], set->vm[gpu]).faults -
			   before[gpu] < len / SZ_4K / 8);
	munmap(sum, SZ_4K);
}

/*
 * Churn: the process takes away memory next to what is kept all the time, and what
 * is kept every few milliseconds.
 */
static struct {
	char *p;
	volatile int stop;
	volatile uint64_t rounds;
} churn;

/* Have a thread take memory away; it has begun when the function returns. */
static pthread_t churn_start(char *p, void *(*fn)(void *unused))
{
	int64_t deadline = vsvm_deadline(30);
	pthread_t thread;

	churn.p = p;
	churn.stop = 0;
	churn.rounds = 0;
	igt_assert(!pthread_create(&thread, NULL, fn, NULL));
	while (!churn.rounds)
		igt_assert(vsvm_now() < deadline);
	return thread;
}

static void *churn_thread(void *unused)
{
	int64_t next = vsvm_now();

	while (!churn.stop) {
		madvise(churn.p + 2 * LEN, LEN, MADV_DONTNEED);
		churn.p[2 * LEN] = 1;
		if (vsvm_now() < next)
			continue;
		mprotect(churn.p, LEN, PROT_READ);
		mprotect(churn.p, LEN, PROT_READ | PROT_WRITE);
		madvise(churn.p + LEN, LEN, MADV_DONTNEED);
		churn.rounds++;
		next = vsvm_now() + vsvm_scale(10, 100) * 1000000LL;
	}
	return unused;
}

static void under_churn(struct vsvm_set *set)
{
	int rounds = vsvm_scale(20, 6), gpu, i;
	char *p = anon_aligned(3 * LEN, SZ_2M);
	uint64_t *counter = page();
	struct drm_vsvm_cmd cmds[2];
	pthread_t thread;

	memset(p, 1, 2 * LEN);
	keep(set, p, 2 * LEN);
	keep(set, counter, SZ_4K);
	thread = churn_start(p, churn_thread);
	cmds[0] = vsvm_copy(p + LEN + SZ_64K, p, SZ_64K);
	cmds[1] = vsvm_add(counter, 8, 1, NULL);
	for (i = 0; i < rounds; i++)
		for (gpu = 0; gpu < set->n; gpu++)
			vsvm_run(set, gpu, cmds, 2);
	churn.stop = 1;
	join_thread(thread);
	igt_assert_eq_u64(*counter, rounds * set->n);
	munmap(p, 3 * LEN);
	munmap(counter, SZ_4K);
}

/* Without a pause: what is kept is taken away as soon as it is there. */
static void *take_thread(void *unused)
{
	while (!churn.stop) {
		madvise(churn.p, LEN, MADV_DONTNEED);
		churn.rounds++;
	}
	return unused;
}

static void *protect_thread(void *unused)
{
	while (!churn.stop) {
		mprotect(churn.p, LEN, PROT_READ);
		mprotect(churn.p, LEN, PROT_READ | PROT_WRITE);
		churn.rounds++;
	}
	return unused;
}

/* Jobs get on, each command counted, and no value is lost. */
static void without_pause(struct vsvm_set *set, void *(*fn)(void *unused))
{
	int rounds = vsvm_scale(10, 4), gpu, i;
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *counter = page();
	struct drm_vsvm_cmd cmds[2];
	pthread_t thread;

	keep(set, p, LEN);
	keep(set, counter, SZ_4K);
	thread = churn_start(p, fn);
	cmds[0] = vsvm_copy(counter + 8, p + SZ_64K, 64);
	cmds[1] = vsvm_add(counter, 8, 1, NULL);
	for (i = 0; i < rounds; i++)
		for (gpu = 0; gpu < set->n; gpu++)
			vsvm_run(set, gpu, cmds, 2);
	churn.stop = 1;
	join_thread(thread);
	igt_assert_eq_u64(*counter, rounds * set->n);
	munmap(p, LEN);
	munmap(counter, SZ_4K);
}

static void taken(struct vsvm_set *set)
{
	without_pause(set, take_thread);
}

static void protected(struct vsvm_set *set)
{
	without_pause(set, protect_thread);
}

/*
 * The first GPU takes no faults and waits for a value; who writes it faults, and that
 * takes away what is kept for the first. Waiting for its job would be for ever.
 */
static void pair(struct vsvm_set *set)
{
	static const char * const attrs[] = { "page_faults=1", NULL };
	uint64_t *value = page(), job;
	char *p = anon_aligned(LEN, SZ_2M);
	struct drm_vsvm_cmd cmd;
	uint32_t vm;
	int fd, i;

	fd = gpu_make(attrs);
	igt_assert(fd >= 0);
	vm = vsvm_vm_create(fd, DRM_VSVM_VM_LAYOUT_MSVM);
	keep(set, p, LEN);
	keep(set, value, SZ_4K);
	for (i = 1; i < 10; i++) {
		cmd = vsvm_wait_value(value, 8, i);
		job = vsvm_submit(set->fd[0], set->vm[0], 0, &cmd, 1);
		/* The memory is taken away while the job runs in it. */
		igt_assert(!madvise(p, LEN, MADV_DONTNEED));
		igt_assert(!madvise(value, SZ_4K, MADV_DONTNEED));
		cmd = vsvm_store(value, 8, i);
		igt_assert_eq(vsvm_wait(fd, vm, vsvm_submit(fd, vm, 0, &cmd,
							    1)).status, 0);
		igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
	}
	close(fd);
	munmap(p, LEN);
	munmap(value, SZ_4K);
}

/* VMs go while their jobs are preempted, and while the worker sleeps in a fault. */
static void destroyed(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_wait_value(p, 8, 1);
	int gpu, i;

	for (i = 0; i < 3; i++) {
		keep(set, p, LEN);
		for (gpu = 0; gpu < set->n; gpu++)
			vsvm_submit(set->fd[gpu], set->vm[gpu], 0, &cmd, 1);
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

/* Intervals that overlap, and are taken back in part. */
static void intervals(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *sum = page();

	memset(p, 1, LEN);
	keep(set, sum, SZ_4K);
	igt_assert_eq(try_keep(set, 0, p, LEN, DRM_VSVM_ACCESS_READ, 0), 0);
	keep(set, p + SZ_64K, SZ_64K);
	keep(set, p, LEN);
	igt_assert_eq(try_keep(set, 0, p + SZ_4K, SZ_4K, 0,
			       DRM_VSVM_KEEP_REMOVE), 0);
	igt_assert_eq(try_keep(set, 0, p + SZ_4K, SZ_4K, 0,
			       DRM_VSVM_KEEP_REMOVE), 0);
	expect_sum(set, p, LEN, sum, 1);
	munmap(p, LEN);
	munmap(sum, SZ_4K);
}

static void bad_input(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SZ_64K, SZ_64K);
	const uint32_t w = DRM_VSVM_ACCESS_WRITE;
	struct drm_vsvm_keep args = {
		.vm_id = set->vm[0], .start = to_u64(p), .len = SZ_64K,
		.access = w, .pad = 1,
	};

	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_KEEP, &args),
		      -EINVAL);
	igt_assert_eq(try_keep(set, 0, p + 1, SZ_64K, w, 0), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, 0, w, 0), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, 5, w, 0), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, -SZ_4K, w, 0), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, SZ_4K, 0, 0), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, SZ_4K, 7, 0), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, SZ_4K, w, 2), -EINVAL);
	igt_assert_eq(try_keep(set, 0, p, SZ_4K, w, DRM_VSVM_KEEP_REMOVE),
		      -EINVAL);
	igt_assert_eq(try_keep(set, 0, (void *)SZ_4K, SZ_4K, w, 0), -EFAULT);
	igt_assert(!mprotect(p + SZ_64K, SZ_64K, PROT_NONE));
	igt_assert_eq(try_keep(set, 0, p, 2 * SZ_64K, w, 0), -EACCES);
	munmap(p, 2 * SZ_64K);
}

/* As long as it is said, and where it is. */
static void attributes(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M), *hole = p + LEN / 2;
	uint64_t *sum = page();
	int gpu;

	keep(set, sum, SZ_4K);
	memset(p, 1, LEN);
	/* What was not touched yet comes into being, and what can't be does not hurt. */
	igt_assert(!mprotect(p + 2 * LEN - SZ_64K, SZ_64K, PROT_NONE));
	keep(set, p, 2 * LEN);
	expect_sum(set, p, LEN, sum, 1);
	expect_sum(set, p + LEN, LEN - SZ_64K, sum, 0);

	/* The rest of what is gone in part stays; new memory is another. */
	igt_assert(!munmap(hole, SZ_64K));
	expect_sum(set, p, LEN / 2, sum, 1);
	expect_sum(set, hole + SZ_64K, LEN / 2 - SZ_64K, sum, 1);
	igt_assert(mmap(hole, SZ_64K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == hole);
	memset(hole, 1, SZ_64K);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_expect_fault(set, gpu, vsvm_store(hole, 8, 1), -EFAULT,
				  hole, DRM_VSVM_ACCESS_WRITE);
	keep(set, hole, SZ_64K);
	expect_sum(set, p, LEN, sum, 1);

	/* For one no longer: it has what it has until that is taken away. */
	attr_set(set, p, 2 * LEN, attr_accessed_by(set, 0, false));
	igt_assert(!madvise(p, LEN, MADV_DONTNEED));
	vsvm_expect_fault(set, 0, vsvm_store(p, 8, 1), -EFAULT, p,
			  DRM_VSVM_ACCESS_WRITE);
	attr_set(set, p, 2 * LEN, attr_accessed_by(set, 0, true));
	expect_sum(set, p, LEN, sum, 0);
	munmap(p, 2 * LEN);
	munmap(sum, SZ_4K);
}

igt_main
{
	each_made("basic", "mapped if it is kept", MSVM_ONLY, NO_FAULTS, basic);
	each_made("vram", "in memory of its own", MSVM_ONLY,
		  NO_FAULTS ATTR("vram_mib=16"), basic);
	each_made("invalidations", "the process changes its memory", MSVM_ONLY,
		  NO_FAULTS, invalidations);
	each_made("invalidations-iommu", "behind an IOMMU", MSVM_ONLY,
		  NO_FAULTS ATTR("dma=iommu"), invalidations);
	each_made("unmapped", "memory is gone", MSVM_ONLY, NO_FAULTS, unmapped);
	each_made("refused", "memory that can't be mapped in its place",
		  MSVM_ONLY, NO_FAULTS, refused);
	each_made("hole", "memory is gone, and the rest is not to be had",
		  MSVM_ONLY, NO_FAULTS, hole);
	each_made("read-only", "part of it may not be written", MSVM_ONLY,
		  NO_FAULTS, read_only);
	each_made("large-hole", "much memory is gone", MSVM_ONLY, NO_FAULTS,
		  large_hole);
	each_made("churn", "memory is taken away all the time", MSVM_ONLY,
		  NO_FAULTS, under_churn);
	each_made("taken", "what is kept is taken away without a pause",
		  MSVM_ONLY, NO_FAULTS, taken);
	each_made("protected", "it becomes read-only without a pause",
		  MSVM_ONLY, NO_FAULTS, protected);
	each_made("pair", "a job that waits for a GPU with faults", MSVM_ONLY,
		  NO_FAULTS, pair);
	each_made("destroyed", "VMs go meanwhile", MSVM_ONLY, NO_FAULTS,
		  destroyed);
	each_made("intervals", "intervals that overlap", MSVM_ONLY, NO_FAULTS,
		  intervals);
	each_made("bad-input", "what the ioctl refuses", MSVM_ONLY, NO_FAULTS,
		  bad_input);

	igt_fixture
		by_attr = true;
	each_made("attributes", "attributes say what is kept", MSVM_ONLY,
		  NO_FAULTS, attributes);
	each_made("attributes-vram", "likewise, in memory of its own",
		  MSVM_ONLY, NO_FAULTS ATTR("vram_mib=16"), basic);
	each_made("attributes-changes", "likewise, the process changes it",
		  MSVM_ONLY, NO_FAULTS ATTR("dma=iommu"), invalidations);
	each_made("attributes-unmapped", "likewise, memory is gone", MSVM_ONLY,
		  NO_FAULTS, unmapped);
	each_made("attributes-churn", "likewise, it is taken away all the time",
		  MSVM_ONLY, NO_FAULTS, under_churn);
	each_made("attributes-taken", "likewise, without a pause", MSVM_ONLY,
		  NO_FAULTS, taken);
}
