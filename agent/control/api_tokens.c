// SPDX-License-Identifier: Apache-2.0
/* The calls about tokens and realms; for the whole host only, see api_remote.c. */
#include "control/api.h"
#include "audit/entry.h"
#include "control/container_json.h"
#include "control/publish.h"
#include "control/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void add_time(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
		     int64_t seconds)
{
	char text[32];

	if (!seconds) {
		yyjson_mut_obj_add_null(document, object, name);
		return;
	}
	container_format_time(seconds, text);
	yyjson_mut_obj_add_strcpy(document, object, name, text);
}

static void add_name(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
		     const char *text)
{
	if (text[0])
		yyjson_mut_obj_add_strcpy(document, object, name, text);
	else
		yyjson_mut_obj_add_null(document, object, name);
}

static yyjson_mut_val *token_json(yyjson_mut_doc *document, const struct token *token)
{
	yyjson_mut_val *object = yyjson_mut_obj(document), *ranges;

	yyjson_mut_obj_add_strcpy(document, object, "id", token->id);
	add_name(document, object, "name", token->name);
	add_name(document, object, "realm", token->realm);
	ranges = yyjson_mut_obj_add_arr(document, object, "ips");
	for (unsigned int i = 0; i < token->ranges_count; i++) {
		char text[FW_PREFIX_TEXT_MAX];

		fw_prefix_format(&token->ranges[i], text);
		yyjson_mut_arr_add_strcpy(document, ranges, text);
	}
	yyjson_mut_obj_add_bool(document, object, "enabled", token->enabled);
	yyjson_mut_obj_add_bool(document, object, "expired",
				token->expires_at && token->expires_at <= time(NULL));
	add_time(document, object, "created_at", token->created_at);
	add_time(document, object, "expires_at", token->expires_at);
	add_time(document, object, "used_at", token->used_at);
	return object;
}

static void reply_token(struct api_call *call, int status, const struct token *token,
			const char *text)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = token_json(document, token);

	if (text)
		yyjson_mut_obj_add_strcpy(document, data, "token", text);
	api_reply_data(call, status, document, data);
}

static void reply_error(struct api_call *call, int error, const char *what, int most)
{
	if (error == -ENOSPC && !*db_fault(call->control->db))
		api_reply_error(call, 507, "full", NULL, "there are %d %s, more cannot be kept", most,
				what);
	else
		api_reply_not_stored(call, error, "");
}

static int refuse(struct api_call *call, const char *field, const char *message)
{
	api_reply_error(call, 422, "invalid_value", field, "%s", message);
	return -1;
}

static int take_ranges(struct api_call *call, yyjson_val *value, struct token *token)
{
	yyjson_val *range;
	size_t i, max;
	const char *why;

	if (!yyjson_is_arr(value) || yyjson_arr_size(value) > TOKEN_RANGES_MAX)
		return refuse(call, "ips", "must be a list of at most 16 addresses or prefixes");
	yyjson_arr_foreach(value, i, max, range) {
		if (!yyjson_is_str(range))
			return refuse(call, "ips", "must be a list of at most 16 addresses or prefixes");
		if (fw_prefix_parse(yyjson_get_str(range), &token->ranges[i], &why))
			return refuse(call, "ips", why);
		token->ranges_count++;
	}
	return 0;
}

static int take_field(struct api_call *call, const char *key, yyjson_val *value,
		      struct token *token)
{
	const char *text = yyjson_get_str(value);
	uint64_t time_us;

