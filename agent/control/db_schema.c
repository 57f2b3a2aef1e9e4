// SPDX-License-Identifier: Apache-2.0
/*
 * The schema and its versions. A change of the schema is a new entry at the end
 * of migrations[]; an entry that was released is never edited. Each runs in one
 * transaction with the new user_version.
 */
#include "control/db_internal.h"

#include <errno.h>
#include <stdio.h>

static const char version_1[] =
	"CREATE TABLE meta ("
	"  key TEXT PRIMARY KEY,"
	"  value INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"INSERT INTO meta VALUES ('generation', 0);"

	"CREATE TABLE projects ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 12),"
	"  created_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE containers ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 12),"
	"  project BLOB NOT NULL REFERENCES projects (id),"
	"  name TEXT,"
	"  realm TEXT,"
	"  running INTEGER NOT NULL CHECK (running IN (0, 1)),"
	"  cgroup TEXT,"
	"  netdev TEXT,"
	"  gateway INTEGER NOT NULL CHECK (gateway IN (0, 1)),"
	"  generation INTEGER NOT NULL,"
	"  created_at INTEGER NOT NULL,"
	"  updated_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX containers_by_project ON containers (project);"

	/* 4 or 16 bytes; an address belongs to one container of the host. */
	"CREATE TABLE addresses ("
	"  container BLOB NOT NULL REFERENCES containers (id) ON DELETE CASCADE,"
	"  position INTEGER NOT NULL,"
	"  address BLOB NOT NULL UNIQUE CHECK (length(address) IN (4, 16)),"
	"  PRIMARY KEY (container, position)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE ports ("
	"  container BLOB NOT NULL REFERENCES containers (id) ON DELETE CASCADE,"
	"  service TEXT NOT NULL,"
	"  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),"
	"  PRIMARY KEY (container, service)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE tombstones ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 12),"
	"  project BLOB NOT NULL CHECK (length(project) = 12),"
	"  deleted_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX tombstones_by_age ON tombstones (deleted_at);";

/* level: enum db_level. A body holds hashes of secrets, and keys: see docs/permissions.md. */
static const char version_2[] =
	"CREATE TABLE permissions ("
	"  level INTEGER NOT NULL CHECK (level IN (0, 1)),"
	"  id BLOB NOT NULL CHECK (length(id) = 12),"
	"  body TEXT NOT NULL,"
	"  updated_at INTEGER NOT NULL,"
	"  PRIMARY KEY (level, id)"
	") STRICT, WITHOUT ROWID;";

/* kind: enum db_kind. What each kind's body is, is its owner's affair. */
static const char version_3[] =
	"CREATE TABLE documents ("
	"  kind INTEGER NOT NULL,"
	"  key BLOB NOT NULL,"
	"  body TEXT NOT NULL,"
	"  updated_at INTEGER NOT NULL,"
	"  PRIMARY KEY (kind, key)"
	") STRICT;";

static const char *const migrations[DB_VERSION] = { version_1, version_2, version_3 };

static int read_pragma(sqlite3 *handle, const char *sql, int *value)
{
	sqlite3_stmt *statement;
	int ret = -EIO;

	if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		*value = sqlite3_column_int(statement, 0);
		ret = 0;
	}
	sqlite3_finalize(statement);
	return ret;
}

static int migrate(sqlite3 *handle, int from)
{
	char stamp[128];

	snprintf(stamp, sizeof(stamp), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
		 DB_APPLICATION_ID, from + 1);
	if (sqlite3_exec(handle, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_exec(handle, migrations[from], NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(handle, stamp, NULL, NULL, NULL) != SQLITE_OK)
		return -EIO;
	return 0;
}

int db_schema_apply(sqlite3 *handle, char *fault, size_t fault_size)
{
	int application, version, tables;

	if (read_pragma(handle, "PRAGMA application_id", &application) ||
	    read_pragma(handle, "PRAGMA user_version", &version) ||
	    read_pragma(handle, "SELECT count(*) FROM sqlite_schema", &tables))
		goto err_sqlite;
	if (application != DB_APPLICATION_ID && (application || version || tables)) {
		snprintf(fault, fault_size, "it is a database of another program");
		return -EIO;
	}
	if (version < 0 || version > DB_VERSION) {
		snprintf(fault, fault_size,
			 "its schema has version %d and this agent knows only up to %d: use the newer agent that wrote it",
			 version, DB_VERSION);
		return -EIO;
	}
	for (; version < DB_VERSION; version++) {
		if (migrate(handle, version))
			goto err_sqlite;
	}
	return 0;

err_sqlite:
	snprintf(fault, fault_size, "%s", sqlite3_errmsg(handle));
	return -EIO;
}
