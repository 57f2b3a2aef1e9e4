/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dm-crypt encrypts a block device with, as the kernel's device mapper tells
 * it. The table takes CAP_SYS_ADMIN to read, which the agent has given up: the
 * command line asks, where root runs it. The key that older tables show is wiped
 * and never handed on.
 */
#ifndef HOODY_KERNEL_DM_H
#define HOODY_KERNEL_DM_H

#include <stddef.h>

#define KNL_DM_TEXT_MAX	96

struct knl_dm_cipher {
	char		text[KNL_DM_TEXT_MAX];	/* "aes-xts-plain64, AES-256" */
	unsigned int	aes_bits;		/* of the cipher itself; 0: not AES, or not told */
};

/*
 * knl_dm_parse(): the parameters of one dm-crypt target ("CIPHER KEY IV DEVICE
 * OFFSET ..."). 0, or -EINVAL for what no such target writes.
 */
int knl_dm_parse(const char *parameters, struct knl_dm_cipher *cipher);

/*
 * knl_dm_cipher(): that of block device @major:@minor; the weakest of its targets
 * where it has several. 0, -ENODEV where one of them is no dm-crypt, or another
 * negative errno (-EACCES, -EPERM: ask as root).
 */
int knl_dm_cipher(unsigned int major, unsigned int minor, struct knl_dm_cipher *cipher);

#endif /* HOODY_KERNEL_DM_H */
