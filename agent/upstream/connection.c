/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a container: opening, reading, writing, time, end. See
 * connection.h for its states; what the bytes mean is http1.c's.
 */
#include "upstream/connection.h"
#include "upstream/http2.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads of one connection in a row, before others get their turn. */
#define READS_IN_A_ROW	16

static void run(struct up_connection *connection);

static void bury(struct loop_task *task)
{
	struct up_connection *connection = container_of(task, struct up_connection, task);

	slab_free(&connection->context->connections, connection);
}

static void task_run(struct loop_task *task)
{
	run(container_of(task, struct up_connection, task));
}

static void source_ready(struct loop_source *source, uint32_t events)
{
	struct up_connection *connection = container_of(source, struct up_connection, source);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		connection->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		connection->hangup = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		connection->writable = true;
	run(connection);
}

static void timer_expired(struct loop_timer *timer, enum loop_timer_class class)
{
	struct up_connection *connection = container_of(timer, struct up_connection, timer);

	if (connection->request || (connection->http2 && !connection->idle))
		up_connection_fail(connection, UP_TIMEOUT);
	else
		up_connection_close(connection);
}

struct up_connection *up_connection_open(struct up_context *context,
					 const struct image_container *container,
					 const struct up_client *client, const struct up_key *key,
					 enum up_failure *failure)
{
	struct up_connection *connection = slab_alloc(&context->connections);
	int fd;

	*failure = UP_FAILED;
	if (!connection)
		return NULL;
	fd = up_connect(context, container, client, key->port, &connection->real_ip);
	if (fd < 0) {
		if (fd == -EACCES)
			*failure = UP_REFUSED;
		goto err_free;
	}
	connection->context = context;
	connection->key = *key;
	connection->hash = up_pool_hash(key);
	connection->connecting = true;
	connection->source.fd = fd;
	connection->source.ready = source_ready;
	loop_task_setup(&connection->task, task_run);
	loop_timer_setup(&connection->timer, timer_expired);
	list_setup(&connection->in_bucket);
	list_setup(&connection->in_oldest);
	list_setup(&connection->in_container_idle);
	if (loop_add(context->loop, &connection->source,
		     EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
		goto err_close;
	key->container->holders++;
	key->container->open++;
	list_add_tail(&connection->in_container, &key->container->connections);
	return connection;

err_close:
	close(fd);
err_free:
	slab_free(&context->connections, connection);
	return NULL;
}

void up_connection_attach(struct up_connection *connection, struct up_request *request)
{
	connection->request = request;
	request->connection = connection;
	connection->phase = UP_PHASE_HEAD;
	connection->interims = 0;
	connection->answered = false;
	connection->waiting = false;
	loop_timer_stop(&connection->timer);
}

void up_connection_close(struct up_connection *connection)
{
	struct up_context *context = connection->context;

	if (connection->closed)
		return;
	up_pool_remove(connection);
	list_del(&connection->in_bucket);
	connection->closed = true;
	if (connection->http2)
		up_http2_clear(connection);
	close(connection->source.fd);
	connection->source.fd = -1;
	loop_timer_stop(&connection->timer);
	buf_clear(context->buffers, &connection->in);
	buf_clear(context->buffers, &connection->out);
	list_del(&connection->in_container);
	connection->key.container->open--;
	up_container_put(context, connection->key.container);
	connection->task.run = bury;
	loop_bury(context->loop, &connection->task);
}

bool up_connection_pending(const struct up_connection *connection)
{
	return !connection->broken && buf_len(&connection->out) > connection->sent;
}

/* Everything is written: forget it, unless it may be needed once more. */
static void forget_out(struct up_connection *connection)
{
	const struct up_request *request = connection->request;

	if (request && request->reused && request->idempotent && request->complete &&
	    !connection->answered && !request->tunnel && !connection->lost)
		return;
	buf_clear(connection->context->buffers, &connection->out);
	connection->sent = 0;
	connection->lost = true;
}

void up_connection_break(struct up_connection *connection)
{
	connection->broken = true;
	/* The reason is read from the socket, after what the app still said. */
	connection->readable = true;
	connection->hangup = true;
	loop_post(connection->context->loop, &connection->task);
}

void up_connection_flush(struct up_connection *connection)
{
	ssize_t n;

	if (connection->connecting || connection->closed)
		return;
	while (up_connection_pending(connection) && connection->writable && !connection->broken) {
		n = send(connection->source.fd, buf_head(&connection->out) + connection->sent,
			 buf_len(&connection->out) - connection->sent, MSG_NOSIGNAL);
		if (n >= 0)
			connection->sent += n;
		else if (errno == EAGAIN)
			connection->writable = false;
		else if (errno != EINTR)
			up_connection_break(connection);
	}
	if (up_connection_pending(connection))
		return;
	if (connection->out.data && !connection->broken)
		forget_out(connection);
	if (connection->shut && !connection->shut_done) {
		shutdown(connection->source.fd, SHUT_WR);
		connection->shut_done = true;
		/* Both ways are over now: the loop says so to the exchange. */
		if (connection->ended)
			loop_post(connection->context->loop, &connection->task);
	}
}

void up_connection_update_timer(struct up_connection *connection)
{
	struct loop *loop = connection->context->loop;
	struct up_request *request = connection->request;

	if (connection->closed || !request)
		return;
	if (connection->connecting)
		loop_timer_keep(loop, &connection->timer, LOOP_TIMER_CONNECT);
	else if (request->tunnel)
		loop_timer_start(loop, &connection->timer, LOOP_TIMER_UPGRADE);
	else if (up_connection_pending(connection))
		loop_timer_start(loop, &connection->timer, LOOP_TIMER_BODY);
	else if (connection->phase == UP_PHASE_HEAD && request->complete)
		loop_timer_keep(loop, &connection->timer, LOOP_TIMER_RESPONSE);
	else if (connection->phase != UP_PHASE_HEAD && !request->operations->blocked(request))
		loop_timer_start(loop, &connection->timer, LOOP_TIMER_BODY);
	else
		loop_timer_stop(&connection->timer);
}

/* False where nothing more can be read now. */
static bool read_some(struct up_connection *connection)
{
	struct up_context *context = connection->context;
	char *into = context->scratch;
	size_t size = context->scratch_size;
	ssize_t n;

	if (buf_len(&connection->in)) {
		/* Behind the incomplete head, which then lies in one piece. */
		if (buf_reserve(context->buffers, &connection->in, BUF_SMALLEST)) {
			up_connection_fail(connection, UP_FAILED);
			return false;
		}
		into = buf_tail(&connection->in);
		size = buf_room(&connection->in);
	}
	n = recv(connection->source.fd, into, size, 0);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		connection->readable = false;
		if (connection->broken)
			up_connection_fail(connection, UP_FAILED);
		return false;
	}
	if (n < 0) {
		up_connection_fail(connection, UP_FAILED);
		return false;
	}
	if (n == 0) {
		connection->readable = false;
		if (connection->broken && connection->phase == UP_PHASE_TUNNEL)
			up_connection_fail(connection, UP_FAILED);
		else
			up_http1_feed_end(connection);
		return false;
	}
	/* A short read has emptied the socket; its end, if it came, is still to be read. */
	if ((size_t)n < size && !connection->hangup)
		connection->readable = false;
	if (into == context->scratch) {
		up_http1_feed(connection, into, n);
	} else {
		connection->in.end += n;
		up_http1_feed(connection, buf_head(&connection->in), buf_len(&connection->in));
	}
	return true;
}

/* Reads for the request while both sides can; posts itself for the rest. */
static void read_response(struct up_connection *connection)
{
	struct up_request *request;
	int reads;

	for (reads = 0; reads < READS_IN_A_ROW; reads++) {
		request = connection->request;
		if (!request || connection->closed || !connection->readable ||
		    request->operations->blocked(request))
			return;
		if (!read_some(connection))
			return;
	}
	loop_post(connection->context->loop, &connection->task);
}

/*
 * The container has a connection of its own with the client's address and port
 * (linux/hoody.h): once more, with any port of that address.
 */
static bool reconnect(struct up_connection *connection)
{
	struct up_context *context = connection->context;
	const struct image_container *container =
		image_container_find(context->image, connection->key.container->id);
	struct up_client client = { .address.family = connection->key.family };
	int fd;

	if (!container || !connection->real_ip || connection->any_port)
		return false;
	if (client.address.family == AF_INET)
		memcpy(&client.address.v4, connection->key.client, sizeof(client.address.v4));
	else
		memcpy(&client.address.v6, connection->key.client, sizeof(client.address.v6));
	fd = up_connect(context, container, &client, connection->key.port, &connection->real_ip);
	if (fd < 0)
		return false;
	close(connection->source.fd);
	connection->source.fd = fd;
	connection->any_port = true;
	connection->readable = connection->writable = connection->hangup = false;
	return loop_add(context->loop, &connection->source,
			EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) == 0;
}

static bool finish_connect(struct up_connection *connection)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!connection->writable)
		return false;
	if (connection->hangup) {
		getsockopt(connection->source.fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error == EADDRINUSE && reconnect(connection))
			return false;
		if (error) {
			up_connection_fail(connection, UP_FAILED);
			return false;
		}
	}
	connection->connecting = false;
	return true;
}

