// SPDX-License-Identifier: Apache-2.0
/*
 * Opening the database and writing to it, see db.h; db_load.c reads it.
 *
 * All statements are prepared once. Every write is BEGIN IMMEDIATE ... COMMIT,
 * with a ROLLBACK on any error, so that an error leaves nothing half done.
 */
#include "control/db_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char *const sql[DB_STATEMENTS] = {
	[DB_BEGIN] = "BEGIN IMMEDIATE",
	[DB_COMMIT] = "COMMIT",
	[DB_ROLLBACK] = "ROLLBACK",
	[DB_NEXT_GENERATION] =
		"UPDATE meta SET value = value + 1 WHERE key = 'generation' RETURNING value",
	[DB_PUT_PROJECT] = "INSERT INTO projects VALUES (?1, ?2) ON CONFLICT DO NOTHING",
	[DB_PUT_CONTAINER] =
		"INSERT INTO containers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) "
		"ON CONFLICT (id) DO UPDATE SET name = ?3, realm = ?4, running = ?5, cgroup = ?6, "
		"netdev = ?7, gateway = ?8, generation = ?9, updated_at = ?11",
	[DB_CLEAR_ADDRESSES] = "DELETE FROM addresses WHERE container = ?1",
	[DB_PUT_ADDRESS] = "INSERT INTO addresses VALUES (?1, ?2, ?3)",
	[DB_CLEAR_PORTS] = "DELETE FROM ports WHERE container = ?1",
	[DB_PUT_PORT] = "INSERT INTO ports VALUES (?1, ?2, ?3)",
	[DB_DELETE_CONTAINER] = "DELETE FROM containers WHERE id = ?1",
	[DB_PUT_TOMBSTONE] = "INSERT INTO tombstones VALUES (?1, ?2, ?3)",
	[DB_PURGE_TOMBSTONES] = "DELETE FROM tombstones WHERE deleted_at < ?1",
	[DB_DELETE_TOMBSTONE] = "DELETE FROM tombstones WHERE id = ?1",
	[DB_PUT_PERMISSIONS] = "INSERT OR REPLACE INTO permissions VALUES (?1, ?2, ?3, ?4)",
	[DB_DELETE_PERMISSIONS] = "DELETE FROM permissions WHERE level = ?1 AND id = ?2",
	[DB_PUT_DOCUMENT] = "INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4)",
	[DB_DELETE_DOCUMENT] = "DELETE FROM documents WHERE kind = ?1 AND key = ?2",
	[DB_DELETE_DOCUMENTS_OF] = "DELETE FROM documents WHERE kind < ?1 AND key = ?2",
};

/* Runs at every start: a few milliseconds for the sizes that are allowed. */
static int check_integrity(sqlite3 *handle, char *fault, size_t fault_size)
{
	sqlite3_stmt *statement = NULL;
	int ret = -EIO;

	if (sqlite3_prepare_v2(handle, "PRAGMA integrity_check(1)", -1, &statement, NULL) !=
		    SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW) {
		snprintf(fault, fault_size, "%s", sqlite3_errmsg(handle));
	} else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok")) {
		snprintf(fault, fault_size, "%s", (const char *)sqlite3_column_text(statement, 0));
	} else {
		ret = 0;
	}
	sqlite3_finalize(statement);
	if (ret)
		return ret;
	if (sqlite3_prepare_v2(handle, "PRAGMA foreign_key_check", -1, &statement, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_step(statement) == SQLITE_ROW) {
		snprintf(fault, fault_size, "a row of table %s points at nothing",
			 (const char *)sqlite3_column_text(statement, 0));
		ret = -EIO;
	}
	sqlite3_finalize(statement);
	return ret;
}

