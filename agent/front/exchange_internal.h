/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of an exchange: exchange*.c. */
#ifndef HOODY_FRONT_EXCHANGE_INTERNAL_H
#define HOODY_FRONT_EXCHANGE_INTERNAL_H

#include "front/exchange.h"
#include "front/limit.h"
#include "route/route.h"

static inline struct front_thread *thread_of(const struct exchange *exchange)
{
	return exchange->connection->thread;
}

/* The one place where an exchange ends: counted, recorded, freed. @how: for log and audit. */
void exchange_finish(struct exchange *exchange, const char *how);

/* exchange_refuse.c */
void exchange_count_status(struct front_thread *thread, unsigned int status);
/*
 * Our own answer, complete; the exchange is gone after it. @code and @message: as
 * front_refusal_setup() has them.
 */
void exchange_refuse(struct exchange *exchange, unsigned int status, const char *code,
		     const char *message);
void exchange_refuse_unauthorized(struct exchange *exchange, const struct auth_decision *decision,
				  struct http_text service);
/* Too many slow checks are under way: of this @client, or at all. */
void exchange_refuse_busy(struct exchange *exchange, bool client);
void exchange_refuse_memory(struct exchange *exchange);
/* The answer of a port that only leads to TLS (front/plain.h). */
void exchange_answer_plain(struct exchange *exchange, const struct http_head *head);
/* True where the container's rates leave room; otherwise it has been refused and is gone. */
bool exchange_check_rate(struct exchange *exchange, const struct route *route,
			 enum limit_phase phase);

#endif /* HOODY_FRONT_EXCHANGE_INTERNAL_H */
