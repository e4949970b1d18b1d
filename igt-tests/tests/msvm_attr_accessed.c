// SPDX-License-Identifier: MIT
/*
 * Accessed by: memory is mapped by the call that says so, where it is and as far as it is
 * there. Nothing is moved, made or waited for.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=16")
#define PEERS	VRAM ATTR("peer_group=1")

/* Where loads go. */
static uint64_t *out;

/* A GPU can load without a fault; @out is mapped for it. */
static void expect_mapped(struct vsvm_set *set, int gpu, char *p)
{
	struct drm_vsvm_cmd warm = vsvm_store(out, 8, 1);
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, out);
	uint64_t before;

	vsvm_run(set, gpu, &warm, 1);
	before = attr_faults(set, gpu);
	vsvm_run(set, gpu, &cmd, 1);
	igt_assert_eq_u64(attr_faults(set, gpu), before);
}

/* The call moves nothing, neither to where it is preferred nor to who accesses it. */
static char *stays_where(struct vsvm_set *set, int last)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	pattern_fill(p, SZ_2M, 1);
	attr_set(set, p, SZ_2M, attr_preferred(set, 0));
	attr_set(set, p, SZ_2M, attr_accessed_by(set, last, true));
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	expect_mapped(set, last, p);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);

	/* Nor what is there already. */
	attr_set(set, p, SZ_2M, attr_accessed_by(set, last, false));
	attr_set(set, p, SZ_2M, attr_preferred(set, PREFER_NONE));
	attr_set(set, p, SZ_2M, attr_preferred(set, 0));
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	attr_set(set, p, SZ_2M, attr_accessed_by(set, last, true));
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	return p;
}

/* Out of reach for the one that is to have it: it is left where it is. */
static void stays(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = stays_where(set, last);

	vsvm_gpu_check(set, last, p, SZ_2M, 1);
	pattern_check(p, SZ_2M, 1);
	munmap(p, SZ_2M);
}

/* Within reach: it is mapped from there. */
static void stays_peers(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = stays_where(set, last);

	if (!last || gpus_can_peer()) {
		expect_mapped(set, last, p);
		vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	}
	munmap(p, SZ_2M);
}

/* Nothing is made only to be mapped, not even next to what is there. */
static void not_made(struct vsvm_set *set)
{
	int fd = memfd_create("attr", 0), gpu;
	struct stat st;
	char *p, *q;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_2M));
	p = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = anon_aligned(SZ_2M, SZ_2M);
	igt_assert(p != MAP_FAILED);
	madvise(q, SZ_2M, MADV_NOHUGEPAGE);
	p[0] = 1;
	q[0] = 1;
	for (gpu = 0; gpu < set->n; gpu++) {
		attr_set(set, p, SZ_2M, attr_accessed_by(set, gpu, true));
		attr_set(set, q, SZ_2M, attr_accessed_by(set, gpu, true));
	}
	igt_assert(!fstat(fd, &st));
	igt_assert_eq_u64((uint64_t)st.st_blocks * 512, SZ_4K);
	igt_assert_eq(mm_present(q + SZ_4K, SZ_2M - SZ_4K), 0);
	/* All there: it is mapped. */
	memset(p, 1, SZ_2M);
	for (gpu = 0; gpu < set->n; gpu++) {
		attr_set(set, p, SZ_2M, attr_accessed_by(set, gpu, true));
		expect_mapped(set, gpu, p + SZ_2M / 2);
	}
	munmap(p, SZ_2M);
	munmap(q, SZ_2M);
	close(fd);
}

/* A part of what others have mapped as a whole. */
static void part(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = anon_aligned(SZ_2M, SZ_2M), *mid = p + SZ_2M / 2;

	igt_require_f(last, "two GPUs are needed\n");
	pattern_fill(p, SZ_2M, 1);
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	attr_set(set, mid, SZ_64K, attr_accessed_by(set, last, true));
	expect_mapped(set, last, mid);
	expect_mapped(set, last, mid + SZ_64K - SZ_4K);
	vsvm_gpu_check(set, 0, p, SZ_2M, 1);
	munmap(p, SZ_2M);
}

/* A call in a thread of its own. */
struct call {
	struct vsvm_set *set;
	char *p;
	volatile bool done;
	int ret;
};

