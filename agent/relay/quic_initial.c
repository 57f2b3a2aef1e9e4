// SPDX-License-Identifier: Apache-2.0
/* QUIC's Initial packets, see quic_initial.h. Cryptography is OpenSSL's. */
#include "relay/quic_initial.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define VERSION_1	0x00000001u
#define VERSION_2	0x6b3343cfu
#define LONG_HEADER	0x80
#define FIXED_BIT	0x40
#define TAG		16
#define SAMPLE		16
#define DATAGRAM_MAX	65535

/* RFC 9001 5.2, RFC 9369 3.3 */
static const struct version {
	uint32_t	number;
	uint8_t		initial, retry;		/* types of long headers */
	uint8_t		salt[20];
	const char	*key, *iv, *mask;
} versions[] = {
	{ VERSION_1, 0, 3,
	  { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
	    0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a },
	  "quic key", "quic iv", "quic hp" },
	{ VERSION_2, 1, 0,
	  { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
	    0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 },
	  "quicv2 key", "quicv2 iv", "quicv2 hp" },
};

static const struct version *find_version(uint32_t number)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i].number == number)
			return &versions[i];
	}
	return NULL;
}

/* RFC 9000 16. False where it does not fit. */
static bool take_number(const uint8_t *bytes, size_t len, size_t *at, uint64_t *out)
{
	size_t size;

	if (*at >= len)
		return false;
	size = (size_t)1 << (bytes[*at] >> 6);
	if (len - *at < size)
		return false;
	*out = bytes[(*at)++] & 0x3f;
	while (--size)
		*out = *out << 8 | bytes[(*at)++];
	return true;
}

/* A connection ID, with its length in front. */
static bool take_id(const uint8_t *bytes, size_t len, size_t *at, const uint8_t **id, uint8_t *id_len)
{
	if (*at >= len || bytes[*at] > QUIC_ID_MAX || len - *at - 1 < bytes[*at])
		return false;
	*id_len = bytes[*at];
	*id = bytes + *at + 1;
	*at += 1 + (size_t)*id_len;
	return true;
}

enum quic_kind quic_packet_read(const uint8_t *bytes, size_t len, struct quic_packet *packet)
{
	const struct version *version;
	const uint8_t *source;
	uint8_t source_len, type;
	uint64_t value;
	size_t at = 5;

	*packet = (struct quic_packet){ .kind = QUIC_FOREIGN, .bytes = bytes, .len = len };
	if (!len)
		return QUIC_FOREIGN;
	if (!(bytes[0] & LONG_HEADER))
		return packet->kind = QUIC_SHORT;
	if (len < at || !(bytes[0] & FIXED_BIT))
		return QUIC_FOREIGN;
	packet->version = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 |
			  (uint32_t)bytes[3] << 8 | bytes[4];
	version = find_version(packet->version);
	type = bytes[0] >> 4 & 3;
	if (!version || type == version->retry ||
	    !take_id(bytes, len, &at, &packet->id, &packet->id_len) ||
	    !take_id(bytes, len, &at, &source, &source_len))
		return QUIC_FOREIGN;
	if (type == version->initial) {
		if (!take_number(bytes, len, &at, &value) || value > len - at)
			return QUIC_FOREIGN;
		at += value;	/* the token */
	}
	if (!take_number(bytes, len, &at, &value) || value > len - at)
		return QUIC_FOREIGN;
	packet->number = at;
	packet->len = at + value;
	return packet->kind = type == version->initial ? QUIC_INITIAL : QUIC_LONG;
}

/* HKDF-Expand-Label (RFC 8446 7.1) of at most one block. */
static bool expand(const uint8_t secret[32], const char *label, uint8_t *out, size_t len)
{
	const size_t size = strlen(label);
	uint8_t info[64], block[EVP_MAX_MD_SIZE];
	unsigned int block_len;

	info[0] = 0;
	info[1] = (uint8_t)len;
	info[2] = (uint8_t)(6 + size);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, size);
	info[9 + size] = 0;	/* no context */
	info[10 + size] = 1;	/* the first block */
	if (!HMAC(EVP_sha256(), secret, 32, info, 11 + size, block, &block_len))
		return false;
	memcpy(out, block, len);
	return true;
}

int quic_keys_derive(uint32_t number, const uint8_t *id, size_t id_len, struct quic_keys *keys)
{
	const struct version *version = find_version(number);
	uint8_t initial[EVP_MAX_MD_SIZE], secret[32];
	unsigned int len;

	if (!version || id_len > QUIC_ID_MAX)
		return -ENOTSUP;
	keys->version = number;
	if (HMAC(EVP_sha256(), version->salt, sizeof(version->salt), id, id_len, initial, &len) &&
	    expand(initial, "client in", secret, sizeof(secret)) &&
	    expand(secret, version->key, keys->key, sizeof(keys->key)) &&
	    expand(secret, version->iv, keys->iv, sizeof(keys->iv)) &&
	    expand(secret, version->mask, keys->mask, sizeof(keys->mask)))
		return 0;
	ERR_clear_error();
	return -ENOMEM;
}

