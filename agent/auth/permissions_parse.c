// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a permissions body. The whole text is checked once for what no part
 * of it may have (names given twice, NUL bytes, too deep or too wide), then
 * part by part against what is allowed there; the first fault ends it, named by
 * its path. A fault never leaves half a model behind.
 */
#include "auth/permissions_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names come from outside: they must not bring controls into a log or a terminal. */
static void path_append(struct json_path *path, const char *text)
{
	size_t used = strlen(path->text);

	for (; *text && used + 1 < sizeof(path->text); text++)
		path->text[used++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
	path->text[used] = '\0';
}

struct json_path json_path_member(const struct json_path *parent, const char *name)
{
	struct json_path path = *parent;

	if (path.text[0])
		path_append(&path, ".");
	path_append(&path, name);
	return path;
}

struct json_path json_path_index(const struct json_path *parent, size_t index)
{
	struct json_path path = *parent;
	char text[32];

	snprintf(text, sizeof(text), "[%zu]", index);
	path_append(&path, text);
	return path;
}

int reader_refuse(const struct reader *reader, const struct json_path *path, const char *format,
		  ...)
{
	va_list args;

	memcpy(reader->error->field, path->text, sizeof(path->text));
	va_start(args, format);
	vsnprintf(reader->error->message, sizeof(reader->error->message), format, args);
	va_end(args);
	return -EINVAL;
}

int reader_members(const struct reader *reader, const struct json_path *path, yyjson_val *object,
		   const char *const *names)
{
	yyjson_obj_iter iter;
	yyjson_val *key;

	yyjson_obj_iter_init(object, &iter);
	while ((key = yyjson_obj_iter_next(&iter))) {
		struct json_path at = json_path_member(path, yyjson_get_str(key));
		unsigned int i;

		for (i = 0; names[i] && strcmp(names[i], yyjson_get_str(key)); i++)
			;
		if (!names[i])
			return reader_refuse(reader, &at, "is not a known field here");
	}
	return 0;
}

int reader_text(const struct reader *reader, const struct json_path *path, yyjson_val *value,
		size_t min, size_t max, char **out)
{
	size_t len = yyjson_get_len(value);

	if (!yyjson_is_str(value) || len < min || len > max)
		return reader_refuse(reader, path, "has to be a string of %zu to %zu bytes", min,
				     max);
	*out = strndup(yyjson_get_str(value), len);
	return *out ? 0 : -ENOMEM;
}

int reader_tree(const struct reader *reader, const struct json_path *path, yyjson_val *value,
		unsigned int depth)
{
	yyjson_val *key, *item;
	size_t index, max;
	int result = 0;

	if (yyjson_is_str(value) && memchr(yyjson_get_str(value), '\0', yyjson_get_len(value)))
		return reader_refuse(reader, path, "holds a NUL character");
	if (!yyjson_is_ctn(value))
		return 0;
	if (depth == JSON_DEPTH_MAX)
		return reader_refuse(reader, path, "is nested too deep");
	if (yyjson_is_arr(value)) {
		yyjson_arr_foreach(value, index, max, item)
		{
			struct json_path at = json_path_index(path, index);

			result = reader_tree(reader, &at, item, depth + 1);
			if (result)
				return result;
		}
		return 0;
	}
	if (yyjson_obj_size(value) > JSON_MEMBERS_MAX)
		return reader_refuse(reader, path, "has more than %d members", JSON_MEMBERS_MAX);
	yyjson_obj_foreach(value, index, max, key, item)
	{
		struct json_path at = json_path_member(path, yyjson_get_str(key));

		if (strlen(yyjson_get_str(key)) != yyjson_get_len(key))
			return reader_refuse(reader, &at, "has a name with a NUL character");
		/* The look-up finds the first of its name. */
		if (yyjson_obj_get(value, yyjson_get_str(key)) != item)
			return reader_refuse(reader, &at, "is given twice");
		result = reader_tree(reader, &at, item, depth + 1);
		if (result)
			return result;
	}
	return 0;
}

static int id_check(const struct reader *reader, yyjson_val *root, const char *name,
		    const uint8_t *expected)
{
	struct json_path path = { .text = "" }, at = json_path_member(&path, name);
	yyjson_val *value = yyjson_obj_get(root, name);
	uint8_t id[ID_LEN];

	if (!value)
		return 0;
	if (!expected)
		return reader_refuse(reader, &at, "has no meaning here; leave it out");
	if (!yyjson_is_str(value) || id_parse(yyjson_get_str(value), yyjson_get_len(value), id))
		return reader_refuse(reader, &at, "has to be an id of 24 hexadecimal digits");
	if (memcmp(id, expected, sizeof(id)))
		return reader_refuse(reader, &at, "is another %s than the address names", name);
	return 0;
}

/* A name as groups have it: no dot, so that a path to it can be read. */
static bool group_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789_-");

	return len > 0 && len < PERMISSIONS_NAME_MAX && name[len] == '\0' && name[0] != '-';
}

