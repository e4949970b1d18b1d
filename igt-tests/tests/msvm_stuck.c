// SPDX-License-Identifier: MIT
/*
 * Ioctls that take as long as the process likes, or very long, and hold up nobody: a GPU
 * whose VM they use can be pulled out and reset, and others can.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
#define VRAM	ATTR("vram_mib=8")
/* A second for each MiB. */
#define SLOW	ATTR("vram_mib=64") ATTR("copy_mbps=1")

static int uffd = -1;

/* What a failed subtest left behind: nobody waits in it any more. */
static void uffd_done(void)
{
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
}

/* An ioctl in a thread; what its structure points to included. */
static struct stuck {
	pthread_t thread;
	int fd;
	unsigned long request;
	union {
		struct drm_vsvm_keep keep;
		struct drm_vsvm_bind bind;
		struct drm_vsvm_residency residency;
		struct drm_vsvm_migrate migrate;
	} args;
	struct drm_vsvm_bind_other others[VSVM_MAX_SET];
	int ret;
} stuck;

static void *stuck_thread(void *data)
{
	struct stuck *s = data;

	s->ret = vsvm_ioctl(s->fd, s->request, &s->args);
	return NULL;
}

static void stuck_start(int fd)
{
	stuck.fd = fd;
	igt_assert(!pthread_create(&stuck.thread, NULL, stuck_thread, &stuck));
}

static void *pull_thread(void *data)
{
	struct vsvm_set *set = data;

	return gpu_pull(set->n - 1) ? (void *)1 : NULL;
}

/* The last GPU is pulled out, within some time. */
static void pull_last(struct vsvm_set *set)
{
	pthread_t thread;

	igt_assert(!pthread_create(&thread, NULL, pull_thread, set));
	join_thread(thread);
	close(set->fd[--set->n]);
}

/* Memory whose faults nobody serves. */
static char *unserved(void)
{
	char *p = anon_aligned(SZ_4K, SZ_2M);

	uffd_done();
	uffd = uffd_open();
	uffd_register(uffd, p, SZ_4K);
	return p;
}

static void keep_args(struct vsvm_set *set, char *p)
{
	stuck.request = DRM_IOCTL_VSVM_KEEP;
	stuck.args.keep = (struct drm_vsvm_keep) {
		.vm_id = set->vm[set->n - 1], .start = to_u64(p), .len = SZ_4K,
		.access = DRM_VSVM_ACCESS_READ,
	};
}

/*
 * The GPU is pulled out while the ioctl of one of its VMs waits: it ends with @ret, at
 * once, or with 0 when it is served.
 */
static void pulled_from(struct vsvm_set *set, char *p, int fd, int ret)
{
	char *q = anon(SZ_4K);

	pattern_fill(q, SZ_4K, 5);
	stuck_start(fd);
	uffd_wait_fault(uffd);
	pull_last(set);
	if (!ret) {
		igt_assert_eq(pthread_tryjoin_np(stuck.thread, NULL), EBUSY);
		uffd_unregister(uffd, p, SZ_4K);
	}
	join_thread(stuck.thread);
	igt_assert_eq(stuck.ret, ret);
	uffd_done();
	munmap(p, SZ_4K);
	mm_all_agree(set, q, SZ_4K, 5);
	munmap(q, SZ_4K);
}

static void keep_unplug(struct vsvm_set *set)
{
	char *p = unserved();

	keep_args(set, p);
	pulled_from(set, p, set->fd[set->n - 1], -ENODEV);
}

/* On all of them, by the file of one. */
static void bind_unplug(struct vsvm_set *set, int by)
{
	char *p = unserved();
	int gpu, n = 0;

	stuck.request = DRM_IOCTL_VSVM_BIND;
	for (gpu = 0; gpu < set->n; gpu++) {
		if (gpu == by)
			continue;
		stuck.others[n].fd = set->fd[gpu];
		stuck.others[n++].vm_id = set->vm[gpu];
	}
	stuck.args.bind = (struct drm_vsvm_bind) {
		.vm_id = set->vm[by], .addr = to_u64(p), .length = SZ_4K,
		.num_others = n, .others = n ? to_u64(stuck.others) : 0,
	};
	pulled_from(set, p, set->fd[by], -ENODEV);
}

static void bind_unplug_own(struct vsvm_set *set)
{
	bind_unplug(set, set->n - 1);
}

static void bind_unplug_other(struct vsvm_set *set)
{
	bind_unplug(set, 0);
}

