// SPDX-License-Identifier: MIT
/*
 * The tree of policies in configfs: files and their defaults, values that are taken
 * and those that are not, policies that go live as a whole, links, and in which
 * order all of it can be taken apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/configfs.h"
#include "../lib/mm.h"

#define ARRAY(a) (int)(sizeof(a) / sizeof((a)[0]))
#define LOG "drm_msvm: "
#define POLICY CFS "/policies/igt-a"
#define RULE CFS "/rules/igt-r"
#define DEVICE CFS "/devices/igt-none"

static const struct config_file policy_files[] = {
	{ "placement", "adaptive",
	  { "uvm-compat", "first-touch", "follow-fault", "interleave",
	    "system", "access-count", "adaptive" },
	  { "first", "system-", "0" }, 0 },
	{ "map_mode", "lazy", { "eager", "auto", "lazy" }, { "0", "later" }, 0 },
	{ "peer_access", "on", { "auto", "off", "on" }, { "1", "yes" }, 0 },
	{ "prefetch", "none", { "block", "tree", "none" }, { "0", "all" }, 0 },
	{ "evict_to", "system", { "peer", "system" }, { "Y", "peers" }, 0 },
	{ "chunk_sizes", "2M 64K 4K", { "64K 4K", "4K", "2M 4K", "2M 64K 4K" },
	  { "4K 4K 2M", "8K 4K", "4096", "4K,2M", "4k", "2M  4K" }, 0 },
	{ "prefetch_percent", "51", { "1", "100", "51" }, { "0", "101" }, 0 },
	{ "migrate_threshold", "3", { "1", "65535", "3" }, { "0", "65536" }, 0 },
	{ "migrate_window_ms", "100", { "1", "3600000", "100" },
	  { "0", "3600001" }, 0 },
	{ "thrash_threshold", "3", { "0", "255", "3" }, { "256" }, 0 },
	{ "thrash_window_us", "500", { "0", "1000000", "500" },
	  { "60000001" }, 0 },
	{ "thrash_throttle_us", "500", { "0", "1000000", "500" },
	  { "1000001" }, 0 },
	{ "thrash_max_throttles", "10", { "0", "255", "10" }, { "256" }, 0 },
	{ "thrash_pin_ms", "150", { "0", "3600000", "150" }, { "3600001" }, 0 },
	{ "thrash_reset_ms", "1000", { "1", "3600000", "1000" },
	  { "3600001" }, 0 },
	{ "thrash_max_resets", "4", { "0", "255", "4" }, { "256" }, 0 },
	{ "timeslice_ms", "0", { "1", "60000", "0" }, { "60001" }, 0 },
	{ "interleave_kib", "2048", { "4", "1048576", "2048" },
	  { "0", "2", "5", "2097152", "3000" }, 0 },
	{ "preferred_devices", "",
	  { "vsvm.0", "0000:00:04.0 vsvm.1", "" },
	  { "a a", "a b c d e f g h i j k l m n o p q", "a\nb",
	    "0123456789012345678901234567890123456789", " ", "a  b" },
	  TAKES_EMPTY | TAKES_WORDS },
};

static const struct config_file rule_files[] = {
	{ "priority", "0", { "1000000", "7", "0" }, { "1000001" }, 0 },
	{ "match_comm", "", { "python*", "a b", "[a-c]?\\*", "-1", "" },
	  { "0123456789012345678901234567890123456789012345678901234567890123",
	    "a\tb" },
	  TAKES_EMPTY | TAKES_TEXT },
	{ "match_cgroup", "", { "/a/b c", "/", "/system.slice/x", "" },
	  { "a", "a/b", "//", "/a/", "/a//b", "/..", "/a/../b", "/.", "-1" },
	  TAKES_EMPTY | TAKES_TEXT },
	{ "match_uid", "", { "1000", "0", "4294967294", "" },
	  { "4294967295", "root" }, TAKES_EMPTY },
};

static const struct config_file device_files[] = {
	{ "svm_limit_bytes", "max",
	  { "1048576", "1", "18446744073709551614", "max" },
	  { "Max", "maximum", "1M", "-1", "+1", "1 2", "0x1", "max max",
	    "18446744073709551616" },
	  TAKES_WORDS },
	{ "enabled", "1", { "0", "1" }, { "2", "y", "off" }, 0 },
	{ "weight", "100", { "1", "1000", "100" }, { "0", "1001" }, 0 },
};

static void each_file(const char *dir, const struct config_file *files, int nr,
		      void (*fn)(const char *path,
				 const struct config_file *file))
{
	int i;

	for (i = 0; i < nr; i++)
		fn(config_path("%s/%s", dir, files[i].name), &files[i]);
}

static void each_dir(void (*fn)(const char *path,
				const struct config_file *file))
{
	each_file(POLICY, policy_files, ARRAY(policy_files), fn);
	each_file(RULE, rule_files, ARRAY(rule_files), fn);
	each_file(DEVICE, device_files, ARRAY(device_files), fn);
}

static void make(void)
{
	cfs_mkdir("policies", "igt-a");
	cfs_mkdir("rules", "igt-r");
	cfs_mkdir("devices", "igt-none");
}

static void listing(const char *dir, const struct config_file *files, int nr,
		    const char *more1, const char *more2)
{
	const char *names[32];
	int i;

	for (i = 0; i < nr; i++)
		names[i] = files[i].name;
	if (more1)
		names[nr++] = more1;
	if (more2)
		names[nr++] = more2;
	config_listing(dir, names, nr);
}

static void test_files(void)
{
	static const char * const root[] = {
		"default", "policies", "rules", "devices"
	};

	config_listing(CFS, root, ARRAY(root));
	listing(CFS "/default", policy_files, ARRAY(policy_files), NULL, NULL);
	make();
	listing(POLICY, policy_files, ARRAY(policy_files), "live", NULL);
	listing(RULE, rule_files, ARRAY(rule_files), NULL, NULL);
	listing(DEVICE, device_files, ARRAY(device_files), "present",
		"resident_bytes");
}

static void expect_default(const char *path, const struct config_file *file)
{
	config_expect(path, file->value);
}

static void test_defaults(void)
{
	make();
	each_dir(expect_default);
	config_expect(POLICY "/live", "0");
	config_expect(DEVICE "/present", "0");
	config_expect(DEVICE "/resident_bytes", "0");
	config_put(CFS "/default/placement", "adaptive");
	each_file(CFS "/default", policy_files, ARRAY(policy_files),
		  expect_default);
}

static void test_valid(void)
{
	make();
	each_dir(config_all_valid);
	config_put(POLICY "/live", "1");
	each_file(POLICY, policy_files, ARRAY(policy_files), config_all_valid);
	each_file(CFS "/default", policy_files, ARRAY(policy_files),
		  config_all_valid);
	/* 0 is another way to say it. */
	config_put(DEVICE "/svm_limit_bytes", "4096");
	config_put(DEVICE "/svm_limit_bytes", "0");
	config_expect(DEVICE "/svm_limit_bytes", "max");
}

