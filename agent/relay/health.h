/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether exits work, as connections find out and as probes do. A probe speaks to
 * the proxy as a connection would, with TLS and login, and asks it for nothing: it
 * reaches no destination.
 *
 *	new exit -> probe -> up   -> again when nothing was heard of it for a while
 *	                  -> down -> again soon, and later and later
 *
 * A probe is a session without a container (session.c). What connections find out
 * counts like it, and puts the next probe off. Health is shown and decides nothing.
 */
#ifndef HOODY_RELAY_HEALTH_H
#define HOODY_RELAY_HEALTH_H

#include "relay/relay.h"

#define HEALTH_PROBES_MAX	32		/* under way, of the whole relay */
#define HEALTH_RETRY_MS		1000		/* after the first that failed, then twice that */
#define HEALTH_RETRY_MAX_MS	60000

void relay_health_setup(struct relay *relay);
/* Another policy holds: exits that are new are probed. */
void relay_health_policy_changed(struct relay *relay);

/*
 * What somebody has found out. @fault: a word, for RELAY_HEALTH_DOWN; @probe: by a
 * probe.
 */
void relay_health_set(struct relay *relay, struct relay_exit *exit, enum relay_health health,
		      const char *fault, bool probe);
/* A probe has ended, with a result or without. */
void relay_health_probed(struct relay *relay, struct relay_exit *exit);

/* For control. */
void relay_health_fill(const struct relay *relay, const struct relay_exit *exit,
		       struct relay_stats *stats);
void relay_health_count(const struct relay *relay, struct relay_totals *totals);

#endif /* HOODY_RELAY_HEALTH_H */
