// SPDX-License-Identifier: Apache-2.0
/* Structures by the ids of containers, see id_table.h. */
#include "control/id_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST	64

/* The index of @id, or where it would have to be. */
static size_t index_of(const struct id_table *table, const uint8_t id[ID_LEN], bool *found)
{
	size_t low = 0, high = table->count;

	*found = false;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = memcmp(table->list[middle], id, ID_LEN);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void *id_table_find(const struct id_table *table, const uint8_t id[ID_LEN])
{
	bool found;
	const size_t at = index_of(table, id, &found);

	return found ? table->list[at] : NULL;
}

int id_table_reserve(struct id_table *table)
{
	const size_t room = table->room ? table->room * 2 : ROOM_FIRST;
	void **list;

	if (table->count < table->room)
		return 0;
	list = realloc(table->list, room * sizeof(*list));
	if (!list)
		return -ENOMEM;
	table->list = list;
	table->room = room;
	return 0;
}

void *id_table_put(struct id_table *table, void *entry)
{
	void *old = NULL;
	bool found;
	const size_t at = index_of(table, entry, &found);

	if (found) {
		old = table->list[at];
	} else {
		memmove(table->list + at + 1, table->list + at,
			(table->count - at) * sizeof(*table->list));
		table->count++;
	}
	table->list[at] = entry;
	return old;
}

void *id_table_take_out(struct id_table *table, const uint8_t id[ID_LEN])
{
	void *old;
	bool found;
	const size_t at = index_of(table, id, &found);

	if (!found)
		return NULL;
	old = table->list[at];
	table->count--;
	memmove(table->list + at, table->list + at + 1, (table->count - at) * sizeof(*table->list));
	return old;
}

void id_table_free(struct id_table *table, void (*free_entry)(void *entry))
{
	size_t i;

	for (i = 0; i < table->count; i++)
		free_entry(table->list[i]);
	free(table->list);
	*table = (struct id_table){ 0 };
}
