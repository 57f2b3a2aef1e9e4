/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the database share with each other, and with nobody else. */
#ifndef HOODY_CONTROL_DB_INTERNAL_H
#define HOODY_CONTROL_DB_INTERNAL_H

#include "control/db.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>

enum db_statement {
	DB_BEGIN,
	DB_COMMIT,
	DB_ROLLBACK,
	DB_NEXT_GENERATION,
	DB_PUT_PROJECT,
	DB_PUT_CONTAINER,
	DB_CLEAR_ADDRESSES,
	DB_PUT_ADDRESS,
	DB_CLEAR_PORTS,
	DB_PUT_PORT,
	DB_DELETE_CONTAINER,
	DB_PUT_TOMBSTONE,
	DB_PURGE_TOMBSTONES,
	DB_DELETE_TOMBSTONE,
	DB_PUT_PERMISSIONS,
	DB_DELETE_PERMISSIONS,
	DB_PUT_DOCUMENT,
	DB_DELETE_DOCUMENT,
	DB_DELETE_DOCUMENTS_OF,
	DB_DELETE_ALIASES_OF,
	DB_COUNT_COPY,
	DB_STATEMENTS,
};

struct db {
	sqlite3		*handle;
	sqlite3_stmt	*statements[DB_STATEMENTS];
	uint64_t	generation;
	char		fault[256];
	char		directory[PATH_MAX];
	unsigned int	log_pages;	/* in the write-ahead log after the last commit */
	unsigned int	copy_pages;	/* of the log at which the next copy is made */
	uint64_t	copies;		/* made since the start */
	char		copy_fault[128];	/* why the last one was not made; "" */
	char		restored[512];	/* what db_restored() says */
};

/* Creates or migrates the schema. 0, or -EIO with a message in @fault. */
int db_schema_apply(sqlite3 *handle, char *fault, size_t fault_size);

/*
 * db_run(): binds and runs one statement. @types has a letter per parameter: 'i'
 * int64_t, 't' const char * (NULL or "": null), 'b' const void * and size_t. Rows
 * are ignored but for an integer in the first column, which goes to @result.
 * db_finish(): ends a transaction: commits where @ret is 0, else undoes it and
 * returns @ret.
 */
int db_run(struct db *db, enum db_statement which, int64_t *result, const char *types, ...);
int db_finish(struct db *db, int ret);

/*
 * db_log_read(): what the write-ahead log of @directory holds; no log is an empty one.
 * 0 or a negative errno. Only before SQLite has opened the database.
 */
struct db_log {
	char		name[17];	/* its salts; "": there is no commit in it */
	unsigned int	frames;
	unsigned int	behind;		/* commits in a row behind its end */
	bool		damaged;	/* commits that were synced would be lost */
};
int db_log_read(const char *directory, struct db_log *log);

/*
 * The last good copy, see db_copy.c.
 * db_copy_find(): the file name of the copy that belongs to the log @log, or with ""
 * of any. 0 or -ENOENT.
 * db_copy_compare(): 0, or -EBADMSG where the database is not that copy any more.
 * db_copy_make(): makes a new one and removes those before. 0 or a negative errno,
 * with the reason in @copy_fault. db_copy_due(): does so where it is time.
 * db_copy_restore(): puts @name into the place of the database, which must not be
 * open; what was there becomes DB_FILE_DAMAGED. 0 or a negative errno with words in
 * @fault, and the database as it was.
 */
#define DB_FILE_DAMAGED	DB_FILE ".damaged"
int db_copy_find(const char *directory, const char *log, char *name, size_t size);
int db_copy_compare(struct db *db, const char *name);
int db_copy_make(struct db *db);
void db_copy_due(struct db *db);
int db_copy_restore(const char *directory, const char *name, char *fault, size_t fault_size);

#endif /* HOODY_CONTROL_DB_INTERNAL_H */
