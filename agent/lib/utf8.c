// SPDX-License-Identifier: Apache-2.0
/* UTF-8, see utf8.h. */
#include "lib/utf8.h"

#include <stddef.h>

/* How many bytes the character at @text has (RFC 3629 section 4); 0: it is none. */
static size_t character(const unsigned char *text)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	len = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	/* Not longer than need be, no surrogates, nothing above U+10FFFF. */
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < len; i++) {
		if (text[i] < low || text[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

void utf8_repair(char *text)
{
	while (*text) {
		const size_t len = character((const unsigned char *)text);

		if (!len)
			*text = '?';
		text += len ? len : 1;
	}
}
