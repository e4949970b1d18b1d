// SPDX-License-Identifier: MIT
/*
 * Memory served by the process itself, through userfaultfd: a thread answers the
 * faults that GPUs take, and sees their writes where it asked for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#ifndef UFFDIO_MOVE
#define _UFFDIO_MOVE 0x05
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};

#define UFFDIO_MOVE _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

/* How a page is served; the source has the same offset as the fault. */
enum how {
	BY_COPY,
	BY_MOVE,
	BY_ZERO,
	BY_UNPROTECT,
	BY_CONTINUE,
};

/**
 * struct server - A thread that serves faults.
 * @fd: The userfaultfd.
 * @stop: Pipe that ends it.
 * @how: What it does.
 * @p: Memory that is served.
 * @from: What it is served from.
 * @served: Pages served.
 */
static struct server {
	int fd, stop[2];
	enum how how;
	char *p, *from;
	int served;
	pthread_t thread;
} server = { .fd = -1 };

static int serve(struct server *s, uint64_t at)
{
	uint64_t offset = at - to_u64(s->p);
	struct uffdio_copy copy = {
		.dst = at, .src = to_u64(s->from) + offset, .len = SZ_4K,
	};
	struct uffdio_move move = {
		.dst = at, .src = to_u64(s->from) + offset, .len = SZ_4K,
	};
	struct uffdio_zeropage zero = { .range = { at, SZ_4K } };
	struct uffdio_writeprotect unprotect = { .range = { at, SZ_4K } };
	struct uffdio_continue cont = { .range = { at, SZ_4K } };

	switch (s->how) {
	case BY_COPY:
		return ioctl(s->fd, UFFDIO_COPY, &copy);
	case BY_MOVE:
		return ioctl(s->fd, UFFDIO_MOVE, &move);
	case BY_ZERO:
		return ioctl(s->fd, UFFDIO_ZEROPAGE, &zero);
	case BY_UNPROTECT:
		return ioctl(s->fd, UFFDIO_WRITEPROTECT, &unprotect);
	case BY_CONTINUE:
		/* The page is in the file by what is written to its other name. */
		return ioctl(s->fd, UFFDIO_CONTINUE, &cont);
	}
	return -1;
}

static void *serve_all(void *data)
{
	struct server *s = data;
	struct pollfd fds[2] = {
		{ .fd = s->fd, .events = POLLIN },
		{ .fd = s->stop[0], .events = POLLIN },
	};
	struct uffd_msg msg;

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			return (void *)1;
		if (fds[1].revents)
			return NULL;
		if (read(s->fd, &msg, sizeof(msg)) != sizeof(msg)) {
			if (errno == EAGAIN)
				continue;
			return (void *)2;
		}
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			return (void *)3;
		/* Before it is: who asked looks at the count. */
		__atomic_add_fetch(&s->served, 1, __ATOMIC_RELAXED);
		/* Two may have asked for the same page. */
		if (serve(s, msg.arg.pagefault.address & ~(SZ_4K - 1)) &&
		    errno != EEXIST && errno != EAGAIN)
			return (void *)4;
	}
}

static void server_start(enum how how, char *p, char *from, size_t len,
			 uint64_t features, uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = {
		.range = { to_u64(p), len }, .mode = mode,
	};

	if (server.fd >= 0)
		close(server.fd);
	server = (struct server){
		.how = how, .p = p, .from = from,
		.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK),
	};
	igt_require_f(server.fd >= 0, "no userfaultfd\n");
	igt_require_f(!ioctl(server.fd, UFFDIO_API, &api),
		      "userfaultfd lacks features %#llx\n",
		      (unsigned long long)features);
	igt_assert(!ioctl(server.fd, UFFDIO_REGISTER, &reg));
	igt_assert(!pipe(server.stop));
	igt_assert(!pthread_create(&server.thread, NULL, serve_all, &server));
}

static void server_stop(void)
{
	void *ret;

	igt_assert(write(server.stop[1], "", 1) == 1);
	igt_assert(!pthread_join(server.thread, &ret));
	igt_assert_eq((int)to_u64(ret), 0);
	close(server.fd);
	close(server.stop[0]);
	close(server.stop[1]);
	server.fd = -1;
}

