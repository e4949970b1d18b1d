// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Engines: a thread that executes jobs one after the other. drm_sched decides
 * the order and hands jobs over; it does not learn when they end, because jobs
 * that take page faults must not stand behind a dma_fence.
 */
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"

static struct vsvm_job *to_vsvm_job(struct drm_sched_job *base)
{
	return container_of(base, struct vsvm_job, base);
}

/* The scheduler's turn: put the job into the FIFO and forget about it. */
static struct dma_fence *vsvm_sched_run_job(struct drm_sched_job *base)
{
	struct vsvm_job *job = to_vsvm_job(base);
	struct vsvm_engine *engine =
		container_of(base->sched, struct vsvm_engine, sched);

	kref_get(&job->ref);
	spin_lock(&engine->fifo_lock);
	list_add_tail(&job->fifo_link, &engine->fifo);
	spin_unlock(&engine->fifo_lock);
	wake_up(&engine->wq);

	return NULL;
}

/* Handed over, or thrown out of the queue because its VM is being killed. */
static void vsvm_sched_free_job(struct drm_sched_job *base)
{
	struct vsvm_job *job = to_vsvm_job(base);
	struct vsvm_engine *engine =
		container_of(base->sched, struct vsvm_engine, sched);

	/* Thrown out: nobody else will end it. */
	if (base->s_fence->finished.error)
		vsvm_job_end(job, -ECANCELED);
	drm_sched_job_cleanup(base);
	vsvm_job_put(job);
	/* The engine may go as soon as this lock is free. */
	spin_lock(&engine->fifo_lock);
	if (atomic_dec_and_test(&engine->nr_jobs))
		wake_up_all(&engine->wq);
	spin_unlock(&engine->fifo_lock);
}

/* Timeouts are not used: a job may wait for another, or for a page, for long. */
static enum drm_gpu_sched_stat vsvm_sched_timedout_job(struct drm_sched_job *job)
{
	return DRM_GPU_SCHED_STAT_NO_HANG;
}

static const struct drm_sched_backend_ops vsvm_sched_ops = {
	.run_job = vsvm_sched_run_job,
	.timedout_job = vsvm_sched_timedout_job,
	.free_job = vsvm_sched_free_job,
};

/* Take the next job and mark its VM busy, in one step. */
static struct vsvm_job *vsvm_engine_next(struct vsvm_engine *engine)
{
	struct vsvm_job *job;

	spin_lock(&engine->fifo_lock);
	job = list_first_entry_or_null(&engine->fifo, struct vsvm_job,
				       fifo_link);
	if (job) {
		list_del_init(&job->fifo_link);
		engine->current_vm = job->vm;
		engine->busy_since = ktime_get();
	}
	spin_unlock(&engine->fifo_lock);

	return job;
}

/* The job is over, and its VM may go. */
static void vsvm_engine_done(struct vsvm_engine *engine)
{
	spin_lock(&engine->fifo_lock);
	engine->current_vm->file->busy_ns[engine->id] +=
		ktime_to_ns(ktime_sub(ktime_get(), engine->busy_since));
	engine->current_vm = NULL;
	spin_unlock(&engine->fifo_lock);
	wake_up_all(&engine->wq);
}

/* Time that jobs of a file took, the one that runs included. */
u64 vsvm_engine_busy_ns(struct vsvm_engine *engine, struct vsvm_file *file)
{
	u64 ns;

	spin_lock(&engine->fifo_lock);
	ns = file->busy_ns[engine->id];
	if (engine->current_vm && engine->current_vm->file == file)
		ns += ktime_to_ns(ktime_sub(ktime_get(), engine->busy_since));
	spin_unlock(&engine->fifo_lock);

	return ns;
}

static int vsvm_engine_thread(void *data)
{
	struct vsvm_engine *engine = data;
	struct vsvm_job *job;

	/* By which a fault that may sleep for ever is cancelled. */
	allow_signal(SIGKILL);
	while (!kthread_should_stop()) {
		/* One that came too late for its job. */
		flush_signals(current);
		wait_event_interruptible(engine->wq,
					 !list_empty_careful(&engine->fifo) ||
					 kthread_should_stop());
		job = vsvm_engine_next(engine);
		if (!job)
			continue;

		vsvm_job_end(job, vsvm_job_run(engine, job));

		vsvm_engine_done(engine);
		vsvm_job_put(job);
	}
	return 0;
}

