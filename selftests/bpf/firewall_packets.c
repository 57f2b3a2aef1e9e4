// SPDX-License-Identifier: Apache-2.0
/*
 * The firewall programs on packets made here, through BPF_PROG_TEST_RUN: every
 * drop reason that a packet can provoke, what a flow lets through and when it
 * ends, and random policies held against the reference evaluator.
 *
 * The programs see the loopback interface (index 1); nothing is attached.
 */
#include "firewall_packet.h"
#include "firewall_sample.h"
#include "kernel/bpf.h"
#include "tap.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define IFINDEX		1
#define SLOT		1

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 2 }, peer_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t broadcast_mac[6] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t own4[4] = { 10, 0, 0, 2 }, host4[4] = { 10, 0, 0, 1 };
static const uint8_t zero16[16];
static uint8_t own6[16], web6[16], own_local6[16], other_local6[16], all_nodes6[16];
static const uint8_t web4[4] = { 192, 0, 2, 1 }, bad4[4] = { 192, 0, 2, 66 };
static const uint8_t dns4[4] = { 198, 51, 100, 53 }, any4[4] = { 203, 0, 113, 7 };
static const uint8_t friend4[4] = { 10, 9, 1, 1 }, stranger4[4] = { 8, 8, 8, 8 };
static const uint8_t metadata4[4] = { 169, 254, 169, 254 };

#define RULE(dir, act, proto, first, last) \
	.direction = dir, .action = act, .protocol = proto, .port_first = first, .port_last = last
#define TO(...)		.prefixes_count = 1, .prefixes = __VA_ARGS__

enum { R_WEB, R_BAD, R_DNS, R_PING, R_PING6, R_WEB6, R_ANY, R_SSH, R_UDP_IN, R_LINK, RULES };

static const struct fw_prefix prefix_db8 = { .family = FW_V6, .length = 32,
					     .address = { 0x20, 0x01, 0x0d, 0xb8 } };
static struct fw_rule rules[RULES];

static struct knl_bpf *bpf;
static struct fw_policy policy;

static void make_rules(void)
{
	static const struct fw_rule all[RULES] = {
		[R_PING] = { RULE(FW_EGRESS, FW_ALLOW, FW_ICMP, 0, 65535), .anywhere = true },
		[R_PING6] = { RULE(FW_EGRESS, FW_ALLOW, FW_ICMPV6, 0, 65535), .anywhere = true },
		[R_UDP_IN] = { RULE(FW_INGRESS, FW_ALLOW, FW_UDP, 5000, 5010), .anywhere = true },
		[R_LINK] = { RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 80, 80), .anywhere = true },
	};
	static struct fw_prefix web, bad, dns, wide, friends;

	memcpy(rules, all, sizeof(rules));
	web = (struct fw_prefix){ .length = 24, .address = { 192, 0, 2 } };
	bad = (struct fw_prefix){ .length = 32, .address = { 192, 0, 2, 66 } };
	dns = (struct fw_prefix){ .length = 32, .address = { 198, 51, 100, 53 } };
	wide = (struct fw_prefix){ .length = 24, .address = { 203, 0, 113 } };
	friends = (struct fw_prefix){ .length = 16, .address = { 10, 9 } };
	rules[R_WEB] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 443, 443), TO(&web) };
	rules[R_BAD] = (struct fw_rule){ RULE(FW_EGRESS, FW_DENY, FW_ANY, 0, 65535), TO(&bad) };
	rules[R_DNS] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_UDP, 53, 53), TO(&dns) };
	rules[R_WEB6] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 443, 443),
					  TO(&prefix_db8) };
	rules[R_ANY] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_ANY, 0, 65535), TO(&wide) };
	rules[R_SSH] = (struct fw_rule){ RULE(FW_INGRESS, FW_ALLOW, FW_TCP, 22, 22), TO(&friends) };
	inet_pton(AF_INET6, "fd00::2", own6);
	inet_pton(AF_INET6, "2001:db8::1", web6);
	inet_pton(AF_INET6, "fe80::ff:fe00:2", own_local6);
	inet_pton(AF_INET6, "fe80::1", other_local6);
	inet_pton(AF_INET6, "ff02::1", all_nodes6);
}

static bool commit(const struct fw_policy *of, struct knl_bpf_counters *old)
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
static int judge_in(struct packet *packet, enum fw_direction direction, uint32_t slot)
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

static bool judged(struct packet *packet, enum fw_direction direction, int want, const char *name)
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

static uint8_t *out4(const uint8_t *to, uint8_t protocol)
{
	packet_ethernet(&p, peer_mac, own_mac, 0x0800);
	return packet_ipv4(&p, own4, to, protocol);
}

static uint8_t *in4(const uint8_t *from, uint8_t protocol)
{
	packet_ethernet(&p, own_mac, peer_mac, 0x0800);
	return packet_ipv4(&p, from, own4, protocol);
}

static uint8_t *out6(const uint8_t *to, uint8_t next, uint8_t hops)
{
	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	return packet_ipv6(&p, own6, to, next, hops);
}

static uint8_t *in6(const uint8_t *from, uint8_t next, uint8_t hops)
{
	packet_ethernet(&p, own_mac, peer_mac, 0x86dd);
	return packet_ipv6(&p, from, own6, next, hops);
}

