// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about the audit trail: /api/v1/logs a page, /logs/export the same as
 * NDJSON, /logs/stats its figures. All take the same filters; searches run in
 * turns (audit/search.h) and answer when they are over.
 */
#include "audit/search.h"
#include "control/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT	100
#define PAGE_MAX	1000
#define EXPORT_MAX	10000
#define EXPORT_BYTES	(8u << 20)

#define FILTERS "container project service status client kind since until"

struct page {
	struct api_call		*call;
	yyjson_mut_doc		*document;
	yyjson_mut_val		*data;
	char			*text;		/* of an export */
	size_t			len, room;
	unsigned int		count, limit;
	bool			ascending, full, no_memory;
	int64_t			last;		/* number of the last entry */
};

static int refuse(struct api_call *call, const char *field, const char *message)
{
	api_reply_error(call, 422, "invalid_value", field, "%s", message);
	return -1;
}

/* "404", or "4xx". */
static int parse_status(const char *text, struct audit_filter *filter)
{
	unsigned int class = (unsigned int)(text[0] - '0');

	if (strlen(text) != 3 || class > 9)
		return -1;
	if (!strcmp(text + 1, "xx")) {
		filter->status_min = class * 100;
		filter->status_max = class * 100 + 99;
		return class ? 0 : -1;
	}
	if (strspn(text, "0123456789") != 3)
		return -1;
	filter->status_min = filter->status_max = (unsigned int)atoi(text);
	return filter->status_max ? 0 : -1;
}

static int parse_ids(struct api_call *call, struct audit_filter *filter)
{
	const char *container = api_query(call, "container"), *project = api_query(call, "project");

	if (container && id_parse(container, strlen(container), filter->container))
		return refuse(call, "container", "is not 24 hexadecimal digits");
	if (project && id_parse(project, strlen(project), filter->project))
		return refuse(call, "project", "is not 24 hexadecimal digits");
	filter->has_container = container != NULL;
	filter->has_project = project != NULL;
	return 0;
}

/* 0, or -1 where the call has been answered. */
static int parse_filter(struct api_call *call, struct audit_filter *filter)
{
	const char *service = api_query(call, "service"), *status = api_query(call, "status");
	const char *client = api_query(call, "client"), *kind = api_query(call, "kind");
	const char *since = api_query(call, "since"), *until = api_query(call, "until");

	memset(filter, 0, sizeof(*filter));
	filter->has_realm = call->realm[0] != '\0';
	memcpy(filter->realm, call->realm, sizeof(filter->realm));
	if (parse_ids(call, filter))
		return -1;
	if (service && strlen(service) >= sizeof(filter->service))
		return refuse(call, "service", "is no name of a service");
	if (service)
		snprintf(filter->service, sizeof(filter->service), "%s", service);
	if (status && parse_status(status, filter))
		return refuse(call, "status", "is neither a status (404) nor a class of them (4xx)");
	if (client && address_parse(client, strlen(client), &filter->client))
		return refuse(call, "client", "is no IP address");
	filter->has_client = client != NULL;
	if (kind && !strcmp(kind, "exchange"))
		filter->kind = AUDIT_EXCHANGE;
	else if (kind && !strcmp(kind, "change"))
		filter->kind = AUDIT_CHANGE;
	else if (kind)
		return refuse(call, "kind", "is neither exchange nor change");
	if (since && audit_time_parse(since, &filter->since_us))
		return refuse(call, "since", "is no time: 2026-01-31T12:00:00Z and seconds since 1970 are understood");
	if (until && audit_time_parse(until, &filter->until_us))
		return refuse(call, "until", "is no time: 2026-01-31T12:00:00Z and seconds since 1970 are understood");
	return 0;
}

/* A number from the query; @fallback where it is not given; -1: answered. */
static int64_t parse_number(struct api_call *call, const char *name, int64_t fallback, int64_t max)
{
	const char *text = api_query(call, name);
	long long value;
	char *rest;

	if (!text)
		return fallback;
	errno = 0;
	value = strtoll(text, &rest, 10);
	if (errno || *rest || text[0] < '0' || text[0] > '9' || value > max) {
		api_reply_error(call, 422, "invalid_value", name, "is no number from 0 to %lld",
				(long long)max);
		return -1;
	}
	return value;
}

static void reply_search_error(struct api_call *call, int error)
{
	if (error == -ENODATA)
		api_reply_error(call, 409, "no_audit", NULL,
				"there is no audit database: [audit] database is off");
	else if (error == -EBUSY)
		api_reply_error(call, 503, "unavailable", NULL,
				"%d searches are under way, try again", AUDIT_JOBS_MAX);
	else if (error == -ENOMEM)
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
	else
		api_reply_error(call, 500, "internal", NULL, "the audit database cannot be read: %s",
				audit_store_fault(audit_database(call->control->audit)));
}

static void page_free(struct page *page)
{
	yyjson_mut_doc_free(page->document);
	free(page->text);
	free(page);
}

