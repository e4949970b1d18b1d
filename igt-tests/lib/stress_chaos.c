// SPDX-License-Identifier: MIT
/*
 * The background of the stress: threads that move, protect, swap out and copy
 * memory without changing what the model knows of, and the system settings that
 * they need. Their decisions are not from the seed: they must not matter.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "igt_compat.h"
#include "stress.h"

#define HUGEPAGES "/proc/sys/vm/nr_hugepages"
#define ZRAM "/dev/zram0"
#define ZRAM_SYS "/sys/block/zram0/"
#define SWAP_BYTES (256UL << 20)

static pthread_t threads[3];
static int nr_threads;
static atomic_bool stop;
/* Held while a thread does something, and by who wants none of it. */
static pthread_rwlock_t quiet = PTHREAD_RWLOCK_INITIALIZER;
static atomic_uint nr_island, nr_place, nr_fork;
static char old_hugepages[32];
static bool swapping;

static unsigned int below(unsigned int *state, unsigned int n)
{
	*state = *state * 1103515245 + 12345;
	return (*state >> 8) % n;
}

/* Load must leave the others some time; nothing waits for this. */
static void breathe(void)
{
	nanosleep(&(struct timespec) {
		.tv_nsec = vsvm_scale(2, 40) * 1000000,
	}, NULL);
}

/* The islands: neighbours, in the same ranges, that come, go and change. */
static void *islands(void *data)
{
	struct stress *s = data;
	unsigned int state = 1, p;
	struct stress_view *v;
	char *addr;

	while (!atomic_load(&stop)) {
		v = &s->views[below(&state, s->nr_views)];
		p = below(&state, v->pages);
		if (!v->island[p]) {
			sched_yield();
			continue;
		}
		addr = stress_addr(v, p);
		atomic_fetch_add(&nr_island, 1);
		pthread_rwlock_rdlock(&quiet);
		switch (below(&state, 8)) {
		case 0:
			munmap(addr, SZ_4K);
			break;
		case 1:
			mprotect(addr, SZ_4K, PROT_READ);
			break;
		case 2:
			mprotect(addr, SZ_4K, PROT_READ | PROT_WRITE);
			break;
		case 3:
			mprotect(addr, SZ_4K, PROT_NONE);
			break;
		case 4:
			madvise(addr, SZ_4K, MADV_DONTNEED);
			break;
		default:
			if (mmap(addr, SZ_4K, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				 0) == addr)
				memset(addr, 0x55, SZ_4K);
		}
		pthread_rwlock_unlock(&quiet);
		breathe();
	}
	return NULL;
}

/* Pages change their place, under jobs as well. */
static void *places(void *data)
{
	static const int kinds[] = {
		MADV_PAGEOUT, MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT,
	};
	int compact = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
	struct stress *s = data;
	unsigned int state = 2, p, n;
	struct stress_view *v;

	while (!atomic_load(&stop)) {
		v = &s->views[below(&state, s->nr_views)];
		p = below(&state, v->pages);
		n = 1 + below(&state, 600);
		if (p + n > v->pages)
			n = v->pages - p;
		atomic_fetch_add(&nr_place, 1);
		if (!below(&state, 100) && compact >= 0 &&
		    write(compact, "1", 1) < 0)
			break;
		pthread_rwlock_rdlock(&quiet);
		/* May well be impossible there. */
		madvise(stress_addr(v, p), n * SZ_4K,
			kinds[below(&state, 4)]);
		pthread_rwlock_unlock(&quiet);
		breathe();
	}
	if (compact >= 0)
		close(compact);
	return NULL;
}

/* Copies come and go: every page is protected, and written to again. */
static void *forks(void *data)
{
	unsigned int state = 3, i;
	pid_t pid;

	(void)data;
	while (!atomic_load(&stop)) {
		pid = fork();
		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		atomic_fetch_add(&nr_fork, 1);
		for (i = below(&state, 20); i && !atomic_load(&stop); i--)
			breathe();
	}
	return NULL;
}

void stress_chaos_start(struct stress *s)
{
	static void *(* const fns[])(void *) = { islands, places, forks };

	atomic_store(&stop, false);
	nr_island = 0;
	nr_place = 0;
	nr_fork = 0;
	for (nr_threads = 0; nr_threads < 3; nr_threads++)
		igt_assert(!pthread_create(&threads[nr_threads], NULL,
					   fns[nr_threads], s));
}

void stress_chaos_stop(void)
{
	if (!nr_threads)
		return;
	atomic_store(&stop, true);
	while (nr_threads)
		pthread_join(threads[--nr_threads], NULL);
	igt_info("background: %u at neighbours, %u at places, %u forks\n",
		 nr_island, nr_place, nr_fork);
}

/* Until told otherwise, the background leaves memory alone. */
void stress_chaos_pause(void)
{
	pthread_rwlock_wrlock(&quiet);
}

void stress_chaos_resume(void)
{
	pthread_rwlock_unlock(&quiet);
}

static bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Compressed memory as swap, so that pages can be swapped out. */
static bool swap_on(void)
{
	static char page[SZ_4K];
	struct {
		uint32_t version, last_page, nr_badpages;
	} header = { 1, SWAP_BYTES / SZ_4K - 1, 0 };
	char size[32];
	int fd;

	if (access(ZRAM_SYS, F_OK) && system("modprobe -q zram"))
		return false;
	snprintf(size, sizeof(size), "%lu", SWAP_BYTES);
	if (!file_write(ZRAM_SYS "disksize", size))
		return false;
	memcpy(page + 1024, &header, sizeof(header));
	memcpy(page + SZ_4K - 10, "SWAPSPACE2", 10);
	fd = open(ZRAM, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	swapping = write(fd, page, SZ_4K) == (ssize_t)SZ_4K && !fsync(fd);
	close(fd);
	swapping = swapping && !swapon(ZRAM, 0);
	if (!swapping)
		file_write(ZRAM_SYS "reset", "1");
	return swapping;
}

void stress_system_prepare(void)
{
	int fd = open(HUGEPAGES, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, old_hugepages, sizeof(old_hugepages) - 1) <= 0)
			old_hugepages[0] = 0;
		close(fd);
		file_write(HUGEPAGES, "6");
	}
	if (!swap_on())
		igt_info("no swap to be had: pages stay in memory\n");
}

void stress_system_restore(void)
{
	if (old_hugepages[0])
		file_write(HUGEPAGES, old_hugepages);
	if (!swapping)
		return;
	swapoff(ZRAM);
	file_write(ZRAM_SYS "reset", "1");
	swapping = false;
}
