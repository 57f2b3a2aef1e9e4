// SPDX-License-Identifier: Apache-2.0
/*
 * Profiles and attachments in memory and in the database, see syscalls.h. Both
 * lists are sorted; a look-up is a binary search. What the kernel has to do with
 * it is syscalls_kernel.c.
 */
#include "control/syscalls_internal.h"
#include "lib/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <yyjson.h>

const char *const syscalls_modes[__HOODY_GATE_MAX] = {
	[HOODY_GATE_ENFORCE] = "enforce",
	[HOODY_GATE_LEARN] = "learn",
};

static const char learn_source[] =
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\","
	"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]}";

const char *syscalls_name_fault(const char *name)
{
	const char *at = name;

	if (!strcmp(name, SYSCALLS_LEARN))
		return "is what learning without a profile is called";
	if (strlen(name) > HOODY_PROFILE_NAME_MAX)
		return "is longer than 63 characters";
	if (isalnum((unsigned char)*at))
		while (isalnum((unsigned char)*at) || *at == '.' || *at == '_' || *at == '-')
			at++;
	if (at == name || *at)
		return "must be letters, digits, '.', '_' and '-', a letter or digit first";
	return NULL;
}

struct profile_options syscalls_options(const struct syscalls_profile *profile)
{
	struct profile_options options = {
		.caps = (const char *const *)profile->caps, .caps_count = profile->caps_count,
		.accepted = true,
	};
	struct utsname name;

	if (uname(&name) ||
	    sscanf(name.release, "%u.%u", &options.kernel_major, &options.kernel_minor) != 2)
		options.kernel_major = 6;
	return options;
}

void syscalls_profile_free(struct syscalls_profile *profile)
{
	if (!profile)
		return;
	for (size_t i = 0; i < profile->caps_count; i++)
		free(profile->caps[i]);
	free(profile->source);
	free(profile->table);
	free(profile);
}

struct syscalls_profile *syscalls_profile_create(const char *name, const char *source,
						 const char *const *caps, size_t caps_count,
						 bool accepted, struct profile_report *report)
{
	struct syscalls_profile *profile = calloc(1, sizeof(*profile));
	struct profile_options options;
	int ret = -ENOMEM;

	memset(report, 0, sizeof(*report));
	if (!profile)
		goto err_free;
	snprintf(profile->name, sizeof(profile->name), "%s", name);
	profile->loaded_at = time(NULL);
	profile->source = strdup(source);
	if (!profile->source)
		goto err_free;
	for (size_t i = 0; i < caps_count && i < SYSCALLS_CAPS_MAX; i++) {
		profile->caps[i] = strdup(caps[i]);
		if (!profile->caps[i])
			goto err_free;
		profile->caps_count++;
	}
	options = syscalls_options(profile);
	options.accepted = accepted;
	ret = profile_compile(source, strlen(source), &options, &profile->table, report);
	if (ret)
		goto err_free;
	profile_essential(profile->table, report);
	profile_io_uring(profile->table, report);
	return profile;

err_free:
	syscalls_profile_free(profile);
	errno = -ret;
	return NULL;
}

