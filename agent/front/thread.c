/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread of the worker, see thread.h.
 */
#include "front/thread.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/connection.h"
#include "front/exchange.h"
#include "front/http2.h"
#include "front/quic.h"
#include "front/tls13.h"

/* For a client to notice that we are done; it may be in the middle of an upload. */
#define LINGER_TIMEOUT	5000
/* Between two tries to accept when descriptors ran out. */
#define ACCEPT_PAUSE	500

/* Loop durations and field limits follow the image; table sizes only grow. */
static int apply_settings(struct front_thread *thread)
{
	const struct image_settings *settings = front_settings(thread);
	uint32_t *durations = thread->loop.durations;
	unsigned int fields = settings->header_fields_max + FRONT_FIELDS_ADDED;
	struct http_field *request, *response;

	durations[LOOP_TIMER_HANDSHAKE] = settings->handshake_timeout;
	durations[LOOP_TIMER_HEAD] = settings->head_timeout;
	durations[LOOP_TIMER_KEEPALIVE] = settings->keepalive_timeout;
	durations[LOOP_TIMER_BODY] = settings->body_timeout;
	durations[LOOP_TIMER_LINGER] = LINGER_TIMEOUT;
	durations[LOOP_TIMER_CONNECT] = settings->connect_timeout;
	durations[LOOP_TIMER_RESPONSE] = settings->response_timeout;
	durations[LOOP_TIMER_UPGRADE] = settings->upgrade_idle_timeout;
	durations[LOOP_TIMER_UPSTREAM_IDLE] = settings->upstream_idle_timeout;
	durations[LOOP_TIMER_ACCEPT] = ACCEPT_PAUSE;
	if (fields > thread->fields_size) {
		request = realloc(thread->request_head.fields, fields * sizeof(*request));
		if (!request)
			return -ENOMEM;
		thread->request_head.fields = request;
		response = realloc(thread->response_head.fields, fields * sizeof(*response));
		if (!response)
			return -ENOMEM;
		thread->response_head.fields = response;
		thread->fields_size = fields;
	}
	thread->request_head.fields_max = thread->response_head.fields_max =
		settings->header_fields_max;
	return 0;
}

/*
 * The scratch buffers bound what one read takes. They are as the first image
 * says: a later one with another buffer_bytes is for the next worker.
 */
static int make_scratch(struct front_thread *thread)
{
	thread->scratch_size = front_settings(thread)->buffer_bytes;
	thread->scratch = malloc(thread->scratch_size);
	thread->upstream_scratch = malloc(thread->scratch_size);
	thread->records = malloc(FRONT_TLS13_RECORDS);
	return thread->scratch && thread->upstream_scratch && thread->records ? 0 : -ENOMEM;
}

/* Ends what the permissions of the new image do not allow any more. */
static void cut_revoked(struct front_thread *thread, const struct image *old)
{
	struct exchange *exchange, *tmp;

	list_for_each_entry_safe(exchange, tmp, &thread->exchange_list, node) {
		/* One that waits is asked with the image that holds then. */
		if (!exchange->wait && !authorize_still_allowed(exchange, old))
			exchange_revoke(exchange);
	}
}

static void set_image(struct front_thread *thread, struct image *image)
{
	struct image *old = thread->image;

	thread->image = image_get(image);
	apply_settings(thread);
	/* Cuts what the new image takes away, before anybody is told that it holds. */
	up_context_image(&thread->upstream, image);
	cut_revoked(thread, old);
	image_put(old);
}

static void close_all(struct loop_timer *timer, enum loop_timer_class class)
{
	struct front_thread *thread = container_of(timer, struct front_thread, drain_timer);

	while (!list_empty(&thread->open))
		front_connection_close(list_first_entry(&thread->open, struct front_connection,
							node));
	thread->loop.stop = true;
}

static void start_drain(struct front_thread *thread, uint32_t deadline, bool replaced)
{
	struct front_connection *connection, *tmp;

	thread->draining = true;
	thread->replaced = replaced;
	thread->upstream.draining = true;
	front_listener_close(thread);
	up_context_close_idle(&thread->upstream);
	list_for_each_entry_safe(connection, tmp, &thread->open, node) {
		if (connection->protocol)
			connection->protocol->drain(connection);
		else if (!replaced)
			/* It has not finished its handshake, and asked for nothing. */
			front_connection_close(connection);
	}
	if (list_empty(&thread->open)) {
		thread->loop.stop = true;
		return;
	}
	/* 0 would mean "never" to the loop. */
	thread->loop.durations[LOOP_TIMER_DRAIN] = deadline ? deadline : 1;
	loop_timer_start(&thread->loop, &thread->drain_timer, LOOP_TIMER_DRAIN);
}

static void done(struct front_thread *thread)
{
	struct front_board *board = thread->board;

	thread->command.type = FRONT_COMMAND_NONE;
	if (!--board->pending)
		pthread_cond_signal(&board->changed);
}

static void wake_ready(struct loop_source *source, uint32_t events)
{
	struct front_thread *thread = container_of(source, struct front_thread, wake);
	struct front_command command;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&thread->board->lock);
	command = thread->command;
	pthread_mutex_unlock(&thread->board->lock);
	switch (command.type) {
	case FRONT_COMMAND_IMAGE:
		set_image(thread, command.image);
		break;
	case FRONT_COMMAND_TLS:
		front_tls_put(thread->tls);
		thread->tls = front_tls_get(command.tls);
		break;
	case FRONT_COMMAND_DRAIN:
		start_drain(thread, command.deadline, command.replaced);
		break;
	case FRONT_COMMAND_NONE:
		return;
	}
	pthread_mutex_lock(&thread->board->lock);
	done(thread);
	pthread_mutex_unlock(&thread->board->lock);
}

