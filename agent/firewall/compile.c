// SPDX-License-Identifier: Apache-2.0
/*
 * From a policy to the image that the kernel reads (layout: bpf/shared.h):
 * checks all of it first, then lays out header, sections and counters. What
 * does not fit is refused here, before anything in the kernel was touched.
 */
#include "firewall/compile_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t fw_words_take(struct fw_words *words, uint32_t count, uint32_t align)
{
	const uint32_t at = (words->used + align - 1) & ~(align - 1);
	const uint64_t end = (uint64_t)at + count;

	if (end > (uint64_t)FW_LINES_MAX * FW_LINE_WORDS)
		return -ENOSPC;
	if (end > words->room) {
		uint32_t room = words->room ? words->room : 1024;
		uint32_t *grown;

		while (room < end)
			room *= 2;
		grown = realloc(words->words, (size_t)room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + words->room, 0, (size_t)(room - words->room) * sizeof(*grown));
		words->words = grown;
		words->room = room;
	}
	words->used = (uint32_t)end;
	return at;
}

__attribute__((format(printf, 4, 5))) static int refuse(struct fw_fault *fault, uint32_t rule,
							const char *field, const char *format, ...)
{
	va_list args;

	fault->rule = rule;
	fault->field = field;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return -EINVAL;
}

static bool prefix_is_sound(const struct fw_prefix *prefix)
{
	const unsigned int whole = prefix->family == FW_V4 ? 32 : 128;
	unsigned int bit;

	if (prefix->family >= FW_FAMILIES || prefix->length > whole)
		return false;
	for (bit = prefix->length; bit < whole; bit++)
		if (prefix->address[bit / 8] >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static int check_rule(const struct fw_rule *rule, uint32_t index, struct fw_fault *fault)
{
	const bool ports = rule->port_first != 0 || rule->port_last != UINT16_MAX;
	uint32_t i;

	if (rule->direction >= FW_DIRECTIONS)
		return refuse(fault, index, "direction", "the direction is unknown");
	if (rule->action != FW_ALLOW && rule->action != FW_DENY)
		return refuse(fault, index, "action", "the action is neither allow nor deny");
	if (rule->protocol > FW_ICMPV6)
		return refuse(fault, index, "protocol", "the protocol is unknown");
	if (rule->port_first > rule->port_last)
		return refuse(fault, index, "port", "the port range ends before its start");
	if (ports && rule->protocol != FW_TCP && rule->protocol != FW_UDP)
		return refuse(fault, index, "port", "ports need the protocol tcp or udp");
	for (i = 0; !rule->anywhere && i < rule->prefixes_count; i++) {
		if (!prefix_is_sound(&rule->prefixes[i]))
			return refuse(fault, index, "address", "prefix %u is not valid", i);
		if ((rule->protocol == FW_ICMP && rule->prefixes[i].family == FW_V6) ||
		    (rule->protocol == FW_ICMPV6 && rule->prefixes[i].family == FW_V4))
			return refuse(fault, index, "protocol",
				      "icmp goes with IPv4 addresses, icmpv6 with IPv6 addresses");
	}
	return 0;
}

static int check_policy(const struct fw_policy *policy, struct fw_fault *fault)
{
	uint32_t i;
	int ret = 0;

	if (!policy->generation || !policy->slot || policy->slot >= FW_SLOTS_MAX)
		return refuse(fault, FW_NO_RULE, NULL, "generation or slot is out of range");
	if (policy->addresses4_count > FW_ADDRESSES_MAX ||
	    policy->addresses6_count > FW_ADDRESSES_MAX)
		return refuse(fault, FW_NO_RULE, "address", "more than %d addresses of one family",
			      FW_ADDRESSES_MAX);
	for (i = 0; i < policy->protected_count; i++)
		if (!prefix_is_sound(&policy->protected[i]) ||
		    policy->protected[i].length != (policy->protected[i].family == FW_V4 ? 32 : 128))
			return refuse(fault, FW_NO_RULE, NULL, "protected address %u is none", i);
	if (policy->rules_count > FW_RULES_MAX) {
		refuse(fault, FW_NO_RULE, "rules", "%u rules; a container may have %d: use wider "
		       "prefixes or port ranges", policy->rules_count, FW_RULES_MAX);
		return -ENOSPC;
	}
	for (i = 0; i < policy->rules_count && !ret; i++)
		ret = check_rule(&policy->rules[i], i, fault);
	return ret;
}

static void write_header(const struct fw_policy *policy, struct fw_header *header)
{
	unsigned int i;

	header->head.generation = policy->generation;
	header->head.slot = policy->slot;
	header->head.flags = policy->flags;
	memcpy(header->head.project, policy->project, sizeof(header->head.project));
	memcpy(header->owner, policy->owner, sizeof(header->owner));
	header->head.who.addresses4 = policy->addresses4_count;
	header->head.who.addresses6 = policy->addresses6_count;
	header->head.rules = policy->rules_count;
	memcpy(header->head.who.mac, policy->mac, sizeof(header->head.who.mac));
	header->head.tunnel = policy->tunnel;
	header->steer_bridge = policy->steer_bridge;
	memcpy(header->head.steer_mac, policy->steer_mac, sizeof(header->head.steer_mac));
	memcpy(header->head.quota, policy->quota, sizeof(header->head.quota));
	memcpy(header->address6, policy->addresses6, sizeof(header->address6));
	for (i = 0; i < policy->addresses4_count; i++)
		header->address4[i] = (uint32_t)fw_address_value(policy->addresses4[i], 4);
}

int fw_compile(const struct fw_policy *policy, struct fw_image *image, struct fw_fault *fault)
{
	struct fw_header header = { 0 };
	struct fw_words words = { 0 };
	int64_t at;
	int ret, direction, family;

	ret = check_policy(policy, fault);
	if (ret)
		return ret;
	write_header(policy, &header);
	at = fw_words_take(&words, sizeof(header) / 4, FW_LINE_WORDS);
	ret = at < 0 ? (int)at : 0;
	for (direction = 0; direction < FW_DIRECTIONS && !ret; direction++)
		for (family = 0; family < FW_FAMILIES && !ret; family++)
			ret = fw_section_compile(policy, &words, direction, family,
					      &header.sections[direction][family]);
	if (ret)
		goto err;
	at = fw_words_take(&words, (policy->rules_count * 4 + FW_LINE_WORDS - 1) &
			   ~(FW_LINE_WORDS - 1u), FW_LINE_WORDS);
	if (at < 0) {
		ret = (int)at;
		goto err;
	}
	header.head.counters = (uint32_t)at;
	memcpy(words.words, &header, sizeof(header));
	image->words = words.words;
	image->lines = words.used / FW_LINE_WORDS;
	return 0;
err:
	free(words.words);
	if (ret == -ENOSPC)
		refuse(fault, FW_NO_RULE, "rules", "the rules do not fit the kernel's tables "
		       "(at most %d prefixes and %d MiB): use fewer or wider prefixes",
		       FW_PREFIXES_MAX, FW_LINES_MAX / (1024 * 1024 / FW_LINE_SIZE));
	else
		refuse(fault, FW_NO_RULE, NULL, "out of memory");
	return ret;
}

void fw_image_clear(struct fw_image *image)
{
	free(image->words);
	*image = (struct fw_image){ 0 };
}
