// SPDX-License-Identifier: MIT
/*
 * Memory management behind the process's back, and by others: pages that move,
 * are merged or locked, and memory written by a debugger, while all GPUs have
 * them mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/mempolicy.h>

#include "../lib/each.h"
#include "../lib/mm.h"

#define KSM "/sys/kernel/mm/ksm/"
#define BALANCING "/proc/sys/kernel/numa_balancing"
#define BALANCING_PERIOD "/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms"
#define COMPACT "/proc/sys/vm/compact_memory"

/* What the tests change for the whole system. */
static const char * const settings[] = {
	KSM "sleep_millisecs", KSM "pages_to_scan", KSM "smart_scan",
	BALANCING, BALANCING_PERIOD,
};

/* Unmerges, so that nothing is left of an earlier subtest. */
static void ksm_stop(void)
{
	file_write(KSM "run", "2");
}

/* Run the merger until two buffers have all their pages in common. */
static void ksm_merge(char *p, char *twin, size_t len)
{
	int64_t deadline = vsvm_deadline(20);
	size_t i;

	igt_assert(file_write(KSM "sleep_millisecs", "0"));
	igt_assert(file_write(KSM "pages_to_scan", "1000"));
	/* It would pass over pages that were like no other for some time. */
	file_write(KSM "smart_scan", "0");
	igt_assert(file_write(KSM "run", "1"));
	for (i = 0; i < len; i += SZ_4K)
		while (mm_frame(p + i) != mm_frame(twin + i))
			igt_assert(vsvm_now() < deadline);
	igt_assert(file_write(KSM "run", "0"));
}

/* Two buffers become one; who writes, GPU or CPU, gets its own again. */
static void test_ksm(struct vsvm_set *set)
{
	char *p, *twin;
	int i;

	ksm_stop();
	igt_require_f(file_number(KSM "run") == 2, "no KSM\n");
	p = mm_mapped(set, SZ_64K, 1);
	twin = mm_mapped(set, SZ_64K, 1);
	igt_require_f(!madvise(p, SZ_64K, MADV_MERGEABLE), "no KSM\n");
	igt_assert(!madvise(twin, SZ_64K, MADV_MERGEABLE));
	for (i = 0; i < 3; i++) {
		ksm_merge(p, twin, SZ_64K);
		mm_all_check(set, p, SZ_64K, 1 + i);
		mm_all_check(set, twin, SZ_64K, 1 + i);

		vsvm_gpu_write(set, i % set->n, p, SZ_64K, 50 + i);
		igt_assert(mm_frame(p) != mm_frame(twin));
		pattern_check(p, SZ_64K, 50 + i);
		pattern_check(twin, SZ_64K, 1 + i);
		mm_all_check(set, p, SZ_64K, 50 + i);
		mm_all_check(set, twin, SZ_64K, 1 + i);

		/* The same again, by other writers. */
		pattern_fill(twin, SZ_64K, 2 + i);
		vsvm_gpu_write(set, (i + 1) % set->n, p, SZ_64K, 2 + i);
	}
	ksm_merge(p, twin, SZ_64K);
	pattern_fill(p, SZ_64K, 60);
	mm_all_check(set, p, SZ_64K, 60);
	mm_all_check(set, twin, SZ_64K, 4);
	ksm_stop();
	mm_all_check(set, twin, SZ_64K, 4);
	munmap(p, SZ_64K);
	munmap(twin, SZ_64K);
}

static void test_mlock(struct vsvm_set *set)
{
	char *p = mm_mapped(set, SZ_64K, 3);

	igt_assert(!mlock(p, SZ_64K));
	mm_all_agree(set, p, SZ_64K, 3);
	/* MADV_PAGEOUT does not touch it, reclaim by others neither. */
	igt_assert(madvise(p, SZ_64K, MADV_PAGEOUT) && errno == EINVAL);
	igt_assert_eq_u64(mm_present(p, SZ_64K), SZ_64K / SZ_4K);
	igt_assert(!munlock(p, SZ_64K));
	mm_all_agree(set, p, SZ_64K, 3);
	igt_assert(!madvise(p, SZ_64K, MADV_PAGEOUT));
	mm_all_agree(set, p, SZ_64K, 3);
	munmap(p, SZ_64K);
}

