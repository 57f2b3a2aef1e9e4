/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name that a TLS client asks for (SNI, RFC 6066 3), out of the first bytes of
 * a connection: TLS records over TCP, or the handshake stream of QUIC's Initial
 * packets (quic_initial.h). Pure functions over bytes; nothing is decrypted here.
 *
 * A hello whose name is hidden (Encrypted Client Hello) is one of its own
 * kind: what its outer name says is not where it goes.
 */
#ifndef HOODY_RELAY_HELLO_H
#define HOODY_RELAY_HELLO_H

#include "names/name.h"

#include <stdint.h>

/* Of a hello, with keys of every kind that is usual. */
#define HELLO_MAX	16384

enum hello_verdict {
	HELLO_MORE,		/* more bytes are needed */
	HELLO_NAMED,
	HELLO_NONE,		/* no hello of TLS, or a malformed one */
	HELLO_NO_NAME,
	HELLO_HIDDEN,
};

/* hello_read(): a handshake message of @len bytes at least; @name as of name_parse(). */
enum hello_verdict hello_read(const uint8_t *bytes, size_t len, char name[NAMES_TEXT_MAX]);

/* hello_read_records(): the same in TLS records (RFC 8446 5.1), however it is cut. */
enum hello_verdict hello_read_records(const uint8_t *bytes, size_t len, char name[NAMES_TEXT_MAX]);

#endif /* HOODY_RELAY_HELLO_H */
