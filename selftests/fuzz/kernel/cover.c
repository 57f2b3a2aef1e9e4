// SPDX-License-Identifier: Apache-2.0
/* Coverage of the module, see cover.h. */
#include "kernel/cover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcov.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define ENTRIES		(256u << 10)	/* a message of the longest kind reaches some thousands */
#define EDGES		(64u << 10)
#define PLACES		(64u << 10)	/* the module's text is smaller than its square */

/* libFuzzer clears it before an input, and takes what is not 0 for an edge. */
__attribute__((used, section("__libfuzzer_extra_counters"))) static uint8_t edges[EDGES];

static uint64_t *area;
static uint64_t places[PLACES];		/* open addressing; 0: free */
static unsigned int places_count;

void cover_open(void)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, KCOV_INIT_TRACE, (unsigned long)ENTRIES))
		goto fail;
	area = mmap(NULL, ENTRIES * sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		goto fail;
	return;
fail:
	fprintf(stderr, "no coverage of the kernel (CONFIG_KCOV, debugfs): %s\n", strerror(errno));
	exit(1);
}

static uint32_t mix(uint64_t value)
{
	return (uint32_t)((value * 0x9e3779b97f4a7c15ull) >> 40);
}

static void note_place(uint64_t place)
{
	uint32_t at = mix(place) % PLACES;

	while (places[at] && places[at] != place)
		at = (at + 1) % PLACES;
	if (places[at] || places_count == PLACES / 2)
		return;
	places[at] = place;
	places_count++;
}

void cover_begin(void)
{
	__atomic_store_n(&area[0], 0, __ATOMIC_RELAXED);
}

/* An edge is two places, one after the other. */
void cover_end(void)
{
	const uint64_t count = __atomic_load_n(&area[0], __ATOMIC_RELAXED);
	uint64_t before = 0;

	for (uint64_t i = 1; i <= count && i < ENTRIES; i++) {
		uint8_t *edge = &edges[mix(area[i] + before * 31) % EDGES];

		*edge += *edge != UINT8_MAX;
		before = area[i];
		note_place(area[i]);
	}
}

unsigned int cover_places(void)
{
	return places_count;
}
