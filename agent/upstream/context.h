/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one worker thread keeps for the container side: the containers that it
 * has connections to, the pool of kept connections, the memory for them. The
 * thread lends loop, buffers, counters and scratch space. Nothing is shared
 * between threads, no lock is taken.
 */
#ifndef HOODY_UPSTREAM_CONTEXT_H
#define HOODY_UPSTREAM_CONTEXT_H

#include "lib/buf.h"
#include "lib/http.h"
#include "lib/image.h"
#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/slab.h"

#define UP_CONTAINER_BUCKETS	1024
#define UP_IDLE_BUCKETS		4096
#define UP_HTTP2_BUCKETS	1024

struct up_context {
	struct loop		*loop;
	struct buf_pool		*buffers;
	struct ipc_stats	*stats;
	const struct image	*image;		/* set by up_context_image() */
	char			*scratch;	/* of scratch_size, valid within one call */
	size_t			scratch_size;
	struct http_head	*head;		/* to decode responses into */
	struct slab		connections, containers, streams;
	struct list		container_buckets[UP_CONTAINER_BUCKETS];
	struct list		idle_buckets[UP_IDLE_BUCKETS];
	uint32_t		idle_counts[UP_IDLE_BUCKETS];	/* by hash, of either protocol */
	struct list		http2_buckets[UP_HTTP2_BUCKETS];
	struct list		idle_oldest;	/* kept connections, longest idle first */
	unsigned int		idle_count;
	bool			draining;	/* keep no connection */
	uint64_t		refusal_logged;	/* loop time of the last such line */
};

/* Adds one to a counter that another thread may be reading. */
#define up_count(context, name)                                                                    \
	__atomic_store_n(&(context)->stats->name, (context)->stats->name + 1, __ATOMIC_RELAXED)
#define up_uncount(context, name)                                                                  \
	__atomic_store_n(&(context)->stats->name, (context)->stats->name - 1, __ATOMIC_RELAXED)

/* The lent fields are set by the caller first. */
void up_context_setup(struct up_context *context);
/* All connections must be closed: up_context_close_all(). */
void up_context_clear(struct up_context *context);

/*
 * up_context_image(): from now on @image holds. On return every connection, idle
 * or in use, to a container that is not running there, or not at the address it
 * had, is closed and its exchange has been told UP_CUT.
 */
void up_context_image(struct up_context *context, const struct image *image);

void up_context_close_idle(struct up_context *context);
void up_context_close_all(struct up_context *context);

#endif /* HOODY_UPSTREAM_CONTEXT_H */
