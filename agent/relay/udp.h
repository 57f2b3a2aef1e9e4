/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of containers through a SOCKS5 proxy (RFC 1928, UDP ASSOCIATE). An
 * association belongs to one UDP port of a container and takes datagrams for any
 * destination; answers are let in from where it has sent something to.
 *
 *	datagram -> association: a session to the proxy, which opens it ...
 *	         -> header + datagram -> the proxy's address, at the port that it named
 *	         <- the same back -> a socket of control's with the sender's port
 *
 * Datagrams wait, in bounds, until the proxy has answered. The session ends with the
 * association and the other way round.
 */
#ifndef HOODY_RELAY_UDP_H
#define HOODY_RELAY_UDP_H

#include "relay/relay.h"

#define UDP_ASSOCIATIONS_MAX	2048
#define UDP_CONTAINER_MAX	256	/* associations of one container */
#define UDP_WAITING_MAX		16384	/* bytes of an association that is not open yet */
#define UDP_REMOTES_MAX		64	/* destinations that an association remembers */
#define UDP_PORTS_MAX		512	/* sockets to answer from, one for each port */
#define UDP_PAYLOAD_MAX		65507
#define UDP_HEADER_MAX		22	/* with an IPv6 address */
#define UDP_NONE_MS		30000	/* a proxy without UDP is not asked again so long */

/* --- pure --- */

/* RFC 1928 7: returns the length of the header in @out. */
size_t udp_header_write(const struct address *address, uint16_t port,
			unsigned char out[UDP_HEADER_MAX]);
/*
 * The length of the header of what a proxy sent, with whom it is from; 0 where it is
 * none, is a fragment, or names its sender by a name.
 */
size_t udp_header_read(const unsigned char *bytes, size_t len, struct address *address,
		       uint16_t *port);

/* --- */

struct relay_udp *relay_udp_create(void);
/* The relay drains: associations end once nothing has come for them for a moment. */
void relay_udp_drain(struct relay *relay);

/*
 * relay_udp_take(): a datagram of a container. False where its exit does not carry
 * such, and nothing has been counted.
 */
bool relay_udp_take(struct relay *relay, struct relay_container *container,
		    const unsigned char *bytes, size_t len, const struct address *peer,
		    uint16_t peer_port, const struct address *asked, uint16_t asked_port);

/*
 * Whether there is a socket to answer from as @port; where not, control is asked for
 * it, unless too many are in use.
 */
bool relay_udp_port_ready(struct relay *relay, uint32_t family, uint16_t port);
/* Sends from it, to a container's @peer. */
bool relay_udp_answer(struct relay *relay, const struct address *from, uint16_t port,
		      const struct address *peer, uint16_t peer_port, const void *bytes,
		      size_t len);

/* Control's answer to RELAY_PORT; takes @fd over (below 0: none). */
void relay_udp_port(struct relay *relay, uint32_t family, uint32_t port, int fd);

/*
 * Of session.c: the proxy has opened it, and takes datagrams at @port. False where
 * that cannot be, and the session is to end.
 */
bool relay_association_opened(struct relay_association *association, uint16_t port);
/* The session is over. */
void relay_association_end(struct relay_association *association);

#endif /* HOODY_RELAY_UDP_H */
