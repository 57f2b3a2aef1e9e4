// SPDX-License-Identifier: Apache-2.0
/* UDP through SOCKS5, see udp.h. */
#include "relay/udp.h"

#include "lib/ipc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUCKETS			1024
#define DATAGRAMS_PER_TURN	64
#define PORT_BUSY_MS		10000	/* a socket that was used so lately is not taken away */

struct remote {
	struct address	address;
	uint16_t	port;
	uint64_t	used;		/* loop time; 0: free */
};

struct relay_association {
	struct relay		*relay;
	struct relay_session	*session;	/* ends with it */
	struct list		node;		/* its bucket */
	struct loop_timer	timer;		/* idle */
	struct loop_task	task;		/* frees */
	struct loop_source	udp;		/* to the proxy; fd -1: not open yet */
	int			pair;		/* the session's other end */
	uint8_t			container[ID_LEN];
	struct address		peer;
	uint16_t		peer_port;
	size_t			waiting_len;
	unsigned char		*waiting;	/* length (2 bytes), header, datagram; NULL: none */
	struct remote		remotes[UDP_REMOTES_MAX];
};

/* Sends datagrams with that source port, and any source address. */
struct udp_port {
	uint32_t	family, port;	/* 0: free */
	int		fd;		/* -1: asked for */
	uint64_t	used;
};

struct relay_udp {
	struct list	buckets[BUCKETS];
	size_t		count;
	struct udp_port	ports[UDP_PORTS_MAX];
};

struct relay_udp *relay_udp_create(void)
{
	struct relay_udp *udp = calloc(1, sizeof(*udp));

	for (size_t i = 0; udp && i < BUCKETS; i++)
		list_setup(&udp->buckets[i]);
	return udp;
}

static struct relay_container *container_of_association(const struct relay_association *association)
{
	return relay_policy_by_id(association->relay->policy, association->container);
}

static struct list *bucket_of(struct relay_udp *udp, const struct address *peer, uint16_t port)
{
	return &udp->buckets[(address_hash(peer) + port * 0x9e3779b9u) % BUCKETS];
}

static struct relay_association *find(struct relay_udp *udp, const struct address *peer,
				      uint16_t port)
{
	struct relay_association *association;

	list_for_each_entry(association, bucket_of(udp, peer, port), node) {
		if (association->peer_port == port && address_equal(&association->peer, peer))
			return association;
	}
	return NULL;
}

/* --- sockets to answer from --------------------------------------------------- */

static struct udp_port *find_port(struct relay_udp *udp, uint32_t family, uint32_t port)
{
	for (size_t i = 0; i < UDP_PORTS_MAX; i++) {
		if (udp->ports[i].port == port && udp->ports[i].family == family)
			return &udp->ports[i];
	}
	return NULL;
}

/* The one that is there, or one that control is asked for; NULL: too many in use. */
static struct udp_port *need_port(struct relay *relay, uint32_t family, uint32_t port)
{
	const struct relay_port question = { .family = family, .port = port };
	struct udp_port *entry = find_port(relay->udp, family, port), *oldest = NULL;

	if (entry) {
		entry->used = relay->loop.now;
		return entry;
	}
	for (size_t i = 0; i < UDP_PORTS_MAX; i++) {
		struct udp_port *other = &relay->udp->ports[i];

		if (!oldest || (oldest->port && (!other->port || other->used < oldest->used)))
			oldest = other;
	}
	if (oldest->port && relay->loop.now - oldest->used < PORT_BUSY_MS)
		return NULL;
	if (oldest->port && oldest->fd >= 0)
		close(oldest->fd);
	memset(oldest, 0, sizeof(*oldest));
	if (ipc_send(IPC_WORKER_FD, RELAY_PORT, 0, &question, sizeof(question), NULL, 0))
		return NULL;
	*oldest = (struct udp_port){ .family = family, .port = port, .fd = -1,
				     .used = relay->loop.now };
	return oldest;
}

void relay_udp_port(struct relay *relay, uint32_t family, uint32_t port, int fd)
{
	struct udp_port *entry = find_port(relay->udp, family, port);

	if (entry && entry->fd < 0 && fd >= 0) {
		entry->fd = fd;
		return;
	}
	/* Refused: the next datagram asks again. */
	if (entry && entry->fd < 0)
		memset(entry, 0, sizeof(*entry));
	if (fd >= 0)
		close(fd);
}

