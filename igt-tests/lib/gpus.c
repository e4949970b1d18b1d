// SPDX-License-Identifier: MIT
/*
 * GPUs made through configfs, see gpus.h. They are numbered in the order of their
 * making; gpus_remove() also takes away what a failed subtest left behind.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "each.h"
#include "failnth.h"
#include "gpus.h"

#define CONFIGFS "/sys/kernel/config/vsvm"
#define PREFIX "igt-made-"

static int made;

/* The PCI functions of the current set, as they may be numbered anew any time. */
static char pci_names[VSVM_MAX_SET][64];

static int attr_store(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Render nodes appear a moment after the GPU. */
static int node_open(const char *name)
{
	int64_t deadline = vsvm_deadline(10);
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/dev/dri/%s", name);
	while ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		igt_assert_f(vsvm_now() < deadline, "no %s\n", path);
	return fd;
}

/* A GPU that was made comes (back). Return: the open file, or an errno. */
int gpu_plug(int index)
{
	char path[160], name[64] = "";
	int fd, ret;

	snprintf(path, sizeof(path), CONFIGFS "/" PREFIX "%d/live", index);
	ret = attr_store(path, "1");
	if (ret == -ENOMEM && failnth_active()) {
		failnth_again("making a GPU");
		ret = attr_store(path, "1");
	}
	if (ret)
		return ret;

	snprintf(path, sizeof(path), CONFIGFS "/" PREFIX "%d/dev_name", index);
	fd = open(path, O_RDONLY);
	igt_assert(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0);
	close(fd);
	name[strcspn(name, "\n")] = 0;
	return node_open(name);
}

/* Make a GPU and open it. Return: the open file, or the errno of making it. */
int gpu_make(const char * const *attrs)
{
	char dir[96], path[160];
	int i, ret;

	igt_require_f(!access(CONFIGFS, W_OK), "no configfs of vsvm\n");
	snprintf(dir, sizeof(dir), CONFIGFS "/" PREFIX "%d", made);
	igt_assert(!mkdir(dir, 0755));
	made++;
	for (i = 0; attrs[i]; i++) {
		const char *value = strchr(attrs[i], '=');

		igt_assert(value);
		snprintf(path, sizeof(path), "%s/%.*s", dir,
			 (int)(value - attrs[i]), attrs[i]);
		ret = attr_store(path, value + 1);
		igt_require_f(ret != -EOPNOTSUPP,
			      "%s is not possible with this kernel\n", attrs[i]);
		igt_assert_f(!ret, "%s: %s\n", attrs[i], strerror(-ret));
	}
	return gpu_plug(made - 1);
}

/* Are the guest's own GPUs PCI functions, with memory? */
bool gpus_on_pci(void)
{
	const char *topology = getenv("MSVM_PCI");

	return topology && *topology;
}

/* Can GPUs with a common peer_group reach each other's memory? */
bool gpus_can_peer(void)
{
	return !gpus_on_pci() || strcmp(getenv("MSVM_PCI"), "ports");
}

/* Were the GPUs of the set made for it, as there were not enough on PCI? */
bool gpus_made(void)
{
	return made;
}

/* The PCI function of an open GPU. */
void gpu_pci_name(int fd, char *name, size_t size)
{
	char path[96], target[256] = "";
	struct stat st;
	const char *last;

	igt_assert(!fstat(fd, &st));
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/device",
		 major(st.st_rdev), minor(st.st_rdev));
	igt_assert(readlink(path, target, sizeof(target) - 1) > 0);
	last = strrchr(target, '/');
	snprintf(name, size, "%s", last ? last + 1 : target);
}

/* Give functions that were pulled out back to the driver. */
static void pci_rebind(void)
{
	const char *dir = "/sys/bus/pci/devices";
	struct dirent *entry;
	char path[320], text[32];
	DIR *d = opendir(dir);
	int fd;

	while (d && (entry = readdir(d))) {
		ssize_t n = 0;

		snprintf(path, sizeof(path), "%s/%s/driver", dir, entry->d_name);
		if (entry->d_name[0] == '.' || !access(path, F_OK))
			continue;
		snprintf(path, sizeof(path), "%s/%s/driver_override", dir,
			 entry->d_name);
		fd = open(path, O_RDONLY);
		if (fd >= 0)
			n = read(fd, text, sizeof(text));
		close(fd);
		if (n >= 4 && !strncmp(text, "vsvm", 4))
			igt_assert(!attr_store("/sys/bus/pci/drivers_probe",
					       entry->d_name));
	}
	if (d)
		closedir(d);
}

/* Pull a GPU out; gpus_remove() cleans up. */
int gpu_pull(int index)
{
	char path[160];

	if (!made && gpus_on_pci())
		return attr_store("/sys/bus/pci/drivers/vsvm/unbind",
				  pci_names[index]);
	snprintf(path, sizeof(path), CONFIGFS "/" PREFIX "%d/live", index);
	return attr_store(path, "0");
}

/* Pull out and forget all GPUs made so far. */
void gpus_remove(void)
{
	struct dirent *entry;
	char path[320];
	DIR *dir;

	made = 0;
	if (gpus_on_pci())
		pci_rebind();
	dir = opendir(CONFIGFS);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			continue;
		snprintf(path, sizeof(path), CONFIGFS "/%s/live", entry->d_name);
		attr_store(path, "0");
		*strrchr(path, '/') = 0;
		igt_assert_f(!rmdir(path), "%s: %s\n", path, strerror(errno));
	}
	closedir(dir);
}

