/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permissions as an operator writes them: groups of clients (by address, token,
 * password or JWT), what each may do with which service, and what holds for
 * everybody else. docs/permissions.md is the reference.
 *
 *	body (JSON) --permissions_parse()--> struct permissions --auth_compile()-->
 *	blob, which workers evaluate		|
 *						+--permissions_format()--> JSON: to
 *				show (no secret in it) or to store (hashes)
 *
 * A model owns all that it points to. Tokens are hashes from the moment they
 * are parsed; passwords are so after permissions_seal(), which is slow and
 * which storing and compiling need. A JWT's shared secret cannot be a hash: it
 * is the key. It is kept, and never shown.
 *
 * Two levels: where a container has permissions of its own they hold instead
 * of its project's, all of them (permissions_effective()).
 */
#ifndef HOODY_AUTH_PERMISSIONS_H
#define HOODY_AUTH_PERMISSIONS_H

#include "auth/action.h"
#include "auth/jwt_key.h"
#include "auth/secret.h"
#include "lib/id.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PERMISSIONS_BODY_MAX		(256 * 1024)	/* bytes of JSON */
#define PERMISSIONS_GROUPS_MAX		128
#define PERMISSIONS_NAME_MAX		64		/* group, service; with a NUL */
#define PERMISSIONS_RANGES_MAX		256		/* of one group */
#define PERMISSIONS_GRANTS_MAX		2048		/* group x service */
#define PERMISSIONS_TOKEN_MIN		8
#define PERMISSIONS_TOKEN_MAX		1024
#define PERMISSIONS_USERNAME_MAX	128		/* bytes of UTF-8, without NUL */
#define PERMISSIONS_PASSWORD_MAX	256
#define PERMISSIONS_SAME_USERNAME_MAX	4		/* groups that share a user name */
#define PERMISSIONS_CLAIMS_MAX		16
#define PERMISSIONS_CLAIM_DEPTH_MAX	4
#define PERMISSIONS_CLAIM_VALUES_MAX	32
#define PERMISSIONS_CLAIM_TEXT_MAX	256		/* bytes of a name or a value */
#define PERMISSIONS_KEY_TEXT_MAX	65536		/* secret, PEM or JWKS */
#define PERMISSIONS_LEEWAY_MAX		300		/* seconds */
#define PERMISSIONS_LEEWAY_DEFAULT	30

enum permissions_type {
	PERMISSIONS_IP,
	PERMISSIONS_TOKEN,
	PERMISSIONS_PASSWORD,
	PERMISSIONS_JWT,
	PERMISSIONS_TYPES,
};

/* Where a jwt group's keys come from. */
enum permissions_key_source {
	PERMISSIONS_KEY_SECRET,
	PERMISSIONS_KEY_PUBLIC,		/* PEM */
	PERMISSIONS_KEY_JWKS,		/* JSON in the body */
	PERMISSIONS_KEY_JWKS_FILE,	/* a file's name, read when it is compiled */
};

struct permissions_range {
	sa_family_t	family;
	uint8_t		prefix;
	uint8_t		address[16];	/* network byte order; IPv4 in the first four */
};

enum permissions_value_type {
	PERMISSIONS_VALUE_TEXT,
	PERMISSIONS_VALUE_NUMBER,
	PERMISSIONS_VALUE_BOOL,
};

struct permissions_value {
	enum permissions_value_type type;
	char		*text;
	size_t		len;
	double		number;		/* a truth value: 0 or 1 */
};

/* One claim that a token has to have, with any of the values. */
struct permissions_claim {
	char		*path;		/* names from the outside in, each with its NUL */
	size_t		path_len;	/* with the last NUL */
	unsigned int	values_count;
	struct permissions_value *values;
};

struct permissions_group {
	char		name[PERMISSIONS_NAME_MAX];
	enum permissions_type type;
	/* ip */
	unsigned int	ranges_count;
	bool		single;		/* written as "range" */
	struct permissions_range *ranges;
	/* token */
	uint8_t		token[SECRET_HASH_LEN];
	/* password: @password until it is sealed, then @hash */
	char		*username;
	char		*password;
	struct secret_password hash;
	/* jwt */
	enum permissions_key_source source;
	char		*key_text;	/* as written; a JWKS as JSON text */
	uint32_t	algorithms;	/* bits of enum jwt_alg; 0: what fits the keys */
	uint32_t	leeway;		/* seconds */
	bool		require_exp;
	char		*claims_text;	/* JSON as written; NULL: none */
	unsigned int	claims_count;
	struct permissions_claim *claims;
};

