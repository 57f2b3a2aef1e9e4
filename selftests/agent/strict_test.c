// SPDX-License-Identifier: Apache-2.0
/*
 * Names in hellos: TLS in records and pieces, QUIC's Initial packets with keys of
 * RFC 9001 and RFC 9369, and that no bytes make the readers do worse than refuse.
 */
#include "relay/quic_initial.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define VERSION_1	0x00000001u
#define VERSION_2	0x6b3343cfu

/* --- making hellos --------------------------------------------------------------- */

struct bytes {
	size_t	len;
	uint8_t	at[4096];
};

static void put(struct bytes *out, const void *bytes, size_t len)
{
	memcpy(out->at + out->len, bytes, len);
	out->len += len;
}

static void put_number(struct bytes *out, size_t value, size_t size)
{
	while (size--)
		out->at[out->len++] = (uint8_t)(value >> 8 * size);
}

/* A message with extensions: @names times server_name, and one that hides it. */
static void make_hello(struct bytes *out, const char *name, unsigned int names, bool hidden)
{
	struct bytes extensions = { 0 };
	static const uint8_t random[32];

	put_number(&extensions, 0xffa5, 2);
	put_number(&extensions, 3, 2);
	put(&extensions, "abc", 3);
	for (unsigned int i = 0; i < names; i++) {
		put_number(&extensions, 0, 2);
		put_number(&extensions, strlen(name) + 5, 2);
		put_number(&extensions, strlen(name) + 3, 2);
		put_number(&extensions, 0, 1);
		put_number(&extensions, strlen(name), 2);
		put(&extensions, name, strlen(name));
	}
	if (hidden) {
		put_number(&extensions, 0xfe0d, 2);
		put_number(&extensions, 0, 2);
	}
	out->len = 0;
	put_number(out, 1, 1);
	put_number(out, 2 + 32 + 1 + 4 + 2 + 2 + extensions.len, 3);
	put_number(out, 0x0303, 2);
	put(out, random, sizeof(random));
	put_number(out, 0, 1);
	put_number(out, 2, 2);
	put_number(out, 0x1301, 2);
	put_number(out, 1, 1);
	put_number(out, 0, 1);
	put_number(out, extensions.len, 2);
	put(out, extensions.at, extensions.len);
}

static void make_records(struct bytes *out, const struct bytes *message, size_t size)
{
	out->len = 0;
	for (size_t at = 0; at < message->len; at += size) {
		const size_t part = message->len - at < size ? message->len - at : size;

		put_number(out, 22, 1);
		put_number(out, 0x0301, 2);
		put_number(out, part, 2);
		put(out, message->at + at, part);
	}
}

/* --- TLS ---------------------------------------------------------------------------- */

static bool reads(const char *name, unsigned int names, bool hidden, enum hello_verdict wanted,
		  const char *found)
{
	char text[NAMES_TEXT_MAX] = "";
	struct bytes message;

	make_hello(&message, name, names, hidden);
	return hello_read(message.at, message.len, text) == wanted &&
	       (wanted != HELLO_NAMED || !strcmp(text, found));
}

static void test_hello(void)
{
	struct bytes message, records;
	char name[NAMES_TEXT_MAX];
	bool right = true;

	tap_ok(reads("API.Example.com", 1, false, HELLO_NAMED, "api.example.com"), "hello_name");
	tap_ok(reads("x", 0, false, HELLO_NO_NAME, ""), "hello_without_name");
	tap_ok(reads("a.example", 1, true, HELLO_HIDDEN, ""), "hello_that_hides_its_name");
	tap_ok(reads("a.example", 0, true, HELLO_HIDDEN, ""), "hello_that_only_hides_one");
	tap_ok(reads("a.example", 2, false, HELLO_NONE, ""), "hello_with_two_names");
	tap_ok(reads("*.example.com", 1, false, HELLO_NONE, "") &&
	       reads("a..example", 1, false, HELLO_NONE, "") &&
	       reads("192.0.2.1", 1, false, HELLO_NONE, ""), "hello_with_what_is_no_name");
	make_hello(&message, "api.example.com", 1, false);
	for (size_t size = 1; size <= message.len; size++) {
		make_records(&records, &message, size);
		for (size_t len = 0; right && len < records.len; len++)
			right = hello_read_records(records.at, len, name) == HELLO_MORE;
		right = right && hello_read_records(records.at, records.len, name) == HELLO_NAMED &&
			!strcmp(name, "api.example.com");
	}
	tap_ok(right, "hello_in_records_of_every_size_waits_for_its_last_byte");
	message.at[message.len - 1] ^= 1;
	message.at[0] = 2;
	tap_ok(hello_read(message.at, message.len, name) == HELLO_NONE, "hello_of_a_server");
	tap_ok(hello_read_records((const uint8_t *)"GET / HTTP/1.1", 14, name) == HELLO_NONE &&
	       hello_read_records((const uint8_t *)"\x16\x03\x01\xff\xff", 5, name) == HELLO_NONE &&
	       hello_read((const uint8_t *)"\x01\xff\xff\xff", 4, name) == HELLO_NONE,
	       "hello_that_is_none_is_not_waited_for");
}

