/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of TLS 1.3, and the keys of one direction, see tls13_internal.h.
 * Knows no connection and no socket.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#include "front/tls13_internal.h"

#define LABEL_MAX	32

EVP_MAC_CTX *tls13_hmac(const char *hash)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)hash, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
	EVP_MAC_CTX *context = hmac ? EVP_MAC_CTX_new(hmac) : NULL;

	EVP_MAC_free(hmac);
	if (context && EVP_MAC_CTX_set_params(context, params) == 1)
		return context;
	EVP_MAC_CTX_free(context);
	return NULL;
}

/*
 * HKDF-Expand-Label (RFC 8446 7.1) without a context, of no more than one hash. @hmac
 * has the secret for its key and can be used again.
 */
static int expand(EVP_MAC_CTX *hmac, const char *label, uint8_t *out, size_t len)
{
	static const char prefix[] = "tls13 ";
	uint8_t info[4 + sizeof(prefix) + LABEL_MAX], hash[EVP_MAX_MD_SIZE];
	size_t label_len = strlen(label), at = 0, hash_len;
	bool good;

	info[at++] = len >> 8;
	info[at++] = len;
	info[at++] = sizeof(prefix) - 1 + label_len;
	memcpy(info + at, prefix, sizeof(prefix) - 1);
	at += sizeof(prefix) - 1;
	memcpy(info + at, label, label_len);
	at += label_len;
	info[at++] = 0;		/* no context */
	info[at++] = 1;		/* the first block of HKDF-Expand (RFC 5869 2.3) */
	good = EVP_MAC_init(hmac, NULL, 0, NULL) == 1 && EVP_MAC_update(hmac, info, at) == 1 &&
	       EVP_MAC_final(hmac, hash, &hash_len, sizeof(hash)) == 1 && hash_len >= len;
	if (good)
		memcpy(out, hash, len);
	OPENSSL_cleanse(hash, sizeof(hash));
	return good ? 0 : -EIO;
}

/* What expand() takes: the secret is hashed into it once for all labels. NULL: no memory. */
static EVP_MAC_CTX *begin_expanding(const struct tls13_keys *keys)
{
	EVP_MAC_CTX *hmac = EVP_MAC_CTX_dup(keys->suite->hmac);

	if (hmac && EVP_MAC_init(hmac, keys->secret, keys->secret_len, NULL) == 1)
		return hmac;
	EVP_MAC_CTX_free(hmac);
	return NULL;
}

int tls13_keys_apply(struct tls13_keys *keys)
{
	EVP_MAC_CTX *hmac = begin_expanding(keys);
	uint8_t key[EVP_MAX_KEY_LENGTH];
	int err = -EIO;

	if (!keys->cipher)
		keys->cipher = EVP_CIPHER_CTX_new();
	if (hmac && keys->cipher && !expand(hmac, "key", key, keys->suite->key_len) &&
	    !expand(hmac, "iv", keys->iv, sizeof(keys->iv)) &&
	    EVP_CipherInit_ex2(keys->cipher, keys->suite->cipher, key, keys->iv, keys->encrypts,
			       NULL) == 1)
		err = 0;
	OPENSSL_cleanse(key, sizeof(key));
	EVP_MAC_CTX_free(hmac);
	keys->sequence = 0;
	return err;
}

int tls13_keys_update(struct tls13_keys *keys)
{
	EVP_MAC_CTX *hmac = begin_expanding(keys);
	uint8_t next[TLS13_SECRET_MAX];
	int err = hmac ? expand(hmac, "traffic upd", next, keys->secret_len) : -EIO;

	EVP_MAC_CTX_free(hmac);
	if (!err) {
		memcpy(keys->secret, next, keys->secret_len);
		err = tls13_keys_apply(keys);
	}
	OPENSSL_cleanse(next, sizeof(next));
	return err;
}

void tls13_keys_clear(struct tls13_keys *keys)
{
	EVP_CIPHER_CTX_free(keys->cipher);
	OPENSSL_cleanse(keys, sizeof(*keys));
}