static void *call_fn(void *data)
{
	struct call *call = data;
	struct drm_vsvm_attr attrs[2] = {
		attr_preferred(call->set, 0),
		attr_accessed_by(call->set, call->set->n - 1, true),
	};

	call->ret = attr_try_set(call->set, 0, call->p, SZ_2M, attrs, 2);
	call->done = true;
	return NULL;
}

/*
 * A page next to one that is there has to be brought by the process itself. The call does
 * not wait for that, so GPUs can be pulled out.
 */
static void nobody_serves(struct vsvm_set *set)
{
	int last = set->n - 1, uffd = uffd_open();
	struct call call = { .set = set, .p = anon_aligned(SZ_2M, SZ_2M) };
	struct pollfd fd = { .fd = uffd, .events = POLLIN };
	int64_t deadline = vsvm_deadline(60);
	bool waits = false;
	pthread_t thread;

	igt_require_f(last, "two GPUs are needed\n");
	madvise(call.p, SZ_2M, MADV_NOHUGEPAGE);
	call.p[0] = 1;
	uffd_register(uffd, call.p, SZ_2M);
	igt_assert(!pthread_create(&thread, NULL, call_fn, &call));
	while (!call.done && !waits && vsvm_now() < deadline)
		waits = poll(&fd, 1, 10) == 1;
	if (!waits) {
		igt_assert(!gpu_pull(0));
		close(set->fd[0]);
		set->fd[0] = set->fd[last];
		set->vm[0] = set->vm[last];
		set->n--;
	}
	uffd_unregister(uffd, call.p, SZ_2M);
	join_thread(thread);
	close(uffd);
	igt_assert_f(!waits, "the call waits for memory\n");
	igt_assert_eq(call.ret, 0);
	igt_assert_eq(mm_present(call.p + SZ_4K, SZ_2M - SZ_4K), 0);
	munmap(call.p, SZ_2M);
}

/* Is something said about an address space? */
static bool anything_said(uint32_t id)
{
	char path[64], buf[512];

	snprintf(path, sizeof(path), "%u/attributes", id);
	return debugfs_read(path, buf, sizeof(buf)) && strchr(buf, '\n') &&
	       strchr(buf, '\n')[1];
}

/* There is no end to it: who is killed meanwhile ends. */
static void endless(struct vsvm_set *set)
{
	size_t len = 1UL << 44;
	int64_t deadline = vsvm_deadline(60);
	uint32_t id = 0;
	int ends[2];
	pid_t pid;

	igt_assert(!pipe(ends));
	pid = fork();
	if (!pid) {
		struct vsvm_set child = { .n = 1 };
		char *p;

		child_asserts_exit();
		child.fd[0] = dup(set->fd[0]);
		child.vm[0] = vsvm_vm_create(child.fd[0],
					     DRM_VSVM_VM_LAYOUT_MSVM);
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		igt_assert(p != MAP_FAILED);
		id = vsvm_stats(child.fd[0], child.vm[0]).context_id;
		igt_assert(write(ends[1], &id, sizeof(id)) == sizeof(id));
		attr_set(&child, p, len, attr_accessed_by(&child, 0, true));
		_exit(0);
	}
	igt_assert(pid > 0);
	igt_assert(read(ends[0], &id, sizeof(id)) == sizeof(id));
	while (!anything_said(id))
		igt_assert_f(vsvm_now() < deadline, "nothing is said\n");
	kill(pid, SIGKILL);
	igt_assert(WIFSIGNALED(wait_child(pid)));
	close(ends[0]);
	close(ends[1]);
}

igt_main
{
	igt_fixture {
		out = anon(SZ_4K);
	}

	each_made("stays", "Memory stays where it is.", MSVM_ONLY, VRAM, stays);
	each_made("stays-peers", "Likewise, and is mapped from there.", MSVM_ONLY,
		  PEERS, stays_peers);
	each("not-made", "What is not there is not made.", MSVM_ONLY, not_made);
	each("part", "A part of what another GPU has as a whole.", MSVM_ONLY,
	     part);
	each_made("nobody-serves", "Nobody is waited for.", MSVM_ONLY, VRAM,
		  nobody_serves);
	each("endless", "So much memory that it takes for ever.", MSVM_ONLY,
	     endless);

	igt_fixture {
		gpus_remove();
	}
}
