// SPDX-License-Identifier: Apache-2.0
/*
 * hoody firewall show|reset|open|default|set|apply and the rules of both directions:
 * egress|ingress create|list|delete. What a rule may be is for the agent to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "file.h"
#include "firewall.h"
#include "options.h"
#include "print.h"

#define FILE_MAX (4 << 20) /* what the agent takes as one body */
#define CURSOR_MAX 24 /* bytes with the NUL: a number */

static const char *text_of(yyjson_val *object, const char *name)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, name));

	return text ? text : "";
}

static enum print_colour state_colour(const char *state)
{
	if (!strcmp(state, "enforced"))
		return PRINT_GREEN;
	return !strcmp(state, "failed") ? PRINT_RED : PRINT_YELLOW;
}

/* "name 3, other 1" of an object's numbers that are not 0. */
static void join_counters(yyjson_val *object, char *text, size_t size)
{
	size_t index, max, len = 0;
	yyjson_val *key, *value;

	text[0] = 0;
	yyjson_obj_foreach(object, index, max, key, value) {
		if (yyjson_get_uint(value) && len < size)
			len += snprintf(text + len, size - len, "%s%s %llu", len ? ", " : "",
					yyjson_get_str(key),
					(unsigned long long)yyjson_get_uint(value));
	}
}

static void show_fields(const struct cli *cli, yyjson_val *data)
{
	static const char *const groups[] = {"passed", "flows", "drops"};
	yyjson_val *defaults = yyjson_obj_get(data, "defaults");
	const int width = 10;
	char text[1024];
	size_t i;

	print_field(cli, width, "container", text_of(data, "container"), PRINT_PLAIN);
	print_field(cli, width, "state", text_of(data, "state"),
		    state_colour(text_of(data, "state")));
	if (text_of(data, "reason")[0])
		print_field(cli, width, "reason", text_of(data, "reason"), PRINT_PLAIN);
	print_field(cli, width, "mode", text_of(data, "mode"), PRINT_PLAIN);
	print_fieldf(cli, width, "egress", "%llu rules, else %s",
		     (unsigned long long)yyjson_get_uint(yyjson_obj_get(data, "egress_rules")),
		     text_of(defaults, "egress"));
	print_fieldf(cli, width, "ingress", "%llu rules, else %s",
		     (unsigned long long)yyjson_get_uint(yyjson_obj_get(data, "ingress_rules")),
		     text_of(defaults, "ingress"));
	print_field(cli, width, "log flows",
		    yyjson_get_bool(yyjson_obj_get(data, "log_flows")) ? "on" : "off", PRINT_PLAIN);
	print_field(cli, width, "names",
		    yyjson_get_bool(yyjson_obj_get(data, "strict_names")) ? "strict" : "by address",
		    PRINT_PLAIN);
	for (i = 0; i < 3; i++) {
		if (!yyjson_obj_get(data, groups[i]))
			continue;
		join_counters(yyjson_obj_get(data, groups[i]), text, sizeof(text));
		print_field(cli, width, groups[i], text[0] ? text : "none", PRINT_PLAIN);
	}
}

static enum cli_status show(struct cli *cli, const struct call *call, const struct api_reply *reply)
{
	if (call->done)
		print_line("%s (%s)", call->done, text_of(reply->data, "state"));
	else
		show_fields(cli, reply->data);
	return CLI_DONE;
}

enum cli_status firewall_call(struct cli *cli, const struct cli_args *args, const char *method,
			      const char *rest, const char *text, const char *done)
{
	const struct call call = {.method = method, .text = text, .show = show, .done = done};

	return call_show(cli, &call, FIREWALL_PATH "%s", args_value(args, "container"), rest);
}

static enum cli_status run_show(struct cli *cli, const struct cli_args *args)
{
	return firewall_call(cli, args, "GET", "", NULL, NULL);
}

static enum cli_status run_reset(struct cli *cli, const struct cli_args *args)
{
	return firewall_call(cli, args, "POST", "/reset", NULL,
			     "reset: no rules, nothing passes in either direction");
}

static enum cli_status run_open(struct cli *cli, const struct cli_args *args)
{
	return firewall_call(cli, args, "DELETE", "", NULL,
			     "opened: no rules, both directions are open");
}

static enum cli_status run_default(struct cli *cli, const struct cli_args *args)
{
	const char *egress = args_value(args, "egress"), *ingress = args_value(args, "ingress");
	char body[128];

