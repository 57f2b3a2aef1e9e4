// SPDX-License-Identifier: Apache-2.0
/*
 * Port tables: the rules that speak of one piece of address space, as intervals
 * of ports with one decision each. A sweep over the ports keeps the rules that
 * cover the current port in two heaps, of denies and of allows, smallest rule
 * number on top; those that ended are thrown out when they come to the top.
 */
#include "firewall/compile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct heap {
	uint32_t	*rules;
	uint32_t	count;
};

static void heap_push(struct heap *heap, uint32_t rule)
{
	uint32_t at = heap->count++;

	while (at && heap->rules[(at - 1) / 2] > rule) {
		heap->rules[at] = heap->rules[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap->rules[at] = rule;
}

static void heap_pop(struct heap *heap)
{
	const uint32_t last = heap->rules[--heap->count];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < heap->count) {
		if (child + 1 < heap->count && heap->rules[child + 1] < heap->rules[child])
			child++;
		if (heap->rules[child] >= last)
			break;
		heap->rules[at] = heap->rules[child];
		at = child;
	}
	heap->rules[at] = last;
}

/* The smallest rule that still covers @port, FW_NO_RULE: none. */
static uint32_t heap_top(struct heap *heap, const struct fw_policy *policy, uint32_t port)
{
	while (heap->count) {
		const struct fw_rule *rule = &policy->rules[heap->rules[0]];

		if (rule->protocol == FW_ANY || rule->port_last >= port)
			return heap->rules[0];
		heap_pop(heap);
	}
	return FW_NO_RULE;
}

static uint32_t entry_of(uint32_t port, uint32_t deny, uint32_t allow)
{
	if (deny != FW_NO_RULE)
		return FW_ENTRY(port, FW_DENY, deny);
	if (allow != FW_NO_RULE)
		return FW_ENTRY(port, FW_ALLOW, allow);
	return FW_ENTRY(port, FW_NONE, 0);
}

/* A rule begins (@rule) or something may end (FW_NO_RULE) at @port. */
struct point {
	uint32_t	port, rule;
};

static int compare_points(const void *a, const void *b)
{
	const struct point *left = a, *right = b;

	return left->port < right->port ? -1 : left->port > right->port;
}

static int sweep(struct fw_words *words, const struct fw_policy *policy,
		 const struct point *points, uint32_t points_count, struct heap heaps[2],
		 uint32_t *at, uint32_t *count)
{
	uint32_t i = 0, port, entry, previous = 0;
	int64_t index;

	while (i < points_count) {
		port = points[i].port;
		for (; i < points_count && points[i].port == port; i++)
			if (points[i].rule != FW_NO_RULE)
				heap_push(&heaps[policy->rules[points[i].rule].action == FW_ALLOW],
					  points[i].rule);
		entry = entry_of(port, heap_top(&heaps[0], policy, port),
				 heap_top(&heaps[1], policy, port));
		/* Port aside, the same as before: the interval goes on. */
		if (*count && (uint16_t)entry == (uint16_t)previous)
			continue;
		index = fw_words_take(words, 1, 1);
		if (index < 0)
			return (int)index;
		words->words[index] = entry;
		if (!(*count)++)
			*at = (uint32_t)index;
		previous = entry;
	}
	return 0;
}

int fw_ports_compile(struct fw_words *words, const struct fw_policy *policy,
		     const uint32_t *rules, uint32_t rules_count, enum fw_protocol protocol,
		     uint32_t *at, uint32_t *count)
{
	struct heap heaps[2] = { 0 };
	struct point *points = NULL;
	uint32_t i, used = 0;
	int ret = -ENOMEM;

	*at = *count = 0;
	points = malloc((2 * (size_t)rules_count + 1) * sizeof(*points));
	heaps[0].rules = malloc((rules_count + 1) * sizeof(uint32_t));
	heaps[1].rules = malloc((rules_count + 1) * sizeof(uint32_t));
	if (!points || !heaps[0].rules || !heaps[1].rules)
		goto out;
	/* The first interval starts at port 0, whatever it says. */
	points[used++] = (struct point){ .port = 0, .rule = FW_NO_RULE };
	for (i = 0; i < rules_count; i++) {
		const struct fw_rule *rule = &policy->rules[rules[i]];

		if (rule->protocol == FW_ANY) {
			points[used++] = (struct point){ .port = 0, .rule = rules[i] };
		} else if (rule->protocol == protocol) {
			points[used++] = (struct point){ .port = rule->port_first, .rule = rules[i] };
			if (rule->port_last < UINT16_MAX)
				points[used++] = (struct point){ .port = rule->port_last + 1u,
								 .rule = FW_NO_RULE };
		}
	}
	ret = 0;
	if (used > 1) {
		qsort(points, used, sizeof(*points), compare_points);
		ret = sweep(words, policy, points, used, heaps, at, count);
	}
out:
	free(heaps[1].rules);
	free(heaps[0].rules);
	free(points);
	return ret;
}

uint32_t fw_entry_compile(const struct fw_policy *policy, const uint32_t *rules,
			  uint32_t rules_count, enum fw_protocol icmp)
{
	uint32_t deny = FW_NO_RULE, allow = FW_NO_RULE, i;

	for (i = 0; i < rules_count; i++) {
		const struct fw_rule *rule = &policy->rules[rules[i]];
		uint32_t *best = rule->action == FW_DENY ? &deny : &allow;

		if ((rule->protocol == FW_ANY || rule->protocol == icmp) && rules[i] < *best)
			*best = rules[i];
	}
	return entry_of(0, deny, allow);
}
