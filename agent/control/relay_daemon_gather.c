// SPDX-License-Identifier: Apache-2.0
/*
 * Questions to every relay that lives, see relay_daemon.h: an answer is there when
 * all have said theirs, or are gone.
 */
#include "control/relay_daemon_internal.h"

#include "relay/counted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void finish(struct relay_gather *gather)
{
	if (gather->done)
		gather->done(gather->context);
	if (gather->stats_done)
		gather->stats_done(gather->context, gather->answered ? &gather->stats : NULL);
	if (gather->totals_done)
		gather->totals_done(gather->context, gather->answered ? &gather->totals : NULL);
	free(gather);
}

/* How an exit does is said by the one that uses it now. */
static void add_stats(struct relay_gather *gather, const struct relay_child *child,
		      const struct relay_stats *stats)
{
	struct relay_stats sum = gather->stats;

	if (child->state == RELAY_CHILD_SERVING) {
		gather->stats = *stats;
		gather->stats.known |= sum.known;
		relay_counters_add(&gather->stats, &sum);
	} else if (stats->known) {
		gather->stats.known = 1;
		relay_counters_add(&gather->stats, stats);
	}
}

static void add_totals(struct relay_gather *gather, const struct relay_child *child,
		       const struct relay_totals *totals)
{
	if (child->state == RELAY_CHILD_SERVING)
		memcpy(gather->totals.exits, totals->exits, sizeof(totals->exits));
#define X(name) gather->totals.name += totals->name;
	RELAY_COUNTERS(X)
#undef X
}

void relay_gather_answer(struct relay_gather *gather, const struct relay_child *child,
			 uint32_t type, const void *payload)
{
	if (!gather)
		return;
	if (payload) {
		gather->answered = true;
		if (type == RELAY_STATS)
			add_stats(gather, child, payload);
		else if (type == RELAY_TOTALS)
			add_totals(gather, child, payload);
	}
	if (!--gather->pending)
		finish(gather);
}

static bool is_asked(const struct relay_child *child, uint32_t type)
{
	/* One that has still to serve is told what holds, and has nothing to tell. */
	return child->pid && !child->killed &&
	       (type == RELAY_POLICY || child->state >= RELAY_CHILD_SERVING);
}

/*
 * 0: @wanted will be answered; or what came of asking the one that serves. One that
 * cannot be told a policy would go on with what it revokes: it is killed.
 */
static int ask_all(struct relay_daemon *daemon, uint32_t type, const struct relay_gather *wanted,
		   const void *payload, size_t len, int fd)
{
	struct relay_gather *gather = malloc(sizeof(*gather));
	int ret = -ENOTCONN;

	if (!gather)
		return -ENOMEM;
	*gather = *wanted;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct relay_child *child = &daemon->children[i];
		int error;

		if (!is_asked(child, type))
			continue;
		error = relay_child_ask(child, type, gather, payload, len, fd);
		if (error && type == RELAY_POLICY && error != -EPIPE && error != -ECONNRESET)
			relay_child_kill(child, "its channel is full: it does not read");
		if (child == daemon->current)
			ret = error;
	}
	if (gather->pending)
		return 0;
	free(gather);
	return ret;
}

int relay_daemon_tell(struct relay_daemon *daemon, int fd, relay_daemon_done *done, void *context)
{
	const struct relay_gather wanted = { .done = done, .context = context };

	return ask_all(daemon, RELAY_POLICY, &wanted, NULL, 0, fd);
}

int relay_daemon_stats(struct relay_daemon *daemon, const uint8_t id[ID_LEN],
		       relay_daemon_stats_done *done, void *context)
{
	const struct relay_gather wanted = { .stats_done = done, .context = context };
	struct relay_stats_query query = { 0 };

	if (!relay_daemon_is_ready(daemon))
		return -ENOTCONN;
	memcpy(query.id, id, ID_LEN);
	return ask_all(daemon, RELAY_STATS, &wanted, &query, sizeof(query), -1);
}

int relay_daemon_totals(struct relay_daemon *daemon, relay_daemon_totals_done *done, void *context)
{
	const struct relay_gather wanted = { .totals_done = done, .context = context };

	if (!relay_daemon_is_ready(daemon))
		return -ENOTCONN;
	return ask_all(daemon, RELAY_TOTALS, &wanted, NULL, 0, -1);
}
