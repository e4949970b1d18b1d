// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vsvm: virtual GPUs that share the memory of a process. This file is
 * responsible for the module, the DRM driver and its table of ioctls.
 */
#include <linux/file.h>
#include <linux/module.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"
#include "vsvm_edu.h"
#include "vsvm_hmm.h"
#include "vsvm_pages.h"

static unsigned int vsvm_gpus;
module_param_named(gpus, vsvm_gpus, uint, 0444);
MODULE_PARM_DESC(gpus, "Virtual GPUs to make when the module is loaded (0 to 64, default 0)");

static unsigned int vsvm_engines = 2;
module_param_named(engines, vsvm_engines, uint, 0444);
MODULE_PARM_DESC(engines, "Engines of each of them (1 to 16, default 2)");

bool vsvm_oracle = true;
module_param_named(oracle, vsvm_oracle, bool, 0644);
MODULE_PARM_DESC(oracle, "Watch GPUs made from now on for missing shoot-downs (default true)");

static unsigned int vsvm_vram_mib;
module_param_named(vram_mib, vsvm_vram_mib, uint, 0444);
MODULE_PARM_DESC(vram_mib, "MiB of memory of each of them, a multiple of 2 (default 0: none)");

static unsigned int vsvm_peer_group;
module_param_named(peer_group, vsvm_peer_group, uint, 0444);
MODULE_PARM_DESC(peer_group, "Not 0: they reach each other's memory (default 0)");
enum vsvm_fault_mode vsvm_fault_mode = VSVM_FAULT_DIRECT;
const char * const vsvm_fault_mode_names[3] = {
	[VSVM_FAULT_DIRECT] = "direct",
	[VSVM_FAULT_QUEUE] = "queue",
	[VSVM_FAULT_BATCH] = "batch",
};

static int vsvm_fault_mode_set(const char *value, const struct kernel_param *kp)
{
	int mode = sysfs_match_string(vsvm_fault_mode_names, value);

	if (mode < 0) {
		pr_err("vsvm: fault_mode: direct, queue or batch is needed\n");
		return -EINVAL;
	}
	vsvm_fault_mode = mode;
	return 0;
}

static int vsvm_fault_mode_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", vsvm_fault_mode_names[vsvm_fault_mode]);
}

static const struct kernel_param_ops vsvm_fault_mode_ops = {
	.set = vsvm_fault_mode_set,
	.get = vsvm_fault_mode_get,
};
module_param_cb(fault_mode, &vsvm_fault_mode_ops, NULL, 0644);
MODULE_PARM_DESC(fault_mode, "How faults of GPUs described from now on get to the library: direct, queue or batch (default direct)");

static struct vsvm_gpu *vsvm_param_gpus[VSVM_MAX_GPUS];

static int vsvm_query_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file)
{
	struct vsvm_gpu *gpu = to_vsvm_gpu(drm);
	struct drm_vsvm_query *args = data;

	if (args->pad)
		return -EINVAL;

	switch (args->param) {
	case DRM_VSVM_PARAM_NUM_ENGINES:
		args->value = gpu->config.engines;
		return 0;
	case DRM_VSVM_PARAM_VA_BITS:
		args->value = gpu->config.va_bits;
		return 0;
	case DRM_VSVM_PARAM_GPU_INDEX:
		args->value = gpu->index;
		return 0;
	case DRM_VSVM_PARAM_MAX_CMDS:
		args->value = VSVM_MAX_CMDS;
		return 0;
	case DRM_VSVM_PARAM_MAX_VMS:
		args->value = VSVM_MAX_VMS;
		return 0;
	default:
		return -EINVAL;
	}
}

static void vsvm_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct vsvm_gpu *gpu = to_vsvm_gpu(file->minor->dev);
	struct vsvm_file *priv = file->driver_priv;
	unsigned int i, vms = 0;
	struct vsvm_vm *vm;
	unsigned long id;

	xa_for_each(&priv->vms, id, vm)
		vms++;

	drm_printf(p, "vsvm-vms:\t%u\n", vms);
	for (i = 0; i < gpu->config.engines; i++)
		drm_printf(p, "drm-engine-engine%u:\t%llu ns\n", i,
			   vsvm_engine_busy_ns(&gpu->engines[i], priv));
}

