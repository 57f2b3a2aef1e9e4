// SPDX-License-Identifier: Apache-2.0
/*
 * Why: what the firewall says about a packet that has not been sent, what it has
 * dropped, and what it learned. The answer about a packet comes from the image
 * that the rules compile to, by the look-up that the kernel runs; strict names and
 * the exit have the last word, as in the programs.
 */
#include "control/api_firewall.h"
#include "control/network.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROPS_DEFAULT	100

struct question {
	unsigned int	direction;
	uint8_t		protocol;
	uint16_t	port;
	struct address	address;
};

/* What is decided, and why. */
struct verdict {
	bool		passes;
	const char	*reason;	/* of enum fw_reason, or "allowed", "open", "gateway" */
	const char	*text;
	uint32_t	rule;		/* index; FW_NO_RULE */
	bool		strict;		/* passes only with a hello that says an allowed name */
};

static int take_protocol(yyjson_val *value, uint8_t *protocol)
{
	static const struct {
		const char	*name;
		uint8_t		number;
	} known[] = {
		{ "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "icmp", IPPROTO_ICMP },
		{ "icmpv6", IPPROTO_ICMPV6 },
	};

	if (yyjson_is_uint(value) && yyjson_get_uint(value) <= 255) {
		*protocol = (uint8_t)yyjson_get_uint(value);
		return 0;
	}
	for (size_t i = 0; yyjson_is_str(value) && i < sizeof(known) / sizeof(known[0]); i++) {
		if (yyjson_equals_str(value, known[i].name)) {
			*protocol = known[i].number;
			return 0;
		}
	}
	return -1;
}

/* 0, or -1: the call has been answered. */
static int take_question(struct api_call *call, struct question *question)
{
	yyjson_val *direction = yyjson_obj_get(call->body, "direction");
	yyjson_val *address = yyjson_obj_get(call->body, "address");
	yyjson_val *port = yyjson_obj_get(call->body, "port"), *key, *value;
	const char *field = NULL, *why = "";
	size_t index, max;

	yyjson_obj_foreach(call->body, index, max, key, value) {
		if (!strstr(" direction protocol address port ", yyjson_get_str(key))) {
			api_reply_error(call, 422, "unknown_field", yyjson_get_str(key),
					"is no field of this call");
			return -1;
		}
	}
	if (yyjson_equals_str(direction, "egress") || yyjson_equals_str(direction, "ingress"))
		question->direction = yyjson_equals_str(direction, "ingress");
	else
		field = "direction", why = "is neither egress nor ingress";
	if (!field && take_protocol(yyjson_obj_get(call->body, "protocol"), &question->protocol))
		field = "protocol", why = "is not tcp, udp, icmp, icmpv6 or a number up to 255";
	if (!field && (!yyjson_is_str(address) ||
		       address_parse(yyjson_get_str(address), yyjson_get_len(address),
				     &question->address)))
		field = "address", why = "is no IPv4 and no IPv6 address";
	if (!field && port && !yyjson_is_null(port) &&
	    (!yyjson_is_uint(port) || yyjson_get_uint(port) < 1 || yyjson_get_uint(port) > 65535))
		field = "port", why = "is no number from 1 to 65535";
	if (!field && (question->protocol == IPPROTO_TCP || question->protocol == IPPROTO_UDP) &&
	    !yyjson_is_uint(port))
		field = "port", why = "is missing: tcp and udp have one";
	if (field) {
		api_reply_error(call, 422, "invalid_value", field, "%s", why);
		return -1;
	}
	question->port = (uint16_t)yyjson_get_uint(port);
	return 0;
}

static void refuse(struct verdict *verdict, uint32_t reason)
{
	verdict->passes = false;
	verdict->reason = fw_reason_name(reason);
	verdict->text = fw_reason_text(reason);
}

static void allow(struct verdict *verdict, const char *reason, const char *text)
{
	verdict->passes = true;
	verdict->reason = reason;
	verdict->text = text;
}

static bool is_multicast(const struct address *address)
{
	if (address->family == AF_INET)
		return ntohl(address->v4.s_addr) >> 28 >= 14;
	return address->v6.s6_addr[0] == 0xff;
}

/* What is decided before any rule is asked; true where that is the answer. */
static bool judge_shape(const struct container *container, const struct question *question,
			struct verdict *verdict)
{
	static const uint8_t tunnels[] = { 4, 41, 47, 94, 97, 98, 137 };
	const bool v4 = question->address.family == AF_INET;

	for (size_t i = 0; i < sizeof(tunnels); i++) {
		if (question->protocol == tunnels[i]) {
			refuse(verdict, FW_DROP_TUNNEL);
			return true;
		}
	}
	if (question->protocol == (v4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		refuse(verdict, FW_DROP_ICMP_TYPE);
		return true;
	}
	if (!container_address(container, question->address.family)) {
		refuse(verdict, question->direction == FW_EGRESS ? FW_DROP_SOURCE_ADDRESS :
								   FW_DROP_DESTINATION);
		return true;
	}
	if (is_multicast(&question->address)) {
		refuse(verdict, FW_DROP_MULTICAST);
		return true;
	}
	return false;
}

/* What no rule speaks of, as the programs decide it. */
static void judge_default(const struct api_call *call, const struct container *container,
			  const struct question *question, const struct firewall_rules *rules,
			  struct verdict *verdict)
{
	const struct container *other = model_find_address(call->control->model,
							   &question->address);
	const struct container *gateway = question->direction == FW_EGRESS ? container : other;

	if (other && gateway->gateway && !memcmp(other->project, container->project, ID_LEN))
		allow(verdict, "gateway", "a gateway reaches the other containers of its project");
	else if (other)
		refuse(verdict, FW_DROP_CONTAINER);
	else if (!rules || !rules->closed[question->direction])
		allow(verdict, "open", "no rule speaks of it, and this direction is open");
	else if (rules->learn)
		allow(verdict, "learned", fw_reason_text(FW_TOLD_LEARNED));
	else
		refuse(verdict, FW_DROP_DEFAULT);
}

static bool is_tcp_or_udp(const struct question *question)
{
	return question->protocol == IPPROTO_TCP || question->protocol == IPPROTO_UDP;
}

/* What strict names make of a packet that a rule about a name lets through. */
static void judge_strict(const struct question *question, struct verdict *verdict)
{
	if (!is_tcp_or_udp(question)) {
		refuse(verdict, FW_DROP_EXIT_PROTOCOL);
		return;
	}
	verdict->strict = true;
	allow(verdict, "strict", question->protocol == IPPROTO_TCP ?
	      "allowed if the TLS hello says one of the names, and refused otherwise" :
	      "allowed if it is QUIC whose TLS hello says one of the names, and refused otherwise");
}

/* By which way it would leave: the exit may carry less than the rules allow. */
static void judge_exit(const struct api_call *call, const struct question *question,
		       struct verdict *verdict)
{
	const struct network_settings *settings = network_find(call->control->network, call->id);

	if (!settings || !verdict->passes || question->direction != FW_EGRESS)
		return;
	if (settings->spec.kind == EXIT_BLOCK)
		refuse(verdict, FW_DROP_EXIT_BLOCKED);
	else if (exit_is_relayed(&settings->spec) && !is_tcp_or_udp(question))
		refuse(verdict, FW_DROP_EXIT_PROTOCOL);
}

/* The names that may be said at this protocol and port, as the relay is told them. */
static void add_names(const struct firewall_rules *rules, const struct question *question,
		      yyjson_mut_doc *document, yyjson_mut_val *data)
{
	const enum fw_protocol asked = question->protocol == IPPROTO_TCP ? FW_TCP : FW_UDP;
	yyjson_mut_val *allowed = yyjson_mut_obj_add_arr(document, data, "names");
	yyjson_mut_val *denied = yyjson_mut_obj_add_arr(document, data, "names_denied");

	for (uint32_t i = 0; i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];

		if (rule->peer != FIREWALL_NAME)
			continue;
		if (rule->action == FW_DENY)
			yyjson_mut_arr_add_strcpy(document, denied, rule->name);
		else if ((rule->protocol == FW_ANY || rule->protocol == asked) &&
			 question->port >= rule->port_first && question->port <= rule->port_last)
			yyjson_mut_arr_add_strcpy(document, allowed, rule->name);
	}
}

/* Rules about names, of which those say something whose addresses were heard. */
static void judge_names(const struct api_call *call, const struct container *container,
			const struct question *question, const struct firewall_entry *entry,
			struct verdict *verdict)
{
	const bool ports = is_tcp_or_udp(question);
	const struct firewall_rule *rule = firewall_names_find(
		entry, &question->address, (uint8_t)question->protocol, question->port);

	if (rule) {
		verdict->rule = (uint32_t)(rule - entry->rules->rules);
		allow(verdict, "allowed", "a rule allows a name that stands for this address now");
		if (entry->rules->strict_names)
			judge_strict(question, verdict);
	} else if (ports && question->port == 53) {
		allow(verdict, "names", "the agent answers it, with the names that rules allow");
	} else {
		judge_default(call, container, question, entry->rules, verdict);
	}
}

/* 0, or -1 with @fault. */
static int judge(const struct api_call *call, const struct container *container,
		 const struct question *asked, struct verdict *verdict,
		 struct container_fault *fault)
{
	const struct firewall *firewall = call->control->firewall;
	const struct firewall_entry *entry = firewall_find(firewall, call->id);
	const struct firewall_rules *rules = entry ? entry->rules : NULL;
	const struct firewall_place place = { .slot = 1, .generation = 1 };
	const bool v4 = asked->address.family == AF_INET;
	struct fw_question question = {
		.direction = asked->direction, .protocol = asked->protocol, .port = asked->port,
	};
	struct fw_image image = { 0 };
	struct fw_answer answer;

	if (judge_shape(container, asked, verdict))
		return 0;
	if (firewall_compile(call->control, &firewall->host, container, rules, &place, &image,
			     fault))
		return -1;
	fw_question_address(&question, v4 ? FW_V4 : FW_V6,
			    v4 ? (const void *)&asked->address.v4 :
				 (const void *)&asked->address.v6);
	answer = fw_image_decide(&image, &question);
	fw_image_clear(&image);
	verdict->rule = answer.rule;
	if (answer.action == FW_ALLOW)
		allow(verdict, "allowed", "a rule allows it");
	else if (answer.action == FW_DENY)
		refuse(verdict, FW_DROP_RULE);
	else if (entry && firewall_has_names(rules) && asked->direction == FW_EGRESS)
		judge_names(call, container, asked, entry, verdict);
	else
		judge_default(call, container, asked, rules, verdict);
	if (answer.action == FW_DENY && (!rules || answer.rule >= rules->count))
		verdict->text = "a metadata service is closed until a rule allows exactly its address";
	judge_exit(call, asked, verdict);
	return 0;
}

void api_firewall_explain(struct api_call *call)
{
	const struct container *container = api_container(call);
	struct verdict verdict = { .rule = FW_NO_RULE };
	struct container_fault fault = { 0 };
	const struct firewall_entry *entry;
	struct question question = { 0 };
	yyjson_mut_doc *document;
	yyjson_mut_val *data;

	if (!container || take_question(call, &question))
		return;
	if (judge(call, container, &question, &verdict, &fault)) {
		api_reply_error(call, fault.status, fault.code, fault.field[0] ? fault.field : NULL,
				"%s", fault.message);
		return;
	}
	entry = firewall_find(call->control->firewall, call->id);
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	yyjson_mut_obj_add_str(document, data, "verdict", verdict.passes ? "pass" : "drop");
	yyjson_mut_obj_add_str(document, data, "reason", verdict.reason);
	yyjson_mut_obj_add_str(document, data, "text", verdict.text);
	if (entry && entry->rules && verdict.rule < entry->rules->count)
		yyjson_mut_obj_add_val(document, data, "rule",
				       firewall_rule_to_json(&entry->rules->rules[verdict.rule],
							     document));
	else
		yyjson_mut_obj_add_null(document, data, "rule");
	if (verdict.passes && verdict.strict)
		add_names(entry->rules, &question, document, data);
	yyjson_mut_obj_add_bool(document, data, "enforced",
				entry && entry->state == FIREWALL_ENFORCED);
	api_reply_data(call, 200, document, data);
}

/* 0, or -1: answered. */
static int take_number(struct api_call *call, const char *name, unsigned long long max,
		       unsigned long long *out)
{
	const char *text = api_query(call, name);
	char *rest;

	if (!text)
		return 0;
	*out = strtoull(text, &rest, 10);
	if (!*rest && text[0] >= '0' && text[0] <= '9' && *out <= max)
		return 0;
	api_reply_error(call, 422, "invalid_value", name, "is no number up to %llu", max);
	return -1;
}

static void reply_events(struct api_call *call, bool flows)
{
	unsigned long long limit = DROPS_DEFAULT, after = 0;
	const struct firewall_event *event;
	const struct firewall_entry *entry;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;

	if (!api_container(call) ||
	    take_number(call, "limit", FIREWALL_EVENTS_MAX, &limit) ||
	    take_number(call, "after", UINT64_MAX, &after))
		return;
	entry = firewall_find(call->control->firewall, call->id);
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_arr(document);
	while (entry && limit-- && (event = firewall_event_after(entry, after, flows))) {
		yyjson_mut_arr_append(data, firewall_event_to_json(event, call->id, document));
		after = event->sequence;
	}
	api_reply_data(call, 200, document, data);
}

void api_firewall_drops(struct api_call *call)
{
	reply_events(call, false);
}

void api_firewall_events(struct api_call *call)
{
	reply_events(call, true);
}

void api_firewall_learned(struct api_call *call)
{
	const struct firewall_entry *entry;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;

	if (!api_container(call))
		return;
	entry = firewall_find(call->control->firewall, call->id);
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	yyjson_mut_obj_add_bool(document, data, "learning", entry && entry->rules &&
				entry->rules->learn);
	yyjson_mut_obj_add_val(document, data, "rules", entry ?
			       firewall_learned_to_json(entry, document) :
			       yyjson_mut_arr(document));
	yyjson_mut_obj_add_uint(document, data, "not_recorded", entry ? entry->learned_lost : 0);
	api_reply_data(call, 200, document, data);
}

void api_firewall_forget(struct api_call *call)
{
	struct firewall_entry *entry;
	yyjson_mut_doc *document;
	yyjson_mut_val *data;

	if (!api_container(call))
		return;
	entry = firewall_find(call->control->firewall, call->id);
	if (entry)
		firewall_forget_learned(entry);
	document = yyjson_mut_doc_new(NULL);
	data = yyjson_mut_obj(document);
	yyjson_mut_obj_add_bool(document, data, "forgotten", true);
	api_reply_data(call, 200, document, data);
}
