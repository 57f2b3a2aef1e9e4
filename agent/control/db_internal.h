/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the database share with each other, and with nobody else. */
#ifndef HOODY_CONTROL_DB_INTERNAL_H
#define HOODY_CONTROL_DB_INTERNAL_H

#include "control/db.h"

#include <sqlite3.h>

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
	DB_STATEMENTS,
};

struct db {
	sqlite3		*handle;
	sqlite3_stmt	*statements[DB_STATEMENTS];
	uint64_t	generation;
	char		fault[256];
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

#endif /* HOODY_CONTROL_DB_INTERNAL_H */
