// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1 heads and chunked bodies. What is decoded is encoded and decoded again, as
 * the container would: both must see one message with the same end, or it could be
 * smuggled through.
 */
#include "fuzz.h"
#include "lib/http1.h"
#include "lib/http1_chunk.h"

#include <errno.h>

#define FIELDS	64

static struct buf_pool pool;

static void decode_again(struct http_head *head, bool response)
{
	struct http1_encoding encoding = { .framing = head->framing, .length = head->length };
	struct http_field fields[FIELDS + 8];
	struct http_head again = { .fields = fields, .fields_max = FIELDS + 8 };
	struct buf out = { 0 };
	size_t scanned = 0;
	ssize_t len;

	http_head_strip_hops(head);
	/* head->authority stands for it. */
	for (unsigned int i = 0; i < head->fields_count; i++)
		head->fields[i].drop |= head->fields[i].id == HTTP_FIELD_HOST;
	if (response ? http1_encode_response(&pool, &out, head, &encoding) :
		       http1_encode_request(&pool, &out, head, &encoding)) {
		buf_clear(&pool, &out);
		return;
	}
	len = http1_head_length(buf_head(&out), buf_len(&out), &scanned);
	fuzz_need(len == (ssize_t)buf_len(&out), "what is written is one head");
	fuzz_need(!(response ? http1_decode_response(&again, buf_head(&out), (size_t)len, false) :
			       http1_decode_request(&again, buf_head(&out), (size_t)len)),
		  "what is written is read");
	/* Of a response without a body a length is only told. */
	fuzz_need(again.framing == head->framing &&
		  (head->framing != HTTP_BODY_LENGTH || again.length == head->length),
		  "the body ends where it ended");
	fuzz_need(response ? again.status == head->status :
			     again.method == head->method &&
				     again.target.len == head->target.len &&
				     !memcmp(again.target.data, head->target.data, again.target.len),
		  "it asks for the same");
	buf_clear(&pool, &out);
}

static void decode(const char *bytes, size_t len, bool response)
{
	struct http_field fields[FIELDS];
	struct http_head head = { .fields = fields, .fields_max = FIELDS };
	size_t scanned = 0, in_steps = 0;
	ssize_t found = http1_head_length(bytes, len, &scanned), step = 0;
	char *copy;
	int err;

	for (size_t i = 0; i <= len && !step; i += 1 + len / 8)
		step = http1_head_length(bytes, i, &in_steps);
	if (!step)
		step = http1_head_length(bytes, len, &in_steps);
	fuzz_need(step == found || (found > 0 && step == -EBADMSG) || (found < 0 && step > 0),
		  "where it is cut does not move its end");
	if (found <= 0)
		return;
	copy = fuzz_copy((struct fuzz_input){ (const uint8_t *)bytes, (size_t)found }, false);
	err = response ? http1_decode_response(&head, copy, (size_t)found, false) :
			 http1_decode_request(&head, copy, (size_t)found);
	if (!err && (response || (head.authority.len && head.method != HTTP_METHOD_CONNECT)) &&
	    (!response || head.status != 101))
		decode_again(&head, response);
	head = (struct http_head){ .fields = fields, .fields_max = FIELDS };
	http1_decode_trailers(&head, copy, (size_t)found);
	free(copy);
}

static void decode_chunks(const char *bytes, size_t len)
{
	struct http1_chunk chunk;
	const char *at = bytes;
	struct http_text data;
	size_t total = 0;
	int event;

	http1_chunk_setup(&chunk);
	while ((event = http1_chunk_next(&chunk, &at, bytes + len, &data)) == HTTP1_CHUNK_DATA) {
		fuzz_need(data.len && data.data >= bytes && data.data + data.len <= bytes + len,
			  "data is of the body");
		total += data.len;
	}
	fuzz_need(event == HTTP1_CHUNK_MORE || event == HTTP1_CHUNK_LAST || event == -EBADMSG,
		  "a chunk's event");
	fuzz_need(at >= bytes && at <= bytes + len && total <= len, "no more than there is");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = fuzz_copy((struct fuzz_input){ data, size }, false);

	buf_pool_setup(&pool);
	decode(bytes, size, false);
	decode(bytes, size, true);
	decode_chunks(bytes, size);
	buf_pool_clear(&pool);
	free(bytes);
	return 0;
}
