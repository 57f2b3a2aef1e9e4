// SPDX-License-Identifier: Apache-2.0
/* One connection of the control API, see http_server.h. */
#include "control/http_internal.h"
#include "auth/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE_JSON "application/json"

static void step(struct http_connection *connection);

static void arm(struct http_connection *connection, uint64_t ms)
{
	sd_event_source_set_time_relative(connection->timer, ms * 1000);
	sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
}

void http_connection_watch(struct http_connection *connection)
{
	uint32_t events = 0;

	if (connection->out.len)
		events = EPOLLOUT;
	else if (!connection->pending && (connection->begun || !connection->server->paused))
		events = EPOLLIN;
	sd_event_source_set_io_events(connection->io, events);
}

bool http_connection_idle(const struct http_connection *connection)
{
	return !connection->begun && !connection->pending && !connection->out.len;
}

void http_connection_destroy(struct http_connection *connection)
{
	struct http_server *server = connection->server;

	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (server->connections[i] == connection)
			server->connections[i] = NULL;
	}
	if (connection->pending)
		connection->pending->connection = NULL;
	sd_event_source_disable_unref(connection->io);
	sd_event_source_disable_unref(connection->timer);
	close(connection->fd);
	http_parse_reset(connection);
	http_text_clear(&connection->out);
	free(connection);
}

static const char *reason_phrase(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 417:
		return "Expectation Failed";
	case 422:
		return "Unprocessable Content";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	case 507:
		return "Insufficient Storage";
	}
	return "Status";
}

void http_connection_reply(struct http_connection *connection, int status, const char *body,
			   const char *type, const char *fields)
{
	size_t body_len = strlen(body);
	char head[512];
	int len;

	connection->close_after |= connection->last || connection->server->stopping;
	len = snprintf(head, sizeof(head),
		       "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		       "Cache-Control: no-store\r\n%s%s\r\n",
		       status, reason_phrase(status), type, body_len, fields ? fields : "",
		       connection->close_after ? "Connection: close\r\n" : "");
	if (http_text_append(&connection->out, head, len) ||
	    http_text_append(&connection->out, body, body_len)) {
		/* Half an answer would be taken for a whole one: end it here. */
		http_text_clear(&connection->out);
		shutdown(connection->fd, SHUT_RDWR);
		return;
	}
	arm(connection, HTTP_REQUEST_MS);
	http_connection_watch(connection);
}

/* An error of the protocol: what follows on the connection has no meaning. */
static void refuse(struct http_connection *connection, int status, const char *message)
{
	char *body = connection->server->error_body(status, message);

	connection->close_after = true;
	connection->in_len = 0;
	http_connection_reply(connection, status, body ? body : "{}", TYPE_JSON, NULL);
	free(body);
}

static const char *refusal_text(int status)
{
	switch (status) {
	case 413:
		return "the body is larger than 4 MiB";
	case 417:
		return "only Expect: 100-continue is known";
	case 431:
		return "the request's head is larger than 16 KiB";
	case 503:
		return "out of memory";
	}
	return "this is no valid HTTP/1.1 request";
}

static void hand_out(struct http_connection *connection)
{
	struct http_exchange *exchange = calloc(1, sizeof(*exchange));
	struct http_server *server = connection->server;
	struct http_request *request;
	char *query;

	if (!exchange || !connection->url.data) {
		free(exchange);
		refuse(connection, 503, refusal_text(503));
		return;
	}
	request = &exchange->request;
	request->method = llhttp_method_name(llhttp_get_method(&connection->parser));
	request->path = connection->url.data;
	request->content_type = connection->content_type.data;
	request->authorization = connection->authorization.data;
	request->client = connection->client.data;
	request->host = connection->host.data;
	connection->authorization.data = NULL;
	connection->client.data = NULL;
	connection->host.data = NULL;
	request->body = connection->body.data;
	request->body_len = connection->body.len;
	connection->url.data = NULL;
	connection->content_type.data = NULL;
	connection->body.data = NULL;
	http_parse_reset(connection);
	query = strchr(request->path, '?');
	if (query) {
		*query = '\0';
		request->query = query + 1;
	}
	exchange->server = server;
	exchange->connection = connection;
	exchange->next = server->exchanges;
	exchange->previous = &server->exchanges;
	if (exchange->next)
		exchange->next->previous = &exchange->next;
	server->exchanges = exchange;
	connection->pending = exchange;
	sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
	http_connection_watch(connection);
	server->handler(server->context, request);
}

