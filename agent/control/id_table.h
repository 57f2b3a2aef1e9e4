/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a feature keeps for containers, by their ids: pointers to structures whose
 * first member is the id, in its order. Thousands at most, found by binary search.
 * The entries are the caller's; the table frees none but in id_table_free().
 */
#ifndef HOODY_CONTROL_ID_TABLE_H
#define HOODY_CONTROL_ID_TABLE_H

#include "lib/id.h"

#include <stddef.h>

struct id_table {
	void	**list;		/* id_table_free() ends it; zeroes are an empty one */
	size_t	count, room;
};

/* The entry of @id, or NULL. */
void *id_table_find(const struct id_table *table, const uint8_t id[ID_LEN]);

/* Room for one more, so that id_table_put() cannot fail. 0, or -ENOMEM. */
int id_table_reserve(struct id_table *table);

/* Takes @entry in, for which there is room. Returns the one that it replaces, or NULL. */
void *id_table_put(struct id_table *table, void *entry);

/* Takes the entry of @id out and returns it, or NULL. */
void *id_table_take_out(struct id_table *table, const uint8_t id[ID_LEN]);

/* Ends the table, and each entry by @free_entry. */
void id_table_free(struct id_table *table, void (*free_entry)(void *entry));

#endif /* HOODY_CONTROL_ID_TABLE_H */
