// SPDX-License-Identifier: Apache-2.0
/*
 * Blobs that do not hold together: one thing wrong in each, none may open. And
 * that a blob means the same wherever it lies.
 */
#include "auth_support.h"

#include <stdint.h>
#include <stdlib.h>

static struct action_table actions;

static const char body[] =
	"{\"groups\":{\"a\":{\"type\":\"ip\",\"ranges\":[\"10.0.0.0/8\",\"10.1.0.0/16\",\"2001:db8::/32\"]},"
	"\"b\":{\"type\":\"token\",\"value\":\"token-number-one\"},\"c\":{\"type\":\"token\",\"value\":\"token-number-two\"},"
	"\"j\":{\"type\":\"jwt\",\"secret\":\"0123456789abcdef0123456789abcdef\",\"claims\":{\"iss\":\"x\"}},"
	"\"p\":{\"type\":\"password\",\"username\":\"u\",\"password\":\"p\"}},"
	"\"permissions\":{\"a\":{\"files\":[\"read\"],\"http\":true},\"b\":{\"http\":false},\"j\":{\"exec\":true}}}";

static char *good;
static size_t good_size;

/* Opens a copy with @bytes at @at. */
static bool opens_with(size_t at, const void *bytes, size_t len, size_t size)
{
	char *copy = malloc(good_size);
	bool opened;

	memcpy(copy, good, good_size);
	memcpy(copy + at, bytes, len);
	opened = auth_blob_open(copy, size) != NULL;
	free(copy);
	return opened;
}

#define FIELD(name) offsetof(struct auth_blob, name)

static void test_spans(void)
{
	static const struct {
		const char *name;
		size_t at, element;
	} spans[] = {
		{ "groups", FIELD(groups), sizeof(struct blob_group) },
		{ "services", FIELD(services), sizeof(struct blob_service) },
		{ "actions", FIELD(actions), sizeof(struct blob_action) },
		{ "ranges4", FIELD(ranges4), sizeof(struct blob_range4) },
		{ "ranges6", FIELD(ranges6), sizeof(struct blob_range6) },
		{ "tokens", FIELD(tokens), sizeof(struct blob_token) },
		{ "passwords", FIELD(passwords), sizeof(struct blob_password) },
		{ "jwts", FIELD(jwts), sizeof(struct blob_jwt) },
		{ "key_refs", FIELD(key_refs), sizeof(uint32_t) },
		{ "keys", FIELD(keys), sizeof(struct blob_key) },
		{ "claims", FIELD(claims), sizeof(struct blob_claim) },
		{ "values", FIELD(values), sizeof(struct blob_value) },
		{ "text", FIELD(text), 1 },
	};

	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		struct blob_span span, wrong[5];
		bool none = true;

		memcpy(&span, good + spans[i].at, sizeof(span));
		wrong[0] = (struct blob_span){ span.offset,
			(uint32_t)((good_size - span.offset) / spans[i].element + 1) };
		wrong[1] = (struct blob_span){ span.offset, UINT32_MAX };
		wrong[2] = (struct blob_span){ span.offset + 4, span.count };
		wrong[3] = (struct blob_span){ 8, span.count };
		wrong[4] = (struct blob_span){ (uint32_t)good_size + 8, span.count };
		for (size_t k = 0; k < 5; k++)
			none &= !opens_with(spans[i].at, &wrong[k], sizeof(span), good_size);
		tap_ok(none && span.count > 0, "blob_span_%s", spans[i].name);
	}
}

/* One 32-bit word somewhere. */
static bool word(size_t at, uint32_t value)
{
	return opens_with(at, &value, sizeof(value), good_size);
}

#define AT(section, type, member) \
	((const struct auth_blob *)good)->section.offset + offsetof(struct type, member)

