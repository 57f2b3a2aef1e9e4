/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading HTTP/3: header blocks, which are gathered stream by stream and decoded
 * by block.c when they are complete, and bodies.
 *
 * Body bytes go to the container at once. A client can send no more than its
 * window, and that is given back only as the container takes them.
 */
#include <errno.h>
#include <string.h>

#include "front/http3.h"

/* ---- gathering a header block ---- */

static int on_begin(nghttp3_conn *session, int64_t id, void *user_data, void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = front_http3_stream_find(connection->http3, id);

	if (!stream)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	front_block_clear(connection->thread, &stream->head);
	nghttp3_conn_set_stream_user_data(session, id, stream);
	return 0;
}

static struct http_text text_of(nghttp3_rcbuf *bytes)
{
	nghttp3_vec part = nghttp3_rcbuf_get_buf(bytes);

	return (struct http_text){(const char *)part.base, part.len};
}

static int on_field(nghttp3_conn *session, int64_t id, int32_t token, nghttp3_rcbuf *name,
		    nghttp3_rcbuf *value, uint8_t flags, void *user_data, void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;
	int err;

	if (!stream || stream->reset)
		return 0;
	err = front_block_add(connection->thread, &stream->head, text_of(name), text_of(value));
	if (!err)
		return 0;
	if (err == -EFBIG) {
		front_count(connection->thread, http3_header_bombs);
		quic_connection_fail(connection->http3->quic, NGHTTP3_H3_EXCESSIVE_LOAD);
	}
	return NGHTTP3_ERR_CALLBACK_FAILURE;
}

/* ---- to the exchange ---- */

static void flush(struct front_http3_stream *stream)
{
	if (!stream->exchange)
		return;
	exchange_request_flush(stream->exchange);
	if (!exchange_request_blocked(stream->exchange))
		front_http3_request_consume(stream);
	front_http3_stream_update_timer(stream, true);
}

/* @stream's exchange was given something. */
static void touch(struct front_http3_stream *stream)
{
	struct front_http3 *http3 = stream->connection->http3;

	if (http3->fed && http3->fed != stream)
		flush(http3->fed);
	http3->fed = stream;
}

void front_http3_request_flush(struct front_http3 *http3)
{
	struct front_http3_stream *stream = http3->fed;

	http3->fed = NULL;
	if (stream)
		flush(stream);
}

void front_http3_request_consume(struct front_http3_stream *stream)
{
	ngtcp2_conn *conn = stream->connection->http3->quic->conn;

	if (!stream->unconsumed)
		return;
	if (!stream->closed)
		ngtcp2_conn_extend_max_stream_offset(conn, stream->id, stream->unconsumed);
	ngtcp2_conn_extend_max_offset(conn, stream->unconsumed);
	stream->unconsumed = 0;
	front_connection_post(stream->connection);
}

/* Makes the gathered block a request in @head; 0, or why not. */
static int decode(struct front_http3_stream *stream, struct http_head *head, bool ended,
		  struct front_websocket *websocket)
{
	struct http_text protocol = {0};
	int err = front_block_request(stream->connection->thread, &stream->head, head, ended,
				      &protocol);

	if (err || !protocol.len)
		return err;
	err = front_websocket_begin(head, protocol, ended, stream->accept, websocket);
	stream->websocket = !err;
	return err;
}

