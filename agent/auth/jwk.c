// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a JSON web key set (RFC 7517). Keys that are not for us (for
 * encryption, of an unknown type or algorithm) are passed over, as the RFC
 * asks; one that is ours and broken is an error, since leaving it out would
 * lock somebody out without a word.
 */
#include "auth/base64.h"
#include "auth/jwt_internal.h"
#include "auth/secret.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

struct jwk {
	yyjson_val	*json;
	size_t		index;		/* in "keys", for messages */
	char		*error;
	size_t		error_size;
};

/* The base64url member @name; its length, or -EINVAL with the error. */
static ssize_t member_bytes(const struct jwk *jwk, const char *name, uint8_t *out, size_t size)
{
	yyjson_val *value = yyjson_obj_get(jwk->json, name);
	ssize_t len = -EINVAL;

	if (yyjson_is_str(value))
		len = base64_decode(BASE64_URL, yyjson_get_str(value), yyjson_get_len(value), out,
				    size);
	if (len <= 0)
		return jwt_key_refuse(jwk->error, jwk->error_size,
				      "has no good \"%s\" in key %zu: base64url without padding",
				      name, jwk->index);
	return len;
}

static EVP_PKEY *pkey_from_params(const char *type, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params && context && EVP_PKEY_fromdata_init(context) == 1 &&
	    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(params);
	return pkey;
}

static EVP_PKEY *rsa_read(const struct jwk *jwk)
{
	uint8_t n[JWT_RSA_BITS_MAX / 8], e[8];
	ssize_t n_len = member_bytes(jwk, "n", n, sizeof(n));
	ssize_t e_len = n_len > 0 ? member_bytes(jwk, "e", e, sizeof(e)) : -1;
	OSSL_PARAM_BLD *build = NULL;
	BIGNUM *n_num = NULL, *e_num = NULL;
	EVP_PKEY *pkey = NULL;

	if (e_len < 0)
		return NULL;
	build = OSSL_PARAM_BLD_new();
	n_num = BN_bin2bn(n, (int)n_len, NULL);
	e_num = BN_bin2bn(e, (int)e_len, NULL);
	/* An exponent of 1 makes every number its own signature. */
	if (build && n_num && e_num && BN_is_odd(e_num) && !BN_is_one(e_num) && BN_is_odd(n_num) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n_num) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e_num))
		pkey = pkey_from_params("RSA", build);
	BN_free(n_num);
	BN_free(e_num);
	OSSL_PARAM_BLD_free(build);
	return pkey;
}

/* NULL where the curve is unknown (@unknown says so) or the point is not on it. */
static EVP_PKEY *ec_read(const struct jwk *jwk, bool *unknown)
{
	static const struct {
		const char *name, *group;
		ssize_t len;
	} curves[] = {
		{ "P-256", "prime256v1", 32 },
		{ "P-384", "secp384r1", 48 },
		{ "P-521", "secp521r1", 66 },
	};
	const char *name = yyjson_get_str(yyjson_obj_get(jwk->json, "crv"));
	uint8_t point[1 + 2 * 66] = { 4 };	/* SEC 1 2.3.3: uncompressed */
	OSSL_PARAM_BLD *build;
	EVP_PKEY *pkey = NULL;
	unsigned int i;
	ssize_t len;

	for (i = 0; i < 3 && (!name || strcmp(name, curves[i].name)); i++)
		;
	*unknown = i == 3;
	if (*unknown)
		return NULL;
	/* RFC 7518 6.2.1.2: always the full length. */
	len = curves[i].len;
	if (member_bytes(jwk, "x", point + 1, len) != len ||
	    member_bytes(jwk, "y", point + 1 + len, len) != len)
		return NULL;
	build = OSSL_PARAM_BLD_new();
	if (build &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group,
					    0) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len))
		pkey = pkey_from_params("EC", build);
	OSSL_PARAM_BLD_free(build);
	return pkey;
}

static EVP_PKEY *okp_read(const struct jwk *jwk, bool *unknown)
{
	const char *name = yyjson_get_str(yyjson_obj_get(jwk->json, "crv"));
	bool is_448 = name && !strcmp(name, "Ed448");
	uint8_t x[57];
	ssize_t len;

	*unknown = !is_448 && (!name || strcmp(name, "Ed25519"));
	if (*unknown)
		return NULL;
	len = member_bytes(jwk, "x", x, sizeof(x));
	if (len != (is_448 ? 57 : 32))
		return NULL;
	return EVP_PKEY_new_raw_public_key(is_448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519, NULL, x,
					   len);
}

static int oct_read(const struct jwk *jwk, struct jwt_key *key)
{
	uint8_t bytes[JWT_KEY_BYTES_MAX];
	ssize_t len = member_bytes(jwk, "k", bytes, sizeof(bytes));
	char error[128] = "";
	int result;

	if (len < 0)
		return -EINVAL;
	result = jwt_key_from_secret((char *)bytes, len, key, error, sizeof(error));
	secret_wipe(bytes, sizeof(bytes));
	if (result == -EINVAL)
		return jwt_key_refuse(jwk->error, jwk->error_size, "has a key %zu that %s",
				      jwk->index, error);
	return result;
}

