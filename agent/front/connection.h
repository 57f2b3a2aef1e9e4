/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection: socket, TLS, bytes in and out, its clock. What the
 * bytes mean is its protocol's. An idle one holds no buffer.
 */
#ifndef HOODY_FRONT_CONNECTION_H
#define HOODY_FRONT_CONNECTION_H

#include "front/protocol.h"
#include "front/thread.h"
#include "upstream/connect.h"


struct front_connection {
	struct loop_source	source;
	struct loop_task	task;
	struct loop_timer	timer;
	struct list		node;		/* thread->open */
	struct front_thread	*thread;
	struct front_tls	*tls;		/* what it began with; NULL: plain, or QUIC */
	struct ssl_st		*ssl;		/* NULL: plain, or @tls13 alone is left */
	struct front_tls13	*tls13;		/* NULL: OpenSSL goes on */
	struct buf		received;	/* of TLS, and not taken yet */
	struct front_early	*early;		/* requests before the handshake's end; or NULL */
	bool			early_asked;	/* whether there is early data is known */
	bool			challenge;	/* its handshake is all that is wanted, RFC 8737 */
	bool			redirects;	/* of a port that answers only with redirects */
	struct quic_connection	*quic;		/* NULL: TCP. It has no socket then. */
	const struct front_protocol *protocol;	/* NULL until the handshake is over */
	struct buf		in, out;
	bool			socket_readable;	/* the socket, as far as we know */
	bool			readable;	/* there may be bytes for the protocol */
	bool			writable, hangup, broken, closed;
	bool			asks_writable;	/* the loop says when the socket takes bytes again */
	struct up_client	client;
	char			client_text[ADDRESS_TEXT_MAX];
	union {
		struct front_http1_state http1;
		struct front_http2	*http2;	/* NULL: closed */
		struct front_http3	*http3;
	};
	bool			counted;	/* it has @client_slot of the limits */
	bool			shut;		/* lingering: our side is over */
	uint32_t		client_slot;
	uint32_t		lingered;	/* bytes thrown away since */
};

/* Takes @fd, which @listener accepted; closes it where that fails. */
void front_connection_open(struct front_listener *listener, int fd,
			   const struct sockaddr_storage *peer);
/*
 * For QUIC, whose connections share sockets: one with its client, and counted
 * once front_connection_begin() is called; before, slab_free() is enough.
 */
struct front_connection *front_connection_create(struct front_thread *thread,
						 const struct sockaddr_storage *peer);
void front_connection_begin(struct front_connection *connection);
/*
 * Whether the client may have one more, and have it now; counts what refuses. Then
 * it is counted until front_connection_close(), or front_connection_uncount().
 * @proven: it answers at its address.
 */
bool front_connection_allowed(struct front_connection *connection, bool proven);
void front_connection_uncount(struct front_connection *connection);
void front_connection_set_client(struct front_connection *connection,
				 const struct sockaddr_storage *peer);
/* Closes now, whatever waits; frees at the turn's end. */
void front_connection_close(struct front_connection *connection);
/* front/linger.c: writes what waits, then closes as soon as the client has read it. */
void front_connection_linger(struct front_connection *connection);
/* The same, and the client sees a reset: what it got was not all. */
void front_connection_reset(struct front_connection *connection);

/* Bytes into @bytes; 0 at the end; -EAGAIN; other errors: it is dead. */
ssize_t front_connection_read(struct front_connection *connection, void *bytes, size_t len);
/* Writes what it can of @out; errors set broken and post. */
void front_connection_flush(struct front_connection *connection);
/* Its socket has taken no more: it is writable again when the loop says so. */
void front_connection_blocked(struct front_connection *connection);
/* close_notify and FIN: our side is over. */
void front_connection_shutdown(struct front_connection *connection);

static inline bool front_connection_pending(const struct front_connection *connection)
{
	return !connection->broken && buf_len(&connection->out);
}

static inline void front_connection_post(struct front_connection *connection)
{
	loop_post(&connection->thread->loop, &connection->task);
}

/* front/listener.c */
int front_listener_start(struct front_listener *listener);
void front_listener_resume(struct front_thread *thread);
void front_listener_expired(struct loop_timer *timer, enum loop_timer_class class);
void front_listener_close(struct front_thread *thread);

/* ALPN: the protocol that a client's list asks for, or NULL. */
const struct front_protocol *front_protocol_find(const char *alpn, size_t len);
const struct front_protocol *front_protocol_at(unsigned int index);

#endif /* HOODY_FRONT_CONNECTION_H */
