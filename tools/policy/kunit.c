// SPDX-License-Identifier: MIT
/*
 * Runs the KUnit tests of the policy engine as a program: all suites that are
 * linked in. Prints one line per case; the exit status says whether all passed.
 */
#include <stdarg.h>

#include <kunit/test.h>

static struct kunit_suite *suites;

void kunit_register(struct kunit_suite *suite)
{
	struct kunit_suite **at = &suites;

	while (*at && strcmp((*at)->name, suite->name) < 0)
		at = &(*at)->next;
	suite->next = *at;
	*at = suite;
}

void kunit_fail(struct kunit *test, const char *file, int line,
		const char *what, const char *format, ...)
{
	va_list args;

	/* A few say enough; a random test would have thousands. */
	if (++test->failures > 20)
		return;
	printf("    # %s:%d: %s: ", file, line, what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* Run a case; its memory is freed whatever happens. */
static unsigned int run_case(const struct kunit_case *run)
{
	struct kunit *test = calloc(1, sizeof(*test));
	unsigned int failures;

	if (!test)
		return 1;
	if (!setjmp(test->abort))
		run->run(test);
	failures = test->failures;
	while (test->nr_memory)
		free(test->memory[--test->nr_memory]);
	free(test);
	return failures;
}

int main(void)
{
	unsigned int failed = 0, ran = 0, failures;
	struct kunit_suite *suite;
	struct kunit_case *run;

	for (suite = suites; suite; suite = suite->next) {
		for (run = suite->test_cases; run->run; run++) {
			failures = run_case(run);
			printf("%s %s@%s\n", failures ? "not ok" : "ok",
			       suite->name, run->name);
			failed += !!failures;
			ran++;
		}
	}
	printf("%u cases, %u failed\n", ran, failed);
	return failed || !ran;
}