/* All GPUs at once ask for pages that are not there. */
static void read_missing(struct vsvm_set *set, enum how how, uint64_t features)
{
	char *p = anon_aligned(SZ_64K, SZ_2M), *from = anon_aligned(SZ_64K, SZ_2M);
	static uint64_t jobs[VSVM_MAX_SET];
	static char *out[VSVM_MAX_SET];
	int i;

	pattern_fill(from, SZ_64K, 1);
	mm_all_check(set, from, SZ_64K, 1);
	server_start(how, p, from, SZ_64K, features,
		     UFFDIO_REGISTER_MODE_MISSING);
	for (i = 0; i < set->n; i++) {
		struct drm_vsvm_cmd cmd;

		out[i] = anon(SZ_64K);
		cmd = vsvm_copy(out[i], p, SZ_64K);
		jobs[i] = vsvm_submit(set->fd[i], set->vm[i], 0, &cmd, 1);
	}
	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], jobs[i]).status,
			      0);
		if (how == BY_ZERO)
			mm_all_zero(set, out[i], SZ_64K);
		else
			pattern_check(out[i], SZ_64K, 1);
		munmap(out[i], SZ_64K);
	}
	igt_assert(server.served >= (int)(SZ_64K / SZ_4K));
	if (how == BY_MOVE)
		igt_assert_eq_u64(mm_present(from, SZ_64K), 0);
	server_stop();
	if (how == BY_ZERO)
		pattern_fill(p, SZ_64K, 1);
	mm_all_agree(set, p, SZ_64K, 1);
	munmap(p, SZ_64K);
	munmap(from, SZ_64K);
}

static void test_copy(struct vsvm_set *set)
{
	read_missing(set, BY_COPY, 0);
}

/* The page goes from one mapping, which all GPUs have, to another. */
static void test_move(struct vsvm_set *set)
{
	read_missing(set, BY_MOVE, UFFD_FEATURE_MOVE);
}

static void test_zeropage(struct vsvm_set *set)
{
	read_missing(set, BY_ZERO, 0);
}

/* A fault for writing, and a write that no fault was asked about before. */
static void test_write_missing(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M), *from = anon_aligned(SZ_64K, SZ_2M);
	struct drm_vsvm_cmd cmd;
	int i;

	pattern_fill(from, SZ_64K, 2);
	server_start(BY_COPY, p, from, SZ_64K, 0, UFFDIO_REGISTER_MODE_MISSING);
	for (i = 0; i < set->n; i++) {
		cmd = vsvm_store(p + i * SZ_4K, 8, 0x1111111111111111ULL * i);
		vsvm_run(set, i, &cmd, 1);
		igt_assert_eq_u64(*(uint64_t *)(p + i * SZ_4K),
				  0x1111111111111111ULL * i);
		/* The rest of the page is what was served. */
		igt_assert(!memcmp(p + i * SZ_4K + 8, from + i * SZ_4K + 8,
				   SZ_4K - 8));
	}
	/* Given up, it is missing again. */
	igt_assert(!madvise(p, SZ_64K, MADV_DONTNEED));
	mm_all_check(set, p, SZ_64K, 2);
	server_stop();
	munmap(p, SZ_64K);
	munmap(from, SZ_64K);
}

