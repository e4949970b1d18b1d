// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * GPUs made by hand, in /sys/kernel/config/vsvm/: mkdir describes one, writing 1
 * to "live" makes it, 0 pulls it out. What describes a live GPU can't be
 * changed, and its directory can't be removed.
 */
#include <linux/configfs.h>
#include <linux/ctype.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>

#include "vsvm_drv.h"

/* Bytes of a directory's name, with the NUL. */
#define VSVM_MAX_NAME	64

/**
 * struct vsvm_item - A directory.
 * @group: The directory.
 * @lock: Protects what follows.
 * @config: What the GPU is to be.
 * @gpu: The GPU while it is live.
 */
struct vsvm_item {
	struct config_group group;
	/* Innermost but for what making and destroying a GPU takes. */
	struct mutex lock;
	struct vsvm_config config;
	struct vsvm_gpu *gpu;
};

static struct configfs_subsystem vsvm_subsys;

static struct vsvm_item *to_vsvm_item(struct config_item *item)
{
	return container_of(to_config_group(item), struct vsvm_item, group);
}

/*
 * Is a write one value, at most with the newline of echo? kstrto*() and sysfs_*() stop
 * at a NUL and take a sign, and configfs cuts off what is too long.
 */
static bool vsvm_value_ok(const char *page, size_t count)
{
	return count < PAGE_SIZE - 1 && strnlen(page, count) == count &&
	       page[0] != '+';
}

/* Say which value of which file was not taken, and what would be. */
__printf(5, 6)
static int vsvm_refuse(struct config_item *cfg, const char *attr,
		       const char *page, size_t count, const char *why, ...)
{
	struct va_format vaf;
	va_list args;

	if (count && page[count - 1] == '\n')
		count--;
	va_start(args, why);
	vaf.fmt = why;
	vaf.va = &args;
	pr_err("vsvm: %s/%s: \"%*pE\": %pV is needed\n",
	       config_item_name(cfg), attr, (int)min_t(size_t, count, 40), page,
	       &vaf);
	va_end(args);

	return -EINVAL;
}

/* Read a number and store it, or say why not. */
static ssize_t vsvm_store_u32(struct config_item *cfg, const char *attr,
			      u32 *field, u32 min, u32 max, const char *page,
			      size_t count)
{
	struct vsvm_item *item = to_vsvm_item(cfg);
	u32 value;

	if (!vsvm_value_ok(page, count) || kstrtou32(page, 10, &value) ||
	    value < min || value > max)
		return vsvm_refuse(cfg, attr, page, count,
				   "a number from %u to %u", min, max);

	guard(mutex)(&item->lock);
	if (item->gpu)
		return -EBUSY;
	*field = value;
	return count;
}

#define VSVM_ATTR_U32(name_, min_, max_) \
static ssize_t vsvm_item_##name_##_show(struct config_item *cfg, char *page) \
{ \
	struct vsvm_item *item = to_vsvm_item(cfg); \
\
	guard(mutex)(&item->lock); \
	return sysfs_emit(page, "%u\n", item->config.name_); \
} \
\
static ssize_t vsvm_item_##name_##_store(struct config_item *cfg, \
					 const char *page, size_t count) \
{ \
	return vsvm_store_u32(cfg, #name_, &to_vsvm_item(cfg)->config.name_, \
			      min_, max_, page, count); \
} \
CONFIGFS_ATTR(vsvm_item_, name_)

VSVM_ATTR_U32(engines, 1, VSVM_MAX_ENGINES);
VSVM_ATTR_U32(va_bits, 32, 47);
VSVM_ATTR_U32(tlb_flush_us, 0, 1000000);
VSVM_ATTR_U32(fault_us, 0, 1000000);
VSVM_ATTR_U32(copy_mbps, 0, 1000000);
VSVM_ATTR_U32(va_limit_mib, 0, 1U << 27);
VSVM_ATTR_U32(system_atomics, 0, 1);
VSVM_ATTR_U32(dma_bits, 24, 64);
VSVM_ATTR_U32(fault_depth, 1, 4096);
VSVM_ATTR_U32(page_faults, 0, 1);
VSVM_ATTR_U32(peer_group, 0, VSVM_MAX_GPUS);

static ssize_t vsvm_item_vram_mib_show(struct config_item *cfg, char *page)
{
	struct vsvm_item *item = to_vsvm_item(cfg);

	guard(mutex)(&item->lock);
	return sysfs_emit(page, "%u\n", item->config.vram_mib);
}

