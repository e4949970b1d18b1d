// SPDX-License-Identifier: MIT
/*
 * The tables of Documentation/gpu/drm-msvm-attributes.rst, row by row: what programs
 * for other drivers ask for, said in attributes, does what they expect. One subtest a
 * row, named after it, on two GPUs that reach each other's memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/userptr.h"
#include "../lib/vram.h"

#define LEN SZ_2M

static struct vsvm_set set;
static char *p;
static uint64_t *out;

static void sees(int gpu, uint64_t seed)
{
	vsvm_gpu_check(&set, gpu, p, LEN, seed);
}

static void is_at(uint32_t where)
{
	vram_expect(&set, p, LEN, where);
}

static void say(struct drm_vsvm_attr attr)
{
	attr_set(&set, p, LEN, attr);
}

static void say_two(struct drm_vsvm_attr a, struct drm_vsvm_attr b)
{
	struct drm_vsvm_attr attrs[2] = { a, b };

	igt_assert_eq(attr_try_set(&set, 0, p, LEN, attrs, 2), 0);
}

static void refused(int error, struct drm_vsvm_attr attr)
{
	igt_assert_eq(attr_try(&set, p, LEN, attr), error);
	attr_expect_none(&set, p, LEN);
}

/* There is no attribute for it. */
static void no_such_attribute(void)
{
	uint32_t type;

	for (type = DRM_VSVM_ATTR_PREFETCH + 1; type < 64; type++)
		refused(-EINVAL, attr_of(type, 1));
}

static void read_mostly(uint32_t value)
{
	say(attr_of(DRM_VSVM_ATTR_READ_MOSTLY, value));
}

static void atomics(uint32_t value)
{
	say(attr_of(DRM_VSVM_ATTR_ATOMICS, value));
}

static struct drm_vsvm_wait add(int gpu)
{
	struct drm_vsvm_cmd cmd = vsvm_add(p, 8, 1, NULL);

	return vsvm_try(&set, gpu, &cmd, 1);
}

/* CUDA: cudaMemAdvise() */

static void cuda_set_read_mostly(void)
{
	read_mostly(1);
	sees(0, 1);
	sees(1, 1);
	is_at(WHERE_SYSTEM);
}

static void cuda_unset_read_mostly(void)
{
	read_mostly(1);
	sees(0, 1);
	read_mostly(0);
	attr_expect_none(&set, p, LEN);
	sees(0, 1);
	is_at(where_gpu(&set, 0));
}

/* Copies for each reader: a page has one place. */
static void cuda_set_read_mostly_device_copies(void)
{
	struct drm_vsvm_attr attrs[2] = {
		attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1), attr_preferred(&set, 0),
	};

	igt_assert_eq(attr_try_set(&set, 0, p, LEN, attrs, 2), -EOPNOTSUPP);
	attr_expect_none(&set, p, LEN);
}

static void cuda_set_preferred_location_device(void)
{
	say(attr_preferred(&set, 1));
	sees(0, 1);
	sees(1, 1);
	is_at(where_gpu(&set, 1));
	/* Whoever is in reach maps it there. */
	sees(0, 1);
	is_at(where_gpu(&set, 1));
}

static void cuda_set_preferred_location_host(void)
{
	say(attr_preferred(&set, PREFER_SYSTEM));
	sees(0, 1);
	sees(1, 1);
	is_at(WHERE_SYSTEM);
}

/* The node is the VMA's matter: mbind(). */
static void cuda_set_preferred_location_host_numa(void)
{
	unsigned long node = 1;

	/* MPOL_BIND */
	igt_require_f(!syscall(SYS_mbind, p, LEN, 2, &node, 2UL, 0),
		      "no mbind()\n");
	say(attr_preferred(&set, PREFER_SYSTEM));
	sees(0, 1);
	is_at(WHERE_SYSTEM);
}

static void cuda_unset_preferred_location(void)
{
	say(attr_preferred(&set, PREFER_SYSTEM));
	sees(0, 1);
	say(attr_preferred(&set, PREFER_NONE));
	attr_expect_none(&set, p, LEN);
	sees(0, 1);
	is_at(where_gpu(&set, 0));
}

