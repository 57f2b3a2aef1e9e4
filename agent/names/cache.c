// SPDX-License-Identifier: Apache-2.0
/* Kept answers, see cache.h. */
#include "names/cache.h"

#include "lib/list.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS	1024

struct kept {
	struct list	used;		/* cache->used, the latest last */
	struct kept	*next;		/* in its bucket */
	uint8_t		id[ID_LEN];
	uint16_t	type;
	uint8_t		flags;
	uint32_t	ttl;
	uint64_t	stored;
	size_t		len;
	char		name[NAMES_TEXT_MAX];
	unsigned char	bytes[];
};

struct names_cache {
	struct list	used;
	size_t		count;
	struct kept	*buckets[BUCKETS];
};

static uint8_t flags_of(const struct names_question *question)
{
	return (uint8_t)(question->signatures | question->unchecked << 1 |
			 question->recursion << 2);
}

static struct kept **bucket(struct names_cache *cache, const uint8_t id[ID_LEN], const char *name,
			    uint16_t type)
{
	uint64_t hash = id_hash(id) + type;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
	return &cache->buckets[(hash ^ hash >> 32) % BUCKETS];
}

static void drop(struct names_cache *cache, struct kept *kept)
{
	struct kept **link = bucket(cache, kept->id, kept->name, kept->type);

	while (*link != kept)
		link = &(*link)->next;
	*link = kept->next;
	list_del(&kept->used);
	cache->count--;
	free(kept);
}

static struct kept *oldest(struct names_cache *cache)
{
	return container_of(cache->used.next, struct kept, used);
}

struct names_cache *names_cache_create(void)
{
	struct names_cache *cache = calloc(1, sizeof(*cache));

	if (cache)
		list_setup(&cache->used);
	return cache;
}

void names_cache_clear(struct names_cache *cache)
{
	while (cache->count)
		drop(cache, oldest(cache));
}

void names_cache_destroy(struct names_cache *cache)
{
	if (cache)
		names_cache_clear(cache);
	free(cache);
}

static struct kept *find(struct names_cache *cache, const uint8_t id[ID_LEN],
			 const struct names_question *question)
{
	struct kept *kept = *bucket(cache, id, question->name, question->type);

	while (kept && (memcmp(kept->id, id, ID_LEN) || kept->type != question->type ||
			kept->flags != flags_of(question) || strcmp(kept->name, question->name)))
		kept = kept->next;
	return kept;
}

/* For one more of the container @id: its own oldest goes first where it has its share. */
static void make_room(struct names_cache *cache, const uint8_t id[ID_LEN])
{
	struct kept *kept, *first = NULL;
	size_t count = 0;

	list_for_each_entry(kept, &cache->used, used) {
		if (memcmp(kept->id, id, ID_LEN))
			continue;
		if (!count++)
			first = kept;
	}
	if (count >= NAMES_CACHE_CONTAINER)
		drop(cache, first);
	while (cache->count >= NAMES_CACHE_MAX)
		drop(cache, oldest(cache));
}

void names_cache_put(struct names_cache *cache, const uint8_t id[ID_LEN],
		     const struct names_question *question, const unsigned char *answer, size_t len,
		     uint32_t ttl, uint64_t now)
{
	struct kept *kept = find(cache, id, question), **head;

	if (kept)
		drop(cache, kept);
	if (!ttl || len > NAMES_CACHE_BYTES)
		return;
	make_room(cache, id);
	kept = calloc(1, sizeof(*kept) + len);
	if (!kept)
		return;
	memcpy(kept->id, id, ID_LEN);
	kept->type = question->type;
	kept->flags = flags_of(question);
	kept->ttl = ttl < NAMES_CACHE_TTL ? ttl : NAMES_CACHE_TTL;
	kept->stored = now;
	kept->len = len;
	strcpy(kept->name, question->name);
	memcpy(kept->bytes, answer, len);
	head = bucket(cache, id, question->name, question->type);
	kept->next = *head;
	*head = kept;
	list_add_tail(&kept->used, &cache->used);
	cache->count++;
}

const unsigned char *names_cache_get(struct names_cache *cache, const uint8_t id[ID_LEN],
				     const struct names_question *question, uint64_t now,
				     size_t *len, uint32_t *age)
{
	struct kept *kept = find(cache, id, question);

	if (!kept)
		return NULL;
	*age = (uint32_t)((now - kept->stored) / 1000);
	if (*age >= kept->ttl) {
		drop(cache, kept);
		return NULL;
	}
	list_del(&kept->used);
	list_add_tail(&kept->used, &cache->used);
	*len = kept->len;
	return kept->bytes;
}
