// SPDX-License-Identifier: Apache-2.0
/*
 * Reads a profile's JSON. Every field is known by name and type, everything
 * else is refused; a value that is null counts as absent, as encoders of Go
 * write it. parse_entry.c does the elements of "syscalls".
 */
#include "profile/parse_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char	*name;
	int		arch;		/* enum hoody_arch; -1: another's, or x32, which goes by x86-64 */
} arch_names[] = {
	{ "SCMP_ARCH_X86_64", HOODY_ARCH_X86_64 }, { "SCMP_ARCH_X86", HOODY_ARCH_IA32 },
	{ "SCMP_ARCH_X32", -1 }, { "SCMP_ARCH_NATIVE", HOODY_ARCH_X86_64 },
	{ "SCMP_ARCH_ARM", -1 }, { "SCMP_ARCH_AARCH64", -1 }, { "SCMP_ARCH_MIPS", -1 },
	{ "SCMP_ARCH_MIPS64", -1 }, { "SCMP_ARCH_MIPS64N32", -1 }, { "SCMP_ARCH_MIPSEL", -1 },
	{ "SCMP_ARCH_MIPSEL64", -1 }, { "SCMP_ARCH_MIPSEL64N32", -1 }, { "SCMP_ARCH_PPC", -1 },
	{ "SCMP_ARCH_PPC64", -1 }, { "SCMP_ARCH_PPC64LE", -1 }, { "SCMP_ARCH_S390", -1 },
	{ "SCMP_ARCH_S390X", -1 }, { "SCMP_ARCH_PARISC", -1 }, { "SCMP_ARCH_PARISC64", -1 },
	{ "SCMP_ARCH_RISCV64", -1 }, { "SCMP_ARCH_LOONGARCH64", -1 }, { "SCMP_ARCH_M68K", -1 },
	{ "SCMP_ARCH_SH", -1 }, { "SCMP_ARCH_SHEB", -1 },
};

static const struct {
	const char		*name;
	enum hoody_action	kind;
} action_names[] = {
	{ "SCMP_ACT_ALLOW", HOODY_ACTION_ALLOW }, { "SCMP_ACT_LOG", HOODY_ACTION_LOG },
	{ "SCMP_ACT_ERRNO", HOODY_ACTION_ERRNO }, { "SCMP_ACT_TRAP", HOODY_ACTION_TRAP },
	{ "SCMP_ACT_KILL", HOODY_ACTION_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", HOODY_ACTION_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", HOODY_ACTION_KILL_PROCESS },
};

#define COUNT(array)	(sizeof(array) / sizeof(*(array)))

bool parse_is(yyjson_val *value, const char *text)
{
	return yyjson_equals_str(value, text);
}

yyjson_val *parse_field(yyjson_val *object, const char *name)
{
	yyjson_val *value = yyjson_obj_get(object, name);

	return yyjson_is_null(value) ? NULL : value;
}

/* That @object, found at @path, has no field that stands twice or is not in @known. */
int parse_known(struct parser *parser, yyjson_val *object, const char *path,
		const char *const *known)
{
	yyjson_val *key, *value;
	unsigned int seen = 0;
	size_t i, max;

	if (!yyjson_is_obj(object))
		return parse_fail(parser, "%s: must be an object", path);
	yyjson_obj_foreach(object, i, max, key, value) {
		unsigned int k = 0;

		while (known[k] && !yyjson_equals_str(key, known[k]))
			k++;
		if (!known[k])
			return parse_fail(parser, "%s.%.40s: unknown field", path,
					  yyjson_get_str(key));
		if (seen & 1u << k)
			return parse_fail(parser, "%s.%s: stands twice", path, known[k]);
		seen |= 1u << k;
	}
	return 0;
}

int parse_action_name(struct parser *parser, yyjson_val *value, const char *path,
		      enum hoody_action *kind)
{
	if (!yyjson_is_str(value))
		return parse_fail(parser, "%s: must be a string, such as SCMP_ACT_ERRNO", path);
	for (size_t i = 0; i < COUNT(action_names); i++) {
		if (parse_is(value, action_names[i].name)) {
			*kind = action_names[i].kind;
			return 0;
		}
	}
	if (parse_is(value, "SCMP_ACT_NOTIFY") || parse_is(value, "SCMP_ACT_TRACE"))
		return parse_fail(parser, "%s: %s needs a supervisor of the task and has no meaning "
				  "here: use SCMP_ACT_ERRNO or SCMP_ACT_LOG", path,
				  yyjson_get_str(value));
	return parse_fail(parser, "%s: unknown action '%.40s'", path, yyjson_get_str(value));
}

