/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request and its answer where a connection carries many at once: what HTTP/2 and
 * HTTP/3 do alike between their library and the exchange. Windows, priorities, and how
 * an answer waits for its client are each protocol's own (struct front_stream_protocol).
 */
#ifndef HOODY_FRONT_STREAM_H
#define HOODY_FRONT_STREAM_H

#include "front/block.h"
#include "front/exchange.h"
#include "front/websocket.h"

struct front_stream;

enum front_stream_reason {
	FRONT_STREAM_APP,	/* the container cannot end its answer; it may have said why */
	FRONT_STREAM_TIMEOUT,
	FRONT_STREAM_MALFORMED,	/* its trailers are */
};

struct front_stream_protocol {
	/* Whether bytes of the answer wait for the client. */
	bool (*waits)(const struct front_stream *stream);
	/* Whether there are so many that the container has to wait. */
	bool (*full)(const struct front_stream *stream);
	/* Copies bytes of the answer. 0, or -ENOMEM: the connection cannot go on. */
	int (*output)(struct front_stream *stream, const char *data, size_t len);
	/*
	 * A head: an interim one, or the answer's, with content-length or without. Of the
	 * latter what follows will be asked for, unless @stream->bodiless.
	 */
	void (*interim)(struct front_stream *stream, const struct http_head *head);
	void (*head)(struct front_stream *stream, const struct http_head *head, bool length);
	/* There is something to ask for: bytes, or @stream->ended. */
	void (*resume)(struct front_stream *stream);
	/* Both directions end at once. @app_code: FRONT_STREAM_APP's, RFC 9113 7; 0: none. */
	void (*reset)(struct front_stream *stream, enum front_stream_reason reason,
		      uint32_t app_code);
	/* The client may send @stream->unconsumed bytes more. */
	void (*consume)(struct front_stream *stream);
	void (*free)(struct front_stream *stream);
};

/* Those of a connection. */
struct front_streams {
	const struct front_stream_protocol	*protocol;
	struct list		all;
	struct list		waiting;	/* those whose container waits for room */
	struct front_stream	*fed;		/* has bytes that were not flushed upstream */
};

struct front_stream {
	struct exchange		*exchange;	/* NULL: over, or never was */
	struct front_connection	*connection;
	struct front_streams	*among;
	struct list		node, waiting;
	struct loop_timer	timer;
	struct buf		trailers;	/* records, names as the container wrote them */
	struct buf		early;		/* came before the app agreed to a tunnel */
	size_t			unconsumed;	/* given to the container, not taken yet */
	bool			to_head, bodiless;
	bool			websocket;
	bool			request_ended;
	bool			ended;		/* nothing follows the output but @trailers */
	bool			deferred;	/* its library asked for output in vain */
	bool			closed;		/* towards the client; its last bytes are on their way */
	char			accept[FRONT_WEBSOCKET_ACCEPT_LEN];
};

void front_streams_setup(struct front_streams *streams,
			 const struct front_stream_protocol *protocol);
void front_streams_free(struct front_streams *streams);

/* @stream is zeroed memory of its protocol. clear() aborts its exchange. */
void front_stream_setup(struct front_stream *stream, struct front_streams *among,
			struct front_connection *connection);
void front_stream_clear(struct front_stream *stream);

/* ---- the request ---- */

/*
 * front_stream_request(): its head is complete (@ended: and all of it) in @block. What it
 * is refused for is answered. The connection may be closed afterwards.
 */
void front_stream_request(struct front_stream *stream, struct front_block *block, bool ended);
/* Bytes of the body, while there is an exchange. 0 or -ENOMEM. */
int front_stream_data(struct front_stream *stream, const char *data, size_t len);
void front_stream_trailers(struct front_stream *stream, struct front_block *block);
/* Its end; again: nothing. */
void front_stream_end(struct front_stream *stream, struct http_head *trailers);
/* Sends on what streams were fed, and gives windows back. */
void front_streams_flush(struct front_streams *streams);

/* ---- the answer ---- */

/* Our own to what did not become an exchange. */
void front_stream_refuse(struct front_stream *stream, unsigned int status, const char *code,
			 const char *message);
/* There is room again: containers that waited for it are read on. */
void front_streams_wake(struct front_streams *streams);
/* Its client's side is over, in order: a tunnel whose last word is on its way lives on. */
void front_stream_finished(struct front_stream *stream, bool in_order);
/* @progress: bytes moved since. */
void front_stream_update_timer(struct front_stream *stream, bool progress);

#endif /* HOODY_FRONT_STREAM_H */
