// SPDX-License-Identifier: Apache-2.0
/*
 * Checking a blob, see blob.h: every span inside, every text inside the text
 * section, every index below its count, every table in the order that a search
 * relies on, every set without groups that do not exist. What is checked here
 * is not checked again.
 */
#include "auth/blob.h"

#include <errno.h>
#include <string.h>

static bool span_ok(const struct auth_blob *blob, struct blob_span span, size_t element)
{
	return span.offset >= sizeof(*blob) && span.offset % BLOB_ALIGN == 0 &&
	       span.offset <= blob->size && span.count <= (blob->size - span.offset) / element;
}

static bool spans_ok(const struct auth_blob *blob)
{
	return span_ok(blob, blob->groups, sizeof(struct blob_group)) &&
	       span_ok(blob, blob->services, sizeof(struct blob_service)) &&
	       span_ok(blob, blob->actions, sizeof(struct blob_action)) &&
	       span_ok(blob, blob->ranges4, sizeof(struct blob_range4)) &&
	       span_ok(blob, blob->ranges6, sizeof(struct blob_range6)) &&
	       span_ok(blob, blob->tokens, sizeof(struct blob_token)) &&
	       span_ok(blob, blob->passwords, sizeof(struct blob_password)) &&
	       span_ok(blob, blob->jwts, sizeof(struct blob_jwt)) &&
	       span_ok(blob, blob->key_refs, sizeof(uint32_t)) &&
	       span_ok(blob, blob->keys, sizeof(struct blob_key)) &&
	       span_ok(blob, blob->claims, sizeof(struct blob_claim)) &&
	       span_ok(blob, blob->values, sizeof(struct blob_value)) &&
	       span_ok(blob, blob->text, 1);
}

static bool text_ok(const struct auth_blob *blob, struct blob_text text)
{
	return text.offset <= blob->text.count && text.len <= blob->text.count - text.offset;
}

/* A part of a section. */
static bool part_ok(struct blob_span section, uint32_t first, uint32_t count)
{
	return first <= section.count && count <= section.count - first;
}

/* No group that does not exist. */
static bool set_ok(const struct auth_blob *blob, struct blob_set set)
{
	set = blob_set_without(set, blob->all);
	return blob_set_empty(&set);
}