static int errno_named(const char *name)
{
	for (int i = 1; i < 4096; i++) {
		const char *known = strerrorname_np(i);

		if (known && !strcmp(known, name))
			return i;
	}
	return -1;
}

/*
 * The errno of @object: a number in the field @number or, as Podman writes it, a
 * name in the field @name. -1 in @error where it has neither.
 */
int parse_errno(struct parser *parser, yyjson_val *object, const char *path, const char *number,
		const char *name, int *error)
{
	yyjson_val *value = parse_field(object, number), *text = parse_field(object, name);
	int named = -1;

	*error = -1;
	if (text && (!yyjson_is_str(text) ||
		     (yyjson_get_len(text) && (named = errno_named(yyjson_get_str(text))) < 0)))
		return parse_fail(parser, "%s.%s: must be the name of an errno, such as EPERM", path,
				  name);
	if (value && (!yyjson_is_uint(value) || yyjson_get_uint(value) > 4095))
		return parse_fail(parser, "%s.%s: must be a number from 0 to 4095", path, number);
	if (value)
		*error = yyjson_get_uint(value);
	if (named >= 0 && *error >= 0 && named != *error)
		return parse_fail(parser, "%s.%s: is %d, but %s says %s", path, number, *error, name,
				  yyjson_get_str(text));
	if (*error < 0)
		*error = named;
	return 0;
}

/* The index of the action with its errno; @error -1: the usual one. */
int parse_action(struct parser *parser, const char *path, enum hoody_action kind, int error)
{
	if (kind == HOODY_ACTION_ERRNO)
		return table_action(parser->builder, kind, error < 0 ? parser->default_errno : error);
	/* runc takes it silently for these; it has no meaning there, and does no harm. */
	if (error > 0)
		profile_warn(parser->builder->report, "%s: an errno with an action that returns "
			     "none", path);
	return table_action(parser->builder, kind, 0);
}

static int arch_named(struct parser *parser, yyjson_val *value, const char *path, int *arch)
{
	if (!yyjson_is_str(value))
		return parse_fail(parser, "%s: must be a string, such as SCMP_ARCH_X86", path);
	for (size_t i = 0; i < COUNT(arch_names); i++) {
		if (parse_is(value, arch_names[i].name)) {
			*arch = arch_names[i].arch;
			return 0;
		}
	}
	return parse_fail(parser, "%s: unknown architecture '%.40s'", path, yyjson_get_str(value));
}

/* A list of architectures at @path; those of this machine are marked as spoken of. */
static int parse_archs(struct parser *parser, yyjson_val *list, const char *path)
{
	char where[PROFILE_TEXT_MAX];
	yyjson_val *value;
	size_t i, max;
	int err, arch;

	if (!yyjson_is_arr(list))
		return parse_fail(parser, "%s: must be a list of architectures", path);
	yyjson_arr_foreach(list, i, max, value) {
		snprintf(where, sizeof(where), "%s[%zu]", path, i);
		err = arch_named(parser, value, where, &arch);
		if (err)
			return err;
		if (arch >= 0)
			parser->builder->archs[arch] = true;
	}
	return 0;
}

static int parse_arch_map(struct parser *parser, yyjson_val *list)
{
	static const char *const known[] = { "architecture", "subArchitectures", NULL };
	char path[64], where[96];
	yyjson_val *entry, *subs;
	size_t i, max;
	int err, arch;

	if (!yyjson_is_arr(list))
		return parse_fail(parser, "$.archMap: must be a list");
	yyjson_arr_foreach(list, i, max, entry) {
		snprintf(path, sizeof(path), "$.archMap[%zu]", i);
		snprintf(where, sizeof(where), "%s.architecture", path);
		err = parse_known(parser, entry, path, known);
		if (!err)
			err = arch_named(parser, parse_field(entry, "architecture"), where, &arch);
		if (err)
			return err;
		subs = parse_field(entry, "subArchitectures");
		if (arch != HOODY_ARCH_X86_64 || !subs)
			continue;
		snprintf(where, sizeof(where), "%s.subArchitectures", path);
		err = parse_archs(parser, subs, where);
		if (err)
			return err;
	}
	return 0;
}

