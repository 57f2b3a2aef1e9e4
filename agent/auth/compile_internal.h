/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that write a blob: compile.c, compile_ranges.c, compile_jwt.c. */
#ifndef HOODY_AUTH_COMPILE_INTERNAL_H
#define HOODY_AUTH_COMPILE_INTERNAL_H

#include "auth/blob.h"

struct section {
	char	*data;
	size_t	count;		/* elements */
	size_t	size;		/* bytes of @data */
};

struct compiler {
	int		error;	/* an errno; the first one ends everything */
	unsigned int	unusable;
	ssize_t		(*jwks_load)(void *context, const char *name, char *out, size_t size);
	void		*jwks_context;
	struct auth_blob header;
	struct section	groups, services, actions, ranges4, ranges6, tokens, passwords;
	struct section	jwts, key_refs, keys, claims, values, text;
};

/*
 * section_add(): a new zeroed element at the end, valid until the next one; NULL
 * once there was an error. compile_text(): bytes into the text section.
 */
void *section_add(struct compiler *compiler, struct section *section, size_t element);
struct blob_text compile_text(struct compiler *compiler, const void *bytes, size_t len);

void compile_ranges(struct compiler *compiler, const struct permissions *permissions);
void compile_jwt(struct compiler *compiler, const struct permissions_group *group,
		 unsigned int index);

#endif /* HOODY_AUTH_COMPILE_INTERNAL_H */
