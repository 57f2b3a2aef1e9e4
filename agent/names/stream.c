// SPDX-License-Identifier: Apache-2.0
/*
 * Queries over TCP (RFC 7766), one after the other: the next is read when the one
 * before has been answered, so that a connection holds one message each way.
 */
#include "names/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct names_stream {
	struct names		*names;
	struct list		node;
	struct loop_source	source;
	struct loop_timer	timer;		/* idle, or does not read its answer */
	struct loop_task	task;		/* goes on, or frees */
	struct address		peer, asked;
	struct names_query	*query;		/* under way, or NULL */
	size_t			have;		/* in @in */
	size_t			len, sent;	/* of @out */
	unsigned char		*out;
	unsigned char		in[2 + NAMES_QUERY_MAX];
};

static void free_stream(struct loop_task *task)
{
	struct names_stream *stream = container_of(task, struct names_stream, task);

	free(stream->out);
	free(stream);
}

static void end_stream(struct names_stream *stream)
{
	if (stream->query) {
		stream->query->client.stream = NULL;
		stream->query->client.udp = -1;
	}
	close(stream->source.fd);
	loop_timer_stop(&stream->timer);
	list_del(&stream->node);
	stream->names->streams_count--;
	list_del(&stream->task.node);
	loop_task_setup(&stream->task, free_stream);
	loop_bury(&stream->names->relay->loop, &stream->task);
	relay_left(stream->names->relay);
}

/* 1: all of the answer is sent; 0: waits; or it is broken. */
static int send_answer(struct names_stream *stream)
{
	while (stream->sent < stream->len) {
		const ssize_t len = send(stream->source.fd, stream->out + stream->sent,
					 stream->len - stream->sent, MSG_NOSIGNAL);

		if (len < 0)
			return errno == EAGAIN ? 0 : -errno;
		stream->sent += (size_t)len;
	}
	stream->len = stream->sent = 0;
	return 1;
}

/* Hands the next whole query on. 1: done so; 0: more has to come; -1: it is none. */
static int take_query(struct names_stream *stream)
{
	struct names *names = stream->names;
	struct relay_container *container;
	const struct names_client client = {
		.stream = stream, .udp = -1, .peer = stream->peer, .asked = stream->asked,
	};
	unsigned char bytes[NAMES_QUERY_MAX];
	size_t len;

	if (stream->have < 2)
		return 0;
	names->relay->heed(names->relay);
	container = relay_policy_by_address(names->relay->policy, &stream->peer);
	len = (size_t)stream->in[0] << 8 | stream->in[1];
	if (!container || len > NAMES_QUERY_MAX)
		return -1;
	if (stream->have < 2 + len)
		return 0;
	memcpy(bytes, stream->in + 2, len);
	stream->have -= 2 + len;
	memmove(stream->in, stream->in + 2 + len, stream->have);
	names_take(names, container, &client, bytes, len);
	return 1;
}

static void go_on(struct loop_task *task)
{
	struct names_stream *stream = container_of(task, struct names_stream, task);
	ssize_t len;
	int ret;

	if (stream->query)
		return;
	ret = send_answer(stream);
	if (ret < 0) {
		end_stream(stream);
		return;
	}
	while (ret && !stream->query && !stream->len) {
		ret = take_query(stream);
		if (ret < 0) {
			end_stream(stream);
			return;
		}
		if (ret)
			return;		/* its answer goes on from here */
		len = recv(stream->source.fd, stream->in + stream->have,
			   sizeof(stream->in) - stream->have, 0);
		if (len < 0 && errno == EAGAIN)
			return;
		if (len <= 0) {
			end_stream(stream);
			return;
		}
		stream->have += (size_t)len;
		ret = 1;
	}
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct names_stream *stream = container_of(source, struct names_stream, source);

	if (events & (EPOLLERR | EPOLLHUP))
		end_stream(stream);
	else
		go_on(&stream->task);
}

static void expired(struct loop_timer *timer, enum loop_timer_class class)
{
	end_stream(container_of(timer, struct names_stream, timer));
}

void names_stream_waits(struct names_stream *stream, struct names_query *query)
{
	stream->query = query;
}

void names_stream_answer(struct names_stream *stream, const unsigned char *message, size_t len)
{
	stream->query = NULL;
	free(stream->out);
	stream->out = message ? malloc(2 + len) : NULL;
	if (!stream->out) {
		end_stream(stream);
		return;
	}
	stream->out[0] = (unsigned char)(len >> 8);
	stream->out[1] = (unsigned char)len;
	memcpy(stream->out + 2, message, len);
	stream->len = len + 2;
	loop_timer_start(&stream->names->relay->loop, &stream->timer, LOOP_TIMER_HANDSHAKE);
	loop_post(&stream->names->relay->loop, &stream->task);
}

static size_t count_of(const struct names *names, const struct address *peer)
{
	const struct names_stream *stream;
	size_t count = 0;

	list_for_each_entry(stream, &names->streams, node)
		count += address_equal(&stream->peer, peer);
	return count;
}

void names_stream_start(struct names *names, int fd, const struct address *peer,
			const struct address *asked)
{
	struct relay_container *container = relay_policy_by_address(names->relay->policy, peer);
	struct names_stream *stream = NULL;

	if (container && names->streams_count < NAMES_STREAMS_MAX &&
	    count_of(names, peer) < NAMES_STREAMS_EACH)
		stream = calloc(1, sizeof(*stream));
	if (!stream) {
		if (container)
			container->stats.dns_limited++;
		close(fd);
		return;
	}
	stream->names = names;
	stream->peer = *peer;
	stream->asked = *asked;
	stream->source = (struct loop_source){ fd, ready };
	loop_timer_setup(&stream->timer, expired);
	loop_task_setup(&stream->task, go_on);
	list_add_tail(&stream->node, &names->streams);
	names->streams_count++;
	if (loop_add(&names->relay->loop, &stream->source,
		     EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
		end_stream(stream);
		return;
	}
	loop_timer_start(&names->relay->loop, &stream->timer, LOOP_TIMER_HANDSHAKE);
}

void names_streams_clear(struct names *names)
{
	struct names_stream *stream, *next;

	list_for_each_entry_safe(stream, next, &names->streams, node)
		end_stream(stream);
}
