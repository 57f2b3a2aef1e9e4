/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layouts that the firewall programs share with the agent: the policy image,
 * flow records, counters and drop events. Included by both, with <linux/types.h>
 * types only, so that there is one description of every byte.
 *
 * FW_LAYOUT stands in the names of pinned maps: whoever changes a layout raises
 * it, and an old program never reads a new map.
 *
 * The policy image of a container is an array of lines of 64 bytes, addressed by
 * the index of a 32-bit word (16 words a line). Host byte order throughout.
 *
 *	word 0		struct fw_header, FW_HEADER_LINES lines
 *	...		for each section (direction and family) its boundaries: the
 *			address space cut where the answer changes, in ascending order,
 *			from the beginning of a line on
 *			v4: pairs { first address, node }; where they take more than
 *			one line, an index behind them: the first address of each line,
 *			16 in a line, the rest of the last one 0xffffffff; then an index
 *			of that, and so on until one is a single line
 *			v6: keys of 4 words, most significant first, then the nodes
 *	...		nodes: what the rules say about one piece of address space
 *	...		port tables: words { first port, action, rule }, ascending
 *	...		counters: struct fw_counter, one for each rule
 *
 * An image is written by user space before a program can see it, and replaced as
 * a whole; only counters change afterwards.
 */
#ifndef HOODY_BPF_SHARED_H
#define HOODY_BPF_SHARED_H

#include <linux/types.h>

#define FW_LAYOUT		4

#define FW_LINE_WORDS		16
#define FW_LINE_SIZE		64
#define FW_HEADER_LINES		5
#define FW_ADDRESSES_MAX	8	/* of one family, as in the registry */

/* A rule's number has 14 bits in a port table. */
#define FW_RULES_MAX		16384
/* Prefixes of one section after selectors were resolved; 2n+1 boundaries. */
#define FW_PREFIXES_MAX		65536
#define FW_BOUNDARIES_MAX	(2 * FW_PREFIXES_MAX + 1)
/* Steps of a binary search that is sure to end: 2^18 > FW_BOUNDARIES_MAX. */
#define FW_SEARCH_STEPS		18
/* Nodes that one decision visits: the compiler merges where nesting is deeper. */
#define FW_HOPS_MAX		8
/* Lines of one image: 16 MiB. */
#define FW_LINES_MAX		(1 << 18)

/* Addresses that names stand for: of all containers, and rules about one of them. */
#define FW_NAMES_MAX		(1 << 18)
#define FW_OPENINGS_MAX		16
/* How long after a sweep that saw a flow its address is still known, ns. */
#define FW_NAME_LINGER		(60ull * 1000000000)

/* Containers of one host; slot 0 counts what belongs to none. */
#define FW_SLOTS_MAX		4096

/* Addresses of registered containers: two families of all slots. */
#define FW_MEMBERS_MAX		(FW_SLOTS_MAX * 2 * FW_ADDRESSES_MAX)

enum fw_direction {
	FW_EGRESS,	/* from the container: the host end's ingress hook */
	FW_INGRESS,	/* to the container: the host end's egress hook */
	FW_DIRECTIONS,
};

enum fw_family {
	FW_V4,
	FW_V6,
	FW_FAMILIES,
};

enum fw_action {
	FW_NONE,	/* no rule says anything: the default decides */
	FW_ALLOW,
	FW_DENY,
};

