// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about containers: list, register, show, change, delete, start,
 * stop. A call that changes something answers when change.h says that it holds.
 */
#include "control/api.h"
#include "control/change.h"
#include "control/container_json.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_DEFAULT	100
#define PAGE_MAX	1000
#define CHANGEABLE	(CONTAINER_NAME | CONTAINER_REALM | CONTAINER_CGROUP | CONTAINER_NETDEV | \
			 CONTAINER_ADDRESSES | CONTAINER_PORTS | CONTAINER_GATEWAY)

static void reply_container(struct api_call *call, int status, const struct container *container)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);

	api_reply_data(call, status, document,
		       container_to_json(call->control, container, document));
}

/* A change holds everywhere; the container is shown as it is now. */
static void on_changed(void *context)
{
	struct api_call *call = context;
	const struct container *container = model_find(call->control->model, call->answer_id);

	if (container)
		reply_container(call, call->answer_status, container);
	else
		api_reply_error(call, 409, "deleted", NULL,
				"this container was deleted by another call meanwhile");
}

static void on_deleted(void *context)
{
	struct api_call *call = context;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);
	char id[ID_TEXT_LEN + 1];

	id_format(call->answer_id, id);
	yyjson_mut_obj_add_strcpy(document, data, "id", id);
	yyjson_mut_obj_add_bool(document, data, "deleted", true);
	api_reply_data(call, 200, document, data);
}

static void reply_change_error(struct api_call *call, int error)
{
	if (error == -ENOSPC && model_containers_count(call->control->model) >= MODEL_CONTAINERS_MAX)
		api_reply_error(call, 507, "full", NULL, "there are %d containers, more cannot be kept",
				MODEL_CONTAINERS_MAX);
	else if (error == -ECANCELED)
		api_reply_error(call, 409, "not_enforceable", NULL, "nothing has changed: %s",
				call->control->refusal);
	else
		api_reply_not_stored(call, error, "the database cannot grow");
}

/* An address that is another container's; 0 or -1 with @fault. */
static int check_addresses(const struct control *control, const struct container *container,
			   struct container_fault *fault)
{
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		const struct container *owner =
			model_find_address(control->model, &container->addresses[i]);
		char field[32], id[ID_TEXT_LEN + 1];

		if (!owner || !memcmp(owner->id, container->id, ID_LEN))
			continue;
		snprintf(field, sizeof(field), "addresses[%u]", i);
		id_format(owner->id, id);
		return container_fault_set(fault, 409, "address_in_use", field,
					   "belongs to container %s", id);
	}
	return 0;
}

/* What a running container needs on this host, and its cgroup's number. */
static int check_running(const struct control *control, struct container *container,
			 struct container_fault *fault)
{
	int ret;

	container->cgroup_id = 0;
	if (!container->running)
		return 0;
	if (!container->addresses_count)
		return container_fault_set(fault, 422, "missing_field", "addresses",
					   "a running container needs an address");
	if (container->netdev[0] && !if_nametoindex(container->netdev))
		return container_fault_set(fault, 422, "invalid_value", "netdev",
					   "there is no network interface %s", container->netdev);
	if (!container->cgroup)
		return 0;
	ret = cgroup_resolve(&control->cgroups, container->cgroup, &container->cgroup_id);
	if (ret)
		return container_fault_set(fault, 422, "invalid_value", "cgroup",
					   "%s cannot be found below %s: %s", container->cgroup,
					   control->cgroups.fd < 0 ? "(no cgroup2 is mounted)" :
								     control->cgroups.path,
					   strerror(-ret));
	return 0;
}

/* Checks what @container has become against the host and stores it; takes it over. */
static void submit(struct api_call *call, struct container *container, int status)
{
	struct container_fault fault = { 0 };
	int ret;

	if (check_running(call->control, container, &fault) ||
	    check_addresses(call->control, container, &fault)) {
		container_free(container);
		api_reply_fault(call, &fault);
		return;
	}
	container->updated_at = time(NULL);
	memcpy(call->answer_id, container->id, ID_LEN);
	call->answer_status = status;
	ret = change_put(call->control, container, on_changed, call);
	if (ret)
		reply_change_error(call, ret);
}

/* A copy of @container with the fields of the body; NULL: answered. */
static struct container *changed_copy(struct api_call *call, const struct container *container,
				      unsigned int accepted)
{
	struct container *copy = container_copy(container);
	struct container_fault fault = { 0 };

	if (!copy) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return NULL;
	}
	if (call->body && container_from_json(copy, call->body, accepted, &fault)) {
		container_free(copy);
		api_reply_fault(call, &fault);
		return NULL;
	}
	return copy;
}

