/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a relay leaves to the one that took its place: its counters, so that none
 * falls when it has drained. A memfd of control's with one record for each container,
 * written when the relay ends; control passes it on and does not read it.
 */
#ifndef HOODY_RELAY_COUNTED_H
#define HOODY_RELAY_COUNTED_H

#include "relay/relay.h"

#define RELAY_COUNTED_MAX	100000	/* records that are read */

struct relay_counted {
	uint8_t			id[ID_LEN];	/* zero: of containers that are gone */
	uint32_t		reserved;
	struct relay_stats	stats;
};

void relay_counters_add(struct relay_stats *sum, const struct relay_stats *stats);
/* What was open is not: gauges are 0. */
void relay_counters_close(struct relay_stats *stats);

/* Where it cannot be written whole the rest is lost, and said. */
void relay_counted_write(const struct relay *relay, int fd);
/*
 * Adds what another relay has written; nothing is no error. 0, or -EINVAL where it is
 * no list of records.
 */
int relay_counted_take(struct relay *relay, int fd);

#endif /* HOODY_RELAY_COUNTED_H */
