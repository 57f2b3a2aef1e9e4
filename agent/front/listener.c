/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting connections. Each thread has its own socket on each address
 * (SO_REUSEPORT), so that the kernel spreads clients and no thread wakes
 * another. A full process stops asking until it has closed something.
 */
#include "front/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Taken in a row at most, before connections that exist get their turn. A power of two. */
#define ACCEPTS_IN_A_ROW	32

/* Out of descriptors or memory: no more until something closes, or a while passed. */
static void pause_accepting(struct front_thread *thread)
{
	unsigned int i;

	thread->accept_paused = true;
	for (i = 0; i < thread->listeners_count; i++)
		loop_modify(&thread->loop, &thread->listeners[i].source, 0);
	loop_timer_start(&thread->loop, &thread->accept_timer, LOOP_TIMER_ACCEPT);
}

void front_listener_resume(struct front_thread *thread)
{
	unsigned int i;

	if (!thread->accept_paused || thread->draining)
		return;
	thread->accept_paused = false;
	loop_timer_stop(&thread->accept_timer);
	for (i = 0; i < thread->listeners_count; i++)
		loop_modify(&thread->loop, &thread->listeners[i].source, EPOLLIN);
}

void front_listener_expired(struct loop_timer *timer, enum loop_timer_class class)
{
	front_listener_resume(container_of(timer, struct front_thread, accept_timer));
}

/*
 * How many to ask for: one that finds nobody costs the kernel as much as one that does,
 * and mostly there is one client. Where there are more the listener is ready again in the
 * next turn, and twice as many are asked for.
 */
static unsigned int accepts_now(struct front_listener *listener)
{
	uint64_t turn = listener->thread->loop.turn;

	if (turn != listener->turn + 1)
		listener->accepts = 1;
	else if (listener->accepts < ACCEPTS_IN_A_ROW)
		listener->accepts *= 2;
	listener->turn = turn;
	return listener->accepts;
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	struct front_listener *listener = container_of(source, struct front_listener, source);
	struct front_thread *thread = listener->thread;
	unsigned int i, count = accepts_now(listener);
	struct sockaddr_storage peer;
	socklen_t len;
	int fd;

	for (i = 0; i < count; i++) {
		len = sizeof(peer);
		fd = accept4(source->fd, (struct sockaddr *)&peer, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				pause_accepting(thread);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		front_count(thread, connections_accepted);
		if (thread->open_count >= front_settings(thread)->connections_max) {
			front_count(thread, connections_refused_limit);
			close(fd);
			continue;
		}
		front_connection_open(listener, fd, &peer);
	}
}

int front_listener_start(struct front_listener *listener)
{
	int one = 1;

	/* What is accepted inherits it; responses are written whole. */
	setsockopt(listener->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	listener->source.ready = listener_ready;
	listener->accepts = 1;
	return loop_add(&listener->thread->loop, &listener->source, EPOLLIN);
}

void front_listener_close(struct front_thread *thread)
{
	unsigned int i;

	loop_timer_stop(&thread->accept_timer);
	for (i = 0; i < thread->listeners_count; i++) {
		if (thread->listeners[i].source.fd >= 0)
			close(thread->listeners[i].source.fd);
		thread->listeners[i].source.fd = -1;
	}
}