	if (yyjson_is_null(value))
		return 0;
	if (!strcmp(key, "ips"))
		return take_ranges(call, value, token);
	if (!strcmp(key, "name")) {
		if (!text || !*text || yyjson_get_len(value) != strlen(text) ||
		    strlen(text) >= sizeof(token->name))
			return refuse(call, key, "must be text of 1 to 63 bytes");
		strcpy(token->name, text);
		return 0;
	}
	if (!strcmp(key, "realm")) {
		if (!text || !tokens_find_realm(call->control->tokens, text))
			return refuse(call, key, "is no realm of this host; POST /api/v1/realms makes one");
		strcpy(token->realm, text);
		return 0;
	}
	if (!strcmp(key, "expires")) {
		if (!text || audit_time_parse(text, &time_us) ||
		    (int64_t)(time_us / 1000000) <= time(NULL))
			return refuse(call, key, "must be a time in the future, as 2030-01-31T12:00:00Z");
		token->expires_at = (int64_t)(time_us / 1000000);
		return 0;
	}
	api_reply_error(call, 422, "unknown_field", key, "this call knows no field of this name");
	return -1;
}

static void create(struct api_call *call)
{
	struct token token = { .enabled = true, .created_at = time(NULL) };
	struct control *control = call->control;
	char text[TOKEN_TEXT_MAX];
	yyjson_val *key, *value;
	size_t index, max;
	int ret;

	yyjson_obj_foreach(call->body, index, max, key, value) {
		if (take_field(call, yyjson_get_str(key), value, &token))
			return;
	}
	ret = tokens_generate(&token, text);
	if (!ret)
		ret = tokens_put(control, &token);
	if (ret) {
		secret_wipe(text, sizeof(text));
		reply_error(call, ret, "tokens", TOKENS_MAX);
		return;
	}
	/* The first one brings the API's host names into the image. */
	if (tokens_count(control->tokens) == 1)
		publish_request(control->publisher, NULL, NULL);
	reply_token(call, 201, &token, text);
	secret_wipe(text, sizeof(text));
}

static void list(struct api_call *call)
{
	const struct tokens *tokens = call->control->tokens;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_arr(document);

	for (size_t i = 0; i < tokens->tokens_count; i++)
		yyjson_mut_arr_append(data, token_json(document, &tokens->tokens[i]));
	api_reply_page(call, document, data, NULL);
}

/* The token of the path; NULL where the call has been answered. */
static struct token *find(struct api_call *call)
{
	struct token *token = tokens_find(call->control->tokens, call->name);

	if (!token)
		api_reply_error(call, 404, "not_found", NULL, "there is no token with this id");
	return token;
}

static void change(struct api_call *call)
{
	yyjson_val *enabled = yyjson_obj_get(call->body, "enabled");
	const struct token *known = find(call);
	struct token token;
	int ret;

	if (!known)
		return;
	if (!yyjson_is_bool(enabled) || yyjson_obj_size(call->body) != 1) {
		refuse(call, "enabled", "must be true or false, and nothing else can be changed");
		return;
	}
	token = *known;
	token.enabled = yyjson_get_bool(enabled);
	ret = tokens_put(call->control, &token);
	if (ret)
		reply_error(call, ret, "tokens", TOKENS_MAX);
	else
		reply_token(call, 200, &token, NULL);
}

static void reply_deleted(struct api_call *call, const char *name)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);

	yyjson_mut_obj_add_strcpy(document, data, name, call->name);
	yyjson_mut_obj_add_bool(document, data, "deleted", true);
	api_reply_data(call, 200, document, data);
}

static void delete(struct api_call *call)
{
	int ret;

	if (!find(call))
		return;
	ret = tokens_delete(call->control, call->name);
	if (ret) {
		reply_error(call, ret, "tokens", TOKENS_MAX);
		return;
	}
	if (!tokens_count(call->control->tokens))
		publish_request(call->control->publisher, NULL, NULL);
	reply_deleted(call, "id");
}

/* ---- realms ---- */

static size_t containers_of(const struct control *control, const char *realm)
{
	size_t count = 0;

	for (size_t i = 0; i < model_containers_count(control->model); i++)
		count += !strcmp(model_container_at(control->model, i)->realm, realm);
	return count;
}

