// SPDX-License-Identifier: Apache-2.0
/* The calls about aliases; a token of a realm has those of the realm's containers. */
#include "control/aliases.h"
#include "control/api.h"
#include "control/container_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static yyjson_mut_val *alias_json(const struct control *control, yyjson_mut_doc *document,
				  const struct alias *alias)
{
	const struct image_settings *settings = &control->config->settings;
	yyjson_mut_val *object = yyjson_mut_obj(document);
	char text[64 + IMAGE_NAME_MAX + IMAGE_DOMAIN_MAX + 2];

	yyjson_mut_obj_add_strcpy(document, object, "alias", alias->name);
	id_format(alias->container, text);
	yyjson_mut_obj_add_strcpy(document, object, "container_id", text);
	yyjson_mut_obj_add_strcpy(document, object, "program", alias->service);
	yyjson_mut_obj_add_uint(document, object, "index", alias->instance);
	snprintf(text, sizeof(text), "%s.%s.%s", alias->name, settings->node, settings->base_domain);
	yyjson_mut_obj_add_strcpy(document, object, "host", text);
	if (alias->domain[0])
		yyjson_mut_obj_add_strcpy(document, object, "domain", alias->domain);
	else
		yyjson_mut_obj_add_null(document, object, "domain");
	container_format_time(alias->created_at, text);
	yyjson_mut_obj_add_strcpy(document, object, "created_at", text);
	return object;
}

static int refuse(struct api_call *call, const char *field, const char *message)
{
	api_reply_error(call, 422, "invalid_value", field, "%s", message);
	return -1;
}

static bool visible(const struct api_call *call, const struct alias *alias)
{
	const struct container *container = model_find(call->control->model, alias->container);

	return container && (!call->realm[0] || !strcmp(container->realm, call->realm));
}

static void list(struct api_call *call)
{
	const struct aliases *aliases = call->control->aliases;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_arr(document);

	for (size_t i = 0; i < aliases->count; i++) {
		if (visible(call, &aliases->list[i]))
			yyjson_mut_arr_append(data, alias_json(call->control, document,
							       &aliases->list[i]));
	}
	api_reply_page(call, document, data, NULL);
}

/* A name of this host cannot be somebody's own domain. */
static bool is_ours(const struct control *control, const char *domain)
{
	const char *base = control->config->settings.base_domain;
	size_t len = strlen(domain), tail = strlen(base);

	return len >= tail && !strcmp(domain + len - tail, base) &&
	       (len == tail || domain[len - tail - 1] == '.');
}

static int take_domain(struct api_call *call, yyjson_val *value, struct alias *alias)
{
	const char *text = yyjson_get_str(value);

	if (!value || yyjson_is_null(value))
		return 0;
	if (!text || strlen(text) != yyjson_get_len(value) || !config_host_name_ok(text) ||
	    !strchr(text, '.'))
		return refuse(call, "domain", "must be a domain name in lower case");
	if (is_ours(call->control, text))
		return refuse(call, "domain", "is below this host's own base domain");
	if (aliases_find_domain(call->control->aliases, text)) {
		api_reply_error(call, 409, "exists", "domain", "another alias has this domain");
		return -1;
	}
	strcpy(alias->domain, text);
	return 0;
}

static int take_target(struct api_call *call, struct alias *alias)
{
	yyjson_val *container = yyjson_obj_get(call->body, "container_id");
	yyjson_val *program = yyjson_obj_get(call->body, "program");
	yyjson_val *index = yyjson_obj_get(call->body, "index");

	if (!yyjson_is_str(container) ||
	    id_parse(yyjson_get_str(container), yyjson_get_len(container), alias->container))
		return refuse(call, "container_id", "must be 24 hexadecimal digits");
	if (!visible(call, alias)) {
		api_reply_error(call, 404, "not_found", "container_id",
				"there is no container with this id");
		return -1;
	}
	if (!yyjson_is_str(program) || yyjson_get_len(program) >= sizeof(alias->service) ||
	    !config_service_name_ok(yyjson_get_str(program), yyjson_get_len(program)))
		return refuse(call, "program", "must be the name of a service, such as http");
	strcpy(alias->service, yyjson_get_str(program));
	if (!yyjson_is_uint(index) || !yyjson_get_uint(index) || yyjson_get_uint(index) > 65535)
		return refuse(call, "index", "must be a number from 1 to 65535");
	alias->instance = (uint16_t)yyjson_get_uint(index);
	return 0;
}

