/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting what is dropped and telling about it, and about new flows where that is
 * asked for: a counter for each reason, and an event that is left out where a
 * container has had too many of its kind this second, or where nobody empties the
 * ring buffer. Both are counted.
 */
#ifndef HOODY_BPF_DROP_H
#define HOODY_BPF_DROP_H

#include "packet.h"

#define FW_SECOND	1000000000ull

static __always_inline int fw_may_tell(struct fw_teller *teller, __u64 now, __u32 limit)
{
	const __u64 second = now / FW_SECOND;

	/* Two CPUs may both begin a second: then it has a few events more. */
	if (teller->second != second) {
		teller->second = second;
		teller->count = 0;
	}
	if (__sync_fetch_and_add(&teller->count, 1) < limit)
		return 1;
	__sync_fetch_and_add(&teller->limited, 1);
	return 0;
}

static __noinline int fw_tell(const struct fw_packet *packet, struct fw_event *event)
{
	const int in = packet->direction == FW_INGRESS;

	event->length = packet->length;
	event->direction = packet->direction;
	event->family = packet->ip;
	event->protocol = packet->protocol;
	event->ethertype = packet->ethertype;
	__builtin_memcpy(event->local, in ? packet->destination : packet->source, 16);
	__builtin_memcpy(event->remote, in ? packet->source : packet->destination, 16);
	if (packet->protocol == IPPROTO_ICMP || packet->protocol == FW_PROTO_ICMPV6) {
		event->local_port = packet->source_port;
		event->remote_port = bpf_htons(packet->icmp_type << 8 | packet->icmp_code);
	} else {
		event->local_port = in ? packet->destination_port : packet->source_port;
		event->remote_port = in ? packet->source_port : packet->destination_port;
	}
	return 0;
}

/* What an event says beside its packet. */
struct fw_story {
	__u64	generation;
	__u32	slot;
	__u32	rule;
	__u32	reason;
	__u32	opener;
};

static __always_inline int fw_send(const struct fw_packet *packet, struct fw_teller *teller,
				   const struct fw_story *story)
{
	struct fw_config *config;
	struct fw_event *event;
	__u32 zero = 0;
	__u64 now;

	config = bpf_map_lookup_elem(&fw_config, &zero);
	if (!config || !config->events_per_second)
		return 0;
	now = bpf_ktime_get_ns();
	if (!fw_may_tell(teller, now, config->events_per_second))
		return 0;
	event = bpf_ringbuf_reserve(&fw_events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&teller->lost, 1);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = now;
	event->generation = story->generation;
	event->ifindex = packet->ifindex;
	event->slot = story->slot;
	event->rule = story->rule;
	event->reason = story->reason;
	event->opener = story->opener;
	fw_tell(packet, event);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* @slot 0 where there is no policy. */
fw_checked_once fw_drop(const struct fw_packet *packet fw_expects, __u32 slot, __u64 generation,
			__u32 verdict, __u32 rule)
{
	const struct fw_story story = { .generation = generation, .slot = slot, .rule = rule,
					.reason = verdict };
	struct fw_state *state = bpf_map_lookup_elem(&fw_states, &slot);

	if (!state)
		return 0;
	__sync_fetch_and_add(&state->drops[verdict & (FW_REASONS_MAX - 1)], 1);
	return fw_send(packet, &state->told, &story);
}

/* The packet has opened a flow of @class, and passes. */
fw_checked_once fw_tell_flow(const struct fw_packet *packet fw_expects, __u32 slot,
			     __u64 generation, __u32 class, __u32 rule)
{
	const struct fw_story story = { .generation = generation, .slot = slot, .rule = rule,
					.reason = FW_TOLD_FLOW, .opener = class };
	struct fw_teller *teller = bpf_map_lookup_elem(&fw_tellers, &slot);

	return teller ? fw_send(packet, teller, &story) : 0;
}

#endif /* HOODY_BPF_DROP_H */
