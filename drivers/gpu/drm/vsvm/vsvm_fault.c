// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How an engine's fault gets to drm_msvm, by the GPU's "fault_mode":
 *
 * direct  the engine's thread calls the library itself;
 * queue   it raises an interrupt, whose handler pushes the fault into the library's
 *         queue, as drivers of most hardware do. A fault that is refused stays
 *         raised until there is room;
 * batch   a thread of the GPU collects what engines raised and hands it over.
 */
#include <linux/kthread.h>
#include <linux/sched/signal.h>

#include "vsvm_drv.h"

static struct vsvm_fault_port *to_port(const struct drm_msvm_fault *fault)
{
	return fault->data;
}

/* The library answered. Context: any that is not an interrupt. */
static void vsvm_fault_answer(const struct drm_msvm_fault *fault)
{
	struct vsvm_fault_port *port = to_port(fault);

	spin_lock_irq(&port->lock);
	port->fault.err = fault->err;
	port->state = VSVM_FAULT_DONE;
	spin_unlock_irq(&port->lock);
	wake_up_all(&port->engine->wq);
}

static void vsvm_fault_done(struct drm_msvm_fault_queue *queue,
			    const struct drm_msvm_fault *fault)
{
	vsvm_fault_answer(fault);
}

/* There is room for what was refused: the hardware raises it again. */
static void vsvm_fault_room(struct drm_msvm_fault_queue *queue)
{
	struct vsvm_gpu *gpu = container_of(queue, struct vsvm_gpu, fault_queue);
	unsigned int i;

	for (i = 0; i < gpu->config.engines; i++) {
		struct vsvm_fault_port *port = &gpu->engines[i].port;

		/* One raised just now has its interrupt under way. */
		if (READ_ONCE(port->state) == VSVM_FAULT_RAISED)
			irq_work_queue(&port->irq);
	}
}

static const struct drm_msvm_fault_queue_ops vsvm_fault_queue_ops = {
	.done = vsvm_fault_done,
	.room = vsvm_fault_room,
};

/* The interrupt handler. */
static void vsvm_fault_irq(struct irq_work *irq)
{
	struct vsvm_fault_port *port =
		container_of(irq, struct vsvm_fault_port, irq);
	struct vsvm_gpu *gpu = port->engine->gpu;
	unsigned long flags;

	if (gpu->config.fault_mode == VSVM_FAULT_BATCH) {
		wake_up(&gpu->collector_wq);
		return;
	}

	spin_lock_irqsave(&port->lock, flags);
	if (port->state == VSVM_FAULT_RAISED) {
		if (!drm_msvm_fault_push(&gpu->fault_queue, &port->fault)) {
			port->state = VSVM_FAULT_TAKEN;
			if (in_hardirq())
				atomic64_inc(&gpu->irq_faults);
		} else {
			atomic64_inc(&gpu->refused_faults);
		}
	}
	spin_unlock_irqrestore(&port->lock, flags);
}

void vsvm_fault_port_init(struct vsvm_engine *engine)
{
	struct vsvm_fault_port *port = &engine->port;

	port->engine = engine;
	port->state = VSVM_FAULT_NONE;
	spin_lock_init(&port->lock);
	init_irq_work(&port->irq, vsvm_fault_irq);
}

static bool vsvm_fault_any_raised(struct vsvm_gpu *gpu)
{
	unsigned int i;

	for (i = 0; i < gpu->config.engines; i++)
		if (READ_ONCE(gpu->engines[i].port.state) == VSVM_FAULT_RAISED)
			return true;
	return false;
}

/* Take all that is raised. Return: how many. */
static unsigned int vsvm_fault_collect(struct vsvm_gpu *gpu)
{
	unsigned int i, k, n = 0, spaces = 0;

	for (i = 0; i < gpu->config.engines; i++) {
		struct vsvm_fault_port *port = &gpu->engines[i].port;

		spin_lock_irq(&port->lock);
		if (port->state == VSVM_FAULT_RAISED) {
			port->state = VSVM_FAULT_TAKEN;
			gpu->batch[n++] = port->fault;
		}
		spin_unlock_irq(&port->lock);
	}
	for (i = 0; i < n; i++) {
		for (k = 0; k < i; k++)
			if (gpu->batch[k].member->msvm ==
			    gpu->batch[i].member->msvm)
				break;
		spaces += k == i;
	}
	WRITE_ONCE(gpu->largest_batch, max(gpu->largest_batch, n));
	WRITE_ONCE(gpu->spaces_batched, max(gpu->spaces_batched, spaces));

	return n;
}

