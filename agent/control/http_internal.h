/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP server share with each other. */
#ifndef HOODY_CONTROL_HTTP_INTERNAL_H
#define HOODY_CONTROL_HTTP_INTERNAL_H

#include "control/http_server.h"

#include <llhttp.h>
#include <stdint.h>

/* Bytes that grow, with a NUL always behind them. */
struct http_text {
	char	*data;
	size_t	len, room;
};

struct http_connection;

/* A request as the server keeps it; @request is first, for http_reply(). */
struct http_exchange {
	struct http_request	request;
	struct http_connection	*connection;	/* NULL: the client has gone */
	struct http_server	*server;
	struct http_exchange	*next, **previous;	/* server->exchanges */
};

struct http_connection {
	struct http_server	*server;
	int			fd;		/* -1: the slot is free */
	sd_event_source		*io, *timer;
	llhttp_t		parser;
	char			in[HTTP_HEAD_MAX];	/* read and not parsed yet */
	size_t			in_len;
	/* The request that is being read: */
	struct http_text	url, field, value, content_type, body;
	struct http_text	authorization, client, host;
	size_t			head_len;
	bool			begun, field_done, expects_continue;
	int			refused;	/* the status that a callback decided on */
	struct http_exchange	*pending;	/* handed out, not answered */
	/* The answer that is being written: */
	struct http_text	out;
	size_t			out_sent;
	bool			close_after;
	bool			last;		/* nothing more is read after this request */
	bool			forbidden;	/* a peer that may not ask: 403 to anything */
};

struct http_server {
	sd_event		*event;
	sd_event_source		*accept;
	int			fd;
	char			path[108];
	http_handler		*handler;
	http_error_body		*error_body;
	void			*context;
	bool			open;		/* no peer is asked who it is */
	bool			stopping;
	bool			paused;
	struct http_exchange	*exchanges;
	struct http_connection	*connections[HTTP_CONNECTIONS_MAX];
};

int http_text_append(struct http_text *text, const char *data, size_t len);
void http_text_clear(struct http_text *text);

/* http_parse.c: sets the parser up, and forgets what was read of a request. */
void http_parse_setup(struct http_connection *connection);
void http_parse_reset(struct http_connection *connection);
/*
 * Feeds connection->in. 1: a request is complete; 0: more bytes are needed; or
 * the status of a refusal, 400 and above, after which nothing more can be read.
 */
int http_parse(struct http_connection *connection);

/* http_connection.c */
struct http_connection *http_connection_create(struct http_server *server, int fd);
void http_connection_destroy(struct http_connection *connection);
void http_connection_reply(struct http_connection *connection, int status, const char *body,
			   const char *type, const char *fields);
/* Asks the kernel for what is wanted now. */
void http_connection_watch(struct http_connection *connection);
bool http_connection_idle(const struct http_connection *connection);

#endif /* HOODY_CONTROL_HTTP_INTERNAL_H */
