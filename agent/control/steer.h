/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which socket of an address gets a QUIC datagram: a classic BPF program on the
 * group of sockets (SO_ATTACH_REUSEPORT_CBPF), which needs no privilege and no
 * map. A packet with one of our connection ids goes to the socket that the id
 * names (lib/quic_cid.h); a client's first packets go to the worker that serves,
 * spread over its threads by the id that the client made up.
 */
#ifndef HOODY_CONTROL_STEER_H
#define HOODY_CONTROL_STEER_H

#include <stdint.h>

/*
 * steer_attach(): new connections of @sock's group go to sockets @first up to
 * @first + @count - 1, in the order in which they were bound. Replaces what was
 * there. 0 or a negative errno.
 */
int steer_attach(int sock, uint32_t first, uint32_t count);

#endif /* HOODY_CONTROL_STEER_H */
