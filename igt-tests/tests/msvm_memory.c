// SPDX-License-Identifier: MIT
/*
 * Every kind of memory a process has: what the CPU writes all GPUs read, what a
 * GPU writes the CPU and all other GPUs read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"

/* Neither a multiple of a page nor of a word. */
#define ODD_SIZE (3 * SZ_64K + 1234 + 7)

static char static_buffer[ODD_SIZE] = { 1 };

/* Write by CPU and by each GPU in turn; everybody reads after each. */
static void share(struct vsvm_set *set, void *buf, size_t len)
{
	int writer, reader;

	pattern_fill(buf, len, 1);
	for (reader = 0; reader < set->n; reader++)
		vsvm_gpu_check(set, reader, buf, len, 1);

	for (writer = 0; writer < set->n; writer++) {
		vsvm_gpu_write(set, writer, buf, len, 10 + writer);
		pattern_check(buf, len, 10 + writer);
		for (reader = 0; reader < set->n; reader++)
			vsvm_gpu_check(set, reader, buf, len, 10 + writer);
	}

	pattern_fill(buf, len, 2);
	for (reader = 0; reader < set->n; reader++)
		vsvm_gpu_check(set, reader, buf, len, 2);
}

static void test_malloc(struct vsvm_set *set)
{
	char *p = malloc(ODD_SIZE + 3);

	igt_assert(p);
	share(set, p + 3, ODD_SIZE);
	free(p);
}

static void test_stack(struct vsvm_set *set)
{
	char buf[20000 + 7];

	share(set, buf, sizeof(buf));
}

static void test_static(struct vsvm_set *set)
{
	share(set, static_buffer, sizeof(static_buffer));
}

static int tmp_file(size_t len, uint64_t seed)
{
	char path[] = "/tmp/msvm-XXXXXX";
	char *buf = malloc(len);
	int fd = mkstemp(path);

	igt_assert(fd >= 0 && buf);
	unlink(path);
	pattern_fill(buf, len, seed);
	igt_assert(write(fd, buf, len) == (ssize_t)len);
	free(buf);
	return fd;
}

static void map_file(struct vsvm_set *set, int fd, size_t len, int flags)
{
	char *buf = malloc(len);
	void *p;
	int i;

	igt_assert(buf);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	igt_assert(p != MAP_FAILED);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, len, 77);
	share(set, p, len);

	/* Writes reach a file that is shared, and only such a one. */
	igt_assert(pread(fd, buf, len, 0) == (ssize_t)len);
	pattern_check(buf, len, flags & MAP_SHARED ? 2 : 77);
	munmap(p, len);
	free(buf);
	close(fd);
}

static void test_file_private(struct vsvm_set *set)
{
	map_file(set, tmp_file(ODD_SIZE, 77), ODD_SIZE, MAP_PRIVATE);
}

static void test_file_shared(struct vsvm_set *set)
{
	map_file(set, tmp_file(ODD_SIZE, 77), ODD_SIZE, MAP_SHARED);
}

static void test_memfd(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);
	char *a, *b;
	int i;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	a = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(a != MAP_FAILED && b != MAP_FAILED);
	share(set, a, SZ_64K);
	/* Two addresses of the same memory. */
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_write(set, i, a, SZ_64K, 30 + i);
		vsvm_gpu_check(set, (i + 1) % set->n, b, SZ_64K, 30 + i);
	}
	munmap(a, SZ_64K);
	munmap(b, SZ_64K);
	close(fd);
}

static void test_shared_anon(struct vsvm_set *set)
{
	void *p = mmap(NULL, ODD_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	igt_assert(p != MAP_FAILED);
	share(set, p, ODD_SIZE);
	munmap(p, ODD_SIZE);
}

static void test_hugetlb(struct vsvm_set *set)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
	void *p;

	if (fd >= 0) {
		igt_assert(write(fd, "2", 1) == 1);
		close(fd);
	}
	p = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	igt_require_f(p != MAP_FAILED, "no huge page to be had\n");
	share(set, p, SZ_64K);
	munmap(p, SZ_2M);
}

static void test_thp(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(!madvise(p, SZ_2M, MADV_HUGEPAGE), "no huge pages\n");
	memset(p, 1, SZ_2M);
	share(set, p + SZ_2M - SZ_64K - 5, SZ_64K + 5);
	munmap(p, SZ_2M);
}

/* Memory that no CPU touched is zero for every GPU. */
static void test_untouched(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_64K);
	int i;

	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_gpu_load(set, i, p + i), 0);
	munmap(p, SZ_64K);
}

static void test_read_only(struct vsvm_set *set)
{
	char *p = anon(SZ_64K);
	int i;

	pattern_fill(p, SZ_64K, 5);
	igt_assert(!mprotect(p, SZ_64K, PROT_READ));
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_check(set, i, p, SZ_64K, 5);
		vsvm_expect_fault(set, i, vsvm_store(p + 64, 8, 1), -EACCES,
				  p + 64, DRM_VSVM_ACCESS_WRITE);
	}
	pattern_check(p, SZ_64K, 5);
	munmap(p, SZ_64K);
}

/* Reading first and writing later: a mapping must become writable. */
static void test_read_then_write(struct vsvm_set *set)
{
	static char buf[SZ_64K];
	int fd = tmp_file(SZ_64K, 6), i;
	char *p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	igt_assert(p != MAP_FAILED);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, SZ_64K, 6);
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_write(set, i, p, SZ_64K, 40 + i);
		pattern_check(p, SZ_64K, 40 + i);
		vsvm_gpu_check(set, (i + 1) % set->n, p, SZ_64K, 40 + i);
	}
	/* The file has what it had: the writes were to private pages. */
	igt_assert(pread(fd, buf, SZ_64K, 0) == (ssize_t)SZ_64K);
	pattern_check(buf, SZ_64K, 6);
	munmap(p, SZ_64K);
	close(fd);
}

igt_main
{
	each("malloc", "malloc() memory, unaligned", MSVM_AND_1TO1, test_malloc);
	each("stack", "the stack", MSVM_ONLY, test_stack);
	each("static", "static variables", MSVM_ONLY, test_static);
	each("file-private", "a private mapping of a file", MSVM_AND_1TO1,
	     test_file_private);
	each("file-shared", "a shared mapping of a file", MSVM_AND_1TO1,
	     test_file_shared);
	each("memfd", "memfd memory at two addresses", MSVM_ONLY, test_memfd);
	each("shared-anon", "shared anonymous memory", MSVM_ONLY,
	     test_shared_anon);
	each("hugetlb", "hugetlb pages", MSVM_ONLY, test_hugetlb);
	each("thp", "transparent huge pages", MSVM_AND_1TO1, test_thp);
	each("untouched", "memory that nobody touched before", MSVM_ONLY,
	     test_untouched);
	each("read-only", "read-only memory can be read and not written",
	     MSVM_AND_1TO1, test_read_only);
	each("read-then-write", "a read mapping becomes a writable one",
	     MSVM_AND_1TO1, test_read_then_write);
}
