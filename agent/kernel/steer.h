/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host needs to take packets in that a firewall program has given to a
 * socket (bpf/lib/exit.h): listening sockets that may have any local address,
 * and, for the mark of such packets, a routing table in which every address is
 * local:
 *
 *	ip rule: pref KNL_STEER_TABLE fwmark FW_MARK/FW_MARK_MASK lookup KNL_STEER_TABLE
 *	ip route: local default dev lo table KNL_STEER_TABLE
 *
 * Functions return 0 (or a descriptor) or a negative errno.
 */
#ifndef HOODY_KERNEL_STEER_H
#define HOODY_KERNEL_STEER_H

#include <stdint.h>
#include <sys/socket.h>

#define KNL_STEER_TABLE		26735	/* "ho" */

/*
 * A TCP listener with IP_TRANSPARENT, bound to a loopback address and a port of
 * the kernel's choice; -EAFNOSUPPORT or -EADDRNOTAVAIL where the host lacks the
 * family. Needs CAP_NET_ADMIN.
 */
int knl_steer_listen(sa_family_t family);

/*
 * A UDP socket for DNS queries, with IP_TRANSPARENT and the original destination
 * of what it receives. Its port is 53, because that of an answer is the socket's;
 * its address is one that nobody asks. Errors as above, and -EADDRINUSE where
 * another program holds port 53 of all addresses for itself.
 */
int knl_steer_datagrams(sa_family_t family);

/*
 * The same with port @port (0: any), to answer from, or to take what is steered and
 * is not answered from there. Its port may be another program's too, which loses
 * nothing by it.
 */
int knl_steer_datagrams_from(sa_family_t family, uint16_t port);

/* Adds what is missing, for a family. Again: no change. */
int knl_steer_routes_add(sa_family_t family);
/* Removes it; what is not there is no error. */
int knl_steer_routes_remove(sa_family_t family);

/*
 * By which device packets of an interface come to this host's IP: @bridge is the
 * index of the bridge that it is a port of, or 0, and @mac the address of the
 * bridge or of itself. 0 or a negative errno.
 */
int knl_steer_device(const char *netdev, uint32_t *bridge, uint8_t mac[6]);

#endif /* HOODY_KERNEL_STEER_H */
