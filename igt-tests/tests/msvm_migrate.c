// SPDX-License-Identifier: MIT
/*
 * Moving memory: on request and ahead of use, from everywhere to everywhere, in
 * each size, across mappings, and the kinds of memory that are not moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=16")
#define PEERS	VRAM ATTR("peer_group=1")

/* From system memory to each GPU, from each to the next, and back. */
static void around(struct vsvm_set *set, size_t len, size_t offset)
{
	char *base = anon_aligned(len + SZ_2M, SZ_2M), *p = base + offset;
	int gpu;

	pattern_fill(p, len, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		vram_migrate(set, p, len, gpu);
		vsvm_gpu_check(set, gpu, p, len, 1 + gpu);
		vsvm_gpu_write(set, gpu, p, len, 2 + gpu);
	}
	vram_migrate(set, p, len, TO_SYSTEM);
	vram_expect(set, p, len, WHERE_SYSTEM);
	pattern_check(p, len, 1 + set->n);
	munmap(base, len + SZ_2M);
	vram_expect_empty(set);
}

static void around_4k(struct vsvm_set *set)
{
	around(set, SZ_4K, 3 * SZ_4K);
}

static void around_64k(struct vsvm_set *set)
{
	around(set, SZ_64K, SZ_64K);
}

static void around_2m(struct vsvm_set *set)
{
	around(set, SZ_2M, 0);
}

static void around_odd(struct vsvm_set *set)
{
	around(set, SZ_2M + 5 * SZ_4K, SZ_2M - 7 * SZ_4K);
}

/* Between GPUs in reach nothing goes by system memory; otherwise all of it. */
static void direct(struct vsvm_set *set)
{
	bool peers = gpus_can_peer() && set->n > 1;
	struct drm_vsvm_memory before, after;
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(peers, "no GPU reaches another's memory\n");
	pattern_fill(p, SZ_2M, 1);
	vram_migrate(set, p, SZ_2M, 0);
	before = vram_info(set, 0);
	vram_migrate(set, p, SZ_2M, 1);
	after = vram_info(set, 0);
	igt_assert_eq_u64(after.moved_peer - before.moved_peer, SZ_2M);
	igt_assert_eq_u64(after.moved_out, before.moved_out);
	vsvm_gpu_check(set, 1, p, SZ_2M, 1);
	munmap(p, SZ_2M);
}

/* If so wanted, a huge page is one piece all the way, and huge again at the end. */
static void huge(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t copies;

	igt_assert(vsvm_huge_moves(true));
	madvise(p, SZ_2M, MADV_HUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	igt_require_f(mm_smaps(p, "AnonHugePages") == 2048,
		      "no huge page was to be had\n");
	copies = gpu_counter(set->fd[0], "copies");
	vram_migrate(set, p, SZ_2M, 0);
	igt_assert_eq_u64(gpu_counter(set->fd[0], "copies"), copies + 1);
	vsvm_gpu_write(set, 0, p, SZ_2M, 2);
	pattern_check(p, SZ_2M, 2);
	igt_assert(gpu_counter(set->fd[0], "copies") <= copies + 3);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	munmap(p, SZ_2M);
	vsvm_huge_moves(false);
}

/*
 * If not, it is split and moves by halves. Neither it nor memory that is not there yet
 * is huge in the GPU's memory, which is one piece all the same.
 */
static void halves(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SZ_2M, SZ_2M);
	uint64_t copies;

	madvise(p, 2 * SZ_2M, MADV_HUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	igt_require_f(mm_smaps(p, "AnonHugePages") == 2048,
		      "no huge page was to be had\n");
	copies = gpu_counter(set->fd[0], "copies");
	vram_migrate(set, p, 2 * SZ_2M, 0);
	/* Two of the page, two of nothing. */
	igt_assert_eq_u64(gpu_counter(set->fd[0], "copies"), copies + 4);
	igt_assert_eq(vram_info(set, 0).used, 2 * SZ_2M);
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	vsvm_gpu_write(set, 0, p + SZ_2M, SZ_2M, 2);

	/* A CPU that touches a huge page gets all of it. */
	pattern_check(p, SZ_4K, 1);
	vram_expect(set, p, SZ_2M / 2, WHERE_SYSTEM);
	vram_expect(set, p + SZ_2M / 2, SZ_2M / 2, where_gpu(set, 0));
	pattern_check(p, SZ_2M, 1);
	pattern_check(p + SZ_2M, SZ_2M, 2);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 0);
	munmap(p, 2 * SZ_2M);
	vram_expect_empty(set);
}