size_t syscalls_profile_place(const struct syscalls *syscalls, const char *name, bool *found)
{
	size_t low = 0, high = syscalls->profiles_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(syscalls->profiles[middle]->name, name);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

struct syscalls_profile *syscalls_profile_find(const struct syscalls *syscalls, const char *name)
{
	bool found;
	size_t place;

	if (!strcmp(name, SYSCALLS_LEARN))
		return syscalls->learn;
	place = syscalls_profile_place(syscalls, name, &found);
	return found ? syscalls->profiles[place] : NULL;
}

/* The index of the first attachment whose id is not below @id. */
static size_t attachment_place(const struct syscalls *syscalls, const uint8_t id[ID_LEN])
{
	size_t low = 0, high = syscalls->attachments_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(syscalls->attachments[middle].id, id, ID_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct syscalls_attachment *syscalls_find(const struct syscalls *syscalls,
						const uint8_t id[ID_LEN])
{
	size_t place = attachment_place(syscalls, id);

	if (place == syscalls->attachments_count ||
	    memcmp(syscalls->attachments[place].id, id, ID_LEN))
		return NULL;
	return &syscalls->attachments[place];
}

size_t syscalls_users(const struct syscalls *syscalls, const char *name)
{
	size_t users = 0;

	for (size_t i = 0; i < syscalls->attachments_count; i++)
		users += !strcmp(syscalls->attachments[i].profile, name);
	return users;
}

int syscalls_set(struct syscalls *syscalls, const struct syscalls_attachment *attachment)
{
	size_t place = attachment_place(syscalls, attachment->id);
	struct syscalls_attachment *at;

	if (syscalls->attachments_count == syscalls->attachments_room) {
		size_t room = syscalls->attachments_room ? syscalls->attachments_room * 2 : 64;

		at = reallocarray(syscalls->attachments, room, sizeof(*at));
		if (!at)
			return -ENOMEM;
		syscalls->attachments = at;
		syscalls->attachments_room = room;
	}
	at = &syscalls->attachments[place];
	if (place == syscalls->attachments_count || memcmp(at->id, attachment->id, ID_LEN)) {
		memmove(at + 1, at, (syscalls->attachments_count - place) * sizeof(*at));
		syscalls->attachments_count++;
	}
	*at = *attachment;
	return 0;
}

void syscalls_clear(struct syscalls *syscalls, const uint8_t id[ID_LEN])
{
	size_t place = attachment_place(syscalls, id);
	struct syscalls_attachment *at = &syscalls->attachments[place];

	if (!syscalls_find(syscalls, id))
		return;
	syscalls->attachments_count--;
	memmove(at, at + 1, (syscalls->attachments_count - place) * sizeof(*at));
}

/* --- the database --- */

/* From malloc(), or NULL. */
char *syscalls_profile_text(const struct syscalls_profile *profile)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *caps;
	char *text;

	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_str(document, root, "source", profile->source);
	caps = yyjson_mut_obj_add_arr(document, root, "capabilities");
	for (size_t i = 0; i < profile->caps_count; i++)
		yyjson_mut_arr_add_str(document, caps, profile->caps[i]);
	yyjson_mut_obj_add_int(document, root, "loaded_at", profile->loaded_at);
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	return text;
}

struct loading {
	struct control	*control;
	char		*fault;
	size_t		fault_size;
};

static int bad_document(const struct loading *loading, const char *what, const char *why)
{
	snprintf(loading->fault, loading->fault_size, "syscall %s in the database: %s", what, why);
	return -EBADMSG;
}

static int take_profile(void *context, const void *key, size_t key_len, const char *body)
{
	const struct loading *loading = context;
	struct syscalls *syscalls = loading->control->syscalls;
	char name[HOODY_PROFILE_NAME_MAX + 1] = "";
	const char *caps[SYSCALLS_CAPS_MAX];
	struct syscalls_profile *profile;
	struct profile_report report;
	yyjson_doc *document = yyjson_read(body, strlen(body), 0);
	yyjson_val *root = yyjson_doc_get_root(document), *cap;
	const char *source = yyjson_get_str(yyjson_obj_get(root, "source"));
	size_t count = 0, i, max;
	int ret;

	if (key_len < sizeof(name))
		memcpy(name, key, key_len);
	yyjson_arr_foreach(yyjson_obj_get(root, "capabilities"), i, max, cap)
		if (yyjson_is_str(cap) && count < SYSCALLS_CAPS_MAX)
			caps[count++] = yyjson_get_str(cap);
	if (!source || !name[0] || syscalls->profiles_count == SYSCALLS_PROFILES_MAX) {
		ret = bad_document(loading, "profile", "a row cannot be read");
		goto out;
	}
	profile = syscalls_profile_create(name, source, caps, count, true, &report);
	if (!profile) {
		ret = errno == ENOMEM ? -ENOMEM : bad_document(loading, name, report.error);
		goto out;
	}
	profile->loaded_at = yyjson_get_int(yyjson_obj_get(root, "loaded_at"));
	profile->generation = db_generation(loading->control->db);
	/* They come in order of keys. */
	syscalls->profiles[syscalls->profiles_count++] = profile;
	ret = 0;
out:
	yyjson_doc_free(document);
	return ret;
}

static int take_attachment(void *context, const void *key, size_t key_len, const char *body)
{
	const struct loading *loading = context;
	struct syscalls *syscalls = loading->control->syscalls;
	struct syscalls_attachment attachment = { .mode = HOODY_GATE_ENFORCE };
	yyjson_doc *document = yyjson_read(body, strlen(body), 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	const char *name = yyjson_get_str(yyjson_obj_get(root, "profile"));
	int ret;

	if (key_len != ID_LEN || !name || !syscalls_profile_find(syscalls, name)) {
		ret = bad_document(loading, "attachment", "it names no profile that there is");
		goto out;
	}
	memcpy(attachment.id, key, ID_LEN);
	snprintf(attachment.profile, sizeof(attachment.profile), "%s", name);
	if (yyjson_equals_str(yyjson_obj_get(root, "mode"), syscalls_modes[HOODY_GATE_LEARN]))
		attachment.mode = HOODY_GATE_LEARN;
	ret = syscalls_set(syscalls, &attachment);
out:
	yyjson_doc_free(document);
	return ret;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct loading loading = { .control = control, .fault = fault, .fault_size = fault_size };
	struct profile_report report;
	int ret = -ENOMEM;

	snprintf(fault, fault_size, "out of memory");
	control->syscalls = calloc(1, sizeof(*control->syscalls));
	if (!control->syscalls)
		return ret;
	control->syscalls->learn = syscalls_profile_create(SYSCALLS_LEARN, learn_source, NULL, 0,
							   true, &report);
	if (!control->syscalls->learn)
		return ret;
	control->syscalls->learn->generation = db_generation(control->db);
	ret = db_load_documents(control->db, DB_KIND_PROFILE, take_profile, &loading);
	if (!ret)
		ret = db_load_documents(control->db, DB_KIND_SYSCALLS, take_attachment, &loading);
	return ret;
}

static void tear_down(struct control *control)
{
	struct syscalls *syscalls = control->syscalls;

	if (!syscalls)
		return;
	sd_event_source_disable_unref(syscalls->events);
	for (size_t i = 0; i < syscalls->profiles_count; i++)
		syscalls_profile_free(syscalls->profiles[i]);
	syscalls_profile_free(syscalls->learn);
	free(syscalls->attachments);
	free(syscalls);
	control->syscalls = NULL;
}

static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	/* Stopped, it keeps its profile; its document went with it otherwise. */
	if (!model_find(control->model, id))
		syscalls_clear(control->syscalls, id);
}

const struct feature syscalls_feature = {
	.name = "syscalls",
	.set_up = set_up,
	.tear_down = tear_down,
	.prepare = syscalls_prepare,
	.gone = gone,
};