static bool service_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");

	return len > 0 && len < PERMISSIONS_NAME_MAX && name[len] == '\0' && name[0] >= 'a';
}

static int group_compare(const void *a, const void *b)
{
	const struct permissions_group *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Enough groups with one user name would make one guess cost as many hashes. */
static int usernames_check(const struct reader *reader, const struct permissions *permissions)
{
	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		const struct permissions_group *group = &permissions->groups[i];
		unsigned int same = 0;

		for (unsigned int k = 0; group->username && k <= i; k++)
			same += permissions->groups[k].username &&
				!strcmp(permissions->groups[k].username, group->username);
		if (same > PERMISSIONS_SAME_USERNAME_MAX) {
			struct json_path path = { .text = "groups" };
			struct json_path at = json_path_member(&path, group->name);

			at = json_path_member(&at, "username");
			return reader_refuse(reader, &at,
					     "is the same in more than %d groups; use names that differ",
					     PERMISSIONS_SAME_USERNAME_MAX);
		}
	}
	return 0;
}

static int groups_parse(const struct reader *reader, yyjson_val *object,
			struct permissions *permissions)
{
	struct json_path path = { .text = "groups" };
	yyjson_obj_iter iter;
	yyjson_val *key;
	int result;

	if (!object)
		return 0;
	if (!yyjson_is_obj(object) || yyjson_obj_size(object) > PERMISSIONS_GROUPS_MAX)
		return reader_refuse(reader, &path, "has to be an object of at most %d groups",
				     PERMISSIONS_GROUPS_MAX);
	permissions->groups = calloc(PERMISSIONS_GROUPS_MAX, sizeof(*permissions->groups));
	if (!permissions->groups)
		return -ENOMEM;
	yyjson_obj_iter_init(object, &iter);
	while ((key = yyjson_obj_iter_next(&iter))) {
		struct json_path at = json_path_member(&path, yyjson_get_str(key));
		struct permissions_group *group = &permissions->groups[permissions->groups_count];

		if (!group_name_ok(yyjson_get_str(key)))
			return reader_refuse(reader, &at,
					     "has to have a name of 1 to %d letters, digits, \"_\" and \"-\"",
					     PERMISSIONS_NAME_MAX - 1);
		memcpy(group->name, yyjson_get_str(key), yyjson_get_len(key) + 1);
		permissions->groups_count++;
		result = permissions_group_parse(reader, &at, yyjson_obj_iter_get_val(key), group);
		if (result)
			return result;
	}
	qsort(permissions->groups, permissions->groups_count, sizeof(*permissions->groups),
	      group_compare);
	return usernames_check(reader, permissions);
}

static int actions_parse(const struct reader *reader, const struct json_path *path,
			 yyjson_val *list, struct permissions_grant *grant)
{
	const struct action_table *table = reader->source->actions;
	char names[256];
	yyjson_val *item;
	size_t index, max;

	/* What is stored was right when it was; a table may have changed since. */
	if (!reader->source->stored && !action_service_known(table, grant->service))
		return reader_refuse(reader, path,
				     "%s has no actions; give true or false, or add it to the table of actions",
				     grant->service);
	if (!yyjson_arr_size(list) || yyjson_arr_size(list) > ACTION_PER_SERVICE_MAX)
		return reader_refuse(reader, path, "has to name 1 to %d actions (for none: false)",
				     ACTION_PER_SERVICE_MAX);
	grant->kind = PERMISSIONS_ACTIONS;
	yyjson_arr_foreach(list, index, max, item)
	{
		struct json_path at = json_path_index(path, index);
		const char *action = yyjson_get_str(item);

		if (!action || yyjson_get_len(item) >= ACTION_NAME_MAX || !action[0] ||
		    (!reader->source->stored && !action_known(table, grant->service, action)))
			return reader_refuse(reader, &at, "is no action of %s, which has: %s",
					     grant->service,
					     action_names(table, grant->service, names,
							  sizeof(names)));
		for (unsigned int i = 0; i < grant->actions_count; i++) {
			if (!strcmp(grant->actions[i], action))
				return reader_refuse(reader, &at, "is given twice");
		}
		memcpy(grant->actions[grant->actions_count++], action, yyjson_get_len(item) + 1);
	}
	return 0;
}