static int parse_architectures(struct parser *parser, yyjson_val *root)
{
	yyjson_val *list = parse_field(root, "architectures");
	yyjson_val *map = parse_field(root, "archMap");

	/* The machine's own one is always spoken of, as in libseccomp. */
	parser->builder->archs[HOODY_ARCH_X86_64] = true;
	if (list && yyjson_arr_size(list) && map && yyjson_arr_size(map))
		return parse_fail(parser, "$.archMap: stands beside $.architectures: use one of them");
	if (list) {
		int err = parse_archs(parser, list, "$.architectures");

		if (err)
			return err;
	}
	return map ? parse_arch_map(parser, map) : 0;
}

static int parse_defaults(struct parser *parser, yyjson_val *root)
{
	enum hoody_action kind;
	int err, error, action;

	if (!parse_field(root, "defaultAction"))
		return parse_fail(parser, "$.defaultAction: is missing: say SCMP_ACT_ERRNO or "
				  "SCMP_ACT_ALLOW");
	err = parse_action_name(parser, yyjson_obj_get(root, "defaultAction"), "$.defaultAction",
				&kind);
	if (!err)
		err = parse_errno(parser, root, "$", "defaultErrnoRet", "defaultErrno", &error);
	if (err)
		return err;
	/* runc: the errno of rules that name none is EPERM, whatever the default's is. */
	parser->default_errno = EPERM;
	action = parse_action(parser, "$.defaultErrnoRet", kind, error);
	if (action < 0)
		return action;
	parser->builder->otherwise = action;
	return 0;
}

static int parse_root(struct parser *parser, yyjson_val *root)
{
	static const char *const known[] = {
		"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap",
		"flags", "listenerPath", "listenerMetadata", "syscalls", NULL,
	};
	yyjson_val *list, *entry;
	size_t i, max;
	int err;

	err = parse_known(parser, root, "$", known);
	if (err)
		return err;
	for (i = 6; i < 8; i++)
		if (parse_field(root, known[i]) && yyjson_get_len(parse_field(root, known[i])))
			return parse_fail(parser, "$.%s: only SCMP_ACT_NOTIFY has a listener, and it "
					  "is not supported: leave it out", known[i]);
	list = parse_field(root, "flags");
	if (list && !yyjson_is_arr(list))
		return parse_fail(parser, "$.flags: must be a list");
	if (list && yyjson_arr_size(list))
		profile_warn(parser->builder->report, "$.flags: no effect on the gate, which holds "
			     "for all threads and is logged in any case");
	err = parse_defaults(parser, root);
	if (!err)
		err = parse_architectures(parser, root);
	list = parse_field(root, "syscalls");
	if (err || !list)
		return err;
	if (!yyjson_is_arr(list))
		return parse_fail(parser, "$.syscalls: must be a list");
	if (yyjson_arr_size(list) > PARSE_ENTRIES_MAX)
		return parse_fail(parser, "$.syscalls: more than %d entries", PARSE_ENTRIES_MAX);
	yyjson_arr_foreach(list, i, max, entry) {
		err = parse_entry(parser, entry, i);
		if (err)
			return err;
	}
	return 0;
}

int parse_profile(const char *json, size_t size, const struct profile_options *options,
		  struct table_builder *builder)
{
	struct parser parser = { .builder = builder, .options = options };
	yyjson_read_err fault;
	yyjson_doc *doc;
	int err;

	/* yyjson writes to the text only with its IN_SITU flag. */
	doc = yyjson_read_opts((char *)(uintptr_t)json, size, YYJSON_READ_NOFLAG, NULL, &fault);
	if (!doc && fault.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!doc)
		return parse_fail(&parser, "$: no JSON: %s at byte %zu", fault.msg, fault.pos);
	err = parse_root(&parser, yyjson_doc_get_root(doc));
	said_clear(&parser.said);
	yyjson_doc_free(doc);
	return err;
}
