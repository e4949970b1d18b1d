// SPDX-License-Identifier: MIT
/*
 * memfd_secret() memory is in no address space but the process's own, not even
 * the kernel's: no device gets it. A program of its own, since a kernel that gets
 * this wrong does not live to run another test.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

static void test_secretmem(struct vsvm_set *set)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC), i;
	uint64_t *result = anon(SZ_4K);
	char *p;

	igt_require_f(fd >= 0, "no secret memory\n");
	igt_assert(!ftruncate(fd, SZ_4K));
	p = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(p != MAP_FAILED);
	memset(p, 0x5a, SZ_4K);
	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, vsvm_load(p, 8, result), -EOPNOTSUPP,
				  p, DRM_VSVM_ACCESS_READ);
		vsvm_expect_fault(set, i, vsvm_store(p, 8, 1), -EOPNOTSUPP, p,
				  DRM_VSVM_ACCESS_WRITE);
	}
	igt_assert_eq_u64(*result, 0);
	igt_assert_eq_u64(*(uint64_t *)p, 0x5a5a5a5a5a5a5a5aULL);
	munmap(p, SZ_4K);
	munmap(result, SZ_4K);
	close(fd);
}

igt_main
{
	each("secretmem", "secret memory is refused", MSVM_AND_1TO1,
	     test_secretmem);
}