static ssize_t vsvm_item_vram_mib_store(struct config_item *cfg,
					const char *page, size_t count)
{
	u32 value;

	/* Huge pages are to fit. */
	if (!kstrtou32(page, 10, &value) && value % 2)
		return vsvm_refuse(cfg, "vram_mib", page, count,
				   "a multiple of 2");
	return vsvm_store_u32(cfg, "vram_mib",
			      &to_vsvm_item(cfg)->config.vram_mib, 0,
			      VSVM_MAX_VRAM_MIB, page, count);
}

CONFIGFS_ATTR(vsvm_item_, vram_mib);

static const char * const vsvm_dma_names[] = {
	[VSVM_DMA_DIRECT] = "direct",
	[VSVM_DMA_IOMMU] = "iommu",
	[VSVM_DMA_NONE] = "none",
};

static ssize_t vsvm_item_dma_show(struct config_item *cfg, char *page)
{
	struct vsvm_item *item = to_vsvm_item(cfg);

	guard(mutex)(&item->lock);
	return sysfs_emit(page, "%s\n", vsvm_dma_names[item->config.dma]);
}

static ssize_t vsvm_item_dma_store(struct config_item *cfg, const char *page,
				   size_t count)
{
	struct vsvm_item *item = to_vsvm_item(cfg);
	int dma = sysfs_match_string(vsvm_dma_names, page);

	if (dma < 0 || !vsvm_value_ok(page, count))
		return vsvm_refuse(cfg, "dma", page, count,
				   "direct, iommu or none");
	if (dma == VSVM_DMA_IOMMU && !vsvm_dma_has_iommu()) {
		pr_err("vsvm: %s/dma: iommu needs a kernel with ARCH_HAS_DMA_OPS\n",
		       config_item_name(cfg));
		return -EOPNOTSUPP;
	}

	guard(mutex)(&item->lock);
	if (item->gpu)
		return -EBUSY;
	item->config.dma = dma;
	return count;
}

CONFIGFS_ATTR(vsvm_item_, dma);

static ssize_t vsvm_item_fault_mode_show(struct config_item *cfg, char *page)
{
	struct vsvm_item *item = to_vsvm_item(cfg);

	guard(mutex)(&item->lock);
	return sysfs_emit(page, "%s\n",
			  vsvm_fault_mode_names[item->config.fault_mode]);
}

static ssize_t vsvm_item_fault_mode_store(struct config_item *cfg,
					  const char *page, size_t count)
{
	struct vsvm_item *item = to_vsvm_item(cfg);
	int mode = sysfs_match_string(vsvm_fault_mode_names, page);

	if (mode < 0 || !vsvm_value_ok(page, count))
		return vsvm_refuse(cfg, "fault_mode", page, count,
				   "direct, queue or batch");

	guard(mutex)(&item->lock);
	if (item->gpu)
		return -EBUSY;
	item->config.fault_mode = mode;
	return count;
}

CONFIGFS_ATTR(vsvm_item_, fault_mode);

static ssize_t vsvm_item_live_show(struct config_item *cfg, char *page)
{
	struct vsvm_item *item = to_vsvm_item(cfg);

	guard(mutex)(&item->lock);
	return sysfs_emit(page, "%d\n", !!item->gpu);
}

/* Make or pull out the GPU. */
static int vsvm_item_set_live(struct vsvm_item *item, bool live)
{
	struct vsvm_gpu *gpu;

	guard(mutex)(&item->lock);
	if (live == !!item->gpu)
		return -EPERM;
	if (!live) {
		vsvm_gpu_destroy(item->gpu);
		item->gpu = NULL;
		return 0;
	}
	gpu = vsvm_gpu_create(&item->config);
	if (IS_ERR(gpu)) {
		pr_err("vsvm: %s: cannot make the GPU: %pe\n",
		       config_item_name(&item->group.cg_item), gpu);
		return PTR_ERR(gpu);
	}
	item->gpu = gpu;
	return 0;
}

static ssize_t vsvm_item_live_store(struct config_item *cfg, const char *page,
				    size_t count)
{
	bool live;
	int err;

	/* kstrtobool() takes many words, and looks at one or two letters. */
	if (!vsvm_value_ok(page, count) ||
	    (!sysfs_streq(page, "0") && !sysfs_streq(page, "1")))
		return vsvm_refuse(cfg, "live", page, count, "0 or 1");
	live = page[0] == '1';

	/* Before it exists, so that there is no moment when rmdir works. */
	if (live) {
		err = configfs_depend_item_unlocked(&vsvm_subsys, cfg);
		if (err)
			return err;
	}
	err = vsvm_item_set_live(to_vsvm_item(cfg), live);
	if (live == !!err)
		configfs_undepend_item_unlocked(cfg);

	return err ?: count;
}

