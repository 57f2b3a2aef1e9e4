/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/3 connection: its session with nghttp3, its streams, its end.
 *
 *	handshake -> SETTINGS -> streams come and go -> GOAWAY twice, the last one ends -> closed
 *	fault: CONNECTION_CLOSE with a code of RFC 9114 8.1
 *	client gone: QUIC's idle timeout
 *
 * nghttp3 is entered from ngtcp2's callbacks and from exchanges, and written from
 * by the connection's task alone (quic_connection_write()).
 */
#include "front/http3.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9204 3.2.3: of either direction, and requests that may wait for its entries. */
#define TABLE_BYTES		4096
#define TABLE_WAITERS		16
/*
 * As over HTTP/2: a browser that leaves a page cancels all its streams at once,
 * twice in a row at the worst.
 */
#define RESETS_BURST		(2 * QUIC_STREAMS_MAX)
#define RESETS_PER_SECOND	32
/* A client that has requests open is asked now and then whether it is there. */
#define ALIVE_INTERVAL		(15 * NGTCP2_SECONDS)

/* ---- streams ---- */

struct front_http3_stream *front_http3_stream_find(struct front_http3 *http3, int64_t id)
{
	return ngtcp2_conn_get_stream_user_data(http3->quic->conn, id);
}

void front_http3_keep_alive(struct front_http3 *http3)
{
	ngtcp2_conn_set_keep_alive_timeout(http3->quic->conn, list_empty(&http3->streams.all) ?
								      UINT64_MAX : ALIVE_INTERVAL);
}

void front_http3_stream_opened(struct front_connection *connection, int64_t id)
{
	struct front_http3 *http3 = connection->http3;
	struct front_http3_stream *stream = slab_alloc(&connection->thread->quic->streams);

	if (!stream) {
		quic_connection_fail(http3->quic, NGHTTP3_H3_INTERNAL_ERROR);
		return;
	}
	stream->id = id;
	list_setup(&stream->chunks);
	front_stream_setup(&stream->base, &http3->streams, connection);
	/* Until its head is complete. */
	loop_timer_start(&connection->thread->loop, &stream->base.timer, LOOP_TIMER_HEAD);
	ngtcp2_conn_set_stream_user_data(http3->quic->conn, id, stream);
	front_http3_keep_alive(http3);
}

static void count_cancel(struct front_connection *connection)
{
	struct front_http3 *http3 = connection->http3;

	front_count(connection->thread, http3_resets);
	if (front_bucket_take(&http3->resets, connection->thread->loop.now, RESETS_BURST,
			      RESETS_PER_SECOND))
		return;
	front_count(connection->thread, http3_reset_floods);
	quic_connection_fail(http3->quic, NGHTTP3_H3_EXCESSIVE_LOAD);
}

void front_http3_stream_closed(struct front_connection *connection, int64_t id, uint64_t code)
{
	struct front_http3 *http3 = connection->http3;
	struct front_http3_stream *stream = front_http3_stream_find(http3, id);
	int err = http3->session ? nghttp3_conn_close_stream(http3->session, id, code) : 0;

	if (err && err != NGHTTP3_ERR_STREAM_NOT_FOUND)
		quic_connection_fail(http3->quic, nghttp3_err_infer_quic_app_error_code(err));
	if (!stream)
		return;
	/* The client wanted no more, which ngtcp2 has answered by itself. */
	if (code != NGHTTP3_H3_NO_ERROR && !stream->reset)
		count_cancel(connection);
	/* What a container has not taken by now takes no room any more. */
	if (stream->base.unconsumed)
		ngtcp2_conn_extend_max_offset(http3->quic->conn, stream->base.unconsumed);
	stream->base.unconsumed = 0;
	front_streams_flush(&http3->streams);
	front_http3_chunks_free(stream);
	front_stream_finished(&stream->base, code == NGHTTP3_H3_NO_ERROR);
	front_streams_wake(&http3->streams);
}

void front_http3_reset(struct front_http3_stream *stream, uint64_t code)
{
	struct front_http3 *http3 = stream->base.connection->http3;
	struct exchange *exchange = stream->base.exchange;

	stream->base.exchange = NULL;
	if (exchange)
		exchange_abort(exchange);
	if (stream->base.closed) {
		front_http3_streams.free(&stream->base);
		return;
	}
	loop_timer_stop(&stream->base.timer);
	if (stream->reset)
		return;
	stream->reset = true;
	if (http3->session) {
		nghttp3_conn_shutdown_stream_write(http3->session, stream->id);
		nghttp3_conn_shutdown_stream_read(http3->session, stream->id);
	}
	ngtcp2_conn_shutdown_stream(http3->quic->conn, 0, stream->id, code);
	front_connection_post(stream->base.connection);
}

