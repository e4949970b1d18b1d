/* SPDX-License-Identifier: MIT */
/*
 * A crowd: threads that each do the same round again and again, by a GPU or by the
 * CPU, until all have done enough of them. How far each came is counted, so that
 * one that does not get on shows, however fast the others are.
 */
#ifndef LIB_CROWD_H
#define LIB_CROWD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vsvm.h"

#define CROWD_MAX	32

/**
 * struct party - One of a crowd.
 * @set: The GPUs.
 * @gpu: Its GPU, or -1.
 * @k: Its number in the crowd.
 * @round: One round. Return: 0, or a negative errno with which it ends. It does not
 *	assert: a test can only be left from its own thread.
 * @data: The test's.
 * @rounds: Rounds done.
 * @status: What it ended with.
 * @may_fail: It may end so.
 * @thread: Its thread.
 */
struct party {
	struct vsvm_set *set;
	int gpu;
	int k;
	int (*round)(struct party *party);
	void *data;
	volatile uint64_t rounds;
	volatile int status;
	bool may_fail;
	pthread_t thread;
};

void crowd_begin(void);
struct party *crowd_add(struct vsvm_set *set, int gpu,
			int (*round)(struct party *party), void *data);
void crowd_start(void);
void crowd_wait(uint64_t rounds);
void crowd_stop(void);
bool crowd_stopping(void);

int crowd_job(struct party *party, const struct drm_vsvm_cmd *cmds, int n);

#endif /* LIB_CROWD_H */
