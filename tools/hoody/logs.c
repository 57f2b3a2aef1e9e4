// SPDX-License-Identifier: Apache-2.0
/*
 * hoody logs query|export|stats|follow: the audit trail.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "options.h"
#include "print.h"

#define LOGS_PATH	"/api/v1/logs"
#define PAGE		1000
#define FOLLOW_US	500000
#define QUERY_MAX	1024

static const char *text_of(yyjson_val *json, const char *key)
{
	return yyjson_get_str(yyjson_obj_get(json, key)) ?: "";
}

static unsigned long long number_of(yyjson_val *json, const char *key)
{
	return yyjson_get_uint(yyjson_obj_get(json, key));
}

/* "90", "10m": how long ago; seconds, or 0. */
static unsigned long ago(const char *text)
{
	static const char units[] = "smhd";
	static const unsigned long factors[] = {1, 60, 3600, 86400};
	char *unit;
	unsigned long number = strtoul(text, &unit, 10);
	const char *found = *unit ? strchr(units, *unit) : NULL;

	if (text[0] < '0' || text[0] > '9' || !found || unit[1] || number > 1000000)
		return 0;
	return number * factors[found - units];
}

static const char *check_time(const char *text)
{
	if (ago(text) || (*text && !text[strspn(text, "0123456789-:.TZ")] && strlen(text) < 40))
		return NULL;
	return "must be 2026-01-31T12:00:00Z, 2026-01-31, or how long ago: 30s, 10m, 2h, 7d";
}

static const char *check_status(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return (digits == 3 && !text[3]) || (digits == 1 && !strcmp(text + 1, "xx"))
		       ? NULL
		       : "must be a status (404) or a class of them (4xx)";
}

static const char *check_limit(const char *text)
{
	unsigned long limit;

	return check_number(text, 1, PAGE, &limit) ? "must be a number from 1 to 1000" : NULL;
}

static const char *const kinds[] = {"exchange", "change", NULL};

static const char *check_kind(const char *text)
{
	return strcmp(text, kinds[0]) != 0 && strcmp(text, kinds[1]) != 0
		       ? "must be exchange or change"
		       : NULL;
}

/* The filters as a query, each with & before it. Values were checked: none needs escaping. */
static void filters(const struct cli_args *args, char query[QUERY_MAX])
{
	static const char *const names[] = {"container", "service", "status", "client",
					    "kind",	 "since",   "until"};
	size_t len = 0;

	query[0] = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = args_value(args, names[i]);
		unsigned long back;

		if (!value)
			continue;
		back = i >= 5 ? ago(value) : 0;
		if (back)
			len += snprintf(query + len, QUERY_MAX - len, "&%s=%lld", names[i],
					(long long)time(NULL) - (long long)back);
		else
			len += snprintf(query + len, QUERY_MAX - len, "&%s=%s", names[i], value);
	}
}

static enum print_colour status_colour(unsigned long long status)
{
	return status >= 500 || !status ? PRINT_RED : status >= 400 ? PRINT_YELLOW : PRINT_PLAIN;
}

static void add_row(struct print_table *table, yyjson_val *entry)
{
	unsigned long long status = number_of(entry, "status");
	bool change = !strcmp(text_of(entry, "kind"), "change");
	char text[64];

	/* Seconds are enough for people. */
	snprintf(text, sizeof(text), "%.19s", text_of(entry, "time"));
	print_table_cell(table, text, PRINT_DIM);
	print_table_cell(table, change ? text_of(entry, "actor") : text_of(entry, "client"),
			 PRINT_PLAIN);
	snprintf(text, sizeof(text), "%.24s", text_of(entry, "container"));
	print_table_cell(table, text, PRINT_PLAIN);
	if (change)
		snprintf(text, sizeof(text), "change");
	else
		snprintf(text, sizeof(text), "%s-%llu", text_of(entry, "service"),
			 number_of(entry, "instance"));
	print_table_cell(table, text_of(entry, "service")[0] || change ? text : "-", PRINT_PLAIN);
	snprintf(text, sizeof(text), "%llu", status);
	print_table_cell(table, text, status_colour(status));
	snprintf(text, sizeof(text), "%.1f", (double)number_of(entry, "total_us") / 1000);
	print_table_cell(table, text, PRINT_PLAIN);
	print_table_cell(table, text_of(entry, "method"), PRINT_PLAIN);
	print_table_cell(table, text_of(entry, "path"), PRINT_PLAIN);
	print_table_cell(table, text_of(entry, "outcome"),
			 !strcmp(text_of(entry, "outcome"), "complete") ? PRINT_DIM : PRINT_PLAIN);
	print_table_cell(table,
			 text_of(entry, "group")[0] ? text_of(entry, "group") : text_of(entry, "reason"),
			 PRINT_DIM);
}