static int take_name(struct api_call *call, struct alias *alias)
{
	yyjson_val *name = yyjson_obj_get(call->body, "alias");

	if (!yyjson_is_str(name) || yyjson_get_len(name) >= sizeof(alias->name) ||
	    !config_host_label_ok(yyjson_get_str(name), yyjson_get_len(name)))
		return refuse(call, "alias", "must be a host name label in lower case");
	/* Such a label is read as the route that it spells. */
	if (yyjson_get_len(name) > 2 * ID_TEXT_LEN)
		return refuse(call, "alias", "must be at most 48 characters");
	strcpy(alias->name, yyjson_get_str(name));
	if (aliases_find(call->control->aliases, alias->name)) {
		api_reply_error(call, 409, "exists", "alias", "there is an alias of this name");
		return -1;
	}
	return 0;
}

static int check_fields(struct api_call *call)
{
	static const char *const known[] = { "container_id", "alias", "program", "index", "domain" };
	yyjson_val *key, *value;
	size_t i, max;

	yyjson_obj_foreach(call->body, i, max, key, value) {
		size_t k = 0;

		while (k < sizeof(known) / sizeof(known[0]) && !yyjson_equals_str(key, known[k]))
			k++;
		if (k < sizeof(known) / sizeof(known[0]))
			continue;
		api_reply_error(call, 422, "unknown_field", yyjson_get_str(key),
				"this call knows no field of this name");
		return -1;
	}
	return 0;
}

/* Every worker leads the name to the container. */
static void on_created(void *context)
{
	struct api_call *call = context;
	const struct alias *alias = aliases_find(call->control->aliases, call->name);
	yyjson_mut_doc *document;

	if (!alias) {
		api_reply_error(call, 409, "deleted", NULL,
				"this alias was deleted by another call meanwhile");
		return;
	}
	document = yyjson_mut_doc_new(NULL);
	api_reply_data(call, 201, document, alias_json(call->control, document, alias));
}

static void reply_error(struct api_call *call, int error)
{
	if (error == -ENOSPC && call->control->aliases->count == ALIASES_MAX)
		api_reply_error(call, 507, "full", NULL, "there are %d aliases, more cannot be kept",
				ALIASES_MAX);
	else
		api_reply_not_stored(call, error, "");
}

static void create(struct api_call *call)
{
	struct alias alias = { .created_at = time(NULL) };
	int ret;

	if (check_fields(call) || take_name(call, &alias) || take_target(call, &alias) ||
	    take_domain(call, yyjson_obj_get(call->body, "domain"), &alias))
		return;
	ret = aliases_add(call->control, &alias);
	if (ret) {
		reply_error(call, ret);
		return;
	}
	snprintf(call->name, sizeof(call->name), "%s", alias.name);
	api_reply_published(call, on_created);
}

static void on_deleted(void *context)
{
	struct api_call *call = context;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);

	yyjson_mut_obj_add_strcpy(document, data, "alias", call->name);
	yyjson_mut_obj_add_bool(document, data, "deleted", true);
	api_reply_data(call, 200, document, data);
}

static void delete(struct api_call *call)
{
	const struct alias *alias = aliases_find(call->control->aliases, call->name);
	int ret;

	if (!alias || !visible(call, alias)) {
		api_reply_error(call, 404, "not_found", NULL, "there is no alias of this name");
		return;
	}
	ret = aliases_delete(call->control, call->name);
	if (ret) {
		reply_error(call, ret);
		return;
	}
	api_reply_published(call, on_deleted);
}

const struct api_route api_aliases_routes[] = {
	{ "GET", "/api/v1/proxy/aliases", API_BODY_NONE, NULL, list },
	{ "POST", "/api/v1/proxy/aliases", API_BODY_REQUIRED, NULL, create },
	{ "DELETE", "/api/v1/proxy/aliases/{name}", API_BODY_NONE, NULL, delete },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
