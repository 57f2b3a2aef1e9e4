/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets: opened by control, which may bind low ports, and kept
 * open by it, so that clients wait in the backlog while a worker is replaced.
 */
#ifndef HOODY_CONTROL_LISTEN_H
#define HOODY_CONTROL_LISTEN_H

#include "control/config.h"
#include "lib/ipc.h"

#define LISTEN_BACKLOG	4096

struct listen_set {
	struct config_listener	listeners[CONFIG_LISTENERS_MAX];
	struct ipc_listeners	message;	/* as the worker gets it */
	int			fds[IPC_FDS_MAX];
	unsigned int		fds_count;
};

/*
 * listen_open(): for each address of @config one socket per thread, in the
 * order that IPC_LISTENERS has. NULL with a message in @fault.
 */
struct listen_set *listen_open(const struct config *config, char *fault, size_t fault_size);
void listen_close(struct listen_set *set);

#endif /* HOODY_CONTROL_LISTEN_H */
