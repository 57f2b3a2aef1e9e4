// SPDX-License-Identifier: Apache-2.0
/*
 * Tries to make a socket that stands in for a client reach anything but its
 * container. Run as the agent, without capabilities; the script around it
 * watches the wires. Every line is "pass NAME" or "fail NAME: WHY".
 *
 *	realip_escape CONTAINER4 CONTAINER6 ELSEWHERE4 ELSEWHERE6 SECONDS
 */
#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/hoody.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif
#define PORT		8080
#define CLOSED_PORT	8099
#define CLIENT4		"198.51.100.66"
#define FOREIGN4	"198.51.100.77"
#define CLIENT6		"2001:db8:c::66"
#define FOREIGN6	"2001:db8:c::77"

static struct sockaddr_in6 elsewhere6 = { .sin6_family = AF_INET6 };
static struct sockaddr_in elsewhere4 = { .sin_family = AF_INET };
static struct hoody_realip arg4 = { .family = AF_INET }, arg6 = { .family = AF_INET6 };

static void result(bool passed, const char *name, const char *why)
{
	if (passed)
		printf("pass %s\n", name);
	else
		printf("fail %s: %s (errno %s)\n", name, why, strerrorname_np(errno));
	fflush(stdout);
}

static void expect(int got, int error, const char *name)
{
	int saved = errno;

	if (got < 0 && saved == error) {
		printf("pass %s\n", name);
	} else {
		printf("fail %s: returned %d %s, expected %s\n", name, got,
		       got < 0 ? strerrorname_np(saved) : "", error ? strerrorname_np(error) : "0");
	}
	fflush(stdout);
}

static int option(int fd, const struct hoody_realip *arg)
{
	return setsockopt(fd, arg->family == AF_INET ? SOL_IP : SOL_IPV6, HOODY_SO_REALIP, arg,
			  sizeof(*arg));
}

static struct hoody_realip to_port(const struct hoody_realip *arg, int port)
{
	struct hoody_realip changed = *arg;

	changed.container_port = htons(port);
	return changed;
}

/* Waits until a connect is over; its error. */
static int connected(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t length = sizeof(int);
	int err = 0;

	poll(&poll_fd, 1, limit_ms(20));
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length);
	return err;
}

/* A connected socket of the client. */
static int client_socket(const struct hoody_realip *arg)
{
	int fd = socket(arg->family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (option(fd, arg) || connected(fd)) {
		printf("fail setup: no connection to the container (%s)\n", strerrorname_np(errno));
		exit(1);
	}
	return fd;
}

static int go_elsewhere(int fd, int family)
{
	if (family == AF_INET)
		return connect(fd, (void *)&elsewhere4, sizeof(elsewhere4));
	return connect(fd, (void *)&elsewhere6, sizeof(elsewhere6));
}

static int disconnect(int fd)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	return connect(fd, &unspec, sizeof(unspec));
}

static int bind_foreign(int fd, int family)
{
	struct sockaddr_in6 foreign6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in foreign4 = { .sin_family = AF_INET };

	inet_pton(AF_INET6, FOREIGN6, &foreign6.sin6_addr);
	inet_pton(AF_INET, FOREIGN4, &foreign4.sin_addr);
	if (family == AF_INET)
		return bind(fd, (void *)&foreign4, sizeof(foreign4));
	return bind(fd, (void *)&foreign6, sizeof(foreign6));
}

/* Whether the socket's own address is one of the clients'. */
static bool is_foreign(int fd)
{
	struct sockaddr_storage name = {};
	socklen_t length = sizeof(name);
	struct in6_addr client6;

	getsockname(fd, (void *)&name, &length);
	if (name.ss_family == AF_INET)
		return (ntohl(((struct sockaddr_in *)&name)->sin_addr.s_addr) & 0xffffff00) ==
		       0xc6336400;
	inet_pton(AF_INET6, CLIENT6, &client6);
	return !memcmp(&((struct sockaddr_in6 *)&name)->sin6_addr, &client6, 8);
}

