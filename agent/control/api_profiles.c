// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about syscall profiles: list, load (or replace), show, export, delete.
 * A profile that is replaced holds for all of its containers when the answer goes.
 */
#include "control/api_syscalls.h"
#include "control/container_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT	100
#define PAGE_MAX	1000

void syscalls_reply_refusal(struct api_call *call, int error, const char *fault)
{
	switch (error) {
	case -ENOSPC:
		api_reply_error(call, 507, "full", NULL, "%s", fault);
		break;
	case -ENOMEM:
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		break;
	case -EBUSY:
		api_reply_error(call, 409, "in_use", NULL, "nothing has changed: %s", fault);
		break;
	case -ECANCELED:
		api_reply_error(call, 409, "not_enforceable", NULL, "nothing has changed: %s", fault);
		break;
	default:
		api_reply_error(call, 500, "internal", NULL, "nothing has changed: %s", fault);
	}
}

void syscalls_add_warnings(yyjson_mut_doc *document, yyjson_mut_val *object,
			   const struct profile_report *report)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, object, "warnings");
	char more[64];

	for (unsigned int i = 0; i < report->warnings_count; i++)
		yyjson_mut_arr_add_strcpy(document, list, report->warnings[i]);
	if (report->warnings_dropped) {
		snprintf(more, sizeof(more), "%u more warnings", report->warnings_dropped);
		yyjson_mut_arr_add_strcpy(document, list, more);
	}
}

static yyjson_mut_val *profile_json(const struct control *control,
				    const struct syscalls_profile *profile,
				    yyjson_mut_doc *document)
{
	yyjson_mut_val *object = yyjson_mut_obj(document), *caps;
	char text[32];

	yyjson_mut_obj_add_strcpy(document, object, "name", profile->name);
	yyjson_mut_obj_add_uint(document, object, "generation", profile->generation);
	yyjson_mut_obj_add_uint(document, object, "containers",
				syscalls_users(control->syscalls, profile->name));
	yyjson_mut_obj_add_uint(document, object, "table_bytes", profile->table->size);
	caps = yyjson_mut_obj_add_arr(document, object, "capabilities");
	for (size_t i = 0; i < profile->caps_count; i++)
		yyjson_mut_arr_add_strcpy(document, caps, profile->caps[i]);
	container_format_time(profile->loaded_at, text);
	yyjson_mut_obj_add_strcpy(document, object, "loaded_at", text);
	return object;
}

/* The profile of the path; NULL where the call has been answered. */
static struct syscalls_profile *find(struct api_call *call)
{
	struct syscalls_profile *profile = syscalls_profile_find(call->control->syscalls,
								 call->name);

	if (!profile)
		api_reply_error(call, 404, "not_found", NULL, "there is no profile of this name");
	return profile;
}

static void list(struct api_call *call)
{
	const struct syscalls *syscalls = call->control->syscalls;
	const char *text = api_query(call, "limit"), *cursor = api_query(call, "cursor");
	size_t i = 0, end, limit = text ? strtoul(text, NULL, 10) : PAGE_DEFAULT;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;

	if (text && (strspn(text, "0123456789") != strlen(text) || limit < 1 || limit > PAGE_MAX)) {
		api_reply_error(call, 422, "invalid_value", "limit", "is no number from 1 to %d",
				PAGE_MAX);
		return;
	}
	while (cursor && i < syscalls->profiles_count &&
	       strcmp(syscalls->profiles[i]->name, cursor) <= 0)
		i++;
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_arr(document);
	end = syscalls->profiles_count - i > limit ? i + limit : syscalls->profiles_count;
	for (; i < end; i++)
		yyjson_mut_arr_append(data, profile_json(call->control, syscalls->profiles[i],
							 document));
	api_reply_page(call, document, data,
		       end && end < syscalls->profiles_count ? syscalls->profiles[end - 1]->name :
							       NULL);
}

/* "capabilities": how many there are, or -1 where the call has been answered. */
static int read_caps(struct api_call *call, const char *caps[SYSCALLS_CAPS_MAX])
{
	yyjson_val *list_value = yyjson_obj_get(call->body, "capabilities"), *value;
	char field[40];
	int count = 0;
	size_t i, max;

	if (!list_value)
		return 0;
	if (!yyjson_is_arr(list_value) || yyjson_arr_size(list_value) > SYSCALLS_CAPS_MAX) {
		api_reply_error(call, 422, "invalid_value", "capabilities",
				"is no list of at most %d capabilities", SYSCALLS_CAPS_MAX);
		return -1;
	}
	yyjson_arr_foreach(list_value, i, max, value) {
		const char *text = yyjson_get_str(value);

		if (!text || strncmp(text, "CAP_", 4) || yyjson_get_len(value) > 40) {
			snprintf(field, sizeof(field), "capabilities[%zu]", i);
			api_reply_error(call, 422, "invalid_value", field,
					"is no capability: its name starts with CAP_");
			return -1;
		}
		caps[count++] = text;
	}
	return count;
}

