// SPDX-License-Identifier: Apache-2.0
/*
 * What the firewall's program itself costs a packet, as the kernel counts it
 * (BPF_ENABLE_STATS) under BPF_PROG_TEST_RUN: a first packet that opens a flow,
 * one that the rules refuse, and one of a known flow, with no rules and with 1
 * to 10,000; and how long it takes to compile and to put in force those rules.
 * Where the clock counts instructions (tools/vm --icount) it is instructions,
 * otherwise nanoseconds.
 *
 *	firewall [PACKETS]	one JSON object a line
 */
#include "firewall_packet.h"
#include "firewall_rules.h"

#include <bpf/bpf.h>
#include <unistd.h>

#define IFINDEX		1

static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 1 };

static struct knl_bpf *bpf;

static void program_stats(struct bpf_prog_info *info)
{
	uint32_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	bpf_prog_get_info_by_fd(knl_bpf_program(bpf, FW_EGRESS), info, &size);
}

enum kind { FIRST, REFUSED, KNOWN, KINDS };

static const char *const kind_names[KINDS] = { "first", "refused", "known" };

/* The cost of a packet; the wanted verdict is checked. */
static double measure(enum kind kind, unsigned int packets, int count)
{
	struct bpf_prog_info before, after;
	struct packet packet;
	unsigned int i;
	uint8_t to[4];

	rules_last(count, to);
	program_stats(&before);
	for (i = 0; i < packets; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet.bytes);
		const unsigned int port = kind == KNOWN ? 1 : 1000 + i;

		packet_ethernet(&packet, peer_mac, rules_mac, 0x0800);
		packet_ipv4(&packet, rules_own4, to, 6);
		packet_tcp(&packet, port, kind == REFUSED ? RULES_PORT + 1 : RULES_PORT,
			   kind == KNOWN && i ? 16 : 2);
		packet_finish(&packet);
		opts.data_size_in = packet.length;
		if (bpf_prog_test_run_opts(knl_bpf_program(bpf, FW_EGRESS), &opts) ||
		    (opts.retval == 2) != (kind == REFUSED)) {
			fprintf(stderr, "%d rules: packet %u was not judged as it should be\n",
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

static void print(int count, const char *what, double figure)
{
	if (count == RULES_OPEN)
		printf("{\"case\":\"ours-open\",");
	else
		printf("{\"case\":\"ours-%d\",", count);
	printf("\"measure\":\"program-%s\",\"mean\":%.1f}\n", what, figure);
}

static void measure_all(int count, unsigned int packets)
{
	struct rules_cost cost = rules_commit(bpf, IFINDEX, FW_TCP, count);
	int kind;

	print(count, "compile", cost.compiled);
	print(count, "commit", cost.committed);
	if (knl_bpf_slot_clear(bpf, RULES_SLOT)) {
		perror("flows");
		exit(1);
	}
	for (kind = FIRST; kind < KINDS; kind++)
		if (kind != REFUSED || count != RULES_OPEN)
			print(count, kind_names[kind], measure(kind, packets, count));
}

int main(int argc, char **argv)
{
	static const int counts[] = { RULES_OPEN, 1, 100, 1000, 10000 };
	struct knl_bpf_options options = { .flows = 262144, .containers = 2 };
	const unsigned int packets = argc > 1 ? (unsigned int)atoi(argv[1]) : 20000;
	char pins[64], fault[KNL_BPF_FAULT_MAX];
	int stats, ret;
	size_t i;

	snprintf(pins, sizeof(pins), "/sys/fs/bpf/hoody-bench-%d", getpid());
	options.pins = pins;
	ret = knl_bpf_open(&options, &bpf, fault);
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (ret || stats < 0) {
		fprintf(stderr, "%s\n", ret ? fault : strerror(errno));
		knl_bpf_remove(pins);
		return 1;
	}
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		measure_all(counts[i], packets);
	close(stats);
	knl_bpf_close(bpf);
	knl_bpf_remove(pins);
	return 0;
}
