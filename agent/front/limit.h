/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much one may ask for: rates of requests (rules of a container, struct
 * image_limit), and of each client address new connections a second and how
 * many are open. One table for all threads of a worker: a client may land on
 * each of them, and the limit holds in total. A client is an address; of IPv6 a
 * /64.
 *
 * A rate is kept as the time at which all that was let in is paid for (the
 * generic cell rate algorithm): one number. A number that is in the past says
 * nothing any more, so its place is free. Memory is fixed: where every place
 * that an entry may have is taken, the one that is soonest paid for is forgotten
 * and counted. Rules for all clients together have a table of their own, which
 * strangers with many addresses cannot push out of memory.
 *
 * Times here are nanoseconds of CLOCK_MONOTONIC. A new worker begins with full
 * buckets.
 */
#ifndef HOODY_FRONT_LIMIT_H
#define HOODY_FRONT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"
#include "lib/image.h"

#define LIMIT_TEXT_MAX	48	/* bytes of limit_text(), with its NUL */

struct limit_table;

/* NULL with errno set. destroy() takes NULL. */
struct limit_table *limit_table_create(void);
void limit_table_destroy(struct limit_table *table);

uint64_t limit_now(void);

/* What of a container's rules is asked for; each at another time of a request. */
enum limit_phase {
	LIMIT_OF_CLIENT,	/* before its credentials are looked at */
	LIMIT_OF_ALL,		/* only what may go on counts */
};

struct limit_refusal {
	const struct image_limit *rule;
	uint32_t		retry_after;	/* seconds, at least 1 */
};

/*
 * limit_request(): takes one request for @service from every rule of @phase that
 * fits, or from none and says which refuses. *@forgotten: entries that had to
 * make room.
 */
bool limit_request(struct limit_table *table, const struct image *image,
		   const struct image_container *container, const char *service,
		   size_t service_len, const struct address *client, enum limit_phase phase,
		   uint64_t now, struct limit_refusal *refusal, unsigned int *forgotten);

/*
 * One more handshake of @client, of @rate in a second; bursts of four times as many.
 * Those whose address is not @proven (a first datagram of QUIC may name anybody's)
 * have a bucket of their own, so that nobody can use up another's.
 */
bool limit_handshake(struct limit_table *table, const struct address *client, bool proven,
		     uint32_t rate, uint64_t now, unsigned int *forgotten);

/*
 * limit_connection_get(): one more connection of @client, of which @most may be
 * open. Clients share a count where their hashes meet: one in 65536 does with
 * another, and nobody can choose to. *@slot is for limit_connection_put().
 */
bool limit_connection_get(struct limit_table *table, const struct address *client, uint32_t most,
			  uint32_t *slot);
void limit_connection_put(struct limit_table *table, uint32_t slot);

/* "100/s burst 200 per client of terminal", for people. */
void limit_text(const struct image_limit *rule, char out[LIMIT_TEXT_MAX]);

#endif /* HOODY_FRONT_LIMIT_H */
