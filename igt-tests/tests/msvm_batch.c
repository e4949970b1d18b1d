// SPDX-License-Identifier: MIT
/*
 * Faults that a driver collected: several engines' faults come to the library in one
 * call, of one address space or of two, and each has its own result.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/room.h"
#include "../lib/uffd.h"

/* Until so many faults wait for the collector. */
static void wait_raised(struct vsvm_set *set, unsigned int n)
{
	int64_t deadline = vsvm_deadline(30);

	while (gpu_counter(set->fd[0], "raised_faults") != n)
		igt_assert_f(vsvm_now() < deadline, "%llu faults raised\n",
			     (unsigned long long)
			     gpu_counter(set->fd[0], "raised_faults"));
}

/*
 * Mode "batch": while one fault holds the GPU's collector, its other engines
 * raise theirs: they come in one call, for one member or two of two processes.
 */
static void test_batch(struct vsvm_set *set)
{
	uint64_t job, reads[2], write, merged;
	int engine;

	room_make(set, 2 * SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	merged = stat_of("queue_merged");
	job = submit(set, 0, set->vm[0], 0, load(SZ_2M, 0));
	uffd_wait_fault(room.uffd);
	for (engine = 1; engine < ENGINES - 1; engine++)
		reads[engine - 1] = submit(set, 0, set->vm[0], engine,
					   load(8 * engine, engine));
	write = submit(set, 0, set->vm[0], engine,
		       vsvm_store((void *)8, 8, 1));
	wait_raised(set, ENGINES - 1);
	room_serve(0, room.len);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
	expect_loaded(SZ_2M, 0);
	for (engine = 1; engine < ENGINES - 1; engine++) {
		igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0],
					reads[engine - 1]).status, 0);
		expect_loaded(8 * engine, engine);
	}
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], write).status, -EFAULT);
	igt_assert_eq_u64(gpu_counter(set->fd[0], "largest_batch"), ENGINES - 1);
	igt_assert_eq_u64(stat_of("queue_merged"), merged + ENGINES - 3);
	room_free();
}

/* In another process: a job on an engine that the parent does not use. */
static void batch_child(struct vsvm_set *set)
{
	uint64_t *p = anon_aligned(SZ_2M, SZ_2M), job;
	uint32_t vm;

	child_asserts_exit();
	vm = vsvm_vm_create(set->fd[0], set->layout);
	job = submit(set, 0, vm, 1, vsvm_store(p, 8, 77));
	igt_assert_eq(vsvm_wait(set->fd[0], vm, job).status, 0);
	igt_assert_eq_u64(*p, 77);
	igt_assert_eq(vsvm_vm_destroy(set->fd[0], vm), 0);
	_exit(0);
}

static void test_batch_spaces(struct vsvm_set *set)
{
	uint64_t *p = anon(SZ_4K), jobs[2];
	pid_t pid;

	room_make(set, SZ_64K, SZ_2M, PROT_READ | PROT_WRITE);
	jobs[0] = submit(set, 0, set->vm[0], 0, load(0, 0));
	uffd_wait_fault(room.uffd);
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid)
		batch_child(set);
	jobs[1] = submit(set, 0, set->vm[0], 2, vsvm_store(p, 8, 5));
	wait_raised(set, 2);
	room_serve(0, room.len);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], jobs[0]).status, 0);
	expect_loaded(0, 0);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], jobs[1]).status, 0);
	igt_assert_eq_u64(*p, 5);
	igt_assert_eq(wait_child(pid), 0);
	igt_assert_eq_u64(gpu_counter(set->fd[0], "spaces_batched"), 2);
	munmap(p, SZ_4K);
	room_free();
}

/* A VM goes while its fault holds the collector; the others' are not lost. */
static void test_batch_leave(struct vsvm_set *set)
{
	char *other = anon(SZ_4K);
	uint64_t job;
	uint32_t vm;

	room_make(set, SZ_64K, SZ_2M, PROT_READ | PROT_WRITE);
	vm = vsvm_vm_create(set->fd[0], set->layout);
	submit(set, 0, vm, 0, load(0, 0));
	uffd_wait_fault(room.uffd);
	job = submit(set, 0, set->vm[0], 1, vsvm_store(other, 8, 3));
	expect_pending(set, 0, set->vm[0], job);
	igt_assert_eq(vsvm_vm_destroy(set->fd[0], vm), 0);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
	igt_assert_eq_u64(*(uint64_t *)other, 3);
	munmap(other, SZ_4K);
	room_free();
}

#define BATCH ATTR("fault_mode=batch") ATTR("engines=4")

igt_main
{
	each_made("batch", "faults that a driver collected", MSVM_ONLY, BATCH,
		  test_batch);
	each_made("batch-spaces", "a batch of two address spaces", MSVM_ONLY,
		  BATCH, test_batch_spaces);
	each_made("batch-leave", "a VM goes whose fault holds a batch", MSVM_ONLY,
		  BATCH, test_batch_leave);
	each_made("go", "VMs go at any time", MSVM_ONLY, BATCH,
		  go_while_faulting);
}