/* The thread of mode "batch". */
static int vsvm_fault_collector(void *data)
{
	struct vsvm_gpu *gpu = data;
	unsigned int i, n;

	/* By which a batch that sleeps is cancelled. */
	allow_kernel_signal(SIGKILL);
	while (!kthread_should_stop()) {
		wait_event_interruptible(gpu->collector_wq,
					 vsvm_fault_any_raised(gpu) ||
					 kthread_should_stop());
		mutex_lock(&gpu->collector_lock);
		n = vsvm_fault_collect(gpu);
		gpu->collected = n;
		mutex_unlock(&gpu->collector_lock);

		drm_msvm_handle_faults(gpu->batch, n);

		mutex_lock(&gpu->collector_lock);
		gpu->collected = 0;
		/* Who was to be cancelled and others with it: they look again. */
		flush_signals(current);
		mutex_unlock(&gpu->collector_lock);
		for (i = 0; i < n; i++)
			vsvm_fault_answer(&gpu->batch[i]);
	}
	return 0;
}

/*
 * Set up what the GPU's mode needs. It is registered with drm_msvm. Context:
 * sleeps. Return: 0 or -ENOMEM.
 */
int vsvm_fault_init(struct vsvm_gpu *gpu)
{
	mutex_init(&gpu->collector_lock);
	init_waitqueue_head(&gpu->collector_wq);

	switch (gpu->config.fault_mode) {
	case VSVM_FAULT_QUEUE:
		return drm_msvm_fault_queue_init(&gpu->fault_queue, &gpu->msvm,
						 gpu->config.fault_depth,
						 &vsvm_fault_queue_ops);
	case VSVM_FAULT_BATCH:
		gpu->collector = kthread_run(vsvm_fault_collector, gpu,
					     "vsvm%u-faults", gpu->index);
		return PTR_ERR_OR_ZERO(gpu->collector);
	default:
		return 0;
	}
}

/* Undo it. No VM is left, and drm_msvm does not know the GPU any more. */
void vsvm_fault_fini(struct vsvm_gpu *gpu)
{
	unsigned int i;

	for (i = 0; i < gpu->config.engines; i++)
		irq_work_sync(&gpu->engines[i].port.irq);
	if (gpu->config.fault_mode == VSVM_FAULT_QUEUE)
		drm_msvm_fault_queue_fini(&gpu->fault_queue);
	else if (gpu->config.fault_mode == VSVM_FAULT_BATCH)
		kthread_stop(gpu->collector);
	mutex_destroy(&gpu->collector_lock);
}

/* Is it answered? Or is it not even handed over, and so ended here? */
static bool vsvm_fault_withdraw(struct vsvm_fault_port *port)
{
	bool done;

	spin_lock_irq(&port->lock);
	if (port->state == VSVM_FAULT_RAISED) {
		port->state = VSVM_FAULT_DONE;
		port->fault.err = -ECANCELED;
	}
	done = port->state == VSVM_FAULT_DONE;
	spin_unlock_irq(&port->lock);

	return done;
}

/* Get a fault answered that may sleep for ever. */
static void vsvm_fault_cancel(struct vsvm_fault_port *port)
{
	struct vsvm_gpu *gpu = port->engine->gpu;

	if (vsvm_fault_withdraw(port))
		return;
	if (gpu->config.fault_mode == VSVM_FAULT_QUEUE) {
		drm_msvm_fault_cancel(port->fault.member, port);
	} else {
		mutex_lock(&gpu->collector_lock);
		if (gpu->collected)
			send_sig(SIGKILL, gpu->collector, 1);
		mutex_unlock(&gpu->collector_lock);
	}
	wait_event(port->engine->wq,
		   READ_ONCE(port->state) == VSVM_FAULT_DONE);
}

/*
 * &vsvm_layout_ops.fault of layout "msvm". Context: the engine's thread. Return: as
 * drm_msvm_handle_fault(), -EINTR if the thread was interrupted.
 */
int vsvm_fault_serve(struct vsvm_engine *engine, struct vsvm_vm *vm, u64 addr,
		     enum drm_msvm_access access)
{
	struct vsvm_fault_port *port = &engine->port;

	if (engine->gpu->config.fault_mode == VSVM_FAULT_DIRECT)
		return drm_msvm_handle_fault(&vm->member, addr, access);

	spin_lock_irq(&port->lock);
	port->fault = (struct drm_msvm_fault) {
		.member = &vm->member,
		.addr = addr,
		.access = access,
		.data = port,
	};
	port->state = VSVM_FAULT_RAISED;
	spin_unlock_irq(&port->lock);
	irq_work_queue(&port->irq);

	if (wait_event_killable(engine->wq,
				READ_ONCE(port->state) == VSVM_FAULT_DONE))
		vsvm_fault_cancel(port);
	/* Whoever answered is done with it: the lock is free. */
	spin_lock_irq(&port->lock);
	port->state = VSVM_FAULT_NONE;
	spin_unlock_irq(&port->lock);

	/* Cancelled by ourselves, or with another fault: the job looks again. */
	return port->fault.err == -ECANCELED ? -EINTR : port->fault.err;
}
