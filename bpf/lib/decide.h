/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the rules of a policy image say about a packet: a pure look-up, compiled
 * both into the programs and into the agent (explain, tests).
 *
 * The includer says how a line is reached: struct fw_view and fw_line(), which
 * returns 64 bytes or NULL; and gives fw_repeat(i, n), a loop of at most n steps.
 * It calls the kernel for each, which costs as much as the step: the searches of
 * IPv4 addresses and of short port tables do without.
 *
 *	1. the last boundary at or before the address: by the index for IPv4, by binary
 *	   search for IPv6
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

/* The node of the address in a line that holds @count boundaries or more. */
fw_checked_once fw_node_in_line(const struct fw_line *line fw_expects, __u32 count, __u32 address)
{
	const __u32 *words = line->words;
	__u32 at = 0;

	if (count > 4 && words[2 * 4] <= address)
		at = 4;
	if (count > at + 2 && words[2 * (at + 2)] <= address)
		at += 2;
	if (count > at + 1 && words[2 * (at + 1)] <= address)
		at += 1;
	return words[2 * at + 1];
}

/* The entry of a table of @count that begins at word @offset and ends in the line. */
fw_checked_once fw_port_in_line(const struct fw_line *line fw_expects, __u32 offset, __u32 count,
				__u32 port)
{
	const __u32 *words = line->words;
	/* The last entry that @port can have: what is smaller begins at or before it. */
	const __u32 last = FW_ENTRY(port + 1, 0, 0) - 1;
	__u32 at = offset;

	count += offset;
	if (count > at + 8 && words[(at + 8) % FW_LINE_WORDS] <= last)
		at += 8;
	if (count > at + 4 && words[(at + 4) % FW_LINE_WORDS] <= last)
		at += 4;
	if (count > at + 2 && words[(at + 2) % FW_LINE_WORDS] <= last)
		at += 2;
	if (count > at + 1 && words[(at + 1) % FW_LINE_WORDS] <= last)
		at += 1;
	return words[at % FW_LINE_WORDS];
}

/* The last word of an index line that is at most @address; the first one is. */
fw_checked_once fw_place_in_line(const struct fw_line *line fw_expects, __u32 address)
{
	const __u32 *words = line->words;
	__u32 at = 0;

	if (words[8] <= address)
		at = 8;
	if (words[at + 4] <= address)
		at += 4;
	if (words[at + 2] <= address)
		at += 2;
	if (words[at + 1] <= address)
		at += 1;
	return at;
}

/*
 * Which of @lines lines the address is in: by line @at of their index, which begins at
 * line @index. Behind the index's end is 0xffffffff, which is an address as well.
 */
static __always_inline __u32 fw_descend(struct fw_view *view, __u32 index, __u32 at, __u32 lines,
					__u32 address)
{
	const __u32 *line = fw_line(view, index + at);

	if (!line)
		return 0;
	at = at * FW_LINE_WORDS + fw_place_in_line((const struct fw_line *)line, address);
	return at < lines ? at : lines - 1;
}

/*
 * The node of the IPv4 address in a section of @count boundaries, 0: none. First the
 * line, then the boundary in it: reaching a line costs more than its comparisons.
 */
static __noinline __u32 fw_find_node4(struct fw_view *view, __u32 base, __u32 count, __u32 address)
{
	const __u32 lines = FW_LINES4(count), first = FW_INDEX_LINES(lines),
		    second = FW_INDEX_LINES(first), third = FW_INDEX_LINES(second);
	const __u32 *line;
	__u32 at = 0;

	base /= FW_LINE_WORDS;
	if (third > 1)
		at = fw_descend(view, base + lines + first + second + third, at, third, address);
	if (second > 1)
		at = fw_descend(view, base + lines + first + second, at, second, address);
	if (first > 1)
		at = fw_descend(view, base + lines + first, at, first, address);
	if (lines > 1)
		at = fw_descend(view, base + lines, at, lines, address);
	line = fw_line(view, base + at);
	return line ? fw_node_in_line((const struct fw_line *)line,
				      count - at * FW_LINE_BOUNDARIES4, address) : 0;
}

static __noinline __u32 fw_find_node6(struct fw_view *view, const __u32 *address,
				      struct fw_answer *answer, __u32 base, __u32 count)
{
	__u32 middle, i;

	answer->low = 0;
	answer->high = count;
	fw_repeat(i, FW_SEARCH_STEPS)
	{
		if (answer->low + 1 >= answer->high)
			break;
		middle = (answer->low + answer->high) / 2;
		if (fw_key_at_most(view, base + 4 * middle, address))
			answer->low = middle;
		else
			answer->high = middle;
	}
	return fw_word(view, base + 4 * count + answer->low);
}

/* The entry that covers @port in a table of @count, 0 where it has none. */
static __noinline __u32 fw_find_port(struct fw_view *view, struct fw_answer *answer, __u32 table,
				     __u32 count, __u32 port)
{
	const __u32 offset = table % FW_LINE_WORDS;
	const __u32 *line;
	__u32 middle, i;

	if (!count)
		return 0;
	/* Most are small, and in one line. */
	if (offset + count <= FW_LINE_WORDS) {
		line = fw_line(view, table / FW_LINE_WORDS);
		return line ? fw_port_in_line((const struct fw_line *)line, offset, count, port) : 0;
	}
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
static __always_inline __u32 fw_entry_of_node(struct fw_view *view,
					      const struct fw_question *question,
					      struct fw_answer *answer)
{
	const __u32 *line = fw_line(view, answer->node / FW_LINE_WORDS);
	const struct fw_node *fields;
	__u32 table, count;

	if (!line) {
		answer->node = 0;
		return 0;
	}
	fields = (const struct fw_node *)(line + (answer->node & FW_LINE_WORDS / 2));
	answer->node = fields->link;
	switch (question->protocol) {
	case 6:
		table = fields->tcp;
		count = fields->tcp_count;
		break;
	case 17:
		table = fields->udp;
		count = fields->udp_count;
		break;
	case 1:
		return question->family == FW_V4 ? fields->icmp : fields->other;
	case 58:
		return question->family == FW_V6 ? fields->icmp : fields->other;
	default:
		return fields->other;
	}
	return fw_find_port(view, answer, table, count, question->port);
}

/* What the node @answer->node adds to the answer; 0: it was the last one. */
static __noinline int fw_ask_node(struct fw_view *view, const struct fw_question *question,
				  struct fw_answer *answer)
{
	const __u32 entry = fw_entry_of_node(view, question, answer);
	const __u32 rule = FW_ENTRY_RULE(entry);

	if (FW_ENTRY_ACTION(entry) == FW_DENY && rule < answer->deny)
		answer->deny = rule;
	if (FW_ENTRY_ACTION(entry) == FW_ALLOW && rule < answer->allow)
		answer->allow = rule;
	return answer->node != 0;
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
	answer->node = question->family == FW_V4 ?
			       fw_find_node4(view, base, count, question->address[0]) :
			       fw_find_node6(view, question->address, answer, base, count);
	/* Few addresses have rules of wider prefixes as well. */
	if (answer->node && fw_ask_node(view, question, answer)) {
		fw_repeat(i, FW_HOPS_MAX - 1)
		{
			if (!fw_ask_node(view, question, answer))
				break;
		}
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
