// SPDX-License-Identifier: MIT
/*
 * Files that are memory themselves (FS-DAX): their pages belong to a device and
 * are refused; a private copy of such a page is memory like any other. Needs
 * persistent memory, which memmap=64M!1G on the kernel's command line makes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define DEVICE "/dev/pmem0"
#define MOUNT "/tmp/msvm-dax"

static void disk_stop(void)
{
	umount2(MOUNT, MNT_DETACH);
}

static int disk_file(void)
{
	int64_t deadline = vsvm_deadline(10);
	int fd;

	disk_stop();
	if (access(DEVICE, F_OK) && !system("modprobe -q -a nd_e820 nd_pmem"))
		while (access("/sys/class/block/pmem0", F_OK) &&
		       vsvm_now() < deadline)
			;
	igt_require_f(!access(DEVICE, F_OK),
		      "no persistent memory, boot with memmap=64M!1G\n");
	mkdir(MOUNT, 0755);
	if (system("modprobe -q ext4"))
		igt_info("ext4 is not a module, or not there\n");
	igt_assert(!system("mke2fs -b 4096 -F " DEVICE " >/dev/null"));
	igt_require_f(!mount(DEVICE, MOUNT, "ext4", 0, "dax"),
		      "no ext4 with DAX\n");
	fd = open(MOUNT "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	return fd;
}

static void refused(struct vsvm_set *set, char *p, uint64_t *result)
{
	int i;

	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, vsvm_load(p, 8, result), -EOPNOTSUPP,
				  p, DRM_VSVM_ACCESS_READ);
		vsvm_expect_fault(set, i, vsvm_store(p, 8, 0), -EOPNOTSUPP, p,
				  DRM_VSVM_ACCESS_WRITE);
	}
	igt_assert_eq_u64(*result, 0);
}

static void test_shared(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t *result = anon(SZ_4K);
	int fd = disk_file();

	igt_assert(mmap(p, SZ_64K, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, fd, 0) == p);
	/* A hole of the file would read as the zero page, which is no device's. */
	pattern_fill(p, SZ_64K, 1);
	refused(set, p, result);
	pattern_check(p, SZ_64K, 1);
	/* What is next to it works. */
	pattern_fill(p + SZ_64K, SZ_64K, 2);
	mm_all_agree(set, p + SZ_64K, SZ_64K, 2);
	munmap(p, SZ_2M);
	munmap(result, SZ_4K);
	close(fd);
	disk_stop();
}

static void test_private(struct vsvm_set *set)
{
	uint64_t *result = anon(SZ_4K);
	int fd = disk_file(), i;
	char *p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	igt_assert(p != MAP_FAILED);
	igt_assert(pwrite(fd, "file", 4, 0) == 4);
	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_load(p, 8, result), -EOPNOTSUPP,
				  p, DRM_VSVM_ACCESS_READ);
	/* A copy of its own, by the CPU. */
	pattern_fill(p, SZ_64K, 3);
	mm_all_agree(set, p, SZ_64K, 3);
	igt_assert(pread(fd, result, 4, 0) == 4);
	igt_assert(!memcmp(result, "file", 4));
	munmap(p, SZ_64K);
	munmap(result, SZ_4K);
	close(fd);
	disk_stop();
}

igt_main
{
	each("shared", "pages of the device are refused", MSVM_AND_1TO1,
	     test_shared);
	each("private", "copies of them are not", MSVM_ONLY, test_private);

	igt_fixture {
		disk_stop();
	}
}
