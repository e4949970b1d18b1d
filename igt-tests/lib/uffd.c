// SPDX-License-Identifier: MIT
/*
 * Memory whose faults wait until a test serves them, see uffd.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "failnth.h"
#include "hang.h"
#include "igt_compat.h"
#include "uffd.h"
#include "vsvm.h"

/* A fault that never comes, as the allocation for it failed, is not to take long. */
int poll_limit(void)
{
	if (failnth_active())
		return vsvm_scale(10000, 40000);
	return vsvm_scale(30000, 120000);
}

int uffd_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	igt_require_f(uffd >= 0, "no userfaultfd\n");
	igt_assert(!ioctl(uffd, UFFDIO_API, &api));
	return uffd;
}

void uffd_register(int uffd, void *p, size_t len)
{
	struct uffdio_register reg = {
		.range = { to_u64(p), len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	igt_assert(!ioctl(uffd, UFFDIO_REGISTER, &reg));
}

/* Lets go of faults that wait: the memory is as any other from now on. */
void uffd_unregister(int uffd, void *p, size_t len)
{
	struct uffdio_range range = { to_u64(p), len };

	igt_assert(!ioctl(uffd, UFFDIO_UNREGISTER, &range));
}

/* Until somebody is in a fault that is not served. */
void uffd_wait_fault(int uffd)
{
	struct pollfd fd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;
	int n = poll(&fd, 1, poll_limit());

	if (!n)
		hang_report();
	igt_assert_f(n == 1, "nobody faults\n");
	igt_assert(read(uffd, &msg, sizeof(msg)) == sizeof(msg));
	igt_assert_eq(msg.event, UFFD_EVENT_PAGEFAULT);
}

/* Serve: the memory gets these bytes. */
void uffd_copy(int uffd, void *p, const void *from, size_t len)
{
	struct uffdio_copy copy = {
		.dst = to_u64(p), .src = to_u64(from), .len = len,
	};

	igt_assert_f(!ioctl(uffd, UFFDIO_COPY, &copy), "%s\n", strerror(errno));
	igt_assert_eq_u64(copy.copy, len);
}

/* Let faults look again. */
void uffd_wake(int uffd, void *p, size_t len)
{
	struct uffdio_range range = { to_u64(p), len };

	igt_assert(!ioctl(uffd, UFFDIO_WAKE, &range));
}

/* Return: the child's status. One that hangs fails the test. */
int wait_child(pid_t pid)
{
	struct pollfd fd = { .events = POLLIN };
	int status, ended;

	fd.fd = syscall(SYS_pidfd_open, pid, 0);
	igt_assert(fd.fd >= 0);
	ended = poll(&fd, 1, poll_limit());
	close(fd.fd);
	if (ended != 1) {
		hang_report();
		kill(pid, SIGKILL);
	}
	igt_assert_f(ended == 1, "process %d hangs\n", pid);
	igt_assert(waitpid(pid, &status, 0) == pid);
	return status;
}

/* The thread ends, and with NULL. */
void join_thread(pthread_t thread)
{
	struct timespec end;
	void *ret = NULL;
	int err;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += poll_limit() / 1000;
	err = pthread_timedjoin_np(thread, &ret, &end);
	if (err)
		hang_report();
	igt_assert_f(!err, "the thread hangs\n");
	igt_assert(!ret);
}