void front_thread_command(struct front_thread *thread, const struct front_command *command)
{
	static const uint64_t one = 1;

	if (thread->ended)
		return;
	thread->command = *command;
	thread->board->pending++;
	/* Cannot fail: the counter is far from full and read in between. */
	if (write(thread->wake.fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *thread_main(void *argument)
{
	static const uint64_t one = 1;
	struct front_thread *thread = argument;
	struct front_board *board = thread->board;

	pthread_mutex_lock(&board->lock);
	while (!board->started)
		pthread_cond_wait(&board->changed, &board->lock);
	pthread_mutex_unlock(&board->lock);

	loop_run(&thread->loop);
	close_all(&thread->drain_timer, LOOP_TIMER_DRAIN);
	up_context_close_all(&thread->upstream);

	pthread_mutex_lock(&board->lock);
	thread->ended = true;
	if (thread->command.type != FRONT_COMMAND_NONE)
		done(thread);
	board->running--;
	pthread_mutex_unlock(&board->lock);
	return write(board->ended_fd, &one, sizeof(one)) < 0 ? NULL : thread;
}

static int setup_loop(struct front_thread *thread)
{
	int err = loop_setup(&thread->loop);

	if (err)
		return err;
	thread->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	thread->wake.ready = wake_ready;
	if (thread->wake.fd < 0)
		return -errno;
	loop_timer_setup(&thread->accept_timer, front_listener_expired);
	loop_timer_setup(&thread->drain_timer, close_all);
	return loop_add(&thread->loop, &thread->wake, EPOLLIN | EPOLLET);
}

/* The port that @fd is bound to; 0 where that is not known. */
static uint16_t port_of(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return 0;
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port :
						     ((struct sockaddr_in *)&address)->sin_port);
}

static int setup_listener(struct front_thread *thread, int fd, uint32_t flags)
{
	struct front_listener *listener = &thread->listeners[thread->listeners_count];
	int err;

	listener->source.fd = fd;
	listener->thread = thread;
	listener->tls = flags & IPC_LISTENER_TLS;
	listener->redirects = flags & IPC_LISTENER_REDIRECT;
	if (listener->tls && !thread->tls_port)
		thread->tls_port = port_of(fd);
	err = front_listener_start(listener);
	if (!err)
		thread->listeners_count++;
	return err;
}

static int setup_listeners(struct front_thread *thread, const struct ipc_listeners *listeners,
			   const int *fds, unsigned int index)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < listeners->addresses; i++) {
		int fd = fds[i * listeners->threads + index];

		if (!(listeners->flags[i] & IPC_LISTENER_QUIC)) {
			err = setup_listener(thread, fd, listeners->flags[i]);
			continue;
		}
		if (!thread->quic)
			err = quic_create(thread, listeners->slot * listeners->threads + index,
					  listeners->quic_secret);
		if (!err)
			err = quic_listen(thread, fd);
	}
	return err;
}

static void setup_upstream(struct front_thread *thread)
{
	struct up_context *upstream = &thread->upstream;

	upstream->loop = &thread->loop;
	upstream->buffers = &thread->buffers;
	upstream->stats = &thread->stats;
	upstream->image = thread->image;
	upstream->scratch = thread->upstream_scratch;
	upstream->scratch_size = thread->scratch_size;
	upstream->head = &thread->response_head;
	up_context_setup(upstream);
}

struct front_thread *front_thread_create(struct front_board *board, struct image *image,
					 struct front_tls *tls,
					 const struct ipc_listeners *listeners, const int *fds,
					 unsigned int index)
{
	struct front_thread *thread = calloc(1, sizeof(*thread));
	int err = -ENOMEM;

	if (!thread)
		goto err;
	thread->board = board;
	thread->image = image_get(image);
	thread->tls = front_tls_get(tls);
	thread->loop.epoll = thread->wake.fd = -1;
	list_setup(&thread->open);
	list_setup(&thread->exchange_list);
	buf_pool_setup(&thread->buffers);
	slab_setup(&thread->connections, sizeof(struct front_connection));
	slab_setup(&thread->exchanges, sizeof(struct exchange));
	slab_setup(&thread->http2_streams, sizeof(struct front_http2_stream));
	err = setup_loop(thread);
	if (!err)
		err = authorize_setup(thread);
	if (!err)
		err = apply_settings(thread);
	if (!err)
		err = make_scratch(thread);
	if (!err)
		err = setup_listeners(thread, listeners, fds, index);
	if (err)
		goto err_free;
	setup_upstream(thread);
	err = -pthread_create(&thread->pthread, NULL, thread_main, thread);
	if (err)
		goto err_free;
	board->running++;
	return thread;

err_free:
	/* The descriptors stay the caller's. */
	thread->listeners_count = 0;
	if (thread->quic)
		thread->quic->listeners_count = 0;
	thread->pthread = 0;
	front_thread_destroy(thread);
err:
	errno = -err;
	return NULL;
}

void front_thread_destroy(struct front_thread *thread)
{
	if (thread->pthread)
		pthread_join(thread->pthread, NULL);
	front_listener_close(thread);
	quic_destroy(thread);
	authorize_clear(thread);
	if (thread->wake.fd >= 0)
		close(thread->wake.fd);
	if (thread->loop.epoll >= 0)
		loop_clear(&thread->loop);
	up_context_clear(&thread->upstream);
	slab_clear(&thread->connections);
	slab_clear(&thread->exchanges);
	slab_clear(&thread->http2_streams);
	buf_pool_clear(&thread->buffers);
	free(thread->scratch);
	free(thread->upstream_scratch);
	free(thread->records);
	free(thread->request_head.fields);
	free(thread->response_head.fields);
	front_tls_put(thread->tls);
	image_put(thread->image);
	free(thread);
}
