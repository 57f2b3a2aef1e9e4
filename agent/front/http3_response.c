/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTTP/3 responses: what an exchange gives is kept in chunks of its
 * stream until the client has acknowledged it, and nghttp3, which knows
 * priorities (RFC 9218), takes it from there when QUIC has room for a packet.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "front/http3.h"
#include "front/refusal.h"

/*
 * Kept for one stream, on its way or waiting: the window for a path whose
 * bandwidth times round trip is that much. A connection whose streams hold
 * OUTPUT_MAX gets no more until the client has acknowledged; when all connections
 * of a thread hold THREAD_OUTPUT_MAX, those with more than their share get none.
 */
#define STREAM_OUTPUT_MAX	(1024 * 1024)
#define OUTPUT_MAX		(4 * 1024 * 1024)
#define OUTPUT_SHARE		(256 * 1024)
#define THREAD_OUTPUT_MAX	((size_t)256 * 1024 * 1024)
#define CHUNK_BYTES		16384

static struct front_http3_stream *stream_of(struct exchange *exchange)
{
	return exchange->owner;
}

static nghttp3_conn *session_of(const struct front_http3_stream *stream)
{
	return stream->connection->http3->session;
}

/* ---- chunks ---- */

static void count_held(struct front_http3_stream *stream, ssize_t len)
{
	stream->held += len;
	stream->connection->http3->held += len;
	stream->connection->thread->quic->held += len;
}

static void chunk_free(struct front_http3_stream *stream, struct front_http3_chunk *chunk)
{
	struct front_thread *thread = stream->connection->thread;

	count_held(stream, -(ssize_t)buf_len(&chunk->buf));
	buf_clear(&thread->buffers, &chunk->buf);
	list_del(&chunk->node);
	slab_free(&thread->quic->chunks, chunk);
}

void front_http3_chunks_free(struct front_http3_stream *stream)
{
	while (!list_empty(&stream->chunks))
		chunk_free(stream, list_first_entry(&stream->chunks, struct front_http3_chunk, node));
	stream->ungiven = 0;
}

static struct front_http3_chunk *add_chunk(struct front_http3_stream *stream, size_t len)
{
	struct front_thread *thread = stream->connection->thread;
	struct front_http3_chunk *chunk = slab_alloc(&thread->quic->chunks);

	if (!chunk)
		return NULL;
	if (buf_reserve(&thread->buffers, &chunk->buf, len < CHUNK_BYTES ? len : CHUNK_BYTES)) {
		slab_free(&thread->quic->chunks, chunk);
		return NULL;
	}
	list_add_tail(&chunk->node, &stream->chunks);
	return chunk;
}

/* Copies; 0 or -ENOMEM. */
static int add_output(struct front_http3_stream *stream, const char *data, size_t len)
{
	struct front_http3_chunk *chunk = NULL;
	size_t part;

	if (!list_empty(&stream->chunks))
		chunk = container_of(stream->chunks.prev, struct front_http3_chunk, node);
	while (len) {
		/* Never grown: what is in it must not move. */
		part = chunk ? buf_room(&chunk->buf) : 0;
		if (!part) {
			chunk = add_chunk(stream, len);
			if (!chunk)
				return -ENOMEM;
			continue;
		}
		if (part > len)
			part = len;
		memcpy(buf_tail(&chunk->buf), data, part);
		chunk->buf.end += part;
		count_held(stream, part);
		stream->ungiven += part;
		data += part;
		len -= part;
	}
	return 0;
}

static void resume(struct front_http3_stream *stream)
{
	if (stream->deferred) {
		stream->deferred = false;
		nghttp3_conn_resume_stream(session_of(stream), stream->id);
	}
	front_connection_post(stream->connection);
}

/* ---- time ---- */

