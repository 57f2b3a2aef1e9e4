/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a container, as its exchange sees it: start it, feed it, and be
 * told what comes back. Which connection carries it, whether that one was kept
 * from before, and that it is sent again where a kept one turned out to be dead,
 * is this layer's affair.
 *
 * Calls into here never call back into the exchange before they return, except
 * up_request_start() by its result. The operations are called from the loop.
 */
#ifndef HOODY_UPSTREAM_REQUEST_H
#define HOODY_UPSTREAM_REQUEST_H

#include "lib/http.h"
#include "upstream/connect.h"

struct up_connection;
struct up_stream;
struct up_request;

enum up_failure {
	UP_OK,			/* started; later: a tunnel that both sides ended */
	UP_FAILED,		/* no connection, or it broke: 502 */
	UP_REFUSED,		/* the module gave no socket: 502 */
	UP_MALFORMED,		/* not HTTP, or not unambiguously: 502 */
	UP_RESET,		/* the app reset its stream: so is the client's, or 502 */
	UP_TIMEOUT,		/* 504 */
	UP_LIMIT,		/* too many connections to this container: 503 */
	UP_CUT,			/* the container went away */
};

/* What an exchange does with the response. All heads and bytes: for the call only. */
struct up_request_operations {
	void (*interim)(struct up_request *request, struct http_head *head);
	/* The response's head; 101 makes the rest opaque bytes both ways. */
	void (*head)(struct up_request *request, struct http_head *head);
	void (*data)(struct up_request *request, const char *data, size_t len);
	/*
	 * Nothing follows; @trailers may be NULL. The request is over and may be
	 * freed, no flush comes. After 101: the app half-closed, the request goes on.
	 */
	void (*end)(struct up_request *request, struct http_head *trailers);
	/* A batch of the above is over: send what was gathered. */
	void (*flush)(struct up_request *request);
	/* The client takes no more now; up_request_resume() follows. */
	bool (*blocked)(struct up_request *request);
	/* up_request_blocked() has become false. */
	void (*writable)(struct up_request *request);
	/* The request is over, at whatever point it was. */
	void (*failed)(struct up_request *request, enum up_failure failure);
};

struct up_request {
	const struct up_request_operations	*operations;
	struct up_connection			*connection;	/* NULL: over */
	struct up_stream			*stream;	/* its part of an HTTP/2 connection */
	bool					to_head;
	bool					idempotent;
	bool					http2;		/* but for an upgrade, by h2c */
	bool					upgrade;	/* 101 may be answered */
	bool					body;		/* some will follow */
	bool					complete;	/* ended by us */
	bool					tunnel;		/* 101 was answered */
	bool					retried;
	uint32_t				reset_code;	/* RFC 9113 7, of UP_RESET */
	bool					reused;		/* of the current connection */
	struct up_client			client;
};

/*
 * up_request_start(): sends @head with a body as head->framing says to @port of
 * @container; for an upgrade, @upgrade is the protocol's name. The request's
 * first flags, down to @upgrade, are the caller's. UP_OK, or why not; then
 * nothing was sent and no operation is called.
 */
enum up_failure up_request_start(struct up_context *context, struct up_request *request,
				 const struct image_container *container,
				 const struct up_client *client, uint16_t port,
				 struct http_head *head, struct http_text upgrade);

/* Body bytes, after 101 any bytes. Allowed while !up_request_blocked(). */
void up_request_data(struct up_request *request, const char *data, size_t len);
/* The body is over; after 101: half-closes. */
void up_request_end(struct up_request *request, const struct http_head *trailers);
/* Sends what was gathered since. */
void up_request_flush(struct up_request *request);
bool up_request_blocked(const struct up_request *request);
/* The client takes more: reading goes on. */
void up_request_resume(struct up_request *request);
/* Drops the request and its connection; no operation is called any more. */
void up_request_abort(struct up_request *request);

#endif /* HOODY_UPSTREAM_REQUEST_H */
