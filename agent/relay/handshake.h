/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said to a proxy before bytes flow: SOCKS5 (RFC 1928, with the login of
 * RFC 1929) and HTTP CONNECT (RFC 9110, Basic of RFC 7617). No socket here: bytes
 * to send, bytes that came, and what they mean.
 *
 *	send := handshake_begin()
 *	while more: feed what came to handshake_feed(), send what it wants sent
 *
 * A proxy is not trusted: what it says is bounded and read once, and nothing that
 * follows its answer is taken from the container's stream or lost to it.
 */
#ifndef HOODY_RELAY_HANDSHAKE_H
#define HOODY_RELAY_HANDSHAKE_H

#include "relay/exit.h"

#define HANDSHAKE_OUT_MAX	1280	/* CONNECT with a login of 510 bytes in base64 */
#define HANDSHAKE_IN_MAX	8192	/* a proxy's response head */

enum handshake_fault {
	HANDSHAKE_FINE,
	HANDSHAKE_MALFORMED,		/* no SOCKS5, no HTTP, too long, garbage */
	HANDSHAKE_LOGIN,		/* user or password refused, or a login wanted */
	HANDSHAKE_REFUSED,		/* the proxy does not connect: its own rules */
	HANDSHAKE_UNREACHABLE,		/* it could not reach the destination */
	HANDSHAKE_FAULTS,
};

enum handshake_step {
	HANDSHAKE_GREETED,		/* SOCKS5: waits for the method */
	HANDSHAKE_LOGGED_IN,		/* SOCKS5: waits for the login's result */
	HANDSHAKE_ASKED,		/* waits for the answer to the request */
	HANDSHAKE_DONE,
};

struct handshake {
	const struct exit_spec	*spec;
	struct address		destination;
	uint16_t		port;
	enum handshake_step	step;
	/* RFC 1928 4 and 6: where a proxy takes or sends what it is to pass on. */
	struct address		bound;
	uint16_t		bound_port;
	bool			associate;	/* SOCKS5: UDP instead of a connection */
	bool			probe;		/* nothing is asked for */
	size_t			out_len;
	char			out[HANDSHAKE_OUT_MAX];
};

/* What has to be sent is in @out afterwards, and after each handshake_feed(). */
void handshake_begin(struct handshake *handshake, const struct exit_spec *spec,
		     const struct address *destination, uint16_t port);

/*
 * The same to learn whether the proxy works: SOCKS5 up to the login, and of HTTP a
 * request about the proxy itself (RFC 9110 9.3.7), any answer to which will do.
 */
void handshake_begin_probe(struct handshake *handshake, const struct exit_spec *spec);

/*
 * handshake_feed(): of @len bytes in @bytes, which begin where the last call
 * stopped, sets *@used to those that belonged to the handshake. 1: done, what
 * follows is the destination's; 0: more is needed; or a negative enum
 * handshake_fault.
 */
int handshake_feed(struct handshake *handshake, const char *bytes, size_t len, size_t *used);

/* A short name for logs, counters and the API. */
const char *handshake_fault_name(enum handshake_fault fault);

#endif /* HOODY_RELAY_HANDSHAKE_H */
