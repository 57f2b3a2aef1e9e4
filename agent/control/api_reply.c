// SPDX-License-Identifier: Apache-2.0
/* Ends of calls that several resources have in common, see api.h. */
#include "control/api.h"
#include "control/container_json.h"
#include "control/publish.h"

#include <errno.h>
#include <string.h>

struct container *api_container(struct api_call *call)
{
	struct container *container = model_find(call->control->model, call->id);

	if (container)
		return container;
	if (model_find_tombstone(call->control->model, call->id))
		api_reply_error(call, 404, "deleted", NULL, "this container has been deleted");
	else
		api_reply_error(call, 404, "not_found", NULL, "there is no container with this id");
	return NULL;
}

void api_reply_fault(struct api_call *call, const struct container_fault *fault)
{
	api_reply_error(call, fault->status, fault->code, fault->field[0] ? fault->field : NULL,
			"%s", fault->message);
}

void api_reply_refused(struct api_call *call, const char *field, const char *message)
{
	api_reply_error(call, 422, strstr(message, "not a known field") ? "unknown_field" :
									   "invalid_value",
			field, "%s", message);
}

void api_reply_not_stored(struct api_call *call, int error, const char *full)
{
	const char *why = db_fault(call->control->db);

	switch (error) {
	case -ENOSPC:
		api_reply_error(call, 507, "full", NULL, "there is no room for more: %s",
				*why ? why : full);
		break;
	case -ENOMEM:
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		break;
	default:
		api_reply_error(call, 500, "internal", NULL, "nothing has changed: %s",
				*why ? why : strerror(-error));
		break;
	}
}

void api_reply_items(struct api_call *call, const char *key, const void *items, unsigned int count,
		     yyjson_mut_val *(*item)(yyjson_mut_doc *document, const void *items,
					     unsigned int number))
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, data, key);

	if (!list) {
		yyjson_mut_doc_free(document);
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		yyjson_mut_arr_append(list, item(document, items, i));
	api_reply_data(call, 200, document, data);
}

void api_reply_published(struct api_call *call, void (*reply)(void *call))
{
	/* It will hold, though without memory nobody waits for it. */
	if (publish_request(call->control->publisher, reply, call))
		reply(call);
}
