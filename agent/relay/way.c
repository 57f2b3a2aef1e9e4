// SPDX-License-Identifier: Apache-2.0
/*
 * By which interface a socket without an exit leaves. That of a container with a
 * tunnel is bound to the tunnel's interface: the kernel then has no other way for it,
 * whatever the host's routes say, and none when the interface is gone (socket(7),
 * SO_BINDTODEVICE; no privilege is needed for a socket that is not bound yet).
 */
#include "relay/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int relay_way_take(const struct relay_container *container, int fd, char way[IFNAMSIZ])
{
	way[0] = '\0';
	if (!container->bound)
		return 0;
	/* An empty name would let the socket go by any interface. */
	if (!container->interface[0])
		return -ENETDOWN;
	memcpy(way, container->interface, IFNAMSIZ);
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, way, (socklen_t)strlen(way)) ? -errno :
											  0;
}

bool relay_way_holds(const struct relay_container *container, const char *way)
{
	return container->bound ? way[0] && !strcmp(way, container->interface) : !way[0];
}
