/* SPDX-License-Identifier: MIT */
/*
 * Tests while one allocation of drm_msvm fails (environment: MSVM_FAILNTH). Each call
 * and each job that ends with ENOMEM is made once more, as a program would; a second
 * ENOMEM is the test's. So the rest of the test shows whether all is as it should be
 * after the failure.
 */
#ifndef LIB_FAILNTH_H
#define LIB_FAILNTH_H

#include <stdbool.h>

bool failnth_active(void);
bool failnth_fired(void);
int failnth_ioctl(int fd, unsigned long request, void *arg);
void failnth_again(const char *what);

int vsvm_ioctl_once(int fd, unsigned long request, void *arg);

#endif /* LIB_FAILNTH_H */
