// SPDX-License-Identifier: MIT
/*
 * Members come and go, and what can be seen of it in debugfs.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/each.h"

static void test_create_destroy(struct vsvm_set *set)
{
	int i, round;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < set->n; i++) {
			igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]), 0);
			igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]),
				      -ENOENT);
		}
		for (i = 0; i < set->n; i++)
			set->vm[i] = vsvm_vm_create(set->fd[i], set->layout);
	}
}

/* All VMs of a process are in one address space, whatever the GPU. */
static void test_one_context(struct vsvm_set *set)
{
	uint32_t id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	char path[64], buf[4096];
	int i;

	igt_assert(id);
	for (i = 0; i < set->n; i++)
		igt_assert_eq_u64(vsvm_stats(set->fd[i], set->vm[i]).context_id,
				  id);
	igt_assert_eq_u64(context_value(id, "info", "members"), set->n);
	igt_assert_eq_u64(context_value(id, "info", "pid"), getpid());

	for (i = 0; i < set->n; i++)
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], set->vm[i]), 0);
	/* The last one that leaves takes the address space with it. */
	snprintf(path, sizeof(path), "%u/info", id);
	igt_assert(!debugfs_read(path, buf, sizeof(buf)));
}

static void test_join_late(struct vsvm_set *set)
{
	char *p = anon(SZ_64K);
	uint32_t vm;
	int i;

	pattern_fill(p, SZ_64K, 1);
	vsvm_gpu_check(set, 0, p, SZ_64K, 1);
	for (i = 0; i < set->n; i++) {
		uint32_t old = set->vm[i];

		vm = vsvm_vm_create(set->fd[i], set->layout);
		set->vm[i] = vm;
		vsvm_gpu_check(set, i, p, SZ_64K, 1);
		vsvm_gpu_write(set, i, p, SZ_64K, 1);
		set->vm[i] = old;
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm), 0);
		vsvm_gpu_check(set, i, p, SZ_64K, 1);
	}
	munmap(p, SZ_64K);
}

struct joiner {
	int fd;
	uint32_t layout;
	char *p;
	int rounds;
	bool failed;
};

static void *join_leave(void *data)
{
	struct joiner *j = data;
	uint64_t out[2] = {};
	int i;

	for (i = 0; i < j->rounds; i++) {
		struct drm_vsvm_vm_create c = { .layout = j->layout };
		struct drm_vsvm_vm_destroy d = {};
		struct drm_vsvm_cmd cmd = vsvm_load(j->p, 8, out);
		struct drm_vsvm_exec e = { .num_cmds = 1, .cmds = to_u64(&cmd) };
		struct drm_vsvm_wait w = { .timeout_ns = vsvm_deadline(30) };

		j->failed = j->failed ||
			    vsvm_ioctl(j->fd, DRM_IOCTL_VSVM_VM_CREATE, &c);
		e.vm_id = c.vm_id;
		d.vm_id = c.vm_id;
		w.vm_id = c.vm_id;
		j->failed = j->failed ||
			    vsvm_ioctl(j->fd, DRM_IOCTL_VSVM_EXEC, &e);
		/* Half of them leave with the fault under way. */
		if (i % 2)
			j->failed = j->failed ||
				    vsvm_ioctl(j->fd, DRM_IOCTL_VSVM_WAIT, &w) ||
				    w.status;
		j->failed = j->failed ||
			    vsvm_ioctl(j->fd, DRM_IOCTL_VSVM_VM_DESTROY, &d);
	}
	return NULL;
}

/*
 * Members join, fault and leave while others fault in the same range, which is
 * invalidated all the time. 1,000 rounds (debug kernel: 100).
 */
static void test_join_leave_faults(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);
	struct joiner j = {
		.fd = vsvm_open(0), .layout = set->layout, .p = p,
		.rounds = vsvm_scale(1000, 100),
	};
	int i, done = 0, turns = 0;
	pthread_t thread;

	memset(p, 1, SZ_64K);
	igt_assert(j.fd >= 0);
	igt_assert(!pthread_create(&thread, NULL, join_leave, &j));
	while (!done) {
		done = !pthread_tryjoin_np(thread, NULL);
		igt_assert(!madvise(p, SZ_64K, MADV_DONTNEED));
		memset(p, 1, SZ_64K);
		for (i = 0; i < set->n; i++)
			igt_assert_eq_u64(vsvm_gpu_load(set, i, p),
					  0x0101010101010101ULL);
		turns++;
	}
	igt_assert(!j.failed);
	igt_info("%d joins, %d invalidations\n", j.rounds, turns);
	close(j.fd);
	munmap(p, SZ_64K);
}

