/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of many requests of a connection, see stream.h: from a header block to the
 * exchange, and from the exchange to what its protocol writes.
 */
#include "front/stream.h"

#include <string.h>

#include "front/refusal.h"

static const struct exchange_front front_stream_exchange;

static const struct front_stream_protocol *protocol_of(const struct front_stream *stream)
{
	return stream->among->protocol;
}

void front_streams_setup(struct front_streams *streams,
			 const struct front_stream_protocol *protocol)
{
	streams->protocol = protocol;
	list_setup(&streams->all);
	list_setup(&streams->waiting);
}

void front_streams_free(struct front_streams *streams)
{
	while (!list_empty(&streams->all))
		streams->protocol->free(list_first_entry(&streams->all, struct front_stream, node));
}

/* ---- time ---- */

void front_stream_update_timer(struct front_stream *stream, bool progress)
{
	struct loop *loop = &stream->connection->thread->loop;
	struct exchange *exchange = stream->exchange;
	enum loop_timer_class class = LOOP_TIMER_BODY;
	bool waits = protocol_of(stream)->waits(stream);

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

static void expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct front_stream *stream = container_of(timer, struct front_stream, timer);
	struct exchange *exchange = stream->exchange;

	front_count(stream->connection->thread, timeouts_client);
	if (!exchange || exchange->status) {
		protocol_of(stream)->reset(stream, FRONT_STREAM_TIMEOUT, 0);
		return;
	}
	stream->exchange = NULL;
	exchange_abort(exchange);
	front_stream_refuse(stream, 408, "request_timeout", "the request did not arrive in time");
}

/* ---- begin and end ---- */

void front_stream_setup(struct front_stream *stream, struct front_streams *among,
			struct front_connection *connection)
{
	stream->connection = connection;
	stream->among = among;
	list_setup(&stream->waiting);
	list_add_tail(&stream->node, &among->all);
	loop_timer_setup(&stream->timer, expired);
}

void front_stream_clear(struct front_stream *stream)
{
	struct buf_pool *buffers = &stream->connection->thread->buffers;

	if (stream->among->fed == stream)
		stream->among->fed = NULL;
	if (stream->exchange)
		exchange_abort(stream->exchange);
	loop_timer_stop(&stream->timer);
	buf_clear(buffers, &stream->trailers);
	buf_clear(buffers, &stream->early);
	list_del(&stream->node);
	list_del(&stream->waiting);
}

void front_stream_finished(struct front_stream *stream, bool in_order)
{
	if (in_order && stream->exchange && stream->exchange->tunnel && stream->request_ended &&
	    stream->ended)
		stream->closed = true;
	else
		protocol_of(stream)->free(stream);
}

/* ---- the request, to the exchange ---- */

static void flush(struct front_stream *stream)
{
	if (!stream->exchange)
		return;
	exchange_request_flush(stream->exchange);
	if (!exchange_request_blocked(stream->exchange))
		protocol_of(stream)->consume(stream);
	front_stream_update_timer(stream, true);
}

/* @stream's exchange was given something. */
static void touch(struct front_stream *stream)
{
	struct front_streams *streams = stream->among;

	if (streams->fed && streams->fed != stream)
		flush(streams->fed);
	streams->fed = stream;
}

void front_streams_flush(struct front_streams *streams)
{
	struct front_stream *stream = streams->fed;

	streams->fed = NULL;
	if (stream)
		flush(stream);
}

/* Makes the gathered block a request in @head; 0, or why not. */
static int decode(struct front_stream *stream, struct front_block *block, struct http_head *head,
		  bool ended, struct front_websocket *websocket)
{
	struct http_text protocol = {0};
	int err = front_block_request(stream->connection->thread, block, head, ended, &protocol);

	if (err || !protocol.len)
		return err;
	err = front_websocket_begin(head, protocol, ended, stream->accept, websocket);
	stream->websocket = !err;
	return err;
}

