// SPDX-License-Identifier: MIT
/*
 * Ways to access memory by ways to have it, with the names and the breadth of
 * IGT's xe_exec_system_allocator: each pattern on each kind of memory, touched by
 * the CPU before or not. Every value depends on who wrote it and when, and is
 * checked by the CPU and by another GPU.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/uffd.h"

#define GPUS 4
#define MAX_POSITIONS 64
#define WORKERS 4

/**
 * struct kind - A way to have memory.
 * @name: Part of the subtest's name.
 * @get: New memory, zeroed.
 * @next: What happens to it between two rounds; may move it.
 * @put: Give it back.
 */
struct kind {
	const char *name;
	void *(*get)(size_t len);
	char *(*next)(char *p, size_t len);
	void (*put)(char *p, size_t len);
};

static void put_mmap(char *p, size_t len)
{
	igt_assert(!munmap(p, len));
}

static void *get_malloc(size_t len)
{
	char *p = aligned_alloc(64, len);

	igt_assert(p);
	memset(p, 0, len);
	return p;
}

static void put_malloc(char *p, size_t len)
{
	(void)len;
	free(p);
}

static void *get_mlock(size_t len)
{
	char *p = anon(len);

	igt_assert(!mlock(p, len));
	return p;
}

static void *get_huge(size_t len)
{
	char *p = anon_aligned(len, SZ_2M);

	madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static void *get_shared(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	igt_assert(p != MAP_FAILED);
	return p;
}

static char *map_file(size_t len, int flags)
{
	char path[] = "/tmp/msvm-XXXXXX", *p;
	int fd = mkstemp(path);

	igt_assert(fd >= 0 && !unlink(path) && !ftruncate(fd, len));
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	igt_assert(p != MAP_FAILED);
	close(fd);
	return p;
}

static void *get_file(size_t len)
{
	return map_file(len, MAP_SHARED);
}

static void *get_file_private(size_t len)
{
	return map_file(len, MAP_PRIVATE);
}

static char *next_same(char *p, size_t len)
{
	(void)len;
	return p;
}

/* The pages at another address. */
static char *next_remap(char *p, size_t len)
{
	char *to = anon(len);
	char *q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	igt_assert(q == to);
	return q;
}

/* Its pages moved away, the mapping stayed, with other pages. */
static char *next_dontunmap(char *p, size_t len)
{
	char *q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	igt_assert(q != MAP_FAILED && q != p);
	igt_assert(!munmap(p, len));
	return q;
}

/* Other memory at the same address, without a moment in between. */
static char *next_new(char *p, size_t len)
{
	igt_assert(mmap(p, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	return p;
}

static char *next_new_huge(char *p, size_t len)
{
	next_new(p, len);
	madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static char *next_free(char *p, size_t len)
{
	put_mmap(p, len);
	return anon(len);
}

static char *next_free_huge(char *p, size_t len)
{
	put_mmap(p, len);
	return get_huge(len);
}

static char *next_dontneed(char *p, size_t len)
{
	igt_assert(!madvise(p, len, MADV_DONTNEED));
	return p;
}

static const struct kind kinds[] = {
	{ "malloc", get_malloc, next_same, put_malloc },
	{ "mlock", get_mlock, next_same, put_mmap },
	{ "mmap", anon, next_same, put_mmap },
	{ "mmap-huge", get_huge, next_same, put_mmap },
	{ "mmap-shared", get_shared, next_same, put_mmap },
	{ "mmap-shared-remap", get_shared, next_remap, put_mmap },
	{ "mmap-file", get_file, next_same, put_mmap },
	{ "mmap-file-private", get_file_private, next_same, put_mmap },
	{ "mmap-remap", anon, next_remap, put_mmap },
	{ "mmap-remap-dontunmap", anon, next_dontunmap, put_mmap },
	{ "mmap-free", anon, next_free, put_mmap },
	{ "mmap-free-huge", get_huge, next_free_huge, put_mmap },
	{ "mmap-new", anon, next_new, put_mmap },
	{ "mmap-new-huge", get_huge, next_new_huge, put_mmap },
	{ "mmap-dontneed", anon, next_dontneed, put_mmap },
};

#define NUM_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/**
 * struct pattern - A way to access memory.
 * @name: Part of the subtest's name.
 * @len: Memory it needs.
 * @stride: Bytes between two accesses.
 * @accesses: Accesses of a round.
 * @rounds: Rounds, between which @kind.next comes.
 * @workers: Who does it.
 */
struct pattern {
	const char *name;
	size_t len;
	size_t stride;
	int accesses;
	int rounds;
	enum {
		ONE,		/* one job after the other, GPUs in turn */
		ENGINES,	/* all engines of all GPUs at once */
		PARTIAL,	/* half of it first, then all */
		THREADS,	/* threads, a VM each */
		THREADS_SHARED,	/* threads, one VM */
		PROCESSES,	/* children, GPUs and VMs each */
	} how;
};

static const struct pattern patterns[] = {
	{ "once", SZ_64K, SZ_4K, 1, 1, ONE },
	{ "once-large", 2 * SZ_2M, SZ_2M, 2, 1, ONE },
	{ "twice", SZ_64K, SZ_4K, 1, 2, ONE },
	{ "many", SZ_64K, 1040, 32, 3, ONE },
	{ "many-stride", 8 * SZ_2M, SZ_2M, 8, 2, ONE },
	{ "engines", SZ_64K, SZ_4K, 16, 2, ENGINES },
	{ "partial", 2 * SZ_2M, SZ_64K, 64, 1, PARTIAL },
	{ "threads", SZ_64K, SZ_4K, 16, 2, THREADS },
	{ "threads-shared-vm", SZ_64K, SZ_4K, 16, 2, THREADS_SHARED },
	{ "processes", SZ_64K, SZ_4K, 16, 1, PROCESSES },
};

#define NUM_PATTERNS (sizeof(patterns) / sizeof(patterns[0]))

static struct vsvm_set set;

static uint64_t value_of(int gpu, int engine, int round, int k)
{
	return 0x0101000000000000ULL * (gpu + 1) + (engine << 24) +
	       (round << 16) + k;
}

/* A job that stores, counts on and reads back at one place. */
static uint64_t submit(int fd, uint32_t vm, int engine, char *at, uint64_t value)
{
	struct drm_vsvm_cmd cmds[] = {
		vsvm_store(at, 8, value), vsvm_add(at, 8, 1, NULL),
		vsvm_load(at, 8, (uint64_t *)at + 1),
	};

	return vsvm_submit(fd, vm, engine, cmds, 3);
}

static void check(char *at, uint64_t value)
{
	igt_assert_eq_u64(((uint64_t *)at)[0], value + 1);
	igt_assert_eq_u64(((uint64_t *)at)[1], value + 1);
}

static void access_one(char *p, const struct pattern *pattern, int first,
		       int end, int round)
{
	int k;

	for (k = first; k < end; k++) {
		char *at = p + k * pattern->stride;
		uint64_t value;
		int gpu = k % set.n;

		value = value_of(gpu, 0, round, k);
		igt_assert_eq(vsvm_wait(set.fd[gpu], set.vm[gpu],
					submit(set.fd[gpu], set.vm[gpu], 0, at,
					       value)).status, 0);
		check(at, value);
		igt_assert_eq_u64(vsvm_gpu_load(&set, (gpu + 1) % set.n, at),
				  value + 1);
	}
}

/* All are under way before the first is waited for. */
static void access_engines(char *p, const struct pattern *pattern, int round)
{
	uint64_t jobs[MAX_POSITIONS];
	int k;

	for (k = 0; k < pattern->accesses; k++)
		jobs[k] = submit(set.fd[k % set.n], set.vm[k % set.n],
				 k / set.n % 2, p + k * pattern->stride,
				 value_of(k % set.n, k / set.n % 2, round, k));
	for (k = 0; k < pattern->accesses; k++) {
		int gpu = k % set.n;

		igt_assert_eq(vsvm_wait(set.fd[gpu], set.vm[gpu],
					jobs[k]).status, 0);
		check(p + k * pattern->stride,
		      value_of(gpu, k / set.n % 2, round, k));
	}
}

/* Threads may not assert: they tell. */
struct worker {
	pthread_t thread;
	int fd, id, round;
	uint32_t vm;
	char *p;
	const struct pattern *pattern;
	int failed;
};

static void *worker_main(void *data)
{
	struct worker *w = data;
	int k;

	for (k = w->id; k < w->pattern->accesses; k += WORKERS) {
		char *at = w->p + k * w->pattern->stride;
		uint64_t value = value_of(w->id, 0, w->round, k);
		struct drm_vsvm_cmd cmds[] = {
			vsvm_store(at, 8, value), vsvm_add(at, 8, 1, NULL),
			vsvm_load(at, 8, (uint64_t *)at + 1),
		};
		struct drm_vsvm_exec exec = {
			.vm_id = w->vm, .num_cmds = 3, .cmds = to_u64(cmds),
		};
		struct drm_vsvm_wait wait = {
			.vm_id = w->vm, .timeout_ns = vsvm_deadline(30),
		};

		if (vsvm_ioctl(w->fd, DRM_IOCTL_VSVM_EXEC, &exec)) {
			w->failed++;
			continue;
		}
		wait.job_id = exec.job_id;
		w->failed += vsvm_ioctl(w->fd, DRM_IOCTL_VSVM_WAIT, &wait) ||
			     wait.status;
	}
	return NULL;
}

static void access_threads(char *p, const struct pattern *pattern, int round)
{
	struct worker workers[WORKERS];
	bool shared = pattern->how == THREADS_SHARED;
	int i, k;

	for (i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker) {
			.fd = set.fd[shared ? 0 : i % set.n],
			.vm = set.vm[shared ? 0 : i % set.n], .id = i,
			.round = round, .p = p, .pattern = pattern,
		};
		igt_assert(!pthread_create(&workers[i].thread, NULL, worker_main,
					   &workers[i]));
	}
	for (i = 0; i < WORKERS; i++)
		igt_assert(!pthread_join(workers[i].thread, NULL));
	for (i = 0; i < WORKERS; i++)
		igt_assert_eq(workers[i].failed, 0);
	for (k = 0; k < pattern->accesses; k++)
		check(p + k * pattern->stride,
		      value_of(k % WORKERS, 0, round, k));
}

/* In a child, with GPUs of its own for what it inherited. */
static void access_as_child(char *p, const struct pattern *pattern, int id)
{
	child_asserts_exit();
	set = (struct vsvm_set) {};
	vsvm_set_open(&set, 2, DRM_VSVM_VM_LAYOUT_MSVM);
	/* A part of its own: with some kinds all have the same pages. */
	access_one(p, pattern, id * pattern->accesses / WORKERS,
		   (id + 1) * pattern->accesses / WORKERS, id);
	_exit(0);
}

static void access_processes(char *p, const struct pattern *pattern)
{
	pid_t pids[WORKERS];
	int i, status;

	for (i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		igt_assert(pids[i] >= 0);
		if (!pids[i])
			access_as_child(p, pattern, i);
	}
	for (i = 0; i < WORKERS; i++) {
		igt_assert(waitpid(pids[i], &status, 0) == pids[i]);
		igt_assert_eq(status, 0);
	}
}

static void access_memory(char *p, const struct pattern *pattern, int round)
{
	switch (pattern->how) {
	case ONE:
		access_one(p, pattern, 0, pattern->accesses, round);
		break;
	case ENGINES:
		access_engines(p, pattern, round);
		break;
	case PARTIAL:
		access_one(p, pattern, 0, pattern->accesses / 2, round);
		access_one(p, pattern, 0, pattern->accesses, round + 1);
		break;
	case THREADS:
	case THREADS_SHARED:
		access_threads(p, pattern, round);
		break;
	case PROCESSES:
		access_processes(p, pattern);
		break;
	}
}

static void run(const struct kind *kind, const struct pattern *pattern,
		bool touch)
{
	char *p = kind->get(pattern->len);
	int round;

	for (round = 0; round < pattern->rounds; round++) {
		if (touch)
			memset(p, 0x5a, pattern->len);
		access_memory(p, pattern, round);
		if (round + 1 < pattern->rounds)
			p = kind->next(p, pattern->len);
	}
	kind->put(p, pattern->len);
}

static void read_as_child(char *p)
{
	child_asserts_exit();
	check(p, value_of(0, 0, 0, 0));
	_exit(0);
}

/* What the GPUs wrote, a child reads. */
static void run_fork_read(const struct kind *kind, const struct pattern *pattern,
			  bool touch)
{
	char *p = kind->get(pattern->len);
	int status;
	pid_t pid;

	if (touch)
		memset(p, 0x5a, pattern->len);
	access_one(p, pattern, 0, pattern->accesses, 0);
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid)
		read_as_child(p);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	access_one(p, pattern, 0, pattern->accesses, 1);
	kind->put(p, pattern->len);
}

/* Memory goes while jobs read it: they end well, or with the address. */
static void run_busy(const struct kind *kind, const struct pattern *pattern,
		     bool touch)
{
	char *p = kind->get(pattern->len), *out = anon(pattern->len);
	uint64_t jobs[GPUS];
	int i;

	if (touch)
		memset(p, 0x5a, pattern->len);
	for (i = 0; i < set.n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_copy(out, p, pattern->len);

		jobs[i] = vsvm_submit(set.fd[i], set.vm[i], 0, &cmd, 1);
	}
	kind->put(p, pattern->len);
	for (i = 0; i < set.n; i++) {
		struct drm_vsvm_wait w = vsvm_wait(set.fd[i], set.vm[i], jobs[i]);

		igt_assert_f(!w.status || w.status == -EFAULT, "status %d\n",
			     w.status);
		igt_assert(!w.status || (w.fault_addr >= to_u64(p) &&
					 w.fault_addr < to_u64(p) + pattern->len));
	}
	munmap(out, pattern->len);
}

static const struct pattern small = { "small", SZ_64K, SZ_4K, 8, 1, ONE };

static void subtest(const struct kind *kind, const char *what,
		    const struct pattern *pattern,
		    void (*fn)(const struct kind *kind,
			       const struct pattern *pattern, bool touch))
{
	static char name[128];
	/* A subtest that fails jumps back here. */
	volatile int touch;

	for (touch = 1; touch >= 0; touch--) {
		snprintf(name, sizeof(name), "%s-%s%s", what, kind->name,
			 touch ? "" : "-nomemset");
		igt_describe("a way to access memory on a way to have it");
		igt_subtest(name) {
			vsvm_set_open(&set, GPUS, DRM_VSVM_VM_LAYOUT_MSVM);
			fn(kind, pattern, touch);
			vsvm_set_check(&set);
			vsvm_set_close(&set);
		}
	}
}

igt_main
{
	/* As above. */
	volatile unsigned int k, i;

	for (k = 0; k < NUM_KINDS; k++) {
		for (i = 0; i < NUM_PATTERNS; i++)
			subtest(&kinds[k], patterns[i].name, &patterns[i], run);
		subtest(&kinds[k], "fork-read", &small, run_fork_read);
		if (kinds[k].put == put_mmap)
			subtest(&kinds[k], "busy", &small, run_busy);
	}
}
