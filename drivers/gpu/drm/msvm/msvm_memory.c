// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory of devices: added when a driver has registered its GPU, limited, asked
 * about, and removed with the GPU, which brings all pages back.
 */
#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/suspend.h>

#include <drm/drm_device.h>
#include <drm/drm_print.h>

#include "msvm_internal.h"
#include "msvm_memory.h"
#include "msvm_policy.h"

/* How long to try to evict what is above a lowered limit. */
#define MSVM_LIMIT_TIME		(2 * HZ)

/*
 * drm_pagemap maps what is copied by the DMA API. For devices that take physical
 * addresses this one stands in: DMA addresses of a device without hardware are
 * physical addresses.
 */
static struct faux_device *msvm_nodma;
static DEFINE_MUTEX(msvm_nodma_lock);

/* The system is about to sleep, or sleeps. Changed by PM notifiers, one at a time. */
static bool msvm_asleep;

static void msvm_memory_release(struct kref *ref)
{
	struct msvm_memory *memory =
		container_of(ref, struct msvm_memory, ref);

	mutex_destroy(&memory->pagemap_lock);
	xa_destroy(&memory->distances);
	xa_destroy(&memory->by_page);
	kfree(memory);
}

/* Drop a reference. Any context. */
void msvm_memory_put(struct msvm_memory *memory)
{
	kref_put(&memory->ref, msvm_memory_release);
}

static void msvm_memory_free_work(struct work_struct *work)
{
	struct msvm_memory *memory =
		container_of(work, struct msvm_memory, free_work);

	msvm_memory_reap(memory);
	msvm_memory_put(memory);
}

/* The device that stands in. Context: sleeps. Return: it, or NULL. */
struct device *msvm_nodma_device(void)
{
	guard(mutex)(&msvm_nodma_lock);

	if (!msvm_nodma) {
		msvm_nodma = msvm_fail_alloc() ? NULL :
			     faux_device_create("drm_msvm", NULL, NULL);
		if (msvm_nodma &&
		    dma_coerce_mask_and_coherent(&msvm_nodma->dev,
						 DMA_BIT_MASK(64))) {
			faux_device_destroy(msvm_nodma);
			msvm_nodma = NULL;
		}
	}
	return msvm_nodma ? &msvm_nodma->dev : NULL;
}

/**
 * drm_msvm_device_add_memory() - Let pages live in a GPU's memory.
 * @dev: The device, registered, without members yet.
 * @ops: The driver's operations; must stay until the module of the driver goes.
 * @size: Bytes of memory, a multiple of 2 MiB.
 *
 * drm->driver->fops->owner must be the driver's module, which is held while
 * pages of the memory exist. drm_msvm_device_unregister() removes the memory.
 *
 * Context: Sleeps. Before drm_dev_register().
 *
 * Return: 0; -EINVAL: an operation that is required is missing, a size that is
 * zero or no multiple of 2 MiB, or the device has memory already; -ENOMEM.
 * The kernel log says why.
 */
int drm_msvm_device_add_memory(struct drm_msvm_device *dev,
			       const struct drm_msvm_memory_ops *ops, u64 size)
{
	struct msvm_memory *memory;
	int err;

	if (!ops->alloc || !ops->free || !ops->copy ||
	    (ops->peer_distance && !ops->peer_map)) {
		drm_err(dev->drm, "msvm: alloc, free and copy are required, and peer_map with peer_distance\n");
		return -EINVAL;
	}
	if (!size || !IS_ALIGNED(size, SZ_2M) || dev->memory) {
		drm_err(dev->drm, "msvm: memory of %llu bytes: once, and a multiple of 2 MiB\n",
			size);
		return -EINVAL;
	}

	memory = msvm_alloc(kzalloc_obj(*memory));
	if (!memory)
		return -ENOMEM;
	kref_init(&memory->ref);
	memory->dev = dev;
	memory->dev_id = dev->id;
	memory->drm = dev->drm;
	memory->ops = ops;
	memory->size = size;
	memory->driver_limit = size;
	mutex_init(&memory->pagemap_lock);
	xa_init(&memory->distances);
	xa_init(&memory->by_page);
	spin_lock_init(&memory->lock);
	INIT_LIST_HEAD(&memory->blocks);
	INIT_LIST_HEAD(&memory->probation);
	init_llist_head(&memory->freed);
	INIT_WORK(&memory->free_work, msvm_memory_free_work);
	INIT_DELAYED_WORK(&memory->idle_work, msvm_memory_idle_work);
	init_waitqueue_head(&memory->wq);

	memory->dma_dev = dev->flags & DRM_MSVM_DEVICE_NO_DMA ?
			  msvm_nodma_device() : dev->drm->dev;
	if (!memory->dma_dev) {
		msvm_memory_put(memory);
		return -ENOMEM;
	}

	err = msvm_device_introduce(dev, memory);
	if (err)
		msvm_memory_put(memory);
	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_device_add_memory);

