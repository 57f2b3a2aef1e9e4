// SPDX-License-Identifier: Apache-2.0
/*
 * The reference evaluator: reads every rule for every question. It shares no
 * code with the compiler, so that the two can be held against each other.
 */
#include "firewall/policy.h"

#include <netinet/in.h>

static bool prefix_covers(const struct fw_prefix *prefix, const struct fw_question *question)
{
	unsigned int bit;

	if (prefix->family != question->family)
		return false;
	for (bit = 0; bit < prefix->length; bit++) {
		const bool ours = prefix->address[bit / 8] >> (7 - bit % 8) & 1;
		const bool theirs = question->address[bit / 32] >> (31 - bit % 32) & 1;

		if (ours != theirs)
			return false;
	}
	return true;
}

static bool protocol_matches(const struct fw_rule *rule, const struct fw_question *question)
{
	const bool in_range = question->port >= rule->port_first &&
			      question->port <= rule->port_last;

	switch (rule->protocol) {
	case FW_ANY:
		return true;
	case FW_TCP:
		return question->protocol == IPPROTO_TCP && in_range;
	case FW_UDP:
		return question->protocol == IPPROTO_UDP && in_range;
	case FW_ICMP:
		return question->protocol == IPPROTO_ICMP && question->family == FW_V4;
	case FW_ICMPV6:
		return question->protocol == IPPROTO_ICMPV6 && question->family == FW_V6;
	}
	return false;
}

static bool address_matches(const struct fw_rule *rule, const struct fw_question *question,
			    bool exact)
{
	const unsigned int whole = question->family == FW_V4 ? 32 : 128;
	uint32_t i;

	if (rule->anywhere)
		return !exact;
	for (i = 0; i < rule->prefixes_count; i++)
		if ((!exact || rule->prefixes[i].length == whole) &&
		    prefix_covers(&rule->prefixes[i], question))
			return true;
	return false;
}

struct fw_answer fw_reference(const struct fw_policy *policy, const struct fw_question *question)
{
	struct fw_answer answer = { .action = FW_NONE, .rule = FW_NO_RULE };
	bool protected = false;
	uint32_t i;

	for (i = 0; question->direction == FW_EGRESS && i < policy->protected_count; i++)
		protected |= prefix_covers(&policy->protected[i], question);
	for (i = 0; i < policy->rules_count; i++) {
		const struct fw_rule *rule = &policy->rules[i];

		if (rule->direction != question->direction || !protocol_matches(rule, question) ||
		    !address_matches(rule, question, protected && rule->action == FW_ALLOW))
			continue;
		if (rule->action == FW_DENY)
			return (struct fw_answer){ .action = FW_DENY, .rule = i };
		if (answer.action == FW_NONE)
			answer = (struct fw_answer){ .action = FW_ALLOW, .rule = i };
	}
	return answer;
}

void fw_question_address(struct fw_question *question, uint32_t family, const uint8_t *address)
{
	unsigned int i;

	question->family = family;
	for (i = 0; i < 4; i++)
		question->address[i] = family == FW_V4 && i ? 0 :
				       (uint32_t)address[4 * i] << 24 | address[4 * i + 1] << 16 |
					       address[4 * i + 2] << 8 | address[4 * i + 3];
}