bool relay_udp_port_ready(struct relay *relay, uint32_t family, uint16_t port)
{
	const struct udp_port *entry = need_port(relay, family, port);

	return entry && entry->fd >= 0;
}

bool relay_udp_answer(struct relay *relay, const struct address *from, uint16_t port,
		      const struct address *peer, uint16_t peer_port, const void *bytes,
		      size_t len)
{
	struct udp_port *entry = find_port(relay->udp, from->family, port);

	if (!entry || entry->fd < 0)
		return false;
	entry->used = relay->loop.now;
	return relay_send_from(entry->fd, from, peer, peer_port, bytes, len);
}

/* --- associations --------------------------------------------------------------- */

static void free_association(struct loop_task *task)
{
	struct relay_association *association =
		container_of(task, struct relay_association, task);

	free(association->waiting);
	free(association);
}

void relay_association_end(struct relay_association *association)
{
	/* While a policy is replaced, the session has the container of the new one. */
	struct relay_stats *stats = &association->session->container->stats;
	struct relay *relay = association->relay;

	if (association->udp.fd >= 0)
		close(association->udp.fd);
	association->udp.fd = -1;
	close(association->pair);
	loop_timer_stop(&association->timer);
	list_del(&association->node);
	relay->udp->count--;
	stats->udp_associations_open--;
	/* The proxy did not open it: what waited went nowhere. */
	for (size_t at = 0; at < association->waiting_len;) {
		at += 2 + ((size_t)association->waiting[at] << 8 | association->waiting[at + 1]);
		stats->udp_refused++;
	}
	loop_bury(&relay->loop, &association->task);
}

static void idle(struct loop_timer *timer, enum loop_timer_class class)
{
	relay_session_end(container_of(timer, struct relay_association, timer)->session);
}

/* While the relay drains, what the container sends goes to the next one: answers are soon over. */
static void touch(struct relay_association *association)
{
	struct relay *relay = association->relay;

	loop_timer_start(&relay->loop, &association->timer,
			 relay->draining ? LOOP_TIMER_RESPONSE : LOOP_TIMER_KEEPALIVE);
}

void relay_udp_drain(struct relay *relay)
{
	struct relay_association *association;

	for (size_t i = 0; i < BUCKETS; i++) {
		list_for_each_entry(association, &relay->udp->buckets[i], node)
			touch(association);
	}
}

static void remember(struct relay_association *association, const struct address *address,
		     uint16_t port)
{
	struct remote *place = &association->remotes[0];

	for (size_t i = 0; i < UDP_REMOTES_MAX; i++) {
		struct remote *remote = &association->remotes[i];

		if (remote->used && remote->port == port &&
		    address_equal(&remote->address, address)) {
			place = remote;
			break;
		}
		if (remote->used < place->used)
			place = remote;
	}
	place->address = *address;
	place->port = port;
	place->used = association->relay->loop.now;
}

static bool is_known(const struct relay_association *association, const struct address *address,
		     uint16_t port)
{
	for (size_t i = 0; i < UDP_REMOTES_MAX; i++) {
		const struct remote *remote = &association->remotes[i];

		if (remote->used && remote->port == port &&
		    address_equal(&remote->address, address))
			return true;
	}
	return false;
}

/* A datagram of the proxy's, for the container. */
static bool deliver(struct relay_association *association, const unsigned char *bytes, size_t len)
{
	struct address from;
	uint16_t port;
	const size_t header = udp_header_read(bytes, len, &from, &port);

	return header && from.family == association->peer.family &&
	       is_known(association, &from, port) &&
	       relay_udp_answer(association->relay, &from, port, &association->peer,
				association->peer_port, bytes + header, len - header);
}

static void ready(struct loop_source *source, uint32_t events)
{
	static unsigned char bytes[UDP_HEADER_MAX + UDP_PAYLOAD_MAX];
	struct relay_association *association =
		container_of(source, struct relay_association, udp);
	struct relay_container *container = container_of_association(association);

	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		const ssize_t len = recv(source->fd, bytes, sizeof(bytes), 0);

		/* What an ICMP message left is an error once, and no end. */
		if (len < 0)
			return;
		if (!container)
			continue;
		if (!deliver(association, bytes, (size_t)len)) {
			container->stats.udp_dropped++;
			continue;
		}
		container->stats.udp_in++;
		container->stats.bytes_in += (uint64_t)len;
		touch(association);
	}
}

