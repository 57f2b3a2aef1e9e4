// SPDX-License-Identifier: Apache-2.0
/*
 * The service in a container for test scripts: "realip_server PORT" tells every
 * request, on IPv4 and IPv6, which peer it comes from, and sends and takes bulk
 * data. One process, epoll, any number of connections; realip.h has the protocol.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "realip.h"

struct served {
	int		fd;
	struct realip_answer	answer;
	struct realip_question	question;
	size_t		have;		/* bytes of the question */
	uint64_t	up_left, down_left;
	size_t		answer_left;
	bool		answering;
	bool		ended;		/* the client has sent its FIN */
};

static uint8_t chunk[REALIP_CHUNK + 256];

/* Sends what is due. False: the connection is over. */
static bool served_write(struct served *served)
{
	ssize_t n;

	while (served->answer_left) {
		n = send(served->fd, (char *)&served->answer + sizeof(served->answer) -
			 served->answer_left, served->answer_left, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		served->answer_left -= n;
	}
	while (served->down_left) {
		size_t at = (served->question.down - served->down_left) % 256;
		size_t want = served->down_left < REALIP_CHUNK ? served->down_left : REALIP_CHUNK;

		n = send(served->fd, chunk + at, want, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		served->down_left -= n;
	}
	served->answering = false;
	served->have = 0;
	return !served->ended;
}

static bool served_read(struct served *served)
{
	static uint8_t sink[65536];
	ssize_t n;

	while (!served->answering) {
		if (served->have < sizeof(served->question)) {
			n = recv(served->fd, (char *)&served->question + served->have,
				 sizeof(served->question) - served->have, 0);
			if (n <= 0)
				return n < 0 && errno == EAGAIN;
			served->have += n;
			if (served->have < sizeof(served->question))
				continue;
			served->up_left = served->question.up;
		}
		while (served->up_left) {
			n = recv(served->fd, sink,
				 served->up_left < sizeof(sink) ? served->up_left : sizeof(sink), 0);
			if (n < 0)
				return errno == EAGAIN;
			if (!n)		/* half closed: say what came */
				break;
			served->up_left -= n;
		}
		served->ended = served->up_left;
		served->answer.uploaded = served->question.up - served->up_left;
		served->answering = true;
		served->answer_left = sizeof(served->answer);
		served->down_left = served->question.down;
		if (!served_write(served))
			return false;
	}
	return true;
}

static void serve_accept(int epoll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	struct sockaddr_in6 peer = {};
	struct served *served;
	socklen_t length;
	int fd, one = 1;

	for (;;) {
		length = sizeof(peer);
		fd = accept4(listener, (void *)&peer, &length, SOCK_NONBLOCK);
		if (fd < 0)
			return;
		setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one));
		served = calloc(1, sizeof(*served));
		served->fd = fd;
		memcpy(served->answer.address, &peer.sin6_addr, 16);
		served->answer.port = peer.sin6_port;
		event.data.ptr = served;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	}
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : 8080;
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), zero = 0, one = 1;
	struct epoll_event event = { .events = EPOLLIN }, events[64];
	int epoll = epoll_create1(0);

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = i;
	setsockopt(listener, SOL_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* For "plain" from the same port. */
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 1024)) {
		perror("realip_server: listen");
		return 2;
	}
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < count; i++) {
			struct served *served = events[i].data.ptr;
			bool alive;

			if (!served) {
				serve_accept(epoll, listener);
				continue;
			}
			alive = !served->answering || served_write(served);
			if (alive && !served->answering)
				alive = served_read(served);
			if (alive)
				continue;
			close(served->fd);
			free(served);
		}
	}
}
