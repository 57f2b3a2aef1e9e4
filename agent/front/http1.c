/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading HTTP/1 requests (RFC 9112). One at a time: what a client sends after a
 * request stays in the kernel, or in one bounded buffer, until that request is
 * answered. What is not plainly right is answered with 400 and the connection
 * ends; nothing of it reaches a container.
 *
 *	HEAD -> BODY -> TRAILERS -> WAIT -> HEAD ...
 *	     `----------------------^   `-> TUNNEL (101)
 *	any -> LINGER: we are done, the client may not have noticed
 *
 * A client that ends its side before the response is complete is taken to be
 * gone (except in a tunnel): there is no other sign of it while an app thinks.
 */
#include "front/http1.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "front/early.h"
#include "lib/http1.h"

/* Reads of one connection in a row, before others get their turn. */
#define READS_IN_A_ROW	16
/* Thrown away for a client that goes on sending after we are done. */
#define LINGER_BYTES_MAX	(64 * 1024 * 1024)

static void setup(struct front_connection *connection)
{
	connection->http1.phase = FRONT_HTTP1_HEAD;
	front_http1_update_timer(connection);
}

void front_http1_update_timer(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;
	enum loop_timer_class class = LOOP_TIMER_NONE;
	bool stretch = false;

	if (connection->closed)
		return;
	if (http1->phase == FRONT_HTTP1_LINGER) {
		class = LOOP_TIMER_LINGER;
	} else if (front_connection_pending(connection)) {
		class = LOOP_TIMER_BODY;
		stretch = true;
	} else if (http1->phase == FRONT_HTTP1_HEAD) {
		class = buf_len(&connection->in) ? LOOP_TIMER_HEAD : LOOP_TIMER_KEEPALIVE;
	} else if ((http1->phase == FRONT_HTTP1_BODY || http1->phase == FRONT_HTTP1_TRAILERS) &&
		   !(http1->exchange && exchange_request_blocked(http1->exchange))) {
		class = LOOP_TIMER_BODY;
		stretch = true;
	}
	if (stretch)
		loop_timer_start(&connection->thread->loop, &connection->timer, class);
	else
		loop_timer_keep(&connection->thread->loop, &connection->timer, class);
}

static void abort_exchange(struct front_connection *connection)
{
	struct exchange *exchange = connection->http1.exchange;

	connection->http1.exchange = NULL;
	if (exchange)
		exchange_abort(exchange);
}

/* Answers malformed input, where an answer can still be told from a response. */
static void malformed(struct front_connection *connection, unsigned int status, const char *code,
		      const char *message)
{
	struct front_http1_state *http1 = &connection->http1;

	if (status == 414 || status == 431)
		front_count(connection->thread, refused_too_large);
	else
		front_count(connection->thread, refused_malformed);
	if (http1->exchange && http1->exchange->status) {
		abort_exchange(connection);
		front_connection_reset(connection);
		return;
	}
	abort_exchange(connection);
	front_http1_refuse(connection, status, code, message);
}

/* ---- taking what stands at *at: 1 go on, 0 not now, negative malformed ---- */

static void malformed_head(struct front_connection *connection, int err)
{
	switch (err) {
	case -ENOSYS:
		malformed(connection, 501, "unknown_method", "this request method is not known here");
		break;
	case -EPROTONOSUPPORT:
		malformed(connection, 505, "http_version", "HTTP/1.1 or HTTP/1.0 is expected here");
		break;
	case -E2BIG:
		malformed(connection, 431, "too_many_fields", "the request has too many header fields");
		break;
	case -EFBIG:
		malformed(connection, 431, "head_too_large", "the header section is too large");
		break;
	case -ENAMETOOLONG:
		malformed(connection, 414, "target_too_long", "the request line is too long");
		break;
	default:
		malformed(connection, 400, "malformed_request", "the request is not valid HTTP");
		break;
	}
}

/*
 * The length of the complete section at @at, 0 where it is not complete yet, a
 * negative errno where it is malformed or too large.
 */
static ssize_t section_length(struct front_connection *connection, const char *at, size_t len)
{
	size_t most = front_settings(connection->thread)->head_bytes_max;
	ssize_t section = http1_head_length(at, len, &connection->http1.scanned);

	if (section < 0)
		return section;
	if ((section ? (size_t)section : len) <= most)
		return section;
	return memchr(at, '\n', most) ? -EFBIG : -ENAMETOOLONG;
}

