// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * msvm-demo: several virtual GPUs work on a file that one process has mapped
 * once, with drm_msvm and with one drm_gpusvm for each GPU, and the results are
 * compared with the CPU's. It shows what the layer does, and what it costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

#include <drm/vsvm_drm.h>

#define MAX_GPUS	8
#define PIECE		(1UL << 20)
/* What every GPU reads in the broadcast pass, at most. */
#define BROADCAST	(8UL << 20)
#define MIX		0x5a

static const char * const layout_names[] = { "drm_msvm", "1 to 1" };

/* What the GPUs write, in memory of its own: counts of bytes and their sum. */
struct result {
	uint64_t histogram[256];
	uint64_t sum;
};

struct gpu {
	int fd;
	uint32_t vm;
	size_t bytes;
};

/* What one layout took and used. */
struct figures {
	uint64_t time_us;
	uint64_t faults;
	uint64_t walks;
	uint64_t ranges;
	uint64_t notifiers;
	uint64_t invalidations;
	uint64_t bytes;
};

static struct gpu gpus[MAX_GPUS];
static int num_gpus = 4;
static const char *file_name;
static int file_fd;
static size_t file_size;

static void __attribute__((noreturn, format(printf, 2, 3)))
die(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("msvm-demo: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(status);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void gpu_ioctl(int gpu, unsigned long request, void *arg,
		      const char *what)
{
	int ret;

	do {
		ret = ioctl(gpus[gpu].fd, request, arg);
	} while (ret && errno == EINTR);
	if (ret)
		die(1, "GPU %d: %s: %s", gpu, what, strerror(errno));
}

/* Open the virtual GPUs, by the name of their driver. */
static void open_gpus(void)
{
	drmVersionPtr version;
	char path[64];
	int minor, n = 0, fd;

	for (minor = 128; minor < 192 && n < num_gpus; minor++) {
		snprintf(path, sizeof(path), "/dev/dri/renderD%d", minor);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		if (version && !strcmp(version->name, "vsvm"))
			gpus[n++].fd = fd;
		else
			close(fd);
		drmFreeVersion(version);
	}
	if (n < num_gpus)
		die(2, "%d virtual GPUs wanted, %d found", num_gpus, n);
}

static void submit(int gpu, int engine, const struct drm_vsvm_cmd *cmds, int n)
{
	struct drm_vsvm_exec args = {
		.vm_id = gpus[gpu].vm, .engine = engine, .num_cmds = n,
		.cmds = (uintptr_t)cmds,
	};

	gpu_ioctl(gpu, DRM_IOCTL_VSVM_EXEC, &args, "exec");
}

static void wait_all(void)
{
	int i;

	for (i = 0; i < num_gpus; i++) {
		struct drm_vsvm_wait args = {
			.vm_id = gpus[i].vm,
			.timeout_ns = now_ns() + 600000000000ULL,
		};

		gpu_ioctl(i, DRM_IOCTL_VSVM_WAIT, &args, "wait");
		if (args.status)
			die(1, "GPU %d: command %u ended with %s at %#llx", i,
			    args.cmd_index, strerror(-args.status),
			    (unsigned long long)args.fault_addr);
	}
}

/* Queue histogram and sum of an interval, a piece to each GPU in turn. */
static void share_out(const char *data, size_t len, struct result *result)
{
	size_t done, n;
	int piece = 0;

	for (done = 0; done < len; done += n, piece++) {
		int gpu = piece % num_gpus;
		struct drm_vsvm_cmd cmds[2] = {
			{ .op = DRM_VSVM_OP_HISTOGRAM }, { .op = DRM_VSVM_OP_SUM },
		};

		n = len - done < PIECE ? len - done : PIECE;
		cmds[0].src = (uintptr_t)(data + done);
		cmds[0].dst = (uintptr_t)result->histogram;
		cmds[0].len = n;
		cmds[1].src = cmds[0].src;
		cmds[1].dst = (uintptr_t)&result->sum;
		cmds[1].len = n;
		submit(gpu, piece / num_gpus % 2, cmds, 2);
		gpus[gpu].bytes += n;
	}
}

static void cpu_count(const uint8_t *data, size_t len, struct result *result)
{
	size_t i;

	for (i = 0; i < len; i++) {
		result->histogram[data[i]]++;
		result->sum += data[i];
	}
}

static bool check(const char *what, struct result *got,
		  const struct result *expected)
{
	bool right = !memcmp(got, expected, sizeof(*got));

	if (!right)
		printf("WRONG: %s: the sum is %llu, not %llu\n", what,
		       (unsigned long long)got->sum,
		       (unsigned long long)expected->sum);
	memset(got, 0, sizeof(*got));
	return right;
}

/* The three passes; returns whether all results were right. */
static bool work(char *data, struct result *result,
		 const struct result expected[4])
{
	size_t half = file_size / 2, common, i;
	bool right;
	int gpu;

	/* All of the file, shared out over the GPUs. */
	share_out(data, file_size, result);
	wait_all();
	right = check("the whole file", result, &expected[0]);

	/* The CPU rewrites the second half while the GPUs read the first. */
	share_out(data, half, result);
	for (i = half; i < file_size; i++)
		data[i] ^= MIX;
	wait_all();
	right &= check("the first half", result, &expected[1]);
	share_out(data + half, file_size - half, result);
	wait_all();
	right &= check("the half that the CPU rewrote", result, &expected[2]);

	/* All GPUs read the same, as weights of a model. */
	common = file_size < BROADCAST ? file_size : BROADCAST;
	for (gpu = 0; gpu < num_gpus; gpu++) {
		struct drm_vsvm_cmd cmd = {
			.op = DRM_VSVM_OP_SUM, .src = (uintptr_t)data,
			.dst = (uintptr_t)&result->sum, .len = common,
		};

		submit(gpu, 0, &cmd, 1);
		gpus[gpu].bytes += common;
	}
	wait_all();
	return right & check("what all GPUs read", result, &expected[3]);
}

/* What the CPU says, computed before any GPU touches the file. */
static void expect(struct result expected[4])
{
	size_t half = file_size / 2, common, i;
	uint8_t *data = malloc(file_size);

	if (!data || pread(file_fd, data, file_size, 0) != (ssize_t)file_size)
		die(1, "%s: cannot be read as a whole", file_name);
	memset(expected, 0, 4 * sizeof(*expected));
	cpu_count(data, file_size, &expected[0]);
	cpu_count(data, half, &expected[1]);
	for (i = half; i < file_size; i++)
		data[i] ^= MIX;
	cpu_count(data + half, file_size - half, &expected[2]);
	common = file_size < BROADCAST ? file_size : BROADCAST;
	for (i = 0; i < common; i++)
		expected[3].sum += (uint64_t)data[i] * num_gpus;
	free(data);
}

static void add_stats(uint32_t layout, struct figures *figures)
{
	int i;

	for (i = 0; i < num_gpus; i++) {
		struct drm_vsvm_vm_stats s = { .vm_id = gpus[i].vm };

		gpu_ioctl(i, DRM_IOCTL_VSVM_VM_STATS, &s, "statistics");
		figures->faults += s.faults;
		/* With drm_msvm the rest is one for all. */
		if (layout == DRM_VSVM_VM_LAYOUT_MSVM && i)
			continue;
		figures->walks += s.walks;
		figures->ranges += s.ranges;
		figures->notifiers += s.notifiers;
		figures->invalidations += s.invalidations;
		figures->bytes += s.bytes;
	}
}

/* One run: a fresh mapping, fresh VMs. */
static bool run(uint32_t layout, const struct result expected[4],
		struct figures *figures)
{
	struct figures f = {};
	struct result *result;
	uint64_t begin;
	char *data;
	size_t i, sum = 0;
	bool right;
	int gpu;

	data = mmap(NULL, file_size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		    file_fd, 0);
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED || result == MAP_FAILED)
		die(1, "mmap: %s", strerror(errno));
	memset(result, 0, sizeof(*result));
	/* The first touch by the CPU, so that no layout has to read the file. */
	for (i = 0; i < file_size; i += 4096)
		sum += data[i];
	/* Used, so that the reads are not optimised away. */
	asm volatile("" : : "r" (sum));

	for (gpu = 0; gpu < num_gpus; gpu++) {
		struct drm_vsvm_vm_create args = { .layout = layout };

		gpu_ioctl(gpu, DRM_IOCTL_VSVM_VM_CREATE, &args, "making a VM");
		gpus[gpu].vm = args.vm_id;
		gpus[gpu].bytes = 0;
	}

	begin = now_ns();
	right = work(data, result, expected);
	f.time_us = (now_ns() - begin) / 1000;
	add_stats(layout, &f);
	/* Counts hardly differ from run to run; time does: the better one. */
	if (figures->time_us && figures->time_us < f.time_us)
		f.time_us = figures->time_us;
	*figures = f;

	for (gpu = 0; gpu < num_gpus; gpu++) {
		struct drm_vsvm_vm_destroy args = { .vm_id = gpus[gpu].vm };

		gpu_ioctl(gpu, DRM_IOCTL_VSVM_VM_DESTROY, &args,
			  "destroying a VM");
	}
	munmap(data, file_size);
	munmap(result, sizeof(*result));
	return right;
}

