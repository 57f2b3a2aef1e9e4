// SPDX-License-Identifier: Apache-2.0
/* Exits as text, see exit.h. */
#include "relay/exit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXIT_HOST_MAX	(NAMES_TEXT_MAX + 8)	/* HOST:PORT */

static const struct {
	const char	*name;
	uint16_t	port;		/* 0: no proxy */
} kinds[] = {
	[EXIT_DIRECT] = { "direct", 0 },
	[EXIT_BLOCK] = { "block", 0 },
	[EXIT_SOCKS5] = { "socks5", 1080 },
	[EXIT_HTTP] = { "http", 8080 },
	[EXIT_HTTPS] = { "https", 443 },
	[EXIT_WIREGUARD] = { "wireguard", 0 },
};

const char *exit_kind_name(enum exit_kind kind)
{
	return kinds[kind].name;
}

bool exit_is_relayed(const struct exit_spec *spec)
{
	return kinds[spec->kind].port != 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 2.1, up to @len bytes into a NUL-terminated @out. */
static int decode(const char *text, size_t len, char out[EXIT_SECRET_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '%') {
			if (i + 2 >= len || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0)
				return -EINVAL;
			c = (unsigned char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		}
		if (c == '\0' || used + 1 >= EXIT_SECRET_MAX)
			return -EINVAL;
		out[used++] = (char)c;
	}
	out[used] = '\0';
	return 0;
}

/* USER:PASSWORD. */
static int parse_login(const char *text, size_t len, struct exit_spec *spec, const char **why)
{
	const char *colon = memchr(text, ':', len);

	if (!colon || colon == text) {
		*why = "has something before '@' that is not USER:PASSWORD";
		return -EINVAL;
	}
	if (decode(text, (size_t)(colon - text), spec->user) ||
	    decode(colon + 1, len - (size_t)(colon - text) - 1, spec->password)) {
		*why = "has a user or password that is longer than 255 bytes, holds a NUL, or whose "
		       "percent-encoding is broken";
		return -EINVAL;
	}
	/* RFC 7617: the first colon ends the user. RFC 1929: neither is empty. */
	if (strchr(spec->user, ':') || !spec->password[0]) {
		*why = "has a user with a colon in it, or no password";
		return -EINVAL;
	}
	spec->has_login = true;
	return 0;
}

/* NAME[:PORT]; the name is one that name_parse() takes for a whole one. */
static int parse_name(char *text, struct exit_spec *spec)
{
	char *colon = strchr(text, ':'), *end;
	const char *dot, *why;
	unsigned long port;

	spec->port = kinds[spec->kind].port;
	if (colon) {
		port = strtoul(colon + 1, &end, 10);
		if (!isdigit((unsigned char)colon[1]) || *end || !port || port > UINT16_MAX)
			return -EINVAL;
		spec->port = (uint16_t)port;
		*colon = '\0';
	}
	if (text[0] == '*' || name_parse(text, spec->host, &why))
		return -EINVAL;
	/* What ends in a number is an address that somebody has mistyped. */
	dot = strrchr(spec->host, '.');
	return dot && !isdigit((unsigned char)dot[1]) ? 0 : -EINVAL;
}

static int parse_proxy(const char *text, size_t len, struct exit_spec *spec, const char **why)
{
	struct address_listen place;
	char authority[EXIT_HOST_MAX];
	const char *at = NULL;

	/* The last '@': one in a password that was not encoded hurts nobody. */
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '@')
			at = text + i;
	}
	if (at) {
		if (parse_login(text, (size_t)(at - text), spec, why))
			return -EINVAL;
		len -= (size_t)(at - text) + 1;
		text = at + 1;
	}
	if (len && text[len - 1] == '/')
		len--;
	if (!len || len >= sizeof(authority)) {
		*why = "has no address, or one that is too long";
		return -EINVAL;
	}
	memcpy(authority, text, len);
	authority[len] = '\0';
	if (!address_listen_parse(authority, kinds[spec->kind].port, &place) && place.port) {
		spec->address = place.address;
		spec->port = place.port;
		return 0;
	}
	if (!parse_name(authority, spec))
		return 0;
	*why = "must name its proxy by an IP address or a name with a dot, with a port or without: "
	       "192.0.2.1:1080, [2001:db8::1]:1080 or proxy.example.com:1080";
	return -EINVAL;
}

int exit_parse(const char *text, size_t len, struct exit_spec *spec, const char **why)
{
	memset(spec, 0, sizeof(*spec));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const size_t name = strlen(kinds[i].name);

		if (len < name || strncasecmp(text, kinds[i].name, name))
			continue;
		spec->kind = (enum exit_kind)i;
		if (!kinds[i].port && len == name)
			return 0;
		if (kinds[i].port && len > name + 3 && !memcmp(text + name, "://", 3))
			return parse_proxy(text + name + 3, len - name - 3, spec, why);
	}
	*why = "must be direct, block, socks5://..., http://..., https://... or wireguard";
	return -EINVAL;
}

static void format_authority(const struct exit_spec *spec, char text[EXIT_HOST_MAX])
{
	const struct address_listen place = { spec->address, spec->port };

	_Static_assert(EXIT_HOST_MAX >= ADDRESS_LISTEN_TEXT_MAX, "either fits");
	if (spec->host[0])
		snprintf(text, EXIT_HOST_MAX, "%s:%u", spec->host, spec->port);
	else
		address_listen_format(&place, text);
}

void exit_format(const struct exit_spec *spec, char text[EXIT_TEXT_MAX])
{
	char authority[EXIT_HOST_MAX];

	if (!exit_is_relayed(spec)) {
		snprintf(text, EXIT_TEXT_MAX, "%s", kinds[spec->kind].name);
		return;
	}
	format_authority(spec, authority);
	snprintf(text, EXIT_TEXT_MAX, "%s://%s%s", kinds[spec->kind].name,
		 spec->has_login ? "***:***@" : "", authority);
}

bool exit_equal(const struct exit_spec *a, const struct exit_spec *b)
{
	if (a->kind != b->kind)
		return false;
	if (!exit_is_relayed(a))
		return true;
	return !strcmp(a->host, b->host) &&
	       (a->host[0] || address_equal(&a->address, &b->address)) && a->port == b->port &&
	       a->has_login == b->has_login && !strcmp(a->user, b->user) &&
	       !strcmp(a->password, b->password);
}