/* Negative, 0, positive, as memcmp(); a shorter text comes first. */
static int text_compare(const struct auth_blob *blob, struct blob_text a, struct blob_text b)
{
	int order = memcmp(blob_text(blob, a), blob_text(blob, b), a.len < b.len ? a.len : b.len);

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool groups_ok(const struct auth_blob *blob)
{
	const struct blob_group *groups = BLOB_AT(blob, groups, blob_group);
	struct blob_set by[PERMISSIONS_TYPES] = { { { 0 } } }, all = { { 0 } };

	if (blob->groups.count > PERMISSIONS_GROUPS_MAX)
		return false;
	for (uint32_t i = 0; i < blob->groups.count; i++) {
		if (!text_ok(blob, groups[i].name) || groups[i].type >= PERMISSIONS_TYPES)
			return false;
		blob_set_add(&by[groups[i].type], i);
		blob_set_add(&all, i);
	}
	by[PERMISSIONS_TOKEN] = blob_set_or(by[PERMISSIONS_TOKEN], by[PERMISSIONS_JWT]);
	return !memcmp(&all, &blob->all, sizeof(all)) &&
	       !memcmp(&by[PERMISSIONS_IP], &blob->by_address, sizeof(all)) &&
	       !memcmp(&by[PERMISSIONS_PASSWORD], &blob->by_basic, sizeof(all)) &&
	       !memcmp(&by[PERMISSIONS_TOKEN], &blob->by_bearer, sizeof(all));
}

static bool services_ok(const struct auth_blob *blob)
{
	const struct blob_service *services = BLOB_AT(blob, services, blob_service);
	const struct blob_action *actions = BLOB_AT(blob, actions, blob_action);

	for (uint32_t i = 0; i < blob->services.count; i++) {
		const struct blob_service *service = &services[i];

		if (!text_ok(blob, service->name) || !set_ok(blob, service->allow) ||
		    !set_ok(blob, service->refuse) || !set_ok(blob, service->listed) ||
		    !part_ok(blob->actions, service->actions_first, service->actions_count) ||
		    (i && text_compare(blob, services[i - 1].name, service->name) >= 0))
			return false;
	}
	for (uint32_t i = 0; i < blob->actions.count; i++) {
		if (!text_ok(blob, actions[i].name) || !set_ok(blob, actions[i].groups))
			return false;
	}
	return true;
}

static bool ranges_ok(const struct auth_blob *blob)
{
	static const uint8_t zero[16];
	const struct blob_range4 *ranges4 = BLOB_AT(blob, ranges4, blob_range4);
	const struct blob_range6 *ranges6 = BLOB_AT(blob, ranges6, blob_range6);

	for (uint32_t i = 0; i < blob->ranges4.count; i++) {
		if (!set_ok(blob, ranges4[i].groups) ||
		    (i ? ranges4[i - 1].first >= ranges4[i].first : ranges4[i].first != 0))
			return false;
	}
	for (uint32_t i = 0; i < blob->ranges6.count; i++) {
		if (!set_ok(blob, ranges6[i].groups) ||
		    (i ? memcmp(ranges6[i - 1].first, ranges6[i].first, 16) >= 0 :
			 memcmp(ranges6[i].first, zero, 16) != 0))
			return false;
	}
	return true;
}

static bool secrets_ok(const struct auth_blob *blob)
{
	const struct blob_token *tokens = BLOB_AT(blob, tokens, blob_token);
	const struct blob_password *passwords = BLOB_AT(blob, passwords, blob_password);

	for (uint32_t i = 0; i < blob->tokens.count; i++) {
		if (!set_ok(blob, tokens[i].groups) ||
		    (i && memcmp(tokens[i - 1].hash, tokens[i].hash, SECRET_HASH_LEN) >= 0))
			return false;
	}
	if (blob->passwords.count > PERMISSIONS_GROUPS_MAX)
		return false;
	for (uint32_t i = 0; i < blob->passwords.count; i++) {
		const struct blob_password *password = &passwords[i];
		const struct secret_password costs = { .memory_kib = password->memory_kib,
						       .passes = password->passes,
						       .lanes = password->lanes };

		if (!text_ok(blob, password->username) || password->group >= blob->groups.count ||
		    !secret_password_valid(&costs) ||
		    (i && text_compare(blob, passwords[i - 1].username, password->username) > 0))
			return false;
	}
	return true;
}

static bool claims_ok(const struct auth_blob *blob)
{
	const struct blob_claim *claims = BLOB_AT(blob, claims, blob_claim);
	const struct blob_value *values = BLOB_AT(blob, values, blob_value);

	for (uint32_t i = 0; i < blob->claims.count; i++) {
		const struct blob_claim *claim = &claims[i];

		if (!text_ok(blob, claim->path) || claim->path.len == 0 ||
		    blob_text(blob, claim->path)[claim->path.len - 1] != '\0' ||
		    !part_ok(blob->values, claim->values_first, claim->values_count))
			return false;
	}
	for (uint32_t i = 0; i < blob->values.count; i++) {
		if (values[i].type > PERMISSIONS_VALUE_BOOL || !text_ok(blob, values[i].text))
			return false;
	}
	return true;
}

static bool jwts_ok(const struct auth_blob *blob)
{
	const struct blob_jwt *jwts = BLOB_AT(blob, jwts, blob_jwt);
	const struct blob_key *keys = BLOB_AT(blob, keys, blob_key);
	const uint32_t *refs = blob_key_refs(blob);

	if (blob->keys.count > BLOB_KEYS_MAX || blob->jwts.count > PERMISSIONS_GROUPS_MAX)
		return false;
	for (uint32_t i = 0; i < blob->jwts.count; i++) {
		const struct blob_jwt *jwt = &jwts[i];

		if (jwt->group >= blob->groups.count || jwt->algorithms >> JWT_ALGS ||
		    jwt->leeway > PERMISSIONS_LEEWAY_MAX ||
		    !part_ok(blob->key_refs, jwt->key_refs_first, jwt->key_refs_count) ||
		    !part_ok(blob->claims, jwt->claims_first, jwt->claims_count))
			return false;
	}
	for (uint32_t i = 0; i < blob->key_refs.count; i++) {
		if (refs[i] >= blob->keys.count)
			return false;
	}
	for (uint32_t i = 0; i < blob->keys.count; i++) {
		if (!text_ok(blob, keys[i].kid) || !text_ok(blob, keys[i].bytes) ||
		    keys[i].algorithms >> JWT_ALGS || keys[i].bytes.len > JWT_KEY_BYTES_MAX)
			return false;
		/* What is HMAC's key can be nothing else's (and the other way round). */
		if (keys[i].algorithms & JWT_ALGS_HMAC && keys[i].algorithms & ~JWT_ALGS_HMAC)
			return false;
	}
	return true;
}

const struct auth_blob *auth_blob_open(const void *data, size_t size)
{
	const struct auth_blob *blob = data;

	errno = EBADMSG;
	if (size < sizeof(*blob) || size > BLOB_SIZE_MAX || (uintptr_t)data % BLOB_ALIGN)
		return NULL;
	if (memcmp(blob->magic, BLOB_MAGIC, sizeof(blob->magic)) || blob->version != BLOB_VERSION) {
		errno = EPROTO;
		return NULL;
	}
	if (blob->size != size || blob->default_allow > 1 || !spans_ok(blob) || !groups_ok(blob) ||
	    !services_ok(blob) || !ranges_ok(blob) || !secrets_ok(blob) || !claims_ok(blob) ||
	    !jwts_ok(blob))
		return NULL;
	return blob;
}
