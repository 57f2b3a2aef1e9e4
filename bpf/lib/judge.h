/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict on an IP packet whose addresses are in order. What holds, first
 * match first:
 *
 *	1. tunnels are dropped; fragments follow their datagram's first
 *	2. an ICMP error passes where it speaks of a known flow
 *	3. a known flow goes on: re-judged where the policy is newer than it,
 *	   and, if it is the agent's, only while the agent's socket is there
 *	4. what cannot open a flow (no SYN, echo reply, ...) is dropped
 *	5. the agent's own connections to the container pass
 *	6. the rules: deny, then allow; between containers what their project's
 *	   gateways may; then the default of the direction
 *
 * TCP sequence numbers are not followed: a flow is its addresses and ports.
 *
 * The rules are in the image, which only the entry program reaches (maps.h), so a
 * verdict has up to three steps: fw_meet() decides or says FW_ASK, fw_ask() asks the
 * rules, fw_settle() makes the flow or goes on with it as they say.
 */
#ifndef HOODY_BPF_JUDGE_H
#define HOODY_BPF_JUDGE_H

#include "decide.h"
#include "flow.h"
#include "fragment.h"
#include "name.h"

/* Beside the reasons: the rules have to be asked. */
#define FW_ASK		FW_REASONS_MAX

enum fw_pending {
	FW_PENDING_OPEN,	/* a new flow; one that was there under its key is over */
	FW_PENDING_GO_ON,	/* a known flow that an older policy allowed */
	FW_PENDING_QUOTED,	/* such a flow, in an ICMP error */
};

/* What one packet's verdict needs; lives in a per-CPU map, the stack is small. */
struct fw_work {
	struct fw_packet	packet;
	struct fw_owner		owner;		/* where the MAC address was learned */
	struct fw_flow_key	key;
	struct fw_member_key	member;
	struct fw_question	question;
	struct fw_answer	answer;
	__u64			now;		/* fw_now() of fw_judge_flow() */
	struct fw_flow		fresh;		/* the flow that it opens */
	__u32			redirect;	/* ifindex to go on at; 0: here */
	__u32			steer_bridge;	/* of struct fw_header */
	__u8			pending;	/* enum fw_pending */
	__u8			replaces;	/* class + 1 of the flow that is over */
	__u16			pad;
	__u32			rule;		/* the one that decided, or FW_NO_RULE */
	__u32			known;		/* asked about a flow that is open */
	__u32			by_name;	/* the rule is about a name */
	__u32			opened;		/* class + 1 of the flow that it opens */
	__u8			inner[48];	/* what an ICMP error quotes */
};

static __always_inline int fw_is_echo(const struct fw_packet *packet, int reply)
{
	if (packet->ip == 4)
		return packet->icmp_type == (reply ? 0 : 8);
	return packet->icmp_type == (reply ? 129 : 128);
}

static __always_inline int fw_is_icmp(const struct fw_packet *packet)
{
	return packet->protocol == (packet->ip == 4 ? IPPROTO_ICMP : FW_PROTO_ICMPV6);
}

static __always_inline int fw_is_icmp_error(const struct fw_packet *packet)
{
	if (packet->ip == 4)
		return packet->icmp_type == 3 || packet->icmp_type == 11 ||
		       packet->icmp_type == 12;
	return packet->icmp_type >= 1 && packet->icmp_type <= 4;
}

static __always_inline int fw_is_tunnel(__u32 protocol)
{
	/* IP, IPv6, GRE, IPIP, EtherIP, encapsulation header, MPLS in IP */
	return protocol == 4 || protocol == 41 || protocol == 47 || protocol == 94 ||
	       protocol == 97 || protocol == 98 || protocol == 137;
}

/* By words, in struct fw_work: of bytes the compiler would copy one after the other. */
static __always_inline void fw_copy_address(__u8 *to, const __u8 *from)
{
	const __u32 *source = (const void *)from;
	__u32 *destination = (void *)to;

	destination[0] = source[0];
	destination[1] = source[1];
	destination[2] = source[2];
	destination[3] = source[3];
}

