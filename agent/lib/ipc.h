/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between control and a worker: a SOCK_SEQPACKET pair, one packet
 * one message, file descriptors beside it (SCM_RIGHTS).
 *
 *	control                          worker
 *	  | -- IPC_LISTENERS (fds) ------> |   once, first: listening sockets
 *	  | -- IPC_AUDIT (fds) ----------> |   once, or never: rings of audit records
 *	  | -- IPC_PASSES (fd) ----------> |   once, or never: memory for passes
 *	  | -- IPC_CERTIFICATE (fd) -----> |   memfd: lib/keys.h
 *	  | -- IPC_IMAGE (fd) -----------> |   memfd: lib/image.h
 *	  | <------------ IPC_READY ------ |   accepts connections from now on
 *	  | -- IPC_IMAGE, IPC_CERTIFICATE, IPC_STATS, IPC_DRAIN, any order ...
 *	  | <-------------- IPC_ACK ------ |   done in every thread; for an image
 *	  |                                |   also: what it revokes has been cut
 *
 * IPC_API comes at any time and is not answered.
 *
 * Every message of control but IPC_LISTENERS is answered with IPC_ACK (or
 * IPC_STATS_REPLY), in order and with its sequence number; a status below 0 is
 * a negative errno and means that the worker goes on with what it had. Control
 * trusts nothing that comes back: lengths are checked, and a worker that does
 * not answer within its time is ended and replaced.
 *
 * The worker finds its end as file descriptor IPC_WORKER_FD. End of file means
 * that control is gone: the worker drains and ends.
 */
#ifndef HOODY_LIB_IPC_H
#define HOODY_LIB_IPC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Grows when a worker of the version before would misread anything that control says
 * to it (messages, lib/keys.h, lib/audit_ring.h): such a control is not for it.
 * Counters are free to come and go, see control/supervise_handover.c.
 */
#define IPC_VERSION		1
#define IPC_WORKER_FD		3
#define IPC_FDS_MAX		252	/* below the kernel's SCM_MAX_FD, 253 */

enum ipc_type {
	IPC_LISTENERS = 1,	/* struct ipc_listeners, then that many fds */
	IPC_CERTIFICATE,	/* fd: the text of lib/keys.h */
	IPC_IMAGE,		/* fd: the sealed image; sequence: the image's */
	IPC_DRAIN,		/* struct ipc_drain: stop accepting, end when idle or late */
	IPC_STATS,		/* asks for IPC_STATS_REPLY */
	IPC_READY,		/* worker: serving */
	IPC_ACK,		/* worker: struct ipc_ack */
	IPC_STATS_REPLY,	/* worker: struct ipc_stats */
	IPC_API,		/* worker: fd: a stream that speaks HTTP, for control's API */
	IPC_AUDIT,		/* struct ipc_audit; fds: lib/audit_ring.h's memfd, an eventfd */
	IPC_PASSES,		/* fd: lib/pass_memory.h; the region is the listeners' slot */
};

enum ipc_listener_flags {
	IPC_LISTENER_TLS	= 1 << 0,	/* otherwise plain HTTP */
	IPC_LISTENER_QUIC	= 1 << 1,	/* UDP: HTTP/3 */
	IPC_LISTENER_REDIRECT	= 1 << 2,	/* plain, and only leads to TLS (front/plain.h) */
};

struct ipc_message {
	uint32_t	type;
	uint32_t	length;			/* of what follows this header */
	uint64_t	sequence;
};

/*
 * @count sockets follow as fds: for each address one per thread, all threads of
 * the first address first. Each is non-blocking, listening, SO_REUSEPORT. A UDP
 * socket is number @slot * @threads + thread of its address, which is what
 * connection ids name (lib/quic_cid.h).
 */
struct ipc_listeners {
	uint32_t	threads;
	uint32_t	addresses;
	uint32_t	flags[16];		/* per address: enum ipc_listener_flags */
	uint32_t	slot;
	uint32_t	reserved;
	uint8_t		quic_secret[32];	/* for tokens and stateless resets */
};

/* One ring for each thread. */
struct ipc_audit {
	uint32_t	rings;
	uint32_t	records;		/* in each */
};

/* May be sent again, with another deadline. */
struct ipc_drain {
	uint32_t	deadline_ms;
	uint32_t	replaced;		/* not 0: another worker serves, see front/thread.h */
};

struct ipc_ack {
	int32_t		status;
	uint32_t	reserved;
};

/*
 * Counters of all threads added up. Every refusal has one; a name for each, for
 * the API and for humans, comes from IPC_COUNTERS.
 */
