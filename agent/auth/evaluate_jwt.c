// SPDX-License-Identifier: Apache-2.0
/*
 * Which jwt groups a token belongs to. For each group: the algorithm, the
 * times, the claims, and a key whose signature is right. What costs least is
 * asked first; a signature is asked for only where all else fits, and once for
 * each key. The cache has right ones of HMAC as well: most of such a check is what
 * OpenSSL prepares for it, and without it a request costs half as much again.
 */
#include "auth/evaluate_internal.h"

#include <string.h>

static bool value_fits(const struct auth_blob *blob, const struct blob_value *value,
		       yyjson_val *json)
{
	switch (value->type) {
	case PERMISSIONS_VALUE_TEXT:
		return yyjson_equals_strn(json, blob_text(blob, value->text), value->text.len);
	case PERMISSIONS_VALUE_NUMBER:
		return yyjson_is_num(json) && yyjson_get_num(json) == value->number;
	default:
		return yyjson_is_bool(json) && yyjson_get_bool(json) == (value->number != 0);
	}
}

static bool any_fits(const struct auth_blob *blob, const struct blob_claim *claim,
		     yyjson_val *json)
{
	const struct blob_value *values = BLOB_AT(blob, values, blob_value);

	for (uint32_t i = 0; i < claim->values_count; i++) {
		if (value_fits(blob, &values[claim->values_first + i], json))
			return true;
	}
	return false;
}

/* Any of the values; of a list in the token, any of its elements. */
static bool claim_fits(const struct auth_blob *blob, const struct blob_claim *claim,
		       yyjson_val *json)
{
	const char *path = blob_text(blob, claim->path), *end = path + claim->path.len;
	yyjson_arr_iter iter;
	yyjson_val *item;

	for (; json && path < end; path += strlen(path) + 1)
		json = yyjson_is_obj(json) ? jwt_member(json, path) : NULL;
	if (!json)
		return false;
	if (!yyjson_arr_iter_init(json, &iter))
		return any_fits(blob, claim, json);
	while ((item = yyjson_arr_iter_next(&iter))) {
		if (any_fits(blob, claim, item))
			return true;
	}
	return false;
}

static bool claims_fit(const struct auth_blob *blob, const struct blob_jwt *jwt,
		       const struct jwt_token *token)
{
	const struct blob_claim *claims = BLOB_AT(blob, claims, blob_claim);
	yyjson_val *payload = yyjson_doc_get_root(token->payload);

	/* RFC 7519 4.1.3: a token for somebody else is not for us. */
	if (!jwt->names_audience && yyjson_obj_get(payload, "aud"))
		return false;
	for (uint32_t i = 0; i < jwt->claims_count; i++) {
		if (!claim_fits(blob, &claims[jwt->claims_first + i], payload))
			return false;
	}
	return true;
}

/* Whether this key may be what signed: its algorithms, and its name where both have one. */
static bool key_fits(const struct auth_blob *blob, const struct blob_key *key,
		     const struct jwt_token *token)
{
	if (!(key->algorithms & JWT_ALG_BIT(token->alg)))
		return false;
	return !token->kid || !key->has_kid ||
	       (key->kid.len == token->kid_len &&
		!memcmp(blob_text(blob, key->kid), token->kid, token->kid_len));
}

enum key_state {
	KEY_UNASKED,
	KEY_RIGHT,
	KEY_WRONG,
	KEY_WAITS,
};

static enum key_state key_ask(struct evaluation *evaluation, uint32_t index)
{
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_key *key = &BLOB_AT(blob, keys, blob_key)[index];
	const struct jwt_token *token = evaluation->token;
	int known = evaluation_known(evaluation, key->id);

	if (known < 0 && jwt_alg_slow(token->alg)) {
		evaluation->checks[evaluation->checks_count++] = (uint16_t)index;
		return KEY_WAITS;
	}
	if (known < 0) {
		known = jwt_signature_ok(token->alg, (const uint8_t *)blob_text(blob, key->bytes),
					 key->bytes.len, token->input, token->input_len,
					 token->signature, token->signature_len);
		/* Wrong ones are not worth the room: nobody waits for the next look. */
		if (known)
			auth_cache_put(evaluation->context->cache, evaluation->digest, key->id,
				       AUTH_CACHE_QUICK, evaluation->request->now_monotonic);
	}
	return known ? KEY_RIGHT : KEY_WRONG;
}

/* KEY_RIGHT if any is, else KEY_WAITS if any does. */
static enum key_state keys_ask(struct evaluation *evaluation, const struct blob_jwt *jwt,
			       uint8_t states[BLOB_KEYS_MAX])
{
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_key *keys = BLOB_AT(blob, keys, blob_key);
	const uint32_t *refs = blob_key_refs(blob) + jwt->key_refs_first;
	enum key_state best = KEY_WRONG;

	for (uint32_t i = 0; i < jwt->key_refs_count; i++) {
		if (!key_fits(blob, &keys[refs[i]], evaluation->token))
			continue;
		if (states[refs[i]] == KEY_UNASKED)
			states[refs[i]] = key_ask(evaluation, refs[i]);
		if (states[refs[i]] == KEY_RIGHT)
			return KEY_RIGHT;
		if (states[refs[i]] == KEY_WAITS)
			best = KEY_WAITS;
	}
	return best;
}

/* Groups may grant different leeway: the first that ends is when to ask again. */
static void note_end(struct evaluation *evaluation, int64_t expires)
{
	if (expires && (!evaluation->expires || expires < evaluation->expires))
		evaluation->expires = expires;
}

void evaluate_jwt(struct evaluation *evaluation, const struct jwt_token *token)
{
	const struct auth_blob *blob = evaluation->blob;
	const struct blob_jwt *jwts = BLOB_AT(blob, jwts, blob_jwt);
	uint8_t states[BLOB_KEYS_MAX] = { KEY_UNASKED };

	evaluation->token = token;
	for (uint32_t i = 0; i < blob->jwts.count; i++) {
		const struct blob_jwt *jwt = &jwts[i];

		if (!(jwt->algorithms & JWT_ALG_BIT(token->alg)) ||
		    !jwt_time_ok(token, evaluation->request->now, jwt->leeway, jwt->require_exp) ||
		    !claims_fit(blob, jwt, token))
			continue;
		switch (keys_ask(evaluation, jwt, states)) {
		case KEY_RIGHT:
			blob_set_add(&evaluation->matched, jwt->group);
			note_end(evaluation, jwt_expires(token, jwt->leeway));
			break;
		case KEY_WAITS:
			blob_set_add(&evaluation->unresolved, jwt->group);
			break;
		default:
			break;
		}
	}
}
