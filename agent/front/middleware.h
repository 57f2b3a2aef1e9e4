/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services that are routed through a service of another container: the request
 * goes there, with a pass (front/pass.h), and what comes back with that pass goes
 * to the service itself.
 *
 *	client -> A's URL: permissions, rates -> middleware, with X-Hoody-Pass
 *	middleware -> A's URL with X-Hoody-Pass -> A, as from the client's own address
 *
 * A middleware may have one too: where A is routed through B and B through C, a
 * request of A passes C, then B. What comes back with C's pass goes to B, with another.
 *
 * Nothing goes round it: where one of them cannot be reached, where a pass is
 * wrong, used, or for another service, the request is refused.
 */
#ifndef HOODY_FRONT_MIDDLEWARE_H
#define HOODY_FRONT_MIDDLEWARE_H

#include "front/exchange_internal.h"

#define MIDDLEWARE_PASS_FIELD	"X-Hoody-Pass"

/* Where a request goes: the service itself, or what stands before it. */
struct middleware_way {
	const struct image_container	*container;
	uint16_t			port;
	bool				http2;
	struct http_text		pass;		/* to be added; empty: none */
	char				text[PASS_TEXT_LEN];
};

/*
 * middleware_take(): looks for a pass in @head. With a good one exchange->passed
 * and exchange->client are set. False: refused, and gone.
 */
bool middleware_take(struct exchange *exchange, const struct http_head *head,
		     const struct route *route);
/* Where @exchange, which has been let in, goes. False: refused, and gone. */
bool middleware_choose(struct exchange *exchange, const struct route *route,
		       struct middleware_way *way);

#endif /* HOODY_FRONT_MIDDLEWARE_H */
