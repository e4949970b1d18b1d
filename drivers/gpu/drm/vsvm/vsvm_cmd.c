// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Commands: what an engine does with a process's memory. Every access is a
 * translation and an access to at most the rest of a page, made under the
 * engine's TLB lock; a page fault is served without it and the access repeated.
 */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/unaligned.h>

#include "vsvm_drv.h"
#include "vsvm_edu.h"
#include "vsvm_pages.h"

/*
 * Faults in a row at one address before the job fails: each of them was served,
 * so the CPU side took the page away that often in between.
 */
#define VSVM_MAX_REFAULTS	1000

/**
 * struct vsvm_run - A job being executed.
 * @engine: By this engine.
 * @job: The job.
 * @vm: Its VM.
 */
struct vsvm_run {
	struct vsvm_engine *engine;
	struct vsvm_job *job;
	struct vsvm_vm *vm;
};

typedef void (*vsvm_access_fn)(void *mem, void *data);

/* Copies between memory and a buffer of the engine. */
struct vsvm_copy {
	void *buf;
	size_t len;
};

/* Must the job stop? Return: 0 or the status it ends with. */
static int vsvm_run_stopped(struct vsvm_run *run)
{
	/* Pairs with WRITE_ONCE() in vsvm_vm_kill(). */
	if (READ_ONCE(run->vm->dying))
		return -ECANCELED;
	/* Pairs with WRITE_ONCE() in vsvm_mmu_cut_off(). */
	if (READ_ONCE(run->vm->cut_off))
		return -EIO;
	return 0;
}

/* Remember which access failed. Return: @err. */
static int vsvm_run_failed(struct vsvm_run *run, u64 addr,
			   enum drm_msvm_access access, int err)
{
	struct vsvm_job *job = run->job;

	job->fault_addr = addr;
	job->fault_access = access == DRM_MSVM_ACCESS_READ ?
			    DRM_VSVM_ACCESS_READ :
			    access == DRM_MSVM_ACCESS_WRITE ?
			    DRM_VSVM_ACCESS_WRITE : DRM_VSVM_ACCESS_ATOMIC;
	return err;
}

/* Serve a page fault, and remember it if that fails. */
static int vsvm_run_fault(struct vsvm_run *run, u64 addr,
			  enum drm_msvm_access access)
{
	struct vsvm_vm *vm = run->vm;
	int err;

	if (vm->gpu->config.fault_us)
		usleep_range(vm->gpu->config.fault_us,
			     vm->gpu->config.fault_us + 10);

	if (addr >= vsvm_gpu_va_end(vm->gpu))
		err = -EFAULT;
	else if (access == DRM_MSVM_ACCESS_ATOMIC &&
		 !vm->gpu->config.system_atomics)
		err = -EOPNOTSUPP;
	else
		err = vsvm_bind_fault(vm, addr, access);
	/* Who takes no page faults finds its memory mapped, or not at all. */
	if (err == -ENOENT)
		err = vm->gpu->config.page_faults ?
		      vm->ops->fault(run->engine, vm, addr, access) : -EFAULT;
	switch (err) {
	case 0:
		return 0;
	case -ERANGE:
	case -ESRCH:
		err = -EFAULT;
		break;
	case -EINTR:
		/* Meant for this job, or for the one before it: see again. */
		flush_signals(current);
		return vsvm_run_stopped(run);
	}

	/* A fault that was given up on is no fault of the address. */
	return vsvm_run_stopped(run) ?: vsvm_run_failed(run, addr, access, err);
}

/* Must it not access memory for now? */
static bool vsvm_run_preempted(struct vsvm_run *run)
{
	/* Pairs with WRITE_ONCE() in vsvm_mmu_quiesce() and vsvm_gpu_reset(). */
	return READ_ONCE(run->vm->quiesced) ||
	       READ_ONCE(run->engine->gpu->in_reset);
}

