// SPDX-License-Identifier: Apache-2.0
/*
 * Finding a request's action, see action.h; action_table.c reads tables.
 */
#include "auth/action.h"

#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * The path of @target, percent-decoded, into @out. Returns its length, or -1
 * where it is ambiguous: programs differ in whether they decode before or after
 * they split, what they do with a backslash or a parameter, and how often.
 */
static int path_decode(struct http_text target, char out[ACTION_PATH_BYTES_MAX])
{
	int len = 0;

	if (target.len == 0 || target.data[0] != '/')
		return -1;
	for (size_t i = 0; i < target.len && target.data[i] != '?'; i++) {
		unsigned char c = (unsigned char)target.data[i];
		bool encoded = c == '%';

		if (encoded) {
			int high = i + 2 < target.len ? hex_value(target.data[i + 1]) : -1;
			int low = i + 2 < target.len ? hex_value(target.data[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || c == '\\' || c == ';' || c == '#' ||
		    (encoded && (c == '/' || c == '%' || c == '?')) ||
		    len == ACTION_PATH_BYTES_MAX)
			return -1;
		out[len++] = (char)c;
	}
	return len;
}

/* "//", "/./", "/../", and a "." or ".." at the end. */
static bool path_has_odd_segment(const char *path, int len)
{
	for (int start = 1, i = 1; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		if (i - start == 0 && i < len)
			return true;
		if ((i - start == 1 && path[start] == '.') ||
		    (i - start == 2 && path[start] == '.' && path[start + 1] == '.'))
			return true;
		start = i + 1;
	}
	return false;
}

/* Segment by segment; both start with "/". */
static bool path_fits(const char *pattern, const char *path, int len)
{
	const char *end = path + len;

	for (;;) {
		size_t want, have;

		/* Both stand on a "/". */
		pattern++;
		path++;
		want = strcspn(pattern, "/");
		have = 0;
		while (path + have < end && path[have] != '/')
			have++;
		if (want == 2 && !memcmp(pattern, "**", 2))
			return true;
		if (want == 1 && pattern[0] == '*') {
			if (have == 0)
				return false;
		} else if (want != have || memcmp(pattern, path, want)) {
			return false;
		}
		pattern += want;
		path += have;
		if (*pattern == '\0' || path == end)
			return *pattern == '\0' && path == end;
	}
}

static bool method_fits(const char *methods, const struct action_request *request)
{
	size_t len;

	if (!strcmp(methods, "*"))
		return true;
	if (request->upgrade)
		return !strcmp(methods, "upgrade");
	for (;; methods += len + 1) {
		len = strcspn(methods, ",");
		/* "upgrade" is no method: methods are in upper case. */
		if (len == request->method.len && methods[0] != 'u' &&
		    !memcmp(methods, request->method.data, len))
			return true;
		if (methods[len] == '\0')
			return false;
	}
}

const char *action_find(const struct action_table *table, struct http_text service,
			const struct action_request *request)
{
	char path[ACTION_PATH_BYTES_MAX];
	int len = path_decode(request->target, path);
	bool clear = len > 0 && !path_has_odd_segment(path, len) && !request->method_override;
	const char *found = NULL;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct action_rule *rule = &table->rules[i];

		if (strncmp(rule->service, service.data, service.len) ||
		    rule->service[service.len] != '\0')
			continue;
		if (!request->method_override && !method_fits(rule->methods, request))
			continue;
		if (clear) {
			if (path_fits(rule->path, path, len))
				return rule->action;
			continue;
		}
		/* Any of them could be meant, up to one that any path fits. */
		if (found && strcmp(found, rule->action))
			return NULL;
		found = rule->action;
		if (!request->method_override && !strcmp(rule->path, "/**"))
			return found;
	}
	return found;
}