static void begin(struct front_connection *connection, struct http_head *head)
{
	struct front_http1_state *http1 = &connection->http1;
	uint32_t most = front_settings(connection->thread)->requests_per_connection_max;

	head->tls = connection->tls != NULL;
	http1->minor = head->minor;
	http1->to_head = head->method == HTTP_METHOD_HEAD;
	http1->framing = head->framing;
	http1->left = head->length;
	http1->requests++;
	http1->persistent = head->persistent && (!most || http1->requests < most);
	http1->response_framing = HTTP_BODY_NONE;
	http1_chunk_setup(&http1->chunk);
	http1->phase = FRONT_HTTP1_BODY;
	if (head->framing == HTTP_BODY_NONE || (head->framing == HTTP_BODY_LENGTH && !http1->left))
		http1->phase = FRONT_HTTP1_WAIT;
	http1->exchange = exchange_begin(connection, &front_http1_exchange, NULL, head);
	/* "Content-Length: 0" is a body too, of nothing. */
	if (http1->exchange && http1->phase == FRONT_HTTP1_WAIT &&
	    head->framing == HTTP_BODY_LENGTH)
		exchange_request_end(http1->exchange, NULL);
}

static int take_head(struct front_connection *connection, const char **at, const char *end)
{
	struct front_http1_state *http1 = &connection->http1;
	struct http_head *head = &connection->thread->request_head;
	ssize_t len;
	int err;

	/* One empty line before a request line is forgiven (RFC 9112 2.2). */
	if (!http1->scanned && end - *at >= 2 && !memcmp(*at, "\r\n", 2))
		*at += 2;
	if (*at == end)
		return 0;
	len = section_length(connection, *at, end - *at);
	if (len <= 0)
		return len;
	http1->scanned = 0;
	err = http1_decode_request(head, *at, len);
	if (err)
		return err;
	*at += len;
	/* The client's own are counted; there is room for ours. */
	head->fields_max += FRONT_FIELDS_ADDED;
	begin(connection, head);
	head->fields_max -= FRONT_FIELDS_ADDED;
	return 1;
}

static int take_chunks(struct front_connection *connection, const char **at, const char *end)
{
	struct front_http1_state *http1 = &connection->http1;
	struct http_text data;
	int event = http1_chunk_next(&http1->chunk, at, end, &data);

	if (event == HTTP1_CHUNK_DATA) {
		if (http1->exchange)
			exchange_request_data(http1->exchange, data.data, data.len);
		return 1;
	}
	if (event == HTTP1_CHUNK_LAST) {
		http1->phase = FRONT_HTTP1_TRAILERS;
		return 1;
	}
	return event;
}

static int take_body(struct front_connection *connection, const char **at, const char *end)
{
	struct front_http1_state *http1 = &connection->http1;
	size_t len = end - *at;

	if (http1->framing == HTTP_BODY_STREAM)
		return take_chunks(connection, at, end);
	if (len > http1->left)
		len = http1->left;
	if (http1->exchange)
		exchange_request_data(http1->exchange, *at, len);
	*at += len;
	http1->left -= len;
	if (http1->left)
		return 0;
	http1->phase = FRONT_HTTP1_WAIT;
	if (http1->exchange)
		exchange_request_end(http1->exchange, NULL);
	return 1;
}

static int take_trailers(struct front_connection *connection, const char **at, const char *end)
{
	struct front_http1_state *http1 = &connection->http1;
	struct http_head *head = &connection->thread->request_head;
	ssize_t len = section_length(connection, *at, end - *at);
	int err;

	if (len <= 0)
		return len;
	http1->scanned = 0;
	if (len > 2) {
		err = http1_decode_trailers(head, *at, len);
		if (err)
			return err;
	}
	*at += len;
	http1->phase = FRONT_HTTP1_WAIT;
	if (http1->exchange)
		exchange_request_end(http1->exchange, len > 2 ? head : NULL);
	return 1;
}