/* Part of a huge page moves: it is split, and the rest stays. */
static void split(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	madvise(p, SZ_2M, MADV_HUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	vram_migrate(set, p + SZ_64K, SZ_64K, 0);
	igt_assert_eq(vram_count(set, p, SZ_2M, WHERE_SYSTEM), 512 - 16);
	mm_all_check(set, p, SZ_2M, 1);
	pattern_check(p, SZ_2M, 1);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* Pages that are not there yet come into being, and all of them are zero. */
static void holes(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	size_t i;

	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	for (i = 0; i < SZ_2M; i += 4 * SZ_4K)
		p[i] = 7;
	vram_migrate(set, p, SZ_2M, set->n - 1);
	for (i = 0; i < SZ_2M; i++)
		igt_assert_eq(p[i], i % (4 * SZ_4K) ? 0 : 7);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* An interval over several mappings, one of them read-only, one missing. */
static void across(struct vsvm_set *set)
{
	size_t part = 20 * SZ_4K, len = 5 * part;
	char *p = anon(len);

	pattern_fill(p, len, 1);
	igt_assert(!mprotect(p + part, part, PROT_READ));
	igt_assert(!mprotect(p + 2 * part, part, PROT_READ | PROT_WRITE |
			     PROT_EXEC));
	vram_migrate(set, p, len, 0);
	mm_all_check(set, p, len, 1);
	igt_assert(!munmap(p + 3 * part, part));
	igt_assert_eq(vram_try_migrate(set, 0, p, len, 0), -EFAULT);
	vram_expect(set, p, 3 * part, where_gpu(set, 0));
	vram_expect(set, p + 4 * part, part, where_gpu(set, 0));
	igt_assert_eq(vram_try_migrate(set, 0, p, len, TO_SYSTEM), -EFAULT);
	vram_expect(set, p, 3 * part, WHERE_SYSTEM);
	munmap(p, 3 * part);
	munmap(p + 4 * part, part);
	vram_expect_empty(set);
}

/* Memory of files and shared memory stays, and works. */
static void not_moved(struct vsvm_set *set)
{
	size_t len = SZ_64K;
	char *p = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = open("/tmp/igt-migrate", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *q;

	igt_assert(p != MAP_FAILED && fd >= 0 && !ftruncate(fd, len));
	q = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	igt_assert(q != MAP_FAILED);
	pattern_fill(p, 2 * len, 1);
	pattern_fill(q, len, 2);
	igt_assert_eq(vram_try_migrate(set, 0, p, 2 * len, 0), -EOPNOTSUPP);
	igt_assert_eq(vram_try_migrate(set, 0, q, len, 0), -EOPNOTSUPP);
	vram_expect(set, p, 2 * len, WHERE_SYSTEM);
	vram_expect(set, q, len, WHERE_SYSTEM);
	mm_all_agree(set, p, 2 * len, 1);
	mm_all_agree(set, q, len, 2);
	munmap(p, 2 * len);
	munmap(q, len);
	close(fd);
	unlink("/tmp/igt-migrate");
}

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* What may be dropped instead of swapped stays, whoever faults. */
static void droppable(struct vsvm_set *set)
{
	struct drm_vsvm_attr attr = attr_preferred(set, 0);
	char *p = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE,
		       MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	char *control = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(p != MAP_FAILED, "no droppable memory\n");
	vsvm_gpu_write(set, 0, p, SZ_2M, 1);
	vsvm_gpu_write(set, 0, control, SZ_2M, 2);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	vram_expect(set, control, SZ_2M, where_gpu(set, 0));
	igt_assert_eq(vram_try_migrate(set, 0, p, SZ_2M, 0), -EOPNOTSUPP);
	igt_assert_eq(attr_try_set(set, 0, p, SZ_2M, &attr, 1), -EOPNOTSUPP);
	mm_all_agree(set, p, SZ_2M, 1);
	munmap(p, SZ_2M);
	munmap(control, SZ_2M);
	vram_expect_empty(set);
}

/* A page that somebody has pinned stays, its neighbours go, and all work. */
static void pinned(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct iovec iov = { p + 100 * SZ_4K, SZ_4K };
	int pipes[2];

	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	igt_assert(!pipe(pipes));
	igt_assert_eq(vmsplice(pipes[1], &iov, 1, 0), (ssize_t)SZ_4K);
	igt_assert_eq(vram_try_migrate(set, 0, p, SZ_2M, 0), -EBUSY);
	igt_assert_eq(vram_count(set, p, SZ_2M, WHERE_SYSTEM), 1);
	igt_assert_eq(vram_count(set, p, SZ_2M, where_gpu(set, 0)), 511);
	mm_all_check(set, p, SZ_2M, 1);
	close(pipes[0]);
	close(pipes[1]);
	vram_migrate(set, p, SZ_2M, 0);
	mm_all_check(set, p, SZ_2M, 1);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* The command: ahead of use, to this GPU, to another one, to system memory. */
static void prefetch(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct drm_vsvm_cmd cmd;
	uint64_t faults;

	pattern_fill(p, SZ_2M, 1);
	cmd = vram_prefetch(set, p, SZ_2M, last);
	vsvm_run(set, last, &cmd, 1);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	/* It is mapped as well: no fault in it any more. */
	faults = vsvm_stats(set->fd[last], set->vm[last]).faults;
	cmd = vsvm_fill(p, 1, SZ_2M);
	vsvm_run(set, last, &cmd, 1);
	igt_assert_eq_u64(vsvm_stats(set->fd[last], set->vm[last]).faults,
			  faults);
	cmd = vram_prefetch(set, p, SZ_2M, 0);
	vsvm_run(set, last, &cmd, 1);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	cmd = vram_prefetch(set, p, SZ_2M, TO_SYSTEM);
	vsvm_run(set, last, &cmd, 1);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	munmap(p, SZ_2M);
	/* Memory that is gone is not asked for: a hint is no error. */
	cmd = vram_prefetch(set, p, SZ_2M, 0);
	vsvm_run(set, 0, &cmd, 1);
}

/* Memory is unmapped while it is being prefetched. */
static void prefetch_munmap(struct vsvm_set *set)
{
	int rounds = vsvm_scale(20, 3), i, gpu;
	size_t len = 6 * SZ_2M;

	for (i = 0; i < rounds; i++) {
		char *p = anon_aligned(len, SZ_2M);
		uint64_t jobs[VSVM_MAX_SET];

		memset(p, i, len);
		for (gpu = 0; gpu < set->n; gpu++) {
			struct drm_vsvm_cmd cmd = vram_prefetch(set, p, len,
								gpu);

			jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0,
						&cmd, 1);
		}
		if (i % 2)
			munmap(p, len);
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
						jobs[gpu]).status, 0);
		if (!(i % 2))
			munmap(p, len);
	}
	vram_expect_empty(set);
}

#define SLOW	VRAM ATTR("copy_mbps=4")

/* Has a job ended? */
static bool job_over(struct vsvm_set *set, uint64_t job)
{
	struct drm_vsvm_wait args = {
		.vm_id = set->vm[0], .job_id = job,
	};

	return vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_WAIT, &args) != -ETIME;
}

/*
 * The end goes while the rest is on its way, by a slow link: nobody waits for all of it
 * to arrive, and what is gone is not moved.
 */
static bool cancelled_once(struct vsvm_set *set)
{
	size_t len = 4 * SZ_2M;
	char *p = anon_aligned(len + SZ_2M, SZ_2M);
	struct drm_vsvm_cmd cmd = vram_prefetch(set, p, len + SZ_2M, 0);
	uint64_t moved = vram_info(set, 0).moved_in, job, now;
	bool early;

	memset(p, 1, len + SZ_2M);
	job = vsvm_submit(set->fd[0], set->vm[0], 0, &cmd, 1);
	while (vram_info(set, 0).moved_in == moved && !job_over(set, job))
		usleep(100);
	igt_assert(!munmap(p + len, SZ_2M));
	now = vram_info(set, 0).moved_in;
	early = !job_over(set, job) && now - moved < len;
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
	if (early)
		igt_assert_eq_u64(vram_info(set, 0).moved_in - moved, len);
	vram_expect(set, p, len, where_gpu(set, 0));
	munmap(p, len);
	vram_expect_empty(set);
	return early;
}

static void prefetch_cancelled(struct vsvm_set *set)
{
	int i;

	/* The test may be kept from running for that long, but not each time. */
	for (i = 0; i < 10; i++)
		if (cancelled_once(set))
			return;
	igt_assert_f(false, "munmap() waited for all of it\n");
}

/*
 * The n-th copy fails: what was to move stays and works. Only the job runs with
 * it: the job's output moves as well, and how many copies take both in depends
 * on how its faults were batched, so that the CPU's own might be the one to fail.
 * The output has 64 KiB of its own: next to it may be what the kernel needs of
 * the process at each return to user space (rseq), and would kill it for.
 */
static void copy_fails(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_64K);
	int n;

	for (n = 1; n <= 3; n++) {
		char *out = anon_aligned(SZ_64K, SZ_64K);
		struct drm_vsvm_cmd cmd = vsvm_copy(out, p, SZ_64K);

		pattern_fill(p, SZ_64K, n);
		gpu_debugfs_write(set->fd[0], "fail_copy", n);
		vsvm_run(set, 0, &cmd, 1);
		gpu_debugfs_write(set->fd[0], "fail_copy", 0);
		pattern_check(out, SZ_64K, n);
		munmap(out, SZ_64K);
		mm_all_check(set, p, SZ_64K, n);
		pattern_check(p, SZ_64K, n);
	}
	munmap(p, SZ_64K);
	vram_expect_empty(set);
}