static void protect(char *p, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { to_u64(p), len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	igt_assert(!ioctl(server.fd, UFFDIO_WRITEPROTECT, &wp));
}

/*
 * Every GPU has the memory for writing; once protected, no write goes by the
 * server, and reads do not need it.
 */
static void wp(struct vsvm_set *set, char *p)
{
	int i, before;

	server_start(BY_UNPROTECT, p, NULL, SZ_64K,
		     UFFD_FEATURE_PAGEFAULT_FLAG_WP |
		     UFFD_FEATURE_WP_HUGETLBFS_SHMEM, UFFDIO_REGISTER_MODE_WP);
	for (i = 0; i < set->n; i++) {
		protect(p, SZ_64K);
		before = server.served;
		mm_all_check(set, p, SZ_64K, 3 + i);
		igt_assert_eq(server.served, before);
		vsvm_gpu_write(set, i, p, SZ_64K, 4 + i);
		igt_assert_eq(server.served, before + SZ_64K / SZ_4K);
		pattern_check(p, SZ_64K, 4 + i);
		mm_all_check(set, p, SZ_64K, 4 + i);
		/* Free for all now. */
		vsvm_gpu_write(set, set->n - 1 - i, p, SZ_64K, 4 + i);
		igt_assert_eq(server.served, before + SZ_64K / SZ_4K);
	}
	server_stop();
	mm_all_agree(set, p, SZ_64K, 3 + set->n);
	munmap(p, SZ_64K);
}

static void test_wp(struct vsvm_set *set)
{
	wp(set, mm_mapped(set, SZ_64K, 3));
}

static void test_wp_shmem(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	wp(set, mm_shared(set, fd, SZ_64K, 3));
	close(fd);
}

/* The file has the page, the page table has not: "minor" faults. */
static void test_minor(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC);
	char *p, *alias;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	alias = mm_shared(set, fd, SZ_64K, 5);
	p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	igt_assert(p != MAP_FAILED);
	server_start(BY_CONTINUE, p, NULL, SZ_64K, UFFD_FEATURE_MINOR_SHMEM,
		     UFFDIO_REGISTER_MODE_MINOR);
	mm_all_check(set, p, SZ_64K, 5);
	igt_assert(server.served >= (int)(SZ_64K / SZ_4K));
	vsvm_gpu_write(set, 0, p, SZ_64K, 6);
	mm_all_check(set, alias, SZ_64K, 6);
	server_stop();
	mm_all_agree(set, p, SZ_64K, 6);
	munmap(p, SZ_64K);
	munmap(alias, SZ_64K);
	close(fd);
}

/* A move out of memory that all GPUs have: it is gone for them. */
static void test_move_away(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M), *from = mm_mapped(set, SZ_64K, 7);
	struct uffdio_move move = {
		.dst = to_u64(p), .src = to_u64(from), .len = SZ_64K,
	};

	server_start(BY_ZERO, p, from, SZ_64K, UFFD_FEATURE_MOVE,
		     UFFDIO_REGISTER_MODE_MISSING);
	igt_assert(!ioctl(server.fd, UFFDIO_MOVE, &move));
	igt_assert_eq_u64(move.move, SZ_64K);
	mm_all_check(set, p, SZ_64K, 7);
	mm_all_zero(set, from, SZ_64K);
	pattern_fill(from, SZ_64K, 8);
	mm_all_agree(set, from, SZ_64K, 8);
	mm_all_agree(set, p, SZ_64K, 7);
	server_stop();
	munmap(p, SZ_64K);
	munmap(from, SZ_64K);
}

/* Protected, and swapped out: the protection comes back with the page. */
static void test_wp_swap(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 9);
	int before;

	igt_require_f(swap_start(), "no swap on zram\n");
	server_start(BY_UNPROTECT, p, NULL, SZ_64K,
		     UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFDIO_REGISTER_MODE_WP);
	protect(p, SZ_64K);
	igt_assert(mm_pageout(p, SZ_64K));
	mm_all_check(set, p, SZ_64K, 9);
	before = server.served;
	igt_assert_eq(before, 0);
	vsvm_gpu_write(set, set->n - 1, p, SZ_64K, 10);
	igt_assert_eq(server.served, SZ_64K / SZ_4K);
	mm_all_check(set, p, SZ_64K, 10);
	server_stop();
	munmap(p, SZ_64K);
}

igt_main
{
	each("copy", "missing pages served by copies", MSVM_AND_1TO1, test_copy);
	each("move", "missing pages served by moving others", MSVM_ONLY,
	     test_move);
	each("zeropage", "missing pages served by the zero page", MSVM_ONLY,
	     test_zeropage);
	each("write-missing", "writes to missing pages", MSVM_ONLY,
	     test_write_missing);
	each("wp", "write protection holds for GPUs", MSVM_AND_1TO1, test_wp);
	each("wp-shmem", "write protection of a file in memory", MSVM_ONLY,
	     test_wp_shmem);
	each("wp-swap", "write protection of memory that is out", MSVM_ONLY,
	     test_wp_swap);
	each("minor", "pages that only the page table lacks", MSVM_ONLY,
	     test_minor);
	each("move-away", "pages that GPUs have move away", MSVM_ONLY,
	     test_move_away);

	igt_fixture {
		swap_stop();
	}
}
