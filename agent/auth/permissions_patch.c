// SPDX-License-Identifier: Apache-2.0
/*
 * From a body's text to a model: PUT reads it as it is, PATCH merges it first
 * into what holds now, as it would be shown, and reads the result.
 *
 * The merge is RFC 7396's, with two differences that follow from what a group
 * is. A group that the patch gives a type is replaced: merged, it could keep a
 * secret or a range of its former self. And null for a secret means "as it is",
 * here as everywhere. Where a group is taken away, its permissions go with it.
 */
#include "auth/permissions_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct merge {
	const struct reader	*reader;
	yyjson_mut_doc		*doc;
};

static bool is_secret(const char *name)
{
	return !strcmp(name, "value") || !strcmp(name, "password") || !strcmp(name, "secret") ||
	       !strcmp(name, "jwks");
}

/* 0 or -ENOMEM; a null @value removes. */
static int member_set(const struct merge *merge, yyjson_mut_val *object, const char *name,
		      yyjson_val *value)
{
	yyjson_mut_val *key, *copy;

	yyjson_mut_obj_remove_key(object, name);
	if (yyjson_is_null(value))
		return 0;
	key = yyjson_mut_strcpy(merge->doc, name);
	copy = yyjson_val_mut_copy(merge->doc, value);
	return key && copy && yyjson_mut_obj_add(object, key, copy) ? 0 : -ENOMEM;
}

/* The object that @parent has under @name, made where there is none. */
static yyjson_mut_val *object_get(const struct merge *merge, yyjson_mut_val *parent,
				  const char *name)
{
	yyjson_mut_val *object = yyjson_mut_obj_get(parent, name), *key;

	if (yyjson_mut_is_obj(object))
		return object;
	yyjson_mut_obj_remove_key(parent, name);
	key = yyjson_mut_strcpy(merge->doc, name);
	object = yyjson_mut_obj(merge->doc);
	return key && object && yyjson_mut_obj_add(parent, key, object) ? object : NULL;
}

/* A group that the patch does not give a type: its members one by one. */
static int group_merge(const struct merge *merge, yyjson_mut_val *group, yyjson_val *patch)
{
	yyjson_val *key, *value;
	size_t index, max;
	int result = 0;

	yyjson_obj_foreach(patch, index, max, key, value)
	{
		const char *name = yyjson_get_str(key);

		if (yyjson_is_null(value) && is_secret(name) && yyjson_mut_obj_get(group, name))
			continue;
		/* One key takes the place of another kind of key. */
		if (!strcmp(name, "secret") || !strcmp(name, "public_key") ||
		    !strcmp(name, "jwks")) {
			yyjson_mut_obj_remove_key(group, "secret");
			yyjson_mut_obj_remove_key(group, "public_key");
			yyjson_mut_obj_remove_key(group, "jwks");
		}
		if (!strcmp(name, "range") || !strcmp(name, "ranges")) {
			yyjson_mut_obj_remove_key(group, "range");
			yyjson_mut_obj_remove_key(group, "ranges");
		}
		result = member_set(merge, group, name, value);
		if (result)
			return result;
	}
	return 0;
}

/* A null of a member that could never be there is a slip of the pen: say so. */
static int nulls_check(const struct merge *merge, const struct json_path *path, yyjson_val *patch)
{
	static const char *const names[] = { "type",	   "range",	 "ranges", "value",
					     "username",   "password",	 "secret", "public_key",
					     "jwks",	   "algorithms", "claims", "leeway",
					     "require_exp", NULL };

	return reader_members(merge->reader, path, patch, names);
}

static int groups_merge(const struct merge *merge, yyjson_mut_val *base, yyjson_val *patch)
{
	yyjson_mut_val *groups = object_get(merge, base, "groups");
	yyjson_mut_val *permissions = object_get(merge, base, "permissions");
	struct json_path path = { .text = "groups" };
	yyjson_val *key, *value;
	size_t index, max;
	int result = 0;

	if (!groups || !permissions)
		return -ENOMEM;
	if (!yyjson_is_obj(patch))
		return reader_refuse(merge->reader, &path, "has to be an object of groups");
	yyjson_obj_foreach(patch, index, max, key, value)
	{
		const char *name = yyjson_get_str(key);
		struct json_path at = json_path_member(&path, name);

		if (yyjson_is_obj(value))
			result = nulls_check(merge, &at, value);
		if (result)
			return result;
		if (yyjson_is_null(value))
			yyjson_mut_obj_remove_key(permissions, name);
		if (yyjson_is_obj(value) && !yyjson_obj_get(value, "type") &&
		    yyjson_mut_is_obj(yyjson_mut_obj_get(groups, name)))
			result = group_merge(merge, yyjson_mut_obj_get(groups, name), value);
		else
			result = member_set(merge, groups, name, value);
		if (result)
			return result;
	}
	return 0;
}

