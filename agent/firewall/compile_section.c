// SPDX-License-Identifier: Apache-2.0
/*
 * One section of the image: the rules of one direction and one address family.
 *
 * Prefixes are nested or apart, never half over each other, so those of one
 * section form a forest. Each becomes a node that knows its own rules and,
 * by a link, the next wider prefix; where a node's rules and those above it are
 * few, they are merged into it and the link skips what was merged. So the image
 * grows with the number of rules (a wide prefix with thousands of rules is not
 * copied below itself), and still most look-ups visit one node.
 *
 * A protected address is a node of its own that sees every deny rule around it,
 * but only those allow rules that name it exactly.
 */
#include "firewall/compile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rules up to which a node takes over what is above it. */
#define MERGE_RULES		64
/* Sum of all nodes' rules after merging; a bound for time and memory. */
#define EFFECTIVE_MAX		(4u << 20)
#define PROTECTED_RULE		FW_NO_RULE
#define NO_NODE			FW_NO_RULE

struct item {
	u128		start;
	uint32_t	length;
	uint32_t	rule;		/* or PROTECTED_RULE */
};

struct node {
	u128		last;		/* its last address */
	uint32_t	items, items_count;
	uint32_t	parent;		/* NO_NODE: none */
	uint32_t	link;		/* node that it links to, or NO_NODE */
	uint32_t	hops;		/* nodes that a look-up visits from here */
	uint32_t	rules, rules_count;	/* effective ones, in section.effective */
	uint32_t	word;		/* where it stands in the image */
	bool		protected;
};

struct boundary {
	u128		start;
	uint32_t	word;
};

struct section {
	const struct fw_policy	*policy;
	struct fw_words		*words;
	enum fw_family		family;
	u128			all;		/* the last address of the family */
	struct item		*items;
	uint32_t		items_count;
	struct node		*nodes;
	uint32_t		nodes_count;
	uint32_t		*effective;
	uint32_t		effective_used, effective_room;
	struct boundary		*boundaries;
	uint32_t		boundaries_count;
	uint32_t		*memo;		/* hash of rule lists -> node */
	uint32_t		memo_mask;
};

u128 fw_address_value(const uint8_t *address, unsigned int bytes)
{
	u128 value = 0;
	unsigned int i;

	for (i = 0; i < bytes; i++)
		value = value << 8 | address[i];
	return value;
}

static int compare_items(const void *a, const void *b)
{
	const struct item *left = a, *right = b;

	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return left->rule < right->rule ? -1 : left->rule > right->rule;
}

/* Whether a rule can say anything about packets of the family. */
static bool speaks_of(const struct fw_rule *rule, enum fw_direction direction,
		      enum fw_family family)
{
	return rule->direction == direction &&
	       !(rule->protocol == FW_ICMP && family == FW_V6) &&
	       !(rule->protocol == FW_ICMPV6 && family == FW_V4);
}

static void add_item(struct section *section, const struct fw_prefix *prefix, uint32_t rule)
{
	section->items[section->items_count++] = (struct item){
		.start = fw_address_value(prefix->address, section->family == FW_V4 ? 4 : 16),
		.length = prefix->length,
		.rule = rule,
	};
}

static int collect_items(struct section *section, enum fw_direction direction)
{
	const struct fw_policy *policy = section->policy;
	size_t most = direction == FW_EGRESS ? policy->protected_count : 0;
	uint32_t i, j;

	for (i = 0; i < policy->rules_count; i++)
		most += policy->rules[i].anywhere ? 1 : policy->rules[i].prefixes_count;
	section->items = malloc((most + 1) * sizeof(*section->items));
	if (!section->items)
		return -ENOMEM;
	for (i = 0; i < policy->rules_count; i++) {
		const struct fw_rule *rule = &policy->rules[i];

		if (!speaks_of(rule, direction, section->family))
			continue;
		if (rule->anywhere)
			add_item(section, &(const struct fw_prefix){ 0 }, i);
		for (j = 0; !rule->anywhere && j < rule->prefixes_count; j++)
			if (rule->prefixes[j].family == section->family)
				add_item(section, &rule->prefixes[j], i);
	}
	/* Without a rule there is nothing to protect from. */
	if (!section->items_count)
		return 0;
	for (i = 0; direction == FW_EGRESS && i < policy->protected_count; i++)
		if (policy->protected[i].family == section->family)
			add_item(section, &policy->protected[i], PROTECTED_RULE);
	qsort(section->items, section->items_count, sizeof(*section->items), compare_items);
	return 0;
}

/* One node for each distinct prefix, wider ones before those inside them. */
static int make_nodes(struct section *section)
{
	const unsigned int whole = section->family == FW_V4 ? 32 : 128;
	struct node *node = NULL;
	uint32_t i;

	section->nodes = calloc(section->items_count, sizeof(*section->nodes));
	if (!section->nodes)
		return -ENOMEM;
	for (i = 0; i < section->items_count; i++) {
		const struct item *item = &section->items[i], *before = item - 1;

		if (!i || item->start != before->start || item->length != before->length) {
			if (section->nodes_count == FW_PREFIXES_MAX)
				return -ENOSPC;
			node = &section->nodes[section->nodes_count++];
			node->items = i;
			/* A shift by all 128 bits would be undefined. */
			node->last = item->start;
			if (item->length < whole)
				node->last |= section->all >> item->length;
		}
		node->items_count++;
		node->protected |= item->rule == PROTECTED_RULE && item->length == whole;
	}
	return 0;
}