/* It is the copy of its result that waits. */
static void residency_unplug(struct vsvm_set *set)
{
	char *p = unserved(), *q = anon(SZ_4K);

	*q = 1;
	stuck.request = DRM_IOCTL_VSVM_RESIDENCY;
	stuck.args.residency = (struct drm_vsvm_residency) {
		.vm_id = set->vm[set->n - 1], .start = to_u64(q), .len = SZ_4K,
		.where = to_u64(p),
	};
	pulled_from(set, p, set->fd[set->n - 1], 0);
	munmap(q, SZ_4K);
}

/* The VM is destroyed. */
static void keep_destroy(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = unserved();

	keep_args(set, p);
	stuck_start(set->fd[last]);
	uffd_wait_fault(uffd);
	igt_assert(!vsvm_vm_destroy(set->fd[last], set->vm[last]));
	join_thread(stuck.thread);
	igt_assert_eq(stuck.ret, -ENODEV);
	uffd_done();
	set->vm[last] = vsvm_vm_create(set->fd[last], set->layout);
	pattern_fill(p, SZ_4K, 6);
	mm_all_agree(set, p, SZ_4K, 6);
	munmap(p, SZ_4K);
}

/* A reset drops the mappings of VMs that an ioctl uses as well. */
static void keep_reset(struct vsvm_set *set)
{
	char *p = unserved(), *q = anon_aligned(SZ_2M, SZ_2M);
	int last = set->n - 1;
	uint64_t zaps;

	madvise(q, SZ_2M, MADV_NOHUGEPAGE);
	pattern_fill(q, SZ_4K, 1);
	mm_all_check(set, q, SZ_4K, 1);
	keep_args(set, p);
	stuck_start(set->fd[last]);
	uffd_wait_fault(uffd);
	zaps = gpu_counter(set->fd[last], "zaps");
	gpu_debugfs_write(set->fd[last], "reset", 1);
	igt_assert(gpu_counter(set->fd[last], "zaps") > zaps);
	igt_assert_eq(pthread_tryjoin_np(stuck.thread, NULL), EBUSY);
	mm_all_agree(set, q, SZ_4K, 1);

	uffd_unregister(uffd, p, SZ_4K);
	join_thread(stuck.thread);
	igt_assert_eq(stuck.ret, 0);
	uffd_done();
	munmap(p, SZ_4K);
	munmap(q, SZ_2M);
}

/*
 * A move takes more than a minute. Meanwhile another GPU can be pulled out, or the one
 * that it goes to.
 */
static void migrate_unplug(struct vsvm_set *set)
{
	char *p = anon_aligned(64 * MIB, SZ_2M);
	int64_t deadline = vsvm_deadline(60);
	bool alone = set->n == 1;

	igt_require_f(!gpus_on_pci(), "PCI functions are as fast as they are\n");
	memset(p, 1, 64 * MIB);
	stuck.request = DRM_IOCTL_VSVM_MIGRATE;
	stuck.args.migrate = (struct drm_vsvm_migrate) {
		.vm_id = set->vm[0], .start = to_u64(p), .len = 64 * MIB,
		.target = vram_index(set, 0) + 1,
	};
	stuck_start(set->fd[0]);
	while (!vram_info(set, 0).used)
		igt_assert_f(vsvm_now() < deadline, "nothing moves\n");
	pull_last(set);
	if (!alone) {
		igt_assert_eq(pthread_tryjoin_np(stuck.thread, NULL), EBUSY);
		igt_assert(!vsvm_vm_destroy(set->fd[0], set->vm[0]));
	}
	join_thread(stuck.thread);
	igt_assert_eq(stuck.ret, -ENODEV);
	igt_assert_eq(*p, 1);
	munmap(p, 64 * MIB);
	if (!alone)
		set->vm[0] = vsvm_vm_create(set->fd[0], set->layout);
}

igt_main
{
	each_made("keep-unplug", "the GPU is pulled out while KEEP waits",
		  MSVM_ONLY, NO_ATTRS, keep_unplug);
	each_made("bind-unplug", "likewise, BIND", MSVM_ONLY, NO_ATTRS,
		  bind_unplug_own);
	each_made("bind-unplug-other", "likewise, of another GPU's file", MSVM_ONLY,
		  NO_ATTRS, bind_unplug_other);
	each_made("residency-unplug", "likewise, the result of RESIDENCY",
		  MSVM_ONLY, NO_ATTRS, residency_unplug);
	each_made("keep-destroy", "the VM is destroyed while KEEP waits",
		  MSVM_ONLY, NO_ATTRS, keep_destroy);
	each_made("keep-reset", "the GPU is reset while KEEP waits", MSVM_ONLY,
		  VRAM, keep_reset);
	each_made("migrate-unplug", "a GPU is pulled out while another's memory fills",
		  MSVM_ONLY, SLOW, migrate_unplug);
	igt_fixture {
		uffd_done();
	}
}
