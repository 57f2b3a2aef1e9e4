// SPDX-License-Identifier: Apache-2.0
/*
 * Writing a permissions model as JSON: to show, where every secret is null, or
 * to store, where tokens and passwords are their hashes.
 *
 * Strings of the model are referenced, not copied: the document lives shorter.
 */
#include "auth/permissions_internal.h"
#include "lib/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static yyjson_mut_val *range_json(yyjson_mut_doc *doc, const struct permissions_range *range)
{
	struct address address = { .family = range->family };
	unsigned int width = range->family == AF_INET ? 32 : 128;
	char text[ADDRESS_TEXT_MAX], out[ADDRESS_TEXT_MAX + 8];

	memcpy(&address.v6, range->address, width / 8);
	address_format(&address, text);
	if (range->prefix == width)
		return yyjson_mut_strcpy(doc, text);
	snprintf(out, sizeof(out), "%s/%u", text, range->prefix);
	return yyjson_mut_strcpy(doc, out);
}

static bool ip_json(yyjson_mut_doc *doc, yyjson_mut_val *object,
		    const struct permissions_group *group)
{
	yyjson_mut_val *list;

	if (group->single)
		return yyjson_mut_obj_add_val(doc, object, "range",
					      range_json(doc, &group->ranges[0]));
	list = yyjson_mut_obj_add_arr(doc, object, "ranges");
	for (unsigned int i = 0; list && i < group->ranges_count; i++) {
		if (!yyjson_mut_arr_append(list, range_json(doc, &group->ranges[i])))
			return false;
	}
	return list != NULL;
}

static bool token_json(yyjson_mut_doc *doc, yyjson_mut_val *object,
		       const struct permissions_group *group, enum permissions_form form)
{
	char text[2 * SECRET_HASH_LEN + 1];

	if (form == PERMISSIONS_SHOW)
		return yyjson_mut_obj_add_null(doc, object, "value");
	for (unsigned int i = 0; i < SECRET_HASH_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", group->token[i]);
	return yyjson_mut_obj_add_strcpy(doc, object, "value_sha256", text);
}

static bool password_json(yyjson_mut_doc *doc, yyjson_mut_val *object,
			  const struct permissions_group *group, enum permissions_form form)
{
	char text[SECRET_PASSWORD_TEXT_MAX];

	if (!yyjson_mut_obj_add_str(doc, object, "username", group->username))
		return false;
	if (form == PERMISSIONS_SHOW)
		return yyjson_mut_obj_add_null(doc, object, "password");
	secret_password_format(&group->hash, text);
	return yyjson_mut_obj_add_strcpy(doc, object, "password_hash", text);
}

/* A JSON text that was checked when it was read, as a value. */
static bool add_text_as_json(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name,
			     const char *text)
{
	yyjson_doc *part = yyjson_read(text, strlen(text), 0);
	yyjson_mut_val *copy = part ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(part)) : NULL;

	yyjson_doc_free(part);
	return copy && yyjson_mut_obj_add_val(doc, object, name, copy);
}

/* A key set may hold shared secrets ("oct", which has "k"). */
static bool jwks_has_secret(const char *text)
{
	yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
	yyjson_val *keys = yyjson_obj_get(yyjson_doc_get_root(doc), "keys"), *key;
	bool found = doc == NULL;
	size_t index, max;

	yyjson_arr_foreach(keys, index, max, key)
		found |= yyjson_obj_get(key, "k") != NULL;
	yyjson_doc_free(doc);
	return found;
}

static bool key_json(yyjson_mut_doc *doc, yyjson_mut_val *object,
		     const struct permissions_group *group, enum permissions_form form)
{
	switch (group->source) {
	case PERMISSIONS_KEY_SECRET:
		return form == PERMISSIONS_SHOW ?
			       yyjson_mut_obj_add_null(doc, object, "secret") :
			       yyjson_mut_obj_add_str(doc, object, "secret", group->key_text);
	case PERMISSIONS_KEY_PUBLIC:
		return yyjson_mut_obj_add_str(doc, object, "public_key", group->key_text);
	case PERMISSIONS_KEY_JWKS_FILE:
		return yyjson_mut_obj_add_str(doc, object, "jwks", group->key_text);
	case PERMISSIONS_KEY_JWKS:
		break;
	}
	if (form == PERMISSIONS_SHOW && jwks_has_secret(group->key_text))
		return yyjson_mut_obj_add_null(doc, object, "jwks");
	return add_text_as_json(doc, object, "jwks", group->key_text);
}

