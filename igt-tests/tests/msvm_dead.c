// SPDX-License-Identifier: MIT
/*
 * Addresses that a GPU reached memory by lead nowhere once the memory was taken away:
 * the GPU is made to try the last one that it used, while nothing else goes on, behind
 * the machine's IOMMU or one of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define IOMMU	ATTR("dma=iommu") ATTR("vram_mib=8")

static void gpu_file(int fd, const char *name, char *path, size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/dri/%d/%s", gpu_minor(fd), name);
}

/* The address by which the GPU reaches a page. */
static uint64_t reach(struct vsvm_set *set, int gpu, void *p)
{
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, gpu);
	char path[96], text[32];

	vsvm_run(set, gpu, &cmd, 1);
	gpu_file(set->fd[gpu], "last_dma", path, sizeof(path));
	igt_assert(file_read(path, text, sizeof(text)));
	return strtoull(text, NULL, 0);
}

static bool leads_somewhere(struct vsvm_set *set, int gpu, uint64_t addr)
{
	char path[96], text[32];
	bool ok;

	gpu_file(set->fd[gpu], "try_dma", path, sizeof(path));
	snprintf(text, sizeof(text), "%" PRIu64, addr);
	ok = file_write(path, text);
	igt_assert_f(ok || errno == EFAULT, "%s: %s\n", path, strerror(errno));
	return ok;
}

static void take_munmap(struct vsvm_set *set, char *p)
{
	(void)set;
	munmap(p, SZ_2M);
}

static void take_mprotect(struct vsvm_set *set, char *p)
{
	(void)set;
	igt_assert(!mprotect(p, SZ_2M, PROT_NONE));
}

static void take_migrate(struct vsvm_set *set, char *p)
{
	vram_migrate(set, p, SZ_2M, set->n - 1);
}

static void take_reset(struct vsvm_set *set, char *p)
{
	int gpu;

	(void)p;
	for (gpu = 0; gpu < set->n; gpu++)
		gpu_debugfs_write(set->fd[gpu], "reset", 1);
}

static void dead_after(struct vsvm_set *set,
		       void (*take)(struct vsvm_set *set, char *p))
{
	const char *topology = getenv("MSVM_PCI");
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t addr[VSVM_MAX_SET];
	int gpu;

	igt_require_f(!topology || (strcmp(topology, "passthrough") &&
				    strcmp(topology, "noiommu")),
		      "there is no IOMMU that translates\n");
	vsvm_placement("system");
	memset(p, 1, SZ_2M);
	for (gpu = 0; gpu < set->n; gpu++)
		addr[gpu] = reach(set, gpu, p + SZ_4K);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(leads_somewhere(set, gpu, addr[gpu]));
	take(set, p);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_f(!leads_somewhere(set, gpu, addr[gpu]),
			     "GPU %d: %#" PRIx64 " is alive\n", gpu, addr[gpu]);
	if (take != take_munmap)
		munmap(p, SZ_2M);
}

static void after_munmap(struct vsvm_set *set)
{
	dead_after(set, take_munmap);
}

static void after_mprotect(struct vsvm_set *set)
{
	dead_after(set, take_mprotect);
}

static void after_migration(struct vsvm_set *set)
{
	dead_after(set, take_migrate);
}

static void after_reset(struct vsvm_set *set)
{
	dead_after(set, take_reset);
}

igt_main
{
	each_made("munmap", "after munmap()", MSVM_ONLY, IOMMU, after_munmap);
	each_made("mprotect", "after mprotect()", MSVM_ONLY, IOMMU,
		  after_mprotect);
	each_made("migration", "after the memory moved to a GPU's", MSVM_ONLY,
		  IOMMU, after_migration);
	each_made("reset", "after the GPUs were reset", MSVM_ONLY, IOMMU,
		  after_reset);
}
