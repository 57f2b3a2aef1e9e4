/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note OR MIT */
/*
 * hoody: the contract between hoody.ko and user space.
 *
 * The module keeps, for every network namespace that uses it, a registry of
 * containers, and lets one program, the agent, open TCP connections to those
 * containers from the address of the client that it serves. There are two
 * entrances: the generic netlink family "hoody", through which the registry is
 * written and read, and one socket option, HOODY_SO_REALIP.
 *
 * ---- The netlink family --------------------------------------------------
 *
 * Every command needs CAP_NET_ADMIN in the initial user namespace
 * (GENL_ADMIN_PERM): the root of a container or of any other user namespace
 * gets -EPERM. A command acts on the network namespace of its netlink socket.
 *
 * Errors are negative errno values with an extended acknowledgement: a text,
 * and the offset of the attribute at fault where there is one
 * (NETLINK_EXT_ACK must be set on the socket to see them). Attributes that the
 * module does not know are refused, so that a policy is never half understood,
 * and so are messages of another protocol version (-EPROTONOSUPPORT).
 *
 * HOODY_CMD_CONTAINER_SET
 *	Registers a container or replaces what is registered under its id. The
 *	message carries the whole kernel policy of the container: whatever it
 *	leaves out is off. It is checked completely before the registry changes,
 *	and readers see either the old or the new policy, never a mixture.
 *	MODE narrows it to new ids (else -EEXIST) or to known ones (else -ENOENT);
 *	the message's own flags cannot say so, because generic netlink refuses
 *	NLM_F_CREATE and its like from strict families. GENERATION must not be lower than the
 *	registered one (-ESTALE). An address or cgroup that belongs to another
 *	container is refused (-EADDRINUSE, -EBUSY), a full registry with -ENOSPC.
 *		ID, PROJECT, GENERATION		required
 *		ADDR4, ADDR6			up to HOODY_MAX_ADDRS of each
 *		CGROUP				0 or absent: none
 *		FLAGS				enum hoody_container_flags
 *		MODE				enum hoody_set_mode
 *
 * HOODY_CMD_CONTAINER_DEL
 *	ID required. -ENOENT where there is none. With GENERATION, only a
 *	container of at most this generation is deleted (-ESTALE): the delete
 *	that lost a race with a newer registration does nothing.
 *
 * HOODY_CMD_CONTAINER_GET
 *	With ID: one container. As a dump (NLM_F_DUMP): all of them; a container
 *	that stays registered for the whole dump is reported exactly once, and
 *	NLM_F_DUMP_INTR is set where something changed meanwhile.
 *
 * HOODY_CMD_AGENT_SET
 *	CGROUP required: the processes of this cgroup (v2) and of those below it
 *	may use HOODY_SO_REALIP in this namespace without a capability. Replaces
 *	the agent that was registered before. CGROUP 0 withdraws it.
 *
 * HOODY_CMD_AGENT_GET
 *	Reports VERSION (of the module), PROTOCOL (HOODY_GENL_VERSION), CGROUP
 *	(0: no agent), CONTAINERS (registered now) and MAX_CONTAINERS.
 *
 * HOODY_CMD_STATS_GET
 *	A dump: one message per counter with STAT_ID (enum hoody_stat), STAT_NAME
 *	and STAT_VALUE. Counters only grow, from the namespace's first use on.
 *
 * Events are sent to the multicast group "events" of the namespace as
 * HOODY_CMD_EVENT with EVENT (enum hoody_event) and what it is about: ID,
 * PROJECT and GENERATION for containers, CGROUP for the agent. They tell that
 * something changed; the registry tells what holds. Joining the group needs
 * CAP_NET_ADMIN in the user namespace that owns the network namespace.
 *
 * ---- HOODY_SO_REALIP -----------------------------------------------------
 *
 *	struct hoody_realip arg = { ... };
 *	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
 *	setsockopt(fd, SOL_IP, HOODY_SO_REALIP, &arg, sizeof(arg));
 *
 * takes the place of bind(2) and connect(2) on a fresh TCP socket: the socket
 * becomes one whose own address is the client's, and starts to connect to the
 * container. On return the connection is under way; wait for POLLOUT and read
 * SO_ERROR as after a non-blocking connect(2). Level SOL_IP and an AF_INET
 * socket for IPv4, SOL_IPV6 and an AF_INET6 socket for IPv6.
 *
 * The client's port is kept where the connection's four-tuple is free,
 * otherwise (or with port 0 or HOODY_REALIP_ANY_PORT) the kernel picks one:
 * getsockname(2) tells which. A failed call leaves the socket as it was. A
 * socket that got its address this way reaches no other destination: a later
 * connect(2), also through AF_UNSPEC, starts from an ordinary socket.
 *
 *	-EPERM		neither in the agent's cgroup nor CAP_NET_ADMIN in the
 *			user namespace that owns the network namespace
 *	-EHOSTUNREACH	the destination is no address of a registered container
 *			whose policy has HOODY_CONTAINER_REALIP
 *	-EADDRNOTAVAIL	the client address cannot be used: unspecified, loopback,
 *			multicast, broadcast, link-local, one of the host's own or
 *			the container's own. Connect in the ordinary way instead.
 *	-EISCONN	the socket is bound, connected or listening already
 *	-EAFNOSUPPORT	family, level and socket do not agree
 *	-EOPNOTSUPP	no plain TCP socket (MPTCP, TLS, sockmap)
 *	-EINVAL		length, unknown flags, container port 0, or a socket that is
 *			bound to a device or carries IP options
 *	-EADDRINUSE	every port towards the container's port is taken
 *	others		as connect(2) returns them at once: -ENETUNREACH, -ENOBUFS
 */
