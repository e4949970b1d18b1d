// SPDX-License-Identifier: MIT
/*
 * Threads that make, remove, link, write and read at random in drm_msvm's tree while
 * GPUs fault: whatever comes of it, memory is right, nothing hangs, and all of it can
 * be removed in the end. MSVM_SEED repeats a run as far as threads allow.
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
#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))
#define NAMES 6
#define FUZZERS 4
/* Operations of a round. */
#define OPS 40

static const char * const gpu_attrs[] = {
	"vram_mib=4", "peer_group=1", NULL
};

static const char * const kinds[] = { "policies", "rules", "devices" };

static const char * const files[] = {
	"placement", "map_mode", "peer_access", "prefetch", "evict_to",
	"chunk_sizes", "prefetch_percent", "migrate_threshold",
	"migrate_window_ms", "thrash_threshold", "thrash_window_us",
	"thrash_throttle_us", "thrash_max_throttles", "thrash_pin_ms",
	"thrash_reset_ms", "thrash_max_resets", "timeslice_ms",
	"interleave_kib", "preferred_devices", "live", "priority",
	"match_comm", "match_cgroup", "match_uid", "svm_limit_bytes",
	"enabled", "weight", "present", "resident_bytes",
};

static const char * const values[] = {
	"0", "1", "2", "16", "100", "4096", "max", "\n", "first-touch",
	"follow-fault", "system", "adaptive", "preferred", "interleave",
	"lazy", "eager", "auto", "on", "off", "none", "tree", "peer", "4K",
	"2M 64K 4K", "vsvm.0 vsvm.1", "msvm*", "*", "/", "/command",
	"4194304", "2097152",
};

static uint64_t states[FUZZERS];

/* xorshift64, one state a thread. */
static unsigned int pick(struct party *party, unsigned int n)
{
	uint64_t *state = &states[party->k % FUZZERS];

	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 33) % n;
}

/* A directory below one of the kinds; devices' have the names of GPUs. */
static void some_dir(struct party *party, const char *kind, char *path,
		     size_t size)
{
	char name[64];

	if (!strcmp(kind, "devices"))
		gpu_pci_name(party->set->fd[pick(party, party->set->n)], name,
			     sizeof(name));
	else
		snprintf(name, sizeof(name), "igt-%u", pick(party, NAMES));
	snprintf(path, size, CFS "/%s/%s", kind, name);
}

/* Only what belongs there would be too friendly, all else too rare a hit. */
static void some_write(struct party *party, const char *dir)
{
	const char *value = values[pick(party, ARRAY(values))];
	char path[256], junk[64];
	unsigned int i;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir,
		 files[pick(party, ARRAY(files))]);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	if (pick(party, 20)) {
		i = write(fd, value, strlen(value));
	} else {
		for (i = 0; i < sizeof(junk); i++)
			junk[i] = pick(party, 256);
		i = write(fd, junk, 1 + pick(party, sizeof(junk)));
	}
	close(fd);
}

static int some_read(struct party *party, const char *dir)
{
	char path[256], buf[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir,
		 files[pick(party, ARRAY(files))]);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf));
	close(fd);
	/* One line, unless the directory is gone. */
	return n < 0 || (n && memchr(buf, '\n', n) == buf + n - 1) ? 0 :
								      -EILSEQ;
}

static int fuzz_one(struct party *party)
{
	const char *kind = kinds[pick(party, ARRAY(kinds))];
	char dir[192], other[192], path[256], text[8192];

	some_dir(party, kind, dir, sizeof(dir));
	if (!pick(party, 10))
		snprintf(dir, sizeof(dir), CFS "/default");
	switch (pick(party, 16)) {
	case 0 ... 2:
		mkdir(dir, 0755);
		break;
	case 3:
		rmdir(dir);
		break;
	case 4 ... 5:
		some_dir(party, "rules", dir, sizeof(dir));
		some_dir(party, "policies", other, sizeof(other));
		snprintf(path, sizeof(path), "%s/%u", dir, pick(party, 2));
		if (symlink(other, path) && errno == EFAULT)
			return -EFAULT;
		break;
	case 6:
		some_dir(party, "rules", dir, sizeof(dir));
		snprintf(path, sizeof(path), "%s/%u", dir, pick(party, 2));
		unlink(path);
		break;
	case 7:
		some_dir(party, "policies", dir, sizeof(dir));
		snprintf(path, sizeof(path), "%s/live", dir);
		config_set(path, pick(party, 3) ? "1" : "0");
		break;
	case 8 ... 12:
		some_write(party, dir);
		break;
	case 13:
		snprintf(path, sizeof(path), "%u/policy",
			 *(uint32_t *)party->data);
		if (!debugfs_read(path, text, sizeof(text)) ||
		    !strstr(text, "policy: "))
			return -EIO;
		break;
	default:
		return some_read(party, dir);
	}
	return 0;
}

