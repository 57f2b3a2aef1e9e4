/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request with its response, whatever protocol either side speaks.
 *
 *	decode -> exchange_begin(): route -> upstream -> both bodies -> finished
 *	               |
 *	               `-> refused: our own short answer
 *
 * The codec of the client's protocol calls exchange_*(), and is called through
 * exchange_front. It owns the pointer until it is told end(), over(), reset() or
 * calls exchange_abort(); after those the exchange is gone.
 *
 * Back-pressure: neither side is read while the other one's buffer has bytes to
 * write, so an exchange holds at most one buffer per direction.
 */
#ifndef HOODY_FRONT_EXCHANGE_H
#define HOODY_FRONT_EXCHANGE_H

#include "front/audit.h"
#include "front/connection.h"
#include "front/pass.h"
#include "lib/http.h"
#include "upstream/request.h"

/*
 * What the codec does with a response. Heads and bytes are valid for the call.
 * head() of a response that came from the app may call exchange_abort().
 */
struct exchange_front {
	void (*interim)(struct exchange *exchange, struct http_head *head);
	/* Status 101: what follows are opaque bytes, both ways. */
	void (*head)(struct exchange *exchange, struct http_head *head);
	void (*data)(struct exchange *exchange, const char *data, size_t len);
	/* Complete; send it. The exchange is gone, except in a tunnel (half-close). */
	void (*end)(struct exchange *exchange, struct http_head *trailers);
	/* A tunnel is over on both sides. The exchange is gone. */
	void (*over)(struct exchange *exchange);
	/* Cannot be completed: make that visible to the client. The exchange is gone. */
	void (*reset)(struct exchange *exchange);
	void (*flush)(struct exchange *exchange);
	/* True: bytes wait for the client, exchange_resume() will be called. */
	bool (*blocked)(struct exchange *exchange);
	/* exchange_request_blocked() has become false. */
	void (*resume)(struct exchange *exchange);
	/* reset() is for one request alone, and tells exchange->upstream.reset_code. */
	bool resets;
};

struct exchange {
	struct up_request		upstream;
	struct list			node;		/* thread->exchange_list */
	struct front_connection		*connection;
	const struct exchange_front	*front;
	void				*owner;	/* the codec's, e.g. a stream */
	uint64_t			started;	/* loop time, milliseconds */
	uint64_t			bytes_in, bytes_out;	/* of bodies */
	unsigned int			status;		/* 0: no head was sent */
	bool				json;		/* refusals in JSON */
	bool				close;		/* the client may not go on on this connection */
	bool				tunnel;
	bool				passed;	/* a middleware has sent it on */
	uint16_t			to_go;	/* of one that has passed: middlewares still to come */
	bool				early;	/* before the handshake's end: a copy may come */
	struct up_client		client;	/* of one that has passed: who asked */
	struct pass_ticket		ticket;	/* of one that is at a middleware */
	uint8_t				container[IMAGE_ID_LEN];	/* once routed */
	uint16_t			port;
	char				method[16];	/* for the log, cut */
	struct authorize_wait		*wait;		/* nothing was sent yet */
	struct authorize_memo		*memo;		/* permissions let it in; or NULL */
	int64_t			expires;	/* when they have to be asked again; 0: never */
	struct list		expiring;	/* authorize->expiring */
	struct front_audit		audit;
};

/* Whom the app is to see. */
static inline const struct up_client *exchange_client(const struct exchange *exchange)
{
	return exchange->passed ? &exchange->client : &exchange->connection->client;
}

/*
 * exchange_begin(): a request whose head is @head; @owner is for the codec.
 * Returns the exchange, or NULL where it is already over (head, data, end were
 * called).
 */
struct exchange *exchange_begin(struct front_connection *connection,
				const struct exchange_front *front, void *owner,
				struct http_head *head);

/*
 * Body bytes; in a tunnel any. Allowed while !exchange_request_blocked(), or as
 * many as a window has room for that is not given back while it is.
 */
void exchange_request_data(struct exchange *exchange, const char *data, size_t len);
void exchange_request_end(struct exchange *exchange, struct http_head *trailers);
void exchange_request_flush(struct exchange *exchange);
bool exchange_request_blocked(struct exchange *exchange);
/* From front/authorize.c: the check that @wait was for has been made. */
void exchange_authorized(struct exchange *exchange, struct authorize_wait *wait);
/* Its permission was taken away. The exchange is gone. */
void exchange_revoke(struct exchange *exchange);
/* The token that let it in has expired. The exchange is gone. */
void exchange_expire(struct exchange *exchange);
/* The client takes more. */
void exchange_resume(struct exchange *exchange);
/* The client is gone, or its request turned out malformed. */
void exchange_abort(struct exchange *exchange);

/*
 * How long a client may be silent whose request has more to come: of a call that
 * is open both ways (upstream/http2.h) as long as a WebSocket.
 */
static inline enum loop_timer_class exchange_request_clock(const struct exchange *exchange)
{
	return exchange->upstream.stream ? LOOP_TIMER_UPGRADE : LOOP_TIMER_BODY;
}

/*
 * front/fields.c: makes the client's @head what the app is to see. @scratch
 * holds what is added and must live until the head is encoded. False where
 * there is no room for the fields.
 */
struct exchange_fields {
	char	instance[HTTP_NUMBER_MAX], client[ADDRESS_TEXT_MAX];
};
bool exchange_fields_request(struct http_head *head, const struct exchange *exchange,
			     unsigned int instance, struct http_text pass,
			     struct exchange_fields *scratch);
/* What the client offers to switch to, if that may be passed on; else empty. */
struct http_text exchange_fields_upgrade(const struct http_head *head);
/* Makes the app's @head what the client is to see. */
void exchange_fields_response(struct http_head *head);
/* Leaves the fields that a trailer section may carry. */
void exchange_fields_trailers(struct http_head *trailers);

#endif /* HOODY_FRONT_EXCHANGE_H */
