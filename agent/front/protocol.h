/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a protocol on a client connection is to the connection layer. A further
 * one is an entry in front_protocols (front/connection.c): ALPN offers them in
 * that order.
 */
#ifndef HOODY_FRONT_PROTOCOL_H
#define HOODY_FRONT_PROTOCOL_H

#include "lib/http1_chunk.h"
#include "lib/loop.h"

struct exchange;
struct front_connection;

struct front_protocol {
	const char	*alpn;
	void		(*setup)(struct front_connection *connection);
	/* Something changed: readable, writable, all written, hung up, posted. */
	void		(*run)(struct front_connection *connection);
	/* The clock that it chose ran out. */
	void		(*expired)(struct front_connection *connection, enum loop_timer_class class);
	/* No further request; close now where none is under way. */
	void		(*drain)(struct front_connection *connection);
	/* The connection closes: let go of exchanges. */
	void		(*closed)(struct front_connection *connection);
};

/* front_http3 is chosen by QUIC, not by ALPN among others. */
extern const struct front_protocol front_http1, front_http2, front_http3;

enum front_http1_phase {
	FRONT_HTTP1_HEAD,	/* between requests, or inside a head */
	FRONT_HTTP1_BODY,
	FRONT_HTTP1_TRAILERS,
	FRONT_HTTP1_WAIT,	/* request complete, response not */
	FRONT_HTTP1_TUNNEL,
	FRONT_HTTP1_LINGER,	/* all said; what still comes is thrown away */
};

/* State of front_http1 in its connection. */
struct front_http1_state {
	struct exchange		*exchange;
	enum front_http1_phase	phase;
	uint8_t			framing;	/* enum http_framing, of the request */
	uint8_t			response_framing;
	uint8_t			minor;
	bool			persistent, to_head;
	bool			responded;	/* the response's end is in @out */
	bool			feeding;	/* inside feed(): settle later */
	bool			unread;		/* @in has bytes that were not looked at */
	bool			waiting;	/* upstream was told "blocked" */
	bool			input_ended;	/* tunnel: the client half-closed */
	bool			output_ended;	/* tunnel: the app half-closed */
	bool			output_shut;	/* and the client was told */
	uint32_t		requests;
	uint32_t		lingered;	/* bytes thrown away */
	size_t			scanned;
	uint64_t		left;
	struct http1_chunk	chunk;
};

#endif /* HOODY_FRONT_PROTOCOL_H */
