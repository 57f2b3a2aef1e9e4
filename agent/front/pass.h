/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes: what a middleware shows to send on a request that it was given. A pass
 * says which service of which container the request is for and who asked; all of
 * that stays here, the middleware gets a number, signed.
 *
 *	issue -> redeem (once) | withdraw (the request that it was made for is over)
 *
 * One table for all threads of a worker, with a key of its own that never leaves
 * it: a pass is worth nothing to another worker, after its request, or twice.
 */
#ifndef HOODY_FRONT_PASS_H
#define HOODY_FRONT_PASS_H

#include "lib/image.h"
#include "upstream/connect.h"

/* Under way at once; what is over that is refused. */
#define PASS_MAX	65536
/* Slot, nonce and signature in hexadecimal. */
#define PASS_TEXT_LEN	(2 * (4 + 16 + 32))

struct pass_claim {
	uint8_t			container[IMAGE_ID_LEN];
	uint8_t			middleware[IMAGE_ID_LEN];	/* that it was given to */
	char			service[IMAGE_NAME_MAX];
	uint16_t		instance;
	uint16_t		to_go;		/* middlewares that it has to pass after this one */
	struct up_client	client;		/* who asked */
};

struct pass_table;

/* To withdraw by; zeroed: none. */
struct pass_ticket {
	uint64_t	serial;
	uint32_t	slot;
};

struct pass_table *pass_table_create(void);
/* Takes NULL. */
void pass_table_destroy(struct pass_table *table);

/* 0, -ENOSPC, or -EIO where there is no randomness. @text has no NUL. */
int pass_issue(struct pass_table *table, const struct pass_claim *claim,
	       char text[PASS_TEXT_LEN], struct pass_ticket *ticket);
/* True, once, for what pass_issue() gave. */
bool pass_redeem(struct pass_table *table, const char *text, size_t len,
		 struct pass_claim *claim);
/* Also of one that was redeemed, or none. */
void pass_withdraw(struct pass_table *table, struct pass_ticket *ticket);

#endif /* HOODY_FRONT_PASS_H */