/* --- QUIC --------------------------------------------------------------------------- */

static void test_keys(void)
{
	static const uint8_t id[] = { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 };
	struct quic_keys one, two;

	/* RFC 9001 A.1 */
	tap_ok(!quic_keys_derive(VERSION_1, id, sizeof(id), &one) &&
	       !memcmp(one.key, "\x1f\x36\x96\x13\xdd\x76\xd5\x46\x77\x30\xef\xcb\xe3\xb1\xa2\x2d", 16) &&
	       !memcmp(one.iv, "\xfa\x04\x4b\x2f\x42\xa3\xfd\x3b\x46\xfb\x25\x5c", 12) &&
	       !memcmp(one.mask, "\x9f\x50\x44\x9e\x04\xa0\xe8\x10\x28\x3a\x1e\x99\x33\xad\xed\xd2", 16),
	       "keys_of_version_1");
	/* RFC 9369 A.1 */
	tap_ok(!quic_keys_derive(VERSION_2, id, sizeof(id), &two) &&
	       !memcmp(two.key, "\x8b\x1a\x0b\xc1\x21\x28\x42\x90\xa2\x9e\x09\x71\xb5\xcd\x04\x5d", 16) &&
	       !memcmp(two.iv, "\x91\xf7\x3e\x23\x51\xd8\xfa\x91\x66\x0e\x90\x9f", 12) &&
	       !memcmp(two.mask, "\x45\xb9\x5e\x15\x23\x5d\x6f\x45\xa6\xb1\x9c\xbc\xb0\x29\x4b\xa9", 16),
	       "keys_of_version_2");
	tap_ok(quic_keys_derive(0xff00001d, id, sizeof(id), &one) == -ENOTSUP &&
	       quic_keys_derive(VERSION_1, id, 21, &one) == -ENOTSUP, "keys_of_another_version");
}

static int encrypt(const struct quic_keys *keys, const uint8_t nonce[12], const struct bytes *header,
		   const struct bytes *plain, uint8_t *out)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len;
	const int ret = EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, keys->key, nonce) &&
			EVP_EncryptUpdate(context, NULL, &len, header->at, (int)header->len) &&
			EVP_EncryptUpdate(context, out, &len, plain->at, (int)plain->len) &&
			EVP_EncryptFinal_ex(context, out + len, &len) &&
			EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, out + plain->len);

	EVP_CIPHER_CTX_free(context);
	return ret;
}

static void mask_of(const struct quic_keys *keys, const uint8_t *sample, uint8_t mask[16])
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len;

	EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, keys->mask, NULL);
	EVP_CIPHER_CTX_set_padding(context, 0);
	EVP_EncryptUpdate(context, mask, &len, sample, 16);
	EVP_CIPHER_CTX_free(context);
}

/* An Initial packet of number @number with @plain in it, as a client would send it. */
static void make_initial(struct bytes *out, const struct quic_keys *keys, unsigned int number,
			 const struct bytes *plain)
{
	uint8_t nonce[12], mask[16];
	size_t at;

	out->len = 0;
	put_number(out, keys->version == VERSION_1 ? 0xc1 : 0xd1, 1);
	put_number(out, keys->version, 4);
	put(out, "\x08" "12345678" "\0" "\x02" "tk", 13);
	put_number(out, 0x4000 | (2 + plain->len + 16), 2);
	at = out->len;
	put_number(out, number, 2);
	memcpy(nonce, keys->iv, sizeof(nonce));
	nonce[10] ^= (uint8_t)(number >> 8);
	nonce[11] ^= (uint8_t)number;
	encrypt(keys, nonce, out, plain, out->at + out->len);
	mask_of(keys, out->at + at + 4, mask);
	out->at[0] ^= mask[0] & 0x0f;
	out->at[at] ^= mask[1];
	out->at[at + 1] ^= mask[2];
	out->len += plain->len + 16;
}

static void put_crypto(struct bytes *plain, const struct bytes *message, size_t from, size_t len)
{
	put_number(plain, 6, 1);
	put_number(plain, 0x4000 | from, 2);
	put_number(plain, 0x4000 | len, 2);
	put(plain, message->at + from, len);
}