static void all_bad(const char *path, const struct config_file *file)
{
	config_all_bad(path, file, LOG);
}

static const struct config_file live_file = {
	"live", "0", { "0" }, { "2", "on", "true", "01x" }, 0
};

static void test_wrong(void)
{
	make();
	each_dir(all_bad);
	all_bad(POLICY "/live", &live_file);
}

static void test_wrong_live(void)
{
	make();
	config_put(POLICY "/live", "1");
	each_file(POLICY, policy_files, ARRAY(policy_files), all_bad);
	all_bad(POLICY "/live", &live_file);
	each_file(CFS "/default", policy_files, ARRAY(policy_files), all_bad);
}

static void bad_whole(const char *path, const char *value)
{
	config_refused(path, value, strlen(value), -EINVAL, LOG);
}

/* Files may say what they like until it counts. */
static void test_live(void)
{
	make();
	config_put(POLICY "/placement", "preferred");
	bad_whole(POLICY "/live", "1");
	config_put(POLICY "/preferred_devices", "a");
	config_put(POLICY "/chunk_sizes", "2M");
	bad_whole(POLICY "/live", "1");
	config_put(POLICY "/chunk_sizes", "2M 4K");
	config_put(POLICY "/thrash_window_us", "2000000");
	bad_whole(POLICY "/live", "1");
	config_put(POLICY "/thrash_reset_ms", "2000");
	config_put(POLICY "/live", "1");
	config_expect(POLICY "/live", "1");
	/* What is already so can be said again. */
	config_put(POLICY "/live", "1");
	config_expect(POLICY "/live", "1");

	bad_whole(POLICY "/preferred_devices", "\n");
	bad_whole(POLICY "/chunk_sizes", "2M");
	bad_whole(POLICY "/thrash_reset_ms", "1999");
	bad_whole(POLICY "/thrash_window_us", "2000001");
	config_put(POLICY "/thrash_threshold", "0");
	config_put(POLICY "/thrash_reset_ms", "1");
	bad_whole(POLICY "/thrash_threshold", "3");

	config_put(POLICY "/live", "0");
	config_put(POLICY "/live", "0");
	config_put(POLICY "/preferred_devices", "\n");
	config_expect(POLICY "/placement", "preferred");
	bad_whole(CFS "/default/placement", "preferred");
	bad_whole(CFS "/default/chunk_sizes", "2M 64K");
}

