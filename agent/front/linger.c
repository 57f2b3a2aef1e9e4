/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a connection whose client may still be sending: closing with bytes
 * unread would reset it, and the client would lose our last words. So they are
 * written, our side is shut, and what comes is thrown away, for a bounded time
 * and a bounded number of bytes. A protocol of its own: none of HTTP is left.
 */
#include <errno.h>
#include <sys/socket.h>

#include "front/connection.h"

/* Thrown away for a client that goes on sending after we are done. */
#define LINGER_BYTES_MAX	(1024 * 1024)

static void run(struct front_connection *connection)
{
	struct front_thread *thread = connection->thread;
	ssize_t n;

	if (connection->closed)
		return;
	front_connection_flush(connection);
	if (!connection->broken && front_connection_pending(connection))
		return;
	if (!connection->broken && !connection->shut) {
		connection->shut = true;
		front_connection_shutdown(connection);
	}
	while (!connection->broken && connection->lingered <= LINGER_BYTES_MAX) {
		n = recv(connection->source.fd, thread->scratch, thread->scratch_size, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		connection->lingered += n;
	}
	front_connection_close(connection);
}

static void expired(struct front_connection *connection, enum loop_timer_class class)
{
	front_connection_close(connection);
}

static void ignore(struct front_connection *connection)
{
}

static const struct front_protocol front_lingering = {
	.setup = ignore,
	.run = run,
	.expired = expired,
	.drain = ignore,
	.closed = ignore,
};

void front_connection_linger(struct front_connection *connection)
{
	if (connection->closed)
		return;
	connection->protocol->closed(connection);
	connection->protocol = &front_lingering;
	buf_clear(&connection->thread->buffers, &connection->in);
	loop_timer_start(&connection->thread->loop, &connection->timer, LOOP_TIMER_LINGER);
	front_connection_post(connection);
}
