// SPDX-License-Identifier: Apache-2.0
/*
 * Taking tokens apart and checking signatures, see jwt.h. OpenSSL does the
 * arithmetic; what is strict about it is here.
 */
#include "auth/jwt.h"
#include "auth/base64.h"
#include "auth/secret.h"

#include <errno.h>
#include <math.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* Digest; and for ECDSA the bytes of one coordinate (RFC 7518 3.4). */
static const struct {
	const EVP_MD	*(*digest)(void);
	size_t		coordinate;
} algs[JWT_ALGS] = {
	[JWT_HS256] = { EVP_sha256, 0 },  [JWT_HS384] = { EVP_sha384, 0 },
	[JWT_HS512] = { EVP_sha512, 0 },  [JWT_RS256] = { EVP_sha256, 0 },
	[JWT_RS384] = { EVP_sha384, 0 },  [JWT_RS512] = { EVP_sha512, 0 },
	[JWT_PS256] = { EVP_sha256, 0 },  [JWT_PS384] = { EVP_sha384, 0 },
	[JWT_PS512] = { EVP_sha512, 0 },  [JWT_ES256] = { EVP_sha256, 32 },
	[JWT_ES384] = { EVP_sha384, 48 }, [JWT_ES512] = { EVP_sha512, 66 },
	[JWT_EDDSA] = { NULL, 0 },
};

/* A base64url part as a JSON object; NULL where it is none. */
static yyjson_doc *part_read(const char *text, size_t len)
{
	uint8_t bytes[BASE64_DECODED_MAX(JWT_TOKEN_MAX)];
	ssize_t size = base64_decode(BASE64_URL, text, len, bytes, sizeof(bytes));
	yyjson_doc *doc = size > 0 ? yyjson_read((char *)bytes, size, 0) : NULL;

	if (doc && !yyjson_is_obj(yyjson_doc_get_root(doc))) {
		yyjson_doc_free(doc);
		doc = NULL;
	}
	return doc;
}

/*
 * The first of two members with one name is what yyjson finds and the last what
 * many others do: such an object says two things, so it says nothing.
 */
yyjson_val *jwt_member(yyjson_val *object, const char *name)
{
	yyjson_val *key, *value, *found = NULL;
	size_t index, max, len = strlen(name);

	yyjson_obj_foreach(object, index, max, key, value)
	{
		if (!yyjson_equals_strn(key, name, len))
			continue;
		if (found)
			return NULL;
		found = value;
	}
	return found;
}

/* Whether @name is there more than once. */
static bool is_double(yyjson_val *object, const char *name)
{
	return yyjson_obj_get(object, name) && !jwt_member(object, name);
}

/* alg and kid; RFC 7515 4.1.11 for crit. */
static int header_read(struct jwt_token *token)
{
	yyjson_val *header = yyjson_doc_get_root(token->header);
	yyjson_val *alg = jwt_member(header, "alg"), *kid = jwt_member(header, "kid");
	int found = yyjson_is_str(alg) ? jwt_alg_find(yyjson_get_str(alg), yyjson_get_len(alg)) :
					 -1;

	if (found < 0 || yyjson_obj_get(header, "crit") || is_double(header, "kid") ||
	    (kid && (!yyjson_is_str(kid) || yyjson_get_len(kid) > JWT_KID_MAX)))
		return -EINVAL;
	token->alg = found;
	token->kid = yyjson_get_str(kid);
	token->kid_len = yyjson_get_len(kid);
	return 0;
}

int jwt_token_parse(const char *text, size_t len, struct jwt_token *token)
{
	const char *first, *second;
	ssize_t signature;

	token->header = token->payload = NULL;
	if (len > JWT_TOKEN_MAX)
		return -EINVAL;
	first = memchr(text, '.', len);
	second = first ? memchr(first + 1, '.', len - (first + 1 - text)) : NULL;
	/* Two dots: with four it would be encrypted. */
	if (!second || memchr(second + 1, '.', len - (second + 1 - text)))
		return -EINVAL;
	signature = base64_decode(BASE64_URL, second + 1, len - (second + 1 - text),
				  token->signature, sizeof(token->signature));
	if (signature <= 0)
		return -EINVAL;
	token->signature_len = (size_t)signature;
	token->input = text;
	token->input_len = (size_t)(second - text);
	token->header = part_read(text, first - text);
	token->payload = part_read(first + 1, second - first - 1);
	if (token->header && token->payload && !header_read(token))
		return 0;
	jwt_token_clear(token);
	return -EINVAL;
}

void jwt_token_clear(struct jwt_token *token)
{
	yyjson_doc_free(token->header);
	yyjson_doc_free(token->payload);
	token->header = token->payload = NULL;
}