/* Access memory within one page. */
static int vsvm_access(struct vsvm_run *run, u64 addr,
		       enum drm_msvm_access access, vsvm_access_fn fn,
		       void *data)
{
	bool write = access != DRM_MSVM_ACCESS_READ;
	struct vsvm_engine *engine = run->engine;
	struct vsvm_gpu *gpu = engine->gpu;
	/* What it can't do at all is left to the fault to refuse. */
	bool allowed = addr < vsvm_gpu_va_end(gpu) &&
		       (access != DRM_MSVM_ACCESS_ATOMIC ||
			gpu->config.system_atomics);
	struct vsvm_edu *edu = gpu->config.edu;
	int err, faults = 0;
	bool preempted;
	void *mem;

	for (;;) {
		err = vsvm_run_stopped(run);
		if (err)
			return err;

		if (edu)
			vsvm_edu_claim(edu);
		spin_lock(&engine->tlb_lock);
		preempted = vsvm_run_preempted(run);
		mem = allowed && !preempted ?
		      vsvm_translate(engine, run->vm, addr, access) : NULL;
		/* Of its commands only those get here that copy. */
		if (mem && edu)
			vsvm_edu_start(edu, engine->dma_addr,
				       ((struct vsvm_copy *)data)->len, write);
		else if (mem)
			fn(mem, data);
		spin_unlock(&engine->tlb_lock);
		err = edu ? vsvm_edu_release(edu) : 0;
		if (err)
			return vsvm_run_failed(run, addr, access, err);
		if (mem) {
			cond_resched();
			return 0;
		}
		if (preempted) {
			/* Until all it may touch is mapped again, or can be. */
			wait_event(run->vm->jobs_wq, !vsvm_run_preempted(run) ||
				   vsvm_run_stopped(run));
			continue;
		}

		if (++faults > VSVM_MAX_REFAULTS)
			return vsvm_run_failed(run, addr, access, -EBUSY);
		err = vsvm_run_fault(run, addr, access);
		if (err)
			return err;
	}
}

static size_t vsvm_page_rest(u64 addr)
{
	return PAGE_SIZE - offset_in_page(addr);
}

static void vsvm_do_read(void *mem, void *data)
{
	struct vsvm_copy *copy = data;

	memcpy(copy->buf, mem, copy->len);
}

static void vsvm_do_write(void *mem, void *data)
{
	struct vsvm_copy *copy = data;

	memcpy(mem, copy->buf, copy->len);
}

/* Read or write bytes that may cross a page. */
static int vsvm_transfer(struct vsvm_run *run, u64 addr, void *buf, size_t len,
			 bool write)
{
	struct vsvm_copy copy = { .buf = buf };
	int err;

	while (len) {
		copy.len = min(len, vsvm_page_rest(addr));
		err = vsvm_access(run, addr, write ? DRM_MSVM_ACCESS_WRITE :
						     DRM_MSVM_ACCESS_READ,
				  write ? vsvm_do_write : vsvm_do_read, &copy);
		if (err)
			return err;
		addr += copy.len;
		copy.buf += copy.len;
		len -= copy.len;
	}
	return 0;
}

/* A single access to an aligned operand. */
struct vsvm_operand {
	u32 op;
	u32 width;
	u64 arg0;
	u64 arg1;
	u64 old;
};

static void vsvm_do_load(void *mem, void *data)
{
	struct vsvm_operand *o = data;

	switch (o->width) {
	case 1:
		o->old = READ_ONCE(*(u8 *)mem);
		break;
	case 2:
		o->old = READ_ONCE(*(u16 *)mem);
		break;
	case 4:
		o->old = READ_ONCE(*(u32 *)mem);
		break;
	default:
		o->old = READ_ONCE(*(u64 *)mem);
	}
}

static void vsvm_do_store(void *mem, void *data)
{
	struct vsvm_operand *o = data;

	switch (o->width) {
	case 1:
		WRITE_ONCE(*(u8 *)mem, o->arg0);
		break;
	case 2:
		WRITE_ONCE(*(u16 *)mem, o->arg0);
		break;
	case 4:
		WRITE_ONCE(*(u32 *)mem, o->arg0);
		break;
	default:
		WRITE_ONCE(*(u64 *)mem, o->arg0);
	}
}

