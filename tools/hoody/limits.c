// SPDX-License-Identifier: Apache-2.0
/*
 * hoody proxy limits show|set|delete: how often a container's services may be
 * asked.
 */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define QUERY_MAX 128

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static const char *check_burst(const char *text)
{
	unsigned long number;

	return check_number(text, 1, 1000000, &number) ? "must be a number from 1 to 1000000" : NULL;
}

static void add_row(struct print_table *table, yyjson_val *rule)
{
	char burst[32];

	snprintf(burst, sizeof(burst), "%llu",
		 (unsigned long long)yyjson_get_uint(yyjson_obj_get(rule, "burst")));
	print_table_cell(table, text_of(rule, "service")[0] ? text_of(rule, "service") : "*",
			 PRINT_PLAIN);
	print_table_cell(table, text_of(rule, "per"), PRINT_PLAIN);
	print_table_cell(table, text_of(rule, "requests"), PRINT_PLAIN);
	print_table_cell(table, burst, PRINT_PLAIN);
}

/* @body may be NULL, and is freed. */
static enum cli_status ask(struct cli *cli, const struct cli_args *args, const char *method,
			   const char *query, yyjson_mut_doc *body)
{
	static const char *const headings[] = {"SERVICE", "PER", "REQUESTS", "BURST", NULL};
	const struct call call = {
		.method = method,
		.body = body,
		.show = call_rows,
		.headings = headings,
		.add = add_row,
		.list = "limits",
	};

	return call_show(cli, &call, "/api/v1/containers/%s/proxy/limits%s",
			 args_value(args, "container"), query);
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, args, "GET", "", NULL);
}

static enum cli_status run_set(struct cli *cli, const struct cli_args *args)
{
	const char *service = args_value(args, "service"), *burst = args_value(args, "burst");
	const char *per = args_value(args, "per");
	yyjson_mut_val *body;
	yyjson_mut_doc *doc = call_body(cli, &body);

	if (!doc)
		return CLI_FAILED;
	yyjson_mut_obj_add_str(doc, body, "requests", args_value(args, "requests"));
	yyjson_mut_obj_add_str(doc, body, "per", per ? per : "all");
	if (service)
		yyjson_mut_obj_add_str(doc, body, "service", service);
	if (burst)
		yyjson_mut_obj_add_uint(doc, body, "burst", strtoul(burst, NULL, 10));
	return ask(cli, args, "POST", "", doc);
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	const char *service = args_value(args, "service"), *per = args_value(args, "per");
	char query[QUERY_MAX];

	snprintf(query, sizeof(query), "?per=%s%s%s", per ? per : "all", service ? "&service=" : "",
		 service ? service : "");
	return ask(cli, args, "DELETE", query, NULL);
}

static const char *const pers[] = {"all", "client", NULL};

#define CONTAINER_OPTION {"container", 'c', CLI_VALUE, true, "ID", "whose limits", check_id, NULL}
#define SERVICE_OPTION                                                                             \
	{"service", 0, CLI_VALUE, false, "SERVICE", "for one service; otherwise for all together", \
	 check_service, NULL}
#define PER_OPTION                                                                                 \
	{"per", 0, CLI_VALUE, false, "WHOM", "client: each has the limit; all: they share it",     \
	 NULL, pers}

static const struct cli_option show_options[] = {CONTAINER_OPTION, {}};
static const struct cli_option set_options[] = {
	CONTAINER_OPTION,
	SERVICE_OPTION,
	{"requests", 0, CLI_VALUE, true, "RATE", "such as 100/s, 60/m, 1000/h, 5000/d", check_text,
	 NULL},
	{"burst", 0, CLI_VALUE, false, "N", "how many pass at once; as many as RATE names otherwise",
	 check_burst, NULL},
	PER_OPTION,
	{},
};
static const struct cli_option delete_options[] = {
	CONTAINER_OPTION,
	SERVICE_OPTION,
	PER_OPTION,
	{},
};

const struct cli_command limits_commands[] = {
	{
		.path = "proxy limits show",
		.summary = "show how often a container may be asked",
		.options = show_options,
		.run = run_show,
	},
	{
		.path = "proxy limits set",
		.summary = "limit how often a container, or a service of it, may be asked",
		.details = "Replaces the rule for the same service and --per. What is over it gets 429.",
		.options = set_options,
		.run = run_set,
	},
	{
		.path = "proxy limits delete",
		.summary = "take a rate limit away",
		.options = delete_options,
		.run = run_delete,
	},
	{},
};
