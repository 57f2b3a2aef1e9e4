// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about memory merging: what a container asks for and has of it, and
 * the whole host at a glance. A change answers when it is stored; the module
 * works it off in the background, and "state" tells how far it is.
 */
#include "control/api.h"
#include "control/ksm.h"

#include <errno.h>
#include <string.h>

static void add_pages(yyjson_mut_doc *document, yyjson_mut_val *data, const struct ksm *ksm,
		      const struct ksm_entry *entry)
{
	const uint64_t *count = entry->kernel.count;
	yyjson_mut_val *object;
	struct ksm_gain gain;

	ksm_gain_of(&ksm->host, entry, &gain);
	object = yyjson_mut_obj_add_obj(document, data, "processes");
	yyjson_mut_obj_add_uint(document, object, "total", count[HOODY_KSM_PROCESSES]);
	yyjson_mut_obj_add_uint(document, object, "excluded", count[HOODY_KSM_NAMED]);
	yyjson_mut_obj_add_uint(document, object, "left", count[HOODY_KSM_LEFT]);
	yyjson_mut_obj_add_uint(document, object, "busy", count[HOODY_KSM_BUSY]);
	object = yyjson_mut_obj_add_obj(document, data, "pages");
	yyjson_mut_obj_add_uint(document, object, "merged", count[HOODY_KSM_PAGES]);
	yyjson_mut_obj_add_uint(document, object, "zero", count[HOODY_KSM_ZERO_PAGES]);
	yyjson_mut_obj_add_uint(document, object, "tracked", count[HOODY_KSM_ITEMS]);
	object = yyjson_mut_obj_add_obj(document, data, "bytes");
	yyjson_mut_obj_add_uint(document, object, "saved", gain.saved);
	yyjson_mut_obj_add_uint(document, object, "zero", gain.zero);
	yyjson_mut_obj_add_uint(document, object, "metadata", gain.metadata);
	yyjson_mut_obj_add_int(document, object, "net", gain.net);
}

static yyjson_mut_val *entry_to_json(const struct control *control, const uint8_t id[ID_LEN],
				     yyjson_mut_doc *document)
{
	static const struct ksm_entry nothing;
	const struct ksm_entry *entry = ksm_find(control->ksm, id);
	yyjson_mut_val *data = yyjson_mut_obj(document), *names;
	char text[ID_TEXT_LEN + 1], reason[256];
	const char *state;

	id_format(id, text);
	state = ksm_state_of(control, entry, reason, sizeof(reason));
	entry = entry ?: &nothing;
	yyjson_mut_obj_add_strcpy(document, data, "container", text);
	yyjson_mut_obj_add_str(document, data, "mode", entry->on ? "on" : "off");
	names = yyjson_mut_obj_add_arr(document, data, "exclude");
	for (unsigned int i = 0; i < entry->names_count; i++)
		yyjson_mut_arr_add_strcpy(document, names, entry->names[i]);
	yyjson_mut_obj_add_str(document, data, "state", state);
	if (reason[0])
		yyjson_mut_obj_add_strcpy(document, data, "reason", reason);
	else
		yyjson_mut_obj_add_null(document, data, "reason");
	add_pages(document, data, control->ksm, entry);
	return data;
}

static void reply(struct api_call *call)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);

	if (!document) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	api_reply_data(call, 200, document, entry_to_json(call->control, call->id, document));
}

static void show(struct api_call *call)
{
	if (!api_container(call))
		return;
	ksm_refresh(call->control);
	reply(call);
}

static void replace(struct api_call *call)
{
	struct ksm_entry wanted = { 0 };
	const char *field, *message;
	char fault[256] = "";
	int ret;

	if (!api_container(call))
		return;
	memcpy(wanted.id, call->id, ID_LEN);
	if (ksm_entry_parse(call->body, &wanted, &field, &message)) {
		api_reply_error(call, 422,
				strstr(message, "known") ? "unknown_field" : "invalid_value", field,
				"%s", message);
		return;
	}
	ret = ksm_store(call->control, &wanted, fault, sizeof(fault));
	switch (ret) {
	case 0:
		reply(call);
		break;
	case -EBUSY:
		api_reply_error(call, 409, "domain_busy", "mode", "%s", fault);
		break;
	default:
		api_reply_not_stored(call, ret, "");
		break;
	}
}

static void show_host(struct api_call *call)
{
	const struct ksm *ksm = call->control->ksm;
	const struct ksm_host *host = &ksm->host;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data, *object, *list;

	if (!document) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	ksm_refresh(call->control);
	data = yyjson_mut_obj(document);
	object = yyjson_mut_obj_add_obj(document, data, "scanner");
	yyjson_mut_obj_add_bool(document, object, "running", host->engaged);
	yyjson_mut_obj_add_uint(document, object, "pages_to_scan", host->pages_to_scan);
	yyjson_mut_obj_add_real(document, object, "cpu_percent", host->cpu_percent);
	yyjson_mut_obj_add_uint(document, object, "cpu_budget_percent",
				call->control->config->ksm_cpu_percent);
	yyjson_mut_obj_add_real(document, object, "cpu_seconds", host->cpu_seconds);
	yyjson_mut_obj_add_uint(document, object, "full_scans", host->full_scans);
	if (host->fault[0])
		yyjson_mut_obj_add_strcpy(document, object, "fault", host->fault);
	else
		yyjson_mut_obj_add_null(document, object, "fault");
	object = yyjson_mut_obj_add_obj(document, data, "pages");
	yyjson_mut_obj_add_uint(document, object, "shared", host->pages_shared);
	yyjson_mut_obj_add_uint(document, object, "sharing", host->pages_sharing);
	yyjson_mut_obj_add_uint(document, object, "zero", host->zero_pages);
	list = yyjson_mut_obj_add_arr(document, data, "containers");
	for (size_t i = 0; i < ksm->count; i++)
		yyjson_mut_arr_append(list, entry_to_json(call->control, ksm->entries[i].id,
							  document));
	api_reply_data(call, 200, document, data);
}

const struct api_route api_ksm_routes[] = {
	{ "GET", "/api/v1/ksm", API_BODY_NONE, NULL, show_host },
	{ "GET", "/api/v1/containers/{id}/ksm", API_BODY_NONE, NULL, show },
	{ "PUT", "/api/v1/containers/{id}/ksm", API_BODY_REQUIRED, NULL, replace },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
