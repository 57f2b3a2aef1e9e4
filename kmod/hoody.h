/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the module share. Newcomers: main.c shows how a namespace
 * comes and goes, container.c is the registry, netlink.c its door, realip.c
 * the sockets that stand in for clients, deliver.c the way back to them, gate.c
 * the live syscall profiles.
 *
 * Locks and lifetimes are tabled in docs/locking.md; the words used there
 * stand beside the fields here.
 */
#ifndef _HOODY_H
#define _HOODY_H

#include <linux/hoody.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <linux/percpu.h>
#include <linux/rhashtable.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>

struct cgroup;
struct gate_member;
struct genl_family;
struct rtable;
struct rt6_info;

/* Buckets that say whether a service has connections of ours (live.h). */
#define HOODY_LIVE_BITS		11

/*
 * struct hoody_addr - an address as a key: IPv4 in the first word of @ip.
 * Compared as bytes, so every byte of it is set.
 */
struct hoody_addr {
	u32		family;		/* AF_INET or AF_INET6 */
	struct in6_addr	ip;
};

/*
 * struct hoody_policy - all that the kernel enforces for a container, as one
 * netlink message brought it. Never changed after it was published: a new
 * message makes a new one. Freed after a grace period.
 */
struct hoody_policy {
	struct rcu_head	rcu;
	u8		project[HOODY_ID_LEN];
	u64		generation;
	u64		cgroup;		/* id, 0: none */
	u32		flags;		/* enum hoody_container_flags */
	struct gate_member *gate;	/* NULL: no syscall profile; goes with the policy */
	unsigned int	addrs_count;
	struct hoody_addr addrs[2 * HOODY_MAX_ADDRS];
};

/*
 * struct hoody_container - a registered container: what stays the same from
 * one policy to the next.
 */
struct hoody_container {
	struct rhash_head	by_id;		/* writers: hoody_net.lock; readers: RCU */
	u8			id[HOODY_ID_LEN];	/* const */
	u32			slot;		/* const; key in registry->slots */
	struct hoody_policy __rcu *policy;	/* writers: hoody_net.lock; never NULL */
	struct rcu_head		rcu;
};

/*
 * struct hoody_claim - "this key belongs to that container": one per address
 * and one per cgroup. A reader that came by a claim checks it against the
 * container's policy, because claims and policy cannot change in one step.
 */
struct hoody_claim {
	struct rhash_head	node;		/* writers: hoody_net.lock; readers: RCU */
	struct hoody_addr	addr;		/* const; family 0: a claim of a cgroup */
	u64			cgroup;		/* const */
	struct hoody_container	*container;	/* const; outlives the claim by a grace period */
	struct rcu_head		rcu;
};

struct hoody_agent {
	struct cgroup	*cgroup;		/* const, referenced */
	u64		cgroup_id;		/* const */
	struct rcu_head	rcu;
};

/* struct hoody_live - connections of ours towards the services of a bucket. */
struct hoody_live {
	atomic_t	open;
	/*
	 * jiffies up to which the last connection may have left a TIME_WAIT
	 * entry. Meaningless while @open is not 0.
	 */
	unsigned long	until;
};

struct hoody_stats {
	u64	count[__HOODY_STAT_MAX];
};

/*
 * struct hoody_registry - the state of a namespace that uses the module; made
 * by its first command that writes, gone with the namespace.
 */
struct hoody_registry {
	struct net		*net;		/* const */
	struct rhashtable	by_id;		/* writers: hoody_net.lock; readers: RCU */
	struct rhashtable	by_addr;	/* likewise */
	struct rhashtable	by_cgroup;	/* likewise */
	struct xarray		slots;		/* likewise; order of dumps */
	u32			slot_next;	/* hoody_net.lock */
	u32			containers;	/* writers: hoody_net.lock */
	u32			changes;	/* writers: hoody_net.lock; for NLM_F_DUMP_INTR */
	struct hoody_agent __rcu *agent;	/* writers: hoody_net.lock; NULL: none */
	struct list_head	profiles;	/* hoody_net.lock */
	u32			profiles_count;	/* hoody_net.lock */
	bool			gated;		/* hoody_net.lock; a container had a profile once */

	struct hoody_stats __percpu *stats;	/* any context */
	atomic_t		open;		/* real-IP sockets */
	struct hoody_live	*live;		/* const pointer; 2^HOODY_LIVE_BITS */
	/* Input routes to this host that depend on no address and no table. */
	struct rtable * __percpu *local4;	/* const */
	struct rt6_info * __percpu *local6;	/* const */
	struct nf_hook_ops	hooks[3];	/* const once registered */
};

struct hoody_net {
	struct mutex lock;			/* every writer of the namespace */
	struct hoody_registry __rcu *registry;	/* set once under @lock; NULL: not used yet */
};

/* main.c */
struct hoody_net *hoody_main_net(const struct net *net);
/* The registry or NULL. It lives as long as the namespace: the caller holds that. */
struct hoody_registry *hoody_main_registry(const struct net *net);

static inline void hoody_stat_add(struct hoody_registry *registry, enum hoody_stat stat, s64 n)
{
	this_cpu_add(registry->stats->count[stat], n);
}

static inline void hoody_stat_inc(struct hoody_registry *registry, enum hoody_stat stat)
{
	hoody_stat_add(registry, stat, 1);
}

/* container.c */
struct hoody_registry *hoody_container_registry_create(struct net *net);
void hoody_container_registry_free(struct hoody_registry *registry);
int hoody_container_set(struct hoody_registry *registry, const u8 *id, struct hoody_policy *policy,
			enum hoody_set_mode mode, struct netlink_ext_ack *extack,
			struct hoody_addr *conflict);
int hoody_container_delete(struct hoody_registry *registry, const u8 *id, u64 generation,
			   struct hoody_policy *gone, struct netlink_ext_ack *extack);
struct hoody_container *hoody_container_find(struct hoody_registry *registry, const u8 *id);
struct hoody_policy *hoody_container_find_addr(struct hoody_registry *registry,
					       const struct hoody_addr *addr);
/* Most containers that a namespace may register. */
u32 hoody_container_max(void);
bool hoody_policy_has_addr(const struct hoody_policy *policy, const struct hoody_addr *addr);

/* realip.c */
int hoody_realip_init(void);
void hoody_realip_exit(void);
bool hoody_realip_owns(const struct sock *sk);
bool hoody_realip_addr_usable(struct net *net, const struct hoody_addr *addr, bool *own);

/* deliver.c */
int hoody_deliver_net_init(struct hoody_registry *registry);
void hoody_deliver_net_unhook(struct hoody_registry *registry);
void hoody_deliver_net_exit(struct hoody_registry *registry);

/* netlink.c */
extern struct genl_family hoody_family;
int hoody_netlink_init(void);
void hoody_netlink_exit(void);
/* Takes hoody_net.lock; makes the registry where it is missing. NULL: no memory. */
struct hoody_registry *hoody_netlink_lock(struct net *net);
void hoody_netlink_unlock(struct hoody_registry *registry);

#endif /* _HOODY_H */
