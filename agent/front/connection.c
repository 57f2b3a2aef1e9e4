/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection, see connection.h.
 *
 *	accepted -> (TLS) handshake -> protocol -> closed, freed at the turn's end
 */
#include "front/connection.h"
#include "front/early.h"
#include "front/http3.h"
#include "front/limit.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Without EPOLLOUT: a new socket can be written to, and would be announced at once. Most
 * never fill their buffer; one that has is asked about from then on.
 */
#define CONNECTION_EVENTS	(EPOLLIN | EPOLLRDHUP | EPOLLET)

/* In the order of preference. */
static const struct front_protocol *const front_protocols[] = {
	&front_http2,
	&front_http1,
};

const struct front_protocol *front_protocol_at(unsigned int index)
{
	return index < sizeof(front_protocols) / sizeof(front_protocols[0]) ?
		       front_protocols[index] : NULL;
}

const struct front_protocol *front_protocol_find(const char *alpn, size_t len)
{
	const struct front_protocol *protocol;
	unsigned int i;

	for (i = 0; (protocol = front_protocol_at(i)); i++) {
		if (strlen(protocol->alpn) == len && !memcmp(protocol->alpn, alpn, len))
			return protocol;
	}
	return NULL;
}

static void bury(struct loop_task *task)
{
	struct front_connection *connection = container_of(task, struct front_connection, task);

	/* Not earlier: OpenSSL may have been on the stack when it was closed. */
	if (connection->tls)
		front_tls_detach(connection);
	if (connection->quic) {
		front_http3_free(connection);
		quic_connection_free(connection->quic);
	}
	slab_free(&connection->thread->connections, connection);
}

void front_connection_close(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;

	if (connection->closed)
		return;
	connection->closed = true;
	if (connection->protocol)
		connection->protocol->closed(connection);
	front_early_free(connection);
	if (connection->quic)
		quic_connection_closed(connection->quic);
	else
		close(connection->source.fd);
	connection->source.fd = -1;
	loop_timer_stop(&connection->timer);
	buf_clear(&thread->buffers, &connection->in);
	buf_clear(&thread->buffers, &connection->out);
	list_del(&connection->node);
	front_connection_uncount(connection);
	thread->open_count--;
	front_uncount(thread, connections_open);
	connection->task.run = bury;
	loop_bury(&thread->loop, &connection->task);
	front_listener_resume(thread);
	if (thread->draining && !thread->open_count)
		thread->loop.stop = true;
}

void front_connection_reset(struct front_connection *connection)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (connection->closed)
		return;
	if (connection->quic) {
		quic_connection_fail(connection->quic, NGHTTP3_H3_INTERNAL_ERROR);
		return;
	}
	setsockopt(connection->source.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	front_connection_close(connection);
}

/* True once the protocol is chosen. */
static bool handshake(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;
	const unsigned char *alpn = NULL;
	unsigned int len = 0;
	int result;

	if (connection->protocol)
		return true;
	if (connection->ssl) {
		result = front_tls_handshake(connection);
		if (result < 0) {
			front_count(thread, tls_handshakes_failed);
			front_connection_close(connection);
		}
		if (result <= 0)
			return false;
		if (!connection->early)
			front_count(thread, tls_handshakes);
		if (connection->challenge) {
			/* Nothing is spoken on it (RFC 8737 3). */
			front_connection_shutdown(connection);
			front_connection_close(connection);
			return false;
		}
		SSL_get0_alpn_selected(connection->ssl, &alpn, &len);
	}
	/* A client without ALPN speaks HTTP/1. */
	connection->protocol = len ? front_protocol_find((const char *)alpn, len) : &front_http1;
	if (connection->ssl) {
		front_tls_settle(connection);
		/* Data may have come with the last flight. */
		connection->readable = connection->early || front_tls_has_more(connection);
	}
	connection->protocol->setup(connection);
	if (connection->thread->draining && !connection->closed)
		connection->protocol->drain(connection);
	return !connection->closed;
}

static void run(struct front_connection *connection)
{
	if (connection->closed || !handshake(connection))
		return;
	if (connection->early && !connection->quic && !front_early_run(connection))
		return;
	if (front_connection_pending(connection) && connection->writable)
		front_connection_flush(connection);
	connection->protocol->run(connection);
}

static void task_run(struct loop_task *task)
{
	run(container_of(task, struct front_connection, task));
}

static void source_ready(struct loop_source *source, uint32_t events)
{
	struct front_connection *connection = container_of(source, struct front_connection, source);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		connection->socket_readable = connection->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		connection->hangup = true;
	if (events & EPOLLERR)
		connection->broken = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		connection->writable = true;
	run(connection);
}

static void timer_expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct front_connection *connection = container_of(timer, struct front_connection, timer);

	front_count(connection->thread, timeouts_client);
	if (connection->protocol)
		connection->protocol->expired(connection, class);
	else
		front_connection_close(connection);
}

/* An IPv4 client of an IPv6 socket is an IPv4 client. */
void front_connection_set_client(struct front_connection *connection,
				 const struct sockaddr_storage *peer)
{
	struct up_client *client = &connection->client;

	memset(client, 0, sizeof(*client));
	if (peer->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)peer;

		client->address.family = AF_INET;
		client->address.v4 = in->sin_addr;
		client->port = ntohs(in->sin_port);
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;

		client->port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			client->address.family = AF_INET;
			memcpy(&client->address.v4, &in6->sin6_addr.s6_addr[12], 4);
		} else {
			client->address.family = AF_INET6;
			client->address.v6 = in6->sin6_addr;
		}
	}
	address_format(&client->address, connection->client_text);
}

