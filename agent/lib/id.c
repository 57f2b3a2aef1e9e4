// SPDX-License-Identifier: Apache-2.0
/* Ids as text, as bytes and as hash, see id.h. */
#include "lib/id.h"

#include <errno.h>
#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int id_parse(const char *text, size_t len, uint8_t id[ID_LEN])
{
	uint8_t parsed[ID_LEN];

	if (len != ID_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < ID_LEN; i++) {
		int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		parsed[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(id, parsed, ID_LEN);
	return 0;
}

void id_format(const uint8_t id[ID_LEN], char text[ID_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < ID_LEN; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[ID_TEXT_LEN] = '\0';
}

/*
 * Ids often count upwards in their last bytes and share the first ones, so
 * every byte has to reach every bit: two rounds of multiply and fold, with the
 * odd constants of the finalizer of SplitMix64.
 */
uint64_t id_hash(const uint8_t id[ID_LEN])
{
	uint64_t high;
	uint32_t low;
	uint64_t h;

	memcpy(&high, id, sizeof(high));
	memcpy(&low, id + sizeof(high), sizeof(low));
	h = high ^ (low * 0x9e3779b97f4a7c15ull);
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
	return h ^ (h >> 31);
}
