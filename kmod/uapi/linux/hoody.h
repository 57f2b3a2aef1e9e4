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
 * ---- Live syscall profiles ------------------------------------------------
 *
 * A profile says which system calls the tasks of a container may make, and
 * takes the place of a seccomp filter where a filter cannot go: on a container
 * that runs. It is a table (struct hoody_table) that the agent compiles from an
 * OCI seccomp profile. Profiles belong to a network namespace's registry, like
 * containers; a container names the one that holds for it. Which tasks those
 * are is decided by cgroup ancestry at every call, so that a new cgroup, user
 * namespace, fork or exec inside the container changes nothing.
 *
 * The module hooks the entry of exactly those calls that the profile of some
 * container restricts: every other call costs nothing, everywhere. A call is
 * decided when its function is entered, which is after seccomp filters and
 * tracers had their say, on the registers that the call will read.
 *
 * HOODY_CMD_PROFILE_SET
 *	Loads a profile or replaces the one of that name, at once for all of its
 *	containers: a call is decided by the old table or by the new one, and when
 *	the command returns no call is begun under the old one any more. Hooks
 *	that are missing are placed first; where one cannot be placed nothing
 *	changes and the text names the function (-EBUSY: another user, live
 *	patching for one, redirects it already).
 *		PROFILE, GENERATION, TABLE	required
 *		MODE				enum hoody_set_mode
 *
 * HOODY_CMD_PROFILE_DEL
 *	PROFILE required. -EBUSY while a container has it. GENERATION as in
 *	CONTAINER_DEL.
 *
 * HOODY_CMD_PROFILE_GET
 *	With PROFILE: one profile: GENERATION, USERS (containers that have it) and
 *	TABLE. As a dump: all of them, without TABLE.
 *
 * HOODY_CMD_GATE_GET
 *	A dump; ID required: the calls of that container that were not freely
 *	allowed, one message each with ARCH, SYSCALL and COUNT. Counted since the
 *	container got a profile; replacing profile or mode does not reset them.
 *
 * CONTAINER_SET with PROFILE attaches one; CGROUP is then required and may not
 * be the root. GATE_MODE HOODY_GATE_LEARN counts and reports what the profile
 * would refuse, and lets it pass. A CONTAINER_SET without PROFILE detaches.
 * While any container has a profile the module cannot be unloaded.
 *
 * Every call that was not freely allowed is counted; the first of each second
 * (at most HOODY_GATE_EVENTS a second for one container) are also sent as
 * HOODY_EVENT_GATE: ID, GATE_MODE, PID (thread, as the initial pid namespace
 * has it), COMM, ARCH, SYSCALL, ARGS (six u64), ACTION (enum hoody_action, or-ed
 * with the errno in the upper half) and COUNT (events left out since the last).
 *
 * ---- Memory merging --------------------------------------------------------
 *
 * The kernel (KSM) merges identical anonymous pages of processes that ask for
 * it. Here the host asks, for the processes of a container: those below its
 * cgroup, by a walk over all processes that begins at once and is repeated every
 * HOODY_KSM_PERIOD seconds (module parameter ksm_period), so that processes that
 * come in from outside are found. What a marked process forks, executes or maps
 * later is marked by the kernel itself. Marking merges nothing yet: that is the
 * work of ksmd, whose pace is set in /sys/kernel/mm/ksm.
 *
 * Left alone: shared, device, hugetlb and DAX mappings (the kernel's rule);
 * memory locked by mlock(2) (within a period, where it is locked later);
 * processes of a name that was given, also where they merge of their own
 * accord; and processes that, once marked, took themselves out by
 * prctl(PR_SET_MEMORY_MERGE, 0), as are areas that madvise(MADV_UNMERGEABLE) was
 * called for after the marking. Before it, the kernel keeps no trace of such a
 * call.
 *
 * Merging is one pool for the whole host, and who shares a page can find out by
 * the time that a write takes. Therefore containers of one domain only are
 * marked at a time: another one is refused (-EBUSY) until the last of the former
 * domain has nothing merged any more.
 *
 * HOODY_CMD_KSM_SET
 *	ID and KSM_MODE required; the container has to be registered with a
 *	cgroup that is not the root (-EINVAL). HOODY_KSM_ON marks: KSM_DOMAIN
 *	(absent: its project), KSM_NAME (up to HOODY_KSM_NAMES_MAX) the names of
 *	processes to leave out, as in /proc/PID/comm, in place of those that were
 *	given before. HOODY_KSM_OFF undoes: each process gets copies of its own,
 *	in the background and as far as the container's cgroups and the host have
 *	room; what has to wait is tried again every period. A container that is
 *	deleted or gets another cgroup is undone in the same way.
 *
 * HOODY_CMD_KSM_GET
 *	With ID: one container, -ENOENT where nothing is marked or being undone.
 *	As a dump: all of the namespace. ID, KSM_DOMAIN, KSM_STATE (enum
 *	hoody_ksm_state), KSM_NAME, and KSM_COUNTS: an array of u64 in the order
 *	of enum hoody_ksm_count, as of the last complete walk.
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
 * The client's port is kept where the connection's four-tuple is free, which it
 * also is when the last connection of it is closed by both sides; otherwise (or
 * with port 0 or HOODY_REALIP_ANY_PORT) the kernel picks one: getsockname(2)
 * tells which. A failed call leaves the socket as it was. A
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
 *
 * A later EADDRINUSE by SO_ERROR: the container has a connection of its own, from
 * that port to the client's address and port. It goes on undisturbed. Close the
 * socket and try again with HOODY_REALIP_ANY_PORT.
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
	HOODY_CMD_PROFILE_SET,
	HOODY_CMD_PROFILE_DEL,
	HOODY_CMD_PROFILE_GET,
	HOODY_CMD_GATE_GET,
	HOODY_CMD_KSM_SET,
	HOODY_CMD_KSM_GET,

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
	HOODY_A_PROFILE,		/* string, 1 to HOODY_PROFILE_NAME_MAX characters */
	HOODY_A_TABLE,			/* binary, struct hoody_table and what follows it */
	HOODY_A_GATE_MODE,		/* u32: enum hoody_gate_mode */
	HOODY_A_ARCH,			/* u32: enum hoody_arch */
	HOODY_A_SYSCALL,		/* u32: number of the call */
	HOODY_A_PID,			/* u32 */
	HOODY_A_COMM,			/* string */
	HOODY_A_ARGS,			/* binary, six u64 */
	HOODY_A_ACTION,			/* u32: enum hoody_action | errno << 16 */
	HOODY_A_COUNT,			/* u64 */
	HOODY_A_USERS,			/* u32 */
	HOODY_A_KSM_MODE,		/* u32: enum hoody_ksm_mode */
	HOODY_A_KSM_DOMAIN,		/* binary, HOODY_ID_LEN, not all zero */
	HOODY_A_KSM_NAME,		/* string, 1 to 15 characters; repeatable */
	HOODY_A_KSM_STATE,		/* u32: enum hoody_ksm_state */
	HOODY_A_KSM_COUNTS,		/* binary, u64 each: enum hoody_ksm_count */

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
	HOODY_EVENT_GATE,
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
	HOODY_STAT_REALIP_PAIR_TAKEN,	/* attempts that met the container's own connection */
	HOODY_STAT_EVENTS_LOST,		/* events that no memory could be had for */
	HOODY_STAT_GATE_REFUSED,	/* calls that a profile refused */
	HOODY_STAT_GATE_LEARNED,	/* calls that one would have refused in learn mode */
	HOODY_STAT_GATE_LOGGED,		/* calls allowed by the action "log" */
	HOODY_STAT_GATE_HOOKED,		/* functions hooked now, in the whole host (a gauge) */

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

/* What user space gives to PROFILE: [A-Za-z0-9][A-Za-z0-9._-]* */
#define HOODY_PROFILE_NAME_MAX	63
/* Events about the calls of one container, a second. */
#define HOODY_GATE_EVENTS	10

enum hoody_gate_mode {
	HOODY_GATE_ENFORCE,		/* what an absent GATE_MODE means */
	HOODY_GATE_LEARN,
	__HOODY_GATE_MAX,
};
#define HOODY_GATE_MAX (__HOODY_GATE_MAX - 1)

/* x32 calls are decided as the 64-bit calls of the same meaning. */
enum hoody_arch {
	HOODY_ARCH_X86_64,
	HOODY_ARCH_IA32,		/* int 0x80, sysenter, 32-bit syscall */
	HOODY_ARCHS,
};

enum hoody_action {
	HOODY_ACTION_ALLOW,
	HOODY_ACTION_LOG,		/* allowed, counted and reported */
	HOODY_ACTION_ERRNO,		/* returns -errno; 0 to 4095 */
	HOODY_ACTION_TRAP,		/* SIGSYS with SYS_SECCOMP; errno is its si_errno */
	/*
	 * Both end the process, by SIGSYS that nothing can catch: no function that
	 * ends one thread is exported by every supported kernel.
	 */
	HOODY_ACTION_KILL_THREAD,
	HOODY_ACTION_KILL_PROCESS,
	__HOODY_ACTION_MAX,
};
#define HOODY_ACTION_MAX (__HOODY_ACTION_MAX - 1)

enum hoody_op {
	HOODY_OP_EQ,
	HOODY_OP_NE,
	HOODY_OP_LT,
	HOODY_OP_LE,
	HOODY_OP_GT,
	HOODY_OP_GE,
	__HOODY_OP_MAX,
};
#define HOODY_OP_MAX (__HOODY_OP_MAX - 1)

#define HOODY_TABLE_MAGIC	0x59444f48	/* "HODY" */
#define HOODY_TABLE_VERSION	1
#define HOODY_TABLE_CALLS	512	/* numbers of one architecture */
#define HOODY_TABLE_ACTIONS	32
#define HOODY_TABLE_CHECKS	128	/* of one architecture */
#define HOODY_TABLE_RULES	1536
#define HOODY_TABLE_CONDS	1536
#define HOODY_TABLE_CHECKED	0x80

struct hoody_table_action {
	__u16	kind;			/* enum hoody_action */
	__u16	error;			/* 0 but for ERRNO and TRAP */
};

/* "(argument & mask) op value", unsigned; 32 bits of each for ia32. */
struct hoody_table_cond {
	__u64	mask;
	__u64	value;
	__u8	arg;			/* 0 to 5 */
	__u8	op;			/* enum hoody_op */
	__u8	pad[6];
};

/* Rules in order: the first whose conditions all hold decides, else @otherwise. */
struct hoody_table_check {
	__u16	rule;			/* the first one */
	__u16	rules;			/* at least 1 */
	__u8	otherwise;		/* an action */
	__u8	pad[3];
};

struct hoody_table_rule {
	__u16	cond;			/* the first one */
	__u8	conds;			/* at least 1 */
	__u8	action;
};

/*
 * A compiled profile. All numbers are in the host's byte order, every pad is 0,
 * and @size is the sum of the parts and the length of the attribute. A decision
 * is the index of an action, or HOODY_TABLE_CHECKED | the index of a check of
 * that architecture. Action 0 is ALLOW; only the first @actions are used, the
 * others are 0.
 *
 *	struct hoody_table
 *	struct hoody_table_cond		[conds]
 *	struct hoody_table_check	[checks[0]], then [checks[1]]
 *	struct hoody_table_rule		[rules]
 */
struct hoody_table {
	__u32	magic;
	__u16	version;
	__u16	actions;
	__u32	size;
	__u16	conds;
	__u16	rules;
	__u16	checks[HOODY_ARCHS];
	__u8	beyond[HOODY_ARCHS];	/* the action for numbers past the table */
	__u8	pad[2];
	struct hoody_table_action action[HOODY_TABLE_ACTIONS];
	__u8	decision[HOODY_ARCHS][HOODY_TABLE_CALLS];
};

/* Seconds between walks that find what was not marked by the kernel itself. */
#define HOODY_KSM_PERIOD	10
/* Names of processes that one container may have left out. */
#define HOODY_KSM_NAMES_MAX	16

enum hoody_ksm_mode {
	HOODY_KSM_OFF,
	HOODY_KSM_ON,
	__HOODY_KSM_MODE_MAX,
};
#define HOODY_KSM_MODE_MAX (__HOODY_KSM_MODE_MAX - 1)

enum hoody_ksm_state {
	HOODY_KSM_UNSPEC,
	HOODY_KSM_MARKING,		/* a walk is under way or due */
	HOODY_KSM_MARKED,		/* the last walk found nothing to do */
	HOODY_KSM_UNMARKING,		/* being undone */
	HOODY_KSM_STOPPED_CGROUP,	/* undone in part: a cgroup's memory.max is in the way */
	HOODY_KSM_STOPPED_HOST,		/* undone in part: the host is short of memory */
	HOODY_KSM_STOPPED_KERNEL,	/* the kernel had no memory for its own tables */
};

/* As of the last walk, but for the first five, which grow. */
enum hoody_ksm_count {
	HOODY_KSM_WALKS,		/* complete ones */
	HOODY_KSM_PROCESSES_MARKED,	/* that a walk had to mark */
	HOODY_KSM_PROCESSES_UNMARKED,
	HOODY_KSM_AREAS_MARKED,		/* memory areas of these */
	HOODY_KSM_WALK_NS,		/* time of the walks, which are for all containers */
	HOODY_KSM_PROCESSES,		/* below the cgroup */
	HOODY_KSM_NAMED,		/* left out by name */
	HOODY_KSM_LEFT,			/* that took themselves out */
	HOODY_KSM_BUSY,			/* whose memory could not be locked in time */
	HOODY_KSM_PAGES,		/* merged pages, zero pages apart */
	HOODY_KSM_ZERO_PAGES,
	HOODY_KSM_ITEMS,		/* that ksmd keeps for them, HOODY_KSM_ITEM_BYTES each */
	__HOODY_KSM_COUNT_MAX,
};
/* What the kernel itself counts for an item (ksm_rmap_item) on 64-bit machines. */
#define HOODY_KSM_ITEM_BYTES	64

#endif /* _UAPI_LINUX_HOODY_H */
