/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses as text and as values, and the addresses that a listener binds.
 * Pure functions: no name is ever looked up and no interface asked.
 */
#ifndef HOODY_LIB_ADDRESS_H
#define HOODY_LIB_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_MAX	INET6_ADDRSTRLEN		/* with its NUL */
#define ADDRESS_LISTEN_TEXT_MAX	(INET6_ADDRSTRLEN + 8)		/* "[...]:65535" and NUL */

struct address {
	sa_family_t	family;		/* AF_INET or AF_INET6 */
	union {
		struct in_addr	v4;
		struct in6_addr	v6;
	};
};

struct address_listen {
	struct address	address;
	uint16_t	port;		/* host byte order */
};

/*
 * address_parse(): the usual text of an IPv4 (four decimal parts) or IPv6
 * address (RFC 4291 2.2, no zone); @text needs no NUL. 0 or -EINVAL.
 */
int address_parse(const char *text, size_t len, struct address *address);
void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
bool address_equal(const struct address *a, const struct address *b);
uint64_t address_hash(const struct address *address);

/*
 * address_container_fault(): why @address cannot be a container's, as the end
 * of a sentence ("is a loopback address"); NULL where it can.
 */
const char *address_container_fault(const struct address *address);

/*
 * address_listen_parse(): "192.0.2.1", "192.0.2.1:443", "[2001:db8::1]:443",
 * "2001:db8::1"; where there is no port, @default_port. 0 or -EINVAL.
 */
int address_listen_parse(const char *text, uint16_t default_port, struct address_listen *listen);
void address_listen_format(const struct address_listen *listen,
			   char text[ADDRESS_LISTEN_TEXT_MAX]);
/* Returns the length of the filled @storage. */
socklen_t address_sockaddr(const struct address *address, uint16_t port,
			   struct sockaddr_storage *storage);

#endif /* HOODY_LIB_ADDRESS_H */
