// SPDX-License-Identifier: Apache-2.0
/*
 * A profile as other programs read it: resolved JSON for an OCI runtime, and LXC's
 * policy file. Only what was compiled before is exported, so that fields are known
 * to be of the right type here.
 *
 * LXC's format, from its parse_config_v2(): "2", then "allowlist ACTION" with the
 * default, then one line for each call and set of conditions,
 *	NAME ACTION [INDEX,VALUE,OPERATOR]...
 * where a masked comparison has its mask as a fourth value. A rule that says what
 * the default says is an error to libseccomp, and left out.
 */
#include "profile/parse_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct exporter {
	struct parser		parser;
	struct table_builder	builder;
	yyjson_val		*root;
	bool			ia32, x32;
	enum hoody_action	otherwise;
	int			otherwise_errno;
	yyjson_mut_doc		*document;	/* PROFILE_OCI */
	yyjson_mut_val		*list;
	FILE			*out;		/* PROFILE_LXC */
};

static void note_arch(struct exporter *exporter, yyjson_val *name)
{
	exporter->ia32 |= parse_is(name, "SCMP_ARCH_X86");
	exporter->x32 |= parse_is(name, "SCMP_ARCH_X32");
}

static void note_archs(struct exporter *exporter)
{
	yyjson_val *entry, *name;
	size_t i, j, max, most;

	yyjson_arr_foreach(parse_field(exporter->root, "architectures"), i, max, name)
		note_arch(exporter, name);
	yyjson_arr_foreach(parse_field(exporter->root, "archMap"), i, max, entry) {
		note_arch(exporter, parse_field(entry, "architecture"));
		if (!parse_is(parse_field(entry, "architecture"), "SCMP_ARCH_X86_64"))
			continue;
		yyjson_arr_foreach(parse_field(entry, "subArchitectures"), j, most, name)
			note_arch(exporter, name);
	}
}

/* One that applies: what it does, and with which errno (0 where it has none). */
static int read_action(struct exporter *exporter, yyjson_val *object, const char *number,
		       const char *name, const char *field, enum hoody_action *kind, int *error)
{
	int err = parse_action_name(&exporter->parser, parse_field(object, field), "$", kind);

	if (!err)
		err = parse_errno(&exporter->parser, object, "$", number, name, error);
	if (*kind != HOODY_ACTION_ERRNO)
		*error = 0;
	else if (*error < 0)
		*error = EPERM;
	return err;
}

/*
 * Appends @name to @names, unless the same was said before of it: resolved, what
 * depended on capabilities holds for all, and must not be said twice.
 */
static int put_oci_name(struct exporter *exporter, yyjson_mut_val *names, yyjson_val *name,
			struct said *said)
{
	const struct said *before;
	int err;

	said->name = yyjson_get_str(name);
	err = said_add(&exporter->parser.said, said, &before);
	if (err == -E2BIG)
		return profile_fail(exporter->builder.report, err, "$: more than %d names and conditions "
				    "in all", PARSE_SAID_MAX);
	if (!err && !before)
		yyjson_mut_arr_append(names, yyjson_val_mut_copy(exporter->document, name));
	return err;
}

/* Rule number @rule of those that @args make, for all names of @entry. */
static int put_oci_rule(struct exporter *exporter, yyjson_val *entry, const struct parse_args *args,
			unsigned int rule, int error)
{
	yyjson_val *list = parse_field(entry, "args"), *name = parse_field(entry, "name"), *arg;
	yyjson_mut_doc *document = exporter->document;
	yyjson_mut_val *object, *names = yyjson_mut_arr(document), *conds;
	struct said said = { 0 };
	size_t i, max;
	int err = 0;

	said_take_conds(&said, args, rule);
	if (name)
		err = put_oci_name(exporter, names, name, &said);
	yyjson_arr_foreach(parse_field(entry, "names"), i, max, name)
		if (!err)
			err = put_oci_name(exporter, names, name, &said);
	if (err || !yyjson_mut_arr_size(names))
		return err;
	object = yyjson_mut_arr_add_obj(document, exporter->list);
	yyjson_mut_obj_add_val(document, object, "names", names);
	yyjson_mut_obj_add_val(document, object, "action",
			       yyjson_val_mut_copy(document, parse_field(entry, "action")));
	if (error >= 0)
		yyjson_mut_obj_add_int(document, object, "errnoRet", error);
	if (!args->count)
		return 0;
	conds = yyjson_mut_obj_add_arr(document, object, "args");
	yyjson_arr_foreach(list, i, max, arg)
		if (!args->any || i == rule)
			yyjson_mut_arr_append(conds, yyjson_val_mut_copy(document, arg));
	return 0;
}