	if (!egress && !ingress)
		return print_error(cli, CLI_USAGE, "%s: give --egress, --ingress or both",
				   args->command->path);
	snprintf(body, sizeof(body), "{\"defaults\":{%s%s%s%s%s%s%s}}", egress ? "\"egress\":\"" : "",
		 egress ? egress : "", egress ? "\"" : "", egress && ingress ? "," : "",
		 ingress ? "\"ingress\":\"" : "", ingress ? ingress : "", ingress ? "\"" : "");
	return firewall_call(cli, args, "PATCH", "", body, NULL);
}

static enum cli_status run_set(struct cli *cli, const struct cli_args *args)
{
	const char *flows = args_value(args, "log-flows"), *names = args_value(args, "strict-names");
	char body[64];
	int len = 0;

	if (!flows && !names)
		return print_error(cli, CLI_USAGE, "%s: give --log-flows, --strict-names or both",
				   args->command->path);
	if (flows)
		len = snprintf(body, sizeof(body), "{\"log_flows\":%s",
			       strcmp(flows, "on") ? "false" : "true");
	if (names)
		len += snprintf(body + len, sizeof(body) - (size_t)len, "%s\"strict_names\":%s",
				len ? "," : "{", strcmp(names, "on") ? "false" : "true");
	snprintf(body + len, sizeof(body) - (size_t)len, "}");
	return firewall_call(cli, args, "PATCH", "", body, NULL);
}

static enum cli_status run_apply(struct cli *cli, const struct cli_args *args)
{
	char *text = file_argument(cli, args->positional[0], FILE_MAX);
	enum cli_status status;

	if (!text)
		return CLI_FAILED;
	status = firewall_call(cli, args, "PUT", "", text, NULL);
	free(text);
	return status;
}

static bool is_egress(const struct cli_args *args)
{
	return strstr(args->command->path, " egress ") != NULL;
}

static const char *direction_of(const struct cli_args *args)
{
	return is_egress(args) ? "egress" : "ingress";
}

static enum cli_status show_created(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	(void)cli;
	printf("created %s rule %llu\n", direction_of(call->args),
	       (unsigned long long)yyjson_get_uint(yyjson_obj_get(reply->data, "id")));
	return CLI_DONE;
}

static enum cli_status run_create(struct cli *cli, const struct cli_args *args)
{
	static const char *const names[] = {"action", "protocol", "description"};
	const char *peer = is_egress(args) ? "destination" : "source";
	yyjson_mut_val *body;
	yyjson_mut_doc *doc = call_body(cli, &body);
	const struct call call = {
		.method = "POST", .body = doc, .show = show_created, .args = args};
	size_t i;

	if (!doc)
		return CLI_FAILED;
	for (i = 0; i < 3; i++) {
		if (args_value(args, names[i]))
			yyjson_mut_obj_add_str(doc, body, names[i], args_value(args, names[i]));
	}
	if (args_value(args, peer))
		yyjson_mut_obj_add_str(doc, body, peer, args_value(args, peer));
	if (args_value(args, "destination-port"))
		yyjson_mut_obj_add_str(doc, body, "destination_port",
				       args_value(args, "destination-port"));
	return call_show(cli, &call, FIREWALL_PATH "/%s", args_value(args, "container"),
			 direction_of(args));
}

static enum cli_status run_delete(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {
		.method = "DELETE",
		.show = call_done,
		.args = args,
		.done = is_egress(args) ? "deleted egress rule" : "deleted ingress rule",
	};

	return call_show(cli, &call, FIREWALL_PATH "/%s/%s", args_value(args, "container"),
			 direction_of(args), args->positional[0]);
}

static void put_rule(struct print_table *table, yyjson_val *rule, const char *peer)
{
	const char *action = text_of(rule, "action"), *numbers[] = {"packets", "bytes"};
	char text[32];
	size_t i;

	snprintf(text, sizeof(text), "%llu",
		 (unsigned long long)yyjson_get_uint(yyjson_obj_get(rule, "id")));
	print_table_cell(table, text, PRINT_PLAIN);
	print_table_cell(table, action, strcmp(action, "deny") ? PRINT_GREEN : PRINT_RED);
	print_table_cell(table, text_of(rule, "protocol"), PRINT_PLAIN);
	print_table_cell(table, text_of(rule, peer)[0] ? text_of(rule, peer) : "anywhere",
			 PRINT_PLAIN);
	print_table_cell(table, text_of(rule, "destination_port"), PRINT_PLAIN);
	for (i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)yyjson_get_uint(yyjson_obj_get(rule, numbers[i])));
		print_table_cell(table, text, PRINT_PLAIN);
	}
	print_table_cell(table, text_of(rule, "description"), PRINT_DIM);
}

