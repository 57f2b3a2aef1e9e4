// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about how services of a container are reached: show, replace all
 * (PUT), set one (POST) and take one away (DELETE). An entry is named by what it
 * is for: its service, and the instance or all of them. An answer to a change means
 * that it holds in every worker.
 */
#include "control/api.h"
#include "control/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static yyjson_mut_val *item(yyjson_mut_doc *document, const void *items, unsigned int number)
{
	const struct services_options *options = items;

	return services_option_json(document, &options->options[number]);
}

static void reply(void *context)
{
	struct api_call *call = context;
	const struct services_options *options;

	if (!api_container(call))
		return;
	options = services_find(call->control, call->id);
	api_reply_items(call, "services", options, options ? options->count : 0, item);
}

static void show(struct api_call *call)
{
	reply(call);
}

/* What is there now, to be changed. */
static struct services_options current(const struct api_call *call)
{
	const struct services_options *options = services_find(call->control, call->id);
	struct services_options copy = { .count = 0 };

	if (options)
		copy = *options;
	memcpy(copy.id, call->id, ID_LEN);
	return copy;
}

static void store(struct api_call *call, const struct services_options *options)
{
	const char *field, *message;
	int ret;

	if (services_check(call->control, options, call->realm, &field, &message)) {
		api_reply_refused(call, field, message);
		return;
	}
	ret = services_store(call->control, options);
	if (ret)
		api_reply_not_stored(call, ret, "");
	else
		api_reply_published(call, reply);
}

static void replace(struct api_call *call)
{
	struct services_options options = { .count = 0 };
	const char *field, *message;

	if (!api_container(call))
		return;
	memcpy(options.id, call->id, ID_LEN);
	if (services_parse(call->body, &options, &field, &message))
		api_reply_refused(call, field, message);
	else
		store(call, &options);
}

static void set(struct api_call *call)
{
	struct services_options options;
	const char *field, *message;
	struct image_option option, *old;

	if (!api_container(call))
		return;
	options = current(call);
	if (services_option_parse(call->body, &option, &field, &message)) {
		api_reply_refused(call, field, message);
		return;
	}
	old = services_option_find(&options, option.service, option.instance);
	if (!old && options.count == IMAGE_OPTIONS_MAX) {
		api_reply_error(call, 507, "full", NULL,
				"the container has %d entries, which is the most", IMAGE_OPTIONS_MAX);
		return;
	}
	*(old ? old : &options.options[options.count++]) = option;
	store(call, &options);
}

static void take_away(struct api_call *call)
{
	const char *service = api_query(call, "service"), *text = api_query(call, "instance");
	unsigned long instance = text ? strtoul(text, NULL, 10) : 0;
	struct services_options options;
	struct image_option *old;

	if (text && (!instance || instance > 65535 || strspn(text, "0123456789") != strlen(text))) {
		api_reply_refused(call, "instance", "must be a number from 1 to 65535");
		return;
	}
	if (!api_container(call))
		return;
	options = current(call);
	old = services_option_find(&options, service ? service : "", instance);
	if (!old) {
		api_reply_error(call, 404, "not_found", NULL,
				"the container has no entry for this service and instance");
		return;
	}
	*old = options.options[--options.count];
	store(call, &options);
}

#define PATTERN	"/api/v1/containers/{id}/proxy/services"

const struct api_route api_services_routes[] = {
	{ "GET", PATTERN, API_BODY_NONE, NULL, show },
	{ "PUT", PATTERN, API_BODY_REQUIRED, NULL, replace },
	{ "POST", PATTERN, API_BODY_REQUIRED, NULL, set },
	{ "DELETE", PATTERN, API_BODY_NONE, "service instance", take_away },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
