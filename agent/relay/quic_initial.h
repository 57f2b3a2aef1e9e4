/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's Initial packets of QUIC 1 and 2 (RFC 9000, RFC 9001 5, RFC 9369), as
 * whoever sees the datagrams can open them: their keys follow from the connection
 * ID that the client has chosen. What they carry of the handshake is put together,
 * in whatever order and however often it comes.
 *
 * No socket and no clock. Bytes come from the container and are not trusted.
 */
#ifndef HOODY_RELAY_QUIC_INITIAL_H
#define HOODY_RELAY_QUIC_INITIAL_H

#include "relay/hello.h"

#define QUIC_ID_MAX	20

struct quic_keys {
	uint32_t	version;
	uint8_t		key[16], iv[12], mask[16];
};

enum quic_kind {
	QUIC_INITIAL,
	QUIC_LONG,		/* 0-RTT or Handshake */
	QUIC_SHORT,		/* with the rest of its datagram */
	QUIC_FOREIGN,		/* another version, a kind no client sends, or no QUIC */
};

/* One packet of a datagram. */
struct quic_packet {
	enum quic_kind	kind;
	uint32_t	version;
	const uint8_t	*bytes;		/* of the whole packet */
	size_t		len;
	uint8_t		id_len;		/* destination connection ID */
	const uint8_t	*id;
	size_t		number;		/* QUIC_INITIAL: where its packet number stands */
};

/* The packet at the start of @bytes; its kind is returned too. */
enum quic_kind quic_packet_read(const uint8_t *bytes, size_t len, struct quic_packet *packet);

/* The client's keys for a connection ID of its choice. 0, or -ENOTSUP or -ENOMEM. */
int quic_keys_derive(uint32_t number, const uint8_t *id, size_t id_len, struct quic_keys *keys);

/* The handshake so far. */
struct quic_hello {
	struct quic_keys keys;
	size_t		known;		/* bytes from the start that are there */
	uint8_t		bytes[HELLO_MAX];
	uint8_t		there[HELLO_MAX / 8];
};

/*
 * quic_open(): checks that an Initial packet is of @keys, and adds what it carries
 * to @hello (may be NULL). 0, -EBADMSG: it is not, or carries what no Initial may,
 * -ENOMEM, -EMSGSIZE: more than HELLO_MAX.
 */
int quic_open(const struct quic_packet *packet, const struct quic_keys *keys,
	      struct quic_hello *hello);

#endif /* HOODY_RELAY_QUIC_INITIAL_H */