static void print_row(const char *name, const char *unit, uint64_t msvm,
		      uint64_t one, double scale)
{
	int digits = scale == 1 ? 0 : 1;

	printf("  %-32s %10.*f %10.*f %-4s", name, digits, msvm / scale, digits,
	       one / scale, unit);
	if (msvm)
		printf(" %6.2fx\n", (double)one / msvm);
	else
		printf("       -\n");
}

static void print_figures(const struct figures f[2])
{
	int i;

	for (i = 0; i < num_gpus; i++)
		printf("  GPU %d read %5.1f MiB\n", i,
		       gpus[i].bytes / 1048576.0);
	printf("\n  %-32s %10s %10s %4s %7s\n", "", layout_names[0],
	       layout_names[1], "", "ratio");
	print_row("time (better of two runs)", "ms", f[0].time_us, f[1].time_us,
		  1000);
	print_row("page faults of the GPUs", "", f[0].faults, f[1].faults, 1);
	print_row("walks of the CPU page table", "", f[0].walks, f[1].walks, 1);
	print_row("ranges", "", f[0].ranges, f[1].ranges, 1);
	print_row("MMU notifiers", "", f[0].notifiers, f[1].notifiers, 1);
	print_row("invalidation callbacks", "", f[0].invalidations,
		  f[1].invalidations, 1);
	print_row("bookkeeping for all of it", "KiB", f[0].bytes, f[1].bytes,
		  1024);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "gpus", required_argument, NULL, 'g' },
		{ "file", required_argument, NULL, 'f' },
		{}
	};
	struct stat st;
	int opt;

	while ((opt = getopt_long(argc, argv, "g:f:", options, NULL)) != -1) {
		if (opt == 'g')
			num_gpus = atoi(optarg);
		else if (opt == 'f')
			file_name = optarg;
		else
			exit(2);
	}
	if (num_gpus < 1 || num_gpus > MAX_GPUS)
		die(2, "--gpus: 1 to %d", MAX_GPUS);
	if (!file_name || optind < argc)
		die(2, "usage: msvm-demo [--gpus N] --file FILE");
	file_fd = open(file_name, O_RDONLY);
	if (file_fd < 0 || fstat(file_fd, &st))
		die(2, "%s: %s", file_name, strerror(errno));
	if (!S_ISREG(st.st_mode) || !st.st_size)
		die(2, "%s: not a file with anything in it", file_name);
	file_size = st.st_size;
}

