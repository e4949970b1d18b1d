/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests of memory operations: what all GPUs and the CPU must agree
 * on, where the kernel has a page at the moment, swap space, and small files.
 */
#ifndef LIB_MM_H
#define LIB_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

/* Not in the headers of every C library. */
#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

void mm_all_check(struct vsvm_set *set, const void *p, size_t len,
		  uint64_t seed);
void mm_all_agree(struct vsvm_set *set, void *p, size_t len, uint64_t seed);
char *mm_mapped(struct vsvm_set *set, size_t len, uint64_t seed);
char *mm_shared(struct vsvm_set *set, int fd, size_t len, uint64_t seed);
void mm_all_fault(struct vsvm_set *set, char *p, int status);
void mm_all_zero(struct vsvm_set *set, const char *p, size_t len);
char *mm_registers(char *at);

size_t mm_present(const void *p, size_t len);
size_t mm_swapped(const void *p, size_t len);
uint64_t mm_frame(const void *p);
long mm_smaps(const void *p, const char *name);
void mm_drain(void);
bool mm_pageout(void *p, size_t len);

bool file_write(const char *path, const char *text);
bool file_read(const char *path, char *buf, size_t size);
long file_number(const char *path);
long file_value(const char *path, const char *key);

bool swap_start(void);
bool swap_start_cached(void);
void swap_stop(void);

bool memcg_make(const char *name);
bool memcg_set(const char *name, const char *file, const char *value);
long memcg_get(const char *name, const char *file, const char *key);
bool memcg_enter(const char *name);
void memcg_remove(const char *name);

#endif /* LIB_MM_H */
