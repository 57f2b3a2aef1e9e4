/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The syscall gate, between its files: gate_calls.c places hooks on system
 * call functions, gate_profile.c keeps profiles and checks tables, gate.c
 * finds the container of a calling task and decides, gate_event.c reports.
 *
 * One mutex, gate_lock, orders everything that changes hooks, tables or
 * members, for the whole host: hooks are the host's. It is taken inside
 * hoody_net.lock. What a calling task reads is under RCU.
 */
#ifndef _HOODY_GATE_H
#define _HOODY_GATE_H

#include <linux/bitmap.h>
#include <linux/ftrace.h>
#include <linux/refcount.h>
#include <net/netlink.h>

#include "hoody.h"

/* Every call of every architecture, as one number. */
#define GATE_CALLS	(HOODY_ARCHS * HOODY_TABLE_CALLS)

static inline unsigned int gate_call(unsigned int arch, unsigned int nr)
{
	return arch * HOODY_TABLE_CALLS + nr;
}

/*
 * struct gate_cond - a condition, ready to be tried. It holds where
 *	((argument & mask) - low) <= span
 * which is what every operator comes to. The conditions of a call stand in the
 * order of its rules, those of one rule behind each other: with one that does not
 * hold the rule is over, and with the last one that does the call is decided. Rules
 * that come to the same are one where that is seen.
 */
struct gate_cond {
	u64	mask, low, span;
	u16	offset;			/* of the argument in struct pt_regs */
	u8	rest;			/* conditions of its rule that come after it */
	u8	action;			/* of its rule */
};

/* struct gate_check - the conditions of one call: from @first up to @end. */
struct gate_check {
	const struct gate_cond	*first, *end;
	u8			otherwise;	/* the action where no rule holds */
};

/* struct gate_table - a checked profile. Never changed; freed after a grace period. */
struct gate_table {
	struct rcu_head			rcu;
	DECLARE_BITMAP(restricted, GATE_CALLS);	/* what it does not freely allow */
	struct gate_check		*checks[HOODY_ARCHS];
	void				*parts;	/* what @checks points into */
	struct hoody_table		head;	/* and the parts behind it, as they came */
};

/* struct hoody_profile - a profile by name. References: its registry and its members. */
struct hoody_profile {
	struct list_head	node;		/* hoody_net.lock */
	char			name[HOODY_PROFILE_NAME_MAX + 1];	/* const */
	u64			generation;	/* hoody_net.lock */
	u32			users;		/* writers: gate_lock; members attached */
	struct gate_table __rcu	*table;		/* writers: gate_lock; readers: RCU; never NULL */
	struct rcu_head		rcu;
};

/*
 * struct gate_counts - what a container's calls came to. Passed on from member
 * to member, so that a new profile or mode does not reset it.
 */
struct gate_counts {
	refcount_t	refs;
	struct rcu_head	rcu;
	atomic_t	window_sent;		/* events of this second */
	atomic_t	left_out;		/* events left out since the last one */
	unsigned long	window;			/* jiffies; racy, and harmless so */
	atomic64_t	calls[GATE_CALLS];
};

/* struct gate_member - "the tasks below this cgroup have that profile". */
struct gate_member {
	struct hlist_node	node;		/* writers: gate_lock; readers: RCU */
	struct cgroup		*cgroup;	/* const, referenced */
	struct hoody_profile	*profile;	/* const; it cannot go while it has users */
	struct gate_counts	*counts;	/* referenced; set before it is published */
	struct hoody_registry	*registry;	/* const; outlives the member's last reader */
	u8			id[HOODY_ID_LEN];	/* const */
	u32			mode;		/* const, enum hoody_gate_mode */
	struct rcu_head		rcu;
};

/* What was decided about a call: enum hoody_action | errno << 16. */
static inline u32 gate_verdict(const struct hoody_table_action *action)
{
	return action->kind | (u32)action->error << 16;
}

/* struct hoody_gate_event - a call that a profile did not freely allow. */
struct hoody_gate_event {
	u8	id[HOODY_ID_LEN];
	u32	mode;
	u32	pid;
	char	comm[TASK_COMM_LEN];
	u32	arch;
	u32	nr;
	u32	verdict;		/* enum hoody_action | errno << 16 */
	u32	left_out;
	u64	args[6];
};

/* gate.c */
extern struct mutex gate_lock;
/* The six arguments of a call, as it will read them. */
void gate_call_args(const struct pt_regs *regs, unsigned int arch, u64 *args);
/* Where argument @arg, 0 to 5, lies in struct pt_regs. */
unsigned int gate_arg_offset(unsigned int arch, unsigned int arg);
struct gate_member *hoody_gate_create(struct hoody_registry *registry, const u8 *id,
				      const char *name, u32 mode, u64 cgroup,
				      struct netlink_ext_ack *extack);
void hoody_gate_discard(struct gate_member *member);
void hoody_gate_switch(struct gate_member *before, struct gate_member *after);
const char *hoody_gate_profile(const struct gate_member *member, u32 *mode);
/* Calls that were not freely allowed; @call counts through all architectures. */
u64 hoody_gate_count(const struct gate_member *member, unsigned int call);
u32 hoody_gate_hooked(void);
void hoody_gate_registry_exit(struct hoody_registry *registry);
void hoody_gate_exit(void);

/* gate_calls.c; all of it under gate_lock */
void gate_hook(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
	       struct ftrace_regs *fregs);
int gate_calls_get(const unsigned long *calls, u32 users, struct netlink_ext_ack *extack);
void gate_calls_put(const unsigned long *calls, u32 users);
u32 gate_calls_hooked(void);
void gate_calls_exit(void);
/* The 64-bit call that x32's own call @nr (512 and up) stands for, or @nr. */
unsigned int gate_calls_x32(unsigned int nr);

/* gate_profile.c */
struct hoody_profile *hoody_profile_find(struct hoody_registry *registry, const char *name);
int hoody_profile_set(struct hoody_registry *registry, const char *name, u64 generation,
		      const struct nlattr *attr, enum hoody_set_mode mode,
		      struct netlink_ext_ack *extack);
int hoody_profile_delete(struct hoody_registry *registry, const char *name, u64 generation,
			 struct netlink_ext_ack *extack);
void hoody_profile_free_all(struct hoody_registry *registry);

/* gate_event.c */
void gate_event_report(struct gate_member *member, unsigned int arch, unsigned int nr,
		       const struct pt_regs *regs, u32 verdict);
void gate_event_flush(void);

/* netlink_profile.c */
struct genl_info;
struct netlink_callback;
extern const struct nla_policy hoody_profile_policy[HOODY_A_MAX + 1];
extern const struct nla_policy hoody_profile_name_policy[HOODY_A_MAX + 1];
int hoody_netlink_profile_set(struct sk_buff *skb, struct genl_info *info);
int hoody_netlink_profile_del(struct sk_buff *skb, struct genl_info *info);
int hoody_netlink_profile_get(struct sk_buff *skb, struct genl_info *info);
int hoody_netlink_profile_dump(struct sk_buff *skb, struct netlink_callback *cb);
int hoody_netlink_gate_dump(struct sk_buff *skb, struct netlink_callback *cb);
void hoody_netlink_gate_event(struct hoody_registry *registry,
			      const struct hoody_gate_event *event);
int hoody_netlink_gate_parse(struct genl_info *info, const char **name, u32 *mode);
int hoody_netlink_gate_put(struct sk_buff *skb, const struct gate_member *member);

#endif /* _HOODY_GATE_H */