enum fw_flags {
	/* The default is to pass: no policy is in force in that direction. */
	FW_EGRESS_OPEN		= 1 << 0,
	FW_INGRESS_OPEN		= 1 << 1,
	/* @mac is known. Otherwise the first frame's sender is held to. */
	FW_MAC_KNOWN		= 1 << 2,
	/*
	 * What the container opens: nothing of it leaves, or TCP and UDP go to the
	 * relay's sockets and nothing else leaves. See lib/exit.h.
	 */
	FW_EXIT_BLOCK		= 1 << 3,
	FW_EXIT_RELAY		= 1 << 4,
	/* What only the default would drop passes, and is told (FW_TOLD_LEARNED). */
	FW_LEARN		= 1 << 5,
	/* May reach the other containers of its project without a rule. */
	FW_GATEWAY		= 1 << 6,
	/* What the container opens leaves by the tunnel of the header, and no other way. */
	FW_EXIT_TUNNEL		= 1 << 7,
	FW_EXIT_ANY		= FW_EXIT_BLOCK | FW_EXIT_RELAY | FW_EXIT_TUNNEL,
	/* What it opens to port 53 is the relay's, by whatever exit. */
	FW_NAMES		= 1 << 8,
	/*
	 * There are rules about names: port 53 needs no rule, as nothing of it leaves,
	 * 853 (DNS over TLS and QUIC) needs one about a name, and struct fw_name holds.
	 */
	FW_NAMES_ONLY		= 1 << 9,
	/* Every new flow that passes is told (FW_TOLD_FLOW). */
	FW_TELL_FLOWS		= 1 << 10,
	/* What a rule about a name opened goes to the relay, which reads what it says. */
	FW_STRICT		= 1 << 11,
};

/*
 * The sockets that packets are steered to: indices of the map fw_relay, and behind
 * FW_RELAY_PLAIN_SOCKETS, in the same order, of fw_strict (FW_STRICT).
 */
enum fw_relay_socket {
	FW_RELAY_TCP4,
	FW_RELAY_TCP6,
	FW_RELAY_UDP4,
	FW_RELAY_UDP6,
	FW_RELAY_PLAIN_SOCKETS,
	FW_RELAY_STRICT_TCP4	= FW_RELAY_PLAIN_SOCKETS,
	FW_RELAY_STRICT_TCP6,
	FW_RELAY_STRICT_UDP4,
	FW_RELAY_STRICT_UDP6,
	FW_RELAY_SOCKETS,
};

/*
 * The firewall mark of steered packets. A routing rule of the host takes them to
 * a table in which every address is local; without it the kernel drops them,
 * because it does not forward a packet that belongs to a socket.
 */
#define FW_MARK			0xd0000000u
#define FW_MARK_MASK		0xf0000000u

/*
 * The mark of packets for tunnel @n. A routing rule for each takes them to a table
 * that knows the tunnel alone, one behind all of them refuses what is left, and the
 * host's packet filter drops what leaves by another interface all the same.
 */
#define FW_TUNNEL_MARK		0xe0000000u
#define FW_TUNNEL_MARK_MASK	0xfff00000u
#define FW_TUNNEL_MARK_SHIFT	20
#define FW_TUNNELS_MAX		255

/* Whose connection a flow is: each kind has a quota of its own. */
enum fw_flow_class {
	FW_FLOW_EGRESS,		/* opened by the container */
	FW_FLOW_INGRESS,	/* opened from outside, allowed by a rule */
	FW_FLOW_AGENT,		/* opened by the agent for a client */
	FW_FLOW_CLASSES,
};

struct fw_line {
	__u32	words[FW_LINE_WORDS];
};

struct fw_section {
	__u32	base;		/* word of the first boundary, a multiple of FW_LINE_WORDS */
	__u32	count;		/* boundaries; 0: no rule of this section */
};

/* Boundaries of IPv4 in one line, and the lines that @count of them take. */
#define FW_LINE_BOUNDARIES4	(FW_LINE_WORDS / 2)
#define FW_LINES4(count)	(((count) + FW_LINE_BOUNDARIES4 - 1) / FW_LINE_BOUNDARIES4)
/* Lines of the index over @lines, which names the first address of each. */
#define FW_INDEX_LINES(lines)	(((lines) + FW_LINE_WORDS - 1) / FW_LINE_WORDS)

/* Whose packets they are, or ought to be. */
struct fw_owner {
	__u8	mac[6];
	__u8	addresses4, addresses6;	/* how many */
};

