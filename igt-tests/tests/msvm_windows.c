// SPDX-License-Identifier: MIT
/*
 * GPUs that can less than others: a smaller window of addresses, no atomics on
 * system memory, slow copies. Each fails or serves by its own measure, next to
 * GPUs that can all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"

#define MIB (1UL << 20)
/* The small window ends in the middle of a range of 2 MiB. */
#define LIMIT (3073 * MIB)

static struct vsvm_set pair;

/* GPU 0 has all addresses, GPU 1 those below LIMIT. */
static void open_pair(void)
{
	static const char * const all[] = { NULL };
	static const char * const small[] = { "va_limit_mib=3073", NULL };
	int i;

	vsvm_set_close(&pair);
	gpus_remove();
	for (i = 0; i < 2; i++) {
		pair.fd[i] = gpu_make(i ? small : all);
		igt_assert(pair.fd[i] >= 0);
		pair.n = i + 1;
		pair.vm[i] = vsvm_vm_create(pair.fd[i], DRM_VSVM_VM_LAYOUT_MSVM);
	}
}

/* 4 MiB with the limit in the middle of the first range. */
static char *around_limit(void)
{
	char *at = (char *)(LIMIT - MIB), *p;

	p = mmap(at, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	igt_require_f(p == at, "no memory to be had at %p\n", at);
	pattern_fill(p, 4 * MIB, 1);
	return p;
}

static void store(int gpu, char *p, uint64_t value)
{
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, value);

	vsvm_run(&pair, gpu, &cmd, 1);
	igt_assert_eq_u64(*(uint64_t *)p, value);
}

static void refused(char *p)
{
	vsvm_expect_fault(&pair, 1, vsvm_store(p, 8, 1), -EFAULT, p,
			  DRM_VSVM_ACCESS_WRITE);
}

/* Who comes first makes the range, cut to its own window. */
static void test_small_first(void)
{
	char *p = around_limit();

	store(1, p, 1);
	store(1, p + MIB - 8, 2);
	store(0, p, 3);
	store(0, p + MIB - 8, 4);
	store(0, p + MIB, 5);
	store(1, p, 6);
	refused(p + MIB);
	refused(p + 3 * MIB);
	munmap(p, 4 * MIB);
}

/* A range of the larger window that crosses the limit is refused as a whole. */
static void test_large_first(void)
{
	char *p = around_limit();

	store(0, p, 1);
	refused(p);
	refused(p + MIB);
	/* Its own kind of range is possible again when that one is gone. */
	munmap(p, 4 * MIB);
	p = around_limit();
	store(1, p, 2);
	store(0, p, 3);
	munmap(p, 4 * MIB);
}

/* Results of the small GPU must lie in its window as well. */
static void test_below(void)
{
	char *p = mmap((void *)(1024 * MIB), 4 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct drm_vsvm_cmd cmd;

	igt_require_f(p == (char *)(1024 * MIB), "no memory to be had there\n");
	pattern_fill(p, MIB, 5);
	cmd = vsvm_copy(p + 2 * MIB, p, MIB);
	vsvm_run(&pair, 1, &cmd, 1);
	pattern_check(p + 2 * MIB, MIB, 5);
	vsvm_gpu_check(&pair, 0, p + 2 * MIB, MIB, 5);
	munmap(p, 4 * MIB);
}

static void test_atomics(void)
{
	static const char * const none[] = { "system_atomics=0", NULL };
	uint64_t *p = anon(SZ_4K), *old = anon(SZ_4K);
	static struct vsvm_set one;
	struct drm_vsvm_cmd cmd;

	vsvm_set_make(&one, 1, DRM_VSVM_VM_LAYOUT_MSVM, none);
	*p = 5;
	cmd = vsvm_store(p, 8, 6);
	vsvm_run(&one, 0, &cmd, 1);
	vsvm_expect_fault(&one, 0, vsvm_add(p, 8, 1, old), -EOPNOTSUPP, p,
			  DRM_VSVM_ACCESS_ATOMIC);
	vsvm_expect_fault(&one, 0, vsvm_cas(p, 8, 6, 7, old), -EOPNOTSUPP, p,
			  DRM_VSVM_ACCESS_ATOMIC);
	vsvm_expect_fault(&one, 0, vsvm_xchg(p, 4, 7, old), -EOPNOTSUPP, p,
			  DRM_VSVM_ACCESS_ATOMIC);
	igt_assert_eq_u64(*p, 6);
	igt_assert_eq_u64(*old, 0);
	vsvm_set_close(&one);
	munmap(p, SZ_4K);
	munmap(old, SZ_4K);
}

/* 4 MiB at 40 MB/s; and a job that is slow can be thrown out. */
static void test_copy_rate(void)
{
	static const char * const slow[] = { "copy_mbps=40", NULL };
	static const char * const snail[] = { "copy_mbps=1", NULL };
	char *p = anon(8 * MIB);
	static struct vsvm_set one;
	struct drm_vsvm_cmd cmd = vsvm_copy(p + 4 * MIB, p, 4 * MIB);
	int64_t start;

	pattern_fill(p, 4 * MIB, 8);
	vsvm_set_make(&one, 1, DRM_VSVM_VM_LAYOUT_MSVM, slow);
	start = vsvm_now();
	vsvm_run(&one, 0, &cmd, 1);
	igt_info("4 MiB at 40 MB/s took %.0f ms\n", (vsvm_now() - start) / 1e6);
	pattern_check(p + 4 * MIB, 4 * MIB, 8);

	vsvm_set_make(&one, 1, DRM_VSVM_VM_LAYOUT_MSVM, snail);
	vsvm_submit(one.fd[0], one.vm[0], 0, &cmd, 1);
	igt_assert_eq(vsvm_vm_destroy(one.fd[0], one.vm[0]), 0);
	vsvm_set_close(&one);
	munmap(p, 8 * MIB);
}

igt_main
{
	static const struct {
		const char *name, *text;
		void (*fn)(void);
	} tests[] = {
		{ "below", "work within the small window", test_below },
		{ "small-first", "the small window makes the range",
		  test_small_first },
		{ "large-first", "the large window makes the range",
		  test_large_first },
		{ "no-atomics", "no atomics on system memory", test_atomics },
		{ "copy-rate", "slow copies", test_copy_rate },
	};
	/* A subtest that fails jumps back here. */
	volatile unsigned int i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		igt_describe(tests[i].text);
		igt_subtest(tests[i].name) {
			open_pair();
			tests[i].fn();
			vsvm_set_close(&pair);
			gpus_remove();
		}
	}
}
