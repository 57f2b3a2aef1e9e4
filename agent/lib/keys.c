// SPDX-License-Identifier: Apache-2.0
/* Reading the text of lib/keys.h; pure functions over bytes. */
#include "lib/keys.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char	*word;
	enum keys_kind	kind;
} kinds[] = {
	{ "@names", KEYS_NAMES },
	{ "@ticket", KEYS_TICKET },
	{ "@http", KEYS_HTTP },
	{ "@alpn", KEYS_ALPN },
};

/* The line that starts a section, without its '\n'; *@at moves behind it. */
static int take_line(const char **at, const char *end, struct keys_section *section)
{
	const char *line = *at, *stop = memchr(line, '\n', end - line);

	if (!stop)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].word);

		if ((size_t)(stop - line) <= len || memcmp(line, kinds[i].word, len) ||
		    line[len] != ' ')
			continue;
		section->kind = kinds[i].kind;
		section->arguments = line + len + 1;
		section->arguments_len = stop - section->arguments;
		*at = stop + 1;
		return 0;
	}
	return -EBADMSG;
}

int keys_next(const char **at, const char *end, struct keys_section *section)
{
	const char *from, *line;

	memset(section, 0, sizeof(*section));
	if (*at >= end)
		return 0;
	section->kind = KEYS_NODE;
	section->arguments = *at;
	if (**at == '@' && take_line(at, end, section))
		return -EBADMSG;
	from = *at;
	for (line = from; line < end && *line != '@';) {
		const char *stop = memchr(line, '\n', end - line);

		line = stop ? stop + 1 : end;
	}
	section->body = from;
	section->body_len = line - from;
	*at = line;
	return 1;
}

int keys_word(struct keys_section *section, char *word, size_t size)
{
	const char *from = section->arguments, *end = from + section->arguments_len, *stop;

	while (from < end && *from == ' ')
		from++;
	for (stop = from; stop < end && *stop != ' ';)
		stop++;
	if ((size_t)(stop - from) >= size)
		return -EBADMSG;
	memcpy(word, from, stop - from);
	word[stop - from] = '\0';
	section->arguments = stop;
	section->arguments_len = end - stop;
	return stop > from;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int keys_ticket(const struct keys_section *section, uint8_t key[KEYS_TICKET_LEN])
{
	if (section->arguments_len != 2 * KEYS_TICKET_LEN)
		return -EBADMSG;
	for (size_t i = 0; i < KEYS_TICKET_LEN; i++) {
		int high = digit(section->arguments[2 * i]), low = digit(section->arguments[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		key[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
