/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte queues and the pool of their memory, see buf.h.
 */
#include "lib/buf.h"

#include <errno.h>
#include <stdlib.h>

static int class_of(size_t size)
{
	int class = 0;

	while (((size_t)BUF_SMALLEST << class) < size)
		class++;
	return class;
}

void buf_pool_setup(struct buf_pool *pool)
{
	memset(pool, 0, sizeof(*pool));
}

void buf_pool_clear(struct buf_pool *pool)
{
	void *next;
	int i;

	for (i = 0; i < BUF_CLASSES; i++) {
		while (pool->free[i]) {
			memcpy(&next, pool->free[i], sizeof(next));
			free(pool->free[i]);
			pool->free[i] = next;
		}
		pool->kept[i] = 0;
	}
}

static char *take(struct buf_pool *pool, int class)
{
	char *data = pool->free[class];

	if (!data)
		return malloc((size_t)BUF_SMALLEST << class);
	memcpy(&pool->free[class], data, sizeof(void *));
	pool->kept[class]--;
	return data;
}

static void give(struct buf_pool *pool, char *data, size_t size)
{
	int class = class_of(size);

	if (pool->kept[class] >= BUF_KEPT) {
		free(data);
		return;
	}
	memcpy(data, &pool->free[class], sizeof(void *));
	pool->free[class] = data;
	pool->kept[class]++;
}

int buf_reserve(struct buf_pool *pool, struct buf *buf, size_t need)
{
	size_t len = buf_len(buf);
	char *data;
	int class;

	if (buf->size - buf->end >= need)
		return 0;
	if (buf->size - len >= need) {
		memmove(buf->data, buf_head(buf), len);
	} else {
		if (need > BUF_LARGEST - len)
			return -ENOBUFS;
		class = class_of(len + need);
		data = take(pool, class);
		if (!data)
			return -ENOMEM;
		if (buf->data) {
			memcpy(data, buf_head(buf), len);
			give(pool, buf->data, buf->size);
		}
		buf->data = data;
		buf->size = (size_t)BUF_SMALLEST << class;
	}
	buf->start = 0;
	buf->end = len;
	return 0;
}

int buf_append(struct buf_pool *pool, struct buf *buf, const void *bytes, size_t len)
{
	int err = buf_reserve(pool, buf, len);

	if (err)
		return err;
	memcpy(buf_tail(buf), bytes, len);
	buf->end += len;
	return 0;
}

void buf_clear(struct buf_pool *pool, struct buf *buf)
{
	if (buf->data)
		give(pool, buf->data, buf->size);
	memset(buf, 0, sizeof(*buf));
}
