// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * GPUs on QEMU's "edu" function: a real bus master. Its DMA engine moves a few KiB
 * between memory and a buffer of its own, by the addresses that drm_msvm mapped for
 * it and through the IOMMU, which nobody here can ask to look the other way. Slow: a
 * transfer takes 0.1 s, so it does nothing but copy. Never bound but by
 * driver_override.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "vsvm_drv.h"
#include "vsvm_edu.h"

/* QEMU, docs/specs/edu.rst */
#define EDU_ID			0x00
#define EDU_ID_MASK		0xff
#define EDU_ID_EDU		0xed
#define EDU_DMA_FROM		0x80
#define EDU_DMA_TO		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_DMA_START		BIT(0)
#define EDU_DMA_TO_MEMORY	BIT(1)
#define EDU_BUFFER		0x40000

/* It takes 100 ms, on a machine that is not too busy. */
#define EDU_POLL_US		2000
#define EDU_TIMEOUT_US		(20 * USEC_PER_SEC)

/* What is in the buffer before a transfer by hand. */
#define EDU_POISON		0xeeeeeeeeeeeeeeeeULL

/**
 * struct vsvm_edu - The function.
 * @pdev: The PCI device.
 * @regs: BAR 0.
 * @lock: One transfer, or series of them, at a time. Never taken in a notifier, and
 *	outside of an engine's tlb_lock.
 * @started: Transfers started. Raised under @lock, and for an engine's transfer
 *	also under its tlb_lock: who takes that one later sees it.
 * @ended: Transfers that are over; @lock.
 * @dead: One did not end: the function was taken off the bus; @lock.
 * @hang: The next one is to be taken for one that does not end (debugfs); @lock.
 * @wq: Woken when a transfer is over.
 * @page: A page for transfers by hand; @lock.
 * @page_dma: Its address.
 * @last_read: DMA address of the last piece that an engine read.
 * @last_write: Likewise, wrote.
 * @value: What the last transfer by hand read; @lock.
 */
struct vsvm_edu {
	struct pci_dev *pdev;
	void __iomem *regs;
	/* One transfer, or a series of them, at a time. */
	struct mutex lock;
	u64 started;
	u64 ended;
	bool dead;
	bool hang;
	wait_queue_head_t wq;
	u64 *page;
	dma_addr_t page_dma;
	u64 last_read;
	u64 last_write;
	u64 value;
};

/*
 * Start a transfer between memory and the start of the buffer, unless the function is
 * dead. Any context.
 */
static void edu_start(struct vsvm_edu *edu, u64 addr, size_t len, bool write)
{
	lockdep_assert_held(&edu->lock);

	if (edu->dead)
		return;
	/* Pairs with READ_ONCE() in vsvm_edu_drain(). */
	WRITE_ONCE(edu->started, edu->started + 1);
	writeq(write ? EDU_BUFFER : addr, edu->regs + EDU_DMA_FROM);
	writeq(write ? addr : EDU_BUFFER, edu->regs + EDU_DMA_TO);
	writeq(len, edu->regs + EDU_DMA_COUNT);
	writeq(EDU_DMA_START | (write ? EDU_DMA_TO_MEMORY : 0),
	       edu->regs + EDU_DMA_COMMAND);
}

/*
 * Wait until it is over, if one is under way. A function whose transfer does not end is
 * taken off the bus before anybody may believe that it is over, and stays so.
 * Context: sleeps. Return: 0; -ETIMEDOUT; -EIO: it was dead before.
 */
static int edu_finish(struct vsvm_edu *edu)
{
	u64 command;
	int err;

	lockdep_assert_held(&edu->lock);

	if (edu->started == edu->ended)
		return edu->dead ? -EIO : 0;
	err = readq_poll_timeout(edu->regs + EDU_DMA_COMMAND, command,
				 !(command & EDU_DMA_START), EDU_POLL_US,
				 EDU_TIMEOUT_US);
	if (edu->hang)
		err = -ETIMEDOUT;
	if (err) {
		pci_err(edu->pdev, "vsvm: a DMA transfer does not end\n");
		edu->dead = true;
		pci_clear_master(edu->pdev);
		/* What it wrote before has arrived when a read comes back. */
		readq(edu->regs + EDU_DMA_COMMAND);
	}
	/* Pairs with READ_ONCE() in vsvm_edu_drain(). */
	WRITE_ONCE(edu->ended, edu->started);
	wake_up_all(&edu->wq);
	return err;
}

/* An engine is about to use it. Context: sleeps. */
void vsvm_edu_claim(struct vsvm_edu *edu)
{
	mutex_lock(&edu->lock);
}

/*
 * Start moving a piece of a page for an engine. Context: claimed; tlb_lock of the
 * engine held since the address was translated.
 */
void vsvm_edu_start(struct vsvm_edu *edu, u64 addr, size_t len, bool write)
{
	if (write)
		edu->last_write = addr;
	else
		edu->last_read = addr;
	edu_start(edu, addr, len, write);
}

/*
 * Let go of it, when what was started is over. Context: sleeps. Return: 0, or
 * -EIO: it does not end, or the function is dead.
 */
