// SPDX-License-Identifier: MIT
/*
 * Memory of all kinds that is bound explicitly: huge, swapped out, of a file, read
 * only, shared with a child, in a GPU; beside memory that is faulted in. And what all
 * GPUs are told before any is waited for.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/userptr.h"
#include "../lib/vram.h"

#define NO_FAULTS ATTR("page_faults=0")
#define LEN SZ_2M

/* Who does not can't say why it found nothing. */
static bool takes_faults(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);
	int status = vsvm_try(set, 0, &cmd, 1).status;

	munmap(p, SZ_4K);
	return !status;
}

/* Huge pages come into being and are split. */
static void huge(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	int i;

	igt_assert(!madvise(p, 2 * LEN, MADV_NOHUGEPAGE));
	memset(p, 1, 2 * LEN);
	userptr_bind(set, p, 2 * LEN, 0);
	userptr_expect(set, p, 2 * LEN, results, 1);
	igt_assert(!madvise(p, 2 * LEN, MADV_HUGEPAGE));
	for (i = 2; i < 5; i++) {
		/* It may have other things to do. */
		igt_assert(!madvise(p, 2 * LEN, MADV_COLLAPSE) ||
			   errno == EAGAIN || errno == EBUSY);
		userptr_expect(set, p, 2 * LEN, results, i - 1);
		memset(p, i, 2 * LEN);
		igt_assert(!mprotect(p + SZ_4K, SZ_4K, PROT_READ));
		igt_assert(!mprotect(p + SZ_4K, SZ_4K, PROT_READ | PROT_WRITE));
		userptr_expect(set, p, 2 * LEN, results, i);
	}
	userptr_unbind(set, p, 2 * LEN);
	userptr_free_results(set, results);
	munmap(p, 2 * LEN);
}

/* What a GPU wrote is not lost when pages are swapped out. */
static void swapped(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	uint64_t *results = userptr_results(set);
	struct drm_vsvm_cmd cmd;
	int i;

	igt_require_f(swap_start(), "no swap space\n");
	igt_assert(!madvise(p, SZ_64K, MADV_NOHUGEPAGE));
	userptr_bind(set, p, SZ_64K, 0);
	for (i = 1; i < 4; i++) {
		cmd = vsvm_fill(p, i, SZ_64K);
		vsvm_run(set, i % set->n, &cmd, 1);
		/* The worker brings them back at once: no use in waiting. */
		mm_drain();
		igt_assert(!madvise(p, SZ_64K, MADV_PAGEOUT));
		userptr_expect(set, p, SZ_64K, results, i);
		igt_assert_eq(p[SZ_64K - 1], i);
	}
	userptr_unbind(set, p, SZ_64K);
	userptr_free_results(set, results);
	munmap(p, SZ_64K);
	swap_stop();
}

/* What is written last is in the file, though nobody asks any more. */
static void file(struct vsvm_set *set)
{
	char path[] = "/tmp/msvm-userptr-XXXXXX", byte;
	int fd = mkstemp(path), gpu;
	struct drm_vsvm_cmd cmd;
	char *p;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	unlink(path);
	p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(p != MAP_FAILED);
	userptr_bind(set, p, SZ_64K, 0);
	for (gpu = 0; gpu < set->n; gpu++) {
		cmd = vsvm_fill(p, 7 + gpu, SZ_64K);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq(pread(fd, &byte, 1, SZ_64K - 1), 1);
		igt_assert_eq(byte, 7 + gpu);
	}
	/* Beyond the new end of the file there is no memory. */
	igt_assert(!ftruncate(fd, SZ_4K));
	userptr_expect_fault(set, p, -EFAULT);
	igt_assert(!ftruncate(fd, SZ_64K));
	cmd = vsvm_fill(p, 5, SZ_64K);
	vsvm_run(set, 0, &cmd, 1);
	userptr_unbind(set, p, SZ_64K);
	igt_assert_eq(pread(fd, &byte, 1, SZ_64K - 1), 1);
	igt_assert_eq(byte, 5);
	munmap(p, SZ_64K);
	close(fd);
}

