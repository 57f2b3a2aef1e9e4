/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names as rules have them, and the sets that a question is held against. Pure
 * functions over text.
 *
 *	api.stripe.com		this name
 *	*.github.com		every name below github.com, at any depth, not itself
 *
 * ASCII only: a name with other letters has a form of its own in queries (RFC 5890,
 * "xn--..."), which is what a rule has to say.
 */
#ifndef HOODY_NAMES_NAME_H
#define HOODY_NAMES_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* RFC 1035 2.3.4: 255 bytes on the wire; as text without the dot at the end. */
#define NAMES_TEXT_MAX	254		/* with the NUL */

/*
 * name_parse(): a rule's name, in lower case and without a dot at its end. 0, or
 * -EINVAL with @why the end of a sentence about it.
 */
int name_parse(const char *text, char out[NAMES_TEXT_MAX], const char **why);

/* Whether @text can only be meant as a name: no address and no CIDR is like it. */
bool name_is_meant(const char *text);

/* Whether the rule's name @pattern covers @name; both as of name_parse(). */
bool name_matches(const char *pattern, const char *name);

/* Patterns in the order of strcmp(), as they stand in the policy. */
struct name_set {
	char	**patterns;
	size_t	count;
};

bool name_set_has(const struct name_set *set, const char *name);

#endif /* HOODY_NAMES_NAME_H */
