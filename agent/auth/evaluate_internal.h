/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that evaluate a request: evaluate*.c. */
#ifndef HOODY_AUTH_EVALUATE_INTERNAL_H
#define HOODY_AUTH_EVALUATE_INTERNAL_H

#include "auth/evaluate.h"

/* Who the client is, as far as is known, and what would have to be checked. */
struct evaluation {
	const struct auth_context	*context;
	const struct auth_blob		*blob;
	const struct auth_request	*request;
	const struct auth_job		*settled;
	bool			no_memory;
	bool			bearer_shown;
	struct blob_set		matched;
	struct blob_set		unresolved;	/* groups that wait for checks */
	/* What the checks are about: one credential at most, it has one scheme. */
	uint8_t			digest[AUTH_DIGEST_LEN];
	bool			is_password;
	struct http_text	password;	/* in the request's decoded credentials */
	const struct jwt_token	*token;
	int64_t			expires;	/* as in struct auth_decision */
	unsigned int		checks_count;
	uint16_t		checks[AUTH_CHECKS_MAX];	/* indices of passwords or keys */
};

/*
 * evaluation_known(): whether the credential fits the secret: 1, 0, or -1 where
 * it has to be checked.
 */
int evaluation_known(const struct evaluation *evaluation,
		     const uint8_t secret[AUTH_SECRET_ID_LEN]);

/* Groups of type jwt that match, or wait. The token stays in use until the job is made. */
void evaluate_jwt(struct evaluation *evaluation, const struct jwt_token *token);

#endif /* HOODY_AUTH_EVALUATE_INTERNAL_H */
