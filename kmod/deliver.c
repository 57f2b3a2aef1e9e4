// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way back: what a container sends to a client that one of our sockets
 * stands in for is delivered to that socket instead of being forwarded.
 *
 * One PRE_ROUTING hook per family, in namespaces that have a registry and in no
 * other. It asks in this order, the cheapest first: TCP (or an ICMP error)? from
 * a service with live connections? a socket in the established table? one
 * of ours, or the TIME_WAIT entry that one of ours left? Only then the packet
 * gets the socket and an input route to this host. A third hook, where packets
 * leave a bridge, is for br_netfilter's sake.
 *
 * The route is made once per CPU and depends on nothing: not on an address of
 * the host, not on a routing table, not on rp_filter. So it holds while routes
 * are flushed, and with early demultiplexing switched off.
 *
 * Fail direction: a packet that is not recognised takes the path that it would
 * take without the module. The hook allocates nothing.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/addrconf.h>
#include <net/inet_timewait_sock.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>

#include "compat.h"
#include "hoody.h"
#include "live.h"

/* A route stays valid over changes of the tables: nothing of it came from them. */
static struct dst_entry *local4(struct hoody_registry *registry)
{
	struct rtable *rt = *raw_cpu_ptr(registry->local4);
	int genid = rt_genid_ipv4(registry->net);

	if (unlikely(READ_ONCE(rt->rt_genid) != genid))
		WRITE_ONCE(rt->rt_genid, genid);
	return &rt->dst;
}

static struct dst_entry *local6(struct hoody_registry *registry)
{
	struct rt6_info *rt = *raw_cpu_ptr(registry->local6);
	int sernum = rt_genid_ipv6(registry->net);

	if (unlikely(READ_ONCE(rt->sernum) != sernum))
		WRITE_ONCE(rt->sernum, sernum);
	return &rt->dst;
}

/*
 * The established table also holds other programs' sockets, request sockets and
 * TIME_WAIT entries. Of the latter the operations are gone; a transparent one
 * towards a container is ours, or another's that wants the packet here as well.
 */
static bool is_ours(const struct sock *sk)
{
	if (sk_fullsock(sk))
		return hoody_realip_owns(sk);
	return sk->sk_state == TCP_TIME_WAIT && inet_twsk(sk)->tw_transparent;
}

/*
 * br_netfilter shows a bridged packet to PRE_ROUTING inside the bridge and hides
 * it from there when it comes up to IP. What would be attached to it inside does
 * not survive the way up; hook_bridge() sees to it that it is shown again.
 */
static bool is_bridged(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	return skb_ext_exist(skb, SKB_EXT_BRIDGE_NF);
#else
	return false;
#endif
}

static void route_here(struct sk_buff *skb, struct dst_entry *dst)
{
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, dst);
}

/*
 * A TIME_WAIT entry of ours got a packet: what it answers may start its time
 * anew, so the bucket has to live on with it. A SYN is no part of the old
 * connection: the container opens one of its own, from its service's port to
 * the client's. TCP would offer it to this host's listeners; it is the client's.
 * Returns whether the packet is to be delivered; without, @sk is gone.
 */
static bool time_wait(struct hoody_registry *registry, struct sock *sk, bool syn)
{
	struct hoody_live *live;

	if (syn) {
		inet_twsk_deschedule_put(inet_twsk(sk));
		return false;
	}
	live = hoody_live_of(registry, sk);
	WRITE_ONCE(live->until, hoody_live_until());
	return true;
}

/* Our packet leaves the bridge: without br_netfilter's note the hooks see it anew. */
static void show_again(struct hoody_registry *registry, struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	skb_ext_del(skb, SKB_EXT_BRIDGE_NF);
#endif
	hoody_stat_inc(registry, HOODY_STAT_REALIP_BRIDGED);
}

/*
 * A socket of ours waits for the answer to its SYN and gets a segment of another
 * connection: the container has one of its own, from its service's port to this
 * very address and port. TCP would reset that one (RFC 9293 3.10.7.3). The socket
 * learns that its pair is taken and is closed. The segment is dropped, and comes
 * again if it had data: as long as the socket is there, a rule like nft's "socket
 * transparent" would bring it here instead of to the client.
 */
static bool pair_is_taken(struct hoody_registry *registry, struct sock *sk,
			  const struct tcphdr *tcp)
{
	if (likely(READ_ONCE(sk->sk_state) != TCP_SYN_SENT || tcp->syn || tcp->rst))
		return false;
	WRITE_ONCE(sk->sk_err, EADDRINUSE);
	sk_error_report(sk);
	hoody_stat_inc(registry, HOODY_STAT_REALIP_PAIR_TAKEN);
	return true;
}

