// SPDX-License-Identifier: MIT
/*
 * A real bus master, QEMU's edu function, in the address space: it moves data through
 * what the library mapped for it, and once that is unmapped the IOMMU refuses the
 * address, whatever the device does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define PCI	"/sys/bus/pci/devices"
#define SECRET	0x5ec2e75ec2e75ec2ULL
#define POISON	0xeeeeeeeeeeeeeeeeULL

static char function[64];

/* GPU 0 is the edu function, the others are what the guest has. */
static struct vsvm_set set;

static uint64_t edu_value(const char *name)
{
	char path[96];

	/* It is given below the library's own folder. */
	snprintf(path, sizeof(path), "../dri/%d/edu", gpu_minor(set.fd[0]));
	return debugfs_value(path, name);
}

static void edu_by_hand(const char *verb, uint64_t addr, uint64_t value)
{
	char path[96], text[64];

	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%d/edu",
		 gpu_minor(set.fd[0]));
	if (!strcmp(verb, "read"))
		snprintf(text, sizeof(text), "read %#" PRIx64, addr);
	else
		snprintf(text, sizeof(text), "write %#" PRIx64 " %#" PRIx64,
			 addr, value);
	igt_assert_f(file_write(path, text), "%s: %s\n", text, strerror(errno));
}

/* Its next transfer is taken for one that does not end. */
static void edu_hang(void)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%d/edu",
		 gpu_minor(set.fd[0]));
	igt_assert(file_write(path, "hang"));
}

static bool pci_is_edu(const char *name)
{
	char path[320], id[16];

	snprintf(path, sizeof(path), PCI "/%s/vendor", name);
	if (!file_read(path, id, sizeof(id)) || strncmp(id, "0x1234", 6))
		return false;
	snprintf(path, sizeof(path), PCI "/%s/device", name);
	return file_read(path, id, sizeof(id)) && !strncmp(id, "0x11e8", 6);
}