#define IPC_COUNTERS(X) \
	X(connections_accepted)		/* by clients */ \
	X(connections_open)		/* gauge */ \
	X(connections_refused_limit)	/* over connections_max */ \
	X(connections_refused_client)	/* over connections_per_client_max */ \
	X(connections_refused_rate)	/* over handshakes_per_client */ \
	X(connections_refused_memory)	/* the worker is over memory_max */ \
	X(tls_handshakes)		/* finished */ \
	X(tls_handshakes_failed) \
	X(early_taken)			/* handshakes whose early data was taken */ \
	X(early_refused)		/* the same, whose was not: late, seen, of another worker */ \
	X(early_replayed)		/* of these: the same hello had come before */ \
	X(early_requests)		/* sent on before their handshake's end */ \
	X(early_waited)			/* held back until then */ \
	X(refused_early)		/* 425: no memory to hold it back */ \
	X(requests)			/* heads decoded */ \
	X(requests_open)		/* gauge */ \
	X(responses_1xx) \
	X(responses_2xx) \
	X(responses_3xx) \
	X(responses_4xx) \
	X(responses_5xx) \
	X(refused_malformed)		/* 400 */ \
	X(refused_too_large)		/* 431 */ \
	X(refused_no_route)		/* 404: the host parses to nothing */ \
	X(refused_deleted)		/* 404: tombstone */ \
	X(refused_unavailable)		/* 503: unknown or stopped */ \
	X(refused_unauthorized)		/* 401: credentials are asked for */ \
	X(refused_forbidden)		/* 403: permissions */ \
	X(refused_checks)		/* 429, 503: too many slow checks, or no memory */ \
	X(permission_checks)		/* passwords and signatures that were checked */ \
	X(refused_rate)			/* 429: a rate limit of the container */ \
	X(refused_memory)		/* 503: the worker is over memory_max */ \
	X(middleware_requests)		/* sent to a middleware */ \
	X(middleware_passed)		/* sent on by one, with its pass */ \
	X(refused_pass)			/* 403: a pass that is used, wrong or too late */ \
	X(refused_loop)			/* 508: a middleware's own request without a pass */ \
	X(refused_middleware)		/* 503: the middleware is not running */ \
	X(limits_forgotten)		/* buckets that made room for others too early */ \
	X(refused_upstream_limit)	/* 503: upstream_per_container_max */ \
	X(upstream_failed)		/* 502 */ \
	X(upstream_timeout)		/* 504 */ \
	X(timeouts_client)		/* head, body, keep-alive, handshake */ \
	X(upgrades)			/* WebSocket and others, switched */ \
	X(upgrades_open)		/* gauge */ \
	X(exchanges_cut)		/* ended because their container went away */ \
	X(exchanges_expired)		/* ended because the token that let them in expired */ \
	X(upstream_connects)		/* new connections to containers */ \
	X(upstream_reused)		/* exchanges on a kept connection */ \
	X(upstream_retried)		/* stale kept connection, sent again on a new one */ \
	X(upstream_idle)		/* gauge */ \
	X(upstream_evicted)		/* kept connections closed for room */ \
	X(real_ip_used)			/* upstream connections from the client's address */ \
	X(real_ip_off)			/* ordinary: switched off or no module */ \
	X(real_ip_family)		/* ordinary: the container lacks the client's family */ \
	X(real_ip_local_client)		/* ordinary: the client is the host or loopback */ \
	X(real_ip_refused)		/* 502: the module refused, nothing was sent */ \
	X(audit_records)		/* handed to control */ \
	X(audit_lost)			/* the ring was full */ \
	X(bytes_from_clients) \
	X(bytes_to_clients) \
	X(http2_connections)		/* begun */ \
	X(http2_streams)		/* requests over HTTP/2 */ \
	X(http2_streams_refused)	/* more at once than was announced */ \
	X(http2_resets)			/* by clients */ \
	X(http2_protocol_errors)	/* a stream or the connection reset for one */ \
	X(http2_reset_floods)		/* connections ended: rapid reset */ \
	X(http2_control_floods)		/* the same: PING, SETTINGS, empty DATA, ... */ \
	X(http2_continuation_floods)	/* the same: CONTINUATION */ \
	X(http2_header_bombs)		/* the same: a header list far above its limit */ \
	X(quic_connections)		/* begun */ \
	X(quic_connections_open)	/* gauge; connections_open has them too */ \
	X(quic_datagrams)		/* received */ \
	X(quic_datagrams_sent) \
	X(quic_sends)			/* calls that sent them, up to 64 at once */ \
	X(quic_sends_blocked)		/* calls refused for a full socket: sent later */ \
	X(quic_packets_unknown)		/* datagrams that belong to nothing, or are no QUIC */ \
	X(quic_version_negotiations)	/* offers of other versions sent */ \
	X(quic_retries)			/* clients asked to prove their address */ \
	X(quic_tokens_refused)		/* a wrong answer to that */ \
	X(quic_resets)			/* stateless resets sent */ \
	X(quic_refused_limit)		/* over connections_max, or draining */ \
	X(quic_refused_client)		/* too many connections of one client address */ \
	X(quic_errors)			/* connections ended for a fault of the client */ \
	X(quic_migrations)		/* clients that came with another address */ \
	X(http3_streams)		/* requests over HTTP/3 */ \
	X(http3_resets)			/* by clients */ \
	X(http3_protocol_errors)	/* a stream or the connection ended for one */ \
	X(http3_reset_floods)		/* connections ended: rapid reset */ \
	X(http3_header_bombs)		/* the same: a header list far above its limit */

struct ipc_stats {
#define X(name) uint64_t name;
	IPC_COUNTERS(X)
#undef X
};

/*
 * ipc_send(): one message; @fds stay the caller's. Returns 0 or a negative
 * errno; -EAGAIN where the peer does not read.
 * ipc_receive(): one message into @payload (at most @size), fds into @fds
 * (room for IPC_FDS_MAX, close-on-exec, the caller's from then on). Returns
 * the payload's length, -EAGAIN, -ECONNRESET at end of file, -EBADMSG for what
 * does not parse (its fds are closed).
 */
int ipc_send(int sock, uint32_t type, uint64_t sequence, const void *payload, size_t length,
	     const int *fds, size_t fds_count);
ssize_t ipc_receive(int sock, struct ipc_message *message, void *payload, size_t size,
		    int *fds, size_t *fds_count);

#endif /* HOODY_LIB_IPC_H */
