// SPDX-License-Identifier: MIT
/*
 * Attributes that can't be are refused, as a whole, and nothing is changed: every
 * field of the calls, what makes no sense together, and memory that is not moved.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/configfs.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=16")

static const struct drm_vsvm_attr read_mostly = {
	.type = DRM_VSVM_ATTR_READ_MOSTLY, .value = 1,
};

/* All or nothing, across intervals that differ. */
static void whole(struct vsvm_set *set)
{
	struct drm_vsvm_attr both[2];
	char *p = anon(8 * SZ_4K);

	attr_set(set, p + 5 * SZ_4K, SZ_4K, read_mostly);
	both[0] = attr_of(DRM_VSVM_ATTR_PREFETCH, DRM_VSVM_PREFETCH_NONE);
	both[1] = attr_preferred(set, 0);
	igt_assert_eq(attr_try_set(set, 0, p, 8 * SZ_4K, both, 2), -EOPNOTSUPP);
	attr_expect_none(set, p, 5 * SZ_4K);
	igt_assert_eq(attr_at(set, p + 5 * SZ_4K, SZ_4K).prefetch, 0);
	/* Together they are possible. */
	both[0] = attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 0);
	igt_assert_eq(attr_try_set(set, 0, p, 8 * SZ_4K, both, 2), 0);
	igt_assert_eq(attr_at(set, p, 8 * SZ_4K).preferred_location,
		      where_gpu(set, 0));
	munmap(p, 8 * SZ_4K);
}

/* What is refused changes nothing. */
static void refuse(struct vsvm_set *set, void *p, size_t len, int error,
		   struct drm_vsvm_attr attr)
{
	igt_assert_f(attr_try(set, p, len, attr) == error,
		     "type %u, value %u: %s instead of %s\n", attr.type,
		     attr.value, strerror(-attr_try(set, p, len, attr)),
		     strerror(-error));
}

static void bad_values(struct vsvm_set *set)
{
	char *p = anon(4 * SZ_4K);
	static const uint32_t first_bad[] = { 0, 2, 2, 2, 1, 4, 4 };
	struct drm_vsvm_attr attr;
	uint32_t type;

	for (type = DRM_VSVM_ATTR_ACCESSED_BY; type < 7; type++) {
		attr = attr_of(type, first_bad[type]);
		if (type <= DRM_VSVM_ATTR_NO_ACCESS)
			attr = attr_member(set, type, 0, true);
		attr.value = first_bad[type];
		refuse(set, p, SZ_4K, -EINVAL, attr);
		attr.value = ~0U;
		refuse(set, p, SZ_4K, -EINVAL, attr);
		attr.value = 0;
		if (type > DRM_VSVM_ATTR_NO_ACCESS) {
			attr.fd = DRM_VSVM_ATTR_THIS_FILE;
			refuse(set, p, SZ_4K, -EINVAL, attr);
			attr.fd = 0;
			attr.vm_id = set->vm[0];
			refuse(set, p, SZ_4K, -EINVAL, attr);
		} else {
			attr.vm_id = ~0U;
			refuse(set, p, SZ_4K, -ENOENT, attr);
			attr.vm_id = 0;
			refuse(set, p, SZ_4K, -ENOENT, attr);
			attr.vm_id = set->vm[0];
			attr.fd = 0xffff;
			refuse(set, p, SZ_4K, -EBADF, attr);
			attr.fd = -2;
			refuse(set, p, SZ_4K, -EBADF, attr);
		}
	}
	refuse(set, p, SZ_4K, -EINVAL, attr_of(7, 0));
	refuse(set, p, SZ_4K, -EINVAL, attr_of(~0U, 0));
	refuse(set, p, SZ_4K, -EINVAL, attr_of(DRM_VSVM_ATTR_GRANULARITY, 13));
	refuse(set, p, SZ_4K, -EINVAL, attr_of(DRM_VSVM_ATTR_GRANULARITY, 63));
	refuse(set, p, SZ_4K, -ENXIO,
	       attr_of(DRM_VSVM_ATTR_PREFERRED_LOCATION, 0x7fffffff));
	refuse(set, p, SZ_4K, -ENXIO,
	       attr_of(DRM_VSVM_ATTR_PREFERRED_LOCATION, ~0U));
	attr_expect_none(set, p, 4 * SZ_4K);
	munmap(p, 4 * SZ_4K);
}

