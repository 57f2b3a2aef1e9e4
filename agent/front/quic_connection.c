/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One QUIC connection: ngtcp2 with its TLS, and what it tells HTTP/3.
 *
 *	created -> handshake -> streams -> drained, or a fault -> CONNECTION_CLOSE -> closed
 *	   idle too long, or the client closed: closed without a word
 *
 * After CONNECTION_CLOSE nothing is kept: a client that missed it is answered by
 * a stateless reset (RFC 9000 10.2.1, 10.3).
 */
#include <errno.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

#include "front/http3.h"

/* Buffers of QUIC_BATCH_BYTES in a row, before others get their turn. */
#define WRITES_IN_A_ROW	8
#define PIECES_MAX	16
/* What a datagram to a client may have: Ethernet's, less IPv6 and UDP. */
#define DATAGRAM_MAX	1452
#define CLOSE_BYTES_MAX	1280

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

/* ---- what ngtcp2 tells ---- */

static int check(struct quic_connection *connection)
{
	return connection->front->closed || connection->failed ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_handshake(ngtcp2_conn *conn, void *user_data)
{
	struct quic_connection *connection = user_data;
	struct quic *quic = connection->quic;
	uint8_t token[NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN];
	const ngtcp2_path *path = ngtcp2_conn_get_path(conn);
	ngtcp2_ssize len;

	connection->handshaken = true;
	quic->handshakes--;
	front_count(quic->thread, tls_handshakes);
	/* With it the client need not show its address next time. */
	len = ngtcp2_crypto_generate_regular_token(token, quic->secret, sizeof(quic->secret),
						   path->remote.addr, path->remote.addrlen,
						   quic_now());
	if (len > 0)
		ngtcp2_conn_submit_new_token(conn, token, len);
	return 0;
}

static int on_send_key(ngtcp2_conn *conn, ngtcp2_encryption_level level, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (level != NGTCP2_ENCRYPTION_LEVEL_1RTT)
		return 0;
	return front_http3_begin(connection->front) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
		   const uint8_t *bytes, size_t len, void *user_data, void *stream_data)
{
	struct quic_connection *connection = user_data;

	if (check(connection) ||
	    front_http3_receive(connection->front, id, bytes, len,
				flags & NGTCP2_STREAM_DATA_FLAG_FIN))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return check(connection);
}

static int on_acknowledged(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t len,
			   void *user_data, void *stream_data)
{
	struct quic_connection *connection = user_data;
	nghttp3_conn *session = connection->front->closed ? NULL : connection->front->http3->session;

	return session && nghttp3_conn_add_ack_offset(session, id, len) ?
		       NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (ngtcp2_is_bidi_stream(id))
		front_http3_stream_opened(connection->front, id);
	return check(connection);
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code,
			   void *user_data, void *stream_data)
{
	struct quic_connection *connection = user_data;

	if (connection->front->closed)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	front_http3_stream_closed(connection->front, id,
				  flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET ?
					  code : NGHTTP3_H3_NO_ERROR);
	if (!ngtcp2_conn_is_local_stream(conn, id)) {
		if (ngtcp2_is_bidi_stream(id))
			ngtcp2_conn_extend_max_streams_bidi(conn, 1);
		else
			ngtcp2_conn_extend_max_streams_uni(conn, 1);
	}
	return check(connection);
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t size, uint64_t code,
			   void *user_data, void *stream_data)
{
	struct quic_connection *connection = user_data;

	if (connection->front->closed)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	front_http3_stream_cancelled(connection->front, id, false);
	return check(connection);
}

static int on_stop_sending(ngtcp2_conn *conn, int64_t id, uint64_t code, void *user_data,
			   void *stream_data)
{
	struct quic_connection *connection = user_data;

	if (connection->front->closed)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	/* By us: what came and was not looked at is not wanted either. */
	if (connection->front->http3->session)
		nghttp3_conn_shutdown_stream_read(connection->front->http3->session, id);
	return check(connection);
}

static int on_window(ngtcp2_conn *conn, int64_t id, uint64_t max, void *user_data,
		     void *stream_data)
{
	struct quic_connection *connection = user_data;
	nghttp3_conn *session = connection->front->closed ? NULL : connection->front->http3->session;

	return session && nghttp3_conn_unblock_stream(session, id) ?
		       NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_random(uint8_t *bytes, size_t len, const ngtcp2_rand_ctx *context)
{
	/* Not for secrets; without randomness OpenSSL has failed before. */
	if (RAND_bytes(bytes, len) != 1)
		memset(bytes, 0, len);
}

static int on_new_id(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len,
		     void *user_data)
{
	struct quic_connection *connection = user_data;
	struct quic *quic = connection->quic;

	if (len != QUIC_CID_LEN || RAND_bytes(cid->data, len) != 1)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	cid->datalen = len;
	quic_cid_set(cid->data, quic->socket);
	if (ngtcp2_crypto_generate_stateless_reset_token(token, quic->secret, sizeof(quic->secret),
							 cid) ||
	    quic_table_add(connection, cid))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_old_id(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user_data)
{
	quic_table_remove(user_data, cid);
	return 0;
}

/*
 * Only an address that has shown that it gets what we send is the client's:
 * packets can be sent from any.
 */
static int on_path(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
		   const ngtcp2_path *fallback, ngtcp2_path_validation_result result,
		   void *user_data)
{
	struct quic_connection *connection = user_data;

	if (result != NGTCP2_PATH_VALIDATION_RESULT_SUCCESS)
		return 0;
	memset(&connection->validated, 0, sizeof(connection->validated));
	memcpy(&connection->validated, path->remote.addr, path->remote.addrlen);
	connection->moved = true;
	return 0;
}

static const ngtcp2_callbacks callbacks = {
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
	.handshake_completed = on_handshake,
	.recv_tx_key = on_send_key,
	.recv_stream_data = on_data,
	.acked_stream_data_offset = on_acknowledged,
	.stream_open = on_stream_open,
	.stream_close = on_stream_close,
	.stream_reset = on_stream_reset,
	.stream_stop_sending = on_stop_sending,
	.extend_max_stream_data = on_window,
	.rand = on_random,
	.get_new_connection_id = on_new_id,
	.remove_connection_id = on_old_id,
	.path_validation = on_path,
};

/* ---- begin ---- */

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
	return ((struct quic_connection *)ref->user_data)->conn;
}

static int set_up_tls(struct quic_connection *connection)
{
	struct front_connection *front = connection->front;

	connection->ssl = front_tls_quic(front->thread->tls, &connection->ref);
	if (!connection->ssl || ngtcp2_crypto_ossl_ctx_new(&connection->tls_context, NULL))
		return -ENOMEM;
	ngtcp2_crypto_ossl_ctx_set_ssl(connection->tls_context, connection->ssl);
	if (ngtcp2_crypto_ossl_configure_server_session(connection->ssl))
		return -EPROTO;
	ngtcp2_conn_set_tls_native_handle(connection->conn, connection->tls_context);
	return 0;
}

static void set_parameters(struct quic_connection *connection, const struct quic_accept *accept,
			   const ngtcp2_cid *cid, ngtcp2_transport_params *params)
{
	const struct image_settings *settings = front_settings(connection->quic->thread);

	ngtcp2_transport_params_default(params);
	params->original_dcid = *accept->original;
	params->original_dcid_present = 1;
	if (accept->retry) {
		params->retry_scid = *accept->retry;
		params->retry_scid_present = 1;
	}
	params->initial_max_stream_data_bidi_remote = QUIC_STREAM_WINDOW;
	params->initial_max_stream_data_uni = QUIC_STREAM_WINDOW;
	params->initial_max_data = QUIC_WINDOW;
	params->initial_max_streams_bidi = QUIC_STREAMS_MAX;
	params->initial_max_streams_uni = QUIC_CONTROL_STREAMS;
	/* 0: never, as for a kept connection of TCP. */
	params->max_idle_timeout = settings->keepalive_timeout * NGTCP2_MILLISECONDS;
	params->active_connection_id_limit = 7;
	params->grease_quic_bit = 1;
	params->stateless_reset_token_present = 1;
	ngtcp2_crypto_generate_stateless_reset_token(params->stateless_reset_token,
						     connection->quic->secret,
						     sizeof(connection->quic->secret), cid);
}

static int set_up_conn(struct quic_connection *connection, const struct quic_accept *accept)
{
	const struct image_settings *limits = front_settings(connection->quic->thread);
	const ngtcp2_pkt_hd *head = accept->head;
	ngtcp2_cid cid = {.datalen = QUIC_CID_LEN};
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_path path;

	if (RAND_bytes(cid.data, QUIC_CID_LEN) != 1)
		return -EIO;
	quic_cid_set(cid.data, connection->quic->socket);
	ngtcp2_settings_default(&settings);
	settings.initial_ts = quic_now();
	settings.handshake_timeout = limits->handshake_timeout * NGTCP2_MILLISECONDS;
	settings.max_tx_udp_payload_size = DATAGRAM_MAX;
	settings.token = head->token;
	settings.tokenlen = head->tokenlen;
	settings.token_type = accept->token_type;
	set_parameters(connection, accept, &cid, &params);
	quic_path_set(accept->path, &path);
	if (ngtcp2_conn_server_new(&connection->conn, &head->scid, &cid, &path, head->version,
				   &callbacks, &settings, &params, NULL, connection))
		return -ENOMEM;
	/* By its own choice too, until it has learned ours. */
	return quic_table_add(connection, &cid) ? -ENOMEM :
						  quic_table_add(connection, &head->dcid);
}

struct quic_connection *quic_connection_create(struct quic *quic, const struct quic_accept *accept)
{
	struct quic_connection *connection = slab_alloc(&quic->connections);
	struct front_connection *front;

	if (!connection)
		return NULL;
	connection->quic = quic;
	connection->ref.get_conn = conn_of;
	connection->ref.user_data = connection;
	connection->heap_at = SIZE_MAX;
	connection->client_slot = accept->client_slot;
	list_setup(&connection->ids);
	list_setup(&connection->blocked);
	ngtcp2_ccerr_default(&connection->error);
	ngtcp2_ccerr_set_application_error(&connection->error, NGHTTP3_H3_NO_ERROR, NULL, 0);
	front = front_connection_create(quic->thread, &accept->path->remote);
	if (!front)
		goto err_free;
	connection->front = front;
	if (set_up_conn(connection, accept) || set_up_tls(connection) ||
	    front_http3_create(front, connection))
		goto err_clear;
	front->quic = connection;
	front->protocol = &front_http3;
	front_connection_begin(front);
	quic->handshakes++;
	front_count(quic->thread, quic_connections);
	front_count(quic->thread, quic_connections_open);
	return connection;

err_clear:
	quic_table_remove_all(connection);
	slab_free(&quic->thread->connections, front);
err_free:
	connection->silent = true;
	quic_connection_free(connection);
	return NULL;
}

/* ---- packets ---- */

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr *b)
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

/* Where the client is now, if that has been proved: everything follows it. */
static void follow(struct quic_connection *connection)
{
	const ngtcp2_path *path = ngtcp2_conn_get_path(connection->conn);
	struct front_connection *front = connection->front;
	struct address before = front->client.address;
	uint16_t port = front->client.port;

	connection->moved = false;
	if (!same_address(&connection->validated, path->remote.addr))
		return;
	front_connection_set_client(front, &connection->validated);
	if (front->client.port == port && address_equal(&front->client.address, &before))
		return;
	front_count(front->thread, quic_migrations);
	if (!address_equal(&front->client.address, &before))
		front_http3_moved(front);
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
	err = ngtcp2_conn_read_pkt(connection->conn, &path, &info, (const uint8_t *)bytes, len,
				   quic_now());
	connection->busy = false;
	if (connection->front->closed || !survive(connection, err))
		return;
	if (connection->moved)
		follow(connection);
	front_connection_post(connection->front);
}

/* The client wants no more of it; its container need not go on. */
static void stop_writing(struct quic_connection *connection, nghttp3_conn *session, int64_t id)
{
	nghttp3_conn_shutdown_stream_write(session, id);
	front_http3_stream_cancelled(connection->front, id, true);
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
		len = ngtcp2_conn_writev_stream(conn, path, info, dest, size, &taken, flags, id,
						(const ngtcp2_vec *)pieces, count, now);
		if (taken >= 0)
			nghttp3_conn_add_write_offset(session, id, taken);
		if (len == NGTCP2_ERR_WRITE_MORE)
			continue;
		if (len == NGTCP2_ERR_STREAM_DATA_BLOCKED)
			nghttp3_conn_block_stream(session, id);
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
