// SPDX-License-Identifier: Apache-2.0
/*
 * The table of actions: what requests are found to do, above all those whose
 * path could be read in two ways, and which tables are refused.
 */
#include "auth/action.h"
#include "tap.h"

#include <string.h>

static struct action_table table;

static const struct {
	const char *service, *method, *target;
	int flags;			/* 1: upgrade, 2: method override */
	const char *action;		/* NULL: none is sure */
} cases[] = {
	{ "terminal", "POST", "/api/v1/terminal/execute", 0, "execute" },
	{ "terminal", "GET", "/", 0, "read" },
	{ "terminal", "GET", "/api/v1/terminal/screen?x=/api/v1/terminal/execute", 0, "read" },
	{ "terminal", "HEAD", "/x", 0, "read" },
	{ "terminal", "GET", "/ws", 1, "execute" },
	{ "terminal", "GET", "/api/v1/terminal/execute", 0, "execute" },
	{ "terminal", "GET", "/api/v1/terminal/execute/7", 0, "execute" },
	{ "terminal", "GET", "/api/v1/terminal/execute?command=id", 0, "execute" },
	{ "terminal", "GET", "/api/v1/terminal/%65xecute", 0, "execute" },
	{ "terminal", "GET", "/api/v1/terminal%2fexecute", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal%2Fexecute", 0, NULL },
	{ "terminal", "GET", "/api/v1//terminal/execute", 0, NULL },
	{ "terminal", "GET", "//api/v1/terminal/execute", 0, NULL },
	{ "terminal", "GET", "/x/../api/v1/terminal/execute", 0, NULL },
	{ "terminal", "GET", "/api/./v1/terminal/execute", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/x/%2e%2e/execute", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/..", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/.", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/...", 0, "read" },
	{ "terminal", "GET", "/api/v1/terminal/execute;x=1", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal\\execute", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/%5cexecute", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/%2565xecute", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/execut%", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/execut%6", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/execut%zz", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/execute%00", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/execute%3fx", 0, NULL },
	{ "terminal", "GET", "/api/v1/terminal/execute#x", 0, NULL },
	{ "terminal", "GET", "api/v1/terminal", 0, NULL },
	{ "terminal", "OPTIONS", "*", 0, NULL },
	{ "terminal", "GET", "/", 2, NULL },
	{ "terminal", "POST", "/a%2fb", 0, "execute" },	/* only one rule can be meant */
	{ "terminal", "upgrade", "/", 0, "execute" },
	{ "terminal", "get", "/", 0, "execute" },	/* another method than GET */
	{ "files", "GET", "/a b/%c3%bc.txt", 0, "read" },
	{ "files", "GET", "/a%2fb", 0, "read" },	/* any path is "read" */
	{ "files", "GET", "/a/../b", 0, "read" },
	{ "files", "PUT", "/a", 0, "write" },
	{ "files", "POST", "/a", 0, "write" },
	{ "files", "PATCH", "/a", 0, "write" },
	{ "files", "MKCOL", "/a", 0, "write" },
	{ "files", "DELETE", "/a", 0, "delete" },
	{ "files", "MOVE", "/a", 0, "delete" },
	{ "files", "PROPFIND", "/a", 0, "read" },
	{ "files", "GET", "/a", 1, "write" },
	{ "files", "GET", "/a", 2, NULL },
	{ "sqlite", "GET", "/api/v1/sqlite/db?db=/hoody/databases/app.db", 0, "query" },
	{ "sqlite", "POST", "/api/v1/sqlite/db?db=/hoody/databases/app.db", 0, "modify" },
	{ "sqlite", "POST", "/api/v1/sqlite/query", 0, "query" },
	{ "sqlite", "POST", "/api/v1/sqlite/query/", 0, "modify" },
	{ "sqlite", "POST", "/api/v1/sqlite/query/../db", 0, NULL },
	{ "sqlite", "POST", "/api/v1/sqlite/%71uery", 0, "query" },
	{ "sqlite", "DELETE", "/x", 0, "modify" },
	{ "display", "GET", "/", 0, "view" },
	{ "display", "GET", "/websockify", 1, "control" },
	{ "display", "GET", "/api/v1/display/view", 1, "view" },
	{ "display", "GET", "/api/v1/display/view/../control", 1, NULL },
	{ "display", "POST", "/api/v1/display/click", 0, "control" },
	{ "http", "GET", "/", 0, NULL },
	{ "terminals", "GET", "/", 0, NULL },
	{ "termina", "GET", "/", 0, NULL },
};

static const char *const bad_tables[] = {
	"terminal",
	"terminal GET",
	"terminal GET /**",
	"terminal GET /** read more",
	"Terminal GET /** read",
	"terminal get /** read",
	"terminal GET, /** read",
	"terminal ,GET /** read",
	"terminal GET,upgrade /** read",
	"terminal GET api read",
	"terminal GET /** Read",
	"terminal GET /**/x read",
	"terminal GET /a* read",
	"terminal GET //a read",
	"terminal GET /a;b read",
	"terminal GET /a%20 read",
	"terminal GET /a?b read",
	"terminal GET /** a-name-that-is-much-too-long",
	"# fine\nterminal GET /** read\nterminal GET",
};

static const char *find(const struct action_table *in, const char *service, const char *method,
			const char *target, int flags)
{
	const struct action_request request = { { method, strlen(method) },
						{ target, strlen(target) },
						flags & 1, flags & 2 };

	return action_find(in, (struct http_text){ service, strlen(service) }, &request);
}

static void test_own_table(void)
{
	static const char text[] = "# mine\r\n"
				   "\n"
				   "app\tGET,PURGE\t/items/*/price\tprice\n"
				   "app * /items/** item\n"
				   "app * / root";
	static const char fixed[] = "# mine\n\napp\tGET,PURGE\t/items/*/price\tprice\n"
				    "app * /items/** item\napp * / root";
	struct action_table own;
	char error[160];

	tap_ok(action_table_parse(text, sizeof(text) - 1, &own, error, sizeof(error)) == 0 ||
		       strstr(error, "line 1"),
	       "table_carriage_return_in_a_comment_is_harmless");
	tap_ok(!action_table_parse(fixed, sizeof(fixed) - 1, &own, error, sizeof(error)) &&
		       own.count == 3 && action_table_valid(&own, sizeof(own)),
	       "table_of_an_operator_is_read");
	tap_ok(!strcmp(find(&own, "app", "PURGE", "/items/7/price", 0), "price"), "table_star");
	tap_ok(!strcmp(find(&own, "app", "PURGE", "/items//price", 4) ?: "none", "none"),
	       "table_star_is_not_empty");
	tap_ok(!strcmp(find(&own, "app", "POST", "/items/7/price", 0), "item"), "table_order");
	tap_ok(!strcmp(find(&own, "app", "POST", "/items/", 0), "item"), "table_rest_may_be_empty");
	tap_ok(!find(&own, "app", "POST", "/items", 0), "table_rest_needs_its_slash");
	tap_ok(!strcmp(find(&own, "app", "POST", "/", 0), "root"), "table_root");
	tap_ok(!find(&own, "app", "POST", "/other", 0), "table_no_rule_no_action");
	own.rules[1].path[0] = 'x';
	tap_ok(!action_table_valid(&own, sizeof(own)), "table_invalid_path_is_seen");
	memset(own.rules[1].path, '/', sizeof(own.rules[1].path));
	tap_ok(!action_table_valid(&own, sizeof(own)), "table_unended_text_is_seen");
}

static void test_bounds(void)
{
	char text[ACTION_RULES_MAX * 32 + 64], error[160], *at = text;
	struct action_table own;

	for (int i = 0; i <= ACTION_RULES_MAX; i++)
		at += sprintf(at, "s GET /%d a\n", i);
	tap_ok(action_table_parse(text, at - text, &own, error, sizeof(error)) &&
		       strstr(error, "line 257"),
	       "table_too_many_rules");
	at = text;
	for (int i = 0; i <= ACTION_PER_SERVICE_MAX; i++)
		at += sprintf(at, "s GET /%d a%d\n", i, i);
	tap_ok(action_table_parse(text, at - text, &own, error, sizeof(error)) &&
		       strstr(error, "line 9"),
	       "table_too_many_actions");
}

int main(void)
{
	char error[160];

	tap_plan((int)(sizeof(cases) / sizeof(cases[0]) +
		       sizeof(bad_tables) / sizeof(bad_tables[0])) + 11 + 2 + 1);
	action_table_default(&table);
	tap_ok(action_table_valid(&table, sizeof(table)), "table_default_is_valid");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = find(&table, cases[i].service, cases[i].method, cases[i].target,
				       cases[i].flags);

		if (!tap_ok(!strcmp(got ? got : "-", cases[i].action ? cases[i].action : "-"),
			    "action_%s_%s_%zu", cases[i].service, cases[i].method, i))
			tap_note("%s: %s", cases[i].target, got ? got : "none");
	}
	for (size_t i = 0; i < sizeof(bad_tables) / sizeof(bad_tables[0]); i++) {
		struct action_table own = { .count = 7 };

		memset(error, 0, sizeof(error));
		tap_ok(action_table_parse(bad_tables[i], strlen(bad_tables[i]), &own, error,
					  sizeof(error)) &&
			       own.count == 7 &&
			       strstr(error, i + 1 == sizeof(bad_tables) / sizeof(bad_tables[0]) ?
						     "line 3: " :
						     "line 1: ") == error,
		       "table_refused_%zu %s", i, error);
	}
	test_own_table();
	test_bounds();
	return tap_done();
}
