/* SPDX-License-Identifier: MIT */
/*
 * Memory whose faults wait until a test serves them (userfaultfd), and waiting
 * with a limit.
 */
#ifndef LIB_UFFD_H
#define LIB_UFFD_H

#include <pthread.h>
#include <stddef.h>
#include <setjmp.h>
#include <sys/types.h>
#include <unistd.h>

#include "igt_compat.h"

int uffd_open(void);
void uffd_register(int uffd, void *p, size_t len);
void uffd_unregister(int uffd, void *p, size_t len);
void uffd_wait_fault(int uffd);
void uffd_copy(int uffd, void *p, const void *from, size_t len);
void uffd_wake(int uffd, void *p, size_t len);

/* Milliseconds for poll(), so that a bug fails instead of hanging. */
int poll_limit(void);
int wait_child(pid_t pid);
void join_thread(pthread_t thread);

/*
 * For a child of plain fork(): what fails in it ends it, instead of going on
 * with the parent's next subtest.
 */
#define child_asserts_exit() \
	do { \
		if (setjmp(igt_subtest_jmpbuf)) \
			_exit(99); \
	} while (0)

#endif /* LIB_UFFD_H */
