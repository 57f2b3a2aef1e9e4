/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the plain port, see plain.h.
 */
#include "front/plain.h"

#include <stdio.h>
#include <string.h>

#include "front/keyring.h"
#include "route/route.h"

#define CHALLENGES "/.well-known/acme-challenge/"

static const char *refuse(struct front_thread *thread, struct front_refusal *answer, bool json,
			  unsigned int status, const char *code, const char *message)
{
	if (status == 400)
		front_count(thread, refused_malformed);
	else if (status == 414)
		front_count(thread, refused_too_large);
	else
		front_count(thread, refused_no_route);
	front_refusal_setup(answer, status, code, message, json);
	return code;
}

/* Bytes that may stand in a URL as they are (RFC 3986 2); others are no target of ours. */
static bool is_url(struct http_text target)
{
	if (!target.len || target.data[0] != '/')
		return false;
	for (size_t i = 0; i < target.len; i++) {
		if (target.data[i] <= ' ' || target.data[i] > '~' || strchr("\"<>\\^`{|}#", target.data[i]))
			return false;
	}
	return true;
}

static const char *answer_challenge(struct front_thread *thread, const char *host,
				    struct http_text token, bool json,
				    struct front_refusal *answer)
{
	const char *text = NULL;

	if (thread->tls)
		text = front_keyring_http(front_tls_keyring(thread->tls), host, token.data, token.len);
	if (!text)
		return refuse(thread, answer, json, 404, "no_challenge",
			      "no such challenge is under way");
	front_refusal_setup(answer, 200, "challenge", "", false);
	answer->body_len = snprintf(answer->body, sizeof(answer->body), "%s", text);
	answer->head.length = answer->body_len;
	return "challenge";
}

static const char *redirect(struct front_thread *thread, const char *host, struct http_text target,
			    bool json, struct front_refusal *answer)
{
	char *location = thread->upstream_scratch, port[8] = "";
	int len;

	if (thread->tls_port != 443)
		snprintf(port, sizeof(port), ":%u", thread->tls_port);
	len = snprintf(location, thread->scratch_size, "https://%s%s%.*s", host, port,
		       (int)target.len, target.data);
	if (len < 0 || (size_t)len >= thread->scratch_size)
		return refuse(thread, answer, json, 414, "target_too_long",
			      "the request line is too long");
	front_refusal_setup(answer, 308, "use_tls", "this is answered over TLS", json);
	http_head_add(&answer->head, HTTP_TEXT("Location"), (struct http_text){ location, len });
	return "redirect";
}

const char *front_plain_answer(struct front_connection *connection, const struct http_head *head,
			       bool json, struct front_refusal *answer)
{
	static const size_t prefix = sizeof(CHALLENGES) - 1;
	struct front_thread *thread = connection->thread;
	struct http_text target = head->target;
	char host[ROUTE_NAME_MAX + 1];
	enum route_result result;
	struct route route;

	if (!route_host_name(head->authority.data, head->authority.len, host))
		return refuse(thread, answer, json, 400, "malformed_host",
			      "the host name is malformed");
	if (!is_url(target))
		return refuse(thread, answer, json, 400, "malformed_target",
			      "the target of the request is malformed");
	if (target.len > prefix && !memcmp(target.data, CHALLENGES, prefix))
		return answer_challenge(thread, host,
					(struct http_text){ target.data + prefix, target.len - prefix },
					json, answer);
	result = route_find(thread->image, head->authority.data, head->authority.len, &route);
	if (result == ROUTE_MALFORMED)
		return refuse(thread, answer, json, 400, "malformed_host",
			      "the host name is malformed");
	/* What becomes of a name that is ours is said over TLS. */
	if (result == ROUTE_NO_HOST || !thread->tls_port)
		return refuse(thread, answer, json, 404, "no_route",
			      "this host name leads to no container");
	return redirect(thread, host, target, json, answer);
}
