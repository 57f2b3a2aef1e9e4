/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields in a struct buf, see record.h. */
#include "lib/record.h"

int record_add(struct buf_pool *pool, struct buf *buf, struct http_text name,
	       struct http_text value)
{
	struct record record = {.name_len = name.len, .value_len = value.len};
	int err = buf_reserve(pool, buf, sizeof(record) + name.len + value.len);

	if (err)
		return err;
	memcpy(buf_tail(buf), &record, sizeof(record));
	buf->end += sizeof(record);
	memcpy(buf_tail(buf), name.data, name.len);
	buf->end += name.len;
	memcpy(buf_tail(buf), value.data, value.len);
	buf->end += value.len;
	return 0;
}

void record_next(const char **at, struct http_text *name, struct http_text *value)
{
	struct record record;

	memcpy(&record, *at, sizeof(record));
	*at += sizeof(record);
	*name = (struct http_text){*at, record.name_len};
	*at += record.name_len;
	*value = (struct http_text){*at, record.value_len};
	*at += record.value_len;
}
