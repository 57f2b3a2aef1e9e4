/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live buckets: which services (address and port of a container) have
 * connections of ours, or may still have a TIME_WAIT entry of one. realip.c
 * counts, deliver.c asks.
 *
 * They make the packet hook cheap for everything that is not ours: one load
 * decides, also for what a container with such connections opens itself. A
 * bucket that two services share costs a look-up that finds nothing, no more.
 */
#ifndef _HOODY_LIVE_H
#define _HOODY_LIVE_H

#include <linux/hash.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "hoody.h"

static inline struct hoody_live *hoody_live4(struct hoody_registry *registry, __be32 addr,
					     __be16 port)
{
	u32 key = (__force u32)addr ^ (__force u16)port;

	return &registry->live[hash_32(key, HOODY_LIVE_BITS)];
}

static inline struct hoody_live *hoody_live6(struct hoody_registry *registry,
					     const struct in6_addr *addr, __be16 port)
{
	const __be32 *word = addr->s6_addr32;
	u32 key = (__force u32)(word[0] ^ word[1] ^ word[2] ^ word[3]) ^ (__force u16)port;

	return &registry->live[hash_32(key, HOODY_LIVE_BITS)];
}

static inline bool hoody_live_test(const struct hoody_live *live)
{
	return atomic_read(&live->open) || time_before(jiffies, READ_ONCE(live->until));
}

/* Of a connected socket or a TIME_WAIT entry. A disconnect takes the port away. */
static inline struct hoody_live *hoody_live_of(struct hoody_registry *registry,
					       const struct sock *sk)
{
	if (sk->sk_family == AF_INET)
		return hoody_live4(registry, sk->sk_daddr, sk->sk_dport);
	return hoody_live6(registry, &sk->sk_v6_daddr, sk->sk_dport);
}

static inline void hoody_live_add(struct hoody_registry *registry, struct hoody_live *live)
{
	atomic_inc(&registry->open);
	atomic_inc(&live->open);
	/* Before the SYN goes out: its answer must find the bucket alive. */
	smp_mb__after_atomic();
}

/* TIME_WAIT from now on, and one tick: what the container repeats is still ours. */
static inline unsigned long hoody_live_until(void)
{
	return jiffies + TCP_TIMEWAIT_LEN + 1;
}

static inline void hoody_live_remove(struct hoody_registry *registry, struct hoody_live *live)
{
	WRITE_ONCE(live->until, hoody_live_until());
	/* One who sees the bucket without connections has to see until when it lives. */
	smp_mb__before_atomic();
	atomic_dec(&live->open);
	atomic_dec(&registry->open);
}

#endif /* _HOODY_LIVE_H */
