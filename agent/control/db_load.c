// SPDX-License-Identifier: Apache-2.0
/*
 * Reading the whole database into an empty model, once, at the start. Three
 * passes in the order of ids, merged; values outside of what the model holds
 * are an error, never cut to fit.
 */
#include "control/db_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row that the schema allows and the model does not. */
static int bad_row(char *fault, size_t fault_size, const char *table, const char *what)
{
	snprintf(fault, fault_size, "a row of table %s holds %s", table, what);
	return -EBADMSG;
}

static int copy_text(char *out, size_t size, sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	out[0] = '\0';
	if (!text)
		return 0;
	if (strlen(text) >= size)
		return -EBADMSG;
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int take_container(sqlite3_stmt *row, struct model *model, char *fault, size_t fault_size)
{
	struct container *container = calloc(1, sizeof(*container));
	int ret;

	if (!container)
		goto err_memory;
	memcpy(container->id, sqlite3_column_blob(row, 0), ID_LEN);
	memcpy(container->project, sqlite3_column_blob(row, 1), ID_LEN);
	if (sqlite3_column_bytes(row, 1) != ID_LEN ||
	    copy_text(container->name, sizeof(container->name), row, 2) ||
	    copy_text(container->realm, sizeof(container->realm), row, 3) ||
	    copy_text(container->netdev, sizeof(container->netdev), row, 6)) {
		container_free(container);
		return bad_row(fault, fault_size, "containers", "a value that is too long");
	}
	container->running = sqlite3_column_int(row, 4);
	container->gateway = sqlite3_column_int(row, 7);
	container->generation = (uint64_t)sqlite3_column_int64(row, 8);
	container->created_at = sqlite3_column_int64(row, 9);
	container->updated_at = sqlite3_column_int64(row, 10);
	if (container_set_cgroup(container, (const char *)sqlite3_column_text(row, 5)))
		goto err_memory;
	ret = model_set(model, container);
	if (ret == 0)
		return 0;
	container_free(container);
	snprintf(fault, fault_size, "there are more than %d containers", MODEL_CONTAINERS_MAX);
	return ret;

err_memory:
	container_free(container);
	snprintf(fault, fault_size, "out of memory");
	return -ENOMEM;
}

/*
 * Addresses are put in by replacing the whole container: the model keeps its
 * own index of them.
 */
static int take_address(sqlite3_stmt *row, struct model *model, char *fault, size_t fault_size)
{
	struct address addresses[2 * MODEL_ADDRESSES_MAX] = { 0 };
	const struct container *old = model_find(model, sqlite3_column_blob(row, 0));
	unsigned int count = old->addresses_count;
	int len = sqlite3_column_bytes(row, 1), ret;
	struct container *copy;

	if (count == 2 * MODEL_ADDRESSES_MAX)
		return bad_row(fault, fault_size, "addresses", "one address too many");
	if (count)
		memcpy(addresses, old->addresses, count * sizeof(*addresses));
	addresses[count].family = len == 4 ? AF_INET : AF_INET6;
	memcpy(&addresses[count].v6, sqlite3_column_blob(row, 1), len);
	copy = container_copy(old);
	if (!copy || container_set_addresses(copy, addresses, count + 1)) {
		ret = -ENOMEM;
		goto err_free;
	}
	ret = model_set(model, copy);
	if (ret)
		goto err_free;
	return 0;

err_free:
	container_free(copy);
	snprintf(fault, fault_size, "an address cannot be taken in: %s", strerror(-ret));
	return ret;
}

static int take_port(sqlite3_stmt *row, struct model *model, char *fault, size_t fault_size)
{
	struct image_service ports[MODEL_PORTS_MAX] = { 0 };
	struct container *container = model_find(model, sqlite3_column_blob(row, 0));
	unsigned int count = container->ports_count;

	if (count == MODEL_PORTS_MAX)
		return bad_row(fault, fault_size, "ports", "one port too many");
	if (count)
		memcpy(ports, container->ports, count * sizeof(*ports));
	if (copy_text(ports[count].name, sizeof(ports[count].name), row, 1))
		return bad_row(fault, fault_size, "ports", "a service name that is too long");
	ports[count].port = (uint16_t)sqlite3_column_int(row, 2);
	if (container_set_ports(container, ports, count + 1)) {
		snprintf(fault, fault_size, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int take_tombstone(sqlite3_stmt *row, struct model *model, char *fault, size_t fault_size)
{
	struct tombstone tombstone = { .deleted_at = sqlite3_column_int64(row, 2) };

	memcpy(tombstone.id, sqlite3_column_blob(row, 0), ID_LEN);
	memcpy(tombstone.project, sqlite3_column_blob(row, 1), ID_LEN);
	if (model_add_tombstone(model, &tombstone)) {
		snprintf(fault, fault_size, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

int db_load(struct db *db, struct model *model, char *fault, size_t fault_size)
{
	static const struct {
		const char	*query;
		int		(*take)(sqlite3_stmt *row, struct model *model, char *fault,
					size_t fault_size);
	} tables[] = {
		{ "SELECT id, project, name, realm, running, cgroup, netdev, gateway, generation, "
		  "created_at, updated_at FROM containers ORDER BY id", take_container },
		{ "SELECT container, address FROM addresses ORDER BY container, position",
		  take_address },
		{ "SELECT container, service, port FROM ports ORDER BY container, service",
		  take_port },
		{ "SELECT id, project, deleted_at FROM tombstones ORDER BY id", take_tombstone },
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		sqlite3_stmt *row = NULL;
		int step, ret = 0;

		if (sqlite3_prepare_v2(db->handle, tables[i].query, -1, &row, NULL) != SQLITE_OK) {
			snprintf(fault, fault_size, "%s", sqlite3_errmsg(db->handle));
			return -EIO;
		}
		while ((step = sqlite3_step(row)) == SQLITE_ROW && !ret)
			ret = tables[i].take(row, model, fault, fault_size);
		if (!ret && step != SQLITE_DONE) {
			snprintf(fault, fault_size, "%s", sqlite3_errmsg(db->handle));
			ret = -EIO;
		}
		sqlite3_finalize(row);
		if (ret)
			return ret;
	}
	return 0;
}

int db_load_permissions(struct db *db,
			int (*take)(void *context, enum db_level level, const uint8_t id[ID_LEN],
				    const char *body),
			void *context)
{
	sqlite3_stmt *row = NULL;
	int step, ret = 0;

	if (sqlite3_prepare_v2(db->handle,
			       "SELECT level, id, body FROM permissions ORDER BY level, id", -1,
			       &row, NULL) != SQLITE_OK)
		return -EIO;
	while (!ret && (step = sqlite3_step(row)) == SQLITE_ROW)
		ret = take(context, sqlite3_column_int(row, 0), sqlite3_column_blob(row, 1),
			   (const char *)sqlite3_column_text(row, 2));
	if (!ret && step != SQLITE_DONE)
		ret = -EIO;
	sqlite3_finalize(row);
	return ret;
}

int db_load_documents(struct db *db, enum db_kind kind,
		      int (*take)(void *context, const void *key, size_t key_len,
				  const char *body),
		      void *context)
{
	sqlite3_stmt *row = NULL;
	int step = SQLITE_DONE, ret = 0;

	if (sqlite3_prepare_v2(db->handle,
			       "SELECT key, body FROM documents WHERE kind = ?1 ORDER BY key", -1,
			       &row, NULL) != SQLITE_OK)
		return -EIO;
	if (sqlite3_bind_int(row, 1, kind) != SQLITE_OK)
		ret = -EIO;
	while (!ret && (step = sqlite3_step(row)) == SQLITE_ROW)
		ret = take(context, sqlite3_column_blob(row, 0),
			   (size_t)sqlite3_column_bytes(row, 0),
			   (const char *)sqlite3_column_text(row, 1));
	if (!ret && step != SQLITE_DONE)
		ret = -EIO;
	sqlite3_finalize(row);
	return ret;
}
