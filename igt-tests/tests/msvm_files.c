// SPDX-License-Identifier: MIT
/*
 * Files under the memory that GPUs have mapped: they shrink, grow, get holes and
 * are written to by others; what GPUs write is in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/falloc.h>

#include "../lib/each.h"
#include "../lib/mm.h"

static int file_of(size_t len)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);

	igt_assert(fd >= 0 && !ftruncate(fd, len));
	return fd;
}

/* Down, up: what was cut off is gone for all, what is new is empty. */
static void test_truncate(struct vsvm_set *set)
{
	int fd = file_of(2 * SZ_64K), round;
	char *p = mm_shared(set, fd, 2 * SZ_64K, 1);

	for (round = 0; round < 3; round++) {
		pattern_fill(p, 2 * SZ_64K, 2 + round);
		mm_all_check(set, p, 2 * SZ_64K, 2 + round);
		igt_assert(!ftruncate(fd, SZ_64K));
		mm_all_fault(set, p + SZ_64K, -EFAULT);
		mm_all_fault(set, p + 2 * SZ_64K - SZ_4K, -EFAULT);
		mm_all_check(set, p, SZ_64K, 2 + round);
		igt_assert(!ftruncate(fd, 2 * SZ_64K));
		mm_all_zero(set, p + SZ_64K, SZ_64K);
		pattern_fill(p + SZ_64K, SZ_64K, 3);
		mm_all_agree(set, p + SZ_64K, SZ_64K, 3);
	}
	munmap(p, 2 * SZ_64K);
	close(fd);
}

/* In the middle of a page: the kernel clears the rest of it. */
static void test_truncate_within(struct vsvm_set *set)
{
	int fd = file_of(SZ_64K);
	char *p = mm_shared(set, fd, SZ_64K, 4);

	igt_assert(!ftruncate(fd, SZ_4K + 100));
	mm_all_check(set, p, SZ_4K + 100, 4);
	mm_all_zero(set, p + SZ_4K + 100, SZ_4K - 100);
	mm_all_fault(set, p + 2 * SZ_4K, -EFAULT);
	igt_assert(!ftruncate(fd, SZ_64K));
	mm_all_check(set, p, SZ_4K + 100, 4);
	mm_all_zero(set, p + SZ_4K + 100, SZ_64K - SZ_4K - 100);
	munmap(p, SZ_64K);
	close(fd);
}

/* A private mapping loses its own copies too. */
static void test_truncate_private(struct vsvm_set *set)
{
	int fd = file_of(SZ_64K), i;
	char *p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	igt_assert(p != MAP_FAILED);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, SZ_64K, 5);
	mm_all_check(set, p, SZ_64K, 5);
	igt_assert(!ftruncate(fd, SZ_4K));
	mm_all_fault(set, p + SZ_4K, -EFAULT);
	mm_all_check(set, p, SZ_4K, 5);
	igt_assert(!ftruncate(fd, SZ_64K));
	mm_all_zero(set, p + SZ_4K, SZ_64K - SZ_4K);
	munmap(p, SZ_64K);
	close(fd);
}

static void test_punch_hole(struct vsvm_set *set)
{
	int fd = file_of(3 * SZ_64K);
	char *p = mm_shared(set, fd, 3 * SZ_64K, 6);

	igt_assert(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      SZ_64K, SZ_64K));
	igt_assert_eq_u64(mm_present(p + SZ_64K, SZ_64K), 0);
	mm_all_zero(set, p + SZ_64K, SZ_64K);
	mm_all_check(set, p, SZ_64K, 6);
	pattern_fill(p + SZ_64K, SZ_64K, 7);
	mm_all_agree(set, p + SZ_64K, SZ_64K, 7);
	munmap(p, 3 * SZ_64K);
	close(fd);
}

