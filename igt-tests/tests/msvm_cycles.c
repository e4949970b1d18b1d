// SPDX-License-Identifier: MIT
/*
 * Lives: members and processes come and go many times, with pages in GPUs' memory and
 * with addresses of an IOMMU, and leave all as it was: slab, GPUs' memory, addresses,
 * and what the library counts for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define FEW		500
#define MANY		10000
/* Processes at a time. */
#define CROWD		8
/* More than a GPU has in the end, so that some evict each other. */
#define VRAM		"vram_mib=4"

static struct vsvm_set all;

/* What must be the same before and after. */
struct use {
	uint64_t vram;
	uint64_t addresses;
	uint64_t bytes;
	size_t contexts;
	long slab;
};

/* The slab caches' memory that can't be reclaimed, in KiB. */
static long slab_kib(void)
{
	file_write("/proc/sys/vm/drop_caches", "3");
	return file_value("/proc/meminfo", "SUnreclaim");
}

static size_t contexts(void)
{
	static char buf[1 << 16];
	size_t lines = 0;
	char *at;

	igt_assert(debugfs_read("contexts", buf, sizeof(buf)));
	for (at = buf; (at = strchr(at, '\n')); at++)
		lines++;
	/* The first is the header. */
	return lines - 1;
}

static struct use use(void)
{
	struct use u = {
		.bytes = debugfs_value("stats", "bytes"),
		.contexts = contexts(),
	};
	int gpu;

	for (gpu = 0; gpu < all.n; gpu++) {
		u.vram += vram_info(&all, gpu).used;
		u.addresses += gpu_counter(all.fd[gpu], "dma_maps");
	}
	return u;
}

static bool same(const struct use *a, const struct use *b)
{
	return a->vram == b->vram && a->addresses == b->addresses &&
	       a->bytes == b->bytes && a->contexts == b->contexts;
}

/* What was freed comes back after RCU grace periods and by work: look until then. */
static void expect_same(const struct use *before)
{
	int64_t deadline = vsvm_deadline(60);
	struct use now = use();

	while (!same(before, &now) && vsvm_now() < deadline) {
		usleep(1000);
		now = use();
	}
	igt_assert_eq_u64(now.contexts, before->contexts);
	igt_assert_eq_u64(now.bytes, before->bytes);
	igt_assert_eq_u64(now.vram, before->vram);
	igt_assert_eq_u64(now.addresses, before->addresses);
}

/*
 * Slab goes up and down with what else the kernel does, and how full its pages are:
 * cycles that are not measured come first, and half a MiB is taken for nothing. Beyond
 * that 8 bytes a cycle are allowed for, less than anything that has a life of its own.
 * So with 10000 cycles a loss of 64 bytes in each shows (625 KiB, 590 are allowed),
 * with 500 one of about a KiB, which is less than a VM or an address space takes.
 */
static long slab_limit(int cycles)
{
	return 512 + cycles * 8 / 1024;
}

static void expect_slab(long before, int cycles)
{
	int64_t deadline = vsvm_deadline(20);
	long limit = before + slab_limit(cycles), now;

	/* KASAN keeps what was freed for a while; kmemleak looks there. */
	if (vsvm_debug_kernel())
		return;
	while ((now = slab_kib()) > limit && vsvm_now() < deadline)
		usleep(100000);
	igt_info("slab %ld KiB before, %ld KiB after %d cycles, at most %ld\n",
		 before, now, cycles, limit);
	igt_assert_f(now <= limit, "slab grew by %ld KiB\n", now - before);
}

/* Two GPUs with memory, and two with an IOMMU, for which memory stays where it is. */
static void open_all(void)
{
	static const char * const vram[] = { VRAM, "peer_group=1", NULL };
	static const char * const iommu[] = { "dma=iommu", NULL };
	int i, fd;

	vsvm_set_close(&all);
	gpus_remove();
	vsvm_placement("first-touch");
	all.layout = DRM_VSVM_VM_LAYOUT_MSVM;
	for (i = 0; i < 4; i++) {
		fd = gpu_make(i < 2 ? vram : iommu);
		igt_assert_f(fd >= 0, "making a GPU: %d\n", fd);
		all.fd[i] = fd;
		all.n = i + 1;
	}
}

static void close_all(void)
{
	vsvm_set_check(&all);
	vsvm_set_close(&all);
	gpus_remove();
	vsvm_placement("system");
}

static void submit(int fd, uint32_t vm, const struct drm_vsvm_cmd *cmds, int n)
{
	igt_assert_eq(vsvm_wait(fd, vm, vsvm_submit(fd, vm, 0, cmds, n)).status,
		      0);
}

/*
 * What each life does: a GPU with memory takes pages of the process, one with an IOMMU
 * reads there, so they come out, and has others of its own; then they go back. @vm: one of each.
 */
static void work(const int *fd, const uint32_t *vm, char *p, int k)
{
	struct drm_vsvm_cmd in_vram[] = {
		vsvm_fill(p, k, SZ_64K), vsvm_store(p, 8, k),
	};
	struct drm_vsvm_cmd by_iommu[] = {
		vsvm_fill(p + SZ_64K, ~k, SZ_64K),
		vsvm_copy(p + SZ_64K, p, 8),
	};

	struct vsvm_set one = { .n = 1, .fd = { fd[0] }, .vm = { vm[0] } };
	int tries, err = -EBUSY;

	submit(fd[0], vm[0], in_vram, 2);
	submit(fd[1], vm[1], by_iommu, 2);
	/* A fault may leave them where they are, as they were moved just now. */
	for (tries = 0; tries < 100 && err == -EBUSY; tries++)
		err = vram_try_migrate(&one, 0, p, SZ_64K, 0);
	igt_assert_eq(err, 0);
}

