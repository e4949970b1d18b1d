// SPDX-License-Identifier: MIT
/*
 * What the GPUs and the CPU must agree on, and where the kernel has a page at the
 * moment; see mm.h.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "igt_compat.h"
#include "mm.h"

#define PAGEMAP_PRESENT	(1ULL << 63)
#define PAGEMAP_SWAPPED	(1ULL << 62)
#define PAGEMAP_FRAME	((1ULL << 55) - 1)

void mm_all_check(struct vsvm_set *set, const void *p, size_t len,
		  uint64_t seed)
{
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, len, seed);
}

/*
 * The memory is the pattern of @seed for all; then each GPU, and last the CPU,
 * writes another one that all the others see. The pattern at the end is that of
 * @seed again.
 */
void mm_all_agree(struct vsvm_set *set, void *p, size_t len, uint64_t seed)
{
	int i;

	pattern_check(p, len, seed);
	mm_all_check(set, p, len, seed);
	for (i = 0; i < set->n; i++) {
		vsvm_gpu_write(set, i, p, len, seed + 1000 + i);
		pattern_check(p, len, seed + 1000 + i);
		mm_all_check(set, p, len, seed + 1000 + i);
	}
	pattern_fill(p, len, seed);
	mm_all_check(set, p, len, seed);
}

/* Anonymous memory that every GPU has mapped, and has written to. */
char *mm_mapped(struct vsvm_set *set, size_t len, uint64_t seed)
{
	char *p = anon_aligned(len, SZ_2M);
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, len, seed);
	mm_all_check(set, p, len, seed);
	return p;
}

/* The same for a file, mapped shared at its start. */
char *mm_shared(struct vsvm_set *set, int fd, size_t len, uint64_t seed)
{
	char *p = anon_aligned(len, SZ_2M);
	int i;

	igt_assert(mmap(p, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			fd, 0) == p);
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, p, len, seed);
	mm_all_check(set, p, len, seed);
	return p;
}

/* Reads by all GPUs fail, and nothing is read through a stale mapping. */
void mm_all_fault(struct vsvm_set *set, char *p, int status)
{
	uint64_t *result = anon(SZ_4K);
	int i;

	for (i = 0; i < set->n; i++)
		vsvm_expect_fault(set, i, vsvm_load(p + 8 * i, 8, result),
				  status, p + 8 * i, DRM_VSVM_ACCESS_READ);
	igt_assert_eq_u64(*result, 0);
	munmap(result, SZ_4K);
}

void mm_all_zero(struct vsvm_set *set, const char *p, size_t len)
{
	uint64_t *sum = anon(SZ_4K);
	size_t k;
	int i;

	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_sum(sum, p, len);

		*sum = 0;
		vsvm_run(set, i, &cmd, 1);
		igt_assert_eq_u64(*sum, 0);
	}
	for (k = 0; k < len; k++)
		igt_assert_f(!p[k], "byte %#zx is %#x\n", k, p[k]);
	munmap(sum, SZ_4K);
}

static uint64_t pagemap(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	igt_assert(fd >= 0);
	igt_assert(pread(fd, &entry, 8, to_u64(p) / SZ_4K * 8) == 8);
	close(fd);
	return entry;
}

static size_t pagemap_count(const void *p, size_t len, uint64_t flag)
{
	size_t count = 0, i;

	for (i = 0; i < len; i += SZ_4K)
		count += !!(pagemap((const char *)p + i) & flag);
	return count;
}

/* Pages of the interval that the CPU's page table has in memory. */
size_t mm_present(const void *p, size_t len)
{
	return pagemap_count(p, len, PAGEMAP_PRESENT);
}

size_t mm_swapped(const void *p, size_t len)
{
	return pagemap_count(p, len, PAGEMAP_SWAPPED);
}

/* The physical page at an address, 0 if there is none. */
uint64_t mm_frame(const void *p)
{
	uint64_t entry = pagemap(p);

	return entry & PAGEMAP_PRESENT ? entry & PAGEMAP_FRAME : 0;
}

/* A figure in kB of the mapping that holds an address, from its smaps. */
long mm_smaps(const void *p, const char *name)
{
	unsigned long start, end;
	bool inside = false;
	size_t len = strlen(name);
	char line[512];
	long ret = -1;
	FILE *f;

	f = fopen("/proc/self/smaps", "r");
	igt_assert(f);
	while (ret < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = to_u64(p) >= start && to_u64(p) < end;
		else if (inside && !strncmp(line, name, len) &&
			 line[len] == ':')
			ret = strtol(line + len + 1, NULL, 10);
	}
	fclose(f);
	return ret;
}

/* Have every CPU put pages in its hands on the lists of reclaim. */
void mm_drain(void)
{
	igt_assert(file_write("/proc/sys/vm/drop_caches", "1"));
}

/*
 * Reclaim an interval; a page that is just in use elsewhere is tried again. Pages
 * that another CPU has not yet put on the lists of reclaim are waited for.
 */
bool mm_pageout(void *p, size_t len)
{
	int64_t deadline = vsvm_deadline(10);

	do {
		mm_drain();
		if (madvise(p, len, MADV_PAGEOUT))
			return false;
		if (!mm_present(p, len))
			return true;
	} while (vsvm_now() < deadline);
	return false;
}

bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

bool file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, buf, size - 1);
	close(fd);
	if (len < 0)
		return false;
	buf[len] = 0;
	return true;
}

/* The number in a file, -1 if there is none. */
long file_number(const char *path)
{
	char buf[64], *end;
	long ret;

	if (!file_read(path, buf, sizeof(buf)))
		return -1;
	ret = strtol(buf, &end, 10);
	return end == buf ? -1 : ret;
}

/* The number after a key at the start of a line, -1 if there is none. */
long file_value(const char *path, const char *key)
{
	size_t len = strlen(key);
	char line[256];
	long ret = -1;
	FILE *f;

	f = fopen(path, "r");
	if (!f)
		return -1;
	while (ret < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len) && strchr(": \t", line[len]))
			ret = strtol(line + len + 1, NULL, 10);
	fclose(f);
	return ret;
}

/* Map registers of some device: at an address, or anywhere for NULL. */
char *mm_registers(char *at)
{
	char *p = MAP_FAILED;
	glob_t found;
	size_t i;
	int fd;

	igt_require_f(!glob("/sys/bus/pci/devices/*/resource[0-9]", 0, NULL,
			    &found), "no PCI device with registers\n");
	for (i = 0; i < found.gl_pathc && p == MAP_FAILED; i++) {
		fd = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		/* Ports cannot be mapped. */
		p = mmap(at, SZ_4K, PROT_READ | PROT_WRITE,
			 MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
		close(fd);
	}
	globfree(&found);
	igt_require_f(p != MAP_FAILED, "no registers that can be mapped\n");
	return p;
}