/* RFC 8446 5.3; false where the number has been used up. */
static bool next_nonce(struct tls13_keys *keys, uint8_t *nonce)
{
	int i;

	if (keys->sequence == UINT64_MAX)
		return false;
	memcpy(nonce, keys->iv, TLS13_IV);
	for (i = 0; i < 8; i++)
		nonce[TLS13_IV - 1 - i] ^= keys->sequence >> 8 * i;
	keys->sequence++;
	return true;
}

ssize_t tls13_seal(struct tls13_keys *keys, enum tls13_type type, const void *bytes, size_t len,
		   uint8_t *to)
{
	size_t inner = len + 1 + TLS13_TAG;
	uint8_t nonce[TLS13_IV], last = type;
	int n, m, k;

	to[0] = TLS13_DATA;
	to[1] = 3;
	to[2] = 3;
	to[3] = inner >> 8;
	to[4] = inner;
	if (!next_nonce(keys, nonce) ||
	    EVP_EncryptInit_ex2(keys->cipher, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_EncryptUpdate(keys->cipher, NULL, &n, to, TLS13_HEAD) != 1 ||
	    (len && EVP_EncryptUpdate(keys->cipher, to + TLS13_HEAD, &m, bytes, len) != 1) ||
	    EVP_EncryptUpdate(keys->cipher, to + TLS13_HEAD + len, &k, &last, 1) != 1 ||
	    EVP_EncryptFinal_ex(keys->cipher, to + TLS13_HEAD + len + 1, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_GET_TAG, TLS13_TAG,
				to + TLS13_HEAD + len + 1) != 1) {
		ERR_clear_error();
		return -EIO;
	}
	return TLS13_HEAD + inner;
}

/* What the record at @at announces to follow its head. */
static size_t announced(const uint8_t *at)
{
	return (size_t)at[3] << 8 | at[4];
}

/* Of the head alone; 0 or an alert: nothing but protected records follows a handshake. */
static int check_head(const uint8_t *at)
{
	if (at[0] != TLS13_DATA)
		return TLS13_UNEXPECTED_MESSAGE;
	if (announced(at) > TLS13_CIPHER_MAX)
		return TLS13_RECORD_OVERFLOW;
	return announced(at) < 1 + TLS13_TAG ? TLS13_DECODE_ERROR : 0;
}

bool tls13_is_whole(const uint8_t *at, size_t have)
{
	return have >= TLS13_HEAD && (check_head(at) || have >= TLS13_HEAD + announced(at));
}

ssize_t tls13_open(struct tls13_keys *keys, uint8_t *at, size_t have, uint8_t *type,
		   size_t *content)
{
	uint8_t nonce[TLS13_IV], *inner = at + TLS13_HEAD;
	size_t len;
	int n, alert;

	if (have < TLS13_HEAD)
		return 0;
	alert = check_head(at);
	if (alert)
		return -1 - alert;
	if (have < TLS13_HEAD + announced(at))
		return 0;
	len = announced(at) - TLS13_TAG;
	if (!next_nonce(keys, nonce) ||
	    EVP_DecryptInit_ex2(keys->cipher, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_DecryptUpdate(keys->cipher, NULL, &n, at, TLS13_HEAD) != 1 ||
	    EVP_DecryptUpdate(keys->cipher, inner, &n, inner, len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_SET_TAG, TLS13_TAG, inner + len) != 1 ||
	    EVP_DecryptFinal_ex(keys->cipher, inner + len, &n) != 1) {
		ERR_clear_error();
		OPENSSL_cleanse(inner, len);
		return -1 - TLS13_BAD_RECORD_MAC;
	}
	/* The type is behind the content and before the padding. */
	while (len && !inner[len - 1])
		len--;
	if (!len)
		return -1 - TLS13_UNEXPECTED_MESSAGE;
	if (len - 1 > TLS13_PLAIN_MAX)
		return -1 - TLS13_RECORD_OVERFLOW;
	*type = inner[len - 1];
	*content = len - 1;
	return TLS13_HEAD + announced(at);
}