static int take(struct front_connection *connection, const char **at, const char *end)
{
	struct front_http1_state *http1 = &connection->http1;

	/* Answered before it was complete: the rest is not wanted. */
	if (http1->responded)
		return 0;
	switch (http1->phase) {
	case FRONT_HTTP1_HEAD:
		return take_head(connection, at, end);
	case FRONT_HTTP1_BODY:
		return *at < end ? take_body(connection, at, end) : 0;
	case FRONT_HTTP1_TRAILERS:
		return *at < end ? take_trailers(connection, at, end) : 0;
	case FRONT_HTTP1_TUNNEL:
		if (http1->exchange)
			exchange_request_data(http1->exchange, *at, end - *at);
		*at = end;
		return 0;
	default:
		return 0;
	}
}

/* Keeps the bytes from @at on for later. */
static void save_rest(struct front_connection *connection, const char *bytes, const char *at,
		      const char *end)
{
	struct buf_pool *buffers = &connection->thread->buffers;
	struct buf *in = &connection->in;

	if (in->data && bytes == buf_head(in))
		buf_consume(buffers, in, at - bytes);
	else if (at < end && buf_append(buffers, in, at, end - at))
		connection->broken = true;
	/* In WAIT nobody has looked at them; elsewhere they are known not to be enough. */
	connection->http1.unread = buf_len(in) && connection->http1.phase == FRONT_HTTP1_WAIT;
}

static void feed(struct front_connection *connection, const char *bytes, size_t len)
{
	struct front_http1_state *http1 = &connection->http1;
	const char *at = bytes, *end = bytes + len;
	int more = 1;

	http1->feeding = true;
	while (more > 0)
		more = take(connection, &at, end);
	if (more < 0)
		malformed_head(connection, more);
	http1->feeding = false;
	if (connection->closed)
		return;
	save_rest(connection, bytes, at, end);
	if (http1->exchange)
		exchange_request_flush(http1->exchange);
	if (http1->responded)
		front_http1_settle(connection);
}

/* ---- between requests, and the end ---- */

static void linger(struct front_connection *connection)
{
	connection->http1.phase = FRONT_HTTP1_LINGER;
	buf_clear(&connection->thread->buffers, &connection->in);
	front_connection_shutdown(connection);
	connection->readable = connection->socket_readable = true;
	front_connection_post(connection);
}

void front_http1_settle(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;
	bool complete = http1->phase == FRONT_HTTP1_WAIT;

	if (connection->closed || http1->phase == FRONT_HTTP1_LINGER)
		return;
	if (connection->broken) {
		front_connection_post(connection);
		return;
	}
	/* The next request waits until this response has left us, and TLS can be ended well. */
	if (front_connection_pending(connection) || front_early_pending(connection)) {
		front_http1_update_timer(connection);
		return;
	}
	http1->responded = false;
	/* A worker that was replaced waits for the request that it can answer with a close. */
	if (complete && http1->persistent &&
	    (!connection->thread->draining || connection->thread->replaced)) {
		http1->phase = FRONT_HTTP1_HEAD;
		if (http1->unread || connection->readable)
			front_connection_post(connection);
		front_http1_update_timer(connection);
		return;
	}
	/* With bytes unread, closing would reset what the client has not read yet. */
	if (!complete || connection->readable || buf_len(&connection->in)) {
		linger(connection);
		return;
	}
	front_connection_shutdown(connection);
	front_connection_close(connection);
}

/* The client ended its side. */
static void input_over(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;

	connection->readable = false;
	if (http1->phase == FRONT_HTTP1_TUNNEL && http1->exchange) {
		if (!http1->input_ended) {
			http1->input_ended = true;
			exchange_request_end(http1->exchange, NULL);
			exchange_request_flush(http1->exchange);
		}
		return;
	}
	abort_exchange(connection);
	front_connection_close(connection);
}

/* False where nothing more can be read now. */
static bool read_some(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;
	char *into = thread->scratch;
	size_t size = thread->scratch_size;
	ssize_t n;

	if (buf_len(&connection->in)) {
		if (buf_reserve(&thread->buffers, &connection->in, BUF_SMALLEST)) {
			connection->broken = true;
			return true;
		}
		into = buf_tail(&connection->in);
		size = buf_room(&connection->in);
	}
	n = front_connection_read(connection, into, size);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		if (n < 0)
			connection->broken = true;
		else
			input_over(connection);
		return n < 0;
	}
	if (into == thread->scratch) {
		feed(connection, into, n);
	} else {
		connection->in.end += n;
		feed(connection, buf_head(&connection->in), buf_len(&connection->in));
	}
	return true;
}

