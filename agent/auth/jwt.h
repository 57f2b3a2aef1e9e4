/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON web tokens as requests carry them: a JWS in compact form (RFC 7515, 7519).
 * Taking one apart and checking its signature are separate steps, since the
 * second may be slow. Pure functions, bounded by JWT_TOKEN_MAX.
 *
 * The algorithm in a token is only ever compared with what a key and a group
 * allow; nothing else in its header ("jku", "jwk", "x5c", ...) is looked at,
 * and a header that asks for an extension ("crit") is refused.
 */
#ifndef HOODY_AUTH_JWT_H
#define HOODY_AUTH_JWT_H

#include "auth/jwt_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

#define JWT_TOKEN_MAX	8192	/* bytes of the compact form */

struct jwt_token {
	enum jwt_alg	alg;
	const char	*kid;		/* NULL: none; lives as long as @header */
	size_t		kid_len;
	const char	*input;		/* what is signed; the caller's bytes */
	size_t		input_len;
	size_t		signature_len;
	uint8_t		signature[JWT_SIGNATURE_MAX];
	yyjson_doc	*header, *payload;	/* the payload's root is an object */
};

/*
 * jwt_token_parse(): takes @text apart; it must outlive the token. 0, or
 * -EINVAL for what is no token of a known algorithm, or -ENOMEM. On success
 * jwt_token_clear() frees it; after a failure there is nothing to free.
 */
int jwt_token_parse(const char *text, size_t len, struct jwt_token *token);
void jwt_token_clear(struct jwt_token *token);

/*
 * jwt_time_ok(): exp, nbf and iat against @now (seconds since 1970), with
 * @leeway seconds granted. A time that is no number refuses, as does a missing
 * exp where it is required.
 */
bool jwt_time_ok(const struct jwt_token *token, int64_t now, uint32_t leeway, bool require_exp);

/*
 * jwt_expires(): of a token whose times are right: the first second (since 1970) at
 * which they are not any more for lack of time, or 0: never.
 */
int64_t jwt_expires(const struct jwt_token *token, uint32_t leeway);

/* A member of the payload that is there exactly once, or NULL. */
yyjson_val *jwt_member(yyjson_val *object, const char *name);

/* HMAC is quick enough for a thread that serves connections, the others are not. */
bool jwt_alg_slow(enum jwt_alg alg);

/*
 * jwt_signature_ok(): whether @signature over @input was made with the key,
 * in the way of @alg. The caller has checked that the key allows @alg.
 */
bool jwt_signature_ok(enum jwt_alg alg, const uint8_t *key, size_t key_len, const char *input,
		      size_t input_len, const uint8_t *signature, size_t signature_len);

#endif /* HOODY_AUTH_JWT_H */
