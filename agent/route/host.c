/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route that a host name spells, see host.h.
 */
#include "route/host.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* [start, end) is digits only and at most 65535; nothing at all is allowed. */
static bool port_valid(const char *start, const char *end)
{
	unsigned int port = 0;

	if (end - start > 5)
		return false;
	for (; start < end; start++) {
		if (!is_digit(*start))
			return false;
		port = port * 10 + (*start - '0');
	}
	return port <= 65535;
}

/* A byte of a label in lower case, '.' itself, 0 for what no host name has. */
#define LETTER(small, capital) [small] = small, [capital] = small
static const char name_byte[256] = {
	['.'] = '.',	  ['-'] = '-',	    ['_'] = '_',      ['0'] = '0',	['1'] = '1',
	['2'] = '2',	  ['3'] = '3',	    ['4'] = '4',      ['5'] = '5',	['6'] = '6',
	['7'] = '7',	  ['8'] = '8',	    ['9'] = '9',      LETTER('a', 'A'), LETTER('b', 'B'),
	LETTER('c', 'C'), LETTER('d', 'D'), LETTER('e', 'E'), LETTER('f', 'F'), LETTER('g', 'G'),
	LETTER('h', 'H'), LETTER('i', 'I'), LETTER('j', 'J'), LETTER('k', 'K'), LETTER('l', 'L'),
	LETTER('m', 'M'), LETTER('n', 'N'), LETTER('o', 'O'), LETTER('p', 'P'), LETTER('q', 'Q'),
	LETTER('r', 'R'), LETTER('s', 'S'), LETTER('t', 'T'), LETTER('u', 'U'), LETTER('v', 'V'),
	LETTER('w', 'W'), LETTER('x', 'X'), LETTER('y', 'Y'), LETTER('z', 'Z'),
};
#undef LETTER

/*
 * Cuts ":port" and one trailing dot off, and copies the rest in lower case to
 * @name. Returns its length, or -1 where it is no host name. '_' is let through:
 * names with it exist, though none is ours.
 */
static int normalize(const char *host, size_t len, char name[ROUTE_NAME_MAX + 1])
{
	const char *end = host + len, *colon = memchr(host, ':', len);
	const char *at, *dot;
	size_t i;

	if (colon) {
		if (!port_valid(colon + 1, end))
			return -1;
		end = colon;
	}
	if (end > host && end[-1] == '.')
		end--;
	len = end - host;
	if (!len || len > ROUTE_NAME_MAX)
		return -1;
	/* Once for every request: no branch in the loop. */
	for (i = 0; i < len; i++)
		name[i] = name_byte[(uint8_t)host[i]];
	name[len] = '\0';
	if (strlen(name) != len)
		return -1;
	for (at = name; (dot = memchr(at, '.', name + len - at)); at = dot + 1) {
		if (dot == at || dot - at > ROUTE_LABEL_MAX)
			return -1;
	}
	i = name + len - at;
	return i && i <= ROUTE_LABEL_MAX ? (int)len : -1;
}

/*
 * "[2001:db8::1]" with a port or none: well-formed, but never a route. Only the
 * bytes are looked at.
 */
static bool is_ip_literal(const char *host, size_t len)
{
	const char *close = memchr(host, ']', len), *end = host + len, *at;

	if (host[0] != '[' || !close || close == host + 1)
		return false;
	for (at = host + 1; at < close; at++) {
		char c = lower(*at);

		if (!is_digit(c) && (c < 'a' || c > 'f') && c != ':' && c != '.')
			return false;
	}
	return close + 1 == end || (close[1] == ':' && port_valid(close + 2, end));
}

/* The first label, which ends at @end. */
static bool parse_label(const char *label, const char *end, struct route_host *route)
{
	const char *service, *dash;
	unsigned int instance = 0;

	/* Two ids with a dash after each, one byte of service, a dash, a digit. */
	/* NOLINTNEXTLINE(clang-analyzer-core.*): so many bytes are there */
	if (end - label < 2 * (ID_TEXT_LEN + 1) + 3 || label[ID_TEXT_LEN] != '-' ||
	    label[2 * ID_TEXT_LEN + 1] != '-')
		return false;
	if (id_parse(label, ID_TEXT_LEN, route->project) ||
	    id_parse(label + ID_TEXT_LEN + 1, ID_TEXT_LEN, route->container))
		return false;
	service = label + 2 * (ID_TEXT_LEN + 1);
	dash = memchr(service, '-', end - service);
	if (!dash || *service < 'a' || *service > 'z' || memchr(service, '_', dash - service))
		return false;
	route->service_len = dash - service;
	memcpy(route->service, service, route->service_len);
	route->service[route->service_len] = '\0';
	if (end - dash - 1 < 1 || end - dash - 1 > 5 || dash[1] == '0')
		return false;
	for (dash++; dash < end; dash++) {
		if (!is_digit(*dash))
			return false;
		instance = instance * 10 + (*dash - '0');
	}
	if (instance > 65535)
		return false;
	route->instance = instance;
	return true;
}

/* Takes "@part" and, where something has to follow it, a dot from *at. */
static bool take_suffix(const char **at, const char *part, char after)
{
	size_t len = strlen(part);

	if (strncmp(*at, part, len) || (*at)[len] != after)
		return false;
	*at += len + (after != '\0');
	return true;
}

bool route_host_name(const char *host, size_t len, char name[ROUTE_NAME_MAX + 1])
{
	return len && !is_ip_literal(host, len) && normalize(host, len, name) >= 0;
}

enum route_host_result route_host_parse(const char *host, size_t len, const char *node,
					const char *base_domain, struct route_host *route)
{
	char name[ROUTE_NAME_MAX + 1];
	struct route_host found;
	const char *dot;

	/* @host may be NULL then: a request without any. */
	if (!len)
		return ROUTE_HOST_MALFORMED;
	if (is_ip_literal(host, len))
		return ROUTE_HOST_FOREIGN;
	if (normalize(host, len, name) < 0)
		return ROUTE_HOST_MALFORMED;
	dot = strchr(name, '.');
	if (!dot || !parse_label(name, dot, &found))
		return ROUTE_HOST_FOREIGN;
	dot++;
	if (!take_suffix(&dot, node, '.') || !take_suffix(&dot, base_domain, '\0'))
		return ROUTE_HOST_FOREIGN;
	*route = found;
	return ROUTE_HOST_OK;
}
