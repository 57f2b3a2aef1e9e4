/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No early data twice (RFC 8446 8): what stands in front of a worker's 0-RTT.
 *
 *	old	OpenSSL takes early data only while the age that a client says its
 *		ticket has is right to ten seconds: a recorded hello is of use for no
 *		longer
 *	seen	every hello whose early data was taken is remembered for longer than
 *		that, in one table of all threads
 *	others'	a ticket names the table of the worker that gave it out: what another
 *		one, before an upgrade or a restart, may have seen is not taken here
 *
 * Memory is fixed. Whatever cannot be decided is a no: early data is then refused,
 * and the handshake goes on without it.
 */
#ifndef HOODY_FRONT_REPLAY_H
#define HOODY_FRONT_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLAY_NAME_LEN		16
#define REPLAY_HELLO_LEN	32	/* the random of a ClientHello */

enum replay_answer {
	REPLAY_NEW,
	REPLAY_SEEN,
	REPLAY_FULL,	/* no room to remember it */
};

struct replay_table;

/* NULL with errno set. destroy() takes NULL. */
struct replay_table *replay_table_create(void);
void replay_table_destroy(struct replay_table *table);

/* REPLAY_NAME_LEN bytes that no other table has. */
const uint8_t *replay_table_name(const struct replay_table *table);

/* @now: nanoseconds of CLOCK_MONOTONIC. Any thread. */
enum replay_answer replay_take(struct replay_table *table, const uint8_t *hello, uint64_t now);

#endif /* HOODY_FRONT_REPLAY_H */
