/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a container, see request.h: choosing the connection, sending,
 * and sending once more.
 *
 * A request is repeated once, on a fresh connection, where a kept one broke
 * before the first byte of a response, and either nothing was written, or it is
 * complete in our buffer and its method idempotent (RFC 9110 9.2.2).
 */
#include "upstream/request.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/http1.h"
#include "upstream/http2.h"

#define REAL_IP_FIELD	"X-Hoody-Real-IP"

/* Of equal length, so that one can be written over the other. */
static struct http_text real_ip_value(const struct up_connection *connection)
{
	return connection->real_ip ? HTTP_TEXT("socket") : HTTP_TEXT("header");
}

/* A kept connection may have died with its notice still in the kernel. */
static bool seems_alive(const struct up_connection *connection)
{
	char byte;

	return recv(connection->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       errno == EAGAIN;
}

/* A kept connection of @key, or NULL. */
static struct up_connection *take_kept(struct up_context *context, const struct up_key *key,
				       bool careful)
{
	uint64_t hash = up_pool_hash(key);
	struct up_connection *connection;

	while ((connection = up_pool_take(context, key, hash))) {
		/* What cannot be sent twice is worth a look before. */
		if (!careful || seems_alive(connection))
			return connection;
		up_connection_close(connection);
	}
	return NULL;
}

static int encode(struct up_connection *connection, struct http_head *head,
		  struct http_text upgrade)
{
	struct http1_encoding encoding = {
		.framing = head->framing,
		.length = head->length,
		.upgrade = upgrade,
		.connection = upgrade.len ? HTTP1_CONNECTION_UPGRADE : HTTP1_CONNECTION_DEFAULT,
		/* Methods whose meaning includes content say that there is none. */
		.zero_length = head->method == HTTP_METHOD_POST || head->method == HTTP_METHOD_PUT,
	};

	connection->request_framing = head->framing;
	if (!http_head_add(head, HTTP_TEXT(REAL_IP_FIELD), real_ip_value(connection)))
		return -ENOBUFS;
	return http1_encode_request(connection->context->buffers, &connection->out, head,
				    &encoding);
}

enum up_failure up_request_start(struct up_context *context, struct up_request *request,
				 const struct image_container *container,
				 const struct up_client *client, uint16_t port,
				 struct http_head *head, struct http_text upgrade)
{
	struct up_container *up = up_container_get(context, container);
	struct up_connection *connection;
	enum up_failure failure = UP_FAILED;
	struct up_key key;

	if (!up)
		return UP_FAILED;
	up_pool_key(&key, up, port, client, up_connect_per_client(context->image, container));
	if (request->http2 && !upgrade.len) {
		failure = up_http2_start(context, request, container, client, &key, head);
		goto out_put;
	}
	connection = take_kept(context, &key, !request->idempotent);
	if (connection) {
		up_count(context, upstream_reused);
		request->reused = true;
	} else {
		request->reused = false;
		if (!up_pool_make_room(context, up)) {
			failure = UP_LIMIT;
			goto out_put;
		}
		connection = up_connection_open(context, container, client, &key, &failure);
		if (!connection)
			goto out_put;
	}
	if (encode(connection, head, upgrade))
		goto err_close;
	request->body = head->framing != HTTP_BODY_NONE;
	request->complete = !request->body;
	up_connection_attach(connection, request);
	request->client = *client;
	up_container_put(context, up);
	return UP_OK;

err_close:
	failure = UP_FAILED;
	up_connection_close(connection);
out_put:
	up_container_put(context, up);
	return failure;
}

void up_request_data(struct up_request *request, const char *data, size_t len)
{
	struct up_connection *connection = request->connection;
	struct buf_pool *buffers;
	int err;

	if (!connection || connection->broken || !len)
		return;
	if (request->stream) {
		up_stream_data(request->stream, data, len);
		return;
	}
	buffers = connection->context->buffers;
	if (!request->tunnel && connection->request_framing == HTTP_BODY_STREAM)
		err = http1_encode_chunk(buffers, &connection->out, data, len);
	else
		err = buf_append(buffers, &connection->out, data, len);
	if (err)
		up_connection_break(connection);
}

void up_request_end(struct up_request *request, const struct http_head *trailers)
{
	struct up_connection *connection = request->connection;

	if (!connection)
		return;
	if (request->stream)
		up_stream_end(request->stream, trailers);
	else if (request->tunnel)
		connection->shut = true;
	else if (!request->complete && connection->request_framing == HTTP_BODY_STREAM &&
		 http1_encode_last_chunk(connection->context->buffers, &connection->out, trailers))
		up_connection_break(connection);
	request->complete = true;
}

void up_request_flush(struct up_request *request)
{
	struct up_connection *connection = request->connection;

	if (!connection)
		return;
	if (request->stream) {
		up_stream_update_timer(request->stream, false);
		up_http2_post(connection);
		return;
	}
	up_connection_flush(connection);
	up_connection_update_timer(connection);
}

bool up_request_blocked(const struct up_request *request)
{
	struct up_connection *connection = request->connection;

	if (!connection)
		return false;
	if (request->stream)
		return up_stream_blocked(request->stream);
	if (!connection->connecting && !connection->broken && !up_connection_pending(connection))
		return false;
	connection->waiting = true;
	return true;
}

void up_request_resume(struct up_request *request)
{
	if (request->stream)
		up_stream_resume(request->stream);
	else if (request->connection)
		loop_post(request->connection->context->loop, &request->connection->task);
}

void up_request_abort(struct up_request *request)
{
	struct up_connection *connection = request->connection;

	if (!connection)
		return;
	if (request->stream) {
		up_stream_abort(request->stream);
		return;
	}
	request->connection = NULL;
	connection->request = NULL;
	up_connection_close(connection);
}

/* Writes the new connection's X-Hoody-Real-IP over the old one's. */
static void patch_real_ip(struct up_connection *connection)
{
	static const char field[] = "\r\n" REAL_IP_FIELD ": ";
	char *at = memmem(buf_head(&connection->out), buf_len(&connection->out), field,
			  sizeof(field) - 1);

	/* Ours is the only one: what the client sent by this name was dropped. */
	if (at)
		memcpy(at + sizeof(field) - 1, real_ip_value(connection).data,
		       real_ip_value(connection).len);
}

static bool may_repeat(const struct up_connection *connection, const struct up_request *request)
{
	if (!request->reused || request->retried || connection->answered || connection->lost)
		return false;
	return !connection->sent || (request->idempotent && request->complete);
}

/* Sends the request of dead @old on a new connection. False where it cannot. */
static bool repeat(struct up_connection *old, struct up_request *request)
{
	struct up_context *context = old->context;
	const struct image_container *container;
	struct up_connection *connection;
	enum up_failure failure;

	container = image_container_find(context->image, old->key.container->id);
	if (!container || !up_pool_make_room(context, old->key.container))
		return false;
	connection = up_connection_open(context, container, &request->client, &old->key, &failure);
	if (!connection)
		return false;
	connection->out = old->out;
	memset(&old->out, 0, sizeof(old->out));
	connection->request_framing = old->request_framing;
	patch_real_ip(connection);
	old->request = NULL;
	request->reused = false;
	request->retried = true;
	up_connection_attach(connection, request);
	connection->waiting = old->waiting;
	up_count(context, upstream_retried);
	up_connection_close(old);
	up_connection_update_timer(connection);
	return true;
}

void up_connection_fail(struct up_connection *connection, enum up_failure failure)
{
	struct up_request *request = connection->request;

	if (connection->closed)
		return;
	if (connection->http2) {
		up_http2_fail(connection, failure);
		return;
	}
	if (request && failure == UP_FAILED && may_repeat(connection, request) &&
	    repeat(connection, request))
		return;
	connection->request = NULL;
	up_connection_close(connection);
	if (request) {
		request->connection = NULL;
		request->operations->failed(request, failure);
	}
}
