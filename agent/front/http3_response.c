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

static nghttp3_conn *session_of(const struct front_http3_stream *stream)
{
	return stream->base.connection->http3->session;
}

/* ---- chunks ---- */

static void count_held(struct front_http3_stream *stream, ssize_t len)
{
	stream->held += len;
	stream->base.connection->http3->held += len;
	stream->base.connection->thread->quic->held += len;
}

static void chunk_free(struct front_http3_stream *stream, struct front_http3_chunk *chunk)
{
	struct front_thread *thread = stream->base.connection->thread;

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
	struct front_thread *thread = stream->base.connection->thread;
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

static int output(struct front_stream *base, const char *data, size_t len)
{
	struct front_http3_stream *stream = front_http3_stream(base);
	struct front_http3_chunk *chunk = NULL;
	size_t part, room = 0;

	if (!list_empty(&stream->chunks)) {
		chunk = container_of(stream->chunks.prev, struct front_http3_chunk, node);
		/* Never grown: what is in it must not move. */
		room = buf_room(&chunk->buf);
	}
	for (; len; room = buf_room(&chunk->buf)) {
		if (!room) {
			chunk = add_chunk(stream, len);
			if (!chunk)
				return -ENOMEM;
			continue;
		}
		part = room;
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

static void interim(struct front_stream *base, const struct http_head *head)
{
	struct front_http3_stream *stream = front_http3_stream(base);
	struct front_thread *thread = base->connection->thread;
	struct list_out list;

	/* Without room for it the client does without it. */
	if (list_setup_head(thread, &list, head, false))
		return;
	nghttp3_conn_submit_info(session_of(stream), stream->id, list_items(&list), list.count);
	buf_clear(&thread->buffers, &list.memory);
}

static void submit_trailers(nghttp3_conn *session, struct front_http3_stream *stream)
{
	struct buf_pool *buffers = &stream->base.connection->thread->buffers;
	const char *at = buf_head(&stream->base.trailers), *end = buf_tail(&stream->base.trailers);
	struct http_text name, value;
	struct buf memory = {0};
	nghttp3_nv *items;
	size_t count = 0, most;
	char *names;

	/* A record is no smaller than a fifth of an item. */
	most = (end - at) / sizeof(struct record);
	if (buf_reserve(buffers, &memory, most * sizeof(*items) + (end - at)))
		return;
	items = (nghttp3_nv *)buf_head(&memory);
	names = (char *)(items + most);
	while (at < end) {
		record_next(&at, &name, &value);
		items[count++] = pair(lower(&names, name), value);
	}
	nghttp3_conn_submit_trailers(session, stream->id, items, count);
	buf_clear(buffers, &memory);
}

/* What is not needed any more need not be sent (RFC 9114 4.1.1). */
static void stop_request(struct front_http3_stream *stream)
{
	if (!stream->base.request_ended && !stream->base.exchange)
		ngtcp2_conn_shutdown_stream_read(stream->base.connection->http3->quic->conn, 0,
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
	if (stream->base.ended && !stream->ungiven) {
		*flags |= NGHTTP3_DATA_FLAG_EOF;
		if (buf_len(&stream->base.trailers)) {
			*flags |= NGHTTP3_DATA_FLAG_NO_END_STREAM;
			submit_trailers(session, stream);
		}
		stop_request(stream);
	} else if (!count) {
		stream->base.deferred = true;
		return NGHTTP3_ERR_WOULDBLOCK;
	}
	return count;
}

static void submit_head(struct front_stream *base, const struct http_head *head, bool length)
{
	struct front_http3_stream *stream = front_http3_stream(base);
	struct front_thread *thread = base->connection->thread;
	const nghttp3_data_reader reader = {.read_data = read_body};
	struct list_out list;
	int err = list_setup_head(thread, &list, head, length);

	if (!err)
		err = nghttp3_conn_submit_response(session_of(stream), stream->id,
						   list_items(&list), list.count,
						   base->bodiless ? NULL : &reader);
	buf_clear(&thread->buffers, &list.memory);
	/* Only memory can be missing here. */
	if (err)
		quic_connection_fail(base->connection->http3->quic, NGHTTP3_H3_INTERNAL_ERROR);
}

static void resume(struct front_stream *base)
{
	struct front_http3_stream *stream = front_http3_stream(base);

	/* Nothing will be asked for, so this is its end. */
	if (base->ended && base->bodiless)
		stop_request(stream);
	if (base->deferred) {
		base->deferred = false;
		nghttp3_conn_resume_stream(session_of(stream), stream->id);
	}
	front_connection_post(base->connection);
}

static bool waits(const struct front_stream *base)
{
	const struct front_http3_stream *stream = front_http3_stream(base);

	return stream->held && !stream->reset;
}

static bool full(const struct front_stream *base)
{
	const struct front_http3 *http3 = base->connection->http3;

	return front_http3_stream(base)->held >= STREAM_OUTPUT_MAX || http3->held >= OUTPUT_MAX ||
	       (http3->held >= OUTPUT_SHARE &&
		base->connection->thread->quic->held >= THREAD_OUTPUT_MAX);
}

/* What the app said of its stream, in HTTP/2's words (RFC 9113 7), in those of RFC 9114 8.1. */
static uint64_t code_of(enum front_stream_reason reason, uint32_t app_code)
{
	switch (reason) {
	case FRONT_STREAM_TIMEOUT:
		return NGHTTP3_H3_REQUEST_INCOMPLETE;
	case FRONT_STREAM_MALFORMED:
		return NGHTTP3_H3_MESSAGE_ERROR;
	default:
		break;
	}
	switch (app_code) {
	case NGHTTP2_CANCEL:
		return NGHTTP3_H3_REQUEST_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return NGHTTP3_H3_EXCESSIVE_LOAD;
	default:
		return NGHTTP3_H3_INTERNAL_ERROR;
	}
}

static void reset(struct front_stream *base, enum front_stream_reason reason, uint32_t app_code)
{
	front_http3_reset(front_http3_stream(base), code_of(reason, app_code));
}

static void consume(struct front_stream *base)
{
	ngtcp2_conn *conn = base->connection->http3->quic->conn;

	if (!base->unconsumed)
		return;
	if (!base->closed)
		ngtcp2_conn_extend_max_stream_offset(conn, front_http3_stream(base)->id,
						     base->unconsumed);
	ngtcp2_conn_extend_max_offset(conn, base->unconsumed);
	base->unconsumed = 0;
	front_connection_post(base->connection);
}

static void free_stream(struct front_stream *base)
{
	struct front_http3_stream *stream = front_http3_stream(base);
	struct front_thread *thread = base->connection->thread;
	struct front_http3 *http3 = base->connection->http3;

	front_http3_chunks_free(stream);
	front_block_clear(thread, &stream->head);
	front_stream_clear(base);
	slab_free(&thread->quic->streams, stream);
	front_http3_keep_alive(http3);
}

const struct front_stream_protocol front_http3_streams = {
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

/* ---- acknowledgements ---- */

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
		front_stream_update_timer(&stream->base, true);
	if (connection->timer.class == LOOP_TIMER_LINGER)
		loop_timer_start(&connection->thread->loop, &connection->timer, LOOP_TIMER_LINGER);
	front_streams_wake(&connection->http3->streams);
	return 0;
}
