/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the firewall's kernel side. */
#ifndef HOODY_KERNEL_BPF_INTERNAL_H
#define HOODY_KERNEL_BPF_INTERNAL_H

#include "kernel/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define KNL_BPF_PATH_MAX	256

struct knl_bpf {
	struct bpf_object	*object;
	struct bpf_program	*programs[FW_DIRECTIONS];
	struct bpf_program	*sweeper;
	int			policies, states, flows, config, events, relay, members,
				names, tellers, strict;
				/* owned by object */
	struct ring_buffer	*ring;
	knl_bpf_event		*event;
	void			*event_context;
	uint32_t		flows_max, share;
	enum knl_bpf_hook	hook;
	char			pins[KNL_BPF_PATH_MAX - 64];
};

/* Puts the newest programs behind every pinned link, and drops dead ones. */
int knl_bpf_relink(struct knl_bpf *bpf);

#endif /* HOODY_KERNEL_BPF_INTERNAL_H */