void http_reply(struct http_request *request, int status, char *body, const char *allow)
{
	char fields[160] = "";

	if (allow)
		snprintf(fields, sizeof(fields), "Allow: %s\r\n", allow);
	http_reply_as(request, status, body, TYPE_JSON, fields);
}

void http_reply_as(struct http_request *request, int status, char *body, const char *type,
		   const char *fields)
{
	struct http_exchange *exchange = (struct http_exchange *)request;
	struct http_connection *connection = exchange->connection;

	if (connection) {
		connection->pending = NULL;
		if (!body) {
			status = 500;
			type = TYPE_JSON;
			body = exchange->server->error_body(500, "out of memory");
		}
		http_connection_reply(connection, status, body ? body : "{}", type, fields);
	}
	*exchange->previous = exchange->next;
	if (exchange->next)
		exchange->next->previous = exchange->previous;
	free(body);
	free(request->path);
	free(request->content_type);
	secret_free(request->authorization);
	free(request->client);
	free(request->host);
	free(request->body);
	free(exchange);
}

/* Parses what has been read: hands a request out, refuses it, or waits for the rest. */
static void step(struct http_connection *connection)
{
	bool had_begun = connection->begun;
	int result = http_parse(connection);

	if (connection->forbidden && result) {
		refuse(connection, 403, "only root may use the control socket");
	} else if (result == 1) {
		hand_out(connection);
	} else if (result) {
		refuse(connection, result, refusal_text(result));
	} else if (connection->begun) {
		if (connection->expects_continue) {
			static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

			connection->expects_continue = false;
			/* Small, and nothing else is being written: it fits. */
			(void)!send(connection->fd, go_on, sizeof(go_on) - 1,
				    MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		if (!had_begun)
			arm(connection, HTTP_REQUEST_MS);
	}
}

/* 0, or -1 where the connection is gone. */
static int read_some(struct http_connection *connection)
{
	ssize_t got = recv(connection->fd, connection->in + connection->in_len,
			   sizeof(connection->in) - connection->in_len, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -1;
	connection->in_len += got;
	step(connection);
	return 0;
}

static int write_some(struct http_connection *connection)
{
	ssize_t sent = send(connection->fd, connection->out.data + connection->out_sent,
			    connection->out.len - connection->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (sent < 0)
		return -1;
	connection->out_sent += sent;
	if (connection->out_sent < connection->out.len)
		return 0;
	http_text_clear(&connection->out);
	connection->out_sent = 0;
	if (connection->close_after)
		return -1;
	arm(connection, HTTP_IDLE_MS);
	http_connection_watch(connection);
	/* The next request may have come with the last one. */
	step(connection);
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct http_connection *connection = context;
	int ret = 0;

	if (events & EPOLLOUT && connection->out.len)
		ret = write_some(connection);
	else if (events & EPOLLIN && !connection->pending && !connection->out.len)
		ret = read_some(connection);
	else if (events & (EPOLLHUP | EPOLLERR))
		ret = -1;
	if (ret < 0)
		http_connection_destroy(connection);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct http_connection *connection = context;

	if (connection->begun && !connection->out.len)
		refuse(connection, 408, "the request did not arrive within 30 seconds");
	else
		http_connection_destroy(connection);
	return 0;
}

struct http_connection *http_connection_create(struct http_server *server, int fd)
{
	struct http_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->server = server;
	connection->fd = fd;
	http_parse_setup(connection);
	if (sd_event_add_io(server->event, &connection->io, fd, EPOLLIN, on_io, connection) < 0)
		goto err_free;
	if (sd_event_add_time_relative(server->event, &connection->timer, CLOCK_MONOTONIC,
				       HTTP_IDLE_MS * 1000ull, 100000, on_timer, connection) < 0)
		goto err_unref;
	http_connection_watch(connection);
	return connection;

err_unref:
	sd_event_source_disable_unref(connection->io);
err_free:
	free(connection);
	return NULL;
}
