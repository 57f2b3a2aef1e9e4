/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests over HTTP/2 to a container: choosing the connection, sending, and
 * sending once more. See http2.h.
 *
 * A request is repeated on another connection where none of its body has been
 * given away and nothing of a response has come: once, where the connection was a
 * kept one and the method is idempotent; up to UP_HTTP2_REFUSED_MAX times, where
 * the app has said that it did not look at it (RFC 9113 8.7), since connections
 * that are there may all be about to say so.
 */
#include "upstream/http2.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/record.h"

#define REAL_IP_FIELD	"x-hoody-real-ip"

/* ---- streams ---- */

/* The exchange and the stream forget each other. */
static struct up_request *detach(struct up_stream *stream)
{
	struct up_request *request = stream->request;

	stream->request = NULL;
	loop_timer_stop(&stream->timer);
	list_del(&stream->fed);
	list_del(&stream->waiting);
	list_del(&stream->resumed);
	if (request) {
		request->connection = NULL;
		request->stream = NULL;
	}
	return request;
}

void up_stream_free(struct up_stream *stream)
{
	struct up_context *context = stream->connection->context;

	detach(stream);
	buf_clear(context->buffers, &stream->head);
	buf_clear(context->buffers, &stream->out);
	buf_clear(context->buffers, &stream->trailers);
	list_del(&stream->node);
	stream->connection->http2->streams_count--;
	slab_free(&context->streams, stream);
}

void up_stream_update_timer(struct up_stream *stream, bool progress)
{
	struct loop *loop = stream->connection->context->loop;
	const struct up_request *request = stream->request;
	enum loop_timer_class class;

	if (!request || stream->connection->connecting)
		class = LOOP_TIMER_NONE;
	else if (buf_len(&stream->out))
		class = LOOP_TIMER_BODY;
	else if (stream->headed)
		/* Open both ways, or a feed: it may be silent as long as a WebSocket. */
		class = LOOP_TIMER_UPGRADE;
	else if (request->complete)
		class = LOOP_TIMER_RESPONSE;
	else
		class = LOOP_TIMER_NONE;
	if (class == LOOP_TIMER_NONE)
		loop_timer_stop(&stream->timer);
	else if (progress && class != LOOP_TIMER_RESPONSE)
		loop_timer_start(loop, &stream->timer, class);
	else
		loop_timer_keep(loop, &stream->timer, class);
}

static void expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct up_stream *stream = container_of(timer, struct up_stream, timer);

	nghttp2_submit_rst_stream(stream->connection->http2->session, NGHTTP2_FLAG_NONE,
				  stream->id, NGHTTP2_CANCEL);
	up_http2_post(stream->connection);
	up_stream_fail(stream, UP_TIMEOUT, false);
}

static struct up_stream *create_stream(struct up_connection *connection, struct up_request *request)
{
	struct up_stream *stream = slab_alloc(&connection->context->streams);

	if (!stream)
		return NULL;
	stream->connection = connection;
	stream->request = request;
	list_setup(&stream->fed);
	list_setup(&stream->waiting);
	list_setup(&stream->resumed);
	loop_timer_setup(&stream->timer, expired);
	list_add_tail(&stream->node, &connection->http2->streams);
	connection->http2->streams_count++;
	return stream;
}

/* ---- heads ---- */

static int keep_head(struct up_stream *stream, const struct http_head *head)
{
	struct buf_pool *buffers = stream->connection->context->buffers;
	char length[HTTP_NUMBER_MAX];
	int err;

	err = record_add(buffers, &stream->head, HTTP_TEXT(":method"), head->method_name);
	if (!err)
		err = record_add(buffers, &stream->head, HTTP_TEXT(":scheme"), HTTP_TEXT("http"));
	if (!err)
		err = record_add(buffers, &stream->head, HTTP_TEXT(":authority"), head->authority);
	if (!err)
		err = record_add(buffers, &stream->head, HTTP_TEXT(":path"), head->target);
	for (unsigned int i = 0; i < head->fields_count && !err; i++) {
		const struct http_field *field = &head->fields[i];

		/* Ours, for HTTP/1 (front/fields.c); HTTP/2 has none. */
		if (!field->drop && !http_text_equal(field->name, HTTP_TEXT("Connection")))
			err = record_add(buffers, &stream->head, field->name, field->value);
	}
	if (!err && head->framing == HTTP_BODY_LENGTH) {
		size_t len = http_number(length, head->length);

		err = record_add(buffers, &stream->head, HTTP_TEXT("content-length"),
				 (struct http_text){length, len});
	}
	return err;
}

static nghttp2_nv pair(struct http_text name, struct http_text value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)name.data,
		.namelen = name.len,
		.value = (uint8_t *)value.data,
		.valuelen = value.len,
	};
}

