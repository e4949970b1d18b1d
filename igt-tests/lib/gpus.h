/* SPDX-License-Identifier: MIT */
/*
 * GPUs made for a test through configfs, with properties that those of the module
 * parameter don't have, and the files of a GPU in debugfs.
 */
#ifndef LIB_GPUS_H
#define LIB_GPUS_H

#include "vsvm.h"

int gpu_make(const char * const *attrs);
void gpus_remove(void);
int gpu_plug(int index);
int gpu_pull(int index);
bool gpus_on_pci(void);
void gpu_pci_name(int fd, char *name, size_t size);
bool gpus_can_peer(void);
bool gpus_made(void);

int gpu_minor(int fd);
uint64_t gpu_counter(int fd, const char *name);
const char *gpu_flaw(int fd);
int gpu_debugfs_try(int fd, const char *file, int value);
void gpu_debugfs_write(int fd, const char *file, int value);

void vsvm_set_make(struct vsvm_set *set, int n, uint32_t layout,
		   const char * const *attrs);

/*
 * As each(), with GPUs that have @attrs ("name=value", a NULL at the end).
 */
#define each_made(name_, text_, with_, attrs_, fn_) \
	do { \
		static const char * const attrs_of[] = { attrs_ NULL }; \
		each_made_run(name_, text_, with_, attrs_of, fn_); \
	} while (0)
#define ATTR(text) text,
#define NO_ATTRS

void each_made_run(const char *name, const char *text, int with,
		   const char * const *attrs,
		   void (*fn)(struct vsvm_set *set));

#endif /* LIB_GPUS_H */
