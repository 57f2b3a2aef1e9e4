// SPDX-License-Identifier: Apache-2.0
/* Reading the audit database, see store.h. */
#include "audit/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SQL_MAX 1024

/* The columns in their order; row() below counts on it. */
#define COLUMNS                                                                                    \
	"id, time, kind, container, project, realm, service, instance, port, client, client_port," \
	" protocol, flags, method, path, status, bytes_in, bytes_out, authorize_us, upstream_us,"  \
	" total_us, grp, reason, action, outcome, actor"

/* Only conditions that are asked for: each would be paid for by every row. */
static void build(const struct audit_filter *filter, bool descending, char text[SQL_MAX])
{
	snprintf(text, SQL_MAX,
		 "SELECT " COLUMNS " FROM records WHERE id >= ?1 AND id <= ?2%s%s%s%s%s%s%s%s%s"
		 " ORDER BY id%s",
		 filter->since_us ? " AND time >= ?3" : "", filter->until_us ? " AND time < ?4" : "",
		 filter->kind ? " AND kind = ?5" : "",
		 filter->has_container ? " AND container = ?6" : "",
		 filter->has_project ? " AND project = ?7" : "",
		 filter->has_realm ? " AND realm = ?8" : "",
		 filter->has_client ? " AND client = ?9" : "",
		 filter->service[0] ? " AND service = ?10" : "",
		 filter->status_max ? " AND status BETWEEN ?11 AND ?12" : "",
		 descending ? " DESC" : "");
}

static void bind_filter(sqlite3_stmt *statement, const struct audit_filter *filter, int64_t low,
		 int64_t high)
{
	sqlite3_bind_int64(statement, 1, low);
	sqlite3_bind_int64(statement, 2, high);
	sqlite3_bind_int64(statement, 3, (sqlite3_int64)filter->since_us);
	sqlite3_bind_int64(statement, 4, (sqlite3_int64)filter->until_us);
	sqlite3_bind_int(statement, 5, filter->kind);
	sqlite3_bind_blob(statement, 6, filter->container, AUDIT_ID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 7, filter->project, AUDIT_ID_LEN, SQLITE_STATIC);
	sqlite3_bind_text(statement, 8, filter->realm, -1, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 9, &filter->client.v4, filter->client.family == AF_INET ? 4 : 16,
			  SQLITE_STATIC);
	sqlite3_bind_text(statement, 10, filter->service, -1, SQLITE_STATIC);
	sqlite3_bind_int(statement, 11, (int)filter->status_min);
	sqlite3_bind_int(statement, 12, (int)filter->status_max);
}

static void take_text(sqlite3_stmt *statement, int column, char *out, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	snprintf(out, size, "%s", text ? text : "");
}

static void take_bytes(sqlite3_stmt *statement, int column, uint8_t *out, size_t size)
{
	const void *bytes = sqlite3_column_blob(statement, column);
	size_t len = (size_t)sqlite3_column_bytes(statement, column);

	if (bytes && len <= size)
		memcpy(out, bytes, len);
}

static void row(sqlite3_stmt *statement, struct audit_entry *entry)
{
	struct audit_record *record = &entry->record;
	int client;

	memset(entry, 0, sizeof(*entry));
	entry->id = sqlite3_column_int64(statement, 0);
	record->time_us = (uint64_t)sqlite3_column_int64(statement, 1);
	entry->kind = (enum audit_kind)sqlite3_column_int(statement, 2);
	take_bytes(statement, 3, record->container, sizeof(record->container));
	take_bytes(statement, 4, record->project, sizeof(record->project));
	take_text(statement, 5, entry->realm, sizeof(entry->realm));
	take_text(statement, 6, record->service, sizeof(record->service));
	record->instance = (uint16_t)sqlite3_column_int(statement, 7);
	record->port = (uint16_t)sqlite3_column_int(statement, 8);
	take_bytes(statement, 9, record->client, sizeof(record->client));
	client = sqlite3_column_bytes(statement, 9);
	record->client_family = client == 4 ? AF_INET : client == 16 ? AF_INET6 : AF_UNSPEC;
	record->client_port = (uint16_t)sqlite3_column_int(statement, 10);
	take_text(statement, 11, record->protocol, sizeof(record->protocol));
	record->flags = (uint8_t)sqlite3_column_int(statement, 12);
	take_text(statement, 13, record->method, sizeof(record->method));
	take_text(statement, 14, record->path, sizeof(record->path));
	record->status = (uint16_t)sqlite3_column_int(statement, 15);
	record->bytes_in = (uint64_t)sqlite3_column_int64(statement, 16);
	record->bytes_out = (uint64_t)sqlite3_column_int64(statement, 17);
	record->authorize_us = (uint32_t)sqlite3_column_int64(statement, 18);
	record->upstream_us = (uint32_t)sqlite3_column_int64(statement, 19);
	record->total_us = (uint32_t)sqlite3_column_int64(statement, 20);
	take_text(statement, 21, record->group, sizeof(record->group));
	take_text(statement, 22, record->reason, sizeof(record->reason));
	take_text(statement, 23, record->action, sizeof(record->action));
	take_text(statement, 24, record->outcome, sizeof(record->outcome));
	take_text(statement, 25, entry->actor, sizeof(entry->actor));
}

int audit_store_scan(struct audit_store *store, const struct audit_filter *filter, int64_t low,
		     int64_t high, bool descending, audit_take *take, void *context)
{
	sqlite3_stmt *statement = NULL;
	struct audit_entry entry;
	char text[SQL_MAX];
	int ret, result = 0;

	build(filter, descending, text);
	if (sqlite3_prepare_v2(store->handle, text, -1, &statement, NULL) != SQLITE_OK)
		return -EIO;
	bind_filter(statement, filter, low, high);
	while ((ret = sqlite3_step(statement)) == SQLITE_ROW) {
		row(statement, &entry);
		if (!take(context, &entry)) {
			result = 1;
			break;
		}
	}
	if (!result && ret != SQLITE_DONE)
		result = -EIO;
	sqlite3_finalize(statement);
	return result;
}
