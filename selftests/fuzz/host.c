// SPDX-License-Identifier: Apache-2.0
/* Host names: what is a route is a name, and means the same when it is written again. */
#include "fuzz.h"
#include "route/host.h"

#define NODE	"node-us"
#define BASE	"containers.example.com"

/* The route as route_host_parse() documents it. */
static void check_again(const struct route_host *route)
{
	char text[ROUTE_NAME_MAX + 2], project[ID_TEXT_LEN + 1], container[ID_TEXT_LEN + 1];
	struct route_host again;
	int len;

	id_format(route->project, project);
	id_format(route->container, container);
	len = snprintf(text, sizeof(text), "%s-%s-%s-%u." NODE "." BASE, project, container,
		       route->service, route->instance);
	fuzz_need(len > 0 && len <= ROUTE_NAME_MAX, "a route fits a name");
	fuzz_need(route_host_parse(text, (size_t)len, NODE, BASE, &again) == ROUTE_HOST_OK,
		  "a route that is written is read");
	fuzz_need(!memcmp(again.project, route->project, ID_LEN) &&
		  !memcmp(again.container, route->container, ID_LEN) &&
		  !strcmp(again.service, route->service) && again.instance == route->instance,
		  "and is the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *host = fuzz_copy((struct fuzz_input){ data, size }, false);
	char name[ROUTE_NAME_MAX + 1];
	const bool is_name = route_host_name(host, size, name);
	struct route_host route;

	switch (route_host_parse(host, size, NODE, BASE, &route)) {
	case ROUTE_HOST_OK:
		fuzz_need(is_name, "a route is a name");
		fuzz_need(route.instance && strlen(route.service) == route.service_len, "a whole route");
		check_again(&route);
		break;
	case ROUTE_HOST_FOREIGN:
		fuzz_need(is_name || host[0] == '[', "a foreign name is a name, or an address");
		break;
	case ROUTE_HOST_MALFORMED:
		fuzz_need(!is_name, "what is malformed is no name");
		break;
	}
	free(host);
	return 0;
}
