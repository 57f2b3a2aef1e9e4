// SPDX-License-Identifier: Apache-2.0
/*
 * lib/slab.h and lib/buf.h once more, without the pools: every object is a piece of
 * the heap and every buffer has exactly the size that was asked for, so that the
 * sanitizer sees a use after the end and a byte too far.
 */
#include "lib/buf.h"
#include "lib/slab.h"

#include <errno.h>
#include <stdlib.h>

void slab_setup(struct slab *slab, size_t object_size)
{
	*slab = (struct slab){ .size = object_size };
}

void *slab_alloc(struct slab *slab)
{
	return calloc(1, slab->size);
}

void slab_free(struct slab *slab, void *object)
{
	free(object);
}

void slab_clear(struct slab *slab)
{
}

void buf_pool_setup(struct buf_pool *pool)
{
	memset(pool, 0, sizeof(*pool));
}

void buf_pool_clear(struct buf_pool *pool)
{
}

int buf_reserve(struct buf_pool *pool, struct buf *buf, size_t need)
{
	const size_t len = buf_len(buf);
	char *data;

	if (buf->size - buf->end >= need)
		return 0;
	if (need > BUF_LARGEST - len)
		return -ENOBUFS;
	data = malloc(len + need);
	if (!data)
		return -ENOMEM;
	if (len)
		memcpy(data, buf_head(buf), len);
	free(buf->data);
	*buf = (struct buf){ .data = data, .end = len, .size = len + need };
	return 0;
}

int buf_append(struct buf_pool *pool, struct buf *buf, const void *bytes, size_t len)
{
	int err = buf_reserve(pool, buf, len);

	if (err)
		return err;
	if (len)
		memcpy(buf_tail(buf), bytes, len);
	buf->end += len;
	return 0;
}

void buf_clear(struct buf_pool *pool, struct buf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}
