/* SPDX-License-Identifier: Apache-2.0 */
/* Between parse.c and parse_entry.c. All return 0, or -EINVAL with the report filled. */
#ifndef HOODY_PROFILE_PARSE_INTERNAL_H
#define HOODY_PROFILE_PARSE_INTERNAL_H

#include "profile/profile_internal.h"

#include <stdio.h>
#include <yyjson.h>

#define PARSE_ENTRIES_MAX	4096

struct parser {
	struct table_builder		*builder;
	const struct profile_options	*options;
	int				default_errno;
};

#define parse_fail(parser, ...)	profile_fail((parser)->builder->report, -EINVAL, __VA_ARGS__)

bool parse_is(yyjson_val *value, const char *text);
/* The field, NULL where it is absent or null. */
yyjson_val *parse_field(yyjson_val *object, const char *name);
int parse_known(struct parser *parser, yyjson_val *object, const char *path,
		const char *const *known);
int parse_action_name(struct parser *parser, yyjson_val *value, const char *path,
		      enum hoody_action *kind);
int parse_errno(struct parser *parser, yyjson_val *object, const char *path, const char *number,
		const char *name, int *error);
/* Returns the action's index. */
int parse_action(struct parser *parser, const char *path, enum hoody_action kind, int error);

/* parse_entry.c: one element of $.syscalls */
int parse_entry(struct parser *parser, yyjson_val *entry, unsigned int index);
/* Sets @applies: do includes and excludes of @entry, found at @path, leave it in? */
int parse_filters(struct parser *parser, yyjson_val *entry, const char *path, bool *applies);

#endif /* HOODY_PROFILE_PARSE_INTERNAL_H */
