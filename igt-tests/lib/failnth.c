// SPDX-License-Identifier: MIT
/*
 * Tests while one allocation fails, see failnth.h. A job is remembered from exec to
 * wait, so that what it did not do can be given to the GPU again: from the command
 * that failed, if that did nothing yet or does the same when repeated.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failnth.h"
#include "vsvm.h"

#define INJECT "/sys/kernel/debug/drm_msvm/inject/alloc"
/* More are not under way; older ones are not done again. */
#define JOBS 2048

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	int fd;
	struct drm_vsvm_exec exec;
	struct drm_vsvm_cmd *cmds;
} jobs[JOBS];
static unsigned int next_job;

bool failnth_active(void)
{
	return getenv("MSVM_FAILNTH");
}

/* Has the allocation failed by now? Then not all is where it would be. */
bool failnth_fired(void)
{
	char text[16] = "";
	bool fired;
	int fd;

	if (!failnth_active())
		return false;
	fd = open(INJECT, O_RDONLY | O_CLOEXEC);
	fired = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && !atoi(text);
	if (fd >= 0)
		close(fd);
	return fired;
}

/* For who looks at the output. */
void failnth_again(const char *what)
{
	fprintf(stderr, "failnth: %s ended with ENOMEM, once more\n", what);
}

/* Is this a job of the VM, and this one if any is named? The lock is held. */
static bool job_is(unsigned int i, int fd, uint32_t vm, uint64_t job)
{
	return jobs[i].cmds && jobs[i].fd == fd && jobs[i].exec.vm_id == vm &&
	       (!job || jobs[i].exec.job_id == job);
}

/* Forget a job, or all of a VM: files and VMs have their numbers again. */
static void job_forget(int fd, uint32_t vm, uint64_t job)
{
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < JOBS; i++) {
		if (!job_is(i, fd, vm, job))
			continue;
		free(jobs[i].cmds);
		jobs[i].cmds = NULL;
	}
	pthread_mutex_unlock(&lock);
}

static void job_remember(int fd, const struct drm_vsvm_exec *exec)
{
	size_t size = exec->num_cmds * sizeof(struct drm_vsvm_cmd);
	struct drm_vsvm_cmd *cmds = malloc(size);
	unsigned int i;

	igt_assert(cmds);
	memcpy(cmds, (void *)(uintptr_t)exec->cmds, size);
	job_forget(fd, exec->vm_id, exec->job_id);
	pthread_mutex_lock(&lock);
	i = next_job++ % JOBS;
	free(jobs[i].cmds);
	jobs[i].fd = fd;
	jobs[i].exec = *exec;
	jobs[i].cmds = cmds;
	pthread_mutex_unlock(&lock);
}

/*
 * Take a job out. If all of a VM were waited for, that is known only if there was one.
 * Return: its commands, or NULL; the caller frees them.
 */
static struct drm_vsvm_cmd *job_take(int fd, const struct drm_vsvm_wait *wait,
				     struct drm_vsvm_exec *exec)
{
	struct drm_vsvm_cmd *cmds = NULL;
	unsigned int i, k = 0, n = 0;

	pthread_mutex_lock(&lock);
	for (i = 0; i < JOBS; i++) {
		if (!job_is(i, fd, wait->vm_id, wait->job_id))
			continue;
		k = i;
		n++;
	}
	if (n == 1) {
		cmds = jobs[k].cmds;
		*exec = jobs[k].exec;
		jobs[k].cmds = NULL;
	}
	pthread_mutex_unlock(&lock);
	return cmds;
}

/* May a command that failed at an address be executed again as a whole? */
static bool repeatable(const struct drm_vsvm_cmd *cmd, uint64_t fault_addr)
{
	switch (cmd->op) {
	case DRM_VSVM_OP_ADD:
	case DRM_VSVM_OP_CAS:
	case DRM_VSVM_OP_XCHG:
		/* Done, but for telling the old value. */
		return fault_addr - cmd->dst < 8;
	case DRM_VSVM_OP_HISTOGRAM:
		return fault_addr - cmd->dst >= 256 * 8;
	default:
		return true;
	}
}

/* A job failed for lack of memory: do the rest of it. */
static int job_again(int fd, struct drm_vsvm_wait *wait)
{
	struct drm_vsvm_cmd nop = { .op = DRM_VSVM_OP_NOP }, *cmds;
	struct drm_vsvm_wait again = *wait;
	struct drm_vsvm_exec exec;
	int ret;

	cmds = job_take(fd, wait, &exec);
	if (!cmds)
		return 0;
	if (wait->cmd_index < exec.num_cmds &&
	    !repeatable(&cmds[wait->cmd_index], wait->fault_addr))
		goto out;
	failnth_again("a job");
	exec.cmds = to_u64(cmds + wait->cmd_index);
	exec.num_cmds -= wait->cmd_index;
	/* Only the user fence is left. */
	if (!exec.num_cmds) {
		exec.cmds = to_u64(&nop);
		exec.num_cmds = 1;
	}
	ret = vsvm_ioctl_once(fd, DRM_IOCTL_VSVM_EXEC, &exec);
	if (ret)
		goto out;
	again.job_id = exec.job_id;
	again.status = 0;
	again.cmd_index = 0;
	again.fault_addr = 0;
	again.fault_access = 0;
	if (again.timeout_ns < vsvm_deadline(10))
		again.timeout_ns = vsvm_deadline(10);
	ret = vsvm_ioctl_once(fd, DRM_IOCTL_VSVM_WAIT, &again);
	if (!ret) {
		again.cmd_index += wait->cmd_index;
		again.job_id = wait->job_id;
		again.timeout_ns = wait->timeout_ns;
		*wait = again;
	}
out:
	free(cmds);
	return 0;
}

int failnth_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = vsvm_ioctl_once(fd, request, arg);

	if (ret == -ENOMEM) {
		failnth_again("a call");
		ret = vsvm_ioctl_once(fd, request, arg);
	}
	if (!ret && request == DRM_IOCTL_VSVM_VM_DESTROY)
		job_forget(fd, ((struct drm_vsvm_vm_destroy *)arg)->vm_id, 0);
	if (!ret && request == DRM_IOCTL_VSVM_EXEC)
		job_remember(fd, arg);
	if (!ret && request == DRM_IOCTL_VSVM_WAIT &&
	    ((struct drm_vsvm_wait *)arg)->status == -ENOMEM)
		ret = job_again(fd, arg);
	return ret;
}
