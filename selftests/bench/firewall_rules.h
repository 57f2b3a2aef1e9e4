/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule sets that the firewall's benchmarks put in force: the first COUNT of
 * RULES_MAX rules, each of which allows one port of one address. What they
 * measure goes to the last of these, and firewall.sh gives nftables the same.
 */
#ifndef HOODY_BENCH_FIREWALL_RULES_H
#define HOODY_BENCH_FIREWALL_RULES_H

#include "kernel/bpf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RULES_MAX	10000
#define RULES_OPEN	(-1)	/* a container without rules: everything passes */
#define RULES_PORT	443
#define RULES_SLOT	1

static const uint8_t rules_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t rules_own4[4] = { 10, 9, 0, 2 };

struct rules_cost {
	double compiled, committed; /* nanoseconds */
};

static inline uint64_t rules_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* The address of the last of @count rules: 172.16.0.0 and on. */
static inline void rules_last(int count, uint8_t to[4])
{
	const int last = count > 0 ? count - 1 : 0;

	memcpy(to, (uint8_t[4]){ 172, 16, (uint8_t)(last >> 8), (uint8_t)last }, 4);
}

static inline void rules_make(struct fw_policy *policy, struct fw_rule *rules,
			      struct fw_prefix *prefixes, uint8_t protocol, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		prefixes[i] = (struct fw_prefix){ .length = 32 };
		rules_last(i + 1, prefixes[i].address);
		rules[i] = (struct fw_rule){ .action = FW_ALLOW, .protocol = protocol,
					     .port_first = RULES_PORT, .port_last = RULES_PORT,
					     .prefixes_count = 1, .prefixes = &prefixes[i] };
	}
	policy->rules = rules;
	policy->rules_count = (uint32_t)(count > 0 ? count : 0);
	if (count == RULES_OPEN)
		policy->flags |= FW_EGRESS_OPEN | FW_INGRESS_OPEN;
}

/* Compiles and commits; ends the program where that fails. */
static inline struct rules_cost rules_commit(struct knl_bpf *bpf, uint32_t ifindex,
					     uint8_t protocol, int count)
{
	static struct fw_rule rules[RULES_MAX];
	static struct fw_prefix prefixes[RULES_MAX];
	static uint64_t generation;
	struct fw_policy policy = {
		.generation = ++generation,
		.slot = RULES_SLOT,
		.flags = FW_MAC_KNOWN,
		.quota = { 100000, 1000, 1000 },
		.addresses4_count = 1,
	};
	struct rules_cost cost;
	struct fw_image image;
	struct fw_fault fault = { .text = "" };
	uint64_t start;
	int ret;

	memcpy(policy.mac, rules_mac, 6);
	memcpy(policy.addresses4[0], rules_own4, 4);
	rules_make(&policy, rules, prefixes, protocol, count);
	start = rules_now();
	ret = fw_compile(&policy, &image, &fault);
	cost.compiled = (double)(rules_now() - start);
	start = rules_now();
	if (!ret)
		ret = knl_bpf_commit(bpf, ifindex, &image, NULL);
	cost.committed = (double)(rules_now() - start);
	fw_image_clear(&image);
	if (ret) {
		fprintf(stderr, "%d rules: %s %s\n", count, strerror(-ret), fault.text);
		exit(1);
	}
	return cost;
}

#endif /* HOODY_BENCH_FIREWALL_RULES_H */
