/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit record of an exchange, filled as the exchange goes and pushed once,
 * at its end, into the thread's ring (lib/audit_ring.h). Where control has not
 * given a ring there is no audit, and nothing is spent on it.
 */
#ifndef HOODY_FRONT_AUDIT_H
#define HOODY_FRONT_AUDIT_H

#include "auth/evaluate.h"
#include "lib/audit_ring.h"
#include "lib/http.h"
#include "route/route.h"
#include "upstream/connect.h"

struct front_connection;
struct front_thread;

/* Part of an exchange. */
struct front_audit {
	uint64_t		begun;		/* CLOCK_MONOTONIC, microseconds; 0: no audit */
	uint64_t		mark;		/* end of the phase before */
	struct audit_record	record;
};

void front_audit_begin(struct front_audit *audit, const struct front_connection *connection,
		       const struct http_head *head);
void front_audit_route(struct front_audit *audit, const struct route *route);
void front_audit_decision(struct front_audit *audit, const struct auth_decision *decision);
/* The middleware @via, which had it from @client, has sent it on. */
void front_audit_passed(struct front_audit *audit, const struct up_client *client,
			const uint8_t via[IMAGE_ID_LEN]);
/* A rate limit refuses it. */
void front_audit_limit(struct front_audit *audit, const struct image_limit *rule);
/* It may go on to the container; then: the container's head has come. */
void front_audit_allowed(struct front_audit *audit);
void front_audit_head(struct front_audit *audit);
void front_audit_end(struct front_audit *audit, struct front_thread *thread, unsigned int status,
		     const char *outcome);
/* What was refused before there was an exchange. */
void front_audit_refused(const struct front_connection *connection, unsigned int status,
			 const char *code);

#endif /* HOODY_FRONT_AUDIT_H */
