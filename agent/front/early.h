/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Early data: what a client that comes again sends with its first flight, before
 * the handshake has shown that it is alive (TLS 1.3 0-RTT, RFC 8446 2.3; HTTP:
 * RFC 8470). Off unless [tls] early_data is on.
 *
 * Somebody may have recorded and sent it again. replay.h keeps that from the
 * worker; and of what remains, only requests that may be repeated without harm
 * are answered at once: GET, HEAD and OPTIONS without a body, which the app can
 * tell by Early-Data: 1. All others wait for the handshake's end. So do, over
 * QUIC, all requests of a client that has not proved its address: permissions go
 * by addresses.
 *
 *	offered -> [hello with early data] -> open: the protocol runs -> handshake
 *	   |                                                              over
 *	   `-> none, or refused: handshake -> protocol
 *
 * A connection that has none costs nothing but its pointer to one.
 */
#ifndef HOODY_FRONT_EARLY_H
#define HOODY_FRONT_EARLY_H

#include "front/connection.h"

struct exchange;
struct http_head;

/* Of one connection over TCP; RFC 8446 4.6.1's max_early_data_size. */
#define FRONT_EARLY_BYTES_MAX	16384

struct front_early {
	struct front_connection	*connection;
	struct loop_timer	timer;		/* TCP: the handshake has to end */
	struct list		waits;		/* struct authorize_wait, for that end */
	struct buf		in;		/* the protocol has not read it yet */
	bool			read;		/* all of it has come */
	bool			writing;	/* OpenSSL has a record that the socket did not take */
	bool			finishing;	/* that record is of the handshake's end */
	bool			over;		/* so is the handshake */
};

/* Before the handshake of @ssl: takes early data, where that is configured. */
void front_early_offer(struct ssl_st *ssl, struct front_thread *thread);
bool front_early_offered(const struct ssl_st *ssl);
/* The client's hello has been read: counts what was refused of it. */
void front_early_count(const struct ssl_st *ssl, struct front_thread *thread);

/*
 * front_early_handshake(): instead of SSL_do_handshake() until it says 0: there is
 * no early data, or no more. 1: there is, and connection->early; -EAGAIN;
 * -EPROTO; -ENOMEM.
 */
int front_early_handshake(struct front_connection *connection);
/* Something came, or left. False: the connection is closed. */
bool front_early_run(struct front_connection *connection);
/* As front_tls_read() and front_tls_write(), while connection->early. */
ssize_t front_early_read(struct front_connection *connection, void *bytes, size_t len);
ssize_t front_early_write(struct front_connection *connection, const void *bytes, size_t len);

/* The handshake is not over: what comes now may have been recorded. */
bool front_early_pending(const struct front_connection *connection);
/* Whether the request with @head may be answered before the handshake's end. */
bool front_early_allowed(const struct front_connection *connection, const struct http_head *head);
/* Makes @exchange wait for it. 0 or -ENOMEM. */
int front_early_wait(struct exchange *exchange, const struct http_head *head);
/* It is over (QUIC; TCP knows by itself): what waits goes on. */
void front_early_over(struct front_connection *connection);
/* Of a connection that closes; there may be none. */
void front_early_free(struct front_connection *connection);

#endif /* HOODY_FRONT_EARLY_H */