/*
 * The next page's cursor, "" behind the last one. 0, or -1 after saying that it does not
 * go on: rules come by their number, and what does not grow would be asked for for ever.
 */
static int next_page(const struct cli *cli, const struct api_reply *reply, char cursor[CURSOR_MAX])
{
	const char *next = text_of(reply->root, "next_cursor");
	const size_t len = strlen(next), before = strlen(cursor);

	if (*next && (len >= CURSOR_MAX || next[strspn(next, "0123456789")] || len < before ||
		      (len == before && strcmp(next, cursor) <= 0))) {
		print_error(cli, CLI_FAILED,
			    "the agent's cursor cannot be used: the list is not complete");
		return -1;
	}
	memcpy(cursor, next, len + 1);
	return 0;
}

/* All pages: rows of @table, or with @list members of it. */
static enum cli_status each_page(struct cli *cli, const struct cli_args *args,
				 struct print_table *table, yyjson_mut_doc *doc,
				 yyjson_mut_val *list)
{
	const char *peer = is_egress(args) ? "destination" : "source";
	const struct call call = {.method = "GET"};
	struct api_reply reply;
	char cursor[CURSOR_MAX] = "";
	bool good = true;
	size_t index, max;
	yyjson_val *rule;

	do {
		if (call_ask(cli, &call, &reply, FIREWALL_PATH "/%s?limit=4096%s%s",
			     args_value(args, "container"), direction_of(args),
			     cursor[0] ? "&cursor=" : "", cursor))
			return CLI_FAILED;
		yyjson_arr_foreach(reply.data, index, max, rule) {
			if (table)
				put_rule(table, rule, peer);
			else
				good &= yyjson_mut_arr_append(list, yyjson_val_mut_copy(doc, rule));
		}
		if (!good)
			print_error(cli, CLI_FAILED, "out of memory");
		else
			good = !next_page(cli, &reply, cursor);
		api_reply_clear(&reply);
	} while (good && cursor[0]);
	return good ? CLI_DONE : CLI_FAILED;
}

static enum cli_status run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const egress[] = {"RULE", "ACTION", "PROTOCOL", "DESTINATION", "PORT",
					     "PACKETS", "BYTES", "DESCRIPTION", NULL};
	static const char *const ingress[] = {"RULE", "ACTION", "PROTOCOL", "SOURCE", "PORT",
					      "PACKETS", "BYTES", "DESCRIPTION", NULL};
	struct print_table *table = NULL;
	yyjson_mut_val *list = NULL;
	yyjson_mut_doc *doc = NULL;
	enum cli_status status;

	if (cli->json) {
		doc = yyjson_mut_doc_new(NULL);
		list = yyjson_mut_arr(doc);
		if (!list) {
			yyjson_mut_doc_free(doc);
			return print_error(cli, CLI_FAILED, "out of memory");
		}
		yyjson_mut_doc_set_root(doc, list);
	} else {
		table = print_table_create(is_egress(args) ? egress : ingress);
	}
	status = each_page(cli, args, table, doc, list);
	if (cli->json) {
		if (!status)
			status = print_json_mut(doc);
		yyjson_mut_doc_free(doc);
	} else if (status) {
		print_table_destroy(table);
	} else {
		status = print_table_finish(cli, table);
	}
	return status;
}

static const char *const actions[] = {"allow", "deny", NULL};
static const char *const protocols[] = {"tcp", "udp", "icmp", "icmpv6", "any", NULL};

static const char *check_action(const char *text)
{
	return strcmp(text, "allow") && strcmp(text, "deny") ? "must be allow or deny" : NULL;
}

static const char *const switches[] = {"on", "off", NULL};

static const char *check_switch(const char *text)
{
	return strcmp(text, "on") && strcmp(text, "off") ? "must be on or off" : NULL;
}

static const char *check_rule(const char *text)
{
	unsigned long number;

	return check_number(text, 1, UINT32_MAX, &number) ? "must be a rule's number" : NULL;
}

#define RULE_OPTIONS(PEER, PEER_HELP)                                                              \
	FIREWALL_CONTAINER_OPTION,                                                                 \
		{.name = "action",                                                                 \
		 .kind = CLI_VALUE,                                                                \
		 .required = true,                                                                 \
		 .value = "ACTION",                                                                \
		 .check = check_action,                                                            \
		 .words = actions,                                                                 \
		 .help = "allow or deny; deny beats allow"},                                       \
		{.name = "protocol",                                                               \
		 .kind = CLI_VALUE,                                                                \
		 .required = true,                                                                 \
		 .value = "PROTOCOL",                                                              \
		 .words = protocols,                                                               \
		 .help = "tcp, udp, icmp (IPv4), icmpv6 or any"},                                  \
		{.name = PEER, .kind = CLI_VALUE, .value = "WHERE", .help = PEER_HELP},            \
		{.name = "destination-port",                                                       \
		 .kind = CLI_VALUE,                                                                \
		 .value = "P[-Q]",                                                                 \
		 .help = "port or range, of tcp and udp; without it every port"},                  \
	{                                                                                          \
		.name = "description", .kind = CLI_VALUE, .value = "TEXT", .help = "for people"    \
	}