/* There was something to give back. */
static uint64_t most_vram, most_addresses;

static void note_use(void)
{
	struct use u = use();

	if (u.vram > most_vram)
		most_vram = u.vram;
	if (u.addresses > most_addresses)
		most_addresses = u.addresses;
}

static char *memory(void)
{
	char *p = anon_aligned(2 * SZ_64K, SZ_2M);

	madvise(p, 2 * SZ_64K, MADV_NOHUGEPAGE);
	return p;
}

static void join_leave(int cycles)
{
	uint32_t vm[2];
	int fd[2], i;
	char *p;

	for (i = 0; i < cycles; i++) {
		p = memory();
		fd[0] = all.fd[i % 2];
		fd[1] = all.fd[2 + i / 2 % 2];
		vm[0] = vsvm_vm_create(fd[0], all.layout);
		vm[1] = vsvm_vm_create(fd[1], all.layout);
		work(fd, vm, p, i);
		igt_assert_eq_u64(*(uint64_t *)(p + SZ_64K), i);
		note_use();
		/* Half of them with mappings and pages, half after these went. */
		if (i & 1)
			munmap(p, 2 * SZ_64K);
		igt_assert_eq(vsvm_vm_destroy(fd[i & 1], vm[i & 1]), 0);
		igt_assert_eq(vsvm_vm_destroy(fd[!(i & 1)], vm[!(i & 1)]), 0);
		if (!(i & 1))
			munmap(p, 2 * SZ_64K);
	}
}

static void run(int cycles, void (*fn)(int cycles))
{
	struct use before;
	long slab;

	cycles = vsvm_scale(cycles, cycles / 20);
	open_all();
	most_vram = 0;
	most_addresses = 0;
	before = use();
	igt_assert_eq_u64(before.vram, 0);
	igt_assert_eq_u64(before.addresses, 0);
	/* Warms up: per-CPU lists, caches, the pools of the kernel. */
	fn(cycles / 10 > 80 ? cycles / 10 : 80);
	expect_same(&before);
	slab = slab_kib();
	fn(cycles);
	igt_info("at most %llu bytes of GPUs' memory and %llu addresses in use\n",
		 (unsigned long long)most_vram,
		 (unsigned long long)most_addresses);
	igt_assert(most_vram >= SZ_64K && most_addresses);
	expect_same(&before);
	expect_slab(slab, cycles);
	close_all();
}

/* A short life, in files of the parent's or its own; most close nothing. */
static void life(int k, int ready, int go)
{
	int fd[2] = { all.fd[k % 2], all.fd[2 + k / 2 % 2] };
	bool theirs = !(k % 4);
	uint32_t vm[2];
	char *p, c;

	child_asserts_exit();
	p = memory();
	if (!theirs) {
		char path[32];
		int i;

		for (i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "/dev/dri/renderD%d",
				 gpu_minor(fd[i]));
			fd[i] = open(path, O_RDWR | O_CLOEXEC);
			igt_assert(fd[i] >= 0);
		}
	}
	vm[0] = vsvm_vm_create(fd[0], all.layout);
	vm[1] = vsvm_vm_create(fd[1], all.layout);
	work(fd, vm, p, k);
	igt_assert_eq_u64(*(uint64_t *)(p + SZ_64K), k);
	igt_assert(write(ready, "r", 1) == 1);
	/* Until the pipe ends. */
	igt_assert(!read(go, &c, 1));
	/* The parent's files stay open. */
	if (theirs) {
		vsvm_vm_destroy(fd[0], vm[0]);
		vsvm_vm_destroy(fd[1], vm[1]);
	}
	_exit(0);
}

static void lifetimes(int n)
{
	int ready[2], go[2], i, k;
	pid_t pids[CROWD];
	char c;

	for (i = 0; i < n; i += CROWD) {
		igt_assert(!pipe(ready) && !pipe(go));
		for (k = 0; k < CROWD; k++) {
			pids[k] = fork();
			igt_assert(pids[k] >= 0);
			if (!pids[k]) {
				close(go[1]);
				life(k, ready[1], go[0]);
			}
		}
		close(ready[1]);
		/* Fewer if one fails: then the pipe ends. */
		for (k = 0; k < CROWD && read(ready[0], &c, 1) == 1; k++)
			;
		note_use();
		close(go[0]);
		close(go[1]);
		close(ready[0]);
		for (k = 0; k < CROWD; k++)
			igt_assert_eq(wait_child(pids[k]), 0);
	}
}

igt_main
{
	static const struct {
		const char *name, *text;
		int cycles;
		void (*fn)(int cycles);
	} tests[] = {
		{ "join-leave-500", "members come and go", FEW, join_leave },
		{ "processes-500", "processes come and go", FEW, lifetimes },
		{ "join-leave-10000", "ten thousand times", MANY, join_leave },
		{ "processes-10000", "ten thousand times", MANY, lifetimes },
	};
	/* A subtest that fails jumps back here. */
	volatile unsigned int i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		igt_describe(tests[i].text);
		igt_subtest(tests[i].name)
			run(tests[i].cycles, tests[i].fn);
	}
	igt_fixture {
		vsvm_set_close(&all);
		gpus_remove();
	}
}
