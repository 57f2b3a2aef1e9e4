/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another program in the place of this one, with nothing that is served noticing:
 *
 *	idle --begin--> checking --> waiting --> execve(2) of the new program
 *	                   |            |             |
 *	                   v            v             v
 *	                refused      refused      starting --> done
 *	                   ^                          |
 *	                   '----- execve(2) of this --'  its worker or relay does not come up
 *
 * checking	the new program, as a child, reads what it would take over
 *		(handover.h), the configuration and the certificates: what it does
 *		not like is refused here, and nothing has happened
 * waiting	calls of the API that are under way are answered, new ones wait
 * starting	the new control has taken sockets, workers and relays over; those
 *		before it serve until a relay and then a worker of the new program do;
 *		calls wait on, so that none is lost on the way back
 *
 * The process, its children and its sockets stay the same; policy reaches every
 * worker all the time, but for the moment of the start.
 */
#ifndef HOODY_CONTROL_UPGRADE_H
#define HOODY_CONTROL_UPGRADE_H

#include "control/handover.h"

#define UPGRADE_REASON_MAX	512

enum upgrade_state {
	UPGRADE_IDLE,
	UPGRADE_CHECKING,
	UPGRADE_WAITING,
	UPGRADE_STARTING,
	UPGRADE_DONE,
	UPGRADE_REFUSED,
};

struct upgrade;

/* Of what is told in the status. */
struct upgrade_status {
	enum upgrade_state	state;
	uint64_t		number;		/* grows with every try */
	const char		*from;		/* version; empty: none yet */
	const char		*reason;	/* of UPGRADE_REFUSED */
};

/* "idle", "checking", ... */
const char *upgrade_state_name(enum upgrade_state state);

/* NULL without memory. Goes on with what was found of a handover. */
struct upgrade *upgrade_create(struct control *control);
void upgrade_destroy(struct upgrade *upgrade);
void upgrade_save(const struct control *control, struct handover *handover);

/* Whether the file of the program is another one than when this process began. */
bool upgrade_is_replaced(const struct upgrade *upgrade);
/*
 * A reload that comes while one is under way: true, and it is done behind it, where
 * the new program has not read the configuration anyway.
 */
bool upgrade_postpones(struct upgrade *upgrade);
/* Begins one. 0, -EBUSY where one is under way, or a negative errno. */
int upgrade_begin(struct upgrade *upgrade);
void upgrade_status(const struct upgrade *upgrade, struct upgrade_status *status);

/* Calls of the API wait where this program is on trial: for when the API has been made. */
void upgrade_hold_calls(struct upgrade *upgrade);
/* A worker of this program serves: the handover that it began with is over. */
void upgrade_serving(struct upgrade *upgrade);
/*
 * It cannot be finished: back to the program before, where there is a way; returns
 * where there is none. upgrade_failed(): the same, as the next thing that happens.
 */
void upgrade_failed(struct upgrade *upgrade, const char *why);
void upgrade_give_up(struct upgrade *upgrade, const char *why);

/* hoody-agent --check-handover: what "checking" runs. Exit status. */
int upgrade_check(const char *config_path);

#endif /* HOODY_CONTROL_UPGRADE_H */
