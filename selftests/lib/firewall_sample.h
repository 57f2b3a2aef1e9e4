/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random policies and questions for the firewall's tests: few different bytes,
 * so that prefixes nest and repeat, and questions near the edges of rules.
 */
#ifndef HOODY_SELFTESTS_FIREWALL_SAMPLE_H
#define HOODY_SELFTESTS_FIREWALL_SAMPLE_H

#include "firewall/policy.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static uint64_t sample_state = 0x9e3779b97f4a7c15u;

static inline uint32_t sample_any(uint32_t below)
{
	sample_state ^= sample_state << 13;
	sample_state ^= sample_state >> 7;
	sample_state ^= sample_state << 17;
	return (uint32_t)(sample_state >> 32) % below;
}

struct sample {
	struct fw_policy policy;
	struct fw_rule	*rules;
	struct fw_prefix *prefixes;
	struct fw_prefix protected[4];
};

static inline void sample_mask(struct fw_prefix *prefix)
{
	const unsigned int whole = prefix->family == FW_V4 ? 32 : 128;
	unsigned int bit;

	for (bit = prefix->length; bit < whole; bit++)
		prefix->address[bit / 8] &= ~(0x80 >> bit % 8);
}

/* Few different bytes, so that prefixes nest and repeat. */
static inline void sample_prefix(struct fw_prefix *prefix, enum fw_family family, unsigned int spread)
{
	const unsigned int bytes = family == FW_V4 ? 4 : 16;
	unsigned int i;

	memset(prefix, 0, sizeof(*prefix));
	prefix->family = family;
	prefix->length = sample_any(3) ? sample_any(bytes * 8 + 1) : bytes * 8;
	for (i = 0; i < bytes; i++)
		prefix->address[i] = (uint8_t)(sample_any(3) ? sample_any(spread) : 0xff - sample_any(2));
	sample_mask(prefix);
}

static inline void sample_rule(struct fw_rule *rule, struct fw_prefix *prefixes, unsigned int spread)
{
	uint32_t i;

	memset(rule, 0, sizeof(*rule));
	rule->direction = sample_any(2);
	rule->action = sample_any(3) ? FW_ALLOW : FW_DENY;
	rule->protocol = sample_any(5);
	rule->port_last = UINT16_MAX;
	if ((rule->protocol == FW_TCP || rule->protocol == FW_UDP) && sample_any(4)) {
		rule->port_first = sample_any(8) ? sample_any(50) : 65500 + sample_any(36);
		rule->port_last = sample_any(2) ? rule->port_first :
				  rule->port_first + sample_any(UINT16_MAX - rule->port_first + 1);
	}
	rule->anywhere = !sample_any(8);
	rule->prefixes = prefixes;
	rule->prefixes_count = rule->anywhere ? 0 : sample_any(4);
	for (i = 0; i < rule->prefixes_count; i++)
		sample_prefix(&prefixes[i], rule->protocol == FW_ICMP ? FW_V4 :
					    rule->protocol == FW_ICMPV6 ? FW_V6 : sample_any(2), spread);
}

static inline void sample_make(struct sample *sample, uint32_t rules, unsigned int spread)
{
	uint32_t i;

	memset(sample, 0, sizeof(*sample));
	sample->rules = calloc(rules + 1, sizeof(*sample->rules));
	sample->prefixes = calloc(4 * rules + 1, sizeof(*sample->prefixes));
	for (i = 0; i < rules; i++)
		sample_rule(&sample->rules[i], &sample->prefixes[4 * i], spread);
	for (i = 0; i < 4; i++) {
		sample_prefix(&sample->protected[i], i % 2, spread);
		sample->protected[i].length = i % 2 ? 128 : 32;
	}
	/* Often one that a rule names. */
	for (i = 0; i < rules && sample_any(2); i++)
		if (sample->rules[i].prefixes_count && sample->rules[i].prefixes[0].length ==
		    (sample->rules[i].prefixes[0].family == FW_V4 ? 32 : 128))
			sample->protected[sample_any(4)] = sample->rules[i].prefixes[0];
	sample->policy = (struct fw_policy){
		.generation = 1,
		.slot = 1,
		.rules = sample->rules,
		.rules_count = rules,
		.protected = sample->protected,
		.protected_count = sample_any(5),
	};
}

static inline void sample_clear(struct sample *sample)
{
	free(sample->rules);
	free(sample->prefixes);
}

/* The last address of a prefix, or the one behind it or before it. */
static inline void sample_edge(const struct fw_prefix *prefix, uint8_t address[16])
{
	const unsigned int bits = prefix->family == FW_V4 ? 32 : 128;
	const int step = (int)sample_any(3) - 1;
	unsigned int bit;
	int i, carry = step;

	memcpy(address, prefix->address, 16);
	if (sample_any(2))
		for (bit = prefix->length; bit < bits; bit++)
			address[bit / 8] |= 0x80 >> bit % 8;
	for (i = (int)bits / 8 - 1; i >= 0 && carry; i--) {
		const int sum = address[i] + carry;

		address[i] = (uint8_t)sum;
		carry = sum < 0 ? -1 : sum > 255;
	}
}

static inline void sample_question(const struct sample *sample, unsigned int spread,
			    struct fw_question *question)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP,
					     IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_ESP };
	struct fw_prefix prefix;
	const struct fw_rule *rule = NULL;
	uint8_t address[16];

	if (sample->policy.rules_count)
		rule = &sample->rules[sample_any(sample->policy.rules_count)];
	memset(question, 0, sizeof(*question));
	question->direction = rule && sample_any(4) ? rule->direction : sample_any(2);
	question->protocol = protocols[sample_any(6)];
	if (question->protocol == IPPROTO_TCP || question->protocol == IPPROTO_UDP)
		question->port = rule && sample_any(2) ? (uint16_t)(rule->port_first + sample_any(3) - 1) :
				 rule && sample_any(2) ? (uint16_t)(rule->port_last + sample_any(3) - 1) :
				 sample_any(65536);
	sample_prefix(&prefix, sample_any(2), spread);
	if (rule && rule->prefixes_count && sample_any(5))
		prefix = rule->prefixes[sample_any(rule->prefixes_count)];
	else if (!sample_any(3))
		prefix = sample->protected[sample_any(4)];
	sample_edge(&prefix, address);
	fw_question_address(question, prefix.family, address);
}

#endif /* HOODY_SELFTESTS_FIREWALL_SAMPLE_H */