static const struct drm_ioctl_desc vsvm_ioctls[] = {
	DRM_IOCTL_DEF_DRV(VSVM_QUERY, vsvm_query_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_VM_CREATE, vsvm_vm_create_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_VM_DESTROY, vsvm_vm_destroy_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_VM_STATS, vsvm_vm_stats_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_EXEC, vsvm_exec_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_WAIT, vsvm_wait_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_MIGRATE, vsvm_migrate_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_KEEP, vsvm_keep_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_BIND, vsvm_bind_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_UNBIND, vsvm_unbind_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_RESIDENCY, vsvm_residency_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_MEMORY, vsvm_memory_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_SET_ATTR, vsvm_set_attr_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(VSVM_GET_ATTR, vsvm_get_attr_ioctl, DRM_RENDER_ALLOW),
};

static const struct file_operations vsvm_fops;

/*
 * Find a VM of another file of ours and take a reference. Context: sleeps. Return:
 * the VM; -EBADF: no such file, or not ours; -ENOENT.
 */
struct vsvm_vm *vsvm_vm_lookup_fd(int fd, u32 vm_id)
{
	struct vsvm_vm *vm;

	CLASS(fd, f)(fd);
	if (fd_empty(f) || fd_file(f)->f_op != &vsvm_fops)
		return ERR_PTR(-EBADF);
	vm = vsvm_vm_lookup(fd_file(f)->private_data, vm_id);
	return vm ?: ERR_PTR(-ENOENT);
}

static const struct file_operations vsvm_fops = {
	.owner = THIS_MODULE,
	.open = drm_open,
	.release = drm_release,
	.unlocked_ioctl = drm_ioctl,
	.compat_ioctl = drm_compat_ioctl,
	.show_fdinfo = drm_show_fdinfo,
	.fop_flags = FOP_UNSIGNED_OFFSET,
};

const struct drm_driver vsvm_drm_driver = {
	.driver_features = DRIVER_RENDER,
	.open = vsvm_file_open,
	.postclose = vsvm_file_close,
	.show_fdinfo = vsvm_show_fdinfo,
	.debugfs_init = vsvm_gpu_debugfs_init,
	.ioctls = vsvm_ioctls,
	.num_ioctls = ARRAY_SIZE(vsvm_ioctls),
	.fops = &vsvm_fops,
	.name = "vsvm",
	.desc = "Virtual GPU with shared virtual memory",
	.major = 1,
	.minor = 0,
};

static void vsvm_destroy_param_gpus(void)
{
	unsigned int i;

	for (i = VSVM_MAX_GPUS; i--;) {
		if (vsvm_param_gpus[i])
			vsvm_gpu_destroy(vsvm_param_gpus[i]);
	}
}

/* What GPUs are that nobody describes otherwise. */
struct vsvm_config vsvm_default_config(void)
{
	struct vsvm_config config = VSVM_CONFIG_DEFAULT;

	config.engines = vsvm_engines;
	config.vram_mib = vsvm_vram_mib;
	config.peer_group = vsvm_peer_group;
	return config;
}

static int vsvm_create_param_gpus(void)
{
	struct vsvm_config config = vsvm_default_config();
	struct vsvm_gpu *gpu;
	unsigned int i;

	for (i = 0; i < vsvm_gpus; i++) {
		gpu = vsvm_gpu_create(&config);
		if (IS_ERR(gpu)) {
			vsvm_destroy_param_gpus();
			return PTR_ERR(gpu);
		}
		vsvm_param_gpus[i] = gpu;
	}
	return 0;
}

static int __init vsvm_init(void)
{
	int err;

	if (vsvm_gpus > VSVM_MAX_GPUS) {
		pr_err("vsvm: gpus=%u: 0 to %u are possible\n", vsvm_gpus,
		       VSVM_MAX_GPUS);
		return -EINVAL;
	}
	if (!vsvm_engines || vsvm_engines > VSVM_MAX_ENGINES) {
		pr_err("vsvm: engines=%u: 1 to %u are possible\n", vsvm_engines,
		       VSVM_MAX_ENGINES);
		return -EINVAL;
	}

	if (vsvm_vram_mib % 2 || vsvm_vram_mib > VSVM_MAX_VRAM_MIB) {
		pr_err("vsvm: vram_mib=%u: multiples of 2 up to %u are possible\n",
		       vsvm_vram_mib, VSVM_MAX_VRAM_MIB);
		return -EINVAL;
	}

	err = vsvm_create_param_gpus();
	if (err)
		return err;
	err = vsvm_configfs_init();
	if (err)
		goto err_gpus;
	err = vsvm_pci_init();
	if (err)
		goto err_configfs;
	err = vsvm_edu_init();
	if (err)
		goto err_pci;
	err = vsvm_hmm_init();
	if (err)
		goto err_edu;
	return 0;

err_edu:
	vsvm_edu_exit();
err_pci:
	vsvm_pci_exit();
err_configfs:
	vsvm_configfs_exit();
err_gpus:
	vsvm_destroy_param_gpus();
	return err;
}

/* No file is open and no item exists in configfs: both hold the module. */
static void __exit vsvm_exit(void)
{
	vsvm_hmm_exit();
	vsvm_edu_exit();
	vsvm_pci_exit();
	vsvm_configfs_exit();
	vsvm_destroy_param_gpus();
	vsvm_oracle_exit();
}

module_init(vsvm_init);
module_exit(vsvm_exit);

MODULE_DESCRIPTION("Virtual GPUs that share the memory of a process");
MODULE_LICENSE("Dual MIT/GPL");
