/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision about one request. Precedence, with "matches" meaning that the
 * client's address or credentials belong to the group:
 *
 *	1. no permissions at all: allowed, the host name was the secret
 *	2. a group that matches has false for the service: 403, whatever others say
 *	3. a group that matches has true, or a list with the request's action: allowed
 *	4. a group that matches has a list, without the action: refused
 *	5. the default
 *
 * Refused is 401 where the client has shown no credentials that match and some
 * would have let it in, else 403. The answer does not depend on the order of
 * groups nor on what is cached (the group that a refusal is put down to may:
 * what cannot change the answer is not checked).
 *
 * Nothing blocks: what takes long becomes a job (job.h). No state but the cache.
 */
#ifndef HOODY_AUTH_EVALUATE_H
#define HOODY_AUTH_EVALUATE_H

#include "auth/action.h"
#include "auth/blob.h"
#include "auth/cache.h"
#include "auth/job.h"
#include "lib/address.h"
#include "lib/http.h"

#include <stdbool.h>
#include <stdint.h>

#define AUTH_CHALLENGE_MAX	160	/* bytes of one WWW-Authenticate value, with NUL */

/* Each has a name for counters and the audit trail: auth_reason_name(). */
#define AUTH_REASONS(X) \
	X(allowed_open)			/* no permissions */ \
	X(allowed_group) \
	X(allowed_default) \
	X(refused_group)		/* false for the service */ \
	X(refused_action)		/* the action is on no list */ \
	X(refused_default) \
	X(refused_malformed)		/* more than one Authorization field */ \
	X(refused_no_memory) \
	X(pending)

enum auth_reason {
#define X(name) AUTH_REASON_##name,
	AUTH_REASONS(X)
#undef X
	AUTH_REASON_COUNT,
};

enum auth_verdict {
	AUTH_ALLOW,
	AUTH_UNAUTHORIZED,	/* 401 with auth_challenge() */
	AUTH_FORBIDDEN,		/* 403 */
	AUTH_MALFORMED,		/* 400 */
	AUTH_UNAVAILABLE,	/* 503: no memory; never let in for lack of it */
	AUTH_PENDING,		/* decision.job first */
};

struct auth_request {
	struct address		client;		/* IPv4 as IPv4, also on a dual socket */
	const struct http_text	*authorization;	/* values of all such fields */
	unsigned int		authorization_count;
	struct http_text	service;
	struct action_request	action;
	int64_t			now;		/* seconds since 1970, for tokens' times */
	int64_t			now_monotonic;	/* seconds, for the cache */
};

struct auth_decision {
	enum auth_verdict	verdict;
	enum auth_reason	reason;
	int			group;		/* that allowed or refused; -1: none */
	struct http_text	group_name;	/* in the blob */
	const char		*action;	/* NULL: not looked for, or not sure */
	/* The credentials were for this program: the app must not see them. */
	bool			strip_authorization;
	bool			challenge_basic, challenge_bearer;
	bool			bearer_invalid;	/* one was shown that matches nothing */
	/*
	 * When to ask again: the first second (since 1970) at which a token that the
	 * client belongs to a group by has expired; 0: never.
	 */
	int64_t			expires;
	struct auth_job		*job;		/* AUTH_PENDING: the caller's */
};

/* What one thread evaluates with. */
struct auth_context {
	const struct action_table	*actions;
	struct auth_cache		*cache;
};

/*
 * auth_evaluate(): @blob NULL where there are no permissions. @settled: the job
 * of a former AUTH_PENDING about the same request that has run, or NULL; with
 * it the answer is final, unless the permissions have changed meanwhile.
 */
void auth_evaluate(const struct auth_context *context, const struct auth_blob *blob,
		   const struct auth_request *request, const struct auth_job *settled,
		   struct auth_decision *decision);

/*
 * auth_challenge(): the WWW-Authenticate values of a 401, one field each, by
 * @index from 0; the length, or 0 behind the last. The realm is the service's
 * name, so that a prompt says what it is for.
 */
size_t auth_challenge(const struct auth_decision *decision, struct http_text service,
		      unsigned int index, char out[AUTH_CHALLENGE_MAX]);

const char *auth_reason_name(enum auth_reason reason);

#endif /* HOODY_AUTH_EVALUATE_H */
