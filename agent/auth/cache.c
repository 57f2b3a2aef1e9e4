// SPDX-License-Identifier: Apache-2.0
/*
 * The cache of slow checks, see cache.h: three tables of sets, eight entries each;
 * in a full set the entry that would go first makes room.
 */
#include "auth/cache.h"
#include "auth/secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define SETS	128		/* a power of two */
#define WAYS	8

struct entry {
	int64_t	expires;	/* 0: free */
	uint8_t	digest[AUTH_DIGEST_LEN];
	uint8_t	secret[AUTH_SECRET_ID_LEN];
};

struct auth_cache {
	EVP_MAC		*mac;
	EVP_MAC_CTX	*context;	/* has the key */
	struct entry	tables[AUTH_CACHE_QUICK + 1][SETS][WAYS];
};

struct auth_cache *auth_cache_create(void)
{
	static char digest_name[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
		OSSL_PARAM_construct_end(),
	};
	struct auth_cache *cache = calloc(1, sizeof(*cache));
	uint8_t key[32];
	bool ready = false;

	if (!cache)
		return NULL;
	cache->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	cache->context = cache->mac ? EVP_MAC_CTX_new(cache->mac) : NULL;
	if (cache->context && RAND_bytes(key, sizeof(key)) == 1)
		ready = EVP_MAC_init(cache->context, key, sizeof(key), params) == 1;
	secret_wipe(key, sizeof(key));
	if (ready)
		return cache;
	auth_cache_destroy(cache);
	return NULL;
}

void auth_cache_destroy(struct auth_cache *cache)
{
	if (!cache)
		return;
	EVP_MAC_CTX_free(cache->context);
	EVP_MAC_free(cache->mac);
	free(cache);
}

bool auth_cache_digest(struct auth_cache *cache, char kind, struct http_text credential,
		       uint8_t digest[AUTH_DIGEST_LEN])
{
	size_t len;

	/* Without a key: the one that it has. */
	return EVP_MAC_init(cache->context, NULL, 0, NULL) == 1 &&
	       EVP_MAC_update(cache->context, (unsigned char *)&kind, 1) == 1 &&
	       EVP_MAC_update(cache->context, (const unsigned char *)credential.data,
			      credential.len) == 1 &&
	       EVP_MAC_final(cache->context, digest, &len, AUTH_DIGEST_LEN) == 1;
}

static unsigned int set_of(const uint8_t *digest, const uint8_t *secret)
{
	uint32_t a, b;

	memcpy(&a, digest, sizeof(a));
	memcpy(&b, secret, sizeof(b));
	return (a ^ b) % SETS;
}

static bool is_entry(const struct entry *entry, const uint8_t *digest, const uint8_t *secret)
{
	return secret_equal(entry->digest, digest, AUTH_DIGEST_LEN) &&
	       !memcmp(entry->secret, secret, AUTH_SECRET_ID_LEN);
}

int auth_cache_get(const struct auth_cache *cache, const uint8_t digest[AUTH_DIGEST_LEN],
		   const uint8_t secret[AUTH_SECRET_ID_LEN], int64_t now)
{
	unsigned int set = set_of(digest, secret);

	for (int room = AUTH_CACHE_QUICK; room >= AUTH_CACHE_WRONG; room--) {
		for (unsigned int i = 0; i < WAYS; i++) {
			const struct entry *entry = &cache->tables[room][set][i];

			if (entry->expires > now && is_entry(entry, digest, secret))
				return room != AUTH_CACHE_WRONG;
		}
	}
	return -1;
}

void auth_cache_put(struct auth_cache *cache, const uint8_t digest[AUTH_DIGEST_LEN],
		    const uint8_t secret[AUTH_SECRET_ID_LEN], enum auth_cache_room room,
		    int64_t now)
{
	struct entry *set = cache->tables[room][set_of(digest, secret)], *place = &set[0];

	for (unsigned int i = 0; i < WAYS; i++) {
		if (set[i].expires && is_entry(&set[i], digest, secret)) {
			place = &set[i];
			break;
		}
		if (set[i].expires < place->expires)
			place = &set[i];
	}
	place->expires = now + (room == AUTH_CACHE_WRONG ? AUTH_CACHE_WRONG_TTL :
							   AUTH_CACHE_RIGHT_TTL);
	memcpy(place->digest, digest, sizeof(place->digest));
	memcpy(place->secret, secret, sizeof(place->secret));
}
