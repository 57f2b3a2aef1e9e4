// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes that nobody meant: bodies, patches, tokens, headers, tables and blobs,
 * changed at random, through everything that reads them. What is accepted has
 * to hold together: a body that is read can be shown and read again, a blob
 * that opens can be evaluated. Meant for a build with the sanitizers as well.
 * HOODY_FUZZ_ROUNDS and HOODY_FUZZ_SEED change how long and how.
 */
#include "auth/base64.h"
#include "auth_support.h"

#include <openssl/hmac.h>
#include <stdlib.h>

static struct action_table actions;
static struct auth_context context = { .actions = &actions };
static uint64_t seed = 88172645463325252;
static unsigned int rounds = 20000;

static const char *const bodies[] = {
	"{\"project\":\"67e89abc123def456789abcd\",\"groups\":{\"office\":{\"type\":\"ip\",\"range\":\"203.0.113.0/24\"},"
	"\"ci\":{\"type\":\"token\",\"value\":\"ci-secret-token\"}},\"permissions\":{\"office\":{\"terminal\":true,"
	"\"display\":[\"view\"]},\"ci\":{\"files\":[\"read\",\"write\"],\"http\":false}},\"default\":\"deny\"}",
	"{\"groups\":{\"a\":{\"type\":\"ip\",\"ranges\":[\"2001:db8::/32\",\"::1\",\"10.0.0.0/8\"]},"
	"\"j\":{\"type\":\"jwt\",\"secret\":\"0123456789abcdef0123456789abcdef\",\"algorithms\":[\"HS256\"],"
	"\"claims\":{\"iss\":\"x\",\"realm_access\":{\"roles\":[\"a\",7,true]}},\"leeway\":5,\"require_exp\":false}},"
	"\"permissions\":{\"a\":{\"http\":true},\"j\":{\"http\":true}},\"default\":\"allow\"}",
	"{\"groups\":{\"k\":{\"type\":\"jwt\",\"jwks\":{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"k\":"
	"\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
	"\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}}},\"permissions\":{\"k\":{\"http\":true}}}",
	/* as it is stored: reading it costs no hashing */
	"{\"groups\":{\"p\":{\"type\":\"password\",\"username\":\"u\",\"password_hash\":\"$argon2id$v=19$m=8,t=1,p=1$"
	"AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},\"t\":{\"type\":\"token\",\"value_sha256\":"
	"\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}},\"permissions\":{\"p\":{\"files\":[\"read\"]}}}",
};

#define BODIES (sizeof(bodies) / sizeof(bodies[0]))

static unsigned int pick(unsigned int below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 33) % below);
}

/* A few changes: a bit, a byte, a piece cut out or doubled, a telling character. */
static size_t mutate(char *data, size_t len, size_t size)
{
	static const char telling[] = "\"\\{}[]:,./%-_=\0\x7f\xff 0ntf";

	for (unsigned int n = 1 + pick(4); n && len; n--) {
		size_t at = pick((unsigned int)len), piece = 1 + pick(16);

		if (piece > len - at)
			piece = len - at;
		switch (pick(5)) {
		case 0:
			data[at] ^= (char)(1 << pick(8));
			break;
		case 1:
			data[at] = (char)pick(256);
			break;
		case 2:
			memmove(data + at, data + at + piece, len - at - piece);
			len -= piece;
			break;
		case 3:
			if (len + piece < size) {
				memmove(data + at + piece, data + at, len - at);
				len += piece;
			}
			break;
		default:
			data[at] = telling[pick(sizeof(telling))];
			break;
		}
	}
	return len;
}