/* The records of @from as a list in @memory, with room for one more. */
static nghttp2_nv *list_records(struct buf_pool *buffers, const struct buf *from,
				struct buf *memory, size_t *count)
{
	const char *at = buf_head(from), *end = buf_tail(from);
	struct http_text name, value;
	nghttp2_nv *items;

	if (buf_reserve(buffers, memory,
			((end - at) / sizeof(struct record) + 1) * sizeof(nghttp2_nv)))
		return NULL;
	items = (nghttp2_nv *)buf_head(memory);
	for (*count = 0; at < end; (*count)++) {
		record_next(&at, &name, &value);
		/* nghttp2 makes names lower case, and copies. */
		items[*count] = pair(name, value);
	}
	return items;
}

/* ---- bodies ---- */

static void submit_trailers(nghttp2_session *session, struct up_stream *stream)
{
	struct buf_pool *buffers = stream->connection->context->buffers;
	struct buf memory = {0};
	nghttp2_nv *items;
	size_t count;

	items = list_records(buffers, &stream->trailers, &memory, &count);
	/* Without memory the app must not take it for complete. */
	if (!items || nghttp2_submit_trailer(session, stream->id, items, count))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
					  NGHTTP2_INTERNAL_ERROR);
	buf_clear(buffers, &memory);
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
			       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct up_stream *stream = source->ptr;
	size_t have = buf_len(&stream->out), give = have < len ? have : len;

	if (!stream->request || (!have && !stream->ended)) {
		stream->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (give) {
		memcpy(bytes, buf_head(&stream->out), give);
		buf_consume(stream->connection->context->buffers, &stream->out, give);
		stream->taken = true;
		up_stream_update_timer(stream, true);
	}
	if (give < have || !stream->ended)
		return give;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (buf_len(&stream->trailers)) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		submit_trailers(session, stream);
	}
	return give;
}

static void resume(struct up_stream *stream)
{
	if (stream->deferred) {
		stream->deferred = false;
		nghttp2_session_resume_data(stream->connection->http2->session, stream->id);
	}
}

void up_stream_data(struct up_stream *stream, const char *data, size_t len)
{
	struct up_connection *connection = stream->connection;

	if (!len)
		return;
	if (buf_append(connection->context->buffers, &stream->out, data, len)) {
		/* Its end tells the exchange. */
		nghttp2_submit_rst_stream(connection->http2->session, NGHTTP2_FLAG_NONE,
					  stream->id, NGHTTP2_INTERNAL_ERROR);
		up_http2_post(connection);
		return;
	}
	resume(stream);
}

void up_stream_end(struct up_stream *stream, const struct http_head *trailers)
{
	struct buf_pool *buffers = stream->connection->context->buffers;

	for (unsigned int i = 0; trailers && i < trailers->fields_count; i++) {
		/* Without memory the body ends without them, as it may over any hop. */
		if (!trailers->fields[i].drop &&
		    record_add(buffers, &stream->trailers, trailers->fields[i].name,
			       trailers->fields[i].value))
			buf_clear(buffers, &stream->trailers);
	}
	stream->ended = true;
	resume(stream);
}

bool up_stream_blocked(struct up_stream *stream)
{
	if (!stream->connection->connecting && !buf_len(&stream->out))
		return false;
	if (list_empty(&stream->waiting))
		list_add_tail(&stream->waiting, &stream->connection->http2->waiting);
	return true;
}

void up_stream_resume(struct up_stream *stream)
{
	if (list_empty(&stream->resumed))
		list_add_tail(&stream->resumed, &stream->connection->http2->resumed);
	up_http2_post(stream->connection);
}

void up_stream_abort(struct up_stream *stream)
{
	detach(stream);
	nghttp2_submit_rst_stream(stream->connection->http2->session, NGHTTP2_FLAG_NONE,
				  stream->id, NGHTTP2_CANCEL);
	up_http2_post(stream->connection);
}

struct up_request *up_stream_finish(struct up_stream *stream)
{
	nghttp2_session *session = stream->connection->http2->session;

	/* Answered before the request was complete: nobody takes the rest. */
	if (!nghttp2_session_get_stream_local_close(session, stream->id))
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
	return detach(stream);
}

/* ---- begin, and once more ---- */

