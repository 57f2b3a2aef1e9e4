/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding a chunked body, see http1_chunk.h.
 *
 *	SIZE -> [EXTENSION ->] SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *	                          `-> (size 0) HTTP1_CHUNK_LAST
 */
#include "lib/http1_chunk.h"

#include <errno.h>
#include <string.h>

enum {
	STATE_SIZE,
	STATE_EXTENSION,
	STATE_SIZE_LF,
	STATE_DATA,
	STATE_DATA_CR,
	STATE_DATA_LF,
};

void http1_chunk_setup(struct http1_chunk *chunk)
{
	memset(chunk, 0, sizeof(*chunk));
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int take_size(struct http1_chunk *chunk, char c)
{
	int value = hex_value(c);

	if (value >= 0) {
		if (chunk->digits++ >= HTTP1_CHUNK_DIGITS_MAX)
			return -EBADMSG;
		chunk->left = chunk->left << 4 | value;
		return 0;
	}
	if (!chunk->digits)
		return -EBADMSG;
	if (c == '\r')
		chunk->state = STATE_SIZE_LF;
	else if (c == ';')
		chunk->state = STATE_EXTENSION;
	else
		return -EBADMSG;
	return 0;
}

static int take_extension(struct http1_chunk *chunk, char c)
{
	if (c == '\r') {
		chunk->state = STATE_SIZE_LF;
		return 0;
	}
	if (chunk->extensions++ >= HTTP1_CHUNK_EXTENSIONS_MAX ||
	    !http_is_field_value((struct http_text){&c, 1}))
		return -EBADMSG;
	return 0;
}

int http1_chunk_next(struct http1_chunk *chunk, const char **at, const char *end,
		     struct http_text *data)
{
	while (*at < end) {
		if (chunk->state == STATE_DATA) {
			size_t len = end - *at;

			if (len > chunk->left)
				len = chunk->left;
			*data = (struct http_text){*at, len};
			*at += len;
			chunk->left -= len;
			if (!chunk->left)
				chunk->state = STATE_DATA_CR;
			return HTTP1_CHUNK_DATA;
		}
		switch (chunk->state) {
		case STATE_SIZE:
			if (take_size(chunk, **at))
				return -EBADMSG;
			break;
		case STATE_EXTENSION:
			if (take_extension(chunk, **at))
				return -EBADMSG;
			break;
		case STATE_SIZE_LF:
			if (**at != '\n')
				return -EBADMSG;
			(*at)++;
			chunk->digits = 0;
			if (!chunk->left)
				return HTTP1_CHUNK_LAST;
			chunk->state = STATE_DATA;
			continue;
		case STATE_DATA_CR:
			if (**at != '\r')
				return -EBADMSG;
			chunk->state = STATE_DATA_LF;
			break;
		case STATE_DATA_LF:
			if (**at != '\n')
				return -EBADMSG;
			chunk->state = STATE_SIZE;
			break;
		}
		(*at)++;
	}
	return HTTP1_CHUNK_MORE;
}
