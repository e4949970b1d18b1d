// SPDX-License-Identifier: MIT
/*
 * Rules: whom they claim by name, user and cgroup, in which order, what debugfs says
 * about it, and that a change counts from the next fault on, also under load.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/configfs.h"
#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define CGROUP "/sys/fs/cgroup"
#define GROUP CGROUP "/igt-rules"
#define USER 12345

static const char * const vram[] = { "vram_mib=8", NULL };
static const char * const peers[] = { "vram_mib=8", "peer_group=1", NULL };

/* Where the process was before. */
static char home[256];

static void name_set(const char *name)
{
	igt_assert(!prctl(PR_SET_NAME, name));
}

static bool group_enter(const char *path)
{
	return file_write(config_path("%s/cgroup.procs", path), "0");
}

static void groups_find(void)
{
	char text[256], *path;

	if (access(CGROUP "/cgroup.procs", F_OK))
		mount("cgroup2", CGROUP, "cgroup2", 0, NULL);
	if (home[0] || !file_read("/proc/self/cgroup", text, sizeof(text)))
		return;
	path = strstr(text, "0::/");
	if (path)
		snprintf(home, sizeof(home), CGROUP "%.*s",
			 (int)strcspn(path + 3, "\n"), path + 3);
}

/* All as it was, whatever a failed subtest left. */
static void restore(void)
{
	groups_find();
	name_set("msvm_rules");
	if (home[0])
		group_enter(home);
	rmdir(GROUP "/sub/leaf");
	rmdir(GROUP "/sub");
	rmdir(GROUP);
	rmdir(GROUP "-other");
	cfs_clean();
	file_write(CFS "/default/evict_to", "system");
}

static uint32_t context(struct vsvm_set *set)
{
	return vsvm_stats(set->fd[0], set->vm[0]).context_id;
}

/* A live policy, a rule, and the link between them. */
static void rule_make(const char *rule, const char *policy)
{
	cfs_mkdir("rules", rule);
	if (access(config_path(CFS "/policies/%s", policy), F_OK)) {
		cfs_mkdir("policies", policy);
		config_put(config_path(CFS "/policies/%s/live", policy), "1");
	}
	cfs_link(rule, policy);
}

static void rule_put(const char *rule, const char *file, const char *value)
{
	config_put(config_path(CFS "/rules/%s/%s", rule, file), value);
}

/* Who claims, by which policy. */
static void claimed(struct vsvm_set *set, const char *rule, const char *policy)
{
	policy_expect(context(set), "rule", rule);
	policy_expect(context(set), "policy", policy);
}

/*
 * Likewise, as another real user: it is the one that counts, while debugfs is still
 * to be read. Nothing that fails may leave the process so.
 */
static void claimed_as(struct vsvm_set *set, uid_t uid, const char *rule)
{
	static char text[65536];
	char buf[64];

	igt_assert(!setresuid(uid, 0, 0));
	policy_read(context(set), text, sizeof(text));
	igt_assert(!setresuid(0, 0, 0));
	policy_field(text, "rule", buf, sizeof(buf));
	igt_assert_f(!strcmp(buf, rule), "claimed by %s, not %s\n", buf, rule);
}

static void unclaimed(struct vsvm_set *set)
{
	claimed(set, "none", "default");
}

/* What debugfs says about a rule. */
static void why(struct vsvm_set *set, const char *rule, const char *text)
{
	char name[64];

	snprintf(name, sizeof(name), "rule %s", rule);
	policy_expect(context(set), name, text);
}

static void by_name(struct vsvm_set *set)
{
	unclaimed(set);
	rule_make("igt-r", "igt-a");
	claimed(set, "igt-r", "igt-a");
	why(set, "igt-r", "priority 0, policy igt-a: claims");
	rule_put("igt-r", "match_comm", "python*");
	unclaimed(set);
	why(set, "igt-r", "priority 0, policy igt-a: comm 'python*' does not match 'msvm_rules'");
	name_set("python3.13");
	claimed(set, "igt-r", "igt-a");
	rule_put("igt-r", "match_comm", "p?th[a-z]n3.1[0-9]");
	claimed(set, "igt-r", "igt-a");
	name_set("python3.1x");
	unclaimed(set);
	rule_put("igt-r", "match_comm", "python3.1x");
	claimed(set, "igt-r", "igt-a");
	name_set("Python3.1x");
	unclaimed(set);
	/* Names are cut off at 15 bytes. */
	name_set("a-name-of-twenty-bytes");
	rule_put("igt-r", "match_comm", "a-name-of-twent");
	claimed(set, "igt-r", "igt-a");
	rule_put("igt-r", "match_comm", "*bytes");
	unclaimed(set);
	rule_put("igt-r", "match_comm", "\n");
	claimed(set, "igt-r", "igt-a");
}

