// SPDX-License-Identifier: MIT
/*
 * What the kernel is at when something that was waited for does not come, see hang.h.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "hang.h"
#include "igt_compat.h"

#define DEBUGFS	"/sys/kernel/debug/drm_msvm/"
/* Of a file: the rest tells nothing more. */
#define MOST	8192

/* Read the beginning of a file. Return: whether there was something. */
static bool slurp(const char *path, char *text)
{
	FILE *file = fopen(path, "re");
	size_t n = 0;

	if (file) {
		n = fread(text, 1, MOST - 1, file);
		fclose(file);
	}
	text[n] = 0;
	return n;
}

static void show(const char *what, const char *text)
{
	igt_info("%s:\n%s%s", what, text,
		 *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
}

/* The stacks of threads that are in one of the modules, or wait in userfaultfd. */
static void show_stacks(const char *process)
{
	static char text[MOST], comm[MOST];
	char path[320], what[384];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", process);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%.20s/stack", process,
			 entry->d_name);
		if (!slurp(path, text) ||
		    !(strstr(text, "svm") || strstr(text, "handle_userfault")))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%.20s/comm", process,
			 entry->d_name);
		slurp(path, comm);
		comm[strcspn(comm, "\n")] = 0;
		snprintf(what, sizeof(what), "thread %.20s (%.32s)",
			 entry->d_name, comm);
		show(what, text);
	}
	if (dir)
		closedir(dir);
}

static void for_numbers(const char *path, void (*show_one)(const char *))
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir && (entry = readdir(dir)))
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			show_one(entry->d_name);
	if (dir)
		closedir(dir);
}

static void show_context(const char *id)
{
	static const char * const files[] = {
		"members", "stats", "ranges", NULL
	};
	static char text[MOST];
	char path[320];
	unsigned int i;

	for (i = 0; files[i]; i++) {
		snprintf(path, sizeof(path), DEBUGFS "%.20s/%s", id, files[i]);
		if (slurp(path, text))
			show(path, text);
	}
}

void hang_report(void)
{
	static char text[MOST];

	igt_info("what the kernel is at:\n");
	for_numbers("/proc", show_stacks);
	if (slurp(DEBUGFS "queues", text))
		show(DEBUGFS "queues", text);
	for_numbers(DEBUGFS, show_context);
}