static __always_inline void fw_key_of_packet(struct fw_work *work, const struct fw_head *head)
{
	const struct fw_packet *packet = &work->packet;
	const int out = packet->direction == FW_EGRESS;
	struct fw_flow_key *key = &work->key;

	key->slot = head->slot;
	key->family = packet->ip == 4 ? FW_V4 : FW_V6;
	key->protocol = packet->protocol;
	fw_copy_address(key->local, out ? packet->source : packet->destination);
	fw_copy_address(key->remote, out ? packet->destination : packet->source);
	if (fw_is_icmp(packet)) {
		key->local_port = packet->source_port;
		key->remote_port = 0;
	} else {
		key->local_port = out ? packet->source_port : packet->destination_port;
		key->remote_port = out ? packet->destination_port : packet->source_port;
	}
}

static __always_inline __u32 fw_load_word(const __u8 *bytes)
{
	return bpf_ntohl(*(const __be32 *)(const void *)bytes);
}

/*
 * What no rule speaks of. Containers do not reach each other, but for the gateways
 * of a project, which reach the others of it; all else is the policy's default.
 */
fw_checked_once fw_default(struct fw_work *work fw_expects,
			   const struct fw_head *head fw_expects, __u32 direction)
{
	const struct fw_flow_key *key = &work->key;
	struct fw_member *member;
	__u32 gateway;

	work->member.family = key->family;
	__builtin_memcpy(work->member.address, key->remote, 16);
	member = bpf_map_lookup_elem(&fw_members, &work->member);
	if (member) {
		gateway = direction == FW_EGRESS ? head->flags : member->flags;
		return gateway & FW_GATEWAY && member->project[0] == head->project[0] &&
		       member->project[1] == head->project[1] &&
		       member->project[2] == head->project[2] ? FW_PASSED : FW_DROP_CONTAINER;
	}
	if (head->flags & (direction == FW_EGRESS ? FW_EGRESS_OPEN : FW_INGRESS_OPEN))
		return FW_PASSED;
	if (!(head->flags & FW_LEARN))
		return FW_DROP_DEFAULT;
	fw_drop(&work->packet, head->slot, head->generation, FW_TOLD_LEARNED, FW_NO_RULE);
	return FW_PASSED;
}

/*
 * Rules about names, where no other denies. Port 53 is answered on the host and
 * needs no rule; names asked behind TLS would not be seen, so 853 needs one.
 */
static __always_inline int fw_ask_names(struct fw_work *work, const struct fw_head *head)
{
	const struct fw_flow_key *key = &work->key;
	const __u32 allowed = work->answer.action == FW_ALLOW;
	const __u32 tls = key->remote_port == bpf_htons(FW_PORT_DNS_TLS) &&
			  (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP);
	__u32 rule;

	if (allowed && !tls)
		return FW_PASSED;
	if (!allowed && fw_is_dns(key))
		return FW_PASSED;
	rule = fw_ask_name(key, head->generation, work->known);
	if (rule != FW_NO_RULE) {
		work->rule = rule;
		work->by_name = 1;
		return FW_PASSED;
	}
	if (tls) {
		work->rule = FW_NO_RULE;
		return FW_DROP_DEFAULT;
	}
	return fw_default(work, head, FW_EGRESS);
}

/* What the rules say about opening the flow of @work->key, in @work->question's direction. */
static __noinline int fw_ask(struct fw_view *view, struct fw_work *work,
			     const struct fw_head *head)
{
	struct fw_question *question = &work->question;
	const struct fw_flow_key *key = &work->key;
	const __u32 direction = question->direction;

	question->family = key->family;
	question->address[0] = fw_load_word(key->remote);
	question->address[1] = fw_load_word(key->remote + 4);
	question->address[2] = fw_load_word(key->remote + 8);
	question->address[3] = fw_load_word(key->remote + 12);
	question->protocol = key->protocol;
	question->port = 0;
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP)
		question->port = bpf_ntohs(direction == FW_EGRESS ? key->remote_port :
								    key->local_port);
	fw_decide(view, question, &work->answer);
	work->rule = work->answer.rule;
	work->by_name = 0;
	if (work->answer.action == FW_DENY)
		return FW_DROP_RULE;
	if (direction == FW_EGRESS && head->flags & FW_NAMES_ONLY)
		return fw_ask_names(work, head);
	if (work->answer.action == FW_ALLOW)
		return FW_PASSED;
	return fw_default(work, head, direction);
}

