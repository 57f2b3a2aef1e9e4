// SPDX-License-Identifier: Apache-2.0
/*
 * QUIC of strict containers, see strict.h. A flow is a pair of ports and addresses.
 *
 *	first Initial -> pending: keys of its connection ID, datagrams held
 *	              -> hello complete -> name allowed: held datagrams go on, open
 *	                                -> else: the flow is refused and forgotten
 *	open: an Initial that is not of the connection that was allowed begins again
 *
 * So a second connection on the same pair needs a hello of its own, and a version
 * that cannot be read is never passed.
 */
#include "relay/strict.h"

#include "relay/quic_initial.h"
#include "relay/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUCKETS			1024
#define DATAGRAMS_PER_TURN	64
#define PORT_TRIES		50	/* 100 ms each */

/* A hello that is not complete, or not answered for yet. */
struct pending {
	struct quic_hello	hello;
	uint8_t			id_len, id[QUIC_ID_MAX];
	size_t			held_len;
	unsigned char		held[STRICT_HELD_MAX];	/* length (2 bytes), datagram */
};

struct strict_flow {
	struct relay		*relay;
	struct list		node;		/* its bucket */
	struct loop_timer	timer;		/* idle */
	struct loop_timer	again;		/* the port to answer from is not there yet */
	struct loop_task	task;		/* frees */
	struct loop_source	udp;		/* to @asked, without an exit; fd -1: none */
	char			way[IFNAMSIZ];	/* of that socket, see way.c */
	uint8_t			container[ID_LEN];
	struct address		peer, asked;
	uint16_t		peer_port, asked_port;
	bool			open;
	uint8_t			tries;		/* to have that port */
	struct quic_keys	keys;		/* of the connection that was allowed */
	struct pending		*pending;
	char			name[NAMES_TEXT_MAX];
};

struct strict_udp {
	struct list	buckets[BUCKETS];
	size_t		count;
};

struct strict_udp *strict_udp_create(void)
{
	struct strict_udp *udp = calloc(1, sizeof(*udp));

	for (size_t i = 0; udp && i < BUCKETS; i++)
		list_setup(&udp->buckets[i]);
	return udp;
}

static struct relay_container *container_of_flow(const struct strict_flow *flow)
{
	return relay_policy_by_id(flow->relay->policy, flow->container);
}

static struct list *bucket_of(struct strict_udp *udp, const struct address *peer, uint16_t port)
{
	return &udp->buckets[(address_hash(peer) + port * 0x9e3779b9u) % BUCKETS];
}

static struct strict_flow *find(struct strict_udp *udp, const struct address *peer,
				uint16_t peer_port, const struct address *asked,
				uint16_t asked_port)
{
	struct strict_flow *flow;

	list_for_each_entry(flow, bucket_of(udp, peer, peer_port), node) {
		if (flow->peer_port == peer_port && flow->asked_port == asked_port &&
		    address_equal(&flow->peer, peer) && address_equal(&flow->asked, asked))
			return flow;
	}
	return NULL;
}

static void free_flow(struct loop_task *task)
{
	struct strict_flow *flow = container_of(task, struct strict_flow, task);

	free(flow->pending);
	free(flow);
}

static void end_flow(struct strict_flow *flow, struct relay_container *container)
{
	if (flow->udp.fd >= 0)
		close(flow->udp.fd);
	flow->udp.fd = -1;
	loop_timer_stop(&flow->timer);
	loop_timer_stop(&flow->again);
	list_del(&flow->node);
	flow->relay->strict->count--;
	if (container)
		container->stats.strict_udp_open--;
	loop_bury(&flow->relay->loop, &flow->task);
}

static void idle(struct loop_timer *timer, enum loop_timer_class class)
{
	struct strict_flow *flow = container_of(timer, struct strict_flow, timer);

	end_flow(flow, container_of_flow(flow));
}

static void touch(struct strict_flow *flow)
{
	loop_timer_start(&flow->relay->loop, &flow->timer, LOOP_TIMER_KEEPALIVE);
}

