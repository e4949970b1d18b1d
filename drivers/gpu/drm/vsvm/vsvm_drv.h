/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Private objects and functions of vsvm: a GPU has engines, a VM mirrors the
 * memory of a process on one GPU, a job is a list of commands in a VM for an
 * engine.
 *
 * Lock order, from the outside in:
 *   GPU's reset_lock, VM's kill_lock -> VM's exec_lock and fini_lock -> GPU's vms_lock,
 *   locks of the layout (see drm_msvm, or &struct vsvm_gpusvm) -> VM's flush_lock,
 *   engine's tlb_lock.
 * VM's jobs_lock and lock of binds, engine's fifo_lock and the lock of a GPU's users are
 * innermost. The oracle's lock is outside of tlb_lock.
 */
#ifndef __VSVM_DRV_H__
#define __VSVM_DRV_H__

#include <linux/dma-mapping.h>
#include <linux/gpu_buddy.h>
#include <linux/irq_work.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_msvm.h>
#include <drm/drm_msvm_memory.h>
#include <drm/gpu_scheduler.h>
#include <drm/vsvm_drm.h>

#include "vsvm_call.h"
#include "vsvm_pci.h"
#include "vsvm_userptr.h"

struct dentry;
struct dev_pm_ops;
struct device;
struct faux_device;
struct vsvm_edu;
struct vsvm_engine;
struct vsvm_job;
struct vsvm_oracle;
struct task_struct;

#define VSVM_MAX_GPUS		64
#define VSVM_MAX_ENGINES	16
/* Bytes of a table of 256 counts. */
#define VSVM_HISTOGRAM_SIZE	(256 * sizeof(u64))
#define VSVM_MAX_CMDS		256
#define VSVM_MAX_VMS		64
/* Jobs of a VM that wait or run; more is -EAGAIN. */
#define VSVM_MAX_JOBS		1024
/* Ended jobs of a VM that nobody asked about yet. */
#define VSVM_MAX_RESULTS	1024
#define VSVM_TLB_ENTRIES	64
/* What memory is filled with while it is free, and what it has after it lost power. */
#define VSVM_VRAM_POISON	0xdb
#define VSVM_VRAM_LOST		0xdd
/* It is real memory of the machine. */
#define VSVM_MAX_VRAM_MIB	65536

/* How a GPU reaches memory. */
enum vsvm_dma {
	/* By the DMA API, without an IOMMU. */
	VSVM_DMA_DIRECT,
	/* By the DMA API, through an IOMMU of its own. */
	VSVM_DMA_IOMMU,
	/* By physical addresses. */
	VSVM_DMA_NONE,
	/* By the DMA API, through the machine's IOMMU if it has one. */
	VSVM_DMA_PCI,
};

/* How a GPU's faults get to the library, see vsvm_fault.c. */
enum vsvm_fault_mode {
	/* The engine serves its own. */
	VSVM_FAULT_DIRECT,
	/* By an interrupt, into the library's fault queue. */
	VSVM_FAULT_QUEUE,
	/* A thread of the GPU collects them and hands them over together. */
	VSVM_FAULT_BATCH,
};

/* Where an engine's fault is. */
enum vsvm_fault_state {
	VSVM_FAULT_NONE,
	/* Pending in the hardware. */
	VSVM_FAULT_RAISED,
	/* Handed over to the library. */
	VSVM_FAULT_TAKEN,
	/* Answered. */
	VSVM_FAULT_DONE,
};

/* What must never happen, see vsvm_oracle.c. */
enum vsvm_stale_kind {
	VSVM_STALE_PTE,
	VSVM_STALE_TLB,
	VSVM_STALE_USE,
	VSVM_STALE_DMA,
	VSVM_EARLY_UNMAP,
	VSVM_WRONG_UNMAP,
	VSVM_LOST_DMA,
	VSVM_STALE_KINDS
};

/**
 * struct vsvm_config - What a GPU is made to be.
 * @engines: Number of engines, 1 to VSVM_MAX_ENGINES.
 * @va_bits: Width of a GPU virtual address, 32 to 47.
 * @tlb_flush_us: Microseconds from a TLB shoot-down to its completion.
 * @fault_us: Microseconds from a page fault to its report.
 * @copy_mbps: MB (10^6 bytes) a second that an engine copies or fills; 0: as
 *	fast as it can.
 * @va_limit_mib: MiB of address space that a VM can map, from 0 on; 0: all that
 *	@va_bits allow.
 * @system_atomics: Atomic operations work on system memory.
 * @dma: How it reaches memory.
 * @dma_bits: Width of a device address, 24 to 64.
 * @vram_mib: MiB of memory of its own, a multiple of 2.
 * @peer_group: GPUs of one group reach each other's memory; 0: no other GPU.
 * @page_faults: It takes page faults; otherwise memory must be kept mapped.
 * @fault_mode: How its faults get to the library.
 * @fault_depth: Length of its fault queue, 1 to 4096.
 * @edu: The bus master that it has instead of an engine in software, or NULL.
 * @explicit_moves: Its faults move no memory.
 */
