/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments behind the first one carry no ports: they pass where the first
 * fragment of their datagram passed under the same policy, and arrived before.
 * Each container has a few places of its own to remember datagrams in; a new
 * one takes the place of an older one of the same container.
 */
#ifndef HOODY_BPF_FRAGMENT_H
#define HOODY_BPF_FRAGMENT_H

#include "packet.h"

#define FW_FRAGMENT_PLACES	16
/* As long as Linux waits for a datagram's other fragments. */
#define FW_FRAGMENT_TIME	(30 * 1000000000ull)

struct fw_datagram {
	__u64 words[5];
	__u64 generation;
	__u64 expires;
};

struct fw_fragment {
	struct bpf_spin_lock	lock;
	__u32			pad;
	struct fw_datagram	datagram;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FW_SLOTS_MAX * FW_FRAGMENT_PLACES);
	__type(key, __u32);
	__type(value, struct fw_fragment);
} fw_fragments SEC(".maps");

static __always_inline struct fw_fragment *fw_fragment_place(const struct fw_packet *packet,
							     __u32 slot, struct fw_datagram *datagram)
{
	__u32 index;

	__builtin_memcpy(&datagram->words[0], packet->source, 16);
	__builtin_memcpy(&datagram->words[2], packet->destination, 16);
	datagram->words[4] = (__u64)packet->fragment_id << 32 | packet->protocol << 8 |
			     packet->ip << 1 | packet->direction;
	index = packet->fragment_id ^ packet->fragment_id >> 8 ^ packet->fragment_id >> 16 ^
		packet->fragment_id >> 24;
	index = slot * FW_FRAGMENT_PLACES + index % FW_FRAGMENT_PLACES;
	return bpf_map_lookup_elem(&fw_fragments, &index);
}

/* A first fragment passed. */
fw_checked_once fw_fragment_remember(const struct fw_packet *packet fw_expects, __u32 slot,
				     __u64 generation)
{
	struct fw_datagram datagram;
	struct fw_fragment *place = fw_fragment_place(packet, slot, &datagram);

	if (!place)
		return 0;
	datagram.generation = generation;
	datagram.expires = bpf_ktime_get_coarse_ns() + FW_FRAGMENT_TIME;
	bpf_spin_lock(&place->lock);
	place->datagram = datagram;
	bpf_spin_unlock(&place->lock);
	return 0;
}

fw_checked_once fw_judge_fragment(const struct fw_packet *packet fw_expects, __u32 slot,
				  __u64 generation)
{
	struct fw_datagram datagram, known;
	struct fw_fragment *place = fw_fragment_place(packet, slot, &datagram);

	/* It may not reach into the header by which its datagram was judged. */
	if (!place || packet->fragment_offset < (packet->protocol == IPPROTO_TCP ? 24 : 8))
		return FW_DROP_FRAGMENT;
	bpf_spin_lock(&place->lock);
	known = place->datagram;
	bpf_spin_unlock(&place->lock);
	if (known.words[0] != datagram.words[0] || known.words[1] != datagram.words[1] ||
	    known.words[2] != datagram.words[2] || known.words[3] != datagram.words[3] ||
	    known.words[4] != datagram.words[4] || known.generation != generation ||
	    known.expires < bpf_ktime_get_coarse_ns())
		return FW_DROP_FRAGMENT;
	return FW_PASSED;
}

#endif /* HOODY_BPF_FRAGMENT_H */