/* The first line of an image: what every packet is held to. */
struct fw_head {
	__u64	generation;
	__u32	slot;
	__u32	flags;			/* enum fw_flags */
	struct fw_owner who;
	__u32	quota[FW_FLOW_CLASSES];
	__u32	rules;
	__u32	counters;		/* word of the first counter */
	__u8	steer_mac[6];		/* of the host's device that takes IP in; 0: none */
	__u8	tunnel;			/* for FW_EXIT_TUNNEL: 1 to FW_TUNNELS_MAX; 0: none yet */
	__u8	pad;
	__u32	project[3];		/* its id */
};

struct fw_header {
	struct fw_head head;
	/* line 1 */
	struct fw_section sections[FW_DIRECTIONS][FW_FAMILIES];
	__u32	address4[FW_ADDRESSES_MAX];	/* host order */
	/* lines 2 and 3: as on the wire */
	__u8	address6[FW_ADDRESSES_MAX][16];
	/* line 4 */
	__u8	owner[12];		/* the container's id, for the agent that takes over */
	__u32	steer_bridge;		/* ifindex; 0: the interface takes IP in itself */
	__u8	pad4[48];
};

/* 8 words, at a multiple of 8. */
struct fw_node {
	__u32	tcp, tcp_count;		/* word of the port table, its entries */
	__u32	udp, udp_count;
	__u32	icmp;			/* one entry; ICMP or ICMPv6 by the section */
	__u32	other;			/* one entry: every other protocol */
	__u32	link;			/* node of a wider prefix that has a say too; 0: none */
	__u32	pad;
};

#define FW_ENTRY(port, action, rule)	((__u32)(port) << 16 | (__u32)(action) << 14 | (rule))
#define FW_ENTRY_PORT(entry)		((entry) >> 16)
#define FW_ENTRY_ACTION(entry)		((entry) >> 14 & 3)
#define FW_ENTRY_RULE(entry)		((entry) & (FW_RULES_MAX - 1))

struct fw_counter {
	__u64	packets;
	__u64	bytes;
};

/*
 * Why a packet was dropped. The numbers are told to users and stay: new ones go
 * to the end. Texts: agent/firewall/text.c.
 */
enum fw_reason {
	FW_PASSED,
	FW_DROP_NO_POLICY,		/* the interface has no policy (yet) */
	FW_DROP_MALFORMED,		/* shorter than its headers say */
	FW_DROP_VLAN,			/* 802.1Q or 802.1ad tag */
	FW_DROP_ETHERTYPE,		/* neither IPv4, IPv6 nor ARP */
	FW_DROP_SOURCE_MAC,		/* not the container's MAC address */
	FW_DROP_SOURCE_ADDRESS,		/* not one of the container's addresses */
	FW_DROP_DESTINATION,		/* to the container's port, but not to it */
	FW_DROP_ARP,			/* ARP that claims what is not the sender's */
	FW_DROP_ND,			/* neighbour discovery that does */
	FW_DROP_ROGUE_RA,		/* router advertisement or redirect */
	FW_DROP_ROGUE_DHCP,		/* DHCP server in a container */
	FW_DROP_IP_OPTIONS,
	FW_DROP_EXTENSION_HEADER,
	FW_DROP_FRAGMENT,		/* of no known datagram, or too small */
	FW_DROP_TUNNEL,			/* IP in IP, GRE and the like */
	FW_DROP_MULTICAST,		/* multicast or broadcast */
	FW_DROP_ICMP_TYPE,		/* neither echo nor an error of a known flow */
	FW_DROP_NO_FLOW,		/* belongs to no connection and opens none */
	FW_DROP_NO_SOCKET,		/* the agent's end of the connection is gone */
	FW_DROP_RULE,			/* a deny rule */
	FW_DROP_DEFAULT,		/* no rule allows it */
	FW_DROP_POLICY_CHANGED,		/* a flow that the new policy forbids */
	FW_DROP_FLOW_QUOTA,		/* the container has too many flows */
	FW_DROP_FLOW_TABLE,		/* the host's flow table is full */
	FW_DROP_LAYOUT,			/* the image contradicts itself: a bug */
	FW_DROP_EXIT_BLOCKED,		/* the container's exit is "block" */
	FW_DROP_EXIT_DOWN,		/* the relay of its exit is not there */
	FW_DROP_EXIT_PROTOCOL,		/* its exit carries only TCP and UDP, unfragmented */
	FW_DROP_CONTAINER,		/* between containers, and no rule allows it */
	FW_TOLD_LEARNED,		/* passed: the default would have dropped it */
	FW_TOLD_FLOW,			/* passed: the first packet of a flow */
	FW_REASONS,
};
#define FW_REASONS_MAX		32

