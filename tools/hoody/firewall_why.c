// SPDX-License-Identifier: Apache-2.0
/*
 * hoody firewall explain|drops|learn, hoody logs firewall: why a packet passes or
 * does not, what was dropped and let in, and which rules a container would need.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "firewall.h"
#include "options.h"
#include "print.h"

#define FOLLOW_MS 300
#define PAGE	  256 /* what the agent gives at once */

/*
 * "192.0.2.1:443", "[2001:db8::1]:443", or an address alone. 0, or -1 where it is
 * neither.
 */
static int split_place(const char *text, char address[64], unsigned long *port)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	unsigned char raw[16];
	size_t len;

	*port = 0;
	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (!close || (close[1] && close[1] != ':'))
			return -1;
		colon = close[1] ? close + 1 : NULL;
		end = close;
		text++;
	} else if (colon && strchr(text, ':') == colon) {
		end = colon;
	} else {
		colon = NULL;
	}
	len = (size_t)(end - text);
	if (!len || len >= 64 || (colon && check_number(colon + 1, 1, 65535, port)))
		return -1;
	memcpy(address, text, len);
	address[len] = 0;
	return inet_pton(AF_INET, address, raw) == 1 || inet_pton(AF_INET6, address, raw) == 1 ?
		       0 : -1;
}

static const char *check_place(const char *text)
{
	char address[64];
	unsigned long port;

	return split_place(text, address, &port) ?
		       "must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT" : NULL;
}

/* "a.example.com, *.example.org" */
static void show_names(const struct cli *cli, const char *label, yyjson_val *names)
{
	char text[1024] = "";
	size_t index, max, used = 0;
	yyjson_val *name;

	yyjson_arr_foreach(names, index, max, name) {
		if (used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? ", " : "", yyjson_get_str(name));
	}
	if (used)
		print_field(cli, 8, label, text, PRINT_PLAIN);
}

static enum cli_status show_verdict(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	yyjson_val *data = reply->data;
	const char *verdict = yyjson_get_str(yyjson_obj_get(data, "verdict"));
	yyjson_val *rule = yyjson_obj_get(data, "rule");
	const bool drop = verdict && !strcmp(verdict, "drop");
	const char *text = yyjson_get_str(yyjson_obj_get(data, "text"));
	char *line;

	(void)call;
	print_field(cli, 8, "verdict", verdict ? verdict : "-", drop ? PRINT_RED : PRINT_GREEN);
	print_fieldf(cli, 8, "reason", "%s: %s",
		     yyjson_get_str(yyjson_obj_get(data, "reason")) ?: "-", text ? text : "-");
	if (yyjson_is_obj(rule)) {
		line = yyjson_val_write(rule, 0, NULL);
		print_field(cli, 8, "rule", line ? line : "-", PRINT_PLAIN);
		free(line);
	}
	show_names(cli, "names", yyjson_obj_get(data, "names"));
	show_names(cli, "but not", yyjson_obj_get(data, "names_denied"));
	if (!yyjson_get_bool(yyjson_obj_get(data, "enforced")))
		print_field(cli, 8, "enforced", "no: see 'hoody firewall show'", PRINT_YELLOW);
	return CLI_DONE;
}

static enum cli_status run_explain(struct cli *cli, const struct cli_args *args)
{
	const char *direction = args_value(args, "direction"), *to = args_value(args, "to");
	const char *from = args_value(args, "from"), *place = to ? to : from;
	const char *given = args_value(args, "port");
	char text[256], address[64], number[24] = "null";
	const struct call call = {.method = "POST", .text = text, .show = show_verdict};
	const bool egress = !strcmp(direction, "egress");
	unsigned long port;

	if (!place || (to && from) || egress != (to != NULL))
		return print_error(cli, CLI_USAGE, "%s: give --to with egress, --from with ingress",
				   args->command->path);
	split_place(place, address, &port);
	if (given && check_number(given, 1, 65535, &port))
		return print_error(cli, CLI_USAGE, "%s: --port must be a number from 1 to 65535",
				   args->command->path);
	if (port)
		snprintf(number, sizeof(number), "%lu", port);
	snprintf(text, sizeof(text),
		 "{\"direction\":\"%s\",\"protocol\":\"%s\",\"address\":\"%s\",\"port\":%s}",
		 direction, args_value(args, "protocol"), address, number);
	return call_show(cli, &call, FIREWALL_PATH "/explain", args_value(args, "container"));
}

/* One line of JSON for each; @after becomes the last one's number. */
static enum cli_status put_events(struct cli *cli, const struct cli_args *args,
				  unsigned long long *after)
{
	const bool drops = !strcmp(args->command->path, "firewall drops");
	const struct call call = {.method = "GET"};
	unsigned long long number;
	struct api_reply reply;
	size_t index, max = PAGE;
	yyjson_val *event;

	while (max == PAGE) {
		if (call_ask(cli, &call, &reply, FIREWALL_PATH "/%s?limit=%d&after=%llu",
			     args_value(args, "container"), drops ? "drops" : "events", PAGE,
			     *after))
			return CLI_FAILED;
		yyjson_arr_foreach(reply.data, index, max, event) {
			char *line = yyjson_val_write(event, 0, NULL);

			if (line)
				puts(line);
			free(line);
			number = yyjson_get_uint(yyjson_obj_get(event, "sequence"));
			if (number <= *after) {
				api_reply_clear(&reply);
				/* The same would be asked for for ever. */
				return print_error(cli, CLI_FAILED,
						   "the agent's numbers do not go on: the list is "
						   "not complete");
			}
			*after = number;
		}
		api_reply_clear(&reply);
	}
	return CLI_DONE;
}

