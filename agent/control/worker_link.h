/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control's end of the channel to one worker: what was sent, what has to be
 * answered and until when. It knows nothing of what the messages mean.
 */
#ifndef HOODY_CONTROL_WORKER_LINK_H
#define HOODY_CONTROL_WORKER_LINK_H

#include "lib/ipc.h"

#include <stdbool.h>
#include <stdint.h>

#define WORKER_LINK_OUTSTANDING_MAX	64
#define WORKER_LINK_COUNTERS_MAX	256

struct worker_link {
	int		sock;
	uint64_t	sequence;	/* of messages other than images */
	unsigned int	head, count;	/* ring of what is to be answered */
	struct {
		uint32_t	type;
		uint64_t	sequence;
		uint64_t	deadline;	/* CLOCK_MONOTONIC, microseconds */
	} outstanding[WORKER_LINK_OUTSTANDING_MAX];
	/* Of a worker of another version: its counters, and the place of each in ours or -1. */
	uint16_t	counters;	/* 0: it has ours */
	int16_t		layout[WORKER_LINK_COUNTERS_MAX];
};

enum worker_link_event {
	WORKER_LINK_NOTHING,		/* no further message now */
	WORKER_LINK_READY,
	WORKER_LINK_ACK,
	WORKER_LINK_STATS,
	WORKER_LINK_API,		/* @answer's fd is the caller's */
	WORKER_LINK_ENDED,		/* end of file */
	WORKER_LINK_BROKEN,		/* what came does not fit; @fault says how */
};

/* One received message; of ACK and STATS: what it answers. */
struct worker_link_answer {
	uint32_t		type;
	uint64_t		sequence;
	int32_t			status;		/* of an ACK */
	struct ipc_stats	stats;		/* of STATS */
	int			fd;		/* of API */
};

/*
 * worker_link_send(): @sequence 0 takes the next own one. @deadline is when the
 * answer is due; 0: the message has none. 0 or a negative errno; -ENOBUFS where
 * too much is unanswered.
 */
int worker_link_send(struct worker_link *link, uint32_t type, uint64_t sequence,
		     const void *payload, size_t length, const int *fds, size_t fds_count,
		     uint64_t deadline);
enum worker_link_event worker_link_receive(struct worker_link *link,
					   struct worker_link_answer *answer, const char **fault);

/* When the oldest answer is due; UINT64_MAX: nothing is. */
uint64_t worker_link_deadline(const struct worker_link *link);

#endif /* HOODY_CONTROL_WORKER_LINK_H */
