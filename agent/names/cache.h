/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that may be given again, each container's its own: what one asked tells
 * another nothing. Bounded; the longest unused goes first.
 */
#ifndef HOODY_NAMES_CACHE_H
#define HOODY_NAMES_CACHE_H

#include "lib/id.h"
#include "names/message.h"

#define NAMES_CACHE_MAX		4096		/* answers */
#define NAMES_CACHE_CONTAINER	512		/* of one container: others keep theirs */
#define NAMES_CACHE_BYTES	4096		/* of one; larger ones are asked again */
#define NAMES_CACHE_TTL		86400		/* seconds, whatever the answer says */

struct names_cache;

struct names_cache *names_cache_create(void);
void names_cache_destroy(struct names_cache *cache);
/* Rules or servers have changed: nothing of before is given again. */
void names_cache_clear(struct names_cache *cache);

/* @now in milliseconds. What does not fit is not kept. */
void names_cache_put(struct names_cache *cache, const uint8_t id[ID_LEN],
		     const struct names_question *question, const unsigned char *answer, size_t len,
		     uint32_t ttl, uint64_t now);
/* The answer and its age in seconds, until the next call; NULL: none. */
const unsigned char *names_cache_get(struct names_cache *cache, const uint8_t id[ID_LEN],
				     const struct names_question *question, uint64_t now,
				     size_t *len, uint32_t *age);

#endif /* HOODY_NAMES_CACHE_H */
