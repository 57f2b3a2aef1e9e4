/* SPDX-License-Identifier: Apache-2.0 */
/* A leaky bucket: events that are too many in too short a time. */
#ifndef HOODY_FRONT_BUCKET_H
#define HOODY_FRONT_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct front_bucket {
	uint32_t	level;
	uint64_t	since;	/* loop time of the last leak, milliseconds */
};

/* One more event; false where it is over @burst. @pace: how many a second leak away. */
static inline bool front_bucket_take(struct front_bucket *bucket, uint64_t now, uint32_t burst,
				     uint32_t pace)
{
	uint64_t leaked = (now - bucket->since) * pace / 1000;

	if (leaked) {
		bucket->level = leaked < bucket->level ? bucket->level - leaked : 0;
		bucket->since = now;
	}
	return ++bucket->level <= burst;
}

#endif /* HOODY_FRONT_BUCKET_H */