/* What the ioctls refuse. */
static void bad_input(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_64K);
	const struct drm_vsvm_migrate good = {
		.vm_id = set->vm[0], .start = to_u64(p), .len = SZ_64K,
	};
	struct drm_vsvm_migrate m;
	uint32_t where[16];
	struct drm_vsvm_residency r;
	struct drm_vsvm_memory info = { .pad = 1 };
	const struct drm_vsvm_residency rgood = {
		.vm_id = set->vm[0], .start = to_u64(p), .len = SZ_64K,
		.where = to_u64(where),
	};

#define MIGRATE(field, value, error) do { \
	m = good; \
	m.field = (value); \
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_MIGRATE, &m), error); \
} while (0)
#define RESIDENCY(field, value, error) do { \
	r = rgood; \
	r.field = (value); \
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_RESIDENCY, &r), error); \
} while (0)
	MIGRATE(vm_id, 99, -ENOENT);
	MIGRATE(flags, 1, -EINVAL);
	MIGRATE(pad, 1, -EINVAL);
	MIGRATE(start, to_u64(p) + 1, -EINVAL);
	MIGRATE(len, 0, -EINVAL);
	MIGRATE(len, 100, -EINVAL);
	MIGRATE(len, -SZ_4K, -EINVAL);
	MIGRATE(target, 65, -ENXIO);
	MIGRATE(target, UINT32_MAX, -ENXIO);
	MIGRATE(start, SZ_4K, -EFAULT);
	RESIDENCY(vm_id, 99, -ENOENT);
	RESIDENCY(flags, 1, -EINVAL);
	RESIDENCY(start, to_u64(p) + 1, -EINVAL);
	RESIDENCY(len, 0, -EINVAL);
	RESIDENCY(len, 1ULL << 40, -EINVAL);
	RESIDENCY(where, 8, -EFAULT);
	RESIDENCY(start, SZ_4K, -EFAULT);
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_MEMORY, &info),
		      -EINVAL);
	vram_expect(set, p, SZ_64K, WHERE_NONE);
	munmap(p, SZ_64K);
}

