/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker serves TLS with, read from the text of lib/keys.h: the node's
 * certificate, those of other names, keys of session tickets, and the answers to
 * challenges of a certificate authority. Immutable; a certificate that was there
 * before is not parsed again.
 */
#ifndef HOODY_FRONT_KEYRING_H
#define HOODY_FRONT_KEYRING_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/keys.h"

/* A certificate with its key; counted. */
struct front_pair {
	unsigned int	users;
	unsigned char	digest[32];	/* SHA-256 of the text that it was read from */
	X509		*leaf;
	EVP_PKEY	*key;
	STACK_OF(X509)	*chain;
};

struct front_keyring;

/*
 * front_keyring_create(): from @text; @previous may be NULL. NULL with *@fault
 * set to what is wrong. Without a ticket key in @text, a key of its own is made.
 */
struct front_keyring *front_keyring_create(const char *text, size_t len,
					   const struct front_keyring *previous,
					   const char **fault);
void front_keyring_destroy(struct front_keyring *keyring);

const struct front_pair *front_keyring_node(const struct front_keyring *keyring);

/*
 * front_keyring_find(): the certificate for @name (any case): its own, or the one
 * of "*." and the rest behind its first label. NULL: the node's is to be served.
 */
const struct front_pair *front_keyring_find(const struct front_keyring *keyring,
					    const char *name, size_t len);

/* The certificate that answers a challenge for @name (RFC 8737), or NULL. */
const struct front_pair *front_keyring_alpn(const struct front_keyring *keyring,
					    const char *name, size_t len);
/* What to answer at @token of @host (RFC 8555 8.3), or NULL. */
const char *front_keyring_http(const struct front_keyring *keyring, const char *host,
			       const char *token, size_t token_len);

/* The key of tickets number @index, the newest is 0; NULL behind the last. */
const unsigned char *front_keyring_ticket(const struct front_keyring *keyring,
					  unsigned int index);

#endif /* HOODY_FRONT_KEYRING_H */
