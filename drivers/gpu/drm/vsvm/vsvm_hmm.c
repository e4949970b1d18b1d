// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The interface of lib/test_hmm.c, for the kernel's own hmm-tests: /dev/hmm_dmirror0
 * and 1 are GPUs of ours, an open file is a VM of the process that opened it, and
 * what the tests make the device do goes through drm_msvm. This file is responsible
 * for the devices, their files, and reading and writing.
 *
 * It differs from the original where the library does: faults are served in ranges,
 * so more than the interval may be mapped or, if parts of a range are in memory that
 * this device does not reach, brought back to system memory. And a file works in the
 * process that opened it only.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "vsvm_drv.h"
#include "vsvm_hmm.h"

/* Further ones would be taken for devices whose memory the CPU can access. */
#define VSVM_HMM_DEVICES	2

/* The tests move 256 MiB at a time. */
#define VSVM_HMM_VRAM_MIB	320

static bool vsvm_hmm_wanted;
module_param_named(hmm, vsvm_hmm_wanted, bool, 0444);
MODULE_PARM_DESC(hmm, "Offer /dev/hmm_dmirror0 and 1 for the kernel's hmm-tests (default false)");

static struct vsvm_hmm_device vsvm_hmm_devices[VSVM_HMM_DEVICES];

/*
 * The device accesses a page: through its TLB, like any engine. Any context that is
 * not an interrupt. Return: false: a page fault.
 */
bool vsvm_hmm_access_page(struct vsvm_hmm *hmm, unsigned long addr, void *buf,
			  bool write)
{
	struct vsvm_engine *engine = &hmm->dev->gpu->engines[0];
	void *mem;

	spin_lock(&engine->tlb_lock);
	mem = vsvm_translate(engine, hmm->vm, addr,
			     write ? DRM_MSVM_ACCESS_WRITE :
				     DRM_MSVM_ACCESS_READ);
	if (mem && write)
		memcpy(mem, buf, PAGE_SIZE);
	else if (mem)
		memcpy(buf, mem, PAGE_SIZE);
	spin_unlock(&engine->tlb_lock);

	return mem;
}

/* Could the device access a page? */
static bool vsvm_hmm_mapped(struct vsvm_hmm *hmm, unsigned long addr, bool write)
{
	struct vsvm_engine *engine = &hmm->dev->gpu->engines[0];
	bool mapped;

	spin_lock(&engine->tlb_lock);
	mapped = vsvm_translate(engine, hmm->vm, addr,
				write ? DRM_MSVM_ACCESS_WRITE :
					DRM_MSVM_ACCESS_READ);
	spin_unlock(&engine->tlb_lock);

	return mapped;
}

/* The library's errors to those of hmm_range_fault(), which the tests expect. */
static int vsvm_hmm_fault_error(struct vsvm_hmm *hmm, unsigned long addr,
				bool write, int err)
{
	struct mm_struct *mm = vsvm_hmm_mm(hmm);
	struct vm_area_struct *vma;

	if (err == -ERANGE)
		return -EFAULT;
	if (err != -EACCES)
		return err;
	/* What may be read, but not written, is told from what is not there. */
	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	err = write && vma && vma->vm_flags & VM_READ ? -EPERM : -EFAULT;
	mmap_read_unlock(mm);

	return err;
}

/* Map an interval; that is one fault, however many ranges it has. */
static int vsvm_hmm_fault(struct vsvm_hmm *hmm, unsigned long start,
			  unsigned long end, bool write)
{
	unsigned long addr;
	int err;

	for (addr = start; addr < end; addr += PAGE_SIZE) {
		if (vsvm_hmm_mapped(hmm, addr, write))
			continue;
		err = drm_msvm_handle_fault(&hmm->vm->member, addr,
					    write ? DRM_MSVM_ACCESS_WRITE :
						    DRM_MSVM_ACCESS_READ);
		if (err)
			return vsvm_hmm_fault_error(hmm, addr, write, err);
		cond_resched();
	}
	return 0;
}

