// SPDX-License-Identifier: Apache-2.0
/* IP addresses, see address.h. */
#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int address_parse(const char *text, size_t len, struct address *address)
{
	struct address parsed = { 0 };
	char copy[ADDRESS_TEXT_MAX];

	if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	parsed.family = memchr(text, ':', len) ? AF_INET6 : AF_INET;
	if (inet_pton(parsed.family, copy, &parsed.v6) != 1)
		return -EINVAL;
	*address = parsed;
	return 0;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	if (!inet_ntop(address->family, &address->v6, text, ADDRESS_TEXT_MAX))
		snprintf(text, ADDRESS_TEXT_MAX, "(none)");
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->v4.s_addr == b->v4.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6, &b->v6);
}

uint64_t address_hash(const struct address *address)
{
	uint64_t parts[2] = { 0, 0 };
	uint64_t h;

	memcpy(parts, &address->v6, address->family == AF_INET ? 4 : 16);
	h = (parts[0] ^ address->family) * 0x9e3779b97f4a7c15ull;
	h = (h ^ (h >> 29) ^ parts[1]) * 0xbf58476d1ce4e5b9ull;
	return h ^ (h >> 32);
}

static const char *fault4(struct in_addr in)
{
	uint32_t ip = ntohl(in.s_addr);

	if (ip >> 24 == 0)
		return "is unspecified (0.0.0.0/8)";
	if (ip >> 24 == 127)
		return "is a loopback address";
	if (ip == 0xffffffff)
		return "is the broadcast address";
	if (ip >> 28 == 0xe)
		return "is a multicast address";
	if (ip >> 28 == 0xf)
		return "is reserved (240.0.0.0/4)";
	return NULL;
}

static const char *fault6(const struct in6_addr *ip)
{
	if (IN6_IS_ADDR_UNSPECIFIED(ip))
		return "is unspecified";
	if (IN6_IS_ADDR_LOOPBACK(ip))
		return "is the loopback address";
	if (IN6_IS_ADDR_MULTICAST(ip))
		return "is a multicast address";
	if (IN6_IS_ADDR_V4MAPPED(ip) || IN6_IS_ADDR_V4COMPAT(ip))
		return "is an IPv4 address written as IPv6: write it as IPv4";
	/* Without an interface it names nothing: there is one fe80::/64 per link. */
	if (IN6_IS_ADDR_LINKLOCAL(ip))
		return "is a link-local address";
	return NULL;
}

const char *address_container_fault(const struct address *address)
{
	return address->family == AF_INET ? fault4(address->v4) : fault6(&address->v6);
}

static int parse_port(const char *text, uint16_t *port)
{
	unsigned long value;
	size_t len = strlen(text);

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len || text[0] == '0')
		return -EINVAL;
	value = strtoul(text, NULL, 10);
	if (value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

int address_listen_parse(const char *text, uint16_t default_port, struct address_listen *listen)
{
	struct address_listen parsed = { .port = default_port };
	const char *end = text + strlen(text), *colon;

	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (!close || address_parse(text + 1, close - text - 1, &parsed.address) ||
		    parsed.address.family != AF_INET6)
			return -EINVAL;
		if (close[1] && (close[1] != ':' || parse_port(close + 2, &parsed.port)))
			return -EINVAL;
	} else {
		colon = strchr(text, ':');
		/* More than one colon without brackets: an IPv6 address alone. */
		if (colon && !strchr(colon + 1, ':')) {
			end = colon;
			if (parse_port(colon + 1, &parsed.port))
				return -EINVAL;
		}
		if (address_parse(text, end - text, &parsed.address))
			return -EINVAL;
	}
	*listen = parsed;
	return 0;
}

void address_listen_format(const struct address_listen *listen,
			   char text[ADDRESS_LISTEN_TEXT_MAX])
{
	char address[ADDRESS_TEXT_MAX];

	address_format(&listen->address, address);
	snprintf(text, ADDRESS_LISTEN_TEXT_MAX,
		 listen->address.family == AF_INET6 ? "[%s]:%u" : "%s:%u", address, listen->port);
}

socklen_t address_sockaddr(const struct address *address, uint16_t port,
			   struct sockaddr_storage *storage)
{
	memset(storage, 0, sizeof(*storage));
	storage->ss_family = address->family;
	if (address->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)storage;

		in->sin_port = htons(port);
		in->sin_addr = address->v4;
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	in6->sin6_port = htons(port);
	in6->sin6_addr = address->v6;
	return sizeof(*in6);
}
