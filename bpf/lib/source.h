/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a packet says it is from and for: the container's own MAC and addresses,
 * and no others, in Ethernet, ARP, neighbour discovery and IP. What passes here
 * as ARP, neighbour or listener discovery needs no rule.
 *
 * An IPv6 link-local address is the container's where it follows from its MAC
 * address (RFC 4291, appendix A) or is one of its registered addresses.
 */
#ifndef HOODY_BPF_SOURCE_H
#define HOODY_BPF_SOURCE_H

#include "packet.h"

/* The lines of an image that hold the container's addresses. */
struct fw_lines4 {
	__u32	sections[8];
	__u32	addresses[FW_ADDRESSES_MAX];
};

struct fw_lines6 {
	__u32	addresses[4][4];
};

#define FW_LEARNED		(1ull << 48)

static __always_inline __u64 fw_mac_value(const __u8 *mac)
{
	return (__u64)mac[0] << 40 | (__u64)mac[1] << 32 | (__u64)mac[2] << 24 |
	       (__u64)mac[3] << 16 | (__u64)mac[4] << 8 | mac[5];
}

static __always_inline int fw_same_mac(const __u8 *a, const __u8 *b)
{
	return fw_mac_value(a) == fw_mac_value(b);
}

/* The same where both are at even addresses, as in struct fw_work. */
static __always_inline int fw_same_halves(const __u8 *a, const __u8 *b)
{
	const __u16 *left = (const void *)a, *right = (const void *)b;

	return left[0] == right[0] && left[1] == right[1] && left[2] == right[2];
}

/*
 * The MAC address that the container is held to where none is registered: that of
 * its first frame.
 */
static __always_inline void fw_learn_mac(struct fw_state *state, const struct fw_packet *packet,
					 __u8 *mac)
{
	__u64 learned = state->learned_mac;

	if (!learned && packet->direction == FW_EGRESS && !(packet->mac_source[0] & 1)) {
		__sync_val_compare_and_swap(&state->learned_mac, 0,
					    fw_mac_value(packet->mac_source) | FW_LEARNED);
		learned = state->learned_mac;
	}
	mac[0] = learned >> 40;
	mac[1] = learned >> 32;
	mac[2] = learned >> 24;
	mac[3] = learned >> 16;
	mac[4] = learned >> 8;
	mac[5] = learned;
}

/* Of an address in struct fw_packet, which is where words may be. */
static __always_inline __be32 fw_word_at(const __u8 *bytes)
{
	return *(const __be32 *)(const void *)bytes;
}

static __always_inline int fw_is_own4(const struct fw_owner *owner, const struct fw_lines4 *own,
				      __be32 address)
{
	const __u32 value = bpf_ntohl(address);
	__u32 i;

	for (i = 0; i < FW_ADDRESSES_MAX; i++)
		if (i < owner->addresses4 && own->addresses[i] == value)
			return 1;
	return 0;
}

static __always_inline int fw_same6(const void *a, const void *b)
{
	const __u32 *left = a, *right = b;

	return left[0] == right[0] && left[1] == right[1] && left[2] == right[2] &&
	       left[3] == right[3];
}

static __always_inline int fw_is_link_local_of(const __u8 *mac, const __u8 *address)
{
	return address[0] == 0xfe && address[1] == 0x80 && !address[2] && !address[3] &&
	       !address[4] && !address[5] && !address[6] && !address[7] &&
	       address[8] == (mac[0] ^ 2) && address[9] == mac[1] && address[10] == mac[2] &&
	       address[11] == 0xff && address[12] == 0xfe && address[13] == mac[3] &&
	       address[14] == mac[4] && address[15] == mac[5];
}

struct fw_address6 {
	__u32	words[4];
};

fw_checked_once fw_is_own6(const struct fw_owner *owner fw_expects,
			   const struct fw_lines6 *low fw_expects,
			   const struct fw_lines6 *high fw_expects,
			   const struct fw_address6 *address fw_expects)
{
	const __u32 count = owner->addresses6;
	__u32 i;

	for (i = 0; i < FW_ADDRESSES_MAX / 2; i++) {
		if (i < count && fw_same6(low->addresses[i], address))
			return 1;
		if (i + 4 < count && fw_same6(high->addresses[i], address))
			return 1;
	}
	return fw_is_link_local_of(owner->mac, (const __u8 *)address);
}