static void no_mkdir(const char *kind, const char *name, int err)
{
	char line[256] = "";

	klog_start();
	igt_assert_f(mkdir(config_path(CFS "/%s/%s", kind, name), 0755) &&
		     errno == err, "mkdir of \"%s\" in %s\n", name, kind);
	igt_assert_eq(klog_lines(LOG, line, sizeof(line)), 1);
	igt_assert_f(strstr(line, kind), "%s\n", line);
}

static void test_names(void)
{
	static const char * const kinds[] = { "policies", "rules", "devices" };
	char name[256];
	int i;

	for (i = 0; i < ARRAY(kinds); i++) {
		memset(name, 'x', sizeof(name));
		memcpy(name, CFS_PREFIX, strlen(CFS_PREFIX));
		name[39] = 0;
		cfs_mkdir(kinds[i], name);
		igt_assert(mkdir(config_path(CFS "/%s/%s", kinds[i], name),
				 0755) && errno == EEXIST);
		cfs_rmdir(kinds[i], name);
		name[39] = 'x';
		name[40] = 0;
		no_mkdir(kinds[i], name, ENAMETOOLONG);
		no_mkdir(kinds[i], "igt-a b", EINVAL);
		no_mkdir(kinds[i], "igt-\n", EINVAL);
		no_mkdir(kinds[i], "igt-\xff", EINVAL);
		cfs_mkdir(kinds[i], "igt-\xc3\xa4");
		cfs_rmdir(kinds[i], "igt-\xc3\xa4");
	}
	no_mkdir("policies", "default", EINVAL);
}

static void test_fixed(void)
{
	static const char * const dirs[] = {
		CFS "/x", CFS "/default/x", POLICY "/x", RULE "/x", DEVICE "/x",
	};
	static const char * const fixed[] = {
		CFS, CFS "/default", CFS "/policies", CFS "/rules",
		CFS "/devices",
	};
	int i;

	make();
	for (i = 0; i < ARRAY(dirs); i++) {
		igt_assert_f(mkdir(dirs[i], 0755) && errno == EPERM, "%s\n",
			     dirs[i]);
		igt_assert(creat(dirs[i], 0644) < 0);
	}
	for (i = 0; i < ARRAY(fixed); i++)
		igt_assert_f(rmdir(fixed[i]) && errno == EPERM, "%s\n",
			     fixed[i]);
	igt_assert(unlink(POLICY "/live"));
	igt_assert(rename(POLICY, CFS "/policies/igt-b"));
	/* Also root can't write what can only be read. */
	igt_assert_eq(config_set(DEVICE "/present", "1"), -EACCES);
	igt_assert_eq(config_set(DEVICE "/resident_bytes", "1"), -EACCES);
}