#define SYN	2
#define ACK	16
#define FIN	1
#define RST	4

static void test_rules(void)
{
	out4(web4, 6), packet_tcp(&p, 1000, 443, SYN);
	EGRESS(FW_PASSED, "rules_allowed_syn_passes");
	out4(web4, 6), packet_tcp(&p, 1001, 444, SYN);
	EGRESS(FW_DROP_DEFAULT, "rules_other_port_is_dropped");
	out4(bad4, 6), packet_tcp(&p, 1002, 443, SYN);
	EGRESS(FW_DROP_RULE, "rules_deny_beats_allow");
	out4(stranger4, 6), packet_tcp(&p, 1003, 443, SYN);
	EGRESS(FW_DROP_DEFAULT, "rules_other_address_is_dropped");
	out6(web6, 6, 64), packet_tcp(&p, 1004, 443, SYN);
	EGRESS(FW_PASSED, "rules_allowed_ipv6_syn_passes");
	out6(own_local6, 6, 64), packet_tcp(&p, 1004, 443, SYN);
	EGRESS(FW_DROP_DEFAULT, "rules_link_local_destination_needs_a_rule");
	out4(any4, 132), packet_add(&p, 12);
	EGRESS(FW_PASSED, "rules_any_covers_sctp");
	out4(web4, 132), packet_add(&p, 12);
	EGRESS(FW_DROP_DEFAULT, "rules_tcp_does_not_cover_sctp");
	in4(friend4, 6), packet_tcp(&p, 1005, 22, SYN);
	INGRESS(FW_PASSED, "rules_ingress_from_named_source_passes");
	in4(stranger4, 6), packet_tcp(&p, 1006, 22, SYN);
	INGRESS(FW_DROP_DEFAULT, "rules_ingress_from_others_is_dropped");
	in4(web4, 6), packet_tcp(&p, 443, 1007, SYN);
	INGRESS(FW_DROP_DEFAULT, "rules_egress_rule_does_not_open_ingress");
	out4(metadata4, 6), packet_tcp(&p, 1008, 80, SYN);
	EGRESS(FW_DROP_DEFAULT, "rules_wide_allow_does_not_open_metadata");
	out4(host4, 6), packet_tcp(&p, 1009, 80, SYN);
	EGRESS(FW_DROP_DEFAULT, "rules_wide_allow_does_not_open_the_host");
	out4(stranger4, 6), packet_tcp(&p, 1010, 80, SYN);
	EGRESS(FW_PASSED, "rules_wide_allow_opens_the_rest");
}

static void test_flows(void)
{
	in4(web4, 6), packet_tcp(&p, 443, 1000, SYN | ACK);
	INGRESS(FW_PASSED, "flow_reply_passes");
	in4(web4, 6), packet_tcp(&p, 443, 1900, SYN | ACK);
	INGRESS(FW_DROP_NO_FLOW, "flow_reply_to_nothing_is_dropped");
	out4(web4, 6), packet_tcp(&p, 1901, 443, ACK);
	EGRESS(FW_DROP_NO_FLOW, "flow_needs_a_syn");
	out4(web4, 6), packet_tcp(&p, 1902, 443, SYN | FIN);
	EGRESS(FW_DROP_NO_FLOW, "flow_syn_fin_opens_nothing");
	out4(web4, 6), packet_tcp(&p, 1000, 443, ACK);
	EGRESS(FW_PASSED, "flow_goes_on");
	in4(web4, 6), packet_tcp(&p, 443, 1000, SYN);
	INGRESS(FW_DROP_DEFAULT, "flow_syn_from_the_other_side_asks_the_rules");
	out4(web4, 6), packet_tcp(&p, 1000, 443, ACK);
	EGRESS(FW_PASSED, "flow_survives_a_refused_syn");
	out4(web4, 6), packet_tcp(&p, 1000, 443, RST);
	EGRESS(FW_PASSED, "flow_reset_passes");
	out4(web4, 6), packet_tcp(&p, 1000, 443, SYN);
	EGRESS(FW_PASSED, "flow_opens_again_after_its_end");
	out4(dns4, 17), packet_udp(&p, 1100, 53);
	EGRESS(FW_PASSED, "flow_udp_opens");
	in4(dns4, 17), packet_udp(&p, 53, 1100);
	INGRESS(FW_PASSED, "flow_udp_reply_passes");
	in4(dns4, 17), packet_udp(&p, 53, 1101);
	INGRESS(FW_DROP_DEFAULT, "flow_udp_other_port_is_dropped");
	in4(stranger4, 17), packet_udp(&p, 4, 5010);
	INGRESS(FW_PASSED, "flow_ingress_range_end_passes");
	out4(stranger4, 17), packet_udp(&p, 5010, 4);
	EGRESS(FW_PASSED, "flow_reply_of_an_ingress_flow_passes");
	out4(stranger4, 17), packet_udp(&p, 5010, 5);
	EGRESS(FW_DROP_DEFAULT, "flow_reply_to_another_port_is_dropped");
}

/* @from quotes a packet of the flow local:1100 -> 198.51.100.53:53. */
static void quote(const uint8_t *source, const uint8_t *destination, unsigned int source_port,
		  unsigned int destination_port)
{
	uint8_t *inner = packet_add(&p, 28);

	inner[0] = 0x45;
	inner[9] = 17;
	memcpy(inner + 12, source, 4);
	memcpy(inner + 16, destination, 4);
	packet_put16(inner + 20, source_port);
	packet_put16(inner + 22, destination_port);
}

