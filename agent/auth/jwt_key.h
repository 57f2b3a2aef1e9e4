/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and algorithms of JSON web tokens (RFC 7515, 7517, 7518, 8037). A key is
 * bound to its algorithms when it is read, from its own type and from what the
 * operator allows, so that a token never chooses how it is checked.
 *
 * Reading keys is control's work; nothing here blocks or keeps state.
 */
#ifndef HOODY_AUTH_JWT_KEY_H
#define HOODY_AUTH_JWT_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jwt_alg {
	JWT_HS256,
	JWT_HS384,
	JWT_HS512,
	JWT_RS256,
	JWT_RS384,
	JWT_RS512,
	JWT_PS256,
	JWT_PS384,
	JWT_PS512,
	JWT_ES256,
	JWT_ES384,
	JWT_ES512,
	JWT_EDDSA,
	JWT_ALGS,
};

#define JWT_ALG_BIT(alg)	(1u << (alg))
#define JWT_ALGS_HMAC		(JWT_ALG_BIT(JWT_HS256) | JWT_ALG_BIT(JWT_HS384) | \
				 JWT_ALG_BIT(JWT_HS512))
#define JWT_ALGS_RSA		(JWT_ALG_BIT(JWT_RS256) | JWT_ALG_BIT(JWT_RS384) | \
				 JWT_ALG_BIT(JWT_RS512) | JWT_ALG_BIT(JWT_PS256) | \
				 JWT_ALG_BIT(JWT_PS384) | JWT_ALG_BIT(JWT_PS512))

#define JWT_KEYS_MAX		32	/* of one JWKS */
#define JWT_KEYS_READ_MAX	128	/* entries of a JWKS, usable or not */
#define JWT_KID_MAX		256	/* bytes, without NUL */
#define JWT_KEY_BYTES_MAX	4096
#define JWT_RSA_BITS_MIN	2048	/* RFC 7518 3.3 */
#define JWT_RSA_BITS_MAX	8192
#define JWT_SIGNATURE_MAX	(JWT_RSA_BITS_MAX / 8)

struct jwt_key {
	uint32_t	algorithms;	/* that it may be used with */
	bool		has_kid;
	size_t		kid_len;
	char		kid[JWT_KID_MAX];
	size_t		len;
	uint8_t		*bytes;		/* HMAC: the key; else DER SubjectPublicKeyInfo */
};

/* "RS256"; NULL beyond the last one. And back: -1 where there is none. */
const char *jwt_alg_name(enum jwt_alg alg);
int jwt_alg_find(const char *name, size_t len);

/*
 * Reading keys. All return 0 or -EINVAL with a reason in @error ("is shorter
 * than ..."), or -ENOMEM. The caller clears the key (jwt_key_clear() takes a
 * zeroed one too).
 */
int jwt_key_from_secret(const char *secret, size_t len, struct jwt_key *key, char *error,
			size_t error_size);
int jwt_key_from_pem(const char *pem, size_t len, struct jwt_key *key, char *error,
		     size_t error_size);
/* Returns how many keys are usable, at least 1, in @keys (JWT_KEYS_MAX). */
int jwt_keys_from_jwks(const char *json, size_t len, struct jwt_key *keys, char *error,
		       size_t error_size);
void jwt_key_clear(struct jwt_key *key);

#endif /* HOODY_AUTH_JWT_KEY_H */
