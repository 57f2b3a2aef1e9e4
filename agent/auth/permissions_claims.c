// SPDX-License-Identifier: Apache-2.0
/*
 * Reading the claims that a jwt group asks for. A value, or any of a list of
 * values; an object goes one level down. What they mean for a token is in
 * evaluate_jwt.c.
 */
#include "auth/permissions_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int value_parse(const struct reader *reader, const struct json_path *path,
		       yyjson_val *json, struct permissions_value *value)
{
	if (yyjson_is_str(json)) {
		value->type = PERMISSIONS_VALUE_TEXT;
		value->len = yyjson_get_len(json);
		return reader_text(reader, path, json, 0, PERMISSIONS_CLAIM_TEXT_MAX, &value->text);
	}
	if (yyjson_is_num(json)) {
		value->type = PERMISSIONS_VALUE_NUMBER;
		value->number = yyjson_get_num(json);
		return 0;
	}
	if (yyjson_is_bool(json)) {
		value->type = PERMISSIONS_VALUE_BOOL;
		value->number = yyjson_get_bool(json);
		return 0;
	}
	return reader_refuse(reader, path,
			     "has to be a string, a number, true or false, or a list of such");
}

/* The names down to a claim; the claims of a group are collected with it. */
struct descent {
	char	path[PERMISSIONS_CLAIM_DEPTH_MAX * (PERMISSIONS_CLAIM_TEXT_MAX + 1)];
	size_t	len;
	unsigned int depth;
};

static int claim_add(const struct reader *reader, const struct json_path *path, yyjson_val *json,
		     const struct descent *descent, struct permissions_group *group)
{
	size_t count = yyjson_is_arr(json) ? yyjson_arr_size(json) : 1;
	struct permissions_claim *claim;
	int result = 0;

	if (group->claims_count == PERMISSIONS_CLAIMS_MAX)
		return reader_refuse(reader, path, "is one claim too many: at most %d",
				     PERMISSIONS_CLAIMS_MAX);
	if (!count || count > PERMISSIONS_CLAIM_VALUES_MAX)
		return reader_refuse(reader, path, "has to have 1 to %d values",
				     PERMISSIONS_CLAIM_VALUES_MAX);
	claim = &group->claims[group->claims_count++];
	claim->path = malloc(descent->len);
	claim->values = calloc(count, sizeof(*claim->values));
	if (!claim->path || !claim->values)
		return -ENOMEM;
	memcpy(claim->path, descent->path, descent->len);
	claim->path_len = descent->len;
	claim->values_count = (unsigned int)count;
	if (!yyjson_is_arr(json))
		return value_parse(reader, path, json, &claim->values[0]);
	for (size_t i = 0; i < count && !result; i++) {
		struct json_path item = json_path_index(path, i);

		result = value_parse(reader, &item, yyjson_arr_get(json, i), &claim->values[i]);
	}
	return result;
}

/* At most PERMISSIONS_CLAIM_DEPTH_MAX deep. */
static int object_parse(const struct reader *reader, const struct json_path *path,
			yyjson_val *object, struct descent *descent,
			struct permissions_group *group)
{
	size_t len = descent->len;
	yyjson_obj_iter iter;
	yyjson_val *key;

	if (!yyjson_is_obj(object) || !yyjson_obj_size(object))
		return reader_refuse(reader, path,
				     "has to be an object with at least one claim, such as {\"aud\": \"my-api\"}");
	if (descent->depth == PERMISSIONS_CLAIM_DEPTH_MAX)
		return reader_refuse(reader, path, "is more than %d levels deep",
				     PERMISSIONS_CLAIM_DEPTH_MAX);
	descent->depth++;
	yyjson_obj_iter_init(object, &iter);
	while ((key = yyjson_obj_iter_next(&iter))) {
		struct json_path at = json_path_member(path, yyjson_get_str(key));
		yyjson_val *value = yyjson_obj_iter_get_val(key);
		size_t name_len = yyjson_get_len(key);
		int result;

		if (!name_len || name_len > PERMISSIONS_CLAIM_TEXT_MAX)
			return reader_refuse(reader, &at, "has to have a name of 1 to %d bytes",
					     PERMISSIONS_CLAIM_TEXT_MAX);
		if (len == 0 && (!strcmp(yyjson_get_str(key), "exp") ||
				 !strcmp(yyjson_get_str(key), "nbf") ||
				 !strcmp(yyjson_get_str(key), "iat")))
			return reader_refuse(reader, &at,
					     "is a time and always checked; it cannot be asked for by value");
		memcpy(descent->path + len, yyjson_get_str(key), name_len + 1);
		descent->len = len + name_len + 1;
		result = yyjson_is_obj(value) ?
				 object_parse(reader, &at, value, descent, group) :
				 claim_add(reader, &at, value, descent, group);
		if (result)
			return result;
	}
	descent->depth--;
	descent->len = len;
	return 0;
}

int permissions_claims_parse(const struct reader *reader, const struct json_path *path,
			     yyjson_val *object, struct permissions_group *group)
{
	struct descent descent = { .len = 0 };

	group->claims = calloc(PERMISSIONS_CLAIMS_MAX, sizeof(*group->claims));
	if (!group->claims)
		return -ENOMEM;
	group->claims_text = yyjson_val_write(object, 0, NULL);
	if (!group->claims_text)
		return -ENOMEM;
	return object_parse(reader, path, object, &descent, group);
}
