// SPDX-License-Identifier: Apache-2.0
/*
 * hoody proxy create|list|delete: aliases.
 */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define ALIASES_PATH "/api/v1/proxy/aliases"

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static const char *check_alias(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len && len <= 48 && !text[len] && text[0] != '-' && text[len - 1] != '-'
		       ? NULL
		       : "must be a host name label of at most 48 lower case letters, digits and '-'";
}

static const char *check_index(const char *text)
{
	unsigned long number;

	return check_number(text, 1, 65535, &number) ? "must be a number from 1 to 65535" : NULL;
}

static enum cli_status show_created(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	(void)cli;
	(void)call;
	printf("https://");
	print_text(stdout, text_of(reply->data, "host"));
	putchar('\n');
	return CLI_DONE;
}

static enum cli_status run_create(struct cli *cli, const struct cli_args *args)
{
	yyjson_mut_val *body;
	yyjson_mut_doc *doc = call_body(cli, &body);
	const struct call call = {.method = "POST", .body = doc, .show = show_created};

	if (!doc)
		return CLI_FAILED;
	yyjson_mut_obj_add_str(doc, body, "container_id", args_value(args, "container-id"));
	yyjson_mut_obj_add_str(doc, body, "alias", args_value(args, "alias"));
	yyjson_mut_obj_add_str(doc, body, "program", args_value(args, "program"));
	yyjson_mut_obj_add_uint(doc, body, "index", strtoul(args_value(args, "index"), NULL, 10));
	if (args_value(args, "domain"))
		yyjson_mut_obj_add_str(doc, body, "domain", args_value(args, "domain"));
	return call_show(cli, &call, ALIASES_PATH);
}

static void add_row(struct print_table *table, yyjson_val *alias)
{
	char index[32];

	snprintf(index, sizeof(index), "%llu",
		 (unsigned long long)yyjson_get_uint(yyjson_obj_get(alias, "index")));
	print_table_cell(table, text_of(alias, "alias"), PRINT_PLAIN);
	print_table_cell(table, text_of(alias, "container_id"), PRINT_PLAIN);
	print_table_cell(table, text_of(alias, "program"), PRINT_PLAIN);
	print_table_cell(table, index, PRINT_PLAIN);
	print_table_cell(table, text_of(alias, "host"), PRINT_PLAIN);
	print_table_cell(table, text_of(alias, "domain")[0] ? text_of(alias, "domain") : "-",
			 PRINT_PLAIN);
}

static enum cli_status run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const headings[] = {"ALIAS", "CONTAINER", "PROGRAM", "INDEX",
					       "HOST",	"DOMAIN",    NULL};
	const struct call call = {
		.method = "GET", .show = call_rows, .headings = headings, .add = add_row};

	(void)args;
	return call_show(cli, &call, ALIASES_PATH);
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {
		.method = "DELETE", .show = call_done, .args = args, .done = "deleted"};

	return call_show(cli, &call, ALIASES_PATH "/%s", args->positional[0]);
}

static const struct cli_option create_options[] = {
	{"container-id", 'c', CLI_VALUE, true, "ID", "the container it leads to", check_id, NULL},
	{"alias", 0, CLI_VALUE, true, "NAME", "the name, a label of a host name", check_alias, NULL},
	{"program", 0, CLI_VALUE, true, "SERVICE", "the service, such as http", check_text, NULL},
	{"index", 0, CLI_VALUE, true, "N", "its instance; for http the port, 1 is port 80",
	 check_index, NULL},
	{"domain", 0, CLI_VALUE, false, "DOMAIN", "a further name, outside of the base domain",
	 check_text, NULL},
	{},
};

static const struct cli_positional delete_positional[] = {
	{"NAME", "the alias", false, false, check_alias},
	{},
};

const struct cli_command aliases_commands[] = {
	{
		.path = "proxy create",
		.summary = "give a service of a container a short name, and a domain",
		.options = create_options,
		.run = run_create,
	},
	{
		.path = "proxy list",
		.summary = "list aliases",
		.run = run_list,
	},
	{
		.path = "proxy delete",
		.summary = "delete an alias",
		.positionals = delete_positional,
		.run = run_delete,
	},
	{},
};