static void test_icmp(void)
{
	out4(stranger4, 1), packet_icmp(&p, 8, 0, 77);
	EGRESS(FW_PASSED, "icmp_echo_passes_by_rule");
	in4(stranger4, 1), packet_icmp(&p, 0, 0, 77);
	INGRESS(FW_PASSED, "icmp_reply_passes");
	in4(stranger4, 1), packet_icmp(&p, 0, 0, 78);
	INGRESS(FW_DROP_NO_FLOW, "icmp_reply_to_nothing_is_dropped");
	in4(stranger4, 1), packet_icmp(&p, 8, 0, 77);
	INGRESS(FW_DROP_NO_FLOW, "icmp_echo_from_the_answering_side_is_dropped");
	out4(stranger4, 1), packet_icmp(&p, 0, 0, 99);
	EGRESS(FW_DROP_NO_FLOW, "icmp_unasked_reply_is_dropped");
	out4(stranger4, 1), packet_icmp(&p, 13, 0, 1);
	EGRESS(FW_DROP_ICMP_TYPE, "icmp_timestamp_is_dropped");
	out4(stranger4, 1), packet_icmp(&p, 5, 0, 1);
	EGRESS(FW_DROP_ICMP_TYPE, "icmp_redirect_is_dropped");
	out4(stranger4, 58), packet_icmp(&p, 128, 0, 1);
	EGRESS(FW_DROP_ICMP_TYPE, "icmp_v6_in_v4_is_dropped");
	in4(host4, 1), packet_icmp(&p, 3, 4, 0), quote(own4, dns4, 1100, 53);
	INGRESS(FW_PASSED, "icmp_error_of_a_flow_passes");
	in4(host4, 1), packet_icmp(&p, 3, 4, 0), quote(own4, dns4, 1105, 53);
	INGRESS(FW_DROP_NO_FLOW, "icmp_error_of_no_flow_is_dropped");
	in4(host4, 1), packet_icmp(&p, 3, 4, 0), quote(any4, dns4, 1100, 53);
	INGRESS(FW_DROP_NO_FLOW, "icmp_error_about_another_host_is_dropped");
	out4(stranger4, 1), packet_icmp(&p, 3, 3, 0), quote(stranger4, own4, 4, 5010);
	EGRESS(FW_PASSED, "icmp_error_to_the_flow_s_peer_passes");
	out4(any4, 1), packet_icmp(&p, 3, 3, 0), quote(stranger4, own4, 4, 5010);
	EGRESS(FW_DROP_NO_FLOW, "icmp_error_to_somebody_else_is_dropped");
	out6(web6, 58, 64), packet_icmp(&p, 128, 0, 5);
	EGRESS(FW_PASSED, "icmpv6_echo_passes_by_rule");
	in6(web6, 58, 64), packet_icmp(&p, 129, 0, 5);
	INGRESS(FW_PASSED, "icmpv6_reply_passes");
	in6(web6, 58, 64), packet_icmp(&p, 128, 0, 6);
	INGRESS(FW_DROP_DEFAULT, "icmpv6_echo_from_outside_needs_a_rule");
}

static void test_source(void)
{
	packet_ethernet(&p, peer_mac, other_mac, 0x0800);
	packet_ipv4(&p, own4, web4, 6), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_SOURCE_MAC, "source_mac_of_another_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x0800);
	packet_ipv4(&p, friend4, web4, 6), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_SOURCE_ADDRESS, "source_ipv4_of_another_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	packet_ipv6(&p, web6, web6, 6, 64), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_SOURCE_ADDRESS, "source_ipv6_of_another_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	packet_ipv6(&p, other_local6, web6, 6, 64), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_SOURCE_ADDRESS, "source_link_local_of_another_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	packet_ipv6(&p, own_local6, web6, 6, 64), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_PASSED, "source_own_link_local_passes");
	packet_ethernet(&p, own_mac, peer_mac, 0x0800);
	packet_ipv4(&p, friend4, web4, 6), packet_tcp(&p, 1, 22, SYN);
	INGRESS(FW_DROP_DESTINATION, "source_flooded_packet_for_another_is_dropped");
	packet_ethernet(&p, own_mac, peer_mac, 0x0800);
	packet_ipv4(&p, own4, own4, 6), packet_tcp(&p, 22, 22, SYN);
	INGRESS(FW_DROP_SOURCE_ADDRESS, "source_own_address_from_outside_is_dropped");
	packet_ethernet(&p, broadcast_mac, own_mac, 0x0800);
	packet_ipv4(&p, own4, (const uint8_t[]){ 255, 255, 255, 255 }, 17), packet_udp(&p, 67, 68);
	EGRESS(FW_DROP_ROGUE_DHCP, "source_dhcp_server_is_dropped");
	packet_ethernet(&p, broadcast_mac, own_mac, 0x0800);
	packet_ipv4(&p, zero16, (const uint8_t[]){ 255, 255, 255, 255 }, 17), packet_udp(&p, 68, 67);
	EGRESS(FW_DROP_SOURCE_ADDRESS, "source_dhcp_client_has_no_address");
	out4((const uint8_t[]){ 224, 0, 0, 251 }, 17), packet_udp(&p, 5353, 5353);
	EGRESS(FW_DROP_MULTICAST, "source_ipv4_multicast_is_dropped");
	packet_ethernet(&p, broadcast_mac, own_mac, 0x0800);
	packet_ipv4(&p, own4, web4, 6), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_MULTICAST, "source_unicast_in_broadcast_frame_is_dropped");
	out6(all_nodes6, 17, 64), packet_udp(&p, 546, 546);
	EGRESS(FW_DROP_MULTICAST, "source_ipv6_multicast_is_dropped");
	out6(web6, 17, 64), packet_udp(&p, 547, 546);
	EGRESS(FW_DROP_ROGUE_DHCP, "source_dhcpv6_server_is_dropped");
}

