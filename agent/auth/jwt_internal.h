/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that read keys, jwt_key.c and jwk.c. */
#ifndef HOODY_AUTH_JWT_INTERNAL_H
#define HOODY_AUTH_JWT_INTERNAL_H

#include "auth/jwt_key.h"

#include <openssl/evp.h>

/* Always -EINVAL. */
__attribute__((format(printf, 3, 4))) int jwt_key_refuse(char *error, size_t size,
							 const char *format, ...);

/* Bytes and algorithms of @key from a public key, which stays the caller's. */
int jwt_key_from_pkey(EVP_PKEY *pkey, struct jwt_key *key, char *error, size_t error_size);

#endif /* HOODY_AUTH_JWT_INTERNAL_H */
