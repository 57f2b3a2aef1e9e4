// SPDX-License-Identifier: Apache-2.0
/*
 * Permissions: a body and a patch on it (the parts of the input), then a request's
 * Authorization. What is read can be shown and read again; what can be stored can be
 * compiled, and what was compiled is opened and evaluated.
 */
#include "auth/evaluate.h"
#include "fuzz.h"

#include <errno.h>

static struct action_table actions;
static const uint8_t project[ID_LEN] = { 0x67, 0xe8, 0x9a, 0xbc, 0x12, 0x3d,
					 0xef, 0x45, 0x67, 0x89, 0xab, 0xcd };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	action_table_default(&actions);
	return 0;
}

static void evaluate(const struct auth_blob *blob, struct fuzz_input credential)
{
	struct auth_cache *cache = auth_cache_create();
	struct auth_context context = { .actions = &actions, .cache = cache };
	struct http_text value = { (const char *)credential.at, credential.len };
	struct auth_request request = {
		.client = { .family = AF_INET, .v4.s_addr = htonl(0xcb007105) },
		.authorization = &value, .authorization_count = 1, .now = 1800000000,
		.service = HTTP_TEXT("terminal"),
		.action = { HTTP_TEXT("GET"), HTTP_TEXT("/api/v1/terminal/screen"), false, false },
	};
	struct auth_decision decision;

	auth_evaluate(&context, blob, &request, NULL, &decision);
	if (decision.job) {
		fuzz_need(decision.verdict == AUTH_PENDING, "a job is for what is pending");
		/* Argon2 is OpenSSL's, and slow. */
		if (!decision.job->is_password) {
			struct auth_decision settled;

			auth_job_run(decision.job);
			auth_evaluate(&context, blob, &request, decision.job, &settled);
			fuzz_need(settled.verdict != AUTH_PENDING, "a check that ran settles it");
			auth_job_free(settled.job);
		}
		auth_job_free(decision.job);
	}
	auth_cache_destroy(cache);
}

/* @stored: it may speak of actions that the table had when it was stored. */
static void use(struct permissions *permissions, bool stored, struct fuzz_input credential)
{
	struct permissions_source source = { .actions = &actions, .existing = permissions };
	struct permissions_error error;
	char *shown = permissions_format(permissions, PERMISSIONS_SHOW, NULL, NULL);
	struct permissions *again;
	unsigned int unusable = 0;
	struct auth_blob *blob;
	size_t size;

	fuzz_need(shown != NULL, "what is read is shown");
	again = permissions_parse(shown, strlen(shown), &source, &error);
	if (!again && !(stored && strstr(error.message, "action"))) {
		fprintf(stderr, "%s: %s in %s\n", error.field, error.message, shown);
		fuzz_need(false, "what is shown is read");
	}
	permissions_free(again);
	free(shown);
	if (!permissions_sealed(permissions))
		return;
	blob = auth_compile(permissions, NULL, NULL, &size, &unusable);
	if (!blob) {
		fuzz_need(errno == E2BIG, "only what is too large is not compiled");
		return;
	}
	fuzz_need(auth_blob_open(blob, size) == blob, "what was compiled is opened");
	evaluate(blob, credential);
	free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	const bool stored = fuzz_byte(&input) & 1;
	struct fuzz_input parts[3] = { fuzz_part(&input), fuzz_part(&input), fuzz_part(&input) };
	struct permissions_source source = { .actions = &actions, .project = project,
					     .stored = stored };
	struct permissions *permissions, *patched;
	struct permissions_error error;
	char *body = fuzz_copy(parts[0], false), *patch = fuzz_copy(parts[1], false);

	permissions = permissions_parse(body, parts[0].len, &source, &error);
	if (permissions)
		use(permissions, stored, parts[2]);
	source.stored = false;
	source.existing = permissions;
	patched = parts[1].len ? permissions_patch(patch, parts[1].len, &source, &error) : NULL;
	if (patched)
		use(patched, stored, parts[2]);
	permissions_free(patched);
	permissions_free(permissions);
	free(body);
	free(patch);
	return 0;
}
