/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits of containers: rules that say how many requests pass, of all clients
 * or of each, to one service or to all of them. The database is the truth and is
 * written first; workers keep the buckets (front/limit.h).
 */
#ifndef HOODY_CONTROL_LIMITS_H
#define HOODY_CONTROL_LIMITS_H

#include "control/control.h"

#include <yyjson.h>

/* The rules of one container; none is never stored. */
struct limits_rules {
	uint8_t			id[ID_LEN];
	unsigned int		count;
	struct image_limit	rules[IMAGE_LIMITS_MAX];
};

/* The rules of a container, or NULL. */
const struct limits_rules *limits_find(const struct control *control, const uint8_t id[ID_LEN]);

/* As db.h: 0, or a negative errno and nothing has changed. No rules removes them. */
int limits_store(struct control *control, const struct limits_rules *rules);

/* Adds the rules of @id for the container that is added next. */
struct image_builder;
int limits_publish(const struct control *control, struct image_builder *builder,
		   const uint8_t id[ID_LEN], struct image_container *entry);

/* limits_json.c */
/* The rule for the same requests, or NULL. @service: empty for all. */
struct image_limit *limits_rule_find(struct limits_rules *rules, const char *service,
				     bool per_client);
/*
 * A rule as calls show and take it. limits_rule_parse(): 0, or -EINVAL with the
 * field and what it must be.
 */
yyjson_mut_val *limits_rule_json(yyjson_mut_doc *document, const struct image_limit *rule);
int limits_rule_parse(yyjson_val *json, struct image_limit *rule, const char **field,
		      const char **message);
/* {"limits": [...]}, as PUT takes it and as it is stored; as above. */
int limits_parse(yyjson_val *body, struct limits_rules *rules, const char **field,
		 const char **message);
/* From malloc(), or NULL. */
char *limits_format(const struct limits_rules *rules);

#endif /* HOODY_CONTROL_LIMITS_H */