static bool peer_is_elsewhere(int fd)
{
	struct sockaddr_storage peer = {};
	socklen_t length = sizeof(peer);

	if (getpeername(fd, (void *)&peer, &length))
		return false;
	if (peer.ss_family == AF_INET)
		return ((struct sockaddr_in *)&peer)->sin_addr.s_addr == elsewhere4.sin_addr.s_addr;
	return !memcmp(&((struct sockaddr_in6 *)&peer)->sin6_addr, &elsewhere6.sin6_addr, 16);
}

/* After whatever was done: elsewhere must be reached as this host, if at all. */
static void ordinary(int fd, int family, const char *name)
{
	int first = go_elsewhere(fd, family);

	/* A failed connection reports itself first, see connect(2). */
	if (first < 0 && errno != EINPROGRESS)
		go_elsewhere(fd, family);
	connected(fd);
	result(!is_foreign(fd), name, "elsewhere was addressed as the client");
	close(fd);
}

static void try_connect(const struct hoody_realip *arg)
{
	int family = arg->family, fd = client_socket(arg);

	/* The first call only reports the end of the connect that was under way. */
	go_elsewhere(fd, family);
	result(!peer_is_elsewhere(fd), "connect_again_reports_only", "it is elsewhere");
	expect(go_elsewhere(fd, family), EISCONN, "connect_again_refused");
	expect(bind_foreign(fd, family), EINVAL, "bind_while_connected_refused");
	expect(listen(fd, 1), EINVAL, "listen_while_connected_refused");
	expect(option(fd, arg), EISCONN, "option_twice_refused");
	disconnect(fd);
	result(!is_foreign(fd), "disconnect_gives_the_address_up", "still the client's");
	expect(bind_foreign(fd, family), EADDRNOTAVAIL, "bind_after_disconnect_refused");
	result(!listen(fd, 1) && !is_foreign(fd), "listen_after_disconnect_is_ordinary", "foreign");
	close(fd);
	fd = client_socket(arg);
	disconnect(fd);
	ordinary(fd, family, "connect_after_disconnect_is_ordinary");

	fd = client_socket(arg);
	disconnect(fd);
	result(!option(fd, arg) && !connected(fd) && is_foreign(fd),
	       "option_after_disconnect_works_again", "no connection");
	close(fd);
}

static void try_after_refusal(const struct hoody_realip *arg)
{
	struct hoody_realip closed = to_port(arg, CLOSED_PORT);
	int family = arg->family, fd;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	option(fd, &closed);
	result(connected(fd) == ECONNREFUSED, "refusal_is_reported", "no ECONNREFUSED");
	ordinary(fd, family, "connect_after_refusal_is_ordinary");

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	option(fd, &closed);
	connected(fd);
	bind_foreign(fd, family);
	ordinary(fd, family, "bind_and_connect_after_refusal_is_ordinary");

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	option(fd, &closed);
	connected(fd);
	bind_foreign(fd, family);
	disconnect(fd);
	result(!is_foreign(fd), "bind_and_disconnect_after_refusal_is_ordinary", "foreign");
	ordinary(fd, family, "bind_disconnect_connect_after_refusal_is_ordinary");

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	option(fd, &closed);
	connected(fd);
	bind_foreign(fd, family);
	result(listen(fd, 1) < 0, "listen_after_refusal_refused", "it listens");
	close(fd);
}

static void try_shutdown(const struct hoody_realip *arg)
{
	struct hoody_realip blackhole = to_port(arg, 8098);
	int family = arg->family, fd = client_socket(arg);

	shutdown(fd, SHUT_RDWR);
	bind_foreign(fd, family);
	go_elsewhere(fd, family);
	go_elsewhere(fd, family);
	connected(fd);
	result(!peer_is_elsewhere(fd) || !is_foreign(fd), "connect_after_shutdown_is_not_foreign",
	       "elsewhere is addressed as the client");
	close(fd);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	option(fd, &blackhole);
	shutdown(fd, SHUT_RDWR);
	bind_foreign(fd, family);
	ordinary(fd, family, "connect_after_shutdown_while_connecting_is_ordinary");
}