/*
 * The verdict on a packet for which there is a socket; consumes the reference to
 * @sk. @up: the packet leaves a bridge, see hook_bridge().
 */
static unsigned int deliver(struct hoody_registry *registry, struct sk_buff *skb, struct sock *sk,
			    const struct tcphdr *tcp, bool up, struct dst_entry *dst)
{
	if (!is_ours(sk)) {
		sock_gen_put(sk);
		return NF_ACCEPT;
	}
	if (unlikely(is_bridged(skb))) {
		if (up)
			show_again(registry, skb);
		sock_gen_put(sk);
		return NF_ACCEPT;
	}
	if (unlikely(!sk_fullsock(sk))) {
		if (!time_wait(registry, sk, tcp->syn))
			return NF_ACCEPT;
	} else if (unlikely(pair_is_taken(registry, sk, tcp))) {
		sock_gen_put(sk);
		return NF_DROP;
	}
	skb->sk = sk;
	skb->destructor = sock_edemux;
	route_here(skb, dst);
	return NF_ACCEPT;
}

static __always_inline unsigned int tcp4(struct hoody_registry *registry, struct sk_buff *skb,
					 bool up)
{
	const struct iphdr *iph = ip_hdr(skb);
	struct tcphdr buffer;
	const struct tcphdr *tcp;
	struct sock *sk;

	/* In a later fragment these are no ports; the look-up is not reached then. */
	tcp = skb_header_pointer(skb, iph->ihl * 4, sizeof(buffer), &buffer);
	if (!tcp || likely(!hoody_live_test(hoody_live4(registry, iph->saddr, tcp->source))))
		return NF_ACCEPT;
	if (skb->sk || ip_is_fragment(iph))
		return NF_ACCEPT;
	sk = hoody_lookup4(registry->net, iph->saddr, tcp->source, iph->daddr, tcp->dest,
			   skb->dev->ifindex);
	return sk ? deliver(registry, skb, sk, tcp, up, local4(registry)) : NF_ACCEPT;
}

static void icmp_here(struct hoody_registry *registry, struct sk_buff *skb, struct sock *sk,
		      bool up, struct dst_entry *dst)
{
	if (!is_ours(sk))
		goto out;
	if (!is_bridged(skb)) {
		route_here(skb, dst);
		hoody_stat_inc(registry, HOODY_STAT_REALIP_ICMP);
	} else if (up) {
		show_again(registry, skb);
	}
out:
	sock_gen_put(sk);
}

/*
 * An ICMP error about a packet of ours, from the container or from a router
 * before it, is addressed to the client. TCP finds the socket by itself and
 * checks the sequence number (RFC 5927), so the packet only needs the route.
 */
static noinline unsigned int icmp4(struct hoody_registry *registry, struct sk_buff *skb, bool up)
{
	const struct iphdr *iph = ip_hdr(skb), *about;
	unsigned int offset = iph->ihl * 4;
	struct icmphdr icmp_buffer;
	const struct icmphdr *icmp;
	struct iphdr about_buffer;
	__be16 ports_buffer[2];
	const __be16 *ports;
	struct sock *sk;

	if (!atomic_read(&registry->open) || ip_is_fragment(iph))
		return NF_ACCEPT;
	icmp = skb_header_pointer(skb, offset, sizeof(icmp_buffer), &icmp_buffer);
	if (!icmp || (icmp->type != ICMP_DEST_UNREACH && icmp->type != ICMP_TIME_EXCEEDED &&
		      icmp->type != ICMP_PARAMETERPROB))
		return NF_ACCEPT;
	offset += sizeof(*icmp);
	about = skb_header_pointer(skb, offset, sizeof(about_buffer), &about_buffer);
	if (!about || about->ihl < 5 || about->protocol != IPPROTO_TCP)
		return NF_ACCEPT;
	ports = skb_header_pointer(skb, offset + about->ihl * 4, sizeof(ports_buffer),
				   ports_buffer);
	if (!ports || !hoody_live_test(hoody_live4(registry, about->daddr, ports[1])))
		return NF_ACCEPT;
	sk = hoody_lookup4(registry->net, about->daddr, ports[1], about->saddr, ports[0],
			   skb->dev->ifindex);
	if (sk)
		icmp_here(registry, skb, sk, up, local4(registry));
	return NF_ACCEPT;
}

static unsigned int hook4(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct hoody_registry *registry = priv;
	const struct iphdr *iph = ip_hdr(skb);

	if (likely(iph->protocol == IPPROTO_TCP))
		return tcp4(registry, skb, false);
	if (unlikely(iph->protocol == IPPROTO_ICMP))
		return icmp4(registry, skb, false);
	return NF_ACCEPT;
}

