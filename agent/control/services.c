// SPDX-License-Identifier: Apache-2.0
/* How services are reached, see services.h. The calls are in api_services.c. */
#include "control/services.h"

#include "control/documents.h"
#include "control/feature.h"

#include <errno.h>
#include <string.h>

const struct services_options *services_find(const struct control *control,
					     const uint8_t id[ID_LEN])
{
	return documents_find(control->services, id);
}

/* What holds for @service, @instance in @options: for one instance, else for all. */
static const struct image_option *effective(const struct services_options *options,
					    const char *service, uint16_t instance)
{
	const struct image_option *found = NULL;

	for (unsigned int i = 0; options && i < options->count; i++) {
		const struct image_option *option = &options->options[i];

		if (strcmp(option->service, service))
			continue;
		if (option->instance == instance)
			return option;
		if (!option->instance)
			found = option;
	}
	return found;
}

/*
 * How many middlewares stand before @service, with @change in place of what is stored
 * for its container; more than IMAGE_MIDDLEWARES_MAX also where they lead back.
 */
static unsigned int count_before(const struct documents *services,
				 const struct services_options *change, const uint8_t id[ID_LEN],
				 const char *service, uint16_t instance)
{
	unsigned int count = 0;

	while (count <= IMAGE_MIDDLEWARES_MAX) {
		const bool changed = !memcmp(id, change->id, ID_LEN);
		const struct image_option *option =
			effective(changed ? change : documents_find(services, id), service, instance);

		if (!option || !(option->flags & IMAGE_OPTION_VIA))
			break;
		id = option->via_container;
		service = option->via_service;
		instance = option->via_instance;
		count++;
	}
	return count;
}

/* Whether each way that @options begin ends at a middleware that has none itself. */
static bool ways_end(const struct documents *services, const struct services_options *change,
		     const struct services_options *options)
{
	for (unsigned int i = 0; i < options->count; i++) {
		const struct image_option *option = &options->options[i];

		if ((option->flags & IMAGE_OPTION_VIA) &&
		    count_before(services, change, option->via_container, option->via_service,
				 option->via_instance) >= IMAGE_MIDDLEWARES_MAX)
			return false;
	}
	return true;
}

int services_check(const struct control *control, const struct services_options *options,
		   const char *realm, const char **field, const char **message)
{
	const struct documents *services = control->services;

	*field = "middleware";
	for (unsigned int i = 0; i < options->count; i++) {
		const struct image_option *option = &options->options[i];
		const struct container *container;

		if (!(option->flags & IMAGE_OPTION_VIA))
			continue;
		container = model_find(control->model, option->via_container);
		*message = "names a container that there is none of";
		if (!container || (realm[0] && strcmp(container->realm, realm)))
			return -EINVAL;
	}
	*message = "leads back to the service itself, or through more than 8 others";
	if (!ways_end(services, options, options))
		return -EINVAL;
	*message = "is for a service that is a middleware itself: the way of another one would "
		   "lead back to it, or through more than 8";
	for (size_t i = 0; i < services->table.count; i++) {
		const struct services_options *other = services->table.list[i];

		if (memcmp(other->id, options->id, ID_LEN) && !ways_end(services, options, other))
			return -EINVAL;
	}
	return 0;
}

int services_store(struct control *control, const struct services_options *options)
{
	return documents_store(control->services, options);
}

int services_publish(const struct control *control, struct image_builder *builder,
		   const uint8_t id[ID_LEN], struct image_container *entry)
{
	const struct services_options *options = services_find(control, id);

	if (!options)
		return 0;
	entry->options_count = options->count;
	return image_builder_add_options(builder, options->options, options->count,
					 &entry->options_first);
}

/* ---- feature ---- */

static int parse(yyjson_val *body, void *document, const char **field, const char **message)
{
	return services_parse(body, document, field, message);
}

static char *format(const void *document)
{
	return services_format(document);
}

static const struct documents_kind kind = {
	.kind = DB_KIND_SERVICES,
	.size = sizeof(struct services_options),
	.what = "options of services",
	.parse = parse,
	.format = format,
};
_Static_assert(offsetof(struct services_options, count) == offsetof(struct documents_head, count),
	       "begins as every document");

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	return documents_open(&kind, control->db, &control->services, fault, fault_size);
}

static void tear_down(struct control *control)
{
	documents_close(control->services);
	control->services = NULL;
}

/* A stopped container keeps its options; those of a deleted one have gone with its row. */
static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	if (!model_find(control->model, id))
		documents_forget(control->services, id);
}

const struct feature services_feature = {
	.name = "services",
	.set_up = set_up,
	.tear_down = tear_down,
	.gone = gone,
};
