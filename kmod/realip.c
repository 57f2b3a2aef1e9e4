// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real client IP: sockets that connect to a container from the address of the
 * client that is being served.
 *
 * Nothing is translated. Such a socket is a transparent TCP socket whose own
 * address is the client's, so what it sends simply is from the client. What the
 * container answers is addressed to the client; deliver.c sees to it that it comes here.
 *
 *	fresh socket --HOODY_SO_REALIP--> connecting from the client's address
 *	     ^                                  |
 *	     |  failed at once, or disconnect   |  destroyed (close, reset, time-out)
 *	     +----------------------------------+--> gone
 *
 * The socket's protocol operations are a copy of TCP's with a few replaced, so
 * that the address cannot be carried elsewhere: disconnecting makes the socket
 * ordinary again, and the options that could send its packets another way are
 * refused. The copy lies in the module; each such socket holds the module.
 *
 * Fail direction: a call that cannot be carried out leaves the socket as it was.
 */
#include <linux/cgroup.h>
#include <net/addrconf.h>
#include <net/inet_common.h>
#include <net/ipv6.h>
#include <net/tcp.h>
#include <net/transp_v6.h>

#include "compat.h"
#include "hoody.h"
#include "live.h"

/* TCP's operations with ours in place of some; set at load, read-only after. */
static struct proto realip_prot4 __ro_after_init;
static struct proto realip_prot6 __ro_after_init;

/* Whether @sk has our operations: a socket that is, or once was, a client's. */
bool hoody_realip_owns(const struct sock *sk)
{
	const struct proto *prot = READ_ONCE(sk->sk_prot);

	return prot == &realip_prot4 || prot == &realip_prot6;
}

static struct proto *tcp_prot_of(const struct sock *sk)
{
	return sk->sk_family == AF_INET ? &tcp_prot : &tcpv6_prot;
}

/*
 * The socket stops being the client's: by its end, or by a disconnect. The
 * transparent bit says whether it still is. Socket lock or last reference.
 * @live: its bucket, while it knew where it was connected to.
 */
static void realip_clear(struct hoody_registry *registry, struct sock *sk, struct hoody_live *live)
{
	if (!inet_test_bit(TRANSPARENT, sk))
		return;
	inet_clear_bit(TRANSPARENT, sk);
	hoody_live_remove(registry, live);
	hoody_stat_add(registry, HOODY_STAT_REALIP_OPEN, -1);
}

/* proto.disconnect, under the socket lock: connect(AF_UNSPEC), a failed connect ... */
static int realip_disconnect(struct sock *sk, int flags)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(sk));
	struct hoody_live *live = hoody_live_of(registry, sk);
	int err;

	/* A bind after a reset may have set these; without them the address is given up. */
	sk->sk_userlocks &= ~(SOCK_BINDADDR_LOCK | SOCK_BINDPORT_LOCK);
	err = tcp_prot_of(sk)->disconnect(sk, flags);
	if (!err)
		realip_clear(registry, sk, live);
	return err;
}

/*
 * proto.destroy: the last moment at which the socket's operations are used.
 * TCP calls it with bottom halves off, which keeps a grace period waiting, so
 * the module may be let go from inside its own function.
 */
static void realip_destroy(struct sock *sk)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(sk));
	struct proto *prot = tcp_prot_of(sk);

	realip_clear(registry, sk, hoody_live_of(registry, sk));
	WRITE_ONCE(sk->sk_prot, prot);
	prot->destroy(sk);
	module_put(THIS_MODULE);
}

/* proto.setsockopt: the options by which packets could leave for somewhere else. */
static int realip_setsockopt(struct sock *sk, int level, int optname, sockptr_t optval,
			     unsigned int optlen)
{
	if (level == SOL_IP && (optname == IP_OPTIONS || optname == IP_TRANSPARENT))
		return -EPERM;
	if (level == SOL_TCP && optname == TCP_ULP)
		return -EPERM;	/* another layer would copy our operations */
	if (level == SOL_IPV6) {
		switch (optname) {
		case IPV6_TRANSPARENT:
		case IPV6_HOPOPTS:
		case IPV6_DSTOPTS:
		case IPV6_RTHDRDSTOPTS:
		case IPV6_RTHDR:
		case IPV6_2292PKTOPTIONS:
		case IPV6_PKTINFO:
		case IPV6_ADDRFORM:	/* would take our operations away, uncounted */
			return -EPERM;
		}
	}
	return tcp_prot_of(sk)->setsockopt(sk, level, optname, optval, optlen);
}

