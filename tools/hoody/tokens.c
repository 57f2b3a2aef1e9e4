// SPDX-License-Identifier: Apache-2.0
/*
 * hoody tokens create|list|enable|disable|delete, hoody realms create|list|delete.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define TOKENS_PATH "/api/v1/tokens"
#define REALMS_PATH "/api/v1/realms"

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

/* "90d", "12h": from now; seconds, or 0. */
static unsigned long from_now(const char *text)
{
	char *unit;
	unsigned long number = strtoul(text, &unit, 10);

	if (text[0] < '0' || text[0] > '9' || number > 100000 || !*unit || unit[1])
		return 0;
	return *unit == 'd' ? number * 86400 : *unit == 'h' ? number * 3600 : 0;
}

static const char *check_expiry(const char *text)
{
	if (from_now(text) || (strlen(text) >= 10 && !text[strspn(text, "0123456789-:.TZ")]))
		return NULL;
	return "must be 2030-01-31, 2030-01-31T12:00:00Z, or how long from now: 12h, 90d";
}

static const char *check_realm(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len && len < 64 && !text[len] && text[0] != '-' && text[len - 1] != '-'
		       ? NULL
		       : "must be a host name label: lower case letters, digits and '-'";
}

static const char *check_token(const char *text)
{
	return strlen(text) == 16 && !text[strspn(text, "0123456789abcdef")]
		       ? NULL
		       : "must be the 16 hexadecimal digits that 'hoody tokens list' shows";
}

static enum cli_status show_created(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	(void)cli;
	(void)call;
	print_text(stdout, text_of(reply->data, "token"));
	putchar('\n');
	fflush(stdout);
	fprintf(stderr, "This is shown once: keep it where only its user can read it.\n");
	return CLI_DONE;
}

static enum cli_status run_create(struct cli *cli, const struct cli_args *args)
{
	const char *expires = args_value(args, "expires"), *range;
	yyjson_mut_val *body, *ips = NULL;
	yyjson_mut_doc *doc = call_body(cli, &body);
	const struct call call = {.method = "POST", .body = doc, .show = show_created};
	size_t cursor = 0;
	char when[32];

	if (!doc)
		return CLI_FAILED;
	if (args_value(args, "name"))
		yyjson_mut_obj_add_str(doc, body, "name", args_value(args, "name"));
	if (args_value(args, "realm"))
		yyjson_mut_obj_add_str(doc, body, "realm", args_value(args, "realm"));
	while ((range = args_next(args, "ip", &cursor))) {
		if (!ips)
			ips = yyjson_mut_obj_add_arr(doc, body, "ips");
		yyjson_mut_arr_add_str(doc, ips, range);
	}
	if (expires && from_now(expires)) {
		snprintf(when, sizeof(when), "%lld", (long long)time(NULL) + (long long)from_now(expires));
		expires = when;
	}
	if (expires)
		yyjson_mut_obj_add_str(doc, body, "expires", expires);
	return call_show(cli, &call, TOKENS_PATH);
}

static void add_token(struct print_table *table, yyjson_val *token)
{
	char text[512] = "";
	size_t i, max, len = 0;
	yyjson_val *range;
	bool enabled = yyjson_is_true(yyjson_obj_get(token, "enabled"));
	bool expired = yyjson_is_true(yyjson_obj_get(token, "expired"));

	print_table_cell(table, text_of(token, "id"), PRINT_PLAIN);
	print_table_cell(table, text_of(token, "name"), PRINT_PLAIN);
	print_table_cell(table, text_of(token, "realm")[0] ? text_of(token, "realm") : "-",
			 PRINT_PLAIN);
	print_table_cell(table, !enabled ? "disabled" : expired ? "expired" : "enabled",
			 enabled && !expired ? PRINT_GREEN : PRINT_DIM);
	print_table_cell(table, text_of(token, "expires_at")[0] ? text_of(token, "expires_at") : "-",
			 PRINT_PLAIN);
	print_table_cell(table, text_of(token, "used_at")[0] ? text_of(token, "used_at") : "-",
			 PRINT_PLAIN);
	yyjson_arr_foreach(yyjson_obj_get(token, "ips"), i, max, range)
	{
		if (len < sizeof(text))
			len += snprintf(text + len, sizeof(text) - len, "%s%s", i ? ", " : "",
					yyjson_get_str(range) ?: "");
	}
	print_table_cell(table, text[0] ? text : "anywhere", PRINT_PLAIN);
}