static int grant_parse(const struct reader *reader, const struct json_path *path,
		       const char *service, yyjson_val *value, struct permissions_grant *grant)
{
	if (!service_name_ok(service))
		return reader_refuse(reader, path,
				     "has to be a service's name: a letter a-z, then letters and digits");
	memcpy(grant->service, service, strlen(service) + 1);
	if (yyjson_is_arr(value))
		return actions_parse(reader, path, value, grant);
	if (!yyjson_is_bool(value))
		return reader_refuse(reader, path, "has to be true, false or a list of actions");
	grant->kind = yyjson_get_bool(value) ? PERMISSIONS_ALLOW : PERMISSIONS_REFUSE;
	return 0;
}

static int grant_compare(const void *a, const void *b)
{
	const struct permissions_grant *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return strcmp(x->service, y->service);
}

static int grants_of_group(const struct reader *reader, const struct json_path *path,
			   yyjson_val *object, unsigned int group, struct permissions *permissions)
{
	yyjson_val *key, *value;
	size_t index, max;

	if (!yyjson_is_obj(object))
		return reader_refuse(reader, path,
				     "has to be an object such as {\"terminal\": true}");
	yyjson_obj_foreach(object, index, max, key, value)
	{
		struct json_path at = json_path_member(path, yyjson_get_str(key));
		struct permissions_grant *grant = &permissions->grants[permissions->grants_count];
		int result;

		if (permissions->grants_count == PERMISSIONS_GRANTS_MAX)
			return reader_refuse(reader, &at, "is one permission too many: at most %d",
					     PERMISSIONS_GRANTS_MAX);
		grant->group = group;
		permissions->grants_count++;
		result = grant_parse(reader, &at, yyjson_get_str(key), value, grant);
		if (result)
			return result;
	}
	return 0;
}

static int grants_parse(const struct reader *reader, yyjson_val *object,
			struct permissions *permissions)
{
	struct json_path path = { .text = "permissions" };
	yyjson_val *key, *value;
	size_t index, max, count = 0;
	int result;

	if (!object)
		return 0;
	if (!yyjson_is_obj(object))
		return reader_refuse(reader, &path,
				     "has to be an object such as {\"office\": {\"terminal\": true}}");
	yyjson_obj_foreach(object, index, max, key, value)
		count += yyjson_is_obj(value) ? yyjson_obj_size(value) : 0;
	count = count > PERMISSIONS_GRANTS_MAX ? PERMISSIONS_GRANTS_MAX : count;
	permissions->grants = calloc(count + 1, sizeof(*permissions->grants));
	if (!permissions->grants)
		return -ENOMEM;
	yyjson_obj_foreach(object, index, max, key, value)
	{
		const struct permissions_group *group =
			permissions_group_find(permissions, yyjson_get_str(key));
		struct json_path at = json_path_member(&path, yyjson_get_str(key));

		if (!group)
			return reader_refuse(reader, &at, "names a group that \"groups\" does not have");
		result = grants_of_group(reader, &at, value,
					 (unsigned int)(group - permissions->groups), permissions);
		if (result)
			return result;
	}
	qsort(permissions->grants, permissions->grants_count, sizeof(*permissions->grants),
	      grant_compare);
	return 0;
}

static int default_parse(const struct reader *reader, yyjson_val *value,
			 struct permissions *permissions)
{
	struct json_path path = { .text = "default" };

	if (!value)
		return 0;
	if (yyjson_equals_str(value, "allow"))
		permissions->fallback = PERMISSIONS_DEFAULT_ALLOW;
	else if (yyjson_equals_str(value, "deny"))
		permissions->fallback = PERMISSIONS_DEFAULT_DENY;
	else
		return reader_refuse(reader, &path, "has to be \"allow\" or \"deny\"");
	return 0;
}

struct permissions *permissions_root_parse(const struct reader *reader, yyjson_val *root)
{
	static const char *const names[] = { "project", "container", "groups", "permissions",
					     "default", NULL };
	struct json_path path = { .text = "" };
	struct permissions *permissions;
	int result;

	if (!yyjson_is_obj(root)) {
		reader_refuse(reader, &path, "the body has to be a JSON object");
		errno = EINVAL;
		return NULL;
	}
	permissions = calloc(1, sizeof(*permissions));
	if (!permissions)
		return NULL;
	result = reader_members(reader, &path, root, names);
	if (!result)
		result = id_check(reader, root, "project", reader->source->project);
	if (!result)
		result = id_check(reader, root, "container", reader->source->container);
	if (!result)
		result = default_parse(reader, yyjson_obj_get(root, "default"), permissions);
	if (!result)
		result = groups_parse(reader, yyjson_obj_get(root, "groups"), permissions);
	if (!result)
		result = grants_parse(reader, yyjson_obj_get(root, "permissions"), permissions);
	if (!result)
		return permissions;
	permissions_free(permissions);
	errno = -result;
	return NULL;
}
