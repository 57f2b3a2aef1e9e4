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

static void take_request(struct front_connection *connection, struct front_http3_stream *stream,
			 bool ended)
{
	uint32_t most = front_settings(connection->thread)->requests_per_connection_max;
	struct front_http3 *http3 = connection->http3;

	front_count(connection->thread, http3_streams);
	loop_timer_stop(&stream->base.timer);
	if (most && ++http3->requests >= most)
		front_http3_drain(connection);
	front_stream_request(&stream->base, &stream->head, ended);
	if (!connection->closed && stream->base.exchange)
		http3->quic->asked |= ended;
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

static int on_end_trailers(nghttp3_conn *session, int64_t id, int ended, void *user_data,
			   void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	if (!stream || stream->reset)
		return 0;
	front_stream_trailers(&stream->base, &stream->head);
	front_block_clear(connection->thread, &stream->head);
	return connection->closed ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

static int on_body(nghttp3_conn *session, int64_t id, const uint8_t *data, size_t len,
		   void *user_data, void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	connection->http3->quic->fed = true;
	/* Answered already: no more is asked for, and others need the room. */
	if (!stream || stream->reset || !stream->base.exchange) {
		ngtcp2_conn_extend_max_offset(connection->http3->quic->conn, len);
		return 0;
	}
	return front_stream_data(&stream->base, (const char *)data, len) || connection->closed ?
		       NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

static int on_end(nghttp3_conn *session, int64_t id, void *user_data, void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	if (stream && !stream->reset)
		front_stream_end(&stream->base, NULL);
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
