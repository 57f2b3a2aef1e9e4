/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarder: answers what containers ask of port 53, whatever resolver they
 * name. It runs in the relay (relay/relay.h), so that nothing hostile is read by
 * control.
 *
 *	query -> rules about names -> kept answers -> servers -> control -> answer
 *
 *	name.c		names, and sets of them
 *	message.c	DNS messages
 *	cache.c		kept answers
 *	forward.c	one query: refused, answered, or asked of servers
 *	servers.c	what is asked of them: UDP, TCP, through an exit
 *	stream.c	queries over TCP
 *
 * Where a container has rules about names, control is told the addresses of an
 * answer before the container is (RELAY_LEARN): it puts them into the kernel's
 * table, or says that no name may stand for them.
 */
#ifndef HOODY_NAMES_FORWARD_H
#define HOODY_NAMES_FORWARD_H

#include "names/message.h"
#include "relay/relay.h"

#define NAMES_QUERIES_MAX	1024	/* under way */
#define NAMES_CONTAINER_MAX	256	/* of one container */
#define NAMES_STREAMS_MAX	512	/* TCP connections */
#define NAMES_STREAMS_EACH	32	/* of one container */
#define NAMES_TRIES		2	/* over UDP, of each server */

struct names_stream;
struct names_cache;

struct names {
	struct relay		*relay;
	struct list		queries, streams;
	size_t			queries_count, streams_count;
	struct names_cache	*cache;
	uint64_t		sequence;	/* of the last RELAY_LEARN */
	struct names_answer	answer;		/* of the message that is looked at now */
};

/* Who asked. */
struct names_client {
	struct names_stream	*stream;	/* over TCP, or NULL */
	int			udp;		/* the relay's socket that it came by */
	struct address		peer, asked;
	uint16_t		peer_port;
};

enum names_stage {
	NAMES_UDP,		/* of a server, directly */
	NAMES_TCP,		/* the same, or through the container's exit */
	NAMES_LEARNING,		/* the answer is there, control is asked */
};

struct names_query {
	struct names		*names;
	struct names_client	client;
	uint8_t			container[ID_LEN];
	struct names_question	question;
	struct loop_source	source;		/* towards the server; fd -1: none */
	struct loop_timer	timer;
	struct loop_task	task;		/* the next attempt, or freeing */
	struct list		node;
	enum names_stage	stage;
	bool			direct;		/* not through an exit */
	char			way[IFNAMSIZ];	/* then: see relay_way_take() */
	uint16_t		id;		/* towards the server */
	unsigned int		server, tries;	/* now */
	uint64_t		sequence;	/* of its RELAY_LEARN */
	uint32_t		ttl;
	size_t			request_len, sent;
	size_t			have;		/* in @answer, with the length in front */
	unsigned char		*answer;
	unsigned char		request[2 + NAMES_REQUEST_MAX];
	unsigned char		query[NAMES_REQUEST_MAX];	/* to the end of the question */
};

/* 0 or -ENOMEM. */
int names_setup(struct names *names, struct relay *relay);
void names_clear(struct names *names);
/* Another policy holds: kept answers go, and what is asked by a way that is closed. */
void names_policy_changed(struct names *names);

/* A query that came, answered now or later. */
void names_take(struct names *names, struct relay_container *container,
		const struct names_client *client, const unsigned char *bytes, size_t len);
/* Control's answer to RELAY_LEARN: 0, or a negative errno. */
void names_learned(struct names *names, uint64_t sequence, int status);

/* --- servers.c --- */

/* Asks the server that is due; without one left the query fails. */
void names_ask(struct names_query *query);
/* Nothing is asked any more. */
void names_stop_asking(struct names_query *query);

/* --- forward.c, called by servers.c --- */

/* A message of the server. True: it was the answer, and the query has gone on. */
bool names_answered(struct names_query *query, unsigned char *message, size_t len);
void names_fail(struct names_query *query);
struct relay_container *names_container(const struct names_query *query);

/* --- stream.c --- */

/* Takes @fd over: a connection to port 53 of @asked. */
void names_stream_start(struct names *names, int fd, const struct address *peer,
			const struct address *asked);
/* The stream's query has ended, with an answer or (NULL) without. */
void names_stream_answer(struct names_stream *stream, const unsigned char *message, size_t len);
void names_streams_clear(struct names *names);
/* The query that a stream waits for, which must not answer it when it is gone. */
void names_stream_waits(struct names_stream *stream, struct names_query *query);

#endif /* HOODY_NAMES_FORWARD_H */
