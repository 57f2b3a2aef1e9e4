// SPDX-License-Identifier: Apache-2.0
/*
 * Ends of connections, in every order, from a client's address.
 *
 *	realip_wire server PORT
 *	realip_wire CASE CLIENT PORT CONTAINER CONTAINER-PORT
 *
 * The client's first byte tells the server what to do. Every case prints "ok"
 * and what both sides saw, or what went wrong; the script watches the wires.
 */
#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/hoody.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BULK	(256 * 1024)

static void reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static long read_all(int fd)
{
	static char buffer[65536];
	long total = 0;
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		total += n;
	return n < 0 ? -errno : total;
}

static long write_bulk(int fd)
{
	static char buffer[65536];
	long total = 0;
	ssize_t n;

	while (total < BULK) {
		n = send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);
		if (n < 0)
			return -errno;
		total += n;
	}
	return total;
}

static void serve(int fd)
{
	char command, byte = 'x';
	long got;

	if (recv(fd, &command, 1, 0) != 1)
		return;
	switch (command) {
	case 'r':	/* reset */
		reset(fd);
		return;
	case 'c':	/* close at once */
		break;
	case 'w':	/* wait for the other's end, then close */
		read_all(fd);
		break;
	case 'd':	/* the other's end first, then much data, then close */
		read_all(fd);
		write_bulk(fd);
		break;
	case 'h':	/* half close, then count what still comes */
		shutdown(fd, SHUT_WR);
		got = read_all(fd);
		fprintf(stderr, "half closed: got %ld\n", got);
		break;
	case 'u':	/* answer with unread data behind: close becomes a reset */
		send(fd, &byte, 1, MSG_NOSIGNAL);
		recv(fd, &byte, 1, MSG_PEEK);
		break;
	}
	close(fd);
}

static void server(int port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int listener = socket(AF_INET6, SOCK_STREAM, 0), one = 1, fd;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 64))
		exit(2);
	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (!fork()) {
			close(listener);
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
}

/* A connected, blocking socket of the client; exits with the error's name. */
static int client_socket(char **argv)
{
	bool v6 = strchr(argv[0], ':');
	struct hoody_realip arg = { .family = v6 ? AF_INET6 : AF_INET,
				    .client_port = htons(atoi(argv[1])),
				    .container_port = htons(atoi(argv[3])) };
	int fd = socket(arg.family, SOCK_STREAM, 0), err = 0, one = 1;
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t length = sizeof(err);

	inet_pton(arg.family, argv[0], &arg.client6);
	inet_pton(arg.family, argv[2], &arg.container6);
	if (setsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, HOODY_SO_REALIP, &arg, sizeof(arg)))
		err = errno;
	else if (poll(&poll_fd, 1, limit_ms(60)) != 1)
		err = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length);
	if (err) {
		printf("connect: %s\n", strerrorname_np(err));
		exit(1);
	}
	setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int say(const char *what, long got, long wanted)
{
	if (got == wanted)
		printf("ok %s\n", what);
	else if (got < 0)
		printf("%s: %s\n", what, strerrorname_np(-got));
	else
		printf("%s: %ld, expected %ld\n", what, got, wanted);
	return got != wanted;
}

static int run(const char *name, int fd)
{
	if (!strcmp(name, "client-closes-first")) {
		send(fd, "w", 1, 0);
		shutdown(fd, SHUT_WR);
		return say("closed", read_all(fd), 0);
	}
	if (!strcmp(name, "container-closes-first")) {
		send(fd, "c", 1, 0);
		return say("closed", read_all(fd), 0);
	}
	if (!strcmp(name, "client-resets")) {
		send(fd, "w", 1, 0);
		reset(fd);
		return say("reset", 0, 0);
	}
	if (!strcmp(name, "container-resets")) {
		send(fd, "r", 1, 0);
		return say("reset", read_all(fd), -ECONNRESET);
	}
	if (!strcmp(name, "container-resets-unread")) {
		send(fd, "uyy", 3, 0);
		return say("reset", read_all(fd) == 1 || errno == ECONNRESET, 1);
	}
	if (!strcmp(name, "client-half-closes")) {
		send(fd, "d", 1, 0);
		shutdown(fd, SHUT_WR);
		return say("all", read_all(fd), BULK);
	}
	if (!strcmp(name, "container-half-closes")) {
		send(fd, "h", 1, 0);
		if (read_all(fd))
			return say("end", -errno, 0);
		return say("all", write_bulk(fd), BULK);
	}
	if (!strcmp(name, "both-close")) {
		send(fd, "c", 1, 0);
		close(fd);
		return say("closed", 0, 0);
	}
	return 2;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "server")) {
		server(atoi(argv[2]));
		return 1;
	}
	if (argc != 6)
		return 2;
	return run(argv[1], client_socket(argv + 2));
}
