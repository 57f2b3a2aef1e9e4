/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a host name to a container's port, see route.h.
 */
#include "route/route.h"

#include <string.h>

/* "api.<base>", "<realm>.api.<base>": the control API, where the image offers it. */
static bool is_api(const struct image *image, const char *name, struct route *route)
{
	const char *base = image_header(image)->settings.base_domain;
	size_t len = strlen(name), tail = strlen(base) + 5, label;

	if (len + 1 < tail || strcmp(name + len - strlen(base), base))
		return false;
	label = len + 1 - tail;
	if (strncmp(name + label, "api.", 4) ||
	    (label && (name[label - 1] != '.' || label == 1 || memchr(name, '.', label - 1))))
		return false;
	route->container = image_container_find(image, IMAGE_CONTROL_ID);
	route->port = 1;
	route->host = (struct route_host){ .service = "api", .service_len = 3, .instance = 1 };
	return route->container != NULL;
}

/* A name that was given to a service: the route is what it stands for. */
static bool is_alias(const struct image *image, const char *name, struct route *route)
{
	const struct image_alias *alias = image_alias_find(image, name);
	const struct image_container *container;

	if (!alias)
		return false;
	memset(&route->host, 0, sizeof(route->host));
	memcpy(route->host.container, alias->container, sizeof(route->host.container));
	container = image_container_find(image, alias->container);
	if (container)
		memcpy(route->host.project, container->project, sizeof(route->host.project));
	route->host.service_len = strlen(alias->service);
	memcpy(route->host.service, alias->service, route->host.service_len + 1);
	route->host.instance = alias->instance;
	return true;
}

enum route_result route_find(const struct image *image, const char *host, size_t len,
			     struct route *route)
{
	const struct image_settings *settings = &image_header(image)->settings;
	const struct image_container *container;
	char name[ROUTE_NAME_MAX + 1];

	route->option = NULL;
	switch (route_host_parse(host, len, settings->node, settings->base_domain, &route->host)) {
	case ROUTE_HOST_OK:
		break;
	case ROUTE_HOST_MALFORMED:
		return ROUTE_MALFORMED;
	case ROUTE_HOST_FOREIGN:
		if (!route_host_name(host, len, name))
			return ROUTE_NO_HOST;
		if (is_api(image, name, route))
			return ROUTE_FOUND;
		if (!is_alias(image, name, route))
			return ROUTE_NO_HOST;
		break;
	}
	container = image_container_find(image, route->host.container);
	if (!container || memcmp(container->project, route->host.project, IMAGE_ID_LEN))
		return ROUTE_UNAVAILABLE;
	if (container->flags & IMAGE_CONTROL)
		return ROUTE_UNAVAILABLE;
	if (container->flags & IMAGE_DELETED)
		return ROUTE_DELETED;
	if (!(container->flags & IMAGE_RUNNING) ||
	    !(container->flags & (IMAGE_HAS_V4 | IMAGE_HAS_V6)))
		return ROUTE_UNAVAILABLE;
	route->container = container;
	route->port = image_service_port(image, container, route->host.service,
					 route->host.service_len, route->host.instance);
	route->option = image_option_find(image, container, route->host.service,
					  route->host.service_len, route->host.instance);
	return route->port ? ROUTE_FOUND : ROUTE_NO_SERVICE;
}
