// SPDX-License-Identifier: Apache-2.0
/*
 * A jwt group's keys and claims into the blob. A key that several groups name
 * is there once, so that a token's signature is checked once.
 */
#include "auth/compile_internal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* The group's keys into @keys (JWT_KEYS_MAX); how many, or a negative errno. */
static int keys_read(struct compiler *compiler, const struct permissions_group *group,
		     struct jwt_key *keys)
{
	const char *text = group->key_text;
	char error[160], *file = NULL;
	ssize_t len = (ssize_t)strlen(text);
	int result = -EINVAL;

	switch (group->source) {
	case PERMISSIONS_KEY_SECRET:
		result = jwt_key_from_secret(text, len, keys, error, sizeof(error));
		return result ? result : 1;
	case PERMISSIONS_KEY_PUBLIC:
		result = jwt_key_from_pem(text, len, keys, error, sizeof(error));
		return result ? result : 1;
	case PERMISSIONS_KEY_JWKS:
		return jwt_keys_from_jwks(text, len, keys, error, sizeof(error));
	case PERMISSIONS_KEY_JWKS_FILE:
		break;
	}
	if (!compiler->jwks_load)
		return -ENOENT;
	file = malloc(PERMISSIONS_KEY_TEXT_MAX);
	if (!file)
		return -ENOMEM;
	len = compiler->jwks_load(compiler->jwks_context, text, file, PERMISSIONS_KEY_TEXT_MAX);
	result = len < 0 ? (int)len :
			   jwt_keys_from_jwks(file, len, keys, error, sizeof(error));
	secret_wipe(file, PERMISSIONS_KEY_TEXT_MAX);
	free(file);
	return result;
}

static bool key_id(const struct jwt_key *key, uint8_t id[SECRET_HASH_LEN])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(context, &key->algorithms, sizeof(key->algorithms)) == 1 &&
		    EVP_DigestUpdate(context, key->bytes, key->len) == 1 &&
		    EVP_DigestFinal_ex(context, id, NULL) == 1;

	EVP_MD_CTX_free(context);
	return done;
}

/* The index of @key among the blob's; added where it is new. */
static uint32_t key_add(struct compiler *compiler, const struct jwt_key *key)
{
	struct blob_key *keys = (void *)compiler->keys.data, *added;
	uint8_t id[SECRET_HASH_LEN];

	if (!key_id(key, id)) {
		compiler->error = ENOMEM;
		return 0;
	}
	for (size_t i = 0; i < compiler->keys.count; i++) {
		if (!memcmp(keys[i].id, id, sizeof(id)) && keys[i].has_kid == key->has_kid &&
		    keys[i].kid.len == key->kid_len &&
		    !memcmp(compiler->text.data + keys[i].kid.offset, key->kid, key->kid_len))
			return (uint32_t)i;
	}
	if (compiler->keys.count == BLOB_KEYS_MAX)
		compiler->error = E2BIG;
	added = section_add(compiler, &compiler->keys, sizeof(*added));
	if (!added)
		return 0;
	added->algorithms = key->algorithms;
	added->has_kid = key->has_kid;
	added->kid = compile_text(compiler, key->kid, key->kid_len);
	added->bytes = compile_text(compiler, key->bytes, key->len);
	memcpy(added->id, id, sizeof(id));
	return (uint32_t)compiler->keys.count - 1;
}

static void add_keys(struct compiler *compiler, const struct permissions_group *group)
{
	struct jwt_key *keys = calloc(JWT_KEYS_MAX, sizeof(*keys));
	int count;

	if (!keys) {
		compiler->error = ENOMEM;
		return;
	}
	count = keys_read(compiler, group, keys);
	if (count == -ENOMEM)
		compiler->error = ENOMEM;
	else if (count < 0)
		compiler->unusable++;
	for (int i = 0; i < count; i++) {
		uint32_t *ref = section_add(compiler, &compiler->key_refs, sizeof(*ref));

		if (ref)
			*ref = key_add(compiler, &keys[i]);
	}
	for (int i = 0; i < JWT_KEYS_MAX; i++)
		jwt_key_clear(&keys[i]);
	free(keys);
}

static void add_claim(struct compiler *compiler, const struct permissions_claim *from)
{
	struct blob_claim *claim = section_add(compiler, &compiler->claims, sizeof(*claim));

	if (!claim)
		return;
	claim->path = compile_text(compiler, from->path, from->path_len);
	claim->values_first = (uint32_t)compiler->values.count;
	claim->values_count = from->values_count;
	for (unsigned int i = 0; i < from->values_count; i++) {
		struct blob_value *value =
			section_add(compiler, &compiler->values, sizeof(*value));

		if (!value)
			return;
		value->type = from->values[i].type;
		value->number = from->values[i].number;
		value->text = compile_text(compiler, from->values[i].text, from->values[i].len);
	}
}

void compile_jwt(struct compiler *compiler, const struct permissions_group *group,
		 unsigned int index)
{
	struct blob_jwt *jwt = section_add(compiler, &compiler->jwts, sizeof(*jwt));

	if (!jwt)
		return;
	jwt->group = index;
	/* Unsaid: HS256 for a secret, else what the keys' types give. */
	jwt->algorithms = group->algorithms;
	if (!jwt->algorithms)
		jwt->algorithms = group->source == PERMISSIONS_KEY_SECRET ?
					  JWT_ALG_BIT(JWT_HS256) :
					  (1u << JWT_ALGS) - 1;
	jwt->leeway = group->leeway;
	jwt->require_exp = group->require_exp;
	jwt->key_refs_first = (uint32_t)compiler->key_refs.count;
	jwt->claims_first = (uint32_t)compiler->claims.count;
	jwt->claims_count = group->claims_count;
	for (unsigned int i = 0; i < group->claims_count; i++) {
		jwt->names_audience |= group->claims[i].path_len == sizeof("aud") &&
				       !memcmp(group->claims[i].path, "aud", sizeof("aud"));
		add_claim(compiler, &group->claims[i]);
	}
	add_keys(compiler, group);
	jwt->key_refs_count = (uint32_t)compiler->key_refs.count - jwt->key_refs_first;
}