struct vsvm_config {
	u32 engines;
	u32 va_bits;
	u32 tlb_flush_us;
	u32 fault_us;
	u32 copy_mbps;
	u32 va_limit_mib;
	u32 system_atomics;
	enum vsvm_dma dma;
	u32 dma_bits;
	u32 vram_mib;
	u32 peer_group;
	u32 page_faults;
	enum vsvm_fault_mode fault_mode;
	u32 fault_depth;
	struct vsvm_edu *edu;
	bool explicit_moves;
};

#define VSVM_CONFIG_DEFAULT \
	((struct vsvm_config) { .engines = 2, .va_bits = 47, \
				.system_atomics = 1, .dma_bits = 64, \
				.page_faults = 1, \
				.fault_mode = vsvm_fault_mode, \
				.fault_depth = 64 })

/**
 * struct vsvm_tlb_entry - A cached translation.
 * @vm: Whose; NULL if the entry is free.
 * @vpn: Virtual page number.
 * @pte: The page-table entry, see VSVM_PTE_*.
 */
struct vsvm_tlb_entry {
	struct vsvm_vm *vm;
	u64 vpn;
	u64 pte;
};

/**
 * struct vsvm_fault_port - An engine's fault: it has one at a time.
 */
struct vsvm_fault_port {
	/** @engine: The engine. */
	struct vsvm_engine *engine;
	/** @irq: The interrupt that tells of it. */
	struct irq_work irq;
	/** @lock: Protects what follows; taken in interrupts. */
	spinlock_t lock;
	/** @state: Where it is. */
	enum vsvm_fault_state state;
	/** @fault: The fault, later its result. */
	struct drm_msvm_fault fault;
};

/**
 * struct vsvm_engine - Executes jobs, in a thread of its own.
 */
struct vsvm_engine {
	/** @gpu: The GPU. */
	struct vsvm_gpu *gpu;
	/** @id: Number in the GPU. */
	unsigned int id;
	/** @task: The thread. */
	struct task_struct *task;
	/** @sched: Orders jobs and hands them over; knows nothing of their end. */
	struct drm_gpu_scheduler sched;
	/** @fifo_lock: Protects @fifo, @current_vm and @busy_since. */
	spinlock_t fifo_lock;
	/** @fifo: Jobs handed over, each with a reference. */
	struct list_head fifo;
	/** @current_vm: VM of the job being executed, or NULL. */
	struct vsvm_vm *current_vm;
	/** @busy_since: When the job being executed started. */
	ktime_t busy_since;
	/** @nr_jobs: Jobs the scheduler has; lowered under @fifo_lock. */
	atomic_t nr_jobs;
	/** @wq: Wakes the thread, and those who wait for the two above. */
	wait_queue_head_t wq;
	/**
	 * @tlb_lock: Held over each translation together with the access made
	 * with it, so taking it once drains what is under way. Taken in MMU
	 * notifiers: nothing is allocated under it.
	 */
	spinlock_t tlb_lock;
	/** @tlb: Direct mapped; @tlb_lock. */
	struct vsvm_tlb_entry tlb[VSVM_TLB_ENTRIES];
	/** @dma_addr: Where the last translation led, of system memory; @tlb_lock. */
	u64 dma_addr;
	/** @bounce: A page of the engine's own; only the thread uses it. */
	void *bounce;
	/** @histogram: Counts of a histogram under way; only the thread uses it. */
	u64 *histogram;
	/** @port: Its fault, unless it serves it itself. */
	struct vsvm_fault_port port;
};

/**
 * struct vsvm_vram - A GPU's memory.
 */
struct vsvm_vram {
	/** @base: What stands for it; NULL: the GPU has none. */
	void *base;
	/** @size: Its size in bytes. */
	u64 size;
	/** @lock: Protects @buddy, and changes of @used. */
	struct mutex lock;
	/** @buddy: What is free. */
	struct gpu_buddy buddy;
	/** @used: Pages that are somebody's; read without the lock. */
	unsigned long *used;
};

