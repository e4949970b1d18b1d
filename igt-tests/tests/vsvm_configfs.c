// SPDX-License-Identifier: MIT
/*
 * GPUs made and pulled out through configfs: files and their defaults, wrong
 * values, what is frozen while live, and unplugging with work under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/each.h"

#define DIR_PATH "/sys/kernel/config/vsvm/igt"

static const struct {
	const char *name;
	const char *value;
	const char *valid[3];
	const char *invalid[9];
} attrs[] = {
	{ "engines", "2", { "1", "16", "2" },
	  { "0", "17", "-1", "", "x", "2 3", "99999999999", "2.5", "0x2" } },
	{ "va_bits", "47", { "32", "40", "47" },
	  { "31", "48", "-40", "", "x", "40 41", "99999999999", "4.7", "0x20" } },
	{ "tlb_flush_us", "0", { "0", "1000000", "0" },
	  { "1000001", "-1", "", "x", "1 2", "99999999999", "1.5", "us", "0x1" } },
	{ "fault_us", "0", { "0", "1000000", "0" },
	  { "1000001", "-1", "", "x", "1 2", "99999999999", "1.5", "us", "0x1" } },
	{ "copy_mbps", "0", { "1", "1000000", "0" },
	  { "1000001", "-1", "", "x", "1 2", "99999999999", "1.5", "MB", "0x1" } },
	{ "va_limit_mib", "0", { "1", "134217728", "0" },
	  { "134217729", "-1", "", "x", "1 2", "99999999999", "1.5", "M", "0x1" } },
	{ "system_atomics", "1", { "0", "0", "1" },
	  { "2", "-1", "", "x", "1 1", "99999999999", "0.5", "yes", "0x1" } },
	{ "dma_bits", "64", { "24", "40", "64" },
	  { "23", "65", "-1", "", "x", "40 41", "99999999999", "3.2", "0x20" } },
	{ "dma", "direct", { "none", "direct", "direct" },
	  { "", "Direct", "direct none", "0", "-1", "x", "dir", "directs", "no" } },
};

#define NUM_ATTRS (sizeof(attrs) / sizeof(attrs[0]))

static void path_of(char *path, size_t size, const char *attr)
{
	snprintf(path, size, DIR_PATH "/%s", attr);
}

static int attr_write(const char *attr, const char *value)
{
	char path[128];
	int fd, ret = 0;

	path_of(path, sizeof(path), attr);
	fd = open(path, O_WRONLY);
	igt_assert(fd >= 0);
	/* An empty write does not reach the file: send the newline of echo. */
	if (write(fd, *value ? value : "\n", *value ? strlen(value) : 1) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static void attr_expect(const char *attr, const char *value)
{
	char path[128], buf[64] = "", expect[64];
	int fd;

	path_of(path, sizeof(path), attr);
	fd = open(path, O_RDONLY);
	igt_assert(fd >= 0);
	igt_assert(read(fd, buf, sizeof(buf) - 1) >= 0);
	close(fd);
	snprintf(expect, sizeof(expect), "%s\n", value);
	igt_assert_f(!strcmp(buf, expect), "%s is %s", attr, buf);
}

static void make(void)
{
	igt_assert(!mkdir(DIR_PATH, 0755));
}

/* What a failed subtest left behind. */
static void clean(void)
{
	if (access(DIR_PATH, F_OK))
		return;
	attr_write("live", "0");
	rmdir(DIR_PATH);
}

static void test_defaults(void)
{
	unsigned int i;

	for (i = 0; i < NUM_ATTRS; i++)
		attr_expect(attrs[i].name, attrs[i].value);
	attr_expect("live", "0");
	attr_expect("dev_name", "none");
}

static void test_values(void)
{
	unsigned int i, k;

	for (i = 0; i < NUM_ATTRS; i++) {
		for (k = 0; k < 3; k++) {
			igt_assert_eq(attr_write(attrs[i].name,
						 attrs[i].valid[k]), 0);
			attr_expect(attrs[i].name, attrs[i].valid[k]);
		}
		for (k = 0; k < 9; k++) {
			igt_assert_eq(attr_write(attrs[i].name,
						 attrs[i].invalid[k]), -EINVAL);
			attr_expect(attrs[i].name, attrs[i].valid[2]);
		}
	}
	igt_assert_eq(attr_write("live", "2"), -EINVAL);
	igt_assert_eq(attr_write("live", "x"), -EINVAL);
	igt_assert_eq(attr_write("live", "0"), -EPERM);
	attr_expect("live", "0");
}

static void test_frozen(void)
{
	unsigned int i;

	igt_assert_eq(attr_write("live", "1"), 0);
	attr_expect("live", "1");
	for (i = 0; i < NUM_ATTRS; i++) {
		igt_assert_eq(attr_write(attrs[i].name, attrs[i].valid[0]),
			      -EBUSY);
		attr_expect(attrs[i].name, attrs[i].value);
	}
	igt_assert_eq(attr_write("live", "1"), -EPERM);
	igt_assert(rmdir(DIR_PATH) && errno == EBUSY);
	igt_assert_eq(attr_write("live", "0"), 0);
	attr_expect("dev_name", "none");
	igt_assert_eq(attr_write("engines", "3"), 0);
}

static int open_live(void)
{
	char path[128], name[64] = "", node[80];
	int fd;

	path_of(path, sizeof(path), "dev_name");
	fd = open(path, O_RDONLY);
	igt_assert(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0);
	close(fd);
	name[strcspn(name, "\n")] = 0;
	snprintf(node, sizeof(node), "/dev/dri/%s", name);
	fd = open(node, O_RDWR | O_CLOEXEC);
	igt_assert_f(fd >= 0, "%s: %s\n", node, strerror(errno));
	return fd;
}

static void test_attributes_count(void)
{
	struct drm_vsvm_query q = { .param = DRM_VSVM_PARAM_NUM_ENGINES };
	int fd;

	igt_assert_eq(attr_write("engines", "5"), 0);
	igt_assert_eq(attr_write("va_bits", "33"), 0);
	igt_assert_eq(attr_write("live", "1"), 0);
	fd = open_live();
	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_QUERY, &q), 0);
	igt_assert_eq_u64(q.value, 5);
	q.param = DRM_VSVM_PARAM_VA_BITS;
	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_QUERY, &q), 0);
	igt_assert_eq_u64(q.value, 33);
	close(fd);
}