/* Answers, without an exit: with one they are udp.c's. */
static void ready(struct loop_source *source, uint32_t events)
{
	static unsigned char bytes[UDP_PAYLOAD_MAX];
	struct strict_flow *flow = container_of(source, struct strict_flow, udp);
	struct relay_container *container = container_of_flow(flow);

	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		const ssize_t len = recv(source->fd, bytes, sizeof(bytes), 0);

		/* What an ICMP message left is an error once, and no end. */
		if (len < 0)
			return;
		if (!container)
			continue;
		if (!relay_udp_answer(flow->relay, &flow->asked, flow->asked_port, &flow->peer,
				      flow->peer_port, bytes, (size_t)len)) {
			container->stats.udp_dropped++;
			continue;
		}
		container->stats.udp_in++;
		container->stats.bytes_in += (uint64_t)len;
		touch(flow);
	}
}

static int open_socket(struct strict_flow *flow, const struct relay_container *container)
{
	struct sockaddr_storage storage;
	const socklen_t len = address_sockaddr(&flow->asked, flow->asked_port, &storage);
	const int fd = socket(flow->asked.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	flow->udp = (struct loop_source){ fd, ready };
	if (!relay_way_take(container, fd, flow->way) &&
	    !connect(fd, (struct sockaddr *)&storage, len) &&
	    !loop_add(&flow->relay->loop, &flow->udp, EPOLLIN))
		return 0;
	close(fd);
	flow->udp.fd = -1;
	return -EIO;
}

/* On by the exit, or directly. */
static void pass(struct strict_flow *flow, struct relay_container *container,
		 const unsigned char *bytes, size_t len)
{
	if (container->exit) {
		if (!relay_udp_take(flow->relay, container, bytes, len, &flow->peer,
				    flow->peer_port, &flow->asked, flow->asked_port))
			container->stats.udp_refused++;
		return;
	}
	if ((flow->udp.fd < 0 && open_socket(flow, container)) ||
	    send(flow->udp.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		container->stats.udp_dropped++;
		return;
	}
	container->stats.udp_out++;
	container->stats.bytes_out += len;
}

/* What was held, once there is a port to answer from. */
static void release(struct strict_flow *flow, struct relay_container *container)
{
	struct pending *pending = flow->pending;
	size_t at = 0;

	if (!pending || !flow->open)
		return;
	if (!container->exit &&
	    !relay_udp_port_ready(flow->relay, flow->asked.family, flow->asked_port)) {
		if (++flow->tries < PORT_TRIES) {
			loop_timer_start(&flow->relay->loop, &flow->again, LOOP_TIMER_ACCEPT);
			return;
		}
		container->stats.failed_resources++;
		end_flow(flow, container);
		return;
	}
	while (at < pending->held_len) {
		const size_t len = (size_t)pending->held[at] << 8 | pending->held[at + 1];

		pass(flow, container, pending->held + at + 2, len);
		at += 2 + len;
	}
	free(pending);
	flow->pending = NULL;
}

static void release_later(struct loop_timer *timer, enum loop_timer_class class)
{
	struct strict_flow *flow = container_of(timer, struct strict_flow, again);
	struct relay_container *container = container_of_flow(flow);

	if (container)
		release(flow, container);
}

static bool hold(struct pending *pending, const unsigned char *bytes, size_t len)
{
	if (pending->held_len + 2 + len > sizeof(pending->held))
		return false;
	pending->held[pending->held_len++] = (unsigned char)(len >> 8);
	pending->held[pending->held_len++] = (unsigned char)len;
	memcpy(pending->held + pending->held_len, bytes, len);
	pending->held_len += len;
	return true;
}

/* The packet belongs to no hello that is known: a connection begins. */
static bool begin(struct strict_flow *flow, const struct quic_packet *packet)
{
	free(flow->pending);
	flow->pending = calloc(1, sizeof(*flow->pending));
	if (!flow->pending ||
	    quic_keys_derive(packet->version, packet->id, packet->id_len,
			     &flow->pending->hello.keys))
		return false;
	flow->open = false;
	flow->pending->id_len = packet->id_len;
	memcpy(flow->pending->id, packet->id, packet->id_len);
	return true;
}

/* HELLO_NAMED: may go on (its name is in the flow), HELLO_MORE: waits; or refused. */
static enum hello_verdict take_initial(struct strict_flow *flow, const struct quic_packet *packet)
{
	struct quic_hello *hello;

	if (flow->open && !quic_open(packet, &flow->keys, NULL))
		return HELLO_NAMED;
	if ((!flow->pending || flow->open || flow->pending->id_len != packet->id_len ||
	     memcmp(flow->pending->id, packet->id, packet->id_len)) && !begin(flow, packet))
		return HELLO_NONE;
	hello = &flow->pending->hello;
	if (quic_open(packet, &hello->keys, hello))
		return HELLO_NONE;
	return hello_read(hello->bytes, hello->known, flow->name);
}

/* A hello is complete, or none will be: whether its name may be asked for here. */
static bool admit(struct strict_flow *flow, struct relay_container *container,
		  enum hello_verdict verdict)
{
	if (!strict_judge(container, verdict, flow->name, IPPROTO_UDP, flow->asked_port))
		return false;
	flow->open = true;
	/* Only a hello has a name that may pass. NOLINTNEXTLINE(clang-analyzer-core.*) */
	flow->keys = flow->pending->hello.keys;
	return true;
}

/* The whole datagram. False: refused, and counted why; else @flow says what it is. */
static bool inspect(struct strict_flow *flow, struct relay_container *container,
		    const unsigned char *bytes, size_t len)
{
	struct quic_packet packet;

	for (size_t at = 0; at < len; at += packet.len) {
		const enum quic_kind kind = quic_packet_read(bytes + at, len - at, &packet);
		enum hello_verdict verdict = HELLO_MORE;

		if (kind == QUIC_INITIAL)
			verdict = take_initial(flow, &packet);
		else if (kind == QUIC_FOREIGN || (!flow->open && !flow->pending))
			verdict = HELLO_NONE;
		if (verdict != HELLO_MORE && !(verdict == HELLO_NAMED && flow->open) &&
		    !admit(flow, container, verdict))
			return false;
	}
	return flow->open || flow->pending || admit(flow, container, HELLO_NONE);
}

static struct strict_flow *create(struct relay *relay, struct relay_container *container,
				  const struct address *peer, uint16_t peer_port,
				  const struct address *asked, uint16_t asked_port)
{
	struct strict_flow *flow;

	if (relay->strict->count >= STRICT_FLOWS_MAX ||
	    container->stats.strict_udp_open >= STRICT_CONTAINER_MAX) {
		container->stats.refused_limit++;
		return NULL;
	}
	flow = calloc(1, sizeof(*flow));
	if (!flow) {
		container->stats.failed_resources++;
		return NULL;
	}
	flow->relay = relay;
	flow->udp.fd = -1;
	memcpy(flow->container, container->id, ID_LEN);
	flow->peer = *peer;
	flow->peer_port = peer_port;
	flow->asked = *asked;
	flow->asked_port = asked_port;
	loop_timer_setup(&flow->timer, idle);
	loop_timer_setup(&flow->again, release_later);
	loop_task_setup(&flow->task, free_flow);
	list_add_tail(&flow->node, bucket_of(relay->strict, peer, peer_port));
	relay->strict->count++;
	container->stats.strict_udp_open++;
	return flow;
}

void strict_udp_take(struct relay *relay, struct relay_container *container,
		     const unsigned char *bytes, size_t len, const struct address *peer,
		     uint16_t peer_port, const struct address *asked, uint16_t asked_port)
{
	struct strict_flow *flow = find(relay->strict, peer, peer_port, asked, asked_port);

	if (!flow)
		flow = create(relay, container, peer, peer_port, asked, asked_port);
	if (!flow)
		return;
	if (!inspect(flow, container, bytes, len)) {
		end_flow(flow, container);
		return;
	}
	touch(flow);
	/* Asked for at once: it is there by the time that the hello is. */
	relay_udp_port_ready(relay, asked->family, asked_port);
	if (!flow->pending) {
		pass(flow, container, bytes, len);
		return;
	}
	if (!hold(flow->pending, bytes, len))
		container->stats.udp_dropped++;
	release(flow, container);
}

void strict_udp_policy_changed(struct relay *relay)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct strict_flow *flow, *next;

		list_for_each_entry_safe(flow, next, &relay->strict->buckets[i], node) {
			struct relay_container *container = container_of_flow(flow);

			if (!container || !container->names.strict ||
			    (flow->udp.fd >= 0 &&
			     (container->exit || !relay_way_holds(container, flow->way))) ||
			    (flow->open && !strict_allows(container, flow->name, IPPROTO_UDP,
							  flow->asked_port)))
				end_flow(flow, container);
		}
	}
}
