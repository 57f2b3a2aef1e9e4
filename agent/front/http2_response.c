/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTTP/2 responses: what an exchange gives waits in its stream until
 * nghttp2, which knows windows and priorities (RFC 9218), asks for it. Frames of
 * all streams that were answered in a turn of the loop leave in one write.
 */
#include <errno.h>
#include <string.h>

#include "front/http2.h"
#include "front/refusal.h"

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

static struct front_http2_stream *stream_of(struct exchange *exchange)
{
	return exchange->owner;
}

static void add_output(struct front_http2_stream *stream, size_t len)
{
	stream->connection->http2->buffered += len;
	stream->connection->thread->http2_buffered += len;
}

void front_http2_output_taken(struct front_http2_stream *stream, size_t len)
{
	stream->connection->http2->buffered -= len;
	stream->connection->thread->http2_buffered -= len;
}

static void resume(struct front_http2_stream *stream)
{
	if (stream->deferred) {
		stream->deferred = false;
		nghttp2_session_resume_data(stream->connection->http2->session, stream->id);
	}
	front_connection_post(stream->connection);
}

void front_http2_reset(struct front_http2_stream *stream, uint32_t code)
{
	struct exchange *exchange = stream->exchange;

	stream->exchange = NULL;
	if (exchange)
		exchange_abort(exchange);
	if (stream->closed) {
		front_http2_stream_free(stream);
		return;
	}
	loop_timer_stop(&stream->timer);
	nghttp2_submit_rst_stream(stream->connection->http2->session, NGHTTP2_FLAG_NONE,
				  stream->id, code);
	front_connection_post(stream->connection);
}

/* ---- time ---- */

void front_http2_stream_update_timer(struct front_http2_stream *stream, bool progress)
{
	struct loop *loop = &stream->connection->thread->loop;
	struct exchange *exchange = stream->exchange;
	enum loop_timer_class class = LOOP_TIMER_BODY;
	bool waits = buf_len(&stream->out);

	/* The request's body is due. In a tunnel nobody has to speak. */
	if (!waits && exchange && !stream->request_ended && !stream->websocket &&
	    !exchange_request_blocked(exchange)) {
		waits = true;
		class = exchange_request_clock(exchange);
	}
	if (!waits)
		loop_timer_stop(&stream->timer);
	else if (progress)
		loop_timer_start(loop, &stream->timer, class);
	else
		loop_timer_keep(loop, &stream->timer, class);
}

void front_http2_stream_expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct front_http2_stream *stream = container_of(timer, struct front_http2_stream, timer);
	struct exchange *exchange = stream->exchange;

	front_count(stream->connection->thread, timeouts_client);
	if (!exchange || exchange->status) {
		front_http2_reset(stream, NGHTTP2_CANCEL);
		return;
	}
	stream->exchange = NULL;
	exchange_abort(exchange);
	front_http2_refuse(stream, 408, "request_timeout", "the request did not arrive in time");
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

static void on_interim(struct exchange *exchange, struct http_head *head)
{
	struct front_http2_stream *stream = stream_of(exchange);
	struct front_thread *thread = stream->connection->thread;
	struct list_out list;

	/* Without room for it the client does without it. */
	if (list_setup_head(thread, &list, head, false))
		return;
	nghttp2_submit_headers(stream->connection->http2->session, NGHTTP2_FLAG_NONE, stream->id,
			       NULL, list_items(&list), list.count, NULL);
	buf_clear(&thread->buffers, &list.memory);
	front_connection_post(stream->connection);
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
			       uint32_t *flags, nghttp2_data_source *source, void *user_data);