/*
 * The host's end of the flow's TCP connection that is open or being opened, to be
 * released, or NULL. A listener that happens to have the port is not it.
 */
static __always_inline struct bpf_sock *fw_find_connection(struct __sk_buff *skb,
							   const struct fw_flow_key *key)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sock;
	__u32 size;

	__builtin_memset(&tuple, 0, sizeof(tuple));
	if (key->family == FW_V4) {
		__builtin_memcpy(&tuple.ipv4.saddr, key->local, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, key->remote, 4);
		tuple.ipv4.sport = key->local_port;
		tuple.ipv4.dport = key->remote_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, key->local, 16);
		__builtin_memcpy(tuple.ipv6.daddr, key->remote, 16);
		tuple.ipv6.sport = key->local_port;
		tuple.ipv6.dport = key->remote_port;
		size = sizeof(tuple.ipv6);
	}
	sock = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (sock && sock->state == BPF_TCP_LISTEN) {
		bpf_sk_release(sock);
		return NULL;
	}
	return sock;
}

/*
 * Whether the host still has the agent's socket of the flow: a packet of a
 * connection that nobody holds any more would otherwise be routed to the client.
 */
fw_checked_once fw_has_socket(struct __sk_buff *skb, const struct fw_flow_key *key fw_expects)
{
	struct bpf_sock *sock = fw_find_connection(skb, key);

	if (!sock)
		return 0;
	bpf_sk_release(sock);
	return 1;
}

fw_checked_once fw_is_agent(struct __sk_buff *skb, const struct fw_packet *packet fw_expects)
{
	struct fw_config *config;
	__u32 zero = 0;

	if (packet->protocol != IPPROTO_TCP || packet->fragment)
		return 0;
	config = bpf_map_lookup_elem(&fw_config, &zero);
	if (!config || !config->agent_cgroup)
		return 0;
	return bpf_skb_ancestor_cgroup_id(skb, config->agent_level) == config->agent_cgroup;
}

static __always_inline void fw_count_rule(struct fw_view *view, const struct fw_work *work,
					  const struct fw_head *head)
{
	struct fw_counter *counter;
	__u32 word, line;
	__u32 *words;

	if (work->rule >= head->rules)
		return;
	word = head->counters + work->rule * (sizeof(*counter) / 4);
	line = word / FW_LINE_WORDS;
	words = bpf_map_lookup_elem(view->map, &line);
	if (!words)
		return;
	counter = (struct fw_counter *)(words + (word % FW_LINE_WORDS & ~3u));
	__sync_fetch_and_add(&counter->packets, work->packet.segments);
	__sync_fetch_and_add(&counter->bytes, work->packet.length);
}

/*
 * A known flow of @work->key: FW_PASSED where it may go on under the policy that
 * holds now, FW_ASK where only the rules know.
 */
static __always_inline int fw_recheck(struct __sk_buff *skb, struct fw_work *work,
				      const struct fw_head *head, struct fw_flow *flow,
				      __u32 pending)
{
	if (flow->class == FW_FLOW_AGENT) {
		flow->generation = head->generation;
		work->rule = FW_NO_RULE;
		if (work->packet.direction == FW_EGRESS && !fw_has_socket(skb, &work->key))
			return FW_DROP_NO_SOCKET;
		return work->packet.fragment ? FW_DROP_FRAGMENT : FW_PASSED;
	}
	if (flow->generation == head->generation) {
		work->rule = flow->rule;
		return FW_PASSED;
	}
	work->question.direction = fw_flow_opener(flow);
	work->known = !!(flow->bits & FW_BY_NAME);
	work->pending = pending;
	return FW_ASK;
}

static __always_inline int fw_is_idle(const struct fw_flow *flow, __u32 protocol, __u64 now)
{
	return now - flow->seen > fw_flow_patience(protocol, flow);
}