static bool edu_find(void)
{
	struct dirent *entry;
	DIR *dir = opendir(PCI);
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		found = pci_is_edu(entry->d_name);
		if (found)
			snprintf(function, sizeof(function), "%.60s",
				 entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void edu_unbind(void)
{
	char path[160];

	vsvm_set_close(&set);
	snprintf(path, sizeof(path), PCI "/%s/driver/unbind", function);
	if (!access(path, F_OK))
		file_write(path, function);
	snprintf(path, sizeof(path), PCI "/%s/driver_override", function);
	file_write(path, "\n");
}

/* Open the GPU of the function: the driver takes it only when told. */
static int edu_open(void)
{
	int64_t deadline = vsvm_deadline(10);
	char path[160], name[64];
	int i, fd;

	snprintf(path, sizeof(path), PCI "/%s/driver", function);
	igt_assert(access(path, F_OK));
	snprintf(path, sizeof(path), PCI "/%s/driver_override", function);
	igt_assert(file_write(path, "vsvm-edu"));
	igt_assert(file_write("/sys/bus/pci/drivers_probe", function));
	for (;;) {
		for (i = 0; (fd = vsvm_open(i)) >= 0; i++) {
			gpu_pci_name(fd, name, sizeof(name));
			if (!strcmp(name, function))
				return fd;
			close(fd);
		}
		igt_assert(vsvm_now() < deadline);
		usleep(1000);
	}
}

static void setup(int gpus)
{
	int i, fd[VSVM_MAX_SET];

	igt_require_f(edu_find(), "no edu function\n");
	edu_unbind();
	vsvm_placement("system");
	igt_require_f(vsvm_count() >= gpus, "%d virtual GPUs are needed\n", gpus);
	for (i = 0; i < gpus; i++)
		fd[i] = vsvm_open(i);
	set.fd[0] = edu_open();
	memcpy(set.fd + 1, fd, gpus * sizeof(*fd));
	for (i = 0; i <= gpus; i++) {
		set.vm[i] = vsvm_vm_create(set.fd[i], DRM_VSVM_VM_LAYOUT_MSVM);
		set.n = i + 1;
	}
}

static void cleanup(void)
{
	vsvm_set_check(&set);
	edu_unbind();
}

static void edu_copy(void *dst, const void *src, size_t len)
{
	struct drm_vsvm_cmd cmd = vsvm_copy(dst, src, len);

	vsvm_run(&set, 0, &cmd, 1);
}

/* Both directions, with the CPU and a GPU at the other end. */
static void transfers(void)
{
	char *p = anon_aligned(4 * SZ_4K, SZ_2M);
	int gpu = set.n - 1;

	pattern_fill(p, SZ_4K, 1);
	edu_copy(p + SZ_4K, p, SZ_4K);
	pattern_check(p + SZ_4K, SZ_4K, 1);
	/* Across pages, and to where nothing is yet. */
	edu_copy(p + 2 * SZ_4K + 100, p + SZ_4K - 0, 3000);
	igt_assert(!memcmp(p + 2 * SZ_4K + 100, p + SZ_4K, 3000));
	if (gpu) {
		vsvm_gpu_write(&set, gpu, p, SZ_4K, 2);
		edu_copy(p + 3 * SZ_4K, p, SZ_4K);
		vsvm_gpu_check(&set, gpu, p + 3 * SZ_4K, SZ_4K, 2);
	}
	munmap(p, 4 * SZ_4K);
}

/* What it can't do is refused, and what is not there. */
static void refused(void)
{
	char *p = anon(2 * SZ_4K);
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 1);

	igt_assert_eq(vsvm_try(&set, 0, &cmd, 1).status, -EOPNOTSUPP);
	cmd = vsvm_fill(p, 1, 8);
	igt_assert_eq(vsvm_try(&set, 0, &cmd, 1).status, -EOPNOTSUPP);
	munmap(p + SZ_4K, SZ_4K);
	vsvm_expect_fault(&set, 0, vsvm_copy(p, p + SZ_4K, 64), -EFAULT,
			  p + SZ_4K, DRM_VSVM_ACCESS_READ);
	igt_assert(!mprotect(p, SZ_4K, PROT_READ));
	vsvm_expect_fault(&set, 0, vsvm_copy(p + 64, p, 64), -EACCES, p + 64,
			  DRM_VSVM_ACCESS_WRITE);
	munmap(p, SZ_4K);
}

/*
 * Does the machine have an IOMMU that translates, and drops entries at once? A lazy one
 * does so for what is unlinked before its address is freed (@unlinked).
 */
static bool iommu_forgets(bool unlinked)
{
	const char *topology = getenv("MSVM_PCI");

	return topology && (!strcmp(topology, "switch") ||
			    !strcmp(topology, "ports") ||
			    (unlinked && !strcmp(topology, "lazy")));
}

static int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	igt_assert(fd >= 0);
	lseek(fd, 0, SEEK_END);
	return fd;
}

/*
 * The kernel prints three reports of the IOMMU within five seconds, and drops the
 * rest: a test that waits for its two must have a period of its own.
 */
static void wait_for_room(void)
{
	static int64_t room;

	while (vsvm_now() < room)
		usleep(10000);
	room = vsvm_now() + 6000000000LL;
}

/*
 * Say what the IOMMU is about to report, so that it is not taken for an accident:
 * exactly this function, direction and address are let pass.
 */
static void expect_report(int kmsg, const char *verb, uint64_t addr, char *text,
			  size_t size)
{
	char line[192];

	snprintf(text, size, "[DMA %s NO_PASID] Request device [%s] fault addr %#"
		 PRIx64, verb, function, addr & ~(SZ_4K - 1));
	snprintf(line, sizeof(line), "msvm-test: expected: %s\n", text);
	igt_assert(write(kmsg, line, strlen(line)) == (ssize_t)strlen(line));
}

/* It comes by an interrupt. */
static void wait_report(int kmsg, const char *text)
{
	int64_t deadline = vsvm_deadline(20);
	char record[2048];
	ssize_t n;

	for (;;) {
		n = read(kmsg, record, sizeof(record) - 1);
		if (n > 0) {
			record[n] = 0;
			if (strstr(record, "DMAR: ") && strstr(record, text))
				return;
			continue;
		}
		igt_assert_f(vsvm_now() < deadline, "no report: %s\n", text);
		usleep(2000);
	}
}