static void add_realm(struct print_table *table, yyjson_val *realm)
{
	static const char *const numbers[] = {"containers", "tokens"};
	char text[32];

	print_table_cell(table, text_of(realm, "name"), PRINT_PLAIN);
	for (size_t i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)yyjson_get_uint(yyjson_obj_get(realm, numbers[i])));
		print_table_cell(table, text, PRINT_PLAIN);
	}
	print_table_cell(table, text_of(realm, "host"), PRINT_PLAIN);
}

static enum cli_status run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const headings[] = {"ID",   "NAME", "REALM", "STATE",
					       "EXPIRES", "USED", "FROM",  NULL};
	const struct call call = {
		.method = "GET", .show = call_rows, .headings = headings, .add = add_token};

	(void)args;
	return call_show(cli, &call, TOKENS_PATH);
}

static enum cli_status run_realms_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const headings[] = {"NAME", "CONTAINERS", "TOKENS", "HOST", NULL};
	const struct call call = {
		.method = "GET", .show = call_rows, .headings = headings, .add = add_realm};

	(void)args;
	return call_show(cli, &call, REALMS_PATH);
}

/* A call about the one thing that is named; @done is what to say of it. */
static enum cli_status one(struct cli *cli, const struct cli_args *args, const char *method,
			   const char *base, const char *text, const char *done)
{
	const struct call call = {
		.method = method, .text = text, .show = call_done, .args = args, .done = done};

	return call_show(cli, &call, "%s/%s", base, args->positional[0]);
}

static enum cli_status run_enable(struct cli *cli, const struct cli_args *args)
{
	return one(cli, args, "PATCH", TOKENS_PATH, "{\"enabled\":true}", "enabled");
}

static enum cli_status run_disable(struct cli *cli, const struct cli_args *args)
{
	return one(cli, args, "PATCH", TOKENS_PATH, "{\"enabled\":false}", "disabled");
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	return one(cli, args, "DELETE", TOKENS_PATH, NULL, "deleted");
}

static enum cli_status show_realm_created(struct cli *cli, const struct call *call,
					  const struct api_reply *reply)
{
	(void)cli;
	print_line("created %s: its API is https://%s", call->args->positional[0],
		   text_of(reply->data, "host"));
	return CLI_DONE;
}

static enum cli_status run_realms_create(struct cli *cli, const struct cli_args *args)
{
	char text[128];
	const struct call call = {
		.method = "POST", .text = text, .show = show_realm_created, .args = args};

	/* The name was checked: nothing in it needs escaping. */
	snprintf(text, sizeof(text), "{\"name\":\"%s\"}", args->positional[0]);
	return call_show(cli, &call, REALMS_PATH);
}

static enum cli_status run_realms_delete(struct cli *cli, const struct cli_args *args)
{
	return one(cli, args, "DELETE", REALMS_PATH, NULL, "deleted");
}

static const struct cli_option create_options[] = {
	{"name", 0, CLI_VALUE, false, "TEXT", "what it is for", check_text, NULL},
	{"realm", 0, CLI_VALUE, false, "REALM", "only for containers of this realm", check_realm,
	 NULL},
	{"ip", 0, CLI_LIST, false, "CIDR", "only from this address or prefix (repeatable)", NULL,
	 NULL},
	{"expires", 0, CLI_VALUE, false, "TIME", "until then, or for so long (12h, 90d)",
	 check_expiry, NULL},
	{},
};

static const struct cli_positional token_positional[] = {
	{"ID", "the token's id, as the list shows it", false, false, check_token},
	{},
};

static const struct cli_positional realm_positional[] = {
	{"NAME", "the realm's name", false, false, check_realm},
	{},
};

const struct cli_command tokens_commands[] = {
	{
		.path = "tokens create",
		.summary = "make a token for the API over HTTPS and show it, once",
		.options = create_options,
		.run = run_create,
	},
	{
		.path = "tokens list",
		.summary = "list tokens, without their secrets",
		.run = run_list,
	},
	{
		.path = "tokens enable",
		.summary = "let a disabled token in again",
		.positionals = token_positional,
		.run = run_enable,
	},
	{
		.path = "tokens disable",
		.summary = "refuse a token until it is enabled",
		.positionals = token_positional,
		.run = run_disable,
	},
	{
		.path = "tokens delete",
		.summary = "forget a token",
		.positionals = token_positional,
		.run = run_delete,
	},
	{
		.path = "realms create",
		.summary = "make a realm: containers that tokens of it see, and no others",
		.positionals = realm_positional,
		.run = run_realms_create,
	},
	{
		.path = "realms list",
		.summary = "list realms with their containers and tokens",
		.run = run_realms_list,
	},
	{
		.path = "realms delete",
		.summary = "delete a realm that nothing belongs to",
		.positionals = realm_positional,
		.run = run_realms_delete,
	},
	{},
};
