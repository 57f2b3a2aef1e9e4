// SPDX-License-Identifier: Apache-2.0
/*
 * The state in memory, see model.h. Two sorted arrays of pointers and a hash of
 * addresses; bounded by MODEL_CONTAINERS_MAX and MODEL_TOMBSTONES_MAX.
 */
#include "control/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_BUCKETS		65536	/* a power of two */

/* Both kinds of entry start with their id: sorted arrays need no more of them. */
struct sorted {
	uint8_t		**entries;
	size_t		count, room;
};

struct address_node {
	struct address_node	*next;
	struct address		address;
	struct container	*container;
};

struct model {
	struct sorted		containers;
	struct sorted		tombstones;
	size_t			running;
	struct address_node	*by_address[ADDRESS_BUCKETS];
};

/* The index of the first entry that is not below @id. */
static size_t sorted_lower(const struct sorted *sorted, const uint8_t id[ID_LEN])
{
	size_t low = 0, high = sorted->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(sorted->entries[middle], id, ID_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *sorted_find(const struct sorted *sorted, const uint8_t id[ID_LEN])
{
	size_t i = sorted_lower(sorted, id);

	if (i == sorted->count || memcmp(sorted->entries[i], id, ID_LEN))
		return NULL;
	return sorted->entries[i];
}

static int sorted_reserve(struct sorted *sorted)
{
	size_t room = sorted->room ? sorted->room * 2 : 64;
	uint8_t **grown;

	if (sorted->count < sorted->room)
		return 0;
	grown = reallocarray(sorted->entries, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	sorted->entries = grown;
	sorted->room = room;
	return 0;
}

/* After sorted_reserve(): cannot fail. */
static void sorted_insert(struct sorted *sorted, void *entry)
{
	size_t i = sorted_lower(sorted, entry);

	memmove(sorted->entries + i + 1, sorted->entries + i,
		(sorted->count - i) * sizeof(*sorted->entries));
	sorted->entries[i] = entry;
	sorted->count++;
}

static void *sorted_remove(struct sorted *sorted, const uint8_t id[ID_LEN])
{
	size_t i = sorted_lower(sorted, id);
	void *entry;

	if (i == sorted->count || memcmp(sorted->entries[i], id, ID_LEN))
		return NULL;
	entry = sorted->entries[i];
	sorted->count--;
	memmove(sorted->entries + i, sorted->entries + i + 1,
		(sorted->count - i) * sizeof(*sorted->entries));
	return entry;
}

struct model *model_create(void)
{
	return calloc(1, sizeof(struct model));
}

void model_destroy(struct model *model)
{
	if (!model)
		return;
	for (size_t i = 0; i < ADDRESS_BUCKETS; i++) {
		while (model->by_address[i]) {
			struct address_node *node = model->by_address[i];

			model->by_address[i] = node->next;
			free(node);
		}
	}
	for (size_t i = 0; i < model->containers.count; i++)
		container_free((struct container *)model->containers.entries[i]);
	for (size_t i = 0; i < model->tombstones.count; i++)
		free(model->tombstones.entries[i]);
	free(model->containers.entries);
	free(model->tombstones.entries);
	free(model);
}

static struct address_node **address_slot(const struct model *model, const struct address *address)
{
	size_t i = address_hash(address) & (ADDRESS_BUCKETS - 1);
	struct address_node **slot = (struct address_node **)&model->by_address[i];

	while (*slot && !address_equal(&(*slot)->address, address))
		slot = &(*slot)->next;
	return slot;
}

static void drop_addresses(struct model *model, const struct container *container)
{
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		struct address_node **slot = address_slot(model, &container->addresses[i]);
		struct address_node *node = *slot;

		if (node && node->container == container) {
			*slot = node->next;
			free(node);
		}
	}
}

struct container *model_find(const struct model *model, const uint8_t id[ID_LEN])
{
	return sorted_find(&model->containers, id);
}

const struct tombstone *model_find_tombstone(const struct model *model, const uint8_t id[ID_LEN])
{
	return sorted_find(&model->tombstones, id);
}

struct container *model_find_address(const struct model *model, const struct address *address)
{
	const struct address_node *node = *address_slot(model, address);

	return node ? node->container : NULL;
}

size_t model_containers_count(const struct model *model)
{
	return model->containers.count;
}

size_t model_running_count(const struct model *model)
{
	return model->running;
}

size_t model_tombstones_count(const struct model *model)
{
	return model->tombstones.count;
}

struct container *model_container_at(const struct model *model, size_t index)
{
	return (struct container *)model->containers.entries[index];
}

const struct tombstone *model_tombstone_at(const struct model *model, size_t index)
{
	return (const struct tombstone *)model->tombstones.entries[index];
}

size_t model_index_after(const struct model *model, const uint8_t id[ID_LEN])
{
	size_t i = sorted_lower(&model->containers, id);

	if (i < model->containers.count && !memcmp(model->containers.entries[i], id, ID_LEN))
		i++;
	return i;
}

int model_reserve(struct model *model, const struct container *container)
{
	if (model_find(model, container->id))
		return 0;
	if (model->containers.count >= MODEL_CONTAINERS_MAX)
		return -ENOSPC;
	return sorted_reserve(&model->containers);
}

/* Nodes for all addresses of @container, in a list; NULL where memory is out. */
static int make_nodes(struct container *container, struct address_node **list)
{
	*list = NULL;
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		struct address_node *node = malloc(sizeof(*node));

		if (!node)
			goto err_free;
		node->address = container->addresses[i];
		node->container = container;
		node->next = *list;
		*list = node;
	}
	return 0;

err_free:
	while (*list) {
		struct address_node *node = *list;

		*list = node->next;
		free(node);
	}
	return -ENOMEM;
}

int model_set(struct model *model, struct container *container)
{
	struct container *old = model_find(model, container->id);
	struct address_node *nodes, *next;
	int ret;

	for (unsigned int i = 0; i < container->addresses_count; i++) {
		struct container *owner = model_find_address(model, &container->addresses[i]);

		if (owner && owner != old)
			return -EADDRINUSE;
	}
	ret = model_reserve(model, container);
	if (ret)
		return ret;
	ret = make_nodes(container, &nodes);
	if (ret)
		return ret;
	/* From here on nothing fails. */
	if (old) {
		drop_addresses(model, old);
		sorted_remove(&model->containers, old->id);
		model->running -= old->running;
		container_free(old);
	}
	for (; nodes; nodes = next) {
		struct address_node **slot = address_slot(model, &nodes->address);

		next = nodes->next;
		nodes->next = *slot;
		*slot = nodes;
	}
	sorted_insert(&model->containers, container);
	model->running += container->running;
	return 0;
}

void model_delete(struct model *model, const uint8_t id[ID_LEN])
{
	struct container *container = sorted_remove(&model->containers, id);

	if (!container)
		return;
	drop_addresses(model, container);
	model->running -= container->running;
	container_free(container);
}

void model_set_running(struct model *model, struct container *container, bool running)
{
	model->running -= container->running;
	container->running = running;
	model->running += container->running;
}

int model_add_tombstone(struct model *model, const struct tombstone *tombstone)
{
	struct tombstone *copy;

	if (sorted_find(&model->tombstones, tombstone->id))
		return 0;
	if (sorted_reserve(&model->tombstones))
		return -ENOMEM;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *tombstone;
	sorted_insert(&model->tombstones, copy);
	return 0;
}

const struct tombstone *model_oldest_tombstone(const struct model *model)
{
	const struct tombstone *oldest = NULL;

	for (size_t i = 0; i < model->tombstones.count; i++) {
		const struct tombstone *tombstone = model_tombstone_at(model, i);

		if (!oldest || tombstone->deleted_at < oldest->deleted_at)
			oldest = tombstone;
	}
	return oldest;
}

void model_delete_tombstone(struct model *model, const uint8_t id[ID_LEN])
{
	free(sorted_remove(&model->tombstones, id));
}