/* Where the upper-layer header of @skb starts and what it is; -1: nowhere, a fragment. */
static int upper6(const struct sk_buff *skb, int offset, u8 *nexthdr)
{
	__be16 fragment = 0;

	if (*nexthdr == IPPROTO_TCP || *nexthdr == IPPROTO_ICMPV6)
		return offset;
	offset = ipv6_skip_exthdr(skb, offset, nexthdr, &fragment);
	return fragment ? -1 : offset;
}

static __always_inline unsigned int tcp6(struct hoody_registry *registry, struct sk_buff *skb,
					 int offset, bool up)
{
	const struct ipv6hdr *ip6h = ipv6_hdr(skb);
	struct tcphdr buffer;
	const struct tcphdr *tcp;
	struct sock *sk;

	tcp = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!tcp || likely(!hoody_live_test(hoody_live6(registry, &ip6h->saddr, tcp->source))))
		return NF_ACCEPT;
	if (skb->sk)
		return NF_ACCEPT;
	sk = hoody_lookup6(registry->net, &ip6h->saddr, tcp->source, &ip6h->daddr, tcp->dest,
			   skb->dev->ifindex);
	return sk ? deliver(registry, skb, sk, tcp, up, local6(registry)) : NF_ACCEPT;
}

static noinline unsigned int icmp6(struct hoody_registry *registry, struct sk_buff *skb, int offset,
				   bool up)
{
	struct icmp6hdr icmp_buffer;
	const struct icmp6hdr *icmp;
	struct ipv6hdr about_buffer;
	const struct ipv6hdr *about;
	__be16 ports_buffer[2];
	const __be16 *ports;
	struct sock *sk;
	u8 nexthdr;

	icmp = skb_header_pointer(skb, offset, sizeof(icmp_buffer), &icmp_buffer);
	/* RFC 4443 2.1: errors have types below 128. */
	if (!icmp || icmp->icmp6_type >= ICMPV6_INFOMSG_MASK)
		return NF_ACCEPT;
	offset += sizeof(*icmp);
	about = skb_header_pointer(skb, offset, sizeof(about_buffer), &about_buffer);
	if (!about)
		return NF_ACCEPT;
	nexthdr = about->nexthdr;
	offset = upper6(skb, offset + sizeof(*about), &nexthdr);
	if (offset < 0 || nexthdr != IPPROTO_TCP)
		return NF_ACCEPT;
	ports = skb_header_pointer(skb, offset, sizeof(ports_buffer), ports_buffer);
	if (!ports || !hoody_live_test(hoody_live6(registry, &about->daddr, ports[1])))
		return NF_ACCEPT;
	sk = hoody_lookup6(registry->net, &about->daddr, ports[1], &about->saddr, ports[0],
			   skb->dev->ifindex);
	if (sk)
		icmp_here(registry, skb, sk, up, local6(registry));
	return NF_ACCEPT;
}

static __always_inline unsigned int any6(struct hoody_registry *registry, struct sk_buff *skb,
					 bool up)
{
	u8 nexthdr = ipv6_hdr(skb)->nexthdr;
	int offset;

	if (likely(nexthdr == IPPROTO_TCP))
		return tcp6(registry, skb, sizeof(struct ipv6hdr), up);
	if (likely(nexthdr == IPPROTO_UDP))
		return NF_ACCEPT;
	/* The rest is rare here: ICMPv6, or TCP behind extension headers. */
	offset = upper6(skb, sizeof(struct ipv6hdr), &nexthdr);
	if (offset < 0)
		return NF_ACCEPT;
	if (nexthdr == IPPROTO_ICMPV6)
		return icmp6(registry, skb, offset, up);
	if (nexthdr == IPPROTO_TCP)
		return tcp6(registry, skb, offset, up);
	return NF_ACCEPT;
}

static unsigned int hook6(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return any6(priv, skb, false);
}

#ifdef CONFIG_NETFILTER_FAMILY_BRIDGE
/*
 * A packet on its way from a bridge up to IP. Those that br_netfilter has shown
 * to PRE_ROUTING had their headers checked by it; the others go by.
 */
static unsigned int hook_bridge(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	if (likely(!is_bridged(skb)))
		return NF_ACCEPT;
	if (skb->protocol == htons(ETH_P_IP) && ip_hdr(skb)->protocol == IPPROTO_TCP)
		return tcp4(priv, skb, true);
	if (skb->protocol == htons(ETH_P_IP) && ip_hdr(skb)->protocol == IPPROTO_ICMP)
		return icmp4(priv, skb, true);
	if (skb->protocol == htons(ETH_P_IPV6))
		return any6(priv, skb, true);
	return NF_ACCEPT;
}
#endif

