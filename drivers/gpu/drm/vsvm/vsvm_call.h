/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Private to vsvm: who sleeps in the library while a VM or a GPU must not go, and is
 * interrupted when it is to.
 */
#ifndef __VSVM_CALL_H__
#define __VSVM_CALL_H__

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct task_struct;
struct vsvm_gpu;
struct vsvm_vm;

/**
 * struct vsvm_user - Somebody who keeps a GPU, see vsvm_gpu_enter().
 * @link: Entry in &vsvm_users.list.
 * @task: Who is interrupted when it goes, or NULL.
 */
struct vsvm_user {
	struct list_head link;
	struct task_struct *task;
};

/**
 * struct vsvm_users - All who keep a GPU.
 * @lock: Protects @list and @closed.
 * @list: They, &struct vsvm_user.
 * @closed: The GPU goes: there are no new ones.
 * @wq: Woken when the last one is gone.
 */
struct vsvm_users {
	/* Innermost. */
	spinlock_t lock;
	struct list_head list;
	bool closed;
	wait_queue_head_t wq;
};

int vsvm_call(struct vsvm_vm **vms, unsigned int nr,
	      int (*fn)(struct vsvm_vm *vm, void *data), void *data);
void vsvm_call_interrupt(struct vsvm_vm *vm);
void vsvm_users_init(struct vsvm_users *users);
bool vsvm_gpu_enter(struct vsvm_gpu *gpu, struct vsvm_user *user,
		    struct task_struct *task);
void vsvm_gpu_exit(struct vsvm_gpu *gpu, struct vsvm_user *user);
void vsvm_users_end(struct vsvm_users *users);

#endif /* __VSVM_CALL_H__ */
