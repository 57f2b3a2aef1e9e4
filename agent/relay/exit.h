/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exit: the way by which what a container opens leaves the host, as users
 * write it.
 *
 *	direct				by the host's own routes
 *	block				not at all
 *	socks5://[USER:PASSWORD@]HOST[:PORT]		RFC 1928, RFC 1929
 *	http://[USER:PASSWORD@]HOST[:PORT]		CONNECT, RFC 9110 9.3.6
 *	https://[USER:PASSWORD@]HOST[:PORT]		the same within TLS
 *	wireguard			a tunnel; its file comes beside
 *
 * Pure functions over text. HOST is an address or a name, which the host itself looks
 * up (control/resolve.h), never by way of the exit.
 */
#ifndef HOODY_RELAY_EXIT_H
#define HOODY_RELAY_EXIT_H

#include "lib/address.h"
#include "names/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 1929: a length is one byte. */
#define EXIT_SECRET_MAX		256
#define EXIT_TEXT_MAX		1024	/* of exit_format(), with the NUL */
#define EXIT_ADDRESSES_MAX	4	/* of a name that are tried */

enum exit_kind {
	EXIT_DIRECT,
	EXIT_BLOCK,
	EXIT_SOCKS5,
	EXIT_HTTP,
	EXIT_HTTPS,
	EXIT_WIREGUARD,		/* what its file says is not here */
};

struct exit_spec {
	enum exit_kind	kind;
	char		host[NAMES_TEXT_MAX];	/* of the proxy, in lower case; "": @address is */
	struct address	address;
	uint16_t	port;
	bool		has_login;
	char		user[EXIT_SECRET_MAX];	/* decoded, without NUL bytes */
	char		password[EXIT_SECRET_MAX];
};

/*
 * exit_parse(): 0, or -EINVAL with @why the end of a sentence about the exit
 * ("has no address"). Nothing secret is in @why.
 */
int exit_parse(const char *text, size_t len, struct exit_spec *spec, const char **why);

/* For people: user and password are "***". */
void exit_format(const struct exit_spec *spec, char text[EXIT_TEXT_MAX]);
const char *exit_kind_name(enum exit_kind kind);

/* Whether what the container opens goes through the relay. */
bool exit_is_relayed(const struct exit_spec *spec);
bool exit_equal(const struct exit_spec *a, const struct exit_spec *b);

#endif /* HOODY_RELAY_EXIT_H */
