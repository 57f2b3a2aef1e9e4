// SPDX-License-Identifier: Apache-2.0
/* How services are reached, see services.h. The calls are in api_services.c. */
#include "control/services.h"

#include "control/feature.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The index of @id, or where it would have to be. */
static size_t index_of(const struct services *services, const uint8_t id[ID_LEN], bool *found)
{
	size_t low = 0, high = services->count;

	*found = false;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = memcmp(services->list[middle]->id, id, ID_LEN);

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

const struct services_options *services_find(const struct services *services,
					     const uint8_t id[ID_LEN])
{
	bool found;
	size_t at = index_of(services, id, &found);

	return found ? services->list[at] : NULL;
}

struct image_option *services_option_find(struct services_options *options, const char *service,
					    uint16_t instance)
{
	for (unsigned int i = 0; i < options->count; i++) {
		struct image_option *option = &options->options[i];

		if (!strcmp(option->service, service) && option->instance == instance)
			return option;
	}
	return NULL;
}

static int make_room(struct services *services)
{
	size_t room = services->room ? services->room * 2 : 64;
	struct services_options **list;

	if (services->count < services->room)
		return 0;
	list = realloc(services->list, room * sizeof(*list));
	if (!list)
		return -ENOMEM;
	services->list = list;
	services->room = room;
	return 0;
}

/* Takes @options over; there is room. */
static void put(struct services *services, struct services_options *options)
{
	bool found;
	size_t at = index_of(services, options->id, &found);

	if (found) {
		free(services->list[at]);
	} else {
		memmove(services->list + at + 1, services->list + at,
			(services->count - at) * sizeof(*services->list));
		services->count++;
	}
	services->list[at] = options;
}

static void take_out(struct services *services, const uint8_t id[ID_LEN])
{
	bool found;
	size_t at = index_of(services, id, &found);

	if (!found)
		return;
	free(services->list[at]);
	services->count--;
	memmove(services->list + at, services->list + at + 1,
		(services->count - at) * sizeof(*services->list));
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
static unsigned int count_before(const struct services *services,
				 const struct services_options *change, const uint8_t id[ID_LEN],
				 const char *service, uint16_t instance)
{
	unsigned int count = 0;

	while (count <= IMAGE_MIDDLEWARES_MAX) {
		const bool changed = !memcmp(id, change->id, ID_LEN);
		const struct image_option *option =
			effective(changed ? change : services_find(services, id), service, instance);

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
static bool ways_end(const struct services *services, const struct services_options *change,
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
	const struct services *services = control->services;

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
	for (size_t i = 0; i < services->count; i++) {
		if (memcmp(services->list[i]->id, options->id, ID_LEN) &&
		    !ways_end(services, options, services->list[i]))
			return -EINVAL;
	}
	return 0;
}

int services_store(struct control *control, const struct services_options *options)
{
	struct services_options *copy = malloc(sizeof(*copy));
	char *text = NULL;
	int ret = copy ? make_room(control->services) : -ENOMEM;

	if (!ret && options->count) {
		text = services_format(options);
		ret = text ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = db_put_document(control->db, DB_KIND_SERVICES, options->id, ID_LEN, text, NULL);
	free(text);
	if (ret || !options->count) {
		free(copy);
		if (!ret)
			take_out(control->services, options->id);
		return ret;
	}
	*copy = *options;
	put(control->services, copy);
	return 0;
}

int services_publish(const struct control *control, struct image_builder *builder,
		   const uint8_t id[ID_LEN], struct image_container *entry)
{
	const struct services_options *options = services_find(control->services, id);

	if (!options)
		return 0;
	entry->options_count = options->count;
	return image_builder_add_options(builder, options->options, options->count,
					 &entry->options_first);
}

/* ---- feature ---- */

static int take(void *context, const void *key, size_t key_len, const char *body)
{
	struct control *control = context;
	struct services_options *options;
	const char *field, *message;
	yyjson_doc *document;
	int ret = -EINVAL;

	if (key_len != ID_LEN)
		return -EINVAL;
	options = calloc(1, sizeof(*options));
	if (!options)
		return -ENOMEM;
	memcpy(options->id, key, ID_LEN);
	document = yyjson_read(body, strlen(body), 0);
	if (yyjson_is_obj(yyjson_doc_get_root(document)))
		ret = services_parse(yyjson_doc_get_root(document), options, &field, &message);
	yyjson_doc_free(document);
	if (!ret)
		ret = make_room(control->services);
	if (ret)
		free(options);
	else
		put(control->services, options);
	return ret;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	control->services = calloc(1, sizeof(*control->services));
	snprintf(fault, fault_size, "services: out of memory");
	if (!control->services)
		return -ENOMEM;
	snprintf(fault, fault_size, "the database has options of services that cannot be read");
	return db_load_documents(control->db, DB_KIND_SERVICES, take, control);
}

static void tear_down(struct control *control)
{
	struct services *services = control->services;

	if (!services)
		return;
	for (size_t i = 0; i < services->count; i++)
		free(services->list[i]);
	free(services->list);
	free(services);
	control->services = NULL;
}

/* A stopped container keeps its options; those of a deleted one have gone with its row. */
static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	if (!model_find(control->model, id))
		take_out(control->services, id);
}

const struct feature services_feature = {
	.name = "services",
	.set_up = set_up,
	.tear_down = tear_down,
	.gone = gone,
};