static void run(struct up_connection *connection)
{
	bool pending;

	if (connection->closed)
		return;
	if (!connection->request && !connection->http2) {
		/* Kept, and something came: its end, or bytes that nobody asked for. */
		if (connection->readable || connection->broken)
			up_connection_close(connection);
		return;
	}
	if (connection->connecting && !finish_connect(connection)) {
		up_connection_update_timer(connection);
		return;
	}
	if (connection->http2) {
		up_http2_run(connection);
		return;
	}
	up_connection_flush(connection);
	if (connection->ended && connection->shut_done) {
		up_connection_fail(connection, UP_OK);
		return;
	}
	pending = up_connection_pending(connection) || connection->broken;
	if (connection->waiting && !pending) {
		connection->waiting = false;
		connection->request->operations->writable(connection->request);
	}
	read_response(connection);
	up_connection_update_timer(connection);
}

/* Whether the socket has something after all; readable may just mean "not asked". */
static bool has_more(struct up_connection *connection)
{
	char byte;

	if (connection->readable && recv(connection->source.fd, &byte, 1, MSG_PEEK) < 0 &&
	    errno == EAGAIN)
		connection->readable = false;
	return connection->readable;
}

void up_connection_release(struct up_connection *connection)
{
	struct up_context *context = connection->context;

	if (connection->closed)
		return;
	if (!connection->keep || connection->hangup || connection->broken || connection->shut ||
	    context->draining || up_connection_pending(connection) || has_more(connection)) {
		up_connection_close(connection);
		return;
	}
	buf_clear(context->buffers, &connection->in);
	buf_clear(context->buffers, &connection->out);
	connection->sent = 0;
	connection->scanned = 0;
	connection->lost = false;
	up_pool_keep(connection);
}
