/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the relay's life share, see relay_daemon.h. */
#ifndef HOODY_CONTROL_RELAY_DAEMON_INTERNAL_H
#define HOODY_CONTROL_RELAY_DAEMON_INTERNAL_H

#include "control/relay_daemon.h"

#define OUTSTANDING_MAX		256

struct outstanding {
	uint32_t		type;		/* RELAY_POLICY, RELAY_STATS or RELAY_TOTALS */
	uint64_t		sequence;
	relay_daemon_done	*done;
	relay_daemon_stats_done	*stats_done;
	relay_daemon_totals_done *totals_done;
	void			*context;
};

struct relay_daemon {
	sd_event		*event;
	struct spawn_identity	identity;
	relay_daemon_attach	*attach;
	void			*attach_context;
	relay_daemon_learn	*learn;
	pid_t			pid;		/* 0: does not run */
	bool			ready, killed;
	int			sock;
	int			policy;		/* memfd; -1: none yet */
	int			sockets[FW_RELAY_SOCKETS];	/* until it is ready; -1: none */
	uint64_t		sequence, backoff;
	uint32_t		port_refused;	/* the last one that could not be had; 0: none */
	struct outstanding	outstanding[OUTSTANDING_MAX];	/* a ring */
	unsigned int		first, count;
	sd_event_source		*io, *child, *timer, *restart;
};

/* Its process is gone: what belonged to it is closed. */
void relay_daemon_clear_process(struct relay_daemon *daemon);

/* After the time that failures in a row have earned. */
void relay_daemon_start_later(struct relay_daemon *daemon);

/* What @daemon has of a process, in the event loop; 0, or a negative errno. */
int relay_daemon_watch(struct relay_daemon *daemon);

#endif
