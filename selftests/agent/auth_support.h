/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of permissions: from a body to an opened blob in one call, and
 * an evaluation that runs its own slow checks.
 */
#ifndef HOODY_SELFTESTS_AUTH_SUPPORT_H
#define HOODY_SELFTESTS_AUTH_SUPPORT_H

#include "auth/base64.h"
#include "auth/evaluate.h"
#include "tap.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

/* NULL, with a note, where it is refused. @data is to be freed. */
static inline const struct auth_blob *support_blob(const char *body, bool stored,
						   const struct action_table *actions, void **data)
{
	struct permissions_source source = { .actions = actions, .stored = stored };
	struct permissions_error error = { .field = "" };
	struct permissions *permissions = permissions_parse(body, strlen(body), &source, &error);
	const struct auth_blob *blob = NULL;
	unsigned int unusable = 0;
	size_t size;

	*data = NULL;
	if (!permissions) {
		tap_note("refused: %s: %s in %s", error.field, error.message, body);
		return NULL;
	}
	if (!permissions_seal(permissions))
		*data = auth_compile(permissions, NULL, NULL, &size, &unusable);
	if (*data)
		blob = auth_blob_open(*data, size);
	if (!blob)
		tap_note("not compiled: %s", strerror(errno));
	permissions_free(permissions);
	return blob;
}

/* A token with @payload, signed by HS256; at most 160 bytes of it. */
static inline void support_jwt(const void *secret, size_t secret_len, const char *payload,
			       char out[512])
{
	char head[64], body[256], signature[64];
	unsigned char mac[32];
	unsigned int len;

	base64_encode(BASE64_URL, (const uint8_t *)"{\"alg\":\"HS256\"}", 15, head);
	base64_encode(BASE64_URL, (const uint8_t *)payload, strlen(payload), body);
	len = (unsigned int)sprintf(out, "%s.%s", head, body);
	HMAC(EVP_sha256(), secret, (int)secret_len, (unsigned char *)out, len, mac, &len);
	base64_encode(BASE64_URL, mac, 32, signature);
	strcat(out, ".");
	strcat(out, signature);
}

/* As a worker does, but with the job run here. *@waited: whether there was one. */
static inline void support_evaluate(const struct auth_context *context,
				    const struct auth_blob *blob,
				    const struct auth_request *request,
				    struct auth_decision *decision, bool *waited)
{
	struct auth_job *job;

	auth_evaluate(context, blob, request, NULL, decision);
	*waited = decision->verdict == AUTH_PENDING;
	if (!*waited)
		return;
	job = decision->job;
	auth_job_run(job);
	auth_job_settle(job, context->cache, request->now_monotonic);
	auth_evaluate(context, blob, request, job, decision);
	auth_job_free(job);
}

#endif /* HOODY_SELFTESTS_AUTH_SUPPORT_H */