/*
 * After connection tracking, which must have seen the packet before it is
 * delivered; before the mangle chains, where other programs steer packets to
 * their own transparent sockets.
 */
static const struct nf_hook_ops hook_templates[] = {
	{
		.hook		= hook4,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_PRE_ROUTING,
		.priority	= NF_IP_PRI_CONNTRACK + 1,
	},
	{
		.hook		= hook6,
		.pf		= NFPROTO_IPV6,
		.hooknum	= NF_INET_PRE_ROUTING,
		.priority	= NF_IP6_PRI_CONNTRACK + 1,
	},
#ifdef CONFIG_NETFILTER_FAMILY_BRIDGE
	{
		.hook		= hook_bridge,
		.pf		= NFPROTO_BRIDGE,
		.hooknum	= NF_BR_LOCAL_IN,
		.priority	= NF_BR_PRI_BRNF + 1,
	},
#endif
};

static void routes_free(struct hoody_registry *registry)
{
	struct rt6_info *rt6;
	struct rtable *rt;
	int cpu;

	for_each_possible_cpu(cpu) {
		rt = registry->local4 ? *per_cpu_ptr(registry->local4, cpu) : NULL;
		rt6 = registry->local6 ? *per_cpu_ptr(registry->local6, cpu) : NULL;
		/* A dead socket may keep a reference; the device must not wait for it. */
		if (rt) {
			dst_dev_put(&rt->dst);
			dst_release(&rt->dst);
		}
		if (rt6) {
			dst_dev_put(&rt6->dst);
			dst_release(&rt6->dst);
		}
	}
	free_percpu(registry->local4);
	free_percpu(registry->local6);
}

static int routes_make(struct hoody_registry *registry)
{
	struct net_device *dev = registry->net->loopback_dev;
	int cpu;

	registry->local4 = alloc_percpu(struct rtable *);
	registry->local6 = alloc_percpu(struct rt6_info *);
	if (!registry->local4 || !registry->local6)
		goto err_free;
	for_each_possible_cpu(cpu) {
		struct rt6_info *rt6;
		struct rtable *rt;

		rt = rt_dst_alloc(dev, RTCF_LOCAL, RTN_LOCAL, false);
		*per_cpu_ptr(registry->local4, cpu) = rt;
		rt6 = ip6_dst_alloc(registry->net, dev, 0);
		*per_cpu_ptr(registry->local6, cpu) = rt6;
		if (!rt || !rt6)
			goto err_free;
		rt->rt_is_input = 1;	/* rt_dst_alloc() has set ip_local_deliver() */
		rt6->dst.input = ip6_input;
		rt6->rt6i_idev = in6_dev_get(dev);
		rt6->rt6i_flags = RTF_UP | RTF_LOCAL;
		/* Not 0: the number, not a table entry, says whether it is valid. */
		rt6->sernum = rt_genid_ipv6(registry->net);
	}
	return 0;

err_free:
	routes_free(registry);
	return -ENOMEM;
}

int hoody_deliver_net_init(struct hoody_registry *registry)
{
	unsigned int i;
	int err;

	BUILD_BUG_ON(ARRAY_SIZE(hook_templates) > ARRAY_SIZE(registry->hooks));
	registry->live = kcalloc(1 << HOODY_LIVE_BITS, sizeof(*registry->live), GFP_KERNEL_ACCOUNT);
	if (!registry->live)
		return -ENOMEM;
	for (i = 0; i < 1 << HOODY_LIVE_BITS; i++)
		registry->live[i].until = jiffies;
	err = routes_make(registry);
	if (err)
		goto err_live;
	for (i = 0; i < ARRAY_SIZE(hook_templates); i++) {
		registry->hooks[i] = hook_templates[i];
		registry->hooks[i].priv = registry;
	}
	err = nf_register_net_hooks(registry->net, registry->hooks, ARRAY_SIZE(hook_templates));
	if (err)
		goto err_routes;
	return 0;

err_routes:
	routes_free(registry);
err_live:
	kfree(registry->live);
	return err;
}

/* No packet enters the hooks any more once a grace period has passed. */
void hoody_deliver_net_unhook(struct hoody_registry *registry)
{
	nf_unregister_net_hooks(registry->net, registry->hooks, ARRAY_SIZE(hook_templates));
}

void hoody_deliver_net_exit(struct hoody_registry *registry)
{
	routes_free(registry);
	kfree(registry->live);
}
