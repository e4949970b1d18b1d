/* SPDX-License-Identifier: MIT */
/*
 * The randomised stress: a process's memory and a model of it. Every operation,
 * by a GPU or by the process, is applied to both; they must stay the same, byte
 * for byte and error for error. Which operations come depends on the seed only.
 */
#ifndef LIB_STRESS_H
#define LIB_STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vsvm.h"

#define STRESS_MAX_VIEWS	9
#define STRESS_MAX_BACKINGS	8
#define STRESS_MAX_JOBS		6
#define STRESS_MAX_CMDS		5
#define STRESS_MAX_FOOTPRINTS	(2 * STRESS_MAX_CMDS)
#define STRESS_MAX_CHILDREN	2
#define STRESS_LOG		24
/* &stress_view.prot of a page that is not there. */
#define STRESS_UNMAPPED		0xff

enum stress_kind {
	STRESS_ANON,
	STRESS_SHARED,
	STRESS_PRIVATE,
};

/**
 * struct stress_backing - Bytes, wherever they are mapped.
 * @kind: Whose pages they are.
 * @fd: File, or -1.
 * @pages: Number of pages.
 * @file_pages: Current size of the file.
 * @shadow: What the bytes must be; GPUs never get this memory.
 * @file: STRESS_PRIVATE: what the file itself holds.
 * @readers: Jobs under way that read the page.
 * @writers: Jobs under way that write the page.
 */
struct stress_backing {
	enum stress_kind kind;
	int fd;
	unsigned int pages;
	unsigned int file_pages;
	unsigned char *shadow;
	unsigned char *file;
	unsigned char *readers;
	unsigned char *writers;
};

/**
 * struct stress_view - Addresses with memory that operations are made on.
 * @name: For messages.
 * @base: First address.
 * @pages: Number of pages.
 * @unit: Pages that go together (hugetlb), else 1.
 * @advice: madvise() value for new mappings, or -1.
 * @back: The bytes.
 * @map: For each page that is there: which page of @back.
 * @prot: For each page: PROT_*, or STRESS_UNMAPPED.
 * @users: Jobs under way that touch the page, there or not.
 * @island: Pages of the background threads: no operation touches them.
 */
struct stress_view {
	const char *name;
	char *base;
	unsigned int pages;
	unsigned int unit;
	int advice;
	struct stress_backing *back;
	unsigned int *map;
	unsigned char *prot;
	unsigned char *users;
	unsigned char *island;
};

/* Pages of a view. */
struct stress_span {
	struct stress_view *view;
	unsigned int first;
	unsigned int n;
	bool write;
};

/**
 * struct stress_job - A job under way, and how it must end.
 * @active: It is under way.
 * @waits: It waits for a value that a GPU has still to write.
 * @gpu: GPU it was given to.
 * @id: Its number.
 * @step: Step that made it.
 * @n: Number of commands.
 * @cmds: Commands.
 * @spans: What it touches.
 * @nr_spans: Number of @spans.
 * @status: Status it must end with.
 * @cmd_index: Command that must fail.
 * @fault_addr: Address that must fail.
 * @fault_access: DRM_VSVM_ACCESS_* of it.
 * @results: GPUs write results and the user fence here.
 * @expect: What must be there at the end.
 */
struct stress_job {
	bool active;
	bool waits;
	int gpu;
	uint64_t id;
	unsigned int step;
	int n;
	struct drm_vsvm_cmd cmds[STRESS_MAX_CMDS];
	struct stress_span spans[STRESS_MAX_FOOTPRINTS];
	int nr_spans;
	int status;
	unsigned int cmd_index;
	uint64_t fault_addr;
	uint32_t fault_access;
	uint64_t *results;
	uint64_t expect[STRESS_MAX_CMDS + 1];
};

/*
 * What a stress does, each counted. FOR_STRESS_VERBS(X) is X(NAME) for all of them;
 * those of device memory need GPUs that have some.
 */
#define FOR_STRESS_VERBS(X) \
	X(JOB) X(FULL_CHECK) X(MUNMAP) X(MMAP) X(PROTECT) X(UNPROTECT) X(HEAL) \
	X(MREMAP) X(DONTNEED) X(ADVISE) X(CPU_WRITE) X(CPU_READ) X(MLOCK) \
	X(TRUNCATE) X(PUNCH) X(FORK_EXIT) X(FORK_CHILD) X(LEAVE) X(JOIN)
#define FOR_STRESS_VRAM_VERBS(X) \
	X(TO_GPU) X(TO_SYSTEM) X(MOVE_RESULTS) X(PREFETCH) X(WAIT_VALUE) \
	X(KEEP) X(KEEP_FAILS) X(UNKEEP) X(LIMIT) X(RESET) X(DROP) X(UNPLUG) \
	X(UNPLUG_BUSY) X(PLUG) X(DESTROY_BUSY) X(PLACEMENT) X(EVICT_TO) \
	X(FAIL_COPY) X(FREE) X(EVICTION) X(ATTR) X(ATTR_REFUSED) X(BIND) \
	X(BIND_FAILS)

#define STRESS_VERB(name) STRESS_VERB_##name,
enum stress_verb {
	FOR_STRESS_VERBS(STRESS_VERB)
	FOR_STRESS_VRAM_VERBS(STRESS_VERB)
	STRESS_VERBS
};

