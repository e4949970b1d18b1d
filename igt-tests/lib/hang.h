/* SPDX-License-Identifier: MIT */
/*
 * What the kernel is at when something that was waited for does not come.
 */
#ifndef HANG_H
#define HANG_H

/*
 * Print the stacks of the threads that are in one of the modules, and what debugfs has
 * about queues and address spaces, for who reads why a test failed. Changes nothing.
 */
void hang_report(void);

#endif /* HANG_H */