/* read() and write() of the file, and msync(). */
static void share_file(struct vsvm_set *set, int fd)
{
	char *p = mm_shared(set, fd, SZ_64K, 8), *buf = malloc(SZ_64K);
	int i;

	igt_assert(buf);
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_write(set, i, p, SZ_64K, 10 + i);
		igt_assert(pread(fd, buf, SZ_64K, 0) == (ssize_t)SZ_64K);
		pattern_check(buf, SZ_64K, 10 + i);
		igt_assert(!msync(p, SZ_64K, MS_SYNC));
		igt_assert(!fsync(fd));

		pattern_fill(buf, SZ_64K, 20 + i);
		igt_assert(pwrite(fd, buf, SZ_64K, 0) == (ssize_t)SZ_64K);
		mm_all_check(set, p, SZ_64K, 20 + i);
		/* Clean now, and for the CPU read-only; GPUs go on. */
		igt_assert(!msync(p, SZ_64K, MS_SYNC));
		vsvm_gpu_write(set, i, p, SZ_64K, 30 + i);
		mm_all_check(set, p, SZ_64K, 30 + i);
	}
	mm_all_agree(set, p, SZ_64K, 29 + set->n);
	free(buf);
	munmap(p, SZ_64K);
}

static void test_msync(struct vsvm_set *set)
{
	int fd = file_of(SZ_64K);

	share_file(set, fd);
	close(fd);
}

/*
 * A file system that writes back and takes pages for clean then: ext4 on a loop
 * device. What GPUs wrote must be there when it is mounted again.
 */
#define DISK "/tmp/msvm-files.img"
#define MOUNT "/tmp/msvm-files"

static void disk_stop(void)
{
	if (system("umount " MOUNT " 2>/dev/null; losetup -D; rm -f " DISK))
		return;
}

static void remount(void)
{
	igt_assert(!system("umount " MOUNT " && mount -t ext4 -o loop " DISK " "
			   MOUNT));
}

static void disk_start(void)
{
	disk_stop();
	mkdir(MOUNT, 0755);
	if (system("modprobe -q -a loop ext4"))
		igt_info("not modules, or not there\n");
	igt_assert(!system("truncate -s 16M " DISK));
	igt_assert(!system("mke2fs -b 4096 -F " DISK " >/dev/null"));
	igt_require_f(!system("mount -t ext4 -o loop " DISK " " MOUNT),
		      "no ext4\n");
}

static void test_writeback(struct vsvm_set *set)
{
	int fd, round;
	char *p, *buf = malloc(SZ_64K);

	igt_assert(buf);
	disk_start();
	fd = open(MOUNT "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	share_file(set, fd);
	p = mm_shared(set, fd, SZ_64K, 40);
	for (round = 0; round < 3; round++) {
		/* Written back: clean, and each GPU's next write must show. */
		igt_assert(!fsync(fd));
		mm_all_check(set, p, SZ_64K, 40 + round);
		vsvm_gpu_write(set, round % set->n, p, SZ_64K, 41 + round);
	}
	igt_assert(!fsync(fd));
	vsvm_gpu_write(set, set->n - 1, p, SZ_64K, 50);
	munmap(p, SZ_64K);
	close(fd);
	remount();
	fd = open(MOUNT "/file", O_RDWR | O_CLOEXEC);
	igt_assert(fd >= 0);
	igt_assert(read(fd, buf, SZ_64K) == (ssize_t)SZ_64K);
	pattern_check(buf, SZ_64K, 50);
	close(fd);
	disk_stop();
	free(buf);
}

igt_main
{
	each("truncate", "a file shrinks and grows", MSVM_AND_1TO1,
	     test_truncate);
	each("truncate-within", "a file ends within a page", MSVM_ONLY,
	     test_truncate_within);
	each("truncate-private", "a private mapping of a file that shrinks",
	     MSVM_ONLY, test_truncate_private);
	each("punch-hole", "a hole in a file", MSVM_ONLY, test_punch_hole);
	each("msync", "read(), write() and msync()", MSVM_ONLY, test_msync);
	each("writeback", "a file system that writes back", MSVM_AND_1TO1,
	     test_writeback);

	igt_fixture {
		disk_stop();
	}
}
