/* SPDX-License-Identifier: MIT */
/*
 * The entry points of IGT's library that the tests use, for building them
 * outside of an IGT tree: distributions ship libigt without headers. Inside an
 * IGT tree the real "igt.h" takes its place (MSVM_IN_IGT_TREE).
 */
#ifndef IGT_COMPAT_H
#define IGT_COMPAT_H

#ifdef MSVM_IN_IGT_TREE
#include "igt.h"
#else

#include <getopt.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

enum igt_log_level {
	IGT_LOG_DEBUG,
	IGT_LOG_INFO,
	IGT_LOG_WARN,
	IGT_LOG_CRITICAL,
	IGT_LOG_NONE,
};

extern const char *igt_test_description__;
extern jmp_buf igt_subtest_jmpbuf;

int igt_subtest_init_parse_opts(int *argc, char **argv,
				const char *extra_short_opts,
				const struct option *extra_long_opts,
				const char *help_str,
				int (*extra_opt_handler)(int opt, int index,
							 void *data),
				void *handler_data);
bool __igt_run_subtest(const char *subtest_name, const char *file,
		       const int line);
bool __igt_fixture(void);
void __igt_fixture_complete(void);
void igt_describe_f(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
void igt_success(void);
void igt_exit(void) __attribute__((noreturn));
void __igt_skip_check(const char *file, const int line, const char *func,
		      const char *check, const char *format, ...)
	__attribute__((noreturn, format(printf, 5, 6)));
void __igt_fail_assert(const char *domain, const char *file, const int line,
		       const char *func, const char *assertion,
		       const char *format, ...)
	__attribute__((noreturn, format(printf, 6, 7)));
void igt_log(const char *domain, enum igt_log_level level, const char *format,
	     ...) __attribute__((format(printf, 3, 4)));
bool __igt_fork(void);
void igt_waitchildren(void);

#define IGT_LOG_DOMAIN ((const char *)NULL)

#define igt_subtest(name) \
	for (; __igt_run_subtest((name), __FILE__, __LINE__) && \
	     (setjmp(igt_subtest_jmpbuf) == 0); igt_success())

#define igt_fixture \
	for (volatile int fixture_once = 0; fixture_once < 1 && \
	     __igt_fixture() && (setjmp(igt_subtest_jmpbuf) == 0); \
	     fixture_once++, __igt_fixture_complete())

#define IGT_OPT_HANDLER_SUCCESS 0
#define IGT_OPT_HANDLER_ERROR -2

#define igt_main_args(short_opts, long_opts, help_str, opt_handler, data) \
	static void igt_tests(void); \
	int main(int argc, char **argv) \
	{ \
		igt_subtest_init_parse_opts(&argc, argv, short_opts, long_opts, \
					    help_str, opt_handler, data); \
		igt_tests(); \
		igt_exit(); \
	} \
	static void igt_tests(void)

#define igt_main igt_main_args("", NULL, NULL, NULL, NULL)

#define igt_describe(text) igt_describe_f("%s", text)

#define igt_info(...) igt_log(IGT_LOG_DOMAIN, IGT_LOG_INFO, __VA_ARGS__)

#define igt_require_f(expr, ...) \
	do { \
		if (!(expr)) \
			__igt_skip_check(__FILE__, __LINE__, __func__, #expr, \
					 __VA_ARGS__); \
	} while (0)

#define igt_assert_f(expr, ...) \
	do { \
		if (!(expr)) \
			__igt_fail_assert(IGT_LOG_DOMAIN, __FILE__, __LINE__, \
					  __func__, #expr, __VA_ARGS__); \
	} while (0)

#define igt_assert(expr) igt_assert_f(expr, "\n")

#define igt_assert_eq_u64(a, b) \
	do { \
		unsigned long long left_ = (a), right_ = (b); \
		if (left_ != right_) \
			__igt_fail_assert(IGT_LOG_DOMAIN, __FILE__, __LINE__, \
					  __func__, #a " == " #b, \
					  "%llu (%#llx) != %llu (%#llx)\n", \
					  left_, left_, right_, right_); \
	} while (0)

#define igt_assert_eq(a, b) \
	do { \
		int left_ = (a), right_ = (b); \
		if (left_ != right_) \
			__igt_fail_assert(IGT_LOG_DOMAIN, __FILE__, __LINE__, \
					  __func__, #a " == " #b, \
					  "%d != %d\n", left_, right_); \
	} while (0)

#define igt_fork(child, num_children) \
	for (int child = 0; child < (num_children); child++) \
		for (; __igt_fork(); exit(0))

#endif /* MSVM_IN_IGT_TREE */
#endif /* IGT_COMPAT_H */