static void take_request(struct front_connection *connection, struct front_http3_stream *stream,
			 bool ended)
{
	struct http_head *head = &connection->thread->request_head;
	uint32_t most = front_settings(connection->thread)->requests_per_connection_max;
	struct front_http3 *http3 = connection->http3;
	const struct front_block_fault *fault;
	struct front_websocket websocket;
	int err;

	front_count(connection->thread, http3_streams);
	loop_timer_stop(&stream->timer);
	stream->begun = true;
	stream->request_ended = ended;
	if (most && ++http3->requests >= most)
		front_http3_drain(connection);
	err = decode(stream, head, ended, &websocket);
	stream->to_head = head->method == HTTP_METHOD_HEAD;
	if (err) {
		fault = front_block_fault(connection->thread, err);
		front_http3_refuse(stream, fault->status, fault->code, fault->message);
		return;
	}
	head->tls = true;
	head->fields_max += FRONT_FIELDS_ADDED;
	stream->exchange = exchange_begin(connection, &front_http3_exchange, stream, head);
	head->fields_max -= FRONT_FIELDS_ADDED;
	if (connection->closed || !stream->exchange)
		return;
	http3->quic->asked |= ended;
	if (ended && head->framing == HTTP_BODY_LENGTH)
		exchange_request_end(stream->exchange, NULL);
	touch(stream);
}

static int on_end_head(nghttp3_conn *session, int64_t id, int ended, void *user_data,
		       void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	if (!stream || stream->reset)
		return 0;
	take_request(connection, stream, ended);
	if (connection->closed)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	front_block_clear(connection->thread, &stream->head);
	return 0;
}

static void end_request(struct front_http3_stream *stream, struct http_head *trailers)
{
	if (stream->request_ended)
		return;
	stream->request_ended = true;
	if (!stream->exchange || (stream->websocket && !stream->exchange->tunnel))
		return;
	exchange_request_end(stream->exchange, trailers);
	touch(stream);
}

static int on_end_trailers(nghttp3_conn *session, int64_t id, int ended, void *user_data,
			   void *stream_data)
{
	struct front_connection *connection = user_data;
	struct http_head *head = &connection->thread->request_head;
	struct front_http3_stream *stream = stream_data;
	int err;

	if (!stream || stream->reset)
		return 0;
	err = front_block_trailers(connection->thread, &stream->head, head);
	/* A tunnel has none (RFC 9114 4.4). */
	if (!err && !stream->websocket) {
		end_request(stream, head->fields_count ? head : NULL);
	} else {
		front_count(connection->thread, refused_malformed);
		front_http3_reset(stream, NGHTTP3_H3_MESSAGE_ERROR);
	}
	front_block_clear(connection->thread, &stream->head);
	return connection->closed ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

void front_http3_request_tunnel(struct front_http3_stream *stream)
{
	struct buf_pool *buffers = &stream->connection->thread->buffers;

	if (buf_len(&stream->early))
		exchange_request_data(stream->exchange, buf_head(&stream->early),
				      buf_len(&stream->early));
	buf_clear(buffers, &stream->early);
	if (stream->request_ended)
		exchange_request_end(stream->exchange, NULL);
	flush(stream);
}

static int on_body(nghttp3_conn *session, int64_t id, const uint8_t *data, size_t len,
		   void *user_data, void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	connection->http3->quic->fed = true;
	/* Answered already: no more is asked for, and others need the room. */
	if (!stream || stream->reset || !stream->exchange) {
		ngtcp2_conn_extend_max_offset(connection->http3->quic->conn, len);
		return 0;
	}
	stream->unconsumed += len;
	if (!stream->websocket || stream->exchange->tunnel) {
		exchange_request_data(stream->exchange, (const char *)data, len);
		touch(stream);
		return connection->closed ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
	}
	/* To an app that has not agreed to a tunnel it would be a request. */
	return buf_append(&connection->thread->buffers, &stream->early, data, len) ?
		       NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

static int on_end(nghttp3_conn *session, int64_t id, void *user_data, void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	if (stream && !stream->reset)
		end_request(stream, NULL);
	return connection->closed ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

void front_http3_request_callbacks(nghttp3_callbacks *callbacks)
{
	callbacks->begin_headers = on_begin;
	callbacks->recv_header = on_field;
	callbacks->end_headers = on_end_head;
	callbacks->begin_trailers = on_begin;
	callbacks->recv_trailer = on_field;
	callbacks->end_trailers = on_end_trailers;
	callbacks->recv_data = on_body;
	callbacks->end_stream = on_end;
}
