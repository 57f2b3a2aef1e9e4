/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route that a host name spells:
 *
 *	<project>-<container>-<service>-<instance>.<node>.<base domain>[.][:port]
 *
 * Ids are 24 hexadecimal digits, a service is [a-z][a-z0-9]*, an instance 1 to
 * 65535 without leading zeros; upper and lower case are the same. A pure
 * function over bytes; it knows no container and looks nothing up.
 */
#ifndef HOODY_ROUTE_HOST_H
#define HOODY_ROUTE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/id.h"

#define ROUTE_LABEL_MAX		63	/* RFC 1035 2.3.4 */
#define ROUTE_NAME_MAX		253	/* the same as text, without the root's dot */

enum route_host_result {
	ROUTE_HOST_OK,
	ROUTE_HOST_MALFORMED,	/* no host name, or none that DNS could carry */
	ROUTE_HOST_FOREIGN,	/* a fine name that spells no route of this node */
};

struct route_host {
	uint8_t		project[ID_LEN];
	uint8_t		container[ID_LEN];
	char		service[ROUTE_LABEL_MAX + 1];	/* lower case */
	size_t		service_len;
	uint16_t	instance;
};

/*
 * route_host_parse(): @host is what the Host field or :authority carried.
 * @node and @base_domain are in lower case. @route is filled for ROUTE_HOST_OK
 * only.
 */
enum route_host_result route_host_parse(const char *host, size_t len, const char *node,
					const char *base_domain, struct route_host *route);

/*
 * route_host_name(): @host in lower case, without its port and a trailing dot.
 * False where it is no host name.
 */
bool route_host_name(const char *host, size_t len, char name[ROUTE_NAME_MAX + 1]);

#endif /* HOODY_ROUTE_HOST_H */
