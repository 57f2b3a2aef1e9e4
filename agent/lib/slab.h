/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for many objects of one size in one thread: taken from blocks, kept in
 * a free list when given back. A thread's exchanges and connections live here,
 * so that a request costs no malloc(). Blocks are returned to the system only
 * by slab_clear(): the high-water mark is bounded by the connection limits.
 */
#ifndef HOODY_LIB_SLAB_H
#define HOODY_LIB_SLAB_H

#include <stddef.h>

struct slab_block;

struct slab {
	size_t			size;	/* of one object, rounded up */
	void			*free;
	struct slab_block	*blocks;
};

void slab_setup(struct slab *slab, size_t object_size);
/* A zeroed object, or NULL where there is no memory. */
void *slab_alloc(struct slab *slab);
void slab_free(struct slab *slab, void *object);
/* All objects are gone after it, given back or not. */
void slab_clear(struct slab *slab);

#endif /* HOODY_LIB_SLAB_H */
