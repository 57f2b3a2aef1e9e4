// SPDX-License-Identifier: Apache-2.0
/* The header of a datagram towards and from a SOCKS5 proxy, see udp.h. */
#include "relay/udp.h"

#include <string.h>

#define HEADER_IPV4	10
#define HEADER_IPV6	22
#define TYPE_IPV4	1
#define TYPE_IPV6	4

size_t udp_header_write(const struct address *address, uint16_t port,
			unsigned char out[UDP_HEADER_MAX])
{
	const bool v4 = address->family == AF_INET;
	const size_t len = v4 ? HEADER_IPV4 : HEADER_IPV6;

	memset(out, 0, 3);
	out[3] = v4 ? TYPE_IPV4 : TYPE_IPV6;
	memcpy(out + 4, &address->v6, v4 ? 4 : 16);
	out[len - 2] = (unsigned char)(port >> 8);
	out[len - 1] = (unsigned char)port;
	return len;
}

size_t udp_header_read(const unsigned char *bytes, size_t len, struct address *address,
		       uint16_t *port)
{
	const bool v4 = len > 3 && bytes[3] == TYPE_IPV4;
	const size_t header = v4 ? HEADER_IPV4 : HEADER_IPV6;

	/* Fragments (the third byte) are optional, and nobody sends them. */
	if (len < header || bytes[0] || bytes[1] || bytes[2] || (!v4 && bytes[3] != TYPE_IPV6))
		return 0;
	memset(address, 0, sizeof(*address));
	address->family = v4 ? AF_INET : AF_INET6;
	memcpy(&address->v6, bytes + 4, v4 ? 4 : 16);
	*port = (uint16_t)(bytes[header - 2] << 8 | bytes[header - 1]);
	return *port ? header : 0;
}
