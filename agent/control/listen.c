// SPDX-License-Identifier: Apache-2.0
/* The listening sockets, see listen.h. */
#include "control/listen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_one(const struct address_listen *listen_address)
{
	const struct address *address = &listen_address->address;
	struct sockaddr_storage storage;
	int sock, one = 1, ret;
	socklen_t len;

	len = address_sockaddr(address, listen_address->port, &storage);
	sock = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	/* REUSEADDR: connections of the last run may still be in TIME_WAIT. */
	if (setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    (address->family == AF_INET6 &&
	     setsockopt(sock, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    /* Inherited by accepted sockets: saves a call for each of them. */
	    setsockopt(sock, SOL_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(sock, (struct sockaddr *)&storage, len) < 0 ||
	    listen(sock, LISTEN_BACKLOG) < 0) {
		ret = -errno;
		close(sock);
		return ret;
	}
	return sock;
}

static const char *advice(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; another program listens there: ss -ltnp shows which";
	case EADDRNOTAVAIL:
		return "; no interface has this address";
	case EAFNOSUPPORT:
		return "; this host has no IPv6: leave the address out";
	case EACCES:
		return "; ports below 1024 need CAP_NET_BIND_SERVICE";
	}
	return "";
}

struct listen_set *listen_open(const struct config *config, char *fault, size_t fault_size)
{
	struct listen_set *set = calloc(1, sizeof(*set));

	if (!set) {
		snprintf(fault, fault_size, "out of memory");
		return NULL;
	}
	memcpy(set->listeners, config->listeners, sizeof(set->listeners));
	set->message.threads = config->settings.threads;
	set->message.addresses = config->listeners_count;
	for (unsigned int i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		set->message.flags[i] = listener->tls ? IPC_LISTENER_TLS : 0;
		for (unsigned int thread = 0; thread < config->settings.threads; thread++) {
			char text[ADDRESS_LISTEN_TEXT_MAX];
			int sock = open_one(&listener->address);

			if (sock >= 0) {
				set->fds[set->fds_count++] = sock;
				continue;
			}
			address_listen_format(&listener->address, text);
			snprintf(fault, fault_size, "[listen] %s: cannot listen on %s: %s%s",
				 listener->tls ? "tls" : "plain", text, strerror(-sock),
				 advice(-sock));
			listen_close(set);
			return NULL;
		}
	}
	return set;
}

void listen_close(struct listen_set *set)
{
	if (!set)
		return;
	for (unsigned int i = 0; i < set->fds_count; i++)
		close(set->fds[i]);
	free(set);
}