int vsvm_edu_release(struct vsvm_edu *edu)
{
	int err = edu_finish(edu);

	mutex_unlock(&edu->lock);
	return err ? -EIO : 0;
}

/*
 * Wait until no transfer is under way that was started before, however many follow.
 * Context: sleeps; in notifiers, with no tlb_lock held.
 */
void vsvm_edu_drain(struct vsvm_edu *edu)
{
	u64 started = READ_ONCE(edu->started);

	wait_event(edu->wq, READ_ONCE(edu->ended) >= started);
}

static int edu_transfer(struct vsvm_edu *edu, u64 addr, bool write)
{
	edu_start(edu, addr, sizeof(u64), write);
	return edu_finish(edu);
}

/* Transfers by hand: what a bus master does that kept an address for too long. */
static int edu_show(struct seq_file *m, void *unused)
{
	struct vsvm_edu *edu = ((struct vsvm_gpu *)m->private)->config.edu;

	guard(mutex)(&edu->lock);

	seq_printf(m, "last_read: %#llx\n", edu->last_read);
	seq_printf(m, "last_write: %#llx\n", edu->last_write);
	seq_printf(m, "value: %#llx\n", edu->value);
	return 0;
}

static int edu_open(struct inode *inode, struct file *file)
{
	return single_open(file, edu_show, inode->i_private);
}

/* Read 8 bytes into @edu->value by way of our own page. */
static int edu_read_by_hand(struct vsvm_edu *edu, u64 addr)
{
	int err;

	*edu->page = EDU_POISON;
	err = edu_transfer(edu, edu->page_dma, false);
	if (!err)
		err = edu_transfer(edu, addr, false);
	*edu->page = 0;
	if (!err)
		err = edu_transfer(edu, edu->page_dma, true);
	edu->value = READ_ONCE(*edu->page);
	return err;
}

static int edu_write_by_hand(struct vsvm_edu *edu, u64 addr, u64 value)
{
	int err;

	*edu->page = value;
	err = edu_transfer(edu, edu->page_dma, false);
	return err ?: edu_transfer(edu, addr, true);
}

/* "read ADDRESS", "write ADDRESS VALUE", or "hang" */
static ssize_t edu_write(struct file *file, const char __user *ubuf,
			 size_t count, loff_t *ppos)
{
	struct seq_file *m = file->private_data;
	struct vsvm_edu *edu = ((struct vsvm_gpu *)m->private)->config.edu;
	u64 addr, value;
	char text[64];
	int err = 0;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, ubuf, count))
		return -EFAULT;
	text[count] = 0;

	guard(mutex)(&edu->lock);

	if (sscanf(text, "write %llx %llx", &addr, &value) == 2)
		err = edu_write_by_hand(edu, addr, value);
	else if (sscanf(text, "read %llx", &addr) == 1)
		err = edu_read_by_hand(edu, addr);
	else if (sysfs_streq(text, "hang"))
		edu->hang = true;
	else
		err = -EINVAL;
	return err ?: count;
}

static const struct file_operations edu_fops = {
	.owner = THIS_MODULE,
	.open = edu_open,
	.read = seq_read,
	.write = edu_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* Its file in the GPU's folder. */
void vsvm_edu_debugfs_init(struct vsvm_gpu *gpu, struct dentry *dir)
{
	if (gpu->config.edu)
		debugfs_create_file("edu", 0600, dir, gpu, &edu_fops);
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vsvm_config config = vsvm_default_config();
	struct vsvm_edu *edu;
	struct vsvm_gpu *gpu;
	int err;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	init_waitqueue_head(&edu->wq);
	err = devm_mutex_init(&pdev->dev, &edu->lock);
	if (err)
		return err;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	edu->regs = pcim_iomap_region(pdev, 0, "vsvm");
	if (IS_ERR(edu->regs))
		return PTR_ERR(edu->regs);
	if ((readl(edu->regs + EDU_ID) & EDU_ID_MASK) != EDU_ID_EDU) {
		pci_err(pdev, "vsvm: no edu function\n");
		return -ENODEV;
	}
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	edu->page = dmam_alloc_coherent(&pdev->dev, PAGE_SIZE, &edu->page_dma,
					GFP_KERNEL);
	if (!edu->page)
		return -ENOMEM;
	pci_set_master(pdev);

	config.dma = VSVM_DMA_PCI;
	config.engines = 1;
	config.vram_mib = 0;
	config.peer_group = 0;
	config.system_atomics = 0;
	config.edu = edu;
	gpu = vsvm_gpu_probe(&pdev->dev, &config, NULL);
	return PTR_ERR_OR_ZERO(gpu);
}

static void edu_remove(struct pci_dev *pdev)
{
	vsvm_gpu_remove(dev_get_drvdata(&pdev->dev));
	pci_clear_master(pdev);
}

/* None but by driver_override. */
static const struct pci_device_id edu_ids[] = {
	{ }
};

static struct pci_driver edu_driver = {
	.name = "vsvm-edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

int vsvm_edu_init(void)
{
	return pci_register_driver(&edu_driver);
}

void vsvm_edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
}
