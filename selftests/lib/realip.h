/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What realip_load and realip_server say to each other: a request is two numbers,
 * the bytes that follow it and the bytes that are wanted back; an answer is the
 * peer's address and port as the server sees them, and those bytes, which count up.
 */
#ifndef HOODY_SELFTESTS_REALIP_H
#define HOODY_SELFTESTS_REALIP_H

#include <stdint.h>

#define REALIP_CHUNK	16384

struct realip_question {
	uint32_t	up;		/* bytes that follow */
	uint32_t	down;		/* bytes wanted after the answer */
};

struct realip_answer {
	uint8_t		address[16];	/* IPv4 as a mapped one */
	uint16_t	port;		/* network order */
	uint8_t		pad[6];
	uint64_t	uploaded;
};

#endif /* HOODY_SELFTESTS_REALIP_H */
