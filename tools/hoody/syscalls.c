// SPDX-License-Identifier: Apache-2.0
/*
 * hoody syscalls load|list|export|delete: profiles, and
 * hoody syscalls attach|detach|learn|learned|show: a container's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "container.h"
#include "file.h"
#include "options.h"
#include "print.h"

#define PROFILES_PATH "/api/v1/syscalls/profiles"
#define FILE_MAX      (1 << 20) /* as the agent takes it */
#define SHOWN_COUNTERS 20

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static unsigned long long number_of(yyjson_val *json, const char *key)
{
	return yyjson_get_uint(yyjson_obj_get(json, key));
}

const char *check_profile(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	if (!*text || text[len] || len > 63 || strchr("._-", text[0]))
		return "must be letters, digits, '.', '_' and '-', a letter or digit first, at most 63";
	return NULL;
}

static void print_warnings(const struct cli *cli, yyjson_val *data)
{
	size_t i, max;
	yyjson_val *value;

	yyjson_arr_foreach(yyjson_obj_get(data, "warnings"), i, max, value)
	{
		fprintf(stderr, "%swarning:%s ", cli->colour_errors ? "\033[33m" : "",
			cli->colour_errors ? "\033[0m" : "");
		print_text(stderr, yyjson_get_str(value) ?: "");
		fputc('\n', stderr);
	}
}

/* --- profiles --- */

static enum cli_status show_loaded(struct cli *cli, const struct call *call,
				   const struct api_reply *reply)
{
	yyjson_val *data = reply->data;

	(void)call;
	print_warnings(cli, data);
	print_line("loaded %s (%llu bytes of table), which %llu containers have",
		   text_of(data, "name"), number_of(data, "table_bytes"),
		   number_of(data, "containers"));
	return CLI_DONE;
}

/* The JSON of a file; NULL after saying why it cannot be had. */
static yyjson_doc *read_profile(struct cli *cli, const char *name)
{
	char *text = file_argument(cli, name, FILE_MAX);
	yyjson_doc *profile;
	yyjson_read_err fault;

	if (!text)
		return NULL;
	profile = yyjson_read_opts(text, strlen(text), 0, NULL, &fault);
	if (!profile)
		print_error(cli, CLI_FAILED, "%s: no JSON: %s at byte %zu", name, fault.msg,
			    fault.pos);
	free(text);
	return profile;
}

static enum cli_status run_load(struct cli *cli, const struct cli_args *args)
{
	yyjson_doc *profile = read_profile(cli, args->positional[1]);
	yyjson_mut_val *body, *caps;
	yyjson_mut_doc *doc = profile ? call_body(cli, &body) : NULL;
	const struct call call = {.method = "POST", .body = doc, .show = show_loaded};
	size_t cursor = 0;
	const char *cap;

	if (!doc) {
		yyjson_doc_free(profile);
		return CLI_FAILED;
	}
	yyjson_mut_obj_add_str(doc, body, "name", args->positional[0]);
	yyjson_mut_obj_add_val(doc, body, "profile",
			       yyjson_val_mut_copy(doc, yyjson_doc_get_root(profile)));
	yyjson_doc_free(profile);
	caps = yyjson_mut_obj_add_arr(doc, body, "capabilities");
	while ((cap = args_next(args, "cap", &cursor)))
		yyjson_mut_arr_add_str(doc, caps, cap);
	return call_show(cli, &call, PROFILES_PATH);
}

static void add_row(struct print_table *table, yyjson_val *profile)
{
	char text[32];

	print_table_cell(table, text_of(profile, "name"), PRINT_PLAIN);
	snprintf(text, sizeof(text), "%llu", number_of(profile, "containers"));
	print_table_cell(table, text, PRINT_PLAIN);
	snprintf(text, sizeof(text), "%llu B", number_of(profile, "table_bytes"));
	print_table_cell(table, text, PRINT_PLAIN);
	print_table_cell(table, text_of(profile, "loaded_at"), PRINT_DIM);
}

static enum cli_status run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const headings[] = {"NAME", "CONTAINERS", "TABLE", "LOADED", NULL};
	const struct call call = {
		.method = "GET", .show = call_rows, .headings = headings, .add = add_row};

	(void)args;
	return call_show(cli, &call, PROFILES_PATH "?limit=1000");
}

static enum cli_status show_export(struct cli *cli, const struct call *call,
				   const struct api_reply *reply)
{
	const char *format = args_value(call->args, "format");

	(void)cli;
	if (!format)
		return print_json(yyjson_obj_get(reply->data, "profile"));
	fputs(text_of(reply->data, "text"), stdout);
	if (!strcmp(format, "oci"))
		putchar('\n');
	return CLI_DONE;
}

static enum cli_status run_export(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "GET", .show = show_export, .args = args};
	const char *format = args_value(args, "format");

	return call_show(cli, &call, PROFILES_PATH "/%s%s%s", args->positional[0],
			 format ? "?format=" : "", format ? format : "");
}

