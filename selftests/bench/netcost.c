// SPDX-License-Identifier: Apache-2.0
/*
 * The proxy's side of an upstream connection, and the meter: what a request on
 * a kept connection costs, and what a new connection with one request costs.
 * In a machine whose clock counts instructions (tools/vm --icount) nanoseconds
 * are instructions, those of both ends and of everything between them.
 *
 * The clock is read between batches, never inside one. Every response is
 * checked to have come from a server that saw the expected address.
 *
 *	netcost register CONTAINER...	write to the module's registry, here
 *	netcost hold COUNT ...		open connections, print a process id, keep them
 *	netcost measure ...		print one JSON object
 *	netcost clock			instructions of a loop of known length
 *
 * Options of hold and measure:
 *	--to ADDRESS --port N	the server
 *	--client ADDRESS	source: the client's address (not for ordinary)
 *	--expect ADDRESS	what the server must see
 *	--source ordinary|realip|realip-any-port|transparent|transparent-port
 *	--mode kept|new, --udp, --batches N, --batch SIZE, --warm N
 */
#include "netcost.h"
#include "kernel/genl.h"

#include <errno.h>
#include <getopt.h>
#include <linux/hoody.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCHES_MAX 1000
#define KEPT	    8 /* kept connections, used in turn */
/* The clients' own ports of "realip" and "transparent-port", used in turn. */
#define PORT_FIRST 10000
#define PORT_COUNT 20000

enum source { ORDINARY, REALIP, REALIP_ANY_PORT, TRANSPARENT, TRANSPARENT_PORT, SOURCES };

static const char *const source_names[SOURCES] = {
	"ordinary", "realip", "realip-any-port", "transparent", "transparent-port",
};

struct setup {
	struct address to, client, expect;
	uint16_t port;
	enum source source;
	bool new, udp;
	int batches, batch, warm;
	/* derived */
	struct sockaddr_storage server;
	socklen_t server_length;
	unsigned int opened; /* connections so far */
	int epoll;
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int connect_realip(const struct setup *setup, int fd, uint16_t port)
{
	struct hoody_realip arg = {
		.family = setup->to.family,
		.flags = setup->source == REALIP_ANY_PORT ? HOODY_REALIP_ANY_PORT : 0,
		.client_port = htons(port),
		.container_port = htons(setup->port),
		.client6 = setup->client.v6,
		.container6 = setup->to.v6,
	};

	return setsockopt(fd, setup->to.family == AF_INET ? SOL_IP : SOL_IPV6, HOODY_SO_REALIP,
			  &arg, sizeof(arg));
}

/* As nginx does it (any port, chosen at connect) or HAProxy (the client's own). */
static int bind_transparent(const struct setup *setup, int fd, uint16_t port)
{
	bool v4 = setup->to.family == AF_INET;
	struct sockaddr_storage from;
	socklen_t length;
	int one = 1;

	if (v4 ? setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one))
	       : setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &one, sizeof(one)))
		return -1;
	if (setup->source == TRANSPARENT) {
		port = 0;
		setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	}
	length = address_sockaddr(&setup->client, port, &from);
	return bind(fd, (struct sockaddr *)&from, length);
}

/* A socket on its way to the server, watched by the epoll set. */
static int connection_open(struct setup *setup)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	uint16_t port = PORT_FIRST + setup->opened++ % PORT_COUNT;
	int type = setup->udp ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(setup->to.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		netcost_die("socket");
	if (setup->source == REALIP || setup->source == REALIP_ANY_PORT) {
		if (connect_realip(setup, fd, port))
			netcost_die("HOODY_SO_REALIP");
	} else {
		if (setup->source != ORDINARY)
			err = bind_transparent(setup, fd, port);
		if (err)
			netcost_die("bind to the client's address");
		err = connect(fd, (struct sockaddr *)&setup->server, setup->server_length);
		if (err && errno != EINPROGRESS)
			netcost_die("connect");
	}
	event.data.fd = fd;
	if (epoll_ctl(setup->epoll, EPOLL_CTL_ADD, fd, &event))
		netcost_die("epoll_ctl");
	return fd;
}