static void cuda_set_accessed_by_device(void)
{
	uint64_t faults;
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, out);

	/* Where it is loaded to is to be mapped. */
	vsvm_gpu_write(&set, 1, out, SZ_4K, 1);
	faults = attr_faults(&set, 1);
	say(attr_accessed_by(&set, 1, true));
	vsvm_run(&set, 1, &cmd, 1);
	igt_assert_eq_u64(attr_faults(&set, 1), faults);
	igt_assert_eq_u64(*out, *(uint64_t *)p);
}

/* Memory of a GPU is not mapped for CPUs: it comes to them. */
static void cuda_set_accessed_by_host(void)
{
	vram_migrate(&set, p, LEN, 0);
	pattern_check(p, LEN, 1);
	is_at(WHERE_SYSTEM);
	no_such_attribute();
}

static void cuda_unset_accessed_by(void)
{
	say(attr_accessed_by(&set, 1, true));
	say(attr_accessed_by(&set, 1, false));
	attr_expect_none(&set, p, LEN);
	sees(1, 1);
}

/* CUDA: cudaMemPrefetchAsync() */

static void cuda_prefetch_device(void)
{
	struct drm_vsvm_cmd cmd = vram_prefetch(&set, p, LEN, 1);

	vsvm_run(&set, 1, &cmd, 1);
	is_at(where_gpu(&set, 1));
	vram_migrate(&set, p, LEN, 0);
	is_at(where_gpu(&set, 0));
	sees(0, 1);
}

static void cuda_prefetch_host(void)
{
	struct drm_vsvm_cmd cmd = vram_prefetch(&set, p, LEN, TO_SYSTEM);

	vram_migrate(&set, p, LEN, 0);
	vsvm_run(&set, 0, &cmd, 1);
	is_at(WHERE_SYSTEM);
	pattern_check(p, LEN, 1);
}

/* A prefetch says nothing that stays, but is done, and mapped where it went. */
static void cuda_prefetch_over_preferred(void)
{
	struct drm_vsvm_cmd touches[2] = {
		vsvm_touch(p), vsvm_touch(p + LEN - 4),
	};
	uint64_t faults;

	say(attr_preferred(&set, 0));
	vram_fetch(&set, 1, p, LEN);
	faults = attr_faults(&set, 1);
	vsvm_run(&set, 1, touches, 2);
	igt_assert_eq_u64(attr_faults(&set, 1), faults);
	is_at(where_gpu(&set, 1));
	igt_assert_eq(attr_at(&set, p, LEN).preferred_location,
		      where_gpu(&set, 0));
	sees(0, 1);
	is_at(where_gpu(&set, 0));
}

/* Contents that nobody needs: memory is emptied, but not left undefined. */
static void cuda_discard(void)
{
	vram_migrate(&set, p, LEN, 0);
	no_such_attribute();
	igt_assert(!madvise(p, LEN, MADV_DONTNEED));
	igt_assert_eq_u64(vsvm_gpu_load(&set, 1, p), 0);
}

/* KFD: attributes of the SVM ioctl */

static void kfd_preferred_loc_gpu(void)
{
	cuda_set_preferred_location_device();
}

static void kfd_preferred_loc_sysmem(void)
{
	cuda_set_preferred_location_host();
}

static void kfd_preferred_loc_undefined(void)
{
	cuda_unset_preferred_location();
}

static void kfd_prefetch_loc_gpu(void)
{
	vram_migrate(&set, p, LEN, 1);
	sees(1, 1);
}

static void kfd_prefetch_loc_sysmem(void)
{
	vram_migrate(&set, p, LEN, 1);
	vram_migrate(&set, p, LEN, TO_SYSTEM);
	is_at(WHERE_SYSTEM);
}

static void kfd_prefetch_loc_undefined(void)
{
	attr_expect_none(&set, p, LEN);
	is_at(WHERE_SYSTEM);
}

static void kfd_access(void)
{
	say_two(attr_no_access(&set, 1, true), attr_no_access(&set, 1, false));
	attr_expect_none(&set, p, LEN);
	sees(1, 1);
	is_at(where_gpu(&set, 1));
}

