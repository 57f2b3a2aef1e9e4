/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte queues that own no memory while they are empty. Memory comes from a
 * thread's pool in a few sizes, so that an idle connection holds none and a
 * busy one costs no malloc().
 *
 *	data          data + start           data + end            data + size
 *	  | consumed    | waiting              | room                 |
 */
#ifndef HOODY_LIB_BUF_H
#define HOODY_LIB_BUF_H

#include <stddef.h>
#include <string.h>

#define BUF_SMALLEST	4096
#define BUF_CLASSES	10		/* 4 KiB << 9: 2 MiB */
#define BUF_LARGEST	((size_t)BUF_SMALLEST << (BUF_CLASSES - 1))
#define BUF_KEPT	32		/* free buffers kept of each size */

struct buf_pool {
	void		*free[BUF_CLASSES];
	unsigned int	kept[BUF_CLASSES];
};

struct buf {
	char	*data;
	size_t	start, end, size;
};

void buf_pool_setup(struct buf_pool *pool);
void buf_pool_clear(struct buf_pool *pool);

/*
 * buf_reserve(): room for @need more bytes at buf_tail(). 0, -ENOMEM, or
 * -ENOBUFS where it would hold more than BUF_LARGEST.
 */
int buf_reserve(struct buf_pool *pool, struct buf *buf, size_t need);
/* Copies @len bytes to the end; errors of buf_reserve(). */
int buf_append(struct buf_pool *pool, struct buf *buf, const void *bytes, size_t len);
/* Gives the memory back; what waits is lost. */
void buf_clear(struct buf_pool *pool, struct buf *buf);

static inline size_t buf_len(const struct buf *buf)
{
	return buf->end - buf->start;
}

static inline char *buf_head(const struct buf *buf)
{
	return buf->data + buf->start;
}

static inline char *buf_tail(const struct buf *buf)
{
	return buf->data + buf->end;
}

static inline size_t buf_room(const struct buf *buf)
{
	return buf->size - buf->end;
}

/* Takes @len waiting bytes away; the last one gives the memory back. */
static inline void buf_consume(struct buf_pool *pool, struct buf *buf, size_t len)
{
	buf->start += len;
	if (buf->start == buf->end)
		buf_clear(pool, buf);
}

#endif /* HOODY_LIB_BUF_H */