static void no_link(const char *to, const char *path, int err)
{
	char line[256] = "";

	klog_start();
	igt_assert_f(symlink(to, path) && errno == err, "%s to %s\n", path, to);
	igt_assert_eq(klog_lines(LOG, line, sizeof(line)), 1);
}

static void test_links(void)
{
	make();
	no_link(CFS "/default", RULE "/policy", EINVAL);
	no_link(CFS "/policies", RULE "/policy", EINVAL);
	no_link(CFS "/rules/igt-r", RULE "/policy", EINVAL);
	no_link(DEVICE, RULE "/policy", EINVAL);
	no_link(CFS, RULE "/policy", EINVAL);
	/* These never get there. */
	igt_assert(symlink("/tmp", RULE "/policy") && errno == EPERM);
	igt_assert(symlink(POLICY "/live", RULE "/policy"));
	igt_assert(symlink(CFS "/policies/igt-none", RULE "/policy") &&
		   errno == ENOENT);
	igt_assert(symlink(POLICY, CFS "/rules/x") && errno == EPERM);
	igt_assert(symlink(POLICY, POLICY "/x") && errno == EPERM);
	igt_assert(symlink(POLICY, DEVICE "/x") && errno == EPERM);

	igt_assert(!symlink(POLICY, RULE "/any-name"));
	no_link(POLICY, RULE "/policy", EEXIST);
	cfs_mkdir("policies", "igt-b");
	no_link(CFS "/policies/igt-b", RULE "/policy", EEXIST);
	igt_assert(symlink(POLICY, RULE "/any-name") && errno == EEXIST);
	igt_assert(!unlink(RULE "/any-name"));
	cfs_link("igt-r", "igt-b");
	cfs_unlink("igt-r");
	/* Several rules may lead to one policy. */
	cfs_mkdir("rules", "igt-s");
	cfs_link("igt-r", "igt-b");
	cfs_link("igt-s", "igt-b");
	igt_assert(rmdir(CFS "/policies/igt-b") && errno == EBUSY);
	cfs_unlink("igt-r");
	igt_assert(rmdir(CFS "/policies/igt-b") && errno == EBUSY);
	cfs_unlink("igt-s");
	cfs_rmdir("policies", "igt-b");
}

static void test_teardown(void)
{
	int live, fd;

	for (live = 0; live < 2; live++) {
		make();
		cfs_link("igt-r", "igt-a");
		config_put(POLICY "/live", live ? "1" : "0");
		igt_assert(rmdir(POLICY) && errno == EBUSY);
		igt_assert(rmdir(RULE) && errno == ENOTEMPTY);
		fd = open(POLICY "/placement", O_RDWR);
		cfs_unlink("igt-r");
		if (live) {
			cfs_rmdir("policies", "igt-a");
			cfs_rmdir("rules", "igt-r");
		} else {
			cfs_rmdir("rules", "igt-r");
			cfs_rmdir("policies", "igt-a");
		}
		/* What is open leads nowhere. */
		igt_assert(write(fd, "system", 6) < 0);
		close(fd);
		cfs_rmdir("devices", "igt-none");
	}
	/* What comes with the name again has nothing of it. */
	make();
	config_expect(POLICY "/live", "0");
}

/* What exists keeps the module. */
static void test_unload(void)
{
	const char *refs = "/sys/module/drm_msvm/refcnt";
	long before = file_number(refs);

	igt_require_f(before >= 0, "no modules\n");
	cfs_mkdir("policies", "igt-a");
	igt_assert(file_number(refs) > before);
	igt_assert(syscall(SYS_delete_module, "drm_msvm", O_NONBLOCK) &&
		   errno == EWOULDBLOCK);
	cfs_mkdir("devices", "igt-none");
	cfs_rmdir("policies", "igt-a");
	igt_assert(file_number(refs) > before);
	cfs_rmdir("devices", "igt-none");
	cfs_mkdir("rules", "igt-r");
	igt_assert(file_number(refs) > before);
	cfs_rmdir("rules", "igt-r");
	igt_assert(file_number(refs) == before);
}