static size_t tokens_of(const struct control *control, const char *realm)
{
	size_t count = 0;

	for (size_t i = 0; i < control->tokens->tokens_count; i++)
		count += !strcmp(control->tokens->tokens[i].realm, realm);
	return count;
}

static yyjson_mut_val *realm_json(const struct control *control, yyjson_mut_doc *document,
				  const struct realm *realm)
{
	yyjson_mut_val *object = yyjson_mut_obj(document);
	char host[MODEL_REALM_MAX + IMAGE_DOMAIN_MAX + 8];

	yyjson_mut_obj_add_strcpy(document, object, "name", realm->name);
	snprintf(host, sizeof(host), "%s.api.%s", realm->name, control->config->settings.base_domain);
	yyjson_mut_obj_add_strcpy(document, object, "host", host);
	yyjson_mut_obj_add_uint(document, object, "containers", containers_of(control, realm->name));
	yyjson_mut_obj_add_uint(document, object, "tokens", tokens_of(control, realm->name));
	add_time(document, object, "created_at", realm->created_at);
	return object;
}

static void realms_list(struct api_call *call)
{
	const struct tokens *tokens = call->control->tokens;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_arr(document);

	for (size_t i = 0; i < tokens->realms_count; i++)
		yyjson_mut_arr_append(data, realm_json(call->control, document, &tokens->realms[i]));
	api_reply_page(call, document, data, NULL);
}

static void realms_create(struct api_call *call)
{
	yyjson_val *name = yyjson_obj_get(call->body, "name");
	struct realm realm = { .created_at = time(NULL) };
	yyjson_mut_doc *document;
	int ret;

	if (yyjson_obj_size(call->body) != 1 || !yyjson_is_str(name) ||
	    yyjson_get_len(name) >= sizeof(realm.name) ||
	    !config_host_label_ok(yyjson_get_str(name), yyjson_get_len(name))) {
		refuse(call, "name", "must be a host name label in lower case, and nothing else is needed");
		return;
	}
	strcpy(realm.name, yyjson_get_str(name));
	if (tokens_find_realm(call->control->tokens, realm.name)) {
		api_reply_error(call, 409, "exists", "name", "there is a realm of this name");
		return;
	}
	ret = tokens_put_realm(call->control, &realm);
	if (ret) {
		reply_error(call, ret, "realms", REALMS_MAX);
		return;
	}
	document = yyjson_mut_doc_new(NULL);
	api_reply_data(call, 201, document, realm_json(call->control, document, &realm));
}

static void realms_delete(struct api_call *call)
{
	struct control *control = call->control;
	int ret;

	if (!tokens_find_realm(control->tokens, call->name)) {
		api_reply_error(call, 404, "not_found", NULL, "there is no realm of this name");
		return;
	}
	if (containers_of(control, call->name) || tokens_of(control, call->name)) {
		api_reply_error(call, 409, "in_use", NULL,
				"%zu containers and %zu tokens belong to it; delete or move them first",
				containers_of(control, call->name), tokens_of(control, call->name));
		return;
	}
	ret = tokens_delete_realm(control, call->name);
	if (ret)
		reply_error(call, ret, "realms", REALMS_MAX);
	else
		reply_deleted(call, "name");
}

const struct api_route api_tokens_routes[] = {
	{ "GET", "/api/v1/tokens", API_BODY_NONE, NULL, list },
	{ "POST", "/api/v1/tokens", API_BODY_REQUIRED, NULL, create },
	{ "PATCH", "/api/v1/tokens/{name}", API_BODY_REQUIRED, NULL, change },
	{ "DELETE", "/api/v1/tokens/{name}", API_BODY_NONE, NULL, delete },
	{ "GET", "/api/v1/realms", API_BODY_NONE, NULL, realms_list },
	{ "POST", "/api/v1/realms", API_BODY_REQUIRED, NULL, realms_create },
	{ "DELETE", "/api/v1/realms/{name}", API_BODY_NONE, NULL, realms_delete },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
