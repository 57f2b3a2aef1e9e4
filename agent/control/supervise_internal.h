/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the supervisor share with each other. */
#ifndef HOODY_CONTROL_SUPERVISE_INTERNAL_H
#define HOODY_CONTROL_SUPERVISE_INTERNAL_H

#include "control/supervise.h"
#include "control/worker_link.h"

#include <stdbool.h>

#define WORKERS_MAX		LISTEN_SLOTS	/* one serves, one starts, two may still drain */
#define STATS_WAITERS_MAX	64	/* as many as the API has connections */
#define BACKOFF_FIRST_MS	100
#define BACKOFF_MAX_MS		10000
#define STABLE_MS		60000	/* a worker that lived so long resets the pauses */
#define STATS_POLL_MS		10000	/* how much of a worker's counts its crash can lose */
#define KILL_MARGIN_MS		5000	/* behind a drain's deadline */

struct worker {
	struct supervisor	*supervisor;
	pid_t			pid;		/* 0: the slot is free */
	enum supervise_state	state;
	struct worker_link	link;
	uint64_t		image_acked, certificate_acked;
	uint64_t		started_at, kill_at;	/* microseconds; kill_at 0: never */
	uint32_t		threads;
	struct ipc_stats	stats;		/* as it told last */
	bool			killed;		/* by us, because of a fault */
	void			*audit;		/* callbacks.audit_attach()'s; NULL: none */
	sd_event_source		*child, *io, *timer;
};

struct stats_waiter {
	supervise_stats_done	*done;
	void			*context;
	const struct worker	*worker;
	uint64_t		sequence;
};

struct supervisor {
	sd_event		*event;
	struct supervise_callbacks callbacks;
	struct worker		workers[WORKERS_MAX];
	struct worker		*current;	/* starting or serving; or NULL */
	struct worker		*next;		/* will take over from current; or NULL */
	struct listen_set	*set, *old_set;	/* old_set: until the next one serves */
	struct spawn_identity	identity;
	int			certificate, image;	/* memfds; -1: none */
	int			passes;		/* lib/pass_memory.h, of all that live; -1: none yet */
	uint64_t		image_sequence, certificate_sequence;
	uint32_t		drain_ms, backoff_ms, restarts;
	bool			replacing;	/* current is to be replaced by another */
	bool			draining;
	sd_event_source		*restart, *poll;
	struct ipc_stats	ended;		/* what workers that are gone have counted */
	struct stats_waiter	waiters[STATS_WAITERS_MAX];
};

/* CLOCK_MONOTONIC in microseconds, @ms from now. */
uint64_t supervise_in_ms(uint64_t ms);

/*
 * Starts a worker into a free slot and sends it all it needs; NULL where that
 * fails or no slot is free. supervise_worker_ended() follows once it has been
 * reaped; the slot is free after that.
 */
struct worker *supervise_worker_start(struct supervisor *supervisor);
void supervise_worker_ended(struct supervisor *supervisor, struct worker *worker);

/* Sends one message that has to be answered; kills a worker that does not read. */
void supervise_worker_send(struct worker *worker, uint32_t type, uint64_t sequence,
			   const void *payload, size_t length, int fd);
/* @replaced: another one serves. Again with another deadline where it drains already. */
void supervise_worker_drain(struct worker *worker, uint32_t deadline_ms, bool replaced);
void supervise_worker_kill(struct worker *worker, const char *why);

/* Of one that lives: its end, its messages, its deadlines. 0 or a negative errno. */
int supervise_worker_watch(struct worker *worker);

/* Closes what a slot holds of the event loop and its channel; its passes end. */
void supervise_worker_clear(struct worker *worker);

/* Worker to supervisor: it is ready. */
void supervise_worker_ready(struct supervisor *supervisor, struct worker *worker);

/*
 * Hands the sum of all workers out to those who wait for @worker, and forgets
 * them; @sequence 0: all of them, with nothing, because it is gone.
 */
void supervise_answer_stats(struct supervisor *supervisor, const struct worker *worker,
			    uint64_t sequence);

#endif /* HOODY_CONTROL_SUPERVISE_INTERNAL_H */
