// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about rate limits of a container: show, replace all (PUT), set one
 * (POST) and take one away (DELETE). A rule is named by what it is for: its
 * service and "per". An answer to a change means that it holds in every worker.
 */
#include "control/api.h"
#include "control/limits.h"

#include <errno.h>
#include <string.h>

static yyjson_mut_val *item(yyjson_mut_doc *document, const void *items, unsigned int number)
{
	const struct limits_rules *rules = items;

	return limits_rule_json(document, &rules->rules[number]);
}

static void reply(void *context)
{
	struct api_call *call = context;
	const struct limits_rules *rules;

	if (!api_container(call))
		return;
	rules = limits_find(call->control, call->id);
	api_reply_items(call, "limits", rules, rules ? rules->count : 0, item);
}

static void show(struct api_call *call)
{
	reply(call);
}

/* What is there now, to be changed. */
static struct limits_rules current(const struct api_call *call)
{
	const struct limits_rules *rules = limits_find(call->control, call->id);
	struct limits_rules copy = { .count = 0 };

	if (rules)
		copy = *rules;
	memcpy(copy.id, call->id, ID_LEN);
	return copy;
}

static void store(struct api_call *call, const struct limits_rules *rules)
{
	int ret = limits_store(call->control, rules);

	if (ret)
		api_reply_not_stored(call, ret, "");
	else
		api_reply_published(call, reply);
}

static void replace(struct api_call *call)
{
	struct limits_rules rules = { .count = 0 };
	const char *field, *message;

	if (!api_container(call))
		return;
	memcpy(rules.id, call->id, ID_LEN);
	if (limits_parse(call->body, &rules, &field, &message))
		api_reply_refused(call, field, message);
	else
		store(call, &rules);
}

static void set(struct api_call *call)
{
	struct limits_rules rules;
	const char *field, *message;
	struct image_limit rule, *old;

	if (!api_container(call))
		return;
	rules = current(call);
	if (limits_rule_parse(call->body, &rule, &field, &message)) {
		api_reply_refused(call, field, message);
		return;
	}
	old = limits_rule_find(&rules, rule.service, rule.flags & IMAGE_LIMIT_PER_CLIENT);
	if (!old && rules.count == IMAGE_LIMITS_MAX) {
		api_reply_error(call, 507, "full", NULL, "the container has %d rules, which is the most",
				IMAGE_LIMITS_MAX);
		return;
	}
	*(old ? old : &rules.rules[rules.count++]) = rule;
	store(call, &rules);
}

static void take_away(struct api_call *call)
{
	const char *service = api_query(call, "service"), *per = api_query(call, "per");
	struct limits_rules rules;
	struct image_limit *old;

	if (per && strcmp(per, "client") && strcmp(per, "all")) {
		api_reply_refused(call, "per", "must be \"client\" or \"all\"");
		return;
	}
	if (!api_container(call))
		return;
	rules = current(call);
	old = limits_rule_find(&rules, service ? service : "", per && !strcmp(per, "client"));
	if (!old) {
		api_reply_error(call, 404, "not_found", NULL,
				"the container has no rule for this service and \"per\"");
		return;
	}
	*old = rules.rules[--rules.count];
	store(call, &rules);
}

#define PATTERN	"/api/v1/containers/{id}/proxy/limits"

const struct api_route api_limits_routes[] = {
	{ "GET", PATTERN, API_BODY_NONE, NULL, show },
	{ "PUT", PATTERN, API_BODY_REQUIRED, NULL, replace },
	{ "POST", PATTERN, API_BODY_REQUIRED, NULL, set },
	{ "DELETE", PATTERN, API_BODY_NONE, "service per", take_away },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