enum permissions_grant_kind {
	PERMISSIONS_REFUSE,		/* false */
	PERMISSIONS_ALLOW,		/* true */
	PERMISSIONS_ACTIONS,		/* a list */
};

struct permissions_grant {
	unsigned int	group;		/* index */
	char		service[PERMISSIONS_NAME_MAX];
	enum permissions_grant_kind kind;
	unsigned int	actions_count;
	char		actions[ACTION_PER_SERVICE_MAX][ACTION_NAME_MAX];
};

enum permissions_default {
	PERMISSIONS_DEFAULT_UNSAID,	/* allow without groups, deny with any */
	PERMISSIONS_DEFAULT_ALLOW,
	PERMISSIONS_DEFAULT_DENY,
};

struct permissions {
	enum permissions_default fallback;
	unsigned int	groups_count;
	struct permissions_group *groups;	/* sorted by name */
	unsigned int	grants_count;
	struct permissions_grant *grants;	/* sorted by group, then service */
};

/* What was wrong: the field ("groups.office.range") and what to do about it. */
struct permissions_error {
	char	field[192];
	char	message[256];
};

/*
 * How a body is read. @existing: what holds now, whose secrets a body may keep
 * by null; NULL: nothing. @project and @container: the ids that the body may
 * repeat but not contradict; NULL: the body must not name one. @jwks_load
 * reads a JWKS file, to refuse one that cannot be used; NULL: files are not
 * looked at. @stored: the text is permissions_format()'s, with hashes.
 */
struct permissions_source {
	const struct action_table	*actions;
	const struct permissions	*existing;
	const uint8_t			*project, *container;
	ssize_t (*jwks_load)(void *context, const char *name, char *out, size_t size);
	void				*jwks_context;
	bool				stored;
};

/*
 * permissions_parse(): PUT. Returns the model, or NULL with @error filled and
 * errno EINVAL (the body is wrong) or ENOMEM.
 * permissions_patch(): PATCH, an RFC 7396 merge patch on source->existing, save
 * that a group which the patch gives a type is replaced as a whole.
 */
struct permissions *permissions_parse(const char *body, size_t len,
				      const struct permissions_source *source,
				      struct permissions_error *error);
struct permissions *permissions_patch(const char *body, size_t len,
				      const struct permissions_source *source,
				      struct permissions_error *error);
/* Takes NULL; wipes secrets. */
void permissions_free(struct permissions *permissions);

/*
 * permissions_seal(): hashes the passwords that are not yet, and wipes them.
 * Tens of milliseconds each. 0 or a negative errno.
 */
int permissions_seal(struct permissions *permissions);
bool permissions_sealed(const struct permissions *permissions);

/* Says nothing at all: the level above holds, and nothing is to be stored. */
bool permissions_empty(const struct permissions *permissions);

/* The model that holds for a container; either may be NULL, and NULL: all is open. */
const struct permissions *permissions_effective(const struct permissions *project,
						const struct permissions *container);

/* What holds for those whom no group speaks of. */
bool permissions_default_allow(const struct permissions *permissions);

/* NULL where there is none. */
const struct permissions_group *permissions_group_find(const struct permissions *permissions,
						       const char *name);

enum permissions_form {
	PERMISSIONS_SHOW,	/* null for every secret; a body that changes nothing */
	PERMISSIONS_STORE,	/* with hashes and keys; sealed models only */
};

/*
 * permissions_format(): JSON in a buffer from malloc(); NULL with errno. @project
 * and @container are written where they are not NULL.
 */
char *permissions_format(const struct permissions *permissions, enum permissions_form form,
			 const uint8_t *project, const uint8_t *container);

const char *permissions_type_name(enum permissions_type type);

#endif /* HOODY_AUTH_PERMISSIONS_H */
