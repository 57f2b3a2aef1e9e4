/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the compiler: the growing image and port tables. */
#ifndef HOODY_FIREWALL_COMPILE_INTERNAL_H
#define HOODY_FIREWALL_COMPILE_INTERNAL_H

#include "firewall/policy.h"

typedef unsigned __int128 u128;	/* an address of either family; no struct hides here */

/* Words of an image that is being made. */
struct fw_words {
	uint32_t	*words;
	uint32_t	used, room;
};

/*
 * fw_words_take(): the index of @count new zeroed words, aligned to @align (a
 * power of two), or -ENOMEM, or -ENOSPC beyond FW_LINES_MAX lines.
 */
int64_t fw_words_take(struct fw_words *words, uint32_t count, uint32_t align);

/*
 * fw_ports_compile(): the port table of the listed rules for TCP or UDP.
 * @at and @count as in struct fw_node. 0 or a negative errno as above.
 */
int fw_ports_compile(struct fw_words *words, const struct fw_policy *policy,
		     const uint32_t *rules, uint32_t rules_count, enum fw_protocol protocol,
		     uint32_t *at, uint32_t *count);

/* The one entry of a protocol without ports; @icmp: 0 for every other one. */
uint32_t fw_entry_compile(const struct fw_policy *policy, const uint32_t *rules,
			  uint32_t rules_count, enum fw_protocol icmp);

/* An address in network order as a number. */
u128 fw_address_value(const uint8_t *address, unsigned int bytes);

/*
 * fw_section_compile(): the boundaries, nodes and port tables of one direction
 * and family. 0 or a negative errno as above; @out stays empty without rules.
 */
int fw_section_compile(const struct fw_policy *policy, struct fw_words *words,
		       enum fw_direction direction, enum fw_family family,
		       struct fw_section *out);

#endif /* HOODY_FIREWALL_COMPILE_INTERNAL_H */
