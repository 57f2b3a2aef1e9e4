/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing Initial packets, as any client can: their keys are public (RFC 9001 5.2). */
#ifndef HOODY_FUZZ_INITIAL_H
#define HOODY_FUZZ_INITIAL_H

#include "relay/quic_initial.h"

#define INITIAL_TAG	16	/* bytes behind the payload, RFC 9001 5.3 */

/*
 * initial_seal(): @packet is @head bytes, the last of them a packet number of one byte,
 * @len of payload, and room for the tag.
 */
void initial_seal(const struct quic_keys *keys, uint8_t *packet, size_t head, size_t len);

#endif /* HOODY_FUZZ_INITIAL_H */
