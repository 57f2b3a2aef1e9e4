/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which way a packet leaves that the rules let pass. With FW_EXIT_RELAY what the
 * container opens is taken by the relay's sockets on this host, with source and
 * destination as they are: for TCP that of the connection, once there is one,
 * else the listener; for UDP one socket for all.
 *
 * Answers to connections from outside and of the agent go their own way, and so
 * do ARP and discovery. Everything else stays here: an exit leaks nothing that
 * it cannot carry, and nothing while its relay is down.
 *
 * With FW_EXIT_TUNNEL the packet only gets a mark: the host routes it by that, and
 * whatever protocol it has. Its later fragments have no ports to find a flow by and
 * are marked too; the host puts them together again before it looks at a mark.
 *
 * With FW_NAMES what goes to port 53 is the relay's by whatever exit. With FW_STRICT
 * so is every flow that a rule about a name has opened, by sockets of their own: the
 * relay holds what the flow says against those rules.
 *
 * A port of a bridge would switch the packet to a neighbour: the frame is
 * addressed to the bridge itself, and goes on as if it had come in there.
 */
#ifndef HOODY_BPF_EXIT_H
#define HOODY_BPF_EXIT_H

#include "judge.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, FW_RELAY_PLAIN_SOCKETS);
	__type(key, __u32);
	__type(value, __u64);
} fw_relay SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, FW_RELAY_SOCKETS - FW_RELAY_PLAIN_SOCKETS);
	__type(key, __u32);
	__type(value, __u64);
} fw_strict SEC(".maps");

/* Gives the packet to the relay. 0 or a reason. */
fw_checked_once fw_steer(struct __sk_buff *skb, struct fw_work *work fw_expects, __u32 strict)
{
	const __u32 udp = work->key.protocol == IPPROTO_UDP;
	__u32 index = (udp ? FW_RELAY_UDP4 : FW_RELAY_TCP4) + (work->key.family == FW_V6);
	struct bpf_sock *sock = NULL;
	long ret;

	if (!udp)
		sock = fw_find_connection(skb, &work->key);
	if (!sock && strict)
		sock = bpf_map_lookup_elem(&fw_strict, &index);
	else if (!sock)
		sock = bpf_map_lookup_elem(&fw_relay, &index);
	if (!sock)
		return FW_DROP_EXIT_DOWN;
	ret = bpf_sk_assign(skb, sock, 0);
	bpf_sk_release(sock);
	if (ret)
		return FW_DROP_EXIT_DOWN;
	skb->mark = (skb->mark & ~FW_MARK_MASK) | FW_MARK;
	return FW_PASSED;
}

/* Marks the packet for the policy's tunnel. 0 or a reason. */
static __always_inline int fw_mark_tunnel(struct __sk_buff *skb, const struct fw_head *head)
{
	if (!head->tunnel)
		return FW_DROP_EXIT_DOWN;
	skb->mark = (skb->mark & ~FW_TUNNEL_MARK_MASK) | FW_TUNNEL_MARK |
		    head->tunnel << FW_TUNNEL_MARK_SHIFT;
	return FW_PASSED;
}

/* For a packet from the container that passed. */
fw_checked_once fw_leave(struct __sk_buff *skb, struct fw_work *work fw_expects,
			 const struct fw_head *head fw_expects)
{
	__u32 tunnel = head->flags & FW_EXIT_TUNNEL, strict = head->flags & FW_STRICT;
	const __u32 exit = head->flags & FW_EXIT_ANY;
	const struct fw_packet *packet = &work->packet;
	struct fw_flow *flow;
	__u8 to[6];
	int ret;

	if (head->flags & FW_NAMES && !packet->fragment && fw_is_dns(&work->key))
		tunnel = strict = 0;
	else if (!exit && !strict)
		return FW_PASSED;
	/* Behind a first fragment there are no ports to find the flow by. */
	if (packet->fragment && exit && !tunnel)
		return FW_DROP_EXIT_PROTOCOL;
	if (!packet->fragment_offset) {
		flow = bpf_map_lookup_elem(&fw_flows, &work->key);
		if (!flow)
			return FW_DROP_NO_FLOW;
		if (flow->class != FW_FLOW_EGRESS)
			return FW_PASSED;
		if (strict && !(flow->bits & FW_BY_NAME)) {
			if (!exit)
				return FW_PASSED;
			strict = 0;
		}
		if (strict && packet->fragment)
			return FW_DROP_EXIT_PROTOCOL;
	} else if (!exit) {
		/* The first one has passed, so no name had opened its flow. */
		return FW_PASSED;
	}
	if (head->flags & FW_EXIT_BLOCK)
		return FW_DROP_EXIT_BLOCKED;
	if ((!tunnel || strict) && packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return FW_DROP_EXIT_PROTOCOL;
	__builtin_memcpy(to, head->steer_mac, sizeof(to));
	if (!fw_mac_value(to))
		return FW_DROP_EXIT_DOWN;
	ret = tunnel && !strict ? fw_mark_tunnel(skb, head) : fw_steer(skb, work, strict);
	if (ret)
		return ret;
	if (bpf_skb_store_bytes(skb, 0, to, sizeof(to), 0) ||
	    bpf_skb_change_type(skb, 0 /* PACKET_HOST */))
		return FW_DROP_EXIT_DOWN;
	work->redirect = work->steer_bridge;
	return FW_PASSED;
}

#endif /* HOODY_BPF_EXIT_H */
