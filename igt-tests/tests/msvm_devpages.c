// SPDX-License-Identifier: MIT
/*
 * Memory operations of the process on pages that are in a GPU's memory: advice,
 * protection, moving and unmapping of parts, locking, userfaultfd, and all ways by
 * which the kernel itself reads and writes a process's memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/*
 * A huge page or 512 small ones in the last GPU, mapped by the first as well if it
 * is in reach.
 */
static char *in_gpu(struct vsvm_set *set, int advice, uint64_t seed)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	madvise(p, SZ_2M, advice);
	pattern_fill(p, SZ_2M, seed);
	vram_migrate(set, p, SZ_2M, set->n - 1);
	vsvm_gpu_check(set, set->n - 1, p, SZ_2M, seed);
	if (gpus_can_peer())
		vsvm_gpu_load(set, 0, p);
	/* Without peers that took it to system memory. */
	vram_migrate(set, p, SZ_2M, set->n - 1);
	return p;
}

#define for_each_size(advice) \
	for (int advice = MADV_HUGEPAGE; advice <= MADV_NOHUGEPAGE; advice++)

static void gone(struct vsvm_set *set, char *p, size_t len)
{
	munmap(p, len);
	vram_expect_empty(set);
}

/* Parts are unmapped until nothing is left; the rest stays right. */
static void unmap_part(struct vsvm_set *set)
{
	static char copy[SZ_2M];

	pattern_fill(copy, SZ_2M, 1);
	for_each_size(advice) {
		char *p = in_gpu(set, advice, 1), *out = anon(SZ_2M);
		size_t end = SZ_2M;

		while (end > SZ_4K) {
			struct drm_vsvm_cmd cmd;
			size_t half = end / 2 & ~(SZ_4K - 1);

			igt_assert(!munmap(p + half, end - half));
			end = half;
			cmd = vsvm_copy(out, p, end);
			vsvm_run(set, set->n - 1, &cmd, 1);
			igt_assert(!memcmp(out, copy, end));
			vsvm_expect_fault(set, set->n - 1,
					  vsvm_load(p + end, 8, (void *)out),
					  -EFAULT, p + end,
					  DRM_VSVM_ACCESS_READ);
		}
		igt_assert(!memcmp(p, copy, end));
		munmap(out, SZ_2M);
		gone(set, p, end);
	}
}

/* A part may only be read, or not at all. */
static void protect_part(struct vsvm_set *set)
{
	for_each_size(advice) {
		char *p = in_gpu(set, advice, 2);

		igt_assert(!mprotect(p + SZ_64K, SZ_64K, PROT_READ));
		igt_assert(!mprotect(p + 3 * SZ_64K, SZ_64K, PROT_NONE));
		vsvm_gpu_check(set, 0, p, 3 * SZ_64K, 2);
		vsvm_expect_fault(set, 0, vsvm_store(p + SZ_64K, 8, 1), -EACCES,
				  p + SZ_64K, DRM_VSVM_ACCESS_WRITE);
		mm_all_fault(set, p + 3 * SZ_64K, -EACCES);
		igt_assert(!mprotect(p, SZ_2M, PROT_READ | PROT_WRITE));
		mm_all_check(set, p, SZ_2M, 2);
		vsvm_gpu_write(set, 0, p, SZ_2M, 3);
		pattern_check(p, SZ_2M, 3);
		gone(set, p, SZ_2M);
	}
}

/* Parts move to other addresses, and what was there is empty or gone. */
static void move_part(struct vsvm_set *set)
{
	for_each_size(advice) {
		char *p = in_gpu(set, advice, 4), *q = anon_aligned(SZ_2M, SZ_2M);

		igt_assert(mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE |
				  MREMAP_FIXED | MREMAP_DONTUNMAP, q) == q);
		mm_all_check(set, q, SZ_2M, 4);
		pattern_check(q, SZ_2M, 4);
		mm_all_zero(set, p, SZ_64K);
		vram_migrate(set, q, SZ_2M, 0);
		igt_assert(mremap(q, SZ_64K, SZ_64K, MREMAP_MAYMOVE |
				  MREMAP_FIXED, p + SZ_4K) == p + SZ_4K);
		mm_all_check(set, p + SZ_4K, SZ_64K, 4);
		pattern_check(p + SZ_4K, SZ_64K, 4);
		mm_all_fault(set, q, -EFAULT);
		munmap(p, SZ_2M);
		gone(set, q, SZ_2M);
	}
}

