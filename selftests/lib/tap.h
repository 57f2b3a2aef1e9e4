/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP 13 for test programs in C. Include it in one file; call tap_plan() first
 * and return tap_done() from main(). Exit status as kselftest has it: 0 passed,
 * 1 failed, 4 skipped as a whole.
 */
#ifndef HOODY_SELFTESTS_TAP_H
#define HOODY_SELFTESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_planned, tap_ran, tap_failed;

static inline void tap_plan(int tests)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%d\n", tests);
	tap_planned = tests;
}

/* One test point; @name is a printf format. Returns @passed. */
__attribute__((format(printf, 2, 3))) static inline bool tap_ok(bool passed, const char *name, ...)
{
	va_list args;

	tap_ran++;
	tap_failed += !passed;
	printf("%sok %d ", passed ? "" : "not ", tap_ran);
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	putchar('\n');
	return passed;
}

/* A diagnostic line. */
__attribute__((format(printf, 1, 2))) static inline void tap_note(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static inline int tap_done(void)
{
	if (tap_ran != tap_planned)
		printf("# planned %d tests, ran %d\n", tap_planned, tap_ran);
	return tap_failed || tap_ran != tap_planned;
}

#endif /* HOODY_SELFTESTS_TAP_H */
