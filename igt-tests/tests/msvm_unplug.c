// SPDX-License-Identifier: MIT
/*
 * GPUs are pulled out in the middle of everything: while all GPUs compute, memory
 * is moved there and back, evicted, and touched by CPUs. Data comes back, the other
 * GPUs go on, and a new one can take its place. And processes come and go in great
 * number without leaving anything behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
/* As drm_msvm's shards. */
#define WINDOW	(512 * MIB)
#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/**
 * struct storm - What everybody works on.
 * @own: Each party's own memory, @own_len bytes each.
 * @own_len: As said.
 * @data: Memory that nobody writes.
 * @targets: What the ioctl calls the GPUs; a GPU that is gone can't be asked.
 */
static struct storm {
	char *own;
	size_t own_len;
	char *data;
	uint32_t targets[VSVM_MAX_SET];
} storm;

#define DATA_LEN SZ_2M
#define DATA_SEED 77

static char *own_memory(const struct party *party)
{
	return storm.own + party->k * storm.own_len;
}

/* Fill its memory and add it up. */
static int compute_round(struct party *party)
{
	char *p = own_memory(party);
	size_t len = storm.own_len - SZ_4K;
	uint64_t *sum = (uint64_t *)(p + len), value = 1 + party->rounds % 100;
	struct drm_vsvm_cmd cmds[3] = {
		vsvm_store(sum, 8, 0),
		vsvm_fill(p, value, len),
		vsvm_sum(sum, p, len),
	};
	int err = crowd_job(party, cmds, 3);

	if (err)
		return err;
	return *sum == value * len ? 0 : -EILSEQ;
}

static int move(struct party *party, void *p, size_t len, uint32_t target)
{
	struct drm_vsvm_migrate args = {
		.vm_id = party->set->vm[0], .start = to_u64(p), .len = len,
		.target = target,
	};
	int err = vsvm_ioctl(party->set->fd[0], DRM_IOCTL_VSVM_MIGRATE, &args);

	return err == -EBUSY || err == -ENOSPC || err == -ENXIO ||
	       err == -ENODEV ? 0 : err;
}

/* Move what nobody writes, and what others write, from GPU to GPU. */
static int move_round(struct party *party)
{
	uint32_t target = storm.targets[party->rounds % party->set->n];
	int err = move(party, storm.data, DATA_LEN, target);

	return err ?: move(party, storm.own, SZ_2M,
			   party->rounds % 3 ? target : 0);
}

/* Take memory back from wherever it is. */
static int touch_round(struct party *party)
{
	char *p = own_memory(party);
	size_t i;

	for (i = 0; i < storm.own_len; i += SZ_4K)
		if (p[i] != (char)party->rounds)
			return -EILSEQ;
	memset(p, party->rounds + 1, storm.own_len);
	return move(party, p, storm.own_len,
		    storm.targets[party->set->n - 1]);
}

static int read_round(struct party *party)
{
	static char seen[DATA_LEN];

	(void)party;
	/* Compared at the end. */
	memcpy(seen, storm.data, DATA_LEN);
	return memcmp(seen, party->data, DATA_LEN) ? -EILSEQ : 0;
}

static void storm_make(struct vsvm_set *set, size_t own_len)
{
	char *copy = anon(DATA_LEN);
	int gpu, parties = set->n + 3;
	struct party *last = NULL;

	storm.own_len = own_len;
	storm.own = anon_aligned(parties * own_len, SZ_2M);
	memset(storm.own, 0, parties * own_len);
	storm.data = anon_aligned(DATA_LEN, SZ_2M);
	pattern_fill(storm.data, DATA_LEN, DATA_SEED);
	pattern_fill(copy, DATA_LEN, DATA_SEED);
	for (gpu = 0; gpu < set->n; gpu++)
		storm.targets[gpu] = vram_index(set, gpu) + 1;

	crowd_begin();
	for (gpu = 0; gpu < set->n; gpu++)
		last = crowd_add(set, gpu, compute_round, NULL);
	last->may_fail = true;
	/* They ask by the first GPU, so there must be another one to pull. */
	crowd_add(set, -1, move_round, NULL)->may_fail = set->n == 1;
	crowd_add(set, -1, touch_round, NULL)->may_fail = set->n == 1;
	crowd_add(set, -1, read_round, copy);
}

/* Pull the last GPU out of a storm. */
static void pull_from_storm(struct vsvm_set *set, size_t own_len)
{
	int last = set->n - 1;

	storm_make(set, own_len);
	vram_migrate(set, storm.data, DATA_LEN, last);
	crowd_start();
	crowd_wait(2);
	igt_assert(!gpu_pull(last));
	crowd_wait(10);
	crowd_stop();
	pattern_check(storm.data, DATA_LEN, DATA_SEED);
	close(set->fd[last]);
	set->n--;
	mm_all_check(set, storm.data, DATA_LEN, DATA_SEED);
	munmap(storm.own, (last + 4) * own_len);
	munmap(storm.data, DATA_LEN);
	vram_expect_empty(set);
}

