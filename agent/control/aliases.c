// SPDX-License-Identifier: Apache-2.0
/* Aliases in memory, in the database and in the image, see aliases.h. */
#include "control/aliases.h"
#include "control/feature.h"
#include "control/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

/* Where @name is, or would be. */
static size_t place(const struct aliases *aliases, const char *name, bool *found)
{
	size_t low = 0, high = aliases->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, aliases->list[middle].name);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct alias *aliases_find(struct aliases *aliases, const char *name)
{
	bool found;
	size_t index = place(aliases, name, &found);

	return found ? &aliases->list[index] : NULL;
}

struct alias *aliases_find_domain(struct aliases *aliases, const char *domain)
{
	for (size_t i = 0; i < aliases->count; i++) {
		if (aliases->list[i].domain[0] && !strcmp(aliases->list[i].domain, domain))
			return &aliases->list[i];
	}
	return NULL;
}

static int make_room(struct aliases *aliases)
{
	size_t room = aliases->room ? aliases->room * 2 : 64;
	struct alias *grown;

	if (aliases->count == ALIASES_MAX)
		return -ENOSPC;
	if (aliases->count < aliases->room)
		return 0;
	grown = reallocarray(aliases->list, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	aliases->list = grown;
	aliases->room = room;
	return 0;
}

static void insert(struct aliases *aliases, const struct alias *alias)
{
	bool found;
	size_t index = place(aliases, alias->name, &found);

	memmove(&aliases->list[index + 1], &aliases->list[index],
		(aliases->count - index) * sizeof(*alias));
	aliases->list[index] = *alias;
	aliases->count++;
}

static void take_out(struct aliases *aliases, size_t index)
{
	aliases->count--;
	memmove(&aliases->list[index], &aliases->list[index + 1],
		(aliases->count - index) * sizeof(*aliases->list));
}

static char *alias_text(const struct alias *alias)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	char id[ID_TEXT_LEN + 1], *text;

	id_format(alias->container, id);
	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_str(document, root, "container", id);
	yyjson_mut_obj_add_str(document, root, "service", alias->service);
	yyjson_mut_obj_add_uint(document, root, "instance", alias->instance);
	yyjson_mut_obj_add_str(document, root, "domain", alias->domain);
	yyjson_mut_obj_add_int(document, root, "created", alias->created_at);
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	return text;
}

int aliases_add(struct control *control, const struct alias *alias)
{
	int ret = make_room(control->aliases);
	char *text;

	if (ret)
		return ret;
	text = alias_text(alias);
	if (!text)
		return -ENOMEM;
	ret = db_put_document(control->db, DB_KIND_ALIAS, alias->name, strlen(alias->name), text,
			      NULL);
	free(text);
	if (!ret)
		insert(control->aliases, alias);
	return ret;
}

int aliases_delete(struct control *control, const char *name)
{
	bool found;
	size_t index = place(control->aliases, name, &found);
	int ret = db_put_document(control->db, DB_KIND_ALIAS, name, strlen(name), NULL, NULL);

	if (!ret && found)
		take_out(control->aliases, index);
	return ret;
}

int aliases_publish(const struct control *control, struct image_builder *builder)
{
	const struct image_settings *settings = &control->config->settings;
	const struct aliases *aliases = control->aliases;
	struct image_alias entry;
	int ret = 0;

	for (size_t i = 0; i < aliases->count && !ret; i++) {
		const struct alias *alias = &aliases->list[i];

		memset(&entry, 0, sizeof(entry));
		memcpy(entry.container, alias->container, sizeof(entry.container));
		memcpy(entry.service, alias->service, sizeof(entry.service));
		entry.instance = alias->instance;
		/* The configuration leaves room for more than this. */
		if ((size_t)snprintf(entry.name, sizeof(entry.name), "%s.%s.%s", alias->name,
				     settings->node, settings->base_domain) >= sizeof(entry.name))
			return -ENAMETOOLONG;
		ret = image_builder_add_alias(builder, &entry);
		if (ret || !alias->domain[0])
			continue;
		memcpy(entry.name, alias->domain, sizeof(entry.name));
		ret = image_builder_add_alias(builder, &entry);
	}
	return ret;
}

/* ---- feature ---- */

static int parse(yyjson_val *root, struct alias *alias)
{
	const char *container = yyjson_get_str(yyjson_obj_get(root, "container"));
	const char *service = yyjson_get_str(yyjson_obj_get(root, "service"));
	const char *domain = yyjson_get_str(yyjson_obj_get(root, "domain"));
	uint64_t instance = yyjson_get_uint(yyjson_obj_get(root, "instance"));

	if (!container || id_parse(container, strlen(container), alias->container) || !service ||
	    !config_service_name_ok(service, strlen(service)) || !domain ||
	    strlen(domain) >= sizeof(alias->domain) || !instance || instance > 65535)
		return -EINVAL;
	strcpy(alias->service, service);
	strcpy(alias->domain, domain);
	alias->instance = (uint16_t)instance;
	alias->created_at = yyjson_get_sint(yyjson_obj_get(root, "created"));
	return 0;
}

static int take(void *context, const void *key, size_t key_len, const char *body)
{
	struct control *control = context;
	struct alias alias = { 0 };
	yyjson_doc *document;
	int ret;

	if (key_len >= sizeof(alias.name))
		return -EINVAL;
	memcpy(alias.name, key, key_len);
	document = yyjson_read(body, strlen(body), 0);
	ret = parse(yyjson_doc_get_root(document), &alias);
	yyjson_doc_free(document);
	/* Once they were deleted after their container, and an end in between left some. */
	if (!ret && !model_find(control->model, alias.container))
		return 0;
	if (!ret)
		ret = make_room(control->aliases);
	if (!ret)
		insert(control->aliases, &alias);
	return ret;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	control->aliases = calloc(1, sizeof(*control->aliases));
	snprintf(fault, fault_size, "aliases: out of memory");
	if (!control->aliases)
		return -ENOMEM;
	snprintf(fault, fault_size, "the database has an alias that cannot be read");
	return db_load_documents(control->db, DB_KIND_ALIAS, take, control);
}

static void tear_down(struct control *control)
{
	if (!control->aliases)
		return;
	free(control->aliases->list);
	free(control->aliases);
	control->aliases = NULL;
}

/*
 * Stopped containers keep their names. Of deleted ones the database has lost them with the
 * container, in one transaction.
 */
static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	struct aliases *aliases = control->aliases;
	size_t kept = 0, before = aliases->count;

	if (model_find(control->model, id))
		return;
	for (size_t i = 0; i < before; i++) {
		if (!memcmp(aliases->list[i].container, id, ID_LEN))
			continue;
		if (kept != i)
			aliases->list[kept] = aliases->list[i];
		kept++;
	}
	aliases->count = kept;
	if (kept != before)
		publish_request(control->publisher, NULL, NULL);
}

const struct feature aliases_feature = {
	.name = "aliases",
	.set_up = set_up,
	.tear_down = tear_down,
	.gone = gone,
};
