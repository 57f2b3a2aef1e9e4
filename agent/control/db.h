/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database: SQLite in the state directory, write-ahead log, synced at every
 * commit. What a function here has acknowledged survives a crash of the agent
 * and of the host.
 *
 * One connection, one thread, one write transaction at a time. A file that is of
 * another program or of a newer version is refused with a message. A damaged one is
 * put back from its copy where that gives every commit that was acknowledged, and
 * refused where it does not; it is never emptied, repaired or thrown away.
 */
#ifndef HOODY_CONTROL_DB_H
#define HOODY_CONTROL_DB_H

#include "control/model.h"

#define DB_FILE			"state.db"
#define DB_APPLICATION_ID	0x686f6f64	/* "hood" */
#define DB_VERSION		3		/* user_version: see db_schema.c */

struct db;

/*
 * Kinds of documents: JSON text under a key, one row each. The values are stored.
 * Those before DB_KIND_OF_CONTAINERS have a container's id as their key and go
 * with the container; the others belong to the host. Aliases go with the container
 * that their text names ("container": its id).
 */
enum db_kind {
	DB_KIND_FIREWALL	= 1,
	DB_KIND_NETWORK		= 2,
	DB_KIND_SYSCALLS	= 3,
	DB_KIND_KSM		= 4,
	DB_KIND_LIMITS		= 8,
	DB_KIND_SERVICES	= 9,
	DB_KIND_HOLD		= 10,
	DB_KIND_OF_CONTAINERS	= 64,
	DB_KIND_PROFILE		= 64,	/* key: the profile's name */
	DB_KIND_ALIAS		= 65,	/* key: the alias */
	DB_KIND_TOKEN		= 66,
	DB_KIND_REALM		= 67,
	DB_KIND_ACME		= 72,	/* key: the domain */
};

/* Whose permissions. The values are stored. */
enum db_level {
	DB_LEVEL_PROJECT,
	DB_LEVEL_CONTAINER,
};

/*
 * db_open(): opens or creates @directory/state.db, brings its schema up to
 * DB_VERSION and checks its integrity. NULL with a message for humans in
 * @fault. The directory must exist.
 * db_restored(): what was wrong with the file and that its copy is in its place; "":
 * nothing was.
 */
struct db *db_open(const char *directory, char *fault, size_t fault_size);
void db_close(struct db *db);
const char *db_restored(const struct db *db);

/*
 * The copy that a damaged database would be put back from: how many were made since
 * the start, and why the last one was not ("": it was). The changes themselves are
 * safe either way.
 */
uint64_t db_copies(const struct db *db);
const char *db_copy_fault(const struct db *db);

/* Fills an empty model. 0, or a negative errno with a message in @fault. */
int db_load(struct db *db, struct model *model, char *fault, size_t fault_size);

/*
 * One transaction each: 0 when it is committed, else a negative errno, with
 * nothing changed and db_fault() saying why (-ENOSPC: the disk is full,
 * -EEXIST: a constraint; -EIO: all else).
 *
 * db_put_container(): inserts or replaces; gives @container its generation,
 * which grows with every write of any container.
 * db_delete_container(): leaves @tombstone in its place.
 */
int db_put_container(struct db *db, struct container *container);
int db_delete_container(struct db *db, const struct tombstone *tombstone);
int db_delete_tombstones(struct db *db, int64_t deleted_before, size_t *count);
int db_delete_tombstone(struct db *db, const uint8_t id[ID_LEN]);

/*
 * db_put_permissions(): @body is the stored form of permissions (auth/permissions.h);
 * NULL removes them. As above. Those of a container go with it.
 * db_load_permissions(): calls @take for each, in the order of levels and ids;
 * it returns 0 or a negative errno, which ends it.
 */
int db_put_permissions(struct db *db, enum db_level level, const uint8_t id[ID_LEN],
		       const char *body);
int db_load_permissions(struct db *db,
			int (*take)(void *context, enum db_level level, const uint8_t id[ID_LEN],
				    const char *body),
			void *context);

/*
 * db_put_document(): stores @body under @kind and @key (at most 255 bytes); NULL
 * removes it. @generation, which may be NULL, is what the write was given.
 * db_load_documents(): all of a kind by key, as db_load_permissions().
 */
int db_put_document(struct db *db, enum db_kind kind, const void *key, size_t key_len,
		    const char *body, uint64_t *generation);
int db_load_documents(struct db *db, enum db_kind kind,
		      int (*take)(void *context, const void *key, size_t key_len,
				  const char *body),
		      void *context);

/* The last generation that was given out. */
uint64_t db_generation(const struct db *db);
const char *db_fault(const struct db *db);

#endif /* HOODY_CONTROL_DB_H */
