// SPDX-License-Identifier: Apache-2.0
/*
 * From a container and its rules to the image that the kernel reads: selectors
 * become the addresses that the model has for them now, the host's own addresses
 * and the clouds' metadata services are protected. See firewall.h.
 */
#include "control/firewall.h"
#include "control/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is freed when the image is made. */
struct draft {
	struct fw_policy	policy;
	struct fw_rule		*rules;
	struct fw_prefix	**resolved;	/* of selectors */
	uint32_t		resolved_count;
	struct fw_prefix	*protected;
	struct fw_prefix	metadata[16];
};

static void clear(struct draft *draft)
{
	for (uint32_t i = 0; i < draft->resolved_count; i++)
		free(draft->resolved[i]);
	free(draft->resolved);
	free(draft->rules);
	free(draft->protected);
}

static void take_address(const struct address *address, struct fw_prefix *prefix)
{
	const bool v4 = address->family == AF_INET;

	*prefix = (struct fw_prefix){
		.family = v4 ? FW_V4 : FW_V6, .length = v4 ? 32 : 128,
	};
	if (v4)
		memcpy(prefix->address, &address->v4, 4);
	else
		memcpy(prefix->address, &address->v6, 16);
}

/* Appends the addresses of @container that @protocol can have. */
static void take_addresses(const struct container *container, uint8_t protocol,
			   struct fw_prefix *out, uint32_t *count)
{
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		const bool v4 = container->addresses[i].family == AF_INET;

		if (protocol != (v4 ? FW_ICMPV6 : FW_ICMP))
			take_address(&container->addresses[i], &out[(*count)++]);
	}
}

static bool is_named(const struct firewall_rule *rule, const struct container *container)
{
	const uint8_t *id = rule->peer == FIREWALL_PROJECT ? container->project : container->id;

	return !memcmp(id, rule->peer_id, ID_LEN);
}

/* The addresses behind a selector, at this moment. 0 or -ENOMEM. */
static int resolve(const struct control *control, const struct firewall_rule *rule,
		   struct draft *draft, struct fw_rule *out)
{
	const size_t containers = model_containers_count(control->model);
	struct fw_prefix *prefixes;
	uint32_t count = 0;
	size_t room = 1;

	for (size_t i = 0; i < containers; i++) {
		const struct container *container = model_container_at(control->model, i);

		if (is_named(rule, container))
			room += container->addresses_count;
	}
	prefixes = calloc(room, sizeof(*prefixes));
	if (!prefixes)
		return -ENOMEM;
	for (size_t i = 0; i < containers; i++) {
		const struct container *container = model_container_at(control->model, i);

		if (is_named(rule, container))
			take_addresses(container, rule->protocol, prefixes, &count);
	}
	draft->resolved[draft->resolved_count++] = prefixes;
	out->prefixes = prefixes;
	out->prefixes_count = count;
	return 0;
}

static int take_rules(const struct control *control, const struct firewall_rules *rules,
		      struct draft *draft)
{
	const uint32_t count = rules ? rules->count : 0;

	draft->rules = calloc(count + 1, sizeof(*draft->rules));
	draft->resolved = calloc(count + 1, sizeof(*draft->resolved));
	if (!draft->rules || !draft->resolved)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];
		struct fw_rule *out = &draft->rules[i];

		out->direction = rule->direction;
		out->action = rule->action;
		out->protocol = rule->protocol;
		out->port_first = rule->port_first;
		out->port_last = rule->port_last;
		out->anywhere = rule->peer == FIREWALL_ANYWHERE;
		if (rule->peer == FIREWALL_PREFIX) {
			out->prefixes = &rule->prefix;
			out->prefixes_count = 1;
		} else if (rule->peer == FIREWALL_NAME) {
			continue;	/* addresses come by fw_names */
		} else if (!out->anywhere && resolve(control, rule, draft, out)) {
			return -ENOMEM;
		}
	}
	draft->policy.rules = draft->rules;
	draft->policy.rules_count = count;
	return 0;
}

static bool allows_exactly(const struct firewall_rules *rules, const struct fw_prefix *address)
{
	for (uint32_t i = 0; rules && i < rules->count; i++) {
		const struct firewall_rule *rule = &rules->rules[i];

		if (rule->direction == FW_EGRESS && rule->action == FW_ALLOW &&
		    rule->peer == FIREWALL_PREFIX && rule->prefix.family == address->family &&
		    rule->prefix.length == address->length &&
		    !memcmp(rule->prefix.address, address->address, sizeof(address->address)))
			return true;
	}
	return false;
}

