/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules about names that are held against what a connection itself says, for
 * containers that are to be strict: an address that an allowed name stands for may
 * serve other names too, and the kernel sees the address alone.
 *
 * The firewall steers here what a rule about a name has opened, and nothing else.
 * TCP has to begin with a TLS hello, UDP with QUIC's; the name in it must be one
 * that a rule allows at this port. All else is refused and counted, and nothing of
 * it has left the host by then.
 *
 *	strict.c	who may say which name; the hello of a TCP connection
 *	strict_udp.c	QUIC: datagrams wait until the hello is there
 *
 * What is allowed goes on by the container's exit, or directly from the host.
 */
#ifndef HOODY_RELAY_STRICT_H
#define HOODY_RELAY_STRICT_H

#include "relay/hello.h"
#include "relay/relay.h"

#include <yyjson.h>

#define STRICT_FLOWS_MAX	4096	/* UDP: of all containers */
#define STRICT_CONTAINER_MAX	256	/* of one */
#define STRICT_HELD_MAX		16384	/* bytes of datagrams that wait for a hello */
#define STRICT_PEEKS_MAX	64	/* looks at one TCP connection: pieces of its hello */

/* One allow rule about a name. */
struct strict_opening {
	char		*pattern;
	uint8_t		protocol;	/* IPPROTO_TCP, IPPROTO_UDP; 0: both */
	uint16_t	port_first, port_last;
};

/* strict_read(): "strict" of policy.h, NULL: it is not. 0 or a negative errno. */
int strict_read(struct relay_names *names, yyjson_val *list);
void strict_clear(struct relay_names *names);

bool strict_allows(const struct relay_container *container, const char *name, uint8_t protocol,
		   uint16_t port);

/*
 * strict_judge(): counts what a hello has come to. True where @name is allowed, false
 * where the flow is refused; @verdict is not HELLO_MORE.
 */
bool strict_judge(struct relay_container *container, enum hello_verdict verdict, const char *name,
		  uint8_t protocol, uint16_t port);

/*
 * strict_meet(): looks at what is there of a TCP connection's hello, which stays in
 * the socket. 1: it may go on, 0: waits for more, -1: refused, and counted why.
 */
int strict_meet(struct relay_session *session);
/* Whether a session may go on with @container as another policy has it. */
bool strict_holds(const struct relay_session *session, const struct relay_container *container);
/* An exit for one session without: the destination itself. NULL without memory. */
struct relay_exit *strict_make_exit(const struct address *destination, uint16_t port);

/* --- strict_udp.c --- */

struct strict_udp *strict_udp_create(void);
void strict_udp_take(struct relay *relay, struct relay_container *container,
		     const unsigned char *bytes, size_t len, const struct address *peer,
		     uint16_t peer_port, const struct address *asked, uint16_t asked_port);
/* Another policy holds: flows whose name it does not allow end. */
void strict_udp_policy_changed(struct relay *relay);

#endif /* HOODY_RELAY_STRICT_H */
