// SPDX-License-Identifier: MIT
/*
 * What attributes do: who may not access memory does not, also while jobs run; who is
 * to have it mapped does not fault; memory is where it is said to be; and who comes
 * later inherits nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/room.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=16")
#define PEERS	VRAM ATTR("peer_group=1")

/* Where loads go. */
static uint64_t *out;

/* Every GPU has touched it. */
static char *touched(struct vsvm_set *set, size_t len)
{
	char *p = anon_aligned(len, SZ_2M);
	int gpu;

	pattern_fill(p, len, 1);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_gpu_check(set, gpu, p, len, 1);
	return p;
}

static void expect_refused(struct vsvm_set *set, int gpu, char *p)
{
	vsvm_expect_fault(set, gpu, vsvm_store(p, 8, 1), -EACCES, p,
			  DRM_VSVM_ACCESS_WRITE);
	vsvm_expect_fault(set, gpu, vsvm_load(p, 8, out), -EACCES, p,
			  DRM_VSVM_ACCESS_READ);
}

/* A GPU sees what the CPU does. */
static void expect_same(struct vsvm_set *set, int gpu, const char *p)
{
	igt_assert_eq_u64(vsvm_gpu_load(set, gpu, p), *(const uint64_t *)p);
}

/* One GPU after the other, in the middle of what all had mapped as one. */
static void no_access(struct vsvm_set *set)
{
	char *p = touched(set, SZ_2M), *mid = p + SZ_64K;
	int gpu, other;

	for (gpu = 0; gpu < set->n; gpu++) {
		attr_set(set, mid, SZ_64K, attr_no_access(set, gpu, true));
		vsvm_expect_fault(set, gpu, vsvm_store(mid, 8, 1), -EACCES, mid,
				  DRM_VSVM_ACCESS_WRITE);
		vsvm_expect_fault(set, gpu, vsvm_store(mid + SZ_64K - 8, 8, 1),
				  -EACCES, mid + SZ_64K - 8,
				  DRM_VSVM_ACCESS_WRITE);
		/* Next to it, on both sides, and everybody else. */
		expect_same(set, gpu, mid - 8);
		expect_same(set, gpu, mid + SZ_64K);
		expect_same(set, gpu, p + SZ_2M - 8);
		for (other = 0; other < set->n; other++)
			if (other != gpu)
				expect_same(set, other, mid);
		attr_set(set, mid, SZ_64K, attr_no_access(set, gpu, false));
		expect_same(set, gpu, mid);
	}
	pattern_check(p, SZ_2M, 1);
	munmap(p, SZ_2M);
}

/* Nor does it get a mapping without a fault, by prefetching what is around it. */
static void no_access_prefetch(struct vsvm_set *set)
{
	char *p = touched(set, SZ_2M), *mid = p + SZ_64K;
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		attr_set(set, mid, SZ_64K, attr_no_access(set, gpu, true));
		vram_fetch(set, gpu, p, SZ_2M);
		expect_refused(set, gpu, mid);
		expect_refused(set, gpu, mid + SZ_64K - 8);
		expect_same(set, gpu, mid - 8);
		expect_same(set, gpu, mid + SZ_64K);
		attr_set(set, mid, SZ_64K, attr_no_access(set, gpu, false));
		expect_same(set, gpu, mid);
	}
	pattern_check(p, SZ_2M, 1);
	munmap(p, SZ_2M);
}

/* Before anybody touched it, in pieces of all sizes. */
static void no_access_first(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SZ_2M, SZ_2M);
	size_t at[] = { 0, SZ_4K, SZ_64K - SZ_4K, SZ_2M - SZ_4K, SZ_2M };
	unsigned int i;
	int gpu;

	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (gpu = 0; gpu < set->n; gpu++)
			attr_set(set, p + at[i], SZ_4K,
				 attr_no_access(set, gpu, true));
		/* A larger range than what is forbidden is not made. */
		vsvm_gpu_write(set, 0, p + at[i] + SZ_4K, SZ_4K, i);
		for (gpu = 0; gpu < set->n; gpu++)
			vsvm_expect_fault(set, gpu,
					  vsvm_store(p + at[i], 8, 1), -EACCES,
					  p + at[i], DRM_VSVM_ACCESS_WRITE);
		pattern_check(p + at[i] + SZ_4K, SZ_4K, i);
		munmap(p, 2 * SZ_2M);
		igt_assert(mmap(p, 2 * SZ_2M, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0) == p);
	}
	munmap(p, 2 * SZ_2M);
}