static void by_user(struct vsvm_set *set)
{
	rule_make("igt-r", "igt-a");
	rule_put("igt-r", "match_uid", "12345");
	unclaimed(set);
	why(set, "igt-r", "priority 0, policy igt-a: uid 12345 is not 0");
	claimed_as(set, USER, "igt-r");
	unclaimed(set);
	rule_put("igt-r", "match_uid", "0");
	claimed_as(set, USER, "none");
	claimed(set, "igt-r", "igt-a");
	rule_put("igt-r", "match_uid", "4294967294");
	unclaimed(set);
	rule_put("igt-r", "match_uid", "\n");
	claimed(set, "igt-r", "igt-a");
}

static void by_cgroup(struct vsvm_set *set)
{
	igt_require_f(home[0] && !mkdir(GROUP, 0755), "no cgroup v2\n");

	rule_make("igt-r", "igt-a");
	rule_put("igt-r", "match_cgroup", "/igt-rules/sub");
	unclaimed(set);
	why(set, "igt-r", "priority 0, policy igt-a: not in cgroup '/igt-rules/sub'");
	/* The group may come later. */
	igt_assert(!mkdir(GROUP "/sub", 0755));
	igt_assert(!mkdir(GROUP "/sub/leaf", 0755));
	igt_assert(!mkdir(GROUP "-other", 0755));
	unclaimed(set);
	igt_assert(group_enter(GROUP));
	unclaimed(set);
	igt_assert(group_enter(GROUP "/sub"));
	claimed(set, "igt-r", "igt-a");
	policy_expect(context(set), "cgroup", "/igt-rules/sub");
	igt_assert(group_enter(GROUP "/sub/leaf"));
	claimed(set, "igt-r", "igt-a");
	igt_assert(group_enter(GROUP));
	unclaimed(set);

	/* A name is not a prefix. */
	rule_put("igt-r", "match_cgroup", "/igt-rules");
	claimed(set, "igt-r", "igt-a");
	igt_assert(group_enter(GROUP "-other"));
	unclaimed(set);
	rule_put("igt-r", "match_cgroup", "/igt-rules-othe");
	unclaimed(set);
	rule_put("igt-r", "match_cgroup", "/");
	claimed(set, "igt-r", "igt-a");

	/* Removed and made again. */
	rule_put("igt-r", "match_cgroup", "/igt-rules/sub/leaf");
	igt_assert(group_enter(GROUP "/sub/leaf"));
	claimed(set, "igt-r", "igt-a");
	igt_assert(group_enter(home));
	igt_assert(!rmdir(GROUP "/sub/leaf"));
	unclaimed(set);
	igt_assert(!mkdir(GROUP "/sub/leaf", 0755));
	unclaimed(set);
	igt_assert(group_enter(GROUP "/sub/leaf"));
	claimed(set, "igt-r", "igt-a");
	rule_put("igt-r", "match_cgroup", "\n");
	igt_assert(group_enter(home));
	claimed(set, "igt-r", "igt-a");
}

/* All that is said must be so. */
static void all_together(struct vsvm_set *set)
{
	rule_make("igt-r", "igt-a");
	rule_put("igt-r", "match_uid", "12345");
	rule_put("igt-r", "match_comm", "both");
	unclaimed(set);
	name_set("both");
	unclaimed(set);
	claimed_as(set, USER, "igt-r");
	name_set("one");
	claimed_as(set, USER, "none");
}

static void order(struct vsvm_set *set)
{
	rule_make("igt-b", "igt-pb");
	claimed(set, "igt-b", "igt-pb");
	/* By name, whichever came first. */
	rule_make("igt-a", "igt-pa");
	claimed(set, "igt-a", "igt-pa");
	why(set, "igt-b", "priority 0, policy igt-pb: after igt-a by name");
	rule_put("igt-b", "priority", "10");
	claimed(set, "igt-b", "igt-pb");
	why(set, "igt-a", "priority 0, policy igt-pa: priority lower than igt-b");
	/* As numbers. */
	rule_put("igt-a", "priority", "9");
	claimed(set, "igt-b", "igt-pb");
	rule_put("igt-a", "priority", "100");
	claimed(set, "igt-a", "igt-pa");
	rule_put("igt-a", "match_comm", "nobody");
	claimed(set, "igt-b", "igt-pb");
	cfs_unlink("igt-b");
	cfs_rmdir("rules", "igt-b");
	unclaimed(set);
	rule_put("igt-a", "match_comm", "msvm_rules");
	claimed(set, "igt-a", "igt-pa");
}

