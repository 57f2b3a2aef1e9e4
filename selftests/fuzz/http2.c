// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2 connections of clients, behind TLS: bytes into nghttp2's session and what
 * becomes of its events. The first byte: whether the client's preface and SETTINGS are
 * said for it. Other parts: lib/front.h.
 */
#include "lib/front.h"

#define PREFACE	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_front_setup();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	const bool prefaced = fuzz_byte(&input) & 1;
	static uint8_t bytes[1 << 16];
	size_t len = 0;

	if (prefaced) {
		bytes[len++] = 'c';
		memcpy(bytes + len, PREFACE, sizeof(PREFACE) - 1);
		len += sizeof(PREFACE) - 1;
		memcpy(bytes + len, FUZZ_SEPARATOR, sizeof(FUZZ_SEPARATOR) - 1);
		len += sizeof(FUZZ_SEPARATOR) - 1;
	}
	if (input.len > sizeof(bytes) - len)
		input.len = sizeof(bytes) - len;
	if (input.len)
		memcpy(bytes + len, input.at, input.len);
	fuzz_front_run(&front_http2, (struct fuzz_input){ bytes, len + input.len }, false);
	return 0;
}
