// SPDX-License-Identifier: Apache-2.0
/* The audit database: opening, adding, taking away. See store.h; scan.c reads. */
#include "audit/store_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char schema[] =
	"CREATE TABLE records (id INTEGER PRIMARY KEY, time INTEGER NOT NULL,"
	" kind INTEGER NOT NULL, container BLOB, project BLOB, realm TEXT, service TEXT,"
	" instance INTEGER, port INTEGER, client BLOB, client_port INTEGER, protocol TEXT,"
	" flags INTEGER, method TEXT, path TEXT, status INTEGER, bytes_in INTEGER,"
	" bytes_out INTEGER, authorize_us INTEGER, upstream_us INTEGER, total_us INTEGER,"
	" grp TEXT, reason TEXT, action TEXT, outcome TEXT, actor TEXT) STRICT;";

static const char *const sql[STORE_STATEMENTS] = {
	[STORE_BEGIN] = "BEGIN IMMEDIATE",
	[STORE_COMMIT] = "COMMIT",
	[STORE_ROLLBACK] = "ROLLBACK",
	[STORE_PUT] = "INSERT INTO records VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
		      " ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
	[STORE_RANGE] = "SELECT (SELECT id FROM records ORDER BY id LIMIT 1),"
			" (SELECT id FROM records ORDER BY id DESC LIMIT 1)",
	[STORE_TRIM] = "DELETE FROM records WHERE id IN"
		       " (SELECT id FROM (SELECT id, time FROM records ORDER BY id LIMIT ?2)"
		       "  WHERE time < ?1 OR ?1 = 0)",
	[STORE_OLDEST] = "SELECT time FROM records ORDER BY id LIMIT 1",
	[STORE_PAGES] = "PRAGMA page_count",
	[STORE_FREE] = "PRAGMA freelist_count",
};