/* Limit and place, common to page and export. NULL: answered. */
static struct page *page_create(struct api_call *call, unsigned int fallback, unsigned int max,
				int64_t *from)
{
	int64_t limit = parse_number(call, "limit", fallback, max), cursor, after;
	struct page *page;

	if (limit < 0)
		return NULL;
	cursor = parse_number(call, "cursor", 0, INT64_MAX);
	if (cursor < 0)
		return NULL;
	after = parse_number(call, "after", -1, INT64_MAX - 1);
	if (after < 0 && api_query(call, "after"))
		return NULL;
	if (api_query(call, "after") && api_query(call, "cursor")) {
		api_reply_error(call, 422, "invalid_value", "after",
				"goes up and cursor down: give one of them");
		return NULL;
	}
	page = calloc(1, sizeof(*page));
	if (!page) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return NULL;
	}
	page->call = call;
	page->limit = limit ? (unsigned int)limit : fallback;
	page->ascending = api_query(call, "after") != NULL;
	*from = page->ascending ? after + 1 : cursor > 1 ? cursor - 1 : 0;
	/* Behind the first entry there is none. */
	if (!page->ascending && cursor == 1)
		page->full = true;
	return page;
}

static bool take_json(void *context, const struct audit_entry *entry)
{
	struct page *page = context;

	if (page->count == page->limit) {
		page->full = true;
		return false;
	}
	page->count++;
	page->last = entry->id;
	yyjson_mut_arr_append(page->data, audit_entry_json(page->document, entry));
	return true;
}

static void on_page(void *context, int ret)
{
	struct page *page = context;
	struct api_call *call = page->call;
	char cursor[24];

	if (ret < 0) {
		page_free(page);
		reply_search_error(call, ret);
		return;
	}
	snprintf(cursor, sizeof(cursor), "%lld", (long long)page->last);
	api_reply_page(call, page->document, page->data, page->full ? cursor : NULL);
	page->document = NULL;
	page_free(page);
}

static void list(struct api_call *call)
{
	struct audit_filter filter;
	struct page *page;
	int64_t from;
	int ret;

	if (parse_filter(call, &filter))
		return;
	page = page_create(call, PAGE_DEFAULT, PAGE_MAX, &from);
	if (!page)
		return;
	page->document = yyjson_mut_doc_new(NULL);
	page->data = yyjson_mut_arr(page->document);
	if (page->full) {
		page->full = false;
		on_page(page, 0);
		return;
	}
	ret = audit_search(call->control->audit, &filter, from, !page->ascending, take_json,
			   on_page, page);
	if (ret)
		on_page(page, ret);
}

static bool take_line(void *context, const struct audit_entry *entry)
{
	struct page *page = context;
	size_t len, room = page->room ? page->room : 65536;
	char *line, *grown;

	if (page->count == page->limit || page->len > EXPORT_BYTES) {
		page->full = true;
		return false;
	}
	line = audit_entry_line(entry, &len);
	while (room < page->len + len + 1)
		room *= 2;
	grown = room == page->room ? page->text : realloc(page->text, room);
	if (grown) {
		page->text = grown;
		page->room = room;
	}
	if (!line || !grown) {
		free(line);
		page->no_memory = true;
		return false;
	}
	memcpy(page->text + page->len, line, len + 1);
	free(line);
	page->len += len;
	page->count++;
	page->last = entry->id;
	return true;
}

static void on_export(void *context, int ret)
{
	struct page *page = context;
	struct api_call *call = page->call;
	char field[64] = "";
	char *text;

	if (!page->text)
		page->text = strdup("");
	text = page->text;
	if (ret < 0 || page->no_memory || !text) {
		page_free(page);
		reply_search_error(call, ret < 0 ? ret : -ENOMEM);
		return;
	}
	page->text = NULL;
	if (page->full)
		snprintf(field, sizeof(field), "Hoody-Next-Cursor: %lld\r\n", (long long)page->last);
	api_reply_text(call, 200, text, "application/x-ndjson", field);
	page_free(page);
}

static void export(struct api_call *call)
{
	struct audit_filter filter;
	struct page *page;
	int64_t from;
	int ret;

	if (parse_filter(call, &filter))
		return;
	page = page_create(call, EXPORT_MAX, EXPORT_MAX, &from);
	if (!page)
		return;
	if (page->full) {
		page->full = false;
		on_export(page, 0);
		return;
	}
	ret = audit_search(call->control->audit, &filter, from, !page->ascending, take_line,
			   on_export, page);
	if (ret)
		on_export(page, ret);
}

struct figures {
	struct api_call		*call;
	struct audit_stats	stats;
};

static bool take_figures(void *context, const struct audit_entry *entry)
{
	struct figures *figures = context;

	audit_stats_add(&figures->stats, entry);
	return true;
}

static void on_figures(void *context, int ret)
{
	struct figures *figures = context;
	struct api_call *call = figures->call;
	yyjson_mut_doc *document;

	if (ret < 0) {
		free(figures);
		reply_search_error(call, ret);
		return;
	}
	document = yyjson_mut_doc_new(NULL);
	api_reply_data(call, 200, document, audit_stats_json(document, &figures->stats));
	free(figures);
}

static void stats(struct api_call *call)
{
	struct audit_filter filter;
	struct figures *figures;
	int ret;

	if (parse_filter(call, &filter))
		return;
	figures = calloc(1, sizeof(*figures));
	if (!figures) {
		api_reply_error(call, 503, "unavailable", NULL, "out of memory");
		return;
	}
	figures->call = call;
	ret = audit_search(call->control->audit, &filter, 0, true, take_figures, on_figures, figures);
	if (ret)
		on_figures(figures, ret);
}

const struct api_route api_logs_routes[] = {
	{ "GET", "/api/v1/logs", API_BODY_NONE, FILTERS " limit cursor after", list },
	{ "GET", "/api/v1/logs/export", API_BODY_NONE, FILTERS " limit cursor after", export },
	{ "GET", "/api/v1/logs/stats", API_BODY_NONE, FILTERS, stats },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};
