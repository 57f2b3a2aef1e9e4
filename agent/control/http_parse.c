// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a request with llhttp in its strict mode, see http_server.h. Bounds
 * are checked before anything is kept.
 */
#include "control/http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int http_text_append(struct http_text *text, const char *data, size_t len)
{
	size_t room = text->room ? text->room : 256;
	char *grown;

	while (room < text->len + len + 1)
		room *= 2;
	if (room != text->room) {
		grown = realloc(text->data, room);
		if (!grown)
			return -ENOMEM;
		text->data = grown;
		text->room = room;
	}
	memcpy(text->data + text->len, data, len);
	text->len += len;
	text->data[text->len] = '\0';
	return 0;
}

void http_text_clear(struct http_text *text)
{
	free(text->data);
	memset(text, 0, sizeof(*text));
}

static int refuse(struct http_connection *connection, int status)
{
	connection->refused = status;
	return HPE_USER;
}

static int append_head(struct http_connection *connection, struct http_text *text,
		       const char *data, size_t len)
{
	connection->head_len += len;
	if (connection->head_len > HTTP_HEAD_MAX)
		return refuse(connection, 431);
	if (http_text_append(text, data, len))
		return refuse(connection, 503);
	return 0;
}

static int on_message_begin(llhttp_t *parser)
{
	struct http_connection *connection = parser->data;

	connection->begun = true;
	return 0;
}

static int on_url(llhttp_t *parser, const char *data, size_t len)
{
	struct http_connection *connection = parser->data;

	return append_head(connection, &connection->url, data, len);
}

static int on_header_field(llhttp_t *parser, const char *data, size_t len)
{
	struct http_connection *connection = parser->data;

	if (connection->field_done) {
		connection->field.len = 0;
		connection->value.len = 0;
		connection->field_done = false;
	}
	/* Colon, space and line end count as well. */
	connection->head_len += 4;
	return append_head(connection, &connection->field, data, len);
}

static int on_header_value(llhttp_t *parser, const char *data, size_t len)
{
	struct http_connection *connection = parser->data;

	return append_head(connection, &connection->value, data, len);
}

/* A field that decides something has one value. */
static int take_once(struct http_connection *connection, struct http_text *text)
{
	if (text->data)
		return refuse(connection, 400);
	if (http_text_append(text, connection->value.data, connection->value.len))
		return refuse(connection, 503);
	return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
	struct http_connection *connection = parser->data;
	const char *name = connection->field.data, *value = connection->value.data;

	connection->field_done = true;
	if (!name || !value || !connection->value.len)
		return 0;
	if (!strcasecmp(name, "content-type")) {
		connection->content_type.len = 0;
		if (http_text_append(&connection->content_type, value, connection->value.len))
			return refuse(connection, 503);
	} else if (!strcasecmp(name, "authorization")) {
		return take_once(connection, &connection->authorization);
	} else if (!strcasecmp(name, "x-forwarded-for")) {
		return take_once(connection, &connection->client);
	} else if (!strcasecmp(name, "host")) {
		return take_once(connection, &connection->host);
	} else if (!strcasecmp(name, "expect")) {
		if (strcasecmp(value, "100-continue"))
			return refuse(connection, 417);
		connection->expects_continue = true;
	}
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	struct http_connection *connection = parser->data;

	if ((parser->flags & F_CONTENT_LENGTH) && parser->content_length > HTTP_BODY_MAX)
		return refuse(connection, 413);
	return 0;
}

static int on_body(llhttp_t *parser, const char *data, size_t len)
{
	struct http_connection *connection = parser->data;

	if (connection->body.len + len > HTTP_BODY_MAX)
		return refuse(connection, 413);
	if (http_text_append(&connection->body, data, len))
		return refuse(connection, 503);
	return 0;
}

static int on_message_complete(llhttp_t *parser)
{
	return HPE_PAUSED;
}

void http_parse_setup(struct http_connection *connection)
{
	static llhttp_settings_t settings;

	if (!settings.on_url) {
		llhttp_settings_init(&settings);
		settings.on_message_begin = on_message_begin;
		settings.on_url = on_url;
		settings.on_header_field = on_header_field;
		settings.on_header_value = on_header_value;
		settings.on_header_value_complete = on_header_value_complete;
		settings.on_headers_complete = on_headers_complete;
		settings.on_body = on_body;
		settings.on_message_complete = on_message_complete;
	}
	llhttp_init(&connection->parser, HTTP_REQUEST, &settings);
	connection->parser.data = connection;
}

void http_parse_reset(struct http_connection *connection)
{
	http_text_clear(&connection->url);
	http_text_clear(&connection->field);
	http_text_clear(&connection->value);
	http_text_clear(&connection->content_type);
	if (connection->authorization.data)
		explicit_bzero(connection->authorization.data, connection->authorization.len);
	http_text_clear(&connection->authorization);
	http_text_clear(&connection->client);
	http_text_clear(&connection->host);
	http_text_clear(&connection->body);
	connection->head_len = 0;
	connection->begun = false;
	connection->field_done = false;
	connection->expects_continue = false;
	connection->refused = 0;
}

int http_parse(struct http_connection *connection)
{
	llhttp_errno_t error;
	size_t used;

	if (connection->in_len == 0)
		return 0;
	error = llhttp_execute(&connection->parser, connection->in, connection->in_len);
	if (error == HPE_OK) {
		connection->in_len = 0;
		return 0;
	}
	if (error == HPE_PAUSED) {
		connection->last = !llhttp_should_keep_alive(&connection->parser);
		used = (size_t)(llhttp_get_error_pos(&connection->parser) - connection->in);
		connection->in_len -= used;
		memmove(connection->in, connection->in + used, connection->in_len);
		llhttp_resume(&connection->parser);
		return 1;
	}
	/* PAUSED_UPGRADE among others: this server switches to nothing. */
	return connection->refused ? connection->refused : 400;
}
