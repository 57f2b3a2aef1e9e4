// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a permissions model, see permissions.h. Reading one from JSON is
 * in permissions_parse.c and permissions_group.c, writing in permissions_json.c.
 */
#include "auth/permissions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void group_clear(struct permissions_group *group)
{
	free(group->ranges);
	free(group->username);
	secret_free(group->password);
	secret_free(group->key_text);
	free(group->claims_text);
	for (unsigned int i = 0; i < group->claims_count; i++) {
		struct permissions_claim *claim = &group->claims[i];

		for (unsigned int k = 0; k < claim->values_count; k++)
			free(claim->values[k].text);
		free(claim->values);
		free(claim->path);
	}
	free(group->claims);
}

void permissions_free(struct permissions *permissions)
{
	if (!permissions)
		return;
	for (unsigned int i = 0; i < permissions->groups_count; i++)
		group_clear(&permissions->groups[i]);
	free(permissions->groups);
	free(permissions->grants);
	free(permissions);
}

int permissions_seal(struct permissions *permissions)
{
	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		struct permissions_group *group = &permissions->groups[i];
		int result;

		if (!group->password)
			continue;
		result = secret_password_create(group->password, strlen(group->password),
						&group->hash);
		if (result)
			return result;
		secret_free(group->password);
		group->password = NULL;
	}
	return 0;
}

bool permissions_sealed(const struct permissions *permissions)
{
	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		if (permissions->groups[i].password)
			return false;
	}
	return true;
}

bool permissions_empty(const struct permissions *permissions)
{
	return !permissions->groups_count && !permissions->grants_count &&
	       permissions->fallback == PERMISSIONS_DEFAULT_UNSAID;
}

const struct permissions *permissions_effective(const struct permissions *project,
						const struct permissions *container)
{
	if (container && !permissions_empty(container))
		return container;
	if (project && !permissions_empty(project))
		return project;
	return NULL;
}

bool permissions_default_allow(const struct permissions *permissions)
{
	if (permissions->fallback == PERMISSIONS_DEFAULT_UNSAID)
		return permissions->groups_count == 0;
	return permissions->fallback == PERMISSIONS_DEFAULT_ALLOW;
}

const struct permissions_group *permissions_group_find(const struct permissions *permissions,
						       const char *name)
{
	if (!permissions)
		return NULL;
	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		if (!strcmp(permissions->groups[i].name, name))
			return &permissions->groups[i];
	}
	return NULL;
}

const char *permissions_type_name(enum permissions_type type)
{
	static const char *const names[PERMISSIONS_TYPES] = {
		[PERMISSIONS_IP] = "ip",
		[PERMISSIONS_TOKEN] = "token",
		[PERMISSIONS_PASSWORD] = "password",
		[PERMISSIONS_JWT] = "jwt",
	};

	return names[type];
}
