// SPDX-License-Identifier: Apache-2.0
/*
 * From rules to a decision table.
 *
 * Which rule decides a call:
 *   1. one without conditions, whatever others say, the first of them;
 *   2. of those whose conditions hold, the strictest action (kill, trap, errno,
 *      log, allow), of equals the one that stands first;
 *   3. the default action.
 * Two that say different things under the same conditions are refused, but for case 1
 * where an entry depends on the container; by said.c, what is left by this file.
 */
#include "profile/profile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The index of the action, made where it is new; -E2BIG with the report filled. */
int table_action(struct table_builder *builder, enum hoody_action kind, unsigned int error)
{
	unsigned int i;

	for (i = 0; i < builder->actions_count; i++)
		if (builder->actions[i].kind == kind && builder->actions[i].error == error)
			return i;
	if (i == HOODY_TABLE_ACTIONS)
		return profile_fail(builder->report, -E2BIG,
				    "$: more than %d different actions and errno values",
				    HOODY_TABLE_ACTIONS);
	builder->actions[i].kind = kind;
	builder->actions[i].error = error;
	builder->actions_count++;
	return i;
}

int table_add(struct table_builder *builder, const struct table_rule *rule)
{
	struct table_rule *grown;

	if (builder->rules_count == builder->rules_size) {
		if (builder->rules_size == TABLE_RULES_READ)
			return profile_fail(builder->report, -E2BIG,
					    "$.syscalls[%u]: more than %d rules in all",
					    rule->entry, TABLE_RULES_READ);
		builder->rules_size = builder->rules_size ? builder->rules_size * 2 : 512;
		grown = realloc(builder->rules, builder->rules_size * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		builder->rules = grown;
	}
	builder->rules[builder->rules_count++] = *rule;
	return 0;
}

static unsigned int strictness(const struct table_builder *builder, uint8_t action)
{
	return builder->actions[action].kind;	/* the enum is in that order */
}

/* By call; in it unconditional rules first, then as they are to be tried. */
static int rule_compare(const void *left, const void *right, void *context)
{
	const struct table_rule *a = left, *b = right;
	unsigned int strict_a = strictness(context, a->action);
	unsigned int strict_b = strictness(context, b->action);

	if (a->call != b->call)
		return a->call < b->call ? -1 : 1;
	if (!a->conds_count != !b->conds_count)
		return a->conds_count ? 1 : -1;
	if (strict_a != strict_b)
		return strict_a > strict_b ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

static bool same_conds(const struct table_rule *a, const struct table_rule *b)
{
	if (a->conds_count != b->conds_count)
		return false;
	for (unsigned int i = 0; i < a->conds_count; i++)
		if (a->conds[i].arg != b->conds[i].arg || a->conds[i].op != b->conds[i].op ||
		    a->conds[i].mask != b->conds[i].mask || a->conds[i].value != b->conds[i].value)
			return false;
	return true;
}

/* The table while it grows; its parts are put together at the end. */
struct layout {
	struct hoody_table	 head;
	struct hoody_table_cond	 conds[HOODY_TABLE_CONDS];
	struct hoody_table_check checks[HOODY_ARCHS][HOODY_TABLE_CHECKS];
	struct hoody_table_rule	 rules[HOODY_TABLE_RULES];
};

static int layout_rule(struct table_builder *builder, struct layout *layout,
		       const struct table_rule *rule)
{
	struct hoody_table_rule *out = &layout->rules[layout->head.rules];

	if (layout->head.rules == HOODY_TABLE_RULES ||
	    layout->head.conds + rule->conds_count > HOODY_TABLE_CONDS)
		return profile_fail(builder->report, -E2BIG,
				    "$.syscalls[%u].args: more than %d argument conditions in all",
				    rule->entry, HOODY_TABLE_CONDS);
	out->cond = layout->head.conds;
	out->conds = rule->conds_count;
	out->action = rule->action;
	layout->head.rules++;
	for (unsigned int i = 0; i < rule->conds_count; i++) {
		struct hoody_table_cond *cond = &layout->conds[layout->head.conds++];

		cond->arg = rule->conds[i].arg;
		cond->op = rule->conds[i].op;
		cond->mask = rule->conds[i].mask;
		cond->value = rule->conds[i].value;
	}
	return 0;
}

/*
 * Of entries that depend on the container, or by two names of one call. Not refused:
 * Podman's own profile has one. said.c refuses the others.
 */
static void warn_of_double(struct table_builder *builder, const struct table_rule *later,
			   const struct table_rule *first)
{
	if (later->entry != first->entry)
		profile_warn(builder->report,
			     "$.syscalls[%u]: says of a call what $.syscalls[%u] said already",
			     later->entry, first->entry);
}

/* Conditional rules that say the same twice are dropped, and opposites refused. */
static int layout_check(struct table_builder *builder, struct layout *layout,
			const struct table_rule *rules, unsigned int count)
{
	unsigned int arch = rules->call / HOODY_TABLE_CALLS, i, j;
	struct hoody_table_check *check;
	int err;

	if (layout->head.checks[arch] == HOODY_TABLE_CHECKS)
		return profile_fail(builder->report, -E2BIG,
				    "$.syscalls[%u].args: more than %d calls with conditions",
				    rules->entry, HOODY_TABLE_CHECKS);
	check = &layout->checks[arch][layout->head.checks[arch]];
	check->rule = layout->head.rules;
	check->otherwise = builder->otherwise;
	for (i = 0; i < count; i++) {
		for (j = 0; j < i && !same_conds(&rules[i], &rules[j]); j++)
			;
		if (j < i && rules[i].action == rules[j].action) {
			warn_of_double(builder, &rules[i], &rules[j]);
			continue;
		}
		if (j < i)
			return profile_fail(builder->report, -EINVAL,
					    "$.syscalls[%u]: contradicts $.syscalls[%u]: another "
					    "action for the same call and arguments",
					    rules[i].entry, rules[j].entry);
		err = layout_rule(builder, layout, &rules[i]);
		if (err)
			return err;
	}
	check->rules = layout->head.rules - check->rule;
	layout->head.decision[arch][rules->call % HOODY_TABLE_CALLS] =
		HOODY_TABLE_CHECKED | layout->head.checks[arch]++;
	return 0;
}

/* All rules of one call. */
static int layout_call(struct table_builder *builder, struct layout *layout,
		       const struct table_rule *rules, unsigned int count)
{
	unsigned int plain = 0, first = 0, i;

	while (plain < count && !rules[plain].conds_count)
		plain++;
	if (!plain)
		return layout_check(builder, layout, rules, count);
	for (i = 1; i < plain; i++)
		if (rules[i].entry < rules[first].entry)
			first = i;
	/* libseccomp takes the first and says nothing; Podman's own profile relies on it. */
	for (i = 0; i < plain; i++)
		if (rules[i].action != rules[first].action)
			profile_warn(builder->report,
				     "$.syscalls[%u]: no effect on a call that $.syscalls[%u] "
				     "decides otherwise, and stands first",
				     rules[i].entry, rules[first].entry);
		else if (i != first)
			warn_of_double(builder, &rules[i], &rules[first]);
	for (i = plain; i < count; i++)
		if (rules[i].action != rules[first].action)
			profile_warn(builder->report,
				     "$.syscalls[%u].args: no effect, $.syscalls[%u] decides the "
				     "call without looking at arguments",
				     rules[i].entry, rules[first].entry);
	layout->head.decision[rules->call / HOODY_TABLE_CALLS][rules->call % HOODY_TABLE_CALLS] =
		rules[first].action;
	return 0;
}

/* Copies the parts into one piece of memory. */
static struct hoody_table *layout_join(struct layout *layout)
{
	size_t conds = layout->head.conds * sizeof(*layout->conds);
	size_t checks0 = layout->head.checks[0] * sizeof(**layout->checks);
	size_t checks1 = layout->head.checks[1] * sizeof(**layout->checks);
	size_t rules = layout->head.rules * sizeof(*layout->rules);
	struct hoody_table *table;
	char *at;

	layout->head.size = sizeof(*table) + conds + checks0 + checks1 + rules;
	table = malloc(layout->head.size);
	if (!table)
		return NULL;
	*table = layout->head;
	at = (char *)(table + 1);
	memcpy(at, layout->conds, conds);
	memcpy(at + conds, layout->checks[0], checks0);
	memcpy(at + conds + checks0, layout->checks[1], checks1);
	memcpy(at + conds + checks0 + checks1, layout->rules, rules);
	return table;
}

int table_build(struct table_builder *builder, struct hoody_table **table)
{
	struct layout *layout = calloc(1, sizeof(*layout));
	unsigned int i, end;
	int err = 0, kill;

	if (!layout)
		return -ENOMEM;
	/* libseccomp's answer to an architecture that a filter does not know. */
	kill = table_action(builder, HOODY_ACTION_KILL_THREAD, 0);
	if (kill < 0) {
		err = kill;
		goto out;
	}
	for (i = 0; i < HOODY_ARCHS; i++) {
		layout->head.beyond[i] = builder->archs[i] ? builder->otherwise : kill;
		memset(layout->head.decision[i], layout->head.beyond[i], HOODY_TABLE_CALLS);
	}
	if (builder->rules_count)
		qsort_r(builder->rules, builder->rules_count, sizeof(*builder->rules),
			rule_compare, builder);
	for (i = 0; i < builder->rules_count && !err; i = end) {
		for (end = i + 1; end < builder->rules_count &&
				  builder->rules[end].call == builder->rules[i].call; end++)
			;
		err = layout_call(builder, layout, &builder->rules[i], end - i);
	}
	if (err)
		goto out;
	layout->head.magic = HOODY_TABLE_MAGIC;
	layout->head.version = HOODY_TABLE_VERSION;
	layout->head.actions = builder->actions_count;
	memcpy(layout->head.action, builder->actions, sizeof(builder->actions));
	*table = layout_join(layout);
	if (!*table)
		err = -ENOMEM;
out:
	free(layout);
	return err;
}
