/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading HTTP/2: header blocks, which are gathered in one bounded buffer and
 * decoded by block.c when they are complete, bodies, other frames.
 *
 * Body bytes go to the container at once. A client can send no more than its
 * window, and that is given back only as the container takes them.
 */
#include <errno.h>
#include <string.h>

#include "front/http2.h"

static struct front_http2_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- gathering a header block ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct front_connection *connection = user_data;
	struct front_http2 *http2 = connection->http2;
	struct front_http2_stream *stream;

	front_block_clear(connection->thread, &http2->head);
	http2->head_stream = frame->hd.stream_id;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = slab_alloc(&connection->thread->http2_streams);
	if (!stream)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	stream->id = frame->hd.stream_id;
	front_stream_setup(&stream->base, &http2->streams, connection);
	nghttp2_session_set_stream_user_data(session, stream->id, stream);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user_data)
{
	struct front_connection *connection = user_data;
	int err = front_block_add(connection->thread, &connection->http2->head,
				  (struct http_text){(const char *)name, name_len},
				  (struct http_text){(const char *)value, value_len});

	if (err != -EFBIG)
		return err ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
	front_count(connection->thread, http2_header_bombs);
	connection->http2->fault = NGHTTP2_ENHANCE_YOUR_CALM;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Not left out, as nghttp2 documents it: the whole request is malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
			     const uint8_t *name, size_t name_len, const uint8_t *value,
			     size_t value_len, uint8_t flags, void *user_data)
{
	struct front_connection *connection = user_data;

	connection->http2->head.malformed = true;
	return 0;
}

/* ---- to the exchange ---- */

static int take_request(struct front_connection *connection, struct front_http2_stream *stream,
			bool ended)
{
	uint32_t most = front_settings(connection->thread)->requests_per_connection_max;
	struct front_http2 *http2 = connection->http2;

	/* The clock of an idle connection starts anew after this. */
	loop_timer_stop(&connection->timer);
	front_count(connection->thread, http2_streams);
	if (most && ++http2->requests >= most)
		front_http2_shutdown(connection);
	front_stream_request(&stream->base, &http2->head, ended);
	return connection->closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
			 size_t len, void *user_data)
{
	struct front_http2_stream *stream = stream_of(session, id);

	/* Answered already: no more is asked for, and others need the room. */
	if (!stream || !stream->base.exchange) {
		nghttp2_session_consume_connection(session, len);
		return 0;
	}
	return front_stream_data(&stream->base, (const char *)data, len) ?
		       NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int take_ping(struct front_connection *connection, const nghttp2_frame *frame)
{
	struct front_http2 *http2 = connection->http2;

	if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
		return 0;
	/* A round trip after the notice: what was on its way has come (RFC 9113 6.8). */
	if (http2->draining)
		nghttp2_submit_goaway(http2->session, NGHTTP2_FLAG_NONE,
				      nghttp2_session_get_last_proc_stream_id(http2->session),
				      NGHTTP2_NO_ERROR, NULL, 0);
	return 0;
}

static int take_headers(nghttp2_session *session, struct front_connection *connection,
			const nghttp2_frame *frame)
{
	struct front_http2_stream *stream = stream_of(session, frame->hd.stream_id);
	bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	int err = 0;

	connection->http2->head_stream = 0;
	if (stream && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		err = take_request(connection, stream, ended);
	else if (stream)
		front_stream_trailers(&stream->base, &connection->http2->head);
	if (!connection->closed)
		front_block_clear(connection->thread, &connection->http2->head);
	return err;
}

/* Whether @frame does nothing for anybody. */
static bool is_idle_frame(const nghttp2_frame *frame)
{
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		return !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
		       frame->hd.length <= frame->data.padlen;
	case NGHTTP2_HEADERS:
	case NGHTTP2_WINDOW_UPDATE:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_GOAWAY:
		return false;
	default:
		return true;
	}
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct front_connection *connection = user_data;
	struct front_http2_stream *stream;

	if (is_idle_frame(frame) && !front_http2_count_control(connection))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		return take_headers(session, connection, frame);
	case NGHTTP2_DATA:
		stream = stream_of(session, frame->hd.stream_id);
		if (stream && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			front_stream_end(&stream->base, NULL);
		return 0;
	case NGHTTP2_SETTINGS:
		connection->http2->begun = true;
		return 0;
	case NGHTTP2_PING:
		return take_ping(connection, frame);
	case NGHTTP2_RST_STREAM:
		front_count(connection->thread, http2_resets);
		return front_http2_count_reset(connection) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
	default:
		return 0;
	}
}

/* nghttp2 refused it, and answers with a reset of the stream or the connection. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int err,
			    void *user_data)
{
	struct front_connection *connection = user_data;

	connection->http2->head_stream = 0;
	if (err == NGHTTP2_ERR_REFUSED_STREAM)
		front_count(connection->thread, http2_streams_refused);
	else
		front_count(connection->thread, http2_protocol_errors);
	return front_http2_count_reset(connection) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

void front_http2_request_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
}