static void kfd_access_in_place(void)
{
	vram_migrate(&set, p, LEN, 0);
	say(attr_no_access(&set, 1, true));
	say_two(attr_no_access(&set, 1, false), attr_accessed_by(&set, 1, true));
	sees(1, 1);
	is_at(where_gpu(&set, 0));
}

static void kfd_no_access(void)
{
	say(attr_accessed_by(&set, 1, true));
	say_two(attr_accessed_by(&set, 1, false), attr_no_access(&set, 1, true));
	vsvm_expect_fault(&set, 1, vsvm_store(p, 8, 1), -EACCES, p,
			  DRM_VSVM_ACCESS_WRITE);
	sees(0, 1);
}

/* The CPU always can. */
static void kfd_host_access(void)
{
	cuda_set_accessed_by_host();
}

/* Always: the library takes no device that is not. */
static void kfd_coherent(void)
{
	vsvm_gpu_write(&set, 0, p, LEN, 3);
	sees(1, 3);
	pattern_check(p, LEN, 3);
}

/* One of the hive; the others reach it. */
static void kfd_hive_local(void)
{
	cuda_set_preferred_location_device();
}

/* Memory that GPUs only read is bound so. */
static void kfd_gpu_ro(void)
{
	userptr_bind(&set, p, LEN, READ_ONLY);
	sees(0, 1);
	vsvm_expect_fault(&set, 0, vsvm_store(p, 8, 1), -EACCES, p,
			  DRM_VSVM_ACCESS_WRITE);
	userptr_unbind(&set, p, LEN);
	no_such_attribute();
}

/* There is no right to execute beside that to read. */
static void kfd_gpu_exec(void)
{
	igt_assert(!mprotect(p, LEN, PROT_READ));
	sees(0, 1);
	no_such_attribute();
}

static void kfd_gpu_read_mostly(void)
{
	cuda_set_read_mostly();
}

static void kfd_gpu_always_mapped(void)
{
	struct drm_vsvm_keep keep = {
		.vm_id = set.vm[0], .start = to_u64(p), .len = LEN,
		.access = DRM_VSVM_ACCESS_WRITE,
	};

	igt_assert_eq(vsvm_ioctl(set.fd[0], DRM_IOCTL_VSVM_KEEP, &keep), 0);
	sees(0, 1);
	no_such_attribute();
}

static void kfd_ext_coherent(void)
{
	atomics(DRM_VSVM_ATOMICS_SYSTEM);
	igt_assert(!add(0).status);
	__atomic_add_fetch((uint64_t *)p, 1, __ATOMIC_SEQ_CST);
	igt_assert(!add(1).status);
	is_at(WHERE_SYSTEM);
}

static void kfd_granularity(void)
{
	static const uint32_t pages[] = { 0, 4, 9 };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		say(attr_of(DRM_VSVM_ATTR_GRANULARITY, 12 + pages[i]));
		sees(0, 1);
	}
	say(attr_of(DRM_VSVM_ATTR_GRANULARITY, 0));
	/* Sizes that no range has. */
	for (i = 1; i < 64; i++)
		if (i != 4 && i != 9 && i < 52)
			refused(-EINVAL, attr_of(DRM_VSVM_ATTR_GRANULARITY,
						 12 + i));
}

/* xe: DRM_IOCTL_XE_MADVISE */

static void xe_preferred_loc_default_device(void)
{
	cuda_unset_preferred_location();
}

static void xe_preferred_loc_default_system(void)
{
	cuda_set_preferred_location_host();
}

static void xe_preferred_loc_devmem_fd(void)
{
	cuda_set_preferred_location_device();
}

/* What is in another GPU's memory is mapped there, or moves: by policy. */
static void xe_migrate_only_system_pages(void)
{
	no_such_attribute();
}

static void xe_atomic_undefined(void)
{
	atomics(DRM_VSVM_ATOMICS_NONE);
	atomics(DRM_VSVM_ATOMICS_DEFAULT);
	attr_expect_none(&set, p, LEN);
	igt_assert(!add(0).status);
}

