// SPDX-License-Identifier: Apache-2.0
/*
 * The channel to one worker, see worker_link.h. A worker may be in an
 * attacker's hands: whatever does not answer the oldest open message, in form
 * and number, breaks the link.
 */
#include "control/worker_link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int worker_link_send(struct worker_link *link, uint32_t type, uint64_t sequence,
		     const void *payload, size_t length, const int *fds, size_t fds_count,
		     uint64_t deadline)
{
	unsigned int slot = (link->head + link->count) % WORKER_LINK_OUTSTANDING_MAX;
	int ret;

	if (deadline && link->count == WORKER_LINK_OUTSTANDING_MAX)
		return -ENOBUFS;
	if (!sequence)
		sequence = ++link->sequence;
	ret = ipc_send(link->sock, type, sequence, payload, length, fds, fds_count);
	if (ret || !deadline)
		return ret;
	link->outstanding[slot].type = type;
	link->outstanding[slot].sequence = sequence;
	link->outstanding[slot].deadline = deadline;
	link->count++;
	return 0;
}

static void drop_fds(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* Whether @message answers the oldest open one; takes that off the ring. */
static const char *match(struct worker_link *link, const struct ipc_message *message,
			 struct worker_link_answer *answer)
{
	uint32_t expected;

	if (!link->count)
		return "an answer to nothing";
	answer->type = link->outstanding[link->head].type;
	answer->sequence = link->outstanding[link->head].sequence;
	expected = answer->type == IPC_STATS ? IPC_STATS_REPLY : IPC_ACK;
	/* Statistics may be refused with an acknowledgement as well. */
	if (message->type != expected && message->type != IPC_ACK)
		return "an answer of the wrong kind";
	if (message->sequence != answer->sequence)
		return "an answer out of order";
	link->head = (link->head + 1) % WORKER_LINK_OUTSTANDING_MAX;
	link->count--;
	return NULL;
}

/* Another version's in the order of ours; false where the length is not its own. */
static bool take_stats(const struct worker_link *link, const uint64_t *counters, size_t length,
		       struct ipc_stats *stats)
{
	uint64_t sorted[sizeof(*stats) / sizeof(uint64_t)] = { 0 };

	if (length != (link->counters ? link->counters * sizeof(uint64_t) : sizeof(*stats)))
		return false;
	for (unsigned int i = 0; i < link->counters; i++) {
		if (link->layout[i] >= 0)
			sorted[link->layout[i]] = counters[i];
	}
	memcpy(stats, link->counters ? sorted : counters, sizeof(*stats));
	return true;
}

enum worker_link_event worker_link_receive(struct worker_link *link,
					   struct worker_link_answer *answer, const char **fault)
{
	union {
		struct ipc_ack		ack;
		uint64_t		counters[WORKER_LINK_COUNTERS_MAX];
	} payload;
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t fds_count;
	ssize_t length;

	memset(answer, 0, sizeof(*answer));
	length = ipc_receive(link->sock, &message, &payload, sizeof(payload), fds, &fds_count);
	if (length == -EAGAIN)
		return WORKER_LINK_NOTHING;
	if (length == -ECONNRESET)
		return WORKER_LINK_ENDED;
	*fault = "a malformed message";
	if (length < 0)
		return WORKER_LINK_BROKEN;
	if (message.type == IPC_API && length == 0 && fds_count == 1) {
		answer->fd = fds[0];
		return WORKER_LINK_API;
	}
	drop_fds(fds, fds_count);
	*fault = "descriptors that nobody asked for";
	if (fds_count)
		return WORKER_LINK_BROKEN;
	*fault = "a message of the wrong length";
	switch (message.type) {
	case IPC_READY:
		return length == 0 ? WORKER_LINK_READY : WORKER_LINK_BROKEN;
	case IPC_ACK:
		if (length != sizeof(payload.ack))
			return WORKER_LINK_BROKEN;
		*fault = match(link, &message, answer);
		answer->status = payload.ack.status;
		return *fault ? WORKER_LINK_BROKEN : WORKER_LINK_ACK;
	case IPC_STATS_REPLY:
		if (!take_stats(link, payload.counters, (size_t)length, &answer->stats))
			return WORKER_LINK_BROKEN;
		*fault = match(link, &message, answer);
		return *fault ? WORKER_LINK_BROKEN : WORKER_LINK_STATS;
	}
	*fault = "a message of unknown type";
	return WORKER_LINK_BROKEN;
}

uint64_t worker_link_deadline(const struct worker_link *link)
{
	return link->count ? link->outstanding[link->head].deadline : UINT64_MAX;
}
