/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's end of the generic-netlink family "hoody" (linux/hoody.h): the
 * only place of the agent that speaks to the module.
 *
 * Requests are answered by the kernel before they return (a few microseconds),
 * and a lost answer ends them after KNL_TIMEOUT seconds. The module may appear
 * and vanish while the agent runs: knl_fd() turns readable then.
 */
#ifndef HOODY_KERNEL_GENL_H
#define HOODY_KERNEL_GENL_H

#include "lib/address.h"
#include "lib/id.h"

#include <linux/hoody.h>
#include <stdbool.h>
#include <stdint.h>

#define KNL_TIMEOUT		3
#define KNL_VERSION_MAX		64
#define KNL_ADDRESSES_MAX	(2 * HOODY_MAX_ADDRS)

enum knl_state {
	KNL_ABSENT,		/* no such family: the module is not loaded */
	KNL_INCOMPATIBLE,	/* it speaks another version of the protocol */
	KNL_READY,
};

/* What the kernel keeps of one container. */
struct knl_container {
	uint8_t		id[ID_LEN];
	uint8_t		project[ID_LEN];
	uint64_t	generation;
	uint64_t	cgroup_id;	/* 0: none */
	uint32_t	flags;		/* enum hoody_container_flags */
	char		profile[HOODY_PROFILE_NAME_MAX + 1];	/* empty: none */
	uint32_t	gate_mode;	/* enum hoody_gate_mode */
	unsigned int	addresses_count;
	struct address	addresses[KNL_ADDRESSES_MAX];
};

struct knl_info {
	char		version[KNL_VERSION_MAX];
	uint32_t	protocol;
	uint64_t	agent_cgroup;
	uint32_t	containers, max_containers;
};

/* A call that a profile did not freely allow. */
struct knl_denial {
	uint8_t		id[ID_LEN];
	uint32_t	mode;		/* enum hoody_gate_mode */
	uint32_t	pid;
	char		comm[16];
	uint32_t	arch, nr;
	uint64_t	args[6];
	uint32_t	action;		/* enum hoody_action | errno << 16 */
	uint64_t	left_out;	/* events not sent since the last one */
};

struct knl;

/* knl_open(): works without the module as well. NULL with errno. */
struct knl *knl_open(void);
void knl_close(struct knl *knl);

/*
 * knl_probe(): looks whether the family is there; knl_reason() says in words
 * why it is not KNL_READY.
 */
enum knl_state knl_probe(struct knl *knl);
enum knl_state knl_state(const struct knl *knl);
const char *knl_reason(const struct knl *knl);
const struct knl_info *knl_info(const struct knl *knl);

/* Readable when families come or go. knl_events() empties it: true: ours did. */
int knl_fd(const struct knl *knl);
bool knl_events(struct knl *knl);

/*
 * Requests: 0 or a negative errno; knl_fault() has the kernel's own words.
 * knl_container_set() creates or replaces. knl_container_del() is content when
 * there is none. knl_dump() calls @each for every container; where the dump was
 * disturbed it starts again with @restart.
 */
int knl_agent_set(struct knl *knl, uint64_t cgroup_id);
int knl_container_set(struct knl *knl, const struct knl_container *container);
int knl_container_del(struct knl *knl, const uint8_t id[ID_LEN]);
/* Only what the kernel has under this id: -ENOENT where it has nothing. */
int knl_container_get(struct knl *knl, const uint8_t id[ID_LEN], struct knl_container *container);
int knl_dump(struct knl *knl, void (*restart)(void *context),
	     void (*each)(void *context, const struct knl_container *container), void *context);
int knl_stats(struct knl *knl,
	      void (*each)(void *context, const char *name, uint64_t value), void *context);
const char *knl_fault(const struct knl *knl);

/*
 * Syscall profiles, genl_profile.c. knl_profile_set() loads or replaces; where a
 * newer generation is loaded it goes on from that one, and where the same table is
 * loaded it does nothing. knl_profile_del() is content when there is none; -EBUSY
 * while a container has it. knl_profile_dump() and knl_gate_counts() call @each for
 * every profile, and for every call of a container that was not freely allowed.
 */
int knl_profile_set(struct knl *knl, const char *name, uint64_t generation,
		    const struct hoody_table *table);
int knl_profile_del(struct knl *knl, const char *name);
int knl_profile_dump(struct knl *knl,
		     void (*each)(void *context, const char *name, uint32_t users), void *context);
int knl_gate_counts(struct knl *knl, const uint8_t id[ID_LEN],
		    void (*each)(void *context, uint32_t arch, uint32_t nr, uint64_t count),
		    void *context);

/*
 * Events of the module: knl_events_fd() is readable when there are some, -1 where
 * they cannot be had; knl_denials() takes all of them.
 */
int knl_events_fd(const struct knl *knl);
void knl_denials(struct knl *knl,
		 void (*each)(void *context, const struct knl_denial *denial), void *context);

#endif /* HOODY_KERNEL_GENL_H */