static void test_words(void)
{
	const struct auth_blob *blob = (const struct auth_blob *)good;
	struct blob_token tokens[2];

	tap_ok(!word(0, 0), "blob_magic");
	tap_ok(!word(FIELD(version), 2), "blob_version");
	tap_ok(!word(FIELD(size), (uint32_t)good_size - 8), "blob_size");
	tap_ok(!opens_with(0, good, 0, good_size - 8), "blob_cut");
	tap_ok(!opens_with(0, good, 0, sizeof(*blob) - 1), "blob_cut_in_the_header");
	tap_ok(!word(FIELD(default_allow), 2), "blob_default");
	tap_ok(!word(FIELD(all), 0xff), "blob_more_groups_than_there_are");
	tap_ok(!word(FIELD(by_address), 2), "blob_token_group_as_address_group");
	tap_ok(!word(FIELD(by_bearer), 0), "blob_forgotten_token_groups");
	tap_ok(!word(AT(groups, blob_group, type), PERMISSIONS_TYPES), "blob_group_type");
	tap_ok(!word(AT(groups, blob_group, name.offset), 1u << 30), "blob_group_name");
	tap_ok(!word(AT(services, blob_service, allow), 1u << 20), "blob_service_set");
	tap_ok(!word(AT(services, blob_service, actions_first), 1u << 30), "blob_service_actions");
	tap_ok(!word(AT(services, blob_service, name.len), 0xffffffff), "blob_service_name");
	tap_ok(!word(AT(ranges4, blob_range4, first), 1), "blob_ranges_begin_at_zero");
	tap_ok(!word(AT(ranges4, blob_range4, first) + sizeof(struct blob_range4), 0),
	       "blob_ranges_ascend");
	tap_ok(!word(AT(ranges6, blob_range6, first) + 12, 1), "blob_ranges6_begin_at_zero");
	tap_ok(!word(AT(passwords, blob_password, group), 5), "blob_password_group");
	tap_ok(!word(AT(passwords, blob_password, memory_kib), 1u << 30), "blob_password_memory");
	tap_ok(!word(AT(passwords, blob_password, passes), 1000), "blob_password_passes");
	tap_ok(!word(AT(jwts, blob_jwt, group), 5), "blob_jwt_group");
	tap_ok(!word(AT(jwts, blob_jwt, algorithms), 1u << JWT_ALGS), "blob_jwt_algorithm");
	tap_ok(!word(AT(jwts, blob_jwt, leeway), 301), "blob_jwt_leeway");
	tap_ok(!word(AT(jwts, blob_jwt, key_refs_count), 2), "blob_jwt_keys");
	tap_ok(!word(AT(jwts, blob_jwt, claims_first), 2), "blob_jwt_claims");
	tap_ok(!word(blob->key_refs.offset, 1), "blob_key_ref");
	tap_ok(!word(AT(keys, blob_key, algorithms), JWT_ALG_BIT(JWT_HS256) | JWT_ALG_BIT(JWT_RS256)),
	       "blob_key_for_hmac_and_rsa");
	tap_ok(!word(AT(keys, blob_key, bytes.len), 1u << 30), "blob_key_bytes");
	tap_ok(!word(AT(claims, blob_claim, path.len), 3), "blob_claim_path_ends");
	tap_ok(!word(AT(claims, blob_claim, values_count), 2), "blob_claim_values");
	tap_ok(!word(AT(values, blob_value, type), 3), "blob_value_type");
	memcpy(&tokens[1], good + blob->tokens.offset, sizeof(tokens[0]));
	memcpy(&tokens[0], good + blob->tokens.offset + sizeof(tokens[0]), sizeof(tokens[0]));
	tap_ok(!opens_with(blob->tokens.offset, tokens, sizeof(tokens), good_size),
	       "blob_tokens_in_order");
}

int main(void)
{
	struct permissions_source source = { .actions = &actions };
	struct permissions_error error;
	struct permissions *permissions;
	unsigned int unusable = 0;

	tap_plan(13 + 32 + 2);
	action_table_default(&actions);
	permissions = permissions_parse(body, strlen(body), &source, &error);
	if (!permissions || permissions_seal(permissions)) {
		tap_note("%s: %s", error.field, error.message);
		return 1;
	}
	good = (char *)auth_compile(permissions, NULL, NULL, &good_size, &unusable);
	permissions_free(permissions);
	tap_ok(auth_blob_open(good, good_size) && opens_with(0, good, 8, good_size),
	       "blob_opens_anywhere");
	tap_ok(!auth_blob_open(good + 4, good_size - 4), "blob_alignment");
	test_spans();
	test_words();
	free(good);
	return tap_done();
}