static void bad_calls(struct vsvm_set *set)
{
	char *p = anon(4 * SZ_4K);
	struct drm_vsvm_attr attrs[17] = {};
	const struct drm_vsvm_set_attr good = {
		.vm_id = set->vm[0], .start = to_u64(p), .len = SZ_4K,
		.attrs = to_u64(attrs), .num_attrs = 1,
	};
	struct drm_vsvm_set_attr args;
	int fd = set->fd[0];

	attrs[0] = read_mostly;
#define REFUSED(error, field, value_) \
	do { \
		args = good; \
		args.field = (value_); \
		igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_SET_ATTR, &args), \
			      error); \
	} while (0)
	REFUSED(-ENOENT, vm_id, 0);
	REFUSED(-ENOENT, vm_id, ~0U);
	REFUSED(-EINVAL, flags, 1);
	REFUSED(-EINVAL, flags, ~0U);
	REFUSED(-EINVAL, pad, 1);
	REFUSED(-EINVAL, start, to_u64(p) + 1);
	REFUSED(-EINVAL, start, ~0ULL - SZ_4K + 1);
	REFUSED(-EFAULT, start, 1ULL << 60);
	REFUSED(-EINVAL, len, 0);
	REFUSED(-EINVAL, len, SZ_4K + 1);
	REFUSED(-EINVAL, len, ~0ULL - SZ_4K + 1);
	REFUSED(-EINVAL, num_attrs, 0);
	REFUSED(-EINVAL, num_attrs, 17);
	REFUSED(-EINVAL, num_attrs, ~0U);
	REFUSED(-EFAULT, attrs, 0);
	REFUSED(-EFAULT, attrs, ~0ULL << 12);
#undef REFUSED
	/* The same twice; with members that is no contradiction. */
	attrs[1] = read_mostly;
	igt_assert_eq(attr_try_set(set, 0, p, SZ_4K, attrs, 2), -EINVAL);
	/* A hole, at each end and in the middle. */
	munmap(p + SZ_4K, SZ_4K);
	refuse(set, p, 4 * SZ_4K, -EFAULT, read_mostly);
	refuse(set, p, 2 * SZ_4K, -EFAULT, read_mostly);
	refuse(set, p + SZ_4K, 2 * SZ_4K, -EFAULT, read_mostly);
	refuse(set, p + SZ_4K, SZ_4K, -EFAULT, read_mostly);
	attr_expect_none(set, p, 4 * SZ_4K);
	munmap(p, 4 * SZ_4K);
}

static void bad_gets(struct vsvm_set *set)
{
	struct drm_vsvm_attr_interval got[4];
	struct drm_vsvm_bind_other vms[9] = {};
	char *p = anon(SZ_4K);
	const struct drm_vsvm_get_attr good = {
		.vm_id = set->vm[0], .start = to_u64(p), .len = SZ_4K,
		.intervals = to_u64(got), .num_intervals = 4,
		.vms = to_u64(vms), .num_vms = 1,
	};
	struct drm_vsvm_get_attr args;
	int fd = set->fd[0];

	vms[0].fd = DRM_VSVM_ATTR_THIS_FILE;
	vms[0].vm_id = set->vm[0];
#define REFUSED(error, field, value_) \
	do { \
		args = good; \
		args.field = (value_); \
		igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_GET_ATTR, &args), \
			      error); \
	} while (0)
	REFUSED(0, flags, 0);
	REFUSED(-ENOENT, vm_id, 0);
	REFUSED(-EINVAL, flags, 1);
	REFUSED(-EINVAL, start, to_u64(p) + 1);
	REFUSED(-EINVAL, len, 0);
	REFUSED(-EINVAL, len, ~0ULL - SZ_4K + 1);
	REFUSED(-EINVAL, num_intervals, 0);
	REFUSED(0, num_intervals, ~0U);
	REFUSED(-EFAULT, intervals, 0);
	REFUSED(-EFAULT, vms, ~0ULL << 12);
	REFUSED(-EINVAL, num_vms, 0);
	REFUSED(-EINVAL, num_vms, 9);
	vms[0].fd = -2;
	REFUSED(-EBADF, flags, 0);
	vms[0].fd = fd;
	vms[0].vm_id = 0;
	REFUSED(-ENOENT, flags, 0);
