/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the firewall programs share: one container with a policy of
 * ten rules, frames from and to it, and a program run that says by which reason
 * the frame was dropped. Loopback (index 1) is the interface; nothing is attached.
 */
#ifndef HOODY_SELFTESTS_FIREWALL_CASE_H
#define HOODY_SELFTESTS_FIREWALL_CASE_H

#include "firewall_packet.h"
#include "kernel/bpf.h"
#include "tap.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define IFINDEX		1
#define SLOT		1

static const uint8_t __attribute__((unused)) own_mac[6] = { 2, 0, 0, 0, 0, 2 }, peer_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t __attribute__((unused)) other_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t __attribute__((unused)) broadcast_mac[6] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t __attribute__((unused)) own4[4] = { 10, 0, 0, 2 }, host4[4] = { 10, 0, 0, 1 };
static const uint8_t __attribute__((unused)) zero16[16];
static uint8_t own6[16], web6[16], own_local6[16], other_local6[16], all_nodes6[16];
static const uint8_t __attribute__((unused)) web4[4] = { 192, 0, 2, 1 }, bad4[4] = { 192, 0, 2, 66 };
static const uint8_t __attribute__((unused)) dns4[4] = { 198, 51, 100, 53 }, any4[4] = { 203, 0, 113, 7 };
static const uint8_t __attribute__((unused)) friend4[4] = { 10, 9, 1, 1 }, stranger4[4] = { 8, 8, 8, 8 };
static const uint8_t __attribute__((unused)) metadata4[4] = { 169, 254, 169, 254 };

#define RULE(dir, act, proto, first, last) \
	.direction = dir, .action = act, .protocol = proto, .port_first = first, .port_last = last
#define TO(...)		.prefixes_count = 1, .prefixes = __VA_ARGS__

enum { R_WEB, R_BAD, R_DNS, R_PING, R_PING6, R_WEB6, R_ANY, R_SSH, R_UDP_IN, R_LINK, RULES };

static const struct fw_prefix prefix_db8 = { .family = FW_V6, .length = 32,
					     .address = { 0x20, 0x01, 0x0d, 0xb8 } };
static struct fw_rule base_rules[RULES];

static struct knl_bpf *bpf;
static char pins[64];
static struct fw_policy policy;

static inline void make_rules(void)
{
	static const struct fw_rule all[RULES] = {
		[R_PING] = { RULE(FW_EGRESS, FW_ALLOW, FW_ICMP, 0, 65535), .anywhere = true },
		[R_PING6] = { RULE(FW_EGRESS, FW_ALLOW, FW_ICMPV6, 0, 65535), .anywhere = true },
		[R_UDP_IN] = { RULE(FW_INGRESS, FW_ALLOW, FW_UDP, 5000, 5010), .anywhere = true },
		[R_LINK] = { RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 80, 80), .anywhere = true },
	};
	static struct fw_prefix web, bad, dns, wide, friends;

	memcpy(base_rules, all, sizeof(base_rules));
	web = (struct fw_prefix){ .length = 24, .address = { 192, 0, 2 } };
	bad = (struct fw_prefix){ .length = 32, .address = { 192, 0, 2, 66 } };
	dns = (struct fw_prefix){ .length = 32, .address = { 198, 51, 100, 53 } };
	wide = (struct fw_prefix){ .length = 24, .address = { 203, 0, 113 } };
	friends = (struct fw_prefix){ .length = 16, .address = { 10, 9 } };
	base_rules[R_WEB] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 443, 443), TO(&web) };
	base_rules[R_BAD] = (struct fw_rule){ RULE(FW_EGRESS, FW_DENY, FW_ANY, 0, 65535), TO(&bad) };
	base_rules[R_DNS] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_UDP, 53, 53), TO(&dns) };
	base_rules[R_WEB6] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 443, 443),
					  TO(&prefix_db8) };
	base_rules[R_ANY] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_ANY, 0, 65535), TO(&wide) };
	base_rules[R_SSH] = (struct fw_rule){ RULE(FW_INGRESS, FW_ALLOW, FW_TCP, 22, 22), TO(&friends) };
	inet_pton(AF_INET6, "fd00::2", own6);
	inet_pton(AF_INET6, "2001:db8::1", web6);
	inet_pton(AF_INET6, "fe80::ff:fe00:2", own_local6);
	inet_pton(AF_INET6, "fe80::1", other_local6);
	inet_pton(AF_INET6, "ff02::1", all_nodes6);
}