static void arp(const uint8_t *mac, const uint8_t *sender_mac, const uint8_t *sender,
		const uint8_t *target, unsigned int operation)
{
	uint8_t *at;

	packet_ethernet(&p, broadcast_mac, mac, 0x0806);
	at = packet_add(&p, 28);
	memcpy(at, (const uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, (uint8_t)operation }, 8);
	memcpy(at + 8, sender_mac, 6);
	memcpy(at + 14, sender, 4);
	memcpy(at + 24, target, 4);
}

static void test_arp(void)
{
	arp(own_mac, own_mac, own4, host4, 1);
	EGRESS(FW_PASSED, "arp_own_question_passes");
	arp(own_mac, own_mac, host4, own4, 2);
	EGRESS(FW_DROP_ARP, "arp_claiming_the_gateway_is_dropped");
	arp(own_mac, other_mac, own4, host4, 2);
	EGRESS(FW_DROP_ARP, "arp_with_another_mac_inside_is_dropped");
	arp(own_mac, own_mac, zero16, own4, 1);
	EGRESS(FW_PASSED, "arp_probe_of_the_own_address_passes");
	arp(own_mac, own_mac, zero16, host4, 1);
	EGRESS(FW_DROP_ARP, "arp_probe_of_another_address_is_dropped");
	arp(own_mac, own_mac, own4, host4, 3);
	EGRESS(FW_DROP_ARP, "arp_reverse_is_dropped");
	arp(peer_mac, peer_mac, host4, own4, 1);
	INGRESS(FW_PASSED, "arp_question_for_it_passes");
	arp(peer_mac, peer_mac, host4, friend4, 1);
	INGRESS(FW_DROP_DESTINATION, "arp_question_for_another_is_dropped");
	arp(other_mac, other_mac, own4, own4, 1);
	INGRESS(FW_DROP_ARP, "arp_claiming_its_address_is_dropped");
	p.length = 30;
	INGRESS(FW_DROP_MALFORMED, "arp_cut_short_is_dropped");
}

static void neighbour(const uint8_t *from, uint8_t type, const uint8_t *target, uint8_t option,
		      const uint8_t *mac)
{
	uint8_t *at;

	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	packet_ipv6(&p, from, all_nodes6, 58, 255);
	packet_icmp(&p, type, 0, 0);
	memcpy(packet_add(&p, 16), target, 16);
	if (!option)
		return;
	at = packet_add(&p, 8);
	at[0] = option;
	at[1] = 1;
	memcpy(at + 2, mac, 6);
}

