// SPDX-License-Identifier: Apache-2.0
/*
 * hoody projects|containers proxy permissions show|replace|patch. Builds the
 * body from its options and shows what the agent answers; what the values may
 * be is for the agent to say, which names the field.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "options.h"
#include "print.h"

#define PATH_MAX_LEN 128

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

/* The body of a replace or patch, from malloc(); NULL with *@status. */
static char *make_body(struct cli *cli, const struct cli_args *args, enum cli_status *status)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *body = yyjson_mut_obj(doc);
	const char *fallback = args_value(args, "default");
	char *text = NULL;

	*status = CLI_FAILED;
	if (!body) {
		print_error(cli, CLI_FAILED, "out of memory");
		goto out;
	}
	yyjson_mut_doc_set_root(doc, body);
	*status = add_members(cli, doc, body, args, "groups");
	if (!*status)
		*status = add_members(cli, doc, body, args, "permissions");
	if (*status)
		goto out;
	if (fallback)
		yyjson_mut_obj_add_str(doc, body, "default", fallback);
	text = yyjson_mut_write(doc, 0, NULL);
	if (!text)
		*status = print_error(cli, CLI_FAILED, "an argument is not UTF-8");
out:
	yyjson_mut_doc_free(doc);
	return text;
}

static enum cli_status call(struct cli *cli, const struct cli_args *args, const char *method,
			    const char *body, const char *done)
{
	bool project = !strncmp(args->command->path, "projects", 8);
	const char *id = args_value(args, project ? "project" : "container");
	struct api *api = cli_api(cli);
	enum cli_status status = CLI_DONE;
	struct api_reply reply;
	char path[PATH_MAX_LEN];

	if (!api)
		return CLI_FAILED;
	snprintf(path, sizeof(path), "/api/v1/%s/%s/proxy/permissions",
		 project ? "projects" : "containers", id);
	if (api_call(api, method, path, body, &reply))
		status = print_refusal(cli, &reply);
	else if (cli->json || !done)
		status = print_json(reply.data);
	else
		printf("%s the permissions of %s %s (%zu groups)\n", done,
		       project ? "project" : "container", id,
		       yyjson_obj_size(yyjson_obj_get(reply.data, "groups")));
	api_reply_clear(&reply);
	return status;
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return call(cli, args, "GET", NULL, NULL);
}

static enum cli_status run_change(struct cli *cli, const struct cli_args *args, const char *method,
				  const char *done)
{
	enum cli_status status;
	char *body = make_body(cli, args, &status);

	if (!body)
		return status;
	status = call(cli, args, method, body, done);
	free(body);
	return status;
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
