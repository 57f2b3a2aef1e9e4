/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text in which control hands a worker all that TLS needs: PEM, cut into
 * sections by lines that start with '@'. What stands before the first of them is
 * the certificate of this node (leaf, chain, key), so that plain PEM is a whole
 * text of this kind.
 *
 *	-----BEGIN CERTIFICATE----- ...		the node's own
 *	@names shop.example *.shop.example	the names of the certificate below
 *	-----BEGIN CERTIFICATE----- ...
 *	@ticket <160 hexadecimal digits>	a key of session tickets, newest first
 *	@http <host> <token> <text>		RFC 8555 8.3: what to answer there
 *	@alpn <host>				RFC 8737: the certificate below
 *	-----BEGIN CERTIFICATE----- ...
 *
 * No line of PEM starts with '@'. Control writes PEM anew from what it has
 * parsed, so that nothing of a file's own text gets in between.
 */
#ifndef HOODY_LIB_KEYS_H
#define HOODY_LIB_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define KEYS_BYTES_MAX		(64 * 1024 * 1024)
#define KEYS_TICKETS_MAX	3
#define KEYS_TICKET_LEN		80	/* name, AES-256 key, HMAC key: 16, 32, 32 */
#define KEYS_CHALLENGES_MAX	16
#define KEYS_NAME_MAX		256	/* a host name with its NUL, RFC 1035 */
#define KEYS_TOKEN_MAX		256	/* of a challenge; a CA's are some 43 bytes */

enum keys_kind {
	KEYS_NODE,
	KEYS_NAMES,
	KEYS_TICKET,
	KEYS_HTTP,
	KEYS_ALPN,
};

/* Into the text; not NUL-terminated. */
struct keys_section {
	enum keys_kind	kind;
	const char	*arguments;
	size_t		arguments_len;
	const char	*body;
	size_t		body_len;
};

/*
 * keys_next(): the section at *@at, which moves behind it; start with the text's
 * begin. 1, 0 at the end, -EBADMSG where a line starts with '@' and is none of
 * the above.
 */
int keys_next(const char **at, const char *end, struct keys_section *section);

/*
 * keys_word(): the next word of a section's arguments, as a string. 1, 0 where
 * there is none, -EBADMSG where it has no room in @word.
 */
int keys_word(struct keys_section *section, char *word, size_t size);

/* The key of a KEYS_TICKET. 0 or -EBADMSG. */
int keys_ticket(const struct keys_section *section, uint8_t key[KEYS_TICKET_LEN]);

#endif /* HOODY_LIB_KEYS_H */