/* Access an interval, by way of as many faults as it takes. */
static int vsvm_hmm_access(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
			   void *buf, bool write)
{
	unsigned long end = cmd->addr + (cmd->npages << PAGE_SHIFT);
	unsigned long addr = cmd->addr;
	int err;

	while (addr < end) {
		if (vsvm_hmm_access_page(hmm, addr, buf + (addr - cmd->addr),
					 write)) {
			addr += PAGE_SIZE;
			cmd->cpages++;
			cond_resched();
			continue;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		err = vsvm_hmm_fault(hmm, addr, end, write);
		if (err)
			return err;
		cmd->faults++;
	}
	return 0;
}

static void *vsvm_hmm_alloc_buf(struct hmm_dmirror_cmd *cmd)
{
	return __vmalloc(cmd->npages << PAGE_SHIFT, GFP_KERNEL | __GFP_NOWARN);
}

/* Call @fn to fill a buffer, and give that to the process unless it fails. */
static int vsvm_hmm_fill(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
			 int (*fn)(struct vsvm_hmm *hmm,
				   struct hmm_dmirror_cmd *cmd, void *buf))
{
	void *buf = vsvm_hmm_alloc_buf(cmd);
	int err;

	if (!buf)
		return -ENOMEM;
	err = fn(hmm, cmd, buf);
	if (!err && copy_to_user(u64_to_user_ptr(cmd->ptr), buf,
				 cmd->npages << PAGE_SHIFT))
		err = -EFAULT;
	vfree(buf);

	return err;
}

static int vsvm_hmm_do_read(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
			    void *buf)
{
	return vsvm_hmm_access(hmm, cmd, buf, false);
}

/* The library holds no mmap_lock in faults, so this is READ_UNLOCKED as well. */
static int vsvm_hmm_read(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	return vsvm_hmm_fill(hmm, cmd, vsvm_hmm_do_read);
}

static int vsvm_hmm_write(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	void *buf = vsvm_hmm_alloc_buf(cmd);
	int err = -EFAULT;

	if (!buf)
		return -ENOMEM;
	if (!copy_from_user(buf, u64_to_user_ptr(cmd->ptr),
			    cmd->npages << PAGE_SHIFT))
		err = vsvm_hmm_access(hmm, cmd, buf, true);
	vfree(buf);

	return err;
}

static int vsvm_hmm_migrate(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	int err = vsvm_hmm_to_device(hmm, cmd);

	return err ?: vsvm_hmm_fill(hmm, cmd, vsvm_hmm_read_back);
}

static int vsvm_hmm_take(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	int err = vsvm_hmm_exclusive(hmm, cmd);

	return err ?: vsvm_hmm_fill(hmm, cmd, vsvm_hmm_read_exclusive);
}

static int vsvm_hmm_evict(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	vsvm_hmm_file_evict(hmm);
	return drm_msvm_device_evict_all(&hmm->dev->gpu->msvm);
}

static int vsvm_hmm_flags(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	if (cmd->npages & ~HMM_DMIRROR_FLAG_FAIL_ALLOC)
		return -EINVAL;
	hmm->fail_alloc = cmd->npages & HMM_DMIRROR_FLAG_FAIL_ALLOC;
	return 0;
}

static int (* const vsvm_hmm_ioctls[])(struct vsvm_hmm *hmm,
				       struct hmm_dmirror_cmd *cmd) = {
	[_IOC_NR(HMM_DMIRROR_READ)] = vsvm_hmm_read,
	[_IOC_NR(HMM_DMIRROR_WRITE)] = vsvm_hmm_write,
	[_IOC_NR(HMM_DMIRROR_MIGRATE_TO_DEV)] = vsvm_hmm_migrate,
	[_IOC_NR(HMM_DMIRROR_MIGRATE_TO_SYS)] = vsvm_hmm_to_system,
	[_IOC_NR(HMM_DMIRROR_SNAPSHOT)] = vsvm_hmm_snapshot,
	[_IOC_NR(HMM_DMIRROR_EXCLUSIVE)] = vsvm_hmm_take,
	[_IOC_NR(HMM_DMIRROR_CHECK_EXCLUSIVE)] = vsvm_hmm_check_exclusive,
	[_IOC_NR(HMM_DMIRROR_RELEASE)] = vsvm_hmm_evict,
	[_IOC_NR(HMM_DMIRROR_FLAGS)] = vsvm_hmm_flags,
	[_IOC_NR(HMM_DMIRROR_READ_UNLOCKED)] = vsvm_hmm_read,
};

static bool vsvm_hmm_cmd_ok(const struct hmm_dmirror_cmd *cmd)
{
	u64 size, end;

	return PAGE_ALIGNED(cmd->addr) && cmd->npages &&
	       !check_mul_overflow(cmd->npages, (u64)PAGE_SIZE, &size) &&
	       !check_add_overflow(cmd->addr, size, &end);
}

static long vsvm_hmm_ioctl(struct file *file, unsigned int request,
			   unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	struct vsvm_hmm *hmm = file->private_data;
	unsigned int nr = _IOC_NR(request);
	struct hmm_dmirror_cmd cmd;
	int err;

	if (nr >= ARRAY_SIZE(vsvm_hmm_ioctls) || request != HMM_DMIRROR_IOC(nr))
		return -EINVAL;
	/* What belongs to one process is not for those that it gave the file to. */
	if (vsvm_hmm_mm(hmm) != current->mm)
		return -EPERM;
	if (copy_from_user(&cmd, uarg, sizeof(cmd)))
		return -EFAULT;
	if (!vsvm_hmm_cmd_ok(&cmd))
		return -EINVAL;
	cmd.cpages = 0;
	cmd.faults = 0;

	err = mutex_lock_interruptible(&hmm->vm->kill_lock);
	if (err)
		return err;
	err = hmm->vm->killed ? -ENODEV : vsvm_hmm_ioctls[nr](hmm, &cmd);
	mutex_unlock(&hmm->vm->kill_lock);
	if (err)
		return err;
	return copy_to_user(uarg, &cmd, sizeof(cmd)) ? -EFAULT : 0;
}

/* Memory that is not the process's: pages of the driver. */
static int vsvm_hmm_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long addr;
	struct page *page;
	int err = 0;

	for (addr = vma->vm_start; !err && addr < vma->vm_end;
	     addr += PAGE_SIZE) {
		page = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!page)
			return -ENOMEM;
		err = vm_insert_page(vma, addr, page);
		/* The mapping has one of its own. */
		put_page(page);
	}
	return err;
}