/*
 * Where a direction is open, or open for learning, no rule is needed to pass: the
 * metadata services, which hand out the host's credentials, need one all the same.
 */
static void close_metadata(const struct firewall_rules *rules, struct draft *draft)
{
	struct fw_rule *rule = &draft->rules[draft->policy.rules_count];
	uint32_t count = 0;

	_Static_assert(sizeof(draft->metadata) / sizeof(draft->metadata[0]) >= 8, "all of them");
	for (uint32_t i = 0; i < fw_metadata_count; i++) {
		if (!allows_exactly(rules, &fw_metadata[i]))
			draft->metadata[count++] = fw_metadata[i];
	}
	*rule = (struct fw_rule){
		.direction = FW_EGRESS, .action = FW_DENY, .protocol = FW_ANY,
		.port_last = UINT16_MAX, .prefixes = draft->metadata, .prefixes_count = count,
	};
	draft->policy.rules_count++;
}

static int take_protected(const struct firewall_host *host, struct draft *draft)
{
	const uint32_t count = host->count + fw_metadata_count;

	draft->protected = calloc(count, sizeof(*draft->protected));
	if (!draft->protected)
		return -ENOMEM;
	memcpy(draft->protected, fw_metadata, fw_metadata_count * sizeof(*fw_metadata));
	if (host->count)
		memcpy(draft->protected + fw_metadata_count, host->addresses,
		       host->count * sizeof(*host->addresses));
	draft->policy.protected = draft->protected;
	draft->policy.protected_count = count;
	return 0;
}

static void take_container(const struct container *container, struct fw_policy *policy)
{
	memcpy(policy->owner, container->id, ID_LEN);
	memcpy(policy->project, container->project, ID_LEN);
	if (container->gateway)
		policy->flags |= FW_GATEWAY;
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		const struct address *address = &container->addresses[i];

		if (address->family == AF_INET && policy->addresses4_count < FW_ADDRESSES_MAX)
			memcpy(policy->addresses4[policy->addresses4_count++], &address->v4, 4);
		else if (address->family == AF_INET6 &&
			 policy->addresses6_count < FW_ADDRESSES_MAX)
			memcpy(policy->addresses6[policy->addresses6_count++], &address->v6, 16);
	}
}

static int report(const struct fw_fault *fault, int error, struct container_fault *out)
{
	char field[48] = "";

	if (error == -ENOMEM)
		return container_fault_set(out, 503, "unavailable", "", "out of memory");
	if (fault->rule != FW_NO_RULE)
		snprintf(field, sizeof(field), "rules[%u]%s%s", fault->rule,
			 fault->field ? "." : "", fault->field ? fault->field : "");
	else if (fault->field)
		snprintf(field, sizeof(field), "%s", fault->field);
	return container_fault_set(out, 422, error == -ENOSPC ? "does_not_fit" : "invalid_value",
				   field, "%s", fault->text);
}

int firewall_compile(const struct control *control, const struct firewall_host *host,
		     const struct container *container, const struct firewall_rules *rules,
		     const struct firewall_place *place, struct fw_image *image,
		     struct container_fault *fault)
{
	struct draft draft = { .policy.generation = place->generation,
			       .policy.slot = place->slot };
	struct fw_fault why = { .rule = FW_NO_RULE };
	int ret;

	memcpy(draft.policy.quota, place->quota, sizeof(place->quota));
	memcpy(draft.policy.steer_mac, place->steer_mac, sizeof(place->steer_mac));
	draft.policy.flags = place->exit_flags;
	take_container(container, &draft.policy);
	if (firewall_has_names(rules))
		draft.policy.flags |= FW_NAMES_ONLY | (rules->strict_names ? FW_STRICT : 0);
	network_policy(control->network, container, &draft.policy);
	if (!rules || !rules->closed[FW_EGRESS])
		draft.policy.flags |= FW_EGRESS_OPEN;
	if (!rules || !rules->closed[FW_INGRESS])
		draft.policy.flags |= FW_INGRESS_OPEN;
	if (rules && rules->learn)
		draft.policy.flags |= FW_LEARN;
	if (rules && rules->log_flows)
		draft.policy.flags |= FW_TELL_FLOWS;
	ret = take_rules(control, rules, &draft);
	if (!ret)
		ret = take_protected(host, &draft);
	if (!ret) {
		if (draft.policy.flags & (FW_EGRESS_OPEN | FW_LEARN))
			close_metadata(rules, &draft);
		ret = fw_compile(&draft.policy, image, &why);
	}
	clear(&draft);
	return ret ? report(&why, ret, fault) : 0;
}
