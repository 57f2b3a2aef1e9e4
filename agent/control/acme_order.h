/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order: uacme(1) as a child of the worker's user, without capabilities, in
 * the ACME directory, and what its hook asks for.
 *
 *	control --fork--> uacme --fork--> hook (this program again)
 *	   ^   stderr: why it failed        |
 *	   '--------- challenge ------------'   answered once every worker has it
 *
 * The authority looks at the challenge only after the hook has ended.
 */
#ifndef HOODY_CONTROL_ACME_ORDER_H
#define HOODY_CONTROL_ACME_ORDER_H

#include "control/control.h"

/* What the hook sends, whole and in one packet; the answer is one byte, 0: accepted. */
struct acme_hook_message {
	char	method[16];	/* begin, done, failed */
	char	type[32];	/* http-01, tls-alpn-01, ... */
	char	domain[256];
	char	token[256];
	char	text[256];	/* key authorization; of tls-alpn-01 its SHA-256, base64url */
};

/* Where uacme's children find their descriptors. */
#define ACME_HOOK_FD	3
#define ACME_PROGRAM_FD	4
#define ACME_HOOK_WORD	"HOODY_ACME_HOOK"	/* in the environment: main() is the hook */

struct acme_order;

/* @error: NULL where it succeeded. The order is gone after it. */
typedef void acme_order_done(void *context, const char *error);

/*
 * acme_order_create(): an account is made or found first where @account is set.
 * NULL with errno.
 */
struct acme_order *acme_order_create(struct control *control, const char *domain, int directory,
				     uid_t user, gid_t group, bool account, acme_order_done *done,
				     void *context);
const char *acme_order_domain(const struct acme_order *order);
void acme_order_progress(struct acme_order *order);
/* Ends the child and takes its challenges back; @done is not called. */
void acme_order_destroy(struct acme_order *order);

/* The hook, with main()'s arguments: its exit status. */
int acme_hook_run(int argc, char **argv);

/* acme_challenge.c: the certificate of RFC 8737 3 with its key, as PEM from malloc(). NULL: not. */
char *acme_challenge_certificate(const char *domain, const char *digest);

#endif /* HOODY_CONTROL_ACME_ORDER_H */
