// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Exec: check a job as a whole, number it, queue it; and the end of jobs, which
 * every job comes to exactly once.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "vsvm_drv.h"

static void vsvm_job_release(struct kref *ref)
{
	struct vsvm_job *job = container_of(ref, struct vsvm_job, ref);

	vsvm_vm_put(job->vm);
	kvfree(job->cmds);
	kfree(job);
}

/* Drop a reference. Context: sleeps. */
void vsvm_job_put(struct vsvm_job *job)
{
	kref_put(&job->ref, vsvm_job_release);
}

/* End a job, once. Context: sleeps; the caller has a reference. */
void vsvm_job_end(struct vsvm_job *job, int status)
{
	struct vsvm_job *old = NULL;
	struct vsvm_vm *vm = job->vm;
	bool first;

	spin_lock(&vm->jobs_lock);
	first = !job->ended;
	if (first) {
		job->ended = true;
		job->status = status;
		list_move_tail(&job->vm_link, &vm->ended);
		vm->nr_pending--;
		if (vm->nr_ended++ == VSVM_MAX_RESULTS) {
			old = list_first_entry(&vm->ended, struct vsvm_job,
					       vm_link);
			list_del_init(&old->vm_link);
			vm->nr_ended--;
		}
	}
	spin_unlock(&vm->jobs_lock);

	if (first) {
		/* Only the result is kept, and it may be kept for long. */
		kvfree(job->cmds);
		job->cmds = NULL;
		wake_up_all(&vm->jobs_wq);
	}
	if (old)
		vsvm_job_put(old);
}

/* Copy and check the commands. */
static int vsvm_exec_cmds(struct vsvm_job *job, const struct drm_vsvm_exec *args)
{
	u32 i;
	int err;

	job->cmds = vmemdup_array_user(u64_to_user_ptr(args->cmds),
				       args->num_cmds, sizeof(*job->cmds));
	if (IS_ERR(job->cmds)) {
		err = PTR_ERR(job->cmds);
		job->cmds = NULL;
		return err;
	}
	for (i = 0; i < args->num_cmds; i++) {
		err = vsvm_cmd_check(&job->cmds[i]);
		if (err)
			return err;
	}
	job->num_cmds = args->num_cmds;
	job->fence_addr = args->fence_addr;
	job->fence_value = args->fence_value;
	return 0;
}

/* Number the job and hand it to the scheduler, in one order. */
static int vsvm_exec_queue(struct vsvm_vm *vm, struct vsvm_job *job,
			   struct drm_vsvm_exec *args)
{
	bool bound;
	int err;

	err = drm_sched_job_init(&job->base, &vm->entities[args->engine], 1,
				 vm, 0);
	if (err)
		return err;

	mutex_lock(&vm->exec_lock);
	bound = !READ_ONCE(vm->dying) && vsvm_binds_lock(vm);
	spin_lock(&vm->jobs_lock);
	if (vm->dying) {
		err = -ENODEV;
	} else if (vm->cut_off) {
		err = -EIO;
	} else if (vm->nr_pending == VSVM_MAX_JOBS) {
		err = -EAGAIN;
	} else {
		job->id = ++vm->last_job;
		args->job_id = job->id;
		vm->nr_pending++;
		list_add_tail(&job->vm_link, &vm->pending);
	}
	spin_unlock(&vm->jobs_lock);
	if (!err) {
		/* The reference of the VM's lists; ours becomes the scheduler's. */
		kref_get(&job->ref);
		atomic_inc(&vm->gpu->engines[args->engine].nr_jobs);
		drm_sched_job_arm(&job->base);
		drm_sched_entity_push_job(&job->base);
	}
	if (bound)
		vsvm_binds_unlock(vm);
	mutex_unlock(&vm->exec_lock);

	if (err)
		drm_sched_job_cleanup(&job->base);
	return err;
}

static int vsvm_exec(struct vsvm_vm *vm, struct drm_vsvm_exec *args)
{
	struct vsvm_job *job;
	int idx, err;

	if (args->engine >= vm->gpu->config.engines)
		return -EINVAL;
	/* The memory is the creator's, whoever got hold of the file. */
	if (current->mm != vm->mm)
		return -EPERM;

	job = kzalloc_obj(*job);
	if (!job)
		return -ENOMEM;
	kref_init(&job->ref);
	INIT_LIST_HEAD(&job->fifo_link);
	INIT_LIST_HEAD(&job->vm_link);
	job->vm = vm;
	kref_get(&vm->ref);

	err = vsvm_exec_cmds(job, args);
	if (err)
		goto err_put;

	/* Only now: user memory may take for ever, and unplugging waits for us. */
	err = -ENODEV;
	if (!drm_dev_enter(&vm->gpu->drm, &idx))
		goto err_put;
	err = vsvm_exec_queue(vm, job, args);
	drm_dev_exit(idx);
	if (err)
		goto err_put;
	return 0;

err_put:
	vsvm_job_put(job);
	return err;
}

int vsvm_exec_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_vsvm_exec *args = data;
	struct vsvm_vm *vm;
	int err;

	if (args->flags || !args->num_cmds || args->num_cmds > VSVM_MAX_CMDS ||
	    !IS_ALIGNED(args->fence_addr, 8) ||
	    (!args->fence_addr && args->fence_value))
		return -EINVAL;

	vm = vsvm_vm_lookup(file, args->vm_id);
	if (!vm)
		return -ENOENT;

	err = vsvm_exec(vm, args);
	vsvm_vm_put(vm);
	return err;
}
