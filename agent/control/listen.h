/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets: opened by control, which may bind low ports, and kept
 * open by it, so that clients wait in the backlog while a worker is replaced.
 *
 * A TCP socket is shared by the workers that follow each other: what one has
 * accepted is its own. A UDP socket is not, since it carries the packets of all
 * connections: each worker that may live at the same time has its own, a slot,
 * and the steering program (control/steer.h) knows which slot gets what is new.
 */
#ifndef HOODY_CONTROL_LISTEN_H
#define HOODY_CONTROL_LISTEN_H

#include "control/config.h"
#include "lib/ipc.h"

#define LISTEN_BACKLOG	4096
#define LISTEN_SLOTS	4	/* workers that may live at once */

struct listen_set {
	struct config_listener	listeners[CONFIG_LISTENERS_MAX];
	struct ipc_listeners	message;	/* as the worker gets it, but for the slot */
	/* By address, slot (TCP: the first), thread; below 0: none. */
	int			fds[IPC_FDS_MAX * LISTEN_SLOTS];
	unsigned int		sockets;	/* of one worker */
};

/*
 * listen_open(): for each address of @config one socket per thread, and of UDP
 * one per slot too. Sockets that @old (or NULL) has already are shared with it, so
 * that nobody who waits in them is lost. NULL with a message in @fault.
 */
struct listen_set *listen_open(const struct config *config, const struct listen_set *old,
			       char *fault, size_t fault_size);
void listen_close(struct listen_set *set);

/* From one control process to the next, see handover.h. NULL where it cannot be. */
struct handover;
struct handover_found;
void listen_save(const struct listen_set *set, struct handover *handover);
struct listen_set *listen_adopt(const struct handover_found *found);

/* What the worker of @slot gets: fills @message and @fds, returns how many. */
unsigned int listen_message(const struct listen_set *set, unsigned int slot,
			    struct ipc_listeners *message, int fds[IPC_FDS_MAX]);
/* The worker of @slot serves: new QUIC connections go to it. Logs what fails. */
void listen_steer(const struct listen_set *set, unsigned int slot);

#endif /* HOODY_CONTROL_LISTEN_H */