/* Dropped: zeroes come again. Cold, wanted, populated: nothing changes. */
static void advice(struct vsvm_set *set)
{
	static const int harmless[] = {
		MADV_COLD, MADV_WILLNEED, MADV_POPULATE_READ,
		MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_PAGEOUT, MADV_RANDOM,
		MADV_DONTFORK, MADV_DOFORK, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
	};
	size_t i;

	for_each_size(size) {
		char *p = in_gpu(set, size, 5);

		for (i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
			/* Whether it does anything is the kernel's business. */
			madvise(p, SZ_2M, harmless[i]);
			mm_all_check(set, p, SZ_2M, 5);
			madvise(p + SZ_64K, SZ_64K, harmless[i]);
			vsvm_gpu_check(set, set->n - 1, p, SZ_2M, 5);
			vram_try_migrate(set, 0, p, SZ_2M, set->n - 1);
		}
		pattern_check(p, SZ_2M, 5);
		vram_migrate(set, p, SZ_2M, set->n - 1);
		igt_assert(!madvise(p + SZ_64K, SZ_64K, MADV_DONTNEED));
		mm_all_zero(set, p + SZ_64K, SZ_64K);
		pattern_check(p, SZ_64K, 5);
		gone(set, p, SZ_2M);
	}
}

/* What a GPU writes after MADV_FREE is kept. */
static void madv_free(struct vsvm_set *set)
{
	igt_require_f(swap_start(), "no swap space\n");
	for_each_size(size) {
		char *p = in_gpu(set, size, 6);

		igt_assert(!madvise(p, SZ_2M, MADV_FREE));
		vsvm_gpu_write(set, set->n - 1, p, SZ_2M, 7);
		vsvm_gpu_check(set, 0, p, SZ_2M, 7);
		/* Back, and out to swap space, if that works now. */
		vram_try_migrate(set, 0, p, SZ_2M, TO_SYSTEM);
		mm_drain();
		madvise(p, SZ_2M, MADV_PAGEOUT);
		mm_all_check(set, p, SZ_2M, 7);
		pattern_check(p, SZ_2M, 7);
		gone(set, p, SZ_2M);
	}
	swap_stop();
}

/* Locked memory comes back or stays, and is right. */
static void locked(struct vsvm_set *set)
{
	for_each_size(size) {
		char *p = in_gpu(set, size, 8);

		igt_assert(!mlock(p, SZ_2M));
		mm_all_check(set, p, SZ_2M, 8);
		vram_try_migrate(set, 0, p, SZ_2M, 0);
		vsvm_gpu_write(set, 0, p, SZ_2M, 9);
		mm_all_check(set, p, SZ_2M, 9);
		igt_assert(!munlock(p, SZ_2M));
		vram_migrate(set, p, SZ_2M, 0);
		mm_all_agree(set, p, SZ_64K, 9);
		gone(set, p, SZ_2M);
	}
}

static void by_process_vm(char *p, char *buf)
{
	struct iovec local = { buf, SZ_2M }, remote = { p, SZ_2M };

	igt_assert_eq(process_vm_readv(getpid(), &local, 1, &remote, 1, 0),
		      (ssize_t)SZ_2M);
}

static void by_proc_mem(char *p, char *buf)
{
	int fd = open("/proc/self/mem", O_RDONLY);

	igt_assert(fd >= 0);
	igt_assert_eq(pread(fd, buf, SZ_2M, to_u64(p)), (ssize_t)SZ_2M);
	close(fd);
}

static void by_pipe(char *p, char *buf)
{
	size_t done;
	int pipes[2];

	igt_assert(!pipe(pipes));
	for (done = 0; done < SZ_2M; done += SZ_64K) {
		struct iovec iov = { p + done, SZ_64K };

		igt_assert_eq(vmsplice(pipes[1], &iov, 1, 0), (ssize_t)SZ_64K);
		igt_assert_eq(read(pipes[0], buf + done, SZ_64K),
			      (ssize_t)SZ_64K);
	}
	close(pipes[0]);
	close(pipes[1]);
}

