/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QUIC connection is made: ngtcp2 with its TLS, and the callbacks by which it
 * tells HTTP/3 what has come. Inside one of them ngtcp2 is on the stack: what ends
 * the connection there says so by its return value, or fails it and posts.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

#include "front/early.h"
#include "front/http3.h"

/* What a datagram to a client may have: Ethernet's, less IPv6 and UDP. */
#define DATAGRAM_MAX	1452
/* Of the client's connection ids: what it may give us, and what there is room for (8 at most). */
#define IDS_OFFERED	6
#define IDS_KEPT	8

/* ---- what ngtcp2 tells ---- */

static int check(struct quic_connection *connection)
{
	return connection->front->closed || connection->failed ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

/*
 * A client that moves while the address before is still being validated makes ngtcp2
 * (1.22) retire an id that both share, and count it for as long as the validation
 * lasts: up to two ids more than the client has given since, and each that it gives in
 * place of one would be one too many. What was announced stays; what is counted up to
 * has room for those two. There is no call for that, only for the parameters as such.
 */
static void keep_more_ids(ngtcp2_conn *conn)
{
	ngtcp2_transport_params *own =
		(ngtcp2_transport_params *)ngtcp2_conn_get_local_transport_params(conn);

	own->active_connection_id_limit = IDS_KEPT;
}

static int on_handshake(ngtcp2_conn *conn, void *user_data)
{
	struct quic_connection *connection = user_data;
	struct quic *quic = connection->quic;
	uint8_t token[NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN];
	const ngtcp2_path *path = ngtcp2_conn_get_path(conn);
	ngtcp2_ssize len;

	connection->handshaken = true;
	keep_more_ids(conn);
	quic->handshakes--;
	front_count(quic->thread, tls_handshakes);
	/* With it the client need not show its address next time. */
	len = ngtcp2_crypto_generate_regular_token(token, quic->secret, sizeof(quic->secret),
						   path->remote.addr, path->remote.addrlen,
						   quic_now());
	if (len > 0)
		ngtcp2_conn_submit_new_token(conn, token, len);
	if (quic->thread->draining)
		front_http3_drain(connection->front);
	return 0;
}

static int on_send_key(ngtcp2_conn *conn, ngtcp2_encryption_level level, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (level != NGTCP2_ENCRYPTION_LEVEL_1RTT)
		return 0;
	front_early_count(connection->ssl, connection->quic->thread);
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

/*
 * Streams that are over give room for as many new ones: told in a packet that the
 * client has to acknowledge, so not one by one. It can always open half of
 * QUIC_STREAMS_MAX without being told, and gets all of them back where it could not.
 */
static void give_streams(struct quic_connection *connection)
{
	uint64_t most = QUIC_STREAMS_MAX + connection->streams_given;

	if (!connection->streams_kept || most - connection->streams_seen > QUIC_STREAMS_MAX / 2)
		return;
	ngtcp2_conn_extend_max_streams_bidi(connection->conn, connection->streams_kept);
	connection->streams_given += connection->streams_kept;
	connection->streams_kept = 0;
}

/* nghttp3 has to know which streams a client may speak of, as with PRIORITY_UPDATE (RFC 9218 7.2). */
static int on_streams_given(ngtcp2_conn *conn, uint64_t max, void *user_data)
{
	struct quic_connection *connection = user_data;
	nghttp3_conn *session = connection->front->closed ? NULL : connection->front->http3->session;

	if (session)
		nghttp3_conn_set_max_client_streams_bidi(session, max);
	return 0;
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (ngtcp2_is_bidi_stream(id)) {
		front_http3_stream_opened(connection->front, id);
		if (connection->streams_seen <= (uint64_t)id / 4)
			connection->streams_seen = id / 4 + 1;
		give_streams(connection);
	}
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
		if (ngtcp2_is_bidi_stream(id)) {
			connection->streams_kept++;
			give_streams(connection);
		} else {
			ngtcp2_conn_extend_max_streams_uni(conn, 1);
		}
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

	struct front_http3_stream *stream = stream_data;

	/* A client tells its window of every stream: only one that waited has more to say. */
	if (!stream || stream->no_window)
		front_connection_post(connection->front);
	if (stream)
		stream->no_window = false;
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

static void copy_remote(struct sockaddr_storage *to, const ngtcp2_path *path)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, path->remote.addr, path->remote.addrlen);
}

/*
 * The client has moved to where it was not of late: packets can be sent from any
 * address, and only one that has shown that it gets what we send is the client's.
 * (Without a fallback it is the address before that is looked after.)
 */
static int on_unproved_path(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
			    const ngtcp2_path *fallback, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (fallback)
		copy_remote(&connection->unproved, path);
	return 0;
}

static int on_path(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path,
		   const ngtcp2_path *fallback, ngtcp2_path_validation_result result,
		   void *user_data)
{
	struct quic_connection *connection = user_data;

	if (result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS &&
	    quic_same_address(&connection->unproved, path->remote.addr))
		connection->unproved.ss_family = AF_UNSPEC;
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
	.extend_max_remote_streams_bidi = on_streams_given,
	.rand = on_random,
	.get_new_connection_id = on_new_id,
	.remove_connection_id = on_old_id,
	.begin_path_validation = on_unproved_path,
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

	connection->tls = front_tls_get(front->thread->tls);
	connection->ssl = front_tls_quic(connection->tls, &connection->ref);
	if (!connection->ssl || ngtcp2_crypto_ossl_ctx_new(&connection->tls_context, NULL))
		return -ENOMEM;
	ngtcp2_crypto_ossl_ctx_set_ssl(connection->tls_context, connection->ssl);
	if (ngtcp2_crypto_ossl_configure_server_session(connection->ssl))
		return -EPROTO;
	front_early_offer(connection->ssl, front->thread);
	/* How much that is are its transport parameters to say (RFC 9001 4.6.1). */
	if (front_early_offered(connection->ssl) &&
	    SSL_set_quic_tls_early_data_enabled(connection->ssl, 1) != 1)
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
	params->active_connection_id_limit = IDS_OFFERED;
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
	connection->proven = accept->proven;
	list_setup(&connection->ids);
	list_setup(&connection->blocked);
	loop_task_setup(&connection->heard, quic_connection_heard);
	ngtcp2_ccerr_default(&connection->error);
	ngtcp2_ccerr_set_application_error(&connection->error, NGHTTP3_H3_NO_ERROR, NULL, 0);
	front = front_connection_create(quic->thread, &accept->path->remote);
	if (!front)
		goto err_free;
	connection->front = front;
	connection->followed = accept->path->remote;
	if (!front_connection_allowed(front, accept->proven))
		goto err_clear;
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
	front_connection_uncount(front);
	quic_table_remove_all(connection);
	slab_free(&quic->thread->connections, front);
err_free:
	connection->silent = true;
	quic_connection_free(connection);
	return NULL;
}
