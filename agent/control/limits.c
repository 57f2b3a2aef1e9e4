// SPDX-License-Identifier: Apache-2.0
/* Rate limits of containers, see limits.h. The calls are in api_limits.c. */
#include "control/limits.h"

#include "control/feature.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The index of @id, or where it would have to be. */
static size_t index_of(const struct limits *limits, const uint8_t id[ID_LEN], bool *found)
{
	size_t low = 0, high = limits->count;

	*found = false;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = memcmp(limits->list[middle]->id, id, ID_LEN);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct limits_rules *limits_find(const struct limits *limits, const uint8_t id[ID_LEN])
{
	bool found;
	size_t at = index_of(limits, id, &found);

	return found ? limits->list[at] : NULL;
}

struct image_limit *limits_rule_find(struct limits_rules *rules, const char *service,
				     bool per_client)
{
	for (unsigned int i = 0; i < rules->count; i++) {
		struct image_limit *rule = &rules->rules[i];

		if (!strcmp(rule->service, service) &&
		    !(rule->flags & IMAGE_LIMIT_PER_CLIENT) == !per_client)
			return rule;
	}
	return NULL;
}

static int make_room(struct limits *limits)
{
	size_t room = limits->room ? limits->room * 2 : 64;
	struct limits_rules **list;

	if (limits->count < limits->room)
		return 0;
	list = realloc(limits->list, room * sizeof(*list));
	if (!list)
		return -ENOMEM;
	limits->list = list;
	limits->room = room;
	return 0;
}

/* Takes @rules over; there is room. */
static void put(struct limits *limits, struct limits_rules *rules)
{
	bool found;
	size_t at = index_of(limits, rules->id, &found);

	if (found) {
		free(limits->list[at]);
	} else {
		memmove(limits->list + at + 1, limits->list + at,
			(limits->count - at) * sizeof(*limits->list));
		limits->count++;
	}
	limits->list[at] = rules;
}

static void take_out(struct limits *limits, const uint8_t id[ID_LEN])
{
	bool found;
	size_t at = index_of(limits, id, &found);

	if (!found)
		return;
	free(limits->list[at]);
	limits->count--;
	memmove(limits->list + at, limits->list + at + 1,
		(limits->count - at) * sizeof(*limits->list));
}

int limits_store(struct control *control, const struct limits_rules *rules)
{
	struct limits_rules *copy = malloc(sizeof(*copy));
	char *text = NULL;
	int ret = copy ? make_room(control->limits) : -ENOMEM;

	if (!ret && rules->count) {
		text = limits_format(rules);
		ret = text ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = db_put_document(control->db, DB_KIND_LIMITS, rules->id, ID_LEN, text, NULL);
	free(text);
	if (ret || !rules->count) {
		free(copy);
		if (!ret)
			take_out(control->limits, rules->id);
		return ret;
	}
	*copy = *rules;
	put(control->limits, copy);
	return 0;
}

int limits_publish(const struct control *control, struct image_builder *builder,
		   const uint8_t id[ID_LEN], struct image_container *entry)
{
	const struct limits_rules *rules = limits_find(control->limits, id);

	if (!rules)
		return 0;
	entry->limits_count = rules->count;
	return image_builder_add_limits(builder, rules->rules, rules->count, &entry->limits_first);
}

/* ---- feature ---- */

static int take(void *context, const void *key, size_t key_len, const char *body)
{
	struct control *control = context;
	struct limits_rules *rules;
	const char *field, *message;
	yyjson_doc *document;
	int ret = -EINVAL;

	if (key_len != ID_LEN)
		return -EINVAL;
	rules = calloc(1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	memcpy(rules->id, key, ID_LEN);
	document = yyjson_read(body, strlen(body), 0);
	if (yyjson_is_obj(yyjson_doc_get_root(document)))
		ret = limits_parse(yyjson_doc_get_root(document), rules, &field, &message);
	yyjson_doc_free(document);
	if (!ret)
		ret = make_room(control->limits);
	if (ret)
		free(rules);
	else
		put(control->limits, rules);
	return ret;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	control->limits = calloc(1, sizeof(*control->limits));
	snprintf(fault, fault_size, "limits: out of memory");
	if (!control->limits)
		return -ENOMEM;
	snprintf(fault, fault_size, "the database has rate limits that cannot be read");
	return db_load_documents(control->db, DB_KIND_LIMITS, take, control);
}

static void tear_down(struct control *control)
{
	struct limits *limits = control->limits;

	if (!limits)
		return;
	for (size_t i = 0; i < limits->count; i++)
		free(limits->list[i]);
	free(limits->list);
	free(limits);
	control->limits = NULL;
}

/* A stopped container keeps its rules; those of a deleted one have gone with its row. */
static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	if (!model_find(control->model, id))
		take_out(control->limits, id);
}

const struct feature limits_feature = {
	.name = "limits",
	.set_up = set_up,
	.tear_down = tear_down,
	.gone = gone,
};
