/* SPDX-License-Identifier: Apache-2.0 */
/* No early data twice, see replay.h. */
#include "front/replay.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* 65536 hellos in half a minute: beyond 2000 a second early data is refused. 1 MiB. */
#define SETS		8192
#define PLACES		8
/* Ten seconds of OpenSSL's, the second that its clock is cut to, and as much again. */
#define KEEP		(22 * 1000000000ULL)

struct place {
	uint64_t	mark;
	uint64_t	until;		/* 0: never used */
};

struct replay_table {
	pthread_mutex_t	lock;
	uint8_t		name[REPLAY_NAME_LEN];
	uint8_t		secret[32];
	struct place	places[SETS][PLACES];
};

struct replay_table *replay_table_create(void)
{
	struct replay_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	if (RAND_bytes(table->name, sizeof(table->name)) != 1 ||
	    RAND_bytes(table->secret, sizeof(table->secret)) != 1) {
		free(table);
		errno = EIO;
		return NULL;
	}
	pthread_mutex_init(&table->lock, NULL);
	return table;
}

void replay_table_destroy(struct replay_table *table)
{
	if (!table)
		return;
	pthread_mutex_destroy(&table->lock);
	OPENSSL_cleanse(table->secret, sizeof(table->secret));
	free(table);
}

const uint8_t *replay_table_name(const struct replay_table *table)
{
	return table->name;
}

/* With a secret: a client chooses its hello, and must not choose its set. */
static bool digest(const struct replay_table *table, const uint8_t *hello, uint64_t words[2])
{
	uint8_t text[sizeof(table->secret) + REPLAY_HELLO_LEN], hash[EVP_MAX_MD_SIZE];
	size_t len = 0;

	memcpy(text, table->secret, sizeof(table->secret));
	memcpy(text + sizeof(table->secret), hello, REPLAY_HELLO_LEN);
	if (EVP_Q_digest(NULL, "SHA256", NULL, text, sizeof(text), hash, &len) != 1)
		return false;
	OPENSSL_cleanse(text, sizeof(text));
	memcpy(words, hash, 2 * sizeof(words[0]));
	return true;
}

enum replay_answer replay_take(struct replay_table *table, const uint8_t *hello, uint64_t now)
{
	enum replay_answer answer = REPLAY_FULL;
	struct place *set, *room = NULL;
	uint64_t words[2];

	if (!digest(table, hello, words))
		return REPLAY_FULL;
	set = table->places[words[0] % SETS];
	pthread_mutex_lock(&table->lock);
	for (unsigned int i = 0; i < PLACES; i++) {
		if (set[i].until <= now) {
			room = &set[i];
		} else if (set[i].mark == words[1]) {
			answer = REPLAY_SEEN;
			goto out;
		}
	}
	if (room) {
		*room = (struct place){words[1], now + KEEP};
		answer = REPLAY_NEW;
	}
out:
	pthread_mutex_unlock(&table->lock);
	return answer;
}