void front_stream_request(struct front_stream *stream, struct front_block *block, bool ended)
{
	struct front_connection *connection = stream->connection;
	struct http_head *head = &connection->thread->request_head;
	const struct front_block_fault *fault;
	struct front_websocket websocket;
	int err;

	stream->request_ended = ended;
	err = decode(stream, block, head, ended, &websocket);
	stream->to_head = head->method == HTTP_METHOD_HEAD;
	if (err) {
		fault = front_block_fault(connection->thread, err);
		front_stream_refuse(stream, fault->status, fault->code, fault->message);
		return;
	}
	head->tls = connection->tls || connection->http3;
	head->fields_max += FRONT_FIELDS_ADDED;
	stream->exchange = exchange_begin(connection, &front_stream_exchange, stream, head);
	head->fields_max -= FRONT_FIELDS_ADDED;
	if (connection->closed || !stream->exchange)
		return;
	if (ended && head->framing == HTTP_BODY_LENGTH)
		exchange_request_end(stream->exchange, NULL);
	touch(stream);
}

int front_stream_data(struct front_stream *stream, const char *data, size_t len)
{
	stream->unconsumed += len;
	/* To an app that has not agreed to a tunnel it would be a request. */
	if (stream->websocket && !stream->exchange->tunnel)
		return buf_append(&stream->connection->thread->buffers, &stream->early, data, len);
	exchange_request_data(stream->exchange, data, len);
	touch(stream);
	return 0;
}

void front_stream_end(struct front_stream *stream, struct http_head *trailers)
{
	if (stream->request_ended)
		return;
	stream->request_ended = true;
	if (!stream->exchange || (stream->websocket && !stream->exchange->tunnel))
		return;
	exchange_request_end(stream->exchange, trailers);
	touch(stream);
}

void front_stream_trailers(struct front_stream *stream, struct front_block *block)
{
	struct front_thread *thread = stream->connection->thread;
	struct http_head *head = &thread->request_head;
	int err = front_block_trailers(thread, block, head);

	/* A tunnel has none (RFC 9113 8.5, RFC 9114 4.4). */
	if (!err && !stream->websocket) {
		front_stream_end(stream, head->fields_count ? head : NULL);
		return;
	}
	front_count(thread, refused_malformed);
	protocol_of(stream)->reset(stream, FRONT_STREAM_MALFORMED, 0);
}

/* The app agreed to a tunnel: what came before belongs into it. */
static void begin_tunnel(struct front_stream *stream)
{
	if (buf_len(&stream->early))
		exchange_request_data(stream->exchange, buf_head(&stream->early),
				      buf_len(&stream->early));
	buf_clear(&stream->connection->thread->buffers, &stream->early);
	if (stream->request_ended)
		exchange_request_end(stream->exchange, NULL);
	flush(stream);
}

/* ---- the answer ---- */

static struct front_stream *stream_of(struct exchange *exchange)
{
	return exchange->owner;
}

static void give_head(struct front_stream *stream, struct http_head *head)
{
	bool tunnel = stream->exchange && stream->exchange->tunnel, length;

	if (tunnel)
		head->status = 200;
	/* The length that a body would have had counts too (RFC 9110 8.6). */
	length = !tunnel && head->has_length && head->framing != HTTP_BODY_STREAM &&
		 head->framing != HTTP_BODY_CLOSE && head->status != 204;
	stream->bodiless = !tunnel && (stream->to_head || head->framing == HTTP_BODY_NONE ||
				       (head->framing == HTTP_BODY_LENGTH && !head->length));
	protocol_of(stream)->head(stream, head, length);
}

void front_stream_refuse(struct front_stream *stream, unsigned int status, const char *code,
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
	give_head(stream, &refusal.head);
	/* Without memory for it the status has to do. */
	if (!stream->bodiless)
		protocol_of(stream)->output(stream, refusal.body, refusal.body_len);
	stream->ended = true;
	front_stream_update_timer(stream, true);
	protocol_of(stream)->resume(stream);
}