static struct print_table *new_table(void)
{
	static const char *const headings[] = {"TIME",	 "CLIENT", "CONTAINER", "SERVICE",
					       "STATUS", "MS",	   "METHOD",	"PATH",
					       "END",	 "GROUP",  NULL};

	return print_table_create(headings);
}

static enum cli_status show_entries(struct cli *cli, const struct call *call,
				    const struct api_reply *reply)
{
	struct print_table *table = new_table();
	size_t count;

	(void)call;
	/* The newest last, where the eye is. */
	for (count = yyjson_arr_size(reply->data); count-- > 0;)
		add_row(table, yyjson_arr_get(reply->data, count));
	return print_table_finish(cli, table);
}

static enum cli_status run_query(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "GET", .show = show_entries};
	const char *limit = args_value(args, "limit") ?: "50";
	char query[QUERY_MAX];

	filters(args, query);
	return call_show(cli, &call, LOGS_PATH "?limit=%s%s", limit, query);
}

/* One line of NDJSON for each entry. CLI_DONE or CLI_FAILED. */
static enum cli_status print_lines(struct cli *cli, yyjson_val *data)
{
	yyjson_val *entry;
	size_t i, max;

	yyjson_arr_foreach(data, i, max, entry)
	{
		char *line = yyjson_val_write(entry, YYJSON_WRITE_NEWLINE_AT_END, NULL);

		if (!line)
			return print_error(cli, CLI_FAILED, "out of memory");
		fputs(line, stdout);
		free(line);
	}
	return fflush(stdout) ? CLI_FAILED : CLI_DONE;
}

/*
 * The entries behind @after, up to one page: *@after becomes the last one's
 * number; *@more: there may be further ones now.
 */
static enum cli_status next_page(struct cli *cli, const char *query, unsigned long long *after,
				 bool lines, bool *more)
{
	const struct call call = {.method = "GET"};
	struct print_table *table;
	struct api_reply reply;
	enum cli_status status;
	yyjson_val *entry;
	size_t i, max;

	status = call_ask(cli, &call, &reply, LOGS_PATH "?limit=%d&after=%llu%s", PAGE, *after,
			  query);
	if (status)
		return status;
	max = yyjson_arr_size(reply.data);
	if (max)
		*after = number_of(yyjson_arr_get(reply.data, max - 1), "id");
	*more = max && yyjson_is_str(yyjson_obj_get(reply.root, "next_cursor"));
	if (lines) {
		status = print_lines(cli, reply.data);
	} else if (max) {
		table = new_table();
		yyjson_arr_foreach(reply.data, i, max, entry) add_row(table, entry);
		status = print_table_finish(cli, table);
		if (fflush(stdout))
			status = CLI_FAILED;
	} else {
		status = CLI_DONE;
	}
	api_reply_clear(&reply);
	return status;
}

static enum cli_status run_export(struct cli *cli, const struct cli_args *args)
{
	unsigned long long after = 0;
	enum cli_status status;
	char query[QUERY_MAX];
	bool more = true;

	filters(args, query);
	do {
		status = next_page(cli, query, &after, true, &more);
	} while (!status && more);
	return status;
}

static enum cli_status run_follow(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "GET"};
	unsigned long long after = 0;
	enum cli_status status;
	struct api_reply reply;
	char query[QUERY_MAX];
	bool more;

	/* From what is the end now. */
	status = call_ask(cli, &call, &reply, LOGS_PATH "?limit=1");
	if (status)
		return status;
	after = number_of(yyjson_arr_get_first(reply.data), "id");
	api_reply_clear(&reply);
	filters(args, query);
	for (;;) {
		status = next_page(cli, query, &after, cli->json, &more);
		if (status)
			return status;
		if (!more)
			usleep(FOLLOW_US);
	}
}

static void show_times(const struct cli *cli, const char *name, yyjson_val *times)
{
	print_fieldf(cli, 11, name, "%.1f ms, 90 %% within %.1f, 99 %% within %.1f, at most %.1f",
		     (double)number_of(times, "p50") / 1000, (double)number_of(times, "p90") / 1000,
		     (double)number_of(times, "p99") / 1000, (double)number_of(times, "max") / 1000);
}

