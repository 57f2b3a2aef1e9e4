/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control and the relay process, over the messages of lib/ipc.h.
 *
 *	control                            relay
 *	  | -- RELAY_POLICY (fd) --------> |   memfd: JSON, see policy.h
 *	  | <------------ RELAY_READY ---- |   sealed; could take connections
 *	  | -- RELAY_SOCKETS (fds) ------> |   once, see struct relay_sockets: takes them
 *	  | -- RELAY_POLICY, RELAY_STATS, any order ...
 *	  | <-------------- RELAY_ACK ---- |   the policy holds, and what it forbids is cut
 *	  | -- RELAY_DRAIN (fd) ---------> |   once: takes nothing new, and ends when what
 *	  |                                |   it carries has ended
 *	  | -- RELAY_END ----------------> |   the same at once, by resets
 *
 *	  | <-- RELAY_PORT ... RELAY_PORT_SOCKET (fd) --> |   at any time
 *	  | <------------- RELAY_LEARN --- |   addresses that a name stands for
 *	  | -- RELAY_LEARNED ------------> |   the kernel knows them
 *
 * Every RELAY_POLICY is answered with RELAY_ACK, every RELAY_STATS with
 * RELAY_STATS_REPLY and every RELAY_TOTALS with RELAY_TOTALS_REPLY, with its
 * sequence number and in order. A status below 0 is
 * a negative errno and means that the relay goes on with the policy it had.
 * While one drains another serves; sockets are shared by both, so that nobody waits
 * in the queue of one that closes, and a policy goes to both.
 * End of file: control is gone; the relay ends, and nothing leaves.
 */
#ifndef HOODY_RELAY_PROTOCOL_H
#define HOODY_RELAY_PROTOCOL_H

#include "../../bpf/shared.h"
#include "lib/id.h"
#include "names/message.h"

#include <stdint.h>

/*
 * Grows when a relay of the version before would misread control, or control its
 * answers: after an upgrade that one is ended, and what it carries with it.
 */
#define RELAY_VERSION		1
#define RELAY_POLICY_BYTES_MAX	(64u << 20)
#define RELAY_DNS_MAX		4		/* servers of one container */

enum relay_message {
	RELAY_SOCKETS = 64,	/* struct relay_sockets, and as many fds */
	RELAY_POLICY,
	RELAY_STATS,		/* struct relay_stats_query */
	RELAY_READY,
	RELAY_ACK,		/* struct relay_ack */
	RELAY_STATS_REPLY,	/* struct relay_stats */
	RELAY_PORT,		/* struct relay_port: asks for a socket to answer from */
	RELAY_PORT_SOCKET,	/* struct relay_port, with one fd or none */
	RELAY_LEARN,		/* struct relay_learn; the sequence is the relay's */
	RELAY_LEARNED,		/* struct relay_ack, with that sequence */
	RELAY_TOTALS,		/* nothing follows */
	RELAY_TOTALS_REPLY,	/* struct relay_totals */
	RELAY_DRAIN,		/* fd: a memfd for what it has counted, see counted.h */
	RELAY_END,		/* nothing follows */
	RELAY_COUNTED,		/* fd: that of another relay, which has ended */
};

/* At least a TCP listener; what the host lacks is left out. */
struct relay_sockets {
	uint32_t	count;
	uint32_t	which[FW_RELAY_SOCKETS];	/* enum fw_relay_socket of each */
};

/* A UDP port of others, which the relay may not bind by itself: kernel/steer.h. */
struct relay_port {
	uint32_t	family;		/* AF_INET, AF_INET6 */
	uint32_t	port;		/* host order */
};

struct relay_ack {
	int32_t		status;
	uint32_t	reserved;
};

/*
 * An answer that a container is to get. Refused with -EPERM where no name may stand
 * for one of the addresses, with -EACCES where no rule is about the name.
 */
struct relay_learn {
	uint8_t		id[ID_LEN];
	uint32_t	ttl;		/* seconds */
	uint16_t	count;
	char		name[NAMES_TEXT_MAX];
	struct address	addresses[NAMES_ADDRESSES_MAX];
};

struct relay_stats_query {
	uint8_t		id[ID_LEN];
	uint32_t	reserved;
};

/* Of one container. Names for the API come from the list. */
#define RELAY_COUNTERS(X) \
	X(connections)			/* taken from the container */ \
	X(connections_open)		/* gauge */ \
	X(established)			/* the exit carries them */ \
	X(refused_limit)		/* more at once than it may have */ \
	X(failed_name)			/* the proxy's name has no address */ \
	X(failed_connect)		/* the proxy does not take connections */ \
	X(failed_timeout)		/* it was not ready in time */ \
	X(failed_tls)			/* certificate or TLS itself */ \
	X(failed_malformed)		/* it does not speak its protocol */ \
	X(failed_login)			/* user or password */ \
	X(failed_refused)		/* its rules forbid the destination */ \
	X(failed_unreachable)		/* it cannot reach the destination */ \
	X(failed_resources)		/* memory or descriptors of the relay */ \
	X(cut)				/* ended because the exit was changed */ \
	X(strict_passed)		/* said a name that rules allow, see strict.h */ \
	X(strict_other_name)		/* said one that they do not */ \
	X(strict_no_name)		/* said none */ \
	X(strict_hidden_name)		/* said it so that nobody can read it */ \
	X(strict_no_hello)		/* are neither TLS nor QUIC, or malformed */ \
	X(strict_udp_open)		/* gauge: UDP flows that were let through */ \
	X(udp_refused)			/* datagrams that the exit does not carry */ \
	X(udp_associations_open)	/* gauge: UDP ports behind SOCKS5 */ \
	X(udp_out)			/* datagrams through SOCKS5 */ \
	X(udp_in) \
	X(udp_dropped)			/* too much, or an answer to nothing */ \
	X(dns_queries) \
	X(dns_answered) \
	X(dns_failed)			/* no server answers */ \
	X(dns_cached)			/* answered again without asking */ \
	X(dns_refused)			/* no rule allows the name */ \
	X(dns_rebinding)		/* the name stands for the host, or for no address */ \
	X(dns_malformed)		/* queries and answers that cannot be understood */ \
	X(dns_limited)			/* more at once than it may have */ \
	X(bytes_out) \
	X(bytes_in)

enum relay_health {
	RELAY_HEALTH_UNKNOWN,	/* neither used nor probed since it was set */
	RELAY_HEALTH_UP,	/* the last attempt reached the proxy and logged in */
	RELAY_HEALTH_DOWN,
	RELAY_HEALTHS,
};

struct relay_stats {
	uint32_t	known;		/* 0: the relay has no such container */
	uint32_t	health;		/* enum relay_health, of its exit */
	uint64_t	health_ms;	/* for how long it has been so */
	char		fault[32];	/* of the last failure of the exit, or empty */
	uint64_t	fault_ms;	/* for how long that is past */
	uint64_t	probes, probes_failed;	/* of the exit */
#define X(name) uint64_t name;
	RELAY_COUNTERS(X)
#undef X
};

#define RELAY_KINDS	3	/* of exits that are relayed: EXIT_SOCKS5 to EXIT_HTTPS */

/* Of all containers since the relay was started, also of those that are gone. */
struct relay_totals {
	uint32_t	exits[RELAY_KINDS][RELAY_HEALTHS];
#define X(name) uint64_t name;
	RELAY_COUNTERS(X)
#undef X
};

#endif /* HOODY_RELAY_PROTOCOL_H */
