/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What netcost and its server agree on: the sizes of a request and of its
 * response, and that a response begins with the address that the server saw as
 * its peer. So every measurement also proves what it measured.
 */
#ifndef HOODY_BENCH_NETCOST_H
#define HOODY_BENCH_NETCOST_H

#include "lib/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NETCOST_REQUEST	 200
#define NETCOST_RESPONSE 1024

/* The first bytes of a response; IPv4 in the first four bytes of @address. */
struct netcost_peer {
	uint32_t family;
	uint16_t port; /* network byte order */
	uint16_t reserved;
	uint8_t address[16];
};

static inline void netcost_peer_set(struct netcost_peer *peer, const struct sockaddr_storage *from)
{
	memset(peer, 0, sizeof(*peer));
	peer->family = from->ss_family;
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

		peer->port = v4->sin_port;
		memcpy(peer->address, &v4->sin_addr, 4);
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

		peer->port = v6->sin6_port;
		memcpy(peer->address, &v6->sin6_addr, 16);
	}
}

__attribute__((noreturn)) static inline void netcost_die(const char *what)
{
	perror(what);
	exit(1);
}

static inline void netcost_address(const char *text, struct address *address)
{
	if (address_parse(text, strlen(text), address)) {
		fprintf(stderr, "'%s' is no IP address\n", text);
		exit(2);
	}
}

#endif /* HOODY_BENCH_NETCOST_H */
