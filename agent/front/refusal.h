/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that are ours and no app's: a short text that says what happened and
 * what to do, as plain text or, where the client asks for it, as JSON. They tell
 * nothing about containers that the status does not tell.
 */
#ifndef HOODY_FRONT_REFUSAL_H
#define HOODY_FRONT_REFUSAL_H

#include "lib/http.h"

#define FRONT_REFUSAL_FIELDS	6
#define FRONT_REFUSAL_BODY_MAX	512

struct front_refusal {
	struct http_head	head;
	struct http_field	fields[FRONT_REFUSAL_FIELDS];
	char			body[FRONT_REFUSAL_BODY_MAX];
	size_t			body_len;
};

/*
 * front_refusal_setup(): @code is for programs, @message for people; both are
 * literals without a quote or a backslash. The head points into @refusal.
 */
void front_refusal_setup(struct front_refusal *refusal, unsigned int status, const char *code,
			 const char *message, bool json);

/* Whether @request prefers JSON to plain text. */
bool front_refusal_wants_json(const struct http_head *request);

#endif /* HOODY_FRONT_REFUSAL_H */