/* A rule that leads nowhere claims nobody. */
static void nowhere(struct vsvm_set *set)
{
	rule_make("igt-r", "igt-a");
	claimed(set, "igt-r", "igt-a");
	config_put(CFS "/policies/igt-a/live", "0");
	unclaimed(set);
	why(set, "igt-r", "priority 0, policy igt-a: policy not live");
	config_put(CFS "/policies/igt-a/live", "1");
	claimed(set, "igt-r", "igt-a");
	cfs_unlink("igt-r");
	unclaimed(set);
	why(set, "igt-r", "priority 0, policy none: no policy linked");
	cfs_rmdir("policies", "igt-a");
	unclaimed(set);
	/* Not the one that had the name before. */
	cfs_mkdir("policies", "igt-a");
	cfs_link("igt-r", "igt-a");
	unclaimed(set);
	config_put(CFS "/policies/igt-a/placement", "follow-fault");
	config_put(CFS "/policies/igt-a/live", "1");
	claimed(set, "igt-r", "igt-a");
	policy_expect(context(set), "placement", "follow-fault");
	/* A live one changes at once. */
	config_put(CFS "/policies/igt-a/placement", "system");
	config_put(CFS "/policies/igt-a/chunk_sizes", "64K 4K");
	config_put(CFS "/policies/igt-a/preferred_devices", "x y");
	config_put(CFS "/policies/igt-a/thrash_pin_ms", "77");
	policy_expect(context(set), "placement", "system");
	policy_expect(context(set), "chunk_sizes", "64K 4K");
	policy_expect(context(set), "preferred_devices", "x y");
	policy_expect(context(set), "thrash_pin_ms", "77");
}

/* Fresh memory that the first GPU touches gets there. */
static void goes_as(struct vsvm_set *set, uid_t uid, uint32_t where)
{
	char *p = anon_aligned(SZ_64K, SZ_64K);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 1, SZ_64K);
	int status;

	igt_assert(!setresuid(uid, 0, 0));
	status = vsvm_try(set, 0, &cmd, 1).status;
	igt_assert(!setresuid(0, 0, 0));
	igt_assert_eq(status, 0);
	vram_expect(set, p, SZ_64K, where);
	munmap(p, SZ_64K);
}

static void goes(struct vsvm_set *set, uint32_t where)
{
	goes_as(set, 0, where);
}

/* What rules say is what faults do. */
static void next_fault(struct vsvm_set *set)
{
	goes(set, where_gpu(set, 0));
	rule_make("igt-r", "igt-a");
	config_put(CFS "/policies/igt-a/placement", "system");
	goes(set, WHERE_SYSTEM);
	rule_put("igt-r", "match_comm", "other");
	goes(set, where_gpu(set, 0));
	name_set("other");
	goes(set, WHERE_SYSTEM);
	name_set("another");
	goes(set, where_gpu(set, 0));
	rule_put("igt-r", "match_comm", "\n");
	goes(set, WHERE_SYSTEM);
	rule_put("igt-r", "match_uid", "0");
	goes_as(set, USER, where_gpu(set, 0));
	goes(set, WHERE_SYSTEM);
	if (home[0] && !mkdir(GROUP, 0755)) {
		rule_put("igt-r", "match_cgroup", "/igt-rules");
		goes(set, where_gpu(set, 0));
		igt_assert(group_enter(GROUP));
		goes(set, WHERE_SYSTEM);
		igt_assert(group_enter(home));
		goes(set, where_gpu(set, 0));
		rule_put("igt-r", "match_cgroup", "/");
	}
	goes(set, WHERE_SYSTEM);
	config_put(CFS "/policies/igt-a/placement", "first-touch");
	goes(set, where_gpu(set, 0));
	config_put(CFS "/policies/igt-a/placement", "system");
	config_put(CFS "/policies/igt-a/live", "0");
	goes(set, where_gpu(set, 0));
	vsvm_placement("system");
	goes(set, WHERE_SYSTEM);
	vsvm_placement("first-touch");
}

