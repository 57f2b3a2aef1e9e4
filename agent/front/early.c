/* SPDX-License-Identifier: Apache-2.0 */
/* Early data, see early.h. */
#include "front/early.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "front/exchange.h"
#include "front/limit.h"
#include "front/quic.h"
#include "front/replay.h"

/* ---- whether it is taken ---- */

/* Asked by OpenSSL once the ticket is known to be its client's, and young enough. */
static int on_early_data(SSL *ssl, void *argument)
{
	struct front_thread *thread = argument;
	struct replay_table *replays = thread->board->replays;
	SSL_SESSION *session = SSL_get_session(ssl);
	uint8_t hello[REPLAY_HELLO_LEN];
	void *name = NULL;
	size_t len = 0;

	if (!session || SSL_SESSION_get0_ticket_appdata(session, &name, &len) != 1 ||
	    len != REPLAY_NAME_LEN || memcmp(name, replay_table_name(replays), len) ||
	    SSL_get_client_random(ssl, hello, sizeof(hello)) != sizeof(hello))
		return 0;
	switch (replay_take(replays, hello, limit_now())) {
	case REPLAY_NEW:
		front_count(thread, early_taken);
		return 1;
	case REPLAY_SEEN:
		front_count(thread, early_replayed);
		return 0;
	case REPLAY_FULL:
		break;
	}
	return 0;
}

void front_early_offer(SSL *ssl, struct front_thread *thread)
{
	if (!front_settings(thread)->early_data)
		return;
	SSL_set_max_early_data(ssl, FRONT_EARLY_BYTES_MAX);
	SSL_set_recv_max_early_data(ssl, FRONT_EARLY_BYTES_MAX);
	SSL_set_allow_early_data_cb(ssl, on_early_data, thread);
}

bool front_early_offered(const SSL *ssl)
{
	return SSL_get_max_early_data(ssl) > 0;
}

void front_early_count(const SSL *ssl, struct front_thread *thread)
{
	if (front_early_offered(ssl) && SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_REJECTED)
		front_count(thread, early_refused);
}

bool front_early_pending(const struct front_connection *connection)
{
	if (connection->quic)
		return !connection->quic->handshaken;
	return connection->early && !connection->early->over;
}

bool front_early_allowed(const struct front_connection *connection, const struct http_head *head)
{
	if (connection->quic && !connection->quic->proven)
		return false;
	if (head->upgrade || (head->framing != HTTP_BODY_NONE &&
			      !(head->framing == HTTP_BODY_LENGTH && !head->length)))
		return false;
	return head->method == HTTP_METHOD_GET || head->method == HTTP_METHOD_HEAD ||
	       head->method == HTTP_METHOD_OPTIONS;
}

/* ---- what waits ---- */

static void expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct front_early *early = container_of(timer, struct front_early, timer);
	struct front_connection *connection = early->connection;

	/* As long as the client does not read, its protocol's clock runs. */
	if (early->writing) {
		loop_timer_start(&connection->thread->loop, timer, class);
		return;
	}
	front_count(connection->thread, timeouts_client);
	front_connection_close(connection);
}

static struct front_early *create(struct front_connection *connection)
{
	struct front_early *early = calloc(1, sizeof(*early));

	if (!early)
		return NULL;
	early->connection = connection;
	list_setup(&early->waits);
	loop_timer_setup(&early->timer, expired);
	connection->early = early;
	return early;
}

int front_early_wait(struct exchange *exchange, const struct http_head *head)
{
	struct front_connection *connection = exchange->connection;
	struct authorize_wait *wait;

	if (!connection->early && !create(connection))
		return -ENOMEM;
	wait = authorize_wait_create(exchange, head, NULL);
	if (!wait)
		return -ENOMEM;
	list_add_tail(&wait->node, &connection->early->waits);
	return 0;
}

/* What one of them does may close the connection, and with it free the others' list. */
static void go_on(struct front_early *early)
{
	struct authorize_wait *wait;
	struct list due;

	list_setup(&due);
	while (!list_empty(&early->waits)) {
		wait = list_first_entry(&early->waits, struct authorize_wait, node);
		list_del(&wait->node);
		list_add_tail(&wait->node, &due);
	}
	while (!list_empty(&due)) {
		wait = list_first_entry(&due, struct authorize_wait, node);
		list_del(&wait->node);
		if (wait->exchange)
			exchange_authorized(wait->exchange, wait);
		authorize_wait_free(wait);
	}
}

void front_early_over(struct front_connection *connection)
{
	if (!connection->early || connection->early->over)
		return;
	connection->early->over = true;
	loop_timer_stop(&connection->early->timer);
	go_on(connection->early);
}

