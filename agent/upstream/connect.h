/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a socket towards a container: from the client's own address through
 * the kernel module, or an ordinary one where that is off or cannot be. Where a
 * container should see its clients' addresses it never sees ours instead: if
 * the module refuses for any reason that the contract (linux/hoody.h) does not
 * name as "connect in the ordinary way", nothing is opened.
 */
#ifndef HOODY_UPSTREAM_CONNECT_H
#define HOODY_UPSTREAM_CONNECT_H

#include "lib/address.h"
#include "upstream/context.h"

/* Who is served. An IPv4 address mapped into IPv6 is an IPv4 address here. */
struct up_client {
	struct address	address;
	uint16_t	port;		/* host byte order; 0: any */
};

/* Whether connections to @container belong to one client each. */
bool up_connect_per_client(const struct image *image, const struct image_container *container);

/*
 * up_connect(): a non-blocking socket whose connection to @port (host byte
 * order) is under way. *real_ip says whether it comes from the client's address.
 * Counts what it did. Returns the descriptor or a negative errno: -EACCES where
 * the module refused, else what socket(2) and connect(2) say.
 */
int up_connect(struct up_context *context, const struct image_container *container,
	       const struct up_client *client, uint16_t port, bool *real_ip);

#endif /* HOODY_UPSTREAM_CONNECT_H */