/* Jobs can't write; the process can, and they see it. */
static void read_only(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	bool faults = takes_faults(set);
	struct drm_vsvm_cmd cmd;
	int gpu;

	memset(p, 1, LEN);
	/* By page faults it can be written before, and TLBs have it so. */
	for (gpu = 0; faults && gpu < set->n; gpu++) {
		cmd = vsvm_store(p + 8, 4, 0x01010101);
		vsvm_run(set, gpu, &cmd, 1);
	}
	userptr_bind(set, p, LEN, READ_ONLY);
	userptr_expect_fault(set, p, -EACCES);
	userptr_expect(set, p, LEN, results, 1);
	memset(p, 2, LEN);
	userptr_expect(set, p, LEN, results, 2);
	igt_assert(!madvise(p, LEN, MADV_DONTNEED));
	userptr_expect_fault(set, p, -EACCES);
	userptr_expect(set, p, LEN, results, 0);
	memset(p, 3, LEN);
	userptr_expect(set, p, LEN, results, 3);
	/* One of them may, and the others may not for all that. */
	igt_assert_eq(userptr_try_unbind(set, 0, p, LEN), 0);
	igt_assert_eq(userptr_try_bind(set, 0, p, LEN, 0), 0);
	cmd = vsvm_fill(p, 4, LEN);
	vsvm_run(set, 0, &cmd, 1);
	userptr_expect(set, p, LEN, results, 4);
	for (gpu = 1; gpu < set->n; gpu++)
		vsvm_expect_fault(set, gpu, vsvm_store(p, 8, 1), -EACCES, p,
				  DRM_VSVM_ACCESS_WRITE);
	/* Nobody may: who only reads goes on. */
	igt_assert_eq(userptr_try_unbind(set, 0, p, LEN), 0);
	igt_assert(!mprotect(p, LEN, PROT_READ));
	igt_assert_eq(userptr_try_bind(set, 0, p, LEN, 0), -EACCES);
	igt_assert_eq(userptr_try_bind(set, 0, p, LEN, READ_ONLY), 0);
	userptr_expect(set, p, LEN, results, 4);
	userptr_expect_fault(set, p, -EACCES);
	igt_assert(!mprotect(p, LEN, PROT_READ | PROT_WRITE));
	userptr_unbind(set, p, LEN);
	for (gpu = 0; faults && gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	userptr_free_results(set, results);
	munmap(p, LEN);
}

/* Bindings and memory that is faulted in, in one range, of one GPU. */
static void side_by_side(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M), *in = p + SZ_64K;
	uint64_t *results = userptr_results(set);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 1, LEN);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		vsvm_run(set, gpu, &cmd, 1);
	userptr_bind(set, in, SZ_64K, READ_ONLY);
	userptr_expect(set, p, LEN, results, 1);
	userptr_expect_fault(set, in, -EACCES);
	for (gpu = 0; gpu < set->n; gpu++) {
		cmd = vsvm_fill(p, 2, SZ_64K);
		vsvm_run(set, gpu, &cmd, 1);
	}
	/* The range is taken away, the binding is not, and the other way round. */
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	userptr_expect(set, p, SZ_4K, results, 0);
	userptr_expect(set, in, SZ_64K, results, 1);
	userptr_expect_fault(set, in + SZ_64K - 8, -EACCES);
	igt_assert(!madvise(in, SZ_4K, MADV_DONTNEED));
	userptr_expect(set, in, SZ_4K, results, 0);
	userptr_expect(set, p + SZ_4K, SZ_64K - SZ_4K, results, 2);
	userptr_unbind(set, in, SZ_64K);
	cmd = vsvm_fill(p, 5, LEN);
	for (gpu = 0; gpu < set->n; gpu++) {
		memset(p, 4, LEN);
		vsvm_run(set, gpu, &cmd, 1);
		userptr_expect(set, p, LEN, results, 5);
	}
	userptr_free_results(set, results);
	munmap(p, LEN);
}