/* Files and shared memory as well, and the CPU goes on. */
static void no_access_shared(struct vsvm_set *set)
{
	int fd = memfd_create("attr", 0), gpu;
	char *p;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_2M));
	p = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(p != MAP_FAILED);
	memset(p, 1, SZ_2M);
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_gpu_load(set, gpu, p);
		attr_set(set, p, SZ_2M, attr_no_access(set, gpu, true));
		expect_refused(set, gpu, p);
		igt_assert_eq(p[0], 1);
		p[0] = 1;
	}
	munmap(p, SZ_2M);
	close(fd);
}

/* GPUs without page faults lose what is kept mapped for them, and get it back. */
static void no_access_kept(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_store(p + SZ_64K, 8, 1);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_keep keep = {
			.vm_id = set->vm[gpu], .start = to_u64(p),
			.len = SZ_2M, .access = DRM_VSVM_ACCESS_WRITE,
		};

		igt_assert_eq(vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_KEEP,
					 &keep), 0);
	}
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_run(set, gpu, &cmd, 1);
		attr_set(set, p + SZ_64K, SZ_64K,
			 attr_no_access(set, gpu, true));
		igt_assert_eq(vsvm_try(set, gpu, &cmd, 1).status, -EFAULT);
		attr_set(set, p + SZ_64K, SZ_64K,
			 attr_no_access(set, gpu, false));
		vsvm_run(set, gpu, &cmd, 1);
	}
	munmap(p, SZ_2M);
}

/* What the jobs below write. */
struct strip {
	uint64_t *count;
};

/* Add until it is refused. */
static int add_round(struct party *party)
{
	struct strip *strip = party->data;
	struct drm_vsvm_cmd cmd = vsvm_add(strip->count, 8, 1, NULL);
	int err = crowd_job(party, &cmd, 1);

	return err == -EACCES ? 0 : err;
}

/* Until it has done a whole round from now on. */
static void goes_on(const struct party *party)
{
	int64_t deadline = vsvm_deadline(60);
	uint64_t rounds = party->rounds + 2;

	while (party->rounds < rounds) {
		igt_assert_f(vsvm_now() < deadline && !party->status,
			     "GPU %d does not go on\n", party->gpu);
		usleep(200);
	}
}

/* By the time the call returns no job gets through, and then all do again. */
static void no_access_live(struct vsvm_set *set)
{
	int turns = vsvm_scale(60, 12), gpu, i;
	struct party *parties[VSVM_MAX_SET];
	struct strip strips[VSVM_MAX_SET] = {};
	uint64_t *count = anon(SZ_2M), before;

	crowd_begin();
	for (gpu = 0; gpu < set->n; gpu++) {
		/* One page each: what others write is not to count. */
		strips[gpu].count = count + gpu * SZ_4K / sizeof(*count);
		parties[gpu] = crowd_add(set, gpu, add_round, &strips[gpu]);
	}
	crowd_start();
	for (i = 0; i < turns; i++) {
		gpu = i % set->n;
		goes_on(parties[gpu]);
		attr_set(set, count, set->n * SZ_4K,
			 attr_no_access(set, gpu, true));
		before = *(volatile uint64_t *)strips[gpu].count;
		goes_on(parties[gpu]);
		/* It came by at least once more, to no avail. */
		igt_assert_eq_u64(*(volatile uint64_t *)strips[gpu].count,
				  before);
		attr_set(set, count, set->n * SZ_4K,
			 attr_no_access(set, gpu, false));
		goes_on(parties[gpu]);
		igt_assert(*(volatile uint64_t *)strips[gpu].count > before);
	}
	crowd_stop();
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(*strips[gpu].count);
	munmap(count, SZ_2M);
}

/* Faults of all GPUs while attributes of the same memory change all the time. */
static int touch_round(struct party *party)
{
	char *p = party->data;
	struct drm_vsvm_cmd cmd =
		vsvm_add(p + (party->rounds * 37 % 512) * SZ_4K, 8, 1, NULL);
	int err = crowd_job(party, &cmd, 1);

	/* Forbidden, or not there for a moment. */
	return err == -EACCES || err == -EFAULT ? 0 : err;
}