/* A page that only GPUs have ever touched is there to be locked all the same. */
static void test_mlock_onfault(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_64K, SZ_2M);

	igt_assert(!mlock2(p, SZ_64K, MLOCK_ONFAULT));
	igt_assert_eq_u64(mm_present(p, SZ_64K), 0);
	vsvm_gpu_write(set, 0, p, SZ_64K, 4);
	igt_assert_eq_u64(mm_present(p, SZ_64K), SZ_64K / SZ_4K);
	igt_assert_eq(mm_smaps(p, "Locked"), 64);
	mm_all_agree(set, p, SZ_64K, 4);
	munmap(p, SZ_64K);
	mm_all_fault(set, p, -EFAULT);
}

static void need_nodes(void)
{
	igt_require_f(!access("/sys/devices/system/node/node1", F_OK),
		      "one NUMA node only, boot with numa=fake=2\n");
}

/* The node of every page. */
static void check_node(char *p, size_t len, int node)
{
	size_t i;

	for (i = 0; i < len; i += SZ_4K) {
		void *page = p + i;
		int status = -1;

		igt_assert(!syscall(SYS_move_pages, 0, 1UL, &page, NULL,
				    &status, 0));
		igt_assert_eq(status, node);
	}
}

static void test_mbind(struct vsvm_set *set)
{
	unsigned long mask;
	int round, node;
	char *p;

	need_nodes();
	p = mm_mapped(set, SZ_64K, 5);
	for (round = 0; round < 4; round++) {
		node = round % 2;
		mask = 1UL << node;
		igt_assert(!syscall(SYS_mbind, p, SZ_64K, MPOL_BIND, &mask, 64UL,
				    MPOL_MF_MOVE | MPOL_MF_STRICT));
		check_node(p, SZ_64K, node);
		mm_all_agree(set, p, SZ_64K, 5);
	}
	munmap(p, SZ_64K);
}

static void move(char *p, size_t len, int node)
{
	void *pages[SZ_64K / SZ_4K];
	int nodes[SZ_64K / SZ_4K], status[SZ_64K / SZ_4K];
	int64_t deadline = vsvm_deadline(20);
	size_t n = len / SZ_4K, i, there;

	for (i = 0; i < n; i++) {
		pages[i] = p + i * SZ_4K;
		nodes[i] = node;
	}
	/* A page that is in use for a moment stays behind. */
	do {
		igt_assert(syscall(SYS_move_pages, 0, n, pages, nodes, status,
				   MPOL_MF_MOVE) >= 0);
		for (there = 0, i = 0; i < n; i++)
			there += status[i] == node;
		igt_assert(vsvm_now() < deadline);
	} while (there < n);
	check_node(p, len, node);
}

static void test_move_pages(struct vsvm_set *set)
{
	int round;
	char *p;

	need_nodes();
	p = mm_mapped(set, SZ_64K, 6);
	for (round = 0; round < 6; round++) {
		uint64_t frame = mm_frame(p);

		move(p, SZ_64K, 0);
		mm_all_check(set, p, SZ_64K, 6 + round);
		move(p, SZ_64K, 1);
		mm_all_check(set, p, SZ_64K, 6 + round);
		if (round)
			igt_assert(frame && mm_frame(p));
		vsvm_gpu_write(set, round % set->n, p, SZ_64K, 7 + round);
		move(p + SZ_4K, SZ_4K, 0);
		pattern_check(p, SZ_64K, 7 + round);
	}
	munmap(p, SZ_64K);
}

static void test_move_huge(struct vsvm_set *set)
{
	int round;
	char *p;

	need_nodes();
	p = anon_aligned(SZ_2M, SZ_2M);
	igt_require_f(!madvise(p, SZ_2M, MADV_HUGEPAGE), "no huge pages\n");
	memset(p, 1, SZ_2M);
	pattern_fill(p, SZ_64K, 8);
	mm_all_check(set, p, SZ_64K, 8);
	for (round = 0; round < 4; round++) {
		move(p, SZ_4K, round % 2);
		igt_assert_eq(mm_smaps(p, "AnonHugePages"), 2048);
		mm_all_agree(set, p, SZ_64K, 8);
	}
	munmap(p, SZ_2M);
}