static void by_file(char *p, char *buf)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);

	igt_assert(fd >= 0);
	igt_assert_eq(pwrite(fd, p, SZ_2M, 0), (ssize_t)SZ_2M);
	igt_assert_eq(pread(fd, buf, SZ_2M, 0), (ssize_t)SZ_2M);
	close(fd);
}

/* The kernel reads pages of a GPU for others. */
static void kernel_reads(struct vsvm_set *set)
{
	static void (* const ways[])(char *p, char *buf) = {
		by_process_vm, by_proc_mem, by_pipe, by_file,
	};
	char *buf = anon(SZ_2M);
	size_t i;

	for_each_size(size) {
		char *p = in_gpu(set, size, 10);

		for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
			vram_migrate(set, p, SZ_2M, set->n - 1);
			memset(buf, 0, SZ_2M);
			ways[i](p, buf);
			pattern_check(buf, SZ_2M, 10);
			mm_all_check(set, p, SZ_2M, 10);
		}
		gone(set, p, SZ_2M);
	}
	munmap(buf, SZ_2M);
}

/* The kernel writes to them. */
static void kernel_writes(struct vsvm_set *set)
{
	char *buf = anon(SZ_2M);
	struct iovec local = { buf, SZ_2M };
	int fd;

	for_each_size(size) {
		char *p = in_gpu(set, size, 11);
		struct iovec remote = { p, SZ_2M };

		pattern_fill(buf, SZ_2M, 12);
		igt_assert_eq(process_vm_writev(getpid(), &local, 1, &remote, 1,
						0), (ssize_t)SZ_2M);
		mm_all_check(set, p, SZ_2M, 12);
		vram_migrate(set, p, SZ_2M, 0);
		fd = open("/proc/self/mem", O_RDWR);
		pattern_fill(buf, SZ_2M, 13);
		igt_assert_eq(pwrite(fd, buf, SZ_2M, to_u64(p)), (ssize_t)SZ_2M);
		close(fd);
		mm_all_check(set, p, SZ_2M, 13);
		vram_migrate(set, p, SZ_2M, 0);
		fd = memfd_create("msvm", MFD_CLOEXEC);
		pattern_fill(buf, SZ_2M, 14);
		igt_assert_eq(write(fd, buf, SZ_2M), (ssize_t)SZ_2M);
		igt_assert_eq(pread(fd, p, SZ_2M, 0), (ssize_t)SZ_2M);
		close(fd);
		mm_all_agree(set, p, SZ_64K, 14);
		gone(set, p, SZ_2M);
	}
	munmap(buf, SZ_2M);
}

/* Everything that only looks at page tables. */
static void looked_at(struct vsvm_set *set)
{
	unsigned char *core = malloc(512);

	igt_assert(core);
	for_each_size(size) {
		char *p = in_gpu(set, size, 15);

		mm_present(p, SZ_2M);
		mm_swapped(p, SZ_2M);
		mm_smaps(p, "Rss");
		igt_assert(!mincore(p, SZ_2M, core));
		file_write("/proc/self/clear_refs", "1");
		file_write("/proc/self/clear_refs", "4");
		syscall(SYS_mbind, p, SZ_2M, 1 /* MPOL_PREFERRED */, NULL, 0,
			2 /* MPOL_MF_MOVE */);
		vsvm_gpu_check(set, set->n - 1, p, SZ_2M, 15);
		mm_all_agree(set, p, SZ_64K, 15);
		gone(set, p, SZ_2M);
	}
	free(core);
}

