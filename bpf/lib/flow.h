/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: what was allowed once goes on, in both directions, until it
 * ends, is idle for too long, or the policy changes its mind. It is opened by the
 * first packet (TCP: a SYN), if rules allow it and the quota of its kind is not
 * used up.
 *
 * A flow that was idle for too long is no flow any more, whether or not it is
 * still in the table. It is taken out by a sweep, which the agent starts every
 * now and then (program fw_sweep), and, where the agent is not there to do it, a
 * packet that finds its quota used up. No timer for each flow: the kernel's
 * allocate memory in a way that may fail under load.
 *
 * A container's flows count against quotas of its own, by who opened them, and
 * the loader sees to it that all quotas together fit the table: nobody can push
 * out another's flows, and a flood from outside does not keep the container
 * from opening connections.
 */
#ifndef HOODY_BPF_FLOW_H
#define HOODY_BPF_FLOW_H

#include "packet.h"

/* The agent sweeps more often than this while it is alive. */
#define FW_SWEEP_OVERDUE	(60 * FW_SECOND)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 21);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fw_flow_key);
	__type(value, struct fw_flow);
} fw_flows SEC(".maps");

/* The clock of the last tick: exact enough for idle times, and cheap. */
static __always_inline __u64 fw_now(void)
{
	return bpf_ktime_get_coarse_ns();
}

/*
 * How long a flow may be idle, ns. TCP: RFC 5382 wants 2 h 4 min at least for
 * an established connection; half-open and closing ones are short, because they
 * are what floods are made of. Once both sides have ended, what may follow is an
 * end that is sent again: between the agent and a container nothing is lost that
 * would have to. UDP: RFC 4787.
 */
static __always_inline __u64 fw_flow_patience(__u32 protocol, const struct fw_flow *flow)
{
	const __u32 bits = flow->bits;
	const __u32 both = FW_SEEN_FIN_LOCAL | FW_SEEN_FIN_REMOTE;

	switch (protocol) {
	case IPPROTO_TCP:
		if (bits & FW_SEEN_RST)
			return flow->class == FW_FLOW_AGENT ? 2 * FW_SECOND : 10 * FW_SECOND;
		if ((bits & both) == both)
			return flow->class == FW_FLOW_AGENT ? 2 * FW_SECOND : 15 * FW_SECOND;
		if (!(bits & FW_SEEN_CONFIRM))
			return 60 * FW_SECOND;
		return bits & both ? 1800 * FW_SECOND : 24 * 3600 * FW_SECOND;
	case IPPROTO_UDP:
		return bits & FW_SEEN_REPLY ? 180 * FW_SECOND : 30 * FW_SECOND;
	case IPPROTO_ICMP:
	case FW_PROTO_ICMPV6:
		return 30 * FW_SECOND;
	}
	return 300 * FW_SECOND;
}

static __always_inline void fw_flow_uncount(__u32 slot, __u32 class)
{
	struct fw_state *state = bpf_map_lookup_elem(&fw_states, &slot);

	if (state && class < FW_FLOW_CLASSES)
		__sync_fetch_and_add(&state->flows[class], -1);
}

/* Only who really deletes it counts it down. */
static __always_inline void fw_flow_delete(const struct fw_flow_key *key, __u32 class)
{
	if (!bpf_map_delete_elem(&fw_flows, key))
		fw_flow_uncount(key->slot, class);
}

static __always_inline void fw_name_key_of(const struct fw_flow_key *flow, __u64 generation,
					   struct fw_name_key *key)
{
	key->slot = flow->slot;
	key->revision = generation >> 32;
	key->family = flow->family;
	__builtin_memcpy(key->address, flow->remote, 16);
}

/* The address of a flow that a name opened stays known, see name.h. */
static __always_inline void fw_keep_name(const struct fw_flow_key *flow,
					 const struct fw_flow *state, __u64 now)
{
	struct fw_name_key key;
	struct fw_name *name;

	if (!(state->bits & FW_BY_NAME))
		return;
	fw_name_key_of(flow, state->generation, &key);
	name = bpf_map_lookup_elem(&fw_names, &key);
	if (name)
		name->linger = now + FW_NAME_LINGER;
}

struct fw_sweep_work {
	__u64	now;
	__u32	slot;		/* all of its flows go; 0: only idle ones */
	__u32	deleted;
};

