// SPDX-License-Identifier: Apache-2.0
/*
 * Hashes of secrets, see secret.h: OpenSSL's SHA-256 and Argon2id (RFC 9106),
 * which it has from 3.2 on.
 */
#include "auth/secret.h"
#include "auth/base64.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool secret_token_hash(const char *token, size_t len, uint8_t hash[SECRET_HASH_LEN])
{
	return EVP_Digest(token, len, hash, NULL, EVP_sha256(), NULL) == 1;
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void secret_wipe(void *data, size_t len)
{
	if (data)
		OPENSSL_cleanse(data, len);
}

void secret_free(char *text)
{
	if (!text)
		return;
	OPENSSL_cleanse(text, strlen(text));
	free(text);
}

bool secret_password_valid(const struct secret_password *stored)
{
	/* RFC 9106 3.1: at least 8 KiB for each lane. */
	return stored->lanes >= 1 && stored->lanes <= SECRET_LANES_MAX && stored->passes >= 1 &&
	       stored->passes <= SECRET_PASSES_MAX &&
	       stored->memory_kib >= SECRET_MEMORY_KIB_MIN * stored->lanes &&
	       stored->memory_kib <= SECRET_MEMORY_KIB_MAX;
}

static int derive(const struct secret_password *costs, const char *password, size_t len,
		  uint8_t hash[SECRET_HASH_LEN])
{
	uint32_t memory = costs->memory_kib, passes = costs->passes, lanes = costs->lanes;
	uint32_t threads = 1;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)password, len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)costs->salt,
						  SECRET_SALT_LEN),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &passes),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_THREADS, &threads),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES, &lanes),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST, &memory),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "ARGON2ID", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int result = -ENOTSUP;

	if (context)
		result = EVP_KDF_derive(context, hash, SECRET_HASH_LEN, params) == 1 ? 0 : -ENOMEM;
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return result;
}

int secret_password_create(const char *password, size_t len, struct secret_password *out)
{
	out->memory_kib = SECRET_MEMORY_KIB;
	out->passes = SECRET_PASSES;
	out->lanes = SECRET_LANES;
	if (RAND_bytes(out->salt, sizeof(out->salt)) != 1)
		return -EIO;
	return derive(out, password, len, out->hash);
}

int secret_password_verify(const struct secret_password *stored, const char *password, size_t len)
{
	uint8_t hash[SECRET_HASH_LEN];
	int result;

	if (!secret_password_valid(stored))
		return -EINVAL;
	result = derive(stored, password, len, hash);
	if (!result)
		result = secret_equal(hash, stored->hash, sizeof(hash));
	secret_wipe(hash, sizeof(hash));
	return result;
}

void secret_password_format(const struct secret_password *stored,
			    char text[SECRET_PASSWORD_TEXT_MAX])
{
	char salt[BASE64_ENCODED_MAX(SECRET_SALT_LEN)], hash[BASE64_ENCODED_MAX(SECRET_HASH_LEN)];

	base64_encode(BASE64_STANDARD_BARE, stored->salt, SECRET_SALT_LEN, salt);
	base64_encode(BASE64_STANDARD_BARE, stored->hash, SECRET_HASH_LEN, hash);
	snprintf(text, SECRET_PASSWORD_TEXT_MAX, "$argon2id$v=19$m=%u,t=%u,p=%u$%s$%s",
		 stored->memory_kib, stored->passes, stored->lanes, salt, hash);
}

/* Reads "<name><decimal><end>" from *@text and moves it behind. */
static bool take_number(const char **text, const char *name, char end, uint32_t *out)
{
	const char *at = *text;
	uint32_t value = 0;
	int digits = 0;

	if (strncmp(at, name, strlen(name)))
		return false;
	for (at += strlen(name); *at >= '0' && *at <= '9' && digits < 6; at++, digits++)
		value = value * 10 + (uint32_t)(*at - '0');
	if (!digits || *at != end)
		return false;
	*text = at + 1;
	*out = value;
	return true;
}

int secret_password_parse(const char *text, size_t len, struct secret_password *out)
{
	static const char prefix[] = "$argon2id$v=19$";
	char copy[SECRET_PASSWORD_TEXT_MAX];
	const char *at = copy + sizeof(prefix) - 1, *dollar;

	if (len >= sizeof(copy) || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (strncmp(copy, prefix, sizeof(prefix) - 1) ||
	    !take_number(&at, "m=", ',', &out->memory_kib) ||
	    !take_number(&at, "t=", ',', &out->passes) || !take_number(&at, "p=", '$', &out->lanes))
		return -EINVAL;
	dollar = strchr(at, '$');
	if (!dollar || !secret_password_valid(out) ||
	    base64_decode(BASE64_STANDARD_BARE, at, dollar - at, out->salt, SECRET_SALT_LEN) !=
		    SECRET_SALT_LEN ||
	    base64_decode(BASE64_STANDARD_BARE, dollar + 1, strlen(dollar + 1), out->hash,
			  SECRET_HASH_LEN) != SECRET_HASH_LEN)
		return -EINVAL;
	return 0;
}
