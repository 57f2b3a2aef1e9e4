/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between parse.c, parse_entry.c, said.c and export.c. What fails returns -EINVAL with
 * the report filled, or another negative errno.
 */
#ifndef HOODY_PROFILE_PARSE_INTERNAL_H
#define HOODY_PROFILE_PARSE_INTERNAL_H

#include "profile/profile_internal.h"

#include <stdio.h>
#include <yyjson.h>

#define PARSE_ENTRIES_MAX	4096
#define PARSE_SAID_MAX		16384	/* names, times their alternative conditions */

/* The arguments of an entry: conditions that must all hold, or of which one must. */
struct parse_args {
	struct profile_cond	conds[RULE_CONDS_MAX];
	unsigned int		count;
	bool			any;	/* one condition is enough */
};

/* How many rules they make: each of alternative conditions is one. */
static inline unsigned int parse_rules(const struct parse_args *args)
{
	return args->any ? args->count : 1;
}

/* What capabilities, architecture and kernel make of an entry. */
struct parse_filter {
	bool	applies;	/* to this container */
	bool	there;		/* they may make it another thing for another one */
};

/* struct said - one rule, before architectures. */
struct said {
	const char		*name;		/* of the document */
	unsigned int		scope;		/* those of one scope are compared */
	unsigned int		entry;
	uint8_t			action;
	unsigned int		conds_count;
	struct profile_cond	conds[RULE_CONDS_MAX];	/* in order */
};

struct said_set {
	void		*root;		/* tsearch(3), of struct said */
	unsigned int	count;
};

struct parser {
	struct table_builder		*builder;
	const struct profile_options	*options;
	struct said_set			said;
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
int parse_filters(struct parser *parser, yyjson_val *entry, const char *path,
		  struct parse_filter *filter);
int parse_args(struct parser *parser, yyjson_val *entry, const char *path,
	       struct parse_args *args);

/* said.c */
bool said_same_cond(const struct profile_cond *a, const struct profile_cond *b);
void said_sort(struct profile_cond *conds, unsigned int count);
/* Gives @said the conditions of the rule number @rule that @args make. */
void said_take_conds(struct said *said, const struct parse_args *args, unsigned int rule);
/* Adds a copy of @said; @before is what was there already, and stays, or NULL. */
int said_add(struct said_set *set, const struct said *said, const struct said **before);
void said_clear(struct said_set *set);
/* That nothing of the kind was said before of @said's name, at @path, by the rules of @args. */
int said_check(struct parser *parser, struct said *said, const char *path,
	       const struct parse_args *args);

#endif /* HOODY_PROFILE_PARSE_INTERNAL_H */
