// SPDX-License-Identifier: MIT
/*
 * Devices in configfs: limits that evict and that come back with the device, devices
 * taken out of use, and directories made before the device or after it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/configfs.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define MIB (1UL << 20)
#define SIZE (8 * MIB)

static const char * const vram[] = { "vram_mib=8", NULL };
static const char * const peers[] = { "vram_mib=8", "peer_group=1", NULL };

/* The directory of the first GPU, and its files. */
static char device[64];

static const char *file(const char *name)
{
	return config_path(CFS "/devices/%s/%s", device, name);
}

static long number(const char *name)
{
	char text[64];

	config_get(file(name), text, sizeof(text));
	return atol(text);
}

static void fill(struct vsvm_set *set, char *p, size_t len, int value)
{
	struct drm_vsvm_cmd cmd = vsvm_fill(p, value, len);

	vsvm_run(set, 0, &cmd, 1);
}

static void holds(const char *p, size_t len, int value)
{
	size_t i;

	for (i = 0; i < len; i += 64)
		igt_assert_f(p[i] == value, "byte %#zx is %d\n", i, p[i]);
}

/* Likewise, without the CPU bringing anything back. */
static void gpu_holds(struct vsvm_set *set, const char *p, size_t len, int value)
{
	char *out = anon(len);
	struct drm_vsvm_cmd cmd = vsvm_copy(out, p, len);

	vsvm_run(set, 0, &cmd, 1);
	holds(out, len, value);
	munmap(out, len);
}

static void limit_set(unsigned long bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", bytes);
	config_put(file("svm_limit_bytes"), text);
}

/* Three times the weight of the others: 3 pieces of each round. */
static void weight(struct vsvm_set *set)
{
	size_t len = (set->n + 2) * SZ_2M, i;
	char *p = anon_aligned(len, SZ_2M);
	int gpu;

	igt_assert(vsvm_placement("interleave"));
	cfs_mkdir("devices", device);
	config_expect(file("weight"), "100");
	config_put(file("weight"), "300");
	for (i = 0; i < len; i += SZ_2M)
		fill(set, p + i, SZ_2M, 1);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vram_count(set, p, len, where_gpu(set, gpu)),
			      (gpu ? 1 : 3) * (SZ_2M / SZ_4K));
	holds(p, len, 1);
	vsvm_placement("first-touch");
	munmap(p, len);
}

static void limit(struct vsvm_set *set)
{
	char *p = anon_aligned(SIZE, SZ_2M);

	cfs_mkdir("devices", device);
	config_expect(file("present"), "1");
	fill(set, p, SIZE, 1);
	vram_expect(set, p, SIZE, where_gpu(set, 0));
	igt_assert_eq_u64(number("resident_bytes"), SIZE);
	/* What is above it goes before the write returns. */
	limit_set(4 * MIB);
	igt_assert(number("resident_bytes") <= (long)(4 * MIB));
	igt_assert(vram_info(set, 0).used <= 4 * MIB);
	igt_assert(vram_count(set, p, SIZE, WHERE_SYSTEM) >= 4 * MIB / SZ_4K);
	holds(p, SIZE, 1);
	fill(set, p, SIZE, 2);
	igt_assert(vram_info(set, 0).used <= 4 * MIB);
	/* More than there is means no limit. */
	limit_set(1UL << 40);
	config_expect(file("svm_limit_bytes"), "1099511627776");
	igt_assert_eq_u64(vram_info(set, 0).limit, vram_info(set, 0).size);
	/* Less than a page. */
	limit_set(1);
	igt_assert_eq_u64(vram_info(set, 0).used, 0);
	vram_expect(set, p, SIZE, WHERE_SYSTEM);
	fill(set, p, SIZE, 3);
	vram_expect(set, p, SIZE, WHERE_SYSTEM);
	holds(p, SIZE, 3);
	config_put(file("svm_limit_bytes"), "max");
	munmap(p, SIZE);
	p = anon_aligned(SIZE, SZ_2M);
	fill(set, p, SIZE, 4);
	vram_expect(set, p, SIZE, where_gpu(set, 0));
	holds(p, SIZE, 4);
	munmap(p, SIZE);
}