/**
 * struct vsvm_bar - Memory of a hardware device.
 * @base: Where it is mapped.
 * @phys: Its physical address.
 * @size: Its size in bytes, 0: there is none.
 */
struct vsvm_bar {
	void *base;
	phys_addr_t phys;
	u64 size;
};

/**
 * struct vsvm_gpu - A virtual GPU.
 */
struct vsvm_gpu {
	/** @drm: The DRM device; its reference count is the GPU's. */
	struct drm_device drm;
	/** @msvm: Registration with drm_msvm. */
	struct drm_msvm_device msvm;
	/** @faux: The device, of a GPU without hardware. */
	struct faux_device *faux;
	/** @bar: Its memory, of a GPU with hardware; constant. */
	struct vsvm_bar bar;
	/** @config: What it was made to be; constant. */
	struct vsvm_config config;
	/** @index: Number, unique while it exists. */
	u32 index;
	/** @watched: The oracle watches its VMs; constant. */
	bool watched;
	/** @engines: @config.engines of them. */
	struct vsvm_engine *engines;
	/** @vms_lock: Protects @vms. */
	struct mutex vms_lock;
	/** @vms: VMs that are not killed. */
	struct list_head vms;
	/** @users: Those who keep the GPU for a moment. */
	struct vsvm_users users;
	/** @reset_lock: One reset, or change of the limit, at a time. */
	struct mutex reset_lock;
	/** @pass: Passes over @vms; @reset_lock. */
	u64 pass;
	/** @in_reset: No job accesses memory. */
	bool in_reset;
	/** @vram_limit: What the driver told the library; @reset_lock. */
	u64 vram_limit;
	/** @wedged_work: Tells user space that the GPU did not answer. */
	struct work_struct wedged_work;
	/** @fail_zap_wait: Next so many shoot-downs are not answered (debugfs). */
	atomic_t fail_zap_wait;
	/** @vram: Its memory. */
	struct vsvm_vram vram;
	/** @has_pm: Its device can sleep; constant. */
	bool has_pm;
	/** @suspends: Times it fell asleep because nobody used it. */
	atomic_t suspends;
	/** @resumes: Times it woke up again. */
	atomic_t resumes;
	/** @sleeps: Times it slept with the system. */
	atomic_t sleeps;
	/** @resets: Times it was reset. */
	atomic_t resets;
	/** @copies: Copies made to and from its memory. */
	atomic64_t copies;
	/** @peer_maps: Times that others were given addresses of its memory. */
	atomic64_t peer_maps;
	/** @fail_copy: The how manieth of them fails, 0: none (debugfs). */
	atomic_t fail_copy;
	/** @fail_alloc: Next so many allocations of its memory fail (debugfs). */
	atomic_t fail_alloc;
	/** @fail_peer_map: Next so many mappings of it for others fail (debugfs). */
	atomic_t fail_peer_map;
	/** @fail_dma_map: The how manieth DMA mapping fails, 0: none (debugfs). */
	atomic_t fail_dma_map;
	/** @hold_flush: Shoot-downs do not complete for now (debugfs). */
	bool hold_flush;
	/** @held: Shoot-downs that wait for that to change. */
	atomic_t held;
	/** @hold_wq: They wait here. */
	wait_queue_head_t hold_wq;
	/** @zaps: Shoot-downs started. */
	atomic64_t zaps;
	/** @flushes: Times that TLBs were flushed for some. */
	atomic64_t flushes;
	/** @stale: What must never happen, by enum vsvm_stale_kind. */
	atomic_t stale[VSVM_STALE_KINDS];
	/** @dma_maps: Mappings of the GPU's own IOMMU, by number. */
	struct xarray dma_maps;
	/** @next_dma_map: Number to go on from. */
	u32 next_dma_map;
	/** @fault_queue: Mode "queue". */
	struct drm_msvm_fault_queue fault_queue;
	/** @irq_faults: Faults pushed in a hard interrupt. */
	atomic64_t irq_faults;
	/** @refused_faults: Pushes that were refused. */
	atomic64_t refused_faults;
	/** @collector: Mode "batch": the thread that collects faults. */
	struct task_struct *collector;
	/** @collector_wq: It waits here. */
	wait_queue_head_t collector_wq;
	/** @collector_lock: Protects the following; outside of a port's lock. */
	struct mutex collector_lock;
	/** @collected: Faults it has handed over, and not all answered. */
	unsigned int collected;
	/** @largest_batch: Most of them so far. */
	unsigned int largest_batch;
	/** @spaces_batched: Most address spaces in one batch so far. */
	unsigned int spaces_batched;
	/** @batch: The faults; only the thread uses it. */
	struct drm_msvm_fault batch[VSVM_MAX_ENGINES];
};