static int vsvm_hmm_open(struct inode *inode, struct file *file)
{
	struct miscdevice *misc = file->private_data;
	struct vsvm_hmm *hmm;
	int err;

	hmm = kzalloc_obj(*hmm);
	if (!hmm)
		return -ENOMEM;
	hmm->dev = container_of(misc, struct vsvm_hmm_device, misc);
	mutex_init(&hmm->lock);
	xa_init(&hmm->exclusive);

	hmm->vm = vsvm_vm_create(hmm->dev->gpu, NULL, DRM_VSVM_VM_LAYOUT_MSVM);
	if (IS_ERR(hmm->vm)) {
		err = PTR_ERR(hmm->vm);
		goto err_free;
	}
	err = mmu_interval_notifier_insert(&hmm->notifier, current->mm, 0,
					   ULONG_MAX & PAGE_MASK,
					   &vsvm_hmm_notifier_ops);
	if (err)
		goto err_vm;
	file->private_data = hmm;
	return 0;

err_vm:
	vsvm_vm_kill(hmm->vm);
	vsvm_vm_put(hmm->vm);
err_free:
	mutex_destroy(&hmm->lock);
	kfree(hmm);
	return err;
}

static int vsvm_hmm_release(struct inode *inode, struct file *file)
{
	struct vsvm_hmm *hmm = file->private_data;

	/* The library brings back what is in its part of the memory. */
	vsvm_hmm_file_evict(hmm);
	mmu_interval_notifier_remove(&hmm->notifier);
	vsvm_vm_kill(hmm->vm);
	vsvm_vm_put(hmm->vm);
	xa_destroy(&hmm->exclusive);
	mutex_destroy(&hmm->lock);
	kfree(hmm);
	return 0;
}

