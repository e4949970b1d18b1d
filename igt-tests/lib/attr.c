// SPDX-License-Identifier: MIT
/*
 * Attributes in tests, see attr.h. Calls are made on the first GPU's file if no other
 * is named; masks have a bit for each GPU of the set.
 */
#include <errno.h>
#include <string.h>

#include "attr.h"
#include "vram.h"

struct drm_vsvm_attr attr_of(uint32_t type, uint32_t value)
{
	return (struct drm_vsvm_attr) { .type = type, .value = value };
}

struct drm_vsvm_attr attr_preferred(struct vsvm_set *set, int to)
{
	return attr_of(DRM_VSVM_ATTR_PREFERRED_LOCATION,
		       to == PREFER_NONE ? DRM_VSVM_WHERE_NONE :
		       to == PREFER_SYSTEM ? DRM_VSVM_WHERE_SYSTEM :
		       where_gpu(set, to));
}

struct drm_vsvm_attr attr_member(struct vsvm_set *set, uint32_t type, int gpu,
				 bool on)
{
	return (struct drm_vsvm_attr) {
		.type = type, .value = on,
		.fd = set->fd[gpu], .vm_id = set->vm[gpu],
	};
}

struct drm_vsvm_attr attr_accessed_by(struct vsvm_set *set, int gpu, bool on)
{
	return attr_member(set, DRM_VSVM_ATTR_ACCESSED_BY, gpu, on);
}

struct drm_vsvm_attr attr_no_access(struct vsvm_set *set, int gpu, bool on)
{
	return attr_member(set, DRM_VSVM_ATTR_NO_ACCESS, gpu, on);
}

/* Return: 0 or a negative errno. */
int attr_try_set(struct vsvm_set *set, int gpu, const void *p, size_t len,
		 const struct drm_vsvm_attr *attrs, unsigned int n)
{
	struct drm_vsvm_set_attr args = {
		.vm_id = set->vm[gpu],
		.start = to_u64(p),
		.len = len,
		.attrs = to_u64(attrs),
		.num_attrs = n,
	};

	return vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_SET_ATTR, &args);
}

int attr_try(struct vsvm_set *set, const void *p, size_t len,
	     struct drm_vsvm_attr attr)
{
	return attr_try_set(set, 0, p, len, &attr, 1);
}

void attr_set(struct vsvm_set *set, const void *p, size_t len,
	      struct drm_vsvm_attr attr)
{
	int ret = attr_try(set, p, len, attr);

	igt_assert_f(!ret, "attribute %u to %u: %s\n", attr.type, attr.value,
		     strerror(-ret));
}

/* All intervals, in as many calls as that takes. Return: how many. */
unsigned int attr_get(struct vsvm_set *set, const void *p, size_t len,
		      struct drm_vsvm_attr_interval *intervals, unsigned int max)
{
	struct drm_vsvm_bind_other vms[VSVM_MAX_SET];
	uint64_t start = to_u64(p), end = start + len;
	unsigned int n = 0, i;

	for (i = 0; i < (unsigned int)set->n; i++) {
		vms[i].fd = i ? set->fd[i] : DRM_VSVM_ATTR_THIS_FILE;
		vms[i].vm_id = set->vm[i];
	}
	while (start < end) {
		struct drm_vsvm_get_attr args = {
			.vm_id = set->vm[0],
			.start = start,
			.len = end - start,
			.vms = to_u64(vms),
			.intervals = to_u64(intervals + n),
			.num_vms = set->n,
			/* A few at a time, so that there is a rest. */
			.num_intervals = max - n < 5 ? max - n : 5,
		};

		igt_assert(n < max);
		igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_GET_ATTR,
					 &args), 0);
		igt_assert(args.num_intervals && args.num_intervals <= 5);
		for (i = n; i < n + args.num_intervals; i++) {
			igt_assert_eq_u64(intervals[i].start, start);
			igt_assert(intervals[i].len);
			start += intervals[i].len;
		}
		n += args.num_intervals;
	}
	igt_assert_eq_u64(start, end);
	return n;
}

/* An interval that has the same attributes all over. */
struct drm_vsvm_attr_interval attr_at(struct vsvm_set *set, const void *p,
				      size_t len)
{
	struct drm_vsvm_attr_interval intervals[8];
	unsigned int n = attr_get(set, p, len, intervals, 8);

	igt_assert_f(n == 1, "%u intervals instead of one\n", n);
	return intervals[0];
}

bool attr_equal(const struct drm_vsvm_attr_interval *a,
		const struct drm_vsvm_attr_interval *b)
{
	return a->accessed_by == b->accessed_by &&
	       a->no_access == b->no_access &&
	       a->preferred_location == b->preferred_location &&
	       a->read_mostly == b->read_mostly &&
	       a->granularity == b->granularity && a->atomics == b->atomics &&
	       a->prefetch == b->prefetch;
}

bool attr_none(const struct drm_vsvm_attr_interval *interval)
{
	const struct drm_vsvm_attr_interval none = {};

	return attr_equal(interval, &none);
}

void attr_expect_none(struct vsvm_set *set, const void *p, size_t len)
{
	struct drm_vsvm_attr_interval interval = attr_at(set, p, len);

	igt_assert(attr_none(&interval));
}

/* Faults that a GPU took so far. */
uint64_t attr_faults(struct vsvm_set *set, int gpu)
{
	return vsvm_stats(set->fd[gpu], set->vm[gpu]).faults;
}
