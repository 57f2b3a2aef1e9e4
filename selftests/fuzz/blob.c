// SPDX-License-Identifier: Apache-2.0
/*
 * Compiled permissions, as a worker gets them: what opens can be evaluated. The input
 * is laid over a real blob: pairs of an offset (two bytes, of four) and a value (four).
 */
#include "auth/evaluate.h"
#include "fuzz.h"

static struct action_table actions;
static struct auth_blob *whole;
static size_t whole_size;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char body[] =
		"{\"groups\":{\"ci\":{\"type\":\"token\",\"value_sha256\":"
		"\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"},"
		"\"j\":{\"type\":\"jwt\",\"secret\":\"0123456789abcdef0123456789abcdef\",\"claims\":{\"iss\":\"x\"}},"
		"\"office\":{\"type\":\"ip\",\"ranges\":[\"203.0.113.0/24\",\"2001:db8::/32\"]},"
		"\"p\":{\"type\":\"password\",\"username\":\"u\",\"password_hash\":\"$argon2id$v=19$m=8,t=1,p=1$"
		"AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}},"
		"\"permissions\":{\"ci\":{\"files\":true},\"j\":{\"files\":[\"read\"]},"
		"\"office\":{\"http\":false,\"files\":[\"read\",\"write\"]},\"p\":{\"files\":true}}}";
	struct permissions_source source = { .actions = &actions, .stored = true };
	struct permissions_error error;
	struct permissions *permissions;
	unsigned int unusable = 0;

	action_table_default(&actions);
	permissions = permissions_parse(body, sizeof(body) - 1, &source, &error);
	fuzz_need(permissions != NULL, "permissions");
	whole = auth_compile(permissions, NULL, NULL, &whole_size, &unusable);
	fuzz_need(whole && auth_blob_open(whole, whole_size), "a blob");
	permissions_free(permissions);
	return 0;
}

static void evaluate(const struct auth_blob *blob, const char *credential, sa_family_t family)
{
	struct auth_context context = { .actions = &actions, .cache = auth_cache_create() };
	struct http_text value = { credential, strlen(credential) };
	struct auth_request request = {
		.client.family = family, .authorization = &value, .authorization_count = 1,
		.now = 1800000000, .service = HTTP_TEXT("files"),
		.action = { HTTP_TEXT("GET"), HTTP_TEXT("/api/v1/files/list"), false, false },
	};
	struct auth_decision decision;

	auth_evaluate(&context, blob, &request, NULL, &decision);
	auth_job_free(decision.job);
	auth_cache_destroy(context.cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* malloc() aligns to more than BLOB_ALIGN. */
	char *changed = fuzz_copy((struct fuzz_input){ (const uint8_t *)whole, whole_size }, false);
	struct fuzz_input input = { data, size };
	size_t len = whole_size;

	while (input.len >= 6) {
		size_t at = 4 * ((size_t)input.at[0] | (size_t)input.at[1] << 8);

		if (at + 4 <= whole_size)
			memcpy(changed + at, input.at + 2, 4);
		else
			len = at % (whole_size + 1);
		input.at += 6;
		input.len -= 6;
	}
	if (auth_blob_open(changed, len)) {
		evaluate((const struct auth_blob *)changed, "Bearer ci-secret-token", AF_INET);
		evaluate((const struct auth_blob *)changed, "Basic dTpwYXNzd29yZA==", AF_INET6);
		evaluate((const struct auth_blob *)changed,
			 "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4IiwiZXhwIjoxOTAwMDAwMDAwfQ."
			 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", AF_INET);
	}
	free(changed);
	return 0;
}
