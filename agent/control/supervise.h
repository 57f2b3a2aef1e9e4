/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers: started, fed, watched, replaced.
 *
 *	STARTING --IPC_READY--> SERVING --IPC_DRAIN--> DRAINING --> (gone)
 *	    |                      |                       |
 *	    +--- no answer in time, wrong answer, end -----+--> killed and reaped
 *
 * One worker serves; others exist only while one takes over (reload of what a
 * worker cannot change, or an upgrade) or those before it drain. Every message but the listeners is
 * answered in order; a worker that answers late, wrongly or not at all is
 * killed and replaced, with growing pauses when that happens again and again.
 * An image is out when every living worker has answered it, so that what it
 * revokes is revoked everywhere, in a worker that drains too.
 */
#ifndef HOODY_CONTROL_SUPERVISE_H
#define HOODY_CONTROL_SUPERVISE_H

#include "control/listen.h"
#include "control/spawn.h"
#include "lib/ipc.h"

#include <stdint.h>
#include <systemd/sd-event.h>

#define SUPERVISE_ANSWER_MS	5000	/* for every message of a serving worker */
#define SUPERVISE_START_MS	10000	/* from start to IPC_READY */

enum supervise_state {
	SUPERVISE_DOWN,			/* none; the next start is waited for */
	SUPERVISE_STARTING,
	SUPERVISE_SERVING,
	SUPERVISE_DRAINING,		/* the agent ends */
};

struct handover;
struct handover_found;
struct yyjson_mut_val;
struct yyjson_val;

struct supervise_callbacks {
	/* An answer came, or a worker went: supervise_acked() may have grown. */
	void	(*progress)(void *context);
	void	(*serving)(void *context);	/* a worker is ready */
	void	(*drained)(void *context);	/* after supervise_drain(): none is left */
	/*
	 * Audit, both or none: what a worker that starts is to write to: @fds, which
	 * are closed after they are sent, and @message; 0 or a negative errno, then
	 * it works without. Behind its end: the same @feed.
	 */
	int	(*audit_attach)(void *context, struct ipc_audit *message, int fds[2], void **feed);
	void	(*audit_detach)(void *context, void *feed);
	/* The same, from one control process to the next, see handover.h. */
	void	(*audit_save)(void *context, void *feed, struct handover *handover,
			      struct yyjson_mut_val *object);
	void	(*audit_adopt)(void *context, struct yyjson_val *object, void **feed);
	void	(*start_failed)(void *context);	/* one that was to take over has ended before */
	/* A stream by a worker's own word, for the API; takes @fd over. */
	void	(*api)(void *context, int fd);
	void	*context;
};

struct supervise_status {
	pid_t			pid;		/* 0: none */
	enum supervise_state	state;
	uint32_t		restarts;	/* ends that nobody asked for */
	uint32_t		threads;
	uint64_t		image_sequence;	/* the last one that it has answered */
	uint32_t		draining;	/* workers before it that finish what they have */
};

/* @stats is NULL where there is no worker to ask, or it went away meanwhile. */
typedef void supervise_stats_done(void *context, const struct ipc_stats *stats);

struct supervisor;

struct supervisor *supervise_create(sd_event *event, const struct supervise_callbacks *callbacks);
void supervise_destroy(struct supervisor *supervisor);

/*
 * supervise_save(): workers that serve or drain, and their sockets, for the next
 * control process. supervise_adopt(): before anything else; takes @set over. 0, or
 * -EBADMSG where no worker serves.
 */
void supervise_save(const struct supervisor *supervisor, struct handover *handover);
int supervise_adopt(struct supervisor *supervisor, const struct handover_found *found,
		    struct listen_set *set);
/* A worker serves and none is about to take over: supervise_save() has all of it. */
bool supervise_settled(const struct supervisor *supervisor);
/* There is a worker that serves or starts. */
bool supervise_current(const struct supervisor *supervisor);
/* Where every place is taken: ends the oldest worker that drains. */
void supervise_make_room(struct supervisor *supervisor);
/* Before execve(2): those that are killed, or were to take over, are reaped. */
void supervise_reap(struct supervisor *supervisor);
/* The number of the last image. */
uint64_t supervise_image_sequence(const struct supervisor *supervisor);

/*
 * supervise_apply(): from now on workers have these listeners, identity and
 * certificates (-1: as before). Takes @set and @certificate over. Where @replace is
 * set, or nothing runs, a new worker is started and the old one drains for at
 * most @drain_ms once the new one serves; else the running one gets the new
 * certificate. An image must have been published before.
 */
void supervise_apply(struct supervisor *supervisor, struct listen_set *set,
		     const struct spawn_identity *identity, int certificate, bool replace,
		     uint32_t drain_ms);
/* The same as @replace above, with what was said last. */
void supervise_replace(struct supervisor *supervisor);
/* The sockets now in use, or NULL. */
const struct listen_set *supervise_listeners(const struct supervisor *supervisor);

/*
 * Sends the text of lib/keys.h to every worker that serves or will. Takes @fd over.
 * Returns the number that supervise_certificate_acked() reaches once all that
 * serve have it; that is 0 while none serves.
 */
uint64_t supervise_certificate(struct supervisor *supervisor, int fd);
uint64_t supervise_certificate_acked(const struct supervisor *supervisor);

/* Sends an image to all workers, also to those to come. Takes @fd over. */
void supervise_publish(struct supervisor *supervisor, int fd, uint64_t sequence);
/* The sequence that every living worker has answered. */
uint64_t supervise_acked(const struct supervisor *supervisor);

/* Calls @done once, possibly at once; supervise_forget() takes the call back. */
void supervise_stats(struct supervisor *supervisor, supervise_stats_done *done, void *context);
void supervise_forget(struct supervisor *supervisor, void *context);

/* The worker that writes to @feed breaks the rules: ends it. */
void supervise_accuse(struct supervisor *supervisor, const void *feed, const char *why);

/* Lets all workers finish what they have for @deadline_ms and ends them. */
void supervise_drain(struct supervisor *supervisor, uint32_t deadline_ms);
/* Kills what is left of a drain at once. */
void supervise_kill(struct supervisor *supervisor);

void supervise_status(const struct supervisor *supervisor, struct supervise_status *status);

#endif /* HOODY_CONTROL_SUPERVISE_H */
