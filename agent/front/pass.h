/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes: what a middleware shows to send on a request that it was given. A pass
 * says which service of which container the request is for and who asked; all of
 * that stays here, the middleware gets a number, signed.
 *
 *	issue -> redeem (once) | withdraw (the request that it was made for is over)
 *
 * One table for all threads of a worker, in memory that it shares with the workers
 * before and behind it (lib/pass_memory.h): while one is replaced, a pass of either
 * is good with both. A region of that memory has one writer, the worker that issues
 * from it and signs with a key of its own; all that the others do to it is to use a
 * pass up, in one atomic step. There is no lock between workers, and what is read is
 * copied before it is looked at: one that dies at any point leaves nothing behind that
 * another would wait for or trip over. A pass is worth nothing when its worker is
 * gone, after its request, or twice.
 */
#ifndef HOODY_FRONT_PASS_H
#define HOODY_FRONT_PASS_H

#include "lib/image.h"
#include "upstream/connect.h"

/* Of a worker, under way at once; what is over that is refused. */
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

/*
 * From now on: worker @region's, in the memory of @fd, which stays the caller's (-1:
 * memory of its own). Control has emptied the region. NULL with errno.
 */
struct pass_table *pass_table_create(int fd, unsigned int region);
/* What was issued is worth nothing from then on. Takes NULL. */
void pass_table_destroy(struct pass_table *table);

/* 0, -ENOSPC, or -EIO where there is no randomness. @text has no NUL. */
int pass_issue(struct pass_table *table, const struct pass_claim *claim,
	       char text[PASS_TEXT_LEN], struct pass_ticket *ticket);
/* True, once, for what pass_issue() gave, here or in another worker. */
bool pass_redeem(struct pass_table *table, const char *text, size_t len,
		 struct pass_claim *claim);
/* Also of one that was redeemed, or none. */
void pass_withdraw(struct pass_table *table, struct pass_ticket *ticket);

#endif /* HOODY_FRONT_PASS_H */
