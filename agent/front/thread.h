/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread of the worker: a loop and everything that its connections use.
 * Threads share nothing; the image and the TLS context are immutable and
 * counted. The main thread talks to it by one command at a time, and reads its
 * counters.
 */
#ifndef HOODY_FRONT_THREAD_H
#define HOODY_FRONT_THREAD_H

#include <pthread.h>

#include "front/authorize.h"
#include "front/tls.h"
#include "lib/audit_ring.h"
#include "lib/buf.h"
#include "lib/http.h"
#include "lib/image.h"
#include "lib/ipc.h"
#include "lib/loop.h"
#include "lib/slab.h"
#include "upstream/context.h"

#define FRONT_LISTENERS_MAX	16
/* Room beyond header_fields_max for fields that are added to a request on its way. */
#define FRONT_FIELDS_ADDED	16

enum front_command_type {
	FRONT_COMMAND_NONE,
	FRONT_COMMAND_IMAGE,
	FRONT_COMMAND_TLS,
	FRONT_COMMAND_DRAIN,
};

/* References stay the sender's; a thread takes its own. */
struct front_command {
	enum front_command_type	type;
	struct image		*image;
	struct front_tls	*tls;
	uint32_t		deadline;	/* milliseconds, FRONT_COMMAND_DRAIN */
	bool			replaced;	/* the same: nobody who is here is turned away */
};

/* Between the main thread and its threads: one command is under way at a time. */
struct front_board {
	pthread_mutex_t	lock;
	pthread_cond_t	changed;
	unsigned int	pending;	/* threads that have not done it yet */
	unsigned int	running;	/* threads that have not ended */
	int		ended_fd;	/* eventfd: written when one ends */
	bool		started;	/* threads wait for this before they serve */
	struct auth_helper *helper;	/* slow checks of permissions */
	struct limit_table *limits;	/* of all threads */
	struct pass_table *passes;	/* the same */
	struct replay_table *replays;	/* the same */
	bool		memory_full;	/* atomic: no new work */
};

struct front_thread;
struct quic;

struct front_listener {
	struct loop_source	source;
	struct front_thread	*thread;
	bool			tls;
	bool			redirects;	/* to TLS, and nothing else (front/plain.h) */
	unsigned int		accepts;	/* asked for when it was ready, in this turn */
	uint64_t		turn;		/* of the loop */
};

struct front_thread {
	struct loop		loop;
	struct buf_pool		buffers;
	struct ipc_stats	stats;		/* read by the main thread */
	struct up_context	upstream;
	struct image		*image;
	struct authorize	authorize;
	struct front_tls	*tls;		/* NULL: no certificate */
	struct audit_ring	*audit;		/* NULL: no audit */
	struct quic		*quic;		/* NULL: no UDP socket */
	uint16_t		tls_port;	/* of the first TLS address; 0: none */
	char			alternative[40];	/* Alt-Svc that names it (RFC 7838), or empty */
	struct slab		connections, exchanges, http2_streams;
	size_t			http2_buffered;	/* of all streams' output */
	struct list		open;		/* connections */
	struct list		exchange_list;
	unsigned int		open_count;
	char			*scratch, *upstream_scratch;
	char			*records;	/* of TLS, FRONT_TLS13_RECORDS */
	size_t			scratch_size;
	struct http_head	request_head, response_head;
	unsigned int		fields_size;	/* entries that both have room for */
	struct front_listener	listeners[FRONT_LISTENERS_MAX];
	unsigned int		listeners_count;
	struct loop_timer	accept_timer, drain_timer;
	bool			accept_paused, draining;
	/*
	 * It drains, and others take what is new: handshakes are finished, and a
	 * connection that waits for a request gets one more answer. Otherwise the
	 * agent ends, and whoever has asked for nothing yet is turned away.
	 */
	bool			replaced;

	struct front_board	*board;
	struct front_command	command;	/* under board->lock */
	struct loop_source	wake;		/* eventfd */
	pthread_t		pthread;
	bool			ended;		/* under board->lock */
};

#define front_count(thread, name)                                                                  \
	__atomic_store_n(&(thread)->stats.name, (thread)->stats.name + 1, __ATOMIC_RELAXED)
#define front_uncount(thread, name)                                                                \
	__atomic_store_n(&(thread)->stats.name, (thread)->stats.name - 1, __ATOMIC_RELAXED)
#define front_count_add(thread, name, n)                                                           \
	__atomic_store_n(&(thread)->stats.name, (thread)->stats.name + (n), __ATOMIC_RELAXED)

/* The worker has as much memory as it may: it finishes what it has. */
static inline bool front_memory_full(const struct front_thread *thread)
{
	return __atomic_load_n(&thread->board->memory_full, __ATOMIC_RELAXED);
}

static inline const struct image_settings *front_settings(const struct front_thread *thread)
{
	return &image_header(thread->image)->settings;
}

/*
 * front_thread_create(): thread number @index, which listens on its part of
 * @fds (its own from then on; in the order of @listeners) once the board says
 * started. NULL with errno set.
 */
struct front_thread *front_thread_create(struct front_board *board, struct image *image,
					 struct front_tls *tls,
					 const struct ipc_listeners *listeners, const int *fds,
					 unsigned int index);
/* Joins an ended thread and frees it. */
void front_thread_destroy(struct front_thread *thread);

/* Leaves @command for the thread; board->lock is held. */
void front_thread_command(struct front_thread *thread, const struct front_command *command);

#endif /* HOODY_FRONT_THREAD_H */
