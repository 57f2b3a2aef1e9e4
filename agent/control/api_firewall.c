// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about a container's firewall. A change is compiled before it is stored
 * and in force when it is answered; what does not fit changes nothing.
 */
#include "control/api.h"
#include "control/api_firewall.h"
#include "kernel/bpf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT	1000
#define PAGE_MAX	FW_RULES_MAX

static const struct firewall_rules *rules_of(const struct api_call *call)
{
	const struct firewall_entry *entry = firewall_find(call->control->firewall, call->id);

	return entry ? entry->rules : NULL;
}

static unsigned int direction_of(const struct api_call *call)
{
	return strstr(call->request->path, "/firewall/ingress") ? FW_INGRESS : FW_EGRESS;
}

/* --- showing --- */

static const char *const states[] = {
	[FIREWALL_IDLE] = "idle",
	[FIREWALL_ENFORCED] = "enforced",
	[FIREWALL_FAILED] = "failed",
	[FIREWALL_OFF] = "off",
};

static void add_counters(const struct firewall *firewall, const struct firewall_entry *entry,
			 yyjson_mut_doc *document, yyjson_mut_val *data)
{
	static const char *const classes[FW_FLOW_CLASSES] = { "egress", "ingress", "agent" };
	yyjson_mut_val *drops, *flows, *passed;
	struct fw_teller teller;
	struct fw_state state;

	if (!firewall->bpf || !entry || !entry->slot ||
	    knl_bpf_state(firewall->bpf, entry->slot, &state))
		return;
	passed = yyjson_mut_obj_add_obj(document, data, "passed");
	for (unsigned int i = 0; i < FW_DIRECTIONS; i++)
		yyjson_mut_obj_add_uint(document, passed, firewall_directions[i], state.passed[i]);
	flows = yyjson_mut_obj_add_obj(document, data, "flows");
	for (unsigned int i = 0; i < FW_FLOW_CLASSES; i++)
		yyjson_mut_obj_add_uint(document, flows, classes[i], state.flows[i]);
	drops = yyjson_mut_obj_add_obj(document, data, "drops");
	for (unsigned int i = 1; i < FW_REASONS; i++) {
		if (state.drops[i])
			yyjson_mut_obj_add_uint(document, drops, fw_reason_name(i),
						state.drops[i]);
	}
	yyjson_mut_obj_add_uint(document, data, "events_limited", state.told.limited);
	yyjson_mut_obj_add_uint(document, data, "events_lost", state.told.lost);
	if (knl_bpf_teller(firewall->bpf, entry->slot, &teller))
		return;
	yyjson_mut_obj_add_uint(document, data, "flow_events_limited", teller.limited);
	yyjson_mut_obj_add_uint(document, data, "flow_events_lost", teller.lost);
}

static void reply_firewall(struct api_call *call, int status)
{
	const struct firewall *firewall = call->control->firewall;
	const struct firewall_entry *entry = firewall_find(firewall, call->id);
	const struct firewall_rules *rules = entry ? entry->rules : NULL;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_obj(document);
	char id[ID_TEXT_LEN + 1];
	uint32_t counts[FW_DIRECTIONS] = { 0 };

	for (uint32_t i = 0; rules && i < rules->count; i++)
		counts[rules->rules[i].direction]++;
	id_format(call->id, id);
	yyjson_mut_obj_add_strcpy(document, data, "container", id);
	yyjson_mut_obj_add_str(document, data, "state",
			       states[entry ? entry->state : FIREWALL_IDLE]);
	if (entry && entry->fault[0])
		yyjson_mut_obj_add_strcpy(document, data, "reason", entry->fault);
	else
		yyjson_mut_obj_add_null(document, data, "reason");
	firewall_settings_to_json(rules, document, data);
	yyjson_mut_obj_add_uint(document, data, "revision", rules ? rules->revision : 0);
	yyjson_mut_obj_add_uint(document, data, "egress_rules", counts[FW_EGRESS]);
	yyjson_mut_obj_add_uint(document, data, "ingress_rules", counts[FW_INGRESS]);
	add_counters(firewall, entry, document, data);
	api_reply_data(call, status, document, data);
}

static void show(struct api_call *call)
{
	if (api_container(call))
		reply_firewall(call, 200);
}

/* limit= and cursor= (the last id of the page before); 0, or -1: answered. */
static int parse_page(struct api_call *call, unsigned long *limit, unsigned long *after)
{
	static const char *const names[] = { "limit", "cursor" };
	unsigned long *const values[] = { limit, after };

	*limit = PAGE_DEFAULT;
	*after = 0;
	for (unsigned int i = 0; i < 2; i++) {
		const char *text = api_query(call, names[i]);
		const unsigned long max = i ? UINT32_MAX : PAGE_MAX;
		char *rest;

		if (!text)
			continue;
		*values[i] = strtoul(text, &rest, 10);
		if (*rest || text[0] < '0' || text[0] > '9' || *values[i] < 1 || *values[i] > max) {
			api_reply_error(call, 422, "invalid_value", names[i],
					"is no number from 1 to %lu", max);
			return -1;
		}
	}
	return 0;
}

