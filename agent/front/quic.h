/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QUIC (RFC 9000, 9001, 9002) towards clients, by ngtcp2: what its files share.
 *
 *	quic.c			sockets, what a thread has, begin and end
 *	quic_receive.c		datagrams in, and what belongs to no connection yet
 *	quic_send.c		datagrams out
 *	quic_create.c		one connection is made: ngtcp2, TLS, callbacks
 *	quic_connection.c	its packets, its time, its end
 *	quic_table.c		connection ids, deadlines, counts by client
 *
 * A client's connection is a struct front_connection without a socket, so that
 * exchanges need not know. Every thread has a socket of its own on each address
 * and all packets of a connection come to one thread (control/steer.h): nothing
 * is shared. ngtcp2 is entered from a socket, a deadline or the connection's
 * task, never from inside one of its callbacks.
 */
#ifndef HOODY_FRONT_QUIC_H
#define HOODY_FRONT_QUIC_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <time.h>

#include "front/bucket.h"
#include "front/connection.h"
#include "lib/quic_cid.h"

/* Streams of requests at once, as over HTTP/2; those for control, QPACK and grease. */
#define QUIC_STREAMS_MAX	128
#define QUIC_CONTROL_STREAMS	8
/* What a client may send before a container has taken it: of a stream, of all. */
#define QUIC_STREAM_WINDOW	(256 * 1024)
#define QUIC_WINDOW		(2 * 1024 * 1024)
/* One call to the kernel takes and gives at most this (UDP's own limit). */
#define QUIC_BATCH_BYTES	65536
#define QUIC_BATCH		8	/* such calls' worth in one recvmmsg(2) */
#define QUIC_SECRET_LEN		32

struct quic_connection;
struct quic_inbox;

/* A connection id that leads to its connection. */
struct quic_id {
	struct quic_id		*next;		/* in its bucket */
	struct list		node;		/* of its connection */
	struct quic_connection	*connection;
	ngtcp2_cid		cid;
};

struct quic_listener {
	struct loop_source	source;
	struct front_thread	*thread;
	struct sockaddr_storage	address;
	struct list		blocked;	/* connections that wait for room in the socket */
	bool			wants_room;	/* the loop is asked to say when there is */
	bool			segments;	/* the kernel cuts many datagrams of one buffer */
};

/* Of a thread. */
struct quic {
	struct front_thread	*thread;
	struct quic_listener	listeners[FRONT_LISTENERS_MAX];
	unsigned int		listeners_count;
	uint8_t			socket;		/* what our ids name */
	uint8_t			secret[QUIC_SECRET_LEN];
	uint64_t		hash_keys[4];
	struct quic_id		**ids;		/* buckets */
	struct quic_connection	**heap;		/* by deadline, the first at 0 */
	size_t			heap_count, heap_size;
	unsigned int		handshakes;	/* under way */
	uint16_t		*clients;	/* connections by hash of the client address */
	struct front_bucket	answers;	/* to what belongs to nothing */
	struct slab		connections, ids_slab, streams, chunks;
	size_t			held;		/* bytes of responses, not acknowledged */
	struct quic_inbox	*inbox;
	char			*output;
};

struct quic_path {
	struct sockaddr_storage	local, remote;
	socklen_t		local_len, remote_len;
};

struct quic_connection {
	struct front_connection	*front;
	struct quic		*quic;
	ngtcp2_conn		*conn;
	ngtcp2_crypto_conn_ref	ref;
	struct front_tls	*tls;		/* what it began with: OpenSSL asks it for tickets */
	ngtcp2_crypto_ossl_ctx	*tls_context;
	struct ssl_st		*ssl;
	ngtcp2_ccerr		error;		/* what it ends with */
	struct list		ids;
	size_t			heap_at;	/* SIZE_MAX: in none */
	uint64_t		deadline;	/* nanoseconds */
	uint64_t		drain_at;	/* the second step of a drain is due; 0: none */
	struct loop_task	heard;		/* a request has come, and nothing is to be said yet */
	uint64_t		hold;		/* until then nothing is said for that; 0: nothing held */
	uint64_t		streams_seen, streams_given;	/* of the client's, for requests */
	unsigned int		streams_kept;	/* are over, and not given back yet */
	struct list		blocked;	/* of a listener */
	struct buf		unsent;		/* datagrams that the socket did not take */
	size_t			unsent_segment;
	struct quic_path	unsent_path;
	uint8_t			unsent_ecn;
	struct sockaddr_storage	followed;	/* where the client is, as everything else has it */
	struct sockaddr_storage	unproved;	/* where it says it is; no family: nowhere else */
	uint32_t		client_slot;
	bool			busy;		/* inside ngtcp2 */
	bool			asked;		/* what was read is a request: its answer is to come */
	bool			fed;		/* what was read is a part of one */
	bool			limited;	/* wanted to say more than it might */
	bool			handshaken;
	bool			proven;		/* the client's address, by a token */
	bool			silent;		/* ends without a word */
	bool			failed;		/* ends at the next occasion */
};