/* The memory serves missing pages itself: a GPU must not make them of nothing. */
static void uffd_missing(struct vsvm_set *set)
{
	char *served = anon(SZ_2M);
	int uffd = uffd_open();

	pattern_fill(served, SZ_2M, 16);
	for_each_size(size) {
		char *p = in_gpu(set, size, 17);
		uint64_t job, *sum = anon(SZ_4K);
		struct drm_vsvm_cmd cmd = vsvm_sum(sum, p + SZ_64K, SZ_64K);
		uint64_t want = 0, i;

		uffd_register(uffd, p, SZ_2M);
		igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
		job = vsvm_submit(set->fd[0], set->vm[0], 0, &cmd, 1);
		uffd_wait_fault(uffd);
		uffd_copy(uffd, p, served, SZ_2M);
		igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
		for (i = SZ_64K; i < 2 * SZ_64K; i++)
			want += (unsigned char)served[i];
		igt_assert_eq_u64(*sum, want);
		vram_migrate(set, p, SZ_2M, set->n - 1);
		mm_all_check(set, p, SZ_2M, 16);
		uffd_unregister(uffd, p, SZ_2M);
		munmap(sum, SZ_4K);
		gone(set, p, SZ_2M);
	}
	close(uffd);
	munmap(served, SZ_2M);
}

/* Moving memory that is not there must not take the place of who serves it. */
static void uffd_migrate(struct vsvm_set *set)
{
	char *served = anon(SZ_2M), *p = anon_aligned(SZ_2M, SZ_2M);
	int uffd = uffd_open();

	pattern_fill(served, SZ_2M, 18);
	for_each_size(size) {
		madvise(p, SZ_2M, size);
		madvise(p, SZ_2M, MADV_DONTNEED);
		uffd_register(uffd, p, SZ_2M);
		vram_try_migrate(set, 0, p, SZ_2M, 0);
		vram_expect(set, p, SZ_2M, WHERE_NONE);
		uffd_copy(uffd, p, served, SZ_2M);
		mm_all_check(set, p, SZ_2M, 18);
		uffd_unregister(uffd, p, SZ_2M);
	}
	close(uffd);
	munmap(served, SZ_2M);
	gone(set, p, SZ_2M);
}

static void uffd_protect(int uffd, void *p, size_t len, bool on)
{
	struct uffdio_writeprotect wp = {
		.range = { to_u64(p), len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	igt_assert_f(!ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), "%s\n",
		     strerror(errno));
}

/* Write-protected by userfaultfd: a GPU's write waits until it is allowed. */
static void uffd_wp(struct vsvm_set *set)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	int uffd, gpu;

	for_each_size(size) {
		/* The call writes all that the kernel has to it. */
		struct uffdio_api api = {
			.api = UFFD_API,
			.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		};
		char *p = in_gpu(set, size, 19);
		struct pollfd pfd = { .events = POLLIN };
		uint64_t jobs[VSVM_MAX_SET];

		uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		igt_require_f(uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api),
			      "no userfaultfd\n");
		reg.range.start = to_u64(p);
		reg.range.len = SZ_2M;
		igt_require_f(!ioctl(uffd, UFFDIO_REGISTER, &reg),
			      "no write protection by userfaultfd\n");
		uffd_protect(uffd, p, SZ_2M, true);
		mm_all_check(set, p, SZ_2M, 19);
		for (gpu = 0; gpu < set->n; gpu++) {
			struct drm_vsvm_cmd cmd = vsvm_add(p, 8, 1, NULL);

			jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0,
						&cmd, 1);
		}
		pfd.fd = uffd;
		igt_assert_f(poll(&pfd, 1, poll_limit()) == 1,
			     "nobody asks before writing\n");
		/* None has written. */
		for (gpu = 0; gpu < set->n; gpu++) {
			struct drm_vsvm_wait wait = {
				.vm_id = set->vm[gpu], .job_id = jobs[gpu],
			};

			igt_assert_eq(vsvm_ioctl(set->fd[gpu],
						 DRM_IOCTL_VSVM_WAIT, &wait),
				      -ETIME);
		}
		pattern_check(p, SZ_2M, 19);
		uffd_protect(uffd, p, SZ_2M, false);
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
						jobs[gpu]).status, 0);
		close(uffd);
		pattern_fill(p, SZ_2M, 20);
		mm_all_agree(set, p, SZ_64K, 20);
		gone(set, p, SZ_2M);
	}
}

static sigjmp_buf bus_jump;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(bus_jump, 1);
}