static void test_migrate_pages(struct vsvm_set *set)
{
	unsigned long nodes[2] = { 1, 2 };
	int round;
	char *p;

	need_nodes();
	p = mm_mapped(set, SZ_64K, 9);
	for (round = 0; round < 4; round++) {
		move(p, SZ_64K, round % 2);
		igt_assert(syscall(SYS_migrate_pages, 0, 64UL, &nodes[round % 2],
				   &nodes[1 - round % 2]) >= 0);
		mm_all_agree(set, p, SZ_64K, 9);
	}
	munmap(p, SZ_64K);
}

static void *wait_for_pipe(void *data)
{
	char c;

	return read(*(int *)data, &c, 1) == 1 ? NULL : (void *)1;
}

/* Hinting takes away access, which no GPU may take for a refusal. */
static void test_numa_balancing(struct vsvm_set *set)
{
	int64_t deadline = vsvm_deadline(20), end;
	pthread_t thread;
	long before;
	int go[2], i;
	void *ret;
	char *p;

	need_nodes();
	igt_require_f(file_write(BALANCING, "1"), "no NUMA balancing\n");
	file_write(BALANCING_PERIOD, "50");
	/* Local memory of a process with one thread gets no hints. */
	igt_assert(!pipe(go));
	igt_assert(!pthread_create(&thread, NULL, wait_for_pipe, &go[0]));
	p = mm_mapped(set, SZ_64K, 10);
	before = file_value("/proc/vmstat", "numa_pte_updates");
	/* The scanner runs on time that this process uses. */
	do {
		for (i = 0; i < set->n; i++)
			vsvm_gpu_write(set, i, p, SZ_64K, 10 + i);
		mm_all_check(set, p, SZ_64K, 9 + set->n);
		end = vsvm_now() + 50000000;
		while (vsvm_now() < end)
			pattern_check(p, SZ_64K, 9 + set->n);
		igt_assert(vsvm_now() < deadline);
	} while (file_value("/proc/vmstat", "numa_pte_updates") == before);
	mm_all_agree(set, p, SZ_64K, 9 + set->n);
	igt_assert(write(go[1], "", 1) == 1);
	igt_assert(!pthread_join(thread, &ret));
	igt_assert(!ret);
	close(go[0]);
	close(go[1]);
	munmap(p, SZ_64K);
}

/* Memory with holes in it is what there is to compact. */
static void test_compaction(struct vsvm_set *set)
{
	const size_t len = 16 << 20;
	char *p = mm_mapped(set, SZ_64K, 11), *holes = anon_aligned(len, SZ_2M);
	size_t i;
	int round;

	igt_require_f(!access(COMPACT, W_OK), "no compaction\n");
	igt_assert(!madvise(holes, len, MADV_NOHUGEPAGE));
	memset(holes, 1, len);
	for (i = 0; i < len; i += 2 * SZ_4K)
		igt_assert(!madvise(holes + i, SZ_4K, MADV_DONTNEED));
	for (round = 0; round < 3; round++) {
		igt_assert(file_write(COMPACT, "1"));
		mm_all_agree(set, p, SZ_64K, 11);
	}
	munmap(p, SZ_64K);
	munmap(holes, len);
}

/* A child whose GPUs read what its debugger writes. Talks through pipes. */
struct traced {
	pid_t *pid;
	bool read_only;
	int go[2], done[2];
	char *p;
};

static void child_says(struct traced *t)
{
	char c;

	igt_assert(read(t->done[0], &c, 1) == 1);
}

static void child_goes(struct traced *t)
{
	igt_assert(write(t->go[1], "", 1) == 1);
}

/*
 * The child maps memory in all GPUs; in each round the parent writes a pattern
 * to it, then all of the child's GPUs must see it, and write another one.
 */