static void changes_live(struct vsvm_set *set)
{
	int turns = vsvm_scale(400, 30), gpu, i;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct drm_vsvm_attr attr;

	crowd_begin();
	for (gpu = 0; gpu < set->n; gpu++)
		crowd_add(set, gpu, touch_round, p);
	crowd_start();
	for (i = 0; i < turns; i++) {
		size_t at = i * 7 % 512, n = 1 + i * 13 % (512 - at);

		gpu = i % set->n;
		switch (i % 5) {
		case 0:
			attr = attr_no_access(set, gpu, i % 2);
			break;
		case 1:
			attr = attr_of(DRM_VSVM_ATTR_READ_MOSTLY, i / 5 % 2);
			break;
		case 2:
			attr = attr_of(DRM_VSVM_ATTR_GRANULARITY,
				       i / 5 % 2 ? 12 : 16);
			break;
		case 3:
			attr = attr_of(DRM_VSVM_ATTR_ATOMICS, i / 5 % 2);
			break;
		default:
			attr = attr_preferred(set, PREFER_SYSTEM);
		}
		attr_set(set, p + at * SZ_4K, n * SZ_4K, attr);
		if (i % 16 == 15)
			munmap(p + at * SZ_4K, n * SZ_4K);
		if (i % 16 == 15)
			igt_assert(mmap(p + at * SZ_4K, n * SZ_4K,
					PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
					-1, 0) != MAP_FAILED);
	}
	/* Nobody is refused for good. */
	for (gpu = 0; gpu < set->n; gpu++)
		attr_set(set, p, SZ_2M, attr_no_access(set, gpu, false));
	attr_set(set, p, SZ_2M, attr_of(DRM_VSVM_ATTR_ATOMICS, 0));
	crowd_wait(3);
	crowd_stop();
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p, gpu, SZ_2M);

		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq(p[SZ_2M - 1], gpu);
	}
	munmap(p, SZ_2M);
}

/* Mapped by the call itself, for all but the one that is to fault. */
static void accessed_by(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SZ_2M, SZ_2M);
	uint64_t before[VSVM_MAX_SET];
	struct drm_vsvm_cmd cmd[2];
	int gpu;

	/* There, in part. */
	pattern_fill(p, SZ_2M, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		cmd[0] = vsvm_store(out, 8, 1);
		vsvm_run(set, gpu, cmd, 1);
		before[gpu] = attr_faults(set, gpu);
		attr_set(set, p, 2 * SZ_2M, attr_accessed_by(set, gpu, true));
		igt_assert_eq_u64(attr_faults(set, gpu), before[gpu]);
	}
	for (gpu = 0; gpu < set->n; gpu++) {
		cmd[0] = vsvm_load(p, 8, out);
		cmd[1] = vsvm_store(p + SZ_2M - 8, 8, gpu);
		vsvm_run(set, gpu, cmd, 2);
		igt_assert_eq_u64(attr_faults(set, gpu), before[gpu]);
	}
	/* What was not there was not made. */
	igt_assert_eq(mm_present(p + SZ_2M, SZ_2M), 0);
	munmap(p, 2 * SZ_2M);
}

/* When one faults it is mapped for those that are to have it. */
static void accessed_by_again(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t before[VSVM_MAX_SET];
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);
	int gpu;

	igt_require_f(set->n > 1, "two GPUs are needed\n");
	for (gpu = 1; gpu < set->n; gpu++)
		attr_set(set, p, SZ_2M, attr_accessed_by(set, gpu, true));
	vsvm_run(set, 0, &cmd, 1);
	for (gpu = 1; gpu < set->n; gpu++) {
		before[gpu] = attr_faults(set, gpu);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(attr_faults(set, gpu), before[gpu]);
	}
	munmap(p, SZ_2M);
}

/* The attribute beats the policy, whoever touches it first. */
static void preferred_device(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int to;

	for (to = 0; to < set->n; to++) {
		attr_set(set, p, SZ_2M, attr_preferred(set, to));
		pattern_fill(p, SZ_2M, 1);
		vsvm_gpu_check(set, (to + 1) % set->n, p, SZ_2M, 1);
		vram_expect(set, p, SZ_2M, where_gpu(set, to));
		/* It comes back when the CPU had it. */
		pattern_check(p, SZ_2M, 1);
		vsvm_gpu_check(set, to, p, SZ_2M, 1);
		vram_expect(set, p, SZ_2M, where_gpu(set, to));
	}
	munmap(p, SZ_2M);
}

