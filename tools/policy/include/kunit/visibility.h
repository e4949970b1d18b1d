/* SPDX-License-Identifier: MIT */
/* Nothing is exported in user space: see the Makefile. */
