/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules about names. The forwarder of the agent answers a container's queries, and
 * before it does the addresses are in the map fw_names, with what the rules open
 * there: for as long as the answer says, and for flows that are open by then until
 * they end. A sweep notes which addresses have flows (fw_keep_name()) and forgets
 * those that are neither (fw_sweep_name()).
 */
#ifndef HOODY_BPF_NAME_H
#define HOODY_BPF_NAME_H

#include "flow.h"

#define FW_PORT_DNS		53
#define FW_PORT_DNS_TLS		853

/* A flow that the container opens to a server of names. */
static __always_inline int fw_is_dns(const struct fw_flow_key *key)
{
	return key->remote_port == bpf_htons(FW_PORT_DNS) &&
	       (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP);
}

/*
 * The rule about a name that opens the flow of @flow, or FW_NO_RULE. @known: it is
 * open already.
 */
static __noinline __u32 fw_ask_name(const struct fw_flow_key *flow, __u64 generation, __u32 known)
{
	const __u32 port = bpf_ntohs(flow->remote_port);
	struct fw_name_key key;
	struct fw_name *name;
	__u64 now;
	__u32 i;

	fw_name_key_of(flow, generation, &key);
	name = bpf_map_lookup_elem(&fw_names, &key);
	if (!name)
		return FW_NO_RULE;
	now = bpf_ktime_get_ns();
	known = known && now < name->linger;
	fw_repeat(i, FW_OPENINGS_MAX)
	{
		const struct fw_opening *opening = &name->openings[i & (FW_OPENINGS_MAX - 1)];

		if (i >= name->count)
			break;
		if ((opening->protocol && opening->protocol != flow->protocol) ||
		    port < opening->port_first || port > opening->port_last ||
		    (!known && now >= opening->expires))
			continue;
		name->linger = now + FW_NAME_LINGER;
		return opening->rule;
	}
	return FW_NO_RULE;
}

static long fw_sweep_name(void *map, const struct fw_name_key *key, struct fw_name *name,
			  struct fw_sweep_work *work)
{
	__u32 i;

	if (key->slot != work->slot) {
		if (work->now < name->linger)
			return 0;
		for (i = 0; i < FW_OPENINGS_MAX; i++) {
			if (i < name->count && work->now < name->openings[i].expires)
				return 0;
		}
	}
	bpf_map_delete_elem(&fw_names, key);
	return 0;
}

#endif /* HOODY_BPF_NAME_H */