/* 1: read into @key; 0: not for us; or a negative errno with the error. */
static int material_read(const struct jwk *jwk, struct jwt_key *key)
{
	const char *type = yyjson_get_str(yyjson_obj_get(jwk->json, "kty"));
	bool unknown = false;
	EVP_PKEY *pkey = NULL;
	char error[128] = "";
	int result;

	if (type && !strcmp(type, "oct")) {
		result = oct_read(jwk, key);
		return result ? result : 1;
	}
	if (type && yyjson_obj_get(jwk->json, "d"))
		return jwt_key_refuse(jwk->error, jwk->error_size,
				      "holds a private key (\"d\" in key %zu); give the public ones",
				      jwk->index);
	jwt_key_refuse(jwk->error, jwk->error_size, "has a key %zu that is no valid public key",
		       jwk->index);
	if (type && !strcmp(type, "RSA"))
		pkey = rsa_read(jwk);
	else if (type && !strcmp(type, "EC"))
		pkey = ec_read(jwk, &unknown);
	else if (type && !strcmp(type, "OKP"))
		pkey = okp_read(jwk, &unknown);
	else
		unknown = true;
	if (unknown)
		return 0;
	if (!pkey)
		return -EINVAL;
	result = jwt_key_from_pkey(pkey, key, error, sizeof(error));
	EVP_PKEY_free(pkey);
	if (result == -EINVAL)
		return jwt_key_refuse(jwk->error, jwk->error_size, "has a key %zu that %s",
				      jwk->index, error);
	return result ? result : 1;
}

static bool list_has(yyjson_val *list, const char *text)
{
	yyjson_val *item;
	size_t index, max;

	yyjson_arr_foreach(list, index, max, item)
	{
		if (yyjson_equals_str(item, text))
			return true;
	}
	return false;
}

/* 1, 0 or a negative errno, as above. */
static int jwk_read(const struct jwk *jwk, struct jwt_key *key)
{
	yyjson_val *use = yyjson_obj_get(jwk->json, "use");
	yyjson_val *ops = yyjson_obj_get(jwk->json, "key_ops");
	yyjson_val *alg = yyjson_obj_get(jwk->json, "alg");
	yyjson_val *kid = yyjson_obj_get(jwk->json, "kid");
	int result;

	if (!yyjson_is_obj(jwk->json))
		return jwt_key_refuse(jwk->error, jwk->error_size, "has a key %zu that is no object",
				      jwk->index);
	if ((use && !yyjson_equals_str(use, "sig")) || (ops && !list_has(ops, "verify")))
		return 0;
	if (kid && (!yyjson_is_str(kid) || yyjson_get_len(kid) > JWT_KID_MAX))
		return jwt_key_refuse(jwk->error, jwk->error_size,
				      "has a \"kid\" in key %zu that is no string of at most %d bytes",
				      jwk->index, JWT_KID_MAX);
	result = material_read(jwk, key);
	if (result <= 0)
		return result;
	if (alg) {
		int bound = yyjson_is_str(alg) ? jwt_alg_find(yyjson_get_str(alg),
							      yyjson_get_len(alg)) :
						 -1;

		key->algorithms &= bound < 0 ? 0 : JWT_ALG_BIT(bound);
		if (!key->algorithms) {
			jwt_key_clear(key);
			return 0;
		}
	}
	if (kid) {
		key->has_kid = true;
		key->kid_len = yyjson_get_len(kid);
		memcpy(key->kid, yyjson_get_str(kid), key->kid_len);
	}
	return 1;
}

int jwt_keys_from_jwks(const char *json, size_t len, struct jwt_key *keys, char *error,
		       size_t error_size)
{
	yyjson_doc *doc = yyjson_read(json, len, 0);
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "keys");
	int count = 0, result = 0;

	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > JWT_KEYS_READ_MAX) {
		result = jwt_key_refuse(error, error_size,
					"is no key set: a JSON object with \"keys\", a list of at most %d",
					JWT_KEYS_READ_MAX);
		goto out;
	}
	for (size_t i = 0; i < yyjson_arr_size(list); i++) {
		struct jwk jwk = { yyjson_arr_get(list, i), i, error, error_size };

		if (count == JWT_KEYS_MAX) {
			result = jwt_key_refuse(error, error_size, "has more than %d usable keys",
						JWT_KEYS_MAX);
			break;
		}
		result = jwk_read(&jwk, &keys[count]);
		if (result < 0)
			break;
		count += result;
	}
	if (result >= 0 && !count)
		result = jwt_key_refuse(error, error_size,
					"has no key to check signatures with that is known here");
out:
	yyjson_doc_free(doc);
	for (int i = 0; result < 0 && i < JWT_KEYS_MAX; i++)
		jwt_key_clear(&keys[i]);
	return result < 0 ? result : count;
}