/* The addresses are dead: reads do not get the data, writes do not get there. */
static void expect_dead(uint64_t src, uint64_t dst)
{
	char text[128];
	int kmsg = kmsg_open();

	wait_for_room();
	expect_report(kmsg, "Read", src, text, sizeof(text));
	edu_by_hand("read", src, 0);
	wait_report(kmsg, text);
	igt_assert(edu_value("value") != SECRET);
	expect_report(kmsg, "Write", dst, text, sizeof(text));
	edu_by_hand("write", dst, POISON);
	wait_report(kmsg, text);
	close(kmsg);
}

static void take_munmap(char *p)
{
	munmap(p, SZ_2M);
}

static void take_mprotect(char *p)
{
	igt_assert(!mprotect(p, SZ_2M, PROT_NONE));
}

static void take_migrate(char *p)
{
	if (vram_try_migrate(&set, 1, p, SZ_2M, 1))
		igt_require_f(false, "GPUs have no memory\n");
}

/*
 * A function whose transfer does not end is off the bus, and its jobs fail; what it had
 * mapped can go. Bound anew it works again.
 */
static void dead(void)
{
	char *p = anon_aligned(2 * SZ_4K, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_copy(p + SZ_4K, p, 64);

	pattern_fill(p, SZ_4K, 1);
	edu_copy(p + SZ_4K, p, SZ_4K);
	pattern_check(p + SZ_4K, SZ_4K, 1);
	edu_hang();
	pattern_fill(p, SZ_4K, 2);
	igt_assert_eq(vsvm_try(&set, 0, &cmd, 1).status, -EIO);
	igt_assert_eq(vsvm_try(&set, 0, &cmd, 1).status, -EIO);
	munmap(p, 2 * SZ_4K);
	cleanup();

	setup(0);
	transfers();
}

/*
 * Alive by hand first, so that dead afterwards means something; the same frames stay
 * with the process by another mapping, so that a write that went through shows.
 */
static void dead_after(void (*take)(char *p), bool shared)
{
	int fd = memfd_create("edu", MFD_CLOEXEC);
	uint64_t *other, src, dst;
	char *p;

	/* After a migration a lazy one was seen to report nothing. */
	igt_require_f(iommu_forgets(shared), "no IOMMU that forgets at once\n");
	igt_assert(fd >= 0 && !ftruncate(fd, SZ_2M));
	p = shared ? mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) :
		     anon_aligned(SZ_2M, SZ_2M);
	other = shared ? mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0) : (uint64_t *)p;
	igt_assert(p != MAP_FAILED && other != MAP_FAILED);
	other[0] = SECRET;
	edu_copy(p + SZ_4K, p, 8);
	src = edu_value("last_read");
	dst = edu_value("last_write");
	edu_by_hand("read", src, 0);
	igt_assert_eq_u64(edu_value("value"), SECRET);
	edu_by_hand("write", dst, 42);
	igt_assert_eq_u64(other[SZ_4K / 8], 42);

	take(p);
	expect_dead(src, dst);
	if (shared || take == take_migrate) {
		igt_assert_eq_u64(other[0], SECRET);
		igt_assert_eq_u64(other[SZ_4K / 8], 42);
	}
	if (take != take_munmap)
		munmap(p, SZ_2M);
	if (shared)
		munmap(other, SZ_2M);
	close(fd);
}

igt_main
{
	igt_describe("data goes both ways");
	igt_subtest("transfers") {
		setup(0);
		transfers();
		cleanup();
	}
	igt_describe("with a GPU at the other end");
	igt_subtest("transfers-gpu") {
		setup(1);
		transfers();
		cleanup();
	}
	igt_describe("what it can't do, and what is not there");
	igt_subtest("refused") {
		setup(0);
		refused();
		cleanup();
	}
	igt_describe("after munmap() the IOMMU refuses the address");
	igt_subtest("dead-after-munmap") {
		setup(0);
		dead_after(take_munmap, true);
		cleanup();
	}
	igt_describe("likewise, mprotect()");
	igt_subtest("dead-after-mprotect") {
		setup(0);
		dead_after(take_mprotect, true);
		cleanup();
	}
	igt_describe("likewise, the page moves to a GPU's memory");
	igt_subtest("dead-after-migration") {
		setup(1);
		dead_after(take_migrate, false);
		cleanup();
	}
	igt_describe("a transfer does not end");
	igt_subtest("dead") {
		setup(0);
		dead();
		cleanup();
	}
	igt_fixture {
		if (function[0])
			edu_unbind();
	}
}
