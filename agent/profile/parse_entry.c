// SPDX-License-Identifier: Apache-2.0
/*
 * One element of a profile's "syscalls": which calls, under which conditions,
 * and whether it applies to this machine and container at all.
 */
#include "profile/parse_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool known_cap(const struct profile_options *options, const char *name)
{
	for (size_t i = 0; i < options->caps_count; i++)
		if (!strcmp(options->caps[i], name))
			return true;
	return false;
}

/* How many elements of the list of strings @object.@field are in @what. */
struct tally {
	size_t	all, hits;
};

static int tally_strings(struct parser *parser, yyjson_val *object, const char *path,
			 const char *field, bool caps, struct tally *tally)
{
	yyjson_val *list = parse_field(object, field), *value;
	size_t i, max;

	*tally = (struct tally){ 0 };
	if (!list)
		return 0;
	if (!yyjson_is_arr(list))
		return parse_fail(parser, "%s.%s: must be a list of strings", path, field);
	yyjson_arr_foreach(list, i, max, value) {
		const char *text = yyjson_get_str(value);

		if (!text || !*text)
			return parse_fail(parser, "%s.%s[%zu]: must be a string", path, field, i);
		if (caps && strncmp(text, "CAP_", 4))
			return parse_fail(parser, "%s.%s[%zu]: '%.40s' is no capability: its name "
					  "starts with CAP_", path, field, i, text);
		tally->all++;
		tally->hits += caps ? known_cap(parser->options, text) : !strcmp(text, "amd64");
	}
	return 0;
}

/* Is the kernel at least the "major.minor" of @object.minKernel? 1 where it says nothing. */
static int kernel_enough(struct parser *parser, yyjson_val *object, const char *path, bool *enough)
{
	yyjson_val *value = parse_field(object, "minKernel");
	unsigned int major, minor;
	int used = 0;

	*enough = true;
	if (!value)
		return 0;
	if (!yyjson_is_str(value) ||
	    sscanf(yyjson_get_str(value), "%5u.%5u%n", &major, &minor, &used) != 2 ||
	    used != (int)yyjson_get_len(value))
		return parse_fail(parser, "%s.minKernel: must be a version such as \"4.8\"", path);
	*enough = parser->options->kernel_major > major ||
		  (parser->options->kernel_major == major && parser->options->kernel_minor >= minor);
	return 0;
}

/* What includes and excludes make of the entry. */
int parse_filters(struct parser *parser, yyjson_val *entry, const char *path,
		  struct parse_filter *filter)
{
	static const char *const known[] = { "caps", "arches", "minKernel", NULL };
	static const char *const fields[] = { "excludes", "includes" };
	struct tally caps, arches;
	char where[96];
	bool enough, versioned;
	int err;

	*filter = (struct parse_filter){ .applies = true };
	for (int includes = 0; includes < 2; includes++) {
		yyjson_val *object = parse_field(entry, fields[includes]);

		if (!object)
			continue;
		snprintf(where, sizeof(where), "%s.%s", path, fields[includes]);
		err = parse_known(parser, object, where, known);
		if (!err)
			err = tally_strings(parser, object, where, "caps", true, &caps);
		if (!err)
			err = tally_strings(parser, object, where, "arches", false, &arches);
		if (!err)
			err = kernel_enough(parser, object, where, &enough);
		if (err)
			return err;
		versioned = parse_field(object, "minKernel");
		filter->there |= caps.all || arches.all || versioned;
		if (includes)
			filter->applies &= caps.hits == caps.all && (!arches.all || arches.hits) &&
					   enough;
		else if (caps.hits || arches.hits || (versioned && enough))
			filter->applies = false;
	}
	return 0;
}

static int parse_number(struct parser *parser, yyjson_val *object, const char *path,
			const char *field, bool needed, uint64_t most, uint64_t *number)
{
	yyjson_val *value = parse_field(object, field);

	*number = 0;
	if (!value && !needed)
		return 0;
	if (!value)
		return parse_fail(parser, "%s.%s: is missing", path, field);
	if (!yyjson_is_uint(value) || yyjson_get_uint(value) > most)
		return parse_fail(parser, "%s.%s: must be a whole number from 0 to %ju", path, field,
				  (uintmax_t)most);
	*number = yyjson_get_uint(value);
	return 0;
}

static int parse_op(struct parser *parser, yyjson_val *value, const char *path,
		    struct profile_cond *cond, uint64_t first, uint64_t second)
{
	static const struct {
		const char	*name;
		enum hoody_op	op;
	} names[] = {
		{ "SCMP_CMP_NE", HOODY_OP_NE }, { "SCMP_CMP_LT", HOODY_OP_LT },
		{ "SCMP_CMP_LE", HOODY_OP_LE }, { "SCMP_CMP_EQ", HOODY_OP_EQ },
		{ "SCMP_CMP_GE", HOODY_OP_GE }, { "SCMP_CMP_GT", HOODY_OP_GT },
	};

