// SPDX-License-Identifier: MIT
/*
 * GPUs that are pulled out and come back, again and again, each time in another
 * state: members joined, pages in their memory, pages of processes that are gone. As
 * good as new each time: they work, they sleep, and they wake up.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")

/**
 * struct orphan - Pages in GPUs' memory that only a process without GPUs has.
 * @go: Write to let it look at them.
 * @done: Its answer comes here.
 */
struct orphan {
	int go[2];
	int done[2];
};

static char orphan_look(const char *p, size_t len, int value)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != value)
			return 'n';
	return 'y';
}

/* Two generations: the first puts pages into the GPU and dies, the second has them. */
static void orphan_make(struct vsvm_set *set, int gpu, struct orphan *o,
			size_t len, int value)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	igt_assert(!pipe(ready) && !pipe(o->go) && !pipe(o->done));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		struct vsvm_set own = { .n = 1 };
		struct drm_vsvm_cmd cmd;
		char *p;

		child_asserts_exit();
		p = anon_aligned(len, SZ_2M);
		cmd = vsvm_fill(p, value, len);
		own.fd[0] = set->fd[gpu];
		own.vm[0] = vsvm_vm_create(own.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
		vsvm_run(&own, 0, &cmd, 1);
		vram_expect(&own, p, len, where_gpu(&own, 0));
		if (!fork()) {
			/* An open file would keep the GPU's number. */
			while (set->n)
				close(set->fd[--set->n]);
			if (write(ready[1], "r", 1) != 1 ||
			    read(o->go[0], &byte, 1) != 1)
				_exit(2);
			byte = orphan_look(p, len, value);
			_exit(write(o->done[1], &byte, 1) != 1);
		}
		igt_assert(!vsvm_vm_destroy(own.fd[0], own.vm[0]));
		_exit(0);
	}
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	igt_assert(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
}

static void orphan_check(struct orphan *o)
{
	char byte;

	igt_assert(write(o->go[1], "g", 1) == 1);
	igt_assert(read(o->done[0], &byte, 1) == 1);
	igt_assert_eq(byte, 'y');
	close(o->go[0]);
	close(o->go[1]);
	close(o->done[0]);
	close(o->done[1]);
}

/* What is nobody's with a GPU any more makes room as well as other pages. */
static void orphans_evicted(struct vsvm_set *set)
{
	size_t len = 8 * (1UL << 20);
	struct orphan o[2];
	struct drm_vsvm_cmd cmd;
	char *p;
	int i;

	for (i = 0; i < 2; i++)
		orphan_make(set, 0, &o[i], 3 * (1UL << 20), 0x60 + i);
	p = anon_aligned(len, SZ_2M);
	for (i = 0; i < 3; i++) {
		cmd = vsvm_fill(p, 0x70 + i, len);
		vsvm_run(set, 0, &cmd, 1);
	}
	igt_assert_eq(orphan_look(p, len, 0x72), 'y');
	for (i = 0; i < 2; i++)
		orphan_check(&o[i]);
	munmap(p, len);
	vram_expect_empty(set);
}

/* All GPUs come back, with nothing left of what was. */
static void come_back(struct vsvm_set *set, int n)
{
	static const char * const attrs[] = { "vram_mib=8", NULL };

	vsvm_set_make(set, n, DRM_VSVM_VM_LAYOUT_MSVM, attrs);
	vram_expect_empty(set);
}

static void pull_all(struct vsvm_set *set)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(!gpu_pull(gpu));
}

/* Nobody uses a GPU: it sleeps; then somebody does. */
static void sleep_and_wake(struct vsvm_set *set)
{
	int64_t deadline = vsvm_deadline(20);
	uint64_t suspends[VSVM_MAX_SET];
	int gpu;

	if (!gpu_counter(set->fd[0], "has_pm"))
		return;
	for (gpu = 0; gpu < set->n; gpu++) {
		suspends[gpu] = gpu_counter(set->fd[gpu], "suspends");
		igt_assert(!vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]));
	}
	for (gpu = 0; gpu < set->n; gpu++)
		while (gpu_counter(set->fd[gpu], "suspends") == suspends[gpu]) {
			igt_assert_f(vsvm_now() < deadline,
				     "GPU %d does not sleep\n", gpu);
			usleep(2000);
		}
	for (gpu = 0; gpu < set->n; gpu++)
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
}

/* All that a GPU does. */
static void use(struct vsvm_set *set, uint64_t seed)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		vram_migrate(set, p, SZ_2M, gpu);
		vsvm_gpu_write(set, gpu, p, SZ_2M, seed + gpu);
		pattern_check(p, SZ_2M, seed + gpu);
	}
	mm_all_agree(set, p, SZ_2M, seed + gpu - 1);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* Pulled out in each state; then everything must work as before. */
static void rebind(struct vsvm_set *set)
{
	int n = set->n, i, gpu;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct orphan o;

	/* Twice: what the first time leaves behind shows the second time. */
	for (i = 0; i < 2; i++) {
		/* Members, and pages of the process in all GPUs. */
		pattern_fill(p, SZ_2M, i);
		for (gpu = 0; gpu < n; gpu++)
			vram_migrate(set, p + gpu * SZ_64K, SZ_64K, gpu);
		mm_all_check(set, p, SZ_2M, i);
		pull_all(set);
		pattern_check(p, SZ_2M, i);
		come_back(set, n);
		use(set, i);
		sleep_and_wake(set);
	}

	/* Pages that only a process without GPUs has; the files are open. */
	orphan_make(set, n - 1, &o, SZ_2M, 0x66);
	igt_assert(!vsvm_vm_destroy(set->fd[0], set->vm[0]));
	pull_all(set);
	orphan_check(&o);
	come_back(set, n);

	/* They come back by themselves when the GPU is idle. */
	orphan_make(set, 0, &o, SZ_2M, 0x67);
	sleep_and_wake(set);
	orphan_check(&o);
	use(set, i);
	munmap(p, SZ_2M);
}

igt_main
{
	each_made("rebind", "GPUs go and come back in each state", MSVM_ONLY, VRAM,
		  rebind);
	each_made("orphans-evicted", "pages of a process that is gone make room",
		  MSVM_ONLY, VRAM, orphans_evicted);
}
