// SPDX-License-Identifier: Apache-2.0
/*
 * Strict base64, see base64.h. OpenSSL's decoder skips blanks and takes
 * leftover bits, and knows only one of the alphabets: a token would have many
 * spellings, and a cache keyed by it many entries.
 */
#include "auth/base64.h"

#include <errno.h>

/* The value of one character, or -1. */
static int value_of(enum base64_alphabet alphabet, unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (alphabet == BASE64_URL ? '-' : '+'))
		return 62;
	if (c == (alphabet == BASE64_URL ? '_' : '/'))
		return 63;
	return -1;
}

ssize_t base64_decode(enum base64_alphabet alphabet, const char *text, size_t len, uint8_t *out,
		      size_t size)
{
	uint32_t bits = 0;
	unsigned int have = 0;
	size_t written = 0;

	if (alphabet == BASE64_STANDARD) {
		if (len % 4)
			return -EINVAL;
		for (int i = 0; i < 2 && len && text[len - 1] == '='; i++)
			len--;
	}
	/* One character alone carries six bits: no byte. */
	if (len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int value = value_of(alphabet, (unsigned char)text[i]);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (written == size)
			return -ENOSPC;
		out[written++] = (uint8_t)(bits >> have);
		bits &= (1u << have) - 1;
	}
	return bits ? -EINVAL : (ssize_t)written;
}

size_t base64_encode(enum base64_alphabet alphabet, const uint8_t *data, size_t len, char *out)
{
	static const char standard[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t written = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t rest = len - i;
		uint32_t bits = (uint32_t)data[i] << 16;

		if (rest > 1)
			bits |= (uint32_t)data[i + 1] << 8;
		if (rest > 2)
			bits |= data[i + 2];
		for (size_t k = 0; k < 4; k++) {
			char c = standard[bits >> (18 - 6 * k) & 63];

			if (k > rest) {
				if (alphabet == BASE64_STANDARD)
					out[written++] = '=';
				continue;
			}
			if (alphabet == BASE64_URL)
				c = c == '+' ? '-' : c == '/' ? '_' : c;
			out[written++] = c;
		}
	}
	out[written] = '\0';
	return written;
}
