// SPDX-License-Identifier: Apache-2.0
/* A list of objects under one name, see json_list.h. */
#include "control/json_list.h"

#include <errno.h>
#include <string.h>

const char *json_list_text(yyjson_val *value)
{
	const char *text = yyjson_get_str(value);

	return text && strlen(text) == yyjson_get_len(value) ? text : NULL;
}

int json_list_object(yyjson_val *object, json_list_field take, void *target, const char **field,
		     const char **message)
{
	yyjson_val *key, *value;
	size_t i, max;

	yyjson_obj_foreach(object, i, max, key, value)
	{
		*field = yyjson_get_str(key);
		if (take(*field, value, target, message))
			return -EINVAL;
	}
	return 0;
}

int json_list_parse(yyjson_val *body, const char *name, size_t max, const char *limit,
		    json_list_item take, void *target, const char **field, const char **message)
{
	yyjson_val *key, *value, *list = NULL;
	size_t i, count;

	yyjson_obj_foreach(body, i, count, key, value)
	{
		*field = yyjson_get_str(key);
		*message = "is not a known field";
		if (strcmp(*field, name))
			return -EINVAL;
		list = value;
	}
	*field = name;
	*message = limit;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > max)
		return -EINVAL;
	yyjson_arr_foreach(list, i, count, value)
	{
		*field = name;
		*message = "must be a list of objects";
		if (!yyjson_is_obj(value) || take(value, target, field, message))
			return -EINVAL;
	}
	return 0;
}

char *json_list_format(const char *name, size_t count, json_list_value value, const void *source)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *list;
	char *text = NULL;

	if (root) {
		yyjson_mut_doc_set_root(document, root);
		list = yyjson_mut_obj_add_arr(document, root, name);
		for (size_t i = 0; i < count; i++)
			yyjson_mut_arr_append(list, value(document, source, i));
		text = yyjson_mut_write(document, 0, NULL);
	}
	yyjson_mut_doc_free(document);
	return text;
}
