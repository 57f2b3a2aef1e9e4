// SPDX-License-Identifier: Apache-2.0
/* Permissions in memory, see permission_store.h: entries sorted by level and id. */
#include "control/permission_store.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct permission_store {
	struct action_table	actions;
	char			jwks_directory[PATH_MAX];
	struct permission_entry	**entries;
	size_t			count, room;
};

/* The whole of a regular file, at most @size bytes. Its length or a negative errno. */
static ssize_t read_file(int directory, const char *name, char *out, size_t size)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t used = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	do {
		n = read(fd, out + used, size - used);
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0 && used < size);
	close(fd);
	if (n < 0)
		return -errno;
	return used == size ? -EFBIG : (ssize_t)used;
}

ssize_t permission_store_jwks_load(void *context, const char *name, char *out, size_t size)
{
	struct permission_store *store = context;
	int directory = open(store->jwks_directory, O_DIRECTORY | O_PATH | O_CLOEXEC);
	ssize_t len;

	if (directory < 0)
		return -errno;
	len = read_file(directory, name, out, size);
	close(directory);
	return len;
}

static int read_actions(struct action_table *table, const char *path, char *fault,
			size_t fault_size)
{
	char *text, error[256];
	ssize_t len;
	int ret;

	if (!path[0]) {
		action_table_default(table);
		return 0;
	}
	text = malloc(ACTION_TABLE_TEXT_MAX + 1);
	if (!text)
		return -ENOMEM;
	len = read_file(AT_FDCWD, path, text, ACTION_TABLE_TEXT_MAX + 1);
	ret = len < 0 ? (int)len : action_table_parse(text, len, table, error, sizeof(error));
	if (len < 0)
		snprintf(fault, fault_size, "[permissions] actions: %s cannot be read: %s", path,
			 strerror((int)-len));
	else if (ret)
		snprintf(fault, fault_size, "%s: %s", path, error);
	free(text);
	return ret;
}

struct permission_store *permission_store_create(const struct config *config, char *fault,
						 size_t fault_size)
{
	struct permission_store *store = calloc(1, sizeof(*store));

	snprintf(fault, fault_size, "out of memory");
	if (!store)
		return NULL;
	snprintf(store->jwks_directory, sizeof(store->jwks_directory), "%s",
		 config->jwks_directory);
	if (read_actions(&store->actions, config->actions, fault, fault_size)) {
		free(store);
		return NULL;
	}
	return store;
}

void permission_entry_free(struct permission_entry *entry)
{
	if (!entry)
		return;
	permissions_free(entry->model);
	if (entry->blob)
		secret_wipe(entry->blob, entry->size);
	free(entry->blob);
	free(entry);
}

void permission_store_destroy(struct permission_store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->count; i++)
		permission_entry_free(store->entries[i]);
	free(store->entries);
	free(store);
}

const struct action_table *permission_store_actions(const struct permission_store *store)
{
	return &store->actions;
}

