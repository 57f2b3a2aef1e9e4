// SPDX-License-Identifier: Apache-2.0
/*
 * The calls of a reload of the kernel module (module.h), for the command on this host:
 * its other half, freezing and loading, can be done nowhere else. All answer alike.
 *
 *	POST /api/v1/module/reload {"keep"}	it begins
 *	GET /api/v1/module?number=N		may the module go? asked until it may, and in
 *						no audit trail
 *	POST /api/v1/module/release {"number"}	it goes
 *	POST /api/v1/module/resume		it is over; who may be thawed? asked again
 *						afterwards, it strikes off who runs
 */
#include "control/api.h"
#include "control/feature.h"
#include "control/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add_text(yyjson_mut_doc *document, yyjson_mut_val *object, const char *key,
		     const char *text)
{
	if (text && *text)
		yyjson_mut_obj_add_strcpy(document, object, key, text);
	else
		yyjson_mut_obj_add_null(document, object, key);
}

static void add_hold(const struct control *control, yyjson_mut_doc *document, yyjson_mut_val *list,
		     const struct module_hold *hold)
{
	const struct container *container = model_find(control->model, hold->id);
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, list);
	struct freezer_state state = { 0 };
	char id[ID_TEXT_LEN + 1];
	const char *reason;
	bool thaw = module_may_thaw(control, hold, &reason);

	if (container && container->cgroup)
		freezer_read(&control->cgroups, container->cgroup, hold->cgroup, &state);
	id_format(hold->id, id);
	yyjson_mut_obj_add_strcpy(document, object, "container", id);
	add_text(document, object, "name", container ? container->name : NULL);
	add_text(document, object, "cgroup", container ? container->cgroup : NULL);
	yyjson_mut_obj_add_uint(document, object, "cgroup_id", hold->cgroup);
	yyjson_mut_obj_add_bool(document, object, "frozen_before", hold->before);
	yyjson_mut_obj_add_bool(document, object, "frozen", state.frozen);
	yyjson_mut_obj_add_bool(document, object, "thaw", thaw);
	add_text(document, object, "reason", thaw ? NULL : reason);
}

void api_module_add(const struct control *control, yyjson_mut_doc *document, yyjson_mut_val *data,
		    const char *key)
{
	yyjson_mut_val *list = yyjson_mut_arr(document);
	const struct id_table *table = &control->module->holds->table;

	yyjson_mut_obj_add_val(document, data, key, list);
	for (size_t i = 0; i < table->count; i++)
		add_hold(control, document, list, table->list[i]);
}

static void reply(void *context)
{
	static const char *const phases[] = {
		[MODULE_IDLE] = "idle",
		[MODULE_DRAINING] = "draining",
		[MODULE_RELEASED] = "released",
	};
	struct api_call *call = context;
	const struct control *control = call->control;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);
	const struct module *module = control->module;
	bool there = control->knl && knl_state(control->knl) == KNL_READY;

	yyjson_mut_obj_add_str(document, data, "phase", phases[module->phase]);
	yyjson_mut_obj_add_uint(document, data, "number", module->number);
	add_text(document, data, "version", there ? knl_info(control->knl)->version : NULL);
	yyjson_mut_obj_add_uint(document, data, "connections", module_connections(control));
	yyjson_mut_obj_add_strcpy(document, data, "mount", control->cgroups.path);
	api_module_add(control, document, data, "containers");
	api_reply_data(call, 200, document, data);
}

/* 0, or the call has been answered. */
static int check_local(struct api_call *call)
{
	if (call->client.family == AF_UNSPEC)
		return 0;
	api_reply_error(call, 403, "forbidden", NULL,
			"the module can be reloaded on its host only, by the control socket");
	return -1;
}

/* The one field that a body may have, or NULL; -1 where the call has been answered. */
static int take_field(struct api_call *call, const char *name, yyjson_val **value)
{
	yyjson_val *key, *other;
	size_t i, max;

	*value = yyjson_obj_get(call->body, name);
	if (yyjson_obj_size(call->body) == (*value ? 1 : 0))
		return 0;
	yyjson_obj_foreach(call->body, i, max, key, other) {
		if (!yyjson_equals_str(key, name))
			break;
	}
	api_reply_error(call, 422, "unknown_field", yyjson_get_str(key),
			"this call knows no field of this name");
	return -1;
}

static void begin(struct api_call *call)
{
	struct control *control = call->control;
	char fault[400];
	yyjson_val *keep;
	int ret;

	if (check_local(call) || take_field(call, "keep", &keep))
		return;
	if (keep && !yyjson_is_bool(keep)) {
		api_reply_error(call, 422, "invalid_value", "keep", "must be true or false");
		return;
	}
	ret = module_begin(control, yyjson_is_true(keep), fault, sizeof(fault));
	if (ret) {
		api_reply_error(call, ret == -EBUSY ? 409 : 500,
				ret == -EBUSY ? "profiles_attached" : "failed", NULL, "%s", fault);
		return;
	}
	/* From then on no worker opens another socket that holds the module. */
	api_reply_published(call, reply);
}

static void reply_released(struct api_call *call, int ret, const char *fault)
{
	const char *code = ret == -ENOENT      ? "no_reload" :
			   ret == -EINPROGRESS ? "connections_open" :
			   ret == -EAGAIN      ? "not_frozen" :
			   ret == -EPERM       ? "traced" :
			   ret == -ESTALE      ? "changed" : "failed";

	if (ret)
		api_reply_error(call, 409, code, NULL, "%s", fault);
	else
		reply(call);
}

static void release(struct api_call *call)
{
	yyjson_val *number;
	char fault[400];
	int ret;

	if (check_local(call) || take_field(call, "number", &number))
		return;
	if (!yyjson_is_uint(number)) {
		api_reply_error(call, 422, "invalid_value", "number",
				"must be the number that the beginning of the reload gave");
		return;
	}
	ret = module_release(call->control, yyjson_get_uint(number), fault, sizeof(fault));
	reply_released(call, ret, fault);
}

static void resume(struct api_call *call)
{
	if (check_local(call))
		return;
	module_resume(call->control);
	/* Memory that was merged is marked again, now that its containers are known. */
	features_tick(call->control);
	reply(call);
}

/* What is, and with a reload's number whether the module may go: an error says why not. */
static void show(struct api_call *call)
{
	const char *number = api_query(call, "number");
	char fault[400];
	int ret;

	if (!number) {
		reply(call);
		return;
	}
	if (check_local(call))
		return;
	ret = module_check(call->control, strtoull(number, NULL, 10), fault, sizeof(fault));
	reply_released(call, ret, fault);
}

const struct api_route api_module_routes[] = {
	{ "GET", "/api/v1/module", API_BODY_NONE, "number", show },
	{ "POST", "/api/v1/module/reload", API_BODY_OPTIONAL, NULL, begin },
	{ "POST", "/api/v1/module/release", API_BODY_REQUIRED, NULL, release },
	{ "POST", "/api/v1/module/resume", API_BODY_NONE, NULL, resume },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
