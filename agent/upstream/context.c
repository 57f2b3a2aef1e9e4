/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one thread keeps for the container side, see context.h.
 */
#include "upstream/context.h"

#include "upstream/http2.h"

void up_context_setup(struct up_context *context)
{
	int i;

	slab_setup(&context->connections, sizeof(struct up_connection));
	slab_setup(&context->containers, sizeof(struct up_container));
	slab_setup(&context->streams, sizeof(struct up_stream));
	for (i = 0; i < UP_CONTAINER_BUCKETS; i++)
		list_setup(&context->container_buckets[i]);
	for (i = 0; i < UP_IDLE_BUCKETS; i++)
		list_setup(&context->idle_buckets[i]);
	for (i = 0; i < UP_HTTP2_BUCKETS; i++)
		list_setup(&context->http2_buckets[i]);
	list_setup(&context->idle_oldest);
}

void up_context_clear(struct up_context *context)
{
	slab_clear(&context->connections);
	slab_clear(&context->containers);
	slab_clear(&context->streams);
}

/* Ends every connection to @container, whatever it does. */
static void cut(struct up_context *context, struct up_container *container)
{
	struct up_connection *connection;

	container->holders++;
	while (!list_empty(&container->connections)) {
		connection = list_first_entry(&container->connections, struct up_connection,
					      in_container);
		up_connection_fail(connection, UP_CUT);
	}
	up_container_put(context, container);
}

/* Nobody may use them, and each keeps the kernel module from being replaced. */
static void close_idle_real(struct up_context *context)
{
	struct up_connection *connection, *tmp;

	list_for_each_entry_safe(connection, tmp, &context->idle_oldest, in_oldest) {
		if (connection->real_ip)
			up_connection_close(connection);
	}
}

void up_context_image(struct up_context *context, const struct image *image)
{
	struct up_container *container, *tmp;
	int i;

	context->image = image;
	for (i = 0; i < UP_CONTAINER_BUCKETS; i++) {
		list_for_each_entry_safe(container, tmp, &context->container_buckets[i], node) {
			if (!up_container_holds(container, image))
				cut(context, container);
		}
	}
	if (image_header(image)->settings.real_ip_mode != IMAGE_REAL_IP_ON)
		close_idle_real(context);
}

void up_context_close_idle(struct up_context *context)
{
	while (!list_empty(&context->idle_oldest))
		up_connection_close(list_first_entry(&context->idle_oldest, struct up_connection,
						     in_oldest));
}

void up_context_close_all(struct up_context *context)
{
	struct up_container *container, *tmp;
	int i;

	for (i = 0; i < UP_CONTAINER_BUCKETS; i++) {
		list_for_each_entry_safe(container, tmp, &context->container_buckets[i], node)
			cut(context, container);
	}
}
