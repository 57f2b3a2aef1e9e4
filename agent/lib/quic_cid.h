/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection ids that we give to QUIC clients. The first byte says which
 * socket of its address the id belongs to, so that the kernel's steering program
 * (control/steer.c) finds the thread without any state, whatever address the
 * client has moved to:
 *
 *	| socket | check, 2 bytes | 13 random bytes |
 *
 * The check tells our ids from those that clients make up for their first
 * packets. It protects nothing: a client that forges it reaches a thread that
 * does not know the id.
 */
#ifndef HOODY_LIB_QUIC_CID_H
#define HOODY_LIB_QUIC_CID_H

#include <stdint.h>

#define QUIC_CID_LEN		16
#define QUIC_CID_CHECK		0x9e37
#define QUIC_CID_SOCKETS	256	/* of one address: what a byte can name */

/* Makes @cid, whose last 13 bytes are random, one of socket @socket. */
static inline void quic_cid_set(uint8_t cid[QUIC_CID_LEN], uint8_t socket)
{
	unsigned int check = ((unsigned int)cid[3] << 8 | cid[4]) ^ socket * 0x0101u ^
			     QUIC_CID_CHECK;

	cid[0] = socket;
	cid[1] = check >> 8;
	cid[2] = check;
}

#endif /* HOODY_LIB_QUIC_CID_H */