static int grants_merge(const struct merge *merge, yyjson_mut_val *base, yyjson_val *patch)
{
	yyjson_mut_val *permissions = object_get(merge, base, "permissions");
	struct json_path path = { .text = "permissions" };
	yyjson_val *key, *value, *service, *grant;
	size_t index, max, i, count;
	int result = 0;

	if (!permissions)
		return -ENOMEM;
	if (!yyjson_is_obj(patch))
		return reader_refuse(merge->reader, &path, "has to be an object of groups");
	yyjson_obj_foreach(patch, index, max, key, value)
	{
		yyjson_mut_val *group;

		if (!yyjson_is_obj(value)) {
			result = member_set(merge, permissions, yyjson_get_str(key), value);
			if (result)
				return result;
			continue;
		}
		group = object_get(merge, permissions, yyjson_get_str(key));
		if (!group)
			return -ENOMEM;
		yyjson_obj_foreach(value, i, count, service, grant)
		{
			result = member_set(merge, group, yyjson_get_str(service), grant);
			if (result)
				return result;
		}
	}
	return 0;
}

static int root_merge(const struct merge *merge, yyjson_mut_val *base, yyjson_val *patch)
{
	static const char *const names[] = { "project", "container", "default", NULL };
	static const char *const all[] = { "project", "container", "groups", "permissions",
					   "default", NULL };
	struct json_path path = { .text = "" };
	int result;

	if (!yyjson_is_obj(patch))
		return reader_refuse(merge->reader, &path, "the body has to be a JSON object");
	result = reader_members(merge->reader, &path, patch, all);
	for (unsigned int i = 0; !result && names[i]; i++) {
		yyjson_val *value = yyjson_obj_get(patch, names[i]);

		if (value)
			result = member_set(merge, base, names[i], value);
	}
	/* null takes all of them away; both go, as no permission is without its group. */
	if (!result && yyjson_is_null(yyjson_obj_get(patch, "groups"))) {
		yyjson_mut_obj_remove_key(base, "groups");
		yyjson_mut_obj_remove_key(base, "permissions");
	} else if (!result && yyjson_obj_get(patch, "groups")) {
		result = groups_merge(merge, base, yyjson_obj_get(patch, "groups"));
	}
	if (!result && yyjson_is_null(yyjson_obj_get(patch, "permissions")))
		yyjson_mut_obj_remove_key(base, "permissions");
	else if (!result && yyjson_obj_get(patch, "permissions"))
		result = grants_merge(merge, base, yyjson_obj_get(patch, "permissions"));
	return result;
}

/* The text as a document that reader_tree() has passed; NULL with errno. */
static yyjson_doc *body_read(const struct reader *reader, const char *body, size_t len)
{
	struct json_path path = { .text = "" };
	yyjson_read_err fault;
	yyjson_doc *doc;

	if (len > PERMISSIONS_BODY_MAX && !reader->source->stored) {
		reader_refuse(reader, &path, "the body is larger than %d bytes",
			      PERMISSIONS_BODY_MAX);
		errno = EINVAL;
		return NULL;
	}
	/* Only YYJSON_READ_INSITU would write to it. */
	doc = yyjson_read_opts((char *)body, len, YYJSON_READ_NOFLAG, NULL, &fault);
	if (!doc) {
		errno = fault.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? ENOMEM : EINVAL;
		reader_refuse(reader, &path, "the body is no JSON: %s at byte %zu",
			      fault.msg ? fault.msg : "empty", fault.pos);
		return NULL;
	}
	if (reader_tree(reader, &path, yyjson_doc_get_root(doc), 0)) {
		yyjson_doc_free(doc);
		errno = EINVAL;
		return NULL;
	}
	return doc;
}

struct permissions *permissions_parse(const char *body, size_t len,
				      const struct permissions_source *source,
				      struct permissions_error *error)
{
	const struct reader reader = { .source = source, .error = error };
	yyjson_doc *doc = body_read(&reader, body, len);
	struct permissions *permissions;

	if (!doc)
		return NULL;
	permissions = permissions_root_parse(&reader, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return permissions;
}

struct permissions *permissions_patch(const char *body, size_t len,
				      const struct permissions_source *source,
				      struct permissions_error *error)
{
	static const struct permissions nothing;
	const struct reader reader = { .source = source, .error = error };
	const struct permissions *base = source->existing ? source->existing : &nothing;
	struct permissions *permissions = NULL;
	yyjson_doc *patch = body_read(&reader, body, len), *merged = NULL;
	struct merge merge = { .reader = &reader };
	int result = -ENOMEM;

	if (!patch)
		return NULL;
	merge.doc = permissions_to_json(base, PERMISSIONS_SHOW, NULL, NULL);
	if (merge.doc)
		result = root_merge(&merge, yyjson_mut_doc_get_root(merge.doc),
				    yyjson_doc_get_root(patch));
	if (!result) {
		merged = yyjson_mut_doc_imut_copy(merge.doc, NULL);
		result = merged ? 0 : -ENOMEM;
	}
	if (!result)
		permissions = permissions_root_parse(&reader, yyjson_doc_get_root(merged));
	else
		errno = -result;
	result = errno;
	yyjson_doc_free(merged);
	yyjson_mut_doc_free(merge.doc);
	yyjson_doc_free(patch);
	errno = result;
	return permissions;
}
