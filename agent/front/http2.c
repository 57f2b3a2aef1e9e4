/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 connection: its session with nghttp2, bytes in and out, time, end.
 *
 *	setup -> (preface) -> streams come and go -> GOAWAY, the last one ends -> linger
 *	              fault: GOAWAY with a reason -> linger
 *	   client gone, no progress: closed at once
 *
 * nghttp2 is entered from run() alone, never from inside one of its callbacks;
 * what an exchange says in between only queues, and posts the connection.
 */
#include "front/http2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads of one connection in a row, before others get their turn. */
#define READS_IN_A_ROW	16
/* The same for writes. */
#define WRITES_IN_A_ROW	16
/*
 * Frames that may wait to be sent before no more are read: a client that does
 * not take its answers cannot make us gather them. Every stream may have a few.
 */
#define OUTBOUND_MAX	(8 * FRONT_HTTP2_STREAMS_MAX)

/* ---- begin and end ---- */

static int create_session(struct front_connection *connection)
{
	struct front_http2 *http2 = connection->http2;
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int err = -ENOMEM;

	if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option))
		goto out;
	front_http2_request_callbacks(callbacks);
	front_http2_response_callbacks(callbacks);
	front_http2_limits(option);
	if (!nghttp2_session_server_new2(&http2->session, callbacks, connection, option))
		err = 0;
out:
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return err;
}

static int announce(struct front_connection *connection)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, FRONT_HTTP2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, FRONT_HTTP2_STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		 front_settings(connection->thread)->head_bytes_max},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},	/* RFC 8441 */
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},	/* RFC 9218 */
	};
	nghttp2_session *session = connection->http2->session;

	if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
				    sizeof(settings) / sizeof(settings[0])))
		return -ENOMEM;
	return nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
						     FRONT_HTTP2_WINDOW) ? -ENOMEM : 0;
}

static void update_timer(struct front_connection *connection, bool progress)
{
	struct front_http2 *http2 = connection->http2;
	struct loop *loop = &connection->thread->loop;

	if (front_connection_pending(connection)) {
		if (progress)
			loop_timer_start(loop, &connection->timer, LOOP_TIMER_BODY);
		else
			loop_timer_keep(loop, &connection->timer, LOOP_TIMER_BODY);
	} else if (!http2->begun || http2->head_stream) {
		loop_timer_keep(loop, &connection->timer, LOOP_TIMER_HEAD);
	} else if (list_empty(&http2->streams.all)) {
		loop_timer_keep(loop, &connection->timer, LOOP_TIMER_KEEPALIVE);
	} else {
		loop_timer_stop(&connection->timer);
	}
}

static void setup(struct front_connection *connection)
{
	struct front_http2 *http2 = calloc(1, sizeof(*http2));

	connection->http2 = http2;
	if (!http2) {
		front_connection_close(connection);
		return;
	}
	front_streams_setup(&http2->streams, &front_http2_streams);
	front_count(connection->thread, http2_connections);
	if (create_session(connection) || announce(connection)) {
		front_connection_close(connection);
		return;
	}
	update_timer(connection, false);
	front_connection_post(connection);
}

static void destroy(struct front_http2 *http2)
{
	nghttp2_session_del(http2->session);
	free(http2);
}

static void closed(struct front_connection *connection)
{
	struct front_http2 *http2 = connection->http2;

	if (!http2)
		return;
	front_streams_free(&http2->streams);
	front_block_clear(connection->thread, &http2->head);
	connection->http2 = NULL;
	http2->dead = true;
	/* nghttp2 may be on the stack. */
	if (!http2->busy)
		destroy(http2);
}

static void put_number(char *at, uint32_t number)
{
	at[0] = number >> 24;
	at[1] = number >> 16;
	at[2] = number >> 8;
	at[3] = number;
}

/*
 * The last word, by hand: nghttp2 has given up, or would send what waits before
 * it. @out ends with a whole frame at any time.
 */
