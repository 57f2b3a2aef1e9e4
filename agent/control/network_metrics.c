// SPDX-License-Identifier: Apache-2.0
/*
 * Exits and names in /metrics. Labels are kinds, healths and reasons, of which there
 * are few; exits and containers, of which there may be many, are in "network show".
 */
#include "control/network.h"

#include <string.h>

static const char *const healths[RELAY_HEALTHS] = {
	[RELAY_HEALTH_UNKNOWN] = "unknown",
	[RELAY_HEALTH_UP] = "up",
	[RELAY_HEALTH_DOWN] = "down",
};

const char *network_health_name(uint32_t health)
{
	return healths[health < RELAY_HEALTHS ? health : RELAY_HEALTH_UNKNOWN];
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_healths(FILE *out, enum exit_kind kind, const uint32_t counts[RELAY_HEALTHS])
{
	for (uint32_t health = 0; health < RELAY_HEALTHS; health++)
		fprintf(out, "hoody_exits{kind=\"%s\",health=\"%s\"} %u\n", exit_kind_name(kind),
			healths[health], counts[health]);
}

static bool ends_with(const char *name, const char *end)
{
	const size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && !strcmp(name + len - end_len, end);
}

/* One of the relay's counters; those of one kind are a family with a label, below. */
static void write_counter(FILE *out, const char *name, uint64_t value)
{
	const bool gauge = ends_with(name, "_open");
	const char *area = strncmp(name, "dns_", 4) ? "exit_" : "";
	char full[96], help[160];

	if (!strncmp(name, "failed_", 7))
		return;
	snprintf(full, sizeof(full), "hoody_%s%s%s", area, name, gauge ? "" : "_total");
	snprintf(help, sizeof(help), "The relay's %s %s.", gauge ? "gauge" : "counter", name);
	head(out, full, gauge ? "gauge" : "counter", help);
	fprintf(out, "%s %llu\n", full, (unsigned long long)value);
}

static void write_failure(FILE *out, const char *name, uint64_t value)
{
	if (!strncmp(name, "failed_", 7))
		fprintf(out, "hoody_exit_failed_total{reason=\"%s\"} %llu\n", name + 7,
			(unsigned long long)value);
}

void network_metrics(const struct network *network, const struct relay_totals *totals, FILE *out)
{
	uint32_t tunnels[RELAY_HEALTHS] = { 0 };
	struct relay_daemon_status relay;

	if (!network)
		return;
	network_tunnels_count(network, tunnels);
	head(out, "hoody_exits", "gauge", "Exits of running containers, each once, by kind and health.");
	_Static_assert(EXIT_SOCKS5 + RELAY_KINDS == EXIT_WIREGUARD, "the kinds of the relay");
	for (uint32_t kind = 0; totals && kind < RELAY_KINDS; kind++)
		write_healths(out, (enum exit_kind)(EXIT_SOCKS5 + kind), totals->exits[kind]);
	write_healths(out, EXIT_WIREGUARD, tunnels);
	if (!network->daemon)
		return;
	relay_daemon_status(network->daemon, &relay);
	head(out, "hoody_relay_ready", "gauge", "1 while the relay carries connections.");
	fprintf(out, "hoody_relay_ready %d\n", relay.ready);
	head(out, "hoody_relay_draining", "gauge",
	     "Relays that were replaced in an upgrade and finish what they carry.");
	fprintf(out, "hoody_relay_draining %u\n", relay.draining);
	if (!totals)
		return;
#define X(name) write_counter(out, #name, totals->name);
	RELAY_COUNTERS(X)
#undef X
	head(out, "hoody_exit_failed_total", "counter",
	     "Connections of containers that their exit did not carry, by reason.");
#define X(name) write_failure(out, #name, totals->name);
	RELAY_COUNTERS(X)
#undef X
}

void network_totals(const struct network *network, relay_daemon_totals_done *done, void *context)
{
	if (!network || !network->daemon || relay_daemon_totals(network->daemon, done, context))
		done(context, NULL);
}
