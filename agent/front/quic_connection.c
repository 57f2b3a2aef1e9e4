/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One QUIC connection: packets in and out, time, the end. How it is made, and
 * what ngtcp2 tells of it, is quic_create.c.
 *
 *	created -> handshake -> streams -> drained, or a fault -> CONNECTION_CLOSE -> closed
 *	   idle too long, or the client closed: closed without a word
 *
 * After CONNECTION_CLOSE nothing is kept: a client that missed it is answered by
 * a stateless reset (RFC 9000 10.2.1, 10.3).
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>

#include "front/early.h"
#include "front/http3.h"

/* Buffers of QUIC_BATCH_BYTES in a row, before others get their turn. */
#define WRITES_IN_A_ROW	8
#define PIECES_MAX	16
#define CLOSE_BYTES_MAX	1280
/*
 * What is said to a request is its answer, and the acknowledgement rides with it: one
 * datagram instead of two, and the client's own acknowledgement of one. An answer that
 * takes longer is not waited for: far less than the 25 ms that a client allows for
 * (RFC 9000 13.2.1, 18.2), and what it measures does not count them (ACK Delay).
 */
#define HOLD		NGTCP2_MILLISECONDS

void quic_path_set(const struct quic_path *from, ngtcp2_path *to)
{
	to->local.addr = (struct sockaddr *)&from->local;
	to->local.addrlen = from->local_len;
	to->remote.addr = (struct sockaddr *)&from->remote;
	to->remote.addrlen = from->remote_len;
	to->user_data = NULL;
}

/* ---- the end ---- */

void quic_connection_fail(struct quic_connection *connection, uint64_t code)
{
	if (connection->failed)
		return;
	connection->failed = true;
	ngtcp2_ccerr_set_application_error(&connection->error, code, NULL, 0);
	front_connection_post(connection->front);
}

/* Says why it ends, once and as well as it can. */
static void write_close(struct quic_connection *connection)
{
	struct quic_listener *listener;
	uint8_t bytes[CLOSE_BYTES_MAX];
	struct quic_path path;
	ngtcp2_path_storage storage;
	ngtcp2_pkt_info info;
	ngtcp2_ssize len;

	if (connection->silent || ngtcp2_conn_in_closing_period(connection->conn) ||
	    ngtcp2_conn_in_draining_period(connection->conn))
		return;
	connection->silent = true;
	ngtcp2_path_storage_zero(&storage);
	len = ngtcp2_conn_write_connection_close(connection->conn, &storage.path, &info, bytes,
						 sizeof(bytes), &connection->error, quic_now());
	if (len <= 0)
		return;
	memset(&path, 0, sizeof(path));
	memcpy(&path.local, storage.path.local.addr, storage.path.local.addrlen);
	memcpy(&path.remote, storage.path.remote.addr, storage.path.remote.addrlen);
	path.local_len = storage.path.local.addrlen;
	path.remote_len = storage.path.remote.addrlen;
	listener = quic_listener_of(connection->quic, &path.local);
	if (listener)
		quic_send(listener, &path, info.ecn, (const char *)bytes, len, len);
}

void quic_connection_closed(struct quic_connection *connection)
{
	struct quic *quic = connection->quic;

	if (!connection->busy)
		write_close(connection);
	if (!connection->handshaken)
		quic->handshakes--;
	front_uncount(quic->thread, quic_connections_open);
	quic_table_schedule(connection, UINT64_MAX);
	quic_table_remove_all(connection);
	quic_table_client_put(quic, connection->client_slot);
	list_del(&connection->blocked);
	list_del(&connection->heard.node);
	buf_clear(&quic->thread->buffers, &connection->unsent);
}

void quic_connection_free(struct quic_connection *connection)
{
	if (connection->conn)
		write_close(connection);
	/* ngtcp2 is asked by OpenSSL to the last: not through a connection that is gone. */
	if (connection->ssl)
		SSL_set_app_data(connection->ssl, NULL);
	ngtcp2_conn_del(connection->conn);
	SSL_free(connection->ssl);
	ngtcp2_crypto_ossl_ctx_del(connection->tls_context);
	front_tls_put(connection->tls);
	slab_free(&connection->quic->connections, connection);
}

/* What @err, from ngtcp2, means; false where the connection is over. */
static bool survive(struct quic_connection *connection, int err)
{
	struct front_thread *thread = connection->quic->thread;

	switch (err) {
	case 0:
		return true;
	case NGTCP2_ERR_DRAINING:
	case NGTCP2_ERR_CLOSING:
	case NGTCP2_ERR_IDLE_CLOSE:
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		connection->silent = true;
		break;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		front_count(thread, timeouts_client);
		connection->silent = true;
		break;
	case NGTCP2_ERR_CRYPTO:
		front_count(thread, tls_handshakes_failed);
		ngtcp2_ccerr_set_tls_alert(&connection->error,
					   ngtcp2_conn_get_tls_alert(connection->conn), NULL, 0);
		break;
	default:
		front_count(thread, quic_errors);
		/* A callback has said better what it was. */
		if (!connection->failed)
			ngtcp2_ccerr_set_liberr(&connection->error, err, NULL, 0);
		break;
	}
	front_connection_close(connection->front);
	return false;
}