void front_http3_stream_cancelled(struct front_connection *connection, int64_t id, bool ours)
{
	struct front_http3 *http3 = connection->http3;
	struct front_http3_stream *stream = front_http3_stream_find(http3, id);

	if (!ours && http3->session)
		nghttp3_conn_shutdown_stream_read(http3->session, id);
	if (!stream || stream->reset)
		return;
	/* We have asked for it: the answer is complete, and still goes out. */
	if (!ours && stream->base.ended && !stream->base.exchange)
		return;
	count_cancel(connection);
	front_http3_reset(stream, NGHTTP3_H3_REQUEST_CANCELLED);
}

/* ---- callbacks of the session ---- */

static int on_stop_sending(nghttp3_conn *session, int64_t id, uint64_t code, void *user_data,
			   void *stream_data)
{
	struct front_connection *connection = user_data;

	/* nghttp3 has found the message malformed, or wants no more of it. */
	ngtcp2_conn_shutdown_stream_read(connection->http3->quic->conn, 0, id, code);
	return 0;
}

static int on_reset_stream(nghttp3_conn *session, int64_t id, uint64_t code, void *user_data,
			   void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = front_http3_stream_find(connection->http3, id);

	front_count(connection->thread, http3_protocol_errors);
	if (stream)
		front_http3_reset(stream, code);
	else
		ngtcp2_conn_shutdown_stream(connection->http3->quic->conn, 0, id, code);
	return 0;
}

static int on_deferred(nghttp3_conn *session, int64_t id, size_t len, void *user_data,
		       void *stream_data)
{
	struct front_connection *connection = user_data;

	ngtcp2_conn_extend_max_stream_offset(connection->http3->quic->conn, id, len);
	ngtcp2_conn_extend_max_offset(connection->http3->quic->conn, len);
	return 0;
}

static void on_random(uint8_t *bytes, size_t len)
{
	if (RAND_bytes(bytes, len) != 1)
		memset(bytes, 0, len);
}

/* ---- begin ---- */

int front_http3_create(struct front_connection *connection, struct quic_connection *quic)
{
	struct front_http3 *http3 = calloc(1, sizeof(*http3));

	if (!http3)
		return -ENOMEM;
	http3->quic = quic;
	front_streams_setup(&http3->streams, &front_http3_streams);
	connection->http3 = http3;
	return 0;
}

void front_http3_free(struct front_connection *connection)
{
	if (connection->http3)
		nghttp3_conn_del(connection->http3->session);
	free(connection->http3);
	connection->http3 = NULL;
}

static int bind_streams(struct front_http3 *http3)
{
	ngtcp2_conn *conn = http3->quic->conn;
	int64_t control, encoder, decoder;

	/* RFC 9114 6.2: the client has to allow these. */
	if (ngtcp2_conn_open_uni_stream(conn, &control, NULL) ||
	    ngtcp2_conn_open_uni_stream(conn, &encoder, NULL) ||
	    ngtcp2_conn_open_uni_stream(conn, &decoder, NULL))
		return -EPROTO;
	return nghttp3_conn_bind_control_stream(http3->session, control) ||
	       nghttp3_conn_bind_qpack_streams(http3->session, encoder, decoder) ? -ENOMEM : 0;
}

int front_http3_begin(struct front_connection *connection)
{
	struct front_http3 *http3 = connection->http3;
	nghttp3_callbacks callbacks = {
		.acked_stream_data = front_http3_acknowledged,
		.deferred_consume = on_deferred,
		.stop_sending = on_stop_sending,
		.reset_stream = on_reset_stream,
		.rand = on_random,
	};
	nghttp3_settings settings;

	front_http3_request_callbacks(&callbacks);
	nghttp3_settings_default(&settings);
	settings.max_field_section_size = front_settings(connection->thread)->head_bytes_max;
	settings.qpack_max_dtable_capacity = TABLE_BYTES;
	settings.qpack_encoder_max_dtable_capacity = TABLE_BYTES;
	settings.qpack_blocked_streams = TABLE_WAITERS;
	settings.enable_connect_protocol = 1;	/* RFC 9220 */
	if (nghttp3_conn_server_new(&http3->session, &callbacks, &settings, NULL, connection))
		return -ENOMEM;
	nghttp3_conn_set_max_client_streams_bidi(http3->session, QUIC_STREAMS_MAX);
	nghttp3_conn_set_max_concurrent_streams(http3->session,
						QUIC_STREAMS_MAX + QUIC_CONTROL_STREAMS);
	return bind_streams(http3);
}

