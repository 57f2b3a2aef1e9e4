/* SPDX-License-Identifier: Apache-2.0 */
/* {NAME: [object, ...]}: what calls and the database say of a container, as a list. */
#ifndef HOODY_CONTROL_JSON_LIST_H
#define HOODY_CONTROL_JSON_LIST_H

#include <stddef.h>
#include <yyjson.h>

/*
 * Whatever does not fit is -EINVAL: @field names it, and @message says what it must be.
 * Both are static or the document's.
 */

/* A string without a NUL inside, or NULL. */
const char *json_list_text(yyjson_val *value);

/* Takes one field into @target; sets @message whether it fits or not. 0 or -EINVAL. */
typedef int (*json_list_field)(const char *name, yyjson_val *value, void *target,
			       const char **message);
int json_list_object(yyjson_val *object, json_list_field take, void *target, const char **field,
		     const char **message);

/*
 * The list @name of @body, which has nothing else: each object of it goes to @take, in
 * order. @limit: what to say where it is no list of at most @max.
 */
typedef int (*json_list_item)(yyjson_val *object, void *target, const char **field,
			      const char **message);
int json_list_parse(yyjson_val *body, const char *name, size_t max, const char *limit,
		    json_list_item take, void *target, const char **field, const char **message);

/* The same as text of @count items, from malloc(), or NULL. */
typedef yyjson_mut_val *(*json_list_value)(yyjson_mut_doc *document, const void *source,
					   size_t index);
char *json_list_format(const char *name, size_t count, json_list_value value, const void *source);

#endif /* HOODY_CONTROL_JSON_LIST_H */