#define INJECT "/sys/kernel/debug/drm_msvm/inject/alloc"

static int make_dir(const char *path, const char *value)
{
	(void)value;
	return mkdir(path, 0755) ? -errno : 0;
}

/*
 * Something is done while the first, the second, ... allocation fails, until none of
 * those it needs does. Each time but the last nothing must have happened.
 */
static void starve(int (*fn)(const char *path, const char *value),
		   const char *path, const char *value, int least)
{
	char before[4096] = "", after[4096] = "", nth[16];
	int n, ret = -ENOMEM;

	if (value)
		config_get(path, before, sizeof(before));
	for (n = 0; ret; n++) {
		snprintf(nth, sizeof(nth), "%d", n + 1);
		igt_assert(file_write(INJECT, nth));
		ret = fn(path, value);
		file_write(INJECT, "0");
		igt_assert_f(!ret || ret == -ENOMEM, "%s: %d\n", path, ret);
		if (!ret)
			break;
		if (value) {
			config_get(path, after, sizeof(after));
			igt_assert_f(!strcmp(before, after), "%s is %s", path,
				     after);
		} else {
			igt_assert_f(access(path, F_OK), "%s is there\n", path);
		}
	}
	igt_assert_f(n >= least, "%s took %d allocations\n", path, n);
}

static void test_no_memory(void)
{
	igt_require_f(!access(INJECT, W_OK), "not built for tests\n");
	starve(make_dir, POLICY, NULL, 2);
	starve(make_dir, RULE, NULL, 3);
	starve(make_dir, DEVICE, NULL, 1);
	starve(config_set, POLICY "/placement", "system", 0);
	starve(config_set, POLICY "/live", "1", 1);
	starve(config_set, POLICY "/placement", "interleave", 1);
	starve(config_set, CFS "/default/placement", "follow-fault", 1);
	starve(config_set, RULE "/priority", "3", 2);
	starve(config_set, RULE "/match_comm", "x", 2);
	starve(config_set, RULE "/match_uid", "1", 2);
	starve(config_set, RULE "/match_cgroup", "/x", 2);
	/* What takes away needs none, and can't fail. */
	cfs_link("igt-r", "igt-a");
	igt_assert(file_write(INJECT, "1"));
	config_put(POLICY "/live", "0");
	cfs_unlink("igt-r");
	cfs_rmdir("rules", "igt-r");
	cfs_rmdir("policies", "igt-a");
	cfs_rmdir("devices", "igt-none");
	igt_assert_eq(file_number(INJECT), 1);
	file_write(INJECT, "0");
}

static void configfs(const char *name, const char *text, void (*fn)(void))
{
	igt_describe(text);
	igt_subtest(name) {
		igt_require_f(!access(CFS, W_OK), "no configfs of drm_msvm\n");
		cfs_clean();
		fn();
		cfs_clean();
	}
}

igt_main
{
	configfs("files", "which files there are", test_files);
	configfs("default-values", "their defaults", test_defaults);
	configfs("valid-values", "values that are taken, and read back",
		 test_valid);
	configfs("wrong-values", "values that are not", test_wrong);
	configfs("wrong-values-live", "likewise, while it counts",
		 test_wrong_live);
	configfs("live", "a policy counts as a whole", test_live);
	configfs("names", "names of directories", test_names);
	configfs("fixed", "what can't be made, removed or written",
		 test_fixed);
	configfs("links", "links from rules to policies", test_links);
	configfs("teardown", "in which order all can be removed",
		 test_teardown);
	configfs("no-memory", "allocations fail", test_no_memory);
	configfs("unload", "what exists keeps the module", test_unload);

	igt_fixture {
		cfs_clean();
		vsvm_placement("system");
	}
}
