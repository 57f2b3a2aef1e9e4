/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's index of its connections by container, see container.h.
 */
#include "upstream/container.h"

#include <string.h>

#include "lib/id.h"

#define HAS_MASK	(IMAGE_HAS_V4 | IMAGE_HAS_V6)

static bool same_reach(const struct up_container *up, const struct image_container *container)
{
	return !memcmp(up->project, container->project, IMAGE_ID_LEN) &&
	       up->has == (container->flags & HAS_MASK) &&
	       (!(up->has & IMAGE_HAS_V4) ||
		up->address4.s_addr == container->address4.s_addr) &&
	       (!(up->has & IMAGE_HAS_V6) ||
		!memcmp(&up->address6, &container->address6, sizeof(up->address6)));
}

struct up_container *up_container_get(struct up_context *context,
				      const struct image_container *container)
{
	struct list *bucket =
		&context->container_buckets[id_hash(container->id) % UP_CONTAINER_BUCKETS];
	struct up_container *up;

	list_for_each_entry(up, bucket, node) {
		if (!memcmp(up->id, container->id, IMAGE_ID_LEN)) {
			up->holders++;
			return up;
		}
	}
	up = slab_alloc(&context->containers);
	if (!up)
		return NULL;
	list_setup(&up->connections);
	list_setup(&up->idle);
	memcpy(up->id, container->id, IMAGE_ID_LEN);
	memcpy(up->project, container->project, IMAGE_ID_LEN);
	up->has = container->flags & HAS_MASK;
	up->address4 = container->address4;
	up->address6 = container->address6;
	up->holders = 1;
	list_add_tail(&up->node, bucket);
	return up;
}

void up_container_put(struct up_context *context, struct up_container *container)
{
	if (--container->holders)
		return;
	list_del(&container->node);
	slab_free(&context->containers, container);
}

bool up_container_holds(const struct up_container *container, const struct image *image)
{
	const struct image_container *now = image_container_find(image, container->id);

	return now && (now->flags & IMAGE_RUNNING) && !(now->flags & IMAGE_DELETED) &&
	       same_reach(container, now);
}
