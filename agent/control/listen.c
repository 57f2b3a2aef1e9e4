// SPDX-License-Identifier: Apache-2.0
/* The listening sockets, see listen.h. */
#include "control/listen.h"
#include "control/steer.h"
#include "lib/log.h"
#include "lib/quic_cid.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Asked for; what the kernel gives depends on net.core.rmem_max and our rights. */
#define UDP_BUFFER_BYTES	(4 * 1024 * 1024)

static int set_one(int sock, int level, int name, int value)
{
	return setsockopt(sock, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_tcp(int sock)
{
	int ret;

	/* REUSEADDR: connections of the last run may still be in TIME_WAIT. */
	ret = set_one(sock, SOL_SOCKET, SO_REUSEADDR, 1);
	/* Inherited by accepted sockets: saves a call for each of them. */
	return ret ? ret : set_one(sock, SOL_TCP, TCP_NODELAY, 1);
}

/*
 * What QUIC wants to know of a datagram (the address that it was sent to, its
 * ECN bits), many in one call, and no fragments: it finds the path's MTU itself.
 */
static int set_udp(int sock, int family)
{
	bool v4 = family == AF_INET;
	int ret;

	ret = v4 ? set_one(sock, SOL_IP, IP_PKTINFO, 1) :
		   set_one(sock, SOL_IPV6, IPV6_RECVPKTINFO, 1);
	if (!ret)
		ret = v4 ? set_one(sock, SOL_IP, IP_RECVTOS, 1) :
			   set_one(sock, SOL_IPV6, IPV6_RECVTCLASS, 1);
	if (!ret)
		ret = v4 ? set_one(sock, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) :
			   set_one(sock, SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	if (!ret)
		ret = set_one(sock, SOL_UDP, UDP_GRO, 1);
	/* A burst for a thread that is busy; more than rmem_max needs CAP_NET_ADMIN. */
	if (!ret && set_one(sock, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER_BYTES))
		ret = set_one(sock, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER_BYTES);
	if (!ret && set_one(sock, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER_BYTES))
		ret = set_one(sock, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER_BYTES);
	return ret;
}

static int open_one(const struct config_listener *listener, bool shared)
{
	const struct address *address = &listener->address.address;
	struct sockaddr_storage storage;
	int sock, ret;
	socklen_t len;

	len = address_sockaddr(address, listener->address.port, &storage);
	sock = socket(address->family,
		      (listener->quic ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	ret = shared ? set_one(sock, SOL_SOCKET, SO_REUSEPORT, 1) : 0;
	if (!ret && address->family == AF_INET6)
		ret = set_one(sock, SOL_IPV6, IPV6_V6ONLY, 1);
	if (!ret)
		ret = listener->quic ? set_udp(sock, address->family) : set_tcp(sock);
	if (!ret && (bind(sock, (struct sockaddr *)&storage, len) < 0 ||
		     (!listener->quic && listen(sock, LISTEN_BACKLOG) < 0)))
		ret = -errno;
	if (!ret)
		return sock;
	close(sock);
	return ret;
}

static const char *advice(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; another program listens there: ss -lntup shows which";
	case EADDRNOTAVAIL:
		return "; no interface has this address";
	case EAFNOSUPPORT:
		return "; this host has no IPv6: leave the address out";
	case EACCES:
		return "; ports below 1024 need CAP_NET_BIND_SERVICE";
	}
	return "";
}

static int *place(struct listen_set *set, unsigned int address, unsigned int slot,
		  unsigned int thread)
{
	return &set->fds[(address * LISTEN_SLOTS + slot) * set->message.threads + thread];
}

static bool same_listener(const struct config_listener *a, const struct config_listener *b)
{
	return a->quic == b->quic && a->address.port == b->address.port &&
	       address_equal(&a->address.address, &b->address.address);
}

/*
 * Sockets that exist are used again: clients wait in those of TCP, and those of a
 * QUIC address have to be one group whose order never changes. 1 where there are none.
 */
static int share_address(struct listen_set *set, unsigned int address,
			 const struct listen_set *old)
{
	unsigned int count = LISTEN_SLOTS * set->message.threads, from;

	for (from = 0; old && from < old->message.addresses; from++) {
		if (same_listener(&old->listeners[from], &set->listeners[address]) &&
		    old->message.threads == set->message.threads)
			break;
	}
	if (!old || from == old->message.addresses)
		return 1;
	for (unsigned int i = 0; i < count; i++) {
		int sock = old->fds[from * count + i];

		/* Of TCP there is one slot. */
		if (sock < 0)
			continue;
		sock = fcntl(sock, F_DUPFD_CLOEXEC, 0);
		if (sock < 0)
			return -errno;
		set->fds[address * count + i] = sock;
	}
	return 0;
}

static int open_address(struct listen_set *set, unsigned int address, const struct listen_set *old)
{
	const struct config_listener *listener = &set->listeners[address];
	unsigned int slots = listener->quic ? LISTEN_SLOTS : 1;
	int sock;

	sock = share_address(set, address, old);
	if (sock <= 0)
		return sock;
	if (listener->quic) {
		/* Somebody else's socket in the group would put the order out. */
		sock = open_one(listener, false);
		if (sock < 0)
			return sock;
		close(sock);
	}
	for (unsigned int slot = 0; slot < slots; slot++) {
		for (unsigned int thread = 0; thread < set->message.threads; thread++) {
			sock = open_one(listener, true);
			if (sock < 0)
				return sock;
			*place(set, address, slot, thread) = sock;
		}
	}
	return listener->quic ? steer_attach(*place(set, address, 0, 0), 0, set->message.threads) : 0;
}

static const char *key_of(const struct config_listener *listener)
{
	return listener->quic ? "quic" : listener->tls ? "tls" : listener->redirects ? "http" : "plain";
}

/* Of the agent's life: ids and tokens outlive a worker. */
static int make_secret(struct listen_set *set, const struct listen_set *old)
{
	if (old) {
		memcpy(set->message.quic_secret, old->message.quic_secret,
		       sizeof(set->message.quic_secret));
		return 0;
	}
	return getrandom(set->message.quic_secret, sizeof(set->message.quic_secret), 0) ==
	       sizeof(set->message.quic_secret) ? 0 : -EIO;
}

struct listen_set *listen_open(const struct config *config, const struct listen_set *old,
			       char *fault, size_t fault_size)
{
	struct listen_set *set = calloc(1, sizeof(*set));

	if (!set || make_secret(set, old)) {
		snprintf(fault, fault_size, "no memory, or no randomness");
		free(set);
		return NULL;
	}
	memset(set->fds, -1, sizeof(set->fds));
	memcpy(set->listeners, config->listeners, sizeof(set->listeners));
	set->message.threads = config->settings.threads;
	set->message.addresses = config->listeners_count;
	set->sockets = config->settings.threads * config->listeners_count;
	for (unsigned int i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		char text[ADDRESS_LISTEN_TEXT_MAX];
		int ret;

		set->message.flags[i] = (listener->tls ? IPC_LISTENER_TLS : 0) |
					(listener->quic ? IPC_LISTENER_QUIC : 0) |
					(listener->redirects ? IPC_LISTENER_REDIRECT : 0);
		ret = open_address(set, i, old);
		if (!ret)
			continue;
		address_listen_format(&listener->address, text);
		snprintf(fault, fault_size, "[listen] %s: cannot listen on %s: %s%s",
			 key_of(listener), text, strerror(-ret), advice(-ret));
		listen_close(set);
		return NULL;
	}
	return set;
}

void listen_close(struct listen_set *set)
{
	if (!set)
		return;
	for (unsigned int i = 0; i < IPC_FDS_MAX * LISTEN_SLOTS; i++) {
		if (set->fds[i] >= 0)
			close(set->fds[i]);
	}
	free(set);
}

unsigned int listen_message(const struct listen_set *set, unsigned int slot,
			    struct ipc_listeners *message, int fds[IPC_FDS_MAX])
{
	unsigned int threads = set->message.threads, count = 0;

	*message = set->message;
	message->slot = slot;
	for (unsigned int i = 0; i < set->message.addresses; i++) {
		unsigned int from = set->listeners[i].quic ? slot : 0;

		memcpy(fds + count, set->fds + (i * LISTEN_SLOTS + from) * threads,
		       threads * sizeof(*fds));
		count += threads;
	}
	return count;
}

void listen_steer(const struct listen_set *set, unsigned int slot)
{
	unsigned int threads = set->message.threads;
	int ret;

	for (unsigned int i = 0; i < set->message.addresses; i++) {
		if (!set->listeners[i].quic)
			continue;
		ret = steer_attach(set->fds[i * LISTEN_SLOTS * threads], slot * threads, threads);
		if (ret)
			log_error("new QUIC connections cannot be steered to the new worker: error=\"%s\"",
				  strerror(-ret));
	}
}
