// SPDX-License-Identifier: Apache-2.0
/* hoody proxy services show|set|delete: how a container's services are reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define QUERY_MAX	128
#define MIDDLEWARE_LEN	128

static const char *check_instance(const char *text)
{
	unsigned long number;

	return check_number(text, 1, 65535, &number) ? "must be a number from 1 to 65535" : NULL;
}

/* "ID-SERVICE-N", as host names have it; the parts are given where they are wanted. */
static bool split_middleware(const char *text, char id[25], char service[64],
			     unsigned long *instance)
{
	const char *dash = strrchr(text, '-');

	if (!dash || strlen(text) < 28 || text[24] != '-' || dash < text + 26 ||
	    dash - text - 25 > 63)
		return false;
	snprintf(id, 25, "%.24s", text);
	snprintf(service, 64, "%.*s", (int)(dash - text - 25), text + 25);
	return !check_id(id) && !check_service(service) && !check_number(dash + 1, 1, 65535, instance);
}

static const char *check_middleware(const char *text)
{
	unsigned long instance;
	char id[25], service[64];

	return split_middleware(text, id, service, &instance)
		       ? NULL
		       : "must be a container, a service and an instance: ID-SERVICE-N";
}

static void put_middleware(char text[MIDDLEWARE_LEN], yyjson_val *middleware)
{
	if (!yyjson_is_obj(middleware)) {
		snprintf(text, MIDDLEWARE_LEN, "-");
		return;
	}
	snprintf(text, MIDDLEWARE_LEN, "%s-%s-%u",
		 yyjson_get_str(yyjson_obj_get(middleware, "container")) ?: "",
		 yyjson_get_str(yyjson_obj_get(middleware, "service")) ?: "",
		 (unsigned int)yyjson_get_uint(yyjson_obj_get(middleware, "instance")));
}

static void add_middleware(yyjson_mut_doc *doc, yyjson_mut_val *body, const char *text)
{
	yyjson_mut_val *middleware = yyjson_mut_obj_add_obj(doc, body, "middleware");
	char id[25], service[64];
	unsigned long instance;

	split_middleware(text, id, service, &instance);
	yyjson_mut_obj_add_strcpy(doc, middleware, "container", id);
	yyjson_mut_obj_add_strcpy(doc, middleware, "service", service);
	yyjson_mut_obj_add_uint(doc, middleware, "instance", instance);
}

static void add_row(struct print_table *table, yyjson_val *entry)
{
	yyjson_val *instance = yyjson_obj_get(entry, "instance");
	char number[16] = "*", middleware[MIDDLEWARE_LEN];

	if (yyjson_is_uint(instance))
		snprintf(number, sizeof(number), "%u", (unsigned int)yyjson_get_uint(instance));
	print_table_cell(table, yyjson_get_str(yyjson_obj_get(entry, "service")) ?: "",
			 PRINT_PLAIN);
	print_table_cell(table, number, PRINT_PLAIN);
	print_table_cell(table, yyjson_get_str(yyjson_obj_get(entry, "protocol")) ?: "",
			 PRINT_PLAIN);
	put_middleware(middleware, yyjson_obj_get(entry, "middleware"));
	print_table_cell(table, middleware, PRINT_PLAIN);
}

/* @body may be NULL, and is freed. */
static enum cli_status ask(struct cli *cli, const struct cli_args *args, const char *method,
			   const char *query, yyjson_mut_doc *body)
{
	static const char *const headings[] = {"SERVICE", "INSTANCE", "PROTOCOL", "MIDDLEWARE",
					       NULL};
	const struct call call = {
		.method = method,
		.body = body,
		.show = call_rows,
		.headings = headings,
		.add = add_row,
		.list = "services",
	};

	return call_show(cli, &call, "/api/v1/containers/%s/proxy/services%s",
			 args_value(args, "container"), query);
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, args, "GET", "", NULL);
}

static enum cli_status run_set(struct cli *cli, const struct cli_args *args)
{
	const char *instance = args_value(args, "instance");
	const char *protocol = args_value(args, "protocol");
	const char *middleware = args_value(args, "middleware");
	yyjson_mut_val *body;
	yyjson_mut_doc *doc = call_body(cli, &body);

	if (!doc)
		return CLI_FAILED;
	yyjson_mut_obj_add_str(doc, body, "service", args_value(args, "service"));
	if (instance)
		yyjson_mut_obj_add_uint(doc, body, "instance", strtoul(instance, NULL, 10));
	if (protocol)
		yyjson_mut_obj_add_str(doc, body, "protocol", protocol);
	if (middleware)
		add_middleware(doc, body, middleware);
	return ask(cli, args, "POST", "", doc);
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	const char *instance = args_value(args, "instance");
	char query[QUERY_MAX];

	snprintf(query, sizeof(query), "?service=%s%s%s", args_value(args, "service"),
		 instance ? "&instance=" : "", instance ? instance : "");
	return ask(cli, args, "DELETE", query, NULL);
}

static const char *const protocols[] = {"http1", "h2c", NULL};

#define CONTAINER_OPTION {"container", 'c', CLI_VALUE, true, "ID", "whose services", check_id, NULL}
#define SERVICE_OPTION                                                                             \
	{"service", 0, CLI_VALUE, true, "SERVICE", "which, such as http or terminal",              \
	 check_service, NULL}
#define INSTANCE_OPTION                                                                            \
	{"instance", 0, CLI_VALUE, false, "N", "one instance; otherwise all without an entry",     \
	 check_instance, NULL}

static const struct cli_option show_options[] = {CONTAINER_OPTION, {}};
static const struct cli_option set_options[] = {
	CONTAINER_OPTION,
	SERVICE_OPTION,
	INSTANCE_OPTION,
	{"protocol", 0, CLI_VALUE, false, "PROTOCOL",
	 "what it speaks: http1, or h2c (HTTP/2 without TLS, gRPC)", NULL, protocols},
	{"middleware", 0, CLI_VALUE, false, "ID-SERVICE-N",
	 "what requests pass first: a service of a container", check_middleware, NULL},
	{},
};
static const struct cli_option delete_options[] = {
	CONTAINER_OPTION,
	SERVICE_OPTION,
	INSTANCE_OPTION,
	{},
};

const struct cli_command services_commands[] = {
	{
		.path = "proxy services show",
		.summary = "show how a container's services are reached",
		.options = show_options,
		.run = run_show,
	},
	{
		.path = "proxy services set",
		.summary = "say how a service is reached",
		.details = "Replaces the entry for the same service and instance.",
		.options = set_options,
		.run = run_set,
	},
	{
		.path = "proxy services delete",
		.summary = "reach a service in the ordinary way again",
		.options = delete_options,
		.run = run_delete,
	},
	{},
};