#ifndef _UAPI_LINUX_HOODY_H
#define _UAPI_LINUX_HOODY_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/in.h>
#include <linux/in6.h>
#else
#include <netinet/in.h>
#endif

#define HOODY_GENL_NAME		"hoody"
#define HOODY_GENL_VERSION	1
#define HOODY_GENL_EVENTS	"events"

/* Ids of containers and projects: 24 hexadecimal digits, here as bytes. */
#define HOODY_ID_LEN		12
/* Addresses of one family that one container may have. */
#define HOODY_MAX_ADDRS		8

enum hoody_cmd {
	HOODY_CMD_UNSPEC,
	HOODY_CMD_CONTAINER_SET,
	HOODY_CMD_CONTAINER_DEL,
	HOODY_CMD_CONTAINER_GET,
	HOODY_CMD_AGENT_SET,
	HOODY_CMD_AGENT_GET,
	HOODY_CMD_STATS_GET,
	HOODY_CMD_EVENT,		/* kernel to user only */

	__HOODY_CMD_MAX,
};
#define HOODY_CMD_MAX (__HOODY_CMD_MAX - 1)

enum hoody_attr {
	HOODY_A_UNSPEC,
	HOODY_A_ID,			/* binary, HOODY_ID_LEN, not all zero */
	HOODY_A_PROJECT,		/* binary, HOODY_ID_LEN, not all zero */
	HOODY_A_GENERATION,		/* u64, at least 1 */
	HOODY_A_ADDR4,			/* binary, 4, network order; repeatable */
	HOODY_A_ADDR6,			/* binary, 16, network order; repeatable */
	HOODY_A_CGROUP,			/* u64: inode number of the cgroup v2 directory */
	HOODY_A_FLAGS,			/* u32: enum hoody_container_flags */
	HOODY_A_EVENT,			/* u32: enum hoody_event */
	HOODY_A_STAT_ID,		/* u32: enum hoody_stat */
	HOODY_A_STAT_NAME,		/* string */
	HOODY_A_STAT_VALUE,		/* u64 */
	HOODY_A_VERSION,		/* string */
	HOODY_A_PROTOCOL,		/* u32 */
	HOODY_A_CONTAINERS,		/* u32 */
	HOODY_A_MAX_CONTAINERS,		/* u32 */
	HOODY_A_MODE,			/* u32: enum hoody_set_mode */
	HOODY_A_PAD,

	__HOODY_A_MAX,
};
#define HOODY_A_MAX (__HOODY_A_MAX - 1)

enum hoody_container_flags {
	/* Connections may be opened to it from its clients' own addresses. */
	HOODY_CONTAINER_REALIP		= 1 << 0,
};
#define HOODY_CONTAINER_FLAGS_ALL	HOODY_CONTAINER_REALIP

enum hoody_set_mode {
	HOODY_SET_ANY,			/* create or replace: what an absent MODE means */
	HOODY_SET_CREATE,
	HOODY_SET_REPLACE,
	__HOODY_SET_MAX,
};
#define HOODY_SET_MAX (__HOODY_SET_MAX - 1)

enum hoody_event {
	HOODY_EVENT_UNSPEC,
	HOODY_EVENT_CONTAINER_SET,
	HOODY_EVENT_CONTAINER_DEL,
	HOODY_EVENT_AGENT_SET,
};

enum hoody_stat {
	HOODY_STAT_UNSPEC,
	HOODY_STAT_REALIP_PORT_KEPT,	/* connections with the client's own port */
	HOODY_STAT_REALIP_PORT_OTHER,	/* connections with another port */
	HOODY_STAT_REALIP_OPEN,		/* open now (the one gauge) */
	HOODY_STAT_REALIP_DENIED,	/* -EPERM */
	HOODY_STAT_REALIP_NO_CONTAINER,	/* -EHOSTUNREACH */
	HOODY_STAT_REALIP_BAD_CLIENT,	/* -EADDRNOTAVAIL */
	HOODY_STAT_REALIP_FAILED,	/* any other error */
	HOODY_STAT_REALIP_ICMP,		/* ICMP errors handed to such sockets */
	HOODY_STAT_REALIP_BRIDGED,	/* packets that br_netfilter brought, see docs/kernels.md */
	HOODY_STAT_EVENTS_LOST,		/* events that no memory could be had for */

	__HOODY_STAT_MAX,
};
#define HOODY_STAT_MAX (__HOODY_STAT_MAX - 1)

/*
 * Option number for both levels. Those of the kernel's own IP and IPv6 options
 * end below 128, those of netfilter's tables lie between 64 and 2048.
 */
#define HOODY_SO_REALIP		0x686f

enum hoody_realip_flags {
	/* Do not try to keep the client's port. */
	HOODY_REALIP_ANY_PORT		= 1 << 0,
};

/* All in network byte order but @family and @flags. 40 bytes, no padding. */
struct hoody_realip {
	__u16	family;			/* AF_INET or AF_INET6 */
	__u16	flags;			/* enum hoody_realip_flags */
	__be16	client_port;		/* 0: any */
	__be16	container_port;
	union {
		struct in_addr	client4;
		struct in6_addr	client6;
	};
	union {
		struct in_addr	container4;
		struct in6_addr	container6;
	};
};

#endif /* _UAPI_LINUX_HOODY_H */
