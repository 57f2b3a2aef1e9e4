/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 after the handshake: what its two files share. tls13.c has the record
 * stream of a connection, tls13_record.c one record and the keys.
 */
#ifndef HOODY_FRONT_TLS13_INTERNAL_H
#define HOODY_FRONT_TLS13_INTERNAL_H

#include <openssl/evp.h>

#include "front/tls13.h"
#include "lib/buf.h"

#define TLS13_HEAD		5
#define TLS13_TAG		16
#define TLS13_IV		12
#define TLS13_SECRET_MAX	48
#define TLS13_PLAIN_MAX		16384			/* RFC 8446 5.1 */
#define TLS13_CIPHER_MAX	(TLS13_PLAIN_MAX + 256)	/* 5.2 */
#define TLS13_OVERHEAD		(TLS13_HEAD + 1 + TLS13_TAG)

enum tls13_type {
	TLS13_ALERT = 21,
	TLS13_HANDSHAKE = 22,
	TLS13_DATA = 23,
};

/* RFC 8446 6. */
enum tls13_alert {
	TLS13_CLOSE_NOTIFY = 0,
	TLS13_UNEXPECTED_MESSAGE = 10,
	TLS13_BAD_RECORD_MAC = 20,
	TLS13_RECORD_OVERFLOW = 22,
	TLS13_DECODE_ERROR = 50,
	TLS13_ILLEGAL_PARAMETER = 47,
	TLS13_INTERNAL_ERROR = 80,
	TLS13_USER_CANCELED = 90,
};

struct tls13_suite {
	const EVP_CIPHER	*cipher;
	EVP_MAC_CTX		*hmac;		/* of its hash, without a key: to be copied */
	uint16_t		id;		/* RFC 8446 B.4 */
	uint8_t			key_len, secret_len;
};

/* One direction. */
struct tls13_keys {
	const struct tls13_suite *suite;
	EVP_CIPHER_CTX		*cipher;
	uint64_t		sequence;
	uint8_t			iv[TLS13_IV];
	uint8_t			secret[TLS13_SECRET_MAX];
	uint8_t			secret_len;	/* 0: not known yet */
	bool			encrypts;
};

/* For a suite: HMAC with @hash (its name), without a key yet. NULL: OpenSSL has it not. */
EVP_MAC_CTX *tls13_hmac(const char *hash);

/* Key and iv of keys->secret; the count begins anew. 0 or -EIO. */
int tls13_keys_apply(struct tls13_keys *keys);
/* On to the next secret (RFC 8446 7.2). 0 or -EIO. */
int tls13_keys_update(struct tls13_keys *keys);
void tls13_keys_clear(struct tls13_keys *keys);

/* A record of @type at @to, which has room for TLS13_OVERHEAD more; its size or -EIO. */
ssize_t tls13_seal(struct tls13_keys *keys, enum tls13_type type, const void *bytes, size_t len,
		   uint8_t *to);

/*
 * tls13_open(): opens the record at @at, in place: its size, with *type and the
 * length of its content, which begins at @at + TLS13_HEAD. 0: it is not there as
 * a whole yet. Negative: less one, the alert that it deserves.
 */
ssize_t tls13_open(struct tls13_keys *keys, uint8_t *at, size_t have, uint8_t *type,
		   size_t *content);
/* Whether there is a whole one, or what is not one at all. */
bool tls13_is_whole(const uint8_t *at, size_t have);

#endif /* HOODY_FRONT_TLS13_INTERNAL_H */