static void storm_fits(struct vsvm_set *set)
{
	pull_from_storm(set, MIB);
}

static void storm_evicts(struct vsvm_set *set)
{
	pull_from_storm(set, 6 * MIB);
}

/* All are pulled out, one after the other; each had some of the memory. */
static void one_by_one(struct vsvm_set *set)
{
	size_t len = set->n * SZ_2M;
	char *p = anon_aligned(len, SZ_2M);
	int gpu, i;

	for (gpu = 0; gpu < set->n; gpu++) {
		pattern_fill(p + gpu * SZ_2M, SZ_2M, gpu);
		vram_migrate(set, p + gpu * SZ_2M, SZ_2M, gpu);
	}
	/* All map all of it. */
	for (gpu = 0; gpu < set->n; gpu++)
		for (i = 0; i < set->n; i++)
			vsvm_gpu_load(set, gpu, p + i * SZ_2M);
	while (set->n) {
		int last = set->n - 1;

		igt_assert(!gpu_pull(last));
		close(set->fd[last]);
		set->n--;
		for (i = 0; i <= last; i++) {
			mm_all_check(set, p + i * SZ_2M, SZ_2M, i);
			if (i == last)
				pattern_check(p + i * SZ_2M, SZ_2M, i);
		}
	}
	munmap(p, len);
}

static void *truncate_file(void *data)
{
	return ftruncate(*(int *)data, 0) ? (void *)1 : NULL;
}

/*
 * The collector takes the last range away that a GPU has, and waits for an
 * invalidation elsewhere, which nobody answers; meanwhile the GPU goes. What is
 * left of it in the range may not be looked at then.
 */
static void gone_while_collected(struct vsvm_set *set)
{
	uint32_t id = vsvm_stats(set->fd[0], set->vm[0]).context_id, other;
	int last = set->n - 1, fd = memfd_create("msvm", MFD_CLOEXEC);
	int64_t deadline = vsvm_deadline(60);
	uint64_t *results = anon(SZ_4K), ranges;
	struct drm_vsvm_cmd cmd;
	pthread_t thread;
	char *p, *q;

	igt_require_f(last, "two GPUs are needed\n");
	igt_assert(fd >= 0 && !ftruncate(fd, SZ_4K));
	q = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(q != MAP_FAILED);
	/* Nothing else is in its window. */
	p = anon_aligned(2 * WINDOW, WINDOW);
	igt_assert(!mprotect(p, 2 * WINDOW, PROT_NONE));
	igt_assert(!mprotect(p, SZ_64K, PROT_READ | PROT_WRITE));
	vsvm_gpu_write(set, last, results, SZ_4K, 1);
	cmd = vsvm_store(p, 8, 1);
	vsvm_run(set, last, &cmd, 1);
	/* What subtests before left may be collected at any time. */
	igt_assert(context_has_range(id, p));
	ranges = context_value(id, "info", "ranges");

	/* Its invalidations need no lock of drm_msvm. */
	other = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_1TO1);
	cmd = vsvm_store(q, 8, 1);
	igt_assert_eq(vsvm_wait(set->fd[0], other,
				vsvm_submit(set->fd[0], other, 0, &cmd,
					    1)).status, 0);
	gpu_debugfs_write(set->fd[0], "hold_flush", 1);
	igt_assert(!pthread_create(&thread, NULL, truncate_file, &fd));
	while (!gpu_counter(set->fd[0], "held"))
		igt_assert(vsvm_now() < deadline);

	igt_assert(!munmap(p, SZ_64K));
	while (context_value(id, "info", "ranges") >= ranges)
		igt_assert(vsvm_now() < deadline);
	igt_assert(!gpu_pull(last));
	close(set->fd[last]);
	set->n--;
	gpu_debugfs_write(set->fd[0], "hold_flush", 0);
	join_thread(thread);
	igt_assert_eq(vsvm_vm_destroy(set->fd[0], other), 0);
	munmap(p, 2 * WINDOW);
	munmap(q, SZ_4K);
	munmap(results, SZ_4K);
	close(fd);
}