/* The 65th member is refused, and changes nothing. */
static void test_many_members(struct vsvm_set *set)
{
	struct drm_vsvm_vm_create c = { .layout = set->layout };
	uint32_t vm[64], id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	uint64_t *p = anon(SZ_4K), expect = 0;
	int n = 64 - set->n, i;

	for (i = 0; i < n; i++) {
		struct drm_vsvm_cmd cmd = vsvm_add(p, 8, i + 1, NULL);
		uint64_t job;

		vm[i] = vsvm_vm_create(set->fd[i % set->n], set->layout);
		job = vsvm_submit(set->fd[i % set->n], vm[i], 0, &cmd, 1);
		igt_assert_eq(vsvm_wait(set->fd[i % set->n], vm[i], job).status,
			      0);
		expect += i + 1;
	}
	igt_assert_eq_u64(*p, expect);
	igt_assert_eq_u64(context_value(id, "info", "members"), 64);
	igt_assert_eq(vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_VM_CREATE, &c),
		      -ENOSPC);
	igt_assert_eq_u64(context_value(id, "info", "members"), 64);

	for (i = 0; i < n; i++)
		igt_assert_eq(vsvm_vm_destroy(set->fd[i % set->n], vm[i]), 0);
	igt_assert_eq_u64(vsvm_gpu_load(set, 0, p), expect);
	munmap(p, SZ_4K);
}

/* Bookkeeping goes when the memory goes, and all of it with the last member. */
static void test_bytes(struct vsvm_set *set)
{
	uint64_t before, during;
	char *p = anon_aligned(4 * SZ_2M, SZ_2M);
	int i;

	pattern_fill(p, SZ_4K, 1);
	before = vsvm_stats(set->fd[0], set->vm[0]).ranges;
	for (i = 0; i < set->n; i++)
		vsvm_gpu_check(set, i, p, SZ_4K, 1);
	during = vsvm_stats(set->fd[0], set->vm[0]).ranges;
	igt_assert(during > before);
	igt_assert(debugfs_value("stats", "bytes") > 0);
	munmap(p, 4 * SZ_2M);
	vsvm_set_close(set);
	igt_assert_eq_u64(debugfs_value("stats", "bytes"), 0);
}

static void test_debugfs_files(struct vsvm_set *set)
{
	static const char * const files[] = {
		"info", "members", "ranges", "stats",
	};
	static const char * const top[] = { "contexts", "devices", "stats" };
	uint32_t id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	char path[128], line[64];
	static char buf[65536];
	struct stat st;
	char *p = anon(SZ_64K);
	unsigned int i;

	pattern_fill(p, SZ_64K, 1);
	for (i = 0; i < (unsigned int)set->n; i++)
		vsvm_gpu_check(set, i, p, SZ_64K, 1);

	for (i = 0; i < sizeof(top) / sizeof(top[0]); i++)
		igt_assert(debugfs_read(top[i], buf, sizeof(buf)) && *buf);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%u/%s", id, files[i]);
		igt_assert(debugfs_read(path, buf, sizeof(buf)) && *buf);
		snprintf(path, sizeof(path), "/sys/kernel/debug/drm_msvm/%u/%s",
			 id, files[i]);
		igt_assert(!stat(path, &st));
		igt_assert_eq(st.st_mode & 0777, 0400);
	}
	/* The range of @p is there, valid, and mapped by every slot. */
	snprintf(path, sizeof(path), "%u/ranges", id);
	igt_assert(debugfs_read(path, buf, sizeof(buf)));
	snprintf(line, sizeof(line), "00000000,%08x", (1U << set->n) - 1);
	igt_assert_f(strstr(buf, line), "no %s in:\n%s", line, buf);
	munmap(p, SZ_64K);
}

igt_main
{
	each("create-destroy", "VMs are made and destroyed", MSVM_AND_1TO1,
	     test_create_destroy);
	each("one-context", "one address space a process", MSVM_ONLY,
	     test_one_context);
	each("join-late", "a new member sees the memory, an old one keeps it",
	     MSVM_AND_1TO1, test_join_late);
	each("join-leave-faults", "members come and go under faults",
	     MSVM_AND_1TO1, test_join_leave_faults);
	each("many-members", "64 members and no more", MSVM_ONLY,
	     test_many_members);
	each("bytes", "no bookkeeping stays behind", MSVM_ONLY, test_bytes);
	each("debugfs-files", "files of debugfs and their contents", MSVM_ONLY,
	     test_debugfs_files);
}
