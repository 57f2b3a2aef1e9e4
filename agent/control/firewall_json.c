// SPDX-License-Identifier: Apache-2.0
/*
 * Firewall rules as JSON, in the API and in the database, see firewall.h. A field
 * that is not known or does not fit is refused by name; nothing is corrected.
 */
#include "control/firewall.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const firewall_directions[FW_DIRECTIONS] = { "egress", "ingress" };
const char *const firewall_protocols[] = { "any", "tcp", "udp", "icmp", "icmpv6", NULL };
static const char *const actions[] = { [FW_NONE] = "none", [FW_ALLOW] = "allow", [FW_DENY] = "deny" };

const char *firewall_action_name(uint8_t action)
{
	return action <= FW_DENY ? actions[action] : "none";
}

__attribute__((format(printf, 4, 5))) static int refuse(struct container_fault *fault,
							const char *where, const char *name,
							const char *format, ...)
{
	char field[96], text[320];
	va_list args;

	snprintf(field, sizeof(field), "%s%s", where, name);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return container_fault_set(fault, 422, "invalid_value", field, "%s", text);
}

static int refuse_unknown(struct container_fault *fault, const char *where, const char *name)
{
	char field[96];

	snprintf(field, sizeof(field), "%s%.64s", where, name);
	return container_fault_set(fault, 422, "unknown_field", field, "is no field of this call");
}

const char *firewall_peer_format(const struct firewall_rule *rule, char text[FIREWALL_PEER_MAX])
{
	const bool project = rule->peer == FIREWALL_PROJECT;
	char id[ID_TEXT_LEN + 1];

	if (rule->peer == FIREWALL_ANYWHERE)
		return NULL;
	if (rule->peer == FIREWALL_NAME)
		return rule->name;
	if (rule->peer == FIREWALL_PREFIX) {
		fw_prefix_format(&rule->prefix, text);
	} else {
		id_format(rule->peer_id, id);
		snprintf(text, FIREWALL_PEER_MAX, "%s:%s", project ? "project" : "container", id);
	}
	return text;
}

int firewall_peer_parse(const char *text, struct firewall_rule *rule, const char **why)
{
	const bool project = !strncmp(text, "project:", 8);

	if (!strcmp(text, "any")) {
		rule->peer = FIREWALL_ANYWHERE;
		return 0;
	}
	if (project || !strncmp(text, "container:", 10)) {
		const char *id = text + (project ? 8 : 10);

		*why = "has no id of 24 hexadecimal digits behind the colon";
		rule->peer = project ? FIREWALL_PROJECT : FIREWALL_CONTAINER;
		return id_parse(id, strlen(id), rule->peer_id) ? -1 : 0;
	}
	if (name_is_meant(text)) {
		char name[NAMES_TEXT_MAX];

		if (name_parse(text, name, why))
			return -1;
		*why = "is not kept: out of memory";
		rule->peer = FIREWALL_NAME;
		free(rule->name);
		rule->name = strdup(name);
		return rule->name ? 0 : -1;
	}
	rule->peer = FIREWALL_PREFIX;
	return fw_prefix_parse(text, &rule->prefix, why) ? -1 : 0;
}

static int take_word(yyjson_val *value, const char *const *words, const char *where,
		     const char *name, const char *accepted, uint8_t *out,
		     struct container_fault *fault)
{
	const char *text = yyjson_get_str(value);

	for (uint8_t i = 0; text && words[i]; i++) {
		if (!strcmp(text, words[i])) {
			*out = i;
			return 0;
		}
	}
	return refuse(fault, where, name, "is not %s", accepted);
}

static int take_action(struct firewall_rule *rule, yyjson_val *value, const char *where,
		       struct container_fault *fault)
{
	const char *text = yyjson_get_str(value);

	if (text && !strcmp(text, "allow"))
		rule->action = FW_ALLOW;
	else if (text && !strcmp(text, "deny"))
		rule->action = FW_DENY;
	else
		return refuse(fault, where, "action", "is neither allow nor deny");
	return 0;
}

static int take_ports(struct firewall_rule *rule, yyjson_val *value, const char *where,
		      struct container_fault *fault)
{
	const char *text = yyjson_get_str(value), *why = "is neither a port nor a range";
	char number[32];

	if (yyjson_is_null(value))
		return 0;
	if (yyjson_is_uint(value)) {
		snprintf(number, sizeof(number), "%llu",
			 (unsigned long long)yyjson_get_uint(value));
		text = number;
	}
	if (!text || fw_ports_parse(text, &rule->port_first, &rule->port_last, &why))
		return refuse(fault, where, "destination_port", "%s", why);
	return 0;
}