#define FW_NO_RULE		0xffffffffu

/* What is asked of an image, see lib/decide.h. */
struct fw_question {
	__u32	direction;
	__u32	family;
	__u32	address[4];	/* the other side; host order words, v4: only the first */
	__u32	protocol;	/* IPPROTO_* */
	__u32	port;		/* destination port, host order; 0 where there is none */
};

struct fw_answer {
	__u32	action;		/* enum fw_action */
	__u32	rule;		/* FW_NO_RULE with FW_NONE */
	/* The look-up's own. */
	__u32	low, high;	/* of the search that is going on */
	__u32	node, allow, deny;
};

/*
 * The keys of what each packet is looked up in are multiples of eight bytes: the
 * kernel compares the bytes that are left over one by one, ten instructions each.
 */

/* Whose policy it is. */
struct fw_policy_key {
	__u64	ifindex;
};

/*
 * A flow, seen from the container: local is the container's side. The same key
 * for both directions. IPv4 addresses in the first four bytes, rest 0. For ICMP
 * echo the local port is the identifier.
 */
struct fw_flow_key {
	__u16	slot;
	__u8	family;			/* enum fw_family */
	__u8	protocol;
	__be16	local_port;
	__be16	remote_port;
	__u8	local[16];
	__u8	remote[16];
};

/* Whose an address is, where it is a registered container's. As in a flow's key. */
struct fw_member_key {
	__u32	family;			/* enum fw_family */
	__u8	address[16];
};

struct fw_member {
	__u32	project[3];
	__u32	flags;			/* FW_GATEWAY */
};

/*
 * An address that a name stands for, and what the rules about its names open there.
 * Written by the agent before the container hears of it. The revision is the upper
 * half of the policy's generation: addresses change with the rules in one step.
 */
struct fw_name_key {
	__u32	slot;
	__u32	revision;
	__u32	family;			/* enum fw_family */
	__u8	address[16];		/* as in a flow's key */
};

struct fw_opening {
	__u64	expires;		/* ns, CLOCK_MONOTONIC: opens no flow from then on */
	__u16	port_first, port_last;
	__u8	protocol;		/* IPPROTO_*; 0: every one */
	__u8	pad;
	__u16	rule;
};

struct fw_name {
	__u64	linger;			/* ns: flows that are open are known until then */
	__u64	count;
	struct fw_opening openings[FW_OPENINGS_MAX];
};

enum fw_flow_bits {
	FW_SEEN_REPLY		= 1 << 0,
	FW_SEEN_FIN_LOCAL	= 1 << 1,
	FW_SEEN_FIN_REMOTE	= 1 << 2,
	FW_SEEN_RST		= 1 << 3,
	FW_SEEN_CONFIRM		= 1 << 4,	/* TCP: the opener answered the reply */
	FW_BY_NAME		= 1 << 5,	/* a rule about a name allowed it */
};

struct fw_flow {
	__u64	generation;	/* of the policy that allowed it last */
	__u64	seen;		/* ns, the last packet */
	__u32	rule;		/* or FW_NO_RULE */
	__u8	class;		/* enum fw_flow_class */
	__u8	bits;		/* enum fw_flow_bits */
	__u16	pad;
};

