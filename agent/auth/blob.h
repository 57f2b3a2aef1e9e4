/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled form of a permissions model: one piece of memory without a
 * pointer, which means the same wherever it is mapped and is never changed.
 * auth_compile() writes it, auth_blob_open() checks all of it once, and after
 * that auth_evaluate() relies on every offset, index and order in it.
 *
 * Who somebody is comes out as a set of groups, one bit each; what a service
 * gives are sets too, so that deciding is a few operations on words however
 * many groups there are:
 *
 *	address  -> ranges4/ranges6   one binary search: a sorted cut of all
 *				      addresses into pieces with equal sets
 *	token    -> tokens            sorted by SHA-256
 *	password -> passwords         sorted by user name
 *	JWT      -> jwts, keys        keys are there once, however many groups
 *	service  -> services          sorted by name; allow, refuse, by action
 *
 * Integers are in host byte order: a blob lives as long as the processes.
 */
#ifndef HOODY_AUTH_BLOB_H
#define HOODY_AUTH_BLOB_H

#include "auth/permissions.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOB_MAGIC		"HOODYPRM"
#define BLOB_VERSION		1
#define BLOB_ALIGN		8
#define BLOB_SIZE_MAX		(8u << 20)
#define BLOB_WORDS		(PERMISSIONS_GROUPS_MAX / 64)
#define BLOB_KEYS_MAX		256	/* different keys of one blob */

struct blob_set {
	uint64_t	words[BLOB_WORDS];
};

/* @count elements at @offset from the blob's start. */
struct blob_span {
	uint32_t	offset, count;
};

/* Bytes in the blob's text section. */
struct blob_text {
	uint32_t	offset, len;	/* from the section's start */
};

struct blob_group {
	struct blob_text	name;
	uint32_t		type;	/* enum permissions_type */
	uint32_t		reserved;
};

struct blob_service {
	struct blob_text	name;
	uint32_t		actions_first, actions_count;	/* in actions */
	struct blob_set		allow;		/* true */
	struct blob_set		refuse;		/* false */
	struct blob_set		listed;		/* a list of actions */
};

struct blob_action {
	struct blob_text	name;
	struct blob_set		groups;
};

/* From @first up to the next element's; the first element starts at zero. */
struct blob_range4 {
	uint32_t		first;		/* host byte order */
	uint32_t		reserved;
	struct blob_set		groups;
};

struct blob_range6 {
	uint8_t			first[16];
	struct blob_set		groups;
};

struct blob_token {
	uint8_t			hash[SECRET_HASH_LEN];
	struct blob_set		groups;
};

struct blob_password {
	struct blob_text	username;
	uint32_t		group;
	uint32_t		memory_kib, passes, lanes;
	uint8_t			salt[SECRET_SALT_LEN];
	uint8_t			hash[SECRET_HASH_LEN];
};

struct blob_jwt {
	uint32_t		group;
	uint32_t		algorithms;	/* that the operator allows */
	uint32_t		leeway;		/* seconds */
	uint32_t		require_exp;
	uint32_t		names_audience;	/* a claim asks for "aud" */
	uint32_t		key_refs_first, key_refs_count;	/* in key_refs */
	uint32_t		claims_first, claims_count;	/* in claims */
	uint32_t		reserved;
};

struct blob_key {
	uint32_t		algorithms;	/* that its type can be used with */
	uint32_t		has_kid;
	struct blob_text	kid;
	struct blob_text	bytes;		/* as struct jwt_key has them */
	uint8_t			id[SECRET_HASH_LEN];	/* of algorithms and bytes, for caches */
};

struct blob_claim {
	struct blob_text	path;		/* names, each with its NUL */
	uint32_t		values_first, values_count;	/* in values */
};

struct blob_value {
	uint32_t		type;		/* enum permissions_value_type */
	uint32_t		reserved;
	struct blob_text	text;
	double			number;
};

struct auth_blob {
	char			magic[8];
	uint32_t		version;
	uint32_t		size;		/* of all */
	uint32_t		default_allow;
	uint32_t		reserved;
	struct blob_set		all;		/* every group */
	struct blob_set		by_address;	/* groups of type ip */
	struct blob_set		by_basic;	/* password */
	struct blob_set		by_bearer;	/* token, jwt */
	struct blob_span	groups;		/* struct blob_group, sorted by name */
	struct blob_span	services, actions, ranges4, ranges6, tokens, passwords;
	struct blob_span	jwts, key_refs, keys, claims, values;
	struct blob_span	text;		/* bytes */
};

/* The elements of a span; the name of the section is the name of the member. */
#define BLOB_AT(blob, section, type) \
	((const struct type *)((const char *)(blob) + (blob)->section.offset))

static inline const char *blob_text(const struct auth_blob *blob, struct blob_text text)
{
	return (const char *)blob + blob->text.offset + text.offset;
}

static inline const uint32_t *blob_key_refs(const struct auth_blob *blob)
{
	return (const uint32_t *)((const char *)blob + blob->key_refs.offset);
}

static inline void blob_set_add(struct blob_set *set, unsigned int group)
{
	set->words[group / 64] |= 1ull << (group % 64);
}

static inline bool blob_set_has(const struct blob_set *set, unsigned int group)
{
	return set->words[group / 64] >> (group % 64) & 1;
}

static inline bool blob_set_empty(const struct blob_set *set)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < BLOB_WORDS; i++)
		any |= set->words[i];
	return any == 0;
}

static inline struct blob_set blob_set_or(struct blob_set a, struct blob_set b)
{
	for (unsigned int i = 0; i < BLOB_WORDS; i++)
		a.words[i] |= b.words[i];
	return a;
}

static inline struct blob_set blob_set_and(struct blob_set a, struct blob_set b)
{
	for (unsigned int i = 0; i < BLOB_WORDS; i++)
		a.words[i] &= b.words[i];
	return a;
}

/* @a without @b. */
static inline struct blob_set blob_set_without(struct blob_set a, struct blob_set b)
{
	for (unsigned int i = 0; i < BLOB_WORDS; i++)
		a.words[i] &= ~b.words[i];
	return a;
}

/* The lowest group of a set that is not empty. */
static inline unsigned int blob_set_first(const struct blob_set *set)
{
	for (unsigned int i = 0; i < BLOB_WORDS; i++) {
		if (set->words[i])
			return 64 * i + (unsigned int)__builtin_ctzll(set->words[i]);
	}
	return 0;
}

/*
 * auth_compile(): the blob of a sealed model in memory from malloc(), *@size
 * bytes of it. @jwks_load as in struct permissions_source, without which JWKS
 * files count as unreadable. A group whose file cannot be used lets nobody in;
 * how many there are is added to *@unusable. NULL with errno: EINVAL (not
 * sealed), E2BIG (more than BLOB_KEYS_MAX keys, or too large), ENOMEM.
 */
struct auth_blob *auth_compile(const struct permissions *permissions,
			       ssize_t (*jwks_load)(void *context, const char *name, char *out,
						    size_t size),
			       void *jwks_context, size_t *size, unsigned int *unusable);

/*
 * auth_blob_open(): @data as a blob, if all of it holds together; NULL with
 * errno EPROTO (another version) or EBADMSG. @data is aligned to BLOB_ALIGN,
 * stays the caller's and must not change while the blob is used.
 */
const struct auth_blob *auth_blob_open(const void *data, size_t size);

#endif /* HOODY_AUTH_BLOB_H */