/* In some GPU's memory when it is bound, and when it is bound again. */
static void in_vram(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	int last = set->n - 1, i;

	memset(p, 1, 2 * LEN);
	vram_migrate(set, p, 2 * LEN, last);
	userptr_bind(set, p, 2 * LEN, 0);
	userptr_expect(set, p, 2 * LEN, results, 1);
	for (i = 0; i < 2; i++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p, 2 + i, 2 * LEN);

		/* They may be back in system memory before it returns. */
		vram_try_migrate(set, 0, p, 2 * LEN, i % set->n);
		vram_try_migrate(set, 0, p + LEN, LEN, last);
		userptr_expect(set, p + LEN - SZ_64K, 2 * SZ_64K, results, 1 + i);
		vsvm_run(set, i % set->n, &cmd, 1);
		pattern_fill(p, SZ_4K, i);
		memset(p, 2 + i, SZ_4K);
		userptr_expect(set, p, SZ_64K, results, 2 + i);
		userptr_expect(set, p + LEN, SZ_64K, results, 2 + i);
	}
	userptr_unbind(set, p, 2 * LEN);
	userptr_free_results(set, results);
	munmap(p, 2 * LEN);
}

/* Memory in reach can't be mapped after all: it goes to system memory. */
static void peer_map_fails(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *results = userptr_results(set);
	int gpu;

	igt_require_f(gpus_can_peer() && set->n > 1,
		      "no GPU reaches another's memory\n");
	memset(p, 1, LEN);
	for (gpu = 1; gpu < set->n; gpu++) {
		vram_migrate(set, p, LEN, 0);
		gpu_debugfs_write(set->fd[0], "fail_peer_map", 1000);
		igt_assert_eq(userptr_try_bind(set, gpu, p, LEN, 0), 0);
		gpu_debugfs_write(set->fd[0], "fail_peer_map", 0);
		vram_expect(set, p, LEN, WHERE_SYSTEM);
	}
	igt_assert_eq(userptr_try_bind(set, 0, p, LEN, 0), 0);
	userptr_expect(set, p, LEN, results, 1);
	userptr_unbind(set, p, LEN);
	userptr_free_results(set, results);
	munmap(p, LEN);
}

/*
 * Shared with a child until somebody writes. Who binds it for reading first learns
 * where the pages are; who then binds it for writing must not write to the child's.
 */
static void copy_on_write(struct vsvm_set *set)
{
	struct vsvm_set reader = { .n = 1, .fd = { set->fd[0] } };
	char *p = anon_aligned(SZ_64K, SZ_2M), byte;
	int go[2], gpu, i;
	pid_t pid;

	reader.vm[0] = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p, 0x60 + gpu, SZ_64K);

		memset(p, 0x50 + gpu, SZ_64K);
		igt_assert(!pipe(go));
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid) {
			if (read(go[0], &byte, 1) != 1)
				_exit(2);
			for (i = 0; i < (int)SZ_64K; i++)
				if (p[i] != 0x50 + gpu)
					_exit(3);
			_exit(0);
		}
		userptr_bind(&reader, p, SZ_64K, READ_ONLY);
		igt_assert_eq(userptr_try_bind(set, gpu, p, SZ_64K, 0), 0);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq(p[SZ_64K - 1], 0x60 + gpu);
		igt_assert(write(go[1], "g", 1) == 1);
		igt_assert_eq(wait_child(pid), 0);
		close(go[0]);
		close(go[1]);
		igt_assert_eq(userptr_try_unbind(set, gpu, p, SZ_64K), 0);
		userptr_unbind(&reader, p, SZ_64K);
	}
	igt_assert(!vsvm_vm_destroy(reader.fd[0], reader.vm[0]));
	munmap(p, SZ_64K);
}

/*
 * Read back from swap space, a page has a copy there that is thought good as long as
 * nobody writes: a GPU's write must make it stale, also if it is no longer bound.
 */
