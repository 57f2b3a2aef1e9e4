// SPDX-License-Identifier: Apache-2.0
/* Ids as text, as bytes and as hash, see id.h. */
#include "lib/id.h"

#include <errno.h>
#include <string.h>

/* Of a hexadecimal digit its value and DIGIT, of every other byte 0. */
#define DIGIT 0x10
static const uint8_t hex_digit[256] = {
	['0'] = DIGIT | 0,  ['1'] = DIGIT | 1,	['2'] = DIGIT | 2,  ['3'] = DIGIT | 3,
	['4'] = DIGIT | 4,  ['5'] = DIGIT | 5,	['6'] = DIGIT | 6,  ['7'] = DIGIT | 7,
	['8'] = DIGIT | 8,  ['9'] = DIGIT | 9,	['a'] = DIGIT | 10, ['b'] = DIGIT | 11,
	['c'] = DIGIT | 12, ['d'] = DIGIT | 13, ['e'] = DIGIT | 14, ['f'] = DIGIT | 15,
	['A'] = DIGIT | 10, ['B'] = DIGIT | 11, ['C'] = DIGIT | 12, ['D'] = DIGIT | 13,
	['E'] = DIGIT | 14, ['F'] = DIGIT | 15,
};

int id_parse(const char *text, size_t len, uint8_t id[ID_LEN])
{
	uint8_t parsed[ID_LEN], digits = DIGIT;

	if (len != ID_TEXT_LEN)
		return -EINVAL;
	/* Twice for every request that is routed: no branch in the loop. */
	for (size_t i = 0; i < ID_LEN; i++) {
		uint8_t high = hex_digit[(uint8_t)text[2 * i]];
		uint8_t low = hex_digit[(uint8_t)text[2 * i + 1]];

		digits &= high & low;
		parsed[i] = (uint8_t)(high << 4 | (low & 0xf));
	}
	if (!digits)
		return -EINVAL;
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