static __always_inline const struct fw_address6 *fw_source6(const struct fw_packet *packet)
{
	return (const void *)packet->source;
}

static __always_inline const struct fw_address6 *fw_destination6(const struct fw_packet *packet)
{
	return (const void *)packet->destination;
}

static __always_inline int fw_is_zero6(const __u8 *address)
{
	const __u32 *words = (const void *)address;

	return !(words[0] | words[1] | words[2] | words[3]);
}

static __always_inline int fw_is_multicast4(const __u8 *address)
{
	return address[0] >= 224;
}

struct fw_arp {
	__be16	hardware, protocol;
	__u8	hardware_length, protocol_length;
	__be16	operation;
	__u8	sender_mac[6];
	__be32	sender;
	__u8	target_mac[6];
	__be32	target;
} __attribute__((packed));

fw_checked_once fw_judge_arp(struct __sk_buff *skb, const struct fw_packet *packet fw_expects,
			     const struct fw_owner *owner fw_expects,
			     const struct fw_lines4 *own fw_expects)
{
	int sender_own, target_own;
	struct fw_arp arp;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		return FW_DROP_MALFORMED;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_length != 6 || arp.protocol_length != 4 ||
	    (arp.operation != bpf_htons(1) && arp.operation != bpf_htons(2)))
		return FW_DROP_ARP;
	sender_own = fw_is_own4(owner, own, arp.sender);
	target_own = fw_is_own4(owner, own, arp.target);
	if (packet->direction == FW_EGRESS) {
		if (!fw_same_mac(arp.sender_mac, owner->mac))
			return FW_DROP_ARP;
		/* No sender: is the own address free? (RFC 5227) */
		if (!arp.sender)
			return target_own ? FW_PASSED : FW_DROP_ARP;
		return sender_own ? FW_PASSED : FW_DROP_ARP;
	}
	if (sender_own)
		return FW_DROP_ARP;
	/* Others' questions that a bridge floods are not for it. */
	return target_own || arp.sender == arp.target ? FW_PASSED :
									     FW_DROP_DESTINATION;
}

enum {
	FW_MLD_QUERY = 130, FW_MLD_REPORT, FW_MLD_DONE, FW_ND_RS, FW_ND_RA, FW_ND_NS, FW_ND_NA,
	FW_ND_REDIRECT, FW_MLD2_REPORT = 143,
};

static __always_inline int fw_is_discovery(const struct fw_packet *packet)
{
	return packet->protocol == FW_PROTO_ICMPV6 && packet->ip == 6 &&
	       ((packet->icmp_type >= FW_MLD_QUERY && packet->icmp_type <= FW_ND_REDIRECT) ||
		packet->icmp_type == FW_MLD2_REPORT);
}

/* Link-layer addresses in the options of a solicitation or advertisement. */
fw_checked_once fw_judge_nd_options(struct __sk_buff *skb,
				    const struct fw_packet *packet fw_expects,
				    const struct fw_owner *owner fw_expects)
{
	__u32 at = 24, i;
	__u8 option[8];

	for (i = 0; i < 4; i++) {
		if (at >= packet->l4_length)
			return FW_PASSED;
		if (at + 8 > packet->l4_length ||
		    bpf_skb_load_bytes(skb, packet->l4 + at, option, sizeof(option)) || !option[1])
			return FW_DROP_MALFORMED;
		if ((option[0] == 1 || option[0] == 2) &&
		    (option[1] != 1 || !fw_same_mac(option + 2, owner->mac)))
			return FW_DROP_ND;
		at += option[1] * 8;
	}
	return FW_DROP_ND;
}

fw_checked_once fw_judge_neighbour(struct __sk_buff *skb, const struct fw_packet *packet fw_expects,
				   const struct fw_owner *owner fw_expects,
				   const struct fw_lines6 *low fw_expects,
				   const struct fw_lines6 *high fw_expects)
{
	const int advertises = packet->icmp_type == FW_ND_NA;
	struct fw_address6 target;
	int own;

	if (packet->hop_limit != 255 || packet->icmp_code)
		return FW_DROP_ND;
	if (packet->l4_length < 24 ||
	    bpf_skb_load_bytes(skb, packet->l4 + 8, &target, sizeof(target)))
		return FW_DROP_MALFORMED;
	own = fw_is_own6(owner, low, high, &target);
	if (packet->direction == FW_INGRESS) {
		if (advertises)
			return own ? FW_DROP_ND : FW_PASSED;
		return own ? FW_PASSED : FW_DROP_DESTINATION;
	}
	/* Only a question about its own address comes from nobody (RFC 4862). */
	if (fw_is_zero6(packet->source) ? advertises || !own : !fw_is_own6(owner, low, high, fw_source6(packet)))
		return FW_DROP_ND;
	if (advertises && !own)
		return FW_DROP_ND;
	return fw_judge_nd_options(skb, packet, owner);
}