static int add_effective(struct section *section, struct node *node, uint32_t rule)
{
	if (section->effective_used == section->effective_room) {
		const uint32_t room = section->effective_room ? 2 * section->effective_room : 4096;
		uint32_t *grown;

		if (room > EFFECTIVE_MAX)
			return -ENOSPC;
		grown = realloc(section->effective, (size_t)room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		section->effective = grown;
		section->effective_room = room;
	}
	section->effective[section->effective_used++] = rule;
	node->rules_count++;
	return 0;
}

/* The node's own rules; of @denies_only, only those that deny. */
static int add_own(struct section *section, struct node *to, const struct node *from,
		   bool denies_only)
{
	uint32_t i;
	int ret;

	for (i = 0; i < from->items_count; i++) {
		const uint32_t rule = section->items[from->items + i].rule;

		if (rule == PROTECTED_RULE ||
		    (denies_only && section->policy->rules[rule].action != FW_DENY) ||
		    (i && rule == section->items[from->items + i - 1].rule))
			continue;
		ret = add_effective(section, to, rule);
		if (ret)
			return ret;
	}
	return 0;
}

/* Decides what the node knows itself and where it links to. */
static int resolve_node(struct section *section, struct node *node)
{
	struct node *parent = node->parent == NO_NODE ? NULL : &section->nodes[node->parent];
	uint32_t i, above;
	int ret;

	node->rules = section->effective_used;
	node->link = NO_NODE;
	node->hops = 1;
	ret = add_own(section, node, node, false);
	if (ret)
		return ret;
	if (node->protected) {
		for (above = node->parent; above != NO_NODE && !ret;
		     above = section->nodes[above].parent)
			ret = add_own(section, node, &section->nodes[above], true);
		return ret;
	}
	if (!parent)
		return 0;
	if (node->rules_count + parent->rules_count > MERGE_RULES && parent->hops < FW_HOPS_MAX) {
		node->link = node->parent;
		node->hops = parent->hops + 1;
		return 0;
	}
	node->link = parent->link;
	node->hops = parent->hops;
	for (i = 0; i < parent->rules_count && !ret; i++)
		ret = add_effective(section, node, section->effective[parent->rules + i]);
	return ret;
}

static uint32_t hash_node(const struct section *section, const struct node *node)
{
	uint32_t hash = 2166136261u ^ node->link, i;

	for (i = 0; i < node->rules_count; i++)
		hash = (hash ^ section->effective[node->rules + i]) * 16777619u;
	return hash ^ hash >> 15;
}

static bool same_node(const struct section *section, const struct node *a, const struct node *b)
{
	return a->link == b->link && a->rules_count == b->rules_count &&
	       (!a->rules_count || !memcmp(&section->effective[a->rules], &section->effective[b->rules],
		       a->rules_count * sizeof(uint32_t)));
}

/* Puts the node into the image, or shares the place of an equal one. */
static int write_node(struct section *section, uint32_t index)
{
	struct node *node = &section->nodes[index];
	const uint32_t *rules = &section->effective[node->rules];
	const struct fw_policy *policy = section->policy;
	uint32_t slot = hash_node(section, node) & section->memo_mask;
	struct fw_node out = { 0 };
	int64_t at;
	int ret;

	for (; section->memo[slot] != NO_NODE; slot = (slot + 1) & section->memo_mask) {
		if (same_node(section, &section->nodes[section->memo[slot]], node)) {
			node->word = section->nodes[section->memo[slot]].word;
			return 0;
		}
	}
	section->memo[slot] = index;
	ret = fw_ports_compile(section->words, policy, rules, node->rules_count, FW_TCP, &out.tcp,
			       &out.tcp_count);
	if (!ret)
		ret = fw_ports_compile(section->words, policy, rules, node->rules_count, FW_UDP,
				       &out.udp, &out.udp_count);
	if (ret)
		return ret;
	out.icmp = fw_entry_compile(policy, rules, node->rules_count,
				    section->family == FW_V4 ? FW_ICMP : FW_ICMPV6);
	out.other = fw_entry_compile(policy, rules, node->rules_count, FW_ANY);
	out.link = node->link == NO_NODE ? 0 : section->nodes[node->link].word;
	at = fw_words_take(section->words, sizeof(out) / 4, sizeof(out) / 4);
	if (at < 0)
		return (int)at;
	memcpy(section->words->words + at, &out, sizeof(out));
	node->word = (uint32_t)at;
	return 0;
}

/* From @start on the answer is the node at @word, or none with 0. */
static void add_boundary(struct section *section, u128 start, uint32_t word)
{
	struct boundary *last = section->boundaries_count ?
				&section->boundaries[section->boundaries_count - 1] : NULL;

	/* There is room for all, and the last one is set. NOLINTBEGIN(clang-analyzer-core.*) */
	if (last && last->start == start)
		last->word = word;
	else if (!last || last->word != word)
		section->boundaries[section->boundaries_count++] =
			(struct boundary){ .start = start, .word = word };
	/* NOLINTEND(clang-analyzer-core.*) */
}

/* Ends the prefix @index: behind it its parent goes on. */
static void end_node(struct section *section, uint32_t index)
{
	const struct node *node = &section->nodes[index];

	if (node->last != section->all)
		add_boundary(section, node->last + 1,
			     node->parent == NO_NODE ? 0 : section->nodes[node->parent].word);
}

/* Walks the prefixes in order; @open is the innermost one that has not ended. */
static int walk_nodes(struct section *section)
{
	uint32_t i, open = NO_NODE;
	int ret;

	add_boundary(section, 0, 0);
	for (i = 0; i < section->nodes_count; i++) {
		struct node *node = &section->nodes[i];
		const u128 start = section->items[node->items].start;

		while (open != NO_NODE && section->nodes[open].last < start) {
			end_node(section, open);
			open = section->nodes[open].parent;
		}
		node->parent = open;
		ret = resolve_node(section, node);
		if (!ret)
			ret = write_node(section, i);
		if (ret)
			return ret;
		add_boundary(section, start, node->word);
		open = i;
	}
	for (; open != NO_NODE; open = section->nodes[open].parent)
		end_node(section, open);
	return 0;
}

/* An index of the lines that begin at word @base, and one of the index, up to one line. */
static int write_index(struct section *section, uint32_t base, uint32_t lines)
{
	while (lines > 1) {
		const uint32_t room = FW_INDEX_LINES(lines) * FW_LINE_WORDS;
		const int64_t at = fw_words_take(section->words, room, FW_LINE_WORDS);
		uint32_t *words, i;

		if (at < 0)
			return (int)at;
		words = section->words->words;
		for (i = 0; i < room; i++)
			words[at + i] = i < lines ? words[base + i * FW_LINE_WORDS] : UINT32_MAX;
		base = (uint32_t)at;
		lines = FW_INDEX_LINES(lines);
	}
	return 0;
}

static int write_boundaries4(struct section *section, struct fw_section *out)
{
	const uint32_t count = section->boundaries_count, lines = FW_LINES4(count);
	const int64_t base = fw_words_take(section->words, lines * FW_LINE_WORDS, FW_LINE_WORDS);
	uint32_t *words, i;

	if (base < 0)
		return (int)base;
	words = section->words->words + base;
	for (i = 0; i < count; i++) {
		words[2 * i] = (uint32_t)section->boundaries[i].start;
		words[2 * i + 1] = section->boundaries[i].word;
	}
	*out = (struct fw_section){ .base = (uint32_t)base, .count = count };
	return write_index(section, out->base, lines);
}

static int write_boundaries6(struct section *section, struct fw_section *out)
{
	const uint32_t count = section->boundaries_count;
	const int64_t base = fw_words_take(section->words, count * 5, FW_LINE_WORDS);
	uint32_t *words, i, part;

	if (base < 0)
		return (int)base;
	words = section->words->words + base;
	for (i = 0; i < count; i++) {
		const struct boundary *boundary = &section->boundaries[i];

		for (part = 0; part < 4; part++)
			words[4 * i + part] = (uint32_t)(boundary->start >> (96 - 32 * part));
		words[4 * count + i] = boundary->word;
	}
	*out = (struct fw_section){ .base = (uint32_t)base, .count = count };
	return 0;
}

int fw_section_compile(const struct fw_policy *policy, struct fw_words *words,
			   enum fw_direction direction, enum fw_family family,
			   struct fw_section *out)
{
	struct section section = {
		.policy = policy,
		.words = words,
		.family = family,
		.all = family == FW_V4 ? UINT32_MAX : ~(u128)0,
	};
	uint32_t slots = 16;
	int ret;

	ret = collect_items(&section, direction);
	if (ret || !section.items_count)
		goto out;
	ret = make_nodes(&section);
	if (ret)
		goto out;
	while (slots < 2 * section.nodes_count)
		slots *= 2;
	section.memo_mask = slots - 1;
	section.memo = malloc(slots * sizeof(*section.memo));
	section.boundaries = malloc((2 * (size_t)section.nodes_count + 1) *
				    sizeof(*section.boundaries));
	ret = -ENOMEM;
	if (!section.memo || !section.boundaries)
		goto out;
	memset(section.memo, 0xff, slots * sizeof(*section.memo));
	ret = walk_nodes(&section);
	if (!ret)
		ret = family == FW_V4 ? write_boundaries4(&section, out) :
					write_boundaries6(&section, out);
out:
	free(section.boundaries);
	free(section.memo);
	free(section.effective);
	free(section.nodes);
	free(section.items);
	return ret;
}