void front_http3_stream_update_timer(struct front_http3_stream *stream, bool progress)
{
	struct loop *loop = &stream->connection->thread->loop;
	struct exchange *exchange = stream->exchange;
	enum loop_timer_class class = LOOP_TIMER_BODY;
	bool waits = stream->held;

	/* The request's body is due. In a tunnel nobody has to speak. */
	if (!waits && exchange && !stream->request_ended && !stream->websocket &&
	    !exchange_request_blocked(exchange)) {
		waits = true;
		class = exchange_request_clock(exchange);
	}
	if (!waits || stream->reset)
		loop_timer_stop(&stream->timer);
	else if (progress)
		loop_timer_start(loop, &stream->timer, class);
	else
		loop_timer_keep(loop, &stream->timer, class);
}

void front_http3_stream_expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct front_http3_stream *stream = container_of(timer, struct front_http3_stream, timer);
	struct exchange *exchange = stream->exchange;

	front_count(stream->connection->thread, timeouts_client);
	if (!stream->begun || !exchange || exchange->status) {
		front_http3_reset(stream, NGHTTP3_H3_REQUEST_INCOMPLETE);
		return;
	}
	stream->exchange = NULL;
	exchange_abort(exchange);
	front_http3_refuse(stream, 408, "request_timeout", "the request did not arrive in time");
}

/* ---- heads ---- */