/* The CPU's own atomics, so that they are atomic with everybody's. */
static void vsvm_do_atomic(void *mem, void *data)
{
	struct vsvm_operand *o = data;

	if (o->width == 4) {
		u32 *p = mem;

		if (o->op == DRM_VSVM_OP_ADD)
			o->old = (u32)atomic_fetch_add(o->arg0, (atomic_t *)p);
		else if (o->op == DRM_VSVM_OP_CAS)
			o->old = cmpxchg(p, (u32)o->arg0, (u32)o->arg1);
		else
			o->old = xchg(p, (u32)o->arg0);
	} else {
		u64 *p = mem;

		if (o->op == DRM_VSVM_OP_ADD)
			o->old = atomic64_fetch_add(o->arg0, (atomic64_t *)p);
		else if (o->op == DRM_VSVM_OP_CAS)
			o->old = cmpxchg64(p, o->arg0, o->arg1);
		else
			o->old = xchg(p, o->arg0);
	}
}

static int vsvm_load(struct vsvm_run *run, u64 addr, u32 width, u64 *value)
{
	struct vsvm_operand o = { .width = width };
	u8 bytes[8] = {};
	int err;

	if (IS_ALIGNED(addr, width)) {
		err = vsvm_access(run, addr, DRM_MSVM_ACCESS_READ, vsvm_do_load,
				  &o);
		*value = o.old;
		return err;
	}
	err = vsvm_transfer(run, addr, bytes, width, false);
	*value = get_unaligned_le64(bytes);
	return err;
}

static int vsvm_store(struct vsvm_run *run, u64 addr, u32 width, u64 value)
{
	struct vsvm_operand o = { .width = width, .arg0 = value };
	u8 bytes[8];

	if (IS_ALIGNED(addr, width))
		return vsvm_access(run, addr, DRM_MSVM_ACCESS_WRITE,
				   vsvm_do_store, &o);
	put_unaligned_le64(value, bytes);
	return vsvm_transfer(run, addr, bytes, width, true);
}

static int vsvm_atomic(struct vsvm_run *run, u32 op, u32 width, u64 addr,
		       u64 arg0, u64 arg1, u64 *old)
{
	struct vsvm_operand o = {
		.op = op, .width = width, .arg0 = arg0, .arg1 = arg1,
	};
	int err;

	err = vsvm_access(run, addr, DRM_MSVM_ACCESS_ATOMIC, vsvm_do_atomic, &o);
	if (!err && old)
		*old = o.old;
	return err;
}

static int vsvm_result(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd,
		       u64 value)
{
	return cmd->result ? vsvm_store(run, cmd->result, 8, value) : 0;
}

/* Be no faster than configured: @done bytes since @start. */
static void vsvm_run_pace(struct vsvm_run *run, ktime_t start, u64 done)
{
	u32 mbps = run->engine->gpu->config.copy_mbps;
	ktime_t end;

	if (!mbps)
		return;
	/* Bytes by 10^6 bytes a second are microseconds. */
	end = ktime_add_us(start, div_u64(done, mbps));
	/* Shorter ones add up and are made good for later. */
	while (ktime_us_delta(end, ktime_get()) > 50 &&
	       !vsvm_run_stopped(run)) {
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_hrtimeout(&end, HRTIMER_MODE_ABS);
		if (signal_pending(current))
			break;
	}
}

static int vsvm_cmd_copy(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd)
{
	ktime_t start = ktime_get();
	u64 done, src, dst;
	size_t n;
	int err;

	for (done = 0; done < cmd->len; done += n) {
		src = cmd->src + done;
		dst = cmd->dst + done;
		n = min3(cmd->len - done, (u64)vsvm_page_rest(src),
			 (u64)vsvm_page_rest(dst));
		if (run->engine->gpu->config.edu)
			n = min_t(size_t, n, VSVM_EDU_MAX);
		err = vsvm_transfer(run, src, run->engine->bounce, n, false);
		if (!err)
			err = vsvm_transfer(run, dst, run->engine->bounce, n,
					    true);
		if (err)
			return err;
		vsvm_run_pace(run, start, done + n);
	}
	return 0;
}

