// SPDX-License-Identifier: Apache-2.0
/* Rates and counts of clients, see limit.h. */
#include "front/limit.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SECOND		1000000000ull
#define WAYS		8	/* places that an entry may have; 128 bytes */
#define LOCKS		64
#define CLIENT_SETS	16384	/* powers of two; 2 MiB, used as they are touched */
#define TOTAL_SETS	8192	/* 1 MiB: sixteen times what all containers have together */
#define COUNTS		65536
#define HANDSHAKE_BURST	4	/* seconds' worth that pass at once */

struct entry {
	uint64_t	key;
	uint64_t	paid;	/* when all that was let in is paid for */
};

struct entries {
	pthread_mutex_t	locks[LOCKS];	/* of sets, held for some nanoseconds */
	struct entry	*entries;
	uint32_t	sets;
};

struct limit_table {
	struct entries	clients, totals;
	atomic_uint	counts[COUNTS];
	uint64_t	keys[4];
};

/* What a bucket is for. Hashed as a whole: no padding, all of it set. */
struct identity {
	uint8_t		container[IMAGE_ID_LEN];
	uint32_t	kind;
	uint64_t	client[2];	/* family, address */
	char		service[IMAGE_NAME_MAX];
};

enum identity_kind {
	IDENTITY_TOTAL,
	IDENTITY_CLIENT,
	IDENTITY_PROVEN,	/* handshakes */
	IDENTITY_UNPROVEN,
};

_Static_assert(sizeof(struct identity) % sizeof(uint64_t) == 0, "hashed in words");
_Static_assert(sizeof(struct identity) == IMAGE_ID_LEN + 4 + 16 + IMAGE_NAME_MAX, "no padding");

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* With keys that nobody knows: clients choose their addresses within reason. */
static uint64_t hash(const struct limit_table *table, const void *bytes, size_t words)
{
	uint64_t state = table->keys[0], word;

	for (size_t i = 0; i < words; i++) {
		memcpy(&word, (const char *)bytes + i * sizeof(word), sizeof(word));
		state = fold(state ^ word, table->keys[1 + i % 2]);
	}
	return fold(state ^ words, table->keys[3]);
}

static int entries_setup(struct entries *entries, uint32_t sets)
{
	entries->sets = sets;
	for (unsigned int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&entries->locks[i], NULL);
	entries->entries = calloc((size_t)sets * WAYS, sizeof(*entries->entries));
	return entries->entries ? 0 : -ENOMEM;
}

struct limit_table *limit_table_create(void)
{
	struct limit_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	if (!entries_setup(&table->clients, CLIENT_SETS) &&
	    !entries_setup(&table->totals, TOTAL_SETS) &&
	    RAND_bytes((unsigned char *)table->keys, sizeof(table->keys)) == 1) {
		/* Multiplied by: an even one would lose bits. */
		for (unsigned int i = 1; i < 4; i++)
			table->keys[i] |= 1;
		return table;
	}
	limit_table_destroy(table);
	errno = ENOMEM;
	return NULL;
}

void limit_table_destroy(struct limit_table *table)
{
	if (!table)
		return;
	free(table->clients.entries);
	free(table->totals.entries);
	free(table);
}

uint64_t limit_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* The entry of @key, its own or one that it takes over. The set's lock is held. */
static struct entry *place_of(struct entry *set, uint64_t key, uint64_t now,
			      unsigned int *forgotten)
{
	struct entry *room = &set[0];

	for (unsigned int i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].paid < room->paid)
			room = &set[i];
	}
	if (room->paid > now)
		(*forgotten)++;
	*room = (struct entry){ .key = key };
	return room;
}

/*
 * One unit of @interval from a bucket that holds @burst of them. 0, or how long
 * until there is one. @give: puts one back instead.
 */
static uint64_t take(struct entries *entries, uint64_t key, uint64_t interval, uint32_t burst,
		     uint64_t now, bool give, unsigned int *forgotten)
{
	uint32_t set = (uint32_t)key & (entries->sets - 1);
	pthread_mutex_t *lock = &entries->locks[set % LOCKS];
	uint64_t paid, most = now + burst * interval, wait = 0;
	struct entry *entry;

	pthread_mutex_lock(lock);
	entry = place_of(&entries->entries[(size_t)set * WAYS], key, now, forgotten);
	if (give) {
		if (entry->paid >= interval)
			entry->paid -= interval;
	} else {
		/* The bucket may have been larger. */
		if (entry->paid > most)
			entry->paid = most;
		paid = (entry->paid > now ? entry->paid : now) + interval;
		if (paid > most)
			wait = paid - most;
		else
			entry->paid = paid;
	}
	pthread_mutex_unlock(lock);
	return wait;
}