/* A new GPU takes the place of the one that was pulled out. */
static void replaced(struct vsvm_set *set)
{
	static const char * const attrs[] = { "vram_mib=8", NULL };
	int last = set->n - 1, round;
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(!gpus_on_pci(), "PCI functions stay what they are\n");
	pattern_fill(p, SZ_2M, 1);
	for (round = 0; round < 3; round++) {
		int old = set->fd[last];

		vram_migrate(set, p, SZ_2M, last);
		igt_assert(!gpu_pull(last + round));
		set->fd[last] = gpu_make(attrs);
		igt_assert(set->fd[last] >= 0);
		set->vm[last] = vsvm_vm_create(set->fd[last],
					       DRM_VSVM_VM_LAYOUT_MSVM);
		close(old);
		mm_all_check(set, p, SZ_2M, 1);
		vram_migrate(set, p, SZ_2M, last);
		mm_all_agree(set, p, SZ_2M, 1);
		if (last)
			break;
	}
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* Modules stay while there are pages in GPUs. */
static void module_stays(struct vsvm_set *set)
{
	static const char * const names[] = { "vsvm", "drm_msvm" };
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int i;

	pattern_fill(p, SZ_2M, 1);
	vram_migrate(set, p, SZ_2M, set->n - 1);
	for (i = 0; i < 2; i++) {
		igt_assert(syscall(SYS_delete_module, names[i], O_NONBLOCK));
		igt_assert(errno == EWOULDBLOCK || errno == EBUSY);
	}
	mm_all_agree(set, p, SZ_2M, 1);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* A process with 2 MiB in each GPU; how it ends depends on its number. */
static void lifetime(struct vsvm_set *set, int number)
{
	int gpu, status;
	pid_t pid = fork();

	igt_assert(pid >= 0);
	if (!pid) {
		char *p = anon_aligned(set->n * SZ_2M, SZ_2M);

		child_asserts_exit();
		for (gpu = 0; gpu < set->n; gpu++) {
			struct drm_vsvm_cmd cmd = vsvm_fill(p + gpu * SZ_2M,
							    number, SZ_2M);

			set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
						      DRM_VSVM_VM_LAYOUT_MSVM);
			vsvm_submit(set->fd[gpu], set->vm[gpu], 0, &cmd, 1);
			if (number % 2)
				vsvm_wait(set->fd[gpu], set->vm[gpu], 0);
		}
		for (gpu = 0; gpu < set->n && number % 3; gpu++)
			vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]);
		if (number % 4 == 0)
			kill(getpid(), SIGKILL);
		if (number % 4 == 1)
			execl("/bin/true", "true", NULL);
		_exit(0);
	}
	status = wait_child(pid);
	igt_assert(number % 4 ? !status : WIFSIGNALED(status));
}

/* Kilobytes of the kernel's memory that can't be reclaimed. */
static long kernel_memory(void)
{
	mm_drain();
	return file_value("/proc/meminfo", "SUnreclaim");
}

static void lifetimes(struct vsvm_set *set)
{
	int n = vsvm_scale(100, 16) / set->n, i, gpu;
	long before;

	for (i = 0; i < 8; i++)
		lifetime(set, i);
	vram_expect_empty(set);
	before = kernel_memory();
	for (i = 0; i < n; i++)
		lifetime(set, i);
	vram_expect_empty(set);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq_u64(gpu_counter(set->fd[gpu], "dma_maps"), 0);
	/* What others keep for themselves meanwhile is little. */
	igt_assert_f(kernel_memory() < before + 4096,
		     "from %ld kB to %ld kB\n", before, kernel_memory());
}

igt_main
{
	each_made("storm", "a GPU is pulled out of a storm", MSVM_ONLY, VRAM,
		  storm_fits);
	each_made("storm-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  storm_fits);
	each_made("storm-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  PEERS ATTR("dma=iommu"), storm_fits);
	each_made("storm-none", "likewise, without DMA addresses", MSVM_ONLY,
		  PEERS ATTR("dma=none"), storm_fits);
	each_made("storm-evicts", "with more memory than GPUs have", MSVM_ONLY,
		  VRAM, storm_evicts);
	each_made("storm-evicts-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  storm_evicts);
	each_made("one-by-one", "all are pulled out in turn", MSVM_ONLY, VRAM,
		  one_by_one);
	each_made("one-by-one-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  one_by_one);
	each_made("gone-while-collected", "a GPU goes while its range is removed",
		  MSVM_ONLY, NO_ATTRS, gone_while_collected);
	each_made("replaced", "a new GPU takes the place", MSVM_ONLY, VRAM,
		  replaced);
	each_made("module-stays", "modules stay while pages are there",
		  MSVM_ONLY, VRAM, module_stays);
	each_made("lifetimes", "many processes come and go", MSVM_ONLY, VRAM,
		  lifetimes);
	each_made("lifetimes-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  PEERS ATTR("dma=iommu"), lifetimes);
}
