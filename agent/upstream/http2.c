/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 connection to a container: its session with nghttp2, bytes in and
 * out, its end. See http2.h.
 */
#include "upstream/http2.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Reads, and writes, of one connection in a row, before others get their turn. */
#define READS_IN_A_ROW	16
#define WRITES_IN_A_ROW	16
/* Frames that wait for the socket. */
#define WRITE_MARK	(64 * 1024)
/* Frames that nghttp2 may owe the app (answers to PING, SETTINGS) before no more are read. */
#define OUTBOUND_MAX	(8 * UP_HTTP2_STREAMS_MAX)

void up_http2_post(struct up_connection *connection)
{
	loop_post(connection->context->loop, &connection->task);
}

static nghttp2_ssize write_bytes(nghttp2_session *session, const uint8_t *bytes, size_t len,
				 int flags, void *user_data)
{
	struct up_connection *connection = user_data;

	if (buf_len(&connection->out) >= WRITE_MARK)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (buf_append(connection->context->buffers, &connection->out, bytes, len))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return len;
}

static int create_session(struct up_connection *connection)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int err = -ENOMEM;

	if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option))
		goto out;
	nghttp2_session_callbacks_set_send_callback2(callbacks, write_bytes);
	up_http2_response_callbacks(callbacks);
	/* Windows are given back as clients take what came. */
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_outbound_ack(option, OUTBOUND_MAX);
	if (!nghttp2_session_client_new2(&connection->http2->session, callbacks, connection,
					 option))
		err = 0;
out:
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return err;
}

static int announce(struct up_connection *connection)
{
	const struct image_settings *settings = &image_header(connection->context->image)->settings;
	const nghttp2_settings_entry entries[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UP_HTTP2_STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings->head_bytes_max},
	};
	nghttp2_session *session = connection->http2->session;

	if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries,
				    sizeof(entries) / sizeof(entries[0])))
		return -ENOMEM;
	return nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
						     UP_HTTP2_WINDOW) ? -ENOMEM : 0;
}

int up_http2_setup(struct up_connection *connection)
{
	struct up_http2 *http2 = calloc(1, sizeof(*http2));

	if (!http2)
		return -ENOMEM;
	list_setup(&http2->streams);
	list_setup(&http2->fed);
	list_setup(&http2->waiting);
	list_setup(&http2->resumed);
	connection->http2 = http2;
	return create_session(connection) || announce(connection) ? -ENOMEM : 0;
}

static void destroy(struct up_http2 *http2)
{
	nghttp2_session_del(http2->session);
	free(http2);
}

void up_http2_clear(struct up_connection *connection)
{
	struct up_http2 *http2 = connection->http2;

	while (!list_empty(&http2->streams))
		up_stream_free(list_first_entry(&http2->streams, struct up_stream, node));
	buf_clear(connection->context->buffers, &http2->block);
	http2->dead = true;
	connection->http2 = NULL;
	/* nghttp2 may be on the stack. */
	if (!http2->busy)
		destroy(http2);
}

void up_http2_fail(struct up_connection *connection, enum up_failure failure)
{
	struct up_container *container = connection->key.container;
	struct up_context *context = connection->context;
	struct up_stream *stream;

	/* No new request may choose it while the old ones are told. */
	list_del(&connection->in_bucket);
	connection->http2->goaway = true;
	container->holders++;
	while (!list_empty(&connection->http2->streams)) {
		stream = list_first_entry(&connection->http2->streams, struct up_stream, node);
		up_stream_fail(stream, failure, false);
		up_stream_free(stream);
	}
	up_connection_close(connection);
	up_container_put(context, container);
}

