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

#include "../lib/configfs.h"
#include "../lib/each.h"
#include "../lib/mm.h"

#define DIR_PATH "/sys/kernel/config/vsvm/igt"

#define LOG "vsvm: "

static const struct config_file attrs[] = {
	{ "engines", "2", { "1", "16", "2" }, { "0", "17" }, 0 },
	{ "va_bits", "47", { "32", "40", "47" }, { "31", "48" }, 0 },
	{ "tlb_flush_us", "0", { "1", "1000000", "0" }, { "1000001", "us" }, 0 },
	{ "fault_us", "0", { "1", "1000000", "0" }, { "1000001", "us" }, 0 },
	{ "copy_mbps", "0", { "1", "1000000", "0" }, { "1000001", "MB" }, 0 },
	{ "va_limit_mib", "0", { "1", "134217728", "0" },
	  { "134217729", "M" }, 0 },
	{ "system_atomics", "1", { "0", "1" }, { "2", "yes" }, 0 },
	{ "dma", "direct", { "none", "direct" }, { "0", "dir", "directs" }, 0 },
	{ "dma_bits", "64", { "24", "40", "64" }, { "23", "65" }, 0 },
	{ "vram_mib", "0", { "2", "65536", "0" }, { "3", "65538", "1" }, 0 },
	{ "peer_group", "0", { "1", "64", "0" }, { "65" }, 0 },
	{ "page_faults", "1", { "0", "1" }, { "2", "no" }, 0 },
	{ "fault_depth", "64", { "1", "4096", "64" }, { "0", "4097" }, 0 },
	{ "fault_mode", NULL, { "batch", "queue", "direct" },
	  { "0", "poll" }, 0 },
};

static const struct config_file live = {
	"live", "0", { "0" }, { "2", "on", "y", "01" }, 0
};

#define NUM_ATTRS (sizeof(attrs) / sizeof(attrs[0]))

static int attr_write(const char *attr, const char *value)
{
	return config_set(config_path(DIR_PATH "/%s", attr), value);
}

