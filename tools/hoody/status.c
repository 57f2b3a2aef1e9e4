// SPDX-License-Identifier: Apache-2.0
/*
 * hoody status: what the agent says of itself, on one screen.
 */
#include <string.h>

#include "call.h"
#include "print.h"

#define WIDTH 13

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static unsigned long long number_of(yyjson_val *json, const char *key)
{
	return yyjson_get_uint(yyjson_obj_get(json, key));
}

static void show_uptime(const struct cli *cli, unsigned long long seconds)
{
	unsigned long long days = seconds / 86400;

	if (days)
		print_fieldf(cli, WIDTH, "uptime", "%llu d %llu h", days, seconds / 3600 % 24);
	else if (seconds >= 3600)
		print_fieldf(cli, WIDTH, "uptime", "%llu h %llu min", seconds / 3600,
			     seconds / 60 % 60);
	else
		print_fieldf(cli, WIDTH, "uptime", "%llu min %llu s", seconds / 60, seconds % 60);
}

static void show_real_ip(const struct cli *cli, yyjson_val *real_ip)
{
	const char *state = text_of(real_ip, "state"), *reason = text_of(real_ip, "reason");
	const char *module = text_of(real_ip, "module_version");
	char text[512];

	snprintf(text, sizeof(text), "%s%s%s%s%s", state, module[0] ? ", module " : "", module,
		 reason[0] ? ": " : "", reason);
	print_field(cli, WIDTH, "real ip", text,
		    !strcmp(state, "on")	    ? PRINT_GREEN
		    : !strcmp(state, "unavailable") ? PRINT_YELLOW
						    : PRINT_PLAIN);
}

static void show_firewall(const struct cli *cli, yyjson_val *firewall)
{
	const char *state = text_of(firewall, "state"), *reason = text_of(firewall, "reason");
	const unsigned long long failed = number_of(firewall, "failed");

	if (!strcmp(state, "loaded"))
		print_fieldf(cli, WIDTH, "firewall", "loaded, around %llu containers%s",
			     number_of(firewall, "enforced"),
			     failed ? ", not enforced on others: hoody firewall show" : "");
	else
		print_fieldf(cli, WIDTH, "firewall", "%s%s%s", state, reason[0] ? ": " : "", reason);
}

static void show_worker(const struct cli *cli, yyjson_val *worker)
{
	const char *state = text_of(worker, "state");
	char text[256];

	snprintf(text, sizeof(text), "%s, pid %llu, %llu threads, %llu restarts, image %llu", state,
		 number_of(worker, "pid"), number_of(worker, "threads"),
		 number_of(worker, "restarts"), number_of(worker, "image_sequence"));
	print_field(cli, WIDTH, "worker", text, PRINT_PLAIN);
}

/* Nothing where no container needs it. */
static void show_relay(const struct cli *cli, yyjson_val *relay)
{
	const char *state = text_of(relay, "state");

	if (state[0] && strcmp(state, "off"))
		print_fieldf(cli, WIDTH, "relay", "%s, pid %llu", state, number_of(relay, "pid"));
}

/* Nothing where there was none. */
static void show_upgrade(const struct cli *cli, yyjson_val *data)
{
	yyjson_val *upgrade = yyjson_obj_get(data, "upgrade");
	const unsigned long long draining = number_of(yyjson_obj_get(data, "worker"), "draining");
	const unsigned long long relays = number_of(yyjson_obj_get(data, "relay"), "draining");
	const char *state = text_of(upgrade, "state"), *reason = text_of(upgrade, "reason");

	if (draining)
		print_fieldf(cli, WIDTH, "draining", "%llu workers that were replaced", draining);
	if (relays)
		print_fieldf(cli, WIDTH, "draining", "%llu relays that were replaced", relays);
	if (!state[0] || !strcmp(state, "idle"))
		return;
	print_fieldf(cli, WIDTH, "upgrade", "%s%s%s%s%s", state, reason[0] ? ": " : "", reason,
		     text_of(upgrade, "from")[0] ? ", from " : "", text_of(upgrade, "from"));
}