/* A small window: what lies beyond fails, and the others have it all the same. */
static void test_small_window(void)
{
	struct vsvm_set small = { .n = 1 };
	struct drm_vsvm_cmd cmd;
	char *low, *high = anon(SZ_4K);

	low = mmap((void *)0x10000000UL, SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	igt_assert(low != MAP_FAILED);
	igt_assert_eq(attr_write("va_bits", "32"), 0);
	igt_assert_eq(attr_write("live", "1"), 0);
	small.fd[0] = open_live();
	small.vm[0] = vsvm_vm_create(small.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	cmd = vsvm_store(low, 8, 4711);
	vsvm_run(&small, 0, &cmd, 1);
	igt_assert_eq_u64(*(uint64_t *)low, 4711);
	vsvm_expect_fault(&small, 0, vsvm_store(high, 8, 1), -EFAULT, high,
			  DRM_VSVM_ACCESS_WRITE);
	vsvm_set_close(&small);
	munmap(low, SZ_4K);
	munmap(high, SZ_4K);
}

/* Pulled out with a job that waits; the other GPUs go on. */
static void test_unplug(void)
{
	static struct vsvm_set others;
	uint64_t *p = anon(SZ_4K);
	struct drm_vsvm_cmd wait = vsvm_wait_value(p, 8, 1);
	struct drm_vsvm_cmd add = vsvm_add(p + 1, 8, 1, NULL);
	struct drm_vsvm_query q = {};
	uint32_t vm;
	int fd;

	wait.timeout_ns = 0;
	vsvm_set_open(&others, 1, DRM_VSVM_VM_LAYOUT_MSVM);
	igt_assert_eq(attr_write("live", "1"), 0);
	fd = open_live();
	vm = vsvm_vm_create(fd, DRM_VSVM_VM_LAYOUT_MSVM);
	vsvm_submit(fd, vm, 0, &add, 1);
	igt_assert_eq(vsvm_wait(fd, vm, 0).status, 0);
	vsvm_submit(fd, vm, 0, &wait, 1);
	vsvm_submit(fd, vm, 0, &wait, 1);

	igt_assert_eq(attr_write("live", "0"), 0);
	igt_assert_eq(vsvm_ioctl(fd, DRM_IOCTL_VSVM_QUERY, &q), -ENODEV);
	vsvm_run(&others, 0, &add, 1);
	igt_assert_eq_u64(p[1], 2);
	vsvm_set_close(&others);
	close(fd);
	munmap(p, SZ_4K);
}

/* A device that does not answer is cut off, and munmap() goes on. */
static void test_wedged(void)
{
	char name[128], path[192], *q;
	struct drm_vsvm_cmd cmd;
	static struct vsvm_set others;
	struct vsvm_set one = { .n = 1 };
	char *p = anon(SZ_64K);
	uint64_t *out = anon(SZ_4K);
	int fd, minor;

	vsvm_set_open(&others, 1, DRM_VSVM_VM_LAYOUT_MSVM);
	igt_assert_eq(attr_write("live", "1"), 0);
	path_of(path, sizeof(path), "dev_name");
	fd = open(path, O_RDONLY);
	memset(name, 0, sizeof(name));
	igt_assert(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0);
	close(fd);
	igt_assert(sscanf(name, "renderD%d", &minor) == 1);

	one.fd[0] = open_live();
	one.vm[0] = vsvm_vm_create(one.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	pattern_fill(p, SZ_64K, 1);
	vsvm_gpu_check(&one, 0, p, SZ_64K, 1);
	vsvm_gpu_check(&others, 0, p, SZ_64K, 1);

	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%d/fail_zap_wait",
		 minor);
	fd = open(path, O_WRONLY);
	igt_require_f(fd >= 0, "no %s\n", path);
	igt_assert(write(fd, "1", 1) == 1);
	close(fd);

	munmap(p, SZ_64K);
	q = mmap(p, SZ_64K, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	igt_assert(q == p);
	pattern_fill(p, SZ_64K, 2);
	vsvm_gpu_check(&others, 0, p, SZ_64K, 2);
	/* Refused, or ended: never served. */
	cmd = vsvm_load(p, 8, out);
	{
		struct drm_vsvm_exec args = {
			.vm_id = one.vm[0], .num_cmds = 1, .cmds = to_u64(&cmd),
		};

		igt_assert_eq(vsvm_ioctl(one.fd[0], DRM_IOCTL_VSVM_EXEC, &args),
			      -EIO);
	}
	igt_assert_eq_u64(*out, 0);
	igt_assert_eq_u64(context_value(vsvm_stats(others.fd[0],
						   others.vm[0]).context_id,
					"stats", "wedged"), 1);
	vsvm_set_close(&one);
	vsvm_set_close(&others);
	munmap(p, SZ_64K);
	munmap(out, SZ_4K);
}

/* Directories come and go without ever being live. */
static void test_many_dirs(void)
{
	char path[64];
	int i;

	for (i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), DIR_PATH "-%d", i);
		igt_assert(!mkdir(path, 0755));
	}
	for (i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), DIR_PATH "-%d", i);
		igt_assert(!rmdir(path));
	}
}

static void configfs(const char *name, const char *text, void (*fn)(void))
{
	igt_describe(text);
	igt_subtest(name) {
		igt_require_f(!access("/sys/kernel/config/vsvm", W_OK),
			      "no configfs of vsvm\n");
		clean();
		make();
		fn();
		clean();
	}
}

igt_main
{
	configfs("default-values", "files and their defaults", test_defaults);
	configfs("values", "valid and wrong values", test_values);
	configfs("frozen-while-live", "what can't be changed while live",
		 test_frozen);
	configfs("attributes-count", "the GPU is what the files say",
		 test_attributes_count);
	configfs("small-window", "a GPU with few address bits",
		 test_small_window);
	configfs("unplug-busy", "pulling a GPU out with work under way",
		 test_unplug);
	configfs("wedged", "a GPU that does not answer a shoot-down",
		 test_wedged);
	configfs("many-directories", "50 directories", test_many_dirs);
}
