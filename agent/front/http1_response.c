/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTTP/1 responses: what an exchange gives is encoded into the
 * connection's buffer and leaves with the next flush, so that a head and the
 * first bytes of its body go in one write.
 */
#include "front/http1.h"

#include <errno.h>

#include "front/refusal.h"
#include "lib/http1.h"

static struct front_http1_state *state_of(struct exchange *exchange)
{
	return &exchange->connection->http1;
}

/* No memory for what has to be said: the connection cannot go on. */
static void check(struct front_connection *connection, int err)
{
	if (!err)
		return;
	connection->broken = true;
	front_connection_post(connection);
}

static void on_interim(struct exchange *exchange, struct http_head *head)
{
	struct front_connection *connection = exchange->connection;
	struct http1_encoding encoding = {.framing = HTTP_BODY_NONE};

	/* RFC 9110 15.2: HTTP/1.0 does not know them. */
	if (connection->http1.minor)
		check(connection, http1_encode_response(&connection->thread->buffers,
							&connection->out, head, &encoding));
}

static struct http_text upgrade_of(const struct http_head *head)
{
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		if (head->fields[i].id == HTTP_FIELD_UPGRADE)
			return head->fields[i].value;
	}
	return (struct http_text){0};
}

/* How this client will know where the body ends. */
static void choose_framing(struct front_http1_state *http1, const struct http_head *head,
			   struct http1_encoding *encoding)
{
	encoding->framing = head->framing;
	encoding->length = head->length;
	if (head->framing == HTTP_BODY_STREAM || head->framing == HTTP_BODY_CLOSE) {
		encoding->framing = http1->minor ? HTTP_BODY_STREAM : HTTP_BODY_CLOSE;
		if (!http1->minor)
			http1->persistent = false;
	}
	http1->response_framing = encoding->framing;
	/* The length that a body would have had (RFC 9110 8.6); 1xx and 204 have none. */
	if (head->framing == HTTP_BODY_NONE && head->has_length && head->status >= 200 &&
	    head->status != 204)
		encoding->framing = HTTP_BODY_LENGTH;
}

static void on_head(struct exchange *exchange, struct http_head *head)
{
	struct front_connection *connection = exchange->connection;
	struct front_http1_state *http1 = &connection->http1;
	struct http1_encoding encoding = {0};

	if (exchange->close || connection->thread->draining)
		http1->persistent = false;
	/* A HEAD request gets no body from us either. */
	if (http1->to_head && head->framing != HTTP_BODY_NONE)
		head->framing = HTTP_BODY_NONE;
	if (head->status == 101) {
		encoding.connection = HTTP1_CONNECTION_UPGRADE;
		encoding.upgrade = upgrade_of(head);
		http1->phase = FRONT_HTTP1_TUNNEL;
		http1->persistent = false;
		http1->response_framing = HTTP_BODY_CLOSE;
		/* Bytes of the new protocol may have come with the request. */
		front_connection_post(connection);
	} else {
		choose_framing(http1, head, &encoding);
		if (!http1->persistent)
			encoding.connection = HTTP1_CONNECTION_CLOSE;
		else if (!http1->minor)
			encoding.connection = HTTP1_CONNECTION_KEEP_ALIVE;
	}
	check(connection, http1_encode_response(&connection->thread->buffers, &connection->out,
						head, &encoding));
}

static void on_data(struct exchange *exchange, const char *data, size_t len)
{
	struct front_connection *connection = exchange->connection;
	struct buf_pool *buffers = &connection->thread->buffers;

	if (!len || connection->broken)
		return;
	switch (connection->http1.response_framing) {
	case HTTP_BODY_STREAM:
		check(connection, http1_encode_chunk(buffers, &connection->out, data, len));
		break;
	case HTTP_BODY_NONE:
		break;
	default:
		check(connection, buf_append(buffers, &connection->out, data, len));
		break;
	}
}

static void on_end(struct exchange *exchange, struct http_head *trailers)
{
	struct front_connection *connection = exchange->connection;
	struct front_http1_state *http1 = &connection->http1;

	if (http1->phase == FRONT_HTTP1_TUNNEL) {
		/* Half-closed: FIN follows the last byte. */
		http1->output_ended = true;
		front_connection_flush(connection);
		front_connection_post(connection);
		return;
	}
	if (http1->response_framing == HTTP_BODY_STREAM)
		check(connection, http1_encode_last_chunk(&connection->thread->buffers,
							  &connection->out, trailers));
	http1->exchange = NULL;
	http1->responded = true;
	front_connection_flush(connection);
	if (!http1->feeding)
		front_http1_settle(connection);
}

static void on_over(struct exchange *exchange)
{
	struct front_connection *connection = exchange->connection;

	connection->http1.exchange = NULL;
	connection->http1.output_ended = true;
	connection->http1.input_ended = true;
	front_connection_post(connection);
}

static void on_reset(struct exchange *exchange)
{
	struct front_connection *connection = exchange->connection;

	connection->http1.exchange = NULL;
	/*
	 * Where the body's end is the connection's end, only a reset tells that it
	 * was not all; elsewhere the missing rest does.
	 */
	if (connection->http1.response_framing == HTTP_BODY_CLOSE)
		front_connection_reset(connection);
	else
		front_connection_close(connection);
}

static void on_flush(struct exchange *exchange)
{
	front_connection_flush(exchange->connection);
}

static bool on_blocked(struct exchange *exchange)
{
	if (!front_connection_pending(exchange->connection))
		return false;
	state_of(exchange)->waiting = true;
	front_http1_update_timer(exchange->connection);
	return true;
}

static void on_resume(struct exchange *exchange)
{
	front_connection_post(exchange->connection);
}

const struct exchange_front front_http1_exchange = {
	.interim = on_interim,
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.over = on_over,
	.reset = on_reset,
	.flush = on_flush,
	.blocked = on_blocked,
	.resume = on_resume,
};

void front_http1_refuse(struct front_connection *connection, unsigned int status,
			const char *code, const char *message)
{
	struct front_thread *thread = connection->thread;
	struct http1_encoding encoding = {.connection = HTTP1_CONNECTION_CLOSE};
	struct front_refusal refusal;

	front_audit_refused(connection, status, code);
	front_refusal_setup(&refusal, status, code, message, false);
	encoding.framing = HTTP_BODY_LENGTH;
	encoding.length = refusal.body_len;
	if (status < 500)
		front_count(thread, responses_4xx);
	else
		front_count(thread, responses_5xx);
	check(connection, http1_encode_response(&thread->buffers, &connection->out, &refusal.head,
						&encoding));
	check(connection, buf_append(&thread->buffers, &connection->out, refusal.body,
				     refusal.body_len));
	connection->http1.persistent = false;
	connection->http1.responded = true;
	front_connection_flush(connection);
}
