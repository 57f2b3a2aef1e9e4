/* SPDX-License-Identifier: Apache-2.0 */
/* Services that are routed through another one, see middleware.h. */
#include "front/middleware.h"

#include <string.h>

static bool refuse_pass(struct exchange *exchange)
{
	front_count(thread_of(exchange), refused_pass);
	exchange_refuse(exchange, 403, "pass_refused",
			"this pass was used already, is for another service, or its request is over");
	return false;
}

bool middleware_take(struct exchange *exchange, const struct http_head *head,
		     const struct route *route)
{
	struct pass_table *passes = thread_of(exchange)->board->passes;
	struct http_text text = {0};
	struct pass_claim claim;
	unsigned int count = 0;

	for (unsigned int i = 0; i < head->fields_count; i++) {
		if (!http_text_equal(head->fields[i].name, HTTP_TEXT(MIDDLEWARE_PASS_FIELD)))
			continue;
		text = head->fields[i].value;
		count++;
	}
	if (!count)
		return true;
	if (count > 1 || !pass_redeem(passes, text.data, text.len, &claim) ||
	    memcmp(claim.container, route->container->id, IMAGE_ID_LEN) ||
	    strcmp(claim.service, route->host.service) || claim.instance != route->host.instance)
		return refuse_pass(exchange);
	exchange->passed = true;
	exchange->to_go = claim.to_go;
	exchange->client = claim.client;
	front_count(thread_of(exchange), middleware_passed);
	front_audit_passed(&exchange->audit, &claim.client, claim.middleware);
	return true;
}

static bool refuse_unavailable(struct exchange *exchange)
{
	front_count(thread_of(exchange), refused_middleware);
	exchange_refuse(exchange, 503, "middleware_unavailable",
			"what stands before this service is not running");
	return false;
}

/* Whether the client is @container itself. */
static bool comes_from(const struct exchange *exchange, const struct image_container *container)
{
	const struct address *client = &exchange->connection->client.address;

	if (client->family == AF_INET)
		return (container->flags & IMAGE_HAS_V4) &&
		       client->v4.s_addr == container->address4.s_addr;
	return (container->flags & IMAGE_HAS_V6) &&
	       !memcmp(&client->v6, &container->address6, sizeof(client->v6));
}

/* What a request passes, the service's own first: it is the last that gets it. */
struct chain {
	unsigned int	count;
	struct hop {
		const struct image_container	*container;
		const struct image_option	*own;	/* how the middleware is reached; or NULL */
		uint16_t			port;
	} hops[IMAGE_MIDDLEWARES_MAX];
};

/* False: one of them is not there. Control lets none be longer, or lead back. */
static bool find_chain(const struct image *image, const struct image_option *option,
		       struct chain *chain)
{
	chain->count = 0;
	while (option && (option->flags & IMAGE_OPTION_VIA)) {
		const size_t len = strlen(option->via_service);
		struct hop *hop = &chain->hops[chain->count];

		if (chain->count++ == IMAGE_MIDDLEWARES_MAX)
			return false;
		hop->container = image_container_find(image, option->via_container);
		if (!hop->container || !(hop->container->flags & IMAGE_RUNNING) ||
		    !(hop->container->flags & (IMAGE_HAS_V4 | IMAGE_HAS_V6)))
			return false;
		hop->port = image_service_port(image, hop->container, option->via_service, len,
					       option->via_instance);
		if (!hop->port)
			return false;
		option = image_option_find(image, hop->container, option->via_service, len,
					   option->via_instance);
		hop->own = option;
	}
	return true;
}

/* Whether one of them asks as if it were a client. */
static bool leads_back(const struct exchange *exchange, const struct chain *chain)
{
	for (unsigned int i = 0; i < chain->count; i++) {
		if (comes_from(exchange, chain->hops[i].container))
			return true;
	}
	return false;
}

static bool issue(struct exchange *exchange, const struct route *route,
		  const struct image_container *middleware, unsigned int to_go,
		  struct middleware_way *way)
{
	struct pass_claim claim;

	/* Signed as bytes: also those between the fields. */
	memset(&claim, 0, sizeof(claim));
	memcpy(claim.container, route->container->id, IMAGE_ID_LEN);
	memcpy(claim.middleware, middleware->id, IMAGE_ID_LEN);
	memcpy(claim.service, route->host.service, route->host.service_len);
	claim.instance = route->host.instance;
	claim.to_go = to_go;
	memcpy(&claim.client, exchange_client(exchange), sizeof(claim.client));
	if (pass_issue(thread_of(exchange)->board->passes, &claim, way->text, &exchange->ticket)) {
		exchange_refuse_memory(exchange);
		return false;
	}
	way->pass = (struct http_text){way->text, PASS_TEXT_LEN};
	return true;
}

bool middleware_choose(struct exchange *exchange, const struct route *route,
		       struct middleware_way *way)
{
	const struct image_option *option = route->option;
	const struct hop *hop;
	struct chain chain;
	unsigned int to_go;

	way->container = route->container;
	way->port = route->port;
	way->http2 = option && (option->flags & IMAGE_OPTION_H2C);
	way->pass = (struct http_text){0};
	if (!option || !(option->flags & IMAGE_OPTION_VIA) ||
	    (exchange->passed && !exchange->to_go))
		return true;
	if (!find_chain(thread_of(exchange)->image, option, &chain))
		return refuse_unavailable(exchange);
	if (!exchange->passed && leads_back(exchange, &chain)) {
		front_count(thread_of(exchange), refused_loop);
		exchange_refuse(exchange, 508, "middleware_loop",
				"a middleware passes a request on with its " MIDDLEWARE_PASS_FIELD);
		return false;
	}
	/* One that was taken out since it was asked for has not to be passed any more. */
	to_go = exchange->passed && exchange->to_go < chain.count ? exchange->to_go : chain.count;
	hop = &chain.hops[to_go - 1];
	way->container = hop->container;
	way->port = hop->port;
	way->http2 = hop->own && (hop->own->flags & IMAGE_OPTION_H2C);
	exchange->port = way->port;
	front_count(thread_of(exchange), middleware_requests);
	return issue(exchange, route, hop->container, to_go - 1, way);
}
