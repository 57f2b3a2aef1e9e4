/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 towards clients (RFC 9113), by nghttp2: what its files share. http2.c
 * has the connection, http2_request.c reads, http2_response.c writes, http2_abuse.c
 * says when it is enough.
 *
 * Memory of one connection is bounded: requests by the connection's window
 * (returned only as containers take bytes), responses by a buffer a stream,
 * streams by FRONT_HTTP2_STREAMS_MAX, heads by head_bytes_max, frames that wait
 * to be sent by reading nothing more while there are many.
 */
#ifndef HOODY_FRONT_HTTP2_H
#define HOODY_FRONT_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "front/block.h"
#include "front/bucket.h"
#include "front/exchange.h"
#include "front/websocket.h"

/* At once; RFC 9113 5.1.2 asks for 100 or more. */
#define FRONT_HTTP2_STREAMS_MAX	128
/* What a client may send before a container has taken it: of a stream, of all. */
#define FRONT_HTTP2_STREAM_WINDOW	(256 * 1024)
#define FRONT_HTTP2_WINDOW		(2 * 1024 * 1024)
/* RFC 9113 4.1. */
#define FRONT_HTTP2_FRAME_HEAD	9

struct front_http2_stream {
	struct exchange		*exchange;	/* NULL: over, or never was */
	struct front_connection	*connection;
	struct list		node, waiting;
	struct loop_timer	timer;
	struct buf		out;		/* body that waits for the client's window */
	struct buf		trailers;	/* records */
	struct buf		early;		/* came before the app agreed to a tunnel */
	size_t			unconsumed;	/* given to the container, not taken yet */
	int32_t			id;
	bool			to_head, bodiless;
	bool			websocket;
	bool			request_ended;
	bool			ended;		/* nothing follows @out but @trailers */
	bool			deferred;	/* nghttp2 asked for data in vain */
	bool			closed;		/* towards the client; its last bytes are on their way */
	char			accept[FRONT_WEBSOCKET_ACCEPT_LEN];
};

struct front_http2 {
	struct nghttp2_session	*session;
	struct list		streams;
	struct list		waiting;	/* those whose container waits for room */
	struct front_http2_stream *fed;		/* has bytes that were not flushed upstream */
	struct front_block	head;		/* the header block that is being read */
	int32_t			head_stream;	/* whose block it is; 0: none */
	bool			begun;		/* the client's preface is complete */
	bool			draining;
	bool			busy, dead;	/* inside nghttp2; to be freed after it */
	uint32_t		fault;		/* ends the connection: an nghttp2_error_code */
	uint32_t		requests;
	size_t			buffered;	/* of all streams' @out */
	size_t			pending;	/* of the connection's @out, after the last run */
	struct front_bucket resets, controls;
};

extern const struct exchange_front front_http2_exchange;

/* http2.c */
/* Aborts its exchange; nghttp2 must have let go of it. */
void front_http2_stream_free(struct front_http2_stream *stream);
/* GOAWAY in two steps; streams that were begun go on. */
void front_http2_shutdown(struct front_connection *connection);

/* http2_request.c: callbacks of nghttp2. */
void front_http2_request_callbacks(nghttp2_session_callbacks *callbacks);
/* Sends on what streams were fed, and gives windows back. */
void front_http2_request_flush(struct front_http2 *http2);
/* The app agreed to a tunnel: what came before belongs into it. */
void front_http2_request_tunnel(struct front_http2_stream *stream);
void front_http2_request_consume(struct front_http2_stream *stream);

/* http2_response.c */
void front_http2_response_callbacks(nghttp2_session_callbacks *callbacks);
/* Our own answer to what did not become an exchange. */
void front_http2_refuse(struct front_http2_stream *stream, unsigned int status, const char *code,
			const char *message);
void front_http2_reset(struct front_http2_stream *stream, uint32_t code);
/* @len bytes have left the stream's @out. */
void front_http2_output_taken(struct front_http2_stream *stream, size_t len);
/* @progress: bytes moved since. */
void front_http2_stream_update_timer(struct front_http2_stream *stream, bool progress);
void front_http2_stream_expired(struct loop_timer *timer, enum loop_timer_class class);

/* http2_abuse.c: false where it was one too many; @fault is set then. */
bool front_http2_count_reset(struct front_connection *connection);
bool front_http2_count_control(struct front_connection *connection);
/* The code for GOAWAY after an error of nghttp2's; counts it. */
uint32_t front_http2_fault(struct front_connection *connection, ssize_t err);
void front_http2_limits(nghttp2_option *option);

#endif /* HOODY_FRONT_HTTP2_H */
