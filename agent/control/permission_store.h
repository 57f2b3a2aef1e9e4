/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The permissions of projects and containers in memory: for each the model, to
 * show and to merge into, and the blob that workers evaluate. As with the model
 * of containers the database is the truth and is written first.
 *
 * Also what they are read and compiled with: the table of actions and the folder
 * of JWKS files, read at the start and at every reload.
 */
#ifndef HOODY_CONTROL_PERMISSION_STORE_H
#define HOODY_CONTROL_PERMISSION_STORE_H

#include "auth/blob.h"
#include "auth/permissions.h"
#include "control/config.h"
#include "control/db.h"

#define PERMISSION_ENTRIES_MAX	65536

struct permission_entry {
	enum db_level		level;
	uint8_t			id[ID_LEN];
	struct permissions	*model;
	struct auth_blob	*blob;
	size_t			size;
	uint32_t		number;		/* of the blob in the image being built */
};

struct permission_store;

/*
 * permission_store_create(): what the configuration names. NULL with a message
 * for people in @fault. destroy() takes NULL.
 */
struct permission_store *permission_store_create(const struct config *config, char *fault,
						 size_t fault_size);
void permission_store_destroy(struct permission_store *store);

/* Fills an empty store. 0, or a negative errno with a message in @fault. */
int permission_store_load(struct permission_store *store, struct db *db, char *fault,
			  size_t fault_size);

/*
 * permission_store_rebuild(): a store with the same models after a reload: other
 * actions, JWKS files as they are now. NULL with @fault: the old one stays good.
 */
struct permission_store *permission_store_rebuild(const struct permission_store *old,
						  const struct config *config, char *fault,
						  size_t fault_size);

const struct action_table *permission_store_actions(const struct permission_store *store);
ssize_t permission_store_jwks_load(void *context, const char *name, char *out, size_t size);

struct permission_entry *permission_store_find(const struct permission_store *store,
					       enum db_level level, const uint8_t id[ID_LEN]);
/* The entry that holds for a container, its own or its project's; or NULL. */
struct permission_entry *permission_store_effective(const struct permission_store *store,
						    const uint8_t container[ID_LEN],
						    const uint8_t project[ID_LEN]);

/*
 * permission_store_prepare(): everything that can fail: compiles the sealed
 * @model, which is taken over on success, and makes room. The entry is not in
 * the store yet: commit it, or free it. NULL with errno (auth_compile(); ENOSPC:
 * the store is full).
 */
struct permission_entry *permission_store_prepare(struct permission_store *store,
						  enum db_level level, const uint8_t id[ID_LEN],
						  struct permissions *model);
void permission_store_commit(struct permission_store *store, struct permission_entry *entry);
void permission_entry_free(struct permission_entry *entry);
void permission_store_remove(struct permission_store *store, enum db_level level,
			     const uint8_t id[ID_LEN]);

size_t permission_store_count(const struct permission_store *store);
struct permission_entry *permission_store_at(const struct permission_store *store, size_t index);

#endif /* HOODY_CONTROL_PERMISSION_STORE_H */
