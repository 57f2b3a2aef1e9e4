/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 as credentials use it (RFC 4648): strict, so that one value has one
 * spelling. No blanks, no line breaks, no bits left over behind the last byte;
 * padding exactly where the alphabet's users have it. Pure functions.
 */
#ifndef HOODY_AUTH_BASE64_H
#define HOODY_AUTH_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum base64_alphabet {
	BASE64_STANDARD,	/* section 4, padded: Basic credentials */
	BASE64_STANDARD_BARE,	/* section 4 without padding: PHC strings */
	BASE64_URL,		/* section 5 without padding: JWS, JWK */
};

/* Bytes that @len characters can decode to, at most; and the other way round with a NUL. */
#define BASE64_DECODED_MAX(len)	((len) / 4 * 3 + 3)
#define BASE64_ENCODED_MAX(len)	(((len) + 2) / 3 * 4 + 1)

/* The number of bytes written to @out (at most @size), or -EINVAL, -ENOSPC. */
ssize_t base64_decode(enum base64_alphabet alphabet, const char *text, size_t len, uint8_t *out,
		      size_t size);

/* Writes BASE64_ENCODED_MAX(@len) bytes at most, with a NUL; returns the text's length. */
size_t base64_encode(enum base64_alphabet alphabet, const uint8_t *data, size_t len, char *out);

#endif /* HOODY_AUTH_BASE64_H */
