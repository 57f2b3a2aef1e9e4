// SPDX-License-Identifier: Apache-2.0
/* Sealing Initial packets, see initial.h: RFC 9001 5.3 and 5.4. */
#include "lib/initial.h"
#include "fuzz.h"

#include <openssl/evp.h>

void initial_seal(const struct quic_keys *keys, uint8_t *packet, size_t head, size_t len)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t nonce[12], mask[32], *tag = packet + head + len;
	int size;

	memcpy(nonce, keys->iv, sizeof(nonce));
	nonce[11] ^= packet[head - 1];
	fuzz_need(EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, keys->key, nonce) &&
		  EVP_EncryptUpdate(context, NULL, &size, packet, (int)head) &&
		  EVP_EncryptUpdate(context, packet + head, &size, packet + head, (int)len) &&
		  EVP_EncryptFinal_ex(context, tag, &size) &&
		  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, INITIAL_TAG, tag), "AES-GCM");
	/* The sample begins where a number of four bytes would end. */
	fuzz_need(EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, keys->mask, NULL) &&
		  EVP_EncryptUpdate(context, mask, &size, packet + head + 3, 16), "AES");
	EVP_CIPHER_CTX_free(context);
	packet[0] ^= mask[0] & 0x0f;
	packet[head - 1] ^= mask[1];
}
