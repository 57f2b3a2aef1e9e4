/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards clients, one connection of it, see tls.h. What connections share is in
 * tls_context.c.
 */
#include "front/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "front/early.h"
#include "front/tls13.h"
#include "front/tls_internal.h"

/* What a client's handshake is read by: it fits as a rule. */
#define HANDSHAKE_READ	4096

/* ---- the BIO ---- */

static ssize_t receive(BIO *bio, struct front_connection *connection, void *bytes, size_t len)
{
	ssize_t n;

	if (!connection->socket_readable) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = recv(connection->source.fd, bytes, len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		connection->socket_readable = errno == EINTR;
		BIO_set_retry_read(bio);
	} else if (n > 0 && (size_t)n < len && !connection->hangup) {
		/* A short read has emptied the socket. */
		connection->socket_readable = false;
	}
	return n;
}

/*
 * While the handshake lasts OpenSSL asks for one record at a time and is given no
 * byte more: what follows the last one may not be for it, see front_tls_settle().
 */
static int bio_read(BIO *bio, char *bytes, int len)
{
	struct front_connection *connection = BIO_get_data(bio);
	struct buf_pool *buffers = &connection->thread->buffers;
	struct buf *received = &connection->received;
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (!buf_len(received)) {
		if (connection->protocol)
			return receive(bio, connection, bytes, len);
		if (buf_reserve(buffers, received, HANDSHAKE_READ))
			return -1;
		n = receive(bio, connection, buf_tail(received), HANDSHAKE_READ);
		if (n <= 0) {
			buf_clear(buffers, received);
			return n;
		}
		received->end += n;
	}
	if ((size_t)len > buf_len(received))
		len = buf_len(received);
	memcpy(bytes, buf_head(received), len);
	buf_consume(buffers, received, len);
	return len;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
	struct front_connection *connection = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	n = send(connection->source.fd, bytes, len, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (errno == EAGAIN)
			front_connection_blocked(connection);
		BIO_set_retry_write(bio);
	}
	return n;
}

static long bio_control(BIO *bio, int command, long number, void *argument)
{
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

BIO_METHOD *front_tls_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hoody");

	if (method) {
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_control);
		BIO_meth_set_create(method, bio_create);
	}
	return method;
}

/* ---- the connection ---- */

int front_tls_attach(struct front_tls *tls, struct front_connection *connection)
{
	SSL *ssl = SSL_new(tls->context);
	BIO *bio = BIO_new(tls->bio);

	if (!ssl || !bio) {
		SSL_free(ssl);
		BIO_free(bio);
		return -ENOMEM;
	}
	BIO_set_data(bio, connection);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	front_early_offer(ssl, connection->thread);
	connection->ssl = ssl;
	connection->tls = front_tls_get(tls);
	connection->tls13 = front_tls13_create(ssl);
	return 0;
}

