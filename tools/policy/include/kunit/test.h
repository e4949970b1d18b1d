/* SPDX-License-Identifier: MIT */
/*
 * As much of KUnit as the tests of the policy engine use: cases run one after the
 * other, an expectation that fails is printed, an assertion ends its case.
 */
#ifndef __POLICY_KUNIT_TEST_H__
#define __POLICY_KUNIT_TEST_H__

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bits.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define GFP_KERNEL		0

struct kunit {
	jmp_buf abort;
	unsigned int failures;
	void *memory[64];
	unsigned int nr_memory;
};

struct kunit_case {
	void (*run)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	struct kunit_case *test_cases;
	struct kunit_suite *next;
};

void kunit_register(struct kunit_suite *suite);
void kunit_fail(struct kunit *test, const char *file, int line,
		const char *what, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

#define KUNIT_CASE(function)	{ .run = (function), .name = #function }

#define kunit_test_suite(suite)						\
	static void __attribute__((constructor)) register_##suite(void)	\
	{								\
		kunit_register(&(suite));				\
	}								\
	extern int __policy_semicolon

static inline void *kunit_kzalloc(struct kunit *test, size_t size, int flags)
{
	void *memory;

	(void)flags;
	/* What can't be remembered would not be freed. */
	if (test->nr_memory == ARRAY_SIZE(test->memory))
		return NULL;
	memory = calloc(1, size);
	if (memory)
		test->memory[test->nr_memory++] = memory;
	return memory;
}

#define __KUNIT_TEST(test, condition, what, stop, ...) do {		\
	struct kunit *__test = (test);					\
									\
	if (!(condition)) {						\
		kunit_fail(__test, __FILE__, __LINE__, what,		\
			   __VA_ARGS__);				\
		if (stop)						\
			longjmp(__test->abort, 1);			\
	}								\
} while (0)

#define __KUNIT_COMPARE(test, a, op, b, stop, format, ...) do {		\
	__auto_type __a = (a);						\
	__typeof__(b) __b = (b);					\
									\
	__KUNIT_TEST(test, __a op __b, #a " " #op " " #b, stop,		\
		     "%lld and %lld " format, (long long)__a,		\
		     (long long)__b, ##__VA_ARGS__);			\
} while (0)

#define KUNIT_EXPECT_EQ(t, a, b)	__KUNIT_COMPARE(t, a, ==, b, 0, "")
#define KUNIT_EXPECT_NE(t, a, b)	__KUNIT_COMPARE(t, a, !=, b, 0, "")
#define KUNIT_EXPECT_LT(t, a, b)	__KUNIT_COMPARE(t, a, <, b, 0, "")
#define KUNIT_EXPECT_LE(t, a, b)	__KUNIT_COMPARE(t, a, <=, b, 0, "")
#define KUNIT_EXPECT_GT(t, a, b)	__KUNIT_COMPARE(t, a, >, b, 0, "")
#define KUNIT_EXPECT_GE(t, a, b)	__KUNIT_COMPARE(t, a, >=, b, 0, "")
#define KUNIT_ASSERT_EQ(t, a, b)	__KUNIT_COMPARE(t, a, ==, b, 1, "")
#define KUNIT_ASSERT_LT(t, a, b)	__KUNIT_COMPARE(t, a, <, b, 1, "")
#define KUNIT_EXPECT_EQ_MSG(t, a, b, ...) \
	__KUNIT_COMPARE(t, a, ==, b, 0, __VA_ARGS__)
#define KUNIT_EXPECT_TRUE(t, a)		__KUNIT_TEST(t, a, #a, 0, "%s", "")
#define KUNIT_EXPECT_TRUE_MSG(t, a, ...) __KUNIT_TEST(t, a, #a, 0, __VA_ARGS__)
#define KUNIT_EXPECT_FALSE(t, a)	__KUNIT_TEST(t, !(a), "!" #a, 0, "%s", "")
#define KUNIT_ASSERT_TRUE(t, a)		__KUNIT_TEST(t, a, #a, 1, "%s", "")
#define KUNIT_EXPECT_NOT_NULL(t, a)	__KUNIT_TEST(t, a, #a, 0, "%s", "")
#define KUNIT_ASSERT_NOT_NULL(t, a)	__KUNIT_TEST(t, a, #a, 1, "%s", "")
#define KUNIT_EXPECT_PTR_EQ(t, a, b)	__KUNIT_TEST(t, (a) == (b), #a, 0, "%s", "")
#define KUNIT_EXPECT_STREQ(t, a, b)	__KUNIT_TEST(t, !strcmp(a, b), #a, 0, "%s", a)

#endif
