/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding HTTP/1 responses (RFC 9112 6.3). As strict as towards clients: an app
 * whose answer could be read in two ways must not decide what the next client on
 * a shared front connection sees. Anything doubtful ends the connection.
 *
 *	HEAD -> (1xx) HEAD          BODY -> (chunked) TRAILERS -> over
 *	     -> (101) TUNNEL             -> (length, close) over
 *	     -> BODY, or over where there is none
 */
#include "upstream/connection.h"

#include <errno.h>
#include <string.h>

#include "lib/http1.h"

static size_t head_max(const struct up_connection *connection)
{
	return image_header(connection->context->image)->settings.head_bytes_max;
}

/* The response is complete. @rest: bytes came after it. */
static void finish(struct up_connection *connection, struct http_head *trailers, bool rest)
{
	struct up_request *request = connection->request;

	/* Nothing was asked for that it could belong to. */
	if (rest || !request->complete)
		connection->keep = false;
	connection->request = NULL;
	request->connection = NULL;
	request->operations->end(request, trailers);
	up_connection_release(connection);
}

/*
 * Each take_*() handles what stands at *at. 1: go on; 0: needs more bytes, or
 * the connection has nobody to read for any more; negative: malformed.
 */
static int take_final(struct up_connection *connection, struct http_head *head)
{
	struct up_request *request = connection->request;

	if (head->status == 101) {
		if (!request->upgrade || !head->upgrade || !request->complete)
			return -EBADMSG;
		connection->phase = UP_PHASE_TUNNEL;
		connection->keep = false;
		request->tunnel = true;
	} else {
		connection->phase = UP_PHASE_BODY;
		connection->framing = head->framing;
		connection->left = head->length;
		connection->keep = head->persistent && head->framing != HTTP_BODY_CLOSE;
		http1_chunk_setup(&connection->chunk);
	}
	request->operations->head(request, head);
	return connection->request == request;
}

static int take_head(struct up_connection *connection, const char **at, const char *end)
{
	struct up_request *request = connection->request;
	struct http_head *head = connection->context->head;
	ssize_t len;
	int err;

	len = http1_head_length(*at, end - *at, &connection->scanned);
	if (len < 0)
		return len;
	if ((len ? (size_t)len : (size_t)(end - *at)) > head_max(connection))
		return -E2BIG;
	if (!len)
		return 0;
	connection->scanned = 0;
	err = http1_decode_response(head, *at, len, request->to_head);
	if (err)
		return err;
	*at += len;
	if (head->status >= 200 || head->status == 101)
		return take_final(connection, head);
	if (++connection->interims > UP_INTERIM_MAX)
		return -EBADMSG;
	request->operations->interim(request, head);
	/* A sign of life: it gets its time again. */
	loop_timer_stop(&connection->timer);
	return connection->request == request;
}

static int take_chunks(struct up_connection *connection, const char **at, const char *end)
{
	struct up_request *request = connection->request;
	struct http_text data;
	int event = http1_chunk_next(&connection->chunk, at, end, &data);

	switch (event) {
	case HTTP1_CHUNK_DATA:
		request->operations->data(request, data.data, data.len);
		return connection->request == request;
	case HTTP1_CHUNK_LAST:
		connection->phase = UP_PHASE_TRAILERS;
		return 1;
	default:
		return event;	/* HTTP1_CHUNK_MORE is 0 */
	}
}

static int take_body(struct up_connection *connection, const char **at, const char *end)
{
	struct up_request *request = connection->request;
	size_t len = end - *at;

	if (connection->framing == HTTP_BODY_STREAM)
		return take_chunks(connection, at, end);
	if (connection->framing == HTTP_BODY_NONE)
		connection->left = 0;
	if (connection->framing != HTTP_BODY_CLOSE && len > connection->left)
		len = connection->left;
	if (len)
		request->operations->data(request, *at, len);
	*at += len;
	if (connection->request != request)
		return 0;
	if (connection->framing == HTTP_BODY_CLOSE)
		return *at < end;
	connection->left -= len;
	if (connection->left)
		return 0;
	finish(connection, NULL, *at < end);
	return 0;
}

static int take_trailers(struct up_connection *connection, const char **at, const char *end)
{
	struct http_head *head = connection->context->head;
	ssize_t len;
	int err;

	len = http1_head_length(*at, end - *at, &connection->scanned);
	if (len < 0)
		return len;
	if ((len ? (size_t)len : (size_t)(end - *at)) > head_max(connection))
		return -E2BIG;
	if (!len)
		return 0;
	connection->scanned = 0;
	if (len > 2) {
		err = http1_decode_trailers(head, *at, len);
		if (err)
			return err;
	}
	*at += len;
	finish(connection, len > 2 ? head : NULL, *at < end);
	return 0;
}

static int take(struct up_connection *connection, const char **at, const char *end)
{
	struct up_request *request = connection->request;

	switch (connection->phase) {
	case UP_PHASE_HEAD:
		return take_head(connection, at, end);
	case UP_PHASE_BODY:
		return take_body(connection, at, end);
	case UP_PHASE_TRAILERS:
		return take_trailers(connection, at, end);
	case UP_PHASE_TUNNEL:
		request->operations->data(request, *at, end - *at);
		*at = end;
		return 0;
	}
	return -EBADMSG;
}

/* Keeps the bytes from @at on: an incomplete head that the next read completes. */
static int save_rest(struct up_connection *connection, const char *bytes, const char *at,
		     const char *end)
{
	struct buf *in = &connection->in;

	if (in->data && bytes == buf_head(in)) {
		buf_consume(connection->context->buffers, in, at - bytes);
		return 0;
	}
	return at == end ? 0 : buf_append(connection->context->buffers, in, at, end - at);
}

void up_http1_feed(struct up_connection *connection, const char *bytes, size_t len)
{
	struct up_request *request = connection->request;
	const char *at = bytes, *end = bytes + len;
	int more = 1;

	if (!connection->answered) {
		connection->answered = true;
		/* Never to be sent again. */
		if (!up_connection_pending(connection)) {
			buf_clear(connection->context->buffers, &connection->out);
			connection->sent = 0;
			connection->lost = true;
		}
	}
	while (more > 0 && (at < end || connection->phase == UP_PHASE_BODY))
		more = take(connection, &at, end);
	/* Over: it may be freed already. */
	if (connection->request != request)
		return;
	if (more < 0 || save_rest(connection, bytes, at, end)) {
		up_connection_fail(connection, UP_MALFORMED);
		return;
	}
	request->operations->flush(request);
}

void up_http1_feed_end(struct up_connection *connection)
{
	struct up_request *request = connection->request;

	if (connection->phase == UP_PHASE_TUNNEL) {
		if (!connection->ended) {
			connection->ended = true;
			request->operations->end(request, NULL);
		}
		if (connection->request == request && connection->shut_done)
			up_connection_fail(connection, UP_OK);
	} else if (connection->phase == UP_PHASE_BODY &&
		   connection->framing == HTTP_BODY_CLOSE) {
		finish(connection, NULL, false);
	} else {
		up_connection_fail(connection, UP_FAILED);
	}
}