static int take_peer(struct firewall_rule *rule, yyjson_val *value, const char *name,
		     const char *where, struct container_fault *fault)
{
	const char *why = "is no string", *text = yyjson_get_str(value);

	if (yyjson_is_null(value))
		return 0;
	if (!text || strlen(text) != yyjson_get_len(value) ||
	    firewall_peer_parse(text, rule, &why))
		return refuse(fault, where, name, "%s%.64s%s%s", text ? "'" : "",
			      text ? text : "", text ? "' " : "", why);
	return 0;
}

static int take_description(struct firewall_rule *rule, yyjson_val *value, const char *where,
			    struct container_fault *fault)
{
	const char *text = yyjson_get_str(value);
	const size_t len = yyjson_get_len(value);

	if (yyjson_is_null(value) || (text && !len))
		return 0;
	if (!text)
		return refuse(fault, where, "description", "is no string");
	if (len >= FIREWALL_DESCRIPTION_MAX)
		return refuse(fault, where, "description", "has %zu bytes; at most %d are possible",
			      len, FIREWALL_DESCRIPTION_MAX - 1);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return refuse(fault, where, "description", "holds a control character");
	}
	free(rule->description);
	rule->description = strdup(text);
	if (!rule->description)
		return container_fault_set(fault, 503, "unavailable", "", "out of memory");
	return 0;
}

static int take_field(struct firewall_rule *rule, const char *name, yyjson_val *value,
		      unsigned int direction, const char *where, struct container_fault *fault)
{
	const char *peer = rule->direction == FW_EGRESS ? "destination" : "source";

	if (!strcmp(name, "action"))
		return take_action(rule, value, where, fault);
	if (!strcmp(name, "protocol"))
		return take_word(value, firewall_protocols, where, name,
				 "tcp, udp, icmp, icmpv6 or any", &rule->protocol, fault);
	if (!strcmp(name, peer))
		return take_peer(rule, value, peer, where, fault);
	if (!strcmp(name, "source") || !strcmp(name, "destination"))
		return refuse(fault, where, name, "does not go with %s rules; give %s",
			      firewall_directions[rule->direction], peer);
	if (!strcmp(name, "destination_port"))
		return take_ports(rule, value, where, fault);
	if (!strcmp(name, "description"))
		return take_description(rule, value, where, fault);
	if (!strcmp(name, "direction") && direction >= FW_DIRECTIONS)
		return 0;
	/* Of a set that was listed before: counters and ids are the agent's own. */
	if (direction >= FW_DIRECTIONS &&
	    (!strcmp(name, "id") || !strcmp(name, "packets") || !strcmp(name, "bytes") ||
	     !strcmp(name, "created_at")))
		return 0;
	return refuse_unknown(fault, where, name);
}

/* What fields mean together. */
static int check_rule(const struct firewall_rule *rule, bool has_action, bool has_protocol,
		      const char *where, struct container_fault *fault)
{
	const bool ports = rule->port_first || rule->port_last != UINT16_MAX;
	const char *peer = rule->direction == FW_EGRESS ? "destination" : "source";

	if (!has_action)
		return refuse(fault, where, "action", "is missing: allow or deny");
	if (!has_protocol)
		return refuse(fault, where, "protocol", "is missing: tcp, udp, icmp, icmpv6 or any");
	if (ports && rule->protocol != FW_TCP && rule->protocol != FW_UDP)
		return refuse(fault, where, "destination_port", "goes with protocol tcp or udp only");
	if (rule->peer == FIREWALL_NAME && rule->direction == FW_INGRESS)
		return refuse(fault, where, peer, "is a name, and who connects has none: give an address, container:ID or project:ID");
	if (rule->peer == FIREWALL_NAME && rule->action == FW_DENY &&
	    (rule->protocol != FW_ANY || ports))
		return refuse(fault, where, "protocol", "must be any, without ports: a name that is denied is not answered");
	if (rule->peer != FIREWALL_PREFIX)
		return 0;
	if (rule->protocol == FW_ICMP && rule->prefix.family == FW_V6)
		return refuse(fault, where, peer, "is IPv6, whose protocol is icmpv6");
	if (rule->protocol == FW_ICMPV6 && rule->prefix.family == FW_V4)
		return refuse(fault, where, peer, "is IPv4, whose protocol is icmp");
	return 0;
}

