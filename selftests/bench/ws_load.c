// SPDX-License-Identifier: Apache-2.0
/*
 * WebSocket clients (RFC 6455) over HTTP/1.1 without TLS.
 *
 *	ws_load ADDRESS PORT HOST SECONDS COUNT	  messages to and fro, prints how many
 *	ws_load ADDRESS PORT HOST hold COUNT	  opens them, says "ready", waits for the
 *						  end of its standard input
 *
 * The service sends every message back; each answer is looked at. Clients have many
 * addresses of 127.0.0.0/8: ports of one would not do for ten thousand.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX	10000
#define OF_AN_ADDRESS	5000
#define TEXT		"a message of sixty-four bytes, as chats and editors send them..."
#define TEXT_LEN	64

struct client {
	int	fd;
	size_t	have;
	char	bytes[2 + TEXT_LEN];
};

static struct client clients[COUNT_MAX];
/* Masked by zeros: a text of 64 bytes (RFC 6455 5.2). */
static char message[6 + TEXT_LEN + 1] = "\x81\xc0\0\0\0\0" TEXT;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_client(struct client *client, unsigned int index, char **argv)
{
	struct sockaddr_in own = {.sin_family = AF_INET}, server = {.sin_family = AF_INET};
	char text[1024] = "";
	size_t have = 0;
	ssize_t n;

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index / OF_AN_ADDRESS);
	server.sin_port = htons(atoi(argv[2]));
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || client->fd < 0 ||
	    bind(client->fd, (struct sockaddr *)&own, sizeof(own)) ||
	    connect(client->fd, (struct sockaddr *)&server, sizeof(server)))
		die("connect");
	snprintf(text, sizeof(text),
		 "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
		 argv[3]);
	if (send(client->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		die("send");
	memset(text, 0, sizeof(text));
	while (!strstr(text, "\r\n\r\n")) {
		n = recv(client->fd, text + have, sizeof(text) - 1 - have, 0);
		if (n <= 0)
			die("no answer to an upgrade");
		have += n;
	}
	if (strncmp(text, "HTTP/1.1 101", 12)) {
		fprintf(stderr, "no WebSocket: %s\n", text);
		exit(1);
	}
}

static void say(struct client *client)
{
	client->have = 0;
	if (send(client->fd, message, 6 + TEXT_LEN, MSG_NOSIGNAL) != 6 + TEXT_LEN)
		die("send");
}

/* True where a whole message has come back. */
static bool hear(struct client *client)
{
	ssize_t n = recv(client->fd, client->bytes + client->have,
			 sizeof(client->bytes) - client->have, 0);

	if (n <= 0)
		die("recv");
	client->have += n;
	if (client->have < sizeof(client->bytes))
		return false;
	if (memcmp(client->bytes, "\x81\x40" TEXT, sizeof(client->bytes))) {
		fprintf(stderr, "another message came back\n");
		exit(1);
	}
	return true;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void talk(int count, double seconds)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), ready;
	double end = now() + seconds;
	struct epoll_event events[64];
	unsigned long heard = 0;

	for (int i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event))
			die("epoll_ctl");
		say(&clients[i]);
	}
	while (now() < end) {
		ready = epoll_wait(epoll, events, 64, 1000);
		for (int i = 0; i < ready; i++) {
			if (!hear(events[i].data.ptr))
				continue;
			heard++;
			say(events[i].data.ptr);
		}
	}
	printf("%lu\n", heard);
}

int main(int argc, char **argv)
{
	int count = argc == 6 ? atoi(argv[5]) : 0;
	char byte;

	if (count < 1 || count > COUNT_MAX) {
		fprintf(stderr, "usage: ws_load ADDRESS PORT HOST SECONDS|hold COUNT\n");
		return 2;
	}
	for (int i = 0; i < count; i++)
		open_client(&clients[i], i, argv);
	if (strcmp(argv[4], "hold")) {
		talk(count, atof(argv[4]));
		return 0;
	}
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
