/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header section of HTTP/2 or HTTP/3, gathered field by field as its decoder
 * gives them, and made a head when it is complete. Kept is no more than
 * head_bytes_max; what is over that is counted only.
 */
#ifndef HOODY_FRONT_BLOCK_H
#define HOODY_FRONT_BLOCK_H

#include "front/thread.h"
#include "lib/record.h"

struct front_block {
	struct buf	records;
	size_t		bytes;		/* its size by RFC 9113 6.5.2, RFC 9114 4.2.2 */
	bool		malformed;	/* its decoder has found a field that may not be */
};

void front_block_clear(struct front_thread *thread, struct front_block *block);
/* 0, -ENOMEM, or -EFBIG where it is so large that no client means it. */
int front_block_add(struct front_thread *thread, struct front_block *block,
		    struct http_text name, struct http_text value);

/*
 * The gathered block as a request (@ended: no body follows) or as trailers. 0, or
 * -EBADMSG, -E2BIG (fields), -EFBIG (bytes), -ENOSYS (method). The head points
 * into the block. @protocol: of an extended CONNECT, or empty.
 */
int front_block_request(struct front_thread *thread, struct front_block *block,
			struct http_head *head, bool ended, struct http_text *protocol);
int front_block_trailers(struct front_thread *thread, struct front_block *block,
			 struct http_head *head);

/* Why a request is refused that front_block_request() does not take; counts it. */
struct front_block_fault {
	unsigned int	status;
	const char	*code, *message;
};
const struct front_block_fault *front_block_fault(struct front_thread *thread, int err);

#endif /* HOODY_FRONT_BLOCK_H */
