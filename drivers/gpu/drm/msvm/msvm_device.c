// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Registered GPUs: which can take part, and the list of them for people.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/* Protects the table below. */
static DEFINE_MUTEX(msvm_devices_lock);
static DEFINE_XARRAY_ALLOC1(msvm_devices);
static u32 msvm_next_device;
static LIST_HEAD(msvm_device_configs);

/*
 * Memory is shared in place, so a device must reach all of it: bounce buffers
 * would be copies that nobody keeps in step.
 */
static int msvm_device_check_dma(struct drm_device *drm)
{
	struct device *dev = drm->dev;

	if (!dev->dma_mask) {
		drm_err(drm, "msvm: no DMA mask set; register with DRM_MSVM_DEVICE_NO_DMA if the device takes physical addresses\n");
		return -EINVAL;
	}
	if (!dev_is_dma_coherent(dev)) {
		drm_err(drm, "msvm: the device is not coherent, CPU and device would not see each other's writes\n");
		return -EOPNOTSUPP;
	}
	if (dma_addressing_limited(dev)) {
		drm_err(drm, "msvm: DMA mask %#llx does not reach all memory, pages would be bounced\n",
			*dev->dma_mask);
		return -EOPNOTSUPP;
	}
	if (dma_max_mapping_size(dev) < SZ_2M) {
		drm_err(drm, "msvm: DMA mappings are limited to %zu bytes, pages would be bounced\n",
			dma_max_mapping_size(dev));
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Let the memories that there are know a new device. */
static int msvm_device_introduce_to_all(struct drm_msvm_device *dev)
{
	struct drm_msvm_device *other;
	unsigned long index;
	int err;

	lockdep_assert_held(&msvm_devices_lock);

	xa_for_each(&msvm_devices, index, other) {
		if (!other->memory)
			continue;
		err = msvm_memory_introduce(other->memory, dev);
		if (err)
			return err;
	}
	return 0;
}

static void msvm_device_forget(struct drm_msvm_device *dev)
{
	struct drm_msvm_device *other;
	unsigned long index;

	lockdep_assert_held(&msvm_devices_lock);

	xa_for_each(&msvm_devices, index, other)
		if (other->memory)
			msvm_memory_forget(other->memory, dev);
}

/*
 * Let a device's new memory know the other devices, and give it to the device.
 * Context: sleeps. Return: 0 or -ENOMEM.
 */
int msvm_device_introduce(struct drm_msvm_device *dev,
			  struct msvm_memory *memory)
{
	struct drm_msvm_device *other;
	unsigned long index;
	int err;

	guard(mutex)(&msvm_devices_lock);

	xa_for_each(&msvm_devices, index, other) {
		err = msvm_memory_introduce(memory, other);
		if (err)
			return err;
	}
	spin_lock_irq(&memory->lock);
	msvm_memory_update_limit(memory);
	spin_unlock_irq(&memory->lock);
	/* Pairs with smp_load_acquire() where the mutex is not held. */
	smp_store_release(&dev->memory, memory);
	return 0;
}

/* Let a device be as administrators want it, or all do if @config is NULL. */
static void msvm_device_configure(struct drm_msvm_device *dev,
				  const struct msvm_device_config *config)
{
	struct msvm_memory *memory = dev->memory;

	lockdep_assert_held(&msvm_devices_lock);

	/* Faults look at these without a lock. */
	WRITE_ONCE(dev->svm_limit, config ? config->limit : U64_MAX);
	WRITE_ONCE(dev->weight, config ? config->weight : MSVM_DEVICE_WEIGHT);
	WRITE_ONCE(dev->enabled, config ? config->enabled : true);
	if (!memory)
		return;
	spin_lock_irq(&memory->lock);
	msvm_memory_update_limit(memory);
	spin_unlock_irq(&memory->lock);
}

static void msvm_device_configure_new(struct drm_msvm_device *dev)
{
	struct msvm_device_config *config;

	list_for_each_entry(config, &msvm_device_configs, link) {
		if (!strcmp(config->name, dev_name(dev->drm->dev))) {
			msvm_device_configure(dev, config);
			return;
		}
	}
	msvm_device_configure(dev, NULL);
}

/*
 * Configure all devices of a name and evict what they may no longer have; without
 * @config there is nothing that they may not. Return: 0; -EBUSY, -EINTR: not all
 * could be.
 */
static int msvm_device_configure_all(const char *name,
				     const struct msvm_device_config *config)
{
	struct drm_msvm_device *dev;
	unsigned long index;
	int err = 0, ret;

	xa_for_each(&msvm_devices, index, dev) {
		if (strcmp(name, dev_name(dev->drm->dev)))
			continue;
		msvm_device_configure(dev, config);
		ret = config && dev->memory ? msvm_memory_shrink(dev->memory) :
					      0;
		err = err ?: ret;
	}
	return err;
}

/* Remember what is said about devices of a name. Context: sleeps. */
void msvm_device_config_add(struct msvm_device_config *config)
{
	guard(mutex)(&msvm_devices_lock);

	config->limit = U64_MAX;
	config->weight = MSVM_DEVICE_WEIGHT;
	config->enabled = true;
	list_add_tail(&config->link, &msvm_device_configs);
}

/* Forget it: they are as all others again. Context: sleeps. */
void msvm_device_config_remove(struct msvm_device_config *config)
{
	guard(mutex)(&msvm_devices_lock);

	list_del(&config->link);
	msvm_device_configure_all(config->name, NULL);
}

/*
 * Say limit, weight and enabled anew, for devices that there are and those to come.
 * Context: sleeps; takes locks of the memory management. Return: 0; -EBUSY, -EINTR:
 * it counts, but not all was evicted.
 */
int msvm_device_config_set(struct msvm_device_config *config,
			   const struct msvm_device_config *values)
{
	guard(mutex)(&msvm_devices_lock);

	config->limit = values->limit;
	config->weight = values->weight;
	config->enabled = values->enabled;

	return msvm_device_configure_all(config->name, config);
}

/* What was said, and how the devices are. Context: sleeps. */
struct msvm_device_config
msvm_device_config_get(struct msvm_device_config *config,
		       struct msvm_device_state *state)
{
	struct drm_msvm_memory_info info;
	struct drm_msvm_device *dev;
	unsigned long index;

	*state = (struct msvm_device_state) {};

	guard(mutex)(&msvm_devices_lock);

	xa_for_each(&msvm_devices, index, dev) {
		if (strcmp(config->name, dev_name(dev->drm->dev)))
			continue;
		state->present = true;
		if (!drm_msvm_device_memory_info(dev, &info))
			state->resident += info.used;
	}
	return *config;
}

/**
 * drm_msvm_device_register() - Let a GPU take part in shared address spaces.
 * @dev: Embedded in the driver's device; contents are overwritten.
 * @drm: The DRM device. Mappings are made for drm->dev.
 * @ops: The driver's operations; must stay until the module of the driver goes.
 * @flags: DRM_MSVM_DEVICE_* or 0.
 *
 * Context: Sleeps.
 *
 * Return: 0; -EINVAL: an operation that is required is missing, an unknown
 * flag, or no DMA mask; -EOPNOTSUPP: the device does not reach all memory or is
 * not coherent;
 * -ENOMEM; -EBUSY: too many devices. The kernel log says why.
 */
int drm_msvm_device_register(struct drm_msvm_device *dev,
			     struct drm_device *drm,
			     const struct drm_msvm_ops *ops, u32 flags)
{
	int err;

	if (!ops->bind || !ops->zap || !ops->zap_wait || !ops->cut_off) {
		drm_err(drm, "msvm: bind, zap, zap_wait and cut_off are required\n");
		return -EINVAL;
	}
	if (flags & ~(DRM_MSVM_DEVICE_NO_DMA | DRM_MSVM_DEVICE_PEERS |
		      DRM_MSVM_DEVICE_EXPLICIT |
		      DRM_MSVM_DEVICE_NO_SYSTEM_ATOMICS |
		      DRM_MSVM_DEVICE_NO_FAULTS)) {
		drm_err(drm, "msvm: unknown flags %#x\n", flags);
		return -EINVAL;
	}
	if (flags & DRM_MSVM_DEVICE_NO_FAULTS &&
	    (!ops->quiesce || !ops->resume)) {
		drm_err(drm, "msvm: without page faults quiesce and resume are required\n");
		return -EINVAL;
	}
	if (!(flags & DRM_MSVM_DEVICE_NO_DMA)) {
		err = msvm_device_check_dma(drm);
		if (err)
			return err;
	}

	memset(dev, 0, sizeof(*dev));
	dev->drm = drm;
	dev->ops = ops;
	dev->flags = flags;

	/* Cyclic: what is remembered of a device is not of the next one. */
	mutex_lock(&msvm_devices_lock);
	msvm_device_configure_new(dev);
	err = xa_alloc_cyclic(&msvm_devices, &dev->id, dev, xa_limit_31b,
			      &msvm_next_device, GFP_KERNEL);
	if (err >= 0) {
		err = msvm_device_introduce_to_all(dev);
		if (err) {
			msvm_device_forget(dev);
			xa_erase(&msvm_devices, dev->id);
		}
	}
	mutex_unlock(&msvm_devices_lock);
	if (err)
		return err;

	drm_dev_get(drm);
	return 0;
}
EXPORT_SYMBOL_GPL(drm_msvm_device_register);

/**
 * drm_msvm_device_unregister() - Take a GPU out.
 * @dev: The device. All its members have left.
 *
 * Pages in its memory are brought back to system memory first, so its engine for
 * copies must still work, and drm_dev_unplug() must have been called if any can
 * be there.
 *
 * Context: Sleeps, until the last page is gone; takes locks of the memory
 * management. Cannot fail.
 */
void drm_msvm_device_unregister(struct drm_msvm_device *dev)
{
	drm_WARN(dev->drm, atomic_read(&dev->members),
		 "msvm: members remain of a device that is being unregistered\n");

	mutex_lock(&msvm_devices_lock);
	xa_erase(&msvm_devices, dev->id);
	msvm_device_forget(dev);
	mutex_unlock(&msvm_devices_lock);
	msvm_attr_forget_device(dev->id);
	msvm_memory_remove(dev);

	drm_dev_put(dev->drm);
	dev->drm = NULL;
}
EXPORT_SYMBOL_GPL(drm_msvm_device_unregister);

/* Call @fn for each device. Context: sleeps. */
void msvm_device_for_each(void (*fn)(struct drm_msvm_device *dev, void *data),
			  void *data)
{
	struct drm_msvm_device *dev;
	unsigned long index;

	guard(mutex)(&msvm_devices_lock);

	xa_for_each(&msvm_devices, index, dev)
		fn(dev, data);
}

/*
 * The next pagemap in use of a device, from number *@index on, with a reference; or
 * NULL. Context: any that is not atomic; takes no mutex, as eviction may come from
 * under any of ours.
 */
struct drm_pagemap *msvm_device_next_pagemap(unsigned long *index)
{
	struct drm_pagemap *dpagemap = NULL;
	struct drm_msvm_device *dev;
	struct msvm_memory *memory;

	/* A device is taken out under this lock before its memory is. */
	xa_lock(&msvm_devices);
	while (!dpagemap && (dev = xa_find(&msvm_devices, index, ULONG_MAX,
					   XA_PRESENT))) {
		/* Pairs with smp_store_release() when memory is added. */
		memory = smp_load_acquire(&dev->memory);
		if (memory)
			dpagemap = msvm_pagemap_get_active(memory);
		++*index;
	}
	xa_unlock(&msvm_devices);

	return dpagemap;
}