static int read_generation(struct db *db)
{
	sqlite3_stmt *statement = NULL;
	int ret = -EIO;

	if (sqlite3_prepare_v2(db->handle, "SELECT value FROM meta WHERE key = 'generation'", -1,
			       &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		db->generation = (uint64_t)sqlite3_column_int64(statement, 0);
		ret = 0;
	}
	sqlite3_finalize(statement);
	return ret;
}

static int set_up(struct db *db, char *fault, size_t fault_size)
{
	static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE;"
				      "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = FULL;"
				      "PRAGMA foreign_keys = ON;"
				      "PRAGMA trusted_schema = OFF;"
				      "PRAGMA cell_size_check = ON;"
				      "PRAGMA mmap_size = 0;";

	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_timeout(db->handle, 2000);
	if (sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		goto err_sqlite;
	if (check_integrity(db->handle, fault, fault_size) ||
	    db_schema_apply(db->handle, fault, fault_size))
		return -EIO;
	for (int i = 0; i < DB_STATEMENTS; i++) {
		if (sqlite3_prepare_v3(db->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->statements[i], NULL) != SQLITE_OK)
			goto err_sqlite;
	}
	if (read_generation(db))
		goto err_sqlite;
	return 0;

err_sqlite:
	snprintf(fault, fault_size, "%s", sqlite3_errmsg(db->handle));
	return -EIO;
}

struct db *db_open(const char *directory, char *fault, size_t fault_size)
{
	char path[PATH_MAX], why[512] = "";
	struct db *db = calloc(1, sizeof(*db));
	mode_t mask;
	int ret;

	if (!db) {
		snprintf(fault, fault_size, "out of memory");
		return NULL;
	}
	if (snprintf(path, sizeof(path), "%s/" DB_FILE, directory) >= (int)sizeof(path)) {
		snprintf(fault, fault_size, "the path of the state directory is too long");
		goto err_close;
	}
	mask = umask(0077);
	ret = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (ret != SQLITE_OK)
		snprintf(why, sizeof(why), "%s",
			 db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(ret));
	else if (set_up(db, why, sizeof(why)))
		ret = SQLITE_ERROR;
	umask(mask);
	if (ret != SQLITE_OK) {
		snprintf(fault, fault_size,
			 "%s cannot be used: %s. It is left as it is: restore it from a backup, or move it away to start empty",
			 path, why);
		goto err_close;
	}
	return db;

err_close:
	db_close(db);
	return NULL;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (int i = 0; i < DB_STATEMENTS; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->handle);
	free(db);
}

uint64_t db_generation(const struct db *db)
{
	return db->generation;
}

const char *db_fault(const struct db *db)
{
	return db->fault;
}

int db_run(struct db *db, enum db_statement which, int64_t *result, const char *types, ...)
{
	sqlite3_stmt *statement = db->statements[which];
	int position = 0, ret = SQLITE_OK;
	va_list args;

	va_start(args, types);
	for (; *types && ret == SQLITE_OK; types++) {
		position++;
		if (*types == 'i') {
			ret = sqlite3_bind_int64(statement, position, va_arg(args, int64_t));
		} else if (*types == 't') {
			const char *text = va_arg(args, const char *);

			ret = text && *text ? sqlite3_bind_text(statement, position, text, -1,
								SQLITE_TRANSIENT)
					    : sqlite3_bind_null(statement, position);
		} else {
			const void *bytes = va_arg(args, const void *);

			ret = sqlite3_bind_blob64(statement, position, bytes,
						  va_arg(args, size_t), SQLITE_TRANSIENT);
		}
	}
	va_end(args);
	if (ret == SQLITE_OK) {
		do {
			ret = sqlite3_step(statement);
			if (ret == SQLITE_ROW && result)
				*result = sqlite3_column_int64(statement, 0);
		} while (ret == SQLITE_ROW);
	}
	if (ret != SQLITE_DONE)
		snprintf(db->fault, sizeof(db->fault), "%s", sqlite3_errmsg(db->handle));
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	switch (ret & 0xff) {
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	default:
		return -EIO;
	}
}

int db_finish(struct db *db, int ret)
{
	if (ret == 0)
		ret = db_run(db, DB_COMMIT, NULL, "");
	if (ret && !sqlite3_get_autocommit(db->handle)) {
		char kept[sizeof(db->fault)];

		memcpy(kept, db->fault, sizeof(kept));
		db_run(db, DB_ROLLBACK, NULL, "");
		memcpy(db->fault, kept, sizeof(kept));
	}
	return ret;
}

static int put_parts(struct db *db, const struct container *container)
{
	const size_t id_len = ID_LEN;
	int ret;

	ret = db_run(db, DB_CLEAR_ADDRESSES, NULL, "b", container->id, id_len);
	for (unsigned int i = 0; i < container->addresses_count && !ret; i++) {
		const struct address *address = &container->addresses[i];
		size_t len = address->family == AF_INET ? 4 : 16;

		ret = db_run(db, DB_PUT_ADDRESS, NULL, "bib", container->id, id_len, (int64_t)i,
			  &address->v6, len);
	}
	if (!ret)
		ret = db_run(db, DB_CLEAR_PORTS, NULL, "b", container->id, id_len);
	for (unsigned int i = 0; i < container->ports_count && !ret; i++)
		ret = db_run(db, DB_PUT_PORT, NULL, "bti", container->id, id_len,
			  container->ports[i].name, (int64_t)container->ports[i].port);
	return ret;
}

int db_put_container(struct db *db, struct container *container)
{
	const size_t id_len = ID_LEN;
	int64_t generation = 0;
	int ret;

	ret = db_run(db, DB_BEGIN, NULL, "");
	if (!ret)
		ret = db_run(db, DB_NEXT_GENERATION, &generation, "");
	if (!ret)
		ret = db_run(db, DB_PUT_PROJECT, NULL, "bi", container->project, id_len,
			  (int64_t)time(NULL));
	if (!ret)
		ret = db_run(db, DB_PUT_CONTAINER, NULL, "bbttittiiii", container->id, id_len,
			  container->project, id_len, container->name, container->realm,
			  (int64_t)container->running, container->cgroup, container->netdev,
			  (int64_t)container->gateway, generation, container->created_at,
			  container->updated_at);
	if (!ret)
		ret = put_parts(db, container);
	ret = db_finish(db, ret);
	if (ret)
		return ret;
	container->generation = (uint64_t)generation;
	db->generation = (uint64_t)generation;
	return 0;
}

int db_delete_container(struct db *db, const struct tombstone *tombstone)
{
	const size_t id_len = ID_LEN;
	int64_t generation = 0;
	int ret;

	ret = db_run(db, DB_BEGIN, NULL, "");
	if (!ret)
		ret = db_run(db, DB_NEXT_GENERATION, &generation, "");
	if (!ret)
		ret = db_run(db, DB_DELETE_CONTAINER, NULL, "b", tombstone->id, id_len);
	if (!ret)
		ret = db_run(db, DB_DELETE_PERMISSIONS, NULL, "ib", (int64_t)DB_LEVEL_CONTAINER,
			  tombstone->id, id_len);
	if (!ret)
		ret = db_run(db, DB_DELETE_DOCUMENTS_OF, NULL, "ib",
			     (int64_t)DB_KIND_OF_CONTAINERS, tombstone->id, id_len);
	if (!ret)
		ret = db_run(db, DB_PUT_TOMBSTONE, NULL, "bbi", tombstone->id, id_len,
			  tombstone->project, id_len, tombstone->deleted_at);
	ret = db_finish(db, ret);
	if (!ret)
		db->generation = (uint64_t)generation;
	return ret;
}

int db_delete_tombstones(struct db *db, int64_t deleted_before, size_t *count)
{
	int ret = db_run(db, DB_PURGE_TOMBSTONES, NULL, "i", deleted_before);

	*count = ret ? 0 : (size_t)sqlite3_changes64(db->handle);
	return ret;
}

int db_delete_tombstone(struct db *db, const uint8_t id[ID_LEN])
{
	return db_run(db, DB_DELETE_TOMBSTONE, NULL, "b", id, (size_t)ID_LEN);
}

int db_put_permissions(struct db *db, enum db_level level, const uint8_t id[ID_LEN],
		       const char *body)
{
	const size_t id_len = ID_LEN;
	int64_t generation = 0;
	int ret;

	ret = db_run(db, DB_BEGIN, NULL, "");
	if (!ret)
		ret = db_run(db, DB_NEXT_GENERATION, &generation, "");
	if (!ret && body)
		ret = db_run(db, DB_PUT_PERMISSIONS, NULL, "ibti", (int64_t)level, id, id_len, body,
			  (int64_t)time(NULL));
	else if (!ret)
		ret = db_run(db, DB_DELETE_PERMISSIONS, NULL, "ib", (int64_t)level, id, id_len);
	ret = db_finish(db, ret);
	if (!ret)
		db->generation = (uint64_t)generation;
	return ret;
}

int db_put_document(struct db *db, enum db_kind kind, const void *key, size_t key_len,
		    const char *body, uint64_t *result)
{
	int64_t generation = 0;
	int ret;

	ret = db_run(db, DB_BEGIN, NULL, "");
	if (!ret)
		ret = db_run(db, DB_NEXT_GENERATION, &generation, "");
	if (!ret && body)
		ret = db_run(db, DB_PUT_DOCUMENT, NULL, "ibti", (int64_t)kind, key, key_len, body,
			     (int64_t)time(NULL));
	else if (!ret)
		ret = db_run(db, DB_DELETE_DOCUMENT, NULL, "ib", (int64_t)kind, key, key_len);
	ret = db_finish(db, ret);
	if (ret)
		return ret;
	db->generation = (uint64_t)generation;
	if (result)
		*result = (uint64_t)generation;
	return 0;
}