static inline struct vsvm_gpu *to_vsvm_gpu(struct drm_device *drm)
{
	return container_of(drm, struct vsvm_gpu, drm);
}

/**
 * struct vsvm_layout_ops - How a VM keeps up with the memory of the process.
 */
struct vsvm_layout_ops {
	/** @init: Set up; called in the process. */
	int (*init)(struct vsvm_vm *vm);
	/** @fini: Take all mappings down; no job runs. Cannot fail. */
	void (*fini)(struct vsvm_vm *vm);
	/** @fault: Make an address accessible; 0 or the errno of the job. */
	int (*fault)(struct vsvm_engine *engine, struct vsvm_vm *vm, u64 addr,
		     enum drm_msvm_access access);
	/** @stats: Fill in all but the ids; 0 or -ERESTARTSYS. */
	int (*stats)(struct vsvm_vm *vm, struct drm_vsvm_vm_stats *stats);
};

extern const struct vsvm_layout_ops vsvm_msvm_ops;
extern const struct vsvm_layout_ops vsvm_gpusvm_ops;
extern const struct drm_msvm_ops vsvm_member_ops;

struct vsvm_gpusvm;
struct vsvm_table;

/**
 * struct vsvm_vm - The memory of a process as one GPU sees it.
 */
struct vsvm_vm {
	/** @ref: One of the file's handle, one a job, one of each user. */
	struct kref ref;
	/** @gpu: The GPU; the VM holds a reference to its DRM device. */
	struct vsvm_gpu *gpu;
	/** @file: The file it was made in; valid until the VM is killed. */
	struct vsvm_file *file;
	/** @mm: Address space of the creator, for comparison only (mmgrab). */
	struct mm_struct *mm;
	/** @layout: DRM_VSVM_VM_LAYOUT_*. */
	u32 layout;
	/** @ops: By @layout. */
	const struct vsvm_layout_ops *ops;
	/** @member: Layout msvm. */
	struct drm_msvm_member member;
	/** @gpusvm: Layout 1to1. */
	struct vsvm_gpusvm *gpusvm;
	/** @oracle: Who watches, or NULL. */
	struct vsvm_oracle *oracle;
	/** @oracle_link: Entry in its list. */
	struct list_head oracle_link;
	/** @link: Entry in &vsvm_gpu.vms. */
	struct list_head link;

	/** @root: Page table; NULL once the GPU was cut off. */
	struct vsvm_table *root;
	/** @tables: All tables, to free them; @tables_lock. */
	struct list_head tables;
	/** @tables_lock: Protects @tables. */
	spinlock_t tables_lock;
	/** @ticket: Shoot-downs started. */
	atomic64_t ticket;
	/** @flush_lock: Protects @flushed and @flush_end. */
	spinlock_t flush_lock;
	/** @flushed: Shoot-downs known complete; U64_MAX: all, it was cut off. */
	u64 flushed;
	/** @flush_end: When the newest shoot-down completes. */
	ktime_t flush_end;

	/** @entities: One an engine; orders the VM's jobs. */
	struct drm_sched_entity *entities;
	/** @exec_lock: Makes the order of ids that of queueing. */
	struct mutex exec_lock;
	/**
	 * @kill_lock: Serialises killing, and ioctls with it. They may sleep for
	 * long, so whoever kills interrupts @caller first.
	 */
	struct mutex kill_lock;
	/** @fini_lock: Held for short while the VM must not leave. */
	struct mutex fini_lock;
	/** @killed: It left; both locks to change it. */
	bool killed;
	/** @caller: Thread of the ioctl that has @kill_lock, or NULL; @jobs_lock. */
	struct task_struct *caller;
	/** @pass: The last pass that saw it; &vsvm_gpu.vms_lock. */
	u64 pass;
	/** @dying: No job may start or go on; set once. */
	bool dying;
	/** @quiesced: Its jobs must not access memory for now. */
	bool quiesced;
	/** @cut_off: The GPU did not answer a shoot-down; set once. */
	bool cut_off;

