/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/3 towards clients (RFC 9114), by nghttp3: what its files share. http3.c has
 * the connection, http3_request.c reads, http3_response.c writes. Below it is
 * QUIC (quic.h), above it the exchange, as over HTTP/2.
 *
 * Memory of one connection is bounded: requests by QUIC's windows (returned only
 * as containers take bytes), responses by what may be unacknowledged, streams by
 * QUIC_STREAMS_MAX, heads by head_bytes_max each.
 */
#ifndef HOODY_FRONT_HTTP3_H
#define HOODY_FRONT_HTTP3_H

#include <nghttp3/nghttp3.h>

#include "front/bucket.h"
#include "front/quic.h"
#include "front/stream.h"

/*
 * A piece of a response: stays where it is until the client has acknowledged it,
 * since nghttp3 and ngtcp2 point into it. @buf's start follows acknowledgements.
 */
struct front_http3_chunk {
	struct list	node;
	struct buf	buf;
	size_t		given;		/* to nghttp3, as a place in @buf */
};

struct front_http3_stream {
	struct front_stream	base;
	struct front_block	head;		/* the header block that is being read */
	struct list		chunks;
	size_t			held;		/* bytes in @chunks */
	size_t			ungiven;	/* of these not yet nghttp3's */
	int64_t			id;
	bool			no_window;	/* the client takes no more of it now */
	bool			reset;		/* both directions */
};

static inline struct front_http3_stream *front_http3_stream(const struct front_stream *base)
{
	return container_of(base, struct front_http3_stream, base);
}

struct front_http3 {
	struct quic_connection	*quic;
	nghttp3_conn		*session;	/* NULL: before the handshake's end */
	struct front_streams	streams;
	size_t			held;		/* of all streams */
	uint32_t		requests;
	bool			draining;
	struct front_bucket	resets;
};

extern const struct front_stream_protocol front_http3_streams;

/* ---- http3.c: for QUIC ---- */

/* 0 or -ENOMEM; front_connection->http3. */
int front_http3_create(struct front_connection *connection, struct quic_connection *quic);
void front_http3_free(struct front_connection *connection);
/* QUIC can carry it: settings. 0 or below. */
int front_http3_begin(struct front_connection *connection);
void front_http3_stream_opened(struct front_connection *connection, int64_t id);
void front_http3_stream_closed(struct front_connection *connection, int64_t id, uint64_t code);
/* The client takes back what it said, or (@ours) wants no more of what we say. */
void front_http3_stream_cancelled(struct front_connection *connection, int64_t id, bool ours);
int front_http3_receive(struct front_connection *connection, int64_t id, const uint8_t *bytes,
			size_t len, bool ended);
/* The second step of a drain. */
void front_http3_shutdown(struct front_connection *connection);
bool front_http3_drained(const struct front_connection *connection);
/* The client has another address: its exchanges are asked for permission again. */
void front_http3_moved(struct front_connection *connection);

/* ---- http3.c ---- */

struct front_http3_stream *front_http3_stream_find(struct front_http3 *http3, int64_t id);
void front_http3_reset(struct front_http3_stream *stream, uint64_t code);
/* After streams have come or gone. */
void front_http3_keep_alive(struct front_http3 *http3);
/* No further request. */
void front_http3_drain(struct front_connection *connection);

/* http3_request.c: callbacks of nghttp3. */
void front_http3_request_callbacks(nghttp3_callbacks *callbacks);

/* http3_response.c */
void front_http3_chunks_free(struct front_http3_stream *stream);
int front_http3_acknowledged(nghttp3_conn *session, int64_t id, uint64_t len, void *user_data,
			     void *stream_data);

#endif /* HOODY_FRONT_HTTP3_H */
