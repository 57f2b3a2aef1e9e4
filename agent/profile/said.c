// SPDX-License-Identifier: Apache-2.0
/*
 * What a profile has said already of a call under certain conditions. A rule that
 * stands twice, or beside another one of the same conditions and another action, is a
 * mistake of whoever wrote it: one of the two is not what was meant. Refused where both
 * hold for every container. Entries that capabilities, kernels or architectures switch
 * (includes, excludes) overlap in the profiles that Podman and Docker bring, and are
 * compared with themselves alone; table.c warns about what is left of them.
 */
#include "profile/parse_internal.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int cond_compare(const struct profile_cond *a, const struct profile_cond *b)
{
	if (a->arg != b->arg)
		return a->arg < b->arg ? -1 : 1;
	if (a->op != b->op)
		return a->op < b->op ? -1 : 1;
	if (a->mask != b->mask)
		return a->mask < b->mask ? -1 : 1;
	return a->value < b->value ? -1 : a->value > b->value;
}

bool said_same_cond(const struct profile_cond *a, const struct profile_cond *b)
{
	return !cond_compare(a, b);
}

void said_sort(struct profile_cond *conds, unsigned int count)
{
	for (unsigned int i = 1; i < count; i++) {
		for (unsigned int j = i; j && cond_compare(&conds[j], &conds[j - 1]) < 0; j--) {
			struct profile_cond swapped = conds[j];

			conds[j] = conds[j - 1];
			conds[j - 1] = swapped;
		}
	}
}

static int said_compare(const void *left, const void *right)
{
	const struct said *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (order)
		return order;
	if (a->scope != b->scope)
		return a->scope < b->scope ? -1 : 1;
	if (a->conds_count != b->conds_count)
		return a->conds_count < b->conds_count ? -1 : 1;
	for (unsigned int i = 0; i < a->conds_count && !order; i++)
		order = cond_compare(&a->conds[i], &b->conds[i]);
	return order;
}

void said_take_conds(struct said *said, const struct parse_args *args, unsigned int rule)
{
	said->conds_count = args->any ? 1 : args->count;
	memcpy(said->conds, args->conds + (args->any ? rule : 0),
	       said->conds_count * sizeof(*said->conds));
	said_sort(said->conds, said->conds_count);
}

int said_add(struct said_set *set, const struct said *said, const struct said **before)
{
	struct said *copy, **found;

	*before = NULL;
	found = tfind(said, &set->root, said_compare);
	if (found) {
		*before = *found;
		return 0;
	}
	if (set->count == PARSE_SAID_MAX)
		return -E2BIG;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *said;
	if (!tsearch(copy, &set->root, said_compare)) {
		free(copy);
		return -ENOMEM;
	}
	set->count++;
	return 0;
}

void said_clear(struct said_set *set)
{
	tdestroy(set->root, free);
	*set = (struct said_set){ 0 };
}

static int fail_twice(struct parser *parser, const char *path, const struct said *said,
		      const struct said *before)
{
	if (before->entry == said->entry)
		return parse_fail(parser, "%s: '%.40s' stands there twice: leave one out", path,
				  said->name);
	if (before->action == said->action)
		return parse_fail(parser, "%s: $.syscalls[%u] says the same of '%.40s': leave one "
				  "out", path, before->entry, said->name);
	return parse_fail(parser, "%s: contradicts $.syscalls[%u], which has another action for "
			  "'%.40s' under the same conditions: leave one out", path, before->entry,
			  said->name);
}

int said_check(struct parser *parser, struct said *said, const char *path,
	       const struct parse_args *args)
{
	const struct said *before;
	int err;

	if (parser->options->accepted)
		return 0;
	for (unsigned int i = 0; i < parse_rules(args); i++) {
		said_take_conds(said, args, i);
		err = said_add(&parser->said, said, &before);
		if (err == -E2BIG)
			return profile_fail(parser->builder->report, err,
					    "%s: more than %d names and conditions in all", path,
					    PARSE_SAID_MAX);
		if (err)
			return err;
		if (before)
			return fail_twice(parser, path, said, before);
	}
	return 0;
}
