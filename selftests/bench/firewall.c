// SPDX-License-Identifier: Apache-2.0
/*
 * What the firewall costs a packet, in nanoseconds inside the program as the
 * kernel counts them (BPF_ENABLE_STATS), through BPF_PROG_TEST_RUN: a first
 * packet that opens a flow, one that the rules refuse, and one of a known flow,
 * with 1 to 10,000 rules; and how long it takes to put those rules in force.
 *
 *	firewall [PACKETS]	a table on standard output
 */
#include "firewall_packet.h"
#include "kernel/bpf.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define IFINDEX		1
#define SLOT		1
#define RULES_MAX	10000

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 2 }, peer_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t own4[4] = { 10, 0, 0, 2 };

static struct knl_bpf *bpf;
static struct fw_rule rules[RULES_MAX];
static struct fw_prefix prefixes[RULES_MAX];
static uint64_t generation;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* Rules for 172.16.0.0 and on, one address and port each. */
static void make_rules(void)
{
	unsigned int i;

	for (i = 0; i < RULES_MAX; i++) {
		prefixes[i] = (struct fw_prefix){ .length = 32,
						  .address = { 172, 16, i >> 8, i & 255 } };
		rules[i] = (struct fw_rule){ .action = FW_ALLOW, .protocol = FW_TCP,
					     .port_first = 443, .port_last = 443,
					     .prefixes_count = 1, .prefixes = &prefixes[i] };
	}
}

/* Milliseconds to compile and to commit; exits where that fails. */
static void commit(unsigned int count, double *compiled, double *committed)
{
	struct fw_policy policy = {
		.generation = ++generation,
		.slot = SLOT,
		.flags = FW_MAC_KNOWN,
		.quota = { 100000, 1000, 1000 },
		.addresses4_count = 1,
		.rules_count = count,
		.rules = rules,
	};
	struct fw_image image;
	struct fw_fault fault;
	double start = now();
	int ret;

	memcpy(policy.mac, own_mac, 6);
	memcpy(policy.addresses4[0], own4, 4);
	ret = fw_compile(&policy, &image, &fault);
	*compiled = now() - start;
	start = now();
	if (!ret)
		ret = knl_bpf_commit(bpf, IFINDEX, &image, NULL);
	*committed = now() - start;
	fw_image_clear(&image);
	if (ret || knl_bpf_slot_clear(bpf, SLOT)) {
		fprintf(stderr, "%u rules: %s\n", count, strerror(-ret));
		exit(1);
	}
}

static void program_stats(struct bpf_prog_info *info)
{
	uint32_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	bpf_prog_get_info_by_fd(knl_bpf_program(bpf, FW_EGRESS), info, &size);
}

enum kind { FIRST, REFUSED, KNOWN };

/* Nanoseconds a packet; the wanted verdict is checked. */
static double measure(enum kind kind, unsigned int packets, unsigned int count)
{
	const unsigned int last = count ? count - 1 : 0;
	uint8_t to[4] = { 172, 16, (uint8_t)(last >> 8), (uint8_t)last };
	struct bpf_prog_info before, after;
	struct packet packet;
	unsigned int i;

	program_stats(&before);
	for (i = 0; i < packets; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet.bytes);
		const unsigned int port = kind == KNOWN ? 1 : 1000 + i;

		packet_ethernet(&packet, peer_mac, own_mac, 0x0800);
		packet_ipv4(&packet, own4, to, 6);
		packet_tcp(&packet, port, kind == REFUSED ? 444 : 443,
			   kind == KNOWN && i ? 16 : 2);
		packet_finish(&packet);
		opts.data_size_in = packet.length;
		if (bpf_prog_test_run_opts(knl_bpf_program(bpf, FW_EGRESS), &opts) ||
		    (opts.retval == 2) != (kind == REFUSED)) {
			fprintf(stderr, "%u rules: packet %u was not judged as it should be\n",
				count, i);
			exit(1);
		}
		/* The first one opens the flow. */
		if (kind == KNOWN && !i)
			program_stats(&before);
	}
	program_stats(&after);
	return (double)(after.run_time_ns - before.run_time_ns) /
	       (double)(after.run_cnt - before.run_cnt);
}

int main(int argc, char **argv)
{
	static const unsigned int counts[] = { 1, 10, 100, 1000, 10000 };
	struct knl_bpf_options options = { .flows = 262144, .containers = 2 };
	const unsigned int packets = argc > 1 ? (unsigned int)atoi(argv[1]) : 20000;
	char pins[64], fault[KNL_BPF_FAULT_MAX];
	unsigned int i, round;
	int stats, ret;

	snprintf(pins, sizeof(pins), "/sys/fs/bpf/hoody-bench-%d", getpid());
	options.pins = pins;
	ret = knl_bpf_open(&options, &bpf, fault);
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (ret || stats < 0) {
		fprintf(stderr, "%s\n", ret ? fault : strerror(errno));
		knl_bpf_remove(pins);
		return 1;
	}
	make_rules();
	printf("ns in the program, best of 5 runs of %u packets each\n", packets);
	printf("%8s %14s %14s %14s %12s %12s\n", "rules", "first packet", "refused", "known flow",
	       "compile ms", "commit ms");
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		double best[3] = { 1e9, 1e9, 1e9 }, compiled = 1e9, committed = 1e9;

		for (round = 0; round < 5; round++) {
			double one, two;
			int kind;

			commit(counts[i], &one, &two);
			compiled = one < compiled ? one : compiled;
			committed = two < committed ? two : committed;
			for (kind = FIRST; kind <= KNOWN; kind++) {
				one = measure(kind, packets, counts[i]);
				best[kind] = one < best[kind] ? one : best[kind];
			}
		}
		printf("%8u %14.0f %14.0f %14.0f %12.2f %12.2f\n", counts[i], best[FIRST],
		       best[REFUSED], best[KNOWN], compiled, committed);
	}
	close(stats);
	knl_bpf_close(bpf);
	knl_bpf_remove(pins);
	return 0;
}