/* An ICMP error: finds the flow of the packet that it quotes. */
fw_checked_once fw_judge_error(struct __sk_buff *skb, struct fw_work *work fw_expects,
			       const struct fw_head *head fw_expects)
{
	const struct fw_packet *packet = &work->packet;
	const int out = packet->direction == FW_EGRESS, v4 = packet->ip == 4;
	struct fw_flow_key *key = &work->key;
	__u8 *inner = work->inner;
	struct fw_flow *flow;
	const __u8 *ports;

	if (packet->fragment)
		return FW_DROP_FRAGMENT;
	/* v4: 20 + 8 bytes, v6: 40 + 8 */
	if (packet->l4_length < (v4 ? 36 : 56) ||
	    (v4 ? bpf_skb_load_bytes(skb, packet->l4 + 8, inner, 28) :
		  bpf_skb_load_bytes(skb, packet->l4 + 8, inner, 48)))
		return FW_DROP_MALFORMED;
	if (v4 ? inner[0] != 0x45 || (inner[6] & 0x1f) || inner[7] : inner[0] >> 4 != 6)
		return FW_DROP_ICMP_TYPE;
	__builtin_memset(key, 0, sizeof(*key));
	key->slot = head->slot;
	key->family = v4 ? FW_V4 : FW_V6;
	key->protocol = v4 ? inner[9] : inner[6];
	ports = v4 ? inner + 20 : inner + 40;
	/* Going out, it answers what came in: what it quotes was to the container. */
	if (v4) {
		__builtin_memcpy(key->local, out ? inner + 16 : inner + 12, 4);
		__builtin_memcpy(key->remote, out ? inner + 12 : inner + 16, 4);
	} else {
		__builtin_memcpy(key->local, out ? inner + 24 : inner + 8, 16);
		__builtin_memcpy(key->remote, out ? inner + 8 : inner + 24, 16);
	}
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP) {
		__builtin_memcpy(&key->local_port, out ? ports + 2 : ports, 2);
		__builtin_memcpy(&key->remote_port, out ? ports : ports + 2, 2);
	} else if (key->protocol == (v4 ? IPPROTO_ICMP : FW_PROTO_ICMPV6)) {
		__builtin_memcpy(&key->local_port, ports + 4, 2);
	}
	/* It goes to whom it speaks of, and the container speaks for itself only. */
	if (!fw_same6(key->local, out ? packet->source : packet->destination) ||
	    (out && !fw_same6(key->remote, packet->destination)))
		return FW_DROP_NO_FLOW;
	flow = bpf_map_lookup_elem(&fw_flows, key);
	if (!flow || fw_is_idle(flow, key->protocol, fw_now()))
		return FW_DROP_NO_FLOW;
	return fw_recheck(skb, work, head, flow, FW_PENDING_QUOTED);
}

/* The packet opens a flow of @class. 0 or a reason. */
static __always_inline int fw_open(struct fw_work *work, const struct fw_head *head, __u32 class)
{
	work->opened = class + 1;
	work->fresh.generation = head->generation;
	work->fresh.seen = work->now;
	work->fresh.rule = work->rule;
	work->fresh.class = class;
	work->fresh.bits = work->by_name ? FW_BY_NAME : 0;
	return fw_flow_create(&work->key, &work->fresh, head->quota[class]);
}

/* No known flow, or one (@old) that this packet does not belong to. */
static __always_inline int fw_meet_first(struct __sk_buff *skb, struct fw_work *work,
					 const struct fw_head *head, const struct fw_flow *old)
{
	const __u32 direction = work->packet.direction;

	work->pending = FW_PENDING_OPEN;
	work->known = work->by_name = 0;
	work->replaces = old ? old->class + 1 : 0;
	work->question.direction = direction;
	if (direction == FW_EGRESS || !fw_is_agent(skb, &work->packet))
		return FW_ASK;
	work->rule = FW_NO_RULE;
	/*
	 * The container talks from this very port to this very client already. Its
	 * answer to the SYN, which passes by that flow, tells the agent to take another
	 * port; the container's own connection must live on.
	 */
	if (old && old->class == FW_FLOW_EGRESS && !fw_is_idle(old, work->packet.protocol, work->now) &&
	    !fw_flow_is_over(old))
		return FW_PASSED;
	/* Only now: a refused packet must not end a flow that it is not part of. */
	if (old)
		fw_flow_delete(&work->key, old->class);
	return fw_open(work, head, FW_FLOW_AGENT);
}

