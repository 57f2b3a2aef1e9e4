// SPDX-License-Identifier: Apache-2.0
/*
 * hoody network show|set: by which way what a container opens leaves the host.
 * What an exit may be is for the agent to say, which names the field.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "file.h"
#include "options.h"
#include "print.h"

#define FILE_BYTES_MAX	65536
#define TUNNEL_PREFIX	"wireguard:"

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

/*
 * --exit: what the agent knows an exit by, or for "wireguard:FILE" the file's text in
 * *@file, from malloc(). 0, or -1 after saying why.
 */
static int add_exit(struct cli *cli, yyjson_mut_doc *doc, yyjson_mut_val *body, const char *exit,
		    char **file)
{
	const size_t prefix = strlen(TUNNEL_PREFIX);

	if (strncmp(exit, TUNNEL_PREFIX, prefix)) {
		yyjson_mut_obj_add_str(doc, body, "exit", exit);
		return 0;
	}
	*file = file_read(exit + prefix, FILE_BYTES_MAX);
	if (!*file) {
		print_error(cli, CLI_FAILED, "--exit: %s: %s", exit + prefix, strerror(errno));
		return -1;
	}
	yyjson_mut_obj_add_str(doc, body, "exit", "wireguard");
	yyjson_mut_obj_add_str(doc, body, "wireguard", *file);
	return 0;
}

/*
 * The body of a change. What it takes from files comes as *@pem and *@file, from malloc(),
 * also where it fails. 0, or -1 after saying why.
 */
static int fill_body(struct cli *cli, const struct cli_args *args, yyjson_mut_doc *doc,
		     yyjson_mut_val *body, char **pem, char **file)
{
	const char *exit = args_value(args, "exit"), *ca = args_value(args, "exit-ca");
	yyjson_mut_val *dns;
	const char *server;
	size_t cursor = 0;

	if (exit && add_exit(cli, doc, body, exit, file))
		return -1;
	dns = yyjson_mut_obj_add_arr(doc, body, "dns");
	while ((server = args_next(args, "dns", &cursor)))
		yyjson_mut_arr_add_str(doc, dns, server);
	if (ca) {
		*pem = file_read(ca, FILE_BYTES_MAX);
		if (!*pem) {
			print_error(cli, CLI_FAILED, "--exit-ca: %s: %s", ca, strerror(errno));
			return -1;
		}
		yyjson_mut_obj_add_str(doc, body, "exit_ca", *pem);
	}
	return 0;
}

static void print_counters(yyjson_val *counters)
{
	size_t index, max;
	yyjson_val *key, *value;

	yyjson_obj_foreach(counters, index, max, key, value) {
		/* What never happened is not worth a line. */
		if (yyjson_get_uint(value))
			print_line("%-20s %llu", yyjson_get_str(key),
			       (unsigned long long)yyjson_get_uint(value));
	}
}

static const char *text_of(yyjson_val *data, const char *name)
{
	const char *text = yyjson_get_str(yyjson_obj_get(data, name));

	return text ? text : "";
}

static void print_tunnel(yyjson_val *tunnel)
{
	const int64_t handshake = yyjson_get_sint(yyjson_obj_get(tunnel, "last_handshake"));

	if (!tunnel)
		return;
	print_line("%-20s %s", "interface", text_of(tunnel, "interface"));
	print_line("%-20s %s", "public_key", text_of(tunnel, "public_key"));
	print_line("%-20s %s", "endpoint", text_of(tunnel, "endpoint"));
	if (handshake)
		print_line("%-20s %lld s ago", "last_handshake",
		       (long long)(time(NULL) - handshake));
	else
		print_line("%-20s never", "last_handshake");
	print_line("%-20s %llu", "bytes_out",
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(tunnel, "bytes_out")));
	print_line("%-20s %llu", "bytes_in",
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(tunnel, "bytes_in")));
}

/* " since 2026-01-31T12:00:00Z", or nothing. */
static void format_since(yyjson_val *at, const char *word, char *text, size_t size)
{
	const time_t seconds = (time_t)yyjson_get_sint(at);
	struct tm utc;
	char stamp[32];

	text[0] = '\0';
	if (seconds && gmtime_r(&seconds, &utc) &&
	    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc))
		snprintf(text, size, " %s %s", word, stamp);
}

