/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. Each is one file with LLVMFuzzerTestOneInput():
 * bytes in, nothing out; a sanitizer or fuzz_need() says that they did harm.
 *
 * A target keeps no state from one input to the next that could change what an
 * input does: a crash must repeat from its file alone.
 */
#ifndef HOODY_SELFTESTS_FUZZ_H
#define HOODY_SELFTESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What must hold whatever the bytes are. */
static inline void fuzz_need(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	abort();
}

/* What is left of an input that is cut into parts. */
struct fuzz_input {
	const uint8_t	*at;
	size_t		len;
};

/* 0 where nothing is left. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (!input->len)
		return 0;
	input->len--;
	return *input->at++;
}

/*
 * fuzz_part(): up to the next separator, which a dictionary has too, or all that is
 * left. Not a length in front: moving bytes would change what all others mean.
 */
#define FUZZ_SEPARATOR	"\xff|\xff"

static inline struct fuzz_input fuzz_part(struct fuzz_input *input)
{
	const size_t separator = sizeof(FUZZ_SEPARATOR) - 1;
	const uint8_t *found = input->len ? memmem(input->at, input->len, FUZZ_SEPARATOR,
						   separator) : NULL;
	struct fuzz_input part = *input;

	if (found) {
		part.len = (size_t)(found - input->at);
		input->at = found + separator;
		input->len -= part.len + separator;
	} else {
		input->at += input->len;
		input->len = 0;
	}
	return part;
}

/*
 * fuzz_copy(): @part in memory of exactly its size (and a NUL behind it, with
 * @terminated), so that a byte too far is seen. To be freed.
 */
static inline char *fuzz_copy(struct fuzz_input part, bool terminated)
{
	char *copy = malloc(part.len + terminated + !(part.len + terminated));

	fuzz_need(copy != NULL, "memory");
	if (part.len)
		memcpy(copy, part.at, part.len);
	if (terminated)
		copy[part.len] = '\0';
	return copy;
}

#endif /* HOODY_SELFTESTS_FUZZ_H */