/* The driver's limit and the administrator's: the lower one counts. */
static void two_limits(struct vsvm_set *set)
{
	cfs_mkdir("devices", device);
	limit_set(4 * MIB);
	gpu_debugfs_write(set->fd[0], "vram_limit_mib", 6);
	igt_assert_eq_u64(vram_info(set, 0).limit, 4 * MIB);
	gpu_debugfs_write(set->fd[0], "vram_limit_mib", 2);
	igt_assert_eq_u64(vram_info(set, 0).limit, 2 * MIB);
	limit_set(SIZE);
	igt_assert_eq_u64(vram_info(set, 0).limit, 2 * MIB);
	limit_set(MIB);
	gpu_debugfs_write(set->fd[0], "vram_limit_mib", 0);
	igt_assert_eq_u64(vram_info(set, 0).limit, MIB);
	config_put(file("enabled"), "0");
	igt_assert_eq_u64(vram_info(set, 0).limit, 0);
	gpu_debugfs_write(set->fd[0], "vram_limit_mib", 8);
	igt_assert_eq_u64(vram_info(set, 0).limit, 0);
	config_put(file("enabled"), "1");
	igt_assert_eq_u64(vram_info(set, 0).limit, MIB);
	/* Nothing is said any more. */
	cfs_rmdir("devices", device);
	igt_assert_eq_u64(vram_info(set, 0).limit, SIZE);
}

static void enabled(struct vsvm_set *set)
{
	char *p = anon_aligned(SIZE, SZ_2M), *q = anon_aligned(SZ_2M, SZ_2M);

	cfs_mkdir("devices", device);
	fill(set, p, SIZE, 1);
	vram_expect(set, p, SIZE, where_gpu(set, 0));
	config_put(file("enabled"), "0");
	config_expect(file("resident_bytes"), "0");
	vram_expect(set, p, SIZE, WHERE_SYSTEM);
	gpu_holds(set, p, SIZE, 1);
	vram_expect(set, p, SIZE, WHERE_SYSTEM);
	fill(set, q, SZ_2M, 2);
	vram_expect(set, q, SZ_2M, WHERE_SYSTEM);
	/* Nor by request. */
	igt_assert(vram_try_migrate(set, 0, q, SZ_2M, 0));
	vram_expect(set, q, SZ_2M, WHERE_SYSTEM);
	holds(q, SZ_2M, 2);
	config_put(file("enabled"), "1");
	munmap(q, SZ_2M);
	q = anon_aligned(SZ_2M, SZ_2M);
	fill(set, q, SZ_2M, 3);
	vram_expect(set, q, SZ_2M, where_gpu(set, 0));
	/* rmdir as well lets it be used again. */
	config_put(file("enabled"), "0");
	cfs_rmdir("devices", device);
	munmap(q, SZ_2M);
	q = anon_aligned(SZ_2M, SZ_2M);
	fill(set, q, SZ_2M, 4);
	vram_expect(set, q, SZ_2M, where_gpu(set, 0));
	munmap(p, SIZE);
	munmap(q, SZ_2M);
}

/* Others' memory is mapped where it is by a GPU that is out of use. */
static void enabled_peers(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 7, SZ_2M);

	igt_require_f(set->n > 1 && gpus_can_peer(),
		      "no GPU reaches another's memory\n");
	cfs_mkdir("devices", device);
	config_put(file("enabled"), "0");
	vsvm_run(set, 1, &cmd, 1);
	vram_expect(set, p, SZ_2M, where_gpu(set, 1));
	gpu_holds(set, p, SZ_2M, 7);
	fill(set, p, SZ_2M, 8);
	vram_expect(set, p, SZ_2M, where_gpu(set, 1));
	holds(p, SZ_2M, 8);
	munmap(p, SZ_2M);
}