static void print_health(yyjson_val *data, const char *health, const char *fault)
{
	const char *last = text_of(data, "last_fault");
	char since[48];

	format_since(yyjson_obj_get(data, "health_since"), "since", since, sizeof(since));
	print_line("%-20s %s%s%s%s%s", "health", health, *fault ? " (" : "", fault,
	       *fault ? ")" : "", since);
	if (!*last)
		return;
	format_since(yyjson_obj_get(data, "last_fault_at"), "at", since, sizeof(since));
	print_line("%-20s %s%s", "last_error", last, since);
}

static void print_network(yyjson_val *data)
{
	const char *health = text_of(data, "health"), *fault = text_of(data, "fault");
	size_t index, max;
	yyjson_val *server;

	print_line("%-20s %s", "exit", text_of(data, "exit"));
	yyjson_arr_foreach(yyjson_obj_get(data, "exit_addresses"), index, max, server)
		print_line("%-20s %s", "exit_address", yyjson_get_str(server));
	yyjson_arr_foreach(yyjson_obj_get(data, "dns"), index, max, server)
		print_line("%-20s %s", "dns", yyjson_get_str(server));
	print_line("%-20s %s", "state", text_of(data, "state"));
	if (*health)
		print_health(data, health, fault);
	print_tunnel(yyjson_obj_get(data, "tunnel"));
	print_counters(yyjson_obj_get(data, "counters"));
}

/* @body, of a change, is freed; NULL asks how it is. */
static enum cli_status ask(struct cli *cli, const struct cli_args *args, yyjson_mut_doc *body)
{
	const struct call call = {.method = body ? "PUT" : "GET", .body = body};
	const bool change = body != NULL;
	enum cli_status status;
	struct api_reply reply;

	status = call_ask(cli, &call, &reply, "/api/v1/containers/%s/network",
			  args_value(args, "container"));
	if (status)
		return status;
	if (cli->json)
		status = print_json(reply.data);
	else
		print_network(reply.data);
	if (!status && change && !strcmp(text_of(reply.data, "state"), "failed"))
		status = print_error(cli, CLI_FAILED,
				     "the exit is stored, and the kernel does not hold it yet: see "
				     "the agent's log");
	api_reply_clear(&reply);
	return status;
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return ask(cli, args, NULL);
}

static enum cli_status run_set(struct cli *cli, const struct cli_args *args)
{
	enum cli_status status = CLI_FAILED;
	char *pem = NULL, *file = NULL;
	yyjson_mut_val *body;
	yyjson_mut_doc *doc;

	if (!args_value(args, "exit") && !args_value(args, "dns"))
		return print_error(cli, CLI_USAGE, "%s: give --exit, --dns or both",
				   args->command->path);
	doc = call_body(cli, &body);
	if (!doc)
		return CLI_FAILED;
	if (fill_body(cli, args, doc, body, &pem, &file))
		yyjson_mut_doc_free(doc);
	else
		status = ask(cli, args, doc);
	free(pem);
	free_secret(file);
	return status;
}

#define CONTAINER_OPTION                                                                           \
	{.name = "container",                                                                      \
	 .letter = 'c',                                                                            \
	 .kind = CLI_VALUE,                                                                        \
	 .required = true,                                                                         \
	 .value = "ID",                                                                            \
	 .check = check_id,                                                                        \
	 .help = "whose exit"}

static const struct cli_option show_options[] = {CONTAINER_OPTION, {}};
static const struct cli_option set_options[] = {
	CONTAINER_OPTION,
	{.name = "exit",
	 .kind = CLI_VALUE,
	 .value = "EXIT",
	 .help = "direct, block, socks5://, http:// or https://[USER:PASSWORD@]HOST[:PORT], "
		 "wireguard:FILE"},
	{.name = "dns",
	 .kind = CLI_LIST,
	 .value = "ADDRESS",
	 .help = "a server that names are asked of, through the exit; up to four"},
	{.name = "exit-ca",
	 .kind = CLI_VALUE,
	 .value = "FILE",
	 .help = "certificates (PEM) that an https exit is checked with, not the system's"},
	{},
};

const struct cli_command network_commands[] = {
	{
		.path = "network show",
		.summary = "show by which way a container's connections leave the host",
		.options = show_options,
		.run = run_show,
	},
	{
		.path = "network set",
		.summary = "choose by which way a container's connections leave the host",
		.details = "Holds when the command is done; connections by another exit are cut then.",
		.options = set_options,
		.run = run_set,
	},
	{},
};
