/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: a process of its own, without privileges, that carries what
 * containers with an exit open. Everything that comes from proxies and from
 * containers is read here and not in control.
 *
 *	process.c		the process: control's messages, sandbox, listeners
 *	resolve.c	datagrams: queries go to names/, others to udp.c
 *	udp.c		other UDP, through SOCKS5
 *	session.c	one connection: connect, TLS, handshake, then bytes
 *	pump.c		the bytes: splice(2), or copied where TLS is in the way
 *	way.c		by which interface sockets without an exit leave
 *	strict.c	what connections say, held against rules about names (strict.h)
 *	policy.c	whose connections, where to
 *	handshake.c	what is said to proxies
 *	health.c	whether exits work
 *	counted.c	what one leaves to the next: its counters
 *	exit.c		exits as users write them
 *
 * One thread, one loop. A connection of the container is there, with the
 * destination that it asked for as its local address, before its exit is known
 * to work: where it does not, the container gets a reset.
 */
#ifndef HOODY_RELAY_RELAY_H
#define HOODY_RELAY_RELAY_H

#include "lib/loop.h"
#include "relay/handshake.h"
#include "relay/policy.h"

#define RELAY_SESSIONS_MAX	8192
#define RELAY_CONTAINER_MAX	1024	/* connections of one container at once */
#define RELAY_CHUNK		16384	/* copied at once: one TLS record */

/* One side of a session. */
struct relay_end {
	struct loop_source	source;		/* fd -1: closed */
	struct relay_session	*session;
	SSL			*ssl;		/* of the proxy's side, for EXIT_HTTPS */
};

/* One direction. Bytes wait in the pipe, or in @bytes, never in both unread. */
struct relay_flow {
	int			pipe[2];	/* -1: none, everything is copied */
	size_t			held;		/* in the pipe */
	char			*bytes;		/* RELAY_CHUNK, or NULL */
	size_t			start, end;
	bool			ended;		/* no more comes in */
	bool			closed;		/* and the other side has been told */
};

enum relay_state {
	RELAY_HELLO,		/* of a strict container: what it says first */
	RELAY_CONNECTING,	/* TCP towards the proxy */
	RELAY_TLS,
	RELAY_HANDSHAKE,
	RELAY_OPEN,
};

struct relay;
struct relay_association;
struct relay_udp;
struct strict_udp;
struct names;

struct relay_session {
	struct relay		*relay;
	struct relay_container	*container;	/* of the policy that holds */
	struct relay_exit	*exit;		/* referenced; EXIT_DIRECT: its own */
	struct list		node;		/* relay->sessions */
	struct loop_task	task;		/* goes on pumping, or frees */
	struct loop_timer	timer;
	enum relay_state	state;
	struct relay_end	client, proxy;
	struct address		place;		/* of the proxy, that is tried or was reached */
	char			way[IFNAMSIZ];	/* EXIT_DIRECT, once it is dialled: see way.c */
	unsigned int		tries;		/* addresses that were tried before */
	struct relay_flow	out, in;	/* to the proxy, to the container */
	struct handshake	handshake;
	size_t			sent;		/* of handshake.out */
	struct relay_association *association;	/* UDP's, see udp.h; NULL: a connection */
	bool			probe;		/* without a container: ends when it is OPEN */
	char			*name;		/* that it has said; NULL: not asked to */
	unsigned int		peeks;		/* RELAY_HELLO: looks at what is there */
};

struct relay {
	struct loop		loop;
	struct relay_policy	*policy;
	X509_STORE		*trust;
	struct list		sessions;
	size_t			sessions_count;
	struct relay_udp	*udp;
	struct strict_udp	*strict;
	struct names		*names;
	/* Reads what control has said before what came after it is judged. */
	void			(*heed)(struct relay *relay);
	uint64_t		strangers;	/* connections of no container */
	struct relay_stats	gone;		/* counters of containers that have left */
	struct relay_container	prober;		/* what probes count, and nobody asks for */
	uint32_t		probe_ms;	/* of the policy; 0: none are made */
	unsigned int		probes;		/* under way */
	bool			draining;	/* takes nothing new, and ends when nothing is open */
};

/* process.c: the process that --relay is. Returns the exit status. */
int relay_run(void);

/* process.c: something has ended: the last of it ends a relay that drains. */
void relay_left(struct relay *relay);

/* process.c: 0 where it is no Internet address. */
bool relay_address(const struct sockaddr_storage *storage, struct address *address, uint16_t *port);

/*
 * resolve.c: takes what waits in a UDP socket that packets are steered to; @strict:
 * those that have to say a name. True where there may be more.
 */
bool relay_take_datagrams(struct relay *relay, int udp, bool strict);
/* A datagram to @peer by @fd's port, from any address @from. */
bool relay_send_from(int fd, const struct address *from, const struct address *peer,
		     uint16_t peer_port, const void *bytes, size_t len);

/*
 * way.c: holds @fd, a new socket without an exit, to the interface of the container's
 * tunnel where it has one. 0, and @way is what it is held to; or a negative errno:
 * then nothing may be sent by it.
 */
int relay_way_take(const struct relay_container *container, int fd, char way[IFNAMSIZ]);
/* Whether what was opened by @way is still how the container's sockets leave. */
bool relay_way_holds(const struct relay_container *container, const char *way);

/*
 * session.c: takes @fd over. Cuts it where it cannot be carried, and counts why.
 * @strict: it has to say a name first.
 */
void relay_session_start(struct relay *relay, int fd, const struct address *peer,
			 const struct address *destination, uint16_t port, bool strict);
/*
 * The same for datagrams: asks the proxy for UDP, with @fd as a client that says
 * nothing and whose end is the session's. NULL: @fd is closed, and counted why.
 */
struct relay_session *relay_session_associate(struct relay *relay, int fd,
					      struct relay_container *container,
					      struct relay_association *association);
/* The same for nobody: whether the proxy answers and takes the login, see health.h. */
void relay_session_probe(struct relay *relay, struct relay_exit *exit);
/* In order, without a reset. */
void relay_session_end(struct relay_session *session);
/* Resets both sides; freed at the end of the turn. */
void relay_session_cut(struct relay_session *session);

/*
 * pump.c: moves what can be moved, in one direction. 1: that direction is over,
 * 0: waits for an event, -EAGAIN: has had its share of this turn, or another
 * negative errno: the connection is broken. @count grows by what went on.
 */
int relay_pump(struct relay_flow *flow, struct relay_end *from, struct relay_end *to,
	       uint64_t *count);
void relay_flow_setup(struct relay_flow *flow);
void relay_flow_open_pipe(struct relay_flow *flow);
void relay_flow_clear(struct relay_flow *flow);
/* As read(2) and send(2), with a negative errno; TLS or not. */
ssize_t relay_end_read(struct relay_end *end, void *bytes, size_t size);
ssize_t relay_end_write(struct relay_end *end, const void *bytes, size_t len);

/* sandbox.c: see front/sandbox.h; what this process needs. 0 or a negative errno. */
int relay_seal(void);

#endif /* HOODY_RELAY_RELAY_H */
