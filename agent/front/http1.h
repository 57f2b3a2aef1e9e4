/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 towards clients: what its two halves share. http1.c reads requests,
 * http1_response.c writes responses.
 */
#ifndef HOODY_FRONT_HTTP1_H
#define HOODY_FRONT_HTTP1_H

#include "front/exchange.h"

extern const struct exchange_front front_http1_exchange;

/*
 * front_http1_refuse(): answers what never became an exchange, and ends the
 * connection after it.
 */
void front_http1_refuse(struct front_connection *connection, unsigned int status,
			const char *code, const char *message);

/*
 * front_http1_settle(): the response is written to @out and the request may or
 * may not be complete: on to the next one, or to the end.
 */
void front_http1_settle(struct front_connection *connection);

void front_http1_update_timer(struct front_connection *connection);

#endif /* HOODY_FRONT_HTTP1_H */
