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
#include <unistd.h>

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
	[DB_DELETE_ALIASES_OF] = "DELETE FROM documents WHERE kind = ?1 AND "
				 "json_extract(body, '$.container') = lower(hex(?2))",
	[DB_COUNT_COPY] =
		("INSERT INTO meta VALUES ('copies', 1) "
		 "ON CONFLICT (key) DO UPDATE SET value = value + 1"),
};

static int error_of(sqlite3 *handle)
{
	const int code = sqlite3_errcode(handle) & 0xff;

	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? -EBADMSG : -EIO;
}

/*
 * Runs at every start: a few milliseconds for the sizes that are allowed. 0, -EBADMSG
 * where the file is damaged, -EIO.
 */
static int check_integrity(sqlite3 *handle, char *fault, size_t fault_size)
{
	sqlite3_stmt *statement = NULL;
	int ret = -EBADMSG;

	if (sqlite3_prepare_v2(handle, "PRAGMA integrity_check(1)", -1, &statement, NULL) !=
		    SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW) {
		snprintf(fault, fault_size, "%s", sqlite3_errmsg(handle));
		ret = error_of(handle);
	} else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok")) {
		snprintf(fault, fault_size, "%s", (const char *)sqlite3_column_text(statement, 0));
	} else {
		ret = 0;
	}
	sqlite3_finalize(statement);
	if (ret)
		return ret;
	if (sqlite3_prepare_v2(handle, "PRAGMA foreign_key_check", -1, &statement, NULL) != SQLITE_OK)
		return error_of(handle);
	if (sqlite3_step(statement) == SQLITE_ROW) {
		snprintf(fault, fault_size, "a row of table %s points at nothing",
			 (const char *)sqlite3_column_text(statement, 0));
		ret = -EBADMSG;
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

/* The pages of the log; SQLite's own checkpoints are off, see db_copy.c. */
static int on_commit(void *context, sqlite3 *handle, const char *name, int pages)
{
	struct db *db = context;

	db->log_pages = (unsigned int)pages;
	return SQLITE_OK;
}

/* 0, -EBADMSG where the file is damaged, -EIO; with words in @fault. @copy: NULL: none. */
static int set_up(struct db *db, const char *copy, char *fault, size_t fault_size)
{
	static const char pragmas[] = "PRAGMA wal_autocheckpoint = 0;"
				      "PRAGMA locking_mode = EXCLUSIVE;"
				      "PRAGMA journal_mode = WAL;"
				      "PRAGMA synchronous = FULL;"
				      "PRAGMA foreign_keys = ON;"
				      "PRAGMA trusted_schema = OFF;"
				      "PRAGMA cell_size_check = ON;"
				      "PRAGMA mmap_size = 0;";
	int ret;

	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_timeout(db->handle, 2000);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		goto err_sqlite;
	sqlite3_wal_hook(db->handle, on_commit, db);
	ret = copy ? db_copy_compare(db, copy) : 0;
	if (ret) {
		snprintf(fault, fault_size, "it has changed since it was written");
		return ret;
	}
	ret = check_integrity(db->handle, fault, fault_size);
	if (ret)
		return ret;
	if (db_schema_apply(db->handle, fault, fault_size))
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
	return error_of(db->handle);
}

static void close_file(struct db *db)
{
	for (int i = 0; i < DB_STATEMENTS; i++) {
		sqlite3_finalize(db->statements[i]);
		db->statements[i] = NULL;
	}
	sqlite3_close(db->handle);
	db->handle = NULL;
}

static int open_file(struct db *db, const char *copy, char *fault, size_t fault_size)
{
	char path[PATH_MAX + sizeof("/" DB_FILE)];
	mode_t mask = umask(0077);
	int ret;

	snprintf(path, sizeof(path), "%s/" DB_FILE, db->directory);
	ret = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (ret == SQLITE_OK) {
		ret = set_up(db, copy, fault, fault_size);
	} else {
		snprintf(fault, fault_size, "%s",
			 db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(ret));
		ret = -EIO;
	}
	umask(mask);
	if (ret)
		close_file(db);
	return ret;
}

/*
 * What SQLite would take for a database that is new, and remove the log of: one that is
 * not there, or empty, beside its log or a copy.
 */
static int look_at_file(const char *directory, const struct db_log *log, char *fault,
			size_t fault_size)
{
	char path[PATH_MAX + sizeof("/" DB_FILE)], name[NAME_MAX + 1];
	struct stat st = { 0 };

	snprintf(path, sizeof(path), "%s/" DB_FILE, directory);
	if ((!stat(path, &st) && st.st_size) ||
	    (!log->frames && db_copy_find(directory, "", name, sizeof(name))))
		return 0;
	snprintf(fault, fault_size, "it is %s", st.st_nlink ? "empty" : "missing");
	return -EBADMSG;
}

/*
 * Opens the database, or puts its copy into its place and opens that. 0 or a negative
 * errno with what is wrong in @why, and in @copy what can be said of the copy.
 */
static int open_or_restore(struct db *db, char *why, size_t why_size, char *copy, size_t copy_size)
{
	char name[NAME_MAX + 1] = "", fault[256] = "";
	bool has_copy;
	struct db_log log;
	int ret = db_log_read(db->directory, &log);

	/* SQLite would call it an I/O error. */
	if (access(db->directory, W_OK) && errno == EROFS) {
		snprintf(why, why_size, "its disk is mounted read-only");
		return -EROFS;
	}
	if (ret) {
		snprintf(why, why_size, "its log " DB_FILE "-wal cannot be read: %s", strerror(-ret));
		return ret;
	}
	if (log.damaged) {
		snprintf(why, why_size,
			 "its log " DB_FILE "-wal is damaged, and at least %u changes behind that would be lost",
			 log.behind);
		return -EBADMSG;
	}
	has_copy = log.name[0] && !db_copy_find(db->directory, log.name, name, sizeof(name));
	ret = look_at_file(db->directory, &log, why, why_size);
	if (!ret)
		ret = open_file(db, has_copy ? name : NULL, why, why_size);
	if (ret == -EBADMSG && has_copy) {
		if (db_copy_restore(db->directory, name, copy, copy_size) ||
		    open_file(db, name, fault, sizeof(fault)))
			return ret;
		snprintf(db->restored, sizeof(db->restored),
			 DB_FILE " was damaged (%.200s) and has been put back from its copy and its log: nothing is lost. The damaged file is " DB_FILE_DAMAGED,
			 why);
		ret = 0;
	} else if (ret == -EBADMSG && !db_copy_find(db->directory, "", name, sizeof(name))) {
		snprintf(copy, copy_size,
			 "; its copy %s may lack changes, and is not taken without being asked", name);
	}
	if (!ret && !has_copy)
		db_copy_make(db);
	return ret;
}

struct db *db_open(const char *directory, char *fault, size_t fault_size)
{
	struct db *db = calloc(1, sizeof(*db));
	char why[512] = "", copy[512] = "";

	if (!db) {
		snprintf(fault, fault_size, "out of memory");
		return NULL;
	}
	if (snprintf(db->directory, sizeof(db->directory), "%s", directory) >=
	    (int)sizeof(db->directory)) {
		snprintf(fault, fault_size, "the path of the state directory is too long");
		goto err_close;
	}
	if (open_or_restore(db, why, sizeof(why), copy, sizeof(copy))) {
		snprintf(fault, fault_size,
			 "%s/" DB_FILE " cannot be used: %s%s. It is left as it is: restore it from a backup, or move all of state.* away to start empty",
			 directory, why, copy);
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
	close_file(db);
	free(db);
}

const char *db_restored(const struct db *db)
{
	return db->restored;
}

uint64_t db_copies(const struct db *db)
{
	return db->copies;
}

const char *db_copy_fault(const struct db *db)
{
	return db->copy_fault;
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
	if (!ret)
		db_copy_due(db);
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
		ret = db_run(db, DB_DELETE_ALIASES_OF, NULL, "ib", (int64_t)DB_KIND_ALIAS,
			     tombstone->id, id_len);
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
		    const char *body, uint64_t *generation)
{
	int64_t next = 0;
	int ret;

	ret = db_run(db, DB_BEGIN, NULL, "");
	if (!ret)
		ret = db_run(db, DB_NEXT_GENERATION, &next, "");
	if (!ret && body)
		ret = db_run(db, DB_PUT_DOCUMENT, NULL, "ibti", (int64_t)kind, key, key_len, body,
			     (int64_t)time(NULL));
	else if (!ret)
		ret = db_run(db, DB_DELETE_DOCUMENT, NULL, "ib", (int64_t)kind, key, key_len);
	ret = db_finish(db, ret);
	if (ret)
		return ret;
	db->generation = (uint64_t)next;
	if (generation)
		*generation = (uint64_t)next;
	return 0;
}