static long fw_sweep_one(void *map, const struct fw_flow_key *key, struct fw_flow *flow,
			 struct fw_sweep_work *work)
{
	const __u64 seen = flow->seen;

	if (key->slot == work->slot ||
	    (work->now > seen && work->now - seen > fw_flow_patience(key->protocol, flow))) {
		fw_flow_delete(key, flow->class);
		work->deleted++;
	} else {
		fw_keep_name(key, flow, work->now);
	}
	return 0;
}

/* Takes out idle flows where nobody has done so for long. Returns how many. */
fw_checked_once fw_sweep_overdue(void)
{
	struct fw_sweep_work work = { .now = fw_now() };
	struct fw_config *config;
	__u32 zero = 0;
	__u64 swept;

	config = bpf_map_lookup_elem(&fw_config, &zero);
	if (!config)
		return 0;
	swept = config->swept;
	if (work.now - swept < FW_SWEEP_OVERDUE ||
	    __sync_val_compare_and_swap(&config->swept, swept, work.now) != swept)
		return 0;
	bpf_for_each_map_elem(&fw_flows, fw_sweep_one, &work, 0);
	return work.deleted;
}

/* Takes a place of the quota; 0 where there is none. */
static __always_inline int fw_flow_count(struct fw_state *state, __u32 class, __u32 quota)
{
	if (__sync_fetch_and_add(&state->flows[class], 1) < quota)
		return 1;
	__sync_fetch_and_add(&state->flows[class], -1);
	return 0;
}

/* Opens the flow as @fresh has it. 0 or a reason. */
fw_checked_once fw_flow_create(const struct fw_flow_key *key fw_expects,
			       const struct fw_flow *fresh fw_expects, __u32 quota)
{
	const __u32 class = fresh->class;
	__u32 slot = key->slot;
	struct fw_state *state = bpf_map_lookup_elem(&fw_states, &slot);

	if (!state || class >= FW_FLOW_CLASSES)
		return FW_DROP_LAYOUT;
	if (!fw_flow_count(state, class, quota) &&
	    (!fw_sweep_overdue() || !fw_flow_count(state, class, quota)))
		return FW_DROP_FLOW_QUOTA;
	switch (bpf_map_update_elem(&fw_flows, key, fresh, BPF_NOEXIST)) {
	case 0:
		return FW_PASSED;
	case -17: /* EEXIST: another CPU was faster, with a packet of the same flow */
		__sync_fetch_and_add(&state->flows[class], -1);
		return FW_PASSED;
	}
	__sync_fetch_and_add(&state->flows[class], -1);
	return FW_DROP_FLOW_TABLE;
}

/* The direction of the packet that opened it. */
static __always_inline __u32 fw_flow_opener(const struct fw_flow *flow)
{
	return flow->class == FW_FLOW_EGRESS ? FW_EGRESS : FW_INGRESS;
}

static __always_inline int fw_flow_is_over(const struct fw_flow *flow)
{
	const __u32 both = FW_SEEN_FIN_LOCAL | FW_SEEN_FIN_REMOTE;

	return flow->bits & FW_SEEN_RST || (flow->bits & both) == both;
}

/* A packet of the flow passes: notes what it says about the flow's state. */
static __always_inline void fw_flow_touch(struct fw_flow *flow, const struct fw_packet *packet,
					  __u64 now)
{
	const int reply = packet->direction != fw_flow_opener(flow);
	__u32 bits = flow->bits;

	if (reply)
		bits |= FW_SEEN_REPLY;
	if (packet->protocol == IPPROTO_TCP && !packet->fragment_offset) {
		if (!reply && bits & FW_SEEN_REPLY && !(packet->tcp_flags & FW_TCP_SYN))
			bits |= FW_SEEN_CONFIRM;
		if (packet->tcp_flags & FW_TCP_FIN)
			bits |= packet->direction == FW_EGRESS ? FW_SEEN_FIN_LOCAL :
								 FW_SEEN_FIN_REMOTE;
		if (packet->tcp_flags & FW_TCP_RST)
			bits |= FW_SEEN_RST;
	}
	flow->seen = now;
	/* Two CPUs may lose a bit of each other: the next packet sets it again. */
	if (bits != flow->bits)
		flow->bits = bits;
}

#endif /* HOODY_BPF_FLOW_H */
