/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall programs in the kernel: load, pin, attach, and what is written to
 * and read from their maps. What a policy means is not known here: images come
 * ready from fw_compile().
 *
 * Everything is pinned below one directory of a bpf file system, and stays in
 * force when this process ends; the next one takes it over, with its own newer
 * programs. Maps are pinned under the version of their layout.
 *
 *	PINS/v<layout>/<map>		PINS/links/<ifindex>-<egress|ingress>
 *	PINS/v<layout>/images/<ifindex>	the policy in force there
 *
 * One thread at a time. Functions return 0 or a negative errno.
 */
#ifndef HOODY_KERNEL_BPF_H
#define HOODY_KERNEL_BPF_H

#include "firewall/policy.h"

#include <stddef.h>
#include <stdint.h>

#define KNL_BPF_FAULT_MAX	512
#define KNL_BPF_FLOWS		2097152		/* default size of the flow table */
#define KNL_BPF_CONTAINERS	1024		/* default number of quotas it is divided by */

enum knl_bpf_hook {
	KNL_BPF_AUTO,		/* tcx, and a clsact qdisc where the kernel has no tcx */
	KNL_BPF_TCX,
	KNL_BPF_CLSACT,
};

struct knl_bpf_options {
	const char		*pins;		/* "/sys/fs/bpf/hoody" */
	uint32_t		flows;		/* 0: default */
	uint32_t		containers;	/* 0: default */
	enum knl_bpf_hook	hook;
};

struct knl_bpf;

/* Loads or takes over. @fault: what went wrong, for people. */
int knl_bpf_open(const struct knl_bpf_options *options, struct knl_bpf **out,
		 char fault[KNL_BPF_FAULT_MAX]);
/* What is in force stays in force. */
void knl_bpf_close(struct knl_bpf *bpf);

/* Removes everything below @pins: nothing is in force afterwards. */
int knl_bpf_remove(const char *pins);

/*
 * knl_bpf_attach(): from its return on the interface passes only what the
 * policy committed for it allows; without one nothing. Again: no change, but for
 * the newest programs. -ENODEV where there is no such interface.
 */
int knl_bpf_attach(struct knl_bpf *bpf, uint32_t ifindex);
/* Also forgets what is left of an interface that is gone. */
int knl_bpf_detach(struct knl_bpf *bpf, uint32_t ifindex);

/* Counters of a policy's rules, as of when it was replaced. */
struct knl_bpf_counters {
	uint64_t		generation;
	uint32_t		count;
	struct fw_counter	*counters;	/* free() */
};

/*
 * knl_bpf_commit(): puts @image in force on the interface in one step; every
 * packet is judged by the old or by the new policy, and on return none by the
 * old. @old (may be NULL) gets the final counters of what was replaced.
 * -ENOSPC: its flow quotas are more than the container's share of the table, or
 * the table of policies is full.
 */
int knl_bpf_commit(struct knl_bpf *bpf, uint32_t ifindex, const struct fw_image *image,
		   struct knl_bpf_counters *old);

/* No policy any more: the interface, while attached, passes nothing. */
int knl_bpf_withdraw(struct knl_bpf *bpf, uint32_t ifindex, struct knl_bpf_counters *old);

/* The running counters; -ENOENT without a policy. */
int knl_bpf_counters(struct knl_bpf *bpf, uint32_t ifindex, struct knl_bpf_counters *out);

/* Every policy in force: taken over from an earlier process, or committed. */
typedef void knl_bpf_image(void *context, uint32_t ifindex, const struct fw_header *header);
int knl_bpf_images(struct knl_bpf *bpf, knl_bpf_image *each, void *context);

/*
 * Whose addresses are containers': without a rule only gateways of one project
 * reach its others. knl_bpf_members_keep() forgets all that are not @wanted.
 * -ENOSPC: there are FW_MEMBERS_MAX.
 */
typedef bool knl_bpf_wanted(void *context, const struct fw_member_key *key);
int knl_bpf_member_set(struct knl_bpf *bpf, const struct fw_member_key *key,
		       const struct fw_member *member);
int knl_bpf_member_delete(struct knl_bpf *bpf, const struct fw_member_key *key);
int knl_bpf_members_keep(struct knl_bpf *bpf, knl_bpf_wanted *wanted, void *context);

/*
 * Addresses of names that rules allow, see struct fw_name. -ENOSPC: there are
 * FW_NAMES_MAX; knl_bpf_name_get(): -ENOENT. Sweeping takes out what is over.
 */
int knl_bpf_name_set(struct knl_bpf *bpf, const struct fw_name_key *key,
		     const struct fw_name *name);
int knl_bpf_name_get(struct knl_bpf *bpf, const struct fw_name_key *key, struct fw_name *name);
int knl_bpf_name_delete(struct knl_bpf *bpf, const struct fw_name_key *key);

int knl_bpf_state(struct knl_bpf *bpf, uint32_t slot, struct fw_state *state);
/* How much was told of its new flows. */
int knl_bpf_teller(struct knl_bpf *bpf, uint32_t slot, struct fw_teller *teller);

/*
 * What FW_EXIT_RELAY steers to: an unconnected or listening socket with
 * IP_TRANSPARENT. It leaves the table by itself when it is closed.
 */
int knl_bpf_relay_set(struct knl_bpf *bpf, enum fw_relay_socket which, int sock);

/* Deletes the slot's flows and counters, before another container gets it. */
int knl_bpf_slot_clear(struct knl_bpf *bpf, uint32_t slot);

/*
 * knl_bpf_sweep(): takes idle flows out of the table; to be called every 30
 * seconds (the programs do it themselves, later and while a packet waits, when
 * nobody does). Returns how many, or a negative errno.
 */
int knl_bpf_sweep(struct knl_bpf *bpf);

/* Whose connections to containers pass, and how many drops are told; not @swept. */
int knl_bpf_configure(struct knl_bpf *bpf, const struct fw_config *config);

/* Drops and new flows: a descriptor to poll for reading, and what empties it. */
typedef void knl_bpf_event(void *context, const struct fw_event *event);
int knl_bpf_events_open(struct knl_bpf *bpf, knl_bpf_event *event, void *context);
int knl_bpf_events_read(struct knl_bpf *bpf);

/* The program of a direction, for tests that run it on packets of their own. */
int knl_bpf_program(struct knl_bpf *bpf, enum fw_direction direction);

#endif /* HOODY_KERNEL_BPF_H */
