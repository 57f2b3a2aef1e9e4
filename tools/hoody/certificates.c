// SPDX-License-Identifier: Apache-2.0
/*
 * hoody proxy certificates [renew]: the certificates that are served, and orders.
 */
#include <string.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define CERTIFICATES_PATH "/api/v1/proxy/certificates"

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static const char *or_dash(const char *text)
{
	return text[0] ? text : "-";
}

static void add_row(struct print_table *table, yyjson_val *certificate)
{
	const char *state = text_of(certificate, "state");
	bool good = !strcmp(state, "valid") || !strcmp(state, "renewing");

	print_table_cell(table, text_of(certificate, "name"), PRINT_PLAIN);
	print_table_cell(table, text_of(certificate, "source"), PRINT_PLAIN);
	print_table_cell(table, state, good ? PRINT_GREEN : PRINT_RED);
	print_table_cell(table, or_dash(text_of(certificate, "not_after")), PRINT_PLAIN);
	print_table_cell(table, or_dash(text_of(certificate, "next")), PRINT_PLAIN);
	print_table_cell(table, or_dash(text_of(certificate, "error")), PRINT_PLAIN);
}

static enum cli_status run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const headings[] = {"NAME", "SOURCE", "STATE", "UNTIL",
					       "NEXT", "ERROR",	 NULL};
	const struct call call = {
		.method = "GET", .show = call_rows, .headings = headings, .add = add_row};

	(void)args;
	return call_show(cli, &call, CERTIFICATES_PATH);
}

static const char *check_domain(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");

	return len && len < 254 && !text[len] ? NULL : "must be a domain name in lower case";
}

static enum cli_status show_renewed(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	(void)cli;
	print_line("%s: %s", call->args->positional[0], text_of(reply->data, "state"));
	return CLI_DONE;
}

static enum cli_status run_renew(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "POST", .show = show_renewed, .args = args};

	return call_show(cli, &call, CERTIFICATES_PATH "/%s/renew", args->positional[0]);
}

static const struct cli_positional renew_positional[] = {
	{"DOMAIN", "the domain of an alias", false, false, check_domain},
	{},
};

const struct cli_command certificates_commands[] = {
	{
		.path = "proxy certificates",
		.summary = "list the certificates that are served, and what is ordered",
		.run = run_list,
	},
	{
		.path = "proxy certificates renew",
		.summary = "order the certificate of a domain now",
		.positionals = renew_positional,
		.run = run_renew,
	},
	{},
};