/* Of IPv6 the first half: who has one address of a /64 has them all. */
static void put_client(uint64_t out[2], const struct address *client)
{
	out[0] = client->family;
	out[1] = 0;
	if (client->family == AF_INET)
		memcpy(&out[1], &client->v4, sizeof(client->v4));
	else
		memcpy(&out[1], &client->v6, sizeof(out[1]));
}

static bool fits(const struct image_limit *rule, const char *service, size_t service_len,
		 enum limit_phase phase)
{
	bool of_client = rule->flags & IMAGE_LIMIT_PER_CLIENT;

	return of_client == (phase == LIMIT_OF_CLIENT) &&
	       (!rule->service[0] || (strlen(rule->service) == service_len &&
				      !memcmp(rule->service, service, service_len)));
}

/* As take(), for a rule. */
static uint64_t take_rule(struct limit_table *table, const struct image_limit *rule,
			  const struct image_container *container, const struct address *client,
			  uint64_t now, bool give, unsigned int *forgotten)
{
	bool of_client = rule->flags & IMAGE_LIMIT_PER_CLIENT;
	struct identity identity = { .kind = of_client ? IDENTITY_CLIENT : IDENTITY_TOTAL };
	uint64_t key;

	memcpy(identity.container, container->id, sizeof(identity.container));
	memcpy(identity.service, rule->service, strlen(rule->service));
	if (of_client)
		put_client(identity.client, client);
	key = hash(table, &identity, sizeof(identity) / sizeof(uint64_t)) | 1;
	/* The lowest bit says that there is one: sets go by the others. */
	key = key << 32 | key >> 32;
	return take(of_client ? &table->clients : &table->totals, key,
		    rule->period * SECOND / rule->requests, rule->burst, now, give, forgotten);
}

bool limit_request(struct limit_table *table, const struct image *image,
		   const struct image_container *container, const char *service,
		   size_t service_len, const struct address *client, enum limit_phase phase,
		   uint64_t now, struct limit_refusal *refusal, unsigned int *forgotten)
{
	const struct image_limit *rules = image_limits(image, container);
	uint64_t wait = 0;
	uint32_t i;

	for (i = 0; i < container->limits_count && !wait; i++) {
		if (!fits(&rules[i], service, service_len, phase))
			continue;
		wait = take_rule(table, &rules[i], container, client, now, false, forgotten);
		if (wait)
			refusal->rule = &rules[i];
	}
	if (!wait)
		return true;
	refusal->retry_after = (uint32_t)((wait + SECOND - 1) / SECOND);
	/* What does not go on has taken nothing: not that of rules before this one. */
	while (--i > 0) {
		if (fits(&rules[i - 1], service, service_len, phase))
			take_rule(table, &rules[i - 1], container, client, now, true, forgotten);
	}
	return false;
}

bool limit_handshake(struct limit_table *table, const struct address *client, bool proven,
		     uint32_t rate, uint64_t now, unsigned int *forgotten)
{
	struct identity identity = { .kind = proven ? IDENTITY_PROVEN : IDENTITY_UNPROVEN };
	uint64_t key;

	put_client(identity.client, client);
	key = hash(table, &identity, sizeof(identity) / sizeof(uint64_t)) | 1;
	key = key << 32 | key >> 32;
	return !take(&table->clients, key, SECOND / rate, HANDSHAKE_BURST * rate, now, false,
		     forgotten);
}

bool limit_connection_get(struct limit_table *table, const struct address *client, uint32_t most,
			  uint32_t *slot)
{
	uint64_t who[2];

	put_client(who, client);
	*slot = (uint32_t)(hash(table, who, 2) % COUNTS);
	if (atomic_fetch_add_explicit(&table->counts[*slot], 1, memory_order_relaxed) < most)
		return true;
	limit_connection_put(table, *slot);
	return false;
}

void limit_connection_put(struct limit_table *table, uint32_t slot)
{
	atomic_fetch_sub_explicit(&table->counts[slot], 1, memory_order_relaxed);
}

void limit_text(const struct image_limit *rule, char out[LIMIT_TEXT_MAX])
{
	const char *unit = rule->period == 1 ? "s" : rule->period == 60 ? "m" :
			   rule->period == 3600 ? "h" : "d";

	snprintf(out, LIMIT_TEXT_MAX, "%u/%s burst %u%s%s%.20s", rule->requests, unit, rule->burst,
		 rule->flags & IMAGE_LIMIT_PER_CLIENT ? " per client" : "",
		 rule->service[0] ? " of " : "", rule->service);
}