static void end_with(struct front_connection *connection, uint32_t code)
{
	char frame[FRONT_HTTP2_FRAME_HEAD + 8] = {0, 0, 8, NGHTTP2_GOAWAY};

	put_number(frame + FRONT_HTTP2_FRAME_HEAD,
		   nghttp2_session_get_last_proc_stream_id(connection->http2->session));
	put_number(frame + FRONT_HTTP2_FRAME_HEAD + 4, code);
	/* Without memory it ends without a word. */
	buf_append(&connection->thread->buffers, &connection->out, frame, sizeof(frame));
	front_connection_linger(connection);
}

/* No further request; those that are under way, or on their way, are answered. */
void front_http2_shutdown(struct front_connection *connection)
{
	struct front_http2 *http2 = connection->http2;

	if (http2->draining)
		return;
	http2->draining = true;
	nghttp2_submit_shutdown_notice(http2->session);
	/* Its answer says that the client knows, see take_ping(). */
	nghttp2_submit_ping(http2->session, NGHTTP2_FLAG_NONE, NULL);
	front_connection_post(connection);
}

/* ---- bytes ---- */

/* Gives @bytes to nghttp2; false where the connection is over. */
static bool feed(struct front_connection *connection, const char *bytes, size_t len)
{
	struct front_http2 *http2 = connection->http2;
	nghttp2_ssize used;

	http2->busy = true;
	used = nghttp2_session_mem_recv2(http2->session, (const uint8_t *)bytes, len);
	http2->busy = false;
	if (http2->dead) {
		destroy(http2);
		return false;
	}
	front_streams_flush(&http2->streams);
	if (used >= 0)
		return true;
	end_with(connection, front_http2_fault(connection, used));
	return false;
}

static bool wants_input(struct front_connection *connection)
{
	return connection->readable && !connection->broken &&
	       nghttp2_session_want_read(connection->http2->session) &&
	       nghttp2_session_get_outbound_queue_size(connection->http2->session) < OUTBOUND_MAX;
}

/* False where the connection is over. */
static bool read_all(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;
	ssize_t n;
	int reads;

	for (reads = 0; reads < READS_IN_A_ROW && wants_input(connection); reads++) {
		n = front_connection_read(connection, thread->scratch, thread->scratch_size);
		if (n == -EAGAIN)
			return true;
		if (n <= 0) {
			/* Gone, whatever was under way: there is no half of an HTTP/2 client. */
			front_connection_close(connection);
			return false;
		}
		if (!feed(connection, thread->scratch, n))
			return false;
	}
	return true;
}

/* False where the connection is over. @progress: bytes have left. */
static bool write_all(struct front_connection *connection, bool *progress)
{
	struct front_http2 *http2 = connection->http2;
	size_t before;
	int writes, err;

	for (writes = 0; writes < WRITES_IN_A_ROW && !connection->broken; writes++) {
		http2->busy = true;
		err = nghttp2_session_send(http2->session);
		http2->busy = false;
		if (err) {
			front_connection_close(connection);
			return false;
		}
		before = buf_len(&connection->out);
		front_connection_flush(connection);
		*progress |= buf_len(&connection->out) < before;
		if (front_connection_pending(connection) || !before)
			return true;
	}
	front_connection_post(connection);
	return true;
}

static bool is_over(struct front_connection *connection)
{
	nghttp2_session *session = connection->http2->session;

	return !nghttp2_session_want_read(session) && !nghttp2_session_want_write(session) &&
	       !front_connection_pending(connection);
}

static void run(struct front_connection *connection)
{
	struct front_http2 *http2 = connection->http2;
	bool progress;

	if (connection->closed)
		return;
	progress = buf_len(&connection->out) < http2->pending;
	if (!read_all(connection) || !write_all(connection, &progress))
		return;
	if (connection->broken) {
		front_connection_close(connection);
		return;
	}
	if (is_over(connection)) {
		front_connection_linger(connection);
		return;
	}
	http2->pending = buf_len(&connection->out);
	update_timer(connection, progress);
	if (wants_input(connection))
		front_connection_post(connection);
}

static void expired(struct front_connection *connection, enum loop_timer_class class)
{
	if (class == LOOP_TIMER_BODY)
		front_connection_reset(connection);
	else
		end_with(connection, NGHTTP2_NO_ERROR);
}

const struct front_protocol front_http2 = {
	.alpn = "h2",
	.setup = setup,
	.run = run,
	.expired = expired,
	.drain = front_http2_shutdown,
	.closed = closed,
};