static void test_neighbour(void)
{
	neighbour(own6, 135, web6, 1, own_mac);
	EGRESS(FW_PASSED, "nd_solicitation_passes");
	neighbour(zero16, 135, own6, 0, NULL);
	EGRESS(FW_PASSED, "nd_own_address_detection_passes");
	neighbour(zero16, 135, web6, 0, NULL);
	EGRESS(FW_DROP_ND, "nd_detection_of_another_address_is_dropped");
	neighbour(own6, 136, own6, 2, own_mac);
	EGRESS(FW_PASSED, "nd_own_advertisement_passes");
	neighbour(own6, 136, web6, 2, own_mac);
	EGRESS(FW_DROP_ND, "nd_advertising_another_address_is_dropped");
	neighbour(own6, 136, own6, 2, other_mac);
	EGRESS(FW_DROP_ND, "nd_advertising_another_mac_is_dropped");
	neighbour(own6, 134, web6, 0, NULL);
	EGRESS(FW_DROP_ROGUE_RA, "nd_router_advertisement_is_dropped");
	neighbour(own6, 137, web6, 0, NULL);
	EGRESS(FW_DROP_ROGUE_RA, "nd_redirect_is_dropped");
	neighbour(other_local6, 135, own6, 1, other_mac);
	INGRESS(FW_PASSED, "nd_question_for_it_passes");
	neighbour(other_local6, 136, own6, 2, other_mac);
	INGRESS(FW_DROP_ND, "nd_claiming_its_address_is_dropped");
	neighbour(other_local6, 137, own6, 0, NULL);
	INGRESS(FW_DROP_ROGUE_RA, "nd_redirect_from_outside_is_dropped");
	neighbour(own6, 135, web6, 1, own_mac);
	p.bytes[14 + 7] = 64;
	EGRESS(FW_DROP_ND, "nd_with_a_routed_hop_limit_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x86dd);
	packet_ipv6(&p, own_local6, all_nodes6, 0, 1);
	memcpy(packet_add(&p, 8), (const uint8_t[]){ 58, 0, 5, 2, 0, 0, 1, 0 }, 8);
	packet_icmp(&p, 143, 0, 0);
	EGRESS(FW_PASSED, "nd_listener_report_passes");
	p.bytes[14 + 40 + 8] = 130;
	EGRESS(FW_DROP_ND, "nd_listener_query_from_inside_is_dropped");
}

static void test_shapes(void)
{
	uint8_t *at;

	packet_ethernet(&p, peer_mac, own_mac, 0x8100);
	packet_add(&p, 4)[3] = 0x08;
	EGRESS(FW_DROP_VLAN, "shape_vlan_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x88a8);
	packet_add(&p, 46);
	EGRESS(FW_DROP_VLAN, "shape_qinq_is_dropped");
	packet_ethernet(&p, peer_mac, own_mac, 0x8847);
	packet_add(&p, 46);
	EGRESS(FW_DROP_ETHERTYPE, "shape_mpls_is_dropped");
	packet_ethernet(&p, (const uint8_t[]){ 1, 0x80, 0xc2, 0, 0, 0 }, own_mac, 38);
	packet_add(&p, 46);
	EGRESS(FW_DROP_ETHERTYPE, "shape_spanning_tree_is_dropped");
	at = out4(web4, 6);
	at[0] = 0x46;
	packet_add(&p, 4), packet_tcp(&p, 2000, 443, SYN);
	EGRESS(FW_DROP_IP_OPTIONS, "shape_ip_options_are_dropped");
	at = out4(web4, 6);
	packet_tcp(&p, 2001, 443, SYN);
	at[0] = 0x44;
	EGRESS(FW_DROP_MALFORMED, "shape_short_ip_header_is_dropped");
	out4(web4, 6), packet_add(&p, 10);
	EGRESS(FW_DROP_MALFORMED, "shape_half_tcp_header_is_dropped");
	out4(web4, 6), packet_tcp(&p, 2002, 443, SYN)[12] = 0x40;
	EGRESS(FW_DROP_MALFORMED, "shape_tcp_offset_4_is_dropped");
	out4(any4, 4), packet_add(&p, 20);
	EGRESS(FW_DROP_TUNNEL, "shape_ip_in_ip_is_dropped_in_spite_of_any");
	out4(any4, 41), packet_add(&p, 40);
	EGRESS(FW_DROP_TUNNEL, "shape_ipv6_in_ipv4_is_dropped_in_spite_of_any");
	out4(any4, 47), packet_add(&p, 20);
	EGRESS(FW_DROP_TUNNEL, "shape_gre_is_dropped_in_spite_of_any");
	out6(web6, 0, 64), memcpy(packet_add(&p, 8), "\6\0\1\4\0\0\0", 8);
	packet_tcp(&p, 2003, 443, SYN);
	EGRESS(FW_DROP_EXTENSION_HEADER, "shape_hop_by_hop_is_dropped");
	out6(web6, 43, 64), memcpy(packet_add(&p, 8), "\6\0\4\0\0\0\0", 8);
	packet_tcp(&p, 2004, 443, SYN);
	EGRESS(FW_DROP_EXTENSION_HEADER, "shape_routing_header_is_dropped");
	out6(web6, 60, 64), memcpy(packet_add(&p, 8), "\6\0\1\4\0\0\0", 8);
	packet_tcp(&p, 2005, 443, SYN);
	EGRESS(FW_DROP_EXTENSION_HEADER, "shape_destination_options_are_dropped");
	out6(web6, 44, 64), memcpy(packet_add(&p, 8), "\53\0\0\1\0\0\0", 8);
	packet_add(&p, 40);
	EGRESS(FW_DROP_EXTENSION_HEADER, "shape_routing_behind_fragment_is_dropped");
}

static void fragment4(const uint8_t *to, uint8_t protocol, unsigned int id, unsigned int offset,
		      bool more)
{
	uint8_t *at = out4(to, protocol);

	packet_put16(at + 4, id);
	packet_put16(at + 6, offset / 8 | (more ? 0x2000 : 0));
}

static void fragment6(const uint8_t *to, uint8_t protocol, uint8_t id, unsigned int offset, bool more)
{
	uint8_t *at;

	out6(to, 44, 64);
	at = packet_add(&p, 8);
	at[0] = protocol;
	packet_put16(at + 2, offset | more);
	at[7] = id;
}

static void test_fragments(void)
{
	fragment4(dns4, 17, 7, 16, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "fragment_without_its_first_is_dropped");
	fragment4(dns4, 17, 7, 0, true), packet_udp(&p, 1200, 53), packet_add(&p, 8);
	EGRESS(FW_PASSED, "fragment_first_passes_by_rule");
	fragment4(dns4, 17, 7, 16, false), packet_add(&p, 16);
	EGRESS(FW_PASSED, "fragment_follows_its_first");
	fragment4(dns4, 17, 8, 16, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "fragment_of_another_datagram_is_dropped");
	fragment4(stranger4, 17, 9, 0, true), packet_udp(&p, 1200, 53), packet_add(&p, 8);
	EGRESS(FW_DROP_DEFAULT, "fragment_first_is_judged");
	fragment4(stranger4, 17, 9, 16, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "fragment_of_a_refused_first_is_dropped");
	fragment4(web4, 6, 10, 0, true), packet_add(&p, 8);
	EGRESS(FW_DROP_FRAGMENT, "fragment_first_without_whole_header_is_dropped");
	fragment4(web4, 6, 11, 0, true), packet_tcp(&p, 1201, 443, SYN), packet_add(&p, 4);
	EGRESS(FW_PASSED, "fragment_tcp_first_passes");
	fragment4(web4, 6, 11, 8, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "fragment_over_the_tcp_header_is_dropped");
	fragment6(web6, 6, 1, 0, true), packet_tcp(&p, 1202, 443, SYN), packet_add(&p, 4);
	EGRESS(FW_PASSED, "fragment_ipv6_first_passes");
	fragment6(web6, 6, 1, 24, false), packet_add(&p, 16);
	EGRESS(FW_PASSED, "fragment_ipv6_follows_its_first");
	fragment6(web6, 6, 2, 24, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "fragment_ipv6_without_its_first_is_dropped");
}

/* A new policy: flows that it forbids stop, others go on; counters are exact. */
static void test_replace(void)
{
	struct knl_bpf_counters old;
	struct fw_policy next = policy;
	struct fw_rule fewer[RULES];

	memcpy(fewer, rules, sizeof(fewer));
	fewer[R_WEB].action = FW_DENY;
	next.rules = fewer;
	next.generation = 2;
	out4(web4, 6), packet_tcp(&p, 3000, 443, SYN);
	EGRESS(FW_PASSED, "replace_flow_opens_under_the_old_policy");
	out4(dns4, 17), packet_udp(&p, 3001, 53);
	EGRESS(FW_PASSED, "replace_second_flow_opens");
	tap_ok(commit(&next, &old), "replace_policy_is_committed");
	tap_ok(old.generation == 1 && old.count == RULES && old.counters[R_BAD].packets == 1 &&
	       old.counters[R_SSH].packets == 1 && old.counters[R_SSH].bytes == 54 &&
	       old.counters[R_UDP_IN].packets == 3, "replace_final_counters_are_exact");
	free(old.counters);
	fragment4(dns4, 17, 7, 16, false), packet_add(&p, 16);
	EGRESS(FW_DROP_FRAGMENT, "replace_forgets_datagrams_of_the_old_policy");
	out4(web4, 6), packet_tcp(&p, 3000, 443, ACK);
	EGRESS(FW_DROP_POLICY_CHANGED, "replace_cuts_the_forbidden_flow");
	in4(web4, 6), packet_tcp(&p, 443, 3000, ACK);
	INGRESS(FW_DROP_NO_FLOW, "replace_forgets_the_forbidden_flow");
	in4(dns4, 17), packet_udp(&p, 53, 3001);
	INGRESS(FW_PASSED, "replace_keeps_the_allowed_flow");
	tap_ok(!knl_bpf_counters(bpf, IFINDEX, &old) && old.generation == 2 &&
	       old.counters[R_DNS].packets == 1, "replace_counts_the_kept_flow_under_its_rule");
	free(old.counters);
	next.rules_count = 0;
	next.generation = 3;
	tap_ok(commit(&next, NULL), "reset_policy_without_rules_is_committed");
	in4(dns4, 17), packet_udp(&p, 53, 3001);
	INGRESS(FW_DROP_POLICY_CHANGED, "reset_cuts_every_flow");
	out4(dns4, 17), packet_udp(&p, 3002, 53);
	EGRESS(FW_DROP_DEFAULT, "reset_denies_egress");
	next.flags |= FW_EGRESS_OPEN | FW_INGRESS_OPEN;
	next.generation = 4;
	tap_ok(commit(&next, NULL), "open_policy_is_committed");
	out4(stranger4, 6), packet_tcp(&p, 3003, 25, SYN);
	EGRESS(FW_PASSED, "open_policy_passes_egress");
	in4(stranger4, 6), packet_tcp(&p, 3004, 25, SYN);
	INGRESS(FW_PASSED, "open_policy_passes_ingress");
	packet_ethernet(&p, peer_mac, own_mac, 0x0800);
	packet_ipv4(&p, friend4, web4, 6), packet_tcp(&p, 1, 443, SYN);
	EGRESS(FW_DROP_SOURCE_ADDRESS, "open_policy_still_checks_the_source");
}

static void test_quota(void)
{
	struct fw_policy next = policy;
	struct fw_state state;
	unsigned int i, passed = 0;

	next.generation = 5;
	next.quota[FW_FLOW_EGRESS] = 50;
	tap_ok(!knl_bpf_slot_clear(bpf, SLOT) && commit(&next, NULL), "quota_policy_is_committed");
	for (i = 0; i < 60; i++) {
		out4(web4, 6), packet_tcp(&p, 4000 + i, 443, SYN);
		passed += judge_in(&p, FW_EGRESS, SLOT) == FW_PASSED;
	}
	tap_ok(passed == 50, "quota_limits_the_container_s_flows");
	out4(web4, 6), packet_tcp(&p, 4100, 443, SYN);
	EGRESS(FW_DROP_FLOW_QUOTA, "quota_names_the_reason");
	in4(friend4, 6), packet_tcp(&p, 4101, 22, SYN);
	INGRESS(FW_PASSED, "quota_of_egress_leaves_ingress_alone");
	tap_ok(!knl_bpf_state(bpf, SLOT, &state) && state.flows[FW_FLOW_EGRESS] == 50 &&
	       state.flows[FW_FLOW_INGRESS] == 1, "quota_counts_open_flows");
	tap_ok(!knl_bpf_slot_clear(bpf, SLOT) && !knl_bpf_state(bpf, SLOT, &state) &&
	       !state.flows[FW_FLOW_EGRESS], "quota_is_free_after_the_slot_is_cleared");
	out4(web4, 6), packet_tcp(&p, 4000, 443, ACK);
	EGRESS(FW_DROP_NO_FLOW, "quota_cleared_slot_has_no_flows");
	next.quota[FW_FLOW_EGRESS] = 1u << 30;
	next.generation = 6;
	{
		struct fw_image image;
		struct fw_fault fault;

		tap_ok(!fw_compile(&next, &image, &fault) &&
		       knl_bpf_commit(bpf, IFINDEX, &image, NULL) == -ENOSPC,
		       "quota_beyond_the_container_s_share_is_refused");
		fw_image_clear(&image);
	}
}

static unsigned int events;
static struct fw_event last_event;

static void take_event(void *context, const struct fw_event *event)
{
	events++;
	last_event = *event;
}

static void test_events(void)
{
	const struct fw_config loud = { .events_per_second = 1000000 }, quiet = { 0 };
	struct fw_state state;
	unsigned int i;

	tap_ok(knl_bpf_events_open(bpf, take_event, NULL) >= 0 && !knl_bpf_configure(bpf, &loud),
	       "events_can_be_opened");
	out4(bad4, 6), packet_tcp(&p, 5000, 443, SYN);
	EGRESS(FW_DROP_RULE, "events_packet_is_dropped");
	knl_bpf_events_read(bpf);
	tap_ok(events == 1 && last_event.reason == FW_DROP_RULE && last_event.rule == R_BAD &&
	       last_event.slot == SLOT && last_event.ifindex == IFINDEX &&
	       last_event.direction == FW_EGRESS && last_event.family == 4 &&
	       last_event.protocol == 6 && last_event.local_port == htons(5000) &&
	       last_event.remote_port == htons(443) && !memcmp(last_event.local, own4, 4) &&
	       !memcmp(last_event.remote, bad4, 4) && last_event.generation == 5,
	       "events_tell_what_was_dropped_and_why");
	for (i = 0; i < 30000; i++) {
		out4(bad4, 6), packet_tcp(&p, 5001, 443, SYN);
		if (judge_in(&p, FW_EGRESS, SLOT) != FW_DROP_RULE)
			break;
	}
	knl_bpf_state(bpf, SLOT, &state);
	tap_ok(i == 30000 && state.events_lost > 0, "events_lost_ones_are_counted");
	events = 0;
	knl_bpf_events_read(bpf);
	tap_ok(events + state.events_lost == 30000, "events_none_is_lost_uncounted");
	knl_bpf_configure(bpf, &(const struct fw_config){ .events_per_second = 5 });
	events = 0;
	for (i = 0; i < 2000; i++) {
		out4(bad4, 6), packet_tcp(&p, 5002, 443, SYN);
		judge_in(&p, FW_EGRESS, SLOT);
	}
	knl_bpf_events_read(bpf);
	knl_bpf_state(bpf, SLOT, &state);
	tap_ok(events < 1000 && state.events_limited + events == 2000,
	       "events_are_limited_and_the_rest_counted");
	knl_bpf_configure(bpf, &quiet);
}

static bool build_question(const struct fw_question *question, unsigned int port)
{
	const bool out = question->direction == FW_EGRESS;
	uint8_t remote[16];
	unsigned int i;

	for (i = 0; i < 16; i++)
		remote[i] = (uint8_t)(question->address[i / 4] >> (24 - 8 * (i % 4)));
	if (question->family == FW_V4 ? remote[0] >= 224 || !memcmp(remote, own4, 4) :
					remote[0] == 0xff || !memcmp(remote, own6, 16))
		return false;
	if (question->family == FW_V4)
		out ? out4(remote, question->protocol) : in4(remote, question->protocol);
	else
		out ? out6(remote, question->protocol, 64) : in6(remote, question->protocol, 64);
	if (question->protocol == IPPROTO_TCP)
		packet_tcp(&p, port, question->port, SYN);
	else if (question->protocol == IPPROTO_UDP)
		packet_udp(&p, port, question->port);
	else if (question->protocol == IPPROTO_ICMP && question->family == FW_V4)
		packet_icmp(&p, 8, 0, port);
	else if (question->protocol == IPPROTO_ICMPV6 && question->family == FW_V6)
		packet_icmp(&p, 128, 0, port);
	else
		return false;
	/* A client may not use the DHCP server's port. */
	return question->protocol != IPPROTO_UDP || (port != 67 && port != 547);
}

static void test_random(void)
{
	static const uint32_t sizes[] = { 0, 1, 5, 30, 200, 1000 };
	unsigned int wrong = 0, asked = 0, i, j, counts[3] = { 0 };

	for (i = 0; i < 60 && wrong < 10; i++) {
		const unsigned int spread = sample_any(2) ? 3 : 1 + sample_any(256);
		struct sample sample;

		sample_make(&sample, sizes[i % 6], spread);
		sample.policy.slot = SLOT;
		sample.policy.generation = 100 + i;
		sample.policy.flags = FW_MAC_KNOWN;
		memcpy(sample.policy.mac, own_mac, 6);
		memcpy(sample.policy.addresses4[0], own4, 4);
		memcpy(sample.policy.addresses6[0], own6, 16);
		sample.policy.addresses4_count = sample.policy.addresses6_count = 1;
		for (j = 0; j < FW_FLOW_CLASSES; j++)
			sample.policy.quota[j] = 4000;
		if (knl_bpf_slot_clear(bpf, SLOT) || !commit(&sample.policy, NULL))
			wrong += 100;
		for (j = 0; j < 2000 && wrong < 10; j++) {
			struct fw_question question;
			struct fw_answer answer;
			int want, got;

			sample_question(&sample, spread, &question);
			if (!build_question(&question, 1024 + j))
				continue;
			answer = fw_reference(&sample.policy, &question);
			want = answer.action == FW_ALLOW ? FW_PASSED :
			       answer.action == FW_DENY ? FW_DROP_RULE : FW_DROP_DEFAULT;
			got = judge_in(&p, question.direction, SLOT);
			counts[answer.action]++;
			asked++;
			if (got != want) {
				wrong++;
				tap_note("policy %u packet %u: got %d, wanted %d", i, j, got, want);
			}
		}
		sample_clear(&sample);
	}
	tap_note("%u packets: %u none, %u allow, %u deny", asked, counts[0], counts[1], counts[2]);
	tap_ok(!wrong && asked > 20000 && counts[1] > 1000 && counts[2] > 1000,
	       "random_packets_are_judged_as_the_reference_says");
}

/* 10,000 rules: takes no time worth noticing to put in force, and it holds. */
static void test_many(void)
{
	struct fw_rule *many = calloc(10000, sizeof(*many));
	struct fw_prefix *to = calloc(10000, sizeof(*to));
	struct fw_policy next = policy;
	unsigned int i;

	for (i = 0; i < 10000; i++) {
		to[i] = (struct fw_prefix){ .length = 32, .address = { 172, 16, i >> 8, i & 255 } };
		many[i] = (struct fw_rule){ RULE(FW_EGRESS, FW_ALLOW, FW_TCP, 443, 443), TO(&to[i]) };
	}
	next.rules = many;
	next.rules_count = 10000;
	next.generation = 1000;
	tap_ok(commit(&next, NULL), "many_rules_are_committed");
	out4((const uint8_t[]){ 172, 16, 9999 >> 8, 9999 & 255 }, 6);
	packet_tcp(&p, 6000, 443, SYN);
	EGRESS(FW_PASSED, "many_rules_last_one_passes");
	out4((const uint8_t[]){ 172, 16, 10000 >> 8, 10000 & 255 }, 6);
	packet_tcp(&p, 6000, 443, SYN);
	EGRESS(FW_DROP_DEFAULT, "many_rules_next_address_is_dropped");
	free(many);
	free(to);
}

static void test_learned_mac(void)
{
	struct fw_policy next = policy;

	next.flags &= ~(uint32_t)FW_MAC_KNOWN;
	next.generation = 2000;
	tap_ok(!knl_bpf_slot_clear(bpf, SLOT) && commit(&next, NULL), "learn_policy_is_committed");
	out4(web4, 6), packet_tcp(&p, 7000, 443, SYN);
	EGRESS(FW_PASSED, "learn_first_frame_s_mac_holds");
	packet_ethernet(&p, peer_mac, other_mac, 0x0800);
	packet_ipv4(&p, own4, web4, 6), packet_tcp(&p, 7001, 443, SYN);
	EGRESS(FW_DROP_SOURCE_MAC, "learn_another_mac_is_dropped_afterwards");
}

static void make_policy(void)
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
		.rules = rules,
		.protected = protected,
		.protected_count = fw_metadata_count + 1,
	};
	memcpy(policy.mac, own_mac, 6);
	memcpy(policy.addresses4[0], own4, 4);
	memcpy(policy.addresses6[0], own6, 16);
}