static yyjson_mut_val *rule_with_counts(const struct firewall_rule *rule,
					const struct firewall_count *count,
					yyjson_mut_doc *document)
{
	yyjson_mut_val *object = firewall_rule_to_json(rule, document);
	char text[32];

	container_format_time(rule->created_at, text);
	yyjson_mut_obj_add_uint(document, object, "packets", count ? count->packets : 0);
	yyjson_mut_obj_add_uint(document, object, "bytes", count ? count->bytes : 0);
	yyjson_mut_obj_add_strcpy(document, object, "created_at", text);
	return object;
}

static void list(struct api_call *call)
{
	const struct firewall_rules *rules;
	const unsigned int direction = direction_of(call);
	const struct firewall_entry *entry;
	struct firewall_count *counts = NULL;
	unsigned long limit, after, listed = 0, last = 0;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;
	bool more = false;
	char cursor[16];

	if (!api_container(call) || parse_page(call, &limit, &after))
		return;
	entry = firewall_find(call->control->firewall, call->id);
	rules = entry ? entry->rules : NULL;
	if (rules)
		counts = firewall_counts(call->control->firewall, entry);
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_arr(document);
	for (uint32_t i = 0; rules && i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];

		if (rule->direction != direction || rule->id <= after)
			continue;
		more = listed == limit;
		if (more)
			break;
		yyjson_mut_arr_append(data, rule_with_counts(rule, counts ? &counts[i] : NULL,
							     document));
		last = rule->id;
		listed++;
	}
	free(counts);
	snprintf(cursor, sizeof(cursor), "%lu", last);
	api_reply_page(call, document, data, more ? cursor : NULL);
}

/* --- changing --- */

/* A copy of the rules there are, or none; NULL: answered. */
static struct firewall_rules *draft(struct api_call *call)
{
	const struct firewall_rules *rules = rules_of(call);
	struct firewall_rules *copy = rules ? firewall_rules_copy(rules) :
					      firewall_rules_create();

	if (!copy)
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
	return copy;
}

/* 0: stored and in force; -1: the call has been answered. @rules is taken over. */
static int store(struct api_call *call, const struct container *container,
		 struct firewall_rules *rules)
{
	struct container_fault fault = { 0 };

	if (!firewall_store(call->control->firewall, container, rules, &fault))
		return 0;
	api_reply_fault(call, &fault);
	return -1;
}

/* A container that a rule names must be there: an id that is mistyped matches nothing. */
static int check_selectors(const struct api_call *call, const struct firewall_rules *rules,
			   uint32_t from, bool list, struct container_fault *fault)
{
	char where[24] = "", field[64];

	for (uint32_t i = from; i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];

		if (rule->peer != FIREWALL_CONTAINER ||
		    model_find(call->control->model, rule->peer_id))
			continue;
		if (list)
			snprintf(where, sizeof(where), "rules[%u].", i);
		snprintf(field, sizeof(field), "%s%s", where,
			 rule->direction == FW_EGRESS ? "destination" : "source");
		return container_fault_set(fault, 422, "invalid_value", field,
					   "names a container that is not registered");
	}
	return 0;
}

static void create(struct api_call *call)
{
	const struct container *container = api_container(call);
	const unsigned int direction = direction_of(call);
	struct container_fault fault = { 0 };
	struct firewall_rules *rules;
	struct firewall_rule rule;
	yyjson_mut_doc *document;

	if (!container)
		return;
	if (firewall_rule_from_json(&rule, call->body, direction, "", &fault)) {
		api_reply_fault(call, &fault);
		return;
	}
	rules = draft(call);
	if (!rules) {
		firewall_rule_clear(&rule);
		return;
	}
	/* What is allowed by name needs the rest to be closed. */
	if (rule.action == FW_ALLOW)
		rules->closed[direction] = true;
	if (firewall_rules_add(rules, &rule, &fault) ||
	    firewall_rules_check_duplicates(rules, &fault) ||
	    check_selectors(call, rules, rules->count - 1, false, &fault)) {
		firewall_rule_clear(&rule);
		firewall_rules_free(rules);
		if (!strcmp(fault.code, "duplicate"))
			fault.field[0] = '\0';
		api_reply_fault(call, &fault);
		return;
	}
	if (store(call, container, rules))
		return;
	rules = firewall_find(call->control->firewall, call->id)->rules;
	document = yyjson_mut_doc_new(NULL);
	api_reply_data(call, 201, document,
		       rule_with_counts(&rules->rules[rules->count - 1], NULL, document));
}

