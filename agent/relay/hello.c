// SPDX-License-Identifier: Apache-2.0
/* ClientHello, see hello.h. RFC 8446 4.1.2, RFC 6066 3. */
#include "relay/hello.h"

#include <string.h>

#define HANDSHAKE_HEADER	4
#define CLIENT_HELLO		1
#define RECORD_HEADER		5
#define RECORD_HANDSHAKE	22
#define RECORD_MAX		16384
#define EXTENSION_NAME		0
#define EXTENSION_HIDDEN	0xfe0d	/* encrypted_client_hello */

/* What is left to read; @at never passes @end. */
struct reader {
	const uint8_t	*at, *end;
};

static bool skip(struct reader *reader, size_t len)
{
	if ((size_t)(reader->end - reader->at) < len)
		return false;
	reader->at += len;
	return true;
}

static bool take_number(struct reader *reader, size_t bytes, size_t *out)
{
	const uint8_t *at = reader->at;

	if (!skip(reader, bytes))
		return false;
	for (*out = 0; bytes; bytes--)
		*out = *out << 8 | *at++;
	return true;
}

/* A vector with its length in front. */
static bool take_vector(struct reader *reader, size_t bytes, struct reader *out)
{
	size_t len;

	if (!take_number(reader, bytes, &len))
		return false;
	*out = (struct reader){ reader->at, reader->at + len };
	return skip(reader, len);
}

/* One host name and nothing else: there are no other types. */
static bool take_name(struct reader extension, char name[NAMES_TEXT_MAX])
{
	struct reader list, text;
	char copy[NAMES_TEXT_MAX];
	const char *why;
	size_t type, len;

	if (!take_vector(&extension, 2, &list) || extension.at != extension.end ||
	    !take_number(&list, 1, &type) || type || !take_vector(&list, 2, &text) ||
	    list.at != list.end)
		return false;
	len = (size_t)(text.end - text.at);
	if (!len || len >= sizeof(copy) || memchr(text.at, 0, len) || memchr(text.at, '*', len))
		return false;
	memcpy(copy, text.at, len);
	copy[len] = '\0';
	return !name_parse(copy, name, &why);
}

static enum hello_verdict read_extensions(struct reader extensions, char name[NAMES_TEXT_MAX])
{
	bool named = false, hidden = false;

	while (extensions.at != extensions.end) {
		struct reader extension;
		size_t type;

		if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, &extension))
			return HELLO_NONE;
		hidden |= type == EXTENSION_HIDDEN;
		if (type != EXTENSION_NAME)
			continue;
		if (named || !take_name(extension, name))
			return HELLO_NONE;
		named = true;
	}
	return hidden ? HELLO_HIDDEN : named ? HELLO_NAMED : HELLO_NO_NAME;
}

enum hello_verdict hello_read(const uint8_t *bytes, size_t len, char name[NAMES_TEXT_MAX])
{
	struct reader reader = { bytes, bytes + len }, vector, extensions;
	size_t type, size;

	if (len && bytes[0] != CLIENT_HELLO)
		return HELLO_NONE;
	if (len < HANDSHAKE_HEADER)
		return HELLO_MORE;
	if (!take_number(&reader, 1, &type) || !take_number(&reader, 3, &size) ||
	    size > HELLO_MAX - HANDSHAKE_HEADER)
		return HELLO_NONE;
	if ((size_t)(reader.end - reader.at) < size)
		return HELLO_MORE;
	reader.end = reader.at + size;
	/* version, random; session, suites, compression */
	if (!skip(&reader, 2 + 32) || !take_vector(&reader, 1, &vector) ||
	    !take_vector(&reader, 2, &vector) || !take_vector(&reader, 1, &vector))
		return HELLO_NONE;
	if (reader.at == reader.end)
		return HELLO_NO_NAME;
	if (!take_vector(&reader, 2, &extensions) || reader.at != reader.end)
		return HELLO_NONE;
	return read_extensions(extensions, name);
}

enum hello_verdict hello_read_records(const uint8_t *bytes, size_t len, char name[NAMES_TEXT_MAX])
{
	uint8_t message[HELLO_MAX];
	size_t at = 0, held = 0;

	while (at < len) {
		const size_t left = len - at;
		size_t size, part;

		if (bytes[at] != RECORD_HANDSHAKE || (left > 1 && bytes[at + 1] != 3))
			return HELLO_NONE;
		if (left < RECORD_HEADER)
			break;
		size = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
		if (!size || size > RECORD_MAX)
			return HELLO_NONE;
		part = left - RECORD_HEADER < size ? left - RECORD_HEADER : size;
		if (part > sizeof(message) - held)
			part = sizeof(message) - held;
		memcpy(message + held, bytes + at + RECORD_HEADER, part);
		held += part;
		/* What stands behind the hello is not looked at. */
		if (held >= HANDSHAKE_HEADER &&
		    hello_read(message, held, name) != HELLO_MORE)
			break;
		at += RECORD_HEADER + size;
	}
	return hello_read(message, held, name);
}
