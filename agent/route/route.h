/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a host name to a container's port, by the image: a name that spells its
 * route, an alias or domain that stands for one, or the control API's. Decides nothing but
 * that: who may go there is agent/auth's.
 *
 * A container that is asked for under another project than its own is answered
 * exactly as one that never was, so that a name tells nobody which half of it
 * is right.
 */
#ifndef HOODY_ROUTE_ROUTE_H
#define HOODY_ROUTE_ROUTE_H

#include "lib/image.h"
#include "route/host.h"

enum route_result {
	ROUTE_FOUND,
	ROUTE_MALFORMED,	/* 400: the name itself is wrong */
	ROUTE_NO_HOST,		/* 404: spells no route */
	ROUTE_DELETED,		/* 404: a tombstone */
	ROUTE_UNAVAILABLE,	/* 503: unknown or stopped */
	ROUTE_NO_SERVICE,	/* 404: the container has no such service */
};

struct route {
	const struct image_container	*container;	/* valid as long as the image */
	struct route_host		host;
	uint16_t			port;		/* host byte order */
	const struct image_option	*option;	/* of the service, as long as the image; or NULL */
};

/* @route is filled as far as the result means. */
enum route_result route_find(const struct image *image, const char *host, size_t len,
			     struct route *route);

#endif /* HOODY_ROUTE_ROUTE_H */