int main(void)
{
	struct knl_bpf_options options = { .flows = 16384, .containers = 1 };
	char pins[64], fault[KNL_BPF_FAULT_MAX];
	int ret;

	snprintf(pins, sizeof(pins), "/sys/fs/bpf/hoody-test-%d", getpid());
	options.pins = pins;
	ret = knl_bpf_open(&options, &bpf, fault);
	if (ret) {
		knl_bpf_remove(pins);
		printf("Bail out! %s\n", fault);
		return 1;
	}
	tap_plan(2 + 14 + 15 + 16 + 13 + 10 + 14 + 15 + 12 + 16 + 8 + 6 + 1 + 3 + 3);
	make_policy();
	out4(web4, 6), packet_tcp(&p, 1, 443, SYN);
	tap_ok(judge_in(&p, FW_EGRESS, 0) == FW_DROP_NO_POLICY, "nothing_passes_without_a_policy");
	tap_ok(commit(&policy, NULL), "policy_is_committed");
	test_rules();
	test_flows();
	test_icmp();
	test_source();
	test_arp();
	test_neighbour();
	test_shapes();
	test_fragments();
	test_replace();
	test_quota();
	test_events();
	test_random();
	test_many();
	test_learned_mac();
	knl_bpf_close(bpf);
	knl_bpf_remove(pins);
	return tap_done();
}