static const struct file_operations vsvm_hmm_fops = {
	.owner = THIS_MODULE,
	.open = vsvm_hmm_open,
	.release = vsvm_hmm_release,
	.mmap = vsvm_hmm_mmap,
	.unlocked_ioctl = vsvm_hmm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/*
 * Has somebody else a device of this name? test_hmm makes its own outside of any
 * class, so nothing in the kernel would refuse a second one.
 */
static bool vsvm_hmm_name_taken(const char *name)
{
	struct path path;
	char buf[32];

	snprintf(buf, sizeof(buf), "/dev/%s", name);
	if (kern_path(buf, 0, &path))
		return false;
	path_put(&path);
	return true;
}

static int vsvm_hmm_device_init(struct vsvm_hmm_device *dev, unsigned int id)
{
	struct vsvm_config config = VSVM_CONFIG_DEFAULT;
	int err;

	snprintf(dev->name, sizeof(dev->name), "hmm_dmirror%u", id);
	if (vsvm_hmm_name_taken(dev->name)) {
		pr_err("vsvm: hmm=1: /dev/%s exists already (unload test_hmm first)\n",
		       dev->name);
		return -EBUSY;
	}
	/* The tests say when memory moves, and count on it that it stays. */
	config.engines = 1;
	config.vram_mib = VSVM_HMM_VRAM_MIB;
	config.fault_mode = VSVM_FAULT_DIRECT;
	config.explicit_moves = true;
	dev->gpu = vsvm_gpu_create(&config);
	if (IS_ERR(dev->gpu))
		return PTR_ERR(dev->gpu);
	err = vsvm_hmm_store_init(&dev->store);
	if (err)
		goto err_gpu;

	dev->misc.minor = MISC_DYNAMIC_MINOR;
	dev->misc.name = dev->name;
	dev->misc.fops = &vsvm_hmm_fops;
	dev->misc.mode = 0600;
	err = misc_register(&dev->misc);
	if (err)
		goto err_store;
	return 0;

err_store:
	vsvm_hmm_store_fini(&dev->store);
err_gpu:
	vsvm_gpu_destroy(dev->gpu);
	return err;
}

static void vsvm_hmm_device_fini(struct vsvm_hmm_device *dev)
{
	misc_deregister(&dev->misc);
	vsvm_hmm_store_fini(&dev->store);
	vsvm_gpu_destroy(dev->gpu);
}

/*
 * Make the devices if they are wanted. Context: sleeps. Return: 0; -EBUSY: others
 * have their names; -ENOSPC, -ERANGE, -ENOMEM.
 */
int vsvm_hmm_init(void)
{
	unsigned int i;
	int err;

	for (i = 0; vsvm_hmm_wanted && i < VSVM_HMM_DEVICES; i++) {
		err = vsvm_hmm_device_init(&vsvm_hmm_devices[i], i);
		if (err)
			goto err_devices;
	}
	return 0;

err_devices:
	while (i--)
		vsvm_hmm_device_fini(&vsvm_hmm_devices[i]);
	return err;
}

/* Open files hold the module, so there is none. */
void vsvm_hmm_exit(void)
{
	unsigned int i;

	for (i = 0; vsvm_hmm_wanted && i < VSVM_HMM_DEVICES; i++)
		vsvm_hmm_device_fini(&vsvm_hmm_devices[i]);
}