static void attr_expect(const char *attr, const char *value)
{
	config_expect(config_path(DIR_PATH "/%s", attr), value);
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

/* The module parameter says how faults are delivered by default. */
static const char *default_of(const struct config_file *attr)
{
	static char mode[32];

	if (attr->value)
		return attr->value;
	config_get("/sys/module/vsvm/parameters/fault_mode", mode,
		   sizeof(mode));
	mode[strcspn(mode, "\n")] = 0;
	return mode;
}

static void test_defaults(void)
{
	unsigned int i;

	for (i = 0; i < NUM_ATTRS; i++)
		attr_expect(attrs[i].name, default_of(&attrs[i]));
	attr_expect("live", "0");
	attr_expect("dev_name", "none");
}

static void test_files(void)
{
	const char *names[NUM_ATTRS + 2] = { "live", "dev_name" };
	unsigned int i;

	for (i = 0; i < NUM_ATTRS; i++)
		names[2 + i] = attrs[i].name;
	config_listing(DIR_PATH, names, NUM_ATTRS + 2);
}

static void test_values(void)
{
	unsigned int i;

	for (i = 0; i < NUM_ATTRS; i++) {
		const char *path = config_path(DIR_PATH "/%s", attrs[i].name);

		config_all_valid(path, &attrs[i]);
		config_all_bad(path, &attrs[i], LOG);
	}
	config_all_bad(DIR_PATH "/live", &live, LOG);
	igt_assert_eq(attr_write("live", "0"), -EPERM);
	attr_expect("live", "0");
	/* Nobody can write this one. */
	igt_assert_eq(attr_write("dev_name", "renderD128"), -EACCES);
}

static void test_frozen(void)
{
	unsigned int i;

	igt_assert_eq(attr_write("live", "1"), 0);
	attr_expect("live", "1");
	for (i = 0; i < NUM_ATTRS; i++) {
		igt_assert_eq(attr_write(attrs[i].name, attrs[i].valid[0]),
			      -EBUSY);
		attr_expect(attrs[i].name, default_of(&attrs[i]));
	}
	config_all_bad(DIR_PATH "/live", &live, LOG);
	igt_assert_eq(attr_write("live", "1"), -EPERM);
	igt_assert(rmdir(DIR_PATH) && errno == EBUSY);
	igt_assert_eq(attr_write("live", "0"), 0);
	attr_expect("dev_name", "none");
	igt_assert_eq(attr_write("engines", "3"), 0);
}

/* What can't be made, linked or removed. */
static void test_fixed(void)
{
	igt_assert(mkdir(DIR_PATH "/x", 0755) && errno == EPERM);
	igt_assert(creat(DIR_PATH "/x", 0644) < 0);
	igt_assert(symlink(DIR_PATH, DIR_PATH "/x") && errno == EPERM);
	igt_assert(symlink(DIR_PATH, DIR_PATH "-x") && errno == EPERM);
	igt_assert(unlink(DIR_PATH "/live"));
	igt_assert(rename(DIR_PATH, DIR_PATH "-x"));
	igt_assert(mkdir(DIR_PATH, 0755) && errno == EEXIST);
	igt_assert(rmdir("/sys/kernel/config/vsvm"));
}

/* What is open when its directory goes leads nowhere. */
static void test_teardown(void)
{
	const char *refs = "/sys/module/vsvm/refcnt";
	long before = file_number(refs);
	char buf[16];
	int fd = open(DIR_PATH "/engines", O_RDWR);

	igt_assert(fd >= 0);
	igt_assert(!rmdir(DIR_PATH));
	igt_assert(read(fd, buf, sizeof(buf)) < 0);
	igt_assert(write(fd, "3", 1) < 0);
	close(fd);
	/* What exists keeps the module. */
	if (before >= 0)
		igt_assert(file_number(refs) < before);
	make();
	if (before >= 0)
		igt_assert_eq(file_number(refs), before);
	attr_expect("engines", "2");
}

static int open_live(void)
{
	char path[128], name[64] = "", node[80];
	int fd;

	snprintf(path, sizeof(path), DIR_PATH "/dev_name");
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
	snprintf(path, sizeof(path), DIR_PATH "/dev_name");
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

/* Names are shown in the log. */
static void test_names(void)
{
	static const char * const bad[] = {
		"igt-\x1b[31m", "igt-\n", "igt-a b", "igt-\x7f", "igt-\xff",
		"igt-\xc3\xbc",
	};
	char last[512], name[300];
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(name, sizeof(name), "/sys/kernel/config/vsvm/%s",
			 bad[i]);
		klog_start();
		igt_assert_f(mkdir(name, 0755) && errno == EINVAL,
			     "name %u: %s\n", i, strerror(errno));
		igt_assert_eq(klog_lines(LOG, last, sizeof(last)), 1);
	}
	/* As long as a name can be, and longer. */
	memset(name, 'x', sizeof(name));
	memcpy(name, DIR_PATH, strlen(DIR_PATH));
	name[strlen("/sys/kernel/config/vsvm/") + 64] = 0;
	igt_assert(mkdir(name, 0755) && errno == ENAMETOOLONG);
	name[strlen("/sys/kernel/config/vsvm/") + 63] = 0;
	igt_assert(!mkdir(name, 0755));
	igt_assert(!rmdir(name));
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
	configfs("files", "which files there are", test_files);
	configfs("default-values", "files and their defaults", test_defaults);
	configfs("values", "valid and wrong values", test_values);
	configfs("frozen-while-live", "what can't be changed while live",
		 test_frozen);
	configfs("fixed", "what can't be made, linked or removed", test_fixed);
	configfs("names", "names of directories", test_names);
	configfs("teardown", "a directory goes while a file is open",
		 test_teardown);
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