bool up_http2_accepts(const struct up_connection *connection)
{
	const struct up_http2 *http2 = connection->http2;
	uint32_t most;

	if (connection->closed || connection->broken || connection->hangup || http2->goaway ||
	    !nghttp2_session_check_request_allowed(http2->session))
		return false;
	most = nghttp2_session_get_remote_settings(http2->session,
						   NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	return http2->streams_count < (most < UP_HTTP2_STREAMS_MAX ? most : UP_HTTP2_STREAMS_MAX);
}

/* ---- bytes ---- */

/* False where the connection is over. */
static bool feed(struct up_connection *connection, const char *bytes, size_t len)
{
	struct up_http2 *http2 = connection->http2;
	nghttp2_ssize used;

	http2->busy = true;
	used = nghttp2_session_mem_recv2(http2->session, (const uint8_t *)bytes, len);
	http2->busy = false;
	if (http2->dead) {
		destroy(http2);
		return false;
	}
	up_http2_flush_fed(http2);
	if (used >= 0)
		return true;
	up_http2_fail(connection, UP_MALFORMED);
	return false;
}

static bool wants_input(const struct up_connection *connection)
{
	nghttp2_session *session = connection->http2->session;

	return connection->readable && nghttp2_session_want_read(session) &&
	       nghttp2_session_get_outbound_queue_size(session) < OUTBOUND_MAX;
}

/* False where the connection is over. */
static bool read_all(struct up_connection *connection)
{
	struct up_context *context = connection->context;
	ssize_t n;
	int reads;

	for (reads = 0; reads < READS_IN_A_ROW && wants_input(connection); reads++) {
		n = recv(connection->source.fd, context->scratch, context->scratch_size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			connection->readable = false;
			return true;
		}
		if (n <= 0) {
			up_http2_fail(connection, UP_FAILED);
			return false;
		}
		if (!feed(connection, context->scratch, n))
			return false;
	}
	return true;
}

/* False where the connection is over. */
static bool write_all(struct up_connection *connection)
{
	struct up_http2 *http2 = connection->http2;
	int writes, err;

	for (writes = 0; writes < WRITES_IN_A_ROW; writes++) {
		http2->busy = true;
		err = nghttp2_session_send(http2->session);
		http2->busy = false;
		if (http2->dead) {
			destroy(http2);
			return false;
		}
		if (err) {
			up_http2_fail(connection, UP_FAILED);
			return false;
		}
		if (!up_connection_pending(connection))
			return true;
		up_connection_flush(connection);
		if (up_connection_pending(connection) || connection->broken)
			return true;
	}
	up_http2_post(connection);
	return true;
}

/*
 * Exchanges that waited for room. Each call may end exchanges of this connection,
 * even the one that comes next; those that wait on go behind.
 */
static void wake_waiting(struct up_connection *connection)
{
	struct up_http2 *http2 = connection->http2;
	struct up_stream *stream;

	for (unsigned int left = http2->streams_count; left && !list_empty(&http2->waiting); left--) {
		stream = list_first_entry(&http2->waiting, struct up_stream, waiting);
		list_del(&stream->waiting);
		if (buf_len(&stream->out))
			list_add_tail(&stream->waiting, &http2->waiting);
		else if (stream->request)
			stream->request->operations->writable(stream->request);
	}
}

/* Gives windows back where clients have taken what was in them. */
static void take_resumed(struct up_connection *connection)
{
	struct up_http2 *http2 = connection->http2;
	struct up_stream *stream;

	while (!list_empty(&http2->resumed)) {
		stream = list_first_entry(&http2->resumed, struct up_stream, resumed);
		list_del(&stream->resumed);
		if (stream->request && !stream->request->operations->blocked(stream->request))
			up_stream_consume(stream);
		up_stream_update_timer(stream, true);
	}
}

static void update_timer(struct up_connection *connection, bool progress)
{
	struct loop *loop = connection->context->loop;

	if (!up_connection_pending(connection))
		loop_timer_stop(&connection->timer);
	else if (progress)
		loop_timer_start(loop, &connection->timer, LOOP_TIMER_BODY);
	else
		loop_timer_keep(loop, &connection->timer, LOOP_TIMER_BODY);
}

static void become_idle(struct up_connection *connection)
{
	struct up_context *context = connection->context;

	if (connection->http2->goaway || context->draining)
		up_connection_close(connection);
	else if (!connection->idle)
		up_pool_keep(connection);
}

/* Connected: the clocks of those that waited for that begin. */
static void begin(struct up_connection *connection)
{
	struct up_stream *stream;

	connection->http2->begun = true;
	list_for_each_entry(stream, &connection->http2->streams, node)
		up_stream_update_timer(stream, true);
}

void up_http2_run(struct up_connection *connection)
{
	struct up_http2 *http2 = connection->http2;
	size_t sent = connection->sent;

	if (!http2->begun)
		begin(connection);
	if (!read_all(connection))
		return;
	if (connection->broken) {
		up_http2_fail(connection, UP_FAILED);
		return;
	}
	take_resumed(connection);
	if (!write_all(connection))
		return;
	wake_waiting(connection);
	if (!nghttp2_session_want_read(http2->session) &&
	    !nghttp2_session_want_write(http2->session) && !up_connection_pending(connection)) {
		up_http2_fail(connection, UP_FAILED);
		return;
	}
	if (!http2->streams_count) {
		become_idle(connection);
		return;
	}
	update_timer(connection, connection->sent != sent);
	if (wants_input(connection))
		up_http2_post(connection);
}
