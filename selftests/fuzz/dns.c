// SPDX-License-Identifier: Apache-2.0
/*
 * DNS: a container's question and a server's answer to it. Whatever the question is,
 * what is made of it for a server fits, and every answer to the container is one.
 */
#include "fuzz.h"
#include "names/message.h"

#include <errno.h>

#define ID	0x4711

/* The header of an answer is the asker's (RFC 1035 4.1.1). */
static void refuse(struct fuzz_input part, const struct names_question *question)
{
	unsigned char *query = malloc(part.len);
	size_t len;

	fuzz_need(query != NULL, "memory");
	memcpy(query, part.at, part.len);
	len = names_make_refusal(query, part.len, question, NAMES_REFUSED);
	fuzz_need(len >= NAMES_HEADER && len <= part.len && query[0] == part.at[0] &&
		  query[1] == part.at[1] && query[2] & 0x80, "a refusal is an answer");
	free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct names_answer answer;
	struct fuzz_input input = { data, size };
	struct fuzz_input parts[2] = { fuzz_part(&input), fuzz_part(&input) };
	unsigned char *query = (unsigned char *)fuzz_copy(parts[0], false);
	unsigned char *bytes = (unsigned char *)fuzz_copy(parts[1], false);
	unsigned char request[NAMES_REQUEST_MAX];
	struct names_question question = { .type = NAMES_A, .name = "www.example.com" };
	const int ret = parts[0].len ? names_read_query(query, parts[0].len, &question) : -EBADMSG;
	ssize_t len;

	if (ret >= 0) {
		refuse(parts[0], &question);
		if (!ret) {
			len = names_make_request(&question, ID, request);
			fuzz_need(len > NAMES_HEADER && len <= NAMES_REQUEST_MAX, "a request fits");
		}
	}
	if (!ret || !parts[0].len) {
		if (!names_read_answer(bytes, parts[1].len, &question, ID, &answer)) {
			fuzz_need(answer.count <= NAMES_ADDRESSES_MAX, "no more than there is room for");
			for (unsigned int i = 0; i < answer.count; i++)
				names_address_is_local(&answer.addresses[i]);
			if (!ret) {
				names_set_asker(bytes, parts[1].len, query, &question, 7);
				fuzz_need(!memcmp(bytes, query, 2), "it answers the asker");
			}
			len = (ssize_t)names_truncate(bytes, parts[1].len, 512);
			fuzz_need(len >= NAMES_HEADER && len <= (ssize_t)parts[1].len, "truncated");
		}
	}
	free(query);
	free(bytes);
	return 0;
}
