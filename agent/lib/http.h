/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP messages without a wire format: what a codec of any version decodes to
 * and encodes from. A head points into the bytes that it was read from and is
 * valid as long as they are; it owns nothing.
 */
#ifndef HOODY_LIB_HTTP_H
#define HOODY_LIB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_text {
	const char	*data;
	size_t		len;
};

#define HTTP_TEXT(literal) ((struct http_text){(literal), sizeof(literal) - 1})

/* Fields that this program looks at; all others are HTTP_FIELD_OTHER. */
enum http_field_id {
	HTTP_FIELD_OTHER,
	HTTP_FIELD_ACCEPT,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_FORWARDED,		/* any that speaks of the client: X-Forwarded-*, ... */
	HTTP_FIELD_HOODY,		/* X-Hoody-* */
	HTTP_FIELD_HOP,			/* hop by hop and without use for us */
	HTTP_FIELD_HOST,
	HTTP_FIELD_TE,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_NO_TRAILER,		/* must not stand in a trailer section */
};

struct http_field {
	struct http_text	name;
	struct http_text	value;	/* without blanks around it */
	uint8_t			id;	/* enum http_field_id */
	bool			drop;	/* not to be passed on */
};

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_CONNECT,
};

/* How the length of a body is known. */
enum http_framing {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,	/* known before, head.length */
	HTTP_BODY_STREAM,	/* known at its end, which is marked; may have trailers */
	HTTP_BODY_CLOSE,	/* a response that lasts until its connection ends */
};

struct http_head {
	/* of a request */
	enum http_method	method;
	struct http_text	method_name;
	struct http_text	target;		/* path and query, or "*" */
	struct http_text	authority;	/* what the client called, with :port */
	bool			tls;		/* scheme https */
	/* of a response */
	unsigned int		status;
	struct http_text	reason;
	/* of both */
	uint8_t			minor;		/* HTTP/1.x; later versions: 1 */
	bool			persistent;	/* the peer keeps the connection */
	bool			upgrade;	/* Upgrade, and Connection names it */
	bool			te_trailers;	/* TE: trailers, and Connection names it */
	enum http_framing	framing;
	uint64_t		length;
	bool			has_length;	/* it said so, also where no body follows */
	unsigned int		fields_count, fields_max;
	struct http_field	*fields;
};

/* ASCII only and without a locale. */
bool http_text_equal(struct http_text a, struct http_text b);	/* case-insensitive */
/* Exactly one token of RFC 9110 5.6.2, at least one byte. */
bool http_is_token(struct http_text text);
/* Field value bytes: VCHAR, SP, HTAB, obs-text (RFC 9110 5.5). */
bool http_is_field_value(struct http_text text);

enum http_field_id http_field_classify(struct http_text name);
enum http_method http_method_classify(struct http_text name);
/* RFC 9110 9.2.2: a second one does no harm. */
bool http_method_idempotent(enum http_method method, struct http_text name);

/*
 * http_list_next(): the next element of the comma-separated list @list, without
 * blanks; empty elements are skipped. False at the end. @list is advanced.
 */
bool http_list_next(struct http_text *list, struct http_text *element);

/* Appends a field. False where there is no room. */
bool http_head_add(struct http_head *head, struct http_text name, struct http_text value);

/*
 * http_head_strip_hops(): marks for dropping what RFC 9110 7.6.1 keeps from
 * passing on: Connection, what it names, and the fields that are hop by hop by
 * themselves; also the framing fields, which the next codec writes anew.
 */
void http_head_strip_hops(struct http_head *head);

/* Whether a trailer field of this kind may be passed on (RFC 9110 6.5.1). */
bool http_trailer_allowed(enum http_field_id id);

/* Decimal digits of @number to @at, without an end; how many, at most HTTP_NUMBER_MAX. */
#define HTTP_NUMBER_MAX	20
size_t http_number(char *at, uint64_t number);

/* The standard phrase of @status, "" where there is none. */
struct http_text http_reason(unsigned int status);

#endif /* HOODY_LIB_HTTP_H */
