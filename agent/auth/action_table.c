// SPDX-License-Identifier: Apache-2.0
/*
 * Tables of actions: the built-in one and what an operator writes. See
 * action.h for the form and docs/permissions.md for the meaning.
 */
#include "auth/action.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Where a request's meaning is not in method and path, the stronger action is
 * the safe one: SQL travels in bodies, so only what is said to be a query is
 * one; a terminal's or a display's WebSocket carries keys.
 */
const char action_default_text[] =
	"# service  methods                          path                           action\n"
	"terminal   upgrade                          /**                            execute\n"
	"terminal   GET,HEAD,OPTIONS                 /api/v1/terminal/execute       execute\n"
	"terminal   GET,HEAD,OPTIONS                 /api/v1/terminal/execute/**    execute\n"
	"terminal   GET,HEAD,OPTIONS                 /**                            read\n"
	"terminal   *                                /**                            execute\n"
	"files      upgrade                          /**                            write\n"
	"files      GET,HEAD,OPTIONS,PROPFIND,SEARCH /**                            read\n"
	"files      DELETE,MOVE                      /**                            delete\n"
	"files      *                                /**                            write\n"
	"sqlite     upgrade                          /**                            modify\n"
	"sqlite     GET,HEAD,OPTIONS                 /**                            query\n"
	"sqlite     POST                             /api/v1/sqlite/query           query\n"
	"sqlite     *                                /**                            modify\n"
	"display    upgrade                          /api/v1/display/view           view\n"
	"display    upgrade                          /api/v1/display/view/**        view\n"
	"display    upgrade                          /**                            control\n"
	"display    GET,HEAD,OPTIONS                 /**                            view\n"
	"display    *                                /**                            control\n";

__attribute__((format(printf, 4, 5))) static int refuse(char *error, size_t size, unsigned int line,
							const char *format, ...)
{
	va_list args;
	int len = snprintf(error, size, "line %u: ", line);

	if (len > 0 && (size_t)len < size) {
		va_start(args, format);
		vsnprintf(error + len, size - len, format, args);
		va_end(args);
	}
	return -EINVAL;
}

/* The next word of a line into @out; false where there is none or it is too long. */
static bool take_word(const char **at, const char *end, char *out, size_t size)
{
	const char *start = *at;
	size_t len;

	while (start < end && (*start == ' ' || *start == '\t'))
		start++;
	*at = start;
	while (*at < end && **at != ' ' && **at != '\t')
		(*at)++;
	len = (size_t)(*at - start);
	if (len == 0 || len >= size)
		return false;
	memset(out, 0, size);
	memcpy(out, start, len);
	return true;
}

/* @first, then letters, digits and what @more has. */
static bool name_ok(const char *name, const char *more)
{
	if (!(name[0] >= 'a' && name[0] <= 'z'))
		return false;
	for (; *name; name++) {
		if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') &&
		    !strchr(more, *name))
			return false;
	}
	return true;
}

static bool methods_ok(const char *methods)
{
	size_t len;

	if (!strcmp(methods, "*") || !strcmp(methods, "upgrade"))
		return true;
	for (;; methods += len + 1) {
		len = strspn(methods, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
		if (len == 0)
			return false;
		if (methods[len] == '\0')
			return true;
		if (methods[len] != ',')
			return false;
	}
}

/* Starts with "/", no empty segment, "**" only as the last one, "*" only alone. */
static bool path_ok(const char *path)
{
	if (path[0] != '/')
		return false;
	while (*path == '/') {
		size_t len = strcspn(++path, "/");
		bool stars = memchr(path, '*', len) != NULL;
		bool last = path[len] == '\0';

		if (stars && !(len == 1) && !(len == 2 && path[1] == '*' && path[0] == '*' && last))
			return false;
		if (len == 0 && !last)
			return false;
		for (size_t i = 0; i < len; i++) {
			if ((unsigned char)path[i] < 0x21 || strchr("%?#;\\\x7f", path[i]))
				return false;
		}
		path += len;
	}
	return true;
}

/* How many different actions @service has. */
static unsigned int count_actions(const struct action_table *table, const char *service)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		bool seen = false;

		if (strcmp(table->rules[i].service, service))
			continue;
		for (uint32_t k = 0; k < i && !seen; k++)
			seen = !strcmp(table->rules[k].service, service) &&
			       !strcmp(table->rules[k].action, table->rules[i].action);
		count += !seen;
	}
	return count;
}

