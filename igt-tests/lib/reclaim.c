// SPDX-License-Identifier: MIT
/*
 * What makes the kernel take memory back: swap space in compressed memory, and
 * memory cgroups. See mm.h. All of it can be called again after a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include <linux/loop.h>

#include "igt_compat.h"
#include "mm.h"

#define ZRAM "/sys/block/zram0/"
#define LOOP "/dev/loop0"
#define SWAP_SIZE (256UL << 20)
#define CGROUP "/sys/fs/cgroup/"

static bool swap_header(int fd)
{
	static union {
		char bytes[SZ_4K];
		uint32_t words[SZ_4K / 4];
	} page;

	memset(&page, 0, sizeof(page));
	/* version, last_page, nr_badpages; see union swap_header. */
	page.words[256] = 1;
	page.words[257] = SWAP_SIZE / SZ_4K - 1;
	memcpy(page.bytes + SZ_4K - 10, "SWAPSPACE2", 10);
	return pwrite(fd, &page, SZ_4K, 0) == (ssize_t)SZ_4K && !fsync(fd);
}

static bool swap_on(const char *device)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = swap_header(fd);
	close(fd);
	return ok && !swapon(device, 0);
}

/* Have swap space. Return: false if the kernel can't. */
bool swap_start(void)
{
	char size[32];

	swap_stop();
	if (access(ZRAM, F_OK) && system("modprobe -q zram"))
		return false;
	snprintf(size, sizeof(size), "%lu", SWAP_SIZE);
	return file_write(ZRAM "disksize", size) && swap_on("/dev/zram0");
}

/*
 * Swap space whose copy of a page is kept when the page is read back: compressed
 * memory is no such space, but a loop device over a file is.
 */
bool swap_start_cached(void)
{
	char path[] = "/tmp/msvm-XXXXXX";
	int file, loop;
	bool ok;

	swap_stop();
	if (access(LOOP, F_OK) && system("modprobe -q loop"))
		return false;
	file = mkstemp(path);
	loop = open(LOOP, O_RDWR | O_CLOEXEC);
	unlink(path);
	ok = file >= 0 && loop >= 0 && !ftruncate(file, SWAP_SIZE) &&
	     !ioctl(loop, LOOP_SET_FD, file) && swap_on(LOOP);
	close(file);
	close(loop);
	return ok;
}

void swap_stop(void)
{
	int loop;

	if (!access(ZRAM, F_OK)) {
		swapoff("/dev/zram0");
		file_write(ZRAM "reset", "1");
	}
	loop = open(LOOP, O_RDWR | O_CLOEXEC);
	if (loop >= 0) {
		swapoff(LOOP);
		ioctl(loop, LOOP_CLR_FD, 0);
		close(loop);
	}
}

static const char *memcg_path(const char *name, const char *file)
{
	static char path[128];

	snprintf(path, sizeof(path), CGROUP "%s/%s", name, file);
	return path;
}

/* A new memory cgroup. Return: false if the kernel has none. */
bool memcg_make(const char *name)
{
	memcg_remove(name);
	file_write(CGROUP "cgroup.subtree_control", "+memory");
	return !mkdir(memcg_path(name, ""), 0755) &&
	       !access(memcg_path(name, "memory.max"), W_OK);
}

bool memcg_set(const char *name, const char *file, const char *value)
{
	return file_write(memcg_path(name, file), value);
}

/* The number in a file of the cgroup, or of the line "@key number" in it. */
long memcg_get(const char *name, const char *file, const char *key)
{
	return key ? file_value(memcg_path(name, file), key) :
		     file_number(memcg_path(name, file));
}

/* Put the calling process there; memory it touches from now on counts. */
bool memcg_enter(const char *name)
{
	return memcg_set(name, "cgroup.procs", "0");
}

/* End what is in there, wait for it to be gone, and remove the cgroup. */
void memcg_remove(const char *name)
{
	int64_t deadline = vsvm_deadline(20);

	if (access(memcg_path(name, ""), F_OK))
		return;
	memcg_set(name, "cgroup.kill", "1");
	while (rmdir(memcg_path(name, "")) && vsvm_now() < deadline)
		igt_assert_eq(errno, EBUSY);
}
