// SPDX-License-Identifier: Apache-2.0
/*
 * The firewall programs on packets made here, through BPF_PROG_TEST_RUN: every
 * drop reason that the shape, the source or the rules can give, and what a flow
 * lets through.
 */
#include "firewall_case.h"

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

int main(void)
{
	open_firewall();
	tap_plan(2 + 14 + 15 + 16 + 13 + 10 + 14 + 15 + 12);
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
	return close_firewall();
}
