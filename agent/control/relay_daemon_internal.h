/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the relay's life share, see relay_daemon.h. */
#ifndef HOODY_CONTROL_RELAY_DAEMON_INTERNAL_H
#define HOODY_CONTROL_RELAY_DAEMON_INTERNAL_H

#include "control/relay_daemon.h"

#define OUTSTANDING_MAX		256
#define CHILDREN_MAX		4	/* one that serves, the next, and those that drain */
#define ANSWER_US		(10 * 1000000ull)	/* to start, to answer, or to end */

/* One question to every relay that lives; freed with the last answer. */
struct relay_gather {
	unsigned int		pending;
	relay_daemon_done	*done;		/* one of these, or none */
	relay_daemon_stats_done	*stats_done;
	relay_daemon_totals_done *totals_done;
	void			*context;
	bool			answered;	/* there is something in @stats or @totals */
	struct relay_stats	stats;
	struct relay_totals	totals;
};

struct outstanding {
	uint32_t		type;		/* RELAY_POLICY, RELAY_STATS or RELAY_TOTALS */
	uint64_t		sequence;
	struct relay_gather	*gather;	/* NULL: nobody waits */
};

enum relay_child_state {
	RELAY_CHILD_STARTING,
	RELAY_CHILD_READY,	/* has a policy, and no sockets yet */
	RELAY_CHILD_SERVING,
	RELAY_CHILD_DRAINING,
};

/* One process. */
struct relay_child {
	struct relay_daemon	*daemon;
	pid_t			pid;		/* 0: free, and nothing else holds */
	enum relay_child_state	state;
	bool			killed;
	bool			ending;		/* has been told to */
	int			sock;
	int			counted;	/* memfd of one that drains; -1: none */
	uint64_t		sequence;
	uint64_t		end_at;		/* of one that drains: CLOCK_MONOTONIC, us */
	uint32_t		port_refused;	/* the last one that could not be had; 0: none */
	struct outstanding	outstanding[OUTSTANDING_MAX];	/* a ring */
	unsigned int		first, count;
	sd_event_source		*io, *reaper, *timer, *end;
};

struct relay_daemon {
	sd_event		*event;
	struct spawn_identity	identity;
	relay_daemon_attach	*attach;
	void			*attach_context;
	relay_daemon_learn	*learn;
	int			policy;		/* memfd; -1: none yet */
	/* Of the one that serves or starts, so that the next can have them too; -1: none. */
	int			sockets[FW_RELAY_SOCKETS];
	uint64_t		backoff;
	struct relay_child	children[CHILDREN_MAX];
	struct relay_child	*current;	/* serves, or is to; NULL: waits for its start */
	struct relay_child	*next;		/* is to take its place */
	bool			replacing;	/* there is to be a next one */
	bool			holds;		/* which waits to be told */
	uint32_t		drain_ms;
	relay_daemon_next	*told;		/* of the next one */
	sd_event_source		*restart;
};

/* --- relay_daemon_child.c: one process --- */

/* NULL: it cannot be started, or too many live. Asks it to hold the policy. */
struct relay_child *relay_child_start(struct relay_daemon *daemon);
/* What @child has of a process, in the event loop; 0, or a negative errno. */
int relay_child_watch(struct relay_child *child);
void relay_child_kill(struct relay_child *child, const char *why);
/* Ends it and waits for its end; whoever waits for an answer learns that there is none. */
void relay_child_reap(struct relay_child *child);
/* Its process is gone: what belonged to it is closed. */
void relay_child_clear(struct relay_child *child);
/*
 * Sends a question and remembers it, with a share of @gather (may be NULL); @fd -1:
 * none. One that has gone is no error of the caller's: -EPIPE, -ECONNRESET.
 */
int relay_child_ask(struct relay_child *child, uint32_t type, struct relay_gather *gather,
		    const void *payload, size_t len, int fd);
/* Says that it is to take nothing new and end, at the latest at @end_at. */
int relay_child_drain(struct relay_child *child, uint64_t end_at);
/* Ends it at once, by resets. */
void relay_child_end(struct relay_child *child);
/* The timer of its @end_at. 0 or a negative errno. */
int relay_child_watch_end(struct relay_child *child);

/* --- relay_daemon.c: all of them --- */

void relay_daemon_ready(struct relay_child *child);
/* @clean: it ended by itself, in order. */
void relay_daemon_ended(struct relay_child *child, bool clean);
/* After the time that failures in a row have earned. */
void relay_daemon_start_later(struct relay_daemon *daemon);
/* NULL: every place is taken. */
struct relay_child *relay_daemon_place(struct relay_daemon *daemon);
void relay_daemon_close_sockets(struct relay_daemon *daemon);

/* --- relay_daemon_gather.c: questions to all --- */

/* A policy to all of them; as relay_daemon_policy(). */
int relay_daemon_tell(struct relay_daemon *daemon, int fd, relay_daemon_done *done, void *context);
/* One of those that were asked has answered, or (NULL) will not. */
void relay_gather_answer(struct relay_gather *gather, const struct relay_child *child,
			 uint32_t type, const void *payload);

#endif
