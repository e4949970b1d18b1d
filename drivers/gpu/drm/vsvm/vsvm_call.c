// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Calls of the library that sleep in page faults for as long as the process likes
 * (userfaultfd), and users of a GPU that does not belong to their VM. Both would hold up
 * whoever kills the VM or pulls the GPU out: they are interrupted. That can't be done to
 * a task of the process without killing it, so the calls are made by a thread of ours.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "vsvm_drv.h"

/**
 * struct vsvm_call - A call under way.
 * @vms: VMs that it uses.
 * @nr: Number of @vms.
 * @fn: What to do with the first of them.
 * @data: For @fn.
 * @started: The thread can be interrupted from now on.
 * @done: It ended.
 * @err: What @fn returned, or -ENODEV: one of the VMs is being killed.
 */
struct vsvm_call {
	struct vsvm_vm **vms;
	unsigned int nr;
	int (*fn)(struct vsvm_vm *vm, void *data);
	void *data;
	struct completion started;
	struct completion done;
	int err;
};

static void vsvm_call_leave(struct vsvm_call *call, unsigned int n)
{
	while (n--) {
		struct vsvm_vm *vm = call->vms[n];

		spin_lock(&vm->jobs_lock);
		vm->caller = NULL;
		spin_unlock(&vm->jobs_lock);
	}
}

/* May it begin? Whoever kills a VM later finds us. */
static bool vsvm_call_enter(struct vsvm_call *call)
{
	unsigned int i;
	bool dying;

	for (i = 0; i < call->nr; i++) {
		struct vsvm_vm *vm = call->vms[i];

		spin_lock(&vm->jobs_lock);
		dying = vm->dying;
		if (!dying)
			vm->caller = current;
		spin_unlock(&vm->jobs_lock);
		if (dying) {
			vsvm_call_leave(call, i);
			return false;
		}
	}
	return true;
}

static int vsvm_call_thread(void *data)
{
	struct vsvm_call *call = data;
	unsigned int i;

	/* Before anybody can find us. */
	allow_kernel_signal(SIGKILL);
	complete(&call->started);

	call->err = -ENODEV;
	if (vsvm_call_enter(call)) {
		call->err = call->fn(call->vms[0], call->data);
		vsvm_call_leave(call, call->nr);
		/* That is why it was interrupted, perhaps. */
		for (i = 0; i < call->nr && call->err == -EINTR; i++)
			if (READ_ONCE(call->vms[i]->dying))
				call->err = -ENODEV;
	}
	kthread_complete_and_exit(&call->done, 0);
}

/*
 * Call @fn for the first of some VMs, interrupted when one of them is killed, or the
 * calling task. Context: sleeps; kill_locks of all VMs held. Return: what @fn returned;
 * -ENODEV: one is being killed; -EINTR, -ENOMEM.
 */
int vsvm_call(struct vsvm_vm **vms, unsigned int nr,
	      int (*fn)(struct vsvm_vm *vm, void *data), void *data)
{
	struct vsvm_call call = {
		.vms = vms, .nr = nr, .fn = fn, .data = data,
		.started = COMPLETION_INITIALIZER_ONSTACK(call.started),
		.done = COMPLETION_INITIALIZER_ONSTACK(call.done),
	};
	struct task_struct *task;

	task = kthread_create(vsvm_call_thread, &call, "vsvm%u-call",
			      vms[0]->gpu->index);
	if (IS_ERR(task))
		return PTR_ERR(task);
	get_task_struct(task);
	wake_up_process(task);
	wait_for_completion(&call.started);
	if (wait_for_completion_killable(&call.done)) {
		send_sig(SIGKILL, task, 1);
		wait_for_completion(&call.done);
	}
	put_task_struct(task);

	return call.err;
}

/* A VM is being killed. jobs_lock held. */
void vsvm_call_interrupt(struct vsvm_vm *vm)
{
	lockdep_assert_held(&vm->jobs_lock);

	if (vm->caller)
		send_sig(SIGKILL, vm->caller, 1);
}

void vsvm_users_init(struct vsvm_users *users)
{
	spin_lock_init(&users->lock);
	INIT_LIST_HEAD(&users->list);
	init_waitqueue_head(&users->wq);
}

/*
 * Keep a GPU from going; drm_dev_enter() would keep all that the kernel has. @task: who
 * does it, interrupted when the GPU is pulled out; NULL: it does not take long. The
 * caller has a reference to the DRM device. Return: false: it is going.
 */
bool vsvm_gpu_enter(struct vsvm_gpu *gpu, struct vsvm_user *user,
		    struct task_struct *task)
{
	struct vsvm_users *users = &gpu->users;
	bool ok;

	user->task = task;
	spin_lock(&users->lock);
	ok = !users->closed;
	if (ok)
		list_add(&user->link, &users->list);
	spin_unlock(&users->lock);

	return ok;
}

void vsvm_gpu_exit(struct vsvm_gpu *gpu, struct vsvm_user *user)
{
	struct vsvm_users *users = &gpu->users;

	spin_lock(&users->lock);
	list_del(&user->link);
	if (list_empty(&users->list))
		wake_up_all(&users->wq);
	spin_unlock(&users->lock);
}

static bool vsvm_users_gone(struct vsvm_users *users)
{
	bool gone;

	spin_lock(&users->lock);
	gone = list_empty(&users->list);
	spin_unlock(&users->lock);

	return gone;
}

/* The GPU is pulled out: nobody enters, and who is there leaves. Context: sleeps. */
void vsvm_users_end(struct vsvm_users *users)
{
	struct vsvm_user *user;

	spin_lock(&users->lock);
	/* Pairs with READ_ONCE() of who wants to know why it was interrupted. */
	WRITE_ONCE(users->closed, true);
	list_for_each_entry(user, &users->list, link)
		if (user->task)
			send_sig(SIGKILL, user->task, 1);
	spin_unlock(&users->lock);
	wait_event(users->wq, vsvm_users_gone(users));
}