void front_early_free(struct front_connection *connection)
{
	struct front_early *early = connection->early;
	struct authorize_wait *wait;

	if (!early)
		return;
	connection->early = NULL;
	loop_timer_stop(&early->timer);
	while (!list_empty(&early->waits)) {
		wait = list_first_entry(&early->waits, struct authorize_wait, node);
		list_del(&wait->node);
		authorize_wait_free(wait);
	}
	buf_clear(&connection->thread->buffers, &early->in);
	free(early);
}

/* ---- TCP ---- */

/* -EAGAIN, or -EPROTO: it has failed. */
static int failure(SSL *ssl, int result)
{
	int error = SSL_get_error(ssl, result);

	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -EAGAIN : -EPROTO;
}

/* One record of it: 1 and *@len, 0 where it has ended, a negative errno. */
static int read_record(SSL *ssl, char bytes[FRONT_EARLY_BYTES_MAX], size_t *len)
{
	ERR_clear_error();
	switch (SSL_read_early_data(ssl, bytes, FRONT_EARLY_BYTES_MAX, len)) {
	case SSL_READ_EARLY_DATA_SUCCESS:
		return 1;
	case SSL_READ_EARLY_DATA_FINISH:
		return 0;
	default:
		return failure(ssl, -1);
	}
}

int front_early_handshake(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;
	char bytes[FRONT_EARLY_BYTES_MAX];
	size_t len;
	int result;

	result = read_record(connection->ssl, bytes, &len);
	if (result <= 0)
		return result;
	if (!create(connection) ||
	    buf_append(&thread->buffers, &connection->early->in, bytes, len))
		return -ENOMEM;
	loop_timer_start(&thread->loop, &connection->early->timer, LOOP_TIMER_HANDSHAKE);
	return 1;
}

/* OpenSSL sees to it that this is no more than FRONT_EARLY_BYTES_MAX in all. */
static int read_all(struct front_connection *connection)
{
	struct front_early *early = connection->early;
	char bytes[FRONT_EARLY_BYTES_MAX];
	size_t len;
	int result;

	while ((result = read_record(connection->ssl, bytes, &len)) > 0) {
		if (buf_append(&connection->thread->buffers, &early->in, bytes, len))
			return -ENOMEM;
		connection->readable = true;
	}
	early->read = !result;
	/* The end of early data takes OpenSSL into the rest of the handshake. */
	early->finishing = result < 0 && SSL_want_write(connection->ssl);
	return result;
}

/* 0: the handshake is over; a negative errno. */
static int finish(struct front_connection *connection)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(connection->ssl);
	if (result == 1)
		return 0;
	connection->early->finishing = SSL_want_write(connection->ssl);
	return failure(connection->ssl, result);
}

bool front_early_run(struct front_connection *connection)
{
	struct front_early *early = connection->early;
	int err = 0;

	/* A record that is half written comes first. */
	if (early->over || early->writing)
		return true;
	if (!early->read)
		err = read_all(connection);
	if (!err)
		err = finish(connection);
	if (err == -EAGAIN)
		return true;
	if (err) {
		front_count(connection->thread, tls_handshakes_failed);
		front_connection_close(connection);
		return false;
	}
	front_count(connection->thread, tls_handshakes);
	front_tls_finished(connection);
	/* What follows came with the last flight, or the early data waits to be read. */
	connection->readable = buf_len(&early->in) || front_tls_has_more(connection);
	front_early_over(connection);
	return !connection->closed;
}

ssize_t front_early_read(struct front_connection *connection, void *bytes, size_t len)
{
	struct front_early *early = connection->early;

	if (len > buf_len(&early->in))
		len = buf_len(&early->in);
	memcpy(bytes, buf_head(&early->in), len);
	buf_consume(&connection->thread->buffers, &early->in, len);
	if (buf_len(&early->in))
		return (ssize_t)len;
	connection->readable = early->over && front_tls_has_more(connection);
	return len ? (ssize_t)len : -EAGAIN;
}

ssize_t front_early_write(struct front_connection *connection, const void *bytes, size_t len)
{
	struct front_early *early = connection->early;
	size_t written;
	int result;

	/* Nothing may come between the parts of a record: front_early_run() goes on with it. */
	if (early->finishing)
		return -EAGAIN;
	ERR_clear_error();
	result = SSL_write_early_data(connection->ssl, bytes, len, &written);
	if (result != 1) {
		early->writing = failure(connection->ssl, result) == -EAGAIN;
		return early->writing ? -EAGAIN : -ECONNRESET;
	}
	/* The handshake may have waited for this. */
	if (early->writing)
		front_connection_post(connection);
	early->writing = false;
	return (ssize_t)written;
}
