/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the rules of a policy image say about a packet: a pure look-up, compiled
 * both into the programs and into the agent (explain, tests).
 *
 * The includer says how a line is reached: struct fw_view and fw_line(), which
 * returns 64 bytes or NULL, and fw_repeat(i, n), a loop that its compiler and
 * verifier like.
 *
 *	1. the last boundary at or before the address, by binary search
 *	2. its node, and along the links those of wider prefixes (at most 8)
 *	3. in each the entry of the port, by binary search
 *	4. deny beats allow; among equals the rule with the lowest number is named
 *
 * What changes from step to step is kept in struct fw_answer, which is in a map's
 * memory: the verifier of older kernels would follow every value that a local
 * variable may have, five times as many instructions.
 */
#ifndef HOODY_BPF_DECIDE_H
#define HOODY_BPF_DECIDE_H

#include "../shared.h"

/* The word at @index; 0 where the image ends. */
static __always_inline __u32 fw_word(struct fw_view *view, __u32 index)
{
	const __u32 *line = fw_line(view, index / FW_LINE_WORDS);

	return line ? line[index % FW_LINE_WORDS] : 0;
}

/* Whether the 128-bit key at word @index (a multiple of 4) is at most @address. */
static __always_inline int fw_key_at_most(struct fw_view *view, __u32 index, const __u32 *address)
{
	const __u32 *line = fw_line(view, index / FW_LINE_WORDS);

	if (!line)
		return 0;
	line += index % FW_LINE_WORDS & ~3u;
	if (line[0] != address[0])
		return line[0] < address[0];
	if (line[1] != address[1])
		return line[1] < address[1];
	if (line[2] != address[2])
		return line[2] < address[2];
	return line[3] <= address[3];
}

/* The node of the address in a section, 0: none. */
static __noinline __u32 fw_find_node(struct fw_view *view, const struct fw_question *question,
				     struct fw_answer *answer, __u32 base, __u32 count)
{
	__u32 middle, i;

	/* Boundary @low is at or before the address, @high is behind it. */
	answer->low = 0;
	answer->high = count;
	fw_repeat(i, FW_SEARCH_STEPS)
	{
		if (answer->low + 1 >= answer->high)
			break;
		middle = (answer->low + answer->high) / 2;
		if (question->family == FW_V4 ?
			    fw_word(view, base + 2 * middle) <= question->address[0] :
			    fw_key_at_most(view, base + 4 * middle, question->address))
			answer->low = middle;
		else
			answer->high = middle;
	}
	return question->family == FW_V4 ? fw_word(view, base + 2 * answer->low + 1) :
					   fw_word(view, base + 4 * count + answer->low);
}

/* The entry that covers @port in a table of @count, 0 where it has none. */
static __noinline __u32 fw_find_port(struct fw_view *view, struct fw_answer *answer, __u32 table,
				     __u32 count, __u32 port)
{
	__u32 middle, i;

	if (!count)
		return 0;
	answer->low = 0;
	answer->high = count;
	fw_repeat(i, FW_SEARCH_STEPS)
	{
		if (answer->low + 1 >= answer->high)
			break;
		middle = (answer->low + answer->high) / 2;
		if (FW_ENTRY_PORT(fw_word(view, table + middle)) <= port)
			answer->low = middle;
		else
			answer->high = middle;
	}
	return fw_word(view, table + answer->low);
}

/* The answer of one node; @answer->node: where to go on, 0: nowhere. */
static __always_inline __u32 fw_ask_node(struct fw_view *view, const struct fw_question *question,
					 struct fw_answer *answer)
{
	const __u32 *line = fw_line(view, answer->node / FW_LINE_WORDS);
	const struct fw_node *fields;

	if (!line) {
		answer->node = 0;
		return 0;
	}
	fields = (const struct fw_node *)(line + (answer->node & FW_LINE_WORDS / 2));
	answer->node = fields->link;
	switch (question->protocol) {
	case 6:
		return fw_find_port(view, answer, fields->tcp, fields->tcp_count, question->port);
	case 17:
		return fw_find_port(view, answer, fields->udp, fields->udp_count, question->port);
	case 1:
		return question->family == FW_V4 ? fields->icmp : fields->other;
	case 58:
		return question->family == FW_V6 ? fields->icmp : fields->other;
	}
	return fields->other;
}

static __always_inline int fw_decide(struct fw_view *view, const struct fw_question *question,
				struct fw_answer *answer)
{
	const __u32 *line = fw_line(view, 1);
	__u32 i, base, count;
	const struct fw_section *section;

	answer->action = FW_NONE;
	answer->rule = FW_NO_RULE;
	answer->allow = answer->deny = FW_NO_RULE;
	if (!line)
		return 0;
	section = (const struct fw_section *)line +
		  (((question->direction & 1) * FW_FAMILIES) | (question->family & 1));
	base = section->base;
	count = section->count;
	if (!count)
		return 0;
	answer->node = fw_find_node(view, question, answer, base, count);
	fw_repeat(i, FW_HOPS_MAX)
	{
		__u32 entry, rule;

		if (!answer->node)
			break;
		entry = fw_ask_node(view, question, answer);
		rule = FW_ENTRY_RULE(entry);
		if (FW_ENTRY_ACTION(entry) == FW_DENY && rule < answer->deny)
			answer->deny = rule;
		if (FW_ENTRY_ACTION(entry) == FW_ALLOW && rule < answer->allow)
			answer->allow = rule;
	}
	if (answer->deny != FW_NO_RULE) {
		answer->action = FW_DENY;
		answer->rule = answer->deny;
	} else if (answer->allow != FW_NO_RULE) {
		answer->action = FW_ALLOW;
		answer->rule = answer->allow;
	}
	return 0;
}

#endif /* HOODY_BPF_DECIDE_H */