#undef REFUSED
	munmap(p, SZ_4K);
}

/* What makes no sense together, in one call or in two, and what of it does. */
static void contradictions(struct vsvm_set *set)
{
	struct drm_vsvm_attr device =
		attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_DEVICE);
	struct drm_vsvm_attr all =
		attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_SYSTEM);
	struct drm_vsvm_attr gpu = attr_preferred(set, 0), change[2];
	char *p = anon(SZ_4K);

	attr_set(set, p, SZ_4K, read_mostly);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, gpu);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, device);
	attr_set(set, p, SZ_4K, attr_preferred(set, PREFER_SYSTEM));
	attr_set(set, p, SZ_4K, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 0));
	attr_set(set, p, SZ_4K, gpu);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, read_mostly);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, all);
	attr_set(set, p, SZ_4K, attr_preferred(set, PREFER_NONE));
	attr_set(set, p, SZ_4K, all);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, gpu);
	attr_set(set, p, SZ_4K, device);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, read_mostly);

	attr_set(set, p, SZ_4K, attr_accessed_by(set, 0, true));
	refuse(set, p, SZ_4K, -EINVAL, attr_no_access(set, 0, true));
	change[0] = attr_accessed_by(set, 0, false);
	change[1] = attr_no_access(set, 0, true);
	igt_assert_eq(attr_try_set(set, 0, p, SZ_4K, change, 2), 0);
	refuse(set, p, SZ_4K, -EINVAL, attr_accessed_by(set, 0, true));
	igt_assert_eq_u64(attr_at(set, p, SZ_4K).no_access, 1);
	munmap(p, SZ_4K);
}

/* Memory that is not moved can't be told where to go. */
static void immovable(struct vsvm_set *set)
{
	int fd = memfd_create("attr", 0);
	char *p;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_4K));
	p = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(p != MAP_FAILED);
	refuse(set, p, SZ_4K, -EOPNOTSUPP, attr_preferred(set, 0));
	refuse(set, p, SZ_4K, -EOPNOTSUPP,
	       attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_DEVICE));
	refuse(set, p, SZ_4K, -EOPNOTSUPP,
	       attr_of(DRM_VSVM_ATTR_GRANULARITY, 16));
	refuse(set, p, SZ_4K, -EOPNOTSUPP,
	       attr_of(DRM_VSVM_ATTR_PREFETCH, DRM_VSVM_PREFETCH_TREE));
	attr_expect_none(set, p, SZ_4K);
	/* What holds for it anyway, and what is not about moving. */
	attr_set(set, p, SZ_4K, attr_preferred(set, PREFER_SYSTEM));
	attr_set(set, p, SZ_4K, read_mostly);
	attr_set(set, p, SZ_4K, attr_no_access(set, 0, true));
	attr_set(set, p, SZ_4K, attr_of(DRM_VSVM_ATTR_GRANULARITY, 0));
	munmap(p, SZ_4K);
	close(fd);
}

static void no_memory(struct vsvm_set *set)
{
	char *p = anon(SZ_4K);

	refuse(set, p, SZ_4K, -ENXIO, attr_preferred(set, 0));
	munmap(p, SZ_4K);
}

/* A GPU that the process does not use is not where its memory goes. */
static void no_member(struct vsvm_set *set)
{
	int last = set->n - 1;
	uint32_t vm = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	struct vsvm_set one = { .n = 1, .fd = { set->fd[0] }, .vm = { vm } };
	char *p = anon(SZ_4K);

	igt_require_f(last, "two GPUs are needed\n");
	igt_assert(!vsvm_vm_destroy(set->fd[last], set->vm[last]));
	refuse(&one, p, SZ_4K, -ENOLINK, attr_preferred(set, last));
	attr_expect_none(&one, p, SZ_4K);
	set->vm[last] = vsvm_vm_create(set->fd[last], DRM_VSVM_VM_LAYOUT_MSVM);
	attr_set(&one, p, SZ_4K, attr_preferred(set, last));
	/* It may leave: no memory goes there until it is back. */
	igt_assert(!vsvm_vm_destroy(set->fd[last], set->vm[last]));
	igt_assert_eq(attr_at(&one, p, SZ_4K).preferred_location,
		      where_gpu(set, last));
	set->vm[last] = vsvm_vm_create(set->fd[last], DRM_VSVM_VM_LAYOUT_MSVM);
	igt_assert(!vsvm_vm_destroy(set->fd[0], vm));
	munmap(p, SZ_4K);
}