/* 0, or -1 where the call has been answered. */
static int check_fields(struct api_call *call)
{
	const char *name = yyjson_get_str(yyjson_obj_get(call->body, "name")), *why;
	size_t i, max;
	yyjson_val *key, *value;

	yyjson_obj_foreach(call->body, i, max, key, value) {
		if (yyjson_equals_str(key, "name") || yyjson_equals_str(key, "profile") ||
		    yyjson_equals_str(key, "capabilities"))
			continue;
		api_reply_error(call, 422, "unknown_field", yyjson_get_str(key),
				"this call knows no field of this name");
		return -1;
	}
	why = name ? syscalls_name_fault(name) : "is missing, or no string";
	if (why) {
		api_reply_error(call, 422, "invalid_value", "name", "%s", why);
		return -1;
	}
	if (!yyjson_is_obj(yyjson_obj_get(call->body, "profile"))) {
		api_reply_error(call, 422, "invalid_value", "profile",
				"is missing, or no object: a seccomp profile as OCI, Docker and Podman write it");
		return -1;
	}
	return 0;
}

static void reply_loaded(struct api_call *call, int status, const struct syscalls_profile *profile,
			 const struct profile_report *report)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = profile_json(call->control, profile, document);

	syscalls_add_warnings(document, data, report);
	api_reply_data(call, status, document, data);
}

static void load(struct api_call *call)
{
	struct syscalls_profile *profile = NULL;
	const char *caps[SYSCALLS_CAPS_MAX], *name;
	struct profile_report report;
	char fault[SYSCALLS_FAULT_MAX];
	char *source;
	bool known;
	int count, ret;

	if (check_fields(call))
		return;
	count = read_caps(call, caps);
	if (count < 0)
		return;
	name = yyjson_get_str(yyjson_obj_get(call->body, "name"));
	known = syscalls_profile_find(call->control->syscalls, name);
	source = yyjson_val_write(yyjson_obj_get(call->body, "profile"), 0, NULL);
	if (source)
		profile = syscalls_profile_create(name, source, caps, (size_t)count, false, &report);
	ret = errno;
	free(source);
	if (!profile && ret == ENOMEM)
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
	else if (!profile)
		api_reply_error(call, 422, "invalid_profile", "profile", "%s", report.error);
	if (!profile)
		return;
	ret = syscalls_profile_put(call->control, profile, fault, sizeof(fault));
	if (ret) {
		syscalls_profile_free(profile);
		syscalls_reply_refusal(call, ret, fault);
		return;
	}
	reply_loaded(call, known ? 200 : 201, profile, &report);
}

static void reply_source(struct api_call *call, const struct syscalls_profile *profile)
{
	yyjson_doc *source = yyjson_read(profile->source, strlen(profile->source), 0);
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = profile_json(call->control, profile, document);

	yyjson_mut_obj_add_val(document, data, "profile",
			       yyjson_val_mut_copy(document, yyjson_doc_get_root(source)));
	yyjson_doc_free(source);
	api_reply_data(call, 200, document, data);
}

static void show(struct api_call *call)
{
	const struct syscalls_profile *profile = find(call);
	const char *format = api_query(call, "format");
	struct profile_options options;
	struct profile_report report;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;
	char *text;

	if (!profile)
		return;
	if (!format) {
		reply_source(call, profile);
		return;
	}
	if (strcmp(format, "oci") && strcmp(format, "lxc")) {
		api_reply_error(call, 422, "invalid_value", "format", "must be oci or lxc");
		return;
	}
	options = syscalls_options(profile);
	if (profile_export(profile->source, strlen(profile->source), &options,
			   strcmp(format, "lxc") ? PROFILE_OCI : PROFILE_LXC, &text, &report)) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	document = yyjson_mut_doc_new(NULL);
	data = profile_json(call->control, profile, document);
	yyjson_mut_obj_add_strcpy(document, data, "format", format);
	yyjson_mut_obj_add_strcpy(document, data, "text", text);
	free(text);
	api_reply_data(call, 200, document, data);
}

static void delete(struct api_call *call)
{
	const struct syscalls_profile *profile = find(call);
	char fault[SYSCALLS_FAULT_MAX], name[HOODY_PROFILE_NAME_MAX + 1];
	yyjson_mut_doc *document;
	yyjson_mut_val *data;
	int ret;

	if (!profile)
		return;
	if (profile == call->control->syscalls->learn) {
		api_reply_error(call, 409, "in_use", NULL, "%s", syscalls_name_fault(call->name));
		return;
	}
	memcpy(name, profile->name, sizeof(name));
	ret = syscalls_profile_delete(call->control, name, fault, sizeof(fault));
	if (ret) {
		syscalls_reply_refusal(call, ret, fault);
		return;
	}
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	yyjson_mut_obj_add_strcpy(document, data, "name", name);
	yyjson_mut_obj_add_bool(document, data, "deleted", true);
	api_reply_data(call, 200, document, data);
}

#define PROFILE_PATTERN	"/api/v1/syscalls/profiles/{name}"

const struct api_route api_profiles_routes[] = {
	{ "GET", "/api/v1/syscalls/profiles", API_BODY_NONE, "limit cursor", list },
	{ "POST", "/api/v1/syscalls/profiles", API_BODY_REQUIRED, NULL, load },
	{ "GET", PROFILE_PATTERN, API_BODY_NONE, "format", show },
	{ "DELETE", PROFILE_PATTERN, API_BODY_NONE, NULL, delete },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
