// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * msvm-load: virtual GPUs: finds them, gives them work, says what it cost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xf86drm.h>

#include "load.h"

/* No job takes so long unless something hangs. */
#define TIMEOUT_NS	600000000000ULL

static void gpu_ioctl(const struct load *load, int gpu, unsigned long request,
		      void *arg, const char *what)
{
	int ret;

	do {
		ret = ioctl(load->gpu[gpu].fd, request, arg);
	} while (ret && errno == EINTR);
	if (ret)
		die(1, "GPU %d: %s: %s", gpu, what, strerror(errno));
}

static void memory(const struct load *load, int gpu,
		   struct drm_vsvm_memory *info)
{
	memset(info, 0, sizeof(*info));
	gpu_ioctl(load, gpu, DRM_IOCTL_VSVM_MEMORY, info, "memory");
}

/* The first virtual GPUs that have memory, or any if there are too few of them. */
static int find(struct load *load, bool with_memory)
{
	drmVersionPtr version;
	char path[64];
	int minor, n = 0, fd;

	for (minor = 128; minor < 192 && n < load->gpus; minor++) {
		struct drm_vsvm_memory info = {};

		snprintf(path, sizeof(path), "/dev/dri/renderD%d", minor);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		if (version && !strcmp(version->name, "vsvm") &&
		    !ioctl(fd, DRM_IOCTL_VSVM_MEMORY, &info) &&
		    (info.size || !with_memory))
			load->gpu[n++].fd = fd;
		else
			close(fd);
		drmFreeVersion(version);
	}
	return n;
}

void gpus_open(struct load *load)
{
	int n, i;

	n = find(load, true);
	if (n < load->gpus) {
		for (i = 0; i < n; i++)
			close(load->gpu[i].fd);
		n = find(load, false);
	}
	if (n < load->gpus)
		die(2, "%d virtual GPUs wanted, %d found", load->gpus, n);

	for (i = 0; i < load->gpus; i++) {
		struct drm_vsvm_vm_create create = {};
		struct drm_vsvm_vm_stats stats = {};

		gpu_ioctl(load, i, DRM_IOCTL_VSVM_VM_CREATE, &create, "making a VM");
		load->gpu[i].vm = create.vm_id;
		stats.vm_id = create.vm_id;
		gpu_ioctl(load, i, DRM_IOCTL_VSVM_VM_STATS, &stats, "statistics");
		load->gpu[i].context = stats.context_id;
		/* Shared memory is mapped and not moved: it adds to no count. */
		load->gpu[i].result = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (load->gpu[i].result == MAP_FAILED)
			die(1, "memory: %s", strerror(errno));
		memory(load, i, &load->gpu[i].before);
	}
}

uint64_t gpu_submit(struct load *load, int gpu, int engine,
		    const struct drm_vsvm_cmd *cmds, int n)
{
	struct drm_vsvm_exec args = {
		.vm_id = load->gpu[gpu].vm, .engine = engine, .num_cmds = n,
		.cmds = (uintptr_t)cmds,
	};

	gpu_ioctl(load, gpu, DRM_IOCTL_VSVM_EXEC, &args, "exec");
	load->jobs++;
	return args.job_id;
}

/* Until all that was given to a GPU is done. */
void gpu_wait(struct load *load, int gpu)
{
	struct drm_vsvm_wait args = {
		.vm_id = load->gpu[gpu].vm, .timeout_ns = now_ns() + TIMEOUT_NS,
	};

	gpu_ioctl(load, gpu, DRM_IOCTL_VSVM_WAIT, &args, "wait");
	if (args.status)
		die(1, "GPU %d: command %u ended with %s at %#llx", gpu,
		    args.cmd_index, strerror(-args.status),
		    (unsigned long long)args.fault_addr);
}

void gpu_run(struct load *load, int gpu, const struct drm_vsvm_cmd *cmd)
{
	gpu_submit(load, gpu, 0, cmd, 1);
	gpu_wait(load, gpu);
}

void gpus_report(struct load *load)
{
	uint64_t in = 0, out = 0, peer = 0, evictions = 0, faults = 0;
	int i;

	for (i = 0; i < load->gpus; i++) {
		const struct drm_vsvm_memory *before = &load->gpu[i].before;
		struct drm_vsvm_vm_stats stats = { .vm_id = load->gpu[i].vm };
		struct drm_vsvm_memory info;

		memory(load, i, &info);
		in += info.moved_in - before->moved_in;
		out += info.moved_out - before->moved_out;
		peer += info.moved_peer - before->moved_peer;
		evictions += info.evictions - before->evictions;
		gpu_ioctl(load, i, DRM_IOCTL_VSVM_VM_STATS, &stats, "statistics");
		faults += stats.faults;
	}
	printf("context: %u\n", load->gpu[0].context);
	printf("jobs: %llu\n", (unsigned long long)load->jobs);
	printf("touched_kib: %llu\n", (unsigned long long)load->touched >> 10);
	printf("faults: %llu\n", (unsigned long long)faults);
	printf("moved_in_kib: %llu\n", (unsigned long long)in >> 10);
	printf("moved_out_kib: %llu\n", (unsigned long long)out >> 10);
	printf("moved_peer_kib: %llu\n", (unsigned long long)peer >> 10);
	printf("evictions: %llu\n", (unsigned long long)evictions);
}