/* proto.rehash: called when SO_BINDTODEVICE has changed the device; undo that. */
static void realip_rehash(struct sock *sk)
{
	WRITE_ONCE(sk->sk_bound_dev_if, 0);
}

static bool realip_permitted(struct hoody_registry *registry, struct net *net)
{
	struct hoody_agent *agent;
	bool member = false;

	rcu_read_lock();
	agent = registry ? rcu_dereference(registry->agent) : NULL;
	if (agent)
		member = cgroup_is_descendant(task_dfl_cgroup(current), agent->cgroup);
	rcu_read_unlock();
	return member || ns_capable(net->user_ns, CAP_NET_ADMIN);
}

/*
 * hoody_realip_addr_usable() - whether @addr can be a host's on a network. @own
 * is set where it is one of this host.
 */
bool hoody_realip_addr_usable(struct net *net, const struct hoody_addr *addr, bool *own)
{
	int type;

	if (addr->family == AF_INET) {
		__be32 ip = addr->ip.s6_addr32[0];

		type = inet_addr_type(net, ip);
		*own = type == RTN_LOCAL;
		return type != RTN_BROADCAST && type != RTN_MULTICAST &&
		       (ip & htonl(0xff000000)) &&	/* "this network", RFC 1122 3.2.1.3 */
		       !ipv4_is_loopback(ip) && !ipv4_is_lbcast(ip) && !ipv4_is_multicast(ip) &&
		       !ipv4_is_linklocal_169(ip);
	}
	type = ipv6_addr_type(&addr->ip);
	*own = ipv6_chk_addr(net, &addr->ip, NULL, 0);
	return type & IPV6_ADDR_UNICAST &&
	       !(type & (IPV6_ADDR_LOOPBACK | IPV6_ADDR_LINKLOCAL | IPV6_ADDR_MAPPED));
}

struct request {
	struct hoody_addr	client;
	struct hoody_addr	container;
	u16			client_port;
	__be16			container_port;
};

static void request_addr(struct hoody_addr *addr, u16 family, const struct in6_addr *bytes)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = family;
	if (family == AF_INET)
		addr->ip.s6_addr32[0] = bytes->s6_addr32[0];
	else
		addr->ip = *bytes;
}

static int request_parse(struct sock *sk, int level, const struct hoody_realip *arg,
			 struct request *request)
{
	if (arg->flags & ~HOODY_REALIP_ANY_PORT)
		return -EINVAL;
	if (arg->family != sk->sk_family ||
	    !(arg->family == AF_INET || arg->family == AF_INET6) ||
	    (level == SOL_IP) != (arg->family == AF_INET))
		return -EAFNOSUPPORT;
	if (!arg->container_port)
		return -EINVAL;
	request_addr(&request->client, arg->family, &arg->client6);
	request_addr(&request->container, arg->family, &arg->container6);
	request->client_port = arg->flags & HOODY_REALIP_ANY_PORT ? 0 : ntohs(arg->client_port);
	request->container_port = arg->container_port;
	return 0;
}

/* Whether the registry lets this client connect to that container. */
static int request_check(struct hoody_registry *registry, const struct request *request)
{
	struct hoody_policy *policy;
	bool own, usable;

	rcu_read_lock();
	policy = hoody_container_find_addr(registry, &request->container);
	if (!policy || !(policy->flags & HOODY_CONTAINER_REALIP)) {
		rcu_read_unlock();
		return -EHOSTUNREACH;
	}
	usable = !hoody_policy_has_addr(policy, &request->client);
	rcu_read_unlock();
	if (!usable || !hoody_realip_addr_usable(registry->net, &request->client, &own) || own)
		return -EADDRNOTAVAIL;
	return 0;
}