static void test_initials(uint32_t version, int number)
{
	struct bytes message, plain = { 0 }, packets[2];
	struct quic_hello *hello = calloc(1, sizeof(*hello));
	struct quic_keys other;
	struct quic_packet packet;
	char name[NAMES_TEXT_MAX];
	bool right;

	quic_keys_derive(version, (const uint8_t *)"12345678", 8, &hello->keys);
	quic_keys_derive(version, (const uint8_t *)"12345679", 8, &other);
	make_hello(&message, "api.example.com", 1, false);
	/* The second half first, the rest in two pieces that overlap. */
	put_crypto(&plain, &message, 40, message.len - 40);
	make_initial(&packets[0], &hello->keys, 300, &plain);
	plain.len = 0;
	put(&plain, "\x02\x05\x00\x00\x05\x01", 6);	/* ACK, PING */
	put_crypto(&plain, &message, 0, 30);
	put_crypto(&plain, &message, 20, 25);
	put(&plain, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	make_initial(&packets[1], &hello->keys, 1, &plain);
	right = quic_packet_read(packets[0].at, packets[0].len, &packet) == QUIC_INITIAL &&
		packet.len == packets[0].len && packet.id_len == 8 &&
		!memcmp(packet.id, "12345678", 8) && quic_open(&packet, &other, hello) == -EBADMSG &&
		!quic_open(&packet, &hello->keys, hello) &&
		hello_read(hello->bytes, hello->known, name) == HELLO_MORE;
	right = right && quic_packet_read(packets[1].at, packets[1].len, &packet) == QUIC_INITIAL &&
		!quic_open(&packet, &hello->keys, hello) &&
		hello_read(hello->bytes, hello->known, name) == HELLO_NAMED &&
		!strcmp(name, "api.example.com");
	tap_ok(right, "initials_of_version_%d", number);
	for (size_t i = 0; right && i < packets[1].len; i++) {
		packets[1].at[i] ^= 0x10;
		right = quic_packet_read(packets[1].at, packets[1].len, &packet) != QUIC_INITIAL ||
			packet.len != packets[1].len ||
			quic_open(&packet, &hello->keys, hello) == -EBADMSG;
		packets[1].at[i] ^= 0x10;
		right = right && quic_packet_read(packets[1].at, i, &packet) != QUIC_INITIAL;
	}
	tap_ok(right, "initial_of_version_%d_changed_or_cut_is_refused", number);
	plain.len = 0;
	put(&plain, "\x08\0\0\0\0\0\0\0\0\0\0\0", 12);	/* STREAM */
	make_initial(&packets[0], &hello->keys, 2, &plain);
	quic_packet_read(packets[0].at, packets[0].len, &packet);
	tap_ok(quic_open(&packet, &hello->keys, hello) == -EBADMSG,
	       "initial_of_version_%d_with_what_none_may_carry_is_refused", number);
	free(hello);
}

static void test_kinds(void)
{
	struct quic_packet packet;
	uint8_t bytes[64] = { 0xc0, 0xff, 0, 0, 0x1d };

	tap_ok(quic_packet_read(bytes, sizeof(bytes), &packet) == QUIC_FOREIGN, "version_of_a_draft");
	tap_ok(quic_packet_read((const uint8_t *)"\xf0\0\0\0\1\0\0aaaa", 11, &packet) == QUIC_FOREIGN,
	       "retry_is_no_client_s");
	tap_ok(quic_packet_read((const uint8_t *)"\x40" "aaaa", 5, &packet) == QUIC_SHORT &&
	       packet.len == 5, "short_header_is_the_rest");
	tap_ok(quic_packet_read((const uint8_t *)"\xc0\0\0\0\1\x15", 6, &packet) == QUIC_FOREIGN,
	       "connection_id_that_is_too_long");
}

/* Whatever comes: read within bounds (the sanitizer build looks), and never named. */
static void test_noise(void)
{
	struct quic_hello *hello = calloc(1, sizeof(*hello));
	struct bytes message, noise;
	struct quic_packet packet;
	char name[NAMES_TEXT_MAX];
	unsigned int opened = 0;

	srandom(7);
	quic_keys_derive(VERSION_1, (const uint8_t *)"12345678", 8, &hello->keys);
	make_hello(&message, "api.example.com", 1, false);
	for (unsigned int i = 0; i < 100000; i++) {
		noise = message;
		for (unsigned int k = random() % 4 + 1; k; k--)
			noise.at[(size_t)random() % noise.len] = (uint8_t)random();
		hello_read(noise.at, (size_t)random() % (noise.len + 1), name);
		hello_read_records(noise.at, noise.len, name);
		memcpy(noise.at, "\xc0\0\0\0\1", 5);
		if (quic_packet_read(noise.at, noise.len, &packet) == QUIC_INITIAL && i % 16 == 0)
			opened += !quic_open(&packet, &hello->keys, hello);
	}
	tap_ok(!opened, "noise_is_refused");
	free(hello);
}

int main(void)
{
	tap_plan(23);
	test_hello();
	test_keys();
	test_initials(VERSION_1, 1);
	test_initials(VERSION_2, 2);
	test_kinds();
	test_noise();
	return tap_done();
}