/* ---- bytes ---- */

int front_http3_receive(struct front_connection *connection, int64_t id, const uint8_t *bytes,
			size_t len, bool ended)
{
	struct front_http3 *http3 = connection->http3;
	nghttp3_ssize used;

	if (!http3->session)
		return -EPROTO;
	used = nghttp3_conn_read_stream2(http3->session, id, bytes, len, ended, quic_now());
	if (connection->closed)
		return -ECONNRESET;
	if (used < 0) {
		if (!http3->quic->failed)
			front_count(connection->thread, http3_protocol_errors);
		quic_connection_fail(http3->quic, nghttp3_err_infer_quic_app_error_code(used));
		return -EPROTO;
	}
	/* All but what was given to a container: that is given back as it is taken. */
	ngtcp2_conn_extend_max_stream_offset(http3->quic->conn, id, used);
	ngtcp2_conn_extend_max_offset(http3->quic->conn, used);
	return 0;
}

/*
 * All is said, and the client has not confirmed it: it may be gone. It has until
 * LOOP_TIMER_LINGER, from its last sign of progress, when the thread drains.
 */
static bool only_unacknowledged(const struct front_http3 *http3)
{
	const struct front_stream *stream;

	list_for_each_entry(stream, &http3->streams.all, node) {
		if (stream->exchange || !stream->ended)
			return false;
	}
	return !http3->quic->drain_at;
}

static void run(struct front_connection *connection)
{
	struct front_http3 *http3 = connection->http3;

	if (connection->closed)
		return;
	if (connection->broken && !http3->quic->failed)
		quic_connection_fail(http3->quic, NGHTTP3_H3_INTERNAL_ERROR);
	if (http3->quic->failed) {
		front_connection_close(connection);
		return;
	}
	front_streams_flush(&http3->streams);
	quic_connection_write(http3->quic);
	if (connection->closed || !http3->draining)
		return;
	if (front_http3_drained(connection))
		front_connection_close(connection);
	else if (only_unacknowledged(http3))
		loop_timer_keep(&connection->thread->loop, &connection->timer, LOOP_TIMER_LINGER);
	else
		loop_timer_stop(&connection->timer);
}

/* ---- the end ---- */

void front_http3_drain(struct front_connection *connection)
{
	struct front_http3 *http3 = connection->http3;

	if (!http3->session || !http3->quic->handshaken) {
		/* Otherwise it drains as soon as it has shaken hands, see quic_create.c. */
		if (!connection->thread->replaced)
			front_connection_close(connection);
		return;
	}
	if (http3->draining)
		return;
	http3->draining = true;
	nghttp3_conn_submit_shutdown_notice(http3->session);
	/* A round trip or more: what was on its way has come then (RFC 9114 5.2). */
	http3->quic->drain_at = quic_now() + ngtcp2_conn_get_pto(http3->quic->conn);
	front_connection_post(connection);
}

void front_http3_shutdown(struct front_connection *connection)
{
	nghttp3_conn_shutdown(connection->http3->session);
	front_connection_post(connection);
}

bool front_http3_drained(const struct front_connection *connection)
{
	struct front_http3 *http3 = connection->http3;

	return http3->draining && !http3->quic->drain_at && list_empty(&http3->streams.all) &&
	       nghttp3_conn_is_drained(http3->session);
}

static void closed(struct front_connection *connection)
{
	struct front_http3 *http3 = connection->http3;

	front_streams_free(&http3->streams);
}

void front_http3_moved(struct front_connection *connection)
{
	struct front_stream *stream, *tmp;

	list_for_each_entry_safe(stream, tmp, &connection->http3->streams.all, node) {
		/* One that waits is asked with the address that holds then. */
		if (stream->exchange && !stream->exchange->wait &&
		    !authorize_client_allowed(stream->exchange))
			exchange_revoke(stream->exchange);
	}
}

static void no_timer(struct front_connection *connection, enum loop_timer_class class)
{
	/* Of a drain, see only_unacknowledged(). */
	front_connection_close(connection);
}

const struct front_protocol front_http3 = {
	.alpn = "h3",
	.run = run,
	.expired = no_timer,
	.drain = front_http3_drain,
	.closed = closed,
};