/* What kind of GPUs a run has. */
enum stress_gpus {
	/* Those that the guest has. */
	STRESS_GPUS_PLAIN,
	/* With little memory each, that no other reaches. */
	STRESS_GPUS_VRAM,
	/* That all others reach. */
	STRESS_GPUS_PEERS,
	/* Sizes, neighbours and ways of faulting that differ. */
	STRESS_GPUS_MIXED,
};

/* Most intervals kept mapped for a GPU at a time. */
#define STRESS_MAX_KEPT	2

struct stress_child {
	pid_t pid;
	int go;
};

/**
 * struct stress - One run.
 * @set: The GPUs.
 * @kind: What kind of GPUs they are.
 * @joined: GPUs that have a VM now.
 * @plugged: GPUs that there are now.
 * @kept: Intervals kept mapped for each GPU.
 * @nr_kept: Numbers of them.
 * @pack: Verbs of device memory that come next.
 * @nr_pack: Number of them.
 * @engines: Engines of each GPU.
 * @seed: What all decisions come from.
 * @random: State of the generator.
 * @step: Number of the current step.
 * @steps: How many there will be.
 * @subtest: For the command that replays the run.
 * @views: Memory.
 * @nr_views: Number of @views.
 * @backs: Bytes behind them.
 * @nr_backs: Number of @backs.
 * @jobs: Jobs under way.
 * @children: Children that look at their copy later.
 * @results: Results of all jobs.
 * @flags: A value for each job, that it may wait for.
 * @out: Buffer that GPUs copy to for checking.
 * @log: The last operations.
 * @nr_log: Number of operations logged.
 * @nr_jobs: Number of jobs run.
 * @nr_failed: Jobs of them that had to fail, and did.
 */
struct stress {
	struct vsvm_set set;
	enum stress_gpus kind;
	bool joined[VSVM_MAX_SET];
	bool plugged[VSVM_MAX_SET];
	struct stress_span kept[VSVM_MAX_SET][STRESS_MAX_KEPT];
	int nr_kept[VSVM_MAX_SET];
	unsigned char pack[64];
	unsigned int nr_pack;
	unsigned int engines;
	uint64_t seed;
	uint64_t random;
	unsigned int step;
	unsigned int steps;
	const char *subtest;
	struct stress_view views[STRESS_MAX_VIEWS];
	int nr_views;
	struct stress_backing backs[STRESS_MAX_BACKINGS];
	int nr_backs;
	struct stress_job jobs[STRESS_MAX_JOBS];
	struct stress_child children[STRESS_MAX_CHILDREN];
	uint64_t *results;
	uint64_t *flags;
	char *out;
	char log[STRESS_LOG][160];
	unsigned int nr_log;
	unsigned int nr_jobs;
	unsigned int nr_failed;
};

#define STRESS_OUT_PAGES 256

/* stress.c */
void stress_run(struct stress *s, const char *subtest, int gpus, uint32_t layout,
		enum stress_gpus kind, uint64_t seed, unsigned int steps);
void stress_clean(struct stress *s);
uint64_t stress_random(struct stress *s);
unsigned int stress_below(struct stress *s, unsigned int n);
void stress_note(struct stress *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void stress_fail(struct stress *s, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
int stress_gpu(struct stress *s);
void stress_verb(enum stress_verb verb);
void stress_verbs_print(bool all_needed);

#define stress_check(s, expr, ...) \
	do { \
		if (!(expr)) \
			stress_fail(s, __VA_ARGS__); \
	} while (0)

/* stress_model.c */
void stress_model_init(struct stress *s);
void stress_model_fini(struct stress *s);
struct stress_span stress_span(struct stress *s, unsigned int max);
bool stress_span_idle(const struct stress_span *span, bool content);
char *stress_addr(const struct stress_view *view, unsigned int page);
int stress_access(const struct stress_view *view, unsigned int page, bool write);
unsigned char *stress_shadow(const struct stress_view *view, unsigned int page);
void stress_map(struct stress *s, const struct stress_span *span,
		unsigned int from, int prot);
void stress_predict(struct stress *s, struct stress_job *job);

/* stress_jobs.c */
void stress_job_new(struct stress *s);
void stress_job_wait(struct stress *s, struct stress_job *job);
void stress_job_wait_any(struct stress *s);
void stress_job_wait_gpu(struct stress *s, int gpu);
void stress_job_abandon_gpu(struct stress *s, int gpu);
struct drm_vsvm_wait stress_job_sync(struct stress *s, int gpu,
				     struct drm_vsvm_cmd cmd);
int stress_jobs_active(struct stress *s);

/* stress_mm.c */
void stress_mm_op(struct stress *s);
void stress_children_end(struct stress *s);

/* stress_vram.c */
void stress_vram_open(struct stress *s, int gpus);
void stress_vram_close(struct stress *s);
void stress_vram_op(struct stress *s);
void stress_vram_end(struct stress *s);
void stress_vram_check(struct stress *s);

/* stress_bind.c */
void stress_bind(struct stress *s);

/* stress_check.c */
void stress_check_cpu(struct stress *s, const struct stress_span *span);
void stress_check_gpu(struct stress *s, int gpu, const struct stress_span *span);
void stress_check_all(struct stress *s);

/* stress_chaos.c */
void stress_chaos_start(struct stress *s);
void stress_chaos_stop(void);
void stress_chaos_pause(void);
void stress_chaos_resume(void);
void stress_system_prepare(void);
void stress_system_restore(void);

#endif /* LIB_STRESS_H */