static void xe_atomic_device(void)
{
	atomics(DRM_VSVM_ATOMICS_DEVICE);
	igt_assert(!add(1).status);
	vram_expect(&set, p, SZ_4K, where_gpu(&set, 1));
}

static void xe_atomic_global(void)
{
	kfd_ext_coherent();
}

static void xe_atomic_cpu(void)
{
	atomics(DRM_VSVM_ATOMICS_NONE);
	igt_assert_eq(add(0).status, -EACCES);
	igt_assert_eq(add(1).status, -EACCES);
	__atomic_add_fetch((uint64_t *)p, 1, __ATOMIC_SEQ_CST);
}

/* Caching is the driver's matter: all of it is coherent. */
static void xe_pat(void)
{
	no_such_attribute();
}

/* Of memory that processes share with GPUs: madvise(). */
static void xe_purgeable(void)
{
	no_such_attribute();
	igt_assert(!madvise(p, LEN, MADV_FREE));
	pattern_fill(p, LEN, 2);
	sees(0, 2);
}

static const struct {
	const char *name;
	void (*fn)(void);
} rows[] = {
#define ROW(name_) { #name_, name_ }
	ROW(cuda_set_read_mostly),
	ROW(cuda_unset_read_mostly),
	ROW(cuda_set_read_mostly_device_copies),
	ROW(cuda_set_preferred_location_device),
	ROW(cuda_set_preferred_location_host),
	ROW(cuda_set_preferred_location_host_numa),
	ROW(cuda_unset_preferred_location),
	ROW(cuda_set_accessed_by_device),
	ROW(cuda_set_accessed_by_host),
	ROW(cuda_unset_accessed_by),
	ROW(cuda_prefetch_device),
	ROW(cuda_prefetch_host),
	ROW(cuda_prefetch_over_preferred),
	ROW(cuda_discard),
	ROW(kfd_preferred_loc_gpu),
	ROW(kfd_preferred_loc_sysmem),
	ROW(kfd_preferred_loc_undefined),
	ROW(kfd_prefetch_loc_gpu),
	ROW(kfd_prefetch_loc_sysmem),
	ROW(kfd_prefetch_loc_undefined),
	ROW(kfd_access),
	ROW(kfd_access_in_place),
	ROW(kfd_no_access),
	ROW(kfd_host_access),
	ROW(kfd_coherent),
	ROW(kfd_hive_local),
	ROW(kfd_gpu_ro),
	ROW(kfd_gpu_exec),
	ROW(kfd_gpu_read_mostly),
	ROW(kfd_gpu_always_mapped),
	ROW(kfd_ext_coherent),
	ROW(kfd_granularity),
	ROW(xe_preferred_loc_default_device),
	ROW(xe_preferred_loc_default_system),
	ROW(xe_preferred_loc_devmem_fd),
	ROW(xe_migrate_only_system_pages),
	ROW(xe_atomic_undefined),
	ROW(xe_atomic_device),
	ROW(xe_atomic_global),
	ROW(xe_atomic_cpu),
	ROW(xe_pat),
	ROW(xe_purgeable),
#undef ROW
};

/* Two GPUs, memory in the CPU's hands. */
static void begin(void)
{
	static const char * const attrs[] = {
		"vram_mib=16", "peer_group=1", NULL
	};

	vsvm_set_make(&set, 2, DRM_VSVM_VM_LAYOUT_MSVM, attrs);
	p = anon_aligned(LEN, SZ_2M);
	out = anon(SZ_4K);
	pattern_fill(p, LEN, 1);
}

static void end(void)
{
	munmap(p, LEN);
	munmap(out, SZ_4K);
	vsvm_set_check(&set);
	vsvm_set_close(&set);
	gpus_remove();
}

igt_main
{
	/* A subtest that fails jumps back into this function. */
	volatile unsigned int i, k;
	static char name[64];

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(name, sizeof(name), "%s", rows[i].name);
		for (k = 0; name[k]; k++)
			if (name[k] == '_')
				name[k] = '-';
		igt_describe("The row of that name does what its table says.");
		igt_subtest(name) {
			begin();
			rows[i].fn();
			end();
		}
	}

	igt_fixture {
		gpus_remove();
	}
}