/* limit= and cursor=; 0, or -1 where the call has been answered. */
static int parse_page(struct api_call *call, size_t *start, size_t *limit)
{
	const char *text = api_query(call, "limit"), *cursor = api_query(call, "cursor");
	uint8_t id[ID_LEN];

	*start = 0;
	*limit = PAGE_DEFAULT;
	if (text) {
		char *rest;
		unsigned long value = strtoul(text, &rest, 10);

		if (*rest || text[0] < '0' || text[0] > '9' || value < 1 || value > PAGE_MAX) {
			api_reply_error(call, 422, "invalid_value", "limit",
					"is no number from 1 to %d", PAGE_MAX);
			return -1;
		}
		*limit = value;
	}
	if (cursor) {
		if (id_parse(cursor, strlen(cursor), id)) {
			api_reply_error(call, 422, "invalid_value", "cursor",
					"is not what next_cursor of an earlier answer was");
			return -1;
		}
		*start = model_index_after(call->control->model, id);
	}
	return 0;
}

static void list(struct api_call *call)
{
	const struct model *model = call->control->model;
	char cursor[ID_TEXT_LEN + 1];
	yyjson_mut_doc *document;
	yyjson_mut_val *data;
	size_t start, limit, end;

	if (parse_page(call, &start, &limit))
		return;
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_arr(document);
	end = model_containers_count(model);
	if (end > start + limit)
		end = start + limit;
	for (size_t i = start; i < end; i++) {
		const struct container *container = model_container_at(model, i);

		if (!call->realm[0] || !strcmp(container->realm, call->realm))
			yyjson_mut_arr_append(data, container_to_json(call->control, container,
								      document));
	}
	if (end > start && end < model_containers_count(model)) {
		id_format(model_container_at(model, end - 1)->id, cursor);
		api_reply_page(call, document, data, cursor);
	} else {
		api_reply_page(call, document, data, NULL);
	}
}

/*
 * Where on the host a container is, by address, cgroup and interface, is for the
 * host to say: a token of a realm could name what is another's.
 */
static bool refuse_realm(struct api_call *call)
{
	if (!call->realm[0])
		return false;
	api_reply_error(call, 403, "host_only", NULL,
			"containers are registered by the host, not with a token of a realm");
	return true;
}

static void create(struct api_call *call)
{
	const struct model *model = call->control->model;
	struct container fresh = { 0 }, *copy;
	const struct container *known;
	struct container_fault fault = { 0 };

	if (refuse_realm(call))
		return;
	if (container_ids_from_json(call->body, fresh.id, fresh.project, &fault)) {
		api_reply_fault(call, &fault);
		return;
	}
	if (!memcmp(fresh.id, IMAGE_CONTROL_ID, ID_LEN)) {
		api_reply_error(call, 422, "invalid_value", "id", "is kept for the control API");
		return;
	}
	if (model_find_tombstone(model, fresh.id)) {
		api_reply_error(call, 409, "deleted", "id",
				"a container with this id was deleted; ids are never used again");
		return;
	}
	known = model_find(model, fresh.id);
	if (known && memcmp(known->project, fresh.project, ID_LEN)) {
		api_reply_error(call, 409, "other_project", "project",
				"the container belongs to another project");
		return;
	}
	fresh.created_at = time(NULL);
	copy = changed_copy(call, known ? known : &fresh, CONTAINER_ID | CONTAINER_PROJECT | CHANGEABLE);
	if (copy)
		submit(call, copy, known ? 200 : 201);
}

static void show(struct api_call *call)
{
	const struct container *container = api_container(call);

	if (container)
		reply_container(call, 200, container);
}

static void update(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct container *copy;

	if (!container)
		return;
	copy = changed_copy(call, container,
			    call->realm[0] ? CONTAINER_NAME | CONTAINER_PORTS : CHANGEABLE);
	if (copy)
		submit(call, copy, 200);
}

static void delete(struct api_call *call)
{
	const struct container *container = api_container(call);
	int ret;

	if (!container)
		return;
	memcpy(call->answer_id, container->id, ID_LEN);
	ret = change_delete(call->control, container, on_deleted, call);
	if (ret)
		reply_change_error(call, ret);
}

static void start(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct container *copy;

	if (!container)
		return;
	copy = changed_copy(call, container, call->realm[0] ? 0 :
			    CONTAINER_CGROUP | CONTAINER_NETDEV | CONTAINER_ADDRESSES);
	if (!copy)
		return;
	copy->running = true;
	submit(call, copy, 200);
}

static void stop(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct container *copy;

	if (!container)
		return;
	copy = changed_copy(call, container, 0);
	if (!copy)
		return;
	copy->running = false;
	submit(call, copy, 200);
}

const struct api_route api_containers_routes[] = {
	{ "GET", "/api/v1/containers", API_BODY_NONE, "limit cursor", list },
	{ "POST", "/api/v1/containers", API_BODY_REQUIRED, NULL, create },
	{ "GET", "/api/v1/containers/{id}", API_BODY_NONE, NULL, show },
	{ "PATCH", "/api/v1/containers/{id}", API_BODY_REQUIRED, NULL, update },
	{ "DELETE", "/api/v1/containers/{id}", API_BODY_NONE, NULL, delete },
	{ "POST", "/api/v1/containers/{id}/start", API_BODY_OPTIONAL, NULL, start },
	{ "POST", "/api/v1/containers/{id}/stop", API_BODY_OPTIONAL, NULL, stop },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
