// SPDX-License-Identifier: Apache-2.0
/* How services are reached, as JSON: in calls, and stored. */
#include "control/services.h"

#include "control/json_list.h"

#include <errno.h>
#include <string.h>

static yyjson_mut_val *middleware_json(yyjson_mut_doc *document, const struct image_option *option)
{
	yyjson_mut_val *object = yyjson_mut_obj(document);
	char id[ID_TEXT_LEN + 1];

	id_format(option->via_container, id);
	yyjson_mut_obj_add_strcpy(document, object, "container", id);
	yyjson_mut_obj_add_strcpy(document, object, "service", option->via_service);
	yyjson_mut_obj_add_uint(document, object, "instance", option->via_instance);
	return object;
}

yyjson_mut_val *services_option_json(yyjson_mut_doc *document, const struct image_option *option)
{
	yyjson_mut_val *object = yyjson_mut_obj(document);

	yyjson_mut_obj_add_strcpy(document, object, "service", option->service);
	if (option->instance)
		yyjson_mut_obj_add_uint(document, object, "instance", option->instance);
	else
		yyjson_mut_obj_add_null(document, object, "instance");
	yyjson_mut_obj_add_str(document, object, "protocol",
			       option->flags & IMAGE_OPTION_H2C ? "h2c" : "http1");
	if (option->flags & IMAGE_OPTION_VIA)
		yyjson_mut_obj_add_val(document, object, "middleware", middleware_json(document, option));
	else
		yyjson_mut_obj_add_null(document, object, "middleware");
	return object;
}

static int parse_service(yyjson_val *value, char service[IMAGE_NAME_MAX])
{
	const char *text = json_list_text(value);

	if (!text || !config_service_name_ok(text, strlen(text)))
		return -EINVAL;
	strcpy(service, text);
	return 0;
}

static int parse_instance(yyjson_val *value, uint16_t *instance)
{
	if (!yyjson_is_uint(value) || !yyjson_get_uint(value) || yyjson_get_uint(value) > 65535)
		return -EINVAL;
	*instance = (uint16_t)yyjson_get_uint(value);
	return 0;
}

/* {"container", "service", "instance"}, or null */
static int parse_middleware(yyjson_val *json, struct image_option *option)
{
	yyjson_val *key, *value;
	bool container = false;
	size_t i, max;

	if (yyjson_is_null(json))
		return 0;
	if (!yyjson_is_obj(json))
		return -EINVAL;
	yyjson_obj_foreach(json, i, max, key, value)
	{
		const char *name = yyjson_get_str(key), *text = json_list_text(value);
		int ret = -EINVAL;

		if (!strcmp(name, "container")) {
			ret = text ? id_parse(text, strlen(text), option->via_container) : -EINVAL;
			container = true;
		} else if (!strcmp(name, "service")) {
			ret = parse_service(value, option->via_service);
		} else if (!strcmp(name, "instance")) {
			ret = parse_instance(value, &option->via_instance);
		}
		if (ret)
			return -EINVAL;
	}
	option->flags |= IMAGE_OPTION_VIA;
	return container && option->via_service[0] && option->via_instance ? 0 : -EINVAL;
}

static int parse_field(const char *name, yyjson_val *value, void *target, const char **message)
{
	const char *text = json_list_text(value);
	struct image_option *option = target;

	if (!strcmp(name, "service")) {
		*message = "must be the name of a service";
		return parse_service(value, option->service);
	}
	if (!strcmp(name, "instance")) {
		*message = "must be a number from 1 to 65535, or null for all of them";
		return yyjson_is_null(value) ? 0 : parse_instance(value, &option->instance);
	}
	if (!strcmp(name, "protocol")) {
		*message = "must be \"http1\" or \"h2c\" (HTTP/2 without TLS, as gRPC speaks it)";
		if (!text || (strcmp(text, "http1") && strcmp(text, "h2c")))
			return -EINVAL;
		if (!strcmp(text, "h2c"))
			option->flags |= IMAGE_OPTION_H2C;
		return 0;
	}
	if (!strcmp(name, "middleware")) {
		*message = "must be {\"container\": ID, \"service\": NAME, \"instance\": N}, or null";
		return parse_middleware(value, option);
	}
	*message = "is not a known field";
	return -EINVAL;
}

int services_option_parse(yyjson_val *json, struct image_option *option, const char **field,
			  const char **message)
{
	memset(option, 0, sizeof(*option));
	if (json_list_object(json, parse_field, option, field, message))
		return -EINVAL;
	*field = "service";
	*message = "is required: the name of a service";
	return option->service[0] ? 0 : -EINVAL;
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

static int take_option(yyjson_val *json, void *target, const char **field, const char **message)
{
	struct services_options *options = target;
	struct image_option option;

	if (services_option_parse(json, &option, field, message))
		return -EINVAL;
	*field = "service";
	*message = "has two entries for the same instance";
	if (services_option_find(options, option.service, option.instance))
		return -EINVAL;
	options->options[options->count++] = option;
	return 0;
}

int services_parse(yyjson_val *body, struct services_options *options, const char **field,
		   const char **message)
{
	options->count = 0;
	return json_list_parse(body, "services", IMAGE_OPTIONS_MAX,
			       "must be a list of at most 32 entries", take_option, options, field,
			       message);
}

static yyjson_mut_val *option_at(yyjson_mut_doc *document, const void *source, size_t index)
{
	return services_option_json(document,
				    &((const struct services_options *)source)->options[index]);
}

char *services_format(const struct services_options *options)
{
	return json_list_format("services", options->count, option_at, options);
}
