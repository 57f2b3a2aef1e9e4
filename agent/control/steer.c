/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steering program, see steer.h. It reads the UDP payload: offset 0 is the
 * first byte of the first QUIC packet (RFC 9000 17.2, 17.3):
 *
 *	long header	flags, version (4), length of the destination id, the id ...
 *	short header	flags, the destination id, which is one of ours
 *
 * A load beyond the datagram ends the program with 0: the first socket, whose
 * worker throws away what it does not know.
 */
#include "control/steer.h"
#include "lib/quic_cid.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#define LONG_HEADER	0x80
#define LONG_ID_LEN	5
#define LONG_ID		6
#define SHORT_ID	1

int steer_attach(int sock, uint32_t first, uint32_t count)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER, 2, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SHORT_ID),
		BPF_STMT(BPF_RET | BPF_A, 0),
		/* 4: is it one of ours? */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LONG_ID_LEN),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, QUIC_CID_LEN, 0, 11),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, LONG_ID + 3),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, QUIC_CID_CHECK),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LONG_ID),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x0101),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, LONG_ID + 1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LONG_ID),
		BPF_STMT(BPF_RET | BPF_A, 0),
		/* 17: the client's own. It has 8 bytes at least (RFC 9000 7.2). */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LONG_ID),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, first),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return setsockopt(sock, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
			  sizeof(program)) ? -errno : 0;
}
