/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * msvm-load: what its parts share. A pattern is a way in which several GPUs and the
 * CPU use memory together; it checks what it reads.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drm/vsvm_drm.h>

#define MAX_GPUS	8
#define MIB		(1UL << 20)
#define PIECE		(2 * MIB)

/* One virtual GPU and our VM of it. */
struct gpu {
	int fd;
	uint32_t vm;
	uint32_t context;
	/* What the CPU gets back. */
	uint64_t *result;
	struct drm_vsvm_memory before;
};

/* What a pattern works on. */
struct load {
	int gpus;
	struct gpu gpu[MAX_GPUS];
	size_t bytes;
	char *memory;
	uint64_t seed;
	/* Counted by patterns. */
	uint64_t jobs;
	uint64_t touched;
};

struct pattern {
	const char *name;
	const char *text;
	/* Bytes of memory for @bytes asked for. */
	size_t (*size)(const struct load *load);
	/* May be missing. */
	void (*begin)(struct load *load);
	void (*round)(struct load *load, uint64_t round);
};

extern const struct pattern patterns[];

void __attribute__((noreturn, format(printf, 2, 3)))
die(int status, const char *format, ...);
uint64_t now_ns(void);
void *aligned(size_t bytes);

/* gpus.c */
void gpus_open(struct load *load);
uint64_t gpu_submit(struct load *load, int gpu, int engine,
		    const struct drm_vsvm_cmd *cmds, int n);
void gpu_wait(struct load *load, int gpu);
void gpu_run(struct load *load, int gpu, const struct drm_vsvm_cmd *cmd);
void gpus_report(struct load *load);

#endif