static int parse_line(struct action_table *table, const char *at, const char *end,
		      unsigned int line, char *error, size_t size)
{
	struct action_rule *rule = &table->rules[table->count];

	if (table->count == ACTION_RULES_MAX)
		return refuse(error, size, line, "more than %d rules", ACTION_RULES_MAX);
	if (!take_word(&at, end, rule->service, sizeof(rule->service)) ||
	    !name_ok(rule->service, ""))
		return refuse(error, size, line, "no service: a name of a-z and 0-9 comes first");
	if (!take_word(&at, end, rule->methods, sizeof(rule->methods)) ||
	    !methods_ok(rule->methods))
		return refuse(error, size, line,
			      "no methods: names in upper case with commas, \"*\" or \"upgrade\"");
	if (!take_word(&at, end, rule->path, sizeof(rule->path)) || !path_ok(rule->path))
		return refuse(error, size, line,
			      "no path: segments that start with \"/\", \"*\" for one, \"**\" at the end");
	if (!take_word(&at, end, rule->action, sizeof(rule->action)) ||
	    !name_ok(rule->action, "_-"))
		return refuse(error, size, line, "no action: a name of at most %d characters",
			      ACTION_NAME_MAX - 1);
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	if (at != end)
		return refuse(error, size, line, "something follows the action");
	table->count++;
	if (count_actions(table, rule->service) > ACTION_PER_SERVICE_MAX)
		return refuse(error, size, line, "more than %d actions for %s",
			      ACTION_PER_SERVICE_MAX, rule->service);
	return 0;
}

int action_table_parse(const char *text, size_t len, struct action_table *table, char *error,
		       size_t error_size)
{
	struct action_table *next;
	unsigned int line = 1;
	int result = 0;

	if (len > ACTION_TABLE_TEXT_MAX)
		return refuse(error, error_size, 1, "the table is larger than %d bytes",
			      ACTION_TABLE_TEXT_MAX);
	next = calloc(1, sizeof(*next));
	if (!next)
		return -ENOMEM;
	for (const char *at = text, *all = text + len; at < all && !result; line++) {
		const char *newline = memchr(at, '\n', all - at);
		const char *end = newline ? newline : all;
		const char *start = at;

		while (start < end && (*start == ' ' || *start == '\t'))
			start++;
		if (start < end && *start != '#')
			result = parse_line(next, start, end, line, error, error_size);
		at = end + 1;
	}
	if (!result)
		*table = *next;
	free(next);
	return result;
}

void action_table_default(struct action_table *table)
{
	char error[128];

	if (action_table_parse(action_default_text, strlen(action_default_text), table, error,
			       sizeof(error)))
		abort();	/* out of memory at start: a test holds that the text parses */
}

size_t action_table_size(const struct action_table *table)
{
	return offsetof(struct action_table, rules) + table->count * sizeof(table->rules[0]);
}

bool action_table_valid(const struct action_table *table, size_t size)
{
	if (size < offsetof(struct action_table, rules) || table->count > ACTION_RULES_MAX ||
	    size < action_table_size(table))
		return false;
	for (uint32_t i = 0; i < table->count; i++) {
		const struct action_rule *rule = &table->rules[i];

		if (!memchr(rule->service, '\0', sizeof(rule->service)) ||
		    !memchr(rule->methods, '\0', sizeof(rule->methods)) ||
		    !memchr(rule->path, '\0', sizeof(rule->path)) ||
		    !memchr(rule->action, '\0', sizeof(rule->action)) ||
		    !name_ok(rule->service, "") || !methods_ok(rule->methods) ||
		    !path_ok(rule->path) || !name_ok(rule->action, "_-"))
			return false;
	}
	return true;
}

bool action_service_known(const struct action_table *table, const char *service)
{
	for (uint32_t i = 0; i < table->count; i++) {
		if (!strcmp(table->rules[i].service, service))
			return true;
	}
	return false;
}

bool action_known(const struct action_table *table, const char *service, const char *action)
{
	for (uint32_t i = 0; i < table->count; i++) {
		if (!strcmp(table->rules[i].service, service) &&
		    !strcmp(table->rules[i].action, action))
			return true;
	}
	return false;
}

char *action_names(const struct action_table *table, const char *service, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < table->count; i++) {
		const struct action_rule *rule = &table->rules[i];
		bool seen = false;

		if (strcmp(rule->service, service))
			continue;
		for (uint32_t k = 0; k < i && !seen; k++)
			seen = !strcmp(table->rules[k].service, service) &&
			       !strcmp(table->rules[k].action, rule->action);
		if (seen)
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
					 rule->action);
		if (used >= size)
			break;
	}
	return out;
}