fw_checked_once fw_judge_discovery(struct __sk_buff *skb, const struct fw_packet *packet fw_expects,
				   const struct fw_owner *owner fw_expects,
				   const struct fw_lines6 *low fw_expects,
				   const struct fw_lines6 *high fw_expects)
{
	const int out = packet->direction == FW_EGRESS;
	int own_or_zero;

	if (packet->fragment)
		return FW_DROP_FRAGMENT;
	own_or_zero = fw_is_zero6(packet->source) || fw_is_own6(owner, low, high, fw_source6(packet));
	switch (packet->icmp_type) {
	case FW_ND_NS:
	case FW_ND_NA:
		return fw_judge_neighbour(skb, packet, owner, low, high);
	case FW_ND_RS:
		return out && own_or_zero && packet->hop_limit == 255 ? FW_PASSED : FW_DROP_ND;
	case FW_ND_RA:
		/* From a socket of this host, such as a radvd's: skb->sk is set. */
		return !out && skb->sk && packet->hop_limit == 255 ? FW_PASSED : FW_DROP_ROGUE_RA;
	case FW_ND_REDIRECT:
		return FW_DROP_ROGUE_RA;
	case FW_MLD_QUERY:
		return !out && packet->hop_limit == 1 ? FW_PASSED : FW_DROP_ND;
	}
	return out && own_or_zero && packet->hop_limit == 1 ? FW_PASSED : FW_DROP_ND;
}

/* DHCP and DHCPv6 servers; and what is not for one receiver. */
static __always_inline int fw_is_rogue_dhcp(const struct fw_packet *packet)
{
	return packet->protocol == IPPROTO_UDP && packet->direction == FW_EGRESS &&
	       !packet->fragment_offset &&
	       packet->source_port == (packet->ip == 4 ? bpf_htons(67) : bpf_htons(547));
}

static __always_inline int fw_is_multicast(const struct fw_packet *packet)
{
	return packet->mac_destination[0] & 1 ||
	       (packet->ip == 4 ? fw_is_multicast4(packet->destination) :
				  packet->destination[0] == 0xff);
}

/* An IP packet that is no discovery: from itself, to somebody, or the reverse. */
static __always_inline int fw_judge_addresses(const struct fw_packet *packet, int from_own,
					      int to_own)
{
	if (packet->direction == FW_EGRESS ? !from_own : from_own)
		return FW_DROP_SOURCE_ADDRESS;
	if (fw_is_multicast(packet))
		return FW_DROP_MULTICAST;
	return packet->direction == FW_EGRESS || to_own ? FW_PASSED : FW_DROP_DESTINATION;
}

fw_checked_once fw_judge_addresses4(const struct fw_packet *packet fw_expects,
				    const struct fw_owner *owner fw_expects,
				    const struct fw_lines4 *own fw_expects)
{
	if (fw_is_rogue_dhcp(packet))
		return FW_DROP_ROGUE_DHCP;
	return fw_judge_addresses(packet, fw_is_own4(owner, own, fw_word_at(packet->source)),
				  packet->direction == FW_INGRESS &&
				  fw_is_own4(owner, own, fw_word_at(packet->destination)));
}

fw_checked_once fw_judge_addresses6(const struct fw_packet *packet fw_expects,
				    const struct fw_owner *owner fw_expects,
				    const struct fw_lines6 *low fw_expects,
				    const struct fw_lines6 *high fw_expects)
{
	if (fw_is_rogue_dhcp(packet))
		return FW_DROP_ROGUE_DHCP;
	return fw_judge_addresses(packet, fw_is_own6(owner, low, high, fw_source6(packet)),
				  packet->direction == FW_INGRESS &&
				  fw_is_own6(owner, low, high, fw_destination6(packet)));
}

#endif /* HOODY_BPF_SOURCE_H */