static bool jwt_json(yyjson_mut_doc *doc, yyjson_mut_val *object,
		     const struct permissions_group *group, enum permissions_form form)
{
	yyjson_mut_val *list;

	if (!key_json(doc, object, group, form))
		return false;
	if (group->algorithms) {
		list = yyjson_mut_obj_add_arr(doc, object, "algorithms");
		for (int alg = 0; list && alg < JWT_ALGS; alg++) {
			if (group->algorithms & JWT_ALG_BIT(alg) &&
			    !yyjson_mut_arr_add_str(doc, list, jwt_alg_name(alg)))
				return false;
		}
		if (!list)
			return false;
	}
	if (group->claims_text && !add_text_as_json(doc, object, "claims", group->claims_text))
		return false;
	if (group->leeway != PERMISSIONS_LEEWAY_DEFAULT &&
	    !yyjson_mut_obj_add_uint(doc, object, "leeway", group->leeway))
		return false;
	return group->require_exp || yyjson_mut_obj_add_bool(doc, object, "require_exp", false);
}

static bool group_json(yyjson_mut_doc *doc, yyjson_mut_val *groups,
		       const struct permissions_group *group, enum permissions_form form)
{
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, groups, group->name);

	if (!object || !yyjson_mut_obj_add_str(doc, object, "type",
					       permissions_type_name(group->type)))
		return false;
	switch (group->type) {
	case PERMISSIONS_IP:
		return ip_json(doc, object, group);
	case PERMISSIONS_TOKEN:
		return token_json(doc, object, group, form);
	case PERMISSIONS_PASSWORD:
		return password_json(doc, object, group, form);
	case PERMISSIONS_JWT:
		return jwt_json(doc, object, group, form);
	case PERMISSIONS_TYPES:
		break;
	}
	return false;
}

static bool grant_json(yyjson_mut_doc *doc, yyjson_mut_val *object,
		       const struct permissions_grant *grant)
{
	yyjson_mut_val *list;

	if (grant->kind != PERMISSIONS_ACTIONS)
		return yyjson_mut_obj_add_bool(doc, object, grant->service,
					       grant->kind == PERMISSIONS_ALLOW);
	list = yyjson_mut_obj_add_arr(doc, object, grant->service);
	for (unsigned int i = 0; list && i < grant->actions_count; i++) {
		if (!yyjson_mut_arr_add_str(doc, list, grant->actions[i]))
			return false;
	}
	return list != NULL;
}

static bool grants_json(yyjson_mut_doc *doc, yyjson_mut_val *root,
			const struct permissions *permissions)
{
	yyjson_mut_val *all = yyjson_mut_obj_add_obj(doc, root, "permissions"), *object = NULL;

	for (unsigned int i = 0; all && i < permissions->grants_count; i++) {
		const struct permissions_grant *grant = &permissions->grants[i];

		if (!i || grant->group != permissions->grants[i - 1].group)
			object = yyjson_mut_obj_add_obj(doc, all,
							permissions->groups[grant->group].name);
		if (!object || !grant_json(doc, object, grant))
			return false;
	}
	return all != NULL;
}

static bool id_json(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *name, const uint8_t *id)
{
	char text[ID_TEXT_LEN + 1];

	if (!id)
		return true;
	id_format(id, text);
	return yyjson_mut_obj_add_strcpy(doc, root, name, text);
}

yyjson_mut_doc *permissions_to_json(const struct permissions *permissions,
				    enum permissions_form form, const uint8_t *project,
				    const uint8_t *container)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = doc ? yyjson_mut_obj(doc) : NULL, *groups;

	if (!root)
		goto err_free;
	yyjson_mut_doc_set_root(doc, root);
	if (!id_json(doc, root, "project", project) ||
	    !id_json(doc, root, "container", container))
		goto err_free;
	groups = yyjson_mut_obj_add_obj(doc, root, "groups");
	if (!groups)
		goto err_free;
	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		if (!group_json(doc, groups, &permissions->groups[i], form))
			goto err_free;
	}
	if (!grants_json(doc, root, permissions))
		goto err_free;
	if (permissions->fallback != PERMISSIONS_DEFAULT_UNSAID &&
	    !yyjson_mut_obj_add_str(doc, root, "default",
				    permissions->fallback == PERMISSIONS_DEFAULT_ALLOW ? "allow" :
											 "deny"))
		goto err_free;
	return doc;

err_free:
	yyjson_mut_doc_free(doc);
	errno = ENOMEM;
	return NULL;
}

char *permissions_format(const struct permissions *permissions, enum permissions_form form,
			 const uint8_t *project, const uint8_t *container)
{
	yyjson_mut_doc *doc;
	char *text;

	if (form == PERMISSIONS_STORE && !permissions_sealed(permissions)) {
		errno = EINVAL;
		return NULL;
	}
	doc = permissions_to_json(permissions, form, project, container);
	if (!doc)
		return NULL;
	text = yyjson_mut_write(doc, 0, NULL);
	yyjson_mut_doc_free(doc);
	if (!text)
		errno = ENOMEM;
	return text;
}