static int round_fill(struct party *party)
{
	char *p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, party->k + 1, SZ_64K);
	int ret;
	size_t i;

	if (p == MAP_FAILED)
		return -errno;
	ret = crowd_job(party, &cmd, 1);
	for (i = 0; !ret && i < SZ_64K; i += 512)
		ret = p[i] == (char)(party->k + 1) ? 0 : -EILSEQ;
	munmap(p, SZ_64K);
	return ret;
}

/* Fields that are written together, so that each of them tells of the others. */
static const char * const told[] = {
	"migrate_threshold", "thrash_pin_ms", "prefetch_percent",
};

static int round_look(struct party *party)
{
	char text[8192], values[3][32], name[64], path[32];
	const char *expect;
	int i;

	snprintf(path, sizeof(path), "%u/policy", *(uint32_t *)party->data);
	if (!debugfs_read(path, text, sizeof(text)))
		return -EIO;
	policy_field(text, "policy", name, sizeof(name));
	policy_field(text, told[0], values[0], sizeof(values[0]));
	for (i = 1; i < 3; i++)
		policy_field(text, told[i], values[i], sizeof(values[i]));
	if (!strcmp(name, "default"))
		return strcmp(values[0], "3") || strcmp(values[1], "150") ||
		       strcmp(values[2], "51") ? -EILSEQ : 0;
	expect = !strcmp(name, "igt-b") ? "33" : values[0];
	if (strcmp(expect, "11") && strcmp(expect, "22") && strcmp(expect, "33"))
		return -EILSEQ;
	for (i = 0; i < 3; i++)
		if (strcmp(values[i], expect))
			return -EILSEQ;
	return 0;
}

static void put_all(const char *policy, const char *value)
{
	int i;

	for (i = 0; i < 3; i++)
		config_put(config_path(CFS "/policies/%s/%s", policy, told[i]),
			   value);
}

/*
 * Two policies, of which one is taken out, changed as a whole, and put in again,
 * while all GPUs fault: at any time there is one of the three values, or the default.
 */
static void flips(struct vsvm_set *set)
{
	int n = vsvm_scale(1000, 150), i;
	uint32_t id = context(set);

	cfs_mkdir("policies", "igt-a");
	put_all("igt-a", "11");
	cfs_mkdir("policies", "igt-b");
	put_all("igt-b", "33");
	config_put(CFS "/policies/igt-b/placement", "system");
	config_put(CFS "/policies/igt-b/live", "1");
	rule_make("igt-ra", "igt-a");
	rule_make("igt-rb", "igt-b");
	rule_put("igt-rb", "match_comm", "nobody");
	config_put(CFS "/policies/igt-a/live", "1");

	crowd_begin();
	for (i = 0; i < set->n; i++)
		crowd_add(set, i, round_fill, NULL);
	crowd_add(set, -1, round_look, &id);
	crowd_start();
	for (i = 0; i < n; i++) {
		switch (i % 4) {
		case 0:
			config_put(CFS "/policies/igt-a/live", "0");
			put_all("igt-a", i % 8 ? "11" : "22");
			config_put(CFS "/policies/igt-a/placement",
				   i % 8 ? "first-touch" : "follow-fault");
			config_put(CFS "/policies/igt-a/live", "1");
			break;
		case 1:
			rule_put("igt-rb", "priority", "5");
			rule_put("igt-rb", "match_comm", "\n");
			break;
		case 2:
			rule_put("igt-ra", "priority", "7");
			break;
		case 3:
			cfs_unlink("igt-rb");
			rule_put("igt-ra", "priority", "3");
			cfs_link("igt-rb", "igt-b");
			break;
		}
	}
	crowd_wait(2);
	crowd_stop();
}

/* Hundreds of each. The time of a claim that finds nothing new is for people. */
static void hundreds(struct vsvm_set *set)
{
	int n = vsvm_scale(300, 100), i;
	char rule[32], policy[32], comm[32], ns[32];
	static char text[65536];

	policy_read(context(set), text, sizeof(text));
	policy_field(text, "claim_ns", ns, sizeof(ns));
	igt_info("no rule: %s ns a claim\n", ns);
	for (i = 0; i < n; i++) {
		snprintf(rule, sizeof(rule), "igt-r%d", i);
		snprintf(policy, sizeof(policy), "igt-p%d", i);
		snprintf(comm, sizeof(comm), "igt-*-%d", i);
		rule_make(rule, policy);
		rule_put(rule, "match_comm", comm);
		if (i != 199)
			continue;
		policy_read(context(set), text, sizeof(text));
		policy_field(text, "claim_ns", ns, sizeof(ns));
		igt_info("200 rules: %s ns a claim\n", ns);
	}
	unclaimed(set);
	for (i = 0; i < n; i += 33) {
		snprintf(rule, sizeof(rule), "igt-r%d", i);
		snprintf(policy, sizeof(policy), "igt-p%d", i);
		snprintf(comm, sizeof(comm), "igt-x-%d", i);
		name_set(comm);
		claimed(set, rule, policy);
	}
	/* Every second one goes. */
	for (i = 0; i < n; i += 2) {
		snprintf(rule, sizeof(rule), "igt-r%d", i);
		cfs_unlink(rule);
		cfs_rmdir("rules", rule);
	}
	name_set("igt-x-66");
	unclaimed(set);
	name_set("igt-x-33");
	claimed(set, "igt-r33", "igt-p33");
}