static inline uint64_t quic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NGTCP2_SECONDS + now.tv_nsec;
}

/* quic.c: @secret as of struct ipc_listeners. 0 or a negative errno. */
int quic_create(struct front_thread *thread, uint8_t socket, const uint8_t *secret);
void quic_destroy(struct front_thread *thread);
/* Takes bound @fd. 0 or a negative errno. */
int quic_listen(struct front_thread *thread, int fd);
void quic_close(struct front_thread *thread);
/*
 * Asks the loop for what comes and, while a connection is blocked, for room. A socket
 * of UDP that is asked for room without need says so after every datagram that has left.
 */
void quic_listener_watch(struct quic_listener *listener);
/* What to send by where @local is a connection's address. */
struct quic_listener *quic_listener_of(struct quic *quic, const struct sockaddr_storage *local);
/* Once in a process, before it is sealed. 0 or -EIO. */
int quic_prepare(void);

/* quic_receive.c: room for what comes; freed by free(3). NULL: no memory. */
struct quic_inbox *quic_inbox_create(void);
void quic_receive(struct quic_listener *listener);

/*
 * quic_send.c: @len bytes, datagrams of @segment bytes each but the last. 0 (also
 * where they are lost), or -EAGAIN: the socket takes no more now.
 */
int quic_send(struct quic_listener *listener, const struct quic_path *path, uint8_t ecn,
	      const char *bytes, size_t len, size_t segment);

/* quic_create.c */
struct quic_accept {
	const ngtcp2_pkt_hd	*head;
	const struct quic_path	*path;
	const ngtcp2_cid	*original, *retry;	/* @retry: NULL where there was none */
	ngtcp2_token_type	token_type;
	uint32_t		client_slot;
	bool			proven;		/* the client has shown a token for its address */
};
struct quic_connection *quic_connection_create(struct quic *quic, const struct quic_accept *accept);

/* quic_connection.c */
void quic_connection_read(struct quic_connection *connection, const struct quic_path *from,
			  uint8_t ecn, const char *bytes, size_t len);
/* The task that struct quic_connection has for it. */
void quic_connection_heard(struct loop_task *task);
/* Sends what is due and sets the deadline. */
void quic_connection_write(struct quic_connection *connection);
void quic_connection_expired(struct quic_connection *connection, uint64_t now);
/* There is room in the socket again. */
void quic_connection_unblock(struct quic_connection *connection);
/* Ends it with a code of HTTP/3's; not at once where ngtcp2 is on the stack. */
void quic_connection_fail(struct quic_connection *connection, uint64_t code);
/* Of front/connection.c: it closes; its memory goes. */
void quic_connection_closed(struct quic_connection *connection);
void quic_connection_free(struct quic_connection *connection);
void quic_path_set(const struct quic_path *from, ngtcp2_path *to);
bool quic_same_address(const struct sockaddr_storage *a, const struct sockaddr *b);

/* quic_table.c */
int quic_table_create(struct quic *quic);
void quic_table_destroy(struct quic *quic);
struct quic_connection *quic_table_find(struct quic *quic, const uint8_t *id, size_t len);
int quic_table_add(struct quic_connection *connection, const ngtcp2_cid *cid);
void quic_table_remove(struct quic_connection *connection, const ngtcp2_cid *cid);
void quic_table_remove_all(struct quic_connection *connection);
/* 0 or -ENOMEM; UINT64_MAX: none. */
int quic_table_schedule(struct quic_connection *connection, uint64_t deadline);
void quic_table_run(struct loop *loop);
/* One more of this client; false where it has too many. */
bool quic_table_client_get(struct quic *quic, const struct sockaddr_storage *client,
			   uint32_t *slot);
void quic_table_client_put(struct quic *quic, uint32_t slot);

#endif /* HOODY_FRONT_QUIC_H */