/* A NumericDate (RFC 7519 2), fractions allowed. 1: there, 0: not there, -1: wrong. */
static int time_get(yyjson_val *payload, const char *name, double *out)
{
	yyjson_val *value = jwt_member(payload, name);

	if (!value)
		return yyjson_obj_get(payload, name) ? -1 : 0;
	if (!yyjson_is_num(value))
		return -1;
	*out = yyjson_get_num(value);
	return isfinite(*out) ? 1 : -1;
}

bool jwt_time_ok(const struct jwt_token *token, int64_t now, uint32_t leeway, bool require_exp)
{
	yyjson_val *payload = yyjson_doc_get_root(token->payload);
	double exp, nbf, iat;
	int has_exp = time_get(payload, "exp", &exp);
	int has_nbf = time_get(payload, "nbf", &nbf);
	int has_iat = time_get(payload, "iat", &iat);

	if (has_exp < 0 || has_nbf < 0 || has_iat < 0 || (require_exp && !has_exp))
		return false;
	/* RFC 7519 4.1.4: on or after exp it is over. */
	if (has_exp && (double)now >= exp + leeway)
		return false;
	return (!has_nbf || (double)now >= nbf - leeway) &&
	       (!has_iat || (double)now >= iat - leeway);
}

int64_t jwt_expires(const struct jwt_token *token, uint32_t leeway)
{
	double exp;

	/* What no clock will ever show is never; 2^53 is where doubles skip seconds. */
	if (time_get(yyjson_doc_get_root(token->payload), "exp", &exp) <= 0 ||
	    exp + leeway >= 9007199254740992.0)
		return 0;
	exp = ceil(exp + leeway);
	return exp < 1 ? 1 : (int64_t)exp;
}

bool jwt_alg_slow(enum jwt_alg alg)
{
	return alg > JWT_HS512;
}

static bool hmac_ok(const EVP_MD *digest, const uint8_t *key, size_t key_len, const char *input,
		    size_t input_len, const uint8_t *signature, size_t signature_len)
{
	unsigned char right[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (!HMAC(digest, key, (int)key_len, (const unsigned char *)input, input_len, right, &len))
		return false;
	return len == signature_len && secret_equal(right, signature, len);
}

/* The two numbers of a JWS signature as the DER that OpenSSL takes. 0: no memory. */
static int ecdsa_der(const uint8_t *signature, size_t coordinate, unsigned char **der)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, (int)coordinate, NULL);
	BIGNUM *s = BN_bin2bn(signature + coordinate, (int)coordinate, NULL);
	int len = 0;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		len = i2d_ECDSA_SIG(sig, der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return len > 0 ? len : 0;
}

static bool context_setup(EVP_MD_CTX *context, enum jwt_alg alg, EVP_PKEY *pkey)
{
	const EVP_MD *digest = algs[alg].digest ? algs[alg].digest() : NULL;
	EVP_PKEY_CTX *params = NULL;

	if (EVP_DigestVerifyInit(context, &params, digest, NULL, pkey) != 1)
		return false;
	if (alg < JWT_PS256 || alg > JWT_PS512)
		return true;
	/* RFC 7518 3.5: the salt is as long as the hash, MGF1 uses the same one. */
	return EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(params, RSA_PSS_SALTLEN_DIGEST) == 1 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(params, digest) == 1;
}

bool jwt_signature_ok(enum jwt_alg alg, const uint8_t *key, size_t key_len, const char *input,
		      size_t input_len, const uint8_t *signature, size_t signature_len)
{
	const unsigned char *at = key;
	unsigned char *der = NULL;
	EVP_MD_CTX *context = NULL;
	EVP_PKEY *pkey;
	bool right = false;

	if (!jwt_alg_slow(alg))
		return hmac_ok(algs[alg].digest(), key, key_len, input, input_len, signature,
			       signature_len);
	pkey = d2i_PUBKEY(NULL, &at, (long)key_len);
	context = EVP_MD_CTX_new();
	if (!pkey || !context || !context_setup(context, alg, pkey))
		goto out;
	if (algs[alg].coordinate) {
		int len = 0;

		if (signature_len == 2 * algs[alg].coordinate)
			len = ecdsa_der(signature, algs[alg].coordinate, &der);
		if (!len)
			goto out;
		right = EVP_DigestVerify(context, der, len, (const unsigned char *)input,
					 input_len) == 1;
	} else {
		right = EVP_DigestVerify(context, signature, signature_len,
					 (const unsigned char *)input, input_len) == 1;
	}
out:
	OPENSSL_free(der);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pkey);
	return right;
}