static void traced_child(struct traced *t, struct vsvm_set *set, int rounds)
{
	static struct vsvm_set own;
	int i, round;
	char c;

	vsvm_set_open(&own, set->n, set->layout);
	for (i = 0; i < own.n; i++)
		vsvm_gpu_write(&own, i, t->p, SZ_64K, 100);
	if (t->read_only)
		igt_assert(!mprotect(t->p, SZ_64K, PROT_READ));
	igt_assert(write(t->done[1], "", 1) == 1);
	for (round = 0; round < rounds; round++) {
		igt_assert(read(t->go[0], &c, 1) == 1);
		pattern_check(t->p, SZ_4K, 200 + round);
		mm_all_check(&own, t->p, SZ_4K, 200 + round);
		if (t->read_only)
			vsvm_expect_fault(&own, round % own.n,
					  vsvm_store(t->p, 8, 0), -EACCES, t->p,
					  DRM_VSVM_ACCESS_WRITE);
		else
			vsvm_gpu_write(&own, round % own.n, t->p, SZ_4K,
				       300 + round);
		igt_assert(write(t->done[1], "", 1) == 1);
	}
	/* Until the parent has seen the last of it. */
	igt_assert(read(t->go[0], &c, 1) == 1);
	vsvm_set_close(&own);
}

static void writes(struct vsvm_set *set, bool read_only,
		   void (*fn)(pid_t pid, char *to, const char *from, bool read))
{
	static struct traced t;
	const int rounds = 4;
	char *buf = anon(SZ_4K);
	int round;

	/* Made by the parent, so that both know where it is. */
	t.p = anon_aligned(SZ_64K, SZ_2M);
	igt_assert(!pipe(t.go) && !pipe(t.done));
	t.read_only = read_only;
	t.pid = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	igt_assert(t.pid != MAP_FAILED);
	igt_fork(child, 1) {
		*t.pid = getpid();
		traced_child(&t, set, rounds);
	}
	child_says(&t);
	for (round = 0; round < rounds; round++) {
		pattern_fill(buf, SZ_4K, 200 + round);
		fn(*t.pid, t.p, buf, false);
		child_goes(&t);
		child_says(&t);
		/* What the child's GPU wrote. */
		fn(*t.pid, t.p, buf, true);
		pattern_check(buf, SZ_4K, (read_only ? 200 : 300) + round);
	}
	child_goes(&t);
	igt_waitchildren();
	close(t.go[0]);
	close(t.go[1]);
	close(t.done[0]);
	close(t.done[1]);
	munmap(t.pid, SZ_4K);
	munmap(buf, SZ_4K);
	munmap(t.p, SZ_64K);
}

