// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * msvm-load: puts a known load on virtual GPUs that share the process's memory, and
 * says what it cost in faults and bytes moved. For trying policies out.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static volatile sig_atomic_t stopped;

void die(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("msvm-load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(status);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Memory whose blocks of 2 MiB hold nothing else. */
void *aligned(size_t bytes)
{
	size_t size = (bytes + PIECE - 1) / PIECE * PIECE;
	char *p = mmap(NULL, size + 2 * PIECE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die(1, "%zu bytes: %s", bytes, strerror(errno));
	return (void *)(((uintptr_t)p + PIECE) / PIECE * PIECE);
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void __attribute__((noreturn)) usage(void)
{
	const struct pattern *p;

	fputs("usage: msvm-load --pattern NAME [--gpus N] [--mib M] [--rounds R | --seconds S]\n"
	      "                 [--name COMM] [--uid N] [--seed N] [--stay]\n"
	      "  --mib     memory of the pattern, default 8 MiB\n"
	      "  --rounds  default 4; --seconds instead of it: until then, or SIGTERM\n"
	      "  --name    the name that rules match\n"
	      "  --uid     likewise the user, after the GPUs were opened\n"
	      "  --stay    after the report, until SIGTERM\n"
	      "patterns:\n", stderr);
	for (p = patterns; p->name; p++)
		fprintf(stderr, "  %-18s %s\n", p->name, p->text);
	exit(2);
}

/* A number of an option, or the end. */
static uint64_t number(const char *option, const char *text, uint64_t min,
		       uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || value < min ||
	    value > max)
		die(2, "--%s %s: %llu to %llu", option, text,
		    (unsigned long long)min, (unsigned long long)max);
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pattern", required_argument, NULL, 'p' },
		{ "gpus", required_argument, NULL, 'g' },
		{ "mib", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 's' },
		{ "name", required_argument, NULL, 'n' },
		{ "uid", required_argument, NULL, 'u' },
		{ "seed", required_argument, NULL, 'e' },
		{ "stay", no_argument, NULL, 'y' },
		{}
	};
	const struct sigaction action = { .sa_handler = stop };
	struct load load = { .gpus = 2, .bytes = 8 * MIB, .seed = 1 };
	const struct pattern *pattern = NULL, *p;
	uint64_t rounds = 4, seconds = 0, uid = UINT64_MAX, round, begin, end;
	sigset_t signals, before;
	bool stay = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			for (p = patterns; p->name && !pattern; p++)
				if (!strcmp(p->name, optarg))
					pattern = p;
			if (!pattern)
				usage();
			break;
		case 'g':
			load.gpus = number("gpus", optarg, 1, MAX_GPUS);
			break;
		case 'm':
			load.bytes = number("mib", optarg, 2, 1 << 20) * MIB;
			break;
		case 'r':
			rounds = number("rounds", optarg, 1, 1000000);
			break;
		case 's':
			seconds = number("seconds", optarg, 1, 1000000);
			break;
		case 'n':
			/* As the kernel would cut it. */
			prctl(PR_SET_NAME, optarg);
			break;
		case 'u':
			uid = number("uid", optarg, 0, UINT32_MAX - 1);
			break;
		case 'e':
			load.seed = number("seed", optarg, 1, UINT32_MAX);
			break;
		case 'y':
			stay = true;
			break;
		default:
			usage();
		}
	}
	if (!pattern || optind < argc)
		usage();
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);

	load.memory = aligned(pattern->size(&load));
	gpus_open(&load);
	if (uid != UINT64_MAX && setuid(uid))
		die(1, "--uid %llu: %s", (unsigned long long)uid, strerror(errno));
	if (pattern->begin)
		pattern->begin(&load);
	begin = now_ns();
	for (round = 0; !stopped; round++) {
		if (seconds ? now_ns() - begin >= seconds * 1000000000ULL :
			      round == rounds)
			break;
		pattern->round(&load, round);
	}
	end = now_ns();

	printf("pattern: %s\n", pattern->name);
	printf("rounds: %llu\n", (unsigned long long)round);
	printf("time_us: %llu\n", (unsigned long long)(end - begin) / 1000);
	gpus_report(&load);
	fflush(stdout);
	/* Blocked in between, so that none comes after the question. */
	sigprocmask(SIG_BLOCK, &signals, &before);
	while (stay && !stopped)
		sigsuspend(&before);
	return 0;
}