	if (!yyjson_is_str(value))
		return parse_fail(parser, "%s.op: must be a string, such as SCMP_CMP_EQ", path);
	cond->mask = UINT64_MAX;
	cond->value = first;
	if (parse_is(value, "SCMP_CMP_MASKED_EQ")) {
		cond->op = HOODY_OP_EQ;
		cond->mask = first;
		cond->value = second & first;
		if (second & ~first)
			profile_warn(parser->builder->report,
				     "%s.valueTwo: bits outside the mask are ignored", path);
		return 0;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (parse_is(value, names[i].name)) {
			cond->op = names[i].op;
			return 0;
		}
	}
	return parse_fail(parser, "%s.op: unknown operator '%.40s'", path, yyjson_get_str(value));
}

/* That the last condition of @args, which stands at @path, is none of those before it. */
static int args_differ(struct parser *parser, const struct parse_args *args, const char *path)
{
	unsigned int last = args->count - 1;

	for (unsigned int i = 0; i < last && !parser->options->accepted; i++)
		if (said_same_cond(&args->conds[i], &args->conds[last]))
			return parse_fail(parser, "%s: the same condition as args[%u]: leave one out",
					  path, i);
	return 0;
}

int parse_args(struct parser *parser, yyjson_val *entry, const char *entry_path,
	       struct parse_args *args)
{
	static const char *const known[] = { "index", "value", "valueTwo", "op", NULL };
	yyjson_val *list = parse_field(entry, "args"), *value;
	uint64_t index, first, second;
	unsigned int seen = 0;
	char path[96];
	size_t i, max;
	int err;

	*args = (struct parse_args){ .count = 0 };
	if (!list)
		return 0;
	if (!yyjson_is_arr(list))
		return parse_fail(parser, "%s.args: must be a list", entry_path);
	if (yyjson_arr_size(list) > RULE_CONDS_MAX)
		return parse_fail(parser, "%s.args: more than %d conditions: split the entry",
				  entry_path, RULE_CONDS_MAX);
	yyjson_arr_foreach(list, i, max, value) {
		struct profile_cond *cond = &args->conds[args->count++];

		snprintf(path, sizeof(path), "%s.args[%zu]", entry_path, i);
		err = parse_known(parser, value, path, known);
		if (!err)
			err = parse_number(parser, value, path, "index", true, 5, &index);
		if (!err)
			err = parse_number(parser, value, path, "value", true, UINT64_MAX, &first);
		if (!err)
			err = parse_number(parser, value, path, "valueTwo", false, UINT64_MAX,
					   &second);
		if (!err)
			err = parse_op(parser, parse_field(value, "op"), path, cond, first, second);
		if (err)
			return err;
		cond->arg = index;
		err = args_differ(parser, args, path);
		if (err)
			return err;
		/* runc: where an argument stands twice, each condition is a rule of its own. */
		args->any |= seen >> index & 1;
		seen |= 1u << index;
	}
	return 0;
}

/* Rules of a call with a number of its own. */
static int add_direct(struct parser *parser, unsigned int arch, unsigned int nr,
		      struct table_rule *rule, const struct parse_args *args)
{
	unsigned int rules = parse_rules(args), each = args->any ? 1 : args->count;
	int err;

