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

#include "front/bucket.h"
#include "front/stream.h"

/* At once; RFC 9113 5.1.2 asks for 100 or more. */
#define FRONT_HTTP2_STREAMS_MAX	128
/* What a client may send before a container has taken it: of a stream, of all. */
#define FRONT_HTTP2_STREAM_WINDOW	(256 * 1024)
#define FRONT_HTTP2_WINDOW		(2 * 1024 * 1024)
/* RFC 9113 4.1. */
#define FRONT_HTTP2_FRAME_HEAD	9

struct front_http2_stream {
	struct front_stream	base;
	struct buf		out;		/* body that waits for the client's window */
	int32_t			id;
};

static inline struct front_http2_stream *front_http2_stream(const struct front_stream *base)
{
	return container_of(base, struct front_http2_stream, base);
}

struct front_http2 {
	struct nghttp2_session	*session;
	struct front_streams	streams;
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

extern const struct front_stream_protocol front_http2_streams;

/* http2.c */
/* GOAWAY in two steps; streams that were begun go on. */
void front_http2_shutdown(struct front_connection *connection);

/* http2_request.c: callbacks of nghttp2. */
void front_http2_request_callbacks(nghttp2_session_callbacks *callbacks);

/* http2_response.c */
void front_http2_response_callbacks(nghttp2_session_callbacks *callbacks);

/* http2_abuse.c: false where it was one too many; @fault is set then. */
bool front_http2_count_reset(struct front_connection *connection);
bool front_http2_count_control(struct front_connection *connection);
/* The code for GOAWAY after an error of nghttp2's; counts it. */
uint32_t front_http2_fault(struct front_connection *connection, ssize_t err);
void front_http2_limits(nghttp2_option *option);

#endif /* HOODY_FRONT_HTTP2_H */