static int put_oci(struct exporter *exporter, yyjson_val *entry, enum hoody_action kind, int error)
{
	struct parse_args args;
	int err;

	/* No rule, see parse_entry(). */
	if (kind == exporter->otherwise && error == exporter->otherwise_errno)
		return 0;
	err = parse_args(&exporter->parser, entry, "$", &args);
	for (unsigned int i = 0; i < parse_rules(&args) && !err; i++)
		err = put_oci_rule(exporter, entry, &args, i, kind == HOODY_ACTION_ERRNO ? error : -1);
	return err;
}

static void put_lxc_action(FILE *out, enum hoody_action kind, int error)
{
	switch (kind) {
	case HOODY_ACTION_ALLOW:
	case HOODY_ACTION_LOG:
		fputs(" allow", out);
		break;
	case HOODY_ACTION_ERRNO:
		fprintf(out, " errno %d", error);
		break;
	case HOODY_ACTION_TRAP:
		fputs(" trap", out);
		break;
	default:
		fputs(" kill", out);
	}
}

static void put_lxc_arg(FILE *out, yyjson_val *arg)
{
	uint64_t value = yyjson_get_uint(parse_field(arg, "value"));
	uint64_t second = yyjson_get_uint(parse_field(arg, "valueTwo"));
	const char *op = yyjson_get_str(parse_field(arg, "op"));
	int index = (int)yyjson_get_uint(parse_field(arg, "index"));

	if (!strcmp(op, "SCMP_CMP_MASKED_EQ"))
		fprintf(out, " [%d,%" PRIu64 ",%s,%" PRIu64 "]", index, second & value, op, value);
	else
		fprintf(out, " [%d,%" PRIu64 ",%s]", index, value, op);
}

/* Where an argument stands twice each condition is a rule of its own, as in runc. */
static bool args_are_rules(yyjson_val *args)
{
	unsigned int seen = 0;
	yyjson_val *arg;
	size_t i, max;

	yyjson_arr_foreach(args, i, max, arg) {
		unsigned int bit = 1u << yyjson_get_uint(parse_field(arg, "index"));

		if (seen & bit)
			return true;
		seen |= bit;
	}
	return false;
}

static void put_lxc_name(struct exporter *exporter, yyjson_val *entry, const char *name,
			 enum hoody_action kind, int error)
{
	yyjson_val *args = parse_field(entry, "args"), *arg;
	struct syscall_target targets[HOODY_ARCHS];
	bool rules = args_are_rules(args);
	FILE *out = exporter->out;
	size_t i, max;

	/* LXC refuses a file with a name that it does not know; the gate warns about it. */
	if (!syscalls_resolve(name, targets))
		return;
	if (!yyjson_arr_size(args) || !rules) {
		fputs(name, out);
		put_lxc_action(out, kind, error);
		yyjson_arr_foreach(args, i, max, arg)
			put_lxc_arg(out, arg);
		fputc('\n', out);
		return;
	}
	yyjson_arr_foreach(args, i, max, arg) {
		fputs(name, out);
		put_lxc_action(out, kind, error);
		put_lxc_arg(out, arg);
		fputc('\n', out);
	}
}

/* To LXC both ways to let a call pass are one, and so are those to kill. */
static enum hoody_action lxc_kind(enum hoody_action kind)
{
	if (kind == HOODY_ACTION_LOG)
		return HOODY_ACTION_ALLOW;
	return kind == HOODY_ACTION_KILL_PROCESS ? HOODY_ACTION_KILL_THREAD : kind;
}