CONFIGFS_ATTR(vsvm_item_, live);

static ssize_t vsvm_item_dev_name_show(struct config_item *cfg, char *page)
{
	struct vsvm_item *item = to_vsvm_item(cfg);

	guard(mutex)(&item->lock);
	if (!item->gpu)
		return sysfs_emit(page, "none\n");
	return sysfs_emit(page, "renderD%d\n", item->gpu->drm.render->index);
}

CONFIGFS_ATTR_RO(vsvm_item_, dev_name);

static struct configfs_attribute *vsvm_item_attrs[] = {
	&vsvm_item_attr_live,
	&vsvm_item_attr_engines,
	&vsvm_item_attr_va_bits,
	&vsvm_item_attr_tlb_flush_us,
	&vsvm_item_attr_fault_us,
	&vsvm_item_attr_copy_mbps,
	&vsvm_item_attr_va_limit_mib,
	&vsvm_item_attr_system_atomics,
	&vsvm_item_attr_dma,
	&vsvm_item_attr_dma_bits,
	&vsvm_item_attr_vram_mib,
	&vsvm_item_attr_peer_group,
	&vsvm_item_attr_page_faults,
	&vsvm_item_attr_fault_depth,
	&vsvm_item_attr_fault_mode,
	&vsvm_item_attr_dev_name,
	NULL
};

/* The directory is gone; a live GPU would have kept it. */
static void vsvm_item_release(struct config_item *cfg)
{
	struct vsvm_item *item = to_vsvm_item(cfg);

	mutex_destroy(&item->lock);
	kfree(item);
}

static const struct configfs_item_operations vsvm_item_ops = {
	.release = vsvm_item_release,
};

static const struct config_item_type vsvm_item_type = {
	.ct_item_ops = &vsvm_item_ops,
	.ct_attrs = vsvm_item_attrs,
	.ct_owner = THIS_MODULE,
};

/* Names are shown in the log. Return: 0, or why not; and the log says why. */
static int vsvm_name_ok(const char *name)
{
	const char *c;

	if (strlen(name) >= VSVM_MAX_NAME) {
		pr_err("vsvm: names have up to %d bytes\n", VSVM_MAX_NAME - 1);
		return -ENAMETOOLONG;
	}
	for (c = name; *c; c++)
		if (!isascii(*c) || !isgraph(*c)) {
			pr_err("vsvm: names are of letters, digits and marks of ASCII\n");
			return -EINVAL;
		}
	return 0;
}

static struct config_group *vsvm_make_group(struct config_group *parent,
					    const char *name)
{
	struct vsvm_item *item;
	int err;

	err = vsvm_name_ok(name);
	if (err)
		return ERR_PTR(err);
	item = kzalloc_obj(*item);
	if (!item)
		return ERR_PTR(-ENOMEM);
	config_group_init_type_name(&item->group, name, &vsvm_item_type);
	/* A long one is allocated. */
	if (!config_item_name(&item->group.cg_item)) {
		kfree(item);
		return ERR_PTR(-ENOMEM);
	}
	mutex_init(&item->lock);
	item->config = VSVM_CONFIG_DEFAULT;
	return &item->group;
}

static const struct configfs_group_operations vsvm_group_ops = {
	.make_group = vsvm_make_group,
};

static const struct config_item_type vsvm_subsys_type = {
	.ct_group_ops = &vsvm_group_ops,
	.ct_owner = THIS_MODULE,
};

static struct configfs_subsystem vsvm_subsys = {
	.su_group = {
		.cg_item = {
			.ci_namebuf = "vsvm",
			.ci_type = &vsvm_subsys_type,
		},
	},
};

int vsvm_configfs_init(void)
{
	int err;

	config_group_init(&vsvm_subsys.su_group);
	mutex_init(&vsvm_subsys.su_mutex);
	err = configfs_register_subsystem(&vsvm_subsys);
	if (err)
		mutex_destroy(&vsvm_subsys.su_mutex);
	return err;
}

void vsvm_configfs_exit(void)
{
	configfs_unregister_subsystem(&vsvm_subsys);
	mutex_destroy(&vsvm_subsys.su_mutex);
}