static void wait_for(struct setup *setup, int fd, uint32_t events)
{
	struct epoll_event event;

	do {
		/* The limit only ends a run that hangs. */
		if (epoll_wait(setup->epoll, &event, 1, 20000) != 1) {
			fprintf(stderr, "no answer within 20 s\n");
			exit(1);
		}
		if (event.events & (EPOLLERR | EPOLLHUP)) {
			fprintf(stderr, "the connection failed or was cut\n");
			exit(1);
		}
	} while (event.data.fd != fd || !(event.events & events));
}

static void check_peer(const struct setup *setup, const struct netcost_peer *peer)
{
	struct address saw = {.family = peer->family};
	char text[ADDRESS_TEXT_MAX], wanted[ADDRESS_TEXT_MAX];

	memcpy(&saw.v6, peer->address, sizeof(peer->address));
	if (address_equal(&saw, &setup->expect))
		return;
	address_format(&saw, text);
	address_format(&setup->expect, wanted);
	fprintf(stderr, "the server saw %s as its client, not %s\n", text, wanted);
	exit(1);
}

static void exchange(struct setup *setup, int fd)
{
	static char request[NETCOST_REQUEST];
	union {
		char bytes[NETCOST_RESPONSE];
		struct netcost_peer peer;
	} response;
	size_t received = 0;
	ssize_t n;

	if (write(fd, request, sizeof(request)) != sizeof(request))
		netcost_die("write");
	while (received < sizeof(response)) {
		n = read(fd, response.bytes + received, sizeof(response) - received);
		if (n > 0) {
			received += n;
		} else if (n == 0 || errno != EAGAIN) {
			fprintf(stderr, "the server closed the connection\n");
			exit(1);
		} else {
			wait_for(setup, fd, EPOLLIN);
		}
	}
	check_peer(setup, &response.peer);
}

static void run_new(struct setup *setup, int count)
{
	while (count--) {
		int fd = connection_open(setup);

		wait_for(setup, fd, EPOLLOUT);
		exchange(setup, fd);
		close(fd);
	}
}

