/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 without TLS (h2c, by prior knowledge: RFC 9113 3.3) to containers whose
 * service is marked so, by nghttp2. A connection carries many requests, all of
 * one client address where connections come from the clients' own.
 *
 *	CONNECTING -> OPEN (streams come and go) -> IDLE (in the pool) -> OPEN ...
 *	     `---------`-- GOAWAY: no new streams, closed after the last
 *	               `-- broken: all streams fail, or are sent again elsewhere
 *
 * Memory: a stream's request waits in its @out, as much as the client's side lets
 * in before up_request_blocked() stops it; of a response no more than
 * UP_HTTP2_STREAM_WINDOW is on its way, and that is given back as the client
 * takes it. The connection's window is given back at once, so that a client that
 * does not read one response keeps none of the others waiting.
 *
 * nghttp2 is entered for reading and writing from up_http2_run() alone; what an
 * exchange says in between only queues, and posts the connection.
 */
#ifndef HOODY_UPSTREAM_HTTP2_H
#define HOODY_UPSTREAM_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "upstream/connection.h"

/* At once on one connection, where the app allows as many; more take another. */
#define UP_HTTP2_STREAMS_MAX	100
#define UP_HTTP2_STREAM_WINDOW	(128 * 1024)
#define UP_HTTP2_WINDOW		(1024 * 1024)
/* How often a request is sent again that apps have refused to look at. */
#define UP_HTTP2_REFUSED_MAX	8

struct up_stream {
	struct up_request	*request;	/* NULL: over; nghttp2 has not let go of it yet */
	struct up_connection	*connection;
	struct list		node;		/* http2->streams */
	struct list		fed;		/* got something that was not flushed yet */
	struct list		waiting;	/* its exchange was told "blocked": writable() follows */
	struct list		resumed;	/* its exchange may take more again */
	struct loop_timer	timer;
	struct buf		head;		/* records: the request's, until the app answers */
	struct buf		out;		/* body that waits for the app's window */
	struct buf		trailers;	/* records */
	size_t			unconsumed;	/* given to the exchange, not back to the app yet */
	unsigned int		interims;
	unsigned int		repeats;	/* of its request, before */
	int32_t			id;
	bool			body;		/* the request has one */
	bool			ended;		/* nothing follows @out but @trailers */
	bool			deferred;	/* nghttp2 asked for data in vain */
	bool			taken;		/* some of the body has left @out */
	bool			answered;	/* something of a response has come */
	bool			headed;		/* its head has come */
	bool			malformed;
};

struct up_http2 {
	nghttp2_session		*session;
	struct list		streams, fed, waiting, resumed;
	unsigned int		streams_count;
	struct buf		block;		/* records: the header block that is being read */
	size_t			block_bytes;
	bool			block_bad;
	bool			begun;		/* it is connected */
	bool			goaway;
	bool			busy, dead;	/* inside nghttp2; to be freed after it */
};

/* ---- http2.c ---- */
/* Makes @connection, which is new, one of HTTP/2. 0 or -ENOMEM. */
int up_http2_setup(struct up_connection *connection);
/* The connection layer's events. */
void up_http2_run(struct up_connection *connection);
/* Ends the connection and tells all its streams. */
void up_http2_fail(struct up_connection *connection, enum up_failure failure);
/* Frees what the connection has; its streams' exchanges have been told. */
void up_http2_clear(struct up_connection *connection);
/* Whether a further request may be put on it. */
bool up_http2_accepts(const struct up_connection *connection);
void up_http2_post(struct up_connection *connection);

/* ---- http2_request.c ---- */
/* up_request_start() for HTTP/2; @up is held by the caller. */
enum up_failure up_http2_start(struct up_context *context, struct up_request *request,
			       const struct image_container *container,
			       const struct up_client *client, const struct up_key *key,
			       const struct http_head *head);
void up_stream_data(struct up_stream *stream, const char *data, size_t len);
void up_stream_end(struct up_stream *stream, const struct http_head *trailers);
bool up_stream_blocked(struct up_stream *stream);
void up_stream_resume(struct up_stream *stream);
void up_stream_abort(struct up_stream *stream);
/* @progress: bytes moved since. */
void up_stream_update_timer(struct up_stream *stream, bool progress);
/*
 * The request of @stream ends with @failure, or is sent once more; @refused: the
 * app has said that it did nothing with it. The stream has no request after it.
 */
void up_stream_fail(struct up_stream *stream, enum up_failure failure, bool refused);
/* The response is complete: lets go of the request, which is returned, or NULL. */
struct up_request *up_stream_finish(struct up_stream *stream);
void up_stream_free(struct up_stream *stream);

/* ---- http2_response.c ---- */
/* Callbacks of nghttp2 for what the app sends. */
void up_http2_response_callbacks(nghttp2_session_callbacks *callbacks);
/* Sends on what streams were fed, and gives their windows back. */
void up_http2_flush_fed(struct up_http2 *http2);
void up_stream_consume(struct up_stream *stream);

#endif /* HOODY_UPSTREAM_HTTP2_H */
