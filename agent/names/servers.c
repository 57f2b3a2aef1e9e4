// SPDX-License-Identifier: Apache-2.0
/*
 * What is asked of servers. Directly over UDP, and over TCP where the answer does
 * not fit (RFC 7766); behind an exit over TCP at once, through a session of the
 * relay and a pair of sockets. A socket of its own for each query: its port is as
 * hard to guess as its id (RFC 5452).
 */
#include "names/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_PORT	53

void names_stop_asking(struct names_query *query)
{
	if (query->source.fd >= 0)
		close(query->source.fd);
	query->source.fd = -1;
	loop_timer_stop(&query->timer);
}

/* This server does not answer. The next one, in the next round of tasks. */
static void give_up_server(struct names_query *query)
{
	names_stop_asking(query);
	query->stage = NAMES_UDP;
	query->tries = 0;
	query->server++;
	loop_post(&query->names->relay->loop, &query->task);
}

static void read_datagrams(struct names_query *query)
{
	static unsigned char message[NAMES_QUERY_MAX];

	for (;;) {
		const ssize_t len = recv(query->source.fd, message, sizeof(message), 0);

		if (len < 0 && errno == EAGAIN)
			return;
		if (len < 0) {
			/* Nobody is there (ICMP): no need to wait. */
			give_up_server(query);
			return;
		}
		if (names_answered(query, message, (size_t)len))
			return;
	}
}

/* What has come so far. 1: whole, 0: more to come, -1: it is no answer. */
static int check_stream(const struct names_query *query)
{
	size_t len;

	if (query->have < 2)
		return 0;
	len = (size_t)query->answer[0] << 8 | query->answer[1];
	if (len < NAMES_HEADER || query->have > 2 + len)
		return -1;
	return query->have == 2 + len;
}

static void read_stream(struct names_query *query)
{
	for (;;) {
		const ssize_t len = recv(query->source.fd, query->answer + query->have,
					 2 + NAMES_MESSAGE_MAX - query->have, 0);
		int state;

		if (len < 0 && errno == EAGAIN)
			return;
		if (len <= 0) {
			give_up_server(query);
			return;
		}
		query->have += (size_t)len;
		state = check_stream(query);
		if (!state)
			continue;
		if (state < 0 ||
		    !names_answered(query, query->answer + 2, query->have - 2))
			give_up_server(query);
		return;
	}
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct names_query *query = container_of(source, struct names_query, source);
	/* Over TCP the length stands in front. */
	const size_t from = query->stage == NAMES_UDP ? 2 : 0;

	while (query->sent + from < query->request_len) {
		const ssize_t len = send(source->fd, query->request + from + query->sent,
					 query->request_len - from - query->sent, MSG_NOSIGNAL);

		if (len < 0 && errno == EAGAIN)
			return;
		if (len < 0) {
			give_up_server(query);
			return;
		}
		query->sent += (size_t)len;
	}
	if (query->stage == NAMES_UDP)
		read_datagrams(query);
	else
		read_stream(query);
}

/* A socket towards the server, or -errno. */
static int open_server(struct names_query *query, const struct relay_container *container,
		       const struct address *server)
{
	const int type = query->stage == NAMES_UDP ? SOCK_DGRAM : SOCK_STREAM;
	struct sockaddr_storage to;
	const socklen_t len = address_sockaddr(server, SERVER_PORT, &to);
	int fd = socket(server->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return -errno;
	ret = relay_way_take(container, fd, query->way);
	if (!ret && connect(fd, (struct sockaddr *)&to, len) && errno != EINPROGRESS)
		ret = -errno;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

void names_ask(struct names_query *query)
{
	const struct relay_container *container = names_container(query);
	struct relay *relay = query->names->relay;
	int pair[2] = { -1, -1 };

	if (!container || query->server >= container->dns_count) {
		names_fail(query);
		return;
	}
	query->sent = query->have = 0;
	query->direct = !container->exit;
	if (!query->direct)
		query->stage = NAMES_TCP;
	free(query->answer);
	query->answer = query->stage == NAMES_TCP ? malloc(2 + NAMES_MESSAGE_MAX) : NULL;
	if (query->stage == NAMES_TCP && !query->answer) {
		names_fail(query);
		return;
	}
	if (query->direct) {
		pair[0] = open_server(query, container, &container->dns[query->server]);
		if (pair[0] < 0) {
			give_up_server(query);
			return;
		}
	} else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
		names_fail(query);
		return;
	}
	query->source = (struct loop_source){ pair[0], ready };
	if (loop_add(&relay->loop, &query->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
		if (pair[1] >= 0)
			close(pair[1]);
		names_fail(query);
		return;
	}
	loop_timer_start(&relay->loop, &query->timer,
			 query->stage == NAMES_UDP ? LOOP_TIMER_HEAD : LOOP_TIMER_RESPONSE);
	if (!query->direct)
		relay_session_start(relay, pair[1], &query->client.peer,
				    &container->dns[query->server], SERVER_PORT, false);
}