/* Take a device's memory away, with all pages in it. Context: sleeps. */
void msvm_memory_remove(struct drm_msvm_device *dev)
{
	struct msvm_memory *memory = dev->memory;

	if (!memory)
		return;
	spin_lock_irq(&memory->lock);
	WRITE_ONCE(memory->dead, true);
	spin_unlock_irq(&memory->lock);
	/* It does not start again once it sees that the memory is dead. */
	disable_delayed_work_sync(&memory->idle_work);
	msvm_memory_drain(memory);
	msvm_pagemap_remove(memory);
	drm_WARN_ON(memory->drm, memory->used || memory->nr_blocks);
	dev->memory = NULL;
	msvm_memory_put(memory);
}

/*
 * The limit is the least of the memory's size, the driver's limit and that of an
 * administrator, who may also take the device out of use. While the system sleeps it
 * is 0. Context: memory->lock.
 */
void msvm_memory_update_limit(struct msvm_memory *memory)
{
	lockdep_assert_held(&memory->lock);

	memory->limit = min3(memory->size, memory->driver_limit,
			     READ_ONCE(memory->dev->svm_limit));
	/* Pairs with WRITE_ONCE() in msvm_sleep_set(). */
	if (memory->closed || READ_ONCE(msvm_asleep) ||
	    !READ_ONCE(memory->dev->enabled))
		memory->limit = 0;
}

/*
 * Is a memory being emptied? Then its pages go to system memory: others may be emptied
 * as well. Any context.
 */
bool msvm_memory_emptied(struct msvm_memory *memory)
{
	/* Each pairs with a write before eviction begins. */
	return READ_ONCE(memory->closed) || READ_ONCE(memory->dead) ||
	       READ_ONCE(msvm_asleep);
}

/*
 * Evict what is above the limit. Context: sleeps; takes locks of the memory
 * management. Return: 0; -EINTR: the calling task is being killed; -EBUSY: pages
 * could not be moved for now.
 */
int msvm_memory_shrink(struct msvm_memory *memory)
{
	unsigned long deadline = jiffies + MSVM_LIMIT_TIME;
	size_t size;

	might_sleep();

	while (READ_ONCE(memory->used) > READ_ONCE(memory->limit)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!msvm_memory_evict_one(memory, &size)) {
			cond_resched();
			continue;
		}
		/* Others hold a page of it, most often for a moment. */
		if (time_after(jiffies, deadline))
			return -EBUSY;
		wait_event_timeout(memory->wq, !llist_empty(&memory->freed), 1);
	}
	return 0;
}

/**
 * drm_msvm_device_set_limit() - Limit how much of a GPU's memory pages may take.
 * @dev: The device.
 * @bytes: The limit; more than there is means all.
 *
 * What is above a lowered limit is evicted before the function returns, other
 * than what can't be moved for now. Administrators may have set a limit as well, in
 * configfs; the lower one counts.
 *
 * Context: Sleeps; takes locks of the memory management.
 *
 * Return: 0; -ENODEV: the device has no memory; -EINTR: the calling task is
 * being killed, the limit counts but not all was evicted; -EBUSY: likewise,
 * because pages could not be moved.
 */