SSL *front_tls_quic(struct front_tls *tls, void *app_data)
{
	SSL *ssl = SSL_new(tls->context);

	if (!ssl || !SSL_set_app_data(ssl, app_data) ||
	    !SSL_set_min_proto_version(ssl, TLS1_3_VERSION)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

/* What a failed call means: -EAGAIN, 0 for the end, -ECONNRESET. */
static ssize_t failure(struct front_connection *connection, int result)
{
	switch (SSL_get_error(connection->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		ERR_clear_error();
		return -ECONNRESET;
	}
}

/*
 * OpenSSL keeps the client's key share for as long as the connection lives:
 * 6.9 kB with ML-KEM, a quarter of what an idle connection costs. A finished
 * handshake never asks for it again (no renegotiation). Setting the type frees
 * what the key holds; the empty one goes with the connection.
 */
static void forget_key_share(SSL *ssl)
{
	EVP_PKEY *key;

	if (SSL_get_peer_tmp_key(ssl, &key) != 1)
		return;
	EVP_PKEY_set_type(key, EVP_PKEY_X25519);
	EVP_PKEY_free(key);
}

void front_tls_finished(struct front_connection *connection)
{
	forget_key_share(connection->ssl);
}

int front_tls_handshake(struct front_connection *connection)
{
	int result;

	if (!connection->early_asked && front_early_offered(connection->ssl)) {
		result = front_early_handshake(connection);
		if (result == 1) {
			/* Answers come before its end: OpenSSL stays. */
			SSL_set_msg_callback(connection->ssl, NULL);
			front_tls13_destroy(connection->tls13, connection);
			connection->tls13 = NULL;
			return 1;
		}
		if (result)
			return result == -EAGAIN ? 0 : -EPROTO;
		connection->early_asked = true;
		front_early_count(connection->ssl, connection->thread);
	}
	ERR_clear_error();
	result = SSL_do_handshake(connection->ssl);
	if (result == 1)
		return 1;
	return failure(connection, result) == -EAGAIN ? 0 : -EPROTO;
}

void front_tls_settle(struct front_connection *connection)
{
	SSL *ssl = connection->ssl;

	if (connection->tls13 &&
	    front_tls13_begin(connection->tls13, connection->tls->ciphers, ssl)) {
		connection->ssl = NULL;
		SSL_free(ssl);
		return;
	}
	ERR_clear_error();
	SSL_set_msg_callback(ssl, NULL);
	front_tls13_destroy(connection->tls13, connection);
	connection->tls13 = NULL;
	if (SSL_is_init_finished(ssl))
		front_tls_finished(connection);
	/* One read for a record's head and body. */
	SSL_set_read_ahead(ssl, 1);
}

bool front_tls_has_more(const struct front_connection *connection)
{
	if (!connection->ssl)
		return front_tls13_has_more(connection);
	return connection->socket_readable || buf_len(&connection->received) ||
	       SSL_has_pending(connection->ssl);
}

ssize_t front_tls_read(struct front_connection *connection, void *bytes, size_t len)
{
	size_t total = 0;
	ssize_t error;
	int n;

	if (!connection->ssl)
		return front_tls13_read(connection, bytes, len);
	if (connection->early) {
		if (!connection->early->over || buf_len(&connection->early->in))
			return front_early_read(connection, bytes, len);
		front_early_free(connection);
	}
	ERR_clear_error();
	/* All that OpenSSL has: nothing else will announce it. */
	while (total < len) {
		n = SSL_read(connection->ssl, (char *)bytes + total,
			     len - total > INT_MAX ? INT_MAX : (int)(len - total));
		if (n > 0) {
			total += n;
			/*
			 * Nothing left on either side: asking again would only make
			 * OpenSSL take a buffer to wait with.
			 */
			if (!front_tls_has_more(connection)) {
				connection->readable = false;
				break;
			}
			continue;
		}
		error = failure(connection, n);
		if (error == -EAGAIN)
			connection->readable = connection->socket_readable;
		/* An end or an error behind data shows again next time. */
		return total ? (ssize_t)total : error;
	}
	return total;
}

ssize_t front_tls_write(struct front_connection *connection, const void *bytes, size_t len)
{
	int n;

	if (!connection->ssl)
		return front_tls13_write(connection, bytes, len);
	if (connection->early && !connection->early->over)
		return front_early_write(connection, bytes, len);
	ERR_clear_error();
	n = SSL_write(connection->ssl, bytes, len > INT_MAX ? INT_MAX : (int)len);
	if (n > 0)
		return n;
	n = failure(connection, n);
	return n ? n : -ECONNRESET;
}

void front_tls_shutdown(struct front_connection *connection)
{
	if (!connection->ssl) {
		front_tls13_shutdown(connection);
		return;
	}
	ERR_clear_error();
	if (SSL_is_init_finished(connection->ssl))
		SSL_shutdown(connection->ssl);
	ERR_clear_error();
}

void front_tls_detach(struct front_connection *connection)
{
	SSL_free(connection->ssl);
	connection->ssl = NULL;
	front_tls13_destroy(connection->tls13, connection);
	connection->tls13 = NULL;
	buf_clear(&connection->thread->buffers, &connection->received);
	front_tls_put(connection->tls);
	connection->tls = NULL;
}