static enum cli_status show_tallies(struct cli *cli, yyjson_val *list, const char *key,
				    const char *heading)
{
	const char *const headings[] = {heading, "REQUESTS", "ERRORS", "BYTES IN", "BYTES OUT", NULL};
	static const char *const numbers[] = {"requests", "errors", "bytes_in", "bytes_out"};
	struct print_table *table = print_table_create(headings);
	yyjson_val *entry;
	size_t i, max;
	char text[32];

	putchar('\n');
	yyjson_arr_foreach(list, i, max, entry)
	{
		print_table_cell(table, text_of(entry, key)[0] ? text_of(entry, key) : "-",
				 PRINT_PLAIN);
		for (size_t k = 0; k < 4; k++) {
			snprintf(text, sizeof(text), "%llu", number_of(entry, numbers[k]));
			print_table_cell(table, text, PRINT_PLAIN);
		}
	}
	return print_table_finish(cli, table);
}

static enum cli_status show_stats(struct cli *cli, const struct call *call,
				  const struct api_reply *reply)
{
	static const char *const headings[] = {"STATUS", "REQUESTS", NULL};
	yyjson_val *data = reply->data;
	struct print_table *table;
	enum cli_status status;
	yyjson_val *entry;
	size_t i, max;
	char text[32];

	(void)call;
	print_fieldf(cli, 11, "requests", "%llu", number_of(data, "requests"));
	print_fieldf(cli, 11, "changes", "%llu", number_of(data, "changes"));
	print_fieldf(cli, 11, "bytes", "%llu in, %llu out", number_of(data, "bytes_in"),
		     number_of(data, "bytes_out"));
	show_times(cli, "time", yyjson_obj_get(data, "total_us"));
	show_times(cli, "of the app", yyjson_obj_get(data, "upstream_us"));
	putchar('\n');
	table = print_table_create(headings);
	yyjson_arr_foreach(yyjson_obj_get(data, "statuses"), i, max, entry)
	{
		snprintf(text, sizeof(text), "%llu", number_of(entry, "status"));
		print_table_cell(table, text, status_colour(number_of(entry, "status")));
		snprintf(text, sizeof(text), "%llu", number_of(entry, "requests"));
		print_table_cell(table, text, PRINT_PLAIN);
	}
	status = print_table_finish(cli, table);
	status = status ?: show_tallies(cli, yyjson_obj_get(data, "services"), "service", "SERVICE");
	return status ?: show_tallies(cli, yyjson_obj_get(data, "clients"), "client", "CLIENT");
}

static enum cli_status run_stats(struct cli *cli, const struct cli_args *args)
{
	const struct call call = {.method = "GET", .show = show_stats};
	char query[QUERY_MAX];

	filters(args, query);
	return call_show(cli, &call, LOGS_PATH "/stats%s%s", query[0] ? "?" : "",
			 query[0] ? query + 1 : "");
}

#define FILTERS                                                                                    \
	{"container", 'c', CLI_VALUE, false, "ID", "only of this container", check_id, NULL},      \
	{"since", 0, CLI_VALUE, false, "TIME", "from this time on, or how long ago (10m, 2h, 7d)", \
	 check_time, NULL},                                                                        \
	{"until", 0, CLI_VALUE, false, "TIME", "before this time", check_time, NULL},              \
	{"service", 0, CLI_VALUE, false, "NAME", "only of this service", check_service, NULL},     \
	{"status", 0, CLI_VALUE, false, "N", "only with this status, or 4xx", check_status, NULL}, \
	{"client", 0, CLI_VALUE, false, "IP", "only of this client", check_address, NULL},         \
	{"kind", 0, CLI_VALUE, false, "KIND", "exchange or change", check_kind, kinds}

static const struct cli_option filter_options[] = {FILTERS, {}};

static const struct cli_option query_options[] = {
	FILTERS,
	{"limit", 'n', CLI_VALUE, false, "N", "as many of the newest (50)", check_limit, NULL},
	{},
};

const struct cli_command logs_commands[] = {
	{
		.path = "logs query",
		.summary = "show the newest entries of the audit trail",
		.options = query_options,
		.run = run_query,
	},
	{
		.path = "logs export",
		.summary = "write the audit trail, oldest first, one JSON object a line",
		.options = filter_options,
		.run = run_export,
	},
	{
		.path = "logs stats",
		.summary = "count requests by status, service and client, with percentiles",
		.options = filter_options,
		.run = run_stats,
	},
	{
		.path = "logs follow",
		.summary = "show entries as they come, until it is interrupted",
		.options = filter_options,
		.run = run_follow,
	},
	{},
};
