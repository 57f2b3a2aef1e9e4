/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use the control API over HTTPS: tokens, and the realms that they can
 * be bound to. A token is shown once, when it is made; kept is its hash (SHA-256:
 * it has 256 random bits, there is nothing to guess). A realm is a set of
 * containers; a token of a realm sees these and nothing else of the host.
 */
#ifndef HOODY_CONTROL_TOKENS_H
#define HOODY_CONTROL_TOKENS_H

#include "control/control.h"

#include "auth/secret.h"
#include "firewall/policy.h"

#define TOKENS_MAX		1024
#define REALMS_MAX		1024
#define TOKEN_ID_LEN		16		/* hexadecimal digits, no secret */
#define TOKEN_NAME_MAX		64
#define TOKEN_RANGES_MAX	16
#define TOKEN_TEXT_MAX		80		/* "hoody_<id>_<43 characters>" and NUL */

struct token {
	char		id[TOKEN_ID_LEN + 1];
	uint8_t		hash[SECRET_HASH_LEN];
	char		name[TOKEN_NAME_MAX];		/* empty: none */
	char		realm[MODEL_REALM_MAX];		/* empty: the whole host */
	struct fw_prefix ranges[TOKEN_RANGES_MAX];	/* none: from anywhere */
	unsigned int	ranges_count;
	int64_t		created_at, expires_at;		/* expires 0: never */
	int64_t		used_at;			/* since the agent's start; 0: not yet */
	bool		enabled;
};

struct realm {
	char		name[MODEL_REALM_MAX];
	int64_t		created_at;
};

struct tokens {
	struct token	*tokens;			/* in the order of their making */
	size_t		tokens_count;
	struct realm	*realms;			/* by name */
	size_t		realms_count;
};

size_t tokens_count(const struct tokens *tokens);
struct token *tokens_find(struct tokens *tokens, const char *id);
struct realm *tokens_find_realm(struct tokens *tokens, const char *name);

/*
 * tokens_put(): stores @token, new or changed. tokens_delete(). As db.h: 0, or a
 * negative errno and nothing has changed. -ENOSPC: there are too many.
 */
int tokens_put(struct control *control, const struct token *token);
int tokens_delete(struct control *control, const char *id);
int tokens_put_realm(struct control *control, const struct realm *realm);
int tokens_delete_realm(struct control *control, const char *name);

/* Fills id and hash of @token, and @text, which the caller shows and wipes. 0 or -EIO. */
int tokens_generate(struct token *token, char text[TOKEN_TEXT_MAX]);

enum tokens_result {
	TOKENS_OK,
	TOKENS_NONE,		/* 401: nothing, or nothing that is known */
	TOKENS_DISABLED,	/* 401 */
	TOKENS_EXPIRED,		/* 401 */
	TOKENS_ADDRESS,		/* 403: not from there */
};

/* Whose @authorization ("Bearer ...", or NULL) that is, from @client; *@found where it is OK. */
enum tokens_result tokens_check(struct tokens *tokens, const char *authorization,
				const struct address *client, struct token **found);

#endif /* HOODY_CONTROL_TOKENS_H */