/* ---- packets ---- */

bool quic_same_address(const struct sockaddr_storage *a, const struct sockaddr *b)
{
	if (a->ss_family != b->sa_family)
		return false;
	if (b->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_port ==
			       ((const struct sockaddr_in *)b)->sin_port &&
		       ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
			       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return ((const struct sockaddr_in6 *)a)->sin6_port ==
		       ((const struct sockaddr_in6 *)b)->sin6_port &&
	       IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
				  &((const struct sockaddr_in6 *)b)->sin6_addr);
}

/*
 * Where the client is now, if that has been proved: everything follows it. An address
 * that was proved of late ngtcp2 does not ask to prove itself again.
 */
static void follow(struct quic_connection *connection)
{
	const ngtcp2_path *path = ngtcp2_conn_get_path(connection->conn);
	struct front_connection *front = connection->front;
	struct address before = front->client.address;

	if (quic_same_address(&connection->followed, path->remote.addr) ||
	    quic_same_address(&connection->unproved, path->remote.addr))
		return;
	memset(&connection->followed, 0, sizeof(connection->followed));
	memcpy(&connection->followed, path->remote.addr, path->remote.addrlen);
	front_connection_set_client(front, &connection->followed);
	front_count(front->thread, quic_migrations);
	if (!address_equal(&front->client.address, &before))
		front_http3_moved(front);
}

/*
 * A request that is complete has been read, or what came since adds nothing that should
 * be answered sooner: it gave no room where there was none, and is no part of an upload,
 * whose client goes by acknowledgements.
 */
static bool may_hold(const struct quic_connection *connection)
{
	return connection->handshaken && !connection->limited && !connection->fed &&
	       (connection->asked || connection->hold || !list_empty(&connection->heard.node));
}

void quic_connection_read(struct quic_connection *connection, const struct quic_path *from,
			  uint8_t ecn, const char *bytes, size_t len)
{
	ngtcp2_pkt_info info = {.ecn = ecn};
	ngtcp2_path path;
	int err;

	if (connection->front->closed)
		return;
	quic_path_set(from, &path);
	connection->busy = true;
	connection->asked = connection->fed = false;
	err = ngtcp2_conn_read_pkt(connection->conn, &path, &info, (const uint8_t *)bytes, len,
				   quic_now());
	connection->busy = false;
	if (connection->front->closed || !survive(connection, err))
		return;
	if (connection->handshaken) {
		follow(connection);
		front_early_over(connection->front);
	}
	if (connection->front->closed)
		return;
	if (may_hold(connection))
		loop_post(&connection->front->thread->loop, &connection->heard);
	else
		front_connection_post(connection->front);
}

/*
 * Requests have come that go to containers now. Nothing is said before there is an
 * answer (which posts the connection's task) or HOLD is over.
 */
void quic_connection_heard(struct loop_task *task)
{
	struct quic_connection *connection = container_of(task, struct quic_connection, heard);
	uint64_t due;

	front_streams_flush(&connection->front->http3->streams);
	if (connection->front->closed)
		return;
	if (!connection->hold)
		connection->hold = quic_now() + HOLD;
	due = connection->hold;
	/* What was due before remains so: a packet that is paced, or was lost. */
	if (connection->heap_at != SIZE_MAX && connection->deadline < due)
		due = connection->deadline;
	if (quic_table_schedule(connection, due))
		front_connection_close(connection->front);
}

/* The client wants no more of it; its container need not go on. */
static void stop_writing(struct quic_connection *connection, nghttp3_conn *session, int64_t id)
{
	nghttp3_conn_shutdown_stream_write(session, id);
	front_http3_stream_cancelled(connection->front, id, true);
}

static void stop_for_window(struct quic_connection *connection, nghttp3_conn *session, int64_t id)
{
	struct front_http3_stream *stream = front_http3_stream_find(connection->front->http3, id);

	if (stream)
		stream->no_window = true;
	nghttp3_conn_block_stream(session, id);
}

/* One packet into @dest: what HTTP/3 has to say, in its order of priority. */
static ngtcp2_ssize fill_packet(ngtcp2_conn *conn, ngtcp2_path *path, ngtcp2_pkt_info *info,
				uint8_t *dest, size_t size, ngtcp2_tstamp now, void *user_data)
{
	struct quic_connection *connection = user_data;
	nghttp3_conn *session = connection->front->http3->session;
	nghttp3_vec pieces[PIECES_MAX];

	for (;;) {
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
		nghttp3_ssize count = 0;
		ngtcp2_ssize taken = -1, len;
		int64_t id = -1;
		int ended = 0;

		if (session && ngtcp2_conn_get_max_data_left(conn)) {
			count = nghttp3_conn_writev_stream(session, &id, &ended, pieces, PIECES_MAX);
			if (count < 0) {
				quic_connection_fail(connection,
						     nghttp3_err_infer_quic_app_error_code(count));
				return NGTCP2_ERR_CALLBACK_FAILURE;
			}
		}
		if (ended)
			flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		/*
		 * A packet that ends here is full: to the byte, so that it and the next
		 * are one train for the kernel. The last one is not, see below.
		 */
		if (id >= 0)
			flags |= NGTCP2_WRITE_STREAM_FLAG_PADDING;
		len = ngtcp2_conn_writev_stream(conn, path, info, dest, size, &taken, flags, id,
						(const ngtcp2_vec *)pieces, count, now);
		if (taken >= 0)
			nghttp3_conn_add_write_offset(session, id, taken);
		if (len == NGTCP2_ERR_WRITE_MORE)
			continue;
		if (len == NGTCP2_ERR_STREAM_DATA_BLOCKED)
			stop_for_window(connection, session, id);
		else if (len == NGTCP2_ERR_STREAM_NOT_FOUND)
			nghttp3_conn_shutdown_stream_write(session, id);
		else if (len == NGTCP2_ERR_STREAM_SHUT_WR)
			stop_writing(connection, session, id);
		else
			return len;
	}
}