static const struct cli_option container_options[] = {FIREWALL_CONTAINER_OPTION, {}};
static const struct cli_option egress_options[] = {
	RULE_OPTIONS("destination", "CIDR, address, name, *.name, container:ID or project:ID; without it anywhere"),
	{}};
static const struct cli_option ingress_options[] = {
	RULE_OPTIONS("source", "CIDR, address, container:ID or project:ID; without it anywhere"),
	{}};
static const struct cli_option default_options[] = {
	FIREWALL_CONTAINER_OPTION,
	{.name = "egress",
	 .kind = CLI_VALUE,
	 .value = "ACTION",
	 .check = check_action,
	 .words = actions,
	 .help = "what holds for what no egress rule speaks of"},
	{.name = "ingress",
	 .kind = CLI_VALUE,
	 .value = "ACTION",
	 .check = check_action,
	 .words = actions,
	 .help = "what holds for what no ingress rule speaks of"},
	{}};

static const struct cli_option set_options[] = {
	FIREWALL_CONTAINER_OPTION,
	{.name = "log-flows",
	 .kind = CLI_VALUE,
	 .value = "SWITCH",
	 .check = check_switch,
	 .words = switches,
	 .help = "on: tell every new flow too (hoody logs firewall)"},
	{.name = "strict-names",
	 .kind = CLI_VALUE,
	 .value = "SWITCH",
	 .check = check_switch,
	 .words = switches,
	 .help = "on: connections by rules about names must say such a name in TLS or QUIC"},
	{}};

static const struct cli_positional rule_positional[] = {
	{.name = "RULE", .help = "its number, as list shows it", .check = check_rule}, {}};
static const struct cli_positional file_positional[] = {
	{.name = "FILE", .help = "JSON: {\"rules\":[...]}; - for standard input"}, {}};

static const char create_details[] =
	"The first allow rule of a direction closes the direction for everything else.";

const struct cli_command firewall_commands[] = {
	{
		.path = "firewall show",
		.summary = "show a container's firewall and what it has dropped",
		.options = container_options,
		.run = run_show,
	},
	{
		.path = "firewall reset",
		.summary = "remove all rules and deny everything, both ways",
		.details = "Clients still reach the container through its URLs: that is what\n"
			   "permissions are for.",
		.options = container_options,
		.run = run_reset,
	},
	{
		.path = "firewall open",
		.summary = "remove all rules and allow everything, both ways",
		.details = "The container is still held to its own addresses.",
		.options = container_options,
		.run = run_open,
	},
	{
		.path = "firewall default",
		.summary = "say what holds where no rule matches",
		.options = default_options,
		.run = run_default,
	},
	{
		.path = "firewall set",
		.summary = "change what is not a rule",
		.details = "Stays as it is where rules are reset or replaced.",
		.options = set_options,
		.run = run_set,
	},
	{
		.path = "firewall apply",
		.summary = "replace all rules by those of a file, in one step",
		.details = "The file is what \"rules\", \"defaults\" and \"mode\" of the API are; defaults\n"
			   "that are not given are deny.",
		.options = container_options,
		.positionals = file_positional,
		.run = run_apply,
	},
	{
		.path = "firewall egress create",
		.summary = "add a rule about what the container may reach",
		.details = create_details,
		.options = egress_options,
		.run = run_create,
	},
	{
		.path = "firewall egress list",
		.summary = "list the egress rules with their counters",
		.options = container_options,
		.run = run_list,
	},
	{
		.path = "firewall egress delete",
		.summary = "remove an egress rule",
		.options = container_options,
		.positionals = rule_positional,
		.run = run_delete,
	},
	{
		.path = "firewall ingress create",
		.summary = "add a rule about who may reach the container",
		.details = create_details,
		.options = ingress_options,
		.run = run_create,
	},
	{
		.path = "firewall ingress list",
		.summary = "list the ingress rules with their counters",
		.options = container_options,
		.run = run_list,
	},
	{
		.path = "firewall ingress delete",
		.summary = "remove an ingress rule",
		.options = container_options,
		.positionals = rule_positional,
		.run = run_delete,
	},
	{},
};
