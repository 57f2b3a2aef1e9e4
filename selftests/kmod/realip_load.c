// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's end of the real client IP for test scripts; realip_server is the
 * other one, and realip.h says what they say to each other.
 *
 *	load OPTIONS		plays the agent: many clients, a pool for each
 *	one OPTIONS		one connection; prints what became of it
 *	plain CLIENT DEST PORT	an ordinary connection from CLIENT (any: -)
 *
 * load checks every address and every byte and exits 1 when one is
 * wrong; it never retries.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/hoody.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limit.h"
#include "realip.h"

static void die(const char *what)
{
	fprintf(stderr, "realip_load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint8_t chunk[REALIP_CHUNK];

struct options {
	char		*client4, *client6;	/* first addresses; --clients4/6 count on */
	int		clients4, clients6;
	char		*dest4, *dest6;
	int		port;
	int		client_port;	/* -1: a random one for each connection */
	int		ports;		/* every client with each of so many ports in turn */
	bool		any_port, hold;
	int		requests, parallel, fresh;	/* @fresh in percent */
	uint32_t	up, down;
	unsigned int	seed;
};

struct totals {
	long	done, wrong, failed, opened, reused, kept;
};

#define POOL_MAX	8

struct client {
	struct in6_addr	address;	/* IPv4 as a mapped one */
	bool		v6;
	int		pool[POOL_MAX];
	int		pooled;
};

struct exchange {
	int		fd;
	struct client	*client;
	struct realip_question	question;
	struct realip_answer	answer;
	size_t		sent, got;	/* of question and answer */
	uint64_t	up_left, down_left;
	bool		connected;
};

static struct options options = { .port = 8080, .client_port = -1, .requests = 1, .parallel = 16,
				  .fresh = 20, .seed = 1 };
static struct totals totals;

static uint32_t random_next(void)
{
	options.seed = options.seed * 1664525 + 1013904223;
	return options.seed >> 8;
}

/* A socket under way to the container from @client, or a negative errno. */
static int realip_socket(const struct in6_addr *client, bool v6, int client_port)
{
	struct hoody_realip arg = {
		.family = v6 ? AF_INET6 : AF_INET,
		.flags = options.any_port ? HOODY_REALIP_ANY_PORT : 0,
		.client_port = htons(client_port), .container_port = htons(options.port),
	};
	int fd = socket(arg.family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, err;

	if (fd < 0)
		die("socket");
	if (v6) {
		arg.client6 = *client;
		inet_pton(AF_INET6, options.dest6, &arg.container6);
	} else {
		memcpy(&arg.client4, &client->s6_addr[12], 4);
		inet_pton(AF_INET, options.dest4, &arg.container4);
	}
	if (setsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, HOODY_SO_REALIP, &arg, sizeof(arg))) {
		err = -errno;
		close(fd);
		return err;
	}
	setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int local_port(int fd)
{
	struct sockaddr_in6 name = {};
	socklen_t length = sizeof(name);

	getsockname(fd, (void *)&name, &length);
	return ntohs(name.sin6_port);	/* at the same place in both families */
}

static void exchange_start(struct exchange *exchange, struct client *client, int epoll)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
				     .data.ptr = exchange };
	int port = options.client_port;

	memset(exchange, 0, sizeof(*exchange));
	exchange->client = client;
	exchange->question = (struct realip_question){ options.up, options.down };
	exchange->up_left = options.up;
	exchange->down_left = options.down;
	if (client->pooled && random_next() % 100 >= options.fresh) {
		exchange->fd = client->pool[--client->pooled];
		exchange->connected = true;
		totals.reused++;
	} else {
		if (port < 0)
			port = 1024 + random_next() % 64000;
		else if (options.ports)
			port += totals.opened / (options.clients4 + options.clients6) % options.ports;
		exchange->fd = realip_socket(&client->address, client->v6, port);
		if (exchange->fd < 0) {
			fprintf(stderr, "realip_load: option: %s\n", strerrorname_np(-exchange->fd));
			exchange->fd = -1;
			totals.failed++;
			return;
		}
		totals.opened++;
		totals.kept += local_port(exchange->fd) == port;
	}
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, exchange->fd, &event))
		die("epoll_ctl");
}

