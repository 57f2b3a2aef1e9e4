/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one file that tests a kernel version. Each entry names what changed and
 * when, so that it can be dropped with the last kernel that needs it.
 */
#ifndef _HOODY_COMPAT_H
#define _HOODY_COMPAT_H

#include <linux/mm.h>
#include <linux/sched/coredump.h>
#include <linux/version.h>
#include <net/inet_hashtables.h>
#include <net/inet6_hashtables.h>
#include <net/tcp.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#error "hoody supports Linux 6.12 and newer"
#endif

/*
 * The established look-ups lost their table argument in 6.18: there is one
 * table per namespace, found through the namespace.
 */
static inline struct sock *hoody_lookup4(struct net *net, __be32 saddr, __be16 sport,
					 __be32 daddr, __be16 dport, int dif)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	return __inet_lookup_established(net, net->ipv4.tcp_death_row.hashinfo, saddr, sport,
					 daddr, ntohs(dport), dif, 0);
#else
	return __inet_lookup_established(net, saddr, sport, daddr, ntohs(dport), dif, 0);
#endif
}

static inline struct sock *hoody_lookup6(struct net *net, const struct in6_addr *saddr,
					 __be16 sport, const struct in6_addr *daddr, __be16 dport,
					 int dif)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	return __inet6_lookup_established(net, net->ipv4.tcp_death_row.hashinfo, saddr, sport,
					  daddr, ntohs(dport), dif, 0);
#else
	return __inet6_lookup_established(net, saddr, sport, daddr, ntohs(dport), dif, 0);
#endif
}

/* In-kernel socket addresses have a type of their own since 6.19. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define hoody_sockaddr	sockaddr
#else
#define hoody_sockaddr	sockaddr_unsized
#endif

/* An address space's flags are a bitmap with functions of its own since 6.18. */
static inline bool hoody_mm_flag_test(struct mm_struct *mm, int flag)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	return test_bit(flag, &mm->flags);
#else
	return mm_flags_test(flag, mm);
#endif
}

static inline void hoody_mm_flag_set(struct mm_struct *mm, int flag)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	set_bit(flag, &mm->flags);
#else
	mm_flags_set(flag, mm);
#endif
}

static inline void hoody_mm_flag_clear(struct mm_struct *mm, int flag)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	clear_bit(flag, &mm->flags);
#else
	mm_flags_clear(flag, mm);
#endif
}

#endif /* _HOODY_COMPAT_H */
