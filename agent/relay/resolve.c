// SPDX-License-Identifier: Apache-2.0
/*
 * Names behind an exit. A container's DNS queries over UDP, whatever resolver it
 * names, are taken here and asked over TCP (RFC 7766), through its exit, of the
 * servers that its policy names; the answer comes back from the address that was
 * asked. A server that fails or is silent is followed by the next.
 *
 *	datagram -> query -> session to servers[i], through a pair of sockets
 *	         <- answer, or a truncated one where the asker has no room for it
 *
 * Queries and answers pass as they are: the relay looks at the header, at the size
 * that the asker takes (RFC 6891), and at nothing else.
 */
#include "relay/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_HEADER		12
#define DNS_UDP_SIZE		512	/* RFC 1035: without a word about it */
#define DNS_UDP_LARGEST		1232	/* fits every path; larger ones go over TCP */
#define DNS_QUERY_MAX		4096
#define DNS_MESSAGE_MAX		65535
#define DATAGRAMS_PER_TURN	64

struct relay_query {
	struct relay		*relay;
	struct loop_source	source;		/* our end of the pair; fd -1: none */
	struct loop_timer	timer;
	struct loop_task	task;		/* the next server, or freeing */
	struct list		node;		/* relay->queries */
	uint8_t			container[ID_LEN];
	int			udp;		/* the relay's socket that it came by */
	struct address		peer, asked;
	uint16_t		peer_port;
	unsigned int		server;		/* tried now */
	size_t			room;		/* of the asker */
	size_t			len, sent, have;
	unsigned char		*answer;	/* with its length in front; or NULL */
	unsigned char		query[2 + DNS_QUERY_MAX];
};

/* Behind the name at @at, or 0. In a question no name is compressed. */
static size_t skip_name(const unsigned char *bytes, size_t len, size_t at)
{
	while (at < len && bytes[at]) {
		if (bytes[at] > 63)
			return 0;
		at += 1 + (size_t)bytes[at];
	}
	return at < len ? at + 1 : 0;
}

/* Where the question of a message ends, or 0. */
static size_t question_end(const unsigned char *bytes, size_t len)
{
	const size_t at = len > DNS_HEADER && bytes[4] == 0 && bytes[5] == 1 ?
				  skip_name(bytes, len, DNS_HEADER) : 0;

	return at && at + 4 <= len ? at + 4 : 0;
}

/* What the asker takes: its OPT record, where it is the first behind the question. */
static size_t room_of(const unsigned char *bytes, size_t len, size_t end)
{
	size_t size;

	if (end + 5 > len || bytes[6] || bytes[7] || bytes[8] || bytes[9] || bytes[end] ||
	    bytes[end + 1] || bytes[end + 2] != 41)
		return DNS_UDP_SIZE;
	size = (size_t)bytes[end + 3] << 8 | bytes[end + 4];
	if (size < DNS_UDP_SIZE)
		return DNS_UDP_SIZE;
	return size > DNS_UDP_LARGEST ? DNS_UDP_LARGEST : size;
}

static void free_query(struct loop_task *task)
{
	struct relay_query *query = container_of(task, struct relay_query, task);

	free(query->answer);
	free(query);
}

static void close_pair(struct relay_query *query)
{
	if (query->source.fd >= 0)
		close(query->source.fd);
	query->source.fd = -1;
}

static void end_query(struct relay_query *query)
{
	close_pair(query);
	loop_timer_stop(&query->timer);
	list_del(&query->node);
	query->relay->queries_count--;
	list_del(&query->task.node);
	loop_task_setup(&query->task, free_query);
	loop_bury(&query->relay->loop, &query->task);
}

static struct relay_container *container_of_query(const struct relay_query *query)
{
	return relay_policy_by_id(query->relay->policy, query->container);
}