static enum cli_status show_deleted(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	(void)cli;
	(void)call;
	print_line("deleted %s", text_of(reply->data, "name"));
	return CLI_DONE;
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "DELETE", .show = show_deleted};

	return call_show(cli, &call, PROFILES_PATH "/%s", args->positional[0]);
}

/* At a tab: silent about everything that goes wrong. */
void profile_complete(struct cli *cli, const char *partial)
{
	struct api *api = cli_api(cli);
	struct api_reply reply;
	yyjson_val *value;
	size_t i, max;

	if (!api)
		return;
	if (!api_call(api, "GET", PROFILES_PATH "?limit=1000", NULL, &reply)) {
		yyjson_arr_foreach(reply.data, i, max, value)
		{
			if (strncmp(text_of(value, "name"), partial, strlen(partial)) != 0)
				continue;
			print_text(stdout, text_of(value, "name"));
			printf("\tsyscall profile\n");
		}
	}
	api_reply_clear(&reply);
}

/* --- containers --- */

static void show_counters(struct cli *cli, yyjson_val *counters)
{
	static const char *const headings[] = {"SYSCALL", "ARCH", "COUNT", NULL};
	struct print_table *table = print_table_create(headings);
	size_t i, max;
	yyjson_val *value;
	char text[32];

	putchar('\n');
	yyjson_arr_foreach(counters, i, max, value)
	{
		print_table_cell(table, text_of(value, "syscall"), PRINT_PLAIN);
		print_table_cell(table, text_of(value, "arch"), PRINT_DIM);
		snprintf(text, sizeof(text), "%llu", number_of(value, "count"));
		print_table_cell(table, text, PRINT_PLAIN);
	}
	print_table_finish(cli, table);
}

static void show_denials(struct cli *cli, yyjson_val *denials)
{
	static const char *const headings[] = {"TIME", "PID", "COMMAND", "SYSCALL", "ANSWER", NULL};
	struct print_table *table = print_table_create(headings);
	size_t count = yyjson_arr_size(denials), i, max;
	yyjson_val *value;
	char text[64];

	putchar('\n');
	yyjson_arr_foreach(denials, i, max, value)
	{
		const char *action = text_of(value, "action");
		bool passed = yyjson_get_bool(yyjson_obj_get(value, "passed"));

		if (i + SHOWN_COUNTERS < count)
			continue;
		print_table_cell(table, text_of(value, "time"), PRINT_DIM);
		snprintf(text, sizeof(text), "%llu", number_of(value, "pid"));
		print_table_cell(table, text, PRINT_PLAIN);
		print_table_cell(table, text_of(value, "command"), PRINT_PLAIN);
		print_table_cell(table, text_of(value, "syscall"), PRINT_PLAIN);
		if (passed)
			snprintf(text, sizeof(text), "passed (%s)", action);
		else if (!strcmp(action, "errno"))
			snprintf(text, sizeof(text), "%s",
				 strerrorname_np((int)number_of(value, "errno")) ?: "errno");
		else
			snprintf(text, sizeof(text), "%s", action);
		print_table_cell(table, text, passed ? PRINT_YELLOW : PRINT_RED);
	}
	print_table_finish(cli, table);
}

static enum cli_status show(struct cli *cli, const struct call *call, const struct api_reply *reply)
{
	yyjson_val *data = reply->data;
	const char *profile = text_of(data, "profile"), *reason = text_of(data, "reason");
	bool in_force = yyjson_get_bool(yyjson_obj_get(data, "in_force"));
	yyjson_val *counters = yyjson_obj_get(data, "counters");
	yyjson_val *denials = yyjson_obj_get(data, "denials");
	char text[512];

	(void)call;
	print_warnings(cli, data);
	print_field(cli, 10, "container", text_of(data, "container"), PRINT_PLAIN);
	print_field(cli, 10, "profile", profile[0] ? profile : "none", PRINT_PLAIN);
	if (profile[0]) {
		print_field(cli, 10, "mode", text_of(data, "mode"), PRINT_PLAIN);
		snprintf(text, sizeof(text), "%s%s%s", in_force ? "yes" : "no",
			 reason[0] ? ": " : "", reason);
		print_field(cli, 10, "in force", text,
			    in_force ? PRINT_GREEN : reason[0] ? PRINT_RED : PRINT_DIM);
	}
	if (yyjson_arr_size(counters))
		show_counters(cli, counters);
	if (yyjson_arr_size(denials))
		show_denials(cli, denials);
	return CLI_DONE;
}

static enum cli_status ask(struct cli *cli, const struct cli_args *args, const char *method,
			   const char *text)
{
	const struct call call = {.method = method, .text = text, .show = show};

	return call_show(cli, &call, CONTAINER_PATH "/%s/syscalls", args_value(args, "container"));
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, args, "GET", NULL);
}

static enum cli_status run_attach(struct cli *cli, const struct cli_args *args)
{
	const char *mode = args_value(args, "mode");
	char body[256];