static void delete_rule(struct api_call *call)
{
	const struct container *container = api_container(call);
	const unsigned int direction = direction_of(call);
	struct firewall_rules *rules;
	struct firewall_rule *rule;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;
	unsigned long id;
	char *rest;

	if (!container)
		return;
	id = strtoul(call->name, &rest, 10);
	rules = *rest || id > UINT32_MAX ? NULL : (struct firewall_rules *)rules_of(call);
	rule = firewall_rules_find(rules, (uint32_t)id);
	if (!rule || rule->direction != direction) {
		api_reply_error(call, 404, "not_found", "rule", "the container has no %s rule %.32s",
				firewall_directions[direction], call->name);
		return;
	}
	rules = draft(call);
	if (!rules)
		return;
	firewall_rules_remove(rules, firewall_rules_find(rules, (uint32_t)id));
	if (store(call, container, rules))
		return;
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	yyjson_mut_obj_add_uint(document, data, "id", id);
	yyjson_mut_obj_add_bool(document, data, "deleted", true);
	api_reply_data(call, 200, document, data);
}

/* An empty set that goes on with the ids of the one before, and what is not about rules. */
static struct firewall_rules *fresh(struct api_call *call)
{
	const struct firewall_rules *old = rules_of(call);
	struct firewall_rules *rules = firewall_rules_create();

	if (!rules)
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
	if (!rules || !old)
		return rules;
	rules->next_id = old->next_id;
	rules->log_flows = old->log_flows;
	rules->strict_names = old->strict_names;
	return rules;
}

static void reset(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct firewall_rules *rules = container ? fresh(call) : NULL;

	if (!rules)
		return;
	rules->closed[FW_EGRESS] = rules->closed[FW_INGRESS] = true;
	if (!store(call, container, rules))
		reply_firewall(call, 200);
}

static void open_all(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct firewall_rules *rules = container ? fresh(call) : NULL;

	if (rules && !store(call, container, rules))
		reply_firewall(call, 200);
}

static void replace(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct container_fault fault = { 0 };
	struct firewall_rules *rules = container ? fresh(call) : NULL;

	if (!rules)
		return;
	if (firewall_rules_from_json(rules, call->body, &fault) ||
	    check_selectors(call, rules, 0, true, &fault)) {
		firewall_rules_free(rules);
		api_reply_fault(call, &fault);
		return;
	}
	if (!store(call, container, rules))
		reply_firewall(call, 200);
}

static void patch(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct container_fault fault = { 0 };
	struct firewall_rules *rules = container ? draft(call) : NULL;

	if (!rules)
		return;
	if (firewall_settings_from_json(rules, call->body, &fault)) {
		firewall_rules_free(rules);
		api_reply_fault(call, &fault);
		return;
	}
	/* What a closed direction would drop is what there is to learn. */
	if (rules->learn && !yyjson_obj_get(call->body, "defaults"))
		rules->closed[FW_EGRESS] = rules->closed[FW_INGRESS] = true;
	if (!store(call, container, rules))
		reply_firewall(call, 200);
}

#define BASE	"/api/v1/containers/{id}/firewall"

const struct api_route api_firewall_routes[] = {
	{ "GET", BASE, API_BODY_NONE, NULL, show },
	{ "PUT", BASE, API_BODY_REQUIRED, NULL, replace },
	{ "PATCH", BASE, API_BODY_REQUIRED, NULL, patch },
	{ "DELETE", BASE, API_BODY_NONE, NULL, open_all },
	{ "POST", BASE "/reset", API_BODY_OPTIONAL, NULL, reset },
	{ "GET", BASE "/egress", API_BODY_NONE, "limit cursor", list },
	{ "POST", BASE "/egress", API_BODY_REQUIRED, NULL, create },
	{ "DELETE", BASE "/egress/{name}", API_BODY_NONE, NULL, delete_rule },
	{ "GET", BASE "/ingress", API_BODY_NONE, "limit cursor", list },
	{ "POST", BASE "/ingress", API_BODY_REQUIRED, NULL, create },
	{ "DELETE", BASE "/ingress/{name}", API_BODY_NONE, NULL, delete_rule },
	{ "POST", BASE "/explain", API_BODY_REQUIRED, NULL, api_firewall_explain },
	{ "GET", BASE "/drops", API_BODY_NONE, "limit after", api_firewall_drops },
	{ "GET", BASE "/events", API_BODY_NONE, "limit after", api_firewall_events },
	{ "GET", BASE "/learned", API_BODY_NONE, NULL, api_firewall_learned },
	{ "DELETE", BASE "/learned", API_BODY_NONE, NULL, api_firewall_forget },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