/* Nothing where all is well. */
static void show_database(const struct cli *cli, yyjson_val *database)
{
	const char *restored = text_of(database, "restored");

	if (restored[0])
		print_field(cli, WIDTH, "database", restored, PRINT_YELLOW);
	if (!strcmp(text_of(database, "copy"), "failed"))
		print_fieldf(cli, WIDTH, "database", "no copy is kept: %s",
			     text_of(database, "copy_reason"));
}

/* Containers that a reload of the module left frozen. */
static void show_frozen(const struct cli *cli, yyjson_val *list)
{
	yyjson_val *hold;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, hold)
	{
		const char *name = text_of(hold, "name"), *reason = text_of(hold, "reason");
		char text[512];

		snprintf(text, sizeof(text), "%s%s%s; then hoody module resume",
			 name[0] ? name : text_of(hold, "container"), reason[0] ? ": " : "", reason);
		print_field(cli, WIDTH, "frozen", text, PRINT_YELLOW);
	}
}

static void show_listeners(const struct cli *cli, yyjson_val *listeners)
{
	yyjson_val *value;
	char text[1024] = "";
	size_t i, max, len = 0;

	yyjson_arr_foreach(listeners, i, max, value)
	{
		if (len < sizeof(text))
			len += snprintf(text + len, sizeof(text) - len, "%s%s%s", len ? ", " : "",
					text_of(value, "address"),
					yyjson_is_true(yyjson_obj_get(value, "quic")) ? " (QUIC)" :
					yyjson_is_false(yyjson_obj_get(value, "tls")) ? " (plain)" : "");
	}
	print_field(cli, WIDTH, "listens on", text[0] ? text : "-", PRINT_PLAIN);
}

static void show_counters(const struct cli *cli, yyjson_val *counters)
{
	unsigned long long connects = number_of(counters, "upstream_connects");
	unsigned long long reused = number_of(counters, "upstream_reused");
	unsigned long long refused = 0;
	yyjson_val *key, *value;
	size_t i, max;

	yyjson_obj_foreach(counters, i, max, key, value)
	{
		if (!strncmp(yyjson_get_str(key), "refused_", 8))
			refused += yyjson_get_uint(value);
	}
	print_fieldf(cli, WIDTH, "connections", "%llu open of %llu accepted",
		     number_of(counters, "connections_open"),
		     number_of(counters, "connections_accepted"));
	print_fieldf(cli, WIDTH, "requests", "%llu, %llu of them refused, %llu failed upstream",
		     number_of(counters, "requests"), refused,
		     number_of(counters, "upstream_failed") +
			     number_of(counters, "upstream_timeout"));
	print_fieldf(cli, WIDTH, "upstream", "%llu connections made, reused %llu times", connects,
		     reused);
}

static enum cli_status show(struct cli *cli, const struct call *call, const struct api_reply *reply)
{
	yyjson_val *data = reply->data, *containers = yyjson_obj_get(data, "containers");

	(void)call;
	print_field(cli, WIDTH, "agent", text_of(data, "version"), PRINT_PLAIN);
	print_fieldf(cli, WIDTH, "serves", "*.%s.%s", text_of(data, "node"),
		     text_of(data, "base_domain"));
	show_listeners(cli, yyjson_obj_get(data, "listeners"));
	show_uptime(cli, number_of(data, "uptime_seconds"));
	print_fieldf(cli, WIDTH, "containers", "%llu registered, %llu running, %llu deleted",
		     number_of(containers, "registered"), number_of(containers, "running"),
		     number_of(containers, "tombstones"));
	show_database(cli, yyjson_obj_get(data, "database"));
	show_frozen(cli, yyjson_obj_get(data, "frozen"));
	show_real_ip(cli, yyjson_obj_get(data, "real_ip"));
	if (yyjson_obj_get(data, "firewall"))
		show_firewall(cli, yyjson_obj_get(data, "firewall"));
	show_worker(cli, yyjson_obj_get(data, "worker"));
	show_relay(cli, yyjson_obj_get(data, "relay"));
	show_upgrade(cli, data);
	show_counters(cli, yyjson_obj_get(yyjson_obj_get(data, "worker"), "counters"));
	return CLI_DONE;
}

static enum cli_status run_status(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "GET", .show = show};

	(void)args;
	return call_show(cli, &call, "/api/v1/status");
}

const struct cli_command status_commands[] = {
	{
		.path = "status",
		.summary = "show the agent's state, its worker and its counters",
		.run = run_status,
	},
	{},
};
