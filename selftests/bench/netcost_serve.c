// SPDX-License-Identifier: Apache-2.0
/*
 * The application in the container: an epoll server that answers every 200
 * bytes with 1 KiB, over TCP and over UDP on the same port. It goes to the
 * background when it listens and prints its process id. It does as little as a
 * real server can, so that a difference in the path shows.
 *
 *	netcost_serve ADDRESS PORT
 */
#include "netcost.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 16384

struct connection {
	int fd;
	unsigned int received; /* of the request under way */
	struct netcost_peer peer;
};

static struct connection *connections[FDS_MAX];
static char response[NETCOST_RESPONSE];

static int server_socket(const struct address *address, uint16_t port, int type)
{
	struct sockaddr_storage storage;
	socklen_t length = address_sockaddr(address, port, &storage);
	int one = 1, fd = socket(address->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		netcost_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&storage, length))
		netcost_die("bind");
	if (type == SOCK_STREAM && listen(fd, 1024))
		netcost_die("listen");
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		netcost_die("epoll_ctl");
}

static void take_connection(int epoll, int listener)
{
	struct sockaddr_storage from = {};
	socklen_t length = sizeof(from);
	struct connection *connection;
	int fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (fd >= FDS_MAX || !(connection = calloc(1, sizeof(*connection)))) {
		close(fd);
		return;
	}
	connection->fd = fd;
	netcost_peer_set(&connection->peer, &from);
	connections[fd] = connection;
	watch(epoll, fd);
}

static void drop(struct connection *connection)
{
	connections[connection->fd] = NULL;
	close(connection->fd);
	free(connection);
}

static void serve_tcp(struct connection *connection)
{
	char request[NETCOST_REQUEST];
	ssize_t n = read(connection->fd, request, sizeof(request) - connection->received);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			drop(connection);
		return;
	}
	connection->received += n;
	if (connection->received < NETCOST_REQUEST)
		return;
	connection->received = 0;
	memcpy(response, &connection->peer, sizeof(connection->peer));
	/* One response at a time is on the way: it fits any send buffer. */
	if (write(connection->fd, response, sizeof(response)) != sizeof(response))
		drop(connection);
}

static void serve_udp(int fd)
{
	char request[NETCOST_REQUEST];
	struct sockaddr_storage from = {};
	socklen_t length = sizeof(from);
	struct netcost_peer peer;
	ssize_t n = recvfrom(fd, request, sizeof(request), 0, (struct sockaddr *)&from, &length);

	if (n < 0)
		return;
	netcost_peer_set(&peer, &from);
	memcpy(response, &peer, sizeof(peer));
	if (sendto(fd, response, sizeof(response), 0, (struct sockaddr *)&from, length) < 0)
		perror("sendto");
}

int main(int argc, char **argv)
{
	struct address address;
	int tcp, udp, epoll, count;
	pid_t pid;

	if (argc != 3) {
		fprintf(stderr, "usage: netcost_serve ADDRESS PORT\n");
		return 2;
	}
	netcost_address(argv[1], &address);
	tcp = server_socket(&address, atoi(argv[2]), SOCK_STREAM);
	udp = server_socket(&address, atoi(argv[2]), SOCK_DGRAM);
	pid = fork();
	if (pid < 0)
		netcost_die("fork");
	if (pid) {
		printf("%d\n", pid);
		return 0;
	}
	close(STDOUT_FILENO);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	watch(epoll, tcp);
	watch(epoll, udp);
	for (;;) {
		struct epoll_event events[64];

		count = epoll_wait(epoll, events, 64, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == tcp)
				take_connection(epoll, tcp);
			else if (fd == udp)
				serve_udp(udp);
			else if (connections[fd])
				serve_tcp(connections[fd]);
		}
	}
}
