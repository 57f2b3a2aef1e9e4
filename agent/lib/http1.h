/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.x heads as bytes (RFC 9112): finding the end, decoding, encoding. Both
 * sides of the proxy use it. llhttp does the splitting, with every leniency
 * off; on top of it stand checks for what it lets through, because two parsers
 * that disagree about one byte are how requests are smuggled. Whatever is not
 * plainly right is -EBADMSG; nothing is repaired.
 *
 * Pure functions over bytes that are all there; a head is decoded in place.
 */
#ifndef HOODY_LIB_HTTP1_H
#define HOODY_LIB_HTTP1_H

#include <sys/types.h>

#include "lib/buf.h"
#include "lib/http.h"

/*
 * http1_head_length(): bytes up to and with the empty line, 0 where that has not
 * come yet, -EBADMSG for a line that does not end in CR LF or starts with a
 * blank (obs-fold). @scanned (0 at first) makes the next call go on where this
 * one stopped; it counts from the same @bytes.
 */
ssize_t http1_head_length(const char *bytes, size_t len, size_t *scanned);

/*
 * http1_decode_request(), _response(), _trailers(): @len is what
 * http1_head_length() said. head->fields and fields_max must be set, the rest is
 * overwritten. 0, or
 *	-EBADMSG		malformed
 *	-E2BIG			more than fields_max fields
 *	-ENOSYS			a method that is well-formed but unknown
 *	-EPROTONOSUPPORT	neither HTTP/1.0 nor HTTP/1.1
 * @to_head: the response answers a HEAD request.
 */
int http1_decode_request(struct http_head *head, const char *bytes, size_t len);
int http1_decode_response(struct http_head *head, const char *bytes, size_t len, bool to_head);
int http1_decode_trailers(struct http_head *head, const char *bytes, size_t len);

/*
 * Encoding writes fields that are not dropped; framing and Connection come from
 * the arguments. 0 or an error of buf_reserve().
 */
enum http1_connection {
	HTTP1_CONNECTION_DEFAULT,	/* no Connection field */
	HTTP1_CONNECTION_CLOSE,
	HTTP1_CONNECTION_KEEP_ALIVE,
	HTTP1_CONNECTION_UPGRADE,	/* with @upgrade as Upgrade field */
};

struct http1_encoding {
	enum http1_connection	connection;
	enum http_framing	framing;	/* HTTP_BODY_STREAM: chunked */
	uint64_t		length;
	bool			zero_length;	/* HTTP_BODY_NONE: say Content-Length: 0 */
	struct http_text	upgrade;
};

int http1_encode_request(struct buf_pool *pool, struct buf *out, const struct http_head *head,
			 const struct http1_encoding *encoding);
int http1_encode_response(struct buf_pool *pool, struct buf *out, const struct http_head *head,
			  const struct http1_encoding *encoding);
/* One chunk; @data is not empty. */
int http1_encode_chunk(struct buf_pool *pool, struct buf *out, const char *data, size_t len);
/* The last chunk with @trailers, which may be NULL. */
int http1_encode_last_chunk(struct buf_pool *pool, struct buf *out,
			    const struct http_head *trailers);

#endif /* HOODY_LIB_HTTP1_H */