/* Under the socket lock: is this the fresh socket that the caller must bring? */
static int socket_check(struct sock *sk)
{
	if (sk->sk_protocol != IPPROTO_TCP || sk->sk_type != SOCK_STREAM ||
	    (sk->sk_prot != tcp_prot_of(sk) && !hoody_realip_owns(sk)))
		return -EOPNOTSUPP;
	if (sk->sk_state != TCP_CLOSE || !sk->sk_socket ||
	    sk->sk_socket->state != SS_UNCONNECTED || inet_sk(sk)->inet_num ||
	    sk->sk_userlocks & SOCK_BINDADDR_LOCK)
		return -EISCONN;
	/* These could lead the first packet elsewhere. */
	if (sk->sk_bound_dev_if || rcu_access_pointer(inet_sk(sk)->inet_opt) ||
	    (sk->sk_family == AF_INET6 && rcu_access_pointer(inet6_sk(sk)->opt)) ||
	    inet_test_bit(TRANSPARENT, sk))
		return -EINVAL;
	return 0;
}

static void socket_set_source(struct sock *sk, const struct hoody_addr *addr)
{
	struct inet_sock *inet = inet_sk(sk);

	if (sk->sk_family == AF_INET) {
		inet->inet_saddr = addr->ip.s6_addr32[0];
		inet->inet_rcv_saddr = addr->ip.s6_addr32[0];
		return;
	}
	/* What inet6_bind() leaves behind for an address that is no mapped one. */
	inet->inet_saddr = LOOPBACK4_IPV6;
	inet->inet_rcv_saddr = LOOPBACK4_IPV6;
	sk->sk_v6_rcv_saddr = addr->ip;
	inet6_sk(sk)->saddr = addr->ip;
}

static void socket_clear_source(struct sock *sk)
{
	struct inet_sock *inet = inet_sk(sk);

	if (inet_csk(sk)->icsk_bind_hash)
		sk->sk_prot->put_port(sk);
	inet->inet_saddr = 0;
	inet->inet_rcv_saddr = 0;
	inet->inet_sport = 0;
	if (sk->sk_family == AF_INET6) {
		memset(&sk->sk_v6_rcv_saddr, 0, sizeof(sk->sk_v6_rcv_saddr));
		memset(&inet6_sk(sk)->saddr, 0, sizeof(inet6_sk(sk)->saddr));
	}
}

static int socket_connect_to(struct sock *sk, const struct request *request)
{
	struct sockaddr_storage address = {};
	int err, length;

	if (sk->sk_family == AF_INET) {
		struct sockaddr_in *to = (struct sockaddr_in *)&address;

		to->sin_family = AF_INET;
		to->sin_port = request->container_port;
		to->sin_addr.s_addr = request->container.ip.s6_addr32[0];
		length = sizeof(*to);
	} else {
		struct sockaddr_in6 *to = (struct sockaddr_in6 *)&address;

		to->sin6_family = AF_INET6;
		to->sin6_port = request->container_port;
		to->sin6_addr = request->container.ip;
		length = sizeof(*to);
	}
	err = __inet_stream_connect(sk->sk_socket, (struct hoody_sockaddr *)&address, length,
				    O_NONBLOCK, 0);
	return err == -EINPROGRESS ? 0 : err;
}

/* How a connection gets its port, in the order of the tries. */
enum port_try {
	/*
	 * connect(2) chooses among this one port: the port stays free for all
	 * other pairs of addresses, the host's own connections among them. Only
	 * ports of the host's ephemeral range can be had like this.
	 */
	PORT_CHOSEN,
	/*
	 * bind(2): keeps connect(2) from choosing this port for anybody, which
	 * outside the ephemeral range it does not do anyway. Inside, this is for
	 * ports that somebody of this host has bound.
	 */
	PORT_BOUND,
	PORT_ANY,
};

static bool port_narrow(struct sock *sk, u16 port)
{
	int low, high;

	WRITE_ONCE(inet_sk(sk)->local_port_range, port << 16 | port);
	inet_sk_get_local_port_range(sk, &low, &high);
	return low == port && high == port;
}