static __always_inline int fw_judge_flow(struct __sk_buff *skb, struct fw_work *work,
					 const struct fw_head *head)
{
	const struct fw_packet *packet = &work->packet;
	const int icmp = fw_is_icmp(packet), tcp = packet->protocol == IPPROTO_TCP;
	const __u64 now = fw_now();
	int opens = 1, ret;
	struct fw_flow *flow;

	work->now = now;
	if (icmp) {
		if (fw_is_icmp_error(packet))
			return fw_judge_error(skb, work, head);
		if (!fw_is_echo(packet, 0) && !fw_is_echo(packet, 1))
			return FW_DROP_ICMP_TYPE;
		opens = fw_is_echo(packet, 0);
	} else if (tcp) {
		opens = (packet->tcp_flags &
			 (FW_TCP_SYN | FW_TCP_ACK | FW_TCP_RST | FW_TCP_FIN)) == FW_TCP_SYN;
	}
	fw_key_of_packet(work, head);
	/* Where the first fragment stays here, the others must not leave. */
	if (packet->fragment && packet->direction == FW_EGRESS && head->flags & FW_NAMES &&
	    fw_is_dns(&work->key))
		return FW_DROP_FRAGMENT;
	flow = bpf_map_lookup_elem(&fw_flows, &work->key);
	/* TCP, opened from the other side, or again after its end: a new flow. */
	if (!flow || fw_is_idle(flow, packet->protocol, now) ||
	    (tcp && opens && (packet->direction != fw_flow_opener(flow) || fw_flow_is_over(flow))))
		return opens ? fw_meet_first(skb, work, head, flow) : FW_DROP_NO_FLOW;
	/* The opener asks, the other side answers. */
	if (icmp && opens != (packet->direction == fw_flow_opener(flow)))
		return FW_DROP_NO_FLOW;
	ret = fw_recheck(skb, work, head, flow, FW_PENDING_GO_ON);
	if (!ret)
		fw_flow_touch(flow, packet, now);
	return ret;
}

/* 0, a reason, or FW_ASK. */
fw_checked_once fw_meet(struct __sk_buff *skb, struct fw_work *work fw_expects,
			const struct fw_head *head fw_expects)
{
	const struct fw_packet *packet = &work->packet;

	/* Of the other family: nothing that Linux would understand. */
	if (packet->protocol == (packet->ip == 4 ? FW_PROTO_ICMPV6 : IPPROTO_ICMP))
		return FW_DROP_ICMP_TYPE;
	if (fw_is_tunnel(packet->protocol))
		return FW_DROP_TUNNEL;
	if (packet->fragment_offset)
		return fw_judge_fragment(packet, head->slot, head->generation);
	return fw_judge_flow(skb, work, head);
}

/* What follows from the rules' answer @ret to what fw_meet() left open. 0 or a reason. */
fw_checked_once fw_settle(struct fw_work *work fw_expects,
			  const struct fw_head *head fw_expects, __u32 ret)
{
	const struct fw_packet *packet = &work->packet;
	__u32 class = packet->direction == FW_EGRESS ? FW_FLOW_EGRESS : FW_FLOW_INGRESS;
	struct fw_flow *flow;

	if (work->pending == FW_PENDING_OPEN) {
		if (ret)
			return ret;
		if (work->replaces)
			fw_flow_delete(&work->key, work->replaces - 1);
		return fw_open(work, head, class);
	}
	flow = bpf_map_lookup_elem(&fw_flows, &work->key);
	if (!flow)
		return FW_DROP_NO_FLOW;
	if (ret) {
		fw_flow_delete(&work->key, flow->class);
		return FW_DROP_POLICY_CHANGED;
	}
	flow->rule = work->rule;
	if (work->by_name)
		flow->bits |= FW_BY_NAME;
	else
		flow->bits &= ~FW_BY_NAME;
	flow->generation = head->generation;
	if (work->pending == FW_PENDING_GO_ON)
		fw_flow_touch(flow, packet, work->now);
	return FW_PASSED;
}

#endif /* HOODY_BPF_JUDGE_H */