bool relay_send_from(int fd, const struct address *from, const struct address *peer,
		     uint16_t peer_port, const void *bytes, size_t len)
{
	union {
		char		space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr	align;
	} control = { 0 };
	struct sockaddr_storage to;
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr message = {
		.msg_name = &to, .msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control.space,
	};
	struct cmsghdr *cmsg = &control.align;

	message.msg_namelen = address_sockaddr(peer, peer_port, &to);
	if (from->family == AF_INET) {
		const struct in_pktinfo info = { .ipi_spec_dst = from->v4 };

		cmsg->cmsg_level = SOL_IP;
		cmsg->cmsg_type = IP_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		message.msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		const struct in6_pktinfo info = { .ipi6_addr = from->v6 };

		cmsg->cmsg_level = SOL_IPV6;
		cmsg->cmsg_type = IPV6_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		message.msg_controllen = CMSG_SPACE(sizeof(info));
	}
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* From the address that was asked; its port is the socket's. */
static void send_answer(struct relay_query *query, const void *bytes, size_t len)
{
	relay_send_from(query->udp, &query->asked, &query->peer, query->peer_port, bytes, len);
}

/* A whole answer is there. */
static void finish(struct relay_query *query)
{
	struct relay_container *container = container_of_query(query);
	unsigned char *message = query->answer + 2;
	size_t len = query->have - 2, end;

	if (len > query->room) {
		/* TC (RFC 1035 4.1.1): the asker comes again over TCP. */
		end = question_end(message, len);
		if (!end)
			end = DNS_HEADER;
		message[2] |= 0x02;
		memset(message + 6, 0, 6);
		if (end == DNS_HEADER)
			message[4] = message[5] = 0;
		len = end;
	}
	send_answer(query, message, len);
	if (container)
		container->stats.dns_answered++;
	end_query(query);
}

static void ask(struct relay_query *query);

static void ask_next(struct loop_task *task)
{
	struct relay_query *query = container_of(task, struct relay_query, task);

	query->server++;
	ask(query);
}

/* This server does not answer. The next one, in the next turn's round of tasks. */
static void give_up_server(struct relay_query *query)
{
	close_pair(query);
	loop_timer_stop(&query->timer);
	loop_post(&query->relay->loop, &query->task);
}

static void expired(struct loop_timer *timer, enum loop_timer_class class)
{
	give_up_server(container_of(timer, struct relay_query, timer));
}

/* What has come so far. 1: whole, 0: more to come, -1: it is no answer. */
static int check_answer(const struct relay_query *query)
{
	const unsigned char *answer = query->answer;
	size_t len;

	if (query->have < 2)
		return 0;
	len = (size_t)answer[0] << 8 | answer[1];
	if (len < DNS_HEADER)
		return -1;
	if (query->have < 2 + DNS_HEADER)
		return 0;
	if (memcmp(answer + 2, query->query + 2, 2) || !(answer[4] & 0x80))
		return -1;
	if (query->have > 2 + len)
		return -1;
	return query->have == 2 + len;
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct relay_query *query = container_of(source, struct relay_query, source);
	ssize_t ret;
	int state;

	while (query->sent < query->len) {
		ret = send(source->fd, query->query + query->sent, query->len - query->sent,
			   MSG_NOSIGNAL);
		if (ret < 0 && errno == EAGAIN)
			return;
		if (ret < 0) {
			give_up_server(query);
			return;
		}
		query->sent += (size_t)ret;
	}
	for (;;) {
		ret = recv(source->fd, query->answer + query->have,
			   2 + DNS_MESSAGE_MAX - query->have, 0);
		if (ret < 0 && errno == EAGAIN)
			return;
		if (ret <= 0) {
			give_up_server(query);
			return;
		}
		query->have += (size_t)ret;
		state = check_answer(query);
		if (state > 0)
			finish(query);
		else if (state < 0)
			give_up_server(query);
		if (state)
			return;
	}
}

/* Opens a session to the server that is due. */
static void ask(struct relay_query *query)
{
	struct relay *relay = query->relay;
	const struct relay_container *container = container_of_query(query);
	int pair[2];

	query->sent = query->have = 0;
	if (!query->answer)
		query->answer = malloc(2 + DNS_MESSAGE_MAX);
	if (!container || query->server >= container->dns_count || !query->answer ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
		/* The asker will ask again, or give up. */
		if (container)
			relay_policy_by_id(relay->policy, query->container)->stats.dns_failed++;
		end_query(query);
		return;
	}
	query->source = (struct loop_source){ pair[0], ready };
	if (loop_add(&relay->loop, &query->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
		close(pair[1]);
		end_query(query);
		return;
	}
	loop_timer_start(&relay->loop, &query->timer, LOOP_TIMER_RESPONSE);
	relay_session_start(relay, pair[1], &query->peer, &container->dns[query->server], 53);
}

static void take_query(struct relay *relay, int udp, const unsigned char *bytes, size_t len,
		       const struct address *peer, uint16_t peer_port, const struct address *asked,
		       uint16_t asked_port)
{
	struct relay_container *container = relay_policy_by_address(relay->policy, peer);
	const size_t end = question_end(bytes, len);
	struct relay_query *query;

	if (!container)
		return;
	if ((asked_port != 53 || !container->dns_count) &&
	    relay_udp_take(relay, container, bytes, len, peer, peer_port, asked, asked_port))
		return;
	/* One question, not an answer: everything else has no business here. */
	if (asked_port != 53 || !container->dns_count || !end || bytes[2] & 0x80 ||
	    len > DNS_QUERY_MAX) {
		container->stats.udp_refused++;
		return;
	}
	container->stats.dns_queries++;
	query = relay->queries_count < RELAY_QUERIES_MAX ? calloc(1, sizeof(*query)) : NULL;
	if (!query) {
		container->stats.dns_failed++;
		return;
	}
	memcpy(query->container, container->id, ID_LEN);
	query->relay = relay;
	query->source.fd = -1;
	query->udp = udp;
	query->peer = *peer;
	query->peer_port = peer_port;
	query->asked = *asked;
	query->room = room_of(bytes, len, end);
	query->query[0] = (unsigned char)(len >> 8);
	query->query[1] = (unsigned char)len;
	memcpy(query->query + 2, bytes, len);
	query->len = len + 2;
	loop_timer_setup(&query->timer, expired);
	loop_task_setup(&query->task, ask_next);
	list_add_tail(&query->node, &relay->queries);
	relay->queries_count++;
	ask(query);
}

/* The destination as the container wrote it. */
static bool original(struct msghdr *message, struct sockaddr_storage *to)
{
	struct cmsghdr *cmsg;

	memset(to, 0, sizeof(*to));
	for (cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
		const size_t len = cmsg->cmsg_len - CMSG_LEN(0);

		if ((cmsg->cmsg_level == SOL_IP && cmsg->cmsg_type == IP_RECVORIGDSTADDR) ||
		    (cmsg->cmsg_level == SOL_IPV6 && cmsg->cmsg_type == IPV6_RECVORIGDSTADDR)) {
			memcpy(to, CMSG_DATA(cmsg), len < sizeof(*to) ? len : sizeof(*to));
			return true;
		}
	}
	return false;
}

bool relay_take_datagrams(struct relay *relay, int udp)
{
	static unsigned char bytes[UDP_PAYLOAD_MAX];
	struct sockaddr_storage from, to;
	union {
		char		space[CMSG_SPACE(sizeof(struct sockaddr_in6))];
		struct cmsghdr	align;
	} control;

	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
		struct msghdr message = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part,
			.msg_iovlen = 1, .msg_control = control.space,
			.msg_controllen = sizeof(control.space),
		};
		const ssize_t len = recvmsg(udp, &message, 0);
		struct address peer, asked;
		uint16_t peer_port, asked_port;

		if (len < 0 && errno == EAGAIN)
			return false;
		if (len < 0 || !original(&message, &to) ||
		    !relay_address(&from, &peer, &peer_port) ||
		    !relay_address(&to, &asked, &asked_port))
			continue;
		take_query(relay, udp, bytes, (size_t)len, &peer, peer_port, &asked, asked_port);
	}
	return true;
}

void relay_queries_clear(struct relay *relay)
{
	struct relay_query *query, *next;

	list_for_each_entry_safe(query, next, &relay->queries, node)
		end_query(query);
}
