/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet taken apart: from the Ethernet header to ports or ICMP type. What a
 * receiver could read differently from us is refused here, not guessed at:
 *
 *	VLAN tags, IPv4 options, IPv6 extension headers (but for one fragment
 *	header and the hop-by-hop header of MLD), headers that reach beyond the
 *	packet's own length, first fragments without their whole header.
 *
 * Headers are copied out of the packet; nothing here makes it writable. They are
 * nearly always where they can be read in place, which is a tenth of what the
 * helper costs.
 */
#ifndef HOODY_BPF_PACKET_H
#define HOODY_BPF_PACKET_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#define FW_NEXT_HOP_BY_HOP	0
#define FW_NEXT_FRAGMENT	44
#define FW_PROTO_ICMPV6		58

#define FW_TCP_FIN		0x01
#define FW_TCP_SYN		0x02
#define FW_TCP_RST		0x04
#define FW_TCP_ACK		0x10

struct fw_packet {
	__u8	source[16];		/* IPv4: the first four bytes, rest 0 */
	__u8	destination[16];
	__u8	mac_source[6];
	__u8	mac_destination[6];
	__be16	ethertype;
	__u8	ip;			/* 4, 6, or 0 */
	__u8	protocol;
	__u8	hop_limit;
	__u8	hop_by_hop;		/* has that extension header */
	__u8	tcp_flags;
	__u8	icmp_type, icmp_code;
	__u8	fragment;		/* part of a fragmented datagram */
	__u8	more_fragments;
	__be16	source_port, destination_port;	/* ICMP: identifier in the first */
	__u32	fragment_offset;	/* in bytes */
	__u32	fragment_id;
	__u32	l4;			/* offset of what follows IP */
	__u32	l4_length;		/* as IP has it */
	__u32	direction;
	__u32	length;
	__u32	segments;
	__u32	ifindex;
};

/* As struct ethhdr, which is packed and so would be copied byte by byte. */
struct fw_ethernet {
	__be16	destination[3], source[3];
	__be16	type;
};

/* Fills *@to from what is at @at, at most FW_HEADERS_MAX; 0, or not when it is not there. */
#define fw_load(skb, at, to)								\
({											\
	const typeof(*(to)) *from_ = (const void *)(long)(skb)->data + (at);		\
	int ret_ = 0;									\
											\
	if ((const void *)(from_ + 1) <= (const void *)(long)(skb)->data_end)		\
		*(to) = *from_;								\
	else										\
		ret_ = bpf_skb_load_bytes(skb, at, to, sizeof(*(to)));			\
	ret_;										\
})

/* Ethernet, IPv6 and one extension header are less. A mask for the verifier. */
#define FW_HEADERS_MAX	127

/* A header behind IP's, within what IP calls the packet. */
#define fw_load_l4(skb, packet, to)							\
	((packet)->l4_length < sizeof(*(to)) ? -1 :					\
	 fw_load(skb, (packet)->l4 & FW_HEADERS_MAX, to))

/* Of both families, as far as they agree. */
struct fw_icmp {
	__u8	type, code;
	__be16	checksum, identifier, sequence;
};

struct fw_extension {
	__u8	next, length;
	__be16	offset;
	__u32	id;
};

fw_checked_once fw_parse_l4(struct __sk_buff *skb, struct fw_packet *packet fw_expects)
{
	const int short_reason = packet->fragment ? FW_DROP_FRAGMENT : FW_DROP_MALFORMED;
	struct fw_icmp icmp;
	struct tcphdr tcp;
	struct udphdr udp;

	switch (packet->protocol) {
	case IPPROTO_TCP:
		if (fw_load_l4(skb, packet, &tcp))
			return short_reason;
		if (((const __u8 *)&tcp)[12] >> 4 < 5)
			return FW_DROP_MALFORMED;
		packet->source_port = tcp.source;
		packet->destination_port = tcp.dest;
		packet->tcp_flags = ((const __u8 *)&tcp)[13];
		return FW_PASSED;
	case IPPROTO_UDP:
		if (fw_load_l4(skb, packet, &udp))
			return short_reason;
		packet->source_port = udp.source;
		packet->destination_port = udp.dest;
		return FW_PASSED;
	case IPPROTO_ICMP:
	case FW_PROTO_ICMPV6:
		if (fw_load_l4(skb, packet, &icmp))
			return short_reason;
		packet->icmp_type = icmp.type;
		packet->icmp_code = icmp.code;
		packet->source_port = icmp.identifier;
		return FW_PASSED;
	}
	return FW_PASSED;
}

