/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files that read and write a permissions model: where in the
 * JSON we are, and how something is refused there. For permissions*.c only.
 */
#ifndef HOODY_AUTH_PERMISSIONS_INTERNAL_H
#define HOODY_AUTH_PERMISSIONS_INTERNAL_H

#include "auth/permissions.h"

#include <yyjson.h>

#define JSON_DEPTH_MAX		10
#define JSON_MEMBERS_MAX	512	/* of one object */

/* "groups.office.ranges[2]"; cut where it grows too long. */
struct json_path {
	char	text[sizeof(((struct permissions_error *)0)->field)];
};

struct reader {
	const struct permissions_source	*source;
	struct permissions_error	*error;
};

struct json_path json_path_member(const struct json_path *parent, const char *name);
struct json_path json_path_index(const struct json_path *parent, size_t index);

/* Fills the error; always -EINVAL. */
__attribute__((format(printf, 3, 4))) int reader_refuse(const struct reader *reader,
							const struct json_path *path,
							const char *format, ...);

/* Every member's name is one of @names (NULL at the end), else it is refused. */
int reader_members(const struct reader *reader, const struct json_path *path, yyjson_val *object,
		   const char *const *names);

/*
 * reader_tree(): what no part of a body may have, at any depth: a name twice in
 * one object, NUL characters, more than JSON_DEPTH_MAX levels.
 */
int reader_tree(const struct reader *reader, const struct json_path *path, yyjson_val *value,
		unsigned int depth);

/*
 * reader_text(): the string @value, between @min and @max bytes, into a copy
 * from malloc() in *@out. 0, -EINVAL (refused) or -ENOMEM.
 */
int reader_text(const struct reader *reader, const struct json_path *path, yyjson_val *value,
		size_t min, size_t max, char **out);

/* The whole body, after reader_tree(). NULL with errno and the error filled. */
struct permissions *permissions_root_parse(const struct reader *reader, yyjson_val *root);

/* One group from its JSON object; @group is zeroed and has its name. */
int permissions_group_parse(const struct reader *reader, const struct json_path *path,
			    yyjson_val *object, struct permissions_group *group);
int permissions_jwt_parse(const struct reader *reader, const struct json_path *path,
			  yyjson_val *object, struct permissions_group *group);
int permissions_claims_parse(const struct reader *reader, const struct json_path *path,
			     yyjson_val *object, struct permissions_group *group);

/* The model as a JSON document; NULL: no memory. */
yyjson_mut_doc *permissions_to_json(const struct permissions *permissions,
				    enum permissions_form form, const uint8_t *project,
				    const uint8_t *container);

#endif /* HOODY_AUTH_PERMISSIONS_INTERNAL_H */
