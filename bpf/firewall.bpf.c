/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The firewall of a container, on the host's end of its veth pair or on its tap
 * device: what comes in there is what the container sends (egress), what goes
 * out there is what it gets (ingress). Nothing inside the container reaches
 * these programs, and raw or packet sockets inside do not go around them.
 *
 * Fails closed: an interface without a policy image passes nothing, and neither
 * does a packet whose verdict cannot be reached.
 *
 * Everything is decided in lib/: packet.h takes apart, source.h checks who it is
 * from, judge.h decides, exit.h steers what passed, drop.h counts and tells.
 */
#include "lib/maps.h"
#include "lib/packet.h"
#include "lib/drop.h"
#include "lib/source.h"
#include "lib/judge.h"
#include "lib/exit.h"

/* The same numbers for tcx and for a classifier: go on, and drop. */
#define FW_GO_ON	(-1)
#define FW_STOP		2

#define FW_STEER_BRIDGE	__builtin_offsetof(struct fw_header, steer_bridge)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_work);
} fw_work SEC(".maps");

static __always_inline int fw_leave_by_exit(struct __sk_buff *skb, struct fw_view *view,
					    struct fw_work *work, const struct fw_head *head)
{
	const __u32 *line = fw_line(view, FW_STEER_BRIDGE / FW_LINE_SIZE);

	if (!line)
		return FW_DROP_LAYOUT;
	work->steer_bridge = line[FW_STEER_BRIDGE % FW_LINE_SIZE / 4];
	return fw_leave(skb, work, head);
}

/* Whether it is from and to whom it says; @done: that is all there is to say. */
static __always_inline int fw_judge_owner(struct __sk_buff *skb, struct fw_view *view,
					  struct fw_work *work, const struct fw_owner *owner,
					  int *done)
{
	struct fw_packet *packet = &work->packet;
	const void *line, *next;

	*done = 1;
	if (packet->ip != 6) {
		line = fw_line(view, 1);
		if (!line)
			return FW_DROP_LAYOUT;
		if (!packet->ip)
			return fw_judge_arp(skb, packet, owner, line);
		*done = 0;
		return fw_judge_addresses4(packet, owner, line);
	}
	line = fw_line(view, 2);
	next = fw_line(view, 3);
	if (!line || !next)
		return FW_DROP_LAYOUT;
	if (fw_is_discovery(packet))
		return fw_judge_discovery(skb, packet, owner, line, next);
	if (packet->hop_by_hop)
		return FW_DROP_EXTENSION_HEADER;
	*done = 0;
	return fw_judge_addresses6(packet, owner, line, next);
}

static __always_inline int fw_judge(struct __sk_buff *skb, struct fw_view *view,
				    struct fw_work *work, const struct fw_head *head,
				    struct fw_state *state, __u32 direction)
{
	const struct fw_owner *owner = &head->who;
	int ret, done;

	ret = fw_parse(skb, &work->packet, direction);
	if (ret)
		return ret;
	if (!(head->flags & FW_MAC_KNOWN)) {
		work->owner = head->who;
		fw_learn_mac(state, &work->packet, work->owner.mac);
		owner = &work->owner;
	}
	if (direction == FW_EGRESS && !fw_same_halves(work->packet.mac_source, owner->mac))
		return FW_DROP_SOURCE_MAC;
	ret = fw_judge_owner(skb, view, work, owner, &done);
	if (ret || done)
		return ret;
	ret = fw_meet(skb, work, head);
	if (ret == FW_ASK)
		ret = fw_settle(work, head, fw_ask(view, work, head));
	if (ret)
		return ret;
	if (direction == FW_EGRESS && head->flags & (FW_EXIT_ANY | FW_NAMES)) {
		ret = fw_leave_by_exit(skb, view, work, head);
		if (ret)
			return ret;
	}
	if (work->packet.fragment && !work->packet.fragment_offset)
		fw_fragment_remember(&work->packet, head->slot, head->generation);
	return FW_PASSED;
}

static __always_inline int fw_handle(struct __sk_buff *skb, __u32 direction)
{
	const struct fw_policy_key key = { .ifindex = skb->ifindex };
	const struct fw_head *head;
	__u32 zero = 0, slot;
	struct fw_state *state;
	struct fw_work *work;
	struct fw_view view;
	int ret;

	work = bpf_map_lookup_elem(&fw_work, &zero);
	if (!work)
		return FW_STOP;
	__builtin_memset(&work->packet, 0, sizeof(work->packet));
	work->rule = FW_NO_RULE;
	work->opened = 0;
	view.map = bpf_map_lookup_elem(&fw_policies, &key);
	if (!view.map) {
		fw_parse(skb, &work->packet, direction);
		fw_drop(&work->packet, 0, 0, FW_DROP_NO_POLICY, FW_NO_RULE);
		return FW_STOP;
	}
	head = (const void *)fw_line(&view, 0);
	if (!head)
		return FW_STOP;
	work->redirect = 0;
	slot = head->slot;
	state = bpf_map_lookup_elem(&fw_states, &slot);
	if (!state)
		return FW_STOP;
	ret = fw_judge(skb, &view, work, head, state, direction);
	/* The deciding rule counts, whether it allowed or denied. */
	fw_count_rule(&view, work, head);
	if (ret) {
		fw_drop(&work->packet, head->slot, head->generation, ret, work->rule);
		return FW_STOP;
	}
	if (work->opened && head->flags & FW_TELL_FLOWS)
		fw_tell_flow(&work->packet, head->slot, head->generation, work->opened - 1,
			     work->rule);
	__sync_fetch_and_add(&state->passed[direction], work->packet.segments);
	/* Past the bridge, whose netfilter hooks would take the socket off. */
	if (work->redirect)
		return bpf_redirect(work->redirect, BPF_F_INGRESS);
	return FW_GO_ON;
}

SEC("tcx/ingress")
int fw_from_container(struct __sk_buff *skb)
{
	return fw_handle(skb, FW_EGRESS);
}

SEC("tcx/egress")
int fw_to_container(struct __sk_buff *skb)
{
	return fw_handle(skb, FW_INGRESS);
}

/* Called by the agent, in its own time: see lib/flow.h. */
SEC("syscall")
int fw_sweep(struct fw_sweep_args *args)
{
	struct fw_sweep_work work = { .now = bpf_ktime_get_ns(), .slot = args->slot };
	struct fw_config *config;
	__u32 zero = 0;

	config = bpf_map_lookup_elem(&fw_config, &zero);
	if (config && !work.slot)
		config->swept = work.now;
	bpf_for_each_map_elem(&fw_flows, fw_sweep_one, &work, 0);
	bpf_for_each_map_elem(&fw_names, fw_sweep_name, &work, 0);
	args->deleted = work.deleted;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