static enum cli_status run_events(struct cli *cli, const struct cli_args *args)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
	unsigned long long after = 0;
	enum cli_status status = put_events(cli, args, &after);

	while (!status && args_flag(args, "follow") && !fflush(stdout)) {
		nanosleep(&pause, NULL);
		status = put_events(cli, args, &after);
	}
	return status;
}

static enum cli_status run_learn(struct cli *cli, const struct cli_args *args)
{
	const bool on = args_flag(args, "on"), off = args_flag(args, "off");
	const struct call call = {.method = args_flag(args, "forget") ? "DELETE" : "GET"};

	if (on + off + args_flag(args, "forget") > 1)
		return print_error(cli, CLI_USAGE, "%s: --on, --off and --forget exclude each other",
				   args->command->path);
	if (on || off)
		return firewall_call(cli, args, "PATCH", "",
				     on ? "{\"mode\":\"learn\"}" : "{\"mode\":\"enforce\"}", NULL);
	/* Shown as JSON in any case: it is what "hoody firewall apply" reads. */
	return call_show(cli, &call, FIREWALL_PATH "/learned", args_value(args, "container"));
}

static const char *const directions[] = {"egress", "ingress", NULL};
static const char *const protocols[] = {"tcp", "udp", "icmp", "icmpv6", NULL};

static const char *check_direction(const char *text)
{
	return strcmp(text, "egress") && strcmp(text, "ingress") ? "must be egress or ingress" :
								   NULL;
}

static const char *check_protocol(const char *text)
{
	size_t i;

	for (i = 0; protocols[i]; i++) {
		if (!strcmp(text, protocols[i]))
			return NULL;
	}
	return "must be tcp, udp, icmp or icmpv6";
}

static const struct cli_option explain_options[] = {
	FIREWALL_CONTAINER_OPTION,
	{.name = "direction",
	 .kind = CLI_VALUE,
	 .required = true,
	 .value = "DIRECTION",
	 .check = check_direction,
	 .words = directions,
	 .help = "egress or ingress"},
	{.name = "protocol",
	 .kind = CLI_VALUE,
	 .required = true,
	 .value = "PROTOCOL",
	 .check = check_protocol,
	 .words = protocols,
	 .help = "tcp, udp, icmp or icmpv6"},
	{.name = "to",
	 .kind = CLI_VALUE,
	 .value = "ADDRESS[:PORT]",
	 .check = check_place,
	 .help = "where an egress packet goes"},
	{.name = "from",
	 .kind = CLI_VALUE,
	 .value = "ADDRESS",
	 .check = check_place,
	 .help = "where an ingress packet comes from"},
	{.name = "port", .kind = CLI_VALUE, .value = "PORT", .help = "its destination port"},
	{}};
static const struct cli_option events_options[] = {
	FIREWALL_CONTAINER_OPTION,
	{.name = "follow", .letter = 'f', .kind = CLI_FLAG, .help = "go on with those to come"},
	{}};
static const struct cli_option learn_options[] = {
	FIREWALL_CONTAINER_OPTION,
	{.name = "on", .kind = CLI_FLAG, .help = "let pass what no rule allows, and note it"},
	{.name = "off", .kind = CLI_FLAG, .help = "enforce the rules"},
	{.name = "forget", .kind = CLI_FLAG, .help = "begin anew"},
	{}};

const struct cli_command firewall_why_commands[] = {
	{
		.path = "firewall explain",
		.summary = "say whether a packet would pass, and by which rule",
		.options = explain_options,
		.run = run_explain,
	},
	{
		.path = "firewall drops",
		.summary = "print what was dropped lately, one JSON object a line",
		.details = "The last 256 of the container; at most 100 a second are told, the others\n"
			   "are counted (hoody firewall show).",
		.options = events_options,
		.run = run_events,
	},
	{
		.path = "logs firewall",
		.summary = "print what was dropped, and the new flows, one JSON object a line",
		.details = "New flows are told where 'hoody firewall set --log-flows on' asks for it: the\n"
			   "last 256 of the container, beside its last 256 drops; at most 100 a second of\n"
			   "each are told, the others are counted (hoody firewall show).",
		.options = events_options,
		.run = run_events,
	},
	{
		.path = "firewall learn",
		.summary = "find out which rules a container needs",
		.details = "--on closes both directions and lets pass what that would drop; deny rules\n"
			   "and metadata services stay closed. Without an option the rules are printed\n"
			   "that would allow what was seen.",
		.options = learn_options,
		.run = run_learn,
	},
	{},
};
