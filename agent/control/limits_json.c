// SPDX-License-Identifier: Apache-2.0
/* Rate limits as JSON: in calls, and stored. */
#include "control/limits.h"

#include "control/json_list.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	char		letter;
	uint32_t	seconds;
} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };

#define UNITS	(sizeof(units) / sizeof(units[0]))

yyjson_mut_val *limits_rule_json(yyjson_mut_doc *document, const struct image_limit *rule)
{
	yyjson_mut_val *object = yyjson_mut_obj(document);
	char rate[24], letter = units[0].letter;

	for (size_t i = 0; i < UNITS; i++) {
		if (units[i].seconds == rule->period)
			letter = units[i].letter;
	}
	snprintf(rate, sizeof(rate), "%u/%c", rule->requests, letter);
	if (rule->service[0])
		yyjson_mut_obj_add_strcpy(document, object, "service", rule->service);
	else
		yyjson_mut_obj_add_null(document, object, "service");
	yyjson_mut_obj_add_str(document, object, "per",
			       rule->flags & IMAGE_LIMIT_PER_CLIENT ? "client" : "all");
	yyjson_mut_obj_add_strcpy(document, object, "requests", rate);
	yyjson_mut_obj_add_uint(document, object, "burst", rule->burst);
	return object;
}

/* "100/s" */
static int parse_rate(const char *text, struct image_limit *rule)
{
	unsigned long number;
	char *end;

	if (!text || !isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || !number || number > IMAGE_LIMIT_REQUESTS_MAX || end[0] != '/')
		return -EINVAL;
	for (size_t i = 0; i < UNITS; i++) {
		if (end[1] != units[i].letter || end[2])
			continue;
		rule->requests = (uint32_t)number;
		rule->period = units[i].seconds;
		return 0;
	}
	return -EINVAL;
}

static int parse_field(const char *name, yyjson_val *value, void *target, const char **message)
{
	const char *text = json_list_text(value);
	struct image_limit *rule = target;

	if (!strcmp(name, "service")) {
		*message = "must be the name of a service, or null for all of the container";
		if (yyjson_is_null(value))
			return 0;
		if (!text || !config_service_name_ok(text, strlen(text)))
			return -EINVAL;
		strcpy(rule->service, text);
		return 0;
	}
	if (!strcmp(name, "per")) {
		*message = "must be \"client\" (each has the limit) or \"all\" (they share it)";
		if (!text || (strcmp(text, "client") && strcmp(text, "all")))
			return -EINVAL;
		rule->flags = strcmp(text, "all") ? IMAGE_LIMIT_PER_CLIENT : 0;
		return 0;
	}
	if (!strcmp(name, "requests")) {
		*message = "must be a rate such as \"100/s\": 1 to 1000000 in s, m, h or d";
		return parse_rate(text, rule);
	}
	*message = "must be a number from 1 to 1000000";
	if (!strcmp(name, "burst")) {
		if (!yyjson_is_uint(value) || !yyjson_get_uint(value) ||
		    yyjson_get_uint(value) > IMAGE_LIMIT_REQUESTS_MAX)
			return -EINVAL;
		rule->burst = (uint32_t)yyjson_get_uint(value);
		return 0;
	}
	*message = "is not a known field";
	return -EINVAL;
}

int limits_rule_parse(yyjson_val *json, struct image_limit *rule, const char **field,
		      const char **message)
{
	memset(rule, 0, sizeof(*rule));
	if (json_list_object(json, parse_field, rule, field, message))
		return -EINVAL;
	*field = "requests";
	*message = "is required: a rate such as \"100/s\"";
	if (!rule->requests)
		return -EINVAL;
	if (!rule->burst)
		rule->burst = rule->requests;
	*field = "burst";
	*message = "is so large for the rate that it would take more than a week to fill again";
	return image_limit_ok(rule) ? 0 : -EINVAL;
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

static int take_rule(yyjson_val *json, void *target, const char **field, const char **message)
{
	struct limits_rules *rules = target;
	struct image_limit rule;

	if (limits_rule_parse(json, &rule, field, message))
		return -EINVAL;
	*field = "service";
	*message = "has two rules of the same kind: one service, \"per\" the same";
	if (limits_rule_find(rules, rule.service, rule.flags & IMAGE_LIMIT_PER_CLIENT))
		return -EINVAL;
	rules->rules[rules->count++] = rule;
	return 0;
}

int limits_parse(yyjson_val *body, struct limits_rules *rules, const char **field,
		 const char **message)
{
	rules->count = 0;
	return json_list_parse(body, "limits", IMAGE_LIMITS_MAX,
			       "must be a list of at most 16 rules", take_rule, rules, field,
			       message);
}

static yyjson_mut_val *rule_at(yyjson_mut_doc *document, const void *source, size_t index)
{
	return limits_rule_json(document, &((const struct limits_rules *)source)->rules[index]);
}

char *limits_format(const struct limits_rules *rules)
{
	return json_list_format("limits", rules->count, rule_at, rules);
}
