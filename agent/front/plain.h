/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain port: it leads browsers to TLS and answers the challenges of a
 * certificate authority (RFC 8555 8.3). No request that comes by it reaches a
 * container, the control API or a check of permissions.
 */
#ifndef HOODY_FRONT_PLAIN_H
#define HOODY_FRONT_PLAIN_H

#include "front/connection.h"
#include "front/refusal.h"

/*
 * front_plain_answer(): the whole answer to @head, whose texts are valid until
 * the next request of the thread. Returns the word for the audit trail.
 *
 *	308  to https:// with the same host and target, for names that are ours
 *	200  a challenge that is under way
 *	404  other names, other challenges; where no TLS is offered
 *	400  a host or target that cannot be part of a URL
 *	414  a target that is too long to be said again
 */
const char *front_plain_answer(struct front_connection *connection, const struct http_head *head,
			       bool json, struct front_refusal *answer);

#endif /* HOODY_FRONT_PLAIN_H */