static inline bool commit(const struct fw_policy *of, struct knl_bpf_counters *old)
{
	struct fw_image image = { 0 };
	struct fw_fault fault;
	int ret = fw_compile(of, &image, &fault);

	if (ret)
		tap_note("compile: %s", fault.text);
	else
		ret = knl_bpf_commit(bpf, IFINDEX, &image, old);
	if (ret)
		tap_note("commit: %s", strerror(-ret));
	fw_image_clear(&image);
	return !ret;
}

/* The reason by which a program drops the packet, FW_PASSED, or -1. */
static inline int judge_in(struct packet *packet, enum fw_direction direction, uint32_t slot)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet->bytes,
		    .data_size_in = packet->length);
	struct fw_state before, after;
	int i, reason = -1;

	packet_finish(packet);
	if (knl_bpf_state(bpf, slot, &before) ||
	    bpf_prog_test_run_opts(knl_bpf_program(bpf, direction), &opts) ||
	    knl_bpf_state(bpf, slot, &after)) {
		tap_note("test run: %s", strerror(errno));
		return -1;
	}
	if (opts.retval != 2)
		return opts.retval == UINT32_MAX &&
		       after.passed[direction] == before.passed[direction] + 1 ? FW_PASSED : -1;
	for (i = 0; i < FW_REASONS; i++)
		if (after.drops[i] == before.drops[i] + 1)
			reason = i;
	return reason;
}

static inline bool judged(struct packet *packet, enum fw_direction direction, int want, const char *name)
{
	const int got = judge_in(packet, direction, SLOT);

	if (got != want)
		tap_note("got %s, wanted %s", got < 0 ? "nothing" : fw_reason_name(got),
			 fw_reason_name(want));
	return tap_ok(got == want, "%s", name);
}

#define EGRESS(want, name)	judged(&p, FW_EGRESS, want, name)
#define INGRESS(want, name)	judged(&p, FW_INGRESS, want, name)

static struct packet p;

static inline uint8_t *out4(const uint8_t *to, uint8_t protocol)
{
	packet_ethernet(&p, peer_mac, own_mac, 0x0800);
	return packet_ipv4(&p, own4, to, protocol);
}

static inline uint8_t *in4(const uint8_t *from, uint8_t protocol)
{
	packet_ethernet(&p, own_mac, peer_mac, 0x0800);
	return packet_ipv4(&p, from, own4, protocol);
}

static inline uint8_t *out6(const uint8_t *to, uint8_t next, uint8_t hops)
{
	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	return packet_ipv6(&p, own6, to, next, hops);
}

static inline uint8_t *in6(const uint8_t *from, uint8_t next, uint8_t hops)
{
	packet_ethernet(&p, own_mac, peer_mac, 0x86dd);
	return packet_ipv6(&p, from, own6, next, hops);
}

#define SYN	2
#define ACK	16
#define FIN	1
#define RST	4

static inline void fragment4(const uint8_t *to, uint8_t protocol, unsigned int id, unsigned int offset,
		      bool more)
{
	uint8_t *at = out4(to, protocol);

	packet_put16(at + 4, id);
	packet_put16(at + 6, offset / 8 | (more ? 0x2000 : 0));
}

static inline void make_policy(void)
{
	static struct fw_prefix protected[16];

	make_rules();
	memcpy(protected, fw_metadata, fw_metadata_count * sizeof(protected[0]));
	protected[fw_metadata_count] = (struct fw_prefix){ .length = 32, .address = { 10, 0, 0, 1 } };
	policy = (struct fw_policy){
		.generation = 1,
		.slot = SLOT,
		.flags = FW_MAC_KNOWN,
		.quota = { 1000, 1000, 1000 },
		.addresses4_count = 1,
		.addresses6_count = 1,
		.rules_count = RULES,
		.rules = base_rules,
		.protected = protected,
		.protected_count = fw_metadata_count + 1,
	};
	memcpy(policy.mac, own_mac, 6);
	memcpy(policy.addresses4[0], own4, 4);
	memcpy(policy.addresses6[0], own6, 16);
}

/* Loads into pins of its own; bails out where that fails. */
static inline void open_firewall(void)
{
	struct knl_bpf_options options = { .flows = 16384, .containers = 1, .pins = pins };
	char fault[KNL_BPF_FAULT_MAX];

	snprintf(pins, sizeof(pins), "/sys/fs/bpf/hoody-test-%d", getpid());
	if (knl_bpf_open(&options, &bpf, fault)) {
		knl_bpf_remove(pins);
		printf("Bail out! %s\n", fault);
		exit(1);
	}
	make_policy();
}

static inline int close_firewall(void)
{
	knl_bpf_close(bpf);
	knl_bpf_remove(pins);
	return tap_done();
}

#endif /* HOODY_SELFTESTS_FIREWALL_CASE_H */
