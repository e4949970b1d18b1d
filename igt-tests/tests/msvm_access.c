// SPDX-License-Identifier: MIT
/*
 * Ways to access memory (lib/access.c) by ways to have it (lib/kinds.c), with the
 * names and the breadth of IGT's xe_exec_system_allocator: each pattern on each kind
 * of memory, touched by the CPU before or not.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/access.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/uffd.h"
#include "../lib/userptr.h"
#include "../lib/vram.h"

static const struct pattern patterns[] = {
	{ "once", SZ_64K, SZ_4K, 1, 1, ONE },
	{ "once-large", 2 * SZ_2M, SZ_2M, 2, 1, ONE },
	{ "twice", SZ_64K, SZ_4K, 1, 2, ONE },
	{ "twice-large", 2 * SZ_2M, SZ_2M, 2, 2, ONE },
	{ "many", SZ_64K, 1040, 32, 3, ONE },
	{ "many-64k", 2 * SZ_2M, SZ_64K, 64, 2, ONE },
	{ "many-large", 4 * SZ_2M, 2 * SZ_64K + 1040, 63, 2, ONE },
	{ "many-stride", 8 * SZ_2M, SZ_2M, 8, 2, ONE },
	{ "many-execqueues", SZ_64K, 1040, 64, 2, QUEUES },
	{ "engines", SZ_64K, SZ_4K, 16, 2, ENGINES },
	{ "partial", 2 * SZ_2M, SZ_64K, 64, 1, PARTIAL },
	{ "threads", SZ_64K, SZ_4K, 16, 2, THREADS },
	{ "threads-shared-vm", SZ_64K, SZ_4K, 16, 2, THREADS_SHARED },
	{ "processes", SZ_64K, SZ_4K, 16, 1, PROCESSES },
};

#define NUM_PATTERNS (sizeof(patterns) / sizeof(patterns[0]))

/* Is there anything that the CPU did not look at yet? Children did it. */
static bool unseen(void)
{
	return use.kind->flags & KIND_UNSEEN && use.pattern->how != PROCESSES;
}

static void run(bool touch)
{
	int round, n = use.pattern->accesses;

	use_get();
	for (round = 0; round < use.pattern->rounds; round++) {
		use_prepare(touch);
		use_access(round);
		use_finish();
		if (round + 1 < use.pattern->rounds)
			use_next();
		if (unseen())
			use_check_all(0, n);
	}
	use_put();
}

static void read_as_child(int id)
{
	(void)id;
	child_asserts_exit();
	use_check_all(0, use.pattern->accesses);
	_exit(0);
}

/* What the GPUs wrote, a child reads: what the parent has seen. */
static void run_fork_read(bool touch)
{
	use_get();
	use_prepare(touch);
	use_access_one(0, use.pattern->accesses, 0);
	use_finish();
	use_check_all(0, use.pattern->accesses);
	use_in_children(1, read_as_child);
	use_access_one(0, use.pattern->accesses, 1);
	use_put();
}

/* A child reads first, then the parent does, which no CPU did before. */
static void run_fork_read_after(bool touch)
{
	int k, n = use.pattern->accesses;

	use_get();
	use_prepare(touch);
	for (k = 0; k < n; k++) {
		int gpu = k % use_set.n;
		uint32_t vm = use_set.vm[gpu];

		use_wait(gpu, vm, use_submit(gpu, vm, 0, k, 0));
	}
	/* A child has no threads. */
	use_finish();
	use_in_children(1, read_as_child);
	use_check_all(0, n);
	use_access_one(0, n, 1);
	use_check_all(0, n);
	use_put();
}

/* Memory goes while jobs read it: they end well, or with the address. */
static void run_busy(bool touch)
{
	int n = use_each_job() ? use_nr_pieces() : use_set.n, i;
	size_t len = use_piece_len();
	uint64_t jobs[USE_MAX];
	char *out = anon(len);

	use_get();
	use_prepare(touch);
	for (i = 0; i < n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_copy(out, use_piece(i), len);
		int gpu = i % use_set.n;

		jobs[i] = vsvm_submit(use_set.fd[gpu], use_set.vm[gpu], 0, &cmd,
				      1);
		/* Each job's own goes as soon as it is under way. */
		if (use_each_job())
			use.kind->put(use_piece(i), len);
	}
	/* What goes on beside them would not end well. */
	use_finish();
	if (!use_each_job())
		use_put();
	for (i = 0; i < n; i++) {
		int gpu = i % use_set.n;
		struct drm_vsvm_wait w = vsvm_wait(use_set.fd[gpu],
						   use_set.vm[gpu], jobs[i]);
		uint64_t p = to_u64(use_piece(i));

		igt_assert_f(!w.status || w.status == -EFAULT, "status %d\n",
			     w.status);
		igt_assert(!w.status ||
			   (w.fault_addr >= p && w.fault_addr < p + len));
	}
	munmap(out, len);
}