static int port_bind(struct sock *sk, u16 port)
{
	u8 reuse = sk->sk_reuse;
	int err;

	/*
	 * The address is no other socket's, so its ports are free but for
	 * wildcard binds of this host; those only matter to listeners, which
	 * this socket will never be.
	 */
	sk->sk_reuse = SK_FORCE_REUSE;
	err = sk->sk_prot->get_port(sk, port) ? -EADDRINUSE : 0;
	sk->sk_reuse = reuse;
	if (!err)
		inet_sk(sk)->inet_sport = htons(inet_sk(sk)->inet_num);
	return err;
}

/* One try: take the client's address and a port, and connect. */
static int socket_connect(struct sock *sk, const struct request *request, enum port_try how)
{
	u32 range = inet_sk(sk)->local_port_range;
	int err = 0;

	socket_set_source(sk, &request->client);
	if (how == PORT_CHOSEN && !port_narrow(sk, request->client_port))
		err = -EADDRNOTAVAIL;
	else if (how == PORT_BOUND)
		err = port_bind(sk, request->client_port);
	sk_dst_reset(sk);
	if (!err)
		err = socket_connect_to(sk, request);
	WRITE_ONCE(inet_sk(sk)->local_port_range, range);
	if (err)
		socket_clear_source(sk);
	return err;
}

/*
 * Whether the last connection of this pair has ended on our side alone: the
 * container has not closed its half yet, and would meet our SYN with that
 * connection's acknowledgement. bind(2) and connect(2) take such a pair again at
 * once, as they do with one in TIME_WAIT proper, of which the container is done.
 */
static bool pair_half_closed(struct hoody_registry *registry, const struct request *request)
{
	const struct in6_addr *client = &request->client.ip, *to = &request->container.ip;
	__be16 port = htons(request->client_port);
	bool half = false;
	struct sock *sk;

	rcu_read_lock();
	if (request->client.family == AF_INET)
		sk = hoody_lookup4(registry->net, to->s6_addr32[0], request->container_port,
				   client->s6_addr32[0], port, 0);
	else
		sk = hoody_lookup6(registry->net, to, request->container_port, client, port, 0);
	rcu_read_unlock();
	if (sk) {
		half = sk->sk_state == TCP_TIME_WAIT &&
		       inet_twsk(sk)->tw_substate == TCP_FIN_WAIT2;
		sock_gen_put(sk);
	}
	return half;
}

static enum port_try port_next(struct hoody_registry *registry, const struct request *request,
			       enum port_try how)
{
	if (how == PORT_CHOSEN && !pair_half_closed(registry, request))
		return PORT_BOUND;
	return PORT_ANY;
}

/*
 * Under the socket lock throughout, so that no other thread ever sees a socket
 * that may take foreign addresses and is not connected yet.
 */
static int realip_connect(struct hoody_registry *registry, struct sock *sk,
			  const struct request *request)
{
	const struct in6_addr *to = &request->container.ip;
	__be16 port = request->container_port;
	struct hoody_live *live = request->container.family == AF_INET ?
					  hoody_live4(registry, to->s6_addr32[0], port) :
					  hoody_live6(registry, to, port);
	bool fresh = !hoody_realip_owns(sk);
	enum port_try how = request->client_port ? PORT_CHOSEN : PORT_ANY;
	int err;
	u8 reuse = sk->sk_reuse;

	if (fresh) {
		__module_get(THIS_MODULE);
		WRITE_ONCE(sk->sk_prot, sk->sk_family == AF_INET ? &realip_prot4 : &realip_prot6);
	}
	inet_set_bit(TRANSPARENT, sk);
	tcp_sk(sk)->fastopen_connect = 0;	/* would wait for the first byte */
	/* Several clients' ports, several containers: the pair is what must be unique. */
	sk->sk_reuse = SK_CAN_REUSE;
	hoody_live_add(registry, live);
	err = socket_connect(sk, request, how);
	while ((err == -EADDRNOTAVAIL || err == -EADDRINUSE) && how < PORT_ANY) {
		how = port_next(registry, request, how);
		err = socket_connect(sk, request, how);
	}
	if (err == -EADDRNOTAVAIL)
		err = -EADDRINUSE;	/* ports have run out: not the client's fault */
	if (err)
		goto err_undo;
	hoody_stat_inc(registry, how < PORT_ANY ? HOODY_STAT_REALIP_PORT_KEPT :
						   HOODY_STAT_REALIP_PORT_OTHER);
	hoody_stat_inc(registry, HOODY_STAT_REALIP_OPEN);
	return 0;

err_undo:
	hoody_live_remove(registry, live);
	sk->sk_reuse = reuse;
	inet_clear_bit(TRANSPARENT, sk);
	if (fresh) {
		WRITE_ONCE(sk->sk_prot, tcp_prot_of(sk));
		/* Not the last reference: the option's caller holds one. */
		module_put(THIS_MODULE);
	}
	return err;
}