static void try_fastopen(const struct hoody_realip *arg)
{
	const struct sockaddr *to = arg->family == AF_INET ? (void *)&elsewhere4 :
							      (void *)&elsewhere6;
	socklen_t length = arg->family == AF_INET ? sizeof(elsewhere4) : sizeof(elsewhere6);
	int fd = client_socket(arg), one = 1;

	sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, to, length);
	result(!peer_is_elsewhere(fd), "fastopen_send_while_connected_stays", "it is elsewhere");
	expect(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, to, length), EISCONN,
	       "fastopen_send_while_connected_refused");
	disconnect(fd);
	result(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, to, length) > -2 && !is_foreign(fd),
	       "fastopen_send_after_disconnect_is_ordinary", "foreign");
	close(fd);
	fd = socket(arg->family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
	result(!option(fd, arg), "fastopen_connect_before_the_option", "refused");
	result(sendto(fd, "x", 1, MSG_NOSIGNAL, to, length) > -2 && !connected(fd) && is_foreign(fd),
	       "fastopen_connect_reaches_the_container", "not connected as the client");
	close(fd);
}

static void try_options4(void)
{
	/* Loose source route over ELSEWHERE: type 131, length 7, pointer 4. */
	uint8_t route[8] = { 131, 7, 4 }, nothing[4] = { 1, 1, 1, 0 };
	int fd = client_socket(&arg4), off = 0;

	memcpy(route + 3, &elsewhere4.sin_addr, 4);
	expect(setsockopt(fd, SOL_IP, IP_OPTIONS, route, sizeof(route)), EPERM,
	       "source_route_after_refused");
	expect(setsockopt(fd, SOL_IP, IP_OPTIONS, nothing, sizeof(nothing)), EPERM,
	       "ip_options_after_refused");
	expect(setsockopt(fd, SOL_IP, IP_TRANSPARENT, &off, sizeof(off)), EPERM,
	       "transparent_off_refused");
	setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	result(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && is_foreign(fd), "device_after_changes_nothing",
	       "the connection is gone");
	disconnect(fd);
	setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 1);
	close(fd);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	result(!setsockopt(fd, SOL_IP, IP_OPTIONS, nothing, sizeof(nothing)), "ip_options_before",
	       "this host refuses options anyway");
	expect(option(fd, &arg4), EINVAL, "ip_options_before_refused");
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	expect(option(fd, &arg4), EINVAL, "device_before_refused");
	close(fd);
}

static void try_options6(void)
{
	uint8_t route[24] = { 0, 2, 2, 1 };
	struct in6_pktinfo info = {};
	int fd = client_socket(&arg6), family = AF_INET, off = 0;

	inet_pton(AF_INET6, FOREIGN6, &info.ipi6_addr);
	expect(setsockopt(fd, SOL_IPV6, IPV6_RTHDR, route, sizeof(route)), EPERM,
	       "routing_header_refused");
	expect(setsockopt(fd, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info)), EPERM,
	       "pktinfo_refused");
	expect(setsockopt(fd, SOL_IPV6, IPV6_ADDRFORM, &family, sizeof(family)), EPERM,
	       "addrform_refused");
	expect(setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &off, sizeof(off)), EPERM,
	       "transparent6_off_refused");
	expect(setsockopt(fd, SOL_IP, IP_TRANSPARENT, &off, sizeof(off)), EPERM,
	       "transparent4_off_on_ipv6_refused");
	close(fd);
}

static void try_layers(const struct hoody_realip *arg)
{
	int fd = client_socket(arg);

	expect(setsockopt(fd, SOL_TCP, TCP_ULP, "tls", 4), EPERM, "tls_layer_refused");
	close(fd);
	fd = socket(arg->family, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_MPTCP);
	result(fd >= 0 && option(fd, arg) < 0 && (errno == EOPNOTSUPP || errno == ENOPROTOOPT),
	       "mptcp_refused", "accepted");
	close(fd);
	fd = socket(arg->family, SOCK_DGRAM, 0);
	expect(option(fd, arg), EOPNOTSUPP, "udp_refused");
	close(fd);
	fd = socket(arg->family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	listen(fd, 1);
	expect(option(fd, arg), EISCONN, "listening_socket_refused");
	close(fd);
}

static int refusal(const struct hoody_realip *arg, int family, int level, size_t length)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0), err;

	err = setsockopt(fd, level, HOODY_SO_REALIP, arg, length) ? errno : 0;
	if (err && (is_foreign(fd) || go_elsewhere(fd, family) == 0 || is_foreign(fd)))
		err = -1;	/* a failed call must leave an ordinary socket */
	close(fd);
	return err;
}