int drm_msvm_device_set_limit(struct drm_msvm_device *dev, u64 bytes)
{
	struct msvm_memory *memory = dev->memory;

	might_sleep();
	if (!memory)
		return -ENODEV;

	spin_lock_irq(&memory->lock);
	memory->driver_limit = bytes;
	msvm_memory_update_limit(memory);
	spin_unlock_irq(&memory->lock);

	return msvm_memory_shrink(memory);
}
EXPORT_SYMBOL_GPL(drm_msvm_device_set_limit);

/**
 * drm_msvm_device_evict_all() - Bring all pages back to system memory.
 * @dev: The device.
 *
 * For a driver that is about to lose the content of its memory, as in a reset or
 * before it sleeps. New pages can come in meanwhile, unless the driver sees to
 * it that none does.
 *
 * Context: Sleeps; takes locks of the memory management.
 *
 * Return: 0; -EBUSY: some pages could not be moved; -EINTR.
 */
int drm_msvm_device_evict_all(struct drm_msvm_device *dev)
{
	struct msvm_memory *memory = dev->memory;
	int err;

	if (!memory)
		return 0;
	/* A limit that is changed meanwhile is not forgotten. */
	spin_lock_irq(&memory->lock);
	WRITE_ONCE(memory->closed, memory->closed + 1);
	msvm_memory_update_limit(memory);
	spin_unlock_irq(&memory->lock);
	err = msvm_memory_shrink(memory);
	spin_lock_irq(&memory->lock);
	WRITE_ONCE(memory->closed, memory->closed - 1);
	msvm_memory_update_limit(memory);
	spin_unlock_irq(&memory->lock);

	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_device_evict_all);

/**
 * drm_msvm_device_memory_info() - State of a device's memory.
 * @dev: The device.
 * @info: Filled in; a snapshot whose figures may be of slightly different times.
 *
 * Context: Any that is not atomic.
 *
 * Return: 0, or -ENODEV: the device has no memory.
 */
int drm_msvm_device_memory_info(struct drm_msvm_device *dev,
				struct drm_msvm_memory_info *info)
{
	struct msvm_memory *memory = dev->memory;

	if (!memory)
		return -ENODEV;

	spin_lock_irq(&memory->lock);
	*info = (struct drm_msvm_memory_info) {
		.size = memory->size,
		.limit = memory->limit,
		.used = memory->used,
		.blocks = memory->nr_blocks,
	};
	spin_unlock_irq(&memory->lock);
	info->moved_in = atomic64_read(&memory->moved_in);
	info->moved_out = atomic64_read(&memory->moved_out);
	info->moved_peer = atomic64_read(&memory->moved_peer);
	info->evictions = atomic64_read(&memory->evictions);
	info->second_chances = atomic64_read(&memory->second_chances);
	return 0;
}
EXPORT_SYMBOL_GPL(drm_msvm_device_memory_info);

/**
 * drm_msvm_device_id() - Number of a device.
 * @dev: The device, registered.
 *
 * Context: Any.
 *
 * Return: The number, unique since the module was loaded.
 */
u32 drm_msvm_device_id(struct drm_msvm_device *dev)
{
	return dev->id;
}
EXPORT_SYMBOL_GPL(drm_msvm_device_id);

/* What a pair's distance is remembered by: mapping knows the struct device only. */
static unsigned long msvm_distance_key(struct device *dev)
{
	return (unsigned long)dev / sizeof(long);
}

/*
 * How far is a device from a memory? In the driver's unit, see
 * &drm_msvm_memory_ops.peer_distance. Any context. Return: the distance, or
 * %MSVM_UNREACHABLE.
 */
unsigned int msvm_memory_distance(struct msvm_memory *memory, struct device *dev)
{
	void *entry;

	if (memory->drm->dev == dev || msvm_mutated(MSVM_MUTATE_IGNORE_REACH))
		return 0;
	entry = xa_load(&memory->distances, msvm_distance_key(dev));
	return entry ? min_t(unsigned long, xa_to_value(entry),
			     MSVM_UNREACHABLE - 1) : MSVM_UNREACHABLE;
}