static int submit(struct up_stream *stream)
{
	struct up_connection *connection = stream->connection;
	nghttp2_data_provider2 provider = {.source.ptr = stream, .read_callback = read_body};
	struct buf_pool *buffers = connection->context->buffers;
	struct buf memory = {0};
	nghttp2_nv *items;
	size_t count;

	items = list_records(buffers, &stream->head, &memory, &count);
	if (!items)
		return -ENOMEM;
	items[count++] = pair(HTTP_TEXT(REAL_IP_FIELD), connection->real_ip ? HTTP_TEXT("socket") :
									       HTTP_TEXT("header"));
	stream->id = nghttp2_submit_request2(connection->http2->session, NULL, items, count,
					     stream->body ? &provider : NULL, stream);
	buf_clear(buffers, &memory);
	if (stream->id < 0)
		return -ENOMEM;
	stream->request->connection = connection;
	stream->request->stream = stream;
	up_http2_post(connection);
	return 0;
}

/* A kept connection may have died with its notice still in the kernel. */
static bool seems_alive(const struct up_connection *connection)
{
	char byte;
	ssize_t n = recv(connection->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* A connection with room, of those that are there; or NULL. */
static struct up_connection *take(struct up_context *context, const struct up_key *key)
{
	struct up_connection *connection;

	while ((connection = up_pool_find_http2(context, key, up_pool_hash(key)))) {
		if (connection->connecting || seems_alive(connection)) {
			up_pool_busy(connection);
			return connection;
		}
		/* Its end is read in its turn; until then nobody takes it. */
		connection->http2->goaway = true;
		connection->readable = true;
		up_http2_post(connection);
	}
	return NULL;
}

static struct up_connection *open_connection(struct up_context *context,
					     const struct image_container *container,
					     const struct up_client *client,
					     const struct up_key *key, enum up_failure *failure)
{
	struct up_connection *connection;

	if (!up_pool_make_room(context, key->container)) {
		*failure = UP_LIMIT;
		return NULL;
	}
	connection = up_connection_open(context, container, client, key, failure);
	if (!connection)
		return NULL;
	if (up_http2_setup(connection)) {
		up_connection_close(connection);
		*failure = UP_FAILED;
		return NULL;
	}
	loop_timer_start(context->loop, &connection->timer, LOOP_TIMER_CONNECT);
	up_pool_offer_http2(connection);
	return connection;
}

/* A stream of @request on some connection, not submitted yet; or NULL. */
static struct up_stream *place(struct up_context *context, struct up_request *request,
			       const struct image_container *container,
			       const struct up_client *client, const struct up_key *key,
			       enum up_failure *failure)
{
	struct up_connection *connection = take(context, key);
	struct up_stream *stream;

	request->reused = connection != NULL;
	if (connection)
		up_count(context, upstream_reused);
	else
		connection = open_connection(context, container, client, key, failure);
	if (!connection)
		return NULL;
	stream = create_stream(connection, request);
	/* One that stays without a stream is kept or closed in its turn. */
	up_http2_post(connection);
	if (!stream)
		*failure = UP_FAILED;
	return stream;
}

enum up_failure up_http2_start(struct up_context *context, struct up_request *request,
			       const struct image_container *container,
			       const struct up_client *client, const struct up_key *key,
			       const struct http_head *head)
{
	enum up_failure failure;
	struct up_stream *stream = place(context, request, container, client, key, &failure);

	if (!stream)
		return failure;
	stream->body = head->framing != HTTP_BODY_NONE;
	if (keep_head(stream, head) || submit(stream)) {
		up_stream_free(stream);
		return UP_FAILED;
	}
	request->body = stream->body;
	request->complete = !stream->body;
	request->client = *client;
	return UP_OK;
}

/* Sends the request of @old on another connection. False where it cannot. */
static bool repeat(struct up_stream *old, struct up_request *request)
{
	const struct up_key *key = &old->connection->key;
	struct up_context *context = old->connection->context;
	const struct image_container *container;
	enum up_failure failure;
	struct up_stream *stream;

	container = image_container_find(context->image, key->container->id);
	if (!container)
		return false;
	stream = place(context, request, container, &request->client, key, &failure);
	if (!stream)
		return false;
	stream->repeats = old->repeats + 1;
	stream->body = old->body;
	stream->ended = old->ended;
	stream->head = old->head;
	stream->out = old->out;
	stream->trailers = old->trailers;
	old->head = old->out = old->trailers = (struct buf){0};
	if (submit(stream)) {
		up_stream_free(stream);
		return false;
	}
	request->retried = true;
	if (!request->complete)
		up_stream_blocked(stream);
	up_count(context, upstream_retried);
	return true;
}

void up_stream_fail(struct up_stream *stream, enum up_failure failure, bool refused)
{
	struct up_request *request = detach(stream);
	bool again;

	if (!request)
		return;
	again = failure == UP_FAILED && !stream->answered && !stream->taken &&
		(refused ? stream->repeats < UP_HTTP2_REFUSED_MAX :
			   !request->retried && request->reused && request->idempotent);
	if (again && repeat(stream, request))
		return;
	request->operations->failed(request, failure);
}