static __noinline int fw_parse_ipv4(struct __sk_buff *skb, struct fw_packet *packet)
{
	__u32 total, fragment;
	struct iphdr ip;

	if (fw_load(skb, ETH_HLEN, &ip) || ip.version != 4 || ip.ihl < 5)
		return FW_DROP_MALFORMED;
	if (ip.ihl > 5)
		return FW_DROP_IP_OPTIONS;
	packet->ip = 4;
	packet->protocol = ip.protocol;
	packet->hop_limit = ip.ttl;
	__builtin_memcpy(packet->source, &ip.saddr, 4);
	__builtin_memcpy(packet->destination, &ip.daddr, 4);
	total = bpf_ntohs(ip.tot_len);
	/* 0: a segment train that is longer than the field can say. */
	if (!total && skb->gso_size)
		total = packet->length - ETH_HLEN;
	if (total < sizeof(ip) || total + ETH_HLEN > packet->length)
		return FW_DROP_MALFORMED;
	packet->l4 = ETH_HLEN + sizeof(ip);
	packet->l4_length = total - sizeof(ip);
	fragment = bpf_ntohs(ip.frag_off);
	packet->more_fragments = !!(fragment & 0x2000);
	packet->fragment_offset = (fragment & 0x1fff) * 8;
	packet->fragment = packet->more_fragments || packet->fragment_offset;
	packet->fragment_id = ip.id;
	return packet->fragment_offset ? FW_PASSED : fw_parse_l4(skb, packet);
}

/* Extension headers that are never let through; 59 is "nothing follows". */
static __always_inline int fw_is_extension(__u32 next)
{
	return next == 0 || next == 43 || next == 44 || next == 59 || next == 60 || next == 135 ||
	       next == 139 || next == 140;
}

static __noinline int fw_parse_ipv6(struct __sk_buff *skb, struct fw_packet *packet)
{
	struct ipv6hdr ip;
	struct fw_extension extension;
	__u32 payload, next;

	if (fw_load(skb, ETH_HLEN, &ip) || ip.version != 6)
		return FW_DROP_MALFORMED;
	packet->ip = 6;
	packet->hop_limit = ip.hop_limit;
	__builtin_memcpy(packet->source, &ip.saddr, 16);
	__builtin_memcpy(packet->destination, &ip.daddr, 16);
	payload = bpf_ntohs(ip.payload_len);
	if (!payload && skb->gso_size)
		payload = packet->length - ETH_HLEN - sizeof(ip);
	if (payload + ETH_HLEN + sizeof(ip) > packet->length)
		return FW_DROP_MALFORMED;
	next = ip.nexthdr;
	packet->l4 = ETH_HLEN + sizeof(ip);
	packet->l4_length = payload;
	if (next == FW_NEXT_HOP_BY_HOP || next == FW_NEXT_FRAGMENT) {
		if (fw_load_l4(skb, packet, &extension))
			return FW_DROP_MALFORMED;
		packet->l4 += 8;
		packet->l4_length -= 8;
		if (next == FW_NEXT_FRAGMENT) {
			packet->fragment_offset = bpf_ntohs(extension.offset) & 0xfff8;
			packet->more_fragments = bpf_ntohs(extension.offset) & 1;
			packet->fragment = packet->more_fragments || packet->fragment_offset;
			packet->fragment_id = extension.id;
		} else if (extension.length || extension.next != FW_PROTO_ICMPV6) {
			return FW_DROP_EXTENSION_HEADER;
		} else {
			packet->hop_by_hop = 1;
		}
		next = extension.next;
	}
	if (fw_is_extension(next))
		return FW_DROP_EXTENSION_HEADER;
	packet->protocol = next;
	return packet->fragment_offset ? FW_PASSED : fw_parse_l4(skb, packet);
}

/* Fills @packet, which is all zero. */
fw_checked_once fw_parse(struct __sk_buff *skb, struct fw_packet *packet fw_expects,
			 __u32 direction)
{
	struct fw_ethernet ethernet;

	packet->direction = direction;
	packet->length = skb->len;
	packet->ifindex = skb->ifindex;
	packet->segments = skb->gso_segs > 1 ? skb->gso_segs : 1;
	if (fw_load(skb, 0, &ethernet))
		return FW_DROP_MALFORMED;
	packet->ethertype = ethernet.type;
	__builtin_memcpy(packet->mac_source, ethernet.source, 6);
	__builtin_memcpy(packet->mac_destination, ethernet.destination, 6);
	if (skb->vlan_present)
		return FW_DROP_VLAN;
	switch (ethernet.type) {
	case bpf_htons(ETH_P_IP):
		return fw_parse_ipv4(skb, packet);
	case bpf_htons(ETH_P_IPV6):
		return fw_parse_ipv6(skb, packet);
	case bpf_htons(ETH_P_ARP):
		return FW_PASSED;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return FW_DROP_VLAN;
	}
	return FW_DROP_ETHERTYPE;
}

#endif /* HOODY_BPF_PACKET_H */
