// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a jwt group: where its keys come from, which algorithms it takes, and
 * the claims that a token must have. Everything that can be wrong with a key is
 * found here, while there is somebody to tell it to.
 */
#include "auth/permissions_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const source_names[] = {
	[PERMISSIONS_KEY_SECRET] = "secret",
	[PERMISSIONS_KEY_PUBLIC] = "public_key",
	[PERMISSIONS_KEY_JWKS] = "jwks",
};

/* Names of JWKS files: no slash, no leading dot, so that a name stays in its folder. */
static bool file_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789_.-");

	return len > 0 && len <= 128 && name[len] == '\0' && name[0] != '.';
}

static int keep_key(const struct reader *reader, const struct json_path *at,
		    struct permissions_group *group)
{
	const struct permissions_group *old =
		permissions_group_find(reader->source->existing, group->name);

	if (!old || old->type != PERMISSIONS_JWT || old->source != group->source)
		return reader_refuse(reader, at,
				     "is null, and there is no key of this kind yet to keep: give one");
	group->key_text = strdup(old->key_text);
	return group->key_text ? 0 : -ENOMEM;
}

static int key_text_parse(const struct reader *reader, const struct json_path *at,
			  yyjson_val *value, struct permissions_group *group)
{
	if (yyjson_is_null(value))
		return keep_key(reader, at, group);
	if (group->source != PERMISSIONS_KEY_JWKS)
		return reader_text(reader, at, value, 1, PERMISSIONS_KEY_TEXT_MAX,
				   &group->key_text);
	if (yyjson_is_str(value)) {
		group->source = PERMISSIONS_KEY_JWKS_FILE;
		if (!file_name_ok(yyjson_get_str(value)))
			return reader_refuse(reader, at,
					     "has to be the plain name of a file in the agent's jwks folder, without a path, or the key set itself");
		return reader_text(reader, at, value, 1, 128, &group->key_text);
	}
	if (!yyjson_is_obj(value))
		return reader_refuse(reader, at, "has to be a key set ({\"keys\": [...]}) or a file's name");
	group->key_text = yyjson_val_write(value, 0, NULL);
	if (!group->key_text)
		return -ENOMEM;
	if (strlen(group->key_text) > PERMISSIONS_KEY_TEXT_MAX)
		return reader_refuse(reader, at, "is larger than %d bytes",
				     PERMISSIONS_KEY_TEXT_MAX);
	return 0;
}

/* All algorithms that the keys can be used with, or a refusal. */
static int keys_check(const struct reader *reader, const struct json_path *at,
		      const struct permissions_group *group, uint32_t *algorithms,
		      size_t *secret_len)
{
	struct jwt_key *keys = calloc(JWT_KEYS_MAX, sizeof(*keys));
	const char *text = group->key_text;
	char error[160] = "", *file = NULL;
	ssize_t len = (ssize_t)strlen(text);
	int count = 1, result = 0;

	*algorithms = 0;
	*secret_len = 0;
	if (!keys)
		return -ENOMEM;
	switch (group->source) {
	case PERMISSIONS_KEY_SECRET:
		*secret_len = (size_t)len;
		result = jwt_key_from_secret(text, len, &keys[0], error, sizeof(error));
		break;
	case PERMISSIONS_KEY_PUBLIC:
		result = jwt_key_from_pem(text, len, &keys[0], error, sizeof(error));
		break;
	case PERMISSIONS_KEY_JWKS_FILE:
		*algorithms = (1u << JWT_ALGS) - 1;
		if (!reader->source->jwks_load)
			goto out;
		file = malloc(PERMISSIONS_KEY_TEXT_MAX);
		result = -ENOMEM;
		if (!file)
			goto out;
		len = reader->source->jwks_load(reader->source->jwks_context, text, file,
						PERMISSIONS_KEY_TEXT_MAX);
		if (len < 0) {
			result = reader_refuse(reader, at, "names a file that cannot be read: %s",
					       strerror((int)-len));
			goto out;
		}
		text = file;
		/* fall through */
	case PERMISSIONS_KEY_JWKS:
		count = jwt_keys_from_jwks(text, len, keys, error, sizeof(error));
		result = count < 0 ? count : 0;
		break;
	}
	if (result == -EINVAL)
		reader_refuse(reader, at, "%s", error);
	if (result)
		goto out;
	*algorithms = 0;
	for (int i = 0; i < count; i++)
		*algorithms |= keys[i].algorithms;
out:
	for (int i = 0; i < JWT_KEYS_MAX; i++)
		jwt_key_clear(&keys[i]);
	free(keys);
	free(file);
	return result;
}

