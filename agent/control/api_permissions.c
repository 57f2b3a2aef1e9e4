// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about permissions: show, replace (PUT) and change (PATCH) those of a
 * project or of a container. An answer to a change means that it holds in every
 * worker, and that connections which it forbids have been cut.
 */
#include "control/api.h"
#include "control/permission_store.h"
#include "control/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Hashing one takes some 20 ms of the only thread. */
#define NEW_PASSWORDS_MAX	16

static enum db_level level_of(const struct api_call *call)
{
	return strstr(call->request->path, "/projects/") ? DB_LEVEL_PROJECT : DB_LEVEL_CONTAINER;
}

/*
 * The project that the body may name: for a container its own. NULL where the
 * call has been answered.
 */
static const uint8_t *project_of(struct api_call *call)
{
	const struct container *container;

	if (level_of(call) == DB_LEVEL_PROJECT)
		return call->id;
	container = api_container(call);
	return container ? container->project : NULL;
}

static void reply(struct api_call *call)
{
	static const struct permissions nothing;
	const struct permission_entry *entry;
	bool is_container = level_of(call) == DB_LEVEL_CONTAINER;
	/* Where it says NULL the call is over and gone. */
	const uint8_t *project = project_of(call);
	yyjson_mut_doc *document;
	yyjson_doc *shown;
	char *text;

	if (!project)
		return;
	entry = permission_store_find(call->control->permissions, level_of(call), call->id);
	text = permissions_format(entry ? entry->model : &nothing, PERMISSIONS_SHOW, project,
				  is_container ? call->id : NULL);
	shown = text ? yyjson_read(text, strlen(text), 0) : NULL;
	document = shown ? yyjson_mut_doc_new(NULL) : NULL;
	free(text);
	if (!document) {
		yyjson_doc_free(shown);
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	api_reply_data(call, 200, document,
		       yyjson_val_mut_copy(document, yyjson_doc_get_root(shown)));
	yyjson_doc_free(shown);
}

static void on_published(void *context)
{
	reply(context);
}

/* The body as a model; NULL where the call has been answered. */
static struct permissions *read_body(struct api_call *call, const uint8_t *project, bool patch)
{
	const struct permission_store *store = call->control->permissions;
	const struct permission_entry *entry = permission_store_find(store, level_of(call),
								     call->id);
	const struct permissions_source source = {
		.actions = permission_store_actions(store),
		.existing = entry ? entry->model : NULL,
		.project = project,
		.container = level_of(call) == DB_LEVEL_CONTAINER ? call->id : NULL,
		.jwks_load = permission_store_jwks_load,
		.jwks_context = call->control->permissions,
	};
	struct permissions_error error = { .field = "" };
	struct permissions *model;
	unsigned int passwords = 0;

	model = (patch ? permissions_patch : permissions_parse)(
		call->request->body, call->request->body_len, &source, &error);
	if (!model && errno == ENOMEM) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return NULL;
	}
	if (!model) {
		api_reply_refused(call, error.field[0] ? error.field : NULL, error.message);
		return NULL;
	}
	for (unsigned int i = 0; i < model->groups_count; i++)
		passwords += model->groups[i].password != NULL;
	if (passwords > NEW_PASSWORDS_MAX) {
		permissions_free(model);
		api_reply_error(call, 422, "invalid_value", "groups",
				"has more than %d new passwords; send the others in a second call",
				NEW_PASSWORDS_MAX);
		return NULL;
	}
	return model;
}

static void reply_store_error(struct api_call *call, int error)
{
	if (error == E2BIG)
		api_reply_error(call, 422, "invalid_value", "groups",
				"together have more than %d different keys, or are too large",
				BLOB_KEYS_MAX);
	else
		api_reply_not_stored(call, -error, "too many permissions");
}

/* Compiled, then committed, then everywhere. @model is taken over. 0 or an errno. */
static int store(struct api_call *call, struct permissions *model)
{
	struct control *control = call->control;
	struct permission_entry *entry = NULL;
	enum db_level level = level_of(call);
	char *text = NULL;
	int ret = 0;

	if (permissions_empty(model)) {
		permissions_free(model);
	} else {
		ret = -permissions_seal(model);
		if (!ret) {
			text = permissions_format(model, PERMISSIONS_STORE, NULL, NULL);
			ret = text ? 0 : ENOMEM;
		}
		if (!ret) {
			entry = permission_store_prepare(control->permissions, level, call->id,
							 model);
			ret = entry ? 0 : errno;
		}
		if (ret)
			permissions_free(model);
	}
	if (!ret)
		ret = -db_put_permissions(control->db, level, call->id, text);
	if (ret)
		permission_entry_free(entry);
	else if (entry)
		permission_store_commit(control->permissions, entry);
	else
		permission_store_remove(control->permissions, level, call->id);
	secret_free(text);
	return ret;
}

static void change(struct api_call *call, bool patch)
{
	const uint8_t *project = project_of(call);
	struct permissions *model = project ? read_body(call, project, patch) : NULL;
	int ret;

	if (!model)
		return;
	ret = store(call, model);
	if (ret) {
		reply_store_error(call, ret);
		return;
	}
	/* Committed: it will hold, though without memory nobody waits for it. */
	if (publish_request(call->control->publisher, on_published, call))
		reply(call);
}

static void replace(struct api_call *call)
{
	change(call, false);
}

static void patch(struct api_call *call)
{
	change(call, true);
}

#define CONTAINER_PATTERN	"/api/v1/containers/{id}/proxy/permissions"
#define PROJECT_PATTERN		"/api/v1/projects/{id}/proxy/permissions"

const struct api_route api_permissions_routes[] = {
	{ "GET", CONTAINER_PATTERN, API_BODY_NONE, NULL, reply },
	{ "PUT", CONTAINER_PATTERN, API_BODY_REQUIRED, NULL, replace },
	{ "PATCH", CONTAINER_PATTERN, API_BODY_REQUIRED, NULL, patch },
	{ "GET", PROJECT_PATTERN, API_BODY_NONE, NULL, reply },
	{ "PUT", PROJECT_PATTERN, API_BODY_REQUIRED, NULL, replace },
	{ "PATCH", PROJECT_PATTERN, API_BODY_REQUIRED, NULL, patch },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