igt_main
{
	each_made("around-4k", "a page to each GPU and back", MSVM_ONLY, VRAM,
		  around_4k);
	each_made("around-64k", "16 pages", MSVM_ONLY, VRAM, around_64k);
	each_made("around-2m", "2 MiB", MSVM_ONLY, VRAM, around_2m);
	each_made("around-odd", "a piece across borders", MSVM_ONLY, VRAM,
		  around_odd);
	each_made("around-peers", "with GPUs that reach each other", MSVM_ONLY,
		  PEERS, around_2m);
	each_made("around-iommu", "behind an IOMMU of their own", MSVM_ONLY,
		  VRAM ATTR("dma=iommu"), around_odd);
	each_made("around-none", "GPUs that take physical addresses", MSVM_ONLY,
		  PEERS ATTR("dma=none"), around_odd);
	each_made("direct", "from GPU to GPU", MSVM_ONLY, PEERS, direct);
	each_made("huge", "a huge page", MSVM_ONLY, VRAM, huge);
	each_made("halves", "a huge page that may not stay huge", MSVM_ONLY,
		  VRAM, halves);
	each_made("split", "part of a huge page", MSVM_ONLY, VRAM, split);
	each_made("holes", "memory with holes", MSVM_ONLY, VRAM, holes);
	each_made("across", "several mappings", MSVM_ONLY, VRAM, across);
	each_made("not-moved", "files and shared memory", MSVM_ONLY, VRAM,
		  not_moved);
	each_made("droppable", "droppable memory is not moved", MSVM_ONLY, VRAM,
		  droppable);
	each_made("pinned", "a pinned page", MSVM_ONLY, VRAM, pinned);
	each_made("prefetch", "the prefetch command", MSVM_ONLY, VRAM, prefetch);
	each_made("prefetch-munmap", "memory goes meanwhile", MSVM_ONLY, VRAM,
		  prefetch_munmap);
	each_made("prefetch-cancelled", "part of it goes meanwhile", MSVM_ONLY,
		  SLOW, prefetch_cancelled);
	each_made("copy-fails", "copies that fail", MSVM_ONLY, VRAM, copy_fails);
	each_made("bad-input", "what the ioctls refuse", MSVM_ONLY, VRAM,
		  bad_input);
}
