/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading HTTP/2 responses of apps. nghttp2 checks what RFC 9113 8 asks; bounds
 * are the ones that hold for HTTP/1. A response that is wrong ends its stream, and
 * the others go on.
 */
#include "upstream/http2.h"

#include <string.h>

#include "lib/record.h"

/* RFC 9113 6.5.2: what a field counts beyond its bytes. */
#define FIELD_OVERHEAD	32

static struct up_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- heads ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct up_connection *connection = user_data;

	buf_clear(connection->context->buffers, &connection->http2->block);
	connection->http2->block_bytes = 0;
	connection->http2->block_bad = false;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user_data)
{
	struct up_connection *connection = user_data;
	struct up_context *context = connection->context;
	struct up_http2 *http2 = connection->http2;

	http2->block_bytes += name_len + value_len + FIELD_OVERHEAD;
	/* The rest is read for the table of the connection, and not kept. */
	if (http2->block_bytes > image_header(context->image)->settings.head_bytes_max ||
	    record_add(context->buffers, &http2->block,
		       (struct http_text){(const char *)name, name_len},
		       (struct http_text){(const char *)value, value_len}))
		http2->block_bad = true;
	return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
			     const uint8_t *name, size_t name_len, const uint8_t *value,
			     size_t value_len, uint8_t flags, void *user_data)
{
	struct up_connection *connection = user_data;

	connection->http2->block_bad = true;
	return 0;
}

static unsigned int number_of(struct http_text text)
{
	unsigned int number = 0;

	/* nghttp2 has seen to it that there are three digits. */
	for (size_t i = 0; i < text.len && i < 3; i++)
		number = number * 10 + (text.data[i] - '0');
	return number;
}

static uint64_t length_of(struct http_text text)
{
	uint64_t length = 0;

	/* And to this being a number of 63 bits, which the body keeps to. */
	for (size_t i = 0; i < text.len; i++)
		length = length * 10 + (text.data[i] - '0');
	return length;
}

/* The gathered block; false where it is no head that may be passed on. */
static bool decode(struct up_connection *connection, struct http_head *head)
{
	struct up_http2 *http2 = connection->http2;
	struct http_field *fields = head->fields;
	unsigned int fields_max = head->fields_max;
	struct http_text name, value;
	const char *at, *end;

	memset(head, 0, sizeof(*head));
	head->fields = fields;
	head->fields_max = fields_max;
	head->minor = 1;
	head->persistent = true;
	if (http2->block_bad)
		return false;
	if (!buf_len(&http2->block))
		return true;
	for (at = buf_head(&http2->block), end = buf_tail(&http2->block); at < end;) {
		record_next(&at, &name, &value);
		if (name.data[0] == ':') {
			head->status = number_of(value);
			continue;
		}
		if (!http_is_token(name) || !http_is_field_value(value) ||
		    !http_head_add(head, name, value))
			return false;
		head->fields[head->fields_count - 1].id = http_field_classify(name);
		if (http_text_equal(name, HTTP_TEXT("content-length"))) {
			head->has_length = true;
			head->length = length_of(value);
		}
	}
	return true;
}

static void mark_fed(struct up_stream *stream)
{
	if (stream->request && list_empty(&stream->fed))
		list_add_tail(&stream->fed, &stream->connection->http2->fed);
}

/* The response is complete. */
static void finish(struct up_stream *stream, struct http_head *trailers)
{
	struct up_request *request = up_stream_finish(stream);

	if (request)
		request->operations->end(request, trailers);
}

static void refuse(struct up_stream *stream)
{
	nghttp2_submit_rst_stream(stream->connection->http2->session, NGHTTP2_FLAG_NONE,
				  stream->id, NGHTTP2_PROTOCOL_ERROR);
	up_stream_fail(stream, UP_MALFORMED, false);
}

static void take_interim(struct up_stream *stream, struct http_head *head)
{
	if (++stream->interims > UP_INTERIM_MAX) {
		refuse(stream);
		return;
	}
	stream->request->operations->interim(stream->request, head);
	/* A sign of life: it gets its time again. */
	loop_timer_stop(&stream->timer);
	mark_fed(stream);
}

