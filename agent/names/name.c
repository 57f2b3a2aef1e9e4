// SPDX-License-Identifier: Apache-2.0
/* Names of rules, see name.h. */
#include "names/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_MAX	63	/* RFC 1035 2.3.4 */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool name_is_meant(const char *text)
{
	const char *last = strrchr(text, '.');
	bool letters = false;

	if (strchr(text, ':') || strchr(text, '/'))
		return false;
	if (last && !last[1]) {
		/* The dot at the end. */
		while (last > text && last[-1] != '.')
			last--;
		last -= last > text;
	}
	for (last = last ? last : text; *last; last++)
		letters = letters || is_letter(*last) || (unsigned char)*last >= 0x80;
	return letters || text[0] == '*';
}

/* One label in lower case. NULL, or what is wrong with it. */
static const char *take_label(const char *label, size_t len, char *out)
{
	if (!len)
		return "has an empty part between its dots";
	if (len > LABEL_MAX)
		return "has a part of more than 63 letters between its dots";
	if (label[0] == '-' || label[len - 1] == '-')
		return "has a part that begins or ends with a hyphen";
	for (size_t i = 0; i < len; i++) {
		const char c = label[i];

		if ((unsigned char)c >= 0x80)
			return "is not ASCII: write its form in queries, which begins with xn--";
		if (c == '*')
			return "has a star that is not its whole first part: write *.example.com";
		if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_')
			return "has a character that no host name has";
		out[i] = is_letter(c) ? (char)(c | 0x20) : c;
	}
	return NULL;
}

int name_parse(const char *text, char out[NAMES_TEXT_MAX], const char **why)
{
	size_t len = strlen(text), at = 0, labels = 0;

	*why = "is no host name";
	if (len && text[len - 1] == '.')
		len--;
	if (!len)
		return -EINVAL;
	*why = "is longer than 253 letters, which no name is";
	if (len >= NAMES_TEXT_MAX)
		return -EINVAL;
	if (len >= 2 && text[0] == '*' && text[1] == '.') {
		memcpy(out, text, 2);
		at = 2;
	}
	while (at <= len) {
		const char *dot = memchr(text + at, '.', len - at);
		const size_t end = dot ? (size_t)(dot - text) : len;

		*why = take_label(text + at, end - at, out + at);
		if (*why)
			return -EINVAL;
		if (dot)
			out[end] = '.';
		at = end + 1;
		labels++;
	}
	out[len] = '\0';
	*why = "has only one part: write the whole name, as api.example.com";
	if (labels < 2)
		return -EINVAL;
	*why = "ends with a number: that is no name";
	if (is_digit(strrchr(out, '.')[1]))
		return -EINVAL;
	return 0;
}

bool name_matches(const char *pattern, const char *name)
{
	const size_t tail = strlen(pattern) - 1, len = strlen(name);

	if (pattern[0] != '*')
		return !strcmp(pattern, name);
	return len > tail && !strcmp(name + len - tail, pattern + 1);
}

static int compare(const void *key, const void *element)
{
	return strcmp(key, *(char *const *)element);
}

static bool has(const struct name_set *set, const char *text)
{
	return set->count &&
	       bsearch(text, set->patterns, set->count, sizeof(*set->patterns), compare);
}

bool name_set_has(const struct name_set *set, const char *name)
{
	char wild[NAMES_TEXT_MAX + 1];

	if (has(set, name))
		return true;
	for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		const size_t len = strlen(dot);

		if (len >= NAMES_TEXT_MAX)
			return false;
		wild[0] = '*';
		memcpy(wild + 1, dot, len + 1);
		if (has(set, wild))
			return true;
	}
	return false;
}