int main(int argc, char **argv)
{
	/* Not A B A B: what changes with time favours neither. */
	static const uint32_t order[] = {
		DRM_VSVM_VM_LAYOUT_MSVM, DRM_VSVM_VM_LAYOUT_1TO1,
		DRM_VSVM_VM_LAYOUT_1TO1, DRM_VSVM_VM_LAYOUT_MSVM,
	};
	struct figures figures[2] = {};
	struct result expected[4];
	const char *base;
	bool right = true;
	unsigned int i;

	parse(argc, argv);
	open_gpus();
	expect(expected);

	base = strrchr(file_name, '/');
	printf("%d virtual GPUs and the CPU share one mapping of %s (%.1f MiB):\n",
	       num_gpus, base ? base + 1 : file_name, file_size / 1048576.0);
	printf("  1. each counts the bytes of its pieces into one table, by atomics\n");
	printf("  2. again, while the CPU rewrites the second half under them\n");
	printf("  3. all read the same %.1f MiB\n",
	       (file_size < BROADCAST ? file_size : BROADCAST) / 1048576.0);
	printf("once through drm_msvm, once with a drm_gpusvm for each GPU (1 to 1),\n");
	printf("with the same range and notifier sizes.\n\n");
	fflush(stdout);

	for (i = 0; i < 4; i++)
		right &= run(order[i], expected, &figures[order[i]]);
	print_figures(figures);
	printf("\nratio: 1 to 1 / drm_msvm. Times are of emulated GPUs: an indication.\n");
	printf("%s\n", right ? "All results match the CPU's." :
			       "WRONG: results differ from the CPU's.");
	return right ? 0 : 1;
}
