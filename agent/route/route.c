/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a host name to a container's port, see route.h.
 */
#include "route/route.h"

#include <string.h>

enum route_result route_find(const struct image *image, const char *host, size_t len,
			     struct route *route)
{
	const struct image_settings *settings = &image_header(image)->settings;
	const struct image_container *container;

	switch (route_host_parse(host, len, settings->node, settings->base_domain, &route->host)) {
	case ROUTE_HOST_OK:
		break;
	case ROUTE_HOST_MALFORMED:
		return ROUTE_MALFORMED;
	case ROUTE_HOST_FOREIGN:
		return ROUTE_NO_HOST;
	}
	container = image_container_find(image, route->host.container);
	if (!container || memcmp(container->project, route->host.project, IMAGE_ID_LEN))
		return ROUTE_UNAVAILABLE;
	if (container->flags & IMAGE_DELETED)
		return ROUTE_DELETED;
	if (!(container->flags & IMAGE_RUNNING) ||
	    !(container->flags & (IMAGE_HAS_V4 | IMAGE_HAS_V6)))
		return ROUTE_UNAVAILABLE;
	route->container = container;
	route->port = image_service_port(image, container, route->host.service,
					 route->host.service_len, route->host.instance);
	return route->port ? ROUTE_FOUND : ROUTE_NO_SERVICE;
}