	rule->call = arch * HOODY_TABLE_CALLS + nr;
	for (unsigned int i = 0; i < rules; i++) {
		rule->conds_count = each;
		memcpy(rule->conds, args->conds + i * each, each * sizeof(*args->conds));
		for (unsigned int j = 0; j < each && arch == HOODY_ARCH_IA32; j++) {
			rule->conds[j].mask &= UINT32_MAX;
			rule->conds[j].value &= UINT32_MAX;
		}
		/* In whatever order they stand in the profile. */
		said_sort(rule->conds, each);
		err = table_add(parser->builder, rule);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Rules of a call that ia32 can also make through socketcall(2) or ipc(2). The
 * arguments are then in memory, where nobody can look: a rule with conditions
 * that grants something grants nothing there, one that refuses refuses all.
 */
static int add_mux(struct parser *parser, const struct syscall_target *target,
		   struct table_rule *rule, const struct parse_args *args)
{
	const struct hoody_table_action *actions = parser->builder->actions;
	bool stricter = actions[rule->action].kind > actions[parser->builder->otherwise].kind;

	if (args->count && !stricter)
		return 0;
	rule->call = HOODY_ARCH_IA32 * HOODY_TABLE_CALLS + target->mux_nr;
	rule->conds_count = 1;
	rule->conds[0] = (struct profile_cond){
		/* ipc(2) has a version in the upper half of the argument. */
		.op = HOODY_OP_EQ, .mask = stricter ? 0xffff : UINT32_MAX,
		.value = target->mux_call,
	};
	if (target->mux_nr == IA32_NR_SOCKETCALL)
		rule->conds[0].mask = UINT32_MAX;
	return table_add(parser->builder, rule);
}

static int add_name(struct parser *parser, const char *name, const char *path,
		    struct table_rule *rule, const struct parse_args *args)
{
	struct syscall_target targets[HOODY_ARCHS];
	int err;

	if (!syscalls_resolve(name, targets)) {
		profile_warn(parser->builder->report, "%s: no system call '%.40s' is known to "
			     "libseccomp: the entry does nothing for it", path, name);
		return 0;
	}
	for (unsigned int arch = 0; arch < HOODY_ARCHS; arch++) {
		if (!parser->builder->archs[arch])
			continue;
		if (targets[arch].nr >= 0) {
			err = add_direct(parser, arch, targets[arch].nr, rule, args);
			if (err)
				return err;
		}
		if (targets[arch].mux_nr >= 0) {
			err = add_mux(parser, &targets[arch], rule, args);
			if (err)
				return err;
		}
	}
	return 0;
}

/* One name, which stands at @path; @said has all but the name and the conditions. */
static int take_name(struct parser *parser, yyjson_val *name, const char *path, bool applies,
		     struct table_rule *rule, struct said *said, const struct parse_args *args)
{
	int err;

	if (!yyjson_is_str(name) || !yyjson_get_len(name))
		return parse_fail(parser, "%s: must be the name of a system call", path);
	said->name = yyjson_get_str(name);
	err = said_check(parser, said, path, args);
	if (err || !applies)
		return err;
	return add_name(parser, said->name, path, rule, args);
}

static int add_names(struct parser *parser, yyjson_val *entry, const char *path,
		     const struct parse_filter *filter, struct table_rule *rule,
		     const struct parse_args *args)
{
	yyjson_val *names = parse_field(entry, "names"), *name = parse_field(entry, "name");
	struct said said = {
		.entry = rule->entry, .action = rule->action,
		.scope = filter->there ? rule->entry + 1u : 0,
	};
	char where[96];
	size_t i, max;
	int err;

	if (!names == !name || (name && !yyjson_is_str(name)) || (names && !yyjson_is_arr(names)) ||
	    (names && !yyjson_arr_size(names)))
		return parse_fail(parser, "%s.names: must be a list of names of system calls", path);
	if (name) {
		snprintf(where, sizeof(where), "%s.name", path);
		return take_name(parser, name, where, filter->applies, rule, &said, args);
	}
	yyjson_arr_foreach(names, i, max, name) {
		snprintf(where, sizeof(where), "%s.names[%zu]", path, i);
		err = take_name(parser, name, where, filter->applies, rule, &said, args);
		if (err)
			return err;
	}
	return 0;
}

int parse_entry(struct parser *parser, yyjson_val *entry, unsigned int index)
{
	static const char *const known[] = { "names", "name", "action", "errnoRet", "errno", "args",
					     "comment", "includes", "excludes", NULL };
	struct table_rule rule = { .entry = index };
	enum hoody_action kind;
	int err, error, action;
	char path[64], where[96];
	struct parse_filter filter;
	struct parse_args args;

	snprintf(path, sizeof(path), "$.syscalls[%u]", index);
	snprintf(where, sizeof(where), "%s.action", path);
	err = parse_known(parser, entry, path, known);
	if (!err)
		err = parse_action_name(parser, parse_field(entry, "action"), where, &kind);
	if (!err)
		err = parse_errno(parser, entry, path, "errnoRet", "errno", &error);
	if (!err)
		err = parse_args(parser, entry, path, &args);
	if (!err)
		err = parse_filters(parser, entry, path, &filter);
	if (err)
		return err;
	snprintf(where, sizeof(where), "%s.errnoRet", path);
	action = parse_action(parser, where, kind, error);
	if (action < 0)
		return action;
	rule.action = action;
	/* As runc: it would say what the default says. Only names are looked at. */
	if (rule.action == parser->builder->otherwise) {
		if (args.count)
			profile_warn(parser->builder->report, "%s: the same as the default: no effect",
				     path);
		filter.applies = false;
	}
	return add_names(parser, entry, path, &filter, &rule, &args);
}
