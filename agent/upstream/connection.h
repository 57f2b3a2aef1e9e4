/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a container, inside this layer.
 *
 *	CONNECTING -> BUSY (a request) -> IDLE (kept, in the pool) -> BUSY ...
 *	     `----------`--------------------`--> closed, freed at the turn's end
 *
 * Bytes that wait to be written stay in @out; on a kept connection they stay
 * there even after they are written, until the first byte of the response, so
 * that the request can be sent once more.
 */
#ifndef HOODY_UPSTREAM_CONNECTION_H
#define HOODY_UPSTREAM_CONNECTION_H

#include "lib/http1_chunk.h"
#include "upstream/container.h"
#include "upstream/request.h"

/* Interim responses to one request; an app that sends more is broken. */
#define UP_INTERIM_MAX	64

enum up_phase {
	UP_PHASE_HEAD,
	UP_PHASE_BODY,
	UP_PHASE_TRAILERS,
	UP_PHASE_TUNNEL,
};

/* What connections in the pool must agree in. */
struct up_key {
	struct up_container	*container;
	uint16_t		port;
	sa_family_t		family;		/* AF_UNSPEC: any client's */
	uint8_t			client[16];
};

struct up_http2;

struct up_connection {
	struct loop_source	source;
	struct loop_task	task;
	struct loop_timer	timer;
	struct up_context	*context;
	struct up_request	*request;	/* NULL: idle, closed, or HTTP/2 */
	struct up_http2		*http2;		/* upstream/http2.h; NULL: HTTP/1 */
	struct up_key		key;
	uint64_t		hash;		/* of key */
	struct list		in_container, in_container_idle, in_bucket, in_oldest;
	struct buf		in;		/* an incomplete head or trailer section */
	struct buf		out;
	size_t			sent;		/* of what waits in @out */
	size_t			scanned;	/* of @in, by http1_head_length() */
	bool			connecting, readable, writable, hangup, idle, closed;
	bool			real_ip, any_port;
	bool			broken;		/* writing failed; reading may go on */
	bool			shut, shut_done; /* half-close after @out */
	bool			waiting;	/* the exchange was told "blocked" */
	bool			ended;		/* the app half-closed a tunnel */
	bool			keep;		/* the response allows to keep it */
	bool			answered;	/* a byte of the response has come */
	bool			lost;		/* bytes were sent that @out has no more */
	enum http_framing	request_framing;
	/* the response */
	enum up_phase		phase;
	enum http_framing	framing;
	unsigned int		interims;
	uint64_t		left;
	struct http1_chunk	chunk;
};

/* A new connection without a request; NULL with *failure set. */
struct up_connection *up_connection_open(struct up_context *context,
					 const struct image_container *container,
					 const struct up_client *client, const struct up_key *key,
					 enum up_failure *failure);
/* Puts @request on a fresh or idle connection. */
void up_connection_attach(struct up_connection *connection, struct up_request *request);
/* Closes; a request on it must have been detached. */
void up_connection_close(struct up_connection *connection);
/* Ends connection and request; the request may be sent again elsewhere. */
void up_connection_fail(struct up_connection *connection, enum up_failure failure);
/* The response is complete: keeps or closes. The request is detached already. */
void up_connection_release(struct up_connection *connection);
/* Writes what waits; an error shows later, in the loop. */
void up_connection_flush(struct up_connection *connection);
/* Starts the clock that fits what it waits for now. */
void up_connection_update_timer(struct up_connection *connection);
/* The request cannot be sent any further. */
void up_connection_break(struct up_connection *connection);
/* Whether @out still has bytes to write. */
bool up_connection_pending(const struct up_connection *connection);

/* upstream/http1.c: decodes @len bytes for the current request. */
void up_http1_feed(struct up_connection *connection, const char *bytes, size_t len);
/* The same at end of file. */
void up_http1_feed_end(struct up_connection *connection);

/* upstream/pool.c */
struct up_connection *up_pool_take(struct up_context *context, const struct up_key *key,
				   uint64_t hash);
void up_pool_keep(struct up_connection *connection);
/*
 * Connections of HTTP/2, in use or not, wait in a table of their own, from which
 * they go only when they close. find: one that takes a further request, or NULL;
 * busy: it has one now.
 */
void up_pool_offer_http2(struct up_connection *connection);
struct up_connection *up_pool_find_http2(struct up_context *context, const struct up_key *key,
					 uint64_t hash);
void up_pool_busy(struct up_connection *connection);
/* Takes a kept connection out, whoever ends it. */
void up_pool_remove(struct up_connection *connection);
/* Room for one more connection to @container; false where there is none. */
bool up_pool_make_room(struct up_context *context, struct up_container *container);
void up_pool_key(struct up_key *key, struct up_container *container, uint16_t port,
		 const struct up_client *client, bool per_client);
uint64_t up_pool_hash(const struct up_key *key);

#endif /* HOODY_UPSTREAM_CONNECTION_H */