static int vsvm_cmd_fill(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd)
{
	ktime_t start = ktime_get();
	u64 done;
	size_t n;
	int err;

	memset(run->engine->bounce, cmd->arg0, PAGE_SIZE);
	for (done = 0; done < cmd->len; done += n) {
		n = min(cmd->len - done, (u64)vsvm_page_rest(cmd->dst + done));
		err = vsvm_transfer(run, cmd->dst + done, run->engine->bounce,
				    n, true);
		if (err)
			return err;
		vsvm_run_pace(run, start, done + n);
	}
	return 0;
}

/* Sums and histograms read in place. */
struct vsvm_reduce {
	u64 *histogram;
	u64 sum;
	size_t len;
};

static void vsvm_do_sum(void *mem, void *data)
{
	struct vsvm_reduce *r = data;
	const u8 *p = mem;
	size_t i;

	for (i = 0; i < r->len; i++)
		r->sum += p[i];
}

static void vsvm_do_histogram(void *mem, void *data)
{
	struct vsvm_reduce *r = data;
	const u8 *p = mem;
	size_t i;

	for (i = 0; i < r->len; i++)
		r->histogram[p[i]]++;
}

static int vsvm_reduce(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd,
		       vsvm_access_fn fn, struct vsvm_reduce *r)
{
	u64 done;
	int err;

	for (done = 0; done < cmd->len; done += r->len) {
		r->len = min(cmd->len - done,
			     (u64)vsvm_page_rest(cmd->src + done));
		err = vsvm_access(run, cmd->src + done, DRM_MSVM_ACCESS_READ, fn,
				  r);
		if (err)
			return err;
	}
	return 0;
}

static int vsvm_cmd_sum(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd)
{
	struct vsvm_reduce r = {};
	int err;

	err = vsvm_reduce(run, cmd, vsvm_do_sum, &r);
	if (err)
		return err;
	return vsvm_atomic(run, DRM_VSVM_OP_ADD, 8, cmd->dst, r.sum, 0, NULL);
}

static int vsvm_cmd_histogram(struct vsvm_run *run,
			      const struct drm_vsvm_cmd *cmd)
{
	struct vsvm_reduce r = { .histogram = run->engine->histogram };
	unsigned int i;
	int err;

	memset(r.histogram, 0, VSVM_HISTOGRAM_SIZE);
	err = vsvm_reduce(run, cmd, vsvm_do_histogram, &r);
	for (i = 0; !err && i < 256; i++) {
		if (r.histogram[i])
			err = vsvm_atomic(run, DRM_VSVM_OP_ADD, 8,
					  cmd->dst + i * 8, r.histogram[i], 0,
					  NULL);
	}
	return err;
}

static int vsvm_cmd_chase(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd)
{
	u64 p = cmd->src, i;
	int err;

	for (i = 0; i < cmd->arg0; i++) {
		err = vsvm_load(run, p, 8, &p);
		if (err)
			return err;
	}
	return vsvm_result(run, cmd, p);
}

static int vsvm_cmd_wait_value(struct vsvm_run *run,
			       const struct drm_vsvm_cmd *cmd)
{
	ktime_t start = ktime_get();
	unsigned int delay = 1;
	u64 value;
	int err;

	for (;;) {
		err = vsvm_load(run, cmd->src, cmd->width, &value);
		if (err)
			return err;
		if ((value & cmd->arg1) == cmd->arg0)
			return 0;
		if (cmd->timeout_ns &&
		    ktime_to_ns(ktime_sub(ktime_get(), start)) >
		    cmd->timeout_ns)
			return -ETIMEDOUT;
		/* As hardware polls, less and less often. */
		usleep_range(delay, 2 * delay);
		delay = min(2 * delay, 500U);
	}
}