struct front_connection *front_connection_create(struct front_thread *thread,
						 const struct sockaddr_storage *peer)
{
	struct front_connection *connection = slab_alloc(&thread->connections);

	if (!connection)
		return NULL;
	connection->source.fd = -1;
	connection->source.ready = source_ready;
	connection->thread = thread;
	connection->writable = true;
	loop_task_setup(&connection->task, task_run);
	loop_timer_setup(&connection->timer, timer_expired);
	front_connection_set_client(connection, peer);
	return connection;
}

void front_connection_begin(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;

	list_add_tail(&connection->node, &thread->open);
	thread->open_count++;
	front_count(thread, connections_open);
}

void front_connection_uncount(struct front_connection *connection)
{
	if (connection->counted)
		limit_connection_put(connection->thread->board->limits, connection->client_slot);
	connection->counted = false;
}

/* The host's own: what runs there may do worse than open connections. */
static bool is_loopback(const struct address *client)
{
	return client->family == AF_INET ? ntohl(client->v4.s_addr) >> 24 == 127 :
					   IN6_IS_ADDR_LOOPBACK(&client->v6);
}

bool front_connection_allowed(struct front_connection *connection, bool proven)
{
	struct front_thread *thread = connection->thread;
	const struct image_settings *settings = front_settings(thread);
	const struct address *client = &connection->client.address;
	struct limit_table *limits = thread->board->limits;
	unsigned int forgotten = 0;
	bool slow = true;

	if (front_memory_full(thread)) {
		front_count(thread, connections_refused_memory);
		return false;
	}
	if (is_loopback(client))
		return true;
	if (settings->handshakes_per_client)
		slow = limit_handshake(limits, client, proven, settings->handshakes_per_client,
				       limit_now(), &forgotten);
	if (forgotten)
		front_count_add(thread, limits_forgotten, forgotten);
	if (!slow) {
		front_count(thread, connections_refused_rate);
		return false;
	}
	if (!settings->connections_per_client_max)
		return true;
	connection->counted = limit_connection_get(limits, client,
						   settings->connections_per_client_max,
						   &connection->client_slot);
	if (!connection->counted)
		front_count(thread, connections_refused_client);
	return connection->counted;
}

void front_connection_open(struct front_listener *listener, int fd,
			   const struct sockaddr_storage *peer)
{
	struct front_thread *thread = listener->thread;
	struct front_connection *connection = front_connection_create(thread, peer);
	bool tls = listener->tls;

	if (!connection)
		goto err_close;
	connection->source.fd = fd;
	connection->redirects = listener->redirects;
	if (!front_connection_allowed(connection, true))
		goto err_free;
	if (tls && (!thread->tls || front_tls_attach(thread->tls, connection)))
		goto err_free;
	if (loop_add(&thread->loop, &connection->source, CONNECTION_EVENTS))
		goto err_detach;
	front_connection_begin(connection);
	if (tls)
		loop_timer_start(&thread->loop, &connection->timer, LOOP_TIMER_HANDSHAKE);
	else
		handshake(connection);
	return;

err_detach:
	if (connection->tls)
		front_tls_detach(connection);
err_free:
	front_connection_uncount(connection);
	slab_free(&thread->connections, connection);
err_close:
	close(fd);
}

ssize_t front_connection_read(struct front_connection *connection, void *bytes, size_t len)
{
	ssize_t n;

	if (connection->tls) {
		n = front_tls_read(connection, bytes, len);
	} else {
		do {
			n = recv(connection->source.fd, bytes, len, 0);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			n = errno == EAGAIN ? -EAGAIN : -ECONNRESET;
		if (n == -EAGAIN || (n > 0 && (size_t)n < len && !connection->hangup))
			connection->readable = connection->socket_readable = false;
	}
	if (n > 0)
		front_count_add(connection->thread, bytes_from_clients, n);
	return n;
}

void front_connection_blocked(struct front_connection *connection)
{
	connection->writable = false;
	if (connection->asks_writable)
		return;
	connection->asks_writable = true;
	/* Says at once what became possible since. */
	if (loop_modify(&connection->thread->loop, &connection->source,
			CONNECTION_EVENTS | EPOLLOUT)) {
		connection->broken = true;
		front_connection_post(connection);
	}
}

void front_connection_flush(struct front_connection *connection)
{
	struct buf *out = &connection->out;
	ssize_t n;

	while (front_connection_pending(connection) && connection->writable &&
	       !connection->closed) {
		if (connection->tls) {
			n = front_tls_write(connection, buf_head(out), buf_len(out));
		} else {
			n = send(connection->source.fd, buf_head(out), buf_len(out), MSG_NOSIGNAL);
			if (n < 0)
				n = errno == EINTR ? 0 : errno == EAGAIN ? -EAGAIN : -ECONNRESET;
		}
		if (n == -EAGAIN) {
			front_connection_blocked(connection);
		} else if (n < 0) {
			connection->broken = true;
			front_connection_post(connection);
		} else {
			front_count_add(connection->thread, bytes_to_clients, n);
			buf_consume(&connection->thread->buffers, out, n);
		}
	}
}

void front_connection_shutdown(struct front_connection *connection)
{
	if (connection->closed)
		return;
	if (connection->tls)
		front_tls_shutdown(connection);
	shutdown(connection->source.fd, SHUT_WR);
}