static int64_t pragma(struct audit_store *store, const char *text)
{
	sqlite3_stmt *statement = NULL;
	int64_t value = -1;

	if (sqlite3_prepare_v2(store->handle, text, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

/* 0 with the tables there, or -1 with what is wrong in @fault. */
static int apply_schema(struct audit_store *store, char *fault, size_t fault_size)
{
	int64_t application = pragma(store, "PRAGMA application_id");
	int64_t version = pragma(store, "PRAGMA user_version");
	char text[128];

	if (application == AUDIT_STORE_APPLICATION_ID && version == AUDIT_STORE_VERSION)
		return 0;
	if (version > AUDIT_STORE_VERSION || (application && application != AUDIT_STORE_APPLICATION_ID) ||
	    (!application && pragma(store, "SELECT count(*) FROM sqlite_schema"))) {
		snprintf(fault, fault_size,
			 "is of another program or a newer version; move it away to begin a new one");
		return -1;
	}
	snprintf(text, sizeof(text), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 AUDIT_STORE_APPLICATION_ID, AUDIT_STORE_VERSION);
	if (sqlite3_exec(store->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(store->handle, schema, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(store->handle, text, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(store->handle, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	snprintf(fault, fault_size, "%s", sqlite3_errmsg(store->handle));
	return -1;
}

static int set_up(struct audit_store *store, char *fault, size_t fault_size)
{
	/*
	 * NORMAL: a commit writes, the checkpoint syncs. A crash of the host may take
	 * the last seconds of the trail; syncing each batch would stop the agent for
	 * as long as the disk takes.
	 */
	static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE;"
				      "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = NORMAL;"
				      "PRAGMA wal_autocheckpoint = 2000;"
				      "PRAGMA trusted_schema = OFF;"
				      "PRAGMA cache_size = -8192;"
				      "PRAGMA mmap_size = 0;";

	sqlite3_busy_timeout(store->handle, 2000);
	if (sqlite3_exec(store->handle, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
		snprintf(fault, fault_size, "%s", sqlite3_errmsg(store->handle));
		return -1;
	}
	if (apply_schema(store, fault, fault_size))
		return -1;
	for (int i = 0; i < STORE_STATEMENTS; i++) {
		if (sqlite3_prepare_v3(store->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL) != SQLITE_OK) {
			snprintf(fault, fault_size, "%s", sqlite3_errmsg(store->handle));
			return -1;
		}
	}
	store->page_size = (uint64_t)pragma(store, "PRAGMA page_size");
	return 0;
}

struct audit_store *audit_store_open(const char *directory, char *fault, size_t fault_size)
{
	struct audit_store *store = calloc(1, sizeof(*store));
	char path[PATH_MAX], why[256] = "";
	mode_t mask = umask(0077);
	int ret = -1;

	if (!store) {
		snprintf(why, sizeof(why), "out of memory");
	} else if ((size_t)snprintf(path, sizeof(path), "%s/" AUDIT_STORE_FILE, directory) >=
		   sizeof(path)) {
		snprintf(why, sizeof(why), "the path is too long");
	} else if (sqlite3_open_v2(path, &store->handle,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					   SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
				   NULL) != SQLITE_OK) {
		snprintf(why, sizeof(why), "%s",
			 store->handle ? sqlite3_errmsg(store->handle) : "out of memory");
	} else {
		ret = set_up(store, why, sizeof(why));
	}
	umask(mask);
	if (!ret)
		return store;
	snprintf(fault, fault_size, "%s/" AUDIT_STORE_FILE ": %s", directory, why);
	audit_store_close(store);
	return NULL;
}

void audit_store_close(struct audit_store *store)
{
	if (!store)
		return;
	for (int i = 0; i < STORE_STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->handle);
	free(store);
}

const char *audit_store_fault(const struct audit_store *store)
{
	return sqlite3_errmsg(store->handle);
}

/* Runs a statement that gives no rows. 0 or -EIO. */
static int run(struct audit_store *store, enum store_statement number)
{
	sqlite3_stmt *statement = store->statements[number];
	int ret = sqlite3_step(statement);

	sqlite3_reset(statement);
	return ret == SQLITE_DONE || ret == SQLITE_ROW ? 0 : -EIO;
}

int audit_store_begin(struct audit_store *store)
{
	return run(store, STORE_BEGIN);
}

int audit_store_commit(struct audit_store *store)
{
	if (!run(store, STORE_COMMIT))
		return 0;
	if (!sqlite3_get_autocommit(store->handle))
		run(store, STORE_ROLLBACK);
	return -EIO;
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	if (text[0])
		sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, index);
}

static void bind_id(sqlite3_stmt *statement, int index, const uint8_t id[AUDIT_ID_LEN])
{
	static const uint8_t none[AUDIT_ID_LEN];

	if (memcmp(id, none, sizeof(none)))
		sqlite3_bind_blob(statement, index, id, AUDIT_ID_LEN, SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, index);
}

int audit_store_put(struct audit_store *store, struct audit_entry *entry)
{
	sqlite3_stmt *statement = store->statements[STORE_PUT];
	const struct audit_record *record = &entry->record;
	int client = record->client_family == AF_INET	? 4 :
		     record->client_family == AF_INET6 ? 16 : 0;

	sqlite3_bind_int64(statement, 1, (sqlite3_int64)record->time_us);
	sqlite3_bind_int(statement, 2, entry->kind);
	bind_id(statement, 3, record->container);
	bind_id(statement, 4, record->project);
	bind_text(statement, 5, entry->realm);
	bind_text(statement, 6, record->service);
	sqlite3_bind_int(statement, 7, record->instance);
	sqlite3_bind_int(statement, 8, record->port);
	sqlite3_bind_blob(statement, 9, record->client, client, SQLITE_STATIC);
	sqlite3_bind_int(statement, 10, record->client_port);
	bind_text(statement, 11, record->protocol);
	sqlite3_bind_int(statement, 12, record->flags);
	bind_text(statement, 13, record->method);
	bind_text(statement, 14, record->path);
	sqlite3_bind_int(statement, 15, record->status);
	sqlite3_bind_int64(statement, 16, (sqlite3_int64)record->bytes_in);
	sqlite3_bind_int64(statement, 17, (sqlite3_int64)record->bytes_out);
	sqlite3_bind_int64(statement, 18, record->authorize_us);
	sqlite3_bind_int64(statement, 19, record->upstream_us);
	sqlite3_bind_int64(statement, 20, record->total_us);
	bind_text(statement, 21, record->group);
	bind_text(statement, 22, record->reason);
	bind_text(statement, 23, record->action);
	bind_text(statement, 24, record->outcome);
	bind_text(statement, 25, entry->actor);
	if (run(store, STORE_PUT))
		return -EIO;
	entry->id = sqlite3_last_insert_rowid(store->handle);
	return 0;
}

void audit_store_range(struct audit_store *store, int64_t *first, int64_t *last)
{
	sqlite3_stmt *statement = store->statements[STORE_RANGE];

	*first = *last = 0;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		*first = sqlite3_column_int64(statement, 0);
		*last = sqlite3_column_int64(statement, 1);
	}
	sqlite3_reset(statement);
}

static uint64_t number(struct audit_store *store, enum store_statement index)
{
	sqlite3_stmt *statement = store->statements[index];
	uint64_t value = 0;

	if (sqlite3_step(statement) == SQLITE_ROW)
		value = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return value;
}

uint64_t audit_store_size(struct audit_store *store)
{
	return (number(store, STORE_PAGES) - number(store, STORE_FREE)) * store->page_size;
}

int audit_store_trim(struct audit_store *store, uint64_t before_us, unsigned int most)
{
	sqlite3_stmt *statement = store->statements[STORE_TRIM];

	/* The usual case, in one look: nothing is that old. */
	if (before_us && number(store, STORE_OLDEST) >= before_us)
		return 0;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)before_us);
	sqlite3_bind_int(statement, 2, (int)most);
	return run(store, STORE_TRIM) ? -EIO : sqlite3_changes(store->handle);
}