/* Each process has its own, and so has a child of it. */
static void processes(struct vsvm_set *set)
{
	static struct vsvm_set child_set;
	int pipes[2], status;
	uint32_t id;
	pid_t pid;

	rule_make("igt-r", "igt-a");
	rule_put("igt-r", "match_comm", "child");
	igt_assert(!pipe(pipes));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		if (setjmp(igt_subtest_jmpbuf))
			_exit(99);
		child_set.n = 1;
		child_set.fd[0] = set->fd[0];
		child_set.vm[0] = vsvm_vm_create(set->fd[0],
						 DRM_VSVM_VM_LAYOUT_MSVM);
		igt_assert(context(&child_set) != context(set));
		name_set("child");
		claimed(&child_set, "igt-r", "igt-a");
		unclaimed(set);
		id = context(&child_set);
		igt_assert(write(pipes[1], &id, sizeof(id)) == sizeof(id));
		vsvm_vm_destroy(set->fd[0], child_set.vm[0]);
		_exit(0);
	}
	close(pipes[1]);
	igt_assert(read(pipes[0], &id, sizeof(id)) == sizeof(id));
	close(pipes[0]);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	unclaimed(set);
}

/* Fill more than the first GPU holds. Return: how many pages were evicted to system. */
static size_t overfill(struct vsvm_set *set)
{
	size_t len = 6 * SZ_2M, evicted;
	char *p = anon_aligned(len, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 0x5a, len);

	memset(p, 1, len);
	vsvm_run(set, 0, &cmd, 1);
	evicted = vram_count(set, p, len, WHERE_SYSTEM);
	igt_assert_eq(p[len - 1], 0x5a);
	munmap(p, len);
	return evicted;
}

/* Where evicted memory goes is said by the policy it came there by, not by the default. */
static void evicts_to(struct vsvm_set *set)
{
	igt_require_f(set->n > 1 && gpus_can_peer(),
		      "no GPU reaches another's memory\n");
	cfs_mkdir("policies", "igt-a");
	config_put(CFS "/policies/igt-a/placement", "first-touch");
	config_put(CFS "/policies/igt-a/evict_to", "peer");
	config_put(CFS "/policies/igt-a/live", "1");
	rule_make("igt-r", "igt-a");
	igt_assert_eq_u64(overfill(set), 0);
	config_put(CFS "/policies/igt-a/evict_to", "system");
	config_put(CFS "/default/evict_to", "peer");
	igt_assert_eq_u64(overfill(set), 2 * 512);
}

static void (*body)(struct vsvm_set *set);

static void wrapped(struct vsvm_set *set)
{
	igt_require_f(!access(CFS, W_OK), "no configfs of drm_msvm\n");
	restore();
	body(set);
	restore();
}

#define rules(name_, text_, fn_) \
	do { \
		body = fn_; \
		each_made_run(name_, text_, MSVM_ONLY, vram, wrapped); \
	} while (0)

igt_main
{
	rules("comm", "names of processes", by_name);
	rules("uid", "users", by_user);
	rules("cgroup", "cgroups, made later and again", by_cgroup);
	rules("all-match", "a rule with several conditions", all_together);
	rules("order", "by priority, then by name", order);
	rules("nowhere", "policies that are not live or not there", nowhere);
	rules("next-fault", "a change counts at the next fault", next_fault);
	rules("flips", "policies and rules change under load", flips);
	rules("hundreds", "hundreds of policies and rules", hundreds);
	rules("processes", "each process has its own", processes);
	body = evicts_to;
	each_made_run("evict-to", "where evicted memory goes", MSVM_ONLY, peers,
		      wrapped);

	igt_fixture {
		restore();
		vsvm_placement("system");
	}
}
