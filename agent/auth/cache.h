/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What slow checks found, for a while: whether a credential fits a secret. One
 * cache belongs to one thread and needs no lock; its size never changes.
 *
 * Nothing in it leads back to a credential: what is kept is an HMAC with a key
 * that was made for this cache and never leaves it. An entry names the secret
 * too (a password's salt, a key's hash), so that changing or removing a secret
 * makes its entries unreachable at once, without anybody clearing them.
 *
 * Right and wrong answers have separate room: whoever guesses passwords cannot
 * push out those who know theirs. So have right ones that are quickly found again
 * (HMAC): a thousand tokens do not make passwords be hashed anew.
 */
#ifndef HOODY_AUTH_CACHE_H
#define HOODY_AUTH_CACHE_H

#include "lib/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_DIGEST_LEN		32
#define AUTH_SECRET_ID_LEN	16
#define AUTH_CACHE_RIGHT_TTL	300	/* seconds */
#define AUTH_CACHE_WRONG_TTL	60

struct auth_cache;

enum auth_cache_room {
	AUTH_CACHE_WRONG,
	AUTH_CACHE_RIGHT,
	AUTH_CACHE_QUICK,	/* right, and little is lost where it has to make room */
};

/* NULL: no memory or no randomness. About 170 kB. destroy() takes NULL. */
struct auth_cache *auth_cache_create(void);
void auth_cache_destroy(struct auth_cache *cache);

/* The HMAC of a credential of one kind ('p', 'j'). False: no memory. */
bool auth_cache_digest(struct auth_cache *cache, char kind, struct http_text credential,
		       uint8_t digest[AUTH_DIGEST_LEN]);

/* 1 fits, 0 does not, -1 unknown. @now: seconds, of any clock that only goes on. */
int auth_cache_get(const struct auth_cache *cache, const uint8_t digest[AUTH_DIGEST_LEN],
		   const uint8_t secret[AUTH_SECRET_ID_LEN], int64_t now);
void auth_cache_put(struct auth_cache *cache, const uint8_t digest[AUTH_DIGEST_LEN],
		    const uint8_t secret[AUTH_SECRET_ID_LEN], enum auth_cache_room room,
		    int64_t now);

#endif /* HOODY_AUTH_CACHE_H */