/* With its header in front. */
static void pass(struct relay_association *association, struct relay_container *container,
		 const unsigned char *bytes, size_t len)
{
	if (send(association->udp.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		container->stats.udp_dropped++;
		return;
	}
	container->stats.udp_out++;
	container->stats.bytes_out += len;
}

/* The proxy's own address: it may name another, which would be for it to choose. */
static int open_udp(struct relay_association *association, uint16_t port)
{
	struct sockaddr_storage storage;
	const struct address *place = &association->session->place;
	const socklen_t len = address_sockaddr(place, port, &storage);
	const int fd = socket(place->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	association->udp = (struct loop_source){ fd, ready };
	if (!connect(fd, (struct sockaddr *)&storage, len) &&
	    !loop_add(&association->relay->loop, &association->udp, EPOLLIN))
		return 0;
	close(fd);
	association->udp.fd = -1;
	return -EIO;
}

bool relay_association_opened(struct relay_association *association, uint16_t port)
{
	struct relay_container *container = container_of_association(association);
	size_t at = 0;

	if (!container || !port || open_udp(association, port))
		return false;
	while (at < association->waiting_len) {
		const size_t len = (size_t)association->waiting[at] << 8 |
				   association->waiting[at + 1];

		pass(association, container, association->waiting + at + 2, len);
		at += 2 + len;
	}
	free(association->waiting);
	association->waiting = NULL;
	association->waiting_len = 0;
	touch(association);
	return true;
}

static struct relay_association *create(struct relay *relay, struct relay_container *container,
					const struct address *peer, uint16_t peer_port)
{
	struct relay_association *association;
	int pair[2];

	if (relay->udp->count >= UDP_ASSOCIATIONS_MAX ||
	    container->stats.udp_associations_open >= UDP_CONTAINER_MAX) {
		container->stats.refused_limit++;
		return NULL;
	}
	association = calloc(1, sizeof(*association));
	if (!association ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
		container->stats.failed_resources++;
		free(association);
		return NULL;
	}
	association->relay = relay;
	association->udp.fd = -1;
	association->pair = pair[0];
	memcpy(association->container, container->id, ID_LEN);
	association->peer = *peer;
	association->peer_port = peer_port;
	loop_timer_setup(&association->timer, idle);
	loop_task_setup(&association->task, free_association);
	association->session = relay_session_associate(relay, pair[1], container, association);
	if (!association->session) {
		close(pair[0]);
		free(association);
		return NULL;
	}
	list_add_tail(&association->node, bucket_of(relay->udp, peer, peer_port));
	relay->udp->count++;
	container->stats.udp_associations_open++;
	touch(association);
	return association;
}

/* Until the proxy has opened it. */
static bool wait_for_proxy(struct relay_association *association, const unsigned char *bytes,
			   size_t len)
{
	if (!association->waiting)
		association->waiting = malloc(UDP_WAITING_MAX);
	if (!association->waiting || association->waiting_len + 2 + len > UDP_WAITING_MAX)
		return false;
	association->waiting[association->waiting_len++] = (unsigned char)(len >> 8);
	association->waiting[association->waiting_len++] = (unsigned char)len;
	memcpy(association->waiting + association->waiting_len, bytes, len);
	association->waiting_len += len;
	return true;
}

bool relay_udp_take(struct relay *relay, struct relay_container *container,
		    const unsigned char *bytes, size_t len, const struct address *peer,
		    uint16_t peer_port, const struct address *asked, uint16_t asked_port)
{
	static unsigned char whole[UDP_HEADER_MAX + UDP_PAYLOAD_MAX];
	struct relay_association *association;
	size_t header;

	if (container->exit->spec.kind != EXIT_SOCKS5 ||
	    relay->loop.now < container->exit->no_udp_until || len > UDP_PAYLOAD_MAX)
		return false;
	association = find(relay->udp, peer, peer_port);
	if (!association)
		association = create(relay, container, peer, peer_port);
	if (!association || !need_port(relay, asked->family, asked_port)) {
		container->stats.udp_dropped++;
		return true;
	}
	remember(association, asked, asked_port);
	header = udp_header_write(asked, asked_port, whole);
	memcpy(whole + header, bytes, len);
	if (association->udp.fd >= 0)
		pass(association, container, whole, header + len);
	else if (!wait_for_proxy(association, whole, header + len))
		container->stats.udp_dropped++;
	touch(association);
	return true;
}