static enum hoody_stat stat_of_error(int err)
{
	switch (err) {
	case -EPERM:
		return HOODY_STAT_REALIP_DENIED;
	case -EHOSTUNREACH:
		return HOODY_STAT_REALIP_NO_CONTAINER;
	case -EADDRNOTAVAIL:
		return HOODY_STAT_REALIP_BAD_CLIENT;
	default:
		return HOODY_STAT_REALIP_FAILED;
	}
}

static int realip_set(struct sock *sk, int level, sockptr_t optval, unsigned int optlen)
{
	struct hoody_registry *registry = hoody_main_registry(sock_net(sk));
	struct request request;
	struct hoody_realip arg;
	int err;

	/* First of all: who may not, learns nothing else. */
	err = -EPERM;
	if (!realip_permitted(registry, sock_net(sk)))
		goto out;
	err = -EHOSTUNREACH;
	if (!registry)
		goto out;
	err = -EINVAL;
	if (optlen != sizeof(arg))
		goto out;
	err = -EFAULT;
	if (copy_from_sockptr(&arg, optval, sizeof(arg)))
		goto out;
	err = request_parse(sk, level, &arg, &request);
	if (err)
		goto out;

	lock_sock(sk);
	err = socket_check(sk);
	if (!err)
		err = request_check(registry, &request);
	if (!err)
		err = realip_connect(registry, sk, &request);
	release_sock(sk);
out:
	if (err && registry)
		hoody_stat_inc(registry, stat_of_error(err));
	return err;
}

static int realip_set4(struct sock *sk, int optname, sockptr_t optval, unsigned int optlen)
{
	return realip_set(sk, SOL_IP, optval, optlen);
}

static int realip_set6(struct sock *sk, int optname, sockptr_t optval, unsigned int optlen)
{
	return realip_set(sk, SOL_IPV6, optval, optlen);
}

static struct nf_sockopt_ops realip_sockopt4 = {
	.pf		= PF_INET,
	.set_optmin	= HOODY_SO_REALIP,
	.set_optmax	= HOODY_SO_REALIP + 1,
	.set		= realip_set4,
	.owner		= THIS_MODULE,
};

static struct nf_sockopt_ops realip_sockopt6 = {
	.pf		= PF_INET6,
	.set_optmin	= HOODY_SO_REALIP,
	.set_optmax	= HOODY_SO_REALIP + 1,
	.set		= realip_set6,
	.owner		= THIS_MODULE,
};

int __init hoody_realip_init(void)
{
	int err;

	realip_prot4 = tcp_prot;
	realip_prot4.disconnect = realip_disconnect;
	realip_prot4.destroy = realip_destroy;
	realip_prot4.setsockopt = realip_setsockopt;
	realip_prot4.rehash = realip_rehash;
	realip_prot6 = tcpv6_prot;
	realip_prot6.disconnect = realip_disconnect;
	realip_prot6.destroy = realip_destroy;
	realip_prot6.setsockopt = realip_setsockopt;
	realip_prot6.rehash = realip_rehash;

	err = nf_register_sockopt(&realip_sockopt4);
	if (err)
		return err;
	err = nf_register_sockopt(&realip_sockopt6);
	if (err)
		nf_unregister_sockopt(&realip_sockopt4);
	return err;
}

void hoody_realip_exit(void)
{
	nf_unregister_sockopt(&realip_sockopt6);
	nf_unregister_sockopt(&realip_sockopt4);
	/* realip_destroy() lets the module go before it returns. */
	synchronize_rcu();
}
