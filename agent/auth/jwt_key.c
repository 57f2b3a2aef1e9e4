// SPDX-License-Identifier: Apache-2.0
/*
 * Reading single keys: a shared secret, a public key as PEM; and what an
 * algorithm is called. JSON key sets are read in jwk.c.
 */
#include "auth/jwt_key.h"
#include "auth/jwt_internal.h"
#include "auth/secret.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const alg_names[JWT_ALGS] = {
	[JWT_HS256] = "HS256", [JWT_HS384] = "HS384", [JWT_HS512] = "HS512",
	[JWT_RS256] = "RS256", [JWT_RS384] = "RS384", [JWT_RS512] = "RS512",
	[JWT_PS256] = "PS256", [JWT_PS384] = "PS384", [JWT_PS512] = "PS512",
	[JWT_ES256] = "ES256", [JWT_ES384] = "ES384", [JWT_ES512] = "ES512",
	[JWT_EDDSA] = "EdDSA",
};

const char *jwt_alg_name(enum jwt_alg alg)
{
	return alg < JWT_ALGS ? alg_names[alg] : NULL;
}

int jwt_alg_find(const char *name, size_t len)
{
	for (int alg = 0; alg < JWT_ALGS; alg++) {
		if (strlen(alg_names[alg]) == len && !memcmp(alg_names[alg], name, len))
			return alg;
	}
	return -1;
}

int jwt_key_refuse(char *error, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, size, format, args);
	va_end(args);
	return -EINVAL;
}

int jwt_key_from_secret(const char *secret, size_t len, struct jwt_key *key, char *error,
			size_t error_size)
{
	if (len > JWT_KEY_BYTES_MAX)
		return jwt_key_refuse(error, error_size, "is longer than %d bytes",
				      JWT_KEY_BYTES_MAX);
	/* RFC 7518 3.2: a key at least as long as the hash. */
	if (len < 32)
		return jwt_key_refuse(error, error_size,
				      "is shorter than 32 bytes, which HS256 needs (RFC 7518 3.2)");
	key->bytes = malloc(len);
	if (!key->bytes)
		return -ENOMEM;
	memcpy(key->bytes, secret, len);
	key->len = len;
	key->algorithms = JWT_ALG_BIT(JWT_HS256);
	if (len >= 48)
		key->algorithms |= JWT_ALG_BIT(JWT_HS384);
	if (len >= 64)
		key->algorithms |= JWT_ALG_BIT(JWT_HS512);
	return 0;
}

/* The algorithms of an elliptic key: exactly one for each curve (RFC 7518 3.4). */
static uint32_t curve_algorithms(const EVP_PKEY *pkey)
{
	char curve[64];

	if (EVP_PKEY_get_group_name(pkey, curve, sizeof(curve), NULL) != 1)
		return 0;
	if (!strcmp(curve, "prime256v1") || !strcmp(curve, "P-256"))
		return JWT_ALG_BIT(JWT_ES256);
	if (!strcmp(curve, "secp384r1") || !strcmp(curve, "P-384"))
		return JWT_ALG_BIT(JWT_ES384);
	if (!strcmp(curve, "secp521r1") || !strcmp(curve, "P-521"))
		return JWT_ALG_BIT(JWT_ES512);
	return 0;
}

int jwt_key_from_pkey(EVP_PKEY *pkey, struct jwt_key *key, char *error, size_t error_size)
{
	unsigned char *der = NULL;
	int len;

	if (EVP_PKEY_is_a(pkey, "RSA")) {
		int bits = EVP_PKEY_get_bits(pkey);

		if (bits < JWT_RSA_BITS_MIN || bits > JWT_RSA_BITS_MAX)
			return jwt_key_refuse(error, error_size,
					      "is an RSA key of %d bits; it has to have %d to %d",
					      bits, JWT_RSA_BITS_MIN, JWT_RSA_BITS_MAX);
		key->algorithms = JWT_ALGS_RSA;
	} else if (EVP_PKEY_is_a(pkey, "EC")) {
		key->algorithms = curve_algorithms(pkey);
	} else if (EVP_PKEY_is_a(pkey, "ED25519") || EVP_PKEY_is_a(pkey, "ED448")) {
		key->algorithms = JWT_ALG_BIT(JWT_EDDSA);
	}
	if (!key->algorithms)
		return jwt_key_refuse(error, error_size,
				      "is of a kind that no algorithm here uses; give RSA, P-256, P-384, P-521, Ed25519 or Ed448");
	len = i2d_PUBKEY(pkey, &der);
	if (len <= 0)
		return -ENOMEM;
	if (len > JWT_KEY_BYTES_MAX) {
		OPENSSL_free(der);
		return jwt_key_refuse(error, error_size, "is larger than %d bytes",
				      JWT_KEY_BYTES_MAX);
	}
	key->bytes = malloc(len);
	if (key->bytes) {
		memcpy(key->bytes, der, len);
		key->len = (size_t)len;
	}
	OPENSSL_free(der);
	return key->bytes ? 0 : -ENOMEM;
}

int jwt_key_from_pem(const char *pem, size_t len, struct jwt_key *key, char *error,
		     size_t error_size)
{
	EVP_PKEY *pkey = NULL;
	BIO *bio;
	int result;

	if (strstr(pem, "PRIVATE KEY"))
		return jwt_key_refuse(error, error_size,
				      "holds a private key, which belongs to whoever signs; give the public one");
	bio = BIO_new_mem_buf(pem, (int)len);
	if (!bio)
		return -ENOMEM;
	pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (!pkey)
		return jwt_key_refuse(error, error_size,
				      "is no public key; give PEM that starts with -----BEGIN PUBLIC KEY-----");
	result = jwt_key_from_pkey(pkey, key, error, error_size);
	EVP_PKEY_free(pkey);
	return result;
}

void jwt_key_clear(struct jwt_key *key)
{
	secret_wipe(key->bytes, key->len);
	free(key->bytes);
	memset(key, 0, sizeof(*key));
}