static nghttp3_nv pair(struct http_text name, struct http_text value)
{
	return (nghttp3_nv){
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

static nghttp3_nv *list_items(const struct list_out *list)
{
	return (nghttp3_nv *)buf_head(&list->memory);
}

/* Names in lower case (RFC 9114 4.2), in memory behind the items. */
static struct http_text lower(char **at, struct http_text name)
{
	struct http_text text = {*at, name.len};
	size_t i;

	for (i = 0; i < name.len; i++) {
		char c = name.data[i];

		(*at)[i] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
	}
	*at += name.len;
	return text;
}

static int list_setup_head(struct front_thread *thread, struct list_out *list,
			   const struct http_head *head, bool length)
{
	size_t need = (head->fields_count + 2) * sizeof(nghttp3_nv);
	nghttp3_nv *items;
	unsigned int i;
	char *names;
	size_t len;

	memset(list, 0, sizeof(*list));
	for (i = 0; i < head->fields_count; i++)
		need += head->fields[i].drop ? 0 : head->fields[i].name.len;
	if (buf_reserve(&thread->buffers, &list->memory, need))
		return -ENOMEM;
	items = list_items(list);
	names = (char *)(items + head->fields_count + 2);
	if (head->status) {
		len = http_number(list->status, head->status);
		items[list->count++] = pair(HTTP_TEXT(":status"),
					    (struct http_text){list->status, len});
	}
	for (i = 0; i < head->fields_count; i++) {
		if (!head->fields[i].drop)
			items[list->count++] = pair(lower(&names, head->fields[i].name),
						    head->fields[i].value);
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
	struct front_http3_stream *stream = stream_of(exchange);
	struct front_thread *thread = stream->connection->thread;
	struct list_out list;

	/* Without room for it the client does without it. */
	if (list_setup_head(thread, &list, head, false))
		return;
	nghttp3_conn_submit_info(session_of(stream), stream->id, list_items(&list), list.count);
	buf_clear(&thread->buffers, &list.memory);
	front_connection_post(stream->connection);
}

static void submit_trailers(nghttp3_conn *session, struct front_http3_stream *stream)
{
	struct buf_pool *buffers = &stream->connection->thread->buffers;
	const char *at = buf_head(&stream->trailers), *end = buf_tail(&stream->trailers);
	struct http_text name, value;
	struct buf memory = {0};
	nghttp3_nv *items;
	size_t count = 0;

	/* A record is no smaller than a fifth of an item. */
	if (buf_reserve(buffers, &memory, (end - at) / sizeof(struct record) * sizeof(*items)))
		return;
	items = (nghttp3_nv *)buf_head(&memory);
	while (at < end) {
		record_next(&at, &name, &value);
		items[count++] = pair(name, value);
	}
	nghttp3_conn_submit_trailers(session, stream->id, items, count);
	buf_clear(buffers, &memory);
}

/* What is not needed any more need not be sent (RFC 9114 4.1.1). */
static void stop_request(struct front_http3_stream *stream)
{
	if (!stream->request_ended && !stream->exchange)
		ngtcp2_conn_shutdown_stream_read(stream->connection->http3->quic->conn, 0,
						 stream->id, NGHTTP3_H3_NO_ERROR);
}

static nghttp3_ssize read_body(nghttp3_conn *session, int64_t id, nghttp3_vec *pieces,
			       size_t pieces_max, uint32_t *flags, void *user_data,
			       void *stream_data)
{
	struct front_http3_stream *stream = stream_data;
	struct front_http3_chunk *chunk;
	size_t count = 0;

	list_for_each_entry(chunk, &stream->chunks, node) {
		if (chunk->given == chunk->buf.end)
			continue;
		if (count == pieces_max)
			break;
		pieces[count].base = (uint8_t *)chunk->buf.data + chunk->given;
		pieces[count].len = chunk->buf.end - chunk->given;
		stream->ungiven -= pieces[count++].len;
		chunk->given = chunk->buf.end;
	}
	if (stream->ended && !stream->ungiven) {
		*flags |= NGHTTP3_DATA_FLAG_EOF;
		if (buf_len(&stream->trailers)) {
			*flags |= NGHTTP3_DATA_FLAG_NO_END_STREAM;
			submit_trailers(session, stream);
		}
		stop_request(stream);
	} else if (!count) {
		stream->deferred = true;
		return NGHTTP3_ERR_WOULDBLOCK;
	}
	return count;
}

static void submit_head(struct front_http3_stream *stream, struct http_head *head)
{
	struct front_thread *thread = stream->connection->thread;
	const nghttp3_data_reader reader = {.read_data = read_body};
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
	err = list_setup_head(thread, &list, head, length);
	if (!err)
		err = nghttp3_conn_submit_response(session_of(stream), stream->id,
						   list_items(&list), list.count,
						   stream->bodiless ? NULL : &reader);
	buf_clear(&thread->buffers, &list.memory);
	/* Only memory can be missing here. */
	if (err)
		quic_connection_fail(stream->connection->http3->quic, NGHTTP3_H3_INTERNAL_ERROR);
}

void front_http3_refuse(struct front_http3_stream *stream, unsigned int status, const char *code,
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
	if (!stream->bodiless)
		add_output(stream, refusal.body, refusal.body_len);
	stream->ended = true;
	if (stream->bodiless)
		stop_request(stream);
	front_http3_stream_update_timer(stream, true);
	resume(stream);
}

/* The app did something else than the WebSocket that was asked for. */
static void refuse_websocket(struct front_http3_stream *stream)
{
	struct exchange *exchange = stream->exchange;

	stream->exchange = NULL;
	front_count(stream->connection->thread, upstream_failed);
	exchange_abort(exchange);
	front_http3_refuse(stream, 502, "no_websocket",
			   "the service did not accept the WebSocket as one");
}

static void on_head(struct exchange *exchange, struct http_head *head)
{
	struct front_http3_stream *stream = stream_of(exchange);

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
		front_http3_request_tunnel(stream);
	front_connection_post(stream->connection);
}

/* ---- bodies ---- */

static void on_data(struct exchange *exchange, const char *data, size_t len)
{
	struct front_http3_stream *stream = stream_of(exchange);
	bool idle = !stream->held;

	if (!len || stream->bodiless || stream->reset || stream->closed)
		return;
	if (add_output(stream, data, len)) {
		/* No memory for what has to be said: the connection cannot go on. */
		stream->connection->broken = true;
		front_connection_post(stream->connection);
		return;
	}
	if (idle)
		front_http3_stream_update_timer(stream, true);
	if (stream->deferred)
		resume(stream);
}

/* Keeps those fields that go; without memory the body ends without them. */
static void keep_trailers(struct front_http3_stream *stream, const struct http_head *trailers)
{
	struct front_thread *thread = stream->connection->thread;
	struct list_out list;
	size_t i;

	if (list_setup_head(thread, &list, trailers, false))
		return;
	for (i = 0; i < list.count; i++) {
		const nghttp3_nv *item = &list_items(&list)[i];

		record_add(&thread->buffers, &stream->trailers,
			   (struct http_text){(const char *)item->name, item->namelen},
			   (struct http_text){(const char *)item->value, item->valuelen});
	}
	buf_clear(&thread->buffers, &list.memory);
}

static void on_end(struct exchange *exchange, struct http_head *trailers)
{
	struct front_http3_stream *stream = stream_of(exchange);

	if (trailers && !stream->bodiless)
		keep_trailers(stream, trailers);
	/* A tunnel is half-closed; anything else is over. */
	if (!exchange->tunnel)
		stream->exchange = NULL;
	stream->ended = true;
	if (stream->bodiless)
		stop_request(stream);
	front_http3_stream_update_timer(stream, false);
	resume(stream);
}

static void on_over(struct exchange *exchange)
{
	struct front_http3_stream *stream = stream_of(exchange);

	stream->exchange = NULL;
	if (stream->closed) {
		front_http3_stream_free(stream);
		return;
	}
	stream->ended = true;
	front_http3_stream_update_timer(stream, false);
	resume(stream);
}

/* What the app said of its stream, in HTTP/2's words (RFC 9113 7), in those of RFC 9114 8.1. */
static uint64_t reset_code(const struct exchange *exchange)
{
	switch (exchange->upstream.reset_code) {
	case NGHTTP2_CANCEL:
		return NGHTTP3_H3_REQUEST_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return NGHTTP3_H3_EXCESSIVE_LOAD;
	default:
		return NGHTTP3_H3_INTERNAL_ERROR;
	}
}

static void on_reset(struct exchange *exchange)
{
	struct front_http3_stream *stream = stream_of(exchange);

	stream->exchange = NULL;
	front_http3_reset(stream, reset_code(exchange));
}

static void on_flush(struct exchange *exchange)
{
	front_connection_post(exchange->connection);
}

static bool is_blocked(const struct front_http3_stream *stream)
{
	const struct front_http3 *http3 = stream->connection->http3;

	return stream->held >= STREAM_OUTPUT_MAX || http3->held >= OUTPUT_MAX ||
	       (http3->held >= OUTPUT_SHARE &&
		stream->connection->thread->quic->held >= THREAD_OUTPUT_MAX);
}

static bool on_blocked(struct exchange *exchange)
{
	struct front_http3_stream *stream = stream_of(exchange);

	if (!is_blocked(stream))
		return false;
	if (list_empty(&stream->waiting))
		list_add_tail(&stream->waiting, &stream->connection->http3->waiting);
	return true;
}

static void on_resume(struct exchange *exchange)
{
	struct front_http3_stream *stream = stream_of(exchange);

	front_http3_request_consume(stream);
	front_http3_stream_update_timer(stream, true);
	front_connection_post(stream->connection);
}

const struct exchange_front front_http3_exchange = {
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

/* ---- acknowledgements ---- */

/* There is room again: containers that waited for it are read on. */
void front_http3_wake(struct front_http3 *http3)
{
	struct front_http3_stream *stream, *tmp;

	list_for_each_entry_safe(stream, tmp, &http3->waiting, waiting) {
		if (is_blocked(stream))
			continue;
		list_del(&stream->waiting);
		if (stream->exchange)
			exchange_resume(stream->exchange);
	}
}

int front_http3_acknowledged(nghttp3_conn *session, int64_t id, uint64_t len, void *user_data,
			     void *stream_data)
{
	struct front_connection *connection = user_data;
	struct front_http3_stream *stream = stream_data;

	while (stream && len && !list_empty(&stream->chunks)) {
		struct front_http3_chunk *chunk =
			list_first_entry(&stream->chunks, struct front_http3_chunk, node);
		size_t part = buf_len(&chunk->buf) < len ? buf_len(&chunk->buf) : len;

		len -= part;
		if (part == buf_len(&chunk->buf)) {
			chunk_free(stream, chunk);
		} else {
			chunk->buf.start += part;
			count_held(stream, -(ssize_t)part);
		}
	}
	if (stream)
		front_http3_stream_update_timer(stream, true);
	if (connection->timer.class == LOOP_TIMER_LINGER)
		loop_timer_start(&connection->thread->loop, &connection->timer, LOOP_TIMER_LINGER);
	if (!list_empty(&connection->http3->waiting))
		front_http3_wake(connection->http3);
	return 0;
}
