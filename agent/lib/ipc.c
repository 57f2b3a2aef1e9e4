// SPDX-License-Identifier: Apache-2.0
/*
 * Messages between control and a worker, see ipc.h. Both ends treat the other
 * as hostile: a packet that is cut, or whose length does not agree with its
 * header, is dropped as a whole and its file descriptors are closed.
 */
#include "lib/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int ipc_send(int sock, uint32_t type, uint64_t sequence, const void *payload, size_t length,
	     const int *fds, size_t fds_count)
{
	union {
		char		space[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
		struct cmsghdr	align;
	} control;
	struct ipc_message message = { .type = type, .sequence = sequence };
	struct iovec parts[2] = {
		{ .iov_base = &message, .iov_len = sizeof(message) },
		{ .iov_base = (void *)payload, .iov_len = length },
	};
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = length ? 2 : 1 };

	if (fds_count > IPC_FDS_MAX || length > UINT32_MAX)
		return -EINVAL;
	message.length = (uint32_t)length;
	if (fds_count) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		header.msg_control = control.space;
		header.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fds_count * sizeof(int));
	}
	while (sendmsg(sock, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Takes the descriptors out of a received packet; those over the bound are closed. */
static size_t take_fds(struct msghdr *header, int *fds)
{
	size_t taken = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		size_t count;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (taken < IPC_FDS_MAX)
				fds[taken++] = fd;
			else
				close(fd);
		}
	}
	return taken;
}

ssize_t ipc_receive(int sock, struct ipc_message *message, void *payload, size_t size,
		    int *fds, size_t *fds_count)
{
	union {
		char		space[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
		struct cmsghdr	align;
	} control;
	struct iovec parts[2] = {
		{ .iov_base = message, .iov_len = sizeof(*message) },
		{ .iov_base = payload, .iov_len = size },
	};
	struct msghdr header = {
		.msg_iov = parts,
		.msg_iovlen = size ? 2 : 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t received;

	*fds_count = 0;
	do {
		received = recvmsg(sock, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	*fds_count = take_fds(&header, fds);
	if (received == 0 && *fds_count == 0)
		return -ECONNRESET;
	if (received < (ssize_t)sizeof(*message) || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    message->length != received - sizeof(*message)) {
		for (size_t i = 0; i < *fds_count; i++)
			close(fds[i]);
		*fds_count = 0;
		return -EBADMSG;
	}
	return message->length;
}
