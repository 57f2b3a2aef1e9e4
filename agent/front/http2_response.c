/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTTP/2 responses: what an exchange gives waits in its stream until
 * nghttp2, which knows windows and priorities (RFC 9218), asks for it. Frames of
 * all streams that were answered in a turn of the loop leave in one write.
 */
#include <errno.h>
#include <string.h>

#include "front/http2.h"

/*
 * A stream that its client does not read holds a buffer, so that a connection
 * holds FRONT_HTTP2_STREAMS_MAX of them at most. When all connections of a
 * thread together hold THREAD_OUTPUT_MAX, those that have more than their share,
 * OUTPUT_MAX, get no more until they have read.
 */
#define OUTPUT_MAX		(1024 * 1024)
#define THREAD_OUTPUT_MAX	(256 * 1024 * 1024)
/* Frames that wait for the socket: enough for a few TLS records. */
#define WRITE_MARK	(64 * 1024)

static void add_output(struct front_http2_stream *stream, size_t len)
{
	stream->base.connection->http2->buffered += len;
	stream->base.connection->thread->http2_buffered += len;
}

static void output_taken(struct front_http2_stream *stream, size_t len)
{
	stream->base.connection->http2->buffered -= len;
	stream->base.connection->thread->http2_buffered -= len;
}

static void resume(struct front_stream *base)
{
	if (base->deferred) {
		base->deferred = false;
		nghttp2_session_resume_data(base->connection->http2->session,
					    front_http2_stream(base)->id);
	}
	front_connection_post(base->connection);
}

/* nghttp2 must have let go of it. */
static void free_stream(struct front_stream *base)
{
	struct front_http2_stream *stream = front_http2_stream(base);
	struct front_thread *thread = base->connection->thread;
	struct front_http2 *http2 = base->connection->http2;

	if (http2->head_stream == stream->id)
		http2->head_stream = 0;
	output_taken(stream, buf_len(&stream->out));
	buf_clear(&thread->buffers, &stream->out);
	front_stream_clear(base);
	slab_free(&thread->http2_streams, stream);
}

static void reset(struct front_stream *base, enum front_stream_reason reason, uint32_t app_code)
{
	static const uint32_t codes[] = {
		[FRONT_STREAM_APP] = NGHTTP2_INTERNAL_ERROR,
		[FRONT_STREAM_TIMEOUT] = NGHTTP2_CANCEL,
		[FRONT_STREAM_MALFORMED] = NGHTTP2_PROTOCOL_ERROR,
	};
	struct exchange *exchange = base->exchange;

	base->exchange = NULL;
	if (exchange)
		exchange_abort(exchange);
	if (base->closed) {
		free_stream(base);
		return;
	}
	loop_timer_stop(&base->timer);
	nghttp2_submit_rst_stream(base->connection->http2->session, NGHTTP2_FLAG_NONE,
				  front_http2_stream(base)->id, app_code ?: codes[reason]);
	front_connection_post(base->connection);
}

static void consume(struct front_stream *base)
{
	if (base->unconsumed)
		nghttp2_session_consume(base->connection->http2->session,
					front_http2_stream(base)->id, base->unconsumed);
	base->unconsumed = 0;
}

/* ---- heads ---- */

static nghttp2_nv pair(struct http_text name, struct http_text value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)name.data,
		.namelen = name.len,
		.value = (uint8_t *)value.data,
		.valuelen = value.len,
	};
}

/* A header list in memory of the thread's pool. */
struct list_out {
	struct buf	memory;
	char		status[HTTP_NUMBER_MAX], length[HTTP_NUMBER_MAX];
	size_t		count;
};

static nghttp2_nv *list_items(const struct list_out *list)
{
	return (nghttp2_nv *)buf_head(&list->memory);
}

static int list_setup_head(struct front_thread *thread, struct list_out *list,
			   const struct http_head *head, bool length)
{
	nghttp2_nv *items;
	unsigned int i;
	size_t len;

	memset(list, 0, sizeof(*list));
	if (buf_reserve(&thread->buffers, &list->memory,
			(head->fields_count + 2) * sizeof(nghttp2_nv)))
		return -ENOMEM;
	items = list_items(list);
	if (head->status) {
		len = http_number(list->status, head->status);
		items[list->count++] = pair(HTTP_TEXT(":status"),
					    (struct http_text){list->status, len});
	}
	for (i = 0; i < head->fields_count; i++) {
		/* nghttp2 makes names lower case. */
		if (!head->fields[i].drop)
			items[list->count++] = pair(head->fields[i].name, head->fields[i].value);
	}
	if (length) {
		len = http_number(list->length, head->length);
		items[list->count++] = pair(HTTP_TEXT("content-length"),
					    (struct http_text){list->length, len});
	}
	return 0;
}

static void interim(struct front_stream *base, const struct http_head *head)
{
	struct front_thread *thread = base->connection->thread;
	struct list_out list;

	/* Without room for it the client does without it. */
	if (list_setup_head(thread, &list, head, false))
		return;
	nghttp2_submit_headers(base->connection->http2->session, NGHTTP2_FLAG_NONE,
			       front_http2_stream(base)->id, NULL, list_items(&list), list.count,
			       NULL);
	buf_clear(&thread->buffers, &list.memory);
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
			       uint32_t *flags, nghttp2_data_source *source, void *user_data);

