// SPDX-License-Identifier: Apache-2.0
/* Sets of firewall rules in memory, see firewall.h. */
#include "control/firewall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void firewall_rule_clear(struct firewall_rule *rule)
{
	free(rule->description);
	free(rule->name);
	rule->description = rule->name = NULL;
}

struct firewall_rules *firewall_rules_create(void)
{
	struct firewall_rules *rules = calloc(1, sizeof(*rules));

	if (rules)
		rules->next_id = 1;
	return rules;
}

void firewall_rules_free(struct firewall_rules *rules)
{
	if (!rules)
		return;
	for (uint32_t i = 0; i < rules->count; i++)
		firewall_rule_clear(&rules->rules[i]);
	free(rules->rules);
	free(rules);
}

struct firewall_rules *firewall_rules_copy(const struct firewall_rules *rules)
{
	struct firewall_rules *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *rules;
	copy->count = 0;
	copy->room = rules->count + 1;
	copy->rules = calloc(copy->room, sizeof(*copy->rules));
	if (!copy->rules)
		goto err_free;
	for (uint32_t i = 0; i < rules->count; i++) {
		struct firewall_rule *rule = &copy->rules[i];

		*rule = rules->rules[i];
		rule->name = rule->name ? strdup(rule->name) : NULL;
		rule->description = rule->description ? strdup(rule->description) : NULL;
		copy->count++;
		if (!rule->name != !rules->rules[i].name ||
		    !rule->description != !rules->rules[i].description)
			goto err_free;
	}
	return copy;

err_free:
	firewall_rules_free(copy);
	return NULL;
}

static int compare_prefix(const struct fw_prefix *a, const struct fw_prefix *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return memcmp(a->address, b->address, sizeof(a->address));
}

/* By what a rule means: id, description and time are not part of it. */
static int compare(const struct firewall_rule *a, const struct firewall_rule *b)
{
	const uint32_t left = (uint32_t)a->direction << 24 | (uint32_t)a->action << 16 |
			      (uint32_t)a->protocol << 8 | a->peer;
	const uint32_t right = (uint32_t)b->direction << 24 | (uint32_t)b->action << 16 |
			       (uint32_t)b->protocol << 8 | b->peer;
	const uint32_t left_ports = (uint32_t)a->port_first << 16 | a->port_last;
	const uint32_t right_ports = (uint32_t)b->port_first << 16 | b->port_last;

	if (left != right)
		return left < right ? -1 : 1;
	if (left_ports != right_ports)
		return left_ports < right_ports ? -1 : 1;
	if (a->peer == FIREWALL_PREFIX)
		return compare_prefix(&a->prefix, &b->prefix);
	if (a->peer == FIREWALL_NAME)
		return strcmp(a->name, b->name);
	if (a->peer != FIREWALL_ANYWHERE)
		return memcmp(a->peer_id, b->peer_id, ID_LEN);
	return 0;
}

static int grow(struct firewall_rules *rules)
{
	uint32_t room = rules->room ? rules->room * 2 : 8;
	void *grown;

	if (rules->count < rules->room)
		return 0;
	grown = reallocarray(rules->rules, room, sizeof(*rules->rules));
	if (!grown)
		return -ENOMEM;
	rules->rules = grown;
	rules->room = room;
	return 0;
}

int firewall_rules_add(struct firewall_rules *rules, struct firewall_rule *rule,
		       struct container_fault *fault)
{
	if (rules->count >= FW_RULES_MAX || rules->next_id == UINT32_MAX)
		return container_fault_set(fault, 422, "too_many", "rules",
					   "a container may have %d rules: use wider prefixes or port ranges",
					   FW_RULES_MAX);
	if (grow(rules))
		return container_fault_set(fault, 503, "unavailable", "", "out of memory");
	rule->id = rules->next_id++;
	rule->packets = rule->bytes = 0;
	rules->rules[rules->count++] = *rule;
	rule->description = rule->name = NULL;
	return 0;
}

static int compare_pointers(const void *a, const void *b)
{
	const struct firewall_rule *left = *(struct firewall_rule *const *)a;
	const struct firewall_rule *right = *(struct firewall_rule *const *)b;
	const int order = compare(left, right);

	return order ? order : (left < right ? -1 : left > right);
}

int firewall_rules_check_duplicates(const struct firewall_rules *rules,
				    struct container_fault *fault)
{
	struct firewall_rule **sorted;
	char field[32];
	int ret = 0;

	if (rules->count < 2)
		return 0;
	sorted = calloc(rules->count, sizeof(struct firewall_rule *));
	if (!sorted)
		return container_fault_set(fault, 503, "unavailable", "", "out of memory");
	for (uint32_t i = 0; i < rules->count; i++)
		sorted[i] = &rules->rules[i];
	qsort(sorted, rules->count, sizeof(*sorted), compare_pointers);
	for (uint32_t i = 1; i < rules->count && !ret; i++) {
		if (compare(sorted[i - 1], sorted[i]))
			continue;
		snprintf(field, sizeof(field), "rules[%zu]", (size_t)(sorted[i] - rules->rules));
		ret = container_fault_set(fault, 409, "duplicate", field,
					  "means the same as rules[%zu], which has the id %u",
					  (size_t)(sorted[i - 1] - rules->rules),
					  sorted[i - 1]->id);
	}
	free(sorted);
	return ret;
}

struct firewall_rule *firewall_rules_find(const struct firewall_rules *rules, uint32_t id)
{
	uint32_t low = 0, high = rules ? rules->count : 0;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (rules->rules[middle].id == id)
			return &rules->rules[middle];
		if (rules->rules[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void firewall_rules_remove(struct firewall_rules *rules, struct firewall_rule *rule)
{
	const uint32_t index = (uint32_t)(rule - rules->rules);

	firewall_rule_clear(rule);
	memmove(rule, rule + 1, (rules->count - index - 1) * sizeof(*rule));
	rules->count--;
}
