/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's index of its connections by container: for the limit per container,
 * and to cut them all at once when the container goes away. An entry lives as
 * long as somebody holds it, connections do.
 */
#ifndef HOODY_UPSTREAM_CONTAINER_H
#define HOODY_UPSTREAM_CONTAINER_H

#include "upstream/context.h"

struct up_container {
	struct list		node;		/* context->container_buckets */
	struct list		connections;	/* all, up_connection.in_container */
	struct list		idle;		/* those kept, up_connection.in_container_idle */
	unsigned int		holders;
	unsigned int		open;		/* connections */
	/* As they were in the image that the connections were opened by. */
	uint8_t			id[IMAGE_ID_LEN];
	uint8_t			project[IMAGE_ID_LEN];
	uint32_t		has;		/* IMAGE_HAS_* */
	struct in_addr		address4;
	struct in6_addr		address6;
};

/* Finds or creates; the caller holds it. NULL where there is no memory. */
struct up_container *up_container_get(struct up_context *context,
				      const struct image_container *container);
void up_container_put(struct up_context *context, struct up_container *container);

/* Whether connections that were opened then may live on under @image. */
bool up_container_holds(const struct up_container *container, const struct image *image);

#endif /* HOODY_UPSTREAM_CONTAINER_H */
