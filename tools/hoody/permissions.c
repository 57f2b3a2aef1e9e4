// SPDX-License-Identifier: Apache-2.0
/*
 * hoody projects|containers proxy permissions show|replace|patch. Builds the
 * body from its options and shows what the agent answers; what the values may
 * be is for the agent to say, which names the field.
 */
#include <string.h>

#include "call.h"
#include "options.h"
#include "print.h"

/* NAME=JSON options as members of an object; CLI_DONE, or CLI_USAGE after saying why. */
static enum cli_status add_members(struct cli *cli, yyjson_mut_doc *doc, yyjson_mut_val *body,
				   const struct cli_args *args, const char *option)
{
	yyjson_mut_val *object = NULL, *key, *value;
	yyjson_read_err fault;
	const char *text;
	size_t cursor = 0, len;
	yyjson_doc *json;

	while ((text = args_next(args, option, &cursor))) {
		len = strcspn(text, "=");
		json = text[len] ? yyjson_read_opts((char *)text + len + 1, strlen(text + len + 1),
						    0, NULL, &fault) :
				   NULL;
		if (!json)
			return print_error(cli, CLI_USAGE, "%s: --%s: '%s' must be NAME=JSON%s%s",
					   args->command->path, option, text,
					   text[len] ? ": " : "", text[len] ? fault.msg : "");
		if (!object)
			object = yyjson_mut_obj_add_obj(doc, body, option);
		key = yyjson_mut_strncpy(doc, text, len);
		value = yyjson_val_mut_copy(doc, yyjson_doc_get_root(json));
		yyjson_doc_free(json);
		if (yyjson_mut_obj_getn(object, text, len))
			return print_error(cli, CLI_USAGE, "%s: --%s: '%.*s' is given twice",
					   args->command->path, option, (int)len, text);
		if (!key || !value || !yyjson_mut_obj_add(object, key, value))
			return print_error(cli, CLI_FAILED, "out of memory");
	}
	return CLI_DONE;
}

static bool is_project(const struct cli_args *args)
{
	return !strncmp(args->command->path, "projects", 8);
}

static const char *id_of(const struct cli_args *args)
{
	return args_value(args, is_project(args) ? "project" : "container");
}

static enum cli_status show_done(struct cli *cli, const struct call *call,
				 const struct api_reply *reply)
{
	(void)cli;
	printf("%s the permissions of %s %s (%zu groups)\n", call->done,
	       is_project(call->args) ? "project" : "container", id_of(call->args),
	       yyjson_obj_size(yyjson_obj_get(reply->data, "groups")));
	return CLI_DONE;
}

static enum cli_status ask(struct cli *cli, const struct call *call)
{
	return call_show(cli, call, "/api/v1/%s/%s/proxy/permissions",
			 is_project(call->args) ? "projects" : "containers", id_of(call->args));
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, &(struct call){.method = "GET", .args = args});
}

static enum cli_status run_change(struct cli *cli, const struct cli_args *args, const char *method,
				  const char *done)
{
	const char *fallback = args_value(args, "default");
	yyjson_mut_val *body;
	yyjson_mut_doc *doc = call_body(cli, &body);
	const struct call call = {
		.method = method, .body = doc, .show = show_done, .args = args, .done = done};
	enum cli_status status;

	if (!doc)
		return CLI_FAILED;
	status = add_members(cli, doc, body, args, "groups");
	if (!status)
		status = add_members(cli, doc, body, args, "permissions");
	if (status) {
		yyjson_mut_doc_free(doc);
		return status;
	}
	if (fallback)
		yyjson_mut_obj_add_str(doc, body, "default", fallback);
	return ask(cli, &call);
}

static enum cli_status run_replace(struct cli *cli, const struct cli_args *args)
{
	return run_change(cli, args, "PUT", "replaced");
}

static enum cli_status run_patch(struct cli *cli, const struct cli_args *args)
{
	return run_change(cli, args, "PATCH", "changed");
}

static const char *const fallbacks[] = {"allow", "deny", NULL};

static const char *check_fallback(const char *text)
{
	return strcmp(text, "allow") != 0 && strcmp(text, "deny") != 0 ? "must be allow or deny"
								       : NULL;
}

#define PROJECT_OPTION                                                                             \
	{.name = "project",                                                                        \
	 .kind = CLI_VALUE,                                                                        \
	 .required = true,                                                                         \
	 .value = "ID",                                                                            \
	 .check = check_id,                                                                        \
	 .help = "whose permissions: of all its containers"}

#define CONTAINER_OPTION                                                                           \
	{.name = "container",                                                                      \
	 .letter = 'c',                                                                            \
	 .kind = CLI_VALUE,                                                                        \
	 .required = true,                                                                         \
	 .value = "ID",                                                                            \
	 .check = check_id,                                                                        \
	 .help = "whose permissions: they hold instead of its project's"}

#define CHANGE_OPTIONS                                                                             \
	{.name = "groups",                                                                         \
	 .kind = CLI_LIST,                                                                         \
	 .value = "NAME=JSON",                                                                     \
	 .help = "a group of clients: {\"type\":\"ip\",\"range\":...}"},                           \
		{.name = "permissions",                                                            \
		 .kind = CLI_LIST,                                                                 \
		 .value = "NAME=JSON",                                                             \
		 .help = "what a group may do: {\"terminal\":true}"},                              \
		{.name = "default",                                                                \
		 .kind = CLI_VALUE,                                                                \
		 .value = "POLICY",                                                                \
		 .check = check_fallback,                                                          \
		 .words = fallbacks,                                                               \
		 .help = "what holds for everybody else: allow or deny"}

static const struct cli_option project_options[] = {PROJECT_OPTION, {}};
static const struct cli_option container_options[] = {CONTAINER_OPTION, {}};
static const struct cli_option project_change_options[] = {PROJECT_OPTION, CHANGE_OPTIONS, {}};
static const struct cli_option container_change_options[] = {CONTAINER_OPTION, CHANGE_OPTIONS, {}};

static const char replace_details[] =
	"What is not given is gone afterwards; without any option all are removed. Secrets are\n"
	"never shown: null for one keeps it as it is.";
static const char patch_details[] =
	"What is not given stays; NAME=null removes. A group that is given a type is replaced.";

const struct cli_command permissions_commands[] = {
	{
		.path = "projects proxy permissions show",
		.summary = "show who may reach the containers of a project",
		.options = project_options,
		.run = run_show,
	},
	{
		.path = "projects proxy permissions replace",
		.summary = "say anew who may reach the containers of a project",
		.details = replace_details,
		.options = project_change_options,
		.run = run_replace,
	},
	{
		.path = "projects proxy permissions patch",
		.summary = "change a part of a project's permissions",
		.details = patch_details,
		.options = project_change_options,
		.run = run_patch,
	},
	{
		.path = "containers proxy permissions show",
		.summary = "show who may reach a container, by its own permissions",
		.options = container_options,
		.run = run_show,
	},
	{
		.path = "containers proxy permissions replace",
		.summary = "say anew who may reach a container",
		.details = replace_details,
		.options = container_change_options,
		.run = run_replace,
	},
	{
		.path = "containers proxy permissions patch",
		.summary = "change a part of a container's permissions",
		.details = patch_details,
		.options = container_change_options,
		.run = run_patch,
	},
	{},
};
