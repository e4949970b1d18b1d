// SPDX-License-Identifier: MIT
/*
 * Memory that no GPU can have: the kernel's own pages in a process, registers of
 * other devices, pages that are broken. The job ends with the reason, in bounded
 * time, and all else goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

/* Refused for both directions, with a neighbour that stays usable. */
static void refused(struct vsvm_set *set, char *p, bool writable)
{
	uint64_t *result = anon(SZ_4K);
	char *q = mm_mapped(set, SZ_64K, 1);
	int i;

	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, vsvm_load(p, 8, result), -EOPNOTSUPP,
				  p, DRM_VSVM_ACCESS_READ);
		vsvm_expect_fault(set, i, vsvm_copy(result, p, 8), -EOPNOTSUPP,
				  p, DRM_VSVM_ACCESS_READ);
		if (writable)
			vsvm_expect_fault(set, i, vsvm_store(p, 8, 0),
					  -EOPNOTSUPP, p, DRM_VSVM_ACCESS_WRITE);
	}
	igt_assert_eq_u64(*result, 0);
	mm_all_agree(set, q, SZ_64K, 1);
	munmap(q, SZ_64K);
	munmap(result, SZ_4K);
}

/* The start of a mapping by its name in maps. */
static char *named(const char *name)
{
	unsigned long start = 0;
	char line[512];
	FILE *f;

	f = fopen("/proc/self/maps", "r");
	igt_assert(f);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, name)) {
			start = strtoul(line, NULL, 16);
			break;
		}
	fclose(f);
	return (char *)start;
}

/* Addresses that have no memory behind them that could be shared. */
static void test_vclock(struct vsvm_set *set)
{
	char *p = named("[vvar_vclock]");

	igt_require_f(p, "no [vvar_vclock]\n");
	refused(set, p, false);
}

/* The kernel's data for the clock, in pages like any other: for reading only. */
static void test_vvar(struct vsvm_set *set)
{
	char *p = named("[vvar]");
	int i;

	igt_require_f(p, "no [vvar]\n");
	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_store(p, 8, 0), -EACCES, p,
				  DRM_VSVM_ACCESS_WRITE);
}

/* Code for the process that the kernel keeps: memory like any other. */
static void test_vdso(struct vsvm_set *set)
{
	char *p = named("[vdso]");
	int i;

	igt_require_f(p, "no [vdso]\n");
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p), *(uint64_t *)p);
}

/* None is read, so none can be harmed. */
static void test_pci_bar(struct vsvm_set *set)
{
	char *p = mm_registers(NULL);

	refused(set, p, true);
	munmap(p, SZ_4K);
}

/* Registers next to memory, in the 2 MiB that GPUs map at once. */
static void test_beside(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M), *q = p + SZ_64K;

	pattern_fill(p, SZ_64K, 2);
	mm_all_agree(set, p, SZ_64K, 2);
	igt_assert(mm_registers(q) == q);
	refused(set, q, true);
	mm_all_check(set, p, SZ_64K, 2);
	pattern_fill(q + SZ_4K, SZ_64K, 3);
	mm_all_check(set, q + SZ_4K, SZ_64K, 3);
	igt_assert(!munmap(q, SZ_4K));
	mm_all_fault(set, q, -EFAULT);
	mm_all_agree(set, p, SZ_64K, 2);
	munmap(p, SZ_2M);
}

static volatile sig_atomic_t broken_at, broken_code;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	broken_code = info->si_code;
	broken_at = to_u64(info->si_addr) / SZ_4K;
}

/* The process that breaks its page is told at once. */
static void break_page(char *p)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO,
	}, old;
	int err;

	broken_code = 0;
	igt_assert(!sigaction(SIGBUS, &action, &old));
	err = madvise(p, SZ_4K, MADV_HWPOISON) ? errno : 0;
	igt_assert(!sigaction(SIGBUS, &old, NULL));
	igt_require_f(err != EINVAL, "no MADV_HWPOISON\n");
	igt_assert_eq(err, 0);
	igt_assert_eq(broken_code, BUS_MCEERR_AR);
	igt_assert_eq(broken_at, (sig_atomic_t)(to_u64(p) / SZ_4K));
}

/*
 * A page breaks while all GPUs have it: it is gone, with an error for jobs, its
 * neighbours in the same range stay. The page is lost until the next boot.
 */
static void broken(struct vsvm_set *set, char *p, size_t at, size_t len)
{
	int i;

	break_page(p + at);
	mm_all_fault(set, p + at, -EFAULT);
	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_store(p + at, 8, 0), -EFAULT,
				  p + at, DRM_VSVM_ACCESS_WRITE);
	if (at) {
		pattern_fill(p, at, 5);
		mm_all_agree(set, p, at, 5);
	}
	pattern_fill(p + at + SZ_4K, len - at - SZ_4K, 6);
	mm_all_agree(set, p + at + SZ_4K, len - at - SZ_4K, 6);
	/* Other memory in its place is good. */
	igt_assert(mmap(p + at, SZ_4K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		   p + at);
	pattern_fill(p + at, SZ_4K, 7);
	mm_all_agree(set, p + at, SZ_4K, 7);
	munmap(p, len);
}

static void test_hwpoison(struct vsvm_set *set)
{
	broken(set, mm_mapped(set, SZ_64K, 4), 5 * SZ_4K, SZ_64K);
}

static void test_hwpoison_huge(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(!madvise(p, SZ_2M, MADV_HUGEPAGE), "no huge pages\n");
	memset(p, 1, SZ_2M);
	igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
	vsvm_gpu_write(set, set->n - 1, p, SZ_64K, 4);
	mm_all_check(set, p, SZ_64K, 4);
	broken(set, p, 5 * SZ_4K, SZ_64K);
	munmap(p + SZ_64K, SZ_2M - SZ_64K);
}

igt_main
{
	each("vclock", "the kernel's windows to clocks", MSVM_AND_1TO1,
	     test_vclock);
	each("vvar", "the kernel's data for its clock", MSVM_ONLY, test_vvar);
	each("vdso", "the kernel's code in a process", MSVM_ONLY, test_vdso);
	each("pci-bar", "registers of another device", MSVM_AND_1TO1,
	     test_pci_bar);
	each("beside", "registers in the middle of memory", MSVM_AND_1TO1,
	     test_beside);
	each("hwpoison", "a page that breaks", MSVM_AND_1TO1, test_hwpoison);
	each("hwpoison-huge", "a page in a huge page breaks", MSVM_ONLY,
	     test_hwpoison_huge);
}