static void by_poke(pid_t pid, char *to, const char *from, bool read)
{
	long *words = (long *)from;
	int status;
	size_t i;

	igt_assert(!ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	igt_assert(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	for (i = 0; i < SZ_4K / sizeof(long); i++) {
		char *at = to + i * sizeof(long);

		errno = 0;
		if (read)
			words[i] = ptrace(PTRACE_PEEKDATA, pid, at, NULL);
		else
			ptrace(PTRACE_POKEDATA, pid, at, words[i]);
		igt_assert_eq(errno, 0);
	}
	igt_assert(!ptrace(PTRACE_DETACH, pid, NULL, NULL));
}

static void by_vm_writev(pid_t pid, char *to, const char *from, bool read)
{
	struct iovec local = { (void *)from, SZ_4K }, remote = { to, SZ_4K };

	igt_assert_eq(read ? process_vm_readv(pid, &local, 1, &remote, 1, 0) :
			     process_vm_writev(pid, &local, 1, &remote, 1, 0),
		      SZ_4K);
}

static void test_ptrace(struct vsvm_set *set)
{
	writes(set, false, by_poke);
}

/* A debugger may write what the process itself may only read. */
static void test_ptrace_read_only(struct vsvm_set *set)
{
	writes(set, true, by_poke);
}

static void test_process_vm_writev(struct vsvm_set *set)
{
	writes(set, false, by_vm_writev);
}

/* Several mappings with nothing in common, side by side in 2 MiB. */
static void test_mixed(struct vsvm_set *set)
{
	int fd = memfd_create("msvm", MFD_CLOEXEC), i;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	char *anonymous = p, *file = p + 3 * SZ_4K, *read_only = p + 10 * SZ_4K;
	char *hole = p + 12 * SZ_4K, *private = p + 13 * SZ_4K;
	char *rest = p + 29 * SZ_4K;

	igt_assert(fd >= 0 && !ftruncate(fd, SZ_64K));
	igt_assert(mmap(file, 7 * SZ_4K, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, fd, SZ_4K) == file);
	igt_assert(mmap(private, 16 * SZ_4K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_FIXED, fd, 0) == private);
	pattern_fill(read_only, 2 * SZ_4K, 22);
	igt_assert(!mprotect(read_only, 2 * SZ_4K, PROT_READ));
	igt_assert(!munmap(hole, SZ_4K));
	pattern_fill(file, 7 * SZ_4K, 21);
	pattern_fill(private, 16 * SZ_4K, 23);

	pattern_fill(anonymous, 3 * SZ_4K, 20);
	mm_all_agree(set, anonymous, 3 * SZ_4K, 20);
	mm_all_agree(set, file, 7 * SZ_4K, 21);
	mm_all_check(set, read_only, 2 * SZ_4K, 22);
	mm_all_fault(set, hole, -EFAULT);
	mm_all_agree(set, private, 16 * SZ_4K, 23);
	pattern_fill(rest, SZ_64K, 24);
	mm_all_agree(set, rest, SZ_64K, 24);
	for (i = 0; i < set->n; i++) {
		vsvm_expect_fault(set, i, vsvm_store(read_only, 8, 0), -EACCES,
				  read_only, DRM_VSVM_ACCESS_WRITE);
		/* From the one into the other, up to the page that is not. */
		vsvm_expect_fault(set, i, vsvm_fill(file + 6 * SZ_4K, 0xab,
						    2 * SZ_4K), -EACCES,
				  read_only, DRM_VSVM_ACCESS_WRITE);
	}
	mm_all_check(set, read_only, 2 * SZ_4K, 22);
	/* The private mapping did not write to the file. */
	igt_assert(((unsigned char *)file)[6 * SZ_4K] == 0xab);
	igt_assert(!munmap(file, 7 * SZ_4K));
	mm_all_fault(set, file, -EFAULT);
	mm_all_check(set, anonymous, 3 * SZ_4K, 20);
	mm_all_agree(set, private, 16 * SZ_4K, 23);
	munmap(p, SZ_2M);
	close(fd);
}

igt_main
{
	static char saved[sizeof(settings) / sizeof(settings[0])][32];
	unsigned int i;

	igt_fixture {
		for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
			file_read(settings[i], saved[i], sizeof(saved[i]));
	}

	each("ksm", "identical pages become one, writes part them",
	     MSVM_AND_1TO1, test_ksm);
	each("mlock", "locked and unlocked memory", MSVM_ONLY, test_mlock);
	each("mlock-onfault", "memory locked by a GPU's fault", MSVM_ONLY,
	     test_mlock_onfault);
	each("mbind", "memory bound to one node, then another", MSVM_AND_1TO1,
	     test_mbind);
	each("move-pages", "pages move from node to node", MSVM_AND_1TO1,
	     test_move_pages);
	each("move-huge", "a huge page moves from node to node", MSVM_ONLY,
	     test_move_huge);
	each("migrate-pages", "a process moves from node to node", MSVM_ONLY,
	     test_migrate_pages);
	each("numa-balancing", "hints of NUMA balancing", MSVM_ONLY,
	     test_numa_balancing);
	each("compaction", "pages move to make room", MSVM_ONLY,
	     test_compaction);
	each("ptrace", "a debugger pokes", MSVM_ONLY, test_ptrace);
	each("ptrace-read-only", "a debugger pokes read-only memory", MSVM_ONLY,
	     test_ptrace_read_only);
	each("process-vm-writev", "another process writes", MSVM_ONLY,
	     test_process_vm_writev);
	each("mixed", "mappings of all kinds in 2 MiB", MSVM_AND_1TO1,
	     test_mixed);

	igt_fixture {
		ksm_stop();
		for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
			file_write(settings[i], saved[i]);
	}
}
