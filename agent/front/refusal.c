/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that are ours and no app's, see refusal.h.
 */
#include "front/refusal.h"

#include <stdio.h>
#include <string.h>

void front_refusal_setup(struct front_refusal *refusal, unsigned int status, const char *code,
			 const char *message, bool json)
{
	struct http_head *head = &refusal->head;

	memset(head, 0, sizeof(*head));
	head->fields = refusal->fields;
	head->fields_max = FRONT_REFUSAL_FIELDS;
	head->status = status;
	head->reason = http_reason(status);
	head->minor = 1;
	refusal->body_len =
		snprintf(refusal->body, sizeof(refusal->body),
			 json ? "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n" : "%s: %s\n", code,
			 message);
	head->framing = HTTP_BODY_LENGTH;
	head->length = refusal->body_len;
	head->has_length = true;
	http_head_add(head, HTTP_TEXT("Content-Type"),
		      json ? HTTP_TEXT("application/json") : HTTP_TEXT("text/plain; charset=utf-8"));
	http_head_add(head, HTTP_TEXT("Cache-Control"), HTTP_TEXT("no-store"));
	if (status == 405)
		http_head_add(head, HTTP_TEXT("Allow"),
			      HTTP_TEXT("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
}

bool front_refusal_wants_json(const struct http_head *request)
{
	struct http_text list, type;
	const char *parameters;
	unsigned int i;

	for (i = 0; i < request->fields_count; i++) {
		if (request->fields[i].id != HTTP_FIELD_ACCEPT)
			continue;
		list = request->fields[i].value;
		while (http_list_next(&list, &type)) {
			parameters = memchr(type.data, ';', type.len);
			if (parameters)
				type.len = parameters - type.data;
			if (http_text_equal(type, HTTP_TEXT("application/json")))
				return true;
			/* The first that we can serve decides. */
			if (http_text_equal(type, HTTP_TEXT("text/plain")) ||
			    http_text_equal(type, HTTP_TEXT("text/html")))
				return false;
		}
	}
	return false;
}
