/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay process (relay/relay.h) as control sees it: started when the first
 * policy for it comes, watched, started again when it ends. While it does not
 * run nothing of containers with an exit leaves the host.
 *
 *	stopped -> starting (policy sent) -> ready -> serves: it has the sockets, and
 *	the kernel's programs, which steer from then on, have them too
 *
 * In an upgrade the next one is started beside it, and gets the same sockets when
 * the new control has a worker that serves; the one before drains: it takes nothing
 * new, keeps what is open for at most drain_ms and ends. Control keeps the sockets
 * for that; they are closed when the relay that has them ends without a next one.
 *
 * A policy goes to each of them, and holds when all have said so.
 */
#ifndef HOODY_CONTROL_RELAY_DAEMON_H
#define HOODY_CONTROL_RELAY_DAEMON_H

#include "control/spawn.h"
#include "kernel/bpf.h"
#include "relay/protocol.h"

#include <systemd/sd-event.h>

struct relay_daemon;

/* Gives a listener to the programs. 0 or a negative errno. */
typedef int relay_daemon_attach(void *context, enum fw_relay_socket which, int sock);
typedef void relay_daemon_done(void *context);
/* @stats is NULL where the relay cannot say. */
typedef void relay_daemon_stats_done(void *context, const struct relay_stats *stats);
/* The same. */
typedef void relay_daemon_totals_done(void *context, const struct relay_totals *totals);

/*
 * An answer that the relay has for a container. 0: it may be given, or a negative
 * errno, see struct relay_learn.
 */
typedef int relay_daemon_learn(void *context, const struct relay_learn *learn);

/* NULL without memory. @identity is copied. */
struct relay_daemon *relay_daemon_create(sd_event *event, const struct spawn_identity *identity,
					 relay_daemon_attach *attach, void *context);
/* Who is asked, with the context of @attach; nobody: no answer is given. */
void relay_daemon_learns(struct relay_daemon *daemon, relay_daemon_learn *learn);
void relay_daemon_destroy(struct relay_daemon *daemon);

/*
 * relay_daemon_policy(): @text is what holds from now on, for this process and for
 * every later one. @done (may be NULL) is called once it does and connections
 * that it forbids are cut, or the process is gone; never before the return.
 * Below 0 @done is not called: -ENOTCONN, it holds from the next start on, which
 * is under way; -ENOMEM, -E2BIG and the like: what was said before holds on.
 */
int relay_daemon_policy(struct relay_daemon *daemon, const char *text, size_t len,
			relay_daemon_done *done, void *context);

/* @done as above. -ENOTCONN where the relay is not ready, and @done is not called. */
int relay_daemon_stats(struct relay_daemon *daemon, const uint8_t id[ID_LEN],
		       relay_daemon_stats_done *done, void *context);

/* The same. */
int relay_daemon_totals(struct relay_daemon *daemon, relay_daemon_totals_done *done, void *context);

/*
 * From one control process to the next: those that serve or drain go on as they are,
 * others are ended; false where none is left. Sockets are left to programs that know
 * them only (@sockets). relay_daemon_adopt(): 0 or a negative errno.
 */
struct handover;
struct yyjson_val;
bool relay_daemon_save(struct relay_daemon *daemon, struct handover *handover, bool sockets);
int relay_daemon_adopt(struct relay_daemon *daemon, struct yyjson_val *object);

/* One serves. */
bool relay_daemon_is_ready(const struct relay_daemon *daemon);

/*
 * relay_daemon_replace(): a relay of this program is to take the place of the one that
 * serves; false where there is none, or its sockets are not known (the version before
 * left none): it goes on. @told is called with the context of @attach each time that
 * the next one has become ready (true) or has ended before it took over (false, and it
 * is started again). It takes over after relay_daemon_take_over(), the other then
 * drains for at most @drain_ms. relay_daemon_waits(): it is not ready to.
 */
typedef void relay_daemon_next(void *context, bool ready);
bool relay_daemon_replace(struct relay_daemon *daemon, uint32_t drain_ms, relay_daemon_next *told);
bool relay_daemon_waits(const struct relay_daemon *daemon);
void relay_daemon_take_over(struct relay_daemon *daemon);

struct relay_daemon_status {
	pid_t		pid;		/* of the one that serves or starts; 0: none */
	bool		ready;
	uint32_t	draining;
};

void relay_daemon_status(const struct relay_daemon *daemon, struct relay_daemon_status *status);

#endif /* HOODY_CONTROL_RELAY_DAEMON_H */