static void take_final(struct up_stream *stream, struct http_head *head, bool ended)
{
	if (ended || stream->request->to_head || head->status == 204 || head->status == 304)
		head->framing = HTTP_BODY_NONE;
	else
		head->framing = head->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_STREAM;
	stream->headed = true;
	stream->request->operations->head(stream->request, head);
	if (ended)
		finish(stream, NULL);
	mark_fed(stream);
}

static void take_headers(struct up_connection *connection, struct up_stream *stream, bool ended)
{
	struct http_head *head = connection->context->head;

	if (!stream || !stream->request)
		return;
	stream->answered = true;
	/* It is not sent again any more. */
	buf_clear(connection->context->buffers, &stream->head);
	if (!decode(connection, head))
		refuse(stream);
	else if (stream->headed)
		finish(stream, head->fields_count ? head : NULL);
	else if (head->status < 200)
		take_interim(stream, head);
	else
		take_final(stream, head, ended);
}

/* ---- bodies ---- */

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
			 size_t len, void *user_data)
{
	struct up_stream *stream = stream_of(session, id);

	/* What one client does not take yet keeps none of the others waiting. */
	nghttp2_session_consume_connection(session, len);
	if (!stream || !stream->request)
		return 0;
	stream->unconsumed += len;
	stream->request->operations->data(stream->request, (const char *)data, len);
	mark_fed(stream);
	return 0;
}

void up_stream_consume(struct up_stream *stream)
{
	if (stream->unconsumed)
		nghttp2_session_consume_stream(stream->connection->http2->session, stream->id,
					       stream->unconsumed);
	stream->unconsumed = 0;
}

void up_http2_flush_fed(struct up_http2 *http2)
{
	struct up_stream *stream;

	while (!list_empty(&http2->fed)) {
		stream = list_first_entry(&http2->fed, struct up_stream, fed);
		list_del(&stream->fed);
		stream->request->operations->flush(stream->request);
		/* Flushing may have found the client gone. */
		if (stream->request && !stream->request->operations->blocked(stream->request))
			up_stream_consume(stream);
		up_stream_update_timer(stream, true);
	}
}

/* ---- other frames ---- */

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct up_stream *stream = stream_of(session, frame->hd.stream_id);
	struct up_connection *connection = user_data;
	bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		take_headers(connection, stream, ended);
		break;
	case NGHTTP2_DATA:
		if (stream && ended)
			finish(stream, NULL);
		break;
	case NGHTTP2_GOAWAY:
		/* Streams that it did not look at nghttp2 closes as refused. */
		connection->http2->goaway = true;
		break;
	default:
		break;
	}
	return connection->closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int err,
			    void *user_data)
{
	struct up_stream *stream = stream_of(session, frame->hd.stream_id);

	if (stream)
		stream->malformed = true;
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
	struct up_stream *stream = stream_of(session, id);
	enum up_failure failure = UP_FAILED;

	if (!stream)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	if (stream->malformed)
		failure = UP_MALFORMED;
	else if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_REFUSED_STREAM)
		failure = UP_RESET;
	if (stream->request && failure == UP_RESET)
		stream->request->reset_code = code;
	up_stream_fail(stream, failure, code == NGHTTP2_REFUSED_STREAM);
	up_stream_free(stream);
	return 0;
}

/* A request that was given up before it was sent has no stream that could close. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int err,
			     void *user_data)
{
	struct up_connection *connection = user_data;
	struct up_stream *stream;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	list_for_each_entry(stream, &connection->http2->streams, node) {
		if (stream->id != frame->hd.stream_id)
			continue;
		if (stream_of(session, stream->id))
			nghttp2_session_set_stream_user_data(session, stream->id, NULL);
		/* After GOAWAY nghttp2 sends none: the app has not seen it. */
		up_stream_fail(stream, UP_FAILED, true);
		up_stream_free(stream);
		break;
	}
	return 0;
}

void up_http2_response_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
}