	/** @jobs_lock: Protects @caller, and the job lists and counts below. */
	spinlock_t jobs_lock;
	/** @pending: Jobs that did not end, by id. */
	struct list_head pending;
	/** @ended: Jobs that ended, in that order, nobody asked about. */
	struct list_head ended;
	/** @nr_pending: Length of @pending. */
	unsigned int nr_pending;
	/** @nr_ended: Length of @ended. */
	unsigned int nr_ended;
	/** @last_job: Newest id. */
	u64 last_job;
	/** @jobs_wq: Woken when a job ends. */
	wait_queue_head_t jobs_wq;
	/** @binds: Bindings. */
	struct vsvm_binds binds;
};

/**
 * struct vsvm_job - A list of commands, and how it ended.
 */
struct vsvm_job {
	/** @base: Part of the scheduler. */
	struct drm_sched_job base;
	/** @ref: One of the scheduler, one of the FIFO, one of the VM's lists. */
	struct kref ref;
	/** @vm: The VM, with a reference. */
	struct vsvm_vm *vm;
	/** @id: Number in the VM. */
	u64 id;
	/** @fifo_link: Entry in &vsvm_engine.fifo. */
	struct list_head fifo_link;
	/** @vm_link: Entry in &vsvm_vm.pending or &vsvm_vm.ended. */
	struct list_head vm_link;
	/** @cmds: The commands. */
	struct drm_vsvm_cmd *cmds;
	/** @num_cmds: Number of @cmds. */
	u32 num_cmds;
	/** @fence_addr: Address of the user fence, or 0. */
	u64 fence_addr;
	/** @fence_value: Its value. */
	u64 fence_value;
	/** @ended: @status is final; jobs_lock of the VM. */
	bool ended;
	/** @status: 0 or negative errno. */
	int status;
	/** @cmd_index: Command under way, in the end the one that failed. */
	u32 cmd_index;
	/** @fault_addr: Address whose access failed. */
	u64 fault_addr;
	/** @fault_access: DRM_VSVM_ACCESS_*. */
	u32 fault_access;
};

/**
 * struct vsvm_file - An open file.
 */
struct vsvm_file {
	/** @vms: VMs by handle, each with a reference. */
	struct xarray vms;
	/** @busy_ns: Time of its jobs in each engine; fifo_lock of that engine. */
	u64 busy_ns[VSVM_MAX_ENGINES];
};

/* vsvm_drv.c */
extern const struct drm_driver vsvm_drm_driver;
extern bool vsvm_oracle;
struct vsvm_config vsvm_default_config(void);
extern enum vsvm_fault_mode vsvm_fault_mode;
extern const char * const vsvm_fault_mode_names[3];

/* vsvm_gpu.c */
struct vsvm_gpu *vsvm_gpu_create(const struct vsvm_config *config);
struct vsvm_gpu *vsvm_gpu_probe(struct device *dev,
				const struct vsvm_config *config,
				const struct vsvm_bar *bar);
void vsvm_gpu_remove(struct vsvm_gpu *gpu);
void vsvm_gpu_destroy(struct vsvm_gpu *gpu);
u64 vsvm_gpu_va_end(struct vsvm_gpu *gpu);

/* vsvm_debugfs.c */
void vsvm_gpu_debugfs_init(struct drm_minor *minor);

/* vsvm_dma.c */
bool vsvm_dma_has_iommu(void);
int vsvm_dma_init(struct vsvm_gpu *gpu, struct device *dev);
void vsvm_dma_fini(struct vsvm_gpu *gpu);
bool vsvm_dma_to_phys(struct vsvm_gpu *gpu, u64 addr, bool write,
		      phys_addr_t *phys);

/* vsvm_vram.c */
extern const struct drm_msvm_memory_ops vsvm_memory_ops;
int vsvm_vram_init(struct vsvm_gpu *gpu);
void vsvm_vram_fini(struct vsvm_gpu *gpu);
void *vsvm_vram_to_virt(struct vsvm_gpu *gpu, u64 offset);
void *vsvm_bus_to_virt(struct vsvm_gpu *gpu, u64 addr);
struct vsvm_gpu *vsvm_vram_find(u32 index);
u32 vsvm_vram_index_of(u32 device_id);

/* vsvm_pm.c */
extern const struct dev_pm_ops vsvm_pm_ops;
void vsvm_pm_init(struct vsvm_gpu *gpu);
void vsvm_pm_fini(struct vsvm_gpu *gpu);
int vsvm_pm_get(struct vsvm_gpu *gpu);
void vsvm_pm_put(struct vsvm_gpu *gpu);
void vsvm_gpu_drop_mappings(struct vsvm_gpu *gpu);
int vsvm_gpu_set_limit(struct vsvm_gpu *gpu, u64 bytes);
int vsvm_gpu_reset(struct vsvm_gpu *gpu);