/* The app did something else than the WebSocket that was asked for. */
static void refuse_websocket(struct front_stream *stream)
{
	struct exchange *exchange = stream->exchange;

	stream->exchange = NULL;
	front_count(stream->connection->thread, upstream_failed);
	exchange_abort(exchange);
	front_stream_refuse(stream, 502, "no_websocket",
			    "the service did not accept the WebSocket as one");
}

static void on_interim(struct exchange *exchange, struct http_head *head)
{
	struct front_stream *stream = stream_of(exchange);

	protocol_of(stream)->interim(stream, head);
	front_connection_post(stream->connection);
}

static void on_head(struct exchange *exchange, struct http_head *head)
{
	struct front_stream *stream = stream_of(exchange);

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
	give_head(stream, head);
	if (exchange->tunnel)
		begin_tunnel(stream);
	front_connection_post(stream->connection);
}

static void on_data(struct exchange *exchange, const char *data, size_t len)
{
	struct front_stream *stream = stream_of(exchange);
	const struct front_stream_protocol *protocol = protocol_of(stream);
	bool idle = !protocol->waits(stream);

	if (!len || stream->bodiless || stream->closed)
		return;
	if (protocol->output(stream, data, len)) {
		/* No memory for what has to be said: the connection cannot go on. */
		stream->connection->broken = true;
		front_connection_post(stream->connection);
		return;
	}
	if (idle)
		front_stream_update_timer(stream, true);
	if (stream->deferred)
		protocol->resume(stream);
}

/* Keeps those fields that go; without memory the body ends without them. */
static void keep_trailers(struct front_stream *stream, const struct http_head *trailers)
{
	struct buf_pool *buffers = &stream->connection->thread->buffers;

	for (unsigned int i = 0; i < trailers->fields_count; i++) {
		if (!trailers->fields[i].drop)
			record_add(buffers, &stream->trailers, trailers->fields[i].name,
				   trailers->fields[i].value);
	}
}

static void on_end(struct exchange *exchange, struct http_head *trailers)
{
	struct front_stream *stream = stream_of(exchange);

	if (trailers && !stream->bodiless)
		keep_trailers(stream, trailers);
	/* A tunnel is half-closed; anything else is over. */
	if (!exchange->tunnel)
		stream->exchange = NULL;
	stream->ended = true;
	front_stream_update_timer(stream, false);
	protocol_of(stream)->resume(stream);
}

static void on_over(struct exchange *exchange)
{
	struct front_stream *stream = stream_of(exchange);

	stream->exchange = NULL;
	if (stream->closed) {
		protocol_of(stream)->free(stream);
		return;
	}
	stream->ended = true;
	front_stream_update_timer(stream, false);
	protocol_of(stream)->resume(stream);
}

static void on_reset(struct exchange *exchange)
{
	struct front_stream *stream = stream_of(exchange);

	stream->exchange = NULL;
	protocol_of(stream)->reset(stream, FRONT_STREAM_APP, exchange->upstream.reset_code);
}

static void on_flush(struct exchange *exchange)
{
	front_connection_post(exchange->connection);
}

static bool on_blocked(struct exchange *exchange)
{
	struct front_stream *stream = stream_of(exchange);

	if (!protocol_of(stream)->full(stream))
		return false;
	if (list_empty(&stream->waiting))
		list_add_tail(&stream->waiting, &stream->among->waiting);
	return true;
}

static void on_resume(struct exchange *exchange)
{
	struct front_stream *stream = stream_of(exchange);

	protocol_of(stream)->consume(stream);
	front_stream_update_timer(stream, true);
	front_connection_post(stream->connection);
}

void front_streams_wake(struct front_streams *streams)
{
	struct front_stream *stream, *tmp;

	list_for_each_entry_safe(stream, tmp, &streams->waiting, waiting) {
		if (streams->protocol->full(stream))
			continue;
		list_del(&stream->waiting);
		if (stream->exchange)
			exchange_resume(stream->exchange);
	}
}

static const struct exchange_front front_stream_exchange = {
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
