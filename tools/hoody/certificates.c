// SPDX-License-Identifier: Apache-2.0
/*
 * hoody proxy certificates [renew]: the certificates that are served, and orders.
 */
#include <string.h>

#include "api.h"
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
	struct api *api = cli_api(cli);
	struct print_table *table;
	struct api_reply reply;
	enum cli_status status;
	yyjson_val *certificate;
	size_t i, max;

	(void)args;
	if (!api)
		return CLI_FAILED;
	if (api_call(api, "GET", CERTIFICATES_PATH, NULL, &reply)) {
		status = print_refusal(cli, &reply);
	} else if (cli->json) {
		status = print_json(reply.data);
	} else {
		table = print_table_create(headings);
		yyjson_arr_foreach(reply.data, i, max, certificate) add_row(table, certificate);
		status = print_table_finish(cli, table);
	}
	api_reply_clear(&reply);
	return status;
}

static const char *check_domain(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");

	return len && len < 254 && !text[len] ? NULL : "must be a domain name in lower case";
}

static enum cli_status run_renew(struct cli *cli, const struct cli_args *args)
{
	struct api *api = cli_api(cli);
	enum cli_status status = CLI_DONE;
	struct api_reply reply;
	char path[320];

	if (!api)
		return CLI_FAILED;
	snprintf(path, sizeof(path), CERTIFICATES_PATH "/%s/renew", args->positional[0]);
	if (api_call(api, "POST", path, NULL, &reply))
		status = print_refusal(cli, &reply);
	else if (cli->json)
		status = print_json(reply.data);
	else
		printf("%s: %s\n", args->positional[0], text_of(reply.data, "state"));
	api_reply_clear(&reply);
	return status;
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