static void keep_unsent(struct quic_connection *connection, struct quic_listener *listener,
			const struct quic_path *path, uint8_t ecn, size_t len, size_t segment)
{
	struct quic *quic = connection->quic;

	/* Without memory they are lost, as on the way. */
	if (buf_append(&quic->thread->buffers, &connection->unsent, quic->output, len))
		return;
	connection->unsent_segment = segment;
	connection->unsent_path = *path;
	connection->unsent_ecn = ecn;
	list_add_tail(&connection->blocked, &listener->blocked);
	quic_listener_watch(listener);
}

/* One call's worth. True where there may be more. */
static bool write_batch(struct quic_connection *connection)
{
	struct quic *quic = connection->quic;
	struct quic_listener *listener;
	ngtcp2_path_storage storage;
	ngtcp2_pkt_info info = {0};
	struct quic_path path;
	size_t segment = 0;
	ngtcp2_ssize len;

	ngtcp2_path_storage_zero(&storage);
	connection->busy = true;
	len = ngtcp2_conn_write_aggregate_pkt(connection->conn, &storage.path, &info,
					      (uint8_t *)quic->output, QUIC_BATCH_BYTES, &segment,
					      fill_packet, quic_now());
	connection->busy = false;
	if (connection->front->closed || (len < 0 && !survive(connection, len)) || !len)
		return false;
	memset(&path, 0, sizeof(path));
	memcpy(&path.local, storage.path.local.addr, storage.path.local.addrlen);
	memcpy(&path.remote, storage.path.remote.addr, storage.path.remote.addrlen);
	path.local_len = storage.path.local.addrlen;
	path.remote_len = storage.path.remote.addrlen;
	listener = quic_listener_of(quic, &path.local);
	if (!listener)
		return true;
	if (quic_send(listener, &path, info.ecn, quic->output, len, segment) != -EAGAIN)
		return true;
	keep_unsent(connection, listener, &path, info.ecn, len, segment);
	return false;
}

void quic_connection_write(struct quic_connection *connection)
{
	struct front_connection *front = connection->front;
	bool more = list_empty(&connection->blocked);
	uint64_t due;
	int writes;

	for (writes = 0; more && writes < WRITES_IN_A_ROW; writes++)
		more = write_batch(connection);
	if (front->closed)
		return;
	connection->hold = 0;
	connection->limited = !ngtcp2_conn_get_cwnd_left(connection->conn) ||
			      !ngtcp2_conn_get_max_data_left(connection->conn);
	if (more)
		front_connection_post(front);
	/* While the socket is full there is nothing to be early for. */
	due = list_empty(&connection->blocked) ? ngtcp2_conn_get_expiry(connection->conn) :
						 UINT64_MAX;
	if (connection->drain_at && connection->drain_at < due)
		due = connection->drain_at;
	if (quic_table_schedule(connection, due))
		front_connection_close(front);
}

void quic_connection_unblock(struct quic_connection *connection)
{
	struct quic_listener *listener = quic_listener_of(connection->quic,
							  &connection->unsent_path.local);
	struct buf_pool *buffers = &connection->quic->thread->buffers;

	if (listener && buf_len(&connection->unsent) &&
	    quic_send(listener, &connection->unsent_path, connection->unsent_ecn,
		      buf_head(&connection->unsent), buf_len(&connection->unsent),
		      connection->unsent_segment) == -EAGAIN) {
		list_add_tail(&connection->blocked, &listener->blocked);
		quic_listener_watch(listener);
		return;
	}
	buf_clear(buffers, &connection->unsent);
	front_connection_post(connection->front);
}

void quic_connection_expired(struct quic_connection *connection, uint64_t now)
{
	int err;

	if (connection->drain_at && connection->drain_at <= now) {
		connection->drain_at = 0;
		front_http3_shutdown(connection->front);
	}
	if (ngtcp2_conn_get_expiry(connection->conn) <= now) {
		connection->busy = true;
		err = ngtcp2_conn_handle_expiry(connection->conn, now);
		connection->busy = false;
		if (connection->front->closed || !survive(connection, err))
			return;
	}
	front_connection_post(connection->front);
}