static void discard(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;
	ssize_t n;
	int reads;

	for (reads = 0; reads < READS_IN_A_ROW; reads++) {
		n = recv(connection->source.fd, thread->scratch, thread->scratch_size, 0);
		if (n < 0 && errno == EAGAIN) {
			front_http1_update_timer(connection);
			return;
		}
		if (n > 0)
			connection->http1.lingered += n;
		if (n <= 0 || connection->http1.lingered > LINGER_BYTES_MAX) {
			front_connection_close(connection);
			return;
		}
	}
	front_http1_update_timer(connection);
	front_connection_post(connection);
}

/* Whether the phase wants bytes now. */
static bool wants_input(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;

	switch (http1->phase) {
	case FRONT_HTTP1_HEAD:
		return !front_connection_pending(connection);
	case FRONT_HTTP1_BODY:
	case FRONT_HTTP1_TRAILERS:
		return http1->exchange && !exchange_request_blocked(http1->exchange);
	case FRONT_HTTP1_TUNNEL:
		return http1->exchange && !http1->input_ended &&
		       !exchange_request_blocked(http1->exchange);
	default:
		return false;
	}
}

/* What was written may let the response, or a tunnel's end, go on. */
static void output_progress(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;

	if (front_connection_pending(connection))
		return;
	if (http1->responded)
		front_http1_settle(connection);
	if (connection->closed)
		return;
	if (http1->waiting && http1->exchange) {
		http1->waiting = false;
		exchange_resume(http1->exchange);
	}
	if (http1->phase == FRONT_HTTP1_TUNNEL && http1->output_ended) {
		if (!http1->exchange) {
			front_connection_shutdown(connection);
			front_connection_close(connection);
		} else if (!http1->output_shut) {
			http1->output_shut = true;
			front_connection_shutdown(connection);
		}
	}
}

static void run(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;
	int reads;

	for (reads = 0; !connection->closed; reads++) {
		if (connection->broken ||
		    (connection->hangup && http1->phase == FRONT_HTTP1_WAIT && http1->exchange)) {
			abort_exchange(connection);
			front_connection_close(connection);
			return;
		}
		if (http1->phase == FRONT_HTTP1_LINGER) {
			discard(connection);
			return;
		}
		output_progress(connection);
		if (connection->closed)
			return;
		if (http1->phase == FRONT_HTTP1_LINGER || !wants_input(connection) ||
		    (!http1->unread && !connection->readable))
			break;
		if (reads == READS_IN_A_ROW) {
			front_connection_post(connection);
			break;
		}
		if (http1->unread)
			feed(connection, buf_head(&connection->in), buf_len(&connection->in));
		else if (!read_some(connection))
			break;
	}
	front_http1_update_timer(connection);
}

static void expired(struct front_connection *connection, enum loop_timer_class class)
{
	struct front_http1_state *http1 = &connection->http1;
	struct exchange *exchange = http1->exchange;

	if (class == LOOP_TIMER_HEAD ||
	    (class == LOOP_TIMER_BODY && !front_connection_pending(connection) &&
	     !(exchange && exchange->status))) {
		abort_exchange(connection);
		front_http1_refuse(connection, 408, "request_timeout",
				   "the request did not arrive in time");
		front_http1_settle(connection);
		return;
	}
	abort_exchange(connection);
	if (class == LOOP_TIMER_BODY)
		front_connection_reset(connection);
	else
		front_connection_close(connection);
}

static void drain(struct front_connection *connection)
{
	struct front_http1_state *http1 = &connection->http1;

	/* Its next response says that it is the last; none may come for keepalive_timeout. */
	if (connection->thread->replaced)
		return;
	http1->persistent = false;
	if (http1->phase == FRONT_HTTP1_HEAD && !buf_len(&connection->in) &&
	    !connection->readable && !front_connection_pending(connection)) {
		front_connection_shutdown(connection);
		front_connection_close(connection);
	}
}

static void closed(struct front_connection *connection)
{
	abort_exchange(connection);
}

const struct front_protocol front_http1 = {
	.alpn = "http/1.1",
	.setup = setup,
	.run = run,
	.expired = expired,
	.drain = drain,
	.closed = closed,
};