static void make_request(struct auth_request *request, struct http_text *value, char *text,
			 size_t size)
{
	static const char *const targets[] = { "/", "/api/v1/terminal/execute", "/a%2f..//b" };
	static const char *const services[] = { "http", "files", "terminal", "display" };
	const char *service = services[pick(4)], *target = targets[pick(3)];
	static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"s\"}";
	static const char payload[] = "{\"iss\":\"x\",\"realm_access\":{\"roles\":[\"b\",7]}}";
	char token[256], mac_text[64];
	unsigned char mac[32];
	unsigned int len;
	size_t used;

	base64_encode(BASE64_URL, (const uint8_t *)header, sizeof(header) - 1, token);
	strcat(token, ".");
	used = strlen(token);
	base64_encode(BASE64_URL, (const uint8_t *)payload, sizeof(payload) - 1, token + used);
	HMAC(EVP_sha256(), "0123456789abcdef0123456789abcdef", 32, (unsigned char *)token,
	     strlen(token), mac, &len);
	base64_encode(BASE64_URL, mac, 32, mac_text);
	switch (pick(3)) {
	case 0:
		used = (size_t)snprintf(text, size, "Bearer %s.%s", token, mac_text);
		break;
	case 1:
		used = (size_t)snprintf(text, size, "Basic dTpwYXNzd29yZA==");
		break;
	default:
		used = (size_t)snprintf(text, size, "Bearer ci-secret-token");
		break;
	}
	if (pick(4))
		used = mutate(text, used, size);
	*value = (struct http_text){ text, used };
	*request = (struct auth_request){ .authorization = value, .authorization_count = 1,
					  .now = 1800000000 };
	request->service = (struct http_text){ service, strlen(service) };
	request->action.method = HTTP_TEXT("GET");
	request->action.target = (struct http_text){ target, strlen(target) };
	request->action.upgrade = pick(2);
	request->client.family = pick(2) ? AF_INET : AF_INET6;
	for (unsigned int i = 0; i < 16; i++)
		request->client.v6.s6_addr[i] = (uint8_t)pick(256);
}

/* Evaluates some requests; jobs are made and settled, but hash nothing costly. */
static void evaluate_some(const struct auth_blob *blob, unsigned int count)
{
	char text[1024];

	while (count--) {
		struct auth_request request;
		struct auth_decision decision;
		struct http_text value;

		make_request(&request, &value, text, sizeof(text));
		auth_evaluate(&context, blob, &request, NULL, &decision);
		if (decision.job) {
			if (!decision.job->is_password) {
				auth_job_run(decision.job);
				auth_job_settle(decision.job, context.cache, 0);
			}
			auth_job_free(decision.job);
		}
	}
}

/* What was stored may speak of actions that the table had then. */
static void use(struct permissions *permissions, bool stored, bool *holds)
{
	struct permissions_source source = { .actions = &actions, .existing = permissions };
	struct permissions_error error;
	char *shown = permissions_format(permissions, PERMISSIONS_SHOW, NULL, NULL);
	struct permissions *again = shown ? permissions_parse(shown, strlen(shown), &source,
							      &error) :
					    NULL;
	unsigned int unusable = 0;
	struct auth_blob *blob;
	size_t size;

	if (!again && !(stored && strstr(error.message, "action"))) {
		tap_note("%s: %s in %s", error.field, error.message, shown ? shown : "?");
		*holds = false;
	}
	permissions_free(again);
	free(shown);
	if (!permissions_sealed(permissions))
		return;
	blob = auth_compile(permissions, NULL, NULL, &size, &unusable);
	if (!blob || !auth_blob_open(blob, size))
		*holds = false;
	else
		evaluate_some(blob, 2);
	free(blob);
}

static void fuzz_bodies(void)
{
	unsigned int accepted = 0;
	bool holds = true;

	for (unsigned int i = 0; i < rounds; i++) {
		static const uint8_t project[ID_LEN] = { 0x67, 0xe8, 0x9a, 0xbc, 0x12, 0x3d,
							 0xef, 0x45, 0x67, 0x89, 0xab, 0xcd };
		unsigned int which = pick(BODIES), base = pick(BODIES);
		struct permissions_source source = { .actions = &actions, .project = project };
		struct permissions_error error;
		struct permissions *got, *existing;
		size_t len = strlen(bodies[which]);
		char body[4096];

		memcpy(body, bodies[which], len + 1);
		len = mutate(body, len, sizeof(body));
		source.stored = which == BODIES - 1;
		got = permissions_parse(body, len, &source, &error);
		if (got) {
			accepted++;
			use(got, source.stored, &holds);
			permissions_free(got);
		}
		source.stored = base == BODIES - 1;
		existing = permissions_parse(bodies[base], strlen(bodies[base]), &source, &error);
		source.stored = false;
		source.existing = existing;
		got = permissions_patch(body, len, &source, &error);
		if (got)
			use(got, base == BODIES - 1, &holds);
		permissions_free(got);
		permissions_free(existing);
	}
	tap_ok(holds, "fuzz_bodies_hold_together");
	tap_ok(accepted > rounds / 100, "fuzz_some_bodies_are_accepted");
}