/* The index of the entry, or of where it would stand. */
static size_t position(const struct permission_store *store, enum db_level level,
		       const uint8_t id[ID_LEN], bool *found)
{
	size_t low = 0, high = store->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct permission_entry *entry = store->entries[middle];
		int order = entry->level != level ? (entry->level < level ? -1 : 1) :
						    memcmp(entry->id, id, ID_LEN);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

struct permission_entry *permission_store_find(const struct permission_store *store,
					       enum db_level level, const uint8_t id[ID_LEN])
{
	bool found;
	size_t index = position(store, level, id, &found);

	return found ? store->entries[index] : NULL;
}

struct permission_entry *permission_store_effective(const struct permission_store *store,
						    const uint8_t container[ID_LEN],
						    const uint8_t project[ID_LEN])
{
	struct permission_entry *entry = permission_store_find(store, DB_LEVEL_CONTAINER,
							       container);

	return entry ? entry : permission_store_find(store, DB_LEVEL_PROJECT, project);
}

struct permission_entry *permission_store_prepare(struct permission_store *store,
						  enum db_level level, const uint8_t id[ID_LEN],
						  struct permissions *model)
{
	struct permission_entry *entry;
	unsigned int unusable = 0;

	if (store->count == store->room) {
		size_t room = store->room ? 2 * store->room : 64;
		struct permission_entry **grown;

		if (store->count == PERMISSION_ENTRIES_MAX) {
			errno = ENOSPC;
			return NULL;
		}
		grown = reallocarray(store->entries, room, sizeof(struct permission_entry *));
		if (!grown)
			return NULL;
		store->entries = grown;
		store->room = room;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->level = level;
	memcpy(entry->id, id, ID_LEN);
	entry->blob = auth_compile(model, permission_store_jwks_load, store, &entry->size,
				   &unusable);
	if (!entry->blob) {
		free(entry);
		return NULL;
	}
	entry->model = model;
	if (unusable) {
		char text[ID_TEXT_LEN + 1];

		id_format(id, text);
		log_warning("permissions: the JWKS file of some groups cannot be used, they let nobody in: %s=%.8s groups=%u",
			    level == DB_LEVEL_PROJECT ? "project" : "container", text, unusable);
	}
	return entry;
}

void permission_store_commit(struct permission_store *store, struct permission_entry *entry)
{
	bool found;
	size_t index = position(store, entry->level, entry->id, &found);

	if (found) {
		permission_entry_free(store->entries[index]);
	} else {
		memmove(store->entries + index + 1, store->entries + index,
			(store->count - index) * sizeof(struct permission_entry *));
		store->count++;
	}
	store->entries[index] = entry;
}

void permission_store_remove(struct permission_store *store, enum db_level level,
			     const uint8_t id[ID_LEN])
{
	bool found;
	size_t index = position(store, level, id, &found);

	if (!found)
		return;
	permission_entry_free(store->entries[index]);
	store->count--;
	memmove(store->entries + index, store->entries + index + 1,
		(store->count - index) * sizeof(struct permission_entry *));
}

size_t permission_store_count(const struct permission_store *store)
{
	return store->count;
}

struct permission_entry *permission_store_at(const struct permission_store *store, size_t index)
{
	return store->entries[index];
}

/* A model in its stored form, parsed and compiled into the store. */
static int add_stored(struct permission_store *store, enum db_level level,
		      const uint8_t id[ID_LEN], const char *text, char *fault, size_t fault_size)
{
	const struct permissions_source source = { .actions = &store->actions, .stored = true };
	struct permissions_error error = { .field = "" };
	struct permissions *model = permissions_parse(text, strlen(text), &source, &error);
	struct permission_entry *entry = NULL;

	if (model)
		entry = permission_store_prepare(store, level, id, model);
	if (!entry) {
		int ret = -errno;

		snprintf(fault, fault_size, "a row of table permissions cannot be read: %s: %s",
			 error.field, error.message[0] ? error.message : strerror(-ret));
		permissions_free(model);
		return ret ? ret : -EBADMSG;
	}
	permission_store_commit(store, entry);
	return 0;
}

struct load {
	struct permission_store	*store;
	char			*fault;
	size_t			fault_size;
};

static int take_row(void *context, enum db_level level, const uint8_t id[ID_LEN], const char *body)
{
	const struct load *load = context;

	return add_stored(load->store, level, id, body, load->fault, load->fault_size);
}

int permission_store_load(struct permission_store *store, struct db *db, char *fault,
			  size_t fault_size)
{
	struct load load = { store, fault, fault_size };

	snprintf(fault, fault_size, "table permissions cannot be read");
	return db_load_permissions(db, take_row, &load);
}

struct permission_store *permission_store_rebuild(const struct permission_store *old,
						  const struct config *config, char *fault,
						  size_t fault_size)
{
	struct permission_store *store = permission_store_create(config, fault, fault_size);

	for (size_t i = 0; store && i < old->count; i++) {
		const struct permission_entry *entry = old->entries[i];
		char *text = permissions_format(entry->model, PERMISSIONS_STORE, NULL, NULL);
		int ret = -ENOMEM;

		snprintf(fault, fault_size, "out of memory");
		if (text)
			ret = add_stored(store, entry->level, entry->id, text, fault, fault_size);
		secret_free(text);
		if (ret) {
			permission_store_destroy(store);
			store = NULL;
		}
	}
	return store;
}