static void swap_cache(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	int gpu, i;

	igt_require_f(swap_start_cached(), "no swap on a loop device\n");
	igt_assert(!madvise(p, SZ_64K, MADV_NOHUGEPAGE));
	memset(p, 1, SZ_64K);
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_fill(p, 2 + gpu, SZ_64K);

		igt_assert(mm_pageout(p, SZ_64K));
		for (i = 0; i < (int)SZ_64K; i++)
			igt_assert_eq(p[i], 1 + gpu);
		igt_assert_eq(userptr_try_bind(set, gpu, p, SZ_64K, 0), 0);
		vsvm_run(set, gpu, &cmd, 1);
		if (gpu & 1)
			igt_assert(mm_pageout(p, SZ_64K));
		igt_assert_eq(userptr_try_unbind(set, gpu, p, SZ_64K), 0);
		igt_assert(gpu & 1 || mm_pageout(p, SZ_64K));
		for (i = 0; i < (int)SZ_64K; i++)
			igt_assert_eq(p[i], 2 + gpu);
	}
	munmap(p, SZ_64K);
	swap_stop();
}

static void *take(void *p)
{
	igt_assert(!madvise(p, SZ_4K, MADV_DONTNEED));
	return NULL;
}

/* One GPU's shoot-down is held: all the others' were started before. */
static void all_before_wait(struct vsvm_set *set)
{
	uint64_t *results = userptr_results(set), zaps[VSVM_MAX_SET];
	char *p = anon_aligned(SZ_64K, SZ_2M);
	int64_t deadline = vsvm_deadline(20);
	pthread_t thread;
	int slow, gpu;

	igt_assert(!madvise(p, SZ_64K, MADV_NOHUGEPAGE));
	userptr_bind(set, p, SZ_64K, 0);
	for (slow = 0; slow < set->n; slow++) {
		/* By it they are all bound again. */
		memset(p, 1 + slow, SZ_64K);
		userptr_expect(set, p, SZ_64K, results, 1 + slow);
		for (gpu = 0; gpu < set->n; gpu++)
			zaps[gpu] = gpu_counter(set->fd[gpu], "zaps");
		gpu_debugfs_write(set->fd[slow], "hold_flush", 1);
		igt_assert(!pthread_create(&thread, NULL, take, p));
		while (!gpu_counter(set->fd[slow], "held")) {
			igt_assert(vsvm_now() < deadline);
			usleep(200);
		}
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_f(gpu_counter(set->fd[gpu], "zaps") >
				     zaps[gpu],
				     "GPU %d was not asked while %d waits\n",
				     gpu, slow);
		gpu_debugfs_write(set->fd[slow], "hold_flush", 0);
		join_thread(thread);
	}
	userptr_unbind(set, p, SZ_64K);
	userptr_free_results(set, results);
	munmap(p, SZ_64K);
}

igt_main
{
	each_made("huge", "huge pages", MSVM_ONLY, NO_FAULTS, huge);
	each_made("swapped", "pages are swapped out", MSVM_ONLY, NO_FAULTS,
		  swapped);
	each_made("file", "memory of a file", MSVM_ONLY, NO_FAULTS, file);
	each_made("read-only", "jobs must not write", MSVM_ONLY, NO_ATTRS,
		  read_only);
	each_made("read-only-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, read_only);
	each_made("side-by-side", "in a range that is faulted in", MSVM_ONLY,
		  NO_ATTRS, side_by_side);
	each_made("vram", "in a GPU's memory out of reach", MSVM_ONLY,
		  NO_FAULTS ATTR("vram_mib=16"), in_vram);
	each_made("vram-peers", "in a GPU's memory within reach", MSVM_ONLY,
		  ATTR("vram_mib=16") ATTR("peer_group=1"), in_vram);
	each_made("peer-map-fails", "memory in reach can't be mapped",
		  MSVM_ONLY, ATTR("vram_mib=16") ATTR("peer_group=1"),
		  peer_map_fails);
	each_made("copy-on-write", "shared with a child", MSVM_ONLY, NO_ATTRS,
		  copy_on_write);
	each_made("copy-on-write-nofault", "without page faults", MSVM_ONLY,
		  NO_FAULTS, copy_on_write);
	each_made("swap-cache", "pages with a copy in swap space", MSVM_ONLY,
		  NO_ATTRS, swap_cache);
	each_made("all-before-wait", "all shoot-downs start before any is awaited",
		  MSVM_ONLY, NO_ATTRS, all_before_wait);
}
