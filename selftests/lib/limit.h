/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a program of the tests waits for something before it says that it did not
 * come. Such a limit only bounds a failure: nothing passes by it. HOODY_SLOW makes all
 * of them so many times longer, as in tap.sh, for kernels that check what they do.
 */
#ifndef HOODY_SELFTESTS_LIMIT_H
#define HOODY_SELFTESTS_LIMIT_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* @seconds where nothing is slow (at most an hour): what they are here. */
static inline int limit_seconds(int seconds)
{
	const char *slow = getenv("HOODY_SLOW");
	long factor = slow ? strtol(slow, NULL, 10) : 1;

	return seconds * (int)(factor < 1 ? 1 : factor > 100 ? 100 : factor);
}

/* The same for poll(). */
static inline int limit_ms(int seconds)
{
	return limit_seconds(seconds) * 1000;
}

/* Microseconds of the monotonic clock. */
static inline uint64_t limit_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

/* When limit_now_us() is past what @seconds from now are. */
static inline uint64_t limit_end_us(int seconds)
{
	return limit_now_us() + limit_seconds(seconds) * 1000000ull;
}

#endif /* HOODY_SELFTESTS_LIMIT_H */
