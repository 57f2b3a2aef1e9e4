/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server on a unix socket, for the control API.
 *
 * Only root (or the user that the agent runs as) may speak to it: the socket is
 * mode 0600 and the peer's credentials are looked at. Everything is bounded;
 * one connection has one request under way, the next is read when the answer is
 * out. It knows nothing of what the requests mean.
 */
#ifndef HOODY_CONTROL_HTTP_SERVER_H
#define HOODY_CONTROL_HTTP_SERVER_H

#include "lib/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#define HTTP_CONNECTIONS_MAX	64
#define HTTP_HEAD_MAX		(16 * 1024)
#define HTTP_BODY_MAX		(4 * 1024 * 1024)	/* 16,384 firewall rules */
#define HTTP_REQUEST_MS		30000	/* from its first byte to its end; to write an answer */
#define HTTP_IDLE_MS		60000

struct http_request {
	const char	*method;	/* "GET" */
	char		*path;		/* as sent, without the query */
	char		*query;		/* behind '?'; NULL: none */
	char		*content_type;	/* NULL: none */
	char		*authorization;	/* NULL: none; wiped with the request */
	char		*client;	/* X-Forwarded-For; NULL: none */
	char		*host;		/* NULL: none */
	char		*body;		/* NUL behind it */
	size_t		body_len;
};

/*
 * Called for every complete request. http_reply() must follow, at once or later,
 * and ends the request's life, also where its client has gone meanwhile.
 */
typedef void http_handler(void *context, struct http_request *request);

/* For errors of the protocol itself: returns a JSON body from malloc(). */
typedef char *http_error_body(int status, const char *message);

struct http_server;

/* NULL with a message in @fault. Makes the last directory of @path where it is missing. */
struct http_server *http_server_create(sd_event *event, const char *path, http_handler *handler,
				       http_error_body *error_body, void *context, char *fault,
				       size_t fault_size);
/*
 * Others than the control socket: anybody may ask, the handler decides. On a TCP
 * address, or (http_server_create_bare()) only on the connections that
 * http_server_adopt() brings, which takes @fd over in any case.
 */
struct http_server *http_server_create_tcp(sd_event *event, const struct address_listen *address,
					   http_handler *handler, http_error_body *error_body,
					   void *context, char *fault, size_t fault_size);
struct http_server *http_server_create_bare(sd_event *event, http_handler *handler,
					    http_error_body *error_body, void *context);
void http_server_adopt(struct http_server *server, int fd);

/*
 * http_server_pause(): what is new waits, in its sockets, until
 * http_server_resume(). http_server_quiet(): nothing is under way any more.
 * http_server_listener(), http_server_waiting(): the listening socket (-1: none) and
 * the connections that wait for a request, for another server: the first is what
 * http_server_create_from() takes over, the others what http_server_adopt() does.
 */
void http_server_pause(struct http_server *server);
void http_server_resume(struct http_server *server);
bool http_server_quiet(const struct http_server *server);
int http_server_listener(const struct http_server *server);
size_t http_server_waiting(const struct http_server *server, int fds[HTTP_CONNECTIONS_MAX]);
struct http_server *http_server_create_from(sd_event *event, int fd, const char *path,
					    http_handler *handler, http_error_body *error_body,
					    void *context);

/* No new connections and requests; those under way are answered. */
void http_server_stop(struct http_server *server);
void http_server_destroy(struct http_server *server);

/*
 * http_reply(): @body comes from malloc() and is taken over; NULL is an internal
 * error (500). @allow is the value of an Allow field, or NULL.
 */
void http_reply(struct http_request *request, int status, char *body, const char *allow);

/*
 * http_reply_as(): the same with a body of @type; @fields are further header
 * lines, each with its CRLF, or NULL.
 */
void http_reply_as(struct http_request *request, int status, char *body, const char *type,
		   const char *fields);

#endif /* HOODY_CONTROL_HTTP_SERVER_H */
