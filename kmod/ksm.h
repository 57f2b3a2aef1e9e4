/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory merging, between its files: ksm.c keeps which containers are marked
 * and walks the processes of the host, ksm_mm.c changes one address space,
 * netlink_ksm.c is the door.
 *
 * One mutex, ksm_lock, orders all that changes marks, for the whole host: what
 * the kernel merges, it merges host-wide. It is taken inside hoody_net.lock.
 * Address spaces are changed by one worker only, which holds no lock of ours
 * meanwhile.
 */
#ifndef _HOODY_KSM_H
#define _HOODY_KSM_H

#include <linux/hash.h>
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <net/netlink.h>

#include "hoody.h"

/* What a command asks for; names are NUL-terminated, as a process carries them. */
struct hoody_ksm_wish {
	u8		domain[HOODY_ID_LEN];
	unsigned int	names_count;
	char		names[HOODY_KSM_NAMES_MAX][TASK_COMM_LEN];
};

/* struct hoody_ksm_mark - "the processes below this cgroup are merged", or were. */
struct hoody_ksm_mark {
	struct list_head	node;		/* ksm_lock */
	struct hlist_node	by_cgroup;	/* writers: ksm_lock; readers: RCU */
	struct hoody_registry	*registry;	/* ksm_lock; a key; NULL: its container went */
	u8			id[HOODY_ID_LEN];	/* const */
	struct cgroup		*cgroup;	/* const, referenced */
	bool			on;		/* writers: ksm_lock; readers: the worker */
	struct hoody_ksm_wish	wish;		/* ksm_lock; domain: const */
	u64			changed;	/* ksm_lock; the walk since the last command */
	bool			settled;	/* ksm_lock; a whole walk had nothing to do */
	u32			stopped;	/* ksm_lock; enum hoody_ksm_state, or 0 */
	u64			count[__HOODY_KSM_COUNT_MAX];	/* ksm_lock; as of the last walk */
	/* The worker's, for the walk under way: */
	u64			walk[__HOODY_KSM_COUNT_MAX];
	u64			changes;	/* address spaces that it changed, or could not */
	u32			walk_stopped;
	struct rcu_head		rcu;
};

#define KSM_BITS	10
extern struct mutex ksm_lock;
extern struct list_head ksm_marks;			/* ksm_lock */
extern struct hlist_head ksm_by_cgroup[1 << KSM_BITS];	/* writers: ksm_lock; readers: RCU */

static inline struct hlist_head *ksm_bucket(const struct cgroup *cgroup)
{
	return &ksm_by_cgroup[hash_ptr(cgroup, KSM_BITS)];
}

/* ksm.c; the registry's lock is held by the commands */
int hoody_ksm_set(struct hoody_registry *registry, const u8 *id, u64 cgroup,
		  const struct hoody_ksm_wish *wish, struct netlink_ext_ack *extack);
int hoody_ksm_clear(struct hoody_registry *registry, const u8 *id);
/* The container or its cgroup has gone: its mark outlives it until all is undone. */
void hoody_ksm_orphan(struct hoody_registry *registry, const u8 *id);
/*
 * Calls @each with the marks of @registry from number @from on, under ksm_lock,
 * until it returns non-zero; @id narrows it to one. How many it was done with.
 */
unsigned int hoody_ksm_each(struct hoody_registry *registry, const u8 *id, unsigned int from,
			    int (*each)(void *context, const struct hoody_ksm_mark *mark),
			    void *context);
enum hoody_ksm_state hoody_ksm_state(const struct hoody_ksm_mark *mark);

/* ksm_walk.c */
int hoody_ksm_init(void);
void hoody_ksm_exit(void);
/* Under ksm_lock: the walk that runs, or that comes next. */
u64 ksm_walk_number(void);
void ksm_walk_request(void);

/* ksm_mm.c */
enum ksm_mm_result {
	KSM_MM_NOTHING,		/* it was so already */
	KSM_MM_CHANGED,
	KSM_MM_BUSY,		/* its lock could not be had: another walk tries again */
	KSM_MM_NO_MEMORY,	/* nothing or not all was done: no memory for the kernel */
	KSM_MM_CGROUP_LIMIT,	/* not all unmerged: a cgroup has no room for the copies */
	KSM_MM_HOST_LIMIT,	/* not all unmerged: the host has no room */
};

enum ksm_mm_result ksm_mm_mark(struct mm_struct *mm, u64 *areas);
/* @locked_only: nothing but areas that are locked in memory. */
enum ksm_mm_result ksm_mm_unmark(struct mm_struct *mm, bool locked_only);

/* netlink_ksm.c */
struct genl_info;
struct netlink_callback;
extern const struct nla_policy hoody_ksm_policy[HOODY_A_MAX + 1];
int hoody_netlink_ksm_set(struct sk_buff *skb, struct genl_info *info);
int hoody_netlink_ksm_get(struct sk_buff *skb, struct genl_info *info);
int hoody_netlink_ksm_dump(struct sk_buff *skb, struct netlink_callback *cb);

#endif /* _HOODY_KSM_H */