/* Move memory to where it will be used, and have it mapped there. */
static int vsvm_cmd_prefetch(struct vsvm_run *run,
			     const struct drm_vsvm_cmd *cmd)
{
	struct vsvm_vm *vm = run->vm;
	u64 addr, end = cmd->dst + cmd->len, value;
	int err;

	err = vsvm_prefetch(vm, cmd->dst, cmd->len, cmd->arg0);
	/* No fault: that would go by the policy. */
	if (!err && cmd->arg0 == vm->gpu->index + 1 &&
	    vm->layout == DRM_VSVM_VM_LAYOUT_MSVM)
		err = vsvm_map_here(vm, cmd->dst, cmd->len);
	if (err)
		/* As for a fault that was given up on. */
		flush_signals(current);
	if (err || cmd->arg0 != vm->gpu->index + 1 ||
	    vm->layout == DRM_VSVM_VM_LAYOUT_MSVM)
		return vsvm_run_stopped(run);
	for (addr = cmd->dst; addr < end; addr = PAGE_ALIGN_DOWN(addr) + PAGE_SIZE) {
		/* Memory that is not there is nobody's error yet. */
		vsvm_load(run, addr, 1, &value);
		run->job->fault_addr = 0;
		run->job->fault_access = DRM_VSVM_ACCESS_NONE;
		err = vsvm_run_stopped(run);
		if (err)
			return err;
	}
	return 0;
}

static int vsvm_cmd_run(struct vsvm_run *run, const struct drm_vsvm_cmd *cmd)
{
	u64 value;
	int err;

	/* A copy's bytes stay in the function, all else is for the CPU to do. */
	if (run->engine->gpu->config.edu && cmd->op != DRM_VSVM_OP_COPY &&
	    cmd->op != DRM_VSVM_OP_NOP)
		return -EOPNOTSUPP;
	switch (cmd->op) {
	case DRM_VSVM_OP_NOP:
		return vsvm_run_stopped(run);
	case DRM_VSVM_OP_COPY:
		return vsvm_cmd_copy(run, cmd);
	case DRM_VSVM_OP_FILL:
		return vsvm_cmd_fill(run, cmd);
	case DRM_VSVM_OP_LOAD:
		err = vsvm_load(run, cmd->src, cmd->width, &value);
		return err ?: vsvm_result(run, cmd, value);
	case DRM_VSVM_OP_STORE:
		return vsvm_store(run, cmd->dst, cmd->width, cmd->arg0);
	case DRM_VSVM_OP_ADD:
	case DRM_VSVM_OP_CAS:
	case DRM_VSVM_OP_XCHG:
		err = vsvm_atomic(run, cmd->op, cmd->width, cmd->dst, cmd->arg0,
				  cmd->arg1, &value);
		return err ?: vsvm_result(run, cmd, value);
	case DRM_VSVM_OP_SUM:
		return vsvm_cmd_sum(run, cmd);
	case DRM_VSVM_OP_HISTOGRAM:
		return vsvm_cmd_histogram(run, cmd);
	case DRM_VSVM_OP_CHASE:
		return vsvm_cmd_chase(run, cmd);
	case DRM_VSVM_OP_WAIT_VALUE:
		return vsvm_cmd_wait_value(run, cmd);
	case DRM_VSVM_OP_PREFETCH:
		return vsvm_cmd_prefetch(run, cmd);
	default:
		return -EINVAL;
	}
}

/*
 * Execute a job. Context: the engine's thread. Return: the status it ends with;
 * the job says which command and which address failed.
 */
int vsvm_job_run(struct vsvm_engine *engine, struct vsvm_job *job)
{
	struct vsvm_run run = { .engine = engine, .job = job, .vm = job->vm };
	int err;

	for (job->cmd_index = 0; job->cmd_index < job->num_cmds;
	     job->cmd_index++) {
		err = vsvm_cmd_run(&run, &job->cmds[job->cmd_index]);
		if (err)
			return err;
		/* Commands are seen by others in their order. */
		smp_mb();
	}

	if (!job->fence_addr)
		return vsvm_run_stopped(&run);
	if (engine->gpu->config.edu)
		return -EOPNOTSUPP;
	return vsvm_store(&run, job->fence_addr, 8, job->fence_value);
}
