// SPDX-License-Identifier: Apache-2.0
/* Tokens and realms, see tokens.h; kept in the database as documents. */
#include "control/tokens.h"
#include "auth/base64.h"
#include "control/feature.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <yyjson.h>

#define SECRET_BYTES	32
#define PREFIX		"hoody_"

static const char hex[] = "0123456789abcdef";

static void hex_format(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex[bytes[i] >> 4];
		out[2 * i + 1] = hex[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_parse(const char *text, uint8_t *bytes, size_t len)
{
	if (!text || strlen(text) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < 2 * len; i++) {
		const char *digit = strchr(hex, text[i]);

		if (!digit)
			return -EINVAL;
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (digit - hex));
	}
	return 0;
}

size_t tokens_count(const struct tokens *tokens)
{
	return tokens ? tokens->tokens_count : 0;
}

struct token *tokens_find(struct tokens *tokens, const char *id)
{
	for (size_t i = 0; i < tokens->tokens_count; i++) {
		if (!strcmp(tokens->tokens[i].id, id))
			return &tokens->tokens[i];
	}
	return NULL;
}

struct realm *tokens_find_realm(struct tokens *tokens, const char *name)
{
	for (size_t i = 0; i < tokens->realms_count; i++) {
		if (!strcmp(tokens->realms[i].name, name))
			return &tokens->realms[i];
	}
	return NULL;
}

/* ---- stored form ---- */

static char *token_text(const struct token *token)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *ranges;
	char hash[2 * SECRET_HASH_LEN + 1], *text;

	yyjson_mut_doc_set_root(document, root);
	hex_format(token->hash, sizeof(token->hash), hash);
	yyjson_mut_obj_add_str(document, root, "hash", hash);
	yyjson_mut_obj_add_str(document, root, "name", token->name);
	yyjson_mut_obj_add_str(document, root, "realm", token->realm);
	ranges = yyjson_mut_obj_add_arr(document, root, "ips");
	for (unsigned int i = 0; i < token->ranges_count; i++) {
		char range[FW_PREFIX_TEXT_MAX];

		fw_prefix_format(&token->ranges[i], range);
		yyjson_mut_arr_add_strcpy(document, ranges, range);
	}
	yyjson_mut_obj_add_int(document, root, "created", token->created_at);
	yyjson_mut_obj_add_int(document, root, "expires", token->expires_at);
	yyjson_mut_obj_add_bool(document, root, "enabled", token->enabled);
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	return text;
}

static const char *string_of(yyjson_val *root, const char *name)
{
	return yyjson_get_str(yyjson_obj_get(root, name));
}

/* 0 or -EINVAL: it was not written by token_text(). */
static int token_parse(yyjson_val *root, struct token *token)
{
	const char *name = string_of(root, "name"), *realm = string_of(root, "realm"), *why;
	yyjson_val *range;
	size_t i, max;

	if (!name || !realm || hex_parse(string_of(root, "hash"), token->hash, SECRET_HASH_LEN) ||
	    strlen(name) >= sizeof(token->name) || strlen(realm) >= sizeof(token->realm))
		return -EINVAL;
	strcpy(token->name, name);
	strcpy(token->realm, realm);
	yyjson_arr_foreach(yyjson_obj_get(root, "ips"), i, max, range) {
		/* One that is not understood must not open what it was to close. */
		if (i == TOKEN_RANGES_MAX || !yyjson_is_str(range) ||
		    fw_prefix_parse(yyjson_get_str(range), &token->ranges[i], &why))
			return -EINVAL;
		token->ranges_count++;
	}
	token->created_at = yyjson_get_sint(yyjson_obj_get(root, "created"));
	token->expires_at = yyjson_get_sint(yyjson_obj_get(root, "expires"));
	token->enabled = yyjson_is_true(yyjson_obj_get(root, "enabled"));
	return 0;
}

static int take_token(void *context, const void *key, size_t key_len, const char *body)
{
	struct tokens *tokens = context;
	struct token token = { 0 };
	yyjson_doc *document;
	int ret;

	if (key_len != TOKEN_ID_LEN || tokens->tokens_count == TOKENS_MAX)
		return -EINVAL;
	document = yyjson_read(body, strlen(body), 0);
	ret = token_parse(yyjson_doc_get_root(document), &token);
	yyjson_doc_free(document);
	if (ret)
		return ret;
	memcpy(token.id, key, key_len);
	tokens->tokens[tokens->tokens_count++] = token;
	return 0;
}

static int take_realm(void *context, const void *key, size_t key_len, const char *body)
{
	struct tokens *tokens = context;
	struct realm *realm = &tokens->realms[tokens->realms_count];
	yyjson_doc *document;

	if (tokens->realms_count == REALMS_MAX || key_len >= sizeof(realm->name))
		return -EINVAL;
	document = yyjson_read(body, strlen(body), 0);
	memset(realm, 0, sizeof(*realm));
	memcpy(realm->name, key, key_len);
	realm->created_at =
		yyjson_get_sint(yyjson_obj_get(yyjson_doc_get_root(document), "created"));
	yyjson_doc_free(document);
	tokens->realms_count++;
	return 0;
}

/* ---- changes ---- */

int tokens_put(struct control *control, const struct token *token)
{
	struct tokens *tokens = control->tokens;
	struct token *known = tokens_find(tokens, token->id);
	char *text;
	int ret;

	if (!known && tokens->tokens_count == TOKENS_MAX)
		return -ENOSPC;
	text = token_text(token);
	if (!text)
		return -ENOMEM;
	ret = db_put_document(control->db, DB_KIND_TOKEN, token->id, TOKEN_ID_LEN, text, NULL);
	free(text);
	if (ret)
		return ret;
	if (known)
		*known = *token;
	else
		tokens->tokens[tokens->tokens_count++] = *token;
	return 0;
}