/*
 * Ask once whether a device reaches a memory: another's only if both drivers say
 * so. Context: sleeps; both stay. Return: 0 or -ENOMEM.
 */
int msvm_memory_introduce(struct msvm_memory *memory,
			  struct drm_msvm_device *dev)
{
	int distance;

	if (memory->dev == dev || !(dev->flags & DRM_MSVM_DEVICE_PEERS) ||
	    !memory->ops->peer_distance)
		return 0;
	distance = memory->ops->peer_distance(memory->dev, dev);
	if (distance < 0)
		return 0;
	return msvm_fail_alloc() ? -ENOMEM :
	       xa_err(xa_store(&memory->distances,
			       msvm_distance_key(dev->drm->dev),
			       xa_mk_value(distance), GFP_KERNEL));
}

/* A device goes. Any context that is not atomic. */
void msvm_memory_forget(struct msvm_memory *memory, struct drm_msvm_device *dev)
{
	xa_erase(&memory->distances, msvm_distance_key(dev->drm->dev));
}

/* Does a device reach a memory: its own, or another's? Any context. */
bool msvm_memory_reach(struct msvm_memory *memory, struct device *dev)
{
	return msvm_memory_distance(memory, dev) != MSVM_UNREACHABLE;
}

static void msvm_sleep_update(struct drm_msvm_device *dev, void *data)
{
	struct msvm_memory *memory = dev->memory;

	if (!memory)
		return;
	spin_lock_irq(&memory->lock);
	msvm_memory_update_limit(memory);
	spin_unlock_irq(&memory->lock);
}

static void msvm_sleep_evict(struct drm_msvm_device *dev, void *data)
{
	struct msvm_memory *memory = dev->memory;
	int *err = data;

	/* What can't be moved in one of them keeps the system awake. */
	if (memory && !*err)
		*err = msvm_memory_shrink(memory);
}

/*
 * Close the memory of all devices, and of those that come meanwhile; or open it
 * again. Context: sleeps.
 */
static void msvm_sleep_set(bool asleep)
{
	/* Pairs with READ_ONCE() in msvm_memory_update_limit(). */
	WRITE_ONCE(msvm_asleep, asleep);
	msvm_device_for_each(msvm_sleep_update, NULL);
}

/*
 * Before the system sleeps: device memory loses its content, and once tasks are
 * frozen and devices suspend it is too late to copy it. Until it wakes up nothing goes
 * there again: jobs go on for a while, by memory that is mapped where it is.
 */
static int msvm_sleep_notify(struct notifier_block *nb, unsigned long action,
			     void *data)
{
	int err = 0;

	switch (action) {
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
	case PM_SUSPEND_PREPARE:
		/* All are closed before the first is emptied. */
		msvm_sleep_set(true);
		msvm_device_for_each(msvm_sleep_evict, &err);
		if (err) {
			pr_err("drm_msvm: pages remain in device memory, not going to sleep: %pe\n",
			       ERR_PTR(err));
			/* Whoever refuses is not told that it is over. */
			msvm_sleep_set(false);
		}
		return notifier_from_errno(err);
	case PM_POST_HIBERNATION:
	case PM_POST_RESTORE:
	case PM_POST_SUSPEND:
		msvm_sleep_set(false);
		return NOTIFY_OK;
	default:
		return NOTIFY_DONE;
	}
}

static struct notifier_block msvm_sleep_nb = {
	.notifier_call = msvm_sleep_notify,
};

int msvm_memory_module_init(void)
{
	int err = msvm_pagemap_init();

	if (err)
		return err;
	err = register_pm_notifier(&msvm_sleep_nb);
	if (err)
		msvm_pagemap_exit();
	return err;
}

void msvm_memory_module_exit(void)
{
	unregister_pm_notifier(&msvm_sleep_nb);
	msvm_pagemap_exit();
	if (msvm_nodma)
		faux_device_destroy(msvm_nodma);
}