int gpu_minor(int fd)
{
	struct stat st;

	igt_assert(!fstat(fd, &st));
	return minor(st.st_rdev);
}

static void gpu_path(int fd, const char *file, char *path, size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/dri/%d/%s", gpu_minor(fd), file);
}

/* A value of a GPU's "counters". */
uint64_t gpu_counter(int fd, const char *name)
{
	char path[96], line[128];
	size_t len = strlen(name);
	uint64_t value = 0;
	bool found = false;
	FILE *f;

	gpu_path(fd, "counters", path, sizeof(path));
	f = fopen(path, "r");
	igt_assert_f(f, "no %s\n", path);
	while (!found && fgets(line, sizeof(line), f)) {
		found = !strncmp(line, name, len) && line[len] == ':';
		if (found)
			value = strtoull(line + len + 1, NULL, 0);
	}
	fclose(f);
	igt_assert_f(found, "no %s in %s\n", name, path);
	return value;
}

/* Return: 0, or the negative errno of the write. */
int gpu_debugfs_try(int fd, const char *file, int value)
{
	char path[96], text[16];

	gpu_path(fd, file, path, sizeof(path));
	snprintf(text, sizeof(text), "%d", value);
	return attr_store(path, text);
}

void gpu_debugfs_write(int fd, const char *file, int value)
{
	int ret = gpu_debugfs_try(fd, file, value);

	igt_assert_f(!ret, "%s: %s\n", file, strerror(-ret));
}

/* What the oracle saw go wrong on a GPU so far, or NULL. */
const char *gpu_flaw(int fd)
{
	static const char * const names[] = {
		"stale_pte", "stale_tlb", "stale_use", "stale_dma",
		"early_unmap", "wrong_unmap", "lost_dma",
	};
	char path[96];
	unsigned int i;

	gpu_path(fd, "counters", path, sizeof(path));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!access(path, R_OK) && gpu_counter(fd, names[i]))
			return names[i];
	return NULL;
}

/* No shoot-down was missing so far, and no mapping wrong. */
void vsvm_set_check(struct vsvm_set *set)
{
	const char *flaw;
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		flaw = gpu_flaw(set->fd[gpu]);
		igt_assert_f(!flaw, "GPU %d: %s\n", gpu, flaw);
	}
}

/*
 * PCI functions serve where no more than memory and peers are asked for. Return:
 * whether they do.
 */
static bool pci_set_make(struct vsvm_set *set, int n, uint32_t layout,
			 const char * const *attrs)
{
	int i, mib = 0;

	for (i = 0; attrs[i]; i++) {
		if (!strncmp(attrs[i], "vram_mib=", 9))
			mib = atoi(attrs[i] + 9);
		else if (strncmp(attrs[i], "peer_group=", 11))
			return false;
	}
	if (!mib || !gpus_on_pci() || vsvm_count() < n)
		return false;
	vsvm_set_open(set, n, layout);
	vsvm_placement("first-touch");
	for (i = 0; i < n; i++) {
		gpu_pci_name(set->fd[i], pci_names[i], sizeof(pci_names[i]));
		gpu_debugfs_write(set->fd[i], "vram_limit_mib", mib);
	}
	return true;
}

/* Like vsvm_set_open(), with GPUs made for it. */
void vsvm_set_make(struct vsvm_set *set, int n, uint32_t layout,
		   const char * const *attrs)
{
	int i;

	vsvm_set_close(set);
	vsvm_huge_moves(false);
	gpus_remove();
	if (pci_set_make(set, n, layout, attrs))
		return;
	vsvm_placement("first-touch");
	set->layout = layout;
	for (i = 0; i < n; i++) {
		int fd = gpu_make(attrs);

		igt_assert_f(fd >= 0, "%s\n", strerror(-fd));
		set->fd[i] = fd;
		set->n = i + 1;
		set->vm[i] = vsvm_vm_create(fd, layout);
	}
}

static void made_run(const char *name, const char *text, int n, uint32_t layout,
		     const char * const *attrs,
		     void (*fn)(struct vsvm_set *set))
{
	igt_describe(text);
	igt_subtest(name) {
		vsvm_set_make(&each_set, n, layout, attrs);
		fn(&each_set);
		vsvm_set_check(&each_set);
		vsvm_set_close(&each_set);
		gpus_remove();
	}
}

void each_made_run(const char *name, const char *text, int with,
		   const char * const *attrs, void (*fn)(struct vsvm_set *set))
{
	static char full[128];
	/* A subtest that fails jumps back into this function. */
	volatile unsigned int i;

	for (i = 0; i < sizeof(vsvm_counts) / sizeof(vsvm_counts[0]); i++) {
		snprintf(full, sizeof(full), "%s-%dgpu", name, vsvm_counts[i]);
		made_run(full, text, vsvm_counts[i], DRM_VSVM_VM_LAYOUT_MSVM,
			 attrs, fn);
	}
	if (with == MSVM_ONLY)
		return;
	snprintf(full, sizeof(full), "%s-1to1-2gpu", name);
	made_run(full, text, 2, DRM_VSVM_VM_LAYOUT_1TO1, attrs, fn);
}