/* Return: whether reading a byte raises SIGBUS. */
static bool sigbus_at(const volatile char *p)
{
	struct sigaction act = { .sa_handler = on_sigbus }, old;
	bool raised = true;

	igt_assert(!sigaction(SIGBUS, &act, &old));
	if (!sigsetjmp(bus_jump, 1)) {
		(void)*p;
		raised = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return raised;
}

/* The copy fails that the CPU needs: SIGBUS, and nothing is lost. */
static void copy_fails(struct vsvm_set *set)
{
	int last = set->n - 1;

	for_each_size(size) {
		char *p = in_gpu(set, size, 21);
		int status;

		gpu_debugfs_write(set->fd[last], "fail_copy", 1);
		igt_assert(sigbus_at(p));
		vram_expect(set, p, SZ_2M, where_gpu(set, last));
		vsvm_gpu_check(set, last, p, SZ_2M, 21);

		/* On request: it stays, and that is said. */
		gpu_debugfs_write(set->fd[last], "fail_copy", 1);
		status = vram_try_migrate(set, 0, p, SZ_2M, TO_SYSTEM);
		igt_assert(status == -EBUSY || status == -EFAULT);
		igt_assert(vram_count(set, p, SZ_2M, where_gpu(set, last)) > 0);
		gpu_debugfs_write(set->fd[last], "fail_copy", 0);
		pattern_check(p, SZ_2M, 21);
		mm_all_agree(set, p, SZ_64K, 21);
		gone(set, p, SZ_2M);
	}
}

/* The copy fails by which another GPU would get the memory: it may fail, once. */
static void copy_fails_gpu(struct vsvm_set *set)
{
	int last = set->n - 1, n;

	for (n = 1; n <= 4; n++) {
		char *p = in_gpu(set, n % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, n);
		char *out = anon_aligned(SZ_2M, SZ_2M);
		struct drm_vsvm_cmd cmd = vsvm_copy(out, p, SZ_2M);
		struct drm_vsvm_wait wait;

		gpu_debugfs_write(set->fd[last], "fail_copy", n);
		wait = vsvm_try(set, 0, &cmd, 1);
		gpu_debugfs_write(set->fd[last], "fail_copy", 0);
		igt_assert(!wait.status || wait.status == -EFAULT ||
			   wait.status == -EIO);
		if (!wait.status)
			pattern_check(out, SZ_2M, n);
		vram_try_migrate(set, 0, p, SZ_2M, 0);
		mm_all_check(set, p, SZ_2M, n);
		pattern_check(p, SZ_2M, n);
		munmap(out, SZ_2M);
		gone(set, p, SZ_2M);
	}
}

igt_main
{
	each_made("unmap-part", "unmapped in parts", MSVM_ONLY, VRAM,
		  unmap_part);
	each_made("protect-part", "parts are protected", MSVM_ONLY, PEERS,
		  protect_part);
	each_made("move-part", "parts move to other addresses", MSVM_ONLY,
		  VRAM, move_part);
	each_made("move-part-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  move_part);
	each_made("advice", "all kinds of advice", MSVM_ONLY, VRAM, advice);
	each_made("free", "MADV_FREE, then a GPU writes", MSVM_ONLY, VRAM,
		  madv_free);
	each_made("free-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  madv_free);
	each_made("mlock", "memory is locked", MSVM_ONLY, VRAM, locked);
	each_made("kernel-reads", "the kernel reads it", MSVM_ONLY, VRAM,
		  kernel_reads);
	each_made("kernel-writes", "the kernel writes it", MSVM_ONLY, PEERS,
		  kernel_writes);
	each_made("looked-at", "page tables are looked at", MSVM_ONLY, VRAM,
		  looked_at);
	each_made("uffd-missing", "userfaultfd serves what is missing",
		  MSVM_ONLY, VRAM, uffd_missing);
	each_made("uffd-migrate", "moving what userfaultfd serves", MSVM_ONLY,
		  VRAM, uffd_migrate);
	each_made("uffd-wp", "userfaultfd allows writing", MSVM_ONLY, VRAM,
		  uffd_wp);
	each_made("uffd-wp-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  uffd_wp);
	each_made("copy-fails", "the CPU's copy fails", MSVM_ONLY, VRAM,
		  copy_fails);
	each_made("copy-fails-gpu", "another GPU's copy fails", MSVM_ONLY, VRAM,
		  copy_fails_gpu);
	each_made("copy-fails-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  copy_fails_gpu);

	igt_fixture {
		swap_stop();
	}
}