/* 0: go on waiting, 1: answered, negative: failed. */
static int exchange_step(struct exchange *exchange)
{
	static uint8_t buffer[65536];
	ssize_t n;

	while (exchange->sent < sizeof(exchange->question)) {
		n = send(exchange->fd, (char *)&exchange->question + exchange->sent,
			 sizeof(exchange->question) - exchange->sent, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == ENOTCONN ? 0 : -errno;
		exchange->sent += n;
	}
	while (exchange->up_left) {
		n = send(exchange->fd, chunk,
			 exchange->up_left < REALIP_CHUNK ? exchange->up_left : REALIP_CHUNK, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		exchange->up_left -= n;
	}
	while (exchange->got < sizeof(exchange->answer)) {
		n = recv(exchange->fd, (char *)&exchange->answer + exchange->got,
			 sizeof(exchange->answer) - exchange->got, 0);
		if (n <= 0)
			return !n ? -EPIPE : errno == EAGAIN ? 0 : -errno;
		exchange->got += n;
	}
	while (exchange->down_left) {
		uint8_t next = options.down - exchange->down_left;

		n = recv(exchange->fd, buffer, sizeof(buffer), 0);
		if (n <= 0)
			return !n ? -EPIPE : errno == EAGAIN ? 0 : -errno;
		for (ssize_t i = 0; i < n; i++)
			if (buffer[i] != next++)
				return -EBADMSG;
		if (n > exchange->down_left)
			return -EBADMSG;
		exchange->down_left -= n;
	}
	return 1;
}

static void exchange_check(struct exchange *exchange)
{
	char got[INET6_ADDRSTRLEN], wanted[INET6_ADDRSTRLEN];

	totals.done++;
	if (!memcmp(exchange->answer.address, &exchange->client->address, 16) &&
	    ntohs(exchange->answer.port) == local_port(exchange->fd) &&
	    exchange->answer.uploaded == options.up)
		return;
	totals.wrong++;
	inet_ntop(AF_INET6, exchange->answer.address, got, sizeof(got));
	inet_ntop(AF_INET6, &exchange->client->address, wanted, sizeof(wanted));
	fprintf(stderr, "realip_load: seen as %s:%d, is %s:%d, %llu bytes\n", got,
		ntohs(exchange->answer.port), wanted, local_port(exchange->fd),
		(unsigned long long)exchange->answer.uploaded);
}

static struct client *clients_make(int *count)
{
	int total = options.clients4 + options.clients6;
	struct client *clients = calloc(total, sizeof(*clients));
	uint32_t first;

	for (int i = 0; i < total; i++) {
		struct client *client = &clients[i];

		client->v6 = i >= options.clients4;
		if (client->v6) {
			inet_pton(AF_INET6, options.client6, &client->address);
			client->address.s6_addr[15] += i - options.clients4;
		} else {
			client->address.s6_addr[10] = client->address.s6_addr[11] = 0xff;
			inet_pton(AF_INET, options.client4, &first);
			first = htonl(ntohl(first) + i);
			memcpy(&client->address.s6_addr[12], &first, 4);
		}
	}
	*count = total;
	return clients;
}

static void report(void)
{
	printf("done=%ld wrong=%ld failed=%ld opened=%ld reused=%ld kept=%ld\n", totals.done,
	       totals.wrong, totals.failed, totals.opened, totals.reused, totals.kept);
	fflush(stdout);
}

/* With --hold: tells that it is done and keeps its connections until it is ended. */
static int load_end(void)
{
	report();
	if (options.hold)
		pause();
	return totals.wrong || totals.failed || totals.done != options.requests;
}

static int load(void)
{
	struct exchange *exchanges = calloc(options.parallel, sizeof(*exchanges));
	int epoll = epoll_create1(0), count, started = 0, running = 0;
	struct client *clients = clients_make(&count);
	struct epoll_event events[64];

	for (int i = 0; i < options.parallel; i++)
		exchanges[i].fd = -1;
	while (running || started < options.requests) {
		int ready;

		for (int i = 0; i < options.parallel && started < options.requests; i++) {
			if (exchanges[i].fd >= 0)
				continue;
			exchange_start(&exchanges[i],
				       &clients[(options.ports ? started : random_next()) % count],
				       epoll);
			started++;
			running += exchanges[i].fd >= 0;
		}
		/* The limit only ends a load that is stuck. */
		ready = running ? epoll_wait(epoll, events, 64, 60000) : 0;
		if (running && !ready) {
			fprintf(stderr, "realip_load: %d connections are stuck\n", running);
			totals.failed += running;
			break;
		}
		for (int i = 0; i < ready; i++) {
			struct exchange *exchange = events[i].data.ptr;
			struct client *client = exchange->client;
			int result = exchange_step(exchange);

			if (!result)
				continue;
			epoll_ctl(epoll, EPOLL_CTL_DEL, exchange->fd, NULL);
			running--;
			if (result < 0) {
				fprintf(stderr, "realip_load: exchange: %s\n",
					strerrorname_np(-result));
				totals.failed++;
				close(exchange->fd);
			} else {
				exchange_check(exchange);
				if (client->pooled < POOL_MAX && !options.hold)
					client->pool[client->pooled++] = exchange->fd;
				else if (!options.hold)
					close(exchange->fd);
			}
			exchange->fd = -1;
		}
	}
	free(exchanges);
	free(clients);
	return load_end();
}

/* Prints "ok ADDRESS PORT" as the server saw it, or the error's name and its place. */
static int talk_once(int fd)
{
	struct exchange exchange = { .fd = fd, .question = { options.up, options.down },
				     .up_left = options.up, .down_left = options.down };
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	char text[INET6_ADDRSTRLEN];
	socklen_t length = sizeof(int);
	int result = 0, err = 0;

	if (poll(&poll_fd, 1, limit_ms(60)) != 1) {
		printf("connect: no answer\n");
		return 1;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length);
	if (err) {
		printf("connect: %s\n", strerrorname_np(err));
		return 1;
	}
	while (!result) {
		result = exchange_step(&exchange);
		poll_fd.events = exchange.up_left ? POLLIN | POLLOUT : POLLIN;
		if (!result && poll(&poll_fd, 1, limit_ms(60)) != 1)
			result = -ETIMEDOUT;
	}
	if (result < 0) {
		printf("exchange: %s\n", strerrorname_np(-result));
		return 1;
	}
	if (IN6_IS_ADDR_V4MAPPED((struct in6_addr *)exchange.answer.address))
		inet_ntop(AF_INET, exchange.answer.address + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, exchange.answer.address, text, sizeof(text));
	printf("ok %s %d\n", text, ntohs(exchange.answer.port));
	fflush(stdout);
	if (options.hold)
		pause();
	return 0;
}

static int one(void)
{
	int count, fd;
	struct client *client = clients_make(&count);

	fd = realip_socket(&client->address, client->v6,
			   options.client_port >= 0 ? options.client_port : 0);
	free(client);
	if (fd < 0) {
		printf("option: %s\n", strerrorname_np(-fd));
		return 1;
	}
	return talk_once(fd);
}

/* Returns its length. @text "-": any address. */
static socklen_t address_of(const char *text, bool v6, int port, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *in6 = (void *)address;
	struct sockaddr_in *in = (void *)address;

	memset(address, 0, sizeof(*address));
	address->ss_family = v6 ? AF_INET6 : AF_INET;
	in->sin_port = htons(port);	/* at the same place in both families */
	if (strcmp(text, "-"))
		inet_pton(address->ss_family, text,
			  v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr);
	return v6 ? sizeof(*in6) : sizeof(*in);
}

/* argv: source (or -), destination, port, [source port] */
static int plain(int argc, char **argv)
{
	int port = argc > 3 ? atoi(argv[3]) : 0, yes = 1, fd;
	struct sockaddr_storage address;
	socklen_t length;
	bool v6;

	if (argc < 3)
		return 2;
	v6 = strchr(argv[1], ':');
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
	length = address_of(argv[0], v6, port, &address);
	if ((port || strcmp(argv[0], "-")) && bind(fd, (void *)&address, length)) {
		printf("bind: %s\n", strerrorname_np(errno));
		return 1;
	}
	length = address_of(argv[1], v6, atoi(argv[2]), &address);
	if (connect(fd, (void *)&address, length) && errno != EINPROGRESS) {
		printf("connect: %s\n", strerrorname_np(errno));
		return 1;
	}
	return talk_once(fd);
}

static const struct option long_options[] = {
	{ "client4", 1, NULL, 'c' },  { "client6", 1, NULL, 'C' },  { "clients4", 1, NULL, 'n' },
	{ "clients6", 1, NULL, 'N' }, { "dest4", 1, NULL, 'd' },    { "dest6", 1, NULL, 'D' },
	{ "port", 1, NULL, 'p' },     { "client-port", 1, NULL, 'P' }, { "any-port", 0, NULL, 'a' },
	{ "requests", 1, NULL, 'r' }, { "parallel", 1, NULL, 'j' }, { "fresh", 1, NULL, 'f' },
	{ "up", 1, NULL, 'u' },	      { "down", 1, NULL, 'w' },	    { "seed", 1, NULL, 's' },
	{ "hold", 0, NULL, 'h' },     { "ports", 1, NULL, 'o' },  {},
};

static void parse_options(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (c) {
		case 'c': options.client4 = optarg; options.clients4 += !options.clients4; break;
		case 'C': options.client6 = optarg; options.clients6 += !options.clients6; break;
		case 'n': options.clients4 = atoi(optarg); break;
		case 'N': options.clients6 = atoi(optarg); break;
		case 'd': options.dest4 = optarg; break;
		case 'D': options.dest6 = optarg; break;
		case 'p': options.port = atoi(optarg); break;
		case 'P': options.client_port = atoi(optarg); break;
		case 'o': options.ports = atoi(optarg); break;
		case 'a': options.any_port = true; break;
		case 'r': options.requests = atoi(optarg); break;
		case 'j': options.parallel = atoi(optarg); break;
		case 'f': options.fresh = atoi(optarg); break;
		case 'u': options.up = strtoul(optarg, NULL, 0); break;
		case 'w': options.down = strtoul(optarg, NULL, 0); break;
		case 's': options.seed = strtoul(optarg, NULL, 0); break;
		case 'h': options.hold = true; break;
		default: exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };

	if (argc < 2) {
		fprintf(stderr, "usage: realip_load load|one|plain ...\n");
		return 2;
	}
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = i;
	parse_options(argc - 1, argv + 1);
	if (!strcmp(argv[1], "load"))
		return load();
	if (!strcmp(argv[1], "one"))
		return one();
	return plain(argc - 2, argv + 2);
}