static void fuzz_blobs(void)
{
	unsigned int opened = 0;

	for (unsigned int i = 0; i < rounds; i++) {
		unsigned int which = pick(BODIES), unusable = 0;
		struct permissions_source source = { .actions = &actions, .project = (uint8_t[12]){
			0x67, 0xe8, 0x9a, 0xbc, 0x12, 0x3d, 0xef, 0x45, 0x67, 0x89, 0xab, 0xcd } };
		struct permissions_error error;
		struct permissions *permissions;
		struct auth_blob *blob;
		size_t size;

		source.stored = which == BODIES - 1;
		permissions = permissions_parse(bodies[which], strlen(bodies[which]), &source,
						&error);
		blob = auth_compile(permissions, NULL, NULL, &size, &unusable);
		permissions_free(permissions);
		for (unsigned int n = 1 + pick(3); n; n--) {
			/* Half of them where the offsets are. */
			unsigned int at = pick(pick(2) ? sizeof(*blob) : (unsigned int)size);

			((char *)blob)[at] = (char)(pick(2) ? pick(256) :
							      ((char *)blob)[at] ^ 1 << pick(8));
		}
		if (pick(16) == 0)
			size -= pick((unsigned int)size);
		if (auth_blob_open(blob, size)) {
			opened++;
			evaluate_some(blob, 3);
		}
		free(blob);
	}
	tap_ok(opened > rounds / 100 && opened < rounds, "fuzz_blobs_open_or_are_refused");
}

static void fuzz_tables(void)
{
	char text[8192], error[160], target[64];
	struct action_table table;
	unsigned int accepted = 0;
	bool valid = true;

	for (unsigned int i = 0; i < rounds; i++) {
		size_t len = strlen(action_default_text), target_len = 24;
		struct action_request request = { HTTP_TEXT("GET"), { target, 0 }, false, false };

		memcpy(text, action_default_text, len);
		len = mutate(text, len, sizeof(text));
		memcpy(target, "/api/v1/terminal/execute", 25);
		request.target.len = mutate(target, target_len, sizeof(target));
		if (!action_table_parse(text, len, &table, error, sizeof(error))) {
			accepted++;
			valid &= action_table_valid(&table, sizeof(table));
			action_find(&table, HTTP_TEXT("terminal"), &request);
			action_find(&table, HTTP_TEXT("display"), &request);
		}
	}
	tap_ok(valid && accepted > rounds / 100, "fuzz_tables_that_are_read_are_valid");
}

static void fuzz_keys(void)
{
	static const char pem[] =
		"-----BEGIN PUBLIC KEY-----\n"
		"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
		"-----END PUBLIC KEY-----\n";
	char text[1024], error[160];

	for (unsigned int i = 0; i < rounds; i++) {
		struct jwt_key key = { 0 };
		size_t len = mutate(memcpy(text, pem, sizeof(pem)), sizeof(pem) - 1,
				    sizeof(text) - 1);

		text[len] = '\0';
		jwt_key_from_pem(text, len, &key, error, sizeof(error));
		jwt_key_clear(&key);
	}
	tap_ok(true, "fuzz_pem");
}

int main(void)
{
	const char *text = getenv("HOODY_FUZZ_ROUNDS");

	tap_plan(5);
	if (text)
		rounds = (unsigned int)atoi(text);
	text = getenv("HOODY_FUZZ_SEED");
	if (text)
		seed = strtoull(text, NULL, 0) | 1;
	action_table_default(&actions);
	context.cache = auth_cache_create();
	fuzz_bodies();
	fuzz_blobs();
	fuzz_tables();
	fuzz_keys();
	auth_cache_destroy(context.cache);
	return tap_done();
}