/* Whether @alg can be used; a shared secret has to be as long as the hash (RFC 7518 3.2). */
static int algorithm_check(const struct reader *reader, const struct json_path *at,
			   const struct permissions_group *group, int alg, uint32_t possible,
			   size_t secret_len)
{
	static const unsigned int least[] = { 32, 48, 64 };

	if (alg <= JWT_HS512 && group->source == PERMISSIONS_KEY_SECRET && secret_len < least[alg])
		return reader_refuse(reader, at,
				     "%s needs a secret of at least %u bytes (RFC 7518 3.2), and this has %zu",
				     jwt_alg_name(alg), least[alg], secret_len);
	if (!(possible & JWT_ALG_BIT(alg)))
		return reader_refuse(reader, at, "%s does not fit the type of the key",
				     jwt_alg_name(alg));
	return 0;
}

static int algorithms_parse(const struct reader *reader, const struct json_path *path,
			    yyjson_val *list, struct permissions_group *group, uint32_t possible,
			    size_t secret_len)
{
	struct json_path at = json_path_member(path, "algorithms");
	yyjson_val *value;
	yyjson_arr_iter iter;
	size_t index = 0;

	if (!yyjson_is_arr(list) || !yyjson_arr_size(list))
		return reader_refuse(reader, &at, "has to be a list such as [\"RS256\"]");
	yyjson_arr_iter_init(list, &iter);
	while ((value = yyjson_arr_iter_next(&iter))) {
		struct json_path item = json_path_index(&at, index++);
		const char *name = yyjson_get_str(value);
		int alg = name ? jwt_alg_find(name, yyjson_get_len(value)) : -1;
		int result;

		if (name && !strcasecmp(name, "none"))
			return reader_refuse(reader, &item,
					     "\"none\" would let everybody in; leave it out");
		if (alg < 0)
			return reader_refuse(reader, &item,
					     "has to be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA");
		if (group->algorithms & JWT_ALG_BIT(alg))
			return reader_refuse(reader, &item, "%s is given twice", name);
		result = algorithm_check(reader, &item, group, alg, possible, secret_len);
		if (result)
			return result;
		group->algorithms |= JWT_ALG_BIT(alg);
	}
	return 0;
}

/* Exactly one of the members that give a key. */
static int key_parse(const struct reader *reader, const struct json_path *path, yyjson_val *object,
		     struct permissions_group *group, struct json_path *at)
{
	yyjson_val *found = NULL;

	for (unsigned int i = 0; i < 3; i++) {
		yyjson_val *value = yyjson_obj_get(object, source_names[i]);

		if (!value)
			continue;
		*at = json_path_member(path, source_names[i]);
		if (found)
			return reader_refuse(reader, at,
					     "is given beside \"%s\"; a jwt group has one of \"secret\", \"public_key\" and \"jwks\"",
					     source_names[group->source]);
		found = value;
		group->source = i;
	}
	if (!found) {
		*at = json_path_member(path, "secret");
		return reader_refuse(reader, at,
				     "is missing: a jwt group needs \"secret\", \"public_key\" or \"jwks\"");
	}
	return key_text_parse(reader, at, found, group);
}

static int options_parse(const struct reader *reader, const struct json_path *path,
			 yyjson_val *object, struct permissions_group *group)
{
	yyjson_val *leeway = yyjson_obj_get(object, "leeway");
	yyjson_val *require = yyjson_obj_get(object, "require_exp");
	struct json_path at = json_path_member(path, "leeway");

	group->leeway = PERMISSIONS_LEEWAY_DEFAULT;
	group->require_exp = true;
	if (leeway) {
		if (!yyjson_is_uint(leeway) || yyjson_get_uint(leeway) > PERMISSIONS_LEEWAY_MAX)
			return reader_refuse(reader, &at, "has to be 0 to %d seconds",
					     PERMISSIONS_LEEWAY_MAX);
		group->leeway = (uint32_t)yyjson_get_uint(leeway);
	}
	if (require) {
		at = json_path_member(path, "require_exp");
		if (!yyjson_is_bool(require))
			return reader_refuse(reader, &at, "has to be true or false");
		group->require_exp = yyjson_get_bool(require);
	}
	return 0;
}

int permissions_jwt_parse(const struct reader *reader, const struct json_path *path,
			  yyjson_val *object, struct permissions_group *group)
{
	static const char *const names[] = { "type", "secret", "public_key", "jwks", "algorithms",
					     "claims", "leeway", "require_exp", NULL };
	yyjson_val *algorithms = yyjson_obj_get(object, "algorithms");
	yyjson_val *claims = yyjson_obj_get(object, "claims");
	struct json_path at;
	uint32_t possible;
	size_t secret_len;
	int result = reader_members(reader, path, object, names);

	if (!result)
		result = key_parse(reader, path, object, group, &at);
	if (!result)
		result = keys_check(reader, &at, group, &possible, &secret_len);
	if (!result && algorithms)
		result = algorithms_parse(reader, path, algorithms, group, possible, secret_len);
	else if (!result && group->source == PERMISSIONS_KEY_SECRET)
		result = algorithm_check(reader, &at, group, JWT_HS256, possible, secret_len);
	if (!result)
		result = options_parse(reader, path, object, group);
	if (!result && claims) {
		at = json_path_member(path, "claims");
		result = permissions_claims_parse(reader, &at, claims, group);
	}
	return result;
}