/* What a GPU can't address is not mapped for it. */
static void window(struct vsvm_set *set)
{
	char *low = mmap((void *)(0x100000000UL - SZ_64K), 2 * SZ_64K,
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_FIXED_NOREPLACE, -1, 0);
	char *high = low + SZ_64K;
	int last = set->n - 1;

	igt_assert(low != MAP_FAILED);
	refuse(set, high, SZ_4K, -ERANGE, attr_accessed_by(set, last, true));
	refuse(set, low, 2 * SZ_64K, -ERANGE, attr_accessed_by(set, last, true));
	attr_expect_none(set, low, 2 * SZ_64K);
	attr_set(set, low, SZ_64K, attr_accessed_by(set, last, true));
	/* It has not, and may not. */
	attr_set(set, high, SZ_4K, attr_accessed_by(set, last, false));
	attr_set(set, high, SZ_4K, attr_no_access(set, last, true));
	munmap(low, 2 * SZ_64K);
}

static void no_system_atomics(struct vsvm_set *set)
{
	char *p = anon(SZ_4K);

	refuse(set, p, SZ_4K, -EOPNOTSUPP,
	       attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_SYSTEM));
	attr_set(set, p, SZ_4K,
		 attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_NONE));
	munmap(p, SZ_4K);
}

/* Nor one that an administrator took out of use. */
static void disabled(struct vsvm_set *set)
{
	char *p = anon(SZ_4K), name[64];
	const char *path;

	igt_require_f(!access(CFS, W_OK), "no configfs of drm_msvm\n");
	cfs_clean();
	gpu_pci_name(set->fd[0], name, sizeof(name));
	cfs_mkdir("devices", name);
	path = config_path(CFS "/devices/%s/enabled", name);
	config_put(path, "0");
	refuse(set, p, SZ_4K, -ENXIO, attr_preferred(set, 0));
	config_put(path, "1");
	attr_set(set, p, SZ_4K, attr_preferred(set, 0));
	cfs_rmdir("devices", name);
	munmap(p, SZ_4K);
}

static void layout_1to1(struct vsvm_set *set)
{
	uint32_t vm = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_1TO1);
	struct drm_vsvm_attr attr = attr_no_access(set, 0, true);
	char *p = anon(SZ_4K);

	attr.vm_id = vm;
	refuse(set, p, SZ_4K, -EOPNOTSUPP, attr);
	igt_assert(!vsvm_vm_destroy(set->fd[0], vm));
	refuse(set, p, SZ_4K, -ENOENT, attr);
	munmap(p, SZ_4K);
}

igt_main
{
	each_made("whole", "Several changes are made together or not at all.",
		  MSVM_ONLY, VRAM, whole);
	each("bad-values", "Types and values that there are not.", MSVM_ONLY,
	     bad_values);
	each("bad-calls", "Every other field of the call that sets.", MSVM_ONLY,
	     bad_calls);
	each("bad-gets", "Every field of the call that asks.", MSVM_ONLY,
	     bad_gets);
	each_made("contradictions", "What can't be done together is refused.",
		  MSVM_ONLY, VRAM, contradictions);
	each_made("immovable", "Files are not told where to go.", MSVM_ONLY, VRAM,
		  immovable);
	each("no-memory", "A GPU without memory is not preferred.", MSVM_ONLY,
	     no_memory);
	each_made("no-member", "Nor one that the process does not use.",
		  MSVM_ONLY, VRAM, no_member);
	each_made("window", "Memory that a GPU can't address is not mapped for it.",
		  MSVM_ONLY, ATTR("va_bits=32"), window);
	each_made("disabled", "Nor one that was taken out of use.", MSVM_ONLY,
		  VRAM, disabled);
	each_made("no-system-atomics", "Nor are there atomics that it can't do.",
		  MSVM_ONLY, ATTR("system_atomics=0"), no_system_atomics);
	each("layout-1to1", "A VM of its own has no part in it.", MSVM_ONLY,
	     layout_1to1);

	igt_fixture {
		gpus_remove();
	}
}
