/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets at rest and their comparison. A token is long and random, so its
 * SHA-256 is kept and compared; a password is what a person remembers, so it is
 * kept as Argon2id with a salt of its own, and checking one takes milliseconds
 * and memory on purpose: never in a thread that serves connections.
 *
 * Owns no state. Never writes a secret anywhere but to where it is told.
 */
#ifndef HOODY_AUTH_SECRET_H
#define HOODY_AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_HASH_LEN		32
#define SECRET_SALT_LEN		16

/*
 * Bounds of Argon2id's costs. New passwords get the first set: 19 MiB, two
 * passes, one lane, the smaller of the two equal recommendations of the OWASP
 * password storage guide. The limits are what a stored hash may ask for.
 */
#define SECRET_MEMORY_KIB	19456
#define SECRET_PASSES		2
#define SECRET_LANES		1
#define SECRET_MEMORY_KIB_MIN	8
#define SECRET_MEMORY_KIB_MAX	65536
#define SECRET_PASSES_MAX	16
#define SECRET_LANES_MAX	4

/* "$argon2id$v=19$m=65536,t=16,p=4$" + 22 + "$" + 43 + NUL */
#define SECRET_PASSWORD_TEXT_MAX 112

struct secret_password {
	uint32_t	memory_kib;
	uint32_t	passes;
	uint32_t	lanes;
	uint8_t		salt[SECRET_SALT_LEN];
	uint8_t		hash[SECRET_HASH_LEN];
};

/* SHA-256. False where OpenSSL fails (no memory). */
bool secret_token_hash(const char *token, size_t len, uint8_t hash[SECRET_HASH_LEN]);

/* In a time that depends on @len only. */
bool secret_equal(const void *a, const void *b, size_t len);

/* Overwrites, and the compiler may not leave it out. Takes NULL. */
void secret_wipe(void *data, size_t len);
/* secret_wipe() of a NUL-terminated string from malloc(), then free(). Takes NULL. */
void secret_free(char *text);

/*
 * secret_password_create(): a new salt and the hash of @password, with the
 * costs above. Slow. 0 or a negative errno.
 */
int secret_password_create(const char *password, size_t len, struct secret_password *out);

/* secret_password_verify(): 1 right, 0 wrong, or a negative errno. Slow. */
int secret_password_verify(const struct secret_password *stored, const char *password, size_t len);

/* Whether the costs are within the bounds above. */
bool secret_password_valid(const struct secret_password *stored);

/* The PHC text form ($argon2id$v=19$...); parse returns 0 or -EINVAL. */
void secret_password_format(const struct secret_password *stored,
			    char text[SECRET_PASSWORD_TEXT_MAX]);
int secret_password_parse(const char *text, size_t len, struct secret_password *out);

#endif /* HOODY_AUTH_SECRET_H */