int tokens_delete(struct control *control, const char *id)
{
	struct tokens *tokens = control->tokens;
	struct token *token = tokens_find(tokens, id);
	int ret = db_put_document(control->db, DB_KIND_TOKEN, id, TOKEN_ID_LEN, NULL, NULL);
	size_t index = token - tokens->tokens;

	if (ret)
		return ret;
	tokens->tokens_count--;
	memmove(token, token + 1, (tokens->tokens_count - index) * sizeof(*token));
	return 0;
}

int tokens_put_realm(struct control *control, const struct realm *realm)
{
	struct tokens *tokens = control->tokens;
	char text[64];
	int ret;

	if (tokens->realms_count == REALMS_MAX)
		return -ENOSPC;
	snprintf(text, sizeof(text), "{\"created\":%lld}", (long long)realm->created_at);
	ret = db_put_document(control->db, DB_KIND_REALM, realm->name, strlen(realm->name), text,
			      NULL);
	if (!ret)
		tokens->realms[tokens->realms_count++] = *realm;
	return ret;
}

int tokens_delete_realm(struct control *control, const char *name)
{
	struct tokens *tokens = control->tokens;
	struct realm *realm = tokens_find_realm(tokens, name);
	int ret = db_put_document(control->db, DB_KIND_REALM, name, strlen(name), NULL, NULL);
	size_t index = realm - tokens->realms;

	if (ret)
		return ret;
	tokens->realms_count--;
	memmove(realm, realm + 1, (tokens->realms_count - index) * sizeof(*realm));
	return 0;
}

/* ---- use ---- */

int tokens_generate(struct token *token, char text[TOKEN_TEXT_MAX])
{
	uint8_t random[TOKEN_ID_LEN / 2 + SECRET_BYTES];
	char secret[BASE64_ENCODED_MAX(SECRET_BYTES)];
	int ret = -EIO;

	if (getrandom(random, sizeof(random), 0) == sizeof(random)) {
		hex_format(random, TOKEN_ID_LEN / 2, token->id);
		base64_encode(BASE64_URL, random + TOKEN_ID_LEN / 2, SECRET_BYTES, secret);
		snprintf(text, TOKEN_TEXT_MAX, PREFIX "%s_%s", token->id, secret);
		if (secret_token_hash(text, strlen(text), token->hash))
			ret = 0;
	}
	secret_wipe(random, sizeof(random));
	secret_wipe(secret, sizeof(secret));
	return ret;
}

static bool in_range(const struct fw_prefix *range, const struct address *client)
{
	const uint8_t *bytes = (const uint8_t *)&client->v4;
	unsigned int whole = range->length / 8, rest = range->length % 8;

	if ((range->family == FW_V4) != (client->family == AF_INET) ||
	    memcmp(range->address, bytes, whole))
		return false;
	return !rest || !((range->address[whole] ^ bytes[whole]) >> (8 - rest));
}

static bool address_allowed(const struct token *token, const struct address *client)
{
	for (unsigned int i = 0; i < token->ranges_count; i++) {
		if (in_range(&token->ranges[i], client))
			return true;
	}
	return !token->ranges_count;
}

enum tokens_result tokens_check(struct tokens *tokens, const char *authorization,
				const struct address *client, struct token **found)
{
	const size_t head = strlen(PREFIX);
	uint8_t hash[SECRET_HASH_LEN];
	char id[TOKEN_ID_LEN + 1];
	struct token *token;
	const char *text;

	if (!authorization || strncasecmp(authorization, "Bearer ", 7))
		return TOKENS_NONE;
	text = authorization + 7;
	if (strlen(text) >= TOKEN_TEXT_MAX || strncmp(text, PREFIX, head) ||
	    strlen(text) < head + TOKEN_ID_LEN + 1 || text[head + TOKEN_ID_LEN] != '_')
		return TOKENS_NONE;
	memcpy(id, text + head, TOKEN_ID_LEN);
	id[TOKEN_ID_LEN] = '\0';
	token = tokens_find(tokens, id);
	if (!token || !secret_token_hash(text, strlen(text), hash) ||
	    !secret_equal(hash, token->hash, sizeof(hash)))
		return TOKENS_NONE;
	/* From here on it is the holder of the token who is told. */
	if (!token->enabled)
		return TOKENS_DISABLED;
	if (token->expires_at && token->expires_at <= time(NULL))
		return TOKENS_EXPIRED;
	if (!address_allowed(token, client))
		return TOKENS_ADDRESS;
	token->used_at = time(NULL);
	*found = token;
	return TOKENS_OK;
}

/* ---- feature ---- */

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct tokens *tokens = calloc(1, sizeof(*tokens));

	control->tokens = tokens;
	snprintf(fault, fault_size, "tokens: out of memory");
	if (!tokens)
		return -ENOMEM;
	tokens->tokens = calloc(TOKENS_MAX, sizeof(*tokens->tokens));
	tokens->realms = calloc(REALMS_MAX, sizeof(*tokens->realms));
	if (!tokens->tokens || !tokens->realms)
		return -ENOMEM;
	snprintf(fault, fault_size, "the database has a token or realm that cannot be read");
	if (db_load_documents(control->db, DB_KIND_TOKEN, take_token, tokens) ||
	    db_load_documents(control->db, DB_KIND_REALM, take_realm, tokens))
		return -EIO;
	return 0;
}

static void tear_down(struct control *control)
{
	if (!control->tokens)
		return;
	free(control->tokens->tokens);
	free(control->tokens->realms);
	free(control->tokens);
	control->tokens = NULL;
}

const struct feature tokens_feature = {
	.name = "tokens",
	.set_up = set_up,
	.tear_down = tear_down,
};