static void submit_head(struct front_stream *base, const struct http_head *head, bool length)
{
	struct front_http2_stream *stream = front_http2_stream(base);
	nghttp2_data_provider2 provider = {.source.ptr = stream, .read_callback = read_body};
	nghttp2_session *session = base->connection->http2->session;
	struct front_thread *thread = base->connection->thread;
	struct list_out list;
	int err = list_setup_head(thread, &list, head, length);

	if (!err)
		err = nghttp2_submit_response2(session, stream->id, list_items(&list), list.count,
					       base->bodiless ? NULL : &provider);
	buf_clear(&thread->buffers, &list.memory);
	/* Only memory can be missing here. */
	if (err)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
					  NGHTTP2_INTERNAL_ERROR);
}

/* ---- bodies ---- */

static bool waits(const struct front_stream *base)
{
	return buf_len(&front_http2_stream(base)->out);
}

static bool full(const struct front_stream *base)
{
	return waits(base) || (base->connection->http2->buffered >= OUTPUT_MAX &&
			       base->connection->thread->http2_buffered >= THREAD_OUTPUT_MAX);
}

static int output(struct front_stream *base, const char *data, size_t len)
{
	struct front_http2_stream *stream = front_http2_stream(base);

	if (buf_append(&base->connection->thread->buffers, &stream->out, data, len))
		return -ENOMEM;
	add_output(stream, len);
	return 0;
}

const struct front_stream_protocol front_http2_streams = {
	.waits = waits,
	.full = full,
	.output = output,
	.interim = interim,
	.head = submit_head,
	.resume = resume,
	.reset = reset,
	.consume = consume,
	.free = free_stream,
};

/* ---- what nghttp2 asks for ---- */

static void submit_trailers(nghttp2_session *session, struct front_http2_stream *stream)
{
	struct buf_pool *buffers = &stream->base.connection->thread->buffers;
	const char *at = buf_head(&stream->base.trailers), *end = buf_tail(&stream->base.trailers);
	struct http_text name, value;
	struct buf memory = {0};
	nghttp2_nv *items;
	size_t count = 0;

	/* A record is no smaller than half an item. */
	if (buf_reserve(buffers, &memory, (end - at) / sizeof(struct record) * sizeof(nghttp2_nv)))
		return;
	items = (nghttp2_nv *)buf_head(&memory);
	while (at < end) {
		record_next(&at, &name, &value);
		items[count++] = pair(name, value);
	}
	nghttp2_submit_trailer(session, stream->id, items, count);
	buf_clear(buffers, &memory);
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
			       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct front_http2_stream *stream = source->ptr;
	size_t have = buf_len(&stream->out);

	if (!have && !stream->base.ended) {
		stream->base.deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (have > len)
		return len;
	if (stream->base.ended) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (buf_len(&stream->base.trailers)) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(session, stream);
		}
	}
	return have;
}

static nghttp2_ssize write_bytes(nghttp2_session *session, const uint8_t *bytes, size_t len,
				 int flags, void *user_data)
{
	struct front_connection *connection = user_data;

	if (buf_len(&connection->out) >= WRITE_MARK)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (buf_append(&connection->thread->buffers, &connection->out, bytes, len))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return len;
}

static int write_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
		      size_t len, nghttp2_data_source *source, void *user_data)
{
	struct front_http2_stream *stream = source->ptr;
	struct front_connection *connection = user_data;
	struct front_http2 *http2 = connection->http2;
	struct buf_pool *buffers = &connection->thread->buffers;
	bool was_full = http2->buffered >= OUTPUT_MAX;

	if (buf_len(&connection->out) >= WRITE_MARK)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (buf_reserve(buffers, &connection->out, FRONT_HTTP2_FRAME_HEAD + len))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	memcpy(buf_tail(&connection->out), head, FRONT_HTTP2_FRAME_HEAD);
	connection->out.end += FRONT_HTTP2_FRAME_HEAD;
	if (!len)
		return 0;
	memcpy(buf_tail(&connection->out), buf_head(&stream->out), len);
	connection->out.end += len;
	buf_consume(buffers, &stream->out, len);
	output_taken(stream, len);
	front_stream_update_timer(&stream->base, true);
	if (was_full && http2->buffered < OUTPUT_MAX) {
		front_streams_wake(&http2->streams);
	} else if (!buf_len(&stream->out) && !list_empty(&stream->base.waiting)) {
		list_del(&stream->base.waiting);
		if (stream->base.exchange)
			exchange_resume(stream->base.exchange);
	}
	return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct front_http2_stream *stream;

	if (!(frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	/* Answered before the request was complete: the rest is not wanted (RFC 9113 8.1). */
	if (stream && !stream->base.exchange &&
	    !nghttp2_session_get_stream_remote_close(session, stream->id))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
	struct front_http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
	struct front_connection *connection = user_data;

	if (!stream)
		return 0;
	/* What a container has not taken by now takes no room any more. */
	if (stream->base.unconsumed)
		nghttp2_session_consume_connection(session, stream->base.unconsumed);
	stream->base.unconsumed = 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	front_streams_flush(&connection->http2->streams);
	front_stream_finished(&stream->base, code == NGHTTP2_NO_ERROR);
	if (connection->http2->buffered < OUTPUT_MAX)
		front_streams_wake(&connection->http2->streams);
	return 0;
}

void front_http2_response_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_send_callback2(callbacks, write_bytes);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, write_body);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
