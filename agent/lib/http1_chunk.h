/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding a chunked body (RFC 9112 7.1), byte by byte and without a buffer:
 * data is handed out in place, so that a paused reader costs nothing. Stricter
 * than the grammar asks a recipient to be: CR LF at the end of every line, no
 * blank around a size, no control characters in an extension, and extensions
 * are bounded over the whole body, since they are bytes that nobody wants.
 */
#ifndef HOODY_LIB_HTTP1_CHUNK_H
#define HOODY_LIB_HTTP1_CHUNK_H

#include "lib/http.h"

#define HTTP1_CHUNK_DIGITS_MAX		15	/* leading zeros count */
#define HTTP1_CHUNK_EXTENSIONS_MAX	16384	/* bytes in one body */

struct http1_chunk {
	uint8_t		state;
	uint8_t		digits;
	uint32_t	extensions;
	uint64_t	left;		/* of the current chunk's data */
};

enum http1_chunk_event {
	HTTP1_CHUNK_MORE,	/* all bytes are taken */
	HTTP1_CHUNK_DATA,	/* @data has some */
	HTTP1_CHUNK_LAST,	/* *at stands at the trailer section */
};

void http1_chunk_setup(struct http1_chunk *chunk);

/*
 * http1_chunk_next(): takes bytes from *at (below @end) up to the next event.
 * -EBADMSG where they are malformed; nothing may be called after that, nor
 * after HTTP1_CHUNK_LAST.
 */
int http1_chunk_next(struct http1_chunk *chunk, const char **at, const char *end,
		     struct http_text *data);

#endif /* HOODY_LIB_HTTP1_CHUNK_H */
