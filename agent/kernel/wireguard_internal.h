/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files about tunnels share. */
#ifndef HOODY_KERNEL_WIREGUARD_INTERNAL_H
#define HOODY_KERNEL_WIREGUARD_INTERNAL_H

#include "kernel/wireguard.h"

#include <netlink/errno.h>
#include <netlink/socket.h>

/* A socket that waits a few seconds for an answer, or NULL. */
struct nl_sock *knl_tunnel_open(int protocol);
/* libnl's error as a negative errno. */
int knl_tunnel_error(int error);

/* Keys and peers of an interface that is there. 0 or a negative errno. */
int knl_tunnel_configure(const struct knl_tunnel *tunnel);

#endif /* HOODY_KERNEL_WIREGUARD_INTERNAL_H */