int firewall_rule_from_json(struct firewall_rule *rule, yyjson_val *body, unsigned int direction,
			    const char *where, struct container_fault *fault)
{
	size_t index, max;
	yyjson_val *key, *value;

	*rule = (struct firewall_rule){ .port_last = UINT16_MAX, .created_at = time(NULL) };
	if (!yyjson_is_obj(body))
		return refuse(fault, where, "", "is no object");
	if (direction < FW_DIRECTIONS)
		rule->direction = (uint8_t)direction;
	else if (take_word(yyjson_obj_get(body, "direction"),
			   (const char *const[]){ "egress", "ingress", NULL }, where, "direction",
			   "egress or ingress", &rule->direction, fault))
		return -1;
	yyjson_obj_foreach(body, index, max, key, value) {
		if (take_field(rule, yyjson_get_str(key), value, direction, where, fault))
			goto err_free;
	}
	if (check_rule(rule, yyjson_obj_get(body, "action"), yyjson_obj_get(body, "protocol"),
		       where, fault))
		goto err_free;
	return 0;

err_free:
	firewall_rule_clear(rule);
	return -1;
}

yyjson_mut_val *firewall_rule_to_json(const struct firewall_rule *rule, yyjson_mut_doc *document)
{
	yyjson_mut_val *object = yyjson_mut_obj(document);
	const char *name = rule->direction == FW_EGRESS ? "destination" : "source", *peer;
	char text[FIREWALL_PEER_MAX], ports[16];

	yyjson_mut_obj_add_uint(document, object, "id", rule->id);
	yyjson_mut_obj_add_str(document, object, "direction", firewall_directions[rule->direction]);
	yyjson_mut_obj_add_str(document, object, "action", firewall_action_name(rule->action));
	yyjson_mut_obj_add_str(document, object, "protocol", firewall_protocols[rule->protocol]);
	peer = firewall_peer_format(rule, text);
	if (peer)
		yyjson_mut_obj_add_strcpy(document, object, name, peer);
	else
		yyjson_mut_obj_add_null(document, object, name);
	snprintf(ports, sizeof(ports), rule->port_first == rule->port_last ? "%u" : "%u-%u",
		 rule->port_first, rule->port_last);
	if (rule->port_first || rule->port_last != UINT16_MAX)
		yyjson_mut_obj_add_strcpy(document, object, "destination_port", ports);
	else
		yyjson_mut_obj_add_null(document, object, "destination_port");
	if (rule->description)
		yyjson_mut_obj_add_strcpy(document, object, "description", rule->description);
	else
		yyjson_mut_obj_add_null(document, object, "description");
	return object;
}

static int take_default(yyjson_val *value, const char *name, bool *closed,
			struct container_fault *fault)
{
	const char *text = yyjson_get_str(value);

	if (!text || (strcmp(text, "allow") && strcmp(text, "deny")))
		return refuse(fault, "defaults.", name, "is neither allow nor deny");
	*closed = !strcmp(text, "deny");
	return 0;
}

/* 1: @name is a setting, and taken; 0: it is none; -1 with @fault. */
static int take_setting(struct firewall_rules *rules, const char *name, yyjson_val *value,
			struct container_fault *fault)
{
	const char *text = yyjson_get_str(value);
	size_t index, max;
	yyjson_val *key, *child;

	if (!strcmp(name, "mode")) {
		if (!text || (strcmp(text, "enforce") && strcmp(text, "learn")))
			return refuse(fault, "", name, "is neither enforce nor learn");
		rules->learn = !strcmp(text, "learn");
		return 1;
	}
	if (!strcmp(name, "log_flows") || !strcmp(name, "strict_names")) {
		if (!yyjson_is_bool(value))
			return refuse(fault, "", name, "is neither true nor false");
		*(name[0] == 'l' ? &rules->log_flows : &rules->strict_names) =
			yyjson_get_bool(value);
		return 1;
	}
	if (strcmp(name, "defaults"))
		return 0;
	if (!yyjson_is_obj(value))
		return refuse(fault, "", name, "is no object like {\"egress\":\"deny\",\"ingress\":\"deny\"}");
	yyjson_obj_foreach(value, index, max, key, child) {
		const char *direction = yyjson_get_str(key);

		if (!strcmp(direction, "egress") || !strcmp(direction, "ingress")) {
			if (take_default(child, direction,
					 &rules->closed[direction[0] == 'i'], fault))
				return -1;
		} else {
			return refuse_unknown(fault, "defaults.", direction);
		}
	}
	return 1;
}

int firewall_settings_from_json(struct firewall_rules *rules, yyjson_val *body,
				struct container_fault *fault)
{
	size_t index, max;
	yyjson_val *key, *value;

	yyjson_obj_foreach(body, index, max, key, value) {
		const int taken = take_setting(rules, yyjson_get_str(key), value, fault);

		if (taken < 0)
			return -1;
		if (!taken)
			return refuse_unknown(fault, "", yyjson_get_str(key));
	}
	return 0;
}

