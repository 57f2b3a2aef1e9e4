/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request does: from service, method and path to an action ("read",
 * "execute"), by a table that an operator may replace. One rule a line:
 *
 *	# service  methods     path                        action
 *	terminal   GET,HEAD    /api/v1/terminal/screen     read
 *	terminal   *           /api/v1/terminal/execute    execute
 *
 * The first rule that fits decides. Methods are names in upper case, "*" for
 * any, and "upgrade" for a request that asks to change the protocol (WebSocket),
 * whatever its method; other rules do not fit such a request, save "*". In a
 * path "*" stands for one segment and "**", as the last one, for any rest.
 *
 * A request whose path two programs could read in two ways (dot segments, an
 * encoded slash, empty segments, ";", ...) has an action only where every rule
 * that could be meant says the same. No action means: only those may, to whom
 * the whole service is given.
 *
 * A table holds no pointer: it can be copied, mapped and shared as it is.
 */
#ifndef HOODY_AUTH_ACTION_H
#define HOODY_AUTH_ACTION_H

#include "lib/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACTION_RULES_MAX	256
#define ACTION_SERVICE_MAX	64	/* sizes with a NUL */
#define ACTION_METHODS_MAX	96
#define ACTION_PATH_MAX		160
#define ACTION_NAME_MAX		24
#define ACTION_PER_SERVICE_MAX	8
#define ACTION_TABLE_TEXT_MAX	65536
#define ACTION_PATH_BYTES_MAX	2048	/* of a request, decoded; longer is ambiguous */

struct action_rule {
	char	service[ACTION_SERVICE_MAX];
	char	methods[ACTION_METHODS_MAX];	/* "GET,HEAD", "*" or "upgrade" */
	char	path[ACTION_PATH_MAX];
	char	action[ACTION_NAME_MAX];
};

struct action_table {
	uint32_t		count;
	uint32_t		reserved;
	struct action_rule	rules[ACTION_RULES_MAX];
};

struct action_request {
	struct http_text	method;
	struct http_text	target;		/* path and query, as it is passed on */
	bool			upgrade;
	/* It carries X-HTTP-Method-Override or a like: no rule is sure to be right. */
	bool			method_override;
};

/* The built-in table, as text and parsed. */
extern const char action_default_text[];
void action_table_default(struct action_table *table);

/*
 * action_table_parse(): 0, or -EINVAL with "line 3: ..." in @error. The table
 * is only changed on success.
 */
int action_table_parse(const char *text, size_t len, struct action_table *table, char *error,
		       size_t error_size);

/* The bytes of a table that are in use: as many make a copy of it. */
size_t action_table_size(const struct action_table *table);

/* Whether @size bytes that came from elsewhere are a table: strings end, count fits. */
bool action_table_valid(const struct action_table *table, size_t size);

/* Whether @service has any rule, and whether one of them leads to @action. */
bool action_service_known(const struct action_table *table, const char *service);
bool action_known(const struct action_table *table, const char *service, const char *action);
/* "execute, read" for a message. Returns @out. */
char *action_names(const struct action_table *table, const char *service, char *out, size_t size);

/* The action's name, valid as long as the table, or NULL: none is sure. */
const char *action_find(const struct action_table *table, struct http_text service,
			const struct action_request *request);

#endif /* HOODY_AUTH_ACTION_H */