static void submit_head(struct front_http2_stream *stream, struct http_head *head)
{
	struct front_thread *thread = stream->connection->thread;
	nghttp2_data_provider2 provider = {.source.ptr = stream, .read_callback = read_body};
	bool tunnel = stream->exchange && stream->exchange->tunnel, length;
	struct list_out list;
	int err;

	if (tunnel)
		head->status = 200;
	/* The length that a body would have had counts too (RFC 9110 8.6). */
	length = !tunnel && head->has_length && head->framing != HTTP_BODY_STREAM &&
		 head->framing != HTTP_BODY_CLOSE && head->status != 204;
	stream->bodiless = !tunnel && (stream->to_head || head->framing == HTTP_BODY_NONE ||
				       (head->framing == HTTP_BODY_LENGTH && !head->length));
	if (list_setup_head(thread, &list, head, length)) {
		nghttp2_submit_rst_stream(stream->connection->http2->session, NGHTTP2_FLAG_NONE,
					  stream->id, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	err = nghttp2_submit_response2(stream->connection->http2->session, stream->id,
				       list_items(&list), list.count,
				       stream->bodiless ? NULL : &provider);
	buf_clear(&thread->buffers, &list.memory);
	/* Only memory can be missing here. */
	if (err)
		nghttp2_submit_rst_stream(stream->connection->http2->session, NGHTTP2_FLAG_NONE,
					  stream->id, NGHTTP2_INTERNAL_ERROR);
}

void front_http2_refuse(struct front_http2_stream *stream, unsigned int status, const char *code,
			const char *message)
{
	struct front_thread *thread = stream->connection->thread;
	struct front_refusal refusal;

	front_audit_refused(stream->connection, status, code);
	front_refusal_setup(&refusal, status, code, message, false);
	if (status < 500)
		front_count(thread, responses_4xx);
	else
		front_count(thread, responses_5xx);
	submit_head(stream, &refusal.head);
	if (!stream->bodiless &&
	    !buf_append(&thread->buffers, &stream->out, refusal.body, refusal.body_len))
		add_output(stream, refusal.body_len);
	stream->ended = true;
	front_http2_stream_update_timer(stream, true);
	front_connection_post(stream->connection);
}

/* The app did something else than the WebSocket that was asked for. */
static void refuse_websocket(struct front_http2_stream *stream)
{
	struct exchange *exchange = stream->exchange;

	stream->exchange = NULL;
	front_count(stream->connection->thread, upstream_failed);
	exchange_abort(exchange);
	front_http2_refuse(stream, 502, "no_websocket",
			   "the service did not accept the WebSocket as one");
}

static void on_head(struct exchange *exchange, struct http_head *head)
{
	struct front_http2_stream *stream = stream_of(exchange);

	/* Refused before exchange_begin() could say so. */
	stream->exchange = exchange;
	if (exchange->tunnel) {
		if (!front_websocket_agreed(stream->accept, head)) {
			refuse_websocket(stream);
			return;
		}
	} else if (stream->websocket && head->status < 300) {
		/* To a CONNECT it would mean "go ahead". */
		refuse_websocket(stream);
		return;
	}
	submit_head(stream, head);
	if (exchange->tunnel)
		front_http2_request_tunnel(stream);
	front_connection_post(stream->connection);
}

/* ---- bodies ---- */

static void on_data(struct exchange *exchange, const char *data, size_t len)
{
	struct front_http2_stream *stream = stream_of(exchange);
	struct front_thread *thread = stream->connection->thread;

	if (!len || stream->bodiless)
		return;
	if (buf_append(&thread->buffers, &stream->out, data, len)) {
		/* No memory for what has to be said: the connection cannot go on. */
		stream->connection->broken = true;
		front_connection_post(stream->connection);
		return;
	}
	add_output(stream, len);
	if (buf_len(&stream->out) == len)
		front_http2_stream_update_timer(stream, true);
	if (stream->deferred)
		resume(stream);
}

/* Keeps those fields that go; without memory the body ends without them. */
static void keep_trailers(struct front_http2_stream *stream, const struct http_head *trailers)
{
	struct buf_pool *buffers = &stream->connection->thread->buffers;
	unsigned int i;

	for (i = 0; i < trailers->fields_count; i++) {
		if (!trailers->fields[i].drop)
			record_add(buffers, &stream->trailers, trailers->fields[i].name,
				   trailers->fields[i].value);
	}
}

static void on_end(struct exchange *exchange, struct http_head *trailers)
{
	struct front_http2_stream *stream = stream_of(exchange);

	if (trailers && !stream->bodiless)
		keep_trailers(stream, trailers);
	/* A tunnel is half-closed; anything else is over. */
	if (!exchange->tunnel)
		stream->exchange = NULL;
	stream->ended = true;
	front_http2_stream_update_timer(stream, false);
	resume(stream);
}

static void on_over(struct exchange *exchange)
{
	struct front_http2_stream *stream = stream_of(exchange);

	stream->exchange = NULL;
	if (stream->closed) {
		front_http2_stream_free(stream);
		return;
	}
	stream->ended = true;
	front_http2_stream_update_timer(stream, false);
	resume(stream);
}

static void on_reset(struct exchange *exchange)
{
	struct front_http2_stream *stream = stream_of(exchange);

	stream->exchange = NULL;
	/* What the app said of its stream holds for the client's. */
	front_http2_reset(stream, exchange->upstream.reset_code ?: NGHTTP2_INTERNAL_ERROR);
}

static void on_flush(struct exchange *exchange)
{
	front_connection_post(exchange->connection);
}

static bool on_blocked(struct exchange *exchange)
{
	struct front_http2_stream *stream = stream_of(exchange);
	struct front_http2 *http2 = stream->connection->http2;

	if (!buf_len(&stream->out) && (http2->buffered < OUTPUT_MAX ||
				       exchange->connection->thread->http2_buffered <
					       THREAD_OUTPUT_MAX))
		return false;
	if (list_empty(&stream->waiting))
		list_add_tail(&stream->waiting, &http2->waiting);
	return true;
}

static void on_resume(struct exchange *exchange)
{
	struct front_http2_stream *stream = stream_of(exchange);

	front_http2_request_consume(stream);
	front_http2_stream_update_timer(stream, true);
	front_connection_post(stream->connection);
}

const struct exchange_front front_http2_exchange = {
	.interim = on_interim,
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.over = on_over,
	.reset = on_reset,
	.flush = on_flush,
	.blocked = on_blocked,
	.resume = on_resume,
	.resets = true,
};

/* ---- what nghttp2 asks for ---- */

static void submit_trailers(nghttp2_session *session, struct front_http2_stream *stream)
{
	struct buf_pool *buffers = &stream->connection->thread->buffers;
	const char *at = buf_head(&stream->trailers), *end = buf_tail(&stream->trailers);
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

	if (!have && !stream->ended) {
		stream->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (have > len)
		return len;
	if (stream->ended) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (buf_len(&stream->trailers)) {
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

/* There is room again: containers that waited for it are read on. */
static void wake_waiting(struct front_http2 *http2)
{
	struct front_http2_stream *stream, *tmp;

	list_for_each_entry_safe(stream, tmp, &http2->waiting, waiting) {
		if (buf_len(&stream->out))
			continue;
		list_del(&stream->waiting);
		if (stream->exchange)
			exchange_resume(stream->exchange);
	}
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
	front_http2_output_taken(stream, len);
	front_http2_stream_update_timer(stream, true);
	if (was_full && http2->buffered < OUTPUT_MAX) {
		wake_waiting(http2);
	} else if (!buf_len(&stream->out) && !list_empty(&stream->waiting)) {
		list_del(&stream->waiting);
		if (stream->exchange)
			exchange_resume(stream->exchange);
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
	if (stream && !stream->exchange &&
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
	if (stream->unconsumed)
		nghttp2_session_consume_connection(session, stream->unconsumed);
	stream->unconsumed = 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	front_http2_request_flush(connection->http2);
	/* A tunnel whose ends have both spoken: the client's last word is on its way. */
	if (code == NGHTTP2_NO_ERROR && stream->exchange && stream->exchange->tunnel &&
	    stream->request_ended && stream->ended)
		stream->closed = true;
	else
		front_http2_stream_free(stream);
	if (connection->http2->buffered < OUTPUT_MAX)
		wake_waiting(connection->http2);
	return 0;
}

void front_http2_response_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_send_callback2(callbacks, write_bytes);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, write_body);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