/* vsvm_oracle.c */
int vsvm_oracle_join(struct vsvm_vm *vm);
void vsvm_oracle_leave(struct vsvm_vm *vm);
void vsvm_oracle_use(struct vsvm_vm *vm, u64 addr, bool stale,
		     phys_addr_t phys);
void vsvm_oracle_exit(void);
void vsvm_stale(struct vsvm_gpu *gpu, enum vsvm_stale_kind kind, u64 addr);

/* vsvm_configfs.c */
int vsvm_configfs_init(void);
void vsvm_configfs_exit(void);

/* vsvm_vm.c */
int vsvm_vm_create_ioctl(struct drm_device *drm, void *data,
			 struct drm_file *file);
int vsvm_vm_destroy_ioctl(struct drm_device *drm, void *data,
			  struct drm_file *file);
int vsvm_vm_stats_ioctl(struct drm_device *drm, void *data,
			struct drm_file *file);
struct vsvm_vm *vsvm_vm_create(struct vsvm_gpu *gpu, struct vsvm_file *file,
			       u32 layout);
struct vsvm_vm *vsvm_vm_lookup(struct drm_file *file, u32 vm_id);
void vsvm_vm_put(struct vsvm_vm *vm);
void vsvm_vm_kill(struct vsvm_vm *vm);
int vsvm_file_open(struct drm_device *drm, struct drm_file *file);
void vsvm_file_close(struct drm_device *drm, struct drm_file *file);

/* vsvm_mmu.c */
int vsvm_pt_init(struct vsvm_vm *vm);
void vsvm_pt_fini(struct vsvm_vm *vm);
int vsvm_pt_prepare(struct vsvm_vm *vm, u64 start, u64 end);
void vsvm_pt_map(struct vsvm_vm *vm, u64 start,
		 const struct drm_pagemap_addr *addrs, u64 end, bool writable,
		 bool atomics);
u64 vsvm_pt_zap(struct vsvm_vm *vm, u64 start, u64 end);
int vsvm_tlb_wait(struct vsvm_vm *vm, u64 ticket);
void vsvm_tlb_flush(struct vsvm_vm *vm);
void vsvm_pt_forget(struct vsvm_vm *vm);
bool vsvm_pt_mark_stale(struct vsvm_vm *vm, u64 start, u64 end, u64 *addr);
bool vsvm_tlb_mark_stale(struct vsvm_vm *vm, u64 start, u64 end, u64 *addr);
bool vsvm_tlb_find_dma(struct vsvm_gpu *gpu, u64 start, u64 end);
void vsvm_mmu_cut_off(struct vsvm_vm *vm);
void vsvm_mmu_drain(struct vsvm_gpu *gpu);
void vsvm_mmu_quiesce(struct vsvm_vm *vm);
void vsvm_mmu_resume(struct vsvm_vm *vm);
void *vsvm_translate(struct vsvm_engine *engine, struct vsvm_vm *vm, u64 addr,
		     enum drm_msvm_access access);

/* vsvm_engine.c */
int vsvm_engine_init(struct vsvm_gpu *gpu, unsigned int id);
void vsvm_engine_fini(struct vsvm_engine *engine);
bool vsvm_engine_interrupt(struct vsvm_engine *engine, struct vsvm_vm *vm);
void vsvm_engine_cancel(struct vsvm_engine *engine, struct vsvm_vm *vm);
u64 vsvm_engine_busy_ns(struct vsvm_engine *engine, struct vsvm_file *file);

/* vsvm_fault.c */
void vsvm_fault_port_init(struct vsvm_engine *engine);
int vsvm_fault_init(struct vsvm_gpu *gpu);
void vsvm_fault_fini(struct vsvm_gpu *gpu);
int vsvm_fault_serve(struct vsvm_engine *engine, struct vsvm_vm *vm, u64 addr,
		     enum drm_msvm_access access);

/* vsvm_cmd.c */
int vsvm_job_run(struct vsvm_engine *engine, struct vsvm_job *job);

/* vsvm_check.c */
int vsvm_cmd_check(const struct drm_vsvm_cmd *cmd);

/* vsvm_exec.c */
int vsvm_exec_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
void vsvm_job_end(struct vsvm_job *job, int status);
void vsvm_job_put(struct vsvm_job *job);

/* vsvm_wait.c */
int vsvm_wait_ioctl(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* __VSVM_DRV_H__ */
