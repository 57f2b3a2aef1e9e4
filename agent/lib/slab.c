/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for many objects of one size, see slab.h.
 */
#include "lib/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BLOCK_OBJECTS	64
#define SLAB_ALIGN		16

struct slab_block {
	struct slab_block	*next;
	size_t			pad;	/* keeps the objects on SLAB_ALIGN */
	unsigned char		objects[];
};

void slab_setup(struct slab *slab, size_t object_size)
{
	slab->size = (object_size + SLAB_ALIGN - 1) & ~(size_t)(SLAB_ALIGN - 1);
	slab->free = NULL;
	slab->blocks = NULL;
}

static int grow(struct slab *slab)
{
	struct slab_block *block = malloc(sizeof(*block) + SLAB_BLOCK_OBJECTS * slab->size);
	int i;

	if (!block)
		return -1;
	block->next = slab->blocks;
	slab->blocks = block;
	/* Last first: objects are then handed out in the order of addresses. */
	for (i = SLAB_BLOCK_OBJECTS - 1; i >= 0; i--)
		slab_free(slab, block->objects + i * slab->size);
	return 0;
}

void *slab_alloc(struct slab *slab)
{
	void *object;

	if (!slab->free && grow(slab))
		return NULL;
	object = slab->free;
	memcpy(&slab->free, object, sizeof(slab->free));
	memset(object, 0, slab->size);
	return object;
}

void slab_free(struct slab *slab, void *object)
{
	memcpy(object, &slab->free, sizeof(slab->free));
	slab->free = object;
}

void slab_clear(struct slab *slab)
{
	struct slab_block *block;

	while ((block = slab->blocks)) {
		slab->blocks = block->next;
		free(block);
	}
	slab->free = NULL;
}
