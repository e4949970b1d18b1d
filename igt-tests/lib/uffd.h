/* SPDX-License-Identifier: MIT */
/*
 * Memory whose faults wait until a test serves them (userfaultfd), and waiting
 * with a limit.
 */
#ifndef LIB_UFFD_H
#define LIB_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

int uffd_open(void);
void uffd_register(int uffd, void *p, size_t len);
void uffd_unregister(int uffd, void *p, size_t len);
void uffd_wait_fault(int uffd);
void uffd_copy(int uffd, void *p, const void *from, size_t len);
void uffd_wake(int uffd, void *p, size_t len);

/* Milliseconds for poll(), so that a bug fails instead of hanging. */
int poll_limit(void);
int wait_child(pid_t pid);

#endif /* LIB_UFFD_H */