static void preferred_system(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int gpu;

	attr_set(set, p, SZ_2M, attr_preferred(set, PREFER_SYSTEM));
	pattern_fill(p, SZ_2M, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_gpu_check(set, gpu, p, SZ_2M, 1);
		vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	}
	/* And as soon as it is no longer said it moves. */
	attr_set(set, p, SZ_2M, attr_preferred(set, PREFER_NONE));
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	/* Said again, the next fault brings it back. */
	attr_set(set, p, SZ_2M, attr_preferred(set, PREFER_SYSTEM));
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	munmap(p, SZ_2M);
}

/* In system memory, mapped by all. */
static void read_mostly(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int gpu;

	pattern_fill(p, SZ_2M, 1);
	attr_set(set, p, SZ_2M, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1));
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_gpu_check(set, gpu, p, SZ_2M, 1);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	/* A write is possible, and everybody sees it. */
	vsvm_gpu_write(set, set->n - 1, p, SZ_2M, 2);
	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_gpu_check(set, gpu, p, SZ_2M, 2);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	munmap(p, SZ_2M);
}

/* What is moved at a time is no larger. */
static void granularity(struct vsvm_set *set)
{
	static const uint32_t sizes[] = { 12, 16, 21 };
	char *p = anon_aligned(SZ_2M, SZ_2M);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct drm_vsvm_attr attrs[2] = {
			attr_of(DRM_VSVM_ATTR_GRANULARITY, sizes[i]),
			attr_of(DRM_VSVM_ATTR_PREFETCH, DRM_VSVM_PREFETCH_NONE),
		};
		size_t size = 1UL << sizes[i];

		igt_assert(!munmap(p, SZ_2M));
		igt_assert(mmap(p, SZ_2M, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0) == p);
		madvise(p, SZ_2M, MADV_NOHUGEPAGE);
		pattern_fill(p, SZ_2M, i);
		igt_assert_eq(attr_try_set(set, 0, p, SZ_2M, attrs, 2), 0);
		vsvm_gpu_load(set, 0, p + SZ_2M / 2);
		igt_assert_eq_u64(vram_count(set, p, SZ_2M, where_gpu(set, 0)),
				  size / SZ_4K);
		pattern_check(p, SZ_2M, i);
	}
	munmap(p, SZ_2M);
}

/* A VM that comes after another has its slot, and nothing of what was its. */
static void rejoin(struct vsvm_set *set)
{
	char *p = touched(set, SZ_2M);
	int gpu, last = set->n - 1;

	for (gpu = 0; gpu < set->n; gpu++)
		attr_set(set, p + gpu * SZ_64K, SZ_64K,
			 attr_no_access(set, gpu, true));
	attr_set(set, p + SZ_2M / 2, SZ_2M / 2,
		 attr_accessed_by(set, last, true));
	igt_assert(!vsvm_vm_destroy(set->fd[last], set->vm[last]));
	set->vm[last] = vsvm_vm_create(set->fd[last], DRM_VSVM_VM_LAYOUT_MSVM);
	attr_expect_none(set, p + last * SZ_64K, SZ_2M - last * SZ_64K);
	vsvm_gpu_load(set, last, p + last * SZ_64K);
	for (gpu = 0; gpu < last; gpu++)
		expect_refused(set, gpu, p + gpu * SZ_64K);
	munmap(p, SZ_2M);
}

/* Nobody prefers a GPU that is gone. */
static void unplugged(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int last = set->n - 1;

	igt_require_f(set->n > 1, "two GPUs are needed\n");
	attr_set(set, p, SZ_2M, attr_preferred(set, last));
	attr_set(set, p, SZ_64K, attr_no_access(set, last, true));
	attr_set(set, p, SZ_64K, attr_accessed_by(set, 0, true));
	igt_assert(!gpu_pull(last));
	close(set->fd[last]);
	set->n--;
	attr_expect_none(set, p + SZ_64K, SZ_2M - SZ_64K);
	igt_assert_eq_u64(attr_at(set, p, SZ_64K).accessed_by, 1);
	igt_assert_eq(attr_at(set, p, SZ_64K).preferred_location, 0);
	vsvm_gpu_write(set, 0, p, SZ_2M, 1);
	pattern_check(p, SZ_2M, 1);
	munmap(p, SZ_2M);
}

/*
 * A fault sleeps in a range whose attributes change meanwhile: others wait for it like
 * for any range, for as long as it takes, and do not fail.
 */