struct fw_config {
	__u64	agent_cgroup;		/* 0: no agent */
	__u32	agent_level;		/* depth of that cgroup below the root */
	__u32	events_per_second;	/* of one container and kind of event; 0: none */
	__u64	swept;			/* ns, CLOCK_MONOTONIC: when idle flows were taken out */
};

/* What the program fw_sweep is called with. */
struct fw_sweep_args {
	__u32	slot;			/* delete all flows of it; 0: idle ones of all */
	__u32	deleted;		/* answer */
};

/* How much a container's events have said, and left out. */
struct fw_teller {
	__u64	limited;		/* not sent: more than events_per_second */
	__u64	lost;			/* not sent: nobody empties the ring buffer */
	__u64	second;			/* of the running count */
	__u64	count;
};

/*
 * One for each slot, shared by all CPUs, changed by atomic adds. New flows have a
 * teller of their own (fw_tellers), so that they never keep a drop from being told.
 */
struct fw_state {
	__u64	flows[FW_FLOW_CLASSES];	/* open now */
	__u64	passed[FW_DIRECTIONS];	/* packets */
	__u64	drops[FW_REASONS_MAX];
	struct fw_teller told;
	__u64	learned_mac;		/* bit 48 set: what FW_MAC_KNOWN would hold */
};

/* A drop or a new flow, as told through the ring buffer. 80 bytes. */
struct fw_event {
	__u64	time;			/* ns, CLOCK_MONOTONIC */
	__u64	generation;
	__u32	ifindex;
	__u32	slot;
	__u32	rule;			/* or FW_NO_RULE */
	__u32	length;			/* of the frame */
	__u8	reason;			/* enum fw_reason */
	__u8	direction;
	__u8	family;			/* 4, 6, or 0 where it is no IP packet */
	__u8	protocol;
	__be16	ethertype;
	__be16	local_port;		/* or ICMP identifier */
	__be16	remote_port;		/* or ICMP type and code */
	__u16	opener;			/* FW_TOLD_FLOW: enum fw_flow_class */
	__u16	pad[2];
	__u8	local[16];
	__u8	remote[16];
};

_Static_assert(sizeof(struct fw_head) == FW_LINE_SIZE, "header line 0");
_Static_assert(FW_SLOTS_MAX <= 1 << 16, "a slot fits a flow's key");
_Static_assert(sizeof(struct fw_header) == FW_HEADER_LINES * FW_LINE_SIZE, "header lines");
_Static_assert(__builtin_offsetof(struct fw_header, sections) == FW_LINE_SIZE, "header line 1");
_Static_assert(__builtin_offsetof(struct fw_header, address6) == 2 * FW_LINE_SIZE, "header line 2");
_Static_assert(__builtin_offsetof(struct fw_header, owner) == 4 * FW_LINE_SIZE, "header line 4");
_Static_assert(sizeof(struct fw_node) == 32, "two nodes a line");
_Static_assert(sizeof(struct fw_counter) == 16, "four counters a line");
_Static_assert(sizeof(struct fw_flow) == 24, "flow has no hole");
_Static_assert(sizeof(struct fw_flow_key) == 40, "flow key has no hole");
_Static_assert(sizeof(struct fw_name_key) == 28, "name key has no hole");
_Static_assert(sizeof(struct fw_opening) == 16, "opening has no hole");
_Static_assert(sizeof(struct fw_event) == 80, "event");
_Static_assert(FW_REASONS <= FW_REASONS_MAX, "reasons fit their counters");
_Static_assert(FW_RULES_MAX == 1 << 14, "rule number has 14 bits");
_Static_assert(FW_INDEX_LINES(FW_INDEX_LINES(FW_INDEX_LINES(FW_INDEX_LINES(
		       FW_LINES4(FW_BOUNDARIES_MAX))))) == 1, "four levels of an index suffice");
_Static_assert((1 << FW_SEARCH_STEPS) > FW_BOUNDARIES_MAX, "a search ends");

#endif /* HOODY_BPF_SHARED_H */
