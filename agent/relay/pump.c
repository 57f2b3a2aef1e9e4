// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes from one side of a session to the other. Between two TCP sockets they
 * stay in the kernel: socket, pipe, socket. They are copied where one side is
 * TLS, and where the process has no descriptors left for pipes.
 */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#define PIPE_BYTES	65536		/* what a pipe holds by default */
#define TURN_BYTES	(1u << 20)	/* of one direction, then the others' turn */

void relay_flow_setup(struct relay_flow *flow)
{
	flow->pipe[0] = flow->pipe[1] = -1;
}

void relay_flow_open_pipe(struct relay_flow *flow)
{
	if (pipe2(flow->pipe, O_NONBLOCK | O_CLOEXEC))
		flow->pipe[0] = flow->pipe[1] = -1;
}

void relay_flow_clear(struct relay_flow *flow)
{
	if (flow->pipe[0] >= 0) {
		close(flow->pipe[0]);
		close(flow->pipe[1]);
	}
	relay_flow_setup(flow);
	free(flow->bytes);
	flow->bytes = NULL;
}

/* What OpenSSL said, as an errno. */
static ssize_t tls_result(struct relay_end *end, int ret)
{
	const int error = SSL_get_error(end->ssl, ret);

	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	}
	/* An end without close_notify too: it may have been cut short. */
	return -ECONNRESET;
}

ssize_t relay_end_read(struct relay_end *end, void *bytes, size_t size)
{
	ssize_t ret;

	if (end->ssl) {
		ERR_clear_error();
		ret = SSL_read(end->ssl, bytes, (int)size);
		return ret > 0 ? ret : tls_result(end, (int)ret);
	}
	ret = recv(end->source.fd, bytes, size, 0);
	return ret < 0 ? -errno : ret;
}

ssize_t relay_end_write(struct relay_end *end, const void *bytes, size_t len)
{
	ssize_t ret;

	if (end->ssl) {
		ERR_clear_error();
		ret = SSL_write(end->ssl, bytes, (int)len);
		if (ret > 0)
			return ret;
		ret = tls_result(end, (int)ret);
		return ret ? ret : -EPIPE;
	}
	ret = send(end->source.fd, bytes, len, MSG_NOSIGNAL);
	return ret < 0 ? -errno : ret;
}

/* No more will be written. 0 or -EAGAIN. */
static int end_writing(struct relay_end *end)
{
	if (end->ssl && SSL_shutdown(end->ssl) < 0) {
		const int error = SSL_get_error(end->ssl, -1);

		ERR_clear_error();
		if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
			return -EAGAIN;
	}
	shutdown(end->source.fd, SHUT_WR);
	return 0;
}

/* Sends what waits in @bytes. 0: nothing waits any more. */
static ssize_t send_copied(struct relay_flow *flow, struct relay_end *to, uint64_t *count)
{
	while (flow->start < flow->end) {
		const ssize_t sent = relay_end_write(to, flow->bytes + flow->start,
						     flow->end - flow->start);

		if (sent < 0)
			return sent;
		flow->start += (size_t)sent;
		*count += (uint64_t)sent;
	}
	return 0;
}

/* One step by copying: bytes moved, 0 at the end of what comes, or an error. */
static ssize_t step_copying(struct relay_flow *flow, struct relay_end *from, struct relay_end *to,
			    uint64_t *count)
{
	ssize_t len, ret;

	if (!flow->bytes) {
		flow->bytes = malloc(RELAY_CHUNK);
		if (!flow->bytes)
			return -ENOMEM;
	}
	len = relay_end_read(from, flow->bytes, RELAY_CHUNK);
	if (len <= 0)
		return len;
	flow->start = 0;
	flow->end = (size_t)len;
	ret = send_copied(flow, to, count);
	return ret < 0 ? ret : len;
}

/* Pipe to socket. 0: the pipe is empty. */
static ssize_t send_piped(struct relay_flow *flow, struct relay_end *to, uint64_t *count)
{
	while (flow->held) {
		const ssize_t sent = splice(flow->pipe[0], NULL, to->source.fd, NULL, flow->held,
					    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (sent <= 0)
			return sent ? -errno : -EPIPE;
		flow->held -= (size_t)sent;
		*count += (uint64_t)sent;
	}
	return 0;
}

/* The pipe is empty: so a refusal to splice into it is the socket's. */
static ssize_t step_splicing(struct relay_flow *flow, struct relay_end *from, struct relay_end *to,
			     uint64_t *count)
{
	const ssize_t len = splice(from->source.fd, NULL, flow->pipe[1], NULL, PIPE_BYTES,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	ssize_t ret;

	if (len <= 0)
		return len ? -errno : 0;
	flow->held = (size_t)len;
	ret = send_piped(flow, to, count);
	return ret < 0 ? ret : len;
}

int relay_pump(struct relay_flow *flow, struct relay_end *from, struct relay_end *to,
	       uint64_t *count)
{
	size_t moved = 0;
	ssize_t ret;

	if (flow->closed)
		return 1;
	/* What is left of the turn before. */
	ret = send_copied(flow, to, count);
	if (!ret)
		ret = send_piped(flow, to, count);
	while (!ret && !flow->ended) {
		const ssize_t len = flow->pipe[0] >= 0 ? step_splicing(flow, from, to, count) :
							 step_copying(flow, from, to, count);

		if (len == 0)
			flow->ended = true;
		else if (len < 0)
			ret = len;
		else if ((moved += (size_t)len) >= TURN_BYTES)
			return -EAGAIN;
	}
	if (!ret) {
		ret = end_writing(to);
		flow->closed = !ret;
	}
	if (!ret)
		return 1;
	return ret == -EAGAIN || ret == -EINTR ? 0 : (int)ret;
}
