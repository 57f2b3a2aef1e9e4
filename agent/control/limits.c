// SPDX-License-Identifier: Apache-2.0
/* Rate limits of containers, see limits.h. The calls are in api_limits.c. */
#include "control/limits.h"

#include "control/documents.h"
#include "control/feature.h"

#include <string.h>

const struct limits_rules *limits_find(const struct control *control, const uint8_t id[ID_LEN])
{
	return documents_find(control->limits, id);
}

int limits_store(struct control *control, const struct limits_rules *rules)
{
	return documents_store(control->limits, rules);
}

int limits_publish(const struct control *control, struct image_builder *builder,
		   const uint8_t id[ID_LEN], struct image_container *entry)
{
	const struct limits_rules *rules = limits_find(control, id);

	if (!rules)
		return 0;
	entry->limits_count = rules->count;
	return image_builder_add_limits(builder, rules->rules, rules->count, &entry->limits_first);
}

/* ---- feature ---- */

static int parse(yyjson_val *body, void *document, const char **field, const char **message)
{
	return limits_parse(body, document, field, message);
}

static char *format(const void *document)
{
	return limits_format(document);
}

static const struct documents_kind kind = {
	.kind = DB_KIND_LIMITS,
	.size = sizeof(struct limits_rules),
	.what = "rate limits",
	.parse = parse,
	.format = format,
};
_Static_assert(offsetof(struct limits_rules, count) == offsetof(struct documents_head, count),
	       "begins as every document");

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	return documents_open(&kind, control->db, &control->limits, fault, fault_size);
}

static void tear_down(struct control *control)
{
	documents_close(control->limits);
	control->limits = NULL;
}

/* A stopped container keeps its rules; those of a deleted one have gone with its row. */
static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	if (!model_find(control->model, id))
		documents_forget(control->limits, id);
}

const struct feature limits_feature = {
	.name = "limits",
	.set_up = set_up,
	.tear_down = tear_down,
	.gone = gone,
};