static void try_arguments(void)
{
	static const char *const bad4[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.7.7",
		"224.0.0.1", "255.255.255.255", "192.0.2.1", "192.0.2.255" };
	static const char *const bad6[] = { "::", "::1", "fe80::7", "ff02::1", "::ffff:198.51.100.1",
		"2001:db8:2::1" };
	struct hoody_realip arg;
	char name[96];

	for (size_t i = 0; i < sizeof(bad4) / sizeof(*bad4); i++) {
		arg = arg4;
		inet_pton(AF_INET, bad4[i], &arg.client4);
		snprintf(name, sizeof(name), "client_%s_refused", bad4[i]);
		result(refusal(&arg, AF_INET, SOL_IP, sizeof(arg)) == EADDRNOTAVAIL, name, "no");
	}
	for (size_t i = 0; i < sizeof(bad6) / sizeof(*bad6); i++) {
		arg = arg6;
		inet_pton(AF_INET6, bad6[i], &arg.client6);
		snprintf(name, sizeof(name), "client_%s_refused", bad6[i]);
		result(refusal(&arg, AF_INET6, SOL_IPV6, sizeof(arg)) == EADDRNOTAVAIL, name, "no");
	}
	arg = arg4;
	arg.client4 = arg.container4;
	result(refusal(&arg, AF_INET, SOL_IP, sizeof(arg)) == EADDRNOTAVAIL,
	       "client_is_the_container_refused", "no");
	arg = arg6;
	arg.client6 = arg.container6;
	result(refusal(&arg, AF_INET6, SOL_IPV6, sizeof(arg)) == EADDRNOTAVAIL,
	       "client_is_the_container_v6_refused", "no");
	arg = arg4;
	inet_pton(AF_INET, "192.0.2.2", &arg.container4);
	result(refusal(&arg, AF_INET, SOL_IP, sizeof(arg)) == EHOSTUNREACH,
	       "destination_that_is_no_container_refused", "no");
	arg = arg6;
	inet_pton(AF_INET6, "2001:db8:2::2", &arg.container6);
	result(refusal(&arg, AF_INET6, SOL_IPV6, sizeof(arg)) == EHOSTUNREACH,
	       "destination_that_is_no_container_v6_refused", "no");
	arg = to_port(&arg4, 0);
	result(refusal(&arg, AF_INET, SOL_IP, sizeof(arg)) == EINVAL, "port_0_refused", "no");
	arg = arg4;
	arg.flags = 2;
	result(refusal(&arg, AF_INET, SOL_IP, sizeof(arg)) == EINVAL, "unknown_flag_refused", "no");
	result(refusal(&arg4, AF_INET, SOL_IP, sizeof(arg) - 1) == EINVAL, "short_refused", "no");
	result(refusal(&arg4, AF_INET, SOL_IP, sizeof(arg) + 1) == EINVAL, "long_refused", "no");
	result(refusal(&arg4, AF_INET, SOL_IP, 0) == EINVAL, "empty_refused", "no");
	result(refusal(&arg6, AF_INET, SOL_IP, sizeof(arg)) == EAFNOSUPPORT, "family_refused", "no");
	result(refusal(&arg4, AF_INET6, SOL_IP, sizeof(arg)) == EAFNOSUPPORT,
	       "level_ip_on_ipv6_refused", "no");
	result(refusal(&arg6, AF_INET6, SOL_IP, sizeof(arg)) == EAFNOSUPPORT,
	       "level_of_the_other_family_refused", "no");
	result(refusal((void *)8, AF_INET, SOL_IP, sizeof(arg)) == EFAULT, "bad_pointer_refused", "no");
}