static int export_entry(struct exporter *exporter, yyjson_val *entry)
{
	enum hoody_action kind = HOODY_ACTION_ALLOW;
	struct parse_filter filter;
	yyjson_val *name;
	int err, error = 0;
	size_t i, max;

	err = parse_filters(&exporter->parser, entry, "$", &filter);
	if (!err && filter.applies)
		err = read_action(exporter, entry, "errnoRet", "errno", "action", &kind, &error);
	if (err || !filter.applies)
		return err;
	if (exporter->document)
		return put_oci(exporter, entry, kind, error);
	if (lxc_kind(kind) == lxc_kind(exporter->otherwise) && error == exporter->otherwise_errno)
		return 0;
	if (parse_field(entry, "name"))
		put_lxc_name(exporter, entry, yyjson_get_str(parse_field(entry, "name")), kind, error);
	yyjson_arr_foreach(parse_field(entry, "names"), i, max, name)
		put_lxc_name(exporter, entry, yyjson_get_str(name), kind, error);
	return 0;
}

static int export_entries(struct exporter *exporter)
{
	yyjson_val *entry;
	size_t i, max;
	int err = 0;

	yyjson_arr_foreach(parse_field(exporter->root, "syscalls"), i, max, entry) {
		err = export_entry(exporter, entry);
		if (err)
			break;
	}
	return err;
}

static int export_oci(struct exporter *exporter, char **text)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *archs;
	int err;

	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_val(document, root, "defaultAction",
			       yyjson_val_mut_copy(document, parse_field(exporter->root,
									 "defaultAction")));
	if (exporter->otherwise == HOODY_ACTION_ERRNO)
		yyjson_mut_obj_add_int(document, root, "defaultErrnoRet",
				       exporter->otherwise_errno);
	archs = yyjson_mut_obj_add_arr(document, root, "architectures");
	yyjson_mut_arr_add_str(document, archs, "SCMP_ARCH_X86_64");
	if (exporter->ia32)
		yyjson_mut_arr_add_str(document, archs, "SCMP_ARCH_X86");
	if (exporter->x32)
		yyjson_mut_arr_add_str(document, archs, "SCMP_ARCH_X32");
	exporter->list = yyjson_mut_obj_add_arr(document, root, "syscalls");
	exporter->document = document;
	err = export_entries(exporter);
	if (!err)
		*text = yyjson_mut_write(document, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
	yyjson_mut_doc_free(document);
	return err ?: *text ? 0 : -ENOMEM;
}

static int export_lxc(struct exporter *exporter, char **text)
{
	size_t size;
	int err;

	exporter->out = open_memstream(text, &size);
	if (!exporter->out)
		return -ENOMEM;
	fputs("2\nallowlist", exporter->out);
	put_lxc_action(exporter->out, exporter->otherwise, exporter->otherwise_errno);
	/* Without a heading LXC's rules are for all architectures that it knows. */
	fputs(exporter->ia32 ? "\n" : "\n[x86_64]\n", exporter->out);
	err = export_entries(exporter);
	if (fclose(exporter->out) && !err)
		err = -ENOMEM;
	if (err) {
		free(*text);
		*text = NULL;
	}
	return err;
}

int profile_export(const char *json, size_t size, const struct profile_options *options,
		   enum profile_format format, char **text, struct profile_report *report)
{
	struct exporter exporter = { .parser.options = options };
	struct hoody_table *table;
	yyjson_doc *document;
	int err;

	*text = NULL;
	err = profile_compile(json, size, options, &table, report);
	if (err)
		return err;
	free(table);
	exporter.builder.report = report;
	exporter.parser.builder = &exporter.builder;
	document = yyjson_read(json, size, 0);
	if (!document)
		return -ENOMEM;
	exporter.root = yyjson_doc_get_root(document);
	note_archs(&exporter);
	err = read_action(&exporter, exporter.root, "defaultErrnoRet", "defaultErrno",
			  "defaultAction", &exporter.otherwise, &exporter.otherwise_errno);
	if (!err)
		err = format == PROFILE_LXC ? export_lxc(&exporter, text) :
					      export_oci(&exporter, text);
	said_clear(&exporter.parser.said);
	yyjson_doc_free(document);
	return err;
}