/* The GPU goes and comes back, by the same name. */
static void replug(struct vsvm_set *set)
{
	char name[64];

	close(set->fd[0]);
	set->fd[0] = -1;
	igt_assert(!gpu_pull(0));
	config_expect(file("present"), "0");
	config_expect(file("resident_bytes"), "0");
	set->fd[0] = gpu_plug(0);
	igt_assert(set->fd[0] >= 0);
	set->vm[0] = vsvm_vm_create(set->fd[0], set->layout);
	gpu_pci_name(set->fd[0], name, sizeof(name));
	igt_assert_f(!strcmp(name, device), "%s is now %s\n", device, name);
	config_expect(file("present"), "1");
}

static void comes_back(struct vsvm_set *set)
{
	char *p = anon_aligned(SIZE, SZ_2M);

	igt_require_f(!gpus_on_pci(), "functions are bound otherwise\n");
	/* Made while it is there, */
	cfs_mkdir("devices", device);
	limit_set(2 * MIB);
	config_put(file("weight"), "7");
	fill(set, p, SIZE, 1);
	replug(set);
	igt_assert_eq_u64(vram_info(set, 0).limit, 2 * MIB);
	config_expect(file("weight"), "7");
	holds(p, SIZE, 1);
	fill(set, p, SIZE, 2);
	igt_assert(vram_info(set, 0).used <= 2 * MIB);

	/* made while it is not, */
	cfs_rmdir("devices", device);
	close(set->fd[0]);
	set->fd[0] = -1;
	igt_assert(!gpu_pull(0));
	cfs_mkdir("devices", device);
	config_expect(file("present"), "0");
	config_put(file("enabled"), "0");
	set->fd[0] = gpu_plug(0);
	set->vm[0] = vsvm_vm_create(set->fd[0], set->layout);
	config_expect(file("present"), "1");
	fill(set, p, SIZE, 3);
	vram_expect(set, p, SIZE, WHERE_SYSTEM);
	config_put(file("enabled"), "1");
	/* and taken away while it is not. */
	limit_set(MIB);
	close(set->fd[0]);
	set->fd[0] = -1;
	igt_assert(!gpu_pull(0));
	cfs_rmdir("devices", device);
	set->fd[0] = gpu_plug(0);
	set->vm[0] = vsvm_vm_create(set->fd[0], set->layout);
	igt_assert_eq_u64(vram_info(set, 0).limit, SIZE);
	holds(p, SIZE, 3);
	munmap(p, SIZE);
}

/* Many directories of devices that never come. */
static void never(struct vsvm_set *set)
{
	char name[64];
	int i;

	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "0000:%02x:00.0", 0x80 + i);
		cfs_mkdir("devices", name);
		config_put(config_path(CFS "/devices/%s/svm_limit_bytes", name),
			   "1");
	}
	igt_assert_eq_u64(vram_info(set, 0).limit, SIZE);
	cfs_mkdir("devices", device);
	limit_set(MIB);
	igt_assert_eq_u64(vram_info(set, 0).limit, MIB);
}

static void (*body)(struct vsvm_set *set);

static void wrapped(struct vsvm_set *set)
{
	igt_require_f(!access(CFS, W_OK), "no configfs of drm_msvm\n");
	cfs_clean();
	gpu_pci_name(set->fd[0], device, sizeof(device));
	body(set);
	cfs_clean();
	vram_expect_empty(set);
}

#define devices(name_, text_, attrs_, fn_) \
	do { \
		body = fn_; \
		each_made_run(name_, text_, MSVM_ONLY, attrs_, wrapped); \
	} while (0)

igt_main
{
	devices("limit", "a limit evicts", vram, limit);
	devices("weight", "memory goes round by weights", peers, weight);
	devices("two-limits", "the driver has one as well", vram, two_limits);
	devices("enabled", "a GPU's memory is taken out of use", vram, enabled);
	devices("enabled-peers", "others map what is elsewhere", peers,
		enabled_peers);
	devices("comes-back", "the GPU comes back", vram, comes_back);
	devices("never", "devices that never come", vram, never);

	igt_fixture {
		cfs_clean();
		vsvm_placement("system");
	}
}
