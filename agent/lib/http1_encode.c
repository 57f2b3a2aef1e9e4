/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding HTTP/1.1 messages, see http1.h. A head is measured first and then
 * written in one go, so that it never stands half in a buffer.
 */
#include "lib/http1.h"

#include <string.h>

/* Connection, Content-Length or Transfer-Encoding, the empty line. */
#define FRAMING_BYTES_MAX	128

static char *put(char *at, const char *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static char *put_text(char *at, struct http_text text)
{
	return text.len ? put(at, text.data, text.len) : at;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_number(char *at, uint64_t number)
{
	return at + http_number(at, number);
}

static size_t fields_bytes(const struct http_head *head)
{
	size_t bytes = 0;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++)
		bytes += head->fields[i].name.len + head->fields[i].value.len + 4;
	return bytes;
}

static char *put_fields(char *at, const struct http_head *head)
{
	const struct http_field *field;
	unsigned int i;

	for (i = 0; i < head->fields_count; i++) {
		field = &head->fields[i];
		if (field->drop)
			continue;
		at = put_text(at, field->name);
		at = PUT(at, ": ");
		at = put_text(at, field->value);
		at = PUT(at, "\r\n");
	}
	return at;
}

static char *put_framing(char *at, const struct http1_encoding *encoding)
{
	switch (encoding->framing) {
	case HTTP_BODY_LENGTH:
		at = PUT(at, "Content-Length: ");
		at = put_number(at, encoding->length);
		at = PUT(at, "\r\n");
		break;
	case HTTP_BODY_STREAM:
		at = PUT(at, "Transfer-Encoding: chunked\r\n");
		break;
	case HTTP_BODY_NONE:
		if (encoding->zero_length)
			at = PUT(at, "Content-Length: 0\r\n");
		break;
	case HTTP_BODY_CLOSE:
		break;
	}
	switch (encoding->connection) {
	case HTTP1_CONNECTION_CLOSE:
		at = PUT(at, "Connection: close\r\n");
		break;
	case HTTP1_CONNECTION_KEEP_ALIVE:
		at = PUT(at, "Connection: keep-alive\r\n");
		break;
	case HTTP1_CONNECTION_UPGRADE:
		at = PUT(at, "Connection: Upgrade\r\nUpgrade: ");
		at = put_text(at, encoding->upgrade);
		at = PUT(at, "\r\n");
		break;
	case HTTP1_CONNECTION_DEFAULT:
		break;
	}
	return PUT(at, "\r\n");
}

int http1_encode_request(struct buf_pool *pool, struct buf *out, const struct http_head *head,
			 const struct http1_encoding *encoding)
{
	char *at;
	int err;

	err = buf_reserve(pool, out, head->method_name.len + head->target.len +
			  head->authority.len + 32 + fields_bytes(head) + FRAMING_BYTES_MAX +
			  encoding->upgrade.len);
	if (err)
		return err;
	at = put_text(buf_tail(out), head->method_name);
	*at++ = ' ';
	at = put_text(at, head->target);
	at = PUT(at, " HTTP/1.1\r\nHost: ");
	at = put_text(at, head->authority);
	at = PUT(at, "\r\n");
	at = put_fields(at, head);
	at = put_framing(at, encoding);
	out->end = at - out->data;
	return 0;
}

int http1_encode_response(struct buf_pool *pool, struct buf *out, const struct http_head *head,
			  const struct http1_encoding *encoding)
{
	char *at;
	int err;

	err = buf_reserve(pool, out, 32 + head->reason.len + fields_bytes(head) +
			  FRAMING_BYTES_MAX + encoding->upgrade.len);
	if (err)
		return err;
	at = PUT(buf_tail(out), "HTTP/1.1 ");
	at = put_number(at, head->status);
	*at++ = ' ';
	at = put_text(at, head->reason);
	at = PUT(at, "\r\n");
	at = put_fields(at, head);
	at = put_framing(at, encoding);
	out->end = at - out->data;
	return 0;
}

int http1_encode_chunk(struct buf_pool *pool, struct buf *out, const char *data, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	char digits[16];
	int count = 0, err;
	size_t rest = len;
	char *at;

	err = buf_reserve(pool, out, len + sizeof(digits) + 4);
	if (err)
		return err;
	while (rest) {
		digits[count++] = hex[rest & 15];
		rest >>= 4;
	}
	at = buf_tail(out);
	while (count)
		*at++ = digits[--count];
	at = PUT(at, "\r\n");
	at = put(at, data, len);
	at = PUT(at, "\r\n");
	out->end = at - out->data;
	return 0;
}

int http1_encode_last_chunk(struct buf_pool *pool, struct buf *out,
			    const struct http_head *trailers)
{
	char *at;
	int err;

	err = buf_reserve(pool, out, 8 + (trailers ? fields_bytes(trailers) : 0));
	if (err)
		return err;
	at = PUT(buf_tail(out), "0\r\n");
	if (trailers)
		at = put_fields(at, trailers);
	at = PUT(at, "\r\n");
	out->end = at - out->data;
	return 0;
}