static int round_fuzz(struct party *party)
{
	int i, ret = 0;

	for (i = 0; i < OPS && !ret; i++)
		ret = fuzz_one(party);
	return ret;
}

static int round_fill(struct party *party)
{
	char *p = mmap(NULL, SZ_64K, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, party->k + 1, SZ_64K);
	size_t i;
	int ret;

	if (p == MAP_FAILED)
		return -errno;
	ret = crowd_job(party, &cmd, 1);
	for (i = 0; !ret && i < SZ_64K; i += 512)
		ret = p[i] == (char)(party->k + 1) ? 0 : -EILSEQ;
	munmap(p, SZ_64K);
	return ret;
}

static void fuzz(struct vsvm_set *set)
{
	const char *env = getenv("MSVM_SEED");
	unsigned long seed = env ? strtoul(env, NULL, 0) :
				   (unsigned long)vsvm_now();
	const char *refs = "/sys/module/drm_msvm/refcnt";
	long before;
	uint32_t id;
	int i;

	igt_require_f(!access(CFS, W_OK), "no configfs of drm_msvm\n");
	cfs_clean();
	before = file_number(refs);
	igt_info("MSVM_SEED=%lu\n", seed);
	id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	for (i = 0; i < FUZZERS; i++)
		states[i] = (seed + i) * 0x9e3779b97f4a7c15ULL + 1;

	crowd_begin();
	for (i = 0; i < FUZZERS; i++)
		crowd_add(set, -1, round_fuzz, &id);
	for (i = 0; i < set->n && i < 4; i++)
		crowd_add(set, i, round_fill, NULL);
	crowd_start();
	crowd_wait(vsvm_scale(25, 6));
	crowd_stop();

	cfs_clean();
	config_listing(CFS "/policies", NULL, 0);
	config_listing(CFS "/rules", NULL, 0);
	config_listing(CFS "/devices", NULL, 0);
	igt_assert_eq(file_number(refs), before);
	policy_expect(id, "policy", "default");
}

/* The default policy as it was. */
static void defaults(void)
{
	static const struct {
		const char *name;
		const char *value;
	} all[] = {
		/* First what would not go together with what is there. */
		{ "placement", "first-touch" }, { "thrash_threshold", "0" },
		{ "map_mode", "lazy" },
		{ "peer_access", "on" }, { "prefetch", "none" },
		{ "evict_to", "system" }, { "chunk_sizes", "2M 64K 4K" },
		{ "prefetch_percent", "51" }, { "migrate_threshold", "3" },
		{ "migrate_window_ms", "100" }, { "thrash_reset_ms", "1000" },
		{ "thrash_window_us", "500" }, { "thrash_threshold", "3" },
		{ "thrash_throttle_us", "500" },
		{ "thrash_max_throttles", "10" }, { "thrash_pin_ms", "150" },
		{ "thrash_max_resets", "4" }, { "timeslice_ms", "0" },
		{ "interleave_kib", "2048" }, { "preferred_devices", "\n" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY(all); i++)
		config_put(config_path(CFS "/default/%s", all[i].name),
			   all[i].value);
}

static void wrapped(struct vsvm_set *set)
{
	fuzz(set);
	defaults();
}

igt_main
{
	each_made_run("random", "many threads do whatever they like", MSVM_ONLY,
		      gpu_attrs, wrapped);

	igt_fixture {
		cfs_clean();
		defaults();
		vsvm_placement("system");
	}
}