static bool vsvm_engine_runs(struct vsvm_engine *engine, struct vsvm_vm *vm)
{
	bool runs;

	spin_lock(&engine->fifo_lock);
	runs = engine->current_vm == vm;
	spin_unlock(&engine->fifo_lock);

	return runs;
}

/*
 * Does the engine execute a job of the VM? Then get it out of a page fault: the
 * process may never serve it (userfaultfd), and may be waiting for us to exit.
 */
bool vsvm_engine_interrupt(struct vsvm_engine *engine, struct vsvm_vm *vm)
{
	bool runs;

	spin_lock(&engine->fifo_lock);
	runs = engine->current_vm == vm;
	if (runs)
		send_sig(SIGKILL, engine->task, 1);
	spin_unlock(&engine->fifo_lock);

	return runs;
}

/*
 * Take all jobs of a dying VM off an engine, and wait until the one that runs
 * has noticed. Context: sleeps.
 */
void vsvm_engine_cancel(struct vsvm_engine *engine, struct vsvm_vm *vm)
{
	struct vsvm_job *job, *next;
	LIST_HEAD(cancelled);

	spin_lock(&engine->fifo_lock);
	list_for_each_entry_safe(job, next, &engine->fifo, fifo_link) {
		if (job->vm == vm)
			list_move_tail(&job->fifo_link, &cancelled);
	}
	spin_unlock(&engine->fifo_lock);

	list_for_each_entry_safe(job, next, &cancelled, fifo_link) {
		list_del_init(&job->fifo_link);
		vsvm_job_end(job, -ECANCELED);
		vsvm_job_put(job);
	}
	/* It is not yet in the fault, perhaps, but it looks before it enters one. */
	if (vsvm_engine_interrupt(engine, vm))
		wait_event(engine->wq, !vsvm_engine_runs(engine, vm));
}

int vsvm_engine_init(struct vsvm_gpu *gpu, unsigned int id)
{
	const struct drm_sched_init_args args = {
		.ops = &vsvm_sched_ops,
		.num_rqs = DRM_SCHED_PRIORITY_COUNT,
		.credit_limit = VSVM_MAX_JOBS,
		.timeout = MAX_SCHEDULE_TIMEOUT,
		.name = "vsvm",
		.dev = gpu->drm.dev,
	};
	struct vsvm_engine *engine = &gpu->engines[id];
	int err;

	engine->gpu = gpu;
	engine->id = id;
	spin_lock_init(&engine->fifo_lock);
	spin_lock_init(&engine->tlb_lock);
	INIT_LIST_HEAD(&engine->fifo);
	init_waitqueue_head(&engine->wq);
	vsvm_fault_port_init(engine);

	engine->bounce = drmm_kmalloc(&gpu->drm, PAGE_SIZE, GFP_KERNEL);
	engine->histogram = drmm_kcalloc(&gpu->drm, 256,
					 sizeof(*engine->histogram), GFP_KERNEL);
	if (!engine->bounce || !engine->histogram)
		return -ENOMEM;

	err = drm_sched_init(&engine->sched, &args);
	if (err)
		return err;

	engine->task = kthread_run(vsvm_engine_thread, engine, "vsvm%u-%u",
				   gpu->index, id);
	if (IS_ERR(engine->task)) {
		drm_sched_fini(&engine->sched);
		return PTR_ERR(engine->task);
	}
	return 0;
}

/* Did the scheduler let go of all jobs, and is done with the engine? */
static bool vsvm_engine_idle(struct vsvm_engine *engine)
{
	bool idle;

	spin_lock(&engine->fifo_lock);
	idle = !atomic_read(&engine->nr_jobs);
	spin_unlock(&engine->fifo_lock);

	return idle;
}

/* All VMs of the GPU were killed, so no job comes or runs. */
void vsvm_engine_fini(struct vsvm_engine *engine)
{
	/* drm_sched_fini() would forget jobs that are not let go of yet. */
	wait_event(engine->wq, vsvm_engine_idle(engine));
	kthread_stop(engine->task);
	drm_sched_fini(&engine->sched);
	drm_WARN_ON(&engine->gpu->drm, !list_empty(&engine->fifo));
}