	/* The name and the mode were checked: nothing in them needs escaping. */
	snprintf(body, sizeof(body), "{\"profile\":\"%s\",\"mode\":\"%s\",\"force\":%s}",
		 args->positional[0], mode ? mode : "enforce",
		 args_flag(args, "force") ? "true" : "false");
	return ask(cli, args, "PUT", body);
}

static enum cli_status run_detach(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, args, "PUT", "{\"profile\":null}");
}

static enum cli_status run_learn(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, args, "PUT", "{\"profile\":null,\"mode\":\"learn\"}");
}

static enum cli_status run_learned(struct cli *cli, const struct cli_args *args)
{
	return call_show(cli, &(struct call){.method = "GET"},
			 CONTAINER_PATH "/%s/syscalls/learned", args_value(args, "container"));
}

static const char *const modes[] = {"enforce", "learn", NULL};
static const char *const formats[] = {"oci", "lxc", NULL};

static const char *check_mode(const char *text)
{
	return strcmp(text, "enforce") && strcmp(text, "learn") ? "must be enforce or learn" : NULL;
}

static const char *check_format(const char *text)
{
	return strcmp(text, "oci") && strcmp(text, "lxc") ? "must be oci or lxc" : NULL;
}

static const char *check_cap(const char *text)
{
	return strncmp(text, "CAP_", 4) ? "must start with CAP_" : NULL;
}

#define CONTAINER_OPTION                                                                           \
	{.name = "container",                                                                      \
	 .letter = 'c',                                                                            \
	 .kind = CLI_VALUE,                                                                        \
	 .required = true,                                                                         \
	 .value = "ID",                                                                            \
	 .check = check_id,                                                                        \
	 .help = "the container"}

static const struct cli_option container_options[] = {CONTAINER_OPTION, {}};
static const struct cli_option attach_options[] = {
	CONTAINER_OPTION,
	{.name = "mode",
	 .kind = CLI_VALUE,
	 .value = "MODE",
	 .check = check_mode,
	 .words = modes,
	 .help = "enforce, or learn: count what it would refuse"},
	{.name = "force",
	 .kind = CLI_FLAG,
	 .help = "also where the container's init could not run with it"},
	{},
};
static const struct cli_option load_options[] = {
	{.name = "cap",
	 .kind = CLI_LIST,
	 .value = "CAP_NAME",
	 .check = check_cap,
	 .help = "a capability for its includes and excludes"},
	{},
};
static const struct cli_option export_options[] = {
	{.name = "format",
	 .kind = CLI_VALUE,
	 .value = "FORMAT",
	 .check = check_format,
	 .words = formats,
	 .help = "lxc: for lxc.seccomp.profile; oci: resolved"},
	{},
};

static const struct cli_positional name_positionals[] = {
	{.name = "NAME", .help = "the profile", .check = check_profile},
	{},
};
static const struct cli_positional load_positionals[] = {
	{.name = "NAME", .help = "what it is to be called", .check = check_profile},
	{.name = "FILE", .help = "a seccomp profile as JSON; - for standard input"},
	{},
};

const struct cli_command syscalls_commands[] = {
	{
		.path = "syscalls load",
		.summary = "load a syscall profile, or replace it for all its containers",
		.details = "Profiles are those of OCI, Docker and Podman. One that is loaded under a name\n"
			   "in use takes the other's place at once in every container that has it.",
		.options = load_options,
		.positionals = load_positionals,
		.run = run_load,
	},
	{
		.path = "syscalls list",
		.summary = "list the profiles that are loaded",
		.run = run_list,
	},
	{
		.path = "syscalls export",
		.summary = "write a profile, for a seccomp filter at container start",
		.details = "Without --format as it was loaded.",
		.options = export_options,
		.positionals = name_positionals,
		.run = run_export,
	},
	{
		.path = "syscalls delete",
		.summary = "delete a profile that no container has",
		.positionals = name_positionals,
		.run = run_delete,
	},
	{
		.path = "syscalls attach",
		.summary = "put a profile on a container, also one that runs",
		.details = "Holds for all of its threads when the command returns, in the place of the one\n"
			   "before.",
		.options = attach_options,
		.positionals = name_positionals,
		.run = run_attach,
	},
	{
		.path = "syscalls detach",
		.summary = "take the profile off a container",
		.options = container_options,
		.run = run_detach,
	},
	{
		.path = "syscalls learn",
		.summary = "watch which system calls a container makes",
		.details = "Nothing is refused. 'hoody syscalls learned' then writes a profile.",
		.options = container_options,
		.run = run_learn,
	},
	{
		.path = "syscalls learned",
		.summary = "write a profile of the calls that were seen since 'learn'",
		.options = container_options,
		.run = run_learned,
	},
	{
		.path = "syscalls show",
		.summary = "show a container's profile, its counters and refused calls",
		.options = container_options,
		.run = run_show,
	},
	{},
};
