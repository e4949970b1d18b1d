// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Wait: for one job or for all queued so far, and how they ended.
 */
#include <linux/hrtimer.h>

#include <drm/drm_file.h>

#include "vsvm_drv.h"

/* The job @id in a list, or NULL. jobs_lock held. */
static struct vsvm_job *vsvm_job_find(struct list_head *list, u64 id)
{
	struct vsvm_job *job;

	list_for_each_entry(job, list, vm_link) {
		if (job->id == id)
			return job;
	}
	return NULL;
}

/* Is what was asked for still to come? @id 0: all up to @last. */
static bool vsvm_wait_pending(struct vsvm_vm *vm, u64 id, u64 last)
{
	struct vsvm_job *first;
	bool pending;

	spin_lock(&vm->jobs_lock);
	if (id) {
		pending = vsvm_job_find(&vm->pending, id);
	} else {
		/* In the order of ids. */
		first = list_first_entry_or_null(&vm->pending, struct vsvm_job,
						 vm_link);
		pending = first && first->id <= last;
	}
	spin_unlock(&vm->jobs_lock);

	return pending;
}

static int vsvm_wait_until(struct vsvm_vm *vm, u64 id, u64 last, s64 timeout_ns)
{
	ktime_t left = ktime_sub(ns_to_ktime(timeout_ns), ktime_get());
	int err;

	if (!vsvm_wait_pending(vm, id, last))
		return 0;
	if (timeout_ns <= 0 || ktime_to_ns(left) <= 0)
		return -ETIME;

	err = wait_event_interruptible_hrtimeout(vm->jobs_wq,
						 !vsvm_wait_pending(vm, id, last),
						 left);
	return err;
}

/*
 * Take the results that were asked for out of the list, so that each is told
 * once. Return: the one to tell, with a reference, or NULL.
 */
static struct vsvm_job *vsvm_wait_take(struct vsvm_vm *vm, u64 id, u64 last,
				       struct list_head *taken)
{
	struct vsvm_job *job, *next, *found = NULL;

	spin_lock(&vm->jobs_lock);
	list_for_each_entry_safe(job, next, &vm->ended, vm_link) {
		if (id ? job->id != id : job->id > last)
			continue;
		list_move_tail(&job->vm_link, taken);
		vm->nr_ended--;
		if (!found && (id || job->status))
			found = job;
	}
	spin_unlock(&vm->jobs_lock);

	return found;
}

int vsvm_wait_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_vsvm_wait *args = data;
	struct vsvm_job *job, *next;
	struct vsvm_vm *vm;
	LIST_HEAD(taken);
	u64 last;
	int err;

	if (args->flags || args->pad)
		return -EINVAL;
	vm = vsvm_vm_lookup(file, args->vm_id);
	if (!vm)
		return -ENOENT;

	spin_lock(&vm->jobs_lock);
	last = vm->last_job;
	spin_unlock(&vm->jobs_lock);

	err = vsvm_wait_until(vm, args->job_id, last, args->timeout_ns);
	if (err)
		goto out;

	args->status = 0;
	args->cmd_index = 0;
	args->fault_addr = 0;
	args->fault_access = DRM_VSVM_ACCESS_NONE;

	job = vsvm_wait_take(vm, args->job_id, last, &taken);
	if (job) {
		args->status = job->status;
		args->cmd_index = job->cmd_index;
		args->fault_addr = job->fault_addr;
		args->fault_access = job->fault_access;
	} else if (args->job_id) {
		err = -ENOENT;
	}
	list_for_each_entry_safe(job, next, &taken, vm_link) {
		list_del_init(&job->vm_link);
		vsvm_job_put(job);
	}
out:
	vsvm_vm_put(vm);
	return err;
}
