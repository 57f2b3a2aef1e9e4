// SPDX-License-Identifier: Apache-2.0
/*
 * The name in a TLS hello, over TCP and, by the first byte, in QUIC's Initial packets:
 * there the input is what the packets carry, so that it need not break AES first.
 */
#include "fuzz.h"
#include "lib/initial.h"

#define VERSION_1	1u

static void check(enum hello_verdict verdict, const char *name)
{
	char again[NAMES_TEXT_MAX];
	const char *why;

	if (verdict != HELLO_NAMED)
		return;
	fuzz_need(memchr(name, '\0', NAMES_TEXT_MAX) && name[0], "a name ends");
	fuzz_need(!name_parse(name, again, &why) && !strcmp(name, again), "and is one of a rule's");
}

static void read_records(const uint8_t *bytes, size_t len)
{
	char name[NAMES_TEXT_MAX], whole[NAMES_TEXT_MAX];
	const enum hello_verdict all = hello_read_records(bytes, len, whole);

	check(all, whole);
	/* Once it is known it stays, however much of it had come. */
	for (size_t i = 0; i < len; i += 1 + len / 8) {
		const enum hello_verdict part = hello_read_records(bytes, i, name);

		check(part, name);
		fuzz_need(part == HELLO_MORE || part == all, "more bytes do not change a verdict");
	}
}

static void read_initial(struct quic_hello *hello, struct fuzz_input part)
{
	const size_t payload = part.len < 8 ? 8 : part.len;
	const size_t head = 5 + 1 + 8 + 1 + 1 + 4 + 1;
	uint8_t *bytes = calloc(1, head + payload + INITIAL_TAG);
	struct quic_packet packet;
	uint32_t length = (uint32_t)(1 + payload + INITIAL_TAG) | 0x80000000u;

	fuzz_need(bytes != NULL, "memory");
	bytes[0] = 0xc0;
	bytes[4] = VERSION_1;
	memcpy(bytes + 5, "\x08" "12345678", 9);
	for (int i = 0; i < 4; i++)
		bytes[16 + i] = (uint8_t)(length >> (24 - 8 * i));
	if (part.len)
		memcpy(bytes + head, part.at, part.len);
	initial_seal(&hello->keys, bytes, head, payload);
	fuzz_need(quic_packet_read(bytes, head + payload + INITIAL_TAG, &packet) == QUIC_INITIAL &&
		  packet.len == head + payload + INITIAL_TAG, "an Initial packet is one");
	quic_open(&packet, &hello->keys, hello);
	free(bytes);
}

static void read_quic(struct fuzz_input input)
{
	static struct quic_hello hello;
	char name[NAMES_TEXT_MAX];
	struct quic_packet packet;
	uint8_t *raw = (uint8_t *)fuzz_copy(input, false);

	/* As they are: what stands in front of the encryption. */
	if (quic_packet_read(raw, input.len, &packet) == QUIC_INITIAL) {
		fuzz_need(packet.len <= input.len && packet.number <= packet.len, "a packet is inside");
		memset(&hello, 0, sizeof(hello));
		if (!quic_keys_derive(packet.version, packet.id, packet.id_len, &hello.keys))
			quic_open(&packet, &hello.keys, &hello);
	}
	free(raw);
	memset(&hello, 0, sizeof(hello));
	quic_keys_derive(VERSION_1, (const uint8_t *)"12345678", 8, &hello.keys);
	while (input.len) {
		read_initial(&hello, fuzz_part(&input));
		fuzz_need(hello.known <= HELLO_MAX, "no more than there is room for");
		check(hello_read(hello.bytes, hello.known, name), name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	const bool quic = fuzz_byte(&input) & 1;
	uint8_t *copy;

	if (quic) {
		read_quic(input);
		return 0;
	}
	copy = (uint8_t *)fuzz_copy(input, false);
	read_records(copy, input.len);
	free(copy);
	return 0;
}