static void asleep(struct vsvm_set *set)
{
	int64_t deadline = vsvm_deadline(30);
	uint64_t jobs[2];

	igt_require_f(set->n > 1, "two GPUs are needed\n");
	room_make(set, SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	jobs[0] = submit(set, 0, set->vm[0], 0, load(0, 0));
	uffd_wait_fault(room.uffd);
	attr_set(set, room.p + SZ_64K, SZ_64K,
		 attr_preferred(set, PREFER_SYSTEM));
	jobs[1] = submit(set, 1, set->vm[1], 0, load(SZ_64K, 1));
	while (!stat_of("faults_merged"))
		igt_assert_f(vsvm_now() < deadline, "it does not wait\n");
	expect_pending(set, 1, set->vm[1], jobs[1]);
	room_serve(0, SZ_2M);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], jobs[0]).status, 0);
	igt_assert_eq(vsvm_wait(set->fd[1], set->vm[1], jobs[1]).status, 0);
	expect_loaded(0, 0);
	expect_loaded(SZ_64K, 1);
	room_free();
}

/* How often a fault tries again while which something is said about @len of out. */
static uint64_t retries_while(struct vsvm_set *set, int gpu, size_t offset,
			      size_t len)
{
	uint64_t retries = stat_of("retries"), job;

	job = submit(set, gpu, set->vm[gpu], 0, load(offset, gpu));
	uffd_wait_fault(room.uffd);
	if (len)
		attr_set(set, out, len, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1));
	room_serve(offset, SZ_2M);
	igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu], job).status, 0);
	expect_loaded(offset, gpu);
	return stat_of("retries") - retries;
}

/* What is said about other memory while a fault is served is no reason to try again. */
static void elsewhere(struct vsvm_set *set)
{
	size_t at = 0;
	int gpu;

	room_make(set, set->n * 2 * SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	for (gpu = 0; gpu < set->n; gpu++, at += 2 * SZ_2M) {
		igt_assert_eq_u64(retries_while(set, gpu, at, 0), 0);
		igt_assert_eq_u64(retries_while(set, gpu, at + SZ_2M, SZ_4K), 0);
		attr_set(set, out, SZ_4K, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 0));
	}
	room_free();
}

igt_main
{
	igt_fixture {
		out = anon(SZ_4K);
	}

	each("no-access", "A GPU that may not access memory can't.", MSVM_ONLY,
	     no_access);
	each("no-access-first", "Nor if nobody touched it before.", MSVM_ONLY,
	     no_access_first);
	each_made("no-access-prefetch", "Nor if it prefetches it.", MSVM_ONLY, VRAM,
		  no_access_prefetch);
	each("no-access-shared", "Nor shared memory.", MSVM_ONLY,
	     no_access_shared);
	each_made("no-access-kept", "Nor memory that is kept mapped.", MSVM_ONLY,
		  ATTR("page_faults=0"), no_access_kept);
	each("no-access-live", "By the time the call returns no job gets through.",
	     MSVM_ONLY, no_access_live);
	each("changes-live", "Changes while all GPUs fault, and unmapping.",
	     MSVM_ONLY, changes_live);
	each("asleep", "Changes in a range that a fault sleeps in.", MSVM_ONLY,
	     asleep);
	each("elsewhere", "Changes of other memory's while a fault is served.", MSVM_ONLY,
	     elsewhere);
	each("accessed-by", "It is mapped for who is to have it.", MSVM_ONLY,
	     accessed_by);
	each("accessed-by-again", "And again when somebody faults.", MSVM_ONLY,
	     accessed_by_again);
	each_made("preferred-device", "Memory is where it is preferred to be.",
		  MSVM_ONLY, PEERS, preferred_device);
	each_made("preferred-system", "Also in system memory.", MSVM_ONLY, VRAM,
		  preferred_system);
	each_made("read-mostly", "What is mostly read stays in system memory.",
		  MSVM_ONLY, VRAM, read_mostly);
	each_made("granularity", "Pieces are as large as was said.", MSVM_ONLY,
		  VRAM, granularity);
	each("rejoin", "Slots are used again, attributes are not.", MSVM_ONLY,
	     rejoin);
	each_made("unplugged", "What a GPU that is gone was named for is forgotten.",
		  MSVM_ONLY, VRAM, unplugged);

	igt_fixture {
		gpus_remove();
	}
}