/* A child that got the socket by fork and one that got it through a unix socket. */
static void try_passing(void)
{
	int fd = client_socket(&arg4), copy = dup(fd), pair[2], status, passed;
	union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = {};
	struct iovec data = { .iov_base = (char[1]){}, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	pid_t child;

	go_elsewhere(copy, AF_INET);
	result(!peer_is_elsewhere(fd), "dup_connect_does_nothing", "it is elsewhere");
	close(copy);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		exit(1);
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	sendmsg(pair[0], &message, 0);
	close(fd);
	child = fork();
	if (!child) {
		if (recvmsg(pair[1], &message, 0) < 0)
			_exit(1);
		memcpy(&passed, CMSG_DATA(&control.header), sizeof(passed));
		go_elsewhere(passed, AF_INET);
		if (peer_is_elsewhere(passed) || !is_foreign(passed))
			_exit(1);
		disconnect(passed);
		go_elsewhere(passed, AF_INET);
		connected(passed);
		_exit(is_foreign(passed) ? 2 : 0);
	}
	waitpid(child, &status, 0);
	result(!status, "passed_socket_is_bound_by_the_same_rules", "it is not");
	close(pair[0]);
	close(pair[1]);
}

static _Atomic int race_fd = -1;
static atomic_bool race_over;

/* The other thread: everything that could catch the socket in between. */
static void *race_other(void *family)
{
	unsigned int turn = 0;

	while (!race_over) {
		int fd = race_fd;

		if (fd < 0)
			continue;
		switch (turn++ % 4) {
		case 0: go_elsewhere(fd, (long)family); break;
		case 1: bind_foreign(fd, (long)family); break;
		case 2: disconnect(fd); break;
		case 3: listen(fd, 1); break;
		}
	}
	return NULL;
}

static void try_race(const struct hoody_realip *arg, int seconds)
{
	uint64_t end = limit_now_us() + seconds * 1000000ull, last = limit_end_us(60);
	long rounds = 0, won = 0, wrong = 0;
	pthread_t thread;

	race_over = false;
	pthread_create(&thread, NULL, race_other, (void *)(long)arg->family);
	/* Where everything is slow, until it has taken place at all. */
	while (rounds < 100000 && limit_now_us() < (rounds > 100 && won ? end : last)) {
		int fd = socket(arg->family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		race_fd = fd;
		won += !option(fd, arg);
		/* While both go on. A peer elsewhere while the address is foreign: wrong. */
		for (int i = 0; i < 3; i++) {
			option(fd, arg);
			wrong += peer_is_elsewhere(fd) && is_foreign(fd) && peer_is_elsewhere(fd);
		}
		race_fd = -1;
		close(fd);
		rounds++;
	}
	race_over = true;
	pthread_join(thread, NULL);
	printf("note %ld rounds, the option won %ld\n", rounds, won);
	result(rounds > 100 && won, "race_took_place", "it did not");
	result(!wrong, "race_never_foreign_elsewhere", "it was");
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	arg4.container_port = arg6.container_port = htons(PORT);
	elsewhere4.sin_port = elsewhere6.sin6_port = htons(PORT);
	inet_pton(AF_INET, CLIENT4, &arg4.client4);
	inet_pton(AF_INET6, CLIENT6, &arg6.client6);
	inet_pton(AF_INET, argv[1], &arg4.container4);
	inet_pton(AF_INET6, argv[2], &arg6.container6);
	inet_pton(AF_INET, argv[3], &elsewhere4.sin_addr);
	inet_pton(AF_INET6, argv[4], &elsewhere6.sin6_addr);

	for (int v6 = 0; v6 < 2; v6++) {
		const struct hoody_realip *arg = v6 ? &arg6 : &arg4;

		printf("note family %d\n", arg->family);
		try_connect(arg);
		try_after_refusal(arg);
		try_shutdown(arg);
		try_fastopen(arg);
		try_layers(arg);
		try_race(arg, atoi(argv[5]));
	}
	try_options4();
	try_options6();
	try_arguments();
	try_passing();
	return 0;
}
