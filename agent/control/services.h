/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How services of containers are reached, where not in the ordinary way: which
 * protocol they speak, and what requests pass first. The database is the truth and is
 * written first.
 */
#ifndef HOODY_CONTROL_SERVICES_H
#define HOODY_CONTROL_SERVICES_H

#include "control/control.h"

#include <yyjson.h>

/* The entries of one container; none is never stored. */
struct services_options {
	uint8_t			id[ID_LEN];
	unsigned int		count;
	struct image_option	options[IMAGE_OPTIONS_MAX];
};

/* The entries of a container, or NULL. */
const struct services_options *services_find(const struct control *control,
					     const uint8_t id[ID_LEN]);

/*
 * Whether every middleware that @options name may be one: it exists, in @realm
 * (empty: any), and no way, theirs or another container's, leads back or through more
 * than IMAGE_MIDDLEWARES_MAX. 0, or -EINVAL with the field and why not.
 */
int services_check(const struct control *control, const struct services_options *options,
		   const char *realm, const char **field, const char **message);

/* As db.h: 0, or a negative errno and nothing has changed. No entries removes them. */
int services_store(struct control *control, const struct services_options *options);

/* Adds the entries of @id for the container that is added next. */
struct image_builder;
int services_publish(const struct control *control, struct image_builder *builder,
		     const uint8_t id[ID_LEN], struct image_container *entry);

/* services_json.c */
/* The entry for exactly this, or NULL. @instance 0: the one for all. */
struct image_option *services_option_find(struct services_options *options, const char *service,
					  uint16_t instance);
/*
 * An entry as calls show and take it. services_option_parse(): 0, or -EINVAL with
 * the field and what it must be.
 */
yyjson_mut_val *services_option_json(yyjson_mut_doc *document, const struct image_option *option);
int services_option_parse(yyjson_val *json, struct image_option *option, const char **field,
			  const char **message);
/* {"services": [...]}, as PUT takes it and as it is stored; as above. */
int services_parse(yyjson_val *body, struct services_options *options, const char **field,
		   const char **message);
/* From malloc(), or NULL. */
char *services_format(const struct services_options *options);

#endif /* HOODY_CONTROL_SERVICES_H */
