/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of custom domains from an authority (ACME, RFC 8555): which ones
 * are wanted, when each is asked for, and what came of it. The protocol is spoken
 * by uacme(1), a child without privileges in a directory of its own
 * (acme_order.h); this file never blocks and nothing of a client waits for it.
 *
 *	wanted --order--> issued --2/3 of its life--> order --> issued ...
 *	   ^                 |
 *	   '--- back-off <---'  an order failed: retry, 2 * retry, 4 * retry ... 6 h
 *
 * Wanted is the domain of every alias for which no file is there. One order is
 * under way at a time, and two begin at least a second apart.
 */
#ifndef HOODY_CONTROL_ACME_H
#define HOODY_CONTROL_ACME_H

#include "control/acme_order.h"
#include "control/certificates.h"
#include "control/control.h"

#define ACME_DIRECTORY		"acme"		/* in the state directory */
#define ACME_NAMES_MAX		2048
#define ACME_PAUSE_MAX_S	(6 * 3600)
#define ACME_ERROR_MAX		256

struct acme_name {
	char		domain[KEYS_NAME_MAX];
	uint32_t	failures;		/* in a row */
	int64_t		next;			/* not before; seconds since 1970 */
	char		error[ACME_ERROR_MAX];	/* of the last failure; empty: none */
	bool		seen, looked;		/* for files of an earlier order */
};

struct acme {
	struct control		*control;
	struct acme_name	*names;
	size_t			count, room;
	int			directory;	/* -1: none */
	uid_t			owner;		/* of the directory: who uacme runs as */
	bool			account;	/* made or found since the agent's start */
	struct acme_order	*order;		/* NULL: none is under way */
	bool			full;		/* more domains than there is room for */
	uint64_t		issued, failed;	/* orders */
	sd_event_source		*timer;
};

/*
 * acme_prepare(): makes the directory, for the user of @identity, before control
 * gives up the right to do so. What fails is logged, and no order can be made.
 */
void acme_prepare(struct control *control, const struct spawn_identity *identity);

/* The name, where it is wanted; or NULL. */
struct acme_name *acme_find(const struct acme *acme, const char *domain);
/* When @certificate of @domain is to be renewed, seconds since 1970. */
int64_t acme_renewal(const char *domain, const struct certificate *certificate);
/* Orders now, whatever the back-off. */
void acme_renew(struct acme *acme, struct acme_name *name);
/* A worker has answered: a challenge may be out. */
void acme_progress(struct control *control);
/* Gives the order that is under way up; it is due again at once. */
void acme_interrupt(struct acme *acme);

#endif /* HOODY_CONTROL_ACME_H */
