// SPDX-License-Identifier: Apache-2.0
/* Exits' health and when they are probed, see health.h. */
#include "relay/health.h"

#include "lib/log.h"

#include <string.h>

/* Wakes the loop at @at, or earlier where that is asked for already. */
static void wake_at(struct relay *relay, uint64_t at)
{
	/* 0 would be no time at all. */
	at = at ? at : 1;
	if (!relay->loop.alarm || at < relay->loop.alarm)
		relay->loop.alarm = at;
}

/* Exits that were set together are not probed together for ever. */
static uint64_t idle_ms(const struct relay *relay, const struct relay_exit *exit)
{
	const uint32_t probe = relay->probe_ms;

	return probe + (address_hash(&exit->places.addresses[0]) + exit->probes * 0x9e3779b9u) %
			       (probe / 4 + 1);
}

static void plan(struct relay *relay, struct relay_exit *exit, uint64_t delay)
{
	exit->probe_at = relay->loop.now + delay;
	if (relay->probe_ms)
		wake_at(relay, exit->probe_at);
}

void relay_health_set(struct relay *relay, struct relay_exit *exit, enum relay_health health,
		      const char *fault, bool probe)
{
	const bool changed = exit->health != health;
	char text[EXIT_TEXT_MAX];

	if (health == RELAY_HEALTH_DOWN) {
		memset(exit->fault, 0, sizeof(exit->fault));
		strncpy(exit->fault, fault, sizeof(exit->fault) - 1);
		exit->fault_at = relay->loop.now;
	}
	if (changed) {
		exit->health = health;
		exit->health_since = relay->loop.now;
		exit_format(&exit->spec, text);
		if (health == RELAY_HEALTH_UP)
			log_info("event=exit_up exit=%s", text);
		else
			log_warning("event=exit_down exit=%s reason=%s", text, fault);
	}
	if (health == RELAY_HEALTH_UP) {
		exit->probe_backoff = 0;
		plan(relay, exit, idle_ms(relay, exit));
		return;
	}
	exit->probes_failed += probe;
	/* A container that tries and tries does not put off what would find the exit up. */
	if (!probe && !changed)
		return;
	exit->probe_backoff = exit->probe_backoff ? 2 * exit->probe_backoff : HEALTH_RETRY_MS;
	if (exit->probe_backoff > HEALTH_RETRY_MAX_MS)
		exit->probe_backoff = HEALTH_RETRY_MAX_MS;
	plan(relay, exit, exit->probe_backoff);
}

void relay_health_probed(struct relay *relay, struct relay_exit *exit)
{
	exit->probing = false;
	relay->probes--;
	/* There may be one that waits for its place. */
	wake_at(relay, relay->loop.now);
}

static void probe(struct relay *relay, struct relay_exit *exit)
{
	exit->probing = true;
	exit->probes++;
	relay->probes++;
	/* Where the relay itself has no room the exit is not to blame. */
	plan(relay, exit, HEALTH_RETRY_MAX_MS);
	relay_session_probe(relay, exit);
}

static void on_alarm(struct loop *loop)
{
	struct relay *relay = container_of(loop, struct relay, loop);
	struct relay_exit *const *exits;
	size_t count;

	loop->alarm = 0;
	if (!relay->probe_ms || !relay->policy)
		return;
	exits = relay_policy_exits(relay->policy, &count);
	for (size_t i = 0; i < count; i++) {
		struct relay_exit *exit = exits[i];

		if (exit->probing)
			continue;
		if (exit->probe_at > loop->now)
			wake_at(relay, exit->probe_at);
		else if (relay->probes < HEALTH_PROBES_MAX)
			probe(relay, exit);
	}
}

void relay_health_policy_changed(struct relay *relay)
{
	wake_at(relay, relay->loop.now);
}

void relay_health_setup(struct relay *relay)
{
	relay->loop.alarmed = on_alarm;
}

void relay_health_fill(const struct relay *relay, const struct relay_exit *exit,
		       struct relay_stats *stats)
{
	stats->health = exit->health;
	stats->health_ms = exit->health_since ? relay->loop.now - exit->health_since : 0;
	memcpy(stats->fault, exit->fault, sizeof(stats->fault));
	stats->fault_ms = exit->fault_at ? relay->loop.now - exit->fault_at : 0;
	stats->probes = exit->probes;
	stats->probes_failed = exit->probes_failed;
}

void relay_health_count(const struct relay *relay, struct relay_totals *totals)
{
	size_t count = 0;
	struct relay_exit *const *exits = relay->policy ?
						  relay_policy_exits(relay->policy, &count) : NULL;

	for (size_t i = 0; i < count; i++)
		totals->exits[exits[i]->spec.kind - EXIT_SOCKS5][exits[i]->health]++;
}
