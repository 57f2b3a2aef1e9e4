/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header fields one behind the other in a struct buf, for those that are kept
 * longer than the bytes that they were read from: a struct record, the name's
 * bytes, the value's.
 */
#ifndef HOODY_LIB_RECORD_H
#define HOODY_LIB_RECORD_H

#include <stdint.h>

#include "lib/buf.h"
#include "lib/http.h"

struct record {
	uint32_t	name_len, value_len;
};

/* Errors of buf_reserve(). */
int record_add(struct buf_pool *pool, struct buf *buf, struct http_text name,
	       struct http_text value);
/* The record at @at, which is moved behind it. */
void record_next(const char **at, struct http_text *name, struct http_text *value);

#endif /* HOODY_LIB_RECORD_H */