/* RFC 9001 5.4: one block of AES. */
static bool make_mask(const uint8_t key[16], const uint8_t sample[SAMPLE], uint8_t mask[SAMPLE])
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len;
	const bool made = context &&
			  EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, key, NULL) &&
			  EVP_CIPHER_CTX_set_padding(context, 0) &&
			  EVP_EncryptUpdate(context, mask, &len, sample, SAMPLE) && len == SAMPLE;

	EVP_CIPHER_CTX_free(context);
	return made;
}

/* 1: opened into @out, 0: it is not of these keys, -1: no memory. */
static int decrypt(const struct quic_keys *keys, const uint8_t nonce[12], const uint8_t *header,
		   size_t header_len, const uint8_t *bytes, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int size, ret = -1;

	if (context && EVP_DecryptInit_ex(context, EVP_aes_128_gcm(), NULL, keys->key, nonce) &&
	    EVP_DecryptUpdate(context, NULL, &size, header, (int)header_len) &&
	    EVP_DecryptUpdate(context, out, &size, bytes, (int)(len - TAG)) &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG,
				(void *)(bytes + len - TAG)))
		ret = EVP_DecryptFinal_ex(context, out + size, &size) > 0;
	EVP_CIPHER_CTX_free(context);
	ERR_clear_error();
	return ret;
}

static int add(struct quic_hello *hello, uint64_t offset, const uint8_t *bytes, uint64_t len)
{
	if (offset > HELLO_MAX || len > HELLO_MAX - offset)
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i++) {
		const size_t at = offset + i;

		/* What was there first stays: a second version of it is nobody's. */
		if (hello->there[at / 8] >> at % 8 & 1)
			continue;
		hello->bytes[at] = bytes[i];
		hello->there[at / 8] |= (uint8_t)(1 << at % 8);
	}
	while (hello->known < HELLO_MAX && hello->there[hello->known / 8] >> hello->known % 8 & 1)
		hello->known++;
	return 0;
}

/* ACK (RFC 9000 19.3), from behind its type. */
static bool skip_ack(const uint8_t *bytes, size_t len, size_t *at, bool counts)
{
	uint64_t ranges = 0, value, i;

	if (!take_number(bytes, len, at, &value) || !take_number(bytes, len, at, &value) ||
	    !take_number(bytes, len, at, &ranges) || !take_number(bytes, len, at, &value))
		return false;
	/* Each takes two bytes at least: this ends with the packet. */
	for (i = 0; i < ranges; i++) {
		if (!take_number(bytes, len, at, &value) || !take_number(bytes, len, at, &value))
			return false;
	}
	for (i = 0; counts && i < 3; i++) {
		if (!take_number(bytes, len, at, &value))
			return false;
	}
	return true;
}

/* RFC 9000 12.4: what an Initial may carry. */
static int read_frames(const uint8_t *bytes, size_t len, struct quic_hello *hello)
{
	uint64_t offset, size;
	size_t at = 0;
	int ret;

	while (at < len) {
		switch (bytes[at++]) {
		case 0x00:	/* PADDING */
		case 0x01:	/* PING */
			break;
		case 0x02:
		case 0x03:
			if (!skip_ack(bytes, len, &at, bytes[at - 1] == 0x03))
				return -EBADMSG;
			break;
		case 0x06:	/* CRYPTO */
			if (!take_number(bytes, len, &at, &offset) ||
			    !take_number(bytes, len, &at, &size) || size > len - at)
				return -EBADMSG;
			ret = hello ? add(hello, offset, bytes + at, size) : 0;
			if (ret)
				return ret;
			at += size;
			break;
		case 0x1c:	/* CONNECTION_CLOSE: nothing that follows matters */
			return 0;
		default:
			return -EBADMSG;
		}
	}
	return 0;
}

int quic_open(const struct quic_packet *packet, const struct quic_keys *keys,
	      struct quic_hello *hello)
{
	static uint8_t header[DATAGRAM_MAX], plain[DATAGRAM_MAX];
	const size_t number = packet->number;
	uint8_t mask[SAMPLE], nonce[12];
	size_t number_len, len;
	int ret;

	if (packet->kind != QUIC_INITIAL || packet->version != keys->version ||
	    packet->len > DATAGRAM_MAX || packet->len - number < 4 + SAMPLE)
		return -EBADMSG;
	if (!make_mask(keys->mask, packet->bytes + number + 4, mask))
		return -ENOMEM;
	memcpy(header, packet->bytes, number + 4);
	header[0] ^= mask[0] & 0x0f;
	number_len = (header[0] & 3u) + 1;
	len = packet->len - number - number_len;
	memcpy(nonce, keys->iv, sizeof(nonce));
	/* Numbers of Initials are small: what is written is the number itself. */
	for (size_t i = 0; i < number_len; i++) {
		header[number + i] ^= mask[1 + i];
		nonce[sizeof(nonce) - number_len + i] ^= header[number + i];
	}
	ret = decrypt(keys, nonce, header, number + number_len,
		      packet->bytes + number + number_len, len, plain);
	if (ret <= 0)
		return ret ? -ENOMEM : -EBADMSG;
	return read_frames(plain, len - TAG, hello);
}