static const struct pattern small = { "small", SZ_64K, SZ_4K, 8, 1, ONE };

/* Each wants more than two GPUs have. */
#define EVICT_WORKERS	3
#define EVICT_LEN	(6 * SZ_2M)
#define EVICT_CHUNK	(SZ_2M / 4)

static const char * const evict_gpus[] = { "vram_mib=4", NULL };
static bool evict_touch;

static int evict_byte(int id, int round, int chunk)
{
	return 1 + (id * 80 + round * 40 + chunk) % 255;
}

static void evict_as_child(int id)
{
	int round, chunk, n = EVICT_LEN / EVICT_CHUNK;
	char *p;
	size_t i;

	child_asserts_exit();
	use_child_set(true);
	p = use.kind->get(EVICT_LEN);
	if (evict_touch)
		memset(p, 0x5a, EVICT_LEN);
	for (round = 0; round < 2; round++)
		for (chunk = 0; chunk < n; chunk++) {
			struct drm_vsvm_cmd cmd =
				vsvm_fill(p + chunk * EVICT_CHUNK,
					  evict_byte(id, round, chunk),
					  EVICT_CHUNK);

			/* Half of it by each: ranges of its own. */
			vsvm_run(&use_set, chunk * use_set.n / n, &cmd, 1);
		}
	for (i = 0; i < EVICT_LEN; i++)
		igt_assert_f((uint8_t)p[i] ==
			     evict_byte(id, 1, i / EVICT_CHUNK),
			     "byte %#zx is %#x\n", i, (uint8_t)p[i]);
	_exit(0);
}

/* Several processes write more than the GPUs have: they evict each other's. */
static void run_evict(bool touch)
{
	uint64_t before[2];
	int gpu;

	for (gpu = 0; gpu < 2; gpu++)
		before[gpu] = vram_info(&use_set, gpu).evictions;
	evict_touch = touch;
	use_in_children(EVICT_WORKERS, evict_as_child);
	for (gpu = 0; gpu < 2; gpu++)
		igt_assert(vram_info(&use_set, gpu).evictions > before[gpu]);
	vram_expect_empty(&use_set);
}

static void open_gpus(const struct kind *kind, bool evict)
{
	if (evict)
		vsvm_set_make(&use_set, 2, DRM_VSVM_VM_LAYOUT_MSVM, evict_gpus);
	else if (kind->flags & KIND_VRAM)
		vsvm_set_make(&use_set, USE_GPUS, DRM_VSVM_VM_LAYOUT_MSVM,
			      kind_gpus);
	else
		vsvm_set_open(&use_set, USE_GPUS, DRM_VSVM_VM_LAYOUT_MSVM);
}

static void use_start(const struct kind *kind, const struct pattern *pattern)
{
	use = (struct use) { .kind = kind, .pattern = pattern };
	if (kind->flags & KIND_BOUND) {
		use.bound = anon(SZ_4K);
		memset(use.bound, 0, SZ_4K);
		userptr_bind(&use_set, use.bound, SZ_4K, 0);
	}
}

static void use_end(void)
{
	if (!use.bound)
		return;
	userptr_unbind(&use_set, use.bound, SZ_4K);
	munmap(use.bound, SZ_4K);
}

static void subtest(const struct kind *kind, const char *what,
		    const struct pattern *pattern, void (*fn)(bool touch))
{
	static char name[128];
	/* A subtest that fails jumps back here. */
	volatile int touch;

	for (touch = 1; touch >= 0; touch--) {
		snprintf(name, sizeof(name), "%s-%s%s", what, kind->name,
			 touch ? "" : "-nomemset");
		igt_describe("a way to access memory on a way to have it");
		igt_subtest(name) {
			open_gpus(kind, fn == run_evict);
			use_start(kind, pattern);
			fn(touch);
			use_end();
			vsvm_set_check(&use_set);
			vsvm_set_close(&use_set);
		}
	}
}

igt_main
{
	/* As above. */
	volatile unsigned int k, i;

	for (k = 0; k < nr_kinds; k++) {
		for (i = 0; i < NUM_PATTERNS; i++)
			subtest(&kinds[k], patterns[i].name, &patterns[i], run);
		subtest(&kinds[k], "fork-read", &small, run_fork_read);
		subtest(&kinds[k], "fork-read-after", &small,
			run_fork_read_after);
		subtest(&kinds[k], "busy", &small, run_busy);
		if (kinds[k].flags & KIND_EVICTED)
			subtest(&kinds[k], "processes-evict", &small,
				run_evict);
	}

	igt_fixture {
		gpus_remove();
	}
}
