// SPDX-License-Identifier: Apache-2.0
/* One container's record in memory: copying, setting and freeing, see model.h. */
#include "control/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int container_set_addresses(struct container *container, const struct address *addresses,
			    unsigned int count)
{
	struct address *copy = NULL;

	if (count) {
		copy = reallocarray(NULL, count, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, addresses, count * sizeof(*copy));
	}
	free(container->addresses);
	container->addresses = copy;
	container->addresses_count = (uint8_t)count;
	return 0;
}

int container_set_ports(struct container *container, const struct image_service *ports,
			unsigned int count)
{
	struct image_service *copy = NULL;

	if (count) {
		copy = reallocarray(NULL, count, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, ports, count * sizeof(*copy));
	}
	free(container->ports);
	container->ports = copy;
	container->ports_count = (uint8_t)count;
	return 0;
}

int container_set_cgroup(struct container *container, const char *cgroup)
{
	char *copy = NULL;

	if (cgroup) {
		copy = strdup(cgroup);
		if (!copy)
			return -ENOMEM;
	}
	free(container->cgroup);
	container->cgroup = copy;
	return 0;
}

struct container *container_copy(const struct container *container)
{
	struct container *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *container;
	copy->cgroup = NULL;
	copy->addresses = NULL;
	copy->ports = NULL;
	if (container_set_cgroup(copy, container->cgroup) ||
	    container_set_addresses(copy, container->addresses, container->addresses_count) ||
	    container_set_ports(copy, container->ports, container->ports_count)) {
		container_free(copy);
		return NULL;
	}
	return copy;
}

void container_free(struct container *container)
{
	if (!container)
		return;
	free(container->cgroup);
	free(container->addresses);
	free(container->ports);
	free(container);
}

const struct address *container_address(const struct container *container, sa_family_t family)
{
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		if (container->addresses[i].family == family)
			return &container->addresses[i];
	}
	return NULL;
}
