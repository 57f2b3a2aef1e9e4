// SPDX-License-Identifier: Apache-2.0
/*
 * The channel between control and a worker, and control's end of it: messages
 * and descriptors arrive whole or not at all, and no answer that does not fit
 * the oldest question is accepted.
 */
#include "control/worker_link.h"
#include "lib/ipc.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2];

static void renew(void)
{
	if (pair[0]) {
		close(pair[0]);
		close(pair[1]);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		exit(1);
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void test_messages(void)
{
	char payload[64];
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t count;
	ssize_t got;

	renew();
	tap_ok(ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == -EAGAIN,
	       "ipc_receive_nothing_is_eagain");
	tap_ok(ipc_send(pair[0], IPC_STATS, 42, "hello", 5, NULL, 0) == 0, "ipc_send");
	got = ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count);
	tap_ok(got == 5 && message.type == IPC_STATS && message.sequence == 42 &&
	       message.length == 5 && !memcmp(payload, "hello", 5) && count == 0,
	       "ipc_receive_what_was_sent");
	ipc_send(pair[0], IPC_READY, 0, NULL, 0, NULL, 0);
	tap_ok(ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == 0 &&
	       message.type == IPC_READY, "ipc_receive_empty_payload");
	close(pair[0]);
	pair[0] = dup(pair[1]);
	tap_ok(ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == -ECONNRESET,
	       "ipc_receive_end_of_file");
}

static void test_descriptors(void)
{
	int many[IPC_FDS_MAX + 1], fds[IPC_FDS_MAX], before;
	struct ipc_message message;
	char payload[4], byte = 0;
	size_t count;
	int pipes[2];

	renew();
	if (pipe(pipes))
		exit(1);
	ipc_send(pair[0], IPC_IMAGE, 1, NULL, 0, &pipes[0], 1);
	ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count);
	tap_ok(count == 1 && (fcntl(fds[0], F_GETFD) & FD_CLOEXEC), "ipc_descriptor_is_cloexec");
	tap_ok(write(pipes[1], "x", 1) == 1 && read(fds[0], &byte, 1) == 1 && byte == 'x',
	       "ipc_descriptor_is_the_same_file");
	close(fds[0]);
	for (int i = 0; i <= IPC_FDS_MAX; i++)
		many[i] = pipes[0];
	tap_ok(ipc_send(pair[0], IPC_LISTENERS, 1, NULL, 0, many, IPC_FDS_MAX + 1) == -EINVAL,
	       "ipc_send_refuses_too_many_descriptors");
	before = open_descriptors();
	tap_ok(ipc_send(pair[0], IPC_LISTENERS, 1, "abcd", 4, many, IPC_FDS_MAX) == 0 &&
	       ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == 4 &&
	       count == IPC_FDS_MAX, "ipc_carries_the_most_descriptors");
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	/* A payload that does not fit: all of it is dropped, with its descriptors. */
	ipc_send(pair[0], IPC_LISTENERS, 1, "abcdefgh", 8, many, 3);
	tap_ok(ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == -EBADMSG &&
	       count == 0 && open_descriptors() == before, "ipc_cut_message_closes_descriptors");
	close(pipes[0]);
	close(pipes[1]);
}

static void test_malformed(void)
{
	struct ipc_message lie = { .type = IPC_ACK, .length = 100 }, message;
	int fds[IPC_FDS_MAX];
	char payload[64];
	size_t count;

	renew();
	send(pair[0], "abc", 3, 0);
	tap_ok(ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == -EBADMSG,
	       "ipc_refuses_short_header");
	send(pair[0], &lie, sizeof(lie), 0);
	tap_ok(ipc_receive(pair[1], &message, payload, sizeof(payload), fds, &count) == -EBADMSG,
	       "ipc_refuses_wrong_length");
}

static void test_full(void)
{
	static char big[32768];
	int ret = 0;

	renew();
	for (int i = 0; i < 1000 && !ret; i++)
		ret = ipc_send(pair[0], IPC_STATS, 1, big, sizeof(big), NULL, 0);
	tap_ok(ret == -EAGAIN, "ipc_send_full_is_eagain");
}

static enum worker_link_event answer(struct worker_link *link, uint32_t type, uint64_t sequence,
				     size_t length)
{
	static struct ipc_stats stats;
	struct worker_link_answer received;
	const char *fault;

	ipc_send(pair[1], type, sequence, &stats, length, NULL, 0);
	return worker_link_receive(link, &received, &fault);
}

static struct worker_link fresh_link(void)
{
	struct worker_link link = { 0 };

	renew();
	link.sock = pair[0];
	worker_link_send(&link, IPC_IMAGE, 9, NULL, 0, NULL, 0, 1000);
	worker_link_send(&link, IPC_STATS, 0, NULL, 0, NULL, 0, 2000);
	return link;
}

static void test_link(void)
{
	const size_t ack = sizeof(struct ipc_ack), stats = sizeof(struct ipc_stats);
	struct worker_link link = fresh_link();
	struct worker_link_answer received;
	const char *fault;
	int ret = 0, pipes[2];

	tap_ok(worker_link_deadline(&link) == 1000, "link_deadline_is_the_oldest");
	tap_ok(answer(&link, IPC_ACK, 9, ack) == WORKER_LINK_ACK &&
	       worker_link_deadline(&link) == 2000, "link_takes_an_answer");
	tap_ok(answer(&link, IPC_STATS_REPLY, 1, stats) == WORKER_LINK_STATS &&
	       worker_link_deadline(&link) == UINT64_MAX, "link_takes_statistics");
	tap_ok(answer(&link, IPC_ACK, 9, ack) == WORKER_LINK_BROKEN, "link_refuses_answer_to_nothing");
	link = fresh_link();
	tap_ok(answer(&link, IPC_ACK, 10, ack) == WORKER_LINK_BROKEN, "link_refuses_other_number");
	link = fresh_link();
	tap_ok(answer(&link, IPC_STATS_REPLY, 9, stats) == WORKER_LINK_BROKEN,
	       "link_refuses_other_kind");
	link = fresh_link();
	tap_ok(answer(&link, IPC_ACK, 9, ack - 1) == WORKER_LINK_BROKEN, "link_refuses_short_answer");
	link = fresh_link();
	tap_ok(answer(&link, IPC_READY, 0, 4) == WORKER_LINK_BROKEN, "link_refuses_long_ready");
	link = fresh_link();
	tap_ok(answer(&link, 99, 0, 0) == WORKER_LINK_BROKEN, "link_refuses_unknown_type");
	link = fresh_link();
	if (pipe(pipes))
		exit(1);
	ipc_send(pair[1], IPC_READY, 0, NULL, 0, pipes, 2);
	tap_ok(worker_link_receive(&link, &received, &fault) == WORKER_LINK_BROKEN,
	       "link_refuses_descriptors");
	link = fresh_link();
	for (int i = 0; i < WORKER_LINK_OUTSTANDING_MAX && !ret; i++)
		ret = worker_link_send(&link, IPC_STATS, 0, NULL, 0, NULL, 0, 1);
	tap_ok(ret == -ENOBUFS, "link_bounds_what_is_unanswered");
	link = fresh_link();
	close(pair[1]);
	pair[1] = dup(pair[0]);
	tap_ok(worker_link_receive(&link, &received, &fault) == WORKER_LINK_ENDED, "link_sees_the_end");
}

int main(void)
{
	tap_plan(25);
	test_messages();
	test_descriptors();
	test_malformed();
	test_full();
	test_link();
	return tap_done();
}
