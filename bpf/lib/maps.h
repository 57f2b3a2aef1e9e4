/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps, and how a program reaches its container's policy image. Sizes are
 * those of a large host; the loader may set others before it creates them.
 */
#ifndef HOODY_BPF_MAPS_H
#define HOODY_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "../shared.h"

/* What every image is like, but for its length. */
struct fw_image_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, FW_HEADER_LINES);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, FW_LINE_SIZE);
};

/* Interface -> policy image. Replacing an entry is what makes a policy hold. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, FW_SLOTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fw_policy_key);
	__array(values, struct fw_image_map);
} fw_policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_config);
} fw_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FW_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct fw_state);
} fw_states SEC(".maps");

/* Of new flows; drops have theirs in fw_states. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FW_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct fw_teller);
} fw_tellers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} fw_events SEC(".maps");

/* Every address of every registered container. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FW_MEMBERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fw_member_key);
	__type(value, struct fw_member);
} fw_members SEC(".maps");

/* Addresses of names that rules allow. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FW_NAMES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fw_name_key);
	__type(value, struct fw_name);
} fw_names SEC(".maps");

struct fw_view {
	void *map;
};

/*
 * A function that the verifier looks at once, for whatever arguments, and not
 * again at each call with what is known there: with ordinary ones it would follow
 * every way through a packet, which is hundreds of thousands of instructions.
 * Such a function knows nothing but its arguments: pointers are to structures of
 * a known size, and fw_expects says that they are never NULL. What needs an
 * image's map, which cannot be handed over, stays in the entry program.
 */
#define fw_checked_once	__attribute__((noinline)) int
#define fw_expects	__arg_nonnull

static __always_inline const __u32 *fw_line(struct fw_view *view, __u32 line)
{
	return bpf_map_lookup_elem(view->map, &line);
}

#define fw_repeat(i, n) bpf_for(i, 0, n)

#endif /* HOODY_BPF_MAPS_H */