static void run_kept(struct setup *setup, const int fds[KEPT], int count)
{
	for (int i = 0; i < count; i++)
		exchange(setup, fds[i % KEPT]);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* @costs: per request or connection, one figure a batch. */
static void print_result(const struct setup *setup, double *costs)
{
	int n = setup->batches;
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += costs[i];
	qsort(costs, n, sizeof(*costs), compare);
	printf("{\"source\":\"%s\",\"mode\":\"%s\",\"protocol\":\"%s\",\"batches\":%d,\"batch\":%d,"
	       "\"mean\":%.1f,\"min\":%.1f,\"median\":%.1f,\"max\":%.1f}\n",
	       source_names[setup->source], setup->new ? "new" : "kept", setup->udp ? "udp" : "tcp",
	       n, setup->batch, sum / n, costs[0], costs[n / 2], costs[n - 1]);
}

static int measure(struct setup *setup)
{
	static double costs[BATCHES_MAX];
	int fds[KEPT];
	uint64_t start;

	for (int i = 0; i < KEPT && !setup->new; i++) {
		fds[i] = connection_open(setup);
		wait_for(setup, fds[i], EPOLLOUT);
	}
	for (int i = -1; i < setup->batches; i++) {
		int count = i < 0 ? setup->warm : setup->batch;

		start = now();
		if (setup->new)
			run_new(setup, count);
		else
			run_kept(setup, fds, count);
		if (i >= 0)
			costs[i] = (double)(now() - start) / count;
	}
	print_result(setup, costs);
	return 0;
}

static int hold(struct setup *setup, int count)
{
	pid_t pid;

	for (int i = 0; i < count; i++) {
		int fd = connection_open(setup);

		wait_for(setup, fd, EPOLLOUT);
		exchange(setup, fd);
	}
	pid = fork();
	if (pid < 0)
		netcost_die("fork");
	if (pid) {
		printf("%d\n", pid);
		return 0;
	}
	close(STDOUT_FILENO);
	for (;;)
		pause();
}

static int register_containers(char **addresses)
{
	struct knl *knl = knl_open();

	if (!knl)
		netcost_die("netlink");
	if (knl_probe(knl) != KNL_READY) {
		fprintf(stderr, "%s\n", knl_reason(knl));
		return 1;
	}
	for (int i = 0; addresses[i]; i++) {
		struct knl_container container = {
			.id = {0xbe, i + 1},
			.project = {0xbe},
			.generation = 1,
			.flags = HOODY_CONTAINER_REALIP,
			.addresses_count = 1,
		};
		int err;

		netcost_address(addresses[i], &container.addresses[0]);
		err = knl_container_set(knl, &container);
		if (err) {
			fprintf(stderr, "%s: %s (%s)\n", addresses[i], strerror(-err),
				knl_fault(knl));
			return 1;
		}
	}
	knl_close(knl);
	return 0;
}

/* 10^8 instructions: two a turn. Tells whether the clock counts instructions. */
static int check_clock(void)
{
	unsigned long turns = 50000000;
	uint64_t start = now();

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
	printf("{\"instructions\":100000000,\"nanoseconds\":%llu}\n",
	       (unsigned long long)(now() - start));
	return 0;
}

static int parse(struct setup *setup, int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},
		{"port", required_argument, NULL, 'p'},
		{"client", required_argument, NULL, 'c'},
		{"expect", required_argument, NULL, 'e'},
		{"source", required_argument, NULL, 's'},
		{"mode", required_argument, NULL, 'm'},
		{"udp", no_argument, NULL, 'u'},
		{"batches", required_argument, NULL, 'n'},
		{"batch", required_argument, NULL, 'b'},
		{"warm", required_argument, NULL, 'w'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			netcost_address(optarg, &setup->to);
			break;
		case 'p':
			setup->port = atoi(optarg);
			break;
		case 'c':
			netcost_address(optarg, &setup->client);
			break;
		case 'e':
			netcost_address(optarg, &setup->expect);
			break;
		case 's':
			for (setup->source = 0; setup->source < SOURCES; setup->source++)
				if (!strcmp(source_names[setup->source], optarg))
					break;
			break;
		case 'm':
			setup->new = !strcmp(optarg, "new");
			break;
		case 'u':
			setup->udp = true;
			break;
		case 'n':
			setup->batches = atoi(optarg);
			break;
		case 'b':
			setup->batch = atoi(optarg);
			break;
		case 'w':
			setup->warm = atoi(optarg);
			break;
		default:
			return -1;
		}
	}
	if (!setup->port || !setup->to.family || !setup->expect.family || setup->batches < 1 ||
	    setup->batches > BATCHES_MAX || setup->batch < 1 || setup->warm < 1 ||
	    setup->source == SOURCES)
		return -1;
	setup->server_length = address_sockaddr(&setup->to, setup->port, &setup->server);
	setup->epoll = epoll_create1(EPOLL_CLOEXEC);
	return 0;
}

int main(int argc, char **argv)
{
	struct setup setup = {.batches = 40, .batch = 50, .warm = 100};
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "register") && argc > 2)
		return register_containers(argv + 2);
	if (!strcmp(verb, "clock"))
		return check_clock();
	if (!strcmp(verb, "hold") && argc > 3 && !parse(&setup, argc - 2, argv + 2))
		return hold(&setup, atoi(argv[2]));
	if (!strcmp(verb, "measure") && !parse(&setup, argc - 1, argv + 1))
		return measure(&setup);
	fprintf(stderr, "usage: netcost register|hold|measure|clock ... (see the file's head)\n");
	return 2;
}