void firewall_settings_to_json(const struct firewall_rules *rules, yyjson_mut_doc *document,
			       yyjson_mut_val *object)
{
	yyjson_mut_val *defaults;

	yyjson_mut_obj_add_str(document, object, "mode",
			       rules && rules->learn ? "learn" : "enforce");
	yyjson_mut_obj_add_bool(document, object, "log_flows", rules && rules->log_flows);
	yyjson_mut_obj_add_bool(document, object, "strict_names", rules && rules->strict_names);
	defaults = yyjson_mut_obj_add_obj(document, object, "defaults");
	for (unsigned int i = 0; i < FW_DIRECTIONS; i++)
		yyjson_mut_obj_add_str(document, defaults, firewall_directions[i],
				       rules && rules->closed[i] ? "deny" : "allow");
}

static int take_rules(struct firewall_rules *rules, yyjson_val *list, bool stored,
		      struct container_fault *fault)
{
	struct firewall_rule rule;
	size_t index, max;
	yyjson_val *value;
	char where[32];

	if (!yyjson_is_arr(list))
		return refuse(fault, "", "rules", "is no array");
	if (yyjson_arr_size(list) > FW_RULES_MAX)
		return container_fault_set(fault, 422, "too_many", "rules",
					   "has %zu rules; a container may have %d: use wider prefixes or port ranges",
					   yyjson_arr_size(list), FW_RULES_MAX);
	yyjson_arr_foreach(list, index, max, value) {
		snprintf(where, sizeof(where), "rules[%zu].", index);
		if (firewall_rule_from_json(&rule, value, FW_DIRECTIONS, where, fault))
			return -1;
		if (stored) {
			rule.created_at = yyjson_get_sint(yyjson_obj_get(value, "created_at"));
			rules->next_id = (uint32_t)yyjson_get_uint(yyjson_obj_get(value, "id"));
		}
		if (firewall_rules_add(rules, &rule, fault)) {
			firewall_rule_clear(&rule);
			return -1;
		}
	}
	return firewall_rules_check_duplicates(rules, fault);
}

int firewall_rules_from_json(struct firewall_rules *rules, yyjson_val *body,
			     struct container_fault *fault)
{
	size_t index, max;
	yyjson_val *key, *value;

	rules->closed[FW_EGRESS] = rules->closed[FW_INGRESS] = true;
	yyjson_obj_foreach(body, index, max, key, value) {
		const char *name = yyjson_get_str(key);
		const int taken = take_setting(rules, name, value, fault);

		if (taken < 0)
			return -1;
		if (!taken && strcmp(name, "rules"))
			return refuse_unknown(fault, "", name);
	}
	if (!yyjson_obj_get(body, "rules"))
		return refuse(fault, "", "rules", "is missing: an array, which may be empty");
	return take_rules(rules, yyjson_obj_get(body, "rules"), false, fault);
}

char *firewall_rules_format(const struct firewall_rules *rules)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *list;
	char *text;

	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_uint(document, root, "revision", rules->revision);
	yyjson_mut_obj_add_uint(document, root, "next_id", rules->next_id);
	firewall_settings_to_json(rules, document, root);
	list = yyjson_mut_obj_add_arr(document, root, "rules");
	for (uint32_t i = 0; i < rules->count; i++) {
		yyjson_mut_val *rule = firewall_rule_to_json(&rules->rules[i], document);

		yyjson_mut_obj_add_sint(document, rule, "created_at", rules->rules[i].created_at);
		yyjson_mut_arr_append(list, rule);
	}
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	return text;
}

struct firewall_rules *firewall_rules_parse(const char *text)
{
	struct firewall_rules *rules = firewall_rules_create();
	yyjson_doc *document = yyjson_read(text, strlen(text), 0);
	yyjson_val *root = yyjson_doc_get_root(document), *key, *value;
	struct container_fault fault;
	size_t index, max;

	if (!rules || !yyjson_is_obj(root))
		goto err_free;
	yyjson_obj_foreach(root, index, max, key, value) {
		if (take_setting(rules, yyjson_get_str(key), value, &fault) < 0)
			goto err_free;
	}
	if (take_rules(rules, yyjson_obj_get(root, "rules"), true, &fault))
		goto err_free;
	rules->revision = yyjson_get_uint(yyjson_obj_get(root, "revision"));
	rules->next_id = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "next_id"));
	yyjson_doc_free(document);
	return rules;

err_free:
	yyjson_doc_free(document);
	firewall_rules_free(rules);
	return NULL;
}
